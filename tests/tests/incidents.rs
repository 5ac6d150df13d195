//! Three incidents, made on purpose, captured for real, and answered by the commands of docs/incidents.md alone.
//!
//! The commands and what they print are read from the document: each must print every line that the document shows, so that
//! document and truth cannot part. What an answer rests on is asked once more of the events.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use stillframe_tests::walkthrough::{Step, steps};
use stillframe_tests::{Bundle, Container, Disk, Recording, Resolver, run_for, tool, wait_until};

const DOCUMENT: &str = include_str!("../../docs/incidents.md");
const README: &str = include_str!("../../README.md");
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the commands of a section, which are for the bundle `name`; `numbers` are the event numbers that the document's
/// commands name, and the same events in this recording.
fn answer(heading: &str, name: &str, bundle: &Bundle, numbers: &[(u64, u64)]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(
        bundle.path(),
        folder.path().join(format!("{name}.capture.tar.zst")),
    )?;
    let steps = steps(DOCUMENT, heading)?;
    ensure!(steps.len() < 10, "{heading}: {} commands", steps.len());
    for step in steps {
        // What `capture` printed is not here any more; it was run by the test.
        if step.command.starts_with("capture ") {
            ensure!(
                step.command.starts_with(&format!("capture {name} ")),
                "{}",
                step.command
            );
            continue;
        }
        in_this_recording(&step, numbers)?.hold(folder.path())?;
    }
    Ok(())
}

/// The command with the event numbers of this recording.
fn in_this_recording(step: &Step, numbers: &[(u64, u64)]) -> Result<Step> {
    let mut pieces = step.command.split("'#");
    let mut command = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once('\'').context("a number without an end")?;
        let number: u64 = number.parse()?;
        let (_, here) = numbers
            .iter()
            .find(|(there, _)| *there == number)
            .with_context(|| format!("#{number} of the document is none of {numbers:?}"))?;
        command.push_str(&format!("'#{here}'{rest}"));
    }
    Ok(Step {
        command,
        shown: step.shown.clone(),
    })
}

fn number(event: &Value) -> Result<u64> {
    event
        .get("evt.num")
        .and_then(Value::as_u64)
        .context("an event without a number")
}

/// Waits until the container has written this line to its log so many times more.
fn wait_for_lines(container: &Container, wanted: &str, more: usize) -> Result<()> {
    let count = || -> Result<usize> {
        let mut docker = tool("docker", &["logs", &container.name]);
        let said = run_for(&mut docker, Duration::from_secs(10))?.text();
        Ok(said.lines().filter(|line| *line == wanted).count())
    };
    let before = count()?;
    wait_until(
        &format!("{} logs {wanted:?} {more} times", container.name),
        PATIENCE,
        || Ok(count()? >= before + more),
    )
}

#[test]
#[ignore = "root"]
fn a_connection_refused_after_dns_changed() -> Result<()> {
    let api = Container::run("sf-nginx", &[], &[])?;
    let idle = Container::idle()?;
    let gateway = api.inspect("{{.NetworkSettings.Gateway}}")?;
    let resolver = Resolver::start(&gateway, &api.address()?)?;
    let script = "while :; do wget -q -O /dev/null http://api.shop.internal/ && echo ok || echo failed; sleep 0.5; done";
    let shop = Container::called(
        "shop",
        "sf-busybox",
        &["--dns", &gateway, "--dns-search", "."],
        &["sh", "-c", script],
    )?;
    shop.wait_for_log("ok")?;
    let recording = Recording::start(&["shop", "-t", "110s"])?;
    wait_for_lines(&shop, "ok", 3)?;
    resolver.change(&idle.address()?)?;
    wait_for_lines(&shop, "failed", 3)?;
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;

    let summary: Value = serde_json::from_str(&bundle.shows("summary", &["--json"])?)?;
    let change = &summary["names"][0];
    assert_eq!(change["name"], "api.shop.internal");
    assert_eq!(change["from"], api.address()?.as_str());
    assert_eq!(change["to"], idle.address()?.as_str());
    assert_eq!(change["count"], 1);
    let changed = change["first_event"].as_u64().context("no event")?;
    // Cause before effect: before the change every connection succeeded, after it each was refused.
    let connects = bundle.events("evt.type=connect and evt.args contains 'htons(80)'")?;
    let mut refused = Vec::new();
    for connect in &connects {
        let failed = connect["evt.rawres"] == -111;
        ensure!(failed || connect["evt.rawres"] == 0, "{connect}");
        ensure!(failed == (number(connect)? > changed), "#{changed}: {connect}");
        if failed {
            refused.push(number(connect)?);
        }
    }
    let first = *refused.first().context("none was refused")?;
    ensure!(refused.len() < connects.len(), "none succeeded");
    answer(
        "A connection refused after DNS changed",
        "shop",
        &bundle,
        &[(554, changed), (572, first)],
    )
}

/// Limits what a container may write to a device, or lifts the limit (0).
fn limit_writes(container: &Container, device: &str, bytes_per_second: u64) -> Result<()> {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid()?))?;
    let of = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut words = line.splitn(3, ':').skip(1);
            let controllers = words.next()?;
            let path = words.next()?;
            controllers
                .split(',')
                .any(|found| found == controller)
                .then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let (file, text): (PathBuf, String) = match of("blkio") {
        Some(path) => (
            PathBuf::from("/sys/fs/cgroup/blkio")
                .join(path)
                .join("blkio.throttle.write_bps_device"),
            format!("{device} {bytes_per_second}"),
        ),
        None => {
            let limit = match bytes_per_second {
                0 => "max".to_owned(),
                limit => limit.to_string(),
            };
            let path = of("").context("no cgroup")?;
            (
                PathBuf::from("/sys/fs/cgroup").join(path).join("io.max"),
                format!("{device} wbps={limit}"),
            )
        }
    };
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[test]
#[ignore = "root"]
fn a_disk_that_became_slow_for_two_seconds() -> Result<()> {
    let disk = Disk::mounted(64)?;
    let volume = format!("{}:/data", disk.path().display());
    let script = "while :; do dd if=/dev/zero of=/data/wal bs=64k count=1 oflag=direct conv=notrunc 2>/dev/null; \
                  sleep 0.05; done";
    let db = Container::called("db", "sf-busybox", &["--volume", &volume], &["sh", "-c", script])?;
    let recording = Recording::start(&["db", "-t", "110s"])?;
    std::thread::sleep(Duration::from_secs(2));
    limit_writes(&db, &disk.number()?, 64 << 10)?;
    std::thread::sleep(Duration::from_millis(2_500));
    limit_writes(&db, &disk.number()?, 0)?;
    std::thread::sleep(Duration::from_secs(2));
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;

    // The limit lets 64 KiB go every second; the slowest writes are those that it held.
    let slowest: Value =
        serde_json::from_str(&bundle.shows("slowest", &["-f", "evt.type=write", "--json"])?)?;
    let longest = &slowest["rows"][0];
    ensure!(
        longest["class"] == "work" && longest["what"].to_string().contains("/data/wal"),
        "{longest}"
    );
    let took = longest["time_ns"].as_u64().context("no time")?;
    ensure!(took > 200_000_000, "the slowest write took {took} ns");
    let num = longest["event"].as_u64().context("no event")?;
    let write = &bundle.events(&format!("evt.num={num}"))?[0];
    let returned = write["evt.boottime"].as_u64().context("no time")?;
    let pid = &write["proc.pid"];
    // It waited before its request was queued, not in the disk.
    let queued = bundle.events(&format!(
        "evt.type=blkqueue and blk.dev={} and blk.op=write and evt.num < {num}",
        disk.number()?
    ))?;
    let queued = queued.last().context("no request before it")?;
    let entered = returned - took;
    let reached = queued["evt.boottime"].as_u64().context("no time")?;
    ensure!(
        reached > entered + took / 2,
        "queued after {} of {took} ns",
        reached.saturating_sub(entered)
    );
    let reads = bundle.events(&format!(
        "evt.type=read and proc.pid={pid} and fd.name=/dev/zero and evt.num < {num}"
    ))?;
    let read = number(reads.last().context("dd reads before it writes")?)?;
    answer(
        "A disk that became slow for two seconds",
        "db",
        &bundle,
        &[(2370, read), (2375, num)],
    )
}

#[test]
#[ignore = "root"]
fn an_oom_kill_after_a_leak() -> Result<()> {
    // About 5 MiB every half second, to be killed by the kernel after some five seconds.
    let script = "while [ ! -e /tmp/go ]; do sleep 0.1; done; exec awk 'BEGIN { while (1) { a[n++] = sprintf(\"%65536s\", \"x\"); \
                  if (n % 80 == 0) { print n; system(\"sleep 0.5\") } } }'";
    let leaky = Container::called(
        "leaky",
        "sf-busybox",
        &["--memory", "48m", "--memory-swap", "48m"],
        &["sh", "-c", script],
    )?;
    let mut recording = Recording::start(&["leaky", "-t", "110s"])?;
    leaky.exec(&["touch", "/tmp/go"])?;
    wait_until("the container is dead", PATIENCE, || {
        Ok(leaky.inspect("{{.State.Running}}")? == "false")
    })?;
    assert_eq!(leaky.inspect("{{.State.OOMKilled}}")?, "true");
    // One more reading, so that what follows a death is there too.
    std::thread::sleep(Duration::from_millis(1_500));
    recording.signal(Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    ensure!(matches!(finished.code(), 0 | 4), "{}", finished.said());
    bundle.expect_sealed()?;

    let killed = bundle.events("evt.type=procexit and proc.name=awk and proc.exit.signal=9")?;
    let killed = number(killed.first().context("awk was not killed")?)?;
    // Before the leak there is next to nothing.
    let readings: Vec<u64> = bundle
        .events("evt.type=metrics and metrics.memory.rss_bytes > 1MiB")?
        .iter()
        .filter_map(|event| event["metrics.memory.rss_bytes"].as_u64())
        .collect();
    ensure!(
        readings.is_sorted() && readings.first() < readings.last() && readings.len() >= 3,
        "memory did not climb: {readings:?}"
    );
    // A container that died has no snapshot of its end: what became of it is unknown, not unchanged.
    let summary: Value = serde_json::from_str(&bundle.shows("summary", &["--json"])?)?;
    ensure!(
        summary["changes"][0]["missing"].is_string(),
        "{}",
        summary["changes"]
    );
    answer("An OOM kill after a leak", "leaky", &bundle, &[(4727, killed)])
}

#[test]
fn the_readme_shows_commands_of_the_document() -> Result<()> {
    ensure!(README.contains("docs/incidents.md"), "README has no link");
    let of_document: Vec<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("    $ "))
        .collect();
    let mut shown = 0;
    for command in README.lines().filter_map(|line| line.strip_prefix("    $ ")) {
        if command.contains("shop.capture") {
            ensure!(of_document.contains(&command), "{command}");
            shown += 1;
        }
    }
    ensure!(shown >= 3, "README shows {shown} commands");
    Ok(())
}
