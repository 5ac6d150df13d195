//! Stretches of a recording that lack something: found, joined, told.

use crate::render;
use crate::view::Context;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Stream};
use stillframe_format::ledger::SliceInfo;
use stillframe_format::reader::Bundle;

/// The most slices whose loss events are read.
const SLICES_MAX: usize = 16;
/// The most holes of a stream that are kept apart; what comes behind is one with the last of them.
const HOLES_MAX: usize = 256;
/// The most causes, and scopes, of a hole, and the most characters of each.
const WORDS_MAX: usize = 32;
const WORD_MAX: usize = 128;
/// Stands for those that are too many.
const MORE: &str = "…";

/// A stretch of time of which a stream may lack something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Its beginning.
    pub from: BootTime,
    /// Its end.
    pub to: BootTime,
    /// Events that were lost, as far as they were counted.
    pub count: u64,
    /// Some were lost, and nobody counted them.
    pub uncounted: bool,
    /// Words of `docs/format.md`, "Causes of loss"; `slices-missing` and `left-out` where the bundle lacks slices.
    pub causes: BTreeSet<String>,
    /// What it was confined to: a CPU, a container, an interface. `…` stands for more than are kept, here and above.
    pub scopes: BTreeSet<String>,
}

impl Hole {
    /// Whether another is a part of the same stretch.
    fn touches(&self, other: &Self) -> bool {
        other.from <= self.to && self.from <= other.to
    }

    fn join(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.count = self.count.saturating_add(other.count);
        self.uncounted |= other.uncounted;
        add_words(&mut self.causes, other.causes);
        add_words(&mut self.scopes, other.scopes);
    }

    pub(super) fn text(&self, context: &Context) -> String {
        let count = match (self.count, self.uncounted) {
            (0, _) => "how many were lost is not known".to_owned(),
            (count, false) => format!("{count} lost"),
            (count, true) => format!("more than {count} lost"),
        };
        let words: Vec<&str> = self
            .causes
            .iter()
            .chain(&self.scopes)
            .map(String::as_str)
            .collect();
        let why = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(", "))
        };
        format!(
            "{} to {} ({count}{why})",
            render::mapped_time(self.from, context),
            render::mapped_time(self.to, context)
        )
    }

    pub(super) fn json(&self, context: &Context) -> Value {
        let mut object = Map::new();
        context.put_time(&mut object, "from", self.from);
        context.put_time(&mut object, "to", self.to);
        object.insert("count".to_owned(), self.count.into());
        object.insert("counted".to_owned(), (!self.uncounted).into());
        object.insert("causes".to_owned(), json!(self.causes));
        object.insert("scopes".to_owned(), json!(self.scopes));
        object.into()
    }
}

/// Holes as they are found, in any order, between two moments.
pub(super) struct Holes {
    from: BootTime,
    to: BootTime,
    /// Those of all streams under `None`.
    found: BTreeMap<Option<Stream>, Vec<Hole>>,
}

impl Holes {
    /// None yet, of what was recorded between these moments.
    pub(super) fn new(from: BootTime, to: BootTime) -> Self {
        Self {
            from,
            to,
            found: BTreeMap::new(),
        }
    }

    /// Adds one, as far as it lies between the moments: what is noticed when the rings are read for the last time is told
    /// to end behind the recording. One that lies outside stays, as a moment: what it lost may not be left out.
    fn add(&mut self, stream: Option<Stream>, mut hole: Hole) {
        let within = |time: BootTime| time.max(self.from).min(self.to);
        (hole.from, hole.to) = (within(hole.from), within(hole.to));
        let holes = self.found.entry(stream).or_default();
        holes.push(hole);
        if holes.len() >= 2 * HOLES_MAX {
            join(holes);
        }
    }

    /// Stretches whose slices are not here, but for those outside: they are no part of what is answered for.
    pub(super) fn gaps<R: Read + Seek>(&mut self, bundle: &Bundle<R>) {
        for gap in bundle.gaps() {
            if gap.to <= self.from || gap.from >= self.to {
                continue;
            }
            let cause = if gap.is_hole() {
                "slices-missing"
            } else {
                "left-out"
            };
            self.add(
                None,
                Hole {
                    from: gap.from,
                    to: gap.to,
                    count: 0,
                    uncounted: true,
                    causes: BTreeSet::from([cause.to_owned()]),
                    scopes: BTreeSet::new(),
                },
            );
        }
    }

    /// What the slices say was lost.
    pub(super) fn losses<R: Read + Seek>(&mut self, bundle: &mut Bundle<R>) {
        let lossy: Vec<usize> = bundle
            .slices()
            .iter()
            .enumerate()
            .filter(|(_, slice)| slice.missing == 0 && !slice.lost.is_empty())
            .map(|(index, _)| index)
            .collect();
        for (place, index) in lossy.into_iter().enumerate() {
            if place >= SLICES_MAX || self.read(bundle, index).is_none() {
                self.of_ledger(bundle.slices(), index);
            }
        }
    }

    /// Reads the loss events of a slice; nothing where that can't be done.
    fn read<R: Read + Seek>(&mut self, bundle: &mut Bundle<R>, index: usize) -> Option<()> {
        let bytes = bundle.slice_bytes(index).ok()?;
        let part = bytes.open([Stream::Loss].into_iter().collect()).ok()?;
        for stored in part.stored(Stream::Loss).ok()? {
            let Body::Loss(loss) = stored.body else { continue };
            self.add(
                Some(loss.stream),
                Hole {
                    from: loss.from,
                    to: loss.to,
                    count: loss.count,
                    uncounted: loss.count == 0,
                    causes: words(&loss.cause),
                    scopes: words(&loss.scope),
                },
            );
        }
        Some(())
    }

    /// What the ledger of a slice sums up. A hole is told when it is noticed, and may have begun in the slice before.
    fn of_ledger(&mut self, slices: &[SliceInfo], index: usize) {
        let Some(slice) = slices.get(index) else { return };
        let before = index.checked_sub(1).and_then(|index| slices.get(index));
        for (name, count) in &slice.lost {
            let Some(stream) = Stream::from_name(name) else {
                continue;
            };
            self.add(
                Some(stream),
                Hole {
                    from: before.map_or(slice.from, |before| before.from),
                    to: slice.to,
                    count: *count,
                    uncounted: *count == 0,
                    causes: BTreeSet::new(),
                    scopes: BTreeSet::new(),
                },
            );
        }
    }

    /// Those of a stream, joined.
    pub(super) fn of(&self, stream: Stream) -> Vec<Hole> {
        let mut holes: Vec<Hole> = [None, Some(stream)]
            .iter()
            .filter_map(|of| self.found.get(of))
            .flatten()
            .cloned()
            .collect();
        join(&mut holes);
        holes
    }
}

/// Sorts them, makes one of those that touch, and of those that are too many.
fn join(holes: &mut Vec<Hole>) {
    holes.sort_by_key(|hole| (hole.from, hole.to));
    let mut joined: Vec<Hole> = Vec::new();
    for hole in holes.drain(..) {
        let is_full = joined.len() >= HOLES_MAX;
        match joined.last_mut() {
            Some(last) if is_full || last.touches(&hole) => last.join(hole),
            _ => joined.push(hole),
        }
    }
    *holes = joined;
}

/// A word of a loss event, as far as it is kept.
fn words(text: &str) -> BTreeSet<String> {
    let word: String = text.chars().take(WORD_MAX).collect();
    Some(word).filter(|word| !word.is_empty()).into_iter().collect()
}

fn add_words(words: &mut BTreeSet<String>, more: BTreeSet<String>) {
    for word in more {
        if words.len() < WORDS_MAX || words.contains(&word) {
            words.insert(word);
        } else {
            words.insert(MORE.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(from: u64, to: u64, count: u64, scope: &str) -> Hole {
        Hole {
            from: BootTime(from),
            to: BootTime(to),
            count,
            uncounted: count == 0,
            causes: words("ring-full"),
            scopes: words(scope),
        }
    }

    fn spans(holes: &[Hole]) -> Vec<(u64, u64)> {
        holes.iter().map(|hole| (hole.from.0, hole.to.0)).collect()
    }

    #[test]
    fn those_that_touch_are_one_in_whatever_order_they_come() {
        let mut holes = Holes::new(BootTime(0), BootTime(u64::MAX));
        for (from, to, count, scope) in [
            (20, 30, 1, "cpu 1"),
            (5, 6, 2, ""),
            (10, 20, 0, "cpu 0"),
            (31, 32, 4, ""),
        ] {
            holes.add(Some(Stream::Syscall), hole(from, to, count, scope));
        }
        holes.add(None, hole(32, 40, 0, ""));
        let calls = holes.of(Stream::Syscall);
        assert_eq!(spans(&calls), [(5, 6), (10, 30), (31, 40)]);
        let [_, joined, _] = calls.as_slice() else {
            panic!("{calls:?}");
        };
        assert_eq!((joined.count, joined.uncounted), (1, true));
        assert_eq!(
            joined.scopes,
            BTreeSet::from(["cpu 0".to_owned(), "cpu 1".to_owned()])
        );
        assert_eq!(spans(&holes.of(Stream::Packet)), [(32, 40)]);
    }

    #[test]
    fn what_lies_outside_is_told_at_the_edge_and_still_counted() {
        let mut holes = Holes::new(BootTime(10), BootTime(20));
        for (from, to) in [(1, 12), (19, 25), (30, 40)] {
            holes.add(Some(Stream::Kernel), hole(from, to, 1, ""));
        }
        let kept = holes.of(Stream::Kernel);
        assert_eq!(spans(&kept), [(10, 12), (19, 20)]);
        assert_eq!(kept.iter().map(|hole| hole.count).sum::<u64>(), 3);
    }

    #[test]
    fn what_is_too_much_is_joined_and_nothing_is_left_out() {
        let mut holes = Holes::new(BootTime(0), BootTime(u64::MAX));
        let many = 10_000;
        for number in 0..many {
            let scope = format!("{}{number}", "x".repeat(WORD_MAX));
            holes.add(Some(Stream::Block), hole(10 * number, 10 * number + 1, 1, &scope));
            holes.add(
                Some(Stream::Packet),
                hole(number, number + 1, 1, &format!("cpu {number}")),
            );
        }
        assert!(holes.found.values().all(|kept| kept.len() <= 2 * HOLES_MAX));
        let kept = holes.of(Stream::Block);
        assert_eq!(kept.len(), HOLES_MAX);
        assert_eq!(kept.iter().map(|hole| hole.count).sum::<u64>(), many);
        assert_eq!(kept.last().map(|hole| hole.to.0), Some(10 * many - 9));
        let one = holes.of(Stream::Packet);
        assert_eq!(spans(&one), [(0, many)]);
        let scopes = &one.first().unwrap().scopes;
        assert_eq!(scopes.len(), WORDS_MAX + 1);
        assert!(scopes.contains(MORE));
    }
}
