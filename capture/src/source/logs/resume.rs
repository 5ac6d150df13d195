//! Going on with a log that was read before: from which stamp to ask, and which pieces of the answer are known.
//!
//! The engine can only be asked for what was stamped at or after a moment. Pieces with one stamp may be many (all
//! parts of a long line have the same), and stdout and stderr are stamped apart from each other, so that a log is
//! not quite in the order of its stamps. Therefore the last pieces are remembered by their content, and asked for
//! again; of those before them only the highest stamp is, and how many had it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use stillframe_format::event::LogStream;

/// Pieces that are remembered by their content.
const RECENT: usize = 64;

type Known = (i64, u64);

/// What has been seen of a log.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// From this stamp on.
    since: i64,
    /// Pieces that are not remembered one by one have no higher stamp than this; and how many have this.
    floor: Option<(i64, u64)>,
    recent: VecDeque<Known>,
    /// While a log that was read before is read again: what of it is to come.
    repeated: Option<Repeated>,
}

#[derive(Clone, Debug)]
struct Repeated {
    floor: Option<(i64, u64)>,
    recent: Vec<Known>,
    any: bool,
}

/// Whether a piece is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Known,
    /// It is new, but what is known should have come before it: there is a hole.
    NewBehindHole,
}

impl Seen {
    /// Nothing so far; only what is stamped at or after `since` counts.
    pub(super) fn nothing(since: i64) -> Self {
        Self {
            since,
            floor: None,
            recent: VecDeque::new(),
            repeated: None,
        }
    }

    /// Only what is stamped at or after this counts.
    pub(super) fn since(&self) -> i64 {
        self.since
    }

    /// The log is asked for once more: from which stamp on.
    pub(super) fn again(&mut self) -> i64 {
        if self.floor.is_some() || !self.recent.is_empty() {
            self.repeated = Some(Repeated {
                floor: self.floor,
                recent: self.recent.iter().copied().collect(),
                any: false,
            });
        }
        self.floor.map_or(self.since, |(stamp, _)| stamp)
    }

    /// Takes the next piece of the log.
    pub(super) fn take(&mut self, stamp: i64, stream: LogStream, bytes: &[u8]) -> Verdict {
        let piece = (stamp, fingerprint(stream, bytes));
        let verdict = self.repeated.as_mut().map_or(Verdict::New, |repeated| {
            if repeated.is_known(piece) {
                repeated.any = true;
                Verdict::Known
            } else if repeated.any {
                Verdict::New
            } else {
                repeated.any = true;
                Verdict::NewBehindHole
            }
        });
        if verdict != Verdict::Known {
            self.remember(piece);
        }
        verdict
    }

    fn remember(&mut self, piece: Known) {
        self.recent.push_back(piece);
        if self.recent.len() > RECENT
            && let Some((stamp, _)) = self.recent.pop_front()
        {
            self.floor = Some(match self.floor {
                Some((floor, count)) if floor == stamp => (floor, count + 1),
                Some((floor, count)) if floor > stamp => (floor, count),
                _ => (stamp, 1),
            });
        }
    }
}

impl Repeated {
    fn is_known(&mut self, piece: Known) -> bool {
        if let Some((stamp, count)) = &mut self.floor
            && *stamp == piece.0
            && *count > 0
        {
            *count -= 1;
            return true;
        }
        if let Some(at) = self.recent.iter().position(|known| *known == piece) {
            self.recent.remove(at);
            return true;
        }
        false
    }
}

fn fingerprint(stream: LogStream, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUT: LogStream = LogStream::Stdout;

    /// What an engine answers: all with the stamp or later, in the log's order.
    fn ask(log: &[(i64, u8)], since: i64) -> impl Iterator<Item = &(i64, u8)> {
        log.iter().filter(move |(stamp, _)| *stamp >= since)
    }

    #[test]
    fn the_parts_of_a_long_line_have_one_stamp_and_none_comes_twice() {
        let log: Vec<(i64, u8)> = (0..400).map(|_| (7, b'x')).collect();
        let mut seen = Seen::nothing(0);
        for (stamp, byte) in &log[..300] {
            assert_eq!(seen.take(*stamp, OUT, &[*byte]), Verdict::New);
        }
        let since = seen.again();
        assert_eq!(since, 7);
        let new = ask(&log, since)
            .filter(|(stamp, byte)| seen.take(*stamp, OUT, &[*byte]) == Verdict::New)
            .count();
        assert_eq!(new, 100);
    }

    #[test]
    fn a_hole_shows_when_nothing_that_is_known_comes_again() {
        let mut seen = Seen::nothing(5);
        assert_eq!(seen.again(), 5, "nothing was seen, so nothing can be missing");
        assert_eq!(seen.take(9, OUT, b"a"), Verdict::New);
        seen.again();
        assert_eq!(seen.take(9, LogStream::Stderr, b"a"), Verdict::NewBehindHole);
        assert_eq!(seen.take(10, OUT, b"a"), Verdict::New, "it is told once");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_comes_twice(
            steps in prop::collection::vec((-2_i64..4, 0_u8..3), 0..300),
            cuts in prop::collection::vec(0_usize..300, 0..4),
        ) {
            // Stamps that go up on the whole, with repeats and small steps back.
            let mut stamp = 100;
            let log: Vec<(i64, u8)> = steps.iter().map(|(step, byte)| {
                stamp += step;
                (stamp.max(0), *byte)
            }).collect();
            // The engine's order of arrival may go back by less than what is remembered.
            let sorted = {
                let mut log = log.clone();
                log.sort_by_key(|(stamp, _)| *stamp);
                for at in (3..log.len()).step_by(5) { log.swap(at, at - 2); }
                log
            };
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut seen = Seen::nothing(0);
            let mut kept = Vec::new();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let since = seen.again();
                let there = &sorted[..cut.min(sorted.len())];
                for (stamp, byte) in ask(there, since) {
                    match seen.take(*stamp, OUT, &[*byte]) {
                        Verdict::New => kept.push((*stamp, *byte)),
                        Verdict::Known => {}
                        Verdict::NewBehindHole => prop_assert!(false, "no hole here"),
                    }
                }
            }
            prop_assert_eq!(kept, sorted);
        }
    }
}
