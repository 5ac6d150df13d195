//! What a source is: something on this host that yields events until it is told to stop.
//!
//! A source runs on a thread of its own. It hands what it has to the recorder through an [`Outbox`], which is
//! bounded: when the recorder is behind, `send` waits, the kernel's own buffer fills, and the kernel counts what
//! did not fit. A source never drops by itself what it has already read; it reports what the kernel dropped as
//! [`stillframe_format::event::Loss`] events.

pub mod block;
pub mod engine_events;
pub mod journal;
pub mod kernel;
pub mod logs;
pub mod metrics;
pub mod packets;
pub mod syscalls;
mod tracing;

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use stillframe_format::header::NotCaptured;
use stillframe_format::{Draft, batch::SyscallBatch};

/// What goes from a source to the recorder.
#[derive(Debug)]
pub enum Message {
    /// System calls, in the order of the ring.
    Syscalls(SyscallBatch),
    /// Events of any other stream (or of several).
    Events(Vec<Draft>),
}

/// Where a source puts what it has.
#[derive(Clone, Debug)]
pub struct Outbox(SyncSender<Message>);

/// The recorder is gone: the source should end.
#[derive(Debug, thiserror::Error)]
#[error("the recorder has ended")]
pub struct RecorderGone;

impl Outbox {
    /// An outbox over the recorder's channel.
    #[must_use]
    pub fn new(sender: SyncSender<Message>) -> Self {
        Self(sender)
    }

    /// Hands over a message; waits while the recorder is behind.
    ///
    /// # Errors
    /// [`RecorderGone`] when nobody will read it.
    pub fn send(&self, message: Message) -> Result<(), RecorderGone> {
        self.0.send(message).map_err(|_| RecorderGone)
    }

    /// Hands over events, unless there are none.
    ///
    /// # Errors
    /// [`RecorderGone`] when nobody will read them.
    pub fn events(&self, events: Vec<Draft>) -> Result<(), RecorderGone> {
        if events.is_empty() {
            Ok(())
        } else {
            self.send(Message::Events(events))
        }
    }
}

/// The request to stop, seen by every source.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everybody to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether to stop. Sources look at least every 100 ms.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A source that has been set up (attached, opened) and can run.
pub trait Source: Send {
    /// Its name in messages and in the bundle: `syscalls`, `packets`, `block`, `journal`, `logs`, `events`,
    /// `kernel`, `metrics`.
    fn name(&self) -> &'static str;

    /// Runs until `stop`, then drains what the kernel still holds, and returns what it did.
    ///
    /// # Errors
    /// A [`SourceError`] ends this source alone; the recorder writes it into the bundle.
    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError>;
}

/// Why a source could not start or had to end. The text names the thing first, then the cause, then what to do.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}: {message}")]
pub struct SourceError {
    /// The source's name.
    pub source_name: &'static str,
    /// Lowercase: what failed, why, and what to do.
    pub message: String,
    /// The capability that would have been enough, such as `CAP_BPF`, where one is missing.
    pub missing: Vec<String>,
}

impl SourceError {
    /// An error that no capability would mend.
    #[must_use]
    pub fn new(source_name: &'static str, message: impl Into<String>) -> Self {
        Self {
            source_name,
            message: message.into(),
            missing: Vec::new(),
        }
    }
}

/// What a source did, for `end.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Events handed over.
    pub events: u64,
    /// Events lost, as far as they were counted.
    pub lost: u64,
    /// Remarks for the reader: neighbours' requests that were counted, a limit that was met, a fallback used.
    pub notes: Vec<String>,
    /// What belongs to the source and could not be had, and why.
    pub missed: Vec<NotCaptured>,
    /// Named counters: `neighbour_requests`, `ring_bytes`, …
    pub counters: Vec<(String, u64)>,
}
