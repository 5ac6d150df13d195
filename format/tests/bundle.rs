//! Whole bundles, written and read back, cut and bent.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "fixture/bundle.rs"]
mod fixture;

use fixture::*;
use std::collections::BTreeMap;
use std::io::Cursor;
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::*;
use stillframe_format::header::End;
use stillframe_format::reader::{Bundle, Condition};
use stillframe_format::slice::{SliceContent, runs, seal};
use stillframe_format::stream::Names;
use stillframe_format::verify::verify;
use stillframe_format::writer::Writer;

fn all_events(bytes: &[u8]) -> (Condition, Vec<Event>) {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let mut events = Vec::new();
    for index in 0..bundle.slices().len() {
        events.extend(bundle.slice(index).unwrap().events);
    }
    (bundle.condition().clone(), events)
}

#[test]
fn a_second_handle_reads_the_same() {
    let bytes = bundle(3, 100);
    for end in [bytes.len(), bytes.len() * 2 / 3] {
        let bytes = &bytes[..end];
        let mut one = Bundle::open(Cursor::new(bytes)).unwrap();
        let mut other = one.through(Cursor::new(bytes.to_vec())).unwrap();
        assert_eq!(one.condition(), other.condition());
        assert_eq!(one.slices(), other.slices());
        assert_eq!(one.file_len(), other.file_len());
        assert!(!one.slices().is_empty());
        for index in (0..one.slices().len()).rev() {
            assert_eq!(
                one.slice(index).unwrap().events,
                other.slice(index).unwrap().events
            );
        }
        assert_eq!(one.lookback().unwrap(), other.lookback().unwrap());
    }
}

#[test]
fn a_first_event_that_is_not_as_early_as_its_ledger_says_is_found() {
    let found = |earliest: Option<u64>| {
        let mut writer = Writer::begin(Vec::new(), &header(), 3).unwrap();
        writer.start(Vec::new(), BootTime(1_000)).unwrap();
        let mut content = SliceContent {
            drafts: drafts(1_000),
            from: BootTime(1_000),
            to: BootTime(2_000),
            ..SliceContent::default()
        };
        content.sort();
        let mut sealed = seal(1, &content, &runs(&content), &Names::default(), None).unwrap();
        assert_eq!(sealed.ledger.earliest, Some(BootTime(1_000)));
        sealed.ledger.earliest = earliest.map(BootTime);
        writer.slice(sealed).unwrap();
        let bytes = writer.finish(Vec::new(), End::default()).unwrap();
        let findings = verify(Cursor::new(bytes), |_| None).unwrap().findings;
        findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Some(1_000)), [""; 0]);
    assert_eq!(found(None), [""; 0], "it need not tell");
    for lie in [999, 1_001, u64::MAX] {
        let problems = found(Some(lie));
        assert!(
            problems[0].contains("not as early as its ledger says"),
            "{problems:?}"
        );
    }
}

#[test]
fn what_was_written_is_read_in_order() {
    let bytes = bundle(3, 100);
    let (condition, events) = all_events(&bytes);
    assert_eq!(condition, Condition::Complete);
    assert_eq!(events.len(), 3 * (100 + drafts(0).len()));
    for (event, num) in events.iter().zip(1..) {
        assert_eq!(event.num, num);
    }
    for slice in events.chunks(100 + drafts(0).len()) {
        assert!(slice.is_sorted_by_key(|event| (event.time, event.body.stream())));
        let mut expected = drafts(slice[0].time.0);
        expected.sort_by_key(|draft| (draft.time, draft.body.stream()));
        let found: Vec<&Event> = slice
            .iter()
            .filter(|event| event.body.stream() != Stream::Syscall)
            .collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.time, &found.body), (&expected.time, &expected.body));
        }
    }
    let Body::Syscall(call) = &events
        .iter()
        .find(|event| event.body.stream() == Stream::Syscall)
        .unwrap()
        .body
    else {
        panic!("not a call")
    };
    assert_eq!(call.task.comm, b"worker\xff");
    let bundle = Bundle::open(Cursor::new(&bytes)).unwrap();
    assert_eq!(bundle.end().unwrap().events, events.len() as u64);
    assert_eq!(
        bundle.end().unwrap().lost,
        BTreeMap::from([("syscall".to_owned(), 21)])
    );
    assert_eq!(bundle.anchors().as_slice().len(), 4);
}

#[test]
fn a_bundle_without_its_index_reads_the_same() {
    let bytes = bundle(2, 50);
    let whole = all_events(&bytes);
    let table = bytes.len() - 9;
    let mut bent = bytes.clone();
    bent[table] ^= 1;
    assert_eq!(all_events(&bent), whole, "a lying seek table");
}

#[test]
fn a_bundle_cut_after_every_byte_is_the_longest_valid_prefix() {
    let bytes = bundle(2, 10);
    let (_, whole) = all_events(&bytes);
    let mut slices_seen = 0;
    for len in 0..bytes.len() {
        match Bundle::open(Cursor::new(&bytes[..len])) {
            Err(ReadError::NotABundle(_)) => assert_eq!(slices_seen, 0, "cut at {len}"),
            Err(error) => panic!("cut at {len}: {error}"),
            Ok(mut bundle) => {
                assert!(bundle.slices().len() >= slices_seen, "cut at {len}");
                slices_seen = bundle.slices().len();
                let mut events = Vec::new();
                for index in 0..slices_seen {
                    events.extend(bundle.slice(index).unwrap().events);
                }
                assert_eq!(events, whole[..events.len()], "cut at {len}");
                if bundle.end().is_none() {
                    assert!(
                        matches!(bundle.condition(), Condition::Cut { .. }),
                        "cut at {len}: {:?}",
                        bundle.condition()
                    );
                }
            }
        }
    }
    assert_eq!(slices_seen, 2);
}

#[test]
fn a_flipped_byte_never_gives_a_wrong_event() {
    let bytes = bundle(2, 10);
    let (_, whole) = all_events(&bytes);
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x08;
        let Ok(mut bundle) = Bundle::open(Cursor::new(&bent)) else {
            continue;
        };
        for index in 0..bundle.slices().len() {
            let first = bundle.slices()[index].first as usize;
            if let Ok(slice) = bundle.slice(index) {
                let expected = &whole[first - 1..first - 1 + slice.events.len()];
                assert_eq!(slice.events, expected, "byte {at}");
            }
        }
    }
}

#[test]
fn strangers_are_not_bundles() {
    for bytes in [&b""[..], b"x", b"\x28\xb5\x2f\xfd", b"PK\x03\x04....", &[0; 4096]] {
        assert!(matches!(
            Bundle::open(Cursor::new(bytes)),
            Err(ReadError::NotABundle(_))
        ));
    }
    let mut newer = header();
    newer.format.major = 9;
    let bytes = Writer::begin(Vec::new(), &newer, 1)
        .unwrap()
        .finish(Vec::new(), End::default())
        .unwrap();
    let error = Bundle::open(Cursor::new(bytes)).unwrap_err();
    assert!(matches!(error, ReadError::NewerVersion { .. }), "{error}");
    assert!(error.to_string().contains("9.0"), "{error}");
}

#[test]
fn late_events_are_marked() {
    let mut writer = Writer::begin(Vec::new(), &header(), 1).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    let mut content = SliceContent {
        syscalls: calls(900, 20),
        from: BootTime(1_000),
        to: BootTime(2_000),
        ..SliceContent::default()
    };
    content.sort();
    writer
        .slice(seal(1, &content, &runs(&content), &Names::default(), None).unwrap())
        .unwrap();
    let bytes = writer.finish(Vec::new(), End::default()).unwrap();
    let (_, events) = all_events(&bytes);
    assert!(events.iter().any(|event| event.late) && events.iter().any(|event| !event.late));
    assert!(
        events
            .iter()
            .all(|event| event.late == (event.time < BootTime(1_000)))
    );
}

#[test]
fn verify_accepts_a_sound_bundle_and_nothing_else() {
    let bytes = bundle(2, 10);
    let check = |bytes: &[u8]| verify(Cursor::new(bytes.to_vec()), |_| None);
    let report = check(&bytes).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.slices, report.valid.map(|(slice, _)| slice), report.ended),
        (2, Some(2), true)
    );
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x08;
        match check(&bent) {
            Err(ReadError::NotABundle(_) | ReadError::NewerVersion { .. }) => {}
            Err(error) => panic!("byte {at}: {error}"),
            Ok(found) if found.findings.is_empty() => {
                // The frame must then decode to the same bytes: nothing was changed that anybody could read.
                assert_eq!(all_events(&bent), all_events(&bytes), "byte {at}");
            }
            Ok(_) => {}
        }
    }
    for len in 0..bytes.len() {
        if let Ok(found) = check(&bytes[..len]) {
            assert!(!found.findings.is_empty(), "cut at {len}");
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(!check(&longer).unwrap().findings.is_empty(), "data after the end");
}
