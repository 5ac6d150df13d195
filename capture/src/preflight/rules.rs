//! What can be recorded here: pure decisions from the plan and the host's answers.
//!
//! A source is *off* when it was not asked for, or when this host or this kind of target has nothing for it. It is
//! *missing* when there is something to record and capture is not able to: that is never passed over in silence.
//! `docs/privileges.md` is the same table for readers.

use super::capability::Capability;
use super::facts::{Access, Facts, Network, TargetFacts};
use crate::cli::{SyscallsChoice, show_size};
use crate::plan::{Asked, Plan, SOURCES};
use crate::source::syscalls::SLOW_NOTE;
use crate::target::TargetKind;
use serde::Serialize;

/// The oldest kernel that has all that the BPF programs call: `bpf_task_pt_regs`, Linux 5.15.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Clock sources that take a device access for each reading, a microsecond or so.
const SLOW_CLOCKS: [&str; 4] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies"];

/// What becomes of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Decision {
    /// It can be recorded.
    Ready {
        /// What a reader should know of it.
        notes: Vec<String>,
    },
    /// There is something to record, and it cannot be.
    Missing {
        /// Why.
        reason: String,
        /// Capabilities that capture lacks for it.
        capabilities: Vec<Capability>,
        /// What to do.
        advice: String,
    },
    /// Nothing is to be recorded.
    Off {
        /// Why.
        reason: String,
    },
}

impl Decision {
    fn off(reason: impl Into<String>) -> Self {
        Self::Off {
            reason: reason.into(),
        }
    }

    fn missing(reason: impl Into<String>, capabilities: Vec<Capability>, advice: impl Into<String>) -> Self {
        Self::Missing {
            reason: reason.into(),
            capabilities,
            advice: advice.into(),
        }
    }
}

/// The name under which the snapshots stand beside the sources.
pub const SNAPSHOT: &str = "snapshot";

/// Decides for each source, in the order of [`SOURCES`], and for the snapshot, which comes last.
#[must_use]
pub fn decide(plan: &Plan, facts: &Facts) -> Vec<(&'static str, Decision)> {
    let of_source = |name: &'static str| {
        if !plan.sources.get(name) {
            return Decision::off(format!("not asked for (--no-{name})"));
        }
        match name {
            "syscalls" => calls(plan, facts).1,
            "block" => block(facts),
            "packets" => packets(facts),
            "journal" => journal(plan, facts),
            "logs" => logs(plan, facts),
            "events" => events(plan),
            "kernel" => kernel(facts),
            _ => metrics(facts),
        }
    };
    SOURCES
        .into_iter()
        .map(|name| (name, of_source(name)))
        .chain([(SNAPSHOT, snapshot(facts))])
        .collect()
}

/// What the user should know before the start; none of it is a reason not to start.
#[must_use]
pub fn warnings(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(problem) = &facts.output_problem {
        warnings.push(problem.clone());
    }
    if let Some(free) = facts.free_bytes
        && free < plan.limits.max_size
    {
        warnings.push(format!(
            "output: free space is {}, less than --max-size {}: the capture may end on a full disk (choose another \
             place with -o, or a smaller --max-size)",
            show_size(free),
            show_size(plan.limits.max_size)
        ));
    }
    if plan.sources.syscalls
        && let (CallsBy::Ptrace, Decision::Ready { notes }) = calls(plan, facts)
    {
        warnings.push(format!("syscalls: {}", notes.join("; ")));
    }
    if !facts.host_pid_namespace {
        warnings.push(
            "processes: capture runs in a pid namespace of its own: the kernel reports the host's process ids, \
             which are others (run capture in the host's pid namespace)"
                .to_owned(),
        );
    }
    if let Some(clock) = facts
        .clocksource
        .as_deref()
        .filter(|one| SLOW_CLOCKS.contains(one))
    {
        warnings.push(format!(
            "clock: the clock source is {clock}, which is slow to read: every recorded event costs more than \
             elsewhere"
        ));
    }
    warnings
}

/// Why BPF programs cannot trace here, if they can't: all causes at once, so that nobody mends them one by one.
fn bpf(facts: &Facts) -> Option<Decision> {
    let mut reasons = Vec::new();
    let mut advice = Vec::new();
    let mut capabilities = Vec::new();
    if !facts.host_user_namespace {
        reasons.push(
            "capture runs in a user namespace, whose capabilities the kernel does not count".to_owned(),
        );
        advice.push("run it on the host".to_owned());
        capabilities = vec![Capability::Bpf, Capability::Perfmon];
    } else if !facts.capabilities.has(Capability::SysAdmin) {
        // CAP_SYS_ADMIN serves for both: bpf_capable() and perfmon_capable(), include/linux/capability.h.
        capabilities = facts
            .capabilities
            .lacking(&[Capability::Bpf, Capability::Perfmon]);
        if !capabilities.is_empty() {
            reasons.push("loading BPF programs is not allowed".to_owned());
            advice.push(run_as_root(&capabilities));
        }
    }
    if kernel_version(&facts.kernel_release).is_some_and(|version| version < OLDEST_KERNEL) {
        reasons.push(format!("the kernel is {}", facts.kernel_release));
        advice.push(format!(
            "use Linux {}.{} or newer",
            OLDEST_KERNEL.0, OLDEST_KERNEL.1
        ));
    }
    if !facts.btf {
        reasons.push("there is no /sys/kernel/btf/vmlinux".to_owned());
        advice.push("use a kernel with CONFIG_DEBUG_INFO_BTF and mount /sys".to_owned());
    }
    // LOCKDOWN_BPF_READ_KERNEL is of that level (kernel/trace/bpf_trace.c); `integrity` allows it.
    if facts.lockdown.as_deref() == Some("confidentiality") {
        reasons.push("kernel lockdown is `confidentiality`, and BPF programs may not read".to_owned());
        advice.push("boot with lockdown=integrity".to_owned());
    }
    if reasons.is_empty() {
        return None;
    }
    Some(Decision::missing(
        reasons.join("; "),
        capabilities,
        advice.join("; "),
    ))
}

/// What records the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallsBy {
    /// Programs in the kernel.
    Bpf,
    /// A tracer.
    Ptrace,
}

/// How calls are recorded, and whether they can be.
#[must_use]
pub fn calls(plan: &Plan, facts: &Facts) -> (CallsBy, Decision) {
    let is_ours = plan.asked == Asked::Command;
    let ready = || Decision::Ready { notes: Vec::new() };
    match (plan.syscalls, bpf(facts)) {
        (SyscallsChoice::Bpf, no_bpf) => (CallsBy::Bpf, no_bpf.unwrap_or_else(ready)),
        (SyscallsChoice::Auto, None) => (CallsBy::Bpf, ready()),
        (SyscallsChoice::Auto, Some(no_bpf)) if is_ours || plan.allow_slow => {
            match (ptrace(plan, facts), no_bpf) {
                (Decision::Ready { mut notes }, Decision::Missing { reason, .. }) => {
                    notes.push(format!("not by BPF: {reason}"));
                    (CallsBy::Ptrace, Decision::Ready { notes })
                }
                (
                    Decision::Missing { reason, .. },
                    Decision::Missing {
                        reason: no_bpf,
                        capabilities,
                        advice,
                    },
                ) => (
                    CallsBy::Bpf,
                    Decision::missing(format!("{no_bpf}; and {reason}"), capabilities, advice),
                ),
                (decision, _) => (CallsBy::Ptrace, decision),
            }
        }
        (
            SyscallsChoice::Auto,
            Some(Decision::Missing {
                reason,
                capabilities,
                advice,
            }),
        ) => (
            CallsBy::Bpf,
            Decision::missing(
                reason,
                capabilities,
                format!("{advice}; or have ptrace do it, which slows the target: --allow-slow"),
            ),
        ),
        (SyscallsChoice::Auto, Some(other)) => (CallsBy::Bpf, other),
        (SyscallsChoice::Ptrace, _) if is_ours || plan.allow_slow => (CallsBy::Ptrace, ptrace(plan, facts)),
        (SyscallsChoice::Ptrace, _) => (
            CallsBy::Ptrace,
            Decision::missing(
                "ptrace would stop a target twice at each call that capture did not start, and make it up to 100 times \
                 slower",
                Vec::new(),
                "add --allow-slow if that may be",
            ),
        ),
    }
}

/// Whether the targets may be traced (ptrace(2), "Ptrace access mode checking"; Documentation/admin-guide/LSM/Yama.rst).
fn ptrace(plan: &Plan, facts: &Facts) -> Decision {
    let mut reasons = Vec::new();
    let may_all = facts.capabilities.has(Capability::SysPtrace);
    let is_ours = plan.asked == Asked::Command;
    if facts.ptrace_scope >= 3 {
        return Decision::missing(
            "kernel.yama.ptrace_scope is 3: nobody may trace until the next boot",
            Vec::new(),
            "boot with another value",
        );
    }
    if !may_all && facts.ptrace_scope == 2 {
        reasons.push("kernel.yama.ptrace_scope is 2: only an administrator may trace".to_owned());
    }
    if !may_all && facts.ptrace_scope == 1 && !is_ours {
        reasons.push("kernel.yama.ptrace_scope is 1: only descendants may be traced".to_owned());
    }
    let foreign: Vec<&str> = facts
        .targets
        .iter()
        .filter(|target| target.uid.is_some_and(|uid| uid != facts.uid))
        .map(|target| target.name.as_str())
        .collect();
    if !may_all && !foreign.is_empty() {
        reasons.push(format!(
            "{} belongs to another user, whose processes may not be traced",
            foreign.join(", ")
        ));
    }
    if reasons.is_empty() {
        return Decision::Ready {
            notes: vec![SLOW_NOTE.to_owned()],
        };
    }
    let wanted = [Capability::SysPtrace];
    Decision::missing(reasons.join("; "), wanted.to_vec(), run_as_root(&wanted))
}

fn block(facts: &Facts) -> Decision {
    if let Some(missing) = bpf(facts) {
        return missing;
    }
    let mut notes = Vec::new();
    let running = || facts.targets.iter().filter(|target| target.running);
    if running().next().is_some() && !running().any(|target| target.has_devices) {
        notes.push("no block device was found under the targets".to_owned());
    }
    if !facts.memory_cgroup {
        notes
            .push("without the memory controller nobody knows whose pages the kernel writes back".to_owned());
    }
    Decision::Ready { notes }
}

fn packets(facts: &Facts) -> Decision {
    let mut wanted = vec![Capability::NetRaw];
    let mut reasons = Vec::new();
    if !facts.capabilities.has(Capability::NetRaw) {
        reasons.push("opening a packet socket is not allowed".to_owned());
    }
    if facts.targets.iter().any(|target| target.network != Network::Own) {
        wanted.push(Capability::SysAdmin);
        if !facts.capabilities.has(Capability::SysAdmin) {
            reasons.push("entering a target's network namespace is not allowed".to_owned());
        }
    }
    let hidden: Vec<&str> = facts
        .targets
        .iter()
        .filter(|target| target.network == Network::Unreadable)
        .map(|target| target.name.as_str())
        .collect();
    if !hidden.is_empty() && !facts.capabilities.has(Capability::SysPtrace) {
        wanted.push(Capability::SysPtrace);
        reasons.push(format!(
            "the network namespace of {} cannot be looked up",
            hidden.join(", ")
        ));
    }
    let capabilities = facts.capabilities.lacking(&wanted);
    if capabilities.is_empty() {
        let notes = facts
            .targets
            .iter()
            .filter(|target| target.kind == TargetKind::Container && !target.netns_shared_with.is_empty())
            .map(|target| {
                format!(
                    "{} shares its network namespace with {}: their packets are recorded too",
                    target.name,
                    target.netns_shared_with.join(", ")
                )
            })
            .collect();
        return Decision::Ready { notes };
    }
    let advice = run_as_root(&capabilities);
    Decision::missing(reasons.join("; "), capabilities, advice)
}

fn journal(plan: &Plan, facts: &Facts) -> Decision {
    if !plan.has_containers() {
        return no_engine();
    }
    let lack = |reason: &str, capabilities: Vec<Capability>, advice: &str| {
        Decision::missing(reason, capabilities, advice)
    };
    match (&facts.journal, &facts.journalctl) {
        (Access::Absent, _) => Decision::off("this host keeps no journal"),
        (Access::Denied, _) => lack(
            "the journal's files may not be read",
            vec![Capability::DacReadSearch],
            "run as root, add it, or join the group systemd-journal",
        ),
        (Access::Failed(error), _) => lack(
            &format!("the journal cannot be opened: {error}"),
            Vec::new(),
            "look at its file system",
        ),
        (Access::Readable, None) => lack(
            "there is a journal, and no journalctl in PATH to read it with",
            Vec::new(),
            "install systemd's journalctl",
        ),
        (Access::Readable, Some(_)) => Decision::Ready { notes: Vec::new() },
    }
}

fn logs(plan: &Plan, facts: &Facts) -> Decision {
    if !plan.has_containers() {
        return no_engine();
    }
    let notes = facts
        .targets
        .iter()
        .filter(|target| target.log_driver.as_deref() == Some("none"))
        .map(|target| {
            format!(
                "{} has the log driver `none`: the engine keeps no log of it",
                target.name
            )
        })
        .collect();
    Decision::Ready { notes }
}

fn events(plan: &Plan) -> Decision {
    if plan.has_containers() {
        Decision::Ready { notes: Vec::new() }
    } else {
        no_engine()
    }
}

fn no_engine() -> Decision {
    Decision::off("no container is captured, so no engine is asked")
}

fn kernel(facts: &Facts) -> Decision {
    match &facts.kmsg {
        Access::Readable => Decision::Ready { notes: Vec::new() },
        Access::Denied => Decision::missing(
            "/dev/kmsg may not be read",
            vec![Capability::Syslog],
            "run as root, or add it",
        ),
        Access::Absent => Decision::missing(
            "there is no /dev/kmsg",
            Vec::new(),
            "run capture on the host, or give it that device",
        ),
        Access::Failed(error) => Decision::missing(
            format!("/dev/kmsg: {error}"),
            Vec::new(),
            "leave it out with --no-kernel",
        ),
    }
}

fn metrics(facts: &Facts) -> Decision {
    let mut notes = Vec::new();
    if !facts.memory_cgroup {
        notes.push("without the memory controller there are no figures of containers' memory".to_owned());
    }
    Decision::Ready { notes }
}

/// The snapshot shows what it can reach, and says what it can't: only processes of others without the right to look
/// into them leave nothing worth the name.
fn snapshot(facts: &Facts) -> Decision {
    let sees_others = facts.capabilities.has(Capability::SysPtrace);
    let is_foreign = |target: &&TargetFacts| target.uid.is_some_and(|uid| uid != facts.uid);
    let foreign: Vec<&str> = facts
        .targets
        .iter()
        .filter(is_foreign)
        .map(|target| target.name.as_str())
        .collect();
    if !foreign.is_empty() && !sees_others {
        let wanted = [Capability::SysPtrace];
        return Decision::missing(
            format!(
                "{} belongs to another user, whose processes may not be looked into",
                foreign.join(", ")
            ),
            wanted.to_vec(),
            run_as_root(&wanted),
        );
    }
    let mut notes = Vec::new();
    for (capability, lost) in [
        (
            Capability::SysPtrace,
            "descriptors and mounts of other users' processes",
        ),
        (Capability::DacReadSearch, "files that only their owner may read"),
        (
            Capability::SysAdmin,
            "sockets, addresses and routes of other network namespaces",
        ),
    ] {
        if !facts.capabilities.has(capability) {
            notes.push(format!("without {capability} it lacks {lost}"));
        }
    }
    Decision::Ready { notes }
}

fn run_as_root(capabilities: &[Capability]) -> String {
    let what = if capabilities.len() == 1 { "it" } else { "them" };
    format!("run as root, or add {what}")
}

/// Major and minor of `6.12.0-1-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|one: char| !one.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
pub(super) mod tests;
