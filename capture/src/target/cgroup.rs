//! Where a process's cgroups lie in this host's cgroup file systems: version 1, version 2, or both (hybrid).

use super::Cgroups;
use super::mountinfo::Mount;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// At most so many cgroup folders are walked for the processes of a target.
const MAX_FOLDERS: usize = 65_536;

/// A line of `/proc/PID/cgroup` (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Controllers of a version 1 hierarchy (`cpu`, `cpuacct`, `name=systemd`); empty for version 2.
    pub controllers: Vec<String>,
    /// The cgroup, relative to the root of the reader's cgroup namespace.
    pub path: String,
}

/// The memberships of a file's text. Lines that are none are passed over.
#[must_use]
pub fn parse(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let _hierarchy: u32 = fields.next()?.parse().ok()?;
            let controllers = fields.next()?;
            let path = fields.next()?;
            Some(Membership {
                controllers: controllers
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                // The kernel marks the cgroup of a process that outlived it (cgroup_path_ns, kernel/cgroup/cgroup.c).
                path: path.strip_suffix(" (deleted)").unwrap_or(path).to_owned(),
            })
        })
        .collect()
}

/// The folder of a cgroup under `mount`; `None` when this mount does not show it (another root, or a cgroup
/// above the reader's namespace, which the kernel writes as `/../x`).
#[must_use]
pub fn folder(mount: &Mount, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let outside = |path: &Path| path.components().any(|part| part == Component::ParentDir);
    if outside(path) || outside(Path::new(&mount.root)) {
        return None;
    }
    let below = path.strip_prefix(&mount.root).ok()?;
    let target = Path::new(&mount.target);
    Some(if below.as_os_str().is_empty() {
        target.to_owned()
    } else {
        target.join(below)
    })
}

/// Whose cgroups a process is in, beside those that it shares.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// Memberships of processes that do not belong to the target: its parent, the capturing process.
    pub shared: Vec<Membership>,
}

/// The cgroups of a process that are the target's own.
///
/// A cgroup whose path names `id` is the target's, from the part that names it on: a container that runs a
/// systemd has its first process in `/docker/ID/init.scope`, and `/docker/ID` is what bounds the container.
/// Another cgroup is the target's own when it is not the root and no neighbour sits in it.
#[must_use]
pub fn own(memberships: &[Membership], mounts: &[Mount], id: &str, neighbours: &Neighbours) -> Cgroups {
    let mut cgroups = Cgroups::default();
    for membership in memberships {
        let Some(path) = own_path(membership, id, neighbours) else {
            continue;
        };
        if membership.controllers.is_empty() {
            cgroups.unified = mounts
                .iter()
                .filter(|mount| mount.fs_type == "cgroup2")
                .find_map(|mount| folder(mount, &path));
        }
        for controller in &membership.controllers {
            let found = mounts
                .iter()
                .filter(|mount| mount.fs_type == "cgroup" && has_controller(mount, controller))
                .find_map(|mount| folder(mount, &path));
            if let Some(found) = found {
                cgroups.v1.insert(controller.clone(), found);
            }
        }
    }
    cgroups
}

fn has_controller(mount: &Mount, controller: &str) -> bool {
    match controller.strip_prefix("name=") {
        Some(name) => mount.options("name").any(|value| value == name),
        None => mount.has_option(controller),
    }
}

fn own_path(membership: &Membership, id: &str, neighbours: &Neighbours) -> Option<String> {
    let path = membership.path.as_str();
    if path == "/" {
        return None;
    }
    if let Some(at) = (id.len() >= 12).then(|| path.find(id)).flatten() {
        let end = path.get(at..)?.find('/').map_or(path.len(), |slash| at + slash);
        return path.get(..end).map(str::to_owned);
    }
    let shared = neighbours.shared.iter().any(|other| other == membership);
    (!shared).then(|| path.to_owned())
}

/// How this host mounts cgroups: `v2`, `v1`, `hybrid` or `none`.
#[must_use]
pub fn mode(mounts: &[Mount]) -> &'static str {
    let has = |kind: &str| mounts.iter().any(|mount| mount.fs_type == kind);
    match (has("cgroup"), has("cgroup2")) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}

/// The processes in `folder` and in the cgroups below it, as this process's pid namespace numbers them.
///
/// A cgroup that vanishes meanwhile has no processes. In a threaded cgroup (version 2) `cgroup.procs` cannot be
/// read; its processes are listed by the domain above it.
#[must_use]
pub fn processes(folder: &Path) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(folder) = waiting.pop() {
        seen += 1;
        if seen > MAX_FOLDERS {
            break;
        }
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process that this pid namespace does not show.
        pids.extend(
            text.lines()
                .filter_map(|line| line.parse().ok())
                .filter(|pid: &u32| *pid != 0),
        );
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        waiting.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    pids
}

/// The folder in which to look for the processes: the unified one where it exists, else any of version 1.
#[must_use]
pub fn process_folder(cgroups: &Cgroups) -> Option<&PathBuf> {
    let preferred = |map: &'_ BTreeMap<String, PathBuf>| {
        ["pids", "memory", "name=systemd"]
            .iter()
            .find_map(|name| map.contains_key(*name).then_some(*name))
    };
    cgroups
        .unified
        .as_ref()
        .or_else(|| cgroups.v1.get(preferred(&cgroups.v1)?))
        .or_else(|| cgroups.v1.values().next())
}

#[cfg(test)]
mod tests {
    use super::super::mountinfo;
    use super::*;

    const ID: &str = "55b04d99bd40007d20e7ab1b1bb7c0de1d6d34e7d059973603448e896c31539b";
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const PURE: &str = "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";

    fn resolve(mounts: &str, membership: &str, id: &str, shared: &str) -> Cgroups {
        let neighbours = Neighbours {
            shared: parse(shared),
        };
        own(&parse(membership), &mountinfo::parse(mounts).0, id, &neighbours)
    }

    #[test]
    fn hybrid_resolves_every_hierarchy() {
        let text = format!(
            "9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n1:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
        );
        let cgroups = resolve(HYBRID, &text, ID, "0::/\n");
        let path = |folder: &str| PathBuf::from(format!("/sys/fs/cgroup/{folder}/docker/{ID}"));
        assert_eq!(cgroups.unified, Some(path("unified")));
        assert_eq!(cgroups.v1.get("memory"), Some(&path("memory")));
        assert_eq!(cgroups.v1.get("cpu"), Some(&path("cpu,cpuacct")));
        assert_eq!(cgroups.v1.get("cpuacct"), Some(&path("cpu,cpuacct")));
        assert_eq!(cgroups.v1.get("name=systemd"), Some(&path("systemd")));
        assert_eq!(process_folder(&cgroups), Some(&path("unified")));
    }

    #[test]
    fn pure_version_2_with_a_systemd_scope() {
        let text = format!("0::/system.slice/docker-{ID}.scope/init.scope\n");
        let cgroups = resolve(PURE, &text, ID, "");
        assert_eq!(
            cgroups.unified,
            Some(PathBuf::from(format!(
                "/sys/fs/cgroup/system.slice/docker-{ID}.scope"
            )))
        );
        assert!(cgroups.v1.is_empty());
    }

    #[test]
    fn pure_version_1_prefers_a_controller_that_lists_processes() {
        let mounts = "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n36 31 0:33 / /cg/blkio rw - cgroup cgroup rw,blkio";
        let text = format!("4:memory:/docker/{ID}\n1:blkio:/docker/{ID}\n");
        let cgroups = resolve(mounts, &text, ID, "");
        assert_eq!(cgroups.unified, None);
        assert_eq!(
            process_folder(&cgroups),
            Some(&PathBuf::from(format!("/cg/memory/docker/{ID}")))
        );
        assert_eq!(mode(&mountinfo::parse(mounts).0), "v1");
        assert_eq!(mode(&mountinfo::parse(HYBRID).0), "hybrid");
        assert_eq!(mode(&mountinfo::parse(PURE).0), "v2");
    }

    #[test]
    fn a_cgroup_shared_with_others_is_not_the_targets_own() {
        assert_eq!(
            resolve(PURE, "0::/user.slice/x\n", ID, "0::/user.slice/x\n"),
            Cgroups::default()
        );
        assert_eq!(
            resolve(PURE, "0::/\n", ID, ""),
            Cgroups::default(),
            "the root is nobody's own"
        );
        let own = resolve(PURE, "0::/made/by/hand\n", "short", "0::/made/by\n");
        assert_eq!(own.unified, Some(PathBuf::from("/sys/fs/cgroup/made/by/hand")));
    }

    #[test]
    fn a_cgroup_that_the_mount_does_not_show_is_unknown() {
        let inner = "30 22 0:26 /docker/other /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(
            resolve(inner, &format!("0::/docker/{ID}\n"), ID, "").unified,
            None
        );
        let above = format!("0::/../{ID}\n");
        assert_eq!(resolve(PURE, &above, ID, "").unified, None);
        let nested = "30 22 0:26 /docker /cg rw - cgroup2 cgroup2 rw";
        assert_eq!(
            resolve(nested, &format!("0::/docker/{ID}\n"), ID, "").unified,
            Some(PathBuf::from(format!("/cg/{ID}")))
        );
    }

    #[test]
    fn processes_of_nested_cgroups_are_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("cgroup.procs"), "10\n0\n").unwrap();
        fs::write(root.path().join("a/b/cgroup.procs"), "12\n11\n").unwrap();
        assert_eq!(processes(root.path()), BTreeSet::from([10, 11, 12]));
        assert!(processes(Path::new("/nonexistent")).is_empty());
    }
}
