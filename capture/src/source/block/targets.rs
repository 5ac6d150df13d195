//! Which devices are watched and which cgroups and processes are the targets', and telling the kernel so.

use super::{SOURCE, wire};
use crate::source::SourceError;
use crate::source::tracing::{Programs, kernel_btf};
use crate::target::{Cgroups, Target, TargetKind, resolve};
use aya::maps::HashMap;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stillframe_format::event::Device;

/// How often the processes of a tree are listed again while new ones are found that the fork hook had not seen.
const WALKS: usize = 64;

/// What the parts of the source share.
pub(crate) struct Shared {
    programs: Mutex<Programs>,
    ids: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
    follows_forks: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(programs: Programs) -> Self {
        Self {
            programs: Mutex::new(programs),
            ids: Mutex::default(),
            notes: Mutex::default(),
            follows_forks: Mutex::default(),
        }
    }

    pub(crate) fn programs(&self) -> MutexGuard<'_, Programs> {
        lock(&self.programs)
    }

    /// Full ids of the targets, in the order of their indexes.
    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.ids).clone()
    }

    /// Remarks for the reader of the bundle.
    pub(crate) fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// Adds a remark, unless it has been made: a container that is restarted often is no reason to repeat it.
    pub(crate) fn note(&self, note: String) {
        let mut notes = lock(&self.notes);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// The number (index + 1) that records name a target by; the same id keeps its number.
    fn number(&self, id: &str) -> u32 {
        let mut ids = lock(&self.ids);
        let index = ids.iter().position(|other| other == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        u32::try_from(index + 1).unwrap_or(0)
    }

    /// Has the kernel draw no conclusion from a cgroup, unless it is a target's.
    fn tells_nothing(&self, key: [u64; 2]) {
        const NOEXIST: u64 = 1;
        let mut programs = self.programs();
        let map = programs.ebpf.map_mut("groups");
        if let Some(Ok(mut map)) = map.map(HashMap::<_, [u64; 2], u32>::try_from) {
            // It is a target's when it is there already.
            let _ = map.insert(key, 0, NOEXIST);
        }
    }

    /// Attaches the hooks that keep `tree` up to date, once, and before a tree is seeded.
    fn follow_forks(&self) -> Result<(), SourceError> {
        let mut follows = lock(&self.follows_forks);
        if *follows {
            return Ok(());
        }
        let btf = kernel_btf(SOURCE)?;
        let mut programs = self.programs();
        programs.attach(SOURCE, "tree_fork", "sched_process_fork", &btf)?;
        programs.attach(SOURCE, "tree_free", "sched_process_free", &btf)?;
        *follows = true;
        Ok(())
    }

    /// Makes the target's processes of this moment, and their children from now on, members of its tree.
    fn seed(&self, target: &Target, number: u32) -> Result<(), SourceError> {
        self.follow_forks()?;
        let mut known = BTreeSet::new();
        for _ in 0..WALKS {
            let mut grew = false;
            for pid in resolve::pids(target) {
                if known.insert(pid) {
                    grew = true;
                    self.programs().insert(SOURCE, "tree", pid, number)?;
                }
            }
            if !grew {
                break;
            }
        }
        Ok(())
    }
}

/// The targets of a running [`super::BlockSource`]: more can be added.
#[derive(Clone)]
pub struct BlockTargets(pub(crate) Arc<Shared>);

impl BlockTargets {
    /// Records requests of `target` too, from now on, and watches its devices. A container that was restarted is
    /// added again: it has the same id, and other cgroups.
    ///
    /// # Errors
    /// When none of its cgroup folders can be read (it ended meanwhile), or the kernel refuses.
    pub fn add(&self, target: &Target) -> Result<(), SourceError> {
        let number = self.0.number(&target.id);
        for device in &target.devices {
            self.0
                .programs()
                .insert(SOURCE, "devices", device_key(*device), 1)?;
        }
        if target.devices.is_empty() {
            self.0.note(format!(
                "{}: no block device is known under its mounts",
                target.name
            ));
        }
        if target.kind != TargetKind::Container {
            self.0.note(format!(
                "{}: a process tree has no cgroup of its own, so its requests are known by the task that makes them; \
                 what kernel threads write back for it counts as neighbours'",
                target.name
            ));
            return self.0.seed(target, number);
        }
        let keys = group_keys(&target.cgroups);
        if keys.own.is_empty() {
            if let Some(message) = keys.unreadable.into_iter().next() {
                return Err(SourceError::new(SOURCE, format!("{}: {message}", target.name)));
            }
            if target.pid == 0 {
                self.0.note(format!(
                    "{}: does not run, so it has no requests yet",
                    target.name
                ));
                return Ok(());
            }
            self.0.note(format!(
                "{}: has no cgroup of its own, so its requests are known by the task that makes them; what kernel \
                 threads write back for it counts as neighbours'",
                target.name
            ));
            return self.0.seed(target, number);
        }
        if !keys.own.iter().any(|[_, kind]| *kind == wire::HIERARCHY_MEMORY) {
            self.0.note(format!(
                "{}: has no memory cgroup of its own, so pages do not tell whose they are; the bio's block cgroup \
                 and the task do",
                target.name
            ));
        }
        for key in keys.own {
            self.0.programs().insert(SOURCE, "groups", key, number)?;
        }
        for key in keys.shared {
            self.0.tells_nothing(key);
        }
        Ok(())
    }
}

/// `dev_t` inside the kernel (MKDEV, include/linux/kdev_t.h).
fn device_key(device: Device) -> u32 {
    device.major << 20 | (device.minor & 0xf_ffff)
}

/// Keys of the map `groups`: the inode number of a folder, which is its cgroup's id, and the hierarchy.
#[derive(Debug, Default, PartialEq, Eq)]
struct GroupKeys {
    /// The target's.
    own: Vec<[u64; 2]>,
    /// What the target shares with others, because a controller is off in its own folder.
    shared: Vec<[u64; 2]>,
    /// What could not be read.
    unreadable: Vec<String>,
}

impl GroupKeys {
    fn add_own(&mut self, folder: &Path, hierarchy: u64) {
        match std::fs::metadata(folder) {
            Ok(metadata) => self.own.push([metadata.ino(), hierarchy]),
            Err(error) => self.unreadable.push(format!("{}: {error}", folder.display())),
        }
    }
}

fn group_keys(cgroups: &Cgroups) -> GroupKeys {
    let mut keys = GroupKeys::default();
    for (hierarchy, v1, v2) in [
        (wire::HIERARCHY_MEMORY, "memory", "memory"),
        (wire::HIERARCHY_BLOCK, "blkio", "io"),
    ] {
        if let Some(folder) = cgroups.v1.get(v1) {
            keys.add_own(folder, hierarchy);
        } else if let Some(unified) = cgroups.unified.as_deref() {
            // Where a controller is off, tasks and pages are accounted to the nearest folder above where it is on.
            // Asking matters: ids of hierarchies overlap.
            match unified.ancestors().find(|folder| is_on(folder, v2)) {
                Some(folder) if folder == unified => keys.add_own(folder, hierarchy),
                Some(folder) => keys
                    .shared
                    .extend(std::fs::metadata(folder).map(|metadata| [metadata.ino(), hierarchy])),
                None => {}
            }
        }
    }
    if let Some(unified) = cgroups.unified.as_deref() {
        keys.add_own(unified, wire::HIERARCHY_UNIFIED);
    }
    keys
}

/// Whether a controller accounts to this folder of the unified hierarchy.
fn is_on(folder: &Path, controller: &str) -> bool {
    std::fs::read_to_string(folder.join("cgroup.controllers"))
        .is_ok_and(|on| on.split_ascii_whitespace().any(|name| name == controller))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_keyed_as_the_kernel_numbers_it() {
        assert_eq!(device_key(Device { major: 7, minor: 1 }), 0x70_0001);
        assert_eq!(
            device_key(Device {
                major: 259,
                minor: 65536
            }),
            259 << 20 | 65536
        );
    }

    #[test]
    fn a_unified_folder_serves_only_the_controllers_that_are_on_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let unified = folder.path().join("unified");
        let memory = folder.path().join("memory");
        std::fs::create_dir(&unified).unwrap();
        std::fs::create_dir(&memory).unwrap();
        let ino = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let hybrid = Cgroups {
            unified: Some(unified.clone()),
            v1: [("memory".to_owned(), memory.clone())].into(),
        };
        let controllers = |folder: &Path, on: &str| {
            std::fs::write(folder.join("cgroup.controllers"), on).unwrap();
        };
        // Hybrid: the unified hierarchy has no controllers.
        controllers(&unified, "\n");
        let expected = GroupKeys {
            own: vec![
                [ino(&memory), wire::HIERARCHY_MEMORY],
                [ino(&unified), wire::HIERARCHY_UNIFIED],
            ],
            ..GroupKeys::default()
        };
        assert_eq!(group_keys(&hybrid), expected);
        // Version 2 alone, where the parent hands down memory only.
        controllers(folder.path(), "cpu io memory pids\n");
        controllers(&unified, "memory pids\n");
        let alone = Cgroups {
            unified: Some(unified.clone()),
            ..Cgroups::default()
        };
        let expected = GroupKeys {
            shared: vec![[ino(folder.path()), wire::HIERARCHY_BLOCK]],
            own: vec![
                [ino(&unified), wire::HIERARCHY_MEMORY],
                [ino(&unified), wire::HIERARCHY_UNIFIED],
            ],
            unreadable: Vec::new(),
        };
        assert_eq!(group_keys(&alone), expected);
    }

    #[test]
    fn a_folder_that_is_gone_is_named() {
        let gone = Cgroups {
            unified: None,
            v1: [("memory".to_owned(), "/sys/fs/cgroup/no-such-folder".into())].into(),
        };
        let keys = group_keys(&gone);
        assert!(keys.own.is_empty() && keys.shared.is_empty());
        assert!(
            keys.unreadable[0].contains("/sys/fs/cgroup/no-such-folder"),
            "{keys:?}"
        );
    }
}
