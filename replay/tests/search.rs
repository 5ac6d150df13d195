//! Scans on columns find what going over decoded events finds, and the state of a moment is what events lead to.

use crate::fixture::{self, BOOT, SLICE, WEB};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Cursor as Bytes;
use std::ops::ControlFlow;
use stillframe_format::batch::*;
use stillframe_format::event::*;
use stillframe_format::reader::Bundle;
use stillframe_format::slice::{self, SliceContent};
use stillframe_format::state::State;
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, layout};
use stillframe_replay::field::{self, FieldRef, Selector, Shape};
use stillframe_replay::filter::{Expression, Filter, Operator, Test};
use stillframe_replay::moment::Place;
use stillframe_replay::open;
use stillframe_replay::question::{self, Key, Order, Ranking, Scope};
use stillframe_replay::state;
use stillframe_replay::timeline::{Cursor, Found, Range, Search, Step, Timeline};
use stillframe_replay::view::{Context, View};

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Calls of all kinds, some of which change the state, some of other tables, with memory whole, cut, and unreadable.
fn calls(random: &mut Random, from: u64) -> SyscallBatch {
    let mut batch = SyscallBatch::default();
    for pid in 0..1 + random.below(4) as u32 {
        let mut task = fixture::task(
            1234 + pid / 2,
            ["httpd", "worker", "sh"][random.below(3) as usize],
        );
        task.tid += pid % 2;
        if random.below(4) == 0 {
            task.container = String::new();
        }
        if !batch.tasks.contains(&task) {
            batch.tasks.push(task);
        }
    }
    let numbers = [0, 1, 3, 5, 32, 41, 42, 49, 257, 293, 322, 9999, 600];
    let abis = [Abi::X86_64, Abi::X86_64, Abi::X86_64, Abi::I386, Abi::Aarch64];
    let only = (random.below(2) == 0).then_some(Abi::X86_64);
    for _ in 0..random.below(200) {
        let first = batch.captures.len();
        let shift = random.below(40);
        for arg in 0..random.below(3) as u8 {
            let bytes = *random.one(&[
                &b"/etc/passwd"[..],
                b"",
                b"relative",
                b"\x02\0\0P\x0a\0\0\x09\0\0\0\0\0\0\0\0",
                b"\x04\0\0\0\x05\0\0\0",
            ]);
            batch.captures.push(Capture {
                arg,
                kind: *random.one(&[
                    ArgKind::Path,
                    ArgKind::Buffer,
                    ArgKind::Sockaddr,
                    ArgKind::DescriptorPair,
                ]),
                when: *random.one(&[When::Entry, When::Exit]),
                status: *random.one(&[
                    CaptureStatus::Whole,
                    CaptureStatus::Whole,
                    CaptureStatus::Truncated,
                    CaptureStatus::Failed,
                ]),
                original: random.below(100),
                start: batch.arena.len() as u32,
                len: bytes.len() as u32,
            });
            batch.arena.extend_from_slice(bytes);
        }
        batch.rows.push(SyscallRow {
            // Some come late.
            time: (from + random.below(SLICE)).saturating_sub(if random.below(20) == 0 {
                SLICE / 2
            } else {
                0
            }),
            duration: random.below(u64::MAX) >> (24 + shift),
            args: std::array::from_fn(|_| {
                if random.below(3) == 0 {
                    random.0
                } else {
                    random.below(8)
                }
            }),
            ret: random.below(12) as i64 - random.below(6) as i64,
            number: *random.one(&numbers),
            task: random.below(batch.tasks.len() as u64) as u32,
            captures: first as u32,
            capture_count: (batch.captures.len() - first) as u8,
            abi: only.unwrap_or(*random.one(&abis)),
            flags: *random.one(&[0, 0, 0, ROW_NEVER_RETURNED, ROW_ENTRY_UNSEEN]),
            cpu: random.below(3) as u16,
        });
    }
    batch
}

/// What is known before the first event: that there is a container.
fn begun() -> State {
    let mut state = State::default();
    state.add_container(fixture::WEB, "web", b"");
    state
}

fn bundle(random: &mut Random) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &fixture::header(), 1).unwrap();
    let mut state = begun();
    writer.start(Vec::new(), BootTime(BOOT)).unwrap();
    let mut from = BOOT;
    for number in 1..=2 + random.below(4) as u32 {
        let mut content = SliceContent {
            syscalls: if random.below(6) == 0 {
                SyscallBatch::default()
            } else {
                calls(random, from)
            },
            from: BootTime(from),
            to: BootTime(from + SLICE),
            anchors: vec![fixture::anchor(from + 1)],
            ..SliceContent::default()
        };
        for draft in fixture::drafts(from, number == 1) {
            if random.below(3) > 0 {
                content.drafts.push(draft);
            }
        }
        content.sort();
        let checkpoint = (random.below(3) == 0).then(|| state.encode(layout::STATE).unwrap());
        let runs = slice::runs(&content);
        let names = state.fold(&mut content, &runs, writer.next_event());
        writer
            .slice(slice::seal(number, &content, &runs, &names, checkpoint).unwrap())
            .unwrap();
        from += SLICE;
    }
    writer.finish(Vec::new(), fixture::end()).unwrap()
}

fn events(timeline: &mut Timeline<Bytes<Vec<u8>>>) -> Vec<Event> {
    let mut all = Vec::new();
    for index in 0..timeline.bundle().slices().len() {
        all.extend(timeline.bundle_mut().slice(index).unwrap().events);
    }
    all
}

/// A test of any field, mostly with a value that an event has.
fn test(random: &mut Random, all: &[Event], context: &Context) -> Expression {
    use Operator as O;
    const OPERATORS: [Operator; 14] = [
        O::Equal,
        O::NotEqual,
        O::Less,
        O::LessOrEqual,
        O::Greater,
        O::GreaterOrEqual,
        O::Contains,
        O::IContains,
        O::StartsWith,
        O::EndsWith,
        O::Glob,
        O::Matches,
        O::In,
        O::Exists,
    ];
    let fields: Vec<_> = field::all().collect();
    loop {
        let mut picked = *random.one(&fields);
        // Fields of calls twice as often as others.
        if random.below(2) == 0 {
            let calls: Vec<_> = fields
                .iter()
                .copied()
                .filter(|f| ["evt.", "fd.n", "proc"].iter().any(|p| f.name.starts_with(p)))
                .collect();
            picked = *random.one(&calls);
        }
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..20 {
            if let Some(event) = (!all.is_empty()).then(|| random.one(all)) {
                picked.values(&View::new(event, context), |name, value| {
                    let text = value.to_text();
                    values.insert(name.to_owned(), text);
                });
            }
        }
        let (name, value) = match values.iter().next() {
            Some((name, value)) if random.below(5) > 0 => (name.clone(), value.clone()),
            _ => {
                let name = match picked.shape {
                    Shape::Plain => picked.name.to_owned(),
                    Shape::Index => format!("{}[{}]", picked.name, random.below(6)),
                    Shape::Key => format!("{}[name]", picked.name),
                    Shape::Rest => format!("{}cpu.usage_ns", picked.name),
                };
                let value = *random.one(&["0", "1", "true", "read", "x", "10ms", "10.0.0.9"]);
                (name, value.to_owned())
            }
        };
        let field: FieldRef = field::find(&name).unwrap();
        assert!(field.selector != Selector::None || picked.shape == Shape::Plain);
        let operator = *random.one(&OPERATORS);
        let values = if operator == O::Exists {
            vec![]
        } else {
            vec![value]
        };
        if let Ok(test) = Test::new(field, operator, values) {
            return Expression::Test(test);
        }
    }
}

fn expression(random: &mut Random, all: &[Event], context: &Context, depth: u32) -> Expression {
    let part = |random: &mut Random| expression(random, all, context, depth + 1);
    match random.below(if depth > 2 { 1 } else { 4 }) {
        0 => test(random, all, context),
        1 => Expression::And(vec![part(random), part(random)]),
        2 => Expression::Or(vec![part(random), part(random)]),
        _ => Expression::Not(Box::new(part(random))),
    }
}

fn place(random: &mut Random, all: &[Event]) -> Option<Place> {
    match random.below(5) {
        0 => Some(Place::Event(random.below(all.len() as u64 + 3))),
        1 => Some(Place::Time(BootTime(BOOT + random.below(4 * SLICE)))),
        2 if !all.is_empty() => Some(Place::Time(random.one(all).time)),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn filters_on_columns_equal_filters_on_events(seed in 1..u64::MAX) {
        let mut random = Random(seed);
        let bytes = bundle(&mut random);
        let mut timeline = Timeline::new(Bundle::open(Bytes::new(bytes)).unwrap());
        let context = open::context(timeline.bundle_mut());
        let all = events(&mut timeline);
        for _ in 0..25 {
            let text = expression(&mut random, &all, &context, 0).to_string();
            let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let range = Range { from: place(&mut random, &all), to: place(&mut random, &all) };
            let expected: Vec<&Event> =
                all.iter().filter(|event| range.contains(event) && filter.matches(event, &context)).collect();
            let mut hidden: BTreeMap<&str, u64> = BTreeMap::new();
            for event in all.iter().filter(|event| range.contains(event) && !filter.matches(event, &context)) {
                if let stillframe_format::Body::Loss(loss) = &event.body {
                    *hidden.entry(loss.stream.name()).or_default() += 1;
                }
            }
            for limit in [None, Some(1 + random.below(5))] {
                for count in [false, true] {
                    let search = Search { range, filter: &filter, context: &context, count, limit };
                    let mut found = Found::default();
                    let mut damages = Vec::new();
                    timeline
                        .search(&search, |slice| {
                            match slice {
                                Ok(slice) => {
                                    found.matched += slice.matched;
                                    found.events.extend(slice.events);
                                    for (stream, (holes, _)) in slice.hidden {
                                        found.hidden.entry(stream).or_default().0 += holes;
                                    }
                                }
                                Err(damage) => damages.push(damage),
                            }
                            Ok::<_, Infallible>(ControlFlow::Continue(()))
                        })
                        .unwrap();
                    prop_assert_eq!(&damages, &[]);
                    let wanted = limit.map_or(expected.len(), |limit| expected.len().min(limit as usize));
                    prop_assert_eq!(found.matched, wanted as u64, "{} in {:?}", text, range);
                    if limit.is_none() {
                        let holes: BTreeMap<&str, u64> = found.hidden.iter().map(|(name, holes)| (*name, holes.0)).collect();
                        prop_assert_eq!(&holes, &hidden, "{}", &text);
                    }
                    if !count {
                        let events: Vec<&Event> = found.events.iter().collect();
                        prop_assert_eq!(&events[..], &expected[..wanted], "{} in {:?}", text, range);
                    }
                }
            }
        }
    }

    #[test]
    fn the_state_of_a_place_is_what_events_lead_to(seed in 1..u64::MAX) {
        let mut random = Random(seed);
        let bytes = bundle(&mut random);
        let mut timeline = Timeline::new(Bundle::open(Bytes::new(bytes)).unwrap());
        let all = events(&mut timeline);
        for _ in 0..10 {
            let Some(place) = place(&mut random, &all) else { continue };
            // What stands in the slices after a moment's own is left out, late or not.
            let until = match place {
                Place::Event(num) => num,
                Place::Time(time) => {
                    let slices = timeline.bundle().slices();
                    let last = slices.partition_point(|slice| slice.to <= time);
                    slices.get(last).or(slices.last()).map_or(0, |slice| slice.first + slice.events - 1)
                }
            };
            let mut expected = begun();
            let mut after = 0;
            for event in &all {
                let within = match place {
                    Place::Event(_) => true,
                    Place::Time(time) => event.time <= time,
                };
                if !within || event.num > until {
                    break;
                }
                expected.apply(event.num, event.time, &event.body);
                after = event.num;
            }
            let found = state::at(&mut timeline, place);
            prop_assert_eq!(found.damages.len(), 0);
            prop_assert_eq!(found.after, after, "{:?}", place);
            prop_assert!(found.state == expected, "{:?}", place);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// One reader that goes to and fro, through everything that it keeps of slices, shows at each place what one shows that
    /// came there from the front.
    #[test]
    fn slices_in_any_read_order_give_the_same_state(seed in 1..u64::MAX) {
        let mut random = Random(seed);
        let bytes = bundle(&mut random);
        // From the front, event by event, without checkpoints, and without what a reader keeps.
        let mut front = Timeline::new(Bundle::open_by_walk(Bytes::new(bytes.clone())).unwrap());
        let all = events(&mut front);
        let mut states = vec![begun()];
        for event in &all {
            let mut next = states.last().unwrap().clone();
            next.apply(event.num, event.time, &event.body);
            states.push(next);
        }
        let total = all.len() as u64;
        let last_before = |time: BootTime, timeline: &Timeline<Bytes<Vec<u8>>>| {
            let slices = timeline.bundle().slices();
            let last = slices.partition_point(|slice| slice.to <= time);
            let until = slices.get(last).or(slices.last()).map_or(0, |slice| slice.first + slice.events - 1);
            let behind = all.iter().find(|event| event.time > time || event.num > until);
            behind.map_or(total, |event| event.num - 1)
        };
        let mut cursor = Cursor::new(Timeline::new(Bundle::open(Bytes::new(bytes)).unwrap()));
        let slices = cursor.timeline().bundle().slices().len() as u64;
        for _ in 0..40 {
            let num = random.below(total + 3);
            match random.below(9) {
                0 => { cursor.step(); }
                1 => { cursor.step_back(); }
                2 => { cursor.seek(Place::Event(num)); }
                3 => { cursor.seek(Place::Time(BootTime(BOOT + random.below(5 * SLICE)))); }
                // A slice whole, in part, and only what is around an event.
                4 => {
                    let slice = cursor.timeline_mut().bundle_mut().slice(random.below(slices) as usize).unwrap();
                    prop_assert!(slice.events.iter().all(|event| all[event.num as usize - 1] == *event));
                }
                5 => {
                    let bytes = cursor.timeline_mut().bundle_mut().slice_bytes(random.below(slices) as usize).unwrap();
                    bytes.open(State::streams()).unwrap();
                }
                6 => {
                    let event = cursor.timeline_mut().event(num).map(|event| event.unwrap().clone());
                    prop_assert_eq!(event.as_ref(), num.checked_sub(1).and_then(|at| all.get(at as usize)));
                }
                7 => {
                    let time = BootTime(BOOT + random.below(5 * SLICE));
                    let found = state::at(cursor.timeline_mut(), Place::Time(time));
                    let after = last_before(time, cursor.timeline());
                    prop_assert!(found.state == states[after as usize], "at {:?}, after {}", time, after);
                }
                _ => {
                    let range = Range { from: place(&mut random, &all), to: place(&mut random, &all) };
                    cursor.timeline_mut().each(&range, |_| Ok::<_, Infallible>(ControlFlow::Continue(()))).unwrap();
                }
            }
            let here = cursor.position().min(total);
            let found = state::at(cursor.timeline_mut(), Place::Event(here));
            prop_assert!(found.damages.is_empty());
            prop_assert_eq!(found.after, here);
            prop_assert!(found.state == states[here as usize], "after {}", here);
            // It has moved nowhere, and stands on the same event.
            if let Step::Event(event) = cursor.here() {
                prop_assert_eq!(event, &all[here as usize - 1]);
            }
        }
    }
}

#[test]
fn what_a_filter_can_not_match_is_not_read() {
    let filter = |text| Filter::parse(text).unwrap();
    for (text, streams) in [
        ("evt.type=read", vec![Stream::Syscall]),
        ("tcp.port=80 or blk.bytes>0", vec![Stream::Packet, Stream::Block]),
        (
            "not evt.stream=syscall and evt.type startswith proc",
            vec![Stream::Process],
        ),
        ("fd.name contains 80 and evt.stream=packet", vec![]),
    ] {
        let can: Vec<Stream> = Stream::ALL
            .into_iter()
            .filter(|stream| filter(text).may_match(*stream))
            .collect();
        assert_eq!(can, streams, "{text}");
    }
    assert!(
        Stream::ALL
            .into_iter()
            .all(|stream| filter("not fd.num=3").may_match(stream))
    );
    let _ = WEB;
}

/// The ranking that events give, one after another.
fn ranked(
    timeline: &mut Timeline<Bytes<Vec<u8>>>,
    context: &Context,
    scope: &Scope,
    key: Key,
) -> serde_json::Value {
    let mut ranking = Ranking::new(key);
    let mut coverage = question::scan(timeline, context, scope, |view| ranking.take(view));
    coverage.together = ranking.together();
    ranking.json(Order::Time, usize::MAX, scope, &coverage, context)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn sums_over_columns_equal_sums_over_events(seed in 1..u64::MAX) {
        let mut random = Random(seed);
        let bytes = bundle(&mut random);
        let mut timeline = Timeline::new(Bundle::open(Bytes::new(bytes)).unwrap());
        let context = open::context(timeline.bundle_mut());
        let all = events(&mut timeline);
        for round in 0..8 {
            let text = expression(&mut random, &all, &context, 0).to_string();
            let scope = Scope {
                filter: if round < 2 { Filter::default() } else { Filter::parse(&text).unwrap() },
                range: if round < 4 {
                    Range::default()
                } else {
                    Range { from: place(&mut random, &all), to: place(&mut random, &all) }
                },
            };
            for key in [Key::Process, Key::Syscall, Key::Container, Key::Error, Key::File] {
                let expected = ranked(&mut timeline, &context, &scope, key);
                let (ranking, coverage) = question::rank(&mut timeline, &context, &scope, key);
                let found = ranking.json(Order::Time, usize::MAX, &scope, &coverage, &context);
                prop_assert_eq!(&found, &expected, "{:?} of {} in {:?}", key, &text, scope.range);
            }
        }
    }
}
