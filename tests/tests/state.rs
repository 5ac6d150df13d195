//! The state at a moment equals what `/proc` said then.
//!
//! `tests/victims/state/moments.c` opens, closes, duplicates and passes on descriptors in a container, and says at known
//! moments what its `/proc/self/fd` and `/proc/self/net` hold. Each moment is a call in the recording, so that `replay state`
//! can be asked about exactly then. What replay says must be so. What it does not say it must not know: both what is
//! unknown and what differs is held here, with the reason.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stillframe_tests::{Bundle, Container, Recording, compile, run_for, tool, wait_until};

/// What replay says otherwise than the kernel did, by descriptor, and why that can't be mended.
const EXPLAINED: &[(&str, &str)] = &[
    (
        r#"10 name: kernel "/srv/renamed", replay "/srv/../srv/./plain""#,
        "a name is the one that was given to open: what `..` and links lead to, only the kernel knew",
    ),
    (
        r#"18 name: kernel "/srv/renamed", replay "/srv/plain""#,
        "a name is the one that was given to open: what was renamed since keeps it",
    ),
    (
        r#"19 name: kernel "/memfd:scratch (deleted)", replay "/memfd:scratch""#,
        "the kernel remarks that the file stands in no folder; of one that never did, that is no news",
    ),
    (
        r#"29 name: kernel "/srv/renamed", replay "/srv/link""#,
        "a name is the one that was given to open, here a symbolic link",
    ),
];

/// The same of files that were unlinked: the snapshot of the start has the kernel's remark, a call does not.
const UNLINKED: &[(&str, &str)] = &[
    (
        r#"17 name: kernel "/srv/gone (deleted)", replay "/srv/gone""#,
        "a name is the one that was given to open: what was unlinked since keeps it",
    ),
    (
        r#"51 name: kernel "/srv/gone (deleted)", replay "/srv/gone""#,
        "a duplicate of it",
    ),
];

/// What replay does not know, by descriptor, and why.
const UNKNOWN: &[(&str, &str)] = &[
    ("5 inode of the pipe", NUMBER),
    ("8 tcp state", PEER),
    (
        "9",
        "it came with a message: what it refers to, only its sender knew",
    ),
    ("9 tcp state", PEER),
    ("21 inode of the pipe", NUMBER),
    ("22 inode of the socket", NUMBER),
    ("22 tcp local", "connect chose the port, and nobody asked for it"),
    ("22 tcp state", PEER),
    ("23 inode of the socket", NUMBER),
    ("23 tcp remote", "accept was not asked for the address"),
    ("23 tcp state", PEER),
    ("24 inode of the socket", NUMBER),
    ("25 inode of the socket", NUMBER),
    ("25 udp local", "connect chose the port, and nobody asked for it"),
    ("26 inode of the socket", NUMBER),
    ("27 inode of the socket", NUMBER),
    ("28 inode of the socket", NUMBER),
    ("28 unix-stream local", "whether it has a name was not asked"),
];
const NUMBER: &str = "no call tells the kernel's number of what it makes";
const PEER: &str =
    "the other end changes it without a call here (`socket.last_state` has what was told last)";

/// What the program said of one descriptor.
#[derive(Debug)]
struct Descriptor {
    close_on_exec: bool,
    target: String,
}

/// What the kernel said of one socket.
#[derive(Debug)]
struct Socket {
    protocol: &'static str,
    state: String,
    local: String,
    remote: String,
}

/// What the program read from `/proc` at one moment.
#[derive(Debug, Default)]
struct Moment {
    name: String,
    descriptors: BTreeMap<i64, Descriptor>,
    /// By inode number.
    sockets: BTreeMap<u64, Socket>,
}

/// `0100007F:1BBC`, an IPv4 address in the order of the host and a port (proc_net_tcp, Linux 6.12).
fn address(text: &str) -> Result<String> {
    let (address, port) = text.split_once(':').context("no port")?;
    let bytes = u32::from_str_radix(address, 16)?.to_le_bytes();
    let port = u16::from_str_radix(port, 16)?;
    Ok(if (bytes, port) == ([0; 4], 0) {
        String::new()
    } else {
        format!("{}:{port}", std::net::Ipv4Addr::from(bytes))
    })
}

/// States of include/net/tcp_states.h as `ss` writes them.
fn tcp_state(code: &str) -> Result<&'static str> {
    Ok(match code {
        "01" => "ESTAB",
        "02" => "SYN-SENT",
        "04" => "FIN-WAIT-1",
        "05" => "FIN-WAIT-2",
        "06" => "TIME-WAIT",
        "07" => "UNCONN",
        "08" => "CLOSE-WAIT",
        "0A" => "LISTEN",
        other => bail!("TCP state {other}"),
    })
}

impl Moment {
    fn take(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["fd", number, close, ..] => {
                let target = line.splitn(4, ' ').nth(3).context("no target")?.to_owned();
                let descriptor = Descriptor {
                    close_on_exec: *close == "cloexec",
                    target,
                };
                self.descriptors.insert(number.parse()?, descriptor);
            }
            [
                table @ ("tcp" | "udp"),
                _,
                local,
                remote,
                state,
                _,
                _,
                _,
                _,
                _,
                inode,
                ..,
            ] => {
                let socket = Socket {
                    protocol: if *table == "tcp" { "tcp" } else { "udp" },
                    state: tcp_state(state)?.to_owned(),
                    local: address(local)?,
                    remote: address(remote)?,
                };
                self.sockets.insert(inode.parse()?, socket);
            }
            ["unix", _, _, _, flags, _, state, inode, path @ ..] => {
                // __SO_ACCEPTCON (include/uapi/linux/net.h), SS_CONNECTED.
                let state = match (*flags, *state) {
                    ("00010000", _) => "LISTEN",
                    (_, "03") => "ESTAB",
                    _ => "UNCONN",
                };
                let socket = Socket {
                    protocol: "unix-stream",
                    state: state.to_owned(),
                    local: path.first().copied().unwrap_or_default().to_owned(),
                    remote: String::new(),
                };
                self.sockets.insert(inode.parse()?, socket);
            }
            _ => bail!("not understood: {line}"),
        }
        Ok(())
    }
}

/// The moments in the program's output, in order.
fn moments(said: &str) -> Result<Vec<Moment>> {
    let mut all = Vec::new();
    let mut current: Option<Moment> = None;
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix("mark ") {
            let name = rest.split(' ').next().unwrap_or_default().to_owned();
            current = Some(Moment {
                name,
                ..Moment::default()
            });
        } else if line.starts_with("end ") {
            all.extend(current.take());
        } else if let Some(moment) = &mut current {
            moment.take(line)?;
        }
    }
    Ok(all)
}

fn lines(bundle: &Bundle, part: &str, num: u64, pid: u64) -> Result<Vec<Value>> {
    let at = format!("#{num}");
    let text = bundle.shows("state", &[part, "--at", &at, "--pid", &pid.to_string(), "--json"])?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect()
}

/// A field of a row; what is unknown is absent, here null.
fn field<'v>(row: &'v Value, key: &str) -> &'v Value {
    row.get(key).unwrap_or(&Value::Null)
}

/// What was found at one moment: what differs, and what is unknown.
#[derive(Debug, Default)]
struct Found {
    differs: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Found {
    /// Compares one thing that the kernel said with what replay says of it; `None` is unknown.
    fn hold(&mut self, what: &str, kernel: &str, replay: Option<&str>) {
        match replay {
            None => {
                self.unknown.insert(what.to_owned());
            }
            Some(replay) if replay != kernel => {
                self.differs
                    .insert(format!("{what}: kernel {kernel:?}, replay {replay:?}"));
            }
            Some(_) => {}
        }
    }
}

fn compare(found: &mut Found, bundle: &Bundle, moment: &Moment) -> Result<()> {
    let name = &moment.name;
    let mark = bundle.events(&format!(
        "evt.type=write and fd.num=1 and evt.buffer contains 'mark {name} '"
    ))?;
    let [mark] = mark.as_slice() else {
        bail!("{} marks {name}: {mark:?}", mark.len());
    };
    let num = field(mark, "evt.num").as_u64().context("no number")?;
    let pid = field(mark, "proc.pid").as_u64().context("no process")?;
    let mut rows: BTreeMap<i64, Value> = BTreeMap::new();
    let mut all_known = true;
    for row in lines(bundle, "fds", num, pid)? {
        if field(&row, "fd.unknown") == true {
            all_known = false;
        } else {
            let fd = field(&row, "fd.num").as_i64().context("no number")?;
            ensure!(rows.insert(fd, row).is_none(), "descriptor {fd} stands twice");
        }
    }
    let mut sockets: BTreeMap<i64, Value> = BTreeMap::new();
    for row in lines(bundle, "net", num, pid)? {
        for user in field(&row, "socket.users")
            .as_array()
            .context("no users")?
            .clone()
        {
            if field(&user, "proc.pid") == pid {
                sockets.insert(field(&user, "fd.num").as_i64().context("no number")?, row.clone());
            }
        }
    }
    for (fd, descriptor) in &moment.descriptors {
        let what = fd.to_string();
        let Some(row) = rows.remove(fd) else {
            if all_known {
                found
                    .differs
                    .insert(format!("{what}: kernel {:?}, replay has none", descriptor.target));
            } else {
                found.unknown.insert(what);
            }
            continue;
        };
        found.hold(
            &format!("{what} close-on-exec"),
            &descriptor.close_on_exec.to_string(),
            Some(&field(&row, "fd.cloexec").to_string()),
        );
        let inode = field(&row, "fd.ino").as_u64().map(|inode| inode.to_string());
        let target = descriptor.target.as_str();
        let number = |prefix: &str| target.strip_prefix(prefix)?.strip_suffix(']').map(str::to_owned);
        if let Some(number) = number("pipe:[") {
            found.hold(&format!("{what} type"), "pipe", field(&row, "fd.type").as_str());
            found.hold(&format!("{what} inode of the pipe"), &number, inode.as_deref());
        } else if let Some(number) = number("socket:[") {
            let Some(socket) = sockets.get(fd) else {
                found
                    .differs
                    .insert(format!("{what}: kernel a socket, replay {row}"));
                continue;
            };
            let inode = field(socket, "socket.inode")
                .as_u64()
                .map(|inode| inode.to_string());
            found.hold(&format!("{what} inode of the socket"), &number, inode.as_deref());
            // The kernel lists no TCP socket that is neither bound nor connected.
            let Some(kernel) = moment.sockets.get(&number.parse()?) else {
                continue;
            };
            let protocol = kernel.protocol;
            for (part, kernel) in [
                ("protocol", protocol),
                ("state", &kernel.state),
                ("local", &kernel.local),
                ("remote", &kernel.remote),
            ] {
                // /proc/net/unix does not tell whom a socket is connected to.
                if part == "remote" && field(socket, "socket.family") == "unix" {
                    continue;
                }
                let key = format!("socket.{part}");
                found.hold(
                    &format!("{what} {} {part}", protocol),
                    kernel,
                    field(socket, &key).as_str(),
                );
            }
        } else {
            found.hold(&format!("{what} name"), target, field(&row, "fd.name").as_str());
        }
    }
    for (fd, row) in rows {
        found.differs.insert(format!(
            "{fd} at {name}: kernel has none, replay {}",
            field(&row, "fd.name")
        ));
    }
    Ok(())
}

fn all_moments(said: &str, bundle: &Bundle) -> Result<Found> {
    let moments = moments(said)?;
    assert_eq!(moments.len(), 12, "{said}");
    let mut found = Found::default();
    for moment in &moments {
        ensure!(moment.descriptors.len() > 10, "{moment:?}");
        compare(&mut found, bundle, moment)?;
    }
    Ok(found)
}

fn expect(title: &str, found: &BTreeSet<String>, held: &[(&str, &str)]) -> Result<()> {
    let held: BTreeSet<String> = held.iter().map(|(what, _)| (*what).to_owned()).collect();
    let new: Vec<_> = found.difference(&held).collect();
    let mended: Vec<_> = held.difference(found).collect();
    ensure!(
        new.is_empty() && mended.is_empty(),
        "{title}: not held in this test:\n{new:#?}\nheld, but not so any more:\n{mended:#?}"
    );
    Ok(())
}

fn logs(container: &Container) -> Result<String> {
    let mut docker = tool("docker", &["logs", &container.name]);
    let said = run_for(&mut docker, Duration::from_secs(10))?;
    ensure!(said.stderr.is_empty(), "{}", said.said());
    Ok(said.text())
}

#[test]
#[ignore = "root"]
fn descriptors_and_sockets_are_those_that_proc_has_or_unknown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    compile("state/moments.c", &folder.path().join("moments"))?;
    let volume = format!("{}:/srv", folder.path().display());
    let container = Container::run("sf-busybox", &["--volume", &volume], &["/srv/moments", "/srv"])?;
    container.wait_for_log("ready")?;
    let recording = Recording::start(&[&container.name, "-t", "110s"])?;
    std::fs::write(folder.path().join("go"), "")?;
    wait_until("the program is through", Duration::from_secs(60), || {
        Ok(logs(&container)?.ends_with("end end\n"))
    })?;
    let said = logs(&container)?;
    let bundle = recording.stop()?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    let found = all_moments(&said, &bundle)?;
    let differs = expect("what differs", &found.differs, EXPLAINED);
    let unknown = expect("what is unknown", &found.unknown, UNKNOWN);
    match (differs, unknown) {
        (Err(differs), Err(unknown)) => bail!("{differs}\n{unknown}"),
        (differs, unknown) => differs.and(unknown),
    }
}

/// A process that the recording met when it was there already, so that what it was born with is unknown.
#[test]
#[ignore = "root"]
fn what_a_process_had_before_it_was_seen_is_unknown_and_nothing_is_made_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    compile("state/moments.c", &folder.path().join("moments"))?;
    std::fs::write(folder.path().join("go"), "")?;
    let volume = format!("{}:/srv", folder.path().display());
    let container = Container::run("sf-busybox", &["--volume", &volume], &["sleep", "3600"])?;
    let recording = Recording::start(&[&container.name, "-t", "110s"])?;
    let said = container.exec(&["/srv/moments", "/srv"])?;
    let bundle = recording.stop()?;
    bundle.expect_nothing_lost()?;
    let found = all_moments(&said, &bundle)?;
    expect("what differs", &found.differs, &[EXPLAINED, UNLINKED].concat())?;
    // Its standard streams came from outside; what it made itself is known as ever.
    ensure!(
        ["0", "1", "2"].iter().all(|fd| found.unknown.contains(*fd)),
        "{:?}",
        found.unknown
    );
    ensure!(!found.unknown.contains("3"), "{:?}", found.unknown);
    Ok(())
}
