//! The made-up host: three containers, their processes, and what they have open when the recording begins.

use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use stillframe_format::BootTime;
use stillframe_format::entry::Member;
use stillframe_format::event::{Device, Task};
use stillframe_format::header::{Format, Header, TargetInfo, Tool};
use stillframe_format::layout;
use stillframe_format::snapshot::{
    BlockDeviceInfo, DescriptorInfo, InterfaceInfo, MountInfo, ProcessInfo, SocketInfo, ThreadInfo,
};
use stillframe_format::state::{Start, State};
use stillframe_format::time::Anchor;

/// Boottime at which the recording begins.
pub(super) const BOOT: u64 = 86_400_000_000_000;
/// 2026-11-24T14:03:07Z in nanoseconds.
const REALTIME: i64 = 1_795_528_987_000_000_000;
/// The disk that all containers share.
pub(super) const DISK: Device = Device { major: 254, minor: 0 };
/// Descriptors of the listeners and of the event loops, the same in every program.
pub(super) const LISTENER: u64 = 6;
pub(super) const EPOLL: u64 = 8;
/// First descriptor of a connection that was there from the start, and how many there are.
pub(super) const CLIENTS: u64 = 10;
pub(super) const CLIENT_COUNT: u64 = 24;
/// Descriptors of the database's files.
pub(super) const TABLE: u64 = 4;
pub(super) const WAL: u64 = 5;

/// What a container's threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Answers HTTP requests out of files.
    Web,
    /// Answers a key-value protocol from memory.
    Cache,
    /// Reads pages, writes a log ahead, syncs it.
    Database,
    /// Starts a short program again and again.
    Cron,
}

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: &'static str,
    pub(super) id: String,
    pub(super) netns: u64,
    pub(super) address: [u8; 4],
    pub(super) port: u16,
    /// Process id, threads, role, name, program.
    pub(super) processes: Vec<(u32, u32, Role, &'static str, &'static str)>,
}

/// The three of them.
pub(super) fn containers() -> Vec<Container> {
    let container = |name, letter: char, number: u8, port, processes| Container {
        name,
        id: std::iter::repeat_n(letter, 64).collect(),
        netns: 4_026_532_000 + u64::from(number),
        address: [172, 17, 0, 1 + number],
        port,
        processes,
    };
    vec![
        container(
            "web",
            'a',
            1,
            80,
            vec![
                (1200, 1, Role::Web, "nginx", "/usr/sbin/nginx"),
                (1201, 1, Role::Web, "nginx", "/usr/sbin/nginx"),
                (1202, 1, Role::Web, "nginx", "/usr/sbin/nginx"),
                (1290, 1, Role::Cron, "crond", "/usr/sbin/crond"),
            ],
        ),
        container(
            "cache",
            'b',
            2,
            6379,
            vec![(2300, 4, Role::Cache, "redis-server", "/usr/bin/redis-server")],
        ),
        container(
            "db",
            'c',
            3,
            5432,
            vec![
                (
                    3400,
                    1,
                    Role::Database,
                    "postgres",
                    "/usr/lib/postgresql/bin/postgres",
                ),
                (
                    3401,
                    1,
                    Role::Database,
                    "postgres",
                    "/usr/lib/postgresql/bin/postgres",
                ),
                (
                    3402,
                    2,
                    Role::Database,
                    "postgres",
                    "/usr/lib/postgresql/bin/postgres",
                ),
            ],
        ),
    ]
}

impl Container {
    pub(super) fn task(&self, pid: u32, tid: u32, comm: &str) -> Task {
        Task {
            pid,
            tid,
            comm: comm.as_bytes().to_vec(),
            container: self.id.clone(),
        }
    }

    fn processes(&self) -> Vec<ProcessInfo> {
        let info = |(pid, threads, _, comm, exe): &(u32, u32, Role, &str, &str)| ProcessInfo {
            pid: *pid,
            ppid: self.processes.first().map_or(1, |first| first.0),
            ns_pid: pid % 100 + 1,
            comm: (*comm).to_owned(),
            exe: (*exe).to_owned(),
            cwd: "/".to_owned(),
            root: "/".to_owned(),
            argv: vec![(*exe).to_owned(), "-c".to_owned(), format!("/etc/{comm}.conf")],
            state: "S".to_owned(),
            cap_eff: "00000000a80425fb".to_owned(),
            started: BOOT - 1_000_000_000_000,
            rss: 24 << 20,
            cgroups: vec![format!("0::/docker/{}", self.id)],
            threads: (0..*threads)
                .map(|thread| ThreadInfo {
                    tid: pid + thread,
                    comm: (*comm).to_owned(),
                })
                .collect(),
            container: self.id.clone(),
            ..ProcessInfo::default()
        };
        self.processes.iter().map(info).collect()
    }

    fn descriptors(&self, sockets: &[SocketInfo]) -> Vec<DescriptorInfo> {
        let mut found = Vec::new();
        for &(pid, _, role, ..) in &self.processes {
            let mut push = |fd: u64, kind: &str, target: &str, name: &str, inode| {
                found.push(DescriptorInfo {
                    pid,
                    fd: u32::try_from(fd).unwrap_or(0),
                    target: target.to_owned(),
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    flags: 0o2_000_002,
                    inode,
                    ..DescriptorInfo::default()
                });
            };
            push(0, "file", "/dev/null", "/dev/null", 4);
            push(1, "pipe", "pipe:[7001]", "pipe:[7001]", 7001);
            push(2, "pipe", "pipe:[7002]", "pipe:[7002]", 7002);
            if role == Role::Database {
                push(TABLE, "file", "/data/base/16384", "/data/base/16384", 4711);
                push(
                    WAL,
                    "file",
                    "/data/pg_wal/0000000100000001",
                    "/data/pg_wal/0000000100000001",
                    4712,
                );
            }
            if role != Role::Cron {
                push(
                    EPOLL,
                    "eventpoll",
                    "anon_inode:[eventpoll]",
                    "anon_inode:[eventpoll]",
                    0,
                );
                for socket in sockets
                    .iter()
                    .filter(|socket| socket.users.iter().any(|user| user.pid == pid))
                {
                    let fd = socket.users.first().map_or(0, |user| u64::from(user.fd));
                    let target = format!("socket:[{}]", socket.inode);
                    push(fd, "ipv4", &target, &socket.name(), socket.inode);
                }
            }
        }
        found
    }

    fn sockets(&self) -> Vec<SocketInfo> {
        let [a, b, c, d] = self.address;
        let local = format!("{a}.{b}.{c}.{d}:{}", self.port);
        let mut found = Vec::new();
        for &(pid, _, role, comm, _) in &self.processes {
            let user = |fd: u64| stillframe_format::snapshot::SocketUser {
                pid,
                fd: u32::try_from(fd).unwrap_or(0),
                comm: comm.to_owned(),
            };
            if role == Role::Cron {
                continue;
            }
            let base = u64::from(pid) * 100;
            let socket = |fd: u64, state: &str, remote: String| SocketInfo {
                netns: self.netns,
                protocol: "tcp".to_owned(),
                family: "ipv4".to_owned(),
                state: state.to_owned(),
                local: local.clone(),
                remote,
                inode: base + fd,
                users: vec![user(fd)],
                ..SocketInfo::default()
            };
            found.push(socket(LISTENER, "LISTEN", "0.0.0.0:*".to_owned()));
            if role != Role::Web {
                for fd in CLIENTS..CLIENTS + CLIENT_COUNT {
                    found.push(socket(
                        fd,
                        "ESTAB",
                        format!("172.17.0.{}:{}", 10 + fd, 40_000 + base % 1000 + fd),
                    ));
                }
            }
        }
        found
    }
}

/// The clocks at a moment; `stepped` is by how much the wall clock was set since the start.
pub(super) fn anchor(boottime: u64, stepped: i64) -> Anchor {
    Anchor {
        boottime: BootTime(boottime),
        realtime: realtime(boottime) + stepped,
        monotonic: boottime - 3_600_000_000_000,
        error: 60,
    }
}

/// What the wall clock would show if it had never been set.
pub(super) fn realtime(boottime: u64) -> i64 {
    REALTIME + i64::try_from(boottime.saturating_sub(BOOT)).unwrap_or(0)
}

pub(super) fn header(seed: u64, containers: &[Container]) -> Header {
    let targets = containers.iter().map(|container| TargetInfo {
        name: container.name.to_owned(),
        id: container.id.clone(),
        kind: "container".to_owned(),
        pid: container.processes.first().map_or(0, |first| first.0),
        folder: container.id.clone(),
        namespaces: BTreeMap::from([("net".to_owned(), container.netns)]),
        netns_shared_with: Vec::new(),
        devices: vec![DISK.to_string()],
    });
    Header {
        format: Format {
            requires: vec![layout::URING.to_owned()],
            ..Format::default()
        },
        id: format!("00000000-0000-4000-8000-{:012x}", seed & 0xffff_ffff_ffff),
        tool: Tool {
            name: "xtask synth".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: String::new(),
        },
        case: BTreeMap::from([("note".to_owned(), "made up: no host was recorded".to_owned())]),
        started: BootTime(BOOT),
        anchors: vec![anchor(BOOT, 0)],
        targets: targets.collect(),
        plan: serde_json::json!({"seed": seed}),
        preflight: serde_json::Value::Null,
        host: serde_json::json!({"kernel": {"release": "6.12.0"}}),
    }
}

fn json<T: Serialize>(members: &mut Vec<Member>, name: String, value: &T) -> Result<()> {
    members.push(Member::new(name, serde_json::to_vec_pretty(value)?)?);
    Ok(())
}

/// The snapshot at the start, and the state that it tells.
pub(super) fn start(containers: &[Container]) -> Result<(Vec<Member>, State)> {
    let mut members = Vec::new();
    let mut state = State::default();
    for container in containers {
        let folder = format!("start/containers/{}", container.id);
        let processes = container.processes();
        let sockets = container.sockets();
        let descriptors = container.descriptors(&sockets);
        let mount = |id, target: &str, fs_type: &str| MountInfo {
            mntns: container.netns + 100,
            id,
            parent: 1,
            device: Some(DISK),
            root: "/".to_owned(),
            target: target.to_owned(),
            fs_type: fs_type.to_owned(),
            source: "/dev/vda".to_owned(),
            options: "rw,relatime".to_owned(),
            usage: None,
        };
        let mounts = vec![mount(20, "/", "overlay"), mount(21, "/data", "ext4")];
        json(&mut members, format!("{folder}/processes.json"), &processes)?;
        json(&mut members, format!("{folder}/fds.json"), &descriptors)?;
        json(&mut members, format!("{folder}/sockets.json"), &sockets)?;
        json(&mut members, format!("{folder}/mounts.json"), &mounts)?;
        let [a, b, c, d] = container.address;
        let interface = InterfaceInfo {
            netns: container.netns,
            index: 2,
            name: "eth0".to_owned(),
            mac: format!("02:42:ac:11:00:{d:02x}"),
            mtu: 1500,
            state: "up".to_owned(),
            flags: vec!["UP".to_owned(), "BROADCAST".to_owned()],
            addresses: vec![format!("{a}.{b}.{c}.{d}/16")],
            link: 0,
        };
        json(&mut members, format!("{folder}/interfaces.json"), &[interface])?;
        let disk = BlockDeviceInfo {
            device: Some(DISK),
            name: "vda".to_owned(),
            size: 64 << 30,
            mounts: vec!["/data".to_owned()],
            ..BlockDeviceInfo::default()
        };
        json(&mut members, format!("{folder}/block-devices.json"), &[disk])?;
        state.add(&Start {
            container: &container.id,
            processes: &processes,
            descriptors: &descriptors,
            sockets: &sockets,
            mounts: &mounts,
        });
        state.add_container(&container.id, container.name, b"");
    }
    Ok((members, state))
}
