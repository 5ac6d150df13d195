//! Open descriptors, from `/proc/PID/fd` and `/proc/PID/fdinfo` (proc_pid_fd(5), proc_pid_fdinfo(5)).

use super::proc_file::{gone, link, text};
use super::{CollectError, Collected, Outcome};
use crate::target::mountinfo;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use stillframe_format::snapshot::DescriptorInfo;

/// More descriptors than this are not listed.
const MAX_DESCRIPTORS: usize = 262_144;

/// File systems whose answer may depend on another machine or on a process: their files are not asked what they are.
const REMOTE: [&str; 10] = [
    "nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "autofs", "gfs2", "ocfs2",
];

pub(super) fn collect(pids: &[u32]) -> Outcome<Vec<DescriptorInfo>> {
    let mut notes = Vec::new();
    let mut found = Vec::new();
    let mut readable = false;
    let mut local: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for pid in pids {
        let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(entries) => entries,
            Err(error) => {
                if !gone(&error) {
                    notes.push(format!(
                        "pid {pid}: /proc/{pid}/fd: {error} (run as root or add CAP_SYS_PTRACE)"
                    ));
                }
                continue;
            }
        };
        readable = true;
        let local = local
            .entry(link(&format!("/proc/{pid}/ns/mnt")))
            .or_insert_with(|| local_mounts(*pid));
        let mut fds: Vec<u32> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .take(MAX_DESCRIPTORS - found.len().min(MAX_DESCRIPTORS))
            .collect();
        fds.sort_unstable();
        found.extend(fds.into_iter().filter_map(|fd| descriptor(*pid, fd, local)));
    }
    if found.len() >= MAX_DESCRIPTORS {
        notes.push(format!(
            "descriptors after the first {MAX_DESCRIPTORS} are not listed"
        ));
    }
    if !readable && notes.is_empty() {
        return Err(CollectError::NoProcess);
    }
    Ok(Collected { found, notes })
}

/// Ids of the mounts that answer without another machine.
fn local_mounts(pid: u32) -> BTreeSet<u32> {
    let (mounts, _) = mountinfo::read(&pid.to_string()).unwrap_or_default();
    mounts
        .iter()
        .filter(|mount| !REMOTE.contains(&mount.fs_type.as_str()) && !mount.fs_type.starts_with("fuse"))
        .map(|mount| mount.id)
        .collect()
}

fn descriptor(pid: u32, fd: u32, local: &BTreeSet<u32>) -> Option<DescriptorInfo> {
    let path = format!("/proc/{pid}/fd/{fd}");
    let target = fs::read_link(&path).ok()?.to_string_lossy().into_owned();
    let info = Info::parse(&text(&format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default());
    let mut kind = kind(&target).to_owned();
    let asks = info.mount.is_some_and(|mount| local.contains(&mount));
    if kind == "file" && asks && fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
        "directory".clone_into(&mut kind);
    }
    Some(DescriptorInfo {
        pid,
        fd,
        kind,
        name: target.clone(),
        pos: info.pos,
        flags: info.flags,
        inode: bracketed(&target).or(info.inode).unwrap_or_default(),
        target,
    })
}

/// What `/proc/PID/fdinfo/FD` says of every descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Info {
    pos: u64,
    flags: u32,
    mount: Option<u32>,
    inode: Option<u64>,
}

impl Info {
    fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key {
                "pos" => info.pos = value.parse().unwrap_or_default(),
                "flags" => info.flags = u32::from_str_radix(value, 8).unwrap_or_default(),
                "mnt_id" => info.mount = value.parse().ok(),
                // Since Linux 5.14. Later lines (inotify, epoll) repeat the key with a blank before it.
                "ino" => info.inode = info.inode.or(value.parse().ok()),
                _ => {}
            }
        }
        info
    }
}

/// The number in `socket:[123]` and `pipe:[123]`.
fn bracketed(target: &str) -> Option<u64> {
    let (name, rest) = target.split_once(":[")?;
    (name == "socket" || name == "pipe").then(|| rest.strip_suffix(']')?.parse().ok())?
}

/// Falco's word for what the link says; `socket` until the socket is known.
fn kind(target: &str) -> &'static str {
    if target.starts_with('/') {
        return if target.starts_with("/memfd:") {
            "memfd"
        } else {
            "file"
        };
    }
    match target.split_once(':') {
        Some(("socket", _)) => "socket",
        Some(("pipe", _)) => "pipe",
        Some(("anon_inode", name)) => match name.trim_start_matches('[').trim_end_matches(']') {
            "eventfd" => "event",
            "eventpoll" => "eventpoll",
            "inotify" => "inotify",
            "fanotify" => "fanotify",
            "signalfd" => "signalfd",
            "timerfd" => "timerfd",
            "pidfd" => "pidfd",
            "io_uring" => "iouring",
            "userfaultfd" => "userfaultfd",
            "perf_event" => "perf_event",
            name if name.starts_with("bpf") => "bpf",
            _ => "anon",
        },
        Some(("pidfd", _)) => "pidfd",
        Some((_, rest)) if rest.starts_with('[') => "namespace",
        _ => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn fdinfo_is_read() {
        let info =
            Info::parse("pos:\t4096\nflags:\t02100002\nmnt_id:\t29\nino:\t777\ninotify wd:1 ino:5 sdev:2\n");
        assert_eq!(
            info,
            Info {
                pos: 4096,
                flags: 0o2_100_002,
                mount: Some(29),
                inode: Some(777)
            }
        );
        assert_eq!(Info::parse("garbage"), Info::default());
    }

    #[test]
    fn links_have_kinds() {
        let kinds = [
            ("/etc/hosts", "file"),
            ("/memfd:x (deleted)", "memfd"),
            ("socket:[1]", "socket"),
            ("pipe:[2]", "pipe"),
            ("anon_inode:[eventfd]", "event"),
            ("anon_inode:inotify", "inotify"),
            ("anon_inode:bpf-map", "bpf"),
            ("net:[4026531840]", "namespace"),
        ];
        for (link, expected) in kinds {
            assert_eq!(kind(link), expected, "{link}");
        }
        assert_eq!(bracketed("socket:[12]"), Some(12));
        assert_eq!(bracketed("net:[12]"), None);
    }

    #[test]
    fn own_descriptors_are_as_they_were_opened() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        file.seek(SeekFrom::Start(3)).unwrap();
        let folder = fs::File::open("/").unwrap();
        let collected = collect(&[std::process::id()]).unwrap();
        let of = |fd: i32| {
            let fd = u32::try_from(fd).unwrap();
            collected
                .found
                .iter()
                .find(|descriptor| descriptor.fd == fd)
                .unwrap()
        };
        assert_eq!(of(file.as_raw_fd()).pos, 3);
        assert_eq!(of(file.as_raw_fd()).kind, "file");
        assert_eq!(of(folder.as_raw_fd()).kind, "directory");
        assert_eq!(of(folder.as_raw_fd()).name, "/");
    }
}
