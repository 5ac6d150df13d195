//! Processes and threads, from `/proc/PID/` (proc(5)).

use super::proc_file::{bytes, gone, link, text};
use super::{CollectError, Collected, Outcome};
use crate::secrets;
use procfs::FromRead;
use procfs::process::{Stat, Status};
use std::fs;
use stillframe_format::snapshot::{ProcessInfo, ThreadInfo};

/// More threads than this are not listed.
const MAX_THREADS: usize = 262_144;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The units of `/proc/PID/stat` on this host.
#[derive(Clone, Copy, Debug)]
struct Units {
    /// Clock ticks a second (USER_HZ).
    ticks: u64,
    /// Bytes in a page.
    page: u64,
}

/// What the files of a process held.
#[derive(Clone, Debug, Default)]
struct Files {
    stat: String,
    status: String,
    cmdline: Vec<u8>,
    cgroup: String,
}

pub(super) fn collect(pids: &[u32], container: &str) -> Outcome<Vec<ProcessInfo>> {
    let units = Units {
        ticks: procfs::ticks_per_second(),
        page: procfs::page_size(),
    };
    let mut notes = Vec::new();
    let mut threads_left = MAX_THREADS;
    let mut found = Vec::new();
    for pid in pids {
        let at = |name: &str| format!("/proc/{pid}/{name}");
        let files = match text(&at("stat")) {
            Ok(stat) => Files {
                stat,
                status: text(&at("status")).unwrap_or_default(),
                cmdline: bytes(&at("cmdline")).unwrap_or_default(),
                cgroup: text(&at("cgroup")).unwrap_or_default(),
            },
            Err(error) if gone(&error) => continue,
            Err(error) => {
                notes.push(format!("pid {pid}: {error}"));
                continue;
            }
        };
        let Some(mut process) = parse(&files, units) else {
            notes.push(format!("pid {pid}: /proc/{pid}/stat is not in a known form"));
            continue;
        };
        process.exe = link(&at("exe"));
        process.cwd = link(&at("cwd"));
        process.root = link(&at("root"));
        container.clone_into(&mut process.container);
        if let Some(masker) = secrets::policy() {
            masker.arguments(&mut process.argv, secrets::Place::Snapshot);
        }
        process.threads = threads(*pid, threads_left);
        threads_left = threads_left.saturating_sub(process.threads.len());
        found.push(process);
    }
    if threads_left == 0 {
        notes.push(format!("threads after the first {MAX_THREADS} are not listed"));
    }
    if found.is_empty() {
        return Err(CollectError::NoProcess);
    }
    Ok(Collected { found, notes })
}

fn threads(pid: u32, limit: usize) -> Vec<ThreadInfo> {
    let mut tids: Vec<u32> = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(limit)
        .collect();
    tids.sort_unstable();
    tids.into_iter()
        .filter_map(|tid| {
            let comm = text(&format!("/proc/{pid}/task/{tid}/comm")).ok()?;
            Some(ThreadInfo {
                tid,
                comm: comm.strip_suffix('\n').unwrap_or(&comm).to_owned(),
            })
        })
        .collect()
}

/// What the files say; `None` when `stat` is not one. A `status` that cannot be read leaves its fields empty.
fn parse(files: &Files, units: Units) -> Option<ProcessInfo> {
    let stat = Stat::from_read(files.stat.as_bytes()).ok()?;
    let mut process = ProcessInfo {
        pid: u32::try_from(stat.pid).ok()?,
        ppid: u32::try_from(stat.ppid).unwrap_or_default(),
        comm: stat.comm,
        argv: split(&files.cmdline),
        state: stat.state.to_string(),
        started: ticks_to_ns(stat.starttime, units.ticks),
        rss: stat.rss.saturating_mul(units.page),
        cgroups: files.cgroup.lines().map(str::to_owned).collect(),
        ..ProcessInfo::default()
    };
    if let Ok(status) = Status::from_read(files.status.as_bytes()) {
        process.uid = status.ruid;
        process.gid = status.rgid;
        process.cap_eff = format!("{:016x}", status.capeff);
        process.ns_pid = status
            .nspid
            .and_then(|pids| u32::try_from(*pids.last()?).ok())
            .unwrap_or_default();
    }
    Some(process)
}

fn ticks_to_ns(ticks: u64, per_second: u64) -> u64 {
    let ns = u128::from(ticks) * u128::from(SECOND) / u128::from(per_second.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// Arguments, each ended by NUL. The last one may lack its NUL (a process that wrote over its arguments).
fn split(cmdline: &[u8]) -> Vec<String> {
    if cmdline.is_empty() {
        return Vec::new();
    }
    let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    cmdline
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units {
        ticks: 100,
        page: 4096,
    };

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let files = Files {
            stat: "42 (a) R 1 (b) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 4096 25 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0".to_owned(),
            ..Files::default()
        };
        let process = parse(&files, UNITS).unwrap();
        assert_eq!((process.pid, process.ppid), (42, 7));
        assert_eq!(process.comm, "a) R 1 (b");
        assert_eq!(process.started, 123_450_000_000);
        assert_eq!(process.rss, 25 * 4096);
        assert_eq!(process.cap_eff, "", "what status would say is unknown, not zero");
    }

    #[test]
    fn text_that_is_no_stat_is_refused() {
        let files = Files {
            stat: "42 (sh".to_owned(),
            ..Files::default()
        };
        assert!(parse(&files, UNITS).is_none());
    }

    #[test]
    fn empty_arguments_are_kept() {
        assert_eq!(split(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert_eq!(split(b"nginx: worker"), ["nginx: worker"]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn own_process_matches_what_the_standard_library_knows() {
        let own = std::process::id();
        let collected = collect(&[own, u32::MAX - 1], "c").unwrap();
        let process = &collected.found[0];
        assert_eq!(collected.found.len(), 1, "one that is gone is no error");
        assert_eq!(process.uid, nix::unistd::getuid().as_raw());
        assert_eq!(process.argv, std::env::args().collect::<Vec<_>>());
        assert_eq!(process.cwd, std::env::current_dir().unwrap().to_string_lossy());
        assert!(process.threads.len() > 1);
        assert_eq!(process.container, "c");
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
        let age = now.tv_sec() - i64::try_from(process.started / SECOND).unwrap();
        assert!((0..3600).contains(&age), "started {age} s ago");
    }
}
