//! `replay cut`: the slices of a stretch of time as a bundle of their own.

use super::{Failure, Reading, moment, not_copied, place, say, tool};
use crate::cli;
use stillframe_format::cut::{Cut, cut};
use stillframe_format::layout::START_STATE;
use stillframe_replay::moment::Place;
use stillframe_replay::output::Output;
use stillframe_replay::state;
use stillframe_replay::timeline::Range;

pub(super) fn run(options: &cli::Cut) -> Result<u8, Failure> {
    let (from, to) = (
        moment(options.from.as_deref(), options.bundle.times.tz.as_ref())?,
        moment(options.to.as_deref(), options.bundle.times.tz.as_ref())?,
    );
    let path = &options.bundle.path;
    let mut reading = Reading::open(&options.bundle, false)?;
    let range = Range {
        from: place(from, &reading.context)?,
        to: place(to, &reading.context)?,
    };
    let Some(slices) = reading.timeline.slices_of(&range) else {
        say(&format!("{}: no slice lies in that range", reading.path));
        return Ok(reading.answer(false));
    };
    let first = reading.timeline.bundle().slices().get(*slices.start()).cloned();
    let mut before = None;
    if let Some(first) = first.filter(|first| !first.checkpoint) {
        let place = Place::Event(first.first.saturating_sub(1));
        let found = state::at(&mut reading.timeline, place);
        reading.note(&found.damages);
        let encoded = found.state.encode(START_STATE);
        before = Some(encoded.map_err(|error| not_copied(path, error.into()))?);
    }
    let part = Cut {
        slices,
        state: before,
        tool: tool(),
    };
    let out = Output::create(&options.output, options.force)?;
    let out = cut(reading.timeline.bundle_mut(), &part, out).map_err(|error| not_copied(path, error))?;
    out.finish()?;
    Ok(reading.answer(true))
}
