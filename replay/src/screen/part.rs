//! The state at an event as lines to show, each with the filter that means what it is about.

use super::ask::{Shown, Table};
use crate::moment::Place;
use crate::question::short;
use crate::state::{self, Found, Part, Row};
use crate::timeline::Timeline;
use crate::view::Context;
use crate::{call, escape, render};
use serde_json::Value;
use std::io::{Read, Seek};

/// The most lines of a part.
const LINES_MAX: usize = 2000;

/// The state after an event: descriptors and sockets of one process only, where one is named.
pub(super) fn shown<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    num: u64,
    pid: Option<u32>,
) -> Shown {
    let found = state::at(timeline, Place::Event(num));
    // A process that is gone, or of another container, has nothing of its own: then all is shown.
    let pid = pid.filter(|pid| found.state.process_of(*pid).is_some());
    let of = |part: Part, pid: Option<u32>| {
        let rows = state::rows(&found, part, pid, context);
        let text = state::text(&found, part, &rows, context);
        let mut lines = text
            .lines()
            .skip(usize::from(part.uncertain(&found.state).is_some()))
            .map(|line| escape::line(line).into_owned());
        let head = lines.next().unwrap_or_default();
        let more = rows.len().saturating_sub(LINES_MAX);
        let lines = lines.zip(&rows).take(LINES_MAX);
        Table {
            head,
            lines: lines.map(|(line, row)| (line, filter(part, row))).collect(),
            more,
            pids: Vec::new(),
        }
    };
    Shown {
        num,
        pid,
        doubt: found
            .state
            .uncertain()
            .map(|since| format!("uncertain since {}", render::mapped_time(since, context))),
        processes: tree(&state::rows(&found, Part::Processes, None, context), &found),
        descriptors: match pid {
            Some(pid) => descriptors(&state::rows(&found, Part::Descriptors, Some(pid), context), pid),
            None => of(Part::Descriptors, None),
        },
        sockets: of(Part::Sockets, None),
        mounts: of(Part::Mounts, None),
        usage: usage(&found, context),
    }
}

fn number(row: &Row, key: &str) -> Option<u64> {
    row.object.get(key).and_then(Value::as_u64)
}

/// What a line is about, as a filter.
fn filter(part: Part, row: &Row) -> Option<String> {
    match part {
        Part::Processes => Some(format!("proc.pid={}", number(row, "proc.pid")?)),
        Part::Descriptors => {
            let pid = number(row, "proc.pid")?;
            // Of those that are not known it is known whose they are.
            Some(number(row, "fd.num").map_or_else(
                || format!("proc.pid={pid}"),
                |fd| format!("proc.pid={pid} and fd.num={fd}"),
            ))
        }
        Part::Sockets => {
            let user = row.object.get("socket.users")?.as_array()?.first()?;
            Some(format!(
                "proc.pid={} and fd.num={}",
                user.get("proc.pid")?,
                user.get("fd.num")?
            ))
        }
        Part::Calls => Some(format!("thread.tid={}", number(row, "thread.tid")?)),
        Part::Containers | Part::Usage => {
            let id = row.object.get("container.id")?.as_str()?;
            // An id is digits and letters; another would have to be quoted.
            let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_plain.then(|| format!("container.id={id}"))
        }
        Part::Mounts => None,
    }
}

/// Descriptors of one process in little room: whose they are stands in the head only.
fn descriptors(rows: &[Row], pid: u32) -> Table {
    let cell = |row: &Row, at: usize| row.cells.get(at).cloned().unwrap_or_default();
    let name = rows.first().map(|row| cell(row, 1)).unwrap_or_default();
    let lines = rows.iter().take(LINES_MAX).map(|row| {
        let line = format!("{:>4} {:<9} {}", cell(row, 2), cell(row, 3), cell(row, 5));
        (line, filter(Part::Descriptors, row))
    });
    Table {
        head: format!("  FD TYPE      REFERS TO ({name}[{pid}])"),
        lines: lines.collect(),
        more: rows.len().saturating_sub(LINES_MAX),
        pids: Vec::new(),
    }
}

/// Containers and what they use, in little room: one line for each.
fn usage(found: &Found, context: &Context) -> Table {
    let cell = |row: &Row, at: usize| row.cells.get(at).cloned().unwrap_or_default();
    let id = |row: &Row| row.object.get("container.id").cloned();
    let mut used = state::rows(found, Part::Usage, None, context);
    let line = |name: &str, status: &str, used: Option<&Row>| {
        let used = |at: usize| used.map_or_else(|| "?".to_owned(), |row| cell(row, at));
        let memory = match used(5).as_str() {
            "?" => used(4),
            limit => format!("{} of {limit}", used(4)),
        };
        format!(
            "{name:<14} {status:<16} {:>7} {:>8} {memory:<21} {:>5} {:>10} {:>10} {}",
            used(1),
            used(2),
            used(6),
            used(8),
            used(9),
            used(10),
        )
    };
    let mut lines = Vec::new();
    for row in state::rows(found, Part::Containers, None, context) {
        let status = match cell(&row, 2).as_str() {
            "-" | "" => cell(&row, 1),
            code => format!("{} ({code})", cell(&row, 1)),
        };
        let at = used
            .iter()
            .position(|used| id(used).is_some() && id(used) == id(&row));
        let used = at.map(|at| used.remove(at));
        lines.push((
            line(&cell(&row, 0), &status, used.as_ref()),
            filter(Part::Containers, &row),
        ));
    }
    // Process trees and commands are used by no engine.
    for row in used.iter().filter(|row| id(row).is_some()) {
        lines.push((line(&cell(row, 0), "-", Some(row)), filter(Part::Usage, row)));
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    Table {
        head: format!(
            "{:<14} {:<16} {:>7} {:>8} {:<21} {:>5} {:>10} {:>10} {}",
            "CONTAINER", "STATUS", "CPU%", "CPU", "MEMORY", "PIDS", "READ", "WRITTEN", "AT"
        ),
        lines,
        more,
        pids: Vec::new(),
    }
}

/// The calls of a process that are in flight, in little room: `[futex 1.234s]`; of several threads the one that has
/// waited longest, and how many more.
fn in_flight(pid: u64, found: &Found) -> Option<String> {
    let calls = found.calls.iter().filter(|call| u64::from(call.task.pid) == pid);
    // One whose entry was not seen is older than all.
    let oldest = calls.clone().min_by_key(|call| call.enter)?;
    let name = call::name(oldest.abi, oldest.number);
    let age = match state::age(oldest, found.time) {
        Some(age) => short(age),
        None => "?".to_owned(),
    };
    Some(match calls.count() {
        1 => format!("[{name} {age}]"),
        more => format!("[{name} {age}, {} more]", more - 1),
    })
}

/// Processes in little room: the name with its place in the tree first, then what it is in.
fn tree(rows: &[Row], found: &Found) -> Table {
    let more = rows.len().saturating_sub(LINES_MAX);
    let rows = rows.get(..rows.len().min(LINES_MAX)).unwrap_or_default();
    let lines = rows.iter().map(|row| {
        let cell = |at: usize| row.cells.get(at).map(String::as_str).unwrap_or_default();
        let command = cell(7);
        let indent = command.len() - command.trim_start_matches(' ').len();
        let (indent, command) = command.split_at_checked(indent).unwrap_or(("", command));
        let calls = number(row, "proc.pid").and_then(|pid| in_flight(pid, found));
        let calls = calls.map_or_else(String::new, |calls| format!("  {calls}"));
        let line = format!("{:>7} {indent}{}{calls}  {command}", cell(0), cell(6));
        (line, filter(Part::Processes, row))
    });
    let pid = |row: &Row| number(row, "proc.pid").and_then(|pid| u32::try_from(pid).ok());
    Table {
        head: "    PID NAME  [CALL IN FLIGHT]  COMMAND".to_owned(),
        lines: lines.collect(),
        more,
        pids: rows.iter().map(|row| pid(row).unwrap_or(0)).collect(),
    }
}
