//! System calls: one event a call, at its return.

use super::Task;
use crate::{BootTime, Captured};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which table a call's number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Abi {
    /// `arch/x86/entry/syscalls/syscall_64.tbl`
    X86_64 = 0,
    /// `arch/x86/entry/syscalls/syscall_32.tbl`: `int 0x80` and 32-bit programs
    I386 = 1,
    /// `scripts/syscall.tbl` as arm64 builds it
    Aarch64 = 2,
}

impl Abi {
    /// The ABI of its stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::X86_64, Self::I386, Self::Aarch64]
            .get(usize::from(number))
            .copied()
    }
}

impl From<Abi> for u8 {
    fn from(abi: Abi) -> Self {
        abi as Self
    }
}

impl TryFrom<u8> for Abi {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        Self::from_number(number).ok_or_else(|| format!("abi {number} is unknown"))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Return {
    /// It returned this value; -4095 to -1 is a negated errno (kernel-internal ones, such as -512, included).
    Value(i64),
    /// It will never return: the thread died inside it (`exit`, `exit_group`, a fatal signal).
    Never,
}

impl Return {
    /// The errno (positive) if the call failed.
    #[must_use]
    pub fn errno(self) -> Option<i32> {
        match self {
            Self::Value(value @ -4095..=-1) => i32::try_from(-value).ok(),
            _ => None,
        }
    }
}

/// When an argument's data was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum When {
    /// As the call was entered.
    Entry = 0,
    /// As the call returned: another thread may have changed it meanwhile.
    Exit = 1,
}

/// What kind of thing an argument points to, and so how its bytes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ArgKind {
    /// A file name or other string, without its NUL.
    Path = 0,
    /// A `struct sockaddr`, as the kernel takes it (family in host byte order first).
    Sockaddr = 1,
    /// Data that was read, written, sent or received: its first bytes.
    Buffer = 2,
    /// Two 32-bit descriptors, little endian: `pipe`, `pipe2`, `socketpair`.
    DescriptorPair = 3,
    /// Strings, each ended by NUL: argv.
    Strings = 4,
    /// A small structure, as it lay in memory.
    Struct = 5,
}

impl ArgKind {
    /// The kind of its stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Path,
            Self::Sockaddr,
            Self::Buffer,
            Self::DescriptorPair,
            Self::Strings,
            Self::Struct,
        ]
        .get(usize::from(number))
        .copied()
    }
}

/// Memory that an argument points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgData {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// What its bytes mean.
    pub kind: ArgKind,
    /// When they were read.
    pub when: When,
    /// The bytes.
    pub bytes: Captured<Vec<u8>>,
}

/// What a descriptor refers to, as far as capture knew when the call returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DescriptorName {
    /// Falco's one-word type: `file`, `directory`, `ipv4`, `ipv6`, `unix`, `pipe`, `event`, `timerfd`, `inotify`, …
    pub kind: String,
    /// `strace -yy`'s name without the angle brackets: `/data/wal`, `TCP:[10.0.0.2:5432->10.0.0.9:51788]`, `pipe:[123]`.
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
}

/// A system call that returned, or never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// The thread that made it.
    pub task: Arc<Task>,
    /// Which table `number` belongs to.
    pub abi: Abi,
    /// The call's number.
    pub number: u32,
    /// The six argument registers as they were at entry, whether the call uses them or not.
    pub args: [u64; 6],
    /// How it ended.
    pub ret: Return,
    /// Nanoseconds from entry to return; `None` when the entry was not seen (the call was running when capture
    /// began), then `args` hold what the registers showed at return.
    pub duration: Option<u64>,
    /// The CPU that it returned on.
    pub cpu: u16,
    /// What the call's descriptor argument refers to, where it has one and capture knew.
    pub descriptor: Option<Arc<DescriptorName>>,
    /// Memory behind the arguments.
    pub data: Vec<ArgData>,
}

/// A call that had been entered and had not returned when a slice was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The thread inside it.
    pub task: Task,
    /// See [`Syscall::abi`].
    pub abi: Abi,
    /// See [`Syscall::number`].
    pub number: u32,
    /// See [`Syscall::args`].
    pub args: [u64; 6],
    /// When it was entered; `None` when that was before capture looked.
    pub enter: Option<BootTime>,
}
