//! A state as rows: text in columns for people, flat objects for programs. What is not known is `?`, or absent.

use super::{Found, containers};
use crate::value::{Value as Field, duration, rfc3339, size};
use crate::view::Context;
use crate::{call, escape, render};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use stillframe_format::BootTime;
use stillframe_format::event::OpenCall;
use stillframe_format::snapshot::MountInfo;
use stillframe_format::state::{HeldSocket, OpenDescriptor, Process, Socket, State};

/// A part of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Processes, as a tree.
    Processes,
    /// Open descriptors.
    Descriptors,
    /// Sockets.
    Sockets,
    /// Mounts.
    Mounts,
    /// Calls in flight.
    Calls,
    /// What containers do.
    Containers,
    /// What they used.
    Usage,
}

impl Part {
    /// The part of a name: `ps`, `fds`, `net`, `mounts`, `calls`, `containers`, `usage`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ps" => Self::Processes,
            "fds" => Self::Descriptors,
            "net" => Self::Sockets,
            "mounts" => Self::Mounts,
            "calls" => Self::Calls,
            "containers" => Self::Containers,
            "usage" => Self::Usage,
            _ => return None,
        })
    }

    fn head(self) -> &'static [&'static str] {
        match self {
            Self::Processes => &[
                "PID",
                "PPID",
                "NSPID",
                "CONTAINER",
                "STARTED",
                "THREADS",
                "NAME",
                "COMMAND",
            ],
            Self::Descriptors => &["PID", "NAME", "FD", "TYPE", "CLOEXEC", "REFERS TO"],
            Self::Sockets => &["PROTO", "STATE", "LOCAL", "REMOTE", "PROCESSES"],
            Self::Mounts => &["CONTAINER", "TARGET", "TYPE", "SOURCE", "SIZE", "USED", "OPTIONS"],
            Self::Calls => &["PID", "TID", "NAME", "CONTAINER", "FOR", "CALL"],
            Self::Containers => &[
                "CONTAINER",
                "STATUS",
                "EXIT",
                "OOM",
                "HEALTH",
                "SINCE",
                "BY",
                "ID",
            ],
            Self::Usage => &[
                "CONTAINER",
                "CPU%",
                "CPU",
                "THROTTLED",
                "MEMORY",
                "MEMORY MAX",
                "PIDS",
                "PIDS MAX",
                "READ",
                "WRITTEN",
                "AT",
                "BY",
            ],
        }
    }

    /// Since when events are missing that it would need: of containers each row tells, and a reading is what it was.
    #[must_use]
    pub fn uncertain(self, state: &State) -> Option<BootTime> {
        match self {
            Self::Containers | Self::Usage => None,
            _ => state.uncertain(),
        }
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What stands in the columns.
    pub cells: Vec<String>,
    /// The same and more for programs.
    pub object: Map<String, Value>,
}

/// The rows of a part; of one process only, where one is named.
#[must_use]
pub fn rows(found: &Found, part: Part, pid: Option<u32>, context: &Context) -> Vec<Row> {
    let state = &found.state;
    let mut rows = match part {
        Part::Processes => processes(state, pid, context),
        Part::Descriptors => state
            .processes()
            .filter(|process| pid.is_none_or(|pid| process.pid == pid))
            .flat_map(|process| descriptors(state, process))
            .collect(),
        Part::Sockets => sockets(state, pid),
        Part::Mounts => mounts(state, pid, context),
        Part::Calls => found
            .calls
            .iter()
            .filter(|call| pid.is_none_or(|pid| call.task.pid == pid))
            .map(|call| call_row(call, found.time, context))
            .collect(),
        Part::Containers | Part::Usage => containers::rows(found, part, pid, context),
    };
    if let Some(since) = part.uncertain(state).and_then(|since| context.realtime(since)) {
        for row in &mut rows {
            row.object
                .insert("state.uncertain_since".to_owned(), rfc3339(since).into());
        }
    }
    rows
}

/// The rows in columns, lines ended; doubt about them first.
#[must_use]
pub fn text(found: &Found, part: Part, rows: &[Row], context: &Context) -> String {
    let mut out = String::new();
    if let Some(since) = part.uncertain(&found.state) {
        let _ = writeln!(
            out,
            "--- uncertain: events that change this were lost since {}",
            render::mapped_time(since, context)
        );
    }
    let head: Vec<String> = part.head().iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<&[String]> = std::iter::once(head.as_slice())
        .chain(rows.iter().map(|row| row.cells.as_slice()))
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    // One long path must not push everything aside.
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).min(40)).collect();
    for line in lines {
        let mut text = String::new();
        for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if index + 1 == head.len() {
                text.push_str(cell);
            } else {
                let _ = write!(text, "{cell:<width$} ");
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

pub(super) fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn put(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    Field::bytes(bytes).put_json(key, object);
}

/// The container's name, or the beginning of its id.
pub(super) fn container<'a>(id: &'a str, context: &'a Context) -> &'a str {
    match context.containers.get(id) {
        Some(name) => name,
        None => id.get(..12).unwrap_or(id),
    }
}

/// Processes as a tree: children stand below their parent, indented.
fn processes(state: &State, pid: Option<u32>, context: &Context) -> Vec<Row> {
    let mut children: BTreeMap<Option<u32>, Vec<&Process>> = BTreeMap::new();
    for process in state.processes() {
        // A parent that is not captured is none here.
        let parent = process
            .ppid
            .filter(|ppid| *ppid != process.pid && state.process_of(*ppid).is_some());
        children.entry(parent).or_default().push(process);
    }
    let roots: Vec<&Process> = match pid {
        Some(pid) => state.process_of(pid).into_iter().collect(),
        None => children.get(&None).cloned().unwrap_or_default(),
    };
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<(&Process, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    loop {
        while let Some((process, depth)) = waiting.pop() {
            if !seen.insert(process.pid) {
                continue;
            }
            rows.push(process_row(process, depth, context));
            let below = children.get(&Some(process.pid)).into_iter().flatten().rev();
            waiting.extend(below.map(|child| (*child, depth.saturating_add(1))));
        }
        // Processes that are each other's ancestors have no root; a bundle that says so is shown all the same.
        match state
            .processes()
            .find(|process| pid.is_none() && !seen.contains(&process.pid))
        {
            Some(process) => waiting.push((process, 0)),
            None => return rows,
        }
    }
}

fn process_row(process: &Process, depth: usize, context: &Context) -> Row {
    let command = match (process.argv.as_slice(), &process.exe) {
        ([], None) => "?".to_owned(),
        ([], Some(exe)) => exe.clone(),
        (argv, _) => argv.join(" "),
    };
    let started = process.started.and_then(|time| context.realtime(time));
    let shown = started.map(|time| context.zone.stamp(time));
    let indent = "  ".repeat(depth.min(20));
    let cells = vec![
        process.pid.to_string(),
        or_unknown(process.ppid),
        or_unknown(process.ns_pid),
        escape::line(container(&process.container, context)).into_owned(),
        or_unknown(shown.as_deref().and_then(|time| time.get(..19))),
        process.threads.len().to_string(),
        escape::bytes(&process.comm).into_owned(),
        format!("{indent}{}", escape::line(&command)),
    ];
    let mut object = Map::new();
    object.insert("proc.pid".to_owned(), process.pid.into());
    for (key, value) in [("proc.ppid", process.ppid), ("proc.vpid", process.ns_pid)] {
        if let Some(value) = value {
            object.insert(key.to_owned(), value.into());
        }
    }
    put(&mut object, "proc.name", &process.comm);
    for (key, value) in [("proc.exepath", &process.exe), ("proc.cwd", &process.cwd)] {
        if let Some(value) = value {
            object.insert(key.to_owned(), value.clone().into());
        }
    }
    if !process.argv.is_empty() {
        object.insert("proc.cmdline".to_owned(), process.argv.join(" ").into());
        object.insert("proc.args".to_owned(), json!(process.argv));
    }
    if let Some(started) = started {
        object.insert("proc.started".to_owned(), rfc3339(started).into());
    }
    object.insert("proc.threads".to_owned(), json!(process.threads));
    if !process.container.is_empty() {
        object.insert("container.id".to_owned(), process.container.clone().into());
    }
    if let Some(name) = context.containers.get(&process.container) {
        object.insert("container.name".to_owned(), name.clone().into());
    }
    Row { cells, object }
}

/// How long a call had been in flight; `None` when its entry was not seen.
pub(crate) fn age(call: &OpenCall, time: Option<BootTime>) -> Option<u64> {
    Some(time?.since(call.enter?))
}

fn call_row(call: &OpenCall, time: Option<BootTime>, context: &Context) -> Row {
    let task = &call.task;
    let age = age(call, time);
    let cells = vec![
        task.pid.to_string(),
        task.tid.to_string(),
        escape::bytes(&task.comm).into_owned(),
        escape::line(container(&task.container, context)).into_owned(),
        or_unknown(age.map(|age| duration(i128::from(age)))),
        escape::line(&call::open_text(call)).into_owned(),
    ];
    let mut object = Map::new();
    object.insert("proc.pid".to_owned(), task.pid.into());
    object.insert("thread.tid".to_owned(), task.tid.into());
    put(&mut object, "proc.name", &task.comm);
    if !task.container.is_empty() {
        object.insert("container.id".to_owned(), task.container.clone().into());
    }
    if let Some(name) = context.containers.get(&task.container) {
        object.insert("container.name".to_owned(), name.clone().into());
    }
    object.insert("evt.type".to_owned(), call::name(call.abi, call.number).into());
    object.insert("call.text".to_owned(), call::open_text(call).into());
    if let Some(enter) = call.enter {
        if let Some(realtime) = context.realtime(enter) {
            object.insert("call.entered".to_owned(), rfc3339(realtime).into());
        }
        object.insert("call.entered_boottime".to_owned(), enter.0.into());
    }
    if let Some(age) = age {
        object.insert("call.age_ns".to_owned(), age.into());
    }
    Row { cells, object }
}

/// The descriptors of a process; a row of question marks where not all of them are known.
fn descriptors(state: &State, process: &Process) -> Vec<Row> {
    let mut rows: Vec<Row> = state
        .descriptors(process.pid)
        .map(|open| descriptor_row(process, &open))
        .collect();
    if !process.whole {
        let mut object = Map::new();
        object.insert("proc.pid".to_owned(), process.pid.into());
        put(&mut object, "proc.name", &process.comm);
        object.insert("fd.unknown".to_owned(), true.into());
        let mut cells = vec![process.pid.to_string(), escape::bytes(&process.comm).into_owned()];
        cells.extend(["?", "?", "?"].map(str::to_owned));
        cells.push(
            "? (there may be more: what was open before the capture saw it, or came from another process)"
                .to_owned(),
        );
        rows.push(Row { cells, object });
    }
    rows
}

fn descriptor_row(process: &Process, open: &OpenDescriptor<'_>) -> Row {
    let name = &open.file.name;
    let cells = vec![
        process.pid.to_string(),
        escape::bytes(&process.comm).into_owned(),
        open.fd.to_string(),
        escape::line(&name.kind).into_owned(),
        if open.close_on_exec { "yes" } else { "no" }.to_owned(),
        escape::bytes(&name.name).into_owned(),
    ];
    let mut object = Map::new();
    object.insert("proc.pid".to_owned(), process.pid.into());
    put(&mut object, "proc.name", &process.comm);
    object.insert("fd.num".to_owned(), open.fd.into());
    object.insert("fd.type".to_owned(), name.kind.clone().into());
    put(&mut object, "fd.name", &name.name);
    object.insert("fd.cloexec".to_owned(), open.close_on_exec.into());
    if let Some(inode) = open.file.inode {
        object.insert("fd.ino".to_owned(), inode.into());
    }
    Row { cells, object }
}

fn sockets(state: &State, pid: Option<u32>) -> Vec<Row> {
    let mut held = state.sockets();
    held.retain(|socket| pid.is_none_or(|pid| socket.users.iter().any(|(user, _)| *user == pid)));
    held.sort_by(|a, b| {
        let key = |held: &HeldSocket<'_>| {
            let socket = held.socket;
            (
                socket.protocol.clone(),
                socket.local.clone(),
                socket.remote.clone(),
                socket.inode,
                held.users.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    held.iter().map(|held| socket_row(state, held)).collect()
}

/// Whether the socket's state is only what was told last: the other end of a TCP connection, and timers, change it
/// without a call here.
fn told_last(socket: &Socket) -> bool {
    socket.protocol == "tcp" && !matches!(socket.state.as_deref(), None | Some("LISTEN" | "UNCONN"))
}

fn socket_row(state: &State, held: &HeldSocket<'_>) -> Row {
    let socket = held.socket;
    let unknown = |text: &str| {
        if text.is_empty() {
            "?".to_owned()
        } else {
            escape::line(text).into_owned()
        }
    };
    let end = |text: &Option<String>| match text.as_deref() {
        None => "?".to_owned(),
        Some("") => "-".to_owned(),
        Some(text) => escape::line(text).into_owned(),
    };
    let users: Vec<String> = held
        .users
        .iter()
        .map(|(pid, fd)| {
            let comm = state.process_of(*pid).map(|process| process.comm.as_slice());
            format!("{}[{pid}]:{fd}", escape::bytes(comm.unwrap_or_default()))
        })
        .collect();
    let cells = vec![
        unknown(&socket.protocol),
        match (told_last(socket), &socket.state) {
            (true, Some(state)) => format!("{}?", escape::line(state)),
            (_, state) => unknown(state.as_deref().unwrap_or_default()),
        },
        end(&socket.local),
        end(&socket.remote),
        if users.is_empty() {
            "?".to_owned()
        } else {
            users.join(" ")
        },
    ];
    let mut object = Map::new();
    for (key, text) in [
        ("socket.protocol", &socket.protocol),
        ("socket.family", &socket.family),
    ] {
        if !text.is_empty() {
            object.insert(key.to_owned(), text.clone().into());
        }
    }
    for (key, text) in [
        (
            if told_last(socket) {
                "socket.last_state"
            } else {
                "socket.state"
            },
            &socket.state,
        ),
        ("socket.local", &socket.local),
        ("socket.remote", &socket.remote),
    ] {
        if let Some(text) = text {
            object.insert(key.to_owned(), text.clone().into());
        }
    }
    for (key, number) in [("socket.netns", socket.netns), ("socket.inode", socket.inode)] {
        if let Some(number) = number {
            object.insert(key.to_owned(), number.into());
        }
    }
    let users: Vec<Value> = held
        .users
        .iter()
        .map(|(pid, fd)| json!({"proc.pid": pid, "fd.num": fd}))
        .collect();
    object.insert("socket.users".to_owned(), users.into());
    Row { cells, object }
}

fn mounts(state: &State, pid: Option<u32>, context: &Context) -> Vec<Row> {
    let of = pid.map(|pid| {
        state
            .process_of(pid)
            .map_or("", |process| process.container.as_str())
    });
    state
        .mounts()
        .iter()
        .filter(|(id, _)| of.is_none_or(|of| of == id.as_str()))
        .flat_map(|(id, mounts)| mounts.iter().map(|mount| mount_row(id, mount, context)))
        .collect()
}

fn mount_row(id: &str, mount: &MountInfo, context: &Context) -> Row {
    let text = |text: &str| escape::line(text).into_owned();
    let cells = vec![
        text(container(id, context)),
        text(&mount.target),
        text(&mount.fs_type),
        text(&mount.source),
        mount
            .usage
            .map_or_else(|| "-".to_owned(), |usage| size(usage.size)),
        mount
            .usage
            .map_or_else(|| "-".to_owned(), |usage| size(usage.used)),
        text(&mount.options),
    ];
    let mut object = Map::new();
    object.insert("container.id".to_owned(), id.into());
    if let Some(name) = context.containers.get(id) {
        object.insert("container.name".to_owned(), name.clone().into());
    }
    for (key, value) in [
        ("mount.target", &mount.target),
        ("mount.type", &mount.fs_type),
        ("mount.source", &mount.source),
        ("mount.root", &mount.root),
        ("mount.options", &mount.options),
    ] {
        object.insert(key.to_owned(), value.clone().into());
    }
    object.insert("mount.id".to_owned(), mount.id.into());
    if let Some(device) = mount.device {
        object.insert("mount.dev".to_owned(), device.to_string().into());
    }
    if let Some(usage) = mount.usage {
        for (key, value) in [
            ("mount.size", usage.size),
            ("mount.used", usage.used),
            ("mount.available", usage.available),
        ] {
            object.insert(key.to_owned(), value.into());
        }
    }
    Row { cells, object }
}
