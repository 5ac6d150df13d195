//! Fields that every event has, and those of losses, clock steps and metrics.

use super::{Field, Selector, Shape, again, plain, shaped};
use crate::call;
use crate::value::{Kind, Value};
use crate::view::View;
use std::borrow::Cow;
use stillframe_format::event::{BlockAction, Body, Loss, ProcessChange, UringStep};

/// `evt.type` of an event: the call's name, or what it is.
pub(crate) fn event_type(body: &Body) -> Cow<'static, str> {
    Cow::Borrowed(match body {
        Body::Syscall(call) => return call::name(call.abi, call.number),
        Body::Clock(_) => "clockstep",
        Body::Loss(_) => "loss",
        Body::Process(process) => match process.change {
            ProcessChange::Fork { .. } => "procfork",
            ProcessChange::Exec { .. } => "procexec",
            ProcessChange::Exit { .. } => "procexit",
            ProcessChange::Signal(ref signal) if signal.step.is_delivery() => "signaldeliver",
            ProcessChange::Signal(_) => "signalsend",
            ProcessChange::OomKill(_) => "oomkill",
        },
        Body::Packet(_) => "packet",
        Body::Block(block) => match block.action {
            BlockAction::Queue => "blkqueue",
            BlockAction::Issue => "blkissue",
            BlockAction::Complete => "blkcomplete",
        },
        Body::Uring(request) => match request.step {
            UringStep::Submit { .. } => "uringsubmit",
            UringStep::Complete { .. } => "uringcomplete",
            UringStep::Overflow { .. } => "uringoverflow",
        },
        Body::Journal(_) => "journal",
        Body::Kernel(_) => "kernel",
        Body::Engine(_) => "engine",
        Body::Log(_) => "log",
        Body::Metrics(_) => "metrics",
    })
}

fn loss<'v>(view: &'v View<'_>) -> Option<&'v Loss> {
    match &view.event.body {
        Body::Loss(loss) => Some(loss),
        _ => None,
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "evt.num",
        Kind::Number,
        "number of the event in the bundle's total order, from 1",
        |view, _| Some(Value::number(view.event.num)),
    ),
    plain(
        "evt.time",
        Kind::Time,
        "wall-clock time, UTC: the return of a call, the stamp of a packet",
        |view, _| view.realtime().map(Value::Time),
    ),
    plain(
        "evt.boottime",
        Kind::Number,
        "nanoseconds since the host booted (CLOCK_BOOTTIME)",
        |view, _| Some(Value::number(view.event.time.0)),
    ),
    again(
        "evt.reltime",
        Kind::Duration,
        "time since the recording began",
        |view, _| {
            Some(Value::Duration(
                i128::from(view.event.time.0) - i128::from(view.context.start.0),
            ))
        },
    ),
    plain(
        "evt.type",
        Kind::Text,
        "the call's name, or packet, blkqueue, blkissue, blkcomplete, procfork, procexec, procexit, signalsend, signaldeliver, oomkill, uringsubmit, uringcomplete, uringoverflow, journal, kernel, engine, log, metrics, loss, clockstep",
        |view, _| match event_type(&view.event.body) {
            Cow::Borrowed(name) => Some(Value::text(name)),
            Cow::Owned(name) => Some(Value::owned(name)),
        },
    ),
    plain(
        "evt.stream",
        Kind::Text,
        "stream: clock, loss, process, syscall, packet, block, journal, kernel, engine, log, metrics, uring",
        |view, _| Some(Value::text(view.event.body.stream().name())),
    ),
    plain(
        "evt.late",
        Kind::Flag,
        "true when it arrived after its slice was sealed (in JSON only when true)",
        |view, _| view.event.late.then_some(Value::Flag(true)),
    ),
    plain(
        "loss.stream",
        Kind::Text,
        "stream that has the hole",
        |view, _| Some(Value::text(loss(view)?.stream.name())),
    ),
    plain(
        "loss.cause",
        Kind::Text,
        "why events were lost: ring-full, writer-slow, …",
        |view, _| Some(Value::text(&loss(view)?.cause)),
    ),
    plain(
        "loss.count",
        Kind::Number,
        "how many events were lost; absent when not known",
        |view, _| {
            let count = loss(view)?.count;
            (count > 0).then_some(Value::number(count))
        },
    ),
    plain("loss.from", Kind::Time, "beginning of the hole", |view, _| {
        view.context.realtime(loss(view)?.from).map(Value::Time)
    }),
    plain("loss.to", Kind::Time, "end of the hole", |view, _| {
        view.context.realtime(loss(view)?.to).map(Value::Time)
    }),
    plain(
        "loss.scope",
        Kind::Text,
        "container, CPU or interface concerned; absent when all are",
        |view, _| {
            let scope = loss(view)?.scope.as_str();
            (!scope.is_empty()).then_some(Value::text(scope))
        },
    ),
    plain(
        "clock.delta",
        Kind::Duration,
        "by how much the wall clock was stepped",
        |view, _| match &view.event.body {
            Body::Clock(step) => Some(Value::Duration(i128::from(step.delta))),
            _ => None,
        },
    ),
    shaped(
        "metrics.",
        Kind::Number,
        Shape::Rest,
        "reading of a counter: metrics.cpu.usage_ns, metrics.memory.usage_bytes, …; totals, never rates; literals of _bytes and _ns take units",
        |view, selector| match (&view.event.body, selector) {
            (Body::Metrics(metrics), Selector::Key(key)) => metrics
                .values
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| Value::number(*value)),
            _ => None,
        },
        |view| match &view.event.body {
            Body::Metrics(metrics) => metrics
                .values
                .iter()
                .map(|(name, _)| Selector::Key(name.clone()))
                .collect(),
            _ => Vec::new(),
        },
    ),
];
