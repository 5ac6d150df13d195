//! One page for a ticket: what failed, what was slow, what ran, what changed, what is missing; with event numbers.
//!
//! It is Markdown whose tables stand in fenced blocks, so that it reads the same on a terminal, in a mail and in a tracker.

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::failure::Kind;
use super::ranking::container_name;
use super::slowest::{Class, calls};
use super::tree::{Birth, Tree};
use super::{Changes, Coverage, Failures, Key, Naming, Order, Ranking, Scope, Slowest, changes, scan, short};
use crate::timeline::Timeline;
use crate::value::{duration, size};
use crate::view::{Context, View};
use crate::{escape, render};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{Read, Seek};
use stillframe_format::event::{Body, LogStream};

/// Rows of each list on the page.
const ROWS: usize = 5;
/// The last lines of a container's standard error that are shown.
const LOG_LINES: usize = 5;
/// The most counters that are compared.
const COUNTERS_MAX: usize = 1 << 14;

/// First, largest and last value of a counter.
#[derive(Clone, Debug)]
struct Counter {
    /// The container's name.
    of: String,
    first: u64,
    most: u64,
    last: u64,
}

/// The page.
#[derive(Debug)]
pub struct Summary {
    header: Vec<(String, String)>,
    facts: Map<String, Value>,
    coverage: Coverage,
    failures: Failures,
    slowest: Slowest,
    ranking: Ranking,
    tree: Tree,
    changes: Vec<Changes>,
    counters: BTreeMap<(String, String), Counter>,
    /// Number, container, text.
    stderr: VecDeque<(u64, String)>,
    not_captured: Vec<(String, String)>,
    failed_sources: Vec<String>,
    packets: u64,
    naming: Naming,
    /// Ids of the targets that are containers.
    ids: Vec<String>,
}

impl Summary {
    /// Reads the whole bundle once.
    pub fn of<R: Read + Seek>(timeline: &mut Timeline<R>, context: &Context) -> Self {
        let scope = Scope::default();
        let tree = Tree::begin(timeline.bundle_mut());
        let changes = changes(timeline.bundle_mut());
        let mut page = Self {
            header: Vec::new(),
            facts: Map::new(),
            coverage: Coverage::default(),
            failures: Failures::new(),
            slowest: Slowest::new(ROWS),
            ranking: Ranking::new(Key::Process),
            tree,
            changes,
            counters: BTreeMap::new(),
            stderr: VecDeque::new(),
            not_captured: Vec::new(),
            failed_sources: Vec::new(),
            packets: 0,
            naming: Naming::default(),
            ids: Vec::new(),
        };
        page.outline(timeline, context);
        let mut coverage = scan(timeline, context, &scope, |view| page.take(view));
        coverage.together = coverage
            .together
            .saturating_add(page.ranking.together())
            .saturating_add(page.failures.together())
            .saturating_add(page.tree.together());
        page.coverage = coverage;
        page.slowest.take_open(timeline, context, &scope);
        page
    }

    /// What the bundle's ends tell.
    fn outline<R: Read + Seek>(&mut self, timeline: &Timeline<R>, context: &Context) {
        let bundle = timeline.bundle();
        let header = bundle.header();
        let moment = |time| {
            context
                .stamp(time)
                .unwrap_or_else(|| render::mapped_time(time, context))
        };
        let targets: Vec<String> = header
            .targets
            .iter()
            .map(|target| match target.kind.as_str() {
                "container" => format!(
                    "{} (container {})",
                    target.name,
                    target.id.get(..12).unwrap_or(&target.id)
                ),
                kind => format!("{} ({kind})", target.name),
            })
            .collect();
        self.ids = header
            .targets
            .iter()
            .filter(|target| target.kind == "container")
            .map(|target| target.id.clone())
            .collect();
        let length = context.end.since(context.start);
        let mut row = |key: &str, text: String| self.header.push((key.to_owned(), text));
        row("Target", targets.join(", "));
        for (key, value) in &header.case {
            row(&format!("Case {key}"), value.clone());
        }
        row(
            "Recorded",
            format!(
                "{} to {} ({}), {} events",
                moment(context.start),
                moment(context.end),
                duration(i128::from(length)),
                bundle.total_events()
            ),
        );
        let ended = match bundle.end() {
            Some(end) => end.reason.clone(),
            None => "unknown: the end record is missing".to_owned(),
        };
        if let Some(command) = bundle.end().and_then(|end| end.command.as_ref()) {
            let how = match (command.status, command.signal) {
                (Some(status), _) => format!("exit {status}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => "still running".to_owned(),
            };
            row("Command", format!("{} ({how})", command.argv.join(" ")));
        }
        row("Ended by", ended.clone());
        row("Bundle", format!("id {}, {}", header.id, size(bundle.file_len())));
        self.facts.insert("id".to_owned(), header.id.clone().into());
        self.facts.insert("targets".to_owned(), json!(header.targets));
        self.facts.insert("case".to_owned(), json!(header.case));
        context.put_time(&mut self.facts, "started", context.start);
        context.put_time(&mut self.facts, "ended", context.end);
        self.facts.insert("duration_ns".to_owned(), length.into());
        self.facts
            .insert("events".to_owned(), bundle.total_events().into());
        self.facts.insert("reason".to_owned(), ended.into());
        if let Some(end) = bundle.end() {
            self.not_captured = end
                .not_captured
                .iter()
                .map(|missing| (missing.what.clone(), missing.reason.clone()))
                .collect();
            self.failed_sources = end
                .sources
                .iter()
                .filter(|source| matches!(source.state.as_str(), "failed" | "missing"))
                .map(|source| format!("{} {}: {}", source.name, source.state, source.reason))
                .collect();
        }
    }

    fn take(&mut self, view: &View<'_>) {
        self.failures.take(view);
        self.slowest.take(view);
        self.ranking.take(view);
        self.tree.take(view);
        match &view.event.body {
            Body::Metrics(metrics) => {
                for (name, value) in &metrics.values {
                    let key = (metrics.container.clone(), name.clone());
                    if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&key) {
                        continue;
                    }
                    let counter = self.counters.entry(key).or_insert_with(|| Counter {
                        of: container_name(&metrics.container, view.context).to_owned(),
                        first: *value,
                        most: *value,
                        last: *value,
                    });
                    counter.most = counter.most.max(*value);
                    counter.last = *value;
                }
            }
            Body::Log(log) if log.stream == LogStream::Stderr => {
                if self.stderr.len() >= LOG_LINES {
                    self.stderr.pop_front();
                }
                let container = container_name(&log.container, view.context);
                let text = format!(
                    "{container}: {}",
                    escape::bytes(crate::field::without_line_end(&log.bytes))
                );
                self.stderr.push_back((view.event.num, super::kept(&text)));
            }
            Body::Packet(_) => {
                self.packets = self.packets.saturating_add(1);
                self.naming.take(view);
            }
            _ => {}
        }
    }

    /// The recording's facts: names and texts.
    #[must_use]
    pub fn header(&self) -> &[(String, String)] {
        &self.header
    }

    /// Its processes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What failed.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// What stands under "In short".
    fn in_short(&self) -> Vec<String> {
        let mut found = self.findings();
        if !self.coverage.is_whole() {
            found.insert(0, "this page is incomplete: see Missing below".to_owned());
        }
        found
    }

    /// The most telling findings, worst first.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (kind, _) in self.failures.kinds(false) {
            let number = match kind {
                Kind::Call => 3,
                // The kernel says one kill in several lines, of which the telling one comes first.
                Kind::OutOfMemory => 1,
                _ => 2,
            };
            let groups = self.failures.of(kind, false);
            let told = |group: &&&super::Group| !group.is_missing();
            for group in groups.iter().filter(told).take(number) {
                found.push(group.headline());
            }
            let more = groups.iter().filter(told).count().saturating_sub(number);
            if more > 0 {
                found.push(format!("{more} more of that kind ({})", kind.name()));
            }
        }
        // That a file is missing is news only where there is no other.
        if found.is_empty()
            && let Some(group) = self.failures.of(Kind::Call, false).first()
        {
            found.push(group.headline());
        }
        const NAMES: usize = 3;
        let changes = self.naming.changes();
        found.extend(changes.iter().take(NAMES).map(|change| change.headline()));
        if let Some(more) = changes.len().checked_sub(NAMES).filter(|more| *more > 0) {
            found.push(format!("{more} more names whose DNS answer changed"));
        }
        for ((container, name), counter) in &self.counters {
            let grew = counter.last.saturating_sub(counter.first);
            let told = match name.as_str() {
                "cpu.throttled_ns" if grew > 0 => format!("its CPU was throttled for {}", short(grew)),
                "memory.oom_kills" if grew > 0 => format!("{grew} of its processes were killed for memory"),
                "memory.rss_bytes" => match self.memory(container, counter) {
                    Some(told) => told,
                    None => continue,
                },
                _ => continue,
            };
            found.push(format!("{}: {told}", counter.of));
        }
        if self.slowest.open_calls > 0 {
            found.push(format!(
                "{} had not returned at the end",
                calls(self.slowest.open_calls)
            ));
        }
        for (class, title) in [
            (Class::Work, "longest call that was no wait"),
            (Class::Block, "longest block request"),
            (Class::Uring, "longest request of io_uring"),
        ] {
            if let Some(longest) = self.slowest.headline(class) {
                found.push(format!("{title}: {longest}"));
            }
        }
        found
    }

    /// How near the memory of a container's processes came to its limit; `None` where that is no news.
    fn memory(&self, container: &str, rss: &Counter) -> Option<String> {
        let limit = (container.to_owned(), "memory.limit_bytes".to_owned());
        let limit = self.counters.get(&limit)?.last;
        let is_short = rss.most >= limit / 5 * 4 || !self.failures.of(Kind::OutOfMemory, false).is_empty();
        is_short.then(|| {
            format!(
                "memory of its processes was {} at first, {} at most, of a limit of {} (replay timeline --by metrics --only memory)",
                size(rss.first),
                size(rss.most),
                size(limit)
            )
        })
    }

    /// The page, lines ended.
    #[must_use]
    pub fn text(&self, context: &Context) -> String {
        let mut out = String::from("# Recording\n\n");
        for (key, text) in &self.header {
            let _ = writeln!(out, "- {key}: {}", escape::line(text));
        }
        section(&mut out, "In short");
        let findings = self.in_short();
        if findings.is_empty() {
            out.push_str("- nothing failed\n");
        }
        for finding in findings {
            let _ = writeln!(out, "- {}", escape::line(&finding).replace('`', "'"));
        }
        section(&mut out, "Missing");
        let missing = self.missing(context);
        if missing.is_empty() {
            out.push_str("- nothing: complete, no event lost, everything captured\n");
        }
        for line in missing {
            let _ = writeln!(out, "- {}", escape::line(&line).replace('`', "'"));
        }
        section(&mut out, "What failed");
        if self.failures.is_empty(false) {
            out.push_str("Nothing.\n");
        }
        for (kind, title) in self.failures.kinds(false) {
            let number = if kind == Kind::Call { 2 * ROWS } else { ROWS };
            block(&mut out, title, &self.failures.list(kind, false, number));
        }
        if let Some(line) = self.failures.noise_line() {
            blank(&mut out);
            let _ = writeln!(
                out,
                "{}",
                line.replace("--all shows them", "replay errors --all shows them")
            );
        }
        section(&mut out, "What was slow");
        for (class, title) in [
            (Class::Work, "Calls"),
            (Class::Block, "Block requests, from issue to completion"),
            (
                Class::Uring,
                "Requests of io_uring, from submission to completion",
            ),
            (Class::Wait, "Waits (calls that wait by design)"),
            (Class::Open, "Not returned at the end, with their age"),
        ] {
            if !self.slowest.of(class).is_empty() {
                block(&mut out, title, &self.slowest.list(class, context));
            }
        }
        section(&mut out, "What ran");
        out.push_str(&self.ran());
        if !self.ranking.rows(Order::Time).is_empty() {
            block(
                &mut out,
                "Most time in calls, waiting included",
                &self.ranking.text(Order::Time, ROWS, context),
            );
        }
        if !self.stderr.is_empty() {
            let mut columns = Columns::new(&[("EVENT", Side::Right), ("TEXT", Side::Left)]);
            for (num, text) in &self.stderr {
                columns.push(vec![format!("#{num}"), text.clone()]);
            }
            block(&mut out, "Last lines on standard error", &columns.text());
        }
        section(&mut out, "What changed");
        self.changed(&mut out);
        out
    }

    /// What the page does not know, and what was not captured.
    #[must_use]
    pub fn missing(&self, context: &Context) -> Vec<String> {
        let mut lines = self.coverage.lines(context);
        lines.extend(self.failed_sources.iter().cloned());
        // A command that ended leaves no snapshot of its end: that is one thing, not ten.
        let mut folders: BTreeMap<&str, Vec<&(String, String)>> = BTreeMap::new();
        for missing in &self.not_captured {
            let folder = missing
                .0
                .rsplit_once('/')
                .map_or(missing.0.as_str(), |(folder, _)| folder);
            folders.entry(folder).or_default().push(missing);
        }
        for (folder, members) in folders {
            match members.as_slice() {
                [] => {}
                [(_, reason), .., _] if members.len() > 3 => lines.push(format!(
                    "not captured: {} members of {folder}: {reason}, … (replay info names them)",
                    members.len()
                )),
                few => lines.extend(
                    few.iter()
                        .map(|(what, reason)| format!("not captured: {what}: {reason}")),
                ),
            }
        }
        // An id of a container is 64 digits, of which twelve tell it apart, as everywhere.
        for id in &self.ids {
            if let Some(short) = id.get(..12) {
                for line in &mut lines {
                    *line = line.replace(id, short);
                }
            }
        }
        lines
    }

    fn ran(&self) -> String {
        let nodes = self.tree.nodes();
        let born = nodes
            .iter()
            .filter(|node| matches!(node.birth, Birth::Born(..)))
            .count();
        let unknown = nodes
            .iter()
            .filter(|node| matches!(node.birth, Birth::Unknown(..)))
            .count();
        let ended = nodes.iter().filter(|node| node.ending.is_some()).count();
        let failed = nodes
            .iter()
            .filter(|node| node.ending.is_some_and(|ending| !ending.is_success()))
            .count();
        let mut out = format!(
            "{} processes: {} ran at the start, {born} were born, {unknown} of unknown parents; {ended} ended, {failed} of them with an error (replay tree).\n",
            nodes.len(),
            nodes.len().saturating_sub(born).saturating_sub(unknown),
        );
        if self.packets > 0 {
            let _ = writeln!(out, "{} packets (replay top --by connection).", self.packets);
        }
        out
    }

    fn changed(&self, out: &mut String) {
        for target in &self.changes {
            let name = escape::line(&target.target).replace('`', "'");
            if let Some(missing) = &target.missing {
                let _ = writeln!(out, "- {name}: not known, {}", escape::line(missing));
                continue;
            }
            if target.changes.is_empty() {
                let _ = writeln!(
                    out,
                    "- {name}: processes, listening sockets, mounts, disks and limits are as they were"
                );
                continue;
            }
            let mut columns =
                Columns::new(&[("WHAT", Side::Left), ("HOW", Side::Left), ("WHICH", Side::Left)]);
            const SHOWN: usize = 20;
            for change in target.changes.iter().take(SHOWN) {
                columns.push(vec![
                    change.what.to_owned(),
                    change.how.to_owned(),
                    change.text.clone(),
                ]);
            }
            let mut text = columns.text();
            if let Some(more) = target.changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                let _ = writeln!(text, "({more} more: --json has them)");
            }
            block(out, &format!("{name}, start against end"), &text);
        }
        if !self.naming.changes().is_empty() {
            block(out, "Names whose DNS answer changed", &self.naming.list(2 * ROWS));
        }
        let rows = self.counter_rows();
        if !rows.is_empty() {
            let mut columns = Columns::new(&[
                ("COUNTER", Side::Left),
                ("FIRST", Side::Right),
                ("LAST", Side::Right),
                ("CHANGE", Side::Right),
                ("MOST", Side::Right),
                ("OF", Side::Left),
            ]);
            for ((_, name), counter) in rows {
                columns.push(vec![
                    name.clone(),
                    unit(name, counter.first),
                    unit(name, counter.last),
                    if counter.last >= counter.first {
                        format!("+{}", unit(name, counter.last - counter.first))
                    } else {
                        format!("-{}", unit(name, counter.first - counter.last))
                    },
                    unit(name, counter.most),
                    counter.of.clone(),
                ]);
            }
            block(out, "Counters, first against last reading", &columns.text());
        }
    }

    /// Counters that an engineer asks for first, those of them that moved.
    fn counter_rows(&self) -> Vec<(&(String, String), &Counter)> {
        self.counters
            .iter()
            .filter(|((_, name), counter)| {
                let asked = name.starts_with("cpu.")
                    || matches!(
                        name.as_str(),
                        "memory.usage_bytes"
                            | "memory.rss_bytes"
                            | "memory.oom_kills"
                            | "memory.swap_bytes"
                            | "pids.current"
                    )
                    || name.starts_with("blk.")
                    || name.starts_with("io.")
                    || name.ends_with("_bytes") && name.starts_with("net.")
                    || name.ends_with("_dropped")
                    || name.ends_with("_errors")
                    || name.starts_with("pressure.") && name.contains("some");
                asked && (counter.first != counter.last || counter.most != counter.last)
            })
            .collect()
    }

    /// The page for programs.
    #[must_use]
    pub fn json(&self, context: &Context) -> Value {
        let nodes = self.tree.nodes();
        let count = |test: fn(&super::Node) -> bool| nodes.iter().filter(|node| test(node)).count();
        let rows: Vec<Value> = self
            .ranking
            .rows(Order::Time)
            .into_iter()
            .take(ROWS)
            .map(|row| self.ranking.object(row, context))
            .collect();
        let counters: Vec<Value> = self
            .counters
            .iter()
            .map(|((_, name), counter)| {
                json!({
                    "container": counter.of,
                    "name": name,
                    "first": counter.first,
                    "last": counter.last,
                    "most": counter.most,
                })
            })
            .collect();
        let stderr: Vec<Value> = self
            .stderr
            .iter()
            .map(|(num, text)| json!({"event": num, "text": text}))
            .collect();
        let missing: Vec<Value> = self
            .not_captured
            .iter()
            .map(|(what, reason)| json!({"what": what, "reason": reason}))
            .collect();
        let parts = vec![
            ("recording", Value::Object(self.facts.clone())),
            ("findings", json!(self.in_short())),
            ("not_captured", missing.into()),
            ("failed_sources", json!(self.failed_sources)),
            ("errors", self.failures.rows(false, 2 * ROWS).into()),
            ("normal_errors", json!(self.failures.noise())),
            ("slowest", self.slowest.rows(context).into()),
            ("open_calls", self.slowest.open_calls.into()),
            (
                "processes",
                json!({
                    "all": nodes.len(),
                    "born": count(|node| matches!(node.birth, Birth::Born(..))),
                    "unknown": count(|node| matches!(node.birth, Birth::Unknown(..))),
                    "ended": count(|node| node.ending.is_some()),
                    "failed": count(|node| node.ending.is_some_and(|ending| !ending.is_success())),
                }),
            ),
            ("top", rows.into()),
            ("stderr", stderr.into()),
            (
                "changes",
                self.changes
                    .iter()
                    .map(Changes::json)
                    .collect::<Vec<Value>>()
                    .into(),
            ),
            ("names", self.naming.rows().into()),
            ("counters", counters.into()),
        ];
        answer("summary", &Scope::default(), parts, &self.coverage, context)
    }

    /// What the answer does not know.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

fn section(out: &mut String, title: &str) {
    blank(out);
    let _ = write!(out, "## {title}\n\n");
}

/// A table. What stands in a fenced block is not read as Markdown; a line that could close it is indented.
fn block(out: &mut String, title: &str, text: &str) {
    blank(out);
    let _ = write!(out, "{title}:\n\n```text\n");
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            out.push_str("    ");
        }
        out.push_str(line);
        out.push('\n');
    }
    out.push_str("```\n");
}

/// Ends a paragraph.
fn blank(out: &mut String) {
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
}

/// A counter's value with the unit that its name tells.
pub(super) fn unit(name: &str, value: u64) -> String {
    if name.ends_with("_bytes") {
        size(value)
    } else if name.ends_with("_ns") {
        short(value)
    } else if name.ends_with("_us") {
        short(value.saturating_mul(1000))
    } else {
        value.to_string()
    }
}
