//! What each call takes and gives: one row a call.
//!
//! Argument names are those of the manual pages, where there is one, else the kernel's.

/// Rows `name(argument: kind, …) -> result;` become a slice of [`Call`](super::Call).
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:expr),*) -> $ret:ident;)*) => {
        /// The rows.
        pub(in crate::abi) static CALLS: &[Call] = &[$(Call {
            name: stringify!($name),
            args: &[$(Arg { name: stringify!($arg), kind: $kind }),*],
            ret: RetKind::$ret,
        }),*];
    };
}

mod files;
mod i386;
mod io;
mod memory;
mod network;
mod process;
mod system;

use super::Call;

/// Every row but those of [`I386`].
pub(super) fn common() -> impl Iterator<Item = &'static Call> {
    [
        files::CALLS,
        io::CALLS,
        network::CALLS,
        memory::CALLS,
        process::CALLS,
        system::CALLS,
    ]
    .into_iter()
    .flatten()
}

/// Calls that only i386 has, and those whose arguments differ there.
pub(super) fn i386() -> impl Iterator<Item = &'static Call> {
    i386::CALLS.iter()
}

/// What the rows are written with.
mod prelude {
    pub(super) use crate::abi::Kind::{
        self, Array, BufferIn, BufferOut, BufferPtr, DescriptorPair, DirFd, Fcntl, Fd, FdSet, Flags,
        FutexTimeout, Hex, Int, Ioctl, IovecIn, IovecOut, Long, Mode, MsghdrIn, MsghdrOut, Offset, Path, Pid,
        Pointer, Protocol, Signal, Size, Sockaddr, SockaddrOut, SocketOption, Text, TextOut, Uint, Value,
    };
    pub(super) use crate::abi::Kind::{Argv, Envp};
    pub(super) use crate::abi::flags::{sets::*, values::*};
    pub(super) use crate::abi::{Arg, Call, Layout, RESULT, RetKind};
    use crate::event::When;

    const fn taken(layout: Layout) -> Kind {
        Kind::Struct(layout, When::Entry)
    }

    const fn given(layout: Layout) -> Kind {
        Kind::Struct(layout, When::Exit)
    }

    pub(super) const CAP_DATA: Kind = taken(Layout::CapData);
    pub(super) const CAP_DATA_OUT: Kind = given(Layout::CapData);
    pub(super) const CAP_HEADER: Kind = taken(Layout::CapHeader);
    pub(super) const CLONE_ARGS: Kind = taken(Layout::CloneArgs);
    pub(super) const EPOLL_EVENT: Kind = taken(Layout::EpollEvent);
    pub(super) const EPOLL_EVENTS: Kind = Array {
        layout: Layout::EpollEvent,
        count_arg: RESULT,
    };
    pub(super) const FILTER_PROGRAM: Kind = taken(Layout::FilterProgram);
    pub(super) const I32: Kind = taken(Layout::I32);
    pub(super) const I32_OUT: Kind = given(Layout::I32);
    pub(super) const ITIMERSPEC: Kind = taken(Layout::Itimerspec);
    pub(super) const ITIMERSPEC_OUT: Kind = given(Layout::Itimerspec);
    pub(super) const ITIMERVAL: Kind = taken(Layout::Itimerval);
    pub(super) const ITIMERVAL_OUT: Kind = given(Layout::Itimerval);
    pub(super) const POLLFDS: Kind = Array {
        layout: Layout::Pollfd,
        count_arg: 1,
    };
    pub(super) const OFFSET: Kind = taken(Layout::Offset);
    pub(super) const OFFSET_OUT: Kind = given(Layout::Offset);
    pub(super) const OPEN_HOW: Kind = taken(Layout::OpenHow);
    pub(super) const RLIMIT_IN: Kind = taken(Layout::Rlimit);
    pub(super) const RLIMIT_OUT: Kind = given(Layout::Rlimit);
    pub(super) const RLIMIT64_IN: Kind = taken(Layout::Rlimit64);
    pub(super) const RLIMIT64_OUT: Kind = given(Layout::Rlimit64);
    pub(super) const RUSAGE_OUT: Kind = given(Layout::Rusage);
    pub(super) const SIG_STACK: Kind = taken(Layout::SigStack);
    pub(super) const SIG_STACK_OUT: Kind = given(Layout::SigStack);
    pub(super) const SIGACTION_OUT: Kind = given(Layout::Sigaction);
    pub(super) const SIGACTION: Kind = taken(Layout::Sigaction);
    pub(super) const SIGSET: Kind = taken(Layout::Sigset);
    pub(super) const SIGSET_OUT: Kind = given(Layout::Sigset);
    pub(super) const SOCKLEN: Kind = given(Layout::U32);
    pub(super) const STAT_OUT: Kind = given(Layout::Stat);
    pub(super) const STAT64_OUT: Kind = given(Layout::Stat64);
    pub(super) const STATFS_OUT: Kind = given(Layout::Statfs);
    pub(super) const STATX_OUT: Kind = given(Layout::Statx);
    pub(super) const SYSINFO_OUT: Kind = given(Layout::Sysinfo);
    pub(super) const STATUS_OUT: Kind = given(Layout::WaitStatus);
    pub(super) const TIMESPEC: Kind = taken(Layout::Timespec);
    pub(super) const TIMESPEC_OUT: Kind = given(Layout::Timespec);
    // `select` and `poll` write the rest of the time over what they were given.
    pub(super) const TIMESPEC_LEFT: Kind = given(Layout::Timespec);
    pub(super) const TIMESPEC64_LEFT: Kind = given(Layout::Timespec64);
    pub(super) const TIMEVAL_LEFT: Kind = given(Layout::Timeval);
    pub(super) const TIMESPEC64: Kind = taken(Layout::Timespec64);
    pub(super) const TIMESPEC64_OUT: Kind = given(Layout::Timespec64);
    pub(super) const TIMESPEC_PAIR: Kind = taken(Layout::TimespecPair);
    pub(super) const TIMEVAL: Kind = taken(Layout::Timeval);
    pub(super) const TIMEVAL_OUT: Kind = given(Layout::Timeval);
    pub(super) const TIMEVAL_PAIR: Kind = taken(Layout::TimevalPair);
    pub(super) const U32_OUT: Kind = given(Layout::U32);
    pub(super) const URING_PARAMS: Kind = given(Layout::UringParams);
    pub(super) const UTIMBUF: Kind = taken(Layout::Utimbuf);
    pub(super) const UTSNAME_OUT: Kind = given(Layout::Utsname);
    pub(super) const WAIT_INFO: Kind = given(Layout::WaitInfo);
}
