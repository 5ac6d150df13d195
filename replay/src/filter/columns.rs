//! Filters on columns: which calls of a slice may be meant, found without putting a call together.
//!
//! A test is evaluated once for each thread, descriptor or number of call that occurs, where it depends on nothing
//! else, by the very getter and matcher that events are tested with: a made-up call carries what the field looks at.
//! What depends on a row's own numbers is tested row by row in the same way. Of a test of captured memory nothing is
//! known before the call is put together. So a filter gives two sets: calls that are meant for certain, and calls that
//! may be.

use super::{Expression, Filter, Test};
use crate::view::{Context, View};
use std::collections::HashMap;
use std::sync::Arc;
use stillframe_format::BootTime;
use stillframe_format::column::view::Integers;
use stillframe_format::event::{Abi, Body, Event, Return, Stream, Syscall};
use stillframe_format::stream::SyscallColumns;

/// A set of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    words: Vec<u64>,
    len: usize,
}

impl Rows {
    fn new(len: usize, all: bool) -> Self {
        let mut rows = Self {
            words: vec![if all { u64::MAX } else { 0 }; len.div_ceil(64)],
            len,
        };
        rows.trim();
        rows
    }

    /// The rows that `test` picks.
    pub fn pick(len: usize, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut words = vec![0u64; len.div_ceil(64)];
        for (at, word) in words.iter_mut().enumerate() {
            let start = at * 64;
            for bit in 0..64.min(len - start) {
                *word |= u64::from(test(start + bit)) << bit;
            }
        }
        Self { words, len }
    }

    /// The rows whose value in a column `test` picks.
    fn of_column(column: &Integers<'_>, mut test: impl FnMut(u64) -> bool) -> Self {
        let len = column.len();
        let mut words = Vec::with_capacity(len.div_ceil(64));
        let (mut word, mut bit) = (0u64, 0u32);
        column.each(|value| {
            word |= u64::from(test(value)) << bit;
            bit += 1;
            if bit == 64 {
                words.push(word);
                (word, bit) = (0, 0);
            }
        });
        if bit > 0 {
            words.push(word);
        }
        Self { words, len }
    }

    /// Those of `within` that `test` picks.
    fn pick_of(within: &Self, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut picked = Self::new(within.len, false);
        let mut at = 0;
        while let Some(row) = within.next(at) {
            at = row + 1;
            if test(row)
                && let Some(word) = picked.words.get_mut(row / 64)
            {
                *word |= 1 << (row % 64);
            }
        }
        picked
    }

    /// Leaves out the rows of another set.
    pub fn leave_out(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    fn trim(&mut self) {
        let rest = self.len % 64;
        if rest > 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << rest) - 1;
        }
    }

    /// Whether a row is among them.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        self.words
            .get(row / 64)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Rows of both sets.
    pub fn keep(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    fn add(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    fn flip(mut self) -> Self {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
        self
    }

    /// The first row that is not before `row`.
    #[must_use]
    pub fn next(&self, row: usize) -> Option<usize> {
        let mut at = row / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (row % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }
}

/// What is known about the rows of a slice.
#[derive(Clone, Debug)]
pub struct Meant {
    /// They are meant.
    pub certain: Rows,
    /// They may be; those that are meant for certain are among them.
    pub possible: Rows,
}

impl Meant {
    fn known(rows: Rows) -> Self {
        Self {
            certain: rows.clone(),
            possible: rows,
        }
    }
}

/// What a field of a call depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depends {
    /// Nothing: it is the same for all calls.
    Nothing,
    /// The number and its table.
    Call,
    Thread,
    Descriptor,
    /// The row's own numbers.
    Row,
    /// Memory, or what is not listed here.
    Memory,
}

fn depends(name: &str) -> Depends {
    match name {
        "evt.stream" => Depends::Nothing,
        "evt.type" | "syscall.type" | "evt.nr" | "evt.abi" => Depends::Call,
        "container.id" | "container.name" | "proc.pid" | "thread.tid" | "proc.name" => Depends::Thread,
        "fd.name" | "fd.type" => Depends::Descriptor,
        "evt.num" | "evt.time" | "evt.boottime" | "evt.reltime" | "evt.late" | "evt.rawarg" | "evt.res"
        | "evt.rawres" | "evt.failed" | "evt.latency" | "evt.cpu" | "fd.num" => Depends::Row,
        _ if owners(name).is_some_and(|owners| !owners.contains(&Stream::Syscall)) => Depends::Nothing,
        _ => Depends::Memory,
    }
}

/// The streams that alone have a field, where not all may.
fn owners(name: &str) -> Option<&'static [Stream]> {
    match name {
        "evt.args" | "evt.arg" | "evt.rawarg" | "evt.res" | "evt.rawres" | "evt.latency" | "evt.abi"
        | "evt.nr" | "fs.path.name" | "evt.buffer" | "evt.buflen" | "syscall.type" => {
            return Some(&[Stream::Syscall]);
        }
        "fd.num" | "fd.name" | "fd.type" => return Some(&[Stream::Syscall, Stream::Uring]),
        "child.pid" | "child.tid" | "proc.exepath" | "proc.cmdline" => return Some(&[Stream::Process]),
        _ => {}
    }
    let (group, _) = name.split_once('.')?;
    match group {
        "loss" => Some(&[Stream::Loss]),
        "clock" => Some(&[Stream::Clock]),
        "metrics" => Some(&[Stream::Metrics]),
        "blk" => Some(&[Stream::Block]),
        "pkt" | "eth" | "ip" | "tcp" | "udp" | "icmp" | "dns" => Some(&[Stream::Packet]),
        "log" => Some(&[Stream::Log]),
        "journal" => Some(&[Stream::Journal]),
        "kernel" => Some(&[Stream::Kernel]),
        "engine" => Some(&[Stream::Engine]),
        "signal" | "oom" => Some(&[Stream::Process]),
        "uring" => Some(&[Stream::Uring]),
        _ if name.starts_with("proc.exit.") => Some(&[Stream::Process]),
        _ => None,
    }
}

/// What `evt.type` can be of what is no call.
fn types(stream: Stream) -> &'static [&'static str] {
    match stream {
        Stream::Clock => &["clockstep"],
        Stream::Process => &[
            "procfork",
            "procexec",
            "procexit",
            "signalsend",
            "signaldeliver",
            "oomkill",
        ],
        Stream::Block => &["blkqueue", "blkissue", "blkcomplete"],
        Stream::Uring => &["uringsubmit", "uringcomplete", "uringoverflow"],
        Stream::Syscall => &[],
        other => {
            // The others are called as their streams are.
            match other {
                Stream::Loss => &["loss"],
                Stream::Packet => &["packet"],
                Stream::Journal => &["journal"],
                Stream::Kernel => &["kernel"],
                Stream::Engine => &["engine"],
                Stream::Log => &["log"],
                _ => &["metrics"],
            }
        }
    }
}

impl Filter {
    /// Whether an event of a stream can be meant, whatever is in it.
    #[must_use]
    pub fn may_match(&self, stream: Stream) -> bool {
        self.0
            .as_ref()
            .is_none_or(|expression| bounds(expression, stream).1)
    }

    /// Which calls of a slice are meant. `first` gives the number of the event of a row; it is asked only when the
    /// filter is about numbers.
    pub fn calls(
        &self,
        calls: &SyscallColumns<'_>,
        number: &dyn Fn(usize) -> u64,
        context: &Context,
    ) -> Meant {
        let Some(expression) = &self.0 else {
            return Meant::known(Rows::new(calls.rows(), true));
        };
        Scan {
            calls,
            number,
            context,
        }
        .expression(expression, &Rows::new(calls.rows(), true))
    }
}

/// Whether all events of a stream are meant, and whether some may be.
fn bounds(expression: &Expression, stream: Stream) -> (bool, bool) {
    let parts = |parts: &[Expression]| parts.iter().map(|part| bounds(part, stream)).collect::<Vec<_>>();
    match expression {
        Expression::And(list) => {
            let list = parts(list);
            (list.iter().all(|bound| bound.0), list.iter().all(|bound| bound.1))
        }
        Expression::Or(list) => {
            let list = parts(list);
            (list.iter().any(|bound| bound.0), list.iter().any(|bound| bound.1))
        }
        Expression::Not(part) => {
            let (all, some) = bounds(part, stream);
            (!some, !all)
        }
        Expression::Test(test) => {
            let name = test.field.field.name;
            let passes = |text: &str| test.matcher.matches(Some(&crate::value::Value::text(text)));
            if name == "evt.stream" {
                let passes = passes(stream.name());
                return (passes, passes);
            }
            if name == "evt.type" && stream != Stream::Syscall {
                let types = types(stream);
                return (
                    types.iter().all(|name| passes(name)),
                    types.iter().any(|name| passes(name)),
                );
            }
            match owners(name) {
                Some(owners) if !owners.contains(&stream) => (false, false),
                _ => (false, true),
            }
        }
    }
}

struct Scan<'s, 'c> {
    calls: &'s SyscallColumns<'c>,
    number: &'s dyn Fn(usize) -> u64,
    context: &'s Context,
}

impl Scan<'_, '_> {
    /// What is known of the rows `within`; of others anything may be said.
    fn expression(&self, expression: &Expression, within: &Rows) -> Meant {
        match expression {
            Expression::And(parts) => {
                let mut meant = Meant::known(within.clone());
                for part in parts {
                    // Rows that are out already are not looked at any more.
                    let part = self.expression(part, &meant.possible);
                    meant.certain.keep(&part.certain);
                    meant.possible.keep(&part.possible);
                }
                meant
            }
            Expression::Or(parts) => {
                let mut meant = Meant::known(Rows::new(self.calls.rows(), false));
                let mut undecided = within.clone();
                for part in parts {
                    let part = self.expression(part, &undecided);
                    meant.certain.add(&part.certain);
                    meant.possible.add(&part.possible);
                    undecided.leave_out(&part.certain);
                }
                meant
            }
            Expression::Not(part) => {
                let part = self.expression(part, within);
                let (mut certain, mut possible) = (part.possible.flip(), part.certain.flip());
                certain.keep(within);
                possible.keep(within);
                Meant { certain, possible }
            }
            Expression::Test(test) => {
                let mut meant = self.test(test, within);
                meant.certain.keep(within);
                meant.possible.keep(within);
                meant
            }
        }
    }

    fn test(&self, test: &Test, within: &Rows) -> Meant {
        let (calls, rows) = (self.calls, self.calls.rows());
        let passes = |event: &Event| {
            let view = View::new(event, self.context);
            test.matcher.matches(test.field.get(&view).as_ref())
        };
        match depends(test.field.field.name) {
            Depends::Nothing => Meant::known(Rows::new(rows, rows > 0 && passes(&made_up(|_| {})))),
            Depends::Call => {
                let ask = |abi: Abi, number: u64| {
                    passes(&made_up(|call| {
                        call.abi = abi;
                        call.number = u32::try_from(number).unwrap_or(u32::MAX);
                    }))
                };
                if let Some(abi) = calls.abi.constant() {
                    let abi = u8::try_from(abi)
                        .ok()
                        .and_then(Abi::from_number)
                        .unwrap_or(Abi::X86_64);
                    let small: Vec<bool> = (0..calls.number.max().saturating_add(1).min(512))
                        .map(|number| ask(abi, number))
                        .collect();
                    return Meant::known(Rows::of_column(&calls.number, |number| {
                        let known = usize::try_from(number).ok().and_then(|number| small.get(number));
                        known.copied().unwrap_or_else(|| ask(abi, number))
                    }));
                }
                let mut known: HashMap<(Abi, u64), bool> = HashMap::new();
                Meant::known(Rows::pick_of(within, |row| {
                    let (abi, number) = (calls.abi(row), calls.number.get(row));
                    *known.entry((abi, number)).or_insert_with(|| ask(abi, number))
                }))
            }
            Depends::Thread => {
                let known: Vec<bool> = calls
                    .tasks
                    .iter()
                    .map(|task| passes(&made_up(|call| call.task = Arc::clone(task))))
                    .collect();
                Meant::known(Rows::of_column(&calls.task, |at| told(&known, at)))
            }
            Depends::Descriptor => {
                let mut known = vec![passes(&made_up(|_| {}))];
                known.extend(
                    calls
                        .names
                        .iter()
                        .map(|name| passes(&made_up(|call| call.descriptor = Some(Arc::clone(name))))),
                );
                Meant::known(Rows::of_column(&calls.descriptor, |at| told(&known, at)))
            }
            Depends::Row => {
                let mut event = made_up(|_| {});
                let name = test.field.field.name;
                let asks_number = name == "evt.num";
                // Columns that have to be decoded first are left alone where nobody asks for them.
                let asks_time = matches!(name, "evt.time" | "evt.boottime" | "evt.reltime");
                let asks_duration = name == "evt.latency";
                Meant::known(Rows::pick_of(within, |row| {
                    let facts = calls.facts_but_duration(row);
                    if asks_time {
                        event.time = BootTime(calls.time(row));
                    }
                    event.late = calls.late.get(row) == 1;
                    if asks_number {
                        event.num = (self.number)(row);
                    }
                    if let Body::Syscall(call) = &mut event.body {
                        call.abi = facts.abi;
                        call.number = facts.number;
                        call.args = facts.args;
                        call.ret = facts.ret;
                        call.cpu = facts.cpu;
                        if asks_duration {
                            call.duration = calls.duration(row);
                        }
                    }
                    passes(&event)
                }))
            }
            Depends::Memory => Meant {
                certain: Rows::new(rows, false),
                possible: Rows::new(rows, true),
            },
        }
    }
}

/// What was found out about a row of a dictionary.
fn told(known: &[bool], at: u64) -> bool {
    usize::try_from(at)
        .ok()
        .and_then(|at| known.get(at))
        .copied()
        .unwrap_or(false)
}

/// A call that nobody made.
fn made_up(change: impl FnOnce(&mut Syscall)) -> Event {
    let mut call = Syscall {
        task: Arc::default(),
        abi: Abi::X86_64,
        number: 0,
        args: [0; 6],
        ret: Return::Value(0),
        duration: None,
        cpu: 0,
        descriptor: None,
        data: Vec::new(),
    };
    change(&mut call);
    Event {
        num: 0,
        time: BootTime(0),
        late: false,
        body: Body::Syscall(Box::new(call)),
    }
}
