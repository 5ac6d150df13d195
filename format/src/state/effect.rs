//! What a call does to the state, by its table and number: looked up once for each number.

use crate::abi::{self, RetKind};
use crate::event::Abi;
use std::sync::LazyLock;

/// What a successful call changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that the state knows of.
    None,
    /// Opens the file at a path; positions of the folder's descriptor, the path, the flags.
    Open {
        dir: Option<u8>,
        path: u8,
        flags: OpenFlags,
    },
    /// Makes a descriptor of a kind; close-on-exec by the bits of an argument.
    Make {
        kind: &'static str,
        name: &'static str,
        flags: Option<(u8, u64)>,
    },
    /// Makes a descriptor of which nothing else is known.
    Unknown,
    Close,
    CloseRange,
    Dup,
    DupTo {
        flags: Option<u8>,
    },
    Fcntl,
    Ioctl,
    Pipe {
        flags: Option<u8>,
    },
    Socket,
    SocketPair,
    Bind,
    Listen,
    Accept {
        flags: Option<u8>,
    },
    Connect,
    /// Receives a message, with which descriptors may come; the position of the message, where it is copied.
    Receive {
        message: Option<u8>,
    },
    Shutdown,
    /// Tells the socket's own address.
    OwnName,
    /// Tells the other end's.
    PeerName,
    Chdir,
    Fchdir,
    Mount,
    Unmount,
}

/// Where the flags of an open are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFlags {
    /// There are none.
    None,
    /// An argument.
    Argument(u8),
    /// The first 64 bits of the structure behind an argument, `struct open_how` (include/uapi/linux/openat2.h).
    Behind(u8),
}

/// Which descriptor a call is about: see [`abi::descriptor_arg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Nothing,
    Argument(u8),
    Result,
}

/// What is known of a call's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) effect: Effect,
    pub(super) about: About,
}

const UNKNOWN: Facts = Facts {
    effect: Effect::None,
    about: About::Nothing,
};

static X86_64: LazyLock<Vec<Facts>> = LazyLock::new(|| table(Abi::X86_64));
static I386: LazyLock<Vec<Facts>> = LazyLock::new(|| table(Abi::I386));
static AARCH64: LazyLock<Vec<Facts>> = LazyLock::new(|| table(Abi::Aarch64));

/// What is known of a call.
pub(super) fn facts(abi: Abi, number: u32) -> Facts {
    let table = match abi {
        Abi::X86_64 => &X86_64,
        Abi::I386 => &I386,
        Abi::Aarch64 => &AARCH64,
    };
    usize::try_from(number)
        .ok()
        .and_then(|number| table.get(number))
        .copied()
        .unwrap_or(UNKNOWN)
}

fn table(abi: Abi) -> Vec<Facts> {
    let mut rows = Vec::new();
    for (number, call) in abi::all(abi) {
        let number = usize::try_from(number).unwrap_or(0);
        if rows.len() <= number {
            rows.resize(number + 1, UNKNOWN);
        }
        let about = match abi::descriptor_arg(call) {
            Some(arg) => About::Argument(u8::try_from(arg).unwrap_or(0)),
            None if abi::descriptor_is_result(call) => About::Result,
            None => About::Nothing,
        };
        if let Some(row) = rows.get_mut(number) {
            *row = Facts {
                effect: match effect(call.name) {
                    Effect::None if call.ret == RetKind::Fd => Effect::Unknown,
                    effect => effect,
                },
                about,
            };
        }
    }
    rows
}

/// `O_CLOEXEC`, which `SOCK_`, `EPOLL_`, `EFD_`, `TFD_`, `SFD_` and `IN_CLOEXEC` all are
/// (include/uapi/asm-generic/fcntl.h, 6.1).
pub(super) const CLOEXEC: u64 = 0o2_000_000;

fn effect(name: &str) -> Effect {
    let make = |kind, name, flags| Effect::Make { kind, name, flags };
    match name {
        "open" => Effect::Open {
            dir: None,
            path: 0,
            flags: OpenFlags::Argument(1),
        },
        "creat" => Effect::Open {
            dir: None,
            path: 0,
            flags: OpenFlags::None,
        },
        "openat" => Effect::Open {
            dir: Some(0),
            path: 1,
            flags: OpenFlags::Argument(2),
        },
        "openat2" => Effect::Open {
            dir: Some(0),
            path: 1,
            flags: OpenFlags::Behind(2),
        },
        "epoll_create" => make("eventpoll", "anon_inode:[eventpoll]", None),
        "epoll_create1" => make("eventpoll", "anon_inode:[eventpoll]", Some((0, CLOEXEC))),
        "eventfd" => make("event", "anon_inode:[eventfd]", None),
        "eventfd2" => make("event", "anon_inode:[eventfd]", Some((1, CLOEXEC))),
        "timerfd_create" => make("timerfd", "anon_inode:[timerfd]", Some((1, CLOEXEC))),
        "signalfd" => make("signalfd", "anon_inode:[signalfd]", None),
        "signalfd4" => make("signalfd", "anon_inode:[signalfd]", Some((3, CLOEXEC))),
        "inotify_init" => make("inotify", "anon_inode:inotify", None),
        "inotify_init1" => make("inotify", "anon_inode:inotify", Some((0, CLOEXEC))),
        "userfaultfd" => make("userfaultfd", "anon_inode:[userfaultfd]", Some((0, CLOEXEC))),
        // MFD_CLOEXEC is 1 (include/uapi/linux/memfd.h); the name is the call's.
        "memfd_create" => make("memfd", "/memfd:", Some((1, 1))),
        // Both are always close-on-exec (kernel/pid.c `pidfd_create`, io_uring/io_uring.c).
        "pidfd_open" => make("pidfd", "anon_inode:[pidfd]", Some((1, 0))),
        "io_uring_setup" => make("iouring", "anon_inode:[io_uring]", Some((1, 0))),
        "perf_event_open" => make("perf_event", "anon_inode:[perf_event]", Some((4, 8))),
        "close" => Effect::Close,
        "close_range" => Effect::CloseRange,
        "dup" => Effect::Dup,
        "dup2" => Effect::DupTo { flags: None },
        "dup3" => Effect::DupTo { flags: Some(2) },
        "fcntl" | "fcntl64" => Effect::Fcntl,
        "ioctl" => Effect::Ioctl,
        "pipe" => Effect::Pipe { flags: None },
        "pipe2" => Effect::Pipe { flags: Some(1) },
        "socket" => Effect::Socket,
        "socketpair" => Effect::SocketPair,
        "bind" => Effect::Bind,
        "listen" => Effect::Listen,
        "accept" => Effect::Accept { flags: None },
        "accept4" => Effect::Accept { flags: Some(3) },
        "connect" => Effect::Connect,
        "recvmsg" => Effect::Receive { message: Some(1) },
        "recvmmsg" | "recvmmsg_time64" => Effect::Receive { message: None },
        "shutdown" => Effect::Shutdown,
        "getsockname" => Effect::OwnName,
        "getpeername" => Effect::PeerName,
        "chdir" => Effect::Chdir,
        "fchdir" => Effect::Fchdir,
        "mount" => Effect::Mount,
        "umount2" | "umount" => Effect::Unmount,
        _ => Effect::None,
    }
}
