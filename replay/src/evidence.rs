//! Whether it means something that an event is not there: how much of each stream is complete, and where its holes are.
//!
//! Holes are read from the loss events of a few slices; of the rest the ledgers tell, and a hole is then as long as its
//! slices. Nothing else is read, so that it costs no more than the bundle's ends do.

mod hole;

pub use hole::Hole;

use crate::render;
use crate::view::Context;
use hole::Holes;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::Stream;
use stillframe_format::header::SourceOutcome;
use stillframe_format::reader::{Bundle, Condition};

/// The most holes of one stream that are told in words.
const HOLES_MAX: usize = 8;

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
        let mut holes = Holes::new(from, to);
        holes.gaps(bundle);
        holes.losses(bundle);
        let sources: &[SourceOutcome] = bundle.end().map_or(&[], |end| &end.sources);
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
                    _ => match holes.of(stream) {
                        holes if holes.is_empty() => Verdict::Complete,
                        holes => Verdict::Except(holes),
                    },
                };
                (stream, source, verdict)
            })
            .collect();
        let remarked = sources
            .iter()
            .filter(|source| !source.notes.is_empty())
            .map(|source| source.name.clone())
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
            "what is not here did not happen to the targets, from {} to {}, as far as its stream is complete:",
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
