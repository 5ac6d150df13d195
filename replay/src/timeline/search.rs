//! Looking for events: only streams that can hold what is meant are decompressed, calls are sorted out on columns, and
//! all processors look.

use super::{Damage, Range, Timeline};
use crate::filter::Filter;
use crate::filter::columns::Rows;
use crate::moment::Place;
use crate::scan;
use crate::view::Context;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Body, Event, Stream};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{SliceBytes, SlicePart, Streams};
use stillframe_format::stream::{Stored, SyscallColumns};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Where.
    pub range: Range,
    /// Which events.
    pub filter: &'a Filter,
    /// The bundle's facts.
    pub context: &'a Context,
    /// They are only counted.
    pub count: bool,
    /// Not more than so many.
    pub limit: Option<u64>,
}

/// What was found in a slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// How many events.
    pub matched: u64,
    /// The events, in order; none when they are only counted.
    pub events: Vec<Event>,
    /// Losses that the filter leaves out: by stream, how many, and of how many events.
    pub hidden: BTreeMap<&'static str, (u64, u64)>,
}

impl<R: Read + Seek> Timeline<R> {
    /// Looks through the slices in order. Slices that can't hold what is looked for are not read.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn search<E>(
        &mut self,
        search: &Search<'_>,
        mut take: impl FnMut(Result<Found, Damage>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let streams = search.streams();
        let wanted = |info: &SliceInfo| {
            streams.are_in(info) && search.range.may_hold(info.first, info.events, info.to)
        };
        let Some(mut left) = search.limit else {
            return scan::slices(
                self.bundle_mut(),
                wanted,
                |bytes| search.look(bytes, streams),
                |info, found| take(found.map_err(|error| Damage::new(info, &error))),
            );
        };
        // A few events are found soon: reading ahead would only cost.
        for index in 0..self.bundle().slices().len() {
            let Some(info) = self.bundle().slices().get(index).cloned() else {
                break;
            };
            if left == 0 {
                break;
            }
            if !wanted(&info) {
                continue;
            }
            let search = Search {
                limit: Some(left),
                ..*search
            };
            let found = self
                .bundle_mut()
                .slice_bytes(index)
                .and_then(|bytes| search.look(&bytes, streams));
            left = left.saturating_sub(found.as_ref().map_or(0, |found| found.matched));
            if take(found.map_err(|error| Damage::new(&info, &error)))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Search<'_> {
    /// The streams that have to be read: losses always, since a filter must not hide them silently.
    fn streams(&self) -> Streams {
        if self.filter.is_all() {
            return Streams::ALL;
        }
        Stream::ALL
            .into_iter()
            .filter(|stream| *stream == Stream::Loss || self.filter.may_match(*stream))
            .collect()
    }

    fn look(&self, bytes: &SliceBytes, streams: Streams) -> Result<Found, ReadError> {
        let part = bytes.open(streams)?;
        let segment = if streams.has(Stream::Syscall) {
            part.segment(Stream::Syscall)?
        } else {
            None
        };
        let calls = segment.as_ref().map(|segment| part.calls(segment)).transpose()?;
        let mut others: Vec<Option<std::vec::IntoIter<Stored>>> = Vec::with_capacity(Stream::ALL.len());
        for stream in Stream::ALL {
            others.push(if stream != Stream::Syscall && streams.has(stream) {
                Some(part.stored(stream)?.into_iter())
            } else {
                None
            });
        }
        let mut meant = calls.as_ref().map(|calls| self.calls(calls, &part));
        let mut found = Found::default();
        if self.count
            && self.limit.is_none()
            && let Some(picked) = &mut meant
        {
            found.matched = picked.certain.count();
            // Only what is not decided is left to look at.
            let decided = picked.certain.clone();
            picked.possible.leave_out(&decided);
            picked.certain.leave_out(&decided);
        }
        let mut num = part.info().first;
        let mut row = 0usize;
        let mut candidate = meant.as_ref().and_then(|meant| meant.possible.next(0));
        for run in part.runs() {
            let count = usize::try_from(run.count).unwrap_or(usize::MAX);
            match (run.stream, &calls, &meant) {
                (Stream::Syscall, Some(calls), Some(meant)) => {
                    let before = row;
                    row = row.saturating_add(count);
                    while let Some(next) = candidate.filter(|next| *next < row) {
                        candidate = meant.possible.next(next + 1);
                        if self.limit.is_some_and(|limit| found.matched >= limit) {
                            return Ok(found);
                        }
                        let is_certain = meant.certain.has(next);
                        if is_certain && self.count {
                            found.matched += 1;
                            continue;
                        }
                        let Some(body) = calls.body(next) else { continue };
                        let event = Event {
                            num: num.saturating_add((next - before) as u64),
                            time: BootTime(calls.time(next)),
                            late: calls.late.get(next) == 1,
                            body,
                        };
                        if is_certain || self.filter.matches(&event, self.context) {
                            found.take(event, self.count);
                        }
                    }
                }
                (stream, ..) => {
                    if let Some(Some(stored)) = others.get_mut(usize::from(stream as u8)) {
                        for (step, stored) in (0u64..).zip(stored.by_ref().take(count)) {
                            if self.limit.is_some_and(|limit| found.matched >= limit) {
                                return Ok(found);
                            }
                            self.other(stored, num.saturating_add(step), &mut found);
                        }
                    }
                }
            }
            num = num.saturating_add(run.count);
        }
        Ok(found)
    }

    fn other(&self, stored: Stored, num: u64, found: &mut Found) {
        let event = Event {
            num,
            time: stored.time,
            late: stored.late,
            body: stored.body,
        };
        if !self.range.contains(&event) {
            return;
        }
        if self.filter.matches(&event, self.context) {
            found.take(event, self.count);
        } else if let Body::Loss(loss) = &event.body {
            let (holes, count) = found.hidden.entry(loss.stream.name()).or_default();
            *holes += 1;
            *count = count.saturating_add(loss.count);
        }
    }

    /// Which calls are meant and lie in the range.
    fn calls(&self, calls: &SyscallColumns<'_>, part: &SlicePart) -> crate::filter::columns::Meant {
        let numbers: OnceCell<Vec<u64>> = OnceCell::new();
        let number = |row: usize| {
            let numbers = numbers.get_or_init(|| numbers_of_calls(part));
            numbers.get(row).copied().unwrap_or(0)
        };
        let mut meant = self.filter.calls(calls, &number, self.context);
        for (place, is_from) in [(self.range.from, true), (self.range.to, false)] {
            let Some(place) = place else { continue };
            let inside = Rows::pick(calls.rows(), |row| {
                let (value, bound) = match place {
                    Place::Time(bound) => (calls.time(row), bound.0),
                    Place::Event(bound) => (number(row), bound),
                };
                if is_from { value >= bound } else { value <= bound }
            });
            meant.certain.keep(&inside);
            meant.possible.keep(&inside);
        }
        meant
    }
}

fn numbers_of_calls(part: &SlicePart) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut num = part.info().first;
    for run in part.runs() {
        let after = num.saturating_add(run.count);
        if run.stream == Stream::Syscall {
            numbers.extend(num..after);
        }
        num = after;
    }
    numbers
}

impl Found {
    fn take(&mut self, event: Event, count: bool) {
        self.matched += 1;
        if !count {
            self.events.push(event);
        }
    }
}
