//! A plan as `--dry-run` shows it.

use super::{Asked, Plan, SOURCES};
use crate::cli::{SyscallsChoice, show_size, show_time};
use crate::engine::Secrets;
use crate::snaplen::DataLimits;
use crate::target::{Target, TargetKind};
use std::fmt::{Display, Formatter, Result};

impl Display for Plan {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let mut row = |name: &str, value: &str| writeln!(out, "{name:<10} {value}");
        if self.asked == Asked::All {
            row(
                "targets",
                &format!("all {} containers that run", self.targets.len()),
            )?;
        }
        for target in &self.targets {
            row("target", &describe(target))?;
        }
        if let Some(command) = &self.command {
            let words: Vec<String> = command
                .argv
                .iter()
                // Debug escapes what a terminal would obey.
                .map(|word| format!("{word:?}"))
                .collect();
            row("command", &words.join(" "))?;
        }
        row(
            "time",
            &self
                .duration
                .map_or_else(|| "until the command ends".to_owned(), show_time),
        )?;
        row("output", &self.output.to_string())?;
        row("at most", &show_size(self.limits.max_size))?;
        row(
            "memory",
            &format!(
                "{} of kernel buffers: syscalls {}, block {}, packets {} x {}",
                show_size(self.limits.max_memory),
                show_size(self.memory.syscalls_bytes),
                show_size(self.memory.block_bytes),
                self.memory.network_namespaces,
                show_size(self.memory.packets_bytes_each),
            ),
        )?;
        row("sources", &self.sources_line())?;
        row("payload", &self.payload_line())?;
        row(
            "look-back",
            &format!(
                "{}, at most {} of journal",
                show_time(self.lookback.time),
                show_size(self.lookback.max_bytes)
            ),
        )?;
        row(
            "secrets",
            match self.secrets {
                Secrets::Mask => "replaced by tags",
                Secrets::Keep => "kept",
            },
        )?;
        for (name, value) in &self.case {
            row(name, &value.escape_debug().to_string())?;
        }
        for warning in &self.warnings {
            row("warning", warning)?;
        }
        Ok(())
    }
}

impl Plan {
    fn sources_line(&self) -> String {
        let (on, off): (Vec<&str>, Vec<&str>) = SOURCES.iter().partition(|name| self.sources.get(name));
        let mut line = if on.is_empty() {
            "the snapshots alone".to_owned()
        } else {
            on.join(", ")
        };
        if !off.is_empty() {
            line.push_str(&format!(" (not {})", off.join(", ")));
        }
        if self.neighbours {
            line.push_str("; neighbours' block requests too");
        }
        match self.syscalls {
            SyscallsChoice::Auto => {}
            SyscallsChoice::Bpf => line.push_str("; calls by BPF"),
            SyscallsChoice::Ptrace => line.push_str("; calls by ptrace"),
        }
        if !self.durations {
            line.push_str("; no durations of calls");
        }
        line
    }

    fn payload_line(&self) -> String {
        if self.limits.headers_only {
            "none: no buffers of calls, and only the headers of packets".to_owned()
        } else {
            let DataLimits {
                read,
                write,
                recv,
                send,
                other,
            } = self.limits.data;
            let calls = if self.limits.data == DataLimits::all(read) {
                format!("{read} bytes of a call's buffers")
            } else {
                format!(
                    "of calls' buffers {read} bytes of read, {write} of write, {recv} of recv, {send} of send, {other} of others"
                )
            };
            format!("{calls}, {} bytes of a packet", self.limits.snaplen)
        }
    }
}

fn describe(target: &Target) -> String {
    let mut line = match target.kind {
        TargetKind::Container => format!(
            "{} container {}",
            target.name,
            target.id.get(..12).unwrap_or(&target.id)
        ),
        TargetKind::Tree => format!("{} and its descendants", target.name),
        TargetKind::Command => format!("{} command", target.name),
    };
    if target.kind != TargetKind::Tree {
        if target.pid == 0 {
            line.push_str(", does not run");
        } else {
            line.push_str(&format!(", pid {}", target.pid));
        }
    }
    if let Some(net) = target.namespaces.get("net") {
        line.push_str(&format!(", netns {net}"));
    }
    if !target.netns_shared_with.is_empty() {
        line.push_str(&format!(" (shared with {})", target.netns_shared_with.join(", ")));
    }
    if !target.devices.is_empty() {
        let devices: Vec<String> = target.devices.iter().map(ToString::to_string).collect();
        line.push_str(&format!(", devices {}", devices.join(" ")));
    }
    line
}
