//! System calls of a container: exactly those that were made, each with what it was about.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stillframe_tests::{Container, Recording, compile, record_calls, run, tool};

#[test]
#[ignore = "root"]
fn dd_of_200000_bytes_gives_exactly_200000_reads_and_writes() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "120s"])?;
    container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=200000"])?;
    let bundle = recording.stop()?;
    assert_eq!(
        bundle.count("evt.type=read and proc.name=dd and fd.name=/dev/zero")?,
        200_000
    );
    assert_eq!(
        bundle.count("evt.type=write and proc.name=dd and fd.name=/dev/null")?,
        200_000
    );
    assert_eq!(
        bundle.count("evt.type=read and proc.name=dd and fd.name=/dev/zero and evt.rawres=1")?,
        200_000
    );
    bundle.expect_nothing_lost()
}

#[test]
#[ignore = "root"]
fn a_call_has_its_arguments_result_duration_thread_path_address_and_data() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&[
        "sh",
        "-c",
        "echo stillframe-data > /tmp/written; cat /tmp/not-there; sleep 0.2; nc -w 1 127.0.0.1 4711; true",
    ])?;
    let bundle = recording.stop()?;

    let opened = bundle.events("evt.type in (open, openat) and fs.path.name=/tmp/not-there")?;
    let [opened] = opened.as_slice() else {
        anyhow::bail!("{} opens of a file that is not there", opened.len());
    };
    assert_eq!(opened["evt.res"], "ENOENT");
    assert_eq!(opened["evt.rawres"], -2);
    assert_eq!(opened["evt.failed"], true);
    assert_eq!(opened["proc.name"], "cat");
    assert!(
        opened["evt.latency"].as_u64().context("no latency")? > 0,
        "{opened}"
    );
    assert!(
        opened["thread.tid"].as_u64().context("no thread")? > 0,
        "{opened}"
    );
    assert_eq!(opened["container.id"], container.id.as_str());
    assert_eq!(opened["container.name"], container.name.as_str());

    assert_eq!(
        bundle.count("evt.type=write and fd.name=/tmp/written and evt.buffer contains stillframe-data")?,
        1
    );

    let slept = bundle.events("evt.type in (nanosleep, clock_nanosleep) and proc.name=sleep")?;
    let longest = slept
        .iter()
        .filter_map(|call| call["evt.latency"].as_u64())
        .max()
        .context("nobody slept")?;
    ensure!(
        (200_000_000..2_000_000_000).contains(&longest),
        "sleep 0.2 took {longest} ns"
    );

    let connected = bundle.events("evt.type=connect and proc.name=nc")?;
    ensure!(
        connected
            .iter()
            .any(|call| call["evt.res"] == "ECONNREFUSED" && call.to_string().contains("127.0.0.1")),
        "no refused connect to 127.0.0.1 among {connected:?}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn processes_born_later_belong_and_their_births_and_deaths_are_events() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&[
        "sh",
        "-c",
        // By its path: what busybox's shell has built in, it runs without an exec.
        "for i in 1 2 3; do sh -c '/bin/cat /etc/passwd; exit 7'; done; true",
    ])?;
    let bundle = recording.stop()?;
    assert_eq!(
        bundle.count("evt.type in (open, openat) and proc.name=cat and fs.path.name=/etc/passwd")?,
        3
    );
    assert_eq!(bundle.count("evt.type=procexec and proc.name=cat")?, 3);
    ensure!(
        bundle.count("evt.type=procfork")? >= 3,
        "fewer forks than children"
    );
    ensure!(
        bundle.count("evt.type=procexit and proc.name=cat")? >= 3,
        "fewer ends than children"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn neighbours_are_not_recorded() -> Result<()> {
    let container = Container::idle()?;
    let neighbour = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    neighbour.exec(&["cat", "/etc/passwd"])?;
    run(&mut tool("cat", &["/etc/group"]))?;
    container.exec(&["cat", "/etc/group"])?;
    let bundle = recording.stop()?;
    ensure!(
        bundle.count("fs.path.name=/etc/group and proc.name=cat")? >= 1,
        "the container's own call is missing"
    );
    // The engine's own events are kept whomever they are about.
    assert_eq!(
        bundle.count(&format!("evt.stream!=engine and container.id={}", neighbour.id))?,
        0
    );
    assert_eq!(bundle.count("fs.path.name=/etc/passwd and proc.name=cat")?, 0);
    let others = bundle.events("evt.stream=syscall")?;
    let stray = others
        .iter()
        .find(|call| call["container.id"] != container.id.as_str());
    assert!(stray.is_none(), "{stray:?}");
    Ok(())
}

#[test]
#[ignore = "root"]
fn calls_that_have_not_returned_are_there_as_such() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    let mut reader = container.command(&["sh", "-c", "mkfifo /tmp/fifo; exec cat /tmp/fifo"]);
    let reader = stillframe_tests::Running::start(&mut reader)?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    let bundle = recording.stop()?;
    drop(reader);
    let open = bundle
        .members()?
        .into_iter()
        .filter(|name| name.ends_with("/open.cbor"))
        .count();
    ensure!(open > 0, "no slice has open calls");
    // The first process sleeps for an hour and cat waits for a writer: both calls run when the capture ends.
    let info = bundle.info()?;
    let text = bundle.shows("state", &["ps", "--at", "100%", "--json"])?;
    ensure!(
        text.contains("cat"),
        "the process that waits is not in the tree at the end: {text}\n{info}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn event_numbers_are_dense_and_times_have_nine_digits() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["ls", "/"])?;
    let bundle = recording.stop()?;
    let text = bundle.shows("events", &["--json"])?;
    let mut expected = 1;
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        assert_eq!(event["evt.num"].as_u64(), Some(expected));
        expected += 1;
        if let Some(time) = event.get("evt.time").and_then(Value::as_str) {
            let digits = time.split('.').nth(1).context("no fraction of a second")?;
            assert_eq!(digits.len(), "123456789Z".len(), "{time}");
            assert!(time.ends_with('Z'), "{time}");
        }
    }
    ensure!(expected > 10, "only {expected} events");
    assert_eq!(
        bundle.shows("events", &["--count"])?.trim().parse::<u64>()?,
        expected - 1
    );
    Ok(())
}

/// A pipe, a pair of sockets and a link, each moving 300 bytes or what there is.
const TRANSFERS: &str = "import os, socket
data = b'0123456789' * 30
r, w = os.pipe()
os.write(w, data)
os.read(r, 300)
a, b = socket.socketpair()
a.send(data)
b.recv(300)
os.symlink(data.decode()[:200], '/tmp/stillframe-snaplen-' + str(os.getpid()))
os.readlink('/tmp/stillframe-snaplen-' + str(os.getpid()))
os.unlink('/tmp/stillframe-snaplen-' + str(os.getpid()))";

#[test]
#[ignore = "root"]
fn each_class_of_data_is_kept_to_its_own_length() -> Result<()> {
    for engine in ["bpf", "ptrace"] {
        let options = [
            "--syscalls",
            engine,
            "--data",
            "7",
            "--snaplen",
            "read=3,write=0,recv=100,send=250",
        ];
        let (bundle, _) = record_calls(&options, &["/usr/bin/python3", "-c", TRANSFERS])?;
        for (call, kept) in [("read", 3), ("recvfrom", 100), ("sendto", 250), ("readlink", 7)] {
            let found = bundle.events(&format!(
                "evt.type={call} and evt.rawres in (200, 300) and evt.buflen in (200, 300)"
            ))?;
            let [found] = found.as_slice() else {
                anyhow::bail!("{engine}: {} times {call}", found.len());
            };
            let buffer = found["evt.buffer"].as_str().context("no data")?;
            assert_eq!(buffer, &"0123456789".repeat(30)[..kept], "{engine}: {call}");
        }
        let written = bundle.events("evt.type=write and evt.rawres=300")?;
        assert_eq!(written.len(), 1, "{engine}");
        assert_eq!(written[0].get("evt.buffer"), None, "{engine}: {}", written[0]);
    }
    Ok(())
}

/// There is room of its own for 64 execs at one time; who comes later has to be seen as well.
#[test]
#[ignore = "root"]
fn execs_under_way_at_one_time_keep_their_arguments_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("held");
    compile("exec/held.c", &program)?;
    let program = program.to_str().context("a path")?;
    let script = r#"for round in 1 2 3; do "$1" 150 /bin/true; done"#;
    let (bundle, said) = record_calls(&["--syscalls", "bpf"], &["sh", "-c", script, "sh", program])?;
    assert_eq!(said, "150\n150\n150\n", "all were held at one time");
    let found = bundle.events("evt.type=execve and evt.args contains held- and evt.rawres=0")?;
    let mut each = vec![0; 150];
    for event in &found {
        let args = event["evt.args"].as_str().context("no arguments")?;
        let number = args
            .split_once("[\"/bin/true\", \"held-")
            .and_then(|(_, rest)| rest.split_once('"'))
            .and_then(|(number, _)| number.parse::<usize>().ok())
            .with_context(|| format!("the arguments of another: {args}"))?;
        *each.get_mut(number).context("a number that none has")? += 1;
    }
    assert_eq!(each, [3; 150]);
    bundle.expect_nothing_lost()
}

/// A capture that stands still for a while loses what does not fit its ring, and says so where it is asked whether the
/// absence of an event means anything.
#[test]
#[ignore = "root"]
fn a_hole_is_no_evidence_and_what_is_around_it_is() -> Result<()> {
    let container = Container::idle()?;
    let mut recording = Recording::start(&[
        &container.name,
        "-t",
        "120s",
        "--max-memory",
        "8M",
        "--no-packets",
        "--no-block",
    ])?;
    recording.signal(Signal::SIGSTOP)?;
    container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=300000"])?;
    recording.signal(Signal::SIGCONT)?;
    recording.signal(Signal::SIGINT)?;
    let (finished, bundle) = recording.finish()?;
    finished.expect_code(4)?;
    let info = bundle.info()?;
    let streams = &info["evidence"]["streams"];
    let calls = &streams["syscall"];
    assert_eq!(calls["state"], "complete except");
    let holes = calls["holes"].as_array().context("no holes")?;
    let sum = |key: &str| -> u64 { holes.iter().filter_map(|hole| hole[key].as_u64()).sum() };
    assert_eq!(Some(sum("count")), info["lost"]["syscall"].as_u64());
    for hole in holes {
        assert_eq!(hole["causes"], serde_json::json!(["ring-full"]));
        let scopes = hole["scopes"].as_array().context("no scopes")?;
        ensure!(
            !scopes.is_empty()
                && scopes
                    .iter()
                    .all(|scope| scope.as_str().is_some_and(|scope| scope.starts_with("cpu "))),
            "{hole}"
        );
        let moment = |of: &Value, key: &str| of[key].as_u64().with_context(|| format!("no {key}: {of}"));
        let (from, to) = (moment(hole, "from_boottime")?, moment(hole, "to_boottime")?);
        let (started, ended) = (
            moment(&info, "started_boottime")?,
            moment(&info, "ended_boottime")?,
        );
        ensure!(
            started <= from && from < to && to <= ended,
            "{hole}: {started} to {ended}"
        );
    }
    // Every call of dd that is not here was counted: what it made for its own start and end is some hundreds.
    let there = bundle.count("evt.stream=syscall and proc.name=dd")?;
    let all = there + sum("count");
    ensure!(
        (600_000..602_000).contains(&all),
        "{there} and {} lost",
        sum("count")
    );
    assert_eq!(streams["engine"]["state"], "complete");
    assert_eq!(streams["packet"]["state"], "no evidence");
    Ok(())
}
