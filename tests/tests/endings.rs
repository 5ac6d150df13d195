//! However a capture ends, what it leaves can be read, and says how it ended.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use stillframe_tests::{Bundle, Container, Recording, Running, capture, run_for, wait_until};

const SECOND: Duration = Duration::from_secs(1);

#[test]
#[ignore = "root"]
fn t_ends_in_a_sealed_bundle_of_that_length() -> Result<()> {
    let container = Container::idle()?;
    let since = Instant::now();
    let bundle = Recording::start(&[&container.name, "-t", "3s"])?.sealed()?;
    let took = since.elapsed();
    ensure!((3 * SECOND..20 * SECOND).contains(&took), "-t 3s took {took:?}");
    bundle.expect_sealed()?;
    let mode = bundle.path().metadata()?.permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600, "the bundle's mode is {mode:o}");
    Ok(())
}

fn ends_sealed_on(signal: Signal) -> Result<()> {
    let container = Container::idle()?;
    let mut recording = Recording::start(&[&container.name, "-t", "120s"])?;
    ensure!(
        !recording.path().exists(),
        "there is a file under the final name before the end"
    );
    container.exec(&["ls", "/"])?;
    let partial = recording.partial();
    recording.signal(signal)?;
    let bundle = recording.sealed()?;
    bundle.expect_sealed()?;
    ensure!(
        bundle.count("proc.name=ls")? > 0,
        "what was recorded before {signal} is missing"
    );
    ensure!(!partial.exists(), "{} is still there", partial.display());
    Ok(())
}

#[test]
#[ignore = "root"]
fn ctrl_c_ends_in_a_sealed_bundle() -> Result<()> {
    ends_sealed_on(Signal::SIGINT)
}

#[test]
#[ignore = "root"]
fn sigterm_ends_in_a_sealed_bundle() -> Result<()> {
    ends_sealed_on(Signal::SIGTERM)
}

#[test]
#[ignore = "root"]
fn a_dropped_session_ends_in_a_sealed_bundle() -> Result<()> {
    ends_sealed_on(Signal::SIGHUP)
}

#[test]
#[ignore = "root"]
fn max_size_ends_in_a_sealed_bundle_about_that_large() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "100s", "--max-size", "3M"])?;
    // Random data does not compress: it is the fastest way to any size.
    let mut load = container.command(&[
        "sh",
        "-c",
        "while :; do dd if=/dev/urandom of=/dev/null bs=64 count=20000; done",
    ]);
    let load = Running::start(&mut load)?;
    let bundle = recording.sealed()?;
    drop(load);
    bundle.expect_sealed()?;
    let size = bundle.path().metadata()?.len();
    ensure!(
        (500_000..6_000_000).contains(&size),
        "--max-size 3M gave {size} bytes"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_second_ctrl_c_leaves_a_readable_bundle() -> Result<()> {
    let container = Container::idle()?;
    let mut recording = Recording::start(&[&container.name, "-t", "120s"])?;
    container.exec(&["ls", "/"])?;
    std::thread::sleep(2 * SECOND);
    recording.signal(Signal::SIGINT)?;
    // The first one may have been enough by now: then there is nobody to signal.
    let second = recording.signal(Signal::SIGINT);
    let partial = recording.partial();
    let (finished, sealed) = recording.finish()?;
    ensure!(!finished.stderr.contains("panicked"), "{}", finished.said());
    let bundle = if sealed.path().exists() {
        sealed
    } else {
        Bundle::new(partial, None)
    };
    let code = bundle.replay("info", &[])?.code();
    ensure!(
        matches!(code, 0 | 4),
        "replay info of what was left ended with {code}; second signal: {second:?}"
    );
    let events = bundle.replay("events", &["--count"])?;
    ensure!(matches!(events.code(), 0 | 4), "{}", events.said());
    ensure!(events.text().trim().parse::<u64>()? > 0, "nothing is left");
    Ok(())
}

#[test]
#[ignore = "root"]
fn sigkill_leaves_a_partial_that_is_good_up_to_the_cut() -> Result<()> {
    let container = Container::idle()?;
    let mut recording = Recording::start(&[&container.name, "-t", "120s"])?;
    container.exec(&["ls", "/"])?;
    std::thread::sleep(4 * SECOND);
    recording.signal(Signal::SIGKILL)?;
    let partial = recording.partial();
    let (finished, sealed) = recording.finish()?;
    assert_eq!(finished.code(), 128 + 9);
    ensure!(
        !sealed.path().exists(),
        "a killed capture left a file under the final name"
    );
    let bundle = Bundle::new(partial, None);
    let events = bundle.replay("events", &["--count", "-f", "proc.name=ls"])?;
    assert_eq!(
        events.code(),
        4,
        "a cut bundle is read, and said to be cut: {}",
        events.said()
    );
    ensure!(
        events.text().trim().parse::<u64>()? > 0,
        "the slices before the cut are missing"
    );
    let info = bundle.replay("info", &["--json"])?.expect_code(4)?;
    let info: serde_json::Value = serde_json::from_str(&info.text())?;
    assert_eq!(info["complete"], false);
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_that_dies_ends_nothing_and_its_death_is_recorded() -> Result<()> {
    let container = Container::run(
        "sf-busybox",
        &[],
        &[
            "sh",
            "-c",
            "trap 'echo last words; exit 23' USR1; while :; do usleep 50000; done",
        ],
    )?;
    let pid = i32::try_from(container.pid()?)?;
    let recording = Recording::start(&[&container.name, "-t", "9s"])?;
    let since = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGUSR1)?;
    let bundle = recording.sealed()?;
    ensure!(
        since.elapsed() > 4 * SECOND,
        "the capture ended with the container"
    );
    bundle.expect_sealed()?;
    let died = bundle.events("evt.stream=engine and engine.action=die")?;
    let [died] = died.as_slice() else {
        anyhow::bail!("{} deaths in the engine's events", died.len());
    };
    assert_eq!(died["engine.attr[exitCode]"], "23");
    assert_eq!(
        bundle.count("evt.type=procexit and proc.pid > 0 and proc.exit.status=23")?,
        1
    );
    assert_eq!(
        bundle.count("evt.type=log and log.text contains 'last words'")?,
        1
    );
    // The engine's reply at the end knows the exit code too.
    let inspect = bundle.json("end/", "inspect.json")?;
    assert_eq!(inspect["State"]["ExitCode"], 23);
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_that_runs_out_of_memory_is_seen_to() -> Result<()> {
    let hog = "trap 'exec tail /dev/zero' USR1; while :; do usleep 50000; done";
    let container = Container::run("sf-busybox", &["--memory", "16m"], &["sh", "-c", hog])?;
    let pid = i32::try_from(container.pid()?)?;
    let recording = Recording::start(&[&container.name, "-t", "12s"])?;
    kill(Pid::from_raw(pid), Signal::SIGUSR1)?;
    let bundle = recording.sealed()?;
    let ended = container.inspect("{{.State.OOMKilled}} {{.State.ExitCode}}")?;
    assert_eq!(
        ended, "true 137",
        "the test did not run the container out of memory"
    );
    ensure!(
        bundle.count("evt.stream=engine and engine.action=oom")? >= 1,
        "no oom event of the engine"
    );
    assert_eq!(bundle.json("end/", "inspect.json")?["State"]["OOMKilled"], true);
    ensure!(
        bundle.count("evt.stream=kernel and kernel.text icontains 'out of memory'")? >= 1,
        "the kernel's own message is missing"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn the_default_name_says_what_and_when_and_takes_the_folder_we_are_in() -> Result<()> {
    let container = Container::idle()?;
    let folder = tempfile::tempdir()?;
    let mut command = capture(&[&container.name, "-t", "1s"])?;
    run_for(command.current_dir(folder.path()), 60 * SECOND)?.expect_code(0)?;
    let names: Vec<String> = folder
        .path()
        .read_dir()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let [name] = names.as_slice() else {
        anyhow::bail!("not one file but {names:?}");
    };
    let stamp = name
        .strip_prefix(&format!("{}-", container.name))
        .and_then(|rest| rest.strip_suffix(".capture.tar.zst"))
        .with_context(|| format!("the name is {name}"))?;
    assert_eq!(stamp.len(), "20261124T140307Z".len(), "{name}");
    assert!(stamp.ends_with('Z') && stamp.contains('T'), "{name}");
    Ok(())
}

#[test]
#[ignore = "root"]
fn too_little_free_space_is_said_before_the_start() -> Result<()> {
    let container = Container::idle()?;
    let disk = stillframe_tests::Disk::mounted(8)?;
    let output = disk.path().join("x.capture.tar.zst");
    let mut command = capture(&[&container.name, "-t", "2s", "--max-size", "1G", "-o"])?;
    let finished = run_for(command.arg(&output), 60 * SECOND)?;
    ensure!(
        finished.stderr.contains("space") || finished.stderr.contains("free"),
        "{}",
        finished.said()
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_disk_that_fills_up_ends_in_one_clear_line_and_a_readable_partial() -> Result<()> {
    let container = Container::idle()?;
    let disk = stillframe_tests::Disk::mounted(16)?;
    let output = disk.path().join("x.capture.tar.zst");
    let filler = disk.path().join("filler");
    let mut command = capture(&[&container.name, "-t", "100s", "-o"])?;
    let mut running = Running::start(command.arg(&output))?;
    let partial = disk.path().join("x.capture.tar.zst.partial");
    wait_until("capture writes", 20 * SECOND, || {
        Ok(partial.metadata().is_ok_and(|file| file.len() > 0))
    })?;
    // Somebody else takes the space while we record.
    let _ = std::fs::write(&filler, vec![1_u8; 16 << 20]);
    let mut load = container.command(&[
        "sh",
        "-c",
        "while :; do dd if=/dev/urandom of=/dev/null bs=64 count=20000; done",
    ]);
    let load = Running::start(&mut load)?;
    wait_until("capture ends on a full disk", 60 * SECOND, || {
        Ok(!running.is_running()?)
    })?;
    drop(load);
    let finished = running.finish(SECOND)?;
    ensure!(matches!(finished.code(), 1 | 4), "{}", finished.said());
    ensure!(
        finished.stderr.to_lowercase().contains("space"),
        "{}",
        finished.said()
    );
    ensure!(!finished.stderr.contains("panicked"), "{}", finished.said());
    let left = if output.exists() { output } else { partial };
    let code = Bundle::new(left, None).replay("info", &[])?.code();
    ensure!(matches!(code, 0 | 4), "what was left cannot be read: {code}");
    Ok(())
}
