//! Containers that are restarted, born or removed while they are captured, and captured twice at once.

#![allow(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, run, tool, wait_until};

/// A container that does something of everything, four times a second.
const BUSY: &str = "httpd -p 8080 -h /; while :; do echo tick; /bin/cat /etc/hostname >/dev/null; \
                    wget -q -O /dev/null http://127.0.0.1:8080/etc/passwd; \
                    dd if=/dev/zero of=/data/x bs=4k count=16 conv=fsync 2>/dev/null; usleep 250000; done";
const OPTIONS: &[&str] = &["--volume", "/data"];

fn boottime() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(time.tv_sec())? * 1_000_000_000 + u64::try_from(time.tv_nsec())?)
}

fn busy() -> Result<Container> {
    Container::run("sf-busybox", OPTIONS, &["sh", "-c", BUSY])
}

/// Ends a recording in which containers started: their first moments are holes, and that is said.
fn stop_with_holes(mut recording: Recording, container: &Container) -> Result<Bundle> {
    std::thread::sleep(Duration::from_millis(300));
    recording.signal(Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    finished.expect_code(4)?;
    bundle.expect_sealed()?;
    let holes = bundle.events("evt.type=loss")?;
    ensure!(
        holes
            .iter()
            .all(|hole| hole["loss.cause"] == "not-followed-yet"
                && hole["loss.scope"] == container.name.as_str()),
        "{holes:?}"
    );
    let streams: Vec<&str> = holes
        .iter()
        .filter_map(|hole| hole["loss.stream"].as_str())
        .collect();
    ensure!(
        ["syscall", "process", "packet", "block"]
            .iter()
            .all(|stream| streams.contains(stream)),
        "{streams:?}"
    );
    Ok(bundle)
}

/// Fails unless everything of `container` was recorded at `from` or later, the calls of process `pid` among it.
fn expect_everything(bundle: &Bundle, container: &Container, pid: u32, from: u64) -> Result<()> {
    let id = &container.id;
    for (what, filter) in [
        (
            "system calls",
            format!("container.id={id} and evt.type=openat and proc.name=cat and fs.path.name=/etc/hostname"),
        ),
        (
            "calls of its first process",
            format!("container.id={id} and evt.stream=syscall and proc.pid={pid}"),
        ),
        (
            "process changes",
            format!("container.id={id} and evt.type=procexec and proc.name=cat"),
        ),
        ("packets", "tcp.dstport=8080 and tcp.flags.syn=true".to_owned()),
        (
            "lines of its log",
            format!("container.id={id} and evt.type=log and log.text=tick"),
        ),
        (
            "block I/O",
            format!("container.id={id} and evt.type=blkissue and blk.op=write"),
        ),
        ("metrics", format!("container.id={id} and evt.type=metrics")),
    ] {
        let count = bundle.count(&format!("{filter} and evt.boottime>={from}"))?;
        ensure!(count > 0, "no {what} of {id} after it started ({filter})");
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_that_is_restarted_is_followed() -> Result<()> {
    let container = busy()?;
    let old = container.pid()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    run(&mut tool("docker", &["restart", "--time", "0", &container.name]))?;
    let restarted = boottime()?;
    let new = container.pid()?;
    ensure!(old != new, "the test did not restart it");
    std::thread::sleep(Duration::from_secs(4));
    let bundle = stop_with_holes(recording, &container)?;
    expect_everything(&bundle, &container, new, restarted)?;
    ensure!(
        bundle.count(&format!("evt.stream=syscall and proc.pid={old}"))? > 0,
        "nothing of the first incarnation"
    );
    // The end's snapshot is of the new one.
    let tree = bundle.json("end/containers/", "inspect.json")?;
    assert_eq!(tree["State"]["Pid"].as_u64(), Some(u64::from(new)));
    let processes = bundle
        .replay("state", &["ps", "--at", "100%"])?
        .expect_code(0)?
        .text();
    ensure!(processes.contains(&new.to_string()), "{processes}");
    Ok(())
}

#[test]
#[ignore = "root"]
fn with_all_a_container_born_during_the_capture_is_recorded() -> Result<()> {
    let other = Container::idle()?;
    let recording = Recording::start(&["--all", "-t", "60s"])?;
    let container = busy()?;
    let born = boottime()?;
    let pid = container.pid()?;
    std::thread::sleep(Duration::from_secs(4));
    let bundle = stop_with_holes(recording, &container)?;
    expect_everything(&bundle, &container, pid, born)?;
    bundle.json("end/containers/", &format!("{}/inspect.json", container.id))?;
    drop(other);
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_that_is_removed_during_the_capture_ends_nothing() -> Result<()> {
    let container = busy()?;
    let name = container.name.clone();
    let recording = Recording::start(&[&name, "-t", "6s"])?;
    std::thread::sleep(Duration::from_secs(1));
    drop(container);
    let (finished, bundle) = recording.finish()?;
    // What the engine says of it at the end can't be had any more; that is said, and is no failed source.
    ensure!(matches!(finished.code(), 0 | 4), "{}", finished.said());
    bundle.expect_sealed()?;
    let info = bundle.info()?;
    let length = info["duration_ns"].as_u64().context("no duration")?;
    ensure!(length > 5_500_000_000, "it ended after {length} ns");
    ensure!(
        bundle.count("engine.type=container and engine.action=destroy")? == 1,
        "the engine's events end before the removal"
    );
    let end: serde_json::Value = serde_json::from_slice(&bundle.member("end.json")?)?;
    assert_eq!(end["reason"], "duration");
    Ok(())
}

#[test]
#[ignore = "root"]
fn two_captures_of_one_container_record_the_same_calls() -> Result<()> {
    let container = Container::idle()?;
    let first = Recording::start(&[&container.name, "-t", "60s"])?;
    let second = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000"])?;
    wait_until("both have written", Duration::from_secs(5), || {
        Ok(first.partial().exists() && second.partial().exists())
    })?;
    for recording in [first, second] {
        let bundle = recording.stop()?;
        bundle.expect_sealed()?;
        bundle.expect_nothing_lost()?;
        for (call, file) in [("read", "/dev/zero"), ("write", "/dev/null")] {
            let count = bundle.count(&format!("evt.type={call} and proc.name=dd and fd.name={file}"))?;
            ensure!(count == 20_000, "{count} {call}s");
        }
    }
    Ok(())
}
