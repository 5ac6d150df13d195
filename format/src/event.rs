//! The events of a bundle: one envelope, one payload type for each stream (`docs/format.md`, "Events").

mod block;
mod log;
mod loss;
mod metrics;
mod packet;
mod process;
mod syscall;
mod uring;

pub use block::{Block, BlockAction, BlockOwner, Device};
pub use log::{EngineEvent, JournalEntry, KernelMessage, LogLine, LogStream};
pub use loss::{ClockStep, Loss};
pub use metrics::Metrics;
pub use packet::{Direction, Packet};
pub use process::{OomKill, OomPages, Process, ProcessChange, Signal, SignalStep};
pub use syscall::{Abi, ArgData, ArgKind, DescriptorName, OpenCall, Return, Syscall, When};
pub use uring::{Uring, UringStep};

use crate::BootTime;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The streams of a bundle. The number is the stream's rank: at equal times, the lower rank comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Stream {
    /// Steps of the wall clock that were noticed.
    Clock = 0,
    /// What a source lost.
    Loss = 1,
    /// Births, program changes and deaths of processes, signals and OOM kills.
    Process = 2,
    /// System calls, at their return.
    Syscall = 3,
    /// Packets, at the kernel's stamp.
    Packet = 4,
    /// Block I/O.
    Block = 5,
    /// Entries of the engine's journal.
    Journal = 6,
    /// Kernel messages.
    Kernel = 7,
    /// Events that the container engine reported.
    Engine = 8,
    /// What the container wrote to stdout and stderr, as the engine kept it.
    Log = 9,
    /// Readings of counters, once a second.
    Metrics = 10,
    /// Requests of io_uring.
    Uring = 11,
}

impl Stream {
    /// All streams, in rank order.
    pub const ALL: [Self; 12] = [
        Self::Clock,
        Self::Loss,
        Self::Process,
        Self::Syscall,
        Self::Packet,
        Self::Block,
        Self::Journal,
        Self::Kernel,
        Self::Engine,
        Self::Log,
        Self::Metrics,
        Self::Uring,
    ];

    /// The stream's name, as it stands in member names, in `evt.stream` and in ledgers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Loss => "loss",
            Self::Process => "process",
            Self::Syscall => "syscall",
            Self::Packet => "packet",
            Self::Block => "block",
            Self::Journal => "journal",
            Self::Kernel => "kernel",
            Self::Engine => "engine",
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Uring => "uring",
        }
    }

    /// The stream of a rank.
    #[must_use]
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }

    /// The stream of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }
}

/// Who did something: a thread as it was called at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// The process id (thread group id) as the host sees it; 0 when it is not known.
    pub pid: u32,
    /// The thread id as the host sees it.
    pub tid: u32,
    /// The thread's name (`comm`), at most 15 bytes, not necessarily UTF-8.
    #[serde(with = "serde_bytes")]
    pub comm: Vec<u8>,
    /// The full id of the container that the thread belongs to; empty when it belongs to none that is captured.
    pub container: String,
}

/// One event in the bundle's total order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's number: dense, from 1, the same in every replay.
    pub num: u64,
    /// When its record could exist: the return of a call, the stamp of a packet.
    pub time: BootTime,
    /// It arrived after the slice of its time was sealed, so it stands later than its time says.
    pub late: bool,
    /// What happened.
    pub body: Body,
}

/// An event that has no number yet: what a source hands to the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The event's time.
    pub time: BootTime,
    /// The CPU that the record came from; orders records with equal times. 0 where there is none.
    pub cpu: u16,
    /// What happened. Never [`Body::Syscall`] on the hot path: see [`crate::batch::SyscallBatch`].
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The wall clock was stepped.
    Clock(ClockStep),
    /// A source lost something.
    Loss(Loss),
    /// A process was born, changed its program, got a signal, or died.
    Process(Process),
    /// A system call returned (or can't return any more).
    Syscall(Box<Syscall>),
    /// A packet was seen.
    Packet(Packet),
    /// A block request moved.
    Block(Block),
    /// The engine's unit logged to the journal.
    Journal(JournalEntry),
    /// The kernel logged.
    Kernel(KernelMessage),
    /// The engine reported an event.
    Engine(EngineEvent),
    /// The container wrote to its log.
    Log(LogLine),
    /// Counters were read.
    Metrics(Metrics),
    /// A request of io_uring was submitted or completed.
    Uring(Uring),
}

impl Body {
    /// The stream that the event belongs to.
    #[must_use]
    pub fn stream(&self) -> Stream {
        match self {
            Self::Clock(_) => Stream::Clock,
            Self::Loss(_) => Stream::Loss,
            Self::Process(_) => Stream::Process,
            Self::Syscall(_) => Stream::Syscall,
            Self::Packet(_) => Stream::Packet,
            Self::Block(_) => Stream::Block,
            Self::Journal(_) => Stream::Journal,
            Self::Kernel(_) => Stream::Kernel,
            Self::Engine(_) => Stream::Engine,
            Self::Log(_) => Stream::Log,
            Self::Metrics(_) => Stream::Metrics,
            Self::Uring(_) => Stream::Uring,
        }
    }

    /// The task that did it, where one did.
    #[must_use]
    pub fn task(&self) -> Option<&Arc<Task>> {
        match self {
            Self::Process(process) => Some(&process.task),
            Self::Syscall(call) => Some(&call.task),
            Self::Block(block) => Some(&block.task),
            Self::Uring(request) => Some(&request.task),
            _ => None,
        }
    }
}
