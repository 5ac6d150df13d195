//! `replay fields`: the table that filters and JSON are made of.

use super::Failure;
use crate::cli;
use serde_json::json;
use std::io::Write as _;
use stillframe_replay::exit;
use stillframe_replay::field::{self, Shape};

pub(super) fn run(options: &cli::Fields) -> Result<u8, Failure> {
    let mut out = options.paging.output();
    for field in field::all() {
        let suffix = match field.shape {
            Shape::Plain => "",
            Shape::Index => "[N]",
            Shape::Key => "[NAME]",
            Shape::Rest => "NAME",
        };
        if options.json {
            let object = json!({
                "name": field.name,
                "suffix": suffix,
                "type": field.kind.name(),
                "json": field.json,
                "help": field.help,
            });
            writeln!(out, "{object}")?;
        } else {
            let name = format!("{}{suffix}", field.name);
            writeln!(out, "{name:<24} {:<9} {}", field.kind.name(), field.help)?;
        }
    }
    out.finish()?;
    Ok(exit::DONE)
}
