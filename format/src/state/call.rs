//! Going over one system call.

use super::effect::{self, About, CLOEXEC, Effect, Facts, OpenFlags};
use super::{Process, Socket, State, address, rights};
use crate::abi;
use crate::batch::{CaptureStatus, ROW_NEVER_RETURNED, SyscallBatch, SyscallRow};
use crate::event::{Abi, ArgKind, DescriptorName, Return, Syscall, Task};
use crate::snapshot::MountInfo;
use std::sync::Arc;

/// `AT_FDCWD` (include/uapi/linux/fcntl.h, 6.1).
const AT_FDCWD: i32 = -100;
/// The errno of a connect that goes on in the background.
const EINPROGRESS: i64 = -115;
const EBADF: i64 = -9;

/// A call that returned, whichever way it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned<'a> {
    pub(super) task: &'a Task,
    abi: Abi,
    args: [u64; 6],
    ret: Return,
    data: Data<'a>,
    pub(super) facts: Facts,
}

#[derive(Clone, Copy, Debug)]
enum Data<'a> {
    Event(&'a Syscall),
    Row(&'a SyscallBatch, &'a SyscallRow),
}

impl<'a> Returned<'a> {
    pub(super) fn of_event(call: &'a Syscall) -> Self {
        Self {
            task: &call.task,
            abi: call.abi,
            args: call.args,
            ret: call.ret,
            data: Data::Event(call),
            facts: effect::facts(call.abi, call.number),
        }
    }

    pub(super) fn of_row(batch: &'a SyscallBatch, row: &'a SyscallRow, task: &'a Task) -> Self {
        let never = row.flags & ROW_NEVER_RETURNED != 0;
        Self {
            task,
            abi: row.abi,
            args: row.args,
            ret: if never {
                Return::Never
            } else {
                Return::Value(row.ret)
            },
            data: Data::Row(batch, row),
            facts: effect::facts(row.abi, row.number),
        }
    }

    /// The value that it returned, unless it failed or never returned.
    fn success(&self) -> Option<i64> {
        match self.ret {
            Return::Value(value) if self.ret.errno().is_none() => Some(value),
            _ => None,
        }
    }

    fn failed_with(&self, negated: i64) -> bool {
        self.ret == Return::Value(negated)
    }

    fn raw(&self, arg: u8) -> u64 {
        self.args.get(usize::from(arg)).copied().unwrap_or(0)
    }

    fn int(&self, arg: u8) -> i32 {
        abi::low_i32(self.raw(arg))
    }

    /// The whole of the memory behind an argument; `None` when it was not copied, or not all of it.
    fn whole(&self, arg: u8) -> Option<&'a [u8]> {
        match self.data {
            Data::Event(call) => call
                .data
                .iter()
                .find(|data| data.arg == arg && data.bytes.is_whole())
                .and_then(|data| data.bytes.value())
                .map(Vec::as_slice),
            Data::Row(batch, row) => {
                let start = usize::try_from(row.captures).ok()?;
                let captures = batch
                    .captures
                    .get(start..start + usize::from(row.capture_count))?;
                let found = captures
                    .iter()
                    .find(|capture| capture.arg == arg && capture.status == CaptureStatus::Whole)?;
                let start = usize::try_from(found.start).ok()?;
                batch.arena.get(start..start + usize::try_from(found.len).ok()?)
            }
        }
    }

    /// The structure behind an argument, as far as it was copied.
    fn structure(&self, arg: u8) -> Option<&'a [u8]> {
        match self.data {
            Data::Event(call) => call
                .data
                .iter()
                .find(|data| data.arg == arg && data.kind == ArgKind::Struct)
                .and_then(|data| data.bytes.value())
                .map(Vec::as_slice),
            Data::Row(batch, row) => {
                let start = usize::try_from(row.captures).ok()?;
                let captures = batch
                    .captures
                    .get(start..start + usize::from(row.capture_count))?;
                let found = captures.iter().find(|capture| {
                    capture.arg == arg
                        && capture.kind == ArgKind::Struct
                        && capture.status != CaptureStatus::Failed
                })?;
                let start = usize::try_from(found.start).ok()?;
                batch.arena.get(start..start + usize::try_from(found.len).ok()?)
            }
        }
    }

    fn string(&self, arg: u8) -> Option<String> {
        self.whole(arg)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The address of a socket behind an argument.
    fn address(&self, arg: u8) -> Option<String> {
        self.whole(arg).and_then(address::text)
    }

    /// The two descriptors that the call has made.
    fn pair(&self, arg: u8) -> Option<[i32; 2]> {
        let (first, rest) = self.whole(arg)?.split_first_chunk::<4>()?;
        let second = rest.first_chunk::<4>()?;
        Some([i32::from_le_bytes(*first), i32::from_le_bytes(*second)])
    }
}

impl State {
    /// The thread as the call shows it: it exists, and is called so. Says whether its process is called otherwise now.
    pub(super) fn meet(&mut self, task: &Task) -> bool {
        let process = self.known(task.pid, &task.comm, &task.container);
        if task.tid != task.pid {
            if !process.threads.contains(&task.tid) {
                process.threads.push(task.tid);
            }
            return false;
        }
        let renamed = process.comm != task.comm;
        if renamed {
            process.comm.clone_from(&task.comm);
        }
        renamed
    }

    pub(super) fn call(&mut self, call: &Returned<'_>) {
        self.meet(call.task);
        self.take_effect(call);
    }

    /// What the call's descriptor refers to: asked before the call takes effect for an argument, after it for a result.
    pub(super) fn about(&self, call: &Returned<'_>, fd: i32) -> Option<&Arc<DescriptorName>> {
        let file = self.file_of(call.task.pid, fd)?;
        self.files.get(&file).map(|file| &file.name)
    }

    /// The number of the descriptor that the call is about, where it is one of its arguments.
    pub(super) fn argument(call: &Returned<'_>) -> Option<i32> {
        match call.facts.about {
            About::Argument(arg) => Some(call.int(arg)).filter(|fd| *fd >= 0),
            _ => None,
        }
    }

    /// The same, where it is its result.
    pub(super) fn result(call: &Returned<'_>) -> Option<i32> {
        match call.facts.about {
            About::Result => call.success().and_then(|value| i32::try_from(value).ok()),
            _ => None,
        }
    }

    pub(super) fn take_effect(&mut self, call: &Returned<'_>) {
        let pid = call.task.pid;
        if call.facts.effect == Effect::None {
            return;
        }
        if call.facts.effect == Effect::Close {
            // Whatever else it returns, the descriptor is gone (fs/open.c, `close_fd`).
            if !call.failed_with(EBADF) && call.ret != Return::Never {
                self.close(pid, call.int(0));
            }
            return;
        }
        if call.facts.effect == Effect::Connect {
            return self.connect(call);
        }
        let Some(value) = call.success() else {
            return;
        };
        let fd = i32::try_from(value).unwrap_or(-1);
        match call.facts.effect {
            Effect::None | Effect::Close | Effect::Connect => {}
            Effect::Unknown => self.lose_track(pid, fd),
            Effect::Receive { message } => self.receive(call, message),
            Effect::Open { dir, path, flags } => {
                let flags = match flags {
                    OpenFlags::None => Some(0),
                    OpenFlags::Argument(arg) => Some(call.raw(arg)),
                    OpenFlags::Behind(arg) => call
                        .structure(arg)
                        .and_then(|how| how.first_chunk().copied())
                        .map(u64::from_le_bytes),
                };
                // Whether it is closed by execve would be a guess.
                let Some(flags) = flags else {
                    return self.lose_track(pid, fd);
                };
                let base = dir.map_or(AT_FDCWD, |arg| call.int(arg));
                let Some(name) = self.path(pid, base, call.whole(path)) else {
                    return self.lose_track(pid, fd);
                };
                // O_DIRECTORY (include/uapi/asm-generic/fcntl.h; arm64 has its own value).
                let directory = if call.abi == Abi::Aarch64 {
                    0o40_000
                } else {
                    0o200_000
                };
                let kind = if flags & directory != 0 {
                    "directory"
                } else {
                    "file"
                };
                let file = self.add_file(kind, name, None);
                self.bind_fd(pid, fd, file, flags & CLOEXEC != 0);
            }
            Effect::Make { kind, name, flags } => {
                let close_on_exec = match flags {
                    Some((_, 0)) => true,
                    Some((arg, bit)) => call.raw(arg) & bit != 0,
                    None => false,
                };
                let mut name = name.as_bytes().to_vec();
                if kind == "memfd" {
                    name.extend(call.whole(0).unwrap_or(b"?"));
                }
                // signalfd on a descriptor that is one changes it and makes none.
                if kind == "signalfd" && call.int(0) == fd {
                    return;
                }
                let file = self.add_file(kind, name, None);
                self.bind_fd(pid, fd, file, close_on_exec);
            }
            Effect::CloseRange => self.close_range(call),
            Effect::Dup => self.duplicate(pid, call.int(0), fd, false),
            Effect::DupTo { flags } => {
                let old = call.int(0);
                if old != fd {
                    let close_on_exec = flags.is_some_and(|arg| call.raw(arg) & CLOEXEC != 0);
                    self.duplicate(pid, old, fd, close_on_exec);
                }
            }
            Effect::Fcntl => self.fcntl(call, fd),
            Effect::Ioctl => match abi::low_u32(call.raw(1)) {
                // FIONCLEX and FIOCLEX (include/uapi/asm-generic/ioctls.h, 6.1).
                0x5450 => self.set_close_on_exec(pid, call.int(0), false),
                0x5451 => self.set_close_on_exec(pid, call.int(0), true),
                _ => {}
            },
            Effect::Pipe { flags } => {
                let close_on_exec = flags.is_some_and(|arg| call.raw(arg) & CLOEXEC != 0);
                if let Some(ends) = call.pair(0) {
                    for end in ends {
                        // The kernel's number of the pipe is not known.
                        let file = self.add_file("pipe", b"pipe".to_vec(), None);
                        self.bind_fd(pid, end, file, close_on_exec);
                    }
                } else {
                    self.lose_track(pid, -1);
                }
            }
            Effect::Socket => {
                let socket = new_socket(call.raw(0), call.raw(1));
                self.add_socket(pid, fd, socket, call.raw(1) & CLOEXEC != 0);
            }
            Effect::SocketPair => {
                if let Some(ends) = call.pair(3) {
                    for end in ends {
                        let mut socket = new_socket(call.raw(0), call.raw(1));
                        socket.state = Some("ESTAB".to_owned());
                        self.add_socket(pid, end, socket, call.raw(1) & CLOEXEC != 0);
                    }
                } else {
                    self.lose_track(pid, -1);
                }
            }
            Effect::Bind => {
                let address = call.address(1);
                // Port 0 asks the kernel to choose one.
                let chosen = address.as_deref().is_some_and(|address| address.ends_with(":0"));
                self.change_socket(pid, call.int(0), |socket| {
                    socket.local = address.filter(|_| !chosen);
                });
            }
            Effect::Listen => self.change_socket(pid, call.int(0), |socket| {
                socket.state = Some("LISTEN".to_owned());
                socket.remote = Some(String::new());
            }),
            Effect::Accept { flags } => {
                let mut socket = self
                    .file_of(pid, call.int(0))
                    .and_then(|file| self.files.get(&file)?.socket.clone())
                    .unwrap_or_default();
                socket.state = Some("ESTAB".to_owned());
                socket.inode = None;
                socket.remote = call.address(1);
                // Of a listener on all addresses only the port is known.
                socket.local = socket.local.map(|local| {
                    if local.starts_with("0.0.0.0:") || local.starts_with("[::]:") {
                        format!("*{}", address::port(&local))
                    } else {
                        local
                    }
                });
                let close_on_exec = flags.is_some_and(|arg| call.raw(arg) & CLOEXEC != 0);
                self.add_socket(pid, fd, socket, close_on_exec);
            }
            Effect::Shutdown => self.change_socket(pid, call.int(0), |socket| socket.state = None),
            Effect::OwnName => {
                if let Some(address) = call.address(1) {
                    self.change_socket(pid, call.int(0), |socket| socket.local = Some(address));
                }
            }
            Effect::PeerName => {
                if let Some(address) = call.address(1) {
                    self.change_socket(pid, call.int(0), |socket| socket.remote = Some(address));
                }
            }
            Effect::Chdir => {
                let cwd = self.path(pid, AT_FDCWD, call.whole(0));
                self.change_folder(pid, cwd);
            }
            Effect::Fchdir => {
                let cwd = self.about(call, call.int(0)).map(|name| name.name.clone());
                self.change_folder(pid, cwd);
            }
            Effect::Mount => self.mount(call),
            Effect::Unmount => {
                if let Some(target) = call.string(0)
                    && let Some(mounts) = self.mounts.get_mut(&call.task.container)
                    && let Some(at) = mounts.iter().rposition(|mount| mount.target == target)
                {
                    mounts.remove(at);
                }
            }
        }
    }

    /// A path as the process means it, from its working folder or a descriptor; `None` when the path was not copied
    /// whole. It is not made shorter: what `..` and links lead to, only the host knew.
    fn path(&self, pid: u32, base: i32, path: Option<&[u8]>) -> Option<Vec<u8>> {
        let path = path?;
        if path.starts_with(b"/") {
            return Some(path.to_vec());
        }
        let process = self.processes.get(&pid)?;
        let folder = if base == AT_FDCWD {
            process.cwd.as_ref().map(|cwd| cwd.as_bytes().to_vec())
        } else {
            let file = self.file_of(pid, base);
            file.and_then(|file| self.files.get(&file))
                .map(|file| file.name.name.clone())
        };
        let Some(mut folder) = folder else {
            return Some(path.to_vec());
        };
        let mut rest = path;
        while let Some(shorter) = rest.strip_prefix(b"./") {
            rest = shorter;
        }
        if rest == b"." || rest.is_empty() {
            return Some(folder);
        }
        if !folder.ends_with(b"/") {
            folder.push(b'/');
        }
        folder.extend(rest);
        Some(folder)
    }

    fn change_folder(&mut self, pid: u32, cwd: Option<Vec<u8>>) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.cwd = cwd.map(|cwd| String::from_utf8_lossy(&cwd).into_owned());
        }
    }

    fn duplicate(&mut self, pid: u32, old: i32, new: i32, close_on_exec: bool) {
        match self.file_of(pid, old) {
            Some(file) => self.bind_fd(pid, new, file, close_on_exec),
            // What the old one refers to is not known, so the new one isn't either.
            None => self.lose_track(pid, new),
        }
    }

    /// A descriptor is open, and what it refers to is not known: those that are known are not all any more.
    pub(super) fn lose_track(&mut self, pid: u32, fd: i32) {
        self.close(pid, fd);
        if let Some(process) = self.processes.get_mut(&pid) {
            process.whole = false;
        }
    }

    /// Descriptors may have come with a message. What they refer to only their sender knew.
    fn receive(&mut self, call: &Returned<'_>, message: Option<u8>) {
        let pid = call.task.pid;
        let over = self.file_of(pid, call.int(0));
        let over = over.and_then(|file| self.files.get(&file)?.socket.as_ref());
        // They come over Unix sockets only (net/core/scm.c, 6.1).
        if over.is_some_and(|socket| !matches!(socket.family.as_str(), "unix" | "")) {
            return;
        }
        let copied = message.and_then(|arg| call.structure(arg));
        match copied.and_then(|bytes| rights::received(call.abi, bytes)) {
            Some(fds) => {
                for fd in fds {
                    self.lose_track(pid, fd);
                }
            }
            None => self.lose_track(pid, -1),
        }
    }

    fn set_close_on_exec(&mut self, pid: u32, fd: i32, close_on_exec: bool) {
        if let Some(descriptor) = self
            .processes
            .get_mut(&pid)
            .and_then(|process| process.fds.get_mut(&fd))
        {
            descriptor.close_on_exec = close_on_exec;
        }
    }

    fn fcntl(&mut self, call: &Returned<'_>, fd: i32) {
        let pid = call.task.pid;
        // Commands of include/uapi/asm-generic/fcntl.h and include/uapi/linux/fcntl.h, 6.1.
        match call.int(1) {
            0 => self.duplicate(pid, call.int(0), fd, false),
            2 => self.set_close_on_exec(pid, call.int(0), call.raw(2) & 1 != 0),
            1030 => self.duplicate(pid, call.int(0), fd, true),
            _ => {}
        }
    }

    fn close_range(&mut self, call: &Returned<'_>) {
        let pid = call.task.pid;
        let end = |arg| i32::try_from(abi::low_u32(call.raw(arg))).unwrap_or(i32::MAX);
        let (first, last) = (end(0), end(1));
        // CLOSE_RANGE_CLOEXEC (include/uapi/linux/close_range.h, 6.1).
        let mark = call.raw(2) & 4 != 0;
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        if first > last {
            return;
        }
        let within: Vec<i32> = process.fds.range(first..=last).map(|(fd, _)| *fd).collect();
        for fd in within {
            if mark {
                self.set_close_on_exec(pid, fd, true);
            } else {
                self.close(pid, fd);
            }
        }
    }

    fn add_socket(&mut self, pid: u32, fd: i32, socket: Socket, close_on_exec: bool) {
        let name = socket.name().into_bytes();
        let kind = if socket.family.is_empty() {
            "socket".to_owned()
        } else {
            socket.family.clone()
        };
        let file = self.add_file(&kind, name, Some(socket));
        self.bind_fd(pid, fd, file, close_on_exec);
    }

    fn change_socket(&mut self, pid: u32, fd: i32, change: impl FnOnce(&mut Socket)) {
        let Some(file) = self.file_of(pid, fd) else {
            return;
        };
        let Some(file) = self.files.get_mut(&file) else {
            return;
        };
        let Some(socket) = &mut file.socket else {
            return;
        };
        change(socket);
        let name = socket.name().into_bytes();
        if file.name.name != name {
            file.name = Arc::new(DescriptorName {
                kind: file.name.kind.clone(),
                name,
            });
        }
    }

    fn connect(&mut self, call: &Returned<'_>) {
        let done = call.success().is_some();
        if !done && !call.failed_with(EINPROGRESS) {
            return;
        }
        let address = call.address(1);
        self.change_socket(call.task.pid, call.int(0), |socket| {
            socket.remote = address;
            // A connect in the background may have ended any way by now.
            socket.state = done.then(|| "ESTAB".to_owned());
        });
    }

    fn mount(&mut self, call: &Returned<'_>) {
        // MS_REMOUNT, MS_BIND-less propagation changes (include/uapi/linux/mount.h, 6.1) make no mount.
        const REMOUNT: u64 = 0x20;
        const PROPAGATION: u64 = 0x1e_0000;
        if call.raw(3) & (REMOUNT | PROPAGATION) != 0 {
            return;
        }
        let Some(target) = call.string(1) else {
            return;
        };
        let mount = MountInfo {
            target,
            source: call.string(0).unwrap_or_default(),
            fs_type: call.string(2).unwrap_or_default(),
            ..MountInfo::default()
        };
        self.mounts
            .entry(call.task.container.clone())
            .or_default()
            .push(mount);
    }
}

/// A socket that nothing is known of but what it was made as.
fn new_socket(domain: u64, kind: u64) -> Socket {
    let domain = u16::try_from(domain & 0xffff).unwrap_or(0);
    // Types of include/linux/net.h, 6.1; the bits above are flags.
    let kind = kind & 0xf;
    let protocol = match (domain, kind) {
        (address::INET | address::INET6, 1) => "tcp",
        (address::INET | address::INET6, 2) => "udp",
        (address::INET | address::INET6, 3) => "raw",
        (address::UNIX, 1) => "unix-stream",
        (address::UNIX, 2) => "unix-dgram",
        (address::UNIX, 5) => "unix-seqpacket",
        _ => address::family(domain),
    };
    Socket {
        protocol: protocol.to_owned(),
        family: address::family(domain).to_owned(),
        state: Some("UNCONN".to_owned()),
        ..Socket::default()
    }
}

impl Socket {
    /// `strace -yy`'s name, as far as the ends are known: `TCP:[*:80->10.0.0.9:5012]`.
    #[must_use]
    pub fn name(&self) -> String {
        let protocol = match (self.protocol.as_str(), self.family.as_str()) {
            ("tcp", "ipv6") => "TCPv6".to_owned(),
            ("udp", "ipv6") => "UDPv6".to_owned(),
            ("", _) => "socket".to_owned(),
            // The kernel has one name for both (net/unix/af_unix.c, `unix_dgram_proto`, 6.1).
            ("unix-dgram" | "unix-seqpacket", _) => "UNIX".to_owned(),
            (other, _) => other.to_uppercase(),
        };
        let filled = |end: &Option<String>| end.clone().filter(|end| !end.is_empty());
        let (local, remote) = (filled(&self.local), filled(&self.remote));
        if self.family == "unix" {
            return match (local, remote, self.inode) {
                (Some(local), _, Some(inode)) => format!("{protocol}:[{inode},\"{local}\"]"),
                (Some(local), _, None) => format!("{protocol}:[\"{local}\"]"),
                (None, Some(remote), None) => format!("{protocol}:[->\"{remote}\"]"),
                (None, _, Some(inode)) => format!("{protocol}:[{inode}]"),
                (None, None, None) => format!("{protocol}:[]"),
            };
        }
        match (local, remote) {
            (Some(local), Some(remote)) => format!("{protocol}:[{local}->{remote}]"),
            (None, Some(remote)) => format!("{protocol}:[*->{remote}]"),
            (Some(local), None) => format!("{protocol}:[{local}]"),
            (None, None) => format!("{protocol}:[]"),
        }
    }
}

impl Process {
    /// Whether the descriptor is known to be open.
    #[must_use]
    pub fn has(&self, fd: i32) -> bool {
        self.fds.contains_key(&fd)
    }
}
