//! Values of fields: what they are, how they read as text and as JSON.

use crate::escape;
use base64::Engine as _;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Bytes, most often UTF-8.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A wall-clock moment, UTC.
    Time,
    /// A length of time; literals take `ns`, `us`, `ms`, `s`, `m`, `h`, and without a unit mean nanoseconds.
    Duration,
    /// A number of bytes; literals take `k`, `M`, `G`, `KiB`, `MiB`, `GiB` (powers of 1024) and `kB`, `MB`, `GB`.
    Size,
    /// A 64-bit register or kernel address, shown in hex.
    Hex,
    /// An IPv4 or IPv6 address; literals may be networks (`10.0.0.0/8`).
    Address,
}

impl Kind {
    /// The kind in one word, as `replay fields` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Hex => "hex",
            Self::Address => "address",
        }
    }

    /// Whether values of it can be put in order.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Text | Self::Flag | Self::Address)
    }
}

/// A value of a field of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// See [`Kind::Text`].
    Text(Cow<'a, [u8]>),
    /// See [`Kind::Number`].
    Number(i128),
    /// See [`Kind::Flag`].
    Flag(bool),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
    /// Nanoseconds.
    Duration(i128),
    /// Bytes.
    Size(u64),
    /// See [`Kind::Hex`].
    Hex(u64),
    /// See [`Kind::Address`].
    Address(IpAddr),
    /// Several at once (`tcp.port`: source and destination): a comparison holds when it holds for one of them.
    Any(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// Text that is borrowed from the event.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }

    /// Bytes that are borrowed from the event.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(bytes))
    }

    /// Text that was made for the occasion.
    #[must_use]
    pub fn owned(text: String) -> Self {
        Self::Text(Cow::Owned(text.into_bytes()))
    }

    /// A whole number.
    #[must_use]
    pub fn number(number: impl Into<i128>) -> Self {
        Self::Number(number.into())
    }

    /// The number behind an ordered value.
    #[must_use]
    pub fn as_number(&self) -> Option<i128> {
        match self {
            Self::Number(value) | Self::Duration(value) => Some(*value),
            Self::Time(value) => Some(i128::from(*value)),
            Self::Size(value) | Self::Hex(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// The value for a reader, on one line, safe for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(bytes) => escape::bytes(bytes).into_owned(),
            Self::Number(value) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::Time(value) => rfc3339(*value),
            Self::Duration(value) => duration(*value),
            Self::Size(value) => value.to_string(),
            Self::Hex(value) => format!("{value:#x}"),
            Self::Address(value) => value.to_string(),
            Self::Any(values) => values.iter().map(Self::to_text).collect::<Vec<_>>().join(","),
        }
    }

    /// Puts the value under `key` into a flat JSON object: bytes that are not UTF-8 go, in base64, under the key
    /// with `.b64` appended; registers and addresses are strings; durations integer nanoseconds.
    pub fn put_json(&self, key: &str, object: &mut serde_json::Map<String, serde_json::Value>) {
        let (suffix, value) = self.json();
        object.insert(format!("{key}{suffix}"), value);
    }

    /// Appends `"key":value` to the text of an object, as [`Value::put_json`] would put it there.
    pub fn push_json(&self, key: &str, out: &mut String) {
        let string = |text: &str, suffix: &str, out: &mut String| {
            // Names of fields hold nothing that JSON escapes, but for what a bundle put between brackets.
            if key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._[]-".contains(&byte))
            {
                let _ = write!(out, "\"{key}{suffix}\":");
            } else {
                let _ = write!(out, "{}:", serde_json::Value::from(format!("{key}{suffix}")));
            }
            out.push_str(text);
        };
        match self {
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text)
                    if text
                        .bytes()
                        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') =>
                {
                    string("\"", "", out);
                    out.push_str(text);
                    out.push('"');
                }
                _ => {
                    let (suffix, value) = self.json();
                    string(&value.to_string(), suffix, out);
                }
            },
            Self::Time(_) | Self::Hex(_) | Self::Address(_) => {
                string("\"", "", out);
                out.push_str(&self.to_text());
                out.push('"');
            }
            Self::Flag(flag) => string(if *flag { "true" } else { "false" }, "", out),
            Self::Size(value) => {
                string("", "", out);
                let _ = write!(out, "{value}");
            }
            Self::Number(_) | Self::Duration(_) | Self::Any(_) => {
                let (suffix, value) = self.json();
                string(&value.to_string(), suffix, out);
            }
        }
    }

    /// The value as JSON, and what is appended to its key.
    fn json(&self) -> (&'static str, serde_json::Value) {
        use serde_json::Value as Json;
        match self {
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => ("", Json::from(text)),
                Err(_) => {
                    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                    (".b64", Json::from(text))
                }
            },
            Self::Number(value) | Self::Duration(value) => ("", json_number(*value)),
            Self::Flag(value) => ("", Json::from(*value)),
            Self::Size(value) => ("", Json::from(*value)),
            Self::Time(_) | Self::Hex(_) | Self::Address(_) | Self::Any(_) => {
                ("", Json::from(self.to_text()))
            }
        }
    }
}

fn json_number(value: i128) -> serde_json::Value {
    i64::try_from(value)
        .map(serde_json::Value::from)
        .or_else(|_| u64::try_from(value).map(serde_json::Value::from))
        .unwrap_or_else(|_| serde_json::Value::from(value.to_string()))
}

/// A wall-clock moment (nanoseconds since 1970) as RFC 3339 in UTC with nine digits.
#[must_use]
pub fn rfc3339(realtime: i64) -> String {
    // Every i64 of nanoseconds lies between the years 1677 and 2262, which jiff covers.
    match jiff::Timestamp::from_nanosecond(i128::from(realtime)) {
        Ok(stamp) => format!("{stamp:.9}"),
        Err(_) => format!("@{realtime}ns"),
    }
}

/// A length of time with the unit that suits it: `12.345us`, `1.5s`.
#[must_use]
pub fn duration(nanoseconds: i128) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let (unit, digits, name) = match magnitude {
        0..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "us"),
        1_000_000..1_000_000_000 => (1_000_000, 6, "ms"),
        _ => (1_000_000_000, 9, "s"),
    };
    let fraction = format!("{:0digits$}", magnitude % unit);
    let fraction = fraction.trim_end_matches('0');
    let whole = magnitude / unit;
    if digits == 0 || fraction.is_empty() {
        format!("{sign}{whole}{name}")
    } else {
        format!("{sign}{whole}.{fraction}{name}")
    }
}

/// A number of bytes for a reader: `512 B`, `20.0 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths by integers, so that the text is the same on every machine.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or("KiB");
    while tenths >= 10 * 1024 {
        let Some(next) = unit.next() else { break };
        tenths /= 1024;
        name = next;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits() {
        assert_eq!(
            rfc3339(1_764_000_187_200_000_000),
            "2025-11-24T16:03:07.200000000Z"
        );
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
        assert!(rfc3339(i64::MIN).starts_with("1677-09-21T"));
    }

    #[test]
    fn durations_take_the_unit_that_suits() {
        assert_eq!(duration(0), "0ns");
        assert_eq!(duration(999), "999ns");
        assert_eq!(duration(12_345), "12.345us");
        assert_eq!(duration(1_500_000_000), "1.5s");
        assert_eq!(duration(-2_000_000), "-2ms");
        assert_eq!(duration(1_000_050), "1.00005ms");
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(20 << 20), "20.0 MiB");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn bytes_that_are_not_text_go_to_base64() {
        let mut object = serde_json::Map::new();
        Value::bytes(b"\xff\x00").put_json("fd.name", &mut object);
        Value::bytes(b"ok").put_json("proc.name", &mut object);
        Value::Hex(u64::MAX).put_json("evt.rawarg[0]", &mut object);
        assert_eq!(
            serde_json::Value::from(object).to_string(),
            r#"{"fd.name.b64":"/wA=","proc.name":"ok","evt.rawarg[0]":"0xffffffffffffffff"}"#
        );
    }
}
