//! The wall-clock stamps of packets as boottime, also while the wall clock is being set.

use nix::time::{ClockId, clock_gettime};
use stillframe_format::BootTime;
use stillframe_format::time::Anchor;

/// A change of the distance between the clocks that is a step and no slew. Between two readings (at most some tens
/// of milliseconds) the kernel's slewing moves them by microseconds.
const STEP: i128 = 1_000_000;
/// For how long after a step stamps from before it may still turn up.
const MEMORY: u64 = 10_000_000_000;

/// Reads the clocks as a bracket. `None` when a clock can't be read, which no kernel since 2.6.39 does.
pub(super) fn read_anchor() -> Option<Anchor> {
    let read = |clock| {
        let time = clock_gettime(clock).ok()?;
        Some(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
    };
    let before = read(ClockId::CLOCK_BOOTTIME)?;
    let realtime = read(ClockId::CLOCK_REALTIME)?;
    let monotonic = read(ClockId::CLOCK_MONOTONIC)?;
    let after = read(ClockId::CLOCK_BOOTTIME)?;
    Some(Anchor {
        boottime: BootTime(u64::try_from(before.midpoint(after)).ok()?),
        realtime: i64::try_from(realtime).ok()?,
        monotonic: u64::try_from(monotonic).ok()?,
        error: u64::try_from((after - before) / 2 + 1).ok()?,
    })
}

/// Converts stamps by the newest anchor, or by the one before the last step of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    now: Anchor,
    /// The last anchor before a step, and when the step was noticed.
    before_step: Option<(Anchor, BootTime)>,
}

impl Stamps {
    pub(super) fn new(now: Anchor) -> Self {
        Self {
            now,
            before_step: None,
        }
    }

    /// Takes a newer anchor, read after the packets that are converted next were stamped.
    pub(super) fn update(&mut self, anchor: Anchor) {
        if (distance(&anchor) - distance(&self.now)).abs() > STEP {
            self.before_step = Some((self.now, anchor.boottime));
        } else if self
            .before_step
            .is_some_and(|(_, noticed)| anchor.boottime.since(noticed) > MEMORY)
        {
            self.before_step = None;
        }
        self.now = anchor;
    }

    pub(super) fn now(&self) -> BootTime {
        self.now.boottime
    }

    /// The moment of a stamp that was made before the newest anchor was read.
    pub(super) fn boottime(&self, realtime: i64) -> BootTime {
        let new = self.now.boottime_at(realtime);
        let Some((anchor, noticed)) = &self.before_step else {
            return new;
        };
        let old = anchor.boottime_at(realtime);
        let made_before = if distance(&self.now) > distance(anchor) {
            // Set forward: by the old anchor, a stamp from after the step lies in the future of the step.
            old <= *noticed
        } else {
            // Set back: by the new anchor, a stamp from before the step lies in the future. Stamps that both
            // anchors find possible are taken for new ones: packets don't lie in the ring for long.
            new > self.now.boottime
        };
        if made_before { old } else { new }
    }
}

/// What the wall clock is ahead of boottime.
fn distance(anchor: &Anchor) -> i128 {
    i128::from(anchor.realtime) - i128::from(anchor.boottime.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn anchor(seconds: i64, ahead: i64) -> Anchor {
        let boottime = seconds * SECOND;
        Anchor {
            boottime: BootTime(boottime as u64),
            realtime: boottime + ahead,
            monotonic: 0,
            error: 1,
        }
    }

    fn after_step(by: i64) -> Stamps {
        let mut stamps = Stamps::new(anchor(100, 5_000 * SECOND));
        stamps.update(anchor(101, 5_000 * SECOND + by));
        stamps
    }

    /// What the stamp of a packet at this boottime shows.
    fn stamp(milliseconds: i64, ahead: i64) -> i64 {
        milliseconds * 1_000_000 + ahead
    }

    #[test]
    fn packets_keep_their_moment_when_the_wall_clock_is_set() {
        for by in [3600 * SECOND, 2 * SECOND, -2 * SECOND, -3600 * SECOND] {
            let mut stamps = after_step(by);
            let before = stamp(100_500, 5_000 * SECOND);
            let after = stamp(100_990, 5_000 * SECOND + by);
            assert_eq!(
                stamps.boottime(before),
                BootTime(100_500_000_000),
                "stepped by {by}"
            );
            assert_eq!(
                stamps.boottime(after),
                BootTime(100_990_000_000),
                "stepped by {by}"
            );
            stamps.update(anchor(102, 5_000 * SECOND + by));
            assert_eq!(
                stamps.boottime(stamp(101_700, 5_000 * SECOND + by)),
                BootTime(101_700_000_000)
            );
            stamps.update(anchor(200, 5_000 * SECOND + by));
            assert!(stamps.before_step.is_none(), "the step is long ago");
        }
    }

    #[test]
    fn slewing_is_no_step() {
        assert!(after_step(500_000).before_step.is_none());
    }

    #[test]
    fn the_clocks_of_this_machine_make_an_anchor() {
        let first = read_anchor().unwrap();
        let second = read_anchor().unwrap();
        assert!(first.boottime <= second.boottime && first.boottime.0 > 0);
        assert!(first.realtime > 1_600_000_000 * SECOND, "after 2020");
    }
}
