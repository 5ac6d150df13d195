//! What a bundle was made out of, when it is not a recording as capture wrote it (`docs/format.md`, "Origin").
//!
//! Slices are copied as they are, so they keep their numbers, their events keep theirs, and the chain of ledgers still
//! fits the one of the recording. What is not there is a gap: it takes the numbers that the missing slices had.

use crate::BootTime;
use crate::digest::Sha256;
use crate::error::ReadError;
use crate::header::Tool;
use crate::layout::{GAPS_MAX, ORIGIN, RECORD_MAX};
use crate::ledger::SliceInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `origin.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What was done, the oldest first.
    pub steps: Vec<Step>,
    /// What slice 1 names as `previous`, where it is here: SHA-256 of the recording's own `start/ledger.cbor`.
    #[serde(default)]
    pub chain: Sha256,
    /// What of the recording is not here, in the order of slices.
    pub gaps: Vec<Gap>,
}

/// One bundle made out of another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// [`CUT`] or [`SALVAGED`].
    pub kind: String,
    /// The id of the bundle it was made from; empty when its header was lost.
    pub parent: String,
    /// Length of that file.
    pub bytes: u64,
    /// What made it.
    pub tool: Tool,
    /// Whether the header was lost, and the one here was made from what the rest tells.
    #[serde(default)]
    pub header_lost: bool,
    /// Whether the end record was lost, so that nobody knows when and why the recording ended.
    #[serde(default)]
    pub end_lost: bool,
    /// Ranges of that file that could not be used.
    #[serde(default)]
    pub lost: Vec<LostRange>,
    /// Members outside slices that were lost, as far as what is left names them.
    #[serde(default)]
    pub lost_members: Vec<String>,
}

/// Bytes of a file that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    /// The first of them.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Why.
    pub problem: String,
}

/// [`Step::kind`] and [`Gap::cause`] of what was left out on purpose.
pub const CUT: &str = "cut";
/// [`Step::kind`] and [`Gap::cause`] of what was damaged.
pub const SALVAGED: &str = "salvaged";

/// Slices that are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The number of the first of them.
    pub slice: u32,
    /// How many, at least 1.
    pub slices: u32,
    /// The number of their first event.
    pub first: u64,
    /// How many events they held.
    pub events: u64,
    /// Where they begin in time.
    pub from: BootTime,
    /// Where they end: the `from` of the slice behind them, if there is one.
    pub to: BootTime,
    /// Why: [`CUT`] or [`SALVAGED`].
    pub cause: String,
    /// Events of each stream, where that is known; empty where it is not.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// SHA-256 of the last missing ledger: what the slice behind names as `previous`. Zeros where nothing follows.
    #[serde(default)]
    pub chain: Sha256,
}

impl Gap {
    /// Whether it is a hole: something that should be here.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.cause != CUT
    }

    /// The gap among slices, as something that can't be read.
    fn as_slice(&self, offset: u64) -> SliceInfo {
        SliceInfo {
            number: self.slice,
            first: self.first,
            events: self.events,
            from: self.from,
            to: self.to,
            counts: self.counts.clone(),
            offset,
            missing: self.slices,
            ..SliceInfo::default()
        }
    }
}

impl Origin {
    /// Reads `origin.json`.
    ///
    /// # Errors
    /// [`ReadError`] when it is not well formed, or its gaps contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        ReadError::check(ORIGIN, bytes.len(), RECORD_MAX)?;
        let bad = |problem: String| ReadError::damaged(ORIGIN, problem);
        let origin: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        ReadError::check("gaps", origin.gaps.len(), GAPS_MAX)?;
        let (mut slice, mut first) = (1, 1);
        for gap in &origin.gaps {
            if gap.slices == 0 || gap.slice < slice || gap.first < first {
                return Err(bad(format!(
                    "the gap at slice {} is none, or out of turn",
                    gap.slice
                )));
            }
            let ends = gap
                .slice
                .checked_add(gap.slices)
                .zip(gap.first.checked_add(gap.events));
            (slice, first) = ends.ok_or_else(|| bad("a gap of impossible length".to_owned()))?;
        }
        Ok(origin)
    }
}

/// What the next slice must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// The number of its first event.
    pub(crate) first: u64,
    /// What its `from` must be, where that is known.
    pub(crate) from: Option<BootTime>,
    /// The gap directly before it.
    pub(crate) gap: Option<&'a Gap>,
}

impl<'a> Next<'a> {
    /// What follows a slice (or the beginning), gaps not yet crossed.
    fn directly(before: Option<&SliceInfo>) -> Self {
        Self {
            number: before.map_or(1, |slice| slice.number.saturating_add(1)),
            first: before.map_or(1, |slice| slice.first.saturating_add(slice.events)),
            from: before.map(|slice| slice.to),
            gap: None,
        }
    }

    /// The gap that stands there.
    fn gap_here(&self, gaps: &'a [Gap]) -> Option<&'a Gap> {
        let at = gaps.binary_search_by_key(&self.number, |gap| gap.slice).ok()?;
        gaps.get(at).filter(|gap| gap.first == self.first)
    }

    fn across(self, gap: &'a Gap) -> Self {
        Self {
            number: self.number.saturating_add(gap.slices),
            first: self.first.saturating_add(gap.events),
            from: Some(gap.to),
            gap: Some(gap),
        }
    }

    /// What follows a slice, across the gaps behind it.
    pub(crate) fn after(before: Option<&SliceInfo>, gaps: &'a [Gap]) -> Self {
        let mut next = Self::directly(before);
        while let Some(gap) = next.gap_here(gaps) {
            next = next.across(gap);
        }
        next
    }
}

/// How many of the gaps stand between slices, or behind the last one.
pub(crate) fn met(slices: &[SliceInfo], gaps: &[Gap]) -> usize {
    let mut count = 0;
    for before in std::iter::once(None).chain(slices.iter().map(Some)) {
        let mut next = Next::directly(before);
        while let Some(gap) = next.gap_here(gaps) {
            next = next.across(gap);
            count += 1;
        }
    }
    count
}

/// Slices with the holes among them, each as a slice that can't be read. `is_end` says that nothing comes after them,
/// so that a hole behind the last one is one too.
pub(crate) fn with_holes(slices: Vec<SliceInfo>, gaps: &[Gap], is_end: bool) -> Vec<SliceInfo> {
    if gaps.is_empty() {
        return slices;
    }
    let mut found: Vec<SliceInfo> = Vec::with_capacity(slices.len() + gaps.len());
    let mut next = Next::directly(None);
    // Where nothing is, everything stands before the hole.
    let mut offset = u64::MAX;
    for slice in slices {
        while let Some(gap) = next.gap_here(gaps) {
            found.extend(gap.is_hole().then(|| gap.as_slice(slice.offset)));
            next = next.across(gap);
        }
        next = Next::directly(Some(&slice));
        offset = slice.offset.saturating_add(slice.len);
        found.push(slice);
    }
    while let Some(gap) = next.gap_here(gaps).filter(|_| is_end) {
        found.extend(gap.is_hole().then(|| gap.as_slice(offset)));
        next = next.across(gap);
    }
    found
}
