//! Of a bundle only those slices are read that can hold what is asked for; late events are found all the same.

use crate::fixture::{self, BOOT, MS, SLICE};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{self, Cursor as Bytes, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use stillframe_format::cut::{Cut, cut};
use stillframe_format::event::Event;
use stillframe_format::header::{End, Tool};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::Bundle;
use stillframe_format::slice::{SliceContent, runs, seal};
use stillframe_format::state::State;
use stillframe_format::stream::Names;
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, Draft, layout};
use stillframe_replay::filter::Filter;
use stillframe_replay::moment::Place;
use stillframe_replay::open;
use stillframe_replay::question::{self, Key, Scope};
use stillframe_replay::timeline::{Item, Range, Search, Timeline};

/// A file that notes which of its bytes are read: where, and how many.
struct Noting {
    bytes: Bytes<Vec<u8>>,
    reads: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.bytes.position();
        let read = self.bytes.read(buffer)?;
        self.reads.lock().unwrap().push((at, read as u64));
        Ok(read)
    }
}

impl Seek for Noting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// An opened bundle, and what of it was read since.
struct Watched {
    timeline: Timeline<Noting>,
    slices: Vec<SliceInfo>,
    reads: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Watched {
    fn new(bytes: Vec<u8>) -> Self {
        let reads = Arc::default();
        let bundle = Bundle::open(Noting {
            bytes: Bytes::new(bytes),
            reads: Arc::clone(&reads),
        });
        let timeline = Timeline::new(bundle.unwrap());
        let slices = timeline.bundle().slices().to_vec();
        Self {
            timeline,
            slices,
            reads,
        }
    }

    /// The numbers of the slices that `asked` reads.
    fn read_by<T>(&mut self, asked: impl FnOnce(&mut Timeline<Noting>) -> T) -> (T, Vec<u32>) {
        self.reads.lock().unwrap().clear();
        let answer = asked(&mut self.timeline);
        let reads = self.reads.lock().unwrap();
        let touched: BTreeSet<u32> = self
            .slices
            .iter()
            .filter(|slice| {
                reads
                    .iter()
                    .any(|(at, len)| *at < slice.offset + slice.len && at + len > slice.offset)
            })
            .map(|slice| slice.number)
            .collect();
        (answer, touched.into_iter().collect())
    }
}

/// Slices of a second with events at these times, in milliseconds from the slice's start; negative ones are late.
fn bundle(times: &[&[i64]], has_earliest: bool) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &fixture::header(), 1).unwrap();
    writer.start(Vec::new(), BootTime(BOOT)).unwrap();
    for (number, times) in (1u32..).zip(times) {
        let base = BOOT + u64::from(number - 1) * SLICE;
        let draft = |time: &i64| Draft {
            time: BootTime(base.saturating_add_signed(time * MS as i64)),
            cpu: 0,
            body: fixture::log(fixture::START, "x\n"),
        };
        let mut content = SliceContent {
            drafts: times.iter().map(draft).collect(),
            from: BootTime(base),
            to: BootTime(base + SLICE),
            ..SliceContent::default()
        };
        content.sort();
        let mut sealed = seal(number, &content, &runs(&content), &Names::default(), None).unwrap();
        let first = content.drafts.first().map(|draft| draft.time);
        assert_eq!(sealed.ledger.earliest, first);
        if !has_earliest {
            sealed.ledger.earliest = None;
        }
        writer.slice(sealed).unwrap();
    }
    writer.finish(Vec::new(), End::default()).unwrap()
}

/// Slice 4 has an event of slice 1's time; slice 6 one of slice 3's; slice 5 has none at all.
const TIMES: [&[i64]; 7] = [
    &[10, 500],
    &[10, 500],
    &[10, 500],
    &[-2_700, 20, 500],
    &[],
    &[-2_100, 30],
    &[1, 2],
];

fn until(milliseconds: u64) -> Range {
    Range {
        from: None,
        to: Some(Place::Time(BootTime(BOOT + milliseconds * MS))),
    }
}

fn events<R: Read + Seek>(timeline: &mut Timeline<R>, range: &Range) -> Vec<Event> {
    let mut found = Vec::new();
    timeline
        .each(range, |item| {
            match item {
                Item::Event(event) => found.push(event.clone()),
                Item::Damage(damage) => panic!("{damage:?}"),
            }
            Ok::<_, Infallible>(ControlFlow::Continue(()))
        })
        .unwrap();
    found
}

fn within(events: &[Event], range: &Range) -> Vec<Event> {
    let inside = events.iter().filter(|event| range.contains(event));
    inside.cloned().collect()
}

#[test]
fn what_begins_behind_the_end_is_not_read_and_late_events_are_found() {
    let mut watched = Watched::new(bundle(&TIMES, true));
    let all = events(&mut watched.timeline, &Range::default());
    assert_eq!(all.len(), 13);
    assert_eq!(all.iter().filter(|event| event.late).count(), 2);
    for (milliseconds, slices) in [
        (5, vec![]),
        (10, vec![1]),
        (300, vec![1, 4]),
        (1_500, vec![1, 2, 4]),
        (2_950, vec![1, 2, 3, 4, 6]),
        (3_010, vec![1, 2, 3, 4, 6]),
        (9_000, vec![1, 2, 3, 4, 6, 7]),
    ] {
        let range = until(milliseconds);
        let expected = within(&all, &range);
        let (found, read) = watched.read_by(|timeline| events(timeline, &range));
        assert_eq!(
            (found, read),
            (expected.clone(), slices.clone()),
            "{milliseconds} ms"
        );
        // The same with a limit, with a filter, and as sums.
        let filter = Filter::parse("evt.type=log").unwrap();
        let context = open::outline(watched.timeline.bundle());
        let search = Search {
            range,
            filter: &filter,
            context: &context,
            count: true,
            limit: Some(1_000),
        };
        let (matched, read) = watched.read_by(|timeline| {
            let mut matched = 0;
            let searched: Result<(), Infallible> = timeline.search(&search, |found| {
                matched += found.unwrap().matched;
                Ok(ControlFlow::Continue(()))
            });
            searched.unwrap();
            matched
        });
        assert_eq!(
            (matched, read),
            (expected.len() as u64, slices.clone()),
            "{milliseconds} ms"
        );
        let scope = Scope {
            filter: Filter::parse("evt.type=log").unwrap(),
            range,
        };
        let ((_, coverage), read) =
            watched.read_by(|timeline| question::rank(timeline, &context, &scope, Key::Container));
        assert_eq!(coverage.matched, expected.len() as u64, "{milliseconds} ms");
        assert!(read.iter().all(|number| slices.contains(number)), "{read:?}");
    }
}

#[test]
fn a_bundle_that_does_not_tell_is_read_on() {
    let mut watched = Watched::new(bundle(&TIMES, false));
    let all = events(&mut watched.timeline, &Range::default());
    let range = until(300);
    let expected = within(&all, &range);
    let (found, read) = watched.read_by(|timeline| events(timeline, &range));
    assert_eq!(found, expected);
    assert_eq!(expected.len(), 2);
    // Slice 5 has no event: that its counts tell.
    assert_eq!(read, [1, 2, 3, 4, 6, 7]);
}

#[test]
fn a_part_is_cut_without_reading_what_is_not_in_it() {
    let mut watched = Watched::new(bundle(&TIMES, true));
    let range = Range {
        from: Some(Place::Time(BootTime(BOOT + 1_100 * MS))),
        to: Some(Place::Time(BootTime(BOOT + 2_100 * MS))),
    };
    let (part, read) = watched.read_by(|timeline| {
        let part = Cut {
            slices: timeline.slices_of(&range).unwrap(),
            state: Some(State::default().encode(layout::START_STATE).unwrap()),
            tool: Tool {
                name: "test".into(),
                version: "1".into(),
                sha256: String::new(),
            },
        };
        cut(timeline.bundle_mut(), &part, Vec::new()).unwrap()
    });
    assert_eq!(read, [2, 3]);
    let part = Bundle::open(Bytes::new(part)).unwrap();
    assert_eq!(
        part.slices()
            .iter()
            .map(|slice| slice.earliest)
            .collect::<Vec<_>>(),
        [1_010, 2_010].map(|at| Some(BootTime(BOOT + at * MS))),
        "copied with the slice"
    );
}
