//! Counters of each target, read once a second (`docs/metrics.md` lists them with the kernel files they come from).

mod cgroup_files;
mod net_dev;
mod pressure;
mod process_sums;

use super::{Outbox, Report, Source, SourceError, Stop};
use crate::target::{Target, TargetKind, resolve};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use stillframe_format::event::Metrics;
use stillframe_format::{Body, BootTime, Draft};

/// Time between readings.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How often the request to stop is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Names and values of one reading.
type Values = Vec<(String, u64)>;

/// Reads the counters of targets.
///
/// A target that died is read on: what its cgroup still says is sent, and a container that is started again has
/// the same cgroup.
#[derive(Debug)]
pub struct MetricsSource {
    targets: Vec<Watched>,
    interval: Duration,
    added: Receiver<Target>,
    adder: Sender<Target>,
}

/// A target, and what tells its first process from a later one with the same id.
#[derive(Debug)]
struct Watched {
    target: Target,
    /// Start of the first process in clock ticks since boot.
    started: Option<u64>,
}

impl MetricsSource {
    /// A source for these targets, read every [`INTERVAL`].
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        Self::every(targets, INTERVAL)
    }

    /// The same with another time between readings.
    #[must_use]
    pub fn every(targets: Vec<Target>, interval: Duration) -> Self {
        let (adder, added) = channel();
        Self {
            targets: targets.into_iter().map(Watched::new).collect(),
            interval,
            added,
            adder,
        }
    }

    /// Where targets go that are started while it runs: one that is known is read as what it is now.
    #[must_use]
    pub fn adder(&self) -> Sender<Target> {
        self.adder.clone()
    }

    fn take_added(&mut self) {
        for target in self.added.try_iter() {
            let known = self.targets.iter_mut().find(|known| known.target.id == target.id);
            let watched = Watched::new(target);
            match known {
                Some(known) => *known = watched,
                None => self.targets.push(watched),
            }
        }
    }

    fn read(&self) -> Vec<Draft> {
        self.targets
            .iter()
            .filter_map(|watched| {
                let time = now()?;
                let values = watched.read();
                (!values.is_empty()).then(|| Draft {
                    time,
                    cpu: 0,
                    body: Body::Metrics(Metrics {
                        container: watched.target.id.clone(),
                        values,
                    }),
                })
            })
            .collect()
    }
}

impl Source for MetricsSource {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut report = Report::default();
        for watched in &self.targets {
            report.notes.extend(watched.remark());
        }
        let mut missed = 0_u64;
        let mut next = Instant::now();
        loop {
            let stopping = stop.is_set();
            if stopping || Instant::now() >= next {
                self.take_added();
                let events = self.read();
                let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
                if outbox.events(events).is_err() {
                    return Ok(report);
                }
                report.events = report.events.saturating_add(count);
                next += self.interval;
                // A reading that is overdue is left out, not made up for: its moment is gone.
                while !stopping && next <= Instant::now() {
                    next += self.interval;
                    missed += 1;
                }
            }
            if stopping {
                break;
            }
            thread::sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
        }
        if missed > 0 {
            report.counters.push(("readings_missed".to_owned(), missed));
        }
        Ok(report)
    }
}

impl Watched {
    fn new(target: Target) -> Self {
        Self {
            started: process_sums::started(target.pid),
            target,
        }
    }

    /// What the reader of the figures must know.
    fn remark(&self) -> Option<String> {
        let target = &self.target;
        shares_host_network(target).then(|| {
            format!(
                "{}: its network namespace is the host's, so interfaces are counted as host.net.*",
                target.name
            )
        })
    }

    fn read(&self) -> Values {
        let target = &self.target;
        let mut values = Values::new();
        let has_cgroup = target.kind == TargetKind::Container && resolve::has_cgroup(target);
        let pids = if has_cgroup || process_sums::started(target.pid) == self.started {
            resolve::pids(target)
        } else {
            // Its number belongs to another process by now.
            Vec::new()
        };
        if has_cgroup {
            cgroup_files::read(&target.cgroups, &mut values);
        } else {
            process_sums::read(&pids, &mut values);
        }
        let reader = if pids.contains(&target.pid) {
            Some(&target.pid)
        } else {
            pids.first()
        };
        if let Some(text) = reader.and_then(|pid| text(Path::new(&format!("/proc/{pid}/net/dev")))) {
            let prefix = if shares_host_network(target) {
                "host.net"
            } else {
                "net"
            };
            net_dev::parse(&text, prefix, &mut values);
        }
        if !pids.is_empty() || has_cgroup {
            pressure::read(target.cgroups.unified.as_deref(), &mut values);
        }
        values
    }
}

fn shares_host_network(target: &Target) -> bool {
    target.netns_shared_with.iter().any(|name| name == "host")
}

/// `CLOCK_BOOTTIME`.
fn now() -> Option<BootTime> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanoseconds = u64::try_from(time.tv_nsec()).ok()?;
    Some(BootTime(
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?,
    ))
}

/// A kernel file's text; `None` when it is not there or cannot be read, and then its names are absent.
fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number after `key` in lines of `key number`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

fn push(values: &mut Values, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        values.push((name.to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Message;
    use std::sync::mpsc::sync_channel;

    fn own() -> Target {
        resolve::tree(std::process::id()).unwrap()
    }

    fn run_for(targets: Vec<Target>, interval: Duration, time: Duration) -> (Vec<Draft>, Report) {
        let (send, receive) = sync_channel(64);
        let (outbox, stop) = (Outbox::new(send), Stop::default());
        let asked = stop.clone();
        let worker = thread::spawn(move || MetricsSource::every(targets, interval).run(&outbox, &asked));
        thread::sleep(time);
        stop.set();
        let report = worker.join().unwrap().unwrap();
        let drafts = receive
            .iter()
            .flat_map(|message| match message {
                Message::Events(events) => events,
                Message::Syscalls(_) => Vec::new(),
            })
            .collect();
        (drafts, report)
    }

    fn value(draft: &Draft, name: &str) -> Option<u64> {
        let Body::Metrics(metrics) = &draft.body else {
            return None;
        };
        metrics
            .values
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| *value)
    }

    #[test]
    fn a_tree_is_read_at_once_and_then_at_every_interval_and_at_the_end() {
        let (drafts, report) = run_for(
            vec![own()],
            Duration::from_millis(300),
            Duration::from_millis(800),
        );
        assert!((3..=5).contains(&drafts.len()), "{} readings", drafts.len());
        assert_eq!(report.events, u64::try_from(drafts.len()).unwrap());
        assert!(drafts.windows(2).all(|pair| pair[0].time < pair[1].time));
        let first = &drafts[0];
        assert!(value(first, "memory.rss_bytes").unwrap() > 0);
        assert!(value(first, "pids.current").unwrap() >= 2, "threads are counted");
        assert!(
            value(first, "memory.limit_bytes").is_none(),
            "a tree has no limit: absent, not zero"
        );
    }

    #[test]
    fn a_dead_target_ends_quietly_without_events() {
        let mut target = own();
        target.pid = u32::MAX - 1;
        let (drafts, report) = run_for(
            vec![target],
            Duration::from_millis(50),
            Duration::from_millis(200),
        );
        assert_eq!((drafts.len(), report.events), (0, 0));
    }

    #[test]
    fn a_reused_process_id_is_not_the_target() {
        let watched = Watched {
            target: own(),
            started: Some(1),
        };
        assert!(watched.read().is_empty());
    }

    #[test]
    fn a_recorder_that_has_gone_ends_the_source() {
        let (send, receive) = sync_channel(1);
        drop(receive);
        let report = MetricsSource::new(vec![own()])
            .run(&Outbox::new(send), &Stop::default())
            .unwrap();
        assert_eq!(report.events, 0);
    }

    #[test]
    fn keys_are_whole_words() {
        assert_eq!(keyed("cache 5\ntotal_cache 7\n", "total_cache"), Some(7));
        assert_eq!(keyed("total_cache_x 7\n", "total_cache"), None);
        assert_eq!(keyed("total_cache -1\n", "total_cache"), None);
    }
}
