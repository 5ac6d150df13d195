//! The command line: what may be typed, and nothing of what it means on this host (that is `plan`).

mod quantity;

pub use quantity::{show_size, show_time};

use crate::snaplen::{LARGEST_DATA, Snaplen};
use clap::{ArgAction, ArgGroup, Parser, ValueEnum};
use quantity::{parse_size, parse_time};
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How long is recorded when `-t` is not given.
pub const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// The longest time that `-t` takes: a capture is bounded by design.
const LONGEST_TIME: Duration = Duration::from_secs(24 * 3600);
/// The longest look-back. The kernel's and the engine's logs seldom reach further.
const LONGEST_LOOKBACK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Header, snapshots and index alone take some hundred KiB.
const SMALLEST_BUNDLE: u64 = 1 << 20;
/// Below this no source has a buffer worth its name; above it no ring gets larger (1 GiB is the largest BPF ring).
const MEMORY: (u64, u64) = (1 << 20, 4 << 30);
/// The look-back is held in memory until the header is written.
const LARGEST_LOOKBACK: u64 = 1 << 30;
/// `PID_MAX_LIMIT` of 64-bit kernels (include/linux/threads.h).
const LARGEST_PID: i64 = 4 << 20;

const USAGE: &str = "capture [OPTIONS] NAME...
       capture [OPTIONS] -p PID...
       capture [OPTIONS] --all
       capture [OPTIONS] -- CMD [ARG]...";

const EXAMPLES: &str = "Examples:
  capture web -t 30s -o web.capture.tar.zst     a container, for half a minute
  capture web db 3f2a                           several, by name, id or the beginning of an id
  capture -p 1234 -t 10s                        a process and its descendants
  capture -o x.capture.tar.zst -- curl host     a command, from its first call to its end
  capture --syscalls ptrace -o x -- curl host   the same where BPF may not be had: slow, and needs no root
  capture --all -t 5s -o - | ssh host 'cat > all.capture.tar.zst'
  capture web --dry-run                         what would be recorded, and what is missing

Ctrl-C ends a capture early; the bundle is sealed all the same. Read it with `replay`.

Exit codes: 0 sealed with everything that was asked for; 1 nothing could be recorded; 2 usage;
4 recorded, but with losses, without a source that failed, or cut off before the end.";

/// Freezes what containers, processes or a command are doing into one bundle: system calls, packets, block I/O,
/// logs, engine events, metrics, and a snapshot at both ends.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "capture",
    version,
    override_usage = USAGE,
    after_help = EXAMPLES,
    group = ArgGroup::new("target").required(true).args(["names", "pids", "all", "command"])
)]
pub struct Arguments {
    /// Containers: name, id, or the beginning of an id that fits one alone.
    #[arg(value_name = "NAME", help_heading = "Target", value_parser = non_empty)]
    pub names: Vec<String>,

    /// A process that runs, and its descendants; may be given several times.
    #[arg(
        short = 'p',
        long = "pid",
        value_name = "PID",
        help_heading = "Target",
        action = ArgAction::Append,
        value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=LARGEST_PID)
    )]
    pub pids: Vec<u32>,

    /// Every container that runs.
    #[arg(long, help_heading = "Target")]
    pub all: bool,

    /// A command that capture starts; its descendants too.
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,

    /// Do not record system calls and process changes.
    #[arg(long, help_heading = "Sources")]
    pub no_syscalls: bool,

    /// How system calls are recorded.
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t,
        conflicts_with = "no_syscalls",
        help_heading = "Sources"
    )]
    pub syscalls: SyscallsChoice,

    /// Let ptrace slow down a target that capture did not start: 20 to 100 times, for a program that does nothing but calls.
    #[arg(long, conflicts_with = "no_syscalls", help_heading = "Sources")]
    pub allow_slow: bool,

    /// Do not record packets.
    #[arg(long, help_heading = "Sources")]
    pub no_packets: bool,

    /// Do not record block I/O.
    #[arg(long, help_heading = "Sources")]
    pub no_block: bool,

    /// Do not record the engine's journal.
    #[arg(long, help_heading = "Sources")]
    pub no_journal: bool,

    /// Do not record the containers' own output.
    #[arg(long, help_heading = "Sources")]
    pub no_logs: bool,

    /// Do not record the engine's events.
    #[arg(long, help_heading = "Sources")]
    pub no_events: bool,

    /// Do not record kernel messages.
    #[arg(long, help_heading = "Sources")]
    pub no_kernel: bool,

    /// Do not record metrics.
    #[arg(long, help_heading = "Sources")]
    pub no_metrics: bool,

    /// Record the block requests of others on the targets' devices too; else they are only counted.
    #[arg(long, help_heading = "Sources")]
    pub neighbours: bool,

    /// Watch only the returns of system calls: other processes of the host pay about half as much for it. Calls have no
    /// duration then, and what never returns (exit, a call that a signal kills) is not among them.
    #[arg(long, help_heading = "Sources")]
    pub no_durations: bool,

    /// How much of the logs from before the start is kept; 0 for none.
    #[arg(long, value_name = "TIME", default_value = "10m", help_heading = "Sources", value_parser = lookback_time)]
    pub lookback: Duration,

    /// Record what is possible when a source lacks a capability or the host lacks a source; the bundle says what
    /// is missing. For `-- CMD` that goes without saying, except for system calls and what an option asks for.
    #[arg(long, help_heading = "Sources")]
    pub skip_missing: bool,

    /// How long: 500ms, 30s, 5m, 1h30m, or a number of seconds; at most 24h [default: 30s; for -- CMD its end].
    #[arg(short = 't', long = "time", value_name = "TIME", help_heading = "Limits", value_parser = recording_time)]
    pub time: Option<Duration>,

    /// Ends when the bundle is about that large.
    #[arg(long, value_name = "SIZE", default_value = "1G", help_heading = "Limits", value_parser = bundle_size)]
    pub max_size: u64,

    /// Kernel memory for all buffers together.
    #[arg(long, value_name = "SIZE", default_value = "128M", help_heading = "Limits", value_parser = memory_size)]
    pub max_memory: u64,

    /// Bytes kept of a packet [default: 65535]; or of several classes, as in packet=96,recv=512,write=0. The classes of
    /// calls (read, write, recv, send, other) are by their names, whatever the descriptor is, and go before --data.
    #[arg(
        long,
        value_name = "N|CLASS=N,…",
        help_heading = "Limits",
        value_parser = Snaplen::parse
    )]
    pub snaplen: Option<Snaplen>,

    /// Bytes kept of what a call reads, writes, sends or receives; at most 4096.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        help_heading = "Limits",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(LARGEST_DATA))
    )]
    pub data: u32,

    /// Keep no payload at all, whatever --snaplen says: nothing of calls' buffers, and of packets only the headers.
    #[arg(long, help_heading = "Limits", conflicts_with = "data")]
    pub no_data: bool,

    /// Bytes of the journal from before the start.
    #[arg(long, value_name = "SIZE", default_value = "16M", help_heading = "Limits", value_parser = lookback_size)]
    pub lookback_size: u64,

    /// Where the bundle goes; `-` is standard output [default: NAME-YYYYMMDDTHHMMSSZ.capture.tar.zst in this
    /// folder].
    #[arg(
        short = 'o',
        long,
        value_name = "FILE",
        help_heading = "Output",
        value_parser = clap::builder::PathBufValueParser::new()
    )]
    pub output: Option<PathBuf>,

    /// Replace the output file if it exists.
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// What looks like a secret: environment variables in the engine's replies, passwords in arguments.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub secrets: SecretsChoice,

    /// A case or ticket number, kept in the bundle.
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub reference: Option<String>,

    /// Who records, kept in the bundle.
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub operator: Option<String>,

    /// A remark, kept in the bundle.
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub note: Option<String>,

    /// End with the exit code of `-- CMD`.
    // Not `requires`: clap waives it when another kind of target is there.
    #[arg(long, conflicts_with_all = ["names", "pids", "all"], help_heading = "Output")]
    pub propagate: bool,

    /// Show the plan and what this host can do; record nothing.
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,

    /// The dry run as JSON.
    #[arg(long, requires = "dry_run", help_heading = "Output")]
    pub json: bool,

    /// Say nothing but errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// `--secrets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SecretsChoice {
    /// Replaced by `<secret:LENGTH:HASH>`: equal ones look equal, and nobody can find them by trying.
    #[default]
    Mask,
    /// Kept.
    Keep,
}

/// `--syscalls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyscallsChoice {
    /// By BPF where it is to be had; else a command that capture starts is traced with ptrace.
    #[default]
    Auto,
    /// By BPF programs in the kernel.
    Bpf,
    /// By ptrace, as strace does: without any capability for `-- CMD`, and slow.
    Ptrace,
}

fn non_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("give a name or an id".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn recording_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time.is_zero() {
        return Err("there is nothing to record in no time".to_owned());
    }
    at_most_time(time, LONGEST_TIME)
}

fn lookback_time(text: &str) -> Result<Duration, String> {
    at_most_time(parse_time(text)?, LONGEST_LOOKBACK)
}

fn at_most_time(time: Duration, limit: Duration) -> Result<Duration, String> {
    if time > limit {
        Err(format!("at most {} is possible", show_time(limit)))
    } else {
        Ok(time)
    }
}

fn bundle_size(text: &str) -> Result<u64, String> {
    size_between(text, SMALLEST_BUNDLE, u64::MAX)
}

fn memory_size(text: &str) -> Result<u64, String> {
    size_between(text, MEMORY.0, MEMORY.1)
}

fn lookback_size(text: &str) -> Result<u64, String> {
    size_between(text, 0, LARGEST_LOOKBACK)
}

fn size_between(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let size = parse_size(text)?;
    if size < least {
        Err(format!("at least {} is needed", show_size(least)))
    } else if size > most {
        Err(format!("at most {} is possible", show_size(most)))
    } else {
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("capture").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_kind_of_target() {
        assert_eq!(parse("web db -t 5s").unwrap().names, ["web", "db"]);
        assert_eq!(parse("-t 5s web").unwrap().time, Some(Duration::from_secs(5)));
        assert_eq!(parse("-p 12 --pid 13,14").unwrap().pids, [12, 13, 14]);
        assert!(parse("--all").unwrap().all);
        let command = parse("-o x -- sh -c -t").unwrap().command;
        assert_eq!(
            command,
            ["sh", "-c", "-t"],
            "what follows -- is the command's own"
        );
    }

    #[test]
    fn what_makes_no_sense_is_usage() {
        for line in [
            "",
            "--no-such-option",
            "-t soon web",
            "-t 0 web",
            "-t 25h web",
            "-p 0",
            "-p 4194305",
            "-p self",
            "web -p 12",
            "web --all",
            "--all -p 1",
            "web -- sleep 1",
            "-p 1 -- sleep 1",
            "--",
            "web --propagate",
            "web --json",
            "web --data 4097",
            "web --data 1 --no-data",
            "web --snaplen 0",
            "web --snaplen read=4097",
            "web --snaplen connect=1",
            "web --max-size 3",
            "web --max-memory 1T",
            "web --lookback 8d",
            "web --secrets some",
            "web --syscalls strace",
            "web --no-syscalls --syscalls ptrace",
            "web --no-syscalls --allow-slow",
            "web -o",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), i32::from(crate::exit::USAGE), "{line}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let arguments = parse("web").unwrap();
        assert_eq!(arguments.time, None);
        assert_eq!(
            (arguments.max_size, arguments.max_memory, arguments.lookback_size),
            (1 << 30, 128 << 20, 16 << 20)
        );
        assert_eq!((arguments.snaplen, arguments.data), (None, 64));
        assert_eq!(arguments.lookback, Duration::from_secs(600));
        assert_eq!(arguments.secrets, SecretsChoice::Mask);
    }

    #[test]
    fn help_has_its_headings_and_examples() {
        let help = Arguments::command().render_help().to_string();
        for word in ["Target:", "Sources:", "Limits:", "Output:", "Examples:", "-- CMD"] {
            assert!(help.contains(word), "{word}\n{help}");
        }
        assert!(!help.contains("held"), "the held child is no user's business");
    }
}
