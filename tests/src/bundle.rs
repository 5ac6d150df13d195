//! A bundle on disk, seen through `replay` and through stock tools.

use crate::command::{Finished, replay, run, run_for, tool};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A bundle; its folder goes with it.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Bundle {
    /// A bundle at `path`, and the folder that goes away with it.
    #[must_use]
    pub fn new(path: PathBuf, folder: Option<TempDir>) -> Self {
        Self {
            path,
            _folder: folder,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path as text.
    ///
    /// # Errors
    /// The path is not UTF-8.
    pub fn name(&self) -> Result<&str> {
        self.path.to_str().context("a path that is not UTF-8")
    }

    /// Runs `replay COMMAND BUNDLE ARGUMENTS…` to its end, whatever that is.
    ///
    /// # Errors
    /// It does not end.
    pub fn replay(&self, command: &str, arguments: &[&str]) -> Result<Finished> {
        let mut replay = replay(&[command, self.name()?])?;
        run_for(replay.args(arguments), Duration::from_secs(120))
    }

    /// What `replay COMMAND BUNDLE ARGUMENTS…` prints; it has to succeed.
    ///
    /// # Errors
    /// It does not.
    pub fn shows(&self, command: &str, arguments: &[&str]) -> Result<String> {
        Ok(self.replay(command, arguments)?.expect_code(0)?.text())
    }

    /// `replay info --json`.
    ///
    /// # Errors
    /// It fails, or prints no JSON.
    pub fn info(&self) -> Result<Value> {
        serde_json::from_str(&self.shows("info", &["--json"])?).context("info --json is not JSON")
    }

    /// How many events `filter` matches.
    ///
    /// # Errors
    /// `replay events --count` fails, or prints anything but one integer.
    pub fn count(&self, filter: &str) -> Result<u64> {
        let finished = self.replay("events", &["--count", "-f", filter])?;
        // Nothing matched is an answer too: 0, with exit code 1.
        ensure!(
            matches!(finished.code(), 0 | 1),
            "{}: {}\n{}",
            finished.command,
            finished.code(),
            finished.said()
        );
        let text = finished.text();
        let count = text
            .trim()
            .parse()
            .with_context(|| format!("--count printed {text:?}"))?;
        ensure!(
            (finished.code() == 0) == (count > 0),
            "{count} events, and exit code {}",
            finished.code()
        );
        Ok(count)
    }

    /// The events that `filter` matches, as JSON objects.
    ///
    /// # Errors
    /// `replay events --json` fails, or a line is no JSON.
    pub fn events(&self, filter: &str) -> Result<Vec<Value>> {
        let finished = self.replay("events", &["--json", "-f", filter])?;
        ensure!(
            matches!(finished.code(), 0 | 1),
            "{}: {}\n{}",
            finished.command,
            finished.code(),
            finished.said()
        );
        finished
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }

    /// The names of all members, as tar lists them.
    ///
    /// # Errors
    /// tar refuses the bundle.
    pub fn members(&self) -> Result<Vec<String>> {
        Ok(run(&mut tool("tar", &["--zstd", "-tf", self.name()?]))?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// A member's bytes, as tar unpacks it.
    ///
    /// # Errors
    /// tar refuses the bundle, or has no such member.
    pub fn member(&self, name: &str) -> Result<Vec<u8>> {
        let mut tar = tool("tar", &["--zstd", "-xOf", self.name()?, name]);
        Ok(run_for(&mut tar, Duration::from_secs(120))?
            .expect_code(0)?
            .stdout)
    }

    /// The one member whose name ends so, as JSON.
    ///
    /// # Errors
    /// There is none, or it is no JSON.
    pub fn json(&self, start: &str, end: &str) -> Result<Value> {
        let members = self.members()?;
        let name = members
            .iter()
            .find(|name| name.starts_with(start) && name.ends_with(end))
            .with_context(|| format!("no member {start}…{end} among {members:?}"))?;
        serde_json::from_slice(&self.member(name)?).with_context(|| format!("{name} is not JSON"))
    }

    /// Fails unless it is sealed: complete by its own account, whole for tar and zstd, and consistent.
    ///
    /// # Errors
    /// It is not.
    pub fn expect_sealed(&self) -> Result<()> {
        ensure!(self.path.exists(), "{} is not there", self.path.display());
        let info = self.info()?;
        ensure!(
            info.get("complete") == Some(&Value::Bool(true)),
            "info does not say complete: {info}"
        );
        self.members()?;
        run(&mut tool("zstd", &["-q", "-t", self.name()?]))?;
        self.shows("verify", &[])?;
        Ok(())
    }

    /// Fails unless no source lost anything.
    ///
    /// # Errors
    /// One did.
    pub fn expect_nothing_lost(&self) -> Result<()> {
        let info = self.info()?;
        let lost = info
            .get("lost")
            .and_then(Value::as_object)
            .context("info --json has no lost")?;
        let some: Vec<_> = lost
            .iter()
            .filter(|(_, count)| count.as_u64() != Some(0))
            .collect();
        ensure!(some.is_empty(), "lost: {some:?}");
        Ok(())
    }
}
