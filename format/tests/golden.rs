//! Bundles that were written once: every later reader gives them the same digest, and the bad ones the same words.
//!
//! `cargo test -p stillframe-format --test golden -- --ignored regenerate` writes those of the version at hand that are not
//! there yet. What is there is never written again: it is what older writers made.
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
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillframe_format::cut::{Cut, cut};
use stillframe_format::digest::EventDigest;
use stillframe_format::entry::Member;
use stillframe_format::event::{
    Body, ClockStep, DescriptorName, Draft, EngineEvent, Metrics, OomKill, OomPages, Process, ProcessChange,
    Signal, SignalStep, Stream, Uring, UringStep,
};
use stillframe_format::header::{End, Tool};
use stillframe_format::reader::{Bundle, Streams};
use stillframe_format::salvage::salvage;
use stillframe_format::slice::{SliceContent, runs, seal};
use stillframe_format::state::{State, Status};
use stillframe_format::stream::Names;
use stillframe_format::verify::{Trouble, verify};
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, layout};

const SUFFIX: &str = ".capture.tar.zst";
/// The largest file that is worth keeping.
const LARGEST: usize = 20 << 10;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Name and bytes of the bundles in a folder.
fn bundles(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned();
            Some((name, fs::read(&path).unwrap()))
        })
        .collect();
    found.sort();
    found
}

/// What is pinned of a good bundle: how much there is, and the digest of it.
fn told(bytes: &[u8]) -> String {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let mut digest = EventDigest::default();
    let mut holes = 0;
    for index in 0..bundle.slices().len() {
        if bundle.slices()[index].missing > 0 {
            holes += 1;
            continue;
        }
        bundle
            .slice(index)
            .unwrap()
            .events
            .iter()
            .for_each(|event| digest.add(event));
    }
    let state = if bundle.condition().is_complete() {
        "complete"
    } else {
        "cut"
    };
    format!(
        "{state}, {} slices, {} events from {} on, {holes} holes\n{}\n",
        bundle.slices().len() - holes,
        digest.events(),
        bundle.first_event(),
        digest.finish()
    )
}

/// What is said of a bad bundle.
fn said(bytes: &[u8]) -> String {
    match verify(Cursor::new(bytes), |_| None) {
        Err(error) => format!("{error}\n"),
        Ok(report) => report
            .findings
            .iter()
            .map(|finding| {
                let word = match finding.trouble {
                    Trouble::Damaged => "damaged",
                    Trouble::Inconsistent => "inconsistent",
                };
                let end = finding.offset + finding.len;
                format!("bytes {} to {end}: {word}: {}\n", finding.offset, finding.problem)
            })
            .collect(),
    }
}

#[test]
fn old_bundles_keep_their_digest() {
    let mut count = 0;
    for version in fs::read_dir(testdata().join("good")).unwrap() {
        let folder = version.unwrap().path();
        for (name, bytes) in bundles(&folder) {
            assert!(bytes.len() < LARGEST, "{name} is too large to be kept");
            let expected = fs::read_to_string(folder.join(format!("{name}.digest"))).unwrap();
            assert_eq!(told(&bytes), expected, "{}", folder.join(name).display());
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn good_bundles_are_sound() {
    for (name, bytes) in bundles(&testdata().join("good/1.0")) {
        let findings = verify(Cursor::new(&bytes), |_| None).unwrap().findings;
        if name == "cut-off" {
            assert_eq!(said(&bytes).lines().count(), 1, "{}", said(&bytes));
        } else {
            assert_eq!(findings, [], "{name}");
        }
    }
}

#[test]
fn bad_bundles_keep_their_text() {
    let folder = testdata().join("bad");
    let found = bundles(&folder);
    assert!(found.len() >= 8, "{}", found.len());
    for (name, bytes) in found {
        let expected = fs::read_to_string(folder.join(format!("{name}.error"))).unwrap();
        assert_eq!(said(&bytes), expected, "{name}");
        assert!(!expected.is_empty(), "{name}");
    }
}

#[test]
fn golden_bundles_hold_what_they_are_named_for() {
    let good = bundles(&testdata().join("good").join(format!(
        "{}.{}",
        layout::FORMAT_MAJOR,
        layout::FORMAT_MINOR
    )));
    let names: Vec<&str> = good.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "containers",
            "cut",
            "cut-off",
            "dictionaries",
            "late-and-clock-steps",
            "salvaged",
            "signals",
            "streams",
            "uring"
        ]
    );
    let opened = |name: &str| {
        let (_, bytes) = good.iter().find(|(found, _)| found == name).unwrap();
        Bundle::open(Cursor::new(bytes.clone())).unwrap()
    };
    let counts = opened("streams").end().unwrap().counts.clone();
    assert!(
        Stream::ALL
            .iter()
            .filter(|stream| **stream != Stream::Uring)
            .all(|stream| counts.contains_key(stream.name())),
        "{counts:?}"
    );
    assert!(opened("cut").first_event() > 1);
    assert!(opened("salvaged").slices().iter().any(|slice| slice.missing > 0));
    assert!(!opened("cut-off").condition().is_complete());
    let mut dictionaries = opened("dictionaries");
    let bytes = dictionaries.slice_bytes(0).unwrap();
    let part = bytes.open(Streams::default().with(Stream::Syscall)).unwrap();
    let content = part.member("syscall.cbor").unwrap().unwrap();
    assert!(content.windows(5).filter(|word| *word == b"\x64dict").count() >= 3);
    let mut signals = opened("signals");
    assert_eq!(signals.header().format.requires, [layout::SIGNALS]);
    let events = signals.slice(0).unwrap().events;
    let has = |wanted: fn(&ProcessChange) -> bool| {
        events
            .iter()
            .any(|event| matches!(&event.body, Body::Process(process) if wanted(&process.change)))
    };
    assert!(has(|change| matches!(change, ProcessChange::Signal(_))));
    assert!(has(|change| matches!(change, ProcessChange::OomKill(_))));
    let uring = opened("uring");
    assert_eq!(uring.header().format.requires, [layout::URING]);
    assert_eq!(uring.end().unwrap().counts.get("uring"), Some(&4));
    let mut containers = opened("containers");
    let mut folded = State::default();
    folded.add_container("c1", "web", INSPECTION.as_bytes());
    for index in 0..containers.slices().len() {
        let slice = containers.slice(index).unwrap();
        let earliest = slice.events.first().map(|event| event.time);
        assert_eq!(containers.slices()[index].earliest, earliest);
        let stored = State::decode("state", slice.checkpoint.as_ref().unwrap()).unwrap();
        assert!(stored == folded, "checkpoint of slice {}", slice.ledger.slice);
        for event in &slice.events {
            folded.apply(event.num, event.time, &event.body);
        }
    }
    let web = &folded.containers()["c1"];
    assert_eq!(
        (web.status, web.exit_code, web.oom),
        (Status::Restarting, Some(137), Some(true))
    );
    let increase = folded.usage()["c1"].increase("cpu.usage_ns").unwrap();
    assert_eq!((increase.by, increase.within), (200, 1_000));
    let mut late = opened("late-and-clock-steps");
    let events = late.slice(1).unwrap().events;
    assert!(events.iter().any(|event| event.late) && events.iter().any(|event| !event.late));
}

fn tool() -> Tool {
    Tool {
        name: "golden".into(),
        version: "1".into(),
        sha256: String::new(),
    }
}

/// Calls with few durations, and few addresses, and some others.
fn dictionaries() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(), 3).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    let mut syscalls = calls(1_000_000, 1_500);
    for (n, row) in (0u64..).zip(&mut syscalls.rows) {
        row.duration = if n % 11 == 0 { n * 1_000 } else { 400 + n % 40 * 10 };
        row.args[1] = 0x7fff_0000_0000 + n % 20 * 64;
    }
    let mut content = SliceContent {
        syscalls,
        anchors: vec![anchor(1_000_000)],
        from: BootTime(1_000),
        to: BootTime(2_000_000),
        ..SliceContent::default()
    };
    content.sort();
    let sealed = seal(1, &content, &runs(&content), &Names::default(), None).unwrap();
    writer.slice(sealed).unwrap();
    writer.finish(Vec::new(), End::default()).unwrap()
}

/// Two slices; the second holds events from before its time, and both a step of the wall clock.
fn late() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(), 3).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    for number in 1..=2u32 {
        let base = u64::from(number) * 1_000;
        let mut stepped = anchor(base + 300);
        stepped.realtime += [7_200_000_000_000, -5_000_000_000][number as usize - 1];
        let mut content = SliceContent {
            syscalls: calls(if number == 1 { base } else { base - 200 }, 30),
            drafts: vec![Draft {
                time: BootTime(base + 300),
                cpu: 0,
                body: Body::Clock(ClockStep {
                    delta: stepped.realtime - anchor(base + 300).realtime,
                }),
            }],
            anchors: vec![anchor(base), stepped],
            from: BootTime(base),
            to: BootTime(base + 1_000),
            ..SliceContent::default()
        };
        content.sort();
        let sealed = seal(number, &content, &runs(&content), &Names::default(), None).unwrap();
        writer.slice(sealed).unwrap();
    }
    writer.finish(Vec::new(), End::default()).unwrap()
}

const INSPECTION: &str = r#"{"State": {"Status": "running", "OOMKilled": false, "StartedAt": "2027-01-15T08:00:00Z"},
    "HostConfig": {"RestartPolicy": {"Name": "always"}}}"#;

/// A container that is paused, goes on, runs out of memory and is restarted by the engine, with readings of its counters;
/// each slice holds a checkpoint.
fn containers() -> Vec<u8> {
    let mut header = header();
    header.targets[0].folder = "c1".into();
    let mut writer = Writer::begin(Vec::new(), &header, 3).unwrap();
    let inspection = Member::new("start/containers/c1/inspect.json", INSPECTION.as_bytes().to_vec());
    writer.start(vec![inspection.unwrap()], BootTime(1_000)).unwrap();
    let mut state = State::default();
    state.add_container("c1", "web", INSPECTION.as_bytes());
    for (number, actions) in (1u32..).zip([["pause", "unpause"], ["oom", "die"]]) {
        let base = u64::from(number) * 1_000;
        let event = |(at, action): (u64, &str)| {
            Draft {
            time: BootTime(base + at),
            cpu: 0,
            body: Body::Engine(EngineEvent {
                json: format!(
                    r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"c1","Attributes":{{"exitCode":"137"}}}}}}"#
                )
                .into_bytes(),
            }),
        }
        };
        let reading = Draft {
            time: BootTime(base + 500),
            cpu: 0,
            body: Body::Metrics(Metrics {
                container: "c1".into(),
                values: vec![
                    ("cpu.usage_ns".into(), u64::from(number) * 200),
                    ("pids.current".into(), 3),
                ],
            }),
        };
        let mut content = SliceContent {
            drafts: (100..)
                .step_by(600)
                .zip(actions)
                .map(event)
                .chain([reading])
                .collect(),
            anchors: vec![anchor(base)],
            from: BootTime(base),
            to: BootTime(base + 1_000),
            ..SliceContent::default()
        };
        content.sort();
        let checkpoint = Some(state.encode(layout::STATE).unwrap());
        let runs = runs(&content);
        state.fold(&mut content, &runs, writer.next_event());
        let sealed = seal(number, &content, &runs, &Names::default(), checkpoint).unwrap();
        writer.slice(sealed).unwrap();
    }
    writer.finish(Vec::new(), End::default()).unwrap()
}

/// A bundle that requires a feature, with events 10 ns apart.
fn of_one_slice(feature: &str, bodies: impl Iterator<Item = Body>) -> Vec<u8> {
    let mut header = header();
    header.format.requires.push(feature.to_owned());
    let mut writer = Writer::begin(Vec::new(), &header, 3).unwrap();
    writer.start(Vec::new(), BootTime(1_000)).unwrap();
    let mut content = SliceContent {
        drafts: (0..)
            .zip(bodies)
            .map(|(n, body)| Draft {
                time: BootTime(2_000 + n * 10),
                cpu: 1,
                body,
            })
            .collect(),
        anchors: vec![anchor(2_000)],
        from: BootTime(1_000),
        to: BootTime(3_000),
        ..SliceContent::default()
    };
    content.sort();
    let sealed = seal(1, &content, &runs(&content), &Names::default(), None).unwrap();
    writer.slice(sealed).unwrap();
    writer.finish(Vec::new(), End::default()).unwrap()
}

/// A signal in all its steps, and two OOM kills.
fn signals() -> Vec<u8> {
    let (who, sender) = (Arc::new(task(10)), Arc::new(task(11)));
    let mut siginfo = vec![0; 48];
    siginfo[..24].copy_from_slice(&[
        15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0xe8, 3, 0, 0,
    ]);
    let changes = SignalStep::ALL.into_iter().map(|step| {
        ProcessChange::Signal(Box::new(Signal {
            number: 15,
            step,
            code: if step == SignalStep::SentWithoutInfo {
                -6
            } else {
                0
            },
            sender: (!step.is_delivery()).then(|| Arc::clone(&sender)),
            fatal: step == SignalStep::DeliveredDefault,
            process_wide: !step.is_delivery(),
            info: if step == SignalStep::SentWithoutInfo {
                Vec::new()
            } else {
                siginfo.clone()
            },
        }))
    });
    let kills = [
        None,
        Some(OomPages {
            total_vm: 20_000,
            anon: 8_000,
            file: 12,
            shmem: 0,
        }),
    ];
    let kills = kills.into_iter().map(|pages| {
        ProcessChange::OomKill(Box::new(OomKill {
            trigger: pages.map(|_| Arc::clone(&sender)),
            score_adj: -5,
            pages,
        }))
    });
    let bodies = changes.chain(kills).map(|change| {
        Body::Process(Process {
            task: Arc::clone(&who),
            change,
        })
    });
    of_one_slice(layout::SIGNALS, bodies)
}

/// Two requests, the first of a descriptor with a name; a completion, and one that found no room.
fn uring() -> Vec<u8> {
    let wal = Arc::new(DescriptorName {
        kind: "file".to_owned(),
        name: b"/data/wal".to_vec(),
    });
    let read = UringStep::Submit {
        fd: Some(3),
        flags: 0,
    };
    let open = UringStep::Submit { fd: None, flags: 16 };
    let done = UringStep::Complete {
        result: 512,
        flags: 0,
        latency: Some(20),
    };
    let missing = UringStep::Overflow { result: -2, flags: 2 };
    let steps = [
        (read, Some(22), Some(wal)),
        (open, Some(18), None),
        (done, Some(22), None),
        (missing, None, None),
    ];
    let bodies = (0..).zip(steps).map(|(n, (step, opcode, descriptor))| {
        Body::Uring(Uring {
            task: Arc::new(task(10)),
            step,
            ring: 0xffff_8880_0000_1000,
            user_data: n % 2,
            opcode,
            descriptor,
            cpu: 1,
        })
    });
    of_one_slice(layout::URING, bodies)
}

#[test]
#[ignore = "writes the files that the other tests read"]
fn regenerate() {
    let write = |path: PathBuf, bytes: &[u8]| {
        if !path.exists() {
            fs::write(path, bytes).unwrap();
        }
    };
    let version = format!("{}.{}", layout::FORMAT_MAJOR, layout::FORMAT_MINOR);
    let (good, bad) = (testdata().join("good").join(version), testdata().join("bad"));
    fs::create_dir_all(&good).unwrap();
    fs::create_dir_all(&bad).unwrap();
    let small = bundle(3, 4);
    let infos = Bundle::open(Cursor::new(&small)).unwrap().slices().to_vec();
    let bent = |at: usize| {
        let mut bent = small.clone();
        bent[at] ^= 0x08;
        bent
    };
    let within = |slice: usize| infos[slice].offset as usize + 40;
    let part = Cut {
        slices: 1..=2,
        state: Some(State::default().encode(layout::START_STATE).unwrap()),
        tool: tool(),
    };
    let cut = cut(&mut Bundle::open(Cursor::new(&small)).unwrap(), &part, Vec::new()).unwrap();
    let (salvaged, _) = salvage(Cursor::new(bent(within(1))), &tool(), Vec::new()).unwrap();
    for (name, bytes) in [
        ("streams", bundle(1, 12)),
        ("dictionaries", dictionaries()),
        ("late-and-clock-steps", late()),
        ("cut-off", small[..within(2)].to_vec()),
        ("cut", cut),
        ("salvaged", salvaged),
        ("signals", signals()),
        ("uring", uring()),
        ("containers", containers()),
    ] {
        write(good.join(format!("{name}{SUFFIX}")), &bytes);
        write(good.join(format!("{name}.digest")), told(&bytes).as_bytes());
    }

    let whole = small.len();
    let mut newer = header();
    newer.format.major = 2;
    newer.tool.version = "9.1.0".into();
    let mut feature = header();
    feature.format.requires.push("colours".into());
    feature.tool.version = "1.4.0".into();
    let only_header = |header| Writer::begin(Vec::new(), &header, 3).unwrap().into_output();
    // Slice 2 twice, instead of slices 2 and 3: well formed, and wrong.
    let (second, third) = (&infos[1], &infos[2]);
    let piece = |from: u64, to: u64| &small[from as usize..to as usize];
    let repeated = [
        piece(0, third.offset),
        piece(second.offset, second.offset + second.len),
        piece(third.offset + third.len, whole as u64),
    ]
    .concat();
    let missing = [piece(0, second.offset), piece(third.offset, whole as u64)].concat();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("zip", b"PK\x03\x04 a stranger".to_vec()),
        ("newer-version", only_header(newer)),
        ("unknown-feature", only_header(feature)),
        ("flipped-byte", bent(within(1))),
        ("flipped-header", bent(30)),
        ("flipped-seek-table", bent(whole - 9)),
        ("cut-in-slice", small[..within(2)].to_vec()),
        ("cut-after-end", small[..whole - 100].to_vec()),
        ("data-after-end", [small.as_slice(), b"more"].concat()),
        ("slice-missing", missing),
        ("slice-repeated", repeated),
    ] {
        write(bad.join(format!("{name}{SUFFIX}")), &bytes);
        write(bad.join(format!("{name}.error")), said(&bytes).as_bytes());
    }
}
