//! `replay events`: the events that are meant, in their order.

use super::{Failure, Reading, filter, moment, place, say};
use crate::cli;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use stillframe_replay::render;
use stillframe_replay::timeline::{Range, Search};
use stillframe_replay::view::View;

pub(super) fn run(options: &cli::Events) -> Result<u8, Failure> {
    let filter = filter(&options.filter)?;
    let (from, to) = (
        moment(options.from.as_deref(), options.bundle.times.tz.as_ref())?,
        moment(options.to.as_deref(), options.bundle.times.tz.as_ref())?,
    );
    let mut reading = Reading::open(&options.bundle, options.json)?;
    let range = Range {
        from: place(from, &reading.context)?,
        to: place(to, &reading.context)?,
    };
    let mut out = options.bundle.paging.output();
    let mut matched = 0u64;
    let mut damages = Vec::new();
    let mut hidden: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let context = &reading.context;
    let search = Search {
        range,
        filter: &filter,
        context,
        count: options.count,
        limit: options.number,
    };
    reading.timeline.search(&search, |slice| {
        match slice {
            Ok(found) => {
                matched = matched.saturating_add(found.matched);
                for event in &found.events {
                    if options.json {
                        writeln!(out, "{}", render::json_line(&View::new(event, context)))?;
                    } else {
                        writeln!(out, "{}", render::line(&View::new(event, context)))?;
                    }
                }
                for (stream, (holes, count)) in found.hidden {
                    let sums = hidden.entry(stream).or_default();
                    sums.0 += holes;
                    sums.1 = sums.1.saturating_add(count);
                }
            }
            Err(damage) => {
                if options.count {
                } else if options.json {
                    writeln!(out, "{}", render::damage_json(&damage))?;
                } else {
                    writeln!(out, "{}", render::damage(&damage, context))?;
                }
                damages.push(damage);
            }
        }
        Ok::<_, Failure>(ControlFlow::Continue(()))
    })?;
    if options.count {
        writeln!(out, "{matched}")?;
    }
    out.finish()?;
    // A filter hides holes like everything else; that it did is said.
    for (stream, (holes, count)) in hidden {
        let holes = if holes == 1 {
            "1 hole".to_owned()
        } else {
            format!("{holes} holes")
        };
        say(&format!(
            "{holes} in what was read: {count} {stream} events were lost (-f 'loss.stream={stream}' shows where)"
        ));
    }
    reading.note(&damages);
    Ok(reading.answer(matched > 0))
}
