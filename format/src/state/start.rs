//! The state at the start, from the snapshot.

use super::{Descriptor, OpenFile, Process, Socket, State};
use crate::BootTime;
use crate::event::DescriptorName;
use crate::snapshot::{DescriptorInfo, MountInfo, ProcessInfo, SocketInfo};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a snapshot found of one target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start<'a> {
    /// The full id of the container; what tasks of its events carry.
    pub container: &'a str,
    /// Its processes.
    pub processes: &'a [ProcessInfo],
    /// Their descriptors.
    pub descriptors: &'a [DescriptorInfo],
    /// Sockets of its network namespace.
    pub sockets: &'a [SocketInfo],
    /// Its mounts.
    pub mounts: &'a [MountInfo],
}

impl State {
    /// Adds what was found of a target. Targets that share a namespace or processes may be added one after another.
    pub fn add(&mut self, start: &Start<'_>) {
        for info in start.processes {
            self.processes
                .entry(info.pid)
                .or_insert_with(|| process(start, info));
        }
        let sockets: BTreeMap<u64, &SocketInfo> = start
            .sockets
            .iter()
            .filter(|socket| socket.inode != 0)
            .map(|socket| (socket.inode, socket))
            .collect();
        // Descriptors of one socket or pipe share an open file; those of files can't be told from the outside.
        let mut shared: BTreeMap<u64, u64> = self
            .files
            .iter()
            .filter(|(_, file)| file.socket.is_some())
            .filter_map(|(number, file)| Some((file.inode?, *number)))
            .collect();
        let held: Vec<u64> = shared.keys().copied().collect();
        for info in start.descriptors {
            let Ok(fd) = i32::try_from(info.fd) else {
                continue;
            };
            let known = self
                .processes
                .get(&info.pid)
                .is_some_and(|process| !process.fds.contains_key(&fd));
            if !known {
                continue;
            }
            let socket = sockets.get(&info.inode).map(|socket| socket_of(socket));
            let is_socket = info.target.starts_with("socket:");
            let file = match shared.get(&info.inode).filter(|_| is_socket && info.inode != 0) {
                Some(file) => *file,
                None => {
                    let number = self.next_file;
                    self.next_file = number.saturating_add(1);
                    self.files.insert(number, open_file(info, socket, is_socket));
                    if is_socket && info.inode != 0 {
                        shared.insert(info.inode, number);
                    }
                    number
                }
            };
            // O_CLOEXEC of fdinfo's flags (fs/proc/fd.c, 6.1).
            let close_on_exec = info.flags & 0o2_000_000 != 0;
            if let Some(process) = self.processes.get_mut(&info.pid) {
                process.fds.insert(fd, Descriptor { file, close_on_exec });
            }
            if let Some(file) = self.files.get_mut(&file) {
                file.references += 1;
            }
        }
        for info in start.sockets {
            let is_held = info.inode != 0 && (shared.contains_key(&info.inode) || held.contains(&info.inode));
            let socket = socket_of(info);
            if !is_held && !self.loose_sockets.contains(&socket) {
                self.loose_sockets.push(socket);
            }
        }
        if !start.mounts.is_empty() {
            self.mounts
                .insert(start.container.to_owned(), start.mounts.to_vec());
        }
    }
}

fn process(start: &Start<'_>, info: &ProcessInfo) -> Process {
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut threads: Vec<u32> = info.threads.iter().map(|thread| thread.tid).collect();
    if threads.is_empty() {
        threads.push(info.pid);
    }
    Process {
        pid: info.pid,
        ppid: Some(info.ppid),
        ns_pid: Some(info.ns_pid).filter(|pid| *pid != 0),
        comm: info.comm.clone().into_bytes(),
        exe: known(&info.exe),
        argv: info.argv.clone(),
        cwd: known(&info.cwd),
        container: if info.container.is_empty() {
            start.container.to_owned()
        } else {
            info.container.clone()
        },
        started: Some(BootTime(info.started)),
        threads,
        fds: BTreeMap::new(),
        whole: true,
    }
}

fn open_file(info: &DescriptorInfo, socket: Option<Socket>, is_socket: bool) -> OpenFile {
    let socket = if is_socket {
        // A socket of another namespace, or of a family that the snapshot does not list.
        Some(socket.unwrap_or_else(|| Socket {
            inode: Some(info.inode),
            ..Socket::default()
        }))
    } else {
        None
    };
    OpenFile {
        name: Arc::new(DescriptorName {
            kind: info.kind.clone(),
            name: info.name.clone().into_bytes(),
        }),
        references: 0,
        socket,
        inode: Some(info.inode).filter(|inode| *inode != 0),
    }
}

fn socket_of(info: &SocketInfo) -> Socket {
    let connected = !info.remote.is_empty() && !info.remote.ends_with(":0") && !info.remote.ends_with(":*");
    Socket {
        netns: Some(info.netns).filter(|netns| *netns != 0),
        protocol: info.protocol.clone(),
        family: info.family.clone(),
        state: Some(info.state.clone()).filter(|state| !state.is_empty()),
        local: Some(info.local.clone()),
        remote: Some(if connected {
            info.remote.clone()
        } else {
            String::new()
        }),
        inode: Some(info.inode).filter(|inode| *inode != 0),
    }
}
