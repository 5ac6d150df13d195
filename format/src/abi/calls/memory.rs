//! Memory, shared memory, message queues, semaphores.

use super::prelude::*;

calls! {
    mmap(addr: Pointer, length: Size, prot: Flags(&PROT), flags: Flags(&MAP), fd: Fd, offset: Hex) -> Hex;
    mprotect(addr: Pointer, len: Size, prot: Flags(&PROT)) -> Int;
    munmap(addr: Pointer, length: Size) -> Int;
    brk(addr: Pointer) -> Hex;
    mremap(old_address: Pointer, old_size: Size, new_size: Size, flags: Flags(&MREMAP), new_address: Pointer) -> Hex;
    msync(addr: Pointer, length: Size, flags: Flags(&MSYNC)) -> Int;
    mincore(addr: Pointer, length: Size, vec: Pointer) -> Int;
    madvise(addr: Pointer, length: Size, advice: Value(&MADV)) -> Int;
    process_madvise(pidfd: Fd, iovec: Pointer, vlen: Size, advice: Value(&MADV), flags: Hex) -> Int;
    mlock(addr: Pointer, len: Size) -> Int;
    mlock2(addr: Pointer, len: Size, flags: Flags(&MLOCK2)) -> Int;
    munlock(addr: Pointer, len: Size) -> Int;
    mlockall(flags: Flags(&MLOCKALL)) -> Int;
    munlockall() -> Int;
    mseal(addr: Pointer, len: Size, flags: Hex) -> Int;
    remap_file_pages(addr: Pointer, size: Size, prot: Flags(&PROT), pgoff: Size, flags: Flags(&MAP)) -> Int;
    map_shadow_stack(addr: Pointer, size: Size, flags: Hex) -> Hex;
    pkey_mprotect(addr: Pointer, len: Size, prot: Flags(&PROT), pkey: Int) -> Int;
    pkey_alloc(flags: Hex, access_rights: Flags(&PKEY_ACCESS)) -> Int;
    pkey_free(pkey: Int) -> Int;
    mbind(addr: Pointer, len: Size, mode: Hex, nodemask: Pointer, maxnode: Size, flags: Hex) -> Int;
    set_mempolicy(mode: Hex, nodemask: Pointer, maxnode: Size) -> Int;
    get_mempolicy(mode: Pointer, nodemask: Pointer, maxnode: Size, addr: Pointer, flags: Hex) -> Int;
    set_mempolicy_home_node(start: Pointer, len: Size, home_node: Size, flags: Hex) -> Int;
    migrate_pages(pid: Pid, maxnode: Size, old_nodes: Pointer, new_nodes: Pointer) -> Int;
    move_pages(pid: Pid, count: Size, pages: Pointer, nodes: Pointer, status: Pointer, flags: Hex) -> Int;
    membarrier(cmd: Value(&MEMBARRIER), flags: Hex, cpu_id: Int) -> Int;
    process_vm_readv(pid: Pid, local_iov: Pointer, liovcnt: Size, remote_iov: Pointer, riovcnt: Size, flags: Hex) -> Int;
    process_vm_writev(pid: Pid, local_iov: Pointer, liovcnt: Size, remote_iov: Pointer, riovcnt: Size, flags: Hex) -> Int;
    shmget(key: Value(&IPC_KEY), size: Size, shmflg: Flags(&IPC)) -> Int;
    shmat(shmid: Int, shmaddr: Pointer, shmflg: Flags(&SHM)) -> Hex;
    shmctl(shmid: Int, cmd: Value(&IPC_CMD), buf: Pointer) -> Int;
    shmdt(shmaddr: Pointer) -> Int;
    semget(key: Value(&IPC_KEY), nsems: Int, semflg: Flags(&IPC)) -> Int;
    semop(semid: Int, sops: Pointer, nsops: Size) -> Int;
    semtimedop(semid: Int, sops: Pointer, nsops: Size, timeout: TIMESPEC) -> Int;
    semctl(semid: Int, semnum: Int, cmd: Value(&IPC_CMD), arg: Hex) -> Int;
    msgget(key: Value(&IPC_KEY), msgflg: Flags(&IPC)) -> Int;
    msgsnd(msqid: Int, msgp: Pointer, msgsz: Size, msgflg: Flags(&IPC)) -> Int;
    msgrcv(msqid: Int, msgp: Pointer, msgsz: Size, msgtyp: Long, msgflg: Flags(&IPC)) -> Int;
    msgctl(msqid: Int, cmd: Value(&IPC_CMD), buf: Pointer) -> Int;
    mq_open(name: Text, oflag: Flags(&OPEN), mode: Mode, attr: Pointer) -> Fd;
    mq_unlink(name: Text) -> Int;
    mq_timedsend(mqdes: Fd, msg_ptr: BufferIn { len_arg: 2 }, msg_len: Size, msg_prio: Uint, abs_timeout: TIMESPEC) -> Int;
    mq_timedreceive(mqdes: Fd, msg_ptr: BufferOut, msg_len: Size, msg_prio: Pointer, abs_timeout: TIMESPEC) -> Int;
    mq_notify(mqdes: Fd, sevp: Pointer) -> Int;
    mq_getsetattr(mqdes: Fd, newattr: Pointer, oldattr: Pointer) -> Int;
    futex(uaddr: Pointer, futex_op: Flags(&FUTEX), val: Uint, timeout: FutexTimeout { op_arg: 1, layout: Layout::Timespec }, uaddr2: Pointer, val3: Hex) -> Int;
    futex_wait(uaddr: Pointer, val: Hex, mask: Hex, flags: Hex, timeout: TIMESPEC, clockid: Value(&CLOCK)) -> Int;
    futex_wake(uaddr: Pointer, mask: Hex, nr: Int, flags: Hex) -> Int;
    futex_requeue(waiters: Pointer, flags: Hex, nr_wake: Int, nr_requeue: Int) -> Int;
    futex_waitv(waiters: Pointer, nr_futexes: Uint, flags: Hex, timeout: TIMESPEC, clockid: Value(&CLOCK)) -> Int;
}
