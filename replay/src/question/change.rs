//! What is different at the end: the snapshot of the end against that of the start.

use crate::open;
use crate::value::size;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::reader::Bundle;
use stillframe_format::snapshot::{CgroupInfo, MountInfo, ProcessInfo, SocketInfo};

use super::kept;

/// The most differences that are kept of one target.
const CHANGES_MAX: usize = 4096;

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed: `process`, `socket`, `connections`, `mount`, `disk`, `cgroup`.
    pub what: &'static str,
    /// How: `gone`, `new`, or `changed`.
    pub how: &'static str,
    /// Which, in words.
    pub text: String,
}

/// The differences of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The target's name.
    pub target: String,
    /// Why nothing can be compared, when it can't.
    pub missing: Option<String>,
    /// The differences, in the order: processes, sockets, mounts, disks, cgroup.
    pub changes: Vec<Change>,
}

impl Changes {
    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .changes
            .iter()
            .map(|change| json!({"what": change.what, "how": change.how, "text": change.text}))
            .collect();
        let mut object = json!({"target": self.target, "changes": rows});
        if let (Some(missing), Value::Object(map)) = (&self.missing, &mut object) {
            map.insert("missing".to_owned(), missing.clone().into());
        }
        object
    }
}

/// What one snapshot holds of one target; `None` is a member that is not there.
#[derive(Debug, Default)]
struct Snapshot {
    processes: Option<Vec<ProcessInfo>>,
    sockets: Option<Vec<SocketInfo>>,
    mounts: Option<Vec<MountInfo>>,
    cgroup: Option<CgroupInfo>,
}

impl Snapshot {
    fn take(&mut self, file: &str, content: &[u8]) {
        fn read<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
            serde_json::from_slice(content).ok()
        }
        match file {
            "processes.json" => self.processes = read(content),
            "sockets.json" => self.sockets = read(content),
            "mounts.json" => self.mounts = read(content),
            "cgroup.json" => self.cgroup = read(content),
            _ => {}
        }
    }

    /// Whether anything can be compared: of a container that died the engine still tells, but nothing else does.
    fn any(&self) -> bool {
        self.processes.is_some() || self.sockets.is_some() || self.mounts.is_some() || self.cgroup.is_some()
    }
}

/// The differences of every target between start and end.
pub fn changes<R: Read + Seek>(bundle: &mut Bundle<R>) -> Vec<Changes> {
    let targets = bundle.header().targets.clone();
    let mut before: Vec<Snapshot> = targets.iter().map(|_| Snapshot::default()).collect();
    let mut after: Vec<Snapshot> = targets.iter().map(|_| Snapshot::default()).collect();
    let sort = |side: &str, snapshots: &mut Vec<Snapshot>, name: &str, content: &[u8]| {
        let Some((folder, file)) = name
            .strip_prefix(side)
            .and_then(|rest| rest.strip_prefix("/containers/"))
            .and_then(|rest| rest.rsplit_once('/'))
        else {
            return;
        };
        for (target, snapshot) in targets.iter().zip(snapshots) {
            if target.folder == folder {
                snapshot.take(file, content);
            }
        }
    };
    open::for_each_start_member(bundle, |name, content| sort("start", &mut before, name, content));
    open::for_each_end_member(bundle, |name, content| sort("end", &mut after, name, content));
    targets
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(target, (before, after))| {
            let prefix = format!("end/containers/{}", target.folder);
            let reason = bundle.end().and_then(|end| {
                let found = end.not_captured.iter().find(|missing| missing.what == prefix);
                found.map(|missing| missing.reason.clone())
            });
            let missing = match (before.any(), after.any(), bundle.end().is_some()) {
                (true, true, _) => None,
                (false, ..) => Some("the bundle has no snapshot of its start".to_owned()),
                (_, false, true) => Some(format!(
                    "the bundle has no snapshot of its end{}",
                    reason.map_or_else(String::new, |reason| format!(": {reason}"))
                )),
                (_, false, false) => Some("the bundle was cut before the snapshot of the end".to_owned()),
            };
            let mut found = Changes {
                target: kept(&target.name),
                changes: Vec::new(),
                missing,
            };
            if found.missing.is_none() {
                compare(&mut found.changes, before, after);
            }
            found
        })
        .collect()
}

fn compare(found: &mut Vec<Change>, before: &Snapshot, after: &Snapshot) {
    if let (Some(before), Some(after)) = (&before.processes, &after.processes) {
        processes(found, before, after);
    }
    if let (Some(before), Some(after)) = (&before.sockets, &after.sockets) {
        sockets(found, before, after);
    }
    if let (Some(before), Some(after)) = (&before.mounts, &after.mounts) {
        mounts(found, before, after);
    }
    if let (Some(before), Some(after)) = (&before.cgroup, &after.cgroup) {
        cgroup(found, before, after);
    }
}

fn push(found: &mut Vec<Change>, what: &'static str, how: &'static str, text: &str) {
    if found.len() < CHANGES_MAX {
        found.push(Change {
            what,
            how,
            text: kept(&crate::escape::line(text)),
        });
    }
}

/// Tells what is in one set only.
fn difference<K: Ord>(
    found: &mut Vec<Change>,
    what: &'static str,
    before: &BTreeMap<K, String>,
    after: &BTreeMap<K, String>,
) {
    for (how, one, other) in [("gone", before, after), ("new", after, before)] {
        for (key, text) in one {
            if !other.contains_key(key) {
                push(found, what, how, text);
            }
        }
    }
}

fn processes(found: &mut Vec<Change>, before: &[ProcessInfo], after: &[ProcessInfo]) {
    let known = |list: &[ProcessInfo]| -> BTreeMap<(u32, u64), String> {
        list.iter()
            .map(|process| {
                let command = if process.argv.is_empty() {
                    format!("[{}]", process.comm)
                } else {
                    process.argv.join(" ")
                };
                // An id that was used again is another process.
                (
                    (process.pid, process.started),
                    format!("{} {command}", process.pid),
                )
            })
            .collect()
    };
    difference(found, "process", &known(before), &known(after));
}

fn sockets(found: &mut Vec<Change>, before: &[SocketInfo], after: &[SocketInfo]) {
    let listening = |list: &[SocketInfo]| -> BTreeMap<(u64, String, String), String> {
        list.iter()
            .filter(|socket| socket.state == "LISTEN")
            .map(|socket| {
                let users: BTreeSet<&str> = socket.users.iter().map(|user| user.comm.as_str()).collect();
                let users: Vec<&str> = users.into_iter().collect();
                let text = format!(
                    "{} {} listening ({})",
                    socket.protocol,
                    socket.local,
                    users.join(", ")
                );
                (
                    (socket.netns, socket.protocol.clone(), socket.local.clone()),
                    text.replace(" ()", ""),
                )
            })
            .collect()
    };
    difference(found, "socket", &listening(before), &listening(after));
    let states = |list: &[SocketInfo]| {
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for socket in list {
            if matches!(socket.protocol.as_str(), "tcp" | "udp") && socket.state != "LISTEN" {
                *counts
                    .entry((socket.protocol.clone(), socket.state.clone()))
                    .or_default() += 1;
            }
        }
        counts
    };
    let (before, after) = (states(before), states(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let count = |counts: &BTreeMap<_, u64>| counts.get(key).copied().unwrap_or(0);
        let (was, is) = (count(&before), count(&after));
        if was != is {
            push(
                found,
                "connections",
                "changed",
                &format!("{} {}: {was} to {is}", key.0, key.1),
            );
        }
    }
}

fn mounts(found: &mut Vec<Change>, before: &[MountInfo], after: &[MountInfo]) {
    let known = |list: &[MountInfo]| -> BTreeMap<(String, String, String), String> {
        list.iter()
            .map(|mount| {
                (
                    (mount.target.clone(), mount.fs_type.clone(), mount.source.clone()),
                    format!("{} ({} {})", mount.target, mount.fs_type, mount.source),
                )
            })
            .collect()
    };
    difference(found, "mount", &known(before), &known(after));
    let mut told = BTreeSet::new();
    for was in before {
        let Some(is) = after
            .iter()
            .find(|mount| mount.id == was.id && mount.target == was.target)
        else {
            continue;
        };
        if was.options != is.options {
            let text = format!("{}: options {} to {}", was.target, was.options, is.options);
            push(found, "mount", "changed", &text);
        }
        if let (Some(used), Some(uses)) = (was.usage, is.usage)
            && (used.used != uses.used || used.inodes_free != uses.inodes_free)
            // One file system is often mounted in many places, and under an overlay as another device.
            && told.insert((used.size, used.used, uses.used, uses.inodes_free))
        {
            let (sign, bytes) = if uses.used >= used.used {
                ('+', uses.used - used.used)
            } else {
                ('-', used.used - uses.used)
            };
            let inodes = i128::from(used.inodes_free) - i128::from(uses.inodes_free);
            let text = format!(
                "{}: used {} to {} ({sign}{}), {} available, {inodes:+} inodes",
                was.target,
                size(used.used),
                size(uses.used),
                size(bytes),
                size(uses.available),
            );
            push(found, "disk", "changed", &text);
        }
    }
}

/// Counters of a cgroup whose growth tells of trouble: parts of their files' and keys' names.
const TROUBLE: [&str; 8] = [
    "throttled",
    "oom",
    "failcnt",
    "max_usage",
    "events",
    "under_oom",
    "limit",
    ".max",
];

fn cgroup(found: &mut Vec<Change>, before: &CgroupInfo, after: &CgroupInfo) {
    let values = |info: &CgroupInfo| {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (file, text) in &info.files {
            for line in text.lines().take(200) {
                let (key, value) = match line.split_once(' ') {
                    Some((key, value)) => (format!("{file} {key}"), value),
                    None => (file.clone(), line),
                };
                if TROUBLE.iter().any(|word| key.contains(word)) {
                    values.insert(key, value.trim().to_owned());
                }
            }
        }
        values
    };
    let (before, after) = (values(before), values(after));
    for (key, was) in &before {
        let Some(is) = after.get(key).filter(|is| *is != was) else {
            continue;
        };
        let text = match (was.parse::<u64>(), is.parse::<u64>()) {
            (Ok(a), Ok(b)) if b >= a => format!("{key}: {was} to {is} (+{})", b - a),
            _ => format!("{key}: {was} to {is}"),
        };
        push(found, "cgroup", "changed", &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_format::snapshot::DiskUse;

    fn process(pid: u32, started: u64) -> ProcessInfo {
        ProcessInfo {
            pid,
            started,
            comm: "app".into(),
            ..ProcessInfo::default()
        }
    }

    fn listening(port: u16) -> SocketInfo {
        SocketInfo {
            protocol: "tcp".into(),
            state: "LISTEN".into(),
            local: format!("0.0.0.0:{port}"),
            ..SocketInfo::default()
        }
    }

    fn mount(used: u64) -> MountInfo {
        MountInfo {
            id: 1,
            target: "/data".into(),
            usage: Some(DiskUse {
                used,
                ..DiskUse::default()
            }),
            ..MountInfo::default()
        }
    }

    fn files(text: &str) -> CgroupInfo {
        CgroupInfo {
            files: vec![
                ("cpu.stat".into(), text.into()),
                ("memory.current".into(), "5".into()),
            ],
            ..CgroupInfo::default()
        }
    }

    #[test]
    fn every_kind_of_difference_is_told_and_nothing_else() {
        let before = Snapshot {
            processes: Some(vec![process(1, 5), process(2, 6)]),
            sockets: Some(vec![listening(80), listening(81)]),
            mounts: Some(vec![mount(1 << 20)]),
            cgroup: Some(files("usage_usec 5\nnr_throttled 1\nthrottled_usec 70")),
        };
        let after = Snapshot {
            processes: Some(vec![process(1, 5), process(2, 9)]),
            sockets: Some(vec![listening(80), listening(82)]),
            mounts: Some(vec![mount(3 << 20)]),
            cgroup: Some(files("usage_usec 9\nnr_throttled 4\nthrottled_usec 70")),
        };
        let mut found = Vec::new();
        compare(&mut found, &before, &after);
        let lines: Vec<String> = found
            .iter()
            .map(|change| format!("{} {} {}", change.what, change.how, change.text))
            .collect();
        assert_eq!(
            lines,
            [
                "process gone 2 [app]",
                "process new 2 [app]",
                "socket gone tcp 0.0.0.0:81 listening",
                "socket new tcp 0.0.0.0:82 listening",
                "disk changed /data: used 1.0 MiB to 3.0 MiB (+2.0 MiB), 0 B available, +0 inodes",
                "cgroup changed cpu.stat nr_throttled: 1 to 4 (+3)",
            ]
        );
        let mut found = Vec::new();
        compare(&mut found, &before, &before);
        assert!(found.is_empty(), "{found:?}");
    }
}
