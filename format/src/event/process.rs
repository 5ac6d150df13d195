//! Births, program changes and deaths of processes, from the scheduler's tracepoints.

use super::Task;
use crate::Captured;
use std::sync::Arc;

/// A change in the process tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The parent at a fork; the thread itself at an exec or exit.
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
}
