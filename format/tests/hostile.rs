//! Bundles made to hurt: a clear error or a correct read, never a panic, and memory within a bound that is measured.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

#[path = "fixture/bundle.rs"]
mod fixture;

use fixture::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use stillframe_format::digest::Sha256;
use stillframe_format::entry::Member;
use stillframe_format::error::ReadError;
use stillframe_format::frame::Compressor;
use stillframe_format::header::{End, MemberRecord};
use stillframe_format::ledger::{Index, Ledger};
use stillframe_format::reader::{Bundle, Condition};
use stillframe_format::salvage::salvage;
use stillframe_format::seek_table::{self, FramePlace};
use stillframe_format::slice::{SealedSlice, SliceContent, runs, seal};
use stillframe_format::stream::Names;
use stillframe_format::verify::verify;
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, cbor, layout};

/// Counts what the thread holds. Zstd's own memory is not in it: that is a window of at most 8 MiB and tables beside it.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that a reader may hold of any file, however it was made: a frame, what is decoded from it, and its events.
const BOUND: isize = 640 << 20;

/// Runs something, and gives how much more memory than before it held at once.
fn peak<T>(run: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let value = run();
    (value, PEAK.with(Cell::get) - before)
}

/// Everything that a reader does with a file: opens it both ways, reads what there is, verifies, salvages.
/// Gives the condition, and what verify found.
fn read(bytes: &[u8]) -> (Result<Condition, ReadError>, Vec<String>) {
    read_within(bytes, BOUND)
}

fn read_within(bytes: &[u8], bound: isize) -> (Result<Condition, ReadError>, Vec<String>) {
    let (outcome, most) = peak(|| {
        let opened = Bundle::open(Cursor::new(bytes));
        if let Ok(mut bundle) = Bundle::open_by_walk(Cursor::new(bytes)) {
            for index in 0..bundle.slices().len().min(3) {
                let _ = bundle.slice(index);
            }
        }
        let opened = opened.map(|mut bundle| {
            for index in 0..bundle.slices().len().min(3) {
                let _ = bundle.slice(index);
            }
            let _ = bundle.lookback();
            bundle.condition().clone()
        });
        let found = match verify(Cursor::new(bytes), |_| None) {
            Ok(report) => report
                .findings
                .into_iter()
                .map(|finding| finding.problem)
                .collect(),
            Err(error) => vec![error.to_string()],
        };
        (opened, found)
    });
    assert!(most <= bound, "{} MiB were held", most >> 20);
    let (saved, most) = peak(|| salvage(Cursor::new(bytes), &header().tool, Vec::new()));
    assert!(most <= bound, "salvage held {} MiB", most >> 20);
    if let Ok((new, _)) = saved {
        let report = verify(Cursor::new(new), |_| None).unwrap();
        assert_eq!(report.findings, [], "what is salvaged is sound");
    }
    outcome
}

fn frame(content: &[u8]) -> Vec<u8> {
    Compressor::new(1).frame(content).unwrap()
}

/// A header, a frame of `content`, nothing more.
fn with_frame(content: &[u8]) -> Vec<u8> {
    with_bytes(&frame(content))
}

fn with_bytes(frame: &[u8]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(), 1).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    let mut bytes = writer.into_output();
    bytes.extend_from_slice(frame);
    bytes
}

fn assert_refused(bytes: &[u8], word: &str) {
    let (opened, found) = read(bytes);
    let problem = match opened {
        Ok(Condition::Damaged { problem, .. }) => problem,
        Ok(condition) => panic!("{word}: {condition:?}"),
        Err(error) => error.to_string(),
    };
    assert!(problem.contains(word), "{problem:?} does not say {word:?}");
    assert!(!found.is_empty(), "{word}");
}

fn tar(name: &str, content: &[u8], change: impl FnOnce(&mut tar::Header)) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    change(&mut header);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "start/../../x",
        "start//x",
        "./x",
        "C:/x",
        "c:\\x",
        "\\\\host\\x",
        "start\\x",
        "con",
        "start/nul.txt",
        "start/com1",
        "start/X",
        "start/x.",
        "",
    ] {
        assert_refused(&with_frame(&tar(name, b"x", |_| {})), "is not allowed");
    }
    // A name that is no UTF-8.
    let bent = tar("start/x", b"x", |header| header.as_mut_bytes()[6] = 0xff);
    assert_refused(&with_frame(&bent), "is not allowed");
}

#[test]
fn what_is_no_plain_file_is_refused() {
    use tar::EntryType;
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
        EntryType::Continuous,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::GNUSparse,
        EntryType::XGlobalHeader,
        EntryType::XHeader,
    ] {
        let content = tar("start/x", b"30 path=../../etc/passwd\n", |header| {
            header.set_entry_type(kind);
            header.set_link_name("../../etc/passwd").unwrap();
        });
        assert_refused(&with_frame(&content), "is not the one its name and size give");
    }
    for change in [
        (|header: &mut tar::Header| header.set_mode(0o4755)) as fn(&mut tar::Header),
        |header| header.set_uid(1000),
        |header| header.set_mtime(1),
        |header| header.as_mut_bytes()[345] = b'x',
        |header| header.as_mut_bytes()[511] = 1,
    ] {
        let content = tar("start/x", b"x", change);
        assert_refused(&with_frame(&content), "is not the one its name and size give");
    }
}

#[test]
fn sizes_that_are_wrong_are_refused() {
    let sized = |size: &[u8; 12]| {
        let size = *size;
        tar("start/x", b"x", move |header| {
            header.as_mut_bytes()[124..136].copy_from_slice(&size)
        })
    };
    assert_refused(&with_frame(&sized(b"00000002000\0")), "longer than its frame");
    assert_refused(&with_frame(&sized(b"77777777777\0")), "over the limit");
    assert_refused(&with_frame(&sized(b"0000000000x\0")), "not octal");
    // GNU's binary sizes: the top bit set.
    assert_refused(&with_frame(&sized(b"\x80\0\0\0\0\0\0\0\0\0\0\x01")), "not octal");
    assert_refused(&with_frame(&sized(b"-0000000001\0")), "not octal");
    let mut after_end = tar("start/x", b"x", |_| {});
    after_end.extend_from_slice(&[0; 1024]);
    after_end.extend(tar("start/y", b"y", |_| {}));
    assert_refused(&with_frame(&after_end), "is not allowed");
    assert_refused(&with_frame(&[0; 512]), "is not allowed");
}

#[test]
fn a_member_that_stands_twice_is_found() {
    let mut writer = Writer::begin(Vec::new(), &header(), 1).unwrap();
    let twin = |content: &[u8]| Member::new("start/host/host.json", content.to_vec()).unwrap();
    writer
        .start(vec![twin(b"{}"), twin(b"[]")], BootTime(1_000))
        .unwrap();
    let bytes = writer.finish(Vec::new(), End::default()).unwrap();
    let (opened, found) = read(&bytes);
    assert_eq!(opened.unwrap(), Condition::Complete);
    assert_eq!(found, ["start/host/host.json: stands twice"]);
}

/// Zeros, 64 MiB and one byte in a few KiB.
fn bomb() -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.window_log(21).unwrap();
    let bomb = compressor.compress(&vec![0; layout::FRAME_MAX + 1]).unwrap();
    assert!(bomb.len() * 20_000 < layout::FRAME_MAX);
    bomb
}

#[test]
fn bombs_stop_at_the_limit() {
    assert_refused(&with_bytes(&bomb()), "over the limit");
    // Honest zeros, many frames of them: each is read, none is kept.
    let size = layout::MEMBER_MAX;
    let mut content = tar("start/zeros", &vec![0; size], |_| {});
    content.truncate(512 + size.next_multiple_of(512));
    let zeros = frame(&content);
    assert!(zeros.len() < 10_000);
    let mut bytes = with_bytes(&zeros);
    for _ in 0..4 {
        bytes.extend_from_slice(&zeros);
    }
    let (opened, found) = read_within(&bytes, 320 << 20);
    assert!(matches!(opened.unwrap(), Condition::Cut { .. }));
    assert!(
        found.iter().any(|problem| problem.contains("stands twice")),
        "{found:?}"
    );
    // A bomb where the header should be.
    let (opened, _) = read(&bomb());
    assert!(matches!(opened, Err(ReadError::NotABundle(_))));
}

#[test]
fn windows_that_are_too_large_are_refused() {
    let header = |descriptor: u8, rest: &[u8]| {
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(&[0; 64]);
        with_bytes(&bytes)
    };
    // Exponents up to 2^41, and eighths on top of 8 MiB.
    for window in [0xff, 0xf8, (14 << 3), (13 << 3) | 1] {
        assert_refused(&header(0, &[window]), "window of a frame");
    }
    // A single segment: the window is the content.
    assert_refused(&header(0xa0, &9_000_000u32.to_le_bytes()), "window of a frame");
    assert_refused(&header(0xe0, &u64::MAX.to_le_bytes()), "over the limit");
    assert_refused(&header(0x01, &[0, 0]), "dictionary");
    assert_refused(&header(0x08, &[0, 0]), "reserved bit");
    // A block of the reserved type.
    assert_refused(&header(0, &[0, 0x07, 0, 0]), "reserved type");
}

/// A bundle of one slice of which one member was replaced (or added), its ledger made to fit.
fn with_member(file: &str, content: Vec<u8>, change: impl FnOnce(&mut Ledger)) -> Vec<u8> {
    let mut sealed = sealed(1, 10);
    let name = layout::slice_member(1, file);
    let member = Member::new(name.clone(), content).unwrap();
    let record = MemberRecord::of(&name, &member.content);
    match sealed
        .together
        .iter()
        .position(|member| member.name.as_str() == name)
    {
        Some(at) => {
            sealed.together[at] = member;
            let listed = sealed
                .ledger
                .members
                .iter_mut()
                .find(|record| record.name == name);
            *listed.unwrap() = record;
        }
        None => {
            sealed.together.push(member);
            sealed.ledger.members.push(record);
        }
    }
    change(&mut sealed.ledger);
    written(vec![sealed])
}

fn sealed(number: u32, count: u64) -> SealedSlice {
    let base = u64::from(number) * 1_000;
    let mut content = SliceContent {
        syscalls: calls(base, count),
        drafts: drafts(base),
        from: BootTime(base),
        to: BootTime(base + 1_000),
        ..SliceContent::default()
    };
    content.sort();
    seal(number, &content, &runs(&content), &Names::default(), None).unwrap()
}

fn written(slices: Vec<SealedSlice>) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(), 1).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    for slice in slices {
        writer.slice(slice).unwrap();
    }
    writer.finish(Vec::new(), End::default()).unwrap()
}

/// That a slice is refused for a reason, by reader and verifier, though its hashes are right.
fn assert_slice_refused(bytes: &[u8], word: &str) {
    let (opened, found) = read(bytes);
    assert!(
        found.iter().any(|problem| problem.contains(word)),
        "{found:?} does not say {word:?}"
    );
    if opened.is_ok() {
        let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
        if let Some(error) = (!bundle.slices().is_empty()).then(|| bundle.slice(0).unwrap_err()) {
            assert!(error.to_string().contains(word), "{error} does not say {word:?}");
        }
    }
}

#[test]
fn cbor_that_is_not_what_it_should_be_is_refused() {
    let nested = |head: u8| vec![head; 100_000];
    let mut giant = vec![0x9a, 0x03, 0x00, 0x00, 0x00];
    giant.resize(50 << 20, 0xf6);
    let valid = {
        let bytes = written(vec![sealed(1, 10)]);
        let mut bundle = Bundle::open(Cursor::new(&bytes)).unwrap();
        bundle.member("slice/000001/clock.cbor").unwrap().unwrap()
    };
    let mut trailing = valid.clone();
    trailing.push(0);
    for (content, word) in [
        (nested(0x81), "not CBOR"),
        (nested(0xc1), "not CBOR"),
        (nested(0x9f), "not CBOR"),
        (nested(0xbf), "not CBOR"),
        (
            vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "not CBOR",
        ),
        (
            vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "not CBOR",
        ),
        (
            vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "not CBOR",
        ),
        (giant, "over the limit"),
        (trailing, "bytes follow the CBOR item"),
        (vec![0xa2, 0x61, b'a', 1, 0x61, b'a', 2], "stands twice"),
        (vec![0xa2, 5, 1, 0x18, 5, 2], "stands twice"),
        (vec![0x61, 0xff], "not CBOR"),
        (Vec::new(), "not CBOR"),
        (vec![0xf6], "clock.cbor"),
    ] {
        let shown = format!("{:02x?}", &content[..content.len().min(12)]);
        let bytes = with_member("clock.cbor", content, |_| {});
        let (_, found) = read(&bytes);
        assert!(
            found.iter().any(|problem| problem.contains(word)),
            "{shown}: {found:?}"
        );
        assert_slice_refused(&bytes, word);
    }
}

/// A table as CBOR, by hand.
fn table(rows: u64, columns: &[(&str, ciborium::Value)]) -> ciborium::Value {
    use ciborium::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    let columns = columns.iter().map(|(name, column)| (text(name), column.clone()));
    Value::Map(vec![
        (text("rows"), Value::Integer(rows.into())),
        (text("columns"), Value::Map(columns.collect())),
    ])
}

fn constant(value: u64) -> ciborium::Value {
    use ciborium::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    Value::Map(vec![
        (text("e"), text("const")),
        (text("v"), Value::Integer(value.into())),
    ])
}

fn segment(tables: &[(&str, ciborium::Value)]) -> Vec<u8> {
    let tables = tables
        .iter()
        .map(|(name, table)| (ciborium::Value::Text((*name).to_owned()), table.clone()));
    cbor::encode("t", &ciborium::Value::Map(tables.collect())).unwrap()
}

#[test]
fn rows_and_columns_that_claim_too_much_are_refused() {
    let clock = |rows, columns: &[(&str, ciborium::Value)]| segment(&[("events", table(rows, columns))]);
    let (time, late) = (("time", constant(1_000)), ("late", constant(0)));
    for (content, word) in [
        (
            clock(u64::MAX, &[time.clone(), late.clone(), ("delta", constant(0))]),
            "clock.cbor",
        ),
        (
            clock(1 << 20, &[time.clone(), late.clone(), ("delta", constant(0))]),
            "over the limit",
        ),
        (
            clock(2, &[time.clone(), late.clone(), ("delta", constant(0))]),
            "its ledger counts others",
        ),
        (
            clock(1, &[time.clone(), ("late", constant(2)), ("delta", constant(0))]),
            "clock.cbor",
        ),
        (clock(1, &[time.clone(), late.clone()]), "delta"),
        (
            clock(0, &[time, late, ("delta", constant(0))]),
            "its ledger counts others",
        ),
    ] {
        assert_slice_refused(&with_member("clock.cbor", content, |_| {}), word);
    }
}

#[test]
fn texts_that_many_rows_share_are_not_multiplied_without_end() {
    use ciborium::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    let long = vec![b'x'; 1 << 20];
    let names = Value::Map(vec![
        (text("e"), text("bytes")),
        (
            text("v"),
            Value::Array(vec![constant(long.len() as u64), Value::Bytes(long)]),
        ),
    ]);
    let names = || table(1, &[("value", names.clone())]);
    let zero = || constant(0);
    let events = table(
        1,
        &[
            ("time", constant(1_000)),
            ("late", zero()),
            ("container", zero()),
            ("values", constant(1 << 20)),
        ],
    );
    let values = table(1 << 20, &[("name", zero()), ("value", zero())]);
    let content = segment(&[
        ("events", events),
        ("values", values),
        ("names", names()),
        ("containers", names()),
    ]);
    // 1 MiB a million times: 1 TiB.
    let change = |ledger: &mut Ledger| {
        ledger.events -= 1;
        ledger.counts.insert("metrics".to_owned(), 1);
    };
    assert_slice_refused(&with_member("metrics.cbor", content, change), "texts of");
}

#[test]
fn ledgers_that_claim_too_much_are_refused() {
    let change = |change: fn(&mut Ledger)| {
        let mut slice = sealed(1, 10);
        change(&mut slice.ledger);
        written(vec![slice, sealed(2, 10)])
    };
    for bent in [
        change(|ledger| ledger.events = u64::MAX),
        change(|ledger| ledger.events = 1 << 21),
        change(|ledger| ledger.events -= 1),
        change(|ledger| ledger.members.clear()),
        change(|ledger| ledger.members[0].size = u64::MAX),
        change(|ledger| ledger.members[0].sha256 = Sha256::default()),
        change(|ledger| ledger.slice = 7),
        change(|ledger| ledger.slice = u32::MAX),
        change(|ledger| ledger.to = BootTime(0)),
        change(|ledger| ledger.from = BootTime(u64::MAX)),
        change(|ledger| {
            ledger.counts.insert("syscall".to_owned(), u64::MAX);
        }),
    ] {
        let (_, found) = read(&bent);
        assert!(!found.is_empty());
    }
}

#[test]
fn times_that_go_backwards_are_found() {
    // Slice 2 is from before slice 1: its events are not in order with it.
    let mut backwards = sealed(2, 10);
    backwards.ledger.from = BootTime(500);
    let (_, found) = read(&written(vec![sealed(1, 10), backwards]));
    assert!(
        found
            .iter()
            .any(|problem| problem.contains("late mark") || problem.contains("time")),
        "{found:?}"
    );
    // In a slice: the order says the later event first.
    let content = cbor::encode(
        "t",
        &ciborium::Value::Map(vec![(
            ciborium::Value::Text("runs".into()),
            table(1, &[("stream", constant(0)), ("count", constant(u64::MAX))]),
        )]),
    );
    let bytes = with_member("order.cbor", content.unwrap(), |_| {});
    assert_slice_refused(&bytes, "than there are");
}

/// The last frames replaced: another index, and a seek table that fits it.
fn with_index(change: impl FnOnce(&mut Index)) -> Vec<u8> {
    let bytes = bundle(3, 5);
    let mut opened = Bundle::open(Cursor::new(&bytes)).unwrap();
    let content = opened.member(layout::INDEX).unwrap().unwrap();
    let mut index: Index = cbor::decode_as("t", &content).unwrap();
    change(&mut index);
    let mut frames = opened.frames().to_vec();
    let manifest = frames.pop().unwrap();
    let place = frames.pop().unwrap();
    let manifest = opened.bytes(manifest.offset, manifest.len as usize).unwrap();
    let mut out = bytes[..place.offset as usize].to_vec();
    let mut content = Vec::new();
    Member::new(layout::INDEX, cbor::encode("t", &index).unwrap())
        .unwrap()
        .append_to(&mut content)
        .unwrap();
    for frame in [frame(&content), manifest] {
        frames.push(FramePlace {
            offset: out.len() as u64,
            len: frame.len() as u64,
            content: 0,
        });
        out.extend_from_slice(&frame);
    }
    for place in &mut frames {
        place.content = opened
            .frame_content(*place)
            .map_or(0, |content| content.len() as u64);
    }
    out.extend(seek_table::encode(&frames).unwrap());
    out
}

/// Every event that a bundle gives.
fn events(bytes: &[u8]) -> Vec<u64> {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let slices = 0..bundle.slices().len();
    let read = slices.filter_map(|index| bundle.slice(index).ok());
    read.flat_map(|slice| slice.events)
        .map(|event| event.num)
        .collect()
}

#[test]
fn an_index_that_lies_is_never_believed() {
    let whole = events(&bundle(3, 5));
    assert_eq!(events(&with_index(|_| {})), whole);
    let lies: [fn(&mut Index); 14] = [
        |index| index.slices[1].offset += 1,
        |index| index.slices[1].offset = u64::MAX,
        |index| index.slices[1].len = u64::MAX,
        |index| index.slices[1].len = 0,
        |index| index.slices[1].offset = index.slices[0].offset,
        |index| index.slices[0].len += index.slices[1].len,
        |index| index.slices[1].events = u64::MAX,
        |index| index.slices[1].first = u64::MAX,
        |index| index.slices[1].number = 9,
        |index| index.slices[0].events += 1,
        |index| index.slices.swap(0, 1),
        |index| drop(index.slices.pop()),
        |index| index.slices.clear(),
        |index| index.anchors.clear(),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let bytes = with_index(lie);
        let (opened, found) = read(&bytes);
        assert_eq!(opened.unwrap(), Condition::Complete, "lie {number}");
        assert_eq!(events(&bytes), whole, "lie {number}");
        assert!(!found.is_empty(), "lie {number}");
    }
    // These are found only when the slice is read: then it is refused.
    let lies: [fn(&mut Index); 6] = [
        |index| index.slices[1].to = BootTime(7),
        |index| index.slices[1].earliest = Some(BootTime(u64::MAX)),
        |index| index.slices[1].earliest = None,
        |index| index.slices[1].checkpoint = true,
        |index| *index.slices[1].counts.get_mut("syscall").unwrap() = u64::MAX,
        |index| index.anchors[1].realtime += 1,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let bytes = with_index(lie);
        let found = events(&bytes);
        assert!(found.len() < whole.len(), "late lie {number}");
        assert!(found.iter().all(|num| whole.contains(num)), "late lie {number}");
        assert!(!read(&bytes).1.is_empty(), "late lie {number}");
    }
}

#[test]
fn a_seek_table_that_lies_is_never_believed() {
    let bytes = bundle(3, 5);
    let whole = events(&bytes);
    let opened = Bundle::open(Cursor::new(&bytes)).unwrap();
    let frames = opened.frames().to_vec();
    let end = frames
        .last()
        .map(|place| (place.offset + place.len) as usize)
        .unwrap();
    let lies: [fn(&mut Vec<FramePlace>); 6] = [
        |frames| frames[1].len += 1,
        |frames| {
            frames[1].len += 1;
            frames[2].len -= 1;
        },
        |frames| {
            frames[0].len = 1;
            frames[1].len += 100;
        },
        |frames| frames.swap(1, 2),
        |frames| frames.clear(),
        |frames| {
            let last = frames.pop().unwrap();
            frames.last_mut().unwrap().len += last.len;
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut told = frames.clone();
        lie(&mut told);
        let mut bent = bytes[..end].to_vec();
        bent.extend(seek_table::encode(&told).unwrap());
        let (opened, found) = read(&bent);
        assert_eq!(opened.unwrap(), Condition::Complete, "lie {number}");
        assert_eq!(events(&bent), whole, "lie {number}");
        assert!(!found.is_empty(), "lie {number}");
    }
    // Counts up to 2^32, in the footer.
    for count in [u32::MAX, 0x0800_0001, 1, 0] {
        let mut bent = bytes.clone();
        let at = bent.len() - 9;
        bent[at..at + 4].copy_from_slice(&count.to_le_bytes());
        assert_eq!(events(&bent), whole, "count {count}");
    }
}

#[test]
fn data_behind_the_end_is_found_and_never_read() {
    let bytes = bundle(2, 5);
    let whole = events(&bytes);
    let mut longer = bytes.clone();
    longer.extend_from_slice(&bytes);
    for bent in [
        longer,
        [bytes.as_slice(), b"x"].concat(),
        [bytes.as_slice(), &[0; 4096]].concat(),
    ] {
        let (opened, found) = read(&bent);
        assert_eq!(opened.unwrap(), Condition::Complete);
        assert_eq!(events(&bent), whole);
        assert!(!found.is_empty());
    }
}

#[test]
fn an_end_record_alone_makes_it_complete() {
    let bytes = bundle(2, 5);
    let (whole, places) = (
        events(&bytes),
        Bundle::open(Cursor::new(&bytes)).unwrap().frames().to_vec(),
    );
    let [.., end, index, manifest] = places.as_slice() else {
        panic!("too few frames")
    };
    // Cut behind the frame of the end record, or anywhere later: nothing of the recording is missing.
    let after = (end.offset + end.len) as usize;
    let later = [index, manifest].map(|place| place.offset as usize + 5);
    for len in [after, after + 1, later[0], later[1], bytes.len() - 1] {
        let (opened, found) = read(&bytes[..len]);
        assert_eq!(opened.unwrap(), Condition::Complete, "cut at {len}");
        assert_eq!(events(&bytes[..len]), whole, "cut at {len}");
        assert!(!found.is_empty(), "cut at {len}: verify must say so");
    }
    // Cut before it, the bundle is cut, though stock tools see nothing wrong.
    let (opened, found) = read(&bytes[..end.offset as usize]);
    assert!(matches!(opened.unwrap(), Condition::Cut { .. }));
    assert_eq!(found, ["the file ends before its end record"]);
}

#[test]
fn a_bundle_without_the_ledger_of_its_start_is_read_and_told_of() {
    let writer = Writer::begin(Vec::new(), &header(), 1).unwrap();
    let bytes = writer.finish(Vec::new(), End::default()).unwrap();
    let (opened, found) = read(&bytes);
    assert_eq!(opened.unwrap(), Condition::Complete);
    assert!(
        found
            .iter()
            .any(|problem| problem == "start/ledger.cbor: missing"),
        "{found:?}"
    );
}

#[test]
fn records_that_are_too_long_are_refused() {
    let mut long = header();
    long.plan = serde_json::json!(vec![0u8; 5 << 20]);
    let bytes = Writer::begin(Vec::new(), &long, 1).unwrap().into_output();
    let (opened, _) = read(&bytes);
    assert!(matches!(opened, Err(ReadError::NotABundle(_))));
    let mut deep =
        String::from("{\"format\":{\"name\":\"stillframe-bundle\",\"major\":1,\"minor\":0},\"plan\":");
    deep.extend(std::iter::repeat_n('[', 100_000));
    let (opened, _) = read(&frame(&tar("header.json", deep.as_bytes(), |_| {})));
    assert!(matches!(opened, Err(ReadError::NotABundle(_))));
}

#[test]
fn a_larger_bundle_cut_at_every_frame_and_member_is_a_prefix() {
    let bytes = bundle(12, 600);
    let whole = events(&bytes);
    let mut opened = Bundle::open(Cursor::new(&bytes)).unwrap();
    let slices = opened.slices().to_vec();
    let mut cuts = Vec::new();
    for place in opened.frames().to_vec() {
        // Members have no place of their own in a compressed frame: its blocks' edges and its middle stand for them.
        let at = place.offset as usize;
        cuts.extend([
            at,
            at + 1,
            at + 4,
            at + place.len as usize / 2,
            at + place.len as usize - 1,
        ]);
        assert!(!opened.frame_content(place).unwrap().is_empty());
    }
    cuts.push(bytes.len());
    for len in cuts {
        let Ok(mut bundle) = Bundle::open(Cursor::new(&bytes[..len])) else {
            assert!(len < slices[0].offset as usize, "cut at {len}");
            continue;
        };
        let sealed = slices
            .iter()
            .filter(|slice| slice.offset + slice.len <= len as u64)
            .count();
        assert_eq!(bundle.slices().len(), sealed, "cut at {len}");
        let read: u64 = bundle.slices().iter().map(|slice| slice.events).sum();
        if let Some(last) = sealed.checked_sub(1) {
            let events = bundle.slice(last).unwrap().events;
            assert_eq!(
                events.last().unwrap().num,
                whole[read as usize - 1],
                "cut at {len}"
            );
        }
        if bundle.end().is_none() {
            let Condition::Cut { slice, .. } = bundle.condition() else {
                panic!("cut at {len}: {:?}", bundle.condition())
            };
            assert_eq!(slice.unwrap_or(0) as usize, sealed, "cut at {len}");
        }
    }
}

#[test]
fn members_stored_without_compression_are_cut_at_every_edge() {
    // Raw blocks: here a member's edge is a place in the file. (Level does not matter to a reader.)
    let bytes = bundle(1, 3);
    let opened = Bundle::open(Cursor::new(&bytes)).unwrap();
    let frames = opened.frames().to_vec();
    let mut raw = Vec::new();
    let mut edges = Vec::new();
    for place in frames {
        let content = Bundle::open(Cursor::new(&bytes))
            .unwrap()
            .frame_content(place)
            .unwrap();
        raw.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3]);
        let blocks: Vec<&[u8]> = content.chunks(512).collect();
        for (number, block) in blocks.iter().enumerate() {
            edges.push(raw.len());
            let is_last = u32::from(number + 1 == blocks.len());
            let head = is_last | (block.len() as u32) << 3;
            raw.extend_from_slice(&head.to_le_bytes()[..3]);
            raw.extend_from_slice(block);
        }
        edges.push(raw.len());
    }
    let whole = events(&raw);
    assert_eq!(whole, events(&bytes));
    for len in edges {
        match Bundle::open(Cursor::new(&raw[..len])) {
            Err(error) => assert!(matches!(error, ReadError::NotABundle(_)), "cut at {len}: {error}"),
            Ok(bundle) => {
                let found = events(&raw[..len]);
                assert!(found.is_empty() || found == whole, "cut at {len}");
                assert_eq!(
                    bundle.end().is_some(),
                    bundle.condition().is_complete(),
                    "cut at {len}"
                );
            }
        }
    }
}
