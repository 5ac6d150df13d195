//! The streams beside system calls: what the made-up work leaves in packets, on the disk, in logs and counters.

use super::host::{Container, DISK, realtime};
use super::random::Random;
use super::work::Effect;
use std::sync::Arc;
use stillframe_format::event::{
    Block, BlockAction, BlockOwner, Body, ClockStep, Direction, EngineEvent, JournalEntry, KernelMessage,
    LogLine, LogStream, Loss, Metrics, Packet, Process, ProcessChange, Stream, Task, Uring, UringStep,
};
use stillframe_format::{BootTime, Captured, Draft};

/// Makes the drafts of a slice.
pub(super) struct Streams<'a> {
    containers: &'a [Container],
    interface: Arc<str>,
    /// By how much the wall clock was set since the start.
    pub(super) stepped: i64,
    pub(super) drafts: Vec<Draft>,
    sectors: u64,
    sequence: u64,
    totals: Vec<Totals>,
}

/// Counters of a container.
#[derive(Clone, Copy, Default)]
struct Totals {
    cpu: u64,
    packets: u64,
    bytes: u64,
    written: u64,
}

impl<'a> Streams<'a> {
    pub(super) fn new(containers: &'a [Container]) -> Self {
        Self {
            containers,
            interface: "eth0".into(),
            stepped: 0,
            drafts: Vec::new(),
            sectors: 1 << 20,
            sequence: 0,
            totals: vec![Totals::default(); containers.len()],
        }
    }

    fn push(&mut self, time: u64, cpu: u16, body: Body) {
        self.drafts.push(Draft {
            time: BootTime(time),
            cpu,
            body,
        });
    }

    fn realtime(&self, time: u64) -> i64 {
        realtime(time) + self.stepped
    }

    /// What a call led to.
    pub(super) fn effect(
        &mut self,
        container: usize,
        time: u64,
        task: &Task,
        effect: &Effect,
        random: &mut Random,
    ) {
        if let Some(totals) = self.totals.get_mut(container) {
            totals.cpu += 20_000;
        }
        match effect {
            Effect::Fork(pid) => self.change(time, task, ProcessChange::Fork { pid: *pid, tid: *pid }),
            Effect::Exec => self.change(
                time,
                task,
                ProcessChange::Exec {
                    filename: Captured::Whole(b"/usr/bin/backup".to_vec()),
                    argv: Captured::Whole(b"backup\0--to\0/var/backup\0".to_vec()),
                    old_tid: task.tid,
                },
            ),
            Effect::Exit => self.change(
                time + 1,
                task,
                ProcessChange::Exit {
                    status: 1,
                    signal: 0,
                    core: false,
                    last: true,
                },
            ),
            Effect::Answer { status, bytes } => self.answer(container, time, *status, *bytes, random),
            Effect::Sync(bytes) => self.sync(container, time, task, *bytes, random),
        }
    }

    fn change(&mut self, time: u64, task: &Task, change: ProcessChange) {
        let task = Arc::new(task.clone());
        self.push(time, 0, Body::Process(Process { task, change }));
    }

    /// Packets of an answer, and sometimes a line of the log.
    fn answer(&mut self, container: usize, time: u64, status: u16, bytes: u32, random: &mut Random) {
        let Some(to) = self.containers.get(container) else {
            return;
        };
        let client = [10, 0, 0, 2 + u8::try_from(random.below(200)).unwrap_or(0)];
        let flow = Flow {
            own: (to.address, to.port),
            other: (client, 32_768 + u16::try_from(random.below(28_000)).unwrap_or(0)),
            sequence: u32::try_from(random.below(1 << 31)).unwrap_or(0),
        };
        let netns = to.netns;
        let is_web = to.name == "web";
        let request = format!(
            "GET /api/items?id={} HTTP/1.1\r\nHost: shop.example\r\n\r\n",
            random.below(5000)
        );
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {bytes}\r\n\r\n");
        let whole: [(u8, bool, &[u8]); 7] = [
            (0x02, true, b""),
            (0x12, false, b""),
            (0x10, true, b""),
            (0x18, true, request.as_bytes()),
            (0x18, false, answer.as_bytes()),
            (0x11, false, b""),
            (0x11, true, b""),
        ];
        // Clients of the others stay connected: only data goes over the wire.
        let packets = if is_web {
            whole.as_slice()
        } else {
            whole.get(3..5).unwrap_or_default()
        };
        let start = time.saturating_sub(60_000);
        for (step, (flags, comes_in, data)) in (0u64..).zip(packets) {
            let data = flow.packet(*flags, *comes_in, data);
            let time = start + step * 9_000 + random.below(3_000);
            if let Some(totals) = self.totals.get_mut(container) {
                totals.packets += 1;
                totals.bytes += data.len() as u64;
            }
            let packet = Packet {
                netns,
                interface: Arc::clone(&self.interface),
                linktype: 1,
                direction: if *comes_in { Direction::In } else { Direction::Out },
                realtime: self.realtime(time),
                original_len: u32::try_from(data.len()).unwrap_or(0),
                data,
            };
            self.push(time, 0, Body::Packet(packet));
        }
        if is_web {
            let line = LogLine {
                container: to.id.clone(),
                stream: LogStream::Stderr,
                realtime: self.realtime(time),
                bytes: format!(
                    "{}.{}.{}.{} \"GET /api/items\" {status} {bytes}\n",
                    client[0], client[1], client[2], client[3]
                )
                .into_bytes(),
            };
            self.push(time + 30_000, 0, Body::Log(line));
        }
    }

    /// A request to the disk: queued, issued, completed.
    fn sync(&mut self, container: usize, time: u64, task: &Task, bytes: u32, random: &mut Random) {
        self.sectors = self.sectors.wrapping_add(u64::from(bytes) / 512);
        let Some(of) = self.containers.get(container) else {
            return;
        };
        if let Some(totals) = self.totals.get_mut(container) {
            totals.written += u64::from(bytes);
        }
        let step = |action, latency| Block {
            action,
            device: DISK,
            sector: self.sectors,
            bytes,
            // REQ_OP_WRITE with REQ_SYNC (include/linux/blk_types.h).
            cmd_flags: 1 | 1 << 11,
            task: Arc::new(task.clone()),
            container: of.id.clone(),
            owner: BlockOwner::Page,
            inode: 4712,
            request: 0xffff_8880_1000_0000 + (self.sectors << 6),
            latency,
            error: 0,
            cpu: 1,
        };
        let took = random.time(180_000);
        let steps = [
            (time, step(BlockAction::Queue, None)),
            (time + 2_000, step(BlockAction::Issue, Some(2_000))),
            (time + 2_000 + took, step(BlockAction::Complete, Some(took))),
        ];
        for (time, block) in steps {
            self.push(time, 1, Body::Block(block));
        }
    }

    /// A request of io_uring without a descriptor (IORING_OP_FUTEX_WAKE), and what came of it.
    fn request(&mut self, number: u32, time: u64, random: &mut Random) {
        let Some((of, (pid, _, _, comm, _))) = self
            .containers
            .last()
            .and_then(|container| Some((container, container.processes.first()?)))
        else {
            return;
        };
        let step = |step| {
            Body::Uring(Uring {
                task: Arc::new(of.task(*pid, *pid, comm)),
                step,
                ring: 0xffff_8880_2000_0000,
                user_data: u64::from(number),
                opcode: Some(52),
                descriptor: None,
                cpu: 0,
            })
        };
        let took = random.time(20_000);
        let steps = [
            (time, step(UringStep::Submit { fd: None, flags: 0 })),
            (
                time + took,
                step(UringStep::Complete {
                    result: 0,
                    flags: 0,
                    latency: Some(took),
                }),
            ),
        ];
        for (time, body) in steps {
            self.push(time, 0, body);
        }
    }

    /// What happens once in a slice or less often, between `from` and `to`.
    pub(super) fn slice(&mut self, number: u32, from: u64, to: u64, random: &mut Random) {
        let middle = from + (to - from) / 2;
        let metrics: Vec<Metrics> = self
            .containers
            .iter()
            .zip(&self.totals)
            .map(|(container, totals)| Metrics {
                container: container.id.clone(),
                values: [
                    ("cpu.usage_ns", totals.cpu),
                    ("memory.usage_bytes", (48 << 20) + totals.bytes % (1 << 20)),
                    ("pids.current", container.processes.len() as u64),
                    ("blk.254:0.write_bytes", totals.written),
                    ("net.eth0.rx_packets", totals.packets / 2),
                    ("net.eth0.tx_bytes", totals.bytes / 2),
                    ("pressure.io.some_total_us", totals.written / 100),
                ]
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            })
            .collect();
        for reading in metrics {
            self.push(middle, 0, Body::Metrics(reading));
        }
        if number % 3 == 1 {
            self.sequence += 1;
            let (sequence, micros) = (self.sequence, self.realtime(middle) / 1000);
            let export = format!(
                "__CURSOR=s=0;i={sequence:x}\n__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT=docker.service\nPRIORITY=6\nSYSLOG_IDENTIFIER=dockerd\nMESSAGE=health check {sequence} of container web done\n\n",
                middle / 1000
            );
            let export = export.into_bytes();
            self.push(middle, 0, Body::Journal(JournalEntry { export }));
        }
        if number % 5 == 2
            && let Some(container) = self.containers.first()
        {
            let json = format!(
                r#"{{"Type":"container","Action":"exec_create: healthcheck","Actor":{{"ID":"{}","Attributes":{{"name":"{}"}}}},"timeNano":{}}}"#,
                container.id,
                container.name,
                self.realtime(middle)
            );
            let json = json.into_bytes();
            self.push(middle, 0, Body::Engine(EngineEvent { json }));
        }
        if number % 7 == 5 {
            self.request(number, middle, random);
        }
        if number % 11 == 3 {
            let record = format!(
                "6,{number},{},-;TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.\n",
                middle / 1000
            );
            let record = record.into_bytes();
            self.push(middle, 0, Body::Kernel(KernelMessage { record }));
        }
        if number % 29 == 4 {
            let loss = Loss {
                stream: if number.is_multiple_of(2) {
                    Stream::Syscall
                } else {
                    Stream::Packet
                },
                cause: "ring-full".to_owned(),
                count: 1 + random.below(5_000),
                from: BootTime(from),
                to: BootTime(middle),
                scope: String::new(),
            };
            self.push(middle, 0, Body::Loss(loss));
        }
        if number % 7 == 5 {
            // The engine hands lines over when it likes: these belong to the slice before.
            for line in 0..1 + random.below(3) {
                let time = from.saturating_sub(1 + line * 1000);
                let line = LogLine {
                    container: self
                        .containers
                        .last()
                        .map_or_else(String::new, |container| container.id.clone()),
                    stream: LogStream::Stdout,
                    realtime: self.realtime(time),
                    bytes: b"LOG:  checkpoint complete: wrote 412 buffers\n".to_vec(),
                };
                self.push(time, 0, Body::Log(line));
            }
        }
    }

    /// The wall clock was set.
    pub(super) fn clock_step(&mut self, time: u64, delta: i64) {
        self.stepped += delta;
        self.push(time, 0, Body::Clock(ClockStep { delta }));
    }
}

/// A TCP connection.
struct Flow {
    own: ([u8; 4], u16),
    other: ([u8; 4], u16),
    sequence: u32,
}

impl Flow {
    /// A segment in its Ethernet frame.
    fn packet(&self, flags: u8, comes_in: bool, data: &[u8]) -> Vec<u8> {
        let (source, target) = if comes_in {
            (self.other, self.own)
        } else {
            (self.own, self.other)
        };
        let mut packet = Vec::with_capacity(54 + data.len());
        packet.extend_from_slice(&[
            2,
            0x42,
            0xac,
            0x11,
            0,
            target.0[3],
            2,
            0x42,
            0xac,
            0x11,
            0,
            source.0[3],
            8,
            0,
        ]);
        let length = u16::try_from(40 + data.len()).unwrap_or(u16::MAX);
        let mut header = [0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[12..16].copy_from_slice(&source.0);
        header[16..20].copy_from_slice(&target.0);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend_from_slice(&header);
        packet.extend_from_slice(&source.1.to_be_bytes());
        packet.extend_from_slice(&target.1.to_be_bytes());
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.sequence.rotate_left(16).to_be_bytes());
        // The sum is left to the network card, as it is in a container's own traffic.
        packet.extend_from_slice(&[0x50, flags, 0x01, 0xf6, 0, 0, 0, 0]);
        packet.extend_from_slice(data);
        packet
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
