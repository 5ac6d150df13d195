//! Doubt is a value: what was copied, and how much of it.

use serde::{Deserialize, Serialize};

/// A piece of data that capture asked for, with what became of the asking.
///
/// A failed read is never an empty value: absence of data is one thing, data that is empty another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Captured<T> {
    /// All of it.
    Whole(T),
    /// The beginning of it; it was `original` bytes long (0: not known, but longer than what is here).
    Truncated(T, u64),
    /// The kernel could not read it; the errno (14, EFAULT, for an address that is not mapped).
    Failed(i32),
    /// Taken out by the redaction policy; it was this many bytes long.
    Redacted(u64),
}

impl<T> Captured<T> {
    /// What there is of the data, if any.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Whole(value) | Self::Truncated(value, _) => Some(value),
            Self::Failed(_) | Self::Redacted(_) => None,
        }
    }

    /// Whether all of it is here.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}
