//! The layout of a record of the block ring, as `bpf/record.h` has it. A test reads that file and compares.

/// Length of a record.
pub(crate) const RECORD: usize = 104;
pub(crate) const ACTION: usize = 0;
pub(crate) const OWNER: usize = 1;
pub(crate) const CPU: usize = 2;
pub(crate) const MAJOR: usize = 4;
pub(crate) const TIME: usize = 8;
pub(crate) const SECTOR: usize = 16;
pub(crate) const REQUEST: usize = 24;
pub(crate) const INODE: usize = 32;
pub(crate) const LATENCY: usize = 40;
pub(crate) const CMD_FLAGS: usize = 48;
pub(crate) const MINOR: usize = 56;
pub(crate) const BYTES: usize = 60;
pub(crate) const ERROR: usize = 64;
pub(crate) const TARGET: usize = 68;
pub(crate) const TASK_TARGET: usize = 72;
pub(crate) const TGID: usize = 76;
pub(crate) const TID: usize = 80;
pub(crate) const COMM: usize = 88;

/// A latency that is not known.
pub(crate) const NO_LATENCY: u64 = u64::MAX;

/// Length of a value of the map `requests`, and what is read of it.
pub(crate) const IN_FLIGHT: usize = 32;
pub(crate) const IN_FLIGHT_ISSUED: usize = 0;
pub(crate) const IN_FLIGHT_TARGET: usize = 16;
pub(crate) const IN_FLIGHT_DEVICE: usize = 24;
pub(crate) const IN_FLIGHT_OP: usize = 28;

pub(crate) const HIERARCHY_MEMORY: u64 = 0;
pub(crate) const HIERARCHY_BLOCK: u64 = 1;
pub(crate) const HIERARCHY_UNIFIED: u64 = 2;

pub(crate) const COUNTER_LOST: u32 = 0;
pub(crate) const COUNTER_NEIGHBOUR_REQUESTS: u32 = 1;
pub(crate) const COUNTER_NEIGHBOUR_BYTES: u32 = 2;
pub(crate) const COUNTER_UNTRACKED: u32 = 3;
pub(crate) const COUNTER_UNSEEN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tracing::record::header;
    use stillframe_format::event::{BlockAction, BlockOwner};

    #[test]
    fn the_layout_is_the_headers() {
        let layout = header::layout();
        let expected = [
            ("sf_block", RECORD),
            ("sf_block.action", ACTION),
            ("sf_block.owner", OWNER),
            ("sf_block.cpu", CPU),
            ("sf_block.major", MAJOR),
            ("sf_block.time", TIME),
            ("sf_block.sector", SECTOR),
            ("sf_block.request", REQUEST),
            ("sf_block.inode", INODE),
            ("sf_block.latency", LATENCY),
            ("sf_block.cmd_flags", CMD_FLAGS),
            ("sf_block.minor", MINOR),
            ("sf_block.bytes", BYTES),
            ("sf_block.error", ERROR),
            ("sf_block.target", TARGET),
            ("sf_block.task_target", TASK_TARGET),
            ("sf_block.tgid", TGID),
            ("sf_block.tid", TID),
            ("sf_block.comm", COMM),
        ];
        let in_flight = [
            ("sf_in_flight", IN_FLIGHT),
            ("sf_in_flight.issued", IN_FLIGHT_ISSUED),
            ("sf_in_flight.target", IN_FLIGHT_TARGET),
            ("sf_in_flight.device", IN_FLIGHT_DEVICE),
            ("sf_in_flight.op", IN_FLIGHT_OP),
        ];
        for (name, value) in expected.into_iter().chain(in_flight) {
            assert_eq!(layout.get(name), Some(&value), "{name}");
        }
        let ours = layout.keys().filter(|name| name.starts_with("sf_block")).count();
        assert_eq!(ours, expected.len(), "a field of sf_block has no constant here");
    }

    #[test]
    fn the_numbers_are_the_headers_and_the_formats() {
        let constants = header::constants();
        let expected = [
            ("SF_BLOCK_QUEUE", BlockAction::Queue as u64),
            ("SF_BLOCK_ISSUE", BlockAction::Issue as u64),
            ("SF_BLOCK_COMPLETE", BlockAction::Complete as u64),
            ("SF_OWNER_PAGE", BlockOwner::Page as u64),
            ("SF_OWNER_BIO", BlockOwner::Bio as u64),
            ("SF_OWNER_TASK", BlockOwner::Task as u64),
            ("SF_OWNER_UNKNOWN", BlockOwner::Unknown as u64),
            ("SF_NO_LATENCY", NO_LATENCY),
            ("SF_HIERARCHY_MEMORY", HIERARCHY_MEMORY),
            ("SF_HIERARCHY_BLOCK", HIERARCHY_BLOCK),
            ("SF_HIERARCHY_UNIFIED", HIERARCHY_UNIFIED),
            ("SF_BLOCK_LOST", u64::from(COUNTER_LOST)),
            (
                "SF_BLOCK_NEIGHBOUR_REQUESTS",
                u64::from(COUNTER_NEIGHBOUR_REQUESTS),
            ),
            ("SF_BLOCK_NEIGHBOUR_BYTES", u64::from(COUNTER_NEIGHBOUR_BYTES)),
            ("SF_BLOCK_UNTRACKED", u64::from(COUNTER_UNTRACKED)),
            ("SF_BLOCK_UNSEEN", u64::from(COUNTER_UNSEEN)),
        ];
        for (name, value) in expected {
            assert_eq!(constants.get(name), Some(&value), "{name}");
        }
    }
}
