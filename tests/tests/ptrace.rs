//! Without BPF: a tracer gives the same events, asks before it slows what is not capture's own, and leaves it as it was.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use stillframe_tests::strace::{Threads, compare, explained, parse};
use stillframe_tests::{
    Bundle, CALLS_ALONE, Container, Recording, capture, compile, program, record_calls, replay, run, run_for,
    tool, wait_until,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
/// Data and secrets as they are.
const AS_THEY_ARE: [&str; 4] = ["--data", "1024", "--secrets", "keep"];

/// The one difference: call, place, by ptrace, by BPF, why.
const DIFFERENCE: &str = "| `*` | any | `\"` | `EFAULT` | a page that the call never came to read is not in memory, and BPF cannot bring it |";

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Records a command's calls with ptrace.
fn record(command: &[&str]) -> Result<Bundle> {
    let (bundle, _) = record_calls(&[&["--syscalls", "ptrace"], &AS_THEY_ARE[..]].concat(), command)?;
    Ok(bundle)
}

/// What a process that has been started for a test is, until the test ends.
struct Running(Child);

impl Running {
    fn start(script: &str) -> Result<Self> {
        let child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// A line of `/proc/PID/status`.
    fn status(&self, field: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        Ok(line.context("no such line")?.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls of each thread, those of the first one from its last program on: before it, the two had not looked alike.
fn calls(bundle: &Bundle) -> Result<Threads> {
    let mut replay = replay(&["export", bundle.name()?, "strace", "--output", "-"])?;
    let mut threads = parse(&run_for(&mut replay, LIMIT)?.expect_code(0)?.text())?;
    for calls in threads.calls.values_mut() {
        let start = calls
            .iter()
            .position(|line| line.name == "execve" && !line.text().contains("/proc/self/exe"));
        if let Some(start) = start {
            calls.drain(..start);
        }
    }
    Ok(threads)
}

/// Records a command with both engines at the same time, and expects every thread's calls to be the same to the letter.
fn expect_equal(folder: TempDir, command: &[&str]) -> Result<(Bundle, usize)> {
    let (outer, inner) = (folder.path().join("bpf"), folder.path().join("ptrace"));
    let mut capture = capture(&CALLS_ALONE)?;
    capture
        .args(AS_THEY_ARE)
        .args(["--syscalls", "bpf", "-o"])
        .arg(&outer)
        .arg("--")
        .arg(program("capture")?.get_program())
        .args(CALLS_ALONE)
        .args(AS_THEY_ARE)
        .args(["--syscalls", "ptrace", "-o"])
        .arg(&inner)
        .arg("--")
        .args(command);
    run_for(&mut capture, LIMIT)?.expect_code(0)?;
    let bpf = Bundle::new(outer, None);
    let ptrace = Bundle::new(inner, Some(folder));
    for bundle in [&bpf, &ptrace] {
        bundle.expect_sealed()?;
        bundle.expect_nothing_lost()?;
    }
    let comparison = compare(&calls(&ptrace)?, &calls(&bpf)?, &explained(DIFFERENCE)?);
    eprintln!("{} calls, {} to the letter", comparison.calls, comparison.same);
    ensure!(
        comparison.sequences.is_empty(),
        "{} threads have other calls (strace: by ptrace, ours: by BPF)\n{}",
        comparison.sequences.len(),
        comparison.sequences.join("\n")
    );
    ensure!(
        comparison.unexplained.is_empty(),
        "{} lines differ (strace: by ptrace, ours: by BPF)\n{}",
        comparison.unexplained.len(),
        comparison.unexplained.join("\n")
    );
    // Births, programs and deaths of what both have seen.
    for what in ["procexit", "clone", "vfork"] {
        let filter = format!("evt.type={what} and proc.name=victims");
        ensure!(
            bpf.count(&filter)? == ptrace.count(&filter)?,
            "{what}: {} by BPF, {} by ptrace",
            bpf.count(&filter)?,
            ptrace.count(&filter)?
        );
    }
    Ok((ptrace, comparison.calls))
}

#[test]
#[ignore = "root"]
fn every_victim_has_the_same_calls_by_ptrace_and_by_bpf() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("victims");
    compile(".", &program)?;
    let place = folder.path().join("v");
    fs::create_dir(&place)?;
    let (program, place) = (text(&program)?.to_owned(), text(&place)?.to_owned());
    let (_, calls) = expect_equal(folder, &[&program, "all", &place])?;
    ensure!(calls > 1_800, "only {calls} calls");
    Ok(())
}

#[test]
#[ignore = "root"]
fn pipes_and_deaths_inside_a_call_are_the_same_by_ptrace_and_by_bpf() -> Result<()> {
    let script = r#"sleep 100 & sleep 0.2; kill -9 $!; wait $!; cat /etc/hostname | wc -c; timeout 0.2 sleep 9
        /usr/bin/python3 -c 'import threading, subprocess
for _ in range(9): threading.Thread(target=lambda: subprocess.run(["true"])).start()'
        tar cf - /etc/passwd /etc/group 2> /dev/null | gzip | gzip -d | tar tf - > /dev/null; exit 7"#;
    let (bundle, _) = expect_equal(tempfile::tempdir()?, &["sh", "-c", script])?;
    ensure!(
        bundle.count("evt.type=procexit and proc.exit.signal=9 and proc.name=sleep")? == 1,
        "the one that was killed has no end"
    );
    ensure!(
        bundle.count("evt.type=clock_nanosleep and proc.name=sleep")? == 3,
        "a sleep is missing"
    );
    let end = String::from_utf8(bundle.member("end.json")?)?;
    ensure!(
        end.contains(r#""status": 7"#) || end.contains(r#""status":7"#),
        "{end}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn nobody_escapes_the_tracer_in_a_storm_of_processes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("victims");
    compile(".", &program)?;
    let program = text(&program)?.to_owned();
    let bundle = record(&[&program, "storm", "400"])?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    assert_eq!(bundle.count("evt.type=procexit and proc.name=victims")?, 401);
    assert_eq!(bundle.count("evt.type=exit_group and proc.name=victims")?, 401);
    Ok(())
}

#[test]
#[ignore = "root"]
fn what_it_costs_is_said_and_written_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let mut capture = capture(&[
        "--syscalls",
        "ptrace",
        "--no-data",
        "-o",
        text(&path)?,
        "--",
        "true",
    ])?;
    let finished = run_for(&mut capture, LIMIT)?.expect_code(0)?;
    ensure!(finished.stderr.contains("slower"), "{}", finished.said());
    let bundle = Bundle::new(path, Some(folder));
    ensure!(
        bundle.shows("info", &[])?.contains("traced with ptrace"),
        "info does not say it"
    );
    assert_eq!(bundle.count("evt.buffer exists")?, 0, "--no-data");
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_target_of_others_is_slowed_down_only_when_that_is_allowed() -> Result<()> {
    let target = Running::start("while :; do sleep 0.05; done")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let options = [
        "--syscalls",
        "ptrace",
        "-t",
        "1s",
        "-p",
        &target.pid(),
        "-o",
        text(&path)?,
    ];
    let mut command = capture(&options)?;
    let finished = run_for(&mut command, LIMIT)?.expect_code(1)?;
    ensure!(finished.stderr.contains("--allow-slow"), "{}", finished.said());
    ensure!(!path.exists(), "a bundle was left");

    let mut command = capture(&options)?;
    run_for(command.arg("--allow-slow"), LIMIT)?.expect_code(0)?;
    let bundle = Bundle::new(path, Some(folder));
    bundle.expect_sealed()?;
    ensure!(
        bundle.count("evt.type=clock_nanosleep and proc.name=sleep")? >= 5,
        "its children are missing"
    );
    assert_eq!(target.status("TracerPid:")?, "0", "it is still traced");
    ensure!(
        matches!(target.status("State:")?.chars().next(), Some('S' | 'R')),
        "it stands still"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_killed_capture_leaves_running_what_it_traced() -> Result<()> {
    let target = Running::start("while :; do sleep 0.01; done")?;
    let mut recording = Recording::start(&[
        "--syscalls",
        "ptrace",
        "--allow-slow",
        "-t",
        "60s",
        "-p",
        &target.pid(),
    ])?;
    assert_eq!(
        target.status("TracerPid:")?,
        target.status("TracerPid:")?,
        "it is gone"
    );
    ensure!(target.status("TracerPid:")? != "0", "it is not traced");
    recording.signal(nix::sys::signal::Signal::SIGKILL)?;
    wait_until("it is let go", Duration::from_secs(10), || {
        Ok(target.status("TracerPid:")? == "0")
    })?;
    let switches = || -> Result<u64> { Ok(target.status("voluntary_ctxt_switches:")?.parse()?) };
    let before = switches()?;
    wait_until("it goes on", Duration::from_secs(10), || Ok(switches()? > before))
}

#[test]
#[ignore = "root"]
fn a_stopped_process_stays_stopped_and_a_continued_one_goes_on() -> Result<()> {
    let script = "sh -c 'kill -STOP $$; exit 5' & child=$!; sleep 0.4; grep State /proc/$child/status > state; kill -CONT \
        $child; wait $child; echo $? > status";
    let place = tempfile::tempdir()?;
    let script = format!("cd {}; {script}", place.path().display());
    let bundle = record(&["sh", "-c", &script])?;
    bundle.expect_sealed()?;
    let state = fs::read_to_string(place.path().join("state"))?;
    ensure!(
        state.contains("stopped") || state.contains("tracing stop"),
        "{state}"
    );
    assert_eq!(fs::read_to_string(place.path().join("status"))?, "5\n");
    assert_eq!(bundle.count("evt.type=procexit and proc.exit.status=5")?, 1);
    Ok(())
}

#[test]
#[ignore = "root"]
fn signals_reach_the_program_whatever_their_number() -> Result<()> {
    let script = "trap 'exit 6' SIGRTMIN+3; trap : USR1; kill -USR1 $$; kill -SIGRTMIN+3 $$; sleep 5";
    let bundle = record(&["bash", "-c", script])?;
    bundle.expect_sealed()?;
    assert_eq!(bundle.count("evt.type=procexit and proc.exit.status=6")?, 1);
    assert_eq!(bundle.count("evt.type=rt_sigreturn")?, 2);
    Ok(())
}

#[test]
#[ignore = "root"]
fn threads_that_sleep_are_seized_without_a_trace_of_it_left() -> Result<()> {
    let script = "exec /usr/bin/python3 -c '
import threading, time, os
r, w = os.pipe()
def worker():
    while True: time.sleep(0.02)
for _ in range(4): threading.Thread(target=worker, daemon=True).start()
threading.Thread(target=lambda: os.read(r, 1), daemon=True).start()
while True: time.sleep(30)'";
    let target = Running::start(script)?;
    wait_until("it has its threads", Duration::from_secs(10), || {
        Ok(target.status("Threads:")? == "6")
    })?;
    let recording = Recording::start(&[
        "--syscalls",
        "ptrace",
        "--allow-slow",
        "-t",
        "60s",
        "-p",
        &target.pid(),
    ])?;
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    // Every one of them was in a call when it was seized, and the two that wait for ever still are.
    let all = bundle.count("evt.stream=syscall")?;
    let seen = bundle.count("evt.stream=syscall and evt.latency>=0")?;
    assert_eq!(all - seen, 6);
    let summary = bundle.shows("summary", &["--json"])?;
    let summary: serde_json::Value = serde_json::from_str(&summary)?;
    let open = summary.get("open_calls").and_then(serde_json::Value::as_u64);
    ensure!(open >= Some(2), "{summary}");
    assert_eq!(target.status("TracerPid:")?, "0");
    assert_eq!(target.status("Threads:")?, "6");
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_is_traced_with_what_joins_it() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[
        &container.name,
        "--syscalls",
        "ptrace",
        "--allow-slow",
        "--no-packets",
        "--no-block",
        "-t",
        "60s",
    ])?;
    let join = |status: i32| {
        let script = format!("sleep 1; cat /etc/hostname; exit {status}");
        let mut joined = tool("docker", &["exec", &container.name, "sh", "-c", &script]);
        run_for(&mut joined, LIMIT)?.expect_code(status)
    };
    join(9)?;
    run(&mut tool("docker", &["restart", "--time", "0", &container.name]))?;
    join(8)?;
    let mut recording = recording;
    recording.signal(nix::sys::signal::Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    // What it did between its start and the engine's word of it is a loss that is told.
    ensure!(matches!(finished.code(), 0 | 4), "{}", finished.said());
    bundle.expect_sealed()?;
    for status in [9, 8] {
        ensure!(
            bundle.count(&format!("evt.type=procexit and proc.exit.status={status}"))? == 1,
            "who joined and ended with {status} was not seen"
        );
    }
    let reads = ["open", "openat"].map(|name| bundle.count(&format!("proc.name=cat and evt.type={name}")));
    let [one, two] = reads;
    ensure!(one? + two? >= 2, "nor their children");
    let end = String::from_utf8(bundle.member("end.json")?)?;
    ensure!(end.contains("docker exec"), "{end}");
    Ok(())
}
