//! Source `events`: what the engine reports (containers started, died, ran out of memory; networks, volumes, the
//! daemon), one JSON object each, byte for byte.
//!
//! All events of the engine are kept, not only those of the targets: they are few, and a neighbour's OOM kill or a
//! daemon's reload is evidence too. A flood is bounded to [`RATE_LIMIT`] a second; the rest is counted as lost.

use crate::clock::{self, WallClock};
use crate::engine::{Engine, EngineError, Item, Streams};
use crate::secrets;
use crate::source::{Outbox, RecorderGone, Report, Source, SourceError, Stop};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use stillframe_format::event::{EngineEvent, Loss};
use stillframe_format::{Body, BootTime, Draft, Stream};

const NAME: &str = "events";
/// Events kept in a second; a container with a health check makes about five in each of its intervals.
pub const RATE_LIMIT: u64 = 1_000;
/// The longest event that is kept, in bytes. Labels make them long, but not that long.
const LINE_LIMIT: usize = 1 << 20;
/// How long is waited before the engine is asked again after it went away.
const RETRY: Duration = Duration::from_millis(500);
/// At the end: how long nothing may come before everything has come, and how long at most is waited.
const QUIET: Duration = Duration::from_millis(250);
const DRAIN: Duration = Duration::from_millis(1_500);
/// Lines remembered to know them again when the engine repeats itself after a reconnect.
const REMEMBERED: usize = 256;
/// Containers whose OOM kill has been reported and whose death has not.
const OOM_LIMIT: usize = 4_096;

/// What became of a container, for whoever follows containers. Of all containers, not only of the targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It was started or restarted; its process id is to be asked for.
    Started {
        /// Full id.
        id: String,
        /// Name.
        name: String,
    },
    /// Its first process ended.
    Died {
        /// Full id.
        id: String,
        /// Exit code as the engine gives it: 128 + the signal for one that was killed.
        exit_code: Option<i32>,
        /// The engine reported that memory ran out, before this.
        oom: bool,
    },
}

/// The source. See the module.
#[derive(Debug)]
pub struct EngineEvents {
    engine: Engine,
    since: i64,
    lifecycle: Option<Sender<Lifecycle>>,
}

impl EngineEvents {
    /// Events since `since`, nanoseconds of `CLOCK_REALTIME`; the engine remembers the last 256 or so.
    #[must_use]
    pub fn new(engine: Engine, since: i64) -> Self {
        Self {
            engine,
            since,
            lifecycle: None,
        }
    }

    /// Where births and deaths of containers are told while the source runs. Only the last receiver is served; it
    /// ends when the source is dropped.
    pub fn lifecycle(&mut self) -> Receiver<Lifecycle> {
        let (sender, receiver) = channel();
        self.lifecycle = Some(sender);
        receiver
    }
}

impl Source for EngineEvents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let failed = |error: &EngineError| SourceError::new(NAME, error.to_string());
        let mut streams = Streams::new(self.engine.clone()).map_err(|error| failed(&error))?;
        let mut reader = Reader::new(self.since, self.lifecycle.as_ref());
        let mut connection = Connection::default();
        let mut last_error = None;
        let mut ending: Option<Ending> = None;
        streams.open(0, &request(self.since));
        loop {
            if ending.is_none() && stop.is_set() {
                ending = Some(Ending::begin());
            }
            let item = streams.next(Duration::from_millis(50));
            if let (Some(ending), true) = (&mut ending, item.is_some()) {
                ending.last = Instant::now();
            }
            match item {
                Some((_, Item::Opened)) => reader.report.note_gap(connection.opened()),
                Some((_, Item::Chunk(bytes))) => reader.read(&bytes),
                Some((_, Item::End)) => connection.lost(),
                Some((_, Item::Failed(error))) => {
                    connection.lost();
                    last_error = Some(error);
                }
                None => {}
            }
            if reader.hand_over(outbox).is_err()
                || ending.as_ref().is_some_and(|end| end.is_over(&connection))
            {
                break;
            }
            if ending.is_none() && connection.is_due() {
                reader.line.clear();
                streams.open(0, &request(reader.last));
            }
        }
        // A gap that is still open is a hole up to the end.
        reader.report.note_gap(connection.opened());
        reader.rate.close(&mut reader.report.drafts);
        let _ = reader.hand_over(outbox);
        match last_error {
            Some(error) if !connection.ever => Err(failed(&error)),
            Some(error) => {
                reader.report.report.notes.push(error.to_string());
                Ok(reader.report.report)
            }
            None => Ok(reader.report.report),
        }
    }
}

fn request(since: i64) -> String {
    format!(
        "/events?since={}.{:09}",
        since.div_euclid(1_000_000_000),
        since.rem_euclid(1_000_000_000)
    )
}

/// The time after `stop`.
struct Ending {
    begin: Instant,
    last: Instant,
}

impl Ending {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            last: now,
        }
    }

    fn is_over(&self, connection: &Connection) -> bool {
        connection.gone.is_some() || self.last.elapsed() >= QUIET || self.begin.elapsed() >= DRAIN
    }
}

/// Whether the engine is there.
#[derive(Default)]
struct Connection {
    /// It answered at least once.
    ever: bool,
    /// Since when it has been away, once it was there.
    gone: Option<BootTime>,
    retry: Option<Instant>,
}

impl Connection {
    /// The engine answers; since when it had not, if it had before.
    fn opened(&mut self) -> Option<BootTime> {
        let gap = self.gone.take().filter(|_| self.ever);
        self.ever = true;
        gap
    }

    fn lost(&mut self) {
        self.gone.get_or_insert_with(clock::boottime);
        self.retry = Some(Instant::now() + RETRY);
    }

    /// Whether to ask again now; says so once.
    fn is_due(&mut self) -> bool {
        let due = self.retry.is_some_and(|at| Instant::now() >= at);
        if due {
            self.retry = None;
        }
        due
    }
}

/// Events on their way out, and what is said of them.
#[derive(Default)]
struct Outgoing {
    drafts: Vec<Draft>,
    report: Report,
}

impl Outgoing {
    /// Events of the time in which the engine was away are lost: it forgets them when it restarts.
    fn note_gap(&mut self, gone: Option<BootTime>) {
        if let Some(from) = gone {
            self.drafts.push(loss("engine-gone", 0, from, clock::boottime()));
        }
    }
}

fn loss(cause: &str, count: u64, from: BootTime, to: BootTime) -> Draft {
    Draft {
        time: to,
        cpu: 0,
        body: Body::Loss(Loss {
            stream: Stream::Engine,
            cause: cause.to_owned(),
            count,
            from,
            to,
            scope: String::new(),
        }),
    }
}

/// From bytes of the reply to drafts.
struct Reader<'a> {
    line: LineBuffer,
    clock: WallClock,
    rate: RateLimit,
    births: Births,
    lifecycle: Option<&'a Sender<Lifecycle>>,
    /// The newest event's stamp: from there on the engine is asked again.
    last: i64,
    seen: VecDeque<Vec<u8>>,
    report: Outgoing,
}

impl<'a> Reader<'a> {
    fn new(since: i64, lifecycle: Option<&'a Sender<Lifecycle>>) -> Self {
        Self {
            line: LineBuffer::default(),
            clock: WallClock::default(),
            rate: RateLimit::new(RATE_LIMIT),
            births: Births::default(),
            lifecycle,
            last: since,
            seen: VecDeque::new(),
            report: Outgoing::default(),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut lines = Vec::new();
        let too_long = self.line.push(bytes, |line| lines.push(line));
        if too_long > 0 {
            let now = clock::boottime();
            self.report.report.lost += too_long;
            self.report.drafts.push(loss("too-large", too_long, now, now));
        }
        for line in lines {
            self.event(line);
        }
    }

    fn event(&mut self, line: Vec<u8>) {
        if self.seen.contains(&line) {
            return;
        }
        let message = serde_json::from_slice::<Message>(&line).unwrap_or_default();
        let now = clock::boottime();
        let time = message.stamp().map_or(now, |stamp| {
            self.last = self.last.max(stamp);
            self.clock.boottime(stamp)
        });
        if let (Some(change), Some(sender)) = (self.births.of(&message), self.lifecycle) {
            // Nobody has to listen.
            let _ = sender.send(change);
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(line.clone());
        if !self.rate.admit(Instant::now(), now, &mut self.report.drafts) {
            self.report.report.lost += 1;
            return;
        }
        self.report.report.events += 1;
        self.report.drafts.push(Draft {
            time,
            cpu: 0,
            body: Body::Engine(EngineEvent {
                json: secrets::policy()
                    .and_then(|masker| masker.engine_event(&line))
                    .unwrap_or(line),
            }),
        });
    }

    fn hand_over(&mut self, outbox: &Outbox) -> Result<(), RecorderGone> {
        self.rate.tick(Instant::now(), &mut self.report.drafts);
        outbox.events(std::mem::take(&mut self.report.drafts))
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    /// The line at hand is longer than the limit: the rest of it is passed over.
    skipping: bool,
}

impl LineBuffer {
    /// Hands whole lines, without their end, to `found`; how many were passed over.
    fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Vec<u8>)) -> u64 {
        let mut too_long = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ended) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            if !self.skipping && self.bytes.len() + content.len() > LINE_LIMIT {
                self.skipping = true;
                self.bytes = Vec::new();
                too_long += 1;
            }
            if !self.skipping {
                self.bytes.extend_from_slice(content);
            }
            if ended {
                let line = std::mem::take(&mut self.bytes);
                if !self.skipping && !line.is_empty() {
                    found(line);
                }
                self.skipping = false;
            }
        }
        too_long
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What is read of an event (`events.Message` of the Engine API).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    attributes: BTreeMap<String, String>,
}

impl Message {
    /// Nanoseconds of realtime.
    fn stamp(&self) -> Option<i64> {
        match (self.time_nano, self.time) {
            (0, 0) => None,
            (0, seconds) => Some(seconds.saturating_mul(1_000_000_000)),
            (nanoseconds, _) => Some(nanoseconds),
        }
    }
}

/// Births and deaths out of events.
#[derive(Default)]
struct Births {
    oom: BTreeSet<String>,
}

impl Births {
    fn of(&mut self, message: &Message) -> Option<Lifecycle> {
        if message.kind != "container" {
            return None;
        }
        let id = message.actor.id.clone();
        let attribute = |name: &str| message.actor.attributes.get(name);
        match message.action.as_str() {
            "oom" => {
                if self.oom.len() >= OOM_LIMIT {
                    self.oom.clear();
                }
                self.oom.insert(id);
                None
            }
            "start" => {
                self.oom.remove(&id);
                Some(Lifecycle::Started {
                    name: attribute("name").cloned().unwrap_or_default(),
                    id,
                })
            }
            "die" => Some(Lifecycle::Died {
                exit_code: attribute("exitCode").and_then(|text| text.parse().ok()),
                oom: self.oom.remove(&id),
                id,
            }),
            _ => None,
        }
    }
}

/// So many in a second and no more; the others become one loss at the end of the second.
struct RateLimit {
    limit: u64,
    begin: Option<Instant>,
    admitted: u64,
    refused: u64,
    from: BootTime,
    to: BootTime,
}

impl RateLimit {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            begin: None,
            admitted: 0,
            refused: 0,
            from: BootTime::default(),
            to: BootTime::default(),
        }
    }

    fn admit(&mut self, instant: Instant, now: BootTime, out: &mut Vec<Draft>) -> bool {
        self.tick(instant, out);
        self.begin.get_or_insert(instant);
        if self.admitted < self.limit {
            self.admitted += 1;
            return true;
        }
        if self.refused == 0 {
            self.from = now;
        }
        self.to = now;
        self.refused += 1;
        false
    }

    /// Ends a second that is over.
    fn tick(&mut self, instant: Instant, out: &mut Vec<Draft>) {
        if self
            .begin
            .is_some_and(|begin| instant.duration_since(begin) >= Duration::from_secs(1))
        {
            self.close(out);
        }
    }

    fn close(&mut self, out: &mut Vec<Draft>) {
        if self.refused > 0 {
            out.push(loss("rate-limit", self.refused, self.from, self.to));
        }
        (self.begin, self.admitted, self.refused) = (None, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Message {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn lines_are_cut_out_of_any_pieces() {
        let stream = b"{\"a\":1}\n\n{\"b\":\"\xc3\xa9\"}\n{\"cut";
        for size in 1..stream.len() {
            let mut buffer = LineBuffer::default();
            let mut lines = Vec::new();
            for piece in stream.chunks(size) {
                assert_eq!(buffer.push(piece, |line| lines.push(line)), 0);
            }
            assert_eq!(lines, [b"{\"a\":1}".to_vec(), b"{\"b\":\"\xc3\xa9\"}".to_vec()]);
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_counted_once() {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        let mut too_long = 0;
        for _ in 0..40 {
            too_long += buffer.push(&[b'x'; LINE_LIMIT / 16], |line| lines.push(line));
            assert!(buffer.bytes.capacity() <= 2 * LINE_LIMIT);
        }
        too_long += buffer.push(b"x\n{}\n", |line| lines.push(line));
        assert_eq!(too_long, 1);
        assert_eq!(lines, [b"{}".to_vec()]);
    }

    #[test]
    fn deaths_tell_code_and_oom_once() {
        let mut births = Births::default();
        let oom = message(r#"{"Type":"container","Action":"oom","Actor":{"ID":"c1"}}"#);
        let die = message(
            r#"{"Type":"container","Action":"die","Actor":{"ID":"c1","Attributes":{"exitCode":"137"}}}"#,
        );
        assert_eq!(births.of(&oom), None);
        let died = |oom| Lifecycle::Died {
            id: "c1".to_owned(),
            exit_code: Some(137),
            oom,
        };
        assert_eq!(births.of(&die), Some(died(true)));
        assert_eq!(births.of(&die), Some(died(false)));
        let other = message(r#"{"Type":"network","Action":"die","Actor":{"ID":"n"}}"#);
        assert_eq!(births.of(&other), None);
        let start = message(
            r#"{"Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"name":"web"}}}"#,
        );
        assert_eq!(
            births.of(&start),
            Some(Lifecycle::Started {
                id: "c1".to_owned(),
                name: "web".to_owned()
            })
        );
    }

    #[test]
    fn stamps_prefer_nanoseconds() {
        assert_eq!(
            message(r#"{"time":7,"timeNano":7000000001}"#).stamp(),
            Some(7_000_000_001)
        );
        assert_eq!(message(r#"{"time":7}"#).stamp(), Some(7_000_000_000));
        assert_eq!(message("{}").stamp(), None);
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_refused_is_a_loss() {
        let mut rate = RateLimit::new(2);
        let mut out = Vec::new();
        let begin = Instant::now();
        let admitted: Vec<bool> = (0..5)
            .map(|number| rate.admit(begin, BootTime(number), &mut out))
            .collect();
        assert_eq!(admitted, [true, true, false, false, false]);
        assert!(out.is_empty());
        assert!(rate.admit(begin + Duration::from_secs(1), BootTime(9), &mut out));
        assert_eq!(out, [loss("rate-limit", 3, BootTime(2), BootTime(4))]);
    }

    #[test]
    fn what_is_no_event_is_kept_as_it_came_and_repeats_are_not() {
        let mut reader = Reader::new(5, None);
        reader.read(b"{\"x\":1}\nnot json\n{\"timeNano\":1000000000}\n{\"x\":1}\n");
        let kept: Vec<&[u8]> = reader
            .report
            .drafts
            .iter()
            .map(|draft| match &draft.body {
                Body::Engine(event) => event.json.as_slice(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kept,
            [&b"{\"x\":1}"[..], b"not json", b"{\"timeNano\":1000000000}"]
        );
        assert_eq!(reader.last, 1_000_000_000);
        assert_eq!(request(reader.last + 5), "/events?since=1.000000005");
    }
}
