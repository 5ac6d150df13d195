//! Which tasks belong to a target, and telling the kernel so.

use crate::source::SourceError;
use crate::source::tracing::Programs;
use crate::target::{Target, TargetKind};
use aya::maps::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wire;

const SOURCE: &str = "syscalls";

/// What the kernel's `groups` map is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupMode {
    /// The id of a cgroup2 folder, its descendants included.
    Cgroup2,
    /// The inode number of a pid namespace: hosts where no target has a cgroup2 folder of its own.
    PidNamespace,
}

impl GroupMode {
    /// The mode that serves all of `targets`: cgroup2 unless a container among them has no such folder.
    pub(crate) fn for_targets(targets: &[Target]) -> Self {
        let containers = || {
            targets
                .iter()
                .filter(|target| target.kind == TargetKind::Container)
        };
        let without = containers().any(|target| target.cgroups.unified.is_none());
        if without {
            Self::PidNamespace
        } else {
            Self::Cgroup2
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Cgroup2 => wire::GROUP_CGROUP2,
            Self::PidNamespace => wire::GROUP_PIDNS,
        }
    }
}

/// What the parts of the source share.
pub(crate) struct Shared {
    pub(crate) programs: Mutex<Programs>,
    mode: GroupMode,
    ids: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn new(programs: Programs, mode: GroupMode) -> Self {
        Self {
            programs: Mutex::new(programs),
            mode,
            ids: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Full ids of the targets, in the order of their indexes.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number (index + 1) that records name a target by; the same id keeps its number.
    fn number(&self, id: &str) -> u32 {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let index = ids.iter().position(|other| other == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        u32::try_from(index + 1).unwrap_or(0)
    }

    /// Walks over all tasks and makes entries for those that belong, until a walk finds nothing new. Births and
    /// moves meanwhile are seen by the hooks, which are attached before.
    pub(crate) fn walk(&self) -> Result<u64, SourceError> {
        let mut found = 0;
        let mut programs = self.programs();
        // A walk finds one generation of a tree at least; a tree is not deeper than this.
        for _ in 0..64 {
            let new = programs.run_iterator(SOURCE, "seed")?.len();
            if new == 0 {
                break;
            }
            found += new as u64;
        }
        Ok(found)
    }
}

/// The targets of a running [`super::SyscallSource`]: more can be added.
#[derive(Clone)]
pub struct TargetSet(pub(crate) Arc<Shared>);

impl TargetSet {
    /// Records `target` too, from now on, its running processes included. A container that was restarted is added
    /// again: it has the same id, and another cgroup.
    ///
    /// Returns how many of its threads ran already.
    ///
    /// # Errors
    /// When its cgroup or pid namespace can't be read (it ended meanwhile), or the kernel refuses.
    pub fn add(&self, target: &Target) -> Result<u64, SourceError> {
        self.register(target)?;
        let found = self.0.walk();
        self.forget_tree();
        found
    }

    /// Puts `target` into the kernel's maps, without walking over the tasks.
    pub(crate) fn register(&self, target: &Target) -> Result<(), SourceError> {
        let number = self.0.number(&target.id);
        let mut programs = self.0.programs();
        match target.kind {
            TargetKind::Container => {
                let key = self.group_key(target)?;
                programs.insert(SOURCE, "groups", key, number)
            }
            TargetKind::Tree | TargetKind::Command => {
                programs.insert(SOURCE, "tree_members", target.pid, number)
            }
        }
    }

    fn group_key(&self, target: &Target) -> Result<u64, SourceError> {
        let missing = |what: &str| SourceError::new(SOURCE, format!("{}: {what}", target.name));
        match self.0.mode {
            GroupMode::Cgroup2 => {
                let folder = target
                    .cgroups
                    .unified
                    .as_ref()
                    .ok_or_else(|| missing("it has no cgroup2 folder of its own"))?;
                std::fs::metadata(folder)
                    .map(|metadata| metadata.ino())
                    .map_err(|error| missing(&format!("{}: {error}", folder.display())))
            }
            GroupMode::PidNamespace => {
                let inode = *target
                    .namespaces
                    .get("pid")
                    .ok_or_else(|| missing("its pid namespace is not known"))?;
                if std::fs::metadata("/proc/1/ns/pid").is_ok_and(|own| own.ino() == inode) {
                    return Err(missing(
                        "it has neither a cgroup2 folder nor a pid namespace of its own, so its processes can't be \
                         told from the host's (capture it by process: -p PID)",
                    ));
                }
                Ok(inode)
            }
        }
    }

    /// Process ids are used again: the map that a walk needs is emptied after it.
    pub(crate) fn forget_tree(&self) {
        let mut programs = self.0.programs();
        let Some(map) = programs.ebpf.map_mut("tree_members") else {
            return;
        };
        let Ok(mut map) = HashMap::<_, u32, u32>::try_from(map) else {
            return;
        };
        let keys: Vec<u32> = map.keys().filter_map(Result::ok).collect();
        for key in keys {
            let _ = map.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_without_a_cgroup2_folder_decides_for_the_pid_namespace() {
        let mut with = Target::default();
        with.cgroups.unified = Some("/sys/fs/cgroup/docker/1".into());
        let without = Target::default();
        let tree = Target {
            kind: TargetKind::Tree,
            ..Target::default()
        };
        assert_eq!(GroupMode::for_targets(&[]), GroupMode::Cgroup2);
        assert_eq!(GroupMode::for_targets(&[with.clone(), tree]), GroupMode::Cgroup2);
        assert_eq!(GroupMode::for_targets(&[with, without]), GroupMode::PidNamespace);
    }
}
