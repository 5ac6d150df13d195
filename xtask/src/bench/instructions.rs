//! Instructions that a call costs in user space, counted by callgrind: the same on a busy machine as on a free one.

use super::table;
use crate::{command, interrupt, workspace};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two amounts of work: what one call more costs is left when what the start costs is taken away.
const FEW: u64 = 100_000;
const MANY: u64 = 300_000;

/// What is counted, as `capture/examples/recording_path.rs` names it, and as people do.
const WORK: [(&str, &str); 2] = [
    ("dd", "`dd bs=1`: read and write of a byte"),
    ("server", "a server: epoll_wait, read of 45 bytes, write of 5"),
];
/// The stages, each behind the one that it builds on; the first only makes the work.
const STAGES: [(&str, &str); 3] = [
    ("make", ""),
    ("decode", "from the ring's bytes to rows"),
    (
        "record",
        "ordered, folded into the state, sealed, hashed, compressed",
    ),
];
/// Of the last stage, what functions with these names cost together with what they call.
const PARTS: [(&str, &str); 4] = [
    (
        "state::fold::<impl stillframe_format::state::State>::fold",
        "the state's fold",
    ),
    ("stream::syscall::encode::encode", "columns"),
    (
        "digest::Sha256::of",
        "SHA-256, without the instructions that processors have for it",
    ),
    ("frame::Compressor::frame", "zstd, level 1"),
];

/// Counts, prints the table, and puts it into `docs/performance.md` when `write` is set.
pub(crate) fn run(write: bool) -> Result<()> {
    let root = workspace::root()?;
    command::output(
        Command::new("cargo")
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "-p",
                "stillframe-capture",
            ])
            .args(["--example", "recording_path"])
            .current_dir(root),
    )?;
    let program = workspace::target()?.join("release/examples/recording_path");
    let folder = workspace::target()?.join("bench-instructions");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let counted = counted(&program, &folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    let text = counted?;
    println!("{text}");
    if write {
        table::put(
            &root.join("docs/performance.md"),
            "bench --only instructions",
            &text,
        )?;
    }
    Ok(())
}

fn counted(program: &Path, folder: &Path) -> Result<String> {
    let mut text = format!(
        "Instructions a call, by callgrind: of {MANY} calls less those of {FEW}, divided.\n\n| calls | stage | instructions a call |\n|---|---|---:|\n"
    );
    for (work, work_is) in WORK {
        let count = |stage, calls| -> Result<Profile> {
            interrupt::check()?;
            let file = folder.join(format!("{work}-{stage}-{calls}"));
            profile(program, work, stage, calls, file)
        };
        let a_call = |few: u64, many: u64| many.saturating_sub(few) as f64 / (MANY - FEW) as f64;
        let mut counts = Vec::new();
        for (stage, _) in STAGES {
            counts.push((count(stage, FEW)?, count(stage, MANY)?));
        }
        let all = |(few, many): &(Profile, Profile)| a_call(few.total, many.total);
        for ((before, with), (_, stage_is)) in counts
            .iter()
            .zip(counts.iter().skip(1))
            .zip(STAGES.iter().skip(1))
        {
            let spent = all(with) - all(before);
            text.push_str(&format!("| {work_is} | {stage_is} | {spent:.0} |\n"));
        }
        let (few, many) = counts.last().context("no stage")?;
        for (function, function_is) in PARTS {
            let part = a_call(few.of(function)?, many.of(function)?);
            text.push_str(&format!("| | … of that: {function_is} | {part:.0} |\n"));
        }
    }
    Ok(text)
}

/// What callgrind has counted in one run.
struct Profile {
    total: u64,
    /// Functions with what they call, largest first: a line each, as callgrind_annotate prints them.
    functions: String,
}

impl Profile {
    /// Instructions of the first function that has `name` in its own.
    fn of(&self, name: &str) -> Result<u64> {
        let line = self
            .functions
            .lines()
            .find(|line| line.contains(name))
            .with_context(|| {
                format!("callgrind shows no function {name}: has it been renamed or inlined?")
            })?;
        let count = line.trim_start().split([' ', '(']).next().unwrap_or_default();
        count
            .replace(',', "")
            .parse()
            .with_context(|| format!("callgrind_annotate prints {line:?}"))
    }
}

fn profile(program: &Path, work: &str, stage: &str, calls: u64, file: PathBuf) -> Result<Profile> {
    command::output(
        Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(program)
            .args([work, stage, &calls.to_string()]),
    )
    .context("callgrind is part of valgrind")?;
    let functions = command::output(
        Command::new("callgrind_annotate")
            .args(["--inclusive=yes", "--threshold=100"])
            .arg(&file),
    )?;
    let functions = Profile { total: 0, functions };
    Ok(Profile {
        total: functions.of("PROGRAM TOTALS")?,
        ..functions
    })
}
