//! Journal Export Format: splitting a stream of it into entries, and entries into fields.
//!
//! The format is systemd's (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>): a field is `NAME=value` and a line feed,
//! or, where the value holds bytes that a line can't, `NAME`, a line feed, the length as 64 bits little endian, that
//! many bytes and a line feed. An empty line ends the entry.

/// The largest entry that is kept, in bytes. journald itself takes fields of up to 768 MiB by its native protocol
/// (`DATA_SIZE_MAX`, src/journal/journald-native.c); one that large is not a log line.
pub const ENTRY_LIMIT: usize = 4 << 20;
/// The longest name of a field, in bytes (systemd v252, `journal_field_valid`).
const NAME_LIMIT: usize = 64;

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line has neither `=` nor the form of a field's name.
    #[error("journal entry: byte {at}: not a field's name")]
    Name {
        /// Offset in the entry.
        at: usize,
    },
    /// The entry ends within a field.
    #[error("journal entry: it ends within the field that begins at byte {at}")]
    Cut {
        /// Offset in the entry.
        at: usize,
    },
    /// A binary value is not followed by a line feed.
    #[error("journal entry: byte {at}: no line end behind a binary value")]
    Unterminated {
        /// Offset in the entry.
        at: usize,
    },
    /// There are bytes behind the empty line.
    #[error("journal entry: byte {at}: bytes behind its end")]
    Trailing {
        /// Offset in the entry.
        at: usize,
    },
}

/// The fields of one entry, in its order; a name may occur several times.
///
/// The closing empty line may be missing.
///
/// # Errors
/// [`JournalError`] at the first byte that is wrong.
pub fn fields(entry: &[u8]) -> Result<Vec<(&str, &[u8])>, JournalError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = entry.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(JournalError::Cut { at });
        };
        let (line, after) = rest.split_at(end);
        let after = after.get(1..).unwrap_or_default();
        if line.is_empty() {
            if after.is_empty() {
                break;
            }
            return Err(JournalError::Trailing { at: at + 1 });
        }
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            let (name, value) = line.split_at(equals);
            let name = checked_name(name).ok_or(JournalError::Name { at })?;
            found.push((name, value.get(1..).unwrap_or_default()));
            at += end + 1;
            continue;
        }
        let name = checked_name(line).ok_or(JournalError::Name { at })?;
        let (length, data) = after.split_first_chunk::<8>().ok_or(JournalError::Cut { at })?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| JournalError::Cut { at })?;
        let value = data.get(..length).ok_or(JournalError::Cut { at })?;
        at += end + 1 + 8 + length;
        match data.get(length) {
            Some(b'\n') => at += 1,
            Some(_) => return Err(JournalError::Unterminated { at }),
            None => return Err(JournalError::Cut { at }),
        }
        found.push((name, value));
    }
    Ok(found)
}

/// The value of the first field of that name; `None` also when the entry can't be read.
#[must_use]
pub fn field<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(entry)
        .ok()?
        .into_iter()
        .find_map(|(other, value)| (other == name).then_some(value))
}

fn checked_name(bytes: &[u8]) -> Option<&str> {
    let fine = !bytes.is_empty()
        && bytes.len() <= NAME_LIMIT
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    if fine {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}

/// What a [`Splitter`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// An entry, its closing empty line included, byte for byte.
    Entry(Vec<u8>),
    /// An entry of this many bytes, more than the limit; its beginning (which has the cursor and the stamps) up to
    /// the limit, cut anywhere.
    TooLong(Vec<u8>, u64),
}

/// Splits a stream into entries, however it is cut into pieces.
///
/// A declared length is only counted down, never allocated, and of an entry no more than the limit is held.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    entry: Vec<u8>,
    /// Bytes of the entry, held or not.
    length: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In a line; whether it has an `=`, and whether it is empty so far.
    Line { equals: bool, empty: bool },
    /// In the length of a binary value: bytes seen, and the number so far.
    Length { seen: u32, value: u64 },
    /// In a binary value: bytes to come, its line feed included.
    Value(u64),
}

const LINE: State = State::Line {
    equals: false,
    empty: true,
};

impl Default for Splitter {
    fn default() -> Self {
        Self::new(ENTRY_LIMIT)
    }
}

impl Splitter {
    /// A splitter that holds at most `limit` bytes of an entry.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            entry: Vec::new(),
            length: 0,
            state: LINE,
        }
    }

    /// Takes the next bytes of the stream and hands every entry that they end to `found`.
    pub fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Split)) {
        while let Some(first) = bytes.first().copied() {
            let taken = match self.state {
                State::Line { equals, empty } => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                    let equals = equals || line.contains(&b'=');
                    let empty = empty && line.is_empty();
                    self.state = match end {
                        None => State::Line { equals, empty },
                        Some(_) if empty || equals => LINE,
                        Some(_) => State::Length { seen: 0, value: 0 },
                    };
                    let taken = line.len() + usize::from(end.is_some());
                    self.keep(bytes.get(..taken).unwrap_or_default());
                    if end.is_some() && empty {
                        self.finish(&mut found);
                    }
                    taken
                }
                State::Length { seen, value } => {
                    let value = value | u64::from(first) << (8 * seen);
                    self.state = if seen == 7 {
                        State::Value(value.saturating_add(1))
                    } else {
                        State::Length {
                            seen: seen + 1,
                            value,
                        }
                    };
                    self.keep(&[first]);
                    1
                }
                State::Value(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { LINE } else { State::Value(left) };
                    self.keep(bytes.get(..taken).unwrap_or_default());
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Whether the stream stands between two entries: nothing would be lost if it ended here.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.length == 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = self.limit.saturating_sub(self.entry.len());
        self.entry.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn finish(&mut self, found: &mut impl FnMut(Split)) {
        let entry = std::mem::take(&mut self.entry);
        let length = std::mem::take(&mut self.length);
        if length > entry.len() as u64 {
            found(Split::TooLong(entry, length));
        } else if length > 1 {
            // A single line feed would be an entry without fields.
            found(Split::Entry(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        let mut out = format!("{name}\n").into_bytes();
        out.extend((value.len() as u64).to_le_bytes());
        out.extend(value);
        out.push(b'\n');
        out
    }

    fn split(bytes: &[u8], piece: usize, limit: usize) -> (Vec<Split>, bool) {
        let mut splitter = Splitter::new(limit);
        let mut out = Vec::new();
        for chunk in bytes.chunks(piece) {
            splitter.push(chunk, |split| out.push(split));
        }
        (out, splitter.is_between())
    }

    #[test]
    fn text_and_binary_fields_are_read() {
        let mut entry = b"__CURSOR=s=1;i=2\nMESSAGE=\n".to_vec();
        entry.extend(binary("BIN_1", b"a\n\n=\0b"));
        entry.extend(b"MESSAGE=x=y\n\n");
        assert_eq!(
            fields(&entry).unwrap(),
            [
                ("__CURSOR", &b"s=1;i=2"[..]),
                ("MESSAGE", b""),
                ("BIN_1", b"a\n\n=\0b"),
                ("MESSAGE", b"x=y"),
            ]
        );
        assert_eq!(field(&entry, "BIN_1"), Some(&b"a\n\n=\0b"[..]));
        assert_eq!(field(&entry, "NONE"), None);
    }

    #[test]
    fn hostile_entries_are_refused_at_the_byte() {
        assert_eq!(fields(b"A=1\nB=2"), Err(JournalError::Cut { at: 4 }));
        assert_eq!(fields(b"A=1\n\nB=2\n"), Err(JournalError::Trailing { at: 5 }));
        assert_eq!(fields(b"a=1\n"), Err(JournalError::Name { at: 0 }));
        assert_eq!(fields(b"=1\n"), Err(JournalError::Name { at: 0 }));
        assert_eq!(fields(b"A\n\x01\0\0"), Err(JournalError::Cut { at: 0 }));
        let mut huge = b"A\n".to_vec();
        huge.extend(u64::MAX.to_le_bytes());
        huge.extend(b"x\n");
        assert_eq!(fields(&huge), Err(JournalError::Cut { at: 0 }));
        let mut open = binary("A", b"xy");
        *open.last_mut().unwrap() = b'z';
        assert_eq!(fields(&open), Err(JournalError::Unterminated { at: 12 }));
        let long = [&b"A"[..]; NAME_LIMIT + 1].concat();
        assert_eq!(
            fields(&[&long, &b"=1\n"[..]].concat()),
            Err(JournalError::Name { at: 0 })
        );
    }

    #[test]
    fn an_empty_line_within_a_binary_value_ends_nothing() {
        let mut stream = b"A=1\n".to_vec();
        stream.extend(binary("B", b"\n\nC=3\n\n"));
        stream.push(b'\n');
        let entry = stream.clone();
        stream.extend(b"\nD=4\n\nE=");
        for piece in 1..stream.len() {
            let (out, between) = split(&stream, piece, ENTRY_LIMIT);
            assert_eq!(
                out,
                [Split::Entry(entry.clone()), Split::Entry(b"D=4\n\n".to_vec())],
                "pieces of {piece}"
            );
            assert!(!between);
        }
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        let mut stream = b"A\n".to_vec();
        stream.extend(u64::MAX.to_le_bytes());
        stream.extend([b'\n'; 1000]);
        let mut splitter = Splitter::new(100);
        splitter.push(&stream, |_| panic!("no entry ends here"));
        assert!(splitter.entry.capacity() <= 256, "{}", splitter.entry.capacity());
    }

    #[test]
    fn one_that_is_too_long_is_counted_and_the_next_is_whole() {
        let mut stream = b"__CURSOR=c\n".to_vec();
        stream.extend(binary("B", &[b'\n'; 500]));
        stream.push(b'\n');
        let length = stream.len() as u64;
        let beginning = stream[..50].to_vec();
        stream.extend(b"A=1\n\n");
        let (out, between) = split(&stream, 7, 50);
        assert_eq!(
            out,
            [
                Split::TooLong(beginning, length),
                Split::Entry(b"A=1\n\n".to_vec())
            ]
        );
        assert!(between);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::vec(
                prop::collection::vec(("[A-Z][A-Z0-9_]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 1..5), 0..5),
            piece in 1_usize..50,
        ) {
            let written: Vec<Vec<u8>> = entries.iter().map(|entry| {
                let mut out: Vec<u8> = entry.iter().flat_map(|(name, value)| {
                    if value.contains(&b'\n') { binary(name, value) }
                    else { [name.as_bytes(), b"=", value, b"\n"].concat() }
                }).collect();
                out.push(b'\n');
                out
            }).collect();
            let (out, between) = split(&written.concat(), piece, ENTRY_LIMIT);
            prop_assert!(between);
            prop_assert_eq!(out, written.iter().cloned().map(Split::Entry).collect::<Vec<_>>());
            for (bytes, entry) in written.iter().zip(&entries) {
                let expected: Vec<(&str, &[u8])> =
                    entry.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                prop_assert_eq!(fields(bytes).unwrap(), expected);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20) {
            let _ = fields(&bytes);
            split(&bytes, piece, 64);
        }
    }
}
