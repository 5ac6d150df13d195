//! Packets of a network namespace: the same ones that tcpdump sees there at the same time.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use std::time::Duration;
use stillframe_tests::{Container, Recording, Running, run, run_for, tool, wait_until};

/// What identifies a packet to both: interface-independent fields that tshark prints.
const FIELDS: &[&str] = &[
    "-T",
    "fields",
    "-e",
    "ip.id",
    "-e",
    "ip.src",
    "-e",
    "ip.dst",
    "-e",
    "tcp.seq_raw",
    "-e",
    "tcp.flags",
    "-e",
    "frame.len",
];

#[test]
#[ignore = "root"]
fn the_exported_packets_equal_those_of_tcpdump() -> Result<()> {
    let server = Container::run("sf-nginx", &[], &[])?;
    let client = Container::idle()?;
    let folder = tempfile::tempdir()?;
    let theirs = folder.path().join("theirs.pcap");
    let ours = folder.path().join("ours.pcapng");
    let url = format!("http://{}/", server.address()?);
    let recording = Recording::start(&[&server.name, "-t", "60s"])?;
    let pid = server.pid()?.to_string();
    let mut tcpdump = tool(
        "nsenter",
        &[
            "-t", &pid, "-n", "tcpdump", "-n", "-U", "-i", "eth0", "-s", "0", "-Z", "root", "-w",
        ],
    );
    let mut tcpdump = Running::start(tcpdump.arg(&theirs))?;
    wait_until("tcpdump listens", Duration::from_secs(10), || {
        Ok(theirs.metadata().is_ok_and(|file| file.len() > 0))
    })?;
    for _ in 0..20 {
        client.exec(&["wget", "-q", "-O", "/dev/null", &url])?;
    }
    // tcpdump reads a block of its ring when it is full, or after a second; an interrupt leaves the last one unread.
    std::thread::sleep(Duration::from_millis(1_500));
    tcpdump.signal(Signal::SIGINT)?;
    tcpdump.finish(Duration::from_secs(10))?;
    let bundle = recording.stop()?;
    bundle.shows("export", &["pcapng", "-o", ours.to_str().context("path")?])?;
    let read = |file: &std::path::Path| -> Result<Vec<String>> {
        let mut tshark = tool("tshark", &["-n", "-Y", "tcp.port == 80", "-r"]);
        let mut lines: Vec<String> = run(tshark.arg(file).args(FIELDS))?
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        Ok(lines)
    };
    let (ours, theirs) = (read(&ours)?, read(&theirs)?);
    ensure!(theirs.len() > 100, "tcpdump saw only {} packets", theirs.len());
    assert_eq!(ours, theirs);
    bundle.expect_nothing_lost()
}

#[test]
#[ignore = "root"]
fn loopback_is_recorded_once_with_direction_and_ports() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&[
        "sh",
        "-c",
        "nc -l -p 4711 -e cat & until grep -q ':1267 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; echo over-loopback | nc -w 1 127.0.0.1 4711; true",
    ])?;
    let bundle = recording.stop()?;
    let syn = bundle.events("evt.type=packet and tcp.dstport=4711 and tcp.flags.syn=true")?;
    // The kernel shows a packet on loopback twice, out and in; both or the one are right, more is not.
    ensure!(
        (1..=2).contains(&syn.len()),
        "{} SYNs of one connection: {syn:?}",
        syn.len()
    );
    ensure!(
        syn.iter()
            .all(|packet| packet["pkt.interface"] == "lo" && packet["ip.dst"] == "127.0.0.1"),
        "{syn:?}"
    );
    ensure!(
        bundle.count("evt.type=packet and pkt.data contains over-loopback")? >= 1,
        "the data is missing"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn snaplen_cuts_packets_and_says_how_long_they_were() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s", "--snaplen", "64"])?;
    container.exec(&[
        "sh",
        "-c",
        "nc -l -p 4711 > /dev/null & until grep -q ':1267 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; head -c 5000 /dev/zero | nc -w 1 127.0.0.1 4711; wait",
    ])?;
    let bundle = recording.stop()?;
    ensure!(
        bundle.count("evt.type=packet and pkt.caplen > 64")? == 0,
        "a packet is longer than the snap length"
    );
    ensure!(
        bundle.count("evt.type=packet and pkt.len > 1000 and pkt.caplen=64")? >= 1,
        "no long packet"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn sources_that_are_switched_off_are_written_down_as_never_asked_for() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s", "--no-packets", "--no-syscalls"])?;
    container.exec(&["sh", "-c", "nc -w 1 127.0.0.1 4711; true"])?;
    let bundle = recording.stop()?;
    assert_eq!(bundle.count("evt.type=packet")?, 0);
    assert_eq!(bundle.count("evt.stream=syscall")?, 0);
    let info = run_for(
        &mut stillframe_tests::replay(&["info", bundle.name()?])?,
        Duration::from_secs(30),
    )?
    .text();
    ensure!(
        info.contains("packets") && info.contains("syscalls"),
        "info says nothing of what was switched off: {info}"
    );
    Ok(())
}
