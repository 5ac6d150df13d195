//! Exports: the parts of a bundle in the formats of stock tools.

pub mod blktrace;
pub mod csv;
pub mod html;
pub mod journal;
pub mod jsonl;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod pcapng;
pub mod perfetto;
pub mod strace;

use crate::timeline::Damage;

/// What became of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Things that were written: calls, packets, entries, …
    pub items: u64,
    /// Slices that could not be read, so that what they held is missing.
    pub damages: Vec<Damage>,
}
