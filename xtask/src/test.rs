//! `cargo xtask test`: every check that a change must pass, in one go, with a table of steps at the end.
//!
//! A step that lacks something fails; nothing is skipped. A failed step does not keep the others from running, so
//! one run tells all there is to tell.

mod targets;

use crate::bed::{self, Bed};
use crate::command::{self, Terminal};
use crate::{bpf, fuzz, interrupt, licences, vm, workspace};
use anyhow::{Context as _, Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the table shows of a step.
struct Step {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// The steps that were run, in order.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    /// Runs a step unless we are asked to stop. Returns its value, or prints why there is none.
    fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        if interrupt::came() {
            return None;
        }
        eprintln!("\n=== {name}");
        let since = Instant::now();
        let result = step();
        self.0.push(Step {
            name,
            passed: result.is_ok(),
            took: since.elapsed(),
        });
        result.inspect_err(|error| eprintln!("{name}: {error:#}")).ok()
    }

    fn table(&self) -> String {
        let mut table = String::from("\n| step | result | seconds |\n|---|---|---:|\n");
        for step in &self.0 {
            let result = if step.passed { "passed" } else { "FAILED" };
            table.push_str(&format!(
                "| {} | {result} | {:.1} |\n",
                step.name,
                step.took.as_secs_f64()
            ));
        }
        let total: Duration = self.0.iter().map(|step| step.took).sum();
        table.push_str(&format!("| all | | {:.1} |\n", total.as_secs_f64()));
        table
    }
}

/// Runs everything. `all` adds the heavy lanes.
///
/// # Errors
/// A step failed, or we were interrupted; the table has been printed before.
pub(crate) fn run(all: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "`cargo xtask test` needs root for the test bed; what needs no root is `cargo test --workspace`"
        );
    }
    let mut steps = Steps::default();
    steps.run("packages", bed::install_packages);
    steps.run("formatting", || cargo(&["fmt", "--all", "--check"], &[]));
    steps.run("licences and sources", licences::check);
    // They have a workspace of their own, and run behind --all only: nothing else here would see that they are behind.
    steps.run("fuzz targets compile", || {
        cargo(
            &[
                "check",
                "--locked",
                "--bins",
                "--manifest-path",
                "fuzz/Cargo.toml",
            ],
            &[],
        )
    });
    steps.run("BPF objects", || bpf::rebuild(true));
    steps.run("clippy", || {
        cargo(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        )
    });
    steps.run("documentation", || {
        cargo(
            &["doc", "--workspace", "--no-deps", "--locked"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        )
    });
    steps.run("tests without root", tests_without_root);
    let built = steps.run("release binaries", workspace::release_binaries);
    if built.is_some()
        && let Some(bed) = steps.run("test bed up", Bed::up)
    {
        steps.run("tests with root", || tests_with_root(&bed));
        // Not a step: it also has to happen after an interruption.
        let since = Instant::now();
        let downed = bed.down();
        steps.0.push(Step {
            name: "test bed down",
            passed: downed.is_ok(),
            took: since.elapsed(),
        });
        if let Err(error) = downed {
            eprintln!("test bed down: {error:#}");
        }
    }
    if all {
        for (name, lane) in HEAVY {
            steps.run(name, lane);
        }
    }
    println!("{}", steps.table());
    interrupt::check()?;
    let failed: Vec<&str> = steps
        .0
        .iter()
        .filter(|step| !step.passed)
        .map(|step| step.name)
        .collect();
    if !failed.is_empty() || built.is_none() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

type Lane = fn() -> Result<()>;

/// What takes too long, or needs too much, for every change: `cargo xtask test --all`.
const HEAVY: &[(&str, Lane)] = &[
    ("replay for Windows", || targets::build("x86_64-pc-windows-gnu")),
    ("replay for 64-bit Arm", || {
        targets::build("aarch64-unknown-linux-gnu")
    }),
    ("the export of Parquet", || {
        cargo(
            &[
                "test",
                "--locked",
                "-p",
                "stillframe-replay",
                "--features",
                "parquet",
                "--test",
                "suite",
                "parquet::",
            ],
            &[],
        )
    }),
    ("every byte of a bundle", || {
        cargo(
            &[
                "test",
                "--locked",
                "-p",
                "stillframe-format",
                "--test",
                "salvage",
                "--",
                "--ignored",
                "exhaustive_",
            ],
            &[],
        )
    }),
    ("fuzzing", || fuzz::run(10, &[])),
    ("other kernels", || vm::run(false)),
];

fn cargo(words: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new("cargo");
    command
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(workspace::root()?);
    command::run(&mut command, Terminal::Detached)
}

/// What becomes `nobody` before it runs a test.
const AS_NOBODY: &[&str] = &[
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all",
    // Root's own folder can't be read: what looks there (tshark) must not be sent there.
    "env",
    "HOME=/nonexistent",
];

/// All tests that need no root, run by a user who has none, where that user can reach the test binaries.
fn tests_without_root() -> Result<()> {
    let host = command::output(Command::new("rustc").arg("-vV").current_dir(workspace::root()?))?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_"));
    let (program, words) = AS_NOBODY.split_first().context("no command")?;
    let reaches = command::succeeds(
        Command::new(program)
            .args(words)
            .args(["test", "-x"])
            .arg(workspace::target()?),
    );
    let as_nobody = AS_NOBODY.join(" ");
    let variables = if reaches {
        vec![(runner.as_str(), as_nobody.as_str())]
    } else {
        eprintln!("an ordinary user cannot reach this folder: these tests run as root");
        Vec::new()
    };
    // insta would ask cargo where the snapshots are, and that user may have no cargo.
    let root = workspace::root()?;
    let root = root.to_str().context("the path of the workspace is not UTF-8")?;
    let variables = [
        &variables[..],
        &[("INSTA_WORKSPACE_ROOT", root), ("INSTA_UPDATE", "no")],
    ]
    .concat();
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &variables)?;
    eprintln!("left out here: the tests marked `ignored, root`; they run in the test bed");
    Ok(())
}

/// The tests that are marked `#[ignore = "root"]`, one at a time: several of them measure.
fn tests_with_root(bed: &Bed) -> Result<()> {
    let mut command = Command::new("cargo");
    command
        .args([
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ])
        .args(["--", "--ignored", "--test-threads=1"])
        // What is ignored for another reason than root: minutes of every byte, and what writes test data anew.
        .args(["--skip", "exhaustive_", "--skip", "regenerate"])
        .env("STILLFRAME_BIN", workspace::target()?.join("release"))
        .current_dir(workspace::root()?);
    command::run(bed.enter(&mut command), Terminal::Detached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_in_the_table_and_stops_nothing() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(steps.run("two", || -> Result<()> { bail!("no") }), None);
        assert_eq!(steps.run("three", || Ok(3)), Some(3));
        let table = steps.table();
        assert!(table.contains("| two | FAILED |"), "{table}");
        assert!(table.contains("| three | passed |"), "{table}");
    }
}
