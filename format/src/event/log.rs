//! Text that others wrote: the engine's journal, the kernel's messages, the engine's events, container logs.

/// An entry of the systemd journal, with all its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The entry in Journal Export Format, its closing empty line included, byte for byte as journald gave it.
    pub export: Vec<u8>,
}

/// A record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelMessage {
    /// The record as it was read: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;text\n KEY=value\n`.
    pub record: Vec<u8>,
}

/// An event of the container engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// The engine's JSON object, byte for byte, without a line end.
    pub json: Vec<u8>,
}

/// Which of a container's outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LogStream {
    /// Standard output, or a terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// A piece of a container's log, as the engine kept it (a line, or a part of a long one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The full id of the container.
    pub container: String,
    /// Which output.
    pub stream: LogStream,
    /// The engine's own stamp: nanoseconds of `CLOCK_REALTIME` since 1970.
    pub realtime: i64,
    /// The bytes, their line end included if there is one.
    pub bytes: Vec<u8>,
}
