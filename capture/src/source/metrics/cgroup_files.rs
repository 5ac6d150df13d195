//! Counters in cgroup folders (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, Linux 6.12).
//!
//! Each controller is read where it is mounted: on a hybrid host version 1 has the controllers, and what version 2
//! offers without one (`cpu.stat`) fills in.

use super::{Values, keyed, push, text};
use crate::target::Cgroups;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// "No limit" on version 1 is the largest page-aligned long (page_counter.h: PAGE_COUNTER_MAX).
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

pub(super) fn read(cgroups: &Cgroups, values: &mut Values) {
    let unified = cgroups.unified.as_deref();
    let v1 = |controller: &str| cgroups.v1.get(controller).map(PathBuf::as_path);
    match v1("cpuacct") {
        Some(folder) => cpu_v1(folder, v1("cpu"), values),
        None => unified.into_iter().for_each(|folder| cpu_v2(folder, values)),
    }
    match v1("memory") {
        Some(folder) => memory_v1(folder, values),
        None => unified.into_iter().for_each(|folder| memory_v2(folder, values)),
    }
    if let Some(folder) = v1("pids").or(unified) {
        push(values, "pids.current", number(folder, "pids.current"));
        // "max" is no number, so no limit is absent.
        push(values, "pids.limit", number(folder, "pids.max"));
    }
    match v1("blkio") {
        Some(folder) => block_v1(folder, values),
        None => {
            if let Some(text) = unified.and_then(|folder| text(&folder.join("io.stat"))) {
                block(io_stat(&text), values);
            }
        }
    }
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    text(&folder.join(name))?.trim().parse().ok()
}

fn cpu_v1(folder: &Path, cpu: Option<&Path>, values: &mut Values) {
    push(values, "cpu.usage_ns", number(folder, "cpuacct.usage"));
    push(values, "cpu.user_ns", number(folder, "cpuacct.usage_user"));
    push(values, "cpu.system_ns", number(folder, "cpuacct.usage_sys"));
    if let Some(stat) = cpu.and_then(|folder| text(&folder.join("cpu.stat"))) {
        push(values, "cpu.periods", keyed(&stat, "nr_periods"));
        push(values, "cpu.throttled_periods", keyed(&stat, "nr_throttled"));
        push(values, "cpu.throttled_ns", keyed(&stat, "throttled_time"));
    }
}

fn cpu_v2(folder: &Path, values: &mut Values) {
    let Some(stat) = text(&folder.join("cpu.stat")) else {
        return;
    };
    let ns = |key: &str| keyed(&stat, key).map(|us| us.saturating_mul(1000));
    push(values, "cpu.usage_ns", ns("usage_usec"));
    push(values, "cpu.user_ns", ns("user_usec"));
    push(values, "cpu.system_ns", ns("system_usec"));
    push(values, "cpu.periods", keyed(&stat, "nr_periods"));
    push(values, "cpu.throttled_periods", keyed(&stat, "nr_throttled"));
    push(values, "cpu.throttled_ns", ns("throttled_usec"));
}

fn memory_v1(folder: &Path, values: &mut Values) {
    push(
        values,
        "memory.usage_bytes",
        number(folder, "memory.usage_in_bytes"),
    );
    let limit = number(folder, "memory.limit_in_bytes").filter(|limit| *limit < V1_UNLIMITED);
    push(values, "memory.limit_bytes", limit);
    if let Some(stat) = text(&folder.join("memory.stat")) {
        push(values, "memory.cache_bytes", keyed(&stat, "total_cache"));
        push(
            values,
            "memory.inactive_file_bytes",
            keyed(&stat, "total_inactive_file"),
        );
        push(values, "memory.rss_bytes", keyed(&stat, "total_rss"));
        push(values, "memory.swap_bytes", keyed(&stat, "total_swap"));
    }
    if let Some(control) = text(&folder.join("memory.oom_control")) {
        push(values, "memory.oom_kills", keyed(&control, "oom_kill"));
    }
}

fn memory_v2(folder: &Path, values: &mut Values) {
    push(values, "memory.usage_bytes", number(folder, "memory.current"));
    push(values, "memory.limit_bytes", number(folder, "memory.max"));
    if let Some(stat) = text(&folder.join("memory.stat")) {
        push(values, "memory.cache_bytes", keyed(&stat, "file"));
        push(
            values,
            "memory.inactive_file_bytes",
            keyed(&stat, "inactive_file"),
        );
        push(values, "memory.rss_bytes", keyed(&stat, "anon"));
    }
    push(values, "memory.swap_bytes", number(folder, "memory.swap.current"));
    if let Some(events) = text(&folder.join("memory.events")) {
        push(values, "memory.oom_kills", keyed(&events, "oom_kill"));
    }
}

/// Counters of a block device; what no file names is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Device {
    read_bytes: Option<u64>,
    write_bytes: Option<u64>,
    read_ops: Option<u64>,
    write_ops: Option<u64>,
}

type Devices = BTreeMap<(u32, u32), Device>;

fn block(devices: Devices, values: &mut Values) {
    for ((major, minor), device) in devices {
        let mut put = |name: &str, value| push(values, &format!("blk.{major}:{minor}.{name}"), value);
        put("read_bytes", device.read_bytes);
        put("write_bytes", device.write_bytes);
        put("read_ops", device.read_ops);
        put("write_ops", device.write_ops);
    }
}

/// Version 1 counts per policy: bfq where that scheduler runs the disk, else the throttling layer above all of them.
fn block_v1(folder: &Path, values: &mut Values) {
    let file = |policy: &str, name: &str| {
        text(&folder.join(format!("blkio.{policy}.{name}_recursive")))
            .or_else(|| text(&folder.join(format!("blkio.{policy}.{name}"))))
            .unwrap_or_default()
    };
    for policy in ["throttle", "bfq"] {
        let mut devices = Devices::new();
        service(
            &file(policy, "io_service_bytes"),
            &mut devices,
            |device, read, value| {
                *(if read {
                    &mut device.read_bytes
                } else {
                    &mut device.write_bytes
                }) = Some(value);
            },
        );
        service(
            &file(policy, "io_serviced"),
            &mut devices,
            |device, read, value| {
                *(if read {
                    &mut device.read_ops
                } else {
                    &mut device.write_ops
                }) = Some(value);
            },
        );
        if !devices.is_empty() {
            block(devices, values);
            return;
        }
    }
}

/// Lines of `254:0 Read 4096`.
fn service(text: &str, devices: &mut Devices, put: impl Fn(&mut Device, bool, u64)) {
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(device), Some(kind), Some(value)) = (
            fields.next().and_then(number_pair),
            fields.next(),
            fields.next().and_then(|value| value.parse().ok()),
        ) else {
            continue;
        };
        match kind {
            "Read" => put(devices.entry(device).or_default(), true, value),
            "Write" => put(devices.entry(device).or_default(), false, value),
            _ => {}
        }
    }
}

fn number_pair(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines of `254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn io_stat(text: &str) -> Devices {
    let mut devices = Devices::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        // A device that was just seen has no fields yet, and one that is gone has no number.
        let Some(number) = fields.next().and_then(number_pair) else {
            continue;
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let device = devices.entry(number).or_default();
            match key {
                "rbytes" => device.read_bytes = Some(value),
                "wbytes" => device.write_bytes = Some(value),
                "rios" => device.read_ops = Some(value),
                "wios" => device.write_ops = Some(value),
                _ => {}
            }
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn map(values: Values) -> BTreeMap<String, u64> {
        let count = values.len();
        let map: BTreeMap<_, _> = values.into_iter().collect();
        assert_eq!(map.len(), count, "a name stands twice");
        map
    }

    #[test]
    fn version_2_is_read() {
        let folder = folder(&[
            (
                "cpu.stat",
                "usage_usec 10\nuser_usec 4\nsystem_usec 6\nnr_periods 9\nnr_throttled 2\nthrottled_usec 7\n",
            ),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 100\nfile 200\ninactive_file 50\n"),
            ("memory.events", "low 0\noom 3\noom_kill 2\n"),
            ("pids.current", "5\n"),
            ("pids.max", "100\n"),
            (
                "io.stat",
                "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n(unknown) rbytes=9\n",
            ),
        ]);
        let mut values = Values::new();
        let cgroups = Cgroups {
            unified: Some(folder.path().to_owned()),
            ..Cgroups::default()
        };
        read(&cgroups, &mut values);
        let map = map(values);
        let expected = [
            ("blk.254:0.read_bytes", 1),
            ("blk.254:0.read_ops", 3),
            ("blk.254:0.write_bytes", 2),
            ("blk.254:0.write_ops", 4),
            ("cpu.periods", 9),
            ("cpu.system_ns", 6_000),
            ("cpu.throttled_ns", 7_000),
            ("cpu.throttled_periods", 2),
            ("cpu.usage_ns", 10_000),
            ("cpu.user_ns", 4_000),
            ("memory.cache_bytes", 200),
            ("memory.inactive_file_bytes", 50),
            ("memory.oom_kills", 2),
            ("memory.rss_bytes", 100),
            ("memory.usage_bytes", 4096),
            ("pids.current", 5),
            ("pids.limit", 100),
        ];
        assert_eq!(map, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn version_1_is_read_before_the_unified_hierarchy_of_a_hybrid_host() {
        let v1 = folder(&[
            ("cpuacct.usage", "111\n"),
            ("cpuacct.usage_user", "60\n"),
            ("cpuacct.usage_sys", "51\n"),
            ("cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 500\n"),
            ("memory.usage_in_bytes", "872448\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory.stat",
                "cache 1\nrss 2\ntotal_cache 8192\ntotal_rss 172032\ntotal_inactive_file 9\ntotal_swap 0\n",
            ),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            ),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            (
                "blkio.throttle.io_service_bytes",
                "254:0 Read 7\n254:0 Write 8\n254:0 Sync 15\nTotal 15\n",
            ),
            (
                "blkio.throttle.io_serviced",
                "254:0 Read 1\n254:0 Write 2\nTotal 3\n",
            ),
        ]);
        let unified = folder(&[("cpu.stat", "usage_usec 999\n")]);
        let names = ["cpu", "cpuacct", "memory", "pids", "blkio"];
        let cgroups = Cgroups {
            unified: Some(unified.path().to_owned()),
            v1: names.map(|name| (name.to_owned(), v1.path().to_owned())).into(),
        };
        let mut values = Values::new();
        read(&cgroups, &mut values);
        let map = map(values);
        let expected = [
            ("cpu.usage_ns", Some(111)),
            ("cpu.throttled_ns", Some(500)),
            ("memory.cache_bytes", Some(8192)),
            ("memory.rss_bytes", Some(172_032)),
            ("memory.swap_bytes", Some(0)),
            ("memory.oom_kills", Some(1)),
            ("memory.limit_bytes", None),
            ("pids.limit", None),
            ("blk.254:0.read_bytes", Some(7)),
            ("blk.254:0.write_ops", Some(2)),
        ];
        for (name, value) in expected {
            assert_eq!(map.get(name).copied(), value, "{name}");
        }
    }

    #[test]
    fn bfq_counts_where_the_throttling_layer_does_not() {
        let v1 = folder(&[
            ("blkio.throttle.io_service_bytes", "Total 0\n"),
            ("blkio.bfq.io_service_bytes_recursive", "8:0 Read 5\nTotal 5\n"),
        ]);
        let mut values = Values::new();
        block_v1(v1.path(), &mut values);
        assert_eq!(values, [("blk.8:0.read_bytes".to_owned(), 5)]);
    }

    #[test]
    fn a_cgroup_that_is_gone_has_no_values() {
        let mut values = Values::new();
        let cgroups = Cgroups {
            unified: Some("/nonexistent".into()),
            ..Cgroups::default()
        };
        read(&cgroups, &mut values);
        assert!(values.is_empty());
    }
}
