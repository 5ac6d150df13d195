//! What was found from outside a container at one moment: the typed content of `start/…` and `end/…`
//! (`docs/format.md`, "Snapshot"). All of it is JSON in the bundle, one member for each type.

use crate::event::Device;
use serde::{Deserialize, Serialize};

/// A process, from `/proc/PID/`. Member `processes.json` holds a list of these, threads included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id on the host.
    pub pid: u32,
    /// Parent's process id on the host.
    pub ppid: u32,
    /// Process id inside the innermost pid namespace; 0 when not known.
    pub ns_pid: u32,
    /// `comm`, lossily as UTF-8.
    pub comm: String,
    /// `/proc/PID/exe`.
    pub exe: String,
    /// `/proc/PID/cwd`.
    pub cwd: String,
    /// `/proc/PID/root`.
    pub root: String,
    /// `/proc/PID/cmdline`, split at NUL, lossily as UTF-8.
    pub argv: Vec<String>,
    /// One letter: R, S, D, Z, T, …
    pub state: String,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective capabilities, hex.
    pub cap_eff: String,
    /// Start, nanoseconds of boottime.
    pub started: u64,
    /// Resident memory in bytes.
    pub rss: u64,
    /// `/proc/PID/cgroup`, line by line.
    pub cgroups: Vec<String>,
    /// Threads: id and name.
    pub threads: Vec<ThreadInfo>,
    /// Full id of the container; empty when none.
    pub container: String,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadInfo {
    /// Thread id on the host.
    pub tid: u32,
    /// Its name.
    pub comm: String,
}

/// An open descriptor. Member `fds.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorInfo {
    /// Process id on the host.
    pub pid: u32,
    /// The descriptor.
    pub fd: u32,
    /// The link's text: `/data/wal`, `socket:[123]`, `pipe:[9]`, `anon_inode:[eventpoll]`.
    pub target: String,
    /// Falco's one-word type; see [`crate::event::DescriptorName::kind`].
    pub kind: String,
    /// `strace -yy`'s name; for a socket what [`SocketInfo::name`] gives.
    pub name: String,
    /// Position in the file.
    pub pos: u64,
    /// Open flags (octal `flags:` of fdinfo), close-on-exec included.
    pub flags: u32,
    /// Inode number of the socket, pipe or file; 0 when not known.
    pub inode: u64,
}

/// A socket of a network namespace: a line of `ss -tulpna`. Member `sockets.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketInfo {
    /// Inode number of the network namespace.
    pub netns: u64,
    /// `tcp`, `udp`, `unix-stream`, `unix-dgram`, `unix-seqpacket`, `raw`, `packet`, …
    pub protocol: String,
    /// `ipv4`, `ipv6`, `unix`, …
    pub family: String,
    /// `LISTEN`, `ESTAB`, `UNCONN`, … as `ss` writes it.
    pub state: String,
    /// `10.0.0.2:80`, `[::1]:80`, a path, `@name` for an abstract one, empty for none.
    pub local: String,
    /// The same for the other end; `[inode]` for the peer of a Unix socket that has no name.
    pub remote: String,
    /// Bytes (or, listening, connections) that wait to be received.
    pub recv_queue: u32,
    /// Bytes (or, listening, the backlog's limit) that wait to be sent.
    pub send_queue: u32,
    /// Inode number of the socket.
    pub inode: u64,
    /// Owner's user id.
    pub uid: u32,
    /// Processes that hold it open.
    pub users: Vec<SocketUser>,
}

impl SocketInfo {
    /// `strace -yy`'s name of the socket: `TCP:[10.0.0.2:80->10.0.0.9:5012]`, `UNIX-STREAM:[123]`.
    #[must_use]
    pub fn name(&self) -> String {
        let protocol = match (self.protocol.as_str(), self.family.as_str()) {
            ("tcp", "ipv6") => "TCPv6".to_owned(),
            ("udp", "ipv6") => "UDPv6".to_owned(),
            ("unix", _) => "UNIX".to_owned(),
            (other, _) => other.to_uppercase(),
        };
        if self.family == "unix" {
            return if self.local.is_empty() {
                format!("{protocol}:[{}]", self.inode)
            } else {
                format!("{protocol}:[{},\"{}\"]", self.inode, self.local)
            };
        }
        let connected =
            !self.remote.is_empty() && !self.remote.ends_with(":0") && !self.remote.ends_with(":*");
        if connected {
            format!("{protocol}:[{}->{}]", self.local, self.remote)
        } else {
            format!("{protocol}:[{}]", self.local)
        }
    }
}

/// Who holds a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketUser {
    /// Process id on the host.
    pub pid: u32,
    /// Descriptor.
    pub fd: u32,
    /// Process name.
    pub comm: String,
}

/// A network interface of a namespace with its addresses. Member `interfaces.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceInfo {
    /// Inode number of the network namespace.
    pub netns: u64,
    /// Index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `aa:bb:…`, empty when it has none.
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// `up`, `down`, `unknown`, … (operational state).
    pub state: String,
    /// `UP`, `LOOPBACK`, `BROADCAST`, …
    pub flags: Vec<String>,
    /// `172.17.0.2/16`, `fe80::1/64`.
    pub addresses: Vec<String>,
    /// Index of the peer or lower interface in its own namespace; 0 when none.
    pub link: u32,
}

/// A route. Member `routes.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteInfo {
    /// Inode number of the network namespace.
    pub netns: u64,
    /// `default`, `172.17.0.0/16`, …
    pub destination: String,
    /// Next hop; empty when directly connected.
    pub gateway: String,
    /// Interface name.
    pub interface: String,
    /// Preferred source address; empty when none.
    pub source: String,
    /// Table number.
    pub table: u32,
    /// Metric.
    pub metric: u32,
    /// `kernel`, `boot`, `static`, …
    pub protocol: String,
}

/// A mount, from `/proc/PID/mountinfo`, with the disk use of its file system. Member `mounts.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountInfo {
    /// Inode number of the mount namespace.
    pub mntns: u64,
    /// Mount id.
    pub id: u32,
    /// Parent's mount id.
    pub parent: u32,
    /// Device number of the file system.
    pub device: Option<Device>,
    /// Root of the mount inside its file system.
    pub root: String,
    /// Where it is mounted, as the container sees it.
    pub target: String,
    /// File system type.
    pub fs_type: String,
    /// What is mounted.
    pub source: String,
    /// Mount options and super options, joined with a comma.
    pub options: String,
    /// Disk use; `None` where it was not asked for (pseudo file systems) or could not be had.
    pub usage: Option<DiskUse>,
}

/// What `df` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Size in bytes.
    pub size: u64,
    /// Used bytes.
    pub used: u64,
    /// Bytes available to ordinary users.
    pub available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// The namespaces of a container's first process. Member `namespaces.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceInfo {
    /// `net`, `mnt`, `pid`, `ipc`, `uts`, `user`, `cgroup`, `time`.
    pub kind: String,
    /// Inode number.
    pub inode: u64,
    /// Who else uses it: `host`, or the names of containers.
    pub shared_with: Vec<String>,
}

/// Limits and use of a container's cgroups. Member `cgroup.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupInfo {
    /// `/sys/fs/cgroup/…` folders, by controller (`unified` for cgroup2).
    pub paths: Vec<(String, String)>,
    /// File name (with its controller on version 1: `memory/memory.limit_in_bytes`) and its text, trimmed.
    pub files: Vec<(String, String)>,
}

/// A block device under a container. Member `block-devices.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDeviceInfo {
    /// Device number (of the whole disk as well as of partitions: see `parent`).
    pub device: Option<Device>,
    /// Kernel name: `vda1`, `loop0`.
    pub name: String,
    /// Whole disk or lower devices that requests end up on; empty when it is one itself.
    pub parents: Vec<Device>,
    /// Size in bytes.
    pub size: u64,
    /// Mount targets inside the container that led here.
    pub mounts: Vec<String>,
    /// I/O scheduler in use, model, rotational: `queue/…` name and text.
    pub attributes: Vec<(String, String)>,
}
