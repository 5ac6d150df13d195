//! Signals and OOM kills: each that is sent and each that is delivered is an event, with who sent it and what came of it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, capture, run, run_for, tool};

const LIMIT: Duration = Duration::from_secs(120);

/// A shell that answers SIGUSR1 and says so, and is not the first process of its namespace.
const LISTENER: &str =
    "sh -c 'trap \"echo heard\" USR1; echo ready; while :; do sleep 0.1; done'; echo ended";

/// The process of the listener, as the host and as the container number it.
fn listener(container: &Container) -> Result<(u32, u32)> {
    let first = container.pid()?;
    let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
    let outside = children
        .split_whitespace()
        .next()
        .context("the shell has no child")?;
    let status = fs::read_to_string(format!("/proc/{outside}/status"))?;
    let inside = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .and_then(|numbers| numbers.split_whitespace().next_back())
        .context("no NSpid")?;
    Ok((outside.parse()?, inside.parse()?))
}

fn only(mut events: Vec<Value>, what: &str) -> Result<Value> {
    ensure!(events.len() == 1, "{what}: {events:#?}");
    Ok(events.remove(0))
}

#[test]
#[ignore = "root"]
fn a_signal_from_outside_and_one_from_inside_tell_who_sent_them() -> Result<()> {
    let container = Container::run("sf-busybox", &[], &["sh", "-c", LISTENER])?;
    container.wait_for_log("ready")?;
    let (outside, inside) = listener(&container)?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    run(&mut tool("kill", &["-USR1", &outside.to_string()]))?;
    container.wait_for_log("heard")?;
    container.exec(&["kill", "-TERM", &inside.to_string()])?;
    container.wait_for_log("ended")?;
    let bundle = recording.stop()?;
    bundle.expect_nothing_lost()?;

    let sent = only(
        bundle.events("evt.type=signalsend and signal.name=SIGUSR1")?,
        "sent",
    )?;
    assert_eq!(sent["proc.pid"], outside);
    assert_eq!(sent["signal.sender.name"], "kill");
    assert_eq!(sent["signal.scope"], "process");
    assert_eq!(sent["signal.action"], "pending");
    assert_eq!(sent["signal.fatal"], false);
    ensure!(sent.get("signal.sender.container").is_none(), "{sent}");
    // Whoever is outside has no number inside.
    assert_eq!(
        sent["signal.info"],
        "{si_signo=SIGUSR1, si_code=SI_USER, si_pid=0, si_uid=0}"
    );
    let delivered = only(
        bundle.events("evt.type=signaldeliver and signal.name=SIGUSR1")?,
        "delivered",
    )?;
    assert_eq!(delivered["signal.action"], "handler");
    assert_eq!(delivered["signal.info"], sent["signal.info"]);
    ensure!(delivered["evt.num"].as_u64() > sent["evt.num"].as_u64());

    let ended = only(
        bundle.events("evt.type=signalsend and signal.name=SIGTERM")?,
        "ended",
    )?;
    assert_eq!(ended["proc.pid"], outside);
    assert_eq!(ended["signal.fatal"], true);
    assert_eq!(ended["signal.sender.container"], container.id.as_str());
    ensure!(ended["signal.sender.pid"].as_u64() != Some(0));
    let exit = only(
        bundle.events(&format!("evt.type=procexit and proc.pid={outside}"))?,
        "exit",
    )?;
    assert_eq!(exit["proc.exit.signal"], 15);
    let errors = bundle.shows("errors", &[])?;
    let number = format!("#{}", ended["evt.num"]);
    ensure!(
        errors.contains("Fatal signals") && errors.contains(&number),
        "{number} is not in\n{errors}"
    );
    let strace = bundle.replay("export", &["strace", "--output", "-"])?.text();
    let line = |text: &str| strace.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        line("--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=0, si_uid=0} ---"),
        1
    );
    assert_eq!(line("--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid="), 1);
    Ok(())
}

fn of_command(script: &str, options: &[&str]) -> Result<Bundle> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let mut capture = capture(&["--no-packets", "--no-block", "--no-journal", "--no-kernel"])?;
    capture
        .args(options)
        .arg("-o")
        .arg(&path)
        .args(["--", "sh", "-c", script]);
    run_for(&mut capture, LIMIT)?.expect_code(0)?;
    Ok(Bundle::new(path, Some(folder)))
}

#[test]
#[ignore = "root"]
fn sigkill_is_sent_and_never_delivered_and_threads_that_end_with_their_process_get_none() -> Result<()> {
    let script = "sleep 100 & pid=$!; until grep -q sleep /proc/$pid/comm; do :; done; kill -9 $pid; wait $pid; \
        /usr/bin/python3 -c 'import os, threading, time\n\
        for _ in range(4): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n\
        os._exit(0)'; true";
    let bundle = of_command(script, &[])?;
    bundle.expect_nothing_lost()?;
    let sent = only(
        bundle.events("evt.type=signalsend and signal.name=SIGKILL")?,
        "SIGKILL",
    )?;
    assert_eq!(sent["signal.fatal"], true);
    assert_eq!(sent["proc.name"], "sleep");
    assert_eq!(sent["signal.sender.name"], "sh");
    assert_eq!(bundle.count("evt.type=signaldeliver and signal.name=SIGKILL")?, 0);
    assert_eq!(
        bundle.count("evt.type=procexit and proc.exit.signal=9 and proc.name=sleep")?,
        1
    );
    // The shell waits for its children, and ignores their ends: the kernel never delivers what is ignored.
    ensure!(bundle.count("evt.type=signalsend and signal.name=SIGCHLD and signal.code=CLD_KILLED")? == 1);
    Ok(())
}

#[test]
#[ignore = "root"]
fn by_ptrace_a_signal_is_told_when_it_is_delivered() -> Result<()> {
    let script = r"trap 'echo heard' USR1; kill -USR1 \$\$; kill -TERM \$\$";
    let bundle = of_command(&format!("sh -c \"{script}\"; true"), &["--syscalls", "ptrace"])?;
    let heard = only(bundle.events("signal.name=SIGUSR1")?, "SIGUSR1")?;
    assert_eq!(heard["evt.type"], "signaldeliver");
    assert_eq!(heard["signal.action"], "handler");
    assert_eq!(heard["signal.code"], "SI_USER");
    let ended = only(bundle.events("signal.name=SIGTERM")?, "SIGTERM")?;
    assert_eq!(ended["signal.fatal"], true);
    assert_eq!(ended["signal.action"], "default");
    let end = String::from_utf8(bundle.member("end.json")?)?;
    ensure!(
        end.contains("signals that are sent") && end.contains("OOM kills"),
        "end.json does not say what a tracer can't see: {end}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_container_that_runs_out_of_memory_names_the_victim() -> Result<()> {
    // Without swap, where the kernel counts it.
    let container = Container::run(
        "sf-busybox",
        &["--memory", "32m", "--memory-swap", "32m"],
        &["sleep", "3600"],
    )?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    // Everything that dd reads stands in its one buffer.
    let killed = run_for(
        &mut container.command(&[
            "sh",
            "-c",
            "dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?",
        ]),
        LIMIT,
    )?;
    ensure!(killed.text().contains("137"), "{}", killed.said());
    let bundle = recording.stop()?;
    let victim = only(bundle.events("evt.type=oomkill")?, "oomkill")?;
    assert_eq!(victim["proc.name"], "dd");
    assert_eq!(victim["container.id"], container.id.as_str());
    assert_eq!(victim["oom.trigger.name"], "dd");
    if let Some(pages) = victim["oom.pages.anon"].as_u64() {
        ensure!((1_000..=8_192).contains(&pages), "{victim}");
    }
    let sent = only(
        bundle.events("evt.type=signalsend and signal.name=SIGKILL and signal.fatal=true")?,
        "SIGKILL",
    )?;
    assert_eq!(sent["signal.code"], "SI_KERNEL");
    ensure!(
        sent.get("signal.sender.pid").is_none(),
        "the kernel has no process id: {sent}"
    );
    let number = format!("#{}", victim["evt.num"]);
    for question in ["errors", "summary"] {
        let page = bundle.shows(question, &[])?;
        ensure!(
            page.contains("chosen by the OOM killer") && page.contains(&number),
            "{question} does not name {number}\n{page}"
        );
    }
    Ok(())
}
