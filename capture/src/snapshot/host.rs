//! Facts of the host. Member `host.json`.

use super::proc_file::{text, text_named};
use super::{Collected, Outcome};
use crate::target::{cgroup, mountinfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The host as it was at one moment. What the host does not offer is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// `uname`: system name, release, version, machine.
    pub kernel: KernelInfo,
    /// Host name, from `/proc/sys/kernel/hostname`.
    pub hostname: String,
    /// `/proc/sys/kernel/random/boot_id`: the journal's `_BOOT_ID` with dashes.
    pub boot_id: String,
    /// `/etc/os-release`: name and value, unquoted.
    pub os_release: BTreeMap<String, String>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Time since boot in nanoseconds (`/proc/uptime`, a hundredth of a second fine).
    pub uptime: u64,
    /// `/proc/loadavg`.
    pub loadavg: String,
    /// `/proc/meminfo` in bytes (counts, such as `HugePages_Total`, as they are).
    pub memory: BTreeMap<String, u64>,
    /// Processors.
    pub cpu: CpuInfo,
    /// `/proc/mounts` of the capturing process, line by line.
    pub mounts: Vec<String>,
    /// `/proc/sys/kernel/tainted`: a set of bits (Documentation/admin-guide/tainted-kernels.rst).
    pub tainted: Option<u64>,
    /// Lockdown in force: `none`, `integrity`, `confidentiality`; `None` when the host does not say.
    pub lockdown: Option<String>,
    /// Linux security modules; `None` when the host does not say.
    pub lsm: Option<Vec<String>>,
    /// `v1`, `v2`, `hybrid`, `none`.
    pub cgroup_mode: String,
    /// Clock source in use: `tsc`, `kvm-clock`, …
    pub clocksource: Option<String>,
    /// Whether the kernel describes its types (`/sys/kernel/btf/vmlinux`).
    pub btf: bool,
}

/// `uname(2)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// `Linux`.
    pub sysname: String,
    /// `6.12.0-1-amd64`.
    pub release: String,
    /// Build number and date.
    pub version: String,
    /// `x86_64`.
    pub machine: String,
}

/// A summary of `/proc/cpuinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuInfo {
    /// Processors that are online.
    pub online: u32,
    /// Name of the first one.
    pub model: String,
    /// Whether it is virtual (`hypervisor` among its flags).
    pub hypervisor: bool,
}

pub(super) fn collect() -> Outcome<HostInfo> {
    let mut notes = Vec::new();
    // Without the kernel's own files nothing of a host can be said.
    let meminfo = text_named("/proc/meminfo")?;
    let line = |path: &str| text(path).ok().map(|text| text.trim().to_owned());
    let mut named = |path: &str| {
        text_named(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_else(|error| {
                notes.push(error.to_string());
                String::new()
            })
    };
    let hostname = named("/proc/sys/kernel/hostname");
    let boot_id = named("/proc/sys/kernel/random/boot_id");
    let cmdline = named("/proc/cmdline");
    let loadavg = named("/proc/loadavg");
    let uptime = named("/proc/uptime");
    let mounts = named("/proc/mounts");
    let cpuinfo = named("/proc/cpuinfo");
    let (inside, _) = mountinfo::read("self").unwrap_or_default();
    let found = HostInfo {
        kernel: kernel(),
        hostname,
        boot_id,
        os_release: line("/etc/os-release")
            .or_else(|| line("/usr/lib/os-release"))
            .map(|text| os_release(&text))
            .unwrap_or_default(),
        cmdline,
        uptime: seconds(&uptime).unwrap_or_default(),
        loadavg,
        memory: memory(&meminfo),
        cpu: cpu(&cpuinfo),
        mounts: mounts.lines().map(str::to_owned).collect(),
        tainted: line("/proc/sys/kernel/tainted").and_then(|text| text.parse().ok()),
        lockdown: line("/sys/kernel/security/lockdown").and_then(|text| chosen(&text)),
        lsm: line("/sys/kernel/security/lsm").map(|text| text.split(',').map(str::to_owned).collect()),
        cgroup_mode: cgroup::mode(&inside).to_owned(),
        clocksource: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
    };
    Ok(Collected { found, notes })
}

fn kernel() -> KernelInfo {
    let Ok(names) = nix::sys::utsname::uname() else {
        return KernelInfo::default();
    };
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    KernelInfo {
        sysname: text(names.sysname()),
        release: text(names.release()),
        version: text(names.version()),
        machine: text(names.machine()),
    }
}

/// `none [integrity] confidentiality` as `integrity`.
pub(crate) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(name, _)| name.to_owned())
}

/// `NAME="value"` lines (os-release(5)); quotes are taken off, escapes inside them undone.
fn os_release(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(key, _)| !key.starts_with('#'))
        .map(|(key, value)| {
            let quoted = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            (
                key.to_owned(),
                quoted.unwrap_or(value).replace("\\\"", "\"").replace("\\$", "$"),
            )
        })
        .collect()
}

fn memory(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            let mut words = value.split_ascii_whitespace();
            let number: u64 = words.next()?.parse().ok()?;
            let scale = if words.next() == Some("kB") { 1024 } else { 1 };
            Some((key.to_owned(), number.saturating_mul(scale)))
        })
        .collect()
}

/// The first number of `/proc/uptime` in nanoseconds.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_ascii_whitespace().next()?.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let hundredths: u64 = fraction.get(..2)?.parse().ok()?;
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(hundredths * 10_000_000)
}

fn cpu(text: &str) -> CpuInfo {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
    };
    let count = text
        .lines()
        .filter(|line| {
            line.split_once(':')
                .is_some_and(|(key, _)| key.trim() == "processor")
        })
        .count();
    CpuInfo {
        online: u32::try_from(count).unwrap_or(u32::MAX),
        model: value("model name")
            .or_else(|| value("CPU part"))
            .unwrap_or_default(),
        hypervisor: value("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_host_are_read() {
        let release = os_release("ID=debian\nPRETTY_NAME=\"Debian \\\"12\\\"\"\n# note=1\nEMPTY=''\n");
        assert_eq!(release.get("ID").map(String::as_str), Some("debian"));
        assert_eq!(
            release.get("PRETTY_NAME").map(String::as_str),
            Some("Debian \"12\"")
        );
        assert_eq!(release.get("EMPTY").map(String::as_str), Some(""));
        assert_eq!(release.len(), 3);
        let memory = memory("MemTotal:       16 kB\nHugePages_Total:       3\nbroken\n");
        assert_eq!(memory.get("MemTotal"), Some(&16_384));
        assert_eq!(memory.get("HugePages_Total"), Some(&3));
        assert_eq!(seconds("12.34 5.00"), Some(12_340_000_000));
        assert_eq!(seconds("x"), None);
        assert_eq!(
            chosen("none [integrity] confidentiality"),
            Some("integrity".to_owned())
        );
        assert_eq!(chosen("none"), None);
        let cpu = cpu("processor\t: 0\nmodel name\t: X y\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\n");
        assert_eq!((cpu.online, cpu.model.as_str(), cpu.hypervisor), (2, "X y", true));
    }

    #[test]
    fn this_host_answers() {
        let host = super::super::host();
        let info = host.host.unwrap();
        assert_eq!(info.kernel.sysname, "Linux");
        assert_eq!(info.boot_id.len(), 36);
        assert!(info.uptime > 0);
        assert!(info.memory.contains_key("MemTotal"));
        assert_eq!(host.members[0].0, "host.json");
        let back: HostInfo = serde_json::from_slice(&host.members[0].1).unwrap();
        assert_eq!(back.boot_id, info.boot_id);
    }
}
