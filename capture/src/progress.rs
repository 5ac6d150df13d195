//! What is said while it records: a line on a terminal, nothing anywhere else.

use crate::cli::{show_size, show_time};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// Times a second that the line is drawn at most.
const RATE: u8 = 4;

/// The line.
#[derive(Debug)]
pub struct Progress {
    line: Option<ProgressBar>,
    quiet: bool,
}

/// What it shows.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// How long it has recorded.
    pub elapsed: Duration,
    /// How long it will, at most.
    pub of: Option<Duration>,
    /// Events taken.
    pub events: u64,
    /// Events lost, as far as counted.
    pub lost: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Progress {
    /// A line on standard error, where that is a terminal and `quiet` does not forbid it.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let line = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(RATE));
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        Self { line, quiet }
    }

    /// Draws the line anew.
    pub fn show(&self, numbers: Numbers) {
        let Some(line) = &self.line else {
            return;
        };
        line.set_message(text(numbers));
        line.tick();
    }

    /// Says something that stays, unless all is to be quiet. A terminal that is gone reads nothing; that is no error.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        let write = || {
            let _ = writeln!(io::stderr(), "capture: {text}");
        };
        match &self.line {
            Some(line) => line.suspend(write),
            None => write(),
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

fn text(numbers: Numbers) -> String {
    let seconds = Duration::from_secs(numbers.elapsed.as_secs());
    let of = numbers
        .of
        .map_or_else(String::new, |of| format!(" of {}", show_time(of)));
    format!(
        "recording {}{of}: {} events, {} lost, {} (Ctrl-C ends it)",
        show_time(seconds),
        numbers.events,
        numbers.lost,
        show_size(numbers.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_time_events_losses_and_size() {
        let text = text(Numbers {
            elapsed: Duration::from_millis(4_700),
            of: Some(Duration::from_secs(30)),
            events: 12,
            lost: 3,
            bytes: 2048,
        });
        assert_eq!(
            text,
            "recording 4s of 30s: 12 events, 3 lost, 2 KiB (Ctrl-C ends it)"
        );
    }
}
