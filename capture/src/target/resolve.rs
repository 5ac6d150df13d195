//! From what was asked for (a container, a process, a command) to what the kernel knows of it.

use super::cgroup::{self, Neighbours};
use super::device::{self, Sysfs};
use super::mountinfo;
use super::namespace::{self, Others};
use super::{Cgroups, Target, TargetKind};
use crate::deadline;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::Duration;
use stillframe_format::event::Device;

/// How long the layers of an overlay may take to be looked at: one may lie on a dead network file system.
const DEVICE_LIMIT: Duration = Duration::from_secs(3);

/// A target could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is no such process.
    #[error("pid {0}: no such process (list them with `ps -e`)")]
    NoProcess(u32),
    /// `/proc` refused.
    #[error("pid {pid}: cannot read {path}: {cause} (run as root or add CAP_SYS_PTRACE)")]
    Unreadable {
        /// The process.
        pid: u32,
        /// The file.
        path: String,
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// A container of an engine, from what the engine says of it: name without the slash, full id, first process on
/// the host (0 when none runs). `others` are the engine's other running containers, name and first process.
///
/// What cannot be known (the container does not run, `/proc` refuses) is left empty.
///
/// # Errors
/// None at present; the type is the same as for the other kinds.
pub fn container(name: &str, id: &str, pid: u32, others: &[(String, u32)]) -> Result<Target, TargetError> {
    let mut target = Target {
        name: name.to_owned(),
        id: id.to_owned(),
        kind: TargetKind::Container,
        pid,
        ..Target::default()
    };
    fill(&mut target, others);
    Ok(target)
}

/// A process that runs, with its descendants.
///
/// # Errors
/// [`TargetError`] when there is no such process or `/proc/PID/stat` cannot be read.
pub fn tree(pid: u32) -> Result<Target, TargetError> {
    let path = format!("/proc/{pid}/stat");
    match fs::read(&path) {
        Ok(_) => {}
        Err(cause) if gone(&cause) => return Err(TargetError::NoProcess(pid)),
        Err(cause) => return Err(TargetError::Unreadable { pid, path, cause }),
    }
    let mut target = Target {
        name: format!("pid {pid}"),
        id: format!("pid:{pid}"),
        kind: TargetKind::Tree,
        pid,
        ..Target::default()
    };
    fill(&mut target, &[]);
    Ok(target)
}

/// A command that capture has started as process `pid`; `name` is its file name.
///
/// # Errors
/// [`TargetError`] when there is no such process.
pub fn command(name: &str, pid: u32) -> Result<Target, TargetError> {
    let mut target = tree(pid)?;
    name.clone_into(&mut target.name);
    "command".clone_into(&mut target.id);
    target.kind = TargetKind::Command;
    Ok(target)
}

/// The same target again, with first process `pid`: a container that was restarted, or one whose mounts changed.
/// What the dead process can no longer tell is kept from `target`.
///
/// # Errors
/// As for the target's kind.
pub fn refresh(target: &Target, pid: u32, others: &[(String, u32)]) -> Result<Target, TargetError> {
    let new = match target.kind {
        TargetKind::Container => container(&target.name, &target.id, pid, others)?,
        TargetKind::Tree => tree(pid)?,
        TargetKind::Command => command(&target.name, pid)?,
    };
    Ok(if new.pid == 0 {
        Target {
            pid: 0,
            ..target.clone()
        }
    } else {
        new
    })
}

/// The processes of a target at this moment: everything in its cgroups (nested ones too), or the first process
/// and its descendants. A descendant whose parent died before this call belongs to nobody any more.
#[must_use]
pub fn pids(target: &Target) -> Vec<u32> {
    match cgroup::process_folder(&target.cgroups) {
        Some(folder) => cgroup::processes(folder).into_iter().collect(),
        None if target.pid == 0 => Vec::new(),
        None => descendants(target.pid, &parents()),
    }
}

/// Whether the target has cgroups of its own, so that they tell which processes belong to it.
#[must_use]
pub fn has_cgroup(target: &Target) -> bool {
    cgroup::process_folder(&target.cgroups).is_some()
}

/// Every process of the host and its parent.
fn parents() -> Vec<(u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read(entry.path().join("stat")).ok()?;
            Some((pid, parent_of(&stat)?))
        })
        .collect()
}

/// The parent in `/proc/PID/stat`: the second field after the name, which may hold anything, `)` included.
fn parent_of(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, parent) in parents {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut found = BTreeSet::new();
    let mut waiting: Vec<u32> = parents
        .iter()
        .map(|(pid, _)| *pid)
        .filter(|pid| *pid == root)
        .collect();
    while let Some(pid) = waiting.pop() {
        if found.insert(pid) {
            waiting.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found.into_iter().collect()
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn fill(target: &mut Target, others: &[(String, u32)]) {
    if target.pid == 0 {
        return;
    }
    let pid = target.pid.to_string();
    let membership = match fs::read(format!("/proc/{pid}/cgroup")) {
        Ok(bytes) => cgroup::parse(&String::from_utf8_lossy(&bytes)),
        Err(error) if gone(&error) => {
            // It died between the engine's answer and now: the same as a container that does not run.
            target.pid = 0;
            return;
        }
        Err(_) => Vec::new(),
    };
    let (host_mounts, _) = mountinfo::read("self").unwrap_or_default();
    if target.kind == TargetKind::Container {
        let shared = neighbours(&pid);
        target.cgroups = cgroup::own(&membership, &host_mounts, &target.id, &shared);
    } else {
        target.cgroups = Cgroups::default();
    }
    target.namespaces = namespace::read(&pid).unwrap_or_default();
    if let Some(net) = target.namespaces.get("net") {
        target.netns_shared_with = Others::read(others).sharing("net", *net, &target.name);
    }
    target.devices = deadline::within(DEVICE_LIMIT, "target-devices", move || {
        devices(&pid, &host_mounts)
    })
    .unwrap_or_default();
}

/// The memberships of the container's parent (its shim) and of this process.
fn neighbours(pid: &str) -> Neighbours {
    let parent = fs::read(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| parent_of(&stat))
        .map(|parent| parent.to_string());
    let shared = parent
        .into_iter()
        .chain(["self".to_owned()])
        .filter_map(|pid| fs::read(format!("/proc/{pid}/cgroup")).ok())
        .flat_map(|bytes| cgroup::parse(&String::from_utf8_lossy(&bytes)))
        .collect();
    Neighbours { shared }
}

fn devices(pid: &str, host: &[mountinfo::Mount]) -> Vec<Device> {
    let sysfs = Sysfs::default();
    let (mounts, _) = mountinfo::read(pid).unwrap_or_default();
    sysfs.with_parents(
        mounts
            .iter()
            .flat_map(|mount| device::of_mount(mount, host, &sysfs)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent_of(b"12 (a) S (b)) R 7 12 12 0"), Some(7));
        assert_eq!(parent_of(b"12 (sh"), None);
        assert_eq!(parent_of(b""), None);
    }

    #[test]
    fn descendants_are_found_and_strangers_are_not() {
        let parents = [(1, 0), (10, 1), (11, 10), (12, 11), (13, 1), (14, 12)];
        assert_eq!(descendants(10, &parents), [10, 11, 12, 14]);
        assert!(descendants(99, &parents).is_empty());
        assert_eq!(
            descendants(5, &[(5, 6), (6, 5)]),
            [5, 6],
            "a loop (pids reused while reading) ends"
        );
    }

    #[test]
    fn a_stopped_container_resolves_with_what_is_known() {
        let target = container("web", "0123456789abcdef", 0, &[]).unwrap();
        assert_eq!((target.name.as_str(), target.pid), ("web", 0));
        assert!(target.namespaces.is_empty() && target.devices.is_empty());
        assert!(pids(&target).is_empty());
    }

    #[test]
    fn a_container_that_died_meanwhile_is_a_stopped_one() {
        assert_eq!(
            container("web", "0123456789abcdef", u32::MAX - 1, &[])
                .unwrap()
                .pid,
            0
        );
    }

    #[test]
    fn own_process_resolves_as_a_tree_with_its_children() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let target = tree(own).unwrap();
        assert_eq!(target.name, format!("pid {own}"));
        assert_eq!(target.netns_shared_with, ["host"]);
        let pids = pids(&target);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(pids.contains(&own) && pids.contains(&child.id()), "{pids:?}");
        assert!(!pids.contains(&1));
    }

    #[test]
    fn no_such_process_is_said_so() {
        let error = tree(u32::MAX - 1).unwrap_err();
        assert!(matches!(error, TargetError::NoProcess(_)));
        assert!(error.to_string().contains("no such process"));
    }
}
