//! System calls and process changes without BPF: a tracer as strace is one (ptrace(2)), which writes the same records as
//! the BPF programs do, for the same decoder.
//!
//! It needs no capability for what capture starts itself, and works on kernels and hosts that refuse BPF. The price is
//! paid by what is traced: every call stops its thread twice, and one thread here serves all of them. Why it is built as
//! it is, and what it costs, is in docs/decisions/0007-ptrace.md.

mod book;
mod copy;
mod memory;
mod moment;
mod record;
mod ring;
mod signal;
mod tracees;
mod tracer;

pub(crate) use tracees::yama;

use super::decode::{Decoded, Decoder};
use super::{BATCH_AGE, BATCH_BYTES, BATCH_ROWS, COUNTERS, IO_URING_NOTE, PAUSE, SOURCE, send};
use crate::command::TracedEnd;
use crate::snaplen::DataLimits;
use crate::source::tracing::boottime;
use crate::source::{Outbox, RecorderGone, Report, Source, SourceError, Stop};
use crate::target::{Target, TargetKind};
use book::Book;
use ring::{Lost, Ring};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stillframe_format::event::{Loss, OpenCall};
use stillframe_format::header::NotCaptured;
use stillframe_format::{Body, BootTime, Draft, Stream};
use tracer::{Request, Shared, Tracer};

/// What everybody is told who has calls recorded this way.
pub(crate) const SLOW_NOTE: &str = "traced with ptrace: each call stops the program twice; expect a program that does nothing but calls to run 20 to 100 \
     times slower";
/// What a reader should know of what was recorded this way.
const LIMITS_NOTE: &str = "by ptrace the CPU of a call is not known (it stands as 0), the time of a call includes that of its stops, and \
     set-user-ID programs run without their owner's rights where capture lacks CAP_SYS_PTRACE";
/// What the BPF programs record and a tracer never sees.
const UNSEEN: [(&str, &str); 2] = [
    (
        "signals that are sent",
        "shows a signal when it is delivered; one that is ignored while it waits, and SIGKILL, it does not show",
    ),
    (
        "OOM kills",
        "does not tell a victim of the OOM killer from any other that SIGKILL ends",
    ),
];
/// How long the tracer may take to seize a target.
const SEIZING: Duration = Duration::from_secs(10);
/// How long a list of open calls may take: whoever asks writes the bundle.
const LISTING: Duration = Duration::from_millis(500);

/// What to trace.
#[derive(Clone, Debug)]
pub struct PtraceConfig {
    /// Whose calls. More can be added while it runs: [`PtraceSource::tracees`].
    pub targets: Vec<Target>,
    /// How much is kept of what is read, written, sent or received.
    pub data: DataLimits,
    /// Memory for records that wait to be decoded, in bytes.
    pub ring_bytes: u64,
}

/// The source of [`Stream::Syscall`] and [`Stream::Process`] where BPF is not to be had.
pub struct PtraceSource {
    shared: Arc<Shared>,
    tracer: Option<JoinHandle<Result<(), SourceError>>>,
    requests: Sender<Request>,
    command: Option<TracedEnd>,
    started: BootTime,
    notes: Vec<String>,
}

impl PtraceSource {
    /// Seizes the targets. Calls are recorded from here on.
    ///
    /// # Errors
    /// When the kernel does not let a target be traced (then `missing` names the capability).
    pub fn new(config: &PtraceConfig) -> Result<Self, SourceError> {
        let shared = Arc::new(Shared {
            book: Mutex::new(Book::new(&config.data)),
            ring: Ring::new(usize::try_from(config.ring_bytes).unwrap_or(usize::MAX)),
            stop: Stop::default(),
            signals: AtomicU64::new(0),
            stops: AtomicU64::new(0),
        });
        let (requests, asked) = channel();
        let (ready, seized) = sync_channel(1);
        let command = config
            .targets
            .iter()
            .find(|target| target.kind == TargetKind::Command)
            .map(|target| (target.pid, TracedEnd::default()));
        let end = command.clone().map(|(_, end)| end);
        let (targets, of_tracer) = (config.targets.clone(), Arc::clone(&shared));
        let tracer = std::thread::Builder::new()
            .name("tracer".to_owned())
            .spawn(move || {
                let (tracer, notes) = match Tracer::new(of_tracer, asked, &targets, command) {
                    Ok(made) => made,
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return Ok(());
                    }
                };
                let _ = ready.send(Ok(notes));
                tracer.run()
            })
            .map_err(|error| SourceError::new(SOURCE, format!("cannot start a thread: {error}")))?;
        let notes = seized
            .recv()
            .map_err(|_| SourceError::new(SOURCE, "the tracing thread has ended"))??;
        Ok(Self {
            shared,
            tracer: Some(tracer),
            requests,
            command: end,
            started: BootTime(boottime()),
            notes,
        })
    }

    /// The handle to ask about what is traced, and to add to it, while the source runs.
    #[must_use]
    pub fn tracees(&self) -> Tracees {
        Tracees {
            shared: Arc::clone(&self.shared),
            requests: self.requests.clone(),
        }
    }

    /// How the command of capture's own ends: only the tracer can wait for it.
    #[must_use]
    pub fn command_end(&self) -> Option<TracedEnd> {
        self.command.clone()
    }

    /// Adds to what a reader is told of this source.
    pub fn remark(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Has the tracer end, and with it all tracing.
    fn end(&mut self) -> Result<(), SourceError> {
        self.shared.stop.set();
        match self.tracer.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(SourceError::new(SOURCE, "the tracing thread panicked")),
            None => Ok(()),
        }
    }

    fn losses(&self, run: &mut Run, now: u64) -> Vec<Draft> {
        let lost = self.shared.ring.lost();
        let mut drafts = Vec::new();
        for (stream, count) in [
            (Stream::Syscall, lost.calls - run.lost.calls),
            (Stream::Process, lost.changes - run.lost.changes),
        ] {
            if count > 0 {
                drafts.push(Draft {
                    time: BootTime(now),
                    cpu: 0,
                    body: Body::Loss(Loss {
                        stream,
                        cause: "ring-full".to_owned(),
                        count,
                        from: run.counted,
                        to: BootTime(now),
                        scope: String::new(),
                    }),
                });
            }
        }
        run.lost = lost;
        run.counted = BootTime(now);
        drafts
    }

    fn read(&self, patience: Duration, decoder: &mut Decoder, run: &mut Run) -> bool {
        let Some(chunk) = self.shared.ring.take(patience) else {
            return false;
        };
        for record in record::records(&chunk) {
            match decoder.push(record) {
                Ok(Decoded::Call) => run.calls += 1,
                Ok(Decoded::Event) => run.events += 1,
                Ok(Decoded::Request | Decoded::Rescan | Decoded::TooLate) => {}
                Err(error) => {
                    run.malformed += 1;
                    run.complaint.get_or_insert_with(|| error.to_string());
                }
            }
        }
        true
    }

    fn work(
        &mut self,
        outbox: &Outbox,
        stop: &Stop,
        run: &mut Run,
    ) -> Result<Result<(), SourceError>, RecorderGone> {
        let mut decoder = Decoder::default();
        decoder.set_targets(self.shared.book().ids());
        let mut sent = Instant::now();
        let mut counted = Instant::now();
        let mut ended = None;
        loop {
            let is_over = stop.is_set() || self.tracer.as_ref().is_none_or(JoinHandle::is_finished);
            if ended.is_none() && is_over {
                decoder.until = Some(boottime());
                ended = Some(self.end());
            }
            let patience = if ended.is_some() { Duration::ZERO } else { PAUSE };
            let is_last = !self.read(patience, &mut decoder, run) && ended.is_some();
            let is_full = decoder.rows() >= BATCH_ROWS || decoder.weight() >= BATCH_BYTES;
            if is_full || is_last || sent.elapsed() >= BATCH_AGE {
                // Those that were named before keep their numbers, should the tracer hang.
                if let Some(book) = self.shared.book_within(PAUSE) {
                    decoder.set_targets(book.ids());
                }
                send(&mut decoder, outbox)?;
                sent = Instant::now();
            }
            if is_last || counted.elapsed() >= COUNTERS {
                counted = Instant::now();
                outbox.events(self.losses(run, decoder.until.unwrap_or_else(boottime)))?;
            }
            if is_last && let Some(ended) = ended {
                if decoder.io_uring {
                    self.notes.push(IO_URING_NOTE.to_owned());
                }
                return Ok(ended);
            }
        }
    }
}

impl Drop for PtraceSource {
    fn drop(&mut self) {
        // Whoever drops it without running it wants nothing of what it saw.
        let _ = self.end();
    }
}

/// What a run has counted.
#[derive(Default)]
struct Run {
    calls: u64,
    events: u64,
    malformed: u64,
    complaint: Option<String>,
    lost: Lost,
    counted: BootTime,
}

impl Source for PtraceSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut run = Run {
            counted: self.started,
            ..Run::default()
        };
        let ended = self.work(outbox, stop, &mut run);
        let mut notes = vec![SLOW_NOTE.to_owned(), LIMITS_NOTE.to_owned()];
        notes.append(&mut self.notes);
        notes.extend(run.complaint);
        match ended {
            Ok(ended) => ended?,
            Err(RecorderGone) => {
                let _ = self.end();
                notes.push("the recorder ended before everything was handed over".to_owned());
            }
        }
        Ok(Report {
            events: run.calls + run.events,
            lost: run.lost.calls + run.lost.changes,
            notes,
            missed: UNSEEN
                .map(|(what, reason)| NotCaptured {
                    what: what.to_owned(),
                    reason: format!("ptrace {reason}"),
                })
                .to_vec(),
            counters: vec![
                ("calls".to_owned(), run.calls),
                ("process_events".to_owned(), run.events),
                ("malformed_records".to_owned(), run.malformed),
                (
                    "ptrace_stops".to_owned(),
                    self.shared.stops.load(Ordering::Relaxed),
                ),
                (
                    "signals_delivered".to_owned(),
                    self.shared.signals.load(Ordering::Relaxed),
                ),
            ],
        })
    }
}

/// What is traced by a running [`PtraceSource`], or was to its end.
#[derive(Clone)]
pub struct Tracees {
    shared: Arc<Shared>,
    requests: Sender<Request>,
}

impl Tracees {
    /// The calls that threads of the targets have entered and not returned from. Empty when the tracer hangs.
    #[must_use]
    pub fn open_calls(&self) -> Vec<OpenCall> {
        self.shared
            .book_within(LISTING)
            .map(|book| book.open_calls())
            .unwrap_or_default()
    }

    /// Traces `target` too, from now on, its running processes included. Returns how many of its threads ran already.
    ///
    /// # Errors
    /// When the kernel does not let it be traced, or the tracer has ended.
    pub fn add(&self, target: &Target) -> Result<u64, SourceError> {
        let gone = || SourceError::new(SOURCE, format!("{}: nothing is traced any more", target.name));
        let (answer, answered) = sync_channel(1);
        let target = target.clone();
        self.requests
            .send(Request {
                target: target.clone(),
                answer,
            })
            .map_err(|_| gone())?;
        answered.recv_timeout(SEIZING).map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Message;
    use crate::target::resolve;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::sync_channel;

    /// What a source with a queue of that size tells of a small program: calls, losses of calls and of changes, report.
    fn recorded(ring_bytes: u64) -> (u64, [u64; 2], Report) {
        let mut child = Command::new("sh")
            .args(["-c", "kill -STOP $$; exec cat /proc/version"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let is_stopped =
            || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "));
        while !is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut source = PtraceSource::new(&PtraceConfig {
            targets: vec![resolve::command("sh", pid).unwrap()],
            data: DataLimits::all(64),
            ring_bytes,
        })
        .unwrap();
        let (sender, messages) = sync_channel(64);
        let stop = Stop::default();
        let (outbox, stopped) = (Outbox::new(sender), stop.clone());
        let run = std::thread::spawn(move || source.run(&outbox, &stopped).unwrap());
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT).unwrap();
        while std::fs::exists(format!("/proc/{pid}")).unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.set();
        let report = run.join().unwrap();
        // The tracer has reaped it.
        child.wait().unwrap_err();
        let mut calls = 0;
        let mut lost = [0; 2];
        for message in messages {
            match message {
                Message::Syscalls(batch) => calls += batch.rows.len() as u64,
                Message::Events(drafts) => {
                    for draft in drafts {
                        if let Body::Loss(loss) = draft.body {
                            assert!(loss.from < loss.to && loss.cause == "ring-full");
                            lost[usize::from(loss.stream == Stream::Process)] += loss.count;
                        }
                    }
                }
            }
        }
        (calls, lost, report)
    }

    #[test]
    fn what_finds_no_room_is_told_as_lost() {
        let (calls, lost, report) = recorded(1 << 20);
        assert_eq!((lost, report.lost), ([0, 0], 0));
        assert_eq!(report.events, calls + 3, "a signal, a program and an end");
        assert!(report.notes.iter().any(|note| note == SLOW_NOTE));
        let (kept, lost, report) = recorded(0);
        assert_eq!((kept, lost), (0, [calls, 3]));
        assert_eq!((report.events, report.lost), (0, calls + 3));
    }
}
