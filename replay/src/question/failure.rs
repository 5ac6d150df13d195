//! What failed: calls by process, call, errno and target; processes, requests, engine and kernel messages, resets.
//!
//! Some failures are how programs work: the search for a library asks folder after folder, a descriptor that does not
//! block says EAGAIN. They are folded into one line, which says how many there were, so that the rest can be seen.

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::ranking::{address, ends};
use super::{Coverage, KEYS_MAX, Scope, kept};
use crate::field::{block_operation, command_line};
use crate::packet::Transport;
use crate::view::{Context, View};
use crate::{call, escape, journal};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use stillframe_format::abi;
use stillframe_format::event::{ArgKind, Block, BlockAction, Body, ProcessChange, Syscall};

/// The most process ids that a group remembers.
const PIDS_MAX: usize = 64;
/// The most processes whose command line is remembered for the day they fail.
const COMMANDS_MAX: usize = 1 << 16;

/// What failed. The order is that of the answer: what killed something first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel ran out of memory.
    OutOfMemory,
    /// The engine said that a container died, was killed, restarted, or is unhealthy.
    Engine,
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
    /// A call failed.
    Call,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::OutOfMemory,
        Self::Engine,
        Self::Exit,
        Self::Block,
        Self::Kernel,
        Self::Journal,
        Self::Reset,
        Self::Call,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfMemory => "oom",
            Self::Engine => "engine",
            Self::Exit => "exit",
            Self::Block => "block",
            Self::Kernel => "kernel",
            Self::Journal => "journal",
            Self::Reset => "reset",
            Self::Call => "call",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::OutOfMemory => "Out of memory",
            Self::Engine => "Engine events",
            Self::Exit => "Processes that failed",
            Self::Block => "Block requests that failed",
            Self::Kernel => "Kernel messages of severity error and worse",
            Self::Journal => "Journal entries of priority error and worse",
            Self::Reset => "Connections refused or reset by RST",
            Self::Call => "Failed calls",
        }
    }
}

/// Failures that are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What failed.
    pub kind: Kind,
    /// Who: the process's name, the container, the device.
    pub who: String,
    /// What: the call, the exit, the message.
    pub what: String,
    /// How: the errno's name; empty where there is none.
    pub error: String,
    /// On what: a path, an address, a descriptor.
    pub target: String,
    /// How many.
    pub count: u64,
    /// The first event.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// Process ids, the first few.
    pub pids: BTreeSet<u32>,
    /// Why it is taken for normal, where it is.
    pub noise: Option<&'static str>,
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
    together: u64,
    /// Command lines of processes that run, to say what it was that failed.
    commands: HashMap<u32, String>,
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
                            self.commands.insert(pid, kept(&escape::bytes(&line)));
                        }
                    }
                    ProcessChange::Exit {
                        status,
                        signal,
                        core,
                        last: true,
                    } => {
                        let command = self.commands.remove(&pid).unwrap_or_default();
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
        if self.groups.len() >= KEYS_MAX && !self.groups.contains_key(&key) {
            self.together = self.together.saturating_add(1);
            return;
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

    /// The groups of a kind, most frequent first, what only says that something is not there last; what is taken for normal only on demand.
    #[must_use]
    pub fn of(&self, kind: Kind, with_noise: bool) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self
            .groups
            .values()
            .filter(|group| group.kind == kind && (with_noise || group.noise.is_none()))
            .collect();
        groups.sort_by_key(|group| {
            (
                group.is_missing(),
                group.is_preamble(),
                Reverse(group.count),
                group.first,
            )
        });
        groups
    }

    /// How many failures were taken for normal, by reason.
    #[must_use]
    pub fn noise(&self) -> BTreeMap<&'static str, u64> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for group in self.groups.values() {
            if let Some(reason) = group.noise {
                let sum = sums.entry(reason).or_default();
                *sum = sum.saturating_add(group.count);
            }
        }
        sums
    }

    /// Whether nothing failed, but for what is normal unless that is asked for too.
    #[must_use]
    pub fn is_empty(&self, with_noise: bool) -> bool {
        !self
            .groups
            .values()
            .any(|group| with_noise || group.noise.is_none())
    }

    /// Groups of a kind in columns, at most `number`, lines ended.
    #[must_use]
    pub fn list(&self, kind: Kind, with_noise: bool, number: usize) -> String {
        let groups = self.of(kind, with_noise);
        let mut columns = Columns::new(&[
            ("COUNT", Side::Right),
            ("FIRST", Side::Right),
            ("LAST", Side::Right),
            ("WHO", Side::Left),
            ("WHAT", Side::Left),
        ]);
        for group in groups.iter().take(number) {
            columns.push(vec![
                group.count.to_string(),
                format!("#{}", group.first),
                format!("#{}", group.last),
                group.who_text(),
                group.what_text(),
            ]);
        }
        let mut out = columns.text();
        if let Some(more) = groups.len().checked_sub(number).filter(|more| *more > 0) {
            let _ = writeln!(out, "({more} more)");
        }
        out
    }

    /// The line about what was folded; `None` when nothing was.
    #[must_use]
    pub fn noise_line(&self) -> Option<String> {
        let noise = self.noise();
        let sum = noise.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        (sum > 0).then(|| {
            let parts: Vec<String> = noise
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            format!(
                "{sum} failures that are normal are not shown: {} (--all shows them)",
                parts.join(", ")
            )
        })
    }

    /// All kinds, lines ended.
    #[must_use]
    pub fn text(&self, with_noise: bool, number: usize) -> String {
        let mut out = String::new();
        for kind in Kind::ALL {
            if self.of(kind, with_noise).is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(kind.title());
            out.push('\n');
            out.push_str(&self.list(kind, with_noise, number));
        }
        if !with_noise && let Some(line) = self.noise_line() {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// Kinds that have groups, with their titles.
    pub(super) fn kinds(&self, with_noise: bool) -> impl Iterator<Item = (Kind, &'static str)> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| !self.of(*kind, with_noise).is_empty())
            .map(|kind| (kind, kind.title()))
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(
        &self,
        with_noise: bool,
        number: usize,
        scope: &Scope,
        coverage: &Coverage,
        context: &Context,
    ) -> Value {
        answer(
            "errors",
            scope,
            vec![
                ("rows", self.rows(with_noise, number).into()),
                ("normal", serde_json::json!(self.noise())),
            ],
            coverage,
            context,
        )
    }

    /// The groups of each kind, at most `number` of each, for programs.
    #[must_use]
    pub fn rows(&self, with_noise: bool, number: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        for kind in Kind::ALL {
            for group in self.of(kind, with_noise).into_iter().take(number) {
                let mut row = Map::new();
                row.insert("kind".to_owned(), kind.name().into());
                row.insert("who".to_owned(), group.who.clone().into());
                row.insert("what".to_owned(), group.what.clone().into());
                if !group.error.is_empty() {
                    row.insert("error".to_owned(), group.error.clone().into());
                }
                if !group.target.is_empty() {
                    row.insert("target".to_owned(), group.target.clone().into());
                }
                row.insert("count".to_owned(), group.count.into());
                row.insert("first_event".to_owned(), group.first.into());
                row.insert("last_event".to_owned(), group.last.into());
                if !group.pids.is_empty() {
                    row.insert("pids".to_owned(), serde_json::json!(group.pids));
                }
                if let Some(reason) = group.noise {
                    row.insert("normal".to_owned(), reason.into());
                }
                rows.push(Value::Object(row));
            }
        }
        rows
    }
}

impl Group {
    /// Whether it says only that something is not there: programs ask for much that may be missing, so this comes last.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.error.as_str(), "ENOENT" | "ENOTDIR")
    }

    /// Whether it is one of the kernel's lines about a lack of memory that do not say whom it killed. There are several
    /// for each kill, so that one comes first.
    fn is_preamble(&self) -> bool {
        self.kind == Kind::OutOfMemory && !self.what.contains("Killed process")
    }

    fn who_text(&self) -> String {
        match (self.pids.len(), self.pids.first()) {
            (1, Some(pid)) => format!("{}[{pid}]", self.who),
            (0, _) => self.who.clone(),
            (PIDS_MAX, _) => format!("{} ({PIDS_MAX} processes or more)", self.who),
            (many, _) => format!("{} ({many} processes)", self.who),
        }
    }

    pub(super) fn what_text(&self) -> String {
        let mut out = self.what.clone();
        match self.kind {
            Kind::Call => {
                out.push_str(&format!(" {}", self.error));
                if !self.target.is_empty() {
                    out.push_str(&format!("  {}", self.target));
                }
            }
            Kind::Reset => out = format!("{} {}", self.what, self.target),
            Kind::Exit if !self.target.is_empty() => out.push_str(&format!(": {}", self.target)),
            _ => {
                if !self.target.is_empty() {
                    out.push_str(&format!(" {}", self.target));
                }
                if !self.error.is_empty() {
                    out.push_str(&format!(": {}", self.error));
                }
            }
        }
        out
    }

    /// In one line, for a headline.
    pub(super) fn headline(&self) -> String {
        let times = match self.count {
            1 => format!("#{}", self.first),
            count => format!("{count} times, #{} to #{}", self.first, self.last),
        };
        let text: String = self.what_text().chars().take(160).collect();
        format!("{}: {text} ({times})", self.who_text())
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

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ECHILD: i32 = 10;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;
const ETIMEDOUT: i32 = 110;
const EINPROGRESS: i32 = 115;
/// `ERESTARTSYS` and what follows it: the kernel restarts the call (include/linux/errno.h).
const RESTARTS: std::ops::RangeInclusive<i32> = 512..=516;

/// Why a failure is how programs normally work; `None` when it may mean something.
fn noise(name: &str, errno: i32, target: &str, call: &Syscall) -> Option<&'static str> {
    match (errno, name) {
        (
            ENOENT,
            "open" | "openat" | "openat2" | "access" | "faccessat" | "faccessat2" | "stat" | "stat64"
            | "lstat" | "newfstatat" | "fstatat64" | "statx" | "readlink" | "readlinkat",
        ) if is_search(target) => Some("ENOENT in the search for libraries and locales"),
        (
            ENOENT,
            "access" | "faccessat" | "faccessat2" | "stat" | "stat64" | "lstat" | "newfstatat" | "fstatat64"
            | "statx",
        ) if is_program(target) => Some("ENOENT in the search for programs"),
        (ENOENT, "connect") if target == "/var/run/nscd/socket" || target == "/run/nscd/socket" => {
            Some("connect to an nscd that does not run")
        }
        (EAGAIN, "futex" | "futex_time64" | "futex_wait" | "futex_waitv") => Some("EAGAIN of futex"),
        (EAGAIN, _) if call.descriptor.is_some() || call::descriptor(call).is_some() => {
            Some("EAGAIN on descriptors that do not block")
        }
        (EINPROGRESS, "connect") => Some("EINPROGRESS of connect"),
        (EPERM, "epoll_ctl") => Some("EPERM of epoll_ctl (a file that is always ready)"),
        (
            EINTR,
            "epoll_wait" | "epoll_pwait" | "poll" | "ppoll" | "select" | "pselect6" | "wait4" | "waitid",
        ) => Some("EINTR of waits"),
        (ENOTTY, "ioctl") => Some("ENOTTY of ioctl (is it a terminal?)"),
        (ETIMEDOUT, "futex" | "futex_time64" | "futex_wait" | "futex_waitv") => Some("timeouts of futex"),
        (ECHILD, "wait4" | "waitid" | "waitpid") => Some("ECHILD of wait4 (no child left)"),
        (EINVAL, "readlink" | "readlinkat") => Some("EINVAL of readlink (no link)"),
        (EINVAL, "arch_prctl" | "prctl") => Some("EINVAL of prctl (does the kernel know it?)"),
        (ENOSYS, "clone3" | "faccessat2" | "statx" | "openat2" | "close_range" | "rseq") => {
            Some("ENOSYS of newer calls (the library takes the older one)")
        }
        (errno, _) if RESTARTS.contains(&errno) => Some("calls that the kernel restarts"),
        _ => None,
    }
}

/// Whether a path is one that the search for a library, or for a locale, asks for.
fn is_search(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("/etc/ld.so.")
        || file.ends_with(".so")
        || file.contains(".so.")
        || file.ends_with(".mo")
        || (path.starts_with("/lib") || path.starts_with("/usr/lib"))
            && (path.contains("/tls") || path.ends_with("/x86_64") || path.ends_with("/haswell"))
        || path.contains("/glibc-hwcaps")
        || path.contains("/locale/")
        || path.contains("/gconv/")
}

/// Whether a path is one that the search along PATH asks for.
fn is_program(path: &str) -> bool {
    let folder = path
        .rsplit_once('/')
        .map(|(folder, _)| folder)
        .unwrap_or_default();
    matches!(
        folder.rsplit('/').next(),
        Some("bin" | "sbin" | "shims" | "games")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_is_normal_is_told_from_what_is_not() {
        let call = fixture::openat(-2);
        let noise = |name, errno, target| noise(name, errno, target, &call).is_some();
        assert!(noise("openat", ENOENT, "/lib/x86_64-linux-gnu/libfoo.so.1"));
        assert!(noise("access", ENOENT, "/etc/ld.so.preload"));
        assert!(!noise("openat", ENOENT, "/etc/app.conf"));
        assert!(
            !noise("openat", 13, "/lib/libfoo.so.1"),
            "EACCES on a library is no search"
        );
        assert!(!noise("execve", ENOENT, "/bin/tool.so"));
        assert!(noise("connect", EINPROGRESS, "10.0.0.9:80"));
        assert!(!noise("connect", 111, "10.0.0.9:80"));
        assert!(noise("read", 512, ""));
    }

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
