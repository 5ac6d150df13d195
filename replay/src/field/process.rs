//! Who did it: process, thread, container; and changes in the process tree.

use super::{Field, plain};
use crate::value::{Kind, Value};
use crate::view::View;
use stillframe_format::Captured;
use stillframe_format::event::{Body, ProcessChange};

fn change<'v>(view: &'v View<'_>) -> Option<&'v ProcessChange> {
    match &view.event.body {
        Body::Process(process) => Some(&process.change),
        _ => None,
    }
}

/// argv as one line: the NUL after each argument becomes a space between them.
pub(crate) fn command_line(argv: &Captured<Vec<u8>>) -> Option<Vec<u8>> {
    let argv = argv.value()?;
    let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
    Some(
        argv.iter()
            .map(|byte| if *byte == 0 { b' ' } else { *byte })
            .collect(),
    )
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "container.id",
        Kind::Text,
        "full id of the container it belongs to",
        |view, _| view.container().map(Value::text),
    ),
    plain(
        "container.name",
        Kind::Text,
        "name of that container",
        |view, _| view.container_name().map(Value::text),
    ),
    plain(
        "proc.pid",
        Kind::Number,
        "process id as the host sees it",
        |view, _| {
            let pid = view.event.body.task()?.pid;
            (pid != 0).then_some(Value::number(pid))
        },
    ),
    plain(
        "thread.tid",
        Kind::Number,
        "thread id as the host sees it",
        |view, _| {
            let tid = view.event.body.task()?.tid;
            (tid != 0).then_some(Value::number(tid))
        },
    ),
    plain(
        "proc.name",
        Kind::Text,
        "the thread's name (comm) at that moment",
        |view, _| {
            let comm = &view.event.body.task()?.comm;
            (!comm.is_empty()).then_some(Value::bytes(comm))
        },
    ),
    plain(
        "child.pid",
        Kind::Number,
        "procfork: process id of the child; the parent's own for a thread",
        |view, _| match change(view)? {
            ProcessChange::Fork { pid, .. } => Some(Value::number(*pid)),
            _ => None,
        },
    ),
    plain(
        "child.tid",
        Kind::Number,
        "procfork: thread id of the child",
        |view, _| match change(view)? {
            ProcessChange::Fork { tid, .. } => Some(Value::number(*tid)),
            _ => None,
        },
    ),
    plain(
        "proc.exepath",
        Kind::Text,
        "procexec: the program's file",
        |view, _| match change(view)? {
            ProcessChange::Exec { filename, .. } => Some(Value::bytes(filename.value()?)),
            _ => None,
        },
    ),
    plain(
        "proc.cmdline",
        Kind::Text,
        "procexec: the program's arguments, joined by spaces",
        |view, _| match change(view)? {
            ProcessChange::Exec { argv, .. } => Some(Value::Text(command_line(argv)?.into())),
            _ => None,
        },
    ),
    plain(
        "proc.exit.status",
        Kind::Number,
        "procexit: exit status, where no signal killed it",
        |view, _| match change(view)? {
            ProcessChange::Exit {
                status, signal: 0, ..
            } => Some(Value::number(*status)),
            _ => None,
        },
    ),
    plain(
        "proc.exit.signal",
        Kind::Number,
        "procexit: number of the signal that killed it",
        |view, _| match change(view)? {
            ProcessChange::Exit { signal, .. } if *signal != 0 => Some(Value::number(*signal)),
            _ => None,
        },
    ),
    plain(
        "proc.exit.core",
        Kind::Flag,
        "procexit: it left a core dump",
        |view, _| match change(view)? {
            ProcessChange::Exit { core, .. } => Some(Value::Flag(*core)),
            _ => None,
        },
    ),
    plain(
        "proc.exit.last",
        Kind::Flag,
        "procexit: it was the last thread of its process",
        |view, _| match change(view)? {
            ProcessChange::Exit { last, .. } => Some(Value::Flag(*last)),
            _ => None,
        },
    ),
];
