//! Whole bundles, written and read back, cut and bent.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use stillframe_format::batch::{Capture, CaptureStatus, SyscallBatch, SyscallRow};
use stillframe_format::entry::Member;
use stillframe_format::error::ReadError;
use stillframe_format::event::*;
use stillframe_format::header::{End, Format, Header, TargetInfo, Tool};
use stillframe_format::reader::{Bundle, Condition};
use stillframe_format::slice::{SliceContent, runs, seal};
use stillframe_format::stream::Names;
use stillframe_format::time::Anchor;
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, Captured};

fn anchor(boottime: u64) -> Anchor {
    Anchor {
        boottime: BootTime(boottime),
        realtime: 1_800_000_000_000_000_000 + boottime as i64,
        monotonic: boottime,
        error: 50,
    }
}

fn header() -> Header {
    Header {
        format: Format::default(),
        id: "00000000-0000-4000-8000-000000000000".into(),
        tool: Tool {
            name: "capture".into(),
            version: "0".into(),
            sha256: String::new(),
        },
        case: BTreeMap::new(),
        started: BootTime(1_000),
        anchors: vec![anchor(1_000)],
        targets: vec![TargetInfo {
            name: "web".into(),
            id: "c1".into(),
            kind: "container".into(),
            ..TargetInfo::default()
        }],
        plan: serde_json::Value::Null,
        preflight: serde_json::Value::Null,
        host: serde_json::Value::Null,
    }
}

fn task(tid: u32) -> Task {
    Task {
        pid: 10,
        tid,
        comm: b"worker\xff".to_vec(),
        container: "c1".into(),
    }
}

fn calls(base: u64, count: u64) -> SyscallBatch {
    let mut batch = SyscallBatch {
        tasks: vec![task(10), task(11)],
        ..SyscallBatch::default()
    };
    for n in 0..count {
        let captures = batch.captures.len() as u32;
        if n % 3 == 0 {
            let status = match n % 4 {
                0 => CaptureStatus::Whole,
                1 => CaptureStatus::Truncated,
                2 => CaptureStatus::Failed,
                _ => CaptureStatus::Redacted,
            };
            let len = if matches!(status, CaptureStatus::Whole | CaptureStatus::Truncated) {
                4
            } else {
                0
            };
            batch.captures.push(Capture {
                arg: 1,
                kind: ArgKind::Buffer,
                when: When::Exit,
                status,
                original: if status == CaptureStatus::Failed {
                    14
                } else {
                    99 * u64::from(status != CaptureStatus::Whole)
                },
                start: batch.arena.len() as u32,
                len,
            });
            batch.arena.extend_from_slice(&b"data"[..len as usize]);
        }
        batch.rows.push(SyscallRow {
            time: base + (n * 7) % 50 * 10,
            duration: n * 3,
            args: [3, 0x7fff_0000_0000 + n, n, 0, u64::MAX, 0],
            ret: if n % 5 == 0 { -11 } else { n as i64 },
            number: (n % 2) as u32,
            task: (n % 2) as u32,
            captures,
            capture_count: u8::from(n % 3 == 0),
            abi: Abi::X86_64,
            flags: (n % 7 == 0) as u8,
            cpu: (n % 2) as u16,
        });
    }
    batch
}

fn drafts(base: u64) -> Vec<Draft> {
    let at = |offset: u64, body: Body| Draft {
        time: BootTime(base + offset),
        cpu: 0,
        body,
    };
    let who = Arc::new(task(10));
    let packet = |netns, interface: &str, data: &[u8]| {
        Body::Packet(Packet {
            netns,
            interface: interface.into(),
            linktype: 1,
            direction: Direction::Out,
            realtime: 1_800_000_000_000_000_123,
            original_len: 1500,
            data: data.to_vec(),
        })
    };
    vec![
        at(0, Body::Clock(ClockStep { delta: -5 })),
        at(
            10,
            Body::Loss(Loss {
                stream: Stream::Syscall,
                cause: "ring-full".into(),
                count: 7,
                from: BootTime(base),
                to: BootTime(base + 10),
                scope: "cpu 1".into(),
            }),
        ),
        at(
            20,
            Body::Process(Process {
                task: who.clone(),
                change: ProcessChange::Fork { pid: 12, tid: 12 },
            }),
        ),
        at(
            21,
            Body::Process(Process {
                task: who.clone(),
                change: ProcessChange::Exec {
                    filename: Captured::Whole(b"/bin/sh".to_vec()),
                    argv: Captured::Truncated(b"sh\0-c\0".to_vec(), 400),
                    old_tid: 12,
                },
            }),
        ),
        at(
            400,
            Body::Process(Process {
                task: who.clone(),
                change: ProcessChange::Exit {
                    status: 3,
                    signal: 9,
                    core: true,
                    last: true,
                },
            }),
        ),
        at(30, packet(5, "eth0", b"hello there")),
        at(31, packet(6, "lo", b"x")),
        at(32, packet(5, "eth1", b"")),
        at(33, packet(5, "eth0", b"abcd")),
        at(
            40,
            Body::Block(Block {
                action: BlockAction::Complete,
                device: Device { major: 254, minor: 1 },
                sector: 12345,
                bytes: 4096,
                cmd_flags: 1 | 1 << 11,
                task: who,
                container: "c1".into(),
                owner: BlockOwner::Page,
                inode: 77,
                request: 0xffff_8880_0000_1234,
                latency: Some(0),
                error: 5,
                cpu: 1,
            }),
        ),
        at(
            50,
            Body::Journal(JournalEntry {
                export: b"MESSAGE=hi\n__REALTIME_TIMESTAMP=1\n\n".to_vec(),
            }),
        ),
        at(
            51,
            Body::Kernel(KernelMessage {
                record: b"6,1,2,-;text\n".to_vec(),
            }),
        ),
        at(
            52,
            Body::Engine(EngineEvent {
                json: b"{\"Action\":\"die\"}".to_vec(),
            }),
        ),
        at(
            53,
            Body::Log(LogLine {
                container: "c1".into(),
                stream: LogStream::Stderr,
                realtime: 1,
                bytes: b"\xffnot text\n".to_vec(),
            }),
        ),
        at(
            54,
            Body::Metrics(Metrics {
                container: "c1".into(),
                values: vec![("cpu.usage_ns".into(), 5), ("x".into(), u64::MAX)],
            }),
        ),
        at(
            55,
            Body::Metrics(Metrics {
                container: String::new(),
                values: vec![("cpu.usage_ns".into(), 6)],
            }),
        ),
    ]
}

fn bundle(slices: u32, calls_each: u64) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(), 3).unwrap();
    let members = vec![
        Member::new("start/containers/0/inspect.json", b"{}".to_vec()).unwrap(),
        Member::new("start/host/uname.json", b"{}".to_vec()).unwrap(),
    ];
    writer.start(members, BootTime(1_000)).unwrap();
    for number in 1..=slices {
        let base = u64::from(number) * 1_000;
        let mut content = SliceContent {
            syscalls: calls(base, calls_each),
            drafts: drafts(base),
            open: vec![OpenCall {
                task: task(10),
                abi: Abi::X86_64,
                number: 7,
                args: [1; 6],
                enter: Some(BootTime(9)),
            }],
            anchors: vec![anchor(base + 500)],
            from: BootTime(base),
            to: BootTime(base + 1_000),
        };
        content.sort();
        let runs = runs(&content);
        writer
            .slice(seal(number, &content, &runs, &Names::default(), None).unwrap())
            .unwrap();
    }
    let end = End {
        reason: "duration".into(),
        stopped: BootTime(99_000),
        ..End::default()
    };
    writer
        .finish(
            vec![Member::new("end/host/uname.json", b"{}".to_vec()).unwrap()],
            end,
        )
        .unwrap()
}

fn all_events(bytes: &[u8]) -> (Condition, Vec<Event>) {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let mut events = Vec::new();
    for index in 0..bundle.slices().len() {
        events.extend(bundle.slice(index).unwrap().events);
    }
    (bundle.condition().clone(), events)
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
