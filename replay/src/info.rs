//! What a bundle is, told from its ends alone: what was captured, when, how it ended, what is missing.

use crate::evidence::Evidence;
use crate::value::{duration, size};
use crate::view::Context;
use crate::zone::Zone;
use crate::{escape, open};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Seek};
use stillframe_format::event::Stream;
use stillframe_format::header::TargetInfo;
use stillframe_format::reader::{Bundle, Condition};

/// Sums that the end record gives, or, where it is missing, the slices.
#[derive(Debug, Default)]
struct Totals {
    counts: BTreeMap<String, u64>,
    /// `None`: events were lost, and nobody counted them.
    lost: BTreeMap<String, Option<u64>>,
}

impl Totals {
    fn new<R: Read + Seek>(bundle: &Bundle<R>) -> Self {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut lost: BTreeMap<String, u64> = BTreeMap::new();
        match bundle.end() {
            Some(end) => (counts, lost) = (end.counts.clone(), end.lost.clone()),
            None => {
                for slice in bundle.slices().iter().filter(|slice| slice.missing == 0) {
                    for (sums, parts) in [(&mut counts, &slice.counts), (&mut lost, &slice.lost)] {
                        for (stream, count) in parts {
                            let sum = sums.entry(stream.clone()).or_default();
                            *sum = sum.saturating_add(*count);
                        }
                    }
                }
            }
        }
        let mut lost: BTreeMap<String, Option<u64>> = lost
            .into_iter()
            .map(|(stream, count)| (stream, (count > 0).then_some(count)))
            .collect();
        for gap in bundle.gaps().iter().filter(|gap| gap.is_hole()) {
            if gap.counts.is_empty() && gap.events > 0 {
                // Some of them, of whichever stream there was.
                lost.extend(counts.keys().map(|stream| (stream.clone(), None)));
            }
            for (stream, count) in &gap.counts {
                if let Some(sum) = lost.entry(stream.clone()).or_insert(Some(0)) {
                    *sum = sum.saturating_add(*count);
                }
            }
        }
        for stream in Stream::ALL {
            if !matches!(stream, Stream::Clock | Stream::Loss) {
                lost.entry(stream.name().to_owned()).or_insert(Some(0));
            }
        }
        Self { counts, lost }
    }

    /// Streams by name, in the order of their ranks; streams that this reader does not know come last.
    fn streams(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .counts
            .keys()
            .chain(self.lost.keys())
            .map(String::as_str)
            .collect();
        names.sort_by_key(|name| {
            (
                Stream::from_name(name).map_or(u8::MAX, |stream| stream as u8),
                *name,
            )
        });
        names.dedup();
        names
    }
}

fn condition(condition: &Condition, context: &Context) -> Value {
    match condition {
        Condition::Complete => json!({"state": "complete"}),
        Condition::Cut { offset, slice, until } => {
            let mut object = json!({"state": "cut", "offset": offset});
            if let (Some(slice), Some(until), Value::Object(map)) = (slice, until, &mut object) {
                map.insert("slice".to_owned(), (*slice).into());
                context.put_time(map, "until", *until);
            }
            object
        }
        Condition::Damaged { offset, problem } => {
            json!({"state": "damaged", "offset": offset, "problem": problem})
        }
    }
}

/// Everything as one JSON object.
#[must_use]
pub fn json<R: Read + Seek>(bundle: &mut Bundle<R>) -> Value {
    let context = open::outline(bundle);
    let evidence = Evidence::of(bundle, &context);
    let totals = Totals::new(bundle);
    let header = bundle.header();
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("complete", bundle.condition().is_complete().into());
    put("condition", condition(bundle.condition(), &context));
    put("id", header.id.clone().into());
    put("bytes", bundle.file_len().into());
    put(
        "format",
        format!("{}.{}", header.format.major, header.format.minor).into(),
    );
    put("tool", json!(header.tool));
    put("case", json!(header.case));
    put("targets", json!(header.targets));
    if let Some(origin) = bundle.origin() {
        put("origin", json!(origin));
    }
    put("slices", slices(bundle).into());
    put("events", bundle.total_events().into());
    put("counts", json!(totals.counts));
    put("lost", json!(totals.lost));
    let clock_steps = totals.counts.get(Stream::Clock.name()).copied().unwrap_or(0);
    put("clock_steps", clock_steps.into());
    put("evidence", evidence.json(&context));
    context.put_time(&mut map, "started", context.start);
    context.put_time(&mut map, "ended", context.end);
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("duration_ns", context.end.since(context.start).into());
    if let Some(end) = bundle.end() {
        put("reason", end.reason.clone().into());
        put("sources", json!(end.sources));
        put("not_captured", json!(end.not_captured));
        put("redacted", json!(end.redacted));
        put("cost", json!(end.cost));
        if let Some(command) = &end.command {
            put("command", json!(command));
        }
    }
    put("plan", header.plan.clone());
    put("preflight", header.preflight.clone());
    put("host", header.host.clone());
    Value::Object(map)
}

/// How many slices are there.
fn slices<R: Read + Seek>(bundle: &Bundle<R>) -> usize {
    let there = bundle.slices().iter().filter(|slice| slice.missing == 0);
    there.count()
}

/// What it was made out of, and what of that is not here.
fn origin<R: Read + Seek>(out: &mut String, bundle: &Bundle<R>) {
    let Some(origin) = bundle.origin() else { return };
    let mut key = "origin";
    let mut add = |text: &str| row(out, std::mem::take(&mut key), text);
    for step in &origin.steps {
        let how = match step.kind.as_str() {
            "cut" => "cut out of",
            "salvaged" => "salvaged from",
            other => other,
        };
        let parent = match step.parent.as_str() {
            "" => "a bundle without its header",
            parent => parent,
        };
        let tool = &step.tool;
        add(&format!(
            "{how} {parent} ({}) by {} {}",
            size(step.bytes),
            tool.name,
            tool.version
        ));
        if step.end_lost {
            add("  its end record was lost: how and when the recording ended is not known");
        }
        for range in step.lost.iter().take(ROWS) {
            let end = range.offset.saturating_add(range.len);
            add(&format!(
                "  bytes {} to {end} of it: {}",
                range.offset, range.problem
            ));
        }
        for name in step.lost_members.iter().take(ROWS) {
            add(&format!("  {name} of it was lost"));
        }
        let more = step.lost.len().saturating_sub(ROWS) + step.lost_members.len().saturating_sub(ROWS);
        if more > 0 {
            add(&format!("  and {more} more losses (--json shows all)"));
        }
    }
    for gap in origin.gaps.iter().take(ROWS) {
        let last = gap.slice.saturating_add(gap.slices.saturating_sub(1));
        let what = if gap.is_hole() { "HOLE" } else { "left out" };
        add(&format!(
            "{what}: slices {} to {last}, {} events from {} on",
            gap.slice, gap.events, gap.first
        ));
    }
    if let Some(more) = origin.gaps.len().checked_sub(ROWS + 1) {
        add(&format!("and {} more holes (--json shows all)", more + 1));
    }
}

/// Rows of one kind that the text shows at most.
const ROWS: usize = 20;

/// The text's columns: a word, and what it is about.
fn row(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key:<13} {}", escape::line(value));
}

/// More lines that belong to the row above.
fn more(out: &mut String, value: &str) {
    row(out, "", value);
}

/// Everything for people, lines ended, times in their zone. `name` is what the bundle is called.
#[must_use]
pub fn text<R: Read + Seek>(bundle: &mut Bundle<R>, name: &str, zone: &Zone) -> String {
    let context = open::outline(bundle).in_zone(zone.clone());
    let evidence = Evidence::of(bundle, &context);
    let header = bundle.header();
    let mut out = String::new();
    row(
        &mut out,
        "bundle",
        &format!(
            "{name}, {}, format {}.{}, id {}",
            size(bundle.file_len()),
            header.format.major,
            header.format.minor,
            header.id
        ),
    );
    let shortfall = open::shortfall(bundle.condition(), &context);
    row(
        &mut out,
        "condition",
        &shortfall.map_or_else(|| "complete".to_owned(), |text| format!("INCOMPLETE: {text}")),
    );
    row(
        &mut out,
        "written by",
        &format!("{} {}", header.tool.name, header.tool.version),
    );
    origin(&mut out, bundle);
    for (key, value) in &header.case {
        row(&mut out, &format!("case {key}"), value);
    }
    for (index, info) in header.targets.iter().enumerate() {
        row(&mut out, if index == 0 { "target" } else { "" }, &target(info));
    }
    let moment = |time| match context.realtime(time) {
        Some(realtime) => zone.stamp(realtime),
        None => crate::render::mapped_time(time, &context),
    };
    row(
        &mut out,
        "recorded",
        &format!(
            "{} to {}, {}",
            moment(context.start),
            moment(context.end),
            duration(i128::from(context.end.since(context.start)))
        ),
    );
    match bundle.end() {
        Some(end) => row(&mut out, "ended by", &end.reason),
        None => row(&mut out, "ended by", "unknown: the end record is missing"),
    }
    if let Some(command) = bundle.end().and_then(|end| end.command.as_ref()) {
        let how = match (command.status, command.signal) {
            (Some(status), _) => format!("exit {status}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "still running".to_owned(),
        };
        row(
            &mut out,
            "command",
            &format!("{} ({how})", command.argv.join(" ")),
        );
    }
    streams(&mut out, bundle);
    for (index, line) in evidence.lines(&context).iter().enumerate() {
        row(&mut out, if index == 0 { "evidence" } else { "" }, line);
    }
    ends(&mut out, bundle);
    out
}

fn target(info: &TargetInfo) -> String {
    let mut text = format!("{} ({}", info.name, info.kind);
    if info.kind == "container" {
        let _ = write!(text, " {}", info.id.get(..12).unwrap_or(&info.id));
    }
    text.push(')');
    if info.pid != 0 {
        let _ = write!(text, ", pid {}", info.pid);
    }
    if !info.netns_shared_with.is_empty() {
        let _ = write!(
            text,
            ", network namespace shared with {}",
            info.netns_shared_with.join(", ")
        );
    }
    if !info.devices.is_empty() {
        let _ = write!(text, ", block devices {}", info.devices.join(", "));
    }
    text
}

fn streams<R: Read + Seek>(out: &mut String, bundle: &Bundle<R>) {
    let totals = Totals::new(bundle);
    row(
        out,
        "events",
        &match slices(bundle) {
            1 => format!("{} in 1 slice", bundle.total_events()),
            slices => format!("{} in {slices} slices", bundle.total_events()),
        },
    );
    for name in totals.streams() {
        let count = totals.counts.get(name).copied().unwrap_or(0);
        let lost = match totals.lost.get(name) {
            None | Some(Some(0)) => String::new(),
            Some(Some(lost)) => format!("  LOST {lost}"),
            Some(None) => "  LOST, how many is not known".to_owned(),
        };
        if count > 0 || !lost.is_empty() {
            more(out, &format!("{name:<10} {count:>12}{lost}"));
        }
    }
    match totals.counts.get(Stream::Clock.name()) {
        None | Some(0) => {}
        Some(1) => row(
            out,
            "clock",
            "the wall clock was stepped once (-f evt.type=clockstep)",
        ),
        Some(steps) => row(
            out,
            "clock",
            &format!("the wall clock was stepped {steps} times (-f evt.type=clockstep)"),
        ),
    }
}

fn ends<R: Read + Seek>(out: &mut String, bundle: &Bundle<R>) {
    let Some(end) = bundle.end() else { return };
    for (index, source) in end.sources.iter().enumerate() {
        let mut text = format!("{:<12} {}", source.name, source.state);
        if !source.reason.is_empty() {
            let _ = write!(text, ": {}", source.reason);
        }
        if source.state == "captured" || source.events > 0 {
            let _ = write!(text, ", {} events", source.events);
        }
        if source.lost > 0 {
            let _ = write!(text, ", {} LOST", source.lost);
        }
        for (name, count) in &source.counters {
            let _ = write!(text, ", {name} {count}");
        }
        row(out, if index == 0 { "sources" } else { "" }, &text);
        for note in &source.notes {
            more(out, &format!("  {note}"));
        }
    }
    for (index, missing) in end.not_captured.iter().enumerate() {
        row(
            out,
            if index == 0 { "not captured" } else { "" },
            &format!("{}: {}", missing.what, missing.reason),
        );
    }
    for (index, redaction) in end.redacted.iter().enumerate() {
        row(
            out,
            if index == 0 { "redacted" } else { "" },
            &format!("{}: {}", redaction.member, redaction.places.join(", ")),
        );
    }
    let cost = &end.cost;
    row(
        out,
        "cost",
        &format!(
            "{} user, {} system, {} memory, {} kernel buffers",
            duration(i128::from(cost.user_ns)),
            duration(i128::from(cost.system_ns)),
            size(cost.max_rss_bytes),
            size(cost.kernel_buffer_bytes)
        ),
    );
}
