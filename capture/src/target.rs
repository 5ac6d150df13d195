//! What is to be captured, resolved to what the kernel knows: cgroups, namespaces, processes, devices.

pub mod cgroup;
pub mod device;
pub mod mountinfo;
pub mod namespace;
pub mod resolve;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use stillframe_format::event::Device;

/// One thing that is captured: a container, a process tree, or a command of our own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The container's name without the slash, `pid 1234`, or the command's file name.
    pub name: String,
    /// The container's full id; for a process tree `pid:1234`, for a command `command`. It stands in
    /// [`stillframe_format::event::Task::container`] of everything that belongs to the target.
    pub id: String,
    /// What it is.
    pub kind: TargetKind,
    /// The first process, on the host; 0 when none runs.
    pub pid: u32,
    /// The target's cgroups, as far as they are its own (empty for a process tree).
    pub cgroups: Cgroups,
    /// Namespaces of the first process: kind (`net`, `mnt`, `pid`, …) and inode number.
    pub namespaces: BTreeMap<String, u64>,
    /// Who else uses the network namespace: `host`, or names of other containers.
    pub netns_shared_with: Vec<String>,
    /// Block devices under its root and volumes, lower devices included.
    pub devices: Vec<Device>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A container of an engine.
    #[default]
    Container,
    /// A process that ran already, and its descendants.
    Tree,
    /// A command that capture starts, and its descendants.
    Command,
}

/// The cgroups of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    /// The cgroup2 folder, absolute (`/sys/fs/cgroup/unified/docker/ID`), where it is the target's own.
    pub unified: Option<PathBuf>,
    /// Version 1 folders, absolute, by controller (`memory`, `cpu`, `cpuacct`, `blkio`, `pids`, …).
    pub v1: BTreeMap<String, PathBuf>,
}

impl Cgroups {
    /// The folder whose inode number is the id of the memory cgroup: version 1's where the memory controller is
    /// mounted there, else the unified one.
    #[must_use]
    pub fn memory(&self) -> Option<&PathBuf> {
        self.v1.get("memory").or(self.unified.as_ref())
    }

    /// The same for the block controller (`blkio` in version 1, `io` in version 2).
    #[must_use]
    pub fn block(&self) -> Option<&PathBuf> {
        self.v1.get("blkio").or(self.unified.as_ref())
    }
}
