//! Births, program changes and deaths of processes, from the scheduler's tracepoints, and what is done to them: signals
//! and the OOM killer.

use super::Task;
use crate::Captured;
use std::sync::Arc;

/// A change in the process tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The parent at a fork; the thread itself at an exec or exit; whom a signal is for; the OOM killer's victim.
    pub task: Arc<Task>,
    /// What changed.
    pub change: ProcessChange,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessChange {
    /// `task` made a new process or thread (`sched_process_fork`).
    Fork {
        /// The child's process id; equal to the parent's for a thread.
        pid: u32,
        /// The child's thread id.
        tid: u32,
    },
    /// `task` runs a new program (`sched_process_exec`). Other threads of the process are gone.
    Exec {
        /// The program's file, as the kernel was given it.
        filename: Captured<Vec<u8>>,
        /// The new program's arguments, each ended by NUL.
        argv: Captured<Vec<u8>>,
        /// The thread id before the call, which differs when a thread that is not the leader called `execve`.
        old_tid: u32,
    },
    /// `task` ended (`sched_process_exit`).
    Exit {
        /// The exit status, where the thread exited by itself.
        status: u8,
        /// The signal that killed it, 0 when none did.
        signal: u8,
        /// It left a core dump.
        core: bool,
        /// It was the last thread of its process.
        last: bool,
    },
    /// `task` was sent a signal, or got one.
    Signal(Box<Signal>),
    /// The OOM killer chose `task` (`mark_victim`).
    OomKill(Box<OomKill>),
}

/// A signal on its way to a thread, or at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The signal's number.
    pub number: u32,
    /// Whether it was sent or delivered, and what became of it.
    pub step: SignalStep,
    /// `si_code`: why it was sent.
    pub code: i32,
    /// Who sent it, in the host's numbers. `None` when that is not known, as of what the kernel itself sends.
    pub sender: Option<Arc<Task>>,
    /// The process dies of it.
    pub fatal: bool,
    /// It was sent to the whole process, not to one thread. `false` too where that is not known: of a delivered one.
    pub process_wide: bool,
    /// The beginning of its `siginfo`, as the kernel has it; empty when the kernel has none.
    pub info: Vec<u8>,
}

/// What became of a signal: of one that was sent (`signal_generate`), or of one that was delivered (`signal_deliver`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignalStep {
    /// Sent, and it waits for delivery, or kills at once.
    Sent = 0,
    /// Sent, and thrown away: it is ignored, or the process is dying.
    SentIgnored = 1,
    /// Sent, and thrown away: one of its number waits already.
    SentAlready = 2,
    /// Sent, and thrown away: the queue is full.
    SentOverflow = 3,
    /// Sent, and it waits, but the queue had no room for its `siginfo`.
    SentWithoutInfo = 4,
    /// Delivered; what the thread does about it is not known.
    Delivered = 5,
    /// Delivered to a handler.
    DeliveredHandler = 6,
    /// Delivered, with the default action.
    DeliveredDefault = 7,
    /// Delivered, and ignored. Only a traced process gets so far.
    DeliveredIgnored = 8,
}

impl SignalStep {
    /// All steps, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::SentIgnored,
        Self::SentAlready,
        Self::SentOverflow,
        Self::SentWithoutInfo,
        Self::Delivered,
        Self::DeliveredHandler,
        Self::DeliveredDefault,
        Self::DeliveredIgnored,
    ];

    /// The step of a number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether it says that the signal was delivered, and not that it was sent.
    #[must_use]
    pub fn is_delivery(self) -> bool {
        self as u8 >= Self::Delivered as u8
    }
}

/// What the kernel tells of a victim of the OOM killer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomKill {
    /// The thread that asked for the memory that was not there.
    pub trigger: Option<Arc<Task>>,
    /// The victim's `oom_score_adj`.
    pub score_adj: i32,
    /// What the victim used; `None` when the kernel does not tell (before 6.9).
    pub pages: Option<OomPages>,
}

/// What a victim of the OOM killer used, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomPages {
    /// Address space.
    pub total_vm: u64,
    /// Anonymous memory.
    pub anon: u64,
    /// Pages of files.
    pub file: u64,
    /// Shared memory.
    pub shmem: u64,
}
