//! `cargo xtask bench --only replay`: what replay takes on a made-up bundle, in seconds and memory, and beside what tshark
//! and editcap take for the same questions about the packets of the same activity.
//!
//! Memory does not depend on the machine, times do: every table says how busy the machine was.

use super::{median, table};
use crate::command::{self, Terminal};
use crate::{interrupt, synth, workspace};
use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Every command that only reads, and every export. `@` is the bundle.
const COMMANDS: [&str; 28] = [
    "info @",
    "events @ --from 50% -n 20",
    "events @ --count -f evt.type=read",
    "events @ --json",
    "logs @",
    "state @ ps --at 33%",
    "state @ fds --at 33%",
    "state @ net --at 33%",
    "state @ mounts --at 33%",
    "state @ calls --at 33%",
    "summary @",
    "top @",
    "top @ --by connection",
    "slowest @",
    "errors @",
    "tree @",
    "timeline @",
    "verify @",
    "digest @",
    "cut @ --from 40% --to 60% -o OUT --force",
    "salvage @ -o OUT --force",
    "export @ strace -o OUT --force",
    "export @ pcapng -o OUT --force",
    "export @ journal -o OUT --force",
    "export @ jsonl -o OUT --force",
    "export @ csv -o OUT --force",
    "export @ perfetto -o OUT --force",
    "export @ html -o OUT --force",
];

/// What one run of a program took.
#[derive(Clone, Copy, Debug)]
struct Took {
    seconds: f64,
    cpu: f64,
    /// The most memory it had, in KiB.
    peak: u64,
}

/// `cargo xtask measured OUTPUT COMMAND…`: runs one command, and writes what it took. It is a process of its own because
/// the kernel tells the largest of all children that were waited for.
pub(crate) fn measured(output: &Path, command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let begun = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let text = json!({
        "code": status.code(),
        "seconds": seconds,
        "cpu_us": microseconds,
        "peak": usage.max_rss(),
    });
    std::fs::write(output, text.to_string()).context("cannot write what it took")
}

/// Measures, prints the tables, and puts them into `docs/performance.md` when `write` is set.
pub(crate) fn run(size: u64, seek: u64, rounds: u32, write: bool) -> Result<()> {
    let folder = workspace::target()?.join("bench-replay");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let measured = all(&folder, size, seek, rounds);
    std::fs::remove_dir_all(&folder).context("cannot remove the bundles")?;
    let text = measured?;
    println!("{text}");
    if write {
        let file = workspace::root()?.join("docs/performance.md");
        table::put(&file, "bench --only replay", &text)?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

fn all(folder: &Path, size: u64, seek: u64, rounds: u32) -> Result<String> {
    let binaries = workspace::release_binaries()?;
    let bench = Bench {
        replay: binaries.join("replay"),
        folder,
        rounds,
    };
    let small = folder.join("small.capture.tar.zst");
    synth::run(size, None, 1, &small)?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let mut text = format!("{}, load {load} when it began.\n\n", machine());
    text.push_str(&bench.commands(&small, size)?);
    text.push_str(&bench.peers(&small)?);
    std::fs::remove_file(&small)?;
    let large = folder.join("large.capture.tar.zst");
    synth::run(seek, None, 1, &large)?;
    text.push_str(&bench.scans(&large, seek)?);
    text.push_str(&bench.seeks(&large)?);
    Ok(text)
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("a processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} processors ({model})")
}

struct Bench<'b> {
    replay: PathBuf,
    folder: &'b Path,
    rounds: u32,
}

impl Bench<'_> {
    fn run(&self, words: &[String]) -> Result<Took> {
        interrupt::check()?;
        let output = self.folder.join("took.json");
        let mut child = Command::new(std::env::current_exe()?);
        child.arg("measured").arg(&output).arg("--").args(words);
        command::run(&mut child, Terminal::Detached)?;
        let took: Value = serde_json::from_str(&std::fs::read_to_string(&output)?)?;
        let number = |key: &str| took.get(key).and_then(Value::as_f64).unwrap_or_default();
        match took.get("code").and_then(Value::as_i64) {
            Some(0 | 1) => {}
            code => bail!("{}: ended with {code:?}", words.join(" ")),
        }
        Ok(Took {
            seconds: number("seconds"),
            cpu: number("cpu_us") / 1e6,
            peak: took.get("peak").and_then(Value::as_u64).unwrap_or_default(),
        })
    }

    fn replay(&self, line: &str, bundle: &Path) -> Vec<String> {
        let out = self.folder.join("out");
        std::iter::once(self.replay.display().to_string())
            .chain(line.split(' ').map(|word| match word {
                "@" => bundle.display().to_string(),
                "OUT" => out.display().to_string(),
                word => word.to_owned(),
            }))
            .collect()
    }

    fn commands(&self, bundle: &Path, size: u64) -> Result<String> {
        let events = self.events(bundle)?;
        let mut text = format!(
            "### Every command\n\nOnce each, on `cargo xtask synth --size {}`: {events} events, {} MiB on disk.\n\n\
             | command | seconds | CPU seconds | peak memory |\n|---|---:|---:|---:|\n",
            shown(size),
            bundle.metadata()?.len() >> 20,
        );
        for line in COMMANDS {
            let took = self.run(&self.replay(line, bundle))?;
            eprintln!("{line}: {took:?}");
            let line = line.replace('@', "B").replace(" --force", "");
            text.push_str(&format!(
                "| `replay {line}` | {:.2} | {:.2} | {} MiB |\n",
                took.seconds,
                took.cpu,
                took.peak.div_ceil(1024)
            ));
        }
        text.push('\n');
        Ok(text)
    }

    fn events(&self, bundle: &Path) -> Result<u64> {
        let mut info = Command::new(&self.replay);
        let said = command::output(info.arg("info").arg(bundle).arg("--json"))?;
        let info: Value = serde_json::from_str(&said)?;
        info.get("events").and_then(Value::as_u64).context("no events")
    }

    fn said(&self, words: &[String]) -> Result<String> {
        let (program, arguments) = words.split_first().context("no command")?;
        command::output(Command::new(program).args(arguments))
    }

    /// The same question to each, about the packets of the same activity.
    fn peers(&self, bundle: &Path) -> Result<String> {
        let packets = self.folder.join("packets.pcapng");
        let export = format!("export @ pcapng -o {} --force", packets.display());
        self.run(&self.replay(&export, bundle))?;
        let (from, to) = self.middle(bundle)?;
        let pcap = packets.display().to_string();
        let out = self.folder.join("out.pcapng").display().to_string();
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let port = "tcp.dstport==5432";
        let within = format!(
            "frame.time_epoch>={} && frame.time_epoch<={}",
            epoch(&from),
            epoch(&to)
        );
        let replay = self.replay.display().to_string();
        let file = bundle.display().to_string();
        let packets_of = "evt.stream=packet";
        let questions = [
            (
                "10 ms out of the middle",
                [
                    (
                        "`replay events --from --to -f evt.stream=packet`",
                        words(&[
                            &replay, "events", &file, "--from", &from, "--to", &to, "-f", packets_of,
                        ]),
                    ),
                    (
                        "`editcap -A -B`",
                        words(&["editcap", "-A", &from, "-B", &to, &pcap, &out]),
                    ),
                    (
                        "`tshark -Y 'frame.time_epoch>=… && …'`",
                        words(&["tshark", "-n", "-r", &pcap, "-Y", &within]),
                    ),
                ]
                .to_vec(),
            ),
            (
                "count by a filter",
                [
                    (
                        "`replay events --count -f 'tcp.dstport==5432'`",
                        words(&[&replay, "events", &file, "--count", "-f", port]),
                    ),
                    (
                        "`tshark -Y 'tcp.dstport==5432'`",
                        words(&["tshark", "-n", "-r", &pcap, "-Y", port]),
                    ),
                ]
                .to_vec(),
            ),
        ];
        // Ratios of different answers mean nothing.
        let counted = self.said(&words(&[&replay, "events", &file, "--count", "-f", port]))?;
        let theirs = self.said(&words(&[
            "tshark",
            "-n",
            "-r",
            &pcap,
            "-Y",
            port,
            "-T",
            "fields",
            "-e",
            "frame.number",
        ]))?;
        if counted.trim() != theirs.lines().count().to_string() {
            bail!(
                "replay counts {} packets, tshark {}",
                counted.trim(),
                theirs.lines().count()
            );
        }
        let mut text = format!(
            "### Next to tshark and editcap\n\nThe same bundle, and its packets as `replay export B pcapng` writes them ({} MiB). Medians of {} \
             rounds, in turns.\n\n| question | to | seconds | ratio | peak memory |\n|---|---|---:|---:|---:|\n",
            packets.metadata()?.len() >> 20,
            self.rounds,
        );
        for (question, ways) in questions {
            let mut took: Vec<Vec<Took>> = vec![Vec::new(); ways.len()];
            for round in 0..=self.rounds {
                for ((name, words), took) in ways.iter().zip(&mut took) {
                    let once = self.run(words)?;
                    eprintln!("{question}, round {round}: {name}: {once:?}");
                    // The first round warms caches.
                    if round > 0 {
                        took.push(once);
                    }
                }
            }
            let mut base = None;
            for ((name, _), took) in ways.iter().zip(&took) {
                let seconds = median(took.iter().map(|once| once.seconds).collect()).unwrap_or_default();
                let base = *base.get_or_insert(seconds);
                let peak = took.iter().map(|once| once.peak).max().unwrap_or_default();
                text.push_str(&format!(
                    "| {question} | {name} | {seconds:.3} | {:.1}x | {} MiB |\n",
                    seconds / base,
                    peak.div_ceil(1024)
                ));
            }
        }
        text.push('\n');
        Ok(text)
    }

    /// Begin and end of 10 ms in the middle.
    fn middle(&self, bundle: &Path) -> Result<(String, String)> {
        let said = self.said(&self.replay("events @ --from 50% -n 1 --json", bundle))?;
        let event: Value = serde_json::from_str(&said)?;
        let time = event.get("evt.time").and_then(Value::as_str).context("no time")?;
        // Whole hundredths of a second, so that each tool means the same.
        let (seconds, rest) = time.split_at_checked(20).context("a short time")?;
        let hundredths: u32 = rest.get(..2).context("a short time")?.parse()?;
        let hundredths = hundredths.min(98);
        Ok((
            format!("{seconds}{hundredths:02}0000000Z"),
            format!("{seconds}{:02}0000000Z", hundredths + 1),
        ))
    }

    /// Passes over all calls of a large bundle.
    fn scans(&self, bundle: &Path, size: u64) -> Result<String> {
        let events = self.events(bundle)?;
        let calls = self.said(&self.replay("events @ --count -f evt.stream=syscall", bundle))?;
        let calls: f64 = calls.trim().parse()?;
        let mut text = format!(
            "### Passes over a large bundle\n\n`cargo xtask synth --size {}`: {events} events, {calls} of them calls, {} MiB on disk. The best of \
             {} runs.\n\n| pass | seconds | CPU seconds | calls a second | calls a second of CPU | peak memory |\n|---|---:|---:|---:|---:|---:|\n",
            shown(size),
            bundle.metadata()?.len() >> 20,
            self.rounds,
        );
        for line in [
            "events @ --count -f evt.type=read",
            "events @ --count -f evt.type=openat",
            "top @ --by syscall",
            "top @ --by process",
            "top @ --by error",
            "info @",
            "events @ -n 40",
            "events @ --from 50% -n 40",
        ] {
            let mut best: Option<Took> = None;
            for _ in 0..self.rounds {
                let took = self.run(&self.replay(line, bundle))?;
                eprintln!("{line}: {took:?}");
                if best.is_none_or(|best| took.seconds < best.seconds) {
                    best = Some(took);
                }
            }
            let Some(took) = best else { continue };
            let rate = |seconds: f64| match line {
                line if line.contains("-n") || line.starts_with("info") => String::new(),
                _ => format!("{:.1} M", calls / seconds / 1e6),
            };
            text.push_str(&format!(
                "| `replay {}` | {:.3} | {:.3} | {} | {} | {} MiB |\n",
                line.replace('@', "B"),
                took.seconds,
                took.cpu,
                rate(took.seconds),
                rate(took.cpu),
                took.peak.div_ceil(1024)
            ));
        }
        text.push('\n');
        Ok(text)
    }

    fn seeks(&self, bundle: &Path) -> Result<String> {
        let mut cargo = Command::new("cargo");
        cargo
            .args([
                "run",
                "--quiet",
                "--release",
                "--locked",
                "-p",
                "stillframe-replay",
                "--example",
                "seek",
                "--",
            ])
            .arg(bundle)
            .arg("300")
            .current_dir(workspace::root()?);
        let mut best: Option<(f64, String)> = None;
        for _ in 0..self.rounds.min(3) {
            let said = command::output(&mut cargo)?;
            eprint!("{said}");
            let (_, rest) = said.split_once("percentile ").context("no percentile")?;
            let percentile: f64 = rest.split(' ').next().context("no percentile")?.parse()?;
            if best.as_ref().is_none_or(|(best, _)| percentile < *best) {
                best = Some((percentile, said));
            }
        }
        let (_, said) = best.context("no round")?;
        Ok(format!(
            "Seeks with full state in the same bundle (`cargo run --release -p stillframe-replay --example seek -- B`), the best of {} runs:\n{said}",
            self.rounds.min(3)
        ))
    }
}

/// Seconds since 1970 of an RFC 3339 stamp in UTC, as tshark takes it.
fn epoch(stamp: &str) -> String {
    let part = |range: std::ops::Range<usize>| -> i64 {
        stamp.get(range).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    // Days from the civil calendar (Howard Hinnant's days_from_civil).
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + part(11..13)) * 60 + part(14..16)) * 60 + part(17..19);
    format!("{seconds}.{}", stamp.get(20..29).unwrap_or("0"))
}

fn shown(size: u64) -> String {
    match size {
        size if size >= 1 << 30 && size.is_multiple_of(1 << 30) => format!("{}GiB", size >> 30),
        size => format!("{}MiB", size >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_seconds_since_1970() {
        assert_eq!(epoch("1970-01-01T00:00:01.500000000Z"), "1.500000000");
        assert_eq!(epoch("2026-11-24T14:03:07.020000000Z"), "1795528987.020000000");
        assert_eq!(epoch("2024-02-29T00:00:00.000000000Z"), "1709164800.000000000");
    }

    #[test]
    fn every_command_names_its_bundle() {
        assert!(
            COMMANDS
                .iter()
                .all(|line| line.split(' ').any(|word| word == "@"))
        );
    }
}
