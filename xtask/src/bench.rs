//! `cargo xtask bench`: the same work untraced, under capture and under strace, in turn; medians, as ratios.
//!
//! Times depend on the machine, ratios of one run much less: the table gives both, and only ratios are promises.

pub(crate) mod instructions;
pub(crate) mod replay;
pub(crate) mod table;
pub(crate) mod workloads;

use crate::bed::Bed;
use crate::command;
use crate::{interrupt, workspace};
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Reads, and as many writes, of one byte: the worst case for anything that looks at every call.
const CALLS: u32 = 1_000_000;
/// Of those, what strace is given: it would take minutes for all, and its cost grows evenly.
const STRACE_CALLS: u32 = 50_000;

/// What leaves every source off that is not there for calls.
const CALLS_ALONE: &[&str] = &["--no-packets", "--no-block", "--no-journal", "--no-kernel"];

/// What one run of the work gave.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Wall time of the work in seconds.
    seconds: f64,
    /// Bytes written by the tracer, for each call of the work.
    bytes_a_call: Option<f64>,
    /// User CPU of the tracer in microseconds, for each call of the work.
    cpu_us_a_call: Option<f64>,
    /// Events that the tracer says it lost.
    lost: Option<u64>,
}

/// One way to run the work, and what came out each time.
struct Row {
    name: &'static str,
    samples: Vec<Sample>,
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values.get(middle).copied()
    } else {
        let (low, high) = (values.get(middle.checked_sub(1)?)?, values.get(middle)?);
        Some(f64::midpoint(*low, *high))
    }
}

/// Measures, prints the table, and puts it into `docs/performance.md` when `write` is set.
pub(crate) fn run(rounds: u32, write: bool) -> Result<()> {
    let binaries = workspace::release_binaries()?;
    let bed = Bed::up()?;
    let measured = measure(&bed, &binaries, rounds);
    let downed = bed.down();
    let rows = measured?;
    downed?;
    let text = table::markdown(&rows, rounds);
    println!("{text}");
    if write {
        let file = workspace::root()?.join("docs/performance.md");
        table::put(&file, "bench", &text)?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

fn measure(bed: &Bed, binaries: &Path, rounds: u32) -> Result<Vec<Row>> {
    let bench = Bench {
        bed,
        binaries,
        folder: bed.folder().join("bench"),
    };
    std::fs::create_dir(&bench.folder).context("cannot make a folder for bundles")?;
    let target = bench.container("sf-bench-target")?;
    let neighbour = bench.container("sf-bench-neighbour")?;
    let without_data = [CALLS_ALONE, &["--no-data"]].concat();
    let ways: [(&'static str, &dyn Fn() -> Result<Sample>); 6] = [
        ("untraced", &|| bench.untraced(&target)),
        ("`capture`, calls alone", &|| {
            bench.captured(&target, &target, CALLS_ALONE)
        }),
        ("`capture --no-data`, calls alone", &|| {
            bench.captured(&target, &target, &without_data)
        }),
        ("`capture`", &|| bench.captured(&target, &target, &[])),
        ("`capture` of another container", &|| {
            bench.captured(&neighbour, &target, &[])
        }),
        ("`strace -f`", &|| bench.straced(&target)),
    ];
    let mut rows: Vec<Row> = ways
        .iter()
        .map(|(name, _)| Row {
            name,
            samples: Vec::new(),
        })
        .collect();
    // A round that does not count warms caches and finds errors early.
    for round in 0..=rounds {
        for (row, (name, way)) in rows.iter_mut().zip(&ways) {
            interrupt::check()?;
            let sample = way().with_context(|| format!("round {round}, {name}"))?;
            eprintln!("round {round}: {name}: {:.3} s", sample.seconds);
            if round > 0 {
                row.samples.push(sample);
            }
        }
    }
    Ok(rows)
}

struct Bench<'b> {
    bed: &'b Bed,
    binaries: &'b Path,
    folder: PathBuf,
}

impl Bench<'_> {
    fn docker(&self, words: &[&str]) -> Result<String> {
        command::output(self.bed.enter(Command::new("docker").args(words)))
    }

    fn container(&self, name: &str) -> Result<String> {
        self.docker(&["run", "--detach", "--name", name, "sf-busybox", "sleep", "86400"])?;
        Ok(name.to_owned())
    }

    /// Runs the work inside `container`, and returns the seconds that it took there: the engine's own part in
    /// starting it is left out.
    fn work(&self, container: &str, calls: u32) -> Result<f64> {
        let script = format!("time -p dd if=/dev/zero of=/dev/null bs=1 count={calls} 2>&1");
        let said = self.docker(&["exec", container, "sh", "-c", &format!("{{ {script}; }} 2>&1")])?;
        seconds_of(&said).with_context(|| format!("dd says {said:?}"))
    }

    fn untraced(&self, container: &str) -> Result<Sample> {
        Ok(Sample {
            seconds: self.work(container, CALLS)?,
            ..Sample::default()
        })
    }

    /// Starts capture of `target`, and waits until it records. Returns where the bundle will be, too.
    fn capture(&self, target: &str, options: &[&str]) -> Result<(Started, PathBuf)> {
        let path = self.folder.join("x.capture.tar.zst");
        let mut command = Command::new(self.binaries.join("capture"));
        command
            .args([target, "-t", "10m", "--force", "-o"])
            .arg(&path)
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut capture = Started::new(self.bed.enter(&mut command))?;
        let partial = self.folder.join("x.capture.tar.zst.partial");
        capture.wait_until(|| partial.metadata().is_ok_and(|file| file.len() > 0))?;
        std::thread::sleep(Duration::from_secs(1));
        Ok((capture, path))
    }

    /// The first process of a container.
    fn pid_of(&self, container: &str) -> Result<String> {
        let pid = self.docker(&["inspect", "--format", "{{.State.Pid}}", container])?;
        Ok(pid.trim().to_owned())
    }

    /// The work in `worker` while `captured` is captured with `options`.
    fn captured(&self, captured: &str, worker: &str, options: &[&str]) -> Result<Sample> {
        let (mut capture, path) = self.capture(captured, options)?;
        let before = capture.user_cpu()?;
        let seconds = self.work(worker, CALLS)?;
        // What is still in its buffers is part of its work: the end of the process counts it in.
        std::thread::sleep(Duration::from_secs(1));
        let cpu = capture.user_cpu()?.saturating_sub(before);
        let status = capture.interrupt()?;
        if !matches!(status, Some(0 | 4)) {
            bail!("capture ended with {status:?}");
        }
        if captured != worker {
            return Ok(Sample {
                seconds,
                ..Sample::default()
            });
        }
        let lost = self.lost(&path)?;
        let calls = f64::from(CALLS) * 2.0;
        #[expect(clippy::cast_precision_loss, reason = "a file's size, shown with two digits")]
        let bytes = path.metadata()?.len() as f64;
        Ok(Sample {
            seconds,
            bytes_a_call: Some(bytes / calls),
            cpu_us_a_call: Some(cpu.as_secs_f64() * 1e6 / calls),
            lost: Some(lost),
        })
    }

    fn info(&self, bundle: &Path) -> Result<Value> {
        let said = command::output(
            Command::new(self.binaries.join("replay"))
                .args(["info", "--json"])
                .arg(bundle),
        )?;
        serde_json::from_str(&said).context("replay info --json is not JSON")
    }

    fn lost(&self, bundle: &Path) -> Result<u64> {
        let info = self.info(bundle)?;
        let lost = info
            .get("lost")
            .and_then(Value::as_object)
            .context("replay info --json has no lost")?;
        Ok(lost.values().filter_map(Value::as_u64).sum())
    }

    fn straced(&self, container: &str) -> Result<Sample> {
        let pid = self.pid_of(container)?;
        let output = self.folder.join("strace.txt");
        // strace starts dd inside the container's namespaces, since docker exec has nothing to attach to yet.
        let script = format!("time -p dd if=/dev/zero of=/dev/null bs=1 count={STRACE_CALLS}");
        let mut command = Command::new("strace");
        command.args(["-f", "-ttt", "-T", "-o"]).arg(&output);
        command.args([
            "nsenter",
            "-t",
            &pid,
            "-m",
            "-p",
            "-n",
            "/bin/busybox",
            "sh",
            "-c",
            &script,
        ]);
        let said = command
            .stdin(Stdio::null())
            .output()
            .context("cannot run strace")?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let seconds = seconds_of(&said).with_context(|| format!("dd under strace says {said:?}"))?;
        #[expect(clippy::cast_precision_loss, reason = "a file's size, shown with two digits")]
        let bytes = output.metadata()?.len() as f64;
        Ok(Sample {
            seconds: seconds * f64::from(CALLS) / f64::from(STRACE_CALLS),
            bytes_a_call: Some(bytes / (f64::from(STRACE_CALLS) * 2.0)),
            ..Sample::default()
        })
    }
}

/// The time that `time -p` says: `real 0.51`. Not every busybox has a dd that says its own.
fn seconds_of(said: &str) -> Option<f64> {
    said.lines()
        .find_map(|line| line.strip_prefix("real"))?
        .trim()
        .parse()
        .ok()
}

/// A tracer or a server that runs; it is killed when this value goes.
pub(crate) struct Started(Child);

impl Started {
    pub(crate) fn new(command: &mut Command) -> Result<Self> {
        let shown = command::shown(command);
        Ok(Self(
            command.spawn().with_context(|| format!("cannot run {shown}"))?,
        ))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    fn wait_until(&mut self, condition: impl Fn() -> bool) -> Result<()> {
        let since = Instant::now();
        while !condition() {
            interrupt::check()?;
            if let Some(status) = self.0.try_wait()? {
                bail!("capture ended before it recorded anything: {status}");
            }
            if since.elapsed() > Duration::from_secs(30) {
                bail!("capture has recorded nothing after 30 seconds");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// User CPU of the process so far (`/proc/PID/stat`, field 14).
    fn user_cpu(&self) -> Result<Duration> {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).context("capture has ended")?;
        let rest = stat.rsplit_once(')').context("a stat line without a name")?.1;
        let ticks: u64 = rest
            .split_ascii_whitespace()
            .nth(11)
            .context("a short stat line")?
            .parse()?;
        let rate = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no clock tick")?;
        Ok(Duration::from_micros(ticks * (1_000_000 / u64::try_from(rate)?)))
    }

    /// Resident memory of the process now, in MiB (`/proc/PID/status`, VmRSS).
    fn resident(&self) -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).context("capture has ended")?;
        let kibibytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("no VmRSS")?
            .parse()?;
        Ok(kibibytes / 1024)
    }

    /// Ctrl-C, and its exit code.
    pub(crate) fn interrupt(&mut self) -> Result<Option<i32>> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGINT).context("cannot signal a tracer")?;
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.code());
            }
            if since.elapsed() > Duration::from_secs(60) {
                bail!("a tracer does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_from_what_dd_says() {
        let said = "5+0 records in\n5+0 records out\nreal 0.51\nuser 0.10\nsys 0.41\n";
        assert_eq!(seconds_of(said), Some(0.51));
        assert_eq!(seconds_of("dd: not found"), None);
    }
}
