//! Calls that only 32-bit x86 has, and those that take their arguments otherwise there.
//!
//! `socketcall` and `ipc` are multiplexers: the first argument says which call is meant, and the others lie in the
//! memory that a later one points to (`socketcall`), or are passed on (`ipc`). They are rendered as what they are; the
//! state takes nothing from them and says so.

use super::prelude::*;

calls! {
    socketcall(call: Int, args: Pointer) -> Int;
    ipc(call: Uint, first: Int, second: Hex, third: Hex, ptr: Pointer, fifth: Hex) -> Int;
    // 64-bit offsets come in two registers, low half first.
    pread64(fd: Fd, buf: BufferOut, count: Size, offset_low: Hex, offset_high: Hex) -> Int;
    pwrite64(fd: Fd, buf: BufferIn { len_arg: 2 }, count: Size, offset_low: Hex, offset_high: Hex) -> Int;
    truncate64(path: Path, length_low: Hex, length_high: Hex) -> Int;
    ftruncate64(fd: Fd, length_low: Hex, length_high: Hex) -> Int;
    readahead(fd: Fd, offset_low: Hex, offset_high: Hex, count: Size) -> Int;
    fadvise64(fd: Fd, offset_low: Hex, offset_high: Hex, len: Size, advice: Value(&FADVISE)) -> Int;
    fadvise64_64(fd: Fd, offset_low: Hex, offset_high: Hex, len_low: Hex, len_high: Hex, advice: Value(&FADVISE)) -> Int;
    fallocate(fd: Fd, mode: Flags(&FALLOCATE), offset_low: Hex, offset_high: Hex, len_low: Hex, len_high: Hex) -> Int;
    sync_file_range(fd: Fd, offset_low: Hex, offset_high: Hex, nbytes_low: Hex, nbytes_high: Hex, flags: Flags(&SYNC_RANGE)) -> Int;
    fanotify_mark(fanotify_fd: Fd, flags: Hex, mask_low: Hex, mask_high: Hex, dirfd: DirFd, pathname: Path) -> Int;
    _llseek(fd: Fd, offset_high: Hex, offset_low: Hex, result: OFFSET_OUT, whence: Value(&SEEK)) -> Int;
    clone(flags: Flags(&CLONE), stack: Pointer, parent_tid: Pointer, tls: Hex, child_tid: Pointer) -> Pid;
    mmap(args: Pointer) -> Hex;
    mmap2(addr: Pointer, length: Size, prot: Flags(&PROT), flags: Flags(&MAP), fd: Fd, pgoffset: Hex) -> Hex;
    select(args: Pointer) -> Int;
    _newselect(nfds: Int, readfds: FdSet { count_arg: 0 }, writefds: FdSet { count_arg: 0 }, exceptfds: FdSet { count_arg: 0 }, timeout: TIMEVAL_LEFT) -> Int;
    fcntl64(fd: Fd, cmd: Value(&FCNTL), arg: Fcntl { cmd_arg: 1 }) -> Int;
    stat64(pathname: Path, statbuf: STAT64_OUT) -> Int;
    lstat64(pathname: Path, statbuf: STAT64_OUT) -> Int;
    fstat64(fd: Fd, statbuf: STAT64_OUT) -> Int;
    fstatat64(dirfd: DirFd, pathname: Path, statbuf: STAT64_OUT, flags: Flags(&AT)) -> Int;
    statfs64(path: Path, sz: Size, buf: Pointer) -> Int;
    fstatfs64(fd: Fd, sz: Size, buf: Pointer) -> Int;
    oldstat(pathname: Path, statbuf: Pointer) -> Int;
    oldlstat(pathname: Path, statbuf: Pointer) -> Int;
    oldfstat(fd: Fd, statbuf: Pointer) -> Int;
    readdir(fd: Fd, dirp: Pointer, count: Uint) -> Int;
    sendfile64(out_fd: Fd, in_fd: Fd, offset: OFFSET, count: Size) -> Int;
    umount(target: Path) -> Int;
    waitpid(pid: Pid, wstatus: STATUS_OUT, options: Flags(&WAIT)) -> Pid;
    chown32(pathname: Path, owner: Int, group: Int) -> Int;
    fchown32(fd: Fd, owner: Int, group: Int) -> Int;
    lchown32(pathname: Path, owner: Int, group: Int) -> Int;
    getuid32() -> Int;
    getgid32() -> Int;
    geteuid32() -> Int;
    getegid32() -> Int;
    setuid32(uid: Int) -> Int;
    setgid32(gid: Int) -> Int;
    setreuid32(ruid: Int, euid: Int) -> Int;
    setregid32(rgid: Int, egid: Int) -> Int;
    setresuid32(ruid: Int, euid: Int, suid: Int) -> Int;
    setresgid32(rgid: Int, egid: Int, sgid: Int) -> Int;
    getresuid32(ruid: U32_OUT, euid: U32_OUT, suid: U32_OUT) -> Int;
    getresgid32(rgid: U32_OUT, egid: U32_OUT, sgid: U32_OUT) -> Int;
    getgroups32(size: Int, list: Pointer) -> Int;
    setgroups32(size: Int, list: Pointer) -> Int;
    setfsuid32(fsuid: Int) -> Int;
    setfsgid32(fsgid: Int) -> Int;
    ugetrlimit(resource: Value(&RLIMIT), rlim: RLIMIT_OUT) -> Int;
    sigaction(signum: Signal, act: Pointer, oldact: Pointer) -> Int;
    signal(signum: Signal, handler: Pointer) -> Hex;
    sigprocmask(how: Value(&SIG_HOW), set: Pointer, oldset: Pointer) -> Int;
    sigpending(set: Pointer) -> Int;
    sigsuspend(unused1: Hex, unused2: Hex, mask: Hex) -> Int;
    sigreturn() -> Int;
    sgetmask() -> Hex;
    ssetmask(newmask: Hex) -> Hex;
    nice(inc: Int) -> Int;
    stime(t: Pointer) -> Int;
    olduname(buf: Pointer) -> Int;
    oldolduname(buf: Pointer) -> Int;
    vm86(func: Hex, v86: Pointer) -> Int;
    vm86old(v86: Pointer) -> Int;
    clock_gettime64(clockid: Value(&CLOCK), tp: TIMESPEC64_OUT) -> Int;
    clock_settime64(clockid: Value(&CLOCK), tp: TIMESPEC64) -> Int;
    clock_adjtime64(clockid: Value(&CLOCK), buf: Pointer) -> Int;
    clock_getres_time64(clockid: Value(&CLOCK), res: TIMESPEC64_OUT) -> Int;
    clock_nanosleep_time64(clockid: Value(&CLOCK), flags: Flags(&TIMER), request: TIMESPEC64, remain: Pointer) -> Int;
    timer_gettime64(timerid: Int, curr_value: Pointer) -> Int;
    timer_settime64(timerid: Int, flags: Flags(&TIMER), new_value: Pointer, old_value: Pointer) -> Int;
    timerfd_gettime64(fd: Fd, curr_value: Pointer) -> Int;
    timerfd_settime64(fd: Fd, flags: Flags(&TFD_SET), new_value: Pointer, old_value: Pointer) -> Int;
    utimensat_time64(dirfd: DirFd, pathname: Path, times: Pointer, flags: Flags(&AT)) -> Int;
    pselect6_time64(nfds: Int, readfds: FdSet { count_arg: 0 }, writefds: FdSet { count_arg: 0 }, exceptfds: FdSet { count_arg: 0 }, timeout: TIMESPEC64_LEFT, sig: Pointer) -> Int;
    ppoll_time64(fds: POLLFDS, nfds: Uint, tmo_p: TIMESPEC64_LEFT, sigmask: SIGSET, sigsetsize: Size) -> Int;
    io_pgetevents_time64(ctx_id: Hex, min_nr: Long, nr: Long, events: Pointer, timeout: TIMESPEC64, sig: Pointer) -> Int;
    recvmmsg_time64(sockfd: Fd, msgvec: Pointer, vlen: Uint, flags: Flags(&MSG), timeout: TIMESPEC64) -> Int;
    mq_timedsend_time64(mqdes: Fd, msg_ptr: BufferIn { len_arg: 2 }, msg_len: Size, msg_prio: Uint, abs_timeout: TIMESPEC64) -> Int;
    mq_timedreceive_time64(mqdes: Fd, msg_ptr: BufferOut, msg_len: Size, msg_prio: Pointer, abs_timeout: TIMESPEC64) -> Int;
    semtimedop_time64(semid: Int, sops: Pointer, nsops: Size, timeout: TIMESPEC64) -> Int;
    rt_sigtimedwait_time64(set: SIGSET, info: Pointer, timeout: TIMESPEC64, sigsetsize: Size) -> Int;
    futex_time64(uaddr: Pointer, futex_op: Flags(&FUTEX), val: Uint, timeout: FutexTimeout { op_arg: 1, layout: Layout::Timespec64 }, uaddr2: Pointer, val3: Hex) -> Int;
    sched_rr_get_interval_time64(pid: Pid, tp: TIMESPEC64_OUT) -> Int;
    bdflush() -> Int;
    break() -> Int;
    ftime() -> Int;
    gtty() -> Int;
    idle() -> Int;
    lock() -> Int;
    mpx() -> Int;
    prof() -> Int;
    profil() -> Int;
    stty() -> Int;
    ulimit() -> Int;
}
