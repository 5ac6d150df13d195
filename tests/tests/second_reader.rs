//! The reader in Python, written from `docs/format.md` alone, and `replay events --json` tell the same of every bundle.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_tests::{capture, replay, run_for, tool};

const LIMIT: Duration = Duration::from_secs(120);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn objects(text: &str) -> Result<Vec<Map<String, Value>>> {
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON object: {line}")))
        .collect()
}

/// Holds the two against each other; the number of events.
fn compare(bundle: &Path) -> Result<usize> {
    let name = bundle.to_str().context("a path")?;
    let mut python = tool("/usr/bin/python3", &[]);
    python
        .arg(repository().join("tests/python/read_bundle.py"))
        .arg(bundle);
    let theirs = run_for(&mut python, LIMIT)?;
    let ours = run_for(&mut replay(&["events", name, "--json"])?, LIMIT)?;
    ensure!(
        (theirs.code() == 3) == (ours.code() == 3),
        "python: {}\nreplay: {}",
        theirs.said(),
        ours.said()
    );
    let is_whole = theirs.code() != 4;
    let (theirs, mut ours) = (objects(&theirs.text())?, objects(&ours.text())?);
    // Where slices are missing `replay` says so among the events, and goes on behind what is damaged.
    ours.retain(|event| event.get("evt.type") != Some(&Value::from("damage")));
    ensure!(
        theirs.len() == ours.len() || !is_whole && theirs.len() < ours.len(),
        "{} events, ours {}",
        theirs.len(),
        ours.len()
    );
    for (their, our) in theirs.iter().zip(&ours) {
        // Keys without a dot are the reader's own: what `replay` shows under other names, or put into words.
        for (key, value) in their.iter().filter(|(key, _)| key.contains('.')) {
            let found = our.get(key);
            // `replay` knows how many arguments a call has, and shows no more of its registers.
            if found.is_none() && key.starts_with("evt.rawarg[") {
                continue;
            }
            ensure!(
                found == Some(value),
                "{key}: {value}, ours {found:?}\n{their:?}\n{our:?}"
            );
        }
        ensure!(
            their.contains_key("evt.num") && their.contains_key("evt.boottime"),
            "{their:?}"
        );
    }
    Ok(theirs.len())
}

#[test]
#[ignore = "root"]
fn the_corpus_reads_the_same() -> Result<()> {
    let testdata = repository().join("format/testdata");
    let mut folders = vec![testdata.join("bad")];
    for folder in std::fs::read_dir(testdata.join("good"))? {
        folders.push(folder?.path());
    }
    let (mut bundles, mut events) = (0, 0);
    for folder in folders {
        for file in std::fs::read_dir(folder)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "zst") {
                events += compare(&file).with_context(|| file.display().to_string())?;
                bundles += 1;
            }
        }
    }
    ensure!(
        bundles >= 15 && events > 1_500,
        "{bundles} bundles, {events} events"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_recording_reads_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let script = "ping -c 1 127.0.0.1; i=0; while [ $i -lt 200 ]; do cat /proc/self/status | head -n 1; i=$((i+1)); done; \
        dd if=/dev/zero of=/dev/null bs=1 count=5000; dd if=/dev/zero of=\"$1\" bs=4k count=20 oflag=direct";
    let mut capture = capture(&["--secrets", "keep", "--no-packets", "--force", "-o"])?;
    capture
        .arg(&path)
        .args(["--", "sh", "-c", script, "sh"])
        .arg(folder.path().join("data"));
    run_for(&mut capture, LIMIT)?.expect_code(0)?;
    let events = compare(&path)?;
    ensure!(events > 20_000, "{events} events");
    Ok(())
}
