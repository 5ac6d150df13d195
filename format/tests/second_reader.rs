//! `docs/format.md` is enough: a reader in Python, written from that page alone, sees the same events as ours.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use serde_json::{Map, Value, json};
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use stillframe_format::batch::{Capture, CaptureStatus, SyscallBatch, SyscallRow};
use stillframe_format::cut::{Cut, cut};
use stillframe_format::digest::EventDigest;
use stillframe_format::entry::Member;
use stillframe_format::event::*;
use stillframe_format::header::{End, Format, Header, TargetInfo, Tool};
use stillframe_format::reader::{Bundle, LOOKBACK};
use stillframe_format::salvage::salvage;
use stillframe_format::slice::{SliceContent, runs, seal};
use stillframe_format::state::State;
use stillframe_format::stream::{self, Names};
use stillframe_format::time::{Anchor, Anchors};
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, Captured, layout};

/// 2026-11-24T14:03:07Z.
const WALL: i64 = 1_795_528_987_000_000_000;
/// Where slice 1 begins, and how long slices are.
const BASE: u64 = 1_000_000_000_000;
const LENGTH: u64 = 1_000_000_000;
/// The streams that a look-back holds.
const LOOKED_BACK: [Stream; 4] = [Stream::Loss, Stream::Journal, Stream::Kernel, Stream::Log];

/// Numbers that look like noise and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn anchor(boottime: u64, step: i64) -> Anchor {
    Anchor {
        boottime: BootTime(boottime),
        realtime: WALL + boottime.cast_signed() - BASE.cast_signed() + step,
        monotonic: boottime - 5,
        error: 40,
    }
}

fn tasks() -> Vec<Task> {
    [
        (10, 10, &b"init"[..], "c1"),
        (10, 11, b"bad\xff\xfename", "c1"),
        (4_000_000_000, 12, b"", ""),
    ]
    .into_iter()
    .map(|(pid, tid, comm, container)| Task {
        pid,
        tid,
        comm: comm.to_vec(),
        container: container.to_owned(),
    })
    .collect()
}

/// Calls of every abi, status, flag and width; some before `base`, so late.
fn calls(noise: &mut Noise, base: u64, count: u64) -> (SyscallBatch, Vec<Arc<DescriptorName>>) {
    let mut batch = SyscallBatch {
        tasks: tasks(),
        ..SyscallBatch::default()
    };
    for n in 0..count {
        let first = batch.captures.len() as u32;
        for _ in 0..noise.below(4) {
            let status = [
                CaptureStatus::Whole,
                CaptureStatus::Truncated,
                CaptureStatus::Failed,
                CaptureStatus::Redacted,
            ][noise.below(4) as usize];
            let has_bytes = matches!(status, CaptureStatus::Whole | CaptureStatus::Truncated);
            let len = if has_bytes { noise.below(300) as u32 } else { 0 };
            batch.captures.push(Capture {
                arg: noise.below(6) as u8,
                kind: ArgKind::from_number(noise.below(6) as u8).unwrap(),
                when: [When::Entry, When::Exit][noise.below(2) as usize],
                status,
                original: match status {
                    CaptureStatus::Whole => 0,
                    CaptureStatus::Failed => 14,
                    _ => noise.below(100_000),
                },
                start: batch.arena.len() as u32,
                len,
            });
            batch.arena.extend((0..len).map(|_| noise.next() as u8));
        }
        let flags = noise.below(4) as u8;
        let shift = noise.below(64);
        batch.rows.push(SyscallRow {
            time: base - LENGTH / 10 + noise.below(LENGTH),
            duration: if flags & 2 == 0 { noise.next() >> shift } else { 0 },
            args: std::array::from_fn(|_| noise.next() >> noise.below(64)),
            ret: if flags & 1 == 0 {
                noise.next().cast_signed() >> shift
            } else {
                0
            },
            number: [0, 1, 257, u32::MAX][n as usize % 4],
            task: noise.below(3) as u32,
            captures: first,
            capture_count: (batch.captures.len() as u32 - first) as u8,
            abi: Abi::from_number(noise.below(3) as u8).unwrap(),
            flags,
            cpu: noise.below(65_536) as u16,
        });
    }
    let name = |kind: &str, name: &[u8]| {
        Arc::new(DescriptorName {
            kind: kind.to_owned(),
            name: name.to_vec(),
        })
    };
    (
        batch,
        vec![name("file", b"/data/\xff"), name("ipv4", b"TCP:[10.0.0.2:80]")],
    )
}

/// An event of the container.
fn engine(action: &str, attributes: &str) -> Body {
    let json = format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"c1","Attributes":{{{attributes}}}}}}}"#
    );
    Body::Engine(EngineEvent {
        json: json.into_bytes(),
    })
}

/// What the engine says of it at the start.
const INSPECTION: &str = r#"{"Name": "/web", "State": {"Status": "running", "OOMKilled": false, "ExitCode": 0,
    "StartedAt": "2026-11-24T14:02:00.5Z", "Health": {"Status": "starting"}},
    "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 0}}, "Config": {"StopSignal": "SIGQUIT"}}"#;

/// Events of every other stream, each variant at least once.
fn drafts(noise: &mut Noise, base: u64) -> Vec<Draft> {
    let who: Vec<Arc<Task>> = tasks().into_iter().map(Arc::new).collect();
    let mut bodies = vec![
        Body::Clock(ClockStep {
            delta: -3_000_000_000,
        }),
        Body::Clock(ClockStep { delta: i64::MAX }),
        Body::Journal(JournalEntry {
            export: b"__REALTIME_TIMESTAMP=1\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\n".to_vec(),
        }),
        Body::Journal(JournalEntry {
            export: b"MESSAGE=two\n\n".to_vec(),
        }),
        Body::Kernel(KernelMessage {
            record: b"4,1000,123,-;Out of memory\n SUBSYSTEM=x\n".to_vec(),
        }),
        Body::Engine(EngineEvent {
            json: b"{\"Action\":\"die\",\"x\":\"\xff\"}".to_vec(),
        }),
        Body::Engine(EngineEvent { json: Vec::new() }),
        engine("die", r#""exitCode":"3","name":"/web""#),
        engine(["start", "stop"][noise.below(2) as usize], ""),
        engine(["kill", "oom", "pause"][noise.below(3) as usize], r#""signal":"3""#),
        engine("health_status: unhealthy", ""),
        Body::Engine(EngineEvent {
            json: format!(
                r#"{{"Type":"container","Action":"{}","Actor":{{"ID":"c{}","Attributes":{{"containerExitCode":"1"}}}}}}"#,
                ["create", "died", "remove", "unpause", "update"][noise.below(5) as usize],
                noise.below(3)
            )
            .into_bytes(),
        }),
        Body::Metrics(Metrics {
            container: String::new(),
            values: Vec::new(),
        }),
        Body::Metrics(Metrics {
            container: "c1".to_owned(),
            values: vec![
                ("cpu.usage_ns".to_owned(), u64::MAX),
                ("net.eth0.rx_bytes".to_owned(), 0),
            ],
        }),
        Body::Metrics(Metrics {
            container: "pid:7".to_owned(),
            values: vec![("cpu.usage_ns".to_owned(), 1)],
        }),
    ];
    for (number, stream) in Stream::ALL.into_iter().enumerate() {
        bodies.push(Body::Loss(Loss {
            stream,
            cause: ["ring-full", "writer-slow"][number % 2].to_owned(),
            count: number as u64,
            from: BootTime(base - 7),
            to: BootTime(base + number as u64),
            scope: ["", "cpu 1"][number % 2].to_owned(),
        }));
    }
    for (number, captured) in [
        Captured::Whole(b"/bin/sh".to_vec()),
        Captured::Truncated(b"sh\0\xff".to_vec(), 0),
        Captured::Failed(14),
        Captured::Redacted(99),
    ]
    .into_iter()
    .enumerate()
    {
        let task = &who[number % 3];
        let mut add = |change| {
            bodies.push(Body::Process(Process {
                task: Arc::clone(task),
                change,
            }))
        };
        add(ProcessChange::Fork {
            pid: u32::MAX,
            tid: 7,
        });
        add(ProcessChange::Exec {
            filename: captured.clone(),
            argv: captured,
            old_tid: 8,
        });
        add(ProcessChange::Exit {
            status: 200 + number as u8,
            signal: [0, 9, 127, 0][number],
            core: number == 1,
            last: number % 2 == 0,
        });
        for (place, step) in SignalStep::ALL.into_iter().enumerate() {
            add(ProcessChange::Signal(Box::new(Signal {
                number: [15, 64, 9, u32::MAX][number],
                step,
                code: [0, -6, i32::MAX, i32::MIN][number],
                sender: (place % 3 != 0).then(|| Arc::clone(&who[place % 3])),
                fatal: place % 2 == 0,
                process_wide: place % 4 < 2,
                info: vec![number as u8; [0, 48, 3][place % 3]],
            })));
        }
        add(ProcessChange::OomKill(Box::new(OomKill {
            trigger: (number > 0).then(|| Arc::clone(&who[number % 3])),
            score_adj: [0, -1000, 1000, i32::MIN][number],
            pages: (number != 2).then_some(OomPages {
                total_vm: 1 << 40,
                anon: 8_000,
                file: number as u64,
                shmem: u64::MAX,
            }),
        })));
    }
    for number in 0..60_u64 {
        bodies.push(Body::Uring(Uring {
            task: Arc::clone(&who[number as usize % 3]),
            step: match number % 4 {
                0 => UringStep::Submit {
                    fd: [None, Some(-1), Some(i32::MAX)][number as usize % 3],
                    flags: [0, 0xff][number as usize % 2],
                },
                1 => UringStep::Submit {
                    fd: Some(i32::MIN),
                    flags: 1,
                },
                2 => UringStep::Complete {
                    result: i32::MIN,
                    flags: u32::MAX,
                    latency: [None, Some(0), Some(u64::MAX - 1)][number as usize % 3],
                },
                _ => UringStep::Overflow { result: 7, flags: 2 },
            },
            ring: 0xffff_8880_0000_0000 + number % 2,
            user_data: noise.next(),
            opcode: [Some(0), Some(255), None][number as usize % 3],
            descriptor: (number % 5 == 0).then(|| {
                Arc::new(DescriptorName {
                    kind: "file".to_owned(),
                    name: b"/data/\xff\x01".to_vec(),
                })
            }),
            cpu: number as u16,
        }));
        bodies.push(Body::Packet(Packet {
            netns: 4_026_531_840 + number % 3,
            interface: ["lo", "eth0"][number as usize % 2].into(),
            linktype: [1, 101][number as usize % 2],
            direction: [Direction::In, Direction::Out][noise.below(2) as usize],
            realtime: WALL + number.cast_signed(),
            original_len: 70_000,
            data: (0..noise.below(1_500)).map(|_| noise.next() as u8).collect(),
        }));
        bodies.push(Body::Block(Block {
            action: [BlockAction::Queue, BlockAction::Issue, BlockAction::Complete][number as usize % 3],
            device: Device {
                major: 254,
                minor: u32::MAX,
            },
            sector: noise.next(),
            bytes: noise.next() as u32,
            cmd_flags: noise.next(),
            task: Arc::clone(&who[number as usize % 3]),
            container: ["c1", ""][number as usize % 2].to_owned(),
            owner: [
                BlockOwner::Page,
                BlockOwner::Bio,
                BlockOwner::Task,
                BlockOwner::Unknown,
            ][number as usize % 4],
            inode: number % 5,
            request: if number % 3 == 0 { 0 } else { noise.next() },
            latency: (number % 3 != 0).then_some(number / 3),
            error: [0, 5][number as usize % 2],
            cpu: number as u16,
        }));
        bodies.push(Body::Log(LogLine {
            container: ["c1", "c2"][number as usize % 2].to_owned(),
            stream: [LogStream::Stdout, LogStream::Stderr][number as usize % 2],
            realtime: WALL - number.cast_signed(),
            bytes: format!("line {number}\u{1b}[2J\n").into_bytes(),
        }));
    }
    bodies
        .into_iter()
        .map(|body| Draft {
            time: BootTime(base - LENGTH / 10 + noise.below(LENGTH)),
            cpu: noise.below(4) as u16,
            body,
        })
        .collect()
}

/// A bundle with every stream, an empty slice, frames of one member and of many, and two steps of the clock.
fn bundle() -> Vec<u8> {
    let mut noise = Noise(42);
    let header = Header {
        format: Format {
            requires: vec![layout::SIGNALS.to_owned(), layout::URING.to_owned()],
            ..Format::default()
        },
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
        tool: Tool::default(),
        case: [("note".to_owned(), "\u{202e}x".to_owned())].into(),
        started: BootTime(BASE),
        anchors: vec![anchor(BASE, 0)],
        targets: vec![TargetInfo {
            id: "c1".to_owned(),
            kind: "container".to_owned(),
            folder: "c1".to_owned(),
            ..TargetInfo::default()
        }],
        plan: json!({"anything": [1, 2]}),
        preflight: Value::Null,
        host: Value::Null,
    };
    let mut writer = Writer::begin(Vec::new(), &header, 3).unwrap();
    let member = |name: &str, size: usize| Member::new(name, vec![b' '; size]).unwrap();
    let start = vec![
        member("start/containers/0/fds.json", 0),
        member("start/containers/0/sockets.json", 512),
        member("start/host/host.json", 3_000_000),
        member("start/unknown.member", 1),
        Member::new("start/containers/c1/inspect.json", INSPECTION.as_bytes().to_vec()).unwrap(),
    ];
    let mut state = State::default();
    state.add_container("c1", "", INSPECTION.as_bytes());
    let earlier = drafts(&mut noise, BASE - LENGTH);
    let lookback = LOOKED_BACK.into_iter().flat_map(|stream| {
        let own: Vec<&Draft> = earlier
            .iter()
            .filter(|draft| draft.body.stream() == stream)
            .collect();
        stream::encode(stream, &own, BootTime(0)).unwrap()
    });
    let lookback = lookback.map(|(name, content)| Member::new(format!("{LOOKBACK}{name}"), content).unwrap());
    writer
        .start(start.into_iter().chain(lookback).collect(), BootTime(BASE))
        .unwrap();
    for (number, calls_in) in (1..).zip([500, 0, 20_000, 1]) {
        let base = BASE + u64::from(number - 1) * LENGTH;
        let mut content = SliceContent {
            open: vec![OpenCall {
                task: tasks().remove(1),
                abi: Abi::Aarch64,
                number: 7,
                args: [u64::MAX; 6],
                enter: None,
            }],
            anchors: vec![anchor(base + 1_000, 10_000_000_000 * i64::from(number))],
            from: BootTime(base),
            to: BootTime(base + LENGTH),
            ..SliceContent::default()
        };
        let mut names = Names::default();
        if calls_in > 0 {
            (content.syscalls, names.names) = calls(&mut noise, base, calls_in);
            content.drafts = drafts(&mut noise, base);
            names.index = (0..calls_in).map(|_| noise.below(3) as u32).collect();
        }
        content.sort();
        let runs = runs(&content);
        let checkpoint = (number > 1).then(|| state.encode("state").unwrap());
        let sealed = seal(number, &content, &runs, &names, checkpoint).unwrap();
        // Behind it: the requests of io_uring keep the names that were made up for them.
        state.fold(&mut content, &runs, writer.next_event());
        writer.slice(sealed).unwrap();
    }
    let end = End {
        reason: "duration".to_owned(),
        stopped: BootTime(BASE + 4 * LENGTH),
        ..End::default()
    };
    writer.finish(vec![member("end/host/host.json", 2)], end).unwrap()
}

fn put_bytes(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(key.to_owned(), text.into()),
        // What it decodes to in base64 the Python side tells; here hex of the same bytes is compared.
        Err(_) => object.insert(format!("{key}.b64"), hex(bytes).into()),
    };
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Base64 to hex, so that this test needs no crate for it.
fn unbase64(text: &str) -> String {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(digit).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let bits = four
            .iter()
            .fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit))
            << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    hex(&bytes)
}

fn named(task: Option<&Task>) -> Value {
    task.map_or(Value::Null, |task| {
        json!([task.pid, task.tid, hex(&task.comm), task.container])
    })
}

fn captured(data: &Captured<Vec<u8>>) -> Map<String, Value> {
    let value = match data {
        Captured::Whole(bytes) => json!({"status": "whole", "original": 0, "bytes": hex(bytes)}),
        Captured::Truncated(bytes, original) => {
            json!({"status": "truncated", "original": original, "bytes": hex(bytes)})
        }
        Captured::Failed(errno) => json!({"status": "failed", "original": errno}),
        Captured::Redacted(original) => json!({"status": "redacted", "original": original}),
    };
    value.as_object().unwrap().clone()
}

/// Nanoseconds since 1970 of a time as the Python side writes it, checked on the day of this test only.
fn stamp(text: &str) -> i64 {
    let (day, rest) = text.split_once('T').unwrap();
    assert_eq!(day, "2026-11-24");
    let (clock, nanoseconds) = rest.strip_suffix('Z').unwrap().split_once('.').unwrap();
    let seconds = clock
        .split(':')
        .fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    WALL - (14 * 3600 + 3 * 60 + 7) * 1_000_000_000
        + seconds * 1_000_000_000
        + nanoseconds.parse::<i64>().unwrap()
}

/// What the Python reader has to print of an event. Times are numbers here, base64 is hex.
fn expected(event: &Event, anchors: &Anchors) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("evt.num", event.num.into());
    put("evt.time", anchors.realtime(event.time).into());
    put("evt.boottime", event.time.0.into());
    put("evt.stream", event.body.stream().name().into());
    if event.late {
        put("evt.late", true.into());
    }
    let mut container = event
        .body
        .task()
        .map(|task| task.container.clone())
        .unwrap_or_default();
    match &event.body {
        Body::Clock(step) => put("clock.delta", step.delta.into()),
        Body::Loss(loss) => {
            put("loss.stream", loss.stream.name().into());
            put("loss.cause", loss.cause.as_str().into());
            put("loss_from", loss.from.0.into());
            put("loss_to", loss.to.0.into());
            if loss.count > 0 {
                put("loss.count", loss.count.into());
            }
            if !loss.scope.is_empty() {
                put("loss.scope", loss.scope.as_str().into());
            }
        }
        Body::Process(process) => match &process.change {
            ProcessChange::Fork { pid, tid } => {
                put("change", "fork".into());
                put("child.pid", (*pid).into());
                put("child.tid", (*tid).into());
            }
            ProcessChange::Exec {
                filename,
                argv,
                old_tid,
            } => {
                put("change", "exec".into());
                put("old_tid", (*old_tid).into());
                put("filename", captured(filename).into());
                put("argv", captured(argv).into());
            }
            ProcessChange::Exit {
                status,
                signal,
                core,
                last,
            } => {
                put("change", "exit".into());
                put("exit_status", (*status).into());
                let (key, value) = match signal {
                    0 => ("proc.exit.status", status),
                    _ => ("proc.exit.signal", signal),
                };
                put(key, (*value).into());
                put("proc.exit.core", (*core).into());
                put("proc.exit.last", (*last).into());
            }
            ProcessChange::Signal(signal) => {
                put("change", "signal".into());
                put("signal.number", signal.number.into());
                put("signal_step", (signal.step as u8).into());
                put("signal_code", signal.code.into());
                put("signal.fatal", signal.fatal.into());
                put("signal_process_wide", signal.process_wide.into());
                put("siginfo", hex(&signal.info).into());
                put("signal_sender", named(signal.sender.as_deref()));
            }
            ProcessChange::OomKill(kill) => {
                put("change", "oom-kill".into());
                put("oom.score_adj", kill.score_adj.into());
                put("oom_trigger", named(kill.trigger.as_deref()));
                if let Some(pages) = &kill.pages {
                    put("oom.pages.total_vm", pages.total_vm.into());
                    put("oom.pages.anon", pages.anon.into());
                    put("oom.pages.file", pages.file.into());
                    put("oom.pages.shmem", pages.shmem.into());
                }
            }
        },
        Body::Syscall(call) => {
            put("evt.nr", call.number.into());
            put("evt.abi", ["x86_64", "i386", "aarch64"][call.abi as usize].into());
            put("evt.cpu", call.cpu.into());
            for (at, value) in call.args.iter().enumerate() {
                put(&format!("evt.rawarg[{at}]"), format!("{value:#x}").into());
            }
            if let Return::Value(value) = call.ret {
                put("evt.rawres", value.into());
                put("evt.failed", call.ret.errno().is_some().into());
            }
            if let Some(duration) = call.duration {
                put("evt.latency", duration.into());
            }
            let captures: Vec<Value> = call
                .data
                .iter()
                .map(|data| {
                    let kinds = [
                        "path",
                        "sockaddr",
                        "buffer",
                        "descriptor-pair",
                        "strings",
                        "struct",
                    ];
                    let mut item = captured(&data.bytes);
                    item.insert("arg".to_owned(), data.arg.into());
                    item.insert("kind".to_owned(), kinds[data.kind as usize].into());
                    item.insert("when".to_owned(), ["entry", "exit"][data.when as usize].into());
                    item.into()
                })
                .collect();
            put("captures", captures.into());
            if let Some(descriptor) = &call.descriptor {
                put("fd.type", descriptor.kind.as_str().into());
                put_bytes(&mut object, "fd.name", &descriptor.name);
            }
        }
        Body::Packet(packet) => {
            put("pkt.interface", (*packet.interface).into());
            put("pkt.netns", packet.netns.into());
            put("pkt.direction", ["in", "out"][packet.direction as usize].into());
            put("pkt.len", packet.original_len.into());
            put("pkt.caplen", packet.data.len().into());
            put("pkt.linktype", packet.linktype.into());
            put("pkt.time", packet.realtime.into());
            put("packet", hex(&packet.data).into());
        }
        Body::Block(block) => {
            put(
                "blk.action",
                ["queue", "issue", "complete"][block.action as usize].into(),
            );
            put("blk.dev", block.device.to_string().into());
            put("blk.sector", block.sector.into());
            put("blk.bytes", block.bytes.into());
            put("blk.flags", format!("{:#x}", block.cmd_flags).into());
            put(
                "blk.owner",
                ["page", "bio", "task", "unknown"][block.owner as usize].into(),
            );
            put("evt.cpu", block.cpu.into());
            if block.error != 0 {
                put("blk.error", block.error.into());
            }
            if block.inode != 0 {
                put("blk.inode", block.inode.into());
            }
            if block.request != 0 {
                put("blk.request", format!("{:#x}", block.request).into());
            }
            if let Some(latency) = block.latency {
                put("blk.latency", latency.into());
            }
            container.clone_from(&block.container);
        }
        Body::Uring(request) => {
            put("uring.ring", format!("{:#x}", request.ring).into());
            put("uring.user_data", format!("{:#x}", request.user_data).into());
            put("uring_step", request.step.number().into());
            put("uring_flags", request.step.flags().into());
            put("evt.cpu", request.cpu.into());
            if let Some(opcode) = request.opcode {
                put("uring_opcode", opcode.into());
            }
            if let UringStep::Submit { fd: Some(fd), .. } = request.step {
                put("uring.fd", fd.into());
            }
            if let Some(latency) = request.step.latency() {
                put("uring.latency", latency.into());
            }
            if let Some(result) = request.step.result() {
                put("uring.result", result.into());
            }
            if let Some(name) = &request.descriptor {
                put("fd.type", name.kind.clone().into());
                put_bytes(&mut object, "fd.name", &name.name);
            }
        }
        Body::Journal(entry) => put("text", hex(&entry.export).into()),
        Body::Kernel(message) => put("text", hex(&message.record).into()),
        Body::Engine(event) => put("text", hex(&event.json).into()),
        Body::Log(line) => {
            put(
                "log.stream",
                ["", "stdout", "stderr"][line.stream as usize].into(),
            );
            put("log.time", line.realtime.into());
            put("text", hex(&line.bytes).into());
            container.clone_from(&line.container);
        }
        Body::Metrics(metrics) => {
            for (name, value) in &metrics.values {
                put(&format!("metrics.{name}"), (*value).into());
            }
            container.clone_from(&metrics.container);
        }
    }
    if let Some(task) = event.body.task() {
        object.insert("proc.pid".to_owned(), task.pid.into());
        object.insert("thread.tid".to_owned(), task.tid.into());
        if !task.comm.is_empty() {
            put_bytes(&mut object, "proc.name", &task.comm);
        }
    }
    if !container.is_empty() {
        object.insert("container.id".to_owned(), container.into());
    }
    object.into()
}

/// A line of the Python reader with times as numbers and base64 as hex.
fn found(line: &str) -> Value {
    let mut object: Map<String, Value> = serde_json::from_str(line).unwrap();
    for (key, value) in &mut object {
        if let Some(text) = value.as_str() {
            if matches!(key.as_str(), "evt.time" | "pkt.time" | "log.time") {
                *value = stamp(text).into();
            } else if key.ends_with(".b64") {
                *value = unbase64(text).into();
            }
        }
    }
    object.into()
}

fn digest_of(bytes: &[u8]) -> String {
    let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
    let mut digest = EventDigest::default();
    for index in 0..bundle.slices().len() {
        if bundle.slices()[index].missing == 0 {
            bundle
                .slice(index)
                .unwrap()
                .events
                .iter()
                .for_each(|event| digest.add(event));
        }
    }
    digest.finish().to_string()
}

fn python(folder: &Path, bytes: &[u8]) -> Output {
    python_with(folder, &[], bytes)
}

fn python_with(folder: &Path, arguments: &[&str], bytes: &[u8]) -> Output {
    let file = folder.join("x.capture.tar.zst");
    std::fs::File::create(&file).unwrap().write_all(bytes).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/read_bundle.py");
    // Debian's own interpreter: `python3-cbor2` belongs to no other.
    Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(script)
        .args(arguments)
        .arg(file)
        .output()
        .expect("cannot run /usr/bin/python3")
}

#[test]
#[ignore = "root"]
fn a_reader_written_from_the_page_alone_sees_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = bundle();
    let mut ours = Bundle::open(Cursor::new(&bytes)).unwrap();
    let anchors = ours.anchors().clone();
    let mut events = Vec::new();
    for index in 0..ours.slices().len() {
        events.extend(ours.slice(index).unwrap().events);
    }
    assert_eq!(events.len(), 20_501 + 3 * drafts(&mut Noise(1), BASE).len());
    for stream in Stream::ALL {
        assert!(
            events.iter().any(|event| event.body.stream() == stream),
            "{}",
            stream.name()
        );
    }
    assert!(events.iter().any(|event| event.late));

    let output = python(folder.path(), &bytes);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), events.len());
    for (line, event) in lines.iter().zip(&events) {
        assert_eq!(found(line), expected(event, &anchors), "event {}", event.num);
    }

    // One hash stands for all of them.
    let digest = python_with(folder.path(), &["--digest"], &bytes);
    assert_eq!(
        String::from_utf8(digest.stdout).unwrap().trim_end(),
        digest_of(&bytes)
    );

    // A part, and what is left of a damaged bundle, are bundles like any other.
    let tool = Tool::default();
    let part = Cut {
        slices: 2..=3,
        state: None,
        tool: tool.clone(),
    };
    let part = cut(&mut ours, &part, Vec::new()).unwrap();
    let mut bent = bytes.clone();
    bent[ours.slices()[2].offset as usize + 1_000] ^= 1;
    let (saved, _) = salvage(Cursor::new(&bent), &tool, Vec::new()).unwrap();
    for bytes in [part, saved] {
        let output = python_with(folder.path(), &["--digest"], &bytes);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim_end(),
            digest_of(&bytes)
        );
    }

    // What was before the start has no number, and is no event of the total order.
    let lookback = ours.lookback().unwrap();
    let ranks: Vec<Stream> = lookback.iter().map(|stored| stored.body.stream()).collect();
    assert!(ranks.is_sorted() && LOOKED_BACK.iter().all(|stream| ranks.contains(stream)));

    // Cut at a frame boundary and inside a frame: the same events up to the last sealed slice, and code 4.
    let sealed = ours.slices()[2].clone();
    let end = (sealed.offset + sealed.len) as usize;
    for len in [end, end + 100] {
        let output = python(folder.path(), &bytes[..len]);
        assert_eq!(output.status.code(), Some(4), "cut at {len}");
        let count = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(count as u64, sealed.first + sealed.events - 1, "cut at {len}");
    }

    // A flipped byte in a slice is never read as an event: its checksum, hash or chain tells.
    let mut bent = bytes.clone();
    bent[sealed.offset as usize + 1_000] ^= 1;
    let output = python(folder.path(), &bent);
    assert_eq!(output.status.code(), Some(4));
    let count = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(count as u64, sealed.first - 1);

    assert_eq!(python(folder.path(), b"PK\x03\x04").status.code(), Some(3));
}
