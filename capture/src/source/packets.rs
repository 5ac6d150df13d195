//! Packets of network namespaces: one packet ring in each, all read by one thread.
//!
//! Nothing is done inside the container. The ring takes what every interface of the namespace sends and receives,
//! interfaces that appear later included; on a loopback interface each packet is seen once, as it arrives.

pub mod decode;
mod payload;
mod stamp;

use super::{Outbox, Report, Source, SourceError, Stop};
use crate::sys::packet_ring::{PacketRing, RingError, RingOptions};
use decode::Frames;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use stamp::{Stamps, read_anchor};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillframe_format::event::Loss;
use stillframe_format::{Body, BootTime, Draft, Stream};

const NAME: &str = "packets";
/// After this time the kernel hands over a block that is not full.
const RETIRE_MS: u32 = 20;
/// How long the thread sleeps at most; bounds how late a request to stop is seen.
const POLL_MS: u16 = 50;
/// How long after the stop the rings are still read: the blocks that were being filled have to be handed over.
const DRAIN: Duration = Duration::from_millis(60);
/// A batch goes out when it has so many packets, or so many bytes, or is so old.
const BATCH_EVENTS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;
const BATCH_AGE: Duration = Duration::from_millis(50);
/// How often the names of known interfaces are asked for again: an engine names `eth0` after it has moved it.
const NAMES_EVERY: Duration = Duration::from_millis(250);
/// How often the kernel's counters are read.
const COUNTERS_EVERY: Duration = Duration::from_secs(1);
/// The smallest ring that is tried when memory is short.
const RING_FLOOR: usize = 256 << 10;

/// What is to be captured, and how.
#[derive(Debug)]
pub struct PacketConfig {
    /// The namespaces, each once. May be empty when some are to be added later.
    pub namespaces: Vec<Namespace>,
    /// Bytes kept of a packet: 1 to 262,144.
    pub snaplen: u32,
    /// Keep nothing behind a packet's last header.
    pub headers_only: bool,
    /// Bytes of kernel memory for the ring of each namespace.
    pub ring_bytes: usize,
}

impl Default for PacketConfig {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            snaplen: 65_535,
            headers_only: false,
            ring_bytes: 16 << 20,
        }
    }
}

/// A network namespace to capture in.
#[derive(Debug)]
pub struct Namespace {
    /// Its inode number (`stat -L -c %i /proc/PID/ns/net`); 0 to take whatever `entry` leads to.
    pub inode: u64,
    /// The way to it.
    pub entry: NamespaceEntry,
    /// Who lives in it, for remarks: names of containers, or `host`.
    pub names: Vec<String>,
}

/// The way to a network namespace.
#[derive(Debug)]
pub enum NamespaceEntry {
    /// A process that lives in it.
    Pid(u32),
    /// An open descriptor of `/proc/PID/ns/net`, or of a file that it is mounted on.
    Fd(OwnedFd),
}

impl Namespace {
    /// Opens the namespace and compares it with the inode number that was expected.
    fn open(&self) -> Result<(OwnedFd, u64), SourceError> {
        let (fd, what) = match &self.entry {
            NamespaceEntry::Pid(pid) => {
                let path = format!("/proc/{pid}/ns/net");
                let file = File::open(&path).map_err(|error| SourceError {
                    missing: missing(&error, "CAP_SYS_PTRACE"),
                    ..SourceError::new(
                        NAME,
                        if error.kind() == std::io::ErrorKind::NotFound {
                            format!(
                                "{}: process {pid} has ended while the capture was being set up",
                                self.label(self.inode)
                            )
                        } else {
                            format!("cannot open {path}: {}", says(&error))
                        },
                    )
                })?;
                (OwnedFd::from(file), path)
            }
            NamespaceEntry::Fd(fd) => {
                let fd = fd.try_clone().map_err(|error| {
                    SourceError::new(NAME, format!("cannot keep the namespace open: {}", says(&error)))
                })?;
                (fd, format!("the descriptor of {}", self.label(self.inode)))
            }
        };
        let file = File::from(fd);
        let found = file
            .metadata()
            .map_err(|error| SourceError::new(NAME, format!("cannot look at {what}: {}", says(&error))))?
            .ino();
        if self.inode != 0 && found != self.inode {
            return Err(SourceError::new(
                NAME,
                format!(
                    "{what} is namespace {found}, not {}: the process is another one by now",
                    self.inode
                ),
            ));
        }
        Ok((file.into(), found))
    }

    fn label(&self, inode: u64) -> String {
        label(inode, &self.names)
    }
}

fn label(inode: u64, names: &[String]) -> String {
    if names.is_empty() {
        format!("netns {inode}")
    } else {
        format!("netns {inode} ({})", names.join(", "))
    }
}

/// The ring of a namespace and what is known of it.
#[derive(Debug)]
struct NetworkRing {
    inode: u64,
    names: Vec<String>,
    ring: PacketRing,
    /// Interfaces by number.
    interfaces: HashMap<i32, Arc<str>>,
    /// No packet before this was lost without having been reported.
    counted: BootTime,
    received: u64,
    dropped: u64,
    /// The ring is smaller than it was asked to be.
    shrunk: bool,
}

impl NetworkRing {
    fn open(namespace: &Namespace, snaplen: u32, ring_bytes: usize) -> Result<Self, SourceError> {
        let (fd, inode) = namespace.open()?;
        let mut options = RingOptions {
            snaplen,
            ring_bytes,
            retire_ms: RETIRE_MS,
        };
        let counted = read_anchor().map_or(BootTime(0), |anchor| anchor.boottime);
        let (ring, interfaces) = loop {
            match PacketRing::open(fd.as_fd(), &options) {
                Err(RingError::Map { .. }) if options.ring_bytes / 2 >= RING_FLOOR => options.ring_bytes /= 2,
                other => break other.map_err(|error| refused(&namespace.label(inode), &error))?,
            }
        };
        Ok(Self {
            inode,
            names: namespace.names.clone(),
            ring,
            interfaces: interfaces
                .into_iter()
                .map(|found| (found.index, Arc::from(found.name)))
                .collect(),
            counted,
            received: 0,
            dropped: 0,
            shrunk: options.ring_bytes < ring_bytes,
        })
    }

    fn label(&self) -> String {
        label(self.inode, &self.names)
    }

    /// Asks for the names again. What is gone keeps the name that it had.
    fn refresh_names(&mut self) {
        for (index, name) in &mut self.interfaces {
            if let Ok(now) = self.ring.interface_name(*index)
                && *now != **name
            {
                *name = Arc::from(now);
            }
        }
    }

    /// Reads the kernel's counters, and tells what was lost since they were read before.
    fn count(&mut self, now: BootTime) -> Option<Draft> {
        let statistics = self.ring.statistics().ok()?;
        let from = std::mem::replace(&mut self.counted, now);
        self.received += statistics.packets;
        self.dropped += statistics.drops;
        (statistics.drops > 0).then(|| loss("ring-full", statistics.drops, from, now, self.label()))
    }
}

fn loss(cause: &str, count: u64, from: BootTime, to: BootTime, scope: String) -> Draft {
    let loss = Loss {
        stream: Stream::Packet,
        cause: cause.to_owned(),
        count,
        from,
        to,
        scope,
    };
    Draft {
        time: to,
        cpu: 0,
        body: Body::Loss(loss),
    }
}

enum Command {
    Add(Box<NetworkRing>),
    Names(u64, Vec<String>),
    Remove(u64),
}

/// Adds and removes namespaces while the source runs. Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct PacketHandle {
    commands: Sender<Command>,
    /// Inode numbers of the namespaces that are captured in.
    open: Arc<Mutex<BTreeSet<u64>>>,
    snaplen: u32,
    ring_bytes: usize,
}

impl PacketHandle {
    /// Captures in one more namespace, from the return of this call on. Returns whether it is a new one; one that
    /// is captured in already only gets its `names` replaced.
    ///
    /// # Errors
    /// As [`PacketSource::open`]. What was captured in before goes on.
    pub fn add(&self, namespace: &Namespace) -> Result<bool, SourceError> {
        let ended = || SourceError::new(NAME, "cannot add a namespace: the source has ended");
        let (_, inode) = namespace.open()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&inode) {
            self.commands
                .send(Command::Names(inode, namespace.names.clone()))
                .map_err(|_| ended())?;
            return Ok(false);
        }
        let ring = NetworkRing::open(namespace, self.snaplen, self.ring_bytes)?;
        self.commands
            .send(Command::Add(Box::new(ring)))
            .map_err(|_| ended())?;
        open.insert(inode);
        Ok(true)
    }

    /// Reads what a namespace's ring still holds, then closes it. Until then the ring keeps its memory, and the
    /// namespace alive even when nobody lives in it any more.
    pub fn remove(&self, inode: u64) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&inode);
        // A source that has ended has closed its rings.
        let _ = self.commands.send(Command::Remove(inode));
    }
}

/// Packets of a set of network namespaces.
#[derive(Debug)]
pub struct PacketSource {
    rings: Vec<NetworkRing>,
    headers_only: bool,
    commands: Receiver<Command>,
    handle: PacketHandle,
    /// Namespaces that could not be captured in.
    failed: Vec<(String, String)>,
    opened: BootTime,
    report: Report,
    ring_bytes: u64,
}

impl PacketSource {
    /// Opens a ring in each namespace. Packets are taken from now on, and wait in the rings for
    /// [`run`](Source::run).
    ///
    /// A namespace that is gone, or another by now, is left out, and the bundle says so.
    ///
    /// # Errors
    /// A [`SourceError`] when a capability is missing (`CAP_NET_RAW`, and `CAP_SYS_ADMIN` to enter a namespace that
    /// is not the caller's, `CAP_SYS_PTRACE` to open another user's), or when no namespace of several could be
    /// captured in.
    pub fn open(config: PacketConfig) -> Result<Self, SourceError> {
        let snaplen = config.snaplen.clamp(1, 262_144);
        let (sender, commands) = channel();
        let opened = read_anchor()
            .ok_or_else(|| SourceError::new(NAME, "cannot read the clocks"))?
            .boottime;
        let mut source = Self {
            rings: Vec::new(),
            headers_only: config.headers_only,
            commands,
            handle: PacketHandle {
                commands: sender,
                open: Arc::default(),
                snaplen,
                ring_bytes: config.ring_bytes,
            },
            failed: Vec::new(),
            opened,
            report: Report::default(),
            ring_bytes: 0,
        };
        let mut first_error = None;
        for namespace in &config.namespaces {
            match NetworkRing::open(namespace, snaplen, config.ring_bytes) {
                Ok(ring) => source.insert(ring),
                Err(error) if !error.missing.is_empty() => return Err(error),
                Err(error) => {
                    source
                        .failed
                        .push((namespace.label(namespace.inode), error.message.clone()));
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if source.rings.is_empty() => Err(error),
            _ => Ok(source),
        }
    }

    /// Adds and removes namespaces while the source runs.
    #[must_use]
    pub fn handle(&self) -> PacketHandle {
        self.handle.clone()
    }

    fn insert(&mut self, ring: NetworkRing) {
        if ring.shrunk {
            let (label, bytes) = (ring.label(), ring.ring.bytes());
            self.report.notes.push(format!(
                "{label}: memory is short, the ring has only {bytes} bytes"
            ));
        }
        let mut open = self.handle.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(ring.inode);
        self.ring_bytes += u64::try_from(ring.ring.bytes()).unwrap_or(u64::MAX);
        drop(open);
        if self.rings.iter().all(|other| other.inode != ring.inode) {
            self.rings.push(ring);
        }
    }

    /// Does what the handle asked for.
    fn obey(&mut self, out: &mut Batch<'_>) -> Result<(), Ended> {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Add(ring) => self.insert(*ring),
                Command::Names(inode, names) => {
                    if let Some(ring) = self.rings.iter_mut().find(|ring| ring.inode == inode) {
                        ring.names = names;
                    }
                }
                Command::Remove(inode) => {
                    if let Some(at) = self.rings.iter().position(|ring| ring.inode == inode) {
                        let mut ring = self.rings.swap_remove(at);
                        // What is in the block that is being filled comes when the kernel hands it over.
                        std::thread::sleep(Duration::from_millis(u64::from(RETIRE_MS) * 2));
                        read_ring(&mut ring, out)?;
                        out.count(&mut ring)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sleeps until a ring has a block.
    fn wait(&self) -> Result<(), SourceError> {
        let mut fds: Vec<PollFd<'_>> = self
            .rings
            .iter()
            .map(|ring| PollFd::new(ring.ring.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::from(POLL_MS)) {
            Ok(_) | Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            Err(error) => {
                return Err(SourceError::new(
                    NAME,
                    format!("cannot wait for packets: {}", error.desc()),
                ));
            }
        }
        for (fd, ring) in fds.iter().zip(&self.rings) {
            if fd
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR))
            {
                // An interface went down (ENETDOWN): the others, and itself when it is up again, go on.
                let _ = ring.ring.take_error();
            }
        }
        Ok(())
    }

    fn pass(&mut self, out: &mut Batch<'_>) -> Result<(), Ended> {
        for ring in &mut self.rings {
            read_ring(ring, out)?;
        }
        Ok(())
    }

    fn capture(&mut self, out: &mut Batch<'_>, stop: &Stop) -> Result<(), Ended> {
        for (scope, message) in std::mem::take(&mut self.failed) {
            out.push(loss("unavailable", 0, self.opened, self.opened, scope), 0)?;
            self.report.notes.push(message);
        }
        let (mut named, mut counted) = (Instant::now(), Instant::now());
        let mut stopped: Option<Instant> = None;
        loop {
            self.obey(out)?;
            if stopped.is_none() && stop.is_set() {
                out.refresh();
                out.until = Some(out.stamps.now());
                stopped = Some(Instant::now());
            }
            self.wait()?;
            if named.elapsed() >= NAMES_EVERY {
                named = Instant::now();
                self.rings.iter_mut().for_each(NetworkRing::refresh_names);
            }
            self.pass(out)?;
            if counted.elapsed() >= COUNTERS_EVERY {
                counted = Instant::now();
                for ring in &mut self.rings {
                    out.count(ring)?;
                }
            }
            out.flush_old()?;
            if stopped.is_some_and(|at| at.elapsed() >= DRAIN) {
                break;
            }
        }
        self.pass(out)?;
        for ring in &mut self.rings {
            out.count(ring)?;
        }
        out.flush()
    }
}

impl Source for PacketSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let anchor = read_anchor().ok_or_else(|| SourceError::new(NAME, "cannot read the clocks"))?;
        let mut out = Batch {
            outbox,
            drafts: Vec::new(),
            bytes: 0,
            since: Instant::now(),
            stamps: Stamps::new(anchor),
            until: None,
            snaplen: usize::try_from(self.handle.snaplen).unwrap_or(usize::MAX),
            headers_only: self.headers_only,
            tally: Tally::default(),
        };
        match self.capture(&mut out, stop) {
            // Without a recorder there is nobody to miss what comes.
            Ok(()) | Err(Ended::Recorder) => {}
            Err(Ended::Failed(error)) => return Err(error),
        }
        let tally = out.tally;
        let mut report = std::mem::take(&mut self.report);
        report.events = tally.events;
        report.lost = tally.lost + tally.unreadable;
        if tally.unreadable > 0 {
            report.notes.push(format!(
                "{} packets were unreadable in their rings",
                tally.unreadable
            ));
        }
        report.counters.extend([
            ("ring_bytes".to_owned(), self.ring_bytes),
            ("kernel_packets".to_owned(), tally.received),
            ("after_stop".to_owned(), tally.after_stop),
        ]);
        Ok(report)
    }
}

/// Hands every block that the kernel has given over to the batch.
fn read_ring(ring: &mut NetworkRing, out: &mut Batch<'_>) -> Result<(), Ended> {
    // One round at most, so that a flooded ring doesn't keep the others waiting.
    let most = ring.ring.bytes() / (128 << 10);
    for _ in 0..most {
        if !out.take_block(ring)? {
            break;
        }
    }
    Ok(())
}

/// Why capturing ended early.
enum Ended {
    Recorder,
    Failed(SourceError),
}

impl From<SourceError> for Ended {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    events: u64,
    lost: u64,
    received: u64,
    unreadable: u64,
    after_stop: u64,
}

/// Events on their way to the recorder.
struct Batch<'a> {
    outbox: &'a Outbox,
    drafts: Vec<Draft>,
    bytes: usize,
    since: Instant,
    stamps: Stamps,
    /// Packets stamped later than this are left out.
    until: Option<BootTime>,
    snaplen: usize,
    headers_only: bool,
    tally: Tally,
}

impl Batch<'_> {
    fn refresh(&mut self) {
        if let Some(anchor) = read_anchor() {
            self.stamps.update(anchor);
        }
    }

    /// Takes the packets of the next block. `false` when there is none.
    fn take_block(&mut self, ring: &mut NetworkRing) -> Result<bool, Ended> {
        let Some(block) = ring.ring.next_block() else {
            return Ok(false);
        };
        // After the block was handed over, so that all of its packets are older than the anchor.
        if let Some(anchor) = read_anchor() {
            self.stamps.update(anchor);
        }
        let mut frames = Frames::new(block.bytes());
        loop {
            let left = frames.left();
            let Some(frame) = frames.next() else {
                return Ok(true);
            };
            let Ok(frame) = frame else {
                self.tally.unreadable += u64::from(left);
                let (now, scope) = (self.stamps.now(), label(ring.inode, &ring.names));
                self.push(loss("unreadable", u64::from(left), ring.counted, now, scope), 0)?;
                return Ok(true);
            };
            let time = self.stamps.boottime(frame.realtime);
            if self.until.is_some_and(|until| time > until) {
                self.tally.after_stop += 1;
                continue;
            }
            // An interface that is gone before anybody asked for its name is `ifindex:7`, which can't be one
            // (dev_valid_name refuses the colon).
            let name = ring.interfaces.entry(frame.interface).or_insert_with(|| {
                let name = block.interface_name(frame.interface);
                Arc::from(name.unwrap_or_else(|_| format!("ifindex:{}", frame.interface)))
            });
            let mut packet = frame.packet(ring.inode, Arc::clone(name), self.snaplen);
            if self.headers_only {
                payload::cut(&mut packet);
            }
            let bytes = packet.data.len();
            self.push(
                Draft {
                    time,
                    cpu: 0,
                    body: Body::Packet(packet),
                },
                bytes,
            )?;
        }
    }

    fn count(&mut self, ring: &mut NetworkRing) -> Result<(), Ended> {
        self.refresh();
        let before = (ring.received, ring.dropped);
        let draft = ring.count(self.stamps.now());
        self.tally.received += ring.received - before.0;
        self.tally.lost += ring.dropped - before.1;
        draft.map_or(Ok(()), |draft| self.push(draft, 0))
    }

    fn push(&mut self, draft: Draft, bytes: usize) -> Result<(), Ended> {
        if self.drafts.is_empty() {
            self.since = Instant::now();
            self.drafts.reserve(64);
        }
        if matches!(draft.body, Body::Packet(_)) {
            self.tally.events += 1;
        }
        self.drafts.push(draft);
        self.bytes += bytes;
        if self.drafts.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES {
            return self.flush();
        }
        Ok(())
    }

    fn flush_old(&mut self) -> Result<(), Ended> {
        if self.since.elapsed() >= BATCH_AGE {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.bytes = 0;
        self.outbox
            .events(std::mem::take(&mut self.drafts))
            .map_err(|_| Ended::Recorder)
    }
}

fn refused(scope: &str, error: &RingError) -> SourceError {
    let missing = match error {
        RingError::Namespace(cause) => missing(cause, "CAP_SYS_ADMIN"),
        RingError::Socket(cause) => missing(cause, "CAP_NET_RAW"),
        RingError::Setting { .. } | RingError::Map { .. } => Vec::new(),
    };
    let cure = match (error, missing.first()) {
        (_, Some(capability)) => format!(" (run as root or add {capability})"),
        (RingError::Map { .. }, None) => " (give the rings less memory)".to_owned(),
        _ => String::new(),
    };
    SourceError {
        missing,
        ..SourceError::new(NAME, format!("{scope}: {error}{cure}"))
    }
}

fn missing(error: &io::Error, capability: &str) -> Vec<String> {
    if error.kind() == io::ErrorKind::PermissionDenied {
        vec![capability.to_owned()]
    } else {
        Vec::new()
    }
}

/// The cause in lower case, without Rust's `(os error 13)`.
fn says(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}
