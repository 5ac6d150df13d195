//! The command line.

pub(crate) mod question;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use stillframe_replay::export::html;
use stillframe_replay::output::Output;
use stillframe_replay::zone::Zone;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const MOMENTS: &str = "\
Moments (T): 2026-11-24T14:03:07.2Z   14:03:07.2 (UTC or --tz, where the bundle covers one day)
             +5s from the start       -200ms from the end
             @1795528987.25 (epoch)   #EVENT   40%";

const EXIT_CODES: &str = "\
Exit codes:  0 done   1 nothing matched   2 usage   3 not a readable bundle
             4 read, but the bundle is cut or damaged   5 inconsistent (verify)";

/// Look into a bundle that capture recorded: offline, on any machine, as anybody.
///
/// BUNDLE is a file, or - for standard input. Data goes to standard output, remarks to standard error; times are UTC,
/// unless --tz names another zone.
#[derive(Debug, Parser)]
#[command(
    name = "replay", version, styles = STYLES, max_term_width = 100, after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, arg_required_else_help = true,
    override_usage = "replay COMMAND ...\n       replay BUNDLE [--at T] [--filter EXPR] [--follow] [--tz ZONE]"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What was captured, when, how it ended, what is missing
    #[command(
        after_help = "Examples:\n  replay info web.capture.tar.zst\n  replay info web.capture.tar.zst --json | jq .lost"
    )]
    Info(Info),
    /// The events, in their one order
    #[command(after_help = events_help())]
    Events(Events),
    /// The full-screen view: events, state, logs, step by step; the same as replay BUNDLE
    #[command(after_help = view_help())]
    View(View),
    /// Step through the events, forward and back, line by line
    #[command(
        after_help = "Type h at the prompt for its commands. With - as BUNDLE, the keys come from the terminal.\n\nExamples:\n  replay step web.capture.tar.zst\n  printf 'g 14:03:07\\nn 5\\ns fds\\n' | replay step web.capture.tar.zst"
    )]
    Step(Step),
    /// Processes, descriptors, sockets, mounts, containers or their usage at a moment
    #[command(after_help = state_help())]
    State(State),
    /// What the container, the engine and the kernel logged, from before the start on
    #[command(
        after_help = "Examples:\n  replay logs web.capture.tar.zst --container\n  replay logs web.capture.tar.zst --engine --json | jq -r '.\"journal.message\"'"
    )]
    Logs(Logs),
    /// One page for a ticket: what failed, what was slow, what ran, what changed, what is missing
    #[command(after_help = question::SUMMARY_HELP)]
    Summary(question::Summary),
    /// Where the time went: by process, file, connection, call, container or error
    #[command(after_help = question::TOP_HELP)]
    Top(question::Top),
    /// The longest calls and block requests, and calls that had not returned
    #[command(after_help = question::SLOWEST_HELP)]
    Slowest(question::Slowest),
    /// What failed, grouped and counted
    #[command(after_help = question::ERRORS_HELP)]
    Errors(question::Errors),
    /// What ran what, with exit codes
    #[command(after_help = question::TREE_HELP)]
    Tree(question::Tree),
    /// When things happened: a plot in text
    #[command(after_help = question::TIMELINE_HELP)]
    Timeline(question::Timeline),
    /// Check every byte: frames, hashes, chain, order, counts
    #[command(after_help = "Examples:\n  replay verify web.capture.tar.zst && echo sound")]
    Verify(Verify),
    /// One SHA-256 over all events in their order, the same on every machine
    #[command(
        after_help = "Examples:\n  replay digest web.capture.tar.zst\n  test $(replay digest web.capture.tar.zst) = $(cat web.digest)"
    )]
    Digest(Digest),
    /// Copy a stretch of time into a smaller bundle that names where it comes from
    #[command(after_help = cut_help())]
    Cut(Cut),
    /// Save every whole slice of a damaged bundle into a sound one, and list what is lost
    #[command(after_help = SALVAGE_HELP)]
    Salvage(Salvage),
    /// Write a part of the bundle in the format of a stock tool
    #[command(after_help = export_help())]
    Export(Export),
    /// The fields that filters and JSON know
    #[command(after_help = "Examples:\n  replay fields | grep ^fd\n  replay fields --json | jq -r .name")]
    Fields(Fields),
    /// Completions for a shell, to standard output
    #[command(
        after_help = "Examples:\n  replay completions bash > /etc/bash_completion.d/replay\n  replay completions fish > ~/.config/fish/completions/replay.fish"
    )]
    Completions(Completions),
    /// The manual page, of replay or of one of its commands, to standard output
    #[command(after_help = "Examples:\n  replay man > replay.1\n  replay man summary | man -l -")]
    Man(Man),
}

/// What to say to a command that is none: `replay BUNDLE` is allowed, so the parser takes it for a file and complains
/// about what follows.
pub(crate) fn mistyped(error: &clap::Error) -> Option<String> {
    use clap::error::ErrorKind::{ArgumentConflict, UnknownArgument};
    if !matches!(error.kind(), ArgumentConflict | UnknownArgument) {
        return None;
    }
    let first = std::env::args_os().nth(1)?;
    let name = first.to_str()?;
    let is_word = !name.starts_with('-') && !std::path::Path::new(name).exists();
    let is_command = Cli::command().find_subcommand(name).is_some();
    (is_word && !is_command).then(|| {
        let name = stillframe_replay::escape::line(name).into_owned();
        format!("`{name}` is no command, and no file (replay --help lists the commands)")
    })
}

fn events_help() -> String {
    format!(
        "{MOMENTS}\n\nExamples:\n  \
         replay events web.capture.tar.zst -f 'evt.type=openat and evt.failed=true' -n 20\n  \
         replay events web.capture.tar.zst --from +5s --to +6s\n  \
         replay events web.capture.tar.zst --count -f 'proc.name=dd and evt.type=read'\n  \
         replay events web.capture.tar.zst --json -f 'tcp.port=80 or fd.name contains :80'\n\n\
         `replay fields` lists what filters can ask for."
    )
}

fn view_help() -> String {
    format!(
        "? shows the keys. With - as BUNDLE, the keys come from the terminal. NO_COLOR is respected, and nothing is said \
         by colour alone.\n\n{MOMENTS}\n\nExamples:\n  \
         replay web.capture.tar.zst\n  \
         replay view web.capture.tar.zst --at 14:03:07.2 -f 'proc.name=nginx'\n  \
         replay view --follow web.capture.tar.zst            # while it is recorded"
    )
}

fn state_help() -> String {
    format!(
        "{MOMENTS}\n\nExamples:\n  \
         replay state web.capture.tar.zst ps --at 14:03:07.2\n  \
         replay state web.capture.tar.zst fds --at '#4711' --pid 1234\n  \
         replay state web.capture.tar.zst containers --at 100%"
    )
}

fn cut_help() -> String {
    format!(
        "Slices (about a second each) are copied whole and unchanged, so the part begins a little before --from and ends \
         a little after --to; events keep their numbers. An event that came late stands in the slice that was open when \
         it came.\n\n{MOMENTS}\n\nExamples:\n  \
         replay cut web.capture.tar.zst --from 14:03:07 --to 14:03:09 -o part.capture.tar.zst\n  \
         replay cut web.capture.tar.zst --from '#4711' --to '#5000' -o - | replay verify -"
    )
}

const SALVAGE_HELP: &str = "\
What is lost goes to standard output, or to standard error with -o -. Exit code 4 says that something is.

Examples:
  replay salvage broken.capture.tar.zst -o saved.capture.tar.zst
  replay salvage broken.capture.tar.zst -o saved.capture.tar.zst --json | jq .gaps";

fn export_help() -> String {
    format!("{MOMENTS}\n\n{EXPORT_EXAMPLES}")
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  replay export web.capture.tar.zst html -o web.html          # open it in a browser
  replay export web.capture.tar.zst html -o part.html --from 14:03:07 --to 14:03:09
  replay export web.capture.tar.zst strace -o web.strace
  replay export web.capture.tar.zst pcapng -o - | tshark -n -r -
  replay export web.capture.tar.zst journal -o web.export && systemd-journal-remote -o web.journal web.export
  replay export web.capture.tar.zst csv -o slow.csv --fields evt.num,evt.time,proc.name,evt.type,evt.latency -f 'evt.latency>10ms'
  replay export web.capture.tar.zst perfetto -o web.json      # open it in ui.perfetto.dev
  replay export web.capture.tar.zst blktrace -o web && blkparse -i web.vda";

/// The bundle.
#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// The bundle; - for standard input
    #[arg(value_name = "BUNDLE")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) times: Times,
    #[command(flatten)]
    pub(crate) paging: Paging,
}

/// In which zone times are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Times {
    /// Show times in this zone, and mean it by times without one: UTC (the default), local, +02:00, Europe/Berlin
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true, display_order = 900)]
    pub(crate) tz: Option<Zone>,
}

/// Whether long output on a terminal goes through a pager.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Paging {
    /// Print to the terminal at once; else what is longer than the screen goes through $PAGER, or less
    #[arg(long, display_order = 901)]
    pub(crate) no_pager: bool,
}

impl Paging {
    /// Standard output.
    pub(crate) fn output(self) -> Output {
        Output::paged(!self.no_pager)
    }
}

impl Bundle {
    /// The zone that times are shown in. Programs get UTC.
    pub(crate) fn zone(&self, is_json: bool) -> Zone {
        self.times.tz.clone().filter(|_| !is_json).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
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
    /// At most N events
    #[arg(short = 'n', long = "number", value_name = "N")]
    pub(crate) number: Option<u64>,
    /// One JSON object a line; keys are the names of fields
    #[arg(long)]
    pub(crate) json: bool,
    /// Only how many there are
    #[arg(long, conflicts_with = "json")]
    pub(crate) count: bool,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// The bundle; - for standard input
    #[arg(value_name = "BUNDLE", required = true)]
    pub(crate) path: Option<PathBuf>,
    /// Begin with this filter
    #[arg(
        short,
        long,
        value_name = "EXPR",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) filter: String,
    /// Begin at this moment
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
    /// Read on while the bundle is being written; begins at its end
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) times: Times,
}

#[derive(Debug, Args)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// Begin with this filter
    #[arg(
        short,
        long,
        value_name = "EXPR",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) filter: String,
    /// Begin at this moment
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
}

/// Parts of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Processes, as a tree
    Ps,
    /// Open descriptors
    Fds,
    /// Sockets
    Net,
    /// Mounts
    Mounts,
    /// System calls in flight: entered, and not returned yet
    Calls,
    /// What containers do: running, paused, exited, since when
    Containers,
    /// What containers used: the latest reading of their counters
    Usage,
}

#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// Which part
    pub(crate) part: Part,
    /// The moment
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) at: String,
    /// Only this process
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// Only the journal of the engine's units
    #[arg(long, conflicts_with = "container")]
    pub(crate) engine: bool,
    /// Only what the containers wrote to stdout and stderr
    #[arg(long)]
    pub(crate) container: bool,
    /// One JSON object a line; keys are the names of fields
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Digest {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cut {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// From this moment; without it from the beginning
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Up to this moment; without it up to the end
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// The new bundle, - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// The new bundle, - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// What is lost as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Formats of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// System calls as strace -f -ttt -T -yy writes them
    Strace,
    /// Packets with nanosecond stamps, for Wireshark and tshark
    Pcapng,
    /// The engine's journal in Journal Export Format
    Journal,
    /// Every event, one JSON object a line
    Jsonl,
    /// Events in columns of your choice (RFC 4180)
    Csv,
    /// Events in typed columns of your choice, for DuckDB and pandas (in builds with the feature parquet)
    Parquet,
    /// A trace for ui.perfetto.dev, in Chrome's trace event JSON
    Perfetto,
    /// Block I/O as PREFIX.DEV.blktrace.CPU files, for blkparse and btt
    Blktrace,
    /// One page for a browser: timeline, events, processes, failures, metrics; opens from disk, fetches nothing
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) bundle: Bundle,
    /// The format
    pub(crate) format: Format,
    /// The file, - for standard output; for blktrace the beginning of the files' names
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Only events that the expression matches (csv, html, parquet, perfetto)
    #[arg(
        short,
        long,
        value_name = "EXPR",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) filter: String,
    /// Only events at or after this moment (csv, html, parquet, perfetto)
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Only events at or before this moment (csv, html, parquet, perfetto)
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// The most events in the page of html; where there are more, it says what was left out
    #[arg(long, value_name = "N", default_value_t = html::EVENTS, value_parser = clap::value_parser!(u64).range(1..=html::EVENTS_MAX))]
    pub(crate) max_events: u64,
    /// The columns of csv and parquet: names of fields with commas between them
    #[arg(long, value_name = "NAMES")]
    pub(crate) fields: Option<String>,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    #[command(flatten)]
    pub(crate) paging: Paging,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shells that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Z shell
    Zsh,
    /// Fish
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The page of this command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}
