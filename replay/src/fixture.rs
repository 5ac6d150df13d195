//! A small made-up recording that tests read: one of each kind of event.

use crate::view::Context;
use std::sync::Arc;
use stillframe_format::event::*;
use stillframe_format::time::{Anchor, Anchors};
use stillframe_format::{BootTime, Captured};

/// The full id of the container `web`.
pub(crate) const WEB: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// 2026-11-24T14:03:07Z in nanoseconds.
pub(crate) const START: i64 = 1_795_528_987_000_000_000;

/// Nanoseconds of boottime at which the recording begins.
pub(crate) const BOOT: u64 = 1_000_000_000_000;

pub(crate) fn context() -> Context {
    Context {
        anchors: Anchors::new(vec![Anchor {
            boottime: BootTime(BOOT),
            realtime: START,
            monotonic: BOOT,
            error: 50,
        }]),
        start: BootTime(BOOT),
        end: BootTime(BOOT + 10_000_000_000),
        containers: [(WEB.to_owned(), "web".to_owned())].into(),
        devices: [(Device { major: 254, minor: 0 }, "vda".to_owned())].into(),
        zone: crate::zone::Zone::default(),
    }
}

pub(crate) fn task(pid: u32, comm: &str) -> Arc<Task> {
    Arc::new(Task {
        pid,
        tid: pid,
        comm: comm.as_bytes().to_vec(),
        container: WEB.to_owned(),
    })
}

/// A request of io_uring: READ of `/data/wal`.
pub(crate) fn request(step: UringStep) -> Uring {
    let submitted = matches!(step, UringStep::Submit { .. });
    Uring {
        task: task(1234, "httpd"),
        step,
        ring: 0xffff_8880_0000_2000,
        user_data: 1,
        opcode: Some(22),
        descriptor: submitted.then(|| {
            Arc::new(DescriptorName {
                kind: "file".to_owned(),
                name: b"/data/wal".to_vec(),
            })
        }),
        cpu: 1,
    }
}

/// A call of `openat("/etc/passwd")` that took 12 us.
pub(crate) fn openat(ret: i64) -> Syscall {
    Syscall {
        task: task(1234, "httpd"),
        abi: Abi::X86_64,
        number: 257,
        args: [0xffff_ff9c, 0x7ffd_0000_1000, 0x8_0000, 0, 0, 0],
        ret: Return::Value(ret),
        duration: Some(12_000),
        cpu: 1,
        descriptor: None,
        data: vec![ArgData {
            arg: 1,
            kind: ArgKind::Path,
            when: When::Entry,
            bytes: Captured::Whole(b"/etc/passwd".to_vec()),
        }],
    }
}

/// A call of `write(1, "hel"..., 4096)` that took 300 us.
pub(crate) fn write() -> Syscall {
    Syscall {
        number: 1,
        args: [1, 0x5000, 4096, 0, 0, 0],
        ret: Return::Value(4096),
        duration: Some(300_000),
        descriptor: Some(Arc::new(DescriptorName {
            kind: "file".to_owned(),
            name: b"/data/wal\xff".to_vec(),
        })),
        data: vec![ArgData {
            arg: 1,
            kind: ArgKind::Buffer,
            when: When::Entry,
            bytes: Captured::Truncated(b"hel\x1b[2J".to_vec(), 4096),
        }],
        ..openat(0)
    }
}

pub(crate) fn bodies() -> Vec<Body> {
    vec![
        Body::Process(Process {
            task: task(1, "init"),
            change: ProcessChange::Fork { pid: 1234, tid: 1234 },
        }),
        Body::Process(Process {
            task: task(1234, "init"),
            change: ProcessChange::Exec {
                filename: Captured::Whole(b"/bin/httpd".to_vec()),
                argv: Captured::Truncated(b"httpd\0-f\0".to_vec(), 5000),
                old_tid: 1234,
            },
        }),
        Body::Syscall(Box::new(openat(3))),
        Body::Syscall(Box::new(openat(-2))),
        Body::Syscall(Box::new(write())),
        Body::Packet(Packet {
            realtime: START + 5_000_000,
            ..crate::packet::tests::tcp_packet(b"GET /")
        }),
        Body::Loss(Loss {
            stream: Stream::Syscall,
            cause: "ring-full".to_owned(),
            count: 1234,
            from: BootTime(BOOT + 5_500_000),
            to: BootTime(BOOT + 6_000_000),
            scope: "cpu 1".to_owned(),
        }),
        Body::Block(Block {
            action: BlockAction::Complete,
            device: Device { major: 254, minor: 0 },
            sector: 2048,
            bytes: 65_536,
            cmd_flags: 1 | 1 << 11,
            task: task(77, "kworker/0:1"),
            container: WEB.to_owned(),
            owner: BlockOwner::Page,
            inode: 4711,
            request: 0xffff_8880_0000_1000,
            latency: Some(1_500_000),
            error: 5,
            cpu: 0,
        }),
        Body::Journal(JournalEntry {
            export: b"__REALTIME_TIMESTAMP=1795528987008000\n_SYSTEMD_UNIT=docker.service\nPRIORITY=4\n_PID=99\nSYSLOG_IDENTIFIER=dockerd\nMESSAGE=slow \x1b[31mdisk\n\n".to_vec(),
        }),
        Body::Kernel(KernelMessage {
            record: b"4,1000,123456,-;Out of memory: Killed process 1234\n".to_vec(),
        }),
        Body::Engine(EngineEvent {
            json: format!(
                r#"{{"Type":"container","Action":"die","Actor":{{"ID":"{WEB}","Attributes":{{"exitCode":"137","name":"web"}}}}}}"#
            )
            .into_bytes(),
        }),
        Body::Log(LogLine {
            container: WEB.to_owned(),
            stream: LogStream::Stderr,
            realtime: START + 11_000_000,
            bytes: b"panic: \xe2\x80\xaegpj\n".to_vec(),
        }),
        Body::Metrics(Metrics {
            container: WEB.to_owned(),
            values: vec![("cpu.usage_ns".to_owned(), 5_000_000), ("memory.usage_bytes".to_owned(), 1 << 20)],
        }),
        Body::Clock(ClockStep { delta: -3_000_000_000 }),
        Body::Process(Process {
            task: task(1234, "httpd"),
            change: ProcessChange::Exit { status: 0, signal: 9, core: true, last: true },
        }),
    ]
}

/// A request of io_uring, and what came of it.
fn requests() -> [Body; 2] {
    let failed = UringStep::Complete {
        result: -5,
        flags: 0,
        latency: Some(12_000),
    };
    [
        UringStep::Submit {
            fd: Some(3),
            flags: 0x10,
        },
        failed,
    ]
    .map(|step| Body::Uring(request(step)))
}

/// The bodies as events, a millisecond apart; number 12 came late.
pub(crate) fn events() -> Vec<Event> {
    numbered(bodies())
}

/// Those, and requests of io_uring behind them.
pub(crate) fn all_events() -> Vec<Event> {
    numbered(bodies().into_iter().chain(requests()))
}

fn numbered(bodies: impl IntoIterator<Item = Body>) -> Vec<Event> {
    bodies
        .into_iter()
        .enumerate()
        .map(|(index, body)| Event {
            num: index as u64 + 1,
            time: BootTime(BOOT + index as u64 * 1_000_000),
            late: index == 11,
            body,
        })
        .collect()
}
