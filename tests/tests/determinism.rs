//! Same bytes, same answer; and a pipe carries the same bytes as a file.

use anyhow::{Result, ensure};
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, capture, run, run_for, tool};

#[test]
#[ignore = "root"]
fn replay_twice_and_after_copying_to_another_folder_is_byte_equal() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["find", "/"])?;
    container.exec(&["dd", "if=/dev/zero", "of=/tmp/x", "bs=4k", "count=100"])?;
    std::thread::sleep(Duration::from_secs(2));
    let bundle = recording.stop()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("copied to another name");
    std::fs::copy(bundle.path(), &path)?;
    let copy = Bundle::new(path, Some(folder));
    for (command, arguments) in [
        ("events", &[][..]),
        ("events", &["--json"]),
        ("events", &["-f", "evt.stream=syscall and evt.failed=true"]),
        ("logs", &[]),
        ("export", &["jsonl", "-o", "-"]),
        ("export", &["strace", "-o", "-"]),
        ("export", &["pcapng", "-o", "-"]),
        ("export", &["journal", "-o", "-"]),
        ("state", &["ps", "--at", "60%", "--json"]),
        ("state", &["fds", "--at", "60%", "--json"]),
    ] {
        let first = bundle.replay(command, arguments)?;
        let again = bundle.replay(command, arguments)?;
        let copied = copy.replay(command, arguments)?;
        ensure!(matches!(first.code(), 0 | 1), "{}", first.said());
        ensure!(
            first.stdout == again.stdout,
            "{command} {arguments:?} differs the second time"
        );
        ensure!(
            first.stdout == copied.stdout,
            "{command} {arguments:?} differs for a copy"
        );
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn from_and_to_and_n_cut_the_same_order() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["find", "/"])?;
    let bundle = recording.stop()?;
    let all = bundle.shows("events", &["--json"])?;
    let first: Vec<&str> = all.lines().take(10).collect();
    let ten = bundle.shows("events", &["--json", "-n", "10"])?;
    assert_eq!(ten.lines().collect::<Vec<_>>(), first);
    let from = bundle.shows("events", &["--json", "--from", "#5", "-n", "3"])?;
    let expected: Vec<&str> = all.lines().skip(4).take(3).collect();
    assert_eq!(from.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_pipe_gives_a_sealed_bundle_of_the_same_shape_as_a_file() -> Result<()> {
    let container = Container::idle()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file.capture.tar.zst");
    let piped = folder.path().join("piped.capture.tar.zst");
    let limit = Duration::from_secs(60);
    run_for(capture(&[&container.name, "-t", "2s", "-o"])?.arg(&file), limit)?.expect_code(0)?;
    let written = run_for(&mut capture(&[&container.name, "-t", "2s", "-o", "-"])?, limit)?.expect_code(0)?;
    std::fs::write(&piped, &written.stdout)?;
    let file = Bundle::new(file, None);
    let piped = Bundle::new(piped, None);
    piped.expect_sealed()?;
    let kinds = |bundle: &Bundle| -> Result<Vec<String>> {
        let mut names: Vec<String> = bundle
            .members()?
            .into_iter()
            .filter(|name| !name.starts_with("slice/"))
            .collect();
        names.sort();
        Ok(names)
    };
    assert_eq!(kinds(&file)?, kinds(&piped)?);
    // And replay reads a pipe.
    let replay = stillframe_tests::program("replay")?;
    let mut shell = tool(
        "sh",
        &["-c", r#"cat "$1" | "$2" events - --json"#, "sh", piped.name()?],
    );
    assert_eq!(
        run(shell.arg(replay.get_program()))?,
        piped.shows("events", &["--json"])?
    );
    Ok(())
}
