//! Where the time went: sums over calls, by process, file, connection, call, container or error.

mod tally;

pub use tally::rank;

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::room::Room;
use super::{Coverage, KEYS_MAX, Scope, TEXT_MAX, Way, kept, short, transfer};
use crate::value::size;
use crate::view::{Context, View};
use crate::{call, escape, packet};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use stillframe_format::event::{ArgKind, Body, Direction, Packet, ProcessChange, Syscall, Task};

/// What rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Processes.
    Process,
    /// What descriptors refer to, sockets left out; paths where a call has no descriptor.
    File,
    /// Sockets by their descriptors' names; flows of packets that no call tells of.
    Connection,
    /// Calls by name.
    Syscall,
    /// Containers.
    Container,
    /// Failed calls by errno.
    Error,
}

impl Key {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::File => "file",
            Self::Connection => "connection",
            Self::Syscall => "syscall",
            Self::Container => "container",
            Self::Error => "error",
        }
    }
}

/// What rows are sorted by, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Time in calls.
    #[default]
    Time,
    /// Calls.
    Count,
    /// Calls that failed.
    Errors,
    /// Bytes.
    Bytes,
}

/// Sums of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The key, for a reader.
    pub label: String,
    /// The type of the descriptor; `path` where only an argument tells.
    pub kind: String,
    /// The name of the process's leader, as it was last.
    comm: Vec<u8>,
    /// The process, where the key is one.
    pub pid: Option<u32>,
    /// The container's full id, where the key belongs to one.
    pub container: String,
    /// Nanoseconds between entry and return, waiting included, over all threads.
    pub time: u64,
    /// Calls.
    pub count: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Bytes read and received.
    pub read: u64,
    /// Bytes written and sent.
    pub written: u64,
    /// Packets of the flow.
    pub packets: u64,
    /// Their payload on the wire.
    pub payload: u64,
    /// The longest call: nanoseconds and event.
    pub slowest: Option<(u64, u64)>,
    /// The first event.
    pub first: u64,
    /// The last event.
    pub last: u64,
}

impl Row {
    /// Bytes in all: of the calls, or, where no call tells, of the packets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        if self.count == 0 {
            self.payload
        } else {
            self.read.saturating_add(self.written)
        }
    }

    /// What told of it: `calls`, `packets`, or both.
    #[must_use]
    pub fn told_by(&self) -> &'static str {
        match (self.count, self.packets) {
            (_, 0) => "calls",
            (0, _) => "packets",
            _ => "calls+packets",
        }
    }

    fn seen(&mut self, num: u64) {
        if self.first == 0 {
            self.first = num;
        }
        self.last = num;
    }

    fn call(&mut self, num: u64, call: &Syscall) {
        self.returned(num, call.ret.errno().is_some(), call.duration, transfer(call));
    }

    fn returned(&mut self, num: u64, failed: bool, spent: Option<u64>, moved: Option<(Way, u64)>) {
        self.seen(num);
        self.count = self.count.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(failed));
        if let Some(spent) = spent {
            self.time = self.time.saturating_add(spent);
            if self.slowest.is_none_or(|(longest, _)| spent > longest) {
                self.slowest = Some((spent, num));
            }
        }
        match moved {
            Some((Way::In, bytes)) => self.read = self.read.saturating_add(bytes),
            Some((Way::Out, bytes)) => self.written = self.written.saturating_add(bytes),
            // Read here and written there: the call names one descriptor of the two.
            Some((Way::Between, bytes)) => {
                self.read = self.read.saturating_add(bytes);
                self.written = self.written.saturating_add(bytes);
            }
            None => {}
        }
    }

    fn packet(&mut self, num: u64, payload: u64) {
        self.seen(num);
        self.packets = self.packets.saturating_add(1);
        self.payload = self.payload.saturating_add(payload);
    }

    fn sorted_by(&self, order: Order) -> u64 {
        match order {
            Order::Time => self.time,
            Order::Count => self.count.saturating_add(self.packets),
            Order::Errors => self.errors,
            Order::Bytes => self.bytes(),
        }
    }
}

/// Sums over the events of a scope.
#[derive(Debug)]
pub struct Ranking {
    key: Key,
    rows: HashMap<Vec<u8>, Row>,
    room: Room,
    /// What came when there was no room for more keys.
    others: Row,
    others_events: u64,
}

impl Ranking {
    /// No event yet.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self {
            key,
            rows: HashMap::new(),
            room: Room::default(),
            others: Row {
                label: "(others)".to_owned(),
                ..Row::default()
            },
            others_events: 0,
        }
    }

    /// Events that were counted together as others.
    #[must_use]
    pub fn together(&self) -> u64 {
        self.others_events
    }

    /// Takes an event.
    pub fn take(&mut self, view: &View<'_>) {
        let num = view.event.num;
        match &view.event.body {
            Body::Syscall(call) => self.call(num, call, view.context),
            Body::Packet(packet) if self.key == Key::Connection => {
                if let Some((key, made, payload)) = flow_row(view, packet) {
                    self.row_of(&key, || made).packet(num, payload);
                }
            }
            Body::Process(process) if self.key == Key::Process => {
                if let ProcessChange::Exec { .. } = &process.change {
                    self.rename(process.task.pid, &process.task);
                }
            }
            _ => {}
        }
    }

    /// By far the most events come here: nothing is made for a key that is known.
    fn call(&mut self, num: u64, call: &Syscall, context: &Context) {
        match self.key {
            Key::Process => {
                let row = self.row_of(&call.task.pid.to_le_bytes(), || process_row(call));
                row.call(num, call);
                self.rename(call.task.pid, &call.task);
            }
            Key::Syscall => {
                let name = call::name(call.abi, call.number);
                let row = self.row_of(name.as_bytes(), || label(name.clone().into_owned()));
                row.call(num, call);
            }
            Key::Container => {
                let id = &call.task.container;
                let row = self.row_of(id.as_bytes(), || container_row(id, context));
                row.call(num, call);
            }
            Key::Error => {
                let Some(errno) = call.ret.errno() else { return };
                let row = self.row_of(&errno.to_le_bytes(), || error_row(errno));
                row.call(num, call);
            }
            Key::File => {
                if let Some((kind, name)) = file_key(call) {
                    let name = name.get(..name.len().min(TEXT_MAX)).unwrap_or_default();
                    self.row_of(name, || named(kind, name).1).call(num, call);
                }
            }
            Key::Connection => {
                if let Some((key, made)) = connection_row(call) {
                    self.row_of(&key, || made).call(num, call);
                }
            }
        }
    }

    /// A process is called what its leader is called last.
    fn rename(&mut self, pid: u32, task: &Task) {
        if task.tid == pid {
            self.call_it(pid, &task.comm);
        }
    }

    fn call_it(&mut self, pid: u32, comm: &[u8]) {
        if let Some(row) = self.rows.get_mut(pid.to_le_bytes().as_slice())
            && row.comm != comm
        {
            row.comm = comm.to_vec();
            row.label = format!("{}[{pid}]", escape::bytes(comm));
        }
    }

    fn row_of(&mut self, key: &[u8], make: impl FnOnce() -> Row) -> &mut Row {
        if !self.rows.contains_key(key) {
            let made = (self.rows.len() < KEYS_MAX).then(make);
            let made = made.filter(|row| self.room.take(key.len() + row.label.len() + row.container.len()));
            let Some(made) = made else {
                self.others_events = self.others_events.saturating_add(1);
                return &mut self.others;
            };
            self.rows.insert(key.to_vec(), made);
        }
        self.rows.get_mut(key).unwrap_or(&mut self.others)
    }

    /// The rows, largest first; equal ones in the order of their first events. What was counted together comes last.
    #[must_use]
    pub fn rows(&self, order: Order) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by(|one, other| {
            other
                .sorted_by(order)
                .cmp(&one.sorted_by(order))
                .then(one.first.cmp(&other.first))
                .then(one.label.cmp(&other.label))
        });
        if self.others_events > 0 {
            rows.push(&self.others);
        }
        rows
    }

    /// The first rows in columns, lines ended.
    #[must_use]
    pub fn text(&self, order: Order, number: usize, context: &Context) -> String {
        let rows = self.rows(order);
        let several = context.containers.len() > 1 && self.key == Key::Process;
        let connection = self.key == Key::Connection;
        let mut head = vec![
            ("TIME", Side::Right),
            ("CALLS", Side::Right),
            ("ERRORS", Side::Right),
            ("READ", Side::Right),
            ("WRITTEN", Side::Right),
        ];
        if connection {
            head.extend([
                ("PACKETS", Side::Right),
                ("PAYLOAD", Side::Right),
                ("TOLD BY", Side::Left),
            ]);
        }
        head.extend([("LONGEST", Side::Right), ("AT EVENT", Side::Left)]);
        if matches!(self.key, Key::File | Key::Connection) {
            head.push(("TYPE", Side::Left));
        }
        if several {
            head.push(("CONTAINER", Side::Left));
        }
        let name = self.key.name().to_uppercase();
        head.push((name.as_str(), Side::Left));
        let mut columns = Columns::new(&head);
        for row in rows.iter().take(number) {
            let mut cells = vec![
                short(row.time),
                row.count.to_string(),
                row.errors.to_string(),
                size(row.read),
                size(row.written),
            ];
            if connection {
                cells.extend([
                    row.packets.to_string(),
                    size(row.payload),
                    row.told_by().to_owned(),
                ]);
            }
            match row.slowest {
                Some((spent, num)) => cells.extend([short(spent), format!("#{num}")]),
                None => cells.extend(["-".to_owned(), format!("#{}", row.first)]),
            }
            if matches!(self.key, Key::File | Key::Connection) {
                cells.push(row.kind.clone());
            }
            if several {
                cells.push(container_name(&row.container, context).to_owned());
            }
            cells.push(row.label.clone());
            columns.push(cells);
        }
        let mut out = columns.text();
        if let Some(more) = rows.len().checked_sub(number).filter(|more| *more > 0) {
            out.push_str(&format!("({more} more; -n {} shows all)\n", rows.len()));
        }
        out
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(
        &self,
        order: Order,
        number: usize,
        scope: &Scope,
        coverage: &Coverage,
        context: &Context,
    ) -> Value {
        let rows = self.rows(order);
        let objects: Vec<Value> = rows
            .iter()
            .take(number)
            .map(|row| self.object(row, context))
            .collect();
        answer(
            "top",
            scope,
            vec![
                ("by", self.key.name().into()),
                ("keys", rows.len().into()),
                ("rows", objects.into()),
            ],
            coverage,
            context,
        )
    }

    pub(super) fn object(&self, row: &Row, context: &Context) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("key", row.label.clone().into());
        if let Some(pid) = row.pid {
            put("pid", pid.into());
        }
        if !row.container.is_empty() {
            put("container", container_name(&row.container, context).into());
        }
        if !row.kind.is_empty() {
            put("type", row.kind.clone().into());
        }
        put("time_ns", row.time.into());
        put("count", row.count.into());
        put("errors", row.errors.into());
        put("bytes", row.bytes().into());
        put("bytes_read", row.read.into());
        put("bytes_written", row.written.into());
        if self.key == Key::Connection {
            put("packets", row.packets.into());
            put("packet_payload", row.payload.into());
            put("told_by", row.told_by().into());
        }
        if let Some((spent, num)) = row.slowest {
            put("longest_ns", spent.into());
            put("longest_event", num.into());
        }
        put("first_event", row.first.into());
        put("last_event", row.last.into());
        Value::Object(object)
    }
}

/// The container's name, or the beginning of its id.
pub(super) fn container_name<'a>(id: &'a str, context: &'a Context) -> &'a str {
    match context.containers.get(id) {
        Some(name) => name,
        None => id.get(..12).unwrap_or(id),
    }
}

fn label(label: String) -> Row {
    Row {
        label,
        ..Row::default()
    }
}

fn process_row(call: &Syscall) -> Row {
    process_row_of(&call.task)
}

fn process_row_of(task: &Task) -> Row {
    Row {
        label: format!("{}[{}]", escape::bytes(&task.comm), task.pid),
        pid: Some(task.pid),
        container: task.container.clone(),
        ..Row::default()
    }
}

fn container_row(id: &str, context: &Context) -> Row {
    Row {
        label: if id.is_empty() {
            "(none)".to_owned()
        } else {
            kept(container_name(id, context))
        },
        container: id.to_owned(),
        ..Row::default()
    }
}

/// Whether a descriptor's type is a socket's.
pub(super) fn is_socket(kind: &str) -> bool {
    matches!(kind, "ipv4" | "ipv6" | "unix" | "netlink" | "packet" | "socket")
}

fn named(kind: &str, name: &[u8]) -> (Vec<u8>, Row) {
    let name = name.get(..name.len().min(TEXT_MAX)).unwrap_or_default();
    let row = Row {
        label: escape::bytes(name).into_owned(),
        kind: kept(kind),
        ..Row::default()
    };
    (name.to_vec(), row)
}

/// What a call is about that is no socket: type and name.
fn file_key(call: &Syscall) -> Option<(&str, &[u8])> {
    let descriptor = call.descriptor.as_deref();
    if descriptor.is_some_and(|descriptor| is_socket(&descriptor.kind)) {
        return None;
    }
    let descriptor = descriptor.map(|descriptor| (descriptor.kind.as_str(), descriptor.name.as_slice()));
    if descriptor.is_some() && call.ret.errno().is_none() {
        return descriptor;
    }
    // A call that failed is about the path that it was given, not about the folder that the path begins in.
    match call::data(call, ArgKind::Path).and_then(|data| data.value()) {
        Some(path) => Some(("path", path)),
        None => descriptor,
    }
}

fn error_row(errno: i32) -> Row {
    label(match stillframe_format::abi::errno::description(errno) {
        Some(description) => format!("{} ({description})", call::errno_name(errno)),
        None => call::errno_name(errno),
    })
}

fn connection_row(call: &Syscall) -> Option<(Vec<u8>, Row)> {
    let descriptor = call
        .descriptor
        .as_ref()
        .filter(|descriptor| is_socket(&descriptor.kind))?;
    let name = String::from_utf8_lossy(&descriptor.name);
    // Until it is connected a socket's name lacks the other end, which is what everybody asks about.
    let (protocol, inside) = name.split_once(":[")?;
    let inside = inside.strip_suffix(']').unwrap_or(inside);
    if !inside.contains("->")
        && let Some(address) = call::data(call, ArgKind::Sockaddr)
            .and_then(|data| data.value())
            .and_then(|data| address(data))
    {
        let local = if inside.is_empty() { "*" } else { inside };
        let text = if call::name(call.abi, call.number) == "bind" {
            format!("{protocol}:[{address}]")
        } else {
            format!("{protocol}:[{local}->{address}]")
        };
        return Some(named(&descriptor.kind, text.as_bytes()));
    }
    if let Some((local, remote)) = inside.split_once("->")
        && let Some(key) = flow_key(protocol, local, remote)
    {
        let (_, row) = named(&descriptor.kind, &descriptor.name);
        return Some((key, row));
    }
    Some(named(&descriptor.kind, &descriptor.name))
}

/// A socket address for a reader: `10.0.0.9:80`, `/run/x.sock`, `@abstract`.
pub(super) fn address(bytes: &[u8]) -> Option<String> {
    let family = u16::from_le_bytes(*bytes.first_chunk::<2>()?);
    let rest = bytes.get(2..)?;
    match family {
        2 => {
            let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
            let address = std::net::Ipv4Addr::from(*rest.get(2..)?.first_chunk::<4>()?);
            Some(format!("{address}:{port}"))
        }
        10 => {
            let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
            let address = std::net::Ipv6Addr::from(*rest.get(6..)?.first_chunk::<16>()?);
            Some(format!("[{address}]:{port}"))
        }
        1 => match rest {
            [] => None,
            [0, name @ ..] => Some(format!("@{}", escape::bytes(name))),
            _ => {
                let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                Some(escape::bytes(rest.get(..end).unwrap_or(rest)).into_owned())
            }
        },
        _ => None,
    }
}

/// One key for a connection, whichever end tells of it.
fn flow_key(protocol: &str, local: &str, remote: &str) -> Option<Vec<u8>> {
    let protocol = protocol.trim_end_matches("v6");
    let (one, other): (SocketAddr, SocketAddr) = (local.parse().ok()?, remote.parse().ok()?);
    let (one, other) = if one <= other { (one, other) } else { (other, one) };
    Some(format!("flow {protocol} {one} {other}").into_bytes())
}

fn flow_row(view: &View<'_>, packet: &Packet) -> Option<(Vec<u8>, Row, u64)> {
    let headers = view.headers()?;
    let (source, destination, protocol) = ends(headers)?;
    // On a loopback interface both ends are here, and what comes in is what went out.
    let (local, remote) = match packet.direction {
        Direction::In if packet.interface.as_ref() != "lo" => (destination, source),
        _ => (source, destination),
    };
    let key = flow_key(protocol, &local.to_string(), &remote.to_string())?;
    let row = Row {
        label: format!("{protocol}:[{local}->{remote}]"),
        kind: match local.ip() {
            IpAddr::V4(_) => "ipv4".to_owned(),
            IpAddr::V6(_) => "ipv6".to_owned(),
        },
        ..Row::default()
    };
    Some((key, row, headers.payload_len))
}

/// Both ends of a packet that has ports, and its protocol.
pub(crate) fn ends(headers: &packet::Headers) -> Option<(SocketAddr, SocketAddr, &'static str)> {
    let (from, to) = headers.ip?;
    match headers.transport {
        packet::Transport::Tcp {
            source, destination, ..
        } => Some((
            SocketAddr::new(from, source),
            SocketAddr::new(to, destination),
            "TCP",
        )),
        packet::Transport::Udp { source, destination } => Some((
            SocketAddr::new(from, source),
            SocketAddr::new(to, destination),
            "UDP",
        )),
        _ => None,
    }
}
