//! From bytes of Journal Export Format to drafts: where one entry ends, when it was, and which were seen before.

use stillframe_format::event::{JournalEntry, Loss};
use stillframe_format::journal::{Split, Splitter};
use stillframe_format::time::Anchor;
use stillframe_format::{Body, BootTime, Draft, Stream};

/// The longest cursor that is believed. systemd's are about 130 bytes (`sd_journal_get_cursor`).
const CURSOR_LIMIT: usize = 1_024;

/// What is read of an entry: journald's own stamps, not those that its writer claims (`_SOURCE_*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Its place in the journal.
    pub(crate) cursor: Option<String>,
    /// Nanoseconds of realtime.
    pub(crate) realtime: Option<i64>,
    /// Nanoseconds of `CLOCK_MONOTONIC` of the boot it was made under.
    monotonic: Option<u64>,
    /// 32 hexadecimal digits.
    boot: Option<String>,
}

impl Stamps {
    /// Reads the lines at the beginning of an entry, which may be cut: journalctl writes the stamps first
    /// (`output_export`, src/shared/logs-show.c, systemd v252).
    pub(crate) fn parse(entry: &[u8]) -> Self {
        let mut stamps = Self::default();
        for line in entry.split(|byte| *byte == b'\n') {
            let Some((name, value)) = std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once('='))
            else {
                break;
            };
            match name {
                "__CURSOR" if is_cursor(value) => {
                    stamps.cursor.get_or_insert_with(|| value.to_owned());
                }
                "__REALTIME_TIMESTAMP" => {
                    stamps.realtime = value.parse().ok().map(|us: i64| us.saturating_mul(1_000));
                }
                "__MONOTONIC_TIMESTAMP" => {
                    stamps.monotonic = value.parse().ok().map(|us: u64| us.saturating_mul(1_000));
                }
                "_BOOT_ID" => stamps.boot = Some(value.to_owned()),
                _ if name.starts_with("__") => {}
                _ => break,
            }
        }
        stamps
    }

    /// When the entry was made, never later than the anchor: by the monotonic stamp when that is of this boot, else
    /// by the wall clock. What was made under another boot, before this one's zero, is at zero.
    pub(crate) fn time(&self, boot: &str, anchor: &Anchor) -> BootTime {
        let is_now = self.boot.as_deref().is_some_and(|other| other == boot);
        let time = match (self.monotonic, self.realtime) {
            (Some(monotonic), _) if is_now => anchor.boottime_at_monotonic(monotonic),
            (_, Some(realtime)) => anchor.boottime_at(realtime),
            _ => anchor.boottime,
        };
        time.min(anchor.boottime)
    }
}

/// Anchors of which the distance between monotonic and boottime stays the same until the host was suspended.
///
/// Each reading is off by a little, so entries of one microsecond that are read apart would change places.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steady {
    /// Boottime less monotonic, and the reading's error.
    distance: Option<(u64, u64)>,
}

/// A change of the distance by more than this, on top of the readings' errors, is a suspend.
const SUSPEND: u64 = 1_000;

impl Steady {
    /// The reading, made to agree with those before it.
    pub(crate) fn anchor(&mut self, now: Anchor) -> Anchor {
        let distance = now.boottime.0.saturating_sub(now.monotonic);
        let kept = self
            .distance
            .filter(|(kept, error)| kept.abs_diff(distance) <= SUSPEND + error + now.error)
            .unwrap_or((distance, now.error));
        self.distance = Some(kept);
        Anchor {
            monotonic: now.boottime.0.saturating_sub(kept.0),
            ..now
        }
    }
}

/// It becomes an argument of journalctl.
fn is_cursor(text: &str) -> bool {
    !text.is_empty() && text.len() <= CURSOR_LIMIT && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An entry, or the loss of one that is too large.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) draft: Draft,
    pub(crate) cursor: Option<String>,
    /// Bytes that are kept of it.
    pub(crate) length: usize,
    pub(crate) is_loss: bool,
}

/// The entries of one run of journalctl.
#[derive(Debug)]
pub(crate) struct Entries {
    splitter: Splitter,
    boot: String,
    /// The entry to begin behind. journalctl begins with it, if the journal still has it.
    seen: Option<String>,
}

impl Entries {
    pub(crate) fn new(boot: &str, seen: Option<String>) -> Self {
        Self::with_splitter(Splitter::default(), boot, seen)
    }

    fn with_splitter(splitter: Splitter, boot: &str, seen: Option<String>) -> Self {
        Self {
            splitter,
            boot: boot.to_owned(),
            seen,
        }
    }

    /// Takes what was read when the clocks showed `anchor`.
    pub(crate) fn read(&mut self, bytes: &[u8], anchor: &Anchor) -> Vec<Read> {
        let mut found = Vec::new();
        let (boot, seen) = (&self.boot, &mut self.seen);
        self.splitter.push(bytes, |split| {
            let stamps = match &split {
                Split::Entry(bytes) | Split::TooLong(bytes, _) => Stamps::parse(bytes),
            };
            // Only the first can be the one that was seen.
            let is_seen = seen
                .take()
                .is_some_and(|seen| Some(&seen) == stamps.cursor.as_ref());
            if is_seen {
                return;
            }
            let time = stamps.time(boot, anchor);
            let (body, length, is_loss) = match split {
                Split::Entry(export) => {
                    let length = export.len();
                    (Body::Journal(JournalEntry { export }), length, false)
                }
                Split::TooLong(..) => (loss("too-large", 1, time, time), 0, true),
            };
            found.push(Read {
                draft: Draft { time, cpu: 0, body },
                cursor: stamps.cursor,
                length,
                is_loss,
            });
        });
        found
    }
}

pub(crate) fn loss(cause: &str, count: u64, from: BootTime, to: BootTime) -> Body {
    Body::Loss(Loss {
        stream: Stream::Journal,
        cause: cause.to_owned(),
        count,
        from: from.min(to),
        to,
        scope: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOOT: &str = "0123456789abcdef0123456789abcdef";
    const ANCHOR: Anchor = Anchor {
        boottime: BootTime(1_000_000_000_000),
        realtime: 1_700_000_000_000_000_000,
        monotonic: 900_000_000_000,
        error: 10,
    };

    fn entry(cursor: &str, realtime: i64, monotonic: u64, boot: &str, rest: &str) -> Vec<u8> {
        format!(
            "__CURSOR={cursor}\n__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n__SEQNUM=7\n_BOOT_ID={boot}\n{rest}\n"
        )
        .into_bytes()
    }

    #[test]
    fn the_monotonic_stamp_of_this_boot_counts_and_the_wall_clock_else() {
        let time = |bytes: &[u8]| Stamps::parse(bytes).time(BOOT, &ANCHOR).0;
        // The wall clock of the entry is an hour off: it does not matter.
        let here = entry("s=1", 1_699_996_400_000_000, 899_000_000, BOOT, "MESSAGE=x\n");
        assert_eq!(time(&here), 999_000_000_000);
        let other = "f".repeat(32);
        let before = entry("s=1", 1_699_996_400_000_000, 899_000_000, &other, "MESSAGE=x\n");
        assert_eq!(time(&before), 0, "before this boot");
        let unknown = b"__CURSOR=s\n__REALTIME_TIMESTAMP=1699999999000000\nMESSAGE=x\n\n";
        assert_eq!(time(unknown), 999_000_000_000);
        let future = entry("s=1", i64::MAX, u64::MAX, BOOT, "");
        assert_eq!(time(&future), ANCHOR.boottime.0, "never later than now");
        assert_eq!(time(b"MESSAGE=x\n\n"), ANCHOR.boottime.0);
    }

    #[test]
    fn the_distance_of_the_clocks_is_kept_until_it_moves() {
        let reading = |boottime, monotonic| Anchor {
            boottime: BootTime(boottime),
            monotonic,
            ..ANCHOR
        };
        let mut steady = Steady::default();
        let at = |anchor: Anchor| anchor.boottime_at_monotonic(500).0;
        assert_eq!(at(steady.anchor(reading(2_000, 1_000))), 1_500);
        assert_eq!(
            at(steady.anchor(reading(3_000, 2_007))),
            1_500,
            "an error of 7 ns"
        );
        assert_eq!(
            at(steady.anchor(reading(90_000, 3_000))),
            87_500,
            "it was suspended"
        );
    }

    #[test]
    fn stamps_are_taken_from_the_beginning_only_and_a_hostile_cursor_is_none() {
        let late = b"__CURSOR=a\nMESSAGE=x\n__REALTIME_TIMESTAMP=5\n_BOOT_ID=b\n\n";
        let stamps = Stamps::parse(late);
        assert_eq!((stamps.cursor.as_deref(), stamps.realtime), (Some("a"), None));
        for bad in ["", "a b", "\x1b[31m", &"x".repeat(CURSOR_LIMIT + 1)] {
            assert_eq!(Stamps::parse(&entry(bad, 1, 1, BOOT, "")).cursor, None, "{bad:?}");
        }
        let huge = b"__REALTIME_TIMESTAMP=99999999999999999999\n__MONOTONIC_TIMESTAMP=-1\n";
        assert_eq!(Stamps::parse(huge), Stamps::default());
    }

    #[test]
    fn only_the_entry_that_was_seen_is_passed_over_and_only_at_the_beginning() {
        let (a, b) = (entry("a", 1, 1, BOOT, "M=1\n"), entry("b", 2, 2, BOOT, "M=2\n"));
        let stream = [&a[..], &b, &a].concat();
        let cursors = |seen: Option<&str>| -> Vec<String> {
            Entries::new(BOOT, seen.map(str::to_owned))
                .read(&stream, &ANCHOR)
                .into_iter()
                .filter_map(|read| read.cursor)
                .collect()
        };
        assert_eq!(cursors(None), ["a", "b", "a"]);
        assert_eq!(cursors(Some("a")), ["b", "a"]);
        assert_eq!(
            cursors(Some("b")),
            ["a", "b", "a"],
            "it was removed: begins behind it"
        );
    }

    #[test]
    fn one_that_is_too_large_is_a_loss_at_its_own_time_and_its_cursor_counts() {
        let large = entry("a", 1, 899_000_000, BOOT, &format!("M={}\n", "x".repeat(300)));
        let small = entry("b", 2, 899_500_000, BOOT, "M=2\n");
        let stream = [&large[..], &small].concat();
        let mut entries = Entries::with_splitter(Splitter::new(200), BOOT, None);
        let read = entries.read(&stream, &ANCHOR);
        let time = BootTime(999_000_000_000);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].draft.body, loss("too-large", 1, time, time));
        assert_eq!(
            (read[0].cursor.as_deref(), read[0].is_loss, read[0].length),
            (Some("a"), true, 0)
        );
        assert_eq!(
            read[1].draft.body,
            Body::Journal(JournalEntry {
                export: small.clone()
            })
        );
        assert_eq!(read[1].length, small.len());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_entries(
            messages in prop::collection::vec("[a-z =]{0,20}", 0..6),
            piece in 1_usize..80,
        ) {
            let stream: Vec<u8> = messages.iter().enumerate().flat_map(|(at, message)| {
                entry(&format!("c{at}"), 1, 1, BOOT, &format!("MESSAGE={message}\n"))
            }).collect();
            let drafts = |size: usize| -> Vec<Draft> {
                let mut entries = Entries::new(BOOT, Some("c0".to_owned()));
                stream.chunks(size).flat_map(|piece| entries.read(piece, &ANCHOR)).map(|read| read.draft).collect()
            };
            let whole = drafts(stream.len().max(1));
            prop_assert_eq!(whole.len(), messages.len().saturating_sub(1));
            prop_assert_eq!(drafts(piece), whole);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
            let mut entries = Entries::new(BOOT, Some("x".to_owned()));
            for piece in bytes.chunks(piece) {
                for read in entries.read(piece, &ANCHOR) {
                    prop_assert!(read.draft.time <= ANCHOR.boottime);
                }
            }
        }
    }
}
