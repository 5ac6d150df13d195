//! Events that have arrived and are not sealed yet.

use super::open_at;
use crate::source::Message;
use std::collections::HashMap;
use stillframe_format::batch::SyscallBatch;
use stillframe_format::event::{OpenCall, ProcessChange, Task};
use stillframe_format::slice::{self, SliceContent};
use stillframe_format::time::Anchor;
use stillframe_format::{Body, BootTime, Draft};

/// A slice is worth sealing early when it has so many bytes: a few MiB once compressed.
const ENOUGH: usize = 16 << 20;
/// More than this is never kept waiting.
const FULL: usize = 48 << 20;
/// The same, in calls or other events; a slice holds no more (format: 262,144 of a stream).
const ENOUGH_EVENTS: usize = 100_000;
const FULL_EVENTS: usize = 160_000;
/// What a slice takes of other streams at most, in bytes: a member must fit its frame.
const SLICE_BYTES: usize = 32 << 20;
/// A batch of so many calls says that more wait in the ring.
const BACKLOG: usize = 8_192;

#[derive(Default)]
pub(super) struct Pending {
    calls: SyscallBatch,
    tasks: HashMap<Task, u32>,
    drafts: Vec<Draft>,
    draft_bytes: usize,
    pub(super) anchors: Vec<Anchor>,
    /// Calls of later times are still in the ring.
    backlog: Option<BootTime>,
    /// What happened at this moment or later is left out.
    until: Option<BootTime>,
    taken: u64,
}

impl Pending {
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Syscalls(mut batch) => {
                if let Some(until) = self.until {
                    batch.rows.retain(|row| row.time < until.0);
                }
                self.taken += batch.rows.len() as u64;
                self.backlog = (batch.rows.len() >= BACKLOG)
                    .then(|| batch.rows.last().map(|row| BootTime(row.time)))
                    .flatten();
                slice::append(&mut self.calls, &mut self.tasks, &batch);
            }
            Message::Events(mut drafts) => {
                if let Some(until) = self.until {
                    drafts.retain(|draft| draft.time < until);
                }
                self.taken += drafts.len() as u64;
                self.draft_bytes += drafts.iter().map(bytes).sum::<usize>();
                self.drafts.extend(drafts);
            }
        }
    }

    /// Leaves out what happens at `until` or later, and what waits of that.
    pub(super) fn end_at(&mut self, until: BootTime) {
        self.until = Some(until);
        let (before, drafts) = (self.calls.rows.len(), self.drafts.len());
        self.calls.rows.retain(|row| row.time < until.0);
        self.drafts.retain(|draft| draft.time < until);
        let left_out = before - self.calls.rows.len() + drafts - self.drafts.len();
        self.taken = self.taken.saturating_sub(left_out as u64);
        self.draft_bytes = self.drafts.iter().map(bytes).sum();
    }

    /// Takes everything that waits out.
    pub(super) fn take_all(&mut self) -> (SyscallBatch, Vec<Draft>) {
        self.tasks.clear();
        self.draft_bytes = 0;
        (std::mem::take(&mut self.calls), std::mem::take(&mut self.drafts))
    }

    /// Puts events in that were taken before: what is told of holes outlives the events that it stands among.
    pub(super) fn put_back(&mut self, drafts: Vec<Draft>) {
        self.draft_bytes += drafts.iter().map(bytes).sum::<usize>();
        self.drafts.extend(drafts);
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// When calls wait in the ring: up to when they have arrived.
    pub(super) fn arrived_until(&self) -> Option<BootTime> {
        self.backlog
    }

    /// Whether what happened before `time` is worth a slice. Calls arrive nearly in order, so a search that wants them
    /// sorted comes close enough.
    pub(super) fn has_enough_before(&self, time: BootTime) -> bool {
        if self.calls.rows.len() < ENOUGH_EVENTS
            && self.drafts.len() < ENOUGH_EVENTS
            && self.weight() < ENOUGH
        {
            return false;
        }
        let calls = self.calls.rows.partition_point(|row| row.time < time.0);
        let drafts = self.drafts.partition_point(|draft| draft.time < time);
        2 * calls >= self.calls.rows.len() && 2 * drafts >= self.drafts.len()
    }

    /// Whether no more may be kept waiting.
    pub(super) fn is_full(&self) -> bool {
        self.weight() >= FULL || self.calls.rows.len() >= FULL_EVENTS || self.drafts.len() >= FULL_EVENTS
    }

    /// A time that about half of what waits is older than.
    pub(super) fn middle(&self) -> BootTime {
        let call = self
            .calls
            .rows
            .get(self.calls.rows.len() / 2)
            .map(|row| BootTime(row.time));
        let draft = self.drafts.get(self.drafts.len() / 2).map(|draft| draft.time);
        if self.calls.weight() >= self.draft_bytes {
            call.or(draft)
        } else {
            draft.or(call)
        }
        .unwrap_or_default()
    }

    pub(super) fn newest(&self) -> Option<BootTime> {
        let call = self.calls.rows.iter().map(|row| BootTime(row.time)).max();
        let draft = self.drafts.iter().map(|draft| draft.time).max();
        call.max(draft)
    }

    /// Bytes that wait, about; more than they take in the bundle.
    pub(super) fn weight(&self) -> usize {
        self.calls.weight() + self.draft_bytes
    }

    /// Sorts, and finds the moment up to which a slice may reach: `to`, or earlier where that were too much for one.
    pub(super) fn sorted_cut(&mut self, to: BootTime) -> BootTime {
        let mut content = SliceContent {
            syscalls: std::mem::take(&mut self.calls),
            drafts: std::mem::take(&mut self.drafts),
            ..SliceContent::default()
        };
        content.sort();
        self.calls = content.syscalls;
        self.drafts = content.drafts;

        let mut cut = to;
        if let Some(row) = self.calls.rows.get(FULL_EVENTS) {
            cut = cut.min(BootTime(row.time));
        }
        if let Some(draft) = self.drafts.get(FULL_EVENTS) {
            cut = cut.min(draft.time);
        }
        if self.draft_bytes > SLICE_BYTES {
            let mut sum = 0;
            let over = self.drafts.iter().find(|draft| {
                sum += bytes(draft);
                sum > SLICE_BYTES
            });
            cut = cut.min(over.map_or(cut, |draft| draft.time));
        }
        let oldest = self
            .calls
            .rows
            .first()
            .map(|row| BootTime(row.time))
            .into_iter()
            .chain(self.drafts.first().map(|draft| draft.time))
            .min();
        // A slice has to take something: everything of the oldest moment, however much that is.
        match oldest {
            Some(oldest) if cut <= oldest => to.min(oldest.offset(1)),
            _ => cut,
        }
    }

    /// Takes out what happened before `cut`. Must follow [`Pending::sorted_cut`].
    pub(super) fn split(&mut self, from: BootTime, cut: BootTime, open: &[OpenCall]) -> SliceContent {
        let to = cut.max(from);
        let mut content = SliceContent {
            syscalls: std::mem::take(&mut self.calls),
            drafts: std::mem::take(&mut self.drafts),
            anchors: std::mem::take(&mut self.anchors),
            from,
            to,
            ..SliceContent::default()
        };
        let (calls, drafts) = content.split_off(cut);
        content.open = open_at(to, open, &calls);
        self.tasks = calls
            .tasks
            .iter()
            .cloned()
            .zip(0..u32::try_from(calls.tasks.len()).unwrap_or(u32::MAX))
            .collect();
        self.calls = calls;
        self.draft_bytes = drafts.iter().map(bytes).sum();
        self.drafts = drafts;
        content
    }
}

/// Bytes of memory that an event holds, about.
fn bytes(draft: &Draft) -> usize {
    let beside = match &draft.body {
        Body::Packet(packet) => packet.data.len(),
        Body::Journal(entry) => entry.export.len(),
        Body::Kernel(message) => message.record.len(),
        Body::Engine(event) => event.json.len(),
        Body::Log(line) => line.bytes.len() + line.container.len(),
        Body::Metrics(metrics) => metrics.values.len() * 48,
        Body::Process(process) => match &process.change {
            ProcessChange::Exec { filename, argv, .. } => {
                filename.value().map_or(0, Vec::len) + argv.value().map_or(0, Vec::len)
            }
            _ => 0,
        },
        Body::Block(_) | Body::Syscall(_) => 128,
        Body::Loss(_) | Body::Clock(_) => 0,
    };
    size_of::<Draft>() + beside
}
