//! Whether this host can record what was planned: [`facts`] asks it, [`rules`] decides, and the outcome is shown
//! before the start and kept in the bundle, so that whatever is absent there has a known cause.

pub mod capability;
pub mod facts;
pub mod rules;

use crate::exit;
use crate::plan::Plan;
use facts::Facts;
use rules::{CallsBy, Decision};
use serde::{Serialize, Serializer};
use std::fmt::{Display, Formatter, Result as FormatResult, Write as _};

/// Facts, decisions, warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// What becomes of each source, in the order of [`crate::plan::SOURCES`], and of the snapshot.
    #[serde(serialize_with = "as_map")]
    pub sources: Vec<(&'static str, Decision)>,
    /// How calls are recorded, where they are.
    pub calls_by: CallsBy,
    /// What the user should know; no reason not to start.
    pub warnings: Vec<String>,
    /// What the host answered.
    pub facts: Facts,
}

fn as_map<S: Serializer>(sources: &[(&'static str, Decision)], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(sources.iter().map(|(name, decision)| (name, decision)))
}

/// Why the capture does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// Sources that were asked for are missing.
    #[error(
        "cannot record all that was asked for:\n{}\n(leave one out with --no-SOURCE, or record the rest with --skip-missing)",
        lines(.0)
    )]
    Missing(Vec<MissingSource>),
    /// `--skip-missing`, and nothing is left.
    #[error("nothing that was asked for can be recorded:\n{}", lines(.0))]
    Nothing(Vec<MissingSource>),
}

impl PreflightError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        exit::NOTHING
    }
}

/// A source that cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSource {
    /// Its name.
    pub name: &'static str,
    /// What is missing and what to do, in a line.
    pub reason: String,
}

fn lines(missing: &[MissingSource]) -> String {
    let lines: Vec<String> = missing
        .iter()
        .map(|one| format!("  {:<9} {}", one.name, one.reason))
        .collect();
    lines.join("\n")
}

impl Preflight {
    /// Asks the host and decides.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self::decide(plan, facts::ask(plan))
    }

    fn decide(plan: &Plan, facts: Facts) -> Self {
        Self {
            sources: rules::decide(plan, &facts),
            calls_by: rules::calls(plan, &facts).0,
            warnings: rules::warnings(plan, &facts),
            facts,
        }
    }

    /// What becomes of the source of that name.
    #[must_use]
    pub fn decision(&self, source: &str) -> Option<&Decision> {
        self.sources
            .iter()
            .find(|(name, _)| *name == source)
            .map(|(_, decision)| decision)
    }

    /// Whether the source of that name is to be started.
    #[must_use]
    pub fn is_ready(&self, source: &str) -> bool {
        matches!(self.decision(source), Some(Decision::Ready { .. }))
    }

    /// The sources that are missing.
    #[must_use]
    pub fn missing(&self) -> Vec<MissingSource> {
        self.sources
            .iter()
            .filter(|(_, decision)| matches!(decision, Decision::Missing { .. }))
            .map(|(name, decision)| MissingSource {
                name,
                reason: decision.to_string(),
            })
            .collect()
    }
}

/// Whether the capture may start.
///
/// # Errors
/// Something that was asked for is missing and `skip_missing` does not say to go on, or nothing is left to record.
pub fn verdict(plan: &Plan, preflight: &Preflight) -> Result<(), PreflightError> {
    let missing = preflight.missing();
    if missing.is_empty() {
        return Ok(());
    }
    let has_calls = !missing.iter().any(|one| one.name == "syscalls");
    let can_go_on = |one: &MissingSource| plan.skip_missing || (has_calls && plan.can_leave_out(one.name));
    if !missing.iter().all(can_go_on) {
        return Err(PreflightError::Missing(missing));
    }
    let is_any_ready = preflight
        .sources
        .iter()
        .any(|(_, decision)| matches!(decision, Decision::Ready { .. }));
    if is_any_ready {
        Ok(())
    } else {
        Err(PreflightError::Nothing(missing))
    }
}

/// Without the name of the source: for a table, and for `not_captured` in the bundle.
impl Display for Decision {
    fn fmt(&self, out: &mut Formatter<'_>) -> FormatResult {
        match self {
            Self::Ready { notes } if notes.is_empty() => out.write_str("ready"),
            Self::Ready { notes } => write!(out, "ready ({})", notes.join("; ")),
            Self::Missing {
                reason,
                capabilities,
                advice,
            } => {
                out.write_str("missing")?;
                for (index, capability) in capabilities.iter().enumerate() {
                    out.write_str(if index == 0 { " " } else { ", " })?;
                    Display::fmt(capability, out)?;
                }
                write!(out, ": {reason} ({advice})")
            }
            Self::Off { reason } => write!(out, "off: {reason}"),
        }
    }
}

impl Display for Preflight {
    fn fmt(&self, out: &mut Formatter<'_>) -> FormatResult {
        for (name, decision) in &self.sources {
            writeln!(out, "{name:<10} {decision}")?;
        }
        let mut host = format!("kernel {}", self.facts.kernel_release);
        let _ = write!(host, ", cgroups {}", self.facts.cgroup_mode);
        if let Some(lockdown) = &self.facts.lockdown {
            let _ = write!(host, ", lockdown {lockdown}");
        }
        if let Some(engine) = &self.facts.engine_api {
            let _ = write!(host, ", engine API {engine}");
        }
        if let Some(free) = self.facts.free_bytes {
            let _ = write!(host, ", free space {}", crate::cli::show_size(free));
        }
        writeln!(out, "{:<10} {host}", "host")?;
        for warning in &self.warnings {
            writeln!(out, "{:<10} {warning}", "warning")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::rules::tests::{facts, nobody};
    use super::*;
    use crate::plan::tests::{container, plan_of};

    #[test]
    fn one_message_names_each_missing_source_and_the_way_out() {
        let plan = plan_of("web", &[container("web", 7)]);
        let preflight = Preflight::decide(&plan, nobody(&plan));
        let error = verdict(&plan, &preflight).unwrap_err();
        assert_eq!(error.exit_code(), exit::NOTHING);
        insta::assert_snapshot!(error, @r"
        cannot record all that was asked for:
          syscalls  missing CAP_BPF, CAP_PERFMON: loading BPF programs is not allowed (run as root, or add them; or have ptrace do it, which slows the target: --allow-slow)
          packets   missing CAP_NET_RAW, CAP_SYS_ADMIN, CAP_SYS_PTRACE: opening a packet socket is not allowed; entering a target's network namespace is not allowed; the network namespace of web cannot be looked up (run as root, or add them)
          block     missing CAP_BPF, CAP_PERFMON: loading BPF programs is not allowed (run as root, or add them)
          journal   missing CAP_DAC_READ_SEARCH: the journal's files may not be read (run as root, add it, or join the group systemd-journal)
          kernel    missing CAP_SYSLOG: /dev/kmsg may not be read (run as root, or add it)
          snapshot  missing CAP_SYS_PTRACE: web belongs to another user, whose processes may not be looked into (run as root, or add it)
        (leave one out with --no-SOURCE, or record the rest with --skip-missing)
        ");
        let plan = plan_of("web --skip-missing", &[container("web", 7)]);
        assert_eq!(verdict(&plan, &preflight), Ok(()));
    }

    #[test]
    fn a_command_goes_without_what_nobody_can_have_but_not_without_its_calls() {
        let of = |line: &str| crate::plan::resolve(&crate::plan::tests::arguments(line)).unwrap();
        let judged = |line: &str| {
            let plan = of(line);
            verdict(&plan, &Preflight::decide(&plan, nobody(&plan)))
        };
        assert_eq!(judged("-- sh"), Ok(()));
        assert_eq!(judged("--no-syscalls -- sh"), Ok(()));
        let names = |line: &str| match judged(line) {
            Err(PreflightError::Missing(missing)) => missing.iter().map(|one| one.name).collect::<Vec<_>>(),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(
            names("--syscalls bpf -- sh"),
            ["syscalls", "packets", "block", "kernel"]
        );
        assert!(names("--neighbours -- sh").contains(&"block"));
    }

    #[test]
    fn nothing_left_is_an_error_even_with_skip_missing() {
        let plan = plan_of(
            "web --skip-missing --no-metrics --no-journal --no-logs --no-events",
            &[container("web", 7)],
        );
        let preflight = Preflight::decide(&plan, nobody(&plan));
        let error = verdict(&plan, &preflight).unwrap_err();
        assert!(matches!(error, PreflightError::Nothing(_)), "{error}");
    }

    #[test]
    fn a_host_that_can_do_all_is_shown_so() {
        let plan = plan_of("web --no-packets -o x", &[container("web", 7)]);
        let preflight = Preflight::decide(&plan, facts(&plan));
        assert_eq!(verdict(&plan, &preflight), Ok(()));
        assert!(preflight.is_ready("syscalls") && !preflight.is_ready("packets"));
        insta::assert_snapshot!(preflight, @r"
        syscalls   ready
        packets    off: not asked for (--no-packets)
        block      ready
        journal    ready
        logs       ready
        events     ready
        kernel     ready
        metrics    ready
        snapshot   ready
        host       kernel 6.12.0-1-amd64, cgroups v2, lockdown integrity, engine API 1.41, free space 10 GiB
        ");
        let json = serde_json::to_value(&preflight).unwrap();
        assert_eq!(json["sources"]["packets"]["state"], "off");
        assert_eq!(json["sources"]["syscalls"]["state"], "ready");
        assert_eq!(json["facts"]["kmsg"]["state"], "readable");
    }
}
