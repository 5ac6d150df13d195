//! The bounded queue between the thread that traces and the one that decodes: what the ring buffer is to the BPF
//! programs. The tracer never waits for a reader, since everything that it traces would wait with it: what finds no
//! room is counted and thrown away.

use super::record::Chunk;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What was lost, of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) calls: u64,
    pub(super) changes: u64,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    used: usize,
    lost: Lost,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Ring {
    capacity: usize,
    state: Mutex<State>,
    filled: Condvar,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::new(State::default()),
            filled: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the records of `chunk`, or counts them as lost; it is empty afterwards.
    pub(super) fn put(&self, chunk: &mut Chunk) {
        if chunk.bytes.is_empty() {
            return;
        }
        let chunk = std::mem::take(chunk);
        let mut state = self.state();
        if state.used + chunk.bytes.len() > self.capacity {
            state.lost.calls += chunk.calls;
            state.lost.changes += chunk.changes;
            return;
        }
        state.used += chunk.bytes.len();
        state.chunks.push_back(chunk.bytes);
        drop(state);
        self.filled.notify_one();
    }

    /// The oldest records, or nothing when none come within `patience`.
    pub(super) fn take(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut state = self.state();
        if state.chunks.is_empty() {
            (state, _) = self
                .filled
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let chunk = state.chunks.pop_front()?;
        state.used -= chunk.len();
        Some(chunk)
    }

    /// What was lost since the beginning.
    pub(super) fn lost(&self) -> Lost {
        self.state().lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(len: usize) -> Chunk {
        Chunk {
            bytes: vec![7; len],
            calls: 3,
            changes: 1,
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let ring = Ring::new(100);
        ring.put(&mut chunk(60));
        ring.put(&mut chunk(60));
        ring.put(&mut Chunk::default());
        assert_eq!(ring.lost(), Lost { calls: 3, changes: 1 });
        assert_eq!(ring.take(Duration::ZERO).unwrap().len(), 60);
        assert_eq!(ring.take(Duration::ZERO), None);
        let mut again = chunk(100);
        ring.put(&mut again);
        assert!(again.bytes.is_empty() && again.calls == 0);
        assert_eq!(ring.take(Duration::ZERO).unwrap().len(), 100);
        assert_eq!(ring.lost(), Lost { calls: 3, changes: 1 });
    }
}
