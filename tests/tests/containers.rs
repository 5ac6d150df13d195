//! What replay says of containers at a moment is what the engine, and the kernel's files, said at that moment.

#![allow(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, run, tool, wait_until};

/// What the engine said at a moment.
#[derive(Debug)]
struct Said {
    /// The moment, as replay takes it.
    at: String,
    status: String,
    exit_code: i64,
    oom: bool,
}

fn now() -> Result<String> {
    let time = clock_gettime(ClockId::CLOCK_REALTIME)?;
    Ok(format!("@{}.{:09}", time.tv_sec(), time.tv_nsec()))
}

/// What the engine says now: asked twice, until nothing changes around the moment.
fn said(container: &Container) -> Result<Said> {
    let ask = || {
        container.inspect("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}}")
    };
    for _ in 0..50 {
        let (before, at, after) = (ask()?, now()?, ask()?);
        let words: Vec<&str> = before.split(' ').collect();
        if before == after
            && let [status, exit_code, oom, _] = words.as_slice()
        {
            return Ok(Said {
                at,
                status: (*status).to_owned(),
                exit_code: exit_code.parse()?,
                oom: *oom == "true",
            });
        }
    }
    anyhow::bail!("{} changes faster than it can be asked", container.name)
}

/// The same once it is in a status.
fn said_when(container: &Container, status: &str) -> Result<Said> {
    let mut found = None;
    wait_until(
        &format!("{} is {status}", container.name),
        Duration::from_secs(30),
        || {
            found = Some(said(container)?).filter(|said| said.status == status);
            Ok(found.is_some())
        },
    )?;
    found.context("it was there a moment ago")
}

/// The row of a container in a part of the state.
fn row(bundle: &Bundle, part: &str, container: &Container, at: &str) -> Result<Value> {
    let text = bundle
        .replay("state", &[part, "--at", at, "--json"])?
        .expect_code(0)?
        .text();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        if row["container.id"] == container.id.as_str() {
            return Ok(row);
        }
    }
    anyhow::bail!("no row of {} in {part} at {at}:\n{text}", container.name)
}

fn docker(words: &[&str]) -> Result<()> {
    run(&mut tool("docker", words)).map(drop)
}

#[test]
#[ignore = "root"]
fn a_container_does_what_the_engine_says_that_it_does() -> Result<()> {
    let steady = Container::idle()?;
    let failing = Container::run(
        "sf-busybox",
        &["--restart", "always"],
        &["sh", "-c", "sleep 1; exit 3"],
    )?;
    let hungry = Container::run(
        "sf-busybox",
        &["--memory", "16m", "--memory-swap", "16m"],
        &["sh", "-c", "sleep 3; tail /dev/zero"],
    )?;
    let all = [&steady, &failing, &hungry];
    let names: Vec<&str> = all.iter().map(|container| container.name.as_str()).collect();
    let mut recording = Recording::start(&[names.as_slice(), &["-t", "120s"]].concat())?;
    let name = &steady.name;
    let mut heard: Vec<(&Container, Said)> = vec![(&steady, said(&steady)?)];
    for (words, status) in [
        (vec!["pause", name], "paused"),
        (vec!["unpause", name], "running"),
        (vec!["kill", name], "exited"),
        (vec!["start", name], "running"),
        // Its first process ignores that, and it does not end.
        (vec!["kill", "--signal", "HUP", name], "running"),
        (vec!["restart", "--time", "0", name], "running"),
        (vec!["stop", "--time", "0", name], "exited"),
    ] {
        docker(&words)?;
        heard.push((&steady, said_when(&steady, status)?));
    }
    for status in ["running", "restarting", "running", "restarting"] {
        heard.push((&failing, said_when(&failing, status)?));
    }
    docker(&["stop", "--time", "0", &failing.name])?;
    heard.push((&failing, said_when(&failing, "exited")?));
    heard.push((&hungry, said_when(&hungry, "exited")?));
    // The engine may tell of the memory behind the death.
    std::thread::sleep(Duration::from_secs(1));
    heard.push((&hungry, said(&hungry)?));
    recording.signal(Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    ensure!([0, 4].contains(&finished.code()), "{}", finished.said());

    for (container, said) in &heard {
        let row = row(&bundle, "containers", container, &said.at)?;
        assert_eq!(row["container.status"], said.status.as_str(), "{said:?}: {row}");
        let has_ended = ["exited", "restarting"].contains(&said.status.as_str());
        let code = has_ended.then_some(said.exit_code);
        assert_eq!(row["container.exit_code"].as_i64(), code, "{said:?}: {row}");
        assert!(row["state.uncertain_since"].is_null(), "{row}");
        if let Some(num) = row["evt.num"].as_u64() {
            let events = bundle.events(&format!("evt.num={num}"))?;
            assert_eq!(
                events[0]["evt.type"], "engine",
                "the event that said so: {events:?}"
            );
            assert_eq!(row["container.since"], events[0]["evt.time"], "{row}");
        }
    }
    // Nothing had been told of the first one yet: that is what it was at the start.
    let (container, first) = &heard[0];
    let begun = row(&bundle, "containers", container, &first.at)?;
    assert!(begun["evt.num"].is_null(), "{begun}");
    let started = bundle.json("start/containers/", &format!("{}/inspect.json", container.id))?;
    let since: String = started["State"]["StartedAt"].as_str().unwrap_or_default().into();
    let shown = begun["container.since"].as_str().unwrap_or_default();
    assert_eq!(
        shown.trim_end_matches(['0', 'Z']),
        since.trim_end_matches(['0', 'Z'])
    );
    let (_, last) = heard.last().context("something was heard")?;
    ensure!(last.oom, "the test did not use up its memory: {last:?}");
    let starved = row(&bundle, "containers", &hungry, "100%")?;
    assert_eq!(starved["container.oom"], true, "{starved}");
    let other = row(&bundle, "containers", &steady, "100%")?;
    assert_eq!(other["container.oom"], false, "{other}");
    bundle.replay("verify", &[])?.expect_code(0)?;
    Ok(())
}

/// A file of a container's cgroup, of the first of these names that is there: version 1's by its controller.
fn cgroup_file(bundle: &Bundle, container: &Container, names: &[(&str, &str)]) -> Result<u64> {
    let found = bundle.json("start/containers/", &format!("{}/cgroup.json", container.id))?;
    let paths = found["paths"].as_array().context("paths of cgroups")?;
    for (controller, file) in names {
        for pair in paths {
            let folder = pair[1].as_str().unwrap_or_default();
            let path = PathBuf::from(folder).join(file);
            if pair[0] == *controller
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                return Ok(text.trim().parse()?);
            }
        }
    }
    anyhow::bail!("none of {names:?} in {paths:?}")
}

#[test]
#[ignore = "root"]
fn a_container_used_what_its_cgroup_says() -> Result<()> {
    let limits = &["--memory", "64m", "--pids-limit", "50", "--cpus", "0.2"];
    let container = Container::run(
        "sf-busybox",
        limits,
        &["sh", "-c", "sleep 3600 & sleep 3600 & while :; do :; done"],
    )?;
    let mut recording = Recording::start(&[&container.name, "-t", "120s"])?;
    std::thread::sleep(Duration::from_secs(4));
    recording.signal(Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    finished.expect_code(0)?;
    let file = |names: &[(&str, &str)]| cgroup_file(&bundle, &container, names);
    let row = row(&bundle, "usage", &container, "100%")?;
    let value = |name: &str| row[name].as_u64().with_context(|| format!("{name} in {row}"));
    for (name, files) in [
        (
            "metrics.pids.current",
            [("pids", "pids.current"), ("unified", "pids.current")],
        ),
        (
            "metrics.pids.limit",
            [("pids", "pids.max"), ("unified", "pids.max")],
        ),
        (
            "metrics.memory.limit_bytes",
            [("memory", "memory.limit_in_bytes"), ("unified", "memory.max")],
        ),
    ] {
        assert_eq!(value(name)?, file(&files)?, "{name}");
    }
    assert_eq!(value("metrics.memory.limit_bytes")?, 64 << 20);
    let (used, most) = (
        value("metrics.memory.usage_bytes")?,
        file(&[
            ("memory", "memory.max_usage_in_bytes"),
            ("unified", "memory.peak"),
        ]),
    );
    ensure!(used > 0 && most.is_ok_and(|most| used <= most), "{used} bytes");
    // It goes on, so its time is what was read or more by now; and what it gained since the reading before is a rate.
    let cpu = value("metrics.cpu.usage_ns")?;
    ensure!(cpu > 0, "{row}");
    if let Ok(since) = file(&[("cpuacct", "cpuacct.usage")]) {
        ensure!(cpu <= since, "{cpu} ns, and {since} ns later");
    }
    ensure!(
        value("rates.cpu.usage_ns")? > 0 && value("metrics.cpu.throttled_ns")? > 0,
        "{row}"
    );
    // Levels have no rate.
    ensure!(row["rates.memory.usage_bytes"].is_null(), "{row}");
    // The reading is the event that it names.
    let num = value("evt.num")?;
    let events = bundle.events(&format!("evt.num={num}"))?;
    assert_eq!(events[0]["metrics.cpu.usage_ns"], row["metrics.cpu.usage_ns"]);
    assert_eq!(events[0]["evt.boottime"], row["usage.boottime"]);
    // One moment before it the reading before is the latest.
    let before = self::row(&bundle, "usage", &container, &format!("#{}", num - 1))?;
    assert_eq!(before["usage.time"], row["usage.before"]);
    Ok(())
}
