//! `cargo xtask vm`: the same small workload recorded on other kernels, in qemu without hardware's help, and what the
//! bundle holds of it.
//!
//! A kernel's verifier is the one thing that no test on this machine's kernel can speak for. The kernels are Debian's,
//! downloaded and never installed. Only the recording happens in the virtual machine; its bundle is read here.

mod machine;

use crate::bed;
use crate::command;
use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use machine::Machine;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Packages that name the newest kernel of a series.
const KERNELS: &[&str] = &["linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64"];
/// Calls of each kind that the workload's dd makes.
const CALLS: u64 = 2_000;
/// Requests that the workload's `rings` submits, and completions that find room; those of a ring that is torn down apart.
const RINGS: (u64, u64) = (37, 33);
const HOUR: i64 = 3_600_000_000_000;
const PAGE: &str = "docs/kernel-support.md";
const BEGIN: &str = "<!-- what cargo xtask vm --write prints -->\n";
const END: &str = "<!-- end -->\n";

/// One thing that must be in the bundle: what, and what was found.
struct Finding {
    what: &'static str,
    found: Result<String>,
}

/// Records on each kernel, prints what was found, and puts it into `docs/kernel-support.md` when `write` is set.
///
/// # Errors
/// A kernel cannot be had or booted, or a bundle lacks something; the table has been printed before.
pub(crate) fn run(write: bool) -> Result<()> {
    bed::install_packages_for_machines()?;
    let binaries = workspace::release_binaries()?;
    let mut table = String::from("| kernel | what | found |\n|---|---|---|\n");
    let mut failed = Vec::new();
    for package in KERNELS {
        let machine = Machine::prepare(package, &binaries)?;
        eprintln!("vm: {}", machine.release());
        let recorded = machine.record()?;
        for finding in findings(
            &binaries.join("replay"),
            recorded.bundle.as_deref(),
            recorded.code,
        ) {
            let found = finding.found.unwrap_or_else(|error| {
                failed.push(format!("{}: {}", machine.release(), finding.what));
                format!("**no**: {error:#}")
            });
            table.push_str(&format!(
                "| {} | {} | {found} |\n",
                machine.release(),
                finding.what
            ));
        }
        if !failed.is_empty() {
            eprintln!(
                "vm: what {} said is in {}",
                machine.release(),
                machine.log().display()
            );
        }
    }
    print!("{table}");
    if write {
        publish(&table)?;
    }
    ensure!(failed.is_empty(), "missing: {}", failed.join("; "));
    Ok(())
}

fn publish(table: &str) -> Result<()> {
    let page = workspace::root()?.join(PAGE);
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} does not say where the table begins"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} does not say where the table ends"))?;
    std::fs::write(&page, format!("{before}{BEGIN}\n{table}\n{END}{after}"))
        .with_context(|| format!("cannot write {PAGE}"))
}

/// What the bundle must hold, asked of `replay` as anybody would.
fn findings(replay: &Path, bundle: Option<&Path>, code: Option<i32>) -> Vec<Finding> {
    let Some(bundle) = bundle else {
        return vec![Finding {
            what: "a bundle",
            found: Err(anyhow::anyhow!("none came out of the machine")),
        }];
    };
    let asks = Asks { replay, bundle };
    let finding = |what, found| Finding { what, found };
    vec![
        finding("capture ended well", ended(code)),
        finding("`replay verify`", asks.verified()),
        finding("sources that recorded", asks.sources()),
        finding("every call of dd, by BPF", asks.calls()),
        finding("fork, exec and exit", asks.processes()),
        finding("signals sent and delivered", asks.signals()),
        finding("an OOM kill, its victim, what it used", asks.oom()),
        finding("requests of io_uring and what came of them", asks.uring()),
        finding("packets of a connection on loopback", asks.packets()),
        finding("a write to the disk, with its owner", asks.block()),
        finding("the wall clock set forwards and back", asks.clock()),
        finding("nothing lost", asks.losses()),
    ]
}

/// 0, or 4 since sources are missing that this machine has no program for.
fn ended(code: Option<i32>) -> Result<String> {
    match code {
        Some(code @ (0 | 4)) => Ok(format!("exit code {code}")),
        Some(code) => bail!("exit code {code}"),
        None => bail!("it did not end"),
    }
}

struct Asks<'a> {
    replay: &'a Path,
    bundle: &'a Path,
}

impl Asks<'_> {
    fn ask(&self, command: &str, words: &[&str]) -> Result<String> {
        command::output(
            Command::new(self.replay)
                .arg(command)
                .arg(self.bundle)
                .args(words),
        )
    }

    fn count(&self, filter: &str) -> Result<u64> {
        self.ask("events", &["-f", filter, "--count"])?
            .trim()
            .parse()
            .with_context(|| format!("events --count of {filter} is no number"))
    }

    fn at_least(&self, filter: &str, least: u64) -> Result<u64> {
        let count = self.count(filter)?;
        ensure!(count >= least, "{count} of `{filter}`");
        Ok(count)
    }

    fn verified(&self) -> Result<String> {
        self.ask("verify", &[]).map(|_| "whole".to_owned())
    }

    fn info(&self) -> Result<Value> {
        serde_json::from_str(&self.ask("info", &["--json"])?).context("info --json is no JSON")
    }

    fn sources(&self) -> Result<String> {
        let info = self.info()?;
        let sources = info
            .get("sources")
            .and_then(Value::as_array)
            .context("info names no sources")?;
        let mut recorded = Vec::new();
        for source in sources {
            let text = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default();
            let is_needed = ["syscalls", "packets", "block", "metrics"].contains(&text("name"));
            let ended = text("state") == "captured";
            ensure!(
                ended || !is_needed,
                "{}: {}: {}",
                text("name"),
                text("state"),
                text("reason")
            );
            if ended {
                recorded.push(text("name").to_owned());
            }
        }
        Ok(recorded.join(", "))
    }

    fn calls(&self) -> Result<String> {
        for call in ["read", "write"] {
            let filter = format!("evt.type={call} and proc.name=dd and evt.rawres=1");
            let count = self.count(&filter)?;
            ensure!(count == CALLS, "{count} of `{filter}`");
        }
        ensure!(
            !self.ask("info", &["--json"])?.contains("not by BPF"),
            "recorded with ptrace"
        );
        Ok(format!("{CALLS} reads, {CALLS} writes"))
    }

    fn processes(&self) -> Result<String> {
        let forks = self.at_least("evt.type=procfork", 5)?;
        let programs = self.at_least("evt.type=procexec", 5)?;
        let ends = self.at_least("evt.type=procexit", 5)?;
        self.at_least("evt.type=procexit and proc.exit.status=3", 1)?;
        Ok(format!("{forks}, {programs}, {ends}"))
    }

    fn signals(&self) -> Result<String> {
        self.at_least(
            "evt.type=signalsend and signal.name=SIGUSR1 and signal.sender.name=sh",
            1,
        )?;
        self.at_least(
            "evt.type=signaldeliver and signal.name=SIGUSR1 and signal.action=handler",
            1,
        )?;
        self.at_least(
            "evt.type=signalsend and signal.name=SIGTERM and signal.fatal=true",
            1,
        )?;
        let sent = self.count("evt.type=signalsend")?;
        Ok(format!("{sent}, {}", self.count("evt.type=signaldeliver")?))
    }

    fn oom(&self) -> Result<String> {
        let victims = self.at_least("evt.type=oomkill and proc.name=dd and oom.trigger.name=dd", 1)?;
        ensure!(victims == 1, "{victims} victims");
        let text = self.ask("events", &["-f", "evt.type=oomkill", "--json"])?;
        let event: Value = serde_json::from_str(text.trim()).context("one event, in JSON")?;
        Ok(match event.get("oom.pages.anon") {
            Some(pages) => format!("dd, {pages} pages of anonymous memory"),
            None => "dd; this kernel does not tell what it used".to_owned(),
        })
    }

    /// `rings` says nothing here: what it does is the same on every kernel, and the end-to-end tests know what that is.
    fn uring(&self) -> Result<String> {
        let submitted = self.count("evt.type=uringsubmit")?;
        ensure!(
            submitted == RINGS.0,
            "{submitted} were submitted, not {}",
            RINGS.0
        );
        let read = "uring.user_data=0x101 and uring.op=READ";
        self.at_least(
            &format!("evt.type=uringsubmit and {read} and fd.name=/tmp/data"),
            1,
        )?;
        self.at_least(
            &format!("evt.type=uringcomplete and {read} and uring.result=4096 and uring.latency>0ns"),
            1,
        )?;
        self.at_least(
            "evt.type=uringcomplete and uring.op=OPENAT and uring.error=ENOENT",
            1,
        )?;
        self.at_least(
            "evt.type=uringcomplete and uring.user_data=0x301 and uring.error=EINVAL",
            1,
        )?;
        self.at_least("evt.type=uringsubmit and proc.name startswith iou-sqp", 5)?;
        self.at_least("evt.type=uringoverflow", 4)?;
        // How those in flight end when their ring is closed differs by kernel.
        let done = self.count("evt.type=uringcomplete and not uring.user_data in (0x701, 0x702)")?;
        ensure!(done == RINGS.1, "{done} completed with room, not {}", RINGS.1);
        Ok(format!("{submitted}, {done} completed with room for it"))
    }

    fn packets(&self) -> Result<String> {
        let opened = self.at_least("tcp.dstport=8080 and tcp.flags.syn=true", 1)?;
        let all = self.at_least("evt.type=packet", opened + 1)?;
        Ok(format!("{all}, {opened} of them open one"))
    }

    fn block(&self) -> Result<String> {
        let written = self.at_least("evt.type=blkcomplete and blk.op=write and blk.owner=task", 1)?;
        Ok(format!("completed requests: {written}"))
    }

    fn clock(&self) -> Result<String> {
        let steps = self.ask("events", &["-f", "evt.type=clockstep", "--json"])?;
        let deltas: Vec<i64> = steps
            .lines()
            .map(|line| -> Result<i64> {
                let event: Value = serde_json::from_str(line)?;
                event
                    .as_object()
                    .and_then(|fields| fields.iter().find(|(name, _)| name.contains("delta")))
                    .and_then(|(_, delta)| delta.as_i64())
                    .with_context(|| format!("no delta in {line}"))
            })
            .collect::<Result<_>>()?;
        let [forwards, back] = deltas.as_slice() else {
            bail!("{} steps", deltas.len());
        };
        // `date` sets whole seconds.
        let near = |step: i64, of: i64| (step - of).abs() <= 2_000_000_000;
        ensure!(
            near(*forwards, HOUR) && near(*back, -HOUR),
            "steps of {deltas:?} ns"
        );
        Ok("both steps".to_owned())
    }

    fn losses(&self) -> Result<String> {
        let info = self.info()?;
        let lost = info
            .get("lost")
            .and_then(Value::as_object)
            .context("info does not say what was lost")?;
        let lost: Vec<String> = lost
            .iter()
            .filter(|(_, count)| count.as_u64() != Some(0))
            .map(|(stream, count)| format!("{count} of {stream}"))
            .collect();
        ensure!(lost.is_empty(), "{}", lost.join(", "));
        Ok("no loss".to_owned())
    }
}
