//! The wall clock is set while capture records: an hour forwards, and back a moment later.
//!
//! The test sets the clock of the machine that it runs on (CI's own, as root) for a fifth of a second, and puts it
//! back to where `CLOCK_MONOTONIC` says that it would be. Between the two steps packets and logs carry stamps of
//! another hour; only their order and their boottime tell that nothing else happened.

#![allow(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use serde_json::Value;
use std::time::Duration;
use stillframe_tests::{Container, Recording};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const MILLISECOND: i64 = 1_000_000;

fn read(clock: ClockId) -> Result<i64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// What the wall clock is ahead of boottime, as tightly as some readings show it.
fn ahead() -> Result<i64> {
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..10 {
        let before = read(ClockId::CLOCK_BOOTTIME)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let width = read(ClockId::CLOCK_BOOTTIME)? - before;
        if best.is_none_or(|(best, _)| width < best) {
            best = Some((width, wall - before - width / 2));
        }
    }
    best.map(|(_, ahead)| ahead).context("no reading")
}

/// A wall clock that is set wrong, until this value goes.
struct Wrong {
    ahead: i64,
}

impl Wrong {
    fn by(delta: i64) -> Result<Self> {
        let wrong = Self { ahead: ahead()? };
        set(wrong.ahead + delta)?;
        Ok(wrong)
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        if let Err(error) = set(self.ahead) {
            eprintln!("the wall clock is still wrong: {error:#}");
        }
    }
}

fn set(ahead: i64) -> Result<()> {
    let wall = read(ClockId::CLOCK_BOOTTIME)? + ahead;
    let time = TimeSpec::new(wall.div_euclid(1_000_000_000), wall.rem_euclid(1_000_000_000));
    clock_settime(ClockId::CLOCK_REALTIME, time).context("cannot set the wall clock")
}

fn number(event: &Value, field: &str) -> Result<i64> {
    event[field]
        .as_i64()
        .with_context(|| format!("no {field} in {event}"))
}

/// The time of day of `evt.time` in nanoseconds: `2026-11-24T14:03:07.006000000Z`.
fn time_of_day(event: &Value) -> Result<i64> {
    let text = event["evt.time"].as_str().context("no evt.time")?;
    let (_, time) = text.split_once('T').context("evt.time has no T")?;
    let parts: Vec<i64> = time
        .trim_end_matches('Z')
        .split([':', '.'])
        .map(|part| part.parse().context("evt.time has no numbers"))
        .collect::<Result<_>>()?;
    let [hour, minute, second, nanosecond] = parts.as_slice() else {
        bail!("evt.time is {text}");
    };
    Ok(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanosecond)
}

#[test]
#[ignore = "root"]
fn a_wall_clock_that_is_set_is_an_event_and_everything_else_keeps_its_moment() -> Result<()> {
    let work = "httpd -p 8080 -h /; n=0; while :; do n=$((n+1)); echo tick $n; \
                wget -q -O /dev/null http://127.0.0.1:8080/etc/passwd; usleep 15000; done";
    let container = Container::run("sf-busybox", &[], &["sh", "-c", work])?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    std::thread::sleep(Duration::from_millis(700));
    let normal = ahead()?;
    let forwards = read(ClockId::CLOCK_BOOTTIME)?;
    let wrong = Wrong::by(HOUR)?;
    std::thread::sleep(Duration::from_millis(200));
    let backwards = read(ClockId::CLOCK_BOOTTIME)?;
    drop(wrong);
    let after = ahead()?;
    ensure!(
        (after - normal).abs() < MILLISECOND,
        "the test has moved the clock by {} ns",
        after - normal
    );
    std::thread::sleep(Duration::from_millis(1_500));
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;

    let steps = bundle.events("evt.type=clockstep")?;
    let [first, second] = steps.as_slice() else {
        bail!("{} steps of the clock: {steps:?}", steps.len());
    };
    let moments = [number(first, "evt.boottime")?, number(second, "evt.boottime")?];
    for (moment, set) in moments.iter().zip([forwards, backwards]) {
        let late = moment - set;
        ensure!(
            (0..50 * MILLISECOND).contains(&late),
            "a step is shown {late} ns after it was made"
        );
    }
    for (step, delta) in steps.iter().zip([HOUR, -HOUR]) {
        let field = step
            .as_object()
            .and_then(|step| step.iter().find(|(name, _)| name.contains("delta")))
            .and_then(|(_, value)| value.as_i64())
            .with_context(|| format!("no delta in {step}"))?;
        ensure!(
            (field - delta).abs() < MILLISECOND,
            "a step of {field} instead of {delta}"
        );
    }

    let events = bundle.events("evt.num>0")?;
    let mut newest = 0;
    let mut in_between = 0;
    for event in &events {
        let boottime = number(event, "evt.boottime")?;
        if event["evt.late"] != true {
            ensure!(boottime >= newest, "the order of events broke: {event}");
            newest = boottime;
        }
        // At the step itself the two clocks were not read at once.
        if moments
            .iter()
            .any(|moment| (boottime - moment).abs() < MILLISECOND)
            || (forwards..=moments[0]).contains(&boottime)
            || (backwards..=moments[1]).contains(&boottime)
        {
            continue;
        }
        let is_wrong = boottime > moments[0] && boottime < moments[1];
        in_between += usize::from(is_wrong);
        let shown = boottime + normal + if is_wrong { HOUR } else { 0 };
        let error = (time_of_day(event)? - shown).rem_euclid(DAY);
        ensure!(
            error.min(DAY - error) < MILLISECOND,
            "the wall clock showed something else ({error} ns): {event}"
        );
    }
    ensure!(in_between > 50, "{in_between} events while the clock was wrong");

    // Every line was logged when it was written, every packet of a connection seen when somebody connected.
    let written = bundle.events("evt.type=write and proc.name=sh and fd.num=1")?;
    let logged = bundle.events("evt.type=log and log.text startswith 'tick '")?;
    ensure!(logged.len() > 50, "{} lines were logged", logged.len());
    near("line of the log", &logged, &written, 400 * MILLISECOND)?;
    let connected = bundle.events("evt.type=connect and proc.name=wget")?;
    let opened = bundle.events("tcp.dstport=8080 and tcp.flags.syn=true")?;
    ensure!(
        opened.len() > 50,
        "{} connections among the packets",
        opened.len()
    );
    near("packet", &opened, &connected, 20 * MILLISECOND)?;
    Ok(())
}

/// Fails unless each of `events` happened within `limit` of one of `causes`.
fn near(what: &str, events: &[Value], causes: &[Value], limit: i64) -> Result<()> {
    let times = |events: &[Value]| -> Result<Vec<i64>> {
        events.iter().map(|event| number(event, "evt.boottime")).collect()
    };
    let (events, causes) = (times(events)?, times(causes)?);
    for event in &events {
        let distance = causes
            .iter()
            .map(|cause| (event - cause).abs())
            .min()
            .with_context(|| format!("nothing caused a {what}"))?;
        ensure!(
            distance < limit,
            "a {what} is {distance} ns away from what caused it"
        );
    }
    Ok(())
}
