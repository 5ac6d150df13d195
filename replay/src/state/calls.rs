//! The calls that were in flight at a moment.
//!
//! Only the moment's slice is asked: a call that had been entered and had not returned by then returns behind the moment
//! in the same slice, or stands among the calls that were open when the slice was sealed. Where a call's entry was not
//! seen, it counts as in flight since the slice's begin if the slice before lists its thread, since the recording's begin
//! if it is the first that its thread returned from; else nobody knows, and it is left out.

use crate::timeline::Timeline;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{OpenCall, Stream};
use stillframe_format::reader::{SlicePart, Streams};
use stillframe_format::stream::SyscallColumns;

/// Threads by process and thread id.
pub(super) type Thread = (u32, u32);

/// Calls of a slice that were in flight at a moment, one for each thread.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) found: BTreeMap<Thread, OpenCall>,
    /// Calls whose entries were not seen, of threads that did not return from another in the slice before: in flight only
    /// if they were when the slice began.
    pub(super) unseen: Vec<OpenCall>,
}

/// The calls that were in flight behind event `after` at `time`.
pub(super) fn in_flight(
    part: &SlicePart,
    calls: Option<&SyscallColumns<'_>>,
    after: u64,
    time: BootTime,
) -> Result<Calls, ReadError> {
    let mut found = Calls::default();
    for call in part.open_calls()? {
        if call.enter.is_none_or(|enter| enter <= time) {
            found.add(call);
        }
    }
    let Some(calls) = calls else { return Ok(found) };
    let mut unseen = Vec::new();
    let (mut row, mut num) = (0usize, part.info().first);
    for run in part.runs() {
        let count = usize::try_from(run.count).unwrap_or(usize::MAX);
        if run.stream == Stream::Syscall {
            for (num, row) in (num..).zip(row..row.saturating_add(count)) {
                if num <= after {
                    continue;
                }
                match calls.duration(row) {
                    None => unseen.push(row),
                    Some(spent) => {
                        let enter = BootTime(calls.time(row).saturating_sub(spent));
                        if enter <= time {
                            found.add(open_call(calls, row, Some(enter)));
                        }
                    }
                }
            }
            row = row.saturating_add(count);
        }
        num = num.saturating_add(run.count);
    }
    if let Some(last) = unseen.last() {
        let mut returned: BTreeSet<Thread> = BTreeSet::new();
        for row in 0..=*last {
            let Some(task) = calls.task(row) else { continue };
            if returned.insert((task.pid, task.tid)) && unseen.binary_search(&row).is_ok() {
                found.unseen.push(open_call(calls, row, None));
            }
        }
    }
    Ok(found)
}

impl Calls {
    /// One that came late, and returned behind the moment only by the order, is not what its thread is in.
    fn add(&mut self, call: OpenCall) {
        let thread = (call.task.pid, call.task.tid);
        let known = self.found.get(&thread);
        if known.is_none_or(|known| known.enter < call.enter) {
            self.found.insert(thread, call);
        }
    }

    /// All of them, by process and thread. `before` has the threads that were in a call when the slice began.
    pub(super) fn all(mut self, before: &BTreeSet<Thread>) -> Vec<OpenCall> {
        for call in std::mem::take(&mut self.unseen) {
            if before.contains(&(call.task.pid, call.task.tid)) {
                self.add(call);
            }
        }
        self.found.into_values().collect()
    }
}

fn open_call(calls: &SyscallColumns<'_>, row: usize, enter: Option<BootTime>) -> OpenCall {
    let facts = calls.facts_but_duration(row);
    OpenCall {
        task: calls
            .task(row)
            .map(|task| task.as_ref().clone())
            .unwrap_or_default(),
        abi: facts.abi,
        number: facts.number,
        args: facts.args,
        enter,
    }
}

/// The threads that were in a call when the slice at `index` began, of those whose entries nobody saw: those that the slice
/// before lists. When the recording began, each of `unseen` may have been, unless it records no entries at all.
pub(super) fn entered_unseen<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    index: usize,
    unseen: &[OpenCall],
) -> BTreeSet<Thread> {
    let bundle = timeline.bundle_mut();
    if bundle.header().plan.get("durations") == Some(&serde_json::Value::Bool(false)) {
        return BTreeSet::new();
    }
    if bundle.slices().get(index).is_some_and(|slice| slice.number == 1) {
        return unseen.iter().map(|call| (call.task.pid, call.task.tid)).collect();
    }
    let Some(before) = index.checked_sub(1) else {
        return BTreeSet::new();
    };
    let listed = bundle
        .slice_bytes(before)
        .and_then(|bytes| bytes.open(Streams::default()))
        .and_then(|part| part.open_calls());
    listed
        .unwrap_or_default()
        .into_iter()
        .filter(|call| call.enter.is_none())
        .map(|call| (call.task.pid, call.task.tid))
        .collect()
}

/// When an event of a slice was, by its number; the slice's begin for one that is not in it or is from before it.
pub(super) fn time_of(
    part: &SlicePart,
    calls: Option<&SyscallColumns<'_>>,
    num: u64,
) -> Result<BootTime, ReadError> {
    let mut taken: BTreeMap<u8, u64> = BTreeMap::new();
    let mut first = part.info().first;
    let begin = part.info().from;
    for run in part.runs() {
        let after = first.saturating_add(run.count);
        let of_stream = taken.entry(run.stream as u8).or_default();
        if num < after {
            let Some(into) = num.checked_sub(first) else { break };
            let at = usize::try_from(of_stream.saturating_add(into)).unwrap_or(usize::MAX);
            let time = match calls {
                Some(calls) if run.stream == Stream::Syscall => calls.times().get(at).copied(),
                _ => part.times(run.stream)?.get(at).copied(),
            };
            return Ok(time.map_or(begin, |time| BootTime(time).max(begin)));
        }
        *of_stream = of_stream.saturating_add(run.count);
        first = after;
    }
    Ok(begin)
}
