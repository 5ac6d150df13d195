//! Sums over columns: a ranking by what a call's row tells itself needs no call put together, and all processors add up.
//!
//! Each slice gives its own sums, which are added in the order of slices. What [`Ranking::take`] gives event by event is
//! what comes out (`replay/tests/search.rs`).

use super::{Key, Ranking, Row, container_row, error_row, label};
use crate::call;
use crate::question::transfer::way;
use crate::question::{Coverage, Scope, Way, scan};
use crate::scan as slices;
use crate::timeline::{Damage, Opened, Range, Search, Timeline};
use crate::view::Context;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Abi, Body, Event, ProcessChange, Return, Stream};
use stillframe_format::reader::{SliceBytes, Streams};
use stillframe_format::stream::SyscallColumns;

/// Numbers of calls below this have a place of their own; larger ones are looked up.
const DENSE: usize = 1024;
/// One more than the largest errno (`MAX_ERRNO`, include/linux/err.h).
const ERRNOS: usize = 4096;

/// The sums of a scope, and what is missing from them.
pub fn rank<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    key: Key,
) -> (Ranking, Coverage) {
    let mut ranking = Ranking::new(key);
    let mut coverage = if matches!(key, Key::File | Key::Connection) {
        // These ask for paths, addresses and packets.
        scan(timeline, context, scope, |view| ranking.take(view))
    } else {
        tally(timeline, context, scope, &mut ranking)
    };
    coverage.together = ranking.together();
    (ranking, coverage)
}

fn tally<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    ranking: &mut Ranking,
) -> Coverage {
    let mut coverage = Coverage::of(timeline.bundle(), context);
    // Then events of other streams need only be counted, and the index counts them.
    let is_whole = scope.filter.is_all() && scope.range == Range::default();
    let streams: Streams = Stream::ALL
        .into_iter()
        .filter(|stream| match stream {
            Stream::Loss | Stream::Clock => true,
            Stream::Syscall | Stream::Process => scope.filter.may_match(*stream),
            other => !is_whole && scope.filter.may_match(*other),
        })
        .collect();
    let slice = Slice {
        search: Search {
            range: scope.range,
            filter: &scope.filter,
            context,
            count: false,
            limit: None,
        },
        streams,
        is_whole,
        key: ranking.key,
    };
    let added: Result<(), Infallible> = slices::slices(
        timeline.bundle_mut(),
        |info| (is_whole || streams.are_in(info)) && scope.range.may_hold(info),
        |bytes| slice.sums(bytes),
        |info, sums| {
            match sums {
                Ok(sums) => {
                    coverage.matched = coverage.matched.saturating_add(sums.matched);
                    for (event, matches) in &sums.marks {
                        coverage.event(event, *matches);
                    }
                    for entry in sums.entries {
                        ranking.add(entry);
                    }
                }
                Err(error) => coverage.damage(Damage::new(info, &error)),
            }
            Ok(ControlFlow::Continue(()))
        },
    );
    match added {
        Ok(()) => {}
    }
    coverage.look_behind(timeline, &scope.range);
    coverage
}

/// The sums of a slice.
#[derive(Default)]
struct Sums {
    /// Events that match, but holes and steps of the clock.
    matched: u64,
    /// Holes and steps of the clock, and whether they match.
    marks: Vec<(Event, bool)>,
    entries: Vec<Entry>,
}

/// The sums of a key.
struct Entry {
    key: Vec<u8>,
    /// None: only its name changes.
    row: Option<Row>,
    /// What the process is called before its first call of the slice, where it became another program.
    before: Option<Vec<u8>>,
    /// What it is called in the end.
    after: Option<Vec<u8>>,
}

/// How a slice is looked at.
struct Slice<'a> {
    search: Search<'a>,
    streams: Streams,
    is_whole: bool,
    key: Key,
}

impl Slice<'_> {
    fn sums(&self, bytes: &SliceBytes) -> Result<Sums, ReadError> {
        let opened = Opened::new(bytes, self.streams)?;
        let (part, segment) = (opened.part, opened.segment);
        let calls = segment.as_ref().map(|segment| part.calls(segment)).transpose()?;
        let mut others: Vec<_> = opened.others.into_iter().map(Vec::into_iter).collect();
        let meant = calls.as_ref().map(|calls| self.search.calls(calls, &part));
        let mut sums = Sums::default();
        let mut tally = calls.as_ref().map(|calls| Tally::new(calls, self.key));
        let mut execs: Vec<Exec> = Vec::new();
        let (mut num, mut row) = (part.info().first, 0usize);
        for run in part.runs() {
            let count = usize::try_from(run.count).unwrap_or(usize::MAX);
            if let (Stream::Syscall, Some(tally), Some(meant)) = (run.stream, &mut tally, &meant) {
                let (before, after) = (row, row.saturating_add(count));
                let mut at = before;
                while let Some(next) = meant.possible.next(at).filter(|next| *next < after) {
                    at = next + 1;
                    let num = num.saturating_add((next - before) as u64);
                    if meant.certain.has(next) || self.matches(tally.calls, next, num) {
                        sums.matched += 1;
                        tally.call(next, num);
                    }
                }
                row = after;
            } else if let Some(stored) = others.get_mut(usize::from(run.stream as u8)) {
                for (num, stored) in (num..).zip(stored.by_ref().take(count)) {
                    let event = Event {
                        num,
                        time: stored.time,
                        late: stored.late,
                        body: stored.body,
                    };
                    if !self.search.range.contains(&event) {
                        continue;
                    }
                    let matches = self.search.filter.matches(&event, self.search.context);
                    if matches!(event.body, Body::Loss(_) | Body::Clock(_)) {
                        sums.marks.push((event, matches));
                        continue;
                    }
                    sums.matched += u64::from(matches);
                    if let Body::Process(process) = &event.body
                        && matches
                        && process.task.tid == process.task.pid
                        && let ProcessChange::Exec { .. } = &process.change
                    {
                        execs.push((num, process.task.pid, process.task.comm.clone()));
                    }
                }
            }
            num = num.saturating_add(run.count);
        }
        if self.is_whole {
            let unread = Stream::ALL
                .into_iter()
                .filter(|stream| !self.streams.has(*stream));
            let counts = unread.filter_map(|stream| part.info().counts.get(stream.name()));
            sums.matched = sums.matched.saturating_add(counts.sum());
        }
        sums.entries = match tally {
            Some(tally) => tally.entries(&execs, self.search.context),
            None if self.key == Key::Process => renamed(&execs, &BTreeMap::new()),
            None => Vec::new(),
        };
        Ok(sums)
    }

    /// Of a call of which the columns alone do not tell.
    fn matches(&self, calls: &SyscallColumns<'_>, row: usize, num: u64) -> bool {
        let Some(body) = calls.body(row) else { return false };
        let event = Event {
            num,
            time: stillframe_format::BootTime(calls.time(row)),
            late: calls.late.get(row) == 1,
            body,
        };
        self.search.filter.matches(&event, self.search.context)
    }
}

/// Sums while rows are gone over.
struct Tally<'c, 'a> {
    calls: &'c SyscallColumns<'a>,
    key: Key,
    /// By thread, call or errno.
    rows: Vec<Row>,
    numbers: Numbers,
}

impl<'c, 'a> Tally<'c, 'a> {
    fn new(calls: &'c SyscallColumns<'a>, key: Key) -> Self {
        let rows = match key {
            Key::Error => ERRNOS,
            Key::Syscall => 0,
            _ => calls.tasks.len(),
        };
        Self {
            calls,
            key,
            rows: vec![Row::default(); rows],
            numbers: Numbers::default(),
        }
    }

    fn call(&mut self, row: usize, num: u64) {
        let calls = self.calls;
        let number = self.numbers.of(calls.abi(row), calls.number.get(row));
        let ret = calls.ret(row);
        let index = match self.key {
            Key::Error => match ret.errno().and_then(|errno| usize::try_from(errno).ok()) {
                Some(errno) => errno,
                None => return,
            },
            Key::Syscall => {
                if self.rows.len() <= number {
                    self.rows.resize_with(number + 1, Row::default);
                }
                number
            }
            _ => usize::try_from(calls.task.get(row)).unwrap_or(usize::MAX),
        };
        let Some(sums) = self.rows.get_mut(index) else {
            return;
        };
        let moved = match ret {
            Return::Value(value) => u64::try_from(value).ok(),
            Return::Never => None,
        };
        let moved = moved.and_then(|bytes| Some((self.numbers.way(number)?, bytes)));
        sums.returned(num, ret.errno().is_some(), calls.duration(row), moved);
    }

    fn entries(self, execs: &[Exec], context: &Context) -> Vec<Entry> {
        let Self {
            calls,
            key,
            rows,
            numbers,
        } = self;
        let rows = rows.into_iter().enumerate().filter(|(_, row)| row.count > 0);
        let mut entries: Vec<Entry> = match key {
            Key::Syscall => rows
                .filter_map(|(index, row)| {
                    let (abi, number) = numbers.known.get(index).copied()?;
                    let name = call::name(abi, number);
                    let made = label(name.clone().into_owned());
                    Some(Entry::new(name.as_bytes(), made.with(&row)))
                })
                .collect(),
            Key::Error => rows
                .filter_map(|(errno, row)| {
                    let errno = i32::try_from(errno).ok()?;
                    Some(Entry::new(&errno.to_le_bytes(), error_row(errno).with(&row)))
                })
                .collect(),
            Key::Container => {
                let mut of: BTreeMap<&str, Row> = BTreeMap::new();
                for (index, row) in rows {
                    let Some(task) = calls.tasks.get(index) else {
                        continue;
                    };
                    of.entry(&task.container)
                        .or_insert_with(|| container_row(&task.container, context))
                        .add(&row);
                }
                let entries = of.into_iter();
                entries.map(|(id, row)| Entry::new(id.as_bytes(), row)).collect()
            }
            _ => {
                let mut of: BTreeMap<u32, Process> = BTreeMap::new();
                for (index, row) in rows {
                    let Some(task) = calls.tasks.get(index) else {
                        continue;
                    };
                    of.entry(task.pid)
                        .or_default()
                        .add(index, task.tid == task.pid, &row);
                }
                let mut entries = renamed(execs, &of);
                entries.extend(of.into_iter().filter_map(|(pid, process)| {
                    let task = calls.tasks.get(process.first)?;
                    let made = super::process_row_of(task);
                    let named = process.named.and_then(|index| calls.tasks.get(index));
                    let leader = named.map(|task| (process.named_at, &task.comm));
                    let exec = execs
                        .iter()
                        .rev()
                        .find(|(num, of, _)| *of == pid && *num > process.row.first);
                    let exec = exec.map(|(num, _, comm)| (*num, comm));
                    let before = execs
                        .iter()
                        .rev()
                        .find(|(num, of, _)| *of == pid && *num < process.row.first);
                    let after = leader.into_iter().chain(exec).max_by_key(|(num, _)| *num);
                    Some(Entry {
                        key: pid.to_le_bytes().to_vec(),
                        row: Some(made.with(&process.row)),
                        before: before.map(|(_, _, comm)| comm.clone()),
                        after: after.map(|(_, comm)| comm.clone()),
                    })
                }));
                entries
            }
        };
        // As their first events came: who finds no room depends on it.
        entries.sort_by_key(|entry| entry.row.as_ref().map_or(0, |row| row.first));
        entries
    }
}

/// A leader that became another program: event, process, name.
type Exec = (u64, u32, Vec<u8>);

/// Processes that only changed their names.
fn renamed(execs: &[Exec], called: &BTreeMap<u32, Process>) -> Vec<Entry> {
    let mut last: BTreeMap<u32, &Vec<u8>> = BTreeMap::new();
    for (_, pid, comm) in execs {
        if !called.contains_key(pid) {
            last.insert(*pid, comm);
        }
    }
    let entries = last.into_iter().map(|(pid, comm)| Entry {
        key: pid.to_le_bytes().to_vec(),
        row: None,
        before: Some(comm.clone()),
        after: None,
    });
    entries.collect()
}

/// Sums of a process's threads.
#[derive(Default)]
struct Process {
    row: Row,
    /// The thread whose call came first, as an index among the tasks.
    first: usize,
    /// The leader as it was called last, and the event.
    named: Option<usize>,
    named_at: u64,
}

impl Process {
    fn add(&mut self, task: usize, is_leader: bool, row: &Row) {
        if self.row.count == 0 || row.first < self.row.first {
            self.first = task;
        }
        if is_leader && row.last > self.named_at {
            (self.named, self.named_at) = (Some(task), row.last);
        }
        self.row.add(row);
    }
}

/// Calls by number, each with which way it moves bytes.
#[derive(Default)]
struct Numbers {
    dense: Vec<Option<usize>>,
    rest: HashMap<(Abi, u64), usize>,
    known: Vec<(Abi, u32)>,
    ways: Vec<Option<Way>>,
}

impl Numbers {
    #[inline]
    fn of(&mut self, abi: Abi, number: u64) -> usize {
        let dense = usize::try_from(number).ok().filter(|number| *number < DENSE);
        let dense = dense.map(|number| usize::from(u8::from(abi)) * DENSE + number);
        if let Some(dense) = dense
            && let Some(Some(found)) = self.dense.get(dense)
        {
            return *found;
        }
        self.add(abi, number, dense)
    }

    fn add(&mut self, abi: Abi, number: u64, dense: Option<usize>) -> usize {
        if let Some(found) = self.rest.get(&(abi, number)) {
            return *found;
        }
        let at = self.known.len();
        let short = u32::try_from(number).unwrap_or(u32::MAX);
        self.known.push((abi, short));
        self.ways.push(way(&call::name(abi, short)));
        match dense {
            Some(dense) => {
                if self.dense.len() <= dense {
                    self.dense.resize(dense + 1, None);
                }
                if let Some(place) = self.dense.get_mut(dense) {
                    *place = Some(at);
                }
            }
            None => {
                self.rest.insert((abi, number), at);
            }
        }
        at
    }

    #[inline]
    fn way(&self, at: usize) -> Option<Way> {
        self.ways.get(at).copied().flatten()
    }
}

impl Entry {
    fn new(key: &[u8], row: Row) -> Self {
        Self {
            key: key.to_vec(),
            row: Some(row),
            before: None,
            after: None,
        }
    }
}

impl Row {
    /// The same key with the sums of another row.
    fn with(mut self, sums: &Self) -> Self {
        self.add(sums);
        self
    }

    /// Adds the sums of a row whose calls came later, or among its own.
    fn add(&mut self, other: &Self) {
        self.time = self.time.saturating_add(other.time);
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.read = self.read.saturating_add(other.read);
        self.written = self.written.saturating_add(other.written);
        if let Some((spent, num)) = other.slowest {
            let is_longer = self
                .slowest
                .is_none_or(|(longest, at)| spent > longest || spent == longest && num < at);
            if is_longer {
                self.slowest = Some((spent, num));
            }
        }
        self.first = match (self.first, other.first) {
            (0, first) | (first, 0) => first,
            (one, other) => one.min(other),
        };
        self.last = self.last.max(other.last);
    }
}

impl Ranking {
    /// Adds what a slice gives for a key.
    fn add(&mut self, entry: Entry) {
        let pid = entry.row.as_ref().and_then(|row| row.pid);
        let pid = pid.or_else(|| Some(u32::from_le_bytes(entry.key.as_slice().try_into().ok()?)));
        let is_process = self.key == Key::Process;
        if is_process && let (Some(comm), Some(pid)) = (&entry.before, pid) {
            self.call_it(pid, comm);
        }
        let Some(row) = entry.row else { return };
        let (sums, others) = (row.clone(), self.others_events);
        let made = Row {
            label: row.label,
            kind: row.kind,
            comm: row.comm,
            pid: row.pid,
            container: row.container,
            ..Row::default()
        };
        self.row_of(&entry.key, || made).add(&sums);
        if self.others_events > others {
            // It was counted as one.
            self.others_events = self.others_events.saturating_add(sums.count.saturating_sub(1));
        }
        if is_process && let (Some(comm), Some(pid)) = (&entry.after, pid) {
            self.call_it(pid, comm);
        }
    }
}
