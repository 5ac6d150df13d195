//! Block requests of the targets, from BPF programs on the block layer's tracepoints.
//!
//! What a record says, where it is not plain:
//! - The device is the whole disk and the sector counts from its start, also for a bio that entered on a partition:
//!   that is what blktrace records, and so queue, issue and complete of one request agree.
//! - The owner of a request is that of its first page. A request that was merged from several files' or containers'
//!   bios is the first one's.
//! - Neighbours' requests on the same disks are counted when they are issued. What a device without a request queue
//!   does (device mapper, md, zram) has queue events only, and is counted at none.
//! - Metadata and journals that kernel threads write belong to nobody, so they count as neighbours'; a page of
//!   metadata that a target's task brought into the cache is charged to the target and is its own.
//!
//! Kernels: 5.11 and later with BTF; run on 6.1 (cgroup version 2) and 6.18 (both versions mounted). Fields that came
//! or went since 5.11 are asked for before they are read; where a vendor backported BPF to a block layer that still
//! hands the queue to the tracepoints first, the type of the tracepoint says so.

pub(crate) mod decode;
mod in_flight;
mod targets;
mod wire;

pub use targets::BlockTargets;

use crate::source::tracing::drops::Drops;
use crate::source::tracing::{Programs, boottime, kernel_btf, refused, ring_size};
use crate::source::{Outbox, RecorderGone, Report, Source, SourceError, Stop};
use crate::target::Target;
use aya::EbpfLoader;
use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use decode::Decoder;
use in_flight::{InFlight, devices_in_flight, finished};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillframe_format::event::{BlockAction, BlockOwner, Loss};
use stillframe_format::{Body, BootTime, Draft, Stream};
use targets::Shared;

const SOURCE: &str = "block";

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/block.bpf.o"));

/// Programs and their tracepoints, in the order of attaching: what ends a request before what begins one.
const HOOKS: [(&str, &str); 4] = [
    ("request_complete", "block_rq_complete"),
    ("request_requeue", "block_rq_requeue"),
    ("request_issue", "block_rq_issue"),
    ("bio_queue", "block_bio_queue"),
];

/// Events that wait before they are handed over.
const BATCH: usize = 4096;
/// How long an event waits at most before it is handed over.
const BATCH_AGE: Duration = Duration::from_millis(50);
/// How long the ring is left alone when it was empty.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the counters of lost records are read.
const COUNTERS: Duration = Duration::from_millis(500);

/// How often requests that are left at the end are looked at, and how many at most: the size of the map.
const UNSEEN_LOOKS: u32 = 3;
const REQUESTS: usize = 32_768;

/// What to record.
#[derive(Clone, Debug)]
pub struct BlockConfig {
    /// Whose requests, on which devices. More can be added while it runs: [`BlockSource::targets`].
    pub targets: Vec<Target>,
    /// Memory of the ring, in bytes: the power of two at or below it, between 64 KiB and 1 GiB. A record takes 112.
    pub ring_bytes: u64,
    /// Whether requests that belong to no target are recorded too, with an empty container, instead of counted.
    pub record_neighbours: bool,
}

impl Default for BlockConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            ring_bytes: 8 << 20,
            record_neighbours: false,
        }
    }
}

/// The source of [`Stream::Block`]: attached, and recording into its ring.
pub struct BlockSource {
    shared: Arc<Shared>,
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    requests: HashMap<MapData, u64, [u8; wire::IN_FLIGHT]>,
    record_neighbours: bool,
    ring_bytes: u32,
    started: u64,
}

impl BlockSource {
    /// Loads and attaches the programs. Requests are recorded into the ring from here on.
    ///
    /// A target that ended meanwhile is noted, and can be added again with [`BlockTargets::add`].
    ///
    /// # Errors
    /// When the kernel has no type information, or refuses the programs (then `missing` names the capabilities).
    pub fn new(config: &BlockConfig) -> Result<Self, SourceError> {
        let btf = kernel_btf(SOURCE)?;
        let ring_bytes = ring_size(config.ring_bytes);
        let record_neighbours = u32::from(config.record_neighbours);
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .override_global("record_neighbours", &record_neighbours, true)
            .map_max_entries("ring", ring_bytes);
        let mut programs = Programs::load(SOURCE, &mut loader, OBJECT)?;
        let ring = RingBuf::try_from(programs.take_map(SOURCE, "ring")?)
            .map_err(|error| refused(SOURCE, "map ring", &error))?;
        let counters = PerCpuArray::try_from(programs.take_map(SOURCE, "counters")?)
            .map_err(|error| refused(SOURCE, "map counters", &error))?;
        let requests = HashMap::try_from(programs.take_map(SOURCE, "requests")?)
            .map_err(|error| refused(SOURCE, "map requests", &error))?;
        let shared = Arc::new(Shared::new(programs));
        let targets = BlockTargets(Arc::clone(&shared));
        for target in &config.targets {
            match targets.add(target) {
                Err(error) if error.missing.is_empty() => shared.note(error.message),
                added => added?,
            }
        }
        let started = boottime();
        for (name, tracepoint) in HOOKS {
            shared.programs().attach(SOURCE, name, tracepoint, &btf)?;
        }
        Ok(Self {
            shared,
            ring,
            counters,
            requests,
            record_neighbours: config.record_neighbours,
            ring_bytes,
            started,
        })
    }

    /// The handle to add targets with while the source runs.
    #[must_use]
    pub fn targets(&self) -> BlockTargets {
        BlockTargets(Arc::clone(&self.shared))
    }

    fn counter(&self, index: u32) -> u64 {
        self.counters
            .get(&index, 0)
            .map(|counters| counters.iter().sum())
            .unwrap_or(0)
    }

    /// How often a program was left out because it was interrupted by what would have run it again.
    fn skipped(&self) -> u64 {
        let programs = self.shared.programs();
        HOOKS.iter().map(|(name, _)| programs.skipped(name)).sum()
    }

    /// Requests that no completion was seen of, and that the kernel does not hold either. It is told beside the losses and is
    /// none: who is in flight is the kernel's word at another moment, and which requests it means is not in it.
    ///
    /// Asked until the answer stands: between a request's completion and its tracepoint the kernel holds it no longer.
    fn unseen_at_the_end(&self) -> u64 {
        let mut known: Option<Vec<InFlight>> = None;
        for _ in 0..UNSEEN_LOOKS {
            let asked = boottime();
            let held = devices_in_flight();
            let waiting: Vec<InFlight> = self
                .requests
                .iter()
                .take(REQUESTS)
                .filter_map(|entry| InFlight::decode(&entry.ok()?))
                .filter(|request| request.issued < asked)
                .collect();
            let mut found = finished(waiting, &held);
            if let Some(known) = known {
                found.retain(|request| known.contains(request));
            }
            if found.is_empty() {
                return 0;
            }
            known = Some(found);
            std::thread::sleep(PAUSE);
        }
        let is_asked_for = |request: &&InFlight| self.record_neighbours || request.target != 0;
        known.iter().flatten().filter(is_asked_for).count() as u64
    }

    /// Reads records until the ring is empty or `events` is a full batch. Returns how many were read.
    fn read(&mut self, decoder: &mut Decoder, events: &mut Vec<Draft>, run: &mut Run) -> usize {
        let mut read = 0;
        while events.len() < BATCH {
            let Some(record) = self.ring.next() else {
                break;
            };
            read += 1;
            match decoder.decode(&record) {
                Ok(Some(draft)) => {
                    run.count(&draft);
                    events.push(draft);
                }
                Ok(None) => {}
                Err(error) => {
                    run.malformed += 1;
                    run.complaint.get_or_insert_with(|| error.to_string());
                }
            }
        }
        read
    }

    /// What was lost since the last time.
    fn losses(&self, run: &mut Run, now: u64) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let totals = self.counters.get(&wire::COUNTER_LOST, 0).ok();
        let totals = totals.as_ref().map_or(&[][..], |totals| totals);
        for (count, draft) in run.drops.tell(Stream::Block, "ring-full", totals, now) {
            run.lost += count;
            drafts.push(draft);
        }
        let causes = [
            ("probe-skipped", self.skipped()),
            ("completion-unseen", self.counter(wire::COUNTER_UNSEEN)),
        ];
        for ((cause, total), seen) in causes.into_iter().zip(&mut run.losses) {
            let count = total.saturating_sub(*seen);
            *seen = total;
            if count > 0 {
                run.lost += count;
                drafts.push(Draft {
                    time: BootTime(now),
                    cpu: 0,
                    body: Body::Loss(Loss {
                        stream: Stream::Block,
                        cause: cause.to_owned(),
                        count,
                        // Noticed when the request is issued again, which may be long after.
                        from: BootTime(if cause == "completion-unseen" {
                            self.started
                        } else {
                            run.counted
                        }),
                        to: BootTime(now),
                        scope: String::new(),
                    }),
                });
            }
        }
        run.counted = now;
        drafts
    }

    fn work(&mut self, outbox: &Outbox, stop: &Stop, run: &mut Run) -> Result<(), RecorderGone> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        let mut sent = Instant::now();
        let mut counted = Instant::now();
        let mut stopping = false;
        loop {
            if !stopping && stop.is_set() {
                stopping = true;
                // While the programs are there, and before the end: what does not fit the ring meanwhile is a loss.
                run.unseen_at_the_end = self.unseen_at_the_end();
                decoder.until = Some(boottime());
                // Before the programs go, and with them what the kernel counted for them.
                let losses = self.losses(run, decoder.until.unwrap_or(0));
                outbox.events(losses)?;
                self.shared.programs().detach();
            }
            decoder.set_targets(self.shared.ids());
            let read = self.read(&mut decoder, &mut events, run);
            if events.len() >= BATCH || sent.elapsed() >= BATCH_AGE || (stopping && read == 0) {
                outbox.events(std::mem::take(&mut events))?;
                sent = Instant::now();
            }
            if counted.elapsed() >= COUNTERS || (stopping && read == 0) {
                counted = Instant::now();
                let losses = self.losses(run, decoder.until.unwrap_or_else(boottime));
                outbox.events(losses)?;
            }
            if read == 0 {
                if stopping {
                    return Ok(());
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// What a run has counted.
#[derive(Default)]
struct Run {
    events: u64,
    /// Issued requests by the class of their owner, page first.
    owners: [u64; 4],
    lost: u64,
    unseen_at_the_end: u64,
    malformed: u64,
    complaint: Option<String>,
    drops: Drops,
    /// Lost by each cause that no CPU tells of, as far as it was reported.
    losses: [u64; 2],
    /// When that was read.
    counted: u64,
}

impl Run {
    fn count(&mut self, draft: &Draft) {
        self.events += 1;
        if let Body::Block(block) = &draft.body
            && block.action == BlockAction::Issue
        {
            let [page, bio, task, unknown] = &mut self.owners;
            *match block.owner {
                BlockOwner::Page => page,
                BlockOwner::Bio => bio,
                BlockOwner::Task => task,
                BlockOwner::Unknown => unknown,
            } += 1;
        }
    }
}

impl Source for BlockSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut run = Run {
            counted: self.started,
            drops: Drops::new(self.started),
            ..Run::default()
        };
        let ended = self.work(outbox, stop, &mut run);
        self.shared.programs().detach();
        let mut notes = self.shared.notes();
        notes.extend(run.complaint);
        let untracked = self.counter(wire::COUNTER_UNTRACKED);
        if untracked > 0 {
            notes.push(format!(
                "{untracked} requests or processes did not fit into the kernel's tables: their owner may be missing"
            ));
        }
        if run.unseen_at_the_end > 0 {
            notes.push(format!(
                "{} requests that were issued were not seen to complete, and the kernel held them no longer at the end",
                run.unseen_at_the_end
            ));
        }
        if ended.is_err() {
            notes.push("the recorder ended before the ring was empty".to_owned());
        }
        let [page, bio, task, unknown] = run.owners;
        let counters = [
            (
                "neighbour_requests",
                self.counter(wire::COUNTER_NEIGHBOUR_REQUESTS),
            ),
            ("neighbour_bytes", self.counter(wire::COUNTER_NEIGHBOUR_BYTES)),
            ("issued_owner_page", page),
            ("issued_owner_bio", bio),
            ("issued_owner_task", task),
            ("issued_owner_unknown", unknown),
            ("unseen_at_the_end", run.unseen_at_the_end),
            ("malformed_records", run.malformed),
            ("ring_bytes", u64::from(self.ring_bytes)),
        ];
        Ok(Report {
            events: run.events,
            lost: run.lost,
            notes,
            missed: Vec::new(),
            counters: counters
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        })
    }
}
