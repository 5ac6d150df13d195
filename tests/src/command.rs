//! Running programs to their end, never longer than a limit.

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long [`run`] waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// One of the project's binaries. It comes from the folder in `STILLFRAME_BIN`, or from beside the test binary.
///
/// # Errors
/// It is not there: it has to be built first.
pub fn program(name: &str) -> Result<Command> {
    let folder = match std::env::var_os("STILLFRAME_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = std::env::current_exe().context("this test has no path")?;
            own.ancestors()
                .nth(2)
                .context("this test is in no target folder")?
                .to_owned()
        }
    };
    let path = folder.join(name);
    if !path.exists() {
        bail!(
            "{} is not there: run `cargo build --release`, or set STILLFRAME_BIN",
            path.display()
        );
    }
    Ok(Command::new(path))
}

/// `capture` with these arguments.
///
/// # Errors
/// See [`program`].
pub fn capture(arguments: &[&str]) -> Result<Command> {
    let mut command = program("capture")?;
    command.args(arguments);
    Ok(command)
}

/// `replay` with these arguments.
///
/// # Errors
/// See [`program`].
pub fn replay(arguments: &[&str]) -> Result<Command> {
    let mut command = program("replay")?;
    command.args(arguments);
    Ok(command)
}

/// A stock tool with these arguments.
#[must_use]
pub fn tool(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments);
    command
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; a signal counts as 128 and its number, as in a shell.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Errors
    /// It ended otherwise; the message holds all that it said.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.code() != code {
            bail!(
                "{}: ended with {} instead of {code}\n{}",
                self.command,
                self.code(),
                self.said()
            );
        }
        Ok(self)
    }

    /// Fails unless it said, on standard error and without a panic, one short thing that holds each of `words`.
    ///
    /// # Errors
    /// It did not.
    pub fn expect_one_clear_line(&self, words: &[&str]) -> Result<()> {
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        if lines.len() != 1 {
            bail!(
                "{}: {} lines on stderr instead of one\n{}",
                self.command,
                lines.len(),
                self.said()
            );
        }
        let line = self.stderr.to_lowercase();
        for word in words {
            if !line.contains(&word.to_lowercase()) {
                bail!("{}: stderr does not say {word:?}\n{}", self.command, self.said());
            }
        }
        if line.contains("panicked") || line.contains("backtrace") {
            bail!("{}: panicked\n{}", self.command, self.said());
        }
        Ok(())
    }

    /// All that it said, the end of it where that is long.
    #[must_use]
    pub fn said(&self) -> String {
        let text = self.text();
        let start = text.char_indices().rev().nth(2_000).map_or(0, |(index, _)| index);
        format!(
            "--- stdout\n{}\n--- stderr\n{}",
            text.get(start..).unwrap_or_default(),
            self.stderr
        )
    }
}

/// A program that runs. It is killed when this value goes.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Starts `command`. What it writes is kept, unless `command` says where it goes to.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {shown}"))?;
        Ok(Self {
            command: shown,
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            child,
        })
    }

    /// Its process id.
    ///
    /// # Errors
    /// Never on Linux: its process ids fit.
    pub fn pid(&self) -> Result<i32> {
        i32::try_from(self.child.id()).context("a process id out of range")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{}: ended with {status} before it got {signal}", self.command);
        }
        kill(Pid::from_raw(self.pid()?), signal).context("cannot send a signal")
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended after `patience`; then it is killed.
    pub fn finish(mut self, patience: Duration) -> Result<Finished> {
        let since = Instant::now();
        let mut is_late = false;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if !is_late && since.elapsed() > patience {
                is_late = true;
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let take = |thread: Option<JoinHandle<Vec<u8>>>| thread.and_then(|thread| thread.join().ok());
        let finished = Finished {
            command: self.command.clone(),
            status,
            stdout: take(self.stdout.take()).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&take(self.stderr.take()).unwrap_or_default()).into_owned(),
        };
        if is_late {
            bail!(
                "{}: did not end within {} s\n{}",
                finished.command,
                patience.as_secs(),
                finished.said()
            );
        }
        Ok(finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs a program to its end, whatever that is.
///
/// # Errors
/// It cannot be started, or has not ended after `patience`.
pub fn run_for(command: &mut Command, patience: Duration) -> Result<Finished> {
    Running::start(command)?.finish(patience)
}

/// Runs a program that has to succeed within two minutes, and returns what it printed.
///
/// # Errors
/// It does not.
pub fn run(command: &mut Command) -> Result<String> {
    Ok(run_for(command, PATIENCE)?.expect_code(0)?.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_killed_and_is_an_error() {
        let error = run_for(&mut tool("sleep", &["60"]), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[test]
    fn output_larger_than_a_pipe_does_not_block() {
        let text = run(&mut tool("sh", &["-c", "head -c 300000 /dev/zero | tr '\\0' x"])).unwrap();
        assert_eq!(text.len(), 300_000);
    }

    #[test]
    fn a_wrong_exit_code_is_an_error_with_everything_that_was_said() {
        let finished = run_for(
            &mut tool("sh", &["-c", "echo out; echo bad >&2; exit 3"]),
            PATIENCE,
        )
        .unwrap();
        assert_eq!(finished.code(), 3);
        finished.expect_one_clear_line(&["BAD"]).unwrap();
        finished.expect_one_clear_line(&["worse"]).unwrap_err();
        let error = finished.expect_code(0).unwrap_err().to_string();
        assert!(error.contains("out") && error.contains("bad"), "{error}");
    }
}
