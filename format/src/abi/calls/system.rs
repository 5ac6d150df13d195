//! Time, timers, the system as a whole, keys, and calls that only keep their number.

use super::prelude::*;

calls! {
    nanosleep(req: TIMESPEC, rem: Pointer) -> Int;
    clock_nanosleep(clockid: Value(&CLOCK), flags: Flags(&TIMER), request: TIMESPEC, remain: Pointer) -> Int;
    clock_gettime(clockid: Value(&CLOCK), tp: TIMESPEC_OUT) -> Int;
    clock_settime(clockid: Value(&CLOCK), tp: TIMESPEC) -> Int;
    clock_getres(clockid: Value(&CLOCK), res: TIMESPEC_OUT) -> Int;
    clock_adjtime(clockid: Value(&CLOCK), buf: Pointer) -> Int;
    adjtimex(buf: Pointer) -> Int;
    gettimeofday(tv: TIMEVAL_OUT, tz: Pointer) -> Int;
    settimeofday(tv: TIMEVAL, tz: Pointer) -> Int;
    time(tloc: Pointer) -> Int;
    times(buf: Pointer) -> Int;
    alarm(seconds: Uint) -> Int;
    getitimer(which: Value(&ITIMER), curr_value: ITIMERVAL_OUT) -> Int;
    setitimer(which: Value(&ITIMER), new_value: ITIMERVAL, old_value: ITIMERVAL_OUT) -> Int;
    timer_create(clockid: Value(&CLOCK), sevp: Pointer, timerid: I32_OUT) -> Int;
    timer_settime(timerid: Int, flags: Flags(&TIMER), new_value: ITIMERSPEC, old_value: Pointer) -> Int;
    timer_gettime(timerid: Int, curr_value: ITIMERSPEC_OUT) -> Int;
    timer_getoverrun(timerid: Int) -> Int;
    timer_delete(timerid: Int) -> Int;
    uname(buf: UTSNAME_OUT) -> Int;
    sysinfo(info: SYSINFO_OUT) -> Int;
    syslog(type: Int, bufp: Pointer, len: Int) -> Int;
    sethostname(name: BufferIn { len_arg: 1 }, len: Size) -> Int;
    setdomainname(name: BufferIn { len_arg: 1 }, len: Size) -> Int;
    getrandom(buf: BufferOut, buflen: Size, flags: Flags(&GRND)) -> Int;
    reboot(magic: Hex, magic2: Hex, cmd: Hex, arg: Pointer) -> Int;
    vhangup() -> Int;
    sysfs(option: Int, arg1: Hex, arg2: Hex) -> Int;
    _sysctl(args: Pointer) -> Int;
    init_module(module_image: Pointer, len: Size, param_values: Text) -> Int;
    finit_module(fd: Fd, param_values: Text, flags: Hex) -> Int;
    delete_module(name: Text, flags: Flags(&PIPE)) -> Int;
    kexec_load(entry: Hex, nr_segments: Size, segments: Pointer, flags: Hex) -> Int;
    kexec_file_load(kernel_fd: Fd, initrd_fd: Fd, cmdline_len: Size, cmdline: Text, flags: Hex) -> Int;
    bpf(cmd: Value(&BPF), attr: Pointer, size: Size) -> Int;
    perf_event_open(attr: Pointer, pid: Pid, cpu: Int, group_fd: Int, flags: Hex) -> Fd;
    add_key(type: Text, description: Text, payload: Pointer, plen: Size, keyring: Int) -> Int;
    request_key(type: Text, description: Text, callout_info: Text, dest_keyring: Int) -> Int;
    keyctl(operation: Int, arg2: Hex, arg3: Hex, arg4: Hex, arg5: Hex) -> Int;
    // No longer there, or never were: only the number is kept.
    create_module() -> Int;
    get_kernel_syms() -> Int;
    query_module() -> Int;
    nfsservctl() -> Int;
    getpmsg() -> Int;
    putpmsg() -> Int;
    afs_syscall() -> Int;
    tuxcall() -> Int;
    security() -> Int;
    vserver() -> Int;
}
