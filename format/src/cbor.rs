//! CBOR, bounded: one item, the whole of the bytes, no deeper than the format allows, no key twice.

use crate::error::{ReadError, WriteError};
use crate::layout::{CBOR_DEPTH_MAX, CBOR_ITEMS_MAX, MEMBER_MAX};
use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// Reads exactly one item out of `bytes`, all of them.
///
/// # Errors
/// [`ReadError`] when the bytes are not one item, are nested too deep, or name a map key twice.
pub fn decode(what: &str, bytes: &[u8]) -> Result<Value, ReadError> {
    ReadError::check(what, bytes.len(), MEMBER_MAX)?;
    ReadError::check(what, items(bytes), CBOR_ITEMS_MAX)?;
    let mut rest = bytes;
    let value: Value = ciborium::de::from_reader_with_recursion_limit(&mut rest, CBOR_DEPTH_MAX)
        .map_err(|error| ReadError::damaged(what, format!("not CBOR: {error}")))?;
    if !rest.is_empty() {
        return Err(ReadError::damaged(
            what,
            format!("{} bytes follow the CBOR item", rest.len()),
        ));
    }
    unique_keys(what, &value)?;
    Ok(value)
}

/// Reads exactly one item of a known shape.
///
/// # Errors
/// As [`decode`], and when the item is of another shape.
pub fn decode_as<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ReadError> {
    let value = decode(what, bytes)?;
    value
        .deserialized()
        .map_err(|error| ReadError::damaged(what, format!("not of its shape: {error}")))
}

/// Writes an item.
///
/// # Errors
/// [`WriteError::Encode`] when the value can't be told in CBOR.
pub fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|error| WriteError::Encode {
        what: what.to_owned(),
        problem: error.to_string(),
    })?;
    Ok(out)
}

fn unique_keys(what: &str, value: &Value) -> Result<(), ReadError> {
    match value {
        Value::Map(entries) => {
            let mut texts = BTreeSet::new();
            let mut others = BTreeSet::new();
            for (key, value) in entries {
                let is_new = match key {
                    Value::Text(text) => texts.insert(text.as_str()),
                    // Decoded and encoded again, two spellings of one number are the same bytes.
                    other => {
                        unique_keys(what, other)?;
                        let bytes = encode(what, other)
                            .map_err(|error| ReadError::damaged(what, error.to_string()))?;
                        others.insert(bytes)
                    }
                };
                if !is_new {
                    return Err(ReadError::damaged(
                        what,
                        format!("key {} stands twice", shown(key)),
                    ));
                }
                unique_keys(what, value)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| unique_keys(what, item)),
        Value::Tag(_, inner) => unique_keys(what, inner),
        _ => Ok(()),
    }
}

/// How many items there are, those inside of others counted: how much memory decoding takes is told by that, not by
/// the length. What is not well formed is left to the decoder.
fn items(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut count = 0usize;
    while let Some((&head, after)) = rest.split_first() {
        count += 1;
        let (major, low) = (head >> 5, head & 0x1f);
        let width = match low {
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => 0,
        };
        let Some((argument, after)) = after.split_at_checked(width) else {
            break;
        };
        let len = match major {
            2 | 3 if width == 0 => u64::from(low),
            2 | 3 => argument
                .iter()
                .fold(0u64, |all, &byte| all << 8 | u64::from(byte)),
            _ => 0,
        };
        // 31 opens a string of pieces, each with a head of its own.
        let len = if low == 31 { 0 } else { len };
        let Some(after) = usize::try_from(len).ok().and_then(|len| after.get(len..)) else {
            break;
        };
        rest = after;
    }
    count
}

/// A key as an error names it.
fn shown(key: &Value) -> String {
    match key {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => i128::from(*number).to_string(),
        _ => "of another type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_depth_and_twin_keys_are_refused() {
        assert!(decode("t", &[0x01]).is_ok());
        assert!(decode("t", &[0x01, 0x02]).is_err());
        assert!(decode("t", &[]).is_err());
        assert!(decode("t", &vec![0x81; 100_000]).is_err());
        assert!(decode("t", &[0xa2, 0x61, b'a', 0x01, 0x61, b'a', 0x02]).is_err());
        for twins in [
            &[0xa2, 0x05, 0x01, 0x05, 0x02][..],
            &[0xa2, 0x05, 0x01, 0x18, 0x05, 0x02],
        ] {
            let error = decode("t", twins).unwrap_err().to_string();
            assert_eq!(error, "t: key 5 stands twice");
        }
        assert!(
            decode("t", &[0xa2, 0x41, 0x05, 0x01, 0x41, 0x05, 0x02]).is_err(),
            "byte strings"
        );
        assert!(
            decode("t", &[0x81, 0xa2, 0x80, 0x01, 0x80, 0x02]).is_err(),
            "arrays"
        );
        assert!(
            decode("t", &[0xa2, 0x05, 0x01, 0x61, b'5', 0x02]).is_ok(),
            "5 and \"5\""
        );
        let mut many = vec![0x9a, 0, 0x80, 0, 0];
        many.resize(5 + (8 << 20), 0xf6);
        assert!(
            matches!(decode("t", &many), Err(ReadError::Limit { .. })),
            "8 Mi of null"
        );
        assert_eq!(items(&[0x82, 0x43, 1, 2, 3, 0x19, 1, 0]), 3);
        assert_eq!(items(&[0x5f, 0x41, 0, 0xff]), 3);
        assert!(decode("t", &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(decode("t", &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
    }
}
