//! Members: tar entries of which every header byte follows from name and size (`docs/format.md`, "Members").
//!
//! The reader makes the header again from the name and the size it found, and accepts exactly those 512 bytes.
//! So there is no link, device, pax or GNU extension, no mode, owner or time that could hide anything.

use crate::error::{ReadError, WriteError};
use crate::layout::{FRAME_MEMBERS_MAX, MEMBER_MAX, NAME_MAX, TAR_BLOCK};
use std::fmt;

/// The name of a member: a relative path of lower-case letters, digits, `.`, `-`, `_`, at most 100 bytes, no empty
/// part and none that begins with a dot, no name that Windows reserves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

/// What `con.txt` would open on Windows.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

impl MemberName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`WriteError::Name`] when the format does not allow it.
    pub fn new(name: impl Into<String>) -> Result<Self, WriteError> {
        let name = name.into();
        if Self::allowed(&name) {
            Ok(Self(name))
        } else {
            Err(WriteError::Name(name))
        }
    }

    fn allowed(name: &str) -> bool {
        let part = |part: &str| {
            let stem = part.split('.').next().unwrap_or(part);
            let port = stem.len() == 4
                && (stem.starts_with("com") || stem.starts_with("lpt"))
                && stem.ends_with(|last: char| last.is_ascii_digit());
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && !RESERVED.contains(&stem)
                && !port
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
        };
        !name.is_empty() && name.len() <= NAME_MAX && name.split('/').all(part)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A member: a name and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Its content.
    pub content: Vec<u8>,
}

impl Member {
    /// A member.
    ///
    /// # Errors
    /// [`WriteError`] when the name is not allowed or the content too large.
    pub fn new(name: impl Into<String>, content: Vec<u8>) -> Result<Self, WriteError> {
        let name = MemberName::new(name)?;
        if content.len() > MEMBER_MAX {
            return Err(WriteError::Limit {
                what: name.0,
                size: content.len(),
                limit: MEMBER_MAX,
            });
        }
        Ok(Self { name, content })
    }

    /// Bytes that the member takes in a frame: header, content, padding.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        TAR_BLOCK + padded(self.content.len())
    }

    /// Appends the member as a tar entry.
    ///
    /// # Errors
    /// [`WriteError::Name`], when tar can't take the name (which [`MemberName`] rules out).
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let header =
            header(&self.name.0, self.content.len()).ok_or_else(|| WriteError::Name(self.name.0.clone()))?;
        out.extend_from_slice(&header);
        out.extend_from_slice(&self.content);
        out.resize(out.len() + padded(self.content.len()) - self.content.len(), 0);
        Ok(())
    }
}

/// The end of the archive, as tar wants it: two blocks of zeros.
pub const END_OF_ARCHIVE: [u8; 2 * TAR_BLOCK] = [0; 2 * TAR_BLOCK];

pub(crate) fn padded(len: usize) -> usize {
    len.div_ceil(TAR_BLOCK) * TAR_BLOCK
}

fn header(name: &str, size: usize) -> Option<[u8; TAR_BLOCK]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_size(u64::try_from(size).ok()?);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Some(*header.as_bytes())
}

/// A member inside a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name, checked.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// Reads the name and size out of a header block, and checks that the block is exactly what we would write.
///
/// # Errors
/// [`ReadError::Damaged`] when it is anything else, [`ReadError::Limit`] when the size is over the limit.
pub fn parse_header(block: &[u8]) -> Result<(&str, usize), ReadError> {
    let bad = |problem: &str| ReadError::damaged("tar header", problem);
    if block.len() != TAR_BLOCK {
        return Err(bad("not a whole block"));
    }
    let field = block.get(..NAME_MAX).unwrap_or_default();
    let len = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let name = field
        .get(..len)
        .and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or_default();
    if !MemberName::allowed(name) {
        return Err(bad(&format!("name {name:?} is not allowed")));
    }
    let digits = block.get(124..135).unwrap_or_default();
    let mut size = 0usize;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(bad(&format!("the size of {name} is not octal")));
        }
        size = size << 3 | usize::from(digit - b'0');
    }
    ReadError::check(name, size, MEMBER_MAX)?;
    match header(name, size) {
        Some(expected) if expected == block => Ok((name, size)),
        _ => Err(bad(&format!(
            "the header of {name} is not the one its name and size give"
        ))),
    }
}

/// Walks the members of a frame's content. Zero blocks are the archive's end: exactly two, then nothing.
///
/// # Errors
/// [`ReadError`] when anything in the content is unaccounted for.
pub fn members(content: &[u8]) -> Result<Vec<Entry<'_>>, ReadError> {
    let mut rest = content;
    let mut found = Vec::new();
    while !rest.is_empty() {
        if rest == END_OF_ARCHIVE {
            return Ok(found);
        }
        let Some((block, after)) = rest.split_at_checked(TAR_BLOCK) else {
            return Err(ReadError::damaged("tar", "a header is cut"));
        };
        let (name, size) = parse_header(block)?;
        let Some((stored, after)) = after.split_at_checked(padded(size)) else {
            return Err(ReadError::damaged(name, "longer than its frame"));
        };
        let (content, padding) = stored.split_at_checked(size).unwrap_or((stored, &[]));
        if padding.iter().any(|&byte| byte != 0) {
            return Err(ReadError::damaged(name, "padding that is not zero"));
        }
        found.push(Entry { name, content });
        ReadError::check("members in a frame", found.len(), FRAME_MEMBERS_MAX)?;
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_hurt_are_not_names() {
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "A",
            "a\\b",
            "c:x",
            "con",
            "a/nul.txt",
            "com1.log",
            ".hidden",
            "a/.",
            "ünicode",
            "a b",
            "a\n",
            "x.",
        ] {
            assert!(MemberName::new(name).is_err(), "{name:?}");
        }
        for name in [
            "header.json",
            "slice/000001/syscalls.cbor",
            "start/containers/0/fds.json",
            "com",
            "console.txt",
        ] {
            assert!(MemberName::new(name).is_ok(), "{name:?}");
        }
        assert!(MemberName::new("a".repeat(101)).is_err());
    }

    #[test]
    fn members_come_back_and_nothing_else_passes() {
        let mut content = Vec::new();
        for (name, len) in [("a.txt", 0usize), ("b/c.bin", 511), ("d", 512), ("e", 513)] {
            Member::new(name, vec![7; len])
                .unwrap()
                .append_to(&mut content)
                .unwrap();
        }
        let found = members(&content).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|m| (m.name, m.content.len()))
                .collect::<Vec<_>>(),
            [("a.txt", 0), ("b/c.bin", 511), ("d", 512), ("e", 513)]
        );
        let mut ended = content.clone();
        ended.extend_from_slice(&END_OF_ARCHIVE);
        assert_eq!(members(&ended).unwrap().len(), 4);
        ended.push(0);
        assert!(members(&ended).is_err(), "data after the end");
        for at in 0..TAR_BLOCK {
            let mut bent = content.clone();
            bent[at] ^= 1;
            assert!(members(&bent).is_err(), "byte {at} of the first header");
        }
        let mut bent = content.clone();
        let last = bent.len() - 1;
        bent[last] = 1;
        assert!(members(&bent).is_err(), "padding");
        assert!(members(&content[..content.len() - 1]).is_err());
    }
}
