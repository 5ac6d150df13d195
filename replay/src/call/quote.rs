//! Texts and numbers as `strace` writes them.

use std::fmt::Write as _;

/// A text in double quotes, at most `limit` bytes of it; `...` behind it where it is not all.
pub(super) fn string(out: &mut String, bytes: &[u8], limit: usize, cut: bool) {
    let shown = bytes.get(..limit).unwrap_or(bytes);
    out.push('"');
    escaped(out, shown, b"\"");
    out.push('"');
    if cut || shown.len() < bytes.len() {
        out.push_str("...");
    }
}

/// What a descriptor refers to: `</data/wal>`, `<TCP:[10.0.0.2:80->10.0.0.9:5012]>`.
pub(super) fn descriptor(out: &mut String, name: &[u8]) {
    out.push('<');
    // A path may hold angle brackets; in the names of sockets the arrow is strace's own.
    escaped(out, name, if name.starts_with(b"/") { b"<>\"" } else { b"" });
    out.push('>');
}

/// Bytes with `strace`'s escapes: what C has a letter for, else octal, as short as what follows allows.
pub(super) fn escaped(out: &mut String, bytes: &[u8], also: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'"' if also.contains(&b'"') => out.push_str("\\\""),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b' '..=b'~' if !also.contains(byte) => out.push(char::from(*byte)),
            byte => {
                let digit_follows = matches!(bytes.get(index + 1), Some(b'0'..=b'7'));
                let _ = if digit_follows {
                    write!(out, "\\{byte:03o}")
                } else {
                    write!(out, "\\{byte:o}")
                };
            }
        }
    }
}

/// Bytes in hex, each with its own escape: what `strace` does with random ones.
pub(super) fn hex_string(bytes: &[u8], limit: usize, cut: bool) -> String {
    let shown = bytes.get(..limit).unwrap_or(bytes);
    let mut out = String::from("\"");
    for byte in shown {
        let _ = write!(out, "\\x{byte:02x}");
    }
    out.push('"');
    if cut || shown.len() < bytes.len() {
        out.push_str("...");
    }
    out
}

/// `0`, `0x1000`.
pub(super) fn hex(value: u64) -> String {
    if value == 0 {
        "0".to_owned()
    } else {
        format!("{value:#x}")
    }
}

/// Permission bits: `000`, `0644`.
pub(super) fn octal(value: u64) -> String {
    if value == 0 {
        "000".to_owned()
    } else {
        format!("0{value:o}")
    }
}

/// An address: `NULL`, `0x7ffd00001000`.
pub(super) fn pointer(value: u64) -> String {
    if value == 0 {
        "NULL".to_owned()
    } else {
        format!("{value:#x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_strace_does() {
        let quoted = |bytes: &[u8], limit, cut| {
            let mut out = String::new();
            string(&mut out, bytes, limit, cut);
            out
        };
        assert_eq!(
            quoted(b"a\"\\\n\x001\x1b[2J", 100, false),
            r#""a\"\\\n\0001\33[2J""#
        );
        assert_eq!(quoted("\u{202e}".as_bytes(), 100, false), r#""\342\200\256""#);
        assert_eq!(quoted(b"abcdef", 3, false), r#""abc"..."#);
        assert_eq!(quoted(b"abc", 3, false), r#""abc""#);
        assert_eq!(quoted(b"", 3, true), r#"""..."#);
        let mut out = String::new();
        descriptor(&mut out, b"/a<b>");
        descriptor(&mut out, b"TCP:[1->2]");
        assert_eq!(out, r"</a\74b\76><TCP:[1->2]>");
    }
}
