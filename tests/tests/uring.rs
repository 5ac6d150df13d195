//! Requests of io_uring: what a program says that it asked and got (`tests/victims/uring/rings.c`) is what the bundle holds.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use stillframe_format::abi::uring as abi;
use stillframe_tests::{Bundle, Container, Recording, compile, record_calls, run, tool};

const EVERYTHING: &[&str] = &[
    "files", "batch", "refused", "waiting", "several", "overflow", "torn", "sqpoll",
];

/// What the program said: for each case, in order, what was submitted, and what was done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// `user_data`, operation, descriptor.
    submitted: Vec<(String, u8, i64)>,
    /// `user_data`, result, flags.
    done: Vec<(String, i64, u64)>,
}

fn said(output: &str) -> Result<BTreeMap<String, Said>> {
    let mut found: BTreeMap<String, Said> = BTreeMap::new();
    ensure!(
        output.lines().any(|line| line == "end"),
        "it did not end: {output}"
    );
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["submitted", case, user_data, opcode, fd] => found
                .entry((*case).to_owned())
                .or_default()
                .submitted
                .push(((*user_data).to_owned(), opcode.parse()?, fd.parse()?)),
            ["done", case, user_data, result, flags] => found
                .entry((*case).to_owned())
                .or_default()
                .done
                .push(((*user_data).to_owned(), result.parse()?, flags.parse()?)),
            ["end"] => {}
            _ => anyhow::bail!("the program said {line:?}"),
        }
    }
    Ok(found)
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The bundle's events of a case, whose `user_data` all begin with the same digit.
fn of_case(events: &[Value], said: &Said) -> Result<(Vec<Value>, Vec<Value>)> {
    let (first, ..) = said.submitted.first().context("nothing was submitted")?;
    let begins = first.get(..3).context("a number of three digits")?;
    Ok(events
        .iter()
        .filter(|event| text(event, "uring.user_data").starts_with(begins))
        .cloned()
        .partition(|event| event["evt.type"] == "uringsubmit"))
}

/// Compares a case, and gives what the bundle holds of its completions.
fn compare(case: &str, said: &Said, events: &[Value]) -> Result<Vec<Value>> {
    let (submitted, done) = of_case(events, said)?;
    let told: Vec<(String, String, Option<i64>)> = said
        .submitted
        .iter()
        .map(|(user_data, opcode, fd)| {
            let name = abi::name(*opcode).map_or_else(|| format!("OP_{opcode}"), str::to_owned);
            (
                user_data.clone(),
                name,
                abi::has_descriptor(*opcode).then_some(*fd),
            )
        })
        .collect();
    let held: Vec<(String, String, Option<i64>)> = submitted
        .iter()
        .map(|event| {
            (
                text(event, "uring.user_data").to_owned(),
                text(event, "uring.op").to_owned(),
                event.get("uring.fd").and_then(Value::as_i64),
            )
        })
        .collect();
    assert_eq!(held, told, "{case}: submissions");
    if case != "torn" {
        let held: Vec<(String, i64)> = done
            .iter()
            .map(|event| {
                (
                    text(event, "uring.user_data").to_owned(),
                    event["uring.result"].as_i64().unwrap_or(i64::MIN),
                )
            })
            .collect();
        let told: Vec<(String, i64)> = said
            .done
            .iter()
            .map(|(user_data, result, _)| (user_data.clone(), *result))
            .collect();
        assert_eq!(held, told, "{case}: completions");
        for (event, (_, _, flags)) in done.iter().zip(&said.done) {
            // IORING_CQE_F_MORE
            assert_eq!(
                text(event, "uring.flags").contains("IORING_CQE_F_MORE"),
                flags & 2 != 0,
                "{event}"
            );
        }
    }
    Ok(done)
}

fn one<'a>(events: &'a [Value], kind: &str, user_data: &str) -> Result<&'a Value> {
    let found: Vec<&Value> = events
        .iter()
        .filter(|event| event["evt.type"] == kind && event["uring.user_data"] == user_data)
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        _ => anyhow::bail!("{kind} {user_data}: {found:#?}"),
    }
}

/// The features that the bundle requires of its reader.
fn required(bundle: &Bundle) -> Result<Vec<String>> {
    let header: Value = serde_json::from_slice(&bundle.member("header.json")?)?;
    let features = header
        .pointer("/format/requires")
        .and_then(Value::as_array)
        .context("no requires")?;
    Ok(features
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}

#[test]
#[ignore = "root"]
fn every_request_that_a_program_makes_and_all_that_comes_of_it_is_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_str().context("a path")?.to_owned();
    let program = folder.path().join("rings");
    compile("uring/rings.c", &program)?;
    let mut words = vec![program.to_str().context("a path")?, place.as_str()];
    words.extend(EVERYTHING);
    let (bundle, output) = record_calls(&[], &words)?;
    bundle.expect_nothing_lost()?;
    bundle.expect_sealed()?;
    let said = said(&output)?;
    assert_eq!(said.len(), EVERYTHING.len());
    let events = bundle.events("evt.stream=uring")?;
    let mut together = 0;
    for (case, said) in &said {
        let done = compare(case, said, &events)?;
        together += said.submitted.len() + done.len();
    }
    assert_eq!(events.len(), together, "the bundle holds more than was asked");

    // Whose they are, and what they are about.
    let read = one(&events, "uringsubmit", "0x101")?;
    assert_eq!(text(read, "fd.name"), format!("{place}/data"));
    assert_eq!(read["fd.num"], read["uring.fd"]);
    assert_eq!(text(read, "proc.name"), "rings");
    let registered = one(&events, "uringsubmit", "0x105")?;
    assert_eq!(text(registered, "uring.flags"), "IOSQE_FIXED_FILE");
    ensure!(
        registered.get("fd.num").is_none() && registered.get("fd.name").is_none(),
        "{registered}"
    );
    let again = one(&events, "uringsubmit", "0x107")?;
    assert_eq!(again["fd.num"], read["fd.num"]);
    ensure!(
        again.get("fd.name").is_none(),
        "the ring gave the number anew: {again}"
    );
    for event in events.iter().filter(|event| {
        text(event, "uring.user_data").starts_with("0x8") && event["evt.type"] == "uringsubmit"
    }) {
        ensure!(text(event, "proc.name").starts_with("iou-sqp"), "{event}");
        assert_eq!(event["proc.pid"], read["proc.pid"]);
        ensure!(event["thread.tid"] != read["thread.tid"], "{event}");
    }

    // What came of them.
    let data = one(&events, "uringcomplete", "0x101")?;
    assert_eq!(text(data, "uring.op"), "READ");
    assert_eq!(data["evt.failed"], false);
    ensure!(data["uring.latency"].as_u64() > Some(0), "{data}");
    let absent = one(&events, "uringcomplete", "0x103")?;
    assert_eq!(text(absent, "uring.error"), "ENOENT");
    assert_eq!(absent["evt.failed"], true);
    let slow = one(&events, "uringcomplete", "0x401")?;
    ensure!(
        slow["uring.latency"].as_u64() >= Some(40_000_000),
        "the poll waited for somebody who slept for 50 ms: {slow}"
    );
    let silent = |event: &&Value| event["uring.user_data"] == "0x210" && event["evt.type"] != "uringsubmit";
    ensure!(!events.iter().any(|event| silent(&event)), "0x210 posts nothing");
    for event in &events {
        // Of several completions of one request only the last is its own.
        let more = text(event, "uring.flags").contains("IORING_CQE_F_MORE");
        ensure!(!more || event.get("uring.latency").is_none(), "{event}");
    }
    let overflown = bundle.count("evt.type=uringoverflow")?;
    assert_eq!(overflown, 4, "two of six find room");
    for event in bundle.events("evt.type=uringcomplete and uring.user_data in (0x701, 0x702)")? {
        assert_eq!(text(&event, "uring.error"), "ECANCELED", "{event}");
    }

    answers(&bundle, absent, slow)
}

/// What replay makes of it.
fn answers(bundle: &Bundle, absent: &Value, slow: &Value) -> Result<()> {
    let errors = bundle.shows("errors", &[])?;
    let number = format!("#{}", absent["evt.num"]);
    ensure!(
        errors.contains("Requests of io_uring that failed") && errors.contains(&number),
        "{number} is not in\n{errors}"
    );
    let slowest = bundle.shows("slowest", &[])?;
    let number = format!("#{}", slow["evt.num"]);
    ensure!(
        slowest.contains("Slowest requests of io_uring")
            && slowest
                .split("Longest waits")
                .nth(1)
                .is_some_and(|waits| waits.contains(&number)),
        "{number} is not in\n{slowest}"
    );
    let lines = bundle.shows("events", &["-f", "uring.user_data=0x101"])?;
    for words in [
        "io_uring READ fd=",
        "/data> user_data=0x101",
        "user_data=0x101 → 4096 <",
    ] {
        ensure!(lines.contains(words), "{words:?} is not in\n{lines}");
    }
    let info = bundle.shows("info", &[])?;
    ensure!(
        info.contains("\n              uring ")
            && !info.contains("io_uring was used")
            && !info.contains("of io_uring"),
        "{info}"
    );
    assert_eq!(required(bundle)?, ["signals", "uring"]);
    for (format, words) in [
        ("perfetto", "submit READ"),
        ("csv", "uringsubmit"),
        ("jsonl", "uringsubmit"),
        ("html", "io_uring READ"),
    ] {
        let exported = bundle
            .replay("export", &[format, "--output", "-"])?
            .expect_code(0)?;
        ensure!(exported.text().contains(words), "{format} has no {words:?}");
    }
    // strace sees the calls of io_uring, and none of its requests.
    let strace = bundle.replay("export", &["strace", "--output", "-"])?.text();
    ensure!(
        strace.contains("io_uring_enter(") && !strace.contains("user_data"),
        "{strace}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_program_in_a_container_has_its_requests_and_a_neighbour_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("rings");
    compile("uring/rings.c", &program)?;
    let volume = format!("{}:/srv", folder.path().display());
    // Engines keep io_uring from containers, unless they are told not to.
    let container = Container::run(
        "sf-busybox",
        &["--volume", &volume, "--security-opt", "seccomp=unconfined"],
        &["sleep", "3600"],
    )?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    let output = container.exec(&["/srv/rings", "/srv"])?;
    run(&mut tool(
        program.to_str().context("a path")?,
        &[folder.path().to_str().context("a path")?, "batch", "files"],
    ))?;
    let bundle = recording.stop()?;
    bundle.expect_nothing_lost()?;
    let said = said(&output)?;
    let events = bundle.events("evt.stream=uring")?;
    let mut together = 0;
    for (case, said) in &said {
        together += said.submitted.len() + compare(case, said, &events)?.len();
    }
    assert_eq!(
        events.len(),
        together,
        "a neighbour's requests are no concern of it"
    );
    let read = one(&events, "uringsubmit", "0x101")?;
    assert_eq!(text(read, "fd.name"), "/srv/data");
    for event in &events {
        assert_eq!(text(event, "container.id"), container.id, "{event}");
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn by_ptrace_requests_are_said_to_be_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_str().context("a path")?.to_owned();
    let program = folder.path().join("rings");
    compile("uring/rings.c", &program)?;
    let words = [program.to_str().context("a path")?, place.as_str(), "batch"];
    let (bundle, _) = record_calls(&["--syscalls", "ptrace"], &words)?;
    assert_eq!(bundle.count("evt.stream=uring")?, 0);
    ensure!(
        bundle.shows("info", &[])?.contains("io_uring was used"),
        "info does not say it"
    );
    assert_eq!(required(&bundle)?, ["signals"]);
    Ok(())
}

/// fio counts what it issued by itself.
#[test]
#[ignore = "root"]
fn fio_issued_as_many_reads_as_there_are_requests() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("data");
    fs::write(&file, vec![7; 4 << 20])?;
    let report = folder.path().join("report.json");
    let filename = format!("--filename={}", file.display());
    let output = format!("--output={}", report.display());
    let words = [
        "fio",
        "--name=x",
        "--ioengine=io_uring",
        "--rw=randread",
        "--bs=4k",
        "--iodepth=16",
        "--size=4m",
        "--io_size=12m",
        "--output-format=json",
        &filename,
        &output,
    ];
    let (bundle, _) = record_calls(&[], &words)?;
    bundle.expect_nothing_lost()?;
    let report: Value = serde_json::from_slice(&fs::read(&report)?)?;
    let issued = report
        .pointer("/jobs/0/read/total_ios")
        .and_then(Value::as_u64)
        .context("fio counted nothing")?;
    let of = |kind: &str| bundle.count(&format!("evt.type={kind} and uring.op in (READ, READV)"));
    ensure!(issued >= 3_000, "{report}");
    assert_eq!(of("uringsubmit")?, issued);
    assert_eq!(of("uringcomplete")?, issued);
    assert_eq!(
        bundle.count("evt.type=uringcomplete and uring.result=4096 and uring.latency>0ns")?,
        issued
    );
    Ok(())
}
