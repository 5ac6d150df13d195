//! The wall clock is set while capture records: an hour forwards, and back a moment later.
//!
//! The test sets the clock of the machine that it runs on (CI's own, as root) for less than half a second, and puts
//! it back to where `CLOCK_BOOTTIME` says that it would be. Between the two steps packets and logs carry stamps of
//! another hour; only their order and their boottime tell that nothing else happened.
//!
//! What must hold is said by causes, since a busy machine may take any time for anything: a packet of a connection
//! is seen while somebody connects, a line is logged after it was written.

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
    std::thread::sleep(Duration::from_millis(400));
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
    let ended = read(ClockId::CLOCK_BOOTTIME)?;
    bundle.expect_sealed()?;

    let steps = bundle.events("evt.type=clockstep")?;
    let [first, second] = steps.as_slice() else {
        bail!("{} steps of the clock: {steps:?}", steps.len());
    };
    let moments = [number(first, "evt.boottime")?, number(second, "evt.boottime")?];
    let [seen_forwards, seen_backwards] = moments;
    ensure!(
        (forwards..backwards).contains(&seen_forwards) && (backwards..ended).contains(&seen_backwards),
        "steps at {forwards} and {backwards} are shown at {moments:?}"
    );
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
    ensure!(in_between > 10, "{in_between} events while the clock was wrong");

    // Packets and lines bear stamps of the wall clock, calls bear those of boottime.
    let calls = spans(&bundle.events("evt.type=connect and proc.name=wget")?)?;
    let opened = times(&bundle.events("tcp.dstport=8080 and tcp.flags.syn=true")?)?;
    within_calls(&opened, &calls)?;
    let written = bundle.events("evt.type=write and proc.name=sh and fd.num=1")?;
    let logged = bundle.events("evt.type=log and log.text startswith 'tick '")?;
    after_writes(&logged, &written)
}

/// When calls began and ended, in nanoseconds of boottime, by their beginning.
fn spans(calls: &[Value]) -> Result<Vec<(i64, i64)>> {
    let span = |call: &Value| -> Result<(i64, i64)> {
        let moment = number(call, "evt.boottime")?;
        // One that was under way when the recording began: only its return was seen.
        Ok(call["evt.latency"]
            .as_i64()
            .map_or((0, moment), |latency| (moment, moment + latency)))
    };
    let mut spans: Vec<(i64, i64)> = calls.iter().map(span).collect::<Result<_>>()?;
    spans.sort_unstable();
    Ok(spans)
}

fn times(events: &[Value]) -> Result<Vec<i64>> {
    let mut times: Vec<i64> = events
        .iter()
        .map(|event| number(event, "evt.boottime"))
        .collect::<Result<_>>()?;
    times.sort_unstable();
    Ok(times)
}

/// Fails unless each packet was seen while one of the calls went on. What came before the first call that was
/// recorded, or after the last, belongs to calls outside of the recording.
fn within_calls(packets: &[i64], calls: &[(i64, i64)]) -> Result<()> {
    let (first, last) = calls.iter().fold((i64::MAX, 0), |(first, last), (from, to)| {
        (first.min(*from), last.max(*to))
    });
    let mut seen = 0;
    for packet in packets.iter().filter(|packet| (first..=last).contains(*packet)) {
        seen += 1;
        ensure!(
            calls
                .iter()
                .any(|(from, to)| (from - MILLISECOND..=to + MILLISECOND).contains(packet)),
            "a packet at {packet} is in no call: {:?} is the last before it",
            calls.iter().rev().find(|(from, _)| from <= packet)
        );
    }
    ensure!(seen > 10, "{seen} packets of connections");
    Ok(())
}

/// Fails unless each line was logged after it was written, and at most a minute after: the clock was wrong by an hour.
fn after_writes(lines: &[Value], writes: &[Value]) -> Result<()> {
    let mut seen = 0;
    for write in writes {
        let text = write["evt.buffer"].as_str().context("a write shows no data")?;
        let Some(line) = lines.iter().find(|line| {
            line["log.text"]
                .as_str()
                .is_some_and(|line| line == text.trim_end())
        }) else {
            // The last lines were on their way when the recording ended.
            continue;
        };
        seen += 1;
        let late = number(line, "evt.boottime")? - number(write, "evt.boottime")?;
        ensure!(
            (-MILLISECOND..60_000 * MILLISECOND).contains(&late),
            "{text:?} was logged {late} ns after it was written"
        );
    }
    ensure!(seen > 10, "{seen} of {} lines have their write", lines.len());
    Ok(())
}
