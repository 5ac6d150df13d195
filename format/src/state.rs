//! The state of what was captured at a moment, folded from a snapshot and the events since
//! (`docs/format.md`, "Checkpoint").
//!
//! The fold is pure: the same start and the same events give the same state everywhere. capture runs it to name the
//! descriptors of calls and to write checkpoints; replay runs it from a checkpoint to show a moment, and verify runs
//! it to prove checkpoints. What events can't tell is left out or marked, never guessed.

mod address;
mod call;
mod container;
mod effect;
mod fold;
mod rights;
mod seek;
mod start;
mod uring;
mod usage;

pub use container::{Container, Status};
pub use seek::Until;
pub use start::Start;
pub use usage::{Increase, Usage};

use crate::cbor;
use crate::error::{ReadError, WriteError};
use crate::event::{Body, DescriptorName, Loss, Process as ProcessEvent, ProcessChange, Stream};
use crate::layout::{CONTAINER_TEXT_MAX, CONTAINERS_MAX};
use crate::snapshot::MountInfo;
use crate::{BootTime, Captured};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Processes, descriptors, sockets and mounts of everything that is captured; what became of containers, and what they
/// used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By process id on the host.
    processes: BTreeMap<u32, Process>,
    /// Open files that descriptors refer to, by a number that is the state's own.
    files: BTreeMap<u64, OpenFile>,
    /// The number of the next open file.
    next_file: u64,
    /// Sockets of the start that no descriptor of a known process holds (`TIME-WAIT`, other processes').
    loose_sockets: Vec<Socket>,
    /// Mounts by the full id of the container.
    mounts: BTreeMap<String, Vec<MountInfo>>,
    /// Events that the state would need are missing since this moment.
    uncertain: Option<BootTime>,
    /// By full id.
    #[serde(default)]
    containers: BTreeMap<String, Container>,
    /// The latest readings, by the full id of the container.
    #[serde(default)]
    usage: BTreeMap<String, Usage>,
    /// There were more containers than are kept.
    #[serde(default)]
    containers_left_out: bool,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Id on the host.
    pub pid: u32,
    /// The parent's id on the host, as it was at birth; `None` when that was not seen.
    pub ppid: Option<u32>,
    /// Id in the innermost pid namespace, where a snapshot told.
    pub ns_pid: Option<u32>,
    /// The first thread's name.
    #[serde(with = "serde_bytes")]
    pub comm: Vec<u8>,
    /// The program's file; `None` when not known.
    pub exe: Option<String>,
    /// Arguments; empty when not known.
    pub argv: Vec<String>,
    /// The working folder; `None` when not known.
    pub cwd: Option<String>,
    /// The full id of the container.
    pub container: String,
    /// When it was born; `None` when not known.
    pub started: Option<BootTime>,
    /// Ids of its threads, the first included.
    pub threads: Vec<u32>,
    /// Its descriptors.
    fds: BTreeMap<i32, Descriptor>,
    /// All of its descriptors are known: it stood in a snapshot, or its birth was seen from a process of which
    /// they were known, and none came or went since that calls don't tell of (over a Unix socket, from another process,
    /// through io_uring).
    pub whole: bool,
}

/// A descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The open file.
    file: u64,
    /// It is closed by `execve`.
    pub close_on_exec: bool,
}

/// An open file (file description): what one or more descriptors refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// How it is called.
    #[serde(with = "shared_name")]
    pub name: Arc<DescriptorName>,
    /// How many descriptors of known processes refer to it.
    references: u64,
    /// The socket, where it is one.
    pub socket: Option<Socket>,
    /// Inode number, where a snapshot told.
    pub inode: Option<u64>,
}

/// A socket, as far as calls and snapshots tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Inode number of the network namespace, where a snapshot told.
    pub netns: Option<u64>,
    /// `tcp`, `udp`, `unix-stream`, … as [`crate::snapshot::SocketInfo::protocol`].
    pub protocol: String,
    /// `ipv4`, `ipv6`, `unix`, …
    pub family: String,
    /// `LISTEN`, `ESTAB`, `UNCONN`, … as `ss` writes it; `None` when calls don't tell.
    pub state: Option<String>,
    /// Its own address; `None` when not known, empty when it has none.
    pub local: Option<String>,
    /// The other end's; `None` when not known, empty when there is none.
    pub remote: Option<String>,
    /// Inode number, where a snapshot told.
    pub inode: Option<u64>,
}

/// A descriptor with what it refers to.
#[derive(Clone, Copy, Debug)]
pub struct OpenDescriptor<'a> {
    /// Its number.
    pub fd: i32,
    /// See [`Descriptor::close_on_exec`].
    pub close_on_exec: bool,
    /// What it refers to.
    pub file: &'a OpenFile,
}

/// A socket with who holds it.
#[derive(Clone, Debug)]
pub struct HeldSocket<'a> {
    /// The socket.
    pub socket: &'a Socket,
    /// Process ids and descriptors; empty when no known process holds it.
    pub users: Vec<(u32, i32)>,
}

impl State {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are none, or contradict themselves.
    pub fn decode(what: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        let state: Self = cbor::decode_as(what, bytes)?;
        let mut references: BTreeMap<u64, u64> = BTreeMap::new();
        for (pid, process) in &state.processes {
            if *pid != process.pid {
                return Err(ReadError::damaged(what, "a process under another's id"));
            }
            for descriptor in process.fds.values() {
                *references.entry(descriptor.file).or_default() += 1;
            }
        }
        let counted = state.files.iter().all(|(file, open)| {
            *file < state.next_file && references.get(file).copied().unwrap_or(0) == open.references
        });
        if !counted || references.keys().any(|file| !state.files.contains_key(file)) {
            return Err(ReadError::damaged(
                what,
                "its descriptors and open files contradict each other",
            ));
        }
        let bounded = state.containers.len() <= CONTAINERS_MAX
            && state.usage.len() <= CONTAINERS_MAX
            && state.containers.values().all(Container::is_bounded)
            && state.usage.values().all(Usage::is_bounded)
            && (state.containers.keys().chain(state.usage.keys())).all(|id| id.len() <= CONTAINER_TEXT_MAX);
        if !bounded {
            return Err(ReadError::damaged(what, "more of containers than it may hold"));
        }
        Ok(state)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// [`WriteError::Encode`].
    pub fn encode(&self, what: &str) -> Result<Vec<u8>, WriteError> {
        cbor::encode(what, self)
    }

    /// Goes over the event of a number.
    pub fn apply(&mut self, num: u64, time: BootTime, body: &Body) {
        match body {
            Body::Process(event) => self.process(time, event),
            Body::Syscall(call) => self.call(&call::Returned::of_event(call)),
            Body::Loss(loss) => self.loss(loss),
            Body::Uring(request) => {
                self.request(request);
            }
            Body::Engine(event) => self.engine(num, time, event),
            Body::Metrics(metrics) => self.metrics(num, time, metrics),
            _ => {}
        }
    }

    /// Processes, by id.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// A process.
    #[must_use]
    pub fn process_of(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    /// The known descriptors of a process, in order.
    pub fn descriptors(&self, pid: u32) -> impl Iterator<Item = OpenDescriptor<'_>> {
        let fds = self.processes.get(&pid).map(|process| &process.fds);
        fds.into_iter().flatten().filter_map(|(fd, descriptor)| {
            Some(OpenDescriptor {
                fd: *fd,
                close_on_exec: descriptor.close_on_exec,
                file: self.files.get(&descriptor.file)?,
            })
        })
    }

    /// What a descriptor of a process refers to.
    #[must_use]
    pub fn descriptor_name(&self, pid: u32, fd: i32) -> Option<&DescriptorName> {
        let file = self.file_of(pid, fd)?;
        self.files.get(&file).map(|file| file.name.as_ref())
    }

    /// Sockets that processes hold, then those of the start that nobody known holds.
    #[must_use]
    pub fn sockets(&self) -> Vec<HeldSocket<'_>> {
        let mut users: BTreeMap<u64, Vec<(u32, i32)>> = BTreeMap::new();
        for process in self.processes.values() {
            for (fd, descriptor) in &process.fds {
                users.entry(descriptor.file).or_default().push((process.pid, *fd));
            }
        }
        let held = self.files.iter().filter_map(|(number, file)| {
            Some(HeldSocket {
                socket: file.socket.as_ref()?,
                users: users.remove(number).unwrap_or_default(),
            })
        });
        let loose = self.loose_sockets.iter().map(|socket| HeldSocket {
            socket,
            users: Vec::new(),
        });
        held.chain(loose).collect()
    }

    /// Mounts, by the full id of the container whose first process sees them.
    #[must_use]
    pub fn mounts(&self) -> &BTreeMap<String, Vec<MountInfo>> {
        &self.mounts
    }

    /// Containers, by full id: those of the start, and all of which the engine told since.
    #[must_use]
    pub fn containers(&self) -> &BTreeMap<String, Container> {
        &self.containers
    }

    /// The latest readings, by the full id of the container.
    #[must_use]
    pub fn usage(&self) -> &BTreeMap<String, Usage> {
        &self.usage
    }

    /// Whether there were more containers than are kept.
    #[must_use]
    pub fn containers_left_out(&self) -> bool {
        self.containers_left_out
    }

    /// Since when events are missing that processes, descriptors, sockets and mounts would need: what is shown of them may
    /// have changed meanwhile.
    #[must_use]
    pub fn uncertain(&self) -> Option<BootTime> {
        self.uncertain
    }

    fn loss(&mut self, loss: &Loss) {
        if matches!(loss.stream, Stream::Syscall | Stream::Process | Stream::Uring)
            && self.uncertain.is_none()
        {
            self.uncertain = Some(loss.from);
        }
        if loss.stream == Stream::Engine {
            self.engine_lost(loss.from);
        }
    }

    fn process(&mut self, time: BootTime, event: &ProcessEvent) {
        let task = &event.task;
        match &event.change {
            ProcessChange::Fork { pid, tid } if *pid == task.pid => {
                let process = self.known(task.pid, &task.comm, &task.container);
                if !process.threads.contains(tid) {
                    process.threads.push(*tid);
                }
            }
            ProcessChange::Fork { pid, .. } => {
                self.end(*pid);
                let parent = self.known(task.pid, &task.comm, &task.container).clone();
                for descriptor in parent.fds.values() {
                    if let Some(file) = self.files.get_mut(&descriptor.file) {
                        file.references += 1;
                    }
                }
                let child = Process {
                    pid: *pid,
                    ppid: Some(task.pid),
                    ns_pid: None,
                    started: Some(time),
                    threads: vec![*pid],
                    ..parent
                };
                self.processes.insert(*pid, child);
            }
            ProcessChange::Exec { filename, argv, .. } => {
                let process = self.known(task.pid, &task.comm, &task.container);
                process.comm.clone_from(&task.comm);
                process.exe = text(filename);
                process.argv = argv.value().map(|bytes| strings(bytes)).unwrap_or_default();
                process.threads = vec![task.pid];
                let closed: Vec<i32> = process
                    .fds
                    .iter()
                    .filter_map(|(fd, descriptor)| descriptor.close_on_exec.then_some(*fd))
                    .collect();
                for fd in closed {
                    self.close(task.pid, fd);
                }
            }
            ProcessChange::Exit { last: true, .. } => self.end(task.pid),
            ProcessChange::Exit { .. } => {
                if let Some(process) = self.processes.get_mut(&task.pid) {
                    process.threads.retain(|tid| *tid != task.tid);
                }
            }
            // What comes of them is told by the exit.
            ProcessChange::Signal(_) | ProcessChange::OomKill(_) => {}
        }
    }

    /// The process, or a new one of which nothing else is known.
    fn known(&mut self, pid: u32, comm: &[u8], container: &str) -> &mut Process {
        self.processes.entry(pid).or_insert_with(|| Process {
            pid,
            comm: comm.to_vec(),
            container: container.to_owned(),
            threads: vec![pid],
            ..Process::default()
        })
    }

    /// The process is gone, and its descriptors with it.
    fn end(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            for descriptor in process.fds.values() {
                self.release(descriptor.file);
            }
        }
    }

    fn file_of(&self, pid: u32, fd: i32) -> Option<u64> {
        Some(self.processes.get(&pid)?.fds.get(&fd)?.file)
    }

    /// Adds an open file that nothing refers to yet.
    fn add_file(&mut self, kind: &str, name: Vec<u8>, socket: Option<Socket>) -> u64 {
        let number = self.next_file;
        self.next_file = self.next_file.saturating_add(1);
        let name = Arc::new(DescriptorName {
            kind: kind.to_owned(),
            name,
        });
        let file = OpenFile {
            name,
            references: 0,
            socket,
            inode: None,
        };
        self.files.insert(number, file);
        number
    }

    /// Lets a descriptor refer to a file; what it referred to before is let go.
    fn bind_fd(&mut self, pid: u32, fd: i32, file: u64, close_on_exec: bool) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if let Some(open) = self.files.get_mut(&file) {
            open.references += 1;
        }
        let before = process.fds.insert(fd, Descriptor { file, close_on_exec });
        if let Some(before) = before {
            self.release(before.file);
        }
    }

    fn close(&mut self, pid: u32, fd: i32) {
        let closed = self
            .processes
            .get_mut(&pid)
            .and_then(|process| process.fds.remove(&fd));
        if let Some(descriptor) = closed {
            self.release(descriptor.file);
        }
    }

    fn release(&mut self, file: u64) {
        if let Some(open) = self.files.get_mut(&file) {
            open.references = open.references.saturating_sub(1);
            if open.references == 0 {
                self.files.remove(&file);
            }
        }
    }
}

fn text(bytes: &Captured<Vec<u8>>) -> Option<String> {
    bytes
        .value()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Strings that each end with NUL.
fn strings(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|piece| String::from_utf8_lossy(piece).into_owned())
        .collect()
}

/// A shared name in a checkpoint: the name.
mod shared_name {
    use crate::event::DescriptorName;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(
        name: &Arc<DescriptorName>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<DescriptorName>, D::Error> {
        DescriptorName::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
