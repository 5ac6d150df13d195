//! Segments of text that others wrote: `journal.cbor`, `kernel.cbor`, `engine.cbor` with raw members beside them, and
//! `log.cbor`, which holds its bytes itself, since no standard form of container logs keeps bytes that are not UTF-8.

use super::dictionary::{Dictionary, strings};
use super::{Part, column, draft_events, pieces, text, wide};
use crate::BootTime;
use crate::column::{Layout, unzigzag, zigzag};
use crate::error::{ReadError, WriteError};
use crate::event::{Body, Draft, EngineEvent, JournalEntry, KernelMessage, LogLine, LogStream, Stream};
use crate::table::{Segment, SegmentBuilder, Table};

/// The raw member of a stream.
fn raw_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Journal => "journal.export",
        Stream::Kernel => "kernel.txt",
        _ => "engine.jsonl",
    }
}

pub(super) fn encode(stream: Stream, drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let name = super::segment_name(stream);
    if stream == Stream::Log {
        return Ok(vec![(name.clone(), logs(drafts, floor)?.encode(&name)?)]);
    }
    let mut raw = Vec::new();
    let mut lengths = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let before = raw.len();
        match &draft.body {
            Body::Journal(entry) => raw.extend_from_slice(&entry.export),
            Body::Kernel(message) => raw.extend_from_slice(&message.record),
            Body::Engine(event) => {
                raw.extend_from_slice(&event.json);
                raw.push(b'\n');
            }
            _ => {}
        }
        lengths.push(wide(raw.len() - before));
    }
    let events = draft_events(drafts, floor).integers("len", &lengths, Layout::Varint);
    let segment = SegmentBuilder::default().table("events", events);
    Ok(vec![
        (name.clone(), segment.encode(&name)?),
        (raw_name(stream).to_owned(), raw),
    ])
}

fn logs(drafts: &[&Draft], floor: BootTime) -> Result<SegmentBuilder, WriteError> {
    let mut containers: Dictionary<String> = Dictionary::new();
    let lines: Vec<&LogLine> = drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Log(line) => Some(line),
            _ => None,
        })
        .collect();
    let container: Vec<u64> = lines
        .iter()
        .map(|line| containers.index(&line.container))
        .collect();
    let output = column(drafts, |body| match body {
        Body::Log(line) => line.stream as u64,
        _ => 0,
    });
    let realtime: Vec<u64> = lines.iter().map(|line| zigzag(line.realtime)).collect();
    let events = draft_events(drafts, floor)
        .integers("container", &container, Layout::Fixed)
        .integers("stream", &output, Layout::Fixed)
        .integers("realtime", &realtime, Layout::Delta)
        .bytes("bytes", lines.iter().map(|line| line.bytes.as_slice()));
    Ok(SegmentBuilder::default()
        .table("events", events)
        .table("containers", strings(containers.rows())))
}

pub(super) fn decode<'a>(
    stream: Stream,
    what: &str,
    segment: &Segment,
    events: &Table,
    raw: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Vec<Body>, ReadError> {
    if stream == Stream::Log {
        return decode_logs(what, segment, events);
    }
    let name = raw_name(stream);
    let content =
        raw(name).ok_or_else(|| ReadError::damaged(what, format!("its member {name} is missing")))?;
    let pieces = pieces(what, content, 0, &events.integers("len")?)?;
    Ok(pieces
        .into_iter()
        .map(|piece| match stream {
            Stream::Journal => Body::Journal(JournalEntry {
                export: piece.to_vec(),
            }),
            Stream::Kernel => Body::Kernel(KernelMessage {
                record: piece.to_vec(),
            }),
            _ => Body::Engine(EngineEvent {
                json: piece.strip_suffix(b"\n").unwrap_or(piece).to_vec(),
            }),
        })
        .collect())
}

fn decode_logs(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let containers = segment.table("containers")?.texts("value")?;
    let bytes = events.bytes("bytes")?;
    let outputs = events.integers("stream")?;
    let mut spent = 0;
    let columns = events
        .integers("container")?
        .into_iter()
        .zip(outputs)
        .zip(events.integers("realtime")?)
        .enumerate();
    columns
        .map(|(row, ((container, output), realtime))| {
            Ok(Body::Log(LogLine {
                container: text(what, &containers, container, &mut spent)?,
                stream: match output {
                    1 => LogStream::Stdout,
                    2 => LogStream::Stderr,
                    other => return Err(ReadError::damaged(what, format!("output {other} is unknown"))),
                },
                realtime: unzigzag(realtime),
                bytes: bytes.row(row).to_vec(),
            }))
        })
        .collect()
}
