//! Segment `block.cbor`: tables `events`, `tasks`, `containers`.

use super::dictionary::{Dictionary, decode_tasks, strings, tasks};
use super::{Part, draft_events, lookup, text};
use crate::BootTime;
use crate::column::Layout;
use crate::error::{ReadError, WriteError};
use crate::event::{Block, BlockAction, BlockOwner, Body, Device, Draft, Stream, Task};
use crate::table::{Segment, SegmentBuilder, Table};
use std::sync::Arc;

pub(super) fn encode(drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let blocks: Vec<&Block> = drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Block(block) => Some(block),
            _ => None,
        })
        .collect();
    let mut threads: Dictionary<Task> = Dictionary::new();
    let mut owners: Dictionary<String> = Dictionary::new();
    let task: Vec<u64> = blocks
        .iter()
        .map(|block| threads.index(block.task.as_ref()))
        .collect();
    let container: Vec<u64> = blocks
        .iter()
        .map(|block| owners.index(&block.container))
        .collect();
    let gather =
        |value: &dyn Fn(&Block) -> u64| blocks.iter().map(|block| value(block)).collect::<Vec<u64>>();
    let events = draft_events(drafts, floor)
        .integers("action", &gather(&|block| block.action as u64), Layout::Fixed)
        .integers(
            "major",
            &gather(&|block| u64::from(block.device.major)),
            Layout::Fixed,
        )
        .integers(
            "minor",
            &gather(&|block| u64::from(block.device.minor)),
            Layout::Fixed,
        )
        .integers("sector", &gather(&|block| block.sector), Layout::Delta)
        .integers("bytes", &gather(&|block| u64::from(block.bytes)), Layout::Varint)
        .integers("cmd_flags", &gather(&|block| block.cmd_flags), Layout::Fixed)
        .integers("task", &task, Layout::Fixed)
        .integers("container", &container, Layout::Fixed)
        .integers("owner", &gather(&|block| block.owner as u64), Layout::Fixed)
        .integers("inode", &gather(&|block| block.inode), Layout::Fixed)
        .integers("request", &gather(&|block| block.request), Layout::Fixed)
        .integers(
            "latency",
            &gather(&|block| block.latency.map_or(0, |ns| ns.saturating_add(1))),
            Layout::Varint,
        )
        .integers(
            "error",
            &gather(&|block| u64::from(block.error.unsigned_abs())),
            Layout::Fixed,
        )
        .integers("cpu", &gather(&|block| u64::from(block.cpu)), Layout::Fixed);
    let segment = SegmentBuilder::default()
        .table("events", events)
        .table("tasks", tasks(threads.rows()))
        .table("containers", strings(owners.rows()));
    let name = super::segment_name(Stream::Block);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

pub(super) fn decode(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let bad = |problem: String| ReadError::damaged(what, problem);
    let tasks = decode_tasks(super::tasks_of(segment)?)?;
    let containers = segment.table("containers")?.texts("value")?;
    let words = |name: &str| events.words(name);
    let (major, minor, bytes, error) = (words("major")?, words("minor")?, words("bytes")?, words("error")?);
    let wide = |name: &str| events.integers(name);
    let (action, owner, sector, cmd_flags) = (
        wide("action")?,
        wide("owner")?,
        wide("sector")?,
        wide("cmd_flags")?,
    );
    let (task, container, inode) = (wide("task")?, wide("container")?, wide("inode")?);
    let (request, latency) = (wide("request")?, wide("latency")?);
    let cpu = events.bounded("cpu", u64::from(u16::MAX))?;
    let word = |column: &[u32], row: usize| column.get(row).copied().unwrap_or(0);
    let at = |column: &[u64], row: usize| column.get(row).copied().unwrap_or(0);
    let mut spent = 0;
    (0..events.rows())
        .map(|row| {
            Ok(Body::Block(Block {
                action: match at(&action, row) {
                    0 => BlockAction::Queue,
                    1 => BlockAction::Issue,
                    2 => BlockAction::Complete,
                    other => return Err(bad(format!("action {other} is unknown"))),
                },
                device: Device {
                    major: word(&major, row),
                    minor: word(&minor, row),
                },
                sector: at(&sector, row),
                bytes: word(&bytes, row),
                cmd_flags: at(&cmd_flags, row),
                task: Arc::clone(lookup(what, &tasks, at(&task, row))?),
                container: text(what, &containers, at(&container, row), &mut spent)?,
                owner: match at(&owner, row) {
                    0 => BlockOwner::Page,
                    1 => BlockOwner::Bio,
                    2 => BlockOwner::Task,
                    3 => BlockOwner::Unknown,
                    other => return Err(bad(format!("owner class {other} is unknown"))),
                },
                inode: at(&inode, row),
                request: at(&request, row),
                latency: at(&latency, row).checked_sub(1),
                error: i32::try_from(word(&error, row))
                    .map_err(|_| bad("an errno out of range".to_owned()))?,
                cpu: u16::try_from(at(&cpu, row)).unwrap_or(u16::MAX),
            }))
        })
        .collect()
}
