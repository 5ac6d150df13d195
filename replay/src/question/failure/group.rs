//! Failures that are the same, and how they are called.

use super::Kind;
use std::collections::BTreeSet;

/// The most process ids that a group remembers.
pub(super) const PIDS_MAX: usize = 64;

/// Failures that are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What failed.
    pub kind: Kind,
    /// Who: the process's name, the container, the device.
    pub who: String,
    /// What: the call, the exit, the message.
    pub what: String,
    /// How: the errno's name; empty where there is none.
    pub error: String,
    /// On what: a path, an address, a descriptor.
    pub target: String,
    /// How many.
    pub count: u64,
    /// The first event.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// Process ids, the first few.
    pub pids: BTreeSet<u32>,
    /// Why it is taken for normal, where it is.
    pub noise: Option<&'static str>,
}

impl Group {
    /// Whether it says only that something is not there: programs ask for much that may be missing, so this comes last.
    pub(in crate::question) fn is_missing(&self) -> bool {
        matches!(self.error.as_str(), "ENOENT" | "ENOTDIR")
    }

    /// Of what is said about a lack of memory, how late it comes: whom the kernel chose, its message about that, and
    /// then the lines before it. There are several of them for each kill.
    pub(super) fn lateness(&self) -> u8 {
        match self.kind {
            Kind::OutOfMemory if self.what.starts_with(super::CHOSEN) => 0,
            Kind::OutOfMemory if self.what.contains("Killed process") => 1,
            Kind::OutOfMemory => 2,
            _ => 0,
        }
    }

    pub(super) fn who_text(&self) -> String {
        match (self.pids.len(), self.pids.first()) {
            (1, Some(pid)) => format!("{}[{pid}]", self.who),
            (0, _) => self.who.clone(),
            (PIDS_MAX, _) => format!("{} ({PIDS_MAX} processes or more)", self.who),
            (many, _) => format!("{} ({many} processes)", self.who),
        }
    }

    pub(in crate::question) fn what_text(&self) -> String {
        let mut out = self.what.clone();
        match self.kind {
            Kind::Call => {
                out.push_str(&format!(" {}", self.error));
                if !self.target.is_empty() {
                    out.push_str(&format!("  {}", self.target));
                }
            }
            Kind::Reset => out = format!("{} {}", self.what, self.target),
            Kind::Exit if !self.target.is_empty() => out.push_str(&format!(": {}", self.target)),
            _ => {
                if !self.target.is_empty() {
                    out.push_str(&format!(" {}", self.target));
                }
                if !self.error.is_empty() {
                    out.push_str(&format!(": {}", self.error));
                }
            }
        }
        out
    }

    /// In one line, for a headline.
    pub(in crate::question) fn headline(&self) -> String {
        let times = match self.count {
            1 => format!("#{}", self.first),
            count => format!("{count} times, #{} to #{}", self.first, self.last),
        };
        let text: String = self.what_text().chars().take(160).collect();
        format!("{}: {text} ({times})", self.who_text())
    }
}
