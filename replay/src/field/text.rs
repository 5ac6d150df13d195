//! Fields of logs: the container's own, the journal's, the kernel's, the engine's events.

use super::{Field, Selector, Shape, plain, shaped};
use crate::journal;
use crate::value::{Kind, Value};
use crate::view::View;
use stillframe_format::event::{Body, LogStream};

fn entry<'v>(view: &'v View<'_>, name: &str) -> Option<&'v [u8]> {
    match &view.event.body {
        Body::Journal(entry) => journal::field(&entry.export, name),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<Value<'static>> {
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(Value::number(number))
}

fn kernel<'v>(view: &'v View<'_>) -> Option<journal::KernelRecord<'v>> {
    match &view.event.body {
        Body::Kernel(message) => journal::kernel_record(&message.record),
        _ => None,
    }
}

/// Text at a path in the engine's object.
fn engine<'v>(view: &'v View<'_>, path: &[&str]) -> Option<Value<'v>> {
    let found = path
        .iter()
        .try_fold(view.engine()?, |object, key| object.get(*key))?;
    found.as_str().map(Value::text)
}

/// Which output a line came from, in one word.
pub(crate) fn log_stream(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    }
}

/// A log line without its line end.
pub(crate) fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "log.stream",
        Kind::Text,
        "stdout or stderr",
        |view, _| match &view.event.body {
            Body::Log(line) => Some(Value::text(log_stream(line.stream))),
            _ => None,
        },
    ),
    plain(
        "log.text",
        Kind::Text,
        "what the container wrote, without the line end",
        |view, _| match &view.event.body {
            Body::Log(line) => Some(Value::bytes(without_line_end(&line.bytes))),
            _ => None,
        },
    ),
    plain(
        "log.partial",
        Kind::Flag,
        "true when it is a piece of a line: no line end (in JSON only when true)",
        |view, _| match &view.event.body {
            Body::Log(line) => (!line.bytes.ends_with(b"\n")).then_some(Value::Flag(true)),
            _ => None,
        },
    ),
    plain(
        "log.time",
        Kind::Time,
        "the engine's own stamp",
        |view, _| match &view.event.body {
            Body::Log(line) => Some(Value::Time(line.realtime)),
            _ => None,
        },
    ),
    plain(
        "journal.unit",
        Kind::Text,
        "_SYSTEMD_UNIT of a journal entry",
        |view, _| entry(view, "_SYSTEMD_UNIT").map(Value::bytes),
    ),
    plain(
        "journal.identifier",
        Kind::Text,
        "SYSLOG_IDENTIFIER of a journal entry",
        |view, _| entry(view, "SYSLOG_IDENTIFIER").map(Value::bytes),
    ),
    plain(
        "journal.pid",
        Kind::Number,
        "_PID of a journal entry",
        |view, _| number(entry(view, "_PID")?),
    ),
    plain(
        "journal.priority",
        Kind::Number,
        "PRIORITY of a journal entry, 0 (emergency) to 7 (debug)",
        |view, _| number(entry(view, "PRIORITY")?),
    ),
    plain(
        "journal.message",
        Kind::Text,
        "MESSAGE of a journal entry",
        |view, _| entry(view, "MESSAGE").map(Value::bytes),
    ),
    Field {
        json: false,
        ..shaped(
            "journal.field",
            Kind::Text,
            Shape::Key,
            "any field of a journal entry by its name: journal.field[CONTAINER_ID]",
            |view, selector| match selector {
                Selector::Key(key) => entry(view, key).map(Value::bytes),
                _ => None,
            },
            |_| Vec::new(),
        )
    },
    plain(
        "kernel.priority",
        Kind::Number,
        "severity of a kernel message, 0 to 7",
        |view, _| kernel(view).map(|record| Value::number(record.priority)),
    ),
    plain(
        "kernel.seq",
        Kind::Number,
        "sequence number of a kernel message",
        |view, _| kernel(view).map(|record| Value::number(record.sequence)),
    ),
    plain(
        "kernel.text",
        Kind::Text,
        "text of a kernel message",
        |view, _| kernel(view).map(|record| Value::bytes(record.text)),
    ),
    plain(
        "engine.type",
        Kind::Text,
        "what an engine event is about: container, network, image, volume, …",
        |view, _| engine(view, &["Type"]),
    ),
    plain(
        "engine.action",
        Kind::Text,
        "what happened to it: start, die, oom, exec_create: …",
        |view, _| engine(view, &["Action"]).or_else(|| engine(view, &["status"])),
    ),
    plain(
        "engine.id",
        Kind::Text,
        "id of what the event is about",
        |view, _| engine(view, &["Actor", "ID"]),
    ),
    shaped(
        "engine.attr",
        Kind::Text,
        Shape::Key,
        "an attribute of an engine event by its name: engine.attr[exitCode]",
        |view, selector| match selector {
            Selector::Key(key) => engine(view, &["Actor", "Attributes", key]),
            _ => None,
        },
        |view| {
            let attributes = view
                .engine()
                .and_then(|engine| engine.get("Actor")?.get("Attributes")?.as_object());
            attributes.map_or_else(Vec::new, |attributes| {
                attributes.keys().map(|key| Selector::Key(key.clone())).collect()
            })
        },
    ),
];
