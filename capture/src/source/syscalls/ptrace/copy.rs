//! Copying what a call's arguments point to: the same rules, limits and fates as `capture_op` in
//! `bpf/syscalls.bpf.c` has, over any memory.
//!
//! One difference: this reads through page faults, so a page that is merely not in memory is no failure here.

use super::memory::{Memory, Program, Unreadable, pointer};
use super::record::{Fate, Writing};
use crate::source::syscalls::rules::{self, Op, Rule};
use crate::source::syscalls::wire;
use crate::source::tracing::record::{take_u32, take_u64};
use nix::libc::EFAULT;
use stillframe_format::event::{Abi, ArgKind, When};

/// Longest of a call's captures: one path or buffer and its NUL.
const BUFFER: usize = wire::PATH_MAX + 1;

/// A call whose arguments are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) abi: Abi,
    pub(super) args: [u64; 6],
    pub(super) ret: i64,
}

/// Copies what `rule` asks for.
pub(super) fn copy(
    memory: &impl Memory,
    rule: &Rule,
    call: &Call,
    program: Option<&Program>,
    out: &mut Writing<'_>,
) {
    for op in &rule.ops {
        let mut copying = Copying {
            memory,
            call,
            op: *op,
            limit: u64::from(rule.limit),
            out,
        };
        match (op.how, program) {
            (rules::EXEC_NAME | rules::EXEC_ARGV | rules::EXEC_ENVP, None) => {}
            (rules::EXEC_NAME, Some(program)) => copying.program_name(program),
            (rules::EXEC_ARGV, Some(program)) => copying.program_argv(program),
            (rules::EXEC_ENVP, Some(program)) => copying.program_envp(program),
            _ => copying.one(),
        }
    }
}

struct Copying<'a, 'b, M> {
    memory: &'a M,
    call: &'a Call,
    op: Op,
    limit: u64,
    out: &'a mut Writing<'b>,
}

impl<M: Memory> Copying<'_, '_, M> {
    fn arg(&self, index: u8) -> u64 {
        self.call.args.get(usize::from(index & 7)).copied().unwrap_or(0)
    }

    fn put(&mut self, kind: ArgKind, fate: Fate, bytes: &[u8]) {
        self.out.capture(self.op.arg, kind, When::Exit, fate, bytes);
    }

    fn one(&mut self) {
        if self.op.how & rules::IF_OK != 0 && self.call.ret < 0 {
            return;
        }
        let (from, count) = (self.arg(self.op.arg), self.arg(self.op.len));
        let returned = u64::try_from(self.call.ret).ok();
        if from == 0 {
            return;
        }
        match self.op.how & !rules::IF_OK {
            rules::STRING => self.string(from),
            rules::SOCKADDR => self.sockaddr(from, count as u32),
            rules::SOCKADDR_OUT => {
                if let Some(length) = self.pointed(count) {
                    self.sockaddr(from, length);
                }
            }
            rules::BUFFER => self.bytes(from, count, self.limit),
            rules::BUFFER_RET => {
                if let Some(length) = returned {
                    self.bytes(from, length, self.limit);
                }
            }
            rules::IOVEC => self.segments(from, count, u64::MAX),
            rules::IOVEC_RET => {
                if let Some(total) = returned {
                    self.segments(from, count, total);
                }
            }
            rules::MSG_NAME => {
                if let Some(message) = Message::read(self.memory, self.call.abi, from) {
                    self.sockaddr(message.name, message.namelen);
                }
            }
            how @ (rules::MSG_DATA | rules::MSG_DATA_RET) => {
                let total = if how == rules::MSG_DATA {
                    Some(u64::MAX)
                } else {
                    returned
                };
                if let Some(total) = total
                    && let Some(message) = Message::read(self.memory, self.call.abi, from)
                {
                    self.segments(message.iov, message.iovlen, total);
                }
            }
            rules::FIXED => self.bytes(from, u64::from(self.op.len), wire::FIXED_MAX),
            rules::ARRAY => {
                let elements = match self.op.len & 7 {
                    6 => returned,
                    holder => Some(self.arg(holder)),
                };
                if let Some(elements) = elements {
                    // A count is an int or a size: what is larger than any, the kernel refuses.
                    let length = elements.min(1 << 20) * u64::from(self.op.len >> 3) * 4;
                    self.bytes(from, length, wire::ARRAY_MAX);
                }
            }
            rules::BITS => self.bytes(from, count.min(1 << 16).div_ceil(64) * 8, wire::ARRAY_MAX),
            rules::MSG => self.message(from),
            rules::BUFFER_PTR => {
                if let Some(length) = self.pointed(count) {
                    self.bytes(from, u64::from(length), self.limit);
                }
            }
            rules::FUTEX => {
                // WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2; of the others it is a number.
                if matches!(self.arg(1) & 0x7f, 0 | 6 | 9 | 11 | 13) {
                    self.bytes(from, u64::from(self.op.len), wire::FIXED_MAX);
                }
            }
            rules::FCNTL => {
                // F_GETLK, F_SETLK, F_SETLKW, and those of open file descriptions.
                if matches!(self.arg(1) as u32, 5..=7 | 36..=38) {
                    self.bytes(from, u64::from(self.op.len), wire::FIXED_MAX);
                }
            }
            rules::IOCTL => {
                let request = self.arg(1) as u32;
                let size = ioctl_size(request);
                // What is only read out is not there when the call failed.
                if size > 0 && (self.call.ret >= 0 || request >> 30 & 1 == 1) {
                    self.bytes(from, u64::from(size), wire::FIXED_MAX);
                }
            }
            _ => {}
        }
    }

    /// The number that an argument points to.
    fn pointed(&self, address: u64) -> Option<u32> {
        (address != 0).then(|| self.memory.u32(address)).flatten()
    }

    fn string(&mut self, from: u64) {
        match self.memory.string(from, wire::PATH_MAX) {
            Ok((bytes, true)) => self.put(self.op.kind, Fate::Whole, &bytes),
            Ok((bytes, false)) => self.put(self.op.kind, Fate::Truncated(0), &bytes),
            Err(Unreadable) => self.put(self.op.kind, Fate::Failed(EFAULT), &[]),
        }
    }

    fn sockaddr(&mut self, from: u64, length: u32) {
        if from != 0 && length != 0 && length <= 0x7fff_ffff {
            self.op.kind = ArgKind::Sockaddr;
            self.bytes(from, u64::from(length), wire::SOCKADDR_MAX);
        }
    }

    /// `length` bytes, at most `limit` of them.
    fn bytes(&mut self, from: u64, length: u64, limit: u64) {
        let mut buffer = [0; BUFFER];
        let kept = usize::try_from(length.min(limit)).unwrap_or(0);
        let buffer = buffer.get_mut(..kept).unwrap_or_default();
        let fate = if self.memory.read_exact(from, buffer).is_none() {
            return self.put(self.op.kind, Fate::Failed(EFAULT), &[]);
        } else if length > limit {
            Fate::Truncated(length)
        } else {
            Fate::Whole
        };
        self.put(self.op.kind, fate, buffer);
    }

    /// The first bytes of a segment list, as one buffer. `total` is an upper bound of its length: the largest number when
    /// unknown.
    fn segments(&mut self, from: u64, count: u64, total: u64) {
        if from == 0 {
            return;
        }
        let limit = usize::try_from(self.limit).unwrap_or(0);
        let entry = pointer(self.call.abi) * 2;
        let mut found: Vec<u8> = Vec::new();
        let mut length = 0_u64;
        let mut is_cut = false;
        for index in 0..count.min(8) {
            if length >= total {
                break;
            }
            let at = from.wrapping_add(index * entry);
            let Some((base, len)) = self
                .memory
                .word(at, self.call.abi)
                .zip(self.memory.word(at.wrapping_add(entry / 2), self.call.abi))
            else {
                is_cut = true;
                break;
            };
            let len = len.min(total - length);
            length = length.saturating_add(len);
            let want = usize::try_from(len)
                .unwrap_or(usize::MAX)
                .min(limit - found.len());
            if want == 0 {
                continue;
            }
            let start = found.len();
            found.resize(start + want, 0);
            let read = self
                .memory
                .read_exact(base, found.get_mut(start..).unwrap_or_default());
            if read.is_none() {
                found.truncate(start);
                is_cut = true;
                break;
            }
        }
        if is_cut && found.is_empty() {
            return self.put(ArgKind::Buffer, Fate::Failed(EFAULT), &[]);
        }
        // More segments than were looked at: the result knows the length, or nobody does.
        if count > 8 {
            length = if total == u64::MAX { 0 } else { total };
        }
        let fate = if found.len() as u64 == length && !is_cut {
            Fate::Whole
        } else {
            Fate::Truncated(length)
        };
        self.put(ArgKind::Buffer, fate, &found);
    }

    /// The structure, its iovecs, its control bytes: one after the other, as they lie in memory.
    fn message(&mut self, from: u64) {
        let abi = self.call.abi;
        let mut found = vec![0; Message::size(abi)];
        let Some(message) = Message::read(self.memory, abi, from) else {
            return self.put(self.op.kind, Fate::Failed(EFAULT), &[]);
        };
        if self.memory.read_exact(from, &mut found).is_none() {
            return self.put(self.op.kind, Fate::Failed(EFAULT), &[]);
        }
        let iovecs = message.iovlen.min(wire::MSG_IOVECS) * pointer(abi) * 2;
        let control = if message.control == 0 {
            0
        } else {
            message.controllen.min(wire::CONTROL_MAX)
        };
        let mut fate = if message.iovlen <= wire::MSG_IOVECS && message.controllen <= wire::CONTROL_MAX {
            Fate::Whole
        } else {
            Fate::Truncated(0)
        };
        for (address, length) in [(message.iov, iovecs), (message.control, control)] {
            let start = found.len();
            found.resize(start + usize::try_from(length).unwrap_or(0), 0);
            if self
                .memory
                .read_exact(address, found.get_mut(start..).unwrap_or_default())
                .is_none()
            {
                found.truncate(start);
                fate = Fate::Truncated(0);
                break;
            }
        }
        self.put(self.op.kind, fate, &found);
    }

    fn program_name(&mut self, program: &Program) {
        let (kind, when) = (ArgKind::Path, When::Entry);
        match &program.name {
            // The old memory is still there, and the kernel has read it since.
            Err(Unreadable) if self.call.ret < 0 => {
                let from = self.arg(self.op.arg);
                if from != 0 {
                    self.op.kind = kind;
                    self.string(from);
                }
            }
            Err(Unreadable) => self
                .out
                .capture(self.op.arg, kind, when, Fate::Failed(EFAULT), &[]),
            Ok((name, is_whole)) => {
                let fate = if *is_whole {
                    Fate::Whole
                } else {
                    Fate::Truncated(0)
                };
                self.out.capture(self.op.arg, kind, when, fate, name);
            }
        }
    }

    fn program_argv(&mut self, program: &Program) {
        if self.arg(self.op.arg) != 0 {
            let (bytes, fate) = &program.argv;
            self.out
                .capture(self.op.arg, ArgKind::Strings, When::Entry, *fate, bytes);
        }
    }

    /// Values of the environment are not copied: only how many there are.
    fn program_envp(&mut self, program: &Program) {
        if self.arg(self.op.arg) != 0 {
            let (count, fate) = program.envp;
            let bytes = count.to_ne_bytes();
            let bytes: &[u8] = if matches!(fate, Fate::Failed(_)) {
                &[]
            } else {
                &bytes
            };
            self.out
                .capture(self.op.arg, ArgKind::Struct, When::Entry, fate, bytes);
        }
    }
}

/// A `struct msghdr`.
struct Message {
    name: u64,
    namelen: u32,
    iov: u64,
    iovlen: u64,
    control: u64,
    controllen: u64,
}

impl Message {
    fn read(memory: &impl Memory, abi: Abi, from: u64) -> Option<Self> {
        let mut bytes = [0; 56];
        let bytes = bytes.get_mut(..Self::size(abi))?;
        memory.read_exact(from, bytes)?;
        let step = usize::try_from(pointer(abi)).ok()?;
        let word = |index: usize| {
            if abi == Abi::I386 {
                u64::from(take_u32(bytes, index * step))
            } else {
                take_u64(bytes, index * step)
            }
        };
        Some(Self {
            name: word(0),
            namelen: take_u32(bytes, step),
            iov: word(2),
            iovlen: word(3),
            control: word(4),
            controllen: word(5),
        })
    }

    fn size(abi: Abi) -> usize {
        if abi == Abi::I386 { 28 } else { 56 }
    }
}

/// Bytes behind an ioctl request that says how many: in its own bits, or, of the old ones, in its name.
fn ioctl_size(request: u32) -> u32 {
    match request {
        // TCGETS, TCSETS, TCSETSW, TCSETSF: struct termios
        0x5401..=0x5404 => 36,
        // TIOCGWINSZ, TIOCSWINSZ: struct winsize
        0x5413 | 0x5414 => 8,
        // TIOCGPGRP, TIOCSPGRP, FIONREAD, FIONBIO: int
        0x540f | 0x5410 | 0x541b | 0x5421 => 4,
        _ if request >> 30 == 0 => 0,
        _ => request >> 16 & 0x3fff,
    }
}

#[cfg(test)]
mod tests;
