//! How `--max-memory` is divided over the kernel's buffers.

use serde::Serialize;

/// The most that a packet ring gets: it is read every few milliseconds, and more has not been seen to help.
const LARGEST_PACKET_RING: u64 = 16 << 20;
/// Below this a packet ring loses packets in any burst.
const SMALL_PACKET_RING: u64 = 256 << 10;
/// Bounds of a BPF ring (`source::tracing`).
const BPF_RING: (u64, u64) = (64 << 10, 1 << 30);

/// Bytes of kernel memory for each buffer. System calls come by the million and get half; a block request is a
/// rare thing and its record small: a sixteenth; what is left is shared by the network namespaces, each of which
/// has a ring of its own. A source that is switched off leaves its part unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The ring of system calls: a power of two.
    pub syscalls_bytes: u64,
    /// The ring of block requests: a power of two.
    pub block_bytes: u64,
    /// The packet ring of each network namespace.
    pub packets_bytes_each: u64,
    /// Network namespaces that were counted on.
    pub network_namespaces: u32,
}

impl Memory {
    /// Divides `max` bytes when packets of so many namespaces are recorded.
    #[must_use]
    pub fn split(max: u64, network_namespaces: u32) -> Self {
        let syscalls_bytes = ring(max / 2);
        let block_bytes = ring(max / 16);
        let rest = max.saturating_sub(syscalls_bytes + block_bytes);
        let share = rest / u64::from(network_namespaces.max(1));
        Self {
            syscalls_bytes,
            block_bytes,
            packets_bytes_each: share.min(LARGEST_PACKET_RING),
            network_namespaces,
        }
    }

    /// Whether packet rings are so small that they will lose packets.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.packets_bytes_each < SMALL_PACKET_RING
    }
}

/// The power of two at or below.
fn ring(bytes: u64) -> u64 {
    let bytes = bytes.clamp(BPF_RING.0, BPF_RING.1);
    1 << bytes.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_divided_as_documented() {
        let memory = Memory::split(128 << 20, 1);
        assert_eq!(memory.syscalls_bytes, 64 << 20);
        assert_eq!(memory.block_bytes, 8 << 20);
        assert_eq!(memory.packets_bytes_each, 16 << 20);
        assert_eq!(Memory::split(128 << 20, 8).packets_bytes_each, 7 << 20);
    }

    #[test]
    fn never_more_than_was_allowed() {
        for max in [1 << 20, 3 << 20, 100_000_000, 128 << 20, 4 << 30] {
            for namespaces in [0, 1, 3, 200] {
                let memory = Memory::split(max, namespaces);
                let sum = memory.syscalls_bytes
                    + memory.block_bytes
                    + memory.packets_bytes_each * u64::from(namespaces);
                assert!(sum <= max, "{max} over {namespaces}: {memory:?}");
                assert!(memory.syscalls_bytes.is_power_of_two() && memory.block_bytes.is_power_of_two());
            }
        }
        assert!(Memory::split(1 << 20, 3).is_tight());
    }
}
