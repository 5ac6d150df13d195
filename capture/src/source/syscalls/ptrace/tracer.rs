//! The thread that traces. ptrace(2) belongs to a thread: whoever seizes a thread is the only one who may wait for it,
//! look into it and let it go on. So one thread does all of it, and ends only when the recording does. Its end is what
//! lets everybody go: the kernel detaches what a dead tracer traced, wherever it stands, without disturbing what runs
//! (`exit_ptrace`, kernel/ptrace.c). A killed capture has the same effect.

use super::book::{Book, Identity};
use super::memory::Memory;
use super::moment::{self, Moment, Registers};
use super::record::Fate;
use super::ring::Ring;
use super::signal;
use super::tracees::{self, Seizing};
use crate::command::TracedEnd;
use crate::source::syscalls::wire;
use crate::source::tracing::boottime;
use crate::source::{SourceError, Stop};
use crate::sys::trace::{self, Tick, Waited};
use crate::target::{Target, resolve};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Bytes of records after which they are handed over, whatever the time.
const CHUNK: usize = 64 << 10;
/// How often the tracer looks up from its work.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// How often containers are looked through for processes that were not born in them (`docker exec`).
const RESCAN: Duration = Duration::from_millis(100);
/// How long a newborn waits for its parent to tell of it. A parent that was killed never does.
const ORPHAN: Duration = Duration::from_millis(60);
/// Stops that are collected before they are handled, so that no thread waits behind busier ones.
const COLLECT: usize = 64;

/// `PTRACE_EVENT_…` (include/uapi/linux/ptrace.h).
const EVENT_FORK: i32 = 1;
const EVENT_VFORK: i32 = 2;
const EVENT_CLONE: i32 = 3;
const EVENT_EXEC: i32 = 4;
const EVENT_EXIT: i32 = 6;
const EVENT_STOP: i32 = 128;
/// `PTRACE_O_TRACESYSGOOD` sets this bit at system calls.
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// Asks the tracer to trace a target too.
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) answer: SyncSender<Result<u64, SourceError>>,
}

/// What the threads of the source share.
pub(super) struct Shared {
    pub(super) book: Mutex<Book>,
    pub(super) ring: Ring,
    pub(super) stop: Stop,
    /// Signals delivered to what is traced.
    pub(super) signals: AtomicU64,
    /// The targets were stopped so often.
    pub(super) stops: AtomicU64,
}

impl Shared {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for whoever must not wait for ever: the tracer may hang in a page of its tracee that a dead file server or
    /// a `userfaultfd` does not deliver.
    pub(super) fn book_within(&self, patience: Duration) -> Option<MutexGuard<'_, Book>> {
        let since = Instant::now();
        loop {
            match self.book.try_lock() {
                Ok(book) => return Some(book),
                Err(TryLockError::Poisoned(book)) => return Some(book.into_inner()),
                Err(TryLockError::WouldBlock) if since.elapsed() >= patience => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Memory of a process, which stands still.
pub(super) struct Tracee(pub(super) u32);

impl Memory for Tracee {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        if into.is_empty() {
            return 0;
        }
        trace::read_memory(self.0, address, into).unwrap_or(0)
    }
}

/// A thread that stands still.
#[derive(Clone, Copy, Debug)]
struct Halt {
    tid: u32,
    signal: i32,
    event: i32,
}

/// The state of the tracing thread.
pub(super) struct Tracer {
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    /// Containers, which processes join without being born there.
    containers: Vec<Target>,
    /// The command of capture's own.
    command: Option<(u32, TracedEnd)>,
    /// Newborns whose parents have not told of them.
    early: HashMap<u32, (Instant, Halt)>,
    /// The kernel has `PTRACE_GET_SYSCALL_INFO` (5.3).
    has_info: bool,
    _tick: Tick,
}

impl Tracer {
    /// Seizes the targets. To be called on the thread that will [`Tracer::run`].
    pub(super) fn new(
        shared: Arc<Shared>,
        requests: Receiver<Request>,
        targets: &[Target],
        command: Option<(u32, TracedEnd)>,
    ) -> Result<(Self, Vec<String>), SourceError> {
        let tick = Tick::every(TICK)
            .map_err(|errno| SourceError::new("syscalls", format!("cannot have a timer: {errno}")))?;
        let mut tracer = Self {
            shared,
            requests,
            containers: Vec::new(),
            command,
            early: HashMap::new(),
            has_info: true,
            _tick: tick,
        };
        let mut notes = Vec::new();
        for target in targets {
            notes.extend(tracer.add(target)?.notes);
            if resolve::has_cgroup(target) {
                notes.push(format!(
                    "{}: processes that were not born in it (docker exec) are found {} ms later at most",
                    target.name,
                    RESCAN.as_millis()
                ));
            }
        }
        Ok((tracer, notes))
    }

    fn add(&mut self, target: &Target) -> Result<Seizing, SourceError> {
        let seizing = tracees::seize(target, &mut self.shared.book())?;
        if resolve::has_cgroup(target) {
            self.containers.retain(|known| known.id != target.id);
            self.containers.push(target.clone());
        }
        Ok(seizing)
    }

    /// Traces until it is told to stop.
    pub(super) fn run(mut self) -> Result<(), SourceError> {
        let ended = self.work();
        self.shared.ring.put(&mut self.shared.book().chunk);
        if let Some((_, end)) = &self.command {
            end.release();
        }
        ended.map_err(|errno| {
            SourceError::new("syscalls", format!("waiting for traced threads failed: {errno}"))
        })
    }

    fn work(&mut self) -> Result<(), Errno> {
        let mut ticked = Instant::now();
        let mut scanned = Instant::now();
        let mut halts = Vec::new();
        loop {
            match self.wait(true, &mut halts)? {
                Waited::Nobody => {
                    if let Some((_, end)) = &self.command {
                        end.release();
                    }
                    // A container may get processes again.
                    std::thread::sleep(TICK);
                }
                Waited::Nothing => {}
                // One alone stands still: there is nothing to collect.
                Waited::Stopped { .. } if self.shared.book().is_lonely() => {}
                _ => {
                    while halts.len() < COLLECT
                        && !matches!(self.wait(false, &mut halts)?, Waited::Nothing | Waited::Nobody)
                    {
                    }
                }
            }
            for halt in halts.drain(..) {
                self.handle(halt);
            }
            if self.shared.book().chunk.bytes.len() >= CHUNK || ticked.elapsed() >= TICK {
                self.shared.ring.put(&mut self.shared.book().chunk);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                if self.shared.stop.is_set() {
                    return Ok(());
                }
                self.adopt();
                while let Ok(Request { target, answer }) = self.requests.try_recv() {
                    let found = self.add(&target).map(|seizing| seizing.threads);
                    // Whoever asked may have given up.
                    let _ = answer.send(found);
                }
                if scanned.elapsed() >= RESCAN {
                    scanned = Instant::now();
                    for target in &self.containers {
                        // One that was denied at the start is denied again.
                        let _ = tracees::join(target, &mut self.shared.book());
                    }
                }
            }
        }
    }

    fn wait(&mut self, block: bool, halts: &mut Vec<Halt>) -> Result<Waited, Errno> {
        let waited = trace::wait(block)?;
        match waited {
            Waited::Stopped { tid, signal, event } => halts.push(Halt { tid, signal, event }),
            Waited::Ended { tid, code } => {
                // What was collected of it came before.
                for halt in std::mem::take(halts) {
                    self.handle(halt);
                }
                self.early.remove(&tid);
                self.shared.book().gone(tid, code, boottime());
                if let Some((pid, end)) = &self.command
                    && *pid == tid
                {
                    end.ended(code);
                }
            }
            Waited::Nothing | Waited::Nobody => {}
        }
        Ok(waited)
    }

    fn handle(&mut self, halt: Halt) {
        let Halt { tid, event, .. } = halt;
        self.shared.stops.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let mut book = shared.book();
        let book = &mut *book;
        // The leader's number is the calling thread's now; the leader may be gone.
        if !book.knows(tid) && event != EVENT_EXEC {
            self.early.insert(tid, (Instant::now(), halt));
            return;
        }
        let time = boottime();
        let is_birth = matches!(event, EVENT_FORK | EVENT_VFORK | EVENT_CLONE);
        let child = is_birth.then(|| message(tid)).flatten();
        if let Some(child) = child.filter(|child| !book.knows(*child)) {
            let tgid = if event == EVENT_FORK {
                child
            } else {
                tracees::tgid(child).unwrap_or(child)
            };
            book.forked(tid, child, tgid, time);
        }
        self.proceed(book, halt, time);
        if let Some((_, early)) = child.and_then(|child| self.early.remove(&child)) {
            self.proceed(book, early, boottime());
        }
    }

    /// Handles a stop of a thread that is known, and lets it go on.
    fn proceed(&mut self, book: &mut Book, halt: Halt, time: u64) {
        let Halt { tid, signal, event } = halt;
        let memory = Tracee(tid);
        let resumed = match (event, signal) {
            (EVENT_EXEC, _) => {
                let former = message(tid).unwrap_or(tid);
                let (argv, fate) = arguments(tid);
                let comm = tracees::comm(tid).unwrap_or_default();
                book.executed(tid, former, time, comm, (&argv, fate));
                trace::resume(tid, 0)
            }
            (EVENT_EXIT, _) => {
                let code = message(tid).map_or(0, u32::cast_signed);
                let ret = book
                    .in_call(tid)
                    .and_then(|_| registers(tid))
                    .and_then(|found| found.returned());
                book.ended(tid, code, ret, time, &memory);
                trace::resume(tid, 0)
            }
            (EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                if book.is_newborn(tid) {
                    book.begins(tid, time, &memory);
                }
                book.no_longer_fresh(tid);
                trace::listen(tid)
            }
            (EVENT_STOP, _) => {
                if book.is_newborn(tid) {
                    book.begins(tid, time, &memory);
                }
                // The stop has ended the call that it was in, as any signal does; the kernel makes most of them again.
                if book.no_longer_fresh(tid)
                    && let Some(found) = registers(tid)
                    && let Some(call) = found.call()
                    && let Some(ret) = found.returned()
                {
                    book.returned(tid, time, ret, Some(call), &memory);
                }
                trace::resume(tid, 0)
            }
            (0, SYSCALL_STOP) => {
                match self.moment(book, tid) {
                    Some(Moment::Entry(entered)) => {
                        book.entry(tid, time, entered, &memory);
                    }
                    Some(Moment::Return(ret)) => {
                        for other in book.renamed(tid, ret) {
                            if let Some(comm) = tracees::comm(other) {
                                book.rename(other, comm);
                            }
                        }
                        let unseen = match book.in_call(tid) {
                            Some(_) => None,
                            None => registers(tid).and_then(|found| found.call()),
                        };
                        book.returned(tid, time, ret, unseen, &memory);
                    }
                    None => {}
                }
                trace::resume(tid, 0)
            }
            (0, signal) => {
                self.shared.signals.fetch_add(1, Ordering::Relaxed);
                if let Some(delivery) = signal::delivery(tid, signal) {
                    book.signalled(tid, &delivery, time);
                }
                trace::resume(tid, signal)
            }
            _ => trace::resume(tid, 0),
        };
        // Of a thread that was killed meanwhile every request fails; its end will be told.
        let _ = resumed;
    }

    fn moment(&mut self, book: &Book, tid: u32) -> Option<Moment> {
        if self.has_info {
            match trace::syscall_info(tid) {
                Ok(info) => return moment::of_info(&info),
                Err(Errno::EIO) => self.has_info = false,
                Err(_) => return None,
            }
        }
        let found = registers(tid)?;
        Some(match book.in_call(tid) {
            Some(_) => Moment::Return(found.ret),
            None => Moment::Entry(found.call()?),
        })
    }

    /// Newborns whose parents were killed before they could tell of them.
    fn adopt(&mut self) {
        let late: Vec<u32> = self
            .early
            .iter()
            .filter(|(_, (since, _))| since.elapsed() >= ORPHAN)
            .map(|(tid, _)| *tid)
            .collect();
        for tid in late {
            let Some((_, halt)) = self.early.remove(&tid) else {
                continue;
            };
            let shared = Arc::clone(&self.shared);
            let mut book = shared.book();
            let tgid = tracees::tgid(tid).unwrap_or(tid);
            // A thread's siblings are known, or a process's parent was.
            let of = if tgid == tid {
                tracees::parent(tid)
            } else {
                Some(tgid)
            };
            let known = of.and_then(|of| book.identity(of));
            let identity = Identity {
                tgid,
                target: known.map_or(1, |known| known.target),
                comm: tracees::comm(tid).unwrap_or_default(),
            };
            book.seized(tid, identity);
            self.proceed(&mut book, halt, boottime());
        }
    }
}

/// What goes with an event: a thread's number, or an exit code.
fn message(tid: u32) -> Option<u32> {
    let message = nix::sys::ptrace::getevent(pid(tid)?).ok()?;
    u32::try_from(message & 0xffff_ffff).ok()
}

fn pid(tid: u32) -> Option<Pid> {
    i32::try_from(tid).ok().map(Pid::from_raw)
}

#[cfg(target_arch = "x86_64")]
fn registers(tid: u32) -> Option<Registers> {
    let found = nix::sys::ptrace::getregs(pid(tid)?).ok()?;
    Some(Registers {
        number: found.orig_rax.cast_signed(),
        ret: found.rax.cast_signed(),
        wide: [found.rdi, found.rsi, found.rdx, found.r10, found.r8, found.r9],
        narrow: [found.rbx, found.rcx, found.rdx, found.rsi, found.rdi, found.rbp],
        segment: found.cs,
    })
}

/// Elsewhere what they would tell is left out.
#[cfg(not(target_arch = "x86_64"))]
fn registers(_: u32) -> Option<Registers> {
    None
}

/// The arguments of the program that has just begun, as far as they are kept.
fn arguments(tid: u32) -> (Vec<u8>, Fate) {
    let failed = |error: std::io::Error| {
        (
            Vec::new(),
            Fate::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        )
    };
    let mut file = match fs::File::open(format!("/proc/{tid}/cmdline")) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    let mut found = Vec::new();
    if let Err(error) = (&mut file)
        .take(u64::from(wire::DATA_MAX))
        .read_to_end(&mut found)
    {
        return failed(error);
    }
    let rest = std::io::copy(&mut file, &mut std::io::sink()).unwrap_or(0);
    if rest == 0 {
        (found, Fate::Whole)
    } else {
        let length = found.len() as u64 + rest;
        (found, Fate::Truncated(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snaplen::DataLimits;
    use crate::source::syscalls::decode::Decoder;
    use crate::source::syscalls::ptrace::record::records;
    use std::process::Command;
    use std::sync::mpsc::channel;
    use stillframe_format::Body;
    use stillframe_format::abi;

    fn state(pid: u32) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Traces a small program to its end: names and results of its calls, and how many events of its process.
    fn traced(has_info: bool) -> (Vec<(&'static str, i64, u8)>, usize) {
        let mut child = Command::new("sh")
            .args(["-c", "kill -STOP $$; exec cat /proc/version /nonexistent"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        while state(pid) != Some('T') {
            std::thread::sleep(Duration::from_millis(1));
        }
        let shared = Arc::new(Shared {
            book: Mutex::new(Book::new(&DataLimits::all(64))),
            ring: Ring::new(1 << 20),
            stop: Stop::default(),
            signals: AtomicU64::new(0),
            stops: AtomicU64::new(0),
        });
        let end = TracedEnd::default();
        let target = resolve::command("sh", pid).unwrap();
        let of_tracer = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let (_requests, asked) = channel();
            let (mut tracer, notes) =
                Tracer::new(of_tracer, asked, &[target], Some((pid, end.clone()))).unwrap();
            assert_eq!(notes, [""; 0]);
            tracer.has_info = has_info;
            nix::sys::signal::kill(super::pid(pid).unwrap(), nix::sys::signal::Signal::SIGCONT).unwrap();
            tracer.run().unwrap();
        });
        while fs::exists(format!("/proc/{pid}")).unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        shared.stop.set();
        thread.join().unwrap();
        // The tracer has reaped it.
        child.wait().unwrap_err();
        let mut decoder = Decoder::default();
        decoder.set_targets(shared.book().ids());
        while let Some(chunk) = shared.ring.take(Duration::ZERO) {
            for record in records(&chunk) {
                decoder.push(record).unwrap();
            }
        }
        let (batch, events) = decoder.take();
        let calls = batch
            .rows
            .iter()
            .map(|row| (abi::lookup(row.abi, row.number).unwrap().name, row.ret, row.flags))
            // It returns the process's number.
            .filter(|(name, ..)| *name != "set_tid_address")
            // Addresses are others each time.
            .map(|(name, ret, flags)| (name, if ret > 1 << 20 { 1 } else { ret }, flags))
            .collect();
        assert!(events.iter().all(|event| matches!(event.body, Body::Process(_))));
        (calls, events.len())
    }

    #[test]
    fn a_program_is_traced_to_its_end_with_and_without_the_kernels_help() {
        let (calls, events) = traced(true);
        assert_eq!(events, 3, "the signal that lets it go on, a program and an exit");
        let has = |name, ret, flags| calls.contains(&(name, ret, flags));
        assert!(has("execve", 0, 0) && has("openat", -2, 0), "{calls:?}");
        assert_eq!(
            calls.last(),
            Some(&("exit_group", 0, stillframe_format::batch::ROW_NEVER_RETURNED))
        );
        assert_eq!(traced(false), (calls, events), "by registers");
    }
}
