//! Going over a slice before it is sealed: the state moves on, and the descriptor of every call, and of every request of
//! io_uring, gets its name.

use super::State;
use super::call::Returned;
use crate::Draft;
use crate::batch::SyscallBatch;
use crate::event::{Body, DescriptorName, Stream};
use crate::order::Run;
use crate::slice::SliceContent;
use crate::stream::Names;
use std::collections::HashMap;
use std::sync::Arc;

/// Cached answers; a power of two.
const CACHE: usize = 512;

/// The name of a descriptor, as long as nothing changes.
#[derive(Clone, Copy)]
struct Cached {
    generation: u64,
    task: u32,
    fd: i32,
    name: u32,
}

/// Names that were given so far in a slice.
#[derive(Default)]
struct Given {
    names: Names,
    /// By the address of the shared name, which is alive as long as `names` holds it.
    by_address: HashMap<usize, u32>,
    by_content: HashMap<Arc<DescriptorName>, u32>,
}

impl Given {
    /// One more than the position of a name.
    fn index(&mut self, name: &Arc<DescriptorName>) -> u32 {
        let address = Arc::as_ptr(name).addr();
        if let Some(&index) = self.by_address.get(&address) {
            return index;
        }
        let next = u32::try_from(self.names.names.len() + 1).unwrap_or(u32::MAX);
        let index = *self.by_content.entry(Arc::clone(name)).or_insert(next);
        if index == next {
            self.names.names.push(Arc::clone(name));
            self.by_address.insert(address, index);
        }
        index
    }
}

impl State {
    /// Goes over the sorted content of a slice in the order of `runs`, and names the descriptors of its calls, and, in
    /// the content itself, those of its requests of io_uring. `first` is the number of its first event.
    ///
    /// It gives what [`State::apply`] over the slice's events gives; it is only faster where calls change nothing.
    pub fn fold(&mut self, content: &mut SliceContent, runs: &[Run], first: u64) -> Names {
        let mut others: Vec<Vec<&mut Draft>> = Stream::ALL.iter().map(|_| Vec::new()).collect();
        for draft in &mut content.drafts {
            let stream = draft.body.stream();
            if State::streams().has(stream)
                && let Some(drafts) = others.get_mut(usize::from(stream as u8))
            {
                drafts.push(draft);
            }
        }
        let mut others: Vec<_> = others.into_iter().map(Vec::into_iter).collect();
        let mut calls = Calls::new(&content.syscalls);
        let mut before = first;
        for run in runs {
            let nums = before..before.saturating_add(run.count);
            before = nums.end;
            if run.stream == Stream::Syscall {
                nums.for_each(|_| calls.next(self));
                continue;
            }
            let drafts = others.get_mut(usize::from(run.stream as u8));
            for (num, draft) in nums.zip(drafts.into_iter().flatten()) {
                if let Body::Uring(request) = &mut draft.body {
                    request.descriptor = self.about_request(request).cloned();
                }
                self.apply(num, draft.time, &draft.body);
                if matches!(draft.body, Body::Process(_) | Body::Uring(_)) {
                    calls.generation += 1;
                }
            }
        }
        calls.given.names
    }
}

/// The calls of a slice, one after another.
struct Calls<'a> {
    batch: &'a SyscallBatch,
    at: usize,
    given: Given,
    cache: Vec<Cached>,
    /// Moves on with every change of the state: older cached answers don't hold any more.
    generation: u64,
    /// By task of the batch: the generation in which it was met last.
    met: Vec<u64>,
}

impl<'a> Calls<'a> {
    fn new(batch: &'a SyscallBatch) -> Self {
        let rows = batch.rows.len();
        let mut given = Given::default();
        given.names.index.reserve(rows);
        Self {
            batch,
            at: 0,
            given,
            cache: vec![
                Cached {
                    generation: 0,
                    task: 0,
                    fd: -1,
                    name: 0,
                };
                CACHE
            ],
            generation: 1,
            met: vec![0; batch.tasks.len()],
        }
    }

    fn next(&mut self, state: &mut State) {
        let batch = self.batch;
        let Some(row) = batch.rows.get(self.at) else {
            return;
        };
        self.at += 1;
        let number = usize::try_from(row.task).unwrap_or(usize::MAX);
        let Some(task) = batch.tasks.get(number) else {
            self.given.names.index.push(0);
            return;
        };
        let call = Returned::of_row(batch, row, task);
        if let Some(met) = self.met.get_mut(number)
            && *met != self.generation
        {
            // Two entries of one thread with different names take turns: a changed name moves the generation on.
            if state.meet(task) {
                self.generation += 1;
            }
            *met = self.generation;
        }
        let mut name = 0;
        if let Some(fd) = State::argument(&call) {
            name = self.name(state, &call, row.task, fd);
        }
        if call.facts.effect != super::effect::Effect::None {
            state.take_effect(&call);
            self.generation += 1;
            if let Some(met) = self.met.get_mut(number) {
                *met = self.generation;
            }
        }
        if let Some(fd) = State::result(&call) {
            name = self.name(state, &call, row.task, fd);
        }
        self.given.names.index.push(name);
    }

    fn name(&mut self, state: &State, call: &Returned<'_>, task: u32, fd: i32) -> u32 {
        let slot = (task.wrapping_mul(31) ^ fd.cast_unsigned()) as usize % CACHE;
        if let Some(cached) = self.cache.get(slot)
            && cached.generation == self.generation
            && cached.task == task
            && cached.fd == fd
        {
            return cached.name;
        }
        let name = state.about(call, fd).map_or(0, |name| self.given.index(name));
        if let Some(cached) = self.cache.get_mut(slot) {
            *cached = Cached {
                generation: self.generation,
                task,
                fd,
                name,
            };
        }
        name
    }
}
