//! Moments as they are typed: `2026-11-24T14:03:07.2Z`, `14:03:07.2`, `+5s`, `-200ms`, `@EPOCH`, `#EVENT`, `40%`.

use crate::view::Context;
use crate::zone::{CivilError, Zone};
use jiff::civil::{DateTime, Time};
use std::str::FromStr;
use stillframe_format::BootTime;

/// A moment as it was typed, not yet tied to a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Wall-clock time: nanoseconds since 1970.
    Wall(i64),
    /// A time of day in a zone, of the day that the bundle covers.
    TimeOfDay(Time, Zone),
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
    #[error("moment: `{0}` has no time zone (append Z for UTC, or give --tz)")]
    Zone(String),
    /// It is no moment of its zone, or two.
    #[error("moment: `{time}` in {zone} {problem}")]
    Civil {
        /// What was typed.
        time: String,
        /// The zone.
        zone: String,
        /// What is wrong.
        problem: CivilError,
    },
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
        Self::parse_in(text, None)
    }
}

impl Moment {
    /// Reads a moment. A time without a zone is one of `zone`; without that, a time of day is UTC, and a date and time is
    /// refused: nothing is guessed.
    ///
    /// # Errors
    /// What it is not, or why it names no moment.
    pub fn parse_in(text: &str, zone: Option<&Zone>) -> Result<Self, MomentError> {
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
        let is_time = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
        if is_time && text.contains(':') {
            let time = text.parse::<Time>().map_err(|_| form())?;
            return Ok(Self::TimeOfDay(time, zone.cloned().unwrap_or_default()));
        }
        // jiff reads what stands behind the time too, and `[Europe/Berlin]` there would be ignored.
        match text.parse::<DateTime>() {
            Ok(time) if !text.contains('[') => match zone {
                Some(zone) => civil(time, zone, text).map(Self::Wall),
                None => Err(MomentError::Zone(crate::escape::line(text).into_owned())),
            },
            _ => Err(form()),
        }
    }

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
            Self::TimeOfDay(time, zone) => {
                let date = |at| context.realtime(at).and_then(|stamp| zone.day(stamp));
                let (day, _) = date(context.start).ok_or(MomentError::NoAnchor)?;
                if date(context.end).is_none_or(|(last, _)| last != day) {
                    return Err(MomentError::SeveralDays(time.to_string()));
                }
                wall(civil(day.to_datetime(*time), zone, &time.to_string())?)
            }
        }
    }
}

/// The one moment that a date and time names in a zone.
fn civil(time: DateTime, zone: &Zone, text: &str) -> Result<i64, MomentError> {
    zone.moment(time).map_err(|problem| MomentError::Civil {
        time: crate::escape::line(text).into_owned(),
        zone: zone.name().to_owned(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, BOOT, START};
    use proptest::prelude::*;
    use stillframe_format::time::{Anchor, Anchors};

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
    fn a_zone_that_is_given_is_that_of_times_without_one() {
        let place = |text: &str, zone: &str| {
            let zone: Zone = zone.parse().unwrap();
            Moment::parse_in(text, Some(&zone))?.resolve(&fixture::context())
        };
        for (text, zone) in [
            ("15:03:07.2", "+01:00"),
            ("15:03:07.2", "Europe/Berlin"),
            ("2026-11-24T15:03:07.2", "Europe/Berlin"),
            ("2026-11-24 15:03:07.2", "+01:00"),
            ("2026-11-24T14:03:07.2Z", "Europe/Berlin"),
            ("2026-11-25T03:03:07.2", "+13:00"),
            ("03:03:07.2", "+13:00"),
            ("14:03:07.2", "UTC"),
            ("2026-11-24T14:03:07.2", "UTC"),
        ] {
            assert_eq!(place(text, zone), after(200_000_000), "{text} {zone}");
        }
        // What comes twice is refused, whether its day is typed or the bundle's.
        let twice = place("2026-10-25T02:30:00", "Europe/Berlin").unwrap_err();
        assert!(
            twice.to_string().contains("comes twice there") && twice.to_string().contains("+02:00 or +01:00"),
            "{twice}"
        );
        let never = place("2026-03-29T02:30:00", "Europe/Berlin").unwrap_err();
        assert!(never.to_string().contains("is no time there"), "{never}");
        let mut context = fixture::context();
        context.anchors = Anchors::new(vec![Anchor {
            boottime: BootTime(BOOT),
            realtime: 1_792_888_200_000_000_000,
            monotonic: BOOT,
            error: 1,
        }]);
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let moment = Moment::parse_in("02:30:05", Some(&berlin)).unwrap();
        assert!(matches!(moment.resolve(&context), Err(MomentError::Civil { .. })));
        let moment = Moment::parse_in("00:30:05", None).unwrap();
        assert_eq!(moment.resolve(&context), after(5_000_000_000));
        // A day of one zone may be two of another.
        context.anchors = fixture::context().anchors;
        context.end = BootTime(BOOT + 3600 * 1_000_000_000);
        let tonga: Zone = "+09:30".parse().unwrap();
        let moment = Moment::parse_in("23:40", Some(&tonga)).unwrap();
        assert!(matches!(
            moment.resolve(&context),
            Err(MomentError::SeveralDays(_))
        ));
        assert!(Moment::parse_in("14:10", None).unwrap().resolve(&context).is_ok());
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
