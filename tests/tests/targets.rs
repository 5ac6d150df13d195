//! What can be captured: containers, process trees, commands, everything; and a plan that records nothing.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, Running, capture, run_for, tool};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "root"]
fn a_process_tree_by_its_pid() -> Result<()> {
    let script = "trap 'for i in 1 2 3; do cat /etc/hostname; done; exit' USR1; while :; do sleep 0.05; done";
    let mut tree = Running::start(&mut tool("sh", &["-c", script]))?;
    let pid = tree.pid()?.to_string();
    let recording = Recording::start(&["-p", &pid, "-t", "60s"])?;
    tree.signal(Signal::SIGUSR1)?;
    tree.finish(LIMIT)?;
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;
    assert_eq!(bundle.count("evt.type=openat and fs.path.name=/etc/hostname")?, 3);
    assert_eq!(
        bundle.count(&format!(
            "evt.stream=syscall and proc.name=sh and proc.pid!={pid} and evt.type=bpf"
        ))?,
        0
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_command_of_captures_own_needs_no_engine_and_is_recorded_from_its_first_call() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let mut command = capture(&["-o"])?;
    command
        .arg(&path)
        .args(["--", "sh", "-c", "cat /etc/hostname > /dev/null; exit 5"]);
    let finished = run_for(command.env("DOCKER_HOST", "unix:///nowhere.sock"), LIMIT)?;
    ensure!(finished.code() == 0, "{}", finished.said());
    let bundle = Bundle::new(path, Some(folder));
    bundle.expect_sealed()?;
    ensure!(
        bundle.count("evt.type=execve and proc.name=sh")? >= 1,
        "the command's own start is missing"
    );
    assert_eq!(
        bundle.count("evt.type=openat and proc.name=cat and fs.path.name=/etc/hostname")?,
        1
    );
    assert_eq!(bundle.count("evt.type=procexit and proc.exit.status=5")?, 1);
    let end = String::from_utf8(bundle.member("end.json")?)?;
    ensure!(
        end.contains('5'),
        "end.json does not have the command's status: {end}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn propagate_makes_the_commands_status_the_exit_code() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = capture(&["--propagate", "-o"])?;
    command
        .arg(folder.path().join("x.capture.tar.zst"))
        .args(["--", "sh", "-c", "exit 42"]);
    run_for(&mut command, LIMIT)?.expect_code(42)?;
    Ok(())
}

#[test]
#[ignore = "root"]
fn several_containers_and_all_of_them() -> Result<()> {
    let one = Container::idle()?;
    let two = Container::idle()?;
    let three = Container::idle()?;
    for (arguments, recorded) in [
        (vec![one.name.as_str(), &two.id[..12]], vec![&one, &two]),
        (vec!["--all"], vec![&one, &two, &three]),
    ] {
        let recording = Recording::start(&[&arguments[..], &["-t", "60s"]].concat())?;
        for container in [&one, &two, &three] {
            container.exec(&["cat", "/etc/passwd"])?;
        }
        let bundle = recording.stop()?;
        for container in [&one, &two, &three] {
            let count = bundle.count(&format!(
                "container.id={} and proc.name=cat and fs.path.name=/etc/passwd",
                container.id
            ))?;
            let expected = u64::from(recorded.iter().any(|other| other.id == container.id));
            assert_eq!(count, expected, "{arguments:?}: {}", container.name);
        }
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_dry_run_shows_the_plan_and_leaves_nothing() -> Result<()> {
    let container = Container::idle()?;
    let folder = tempfile::tempdir()?;
    let mut command = capture(&[&container.name, "--dry-run"])?;
    let finished = run_for(command.current_dir(folder.path()), LIMIT)?.expect_code(0)?;
    let said = finished.said();
    for word in [
        container.name.as_str(),
        container.id.get(..12).context("id")?,
        "30s",
        "syscalls",
        "packets",
        "block",
    ] {
        ensure!(said.contains(word), "the plan does not name {word}: {said}");
    }
    let left = folder.path().read_dir()?.count();
    assert_eq!(left, 0, "a dry run left {left} files");
    Ok(())
}

#[test]
#[ignore = "root"]
fn logs_of_the_container_and_the_engine_are_there_with_look_back() -> Result<()> {
    let before = Container::idle()?;
    let container = Container::run(
        "sf-busybox",
        &[],
        &[
            "sh",
            "-c",
            "echo early; while :; do echo out; echo err >&2; sleep 0.5; done",
        ],
    )?;
    container.wait_for_log("err")?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    // The engine logs the end of a container that is removed while it runs.
    drop(before);
    std::thread::sleep(Duration::from_secs(2));
    let bundle = recording.stop()?;
    ensure!(
        bundle.count("evt.type=log and log.stream=stdout and log.text=out")? >= 3,
        "stdout"
    );
    ensure!(
        bundle.count("evt.type=log and log.stream=stderr and log.text=err")? >= 3,
        "stderr"
    );
    ensure!(
        bundle.count("evt.type=journal and journal.unit=docker.service")? >= 1,
        "the engine's journal"
    );
    ensure!(
        bundle.count("evt.type=metrics and container.id exists")? >= 2,
        "metrics once a second"
    );
    let text = bundle.shows("logs", &["--container"])?;
    ensure!(
        text.contains("out") && text.contains("err") && text.contains("early"),
        "{text}"
    );
    let text = bundle.shows("logs", &["--engine"])?;
    ensure!(!text.trim().is_empty(), "no engine log");
    Ok(())
}
