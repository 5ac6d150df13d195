//! Running other programs: every failure names the command, its status and what it said.

use crate::interrupt;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The command line, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// It cannot be started, or ends with anything but success: the error holds the end of its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.trim().lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{}: {}: {}", shown(command), output.status, tail.join("\n"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` runs and succeeds; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Who gets the signals of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// The command shares the terminal with us: it sees Ctrl-C itself.
    Shared,
    /// The command runs in a process group of its own, without standard input, and is ended as a group.
    Detached,
}

/// Runs `command` with our output until it ends. After an interruption it is asked to end, and killed when it
/// has not ended 20 seconds later.
pub(crate) fn attend(command: &mut Command, terminal: Terminal) -> Result<ExitStatus> {
    if terminal == Terminal::Detached {
        command.process_group(0).stdin(Stdio::null());
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the command")? {
            return Ok(status);
        }
        match asked {
            None if interrupt::came() => {
                signal(&child, terminal, Signal::SIGTERM)?;
                asked = Some(Instant::now());
            }
            Some(since) if since.elapsed() > Duration::from_secs(20) => {
                signal(&child, terminal, Signal::SIGKILL)?;
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(child: &Child, terminal: Terminal, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id()).context("a process id out of range")?);
    // The child has not been waited for, so the number can't belong to anybody else.
    let sent = match terminal {
        Terminal::Shared => kill(pid, signal),
        Terminal::Detached => killpg(pid, signal),
    };
    match sent {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error).context("cannot signal the command"),
    }
}

/// Like [`attend`], and anything but success is an error.
pub(crate) fn run(command: &mut Command, terminal: Terminal) -> Result<()> {
    let status = attend(command, terminal)?;
    interrupt::check()?;
    if !status.success() {
        bail!("{}: {status}", shown(command));
    }
    Ok(())
}
