//! Stock tools open the bundle and read what replay exports, and they count what replay counts.

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Disk, Recording, run, run_for, tool};

/// A container that does a little of everything.
fn busy() -> Result<Bundle> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&[
        "sh",
        "-c",
        "nc -l -p 4711 -e cat & until grep -q ':1267 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; echo hello | nc -w 1 127.0.0.1 4711; true",
    ])?;
    container.exec(&["find", "/etc"])?;
    std::thread::sleep(Duration::from_secs(2));
    recording.stop()
}

#[test]
#[ignore = "root"]
fn tar_and_zstd_accept_the_bundle_and_every_member_has_a_plain_name() -> Result<()> {
    let bundle = busy()?;
    let members = bundle.members()?;
    for expected in ["header.json", "end.json", "index.cbor", "manifest.json"] {
        ensure!(
            members.iter().any(|name| name == expected),
            "no {expected} among {members:?}"
        );
    }
    assert_eq!(members.first().map(String::as_str), Some("header.json"));
    let mut once = members.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), members.len(), "a name stands twice");
    for name in &members {
        let is_plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"./_-".contains(&byte));
        ensure!(
            is_plain && !name.starts_with('/') && !name.contains(".."),
            "{name}"
        );
    }
    run(&mut tool("zstd", &["-q", "-t", bundle.name()?]))?;
    // bsdtar and Python's tarfile see the same list through `zstd -d`.
    let python = "import sys,tarfile; print('\\n'.join(m.name for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|')))";
    let mut through = tool(
        "sh",
        &[
            "-c",
            r#"zstd -dc "$1" | /usr/bin/python3 -c "$2""#,
            "sh",
            bundle.name()?,
            python,
        ],
    );
    let listed: Vec<String> = run(&mut through)?.lines().map(str::to_owned).collect();
    assert_eq!(listed, members);
    Ok(())
}

#[test]
#[ignore = "root"]
fn every_member_has_the_size_and_hash_that_the_manifest_says() -> Result<()> {
    let bundle = busy()?;
    let folder = tempfile::tempdir()?;
    run(tool("tar", &["--zstd", "-xf", bundle.name()?, "-C"]).arg(folder.path()))?;
    let python = r#"
import hashlib, json, os, sys
root = sys.argv[1]
text = open(os.path.join(root, 'manifest.json')).read()
manifest = json.loads(text)
members = manifest['members'] if isinstance(manifest, dict) else manifest
if isinstance(members, dict):
    members = [dict(v, name=k) for k, v in members.items()]
for member in members:
    data = open(os.path.join(root, member['name']), 'rb').read()
    assert len(data) == member['size'], member
    assert hashlib.sha256(data).hexdigest() == member['sha256'], member
listed = {member['name'] for member in members}
there = {os.path.relpath(os.path.join(d, f), root) for d, _, fs in os.walk(root) for f in fs}
assert there - listed <= {'manifest.json'}, there - listed
print(len(members))
"#;
    let checked: u64 = run(tool("/usr/bin/python3", &["-c", python]).arg(folder.path()))?
        .trim()
        .parse()?;
    ensure!(checked > 10, "the manifest lists {checked} members");
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_second_cbor_decoder_reads_every_cbor_member() -> Result<()> {
    let bundle = busy()?;
    let folder = tempfile::tempdir()?;
    run(tool("tar", &["--zstd", "-xf", bundle.name()?, "-C"]).arg(folder.path()))?;
    let python = r#"
import cbor2, io, os, sys
count = 0
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        if name.endswith('.cbor'):
            data = open(os.path.join(folder, name), 'rb').read()
            stream = io.BytesIO(data)
            while stream.tell() < len(data):
                cbor2.load(stream)
            count += 1
print(count)
"#;
    let read: u64 = run(tool("/usr/bin/python3", &["-c", python]).arg(folder.path()))?
        .trim()
        .parse()?;
    ensure!(read > 3, "{read} CBOR members");
    Ok(())
}

#[test]
#[ignore = "root"]
fn tshark_reads_the_exported_pcapng_and_counts_the_same() -> Result<()> {
    let bundle = busy()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.pcapng");
    let path = path.to_str().context("path")?;
    bundle.shows("export", &["pcapng", "-o", path])?;
    let packets = bundle.count("evt.type=packet")?;
    ensure!(packets >= 6, "{packets} packets of a TCP conversation");
    let read = run(&mut tool(
        "tshark",
        &[
            "-n",
            "-r",
            path,
            "-T",
            "fields",
            "-e",
            "frame.time_epoch",
            "-e",
            "tcp.port",
        ],
    ))?;
    assert_eq!(read.lines().count() as u64, packets);
    ensure!(read.contains("4711"), "no packet of the conversation in {read}");
    let fraction = read
        .lines()
        .next()
        .and_then(|line| line.split(['.', '\t']).nth(1))
        .context("no time")?;
    assert_eq!(fraction.len(), 9, "not nanoseconds: {read}");
    // Members of one stream can be concatenated.
    let mut cat = tool(
        "sh",
        &[
            "-c",
            r#"cd "$1" && tar --zstd -xf "$2" && cat $(ls slice/*/packets*.pcapng | sort) > all.pcapng && tshark -n -r all.pcapng | wc -l"#,
        ],
    );
    let concatenated: u64 = run(cat.arg("sh").arg(folder.path()).arg(bundle.name()?))?
        .trim()
        .parse()?;
    assert_eq!(concatenated, packets);
    Ok(())
}

#[test]
#[ignore = "root"]
fn systemd_journal_remote_reads_the_exported_journal_and_counts_the_same() -> Result<()> {
    let container = Container::idle()?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    // The engine logs the end of a container that is removed while it runs.
    drop(Container::idle()?);
    std::thread::sleep(Duration::from_secs(1));
    let bundle = recording.stop()?;
    ensure!(
        bundle.count("evt.type=journal")? > 0,
        "no journal entry of the engine's unit during the capture"
    );
    let folder = tempfile::tempdir()?;
    let export = folder.path().join("x.export");
    let journal = folder.path().join("x.journal");
    bundle.shows("export", &["journal", "-o", export.to_str().context("path")?])?;
    // What was logged before the start is exported too.
    let entries = bundle.shows("logs", &["--engine", "--json"])?.lines().count();
    ensure!(
        entries as u64 > bundle.count("evt.type=journal")?,
        "no look-back: the engine has logged its start"
    );
    run(tool("/lib/systemd/systemd-journal-remote", &["-o"])
        .arg(&journal)
        .arg(&export))?;
    let read = run(tool("journalctl", &["-o", "json", "-q", "--file"]).arg(&journal))?;
    assert_eq!(read.lines().count(), entries);
    ensure!(
        read.lines()
            .all(|line| line.contains("docker.service") || line.contains("containerd")),
        "{read}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn blkparse_reads_the_exported_blktrace_and_counts_the_same() -> Result<()> {
    let disk = Disk::mounted(64)?;
    let volume = format!("{}:/data", disk.path().display());
    let container = Container::run("sf-busybox", &["--volume", &volume], &["sleep", "3600"])?;
    let recording = Recording::start(&[&container.name, "-t", "60s"])?;
    container.exec(&["sh", "-c", "dd if=/dev/zero of=/data/x bs=1M count=8 conv=fsync"])?;
    let bundle = recording.stop()?;
    let folder = tempfile::tempdir()?;
    let prefix = folder.path().join("trace");
    bundle.shows("export", &["blktrace", "-o", prefix.to_str().context("path")?])?;
    let filter = |action: &str| {
        format!(
            "evt.type=blk{action} and blk.dev={}",
            disk.number().unwrap_or_default()
        )
    };
    let mut blkparse = tool(
        "blkparse",
        &["-i", &format!("trace.{}", disk.name()), "-f", "%a\n"],
    );
    let parsed = run_for(blkparse.current_dir(folder.path()), Duration::from_secs(60))?
        .expect_code(0)?
        .text();
    for (letter, action) in [("Q", "queue"), ("D", "issue"), ("C", "complete")] {
        let counted = bundle.count(&filter(action))?;
        ensure!(counted > 0, "no {action} on {}", disk.name());
        let read = parsed.lines().filter(|line| *line == letter).count() as u64;
        assert_eq!(read, counted, "{letter} in blkparse, {action} in the bundle");
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn jq_reads_every_line_of_jsonl_and_strace_text_has_every_call() -> Result<()> {
    let bundle = busy()?;
    let folder = tempfile::tempdir()?;
    let jsonl = folder.path().join("x.jsonl");
    bundle.shows("export", &["jsonl", "-o", jsonl.to_str().context("path")?])?;
    let read: u64 = run(tool("jq", &["-s", "length"]).arg(&jsonl))?.trim().parse()?;
    assert_eq!(read, bundle.shows("events", &["--count"])?.trim().parse::<u64>()?);
    let strace = bundle.shows("export", &["strace", "-o", "-"])?;
    let calls = bundle.count("evt.stream=syscall")?;
    ensure!(
        strace.lines().count() as u64 >= calls,
        "{} lines for {calls} calls",
        strace.lines().count()
    );
    ensure!(
        strace
            .lines()
            .any(|line| line.contains("execve(\"/bin/find\"") || line.contains("execve(")),
        "no execve"
    );
    Ok(())
}
