//! What failed: calls by process, call, errno and target; processes, requests, engine and kernel messages, resets.
//!
//! Some failures are how programs work: the search for a library asks folder after folder, a descriptor that does not
//! block says EAGAIN. They are folded into one line, which says how many there were, so that the rest can be seen.

mod answer;
mod group;
mod normal;

pub use group::Group;

use super::ranking::{address, ends};
use super::room::Room;
use super::{KEYS_MAX, kept};
use crate::field::{block_operation, command_line};
use crate::packet::Transport;
use crate::view::View;
use crate::{call, escape, journal, signal, uring};
use group::PIDS_MAX;
use normal::{noise, request_noise};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use stillframe_format::abi;
use stillframe_format::event::{ArgKind, Block, BlockAction, Body, ProcessChange, Syscall, Uring};

/// The most processes whose command line is remembered for the day they fail.
const COMMANDS_MAX: usize = 1 << 16;

/// What happened to a victim of the OOM killer, by its tracepoint.
const CHOSEN: &str = "chosen by the OOM killer";

/// What failed. The order is that of the answer: what killed something first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel ran out of memory.
    OutOfMemory,
    /// The engine said that a container died, was killed, restarted, or is unhealthy.
    Engine,
    /// A signal that killed a process.
    Signal,
    /// A process ended with a signal or a status that is not 0.
    Exit,
    /// A block request failed.
    Block,
    /// The kernel logged an error.
    Kernel,
    /// The engine's journal has an error.
    Journal,
    /// A connection was reset.
    Reset,
    /// A request of io_uring failed.
    Uring,
    /// A call failed.
    Call,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::OutOfMemory,
        Self::Engine,
        Self::Signal,
        Self::Exit,
        Self::Block,
        Self::Kernel,
        Self::Journal,
        Self::Reset,
        Self::Uring,
        Self::Call,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfMemory => "oom",
            Self::Engine => "engine",
            Self::Signal => "signal",
            Self::Exit => "exit",
            Self::Block => "block",
            Self::Kernel => "kernel",
            Self::Journal => "journal",
            Self::Reset => "reset",
            Self::Uring => "uring",
            Self::Call => "call",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::OutOfMemory => "Out of memory",
            Self::Engine => "Engine events",
            Self::Signal => "Fatal signals",
            Self::Exit => "Processes that failed",
            Self::Block => "Block requests that failed",
            Self::Kernel => "Kernel messages of severity error and worse",
            Self::Journal => "Journal entries of priority error and worse",
            Self::Reset => "Connections refused or reset by RST",
            Self::Uring => "Requests of io_uring that failed",
            Self::Call => "Failed calls",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    kind: Kind,
    who: String,
    what: String,
    error: String,
    target: String,
}

/// Failures of a scope.
#[derive(Debug, Default)]
pub struct Failures {
    groups: HashMap<GroupKey, Group>,
    room: Room,
    together: u64,
    /// Command lines of processes that run, to say what it was that failed.
    commands: HashMap<u32, String>,
    commands_room: Room,
}

impl Failures {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Failures that found no room for a group of their own.
    #[must_use]
    pub fn together(&self) -> u64 {
        self.together
    }

    /// Takes an event.
    pub fn take(&mut self, view: &View<'_>) {
        match &view.event.body {
            Body::Syscall(call) => self.call(view, call),
            Body::Process(process) => {
                let pid = process.task.pid;
                match &process.change {
                    ProcessChange::Exec { argv, .. } => {
                        if let Some(line) = command_line(argv)
                            && (self.commands.len() < COMMANDS_MAX || self.commands.contains_key(&pid))
                        {
                            let line = self.commands_room.kept(&escape::bytes(&line));
                            if let Some(before) = self.commands.insert(pid, line) {
                                self.commands_room.give(&before);
                            }
                        }
                    }
                    ProcessChange::Exit {
                        status,
                        signal,
                        core,
                        last: true,
                    } => {
                        let command = self.commands.remove(&pid).unwrap_or_default();
                        self.commands_room.give(&command);
                        if *status == 0 && *signal == 0 {
                            return;
                        }
                        let what = match *signal {
                            0 => format!("exit {status}"),
                            signal => signal_text(signal, *core),
                        };
                        let comm = escape::bytes(&process.task.comm).into_owned();
                        self.add(
                            view,
                            Kind::Exit,
                            comm,
                            what,
                            String::new(),
                            command,
                            Some(pid),
                            None,
                        );
                    }
                    ProcessChange::Signal(sent) if sent.fatal => {
                        let mut what = signal::name(sent.number).into_owned();
                        if let Some(sender) = &sent.sender {
                            let _ = write!(what, " from {}", escape::bytes(&sender.comm));
                        } else if !sent.step.is_delivery() || sent.code > 0 {
                            let _ = write!(what, " ({})", signal::code(sent.number, sent.code));
                        }
                        let comm = escape::bytes(&process.task.comm).into_owned();
                        let none = String::new;
                        self.add(view, Kind::Signal, comm, what, none(), none(), Some(pid), None);
                    }
                    ProcessChange::OomKill(kill) => {
                        let mut what = CHOSEN.to_owned();
                        if let Some(trigger) = &kill.trigger {
                            let _ = write!(what, ", for {}", escape::bytes(&trigger.comm));
                        }
                        let comm = escape::bytes(&process.task.comm).into_owned();
                        let none = String::new;
                        self.add(
                            view,
                            Kind::OutOfMemory,
                            comm,
                            what,
                            none(),
                            none(),
                            Some(pid),
                            None,
                        );
                    }
                    _ => {}
                }
            }
            Body::Block(block) if block.action == BlockAction::Complete && block.error != 0 => {
                self.block(view, block);
            }
            Body::Kernel(message) => {
                if let Some(record) = journal::kernel_record(&message.record) {
                    let text = escape::bytes(record.text).into_owned();
                    if let Some(kind) = kernel_kind(&text, record.priority) {
                        self.add(
                            view,
                            kind,
                            "kernel".to_owned(),
                            text,
                            String::new(),
                            String::new(),
                            None,
                            None,
                        );
                    }
                }
            }
            Body::Journal(entry) => self.journal(view, &entry.export),
            Body::Engine(_) => self.engine(view),
            Body::Packet(_) => self.reset(view),
            Body::Uring(request) => self.request(view, request),
            _ => {}
        }
    }

    fn call(&mut self, view: &View<'_>, call: &Syscall) {
        let Some(errno) = call.ret.errno() else { return };
        let name = call::name(call.abi, call.number).into_owned();
        let target = target(call);
        let noise = noise(&name, errno, &target, call);
        let comm = escape::bytes(&call.task.comm).into_owned();
        let pid = Some(call.task.pid).filter(|pid| *pid != 0);
        self.add(
            view,
            Kind::Call,
            comm,
            name,
            call::errno_name(errno),
            target,
            pid,
            noise,
        );
    }

    fn request(&mut self, view: &View<'_>, request: &Uring) {
        let Some(errno) = request.errno() else { return };
        let what = request
            .opcode
            .map_or_else(|| "request".into(), uring::operation)
            .into_owned();
        let noise = request_noise(&what, errno);
        self.add(
            view,
            Kind::Uring,
            escape::bytes(&request.task.comm).into_owned(),
            what,
            call::errno_name(errno),
            String::new(),
            Some(request.task.pid).filter(|pid| *pid != 0),
            noise,
        );
    }

    fn block(&mut self, view: &View<'_>, block: &Block) {
        let device = match view.context.devices.get(&block.device) {
            Some(name) => kept(name),
            None => block.device.to_string(),
        };
        let what = block_operation(block).unwrap_or("request").to_owned();
        let target = if block.inode == 0 {
            String::new()
        } else {
            format!("inode {}", block.inode)
        };
        self.add(
            view,
            Kind::Block,
            device,
            what,
            call::errno_name(block.error),
            target,
            None,
            None,
        );
    }

    fn journal(&mut self, view: &View<'_>, export: &[u8]) {
        let field = |name| journal::field(export, name);
        let priority = field("PRIORITY").and_then(|text| std::str::from_utf8(text).ok()?.parse::<u8>().ok());
        if priority.is_none_or(|priority| priority > 3) {
            return;
        }
        let unit = field("_SYSTEMD_UNIT")
            .or_else(|| field("SYSLOG_IDENTIFIER"))
            .unwrap_or(b"journal");
        let message = field("MESSAGE").unwrap_or_default();
        self.add(
            view,
            Kind::Journal,
            kept(&escape::bytes(unit)),
            escape::bytes(message).into_owned(),
            String::new(),
            String::new(),
            None,
            None,
        );
    }

    fn engine(&mut self, view: &View<'_>) {
        let Some(engine) = view.engine() else { return };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let action = text(engine.get("Action"))
            .or_else(|| text(engine.get("status")))
            .unwrap_or_default();
        let attribute = |name: &str| {
            text(
                engine
                    .get("Actor")
                    .and_then(|actor| actor.get("Attributes")?.get(name)),
            )
        };
        let tells = matches!(
            action.as_str(),
            "die" | "oom" | "kill" | "restart" | "stop" | "destroy" | "pause"
        ) || action == "health_status: unhealthy";
        if !tells {
            return;
        }
        let mut what = action;
        if let Some(code) = attribute("exitCode") {
            let _ = write!(what, ", exit code {code}");
            // 128 and a signal's number, as shells have it. It may also be a program's own code: it is arithmetic, no cause.
            let signal = code.parse::<u32>().ok().and_then(|code| code.checked_sub(128));
            if let Some(name) = signal.and_then(abi::signal::name) {
                let _ = write!(what, " (128 + {name})");
            }
        }
        if let Some(signal) = attribute("signal") {
            let _ = write!(what, ", signal {signal}");
        }
        let who = view
            .container_name()
            .or_else(|| view.container())
            .unwrap_or("engine");
        let who = kept(&escape::line(who));
        self.add(
            view,
            Kind::Engine,
            who,
            what,
            String::new(),
            String::new(),
            None,
            None,
        );
    }

    fn reset(&mut self, view: &View<'_>) {
        let Some(headers) = view.headers() else { return };
        let Transport::Tcp { flags, sequence, .. } = headers.transport else {
            return;
        };
        const RST: u16 = 4;
        const ACK: u16 = 16;
        if flags & RST == 0 {
            return;
        }
        // Nobody listens: the answer to a SYN has no sequence number of its own (RFC 9293, section 3.5.2).
        let what = if flags & ACK != 0 && sequence == 0 {
            "refused connections from"
        } else {
            "reset the connection to"
        };
        let Some((from, to, _)) = ends(headers) else {
            return;
        };
        // A client's port is new for each connection; a service that resets them all is one failure.
        let ephemeral = |port: u16, other: u16| port >= 32_768 && other < port;
        let shown = |end: std::net::SocketAddr, other: u16| {
            if ephemeral(end.port(), other) {
                match end.ip() {
                    std::net::IpAddr::V4(address) => format!("{address}:*"),
                    std::net::IpAddr::V6(address) => format!("[{address}]:*"),
                }
            } else {
                end.to_string()
            }
        };
        let (who, target) = (shown(from, to.port()), shown(to, from.port()));
        self.add(
            view,
            Kind::Reset,
            who,
            what.to_owned(),
            String::new(),
            target,
            None,
            None,
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the columns of one row, used in this file only"
    )]
    fn add(
        &mut self,
        view: &View<'_>,
        kind: Kind,
        who: String,
        what: String,
        error: String,
        target: String,
        pid: Option<u32>,
        noise: Option<&'static str>,
    ) {
        let key = GroupKey {
            kind,
            who: kept(&who),
            what: kept(&what),
            error,
            target: kept(&target),
        };
        if !self.groups.contains_key(&key) {
            // Key and group hold the same texts.
            let size = 2 * (key.who.len() + key.what.len() + key.error.len() + key.target.len());
            if self.groups.len() >= KEYS_MAX || !self.room.take(size) {
                self.together = self.together.saturating_add(1);
                return;
            }
        }
        let num = view.event.num;
        let group = self.groups.entry(key).or_insert_with_key(|key| Group {
            kind,
            who: key.who.clone(),
            what: key.what.clone(),
            error: key.error.clone(),
            target: key.target.clone(),
            count: 0,
            first: num,
            last: num,
            pids: BTreeSet::new(),
            noise,
        });
        group.count = group.count.saturating_add(1);
        group.last = num;
        if let Some(pid) = pid
            && group.pids.len() < PIDS_MAX
        {
            group.pids.insert(pid);
        }
    }
}

fn signal_text(signal: u8, core: bool) -> String {
    let name = abi::signal::name(u32::from(signal)).unwrap_or_else(|| format!("signal {signal}").into());
    format!("killed by {name}{}", if core { " (core dumped)" } else { "" })
}

fn kernel_kind(text: &str, priority: u8) -> Option<Kind> {
    let memory = [
        "Out of memory",
        "out of memory",
        "oom-kill",
        "invoked oom-killer",
        "oom_reaper",
    ];
    if memory.iter().any(|word| text.contains(word)) {
        return Some(Kind::OutOfMemory);
    }
    (priority <= 3).then_some(Kind::Kernel)
}

/// What a failed call was about.
fn target(call: &Syscall) -> String {
    if let Some(path) = call::data(call, ArgKind::Path).and_then(|data| data.value()) {
        let path = escape::bytes(path);
        // A relative path means little without its folder.
        if !path.starts_with('/')
            && let Some(descriptor) = call
                .descriptor
                .as_ref()
                .filter(|descriptor| descriptor.kind == "directory")
        {
            let folder = escape::bytes(&descriptor.name);
            return format!("{}/{path}", folder.trim_end_matches('/'));
        }
        return path.into_owned();
    }
    if let Some(address) = call::data(call, ArgKind::Sockaddr)
        .and_then(|data| data.value())
        .and_then(|data| address(data))
    {
        return address;
    }
    call.descriptor
        .as_ref()
        .map(|descriptor| escape::bytes(&descriptor.name).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn each_kind_of_failure_is_found() {
        let context = fixture::context();
        let mut failures = Failures::new();
        for event in fixture::events() {
            failures.take(&View::new(&event, &context));
        }
        let kinds: Vec<&str> = failures.kinds(false).map(|(kind, _)| kind.name()).collect();
        assert_eq!(kinds, ["oom", "engine", "exit", "block", "call"]);
        let exit = failures.of(Kind::Exit, false);
        assert_eq!(exit.first().unwrap().what, "killed by SIGKILL (core dumped)");
        assert_eq!(exit.first().unwrap().target, "httpd -f");
        assert_eq!(failures.of(Kind::Call, false).first().unwrap().error, "ENOENT");
    }

    #[test]
    fn groups_are_bounded() {
        let context = fixture::context();
        let mut failures = Failures::new();
        for n in 0..KEYS_MAX + 3 {
            let mut event = fixture::events().remove(3);
            if let Body::Syscall(call) = &mut event.body {
                let path = format!("/not/there/{n}").into_bytes();
                call.data[0].bytes = stillframe_format::Captured::Whole(path);
            }
            failures.take(&View::new(&event, &context));
        }
        assert_eq!(failures.groups.len(), KEYS_MAX);
        assert_eq!(failures.together(), 3);
    }
}
