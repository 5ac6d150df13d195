//! When things happened: events over time, a row for each stream, process, call or error; and how much: the longest call
//! of each column, and the readings of each counter.

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::ranking::container_name;
use super::slowest::{request_waits, waits};
use super::summary::unit;
use super::{Coverage, Scope, since_start};
use crate::field::block_operation;
use crate::moment::Place;
use crate::timeline::{Range, Timeline};
use crate::view::{Context, View};
use crate::{call, escape, render, uring};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::{BlockAction, Body, Stream};

/// The widest plot, in columns.
pub const WIDTH_MAX: usize = 1000;
/// The most rows that are counted apart; each has a counter for each column.
const ROWS_MAX: usize = 2048;

/// What rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Streams.
    Stream,
    /// Processes.
    Process,
    /// Calls by name.
    Syscall,
    /// Failed calls by errno.
    Errors,
    /// The longest of calls by name, and of block requests by device.
    Latency,
    /// Readings of counters.
    Metrics,
}

impl Rows {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Process => "process",
            Self::Syscall => "syscall",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Metrics => "metrics",
        }
    }

    /// What stands over the numbers of a row.
    fn heads(self) -> [&'static str; 2] {
        match self {
            Self::Latency => ["count", "longest"],
            Self::Metrics => ["last/sum", "most"],
            _ => ["total", "peak"],
        }
    }

    /// Events of which streams make rows, when it matters: a plot of few events must not read the many.
    pub(super) fn streams(self) -> Option<&'static str> {
        (self == Self::Metrics).then_some("evt.stream in (metrics, loss, clock)")
    }

    /// Whether a hole of a stream is one of its rows.
    fn may_miss(self, stream: Stream) -> bool {
        match self {
            Self::Stream => true,
            Self::Metrics => stream == Stream::Metrics,
            Self::Latency => matches!(stream, Stream::Syscall | Stream::Block | Stream::Uring),
            _ => matches!(stream, Stream::Syscall | Stream::Process),
        }
    }
}

/// Whether a counter is a level, such as memory in use. All others are totals, of which the increase is drawn.
pub(crate) fn is_level(name: &str) -> bool {
    name.starts_with("pids.") || name.starts_with("memory.") && name.ends_with("_bytes")
}

/// How an event's value comes into its column.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// One more.
    Count,
    /// The column's largest is drawn, the number of all is told.
    Longest(u64),
    /// The column's largest is drawn, the last is told.
    Level(u64),
    /// The increase since the reading before is drawn, the sum is told.
    Total(u64),
}

/// What a plot is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Eighths of blocks.
    Blocks,
    /// ASCII only.
    Ascii,
}

impl Glyphs {
    fn levels(self) -> &'static [char] {
        match self {
            Self::Blocks => &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => &['.', ':', '-', '=', '+', '*', '#', '@'],
        }
    }
}

#[derive(Clone, Debug)]
struct Series {
    label: String,
    /// Streams keep the order of their ranks.
    rank: u32,
    /// `None`: nothing happened, or nothing was read.
    counts: Vec<Option<u64>>,
    total: u64,
    /// The reading before, of a total.
    before: Option<u64>,
}

impl Series {
    fn take(&mut self, column: usize, mark: Mark) {
        let Some(at) = self.counts.get_mut(column) else {
            return;
        };
        match mark {
            Mark::Count => {
                *at = Some(at.unwrap_or(0).saturating_add(1));
                self.total = self.total.saturating_add(1);
            }
            Mark::Longest(value) => {
                *at = Some(at.unwrap_or(0).max(value));
                self.total = self.total.saturating_add(1);
            }
            Mark::Level(value) => {
                *at = Some(at.unwrap_or(0).max(value));
                self.total = value;
            }
            Mark::Total(value) => {
                // A total that falls was begun anew.
                if let Some(grew) = self.before.and_then(|before| value.checked_sub(before)) {
                    *at = Some(at.unwrap_or(0).saturating_add(grew));
                    self.total = self.total.saturating_add(grew);
                }
                self.before = Some(value);
            }
        }
    }

    fn peak(&self) -> u64 {
        self.counts.iter().flatten().max().copied().unwrap_or(0)
    }

    /// Whether all its columns say the same.
    fn is_flat(&self) -> bool {
        let mut values = self.counts.iter().flatten();
        let first = values.next();
        values.all(|value| Some(value) == first)
    }
}

/// Counts over time.
#[derive(Debug)]
pub struct Density {
    rows: Rows,
    /// Only rows whose name holds this.
    only: String,
    from: BootTime,
    to: BootTime,
    series: HashMap<Vec<u8>, Series>,
    /// The first event of each column; 0 for none.
    first: Vec<u64>,
    /// Holes of each stream.
    lost: BTreeMap<Stream, Vec<bool>>,
    steps: Vec<bool>,
    damaged: Vec<bool>,
    together: u64,
}

impl Density {
    /// Nothing yet, over the time of a range.
    #[must_use]
    pub fn new<R: Read + Seek>(
        rows: Rows,
        width: usize,
        timeline: &mut Timeline<R>,
        range: &Range,
        context: &Context,
    ) -> Self {
        let from = place_time(timeline, range.from).unwrap_or(context.start);
        let to = place_time(timeline, range.to).unwrap_or(context.end).max(from);
        let width = width.clamp(1, WIDTH_MAX);
        Self {
            rows,
            only: String::new(),
            from,
            to,
            series: HashMap::new(),
            first: vec![0; width],
            lost: BTreeMap::new(),
            steps: vec![false; width],
            damaged: vec![false; width],
            together: 0,
        }
    }

    /// Only rows whose name holds `only`.
    #[must_use]
    pub fn only(mut self, only: &str) -> Self {
        only.clone_into(&mut self.only);
        self
    }

    /// What rows are made of.
    pub(super) fn rows(&self) -> Rows {
        self.rows
    }

    /// Events that had no row because there were too many.
    #[must_use]
    pub fn together(&self) -> u64 {
        self.together
    }

    fn width(&self) -> usize {
        self.first.len()
    }

    /// The column of a moment; what lies outside is in the first or last one.
    fn column(&self, time: BootTime) -> usize {
        let span = u128::from(self.to.since(self.from)).saturating_add(1);
        let at = u128::from(time.since(self.from));
        let column = at.saturating_mul(self.width() as u128) / span;
        usize::try_from(column)
            .unwrap_or(usize::MAX)
            .min(self.width().saturating_sub(1))
    }

    /// The moment at which a column begins.
    fn begins(&self, column: usize) -> BootTime {
        let span = u128::from(self.to.since(self.from)).saturating_add(1);
        let at = (span.saturating_mul(column as u128)).div_ceil(self.width().max(1) as u128);
        BootTime(self.from.0.saturating_add(u64::try_from(at).unwrap_or(u64::MAX)))
    }

    fn mark(marks: &mut [bool], from: usize, to: usize) {
        for mark in marks.iter_mut().take(to.saturating_add(1)).skip(from) {
            *mark = true;
        }
    }

    /// Takes an event that the filter matches.
    pub fn take(&mut self, view: &View<'_>) {
        let event = view.event;
        let column = self.column(event.time);
        if let Some(first) = self.first.get_mut(column)
            && *first == 0
        {
            *first = event.num;
        }
        match (&event.body, self.rows) {
            (body, Rows::Stream) => {
                let stream = body.stream();
                let name = stream.name();
                self.add(column, name.as_bytes(), name, stream as u32, Mark::Count);
            }
            (Body::Syscall(call), Rows::Syscall) => {
                let name = call::name(call.abi, call.number);
                self.add(column, name.as_bytes(), &name, 0, Mark::Count);
            }
            (Body::Syscall(call), Rows::Errors) => {
                if let Some(errno) = call.ret.errno() {
                    let name = call::errno_name(errno);
                    self.add(column, name.as_bytes(), &name, 0, Mark::Count);
                }
            }
            (Body::Syscall(_) | Body::Process(_), Rows::Process) => {
                if let Some(task) = event.body.task() {
                    let label = format!("{}[{}]", escape::bytes(&task.comm), task.pid);
                    self.add(column, &task.pid.to_le_bytes(), &label, 0, Mark::Count);
                }
            }
            (Body::Syscall(call), Rows::Latency) => {
                if let Some(spent) = call.duration.filter(|_| !waits(call)) {
                    let name = call::name(call.abi, call.number);
                    self.add(column, name.as_bytes(), &name, 0, Mark::Longest(spent));
                }
            }
            (Body::Block(block), Rows::Latency) if block.action == BlockAction::Complete => {
                if let Some(spent) = block.latency {
                    let device = match view.context.devices.get(&block.device) {
                        Some(name) => name.clone(),
                        None => block.device.to_string(),
                    };
                    let operation = block_operation(block).unwrap_or("request");
                    let name = escape::line(&format!("{device} {operation}")).into_owned();
                    self.add(column, name.as_bytes(), &name, 0, Mark::Longest(spent));
                }
            }
            (Body::Uring(request), Rows::Latency) => {
                if let (Some(spent), Some(opcode)) = (request.step.latency(), request.opcode)
                    && !request_waits(request)
                {
                    let name = format!("io_uring {}", uring::operation(opcode));
                    self.add(column, name.as_bytes(), &name, 0, Mark::Longest(spent));
                }
            }
            (Body::Metrics(metrics), Rows::Metrics) => {
                let container = container_name(&metrics.container, view.context);
                for (name, value) in &metrics.values {
                    let mark = if is_level(name) {
                        Mark::Level(*value)
                    } else {
                        Mark::Total(*value)
                    };
                    let key = format!("{} {name}", metrics.container);
                    let label = escape::line(&format!("{container} {name}")).into_owned();
                    self.add(column, key.as_bytes(), &label, 0, mark);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, column: usize, key: &[u8], label: &str, rank: u32, mark: Mark) {
        if !label.contains(&self.only) {
            return;
        }
        if !self.series.contains_key(key) {
            if self.series.len() >= ROWS_MAX {
                self.together = self.together.saturating_add(1);
                return;
            }
            let series = Series {
                label: String::new(),
                rank,
                counts: vec![None; self.width()],
                total: 0,
                before: None,
            };
            self.series.insert(key.to_vec(), series);
        }
        if let Some(series) = self.series.get_mut(key) {
            if series.label != label {
                label.clone_into(&mut series.label);
            }
            series.take(column, mark);
        }
    }

    /// Marks holes and clock steps, whatever the filter says.
    pub fn take_mark(&mut self, body: &Body, time: BootTime) {
        match body {
            Body::Loss(loss) => {
                let (from, to) = (self.column(loss.from), self.column(loss.to));
                let width = self.width();
                let marks = self.lost.entry(loss.stream).or_insert_with(|| vec![false; width]);
                Self::mark(marks, from, to);
            }
            Body::Clock(_) => {
                let at = self.column(time);
                Self::mark(&mut self.steps, at, at);
            }
            _ => {}
        }
    }

    /// Marks slices that cannot be read.
    pub fn take_damage(&mut self, coverage: &Coverage) {
        for damage in &coverage.damages {
            let (from, to) = (self.column(damage.from), self.column(damage.to));
            Self::mark(&mut self.damaged, from, to);
        }
    }

    fn sorted(&self) -> Vec<&Series> {
        let mut all: Vec<&Series> = self.series.values().collect();
        let size = |series: &Series| match self.rows {
            Rows::Latency => series.peak(),
            // What moved comes first; numbers of different units are not compared.
            Rows::Metrics => u64::from(!series.is_flat()),
            _ => series.total,
        };
        all.sort_by_cached_key(|series| (series.rank, Reverse(size(series)), series.label.clone()));
        all
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The plot, at most `number` rows of it, lines ended.
    #[must_use]
    pub fn text(&self, number: usize, glyphs: Glyphs, context: &Context) -> String {
        let [total, peak] = self.rows.heads();
        let mut columns = Columns::new(&[
            (self.rows.name(), Side::Left),
            (total, Side::Right),
            (peak, Side::Right),
            ("", Side::Left),
        ]);
        let all = self.sorted();
        for series in all.iter().take(number) {
            columns.push(vec![
                series.label.clone(),
                match self.rows {
                    Rows::Metrics => unit(&series.label, series.total),
                    _ => series.total.to_string(),
                },
                match self.rows {
                    Rows::Metrics => unit(&series.label, series.peak()),
                    Rows::Latency => super::short(series.peak()),
                    _ => series.peak().to_string(),
                },
                self.bar(series, glyphs),
            ]);
        }
        let lost = self.holes(|_| true);
        for (name, marks, glyph) in [
            ("holes", &lost, 'x'),
            ("clock steps", &self.steps, 'c'),
            ("unreadable", &self.damaged, '?'),
        ] {
            let count = marks.iter().filter(|mark| **mark).count();
            if count > 0 {
                let text: String = marks.iter().map(|mark| if *mark { glyph } else { ' ' }).collect();
                columns.push(vec![
                    name.to_owned(),
                    String::new(),
                    String::new(),
                    format!("|{text}|"),
                ]);
            }
        }
        let (ticks, events, times) = self.axis(context);
        for (name, text) in [("", ticks), ("event", events), ("time", times)] {
            columns.push(vec![name.to_owned(), String::new(), String::new(), text]);
        }
        let mut out = columns.text();
        if let Some(more) = all.len().checked_sub(number).filter(|more| *more > 0) {
            out.push_str(&format!("({more} more rows; -n {} shows all)\n", all.len()));
        }
        out.push_str(&format!(
            "{} to {}; a column is {}, height is relative to the row's peak",
            render::mapped_time(self.from, context),
            render::mapped_time(self.to, context),
            super::short(self.to.since(self.from) / (self.width().max(1) as u64)),
        ));
        match self.rows {
            Rows::Latency => out.push_str(" (the longest call or block request), waits by design left out"),
            Rows::Metrics => out.push_str(
                ": the highest level, or the increase of a total since the reading before; empty where nothing was read",
            ),
            _ => {}
        }
        if !self.lost.is_empty() || self.damaged.iter().any(|mark| *mark) {
            out.push_str(", ? is empty where the row's events were lost");
        }
        out.push('\n');
        out
    }

    fn bar(&self, series: &Series, glyphs: Glyphs) -> String {
        let peak = series.peak().max(1);
        let levels = glyphs.levels();
        let lost = self.holes(|stream| match self.rows {
            Rows::Stream => stream as u32 == series.rank,
            rows => rows.may_miss(stream),
        });
        let marks = lost
            .iter()
            .zip(&self.damaged)
            .map(|(lost, damaged)| *lost || *damaged);
        let text: String = series
            .counts
            .iter()
            .zip(marks)
            .map(|(count, hole)| match (*count, hole) {
                // A hole is not silence.
                (None, true) => '?',
                (None, false) => ' ',
                (Some(count), _) => {
                    let level = u128::from(count)
                        .saturating_mul(levels.len() as u128)
                        .div_ceil(u128::from(peak));
                    let level = usize::try_from(level).unwrap_or(levels.len()).saturating_sub(1);
                    levels.get(level).or(levels.last()).copied().unwrap_or('#')
                }
            })
            .collect();
        format!("|{text}|")
    }

    /// Columns in which one of the streams has a hole.
    fn holes(&self, which: impl Fn(Stream) -> bool) -> Vec<bool> {
        let mut all = vec![false; self.width()];
        for (_, marks) in self.lost.iter().filter(|(stream, _)| which(**stream)) {
            for (mark, lost) in all.iter_mut().zip(marks) {
                *mark |= *lost;
            }
        }
        all
    }

    /// Ticks, and under them the numbers and times at which their columns begin.
    fn axis(&self, context: &Context) -> (String, String, String) {
        const EVERY: usize = 20;
        let mut lines = (String::from("+"), String::from(" "), String::from(" "));
        for column in (0..self.width()).step_by(EVERY) {
            let rest = EVERY.min(self.width() - column);
            lines.0.push_str(&format!("+{}", "-".repeat(rest - 1)));
            // The first event at or behind the tick.
            let num = self.first.iter().skip(column).find(|num| **num != 0);
            let num = num.map_or_else(String::new, |num| format!("#{num}"));
            lines.1.push_str(&format!("{num:<EVERY$}"));
            lines
                .2
                .push_str(&format!("{:<EVERY$}", since_start(self.begins(column), context)));
        }
        lines.0.push('+');
        lines
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(&self, number: usize, scope: &Scope, coverage: &Coverage, context: &Context) -> Value {
        let all = self.sorted();
        let rows: Vec<Value> = all
            .iter()
            .take(number)
            .map(|series| match self.rows {
                Rows::Latency => serde_json::json!({
                    "key": series.label,
                    "count": series.total,
                    "longest_ns": series.counts,
                }),
                Rows::Metrics => serde_json::json!({
                    "key": series.label,
                    "last_or_sum": series.total,
                    "values": series.counts,
                }),
                _ => {
                    let counts: Vec<u64> = series.counts.iter().map(|count| count.unwrap_or(0)).collect();
                    serde_json::json!({"key": series.label, "total": series.total, "counts": counts})
                }
            })
            .collect();
        let lost = self.holes(|_| true);
        let columns: Vec<Value> = (0..self.width())
            .map(|column| {
                let mut row = Map::new();
                context.put_time(&mut row, "begins", self.begins(column));
                if let Some(num) = self.first.get(column).filter(|num| **num != 0) {
                    row.insert("first_event".to_owned(), (*num).into());
                }
                for (name, marks) in [
                    ("lost", &lost),
                    ("clock_step", &self.steps),
                    ("unreadable", &self.damaged),
                ] {
                    if marks.get(column) == Some(&true) {
                        row.insert(name.to_owned(), true.into());
                    }
                }
                Value::Object(row)
            })
            .collect();
        answer(
            "timeline",
            scope,
            vec![
                ("by", self.rows.name().into()),
                ("keys", all.len().into()),
                ("columns", columns.into()),
                ("rows", rows.into()),
            ],
            coverage,
            context,
        )
    }
}

/// The moment of a place.
pub(crate) fn place_time<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    place: Option<Place>,
) -> Option<BootTime> {
    match place? {
        Place::Time(time) => Some(time),
        Place::Event(num) => timeline.event(num).map(|event| match event {
            Ok(event) => event.time,
            Err(damage) => damage.from,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    fn density(width: usize, from: u64, to: u64) -> Density {
        Density {
            rows: Rows::Stream,
            only: String::new(),
            from: BootTime(from),
            to: BootTime(to),
            series: HashMap::new(),
            first: vec![0; width],
            lost: BTreeMap::new(),
            steps: vec![false; width],
            damaged: vec![false; width],
            together: 0,
        }
    }

    #[test]
    fn a_plot_shows_peaks_holes_and_steps() {
        let context = fixture::context();
        let mut density = density(14, fixture::BOOT, fixture::BOOT + 14_000_000);
        for event in fixture::events() {
            density.take_mark(&event.body, event.time);
            density.take(&View::new(&event, &context));
        }
        let text = density.text(20, Glyphs::Ascii, &context);
        assert!(text.is_ascii());
        assert!(text.contains("x") && text.contains("c"), "{text}");
        insta::assert_snapshot!(text);
    }

    fn counted(rows: Rows, events: Vec<(u64, Body)>) -> Density {
        let mut context = fixture::context();
        context.containers.insert("c1".to_owned(), "leaky".to_owned());
        let mut density = density(4, 0, 399);
        density.rows = rows;
        for (num, (time, body)) in (1..).zip(events) {
            let event = stillframe_format::event::Event {
                num,
                time: BootTime(time),
                late: false,
                body,
            };
            density.take(&View::new(&event, &context));
        }
        density
    }

    #[test]
    fn levels_are_drawn_as_they_are_and_totals_by_their_increase() {
        let reading = |memory, cpu| {
            Body::Metrics(stillframe_format::event::Metrics {
                container: "c1".to_owned(),
                values: [
                    ("memory.usage_bytes".to_owned(), memory),
                    ("memory.limit_bytes".to_owned(), 4096),
                    ("cpu.usage_ns".to_owned(), cpu),
                ]
                .into_iter()
                .collect(),
            })
        };
        let density = counted(
            Rows::Metrics,
            vec![
                (0, reading(1024, 500)),
                (100, reading(2048, 700)),
                (350, reading(3072, 700)),
            ],
        );
        let values: Vec<_> = density
            .sorted()
            .iter()
            .map(|series| (series.label.as_str(), series.total, series.counts.clone()))
            .collect();
        assert_eq!(
            values,
            [
                ("leaky cpu.usage_ns", 200, vec![None, Some(200), None, Some(0)]),
                (
                    "leaky memory.usage_bytes",
                    3072,
                    vec![Some(1024), Some(2048), None, Some(3072)]
                ),
                // What did not move comes last.
                (
                    "leaky memory.limit_bytes",
                    4096,
                    vec![Some(4096), Some(4096), None, Some(4096)]
                ),
            ]
        );
        let text = density.text(20, Glyphs::Ascii, &fixture::context());
        assert!(text.contains("3.0 KiB") && text.contains("|-* @|"), "{text}");
    }

    #[test]
    fn the_longest_of_each_column_is_drawn_and_waits_are_not() {
        let call = |number, duration| {
            Body::Syscall(Box::new(stillframe_format::event::Syscall {
                number,
                duration: Some(duration),
                ..fixture::openat(3)
            }))
        };
        let (write, futex) = (1, 202);
        let density = counted(
            Rows::Latency,
            vec![
                (0, call(write, 5)),
                (10, call(write, 900)),
                (20, call(futex, 1_000_000)),
                (399, call(write, 7)),
            ],
        );
        let rows = density.sorted();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].label.as_str(), rows[0].total, rows[0].counts.clone()),
            ("write", 3, vec![Some(900), None, None, Some(7)])
        );
    }

    proptest! {
        #[test]
        fn every_moment_has_a_column_that_begins_before_it(
            width in 1usize..200, from: u32, length: u64, at: u64,
        ) {
            let from = u64::from(from);
            let density = density(width, from, from.saturating_add(length));
            let time = BootTime(from.saturating_add(at % density.to.since(density.from).max(1)));
            let column = density.column(time);
            prop_assert!(column < width);
            prop_assert!(density.begins(column) <= time);
            prop_assert!(column + 1 >= width || density.begins(column + 1) > time);
        }
    }
}
