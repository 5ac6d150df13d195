//! Outputs that take no more: full disks, quotas, largest file sizes; pipes that are slow, stuck or closed.
//!
//! Whatever the output does, the recording goes on or ends sealed with the reason in it, and says what it lost.

#![allow(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use stillframe_tests::{Bundle, Disk, Finished, Running, capture, program, run, run_for, tool, wait_until};

const SECOND: Duration = Duration::from_secs(1);
/// Random data does not compress: it fills any disk and any pipe. It lets go of capture's streams, whose end the tests
/// wait for.
const FLOOD: &[&str] = &[
    "--",
    "sh",
    "-c",
    "exec >/dev/null 2>&1; while :; do dd if=/dev/urandom of=/dev/null bs=64 count=20000; done",
];

/// The command that capture starts outlives it: nobody's prisoner. In tests it goes with this value.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(-self.0), Signal::SIGKILL);
    }
}

/// Starts it in a process group of its own.
fn start(command: &mut Command) -> Result<(Running, Group)> {
    use std::os::unix::process::CommandExt as _;
    let running = Running::start(command.process_group(0))?;
    let group = Group(running.pid()?);
    Ok((running, group))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".partial");
    name.into()
}

/// What has to be there when the output was full: a sealed bundle that says so, and nothing beside it.
fn expect_sealed_but_full(finished: Finished, path: &Path) -> Result<()> {
    let finished = finished.expect_code(4)?;
    ensure!(!finished.stderr.contains("panicked"), "{}", finished.said());
    ensure!(finished.stderr.contains("sealed"), "{}", finished.said());
    ensure!(path.exists(), "there is no bundle\n{}", finished.said());
    ensure!(!partial(path).exists(), "the partial file is still there");
    let file = path.metadata()?;
    ensure!(
        file.blocks() * 512 <= file.len().next_multiple_of(4096) + 8192,
        "the room for the end is still taken: {} bytes in {} blocks",
        file.len(),
        file.blocks()
    );
    let bundle = Bundle::new(path.to_owned(), None);
    bundle.expect_sealed()?;
    let end: Value = serde_json::from_slice(&bundle.member("end.json")?)?;
    assert_eq!(end["reason"], "output-failed");
    ensure!(
        end["lost"]["syscall"].as_u64() > Some(0),
        "nothing is counted as lost: {end}"
    );
    ensure!(
        bundle.count("evt.type=loss and loss.cause=output-full")? > 0,
        "the hole is no event"
    );
    ensure!(bundle.count("evt.stream=syscall")? > 0, "nothing was recorded");
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_disk_that_others_fill_ends_sealed_with_the_reason_in_it() -> Result<()> {
    let disk = Disk::mounted(48)?;
    let path = disk.path().join("x.capture.tar.zst");
    let (mut running, _group) = start(
        capture(&["-t", "100s", "--max-size", "20M", "-o"])?
            .arg(&path)
            .args(FLOOD),
    )?;
    wait_until("capture writes slices", 20 * SECOND, || {
        Ok(partial(&path).metadata().is_ok_and(|file| file.len() > 600_000))
    })?;
    // Somebody else takes all there is, and takes it again when some comes free.
    let mut filler = File::create(disk.path().join("filler"))?;
    let block = vec![1_u8; 64 << 10];
    wait_until("capture ends on a full disk", 60 * SECOND, || {
        for size in [block.len(), 4096, 1] {
            while filler.write_all(&block[..size]).is_ok() {}
        }
        Ok(!running.is_running()?)
    })?;
    let finished = running.finish(SECOND)?;
    ensure!(
        finished.stderr.to_lowercase().contains("space"),
        "{}",
        finished.said()
    );
    expect_sealed_but_full(finished, &path)
}

#[test]
#[ignore = "root"]
fn a_quota_that_is_used_up_ends_sealed_with_the_reason_in_it() -> Result<()> {
    let disk = Disk::btrfs(160)?;
    let folder = disk.path().join("limited");
    let limited = folder.to_str().context("a path that is not UTF-8")?;
    run(tool("btrfs", &["quota", "enable"]).arg(disk.path()))?;
    run(&mut tool("btrfs", &["subvolume", "create", limited]))?;
    run(&mut tool("btrfs", &["qgroup", "limit", "14M", limited]))?;
    let path = folder.join("x.capture.tar.zst");
    let mut command = capture(&["-t", "100s", "--max-size", "40M", "-o"])?;
    command.arg(&path).args(FLOOD);
    let (running, _group) = start(&mut command)?;
    let finished = running.finish(60 * SECOND)?;
    ensure!(
        finished.stderr.to_lowercase().contains("quota"),
        "{}",
        finished.said()
    );
    expect_sealed_but_full(finished, &path)
}

#[test]
#[ignore = "root"]
fn the_largest_file_size_ends_sealed_with_the_reason_in_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let mut command = tool("prlimit", &["--fsize=14000000"]);
    command.arg(program("capture")?.get_program());
    command.args(["-t", "100s", "-o"]).arg(&path).args(FLOOD);
    let (running, _group) = start(&mut command)?;
    let finished = running.finish(60 * SECOND)?;
    ensure!(path.metadata()?.len() <= 14_000_000, "larger than allowed");
    expect_sealed_but_full(finished, &path)
}

/// Capture with a flood, to a pipe whose reading end is returned.
fn piped(arguments: &[&str]) -> Result<(std::process::Child, ChildStdout, Group)> {
    use std::os::unix::process::CommandExt as _;
    let mut command = capture(&["-o", "-"])?;
    command
        .args(arguments)
        .args(FLOOD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().context("cannot start capture")?;
    let group = Group(i32::try_from(child.id())?);
    let reader = child.stdout.take().context("no pipe")?;
    Ok((child, reader, group))
}

/// Waits for a child's end, and gives its exit code and what it said.
fn ended(mut child: std::process::Child, patience: Duration) -> Result<(Option<i32>, String)> {
    wait_until("capture ends", patience, || Ok(child.try_wait()?.is_some()))?;
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said)?;
    }
    Ok((child.wait()?.code(), said))
}

#[test]
#[ignore = "root"]
fn a_pipe_that_is_closed_on_the_way_ends_with_one_clear_line() -> Result<()> {
    let (child, mut reader, _group) = piped(&["-t", "60s", "--quiet"])?;
    let mut some = vec![0; 12_000_000];
    reader.read_exact(&mut some)?;
    drop(reader);
    let since = Instant::now();
    let (code, said) = ended(child, 30 * SECOND)?;
    ensure!(since.elapsed() < 15 * SECOND, "it took {:?}", since.elapsed());
    assert_eq!(code, Some(4), "{said}");
    ensure!(
        said.lines().count() == 1 && said.contains("nobody reads it any more"),
        "{said}"
    );
    // What the reader has is good up to the cut.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cut.capture.tar.zst");
    std::fs::write(&path, some)?;
    let verified = Bundle::new(path, None).replay("verify", &[])?;
    ensure!(
        verified.code() == 4 && verified.said().contains("valid up to slice"),
        "{}",
        verified.said()
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_slow_pipe_makes_holes_that_are_counted_and_the_bundle_is_sealed() -> Result<()> {
    let (child, mut reader, _group) = piped(&["-t", "8s", "--max-memory", "16M"])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("slow.capture.tar.zst");
    let mut file = File::create(&path)?;
    let since = Instant::now();
    let copy = std::thread::spawn(move || -> std::io::Result<u64> {
        // A mebibyte a second.
        let mut some = vec![0; 1 << 16];
        let mut sum = 0;
        loop {
            let count = reader.read(&mut some)?;
            if count == 0 {
                return Ok(sum);
            }
            file.write_all(some.get(..count).unwrap_or_default())?;
            sum += count as u64;
            let due = Duration::from_secs_f64(sum as f64 / f64::from(1 << 20));
            std::thread::sleep(due.saturating_sub(since.elapsed()));
        }
    });
    let (code, said) = ended(child, 120 * SECOND)?;
    let took = since.elapsed();
    let copied = copy.join().ok().context("the reader panicked")??;
    eprintln!("{copied} bytes in {took:?}");
    assert_eq!(code, Some(4), "{said}");
    ensure!(took < 90 * SECOND, "an end behind a slow pipe took {took:?}");
    let bundle = Bundle::new(path, None);
    bundle.expect_sealed()?;
    let end: Value = serde_json::from_slice(&bundle.member("end.json")?)?;
    assert_eq!(end["reason"], "duration");
    let holes = bundle.events("evt.type=loss and loss.stream=syscall")?;
    let counted: u64 = holes.iter().filter_map(|hole| hole["loss.count"].as_u64()).sum();
    ensure!(
        counted > 0,
        "no holes, {copied} bytes: the pipe was not slow enough"
    );
    assert_eq!(end["lost"]["syscall"].as_u64(), Some(counted));
    ensure!(said.contains("lost"), "{said}");
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_second_ctrl_c_ends_a_capture_whose_reader_stands_still() -> Result<()> {
    // Nobody reads, and nobody closes.
    let (mut child, reader, _group) = piped(&["-t", "2s"])?;
    std::thread::sleep(6 * SECOND);
    ensure!(child.try_wait()?.is_none(), "it ended and nobody had read");
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    kill(pid, Signal::SIGINT)?;
    std::thread::sleep(SECOND);
    ensure!(
        child.try_wait()?.is_none(),
        "the first Ctrl-C asks for a sealed end"
    );
    kill(pid, Signal::SIGINT)?;
    let (code, said) = ended(child, 5 * SECOND)?;
    assert_eq!(code, Some(4), "{said}");
    ensure!(said.contains("second signal"), "{said}");
    drop(reader);
    Ok(())
}

#[test]
#[ignore = "root"]
fn closed_standard_streams_change_nothing() -> Result<()> {
    for redirect in ["<&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full >/dev/full"] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("x.capture.tar.zst");
        let mut command = tool("sh", &["-c", &format!("exec \"$@\" {redirect}"), "sh"]);
        command
            .arg(program("capture")?.get_program())
            .arg("-o")
            .arg(&path)
            .args(["--", "cat", "/etc/hostname"]);
        run_for(&mut command, 30 * SECOND)?
            .expect_code(0)
            .with_context(|| redirect.to_owned())?;
        let bundle = Bundle::new(path, Some(folder));
        bundle.expect_sealed().with_context(|| redirect.to_owned())?;
        // A stream that was closed is none of capture's own files.
        assert_eq!(
            bundle.count("evt.type=execve and proc.name=cat")?,
            1,
            "{redirect}"
        );
    }
    Ok(())
}
