//! The one place where text from a bundle is made safe for a terminal.
//!
//! A bundle's paths, arguments, logs and names may come from an attacker. Whatever is shown to a person passes
//! through here, so that no byte of it can move the cursor, recolour or retitle the terminal, hide text or turn
//! its direction around. What is escaped: C0 and C1 controls, DEL, bidirectional controls, line and paragraph
//! separators, invisible tag and annotation characters, and bytes that are not UTF-8.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character may not reach a terminal as it is.
#[must_use]
pub fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// One line of text without anything a terminal would obey. Backslashes stay as they are: this is for text that
/// was already put together for reading.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_dangerous(character) {
            push_escaped(&mut out, character);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Bytes as one line of text: as [`line()`], and bytes that are not UTF-8 as `\xNN`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return line(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// JSON text that is safe on a terminal and means the same: what JSON allows raw inside strings but a terminal
/// would obey is written as `\uXXXX`.
#[must_use]
pub fn json(text: String) -> String {
    if text.is_ascii() && !text.contains('\u{7f}') {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_dangerous(character) && character != '\n' {
            let mut units = [0u16; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_named() {
        assert_eq!(
            line("a\u{1b}[2Jb\r\n\t\u{7f}\u{9b}"),
            "a\\x1b[2Jb\\r\\n\\t\\x7f\\x9b"
        );
        assert_eq!(line("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(line("größe \\ ok"), "größe \\ ok");
        assert_eq!(bytes(b"ok\xff\xfe\x1b"), "ok\\xff\\xfe\\x1b");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"k\u{9b}": "a\u{202e}b\u{7f}\u{e0041}ü"});
        let text = json(value.to_string());
        assert!(!text.chars().any(is_dangerous));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_out(data in prop::collection::vec(any::<u8>(), 0..200), text in ".*") {
            prop_assert!(!bytes(&data).chars().any(is_dangerous));
            prop_assert!(!line(&text).chars().any(is_dangerous));
        }
    }
}
