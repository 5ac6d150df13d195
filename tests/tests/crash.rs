//! `kill -9` at any moment: what was sealed is there, can be read, and is recent.
//!
//! The captures need no engine: each starts a load of its own, a dd that makes about a million calls a second, and
//! the killed capture leaves that behind for the test to end.

#![allow(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use stillframe_tests::{Bundle, capture, run_for, tool, wait_until};

/// How many captures are killed.
const KILLS: usize = 50;
/// Seeds the moments, so that a failure can be met again.
const SEED: u64 = 0x5f_1e57_5ead;
/// When a capture is killed, in milliseconds after its header was written.
const MOMENTS: std::ops::Range<u64> = 20..2_800;
/// The newest event may be so much older than the kill, in nanoseconds.
const OLDEST: u64 = 2_000_000_000;

fn boottime() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(time.tv_sec())? * 1_000_000_000 + u64::try_from(time.tv_nsec())?)
}

/// xorshift64*: any moments will do, as long as they are the same in every run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A capture with a load of its own, in a process group that goes with this value.
struct Loaded(Child);

impl Loaded {
    fn start(output: &Path) -> Result<Self> {
        let mut command = capture(&["--quiet", "-t", "60s", "-o"])?;
        command.arg(output).args([
            "--",
            "sh",
            "-c",
            "while :; do dd if=/dev/zero of=/dev/null bs=1 count=500000 2>/dev/null; ls -R /etc >/dev/null; done",
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Ok(Self(command.spawn().context("cannot start capture")?))
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.0.id())?))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Ok(group) = self.pid() {
            // The load, and capture itself where the test failed before it was killed.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

/// Kills one capture `after` its header was written. Returns how old its newest event was, and how many slices.
fn kill_one(after: Duration) -> Result<(Option<u64>, u64)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let partial = folder.path().join("x.capture.tar.zst.partial");
    let mut loaded = Loaded::start(&path)?;
    wait_until("the header is written", Duration::from_secs(30), || {
        if let Some(status) = loaded.0.try_wait()? {
            bail!("capture ended with {status} before it recorded");
        }
        Ok(partial.metadata().is_ok_and(|file| file.len() > 0))
    })?;
    let header = boottime()?;
    std::thread::sleep(after);
    let killed = boottime()?;
    kill(loaded.pid()?, Signal::SIGKILL)?;
    loaded.0.wait()?;
    drop(loaded);
    ensure!(!path.exists(), "there is a file under the final name");

    let bundle = Bundle::new(partial, None);
    let info = bundle.replay("info", &["--json"])?.expect_code(4)?;
    let info: Value = serde_json::from_str(&info.text())?;
    ensure!(info["complete"] == false, "{info}");
    let slices = info["slices"].as_u64().context("info has no slices")?;

    // What a tar that knows nothing of slices unpacks is what there is.
    let listed = run_for(
        &mut tool("tar", &["--zstd", "-tf", bundle.name()?]),
        Duration::from_secs(30),
    )?;
    let members = listed.text();
    let sealed = members
        .lines()
        .filter(|name| name.starts_with("slice/") && name.ends_with("/ledger.cbor"))
        .count();
    ensure!(
        u64::try_from(sealed)? == slices,
        "tar finds {sealed} sealed slices, replay {slices}"
    );

    let verified = bundle.replay("verify", &[])?;
    let said = verified.said();
    ensure!(
        verified.code() == 4,
        "verify ended with {}\n{said}",
        verified.code()
    );
    if slices > 0 {
        ensure!(said.contains(&format!("valid up to slice {slices}")), "{said}");
    }
    // One finding, at the very end: that there is no end.
    let findings: Vec<&str> = said.lines().filter(|line| line.contains("damaged")).collect();
    ensure!(
        findings.len() <= 1 && said.contains("before its end record"),
        "{said}"
    );

    if slices == 0 {
        ensure!(
            killed - header < OLDEST,
            "no slice {} ms after the header",
            (killed - header) / 1_000_000
        );
        return Ok((None, 0));
    }
    let mut newest = None;
    for from in ["-5ms", "-4s"] {
        let events = bundle
            .replay("events", &["--json", "--from", from])?
            .expect_code(4)?
            .text();
        if let Some(last) = events.lines().last() {
            newest = serde_json::from_str::<Value>(last)?["evt.boottime"].as_u64();
            break;
        }
    }
    // The command is let go a while after the header: until then a slice may hold nothing, and say until when.
    let newest = match newest {
        Some(newest) => newest,
        None => info["condition"]["until_boottime"]
            .as_u64()
            .context("info does not say until when")?,
    };
    let age = killed.saturating_sub(newest);
    ensure!(
        age <= OLDEST,
        "the newest event is {} ms older than the kill",
        age / 1_000_000
    );
    Ok((Some(age), slices))
}

#[test]
#[ignore = "root"]
fn sigkill_at_fifty_random_moments_loses_at_most_the_last_two_seconds() -> Result<()> {
    let mut seed = SEED;
    let moments: Vec<Duration> = (0..KILLS)
        .map(|_| MOMENTS.start + next(&mut seed) % (MOMENTS.end - MOMENTS.start))
        .map(Duration::from_millis)
        .collect();
    eprintln!("seed {SEED:#x}");
    let mut failures = Vec::new();
    let (mut ages, mut with_slices) = (Vec::new(), 0);
    for after in moments {
        // One at a time: two such loads are more than two cores can record.
        match kill_one(after) {
            Ok((age, slices)) => {
                ages.extend(age);
                with_slices += usize::from(slices > 0);
            }
            Err(error) => failures.push(format!("killed {after:?} after its header: {error:#}")),
        }
    }
    let worst = ages.iter().max().copied().unwrap_or(0) / 1_000_000;
    eprintln!(
        "{with_slices} of {KILLS} had slices; the newest event was at most {worst} ms older than the kill"
    );
    ensure!(failures.is_empty(), "seed {SEED:#x}:\n{}", failures.join("\n"));
    ensure!(
        with_slices > KILLS / 2,
        "only {with_slices} had slices to look at"
    );
    Ok(())
}
