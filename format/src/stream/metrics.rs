//! Segment `metrics.cbor`: tables `events`, `values`, `names`, `containers`.

use super::dictionary::{Dictionary, strings};
use super::{Part, draft_events, text, wide};
use crate::BootTime;
use crate::column::Layout;
use crate::error::{ReadError, WriteError};
use crate::event::{Body, Draft, Metrics, Stream};
use crate::table::{Segment, SegmentBuilder, Table, TableBuilder};

pub(super) fn encode(drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let mut names: Dictionary<String> = Dictionary::new();
    let mut containers: Dictionary<String> = Dictionary::new();
    let (mut container, mut counts, mut name, mut value) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for draft in drafts {
        let Body::Metrics(metrics) = &draft.body else {
            continue;
        };
        container.push(containers.index(&metrics.container));
        counts.push(wide(metrics.values.len()));
        for (key, reading) in &metrics.values {
            name.push(names.index(key));
            value.push(*reading);
        }
    }
    let events = draft_events(drafts, floor)
        .integers("container", &container, Layout::Fixed)
        .integers("values", &counts, Layout::Varint);
    let values = TableBuilder::new(name.len())
        .integers("name", &name, Layout::Varint)
        .integers("value", &value, Layout::Varint);
    let segment = SegmentBuilder::default()
        .table("events", events)
        .table("values", values)
        .table("names", strings(names.rows()))
        .table("containers", strings(containers.rows()));
    let name = super::segment_name(Stream::Metrics);
    Ok(vec![(name.clone(), segment.encode(&name)?)])
}

pub(super) fn decode(what: &str, segment: &Segment, events: &Table) -> Result<Vec<Body>, ReadError> {
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let names = segment.table("names")?.texts("value")?;
    let containers = segment.table("containers")?.texts("value")?;
    let values = segment.table("values")?;
    let mut readings = values
        .integers("name")?
        .into_iter()
        .zip(values.integers("value")?);
    let mut spent = 0;
    let bodies = events
        .integers("container")?
        .into_iter()
        .zip(events.bounded("values", wide(values.rows()))?)
        .map(|(container, count)| {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let values = readings
                .by_ref()
                .take(count)
                .map(|(name, value)| Ok((text(what, &names, name, &mut spent)?, value)))
                .collect::<Result<Vec<_>, ReadError>>()?;
            if values.len() != count {
                return Err(bad("fewer values than its rows count"));
            }
            Ok(Body::Metrics(Metrics {
                container: text(what, &containers, container, &mut spent)?,
                values,
            }))
        })
        .collect::<Result<Vec<_>, ReadError>>()?;
    if readings.next().is_some() {
        Err(bad("more values than its rows count"))
    } else {
        Ok(bodies)
    }
}
