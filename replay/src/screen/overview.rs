//! How much happened when, in so few numbers that a drawing of any width is made of them at once.
//!
//! Before anything is read the index gives a first idea; a scan in the background makes it exact, slice by slice.

use crate::filter::Filter;
use crate::scan;
use crate::view::Context;
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Body, Stream};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, SliceBytes, Streams};

/// Stretches of time that are counted apart; when the recording grows beyond them, pairs become one.
const BUCKETS: usize = 1024;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// System calls, and what io_uring is asked in their place.
    Calls,
    /// Changes of processes.
    Processes,
    /// Packets.
    Packets,
    /// Block requests.
    Block,
    /// Journal, kernel, engine and container logs.
    Logs,
    /// Events that say that something failed: calls, requests of block devices and io_uring.
    Failed,
}

impl Series {
    /// All of them; the last one counts events of the others again.
    pub const ALL: [Self; 6] = [
        Self::Calls,
        Self::Processes,
        Self::Packets,
        Self::Block,
        Self::Logs,
        Self::Failed,
    ];

    /// Its name in eight letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Processes => "process",
            Self::Packets => "packets",
            Self::Block => "block",
            Self::Logs => "logs",
            Self::Failed => "failed",
        }
    }

    fn of(stream: Stream) -> Option<Self> {
        match stream {
            Stream::Syscall | Stream::Uring => Some(Self::Calls),
            Stream::Process => Some(Self::Processes),
            Stream::Packet => Some(Self::Packets),
            Stream::Block => Some(Self::Block),
            Stream::Journal | Stream::Kernel | Stream::Engine | Stream::Log => Some(Self::Logs),
            Stream::Clock | Stream::Loss | Stream::Metrics => None,
        }
    }
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    counts: [u64; Series::ALL.len()],
    /// Events were lost.
    pub lost: bool,
    /// Events can't be read.
    pub unreadable: bool,
    /// The wall clock was stepped.
    pub stepped: bool,
    /// Some of it is only what the index tells, which knows of no failures.
    pub guessed: bool,
}

impl Bucket {
    /// Events of a series.
    #[must_use]
    pub fn count(&self, series: Series) -> u64 {
        self.counts.get(series as usize).copied().unwrap_or(0)
    }

    /// Events of all series.
    #[must_use]
    pub fn all(&self) -> u64 {
        let counted = Series::ALL.into_iter().filter(|series| *series != Series::Failed);
        counted.fold(0, |sum, series| sum.saturating_add(self.count(series)))
    }

    fn add(&mut self, series: Series, count: u64) {
        if let Some(sum) = self.counts.get_mut(series as usize) {
            *sum = sum.saturating_add(count);
        }
    }

    fn join(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(count);
        }
        self.lost |= other.lost;
        self.unreadable |= other.unreadable;
        self.stepped |= other.stepped;
        self.guessed |= other.guessed;
    }
}

/// Counts over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    from: BootTime,
    /// Length of a bucket, in nanoseconds; never 0 once it is made.
    step: u64,
    buckets: Vec<Bucket>,
}

/// What one slice adds.
#[derive(Debug, Default)]
pub struct Counted {
    series: Vec<(Series, Vec<u64>)>,
    lost: Vec<(BootTime, BootTime)>,
    stepped: Vec<BootTime>,
}

impl Overview {
    /// Nothing counted yet, for a recording of this time.
    #[must_use]
    pub fn new(from: BootTime, to: BootTime) -> Self {
        Self {
            from,
            step: (to.since(from) / BUCKETS as u64).saturating_add(1),
            buckets: vec![Bucket::default(); BUCKETS],
        }
    }

    /// What the index tells: each slice's counts, spread evenly over its time.
    #[must_use]
    pub fn of_index(from: BootTime, to: BootTime, slices: &[SliceInfo]) -> Self {
        let mut overview = Self::new(from, to);
        for slice in slices {
            overview.spread(slice);
        }
        overview
    }

    /// Adds what the index tells of a slice.
    pub fn spread(&mut self, slice: &SliceInfo) {
        if slice.missing > 0 {
            self.mark(slice.from, slice.to, |bucket| bucket.unreadable = true);
            return;
        }
        let (first, last) = (self.index(slice.from), self.index(slice.to));
        let width = (last.saturating_sub(first) as u64).saturating_add(1);
        for (name, count) in &slice.counts {
            let Some(series) = Stream::from_name(name).and_then(Series::of) else {
                continue;
            };
            let (each, rest) = (count / width, count % width);
            for (at, bucket) in (0u64..).zip(self.buckets.iter_mut().take(last + 1).skip(first)) {
                bucket.add(series, each.saturating_add(u64::from(at < rest)));
            }
        }
        self.mark(slice.from, slice.to, |bucket| bucket.guessed = true);
        if slice.lost.values().any(|count| *count > 0) {
            self.mark(slice.from, slice.to, |bucket| bucket.lost = true);
        }
    }

    /// Adds what was counted in a slice, or that it can't be read.
    pub fn add(&mut self, info: &SliceInfo, counted: Result<Counted, ReadError>) {
        let counted = match counted {
            Ok(counted) => counted,
            Err(_) => return self.mark(info.from, info.to, |bucket| bucket.unreadable = true),
        };
        for (series, times) in &counted.series {
            for time in times {
                let at = self.index(BootTime(*time));
                if let Some(bucket) = self.buckets.get_mut(at) {
                    bucket.add(*series, 1);
                }
            }
        }
        for (from, to) in counted.lost {
            self.mark(from, to, |bucket| bucket.lost = true);
        }
        for time in counted.stepped {
            self.mark(time, time, |bucket| bucket.stepped = true);
        }
    }

    fn mark(&mut self, from: BootTime, to: BootTime, mark: impl Fn(&mut Bucket)) {
        // The later one first: it may make buckets longer.
        let last = self.index(to.max(from));
        let first = self.index(from);
        let last = last.max(self.index(to.max(from))).max(first);
        self.buckets.iter_mut().take(last + 1).skip(first).for_each(mark);
    }

    /// The bucket of a moment. What is before the start is in the first one.
    fn index(&mut self, time: BootTime) -> usize {
        loop {
            let at = time.since(self.from) / self.step.max(1);
            match usize::try_from(at) {
                Ok(at) if at < self.buckets.len() || self.buckets.is_empty() => return at,
                _ if self.step > u64::MAX / 2 => return self.buckets.len().saturating_sub(1),
                _ => self.halve(),
            }
        }
    }

    /// Makes buckets twice as long.
    fn halve(&mut self) {
        let mut halved: Vec<Bucket> = self
            .buckets
            .chunks(2)
            .map(|pair| {
                let mut sum = Bucket::default();
                pair.iter().for_each(|bucket| sum.join(bucket));
                sum
            })
            .collect();
        halved.resize(self.buckets.len(), Bucket::default());
        self.buckets = halved;
        self.step = self.step.saturating_mul(2);
    }

    /// The recording up to `to` in so many columns. Where there are more columns than buckets, neighbours are equal.
    #[must_use]
    pub fn columns(&self, to: BootTime, width: usize) -> Vec<Bucket> {
        let used = self.used(to);
        let mut columns = vec![Bucket::default(); width];
        if used >= width {
            for (at, bucket) in self.buckets.iter().take(used).enumerate() {
                if let Some(column) = columns.get_mut(at * width / used.max(1)) {
                    column.join(bucket);
                }
            }
        } else {
            for (at, column) in columns.iter_mut().enumerate() {
                *column = self.buckets.get(at * used / width).copied().unwrap_or_default();
            }
        }
        columns
    }

    /// Which of these columns a moment is in.
    #[must_use]
    pub fn column(&self, time: BootTime, to: BootTime, width: usize) -> usize {
        let used = self.used(to).max(1);
        let at = usize::try_from(time.since(self.from) / self.step.max(1)).unwrap_or(usize::MAX);
        let at = at.min(used - 1);
        let column = if used >= width {
            at * width / used
        } else {
            (at * width).div_ceil(used)
        };
        column.min(width.saturating_sub(1))
    }

    /// How many buckets the recording up to `to` fills.
    fn used(&self, to: BootTime) -> usize {
        let last = to.since(self.from) / self.step.max(1);
        usize::try_from(last)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
            .min(self.buckets.len())
    }
}

/// Counts slices from the one at `first` on, in order, until `take` breaks off.
pub fn count<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    context: &Context,
    first: u32,
    mut take: impl FnMut(&SliceInfo, Result<Counted, ReadError>) -> ControlFlow<()>,
) {
    let failed = Filter::parse("evt.failed=true").unwrap_or_default();
    let counted: Result<(), Infallible> = scan::slices(
        bundle,
        |info| info.number >= first && info.missing == 0,
        |bytes| look(bytes, &failed, context),
        |info, counted| Ok(take(info, counted)),
    );
    match counted {
        Ok(()) => {}
    }
}

fn look(bytes: &SliceBytes, failed: &Filter, context: &Context) -> Result<Counted, ReadError> {
    let part = bytes.open(Streams::TIMES)?;
    let mut counted = Counted::default();
    for stream in Stream::ALL {
        let Some(series) = Series::of(stream) else {
            continue;
        };
        let times = part.times(stream)?;
        if !times.is_empty() {
            counted.series.push((series, times));
        }
    }
    let mut failures = Vec::new();
    if let Some(segment) = part.segment(Stream::Syscall)? {
        let calls = part.calls(&segment)?;
        counted.series.push((Series::Calls, calls.times().to_vec()));
        let meant = failed.calls(&calls, &|_| 0, context);
        let mut at = 0;
        while let Some(row) = meant.certain.next(at) {
            failures.push(calls.time(row));
            at = row + 1;
        }
    }
    for stored in part.stored(Stream::Block)? {
        if matches!(&stored.body, Body::Block(block) if block.error != 0) {
            failures.push(stored.time.0);
        }
    }
    for stored in part.stored(Stream::Uring)? {
        if matches!(&stored.body, Body::Uring(request) if request.errno().is_some()) {
            failures.push(stored.time.0);
        }
    }
    counted.series.push((Series::Failed, failures));
    for stored in part.stored(Stream::Loss)? {
        if let Body::Loss(loss) = &stored.body {
            counted.lost.push((loss.from, loss.to));
        }
    }
    counted.stepped = part.times(Stream::Clock)?.into_iter().map(BootTime).collect();
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(time: u64) -> Counted {
        Counted {
            series: vec![(Series::Calls, vec![time])],
            ..Counted::default()
        }
    }

    proptest! {
        #[test]
        fn nothing_is_counted_twice_or_not_at_all(
            times in prop::collection::vec(0u64..10_000_000, 1..50), to in 1u64..20_000_000, width in 1usize..2000,
        ) {
            let mut overview = Overview::new(BootTime(0), BootTime(to));
            let info = SliceInfo::default();
            for time in &times {
                overview.add(&info, Ok(one(*time)));
            }
            let end = *times.iter().max().unwrap();
            let columns = overview.columns(BootTime(end), width.min(900));
            let sum: u64 = columns.iter().map(Bucket::all).sum();
            let buckets = end / overview.step + 1;
            if buckets >= width.min(900) as u64 {
                prop_assert_eq!(sum, times.len() as u64);
            } else {
                prop_assert!(sum >= times.len() as u64);
            }
        }
    }

    #[test]
    fn a_recording_that_grows_keeps_its_counts() {
        let mut overview = Overview::new(BootTime(100), BootTime(1124));
        let info = SliceInfo::default();
        for time in [100, 600, 1_123, 500_000] {
            overview.add(&info, Ok(one(time)));
        }
        let columns = overview.columns(BootTime(500_000), 10);
        assert_eq!(columns.iter().map(Bucket::all).sum::<u64>(), 4);
        assert_eq!(columns[0].count(Series::Calls), 3);
        assert_eq!(columns[9].count(Series::Calls), 1);
    }
}
