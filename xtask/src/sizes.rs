//! `cargo xtask sizes`: what a call takes in a bundle, column by column, next to what other tools write of the same
//! work, each after `zstd -3`.
//!
//! All tools run one after another, because two that trace at once would make each other's times. The work is the same,
//! not the noise of its times.

use crate::bench::{Started, table};
use crate::{command, workspace};
use anyhow::{Context as _, Result, bail};
use ciborium::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use stillframe_format::event::Stream;
use stillframe_format::reader::{Bundle, Streams};

/// Reads, and as many writes, of one byte.
const DD: &str = "dd if=/dev/zero of=/dev/null bs=1 count=200000";
/// Names that no other process of the host has: bpftrace asks for them.
const DD_NAME: &str = "sf-sizes-dd";
const REDIS_NAME: &str = "sf-sizes-redis";
/// The server is what is traced; the load is the same for all.
const REDIS: &str = "redis-benchmark -p 7399 -t set,get -P 1 -n 20000 -q";
const PORT: &str = "7399";
/// Sources that say nothing of calls are off, so that the file is that of the calls.
const ONLY_CALLS: [&str; 4] = ["--no-packets", "--no-block", "--no-journal", "--no-kernel"];
/// A log of so few bytes has no call in it: bpftrace and tcpdump write a head of their own.
const LEAST_LOG: usize = 1_000;
/// Columns that are shown; what is below takes less than a hundredth of a byte.
const LEAST: f64 = 0.005;

/// What a tool wrote of a workload.
struct Row {
    name: String,
    /// Calls, or packets.
    events: u64,
    raw: u64,
    /// After `zstd -3`; of a bundle the file as it is.
    compressed: u64,
}

/// What a column takes, in bytes: as it is, and after `zstd -3` alone.
type Columns = BTreeMap<String, (u64, u64)>;

/// A bundle of calls: its name in the table, how many they are, and their columns.
type Bundled = (String, u64, Columns);

/// A workload in words, what was written of it, and the bundles among that.
type Measured = (String, Vec<Row>, Vec<Bundled>);

/// Measures, prints, and puts it into `docs/performance.md` when `write` is set.
pub(crate) fn run(write: bool) -> Result<()> {
    let binaries = workspace::release_binaries()?;
    let folder = workspace::target()?.join("sizes");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let sizes = Sizes { binaries, folder };
    for (name, program) in [(DD_NAME, "dd"), (REDIS_NAME, "redis-server")] {
        let path = command::output(Command::new("sh").args(["-c", &format!("command -v {program}")]))?;
        let link = sizes.path(name);
        if link.exists() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(path.trim(), &link)?;
    }
    let mut text = String::new();
    let mut columns = Vec::new();
    for (title, rows, found) in [sizes.dd()?, sizes.redis()?] {
        text.push_str(&format!(
            "{title}\n\n| written by | events | bytes an event | after `zstd -3` |\n|---|---:|---:|---:|\n"
        ));
        for row in rows {
            text.push_str(&format!(
                "| {} | {} | {:.2} | {:.2} |\n",
                row.name,
                row.events,
                share(row.raw, row.events),
                share(row.compressed, row.events)
            ));
        }
        text.push('\n');
        columns.extend(found);
    }
    text.push_str(&by_column(&columns));
    println!("{text}");
    if write {
        let file = workspace::root()?.join("docs/performance.md");
        table::put(&file, "sizes", &text)?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio, shown with two digits")]
fn share(bytes: u64, events: u64) -> f64 {
    bytes as f64 / events.max(1) as f64
}

/// A table with a row for each column of calls and a pair of cells for each bundle.
fn by_column(bundles: &[Bundled]) -> String {
    let mut names: Vec<&String> = bundles
        .iter()
        .flat_map(|(_, _, columns)| columns.keys())
        .collect();
    names.sort();
    names.dedup();
    let cell = |(_, calls, columns): &Bundled, name: &str| {
        let (raw, compressed) = columns.get(name).copied().unwrap_or_default();
        (share(raw, *calls), share(compressed, *calls))
    };
    let weight = |name: &str| {
        bundles
            .iter()
            .map(|bundle| cell(bundle, name).1)
            .fold(0.0, f64::max)
    };
    names.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let mut text = "Where the bytes of the calls' segments go, a call: as they lie in the member, and after `zstd -3`, each column alone.\n\n| column |"
        .to_owned();
    for (name, ..) in bundles {
        text.push_str(&format!(" {name} | |"));
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|---:|".repeat(bundles.len()));
    text.push('\n');
    let mut line = |name: &str, cells: Vec<(f64, f64)>| {
        text.push_str(&format!("| {name} |"));
        for (raw, compressed) in cells {
            text.push_str(&format!(" {raw:.2} | {compressed:.2} |"));
        }
        text.push('\n');
    };
    for name in names.iter().filter(|name| weight(name) >= LEAST) {
        line(
            &format!("`{name}`"),
            bundles.iter().map(|bundle| cell(bundle, name)).collect(),
        );
    }
    let all = |(_, calls, columns): &Bundled| {
        let sum = |of: fn(&(u64, u64)) -> u64| share(columns.values().map(of).sum(), *calls);
        (sum(|size| size.0), sum(|size| size.1))
    };
    line("all", bundles.iter().map(all).collect());
    text
}

struct Sizes {
    binaries: PathBuf,
    folder: PathBuf,
}

impl Sizes {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn dd(&self) -> Result<Measured> {
        let bundle = self.path("dd.capture.tar.zst");
        let dd = format!(
            "{} 2>/dev/null",
            DD.replacen("dd", &self.path(DD_NAME).display().to_string(), 1)
        );
        let mut capture = Command::new(self.binaries.join("capture"));
        capture
            .args(ONLY_CALLS)
            .args(["--force", "-o"])
            .arg(&bundle)
            .args(["--", "sh", "-c", &dd]);
        command::output(&mut capture)?;
        let (calls, columns) = columns(&bundle)?;
        let mut rows = vec![self.bundle("`capture`", &bundle, calls)?];
        let log = self.path("dd.strace");
        command::output(
            Command::new("strace")
                .args(["-f", "-ttt", "-T", "-o"])
                .arg(&log)
                .args(["sh", "-c", &dd]),
        )?;
        rows.push(text("`strace -f -ttt -T`", &log)?);
        let log = self.path("dd.bpftrace");
        beside(&mut bpftrace(&log), &dd)?;
        rows.push(text("bpftrace, a line a call", &log)?);
        let title = format!("`{DD}`:");
        Ok((title, rows, vec![("dd".to_owned(), calls, columns)]))
    }

    fn redis(&self) -> Result<Measured> {
        let mut rows = Vec::new();
        let mut found = Vec::new();
        for (name, title, data) in [
            ("redis, no data", "`capture --no-data`", ["--no-data"].as_slice()),
            ("redis, 64 bytes", "`capture --data 64`", &["--data", "64"]),
        ] {
            let bundle = self.path("redis.capture.tar.zst");
            self.beside_redis(|pid| {
                let mut capture = Command::new(self.binaries.join("capture"));
                capture
                    .args(["-p", pid, "-t", "10m", "--force"])
                    .args(ONLY_CALLS)
                    .args(data)
                    .arg("-o")
                    .arg(&bundle);
                capture
            })?;
            let (calls, columns) = columns(&bundle)?;
            rows.push(self.bundle(title, &bundle, calls)?);
            found.push((name.to_owned(), calls, columns));
        }
        let log = self.path("redis.strace");
        self.beside_redis(|pid| {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-ttt", "-T", "-p", pid, "-o"]).arg(&log);
            strace
        })?;
        rows.push(text("`strace -f -ttt -T`", &log)?);
        let log = self.path("redis.bpftrace");
        self.beside_redis(|_| bpftrace(&log))?;
        rows.push(text("bpftrace, a line a call", &log)?);
        let packets = self.path("redis.pcap");
        self.beside_redis(|_| {
            let mut tcpdump = Command::new("tcpdump");
            tcpdump
                .args(["-i", "lo", "-s", "128", "-w"])
                .arg(&packets)
                .args(["tcp", "port", PORT]);
            tcpdump
        })?;
        let mut row = text("`tcpdump -s 128`, a packet", &packets)?;
        let counted = command::output(Command::new("tcpdump").args(["--count", "-r"]).arg(&packets))?;
        let number = counted.split(' ').next().and_then(|number| number.parse().ok());
        row.events = number.with_context(|| format!("tcpdump --count says {counted:?}"))?;
        rows.push(row);
        Ok((format!("`{REDIS}`, the server traced:"), rows, found))
    }

    /// Runs a tracer of a redis server while the load runs, and ends both.
    fn beside_redis(&self, tracer: impl FnOnce(&str) -> Command) -> Result<()> {
        let mut server = Command::new(self.path(REDIS_NAME));
        server.args([
            "--port",
            PORT,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ]);
        let server = Started::new(quiet(&mut server))?;
        std::thread::sleep(Duration::from_secs(1));
        beside(&mut tracer(&server.id().to_string()), REDIS)
    }

    fn bundle(&self, name: &str, path: &Path, calls: u64) -> Result<Row> {
        let len = path.metadata()?.len();
        let raw = unpacked(path)?;
        Ok(Row {
            name: format!("{name}, the whole file"),
            events: calls,
            raw,
            compressed: len,
        })
    }
}

/// Runs the work while a tracer runs, and ends that.
fn beside(tracer: &mut Command, work: &str) -> Result<()> {
    let mut tracer = Started::new(quiet(tracer))?;
    // bpftrace compiles first.
    std::thread::sleep(Duration::from_secs(8));
    command::output(Command::new("sh").args(["-c", work]))?;
    std::thread::sleep(Duration::from_secs(1));
    tracer.interrupt()?;
    Ok(())
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// A line for each call of the two programs: time, thread, number, result, duration. It looks for its tracepoints in a
/// place where not every host has them mounted.
fn bpftrace(log: &Path) -> Command {
    let script = format!(
        "tracepoint:raw_syscalls:sys_enter {{ @at[tid] = nsecs; }} \
         tracepoint:raw_syscalls:sys_exit /@at[tid] && (comm == \"{DD_NAME}\" || comm == \"{REDIS_NAME}\")/ {{ \
         printf(\"%llu %d %d %ld %llu\\n\", nsecs, tid, args->id, args->ret, nsecs - @at[tid]); }}"
    );
    let start = "test -d /sys/kernel/debug/tracing/events || mount -t debugfs debugfs /sys/kernel/debug; \
        exec bpftrace -o \"$1\" -e \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", start, "sh"]).arg(log).arg(script);
    command
}

/// A file of lines, each an event.
fn text(name: &str, path: &Path) -> Result<Row> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A tracer that was not ready in time, or was refused, would stand there as the smallest of all.
    if content.len() < LEAST_LOG {
        bail!("{name}: nothing was recorded in {}", path.display());
    }
    let compressed = zstd::bulk::compress(&content, 3)?;
    Ok(Row {
        name: name.to_owned(),
        events: content.iter().filter(|byte| **byte == b'\n').count() as u64,
        raw: content.len() as u64,
        compressed: compressed.len() as u64,
    })
}

/// Bytes of a bundle's members and their headers.
fn unpacked(path: &Path) -> Result<u64> {
    let mut bundle = Bundle::open(File::open(path)?)?;
    let mut sum = 0;
    for place in bundle.frames().to_vec() {
        sum += bundle.frame_content(place)?.len() as u64;
    }
    Ok(sum)
}

/// The calls of a bundle, and what their columns take.
fn columns(path: &Path) -> Result<(u64, Columns)> {
    let mut bundle = Bundle::open(File::open(path)?)?;
    let (mut calls, mut found) = (0, Columns::new());
    for index in 0..bundle.slices().len() {
        let part = bundle
            .slice_bytes(index)?
            .open(Streams::default().with(Stream::Syscall))?;
        let Some(member) = part.member("syscall.cbor")? else {
            continue;
        };
        calls += part.times(Stream::Syscall)?.len() as u64;
        for (table, content) in map(ciborium::from_reader(member)?)? {
            for (key, value) in map(content)? {
                if key != "columns" {
                    continue;
                }
                for (column, value) in map(value)? {
                    let mut bytes = Vec::new();
                    ciborium::into_writer(&value, &mut bytes)?;
                    let size = found.entry(format!("{table}.{column}")).or_default();
                    size.0 += bytes.len() as u64;
                    size.1 += zstd::bulk::compress(&bytes, 3)?.len() as u64;
                }
            }
        }
    }
    if calls == 0 {
        bail!("{}: no call was recorded", path.display());
    }
    Ok((calls, found))
}

fn map(value: Value) -> Result<Vec<(String, Value)>> {
    let Value::Map(entries) = value else {
        bail!("not a map: the segment has another shape than its page says");
    };
    entries
        .into_iter()
        .map(|(key, value)| {
            let name = key.into_text().ok().context("a key that is no text")?;
            Ok((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_by_weight_and_add_up() {
        let bundle = |name: &str, sizes: &[(&str, u64, u64)]| {
            let columns = sizes
                .iter()
                .map(|&(name, raw, compressed)| (name.to_owned(), (raw, compressed)));
            (name.to_owned(), 100, columns.collect())
        };
        let text = by_column(&[
            bundle("a", &[("events.gap", 200, 50), ("events.cpu", 100, 0)]),
            bundle("b", &[("events.ret", 300, 90)]),
        ]);
        let lines: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            lines,
            [
                "| `events.ret` | 0.00 | 0.00 | 3.00 | 0.90 |",
                "| `events.gap` | 2.00 | 0.50 | 0.00 | 0.00 |",
                "| all | 3.00 | 0.50 | 3.00 | 0.90 |"
            ]
        );
    }
}
