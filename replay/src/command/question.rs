//! `replay top`, `slowest`, `errors`, `tree`, `timeline`, `summary`: one pass, one answer, and what it does not know.

use super::{Failure, Reading, filter, moment, place, say};
use crate::cli::{Bundle, Paging, question as cli};
use serde_json::Value;
use std::io::Write as _;
use stillframe_replay::escape;
use stillframe_replay::question::{
    Coverage, Density, Failures, Glyphs, Scope, Slowest, Summary, Tree, rank, scan, scan_marks,
};
use stillframe_replay::timeline::Range;

pub(super) fn top(options: &cli::Top) -> Result<u8, Failure> {
    let (mut reading, scope) = open(&options.bundle, options.json, &options.scope)?;
    let by = options.by.into();
    let (ranking, coverage) = rank(&mut reading.timeline, &reading.context, &scope, by);
    let order = options.sort.into();
    let found = !ranking.rows(order).is_empty();
    let context = &reading.context;
    if options.json {
        print_json(
            &ranking.json(order, options.number, &scope, &coverage, context),
            reading.paging,
        )?;
    } else {
        let text = if found {
            ranking.text(order, options.number, context)
        } else {
            String::new()
        };
        print(&text, &coverage, &reading)?;
    }
    Ok(finish(&mut reading, &coverage, found))
}

pub(super) fn slowest(options: &cli::Slowest) -> Result<u8, Failure> {
    let (mut reading, scope) = open(&options.bundle, options.json, &options.scope)?;
    let mut slowest = Slowest::new(usize::try_from(options.number).unwrap_or(usize::MAX));
    let coverage = scan(&mut reading.timeline, &reading.context, &scope, |view| {
        slowest.take(view);
    });
    slowest.take_open(&mut reading.timeline, &reading.context, &scope);
    let context = &reading.context;
    if options.json {
        print_json(&slowest.json(&scope, &coverage, context), reading.paging)?;
    } else {
        print(&slowest.text(context), &coverage, &reading)?;
    }
    Ok(finish(&mut reading, &coverage, !slowest.is_empty()))
}

pub(super) fn errors(options: &cli::Errors) -> Result<u8, Failure> {
    let (mut reading, scope) = open(&options.bundle, options.json, &options.scope)?;
    let mut failures = Failures::new();
    let mut coverage = scan(&mut reading.timeline, &reading.context, &scope, |view| {
        failures.take(view);
    });
    coverage.together = failures.together();
    let context = &reading.context;
    if options.json {
        print_json(
            &failures.json(options.all, options.number, &scope, &coverage, context),
            reading.paging,
        )?;
    } else {
        print(&failures.text(options.all, options.number), &coverage, &reading)?;
    }
    let found = !failures.is_empty(options.all);
    Ok(finish(&mut reading, &coverage, found))
}

pub(super) fn tree(options: &cli::Tree) -> Result<u8, Failure> {
    let mut reading = Reading::open(&options.bundle, options.json)?;
    let scope = Scope::default();
    let mut tree = Tree::begin(reading.timeline.bundle_mut());
    let mut coverage = scan(&mut reading.timeline, &reading.context, &scope, |view| {
        tree.take(view);
    });
    coverage.together = tree.together();
    let context = &reading.context;
    if options.json {
        print_json(&tree.json(&coverage, context), reading.paging)?;
    } else {
        let text = if tree.nodes().is_empty() {
            String::new()
        } else {
            tree.text(context)
        };
        print(&text, &coverage, &reading)?;
    }
    let found = !tree.nodes().is_empty();
    Ok(finish(&mut reading, &coverage, found))
}

pub(super) fn timeline(options: &cli::Timeline) -> Result<u8, Failure> {
    let (mut reading, scope) = open(&options.bundle, options.json, &options.scope)?;
    let width = usize::try_from(options.width).unwrap_or(usize::MAX);
    let (timeline, context) = (&mut reading.timeline, &reading.context);
    let mut density =
        Density::new(options.by.into(), width, timeline, &scope.range, context).only(&options.only);
    let mut coverage = scan_marks(timeline, context, &scope, &mut density);
    coverage.together = density.together();
    if options.json {
        print_json(
            &density.json(options.number, &scope, &coverage, context),
            reading.paging,
        )?;
    } else {
        let glyphs = if options.ascii {
            Glyphs::Ascii
        } else {
            Glyphs::Blocks
        };
        print(
            &density.text(options.number, glyphs, context),
            &coverage,
            &reading,
        )?;
    }
    Ok(finish(&mut reading, &coverage, !density.is_empty()))
}

pub(super) fn summary(options: &cli::Summary) -> Result<u8, Failure> {
    let mut reading = Reading::open(&options.bundle, options.json)?;
    let summary = Summary::of(&mut reading.timeline, &reading.context);
    if options.json {
        print_json(&summary.json(&reading.context), reading.paging)?;
    } else {
        let mut out = reading.paging.output();
        out.write_all(summary.text(&reading.context).as_bytes())?;
        out.finish()?;
    }
    Ok(finish(&mut reading, summary.coverage(), true))
}

fn open(named: &Bundle, is_json: bool, asked: &cli::Scope) -> Result<(Reading, Scope), Failure> {
    let filter = filter(&asked.filter)?;
    let (from, to) = (
        moment(asked.from.as_deref(), named.times.tz.as_ref())?,
        moment(asked.to.as_deref(), named.times.tz.as_ref())?,
    );
    let reading = Reading::open(named, is_json)?;
    let range = Range {
        from: place(from, &reading.context)?,
        to: place(to, &reading.context)?,
    };
    Ok((reading, Scope { range, filter }))
}

/// The answer and, below it, what it does not know.
fn print(text: &str, coverage: &Coverage, reading: &Reading) -> Result<(), Failure> {
    let mut out = reading.paging.output();
    out.write_all(text.as_bytes())?;
    out.write_all(coverage.text(&reading.context).as_bytes())?;
    out.finish()?;
    Ok(())
}

fn print_json(answer: &Value, paging: Paging) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(answer).map_err(std::io::Error::from)?;
    let mut out = paging.output();
    writeln!(out, "{}", escape::json(text))?;
    out.finish()?;
    Ok(())
}

/// The page says which slices cannot be read; on standard error stands how many, because that has an exit code.
fn finish(reading: &mut Reading, coverage: &Coverage, found: bool) -> u8 {
    match coverage.damages.as_slice() {
        [] => {}
        [damage] => reading.note(std::slice::from_ref(damage)),
        [first, rest @ ..] => {
            reading.note(std::slice::from_ref(first));
            say(&format!(
                "{}: and {} more slices cannot be read",
                reading.path,
                rest.len()
            ));
        }
    }
    reading.answer(found)
}
