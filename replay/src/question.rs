//! Questions that one pass over the events answers: what took the time, what failed, what ran, what changed.
//!
//! Each answer is a struct that takes events one after another in bounded memory and is rendered as text or JSON when
//! they are through. [`scan`] drives them and gives the [`Coverage`]: what the answer does not know, because the bundle
//! was cut, or because events of the range were lost. No answer is rendered without it.

mod change;
mod columns;
mod coverage;
mod density;
mod failure;
mod naming;
mod ranking;
mod room;
mod slowest;
mod summary;
mod transfer;
mod tree;

pub use change::{Change, Changes, changes};
pub use coverage::{Coverage, Lost};
pub use density::{Density, Glyphs, Rows, WIDTH_MAX};
pub(crate) use density::{is_level, place_time};
pub use failure::{Failures, Group, Kind};
pub use naming::{NameChange, Naming};
pub(crate) use ranking::ends;
pub use ranking::{Key, Order, Ranking, Row, rank};
pub use slowest::{Class, Slowest, Spent};
pub use summary::Summary;
pub use transfer::{Way, transfer};
pub use tree::{Birth, Ending, Node, Tree};

use crate::filter::Filter;
use crate::timeline::{Range, Search, Timeline};
use crate::view::{Context, View};
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::event::Body;

/// The most keys that an answer keeps apart. What comes after them is counted together, and the answer says so.
pub const KEYS_MAX: usize = 1 << 16;
/// The most bytes of keys and texts that each list of an answer keeps; it is full as well when these are.
pub const TEXTS_MAX: usize = 12 << 20;
/// The longest key, path or text that an answer keeps, in bytes.
pub const TEXT_MAX: usize = 1024;

/// Which events are asked about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Where.
    pub range: Range,
    /// Which.
    pub filter: Filter,
}

impl Scope {
    /// Whether it reaches to the end of the recording, so that calls that had not returned belong to it.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        self.range.to.is_none()
    }
}

/// Hands every event of a scope to `take`, and gives what is missing from it.
pub fn scan<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    mut take: impl FnMut(&View<'_>),
) -> Coverage {
    scan_all(timeline, context, scope, None, |view, matches| {
        if matches {
            take(view);
        }
    })
}

/// As [`scan`] for a plot, which marks holes and steps of the clock that the filter does not match too.
pub fn scan_marks<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    density: &mut Density,
) -> Coverage {
    let streams = density.rows().streams();
    let coverage = scan_all(timeline, context, scope, streams, |view, matches| {
        density.take_mark(&view.event.body, view.event.time);
        if matches {
            density.take(view);
        }
    });
    density.take_damage(&coverage);
    coverage
}

/// Hands over what matches, and holes and steps of the clock whether they match or not. Where no filter was given,
/// `streams` may say which events are enough.
fn scan_all<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    streams: Option<&str>,
    mut take: impl FnMut(&View<'_>, bool),
) -> Coverage {
    let mut coverage = Coverage::of(timeline.bundle(), context);
    let filter = match (streams, Filter::parse("evt.stream in (loss, clock)")) {
        (Some(streams), _) if scope.filter == Filter::default() => Filter::parse(streams).unwrap_or_default(),
        (_, Ok(marks)) => scope.filter.clone().or(marks),
        (_, Err(_)) => Filter::default(),
    };
    let search = Search {
        range: scope.range,
        filter: &filter,
        context,
        count: false,
        limit: None,
    };
    let searched: Result<(), Infallible> = timeline.search(&search, |slice| {
        match slice {
            Ok(found) => {
                for event in &found.events {
                    let is_mark = matches!(event.body, Body::Loss(_) | Body::Clock(_));
                    let matches = !is_mark || scope.filter.matches(event, context);
                    coverage.event(event, matches);
                    take(&View::new(event, context), matches);
                }
            }
            Err(damage) => coverage.damage(damage),
        }
        Ok(ControlFlow::Continue(()))
    });
    match searched {
        Ok(()) => {}
    }
    coverage.look_behind(timeline, &scope.range);
    coverage
}

/// At most [`TEXT_MAX`] bytes of text that is kept, without cutting a character.
pub(crate) fn kept(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Time since the recording began, for a reader: `+1.234567s`.
pub(crate) fn since_start(time: stillframe_format::BootTime, context: &Context) -> String {
    let nanoseconds = i128::from(time.0) - i128::from(context.start.0);
    let sign = if nanoseconds < 0 { '-' } else { '+' };
    let microseconds = nanoseconds.unsigned_abs() / 1000;
    format!(
        "{sign}{}.{:06}s",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    )
}

/// A length of time in about four digits: columns of them are read, not calculated with.
pub(crate) fn short(nanoseconds: u64) -> String {
    let (unit, name) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
    let (digits, scale) = match whole {
        0..10 => (3, unit / 1000),
        10..100 => (2, unit / 100),
        100..1000 => (1, unit / 10),
        _ => return format!("{whole}{name}"),
    };
    format!("{whole}.{:0digits$}{name}", rest / scale)
}

/// The thread's name and process: `curl[1234]`.
pub(crate) fn who(task: &stillframe_format::event::Task) -> String {
    let comm = crate::escape::bytes(&task.comm);
    match (task.pid, task.tid) {
        (0, 0) => comm.into_owned(),
        (pid, tid) if pid == tid => format!("{comm}[{pid}]"),
        (pid, tid) => format!("{comm}[{pid}/{tid}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lengths_have_four_digits() {
        for (nanoseconds, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_500, "1.500us"),
            (12_345, "12.34us"),
            (123_456_789, "123.4ms"),
            (5_025_000_000, "5.025s"),
            (7_200_000_000_000, "7200s"),
        ] {
            assert_eq!(short(nanoseconds), text);
        }
        assert_eq!(short(u64::MAX), "18446744073s");
    }

    #[test]
    fn kept_text_ends_at_a_character() {
        let text = "ä".repeat(TEXT_MAX);
        assert_eq!(kept(&text).len(), TEXT_MAX);
        assert_eq!(kept(&format!("x{text}")).len(), TEXT_MAX - 1);
    }
}
