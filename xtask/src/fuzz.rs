//! `cargo xtask fuzz`: every parser against bytes that a fuzzer makes up, with the pinned toolchain.
//!
//! `fuzz/` has the layout of `cargo fuzz`, which wants a nightly compiler. What it adds to the build is a few flags:
//! they are given here, with RUSTC_BOOTSTRAP for the sanitizer, so that the compiler is the one that everything else is
//! built with.

use crate::command::{self, Terminal};
use crate::{interrupt, workspace};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// What `cargo fuzz build` adds (its 0.13): coverage for libFuzzer, and AddressSanitizer, which finds what the C code
/// of zstd would do wrong.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Zsanitizer=address --cfg fuzzing";
/// Build scripts and macros stay as they are when a target is named.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Memory that a parser may take, in MiB: far more than it should, and less than the machine has.
const MEMORY: u32 = 1024;

/// Runs the targets of these names, or all, for so many seconds each.
pub(crate) fn run(seconds: u64, only: &[String]) -> Result<()> {
    let names = targets()?;
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!(
            "there is no fuzz target `{unknown}` (there are: {})",
            names.join(", ")
        );
    }
    let folder = workspace::root()?.join("fuzz");
    let built = workspace::target()?.join("fuzz");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--bins", "--target", TARGET])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", &built)
        .current_dir(&folder);
    command::run(&mut cargo, Terminal::Detached)?;
    let mut failed = Vec::new();
    for name in names.iter().filter(|name| only.is_empty() || only.contains(name)) {
        interrupt::check()?;
        eprintln!("\n=== fuzz {name}");
        let corpus = folder.join("corpus").join(name);
        let artifacts = folder.join("artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut target = Command::new(built.join(TARGET).join("release").join(name));
        target
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .args([
                "-max_len=131072",
                "-timeout=10",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(&corpus);
        let seeds = folder.join("seeds").join(name);
        if seeds.is_dir() {
            target.arg(seeds);
        }
        if let Err(error) = command::run(&mut target, Terminal::Detached) {
            eprintln!("{error:#}");
            failed.push(name.as_str());
        }
    }
    interrupt::check()?;
    if !failed.is_empty() {
        bail!(
            "the fuzzer broke: {} (the input is in fuzz/artifacts/)",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The names of the targets: the files in `fuzz/targets/`.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root()?.join("fuzz/targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let path: PathBuf = file?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// How many seconds a time is: `60s`, `2m`, `60`.
pub(crate) fn seconds(text: &str) -> Result<u64> {
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => (text, 1),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}` is not a time such as 60s"))?;
    // 0 would be libFuzzer's for ever.
    match number.checked_mul(factor) {
        Some(seconds @ 1..) => Ok(seconds),
        _ => bail!("`{text}` is not a time such as 60s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("60s").unwrap(), 60);
        assert_eq!(seconds("2m").unwrap(), 120);
        assert_eq!(seconds("5").unwrap(), 5);
        assert!(seconds("0").is_err() && seconds("s").is_err() && seconds("1h").is_err());
    }

    #[test]
    fn every_target_is_built_and_has_seeds() {
        let manifest = std::fs::read_to_string(workspace::root().unwrap().join("fuzz/Cargo.toml")).unwrap();
        for name in targets().unwrap() {
            assert!(
                manifest.contains(&format!("path = \"targets/{name}.rs\"")),
                "{name}"
            );
            assert!(
                workspace::root().unwrap().join("fuzz/seeds").join(&name).is_dir(),
                "{name} has no seeds"
            );
        }
    }
}
