//! Requests that are issued and, as far as the programs know, not completed.

use super::wire;
use std::collections::BTreeMap;
use std::fs;

/// Operations that the kernel does not count among those in flight (`blk_mq_check_in_driver` asks for `RQF_IO_STAT`,
/// block/blk-mq.c, 6.18): flushes, and what a driver is sent without a file system.
const NOT_COUNTED: [u32; 3] = [2, 34, 35];

/// A value of the map `requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    key: u64,
    /// Boottime, in nanoseconds.
    pub(super) issued: u64,
    /// Index + 1 of the target; 0 for a neighbour's.
    pub(super) target: u32,
    device: u32,
    op: u32,
}

impl InFlight {
    pub(super) fn decode((key, value): &(u64, [u8; wire::IN_FLIGHT])) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(*value.get(at..)?.first_chunk()?));
        Some(Self {
            key: *key,
            issued: u64::from_ne_bytes(*value.get(wire::IN_FLIGHT_ISSUED..)?.first_chunk()?),
            target: word(wire::IN_FLIGHT_TARGET)?,
            device: word(wire::IN_FLIGHT_DEVICE)?,
            op: word(wire::IN_FLIGHT_OP)?,
        })
    }
}

/// How many requests the kernel holds, by device (major << 20 | minor). A device that says nothing, or that keeps no
/// count, is not there.
pub(super) fn devices_in_flight() -> BTreeMap<u32, u64> {
    let Ok(folder) = fs::read_dir("/sys/block") else {
        return BTreeMap::new();
    };
    folder
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let read = |name: &str| fs::read_to_string(path.join(name)).ok();
            let counts = read("queue/iostats")?.trim() == "1";
            let (major, minor) = read("dev")?
                .trim()
                .split_once(':')
                .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)))?;
            let held = held(&read("inflight")?)?;
            counts.then_some((major << 20 | minor, held))
        })
        .collect()
}

/// The sum of `/sys/block/DEVICE/inflight`: reads and writes.
fn held(text: &str) -> Option<u64> {
    text.split_ascii_whitespace()
        .map(|word| word.parse::<u64>().ok())
        .try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?)))
}

/// Of `waiting`, what can't be in flight since the kernel holds fewer: the oldest, device by device.
pub(super) fn finished(mut waiting: Vec<InFlight>, held: &BTreeMap<u32, u64>) -> Vec<InFlight> {
    waiting.retain(|request| !NOT_COUNTED.contains(&request.op) && held.contains_key(&request.device));
    waiting.sort_by_key(|request| std::cmp::Reverse(request.issued));
    let mut left = held.clone();
    waiting.retain(|request| match left.get_mut(&request.device) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: u64, issued: u64, device: u32, op: u32) -> InFlight {
        InFlight {
            key,
            issued,
            target: 1,
            device,
            op,
        }
    }

    #[test]
    fn of_more_than_the_kernel_holds_the_oldest_have_finished() {
        let waiting = vec![
            request(1, 10, 7 << 20, 1),
            request(2, 30, 7 << 20, 0),
            request(3, 20, 7 << 20, 1),
            request(4, 5, 8 << 20, 1),
            request(5, 6, 9 << 20, 1),
            request(6, 1, 7 << 20, 2),
        ];
        let held = BTreeMap::from([(7 << 20, 1), (8 << 20, 1)]);
        let keys: Vec<u64> = finished(waiting, &held)
            .iter()
            .map(|request| request.key)
            .collect();
        // 2 is the newest of its device; 4 is held; nothing is known of 5's device; 6 is a flush.
        assert_eq!(keys, [3, 1]);
    }

    #[test]
    fn a_value_of_the_map_is_decoded() {
        let mut value = [0; wire::IN_FLIGHT];
        for (at, bytes) in [
            (wire::IN_FLIGHT_ISSUED, &77_u64.to_ne_bytes()[..]),
            (wire::IN_FLIGHT_TARGET, &3_u32.to_ne_bytes()[..]),
            (wire::IN_FLIGHT_DEVICE, &(7_u32 << 20 | 1).to_ne_bytes()[..]),
            (wire::IN_FLIGHT_OP, &1_u32.to_ne_bytes()[..]),
        ] {
            value[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut expected = request(9, 77, 7 << 20 | 1, 1);
        expected.target = 3;
        assert_eq!(InFlight::decode(&(9, value)), Some(expected));
    }

    #[test]
    fn the_kernels_counts_are_added_and_nonsense_is_not_a_count() {
        assert_eq!(held("       0        3\n"), Some(3));
        assert_eq!(held("1 x\n"), None);
    }
}
