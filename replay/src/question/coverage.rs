//! What an answer does not know: the bundle was cut, slices can't be read, events of the range were lost.

use super::{Scope, kept};
use crate::moment::Place;
use crate::timeline::{Damage, Range, Timeline};
use crate::view::Context;
use crate::{open, render};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Event, Loss, Stream};
use stillframe_format::reader::Bundle;

/// The most causes that are named for one stream.
const CAUSES_MAX: usize = 8;
/// The most slices behind the range that are looked at for holes that began in it.
const BEHIND_MAX: usize = 2;

/// The most stretches of unreadable slices that are named in words.
const RUNS_MAX: usize = 10;

/// What was lost of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Events, as far as they were counted.
    pub count: u64,
    /// At least one hole has no count.
    pub uncounted: bool,
    /// Holes.
    pub holes: u64,
    /// The beginning of the first one.
    pub from: BootTime,
    /// The end of the last one.
    pub to: BootTime,
    /// Why.
    pub causes: BTreeSet<String>,
}

/// How much of what was asked about the answer is made of.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// How far the bundle is good, in words, when it is not complete.
    pub shortfall: Option<String>,
    /// Events of the range that the filter matches.
    pub matched: u64,
    /// Holes in the range, by stream: they are counted whatever the filter says.
    pub lost: BTreeMap<Stream, Lost>,
    /// Slices that cannot be read.
    pub damages: Vec<Damage>,
    /// Steps of the wall clock.
    pub clock_steps: u64,
    /// Events that were counted together because there were too many keys to keep apart.
    pub together: u64,
}

impl Coverage {
    /// That of a bundle, nothing read yet.
    #[must_use]
    pub fn of<R: Read + Seek>(bundle: &Bundle<R>, context: &Context) -> Self {
        Self {
            shortfall: open::shortfall(bundle.condition(), context),
            ..Self::default()
        }
    }

    /// Counts an event of the range; holes and steps of the clock come whether they match or not.
    pub fn event(&mut self, event: &Event, matches: bool) {
        self.matched = self.matched.saturating_add(u64::from(matches));
        match &event.body {
            Body::Loss(loss) => self.loss(loss),
            Body::Clock(_) => self.clock_steps = self.clock_steps.saturating_add(1),
            _ => {}
        }
    }

    fn loss(&mut self, loss: &Loss) {
        let lost = self.lost.entry(loss.stream).or_insert_with(|| Lost {
            from: loss.from,
            to: loss.to,
            ..Lost::default()
        });
        lost.count = lost.count.saturating_add(loss.count);
        lost.uncounted |= loss.count == 0;
        lost.holes = lost.holes.saturating_add(1);
        lost.from = lost.from.min(loss.from);
        lost.to = lost.to.max(loss.to);
        if lost.causes.len() < CAUSES_MAX {
            lost.causes.insert(kept(&loss.cause));
        }
    }

    /// Notes a slice that cannot be read.
    pub fn damage(&mut self, damage: Damage) {
        self.damages.push(damage);
    }

    /// A hole is reported at its end: one that began inside the range may be told behind it.
    pub(super) fn look_behind<R: Read + Seek>(&mut self, timeline: &mut Timeline<R>, range: &Range) {
        let Some(Place::Time(to)) = range.to else { return };
        let behind: Vec<usize> = timeline
            .bundle()
            .slices()
            .iter()
            .enumerate()
            .filter(|(_, slice)| slice.to > to && !slice.lost.is_empty())
            .map(|(index, _)| index)
            .take(BEHIND_MAX)
            .collect();
        for index in behind {
            let bytes = timeline.bundle_mut().slice_bytes(index);
            let stored = bytes
                .and_then(|bytes| bytes.open([Stream::Loss].into_iter().collect()))
                .and_then(|part| part.stored(Stream::Loss));
            for stored in stored.unwrap_or_default() {
                if let Body::Loss(loss) = &stored.body
                    && stored.time > to
                    && loss.from <= to
                {
                    self.loss(loss);
                }
            }
        }
    }

    /// Whether nothing is missing that the range had.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.shortfall.is_none() && self.lost.is_empty() && self.damages.is_empty()
    }

    /// In words, one remark a line, without line ends.
    #[must_use]
    pub fn lines(&self, context: &Context) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(shortfall) = &self.shortfall {
            lines.push(format!("the bundle is {shortfall}"));
        }
        for (stream, lost) in &self.lost {
            let holes = match lost.holes {
                1 => "1 hole".to_owned(),
                more => format!("{more} holes"),
            };
            let causes: Vec<&str> = lost.causes.iter().map(String::as_str).collect();
            lines.push(format!(
                "counts are lower bounds: {} {} {} lost between {} and {} ({holes}: {})",
                lost.number(),
                stream.name(),
                if lost.count == 1 && !lost.uncounted {
                    "event was"
                } else {
                    "events were"
                },
                render::mapped_time(lost.from, context),
                render::mapped_time(lost.to, context),
                causes.join(", "),
            ));
        }
        let runs = runs(&self.damages);
        for run in runs.iter().take(RUNS_MAX) {
            lines.push(run_text(run, context));
        }
        if let Some(more) = runs.len().checked_sub(RUNS_MAX).filter(|more| *more > 0) {
            lines.push(format!("and {more} more stretches that cannot be read"));
        }
        match self.clock_steps {
            0 => {}
            1 => lines.push("the wall clock was stepped once in the range".to_owned()),
            steps => lines.push(format!("the wall clock was stepped {steps} times in the range")),
        }
        if self.together > 0 {
            lines.push(format!(
                "more than {} different keys, or {} MiB of them: {} events are counted together as (others); narrow the question with -f",
                super::KEYS_MAX,
                super::TEXTS_MAX >> 20,
                self.together
            ));
        }
        lines
    }

    /// The remarks, each on a line that begins with `--- `, as holes do everywhere.
    #[must_use]
    pub fn text(&self, context: &Context) -> String {
        let mut out = String::new();
        for line in self.lines(context) {
            out.push_str("--- ");
            out.push_str(&crate::escape::line(&line));
            out.push('\n');
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, context: &Context) -> Value {
        let mut object = Map::new();
        object.insert("whole".to_owned(), self.is_whole().into());
        if let Some(shortfall) = &self.shortfall {
            object.insert("shortfall".to_owned(), shortfall.clone().into());
        }
        object.insert("matched".to_owned(), self.matched.into());
        let lost: Vec<Value> = self
            .lost
            .iter()
            .map(|(stream, lost)| {
                let mut row = Map::new();
                row.insert("stream".to_owned(), stream.name().into());
                row.insert("count".to_owned(), lost.count.into());
                row.insert("counted".to_owned(), (!lost.uncounted).into());
                row.insert("holes".to_owned(), lost.holes.into());
                row.insert("causes".to_owned(), json!(lost.causes));
                context.put_time(&mut row, "from", lost.from);
                context.put_time(&mut row, "to", lost.to);
                Value::Object(row)
            })
            .collect();
        object.insert("lost".to_owned(), lost.into());
        let damages: Vec<Value> = self
            .damages
            .iter()
            .map(|damage| {
                json!({
                    "slice": damage.slice,
                    "first": damage.first,
                    "events": damage.events,
                    "problem": damage.problem,
                })
            })
            .collect();
        object.insert("unreadable".to_owned(), damages.into());
        object.insert("clock_steps".to_owned(), self.clock_steps.into());
        object.insert("counted_together".to_owned(), self.together.into());
        Value::Object(object)
    }
}

/// Unreadable slices that follow one another: together they are one hole.
fn runs(damages: &[Damage]) -> Vec<&[Damage]> {
    damages
        .chunk_by(|one, next| one.slice.checked_add(1) == Some(next.slice))
        .collect()
}

fn run_text(run: &[Damage], context: &Context) -> String {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return String::new();
    };
    if run.len() == 1 {
        let text = render::damage(first, context);
        return text.trim_start_matches("--- ").to_owned();
    }
    format!(
        "hole: events {} to {} (slices {} to {}) cannot be read, between {} and {}; the first: {}",
        first.first,
        last.first.saturating_add(last.events).saturating_sub(1),
        first.slice,
        last.slice,
        render::mapped_time(first.from, context),
        render::mapped_time(last.to, context),
        first.problem,
    )
}

impl Lost {
    /// How many, for a reader.
    #[must_use]
    pub fn number(&self) -> String {
        match (self.count, self.uncounted) {
            (0, _) => "an unknown number of".to_owned(),
            (count, true) => format!("at least {count}"),
            (count, false) => count.to_string(),
        }
    }
}

/// The object of an answer: which question, the asked filter, rows under their names, what is missing.
pub(super) fn answer(
    question: &str,
    scope: &Scope,
    parts: Vec<(&str, Value)>,
    coverage: &Coverage,
    context: &Context,
) -> Value {
    let mut object = Map::new();
    object.insert("question".to_owned(), question.into());
    if !scope.filter.is_all() {
        object.insert("filter".to_owned(), scope.filter.to_string().into());
    }
    for (name, part) in parts {
        object.insert(name.to_owned(), part);
    }
    object.insert("coverage".to_owned(), coverage.json(context));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, BOOT};

    fn damage(slice: u32) -> Damage {
        Damage {
            slice,
            first: u64::from(slice) * 10,
            events: 10,
            from: BootTime(BOOT + u64::from(slice)),
            to: BootTime(BOOT + u64::from(slice) + 1),
            problem: "bad".to_owned(),
        }
    }

    #[test]
    fn slices_that_follow_one_another_are_one_hole() {
        let coverage = Coverage {
            damages: vec![damage(2), damage(3), damage(4), damage(7)],
            ..Coverage::default()
        };
        let lines = coverage.lines(&fixture::context());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines
                .iter()
                .any(|line| line.contains("events 20 to 49 (slices 2 to 4)")),
            "{lines:?}"
        );
        assert!(lines.iter().any(|line| line.contains("(slice 7)")), "{lines:?}");
    }

    #[test]
    fn holes_without_a_count_make_the_sum_a_lower_bound() {
        let loss = |count| Loss {
            stream: Stream::Packet,
            cause: "ring-full".to_owned(),
            count,
            from: BootTime(BOOT),
            to: BootTime(BOOT + 1),
            scope: String::new(),
        };
        let mut coverage = Coverage::default();
        coverage.loss(&loss(5));
        coverage.loss(&loss(0));
        let lines = coverage.lines(&fixture::context());
        assert!(
            lines
                .iter()
                .any(|line| line.contains("at least 5 packet events were lost")),
            "{lines:?}"
        );
        assert!(!coverage.is_whole());
    }
}
