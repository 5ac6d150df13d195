//! The system call tables: numbers, names, arguments, flags, errors, signals.
//!
//! Plain data. `capture` decides by it what memory to copy for a call, `replay` renders by it, and the fold finds
//! file names and descriptors through it.

mod aarch64;
mod calls;
pub mod errno;
mod flags;
mod i386;
mod number;
pub mod signal;
pub mod uring;
mod x86_64;

pub use flags::{FlagSet, ValueSet, sets, values};

use crate::event::{Abi, ArgKind, When};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A call: its name, what it takes, what it gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The name, as in `unistd.h`: `openat`, `pread64`, `newfstatat`.
    pub name: &'static str,
    /// Its arguments, at most six, in the order of registers.
    pub args: &'static [Arg],
    /// What it returns when it does not fail.
    pub ret: RetKind,
}

/// An argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name in the manual page.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What an argument holds, or what the memory holds that it points to. `…_arg` are positions of other arguments of the
/// same call, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed 32-bit number.
    Int,
    /// An unsigned 32-bit number.
    Uint,
    /// A signed number as wide as a register.
    Long,
    /// Bits or an opaque value, in hex.
    Hex,
    /// An address whose memory isn't looked at.
    Pointer,
    /// A length or count, unsigned, as wide as a register.
    Size,
    /// A file offset, signed.
    Offset,
    /// Permission bits, in octal.
    Mode,
    /// A descriptor.
    Fd,
    /// The descriptor of a folder that the next [`Kind::Path`] starts from, or `AT_FDCWD` (-100).
    DirFd,
    /// A process or thread id, in the caller's pid namespace.
    Pid,
    /// A signal.
    Signal,
    /// A file name that ends with NUL.
    Path,
    /// Another text that ends with NUL.
    Text,
    /// A buffer that the call fills with a text that ends with NUL.
    TextOut,
    /// A socket address that is given to the call.
    Sockaddr {
        /// Holds its length in bytes.
        len_arg: u8,
    },
    /// A socket address that the call fills in.
    SockaddrOut {
        /// Points to its length, a `u32`, which the call sets.
        len_ptr_arg: u8,
    },
    /// Bytes that are given to the call.
    BufferIn {
        /// Holds their number.
        len_arg: u8,
    },
    /// Bytes that the call fills in; their number is the call's result.
    BufferOut,
    /// An array of `struct iovec` whose memory is given to the call.
    IovecIn {
        /// Holds the number of entries.
        count_arg: u8,
    },
    /// An array of `struct iovec` whose memory the call fills; the bytes in all are the call's result.
    IovecOut {
        /// Holds the number of entries.
        count_arg: u8,
    },
    /// A `struct msghdr` that is given to the call; captured are the bytes of its iovecs.
    MsghdrIn,
    /// A `struct msghdr` that the call fills; captured are the bytes of its iovecs.
    MsghdrOut,
    /// Two descriptors that the call makes.
    DescriptorPair,
    /// An array of pointers to texts, ended by a null pointer.
    Argv,
    /// The same, of the environment: captured is only how many there are.
    Envp,
    /// Bytes that the call fills in, as many as another argument then says.
    BufferPtr {
        /// Points to their number, a `u32`, which the call sets.
        len_ptr_arg: u8,
    },
    /// An array of structures.
    Array {
        /// What an element is.
        layout: Layout,
        /// Holds the number of elements; 6 for the call's result.
        count_arg: u8,
    },
    /// A set of descriptors, as `select` takes and changes it.
    FdSet {
        /// Holds one more than the highest descriptor.
        count_arg: u8,
    },
    /// Flags.
    Flags(&'static FlagSet),
    /// One of several values.
    Value(&'static ValueSet),
    /// A structure of fixed size, and when its content is of interest.
    Struct(Layout, When),
    /// The third argument of `fcntl`, which depends on the command.
    Fcntl {
        /// Holds the command.
        cmd_arg: u8,
    },
    /// The fourth argument of `futex`: a timeout, or a number, as the operation has it.
    FutexTimeout {
        /// Holds the operation.
        op_arg: u8,
        /// What a timeout is.
        layout: Layout,
    },
    /// The third argument of `ioctl`, which depends on the request.
    Ioctl {
        /// Holds the request.
        request_arg: u8,
    },
    /// A protocol, whose names depend on the address family.
    Protocol {
        /// Holds the family.
        domain_arg: u8,
    },
    /// A socket option, whose names depend on the level.
    SocketOption {
        /// Holds the level.
        level_arg: u8,
    },
}

/// The `count_arg` of an array whose length is the call's result.
pub const RESULT: u8 = 6;

impl Kind {
    /// As what the memory behind the argument is captured; `None` when it holds no address, or one that is not followed.
    #[must_use]
    pub fn captured_as(self) -> Option<ArgKind> {
        Some(match self {
            Self::Path | Self::Text | Self::TextOut => ArgKind::Path,
            Self::Sockaddr { .. } | Self::SockaddrOut { .. } => ArgKind::Sockaddr,
            Self::BufferIn { .. }
            | Self::BufferOut
            | Self::BufferPtr { .. }
            | Self::IovecIn { .. }
            | Self::IovecOut { .. }
            | Self::MsghdrIn
            | Self::MsghdrOut => ArgKind::Buffer,
            Self::DescriptorPair => ArgKind::DescriptorPair,
            Self::Argv => ArgKind::Strings,
            Self::Struct(..)
            | Self::Envp
            | Self::Array { .. }
            | Self::FdSet { .. }
            | Self::Fcntl { .. }
            | Self::FutexTimeout { .. }
            | Self::Ioctl { .. } => ArgKind::Struct,
            _ => return None,
        })
    }

    /// When the memory behind the argument holds what is of interest; `None` where [`Kind::captured_as`] is.
    #[must_use]
    pub fn captured_at(self) -> Option<When> {
        Some(match self {
            Self::Path
            | Self::Text
            | Self::Sockaddr { .. }
            | Self::BufferIn { .. }
            | Self::IovecIn { .. }
            | Self::MsghdrIn
            | Self::Argv
            | Self::Envp
            | Self::Fcntl { .. }
            | Self::FutexTimeout { .. }
            | Self::Ioctl { .. } => When::Entry,
            Self::Array { count_arg, .. } => {
                if count_arg == RESULT {
                    When::Exit
                } else {
                    When::Entry
                }
            }
            Self::TextOut
            | Self::SockaddrOut { .. }
            | Self::BufferOut
            | Self::BufferPtr { .. }
            | Self::FdSet { .. }
            | Self::IovecOut { .. }
            | Self::MsghdrOut
            | Self::DescriptorPair => When::Exit,
            Self::Struct(_, when) => when,
            _ => return None,
        })
    }
}

/// A structure's layout: what its bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An `int`.
    I32,
    /// An `unsigned int`, `socklen_t`, `uid_t`.
    U32,
    /// A `loff_t`: 64 bits on every ABI.
    Offset,
    /// The status of `wait4`.
    WaitStatus,
    /// `struct timespec`: two registers wide.
    Timespec,
    /// `struct timespec` of 64-bit times on every ABI.
    Timespec64,
    /// Two of them: access and modification.
    TimespecPair,
    /// `struct timeval`.
    Timeval,
    /// Two of them.
    TimevalPair,
    /// `struct itimerval`: interval and value.
    Itimerval,
    /// `struct itimerspec`: interval and value.
    Itimerspec,
    /// `struct rlimit`: two registers wide.
    Rlimit,
    /// `struct rlimit64`.
    Rlimit64,
    /// `struct open_how`: flags, mode, resolve, 64 bits each (include/uapi/linux/openat2.h).
    OpenHow,
    /// `struct clone_args`: eleven 64-bit values (include/uapi/linux/sched.h).
    CloneArgs,
    /// `struct epoll_event`: 32 bits of events and 64 of data, packed on x86.
    EpollEvent,
    /// A set of 64 signals.
    Sigset,
    /// The kernel's `struct sigaction`: handler, flags, restorer (x86), mask.
    Sigaction,
    /// `struct stat`, on i386 what `stat64` gives there is [`Layout::Stat64`].
    Stat,
    /// `struct stat64` of i386.
    Stat64,
    /// The first 144 bytes of `struct statx`: what is behind them are mount and alignment numbers.
    Statx,
    /// `struct statfs`.
    Statfs,
    /// The names of system and node, 65 bytes each, of `struct new_utsname`.
    Utsname,
    /// The times of `struct rusage`, its first members.
    Rusage,
    /// `stack_t`.
    SigStack,
    /// The first 40 bytes of `siginfo_t`: what `waitid` tells.
    WaitInfo,
    /// `struct sysinfo`.
    Sysinfo,
    /// `struct __user_cap_header_struct`.
    CapHeader,
    /// Two of `struct __user_cap_data_struct`.
    CapData,
    /// `struct pollfd`.
    Pollfd,
    /// `struct iovec`.
    Iovec,
    /// `struct utimbuf`: two times of a register's width.
    Utimbuf,
    /// `struct sock_fprog`, its length only.
    FilterProgram,
    /// `struct flock`.
    Flock,
    /// The first 40 bytes of `struct io_uring_params`.
    UringParams,
}

impl Layout {
    /// The size in bytes on an ABI.
    #[must_use]
    pub fn size(self, abi: Abi) -> u32 {
        let word = if abi == Abi::I386 { 4 } else { 8 };
        match self {
            Self::I32 | Self::U32 | Self::WaitStatus => 4,
            Self::Offset | Self::Sigset => 8,
            Self::Timespec | Self::Timeval | Self::Rlimit => 2 * word,
            Self::TimespecPair | Self::TimevalPair | Self::Itimerval | Self::Itimerspec => 4 * word,
            Self::Timespec64 | Self::Rlimit64 => 16,
            Self::OpenHow => 24,
            Self::CloneArgs => 88,
            Self::EpollEvent if abi == Abi::Aarch64 => 16,
            Self::EpollEvent => 12,
            // The kernel's, not libc's: SA_RESTORER exists on x86 only.
            Self::Sigaction if abi == Abi::Aarch64 => 24,
            Self::Sigaction => 3 * word + 8,
            // arch/x86/include/uapi/asm/stat.h, include/uapi/asm-generic/stat.h
            Self::Stat => match abi {
                Abi::X86_64 => 144,
                Abi::I386 => 64,
                Abi::Aarch64 => 128,
            },
            Self::Stat64 => 96,
            Self::Statx => 144,
            Self::Statfs if abi == Abi::I386 => 64,
            Self::Statfs => 120,
            Self::Utsname => 130,
            Self::Rusage => 4 * word,
            Self::SigStack => 3 * word,
            Self::WaitInfo => 40,
            Self::Sysinfo if abi == Abi::I386 => 64,
            Self::Sysinfo => 112,
            Self::CapHeader | Self::Pollfd => 8,
            Self::CapData => 24,
            Self::Iovec | Self::Utimbuf | Self::FilterProgram => 2 * word,
            Self::Flock if abi == Abi::I386 => 16,
            Self::Flock => 32,
            Self::UringParams => 40,
        }
    }
}

/// What a call returns when it does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetKind {
    /// A number.
    Int,
    /// A new descriptor.
    Fd,
    /// An address or opaque value.
    Hex,
    /// Permission bits.
    Octal,
    /// A process or thread id, in the caller's pid namespace.
    Pid,
}

struct Table {
    /// By number.
    rows: Vec<Option<(&'static str, Option<&'static Call>)>>,
    numbers: HashMap<&'static str, u32>,
}

static COMMON: LazyLock<HashMap<&'static str, &'static Call>> =
    LazyLock::new(|| calls::common().map(|call| (call.name, call)).collect());
static ONLY_I386: LazyLock<HashMap<&'static str, &'static Call>> =
    LazyLock::new(|| calls::i386().map(|call| (call.name, call)).collect());

static X86_64: LazyLock<Table> = LazyLock::new(|| table(Abi::X86_64, x86_64::NUMBERS));
static I386: LazyLock<Table> = LazyLock::new(|| table(Abi::I386, i386::NUMBERS));
static AARCH64: LazyLock<Table> = LazyLock::new(|| table(Abi::Aarch64, aarch64::NUMBERS));

fn table(abi: Abi, numbers: &[(u32, &'static str)]) -> Table {
    let mut rows = Vec::new();
    for (number, name) in numbers {
        let at = usize::try_from(*number).unwrap_or(usize::MAX);
        rows.resize(at, None);
        rows.push(Some((*name, call_on(abi, name))));
    }
    Table {
        rows,
        numbers: numbers.iter().map(|(number, name)| (*name, *number)).collect(),
    }
}

fn table_of(abi: Abi) -> &'static Table {
    match abi {
        Abi::X86_64 => &X86_64,
        Abi::I386 => &I386,
        Abi::Aarch64 => &AARCH64,
    }
}

fn row(abi: Abi, number: u32) -> Option<(&'static str, Option<&'static Call>)> {
    let at = usize::try_from(number).ok()?;
    table_of(abi).rows.get(at).copied().flatten()
}

/// The name of a call's number: `openat` for 257 on x86-64. `None` for a number without a call.
#[must_use]
pub fn name(abi: Abi, number: u32) -> Option<&'static str> {
    row(abi, number).map(|row| row.0)
}

/// The number of a call's name on an ABI; `None` where it has none.
#[must_use]
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    table_of(abi).numbers.get(name).copied()
}

/// What a call of this name takes, on a 64-bit ABI, or on i386 where only that has it.
#[must_use]
pub fn call(name: &str) -> Option<&'static Call> {
    COMMON.get(name).or_else(|| ONLY_I386.get(name)).copied()
}

/// What a call of this name takes on an ABI, where its arguments may differ from those of the others.
#[must_use]
pub fn call_on(abi: Abi, name: &str) -> Option<&'static Call> {
    if abi == Abi::X86_64 {
        return call(name);
    }
    // clone's last two arguments stand the other way round on both (CONFIG_CLONE_BACKWARDS).
    if abi == Abi::I386 || name == "clone" {
        return ONLY_I386.get(name).or_else(|| COMMON.get(name)).copied();
    }
    call(name)
}

/// What the call of a number takes. `None` for a number without a call.
#[must_use]
pub fn lookup(abi: Abi, number: u32) -> Option<&'static Call> {
    row(abi, number).and_then(|row| row.1)
}

/// Every call of an ABI, in the order of numbers.
pub fn all(abi: Abi) -> impl Iterator<Item = (u32, &'static Call)> {
    let numbers = match abi {
        Abi::X86_64 => x86_64::NUMBERS,
        Abi::I386 => i386::NUMBERS,
        Abi::Aarch64 => aarch64::NUMBERS,
    };
    numbers
        .iter()
        .filter_map(move |(number, _)| lookup(abi, *number).map(|call| (*number, call)))
}

/// Which argument [`crate::event::Syscall::descriptor`] is about: the first [`Kind::Fd`], else the first
/// [`Kind::DirFd`]. `None` when the call has neither, or when [`descriptor_is_result`].
#[must_use]
pub fn descriptor_arg(call: &Call) -> Option<usize> {
    let fd = call.args.iter().position(|arg| arg.kind == Kind::Fd);
    if fd.is_some() || call.ret == RetKind::Fd {
        return fd;
    }
    call.args.iter().position(|arg| arg.kind == Kind::DirFd)
}

/// Whether [`crate::event::Syscall::descriptor`] is about the descriptor that the call returned: it makes one and takes
/// none (`openat`, `socket`, `epoll_create1`; the folder that a name starts from does not count).
#[must_use]
pub fn descriptor_is_result(call: &Call) -> bool {
    call.ret == RetKind::Fd && descriptor_arg(call).is_none()
}

/// The low 32 bits of a register, as the kernel takes an `int` from it.
#[must_use]
pub fn low_i32(raw: u64) -> i32 {
    low_u32(raw).cast_signed()
}

/// The low 32 bits of a register, as the kernel takes an `unsigned int` from it.
#[must_use]
pub fn low_u32(raw: u64) -> u32 {
    u32::try_from(raw & 0xffff_ffff).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
