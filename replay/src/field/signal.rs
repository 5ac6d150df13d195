//! Signals and OOM kills.

use super::{Field, plain};
use crate::signal;
use crate::value::{Kind, Value};
use crate::view::View;
use std::borrow::Cow;
use stillframe_format::event::{Body, OomKill, OomPages, ProcessChange, Signal, Task};

fn sent<'v>(view: &'v View<'_>) -> Option<&'v Signal> {
    match &view.event.body {
        Body::Process(process) => match &process.change {
            ProcessChange::Signal(signal) => Some(signal),
            _ => None,
        },
        _ => None,
    }
}

fn kill<'v>(view: &'v View<'_>) -> Option<&'v OomKill> {
    match &view.event.body {
        Body::Process(process) => match &process.change {
            ProcessChange::OomKill(kill) => Some(kill),
            _ => None,
        },
        _ => None,
    }
}

fn sender<'v>(view: &'v View<'_>) -> Option<&'v Task> {
    sent(view)?.sender.as_deref()
}

fn pages<'v>(view: &'v View<'_>) -> Option<&'v OomPages> {
    kill(view)?.pages.as_ref()
}

fn text<'v>(text: Cow<'static, str>) -> Value<'v> {
    match text {
        Cow::Borrowed(text) => Value::text(text),
        Cow::Owned(text) => Value::owned(text),
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "signal.name",
        Kind::Text,
        "the signal: SIGTERM, SIGRT_2",
        |view, _| Some(text(signal::name(sent(view)?.number))),
    ),
    plain("signal.number", Kind::Number, "its number", |view, _| {
        Some(Value::number(sent(view)?.number))
    }),
    plain(
        "signal.code",
        Kind::Text,
        "why it was sent: SI_USER, SI_KERNEL, CLD_EXITED, SEGV_MAPERR, …",
        |view, _| {
            let sent = sent(view)?;
            Some(text(signal::code(sent.number, sent.code)))
        },
    ),
    plain(
        "signal.action",
        Kind::Text,
        "signalsend: pending, ignored, already pending, queue full, pending without siginfo; signaldeliver: handler, default, ignored, unknown",
        |view, _| Some(Value::text(signal::action(sent(view)?.step))),
    ),
    plain("signal.fatal", Kind::Flag, "the process dies of it", |view, _| {
        Some(Value::Flag(sent(view)?.fatal))
    }),
    plain(
        "signal.scope",
        Kind::Text,
        "signalsend: process or thread, whom it was sent to",
        |view, _| {
            let sent = sent(view)?;
            let scope = if sent.process_wide { "process" } else { "thread" };
            (!sent.step.is_delivery()).then_some(Value::text(scope))
        },
    ),
    plain(
        "signal.sender.pid",
        Kind::Number,
        "signalsend: process id of whoever sent it, as the host sees it; absent when not known",
        |view, _| Some(Value::number(sender(view)?.pid)),
    ),
    plain(
        "signal.sender.tid",
        Kind::Number,
        "signalsend: thread id of whoever sent it",
        |view, _| Some(Value::number(sender(view)?.tid)),
    ),
    plain(
        "signal.sender.name",
        Kind::Text,
        "signalsend: name (comm) of whoever sent it",
        |view, _| Some(Value::bytes(&sender(view)?.comm)),
    ),
    plain(
        "signal.sender.container",
        Kind::Text,
        "signalsend: id of the captured container that it came from; absent when it came from elsewhere",
        |view, _| {
            let container = sender(view)?.container.as_str();
            (!container.is_empty()).then_some(Value::text(container))
        },
    ),
    plain(
        "signal.info",
        Kind::Text,
        "its siginfo as strace writes it; process ids in it are those of the receiver's namespace",
        |view, _| Some(Value::owned(signal::siginfo(sent(view)?))),
    ),
    plain(
        "oom.trigger.pid",
        Kind::Number,
        "oomkill: process id of the thread that asked for memory",
        |view, _| Some(Value::number(kill(view)?.trigger.as_ref()?.pid)),
    ),
    plain(
        "oom.trigger.name",
        Kind::Text,
        "oomkill: name (comm) of that thread",
        |view, _| Some(Value::bytes(&kill(view)?.trigger.as_ref()?.comm)),
    ),
    plain(
        "oom.score_adj",
        Kind::Number,
        "oomkill: the victim's oom_score_adj",
        |view, _| Some(Value::number(kill(view)?.score_adj)),
    ),
    plain(
        "oom.pages.total_vm",
        Kind::Number,
        "oomkill: pages of the victim's address space; absent when not known",
        |view, _| Some(Value::number(pages(view)?.total_vm)),
    ),
    plain(
        "oom.pages.anon",
        Kind::Number,
        "oomkill: pages of its anonymous memory",
        |view, _| Some(Value::number(pages(view)?.anon)),
    ),
    plain(
        "oom.pages.file",
        Kind::Number,
        "oomkill: pages of files in its memory",
        |view, _| Some(Value::number(pages(view)?.file)),
    ),
    plain(
        "oom.pages.shmem",
        Kind::Number,
        "oomkill: pages of its shared memory",
        |view, _| Some(Value::number(pages(view)?.shmem)),
    ),
];
