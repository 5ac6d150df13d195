//! One argument, by what the table says it is.

use super::{Seen, address, errno_name, layout, quote};
use std::fmt::Write as _;
use stillframe_format::Captured;
use stillframe_format::abi::{self, Call, Kind, Layout, sets, values};
use stillframe_format::event::{Abi, ArgKind, Return};

/// The most argv entries that a short line shows.
const STRINGS_MAX: usize = 32;

impl Seen<'_> {
    /// An argument; `None` when there is none at that place, or others make the call ignore it.
    pub(super) fn argument(&self, index: usize) -> Option<String> {
        let raw = *self.args.get(index)?;
        let Some(row) = abi::lookup(self.abi, self.number) else {
            return Some(quote::hex(raw));
        };
        let kind = row.args.get(index)?.kind;
        if self.is_ignored(row, index) {
            return None;
        }
        let is_number = matches!(
            kind,
            Kind::Fcntl { .. } | Kind::FutexTimeout { .. } | Kind::Ioctl { .. }
        );
        if is_number && let Some(shown) = self.by_command(index, kind) {
            return Some(shown);
        }
        if kind.captured_as().is_some() && !is_number {
            return Some(self.memory(index, kind, raw));
        }
        Some(self.value(row, index, kind, raw))
    }

    /// Whether the kernel does not look at the argument: the mode of an open that makes nothing, and so on.
    fn is_ignored(&self, row: &Call, index: usize) -> bool {
        /// `O_CREAT`, and the bit of `O_TMPFILE` that is its own; the same on every ABI.
        const CREATES: u64 = 0o100 | 0o20_000_000;
        let before = index
            .checked_sub(1)
            .and_then(|before| self.args.get(before))
            .copied();
        match row.name {
            "open" | "openat" | "mq_open" if row.args.get(index).is_some_and(|arg| arg.name == "mode") => {
                before.is_some_and(|flags| flags & CREATES == 0)
            }
            // F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE, F_GETPIPE_SZ, F_GET_SEALS
            "mknod" | "mknodat" if row.args.get(index).is_some_and(|arg| arg.name == "dev") => {
                // S_IFCHR and S_IFBLK have a device.
                before.is_some_and(|mode| !matches!(mode & 0o170_000, 0o020_000 | 0o060_000))
            }
            // Only a flag lets them be looked at: MREMAP_FIXED, MREMAP_DONTUNMAP; MEMBARRIER_CMD_FLAG_CPU.
            "mremap" if index == 4 => before.is_some_and(|flags| flags & 6 == 0),
            "membarrier" if index == 2 => before.is_some_and(|flags| flags & 1 == 0),
            "preadv" | "pwritev" | "preadv2" | "pwritev2" if index == 4 => self.abi != Abi::I386,
            "ptrace" => match self.args.first() {
                // PTRACE_TRACEME; PTRACE_ATTACH
                Some(0) => index > 0,
                Some(16) => index > 1,
                _ => false,
            },
            "fcntl" | "fcntl64" if index == 2 => before.is_some_and(|command| {
                matches!(abi::low_u32(command), 1 | 3 | 9 | 11 | 0x401 | 0x408 | 0x40a)
            }),
            _ => false,
        }
    }

    /// An argument that is what its register holds.
    fn value(&self, row: &Call, index: usize, kind: Kind, raw: u64) -> String {
        let wide = if self.abi == Abi::I386 {
            u64::from(abi::low_u32(raw))
        } else {
            raw
        };
        let other = |position: u8| self.args.get(usize::from(position)).copied().unwrap_or(0);
        match kind {
            Kind::Int | Kind::Pid => abi::low_i32(raw).to_string(),
            Kind::Uint => abi::low_u32(raw).to_string(),
            Kind::Size => wide.to_string(),
            Kind::Long | Kind::Offset if self.abi == Abi::I386 => abi::low_i32(raw).to_string(),
            Kind::Long | Kind::Offset => raw.cast_signed().to_string(),
            Kind::Hex if row.args.get(index).is_some_and(|arg| arg.name == "dev") => {
                layout::make_device(wide)
            }
            Kind::Hex => quote::hex(wide),
            Kind::Mode => mode(row, u64::from(abi::low_u32(raw))),
            Kind::Fd | Kind::DirFd => self.descriptor(row, index, kind, raw),
            Kind::Signal => {
                let number = abi::low_u32(raw);
                abi::signal::name(number).map_or_else(|| number.to_string(), |name| name.into_owned())
            }
            Kind::Flags(set) if std::ptr::eq(set, &sets::IPC) => ipc(raw),
            Kind::Flags(set) if std::ptr::eq(set, &sets::FUTEX) => super::special::futex_op(raw),
            Kind::Flags(set) => set.on(self.abi).text(raw),
            Kind::Value(set) if std::ptr::eq(set, &values::IOCTL) => super::special::ioctl_request(raw),
            Kind::Value(set) => set.text(raw),
            Kind::Ioctl { request_arg } => {
                let request = u64::from(abi::low_u32(other(request_arg)));
                if values::IOCTL.values.iter().any(|(known, _)| *known == request) {
                    quote::pointer(wide)
                } else {
                    quote::hex(wide)
                }
            }
            Kind::Fcntl { cmd_arg } => self.fcntl(abi::low_u32(other(cmd_arg)), raw),
            Kind::Protocol { domain_arg } => match abi::low_u32(other(domain_arg)) {
                2 | 10 => values::IPPROTO.text(raw),
                16 => values::NETLINK.text(raw),
                17 => {
                    let protocol = u64::from(u16::from_be(u16::try_from(raw & 0xffff).unwrap_or(0)));
                    format!("htons({})", values::ETH_P.text(protocol))
                }
                _ => abi::low_i32(raw).to_string(),
            },
            Kind::SocketOption { level_arg } => match abi::low_u32(other(level_arg)) {
                0 => values::IP.text(raw),
                1 => values::SO.text(raw),
                6 => values::TCP.text(raw),
                41 => values::IPV6.text(raw),
                _ => abi::low_i32(raw).to_string(),
            },
            _ => quote::pointer(wide),
        }
    }

    fn descriptor(&self, row: &Call, index: usize, kind: Kind, raw: u64) -> String {
        /// include/uapi/linux/fcntl.h
        const AT_FDCWD: i32 = -100;
        let number = abi::low_i32(raw);
        let mut out = if kind == Kind::DirFd && number == AT_FDCWD {
            "AT_FDCWD".to_owned()
        } else {
            number.to_string()
        };
        let own = self
            .name
            .filter(|_| !abi::descriptor_is_result(row) && abi::descriptor_arg(row) == Some(index));
        let other = || {
            if kind == Kind::DirFd && number == AT_FDCWD {
                self.names.folder()
            } else {
                self.names.descriptor(number)
            }
        };
        if let Some(name) = own.or_else(other) {
            quote::descriptor(&mut out, name);
        }
        out
    }

    fn fcntl(&self, command: u32, raw: u64) -> String {
        match command {
            // F_DUPFD, F_SETOWN, F_SETSIG, F_DUPFD_CLOEXEC, F_SETPIPE_SZ
            0 | 8 | 10 | 0x406 | 0x407 => abi::low_i32(raw).to_string(),
            2 => sets::FD.text(raw),
            4 => sets::OPEN.on(self.abi).text(raw),
            // F_ADD_SEALS
            0x409 => sets::SEALS.text(raw),
            // An address of a lock; of a command that is not known, whatever it is.
            5..=7 | 36..=38 => quote::pointer(raw),
            _ => quote::hex(raw),
        }
    }

    /// The argument's captured memory of a kind.
    pub(super) fn found(&self, index: usize, kind: ArgKind) -> Option<&Captured<Vec<u8>>> {
        self.data
            .iter()
            .find(|data| usize::from(data.arg) == index && data.kind == kind)
            .map(|data| &data.bytes)
    }

    /// What lies behind an argument whose command says what that is.
    fn by_command(&self, index: usize, kind: Kind) -> Option<String> {
        let bytes = self.found(index, ArgKind::Struct)?.value()?;
        match kind {
            Kind::Fcntl { cmd_arg } => {
                let text = layout::text(bytes, Layout::Flock, self.abi)?;
                // F_GETLK and F_OFD_GETLK tell whose lock it is; to the others it means nothing.
                let command = abi::low_u32(*self.args.get(usize::from(cmd_arg))?);
                let is_asked = matches!(command, 5 | 36);
                match text.split_once(", l_pid=") {
                    Some((start, _)) if !is_asked => Some(format!("{start}}}")),
                    _ => Some(text),
                }
            }
            Kind::FutexTimeout { layout: shape, .. } => layout::text(bytes, shape, self.abi),
            Kind::Ioctl { request_arg } => {
                let request = abi::low_u32(*self.args.get(usize::from(request_arg))?);
                match request {
                    // TIOCGPGRP, TIOCSPGRP, FIONREAD, FIONBIO
                    0x540f | 0x5410 | 0x541b | 0x5421 => layout::text(bytes, Layout::I32, self.abi),
                    0x5413 | 0x5414 => super::special::window(bytes),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// An argument that points to memory.
    fn memory(&self, index: usize, kind: Kind, raw: u64) -> String {
        let address = || {
            quote::pointer(if self.abi == Abi::I386 {
                raw & 0xffff_ffff
            } else {
                raw
            })
        };
        match kind {
            Kind::IovecIn { count_arg } | Kind::IovecOut { count_arg } => {
                return self.segments(index, count_arg).unwrap_or_else(address);
            }
            Kind::MsghdrIn | Kind::MsghdrOut => return self.message(index).unwrap_or_else(address),
            // It is what is left, where it was what to wait for.
            Kind::FdSet { .. } => return address(),
            _ if self.is_left(index) => return address(),
            _ => {}
        }
        let Some(found) = kind.captured_as().and_then(|wanted| self.found(index, wanted)) else {
            return address();
        };
        let (bytes, cut) = match found {
            Captured::Whole(bytes) => (bytes.as_slice(), false),
            Captured::Truncated(bytes, _) => (bytes.as_slice(), true),
            // The call says it itself.
            Captured::Failed(errno) if self.ret.errno() == Some(*errno) => return address(),
            Captured::Failed(errno) => return format!("{} /* {} */", address(), errno_name(*errno)),
            Captured::Redacted(length) => return format!("{} /* redacted, {length} bytes */", address()),
        };
        let shown = match kind {
            Kind::Path | Kind::Text | Kind::TextOut => Some(quoted(bytes, usize::MAX, cut)),
            Kind::Sockaddr { .. } | Kind::SockaddrOut { .. } => address::text(bytes, cut),
            Kind::DescriptorPair => self.pair(bytes),
            Kind::Argv => Some(strings(bytes, cut, self.limit)),
            Kind::Envp => environment(bytes, cut, &address()),
            Kind::Array { layout: shape, .. } => self.array(bytes, shape, cut),
            Kind::Struct(Layout::Offset, _) => self.moved_offset(bytes),
            // Without a child there is no status.
            Kind::Struct(Layout::WaitStatus, _) if self.ret == Return::Value(0) => return address(),
            Kind::Struct(shape, _) => layout::text(bytes, shape, self.abi),
            kind => Some(self.buffer(kind, bytes, cut)),
        };
        shown.unwrap_or_else(|| format!("{} /* {} */", address(), quoted(bytes, self.limit, cut)))
    }

    /// Whether the call writes the rest of the time over the time it is given.
    fn is_left(&self, index: usize) -> bool {
        let row = abi::lookup(self.abi, self.number);
        row.is_some_and(|row| match row.name {
            "ppoll" | "ppoll_time64" => index == 2,
            "select" | "_newselect" | "pselect6" | "pselect6_time64" => index == 4,
            _ => false,
        })
    }

    /// An offset that the call moves on by what it moved: read when it had.
    fn moved_offset(&self, bytes: &[u8]) -> Option<String> {
        let after = i64::from_le_bytes(*bytes.first_chunk::<8>()?);
        let moved = match self.ret {
            Return::Value(value) if value > 0 => value,
            _ => 0,
        };
        let before = after.wrapping_sub(moved);
        let is_shown = abi::name(self.abi, self.number).is_some_and(|name| name.starts_with("sendfile"));
        Some(if is_shown && moved > 0 {
            format!("[{before}] => [{after}]")
        } else {
            format!("[{before}]")
        })
    }

    fn array(&self, bytes: &[u8], shape: Layout, cut: bool) -> Option<String> {
        let size = usize::try_from(shape.size(self.abi)).ok()?;
        let mut parts = Vec::new();
        for element in bytes.chunks_exact(size) {
            let text = match shape {
                Layout::Pollfd => self.pollfd(element)?,
                Layout::U32 => u32::from_le_bytes(*element.first_chunk::<4>()?).to_string(),
                _ => layout::text(element, shape, self.abi)?,
            };
            parts.push(text);
        }
        if cut {
            parts.push("...".to_owned());
        }
        Some(format!("[{}]", parts.join(", ")))
    }

    fn pollfd(&self, element: &[u8]) -> Option<String> {
        let text = layout::text(element, Layout::Pollfd, self.abi)?;
        let fd = i32::from_le_bytes(*element.first_chunk::<4>()?);
        let mut named = format!("{{fd={fd}");
        if let Some(name) = self.names.descriptor(fd) {
            quote::descriptor(&mut named, name);
        }
        Some(text.replacen(&format!("{{fd={fd}"), &named, 1))
    }

    /// A descriptor that the call was given in memory, or made there.
    pub(super) fn fd_text(&self, fd: i32) -> String {
        let mut out = fd.to_string();
        if let Some(name) = self.names.made(fd) {
            quote::descriptor(&mut out, name);
        }
        out
    }

    fn pair(&self, bytes: &[u8]) -> Option<String> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let second = rest.first_chunk::<4>()?;
        Some(format!(
            "[{}, {}]",
            self.fd_text(i32::from_le_bytes(*first)),
            self.fd_text(i32::from_le_bytes(*second))
        ))
    }

    fn buffer(&self, kind: Kind, bytes: &[u8], cut: bool) -> String {
        let name = abi::name(self.abi, self.number);
        let is_option = matches!(name, Some("setsockopt" | "getsockopt"));
        if is_option && !cut {
            let option = (self.args.get(1).copied(), self.args.get(2).copied());
            match (bytes, option) {
                ([a, b, c, d], _) => return format!("[{}]", i32::from_le_bytes([*a, *b, *c, *d])),
                // SOL_SOCKET, SO_LINGER
                ([a, b, c, d, e, f, g, h], (Some(1), Some(13))) => {
                    return format!(
                        "{{l_onoff={}, l_linger={}}}",
                        i32::from_le_bytes([*a, *b, *c, *d]),
                        i32::from_le_bytes([*e, *f, *g, *h])
                    );
                }
                _ => {}
            }
        }
        let short = self.is_short(kind, bytes, cut);
        if name == Some("getrandom") {
            return quote::hex_string(bytes, self.limit, short);
        }
        quoted(bytes, self.limit, short)
    }

    /// Whether less is here than the call read: its result says how much that was.
    fn is_short(&self, kind: Kind, bytes: &[u8], cut: bool) -> bool {
        let read = match (kind, self.ret) {
            (Kind::BufferOut, Return::Value(value)) => usize::try_from(value).unwrap_or(0),
            _ => 0,
        };
        cut || read > bytes.len()
    }
}

/// Flags of `shmget` and its like: permission bits stand among them.
fn ipc(raw: u64) -> String {
    let (flags, mode) = (raw & 0xffff_ffff & !0o777, raw & 0o777);
    if flags == 0 {
        return quote::octal(mode);
    }
    format!("{}|{}", sets::IPC.text(flags), quote::octal(mode))
}

/// The environment's address, and how many strings it has.
fn environment(bytes: &[u8], cut: bool, address: &str) -> Option<String> {
    let count = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    let more = if cut { " or more" } else { "" };
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{address} /* {count}{more} var{plural} */"))
}

pub(super) fn quoted(bytes: &[u8], limit: usize, cut: bool) -> String {
    let mut out = String::new();
    quote::string(&mut out, bytes, limit, cut);
    out
}

/// Permission bits, and for `mknod` what is made.
fn mode(row: &Call, mode: u64) -> String {
    if row.name.starts_with("mknod") {
        layout::file_mode(mode)
    } else {
        quote::octal(mode)
    }
}

fn strings(bytes: &[u8], cut: bool, limit: usize) -> String {
    let most = if limit == usize::MAX { limit } else { STRINGS_MAX };
    let whole = bytes.strip_suffix(b"\0");
    let mut out = String::from("[");
    if !bytes.is_empty() {
        // A last string without its NUL is itself cut.
        let pieces: Vec<&[u8]> = whole.unwrap_or(bytes).split(|byte| *byte == 0).collect();
        for (index, piece) in pieces.iter().take(most).enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            let last_is_cut = whole.is_none() && index + 1 == pieces.len();
            quote::string(&mut out, piece, usize::MAX, last_is_cut);
        }
        if pieces.len() > most || (cut && whole.is_some()) {
            let _ = write!(out, ", ...");
        }
    } else if cut {
        out.push_str("...");
    }
    out.push(']');
    out
}
