//! One HTML file that a browser opens from disk: timeline, events, processes, failures, counters and the summary.
//!
//! Nothing of it is fetched and nothing leaves it: a Content-Security-Policy forbids every connection and every script
//! but the page's own, which it names by hash. The bundle's text stands in a data block as JSON without `<`, `>` and `&`,
//! and the script gives it to the page as text only.
//!
//! The page is bounded: at most so many events, shared between kinds of events; it says what was left out and how to get it.

mod counters;
mod dictionary;
mod keep;
mod processes;
mod rows;

pub use keep::{EVENTS, EVENTS_MAX};

use super::Exported;
use crate::question::{Scope, Summary};
use crate::timeline::{Search, Timeline};
use crate::view::{Context, View};
use crate::{escape, open};
use base64::Engine as _;
use counters::Counters;
use keep::Keep;
use rows::Rows;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::digest::Sha256;
use stillframe_format::event::{Body, Stream};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
/// In this order: each uses what the ones before it define.
const SCRIPT: &[&str] = &[
    include_str!("html/data.js"),
    include_str!("html/time.js"),
    include_str!("html/filter.js"),
    include_str!("html/timeline.js"),
    include_str!("html/events.js"),
    include_str!("html/tables.js"),
    include_str!("html/plots.js"),
    include_str!("html/page.js"),
];

/// The most holes that are drawn; later ones are in the sums only.
const HOLES_MAX: usize = 2_000;
/// The most groups of failures of each kind.
const FAILURES_MAX: usize = 100;

/// What the page shows, and how it was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the bundle, for the page's head and its commands.
    pub bundle: String,
    /// Which events.
    pub scope: Scope,
    /// `--from`, `--to` and `-f` as they were typed, for the page's commands.
    pub asked: Vec<(&'static str, String)>,
    /// The most events that stand in the page.
    pub max_events: u64,
}

/// Writes the page.
///
/// # Errors
/// When the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let summary = Summary::of(timeline, context);
    let keep = Keep::new(timeline, context, &options.scope, options.max_events);
    let style = without_cr(STYLE);
    let script = script();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(&style)
    );
    let page = without_cr(PAGE);
    let mut parts = page.split("@DATA@");
    let (head, tail) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let head = head.replace("@POLICY@", &policy).replace("@STYLE@", &style);
    out.write_all(head.as_bytes())?;
    let exported = data(timeline, context, options, (&summary, keep), out)?;
    out.write_all(tail.replace("@SCRIPT@", &script).as_bytes())?;
    Ok(exported)
}

/// A script in a function of its own.
fn script() -> String {
    let mut script = String::from("(() => {\n\"use strict\";\n");
    for part in SCRIPT {
        script.push_str(&without_cr(part));
    }
    script.push_str("})();\n");
    script
}

/// Browsers hash line ends as LF, and a checkout may have others.
fn without_cr(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace('\r', ""))
    } else {
        Cow::Borrowed(text)
    }
}

fn hash(text: &str) -> String {
    let digest = Sha256::of(text.as_bytes());
    format!(
        "sha256-{}",
        base64::engine::general_purpose::STANDARD.encode(digest.0)
    )
}

/// Nanoseconds since the recording began; the page adds the wall clock to them.
fn relative(time: BootTime, context: &Context) -> i64 {
    let nanoseconds = i128::from(time.0) - i128::from(context.start.0);
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// JSON that can stand in a script element: `</script>`, `<!--` and the like cannot come about.
fn harmless(json: String) -> String {
    let json = escape::json(json);
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

/// Every text of a value as one line that hides nothing.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape::line(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(visible).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (escape::line(&key).into_owned(), visible(value)))
                .collect(),
        ),
        other => other,
    }
}

/// The data block: the events as they are read, then everything else.
fn data<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    options: &Options,
    (summary, mut keep): (&Summary, Keep),
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let scope = &options.scope;
    let mut rows = Rows::default();
    let mut counters = Counters::default();
    let mut exported = Exported::default();
    let mut holes = Vec::new();
    let mut holes_more = 0u64;
    let mut steps = Vec::new();
    let search = Search {
        range: scope.range,
        filter: &scope.filter,
        context,
        count: false,
        limit: None,
    };
    out.write_all(b"{\"events\":[")?;
    timeline.search(&search, |slice| {
        let found = match slice {
            Ok(found) => found,
            Err(damage) => {
                exported.damages.push(damage);
                return Ok(ControlFlow::Continue(()));
            }
        };
        for event in &found.events {
            exported.items += 1;
            let view = View::new(event, context);
            match &event.body {
                Body::Loss(loss) if holes.len() < HOLES_MAX => holes.push(json!([
                    loss.stream as u8,
                    relative(loss.from, context),
                    relative(loss.to, context),
                    loss.count,
                    event.num,
                    crate::render::hole(loss, context),
                ])),
                Body::Loss(_) => holes_more += 1,
                Body::Clock(_) if steps.len() < HOLES_MAX => {
                    steps.push(json!([relative(event.time, context), event.num]));
                }
                Body::Metrics(metrics) => counters.take(metrics, event.time, context),
                _ => {}
            }
            if keep.take(event) {
                let row = rows.row(&view);
                let comma = if rows.count() == 1 { "\n" } else { ",\n" };
                write!(out, "{comma}{}", harmless(row.to_string()))?;
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    out.write_all(b"\n]")?;
    let mut put =
        |key: &str, value: Value| write!(out, ",\n\"{key}\":{}", harmless(visible(value).to_string()));
    for (key, value) in rows.dictionaries(context) {
        put(key, value)?;
    }
    let streams: Vec<&str> = Stream::ALL.into_iter().map(Stream::name).collect();
    put("streams", json!(streams))?;
    put("counters", counters.json(context))?;
    put("holes", holes.into())?;
    put("holes_more", holes_more.into())?;
    put("steps", steps.into())?;
    let damages: Vec<Value> = exported
        .damages
        .iter()
        .map(|damage| {
            json!([
                relative(damage.from, context),
                relative(damage.to, context),
                damage.first,
                damage.events,
                crate::render::damage(damage, context),
            ])
        })
        .collect();
    put("unreadable", damages.into())?;
    put("left_out", keep.json(context))?;
    let (processes, left_out) = processes::rows(summary.tree(), context);
    put("processes", processes.into())?;
    put("processes_left_out", left_out.into())?;
    put("failures", summary.failures().rows(false, FAILURES_MAX).into())?;
    put("normal_failures", json!(summary.failures().noise()))?;
    put("head", json!(summary.header()))?;
    put("findings", json!(summary.findings()))?;
    put("missing", json!(summary.missing(context)))?;
    put("summary", summary.json(context))?;
    put("recording", recording(timeline, context, options, &keep))?;
    out.write_all(b"}\n")?;
    Ok(exported)
}

/// The clocks, the range and what the page was made from.
fn recording<R: Read + Seek>(
    timeline: &Timeline<R>,
    context: &Context,
    options: &Options,
    keep: &Keep,
) -> Value {
    let bundle = timeline.bundle();
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("bundle", options.bundle.clone().into());
    put("id", bundle.header().id.clone().into());
    put("complete", bundle.condition().is_complete().into());
    if let Some(shortfall) = open::shortfall(bundle.condition(), context) {
        put("shortfall", shortfall.into());
    }
    put("version", env!("CARGO_PKG_VERSION").into());
    put("targets", targets(timeline).into());
    let asked: Vec<Value> = options
        .asked
        .iter()
        .map(|(option, text)| json!([option, text]))
        .collect();
    put("asked", asked.into());
    // As text: JavaScript's numbers hold 104 days of nanoseconds, and a host may have been up for longer.
    put("boottime", context.start.0.to_string().into());
    put("from", relative(keep.from(), context).into());
    put("to", relative(keep.to(), context).into());
    if let Some(start) = context.realtime(context.start) {
        put("realtime", start.to_string().into());
        put("anchors", anchors(context, start).into());
        put("zone", context.zone.name().into());
        if !context.zone.is_utc() {
            put("offsets", offsets(context).into());
        }
    }
    put("several_days", (!context.is_one_day()).into());
    Value::Object(map)
}

/// When the wall clock was how far from the recording's first anchor: pairs of moment and nanoseconds.
fn anchors(context: &Context, start: i64) -> Vec<Value> {
    let mut pairs: Vec<(i64, i64)> = Vec::new();
    for anchor in context.anchors.as_slice() {
        let at = relative(anchor.boottime, context);
        let offset = anchor.realtime.saturating_sub(start).saturating_sub(at);
        if pairs.last().is_none_or(|(_, last)| *last != offset) {
            pairs.push((at, offset));
        }
    }
    pairs
        .into_iter()
        .map(|(at, offset)| json!([at, offset]))
        .collect()
}

/// The offsets of the zone from UTC, each with the second since 1970 from which on it holds.
fn offsets(context: &Context) -> Vec<Value> {
    /// Events that came late, or clocks that were stepped, may lie outside of the recording's own time.
    const AROUND: i64 = 86_400_000_000_000;
    let end = |time| context.realtime(time).unwrap_or(0);
    let (one, other) = (end(context.start), end(context.end));
    let (from, to) = (one.min(other), one.max(other));
    let offsets = context
        .zone
        .offsets(from.saturating_sub(AROUND), to.saturating_add(AROUND));
    let offsets = offsets.into_iter();
    offsets
        .map(|(from, offset)| json!([from.div_euclid(1_000_000_000), offset]))
        .collect()
}

fn targets<R: Read + Seek>(timeline: &Timeline<R>) -> Vec<Value> {
    let targets = &timeline.bundle().header().targets;
    targets
        .iter()
        .map(|target| json!({"name": target.name, "kind": target.kind, "id": target.id}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_data_block_cannot_be_left() {
        let value = json!({"</script>": "<!--<script>&\u{2028}\u{202e}"});
        let text = harmless(value.to_string());
        assert_eq!(
            text,
            r#"{"\u003c/script\u003e":"\u003c!--\u003cscript\u003e\u0026\u2028\u202e"}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn the_page_has_its_places() {
        for place in ["@POLICY@", "@STYLE@", "@DATA@", "@SCRIPT@"] {
            assert_eq!(PAGE.matches(place).count(), 1, "{place}");
        }
        assert!(
            !STYLE.contains("</") && !script().contains("</"),
            "would end its element"
        );
        assert!(!script().contains("<!--"));
    }

    #[test]
    fn the_script_makes_text_and_never_markup() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
        ] {
            assert!(!script().contains(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn what_is_harmless_means_the_same(text in "\\PC*|[<>&/!\\-a-z\u{2028}\u{2029}\u{202e}]{0,40}") {
            let value = json!({ "key": text });
            let out = harmless(value.to_string());
            let harmful = out.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(!harmful);
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value);
        }
    }
}
