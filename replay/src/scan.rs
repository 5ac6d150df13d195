//! Scans: a question about many slices, answered by all processors, in the order of the bundle.
//!
//! One thread reads bytes, the others decompress and look, and answers are handed over in order. What a scan holds does
//! not grow with the bundle or with the number of processors: slices on the way at once are bounded by their events and
//! by what they decompress to, and what was made of them and not taken yet by `WAITING_MAX`. So a scan takes at most
//! about three times `CONTENT_IN_FLIGHT` (contents, columns, the events of small streams) and `WAITING_MAX`, which is
//! 136 MiB, unless a single slice is larger than the first. capture seals a slice at 32 MiB.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use stillframe_format::error::ReadError;
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, SliceBytes};

/// Events of the slices on the way at once, together; a slice that has more goes alone.
const EVENTS_IN_FLIGHT: u64 = 300_000;
/// The same where no events are made of the slices, only an answer about each.
const EVENTS_IN_FLIGHT_COUNTED: u64 = 600_000;
/// What the slices on the way at once decompress to, together, in bytes; a slice that is larger goes alone.
const CONTENT_IN_FLIGHT: u64 = 40 << 20;
/// What was made of slices and waits to be taken, in bytes. The slice whose turn it is may always add a piece.
const WAITING_MAX: usize = 16 << 20;
/// The most threads.
const THREADS_MAX: usize = 8;

/// Takes a piece of a slice's answer, and how many bytes it holds; breaks off when no more is wanted.
pub type Emit<'a, T> = &'a mut dyn FnMut(T, usize) -> ControlFlow<()>;

/// Asks `look` about every slice that `wanted` picks, and hands the answers to `take` in the order of slices, until it
/// breaks off.
///
/// # Errors
/// Those of `take`.
pub fn slices<R, T, E>(
    bundle: &mut Bundle<R>,
    wanted: impl Fn(&SliceInfo) -> bool,
    look: impl Fn(&SliceBytes) -> Result<T, ReadError> + Sync,
    take: impl FnMut(&SliceInfo, Result<T, ReadError>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E>
where
    R: Read + Seek,
    T: Send,
{
    let look = |bytes: &SliceBytes, emit: Emit<'_, T>| {
        // How far it goes is its taker's business: it is one answer.
        let _ = emit(look(bytes)?, 0);
        Ok(())
    };
    scan(bundle, EVENTS_IN_FLIGHT_COUNTED, wanted, look, take)
}

/// As [`slices`], where the answer about a slice may be large: it comes in pieces, in order, so that not all of it is in
/// memory at once. An error comes last.
///
/// # Errors
/// Those of `take`.
pub fn pieces<R, T, E>(
    bundle: &mut Bundle<R>,
    wanted: impl Fn(&SliceInfo) -> bool,
    look: impl Fn(&SliceBytes, Emit<'_, T>) -> Result<(), ReadError> + Sync,
    take: impl FnMut(&SliceInfo, Result<T, ReadError>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E>
where
    R: Read + Seek,
    T: Send,
{
    scan(bundle, EVENTS_IN_FLIGHT, wanted, look, take)
}

fn scan<R, T, E>(
    bundle: &mut Bundle<R>,
    events_in_flight: u64,
    wanted: impl Fn(&SliceInfo) -> bool,
    look: impl Fn(&SliceBytes, Emit<'_, T>) -> Result<(), ReadError> + Sync,
    mut take: impl FnMut(&SliceInfo, Result<T, ReadError>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E>
where
    R: Read + Seek,
    T: Send,
{
    let slices = bundle.slices().iter().enumerate();
    let picked: Vec<usize> = slices
        .filter(|(_, info)| wanted(info))
        .map(|(index, _)| index)
        .collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // The allocator keeps for each thread what its largest slice took: more threads than slices that fit at once would
    // hold memory for nothing.
    let fit = |size: fn(&Bundle<R>, &SliceInfo) -> u64, budget: u64| {
        let infos = picked.iter().filter_map(|index| bundle.slices().get(*index));
        let largest = infos.map(|info| size(bundle, info)).max().unwrap_or(0);
        usize::try_from(budget / largest.max(1)).unwrap_or(usize::MAX)
    };
    let threads = processors
        .min(THREADS_MAX)
        .min(fit(|_, info| info.events, events_in_flight))
        .min(fit(Bundle::content_of, CONTENT_IN_FLIGHT))
        .max(1);
    if processors < 2 || picked.len() < 2 {
        for index in picked {
            let Some(info) = bundle.slices().get(index).cloned() else {
                continue;
            };
            let mut taken = Ok(ControlFlow::Continue(()));
            let looked = bundle.slice_bytes(index).and_then(|bytes| {
                look(&bytes, &mut |piece, _| {
                    taken = take(&info, Ok(piece));
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
                && take(&info, Err(error))?.is_break()
            {
                break;
            }
        }
        return Ok(());
    }
    let (jobs, queue) = mpsc::sync_channel::<Job<T>>(threads);
    let queue = Mutex::new(queue);
    let waiting = Waiting::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (queue, look, waiting) = (&queue, &look, &waiting);
            scope.spawn(move || {
                loop {
                    // The lock is held while one waits: whoever gets the next job lets go of it.
                    let job = lock(queue).recv();
                    let Ok(Job { at, bytes, answers }) = job else {
                        return;
                    };
                    let looked = look(&bytes, &mut |piece, size| {
                        if waiting.add(at, size).is_break() || answers.send(Ok((piece, size))).is_err() {
                            return ControlFlow::Break(());
                        }
                        ControlFlow::Continue(())
                    });
                    if let Err(error) = looked {
                        let _ = answers.send(Err(error));
                    }
                }
            });
        }
        // Dropped at the end of this closure, so that the threads end and the scope can.
        let jobs = jobs;
        let _closed = Closing(&waiting);
        let mut ahead: VecDeque<Ahead<T>> = VecDeque::new();
        let mut picked = picked.into_iter().enumerate().peekable();
        let (mut events, mut content) = (0u64, 0u64);
        loop {
            while let Some((at, index)) = picked.peek().copied() {
                let Some(info) = bundle.slices().get(index).cloned() else {
                    picked.next();
                    continue;
                };
                let larger = bundle.content_of(&info);
                let has_room = ahead.len() < 2 * threads
                    && events.saturating_add(info.events) <= events_in_flight
                    && content.saturating_add(larger) <= CONTENT_IN_FLIGHT;
                if !ahead.is_empty() && !has_room {
                    break;
                }
                picked.next();
                let (answers, answered) = mpsc::channel();
                match bundle.slice_bytes(index) {
                    Ok(bytes) => {
                        if jobs.send(Job { at, bytes, answers }).is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        let _ = answers.send(Err(error));
                    }
                }
                events = events.saturating_add(info.events);
                content = content.saturating_add(larger);
                ahead.push_back(Ahead {
                    at,
                    info,
                    content: larger,
                    answered,
                });
            }
            let Some(next) = ahead.pop_front() else { break };
            waiting.turn(next.at);
            for answer in &next.answered {
                let answer = answer.map(|(piece, size)| {
                    waiting.take(next.at, size);
                    piece
                });
                if take(&next.info, answer)?.is_break() {
                    return Ok(());
                }
            }
            events = events.saturating_sub(next.info.events);
            content = content.saturating_sub(next.content);
        }
        Ok(())
    })
}

/// A slice for a thread to look at.
struct Job<T> {
    /// Its place in the order of answers.
    at: usize,
    bytes: SliceBytes,
    answers: mpsc::Sender<Result<(T, usize), ReadError>>,
}

/// A slice that is on the way.
struct Ahead<T> {
    at: usize,
    info: SliceInfo,
    content: u64,
    answered: mpsc::Receiver<Result<(T, usize), ReadError>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pieces that were made and not taken yet.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes of all of them.
    bytes: usize,
    /// How many there are of each slice.
    pieces: BTreeMap<usize, usize>,
    /// The slice whose turn it is.
    turn: usize,
    /// No more are wanted.
    closed: bool,
}

impl Waiting {
    /// Waits until there is room for a piece.
    fn add(&self, at: usize, size: usize) -> ControlFlow<()> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return ControlFlow::Break(());
            }
            // It must go on with the slice that the others wait for.
            let is_due = state.turn == at && !state.pieces.contains_key(&at);
            if is_due || state.bytes.saturating_add(size) <= WAITING_MAX {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes = state.bytes.saturating_add(size);
        *state.pieces.entry(at).or_default() += 1;
        ControlFlow::Continue(())
    }

    fn take(&self, at: usize, size: usize) {
        let mut state = lock(&self.state);
        state.bytes = state.bytes.saturating_sub(size);
        if let Some(pieces) = state.pieces.get_mut(&at) {
            *pieces = pieces.saturating_sub(1);
            if *pieces == 0 {
                state.pieces.remove(&at);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn turn(&self, at: usize) {
        lock(&self.state).turn = at;
        self.changed.notify_all();
    }
}

/// Lets the threads go that wait for room, however the scan ends.
struct Closing<'a>(&'a Waiting);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.changed.notify_all();
    }
}
