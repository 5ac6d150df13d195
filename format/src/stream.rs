//! The streams' segments: events to columns and back (`docs/format.md`, "Streams").
//!
//! A stream of a slice is a segment `<stream>.cbor` with one row for each event in table `events`, whose columns
//! `time` (of calls `gap`, from which it follows) and `late` every stream has. Where a standard format exists, the content
//! lies beside it in a raw member (`journal.export`, `kernel.txt`, `engine.jsonl`, `packets.<n>.pcapng`), and column `len`
//! says how many bytes of it each event takes.

mod block;
mod dictionary;
mod mark;
mod metrics;
mod packet;
mod process;
mod signal;
mod syscall;
mod text;
mod uring;

pub use syscall::{Names, SyscallColumns, SyscallFacts, encode as encode_syscalls};

use crate::BootTime;
use crate::column::Layout;
use crate::entry::Entry;
use crate::error::{ReadError, WriteError};
use crate::event::{Body, Draft, Stream};
use crate::layout::{STREAM_EVENTS_MAX, TEXTS_MAX};
use crate::table::{Segment, Table, TableBuilder};

/// A member of a slice under its short name, without the slice's folder.
pub type Part = (String, Vec<u8>);

/// An event as a segment holds it: time, late mark, content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its time.
    pub time: BootTime,
    /// See [`crate::Event::late`].
    pub late: bool,
    /// What happened.
    pub body: Body,
}

/// The name of a stream's segment.
#[must_use]
pub fn segment_name(stream: Stream) -> String {
    format!("{}.cbor", stream.name())
}

/// Encodes the events of one stream other than syscalls, in their order. All must be of that stream.
///
/// # Errors
/// [`WriteError`] when something is too large for the format.
pub fn encode(stream: Stream, drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    match stream {
        Stream::Clock | Stream::Loss => mark::encode(stream, drafts, floor),
        Stream::Process => process::encode(drafts, floor),
        Stream::Syscall => Ok(Vec::new()),
        Stream::Packet => packet::encode(drafts, floor),
        Stream::Block => block::encode(drafts, floor),
        Stream::Journal | Stream::Kernel | Stream::Engine | Stream::Log => {
            text::encode(stream, drafts, floor)
        }
        Stream::Metrics => metrics::encode(drafts, floor),
        Stream::Uring => uring::encode(drafts, floor),
    }
}

/// Decodes a stream of a slice. `members` are those of the slice, by full name; `folder` is `slice/NNNNNN/`.
///
/// # Errors
/// [`ReadError`] when the members are not what the format says.
pub fn decode(stream: Stream, folder: &str, members: &[Entry<'_>]) -> Result<Vec<Stored>, ReadError> {
    let name = format!("{folder}{}", segment_name(stream));
    let Some(member) = members.iter().find(|member| member.name == name) else {
        return Ok(Vec::new());
    };
    let segment = Segment::decode(&name, member.content)?;
    let events = segment.table("events")?;
    ReadError::check(&name, events.rows(), STREAM_EVENTS_MAX)?;
    let raw = |file: &str| {
        let name = format!("{folder}{file}");
        members
            .iter()
            .find(|member| member.name == name)
            .map(|member| member.content)
    };
    let bodies = match stream {
        Stream::Syscall => None,
        Stream::Clock | Stream::Loss => Some(mark::decode(stream, &name, events)?),
        Stream::Process => Some(process::decode(&name, &segment, events)?),
        Stream::Packet => Some(packet::decode(&name, &segment, events, raw)?),
        Stream::Block => Some(block::decode(&name, &segment, events)?),
        Stream::Journal | Stream::Kernel | Stream::Engine | Stream::Log => {
            Some(text::decode(stream, &name, &segment, events, raw)?)
        }
        Stream::Metrics => Some(metrics::decode(&name, &segment, events)?),
        Stream::Uring => Some(uring::decode(&name, &segment, events)?),
    };
    let (bodies, times) = match bodies {
        Some(bodies) => (bodies, events.integers("time")?),
        None => syscall::decode(&name, &segment)?,
    };
    let late = events.bounded("late", 1)?;
    if bodies.len() != times.len() {
        return Err(ReadError::damaged(
            name,
            "its events and its rows differ in number",
        ));
    }
    let stored = times.into_iter().zip(late).zip(bodies);
    Ok(stored
        .map(|((time, late), body)| Stored {
            time: BootTime(time),
            late: late == 1,
            body,
        })
        .collect())
}

/// The table of events with the columns that all streams have.
fn events(times: &[u64], floor: BootTime) -> TableBuilder {
    let late: Vec<u64> = times.iter().map(|&time| u64::from(time < floor.0)).collect();
    TableBuilder::new(times.len())
        .integers("time", times, Layout::Delta)
        .integers("late", &late, Layout::Fixed)
}

fn draft_events(drafts: &[&Draft], floor: BootTime) -> TableBuilder {
    let times: Vec<u64> = drafts.iter().map(|draft| draft.time.0).collect();
    events(&times, floor)
}

/// The row of a dictionary that an index column points to.
fn lookup<'a, T>(what: &str, rows: &'a [T], index: u64) -> Result<&'a T, ReadError> {
    usize::try_from(index)
        .ok()
        .and_then(|index| rows.get(index))
        .ok_or_else(|| ReadError::damaged(what, format!("entry {index} of a dictionary of {}", rows.len())))
}

/// The text of a dictionary that an index points to, as the event's own. A few rows can name a long text often, so what
/// they take together is bounded.
fn text(what: &str, rows: &[String], index: u64, spent: &mut usize) -> Result<String, ReadError> {
    let text = lookup(what, rows, index)?;
    *spent = spent.saturating_add(text.len());
    ReadError::check(&format!("texts of {what}"), *spent, TEXTS_MAX)?;
    Ok(text.clone())
}

/// One value for each draft's body.
fn column(drafts: &[&Draft], value: impl Fn(&Body) -> u64) -> Vec<u64> {
    drafts.iter().map(|draft| value(&draft.body)).collect()
}

/// Cuts a raw member into the pieces whose lengths column `len` holds; they must fill it exactly, after `head` bytes.
fn pieces<'a>(what: &str, raw: &'a [u8], head: usize, lengths: &[u64]) -> Result<Vec<&'a [u8]>, ReadError> {
    let bad = || ReadError::damaged(what, "its content is not as long as its rows say");
    let mut rest = raw.get(head..).ok_or_else(bad)?;
    let mut pieces = Vec::with_capacity(lengths.len());
    for &len in lengths {
        let (piece, after) = usize::try_from(len)
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or_else(bad)?;
        pieces.push(piece);
        rest = after;
    }
    if rest.is_empty() { Ok(pieces) } else { Err(bad()) }
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn tasks_of(segment: &Segment) -> Result<&Table, ReadError> {
    segment.table("tasks")
}
