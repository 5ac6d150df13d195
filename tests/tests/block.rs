//! Block I/O: the container's own requests with their true owner, and nobody else's.

use anyhow::{Context as _, Result, ensure};
use stillframe_tests::{Container, Disk, Recording, run, tool};

const DIRECT: &str = "dd if=/dev/zero of=/data/direct bs=64k count=16 oflag=direct";

fn with_volume(disk: &Disk) -> Result<Container> {
    let volume = format!("{}:/data", disk.path().display());
    Container::run("sf-busybox", &["--volume", &volume], &["sleep", "3600"])
}

#[test]
#[ignore = "root"]
fn a_direct_write_has_queue_issue_and_complete_with_sizes_and_latency() -> Result<()> {
    let disk = Disk::mounted(64)?;
    let container = with_volume(&disk)?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["sh", "-c", DIRECT])?;
    let bundle = recording.stop()?;
    let written = |action: &str| -> Result<u64> {
        let filter = format!(
            "evt.type=blk{action} and blk.dev={} and blk.op=write and container.id={}",
            disk.number()?,
            container.id
        );
        let events = bundle.events(&filter)?;
        events
            .iter()
            .map(|event| event["blk.bytes"].as_u64().context("no size"))
            .sum()
    };
    for action in ["queue", "issue", "complete"] {
        let bytes = written(action)?;
        ensure!(
            (1 << 20..2 << 20).contains(&bytes),
            "{action}: {bytes} bytes of 1 MiB written"
        );
    }
    let completed = bundle.events(&format!("evt.type=blkcomplete and blk.dev={}", disk.number()?))?;
    ensure!(
        completed
            .iter()
            .all(|event| event["blk.latency"].as_u64().is_some_and(|latency| latency > 0)),
        "{completed:?}"
    );
    let queued = bundle.events(&format!(
        "evt.type=blkqueue and blk.dev={} and proc.name=dd",
        disk.number()?
    ))?;
    ensure!(
        !queued.is_empty(),
        "the task that issued a direct write is not dd"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_buffered_write_belongs_to_the_container_also_when_a_kworker_issues_it() -> Result<()> {
    let disk = Disk::mounted(128)?;
    let container = with_volume(&disk)?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["dd", "if=/dev/zero", "of=/data/buffered", "bs=1M", "count=20"])?;
    // Somebody else's sync: the writeback runs in a kworker, on behalf of nobody.
    run(tool("sync", &["-f"]).arg(disk.path().join("buffered")))?;
    let inode = std::os::unix::fs::MetadataExt::ino(&disk.path().join("buffered").metadata()?);
    let bundle = recording.stop()?;
    let issued = bundle.events(&format!(
        "evt.type=blkissue and blk.dev={} and blk.op=write",
        disk.number()?
    ))?;
    let own: Vec<_> = issued
        .iter()
        .filter(|event| event["container.id"] == container.id.as_str() && event["blk.inode"] == inode)
        .collect();
    let bytes: u64 = own.iter().filter_map(|event| event["blk.bytes"].as_u64()).sum();
    assert_eq!(bytes, 20 << 20, "of the file's 20 MiB: {issued:?}");
    ensure!(
        own.iter()
            .all(|event| event["blk.owner"] == "page" || event["blk.owner"] == "bio"),
        "{own:?}"
    );
    ensure!(
        own.iter().any(|event| event["proc.name"] != "dd"),
        "the test made no writeback by another task: {own:?}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn neighbours_requests_on_the_same_disk_are_counted_not_recorded() -> Result<()> {
    let disk = Disk::mounted(64)?;
    let container = with_volume(&disk)?;
    let neighbour = with_volume(&disk)?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["sh", "-c", DIRECT])?;
    neighbour.exec(&[
        "sh",
        "-c",
        "dd if=/dev/zero of=/data/other bs=64k count=64 oflag=direct",
    ])?;
    let bundle = recording.stop()?;
    let inode = std::os::unix::fs::MetadataExt::ino(&disk.path().join("other").metadata()?);
    assert_eq!(
        bundle.count(&format!("evt.stream=block and blk.inode={inode}"))?,
        0
    );
    assert_eq!(
        bundle.count(
            "evt.stream=block and container.id exists and blk.op=write and proc.name=dd and blk.bytes=0"
        )?,
        0
    );
    let end: serde_json::Value = serde_json::from_slice(&bundle.member("end.json")?)?;
    let text = end.to_string();
    let at = text
        .find("neighbour_requests")
        .with_context(|| format!("end.json counts no neighbours: {text}"))?;
    let digits: String = text
        .get(at..)
        .unwrap_or_default()
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    ensure!(
        digits.parse::<u64>()? >= 64,
        "only {digits} requests of 64 were counted"
    );
    Ok(())
}
