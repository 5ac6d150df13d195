//! Segment `syscall.cbor`: tables `events`, `tasks`, `captures`, `descriptors`.

use super::dictionary::{decode_tasks, tasks};
use super::{Part, events, lookup, wide};
use crate::batch::{CaptureStatus, ROW_ENTRY_UNSEEN, ROW_NEVER_RETURNED, SyscallBatch};
use crate::column::{Layout, unzigzag, zigzag};
use crate::error::{ReadError, WriteError};
use crate::event::{Abi, ArgData, ArgKind, Body, DescriptorName, Return, Stream, Syscall, When};
use crate::table::{Segment, Table, TableBuilder};
use crate::{BootTime, Captured};
use std::sync::Arc;

/// What the calls' descriptors referred to: `index[row]` is 0 for nothing, else one more than the entry of `names`.
#[derive(Debug, Default)]
pub struct Names {
    /// The names, each once.
    pub names: Vec<Arc<DescriptorName>>,
    /// One for each row of the batch, in the order of the batch.
    pub index: Vec<u32>,
}

/// Names of the six argument columns.
const ARGS: [&str; 6] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];

/// Encodes calls, in the order of the batch's rows.
///
/// # Errors
/// [`WriteError`] when something is too large for the format.
pub fn encode(batch: &SyscallBatch, names: &Names, floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let rows = &batch.rows;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let gather =
        |value: &dyn Fn(&crate::batch::SyscallRow) -> u64| rows.iter().map(value).collect::<Vec<u64>>();
    let times = gather(&|row| row.time);
    let mut table = events(&times, floor)
        .integers("duration", &gather(&|row| row.duration), Layout::Varint)
        .integers("number", &gather(&|row| u64::from(row.number)), Layout::Fixed)
        .integers("abi", &gather(&|row| u64::from(row.abi as u8)), Layout::Fixed)
        .integers("ret", &gather(&|row| zigzag(row.ret)), Layout::Fixed)
        .integers("task", &gather(&|row| u64::from(row.task)), Layout::Fixed)
        .integers("cpu", &gather(&|row| u64::from(row.cpu)), Layout::Fixed)
        .integers("flags", &gather(&|row| u64::from(row.flags)), Layout::Fixed);
    for (at, name) in ARGS.into_iter().enumerate() {
        table = table.integers(
            name,
            &gather(&|row| row.args.get(at).copied().unwrap_or(0)),
            Layout::Fixed,
        );
    }
    let named: Vec<u64> = (0..rows.len())
        .map(|row| names.index.get(row).map_or(0, |&index| u64::from(index)))
        .collect();
    let captured = gather(&|row| u64::from(row.capture_count));
    table =
        table
            .integers("descriptor", &named, Layout::Fixed)
            .integers("captures", &captured, Layout::Fixed);

    let segment = crate::table::SegmentBuilder::default()
        .table("events", table)
        .table("tasks", tasks(&batch.tasks))
        .table("captures", captures(batch))
        .table("descriptors", descriptors(&names.names));
    let name = super::segment_name(Stream::Syscall);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

/// The captures of the rows, in the order of the rows: how many belong to a row is in the row.
fn captures(batch: &SyscallBatch) -> TableBuilder {
    let mut found = Vec::with_capacity(batch.captures.len());
    let mut lengths = Vec::with_capacity(batch.captures.len());
    let mut content = Vec::with_capacity(batch.arena.len());
    for row in &batch.rows {
        let start = row.captures as usize;
        let of_row = batch
            .captures
            .get(start..start + usize::from(row.capture_count))
            .unwrap_or_default();
        for capture in of_row {
            let start = capture.start as usize;
            let bytes = batch
                .arena
                .get(start..start + capture.len as usize)
                .unwrap_or_default();
            lengths.push(wide(bytes.len()));
            content.extend_from_slice(bytes);
            found.push(capture);
        }
    }
    let gather =
        |value: &dyn Fn(&crate::batch::Capture) -> u64| found.iter().map(|c| value(c)).collect::<Vec<u64>>();
    TableBuilder::new(found.len())
        .integers("arg", &gather(&|capture| u64::from(capture.arg)), Layout::Fixed)
        .integers(
            "kind",
            &gather(&|capture| u64::from(capture.kind as u8)),
            Layout::Fixed,
        )
        .integers(
            "when",
            &gather(&|capture| u64::from(capture.when as u8)),
            Layout::Fixed,
        )
        .integers(
            "status",
            &gather(&|capture| u64::from(capture.status as u8)),
            Layout::Fixed,
        )
        .integers("original", &gather(&|capture| capture.original), Layout::Varint)
        .blob("bytes", &lengths, content)
}

fn descriptors(names: &[Arc<DescriptorName>]) -> TableBuilder {
    TableBuilder::new(names.len())
        .bytes("kind", names.iter().map(|name| name.kind.as_bytes()))
        .bytes("name", names.iter().map(|name| name.name.as_slice()))
}

pub(super) fn decode(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let tasks = decode_tasks(super::tasks_of(segment)?)?;
    let table = segment.table("descriptors")?;
    let names = table.bytes("name")?;
    let names: Vec<Arc<DescriptorName>> = table
        .texts("kind")?
        .into_iter()
        .enumerate()
        .map(|(row, kind)| {
            Arc::new(DescriptorName {
                kind,
                name: names.row(row).to_vec(),
            })
        })
        .collect();
    let mut data = decode_captures(what, segment.table("captures")?)?.into_iter();

    let mut args = Vec::with_capacity(ARGS.len());
    for name in ARGS {
        args.push(events.integers(name)?);
    }
    let duration = events.integers("duration")?;
    let number = events.words("number")?;
    let abi = events.bounded("abi", 255)?;
    let ret = events.integers("ret")?;
    let task = events.integers("task")?;
    let cpu = events.bounded("cpu", u64::from(u16::MAX))?;
    let flags = events.bounded("flags", 255)?;
    let descriptor = events.integers("descriptor")?;
    let captures = events.bounded("captures", 255)?;
    let mut bodies = Vec::with_capacity(events.rows());
    let at = |column: &[u64], row: usize| column.get(row).copied().unwrap_or(0);
    for row in 0..events.rows() {
        let flags = at(&flags, row);
        let mut values = [0; 6];
        for (value, column) in values.iter_mut().zip(&args) {
            *value = at(column, row);
        }
        let count = usize::try_from(at(&captures, row)).unwrap_or(0);
        let taken: Vec<ArgData> = data.by_ref().take(count).collect();
        if taken.len() != count {
            return Err(bad("fewer captures than its rows count"));
        }
        let never = flags & u64::from(ROW_NEVER_RETURNED) != 0;
        let unseen = flags & u64::from(ROW_ENTRY_UNSEEN) != 0;
        bodies.push(Body::Syscall(Box::new(Syscall {
            task: Arc::clone(lookup(what, &tasks, at(&task, row))?),
            abi: u8::try_from(at(&abi, row))
                .ok()
                .and_then(Abi::from_number)
                .ok_or_else(|| bad("an unknown abi"))?,
            number: number.get(row).copied().unwrap_or(0),
            args: values,
            ret: if never {
                Return::Never
            } else {
                Return::Value(unzigzag(at(&ret, row)))
            },
            duration: (!unseen).then(|| at(&duration, row)),
            cpu: u16::try_from(at(&cpu, row)).unwrap_or(u16::MAX),
            descriptor: match at(&descriptor, row).checked_sub(1) {
                Some(index) => Some(Arc::clone(lookup(what, &names, index)?)),
                None => None,
            },
            data: taken,
        })));
    }
    if data.next().is_some() {
        return Err(bad("more captures than its rows count"));
    }
    Ok(bodies)
}

fn decode_captures(what: &str, table: &Table) -> Result<Vec<ArgData>, ReadError> {
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let arg = table.bounded("arg", 5)?;
    let kind = table.bounded("kind", 255)?;
    let when = table.bounded("when", 1)?;
    let status = table.bounded("status", 3)?;
    let original = table.integers("original")?;
    let bytes = table.bytes("bytes")?;
    let rows = arg
        .into_iter()
        .zip(kind)
        .zip(when)
        .zip(status)
        .zip(original)
        .enumerate();
    rows.map(|(row, ((((arg, kind), when), status), original))| {
        let content = || bytes.row(row).to_vec();
        Ok(ArgData {
            arg: u8::try_from(arg).unwrap_or(0),
            kind: u8::try_from(kind)
                .ok()
                .and_then(ArgKind::from_number)
                .ok_or_else(|| bad("an unknown kind"))?,
            when: if when == 0 { When::Entry } else { When::Exit },
            bytes: match status {
                status if status == CaptureStatus::Whole as u64 => Captured::Whole(content()),
                status if status == CaptureStatus::Truncated as u64 => {
                    Captured::Truncated(content(), original)
                }
                status if status == CaptureStatus::Failed as u64 => {
                    Captured::Failed(i32::try_from(original).map_err(|_| bad("an errno out of range"))?)
                }
                _ => Captured::Redacted(original),
            },
        })
    })
    .collect()
}
