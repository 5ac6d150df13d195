//! CBOR, bounded: one item, the whole of the bytes, no deeper than the format allows, no key twice.

use crate::error::{ReadError, WriteError};
use crate::layout::{CBOR_DEPTH_MAX, MEMBER_MAX};
use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};

/// Reads exactly one item out of `bytes`, all of them.
///
/// # Errors
/// [`ReadError`] when the bytes are not one item, are nested too deep, or name a map key twice.
pub fn decode(what: &str, bytes: &[u8]) -> Result<Value, ReadError> {
    ReadError::check(what, bytes.len(), MEMBER_MAX)?;
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
            let mut seen = std::collections::BTreeSet::new();
            for (key, value) in entries {
                if let Value::Text(text) = key
                    && !seen.insert(text.as_str())
                {
                    return Err(ReadError::damaged(what, format!("key {text:?} stands twice")));
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
        assert!(decode("t", &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(decode("t", &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
    }
}
