//! Segments `clock.cbor` and `loss.cbor`: marks that capture itself makes in the order of events.

use super::{Part, column, draft_events};
use crate::BootTime;
use crate::column::{Layout, unzigzag, zigzag};
use crate::error::{ReadError, WriteError};
use crate::event::{Body, ClockStep, Draft, Loss, Stream};
use crate::table::{SegmentBuilder, Table};

pub(super) fn encode(stream: Stream, drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let events = draft_events(drafts, floor);
    let events = if stream == Stream::Clock {
        let delta = column(drafts, |body| match body {
            Body::Clock(step) => zigzag(step.delta),
            _ => 0,
        });
        events.integers("delta", &delta, Layout::Varint)
    } else {
        let losses: Vec<&Loss> = drafts
            .iter()
            .filter_map(|draft| match &draft.body {
                Body::Loss(loss) => Some(loss),
                _ => None,
            })
            .collect();
        let gather =
            |value: &dyn Fn(&Loss) -> u64| losses.iter().map(|loss| value(loss)).collect::<Vec<u64>>();
        events
            .integers(
                "stream",
                &gather(&|loss| u64::from(loss.stream as u8)),
                Layout::Fixed,
            )
            .integers("count", &gather(&|loss| loss.count), Layout::Varint)
            .integers("from", &gather(&|loss| loss.from.0), Layout::Delta)
            .integers("to", &gather(&|loss| loss.to.0), Layout::Delta)
            .bytes("cause", losses.iter().map(|loss| loss.cause.as_bytes()))
            .bytes("scope", losses.iter().map(|loss| loss.scope.as_bytes()))
    };
    let name = super::segment_name(stream);
    Ok(vec![(
        name.clone(),
        SegmentBuilder::default().table("events", events).encode(&name)?,
    )])
}

pub(super) fn decode(stream: Stream, what: &str, events: &Table) -> Result<Vec<Body>, ReadError> {
    if stream == Stream::Clock {
        let steps = events.integers("delta")?.into_iter();
        return Ok(steps
            .map(|delta| {
                Body::Clock(ClockStep {
                    delta: unzigzag(delta),
                })
            })
            .collect());
    }
    let (streams, counts) = (events.integers("stream")?, events.integers("count")?);
    let (from, to) = (events.integers("from")?, events.integers("to")?);
    let (cause, scope) = (events.texts("cause")?, events.texts("scope")?);
    let rows = streams
        .into_iter()
        .zip(counts)
        .zip(from.into_iter().zip(to))
        .zip(cause.into_iter().zip(scope));
    rows.map(|(((stream, count), (from, to)), (cause, scope))| {
        let stream = u8::try_from(stream)
            .ok()
            .and_then(Stream::from_rank)
            .ok_or_else(|| ReadError::damaged(what, format!("stream {stream} is unknown")))?;
        Ok(Body::Loss(Loss {
            stream,
            cause,
            count,
            from: BootTime(from),
            to: BootTime(to),
            scope,
        }))
    })
    .collect()
}
