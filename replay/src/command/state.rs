//! `replay state`: what was there at a moment.

use super::{Failure, Reading, moment, place};
use crate::cli;
use serde_json::Value;
use std::io::Write as _;
use stillframe_replay::state::{self, Part};
use stillframe_replay::{escape, moment::Place};

pub(super) fn run(options: &cli::State) -> Result<u8, Failure> {
    let at = moment(Some(&options.at), options.bundle.times.tz.as_ref())?;
    let mut reading = Reading::open(&options.bundle, options.json)?;
    let at = place(at, &reading.context)?.unwrap_or(Place::Event(0));
    let part = match options.part {
        cli::Part::Ps => Part::Processes,
        cli::Part::Fds => Part::Descriptors,
        cli::Part::Net => Part::Sockets,
        cli::Part::Mounts => Part::Mounts,
        cli::Part::Calls => Part::Calls,
        cli::Part::Containers => Part::Containers,
        cli::Part::Usage => Part::Usage,
    };
    let found = state::at(&mut reading.timeline, at);
    let rows = state::rows(&found, part, options.pid, &reading.context);
    let mut out = options.bundle.paging.output();
    if options.json {
        for row in &rows {
            writeln!(
                out,
                "{}",
                escape::json(Value::Object(row.object.clone()).to_string())
            )?;
        }
    } else {
        out.write_all(state::text(&found, part, &rows, &reading.context).as_bytes())?;
    }
    out.finish()?;
    reading.note(&found.damages);
    Ok(reading.answer(!rows.is_empty()))
}
