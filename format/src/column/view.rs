//! Columns where they lie: what a scan looks at is not copied, and a row is decoded when it is asked for.
//!
//! A view checks the same things as decoding all of the column does, so a column that one refuses the other refuses.

use super::dictionary::{Dictionary, OTHER};
use super::{little_endian, parts, take_varint, unzigzag};
use crate::error::ReadError;
use crate::layout::ROWS_MAX;
use ciborium::Value;
use std::cell::OnceCell;

/// An integer column.
#[derive(Clone, Debug)]
pub struct Integers<'a> {
    rows: usize,
    form: Form<'a>,
}

#[derive(Clone, Debug)]
enum Form<'a> {
    Const(u64),
    One(&'a [u8]),
    Two(&'a [[u8; 2]]),
    Four(&'a [[u8; 4]]),
    Eight(&'a [[u8; 8]]),
    /// What has no fixed width has no rows that could be found without reading all: decoded when it is asked for.
    Varint(&'a [u8], bool, OnceCell<Vec<u64>>),
    /// Of rows that are not in the dictionary the same is true.
    Dictionary(Dictionary<'a>, OnceCell<Vec<u64>>),
}

fn decoded<'d>(bytes: &[u8], rows: usize, is_delta: bool, cell: &'d OnceCell<Vec<u64>>) -> &'d [u64] {
    // That the bytes are sound was checked.
    cell.get_or_init(|| varints(&mut &*bytes, rows, is_delta).unwrap_or_default())
}

/// Whether bytes are exactly `rows` LEB128 integers of at most 64 bits, found out without decoding them.
pub(super) fn are_varints(bytes: &[u8], rows: usize) -> bool {
    let ends = bytes.iter().filter(|byte| **byte < 0x80).count();
    if ends != rows || bytes.last().is_some_and(|last| *last >= 0x80) {
        return false;
    }
    // Too long an integer has nine bytes that go on, and so four in a row whose place is a multiple of four.
    let (words, _) = bytes.as_chunks::<4>();
    let goes_on = |word: &[u8; 4]| u32::from_ne_bytes(*word) & 0x8080_8080 == 0x8080_8080;
    if !words.iter().any(goes_on) {
        return true;
    }
    let suspects = words.iter().enumerate().filter(|(_, word)| goes_on(word));
    suspects.map(|(at, _)| at * 4).all(|at| {
        let before = bytes.get(..at).unwrap_or_default();
        let start = before
            .iter()
            .rposition(|byte| *byte < 0x80)
            .map_or(0, |end| end + 1);
        take_varint(&mut bytes.get(start..).unwrap_or_default()).is_some()
    })
}

/// Looks at an integer column of exactly `rows` rows.
///
/// # Errors
/// As [`super::decode`].
pub fn integers<'a>(what: &str, column: &'a Value, rows: usize) -> Result<Integers<'a>, ReadError> {
    ReadError::check(what, rows, ROWS_MAX)?;
    let form = match parts(what, column)? {
        ("const", Value::Integer(value)) => {
            let value = u64::try_from(*value)
                .map_err(|_| ReadError::damaged(what, "a constant that is not an unsigned 64-bit integer"))?;
            Form::Const(value)
        }
        ("fixed", Value::Tag(tag, content)) => {
            let Value::Bytes(bytes) = content.as_ref() else {
                return Err(ReadError::damaged(what, "a typed array that is not bytes"));
            };
            let (form, found, rest) = match tag {
                64 => (Form::One(bytes), bytes.len(), 0),
                69 => {
                    let (values, rest) = bytes.as_chunks();
                    (Form::Two(values), values.len(), rest.len())
                }
                70 => {
                    let (values, rest) = bytes.as_chunks();
                    (Form::Four(values), values.len(), rest.len())
                }
                71 => {
                    let (values, rest) = bytes.as_chunks();
                    (Form::Eight(values), values.len(), rest.len())
                }
                _ => return Err(ReadError::damaged(what, "a typed array of an unknown kind")),
            };
            if found != rows || rest != 0 {
                return Err(ReadError::damaged(
                    what,
                    "a typed array whose length is not that of the table",
                ));
            }
            form
        }
        (encoding @ ("varint" | "delta"), Value::Bytes(bytes)) if are_varints(bytes, rows) => {
            Form::Varint(bytes, encoding == "delta", OnceCell::new())
        }
        ("dict", content) => Form::Dictionary(Dictionary::new(what, content, rows)?, OnceCell::new()),
        // Whatever is wrong with it, decoding says it.
        _ => {
            super::decode(what, column, rows)?;
            return Err(ReadError::damaged(what, "not an integer column"));
        }
    };
    Ok(Integers { rows, form })
}

impl Integers<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The value of a row; 0 past the end.
    #[must_use]
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        match &self.form {
            Form::Const(value) => {
                if row < self.rows {
                    *value
                } else {
                    0
                }
            }
            Form::One(bytes) => bytes.get(row).map_or(0, |byte| u64::from(*byte)),
            Form::Two(values) => values.get(row).map_or(0, |v| u64::from(u16::from_le_bytes(*v))),
            Form::Four(values) => values.get(row).map_or(0, |v| u64::from(u32::from_le_bytes(*v))),
            Form::Eight(values) => values.get(row).map_or(0, |v| u64::from_le_bytes(*v)),
            Form::Varint(bytes, is_delta, cell) => {
                let values = decoded(bytes, self.rows, *is_delta, cell);
                values.get(row).copied().unwrap_or(0)
            }
            Form::Dictionary(found, cell) => match found.index.get(row) {
                None => 0,
                Some(&OTHER) => {
                    let all = cell.get_or_init(|| {
                        let mut all = Vec::with_capacity(self.rows);
                        found.each(|value| all.push(value));
                        all
                    });
                    all.get(row).copied().unwrap_or(0)
                }
                Some(&number) => found.values.get(usize::from(number)).copied().unwrap_or(0),
            },
        }
    }

    /// The value that all rows have, where the column says so once.
    #[must_use]
    pub fn constant(&self) -> Option<u64> {
        match self.form {
            Form::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Hands over all values in the order of rows.
    pub fn each(&self, mut take: impl FnMut(u64)) {
        match &self.form {
            Form::Const(value) => (0..self.rows).for_each(|_| take(*value)),
            Form::One(bytes) => bytes.iter().for_each(|byte| take(u64::from(*byte))),
            Form::Two(values) => values
                .iter()
                .for_each(|v| take(u64::from(u16::from_le_bytes(*v)))),
            Form::Four(values) => values
                .iter()
                .for_each(|v| take(u64::from(u32::from_le_bytes(*v)))),
            Form::Eight(values) => values.iter().for_each(|v| take(u64::from_le_bytes(*v))),
            Form::Varint(bytes, is_delta, cell) => {
                let values = decoded(bytes, self.rows, *is_delta, cell);
                values.iter().for_each(|value| take(*value));
            }
            Form::Dictionary(found, _) => found.each(take),
        }
    }

    /// The largest value; 0 where there are no rows.
    #[must_use]
    pub fn max(&self) -> u64 {
        if self.rows == 0 {
            return 0;
        }
        match &self.form {
            Form::Const(value) => *value,
            Form::One(bytes) => bytes.iter().max().map_or(0, |byte| u64::from(*byte)),
            Form::Dictionary(found, _) => found.max(),
            _ => {
                let mut max = 0;
                self.each(|value| max = value.max(max));
                max
            }
        }
    }

    /// The sum of all values, held at the end of the range.
    #[must_use]
    pub fn sum(&self) -> u64 {
        match &self.form {
            Form::Const(value) => value.saturating_mul(self.rows as u64),
            Form::One(bytes) => bytes.iter().map(|byte| u64::from(*byte)).sum(),
            _ => {
                let mut sum = 0u64;
                self.each(|value| sum = sum.saturating_add(value));
                sum
            }
        }
    }
}

/// A column of byte strings.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    ends: Vec<usize>,
    content: &'a [u8],
}

/// Looks at a byte-string column of exactly `rows` rows.
///
/// # Errors
/// As [`super::decode_bytes`].
pub fn bytes<'a>(what: &str, column: &'a Value, rows: usize) -> Result<Bytes<'a>, ReadError> {
    let (encoding, content) = parts(what, column)?;
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let ("bytes", Value::Array(items)) = (encoding, content) else {
        return Err(bad("not a byte-string column"));
    };
    let [lengths, Value::Bytes(content)] = items.as_slice() else {
        return Err(bad("not a pair of lengths and content"));
    };
    let lengths = integers(what, lengths, rows)?;
    let mut ends = Vec::with_capacity(rows);
    let mut end = Some(0usize);
    lengths.each(|length| {
        end = end
            .zip(usize::try_from(length).ok())
            .and_then(|(end, length)| end.checked_add(length))
            .filter(|&end| end <= content.len());
        ends.push(end.unwrap_or(0));
    });
    match end {
        None => Err(bad("rows longer than its content")),
        Some(end) if end != content.len() => Err(bad("content longer than its rows")),
        Some(_) => Ok(Bytes { ends, content }),
    }
}

impl<'a> Bytes<'a> {
    /// The bytes of a row; empty past the end.
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [u8] {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.content.get(start..end).unwrap_or_default()
    }
}

/// Decodes typed arrays: by width, so that the compiler makes one loop of each.
pub(super) fn fixed(width: usize, bytes: &[u8]) -> Vec<u64> {
    match width {
        1 => bytes.iter().map(|byte| u64::from(*byte)).collect(),
        2 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|v| u64::from(u16::from_le_bytes(*v)))
            .collect(),
        4 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|v| u64::from(u32::from_le_bytes(*v)))
            .collect(),
        8 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|v| u64::from_le_bytes(*v))
            .collect(),
        width => bytes.chunks_exact(width.max(1)).map(little_endian).collect(),
    }
}

/// Decodes `rows` LEB128 integers; `None` when one is cut or too long. `rest` is left behind them.
pub(super) fn varints(rest: &mut &[u8], rows: usize, is_delta: bool) -> Option<Vec<u64>> {
    let mut values = Vec::with_capacity(rows);
    let mut before = 0u64;
    for _ in 0..rows {
        // Most are one to three bytes long.
        let value = match **rest {
            [a, ..] if a < 0x80 => {
                *rest = rest.get(1..)?;
                u64::from(a)
            }
            [a, b, ..] if b < 0x80 => {
                *rest = rest.get(2..)?;
                u64::from(a & 0x7f) | u64::from(b) << 7
            }
            [a, b, c, ..] if c < 0x80 => {
                *rest = rest.get(3..)?;
                u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7 | u64::from(c) << 14
            }
            _ => take_varint(rest)?,
        };
        values.push(if is_delta {
            before = before.wrapping_add(unzigzag(value).cast_unsigned());
            before
        } else {
            value
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, decode, encode, encode_bytes};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sound_integers_are_told_from_others(
            bytes in proptest::collection::vec(prop_oneof![0..0x80u8, 0x80..=0xffu8, Just(0xff), Just(1)], 0..40),
            runs in proptest::collection::vec((0..12usize, 0..4u8), 0..6),
        ) {
            let runs: Vec<u8> = runs.into_iter().flat_map(|(n, end)| [vec![0xff; n], vec![end]].concat()).collect();
            for bytes in [bytes, runs] {
                let rows = bytes.iter().filter(|byte| **byte < 0x80).count();
                for rows in [rows, rows + 1] {
                    let mut rest = bytes.as_slice();
                    let decoded = varints(&mut rest, rows, false).is_some() && rest.is_empty();
                    prop_assert_eq!(are_varints(&bytes, rows), decoded, "{:x?}", bytes);
                }
            }
        }

        #[test]
        fn a_view_shows_what_decoding_gives(
            values in proptest::collection::vec(prop_oneof![0..3u64, 0..70_000u64, any::<u64>()], 0..60),
            narrow in 0..64u32,
            more in 0..2usize,
        ) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> narrow).collect();
            for layout in [Layout::Fixed, Layout::Varint, Layout::Delta] {
                let column = encode(&values, layout);
                let rows = values.len() + more;
                let view = integers("t", &column, rows);
                let decoded = decode("t", &column, rows);
                prop_assert_eq!(view.is_ok(), decoded.is_ok());
                let (Ok(view), Ok(decoded)) = (view, decoded) else { continue };
                let mut each = Vec::new();
                view.each(|value| each.push(value));
                prop_assert_eq!(&each, &decoded);
                prop_assert_eq!((0..rows).map(|row| view.get(row)).collect::<Vec<_>>(), each);
                prop_assert_eq!(view.max(), decoded.iter().copied().max().unwrap_or(0));
                prop_assert_eq!(view.sum(), decoded.iter().fold(0u64, |sum, value| sum.saturating_add(*value)));
                prop_assert_eq!((view.get(rows), view.len()), (0, rows));
            }
        }

        #[test]
        fn a_view_shows_byte_strings(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..50)) {
            let column = encode_bytes(values.iter().map(Vec::as_slice));
            let view = bytes("t", &column, values.len()).unwrap();
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(view.row(row), value.as_slice());
            }
            prop_assert!(bytes("t", &column, values.len() + 1).is_err() || values.is_empty());
        }
    }
}
