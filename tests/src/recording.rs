//! A capture that runs while the test does something.

use crate::bundle::Bundle;
use crate::command::{Finished, Running, capture, run_for};
use crate::wait_until;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long a sealed end may take after it was asked for.
const SEALING: Duration = Duration::from_secs(60);

/// What leaves every source off that is not there for calls.
pub const CALLS_ALONE: [&str; 4] = ["--no-packets", "--no-block", "--no-journal", "--no-kernel"];

/// How long a command may take that is recorded to its end.
const RECORDING: Duration = Duration::from_secs(120);

/// Records the calls of a command that capture starts, to its end, with these options. Returns the bundle, and what the
/// command wrote.
///
/// # Errors
/// Capture ends with anything but 0, or takes longer than two minutes.
pub fn record_calls(options: &[&str], command: &[&str]) -> Result<(Bundle, String)> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = folder.path().join("x.capture.tar.zst");
    let mut capture = capture(&CALLS_ALONE)?;
    capture.args(options).arg("-o").arg(&path).arg("--").args(command);
    let finished = run_for(&mut capture, RECORDING)?.expect_code(0)?;
    Ok((Bundle::new(path, Some(folder)), finished.text()))
}

/// A running `capture` with a bundle in a temporary folder of its own.
#[derive(Debug)]
pub struct Recording {
    folder: TempDir,
    path: PathBuf,
    running: Running,
}

impl Recording {
    /// Starts `capture` with these arguments and `-o`, and waits until it records.
    ///
    /// # Errors
    /// It ends before, or says nothing for 30 seconds.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let path = folder.path().join("x.capture.tar.zst");
        let mut command = capture(&[])?;
        command.arg("-o").arg(&path).args(arguments);
        let mut recording = Self {
            path,
            running: Running::start(&mut command)?,
            folder,
        };
        let partial = recording.partial();
        let begun = wait_until("capture records", Duration::from_secs(30), || {
            let is_written = partial.metadata().is_ok_and(|partial| partial.len() > 0);
            if !is_written && !recording.running.is_running()? {
                bail!("capture ended before it recorded anything");
            }
            Ok(is_written)
        });
        if let Err(error) = begun {
            let finished = recording.running.finish(Duration::from_secs(1))?;
            bail!("{error:#}\n{}\n{}", finished.command, finished.said());
        }
        // The header is out; the sources are attached a moment later.
        std::thread::sleep(Duration::from_millis(1_000));
        Ok(recording)
    }

    /// The name that the bundle gets when it is sealed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name that it has until then.
    #[must_use]
    pub fn partial(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        name.into()
    }

    /// Sends a signal to capture.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.running.signal(signal)
    }

    /// Its process id.
    ///
    /// # Errors
    /// Never on Linux.
    pub fn pid(&self) -> Result<i32> {
        self.running.pid()
    }

    /// Waits until capture ends by itself, and returns what it said and what it left.
    ///
    /// # Errors
    /// It takes longer than a minute.
    pub fn finish(self) -> Result<(Finished, Bundle)> {
        let finished = self.running.finish(SEALING)?;
        Ok((finished, Bundle::new(self.path, Some(self.folder))))
    }

    /// Stops it as Ctrl-C would, and expects a sealed bundle of everything that was asked for.
    ///
    /// # Errors
    /// It ends with anything but 0.
    pub fn stop(mut self) -> Result<Bundle> {
        // Lets the last events of the test arrive in their slice.
        std::thread::sleep(Duration::from_millis(300));
        self.signal(Signal::SIGINT)?;
        self.sealed()
    }

    /// Waits for its end, and expects a sealed bundle of everything that was asked for.
    ///
    /// # Errors
    /// It ends with anything but 0.
    pub fn sealed(self) -> Result<Bundle> {
        let (finished, bundle) = self.finish()?;
        finished.expect_code(0)?;
        Ok(bundle)
    }
}
