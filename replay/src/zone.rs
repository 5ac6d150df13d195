//! Time zones: in which one times are shown to people, and moments without a zone are meant.
//!
//! Programs get UTC whatever is asked for. Rules come from the system's own database: a bundle of last year is shown by
//! the rules of that day as the system knows them, and nothing grows old inside this binary.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use std::str::FromStr;

const SECOND: i64 = 1_000_000_000;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

/// Why text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No zone has the name.
    #[error(
        "`{0}` is not a time zone (give UTC, local, an offset such as +02:00, or a name such as Europe/Berlin)"
    )]
    Unknown(String),
    /// There is no database to look names up in.
    #[error(
        "`{0}` cannot be looked up: this system has no time zone database (install tzdata, set TZDIR, or give an offset such as +02:00)"
    )]
    NoDatabase(String),
    /// The system's own zone is not known.
    #[error("the system's time zone is not known: {0} (set TZ, or give an offset such as +02:00)")]
    Local(String),
}

/// Why a date and a time of day name no moment in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CivilError {
    /// The clocks were set back: it comes twice, with these offsets.
    Twice(Offset, Offset),
    /// The clocks were set forward over it.
    Never,
    /// Out of the range that can be told.
    Range,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            name: "UTC".to_owned(),
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let shown = || crate::escape::line(text.get(..60).unwrap_or(text)).into_owned();
        if matches!(text, "UTC" | "utc" | "Z") {
            return Ok(Self::default());
        }
        if text == "local" {
            let zone = TimeZone::try_system()
                .map_err(|error| ZoneError::Local(crate::escape::line(&error.to_string()).into_owned()))?;
            let name = zone.iana_name().unwrap_or("local").to_owned();
            return Ok(Self { zone, name });
        }
        if text.starts_with(['+', '-']) {
            let offset = offset(text).ok_or_else(|| ZoneError::Unknown(shown()))?;
            return Ok(Self {
                zone: offset.to_time_zone(),
                name: offset_name(offset),
            });
        }
        if jiff::tz::db().is_definitively_empty() {
            return Err(ZoneError::NoDatabase(shown()));
        }
        // Only names: what looks like a path to elsewhere is none.
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
        match TimeZone::get(text) {
            Ok(zone) if is_name && !text.is_empty() => Ok(Self {
                name: zone.iana_name().unwrap_or(text).to_owned(),
                zone,
            }),
            _ => Err(ZoneError::Unknown(shown())),
        }
    }
}

/// `+02:00`, `-0530`, `+2`.
fn offset(text: &str) -> Option<Offset> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |text: &str| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_short.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// An offset as RFC 3339 writes it.
fn offset_name(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

impl Zone {
    /// Its name: `UTC`, `Europe/Berlin`, `+02:00`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is UTC, which is written as `Z`.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.zone == TimeZone::UTC
    }

    fn local(&self, realtime: i64) -> Option<(DateTime, Offset)> {
        let stamp = Timestamp::from_nanosecond(i128::from(realtime)).ok()?;
        let offset = self.zone.to_offset(stamp);
        Some((offset.to_datetime(stamp), offset))
    }

    /// A wall-clock moment (nanoseconds since 1970) as RFC 3339 with nine digits, in the zone.
    #[must_use]
    pub fn stamp(&self, realtime: i64) -> String {
        if self.is_utc() {
            return crate::value::rfc3339(realtime);
        }
        match self.local(realtime) {
            Some((time, offset)) => format!("{time:.9}{}", offset_name(offset)),
            None => crate::value::rfc3339(realtime),
        }
    }

    /// The day of a moment in the zone, and the offset in force; two moments that have both in common are told apart by
    /// their times of day.
    #[must_use]
    pub fn day(&self, realtime: i64) -> Option<(Date, Offset)> {
        let (time, offset) = self.local(realtime)?;
        Some((time.date(), offset))
    }

    /// The moment that a date and a time of day name.
    ///
    /// # Errors
    /// When there are two, or none.
    pub fn moment(&self, time: DateTime) -> Result<i64, CivilError> {
        let ambiguous = self.zone.to_ambiguous_timestamp(time);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {}
            AmbiguousOffset::Fold { before, after } => return Err(CivilError::Twice(before, after)),
            AmbiguousOffset::Gap { .. } => return Err(CivilError::Never),
        }
        let stamp = ambiguous.unambiguous().map_err(|_| CivilError::Range)?;
        i64::try_from(stamp.as_nanosecond()).map_err(|_| CivilError::Range)
    }

    /// The zone's offset from UTC in seconds at a moment, and where it changes up to another one.
    #[must_use]
    pub fn offsets(&self, from: i64, to: i64) -> Vec<(i64, i32)> {
        /// Two a year: more is a recording that nobody made.
        const CHANGES_MAX: usize = 64;
        let Ok(stamp) = Timestamp::from_nanosecond(i128::from(from)) else {
            return Vec::new();
        };
        let mut offsets = vec![(from, self.zone.to_offset(stamp).seconds())];
        for change in self.zone.following(stamp).take(CHANGES_MAX) {
            let at = change.timestamp().as_second().saturating_mul(SECOND);
            if at > to {
                break;
            }
            offsets.push((at, change.offset().seconds()));
        }
        offsets
    }
}

impl std::fmt::Display for CivilError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Twice(before, after) => write!(
                out,
                "comes twice there, because clocks were set back (append {} or {})",
                offset_name(*before),
                offset_name(*after)
            ),
            Self::Never => out.write_str("is no time there, because clocks were set forward over it"),
            Self::Range => out.write_str("is out of range"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-10-25T00:30:00Z: half past two in Berlin, for the first time.
    const FOLD: i64 = 1_792_888_200 * SECOND;

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    #[test]
    fn offsets_are_read_and_written() {
        for (text, name) in [
            ("+02:00", "+02:00"),
            ("-05:30", "-05:30"),
            ("-0530", "-05:30"),
            ("+2", "+02:00"),
            ("UTC", "UTC"),
            ("Z", "UTC"),
        ] {
            assert_eq!(zone(text).name(), name, "{text}");
        }
        assert_eq!(zone("+02:00").stamp(0), "1970-01-01T02:00:00.000000000+02:00");
        assert_eq!(zone("-05:30").stamp(1), "1969-12-31T18:30:00.000000001-05:30");
        assert_eq!(Zone::default().stamp(1), "1970-01-01T00:00:00.000000001Z");
        for text in [
            "",
            "+",
            "+24:00",
            "+1:2",
            "+123",
            "+02:60",
            "Mars/Olympus",
            "../UTC",
            "+02:00\u{1b}",
        ] {
            let error = text.parse::<Zone>().unwrap_err();
            assert!(matches!(error, ZoneError::Unknown(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_named_zone_follows_its_rules_and_knows_what_comes_twice() {
        let berlin = zone("Europe/Berlin");
        assert_eq!(berlin.stamp(FOLD), "2026-10-25T02:30:00.000000000+02:00");
        assert_eq!(
            berlin.stamp(FOLD + 3600 * SECOND),
            "2026-10-25T02:30:00.000000000+01:00"
        );
        let at = |text: &str| berlin.moment(text.parse().unwrap());
        assert_eq!(at("2026-10-25T01:30:00"), Ok(FOLD - 3600 * SECOND));
        let twice = at("2026-10-25T02:30:00").unwrap_err();
        assert!(twice.to_string().contains("append +02:00 or +01:00"), "{twice}");
        assert_eq!(at("2026-03-29T02:30:00"), Err(CivilError::Never));
        assert_ne!(berlin.day(FOLD), berlin.day(FOLD + 3600 * SECOND));
        assert_eq!(
            berlin.offsets(FOLD, FOLD + 7200 * SECOND),
            [(FOLD, 7200), (FOLD + 1800 * SECOND, 3600)]
        );
        assert_eq!(zone("+02:00").offsets(FOLD, i64::MAX), [(FOLD, 7200)]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(realtime: i64, minutes in -1439i32..=1439) {
            let sign = if minutes < 0 { '-' } else { '+' };
            let text = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
            let stamp = zone(&text).stamp(realtime);
            // Two centuries around: jiff's own range ends there.
            let back: Timestamp = stamp.parse().unwrap();
            prop_assert_eq!(back.as_nanosecond(), i128::from(realtime));
        }

        #[test]
        fn garbage_never_panics(text in "\\PC*|[-+:0-9A-Za-z/]{0,12}") {
            let _ = text.parse::<Zone>();
        }
    }
}
