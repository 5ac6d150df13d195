//! How a system call reads: its name, arguments and result.
//!
//! The one place in this crate that asks `stillframe_format` about tables of calls.

use std::borrow::Cow;
use std::fmt::Write as _;
use stillframe_format::Captured;
use stillframe_format::abi;
use stillframe_format::event::{Abi, ArgKind, OpenCall, Return, Syscall};

/// The call's name; `syscall_NUMBER` where the table has none.
#[must_use]
pub fn name(abi: Abi, number: u32) -> Cow<'static, str> {
    abi::name(abi, number).map_or_else(|| Cow::Owned(format!("syscall_{number}")), Cow::Borrowed)
}

/// The name of an errno: `ENOENT`.
#[must_use]
pub fn errno_name(errno: i32) -> String {
    abi::errno::name(errno).map_or_else(|| format!("errno {errno}"), str::to_owned)
}

/// The call's arguments, one text each, in `strace`'s way.
#[must_use]
pub fn arguments(call: &Syscall) -> Vec<String> {
    let count = abi::lookup(call.abi, call.number).map_or(call.args.len(), |row| row.args.len());
    call.args
        .iter()
        .take(count)
        .map(|value| format!("{value:#x}"))
        .collect()
}

/// The call and its arguments: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY)`.
#[must_use]
pub fn text(call: &Syscall) -> String {
    format!("{}({})", name(call.abi, call.number), arguments(call).join(", "))
}

/// What it returned: `3`, `-1 ENOENT (No such file or directory)`, `?`.
#[must_use]
pub fn result(call: &Syscall) -> String {
    match call.ret {
        Return::Never => "?".to_owned(),
        Return::Value(value) => match call.ret.errno() {
            Some(errno) => format!("-1 {}", errno_name(errno)),
            None => value.to_string(),
        },
    }
}

/// The descriptor that the call is about: the one it takes, or else the one it returned.
#[must_use]
pub fn descriptor(call: &Syscall) -> Option<i32> {
    let row = abi::lookup(call.abi, call.number)?;
    if abi::descriptor_is_result(row) {
        return match call.ret {
            Return::Value(value) => i32::try_from(value).ok().filter(|value| *value >= 0),
            Return::Never => None,
        };
    }
    call.args
        .get(abi::descriptor_arg(row)?)
        .map(|raw| abi::low_i32(*raw))
}

/// The first piece of memory of a kind.
#[must_use]
pub fn data(call: &Syscall, kind: ArgKind) -> Option<&Captured<Vec<u8>>> {
    call.data
        .iter()
        .find(|data| data.kind == kind)
        .map(|data| &data.bytes)
}

/// Doubt about a piece of data in words: `cut, 4096 bytes long`; `None` when there is none.
#[must_use]
pub fn doubt(captured: &Captured<Vec<u8>>) -> Option<String> {
    match captured {
        Captured::Whole(_) => None,
        Captured::Truncated(_, 0) => Some("cut".to_owned()),
        Captured::Truncated(_, original) => Some(format!("cut, {original} bytes long")),
        Captured::Failed(errno) => Some(format!("not readable, {}", errno_name(*errno))),
        Captured::Redacted(original) => Some(format!("redacted, {original} bytes long")),
    }
}

/// All doubt about a call's data: `arg1 cut, 4096 bytes long; arg2 not readable, EFAULT`.
#[must_use]
pub fn doubts(call: &Syscall) -> Option<String> {
    let mut out = String::new();
    for data in &call.data {
        if let Some(doubt) = doubt(&data.bytes) {
            if !out.is_empty() {
                out.push_str("; ");
            }
            let _ = write!(out, "arg{} {doubt}", data.arg);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The call that had not returned, with its registers: `read(3, 0x7ffd0000, 4096`, the parenthesis left open.
#[must_use]
pub fn open_text(call: &OpenCall) -> String {
    let count = abi::lookup(call.abi, call.number).map_or(call.args.len(), |row| row.args.len());
    let arguments: Vec<String> = call
        .args
        .iter()
        .take(count)
        .map(|value| format!("{value:#x}"))
        .collect();
    format!("{}({}", name(call.abi, call.number), arguments.join(", "))
}
