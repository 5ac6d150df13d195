//! `cargo xtask`: the project's own chores.

mod bed;
mod bench;
mod bpf;
mod command;
mod demo;
mod fuzz;
mod interrupt;
mod licences;
mod sizes;
mod synth;
mod test;
mod vm;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Stillframe's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// The private test bed: journald, dockerd, images. Needs root.
    #[command(subcommand)]
    Bed(BedChore),
    /// Record a small workload that capture starts itself, and show what replay sees in it. Needs root, no engine.
    Demo,
    /// Compare untraced, capture and strace on the same work, in turn (needs root: brings up the test bed); measure replay on
    /// made-up bundles, next to tshark and editcap.
    Bench {
        /// Only this part.
        #[arg(long)]
        only: Option<Part>,
        /// Size of the bundle that every command is measured on.
        #[arg(long, default_value = "128MiB", value_parser = |text: &str| synth::size(text).map_err(|error| format!("{error:#}")))]
        size: u64,
        /// Size of the bundle for scans and seeks.
        #[arg(long, default_value = "4GiB", value_parser = |text: &str| synth::size(text).map_err(|error| format!("{error:#}")))]
        large: u64,
        /// Rounds; the table shows medians.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Put the table into docs/performance.md.
        #[arg(long)]
        write: bool,
    },
    /// Run a command and write what it took.
    #[command(hide = true)]
    Measured {
        /// The file that is written.
        output: PathBuf,
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run every parser on bytes that a fuzzer makes up.
    Fuzz {
        /// How long each target runs.
        #[arg(short, long, default_value = "60s", value_parser = |text: &str| fuzz::seconds(text).map_err(|error| format!("{error:#}")))]
        time: u64,
        /// Only these targets.
        targets: Vec<String>,
    },
    /// Compare what a call takes in a bundle with what strace, bpftrace and tcpdump write. Needs root and these tools.
    Sizes {
        /// Put the tables into docs/performance.md.
        #[arg(long)]
        write: bool,
    },
    /// Make up a large bundle, always the same for a seed, to test and measure replay with.
    Synth {
        /// Bytes of all its members, uncompressed: 500MiB, 2GiB.
        #[arg(long, default_value = "2GiB", value_parser = |text: &str| synth::size(text).map_err(|error| format!("{error:#}")))]
        size: u64,
        /// Calls a second, which decides how large a slice is; by default as many as a size needs, at most 50,000.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=200_000))]
        rate: Option<u64>,
        /// Another number, another bundle.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The file that is written.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Rebuild the BPF objects from their sources.
    Bpf {
        /// Change nothing; fail when a committed object is not what its source gives.
        #[arg(long)]
        check: bool,
    },
    /// Record on other kernels, in qemu, and look at what the bundles hold. Needs root for Debian's packages.
    Vm {
        /// Put the table into docs/kernel-support.md.
        #[arg(long)]
        write: bool,
    },
    /// Every check that a change must pass. Needs root: brings up the test bed, and takes it down again.
    Test {
        /// Also what takes long: other targets, fuzzing.
        #[arg(long)]
        all: bool,
    },
}

/// Parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What recording costs at its worst: one byte a call.
    Capture,
    /// What recording costs the work that people have.
    Workloads,
    /// What recording costs in user space, in instructions: needs valgrind, and no root.
    Instructions,
    /// What reading costs.
    Replay,
}

#[derive(Subcommand)]
enum BedChore {
    /// Bring it up and leave it; prints the variables that point at it.
    Up,
    /// Take it down, and check that nothing is left.
    Down,
    /// Run a command in it, bringing it up and taking it down where none is up.
    Run {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    interrupt::catch()?;
    match chore {
        Chore::Bed(BedChore::Up) => bed::up(),
        Chore::Bed(BedChore::Down) => bed::down(),
        Chore::Bed(BedChore::Run { command }) => bed::run(&command),
        Chore::Demo => demo::run(),
        Chore::Bench {
            only,
            size,
            large,
            rounds,
            write,
        } => {
            let wants = |part| only.is_none_or(|only| only == part);
            if wants(Part::Capture) {
                bench::run(rounds, write)?;
            }
            if wants(Part::Workloads) {
                bench::workloads::run(rounds, write)?;
            }
            if wants(Part::Instructions) {
                bench::instructions::run(write)?;
            }
            if wants(Part::Replay) {
                bench::replay::run(size, large, rounds, write)?;
            }
            Ok(())
        }
        Chore::Measured { output, command } => bench::replay::measured(&output, &command),
        Chore::Fuzz { time, targets } => fuzz::run(time, &targets),
        Chore::Sizes { write } => sizes::run(write),
        Chore::Synth {
            size,
            rate,
            seed,
            output,
        } => synth::run(size, rate, seed, &output),
        Chore::Bpf { check } => bpf::rebuild(check),
        Chore::Test { all } => test::run(all),
        Chore::Vm { write } => vm::run(write),
    }
}
