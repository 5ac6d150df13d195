//! Looking for events: only streams that can hold what is meant are decompressed, calls are sorted out on columns, and
//! all processors look.

use super::opened::Opened;
use super::{Damage, Range, Timeline};
use crate::filter::Filter;
use crate::filter::columns::{Meant, Rows};
use crate::moment::Place;
use crate::scan;
use crate::view::Context;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::error::ReadError;
use stillframe_format::event::{ArgData, Body, Event, Stream, Syscall};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{SliceBytes, SlicePart, Streams};
use stillframe_format::stream::{Stored, SyscallColumns};
use stillframe_format::{BootTime, Captured};

/// Bytes of events that are handed over at once, about.
const PIECE: usize = 1 << 20;

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

/// What was found in a stretch of a slice.
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
    /// Looks through the slices in order. Slices that can't hold what is looked for are not read. What a slice holds may
    /// come in several pieces, so that no more than a few MiB of events are in memory at once.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn search<E>(
        &mut self,
        search: &Search<'_>,
        mut take: impl FnMut(Result<Found, Damage>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let streams = search.streams();
        let wanted = |info: &SliceInfo| streams.are_in(info) && search.range.may_hold(info);
        let Some(mut left) = search.limit else {
            return scan::pieces(
                self.bundle_mut(),
                wanted,
                |bytes, emit| search.look(bytes, streams, emit),
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
            let mut taken = Ok(ControlFlow::Continue(()));
            let looked = self.bundle_mut().slice_bytes(index).and_then(|bytes| {
                search.look(&bytes, streams, &mut |found, _| {
                    left = left.saturating_sub(found.matched);
                    taken = take(Ok(found));
                    match taken {
                        Ok(flow) => flow,
                        Err(_) => ControlFlow::Break(()),
                    }
                })
            });
            if taken?.is_break() {
                break;
            }
            if let Err(error) = looked
                && take(Err(Damage::new(&info, &error)))?.is_break()
            {
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

    fn look(
        &self,
        bytes: &SliceBytes,
        streams: Streams,
        emit: scan::Emit<'_, Found>,
    ) -> Result<(), ReadError> {
        let Opened {
            part,
            segment,
            others,
        } = Opened::new(bytes, streams)?;
        let calls = segment.as_ref().map(|segment| part.calls(segment)).transpose()?;
        let mut others: Vec<_> = others.into_iter().map(Vec::into_iter).collect();
        let mut meant = calls.as_ref().map(|calls| self.calls(calls, &part));
        let mut pieces = Pieces {
            found: Found::default(),
            size: 0,
            left: self.limit,
            count: self.count,
            emit,
        };
        if self.count
            && self.limit.is_none()
            && let Some(picked) = &mut meant
        {
            pieces.found.matched = picked.certain.count();
            // Only what is not decided is left to look at.
            let decided = picked.certain.clone();
            picked.possible.leave_out(&decided);
            picked.certain.leave_out(&decided);
        }
        // Whether it goes on is the taker's business; that it does not is no error.
        let _ = self.go_over(&part, (calls.as_ref(), meant.as_ref()), &mut others, &mut pieces);
        Ok(())
    }

    fn go_over(
        &self,
        part: &SlicePart,
        (calls, meant): (Option<&SyscallColumns<'_>>, Option<&Meant>),
        others: &mut [std::vec::IntoIter<Stored>],
        pieces: &mut Pieces<'_>,
    ) -> ControlFlow<()> {
        let mut num = part.info().first;
        let mut row = 0usize;
        let mut candidate = meant.and_then(|meant| meant.possible.next(0));
        for run in part.runs() {
            let count = usize::try_from(run.count).unwrap_or(usize::MAX);
            match (run.stream, calls, meant) {
                (Stream::Syscall, Some(calls), Some(meant)) => {
                    let before = row;
                    row = row.saturating_add(count);
                    while let Some(next) = candidate.filter(|next| *next < row) {
                        candidate = meant.possible.next(next + 1);
                        let is_certain = meant.certain.has(next);
                        if is_certain && self.count {
                            pieces.counted()?;
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
                            pieces.take(event)?;
                        }
                    }
                }
                (stream, ..) => {
                    if let Some(stored) = others.get_mut(usize::from(stream as u8)) {
                        for (step, stored) in (0u64..).zip(stored.by_ref().take(count)) {
                            self.other(stored, num.saturating_add(step), pieces)?;
                        }
                    }
                }
            }
            num = num.saturating_add(run.count);
        }
        pieces.hand_over()
    }

    fn other(&self, stored: Stored, num: u64, pieces: &mut Pieces<'_>) -> ControlFlow<()> {
        let event = Event {
            num,
            time: stored.time,
            late: stored.late,
            body: stored.body,
        };
        if !self.range.contains(&event) {
            return ControlFlow::Continue(());
        }
        if self.filter.matches(&event, self.context) {
            return pieces.take(event);
        }
        if let Body::Loss(loss) = &event.body {
            let hidden = &mut pieces.found.hidden;
            let (holes, count) = hidden.entry(loss.stream.name()).or_default();
            *holes += 1;
            *count = count.saturating_add(loss.count);
        }
        ControlFlow::Continue(())
    }

    /// Which calls are meant and lie in the range.
    pub(crate) fn calls(&self, calls: &SyscallColumns<'_>, part: &SlicePart) -> Meant {
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

/// What is found, handed over piece by piece.
struct Pieces<'e> {
    found: Found,
    /// Bytes of the events in it, about.
    size: usize,
    /// How many more are wanted.
    left: Option<u64>,
    /// They are only counted.
    count: bool,
    emit: scan::Emit<'e, Found>,
}

impl Pieces<'_> {
    fn take(&mut self, event: Event) -> ControlFlow<()> {
        if !self.count {
            self.size = self.size.saturating_add(size_of_event(&event));
            self.found.events.push(event);
        }
        self.counted()?;
        if self.size >= PIECE {
            self.hand_over()?;
        }
        ControlFlow::Continue(())
    }

    fn counted(&mut self) -> ControlFlow<()> {
        self.found.matched += 1;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.hand_over()?;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self) -> ControlFlow<()> {
        let size = std::mem::take(&mut self.size);
        (self.emit)(std::mem::take(&mut self.found), size)
    }
}

/// What an event takes in memory, about.
fn size_of_event(event: &Event) -> usize {
    let behind = match &event.body {
        Body::Syscall(call) => {
            let data = call.data.iter().map(|data| match &data.bytes {
                Captured::Whole(bytes) | Captured::Truncated(bytes, _) => bytes.len() + size_of::<ArgData>(),
                Captured::Failed(_) | Captured::Redacted(_) => size_of::<ArgData>(),
            });
            size_of::<Syscall>().saturating_add(data.sum())
        }
        Body::Packet(packet) => packet.data.len(),
        Body::Journal(entry) => entry.export.len(),
        Body::Kernel(message) => message.record.len(),
        Body::Engine(event) => event.json.len(),
        Body::Log(line) => line.bytes.len(),
        Body::Metrics(metrics) => metrics.values.len() * 64,
        Body::Process(_) => 256,
        Body::Clock(_) | Body::Loss(_) | Body::Block(_) | Body::Uring(_) => 64,
    };
    size_of::<Event>().saturating_add(behind)
}
