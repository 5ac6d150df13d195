//! Moments as they are typed: `2026-11-24T14:03:07.2Z`, `14:03:07.2`, `+5s`, `-200ms`, `@EPOCH`, `#EVENT`, `40%`.

use crate::view::Context;
use std::str::FromStr;
use stillframe_format::BootTime;

const DAY: i64 = 86_400_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// A moment as it was typed, not yet tied to a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Wall-clock time: nanoseconds since 1970.
    Wall(i64),
    /// Nanoseconds since midnight, UTC.
    TimeOfDay(i64),
    /// Nanoseconds from the start of the recording.
    FromStart(i64),
    /// Nanoseconds back from its end.
    BeforeEnd(i64),
    /// An event's number.
    Event(u64),
    /// Ten-thousandths of a percent of the recorded time.
    Share(u32),
}

/// Why text is no moment, or names none in this bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// It is none of the forms.
    #[error(
        "moment: `{0}` is not a moment (give 2026-11-24T14:03:07.2Z, 14:03:07.2, +5s, -200ms, @EPOCH, #EVENT or 40%)"
    )]
    Form(String),
    /// A date and time without a zone.
    #[error("moment: `{0}` has no time zone (append Z for UTC)")]
    Zone(String),
    /// A time of day where the bundle covers more than one day.
    #[error("moment: `{0}` names no day, and the bundle covers more than one (give the date, or #EVENT)")]
    SeveralDays(String),
    /// The bundle has no anchor.
    #[error(
        "moment: the bundle has no clock anchor, so wall-clock times cannot be found (give +5s or #EVENT)"
    )]
    NoAnchor,
}

/// A place in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A time.
    Time(BootTime),
    /// An event's number.
    Event(u64),
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let form = || MomentError::Form(crate::escape::line(text.get(..60).unwrap_or(text)).into_owned());
        let span = |text: &str| {
            let needs_unit = text.bytes().any(|byte| byte != b'0' && !byte.is_ascii_digit());
            let value = if needs_unit {
                crate::filter::duration(text)
            } else {
                // A bare number here means seconds: `+5`.
                crate::filter::duration(&format!("{text}s"))
            };
            value
                .and_then(|value| i64::try_from(value).ok())
                .filter(|value| *value >= 0)
        };
        if let Some(rest) = text.strip_prefix('+') {
            return span(rest).map(Self::FromStart).ok_or_else(form);
        }
        if let Some(rest) = text.strip_prefix('-') {
            return span(rest).map(Self::BeforeEnd).ok_or_else(form);
        }
        if let Some(rest) = text.strip_prefix('#') {
            return rest.parse().map(Self::Event).map_err(|_| form());
        }
        if let Some(rest) = text.strip_prefix('@') {
            return crate::filter::seconds(rest)
                .and_then(|value| i64::try_from(value).ok())
                .map(Self::Wall)
                .ok_or_else(form);
        }
        if let Some(rest) = text.strip_suffix('%') {
            return crate::filter::seconds(rest)
                .map(|value| value / 100_000)
                .and_then(|value| u32::try_from(value).ok())
                .filter(|value| *value <= 1_000_000)
                .map(Self::Share)
                .ok_or_else(form);
        }
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return i64::try_from(stamp.as_nanosecond())
                .map(Self::Wall)
                .map_err(|_| form());
        }
        if text.parse::<jiff::civil::DateTime>().is_ok() {
            return Err(MomentError::Zone(text.to_owned()));
        }
        let is_time = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
        match text.parse::<jiff::civil::Time>() {
            Ok(time) if is_time && text.contains(':') => {
                let seconds =
                    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
                Ok(Self::TimeOfDay(
                    seconds * SECOND + i64::from(time.subsec_nanosecond()),
                ))
            }
            _ => Err(form()),
        }
    }
}

impl Moment {
    /// The place in a bundle that the moment names. It may lie before the first or behind the last event.
    ///
    /// # Errors
    /// For a time of day in a bundle of several days, and wall-clock times in a bundle without anchors.
    pub fn resolve(&self, context: &Context) -> Result<Place, MomentError> {
        let length = context.end.since(context.start);
        let wall = |realtime| {
            context
                .anchors
                .boottime(realtime)
                .map(Place::Time)
                .ok_or(MomentError::NoAnchor)
        };
        match self {
            Self::Event(number) => Ok(Place::Event(*number)),
            Self::FromStart(span) => Ok(Place::Time(context.start.offset(*span))),
            Self::BeforeEnd(span) => Ok(Place::Time(context.end.offset(-span))),
            Self::Share(share) => {
                let at = u128::from(length) * u128::from(*share) / 1_000_000;
                let at = u64::try_from(at).unwrap_or(length);
                Ok(Place::Time(BootTime(context.start.0.saturating_add(at))))
            }
            Self::Wall(realtime) => wall(*realtime),
            Self::TimeOfDay(time) => {
                let start = context.realtime(context.start).ok_or(MomentError::NoAnchor)?;
                if !context.is_one_day() {
                    let text = crate::value::rfc3339(*time);
                    let text = text.get(11..).unwrap_or_default().trim_end_matches('Z');
                    let text = text.trim_end_matches('0').trim_end_matches('.');
                    return Err(MomentError::SeveralDays(text.to_owned()));
                }
                wall((start - start.rem_euclid(DAY)).saturating_add(*time))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, BOOT, START};
    use proptest::prelude::*;

    fn place(text: &str) -> Result<Place, MomentError> {
        text.parse::<Moment>()?.resolve(&fixture::context())
    }

    fn after(nanoseconds: u64) -> Result<Place, MomentError> {
        Ok(Place::Time(BootTime(BOOT + nanoseconds)))
    }

    #[test]
    fn every_form_names_its_place() {
        assert_eq!(place("2026-11-24T14:03:07.2Z"), after(200_000_000));
        assert_eq!(place("2026-11-24T15:03:07.2+01:00"), after(200_000_000));
        assert_eq!(place("14:03:07.2"), after(200_000_000));
        assert_eq!(place("14:04"), after(53_000_000_000));
        assert_eq!(place("+5s"), after(5_000_000_000));
        assert_eq!(place("+5"), after(5_000_000_000));
        assert_eq!(place("-200ms"), after(9_800_000_000));
        assert_eq!(place("@1795528987.25"), after(250_000_000));
        assert_eq!(place("40%"), after(4_000_000_000));
        assert_eq!(place("0.5%"), after(50_000_000));
        assert_eq!(place("100%"), after(10_000_000_000));
        assert_eq!(place("#42"), Ok(Place::Event(42)));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "yesterday",
            "+",
            "-5parsecs",
            "#-1",
            "#x",
            "101%",
            "@",
            "25:00",
            "14",
            "+-5s",
            "--5s",
        ] {
            assert!(
                matches!(place(text), Err(MomentError::Form(_))),
                "{text}: {:?}",
                place(text)
            );
        }
        assert!(matches!(place("2026-11-24T14:03:07"), Err(MomentError::Zone(_))));
    }

    #[test]
    fn the_day_is_never_guessed() {
        let mut context = fixture::context();
        context.end = BootTime(BOOT + 10 * 3600 * 1_000_000_000);
        assert_eq!(context.realtime(context.start), Some(START));
        let moment: Moment = "14:03:07.2".parse().unwrap();
        assert_eq!(
            moment.resolve(&context),
            Err(MomentError::SeveralDays("14:03:07.2".to_owned()))
        );
        let nothing = Context::default();
        assert_eq!(moment.resolve(&nothing), Err(MomentError::NoAnchor));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[-+#@%0-9:.TZs]{0,24}|\\PC*") {
            let _ = place(&text);
        }
    }
}
