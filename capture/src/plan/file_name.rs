//! The name that a bundle gets when none is given: `web-20261124T140307Z.capture.tar.zst`.

use jiff::Timestamp;

/// What a bundle's name ends with.
const SUFFIX: &str = ".capture.tar.zst";

/// Bytes kept of what was captured: with the time, the suffix and `.partial` a name stays far below the 255 of
/// Linux file systems.
const NAME_LIMIT: usize = 100;

/// A name for a bundle of `subjects`, of which the first one stands for all.
#[must_use]
pub fn default_name(subjects: &[String], now: Timestamp) -> String {
    let first = subjects.first().map_or("capture", String::as_str);
    let more = match subjects.len() {
        0 | 1 => String::new(),
        count => format!("-and-{}-more", count - 1),
    };
    // `Timestamp` is printed in UTC.
    format!("{}{more}-{}{SUFFIX}", safe(first), now.strftime("%Y%m%dT%H%M%SZ"))
}

/// Only characters that no shell, file system or terminal takes for more than they are, and no leading dot (hidden)
/// or dash (an option).
fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() || "._-".contains(one) {
                one
            } else {
                '_'
            }
        })
        .take(NAME_LIMIT)
        .collect();
    if safe.is_empty() || safe.starts_with(['.', '-']) {
        safe.insert(0, '_');
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(subjects: &[&str]) -> String {
        let subjects: Vec<String> = subjects.iter().map(|&name| name.to_owned()).collect();
        default_name(&subjects, "2026-11-24T14:03:07.9Z".parse().unwrap())
    }

    #[test]
    fn it_says_what_and_when() {
        assert_eq!(name(&["web"]), "web-20261124T140307Z.capture.tar.zst");
        assert_eq!(
            name(&["web", "db", "x"]),
            "web-and-2-more-20261124T140307Z.capture.tar.zst"
        );
    }

    #[test]
    fn nothing_in_it_can_be_a_path_an_option_or_an_escape() {
        for hostile in ["../../etc/x", "-rf", ".hidden", "a b\n\u{1b}[2J", "", "é\u{202e}"] {
            let name = name(&[hostile]);
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                    && !name.starts_with(['.', '-']),
                "{hostile:?} gave {name}"
            );
        }
        assert!(name(&["x".repeat(4_000).as_str()]).len() < 200);
    }
}
