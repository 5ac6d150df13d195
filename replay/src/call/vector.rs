//! Data in several pieces: iovecs, and messages with their control data.

use super::argument::quoted;
use super::{Seen, address, quote};
use std::fmt::Write as _;
use stillframe_format::Captured;
use stillframe_format::abi::{self, Kind, sets, values};
use stillframe_format::event::{Abi, ArgKind, Return};

/// Numbers of a structure, as wide as registers are.
struct Words<'a> {
    rest: &'a [u8],
    narrow: bool,
}

impl Words<'_> {
    fn int(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn word(&mut self) -> Option<u64> {
        if self.narrow {
            return self.int().map(u64::from);
        }
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    /// After an `int`, before a word.
    fn align(&mut self) -> Option<()> {
        if !self.narrow {
            self.int()?;
        }
        Some(())
    }
}

/// A segment's address and length.
type Segment = (u64, u64);

impl Seen<'_> {
    fn words<'b>(&self, bytes: &'b [u8]) -> Words<'b> {
        Words {
            rest: bytes,
            narrow: self.abi == Abi::I386,
        }
    }

    /// Bytes that the call moved, where it moves them into the segments; else all of what they hold counts.
    fn moved(&self, is_in: bool) -> u64 {
        match self.ret {
            Return::Value(value) if !is_in => u64::try_from(value).unwrap_or(0),
            _ => u64::MAX,
        }
    }

    /// The iovecs behind an argument: their addresses and lengths, and the data of all, which was copied end to end.
    pub(super) fn segments(&self, index: usize, count_arg: u8) -> Option<String> {
        let count = *self.args.get(usize::from(count_arg))?;
        let kind = abi::lookup(self.abi, self.number)?.args.get(index)?.kind;
        let table = match self.found(index, ArgKind::Struct) {
            Some(table) => table.value()?,
            // As a bundle has it whose capture did not copy the addresses.
            None => return self.joined(index),
        };
        let mut words = self.words(table);
        let mut segments = Vec::new();
        while let (Some(base), Some(length)) = (words.word(), words.word()) {
            segments.push((base, length));
        }
        let is_in = matches!(kind, Kind::IovecIn { .. });
        Some(self.pieces(index, &segments, count, self.moved(is_in)))
    }

    fn joined(&self, index: usize) -> Option<String> {
        let found = self.found(index, ArgKind::Buffer)?;
        let bytes = found.value()?;
        Some(format!(
            "[{{iov_base={}}}]",
            quoted(bytes, self.limit, !found.is_whole())
        ))
    }

    fn pieces(&self, index: usize, segments: &[Segment], count: u64, mut moved: u64) -> String {
        let (mut data, whole) = match self.found(index, ArgKind::Buffer) {
            Some(Captured::Whole(bytes)) => (Some(bytes.as_slice()), true),
            Some(Captured::Truncated(bytes, _)) => (Some(bytes.as_slice()), false),
            _ => (None, false),
        };
        let mut parts = Vec::new();
        for (base, length) in segments {
            let here = (*length).min(moved);
            moved = moved.saturating_sub(here);
            let text = match &mut data {
                Some(rest) if !rest.is_empty() || here == 0 || whole => {
                    let wanted = usize::try_from(here).unwrap_or(usize::MAX);
                    let (piece, after) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
                    *rest = after;
                    quoted(piece, self.limit, piece.len() < wanted)
                }
                _ => quote::pointer(*base),
            };
            parts.push(format!("{{iov_base={text}, iov_len={length}}}"));
        }
        if u64::try_from(segments.len()).is_ok_and(|known| known < count) {
            parts.push("...".to_owned());
        }
        format!("[{}]", parts.join(", "))
    }

    /// A `struct msghdr`, as it was copied: the structure, its iovecs, its control bytes.
    pub(super) fn message(&self, index: usize) -> Option<String> {
        let Some(found) = self.found(index, ArgKind::Struct) else {
            let joined = self.joined(index)?;
            return Some(format!("{{msg_iov={joined}}}"));
        };
        let kind = abi::lookup(self.abi, self.number)?.args.get(index)?.kind;
        let mut words = self.words(found.value()?);
        let name = words.word()?;
        let length = words.int()?;
        words.align()?;
        let (_, count) = (words.word()?, words.word()?);
        let (control, control_length) = (words.word()?, words.word()?);
        let flags = words.int()?;
        words.align()?;
        let mut segments = Vec::new();
        for _ in 0..count.min(8) {
            if let (Some(base), Some(length)) = (words.word(), words.word()) {
                segments.push((base, length));
            }
        }
        let named = match self.found(index, ArgKind::Sockaddr) {
            Some(found) => found
                .value()
                .and_then(|bytes| address::text(bytes, !found.is_whole())),
            None => None,
        };
        let mut out = format!(
            "{{msg_name={}, msg_namelen={length}, msg_iov={}, msg_iovlen={count}",
            named.unwrap_or_else(|| quote::pointer(name)),
            self.pieces(index, &segments, count, self.moved(kind == Kind::MsghdrIn))
        );
        if control != 0 && control_length != 0 {
            let bytes = words.rest;
            let whole = u64::try_from(bytes.len()).is_ok_and(|have| have >= control_length);
            let shown = self.control(bytes).filter(|_| whole);
            let _ = write!(
                out,
                ", msg_control={}",
                shown.unwrap_or_else(|| quote::pointer(control))
            );
        }
        let _ = write!(
            out,
            ", msg_controllen={control_length}, msg_flags={}}}",
            sets::MSG.text(u64::from(flags))
        );
        Some(out)
    }

    /// Control messages (include/linux/socket.h, `struct cmsghdr`), each padded to a register's width.
    fn control(&self, bytes: &[u8]) -> Option<String> {
        let width = if self.abi == Abi::I386 { 4 } else { 8 };
        let mut rest = bytes;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let mut words = self.words(rest);
            let length = words.word()?;
            let (level, kind) = (words.int()?, words.int()?);
            let size = usize::try_from(length).ok()?;
            let data = rest.get(width + 8..size)?;
            parts.push(self.control_message(length, level, kind, data));
            let padded = size.checked_next_multiple_of(width)?;
            rest = rest.get(padded..).unwrap_or_default();
        }
        Some(format!("[{}]", parts.join(", ")))
    }

    fn control_message(&self, length: u64, level: u32, kind: u32, data: &[u8]) -> String {
        let ints = || {
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| i32::from_le_bytes(*bytes))
        };
        let (name, content) = match (level, kind) {
            (1, 1) => {
                let fds: Vec<String> = ints().map(|fd| self.fd_text(fd)).collect();
                ("SCM_RIGHTS".to_owned(), format!("[{}]", fds.join(", ")))
            }
            (1, 2) => {
                let ids: Vec<i32> = ints().collect();
                let content = match ids.as_slice() {
                    [pid, uid, gid] => format!("{{pid={pid}, uid={uid}, gid={gid}}}"),
                    _ => quoted(data, self.limit, false),
                };
                ("SCM_CREDENTIALS".to_owned(), content)
            }
            _ => (quote::hex(u64::from(kind)), quoted(data, self.limit, false)),
        };
        format!(
            "{{cmsg_len={length}, cmsg_level={}, cmsg_type={name}, cmsg_data={content}}}",
            values::SOL.text(u64::from(level))
        )
    }
}
