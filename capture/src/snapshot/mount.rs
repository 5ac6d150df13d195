//! Mounts and the disk use of their file systems.

use super::proc_file::text_named;
use super::{CollectError, Collected, Outcome};
use crate::target::mountinfo::{self, Mount};
use crate::target::namespace;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use stillframe_format::snapshot::{DiskUse, MountInfo};

/// File systems that hold no files of their own, or must not be touched (autofs mounts when it is).
const PSEUDO: [&str; 21] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
    "smackfs",
];
/// After so many file systems that do not answer, the rest are not asked.
const MAX_STUCK: u32 = 4;

pub(super) fn collect(pid: u32, deadline: Duration) -> Outcome<Vec<MountInfo>> {
    if pid == 0 {
        return Err(CollectError::NoProcess);
    }
    let (mounts, unread) = mountinfo::parse(&text_named(&format!("/proc/{pid}/mountinfo"))?);
    let mntns = namespace::read(&pid.to_string())
        .ok()
        .and_then(|all| all.get("mnt").copied())
        .unwrap_or_default();
    let asked: Vec<(u32, String)> = mounts
        .iter()
        .filter(|mount| !PSEUDO.contains(&mount.fs_type.as_str()))
        .map(|mount| (mount.id, mount.target.clone()))
        .collect();
    // Half of the collector's time at most, so that stuck file systems cost their figures and not the member.
    let limit = deadline / (2 * MAX_STUCK);
    let (uses, mut notes) = match open_root(pid) {
        Ok(_) => disk_uses(pid, &asked, limit),
        Err(error) => {
            let advice = "run as root or add CAP_SYS_PTRACE";
            (
                BTreeMap::new(),
                vec![format!("disk use: /proc/{pid}/root: {error} ({advice})")],
            )
        }
    };
    if unread > 0 {
        notes.push(format!(
            "{unread} lines of /proc/{pid}/mountinfo are not in a known form"
        ));
    }
    let found = mounts
        .into_iter()
        .map(|mount| {
            let usage = uses.get(&mount.id).copied();
            info(mount, mntns, usage)
        })
        .collect();
    Ok(Collected { found, notes })
}

fn info(mount: Mount, mntns: u64, usage: Option<DiskUse>) -> MountInfo {
    let super_options = mountinfo::unescape(&mount.super_options);
    MountInfo {
        mntns,
        id: mount.id,
        parent: mount.parent,
        device: Some(mount.device),
        root: mount.root,
        target: mount.target,
        fs_type: mount.fs_type,
        source: mount.source,
        options: format!("{},{super_options}", mount.mount_options),
        usage,
    }
}

fn open_root(pid: u32) -> nix::Result<OwnedFd> {
    open(
        format!("/proc/{pid}/root").as_str(),
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Asks every mount on a helper thread. One that does not answer within `limit` is noted, and a new thread goes on
/// with the next.
fn disk_uses(pid: u32, asked: &[(u32, String)], limit: Duration) -> (BTreeMap<u32, DiskUse>, Vec<String>) {
    ask_each(asked, limit, move |target, id| disk_use(pid, target, id))
}

fn ask_each<F>(asked: &[(u32, String)], limit: Duration, ask: F) -> (BTreeMap<u32, DiskUse>, Vec<String>)
where
    F: Fn(&str, u32) -> nix::Result<Option<DiskUse>> + Clone + Send + 'static,
{
    let mut uses = BTreeMap::new();
    let mut notes = Vec::new();
    let mut rest = asked;
    let mut stuck = 0;
    while !rest.is_empty() && stuck < MAX_STUCK {
        let (send, receive) = mpsc::sync_channel(1);
        let (work, ask) = (rest.to_vec(), ask.clone());
        let helper = thread::Builder::new()
            .name("snap-statfs".to_owned())
            .spawn(move || {
                for (id, target) in work {
                    if send.send(ask(&target, id)).is_err() {
                        break;
                    }
                }
            });
        if let Err(error) = helper {
            notes.push(format!("disk use: cannot start a thread: {error}"));
            return (uses, notes);
        }
        while let Some(((id, target), tail)) = rest.split_first() {
            let answer = receive.recv_timeout(limit);
            rest = tail;
            match answer {
                Ok(Ok(Some(usage))) => {
                    uses.insert(*id, usage);
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => notes.push(format!("disk use of {target}: {error}")),
                Err(_) => {
                    notes.push(format!("disk use of {target}: no answer within {limit:?}"));
                    stuck += 1;
                    break;
                }
            }
        }
    }
    for (_, target) in rest {
        notes.push(format!(
            "disk use of {target}: not asked, {stuck} others did not answer"
        ));
    }
    (uses, notes)
}

/// `statvfs` of the mount `id` at `target`, as process `pid` sees it; `None` when another mount covers it or it
/// has no size.
///
/// The path is looked up inside the process's root and through no link, so a container cannot lead it elsewhere.
fn disk_use(pid: u32, target: &str, id: u32) -> nix::Result<Option<DiskUse>> {
    let root = open_root(pid)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = openat2(&root, Path::new(target), how)?;
    let fdinfo =
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap_or_default();
    if mount_id(&fdinfo).is_some_and(|found| found != id) {
        return Ok(None);
    }
    let stat = fstatvfs(&file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Ok((stat.blocks() != 0).then(|| DiskUse {
        size: bytes(stat.blocks()),
        used: bytes(stat.blocks().saturating_sub(stat.blocks_free())),
        available: bytes(stat.blocks_available()),
        inodes: stat.files(),
        inodes_free: stat.files_free(),
    }))
}

fn mount_id(fdinfo: &str) -> Option<u32> {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_hangs_costs_its_own_figure() {
        let asked = [(1, "/a".to_owned()), (2, "/nfs".to_owned()), (3, "/c".to_owned())];
        let (uses, notes) = ask_each(&asked, Duration::from_millis(300), |target, id| {
            if target == "/nfs" {
                thread::sleep(Duration::from_secs(60));
            }
            Ok(Some(DiskUse {
                size: u64::from(id),
                ..DiskUse::default()
            }))
        });
        assert_eq!(uses.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].starts_with("disk use of /nfs: no answer"), "{notes:?}");
    }

    #[test]
    fn when_everything_hangs_the_rest_is_not_asked() {
        let asked: Vec<_> = (0..10).map(|id| (id, format!("/{id}"))).collect();
        let (uses, notes) = ask_each(&asked, Duration::from_millis(10), |_, _| {
            thread::sleep(Duration::from_secs(60));
            Ok(None)
        });
        assert!(uses.is_empty());
        assert_eq!(notes.len(), 10, "every one is accounted for: {notes:?}");
        assert!(notes[9].contains("not asked"));
    }

    #[test]
    fn own_root_has_a_size_and_a_link_is_not_followed() {
        let own = std::process::id();
        let (mounts, _) = mountinfo::read("self").unwrap();
        let root = mounts.iter().rfind(|mount| mount.target == "/").unwrap();
        assert!(disk_use(own, "/", root.id).unwrap().unwrap().size > 0);
        assert_eq!(
            disk_use(own, "/", root.id + 100_000),
            Ok(None),
            "another mount lies there"
        );
        assert!(disk_use(own, "/proc/self", 0).is_err(), "a link");
    }
}
