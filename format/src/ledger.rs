//! Ledgers: what a slice holds and lacks, chained by hash (`docs/format.md`, "Ledger"); and the index made of them.

use crate::BootTime;
use crate::digest::Sha256;
use crate::header::MemberRecord;
use crate::time::Anchor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The account of one slice (or of the start, slice 0, or of the end), its last member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The slice's number, from 1; 0 for the start; one more than the last for the end.
    pub slice: u32,
    /// The number of the slice's first event (of the next one, where the slice holds none).
    pub first: u64,
    /// How many events it holds.
    pub events: u64,
    /// Everything before this moment had been sealed already: events with earlier times are marked late.
    pub from: BootTime,
    /// The slice was sealed for events before this moment.
    pub to: BootTime,
    /// The time of its first event, late ones included; `None` where it holds none, or nobody told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<BootTime>,
    /// Events of each stream.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// Events that the slice's loss events account for, of each stream; 0: lost, number unknown.
    #[serde(default)]
    pub lost: BTreeMap<String, u64>,
    /// Clock anchors taken while the slice was open.
    #[serde(default)]
    pub anchors: Vec<Anchor>,
    /// The slice's members before this one, in the order of the file.
    pub members: Vec<MemberRecord>,
    /// SHA-256 of the ledger before this one; zeros in the first.
    pub previous: Sha256,
}

/// `index.cbor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The slices in order.
    pub slices: Vec<SliceInfo>,
    /// All anchors of all ledgers and of the header, in order of boottime.
    pub anchors: Vec<Anchor>,
}

/// A slice in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceInfo {
    /// See [`Ledger::slice`].
    pub number: u32,
    /// See [`Ledger::first`].
    pub first: u64,
    /// See [`Ledger::events`].
    pub events: u64,
    /// See [`Ledger::from`].
    pub from: BootTime,
    /// See [`Ledger::to`].
    pub to: BootTime,
    /// See [`Ledger::earliest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<BootTime>,
    /// See [`Ledger::counts`].
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// See [`Ledger::lost`].
    #[serde(default)]
    pub lost: BTreeMap<String, u64>,
    /// Offset in the file of the slice's first frame.
    pub offset: u64,
    /// Length of its frames together, compressed.
    pub len: u64,
    /// It holds a checkpoint (`state.cbor`).
    #[serde(default)]
    pub checkpoint: bool,
    /// Not 0: this is no slice, but a hole where so many are missing (see [`crate::origin::Gap`]).
    #[serde(skip)]
    pub missing: u32,
}

impl SliceInfo {
    /// The index entry that a ledger gives.
    #[must_use]
    pub fn new(ledger: &Ledger, offset: u64, len: u64) -> Self {
        Self {
            number: ledger.slice,
            first: ledger.first,
            events: ledger.events,
            from: ledger.from,
            to: ledger.to,
            earliest: ledger.earliest,
            counts: ledger.counts.clone(),
            lost: ledger.lost.clone(),
            offset,
            len,
            checkpoint: ledger
                .members
                .iter()
                .any(|member| member.name.ends_with("/state.cbor")),
            missing: 0,
        }
    }
}
