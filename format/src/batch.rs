//! System calls on their way from the kernel to a slice: rows and an arena, so that the hot path allocates nothing
//! for a call.

use crate::event::{Abi, ArgKind, Task, When};

/// Flag of [`SyscallRow::flags`]: the call never returned (see [`crate::event::Return::Never`]); `ret` is 0.
pub const ROW_NEVER_RETURNED: u8 = 1;
/// Flag of [`SyscallRow::flags`]: the entry was not seen; `duration` is 0 and means nothing.
pub const ROW_ENTRY_UNSEEN: u8 = 2;

/// A call, fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallRow {
    /// Boottime of the return, in nanoseconds.
    pub time: u64,
    /// Nanoseconds from entry to return.
    pub duration: u64,
    /// The argument registers at entry.
    pub args: [u64; 6],
    /// The value returned.
    pub ret: i64,
    /// The call's number.
    pub number: u32,
    /// Index into [`SyscallBatch::tasks`].
    pub task: u32,
    /// First of the row's captures in [`SyscallBatch::captures`].
    pub captures: u32,
    /// How many captures follow.
    pub capture_count: u8,
    /// The table of `number`.
    pub abi: Abi,
    /// `ROW_` flags.
    pub flags: u8,
    /// The CPU of the return.
    pub cpu: u16,
}

/// What became of reading an argument's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CaptureStatus {
    /// All of it is in the arena.
    Whole = 0,
    /// `original` says how long it was.
    Truncated = 1,
    /// `original` is the errno.
    Failed = 2,
    /// `original` says how long it was.
    Redacted = 3,
}

/// An argument's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// What its bytes mean.
    pub kind: ArgKind,
    /// When they were read.
    pub when: When,
    /// What became of the reading.
    pub status: CaptureStatus,
    /// See [`CaptureStatus`].
    pub original: u64,
    /// First byte in [`SyscallBatch::arena`].
    pub start: u32,
    /// Number of bytes there.
    pub len: u32,
}

/// Calls in the order their records were read.
#[derive(Clone, Debug, Default)]
pub struct SyscallBatch {
    /// The calls.
    pub rows: Vec<SyscallRow>,
    /// Memory behind their arguments.
    pub captures: Vec<Capture>,
    /// The bytes of it.
    pub arena: Vec<u8>,
    /// The threads that made them, each once.
    pub tasks: Vec<Task>,
}

impl SyscallBatch {
    /// Bytes of memory that the batch holds, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.rows.len() * size_of::<SyscallRow>()
            + self.captures.len() * size_of::<Capture>()
            + self.arena.len()
    }
}
