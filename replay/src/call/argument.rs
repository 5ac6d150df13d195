//! One argument, by what the table says it is.

use super::{Seen, address, errno_name, layout, quote};
use std::fmt::Write as _;
use stillframe_format::Captured;
use stillframe_format::abi::{self, Call, Kind, sets, values};
use stillframe_format::event::{Abi, ArgKind, Return};

/// The most argv entries that are shown.
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
        if kind.captured_as().is_some() {
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
            Kind::Hex => quote::hex(wide),
            Kind::Mode => mode(row, u64::from(abi::low_u32(raw))),
            Kind::Fd | Kind::DirFd => self.descriptor(row, index, kind, raw),
            Kind::Signal => {
                let number = abi::low_u32(raw);
                abi::signal::name(number).map_or_else(|| number.to_string(), |name| name.into_owned())
            }
            Kind::Flags(set) => set.on(self.abi).text(raw),
            Kind::Value(set) => set.text(raw),
            Kind::Fcntl { cmd_arg } => self.fcntl(abi::low_u32(other(cmd_arg)), raw),
            Kind::Protocol { domain_arg } => match abi::low_u32(other(domain_arg)) {
                2 | 10 => values::IPPROTO.text(raw),
                16 => values::NETLINK.text(raw),
                _ => abi::low_i32(raw).to_string(),
            },
            Kind::SocketOption { level_arg } => match abi::low_u32(other(level_arg)) {
                0 => values::IP.text(raw),
                1 => values::SO.text(raw),
                6 => values::TCP.text(raw),
                41 => values::IPV6.text(raw),
                _ => quote::hex(u64::from(abi::low_u32(raw))),
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
        if let Some(name) = self.name
            && !abi::descriptor_is_result(row)
            && abi::descriptor_arg(row) == Some(index)
        {
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
            _ => quote::pointer(raw),
        }
    }

    /// An argument that points to memory.
    fn memory(&self, index: usize, kind: Kind, raw: u64) -> String {
        let address = || quote::pointer(raw);
        let wanted = kind.captured_as();
        let found = self
            .data
            .iter()
            .find(|data| usize::from(data.arg) == index && Some(data.kind) == wanted);
        let Some(data) = found else {
            return address();
        };
        let (bytes, cut) = match &data.bytes {
            Captured::Whole(bytes) => (bytes.as_slice(), false),
            Captured::Truncated(bytes, _) => (bytes.as_slice(), true),
            Captured::Failed(errno) => return format!("{} /* {} */", address(), errno_name(*errno)),
            Captured::Redacted(length) => return format!("{} /* redacted, {length} bytes */", address()),
        };
        let shown = match (data.kind, kind) {
            (ArgKind::Path, _) => Some(quoted(bytes, usize::MAX, cut)),
            (ArgKind::Sockaddr, _) => address::text(bytes, cut),
            (ArgKind::DescriptorPair, _) => pair(bytes),
            (ArgKind::Strings, _) => Some(strings(bytes, cut)),
            (ArgKind::Struct, Kind::Struct(shape, _)) => layout::text(bytes, shape, self.abi),
            (ArgKind::Struct, _) => None,
            (ArgKind::Buffer, kind) => Some(self.buffer(kind, bytes, cut)),
        };
        shown.unwrap_or_else(|| format!("{} /* {} */", address(), quoted(bytes, self.limit, cut)))
    }

    fn buffer(&self, kind: Kind, bytes: &[u8], cut: bool) -> String {
        match kind {
            // Of several buffers the bytes are captured end to end.
            Kind::IovecIn { .. } | Kind::IovecOut { .. } => {
                format!("[{{iov_base={}}}]", quoted(bytes, self.limit, cut))
            }
            Kind::MsghdrIn | Kind::MsghdrOut => {
                format!("{{msg_iov=[{{iov_base={}}}]}}", quoted(bytes, self.limit, cut))
            }
            _ => match (bytes, self.is_socket_option(), cut) {
                ([a, b, c, d], true, false) => format!("[{}]", i32::from_le_bytes([*a, *b, *c, *d])),
                _ => quoted(bytes, self.limit, self.is_short(kind, bytes, cut)),
            },
        }
    }

    /// Whether less is here than the call read: its result says how much that was.
    fn is_short(&self, kind: Kind, bytes: &[u8], cut: bool) -> bool {
        let read = match (kind, self.ret) {
            (Kind::BufferOut, Return::Value(value)) => usize::try_from(value).unwrap_or(0),
            _ => 0,
        };
        cut || read > bytes.len()
    }

    fn is_socket_option(&self) -> bool {
        abi::name(self.abi, self.number) == Some("setsockopt")
    }
}

fn quoted(bytes: &[u8], limit: usize, cut: bool) -> String {
    let mut out = String::new();
    quote::string(&mut out, bytes, limit, cut);
    out
}

/// Permission bits, and for `mknod` what is made.
fn mode(row: &Call, mode: u64) -> String {
    /// include/uapi/linux/stat.h
    const TYPES: [(u64, &str); 7] = [
        (0o140_000, "S_IFSOCK"),
        (0o120_000, "S_IFLNK"),
        (0o100_000, "S_IFREG"),
        (0o060_000, "S_IFBLK"),
        (0o040_000, "S_IFDIR"),
        (0o020_000, "S_IFCHR"),
        (0o010_000, "S_IFIFO"),
    ];
    let kind = TYPES.iter().find(|(bits, _)| mode & 0o170_000 == *bits);
    match kind {
        Some((bits, name)) if row.name.starts_with("mknod") => {
            format!("{name}|{}", quote::octal(mode & !bits))
        }
        _ => quote::octal(mode),
    }
}

fn pair(bytes: &[u8]) -> Option<String> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    let second = rest.first_chunk::<4>()?;
    Some(format!(
        "[{}, {}]",
        i32::from_le_bytes(*first),
        i32::from_le_bytes(*second)
    ))
}

fn strings(bytes: &[u8], cut: bool) -> String {
    let whole = bytes.strip_suffix(b"\0");
    let mut out = String::from("[");
    if !bytes.is_empty() {
        // A last string without its NUL is itself cut.
        let pieces: Vec<&[u8]> = whole.unwrap_or(bytes).split(|byte| *byte == 0).collect();
        for (index, piece) in pieces.iter().take(STRINGS_MAX).enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            let last_is_cut = whole.is_none() && index + 1 == pieces.len();
            quote::string(&mut out, piece, usize::MAX, last_is_cut);
        }
        if pieces.len() > STRINGS_MAX || (cut && whole.is_some()) {
            let _ = write!(out, ", ...");
        }
    } else if cut {
        out.push_str("...");
    }
    out.push(']');
    out
}
