//! The total order of a slice: runs of events that come from one stream (`docs/format.md`, "Order").

use crate::column::Layout;
use crate::error::{ReadError, WriteError};
use crate::event::Stream;
use crate::table::{Segment, SegmentBuilder, TableBuilder};

/// So many events in a row come from one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The stream.
    pub stream: Stream,
    /// How many of its next events.
    pub count: u64,
}

/// Merges streams that are sorted by time: at equal times the stream of lower rank comes first.
///
/// `times` holds, for each stream of [`Stream::ALL`], the times of its events in ascending order.
#[must_use]
pub fn merge(times: &[Vec<u64>]) -> Vec<Run> {
    let mut at = vec![0usize; times.len()];
    let head = |at: &[usize], rank: usize| {
        let time = times.get(rank)?.get(*at.get(rank)?)?;
        Some((*time, rank))
    };
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let mut heads = (0..times.len()).filter_map(|rank| head(&at, rank));
        let Some(first) = heads.next() else { return runs };
        let (mut lowest, mut bound) = (first, None);
        for next in heads {
            if next < lowest {
                bound = Some(lowest);
                lowest = next;
            } else if bound.is_none_or(|bound| next < bound) {
                bound = Some(next);
            }
        }
        let rank = lowest.1;
        let mut count = 0u64;
        while let Some(next) = head(&at, rank)
            && bound.is_none_or(|bound| next < bound)
        {
            count += 1;
            if let Some(at) = at.get_mut(rank) {
                *at += 1;
            }
        }
        let stream = u8::try_from(rank)
            .ok()
            .and_then(Stream::from_rank)
            .unwrap_or(Stream::Metrics);
        runs.push(Run { stream, count });
    }
}

/// Writes `order.cbor`.
///
/// # Errors
/// [`WriteError::Encode`].
pub fn encode(runs: &[Run]) -> Result<Vec<u8>, WriteError> {
    let streams: Vec<u64> = runs.iter().map(|run| u64::from(run.stream as u8)).collect();
    let counts: Vec<u64> = runs.iter().map(|run| run.count).collect();
    let table = TableBuilder::new(runs.len())
        .integers("stream", &streams, Layout::Fixed)
        .integers("count", &counts, Layout::Varint);
    SegmentBuilder::default()
        .table("runs", table)
        .encode("order.cbor")
}

/// Reads `order.cbor`.
///
/// # Errors
/// [`ReadError`] when it names a stream that does not exist or an empty run.
pub fn decode(what: &str, bytes: &[u8]) -> Result<Vec<Run>, ReadError> {
    let segment = Segment::decode(what, bytes)?;
    let table = segment.table("runs")?;
    let streams = table.integers("stream")?;
    let counts = table.integers("count")?;
    streams
        .into_iter()
        .zip(counts)
        .map(|(rank, count)| {
            let stream = u8::try_from(rank)
                .ok()
                .and_then(Stream::from_rank)
                .ok_or_else(|| ReadError::damaged(what, format!("stream {rank} is unknown")))?;
            if count == 0 {
                return Err(ReadError::damaged(what, "an empty run"));
            }
            Ok(Run { stream, count })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The merge is what a stable sort by (time, rank) of everything would give.
        #[test]
        fn merge_equals_a_stable_sort(mut times in proptest::collection::vec(proptest::collection::vec(0u64..30, 0..40), 11)) {
            times.iter_mut().for_each(|times| times.sort_unstable());
            let mut all: Vec<(u64, usize)> =
                times.iter().enumerate().flat_map(|(rank, times)| times.iter().map(move |&time| (time, rank))).collect();
            all.sort();
            let expected: Vec<u8> = all.into_iter().map(|(_, rank)| rank as u8).collect();
            let runs = merge(&times);
            let found: Vec<u8> = runs.iter().flat_map(|run| vec![run.stream as u8; run.count as usize]).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(decode("t", &encode(&runs).unwrap()).unwrap(), runs);
        }
    }
}
