//! One hash over all events (`docs/format.md`, "Digest"): of stored values, never of names that they are shown under.
//!
//! Numbers are little endian and of fixed width, strings begin with their length, so that no two rows of events give
//! the same bytes.

use super::Sha256;
use crate::Captured;
use crate::event::{
    Body, DescriptorName, Event, Process, ProcessChange, Return, Syscall, Task, Uring, UringStep,
};
use sha2::Digest as _;

/// What the hashed bytes begin with.
const DOMAIN: &[u8] = b"stillframe events 1\n";

/// A digest of events that is being made.
#[derive(Clone, Debug)]
pub struct EventDigest {
    hasher: sha2::Sha256,
    /// The bytes of one event.
    bytes: Vec<u8>,
    events: u64,
}

impl Default for EventDigest {
    fn default() -> Self {
        Self {
            hasher: sha2::Sha256::new_with_prefix(DOMAIN),
            bytes: Vec::new(),
            events: 0,
        }
    }
}

impl EventDigest {
    /// Goes over the next event.
    pub fn add(&mut self, event: &Event) {
        self.bytes.clear();
        self.events = self.events.saturating_add(1);
        self.u64(event.num);
        self.u64(event.time.0);
        self.u8(u8::from(event.late));
        self.u8(event.body.stream() as u8);
        self.body(&event.body);
        self.hasher.update(&self.bytes);
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The digest of the events so far.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        Sha256(self.hasher.finalize().into())
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Clock(step) => self.i64(step.delta),
            Body::Loss(loss) => {
                self.u8(loss.stream as u8);
                self.u64(loss.count);
                self.u64(loss.from.0);
                self.u64(loss.to.0);
                self.string(loss.cause.as_bytes());
                self.string(loss.scope.as_bytes());
            }
            Body::Process(process) => self.process(process),
            Body::Syscall(call) => self.call(call),
            Body::Packet(packet) => {
                self.u64(packet.netns);
                self.string(packet.interface.as_bytes());
                self.u16(packet.linktype);
                self.u8(packet.direction as u8);
                self.i64(packet.realtime);
                self.u32(packet.original_len);
                self.string(&packet.data);
            }
            Body::Block(block) => {
                self.u8(block.action as u8);
                self.u32(block.device.major);
                self.u32(block.device.minor);
                self.u64(block.sector);
                self.u32(block.bytes);
                self.u64(block.cmd_flags);
                self.task(&block.task);
                self.string(block.container.as_bytes());
                self.u8(block.owner as u8);
                self.u64(block.inode);
                self.u64(block.request);
                self.u64(block.latency.map_or(0, |latency| latency.saturating_add(1)));
                self.u32(block.error.unsigned_abs());
                self.u16(block.cpu);
            }
            Body::Journal(entry) => self.string(&entry.export),
            Body::Kernel(message) => self.string(&message.record),
            Body::Engine(event) => self.string(&event.json),
            Body::Log(line) => {
                self.string(line.container.as_bytes());
                self.u8(line.stream as u8);
                self.i64(line.realtime);
                self.string(&line.bytes);
            }
            Body::Uring(request) => self.uring(request),
            Body::Metrics(metrics) => {
                self.string(metrics.container.as_bytes());
                self.count(metrics.values.len());
                for (name, value) in &metrics.values {
                    self.string(name.as_bytes());
                    self.u64(*value);
                }
            }
        }
    }

    fn process(&mut self, process: &Process) {
        self.task(&process.task);
        match &process.change {
            ProcessChange::Fork { pid, tid } => {
                self.u8(0);
                self.u32(*pid);
                self.u32(*tid);
            }
            ProcessChange::Exec {
                filename,
                argv,
                old_tid,
            } => {
                self.u8(1);
                self.u32(*old_tid);
                self.captured(filename);
                self.captured(argv);
            }
            ProcessChange::Exit {
                status,
                signal,
                core,
                last,
            } => {
                self.u8(2);
                self.u8(*status);
                self.u8(*signal);
                self.u8(u8::from(*core));
                self.u8(u8::from(*last));
            }
            ProcessChange::Signal(signal) => {
                self.u8(3);
                self.u32(signal.number);
                self.u8(signal.step as u8);
                self.i64(i64::from(signal.code));
                self.u8(u8::from(signal.fatal) | u8::from(signal.process_wide) << 1);
                self.maybe_task(signal.sender.as_deref());
                self.string(&signal.info);
            }
            ProcessChange::OomKill(kill) => {
                self.u8(4);
                self.maybe_task(kill.trigger.as_deref());
                self.i64(i64::from(kill.score_adj));
                match &kill.pages {
                    Some(pages) => {
                        self.u8(1);
                        for count in [pages.total_vm, pages.anon, pages.file, pages.shmem] {
                            self.u64(count);
                        }
                    }
                    None => self.u8(0),
                }
            }
        }
    }

    fn uring(&mut self, request: &Uring) {
        self.task(&request.task);
        self.u8(request.step.number());
        self.u64(request.ring);
        self.u64(request.user_data);
        self.u32(request.step.flags());
        self.u16(request.cpu);
        self.u16(request.opcode.map_or(0, |opcode| u16::from(opcode) + 1));
        self.descriptor(request.descriptor.as_deref());
        match request.step {
            UringStep::Submit { fd, .. } => {
                self.u8(u8::from(fd.is_some()));
                if let Some(fd) = fd {
                    self.i64(i64::from(fd));
                }
            }
            UringStep::Complete { result, .. } | UringStep::Overflow { result, .. } => {
                self.i64(i64::from(result));
                let latency = request.step.latency();
                self.u64(latency.map_or(0, |latency| latency.saturating_add(1)));
            }
        }
    }

    fn descriptor(&mut self, descriptor: Option<&DescriptorName>) {
        match descriptor {
            Some(descriptor) => {
                self.u8(1);
                self.string(descriptor.kind.as_bytes());
                self.string(&descriptor.name);
            }
            None => self.u8(0),
        }
    }

    fn call(&mut self, call: &Syscall) {
        self.task(&call.task);
        self.u8(call.abi as u8);
        self.u32(call.number);
        for arg in call.args {
            self.u64(arg);
        }
        match call.ret {
            Return::Value(value) => {
                self.u8(1);
                self.i64(value);
            }
            Return::Never => self.u8(0),
        }
        match call.duration {
            Some(duration) => {
                self.u8(1);
                self.u64(duration);
            }
            None => self.u8(0),
        }
        self.u16(call.cpu);
        self.descriptor(call.descriptor.as_deref());
        self.count(call.data.len());
        for data in &call.data {
            self.u8(data.arg);
            self.u8(data.kind as u8);
            self.u8(data.when as u8);
            self.captured(&data.bytes);
        }
    }

    fn task(&mut self, task: &Task) {
        self.u32(task.pid);
        self.u32(task.tid);
        self.string(&task.comm);
        self.string(task.container.as_bytes());
    }

    fn maybe_task(&mut self, task: Option<&Task>) {
        self.u8(u8::from(task.is_some()));
        if let Some(task) = task {
            self.task(task);
        }
    }

    fn captured(&mut self, data: &Captured<Vec<u8>>) {
        let (status, original, bytes) = match data {
            Captured::Whole(bytes) => (0, 0, bytes.as_slice()),
            Captured::Truncated(bytes, original) => (1, *original, bytes.as_slice()),
            Captured::Failed(errno) => (2, u64::from(errno.unsigned_abs()), &[][..]),
            Captured::Redacted(original) => (3, *original, &[][..]),
        };
        self.u8(status);
        self.u64(original);
        self.string(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u64(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn string(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }
}
