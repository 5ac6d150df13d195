//! Sums over the processes of a tree that has no cgroup of its own, from `/proc/PID/stat` and `/proc/PID/io`
//! (proc_pid_stat(5), proc_pid_io(5)).
//!
//! Times and bytes include those of children that were waited for, so a sum does not fall when a child ends inside
//! the tree. It falls when one ends whose parent is not in the tree.

use super::{Values, push, text};
use procfs::FromRead;
use procfs::process::Stat;
use std::path::Path;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    user_ticks: u64,
    system_ticks: u64,
    rss_pages: u64,
    threads: u64,
    processes: u64,
}

impl Sums {
    fn add(&mut self, stat: &Stat) {
        let positive = |value: i64| u64::try_from(value).unwrap_or_default();
        self.user_ticks = self
            .user_ticks
            .saturating_add(stat.utime)
            .saturating_add(positive(stat.cutime));
        self.system_ticks = self
            .system_ticks
            .saturating_add(stat.stime)
            .saturating_add(positive(stat.cstime));
        self.rss_pages = self.rss_pages.saturating_add(stat.rss);
        self.threads = self.threads.saturating_add(positive(stat.num_threads));
        self.processes += 1;
    }
}

fn stat(pid: u32) -> Option<Stat> {
    let text = text(Path::new(&format!("/proc/{pid}/stat")))?;
    Stat::from_read(text.as_bytes()).ok()
}

/// When the process was started, in clock ticks since boot; `None` when it is gone.
pub(super) fn started(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.starttime)
}

pub(super) fn read(pids: &[u32], values: &mut Values) {
    let mut sums = Sums::default();
    let mut io = (None, None);
    for pid in pids {
        let Some(stat) = stat(*pid) else { continue };
        sums.add(&stat);
        // Not readable without CAP_SYS_PTRACE for another user's process: then a sum would be too small.
        if let Some(text) = text(Path::new(&format!("/proc/{pid}/io"))) {
            add(&mut io.0, field(&text, "read_bytes:"));
            add(&mut io.1, field(&text, "write_bytes:"));
        }
    }
    if sums.processes == 0 {
        return;
    }
    let ns = |ticks: u64| ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1));
    let (user, system) = (ns(sums.user_ticks), ns(sums.system_ticks));
    push(values, "cpu.usage_ns", Some(user.saturating_add(system)));
    push(values, "cpu.user_ns", Some(user));
    push(values, "cpu.system_ns", Some(system));
    push(
        values,
        "memory.rss_bytes",
        Some(sums.rss_pages.saturating_mul(procfs::page_size())),
    );
    push(values, "pids.current", Some(sums.threads));
    push(values, "io.read_bytes", io.0);
    push(values, "io.write_bytes", io.1);
}

fn add(sum: &mut Option<u64>, value: Option<u64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or_default().saturating_add(value));
    }
}

fn field(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_children_that_ended_are_kept() {
        let line = "42 (a b) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 3 0 12345 4096 25 1 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";
        let mut sums = Sums::default();
        sums.add(&Stat::from_read(line.as_bytes()).unwrap());
        assert_eq!((sums.user_ticks, sums.system_ticks), (40, 60));
        assert_eq!((sums.rss_pages, sums.threads, sums.processes), (25, 3, 1));
    }

    #[test]
    fn own_process_has_sums_and_nobody_has_none() {
        let mut values = Values::new();
        read(&[std::process::id()], &mut values);
        assert!(
            values
                .iter()
                .any(|(name, value)| name == "memory.rss_bytes" && *value > 0)
        );
        let mut none = Values::new();
        read(&[u32::MAX - 1], &mut none);
        assert!(none.is_empty());
        assert_eq!(
            field(
                "rchar: 1\nread_bytes: 5\ncancelled_write_bytes: 2\n",
                "read_bytes:"
            ),
            Some(5)
        );
    }
}
