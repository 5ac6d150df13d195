//! One line an event.

use crate::field::{block_action, block_operation, command_line, log_stream, without_line_end};
use crate::value::{duration, size};
use crate::view::{Context, View};
use crate::{call, escape, journal, packet, signal, uring};
use std::fmt::Write as _;
use stillframe_format::event::{Block, Body, Loss, Process, ProcessChange, Task};
use stillframe_format::{BootTime, Captured, abi};

/// A moment for people, in their zone: time of day where the bundle lies within one day, else date and time; without
/// an anchor seconds of boottime.
#[must_use]
pub fn mapped_time(time: BootTime, context: &Context) -> String {
    match context.realtime(time) {
        Some(realtime) => {
            let text = context.zone.stamp(realtime);
            if context.is_one_day() {
                // `14:03:07.123456789` of `2026-11-24T14:03:07.123456789+01:00`.
                text.get(11..29).unwrap_or(&text).to_owned()
            } else {
                text
            }
        }
        None => format!("boot+{}.{:09}", time.0 / 1_000_000_000, time.0 % 1_000_000_000),
    }
}

/// An event on one line: number, time, container, thread, what happened. A hole is drawn across the columns.
#[must_use]
pub fn line(view: &View<'_>) -> String {
    let event = view.event;
    let time = mapped_time(event.time, view.context);
    let late = if event.late { '~' } else { ' ' };
    let mut out = format!("{:>8} {time}{late}", event.num);
    if !matches!(event.body, Body::Loss(_) | Body::Clock(_)) {
        if let Some(container) = view
            .container_name()
            .or_else(|| view.container().and_then(|id| id.get(..12)))
        {
            let _ = write!(out, "{container} ");
        }
        if let Some(task) = event.body.task() {
            push_task(&mut out, task);
        }
    }
    out.push_str(&summary(view));
    escape::line(&out).into_owned()
}

fn push_task(out: &mut String, task: &Task) {
    let comm = escape::bytes(&task.comm);
    let _ = match (task.pid, task.tid) {
        (0, 0) => write!(out, "{comm} "),
        (pid, tid) if pid == tid => write!(out, "{comm}[{pid}] "),
        (pid, tid) => write!(out, "{comm}[{pid}/{tid}] "),
    };
}

/// What happened, without number, time and thread.
#[must_use]
pub fn summary(view: &View<'_>) -> String {
    let text = match &view.event.body {
        Body::Syscall(syscall) => {
            let mut out = format!("{} = {}", call::text(syscall), call::result(syscall));
            let _ = match syscall.duration {
                Some(spent) => write!(out, " <{}>", duration(i128::from(spent))),
                None => write!(out, " <entry not seen>"),
            };
            out
        }
        Body::Process(process) => process_text(process),
        Body::Packet(seen) => packet::summary(seen, view.headers()),
        Body::Block(block) => block_text(block, view.context),
        Body::Uring(request) => uring::text(request),
        Body::Journal(entry) => {
            let field = |name| journal::field(&entry.export, name);
            let who = field("_SYSTEMD_UNIT")
                .or_else(|| field("SYSLOG_IDENTIFIER"))
                .unwrap_or(b"journal");
            let message = field("MESSAGE").unwrap_or_default();
            format!("{}: {}", escape::bytes(who), escape::bytes(message))
        }
        Body::Kernel(message) => match journal::kernel_record(&message.record) {
            Some(record) => format!("kernel <{}>: {}", record.priority, escape::bytes(record.text)),
            None => format!("kernel: {}", escape::bytes(&message.record)),
        },
        Body::Engine(engine) => {
            engine_text(view).unwrap_or_else(|| format!("engine {}", escape::bytes(&engine.json)))
        }
        Body::Log(log) => format!(
            "{}: {}",
            log_stream(log.stream),
            escape::bytes(without_line_end(&log.bytes))
        ),
        Body::Metrics(metrics) => {
            let values: Vec<_> = metrics
                .values
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("metrics {}", values.join(" "))
        }
        Body::Loss(loss) => hole(loss, view.context),
        Body::Clock(step) => format!(
            "--- the wall clock was stepped by {}",
            duration(i128::from(step.delta))
        ),
    };
    escape::line(&text).into_owned()
}

/// A hole in words: `--- hole: 1234 syscall events lost (ring-full, cpu 1) between … and …`.
#[must_use]
pub fn hole(loss: &Loss, context: &Context) -> String {
    let count = match loss.count {
        0 => "an unknown number of".to_owned(),
        count => count.to_string(),
    };
    let events = if loss.count == 1 { "event" } else { "events" };
    let scope = if loss.scope.is_empty() {
        String::new()
    } else {
        format!(", {}", loss.scope)
    };
    let text = format!(
        "--- hole: {count} {} {events} lost ({}{scope}) between {} and {}",
        loss.stream.name(),
        loss.cause,
        mapped_time(loss.from, context),
        mapped_time(loss.to, context),
    );
    escape::line(&text).into_owned()
}

fn captured_text(captured: &Captured<Vec<u8>>) -> String {
    let text = captured
        .value()
        .map(|bytes| format!("\"{}\"", escape::bytes(bytes)));
    match (text, call::doubt(captured)) {
        (Some(text), None) => text,
        (Some(text), Some(doubt)) => format!("{text}... ({doubt})"),
        (None, doubt) => format!("({})", doubt.unwrap_or_default()),
    }
}

fn process_text(process: &Process) -> String {
    match &process.change {
        ProcessChange::Fork { pid, tid } if pid == tid => format!("fork: new process {pid}"),
        ProcessChange::Fork { tid, .. } => format!("fork: new thread {tid}"),
        ProcessChange::Exec { filename, argv, .. } => {
            let arguments = match command_line(argv) {
                Some(line) => format!(
                    "{}{}",
                    escape::bytes(&line),
                    call::doubt(argv).map_or_else(String::new, |doubt| format!(" ({doubt})"))
                ),
                None => captured_text(argv),
            };
            format!("exec {}: {arguments}", captured_text(filename))
        }
        ProcessChange::Exit {
            status,
            signal,
            core,
            last,
        } => {
            let mut out = match *signal {
                0 => format!("exit {status}"),
                signal => {
                    let name = abi::signal::name(u32::from(signal));
                    format!(
                        "killed by {}",
                        name.unwrap_or_else(|| format!("signal {signal}").into())
                    )
                }
            };
            if *core {
                out.push_str(" (core dumped)");
            }
            if !last {
                out.push_str(", other threads live on");
            }
            out
        }
        ProcessChange::Signal(sent) => signal::text(sent),
        ProcessChange::OomKill(kill) => signal::oom_text(kill),
    }
}

fn block_text(block: &Block, context: &Context) -> String {
    let device = match context.devices.get(&block.device) {
        Some(name) => name.clone(),
        None => block.device.to_string(),
    };
    let operation =
        block_operation(block).map_or_else(|| format!("operation {}", block.cmd_flags & 0xff), str::to_owned);
    let mut out = format!(
        "{device} {} {operation} sector {} {}",
        block_action(block.action),
        block.sector,
        size(u64::from(block.bytes)),
    );
    if block.inode != 0 {
        let _ = write!(out, " inode {}", block.inode);
    }
    if let Some(latency) = block.latency {
        let _ = write!(out, " <{}>", duration(i128::from(latency)));
    }
    if block.error != 0 {
        let _ = write!(out, " failed: {}", call::errno_name(block.error));
    }
    out
}

fn engine_text(view: &View<'_>) -> Option<String> {
    let engine = view.engine()?;
    let text = |key: &str| engine.get(key).and_then(serde_json::Value::as_str);
    let mut out = format!(
        "engine {} {}",
        text("Type")?,
        text("Action").or_else(|| text("status"))?
    );
    let actor = engine.get("Actor");
    if let Some(code) = actor.and_then(|actor| actor.get("Attributes")?.get("exitCode")?.as_str()) {
        let _ = write!(out, " (exit code {code})");
    }
    if text("Type") != Some("container")
        && let Some(id) = actor.and_then(|actor| actor.get("ID")?.as_str())
    {
        let _ = write!(out, " {}", id.get(..12).unwrap_or(id));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn one_line_of_each_kind() {
        let context = fixture::context();
        let lines: Vec<String> = fixture::all_events()
            .iter()
            .map(|event| line(&View::new(event, &context)))
            .collect();
        assert!(lines.iter().all(|line| !line.chars().any(escape::is_dangerous)));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn one_object_of_each_kind() {
        let context = fixture::context();
        let lines: Vec<String> = fixture::all_events()
            .iter()
            .map(|event| crate::render::json_line(&View::new(event, &context)))
            .collect();
        assert!(lines.iter().all(|line| !line.chars().any(escape::is_dangerous)));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_date_stands_there_when_the_bundle_has_two_days() {
        let mut context = fixture::context();
        context.end = BootTime(fixture::BOOT + 86_400_000_000_000);
        assert_eq!(
            mapped_time(context.start, &context),
            "2026-11-24T14:03:07.000000000Z"
        );
        assert_eq!(
            mapped_time(BootTime(1_000_000_005), &Context::default()),
            "boot+1.000000005"
        );
    }
}
