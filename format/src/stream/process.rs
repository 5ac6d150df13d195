//! Segment `process.cbor`: tables `events`, `tasks`, `programs`, and, where there are such events, `signals` and
//! `oom_kills`.

use super::dictionary::{Dictionary, decode_tasks, tasks};
use super::{Part, column, draft_events, lookup, signal};
use crate::batch::CaptureStatus;
use crate::column::Layout;
use crate::error::{ReadError, WriteError};
use crate::event::{Body, Draft, Process, ProcessChange, Stream, Task};
use crate::table::{Segment, SegmentBuilder, Table, TableBuilder};
use crate::{BootTime, Captured};
use std::sync::Arc;

const FORK: u64 = 0;
const EXEC: u64 = 1;
const EXIT: u64 = 2;
const SIGNAL: u64 = 3;
const OOM_KILL: u64 = 4;

fn change(body: &Body) -> Option<&ProcessChange> {
    match body {
        Body::Process(process) => Some(&process.change),
        _ => None,
    }
}

pub(super) fn encode(drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let mut threads: Dictionary<Task> = Dictionary::new();
    let task: Vec<u64> = drafts
        .iter()
        .map(|draft| draft.body.task().map_or(0, |task| threads.index(task.as_ref())))
        .collect();
    let kind = column(drafts, |body| match change(body) {
        Some(ProcessChange::Exec { .. }) => EXEC,
        Some(ProcessChange::Exit { .. }) => EXIT,
        Some(ProcessChange::Signal(_)) => SIGNAL,
        Some(ProcessChange::OomKill(_)) => OOM_KILL,
        Some(ProcessChange::Fork { .. }) | None => FORK,
    });
    // Two integers for each event: child's pid and tid, the old tid, status and the signal's byte as wait(2) has it, or
    // the signal.
    let first = column(drafts, |body| match change(body) {
        Some(ProcessChange::Fork { pid, .. }) => u64::from(*pid),
        Some(ProcessChange::Exec { old_tid, .. }) => u64::from(*old_tid),
        Some(ProcessChange::Exit { status, .. }) => u64::from(*status),
        Some(ProcessChange::Signal(signal)) => u64::from(signal.number),
        Some(ProcessChange::OomKill(_)) | None => 0,
    });
    let second = column(drafts, |body| match change(body) {
        Some(ProcessChange::Fork { tid, .. }) => u64::from(*tid),
        Some(ProcessChange::Exit {
            signal, core, last, ..
        }) => u64::from(*signal) | u64::from(*core) << 8 | u64::from(*last) << 9,
        _ => 0,
    });
    let programs: Vec<&Captured<Vec<u8>>> = drafts
        .iter()
        .filter_map(|draft| match change(&draft.body) {
            Some(ProcessChange::Exec { filename, argv, .. }) => Some([filename, argv]),
            _ => None,
        })
        .flatten()
        .collect();
    let events = draft_events(drafts, floor)
        .integers("task", &task, Layout::Fixed)
        .integers(
            "cpu",
            &drafts
                .iter()
                .map(|draft| u64::from(draft.cpu))
                .collect::<Vec<_>>(),
            Layout::Fixed,
        )
        .integers("change", &kind, Layout::Fixed)
        .integers("first", &first, Layout::Fixed)
        .integers("second", &second, Layout::Fixed);
    let changes: Vec<&ProcessChange> = drafts.iter().filter_map(|draft| change(&draft.body)).collect();
    let others = signal::tables(&changes, &mut threads);
    let mut segment = SegmentBuilder::default()
        .table("events", events)
        .table("tasks", tasks(threads.rows()))
        .table("programs", captured(&programs));
    for (name, table) in others {
        segment = segment.table(name, table);
    }
    let name = super::segment_name(Stream::Process);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

fn captured(values: &[&Captured<Vec<u8>>]) -> TableBuilder {
    let status: Vec<u64> = values
        .iter()
        .map(|value| match value {
            Captured::Whole(_) => CaptureStatus::Whole as u64,
            Captured::Truncated(..) => CaptureStatus::Truncated as u64,
            Captured::Failed(_) => CaptureStatus::Failed as u64,
            Captured::Redacted(_) => CaptureStatus::Redacted as u64,
        })
        .collect();
    let original: Vec<u64> = values
        .iter()
        .map(|value| match value {
            Captured::Whole(_) => 0,
            Captured::Truncated(_, original) | Captured::Redacted(original) => *original,
            Captured::Failed(errno) => u64::from(errno.unsigned_abs()),
        })
        .collect();
    TableBuilder::new(values.len())
        .integers("status", &status, Layout::Fixed)
        .integers("original", &original, Layout::Varint)
        .bytes(
            "bytes",
            values
                .iter()
                .map(|value| value.value().map(Vec::as_slice).unwrap_or_default()),
        )
}

fn decode_captured(what: &str, table: &Table) -> Result<Vec<Captured<Vec<u8>>>, ReadError> {
    let bytes = table.bytes("bytes")?;
    let rows = table
        .bounded("status", 3)?
        .into_iter()
        .zip(table.integers("original")?)
        .enumerate();
    rows.map(|(row, (status, original))| {
        let content = || bytes.row(row).to_vec();
        Ok(match status {
            0 => Captured::Whole(content()),
            1 => Captured::Truncated(content(), original),
            2 => Captured::Failed(
                i32::try_from(original).map_err(|_| ReadError::damaged(what, "an errno out of range"))?,
            ),
            _ => Captured::Redacted(original),
        })
    })
    .collect()
}

pub(super) fn decode(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let tasks = decode_tasks(super::tasks_of(segment)?)?;
    let mut programs = decode_captured(what, segment.table("programs")?)?.into_iter();
    let changes = events.integers("change")?;
    let mut signals = signal::Rows::decode(what, segment, &tasks, &changes, SIGNAL, OOM_KILL)?;
    let columns = events.integers("task")?.into_iter().zip(changes);
    let values = events.words("first")?.into_iter().zip(events.words("second")?);
    let bodies: Vec<Body> = columns
        .zip(values)
        .map(|((task, change), (first, second))| {
            let change = match change {
                FORK => ProcessChange::Fork {
                    pid: first,
                    tid: second,
                },
                EXEC => {
                    let mut next = || programs.next().ok_or_else(|| bad("fewer programs than execs"));
                    ProcessChange::Exec {
                        filename: next()?,
                        argv: next()?,
                        old_tid: first,
                    }
                }
                EXIT => ProcessChange::Exit {
                    status: u8::try_from(first).map_err(|_| bad("an exit status over 255"))?,
                    signal: u8::try_from(second & 0xff).unwrap_or(0),
                    core: second >> 8 & 1 == 1,
                    last: second >> 9 & 1 == 1,
                },
                SIGNAL => signals.signal(first)?,
                OOM_KILL => signals.oom_kill()?,
                other => return Err(bad(&format!("change {other} is unknown"))),
            };
            Ok(Body::Process(Process {
                task: Arc::clone(lookup(what, &tasks, task)?),
                change,
            }))
        })
        .collect::<Result<_, ReadError>>()?;
    if programs.next().is_some() {
        return Err(bad("more programs than execs"));
    }
    signals.end()?;
    Ok(bodies)
}
