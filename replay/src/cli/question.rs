//! The command lines of questions: `top`, `slowest`, `errors`, `tree`, `timeline`, `summary`.

use super::Bundle;
use clap::{Args, ValueEnum};
use stillframe_replay::question;

pub(super) const TOP_HELP: &str = "\
TIME is the sum of durations, waiting included, over all threads.

Examples:
  replay top web.capture.tar.zst
  replay top web.capture.tar.zst --by file --sort bytes -n 20
  replay top web.capture.tar.zst --by connection --from +5s --to +6s
  replay top web.capture.tar.zst --by syscall -f 'proc.name=nginx' --json | jq '.rows[0]'";

pub(super) const SLOWEST_HELP: &str = "\
Calls that wait by design (epoll_wait, futex, wait4, …) have a list of their own, and so have block requests.

Examples:
  replay slowest web.capture.tar.zst
  replay slowest web.capture.tar.zst -f 'evt.stream=block' -n 20
  replay events web.capture.tar.zst --from '#4700' --to '#4720'      # look around one of them";

pub(super) const ERRORS_HELP: &str = "\
Failures that are how programs work (the search for libraries, EAGAIN, …) are folded into one line.

Examples:
  replay errors web.capture.tar.zst
  replay errors web.capture.tar.zst -f 'proc.name=curl' --all
  replay errors web.capture.tar.zst --json | jq '.rows[] | select(.kind==\"exit\")'";

pub(super) const TREE_HELP: &str = "\
Examples:
  replay tree web.capture.tar.zst
  replay tree web.capture.tar.zst --json | jq '.rows[] | select(.status > 0) | .command'";

pub(super) const TIMELINE_HELP: &str = "\
Examples:
  replay timeline web.capture.tar.zst
  replay timeline web.capture.tar.zst --by errors --width 120
  replay timeline web.capture.tar.zst --by latency --only write     # when was it slow?
  replay timeline web.capture.tar.zst --by metrics --only memory    # did it grow?
  replay timeline web.capture.tar.zst --by syscall -f 'proc.name=nginx' --ascii --from 40% --to 60%";

pub(super) const SUMMARY_HELP: &str = "\
The page is Markdown: paste it into the ticket.

Examples:
  replay summary web.capture.tar.zst
  replay summary web.capture.tar.zst --json | jq -r '.findings[]'";

/// Which events are asked about.
#[derive(Debug, Args)]
pub(crate) struct Scope {
    /// Only events that the expression matches
    #[arg(
        short,
        long,
        value_name = "EXPR",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) filter: String,
    /// Only events at or after this moment
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Only events at or before this moment
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
}

/// What rows of `top` are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopBy {
    /// Processes
    Process,
    /// What descriptors refer to, and paths
    File,
    /// Sockets, and flows of packets that no call tells of
    Connection,
    /// Calls by name
    Syscall,
    /// Containers
    Container,
    /// Failed calls by errno
    Error,
}

impl From<TopBy> for question::Key {
    fn from(by: TopBy) -> Self {
        match by {
            TopBy::Process => Self::Process,
            TopBy::File => Self::File,
            TopBy::Connection => Self::Connection,
            TopBy::Syscall => Self::Syscall,
            TopBy::Container => Self::Container,
            TopBy::Error => Self::Error,
        }
    }
}

/// What rows of `top` are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Time in calls
    Time,
    /// Calls
    Count,
    /// Failed calls
    Errors,
    /// Bytes read and written
    Bytes,
}

impl From<Sort> for question::Order {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Time => Self::Time,
            Sort::Count => Self::Count,
            Sort::Errors => Self::Errors,
            Sort::Bytes => Self::Bytes,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// What rows are made of
    #[arg(long, value_name = "KEY", default_value = "process")]
    pub(crate) by: TopBy,
    /// What they are sorted by
    #[arg(long, value_name = "SUM", default_value = "time")]
    pub(crate) sort: Sort,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// At most N rows
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 10)]
    pub(crate) number: usize,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Slowest {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// At most N rows in each list
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) number: u32,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Errors {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Show also what is normal
    #[arg(long)]
    pub(crate) all: bool,
    /// At most N rows of each kind
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 50)]
    pub(crate) number: usize,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tree {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What rows of a plot are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotBy {
    /// Streams
    Stream,
    /// Processes
    Process,
    /// Calls by name
    Syscall,
    /// Failed calls by errno
    Errors,
    /// The longest of calls by name, and of block requests by device
    Latency,
    /// Readings of counters: memory, CPU, I/O, pressure
    Metrics,
}

impl From<PlotBy> for question::Rows {
    fn from(by: PlotBy) -> Self {
        match by {
            PlotBy::Stream => Self::Stream,
            PlotBy::Process => Self::Process,
            PlotBy::Syscall => Self::Syscall,
            PlotBy::Errors => Self::Errors,
            PlotBy::Latency => Self::Latency,
            PlotBy::Metrics => Self::Metrics,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Timeline {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// Draw a plot; it is the only form so far, and the default
    #[arg(long)]
    pub(crate) plot: bool,
    /// What rows are made of
    #[arg(long, value_name = "KEY", default_value = "stream")]
    pub(crate) by: PlotBy,
    /// Only rows whose name holds TEXT
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) only: String,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Columns of the plot
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) width: u32,
    /// At most N rows
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub(crate) ascii: bool,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Summary {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
