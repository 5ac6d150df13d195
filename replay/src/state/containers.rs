//! Containers of a state as rows: what they do, and what they used by the latest reading of their counters.

use super::table::{Row, container, or_unknown};
use super::{Found, Part};
use crate::escape;
use crate::question::{is_level, short};
use crate::value::{rfc3339, size};
use crate::view::Context;
use serde_json::{Map, Value};
use stillframe_format::BootTime;
use stillframe_format::state::{Container, Status, Usage};

/// The rows of a part; of the container of one process only, where one is named.
pub(super) fn rows(found: &Found, part: Part, pid: Option<u32>, context: &Context) -> Vec<Row> {
    let state = &found.state;
    let of = pid.map(|pid| {
        state
            .process_of(pid)
            .map_or("", |process| process.container.as_str())
    });
    let is_wanted = |id: &String| of.is_none_or(|of| of == id.as_str());
    let mut rows: Vec<Row> = if part == Part::Usage {
        let usage = state.usage().iter().filter(|(id, _)| is_wanted(id));
        usage
            .map(|(id, usage)| usage_row(id, usage, found.time, context))
            .collect()
    } else {
        let containers = state.containers().iter().filter(|(id, _)| is_wanted(id));
        containers
            .map(|(id, container)| container_row(id, container, found, context))
            .collect()
    };
    if state.containers_left_out() {
        let mut object = Map::new();
        object.insert("container.unknown".to_owned(), true.into());
        let cells = vec!["? (there were more than are kept)".to_owned()];
        rows.push(Row { cells, object });
    }
    rows
}

fn named(id: &str, name: Option<&str>, context: &Context) -> (String, Map<String, Value>) {
    let mut object = Map::new();
    object.insert("container.id".to_owned(), id.into());
    let name = name.or_else(|| context.containers.get(id).map(String::as_str));
    if let Some(name) = name {
        object.insert("container.name".to_owned(), name.into());
    }
    let shown = name.unwrap_or_else(|| container(id, context));
    (escape::line(shown).into_owned(), object)
}

/// Since when it is so: an event's moment, or the engine's own stamp.
fn since(container: &Container, context: &Context) -> Option<i64> {
    let told = container.since.and_then(|since| context.realtime(since));
    told.or_else(|| {
        let stamp: jiff::Timestamp = container.stamp.as_deref()?.parse().ok()?;
        // Engines write the first moment of the calendar for "never".
        i64::try_from(stamp.as_nanosecond())
            .ok()
            .filter(|stamp| *stamp > 0)
    })
}

fn container_row(id: &str, container: &Container, found: &Found, context: &Context) -> Row {
    // What nobody watched may have changed since it was looked at.
    let unwatched = (!found.watched && container.event.is_none()).then_some(context.start);
    let uncertain = container.uncertain.or(unwatched);
    let since = since(container, context);
    let (shown, mut object) = named(id, container.name.as_deref(), context);
    let has_ended = !matches!(
        container.status,
        Status::Created | Status::Running | Status::Paused | Status::Unknown
    );
    let word = |flag: Option<bool>| or_unknown(flag.map(|flag| if flag { "yes" } else { "no" }));
    let cells = vec![
        shown,
        match (container.status, uncertain) {
            (Status::Unknown, _) => "?".to_owned(),
            (status, None) => status.to_string(),
            (status, Some(_)) => format!("{status}?"),
        },
        match container.exit_code {
            Some(code) => code.to_string(),
            None if has_ended => "?".to_owned(),
            None => "-".to_owned(),
        },
        word(container.oom),
        container
            .health
            .as_deref()
            .map_or_else(|| "-".to_owned(), |health| escape::line(health).into_owned()),
        or_unknown(since.map(|since| context.zone.stamp(since))),
        container
            .event
            .map_or_else(|| "start".to_owned(), |event| format!("#{event}")),
        escape::line(id.get(..12).unwrap_or(id)).into_owned(),
    ];
    object.insert("container.status".to_owned(), container.status.to_string().into());
    if let Some(code) = container.exit_code {
        object.insert("container.exit_code".to_owned(), code.into());
    }
    if let Some(oom) = container.oom {
        object.insert("container.oom".to_owned(), oom.into());
    }
    if let Some(health) = &container.health {
        object.insert("container.health".to_owned(), health.clone().into());
    }
    if let Some(since) = since {
        object.insert("container.since".to_owned(), rfc3339(since).into());
    }
    if let Some(event) = container.event {
        object.insert("evt.num".to_owned(), event.into());
    }
    if let Some(since) = uncertain.and_then(|since| context.realtime(since)) {
        object.insert("state.uncertain_since".to_owned(), rfc3339(since).into());
    }
    Row { cells, object }
}

/// Bytes of all its devices, or of its processes.
fn transferred(usage: &Usage, suffix: &str, of_processes: &str) -> Option<u64> {
    let devices = usage
        .values()
        .filter(|(name, _)| name.starts_with("blk.") && name.ends_with(suffix));
    let sum = devices.fold(None, |sum: Option<u64>, (_, value)| {
        Some(sum.unwrap_or(0).saturating_add(value))
    });
    sum.or_else(|| usage.value(of_processes))
}

fn usage_row(id: &str, usage: &Usage, now: Option<BootTime>, context: &Context) -> Row {
    let (shown, mut object) = named(id, None, context);
    let bytes = |name: &str| or_unknown(usage.value(name).map(size));
    let cpu = usage.increase("cpu.usage_ns").map(|increase| {
        // Tenths of a percent of one processor.
        let tenths = increase.a_second() / 1_000_000;
        format!("{}.{}%", tenths / 10, tenths % 10)
    });
    let cells = vec![
        shown,
        or_unknown(cpu),
        or_unknown(usage.value("cpu.usage_ns").map(short)),
        or_unknown(usage.value("cpu.throttled_ns").map(short)),
        match usage.value("memory.usage_bytes") {
            Some(used) => size(used),
            None => bytes("memory.rss_bytes"),
        },
        bytes("memory.limit_bytes"),
        or_unknown(usage.value("pids.current")),
        or_unknown(usage.value("pids.limit")),
        or_unknown(transferred(usage, ".read_bytes", "io.read_bytes").map(size)),
        or_unknown(transferred(usage, ".write_bytes", "io.write_bytes").map(size)),
        crate::render::mapped_time(usage.time, context),
        format!("#{}", usage.event),
    ];
    object.insert("evt.num".to_owned(), usage.event.into());
    object.insert("usage.boottime".to_owned(), usage.time.0.into());
    for (key, time) in [("usage.time", Some(usage.time)), ("usage.before", usage.before)] {
        if let Some(realtime) = time.and_then(|time| context.realtime(time)) {
            object.insert(key.to_owned(), rfc3339(realtime).into());
        }
    }
    if let Some(now) = now {
        object.insert("usage.age_ns".to_owned(), now.since(usage.time).into());
    }
    if usage.left_out {
        object.insert("usage.left_out".to_owned(), true.into());
    }
    for (name, value) in usage.values() {
        object.insert(format!("metrics.{name}"), value.into());
        let increase = usage.increase(name).filter(|_| !is_level(name));
        if let Some(increase) = increase {
            object.insert(format!("rates.{name}"), increase.a_second().into());
        }
    }
    Row { cells, object }
}
