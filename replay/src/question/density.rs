//! When things happened: events over time, a row for each stream, process, call or error.

use super::columns::{Columns, Side};
use super::coverage::{answer, put_time};
use super::{Coverage, Scope, since_start};
use crate::moment::Place;
use crate::timeline::{Range, Timeline};
use crate::view::{Context, View};
use crate::{call, escape, render};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Stream};

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
        }
    }
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
    counts: Vec<u64>,
    total: u64,
}

/// Counts over time.
#[derive(Debug)]
pub struct Density {
    rows: Rows,
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
        let found = match (&event.body, self.rows) {
            (body, Rows::Stream) => {
                let stream = body.stream();
                Some((
                    stream.name().as_bytes().to_vec(),
                    stream.name().to_owned(),
                    stream as u32,
                ))
            }
            (Body::Syscall(call), Rows::Syscall) => {
                let name = call::name(call.abi, call.number);
                Some((name.as_bytes().to_vec(), name.into_owned(), 0))
            }
            (Body::Syscall(call), Rows::Errors) => call.ret.errno().map(|errno| {
                let name = call::errno_name(errno);
                (name.as_bytes().to_vec(), name, 0)
            }),
            (Body::Syscall(_) | Body::Process(_), Rows::Process) => event.body.task().map(|task| {
                let label = format!("{}[{}]", escape::bytes(&task.comm), task.pid);
                (task.pid.to_le_bytes().to_vec(), label, 0)
            }),
            _ => None,
        };
        let Some((key, label, rank)) = found else { return };
        if self.series.len() >= ROWS_MAX && !self.series.contains_key(&key) {
            self.together = self.together.saturating_add(1);
            return;
        }
        let width = self.width();
        let series = self.series.entry(key).or_insert_with(|| Series {
            label: String::new(),
            rank,
            counts: vec![0; width],
            total: 0,
        });
        if series.label != label {
            series.label = label;
        }
        series.total = series.total.saturating_add(1);
        if let Some(count) = series.counts.get_mut(column) {
            *count = count.saturating_add(1);
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
        all.sort_by(|one, other| {
            one.rank
                .cmp(&other.rank)
                .then(Reverse(one.total).cmp(&Reverse(other.total)))
                .then(one.label.cmp(&other.label))
        });
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
        let mut columns = Columns::new(&[
            (self.rows.name(), Side::Left),
            ("total", Side::Right),
            ("peak", Side::Right),
            ("", Side::Left),
        ]);
        let all = self.sorted();
        for series in all.iter().take(number) {
            columns.push(vec![
                series.label.clone(),
                series.total.to_string(),
                series.counts.iter().max().copied().unwrap_or(0).to_string(),
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
        if !self.lost.is_empty() || self.damaged.iter().any(|mark| *mark) {
            out.push_str(", ? is empty where the row's events were lost");
        }
        out.push('\n');
        out
    }

    fn bar(&self, series: &Series, glyphs: Glyphs) -> String {
        let peak = series.counts.iter().max().copied().unwrap_or(0).max(1);
        let levels = glyphs.levels();
        let lost = self.holes(|stream| match self.rows {
            Rows::Stream => stream as u32 == series.rank,
            _ => matches!(stream, Stream::Syscall | Stream::Process),
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
                (0, true) => '?',
                (0, false) => ' ',
                (count, _) => {
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
            .map(|series| {
                serde_json::json!({
                    "key": series.label,
                    "total": series.total,
                    "counts": series.counts,
                })
            })
            .collect();
        let lost = self.holes(|_| true);
        let columns: Vec<Value> = (0..self.width())
            .map(|column| {
                let mut row = Map::new();
                put_time(&mut row, "begins", self.begins(column), context);
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
