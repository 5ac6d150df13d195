//! Each rule with the facts that decide it.

use super::super::capability::CapabilitySet;
use super::*;
use crate::plan::tests::{container, plan_of};
use Capability::{Bpf, DacReadSearch, NetRaw, Perfmon, SysAdmin, SysPtrace, Syslog};

/// A host that can do everything, and root.
pub(crate) fn facts(plan: &Plan) -> Facts {
    Facts {
        uid: 0,
        capabilities: CapabilitySet::FULL,
        host_user_namespace: true,
        host_pid_namespace: true,
        kernel_release: "6.12.0-1-amd64".to_owned(),
        btf: true,
        ptrace_scope: 0,
        lockdown: Some("integrity".to_owned()),
        cgroup_mode: "v2".to_owned(),
        memory_cgroup: true,
        clocksource: Some("tsc".to_owned()),
        clock_error_ns: 40,
        kmsg: Access::Readable,
        journal: Access::Readable,
        journalctl: Some("/usr/bin/journalctl".into()),
        engine_api: Some("1.41".to_owned()),
        free_bytes: Some(10 << 30),
        output_problem: None,
        targets: plan
            .targets
            .iter()
            .map(|target| TargetFacts {
                name: target.name.clone(),
                kind: target.kind,
                running: target.pid != 0,
                uid: (target.pid != 0).then_some(0),
                network: Network::Other,
                has_devices: true,
                netns_shared_with: Vec::new(),
                log_driver: Some("json-file".to_owned()),
            })
            .collect(),
    }
}

/// The same host, asked by nobody, who has no capability.
pub(crate) fn nobody(plan: &Plan) -> Facts {
    let mut facts = facts(plan);
    facts.uid = 65_534;
    facts.capabilities = CapabilitySet::default();
    facts.kmsg = Access::Denied;
    facts.journal = Access::Denied;
    for target in &mut facts.targets {
        target.network = Network::Unreadable;
    }
    facts
}

fn only(capabilities: &[Capability]) -> CapabilitySet {
    CapabilitySet(capabilities.iter().fold(0, |set, one| set | 1 << *one as u32))
}

fn all_but(lost: &[Capability]) -> CapabilitySet {
    CapabilitySet(!only(lost).0)
}

fn web() -> Plan {
    plan_of("web", &[container("web", 7)])
}

/// What is decided for `source` when `change` is made to a host that can do everything.
fn decided(plan: &Plan, source: &str, change: impl FnOnce(&mut Facts)) -> Decision {
    let mut facts = facts(plan);
    change(&mut facts);
    decide(plan, &facts)
        .into_iter()
        .find(|(name, _)| *name == source)
        .unwrap()
        .1
}

fn lacks(decision: &Decision) -> Vec<Capability> {
    match decision {
        Decision::Missing { capabilities, .. } => capabilities.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn root_on_a_good_host_misses_nothing() {
    let plan = web();
    for (name, decision) in decide(&plan, &facts(&plan)) {
        assert_eq!(decision, Decision::Ready { notes: Vec::new() }, "{name}");
    }
    assert_eq!(warnings(&plan, &facts(&plan)), [""; 0]);
}

#[test]
fn tracing_needs_bpf_and_perfmon_or_sys_admin() {
    let plan = web();
    for source in ["syscalls", "block"] {
        let with = |set: CapabilitySet| decided(&plan, source, |facts| facts.capabilities = set);
        assert_eq!(lacks(&with(only(&[]))), [Bpf, Perfmon]);
        assert_eq!(lacks(&with(all_but(&[Bpf, SysAdmin]))), [Bpf]);
        assert!(matches!(with(only(&[SysAdmin])), Decision::Ready { .. }));
        assert!(matches!(with(only(&[Bpf, Perfmon])), Decision::Ready { .. }));
    }
}

#[test]
fn tracing_needs_a_kernel_that_lets_it() {
    let plan = web();
    let said = |change: fn(&mut Facts)| decided(&plan, "syscalls", change).to_string();
    assert!(said(|facts| facts.btf = false).contains("/sys/kernel/btf/vmlinux"));
    assert!(said(|facts| facts.lockdown = Some("confidentiality".into())).contains("lockdown"));
    assert!(said(|facts| facts.kernel_release = "5.14.21".into()).contains("5.15 or newer"));
    assert!(said(|facts| facts.host_user_namespace = false).contains("user namespace"));
    for release in ["5.15.0", "6.1", "10.0.0-rc1", "unknown"] {
        let decision = decided(&plan, "syscalls", |facts| {
            release.clone_into(&mut facts.kernel_release)
        });
        assert!(
            matches!(decision, Decision::Ready { .. }),
            "{release}: {decision}"
        );
    }
    let both = said(|facts| {
        facts.btf = false;
        facts.lockdown = Some("confidentiality".into());
    });
    assert!(both.contains("btf") && both.contains("lockdown"), "{both}");
}

fn command(line: &str) -> Plan {
    crate::plan::resolve(&crate::plan::tests::arguments(line)).unwrap()
}

#[test]
fn a_command_is_traced_where_bpf_is_not_to_be_had() {
    let by = |line: &str, change: fn(&mut Facts)| {
        let plan = command(line);
        let mut facts = facts(&plan);
        change(&mut facts);
        calls(&plan, &facts)
    };
    let can: fn(&mut Facts) = |_| {};
    let cannot: fn(&mut Facts) = |facts| facts.capabilities = CapabilitySet::default();
    assert_eq!(
        by("-- sh", can),
        (CallsBy::Bpf, Decision::Ready { notes: Vec::new() })
    );
    let (engine, decision) = by("-- sh", cannot);
    let said = decision.to_string();
    assert_eq!(engine, CallsBy::Ptrace);
    assert!(
        said.starts_with("ready (") && said.contains("slower") && said.contains("not by BPF: loading"),
        "{said}"
    );
    assert_eq!(by("--syscalls ptrace -- sh", can).0, CallsBy::Ptrace);
    assert_eq!(lacks(&by("--syscalls bpf -- sh", cannot).1), [Bpf, Perfmon]);
    let old: fn(&mut Facts) = |facts| facts.kernel_release = "4.19.0".into();
    assert!(by("-- sh", old).1.to_string().contains("the kernel is 4.19.0"));
    let locked: fn(&mut Facts) = |facts| {
        facts.capabilities = CapabilitySet::default();
        facts.ptrace_scope = 3;
    };
    let said = by("-- sh", locked).1.to_string();
    assert!(
        said.starts_with("missing CAP_BPF") && said.contains("ptrace_scope is 3"),
        "{said}"
    );
    let admins: fn(&mut Facts) = |facts| {
        facts.capabilities = CapabilitySet::default();
        facts.ptrace_scope = 2;
    };
    assert_eq!(lacks(&by("--syscalls ptrace -- sh", admins).1), [SysPtrace]);
}

#[test]
fn a_target_that_capture_did_not_start_is_traced_only_when_it_may_be_slowed() {
    let by = |line: &str, change: fn(&mut Facts)| {
        let plan = plan_of(line, &[container("web", 7)]);
        let mut facts = facts(&plan);
        change(&mut facts);
        calls(&plan, &facts)
    };
    let can: fn(&mut Facts) = |_| {};
    let cannot: fn(&mut Facts) = |facts| facts.capabilities = CapabilitySet::default();
    for (line, change) in [("web", cannot), ("web --syscalls ptrace", can)] {
        let said = by(line, change).1.to_string();
        assert!(
            said.starts_with("missing") && said.contains("--allow-slow"),
            "{line}: {said}"
        );
    }
    let (engine, decision) = by("web --syscalls ptrace --allow-slow", can);
    assert_eq!(engine, CallsBy::Ptrace);
    assert!(decision.to_string().contains("slower"), "{decision}");
    assert_eq!(
        by("web --allow-slow", can).0,
        CallsBy::Bpf,
        "the better one is there"
    );
    let other: fn(&mut Facts) = |facts| {
        facts.uid = 1_000;
        facts.capabilities = CapabilitySet::default();
    };
    let (_, decision) = by("web --syscalls ptrace --allow-slow", other);
    assert_eq!(lacks(&decision), [SysPtrace]);
    let yama: fn(&mut Facts) = |facts| {
        facts.capabilities = CapabilitySet::default();
        facts.ptrace_scope = 1;
    };
    let (_, decision) = by("web --syscalls ptrace --allow-slow", yama);
    assert_eq!(lacks(&decision), [SysPtrace]);
}

#[test]
fn packets_need_more_the_farther_the_namespace_is() {
    let plan = web();
    let with = |set: CapabilitySet, network: Network| {
        decided(&plan, "packets", |facts| {
            facts.capabilities = set;
            facts.targets[0].network = network;
        })
    };
    assert_eq!(lacks(&with(only(&[]), Network::Own)), [NetRaw]);
    assert_eq!(lacks(&with(only(&[]), Network::Other)), [NetRaw, SysAdmin]);
    assert_eq!(
        lacks(&with(only(&[]), Network::Unreadable)),
        [NetRaw, SysAdmin, SysPtrace]
    );
    for (set, network) in [
        (only(&[NetRaw]), Network::Own),
        (only(&[NetRaw, SysAdmin]), Network::Other),
        (CapabilitySet::FULL, Network::Unreadable),
    ] {
        let decision = with(set, network);
        assert!(
            matches!(decision, Decision::Ready { .. }),
            "{network:?}: {decision}"
        );
    }
}

#[test]
fn a_shared_network_namespace_is_said_to_be_so() {
    let decision = decided(&web(), "packets", |facts| {
        facts.targets[0].netns_shared_with = vec!["host".to_owned()];
    });
    assert!(decision.to_string().contains("with host"), "{decision}");
}

#[test]
fn a_command_needs_no_engine_and_root_misses_nothing_for_it() {
    let plan = crate::plan::resolve(&crate::plan::tests::arguments("-- sh")).unwrap();
    let mut facts = facts(&plan);
    facts.engine_api = None;
    facts.journal = Access::Absent;
    facts.journalctl = None;
    for (name, decision) in decide(&plan, &facts) {
        let is_of_engine = ["journal", "logs", "events"].contains(&name);
        assert_eq!(
            matches!(decision, Decision::Off { .. }),
            is_of_engine,
            "{name}: {decision}"
        );
        assert!(
            !matches!(decision, Decision::Missing { .. }),
            "{name}: {decision}"
        );
    }
}

#[test]
fn a_source_that_was_not_asked_for_is_off_whatever_it_lacks() {
    let plan = plan_of(
        "web --no-syscalls --no-packets --no-block --no-journal --no-logs --no-events --no-kernel --no-metrics",
        &[container("web", 7)],
    );
    for (name, decision) in decide(&plan, &nobody(&plan)) {
        if name != SNAPSHOT {
            let said = decision.to_string();
            assert!(said.contains(&format!("--no-{name}")), "{name}: {said}");
        }
    }
}

#[test]
fn the_journal_is_off_where_there_is_none_and_missing_where_it_cannot_be_read() {
    let plan = web();
    let with = |journal: Access| decided(&plan, "journal", |facts| facts.journal = journal);
    assert!(matches!(with(Access::Absent), Decision::Off { .. }));
    assert_eq!(lacks(&with(Access::Denied)), [DacReadSearch]);
    assert_eq!(lacks(&with(Access::Failed("input/output error".into()))), []);
    let decision = decided(&plan, "journal", |facts| facts.journalctl = None);
    assert!(decision.to_string().contains("journalctl"), "{decision}");
}

#[test]
fn the_kernels_log_needs_syslog() {
    let plan = web();
    let with = |kmsg: Access| decided(&plan, "kernel", |facts| facts.kmsg = kmsg);
    assert_eq!(lacks(&with(Access::Denied)), [Syslog]);
    assert_eq!(lacks(&with(Access::Absent)), []);
}

#[test]
fn the_snapshot_only_stops_at_another_users_processes() {
    let plan = web();
    let with = |uid: u32, target: u32, set: CapabilitySet| {
        decided(&plan, SNAPSHOT, |facts| {
            facts.uid = uid;
            facts.capabilities = set;
            facts.targets[0].uid = Some(target);
        })
    };
    assert_eq!(lacks(&with(1_000, 0, only(&[]))), [SysPtrace]);
    assert_eq!(lacks(&with(0, 999, all_but(&[SysPtrace]))), [SysPtrace]);
    let own = with(1_000, 1_000, only(&[])).to_string();
    assert!(own.starts_with("ready (without CAP_SYS_PTRACE"), "{own}");
    assert!(matches!(
        with(0, 999, CapabilitySet::FULL),
        Decision::Ready { .. }
    ));
}

#[test]
fn notes_tell_what_a_reader_would_look_for_in_vain() {
    let plan = web();
    let said = |source: &str, change: fn(&mut Facts)| decided(&plan, source, change).to_string();
    assert!(said("logs", |facts| facts.targets[0].log_driver = Some("none".into())).contains("web"));
    assert!(said("block", |facts| facts.targets[0].has_devices = false).contains("no block device"));
    assert!(said("block", |facts| facts.memory_cgroup = false).contains("writes back"));
    assert!(said("metrics", |facts| facts.memory_cgroup = false).contains("memory"));
}

#[test]
fn too_little_free_space_and_odd_hosts_are_warned_of() {
    let plan = web();
    let warned = |change: fn(&mut Facts)| {
        let mut facts = facts(&plan);
        change(&mut facts);
        warnings(&plan, &facts).join("\n")
    };
    let space = warned(|facts| facts.free_bytes = Some(8 << 20));
    assert!(
        space.contains("free space is 8 MiB") && space.contains("--max-size 1 GiB"),
        "{space}"
    );
    assert_eq!(warned(|facts| facts.free_bytes = Some(1 << 30)), "");
    assert_eq!(warned(|facts| facts.free_bytes = None), "");
    assert!(warned(|facts| facts.host_pid_namespace = false).contains("pid namespace"));
    let plan = command("--syscalls ptrace -- sh");
    assert!(warnings(&plan, &facts(&plan)).join("\n").contains("slower"));
    assert!(warned(|facts| facts.clocksource = Some("hpet".into())).contains("hpet"));
    assert_eq!(
        warned(|facts| facts.output_problem = Some("output: x".into())),
        "output: x"
    );
}

#[test]
fn the_documentation_names_every_capability_of_every_source() {
    let page = include_str!("../../../../docs/privileges.md");
    let plan = web();
    for (name, decision) in decide(&plan, &nobody(&plan)) {
        let Decision::Missing { capabilities, .. } = decision else {
            continue;
        };
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("docs/privileges.md has no row for {name}"));
        for capability in capabilities {
            assert!(
                row.contains(capability.name()),
                "{name}: {capability} is not in {row}"
            );
        }
    }
    for capability in Capability::ALL {
        assert!(page.contains(capability.name()), "{capability}");
    }
    for name in SOURCES {
        assert!(page.contains(&format!("| {name} |")), "{name}");
    }
}
