//! Fields of system calls.

use super::uring::request;
use super::{Field, Selector, Shape, again, plain, shaped};
use crate::call;
use crate::value::{Kind, Value};
use crate::view::View;
use stillframe_format::Captured;
use stillframe_format::event::{
    Abi, ArgKind, BlockAction, Body, DescriptorName, ProcessChange, Return, Syscall,
};

fn syscall<'v>(view: &'v View<'_>) -> Option<&'v Syscall> {
    match &view.event.body {
        Body::Syscall(call) => Some(call),
        _ => None,
    }
}

fn descriptor<'v>(view: &'v View<'_>) -> Option<&'v DescriptorName> {
    match request(view) {
        Some(request) => request.descriptor.as_deref(),
        None => syscall(view)?.descriptor.as_deref(),
    }
}

fn indexes(view: &View<'_>) -> Vec<Selector> {
    let count = syscall(view).map_or(0, call::arity);
    (0..6).take(count).map(Selector::Index).collect()
}

/// The table that a call's number belongs to, in one word.
pub(crate) fn abi_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 => "x86_64",
        Abi::I386 => "i386",
        Abi::Aarch64 => "aarch64",
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "evt.args",
        Kind::Text,
        "the call's arguments as strace shows them",
        |view, _| Some(Value::owned(call::arguments(syscall(view)?).join(", "))),
    ),
    Field {
        json: false,
        ..shaped(
            "evt.arg",
            Kind::Text,
            Shape::Index,
            "one argument of the call, from 0, as strace shows it",
            |view, selector| {
                let Selector::Index(index) = selector else {
                    return None;
                };
                call::argument(syscall(view)?, usize::from(*index)).map(Value::owned)
            },
            indexes,
        )
    },
    shaped(
        "evt.rawarg",
        Kind::Hex,
        Shape::Index,
        "one argument register at entry, from 0",
        |view, selector| {
            let Selector::Index(index) = selector else {
                return None;
            };
            syscall(view)?
                .args
                .get(usize::from(*index))
                .map(|value| Value::Hex(*value))
        },
        indexes,
    ),
    plain(
        "evt.res",
        Kind::Text,
        "SUCCESS, or the name of the errno; absent when it never returned",
        |view, _| {
            let call = syscall(view)?;
            match (call.ret, call.ret.errno()) {
                (Return::Never, _) => None,
                (_, Some(errno)) => Some(Value::owned(call::errno_name(errno))),
                (_, None) => Some(Value::text("SUCCESS")),
            }
        },
    ),
    plain(
        "evt.rawres",
        Kind::Number,
        "the value returned; -4095 to -1 is a negated errno",
        |view, _| match syscall(view)?.ret {
            Return::Value(value) => Some(Value::number(value)),
            Return::Never => None,
        },
    ),
    plain(
        "evt.failed",
        Kind::Flag,
        "true when a call returned an error, or a request failed",
        |view, _| match &view.event.body {
            Body::Syscall(call) => Some(Value::Flag(call.ret.errno().is_some())),
            Body::Block(block) if block.action == BlockAction::Complete => {
                Some(Value::Flag(block.error != 0))
            }
            Body::Uring(request) => request
                .step
                .result()
                .map(|_| Value::Flag(request.errno().is_some())),
            _ => None,
        },
    ),
    plain(
        "evt.latency",
        Kind::Duration,
        "time from entry to return; absent when the entry was not seen",
        |view, _| {
            syscall(view)?
                .duration
                .map(|value| Value::Duration(i128::from(value)))
        },
    ),
    plain(
        "evt.cpu",
        Kind::Number,
        "CPU of the return, of the block event, of the request of io_uring",
        |view, _| match &view.event.body {
            Body::Syscall(call) => Some(Value::number(call.cpu)),
            Body::Block(block) => Some(Value::number(block.cpu)),
            Body::Uring(request) => Some(Value::number(request.cpu)),
            _ => None,
        },
    ),
    plain(
        "evt.abi",
        Kind::Text,
        "table of the call's number: x86_64, i386, aarch64",
        |view, _| Some(Value::text(abi_name(syscall(view)?.abi))),
    ),
    plain(
        "evt.nr",
        Kind::Number,
        "the call's number in that table",
        |view, _| Some(Value::number(syscall(view)?.number)),
    ),
    plain(
        "fd.num",
        Kind::Number,
        "descriptor that the call, or the submission to io_uring, is about",
        |view, _| match request(view) {
            Some(request) => request.process_fd().map(Value::number),
            None => call::descriptor(syscall(view)?).map(Value::number),
        },
    ),
    plain(
        "fd.name",
        Kind::Text,
        "what it refers to: /data/wal, TCP:[10.0.0.2:80->10.0.0.9:5012]",
        |view, _| Some(Value::bytes(&descriptor(view)?.name)),
    ),
    plain(
        "fd.type",
        Kind::Text,
        "its type: file, directory, ipv4, ipv6, unix, pipe, event, …",
        |view, _| Some(Value::text(&descriptor(view)?.kind)),
    ),
    plain(
        "fs.path.name",
        Kind::Text,
        "first file name among the call's arguments, as it was given",
        |view, _| Some(Value::bytes(call::data(syscall(view)?, ArgKind::Path)?.value()?)),
    ),
    plain(
        "evt.buffer",
        Kind::Text,
        "first bytes read, written, sent or received",
        |view, _| {
            Some(Value::bytes(
                call::data(syscall(view)?, ArgKind::Buffer)?.value()?,
            ))
        },
    ),
    plain(
        "evt.buflen",
        Kind::Size,
        "how long that data was in all",
        |view, _| match call::data(syscall(view)?, ArgKind::Buffer)? {
            Captured::Whole(bytes) => Some(Value::Size(bytes.len() as u64)),
            Captured::Truncated(_, 0) | Captured::Failed(_) => None,
            Captured::Truncated(_, original) | Captured::Redacted(original) => Some(Value::Size(*original)),
        },
    ),
    plain(
        "evt.doubt",
        Kind::Text,
        "what of the event's data is not whole: cut, not readable, redacted, with its length or errno",
        |view, _| match &view.event.body {
            Body::Syscall(call) => call::doubts(call).map(Value::owned),
            Body::Packet(packet) if (packet.data.len() as u64) < u64::from(packet.original_len) => {
                Some(Value::owned(format!("cut, {} bytes long", packet.original_len)))
            }
            Body::Process(process) => match &process.change {
                ProcessChange::Exec { filename, argv, .. } => {
                    let parts: Vec<String> = [("filename", filename), ("argv", argv)]
                        .into_iter()
                        .filter_map(|(name, data)| Some(format!("{name} {}", call::doubt(data)?)))
                        .collect();
                    (!parts.is_empty()).then(|| Value::owned(parts.join("; ")))
                }
                _ => None,
            },
            _ => None,
        },
    ),
    again(
        "syscall.type",
        Kind::Text,
        "the call's name; absent for what is no call",
        |view, _| {
            let call = syscall(view)?;
            Some(Value::Text(match call::name(call.abi, call.number) {
                std::borrow::Cow::Borrowed(name) => name.as_bytes().into(),
                std::borrow::Cow::Owned(name) => name.into_bytes().into(),
            }))
        },
    ),
];
