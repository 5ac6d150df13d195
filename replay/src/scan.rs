//! Scans: a question about many slices, answered by all processors, in the order of the bundle.
//!
//! One thread reads bytes, the others decompress and look, and answers are handed over in order. How many slices are
//! on the way at once is bounded by their events, so that memory does not grow with the number of processors.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError, mpsc};
use stillframe_format::error::ReadError;
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, SliceBytes};

/// Events on the way at once, together; a slice that has more goes alone.
const EVENTS_IN_FLIGHT: u64 = 400_000;
/// The most threads.
const THREADS_MAX: usize = 8;

/// Asks `look` about every slice that `wanted` picks, and hands the answers to `take` in the order of slices, until it
/// breaks off.
///
/// # Errors
/// Those of `take`.
pub fn slices<R, T, E>(
    bundle: &mut Bundle<R>,
    wanted: impl Fn(&SliceInfo) -> bool,
    look: impl Fn(&SliceBytes) -> Result<T, ReadError> + Sync,
    mut take: impl FnMut(&SliceInfo, Result<T, ReadError>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E>
where
    R: Read + Seek,
    T: Send,
{
    let picked: Vec<(usize, SliceInfo)> = bundle
        .slices()
        .iter()
        .enumerate()
        .filter(|(_, info)| wanted(info))
        .map(|(index, info)| (index, info.clone()))
        .collect();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX)
        .min(picked.len());
    if threads < 2 {
        for (index, info) in &picked {
            let answer = bundle.slice_bytes(*index).and_then(|bytes| look(&bytes));
            if take(info, answer)?.is_break() {
                break;
            }
        }
        return Ok(());
    }
    let (jobs, queue) = mpsc::sync_channel::<(usize, SliceBytes)>(threads);
    let queue = Mutex::new(queue);
    let (answers, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let answers = answers.clone();
            let (queue, look) = (&queue, &look);
            scope.spawn(move || {
                loop {
                    // The lock is held while one waits: whoever gets the next job lets go of it.
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((at, bytes)) = job else { return };
                    if answers.send((at, look(&bytes))).is_err() {
                        return;
                    }
                }
            });
        }
        // Dropped at the end of this closure, so that the threads end and the scope can.
        let jobs = jobs;
        let mut early: BTreeMap<usize, Result<T, ReadError>> = BTreeMap::new();
        let (mut next_job, mut in_flight) = (0usize, 0u64);
        for (at, (_, info)) in picked.iter().enumerate() {
            while let Some((index, job)) = picked.get(next_job) {
                let is_alone = next_job == at;
                let has_room =
                    next_job < at + 2 * threads && in_flight.saturating_add(job.events) <= EVENTS_IN_FLIGHT;
                if !is_alone && !has_room {
                    break;
                }
                match bundle.slice_bytes(*index) {
                    Ok(bytes) => {
                        if jobs.send((next_job, bytes)).is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        early.insert(next_job, Err(error));
                    }
                }
                in_flight = in_flight.saturating_add(job.events);
                next_job += 1;
            }
            let answer = loop {
                if let Some(answer) = early.remove(&at) {
                    break answer;
                }
                match answered.recv() {
                    Ok((at, answer)) => {
                        early.insert(at, answer);
                    }
                    Err(_) => break Err(ReadError::damaged("slice", "nobody looked at it")),
                }
            };
            in_flight = in_flight.saturating_sub(info.events);
            if take(info, answer)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}
