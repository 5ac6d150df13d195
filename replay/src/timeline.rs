//! The events of a bundle in their total order.
//!
//! A reader that goes over them holds a few slices, decompressed, and a few MiB of events ([`crate::scan`]); one that
//! stands on one of them holds its slice and the `PAGE` events around it.
//!
//! A slice that cannot be read is a hole with a known place: it is handed over as [`Item::Damage`], and what comes
//! after it is read on.

mod cursor;
mod opened;
mod search;

pub use cursor::{Cursor, Step};
pub(crate) use opened::Opened;
pub use search::{Found, Search};

use crate::filter::Filter;
use crate::moment::Place;
use crate::open;
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::{ControlFlow, RangeInclusive};
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Event, OpenCall};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, Streams};

/// Events around a place that are put together at once.
const PAGE: usize = 4096;

/// A slice that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The slice's number.
    pub slice: u32,
    /// The number of its first event.
    pub first: u64,
    /// How many events it held, by the index.
    pub events: u64,
    /// Its time, by the index.
    pub from: BootTime,
    /// The end of it.
    pub to: BootTime,
    /// What is wrong with it.
    pub problem: String,
}

impl Damage {
    /// A slice that `error` keeps from being read.
    #[must_use]
    pub fn new(info: &SliceInfo, error: &ReadError) -> Self {
        Self {
            slice: info.number,
            first: info.first,
            events: info.events,
            from: info.from,
            to: info.to,
            problem: error.to_string(),
        }
    }
}

/// What stands in the order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// An event.
    Event(&'a Event),
    /// Events that cannot be read.
    Damage(&'a Damage),
}

/// A stretch of the order, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub from: Option<Place>,
    /// Where it ends.
    pub to: Option<Place>,
}

impl Range {
    /// Whether an event lies in it. Times are compared as they are: an event that came late belongs to its own time.
    #[must_use]
    pub fn contains(&self, event: &Event) -> bool {
        let begun = match self.from {
            None => true,
            Some(Place::Time(from)) => event.time >= from,
            Some(Place::Event(from)) => event.num >= from,
        };
        begun
            && match self.to {
                None => true,
                Some(Place::Time(to)) => event.time <= to,
                Some(Place::Event(to)) => event.num <= to,
            }
    }

    /// Whether a slice may hold an event that lies in it. All events of a slice are before its end; where it begins the
    /// time of its first event tells, since late ones may be from any time. Without that it has to be read.
    pub(crate) fn may_hold(&self, slice: &SliceInfo) -> bool {
        let last = slice.first.saturating_add(slice.events).saturating_sub(1);
        let begun = match self.from {
            None => true,
            Some(Place::Time(from)) => slice.to > from,
            Some(Place::Event(from)) => last >= from,
        };
        begun
            && match self.to {
                None => true,
                Some(Place::Time(to)) => slice.earliest.is_none_or(|earliest| earliest <= to),
                Some(Place::Event(to)) => slice.first <= to,
            }
    }
}

/// A bundle's events.
#[derive(Debug)]
pub struct Timeline<R> {
    bundle: Bundle<R>,
    /// The slice that was looked at last.
    loaded: Option<(usize, Result<Opened, Damage>)>,
    /// Some of its events.
    page: Vec<Event>,
}

impl<R: Read + Seek> Timeline<R> {
    /// The events of a bundle.
    #[must_use]
    pub fn new(bundle: Bundle<R>) -> Self {
        Self {
            bundle,
            loaded: None,
            page: Vec::new(),
        }
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle<R> {
        &self.bundle
    }

    /// The bundle, to read members of it.
    pub fn bundle_mut(&mut self) -> &mut Bundle<R> {
        &mut self.bundle
    }

    /// The number of the first event, or the one that it would have.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.bundle.first_event()
    }

    /// The number of the last event.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bundle.last_event()
    }

    /// The event of a number, or what keeps it from being read; `None` when there is none.
    pub fn event(&mut self, num: u64) -> Option<Result<&Event, &Damage>> {
        let index = self.slice_of(num)?;
        let first = self.page.first().map(|event| event.num);
        let is_there = first.is_some_and(|first| first <= num && num - first < self.page.len() as u64);
        if !is_there {
            self.turn_to(index, num);
        }
        if let Some((_, Err(damage))) = &self.loaded {
            return Some(Err(damage));
        }
        let first = self.page.first().map(|event| event.num)?;
        let at = usize::try_from(num.checked_sub(first)?).ok()?;
        self.page.get(at).map(Ok)
    }

    /// Puts the events around one together.
    fn turn_to(&mut self, index: usize, num: u64) {
        // The old ones go first: never two in memory.
        self.page = Vec::new();
        let Some(info) = self.bundle.slices().get(index).cloned() else {
            return;
        };
        if self.loaded.as_ref().is_none_or(|(at, _)| *at != index) {
            self.loaded = None;
            let opened = self.bundle.slice_bytes(index);
            let opened = opened.and_then(|bytes| Opened::whole(&bytes, Streams::ALL));
            self.loaded = Some((index, opened.map_err(|error| Damage::new(&info, &error))));
        }
        let Some((_, Ok(opened))) = &self.loaded else {
            return;
        };
        let into = num.saturating_sub(info.first);
        let from = num - into % PAGE as u64;
        match opened.events(from, PAGE) {
            Ok(page) => self.page = page,
            Err(error) => self.loaded = Some((index, Err(Damage::new(&info, &error)))),
        }
    }

    /// Opens the slice at `index` beside something else that is done with the bundle, and keeps it as the one that was looked
    /// at last: whoever wants a place with its state wants both.
    pub(crate) fn open_beside<T>(&mut self, index: usize, meanwhile: impl FnOnce(&mut Self) -> T) -> T {
        let Some(info) = self.bundle.slices().get(index).cloned() else {
            return meanwhile(self);
        };
        if self.loaded.as_ref().is_some_and(|(at, _)| *at == index) {
            return meanwhile(self);
        }
        self.page = Vec::new();
        self.loaded = None;
        let bytes = self.bundle.slice_bytes(index);
        let (opened, answer) = std::thread::scope(|scope| {
            let opening = scope.spawn(move || bytes.and_then(|bytes| Opened::whole(&bytes, Streams::ALL)));
            let answer = meanwhile(self);
            let failed = |_| Err(ReadError::damaged("slice", "nobody looked at it"));
            (opening.join().unwrap_or_else(failed), answer)
        });
        self.loaded = Some((index, opened.map_err(|error| Damage::new(&info, &error))));
        answer
    }

    /// The slice at `index`, if it is the one that was looked at last.
    pub(crate) fn loaded(&self, index: usize) -> Option<Result<&Opened, &Damage>> {
        match &self.loaded {
            Some((at, opened)) if *at == index => Some(opened.as_ref()),
            _ => None,
        }
    }

    /// The number of the first event, from the slice of a moment on, that is not before it; `None` when all are. Late
    /// events stand before the others of their slice and are passed over when they are from before the moment.
    pub fn first_from(&mut self, time: BootTime) -> Option<u64> {
        let context = open::outline(&self.bundle);
        let search = Search {
            range: Range {
                from: Some(Place::Time(time)),
                to: None,
            },
            filter: &Filter::default(),
            context: &context,
            count: false,
            limit: Some(1),
        };
        let mut num = None;
        let searched: Result<(), Infallible> = self.search(&search, |slice| {
            num = match slice {
                Ok(found) => found.events.first().map(|event| event.num),
                Err(damage) => (damage.events > 0).then_some(damage.first),
            };
            Ok(if num.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        });
        match searched {
            Ok(()) => num,
        }
    }

    /// Calls that had not returned when the last slice was sealed; none where it cannot be read.
    pub fn open_at_end(&mut self) -> Vec<OpenCall> {
        let last = self.bundle.slices().len().checked_sub(1);
        let part = last.and_then(|last| {
            let bytes = self.bundle.slice_bytes(last).ok()?;
            bytes.open(Streams::default()).ok()
        });
        part.and_then(|part| part.open_calls().ok()).unwrap_or_default()
    }

    /// The place among the slices of the one that holds an event; `None` when no slice does.
    #[must_use]
    pub fn slice_of(&self, num: u64) -> Option<usize> {
        let slices = self.bundle.slices();
        // Slices without events share their first number with the one after them.
        let after = slices.partition_point(|slice| slice.first <= num);
        let at = after.checked_sub(1)?;
        slices
            .get(at)
            .is_some_and(|slice| num < slice.first.saturating_add(slice.events))
            .then_some(at)
    }

    /// The slices whose own time, or whose events' numbers, touch a range: places of the first and the last. Holes at
    /// the ends are left out. `None` when there is none.
    #[must_use]
    pub fn slices_of(&self, range: &Range) -> Option<RangeInclusive<usize>> {
        let touches = |slice: &SliceInfo| {
            let last = slice.first.saturating_add(slice.events).saturating_sub(1);
            let begun = match range.from {
                None => true,
                Some(Place::Time(from)) => slice.to > from,
                Some(Place::Event(from)) => last >= from && slice.events > 0,
            };
            let ended = match range.to {
                None => false,
                Some(Place::Time(to)) => slice.from > to,
                Some(Place::Event(to)) => slice.first > to,
            };
            slice.missing == 0 && begun && !ended
        };
        let slices = self.bundle.slices();
        let first = slices.iter().position(touches)?;
        let last = slices.iter().rposition(touches)?;
        Some(first..=last)
    }

    /// Visits what lies in a range, in order, until the visitor breaks off.
    ///
    /// # Errors
    /// The visitor's.
    pub fn each<E>(
        &mut self,
        range: &Range,
        mut visit: impl FnMut(Item<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let context = open::outline(&self.bundle);
        let search = Search {
            range: *range,
            filter: &Filter::default(),
            context: &context,
            count: false,
            limit: None,
        };
        self.search(&search, |found| {
            match found {
                Ok(found) => {
                    for event in &found.events {
                        if visit(Item::Event(event))?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                Err(damage) => return visit(Item::Damage(&damage)),
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
