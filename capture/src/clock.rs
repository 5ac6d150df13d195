//! The host's clocks: readings that tie them together, and a watch for steps of the wall clock.

use crate::source::Stop;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, channel};
use stillframe_format::BootTime;
use stillframe_format::time::{Anchor, Anchors};

/// Readings of which the tightest becomes the anchor: one may be torn by an interrupt.
const TRIES: usize = 8;
/// A change of the distance between wall clock and boottime by more than this (in nanoseconds, on top of the two
/// readings' own error) is a step. Both clocks are slewed alike, so between steps the distance is constant.
const STEP: u64 = 1_000;

/// How often the watch looks whether it is still wanted.
const LOOK_MS: u8 = 100;

/// Now, in nanoseconds of `CLOCK_BOOTTIME`.
#[must_use]
pub fn boottime() -> BootTime {
    BootTime(read(ClockId::CLOCK_BOOTTIME).unsigned_abs())
}

/// Now, in nanoseconds of `CLOCK_REALTIME` since 1970.
#[must_use]
pub fn realtime() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Reads the clocks together: the tightest of several brackets.
#[must_use]
pub fn anchor() -> Anchor {
    let mut best = bracket();
    for _ in 1..TRIES {
        let next = bracket();
        if next.error < best.error {
            best = next;
        }
    }
    best
}

fn bracket() -> Anchor {
    let before = boottime().0;
    let realtime = realtime();
    let monotonic = read(ClockId::CLOCK_MONOTONIC).unsigned_abs();
    let width = boottime().0.saturating_sub(before);
    Anchor {
        boottime: BootTime(before + width / 2),
        realtime,
        monotonic,
        error: width.div_ceil(2),
    }
}

/// These clocks exist in every kernel since 2.6.39, so a failure can only be a sandbox's; 0 then stands for it.
fn read(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec()
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec())
    })
}

/// By how much the wall clock was set between two readings, if it was.
#[must_use]
pub fn step(last: &Anchor, now: &Anchor) -> Option<i64> {
    let expected = last.realtime_at(now.boottime);
    let is_step = expected.abs_diff(now.realtime) > STEP + last.error + now.error;
    is_step.then(|| now.realtime.saturating_sub(expected))
}

/// Converts stamps of the wall clock, made by others a moment ago, into boottime.
///
/// It reads the clocks at every conversion and remembers where they moved against each other, so that a stamp
/// from before a step is converted as the clock stood then.
#[derive(Debug, Default)]
pub struct WallClock {
    anchors: Anchors,
}

impl WallClock {
    /// When the wall clock showed `realtime`; never later than now.
    pub fn boottime(&mut self, realtime: i64) -> BootTime {
        let now = anchor();
        self.learn(now);
        self.anchors
            .boottime(realtime)
            .unwrap_or(now.boottime)
            .min(now.boottime)
    }

    fn learn(&mut self, now: Anchor) {
        let moved = self
            .anchors
            .as_slice()
            .last()
            .is_none_or(|last| step(last, &now).is_some());
        if moved {
            self.anchors.push(now);
        }
    }
}

/// Notices steps of the wall clock as they happen, through a timer that the kernel cancels when it is set
/// (`TFD_TIMER_CANCEL_ON_SET`, fs/timerfd.c; Linux 3.0).
#[derive(Debug)]
pub struct ClockWatch {
    timer: TimerFd,
}

impl ClockWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// What the kernel said; there is no reason that it should refuse.
    pub fn new() -> nix::Result<Self> {
        let timer = TimerFd::new(
            TimerClock::CLOCK_REALTIME,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        // Some 500 years on: it never goes off by itself.
        timer.set(
            Expiration::OneShot(TimeSpec::new(1 << 34, 0)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
        )?;
        Ok(Self { timer })
    }

    /// Waits until the wall clock is set, at most `limit`; reads the clocks at once when it was.
    pub fn step_within(&mut self, limit: PollTimeout) -> Option<Anchor> {
        let mut waited = [PollFd::new(self.timer.as_fd(), PollFlags::POLLIN)];
        // An interrupted poll is a short one.
        let is_set = poll(&mut waited, limit).is_ok_and(|ready| ready > 0);
        // Cancelled reads as `Ok` here, nothing new as EAGAIN. The watch goes on either way.
        (is_set && self.timer.wait().is_ok()).then(anchor)
    }

    /// Watches on a thread of its own, until `stop` or until nobody listens.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn follow(mut self, stop: Stop) -> std::io::Result<Receiver<Anchor>> {
        let (send, steps) = channel();
        std::thread::Builder::new()
            .name("clock".to_owned())
            .spawn(move || {
                while !stop.is_set() {
                    if let Some(anchor) = self.step_within(LOOK_MS.into())
                        && send.send(anchor).is_err()
                    {
                        return;
                    }
                }
            })?;
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_lies_between_two_readings_and_is_tight() {
        let before = boottime();
        let anchor = anchor();
        let after = boottime();
        assert!(before <= anchor.boottime && anchor.boottime <= after);
        assert!(anchor.error < 1_000_000, "{} ns", anchor.error);
        assert!(anchor.monotonic <= anchor.boottime.0 + anchor.error);
        let system = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let distance = system.as_nanos().abs_diff(anchor.realtime.unsigned_abs().into());
        assert!(distance < 1_000_000_000, "{distance} ns from the system's time");
    }

    #[test]
    fn stamps_before_a_step_keep_the_clock_they_were_made_under() {
        let mut clock = WallClock::default();
        let at = |boottime, realtime| Anchor {
            boottime: BootTime(boottime),
            realtime,
            monotonic: boottime,
            error: 10,
        };
        clock.learn(at(1_000, 1_000));
        clock.learn(at(2_000, 2_015));
        assert_eq!(clock.anchors.as_slice().len(), 1, "within the error");
        clock.learn(at(3_000, 1_003_000));
        assert_eq!(clock.anchors.as_slice().len(), 2);
        assert_eq!(clock.anchors.boottime(2_500), Some(BootTime(2_500)));
        assert_eq!(clock.anchors.boottime(1_003_500), Some(BootTime(3_500)));
    }

    #[test]
    fn no_stamp_is_converted_into_the_future() {
        let mut clock = WallClock::default();
        let far = clock.boottime(realtime() + 3_600_000_000_000);
        assert!(far <= boottime());
        let near = clock.boottime(realtime() - 1_000_000_000);
        assert!(boottime().since(near).abs_diff(1_000_000_000) < 100_000_000);
    }

    #[test]
    fn a_clock_that_runs_has_not_stepped() {
        let mut watch = ClockWatch::new().unwrap();
        assert_eq!(watch.step_within(PollTimeout::from(20_u8)), None);
        let (before, after) = (anchor(), anchor());
        assert_eq!(step(&before, &after), None);
        let set = Anchor {
            realtime: after.realtime - 5_000_000,
            ..after
        };
        let delta = step(&before, &set).unwrap();
        assert!(
            (delta + 5_000_000).unsigned_abs() <= before.error + after.error,
            "{delta}"
        );
    }
}
