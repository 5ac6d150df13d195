//! The layout of the records, as `bpf/record.h` has it. A test reads that file and compares.

/// Length of the fixed part of every record.
pub(crate) const RECORD: usize = 120;
pub(crate) const TYPE: usize = 0;
pub(crate) const ABI: usize = 1;
pub(crate) const FLAGS: usize = 2;
pub(crate) const CAPTURE_COUNT: usize = 3;
pub(crate) const CPU: usize = 4;
pub(crate) const TIME: usize = 8;
pub(crate) const ENTER: usize = 16;
pub(crate) const ARGS: usize = 24;
pub(crate) const RET: usize = 72;
pub(crate) const NR: usize = 80;
pub(crate) const TARGET: usize = 84;
pub(crate) const TGID: usize = 88;
pub(crate) const TID: usize = 92;
pub(crate) const COMM: usize = 96;
pub(crate) const DATA_LEN: usize = 112;

pub(crate) const TYPE_SYSCALL: u8 = 1;
pub(crate) const TYPE_FORK: u8 = 2;
pub(crate) const TYPE_EXEC: u8 = 3;
pub(crate) const TYPE_EXIT: u8 = 4;
pub(crate) const TYPE_RESCAN: u8 = 5;
pub(crate) const TYPE_SIGNAL_GENERATED: u8 = 6;
pub(crate) const TYPE_SIGNAL_DELIVERED: u8 = 7;
pub(crate) const TYPE_OOM_KILL: u8 = 8;
pub(crate) const TYPE_URING_SUBMIT: u8 = 9;
pub(crate) const TYPE_URING_COMPLETE: u8 = 10;
pub(crate) const TYPE_URING_OVERFLOW: u8 = 11;

/// What a thread does about a signal that is delivered to it.
pub(crate) const ACTION_UNKNOWN: u8 = 0;
pub(crate) const ACTION_HANDLER: u8 = 1;
pub(crate) const ACTION_DEFAULT: u8 = 2;
pub(crate) const ACTION_IGNORED: u8 = 3;
pub(crate) const SIGNAL_FATAL: u64 = 1;
pub(crate) const SIGNAL_PROCESS: u64 = 2;
/// How much of a siginfo is copied.
pub(crate) const SIGINFO: usize = 48;

/// Length of a capture's header; its bytes follow, then padding to 8.
pub(crate) const CAPTURE: usize = 16;
pub(crate) const CAPTURE_ARG: usize = 0;
pub(crate) const CAPTURE_KIND: usize = 1;
pub(crate) const CAPTURE_WHEN: usize = 2;
pub(crate) const CAPTURE_STATUS: usize = 3;
pub(crate) const CAPTURE_LEN: usize = 4;
pub(crate) const CAPTURE_ORIGINAL: usize = 8;

/// Length of what the iterator over open calls writes for each.
pub(crate) const OPEN: usize = 96;
pub(crate) const OPEN_ENTER: usize = 0;
pub(crate) const OPEN_ARGS: usize = 8;
pub(crate) const OPEN_NR: usize = 56;
pub(crate) const OPEN_TARGET: usize = 60;
pub(crate) const OPEN_TGID: usize = 64;
pub(crate) const OPEN_TID: usize = 68;
pub(crate) const OPEN_COMM: usize = 72;
pub(crate) const OPEN_ABI: usize = 88;

pub(crate) const GROUP_CGROUP2: u32 = 1;
pub(crate) const GROUP_PIDNS: u32 = 2;

/// Calls of one table that can have a rule; those of i386 follow those of x86-64.
pub(crate) const RULES: u32 = 512;
/// Captures of one rule.
pub(crate) const OPS: usize = 7;
/// Length of a rule: its operations of four bytes each, and their count.
pub(crate) const RULE: usize = 32;

pub(crate) const DROP_SYSCALL: u32 = 0;
pub(crate) const DROP_PROCESS: u32 = 1;
pub(crate) const DROP_URING: u32 = 2;

/// Longest that is ever copied, in bytes, or in elements.
pub(crate) const PATH_MAX: usize = 4096;
pub(crate) const DATA_MAX: u32 = crate::snaplen::LARGEST_DATA;
pub(crate) const SOCKADDR_MAX: u64 = 128;
pub(crate) const FIXED_MAX: u64 = 256;
pub(crate) const ARRAY_MAX: u64 = 512;
pub(crate) const MSG_IOVECS: u64 = 8;
pub(crate) const CONTROL_MAX: u64 = 128;
pub(crate) const ARGV_MAX: usize = 3840;
pub(crate) const ARGV_STRINGS: usize = 128;
pub(crate) const ENVP_STRINGS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tracing::record::header;
    use stillframe_format::batch::{CaptureStatus, ROW_ENTRY_UNSEEN, ROW_NEVER_RETURNED};
    use stillframe_format::event::{ArgKind, When};

    #[test]
    fn the_layout_is_the_headers() {
        let layout = header::layout();
        let expected = [
            ("sf_record", RECORD),
            ("sf_record.type", TYPE),
            ("sf_record.abi", ABI),
            ("sf_record.flags", FLAGS),
            ("sf_record.capture_count", CAPTURE_COUNT),
            ("sf_record.cpu", CPU),
            ("sf_record.time", TIME),
            ("sf_record.enter", ENTER),
            ("sf_record.args", ARGS),
            ("sf_record.ret", RET),
            ("sf_record.nr", NR),
            ("sf_record.target", TARGET),
            ("sf_record.tgid", TGID),
            ("sf_record.tid", TID),
            ("sf_record.comm", COMM),
            ("sf_record.data_len", DATA_LEN),
            ("sf_capture", CAPTURE),
            ("sf_capture.arg", CAPTURE_ARG),
            ("sf_capture.kind", CAPTURE_KIND),
            ("sf_capture.when", CAPTURE_WHEN),
            ("sf_capture.status", CAPTURE_STATUS),
            ("sf_capture.len", CAPTURE_LEN),
            ("sf_capture.original", CAPTURE_ORIGINAL),
            ("sf_open_call", OPEN),
            ("sf_open_call.enter", OPEN_ENTER),
            ("sf_open_call.args", OPEN_ARGS),
            ("sf_open_call.nr", OPEN_NR),
            ("sf_open_call.target", OPEN_TARGET),
            ("sf_open_call.tgid", OPEN_TGID),
            ("sf_open_call.tid", OPEN_TID),
            ("sf_open_call.comm", OPEN_COMM),
            ("sf_open_call.abi", OPEN_ABI),
            ("sf_op", RULE / (OPS + 1)),
            ("sf_rule", RULE),
            ("sf_rule.count", OPS * 4),
            ("sf_rule.limit", OPS * 4 + 2),
        ];
        for (name, value) in expected {
            assert_eq!(layout.get(name), Some(&value), "{name}");
        }
        // What block requests are told in is held by `source/block/wire.rs`.
        let is_ours = |name: &str| !name.starts_with("sf_block") && !name.starts_with("sf_in_flight");
        let ours = layout.keys().filter(|name| is_ours(name)).count();
        assert_eq!(ours, expected.len(), "a field of record.h has no constant here");
    }

    #[test]
    fn the_numbers_are_the_headers_and_the_formats() {
        let constants = header::constants();
        let expected = [
            ("SF_SYSCALL", u64::from(TYPE_SYSCALL)),
            ("SF_FORK", u64::from(TYPE_FORK)),
            ("SF_EXEC", u64::from(TYPE_EXEC)),
            ("SF_EXIT", u64::from(TYPE_EXIT)),
            ("SF_RESCAN", u64::from(TYPE_RESCAN)),
            ("SF_SIGNAL_GENERATED", u64::from(TYPE_SIGNAL_GENERATED)),
            ("SF_SIGNAL_DELIVERED", u64::from(TYPE_SIGNAL_DELIVERED)),
            ("SF_OOM_KILL", u64::from(TYPE_OOM_KILL)),
            ("SF_URING_SUBMIT", u64::from(TYPE_URING_SUBMIT)),
            ("SF_URING_COMPLETE", u64::from(TYPE_URING_COMPLETE)),
            ("SF_URING_OVERFLOW", u64::from(TYPE_URING_OVERFLOW)),
            ("SF_ACTION_UNKNOWN", u64::from(ACTION_UNKNOWN)),
            ("SF_ACTION_HANDLER", u64::from(ACTION_HANDLER)),
            ("SF_ACTION_DEFAULT", u64::from(ACTION_DEFAULT)),
            ("SF_ACTION_IGNORED", u64::from(ACTION_IGNORED)),
            ("SF_SIGNAL_FATAL", SIGNAL_FATAL),
            ("SF_SIGNAL_PROCESS", SIGNAL_PROCESS),
            ("SF_SIGINFO", SIGINFO as u64),
            ("SF_NEVER_RETURNED", u64::from(ROW_NEVER_RETURNED)),
            ("SF_ENTRY_UNSEEN", u64::from(ROW_ENTRY_UNSEEN)),
            ("SF_KIND_PATH", ArgKind::Path as u64),
            ("SF_KIND_SOCKADDR", ArgKind::Sockaddr as u64),
            ("SF_KIND_BUFFER", ArgKind::Buffer as u64),
            ("SF_KIND_PAIR", ArgKind::DescriptorPair as u64),
            ("SF_KIND_STRINGS", ArgKind::Strings as u64),
            ("SF_KIND_STRUCT", ArgKind::Struct as u64),
            ("SF_WHOLE", CaptureStatus::Whole as u64),
            ("SF_TRUNCATED", CaptureStatus::Truncated as u64),
            ("SF_FAILED", CaptureStatus::Failed as u64),
            ("SF_AT_ENTRY", When::Entry as u64),
            ("SF_AT_EXIT", When::Exit as u64),
            ("SF_OPS", OPS as u64),
            ("SF_RULES", u64::from(RULES)),
            ("SF_PATH_MAX", PATH_MAX as u64),
            ("SF_DATA_MAX", u64::from(DATA_MAX)),
            ("SF_SOCKADDR_MAX", SOCKADDR_MAX),
            ("SF_FIXED_MAX", FIXED_MAX),
            ("SF_ARRAY_MAX", ARRAY_MAX),
            ("SF_MSG_IOVECS", MSG_IOVECS),
            ("SF_CONTROL_MAX", CONTROL_MAX),
            ("SF_ARGV_MAX", ARGV_MAX as u64),
            ("SF_ARGV_STRINGS", ARGV_STRINGS as u64),
            ("SF_ENVP_STRINGS", ENVP_STRINGS as u64),
            ("SF_GROUP_CGROUP2", u64::from(GROUP_CGROUP2)),
            ("SF_GROUP_PIDNS", u64::from(GROUP_PIDNS)),
            ("SF_DROP_SYSCALL", u64::from(DROP_SYSCALL)),
            ("SF_DROP_PROCESS", u64::from(DROP_PROCESS)),
            ("SF_DROP_URING", u64::from(DROP_URING)),
        ];
        for (name, value) in expected {
            assert_eq!(constants.get(name), Some(&value), "{name}");
        }
    }
}
