//! `replay digest`: one hash over the stored events.

use super::{Failure, Reading};
use crate::cli;
use serde_json::json;
use std::io::Write as _;
use std::ops::ControlFlow;
use stillframe_format::digest::EventDigest;
use stillframe_replay::output::Output;
use stillframe_replay::timeline::{Item, Range};

pub(super) fn run(options: &cli::Digest) -> Result<u8, Failure> {
    let mut reading = Reading::open(&options.bundle, false)?;
    let mut digest = EventDigest::default();
    let mut damages = Vec::new();
    let holes = reading.timeline.bundle().gaps().to_vec();
    reading.timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) => digest.add(event),
            // What a salvaged bundle says it lacks is no part of it.
            Item::Damage(damage) if holes.iter().any(|gap| gap.slice == damage.slice) => {}
            Item::Damage(damage) => damages.push(damage.clone()),
        }
        Ok::<_, Failure>(ControlFlow::Continue(()))
    })?;
    if !damages.is_empty() {
        reading.note(&damages);
        return Err(Failure::Part {
            path: reading.path,
            problem: "no digest of events that cannot be read (replay salvage keeps the others)".to_owned(),
        });
    }
    let mut out = Output::stdout();
    let digest = digest.finish().to_string();
    if options.json {
        writeln!(out, "{}", json!({"sha256": digest}))?;
    } else {
        writeln!(out, "{digest}")?;
    }
    out.finish()?;
    Ok(reading.answer(true))
}
