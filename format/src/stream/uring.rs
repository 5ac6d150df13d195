//! Segment `uring.cbor`: tables `events`, `tasks`, `descriptors`.

use super::dictionary::{Dictionary, decode_descriptors, decode_tasks, descriptors, tasks};
use super::{Part, draft_events, lookup};
use crate::BootTime;
use crate::column::{Layout, unzigzag, zigzag};
use crate::error::{ReadError, WriteError};
use crate::event::{Body, DescriptorName, Draft, Stream, Task, Uring, UringStep};
use crate::table::{Segment, SegmentBuilder, Table};
use std::sync::Arc;

pub(super) fn encode(drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let requests: Vec<&Uring> = drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Uring(request) => Some(request),
            _ => None,
        })
        .collect();
    let mut threads: Dictionary<Task> = Dictionary::new();
    let mut names: Dictionary<Arc<DescriptorName>> = Dictionary::new();
    let task: Vec<u64> = requests
        .iter()
        .map(|request| threads.index(request.task.as_ref()))
        .collect();
    let descriptor: Vec<u64> = requests
        .iter()
        .map(|request| {
            request
                .descriptor
                .as_ref()
                .map_or(0, |name| names.index(name) + 1)
        })
        .collect();
    let gather = |value: &dyn Fn(&Uring) -> u64| {
        requests
            .iter()
            .map(|request| value(request))
            .collect::<Vec<u64>>()
    };
    let fd = |request: &Uring| match request.step {
        UringStep::Submit { fd: Some(fd), .. } => zigzag(i64::from(fd)) + 1,
        _ => 0,
    };
    let result = |request: &Uring| zigzag(i64::from(request.step.result().unwrap_or(0)));
    let latency = |request: &Uring| request.step.latency().map_or(0, |ns| ns.saturating_add(1));
    let flags = |request: &Uring| u64::from(request.step.flags());
    let opcode = |request: &Uring| request.opcode.map_or(0, |opcode| u64::from(opcode) + 1);
    let step = |request: &Uring| u64::from(request.step.number());
    let events = draft_events(drafts, floor)
        .integers("task", &task, Layout::Fixed)
        .integers("cpu", &gather(&|request| u64::from(request.cpu)), Layout::Fixed)
        .integers("step", &gather(&step), Layout::Fixed)
        .integers("ring", &gather(&|request| request.ring), Layout::Fixed)
        .integers("user_data", &gather(&|request| request.user_data), Layout::Fixed)
        .integers("flags", &gather(&flags), Layout::Fixed)
        .integers("opcode", &gather(&opcode), Layout::Fixed)
        .integers("fd", &gather(&fd), Layout::Varint)
        .integers("descriptor", &descriptor, Layout::Fixed)
        .integers("result", &gather(&result), Layout::Varint)
        .integers("latency", &gather(&latency), Layout::Varint);
    let segment = SegmentBuilder::default()
        .table("events", events)
        .table("tasks", tasks(threads.rows()))
        .table("descriptors", descriptors(names.rows()));
    let name = super::segment_name(Stream::Uring);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

fn signed(what: &str, value: u64) -> Result<i32, ReadError> {
    i32::try_from(unzigzag(value)).map_err(|_| ReadError::damaged(what, "a number of more than 32 bits"))
}

pub(super) fn decode(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let tasks = decode_tasks(super::tasks_of(segment)?)?;
    let names = decode_descriptors(segment.table("descriptors")?)?;
    let wide = |name: &str| events.integers(name);
    let (task, ring, user_data) = (wide("task")?, wide("ring")?, wide("user_data")?);
    let (step, fd, descriptor) = (wide("step")?, wide("fd")?, wide("descriptor")?);
    let (result, latency) = (wide("result")?, wide("latency")?);
    let flags = events.words("flags")?;
    let opcode = events.bounded("opcode", u64::from(u8::MAX) + 1)?;
    let cpu = events.bounded("cpu", u64::from(u16::MAX))?;
    let at = |column: &[u64], row: usize| column.get(row).copied().unwrap_or(0);
    (0..events.rows())
        .map(|row| {
            let flags = flags.get(row).copied().unwrap_or(0);
            let result = || signed(what, at(&result, row));
            let step = match at(&step, row) {
                0 => UringStep::Submit {
                    fd: at(&fd, row)
                        .checked_sub(1)
                        .map(|fd| signed(what, fd))
                        .transpose()?,
                    flags: u8::try_from(flags)
                        .map_err(|_| ReadError::damaged(what, "flags of a request over 255"))?,
                },
                1 => UringStep::Complete {
                    result: result()?,
                    flags,
                    latency: at(&latency, row).checked_sub(1),
                },
                2 => UringStep::Overflow {
                    result: result()?,
                    flags,
                },
                other => return Err(ReadError::damaged(what, format!("step {other} is unknown"))),
            };
            let opcode = at(&opcode, row).checked_sub(1);
            let descriptor = at(&descriptor, row).checked_sub(1);
            Ok(Body::Uring(Uring {
                task: Arc::clone(lookup(what, &tasks, at(&task, row))?),
                step,
                ring: at(&ring, row),
                user_data: at(&user_data, row),
                opcode: opcode.and_then(|opcode| u8::try_from(opcode).ok()),
                descriptor: descriptor
                    .map(|index| lookup(what, &names, index).map(Arc::clone))
                    .transpose()?,
                cpu: u16::try_from(at(&cpu, row)).unwrap_or(u16::MAX),
            }))
        })
        .collect()
}
