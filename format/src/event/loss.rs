//! Holes, and steps of the clock.

use super::Stream;
use crate::BootTime;

/// A source lost something: the hole is an event like any other, at the end of its interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The stream that has the hole.
    pub stream: Stream,
    /// Why, as one of the words in `docs/format.md`, "Causes of loss": `ring-full`, `writer-slow`, …
    pub cause: String,
    /// How many events were lost; 0 when that is not known.
    pub count: u64,
    /// The hole's beginning: no event of the stream before it was lost to this cause since the last report.
    pub from: BootTime,
    /// The hole's end.
    pub to: BootTime,
    /// The container or CPU or interface it concerns, in words; empty when it concerns all.
    pub scope: String,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// By how many nanoseconds it moved.
    pub delta: i64,
}
