//! What a target is doing at one moment, found from outside: nothing runs inside the container.
//!
//! Every collector runs on a thread of its own with a time limit, so that a dead network file system or a
//! process stuck in the kernel costs the member that needed it, and nothing else.

mod block_device;
mod cgroup;
mod descriptor;
mod host;
mod interface;
mod mount;
mod namespace;
mod netlink;
mod proc_file;
mod proc_net;
mod process;
mod route;
mod socket;

pub(crate) use host::chosen;
pub use host::{CpuInfo, HostInfo};

use crate::deadline::{NoAnswer, Pending};
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use stillframe_format::snapshot::{
    BlockDeviceInfo, CgroupInfo, DescriptorInfo, InterfaceInfo, MountInfo, NamespaceInfo, ProcessInfo,
    RouteInfo, SocketInfo, SocketUser,
};

/// How long a collector may take unless the caller says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// File name (`processes.json`) and content. A collector that failed has no member.
    pub members: Vec<(String, Vec<u8>)>,
    /// What is not in the members, or not whole.
    pub missed: Vec<Missed>,
    /// Content of `processes.json`.
    pub processes: Vec<ProcessInfo>,
    /// Content of `fds.json`.
    pub descriptors: Vec<DescriptorInfo>,
    /// Content of `sockets.json`.
    pub sockets: Vec<SocketInfo>,
    /// Content of `interfaces.json`.
    pub interfaces: Vec<InterfaceInfo>,
    /// Content of `routes.json`.
    pub routes: Vec<RouteInfo>,
    /// Content of `mounts.json`.
    pub mounts: Vec<MountInfo>,
    /// Content of `namespaces.json`.
    pub namespaces: Vec<NamespaceInfo>,
    /// Content of `cgroup.json`; `None` when the target has no cgroup of its own.
    pub cgroup: Option<CgroupInfo>,
    /// Content of `block-devices.json`.
    pub block_devices: Vec<BlockDeviceInfo>,
    /// Content of `host.json`; only [`host`] fills it.
    pub host: Option<HostInfo>,
}

/// Something that a snapshot does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The member that it belongs to: `sockets.json`. The member may be there, without this part.
    pub member: String,
    /// What and why.
    pub reason: String,
}

/// What a collector found, with remarks on what it could not.
#[derive(Clone, Debug)]
struct Collected<T> {
    found: T,
    notes: Vec<String>,
}

/// Why a collector found nothing.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("no process of the target runs")]
    NoProcess,
    #[error("the target has no cgroup of its own")]
    NoCgroup,
    #[error("{path}: {cause}{}", advice(.cause))]
    File { path: String, cause: std::io::Error },
    #[error("{what}: {cause}{}", advice(.cause))]
    Kernel {
        what: &'static str,
        cause: std::io::Error,
    },
}

fn advice(cause: &std::io::Error) -> &'static str {
    if cause.kind() == std::io::ErrorKind::PermissionDenied {
        " (run as root or add CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN)"
    } else {
        ""
    }
}

type Outcome<T> = Result<Collected<T>, CollectError>;

/// Looks at a target. `pids` are its processes ([`crate::target::resolve::pids`]), `deadline` is the time limit
/// of each collector; they run at the same time.
#[must_use]
pub fn take(target: &Target, pids: &[u32], deadline: Duration) -> Snapshot {
    take_among(target, pids, &[], deadline)
}

/// As [`take`], and says of each namespace which of the containers `others` (name, first process) share it.
#[must_use]
pub fn take_among(target: &Target, pids: &[u32], others: &[(String, u32)], deadline: Duration) -> Snapshot {
    let collectors = Collectors::start(target, pids, others, deadline);
    collectors.finish(Instant::now() + deadline, deadline)
}

/// Facts of the host, as `host.json`. Takes at most [`DEFAULT_DEADLINE`].
#[must_use]
pub fn host() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let outcome = Pending::start("host-facts", host::collect).wait(DEFAULT_DEADLINE);
    snapshot.host = snapshot.keep("host.json", outcome);
    snapshot
}

/// Collectors that run.
struct Collectors {
    processes: Pending<Outcome<Vec<ProcessInfo>>>,
    descriptors: Pending<Outcome<Vec<DescriptorInfo>>>,
    sockets: Pending<Outcome<Vec<SocketInfo>>>,
    interfaces: Pending<Outcome<Vec<InterfaceInfo>>>,
    routes: Pending<Outcome<Vec<RouteInfo>>>,
    mounts: Pending<Outcome<Vec<MountInfo>>>,
    namespaces: Pending<Outcome<Vec<NamespaceInfo>>>,
    cgroup: Pending<Outcome<CgroupInfo>>,
    block_devices: Pending<Outcome<Vec<BlockDeviceInfo>>>,
}

impl Collectors {
    fn start(target: &Target, pids: &[u32], others: &[(String, u32)], deadline: Duration) -> Self {
        let mut pids = pids.to_vec();
        // The first process may be left out by a caller who asked the cgroup; the order is the output's order.
        if target.pid != 0 {
            pids.push(target.pid);
        }
        pids.sort_unstable();
        pids.dedup();
        let first = target.pid;
        let netns = target.namespaces.get("net").copied().unwrap_or_default();
        let (id, name) = (target.id.clone(), target.name.clone());
        let (all, cgroups, others) = (pids.clone(), target.cgroups.clone(), others.to_vec());
        let (devices, net_shared) = (target.devices.clone(), target.netns_shared_with.clone());
        Self {
            processes: Pending::start("snap-process", move || process::collect(&pids, &id)),
            descriptors: Pending::start("snap-fd", move || descriptor::collect(&all)),
            sockets: Pending::start("snap-socket", move || socket::collect(first, netns)),
            interfaces: Pending::start("snap-interface", move || interface::collect(first, netns)),
            routes: Pending::start("snap-route", move || route::collect(first, netns)),
            mounts: Pending::start("snap-mount", move || mount::collect(first, deadline)),
            namespaces: Pending::start("snap-namespace", move || {
                namespace::collect(first, &name, &others, &net_shared)
            }),
            cgroup: Pending::start("snap-cgroup", move || cgroup::collect(&cgroups)),
            block_devices: Pending::start("snap-block", move || block_device::collect(first, &devices)),
        }
    }

    fn finish(self, end: Instant, deadline: Duration) -> Snapshot {
        let left = || end.saturating_duration_since(Instant::now());
        let late = |outcome: NoAnswer| match outcome {
            NoAnswer::Late(_) => NoAnswer::Late(deadline),
            other => other,
        };
        let mut snapshot = Snapshot::default();
        // Descriptors and sockets name each other, so both are awaited before either is written.
        let mut descriptors = self.descriptors.wait(left()).map_err(late);
        let mut sockets = self.sockets.wait(left()).map_err(late);
        let processes = self.processes.wait(left()).map_err(late);
        if let Ok(Ok(descriptors)) = &mut descriptors
            && let Ok(Ok(sockets)) = &mut sockets
        {
            let names = match &processes {
                Ok(Ok(processes)) => processes.found.as_slice(),
                _ => &[],
            };
            join(&mut descriptors.found, &mut sockets.found, names);
        } else if let Ok(Ok(sockets)) = &mut sockets {
            sockets
                .notes
                .push("who holds each socket: the descriptors could not be read".to_owned());
        }
        snapshot.processes = snapshot.keep("processes.json", processes).unwrap_or_default();
        snapshot.descriptors = snapshot.keep("fds.json", descriptors).unwrap_or_default();
        snapshot.sockets = snapshot.keep("sockets.json", sockets).unwrap_or_default();
        let interfaces = self.interfaces.wait(left()).map_err(late);
        snapshot.interfaces = snapshot.keep("interfaces.json", interfaces).unwrap_or_default();
        let routes = self.routes.wait(left()).map_err(late);
        snapshot.routes = snapshot.keep("routes.json", routes).unwrap_or_default();
        let mounts = self.mounts.wait(left()).map_err(late);
        snapshot.mounts = snapshot.keep("mounts.json", mounts).unwrap_or_default();
        let namespaces = self.namespaces.wait(left()).map_err(late);
        snapshot.namespaces = snapshot.keep("namespaces.json", namespaces).unwrap_or_default();
        let cgroup = self.cgroup.wait(left()).map_err(late);
        snapshot.cgroup = snapshot.keep("cgroup.json", cgroup);
        let block_devices = self.block_devices.wait(left()).map_err(late);
        snapshot.block_devices = snapshot
            .keep("block-devices.json", block_devices)
            .unwrap_or_default();
        snapshot
    }
}

impl Snapshot {
    /// Turns an outcome into a member, or into the reason why there is none.
    fn keep<T: Serialize>(&mut self, member: &str, outcome: Result<Outcome<T>, NoAnswer>) -> Option<T> {
        let mut missed = |reason: String| {
            self.missed.push(Missed {
                member: member.to_owned(),
                reason,
            });
        };
        let collected = match outcome {
            Ok(Ok(collected)) => collected,
            Ok(Err(error)) => {
                missed(error.to_string());
                return None;
            }
            Err(error) => {
                missed(error.to_string());
                return None;
            }
        };
        collected.notes.into_iter().for_each(&mut missed);
        match serde_json::to_vec_pretty(&collected.found) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                self.members.push((member.to_owned(), bytes));
                Some(collected.found)
            }
            Err(error) => {
                missed(format!("cannot be written as JSON: {error}"));
                None
            }
        }
    }
}

/// Gives sockets their holders and descriptors their sockets' names. They meet at the socket's inode number
/// (one number space for all sockets of the host: sockfs, net/socket.c).
fn join(descriptors: &mut [DescriptorInfo], sockets: &mut [SocketInfo], processes: &[ProcessInfo]) {
    let comms: BTreeMap<u32, &str> = processes
        .iter()
        .map(|process| (process.pid, process.comm.as_str()))
        .collect();
    let mut users: BTreeMap<u64, BTreeSet<(u32, u32)>> = BTreeMap::new();
    for descriptor in descriptors
        .iter()
        .filter(|descriptor| descriptor.kind == "socket")
    {
        users
            .entry(descriptor.inode)
            .or_default()
            .insert((descriptor.pid, descriptor.fd));
    }
    let mut names: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for socket in sockets.iter_mut().filter(|socket| socket.inode != 0) {
        socket.users = users
            .get(&socket.inode)
            .into_iter()
            .flatten()
            .map(|(pid, fd)| SocketUser {
                pid: *pid,
                fd: *fd,
                comm: comms.get(pid).copied().unwrap_or_default().to_owned(),
            })
            .collect();
        names.insert(socket.inode, (socket.family.clone(), socket.name()));
    }
    for descriptor in descriptors
        .iter_mut()
        .filter(|descriptor| descriptor.kind == "socket")
    {
        if let Some((family, name)) = names.get(&descriptor.inode) {
            descriptor.kind.clone_from(family);
            descriptor.name.clone_from(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(inode: u64) -> SocketInfo {
        SocketInfo {
            protocol: "tcp".to_owned(),
            family: "ipv4".to_owned(),
            local: "127.0.0.1:80".to_owned(),
            remote: "0.0.0.0:*".to_owned(),
            inode,
            ..SocketInfo::default()
        }
    }

    #[test]
    fn sockets_and_descriptors_meet_at_the_inode() {
        let held = |pid, fd, inode| DescriptorInfo {
            pid,
            fd,
            kind: "socket".to_owned(),
            target: format!("socket:[{inode}]"),
            inode,
            ..DescriptorInfo::default()
        };
        let mut descriptors = [held(7, 3, 100), held(8, 3, 100), held(8, 4, 999)];
        let mut sockets = [socket(100), socket(0)];
        let process = ProcessInfo {
            pid: 7,
            comm: "httpd".to_owned(),
            ..ProcessInfo::default()
        };
        join(&mut descriptors, &mut sockets, &[process]);
        let users: Vec<_> = sockets[0]
            .users
            .iter()
            .map(|user| (user.pid, user.comm.as_str()))
            .collect();
        assert_eq!(users, [(7, "httpd"), (8, "")]);
        assert!(
            sockets[1].users.is_empty(),
            "a socket without an inode (TIME-WAIT) is nobody's"
        );
        assert_eq!(descriptors[0].name, "TCP:[127.0.0.1:80]");
        assert_eq!(descriptors[0].kind, "ipv4");
        assert_eq!(
            descriptors[2].kind, "socket",
            "one of another namespace stays unnamed"
        );
    }

    #[test]
    fn a_target_without_a_process_gives_reasons_not_silence() {
        let snapshot = take(&Target::default(), &[], Duration::from_secs(5));
        for member in [
            "sockets.json",
            "interfaces.json",
            "routes.json",
            "mounts.json",
            "cgroup.json",
        ] {
            assert!(
                snapshot.missed.iter().any(|missed| missed.member == member),
                "{member}"
            );
            assert!(
                !snapshot.members.iter().any(|(name, _)| name == member),
                "{member}"
            );
        }
    }

    #[test]
    fn own_process_is_seen_without_root() {
        let target = crate::target::resolve::tree(std::process::id()).unwrap();
        let snapshot = take(&target, &[target.pid], Duration::from_secs(20));
        assert_eq!(snapshot.processes.len(), 1);
        assert_eq!(snapshot.processes[0].pid, std::process::id());
        assert!(snapshot.descriptors.iter().any(|descriptor| descriptor.fd == 0));
        assert!(
            snapshot.interfaces.iter().any(|interface| interface.name == "lo"),
            "{:?}",
            snapshot.missed
        );
        assert!(snapshot.mounts.iter().any(|mount| mount.target == "/"));
        for (name, bytes) in &snapshot.members {
            serde_json::from_slice::<serde_json::Value>(bytes)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
