//! `replay view`, and `replay BUNDLE`: the full-screen view, where there is a terminal to show it on.

use super::{Failure, filter, moment, place};
use crate::cli;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use stillframe_replay::exit;
use stillframe_replay::screen::{self, Screen};

pub(super) fn run(options: &cli::View) -> Result<u8, Failure> {
    let path: PathBuf = options.path.clone().unwrap_or_default();
    filter(&options.filter)?;
    let at = moment(options.at.as_deref(), options.times.tz.as_ref())?;
    let is_pipe = path.as_os_str() == "-";
    for (name, is_terminal) in [
        ("output", io::stdout().is_terminal()),
        ("input", is_pipe || io::stdin().is_terminal()),
    ] {
        if !is_terminal {
            return Err(Failure::Usage(format!(
                "view: standard {name} is no terminal (replay summary prints one page, replay events the events; \
                 replay --help lists more)"
            )));
        }
    }
    let look = screen::look(&|name| std::env::var(name).ok()).map_err(Failure::Usage)?;
    let screen = Screen::open(
        &path,
        options.follow,
        options.times.tz.clone().unwrap_or_default(),
        look,
    )?;
    let at = place(at, screen.context())?;
    let is_whole = screen.run(at, &options.filter)?;
    Ok(exit::answered(true, is_whole))
}
