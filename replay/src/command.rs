//! The subcommands: each asks the library and prints what it answers.

mod cut;
mod digest;
mod events;
mod export;
mod fields;
mod info;
mod logs;
mod manners;
mod question;
mod salvage;
mod state;
mod step;
mod verify;
mod view;

use crate::cli::{self, Cli, Command};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use stillframe_format::error::{CopyError, ReadError, WriteError};
use stillframe_format::header::Tool;
use stillframe_replay::export::blktrace::BlktraceError;
use stillframe_replay::export::journal::JournalError;
use stillframe_replay::filter::{Filter, FilterError};
use stillframe_replay::moment::{Moment, MomentError, Place};
use stillframe_replay::open::{self, OpenError};
use stillframe_replay::output::OutputError;
use stillframe_replay::screen::ScreenError;
use stillframe_replay::timeline::{Damage, Timeline};
use stillframe_replay::view::Context;
use stillframe_replay::zone::Zone;
use stillframe_replay::{escape, exit};

/// Why a command could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Moment(#[from] MomentError),
    #[error("{0}")]
    Filter(String),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot write: {0}")]
    Write(io::Error),
    #[error("{path}: {problem}")]
    Part {
        /// The bundle.
        path: String,
        /// What of it cannot be read, and why.
        problem: String,
    },
    #[error("{0}")]
    Usage(String),
    #[error("cannot read keys: {0}")]
    Keys(io::Error),
    #[error(transparent)]
    Screen(#[from] ScreenError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Output(error) => Self::Write(error),
            JournalError::Lookback(error) => Self::Part {
                path: "look-back".to_owned(),
                problem: error.to_string(),
            },
        }
    }
}

impl From<BlktraceError> for Failure {
    fn from(error: BlktraceError) -> Self {
        match error {
            BlktraceError::Create(error) => Self::Output(error),
            BlktraceError::Output(error) => Self::Write(error),
            BlktraceError::Limit(_) => Self::Part {
                path: "blktrace".to_owned(),
                problem: error.to_string(),
            },
        }
    }
}

impl Failure {
    /// What the shell is told.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Moment(_) | Self::Filter(_) | Self::Output(_) | Self::Usage(_) => exit::USAGE,
            Self::Part { .. } => exit::INCOMPLETE,
            Self::Open(_) | Self::Write(_) | Self::Keys(_) | Self::Screen(_) => exit::UNREADABLE,
        }
    }

    /// Whether it is only that nobody reads on.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Runs what was asked for. Gives the exit code.
pub(crate) fn run(cli: Cli) -> Result<u8, Failure> {
    let command = cli.command.unwrap_or(Command::View(cli.view));
    match command {
        Command::Info(options) => info::run(&options),
        Command::Events(options) => events::run(&options),
        Command::View(options) => view::run(&options),
        Command::Step(options) => step::run(&options),
        Command::State(options) => state::run(&options),
        Command::Logs(options) => logs::run(&options),
        Command::Summary(options) => question::summary(&options),
        Command::Top(options) => question::top(&options),
        Command::Slowest(options) => question::slowest(&options),
        Command::Errors(options) => question::errors(&options),
        Command::Tree(options) => question::tree(&options),
        Command::Timeline(options) => question::timeline(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Digest(options) => digest::run(&options),
        Command::Cut(options) => cut::run(&options),
        Command::Salvage(options) => salvage::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Fields(options) => fields::run(&options),
        Command::Completions(options) => manners::completions(&options),
        Command::Man(options) => manners::man(&options),
    }
}

/// What makes bundles out of others.
fn tool() -> Tool {
    Tool {
        name: "replay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: String::new(),
    }
}

/// The error of making a bundle out of the one at `path`.
fn not_copied(path: &Path, error: CopyError) -> Failure {
    match error {
        CopyError::Write(WriteError::Io(error)) => Failure::Write(error),
        CopyError::Read(
            error @ (ReadError::NotABundle(_) | ReadError::NewerVersion { .. } | ReadError::Io(_)),
        ) => open::not_read(path, error).into(),
        error => Failure::Part {
            path: escape::line(&path.display().to_string()).into_owned(),
            problem: escape::line(&error.to_string()).into_owned(),
        },
    }
}

/// A bundle that is open, and what was found wrong with it so far.
struct Reading {
    path: String,
    timeline: Timeline<File>,
    context: Context,
    paging: cli::Paging,
    damaged: bool,
}

impl Reading {
    /// Opens what was named. What is meant for programs has its times in UTC.
    fn open(named: &cli::Bundle, is_json: bool) -> Result<Self, Failure> {
        let path = &named.path;
        let mut bundle = open::bundle(path)?;
        let context = open::context(&mut bundle).in_zone(named.zone(is_json));
        Ok(Self {
            path: escape::line(&path.display().to_string()).into_owned(),
            timeline: Timeline::new(bundle),
            context,
            paging: named.paging,
            damaged: false,
        })
    }

    /// Notes slices that could not be read, and says so.
    fn note(&mut self, damages: &[Damage]) {
        for damage in damages {
            self.damaged = true;
            say(&format!(
                "{}: slice {} cannot be read: {}",
                self.path, damage.slice, damage.problem
            ));
        }
    }

    /// Says how far the bundle is good, and gives the exit code of an answer from it.
    fn answer(&self, matched: bool) -> u8 {
        let condition = self.timeline.bundle().condition();
        if let Some(shortfall) = open::shortfall(condition, &self.context) {
            say(&format!("{}: {shortfall}", self.path));
        }
        exit::answered(matched, condition.is_complete() && !self.damaged)
    }
}

/// A remark, on standard error.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "replay: {}", escape::line(text));
}

/// Reads a filter; an error points at its place.
fn filter(text: &str) -> Result<Filter, Failure> {
    Filter::parse(text).map_err(|error: FilterError| {
        let pointer = error.pointer(text);
        if pointer.is_empty() {
            Failure::Filter(error.to_string())
        } else {
            Failure::Filter(format!("{error}\n{pointer}"))
        }
    })
}

/// Reads a moment, in the zone that was named.
fn moment(text: Option<&str>, zone: Option<&Zone>) -> Result<Option<Moment>, Failure> {
    Ok(text.map(|text| Moment::parse_in(text, zone)).transpose()?)
}

/// The place that a moment names.
fn place(moment: Option<Moment>, context: &Context) -> Result<Option<Place>, Failure> {
    Ok(moment.map(|moment| moment.resolve(context)).transpose()?)
}
