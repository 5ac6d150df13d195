//! Work that people have, untraced, under capture and under the stock tools, in turn.
//!
//! Each workload measures itself inside its container, so that the engine's part in starting it is left out. What
//! takes a slow tool minutes is given to it in part, and its time is scaled.

use super::{Bench, Started, median, seconds_of, table};
use crate::bed::Bed;
use crate::{interrupt, workspace};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files in the archive, and processes in the loop.
const FILES: u32 = 20_000;
const PROCESSES: u32 = 3_000;
const REQUESTS: u32 = 100_000;
/// How long two producers run at full speed.
const ENDURANCE: Duration = Duration::from_secs(60);
/// For a slow tool, this share of the work.
const SHARE: u32 = 20;

/// A piece of work inside a container.
struct Workload {
    name: &'static str,
    /// Whom capture is given.
    target: &'static str,
    /// Where the script runs.
    worker: &'static str,
    /// Run by `sh` once for each measurement, untimed.
    before: String,
    /// What is timed, for this many pieces.
    script: fn(u32) -> String,
    pieces: u32,
    /// What else is measured.
    peers: &'static [Peer],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// `strace -f` of the work, which it starts itself, or of the target's first process.
    Strace,
    /// `tcpdump` on all interfaces of the target's network namespace.
    Tcpdump,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Untraced,
    Calls,
    CallsWithoutDurations,
    Everything,
    Peer(Peer),
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Calls => "`capture`, calls alone",
            Self::CallsWithoutDurations => "`capture --no-durations`, calls alone",
            Self::Everything => "`capture`",
            Self::Peer(Peer::Strace) => "`strace -f`",
            Self::Peer(Peer::Tcpdump) => "`tcpdump`",
        }
    }

    /// What capture is told, where it is the way.
    fn options(self) -> Option<&'static [&'static str]> {
        const EXITS: &[&str] = &[
            "--no-packets",
            "--no-block",
            "--no-journal",
            "--no-kernel",
            "--no-durations",
        ];
        match self {
            Self::Calls => Some(super::CALLS_ALONE),
            Self::CallsWithoutDurations => Some(EXITS),
            Self::Everything => Some(&[]),
            Self::Untraced | Self::Peer(_) => None,
        }
    }
}

/// The seconds of one measurement, and what capture said it lost.
struct Sample {
    seconds: f64,
    lost: u64,
}

fn workloads() -> Vec<Workload> {
    vec![
        Workload {
            name: "redis, `redis-benchmark -t set,get -P 1` on loopback, the server captured",
            target: "sf-bench-redis",
            worker: "sf-bench-client",
            before: String::new(),
            script: |pieces| format!("redis-benchmark -t set,get -P 1 -q -n {pieces} >/dev/null"),
            pieces: REQUESTS,
            peers: &[Peer::Tcpdump, Peer::Strace],
        },
        Workload {
            name: "tar, which unpacks small files",
            target: "sf-bench-target",
            worker: "sf-bench-target",
            before: format!(
                "[ -f /tmp/files.tar ] || {{ mkdir -p /tmp/files; cd /tmp/files; i=0; \
                 while [ $i -lt {FILES} ]; do echo $i > $i; i=$((i+1)); done; \
                 tar cf /tmp/files.tar .; \
                 tar cf /tmp/part.tar $(ls | head -n {}); rm -rf /tmp/files; }}; rm -rf /tmp/out; mkdir /tmp/out",
                FILES / SHARE
            ),
            script: |pieces| {
                let archive = if pieces == FILES { "files" } else { "part" };
                format!("tar xf /tmp/{archive}.tar -C /tmp/out")
            },
            pieces: FILES,
            peers: &[Peer::Strace],
        },
        Workload {
            name: "a shell loop of short processes",
            target: "sf-bench-target",
            worker: "sf-bench-target",
            before: String::new(),
            script: |pieces| format!("i=0; while [ $i -lt {pieces} ]; do /bin/true; i=$((i+1)); done"),
            pieces: PROCESSES,
            peers: &[Peer::Strace],
        },
        Workload {
            name: "`dd bs=1` in a neighbour, which is not captured",
            target: "sf-bench-target",
            worker: "sf-bench-neighbour",
            before: String::new(),
            script: |pieces| format!("dd if=/dev/zero of=/dev/null bs=1 count={pieces} 2>/dev/null"),
            pieces: 1_000_000,
            peers: &[],
        },
    ]
}

/// Measures, prints the tables, and puts them into `docs/performance.md` when `write` is set.
pub(crate) fn run(rounds: u32, write: bool) -> Result<()> {
    let binaries = workspace::release_binaries()?;
    let bed = Bed::up()?;
    let measured = measure(&bed, &binaries, rounds);
    let downed = bed.down();
    let text = measured?;
    downed?;
    println!("{text}");
    if write {
        let file = workspace::root()?.join("docs/performance.md");
        table::put(&file, "bench --only workloads", &text)?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

fn measure(bed: &Bed, binaries: &Path, rounds: u32) -> Result<String> {
    let bench = Bench {
        bed,
        binaries,
        folder: bed.folder().join("bench-workloads"),
    };
    std::fs::create_dir(&bench.folder).context("cannot make a folder for bundles")?;
    for name in ["sf-bench-target", "sf-bench-neighbour"] {
        bench.docker(&["run", "--detach", "--name", name, "sf-busybox", "sleep", "86400"])?;
    }
    bench.docker(&["run", "--detach", "--name", "sf-bench-redis", "sf-redis"])?;
    bench.docker(&[
        "run",
        "--detach",
        "--name",
        "sf-bench-client",
        "--network",
        "container:sf-bench-redis",
        "sf-redis",
        "sleep",
        "86400",
    ])?;
    let mut text = format!(
        "Medians of {rounds} rounds, the ways in turn. `strace` is given a twentieth of the work, and its time is scaled.\n\n\
         | work | way | seconds | ratio | speed kept | lost |\n|---|---|---:|---:|---:|---:|\n"
    );
    for workload in workloads() {
        text.push_str(&bench.rows(&workload, rounds)?);
    }
    text.push('\n');
    text.push_str(&bench.endurance()?);
    Ok(text)
}

impl Bench<'_> {
    fn rows(&self, workload: &Workload, rounds: u32) -> Result<String> {
        let mut ways = vec![Way::Untraced, Way::Calls];
        ways.push(
            if workload.target == workload.worker || workload.name.starts_with("redis") {
                Way::Everything
            } else {
                Way::CallsWithoutDurations
            },
        );
        ways.extend(workload.peers.iter().copied().map(Way::Peer));
        let mut samples: Vec<Vec<Sample>> = ways.iter().map(|_| Vec::new()).collect();
        // A round that does not count warms caches and finds errors early.
        for round in 0..=rounds {
            for (way, samples) in ways.iter().zip(&mut samples) {
                interrupt::check()?;
                let sample = self
                    .sample(workload, *way)
                    .with_context(|| format!("{}, {}", workload.name, way.name()))?;
                eprintln!(
                    "round {round}: {}: {}: {:.3} s",
                    workload.name,
                    way.name(),
                    sample.seconds
                );
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        let seconds = |samples: &[Sample]| median(samples.iter().map(|sample| sample.seconds).collect());
        let base = samples
            .first()
            .and_then(|samples| seconds(samples))
            .context("nothing was measured")?;
        let mut text = String::new();
        for (way, samples) in ways.iter().zip(&samples) {
            let Some(seconds) = seconds(samples) else {
                continue;
            };
            let lost: u64 = samples.iter().map(|sample| sample.lost).sum();
            text.push_str(&format!(
                "| {} | {} | {seconds:.2} | {:.2}x | {:.0} % | {} |\n",
                workload.name,
                way.name(),
                seconds / base,
                100.0 * base / seconds,
                if way.options().is_some() {
                    lost.to_string()
                } else {
                    String::new()
                },
            ));
        }
        Ok(text)
    }

    fn sample(&self, workload: &Workload, way: Way) -> Result<Sample> {
        let work = |pieces: u32| -> Result<f64> {
            let script = format!("{{ time -p sh -c '{}'; }} 2>&1", (workload.script)(pieces));
            let said = self.docker(&["exec", workload.worker, "sh", "-c", &script])?;
            seconds_of(&said).with_context(|| format!("the work says {said:?}"))
        };
        if !workload.before.is_empty() {
            self.docker(&["exec", workload.worker, "sh", "-c", &workload.before])?;
        }
        let sample = |seconds| Sample { seconds, lost: 0 };
        match way {
            Way::Untraced => Ok(sample(work(workload.pieces)?)),
            Way::Peer(Peer::Tcpdump) => {
                let mut tcpdump = self.in_namespaces(workload.target, &["-n"])?;
                tcpdump.args(["tcpdump", "-i", "any", "-w"]);
                tcpdump.arg(self.folder.join("x.pcap"));
                let mut running = Started::new(tcpdump.stdin(Stdio::null()).stderr(Stdio::null()))?;
                std::thread::sleep(Duration::from_secs(1));
                let seconds = work(workload.pieces)?;
                running.interrupt()?;
                Ok(sample(seconds))
            }
            Way::Peer(Peer::Strace) => self.part_straced(workload).map(sample),
            Way::Calls | Way::CallsWithoutDurations | Way::Everything => {
                let (mut capture, bundle) =
                    self.capture(workload.target, way.options().unwrap_or_default())?;
                let seconds = work(workload.pieces)?;
                let status = capture.interrupt()?;
                if !matches!(status, Some(0 | 4)) {
                    bail!("capture ended with {status:?}");
                }
                Ok(Sample {
                    seconds,
                    lost: self.lost(&bundle)?,
                })
            }
        }
    }

    fn in_namespaces(&self, container: &str, which: &[&str]) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid_of(container)?]).args(which);
        Ok(command)
    }

    /// A part of the work under strace, scaled.
    fn part_straced(&self, workload: &Workload) -> Result<f64> {
        let pieces = workload.pieces / SHARE;
        let script = format!("time -p sh -c '{}'", (workload.script)(pieces));
        let scale = f64::from(workload.pieces) / f64::from(pieces);
        let output = self.folder.join("strace.txt");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-ttt", "-T", "-o"]).arg(&output);
        let said = if workload.worker == workload.target {
            // strace starts it inside the container's namespaces: docker exec has nothing to attach to yet.
            let pid = self.pid_of(workload.worker)?;
            strace.args([
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
            let output = strace
                .stdin(Stdio::null())
                .output()
                .context("cannot run strace")?;
            String::from_utf8_lossy(&output.stderr).into_owned()
        } else {
            strace.args(["-p", &self.pid_of(workload.target)?]);
            let mut running = Started::new(strace.stdin(Stdio::null()).stderr(Stdio::null()))?;
            std::thread::sleep(Duration::from_secs(1));
            let script = format!("{{ {script}; }} 2>&1");
            let said = self.docker(&["exec", workload.worker, "sh", "-c", &script])?;
            running.interrupt()?;
            said
        };
        let seconds = seconds_of(&said).with_context(|| format!("the work under strace says {said:?}"))?;
        Ok(seconds * scale)
    }

    /// Two producers at full speed for a minute: what is lost, and whether the memory of capture stays flat.
    fn endurance(&self) -> Result<String> {
        let (mut capture, bundle) = self.capture("sf-bench-target", &["--max-size", "8GiB"])?;
        let seconds = ENDURANCE.as_secs();
        let dd = format!("timeout {seconds} dd if=/dev/zero of=/dev/null bs=1 2>/dev/null");
        let mut docker = Command::new("docker");
        docker.args([
            "exec",
            "sf-bench-target",
            "sh",
            "-c",
            &format!("{dd} & {dd} & wait"),
        ]);
        let _producers = Started::new(self.bed.enter(docker.stdin(Stdio::null())))?;
        let since = Instant::now();
        let mut memory = Vec::new();
        while since.elapsed() < ENDURANCE {
            interrupt::check()?;
            std::thread::sleep(Duration::from_secs(10));
            memory.push(capture.resident()?.to_string());
        }
        std::thread::sleep(Duration::from_secs(2));
        capture.interrupt()?;
        let info = self.info(&bundle)?;
        let calls = info
            .pointer("/counts/syscall")
            .and_then(Value::as_u64)
            .context("replay info --json counts no calls")?;
        Ok(format!(
            "Two `dd bs=1` at full speed for {seconds} seconds, on as many processors, every source on, 128 MiB of kernel \
             buffers: {calls} calls recorded, {} events lost. Resident memory of capture, buffers and mapped rings \
             included, each ten seconds, in MiB: {}.\n",
            self.lost(&bundle)?,
            memory.join(", ")
        ))
    }
}
