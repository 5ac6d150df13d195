//! Which events stand in the page, and how many of the others there were when.
//!
//! Where all fit, all stand there. Where they do not, each class gets the same room, and what one does not need goes to
//! the others: the few failures, process changes and messages of an incident stand there whole, and the first of a
//! million reads.

use crate::filter::Filter;
use crate::question::{Scope, place_time};
use crate::timeline::{Range, Search, Timeline};
use crate::view::Context;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Event, Stream};

/// The most events that stand in the page unless it is said otherwise.
pub const EVENTS: u64 = 100_000;
/// The most that can be asked for: beyond it, browsers lose the end of so long a list.
pub const EVENTS_MAX: u64 = 500_000;
/// Stretches of time in which what is left out is counted.
const COLUMNS: usize = 512;

/// Events that share room.
#[derive(Debug)]
struct Class {
    name: String,
    filter: String,
    count: u64,
    room: u64,
    /// The first that found no room.
    first_out: Option<u64>,
    left_out: u64,
}

/// The choice.
#[derive(Debug)]
pub(super) struct Keep {
    /// One for each stream by its number, and one for calls that failed.
    classes: Vec<Class>,
    from: BootTime,
    to: BootTime,
    counts: Vec<Vec<u64>>,
}

impl Keep {
    /// Counts what there is, so that the room can be shared.
    pub(super) fn new<R: Read + Seek>(
        timeline: &mut Timeline<R>,
        context: &Context,
        scope: &Scope,
        max: u64,
    ) -> Self {
        let from = place_time(timeline, scope.range.from).unwrap_or(context.start);
        let to = place_time(timeline, scope.range.to)
            .unwrap_or(context.end)
            .max(from);
        let mut names: Vec<(String, String)> = Stream::ALL
            .into_iter()
            .map(|stream| match stream {
                Stream::Syscall => (
                    "calls that succeeded".to_owned(),
                    "evt.stream=syscall and evt.failed!=true".to_owned(),
                ),
                other => (
                    format!("{} events", other.name()),
                    format!("evt.stream={}", other.name()),
                ),
            })
            .collect();
        names.push((
            "calls that failed".to_owned(),
            "evt.stream=syscall and evt.failed=true".to_owned(),
        ));
        let is_whole = scope.filter.is_all() && scope.range == Range::default();
        let indexed = indexed(timeline);
        let mut classes: Vec<Class> = names
            .into_iter()
            .enumerate()
            .map(|(index, (name, filter))| Class {
                // Whole streams are counted by the index already; that it lies would cost an unequal share.
                count: match indexed.get(index) {
                    Some(count) if is_whole => *count,
                    _ => count(timeline, context, scope, &filter),
                },
                name,
                filter,
                room: 0,
                first_out: None,
                left_out: 0,
            })
            .collect();
        if let [streams @ .., failed] = classes.as_mut_slice()
            && let Some(calls) = streams.get_mut(usize::from(Stream::Syscall as u8))
            && is_whole
        {
            calls.count = calls.count.saturating_sub(failed.count);
        }
        share(&mut classes, max);
        Self {
            classes,
            from,
            to,
            counts: Vec::new(),
        }
    }

    pub(super) fn from(&self) -> BootTime {
        self.from
    }

    pub(super) fn to(&self) -> BootTime {
        self.to
    }

    /// Whether an event stands in the page.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        let stream = usize::from(event.body.stream() as u8);
        let class = match &event.body {
            Body::Syscall(call) if call.ret.errno().is_some() => Stream::ALL.len(),
            _ => stream,
        };
        let Some(class) = self.classes.get_mut(class) else {
            return false;
        };
        if class.room > 0 {
            class.room -= 1;
            return true;
        }
        class.left_out += 1;
        class.first_out.get_or_insert(event.num);
        if self.counts.is_empty() {
            self.counts = vec![vec![0; COLUMNS]; Stream::ALL.len()];
        }
        let column = self.column(event.time);
        if let Some(count) = self
            .counts
            .get_mut(stream)
            .and_then(|counts| counts.get_mut(column))
        {
            *count += 1;
        }
        false
    }

    fn column(&self, time: BootTime) -> usize {
        let span = u128::from(self.to.since(self.from)).saturating_add(1);
        let at = u128::from(time.since(self.from)).saturating_mul(COLUMNS as u128) / span;
        usize::try_from(at).unwrap_or(COLUMNS).min(COLUMNS - 1)
    }

    /// What the page says of it.
    pub(super) fn json(&self, context: &Context) -> Value {
        let counts: serde_json::Map<String, Value> = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, counts)| counts.iter().any(|count| *count > 0))
            .map(|(stream, counts)| (stream.to_string(), json!(counts)))
            .collect();
        let classes: Vec<Value> = self
            .classes
            .iter()
            .filter(|class| class.left_out > 0)
            .map(|class| json!([class.name, class.left_out, class.first_out, class.filter]))
            .collect();
        let left_out: u64 = self.classes.iter().map(|class| class.left_out).sum();
        json!({
            "count": left_out,
            "limit": EVENTS_MAX,
            "classes": classes,
            "from": super::relative(self.from, context),
            "to": super::relative(self.to, context),
            "columns": COLUMNS,
            "counts": counts,
        })
    }
}

/// How many events each stream has, by the index.
fn indexed<R: Read + Seek>(timeline: &Timeline<R>) -> Vec<u64> {
    Stream::ALL
        .into_iter()
        .map(|stream| {
            let slices = timeline.bundle().slices().iter();
            let counts = slices.filter(|slice| slice.missing == 0);
            counts
                .filter_map(|slice| slice.counts.get(stream.name()))
                .fold(0, |sum: u64, count| sum.saturating_add(*count))
        })
        .collect()
}

/// Shares the room: whoever needs less than an equal part leaves the rest to the others.
fn share(classes: &mut [Class], max: u64) {
    let mut order: Vec<&mut Class> = classes.iter_mut().collect();
    order.sort_by_key(|class| class.count);
    let mut left = max;
    let mut waiting = order.len() as u64;
    for class in order {
        class.room = class.count.min(left / waiting.max(1));
        left -= class.room;
        waiting -= 1;
    }
}

fn count<R: Read + Seek>(timeline: &mut Timeline<R>, context: &Context, scope: &Scope, class: &str) -> u64 {
    let filter = Filter::parse(class).unwrap_or_default().and(scope.filter.clone());
    let search = Search {
        range: scope.range,
        filter: &filter,
        context,
        count: true,
        limit: None,
    };
    let mut matched = 0u64;
    let searched: Result<(), Infallible> = timeline.search(&search, |slice| {
        // What cannot be read is said by the pass that reads the events.
        if let Ok(found) = slice {
            matched = matched.saturating_add(found.matched);
        }
        Ok(ControlFlow::Continue(()))
    });
    match searched {
        Ok(()) => matched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(counts: &[u64], max: u64) -> Vec<u64> {
        let mut classes: Vec<Class> = counts
            .iter()
            .map(|count| Class {
                name: String::new(),
                filter: String::new(),
                count: *count,
                room: 0,
                first_out: None,
                left_out: 0,
            })
            .collect();
        share(&mut classes, max);
        classes.iter().map(|class| class.room).collect()
    }

    #[test]
    fn what_one_class_does_not_need_goes_to_the_others() {
        assert_eq!(shared(&[2_000_000, 5, 300], 1_000), [695, 5, 300]);
        assert_eq!(shared(&[1_000, 1_000, 10], 1_010), [500, 500, 10]);
        assert_eq!(shared(&[1, 2, 3], 1_000), [1, 2, 3]);
        assert_eq!(shared(&[7, 7, 7], 1).iter().sum::<u64>(), 1);
        assert_eq!(shared(&[0, 0], 10), [0, 0]);
    }
}
