//! `replay completions` and `replay man`: generated from the command line itself, so that they cannot say otherwise.

use super::Failure;
use crate::cli;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;
use stillframe_replay::exit;
use stillframe_replay::output::Output;

pub(super) fn completions(options: &cli::Completions) -> Result<u8, Failure> {
    let shell = match options.shell {
        cli::Shell::Bash => Shell::Bash,
        cli::Shell::Zsh => Shell::Zsh,
        cli::Shell::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::Cli::command(), "replay", &mut text);
    print(&text)
}

pub(super) fn man(options: &cli::Man) -> Result<u8, Failure> {
    let mut command = cli::Cli::command();
    command.build();
    let command = match &options.command {
        None => command,
        // Once built, a command knows that it is called `replay-top`.
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            let name = stillframe_replay::escape::line(name).into_owned();
            Failure::Usage(format!(
                "man: `{name}` is no command of replay (replay --help lists them)"
            ))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<u8, Failure> {
    let mut out = Output::stdout();
    out.write_all(text)?;
    out.finish()?;
    Ok(exit::DONE)
}
