//! Sets of flags. `NAME width field-mask [field values] { flags }`.

use super::FlagSet;

flags! {
    /// `open` flags. O_SYNC holds O_DSYNC, O_TMPFILE holds O_DIRECTORY, so they come first.
    OPEN 32 3 [O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2] {
        O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200, O_APPEND = 0x400, O_NONBLOCK = 0x800,
        O_SYNC = 0x101000, O_DSYNC = 0x1000, O_DIRECT = 0x4000, O_LARGEFILE = 0x8000, O_NOFOLLOW = 0x20000,
        O_NOATIME = 0x40000, O_CLOEXEC = 0x80000, O_PATH = 0x200000, O_TMPFILE = 0x410000, O_DIRECTORY = 0x10000,
        FASYNC = 0x2000
    }

    /// The same on arm64, which numbers four of them its own way (`arch/arm64/include/uapi/asm/fcntl.h`).
    OPEN_ARM64 32 3 [O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2] {
        O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200, O_APPEND = 0x400, O_NONBLOCK = 0x800,
        O_SYNC = 0x101000, O_DSYNC = 0x1000, O_DIRECT = 0x10000, O_LARGEFILE = 0x20000, O_NOFOLLOW = 0x8000,
        O_NOATIME = 0x40000, O_CLOEXEC = 0x80000, O_PATH = 0x200000, O_TMPFILE = 0x404000, O_DIRECTORY = 0x4000,
        FASYNC = 0x2000
    }

    /// `pipe2`.
    PIPE 32 0 [] {
        O_NONBLOCK = 0x800, O_CLOEXEC = 0x80000, O_DIRECT = 0x4000, O_EXCL = 0x80
    }

    /// `dup3` and others that take only this.
    CLOEXEC 32 0 [] {
        O_CLOEXEC = 0x80000
    }

    /// `access` modes.
    ACCESS 32 0 [F_OK = 0] {
        R_OK = 4, W_OK = 2, X_OK = 1
    }

    /// `…at` calls.
    AT 32 0 [] {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800,
        AT_EMPTY_PATH = 0x1000, AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000
    }

    /// `statx`: its way of asking is a field of two bits.
    AT_STATX 32 0x6000 [AT_STATX_SYNC_AS_STAT = 0, AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000] {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000
    }

    /// `fsopen`.
    FSOPEN 32 0 [] {
        FSOPEN_CLOEXEC = 1
    }

    /// `shmat`.
    SHM 32 0 [] {
        SHM_RDONLY = 0x1000, SHM_RND = 0x2000, SHM_REMAP = 0x4000, SHM_EXEC = 0x8000
    }

    /// `sigaltstack`.
    SIG_STACK 32 0 [] {
        SS_ONSTACK = 1, SS_DISABLE = 2, SS_AUTODISARM = 0x80000000
    }

    /// `openat2`'s ways of walking a path (include/uapi/linux/openat2.h).
    RESOLVE 64 0 [] {
        RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
        RESOLVE_IN_ROOT = 0x10, RESOLVE_CACHED = 0x20
    }

    /// Memory file seals.
    SEALS 32 0 [] {
        F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 0x10,
        F_SEAL_EXEC = 0x20
    }

    /// What `membarrier` can do.
    MEMBARRIER_BITS 32 0 [] {
        MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 0x10, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 0x20,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 0x40, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 0x80,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 0x100
    }

    /// Attributes that `statx` tells.
    STATX_ATTRIBUTES 64 0 [] {
        STATX_ATTR_COMPRESSED = 4, STATX_ATTR_IMMUTABLE = 0x10, STATX_ATTR_APPEND = 0x20, STATX_ATTR_NODUMP = 0x40,
        STATX_ATTR_ENCRYPTED = 0x800, STATX_ATTR_AUTOMOUNT = 0x1000, STATX_ATTR_MOUNT_ROOT = 0x2000,
        STATX_ATTR_VERITY = 0x100000, STATX_ATTR_DAX = 0x200000
    }

    /// What `statfs` tells of a mount (include/linux/statfs.h).
    STATFS_FLAGS 64 0 [] {
        ST_VALID = 0x20, ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8, ST_SYNCHRONOUS = 0x10,
        ST_MANDLOCK = 0x40, ST_NOATIME = 0x400, ST_NODIRATIME = 0x800, ST_RELATIME = 0x1000, ST_NOSYMFOLLOW = 0x2000
    }

    /// `unlinkat`.
    UNLINKAT 32 0 [] {
        AT_REMOVEDIR = 0x200
    }

    /// `faccessat2`.
    FACCESSAT 32 0 [] {
        AT_EACCESS = 0x200, AT_SYMLINK_NOFOLLOW = 0x100, AT_EMPTY_PATH = 0x1000
    }

    /// Memory protection.
    PROT 32 0 [PROT_NONE = 0] {
        PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_GROWSDOWN = 0x1000000,
        PROT_GROWSUP = 0x2000000
    }

    /// `mmap`.
    MAP 32 0xf [
        MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_DROPPABLE = 8
    ] {
        MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40, MAP_GROWSDOWN = 0x100,
        MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000, MAP_NONBLOCK = 0x10000, MAP_STACK = 0x20000, MAP_HUGETLB = 0x40000,
        MAP_SYNC = 0x80000, MAP_FIXED_NOREPLACE = 0x100000
    }

    /// `mremap`.
    MREMAP 32 0 [] {
        MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4
    }

    /// `msync`.
    MSYNC 32 0 [] {
        MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4
    }

    /// `mlockall`.
    MLOCKALL 32 0 [] {
        MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4
    }

    /// `mlock2`.
    MLOCK2 32 0 [] {
        MLOCK_ONFAULT = 1
    }

    /// `clone`: the low byte is the signal at the child’s end.
    CLONE 64 0 [] {
        CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800,
        CLONE_PIDFD = 0x1000, CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000,
        CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SYSVSEM = 0x40000, CLONE_SETTLS = 0x80000,
        CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_DETACHED = 0x400000,
        CLONE_UNTRACED = 0x800000, CLONE_CHILD_SETTID = 0x1000000, CLONE_NEWCGROUP = 0x2000000,
        CLONE_NEWUTS = 0x4000000, CLONE_NEWIPC = 0x8000000, CLONE_NEWUSER = 0x10000000,
        CLONE_NEWPID = 0x20000000, CLONE_NEWNET = 0x40000000, CLONE_IO = 0x80000000,
        CLONE_CLEAR_SIGHAND = 0x100000000, CLONE_INTO_CGROUP = 0x200000000
    }

    /// `unshare`, `setns`.
    UNSHARE 32 0 [] {
        CLONE_NEWTIME = 0x80, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_NEWNS = 0x20000,
        CLONE_SYSVSEM = 0x40000, CLONE_NEWCGROUP = 0x2000000, CLONE_NEWUTS = 0x4000000,
        CLONE_NEWIPC = 0x8000000, CLONE_NEWUSER = 0x10000000, CLONE_NEWPID = 0x20000000,
        CLONE_NEWNET = 0x40000000
    }

    /// Socket types.
    SOCK 32 0xf [
        SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5, SOCK_DCCP = 6,
        SOCK_PACKET = 0xa
    ] {
        SOCK_CLOEXEC = 0x80000, SOCK_NONBLOCK = 0x800
    }

    /// `accept4`.
    SOCK_FLAGS 32 0 [] {
        SOCK_CLOEXEC = 0x80000, SOCK_NONBLOCK = 0x800
    }

    /// Socket messages.
    MSG 32 0 [] {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20,
        MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100, MSG_CONFIRM = 0x800,
        MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000, MSG_WAITFORONE = 0x10000,
        MSG_ZEROCOPY = 0x4000000, MSG_FASTOPEN = 0x20000000, MSG_CMSG_CLOEXEC = 0x40000000
    }

    /// Descriptor flags.
    FD 32 0 [] {
        FD_CLOEXEC = 1
    }

    /// `flock`.
    FLOCK 32 0xb [LOCK_SH = 1, LOCK_EX = 2, LOCK_UN = 8] {
        LOCK_NB = 4
    }

    /// `epoll_create1`.
    EPOLL_CREATE 32 0 [] {
        EPOLL_CLOEXEC = 0x80000
    }

    /// Events of `epoll`.
    EPOLL 32 0 [] {
        EPOLLIN = 1, EPOLLPRI = 2, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 0x10, EPOLLRDNORM = 0x40,
        EPOLLRDBAND = 0x80, EPOLLWRNORM = 0x100, EPOLLWRBAND = 0x200, EPOLLMSG = 0x400,
        EPOLLRDHUP = 0x2000, EPOLLEXCLUSIVE = 0x10000000, EPOLLWAKEUP = 0x20000000,
        EPOLLONESHOT = 0x40000000, EPOLLET = 0x80000000
    }

    /// `eventfd2`.
    EFD 32 0 [] {
        EFD_SEMAPHORE = 1, EFD_CLOEXEC = 0x80000, EFD_NONBLOCK = 0x800
    }

    /// `timerfd_create`.
    TFD 32 0 [] {
        TFD_CLOEXEC = 0x80000, TFD_NONBLOCK = 0x800
    }

    /// `timerfd_settime`.
    TFD_SET 32 0 [] {
        TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2
    }

    /// `signalfd4`.
    SFD 32 0 [] {
        SFD_CLOEXEC = 0x80000, SFD_NONBLOCK = 0x800
    }

    /// `inotify_init1`.
    IN_INIT 32 0 [] {
        IN_NONBLOCK = 0x800, IN_CLOEXEC = 0x80000
    }

    /// `inotify_add_watch`.
    IN 32 0 [] {
        IN_ACCESS = 1, IN_MODIFY = 2, IN_ATTRIB = 4, IN_CLOSE_WRITE = 8, IN_CLOSE_NOWRITE = 0x10,
        IN_OPEN = 0x20, IN_MOVED_FROM = 0x40, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200,
        IN_DELETE_SELF = 0x400, IN_MOVE_SELF = 0x800, IN_ONLYDIR = 0x1000000,
        IN_DONT_FOLLOW = 0x2000000, IN_EXCL_UNLINK = 0x4000000, IN_MASK_CREATE = 0x10000000,
        IN_MASK_ADD = 0x20000000, IN_ONESHOT = 0x80000000
    }

    /// `memfd_create`.
    MFD 32 0 [] {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 0x10
    }

    /// `pidfd_open`.
    PIDFD 32 0 [] {
        O_NONBLOCK = 0x800, O_EXCL = 0x80
    }

    /// `clock_nanosleep`, `timer_settime`.
    TIMER 32 0 [] {
        TIMER_ABSTIME = 1
    }

    /// `futex` operations.
    FUTEX 32 0x7f [
        FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_FD = 2, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4,
        FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8,
        FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 0xa, FUTEX_WAIT_REQUEUE_PI = 0xb,
        FUTEX_CMP_REQUEUE_PI = 0xc, FUTEX_LOCK_PI2 = 0xd
    ] {
        FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100
    }

    /// `wait4`, `waitid`.
    WAIT 32 0 [] {
        WNOHANG = 1, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x1000000,
        __WNOTHREAD = 0x20000000, __WALL = 0x40000000, __WCLONE = 0x80000000
    }

    /// `mount`.
    MOUNT 64 0 [] {
        MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 0x10,
        MS_REMOUNT = 0x20, MS_MANDLOCK = 0x40, MS_DIRSYNC = 0x80, MS_NOSYMFOLLOW = 0x100,
        MS_NOATIME = 0x400, MS_NODIRATIME = 0x800, MS_BIND = 0x1000, MS_MOVE = 0x2000, MS_REC = 0x4000,
        MS_SILENT = 0x8000, MS_POSIXACL = 0x10000, MS_UNBINDABLE = 0x20000, MS_PRIVATE = 0x40000,
        MS_SLAVE = 0x80000, MS_SHARED = 0x100000, MS_RELATIME = 0x200000, MS_KERNMOUNT = 0x400000,
        MS_I_VERSION = 0x800000, MS_STRICTATIME = 0x1000000, MS_LAZYTIME = 0x2000000
    }

    /// `umount2`.
    UMOUNT 32 0 [] {
        MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8
    }

    /// `fallocate`.
    FALLOCATE 32 0 [] {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_NO_HIDE_STALE = 4,
        FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10, FALLOC_FL_INSERT_RANGE = 0x20,
        FALLOC_FL_UNSHARE_RANGE = 0x40
    }

    /// `splice`.
    SPLICE 32 0 [] {
        SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8
    }

    /// `sync_file_range`.
    SYNC_RANGE 32 0 [] {
        SYNC_FILE_RANGE_WAIT_BEFORE = 1, SYNC_FILE_RANGE_WRITE = 2, SYNC_FILE_RANGE_WAIT_AFTER = 4
    }

    /// `renameat2`.
    RENAME 32 0 [] {
        RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4
    }

    /// `setxattr`.
    XATTR 32 0 [] {
        XATTR_CREATE = 1, XATTR_REPLACE = 2
    }

    /// `getrandom`.
    GRND 32 0 [] {
        GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4
    }

    /// `preadv2`.
    RWF 32 0 [] {
        RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10,
        RWF_NOAPPEND = 0x20, RWF_ATOMIC = 0x40, RWF_DONTCACHE = 0x80
    }

    /// `seccomp`.
    SECCOMP_FLAGS 32 0 [] {
        SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20
    }

    /// `statx` masks.
    STATX 32 0 [] {
        STATX_ALL = 0xfff, STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2, STATX_NLINK = 4, STATX_UID = 8,
        STATX_GID = 0x10, STATX_ATIME = 0x20, STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100,
        STATX_SIZE = 0x200, STATX_BLOCKS = 0x400, STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000,
        STATX_DIOALIGN = 0x2000, STATX_MNT_ID_UNIQUE = 0x4000, STATX_SUBVOL = 0x8000
    }

    /// `close_range`.
    CLOSE_RANGE 32 0 [] {
        CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4
    }

    /// `poll` events.
    POLL 32 0 [] {
        POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10, POLLNVAL = 0x20,
        POLLRDNORM = 0x40, POLLRDBAND = 0x80, POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400,
        POLLREMOVE = 0x1000, POLLRDHUP = 0x2000
    }

    /// `…get` and `msgrcv`.
    IPC 32 0 [] {
        IPC_CREAT = 0x200, IPC_EXCL = 0x400, IPC_NOWAIT = 0x800
    }

    /// `pkey_alloc`.
    PKEY_ACCESS 32 0 [] {
        PKEY_DISABLE_ACCESS = 1, PKEY_DISABLE_WRITE = 2
    }

    /// `io_uring_enter`.
    URING_ENTER 32 0 [] {
        IORING_ENTER_GETEVENTS = 1, IORING_ENTER_SQ_WAKEUP = 2, IORING_ENTER_SQ_WAIT = 4,
        IORING_ENTER_EXT_ARG = 8, IORING_ENTER_REGISTERED_RING = 0x10
    }

    /// `sa_flags`.
    SIGACTION 64 0 [] {
        SA_RESTORER = 0x4000000, SA_ONSTACK = 0x8000000, SA_RESTART = 0x10000000,
        SA_NODEFER = 0x40000000, SA_RESETHAND = 0x80000000, SA_SIGINFO = 4, SA_NOCLDSTOP = 1,
        SA_NOCLDWAIT = 2
    }
}
