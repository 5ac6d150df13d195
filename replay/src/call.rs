//! How a system call reads: its name, arguments and result, in `strace`'s way.
//!
//! The one place in this crate that asks `stillframe_format` about tables of calls. What was not captured whole is shown
//! as such: an address where the memory could not be read, `...` behind what was cut, never an empty text.

mod address;
mod argument;
mod layout;
mod quote;
mod special;
mod vector;

use std::borrow::Cow;
use std::fmt::Write as _;
use stillframe_format::Captured;
use stillframe_format::abi::{self, RetKind};
use stillframe_format::event::{Abi, ArgData, ArgKind, OpenCall, Return, Syscall};

/// How many bytes of a buffer a line shows, as `strace` without `-s`.
const SHORT: usize = 32;

/// The call's name; `syscall_NUMBER` where the table has none.
#[must_use]
pub fn name(abi: Abi, number: u32) -> Cow<'static, str> {
    abi::name(abi, number).map_or_else(|| Cow::Owned(format!("syscall_{number}")), Cow::Borrowed)
}

/// The call's name as `strace` spells it: a number without a call stands in hex.
fn spelled(abi: Abi, number: u32) -> Cow<'static, str> {
    abi::name(abi, number).map_or_else(|| Cow::Owned(format!("syscall_{number:#x}")), Cow::Borrowed)
}

/// What descriptors and working folders of the call's process are called.
pub trait Names {
    /// What a descriptor referred to before the call.
    fn descriptor(&self, fd: i32) -> Option<&[u8]>;
    /// What a descriptor refers to after the call.
    fn made(&self, fd: i32) -> Option<&[u8]>;
    /// The working folder.
    fn folder(&self) -> Option<&[u8]>;
}

/// Nothing is known but what the call itself has.
struct NoNames;

impl Names for NoNames {
    fn descriptor(&self, _: i32) -> Option<&[u8]> {
        None
    }

    fn made(&self, _: i32) -> Option<&[u8]> {
        None
    }

    fn folder(&self) -> Option<&[u8]> {
        None
    }
}

/// The name of an errno: `ENOENT`.
#[must_use]
pub fn errno_name(errno: i32) -> String {
    abi::errno::name(errno).map_or_else(|| format!("errno {errno}"), str::to_owned)
}

/// How many arguments the call takes; all six where the table does not know it.
#[must_use]
pub fn arity(call: &Syscall) -> usize {
    abi::lookup(call.abi, call.number).map_or(call.args.len(), |row| row.args.len())
}

/// The call's arguments, one text each, with all data that was captured.
#[must_use]
pub fn arguments(call: &Syscall) -> Vec<String> {
    Seen::of(call, usize::MAX, &NoNames).arguments()
}

/// One of the call's arguments; `None` when it has none at that place, or its command leaves it out.
#[must_use]
pub fn argument(call: &Syscall, index: usize) -> Option<String> {
    (index < arity(call)).then(|| Seen::of(call, usize::MAX, &NoNames).argument(index))?
}

/// The call and its arguments, buffers at most 32 bytes long: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY)`.
#[must_use]
pub fn text(call: &Syscall) -> String {
    format!(
        "{}({})",
        spelled(call.abi, call.number),
        Seen::of(call, SHORT, &NoNames).arguments().join(", ")
    )
}

/// The call and its arguments with all data that was captured.
#[must_use]
pub fn full_text(call: &Syscall) -> String {
    format!(
        "{}({})",
        spelled(call.abi, call.number),
        arguments(call).join(", ")
    )
}

/// The whole line of `strace -yy`: the call with all data and the names of all its descriptors, and its result.
#[must_use]
pub fn line(call: &Syscall, names: &dyn Names) -> String {
    let seen = Seen::of(call, usize::MAX, names);
    let arguments = seen.arguments().join(", ");
    let result = seen.result(call);
    format!("{}({arguments}) = {result}", spelled(call.abi, call.number))
}

/// A call that had not returned: its registers at entry, the parenthesis left open: `read(3, 0x7ffd0000, 4096`.
#[must_use]
pub fn open_text(call: &OpenCall) -> String {
    let seen = Seen {
        abi: call.abi,
        number: call.number,
        args: &call.args,
        ret: Return::Never,
        name: None,
        data: &[],
        limit: SHORT,
        names: &NoNames,
    };
    format!(
        "{}({}",
        spelled(call.abi, call.number),
        seen.arguments().join(", ")
    )
}

/// What it returned: `3</etc/passwd>`, `-1 ENOENT (No such file or directory)`, `?`.
#[must_use]
pub fn result(call: &Syscall) -> String {
    Seen::of(call, SHORT, &NoNames).result(call)
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

/// What is known of a call whose arguments are to be shown.
struct Seen<'a> {
    abi: Abi,
    number: u32,
    args: &'a [u64; 6],
    ret: Return,
    /// The name of the descriptor that the call takes.
    name: Option<&'a [u8]>,
    data: &'a [ArgData],
    /// The most bytes of a buffer that are shown.
    limit: usize,
    /// Names of other descriptors.
    names: &'a dyn Names,
}

impl<'a> Seen<'a> {
    fn of(call: &'a Syscall, limit: usize, names: &'a dyn Names) -> Self {
        Self {
            abi: call.abi,
            number: call.number,
            args: &call.args,
            ret: call.ret,
            name: call.descriptor.as_ref().map(|name| name.name.as_slice()),
            data: &call.data,
            limit,
            names,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let Some(row) = abi::lookup(self.abi, self.number) else {
            return self.args.iter().map(|raw| quote::hex(*raw)).collect();
        };
        if let Some(special) = self.special(row) {
            return special;
        }
        (0..row.args.len())
            .filter_map(|index| self.argument(index))
            .collect()
    }

    fn result(&self, call: &Syscall) -> String {
        let Return::Value(value) = self.ret else {
            return "?".to_owned();
        };
        let row = abi::lookup(self.abi, self.number);
        if let Some(errno) = self.ret.errno() {
            // What the kernel keeps to itself: the call is restarted, or returns EINTR (include/linux/errno.h).
            let value = if errno >= 512 { "?" } else { "-1" };
            return match abi::errno::description(errno) {
                Some(description) => format!("{value} {} ({description})", errno_name(errno)),
                None => format!("{value} {}", errno_name(errno)),
            };
        }
        let raw = value.cast_unsigned();
        if let Some(text) = row.and_then(|row| self.special_result(row, value)) {
            return text;
        }
        match row.map(|row| row.ret) {
            Some(RetKind::Hex) => quote::hex(raw),
            Some(RetKind::Octal) => quote::octal(raw),
            Some(RetKind::Fd) => {
                let own = call.descriptor.as_ref().map(|name| name.name.as_slice());
                let own = own.filter(|_| row.is_some_and(abi::descriptor_is_result));
                let mut out = value.to_string();
                let other = || self.names.made(i32::try_from(value).ok()?);
                if let Some(name) = own.or_else(other) {
                    quote::descriptor(&mut out, name);
                }
                out
            }
            _ => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
