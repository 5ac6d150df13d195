//! `replay verify`: every byte is checked, every finding printed.

use super::Failure;
use crate::cli;
use std::io::Write as _;
use stillframe_format::reader::Bundle;
use stillframe_format::verify::{Trouble, verify};
use stillframe_replay::state::{Proof, cut_state};
use stillframe_replay::{escape, exit, open};

pub(super) fn run(options: &cli::Verify) -> Result<u8, Failure> {
    let path = &options.bundle.path;
    let file = open::source(path)?;
    let mut proof = Bundle::open(&file)
        .ok()
        .and_then(|mut bundle| {
            let first = bundle.slices().first()?.number;
            Some(Proof::before(first, cut_state(&mut bundle)?))
        })
        .unwrap_or_default();
    let report = verify(&file, |slice| proof.slice(slice)).map_err(|error| open::not_read(path, error))?;
    let (anchors, gaps) = Bundle::open(&file)
        .map(|bundle| (bundle.anchors().clone(), bundle.gaps().to_vec()))
        .unwrap_or_default();
    let mut out = options.bundle.paging.output();
    let mut code = exit::DONE;
    for finding in &report.findings {
        let (word, found) = match finding.trouble {
            Trouble::Damaged => ("damaged", exit::INCOMPLETE),
            Trouble::Inconsistent => ("inconsistent", exit::INCONSISTENT),
        };
        code = code.max(found);
        let text = format!(
            "bytes {} to {}: {word}: {}",
            finding.offset,
            finding.offset.saturating_add(finding.len),
            finding.problem
        );
        writeln!(out, "{}", escape::line(&text))?;
    }
    match report.valid {
        _ if report.findings.is_empty() => writeln!(
            out,
            "ok: {} slices, {} events; every frame, hash, count and order is right",
            report.slices, report.events
        )?,
        Some((slice, until)) => writeln!(
            out,
            "valid up to slice {slice}, {}",
            match anchors.realtime(until) {
                Some(realtime) => options.bundle.zone(false).stamp(realtime),
                None => format!("{} ns after boot", until.0),
            }
        )?,
        None => writeln!(out, "valid up to no slice")?,
    }
    for gap in gaps.iter().filter(|gap| gap.is_hole()) {
        let text = format!(
            "hole: {} events from {} on are not in this bundle: it was salvaged",
            gap.events, gap.first
        );
        writeln!(out, "{text}")?;
    }
    out.finish()?;
    Ok(code)
}
