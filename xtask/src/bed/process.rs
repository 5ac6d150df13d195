//! Processes of the bed: known by number *and* start time, so that a number used again is never signalled.

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process that was seen at a certain moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// What it is, for messages.
    pub(crate) name: String,
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub(crate) start: u64,
}

impl Process {
    /// The process that has the number now. `None` when there is none, or it is a zombie.
    pub(crate) fn find(name: &str, pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start) = state_and_start(&stat)?;
        (state != 'Z' && state != 'X').then(|| Self {
            name: name.to_owned(),
            pid,
            start,
        })
    }

    /// Starts `command` in a process group of its own, its output appended to `log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("a process id out of range")?;
        Self::find(name, pid).with_context(|| format!("{name} ended at once"))
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        // When it is our child and has ended, this takes it off the process table.
        let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
        Self::find(&self.name, self.pid).is_some_and(|now| now.start == self.start)
    }

    /// Asks it to end and waits; kills it when it has not ended after `patience`.
    pub(crate) fn end(&self, patience: Duration) -> Result<()> {
        for (signal, patience) in [
            (Signal::SIGTERM, patience),
            (Signal::SIGKILL, Duration::from_secs(5)),
        ] {
            if !self.is_alive() {
                return Ok(());
            }
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) | Err(nix::Error::ESRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot signal {}", self.name)),
            }
            let since = Instant::now();
            while self.is_alive() && since.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if self.is_alive() {
            bail!("{} (pid {}) does not end", self.name, self.pid);
        }
        Ok(())
    }
}

fn state_and_start(stat: &str) -> Option<(char, u64)> {
    // The second field is the name in parentheses, and may hold spaces and parentheses itself.
    let rest = stat.rsplit_once(')')?.1;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// The processes that carry `marker` (as `NAME=value`) in the environment they were started with, without
/// ourselves and those above us.
pub(crate) fn marked(marker: &str) -> Result<Vec<Process>> {
    let mut above = BTreeSet::new();
    let mut pid = i32::try_from(std::process::id()).unwrap_or(0);
    while pid > 0 && above.insert(pid) {
        pid = parent(pid).unwrap_or(0);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_marked = environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == marker.as_bytes());
        if is_marked && !above.contains(&pid) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.extend(Process::find(name.trim(), pid));
        }
    }
    Ok(found)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 1 0 4711 0 0";
        assert_eq!(state_and_start(stat), Some(('S', 4711)));
    }

    #[test]
    fn a_process_with_another_start_time_is_another_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let here = Process::find("this test", own).unwrap();
        assert!(here.is_alive());
        let earlier = Process {
            start: here.start.wrapping_sub(1),
            ..here
        };
        assert!(!earlier.is_alive());
    }

    #[test]
    fn an_ended_child_is_not_alive() {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("stillframe-process-{}", std::process::id()));
        let child = Process::spawn("sleep", Command::new("sleep").arg("60"), &log).unwrap();
        assert!(child.is_alive());
        child.end(Duration::from_secs(5)).unwrap();
        assert!(!child.is_alive());
        fs::remove_file(log).unwrap();
    }
}
