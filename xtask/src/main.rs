//! `cargo xtask`: the project's own chores.

mod bed;
mod command;
mod interrupt;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

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

fn main() -> Result<()> {
    interrupt::catch()?;
    match Arguments::parse().chore {
        Chore::Bed(BedChore::Up) => bed::up(),
        Chore::Bed(BedChore::Down) => bed::down(),
        Chore::Bed(BedChore::Run { command }) => bed::run(&command),
    }
}
