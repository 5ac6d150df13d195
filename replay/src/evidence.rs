//! Whether it means something that an event is not there: how much of each stream is complete, and where its holes are.
//!
//! Holes are read from the loss events of a few slices; of the rest the ledgers tell, and a hole is then as long as its
//! slices. Nothing else is read, so that it costs no more than the bundle's ends do.

use crate::render;
use crate::view::Context;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Stream};
use stillframe_format::header::SourceOutcome;
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::{Bundle, Condition};

/// The most slices whose loss events are read.
const SLICES_MAX: usize = 16;
/// The most holes of one stream that are told in words.
const HOLES_MAX: usize = 8;

/// A stretch of time of which a stream may lack something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Its beginning.
    pub from: BootTime,
    /// Its end.
    pub to: BootTime,
    /// Events that were lost, as far as they were counted.
    pub count: u64,
    /// Some were lost, and nobody counted them.
    pub uncounted: bool,
    /// Words of `docs/format.md`, "Causes of loss"; `slices-missing` and `left-out` where the bundle lacks slices.
    pub causes: BTreeSet<String>,
    /// What it was confined to: a CPU, a container, an interface.
    pub scopes: BTreeSet<String>,
}

/// What can be said of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What is not here did not happen.
    Complete,
    /// The same, but for these stretches, in the order of their beginnings; they do not overlap.
    Except(Vec<Hole>),
    /// It was not recorded, or not to the end: why.
    NotCaptured(String),
}

/// What the absence of an event says, stream by stream, between two moments.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// From when on.
    pub from: BootTime,
    /// Up to when.
    pub to: BootTime,
    /// Streams that a recording may hold, in the order of their ranks, with the source that records each.
    pub streams: Vec<(Stream, &'static str, Verdict)>,
    /// Sources that have remarks, which stand beside them in `info`.
    pub remarked: BTreeSet<String>,
}

impl Evidence {
    /// That of a bundle.
    #[must_use]
    pub fn of<R: Read + Seek>(bundle: &mut Bundle<R>, context: &Context) -> Self {
        let (from, to) = range(bundle, context);
        let sources: Vec<SourceOutcome> = bundle.end().map_or_else(Vec::new, |end| end.sources.clone());
        let mut holes = Holes::default();
        holes.gaps(bundle, from, to);
        holes.losses(bundle);
        let recorded: BTreeSet<Stream> = bundle
            .slices()
            .iter()
            .flat_map(|slice| slice.counts.keys())
            .filter_map(|name| Stream::from_name(name))
            .collect();
        let streams = Stream::ALL
            .into_iter()
            .filter_map(|stream| Some((stream, source_of(stream)?)))
            .map(|(stream, source)| {
                let outcome = sources.iter().find(|outcome| outcome.name == source);
                let verdict = match outcome {
                    Some(outcome) if outcome.state != "captured" => {
                        Verdict::NotCaptured(format!("{}: {}", outcome.state, outcome.reason))
                    }
                    None if !recorded.contains(&stream) => Verdict::NotCaptured(if bundle.end().is_some() {
                        "the recording names no source".to_owned()
                    } else {
                        "the end record is missing, and there is no event".to_owned()
                    }),
                    _ => holes.of(stream),
                };
                (stream, source, verdict)
            })
            .collect();
        let remarked = sources
            .into_iter()
            .filter(|source| !source.notes.is_empty())
            .map(|source| source.name)
            .collect();
        Self {
            from,
            to,
            streams,
            remarked,
        }
    }

    /// In words, one line each, without line ends.
    #[must_use]
    pub fn lines(&self, context: &Context) -> Vec<String> {
        if self.from == self.to {
            return vec!["nothing: no time of the recording is here".to_owned()];
        }
        let moment = |time| render::mapped_time(time, context);
        let mut lines = vec![format!(
            "what is not here did not happen, from {} to {}, as far as its stream is complete:",
            moment(self.from),
            moment(self.to)
        )];
        let complete: Vec<&str> = self
            .streams
            .iter()
            .filter(|(_, _, verdict)| *verdict == Verdict::Complete)
            .map(|(stream, _, _)| stream.name())
            .collect();
        if !complete.is_empty() {
            lines.push(format!("complete: {}", complete.join(", ")));
        }
        let mut nothing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (stream, _, verdict) in &self.streams {
            let name = stream.name();
            match verdict {
                Verdict::Complete => {}
                Verdict::Except(holes) => {
                    let mut told: Vec<String> = holes
                        .iter()
                        .take(HOLES_MAX)
                        .map(|hole| hole.text(context))
                        .collect();
                    if let Some(more) = holes.len().checked_sub(HOLES_MAX).filter(|more| *more > 0) {
                        told.push(format!("and {more} more (--json shows all)"));
                    }
                    lines.push(format!("{name}: complete except {}", told.join("; ")));
                }
                Verdict::NotCaptured(why) => nothing.entry(why).or_default().push(name),
            }
        }
        for (why, names) in nothing {
            lines.push(format!("no evidence of {} ({why})", names.join(", ")));
        }
        let remarked: Vec<&str> = self
            .streams
            .iter()
            .filter(|(_, source, verdict)| {
                !matches!(verdict, Verdict::NotCaptured(_)) && self.remarked.contains(*source)
            })
            .map(|(stream, _, _)| stream.name())
            .collect();
        if !remarked.is_empty() {
            lines.push(format!(
                "what the notes of their sources say limits that: {}",
                remarked.join(", ")
            ));
        }
        lines
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, context: &Context) -> Value {
        let mut streams = Map::new();
        for (stream, source, verdict) in &self.streams {
            let mut object = Map::new();
            object.insert("source".to_owned(), (*source).into());
            object.insert("remarks".to_owned(), self.remarked.contains(*source).into());
            match verdict {
                Verdict::Complete => {
                    object.insert("state".to_owned(), "complete".into());
                }
                Verdict::Except(holes) => {
                    object.insert("state".to_owned(), "complete except".into());
                    let holes: Vec<Value> = holes.iter().map(|hole| hole.json(context)).collect();
                    object.insert("holes".to_owned(), holes.into());
                }
                Verdict::NotCaptured(why) => {
                    object.insert("state".to_owned(), "no evidence".into());
                    object.insert("reason".to_owned(), why.clone().into());
                }
            }
            streams.insert(stream.name().to_owned(), object.into());
        }
        let mut object = Map::new();
        context.put_time(&mut object, "from", self.from);
        context.put_time(&mut object, "to", self.to);
        object.insert("streams".to_owned(), streams.into());
        object.into()
    }
}

impl Hole {
    /// Whether another is a part of the same stretch.
    fn touches(&self, other: &Self) -> bool {
        other.from <= self.to && self.from <= other.to
    }

    fn join(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.count = self.count.saturating_add(other.count);
        self.uncounted |= other.uncounted;
        self.causes.extend(other.causes);
        self.scopes.extend(other.scopes);
    }

    fn text(&self, context: &Context) -> String {
        let count = match (self.count, self.uncounted) {
            (0, _) => "how many were lost is not known".to_owned(),
            (count, false) => format!("{count} lost"),
            (count, true) => format!("more than {count} lost"),
        };
        let words: Vec<&str> = self
            .causes
            .iter()
            .chain(&self.scopes)
            .map(String::as_str)
            .collect();
        let why = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(", "))
        };
        format!(
            "{} to {} ({count}{why})",
            render::mapped_time(self.from, context),
            render::mapped_time(self.to, context)
        )
    }

    fn json(&self, context: &Context) -> Value {
        let mut object = Map::new();
        context.put_time(&mut object, "from", self.from);
        context.put_time(&mut object, "to", self.to);
        object.insert("count".to_owned(), self.count.into());
        object.insert("counted".to_owned(), (!self.uncounted).into());
        object.insert("causes".to_owned(), json!(self.causes));
        object.insert("scopes".to_owned(), json!(self.scopes));
        object.into()
    }
}

/// Holes as they are found, in any order, of one stream or of all.
#[derive(Default)]
struct Holes(Vec<(Option<Stream>, Hole)>);

impl Holes {
    /// Stretches whose slices are not here, but for those before `from` and from `to` on.
    fn gaps<R: Read + Seek>(&mut self, bundle: &Bundle<R>, from: BootTime, to: BootTime) {
        for gap in bundle.gaps() {
            if gap.to <= from || gap.from >= to {
                continue;
            }
            let cause = if gap.is_hole() {
                "slices-missing"
            } else {
                "left-out"
            };
            self.0.push((
                None,
                Hole {
                    from: gap.from,
                    to: gap.to,
                    count: 0,
                    uncounted: true,
                    causes: BTreeSet::from([cause.to_owned()]),
                    scopes: BTreeSet::new(),
                },
            ));
        }
    }

    /// What the slices say was lost.
    fn losses<R: Read + Seek>(&mut self, bundle: &mut Bundle<R>) {
        let lossy: Vec<usize> = bundle
            .slices()
            .iter()
            .enumerate()
            .filter(|(_, slice)| slice.missing == 0 && !slice.lost.is_empty())
            .map(|(index, _)| index)
            .collect();
        for (place, index) in lossy.into_iter().enumerate() {
            if place >= SLICES_MAX || self.read(bundle, index).is_none() {
                self.of_ledger(bundle.slices(), index);
            }
        }
    }

    /// Reads the loss events of a slice; nothing where that can't be done.
    fn read<R: Read + Seek>(&mut self, bundle: &mut Bundle<R>, index: usize) -> Option<()> {
        let bytes = bundle.slice_bytes(index).ok()?;
        let part = bytes.open([Stream::Loss].into_iter().collect()).ok()?;
        for stored in part.stored(Stream::Loss).ok()? {
            let Body::Loss(loss) = stored.body else { continue };
            self.0.push((
                Some(loss.stream),
                Hole {
                    from: loss.from,
                    to: loss.to,
                    count: loss.count,
                    uncounted: loss.count == 0,
                    causes: BTreeSet::from([loss.cause]),
                    scopes: [loss.scope]
                        .into_iter()
                        .filter(|scope| !scope.is_empty())
                        .collect(),
                },
            ));
        }
        Some(())
    }

    /// What the ledger of a slice sums up. A hole is told when it is noticed, and may have begun in the slice before.
    fn of_ledger(&mut self, slices: &[SliceInfo], index: usize) {
        let Some(slice) = slices.get(index) else { return };
        let before = index.checked_sub(1).and_then(|index| slices.get(index));
        for (name, count) in &slice.lost {
            let Some(stream) = Stream::from_name(name) else {
                continue;
            };
            self.0.push((
                Some(stream),
                Hole {
                    from: before.map_or(slice.from, |before| before.from),
                    to: slice.to,
                    count: *count,
                    uncounted: *count == 0,
                    causes: BTreeSet::new(),
                    scopes: BTreeSet::new(),
                },
            ));
        }
    }

    /// What they leave of a stream.
    fn of(&self, stream: Stream) -> Verdict {
        let mut holes: Vec<Hole> = self
            .0
            .iter()
            .filter(|(of, _)| of.is_none_or(|of| of == stream))
            .map(|(_, hole)| hole.clone())
            .collect();
        holes.sort_by_key(|hole| (hole.from, hole.to));
        let mut joined: Vec<Hole> = Vec::new();
        for hole in holes {
            match joined.last_mut() {
                Some(last) if last.touches(&hole) => last.join(hole),
                _ => joined.push(hole),
            }
        }
        if joined.is_empty() {
            Verdict::Complete
        } else {
            Verdict::Except(joined)
        }
    }
}

/// The source that records a stream (`docs/format.md`, "End"); none for what capture itself tells.
fn source_of(stream: Stream) -> Option<&'static str> {
    Some(match stream {
        Stream::Clock | Stream::Loss => return None,
        Stream::Process | Stream::Syscall | Stream::Uring => "syscalls",
        Stream::Packet => "packets",
        Stream::Block => "block",
        Stream::Journal => "journal",
        Stream::Kernel => "kernel",
        Stream::Engine => "events",
        Stream::Log => "logs",
        Stream::Metrics => "metrics",
    })
}

/// From when to when the bundle can say anything: what was recorded, without what is cut off.
fn range<R: Read + Seek>(bundle: &Bundle<R>, context: &Context) -> (BootTime, BootTime) {
    let (mut from, mut to) = (context.start, context.end);
    match bundle.condition() {
        Condition::Complete => {}
        Condition::Cut { .. } | Condition::Damaged { .. } => {
            let last = bundle.slices().iter().rev().find(|slice| slice.missing == 0);
            to = last.map_or(from, |slice| slice.to);
        }
    }
    for gap in bundle.gaps() {
        if gap.from <= from {
            from = from.max(gap.to);
        } else if gap.to >= to {
            to = to.min(gap.from);
        }
    }
    (from, to.max(from))
}
