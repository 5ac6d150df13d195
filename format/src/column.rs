//! Columns: one field of many rows, encoded together (`docs/format.md`, "Columns").
//!
//! A column is a CBOR map `{"e": encoding, "v": content}`. Integers are unsigned 64-bit; signed values are
//! zigzag-coded into them by whoever owns the column. Encodings:
//!
//! | `e` | `v` |
//! |---|---|
//! | `const` | one integer: every row has it |
//! | `fixed` | an RFC 8746 typed array: tag 64 (u8), 69 (u16), 70 (u32) or 71 (u64), little endian |
//! | `varint` | a byte string of LEB128 integers |
//! | `delta` | the same, of zigzag-coded wrapping differences to the row before (the first to 0) |
//! | `dict` | an array `[values, index, others]`: for each row the number of a value, or 255: the next of the others |
//! | `bytes` | an array `[lengths, content]`: a nested integer column and a byte string with all rows end to end |

mod dictionary;
pub mod view;

use crate::error::ReadError;
use crate::layout::ROWS_MAX;
use ciborium::Value;
use dictionary::Dictionary;

/// Signed to unsigned, small magnitudes to small numbers.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// How a writer lays an integer column out, unless all rows are equal (then it is `const`), or a few values are so
/// frequent that a dictionary is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Fixed width, the narrowest that holds the largest value.
    Fixed,
    /// LEB128.
    Varint,
    /// Zigzag LEB128 of differences.
    Delta,
}

/// Encodes integers.
#[must_use]
pub fn encode(values: &[u64], layout: Layout) -> Value {
    let Some((&first, rest)) = values.split_first() else {
        return column("const", Value::Integer(0.into()));
    };
    if rest.iter().all(|&value| value == first) {
        return column("const", Value::Integer(first.into()));
    }
    match layout {
        Layout::Fixed => {
            let width = width(values);
            let dictionary = (width > 1)
                .then(|| dictionary::encode(values, FIXED_SHARE))
                .flatten();
            dictionary.unwrap_or_else(|| column("fixed", fixed(values, width)))
        }
        Layout::Varint => {
            if let Some(column) = dictionary::encode(values, VARINT_SHARE) {
                return column;
            }
            let mut out = Vec::with_capacity(values.len().saturating_mul(2));
            for &value in values {
                push_varint(&mut out, value);
            }
            column("varint", Value::Bytes(out))
        }
        Layout::Delta => {
            let mut out = Vec::with_capacity(values.len().saturating_mul(2));
            let mut before = 0u64;
            for &value in values {
                push_varint(&mut out, zigzag(value.wrapping_sub(before).cast_signed()));
                before = value;
            }
            column("delta", Value::Bytes(out))
        }
    }
}

/// Encodes byte strings.
#[must_use]
pub fn encode_bytes<'a>(values: impl Iterator<Item = &'a [u8]>) -> Value {
    let mut lengths = Vec::new();
    let mut content = Vec::new();
    for value in values {
        lengths.push(u64::try_from(value.len()).unwrap_or(u64::MAX));
        content.extend_from_slice(value);
    }
    encode_blob(&lengths, content)
}

/// Encodes byte strings that lie end to end already.
#[must_use]
pub fn encode_blob(lengths: &[u64], content: Vec<u8>) -> Value {
    column(
        "bytes",
        Value::Array(vec![encode(lengths, Layout::Varint), Value::Bytes(content)]),
    )
}

fn column(encoding: &str, content: Value) -> Value {
    Value::Map(vec![
        (Value::Text("e".to_owned()), Value::Text(encoding.to_owned())),
        (Value::Text("v".to_owned()), content),
    ])
}

/// Percent of the rows that have to be in a dictionary for it to be smaller: of a layout with a fixed width, and of
/// integers which have mostly two bytes.
const FIXED_SHARE: usize = 60;
const VARINT_SHARE: usize = 35;

/// The narrowest width in bytes that holds all values.
fn width(values: &[u64]) -> usize {
    let all = values.iter().fold(0u64, |all, &value| all | value);
    match all {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

fn fixed(values: &[u64], width: usize) -> Value {
    let mut out = Vec::with_capacity(values.len().saturating_mul(width));
    for &value in values {
        let bytes = value.to_le_bytes();
        out.extend_from_slice(bytes.get(..width).unwrap_or(&bytes));
    }
    let tag = match width {
        1 => 64,
        2 => 69,
        4 => 70,
        _ => 71,
    };
    Value::Tag(tag, Box::new(Value::Bytes(out)))
}

/// Appends a LEB128 integer.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a LEB128 integer off the front; `None` when the bytes end inside it or it is over 64 bits.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Decodes an integer column of exactly `rows` rows.
///
/// # Errors
/// [`ReadError::Damaged`] when the column does not hold exactly that.
pub fn decode(what: &str, column: &Value, rows: usize) -> Result<Vec<u64>, ReadError> {
    ReadError::check(what, rows, ROWS_MAX)?;
    let (encoding, content) = parts(what, column)?;
    let bad = |problem: &str| ReadError::damaged(what, problem);
    match (encoding, content) {
        ("const", Value::Integer(value)) => {
            let value = u64::try_from(*value)
                .map_err(|_| bad("a constant that is not an unsigned 64-bit integer"))?;
            Ok(vec![value; rows])
        }
        ("fixed", Value::Tag(tag, content)) => {
            let Value::Bytes(bytes) = content.as_ref() else {
                return Err(bad("a typed array that is not bytes"));
            };
            let width = match tag {
                64 => 1,
                69 => 2,
                70 => 4,
                71 => 8,
                _ => return Err(bad("a typed array of an unknown kind")),
            };
            if bytes.len() != rows.saturating_mul(width) {
                return Err(bad("a typed array whose length is not that of the table"));
            }
            Ok(view::fixed(width, bytes))
        }
        ("varint" | "delta", Value::Bytes(bytes)) => {
            if bytes.len() < rows {
                return Err(bad("too few bytes for its rows"));
            }
            let mut rest = bytes.as_slice();
            let values = view::varints(&mut rest, rows, encoding == "delta")
                .ok_or_else(|| bad("an integer that is cut or too long"))?;
            if rest.is_empty() {
                Ok(values)
            } else {
                Err(bad("more integers than rows"))
            }
        }
        ("dict", content) => {
            let found = Dictionary::new(what, content, rows)?;
            let mut values = Vec::with_capacity(rows);
            found.each(|value| values.push(value));
            Ok(values)
        }
        (encoding, _) => Err(bad(&format!(
            "encoding {encoding:?} is unknown or its content is of another type"
        ))),
    }
}

/// Decodes a byte-string column of exactly `rows` rows: the ends of the rows in the content, and the content.
///
/// # Errors
/// [`ReadError::Damaged`] when the column does not hold exactly that.
pub fn decode_bytes(what: &str, column: &Value, rows: usize) -> Result<ByteColumn, ReadError> {
    let (encoding, content) = parts(what, column)?;
    let bad = |problem: &str| ReadError::damaged(what, problem);
    let ("bytes", Value::Array(items)) = (encoding, content) else {
        return Err(bad("not a byte-string column"));
    };
    let [lengths, Value::Bytes(content)] = items.as_slice() else {
        return Err(bad("not a pair of lengths and content"));
    };
    let lengths = decode(what, lengths, rows)?;
    let mut ends = Vec::with_capacity(rows);
    let mut end = 0usize;
    for length in lengths {
        end = usize::try_from(length)
            .ok()
            .and_then(|length| end.checked_add(length))
            .filter(|&end| end <= content.len())
            .ok_or_else(|| bad("rows longer than its content"))?;
        ends.push(end);
    }
    if end != content.len() {
        return Err(bad("content longer than its rows"));
    }
    Ok(ByteColumn {
        ends,
        content: content.clone(),
    })
}

/// Byte strings, end to end.
#[derive(Clone, Debug, Default)]
pub struct ByteColumn {
    ends: Vec<usize>,
    content: Vec<u8>,
}

impl ByteColumn {
    /// The bytes of a row; empty past the end.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        let start = match row.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.content.get(start..end).unwrap_or_default()
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn parts<'a>(what: &str, column: &'a Value) -> Result<(&'a str, &'a Value), ReadError> {
    let bad = || ReadError::damaged(what, "not a column");
    let Value::Map(entries) = column else {
        return Err(bad());
    };
    let find = |name: &str| {
        entries
            .iter()
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(_, value)| value)
    };
    let encoding = find("e").and_then(Value::as_text).ok_or_else(bad)?;
    Ok((encoding, find("v").ok_or_else(bad)?))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_come_back(values in proptest::collection::vec(any::<u64>(), 0..200)) {
            for layout in [Layout::Fixed, Layout::Varint, Layout::Delta] {
                let column = encode(&values, layout);
                prop_assert_eq!(&decode("t", &column, values.len()).unwrap(), &values);
            }
        }

        #[test]
        fn byte_strings_come_back(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..50)) {
            let column = encode_bytes(values.iter().map(Vec::as_slice));
            let back = decode_bytes("t", &column, values.len()).unwrap();
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(back.row(row), value.as_slice());
            }
        }

        #[test]
        fn zigzag_is_reversible(value in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn varints_are_reversible(value in any::<u64>()) {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            let mut rest = out.as_slice();
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_column_of_another_length_is_refused() {
        let column = encode(&[1, 2, 3], Layout::Fixed);
        assert!(decode("t", &column, 2).is_err());
        assert!(decode("t", &column, 4).is_err());
        let column = encode(&[1, 2, 3], Layout::Delta);
        assert!(decode("t", &column, 2).is_err());
        assert!(decode("t", &column, 4).is_err());
    }

    #[test]
    fn an_overlong_varint_is_refused() {
        let mut bytes: &[u8] = &[0xff; 9];
        assert_eq!(take_varint(&mut bytes), None);
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_varint(&mut bytes), None);
    }
}
