//! Sealing a slice: events and what is known about them become members, a ledger, and one order.

use crate::batch::{SyscallBatch, SyscallRow};
use crate::entry::Member;
use crate::error::WriteError;
use crate::event::{Body, Draft, OpenCall, Stream, Task};
use crate::header::MemberRecord;
use crate::layout::{self, slice_member};
use crate::ledger::Ledger;
use crate::order::{self, Run};
use crate::stream::{self, Names};
use crate::time::Anchor;
use crate::{BootTime, cbor};
use std::collections::{BTreeMap, HashMap};

/// What goes into a slice.
#[derive(Debug, Default)]
pub struct SliceContent {
    /// System calls, in any order.
    pub syscalls: SyscallBatch,
    /// Events of the other streams, in any order.
    pub drafts: Vec<Draft>,
    /// Calls that had not returned at `to`.
    pub open: Vec<OpenCall>,
    /// Clock readings taken while the slice was open.
    pub anchors: Vec<Anchor>,
    /// The slice before was sealed for events before this moment.
    pub from: BootTime,
    /// This slice is sealed for events before this moment.
    pub to: BootTime,
}

impl SliceContent {
    /// Bytes of memory held, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.syscalls.weight() + self.drafts.len() * size_of::<Draft>()
    }

    /// Number of events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.syscalls.rows.len() + self.drafts.len()
    }

    /// The time of the first event of sorted content.
    fn earliest(&self) -> Option<BootTime> {
        let calls = self.syscalls.rows.first().map(|row| BootTime(row.time));
        let drafts = self.drafts.first().map(|draft| draft.time);
        calls.into_iter().chain(drafts).min()
    }

    /// Puts the events into their order: by time, then stream rank, then CPU, then as they arrived.
    pub fn sort(&mut self) {
        self.syscalls.rows.sort_by_key(|row| (row.time, row.cpu));
        self.drafts
            .sort_by_key(|draft| (draft.time, draft.body.stream(), draft.cpu));
    }

    /// Takes the events at `to` or later out, for the next slice. The events must be sorted.
    #[must_use]
    pub fn split_off(&mut self, to: BootTime) -> (SyscallBatch, Vec<Draft>) {
        let calls = self.syscalls.rows.partition_point(|row| row.time < to.0);
        let drafts = self.drafts.partition_point(|draft| draft.time < to);
        // Room for as many as there were: under load the next slice is as large, and a buffer that grows with it copies it
        // time and again.
        let mut rest = SyscallBatch {
            rows: Vec::with_capacity(self.syscalls.rows.len()),
            captures: Vec::with_capacity(self.syscalls.captures.len()),
            arena: Vec::with_capacity(self.syscalls.arena.len()),
            ..SyscallBatch::default()
        };
        let mut known = vec![None; self.syscalls.tasks.len()];
        for row in self.syscalls.rows.get(calls..).unwrap_or_default() {
            push_row(&mut rest, &mut known, &self.syscalls, *row);
        }
        self.syscalls.rows.truncate(calls);
        (rest, self.drafts.split_off(drafts))
    }
}

/// Adds the rows of `from` to `into`. `tasks` knows the tasks of `into`.
pub fn append(into: &mut SyscallBatch, tasks: &mut HashMap<Task, u32>, from: &SyscallBatch) {
    let mut known: Vec<u32> = Vec::with_capacity(from.tasks.len());
    for task in &from.tasks {
        known.push(intern(&mut into.tasks, tasks, task));
    }
    let captures = u32::try_from(into.captures.len()).unwrap_or(u32::MAX);
    let arena = u32::try_from(into.arena.len()).unwrap_or(u32::MAX);
    into.arena.extend_from_slice(&from.arena);
    into.captures.extend(from.captures.iter().map(|capture| {
        let mut capture = *capture;
        capture.start = capture.start.saturating_add(arena);
        capture
    }));
    into.rows.extend(from.rows.iter().map(|row| {
        let mut row = *row;
        row.captures = row.captures.saturating_add(captures);
        row.task = usize::try_from(row.task)
            .ok()
            .and_then(|task| known.get(task))
            .copied()
            .unwrap_or(0);
        row
    }));
}

fn intern(rows: &mut Vec<Task>, index: &mut HashMap<Task, u32>, task: &Task) -> u32 {
    if let Some(&known) = index.get(task) {
        return known;
    }
    let number = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    rows.push(task.clone());
    index.insert(task.clone(), number);
    number
}

/// Adds a row of `from`. `known` says, for each task of `from`, where it stands in `into` already.
fn push_row(into: &mut SyscallBatch, known: &mut [Option<u32>], from: &SyscallBatch, mut row: SyscallRow) {
    let task = usize::try_from(row.task).unwrap_or(usize::MAX);
    if let (Some(found), Some(known)) = (from.tasks.get(task), known.get_mut(task)) {
        row.task = *known.get_or_insert_with(|| {
            into.tasks.push(found.clone());
            u32::try_from(into.tasks.len() - 1).unwrap_or(u32::MAX)
        });
    }
    let first = row.captures as usize;
    row.captures = u32::try_from(into.captures.len()).unwrap_or(u32::MAX);
    for capture in from
        .captures
        .get(first..first + usize::from(row.capture_count))
        .unwrap_or_default()
    {
        let mut capture = *capture;
        let start = capture.start as usize;
        let bytes = from
            .arena
            .get(start..start + capture.len as usize)
            .unwrap_or_default();
        capture.start = u32::try_from(into.arena.len()).unwrap_or(u32::MAX);
        into.arena.extend_from_slice(bytes);
        into.captures.push(capture);
    }
    into.rows.push(row);
}

/// A slice as members, its ledger not yet among them (that needs the chain).
#[derive(Debug)]
pub struct SealedSlice {
    /// Members that stand in frames of their own: columns and packets.
    pub alone: Vec<Member>,
    /// Small members that share the last frame, `order.cbor` first.
    pub together: Vec<Member>,
    /// The ledger, without chain and event numbers; its members are those of `alone`, then those of `together`.
    pub ledger: Ledger,
}

/// A member this small shares a frame with others.
const SMALL: usize = 16 << 10;

/// Seals slice `number` out of sorted content. `names` belongs to the rows of the content; `checkpoint` is the state
/// before the first event, encoded.
///
/// # Errors
/// [`WriteError`] when something is too large for the format.
pub fn seal(
    number: u32,
    content: &SliceContent,
    runs: &[Run],
    names: &Names,
    checkpoint: Option<Vec<u8>>,
) -> Result<SealedSlice, WriteError> {
    let mut parts = stream::encode_syscalls(&content.syscalls, names, content.from)?;
    let mut counts = BTreeMap::new();
    if !content.syscalls.rows.is_empty() {
        counts.insert(
            Stream::Syscall.name().to_owned(),
            wide(content.syscalls.rows.len()),
        );
    }
    for stream in Stream::ALL {
        let drafts: Vec<&Draft> = content
            .drafts
            .iter()
            .filter(|draft| draft.body.stream() == stream)
            .collect();
        if stream != Stream::Syscall && !drafts.is_empty() {
            counts.insert(stream.name().to_owned(), wide(drafts.len()));
            parts.extend(stream::encode(stream, &drafts, content.from)?);
        }
    }
    let mut lost: BTreeMap<String, u64> = BTreeMap::new();
    for draft in &content.drafts {
        if let Body::Loss(loss) = &draft.body {
            let sum = lost.entry(loss.stream.name().to_owned()).or_default();
            *sum = sum.saturating_add(loss.count);
        }
    }
    let member = |(name, content): (String, Vec<u8>)| Member::new(slice_member(number, &name), content);
    let mut together = vec![member((layout::ORDER.to_owned(), order::encode(runs)?))?];
    let mut alone = Vec::new();
    for part in parts {
        let member = member(part)?;
        if member.content.len() < SMALL {
            together.push(member)
        } else {
            alone.push(member)
        }
    }
    together.push(member((
        layout::OPEN.to_owned(),
        cbor::encode(layout::OPEN, &content.open)?,
    ))?);
    if let Some(state) = checkpoint {
        let state = member((layout::STATE.to_owned(), state))?;
        if state.content.len() < SMALL {
            together.push(state)
        } else {
            alone.push(state)
        }
    }
    let members = alone
        .iter()
        .chain(&together)
        .map(|member| MemberRecord::of(member.name.as_str(), &member.content))
        .collect();
    let ledger = Ledger {
        slice: number,
        events: wide(content.events()),
        from: content.from,
        to: content.to,
        earliest: content.earliest(),
        counts,
        lost,
        anchors: content.anchors.clone(),
        members,
        ..Ledger::default()
    };
    Ok(SealedSlice {
        alone,
        together,
        ledger,
    })
}

/// The order of sorted content.
#[must_use]
pub fn runs(content: &SliceContent) -> Vec<Run> {
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); Stream::ALL.len()];
    for draft in &content.drafts {
        if let Some(times) = times.get_mut(usize::from(draft.body.stream() as u8)) {
            times.push(draft.time.0);
        }
    }
    if let Some(times) = times.get_mut(usize::from(Stream::Syscall as u8)) {
        times.extend(content.syscalls.rows.iter().map(|row| row.time));
    }
    order::merge(&times)
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
