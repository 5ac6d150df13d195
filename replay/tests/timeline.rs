//! The order, forward, back and from anywhere.

use crate::fixture::{self, BOOT, SLICE};
use proptest::prelude::*;
use std::convert::Infallible;
use std::io::Cursor as Bytes;
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::reader::Bundle;
use stillframe_replay::moment::Place;
use stillframe_replay::timeline::{Cursor, Item, Range, Step, Timeline};

fn timeline(bytes: Vec<u8>) -> Timeline<Bytes<Vec<u8>>> {
    Timeline::new(Bundle::open(Bytes::new(bytes)).unwrap())
}

/// What stands there, in a form that lives longer: an event's number and time, or a hole's first and last.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Edge,
    Event(u64, BootTime),
    Hole(u64, u64),
}

fn seen(step: Step<'_>) -> Seen {
    match step {
        Step::Start | Step::End => Seen::Edge,
        Step::Event(event) => Seen::Event(event.num, event.time),
        Step::Damage(damage) => Seen::Hole(damage.first, damage.events),
    }
}

fn visited(timeline: &mut Timeline<Bytes<Vec<u8>>>, range: &Range) -> Vec<Seen> {
    let mut found = Vec::new();
    timeline
        .each(range, |item| {
            found.push(match item {
                Item::Event(event) => Seen::Event(event.num, event.time),
                Item::Damage(damage) => Seen::Hole(damage.first, damage.events),
            });
            Ok::<_, Infallible>(ControlFlow::Continue(()))
        })
        .unwrap();
    found
}

fn walked(cursor: &mut Cursor<Bytes<Vec<u8>>>, forward: bool) -> Vec<Seen> {
    let mut found = Vec::new();
    loop {
        match seen(if forward {
            cursor.step()
        } else {
            cursor.step_back()
        }) {
            Seen::Edge => return found,
            other => found.push(other),
        }
    }
}

/// Bends a byte in the middle of a slice.
fn damage(bytes: &mut [u8], slice: usize) {
    let bundle = Bundle::open(Bytes::new(bytes.to_vec())).unwrap();
    let info = &bundle.slices()[slice];
    let at = usize::try_from(info.offset + info.len / 2).unwrap();
    bytes[at] ^= 0x55;
    let mut bent = Bundle::open(Bytes::new(bytes.to_vec())).unwrap();
    assert!(bent.slice(slice).is_err(), "the bent byte does no harm");
}

fn times() -> impl Strategy<Value = Vec<Vec<i64>>> {
    prop::collection::vec(prop::collection::vec(-1500i64..999, 0..6), 1..5).prop_map(|mut slices| {
        for time in slices.iter_mut().take(1).flatten() {
            *time = time.abs() % 999;
        }
        slices
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forward_and_back_are_the_same_order(times in times(), broken in prop::option::of(0usize..4)) {
        let mut bytes = fixture::slices(&times);
        if let Some(slice) = broken.filter(|slice| times.get(*slice).is_some_and(|times| !times.is_empty())) {
            damage(&mut bytes, slice);
        }
        let mut timeline = timeline(bytes);
        // A slice without events that can't be read is no stop for a cursor.
        let order = visited(&mut timeline, &Range::default());
        let mut cursor = Cursor::new(timeline);
        let forward = walked(&mut cursor, true);
        prop_assert_eq!(&forward, &order);
        let mut back = walked(&mut cursor, false);
        back.reverse();
        prop_assert_eq!(&back, &forward);
        prop_assert_eq!(cursor.position(), 0);
    }

    #[test]
    fn seek_is_as_many_steps_and_back_undoes_a_step(times in times(), share in 0u64..=100) {
        let bytes = fixture::slices(&times);
        let total = times.iter().flatten().count() as u64;
        let num = total * share / 100;
        let mut stepping = Cursor::new(timeline(bytes.clone()));
        for _ in 0..num {
            stepping.step();
        }
        let mut seeking = Cursor::new(timeline(bytes));
        let there = seen(seeking.seek(Place::Event(num)));
        prop_assert_eq!(&there, &seen(stepping.here()));
        prop_assert_eq!(seeking.position(), stepping.position());
        seeking.step();
        let back = seen(seeking.step_back());
        prop_assert_eq!(&back, &there);
        prop_assert_eq!(seeking.position(), num);
    }

    #[test]
    fn ranges_keep_exactly_what_lies_in_them(times in times(), ends in (-1600i64..4000, -1600i64..4000), by_number: bool) {
        let mut timeline = timeline(fixture::slices(&times));
        let at = |ms: i64| BootTime(BOOT.saturating_add_signed(ms * 1_000_000));
        let (from, to) = if by_number {
            (Place::Event(ends.0.unsigned_abs() / 200), Place::Event(ends.1.unsigned_abs() / 200))
        } else {
            (Place::Time(at(ends.0)), Place::Time(at(ends.1)))
        };
        let all = visited(&mut timeline, &Range::default());
        let holds = |place: Place, num: u64, time: BootTime| match place {
            Place::Event(other) => num.cmp(&other),
            Place::Time(other) => time.cmp(&other),
        };
        for (from, to) in [(Some(from), None), (None, Some(to)), (Some(from), Some(to))] {
            let expected: Vec<Seen> = all
                .iter()
                .filter(|seen| {
                    let Seen::Event(num, time) = **seen else { return false };
                    from.is_none_or(|from| holds(from, num, time).is_ge())
                        && to.is_none_or(|to| holds(to, num, time).is_le())
                })
                .cloned()
                .collect();
            prop_assert_eq!(visited(&mut timeline, &Range { from, to }), expected);
        }
    }

    #[test]
    fn a_moment_leads_to_the_first_event_that_is_not_before_it(times in times(), ms in -100i64..4500) {
        let bytes = fixture::slices(&times);
        let at = BootTime(BOOT.saturating_add_signed(ms * 1_000_000));
        let mut cursor = Cursor::new(timeline(bytes.clone()));
        let found = seen(cursor.seek(Place::Time(at)));
        // In slices that end before it there are only late comers to it.
        let passed = times.iter().enumerate().filter(|(index, _)| BootTime(BOOT + (*index as u64 + 1) * SLICE) <= at);
        let passed = passed.map(|(_, times)| times.len() as u64).sum::<u64>();
        let expected = visited(&mut timeline(bytes), &Range::default()).into_iter().find(|seen| {
            matches!(seen, Seen::Event(num, time) if *num > passed && *time >= at)
        });
        prop_assert_eq!(found, expected.unwrap_or(Seen::Edge));
    }
}

#[test]
fn what_comes_after_a_damaged_slice_is_still_there() {
    let mut bytes = fixture::slices(&[vec![1, 2], vec![3, 4, 5], vec![6]]);
    damage(&mut bytes, 1);
    let order = visited(&mut timeline(bytes), &Range::default());
    let at = |ms: u64| BootTime(BOOT + ms * 1_000_000);
    assert_eq!(
        order,
        [
            Seen::Event(1, at(1)),
            Seen::Event(2, at(2)),
            Seen::Hole(3, 3),
            Seen::Event(6, at(2006)),
        ]
    );
}
