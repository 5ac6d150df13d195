//! Block I/O.

use super::Task;
use std::sync::Arc;

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.major, self.minor)
    }
}

/// Where a request stands. Letters are blkparse's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BlockAction {
    /// Q: a bio entered the block layer (`block_bio_queue`).
    Queue = 0,
    /// D: a request went to the driver (`block_rq_issue`).
    Issue = 1,
    /// C: the device finished it (`block_rq_complete`).
    Complete = 2,
}

/// How the owner of a request was found. Lower is surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BlockOwner {
    /// The memory cgroup that the request's first page is charged to.
    Page = 0,
    /// The block cgroup that the bio is charged to.
    Bio = 1,
    /// The cgroup of the task that issued it.
    Task = 2,
    /// Nothing told.
    Unknown = 3,
}

/// One step of a block request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Queue, issue or complete.
    pub action: BlockAction,
    /// The device.
    pub device: Device,
    /// The first sector, in units of 512 bytes.
    pub sector: u64,
    /// Length in bytes.
    pub bytes: u32,
    /// `enum req_op` and the `REQ_` flags (include/linux/blk_types.h) as the kernel held them.
    pub cmd_flags: u64,
    /// The task on the CPU at that moment: for buffered writes often a kworker, at completion whoever was interrupted.
    pub task: Arc<Task>,
    /// The full id of the container that the request belongs to; empty when it belongs to none that is captured.
    pub container: String,
    /// How that was found.
    pub owner: BlockOwner,
    /// The inode number of the file that the first page belongs to; 0 when not known.
    pub inode: u64,
    /// The kernel's address of the request (0 for a bio), so that issue and complete can be paired.
    pub request: u64,
    /// Nanoseconds since the step before: none for queue, allocation to issue for issue, issue to completion for complete.
    pub latency: Option<u64>,
    /// The errno (positive) of a completion that failed; 0 otherwise.
    pub error: i32,
    /// The CPU.
    pub cpu: u16,
}
