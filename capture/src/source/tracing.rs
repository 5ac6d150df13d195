//! Loading BPF objects: what the syscall source and the block source share.

pub(crate) mod drops;
pub(crate) mod record;

use crate::source::SourceError;
use aya::maps::{HashMap, Map};
use aya::programs::{BtfTracePoint, Iter, ProgramError, tp_btf::BtfTracePointLink};
use aya::{Btf, BtfError, Ebpf, EbpfLoader};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// A loaded object and the links that keep its programs attached.
pub(crate) struct Programs {
    pub(crate) ebpf: Ebpf,
    links: Vec<BtfTracePointLink>,
}

/// The kernel's own type information, which every program here needs.
pub(crate) fn kernel_btf(source: &'static str) -> Result<Btf, SourceError> {
    Btf::from_sys_fs().map_err(|error| {
        SourceError::new(
            source,
            format!(
                "/sys/kernel/btf/vmlinux: {error} (this kernel was built without CONFIG_DEBUG_INFO_BTF; the \
                 programs cannot be fitted to it)"
            ),
        )
    })
}

impl Programs {
    /// Loads `object` through `loader`, which has its globals and map sizes set.
    pub(crate) fn load(
        source: &'static str,
        loader: &mut EbpfLoader<'_>,
        object: &[u8],
    ) -> Result<Self, SourceError> {
        raise_memlock();
        let ebpf = loader
            .load(object)
            .map_err(|error| refused(source, "the BPF object", &error))?;
        Ok(Self {
            ebpf,
            links: Vec::new(),
        })
    }

    /// Loads and attaches the program `name` to a BTF tracepoint.
    pub(crate) fn attach(
        &mut self,
        source: &'static str,
        name: &str,
        tracepoint: &str,
        btf: &Btf,
    ) -> Result<(), SourceError> {
        if self.attach_if_there(source, name, tracepoint, btf)? {
            return Ok(());
        }
        Err(SourceError::new(
            source,
            format!("program {name}: this kernel has no tracepoint {tracepoint}"),
        ))
    }

    /// The same; `false` when the kernel has no such tracepoint.
    pub(crate) fn attach_if_there(
        &mut self,
        source: &'static str,
        name: &str,
        tracepoint: &str,
        btf: &Btf,
    ) -> Result<bool, SourceError> {
        let program: &mut BtfTracePoint = self
            .ebpf
            .program_mut(name)
            .ok_or_else(|| SourceError::new(source, format!("program {name}: not in the BPF object")))?
            .try_into()
            .map_err(|error| refused(source, name, &error))?;
        match program.load(tracepoint, btf) {
            Err(ProgramError::Btf(BtfError::UnknownBtfTypeName { .. })) => return Ok(false),
            loaded => {
                loaded
                    .map_err(|error| refused(source, &format!("program {name} for {tracepoint}"), &error))?;
            }
        }
        let id = program
            .attach()
            .map_err(|error| refused(source, &format!("attaching {name} to {tracepoint}"), &error))?;
        let link = program
            .take_link(id)
            .map_err(|error| refused(source, name, &error))?;
        self.links.push(link);
        Ok(true)
    }

    /// Loads the task iterator `name`, to be run later.
    pub(crate) fn load_iterator(
        &mut self,
        source: &'static str,
        name: &str,
        btf: &Btf,
    ) -> Result<(), SourceError> {
        self.iterator(source, name)?
            .load("task", btf)
            .map_err(|error| refused(source, &format!("task iterator {name}"), &error))
    }

    fn iterator(&mut self, source: &'static str, name: &str) -> Result<&mut Iter, SourceError> {
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| SourceError::new(source, format!("program {name}: not in the BPF object")))?
            .try_into()
            .map_err(|error| refused(source, name, &error))
    }

    /// Runs the task iterator `name` over all tasks and returns what it wrote, at most 64 MiB.
    pub(crate) fn run_iterator(&mut self, source: &'static str, name: &str) -> Result<Vec<u8>, SourceError> {
        use std::io::Read as _;
        let program = self.iterator(source, name)?;
        let link = program
            .attach()
            .and_then(|id| program.take_link(id))
            .map_err(|error| refused(source, &format!("task iterator {name}"), &error))?;
        let file = link
            .into_file()
            .map_err(|error| refused(source, &format!("task iterator {name}"), &error))?;
        let mut written = Vec::new();
        file.take(64 << 20)
            .read_to_end(&mut written)
            .map_err(|error| refused(source, &format!("task iterator {name}"), &error))?;
        Ok(written)
    }

    /// Takes a map out of the object.
    pub(crate) fn take_map(&mut self, source: &'static str, name: &str) -> Result<Map, SourceError> {
        self.ebpf
            .take_map(name)
            .ok_or_else(|| SourceError::new(source, format!("map {name}: not in the BPF object")))
    }

    /// Puts `number` under `key` into the hash map `name`.
    pub(crate) fn insert<K: aya::Pod>(
        &mut self,
        source: &'static str,
        name: &str,
        key: K,
        number: u32,
    ) -> Result<(), SourceError> {
        let map = self
            .ebpf
            .map_mut(name)
            .ok_or_else(|| SourceError::new(source, format!("map {name}: not in the BPF object")))?;
        HashMap::<_, K, u32>::try_from(map)
            .and_then(|mut map| map.insert(key, number, 0))
            .map_err(|error| refused(source, &format!("map {name}"), &error))
    }

    /// How often the kernel left the program `name` out because it ran already on that CPU (an interrupt in the
    /// middle of it); 0 before 5.12, which does not count. `recursion_misses` in bpf_prog_show_fdinfo,
    /// kernel/bpf/syscall.c.
    pub(crate) fn skipped(&self, name: &str) -> u64 {
        let Some(Ok(fd)) = self.ebpf.program(name).map(|program| program.fd()) else {
            return 0;
        };
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| recursion_misses(&text))
            .unwrap_or(0)
    }

    /// Detaches every program from its tracepoint: no new records after this.
    pub(crate) fn detach(&mut self) {
        self.links.clear();
    }
}

/// An error of the loader as one of ours, with the missing capabilities where the kernel said EPERM or EACCES.
pub(crate) fn refused(
    source: &'static str,
    what: &str,
    error: &(dyn std::error::Error + 'static),
) -> SourceError {
    let mut message = format!("{what}: {}", short(&error.to_string()));
    let mut denied = false;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            denied |= code == libc::EPERM;
            let text = error.to_string();
            if error.source().is_none() && !message.contains(&text) {
                message.push_str(&format!(": {text}"));
            }
        }
        cause = error.source();
    }
    let missing = if denied {
        missing_capabilities()
    } else {
        Vec::new()
    };
    if denied {
        message.push_str(&if missing.is_empty() {
            " (the host's policy forbids it: see kernel lockdown, seccomp and LSM settings)".to_owned()
        } else {
            format!(" (run as root or add {})", missing.join(", "))
        });
    }
    SourceError {
        source_name: source,
        message,
        missing,
    }
}

/// An error of the loader without the log of the kernel's verifier: some hundred lines, of which the last before the
/// statistics says what it would not have.
fn short(error: &str) -> String {
    const STATISTICS: &[&str] = &["verification time", "stack depth", "processed ", "mark_precise"];
    let Some((error, log)) = error.split_once("Verifier output:") else {
        return error.to_owned();
    };
    let error = error.trim_end().trim_end_matches('.');
    let reason = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !STATISTICS.iter().any(|statistic| line.starts_with(statistic)));
    match reason {
        Some(reason) => format!("{error}: the kernel's verifier says: {reason}"),
        None => error.to_owned(),
    }
}

/// Which of the capabilities that tracing programs need (CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN instead of
/// both: kernel/bpf/syscall.c, 5.8 and later) this process lacks.
fn missing_capabilities() -> Vec<String> {
    let effective = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective_capabilities(&status))
        .unwrap_or(0);
    lacking(effective)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

fn lacking(effective: u64) -> Vec<String> {
    const SYS_ADMIN: u32 = 21;
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(SYS_ADMIN) {
        return Vec::new();
    }
    [(39, "CAP_BPF"), (38, "CAP_PERFMON")]
        .into_iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn recursion_misses(fdinfo: &str) -> Option<u64> {
    let count = fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))?;
    count.trim().parse().ok()
}

/// Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK. Later ones charge it to the cgroup, so that failing to
/// raise the limit is no error.
fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// The nearest power of two at or below `bytes` that a ring can have: at least 64 KiB, at most 1 GiB.
pub(crate) fn ring_size(bytes: u64) -> u32 {
    let bytes = bytes.clamp(64 << 10, 1 << 30);
    u32::try_from(1_u64 << bytes.ilog2()).unwrap_or(1 << 30)
}

/// `CLOCK_BOOTTIME` now, in nanoseconds, the clock of `bpf_ktime_get_boot_ns`.
pub(crate) fn boottime() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .ok()
        .and_then(|time| {
            let seconds = u64::try_from(time.tv_sec()).ok()?;
            let nanoseconds = u64::try_from(time.tv_nsec()).ok()?;
            Some(seconds * 1_000_000_000 + nanoseconds)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_a_power_of_two_inside_its_bounds() {
        assert_eq!(ring_size(0), 65536);
        assert_eq!(ring_size(64 << 20), 64 << 20);
        assert_eq!(ring_size((64 << 20) - 1), 32 << 20);
        assert_eq!(ring_size(u64::MAX), 1 << 30);
    }

    #[test]
    fn skipped_runs_are_read_from_fdinfo() {
        let text = "prog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t17\nverified_insns:\t9\n";
        assert_eq!(recursion_misses(text), Some(17));
        assert_eq!(recursion_misses("prog_type:\t26\n"), None);
    }

    #[test]
    fn missing_capabilities_are_named_unless_sys_admin_serves() {
        assert_eq!(lacking(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(lacking(1 << 39), ["CAP_PERFMON"]);
        assert!(lacking(1 << 21).is_empty());
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t0000008000000000\n"),
            Some(1 << 39)
        );
    }

    #[test]
    fn of_the_verifiers_log_the_reason_is_told() {
        let error = "the BPF_PROG_LOAD syscall returned EACCES (os error 13). Verifier output: Validating f() func#1...\n\
                     1659: (bc) w2 = w9\n1660: (85) call bpf_probe_read_user#112\n\
                     R2 unbounded memory access\nverification time 133465 usec\nstack depth 0+176\n\
                     processed 167 insns (limit 1000000)\n\n";
        assert_eq!(
            short(error),
            "the BPF_PROG_LOAD syscall returned EACCES (os error 13): the kernel's verifier says: \
             R2 unbounded memory access"
        );
        assert_eq!(short("x. Verifier output: "), "x");
        assert_eq!(short("no such file"), "no such file");
    }

    #[test]
    fn a_denial_deep_in_an_error_is_found() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = refused(
            "syscalls",
            "x",
            &Outer(io::Error::from_raw_os_error(libc::EINVAL)),
        );
        assert!(error.missing.is_empty());
        assert!(error.message.starts_with("x: outer: Invalid argument"));
        let error = refused("syscalls", "x", &Outer(io::Error::from_raw_os_error(libc::EPERM)));
        assert!(error.message.contains('('), "{}", error.message);
    }
}
