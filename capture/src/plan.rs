//! What is going to be recorded: the command line, resolved against this host and its engine.
//!
//! A plan is complete before anything is recorded, can be shown (`--dry-run`), and stands in the bundle's header.

mod file_name;
mod memory;
mod show;

pub use file_name::default_name;
pub use memory::Memory;

use crate::cli::{Arguments, DEFAULT_TIME, SecretsChoice, SyscallsChoice};
use crate::command::{self, CommandError};
use crate::engine::{Container, Engine, EngineError, Secrets};
use crate::exit;
use crate::output::OutputPlan;
use crate::snaplen::{DataLimits, WHOLE_PACKET};
use crate::target::resolve::{self, TargetError};
use crate::target::{Target, TargetKind};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The sources in the order in which they are shown; the names of [`crate::source::Source::name`].
pub const SOURCES: [&str; 8] = [
    "syscalls", "packets", "block", "journal", "logs", "events", "kernel", "metrics",
];

/// Everything that the recorder has to know.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What was asked for.
    pub asked: Asked,
    /// What is captured, resolved. A command is missing until [`Plan::command_started`].
    pub targets: Vec<Target>,
    /// The containers among them, in the same order.
    #[serde(skip)]
    pub containers: Vec<Container>,
    /// The engine, where containers are captured.
    #[serde(skip)]
    pub engine: Option<Engine>,
    /// Containers that run, targets and others: name and first process; to tell who shares a namespace.
    #[serde(skip)]
    pub running: Vec<(String, u32)>,
    /// The command that is to be started.
    pub command: Option<CommandPlan>,
    /// After what time it ends; `None`: when the command ends.
    #[serde(rename = "duration_ms", serialize_with = "optional_milliseconds")]
    pub duration: Option<Duration>,
    /// Where the bundle goes.
    pub output: OutputPlan,
    /// Which sources are asked for.
    pub sources: Switches,
    /// Bounds.
    pub limits: Limits,
    /// How kernel memory is divided.
    pub memory: Memory,
    /// How much of the logs from before the start is kept.
    pub lookback: Lookback,
    /// What happens to values of environment variables.
    #[serde(serialize_with = "secrets")]
    pub secrets: Secrets,
    /// Record the block requests of others, too.
    pub neighbours: bool,
    /// Entries of calls are watched, not only their returns.
    pub durations: bool,
    /// How calls are to be recorded.
    pub syscalls: SyscallsChoice,
    /// A target that capture did not start may be slowed down.
    pub allow_slow: bool,
    /// Go on without what this host lacks.
    pub skip_missing: bool,
    /// End with the command's exit code.
    pub propagate: bool,
    /// Say nothing but errors.
    pub quiet: bool,
    /// What the operator says of the case: `reference`, `operator`, `note`.
    pub case: BTreeMap<String, String>,
    /// What the user should know before it starts.
    pub warnings: Vec<String>,
}

/// The kind of target that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// Containers by name.
    Containers,
    /// Every container that runs.
    All,
    /// Process trees.
    Processes,
    /// A command.
    Command,
}

/// A command to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandPlan {
    /// Its file.
    #[serde(serialize_with = "lossy_path")]
    pub program: PathBuf,
    /// Its arguments, the name that was typed first.
    #[serde(serialize_with = "lossy_words")]
    pub argv: Vec<OsString>,
}

/// Which sources are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Switches {
    /// System calls and process changes.
    pub syscalls: bool,
    /// Packets.
    pub packets: bool,
    /// Block I/O.
    pub block: bool,
    /// The engine's journal.
    pub journal: bool,
    /// The containers' output.
    pub logs: bool,
    /// The engine's events.
    pub events: bool,
    /// Kernel messages.
    pub kernel: bool,
    /// Metrics.
    pub metrics: bool,
}

impl Switches {
    /// Whether the source of that name is asked for; `false` for an unknown name.
    #[must_use]
    pub fn get(&self, source: &str) -> bool {
        match source {
            "syscalls" => self.syscalls,
            "packets" => self.packets,
            "block" => self.block,
            "journal" => self.journal,
            "logs" => self.logs,
            "events" => self.events,
            "kernel" => self.kernel,
            "metrics" => self.metrics,
            _ => false,
        }
    }
}

/// Bounds of the bundle and of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of the bundle, about.
    pub max_size: u64,
    /// Kernel memory of all buffers.
    pub max_memory: u64,
    /// Bytes kept of a packet.
    pub snaplen: u32,
    /// Bytes kept of a call's data.
    pub data: DataLimits,
    /// `--no-data`: no payload at all, so packets are cut after their headers, whatever `snaplen` says.
    pub headers_only: bool,
}

/// How much of the logs from before the start is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lookback {
    /// How far back; zero for nothing.
    #[serde(rename = "time_ms", serialize_with = "milliseconds")]
    pub time: Duration,
    /// Bytes of the journal at most.
    pub max_bytes: u64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The engine, or a container that it does not know.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A process.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// `--all`, and nothing runs.
    #[error("container: none runs (start one, or name one that is to be recorded from its start)")]
    NoContainer,
}

impl PlanError {
    /// The exit code that this ends with. The command line made sense: it was this host that had another answer.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        exit::NOTHING
    }
}

/// What was found on this host.
#[derive(Debug, Default)]
struct Found {
    targets: Vec<Target>,
    containers: Vec<Container>,
    engine: Option<Engine>,
    running: Vec<(String, u32)>,
    command: Option<CommandPlan>,
    warnings: Vec<String>,
}

/// Resolves a command line. The engine is asked only when containers are.
///
/// # Errors
/// [`PlanError`].
pub fn resolve(arguments: &Arguments) -> Result<Plan, PlanError> {
    let found = if arguments.all || !arguments.names.is_empty() {
        containers(arguments)?
    } else if arguments.pids.is_empty() {
        let argv = arguments.command.clone();
        let program = command::find(argv.first().map_or("".as_ref(), OsString::as_os_str))?;
        Found {
            command: Some(CommandPlan { program, argv }),
            ..Found::default()
        }
    } else {
        let pids: BTreeSet<u32> = arguments.pids.iter().copied().collect();
        Found {
            targets: pids.into_iter().map(resolve::tree).collect::<Result<_, _>>()?,
            ..Found::default()
        }
    };
    Ok(assemble(arguments, found, Timestamp::now()))
}

fn containers(arguments: &Arguments) -> Result<Found, PlanError> {
    let engine = Engine::connect(None)?;
    let mut warnings = Vec::new();
    let named = arguments
        .names
        .iter()
        .map(|name| engine.find(name))
        .collect::<Result<Vec<_>, _>>()?;
    let running = match engine.all() {
        Ok((running, errors)) => {
            warnings.extend(errors.iter().map(ToString::to_string));
            running
        }
        Err(error) if arguments.all => return Err(error.into()),
        Err(error) => {
            warnings.push(format!(
                "{error}; so it is not known who else shares the targets' namespaces"
            ));
            Vec::new()
        }
    };
    let pairs: Vec<(String, u32)> = running.iter().map(|one| (one.name.clone(), one.pid)).collect();
    let containers = if arguments.all { running } else { distinct(named) };
    if containers.is_empty() {
        return Err(PlanError::NoContainer);
    }
    let targets = containers
        .iter()
        .map(|one| {
            let others: Vec<(String, u32)> = pairs
                .iter()
                .filter(|(name, _)| *name != one.name)
                .cloned()
                .collect();
            resolve::container(&one.name, &one.id, one.pid, &others)
        })
        .collect::<Result<_, _>>()?;
    Ok(Found {
        targets,
        containers,
        engine: Some(engine),
        running: pairs,
        command: None,
        warnings,
    })
}

/// Each container once, where it was named first.
fn distinct(containers: Vec<Container>) -> Vec<Container> {
    let mut seen = BTreeSet::new();
    containers
        .into_iter()
        .filter(|one| seen.insert(one.id.clone()))
        .collect()
}

fn assemble(arguments: &Arguments, found: Found, now: Timestamp) -> Plan {
    let asked = if arguments.all {
        Asked::All
    } else if found.command.is_some() {
        Asked::Command
    } else if found.engine.is_some() || !found.containers.is_empty() {
        Asked::Containers
    } else {
        Asked::Processes
    };
    let duration = match asked {
        Asked::Command => arguments.time,
        _ => Some(arguments.time.unwrap_or(DEFAULT_TIME)),
    };
    let output = match &arguments.output {
        Some(path) if path == Path::new("-") => OutputPlan::Pipe,
        Some(path) => OutputPlan::File {
            path: path.clone(),
            force: arguments.force,
        },
        None => OutputPlan::File {
            path: default_name(&subjects(asked, &found), now).into(),
            force: arguments.force,
        },
    };
    let memory = Memory::split(arguments.max_memory, network_namespaces(&found.targets));
    let snaplen = arguments.snaplen.unwrap_or_default();
    let mut plan = Plan {
        asked,
        targets: found.targets,
        containers: found.containers,
        engine: found.engine,
        running: found.running,
        command: found.command,
        duration,
        output,
        sources: switches(arguments),
        limits: Limits {
            max_size: arguments.max_size,
            max_memory: arguments.max_memory,
            snaplen: snaplen.packet.unwrap_or(WHOLE_PACKET),
            data: if arguments.no_data {
                DataLimits::all(0)
            } else {
                snaplen.data(arguments.data)
            },
            headers_only: arguments.no_data,
        },
        memory,
        lookback: Lookback {
            time: arguments.lookback,
            max_bytes: arguments.lookback_size,
        },
        secrets: match arguments.secrets {
            SecretsChoice::Mask => Secrets::Mask,
            SecretsChoice::Keep => Secrets::Keep,
        },
        neighbours: arguments.neighbours,
        durations: !arguments.no_durations,
        syscalls: arguments.syscalls,
        allow_slow: arguments.allow_slow,
        skip_missing: arguments.skip_missing,
        propagate: arguments.propagate,
        quiet: arguments.quiet,
        case: case(arguments),
        warnings: found.warnings,
    };
    plan.warn();
    plan
}

impl Plan {
    /// Adds the command as a target, now that it exists (held) as process `pid`.
    ///
    /// # Errors
    /// It is gone.
    pub fn command_started(&mut self, pid: u32) -> Result<(), PlanError> {
        let name = self.command.as_ref().map(CommandPlan::name).unwrap_or_default();
        self.targets.push(resolve::command(&name, pid)?);
        Ok(())
    }

    /// Whether any target is a container, so that there is an engine with a journal, logs and events.
    #[must_use]
    pub fn has_containers(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind == TargetKind::Container)
    }

    /// Whether the capture is worth having without the source of that name: beside the calls of a command, the others are
    /// what this host and this user can give, unless an option asks for them.
    #[must_use]
    pub fn can_leave_out(&self, source: &str) -> bool {
        self.asked == Asked::Command
            && match source {
                "syscalls" => false,
                "block" => !self.neighbours,
                _ => true,
            }
    }

    fn warn(&mut self) {
        for target in &self.targets {
            if target.kind == TargetKind::Container && target.pid == 0 {
                self.warnings.push(format!(
                    "container: {} exists but does not run: it is recorded when it starts",
                    target.name
                ));
            }
        }
        if self.sources.packets && self.memory.is_tight() {
            self.warnings.push(format!(
                "packets: {} network namespaces share the memory: packets will be lost (give more --max-memory, or \
                 name fewer containers)",
                self.memory.network_namespaces
            ));
        }
    }
}

impl CommandPlan {
    /// The command's file name.
    #[must_use]
    pub fn name(&self) -> String {
        let typed = self.argv.first().map(Path::new);
        typed
            .and_then(Path::file_name)
            .or_else(|| self.program.file_name())
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

/// What the default file name speaks of.
fn subjects(asked: Asked, found: &Found) -> Vec<String> {
    match asked {
        Asked::All => vec!["all".to_owned()],
        Asked::Command => found.command.iter().map(CommandPlan::name).collect(),
        Asked::Containers => found.targets.iter().map(|target| target.name.clone()).collect(),
        Asked::Processes => found
            .targets
            .iter()
            .map(|target| format!("pid-{}", target.pid))
            .collect(),
    }
}

/// How many packet rings there will be. A container that does not run yet, and a command that may make a namespace
/// of its own, count as one.
fn network_namespaces(targets: &[Target]) -> u32 {
    let known: BTreeSet<u64> = targets
        .iter()
        .filter_map(|target| target.namespaces.get("net").copied())
        .collect();
    let unknown = targets
        .iter()
        .filter(|target| !target.namespaces.contains_key("net"))
        .count();
    u32::try_from(known.len() + unknown).unwrap_or(u32::MAX).max(1)
}

fn switches(arguments: &Arguments) -> Switches {
    Switches {
        syscalls: !arguments.no_syscalls,
        packets: !arguments.no_packets,
        block: !arguments.no_block,
        journal: !arguments.no_journal,
        logs: !arguments.no_logs,
        events: !arguments.no_events,
        kernel: !arguments.no_kernel,
        metrics: !arguments.no_metrics,
    }
}

fn case(arguments: &Arguments) -> BTreeMap<String, String> {
    [
        ("reference", &arguments.reference),
        ("operator", &arguments.operator),
        ("note", &arguments.note),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    .collect()
}

fn milliseconds<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn optional_milliseconds<S: Serializer>(time: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => milliseconds(time, out),
        None => out.serialize_none(),
    }
}

fn secrets<S: Serializer>(secrets: &Secrets, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(match secrets {
        Secrets::Mask => "mask",
        Secrets::Keep => "keep",
    })
}

fn lossy_path<S: Serializer>(path: &Path, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&path.to_string_lossy())
}

fn lossy_words<S: Serializer>(words: &[OsString], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(crate::secrets::command(words))
}

#[cfg(test)]
pub(crate) mod tests;
