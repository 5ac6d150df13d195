//! `capture`: freezes what containers, processes or a command are doing into one bundle.

use clap::Parser as _;
use std::process::ExitCode;
use stillframe_capture::{cli::Arguments, command, run, sys};

fn main() -> ExitCode {
    // The child that becomes the command is this executable too; it reads no command line.
    if let Some(code) = command::held_exec(std::env::args_os()) {
        return ExitCode::from(code);
    }
    sys::heap::share_one_arena();
    ExitCode::from(run::run(&Arguments::parse()))
}
