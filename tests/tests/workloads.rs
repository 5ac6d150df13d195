//! Real programs under load: nothing is lost, and what was counted outside is in the bundle.

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use stillframe_tests::{Container, Recording, run, run_for, tool};

#[test]
#[ignore = "root"]
fn redis_under_redis_benchmark() -> Result<()> {
    let redis = Container::run("sf-redis", &[], &[])?;
    redis.wait_for_log("Ready to accept connections")?;
    let recording = Recording::start(&[&redis.name, "-t", "110s"])?;
    let said = redis.exec(&[
        "redis-benchmark",
        "-q",
        "-c",
        "20",
        "-n",
        "20000",
        "-t",
        "set",
        "-d",
        "32",
    ])?;
    ensure!(said.contains("requests per second"), "{said}");
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    // Every request is one write of the client to the server's port (newer clients send).
    let requests = bundle
        .count("evt.type in (write, sendto) and proc.name=redis-benchmark and evt.buffer contains SET")?;
    ensure!(requests >= 20_000, "{requests} of 20000 requests");
    let replies = bundle.count("evt.type=write and proc.name=redis-server and evt.buffer contains OK")?;
    ensure!(replies >= 20_000, "{replies} of 20000 replies");
    ensure!(
        bundle.count("evt.type=packet and tcp.port=6379")? >= 20_000,
        "packets"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn nginx_under_wrk() -> Result<()> {
    let nginx = Container::run("sf-nginx", &[], &[])?;
    let url = format!("http://{}/", nginx.address()?);
    let recording = Recording::start(&[&nginx.name, "-t", "110s"])?;
    let mut wrk = tool("wrk", &["-t1", "-c8", "-d2s", &url]);
    let said = run_for(&mut wrk, Duration::from_secs(60))?.expect_code(0)?.text();
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    let done: u64 = said
        .lines()
        .find(|line| line.contains("requests in"))
        .and_then(|line| line.split_ascii_whitespace().next())
        .with_context(|| format!("wrk says {said}"))?
        .parse()?;
    let sent = bundle.count(
        "evt.type in (write, writev, sendfile) and proc.name=nginx and fd.type=ipv4 and evt.rawres > 0",
    )?;
    ensure!(sent >= done, "{sent} replies recorded of {done}");
    ensure!(
        bundle.count("evt.type=openat and proc.name=nginx and fs.path.name=/www/index.html")? >= 1,
        "the page"
    );
    let conversations = run(tool(
        "sh",
        &[
            "-c",
            r#""$1" export "$2" pcapng -o - | tshark -n -r - -Y http.request | wc -l"#,
            "sh",
        ],
    )
    .arg(stillframe_tests::program("replay")?.get_program())
    .arg(bundle.path()))?;
    ensure!(
        conversations.trim().parse::<u64>()? >= done,
        "{conversations} requests in the packets of {done}"
    );
    Ok(())
}
