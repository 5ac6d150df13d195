//! `replay info`: reads only the ends of the bundle.

use super::{Failure, say};
use crate::cli;
use std::io::Write as _;
use stillframe_replay::{escape, exit, info, open};

pub(super) fn run(options: &cli::Info) -> Result<u8, Failure> {
    let mut bundle = open::bundle(&options.bundle.path)?;
    let name = options.bundle.path.display().to_string();
    let mut out = options.bundle.paging.output();
    if options.json {
        let text = serde_json::to_string_pretty(&info::json(&mut bundle)).map_err(std::io::Error::from)?;
        writeln!(out, "{}", escape::json(text))?;
    } else {
        out.write_all(info::text(&mut bundle, &name, &options.bundle.zone(false)).as_bytes())?;
    }
    out.finish()?;
    let context = open::outline(&bundle).in_zone(options.bundle.zone(options.json));
    if let Some(shortfall) = open::shortfall(bundle.condition(), &context) {
        say(&format!("{name}: {shortfall}"));
    }
    Ok(exit::answered(true, bundle.condition().is_complete()))
}
