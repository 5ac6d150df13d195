//! Capabilities of this process (capabilities(7)), as far as recording depends on them.

use serde::{Serialize, Serializer};
use std::fmt;

/// A capability that a source may need. The value is its number in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Read any file.
    DacReadSearch = 2,
    /// Open packet sockets.
    NetRaw = 13,
    /// Look into processes of other users.
    SysPtrace = 19,
    /// Enter namespaces; before Linux 5.8 also all that the two last ones are for.
    SysAdmin = 21,
    /// Read the kernel's log.
    Syslog = 34,
    /// Trace.
    Perfmon = 38,
    /// Load BPF programs.
    Bpf = 39,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DacReadSearch,
        Self::NetRaw,
        Self::SysPtrace,
        Self::SysAdmin,
        Self::Syslog,
        Self::Perfmon,
        Self::Bpf,
    ];

    /// Its name in the manual: `CAP_BPF`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

/// A set of capabilities, as a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Every capability that there is.
    pub const FULL: Self = Self(u64::MAX);

    /// The effective ones in the text of `/proc/PID/status`; `None` when it has no such line.
    #[must_use]
    pub fn effective(status: &str) -> Option<Self> {
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// Those of `wanted` that are not in the set.
    #[must_use]
    pub fn lacking(self, wanted: &[Capability]) -> Vec<Capability> {
        wanted.iter().copied().filter(|one| !self.has(*one)).collect()
    }
}

/// As the mask and the names of those that matter here.
impl Serialize for CapabilitySet {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            mask: String,
            names: Vec<Capability>,
        }
        Shown {
            mask: format!("{:#018x}", self.0),
            names: Capability::ALL.into_iter().filter(|one| self.has(*one)).collect(),
        }
        .serialize(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_and_not_the_permitted_one() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000008000002000\n";
        let set = CapabilitySet::effective(status).unwrap();
        assert!(set.has(Capability::Bpf) && set.has(Capability::NetRaw));
        assert_eq!(
            set.lacking(&[Capability::Bpf, Capability::Perfmon]),
            [Capability::Perfmon]
        );
        assert_eq!(CapabilitySet::effective("CapEff:\tx\n"), None);
        assert_eq!(CapabilitySet::effective(""), None);
    }
}
