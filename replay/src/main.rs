//! The `replay` command: a thin layer over the library.
#![forbid(unsafe_code)]

mod cli;
mod command;

use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::try_parse().unwrap_or_else(|error| {
        if let Some(hint) = cli::mistyped(&error) {
            let _ = writeln!(std::io::stderr(), "replay: {hint}");
            std::process::exit(i32::from(stillframe_replay::exit::USAGE));
        }
        error.exit()
    });
    match command::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) if failure.is_closed_pipe() => ExitCode::from(stillframe_replay::exit::DONE),
        Err(failure) => {
            // Nobody can be told when standard error is gone too.
            let _ = writeln!(std::io::stderr(), "replay: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
