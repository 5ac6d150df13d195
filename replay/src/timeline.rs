//! The events of a bundle in their total order, one slice in memory at a time.
//!
//! A slice that cannot be read is a hole with a known place: it is handed over as [`Item::Damage`], and what comes
//! after it is read on.

mod cursor;
mod search;

pub use cursor::{Cursor, Step};
pub use search::{Found, Search};

use crate::moment::Place;
use std::io::{Read, Seek};
use std::ops::{ControlFlow, RangeInclusive};
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::Event;
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, Slice};

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

    /// Whether a slice may hold an event that lies in it. Of times only the beginning tells: all events of a slice
    /// are before its end, but late ones may be from any time before it.
    fn may_hold(&self, first: u64, events: u64, end: BootTime) -> bool {
        let last = first.saturating_add(events).saturating_sub(1);
        let begun = match self.from {
            None => true,
            Some(Place::Time(from)) => end > from,
            Some(Place::Event(from)) => last >= from,
        };
        begun
            && match self.to {
                Some(Place::Event(to)) => first <= to,
                _ => true,
            }
    }
}

/// A bundle's events.
#[derive(Debug)]
pub struct Timeline<R> {
    bundle: Bundle<R>,
    loaded: Option<(usize, Result<Slice, Damage>)>,
}

impl<R: Read + Seek> Timeline<R> {
    /// The events of a bundle.
    #[must_use]
    pub fn new(bundle: Bundle<R>) -> Self {
        Self { bundle, loaded: None }
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

    /// Reads a slice, by its place among the slices, unless it is in memory already. `None` when there is none there.
    pub fn slice(&mut self, index: usize) -> Option<Result<&Slice, &Damage>> {
        if self.loaded.as_ref().is_none_or(|(at, _)| *at != index) {
            let info = self.bundle.slices().get(index)?.clone();
            // The old one goes first: never two in memory.
            self.loaded = None;
            let read = self
                .bundle
                .slice(index)
                .map_err(|error| Damage::new(&info, &error));
            self.loaded = Some((index, read));
        }
        self.loaded.as_ref().map(|(_, read)| read.as_ref())
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
        self.each_slice(range, |slice| {
            let slice = match slice {
                Ok(slice) => slice,
                Err(damage) => return visit(Item::Damage(damage)),
            };
            for event in slice.events.iter().filter(|event| range.contains(event)) {
                if visit(Item::Event(event))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Visits the slices that may hold something of a range, whole, until the visitor breaks off.
    ///
    /// # Errors
    /// The visitor's.
    pub fn each_slice<E>(
        &mut self,
        range: &Range,
        mut visit: impl FnMut(Result<&Slice, &Damage>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        for index in 0..self.bundle.slices().len() {
            let wanted = self
                .bundle
                .slices()
                .get(index)
                .is_some_and(|slice| range.may_hold(slice.first, slice.events, slice.to));
            if !wanted {
                continue;
            }
            if let Some(slice) = self.slice(index)
                && visit(slice)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}
