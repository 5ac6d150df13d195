//! The calls in flight at a moment are the entries without a return, as the whole list of events tells them.

use crate::fixture::{self, BOOT, SLICE};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Cursor;
use stillframe_format::batch::{ROW_ENTRY_UNSEEN, SyscallBatch, SyscallRow};
use stillframe_format::event::{Abi, OpenCall};
use stillframe_format::reader::Bundle;
use stillframe_format::slice::{self, SliceContent};
use stillframe_format::state::State;
use stillframe_format::writer::Writer;
use stillframe_format::{Body, BootTime};
use stillframe_replay::moment::Place;
use stillframe_replay::state;
use stillframe_replay::timeline::Timeline;

/// `getppid`: it changes nothing.
const NUMBER: u32 = 110;

/// A call of a thread: what was seen of it.
#[derive(Clone, Copy, Debug)]
struct Call {
    tid: u32,
    /// None: before the recording.
    enter: Option<u64>,
    /// None: not by the end.
    returned: Option<u64>,
    /// The slice that its return came in; later than its time where it came late.
    slice: usize,
    /// Tells it from all others.
    id: u64,
}

/// A thread: whether it is within a call when the recording begins; of each call the pause before it, its length, and
/// whether its return comes late.
type Life = (bool, Vec<(u64, u64, bool)>);

/// Threads that call, return, and compute in between.
fn calls(threads: &[Life], slices: usize) -> Vec<Call> {
    let mut all = Vec::new();
    for (tid, (within, lengths)) in (100u32..).zip(threads) {
        let mut at = BOOT + u64::from(tid);
        for (step, (pause, length, late)) in lengths.iter().enumerate() {
            let is_before = *within && step == 0;
            let enter = if is_before { BOOT } else { at + pause };
            let returned = enter + 1 + length;
            let own = ((returned - BOOT) / SLICE) as usize;
            let slice = own + usize::from(*late && own + 1 < slices);
            let is_open = slice >= slices;
            all.push(Call {
                tid,
                enter: (!is_before).then_some(enter),
                returned: (!is_open).then_some(returned),
                slice,
                id: all.len() as u64,
            });
            if is_open {
                break;
            }
            at = returned;
        }
    }
    all.retain(|call| {
        call.enter
            .is_none_or(|enter| enter < BOOT + slices as u64 * SLICE)
    });
    all
}

fn bundle(calls: &[Call], slices: usize) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &fixture::header(), 1).unwrap();
    let mut state = State::default();
    writer.start(Vec::new(), BootTime(BOOT)).unwrap();
    for slice in 0..slices {
        let (from, to) = (BOOT + slice as u64 * SLICE, BOOT + (slice as u64 + 1) * SLICE);
        let mut batch = SyscallBatch::default();
        for call in calls.iter().filter(|call| call.slice == slice) {
            let returned = call.returned.unwrap();
            let mut task = fixture::task(100, "web");
            task.tid = call.tid;
            let position = batch.tasks.iter().position(|known| *known == task);
            let position = position.unwrap_or_else(|| {
                batch.tasks.push(task);
                batch.tasks.len() - 1
            });
            batch.rows.push(SyscallRow {
                time: returned,
                duration: call.enter.map_or(0, |enter| returned - enter),
                args: [call.id, 0, 0, 0, 0, 0],
                ret: 0,
                number: NUMBER,
                task: position as u32,
                captures: 0,
                capture_count: 0,
                abi: Abi::X86_64,
                flags: if call.enter.is_none() { ROW_ENTRY_UNSEEN } else { 0 },
                cpu: 0,
            });
        }
        // As capture lists them: entered before the end, and their returns not come by then.
        let open = calls
            .iter()
            .filter(|call| call.slice > slice && call.enter.is_none_or(|enter| enter < to));
        let open = open.map(|call| OpenCall {
            task: stillframe_format::event::Task {
                tid: call.tid,
                ..fixture::task(100, "web")
            },
            abi: Abi::X86_64,
            number: NUMBER,
            args: [call.id, 0, 0, 0, 0, 0],
            enter: call.enter.map(BootTime),
        });
        let mut content = SliceContent {
            syscalls: batch,
            open: open.collect(),
            from: BootTime(from),
            to: BootTime(to),
            anchors: vec![fixture::anchor(from + 1)],
            ..SliceContent::default()
        };
        content.sort();
        let checkpoint = (slice % 2 == 1).then(|| state.encode("t").unwrap());
        let runs = slice::runs(&content);
        let names = state.fold(&mut content, &runs, writer.next_event());
        let number = slice as u32 + 1;
        writer
            .slice(slice::seal(number, &content, &runs, &names, checkpoint).unwrap())
            .unwrap();
    }
    writer.finish(Vec::new(), fixture::end()).unwrap()
}

/// Entries without a return up to an event: of each thread the one that it entered last.
fn expected(calls: &[Call], returns: &BTreeMap<u64, u64>, after: u64, time: u64) -> Vec<u64> {
    let mut found: BTreeMap<u32, Call> = BTreeMap::new();
    for call in calls {
        let has_returned = returns.get(&call.id).is_some_and(|num| *num <= after);
        if has_returned || call.enter.is_some_and(|enter| enter > time) {
            continue;
        }
        let known = found.entry(call.tid).or_insert(*call);
        if known.enter < call.enter {
            *known = *call;
        }
    }
    found.values().map(|call| call.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn calls_in_flight_are_entries_without_returns(
        threads in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((0..SLICE / 3, 0..SLICE * 2, prop::bool::weighted(0.1)), 1..12)),
            1..6,
        ),
        slices in 1..6usize,
        places in prop::collection::vec(any::<u64>(), 12),
    ) {
        let calls = calls(&threads, slices);
        let mut timeline = Timeline::new(Bundle::open(Cursor::new(bundle(&calls, slices))).unwrap());
        let mut events = Vec::new();
        for index in 0..slices {
            events.extend(timeline.bundle_mut().slice(index).unwrap().events);
        }
        let returns: BTreeMap<u64, u64> = events
            .iter()
            .map(|event| match &event.body {
                Body::Syscall(call) => (call.args[0], event.num),
                other => panic!("{other:?}"),
            })
            .collect();
        for place in places {
            let place = if place % 2 == 0 {
                Place::Time(BootTime(BOOT + (place >> 1) % (slices as u64 * SLICE)))
            } else if events.is_empty() {
                continue
            } else {
                Place::Event(1 + (place >> 1) % events.len() as u64)
            };
            // Whoever stands in the slice already is answered from it.
            if let Place::Event(num) = place
                && num % 3 == 0
            {
                timeline.event(num).unwrap().unwrap();
            }
            let found = state::at(&mut timeline, place);
            let (after, time) = match place {
                // What comes late counts where it stands: in the moment's slice, or not at all.
                Place::Time(time) => {
                    let slice = (time.0 - BOOT) / SLICE;
                    let of = |event: &stillframe_format::Event| {
                        calls.iter().find(|call| returns.get(&call.id) == Some(&event.num)).unwrap().slice as u64
                    };
                    let later = events.iter().find(|event| of(event) > slice || of(event) == slice && event.time > time);
                    (later.map_or(events.len() as u64, |event| event.num - 1), time.0)
                }
                Place::Event(num) => {
                    let event = &events[num as usize - 1];
                    let slice = calls.iter().find(|call| returns.get(&call.id) == Some(&num)).unwrap().slice;
                    (num, event.time.0.max(BOOT + slice as u64 * SLICE))
                }
            };
            prop_assert_eq!(found.damages.len(), 0);
            prop_assert_eq!(found.time, Some(BootTime(time)));
            let shown: Vec<u64> = found.calls.iter().map(|call| call.args[0]).collect();
            prop_assert_eq!(shown, expected(&calls, &returns, after, time), "{:?} {:?}", place, &calls);
        }
    }
}
