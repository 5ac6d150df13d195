//! Output that is longer than the screen goes through a pager, where it goes to a terminal.
//!
//! What fits is printed as it is. The pager is `$PAGER`, else `less -FRX` where it is installed. Whoever quits it has
//! closed a pipe, which ends a command quietly.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// The most that is held back, in bytes: a line may have no end.
const HELD_MAX: usize = 1 << 20;

/// Standard output on a terminal.
#[derive(Debug)]
pub(super) struct Paged {
    screen: Screen,
    pager: Pager,
    to: To,
}

#[derive(Debug)]
enum To {
    /// So far it fits.
    Held(Vec<u8>),
    /// There is no pager after all.
    Terminal(BufWriter<io::Stdout>),
    Pager {
        child: Child,
        /// `None` once nothing more comes.
        stdin: Option<BufWriter<ChildStdin>>,
    },
}

/// How much of the screen is used.
#[derive(Debug)]
struct Screen {
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl Screen {
    /// Goes on by some bytes of text. Gives whether they still fit, with a row left for the prompt.
    fn fits(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' => (self.row, self.column) = (self.row + 1, 0),
                // The rest of a character.
                0x80..0xc0 => {}
                _ if self.column >= self.columns => (self.row, self.column) = (self.row + 1, 1),
                _ => self.column += 1,
            }
        }
        let used = self.row + usize::from(self.column > 0);
        used < self.rows
    }
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pager(String);

impl Pager {
    /// The pager that the environment asks for, or the one that is there.
    fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if variable("TERM").is_some_and(|term| term == "dumb") {
            return None;
        }
        let asked = match variable("PAGER") {
            Some(asked) => asked.into_string().ok()?,
            None => "less -FRX".to_owned(),
        };
        let program = asked.split_whitespace().next()?;
        // Words that only a shell understands are left to it.
        let is_plain = program
            .chars()
            .all(|c| c.is_alphanumeric() || "/._-+\\:".contains(c));
        let is_there = || {
            Path::new(program).components().count() > 1 && Path::new(program).exists()
                || std::env::split_paths(&variable("PATH").unwrap_or_default())
                    .any(|folder| executable(&folder, program).exists())
        };
        (program != "cat" && (!is_plain || is_there())).then_some(Self(asked))
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = if cfg!(windows) {
            let mut words = self.0.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words);
            command
        } else {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &self.0]);
            command
        };
        if std::env::var_os("LESS").is_none() {
            // For a $PAGER that is less without options.
            command.env("LESS", "FRX");
        }
        command.stdin(Stdio::piped()).spawn()
    }
}

fn executable(folder: &Path, program: &str) -> PathBuf {
    let path = folder.join(program);
    if cfg!(windows) && path.extension().is_none() {
        path.with_extension("exe")
    } else {
        path
    }
}

impl Paged {
    /// Standard output, where it is a terminal and there is a pager.
    pub(super) fn open() -> Option<Self> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let pager = Pager::find(|name| std::env::var_os(name))?;
        let (columns, rows) = terminal_size::terminal_size()
            .map(|(width, height)| (usize::from(width.0), usize::from(height.0)))
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .unwrap_or((80, 24));
        Some(Self {
            screen: Screen {
                rows,
                columns,
                row: 0,
                column: 0,
            },
            pager,
            to: To::Held(Vec::new()),
        })
    }

    /// What was held goes to where all else goes from now on.
    fn turn(&mut self, held: &[u8]) -> io::Result<()> {
        self.to = match self.pager.start() {
            Ok(mut child) => {
                // Ctrl-C is the pager's own: it must not lose what it shows, or its terminal.
                #[cfg(unix)]
                let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, std::sync::Arc::default());
                let stdin = child
                    .stdin
                    .take()
                    .map(|stdin| BufWriter::with_capacity(1 << 16, stdin));
                To::Pager { child, stdin }
            }
            Err(_) => To::Terminal(BufWriter::new(io::stdout())),
        };
        self.write_all(held)?;
        // The first page comes at once, however long the second one takes.
        self.flush()
    }

    /// Writes what is held, and waits for the pager.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let To::Held(held) = &self.to {
            let mut out = io::stdout();
            out.write_all(held)?;
            return out.flush();
        }
        self.flush()?;
        self.leave();
        Ok(())
    }

    fn leave(&mut self) {
        if let To::Pager { child, stdin } = &mut self.to {
            drop(stdin.take());
            let _ = child.wait();
        }
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Held(held) => {
                held.extend_from_slice(bytes);
                if !self.screen.fits(bytes) || held.len() > HELD_MAX {
                    let held = std::mem::take(held);
                    self.turn(&held)?;
                }
                Ok(bytes.len())
            }
            To::Terminal(out) => out.write(bytes),
            To::Pager { stdin: Some(out), .. } => out.write(bytes),
            To::Pager { stdin: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Held(_) | To::Pager { stdin: None, .. } => Ok(()),
            To::Terminal(out) => out.flush(),
            To::Pager { stdin: Some(out), .. } => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_as_the_terminal_wraps_them() {
        let fits = |text: &str| {
            let mut screen = Screen {
                rows: 4,
                columns: 10,
                row: 0,
                column: 0,
            };
            screen.fits(text.as_bytes())
        };
        assert!(fits("a\nb\nc\n") && !fits("a\nb\nc\nd"));
        assert!(fits("0123456789\nb\nc\n") && !fits("0123456789x\nb\nc\n"));
        assert!(fits("äöüäöüäöüä\nb\nc\n") && !fits("äöüäöüäöüäß\nb\nc\n"));
        assert!(!fits(&"x".repeat(31)) && fits(&"x".repeat(30)));
    }

    #[test]
    fn the_environment_chooses_the_pager() {
        let find = |pager: Option<&str>, path: &str, term: &str| {
            Pager::find(|name| match name {
                "PAGER" => pager.map(OsString::from),
                "PATH" => Some(path.into()),
                _ => Some(term.into()),
            })
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(executable(folder.path(), "less"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(find(None, path, "xterm"), Some(Pager("less -FRX".to_owned())));
        assert_eq!(
            find(Some("less -S"), path, "xterm"),
            Some(Pager("less -S".to_owned()))
        );
        for (pager, path, term) in [
            (None, "", "xterm"),
            (None, path, "dumb"),
            (Some(""), path, "xterm"),
            (Some("cat"), path, "xterm"),
            (Some("not-there -x"), path, "xterm"),
        ] {
            assert_eq!(find(pager, path, term), None, "{pager:?} {path} {term}");
        }
        // What only a shell understands is left to it.
        assert!(find(Some("'my pager' -x"), path, "xterm").is_some());
    }
}
