//! What preflight asks of the host. Nothing is decided here, nothing is changed, and every answer may be missing.

use super::capability::CapabilitySet;
use crate::clock;
use crate::deadline;
use crate::plan::Plan;
use crate::snapshot;
use crate::target::{Target, TargetKind, cgroup, mountinfo, namespace};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the output's file system may take to answer: it may lie on a network.
const STATVFS_LIMIT: Duration = Duration::from_secs(3);
/// Folders of a journal that are looked into (one for each machine whose journal lies there).
const JOURNAL_FOLDERS: usize = 64;
/// `PROC_USER_INIT_INO` and `PROC_PID_INIT_INO` (include/linux/proc_ns.h): the host's own namespaces.
const HOST_USER_NAMESPACE: u64 = 0xefff_fffd;
const HOST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What the host answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Effective user.
    pub uid: u32,
    /// Effective capabilities.
    pub capabilities: CapabilitySet,
    /// Whether capture is in the host's user namespace; elsewhere its capabilities do not count for the kernel.
    pub host_user_namespace: bool,
    /// Whether capture sees processes by the numbers that the kernel reports.
    pub host_pid_namespace: bool,
    /// `uname -r`.
    pub kernel_release: String,
    /// The kernel describes its types.
    pub btf: bool,
    /// `kernel.yama.ptrace_scope`, 0 where there is no Yama: who may trace whom.
    pub ptrace_scope: u32,
    /// Kernel lockdown in force: `none`, `integrity`, `confidentiality`; `None` when the host does not say.
    pub lockdown: Option<String>,
    /// `v1`, `v2`, `hybrid` or `none`.
    pub cgroup_mode: String,
    /// The memory controller is there, so that written-back pages have an owner.
    pub memory_cgroup: bool,
    /// What times are made of: `tsc`, `kvm-clock`, …
    pub clocksource: Option<String>,
    /// How far the clocks' common anchor may be off, in nanoseconds.
    pub clock_error_ns: u64,
    /// `/dev/kmsg`.
    pub kmsg: Access,
    /// Files of the journal.
    pub journal: Access,
    /// `journalctl`, by which the journal is read.
    pub journalctl: Option<PathBuf>,
    /// The API version of the engine, where one was asked.
    pub engine_api: Option<String>,
    /// Free space for the output, in bytes; `None` for a pipe and for file systems that don't count.
    pub free_bytes: Option<u64>,
    /// Why the output could not be made.
    pub output_problem: Option<String>,
    /// The targets, in the order of the plan.
    pub targets: Vec<TargetFacts>,
}

/// Whether something can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "error", rename_all = "lowercase")]
pub enum Access {
    /// It was opened.
    Readable,
    /// It is not there.
    Absent,
    /// It is there, and permission was denied.
    Denied,
    /// It is there, and opening it failed otherwise.
    Failed(String),
}

impl Access {
    fn of(outcome: io::Result<File>) -> Self {
        match outcome {
            Ok(_) => Self::Readable,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Self::Absent,
                io::ErrorKind::PermissionDenied => Self::Denied,
                _ => Self::Failed(error.to_string()),
            },
        }
    }
}

/// What matters of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetFacts {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Whether it runs.
    pub running: bool,
    /// Owner of its first process.
    pub uid: Option<u32>,
    /// Its network namespace.
    pub network: Network,
    /// Whether any block device was found under it.
    pub has_devices: bool,
    /// Who else uses its network namespace.
    pub netns_shared_with: Vec<String>,
    /// Its log is kept by the engine.
    pub log_driver: Option<String>,
}

/// A target's network namespace, seen from capture's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The same.
    Own,
    /// Another one, or one that does not exist yet.
    Other,
    /// The kernel does not tell.
    Unreadable,
}

/// Asks the host.
#[must_use]
pub fn ask(plan: &Plan) -> Facts {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let namespaces = namespace::read("self").unwrap_or_default();
    let is_host = |kind: &str, inode: u64| namespaces.get(kind).is_none_or(|own| *own == inode);
    let (mounts, _) = mountinfo::read("self").unwrap_or_default();
    let anchor = clock::anchor();
    Facts {
        uid: nix::unistd::geteuid().as_raw(),
        capabilities: CapabilitySet::effective(&status).unwrap_or_default(),
        host_user_namespace: is_host("user", HOST_USER_NAMESPACE),
        host_pid_namespace: is_host("pid", HOST_PID_NAMESPACE),
        kernel_release: trimmed("/proc/sys/kernel/osrelease").unwrap_or_default(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        ptrace_scope: crate::source::syscalls::yama(),
        lockdown: trimmed("/sys/kernel/security/lockdown").and_then(|text| snapshot::chosen(&text)),
        cgroup_mode: cgroup::mode(&mounts).to_owned(),
        memory_cgroup: has_memory_cgroup(&mounts),
        clocksource: trimmed("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        clock_error_ns: anchor.error,
        kmsg: Access::of(
            OpenOptions::new()
                .read(true)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open("/dev/kmsg"),
        ),
        journal: journal(&["/var/log/journal", "/run/log/journal"].map(Path::new)),
        journalctl: crate::command::find("journalctl".as_ref()).ok(),
        engine_api: plan.engine.as_ref().map(|engine| engine.version().to_string()),
        free_bytes: plan.output.folder().and_then(free_bytes),
        output_problem: plan.output.check().err().map(|error| error.to_string()),
        targets: plan
            .targets
            .iter()
            .map(|target| target_facts(target, plan, namespaces.get("net").copied()))
            .collect(),
    }
}

fn trimmed(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// The memory controller, in either version (cgroup2 lists its controllers in `cgroup.controllers`).
fn has_memory_cgroup(mounts: &[mountinfo::Mount]) -> bool {
    mounts.iter().any(|mount| match mount.fs_type.as_str() {
        "cgroup" => mount.has_option("memory"),
        "cgroup2" => fs::read_to_string(Path::new(&mount.target).join("cgroup.controllers"))
            .is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory")),
        _ => false,
    })
}

/// Files of the system's journal: readable if any one can be opened. They lie in a folder for each machine id.
fn journal(roots: &[&Path]) -> Access {
    let mut found = Access::Absent;
    for root in roots {
        let folders = match fs::read_dir(root) {
            Ok(folders) => folders,
            Err(error) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    found = Access::Denied;
                }
                continue;
            }
        };
        for folder in folders.flatten().take(JOURNAL_FOLDERS) {
            match system_journal(&folder.path()) {
                Access::Readable => return Access::Readable,
                Access::Absent => {}
                other => found = other,
            }
        }
    }
    found
}

fn system_journal(folder: &Path) -> Access {
    if let outcome @ (Access::Readable | Access::Denied) =
        Access::of(File::open(folder.join("system.journal")))
    {
        return outcome;
    }
    // The active file may be missing for a moment while journald rotates; archived ones have longer names.
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("system") && name.ends_with(".journal")
        })
        .take(1)
        .map(|entry| Access::of(File::open(entry.path())))
        .next()
        .unwrap_or(Access::Absent)
}

/// Space that this user may fill.
fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = folder.to_owned();
    deadline::within(STATVFS_LIMIT, "free-space", move || {
        let found = statvfs(&folder).ok()?;
        // `/proc` and the like have no blocks at all: nothing to run out of.
        (found.blocks() > 0).then(|| found.blocks_available().saturating_mul(found.fragment_size()))
    })
    .ok()
    .flatten()
}

fn target_facts(target: &Target, plan: &Plan, own_network: Option<u64>) -> TargetFacts {
    let running = target.pid != 0;
    let uid = running
        .then(|| fs::metadata(format!("/proc/{}", target.pid)).ok())
        .flatten()
        .map(|found| found.uid());
    let network = match target.namespaces.get("net") {
        Some(_) if target.namespaces.get("net") == own_network.as_ref() => Network::Own,
        Some(_) => Network::Other,
        None if running => Network::Unreadable,
        None => Network::Other,
    };
    TargetFacts {
        name: target.name.clone(),
        kind: target.kind,
        running,
        uid,
        network,
        has_devices: !target.devices.is_empty(),
        netns_shared_with: target.netns_shared_with.clone(),
        log_driver: plan
            .containers
            .iter()
            .find(|one| one.id == target.id)
            .map(|one| one.log_driver.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_of;

    #[test]
    fn this_host_answers() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let line = format!("-p {own} -o {}/x", folder.path().display());
        let plan = crate::plan::resolve(&crate::plan::tests::arguments(&line)).unwrap();
        let facts = ask(&plan);
        assert_eq!(facts.uid, nix::unistd::geteuid().as_raw());
        assert!(facts.kernel_release.contains('.'), "{}", facts.kernel_release);
        assert!(facts.free_bytes.is_some() && facts.output_problem.is_none());
        let target = &facts.targets[0];
        assert!(target.running && target.kind == TargetKind::Tree);
        assert_eq!(target.network, Network::Own);
        serde_json::to_value(&facts).unwrap();
    }

    #[test]
    fn an_output_in_proc_has_no_free_space_to_speak_of() {
        assert_eq!(free_bytes(Path::new("/proc")), None);
        assert_eq!(free_bytes(Path::new("/no/such/folder")), None);
        let plan = plan_of("web -o -", &[]);
        assert_eq!(plan.output.folder(), None);
    }

    #[test]
    fn a_journal_is_its_files_and_not_its_folder() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(journal(&[root.path()]), Access::Absent);
        let machine = root.path().join("0123");
        fs::create_dir(&machine).unwrap();
        fs::write(machine.join("user-1000.journal"), "").unwrap();
        assert_eq!(
            journal(&[root.path()]),
            Access::Absent,
            "a user's is not the system's"
        );
        fs::write(machine.join("system@1-2-3.journal"), "").unwrap();
        assert_eq!(journal(&[root.path()]), Access::Readable);
        assert_eq!(journal(&[Path::new("/no/such"), root.path()]), Access::Readable);
    }
}
