//! Fields of io_uring's requests.

use super::{Field, plain};
use crate::call;
use crate::uring;
use crate::value::{Kind, Value};
use crate::view::View;
use std::borrow::Cow;
use stillframe_format::event::{Body, Uring, UringStep};

pub(super) fn request<'v>(view: &'v View<'_>) -> Option<&'v Uring> {
    match &view.event.body {
        Body::Uring(request) => Some(request),
        _ => None,
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "uring.op",
        Kind::Text,
        "operation of a request: READ, OPENAT, NOP, …; absent of a completion whose submission is not known",
        |view, _| {
            Some(match uring::operation(request(view)?.opcode?) {
                Cow::Borrowed(name) => Value::text(name),
                Cow::Owned(name) => Value::owned(name),
            })
        },
    ),
    plain(
        "uring.fd",
        Kind::Number,
        "uringsubmit: descriptor that it is about, or the index of a registered one",
        |view, _| match request(view)?.step {
            UringStep::Submit { fd, .. } => fd.map(Value::number),
            _ => None,
        },
    ),
    plain(
        "uring.user_data",
        Kind::Hex,
        "the program's own word for the request: pairs submission with completion",
        |view, _| Some(Value::Hex(request(view)?.user_data)),
    ),
    plain(
        "uring.ring",
        Kind::Hex,
        "the kernel's address of the ring, which tells rings apart",
        |view, _| Some(Value::Hex(request(view)?.ring)),
    ),
    plain(
        "uring.flags",
        Kind::Text,
        "uringsubmit: IOSQE_…; else IORING_CQE_F_…; absent when there are none",
        |view, _| uring::flags(request(view)?).map(Value::owned),
    ),
    plain(
        "uring.result",
        Kind::Number,
        "result of a completion; -4095 to -1 is a negated errno",
        |view, _| request(view)?.step.result().map(Value::number),
    ),
    plain(
        "uring.error",
        Kind::Text,
        "name of the errno of a completion that failed",
        |view, _| {
            let errno = request(view)?.errno()?;
            Some(Value::owned(call::errno_name(errno)))
        },
    ),
    plain(
        "uring.latency",
        Kind::Duration,
        "uringcomplete: time since the submission; absent when that was not seen, or it is one of several completions",
        |view, _| {
            let latency = request(view)?.step.latency()?;
            Some(Value::Duration(i128::from(latency)))
        },
    ),
];
