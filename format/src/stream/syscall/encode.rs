//! Calls to columns.

use super::super::dictionary::{descriptors, tasks};
use super::super::{Part, segment_name, wide};
use super::{ARGS, Returns};
use crate::BootTime;
use crate::batch::{Capture, SyscallBatch, SyscallRow};
use crate::column::{Layout, zigzag};
use crate::error::WriteError;
use crate::event::{DescriptorName, Stream};
use crate::table::{SegmentBuilder, TableBuilder};
use std::sync::Arc;

/// What the calls' descriptors referred to: `index[row]` is 0 for nothing, else one more than the entry of `names`.
#[derive(Debug, Default)]
pub struct Names {
    /// The names, each once.
    pub names: Vec<Arc<DescriptorName>>,
    /// One for each row of the batch, in the order of the batch.
    pub index: Vec<u32>,
}

/// Encodes calls, in the order of the batch's rows.
///
/// # Errors
/// [`WriteError`] when something is too large for the format.
pub fn encode(batch: &SyscallBatch, names: &Names, floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let rows = &batch.rows;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let late: Vec<u64> = rows.iter().map(|row| u64::from(row.time < floor.0)).collect();
    let mut table = TableBuilder::new(rows.len())
        .integers("gap", &gaps(rows), Layout::Varint)
        .integers("late", &late, Layout::Fixed);
    for ((name, layout, _), values) in COLUMNS.into_iter().zip(gather(rows)) {
        table = table.integers(name, &values, layout);
    }
    let named: Vec<u64> = (0..rows.len())
        .map(|row| names.index.get(row).map_or(0, |&index| u64::from(index)))
        .collect();
    table = table.integers("descriptor", &named, Layout::Fixed);

    let segment = SegmentBuilder::default()
        .table("events", table)
        .table("tasks", tasks(&batch.tasks))
        .table("captures", captures(batch))
        .table("descriptors", descriptors(&names.names));
    let name = segment_name(Stream::Syscall);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

/// Appends one column's values of some rows.
type Gather = fn(&[SyscallRow], &mut Vec<u64>);

/// The columns that are in the rows as they are.
const COLUMNS: [(&str, Layout, Gather); 14] = [
    ("duration", Layout::Varint, |rows, out| {
        out.extend(rows.iter().map(|row| row.duration));
    }),
    ("number", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.number)));
    }),
    ("abi", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.abi as u8)));
    }),
    ("ret", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| zigzag(row.ret)));
    }),
    ("task", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.task)));
    }),
    ("cpu", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.cpu)));
    }),
    ("flags", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.flags)));
    }),
    (ARGS[0], Layout::Fixed, argument::<0>),
    (ARGS[1], Layout::Fixed, argument::<1>),
    (ARGS[2], Layout::Fixed, argument::<2>),
    (ARGS[3], Layout::Fixed, argument::<3>),
    (ARGS[4], Layout::Fixed, argument::<4>),
    (ARGS[5], Layout::Fixed, argument::<5>),
    ("captures", Layout::Fixed, |rows, out| {
        out.extend(rows.iter().map(|row| u64::from(row.capture_count)));
    }),
];

fn argument<const AT: usize>(rows: &[SyscallRow], out: &mut Vec<u64>) {
    out.extend(rows.iter().map(|row| row.args.get(AT).copied().unwrap_or(0)));
}

/// Turns rows into columns, some rows at a time: these stay in the nearest cache for all columns, where all rows of a
/// slice would come from memory once for each.
fn gather(rows: &[SyscallRow]) -> [Vec<u64>; COLUMNS.len()] {
    const BLOCK: usize = 128;
    let mut columns = COLUMNS.map(|_| Vec::with_capacity(rows.len()));
    for block in rows.chunks(BLOCK) {
        for ((_, _, gather), column) in COLUMNS.iter().zip(&mut columns) {
            gather(block, column);
        }
    }
    columns
}

/// From each call's entry back to the return before it of the same thread: what a program does between its calls varies
/// less than the time from one return to the next, which has the call's own duration in it once more.
fn gaps(rows: &[SyscallRow]) -> Vec<u64> {
    let mut clock = Returns::default();
    rows.iter()
        .map(|row| {
            let since = clock.before(u64::from(row.task));
            clock.returned(u64::from(row.task), row.time);
            let gap = row.time.wrapping_sub(row.duration).wrapping_sub(since);
            zigzag(gap.cast_signed())
        })
        .collect()
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
    let gather = |value: &dyn Fn(&Capture) -> u64| found.iter().map(|c| value(c)).collect::<Vec<u64>>();
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
