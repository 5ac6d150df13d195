//! Bundles made out of others: what is whole comes back as it was, what is not is told.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

#[path = "fixture/bundle.rs"]
mod fixture;

use fixture::*;
use std::io::Cursor;
use stillframe_format::cut::{Cut, cut};
use stillframe_format::digest::EventDigest;
use stillframe_format::error::{CopyError, ReadError};
use stillframe_format::event::Event;
use stillframe_format::header::Tool;
use stillframe_format::layout;
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, Condition};
use stillframe_format::salvage::{Salvaged, salvage};
use stillframe_format::verify::verify;

fn tool() -> Tool {
    Tool {
        name: "test".into(),
        version: "1".into(),
        sha256: String::new(),
    }
}

fn saved(bytes: &[u8]) -> (Vec<u8>, Salvaged) {
    salvage(Cursor::new(bytes), &tool(), Vec::new()).unwrap()
}

fn part(bytes: &[u8], slices: std::ops::RangeInclusive<usize>) -> Vec<u8> {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let what = Cut {
        slices,
        state: Some(b"\xa0".to_vec()),
        tool: tool(),
    };
    cut(&mut bundle, &what, Vec::new()).unwrap()
}

fn slices(bytes: &[u8]) -> Vec<SliceInfo> {
    Bundle::open(Cursor::new(bytes)).unwrap().slices().to_vec()
}

/// Every event, of the slices that are there.
fn events(bytes: &[u8]) -> Vec<Event> {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    assert_eq!(bundle.condition(), &Condition::Complete);
    let mut events = Vec::new();
    for index in 0..bundle.slices().len() {
        if bundle.slices()[index].missing == 0 {
            events.extend(bundle.slice(index).unwrap().events);
        } else {
            bundle.slice(index).unwrap_err();
        }
    }
    events
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = EventDigest::default();
    events(bytes).iter().for_each(|event| digest.add(event));
    digest.finish().to_string()
}

fn assert_sound(bytes: &[u8], what: &str) {
    let report = verify(Cursor::new(bytes), |_| None).unwrap();
    assert_eq!(report.findings, [], "{what}");
    assert!(report.ended, "{what}");
    // Index and seek table say what a walk finds.
    let walked = Bundle::open_by_walk(Cursor::new(bytes)).unwrap();
    assert_eq!(walked.slices(), slices(bytes), "{what}");
    assert_eq!(walked.condition(), &Condition::Complete, "{what}");
}

/// The bytes of a slice's frames.
fn frames<'a>(bytes: &'a [u8], info: &SliceInfo) -> &'a [u8] {
    &bytes[info.offset as usize..(info.offset + info.len) as usize]
}

#[test]
fn a_sound_bundle_is_saved_whole() {
    let bytes = bundle(3, 10);
    let (new, salvaged) = saved(&bytes);
    assert!(salvaged.is_whole(), "{salvaged:?}");
    assert_sound(&new, "saved");
    assert_eq!(events(&new), events(&bytes));
    assert_eq!(digest(&new), digest(&bytes));
    let (old, new) = (
        Bundle::open(Cursor::new(&bytes)).unwrap(),
        Bundle::open(Cursor::new(&new)).unwrap(),
    );
    assert!(new.header().format.requires.is_empty(), "it has no gap");
    assert_eq!(new.origin().unwrap().steps[0].parent, old.header().id);
    assert_ne!(new.header().id, old.header().id);
    assert_eq!(new.end().unwrap().reason, "duration");
}

/// Flips a byte, and asks for everything that the byte does not belong to.
fn flip_and_save(bytes: &[u8], whole: &[Event], infos: &[SliceInfo], at: usize) {
    let mut bent = bytes.to_vec();
    bent[at] ^= 0x08;
    let what = format!("byte {at}");
    let (new, salvaged) = match salvage(Cursor::new(&bent), &tool(), Vec::new()) {
        Ok(found) => found,
        Err(error) => panic!("{what}: {error}"),
    };
    assert_sound(&new, &what);
    let found = events(&new);
    let is_hit = |info: &SliceInfo| {
        let end = info.offset + info.len;
        (info.offset..end).contains(&(at as u64))
    };
    for info in infos {
        let range = info.first as usize - 1..(info.first + info.events) as usize - 1;
        let own: Vec<&Event> = found
            .iter()
            .filter(|event| (info.first..info.first + info.events).contains(&event.num))
            .collect();
        if own.is_empty() {
            assert!(is_hit(info), "{what}: slice {} is lost", info.number);
            assert!(!salvaged.is_whole(), "{what}");
            let gap = &salvaged.gaps[0];
            assert_eq!(
                (gap.slice, gap.slices, gap.first),
                (info.number, 1, info.first),
                "{what}"
            );
            assert_eq!(gap.events, info.events, "{what}");
            assert_eq!(gap.counts, info.counts, "{what}: the index tells them");
        } else {
            assert!(
                own.iter().copied().eq(&whole[range]),
                "{what}: slice {}",
                info.number
            );
        }
    }
    let seen = slices(&new).iter().filter(|info| info.missing > 0).count();
    assert_eq!(seen, salvaged.gaps.len(), "{what}: holes are drawn");
}

#[test]
fn a_flipped_byte_costs_its_own_slice_only() {
    let bytes = bundle(3, 3);
    let (whole, infos) = (events(&bytes), slices(&bytes));
    // Every frame's first bytes, where its headers are, and a sample of the rest.
    let bundle = Bundle::open(Cursor::new(&bytes)).unwrap();
    let headers = bundle
        .frames()
        .iter()
        .flat_map(|place| place.offset as usize..place.offset as usize + 10);
    let sample = (0..bytes.len()).step_by(61);
    for at in headers.chain(sample) {
        flip_and_save(&bytes, &whole, &infos, at);
    }
}

#[test]
#[ignore = "exhaustive: minutes"]
fn exhaustive_every_flipped_byte_costs_its_own_slice_only() {
    let bytes = bundle(3, 3);
    let (whole, infos) = (events(&bytes), slices(&bytes));
    for at in 0..bytes.len() {
        flip_and_save(&bytes, &whole, &infos, at);
    }
}

#[test]
fn a_bundle_cut_at_every_boundary_is_saved_up_to_there() {
    let bytes = bundle(3, 3);
    let (whole, infos) = (events(&bytes), slices(&bytes));
    let places = Bundle::open(Cursor::new(&bytes)).unwrap().frames().to_vec();
    let ends = places.iter().map(|place| (place.offset + place.len) as usize);
    for end in ends.flat_map(|end| [end - 1, end, end + 1]) {
        if end < places[0].len as usize {
            salvage(Cursor::new(&bytes[..end]), &tool(), Vec::new()).unwrap_err();
            continue;
        }
        let (new, salvaged) = saved(&bytes[..end]);
        assert_sound(&new, &format!("cut at {end}"));
        let sealed = infos.iter().filter(|info| info.offset + info.len <= end as u64);
        let count: u64 = sealed.map(|info| info.events).sum();
        assert_eq!(events(&new), whole[..count as usize], "cut at {end}");
        let is_ended = Bundle::open(Cursor::new(&bytes[..end])).is_ok_and(|bundle| bundle.end().is_some());
        assert_eq!(salvaged.step.end_lost, !is_ended, "cut at {end}");
    }
}

#[test]
fn without_its_header_the_slices_are_saved() {
    let bytes = bundle(2, 5);
    for damaged in [
        [&[0; 64][..], &bytes[64..]].concat(),
        bytes[100..].to_vec(),
        [b"a stranger's bytes".as_slice(), &bytes].concat(),
    ] {
        let (new, salvaged) = saved(&damaged);
        assert_sound(&new, "without a header");
        assert_eq!(events(&new), events(&bytes));
        let has_header = damaged.starts_with(b"a stranger");
        assert_eq!(salvaged.step.header_lost, !has_header);
        let new = Bundle::open(Cursor::new(&new)).unwrap();
        // The clocks come from the first ledger.
        let anchor = new.header().anchors[0];
        assert_eq!(anchor, self::anchor(if has_header { 1_000 } else { 1_500 }));
    }
}

#[test]
fn what_is_lost_at_the_end_is_a_hole_when_the_index_tells_of_it() {
    let bytes = bundle(3, 5);
    let infos = slices(&bytes);
    let mut bent = bytes.clone();
    bent[infos[2].offset as usize + 20] ^= 1;
    bent[infos[1].offset as usize + 20] ^= 1;
    let (new, salvaged) = saved(&bent);
    assert_sound(&new, "the last two slices lost");
    assert_eq!(salvaged.gaps.len(), 1);
    assert_eq!((salvaged.gaps[0].slice, salvaged.gaps[0].slices), (2, 2));
    assert_eq!(salvaged.gaps[0].events, infos[1].events + infos[2].events);
    let mut opened = Bundle::open(Cursor::new(&new)).unwrap();
    assert_eq!(opened.last_event(), infos[2].first + infos[2].events - 1);
    assert_eq!(opened.total_events(), infos[0].events);
    let error = opened.slice(1).unwrap_err().to_string();
    assert_eq!(
        error,
        "slices 2 to 3: it was lost before this bundle was salvaged"
    );
    // Saved again, it says the same.
    let (again, salvaged) = saved(&new);
    assert!(salvaged.is_whole(), "{salvaged:?}");
    assert_sound(&again, "saved twice");
    assert_eq!(Bundle::open(Cursor::new(&again)).unwrap().gaps(), opened.gaps());
    assert_eq!(
        Bundle::open(Cursor::new(&again))
            .unwrap()
            .origin()
            .unwrap()
            .steps
            .len(),
        2
    );
}

#[test]
fn garbage_is_refused_and_a_newer_version_too() {
    for bytes in [&b""[..], b"x", &[0x28, 0xb5, 0x2f, 0xfd].repeat(500), &[0; 5000]] {
        let error = salvage(Cursor::new(bytes), &tool(), Vec::new()).unwrap_err();
        assert!(
            matches!(error, CopyError::Read(ReadError::NotABundle(_))),
            "{error}"
        );
    }
    let many = [0x28, 0xb5, 0x2f, 0xfd].repeat(10_000);
    let error = salvage(Cursor::new(&many), &tool(), Vec::new()).unwrap_err();
    assert!(matches!(error, CopyError::Refused(_)), "{error}");
}

#[test]
fn a_cut_copies_slices_as_they_are() {
    let bytes = bundle(5, 4);
    let infos = slices(&bytes);
    for (first, last) in [(0, 4), (1, 3), (4, 4), (0, 0)] {
        let what = format!("slices {first} to {last}");
        let new = part(&bytes, first..=last);
        assert_sound(&new, &what);
        let kept = slices(&new);
        assert_eq!(kept.len(), last - first + 1, "{what}");
        for (kept, old) in kept.iter().zip(&infos[first..]) {
            assert_eq!(frames(&new, kept), frames(&bytes, old), "{what}");
        }
        let whole = events(&bytes);
        let range = infos[first].first as usize - 1..(infos[last].first + infos[last].events) as usize - 1;
        assert_eq!(events(&new), whole[range], "{what}: events keep their numbers");
        let new = Bundle::open(Cursor::new(&new)).unwrap();
        let old = Bundle::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(new.first_event(), infos[first].first, "{what}");
        assert_eq!(new.origin().unwrap().steps[0].parent, old.header().id);
        assert_eq!(
            new.header().format.requires.len(),
            usize::from(first > 0),
            "{what}"
        );
        // The wall clock is that of the whole.
        for event in events_of(&bytes, first..=last) {
            assert_eq!(
                new.anchors().realtime(event.time),
                old.anchors().realtime(event.time),
                "{what}"
            );
        }
        assert_eq!(
            new.end().unwrap().reason,
            if last == 4 { "duration" } else { "cut" }
        );
    }
}

fn events_of(bytes: &[u8], slices: std::ops::RangeInclusive<usize>) -> Vec<Event> {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let mut events = Vec::new();
    for index in slices {
        events.extend(bundle.slice(index).unwrap().events);
    }
    events
}

#[test]
fn a_cut_of_a_cut_is_the_cut_of_the_whole() {
    let bytes = bundle(5, 4);
    let twice = part(&part(&bytes, 1..=4), 1..=2);
    let once = part(&bytes, 2..=3);
    assert_sound(&twice, "cut twice");
    assert_eq!(events(&twice), events(&once));
    assert_eq!(digest(&twice), digest(&once));
    let (twice, once) = (
        Bundle::open(Cursor::new(&twice)).unwrap(),
        Bundle::open(Cursor::new(&once)).unwrap(),
    );
    assert_eq!(twice.gaps(), once.gaps());
    assert_eq!(twice.origin().unwrap().steps.len(), 2);
}

#[test]
fn a_cut_begins_with_a_state_and_refuses_what_is_damaged() {
    let bytes = bundle(3, 4);
    let mut new = Bundle::open(Cursor::new(part(&bytes, 1..=2))).unwrap();
    assert_eq!(new.member(layout::START_STATE).unwrap().unwrap(), b"\xa0");
    assert!(new.member("start/host/uname.json").unwrap().is_some());

    let mut bent = bytes.clone();
    bent[slices(&bytes)[1].offset as usize + 20] ^= 1;
    let mut opened = Bundle::open(Cursor::new(&bent)).unwrap();
    let mut what = Cut {
        slices: 0..=1,
        state: None,
        tool: tool(),
    };
    cut(&mut opened, &what, Vec::new()).unwrap_err();
    what.slices = 0..=0;
    cut(&mut opened, &what, Vec::new()).unwrap();
    what.slices = 7..=9;
    let error = cut(&mut opened, &what, Vec::new()).unwrap_err().to_string();
    assert_eq!(error, "no slice lies in that range");
}

#[test]
fn a_cut_that_is_damaged_is_saved_with_both_gaps() {
    let cut = part(&bundle(6, 4), 1..=5);
    let mut bent = cut.clone();
    let infos = slices(&cut);
    bent[infos[0].offset as usize + 20] ^= 1;
    bent[infos[3].offset as usize + 20] ^= 1;
    let (new, salvaged) = saved(&bent);
    assert_sound(&new, "a damaged cut");
    let gaps = |bytes: &[u8]| Bundle::open(Cursor::new(bytes)).unwrap().gaps().to_vec();
    let causes: Vec<(u32, u32, String)> = gaps(&new)
        .into_iter()
        .map(|gap| (gap.slice, gap.slices, gap.cause))
        .collect();
    let expected = [(1, 1, "cut"), (2, 1, "salvaged"), (5, 1, "salvaged")];
    assert_eq!(causes, expected.map(|(a, b, c)| (a, b, c.to_owned())));
    assert_eq!(salvaged.gaps.len(), 2);
    let opened = Bundle::open(Cursor::new(&new)).unwrap();
    assert_eq!(opened.first_event(), infos[0].first);
    assert_eq!(
        opened.slices()[0].missing,
        1,
        "the hole at the beginning is drawn, the cut is not"
    );
}

#[test]
fn origin_json_that_lies_is_refused_or_found() {
    let bytes = part(&bundle(4, 4), 1..=2);
    let content = Bundle::open(Cursor::new(&bytes))
        .unwrap()
        .member(layout::ORIGIN)
        .unwrap()
        .unwrap();
    let text = String::from_utf8(content).unwrap();
    let decode = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        stillframe_format::origin::Origin::decode(text.replacen(from, to, 1).as_bytes())
    };
    assert!(decode("\"slices\": 1", "\"slices\": 2").is_ok());
    for (from, to) in [
        ("\"slices\": 1", "\"slices\": 0"),
        ("\"slices\": 1", "\"slices\": 4294967295"),
        ("\"slices\": 1", "\"slices\": 18446744073709551616"),
        ("\"first\": 1", "\"first\": 18446744073709551615"),
        ("\"first\": 1", "\"first\": 0"),
        ("\"slice\": 1", "\"slice\": 0"),
    ] {
        let error = decode(from, to).unwrap_err().to_string();
        assert!(error.starts_with("origin.json"), "{error}");
    }
}

#[test]
fn without_any_slice_there_is_one_hole() {
    let bytes = bundle(3, 4);
    let infos = slices(&bytes);
    let mut bent = bytes.clone();
    for info in &infos {
        bent[info.offset as usize + 20] ^= 1;
    }
    let (new, salvaged) = saved(&bent);
    assert_sound(&new, "no slice");
    assert_eq!((salvaged.slices, salvaged.gaps.len()), (0, 1));
    let mut opened = Bundle::open(Cursor::new(&new)).unwrap();
    assert_eq!((opened.total_events(), opened.slices()[0].missing), (0, 3));
    assert_eq!(opened.last_event(), infos[2].first + infos[2].events - 1);
    assert!(opened.member("start/host/uname.json").unwrap().is_some());
    // Nothing can be cut out of nothing.
    let what = Cut {
        slices: 0..=0,
        state: None,
        tool: tool(),
    };
    assert!(matches!(
        cut(&mut opened, &what, Vec::new()),
        Err(CopyError::Refused(_))
    ));
}
