//! System calls, process changes and requests of io_uring, from BPF programs on the scheduler's, the system calls' and
//! io_uring's tracepoints, or, where those are not to be had, without the requests, from `ptrace`.

pub(crate) mod decode;
mod filter;
mod open_calls;
mod ptrace;
mod rules;
mod wire;

pub use filter::TargetSet;
pub use open_calls::OpenCalls;
pub use ptrace::{PtraceConfig, PtraceSource, Tracees};
pub(crate) use ptrace::{SLOW_NOTE, yama};

use crate::snaplen::DataLimits;
use crate::source::tracing::drops::Drops;
use crate::source::tracing::{Programs, boottime, kernel_btf, refused, ring_size};
use crate::source::{Message, Outbox, RecorderGone, Report, Source, SourceError, Stop};
use crate::target::Target;
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::{Btf, EbpfLoader};
use decode::{Decoded, Decoder};
use filter::{GroupMode, Shared};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillframe_format::header::NotCaptured;
use stillframe_format::{BootTime, Draft, Stream};

const SOURCE: &str = "syscalls";

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/syscalls.bpf.o"));

/// Programs and their tracepoints, in the order of attaching: births and moves before anything is seeded, the
/// calls last.
const HOOKS: [(&str, &str); 6] = [
    ("process_fork", "sched_process_fork"),
    ("process_attach", "cgroup_attach_task"),
    ("process_exec", "sched_process_exec"),
    ("process_exit", "sched_process_exit"),
    ("call_exit", "sys_exit"),
    ("call_enter", "sys_enter"),
];

/// Programs that the source goes on without, by what is missed then: those of a group serve different kernels, and the
/// first that can be had is taken.
const EXTRAS: [(&str, &[(&str, &str)]); 3] = [
    (
        "signals that are sent",
        &[("signal_generated", "signal_generate")],
    ),
    (
        "signals that are delivered",
        &[("signal_delivered", "signal_deliver")],
    ),
    (
        "OOM kills",
        &[("oom_victim", "mark_victim"), ("oom_victim_alone", "mark_victim")],
    ),
];

/// The program that sees new rings; a kernel without its tracepoint has no io_uring.
const NEW_RINGS: (&str, &str) = ("uring_created", "io_uring_create");

/// Programs of io_uring, as [`EXTRAS`] are; submissions come last, so that what they lead to is seen.
const URING: [(&str, &[(&str, &str)]); 4] = [
    (
        "completions of io_uring",
        &[
            ("uring_complete", "io_uring_complete"),
            ("uring_complete_parts", "io_uring_complete"),
        ],
    ),
    (
        "completions of io_uring that find no room",
        &[("uring_overflow", "io_uring_cqe_overflow")],
    ),
    (
        "requests of io_uring that are refused at once",
        &[("uring_refused", "io_uring_req_failed")],
    ),
    (
        "requests of io_uring",
        &[
            ("uring_submit", "io_uring_submit_req"),
            ("uring_submit", "io_uring_submit_sqe"),
        ],
    ),
];

/// What is seen of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rings {
    /// The kernel has none.
    Absent,
    /// Nothing.
    Unseen,
    /// Some of its tracepoints could not be had.
    InPart,
    Whole,
}

/// What is said when only returns are watched.
const NO_ENTRIES_NOTE: &str = "only returns of calls were watched: calls have no duration, and one that never returns \
    (exit, or killed inside) is not there";

/// What is said when a target uses io_uring and its tracepoints can't be had.
const IO_URING_NOTE: &str = "io_uring was used: what was asked for through its rings is not among the system calls, which are incomplete";

/// Rows that a batch holds before it is handed over.
const BATCH_ROWS: usize = 16_384;
/// Bytes that a batch holds before it is handed over.
const BATCH_BYTES: usize = 8 << 20;
/// How long a row waits at most before it is handed over.
const BATCH_AGE: Duration = Duration::from_millis(50);
/// How long the ring is left alone when it was empty.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the counters of lost records are read.
const COUNTERS: Duration = Duration::from_millis(500);

/// What to record.
#[derive(Clone, Debug)]
pub struct SyscallConfig {
    /// Whose calls. More can be added while it runs: [`SyscallSource::targets`].
    pub targets: Vec<Target>,
    /// How much is kept of what is read, written, sent or received.
    pub data: DataLimits,
    /// Whether the entries of calls are watched too: without, there are no durations, what never returns is not seen,
    /// and the rest of the host pays less.
    pub durations: bool,
    /// Memory of the ring, in bytes: the power of two at or below it, between 64 KiB and 1 GiB.
    pub ring_bytes: u64,
}

impl Default for SyscallConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            data: DataLimits::all(64),
            durations: true,
            ring_bytes: 64 << 20,
        }
    }
}

/// The source of [`Stream::Syscall`], [`Stream::Process`] and [`Stream::Uring`]: attached, and recording into its ring.
pub struct SyscallSource {
    shared: Arc<Shared>,
    ring: RingBuf<MapData>,
    drops: PerCpuArray<MapData, u64>,
    ring_bytes: u32,
    started: BootTime,
    rings: Rings,
    notes: Vec<String>,
    missed: Vec<NotCaptured>,
}

impl SyscallSource {
    /// Loads and attaches the programs. Calls are recorded into the ring from here on.
    ///
    /// # Errors
    /// When the kernel has no type information, refuses the programs (then `missing` names the capabilities), or a
    /// target can't be resolved.
    pub fn new(config: &SyscallConfig) -> Result<Self, SourceError> {
        let btf = kernel_btf(SOURCE)?;
        let ring_bytes = ring_size(config.ring_bytes);
        let mode = GroupMode::for_targets(&config.targets);
        let watches_entries = u32::from(config.durations);
        let own = std::process::id();
        let mode_number = mode.number();
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .allow_unsupported_maps()
            .override_global("self_tgid", &own, true)
            .override_global("watches_entries", &watches_entries, true)
            .override_global("group_mode", &mode_number, true)
            .map_max_entries("ring", ring_bytes);
        let mut programs = Programs::load(SOURCE, &mut loader, OBJECT)?;
        fill_rules(&mut programs, &config.data)?;
        let ring = RingBuf::try_from(programs.take_map(SOURCE, "ring")?)
            .map_err(|error| refused(SOURCE, "map ring", &error))?;
        let drops = PerCpuArray::try_from(programs.take_map(SOURCE, "drops")?)
            .map_err(|error| refused(SOURCE, "map drops", &error))?;
        for name in ["seed", "open_calls"] {
            programs.load_iterator(SOURCE, name, &btf)?;
        }
        let shared = Arc::new(Shared::new(programs, mode));
        let targets = TargetSet(Arc::clone(&shared));
        for target in &config.targets {
            targets.register(target)?;
        }
        for (name, tracepoint) in HOOKS {
            if name == "call_enter" && !config.durations {
                continue;
            }
            shared.programs().attach(SOURCE, name, tracepoint, &btf)?;
        }
        let mut missed = Vec::new();
        for (what, programs) in EXTRAS {
            attach_one(&shared, &btf, what, programs, &mut missed);
        }
        let rings = attach_uring(&shared, &btf, &mut missed);
        let walked = shared.walk();
        targets.forget_tree();
        walked?;
        let mut notes = Vec::new();
        if !config.durations {
            notes.push(NO_ENTRIES_NOTE.to_owned());
        }
        if mode == GroupMode::PidNamespace {
            notes.push("containers are told apart by pid namespace: they have no cgroup2 folder".to_owned());
        }
        Ok(Self {
            shared,
            ring,
            drops,
            ring_bytes,
            started: BootTime(boottime()),
            rings,
            notes,
            missed,
        })
    }

    /// The streams that it may have events of.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let mut streams = vec![Stream::Syscall, Stream::Process];
        if matches!(self.rings, Rings::Whole | Rings::InPart) {
            streams.push(Stream::Uring);
        }
        streams
    }

    /// The handle to add targets with while the source runs.
    #[must_use]
    pub fn targets(&self) -> TargetSet {
        TargetSet(Arc::clone(&self.shared))
    }

    /// The handle to list calls in flight with while the source runs.
    #[must_use]
    pub fn open_calls(&self) -> OpenCalls {
        OpenCalls(Arc::clone(&self.shared))
    }

    /// Reads records until the ring is empty or the decoder is full. Returns how many were read.
    fn read(&mut self, decoder: &mut Decoder, run: &mut Run) -> usize {
        let mut read = 0;
        while decoder.rows() < BATCH_ROWS && decoder.weight() < BATCH_BYTES {
            let Some(record) = self.ring.next() else {
                break;
            };
            read += 1;
            match decoder.push(&record) {
                Ok(Decoded::Call) => run.calls += 1,
                Ok(Decoded::Event) => run.events += 1,
                Ok(Decoded::Request) => run.requests += 1,
                Ok(Decoded::Rescan) => run.rescan = true,
                Ok(Decoded::TooLate) => {}
                Err(error) => {
                    run.malformed += 1;
                    run.complaint.get_or_insert_with(|| error.to_string());
                }
            }
        }
        read
    }

    fn losses(&self, run: &mut Run, now: u64) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (stream, index) in [
            (Stream::Syscall, wire::DROP_SYSCALL),
            (Stream::Process, wire::DROP_PROCESS),
            (Stream::Uring, wire::DROP_URING),
        ] {
            let totals = self.drops.get(&index, 0).ok();
            let totals = totals.as_ref().map_or(&[][..], |totals| totals);
            for (count, draft) in run.drops(stream).tell(stream, "ring-full", totals, now) {
                run.lost += count;
                drafts.push(draft);
            }
        }
        drafts
    }

    fn work(&mut self, outbox: &Outbox, stop: &Stop, run: &mut Run) -> Result<(), RecorderGone> {
        let mut decoder = Decoder::default();
        decoder.set_targets(self.shared.ids());
        let mut sent = Instant::now();
        let mut counted = Instant::now();
        let mut stopping = false;
        loop {
            if !stopping && stop.is_set() {
                stopping = true;
                decoder.until = Some(boottime());
                self.shared.programs().detach();
            }
            let read = self.read(&mut decoder, run);
            let full = decoder.rows() >= BATCH_ROWS || decoder.weight() >= BATCH_BYTES;
            if full || sent.elapsed() >= BATCH_AGE || (stopping && read == 0) {
                send(&mut decoder, outbox)?;
                sent = Instant::now();
                decoder.set_targets(self.shared.ids());
            }
            if counted.elapsed() >= COUNTERS || (stopping && read == 0) {
                counted = Instant::now();
                outbox.events(self.losses(run, decoder.until.unwrap_or_else(boottime)))?;
            }
            if run.rescan {
                run.rescan = false;
                if let Err(error) = self.shared.walk() {
                    self.notes.push(error.to_string());
                }
            }
            if read == 0 {
                if stopping {
                    if decoder.io_uring && self.rings != Rings::Whole {
                        self.notes.push(IO_URING_NOTE.to_owned());
                    }
                    return Ok(());
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Attaches the first of `programs` that this kernel takes; where there is none, `missed` says so.
fn attach_one(
    shared: &Shared,
    btf: &Btf,
    what: &str,
    programs: &[(&str, &str)],
    missed: &mut Vec<NotCaptured>,
) -> bool {
    let mut refusals = Vec::new();
    for (name, tracepoint) in programs {
        match shared.programs().attach(SOURCE, name, tracepoint, btf) {
            Ok(()) => return true,
            Err(error) => refusals.push(error.message),
        }
    }
    missed.push(NotCaptured {
        what: what.to_owned(),
        reason: refusals.join("; "),
    });
    false
}

/// Attaches what can be had of io_uring's tracepoints.
fn attach_uring(shared: &Shared, btf: &Btf, missed: &mut Vec<NotCaptured>) -> Rings {
    let (name, tracepoint) = NEW_RINGS;
    match shared.programs().attach_if_there(SOURCE, name, tracepoint, btf) {
        Ok(true) => {}
        Ok(false) => return Rings::Absent,
        Err(error) => missed.push(NotCaptured {
            what: "owners of io_uring's rings".to_owned(),
            reason: error.message,
        }),
    }
    let had = URING.map(|(what, programs)| attach_one(shared, btf, what, programs, missed));
    if had.iter().all(|had| *had) {
        Rings::Whole
    } else if had.iter().any(|had| *had) {
        Rings::InPart
    } else {
        Rings::Unseen
    }
}

fn send(decoder: &mut Decoder, outbox: &Outbox) -> Result<(), RecorderGone> {
    let (batch, events) = decoder.take();
    outbox.events(events)?;
    if batch.rows.is_empty() {
        return Ok(());
    }
    outbox.send(Message::Syscalls(batch))
}

/// What a run has counted.
#[derive(Default)]
struct Run {
    calls: u64,
    events: u64,
    requests: u64,
    lost: u64,
    malformed: u64,
    complaint: Option<String>,
    rescan: bool,
    syscall_drops: Drops,
    process_drops: Drops,
    uring_drops: Drops,
}

impl Run {
    /// What was told of the losses of a stream.
    fn drops(&mut self, stream: Stream) -> &mut Drops {
        match stream {
            Stream::Process => &mut self.process_drops,
            Stream::Uring => &mut self.uring_drops,
            _ => &mut self.syscall_drops,
        }
    }
}

impl Source for SyscallSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut run = Run {
            syscall_drops: Drops::new(self.started.0),
            process_drops: Drops::new(self.started.0),
            uring_drops: Drops::new(self.started.0),
            ..Run::default()
        };
        let ended = self.work(outbox, stop, &mut run);
        self.shared.programs().detach();
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(run.complaint);
        if ended.is_err() {
            notes.push("the recorder ended before the ring was empty".to_owned());
        }
        Ok(Report {
            events: run.calls + run.events + run.requests,
            lost: run.lost,
            notes,
            missed: std::mem::take(&mut self.missed),
            counters: vec![
                ("calls".to_owned(), run.calls),
                ("process_events".to_owned(), run.events),
                ("io_uring_events".to_owned(), run.requests),
                ("malformed_records".to_owned(), run.malformed),
                ("ring_bytes".to_owned(), u64::from(self.ring_bytes)),
            ],
        })
    }
}

fn fill_rules(programs: &mut Programs, data: &DataLimits) -> Result<(), SourceError> {
    // The map stays where it is: programs that are loaded later refer to its descriptor.
    let map = programs
        .ebpf
        .map_mut("rules")
        .ok_or_else(|| SourceError::new(SOURCE, "map rules: not in the BPF object"))?;
    let mut map =
        Array::<_, [u8; wire::RULE]>::try_from(map).map_err(|error| refused(SOURCE, "map rules", &error))?;
    for (index, rule) in rules::map_entries(data) {
        map.set(index, rule, 0)
            .map_err(|error| refused(SOURCE, "map rules", &error))?;
    }
    Ok(())
}
