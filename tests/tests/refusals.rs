//! What cannot be done is said in one clear line, with the right exit code, and leaves nothing behind.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Finished, Recording, capture, replay, run_for};

const SHORT: Duration = Duration::from_secs(30);

fn leaves_nothing_in(folder: &Path) -> Result<()> {
    let left: Vec<_> = folder
        .read_dir()?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn capture_to(folder: &Path, arguments: &[&str], docker_host: Option<&str>) -> Result<Finished> {
    let mut command = capture(arguments)?;
    command.arg("-o").arg(folder.join("x.capture.tar.zst"));
    if let Some(host) = docker_host {
        command.env("DOCKER_HOST", host);
    }
    run_for(&mut command, SHORT)
}

#[test]
#[ignore = "root"]
fn an_unknown_container() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = capture_to(folder.path(), &["no-such-container", "-t", "1s"], None)?.expect_code(1)?;
    finished.expect_one_clear_line(&["no-such-container"])?;
    leaves_nothing_in(folder.path())
}

#[test]
#[ignore = "root"]
fn an_engine_that_does_not_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let finished = capture_to(folder.path(), &["web", "-t", "1s"], Some(&host))?.expect_code(1)?;
    finished.expect_one_clear_line(&["docker.sock"])?;
    leaves_nothing_in(folder.path())
}

#[test]
#[ignore = "root"]
fn an_output_that_cannot_be_written() -> Result<()> {
    let container = Container::idle()?;
    let mut command = capture(&[&container.name, "-t", "1s", "-o", "/proc/x.capture.tar.zst"])?;
    let finished = run_for(&mut command, SHORT)?.expect_code(1)?;
    finished.expect_one_clear_line(&["/proc/x.capture.tar.zst"])?;
    let folder = tempfile::tempdir()?;
    let finished = capture_to(
        &folder.path().join("not/there"),
        &[&container.name, "-t", "1s"],
        None,
    )?;
    finished.expect_code(1)?.expect_one_clear_line(&["not/there"])?;
    leaves_nothing_in(folder.path())
}

#[test]
#[ignore = "root"]
fn an_output_that_exists_is_refused_without_force_and_replaced_with_it() -> Result<()> {
    let container = Container::idle()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    std::fs::write(&path, "precious")?;
    let finished = capture_to(folder.path(), &[&container.name, "-t", "1s"], None)?.expect_code(2)?;
    finished.expect_one_clear_line(&["x.capture.tar.zst", "--force"])?;
    assert_eq!(std::fs::read(&path)?, b"precious");
    capture_to(folder.path(), &[&container.name, "-t", "1s", "--force"], None)?.expect_code(0)?;
    Bundle::new(path, Some(folder)).expect_sealed()
}

#[test]
#[ignore = "root"]
fn options_that_make_no_sense_are_usage() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for arguments in [
        &["--no-such-option"][..],
        &["-t", "soon", "web"],
        &["-p", "0"],
        &[],
    ] {
        let finished = capture_to(folder.path(), arguments, None)?;
        assert_eq!(finished.code(), 2, "{arguments:?}: {}", finished.said());
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.said());
    }
    leaves_nothing_in(folder.path())
}

#[test]
#[ignore = "root"]
fn a_pipe_that_breaks_ends_capture_and_replay_quietly() -> Result<()> {
    let container = Container::idle()?;
    let mut command = capture(&[&container.name, "-t", "20s", "-o", "-"])?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let said = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&said.stderr);
    ensure!(
        !said.status.success(),
        "a capture whose reader went says that it is whole"
    );
    ensure!(!stderr.contains("panicked"), "{stderr}");

    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["find", "/"])?;
    let bundle = recording.stop()?;
    let mut child = replay(&["events", bundle.name()?])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let said = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&said.stderr);
    ensure!(
        !stderr.contains("panicked") && stderr.lines().count() <= 1,
        "{stderr}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn what_is_not_a_bundle() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("text");
    std::fs::write(&text, "hello\n".repeat(1_000))?;
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "")?;
    let archive = folder.path().join("other.tar.zst");
    stillframe_tests::run(
        stillframe_tests::tool("tar", &["--zstd", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(folder.path())
            .arg("text"),
    )?;
    for path in [
        text,
        empty,
        archive,
        folder.path().join("missing"),
        folder.path().to_owned(),
    ] {
        for command in ["info", "events", "verify"] {
            let finished = run_for(replay(&[command])?.arg(&path), SHORT)?.expect_code(3)?;
            finished.expect_one_clear_line(&[&path.display().to_string()])?;
            ensure!(finished.stdout.is_empty(), "{}", finished.said());
        }
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_truncated_bundle_is_read_up_to_the_cut_wherever_that_is() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["find", "/"])?;
    std::thread::sleep(Duration::from_secs(3));
    let bundle = recording.stop()?;
    let bytes = std::fs::read(bundle.path())?;
    let whole = bundle.shows("events", &["--json"])?;
    let folder = tempfile::tempdir()?;
    let mut read_something = false;
    for percent in [1, 10, 30, 50, 70, 90, 99] {
        let path = folder.path().join(format!("{percent}.capture.tar.zst"));
        std::fs::write(
            &path,
            bytes.get(..bytes.len() * percent / 100).unwrap_or_default(),
        )?;
        let cut = Bundle::new(path, None);
        let finished = cut.replay("events", &["--json"])?;
        ensure!(
            matches!(finished.code(), 3 | 4),
            "cut at {percent} %: {}\n{}",
            finished.code(),
            finished.stderr
        );
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        ensure!(
            whole.starts_with(&finished.text()),
            "cut at {percent} %: other events than the whole bundle has"
        );
        read_something |= finished.code() == 4 && !finished.stdout.is_empty();
        let verified = cut.replay("verify", &[])?.code();
        ensure!(
            matches!(verified, 3..=5),
            "verify of a cut bundle ended with {verified}"
        );
    }
    ensure!(read_something, "no cut bundle gave a single event");
    Ok(())
}

#[test]
#[ignore = "root"]
fn one_flipped_byte_is_found_by_verify() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["find", "/"])?;
    let bundle = recording.stop()?;
    let bytes = std::fs::read(bundle.path())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("flipped.capture.tar.zst");
    for part in 1..10 {
        let mut flipped = bytes.clone();
        let at = flipped.len() * part / 10;
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 0x10;
        }
        std::fs::write(&path, flipped)?;
        let finished = Bundle::new(path.clone(), None).replay("verify", &[])?;
        ensure!(
            matches!(finished.code(), 3..=5),
            "byte {at} flipped, and verify says {}",
            finished.code()
        );
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
    Ok(())
}
