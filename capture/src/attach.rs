//! Setting up the sources that preflight found ready, and starting them on threads of their own.
//!
//! A source that fails here leaves the others as they are: what became of it goes into the bundle.

use crate::cli::SyscallsChoice;
use crate::command::TracedEnd;
use crate::inventory::Subject;
use crate::plan::{Asked, Plan, SOURCES};
use crate::preflight::Preflight;
use crate::preflight::rules::{CallsBy, Decision};
use crate::source::block::{BlockConfig, BlockSource, BlockTargets};
use crate::source::engine_events::{EngineEvents, Lifecycle};
use crate::source::journal::{Journal, JournalConfig};
use crate::source::kernel::Kernel;
use crate::source::logs::{Logs, LogsConfig, LogsHandle};
use crate::source::metrics::MetricsSource;
use crate::source::packets::{Namespace, NamespaceEntry, PacketConfig, PacketHandle, PacketSource};
use crate::source::syscalls::{
    OpenCalls, PtraceConfig, PtraceSource, SyscallConfig, SyscallSource, TargetSet, Tracees,
};
use crate::source::{Outbox, Report, Source, SourceError, Stop};
use crate::target::Target;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use stillframe_format::event::KernelMessage;
use stillframe_format::header::{NotCaptured, SourceOutcome};
use stillframe_format::time::Anchor;
use stillframe_format::{Body, Draft, Stream};

/// The look-back of container logs has no option of its own: a page of it tells what went before.
const LOGS_LOOKBACK: usize = 4 << 20;
/// The kernel's ring is seldom larger.
const KERNEL_LOOKBACK: usize = 4 << 20;

/// What can be told to sources while they run.
#[derive(Clone, Default)]
pub struct Handles {
    syscalls: Option<TargetSet>,
    /// The streams of the source that `syscalls` belongs to.
    call_streams: Vec<Stream>,
    open_calls: Option<OpenCalls>,
    tracees: Option<Tracees>,
    command_end: Option<TracedEnd>,
    packets: Option<PacketHandle>,
    block: Option<BlockTargets>,
    logs: Option<LogsHandle>,
    metrics: Option<Sender<Target>>,
}

impl Handles {
    /// The calls in flight; empty when calls are not recorded.
    #[must_use]
    pub fn open_calls(&self) -> Vec<stillframe_format::event::OpenCall> {
        match &self.tracees {
            Some(tracees) => tracees.open_calls(),
            None => self.open_calls.as_ref().map(OpenCalls::list).unwrap_or_default(),
        }
    }

    /// Whether calls are recorded with ptrace.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.tracees.is_some()
    }

    /// How the command ends, where only its tracer can wait for it.
    #[must_use]
    pub fn command_end(&self) -> Option<TracedEnd> {
        self.command_end.clone()
    }

    /// The streams that miss what a container does before it is added.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let mut streams = self.call_streams.clone();
        streams.extend(self.packets.as_ref().map(|_| Stream::Packet));
        streams.extend(self.block.as_ref().map(|_| Stream::Block));
        streams
    }

    /// Adds a container that was started.
    pub fn add(&self, subject: &Subject, tell: &mut dyn FnMut(String)) {
        let target = &subject.target;
        if let Some(syscalls) = &self.syscalls
            && let Err(error) = syscalls.add(target)
        {
            tell(error.to_string());
        }
        if let Some(tracees) = &self.tracees
            && let Err(error) = tracees.add(target)
        {
            tell(error.to_string());
        }
        if let Some(packets) = &self.packets
            && let Some(namespace) = namespace(subject)
            && let Err(error) = packets.add(&namespace)
        {
            tell(error.to_string());
        }
        if let Some(block) = &self.block
            && let Err(error) = block.add(target)
        {
            tell(error.to_string());
        }
        if let Some(metrics) = &self.metrics {
            // A source that has ended says so itself.
            let _ = metrics.send(target.clone());
        }
        if let (Some(logs), Some(container)) = (&self.logs, &subject.container) {
            logs.add(container);
        }
    }
}

fn namespace(subject: &Subject) -> Option<Namespace> {
    Some(Namespace {
        inode: *subject.target.namespaces.get("net")?,
        entry: NamespaceEntry::Pid(subject.target.pid),
        names: vec![subject.target.name.clone()],
    })
}

/// What a source found of the time before the start.
#[derive(Debug, Default)]
pub struct Lookback {
    /// Events, oldest first.
    pub drafts: Vec<Draft>,
    /// What is missing of it.
    pub missed: Vec<String>,
}

/// Looks back, then is the source that runs. The look-back is handed over before the source runs.
type Work = Box<dyn FnOnce(&Outbox, &Stop, &dyn Fn(Lookback)) -> Result<Report, SourceError> + Send>;

struct Ready {
    name: &'static str,
    work: Work,
    looks_back: bool,
}

/// Sources that are set up; what the kernel sees of them waits in its buffers.
pub struct Attached {
    ready: Vec<Ready>,
    /// What became of those that could not be set up, or were not asked for.
    pub outcomes: Vec<SourceOutcome>,
    /// What can be told to them later.
    pub handles: Handles,
    /// What becomes of containers.
    pub lifecycle: Option<Receiver<Lifecycle>>,
}

/// A source that runs.
pub struct Running {
    /// Its name.
    pub name: &'static str,
    /// Its thread.
    pub thread: JoinHandle<Result<Report, SourceError>>,
    /// Where its look-back comes from, where it has one.
    pub lookback: Option<Receiver<Lookback>>,
}

/// Sets up everything that is ready. `anchor` is the header's.
#[must_use]
pub fn attach(plan: &Plan, preflight: &Preflight, subjects: &[Subject], anchor: &Anchor) -> Attached {
    let mut attached = Attached {
        ready: Vec::new(),
        outcomes: Vec::new(),
        handles: Handles::default(),
        lifecycle: None,
    };
    for name in SOURCES {
        let (state, reason) = match preflight.decision(name) {
            Some(Decision::Ready { .. }) => {
                match attached.set_up(name, plan, preflight.calls_by, subjects, anchor) {
                    Ok(()) => continue,
                    Err(error) => ("missing", error.to_string()),
                }
            }
            Some(decision @ Decision::Missing { .. }) => ("missing", decision.to_string()),
            Some(Decision::Off { reason }) => ("off", reason.clone()),
            None => ("off", "unknown".to_owned()),
        };
        attached.outcomes.push(SourceOutcome {
            name: name.to_owned(),
            state: state.to_owned(),
            reason,
            ..SourceOutcome::default()
        });
    }
    attached
}

impl Attached {
    fn set_up(
        &mut self,
        name: &'static str,
        plan: &Plan,
        calls_by: CallsBy,
        subjects: &[Subject],
        anchor: &Anchor,
    ) -> Result<(), SourceError> {
        let targets = || plan.targets.clone();
        let engine = || {
            plan.engine
                .clone()
                .ok_or_else(|| SourceError::new(name, "there is no engine"))
        };
        let since = anchor
            .realtime
            .saturating_sub(i64::try_from(plan.lookback.time.as_nanos()).unwrap_or(i64::MAX));
        match name {
            "syscalls" if calls_by == CallsBy::Ptrace => self.trace(plan, None)?,
            "syscalls" => {
                let config = SyscallConfig {
                    targets: targets(),
                    data: plan.limits.data,
                    durations: plan.durations,
                    ring_bytes: plan.memory.syscalls_bytes,
                };
                match SyscallSource::new(&config) {
                    Ok(source) => {
                        self.handles.syscalls = Some(source.targets());
                        self.handles.open_calls = Some(source.open_calls());
                        self.handles.call_streams = source.streams();
                        self.plain(source);
                    }
                    // Preflight cannot know everything that refuses BPF: security modules, seccomp.
                    Err(refused)
                        if plan.syscalls == SyscallsChoice::Auto
                            && (plan.asked == Asked::Command || plan.allow_slow) =>
                    {
                        self.trace(plan, Some(&refused))?;
                    }
                    Err(refused) => return Err(refused),
                }
            }
            "packets" => {
                let source = PacketSource::open(PacketConfig {
                    namespaces: distinct(subjects.iter().filter_map(namespace)),
                    snaplen: plan.limits.snaplen,
                    headers_only: plan.limits.headers_only,
                    ring_bytes: usize::try_from(plan.memory.packets_bytes_each).unwrap_or(usize::MAX),
                })?;
                self.handles.packets = Some(source.handle());
                self.plain(source);
            }
            "block" => {
                let source = BlockSource::new(&BlockConfig {
                    targets: targets(),
                    ring_bytes: plan.memory.block_bytes,
                    record_neighbours: plan.neighbours,
                })?;
                self.handles.block = Some(source.targets());
                self.plain(source);
            }
            "journal" => {
                let mut source = Journal::open(JournalConfig::default())?;
                let limit = usize::try_from(plan.lookback.max_bytes).unwrap_or(usize::MAX);
                self.looking_back(name, move |outbox, stop, give| {
                    let found = source.lookback(since, limit);
                    give(match found {
                        Ok(found) => Lookback {
                            drafts: found.drafts,
                            missed: Vec::new(),
                        },
                        Err(error) => Lookback {
                            missed: vec![error.to_string()],
                            ..Lookback::default()
                        },
                    });
                    source.run(outbox, stop)
                });
            }
            "logs" => {
                let mut source = Logs::open(LogsConfig {
                    engine: engine()?,
                    containers: plan.containers.clone(),
                })?;
                self.handles.logs = Some(source.handle());
                self.looking_back(name, move |outbox, stop, give| {
                    let found = source.lookback(since, LOGS_LOOKBACK);
                    give(Lookback {
                        drafts: found.drafts,
                        missed: dropped(found.dropped),
                    });
                    source.run(outbox, stop)
                });
            }
            "events" => {
                let mut source = EngineEvents::new(engine()?, anchor.realtime);
                self.lifecycle = Some(source.lifecycle());
                self.plain(source);
            }
            "kernel" => {
                let mut source = Kernel::open()?;
                let back = u64::try_from(plan.lookback.time.as_nanos()).unwrap_or(u64::MAX);
                let since = anchor.boottime.0.saturating_sub(back);
                self.looking_back(name, move |outbox, stop, give| {
                    give(
                        match source.lookback(stillframe_format::BootTime(since), KERNEL_LOOKBACK) {
                            Ok(found) => Lookback {
                                drafts: found.messages.into_iter().map(kernel_draft).collect(),
                                missed: dropped(found.dropped),
                            },
                            Err(error) => Lookback {
                                missed: vec![error.to_string()],
                                ..Lookback::default()
                            },
                        },
                    );
                    source.run(outbox, stop)
                });
            }
            "metrics" => {
                let source = MetricsSource::new(targets());
                self.handles.metrics = Some(source.adder());
                self.plain(source);
            }
            other => return Err(SourceError::new(name, format!("{other} is no source"))),
        }
        Ok(())
    }

    /// Records calls with ptrace; `refused` says why not otherwise.
    fn trace(&mut self, plan: &Plan, refused: Option<&SourceError>) -> Result<(), SourceError> {
        let mut source = PtraceSource::new(&PtraceConfig {
            targets: plan.targets.clone(),
            data: plan.limits.data,
            ring_bytes: plan.memory.syscalls_bytes,
        })?;
        if let Some(refused) = refused {
            source.remark(format!("not by BPF: {}", refused.message));
        }
        if !plan.durations {
            source.remark("ptrace watches entries in any case: calls have their durations".to_owned());
        }
        self.handles.tracees = Some(source.tracees());
        self.handles.call_streams = vec![Stream::Syscall, Stream::Process];
        self.handles.command_end = source.command_end();
        self.plain(source);
        Ok(())
    }

    fn plain(&mut self, mut source: impl Source + 'static) {
        self.ready.push(Ready {
            name: source.name(),
            looks_back: false,
            work: Box::new(move |outbox, stop, _| source.run(outbox, stop)),
        });
    }

    fn looking_back(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&Outbox, &Stop, &dyn Fn(Lookback)) -> Result<Report, SourceError> + Send + 'static,
    ) {
        self.ready.push(Ready {
            name,
            looks_back: true,
            work: Box::new(work),
        });
    }

    /// Whether any source can run.
    #[must_use]
    pub fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Starts the sources.
    pub fn start(&mut self, outbox: &Outbox, stop: &Stop) -> Vec<Running> {
        let mut running = Vec::new();
        for ready in std::mem::take(&mut self.ready) {
            let (outbox, stop) = (outbox.clone(), stop.clone());
            let (give, lookback) = sync_channel(1);
            let (name, work) = (ready.name, ready.work);
            let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                // The reader may have given up on it.
                work(&outbox, &stop, &|found| {
                    let _ = give.try_send(found);
                })
            });
            match started {
                Ok(thread) => running.push(Running {
                    name,
                    thread,
                    lookback: ready.looks_back.then_some(lookback),
                }),
                Err(error) => self.outcomes.push(SourceOutcome {
                    name: name.to_owned(),
                    state: "missing".to_owned(),
                    reason: format!("{name}: cannot start a thread: {error}"),
                    ..SourceOutcome::default()
                }),
            }
        }
        running
    }
}

/// Each namespace once, with the names of all who live in it.
fn distinct(namespaces: impl Iterator<Item = Namespace>) -> Vec<Namespace> {
    let mut by_inode: BTreeMap<u64, Namespace> = BTreeMap::new();
    for namespace in namespaces {
        match by_inode.get_mut(&namespace.inode) {
            Some(known) => known.names.extend(namespace.names),
            None => {
                by_inode.insert(namespace.inode, namespace);
            }
        }
    }
    by_inode.into_values().collect()
}

fn kernel_draft((time, message): (stillframe_format::BootTime, KernelMessage)) -> Draft {
    Draft {
        time,
        cpu: 0,
        body: Body::Kernel(message),
    }
}

fn dropped(count: u64) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    vec![format!("{count} older entries did not fit the limit")]
}

/// The outcome of a source that ended, and what of it could not be had.
#[must_use]
pub fn outcome(name: &str, ended: Result<Report, SourceError>) -> (SourceOutcome, Vec<NotCaptured>) {
    match ended {
        Ok(report) => {
            let outcome = SourceOutcome {
                name: name.to_owned(),
                state: "captured".to_owned(),
                reason: String::new(),
                events: report.events,
                lost: report.lost,
                notes: report.notes,
                counters: report.counters.into_iter().collect(),
            };
            (outcome, report.missed)
        }
        Err(error) => (failed(name, error.to_string()), Vec::new()),
    }
}

/// The outcome of a source that came to nothing.
#[must_use]
pub fn failed(name: &str, reason: String) -> SourceOutcome {
    SourceOutcome {
        name: name.to_owned(),
        state: "failed".to_owned(),
        reason,
        ..SourceOutcome::default()
    }
}

/// How long the sources may take for their look-back before the first slice is written without it.
pub const LOOKBACK_LIMIT: Duration = Duration::from_secs(5);
