//! Going over the columns of a slice: only calls that change something are put together.

use super::State;
use super::call::Returned;
use super::effect::{self, Effect};
use crate::BootTime;
use crate::error::ReadError;
use crate::event::{Abi, Body, Stream};
use crate::reader::{SlicePart, Streams};
use crate::stream::{Stored, SyscallColumns};
use std::collections::HashMap;

/// What the state is made of.
const STREAMS: [Stream; 6] = [
    Stream::Loss,
    Stream::Process,
    Stream::Syscall,
    Stream::Engine,
    Stream::Metrics,
    Stream::Uring,
];

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Over everything.
    End,
    /// Up to the event of this number, and over it.
    Event(u64),
    /// Up to the first event that is later.
    Time(BootTime),
}

impl Until {
    fn is_before(self, num: u64, time: impl FnOnce() -> BootTime) -> bool {
        match self {
            Self::End => false,
            Self::Event(last) => num > last,
            Self::Time(last) => time() > last,
        }
    }
}

impl State {
    /// The streams that the state is made of.
    #[must_use]
    pub fn streams() -> Streams {
        STREAMS.into_iter().collect()
    }

    /// Goes over a slice, event by event, up to the first one that is behind `until`. Gives the number of the last event
    /// that it went over.
    ///
    /// The part must have [`State::streams`]. Events of other streams that it does not have are never behind a moment;
    /// where it matters at which of them to stop, the part has to be one of [`Streams::TIMES`].
    ///
    /// It gives what [`State::apply`] over the slice's events gives.
    ///
    /// # Errors
    /// [`ReadError`] when the slice can't be read; then the state is as it was.
    pub fn apply_part(&mut self, part: &SlicePart, until: Until) -> Result<u64, ReadError> {
        let segment = part.segment(Stream::Syscall)?;
        let calls = segment.as_ref().map(|segment| part.calls(segment)).transpose()?;
        self.apply_columns(part, calls.as_ref(), until)
    }

    /// As [`State::apply_part`] where the slice's calls are columns already.
    ///
    /// # Errors
    /// As [`State::apply_part`].
    pub fn apply_columns(
        &mut self,
        part: &SlicePart,
        calls: Option<&SyscallColumns<'_>>,
        until: Until,
    ) -> Result<u64, ReadError> {
        let mut others: HashMap<Stream, std::vec::IntoIter<Stored>> = HashMap::new();
        for stream in STREAMS {
            if stream != Stream::Syscall {
                others.insert(stream, part.stored(stream)?.into_iter());
            }
        }
        let mut times: HashMap<Stream, std::vec::IntoIter<u64>> = HashMap::new();
        for stream in Stream::ALL {
            if part.has(stream) && !Self::streams().has(stream) {
                times.insert(stream, part.times(stream)?.into_iter());
            }
        }
        let mut walk = Walk::new(calls);
        let mut num = part.info().first.saturating_sub(1);
        for run in part.runs() {
            match run.stream {
                Stream::Syscall => {
                    for _ in 0..run.count {
                        if until.is_before(num.saturating_add(1), || walk.time()) {
                            return Ok(num);
                        }
                        walk.step(self);
                        num = num.saturating_add(1);
                    }
                }
                stream if others.contains_key(&stream) => {
                    if let Some(stored) = others.get_mut(&stream) {
                        for stored in stored
                            .by_ref()
                            .take(usize::try_from(run.count).unwrap_or(usize::MAX))
                        {
                            if until.is_before(num.saturating_add(1), || stored.time) {
                                return Ok(num);
                            }
                            self.apply(num.saturating_add(1), stored.time, &stored.body);
                            if matches!(stored.body, Body::Process(_) | Body::Uring(_)) {
                                walk.generation += 1;
                            }
                            num = num.saturating_add(1);
                        }
                    }
                }
                stream => match times.get_mut(&stream) {
                    Some(times) => {
                        for time in times
                            .by_ref()
                            .take(usize::try_from(run.count).unwrap_or(usize::MAX))
                        {
                            if until.is_before(num.saturating_add(1), || BootTime(time)) {
                                return Ok(num);
                            }
                            num = num.saturating_add(1);
                        }
                    }
                    None => num = num.saturating_add(run.count),
                },
            }
        }
        Ok(num)
    }
}

/// The calls of a slice, one after another.
struct Walk<'c, 'a> {
    calls: Option<&'c SyscallColumns<'a>>,
    at: usize,
    /// Moves on with every change of the state: who was met before has to be met again.
    generation: u64,
    /// By thread: the generation in which it was met last.
    met: Vec<u64>,
    /// By number, of the most common table: whether a call changes something.
    changes: Vec<bool>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(calls: Option<&'c SyscallColumns<'a>>) -> Self {
        let changes = |number| effect::facts(Abi::X86_64, number).effect != Effect::None;
        Self {
            calls,
            at: 0,
            generation: 1,
            met: vec![0; calls.map_or(0, |calls| calls.tasks.len())],
            changes: (0..512).map(changes).collect(),
        }
    }

    fn time(&self) -> BootTime {
        BootTime(self.calls.map_or(0, |calls| calls.time(self.at)))
    }

    fn changes(&self, abi: Abi, number: u64) -> bool {
        if abi == Abi::X86_64
            && let Some(changes) = usize::try_from(number)
                .ok()
                .and_then(|number| self.changes.get(number))
        {
            return *changes;
        }
        u32::try_from(number).is_ok_and(|number| effect::facts(abi, number).effect != Effect::None)
    }

    fn step(&mut self, state: &mut State) {
        let Some(calls) = self.calls else { return };
        let row = self.at;
        self.at += 1;
        let thread = usize::try_from(calls.task.get(row)).unwrap_or(usize::MAX);
        if let Some(met) = self.met.get_mut(thread)
            && *met != self.generation
            && let Some(task) = calls.tasks.get(thread)
        {
            // Two threads' entries with different names take turns: see `State::fold`.
            if state.meet(task) {
                self.generation += 1;
            }
            *met = self.generation;
        }
        if self.changes(calls.abi(row), calls.number.get(row))
            && let Some(Body::Syscall(call)) = calls.body(row)
        {
            state.take_effect(&Returned::of_event(&call));
            self.generation += 1;
            if let Some(met) = self.met.get_mut(thread) {
                *met = self.generation;
            }
        }
    }
}
