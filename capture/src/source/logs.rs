//! Source `logs`: what containers wrote to stdout and stderr, as their engine kept it, piece by piece.
//!
//! Each container is one reply of the engine that does not end (`follow=1`). The look-back and what follows it are
//! the same reply, read in two parts, so nothing is lost or repeated between them. When a reply ends it is asked for
//! once more, because an engine that restarts ends it just like a container that dies; after that, only
//! [`LogsHandle::add`] begins anew. A container whose log can't be read costs its own log and a note.

pub(crate) mod decode;
mod resume;

use crate::clock::{self, WallClock};
use crate::engine::{Container, Engine, EngineError, Item, Streams};
use crate::source::{Outbox, Report, Source, SourceError, Stop};
use decode::{Decoder, Kind, NoFrame, Piece};
use resume::{Seen, Verdict};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use stillframe_format::event::{LogLine, Loss};
use stillframe_format::{Body, BootTime, Draft, Stream};

const NAME: &str = "logs";
/// Lines of a log that the engine looks through for those of the look-back: without a bound it decodes all of a log,
/// which may be gigabytes, to find the stamps. A reply that begins with as many may have older ones before it.
const TAIL: u32 = 65_536;
/// How much later than its reply the engine may have looked where the last [`TAIL`] lines begin.
const TAIL_SLACK: Duration = Duration::from_secs(1);
/// The same when a log is read on, where only few lines are new.
const TAIL_AGAIN: u32 = 16_384;
/// The look-back: how long nothing may come before all has come, and how long at most is waited.
const LOOKBACK_QUIET: Duration = Duration::from_millis(300);
const LOOKBACK_TIME: Duration = Duration::from_secs(3);
/// At the end, likewise.
const QUIET: Duration = Duration::from_millis(250);
const DRAIN: Duration = Duration::from_millis(1_500);
/// How long is waited before a log that ended or failed is asked for again: the first time, and at most.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Notes that are kept.
const NOTES: usize = 64;

/// Whose logs.
#[derive(Clone, Debug)]
pub struct LogsConfig {
    /// The engine that keeps them.
    pub engine: Engine,
    /// The containers from the start on; [`LogsHandle::add`] is for later ones.
    pub containers: Vec<Container>,
}

/// Pieces from before the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsLookback {
    /// Oldest first, of all containers; what is missing stands among them as losses.
    pub drafts: Vec<Draft>,
    /// Older pieces that did not fit.
    pub dropped: u64,
}

/// Adds containers to the source while it runs.
#[derive(Clone, Debug)]
pub struct LogsHandle(Sender<Container>);

impl LogsHandle {
    /// Follows the log of a container that was born, or of one that was restarted, from where it was left.
    pub fn add(&self, container: &Container) {
        // When the source has ended there is nothing to follow.
        let _ = self.0.send(container.clone());
    }
}

/// The source. See the module.
#[derive(Debug)]
pub struct Logs {
    streams: Streams,
    followed: Vec<Followed>,
    reader: Reader,
    since: i64,
    sender: Sender<Container>,
    added: Receiver<Container>,
}

impl Logs {
    /// Follows `containers` from now on, unless [`Logs::lookback`] is asked for earlier pieces.
    ///
    /// # Errors
    /// When this process can't set up a client.
    pub fn open(config: LogsConfig) -> Result<Self, SourceError> {
        let streams =
            Streams::new(config.engine).map_err(|error| SourceError::new(NAME, error.to_string()))?;
        let (sender, added) = channel();
        let since = clock::realtime();
        Ok(Self {
            streams,
            followed: config
                .containers
                .into_iter()
                .map(|container| Followed::new(container, since))
                .collect(),
            reader: Reader::default(),
            since,
            sender,
            added,
        })
    }

    /// The means to add containers later.
    #[must_use]
    pub fn handle(&self) -> LogsHandle {
        LogsHandle(self.sender.clone())
    }

    /// The newest pieces from `since` (nanoseconds of realtime) up to now, at most `max_bytes` of all containers
    /// together. The source goes on right behind. To be called once, before it runs.
    pub fn lookback(&mut self, since: i64, max_bytes: usize) -> LogsLookback {
        let now = clock::realtime();
        let begin = Instant::now();
        let mut last = begin;
        for followed in &mut self.followed {
            followed.seen = Seen::nothing(since);
        }
        self.ask_all();
        let mut newest = Newest::new(max_bytes);
        let mut out = LogsLookback::default();
        while begin.elapsed() < LOOKBACK_TIME
            && last.elapsed() < LOOKBACK_QUIET
            && !self.followed.iter().all(|one| one.has_come_to(now))
        {
            if self.step(Duration::from_millis(20)) {
                last = Instant::now();
            }
            for draft in self.reader.drafts.drain(..) {
                newest.add(draft);
            }
        }
        (out.drafts, out.dropped) = newest.finish();
        // A limit that was asked for: a hole before the start, which the losses show, but nothing that went wrong.
        self.reader.report.events -= out.dropped;
        if out.dropped > 0 {
            let counter = ("lookback_dropped".to_owned(), out.dropped);
            self.reader.report.counters.push(counter);
        }
        out
    }

    fn ask_all(&mut self) {
        for key in 0..self.followed.len() {
            self.ask(key);
        }
    }

    /// Asks for a log, unless it is being read.
    fn ask(&mut self, key: usize) {
        if let Some(followed) = self.followed.get_mut(key)
            && !matches!(followed.state, State::Reading { .. })
        {
            let path = followed.ask();
            self.streams.open(key as u64, &path);
        }
    }

    /// Takes the next item of any log, if one comes in time.
    fn step(&mut self, patience: Duration) -> bool {
        let Some((key, item)) = self.streams.next(patience) else {
            return false;
        };
        let followed = usize::try_from(key)
            .ok()
            .and_then(|key| self.followed.get_mut(key));
        if let Some(followed) = followed {
            followed.take(item, &mut self.reader);
        }
        true
    }

    /// Begins with those that were added, and again with those whose time has come.
    fn look_after(&mut self) {
        while let Ok(container) = self.added.try_recv() {
            let known = self
                .followed
                .iter_mut()
                .find(|one| one.container.id == container.id);
            match known {
                Some(followed) => followed.begin_again(container),
                None => self.followed.push(Followed::new(container, self.since)),
            }
        }
        for key in 0..self.followed.len() {
            if self.followed.get(key).is_some_and(Followed::is_due) {
                self.ask(key);
            }
        }
    }
}

impl Source for Logs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut ending: Option<Ending> = None;
        loop {
            if ending.is_none() && stop.is_set() {
                ending = Some(Ending::begin());
            }
            // What was added before the stop is still read.
            self.look_after();
            let has_come = self.step(Duration::from_millis(50));
            if let Some(ending) = &mut ending {
                if has_come {
                    ending.last = Instant::now();
                }
                if ending.is_over(&self.followed) {
                    for followed in &self.followed {
                        followed.leave(ending, &mut self.reader);
                    }
                    let _ = outbox.events(std::mem::take(&mut self.reader.drafts));
                    break;
                }
            }
            if outbox.events(std::mem::take(&mut self.reader.drafts)).is_err() {
                break;
            }
        }
        Ok(std::mem::take(&mut self.reader.report))
    }
}

/// The time after `stop`.
struct Ending {
    begin: Instant,
    realtime: i64,
    last: Instant,
}

impl Ending {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            realtime: clock::realtime(),
            last: now,
        }
    }

    fn is_over(&self, followed: &[Followed]) -> bool {
        let is_asked = followed
            .iter()
            .any(|one| matches!(one.state, State::Reading { opened: None, .. }));
        let past = self.realtime.saturating_add(nanoseconds(QUIET));
        self.begin.elapsed() >= DRAIN
            || !is_asked && self.last.elapsed() >= QUIET
            || followed.iter().all(|one| one.has_come_to(past))
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A container's log.
#[derive(Debug)]
struct Followed {
    container: Container,
    seen: Seen,
    /// The highest stamp that came, in nanoseconds of realtime.
    newest: Option<i64>,
    state: State,
    /// It was readable once: a failure is then no surprise, or a hole.
    ever: bool,
    /// Ends and failures since something new came.
    idle: u32,
}

#[derive(Debug)]
enum State {
    /// To be asked for at this moment.
    Due(Instant),
    Reading {
        decoder: Decoder,
        /// When the engine accepted.
        opened: Option<Instant>,
        /// When bytes came last.
        last: Option<Instant>,
        /// To be asked for again when this reply ends, because the container was started again.
        again: bool,
        broken: Option<NoFrame>,
        /// Of a log that was not read before, until [`TAIL`] pieces came.
        first: Option<First>,
    },
    /// Nothing is to come.
    Ended,
}

/// How a log that was not read before begins.
#[derive(Debug, Default)]
struct First {
    pieces: u32,
    stamp: Option<i64>,
}

impl Followed {
    fn new(container: Container, since: i64) -> Self {
        Self {
            container,
            seen: Seen::nothing(since),
            newest: None,
            state: State::Due(Instant::now()),
            ever: false,
            idle: 0,
        }
    }

    /// Begins to read; the request for it.
    fn ask(&mut self) -> String {
        let tail = if self.newest.is_some() { TAIL_AGAIN } else { TAIL };
        self.state = State::Reading {
            decoder: Decoder::new(self.container.tty),
            opened: None,
            last: None,
            again: false,
            broken: None,
            first: self.newest.is_none().then(First::default),
        };
        request(&self.container.id, self.seen.again(), tail)
    }

    fn begin_again(&mut self, container: Container) {
        self.container = container;
        self.idle = 0;
        match &mut self.state {
            // The reply of the life before this one may not have ended yet.
            State::Reading { again, .. } => *again = true,
            state => *state = State::Due(Instant::now()),
        }
    }

    fn is_due(&self) -> bool {
        matches!(self.state, State::Due(at) if Instant::now() >= at)
    }

    /// The first reply began with all the lines that it could have of before it: there may be older ones.
    fn look_for_older(&mut self, stamp: i64, reader: &mut Reader) {
        let State::Reading {
            opened: Some(opened),
            first: Some(first),
            ..
        } = &mut self.state
        else {
            return;
        };
        first.pieces += 1;
        let from = *first.stamp.get_or_insert(stamp);
        if first.pieces < TAIL {
            return;
        }
        let before = nanoseconds(opened.elapsed().saturating_sub(TAIL_SLACK));
        if stamp <= clock::realtime().saturating_sub(before) {
            reader.older(&self.container, self.seen.since(), from);
        }
        // Whatever comes now came after the reply began.
        if let State::Reading { first, .. } = &mut self.state {
            *first = None;
        }
    }

    /// Everything up to this stamp has come, as far as that can be known.
    fn has_come_to(&self, realtime: i64) -> bool {
        matches!(self.state, State::Ended) || self.newest.is_some_and(|newest| newest >= realtime)
    }

    fn take(&mut self, item: Item, reader: &mut Reader) {
        let State::Reading {
            decoder,
            opened,
            last,
            again,
            broken,
            ..
        } = &mut self.state
        else {
            return;
        };
        match item {
            Item::Opened => {
                *opened = Some(Instant::now());
                self.ever = true;
            }
            Item::Chunk(bytes) => {
                *last = Some(Instant::now());
                let mut pieces = Vec::new();
                if let Err(cause) = decoder.push(&bytes, |piece| pieces.push(piece))
                    && broken.is_none()
                {
                    *broken = Some(cause);
                    reader.note(&self.container, &cause.to_string());
                    reader.lose(&self.container, "unreadable", 0, self.newest);
                }
                self.pieces(pieces, reader);
            }
            Item::End => {
                let mut pieces = Vec::new();
                decoder.finish(|piece| pieces.push(piece));
                let (again, is_broken) = (*again, broken.is_some());
                self.pieces(pieces, reader);
                self.state = if again {
                    State::Due(Instant::now())
                } else if is_broken || self.idle > 0 {
                    State::Ended
                } else {
                    State::Due(Instant::now() + RETRY)
                };
                self.idle += 1;
            }
            Item::Failed(error) => {
                let again = *again;
                self.state = self.failed(&error, again, reader);
                self.idle = self.idle.saturating_add(1);
            }
        }
    }

    fn failed(&self, error: &EngineError, again: bool, reader: &mut Reader) -> State {
        if let EngineError::Status { status, .. } = error {
            // One that was removed after it died is no news.
            if !(self.ever && *status == 404) {
                reader.unreadable(&self.container, error);
            }
            return if again {
                State::Due(Instant::now())
            } else {
                State::Ended
            };
        }
        if self.idle == 0 {
            reader.note(&self.container, &error.to_string());
        }
        State::Due(Instant::now() + RETRY.saturating_mul(1 << self.idle.min(8)).min(RETRY_MAX))
    }

    fn pieces(&mut self, pieces: Vec<Piece>, reader: &mut Reader) {
        for piece in pieces {
            let Kind::Output(stream) = piece.kind else {
                let words: String = String::from_utf8_lossy(&piece.bytes)
                    .trim()
                    .chars()
                    .take(200)
                    .map(|char| if char.is_control() { '?' } else { char })
                    .collect();
                reader.note(&self.container, &words);
                continue;
            };
            if let Some(stamp) = piece.stamp {
                match self.seen.take(stamp, stream, &piece.bytes) {
                    Verdict::New => {}
                    Verdict::Known => continue,
                    Verdict::NewBehindHole => reader.lose(&self.container, "log-gap", 0, self.newest),
                }
                self.newest = self.newest.max(Some(stamp));
                self.look_for_older(stamp, reader);
            }
            self.idle = 0;
            reader.piece(&self.container, stream, piece);
        }
    }

    /// At the end: whether something may have been left with the engine.
    fn leave(&self, ending: &Ending, reader: &mut Reader) {
        let cause = match &self.state {
            State::Reading { last, broken, .. } => {
                let was_coming = last.is_some_and(|last| last.elapsed() < QUIET && last > ending.begin);
                let is_whole = self.newest.is_some_and(|newest| newest >= ending.realtime);
                (was_coming && !is_whole && broken.is_none()).then_some("stopped")
            }
            State::Due(_) if self.idle > 1 => Some("engine-gone"),
            _ => None,
        };
        if let Some(cause) = cause {
            reader.lose(&self.container, cause, 0, self.newest);
        }
    }
}

fn request(id: &str, since: i64, tail: u32) -> String {
    format!(
        "/containers/{id}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since={}.{:09}&tail={tail}",
        since.max(0) / 1_000_000_000,
        since.max(0) % 1_000_000_000
    )
}

/// From pieces to drafts.
#[derive(Debug, Default)]
struct Reader {
    clock: WallClock,
    drafts: Vec<Draft>,
    report: Report,
}

impl Reader {
    fn piece(&mut self, container: &Container, stream: stillframe_format::event::LogStream, piece: Piece) {
        let realtime = piece.stamp.unwrap_or_else(clock::realtime);
        let time = self.clock.boottime(realtime);
        if piece.cut > 0 {
            self.report.lost += 1;
            self.drafts.push(loss(container, "too-large", 1, time, time));
        }
        self.report.events += 1;
        self.drafts.push(Draft {
            time,
            cpu: 0,
            body: Body::Log(LogLine {
                container: container.id.clone(),
                stream,
                realtime,
                bytes: piece.bytes,
            }),
        });
    }

    /// A hole from the stamp that came last up to now.
    fn lose(&mut self, container: &Container, cause: &str, count: u64, newest: Option<i64>) {
        let now = clock::boottime();
        let from = newest.map_or(now, |newest| self.clock.boottime(newest));
        self.report.lost += count;
        self.drafts.push(loss(container, cause, count, from, now));
    }

    /// There may be pieces between `since` and the first that came, both nanoseconds of realtime.
    fn older(&mut self, container: &Container, since: i64, first: i64) {
        let to = self.clock.boottime(first);
        let from = self.clock.boottime(since);
        self.drafts.push(loss(container, "lookback-limit", 0, from, to));
    }

    fn unreadable(&mut self, container: &Container, error: &EngineError) {
        let driver = &container.log_driver;
        self.note(container, &format!("log driver {driver} gives no log: {error}"));
        self.lose(container, "unreadable", 0, None);
    }

    fn note(&mut self, container: &Container, words: &str) {
        let note = format!("{}: {words}", container.name);
        if self.report.notes.len() < NOTES && !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }
}

fn loss(container: &Container, cause: &str, count: u64, from: BootTime, to: BootTime) -> Draft {
    Draft {
        time: to,
        cpu: 0,
        body: Body::Loss(Loss {
            stream: Stream::Log,
            cause: cause.to_owned(),
            count,
            from: from.min(to),
            to,
            scope: container.id.clone(),
        }),
    }
}

/// The newest pieces of all logs that fit; the others are counted.
#[derive(Debug)]
struct Newest {
    limit: usize,
    bytes: usize,
    arrived: u64,
    /// By time and arrival.
    kept: BTreeMap<(BootTime, u64), Draft>,
    /// By container: how many, and between which moments.
    dropped: BTreeMap<String, (u64, BootTime, BootTime)>,
    /// What came without being a piece, and is kept whatever the limit.
    losses: Vec<Draft>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            arrived: 0,
            kept: BTreeMap::new(),
            dropped: BTreeMap::new(),
            losses: Vec::new(),
        }
    }

    fn add(&mut self, draft: Draft) {
        if !matches!(draft.body, Body::Log(_)) {
            self.losses.push(draft);
            return;
        }
        self.bytes += size(&draft);
        self.arrived += 1;
        self.kept.insert((draft.time, self.arrived), draft);
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.kept.pop_first()
        {
            self.bytes -= size(&oldest);
            if let Body::Log(line) = oldest.body {
                let (count, _, to) =
                    self.dropped
                        .entry(line.container)
                        .or_insert((0, oldest.time, oldest.time));
                *count += 1;
                *to = oldest.time.max(*to);
            }
        }
    }

    fn finish(self) -> (Vec<Draft>, u64) {
        let total = self.dropped.values().map(|(count, ..)| count).sum();
        let losses = self.dropped.into_iter().map(|(scope, (count, from, to))| Draft {
            time: to,
            cpu: 0,
            body: Body::Loss(Loss {
                stream: Stream::Log,
                cause: "lookback-limit".to_owned(),
                count,
                from,
                to,
                scope,
            }),
        });
        let all = self
            .losses
            .into_iter()
            .chain(losses)
            .chain(self.kept.into_values());
        (all.collect(), total)
    }
}

fn size(draft: &Draft) -> usize {
    match &draft.body {
        Body::Log(line) => line.bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
