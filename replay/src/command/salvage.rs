//! `replay salvage`: what is whole in a damaged bundle as a sound one, and a list of what is not.

use super::{Failure, not_copied, tool};
use crate::cli;
use serde_json::json;
use std::io::{self, Write};
use stillframe_format::salvage::{Salvaged, salvage};
use stillframe_replay::output::Output;
use stillframe_replay::zone::Zone;
use stillframe_replay::{escape, exit, open};

pub(super) fn run(options: &cli::Salvage) -> Result<u8, Failure> {
    let path = &options.bundle.path;
    let source = open::damaged_source(path)?;
    let out = Output::create(&options.output, options.force)?;
    let (out, salvaged) = salvage(&source, &tool(), out).map_err(|error| not_copied(path, error))?;
    out.finish()?;
    let text = if options.json {
        escape::json(json_of(&salvaged).to_string())
    } else {
        text_of(&salvaged, &options.bundle.zone(false))
    };
    if options.output.as_os_str() == "-" {
        // Nobody can be told when standard error is gone.
        let _ = writeln!(io::stderr(), "{text}");
    } else {
        let mut out = options.bundle.paging.output();
        writeln!(out, "{text}")?;
        out.finish()?;
    }
    Ok(if salvaged.is_whole() {
        exit::DONE
    } else {
        exit::INCOMPLETE
    })
}

fn json_of(salvaged: &Salvaged) -> serde_json::Value {
    let step = &salvaged.step;
    json!({
        "slices": salvaged.slices,
        "events": salvaged.events,
        "lost": step.lost,
        "gaps": salvaged.gaps,
        "lost_members": step.lost_members,
        "header_lost": step.header_lost,
        "end_lost": step.end_lost,
    })
}

fn text_of(salvaged: &Salvaged, zone: &Zone) -> String {
    let step = &salvaged.step;
    let mut lines = Vec::new();
    if step.header_lost {
        lines.push("lost: the header; a new one says what the slices tell".to_owned());
    }
    for range in &step.lost {
        let end = range.offset.saturating_add(range.len);
        lines.push(format!(
            "lost: bytes {} to {end}: {}",
            range.offset, range.problem
        ));
    }
    for name in &step.lost_members {
        lines.push(format!("lost: {name}"));
    }
    for gap in &salvaged.gaps {
        let slices = match gap.slices {
            1 => format!("slice {}", gap.slice),
            more => format!(
                "slices {} to {}",
                gap.slice,
                gap.slice.saturating_add(more.saturating_sub(1))
            ),
        };
        let events = match gap.events {
            0 => "no event".to_owned(),
            1 => format!("event {}", gap.first),
            more => format!("events {} to {}", gap.first, gap.first.saturating_add(more - 1)),
        };
        let counts: Vec<String> = gap
            .counts
            .iter()
            .map(|(stream, count)| format!("{count} {stream}"))
            .collect();
        let counts = if counts.is_empty() {
            String::new()
        } else {
            format!(" ({})", counts.join(", "))
        };
        let time = salvaged
            .anchors
            .realtime(gap.from)
            .zip(salvaged.anchors.realtime(gap.to));
        let time = match time {
            Some((from, to)) => format!("{} to {}", zone.stamp(from), zone.stamp(to)),
            None => format!("{} to {} ns after boot", gap.from.0, gap.to.0),
        };
        lines.push(format!("lost: {slices}, {time}: {events}{counts}"));
    }
    if step.end_lost {
        lines.push("lost: the end record, and what came after the last slice".to_owned());
    }
    lines.push(format!(
        "saved: {} slices, {} events",
        salvaged.slices, salvaged.events
    ));
    let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
    lines.join("\n")
}
