//! What ran what: every process of the recording under the one that made it, with what became of it.
//!
//! The processes of the start's snapshot stand there too. One that was seen without its birth (events were lost, or it
//! came in from outside) has an unknown parent, and is shown so.

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::ranking::container_name;
use super::room::Room;
use super::{Coverage, KEYS_MAX, Scope, short, since_start};
use crate::field::command_line;
use crate::view::{Context, View};
use crate::{escape, state};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::abi;
use stillframe_format::event::{Body, ProcessChange, Task};
use stillframe_format::reader::Bundle;

/// How deep the tree is indented.
const DEPTH_MAX: usize = 24;

/// How a process came into the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It ran when the recording began.
    Before,
    /// It was born then, by that event.
    Born(BootTime, u64),
    /// It was seen first by that event; its birth was not.
    Unknown(BootTime, u64),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub time: BootTime,
    /// The event.
    pub num: u64,
    /// The exit status.
    pub status: u8,
    /// The signal that killed it, 0 when none did.
    pub signal: u8,
    /// It left a core dump.
    pub core: bool,
}

impl Ending {
    /// Whether it ended as programs do that succeed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == 0 && self.signal == 0
    }

    /// In a word: `exit 0`, `SIGKILL`.
    #[must_use]
    pub fn text(&self) -> String {
        match self.signal {
            0 => format!("exit {}", self.status),
            signal => {
                let name =
                    abi::signal::name(u32::from(signal)).unwrap_or_else(|| format!("signal {signal}").into());
                format!("{name}{}", if self.core { ",core" } else { "" })
            }
        }
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id; several processes may have had the same, one after another.
    pub pid: u32,
    /// Its parent among the nodes.
    pub parent: Option<usize>,
    /// Its parent's id, where only that is known.
    pub ppid: Option<u32>,
    /// Its name, as it was last.
    pub comm: String,
    /// Its command line, as it was last; empty when not known.
    pub command: String,
    /// Programs that it became, one after another.
    pub execs: u64,
    /// The full id of its container; empty for none.
    pub container: String,
    /// How it came into the recording.
    pub birth: Birth,
    /// How it ended; `None` when it lived at the end, as far as is known.
    pub ending: Option<Ending>,
    /// Threads that it made.
    pub threads: u64,
    /// Its calls.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Nanoseconds in calls, waiting included, over all threads.
    pub time: u64,
    /// Events that it is in.
    pub events: u64,
    /// The first of them; 0 for none.
    pub first: u64,
    /// The last of them; 0 for none.
    pub last: u64,
}

/// The processes of a recording.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    by_pid: HashMap<u32, usize>,
    room: Room,
    together: u64,
}

impl Tree {
    /// The processes that ran when the recording began.
    #[must_use]
    pub fn begin<R: Read + Seek>(bundle: &mut Bundle<R>) -> Self {
        let start = state::start(bundle);
        let mut tree = Self::default();
        for process in start.processes().take(KEYS_MAX) {
            let command = match (process.argv.as_slice(), &process.exe) {
                ([], None) => String::new(),
                ([], Some(exe)) => exe.clone(),
                (argv, _) => argv.join(" "),
            };
            tree.by_pid.insert(process.pid, tree.nodes.len());
            tree.nodes.push(Node {
                ppid: process.ppid,
                comm: escape::bytes(&process.comm).into_owned(),
                command: tree.room.kept(&escape::line(&command)),
                container: process.container.clone(),
                threads: (process.threads.len() as u64).saturating_sub(1),
                ..Node::new(process.pid, Birth::Before)
            });
        }
        for index in 0..tree.nodes.len() {
            let parent = tree
                .nodes
                .get(index)
                .and_then(|node| node.ppid)
                .and_then(|ppid| tree.by_pid.get(&ppid).copied())
                .filter(|parent| *parent != index);
            if let Some(node) = tree.nodes.get_mut(index) {
                node.parent = parent;
            }
        }
        tree
    }

    /// Events of processes that found no room.
    #[must_use]
    pub fn together(&self) -> u64 {
        self.together
    }

    /// The processes, in the order in which they came.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Takes an event.
    pub fn take(&mut self, view: &View<'_>) {
        let event = view.event;
        let task = match &event.body {
            Body::Process(process) => &process.task,
            Body::Syscall(call) => &call.task,
            // Whoever was on the CPU when a request moved has often nothing to do with it.
            _ => return,
        };
        if task.pid == 0 {
            return;
        }
        let Some(index) = self.of(task, event.time, event.num) else {
            self.together = self.together.saturating_add(1);
            return;
        };
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        node.events = node.events.saturating_add(1);
        if node.first == 0 {
            node.first = event.num;
        }
        node.last = event.num;
        if task.tid == task.pid && node.comm.as_bytes() != task.comm.as_slice() {
            node.comm = escape::bytes(&task.comm).into_owned();
        }
        if node.container.is_empty() && !task.container.is_empty() {
            node.container = task.container.clone();
        }
        match &event.body {
            Body::Syscall(call) => {
                node.calls = node.calls.saturating_add(1);
                node.failed = node.failed.saturating_add(u64::from(call.ret.errno().is_some()));
                node.time = node.time.saturating_add(call.duration.unwrap_or(0));
            }
            Body::Process(process) => match &process.change {
                ProcessChange::Fork { pid, .. } if *pid == task.pid => {
                    node.threads = node.threads.saturating_add(1);
                }
                ProcessChange::Fork { pid, .. } => {
                    let child = Node {
                        parent: Some(index),
                        ppid: Some(task.pid),
                        comm: node.comm.clone(),
                        command: self.room.kept(&node.command),
                        container: node.container.clone(),
                        ..Node::new(*pid, Birth::Born(event.time, event.num))
                    };
                    self.push(child);
                }
                ProcessChange::Exec { argv, filename, .. } => {
                    node.execs = node.execs.saturating_add(1);
                    let line = command_line(argv).filter(|line| !line.is_empty());
                    let line = line.or_else(|| filename.value().cloned());
                    if let Some(line) = line {
                        let cut = if argv.is_whole() { "" } else { "…" };
                        self.room.give(&node.command);
                        node.command = format!("{}{cut}", self.room.kept(&escape::bytes(&line)));
                    }
                }
                ProcessChange::Exit {
                    status,
                    signal,
                    core,
                    last: true,
                } => {
                    node.ending = Some(Ending {
                        time: event.time,
                        num: event.num,
                        status: *status,
                        signal: *signal,
                        core: *core,
                    });
                }
                ProcessChange::Exit { .. } | ProcessChange::Signal(_) | ProcessChange::OomKill(_) => {}
            },
            _ => {}
        }
    }

    /// The node of a task, made when it is new; `None` when there is no room.
    fn of(&mut self, task: &Task, time: BootTime, num: u64) -> Option<usize> {
        if let Some(index) = self.by_pid.get(&task.pid) {
            return Some(*index);
        }
        self.push(Node {
            comm: escape::bytes(&task.comm).into_owned(),
            container: task.container.clone(),
            ..Node::new(task.pid, Birth::Unknown(time, num))
        })
    }

    fn push(&mut self, node: Node) -> Option<usize> {
        if self.nodes.len() >= KEYS_MAX {
            self.together = self.together.saturating_add(1);
            // A new process must not count for the dead one that had its id.
            self.by_pid.remove(&node.pid);
            return None;
        }
        let index = self.nodes.len();
        self.by_pid.insert(node.pid, index);
        self.nodes.push(node);
        Some(index)
    }

    /// The nodes in the order of the tree, each with its depth: children in the order of their births.
    #[must_use]
    pub fn ordered(&self) -> Vec<(usize, &Node)> {
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            children.entry(node.parent).or_default().push(index);
        }
        let mut found = Vec::with_capacity(self.nodes.len());
        let mut seen = vec![false; self.nodes.len()];
        let roots = children.get(&None).cloned().unwrap_or_default();
        let mut waiting: Vec<(usize, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
        let mut next = 0;
        loop {
            while let Some((index, depth)) = waiting.pop() {
                let (Some(node), Some(mark)) = (self.nodes.get(index), seen.get_mut(index)) else {
                    continue;
                };
                if std::mem::replace(mark, true) {
                    continue;
                }
                found.push((depth, node));
                let below = children.get(&Some(index)).into_iter().flatten().rev();
                waiting.extend(below.map(|child| (*child, depth.saturating_add(1))));
            }
            // Snapshots of hostile bundles may have processes that are each other's parents.
            match seen.iter().skip(next).position(|mark| !mark) {
                Some(at) => {
                    next += at;
                    waiting.push((next, 0));
                }
                None => return found,
            }
        }
    }

    /// In columns, lines ended.
    #[must_use]
    pub fn text(&self, context: &Context) -> String {
        let several = context.containers.len() > 1;
        let mut head = vec![
            ("PID", Side::Right),
            ("BORN", Side::Right),
            ("LIVED", Side::Right),
            ("ENDED", Side::Left),
            ("CALLS", Side::Right),
            ("FAILED", Side::Right),
            ("IN CALLS", Side::Right),
            ("EVENTS", Side::Left),
        ];
        if several {
            head.push(("CONTAINER", Side::Left));
        }
        head.push(("COMMAND", Side::Left));
        let mut columns = Columns::new(&head);
        for (depth, node) in self.ordered() {
            let mut cells = node.cells(context);
            if several {
                cells.push(container_name(&node.container, context).to_owned());
            }
            let indent = "    ".repeat(depth.saturating_sub(1).min(DEPTH_MAX));
            let branch = if depth > 0 { " \\_ " } else { "" };
            cells.push(format!("{indent}{branch}{}", node.command_text(depth)));
            columns.push(cells);
        }
        columns.text()
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(&self, coverage: &Coverage, context: &Context) -> Value {
        let rows: Vec<Value> = self
            .ordered()
            .into_iter()
            .map(|(depth, node)| node.object(depth, context))
            .collect();
        answer(
            "tree",
            &Scope::default(),
            vec![("rows", rows.into())],
            coverage,
            context,
        )
    }
}

impl Node {
    fn new(pid: u32, birth: Birth) -> Self {
        Self {
            pid,
            parent: None,
            ppid: None,
            comm: String::new(),
            command: String::new(),
            execs: 0,
            container: String::new(),
            birth,
            ending: None,
            threads: 0,
            calls: 0,
            failed: 0,
            time: 0,
            events: 0,
            first: 0,
            last: 0,
        }
    }

    /// How long it lived inside the recording, or until its end.
    #[must_use]
    pub fn lived(&self, context: &Context) -> u64 {
        let from = match self.birth {
            Birth::Before => context.start,
            Birth::Born(time, _) | Birth::Unknown(time, _) => time,
        };
        self.ending.map_or(context.end, |ending| ending.time).since(from)
    }

    fn cells(&self, context: &Context) -> Vec<String> {
        let born = match self.birth {
            Birth::Before => "before".to_owned(),
            Birth::Born(time, _) => since_start(time, context),
            Birth::Unknown(time, _) => format!("?{}", since_start(time, context)),
        };
        let ended = match &self.ending {
            Some(ending) => ending.text(),
            None => "lives".to_owned(),
        };
        vec![
            self.pid.to_string(),
            born,
            short(self.lived(context)),
            ended,
            self.calls.to_string(),
            self.failed.to_string(),
            short(self.time),
            if self.first == 0 {
                "-".to_owned()
            } else {
                format!("#{}..#{}", self.first, self.last)
            },
        ]
    }

    fn command_text(&self, depth: usize) -> String {
        let mut out = String::new();
        if depth == 0 && matches!(self.birth, Birth::Unknown(..)) {
            out.push_str("(parent unknown) ");
        }
        if self.command.is_empty() {
            let _ = write!(out, "[{}]", self.comm);
        } else if self.execs == 0 && matches!(self.birth, Birth::Born(..)) {
            let _ = write!(out, "({} without exec) {}", self.comm, self.command);
        } else {
            out.push_str(&self.command);
        }
        if self.execs > 1 {
            let _ = write!(out, " ({} programs)", self.execs);
        }
        if self.threads > 0 {
            let _ = write!(out, " ({} threads more)", self.threads);
        }
        out
    }

    fn object(&self, depth: usize, context: &Context) -> Value {
        let mut row = Map::new();
        row.insert("pid".to_owned(), self.pid.into());
        if let Some(ppid) = self.ppid {
            row.insert("ppid".to_owned(), ppid.into());
        }
        row.insert("depth".to_owned(), depth.into());
        row.insert("name".to_owned(), self.comm.clone().into());
        if !self.command.is_empty() {
            row.insert("command".to_owned(), self.command.clone().into());
        }
        if !self.container.is_empty() {
            row.insert(
                "container".to_owned(),
                container_name(&self.container, context).into(),
            );
        }
        let (birth, born) = match self.birth {
            Birth::Before => ("before", None),
            Birth::Born(time, num) => ("born", Some((time, num))),
            Birth::Unknown(time, num) => ("unknown", Some((time, num))),
        };
        row.insert("birth".to_owned(), birth.into());
        if let Some((time, num)) = born {
            context.put_time(&mut row, "born", time);
            row.insert("born_event".to_owned(), num.into());
        }
        if let Some(ending) = &self.ending {
            context.put_time(&mut row, "ended", ending.time);
            row.insert("ended_event".to_owned(), ending.num.into());
            if ending.signal == 0 {
                row.insert("status".to_owned(), ending.status.into());
            } else {
                row.insert("signal".to_owned(), ending.signal.into());
                row.insert("core".to_owned(), ending.core.into());
            }
        }
        for (key, value) in [
            ("execs", self.execs),
            ("threads", self.threads),
            ("calls", self.calls),
            ("failed", self.failed),
            ("time_ns", self.time),
            ("events", self.events),
            ("first_event", self.first),
            ("last_event", self.last),
        ] {
            row.insert(key.to_owned(), value.into());
        }
        Value::Object(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use stillframe_format::event::{Event, Process};

    fn change(num: u64, pid: u32, change: ProcessChange) -> Event {
        Event {
            num,
            time: BootTime(fixture::BOOT + num),
            late: false,
            body: Body::Process(Process {
                task: fixture::task(pid, "sh"),
                change,
            }),
        }
    }

    fn tree(events: &[Event]) -> Tree {
        let context = fixture::context();
        let mut tree = Tree::default();
        for event in events {
            tree.take(&View::new(event, &context));
        }
        tree
    }

    const EXIT: ProcessChange = ProcessChange::Exit {
        status: 7,
        signal: 0,
        core: false,
        last: true,
    };

    #[test]
    fn a_process_id_that_is_used_again_is_another_process() {
        let tree = tree(&[
            change(1, 10, ProcessChange::Fork { pid: 11, tid: 11 }),
            change(2, 11, EXIT),
            change(3, 10, ProcessChange::Fork { pid: 11, tid: 11 }),
        ]);
        let found: Vec<_> = tree
            .ordered()
            .iter()
            .map(|(depth, node)| (*depth, node.pid, node.ending.map(|ending| ending.status)))
            .collect();
        assert_eq!(found, [(0, 10, None), (1, 11, Some(7)), (1, 11, None)]);
    }

    #[test]
    fn who_was_not_born_here_has_an_unknown_parent() {
        let tree = tree(&[change(5, 99, EXIT)]);
        let text = tree.text(&fixture::context());
        assert!(text.contains("(parent unknown) [sh]"), "{text}");
        assert!(text.contains("exit 7"), "{text}");
    }

    #[test]
    fn a_chain_of_any_depth_is_walked_without_recursion() {
        let events: Vec<Event> = (1..=5000u32)
            .map(|pid| {
                change(
                    u64::from(pid),
                    pid,
                    ProcessChange::Fork {
                        pid: pid + 1,
                        tid: pid + 1,
                    },
                )
            })
            .collect();
        let tree = tree(&events);
        assert_eq!(
            tree.ordered().last().map(|(depth, node)| (*depth, node.pid)),
            Some((5000, 5001))
        );
    }

    #[test]
    fn parents_in_a_ring_are_all_shown() {
        let mut tree = tree(&[change(1, 10, EXIT), change(2, 11, EXIT)]);
        tree.nodes[0].parent = Some(1);
        tree.nodes[1].parent = Some(0);
        assert_eq!(tree.ordered().len(), 2);
    }
}
