//! Counters of a container, read once a second.

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The full id of the container; empty for a process tree or the host.
    pub container: String,
    /// Name and value, in the order they were read. Names are those of `docs/format.md`, "Metrics"
    /// (`cpu.usage_ns`, `memory.usage_bytes`, `net.eth0.rx_bytes`, `pressure.cpu.some_total_us`, …).
    /// Counters are totals as the kernel gives them, never rates.
    pub values: Vec<(String, u64)>,
}
