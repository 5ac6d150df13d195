//! Times and sizes as people type and read them: `1h30m`, `500ms`, `16M`.

use std::time::Duration;

const TIME_HELP: &str = "give a time such as 500ms, 30s, 5m, 1h30m, or a number of seconds";
const SIZE_HELP: &str = "give a size such as 65536, 64K, 16M or 1G (1 K is 1024 bytes)";

/// Units of time from the largest to the smallest, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u32); 4] = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];

/// Reads a time: numbers with units, the larger unit first and each at most once, or a number of seconds.
///
/// # Errors
/// What was expected.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || TIME_HELP.to_owned();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: u64 = text.parse().map_err(|_| wrong())?;
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = split_where(rest, |byte| !byte.is_ascii_digit());
        let (unit, after) = split_where(after, |byte| byte.is_ascii_digit());
        // The iterator only goes on, so that `30m1h` and `1h2h` are errors: they are slips more often than sums.
        let (_, scale) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        total = number
            .checked_mul(*scale)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size in bytes, with `K`, `M`, `G` or `T` (or `KiB` …), all powers of 1024.
///
/// # Errors
/// What was expected. `KB` is refused: to some it is 1000.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || SIZE_HELP.to_owned();
    let (digits, unit) = split_where(text, |byte| !byte.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start().to_ascii_uppercase();
    let shift = match unit.strip_suffix("IB").unwrap_or(&unit) {
        "" if unit.is_empty() => 0,
        "B" => 0,
        name => SIZE_UNITS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, shift)| *shift)
            .ok_or_else(wrong)?,
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A time as `parse_time` reads it, whole milliseconds.
#[must_use]
pub fn show_time(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, scale) in TIME_UNITS {
        if rest >= scale {
            text.push_str(&format!("{}{name}", rest / scale));
            rest %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size for people: whole where it is whole, else with one digit after the point, rounded down.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    for (name, shift) in SIZE_UNITS.iter().rev() {
        let unit = 1_u64 << shift;
        if bytes >= unit {
            let (whole, tenth) = (bytes / unit, (bytes % unit) * 10 / unit);
            return if tenth == 0 {
                format!("{whole} {name}iB")
            } else {
                format!("{whole}.{tenth} {name}iB")
            };
        }
    }
    format!("{bytes} bytes")
}

fn split_where(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(ends).unwrap_or(text.len());
    // A byte of a longer character is no digit, so the cut can only fall inside one when the text is wrong anyway.
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_they_are_typed() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1m1s1ms", 61_001),
            ("0", 0),
        ] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_was_expected() {
        for text in [
            "",
            "soon",
            "s",
            "5x",
            "30m1h",
            "1h2h",
            "-5s",
            "1.5s",
            "5 m",
            "5s5",
            "5é",
            "99999999999999999999",
            "999999999999999999d",
        ] {
            assert_eq!(parse_time(text), Err(TIME_HELP.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("12B", 12),
            ("3M", 3 << 20),
            ("3m", 3 << 20),
            ("64KiB", 64 << 10),
            ("1 GiB", 1 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "3MB", "3x", "-1", "1.5G", "1iB", "99999999999T", "3é"] {
            assert_eq!(parse_size(text), Err(SIZE_HELP.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for milliseconds in [0, 1, 500, 30_000, 90_000, 5_400_000, 86_400_000, 90_061_001] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(parse_time(&show_time(time)), Ok(time));
        }
        assert_eq!(show_time(Duration::from_secs(30)), "30s");
    }

    #[test]
    fn a_size_is_never_shown_larger_than_it_is() {
        assert_eq!(show_size(1 << 30), "1 GiB");
        assert_eq!(show_size((1 << 30) - 1), "1023.9 MiB");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(7), "7 bytes");
    }
}
