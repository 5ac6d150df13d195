//! Counters of a container, read once a second.

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The full id of the container; for a process tree or a command the target's id (`pid:1234`, `command`).
    pub container: String,
    /// Name and value, in the order they were read. Names are those of `docs/metrics.md`
    /// (`cpu.usage_ns`, `memory.usage_bytes`, `net.eth0.rx_bytes`, `pressure.cpu.some_total_us`, …).
    /// Counters are totals as the kernel gives them, never rates.
    pub values: Vec<(String, u64)>,
}
