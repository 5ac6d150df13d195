//! Requests of io_uring: what programs ask of the kernel without a system call of its own.

use super::{DescriptorName, Task};
use std::sync::Arc;

/// A request that is submitted, or what came of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uring {
    /// The thread that submitted it, or that posted the completion; of a completion that another process posted (a
    /// kernel thread), who submitted to the ring last.
    pub task: Arc<Task>,
    /// What happened.
    pub step: UringStep,
    /// The ring: the kernel's address of it, which no other has at the same time.
    pub ring: u64,
    /// What the program calls the request by; it need not be unique.
    pub user_data: u64,
    /// `IORING_OP_…`; `None` of a completion whose submission is not known.
    pub opcode: Option<u8>,
    /// What a submission's descriptor referred to; `None` when that is not known, or it has none.
    pub descriptor: Option<Arc<DescriptorName>>,
    /// The CPU.
    pub cpu: u16,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UringStep {
    /// It was submitted (`io_uring_submit_req`, or, when it was refused at once, `io_uring_req_failed`).
    Submit {
        /// The descriptor, or the index of a registered one (bit 0 of `flags`); `None` for what takes none.
        fd: Option<i32>,
        /// `IOSQE_…`.
        flags: u8,
    },
    /// A completion was posted (`io_uring_complete`).
    Complete {
        /// The result; a negated errno below zero.
        result: i32,
        /// `IORING_CQE_F_…`.
        flags: u32,
        /// Nanoseconds since the submission; `None` when that is not known, or the completion is not the request's own.
        latency: Option<u64>,
    },
    /// A completion found no room in the ring, and waits, or is lost (`io_uring_cqe_overflow`).
    Overflow {
        /// The result.
        result: i32,
        /// `IORING_CQE_F_…`.
        flags: u32,
    },
}

impl Uring {
    /// The submission's descriptor as the process has it; `None` where it has none, or has the index of a registered
    /// one.
    #[must_use]
    pub fn process_fd(&self) -> Option<i32> {
        match self.step {
            UringStep::Submit { fd, flags } if flags & UringStep::FIXED_FILE == 0 => fd.filter(|fd| *fd >= 0),
            _ => None,
        }
    }

    /// The errno of a completion that failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.step
            .result()
            .filter(|result| (-4095..0).contains(result))
            .map(|result| -result)
    }
}

impl UringStep {
    /// `IOSQE_FIXED_FILE` (include/uapi/linux/io_uring.h): the descriptor is the index of a registered one.
    pub const FIXED_FILE: u8 = 1;

    /// The step's number in the format.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Submit { .. } => 0,
            Self::Complete { .. } => 1,
            Self::Overflow { .. } => 2,
        }
    }

    /// The result of what is not submitted only now.
    #[must_use]
    pub fn result(self) -> Option<i32> {
        match self {
            Self::Submit { .. } => None,
            Self::Complete { result, .. } | Self::Overflow { result, .. } => Some(result),
        }
    }

    /// The flags of the request or of the completion.
    #[must_use]
    pub fn flags(self) -> u32 {
        match self {
            Self::Submit { flags, .. } => u32::from(flags),
            Self::Complete { flags, .. } | Self::Overflow { flags, .. } => flags,
        }
    }

    /// How long the request took, where that is known.
    #[must_use]
    pub fn latency(self) -> Option<u64> {
        match self {
            Self::Complete { latency, .. } => latency,
            _ => None,
        }
    }
}
