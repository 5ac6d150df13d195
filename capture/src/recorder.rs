//! From messages of many sources to slices of one order: the only place that writes events into the bundle.
//!
//! Events wait here until everything that happened before them can be expected to have arrived (`LAG`), then a
//! slice of them is sorted, folded into the state (which names the descriptors of calls), sealed and written. What
//! still arrives later goes into the next slice and is marked late by the format. A recorder that can't keep up
//! takes no more messages: sources wait, their kernel buffers fill, and the kernel counts what it drops.

mod pending;

use crate::clock;
use crate::source::Message;
use pending::Pending;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;
use stillframe_format::batch::{ROW_ENTRY_UNSEEN, SyscallBatch};
use stillframe_format::entry::Member;
use stillframe_format::error::WriteError;
use stillframe_format::event::{ClockStep, Loss, OpenCall, Stream};
use stillframe_format::header::End;
use stillframe_format::slice::{self, SliceContent};
use stillframe_format::state::State;
use stillframe_format::stream::Names;
use stillframe_format::time::Anchor;
use stillframe_format::writer::Writer;
use stillframe_format::{Body, BootTime, Draft, layout};

/// How long a slice is open at most.
const SLICE_TIME: Duration = Duration::from_secs(1);
/// How long the slowest source takes to hand over what the kernel has seen: blocks of packet rings retire after
/// a tenth of a second, batches of calls after half of that.
const LAG: Duration = Duration::from_millis(300);
/// What is kept free for the end, of a bundle that has a size to keep to.
const LARGEST_ROOM: u64 = 2 << 20;
/// Every so many slices hold a checkpoint, and a slice behind so many events: a seek folds at most that.
const CHECKPOINT_EVERY: u32 = 10;
const CHECKPOINT_EVENTS: u64 = 50_000;

/// Seals slices and writes them.
pub struct Recorder<W: Write> {
    writer: Writer<W>,
    state: State,
    pending: Pending,
    /// Everything before it has been sealed.
    from: BootTime,
    anchor: Anchor,
    /// Reads the clocks; tests have clocks of their own.
    clocks: fn() -> Anchor,
    since_checkpoint: u32,
    events_since_checkpoint: u64,
    /// The output has failed: the state knows of events that could not be written, so it is no checkpoint of those
    /// that were; and room is short.
    checkpoints_ended: bool,
    losses: BTreeMap<&'static str, u64>,
    /// Bytes of the bundle, about.
    limit: u64,
    /// What a slice held that could not be written, by stream.
    unwritten: BTreeMap<Stream, u64>,
}

impl<W: Write> Recorder<W> {
    /// A recorder that writes through `writer`, for what happens from `start` on. `anchor` stands in the header;
    /// `limit` is the size of the bundle that [`Recorder::is_large_enough`] goes by.
    pub fn new(writer: Writer<W>, start: BootTime, anchor: Anchor, limit: u64) -> Self {
        Self {
            writer,
            state: State::default(),
            pending: Pending::default(),
            from: start,
            anchor,
            clocks: clock::anchor,
            since_checkpoint: CHECKPOINT_EVERY,
            events_since_checkpoint: 0,
            checkpoints_ended: false,
            losses: BTreeMap::new(),
            limit,
            unwritten: BTreeMap::new(),
        }
    }

    /// Takes a message; it is written with a later slice.
    pub fn take(&mut self, message: Message) {
        if let Message::Events(drafts) = &message {
            self.count_losses(drafts);
        }
        self.pending.take(message);
    }

    /// Writes the members of the start; `state` is what they tell.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn begin(&mut self, members: Vec<Member>, state: State) -> Result<(), WriteError> {
        self.state = state;
        self.writer.start(members, clock::boottime())
    }

    /// The clocks were read. Where the wall clock has been set since the last reading, that becomes an event.
    ///
    /// A reading that comes later than it was made (a seal read the clocks meanwhile) tells nothing new.
    pub fn read_clocks(&mut self, now: Anchor) {
        if now.boottime < self.anchor.boottime {
            return;
        }
        if let Some(delta) = clock::step(&self.anchor, &now) {
            self.pending.take(Message::Events(vec![Draft {
                time: now.boottime,
                cpu: 0,
                body: Body::Clock(ClockStep { delta }),
            }]));
        }
        self.anchor = now;
        self.pending.anchors.push(now);
    }

    /// Seals what is due at `now`. `open` lists the calls that have not returned.
    ///
    /// # Errors
    /// [`WriteError`], when the output fails; what was to be written is lost then.
    pub fn seal_due(
        &mut self,
        now: BootTime,
        open: &mut dyn FnMut() -> Vec<OpenCall>,
    ) -> Result<(), WriteError> {
        let lagging = BootTime(now.0.saturating_sub(nanoseconds(LAG)));
        let arrived = self
            .pending
            .arrived_until()
            .map_or(lagging, |time| time.min(lagging));
        let is_old = lagging.since(self.from) >= nanoseconds(SLICE_TIME);
        let to = if is_old || self.pending.has_enough_before(arrived) || self.is_near_limit() {
            arrived.max(self.from)
        } else if self.pending.is_full() {
            // The load is more than waiting for the slowest source allows.
            self.pending.middle().max(self.from)
        } else {
            return Ok(());
        };
        self.read_clocks((self.clocks)());
        let calls = open();
        self.seal(to, &calls)
    }

    /// Seals everything before `to`, in as many slices as its amount takes.
    fn seal(&mut self, to: BootTime, open: &[OpenCall]) -> Result<(), WriteError> {
        loop {
            let cut = self.pending.sorted_cut(to);
            let content = self.pending.split(self.from, cut, open);
            self.write(content)?;
            if cut >= to {
                return Ok(());
            }
        }
    }

    fn write(&mut self, mut content: SliceContent) -> Result<(), WriteError> {
        let number = self.writer.next_slice();
        let is_due =
            self.since_checkpoint >= CHECKPOINT_EVERY || self.events_since_checkpoint >= CHECKPOINT_EVENTS;
        let checkpoint = if is_due && !self.checkpoints_ended {
            Some(self.state.encode(layout::STATE)?)
                // One that is too large for a member is left out: checkpoints are hints.
                .filter(|bytes| bytes.len() <= layout::MEMBER_MAX)
        } else {
            None
        };
        let runs = slice::runs(&content);
        let names: Names = self.state.fold(&mut content, &runs, self.writer.next_event());
        let has_checkpoint = checkpoint.is_some();
        let sealed = slice::seal(number, &content, &runs, &names, checkpoint)?;
        if let Err(error) = self.writer.slice(sealed) {
            self.checkpoints_ended = true;
            self.count_unwritten(content.syscalls.rows.len(), content.drafts);
            return Err(error);
        }
        self.from = content.to;
        if has_checkpoint {
            (self.since_checkpoint, self.events_since_checkpoint) = (0, 0);
        }
        self.since_checkpoint = self.since_checkpoint.saturating_add(1);
        self.events_since_checkpoint = self
            .events_since_checkpoint
            .saturating_add(content.events() as u64);
        Ok(())
    }

    /// Whether what waits could take the bundle over its limit, so that it is better written and weighed.
    fn is_near_limit(&self) -> bool {
        let waits = u64::try_from(self.pending.weight()).unwrap_or(u64::MAX);
        self.written().saturating_add(waits) >= self.limit
    }

    /// Whether the bundle has as many bytes as it may have, but for its end.
    pub fn is_large_enough(&self) -> bool {
        let room = (self.limit / 10).min(LARGEST_ROOM);
        self.written() >= self.limit.saturating_sub(room)
    }

    /// Whether so much waits that no more messages should be taken before some of it is sealed.
    pub fn is_full(&self) -> bool {
        self.pending.is_full()
    }

    /// Leaves out everything that is not sealed yet but for late events: the recording ends at the last seal, which
    /// is returned.
    pub fn end_at_seal(&mut self) -> BootTime {
        self.pending.end_at(self.from);
        self.from
    }

    /// The output took no more: what waits, and what could not be written, is counted as lost, so that a bundle that
    /// can still be ended says so. What follows is small: it has to fit the room for the end.
    pub fn give_up(&mut self, cause: &str) {
        let (calls, drafts) = self.pending.take_all();
        self.count_unwritten(calls.rows.len(), drafts);
        self.checkpoints_ended = true;
        self.report_unwritten(cause);
    }

    /// Counts what a message holds instead of taking it: there is no time any more to write it.
    pub fn leave_out(&mut self, message: Message) {
        match message {
            Message::Syscalls(batch) => self.count_unwritten(batch.rows.len(), Vec::new()),
            Message::Events(drafts) => {
                self.count_losses(&drafts);
                self.count_unwritten(0, drafts);
            }
        }
    }

    /// Counts what will not be written; holes and clock steps among it are kept, since what is left is not
    /// understood without them.
    fn count_unwritten(&mut self, calls: usize, drafts: Vec<Draft>) {
        if calls > 0 {
            *self.unwritten.entry(Stream::Syscall).or_default() += calls as u64;
        }
        let is_kept = |draft: &Draft| matches!(draft.body, Body::Loss(_) | Body::Clock(_));
        let (kept, lost): (Vec<_>, Vec<_>) = drafts.into_iter().partition(is_kept);
        for draft in &lost {
            *self.unwritten.entry(draft.body.stream()).or_default() += 1;
        }
        self.pending.put_back(kept);
    }

    fn count_losses(&mut self, drafts: &[Draft]) {
        for draft in drafts {
            if let Body::Loss(loss) = &draft.body {
                let sum = self.losses.entry(loss.stream.name()).or_default();
                *sum = sum.saturating_add(loss.count);
            }
        }
    }

    /// Makes losses of what was not written, if there is any.
    pub fn report_unwritten(&mut self, cause: &str) {
        let lost = std::mem::take(&mut self.unwritten);
        if lost.is_empty() {
            return;
        }
        let (from, to) = (self.from, clock::boottime());
        let drafts = lost.into_iter().map(|(stream, count)| Draft {
            time: to,
            cpu: 0,
            body: Body::Loss(Loss {
                stream,
                cause: cause.to_owned(),
                count,
                from,
                to,
                scope: String::new(),
            }),
        });
        self.take(Message::Events(drafts.collect()));
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.writer.written()
    }

    /// Number of events taken so far.
    pub fn events(&self) -> u64 {
        self.pending.taken()
    }

    /// Events that sources have reported as lost, by stream; a stream that lost an unknown number is there with 0.
    pub fn losses(&self) -> &BTreeMap<&'static str, u64> {
        &self.losses
    }

    /// The output.
    pub fn output(&mut self) -> &mut W {
        self.writer.output()
    }

    /// The output, of a bundle that is not ended.
    pub fn into_output(self) -> W {
        self.writer.into_output()
    }

    /// Seals everything that has arrived, in a last slice.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn seal_rest(&mut self, open: &[OpenCall]) -> Result<(), WriteError> {
        self.read_clocks((self.clocks)());
        let now = self.anchor.boottime;
        let to = self
            .pending
            .newest()
            .map_or(now, |newest| now.max(newest.offset(1)));
        self.seal(to.max(self.from), open)
    }

    /// Ends the bundle. Gives the output back.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(self, members: Vec<Member>, end: End) -> Result<W, WriteError> {
        self.writer.finish(members, end)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Calls that were in flight at `to`: those listed now that had been entered by then, and those that have returned
/// since, which `later` holds.
fn open_at(to: BootTime, listed: &[OpenCall], later: &SyscallBatch) -> Vec<OpenCall> {
    let mut open: Vec<OpenCall> = listed
        .iter()
        .filter(|call| call.enter.is_none_or(|enter| enter < to))
        .cloned()
        .collect();
    for row in &later.rows {
        let unseen = row.flags & ROW_ENTRY_UNSEEN != 0;
        let enter = BootTime(row.time.saturating_sub(row.duration));
        if !unseen && enter >= to {
            continue;
        }
        let task = usize::try_from(row.task)
            .ok()
            .and_then(|task| later.tasks.get(task));
        if let Some(task) = task {
            open.push(OpenCall {
                task: task.clone(),
                abi: row.abi,
                number: row.number,
                args: row.args,
                enter: (!unseen).then_some(enter),
            });
        }
    }
    open.sort_by_key(|call| (call.task.pid, call.task.tid));
    open
}

#[cfg(test)]
mod tests;
