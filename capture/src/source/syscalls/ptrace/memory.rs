//! A process's memory, and what is found in it: numbers, strings, lists of strings; the program that an execve was given.

use super::record::Fate;
use crate::source::syscalls::wire;
use crate::source::tracing::record::{take_u32, take_u64};
use nix::libc::EFAULT;
use stillframe_format::event::Abi;

/// Pages are at least that large; a read that stays inside one is whole or not at all.
pub(super) const PAGE: u64 = 4096;

/// A process's memory.
pub(super) trait Memory {
    /// Fills `into` from `address` on as far as memory goes, and tells how far that was.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;

    /// Fills all of `into`, or fails.
    fn read_exact(&self, address: u64, into: &mut [u8]) -> Option<()> {
        (self.read(address, into) == into.len()).then_some(())
    }

    /// A number of 4 bytes.
    fn u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read_exact(address, &mut bytes)?;
        Some(u32::from_ne_bytes(bytes))
    }

    /// A pointer or a size.
    fn word(&self, address: u64, abi: Abi) -> Option<u64> {
        if abi == Abi::I386 {
            return self.u32(address).map(u64::from);
        }
        let mut bytes = [0; 8];
        self.read_exact(address, &mut bytes)?;
        Some(u64::from_ne_bytes(bytes))
    }

    /// A string up to its NUL, which is left out, and `true`; or the first `limit` bytes of one that is longer.
    fn string(&self, address: u64, limit: usize) -> Result<(Vec<u8>, bool), Unreadable> {
        let mut found = Vec::new();
        let mut at = address;
        while found.len() < limit {
            let mut page = [0; PAGE as usize];
            let room = usize::try_from(PAGE - at % PAGE).unwrap_or(0);
            let want = room.min(limit - found.len());
            let page = page.get_mut(..want).unwrap_or_default();
            let read = self.read(at, page);
            let page = page.get(..read).unwrap_or_default();
            if let Some(end) = page.iter().position(|byte| *byte == 0) {
                found.extend_from_slice(page.get(..end).unwrap_or_default());
                return Ok((found, true));
            }
            found.extend_from_slice(page);
            if read < want {
                return Err(Unreadable);
            }
            at = at.checked_add(read as u64).ok_or(Unreadable)?;
        }
        Ok((found, false))
    }
}

/// There is no such memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Bytes of a pointer.
pub(super) fn pointer(abi: Abi) -> u64 {
    if abi == Abi::I386 { 4 } else { 8 }
}

/// What an execve was given, read while the old memory is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: Result<(Vec<u8>, bool), Unreadable>,
    pub(super) argv: (Vec<u8>, Fate),
    pub(super) envp: (u32, Fate),
}

impl Program {
    /// Reads it. `args` begins with the name.
    pub(super) fn read(memory: &impl Memory, abi: Abi, name: u64, argv: u64, envp: u64) -> Self {
        Self {
            name: memory.string(name, wire::PATH_MAX),
            argv: strings(memory, abi, argv),
            envp: if envp == 0 {
                (0, Fate::Failed(EFAULT))
            } else {
                count_pointers(memory, abi, envp)
            },
        }
    }

    /// Its file, as the kernel was given it. `folder` is the descriptor of an `execveat`, which the kernel then names so
    /// itself (`alloc_bprm`, fs/exec.c).
    pub(super) fn file(&self, folder: Option<i32>) -> (Vec<u8>, Fate) {
        let Ok((name, is_whole)) = &self.name else {
            return (Vec::new(), Fate::Failed(EFAULT));
        };
        let fate = if *is_whole {
            Fate::Whole
        } else {
            Fate::Truncated(0)
        };
        match folder {
            Some(folder) if folder != nix::libc::AT_FDCWD && name.first() != Some(&b'/') => {
                let mut named = format!("/dev/fd/{folder}").into_bytes();
                if !name.is_empty() {
                    named.push(b'/');
                    named.extend_from_slice(name);
                }
                (named, fate)
            }
            _ => (name.clone(), fate),
        }
    }
}

/// How an array of pointers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With its null pointer.
    Null,
    /// There are more.
    Limit,
    /// Where no memory is.
    Unreadable,
}

/// An array of pointers up to its null pointer, at most `limit` of them; a page at a time.
fn pointers(memory: &impl Memory, abi: Abi, from: u64, limit: usize) -> (Vec<u64>, End) {
    let step = pointer(abi);
    let mut found = Vec::new();
    let mut at = from;
    loop {
        let mut page = [0; PAGE as usize];
        // One that lies across two pages is read alone.
        let room = (PAGE - at % PAGE) / step * step;
        let room = usize::try_from(room.max(step)).unwrap_or(0);
        let page = page.get_mut(..room.min(512)).unwrap_or_default();
        let read = memory.read(at, page);
        let whole = page.get(..read).unwrap_or_default();
        for word in whole.chunks_exact(usize::try_from(step).unwrap_or(8)) {
            let word = if abi == Abi::I386 {
                u64::from(take_u32(word, 0))
            } else {
                take_u64(word, 0)
            };
            if word == 0 {
                return (found, End::Null);
            }
            if found.len() == limit {
                return (found, End::Limit);
            }
            found.push(word);
        }
        match at.checked_add(read as u64) {
            Some(next) if read == page.len() => at = next,
            _ => return (found, End::Unreadable),
        }
    }
}

/// An array of pointers to strings: the strings, each with its NUL.
pub(super) fn strings(memory: &impl Memory, abi: Abi, from: u64) -> (Vec<u8>, Fate) {
    let (list, end) = pointers(memory, abi, from, wire::ARGV_STRINGS);
    let mut found = Vec::new();
    let cut = |found: Vec<u8>| {
        let fate = if found.is_empty() {
            Fate::Failed(EFAULT)
        } else {
            Fate::Truncated(0)
        };
        (found, fate)
    };
    for string in list {
        let room = wire::ARGV_MAX - found.len();
        if room < 2 {
            return (found, Fate::Truncated(0));
        }
        match memory.string(string, room - 1) {
            Err(Unreadable) => return cut(found),
            Ok((bytes, true)) => {
                found.extend(bytes);
                found.push(0);
            }
            // One that fills the room has lost its end: it stands without its NUL.
            Ok((bytes, false)) => {
                found.extend(bytes);
                return (found, Fate::Truncated(0));
            }
        }
    }
    match end {
        End::Null => (found, Fate::Whole),
        End::Limit => (found, Fate::Truncated(0)),
        End::Unreadable => cut(found),
    }
}

/// How many pointers an array holds before its null pointer.
fn count_pointers(memory: &impl Memory, abi: Abi, from: u64) -> (u32, Fate) {
    let (list, end) = pointers(memory, abi, from, wire::ENVP_STRINGS);
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    match end {
        End::Null => (count, Fate::Whole),
        End::Limit => (count, Fate::Truncated(0)),
        End::Unreadable => (0, Fate::Failed(EFAULT)),
    }
}
