//! Times, and the anchors that tie the clocks together (`docs/format.md`, "Clocks").
//!
//! Every time in a bundle is nanoseconds of `CLOCK_BOOTTIME`. Wall-clock times are never stored as an event's
//! time; they are computed from the anchor that was in force.

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since the host booted, suspend included (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// Nanoseconds from `earlier` to `self`, zero when `self` is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved by `nanoseconds`, held at the ends of the range.
    #[must_use]
    pub fn offset(self, nanoseconds: i64) -> Self {
        Self(self.0.saturating_add_signed(nanoseconds))
    }
}

/// One reading of the clocks together: what `CLOCK_REALTIME` and `CLOCK_MONOTONIC` showed at `boottime`.
///
/// The reading is a bracket: boottime is read before and after the others, `boottime` is the middle and
/// `error` is half of the width, so a converted time is right to within `error` nanoseconds of the host's own
/// wall clock (which may itself be wrong; nothing here can tell).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boottime: BootTime,
    /// Nanoseconds of `CLOCK_REALTIME` since 1970-01-01T00:00:00Z.
    pub realtime: i64,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub monotonic: u64,
    /// Half of the bracket's width, in nanoseconds.
    pub error: u64,
}

impl Anchor {
    /// The wall-clock time (nanoseconds since 1970, UTC) of `time`, by this anchor.
    #[must_use]
    pub fn realtime_at(&self, time: BootTime) -> i64 {
        let delta = i128::from(time.0) - i128::from(self.boottime.0);
        saturate(i128::from(self.realtime) + delta)
    }

    /// The moment at which the wall clock showed `realtime`, by this anchor.
    #[must_use]
    pub fn boottime_at(&self, realtime: i64) -> BootTime {
        let value = i128::from(self.boottime.0) + i128::from(realtime) - i128::from(self.realtime);
        BootTime(u64::try_from(value.max(0)).unwrap_or(u64::MAX))
    }

    /// The moment at which `CLOCK_MONOTONIC` showed `monotonic` nanoseconds, by this anchor.
    #[must_use]
    pub fn boottime_at_monotonic(&self, monotonic: u64) -> BootTime {
        let value = i128::from(self.boottime.0) + i128::from(monotonic) - i128::from(self.monotonic);
        BootTime(u64::try_from(value.max(0)).unwrap_or(u64::MAX))
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// The anchors of a bundle, oldest first, and the conversion through them.
///
/// Between two anchors the earlier one holds: a step of the wall clock shows at the anchor that was taken when
/// it happened, and times before it keep the wall clock they were made under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors(Vec<Anchor>);

impl Anchors {
    /// Anchors in any order; they are sorted by boottime.
    #[must_use]
    pub fn new(mut anchors: Vec<Anchor>) -> Self {
        anchors.sort_by_key(|anchor| anchor.boottime);
        Self(anchors)
    }

    /// Adds an anchor, in its place.
    pub fn push(&mut self, anchor: Anchor) {
        let at = self.0.partition_point(|other| other.boottime <= anchor.boottime);
        self.0.insert(at, anchor);
    }

    /// The anchor in force at `time`: the newest at or before it, or the first of all. `None` when empty.
    #[must_use]
    pub fn at(&self, time: BootTime) -> Option<&Anchor> {
        let after = self.0.partition_point(|anchor| anchor.boottime <= time);
        self.0.get(after.saturating_sub(1))
    }

    /// The wall-clock time of `time` in nanoseconds since 1970, UTC. `None` when there is no anchor.
    #[must_use]
    pub fn realtime(&self, time: BootTime) -> Option<i64> {
        self.at(time).map(|anchor| anchor.realtime_at(time))
    }

    /// The last moment at which the wall clock showed `realtime` or less. `None` when there is no anchor.
    #[must_use]
    pub fn boottime(&self, realtime: i64) -> Option<BootTime> {
        let anchor = self
            .0
            .iter()
            .rev()
            .find(|anchor| anchor.realtime <= realtime)
            .or(self.0.first())?;
        Some(anchor.boottime_at(realtime))
    }

    /// The anchors, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Anchor] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(boottime: u64, realtime: i64) -> Anchor {
        Anchor {
            boottime: BootTime(boottime),
            realtime,
            monotonic: boottime,
            error: 10,
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_only_what_follows_it() {
        let anchors = Anchors::new(vec![anchor(2_000, 500), anchor(1_000, 1_000)]);
        assert_eq!(anchors.realtime(BootTime(1_500)), Some(1_500));
        assert_eq!(anchors.realtime(BootTime(2_500)), Some(1_000));
        assert_eq!(
            anchors.realtime(BootTime(0)),
            Some(0),
            "before the first anchor the first one holds"
        );
    }

    #[test]
    fn conversion_saturates_at_the_ends() {
        let anchors = Anchors::new(vec![anchor(1_000, 1_000)]);
        assert_eq!(anchors.realtime(BootTime(u64::MAX)), Some(i64::MAX));
        assert_eq!(anchors.boottime(i64::MIN), Some(BootTime(0)));
        assert_eq!(Anchors::default().realtime(BootTime(1)), None);
    }
}
