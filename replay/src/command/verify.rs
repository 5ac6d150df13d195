//! `replay verify`: every byte is checked, every finding printed.

use super::Failure;
use crate::cli;
use serde_json::{Value, json};
use std::io::Write as _;
use stillframe_format::BootTime;
use stillframe_format::reader::Bundle;
use stillframe_format::verify::{Finding, Trouble, verify};
use stillframe_replay::state::{Proof, cut_state};
use stillframe_replay::zone::Zone;
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
    let code = report
        .findings
        .iter()
        .map(|finding| exit_of(finding.trouble))
        .max()
        .unwrap_or(exit::DONE);
    let stamp = |until: BootTime, zone: &Zone| anchors.realtime(until).map(|realtime| zone.stamp(realtime));
    let mut out = options.bundle.paging.output();
    let zone = options.bundle.zone(options.json);
    if options.json {
        let valid = report
            .valid
            .map(|(slice, until)| json!({"slice": slice, "boottime": until.0, "time": stamp(until, &zone)}));
        let answer = json!({
            "sound": report.findings.is_empty(),
            "ended": report.ended,
            "slices": report.slices,
            "events": report.events,
            "valid": valid,
            "findings": report.findings.iter().map(of_finding).collect::<Vec<_>>(),
            "holes": gaps.iter().filter(|gap| gap.is_hole()).collect::<Vec<_>>(),
        });
        writeln!(out, "{}", escape::json(answer.to_string()))?;
        out.finish()?;
        return Ok(code);
    }
    for finding in &report.findings {
        let text = format!(
            "bytes {} to {}: {}: {}",
            finding.offset,
            finding.offset.saturating_add(finding.len),
            word(finding.trouble),
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
            stamp(until, &zone).unwrap_or_else(|| format!("{} ns after boot", until.0))
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

fn word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Damaged => "damaged",
        Trouble::Inconsistent => "inconsistent",
    }
}

fn exit_of(trouble: Trouble) -> u8 {
    match trouble {
        Trouble::Damaged => exit::INCOMPLETE,
        Trouble::Inconsistent => exit::INCONSISTENT,
    }
}

fn of_finding(finding: &Finding) -> Value {
    json!({
        "offset": finding.offset,
        "len": finding.len,
        "trouble": word(finding.trouble),
        "problem": finding.problem,
    })
}
