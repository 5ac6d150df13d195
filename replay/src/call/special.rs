//! Calls that `strace` writes in a way of their own, because one argument decides what the others are.

use super::{Seen, layout, quote};
use std::fmt::Write as _;
use stillframe_format::abi::{self, Call, Layout, sets, signal, values};
use stillframe_format::event::{ArgKind, Return};

/// A futex operation: `FUTEX_WAIT_PRIVATE`, `FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME`.
pub(super) fn futex_op(raw: u64) -> String {
    const PRIVATE: u64 = 0x80;
    let operation = raw & 0x7f;
    let is_known = sets::FUTEX.values.iter().any(|(value, _)| *value == operation);
    if raw & PRIVATE == 0 || !is_known {
        return sets::FUTEX.text(raw);
    }
    let rest = sets::FUTEX.text(raw & !PRIVATE);
    match rest.split_once('|') {
        Some((name, more)) => format!("{name}_PRIVATE|{more}"),
        None => format!("{rest}_PRIVATE"),
    }
}

/// An ioctl request: its name, or what its bits say (include/uapi/asm-generic/ioctl.h).
pub(super) fn ioctl_request(raw: u64) -> String {
    let request = u64::from(abi::low_u32(raw));
    if values::IOCTL.values.iter().any(|(known, _)| *known == request) {
        return values::IOCTL.text(raw);
    }
    let direction = match request >> 30 {
        0 => "_IOC_NONE",
        1 => "_IOC_WRITE",
        2 => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    format!(
        "_IOC({direction}, {}, {}, {})",
        quote::hex(request >> 8 & 0xff),
        quote::hex(request & 0xff),
        quote::hex(request >> 16 & 0x3fff)
    )
}

/// `struct winsize`.
pub(super) fn window(bytes: &[u8]) -> Option<String> {
    let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk::<2>()?));
    Some(format!(
        "{{ws_row={}, ws_col={}, ws_xpixel={}, ws_ypixel={}}}",
        half(0)?,
        half(2)?,
        half(4)?,
        half(6)?
    ))
}

impl Seen<'_> {
    /// The arguments of a call that has a form of its own.
    pub(super) fn special(&self, row: &Call) -> Option<Vec<String>> {
        match row.name {
            "clone" => Some(self.clone_arguments(row)),
            "futex" | "futex_time64" => self.futex(),
            "prctl" => self.prctl(),
            "getdents64" => {
                let mut shown: Vec<String> = (0..3).filter_map(|index| self.argument(index)).collect();
                if let Some(entries) = self.entries()
                    && let Some(place) = shown.get_mut(1)
                {
                    let _ = write!(place, " /* {entries} entries */");
                }
                Some(shown)
            }
            _ => None,
        }
    }

    /// How many entries `getdents64` gave; their lengths lead from one to the next (include/linux/dirent.h).
    fn entries(&self) -> Option<usize> {
        let Return::Value(length) = self.ret else {
            return None;
        };
        let length = usize::try_from(length).ok()?;
        let bytes = match self.found(1, ArgKind::Buffer) {
            Some(bytes) if bytes.is_whole() => bytes.value()?,
            _ => return None,
        };
        let mut rest = bytes.get(..length)?;
        let mut count = 0;
        while !rest.is_empty() {
            let size = u16::from_le_bytes(*rest.get(16..)?.first_chunk::<2>()?);
            rest = rest.get(usize::from(size).max(1)..)?;
            count += 1;
        }
        Some(count)
    }

    /// Its arguments stand by name, in an order of their own, and only those that its flags ask for.
    fn clone_arguments(&self, row: &Call) -> Vec<String> {
        const SETTLS: u64 = 0x80000;
        const PARENT: u64 = 0x0010_0000 | 0x1000;
        const CHILD: u64 = 0x0100_0000 | 0x0020_0000;
        let raw = |name: &str| {
            let at = row.args.iter().position(|arg| arg.name == name);
            at.and_then(|at| self.args.get(at)).copied().unwrap_or(0)
        };
        let flags = raw("flags");
        let mut names = sets::CLONE.text(flags & !0xff);
        let end = u32::try_from(flags & 0xff).unwrap_or(0);
        if end != 0 {
            let end = signal::name(end).unwrap_or_else(|| end.to_string().into());
            if flags & !0xff == 0 {
                names.clear();
            } else {
                names.push('|');
            }
            names.push_str(&end);
        }
        let mut out = vec![
            format!("child_stack={}", quote::pointer(raw("stack"))),
            format!("flags={names}"),
        ];
        if flags & PARENT != 0 {
            out.push(format!("parent_tid={}", quote::pointer(raw("parent_tid"))));
        }
        if flags & SETTLS != 0 {
            out.push(format!("tls={}", quote::hex(raw("tls"))));
        }
        if flags & CHILD != 0 {
            out.push(format!("child_tidptr={}", quote::pointer(raw("child_tid"))));
        }
        out
    }

    fn futex(&self) -> Option<Vec<String>> {
        let raw = |index: usize| self.args.get(index).copied().unwrap_or(0);
        let number = |index: usize| abi::low_u32(raw(index)).to_string();
        let shown = |index: usize| self.argument(index).unwrap_or_default();
        let mask = || match abi::low_u32(raw(5)) {
            u32::MAX => "FUTEX_BITSET_MATCH_ANY".to_owned(),
            mask => quote::hex(u64::from(mask)),
        };
        let mut out = vec![shown(0), shown(1)];
        match raw(1) & 0x7f {
            0 => out.extend([number(2), shown(3)]),
            1 => out.push(number(2)),
            3 => out.extend([number(2), number(3), shown(4)]),
            4 => out.extend([number(2), number(3), shown(4), number(5)]),
            6 | 13 => out.push(shown(3)),
            7 | 8 => {}
            9 => out.extend([number(2), shown(3), mask()]),
            10 => out.extend([number(2), mask()]),
            11 => out.extend([number(2), shown(3), shown(4), mask()]),
            12 => out.extend([number(2), number(3), shown(4), number(5)]),
            _ => out.extend([number(2), shown(3), shown(4), number(5)]),
        }
        Some(out)
    }

    fn prctl(&self) -> Option<Vec<String>> {
        let raw = |index: usize| self.args.get(index).copied().unwrap_or(0);
        let numbers = |from: usize, to: usize| (from..=to).map(|index| raw(index).to_string());
        let mut out = vec![values::PR.text(raw(0))];
        match abi::low_u32(raw(0)) {
            // PR_SET_PDEATHSIG
            1 => {
                let number = abi::low_u32(raw(1));
                out.push(signal::name(number).map_or_else(|| number.to_string(), |name| name.into_owned()));
            }
            // PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_SECCOMP, PR_GET_SECUREBITS, PR_GET_TIMERSLACK
            3 | 7 | 21 | 27 | 30 => {}
            // PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_TIMERSLACK
            4 | 8 | 29 => out.extend(numbers(1, 1)),
            // PR_SET_NAME, PR_GET_NAME
            15 | 16 => out.push(quote::pointer(raw(1))),
            // PR_CAPBSET_READ, PR_CAPBSET_DROP
            23 | 24 => out.push(values::CAP.text(raw(1))),
            // PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS
            38 | 39 => out.extend(numbers(1, 4)),
            _ => out.extend((1..=4).map(|index| quote::hex(raw(index)))),
        }
        Some(out)
    }

    /// A result that says more than its number.
    pub(super) fn special_result(&self, row: &Call, value: i64) -> Option<String> {
        let raw = value.cast_unsigned();
        match row.name {
            "fcntl" | "fcntl64" => self.fcntl_result(raw),
            "poll" | "ppoll" | "ppoll_time64" => self.poll_result(value),
            "select" | "_newselect" | "pselect6" | "pselect6_time64" => self.select_result(value),
            "membarrier" if self.args.first() == Some(&0) => Some(format!(
                "{} ({})",
                quote::hex(raw),
                sets::MEMBARRIER_BITS.text(raw)
            )),
            "rt_sigtimedwait" | "rt_sigtimedwait_time64" => {
                let name = signal::name(u32::try_from(value).ok()?)?;
                Some(format!("{value} ({name})"))
            }
            "sched_getscheduler" => Some(format!("{value} ({})", values::SCHED.text(raw))),
            _ => None,
        }
    }

    /// `F_GETFD`, `F_GETFL` and `F_GET_SEALS` give flags.
    fn fcntl_result(&self, raw: u64) -> Option<String> {
        // F_DUPFD, F_DUPFD_CLOEXEC
        if let Some(0 | 0x406) = self.args.get(1).copied().map(abi::low_u32) {
            let fd = i32::try_from(raw).ok()?;
            return Some(self.fd_text(fd));
        }
        let (what, set) = match self.args.get(1).copied().map(abi::low_u32)? {
            1 => ("flags", &sets::FD),
            3 => ("flags", sets::OPEN.on(self.abi)),
            0x40a => ("seals", &sets::SEALS),
            _ => return None,
        };
        Some(if raw == 0 && !std::ptr::eq(set, sets::OPEN.on(self.abi)) {
            "0".to_owned()
        } else {
            format!("{} ({what} {})", quote::hex(raw), set.text(raw))
        })
    }

    /// What is left of the time to wait.
    fn left(&self, index: usize, row: &str) -> Option<String> {
        let bytes = self.found(index, ArgKind::Struct)?.value()?;
        let layout = match row {
            "select" | "_newselect" => Layout::Timeval,
            "ppoll_time64" | "pselect6_time64" => Layout::Timespec64,
            _ => Layout::Timespec,
        };
        Some(format!("left {}", layout::text(bytes, layout, self.abi)?))
    }

    fn poll_result(&self, value: i64) -> Option<String> {
        if value == 0 {
            return Some("0 (Timeout)".to_owned());
        }
        let bytes = self.found(0, ArgKind::Struct)?.value()?;
        let mut ready = Vec::new();
        for element in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, _, _, low, high] = *element;
            let (fd, events) = (i32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
            if fd >= 0 && events != 0 {
                ready.push(format!(
                    "{{fd={fd}, revents={}}}",
                    sets::POLL.text(u64::from(events))
                ));
            }
        }
        let mut out = format!("{value} ([{}]", ready.join(", "));
        if let Some(left) = self.left(2, abi::name(self.abi, self.number)?) {
            let _ = write!(out, ", {left}");
        }
        out.push(')');
        Some(out)
    }

    fn select_result(&self, value: i64) -> Option<String> {
        if value == 0 {
            return Some("0 (Timeout)".to_owned());
        }
        let mut parts = Vec::new();
        for (index, what) in [(1, "in"), (2, "out"), (3, "except")] {
            let Some(bytes) = self.found(index, ArgKind::Struct).and_then(|found| found.value()) else {
                continue;
            };
            let bits = bytes.iter().enumerate().flat_map(|(at, byte)| {
                (0..8)
                    .filter(move |bit| byte >> bit & 1 == 1)
                    .map(move |bit| at * 8 + bit)
            });
            let fds: Vec<String> = bits.map(|fd| fd.to_string()).collect();
            if !fds.is_empty() {
                parts.push(format!("{what} [{}]", fds.join(" ")));
            }
        }
        parts.extend(self.left(4, abi::name(self.abi, self.number)?));
        Some(format!("{value} ({})", parts.join(", ")))
    }
}
