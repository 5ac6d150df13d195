//! What strace tells, capture tells: both watch the same processes at the same time.
//!
//! `capture -- strace -f PROGRAM` records strace's tracee too. Per thread, the names and results of the calls must be
//! the same; of the arguments, what differs must stand in `tests/victims/differences.md` with its reason.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_tests::strace::{Comparison, Threads, compare, explained, parse};
use stillframe_tests::{Bundle, capture, run, run_for, tool};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// Both logs of one run.
struct Run {
    bundle: Bundle,
    theirs: Threads,
    ours: Threads,
}

fn victims_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("victims")
}

fn compile(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("victims");
    let mut cc = tool("cc", &["-O1", "-static", "-w", "-o"]);
    cc.arg(&program);
    let mut sources: Vec<PathBuf> = fs::read_dir(victims_folder())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    run(cc.args(sources).arg("-lpthread"))?;
    Ok(program)
}

/// Runs a command under strace and capture.
fn watch(folder: TempDir, command: &[&str]) -> Result<Run> {
    let path = folder.path().join("x.capture.tar.zst");
    let log = folder.path().join("strace.log");
    let mut capture = capture(&[
        "--data",
        "1024",
        "--no-packets",
        "--no-block",
        "--no-journal",
        "--no-kernel",
    ])?;
    capture
        .args(["--secrets", "keep", "-o"])
        .arg(&path)
        .args(["--", "strace", "-f", "-ttt", "-T", "-yy", "-s", "1024", "-o"])
        .arg(&log)
        .args(command);
    run_for(&mut capture, LIMIT)?.expect_code(0)?;
    let bundle = Bundle::new(path, Some(folder));
    let mut replay = stillframe_tests::replay(&["export", bundle.name()?, "strace", "--output", "-"])?;
    let ours = run_for(&mut replay, LIMIT)?.expect_code(0)?.text();
    if let Some(keep) = std::env::var_os("STILLFRAME_KEEP") {
        let keep = PathBuf::from(keep);
        fs::copy(&log, keep.join("theirs"))?;
        fs::write(keep.join("ours"), &ours)?;
        fs::copy(bundle.path(), keep.join("x.capture.tar.zst"))?;
    }
    let theirs = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(Run {
        bundle,
        theirs: parse(&theirs)?,
        ours: parse(&ours)?,
    })
}

fn differences() -> Result<String> {
    fs::read_to_string(victims_folder().join("differences.md")).context("tests/victims/differences.md")
}

fn expect_equal(what: &str, comparison: &Comparison) -> Result<()> {
    let share = 100 * comparison.same / comparison.calls.max(1);
    eprintln!(
        "{what}: {} calls, {} lines ({share} %) are strace's to the letter",
        comparison.calls, comparison.same
    );
    ensure!(
        comparison.sequences.is_empty(),
        "{what}: {} threads have other calls\n{}",
        comparison.sequences.len(),
        comparison.sequences.join("\n")
    );
    ensure!(
        comparison.unexplained.is_empty(),
        "{what}: {} lines differ and nothing explains it\n{}",
        comparison.unexplained.len(),
        comparison.unexplained.join("\n")
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn every_victim_reads_as_strace_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = compile(folder.path())?;
    let place = folder.path().join("v");
    fs::create_dir(&place)?;
    let names = [
        program.to_str().context("a path")?,
        "all",
        place.to_str().context("a path")?,
    ];
    let run = watch(folder, &names)?;
    let known = explained(&differences()?)?;
    let comparison = compare(&run.theirs, &run.ours, &known);
    expect_equal("victims", &comparison)?;
    run.bundle.expect_nothing_lost()?;
    ensure!(comparison.calls > 2_000, "only {} calls", comparison.calls);
    for (row, used) in known.iter().zip(&comparison.used) {
        ensure!(*used > 0 || row.call == "*", "no longer a difference: {row:?}");
    }
    Ok(())
}
