//! The first pass: frames wherever they stand, put together to slices, and what the file still tells of the rest.

use super::note;
use crate::cut::sound;
use crate::digest::Sha256;
use crate::entry;
use crate::error::{CopyError, ReadError};
use crate::frame::{self, DATA_MAGIC, FrameKind};
use crate::header::{End, Header, Manifest};
use crate::ledger::{Index, Ledger, SliceInfo};
use crate::origin::{LostRange, Origin};
use crate::reader::storage::Storage;
use crate::reader::{ledger_of, read_end};
use crate::seek_table::FramePlace;
use crate::time::Anchor;
use crate::{BootTime, cbor, layout};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

/// How much of the file is looked at at once for a magic number.
const CHUNK: usize = 1 << 20;
/// Lost ranges that are told one by one.
const RANGES_MAX: usize = 4096;
/// Frames that may fail, and more for each good one: a file made of beginnings of frames costs no more than that.
const FAILURES_MAX: u64 = 4096;
/// Names of members that are remembered.
const NAMES_MAX: usize = 1 << 16;

/// A slice that is whole.
pub(super) struct Kept {
    pub(super) info: SliceInfo,
    pub(super) frames: Vec<FramePlace>,
    /// What its ledger follows.
    pub(super) previous: Sha256,
    /// The hash of its ledger.
    hash: Sha256,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) header: Option<Header>,
    pub(super) origin: Option<Origin>,
    pub(super) end: Option<End>,
    pub(super) slices: Vec<Kept>,
    /// Frames outside slices.
    pub(super) outer: Vec<FramePlace>,
    pub(super) lost: Vec<LostRange>,
    /// A reading of the clocks, from the first ledger that has one.
    pub(super) anchor: Option<Anchor>,
    /// Names of members outside slices, as ledgers and the manifest tell them.
    pub(super) listed: BTreeSet<String>,
    /// What the index says, for slices that are not there.
    index: Option<Index>,
    /// Ledgers of slices of which another part is damaged.
    ledgers: Vec<Ledger>,
    /// The ledger of the start, when it was there.
    start: Option<Sha256>,
    good: u64,
    failures: u64,
}

/// The frames of a slice, while they are put together.
struct Candidate {
    number: u32,
    frames: Vec<FramePlace>,
}

pub(super) fn scan<R: Read + Seek>(storage: &mut Storage<R>) -> Result<Found, CopyError> {
    let mut found = Found::default();
    let mut candidate: Option<Candidate> = None;
    let mut offset = 0u64;
    while offset < storage.len() {
        match good_frame(storage, offset) {
            Ok((place, content)) => {
                found.good += 1;
                found.frame(storage, place, &content, &mut candidate)?;
                offset += place.len;
            }
            Err(ReadError::Io(error)) => return Err(ReadError::Io(error).into()),
            Err(error) => {
                let start = storage.read_up_to(offset, 4)?;
                if frame::kind(&start) == Some(FrameKind::SeekTable) && is_seek_table(storage, offset)? {
                    break;
                }
                found.failures += 1;
                if found.failures > FAILURES_MAX.saturating_add(found.good) {
                    let problem = format!("more than {FAILURES_MAX} frames in it are damaged");
                    return Err(CopyError::Refused(problem));
                }
                found.give_up(candidate.take(), "the rest of its slice is damaged or missing");
                let next = next_magic(storage, offset.saturating_add(1))?;
                found.lose(offset, next - offset, &error.to_string());
                offset = next;
            }
        }
    }
    found.give_up(candidate.take(), "its slice was never sealed");
    found.lost.sort_by_key(|range| range.offset);
    Ok(found)
}

/// The frame at `offset`, when it is whole.
fn good_frame<R: Read + Seek>(
    storage: &mut Storage<R>,
    offset: u64,
) -> Result<(FramePlace, Vec<u8>), ReadError> {
    let mut place = storage.measure(offset)?;
    // Before a whole frame is decompressed, its first block must be what a member begins with.
    entry::parse_header(&storage.peek(place, layout::TAR_BLOCK)?)?;
    let content = storage.content(place)?;
    entry::members(&content)?;
    place.content = content.len() as u64;
    Ok((place, content))
}

/// Whether the file ends with the skippable frame that begins at `offset`.
fn is_seek_table<R: Read + Seek>(storage: &mut Storage<R>, offset: u64) -> Result<bool, ReadError> {
    let head = storage.read_up_to(offset, 8)?;
    let len = head
        .get(4..8)
        .and_then(|len| len.first_chunk::<4>())
        .map(|len| u64::from(u32::from_le_bytes(*len)));
    Ok(len.and_then(|len| offset.checked_add(len)?.checked_add(8)) == Some(storage.len()))
}

/// Where the next data frame may begin; the end of the file when there is none.
fn next_magic<R: Read + Seek>(storage: &mut Storage<R>, from: u64) -> Result<u64, ReadError> {
    let mut offset = from;
    while offset < storage.len() {
        let bytes = storage.read_up_to(offset, CHUNK)?;
        let magics = [DATA_MAGIC, frame::SEEK_TABLE_MAGIC];
        let at = bytes
            .windows(4)
            .position(|window| magics.iter().any(|magic| window == magic));
        if let Some(at) = at {
            return Ok(offset + at as u64);
        }
        if bytes.len() < CHUNK {
            break;
        }
        // The magic may lie across the edge.
        offset += (CHUNK - 3) as u64;
    }
    Ok(storage.len())
}

impl Found {
    /// Notes bytes that are of no use.
    pub(super) fn lose(&mut self, offset: u64, len: u64, problem: &str) {
        if self.lost.len() < RANGES_MAX {
            note(&mut self.lost, offset, len, problem);
        } else if let Some(last) = self.lost.last_mut() {
            let end = offset
                .saturating_add(len)
                .max(last.offset.saturating_add(last.len));
            last.len = end.saturating_sub(last.offset);
        }
    }

    fn give_up(&mut self, candidate: Option<Candidate>, problem: &str) {
        for place in candidate.into_iter().flat_map(|candidate| candidate.frames) {
            self.lose(place.offset, place.len, problem);
        }
    }

    fn frame<R: Read + Seek>(
        &mut self,
        storage: &mut Storage<R>,
        place: FramePlace,
        content: &[u8],
        candidate: &mut Option<Candidate>,
    ) -> Result<(), CopyError> {
        let members = entry::members(content)?;
        let Some(name) = members.first().map(|member| member.name) else {
            self.lose(place.offset, place.len, "a frame without members");
            return Ok(());
        };
        let slice = name.strip_prefix("slice/").and_then(|rest| rest.split_once('/'));
        let Some((number, file)) = slice else {
            self.give_up(candidate.take(), "its slice was never sealed");
            return self.outside(place, &members);
        };
        let Ok(number) = number.parse::<u32>() else {
            self.lose(place.offset, place.len, "a slice without a number");
            return Ok(());
        };
        if candidate.as_ref().is_some_and(|candidate| {
            candidate.number != number || candidate.frames.len() >= layout::SLICE_FRAMES_MAX
        }) {
            self.give_up(candidate.take(), "the rest of its slice is damaged or missing");
        }
        let found = candidate.get_or_insert_with(|| Candidate {
            number,
            frames: Vec::new(),
        });
        found.frames.push(place);
        if file == layout::ORDER
            && let Some(whole) = candidate.take()
        {
            match self.slice(storage, &whole, content) {
                Ok(kept) => self.slices.push(kept),
                Err(ReadError::Io(error)) => return Err(ReadError::Io(error).into()),
                Err(error) => {
                    self.remember(content);
                    self.give_up(Some(whole), &error.to_string());
                }
            }
        }
        Ok(())
    }

    /// Checks a slice whose last frame was found.
    fn slice<R: Read + Seek>(
        &mut self,
        storage: &mut Storage<R>,
        candidate: &Candidate,
        last: &[u8],
    ) -> Result<Kept, ReadError> {
        let what = format!("slice {}", candidate.number);
        let bad = |problem: &str| ReadError::damaged(what.clone(), problem);
        let (Some(first), Some(end)) = (candidate.frames.first(), candidate.frames.last()) else {
            return Err(bad("it has no frame"));
        };
        let len = end.offset.saturating_add(end.len).saturating_sub(first.offset);
        if len > layout::SLICE_BYTES_MAX {
            return Err(bad("longer than a slice may be"));
        }
        let ledger = ledger_of(last)?;
        let info = SliceInfo::new(&ledger, first.offset, len);
        if info.number != candidate.number || info.events > layout::SLICE_EVENTS_MAX {
            return Err(bad("its ledger is of another slice, or counts too many events"));
        }
        let hash = entry::members(last)?
            .last()
            .map(|member| Sha256::of(member.content));
        let hash = hash.unwrap_or_default();
        let after = info.first.checked_add(info.events);
        let follows = match self.slices.last() {
            None if info.number == 1 => {
                // A bundle that was made out of another has a start of its own, and the chain of the recording.
                let start = self.origin.as_ref().map(|origin| origin.chain).or(self.start);
                info.first == 1 && start.is_none_or(|start| start == ledger.previous)
            }
            None => info.number > 0 && info.first > 0,
            Some(before) => {
                let next = before.info.first.saturating_add(before.info.events);
                if before.info.number.checked_add(1) == Some(info.number) {
                    info.first == next && info.from == before.info.to && ledger.previous == before.hash
                } else {
                    info.number > before.info.number && info.first >= next && info.from >= before.info.to
                }
            }
        };
        if !follows || after.is_none() || info.number == u32::MAX {
            return Err(bad("it does not follow the slice before it"));
        }
        let mut size = 0usize;
        let mut contents = Vec::with_capacity(candidate.frames.len());
        for place in &candidate.frames {
            size = size.saturating_add(usize::try_from(place.content).unwrap_or(usize::MAX));
            ReadError::check("content of a slice", size, layout::SLICE_CONTENT_MAX)?;
            contents.push(storage.content(*place)?);
        }
        let members: Result<Vec<_>, _> = contents.iter().map(|content| entry::members(content)).collect();
        let ledger = sound(&info, &members?.concat())?;
        self.anchor = self.anchor.or(ledger.anchors.first().copied());
        Ok(Kept {
            info,
            frames: candidate.frames.clone(),
            previous: ledger.previous,
            hash,
        })
    }

    /// What the ledger of a damaged slice tells.
    fn remember(&mut self, content: &[u8]) {
        if self.ledgers.len() < RANGES_MAX
            && let Ok(mut ledger) = ledger_of(content)
        {
            ledger.members = Vec::new();
            ledger.anchors = Vec::new();
            self.ledgers.push(ledger);
        }
    }

    fn outside(&mut self, place: FramePlace, members: &[entry::Entry<'_>]) -> Result<(), CopyError> {
        for member in members {
            let outcome = match member.name {
                layout::HEADER if self.header.is_none() => match Header::decode(member.content) {
                    Ok(header) => {
                        self.header = Some(header);
                        Ok(())
                    }
                    Err(error @ ReadError::NewerVersion { .. }) => return Err(error.into()),
                    Err(error) => Err(error),
                },
                layout::ORIGIN => Origin::decode(member.content).map(|origin| self.origin = Some(origin)),
                layout::END => read_end(member.content).map(|end| self.end = Some(end)),
                layout::INDEX => {
                    cbor::decode_as(layout::INDEX, member.content).map(|index| self.index = Some(index))
                }
                layout::START_LEDGER | layout::END_LEDGER => {
                    if member.name == layout::START_LEDGER {
                        self.start = Some(Sha256::of(member.content));
                    }
                    cbor::decode_as::<Ledger>(member.name, member.content).map(|ledger| {
                        self.list(ledger.members.into_iter().map(|record| record.name));
                    })
                }
                layout::MANIFEST => serde_json::from_slice::<Manifest>(member.content)
                    .map_err(|error| ReadError::damaged(layout::MANIFEST, error.to_string()))
                    .map(|manifest| self.list(manifest.members.into_iter().map(|record| record.name))),
                _ => Ok(()),
            };
            if let Err(error) = outcome {
                self.lose(place.offset, place.len, &error.to_string());
            }
        }
        self.outer.push(place);
        Ok(())
    }

    fn list(&mut self, names: impl Iterator<Item = String>) {
        for name in names.filter(|name| !name.starts_with("slice/")) {
            if self.listed.len() < NAMES_MAX {
                self.listed.insert(name);
            }
        }
    }

    /// Events of each stream in the missing slices from one number to before another, when that is known and adds up.
    pub(super) fn counts(&self, from: u32, to: u32, events: u64) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<u32, &BTreeMap<String, u64>> = BTreeMap::new();
        let index = self.index.iter().flat_map(|index| &index.slices);
        let index = index.map(|slice| (slice.number, &slice.counts));
        let ledgers = self.ledgers.iter().map(|ledger| (ledger.slice, &ledger.counts));
        counts.extend(
            index
                .chain(ledgers)
                .filter(|(number, _)| (from..to).contains(number)),
        );
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (stream, count) in counts.values().copied().flatten() {
            let sum = sums.entry(stream.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        let total = sums.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        if usize::try_from(to - from).ok() == Some(counts.len()) && total == events {
            sums
        } else {
            BTreeMap::new()
        }
    }

    /// Slices behind the last one that is there, as far as the index or the end record tells: the number and the first
    /// event of what would come after them, and the time. The end record tells only where there were no gaps.
    pub(super) fn behind(&self, slice: u32, first: u64, had_gaps: bool) -> Option<(u32, u64, BootTime)> {
        let (number, event, time) =
            if let Some(last) = self.index.as_ref().and_then(|index| index.slices.last()) {
                let event = last.first.checked_add(last.events)?;
                (last.number.checked_add(1)?, event, last.to)
            } else {
                let end = self.end.as_ref().filter(|_| !had_gaps)?;
                (
                    end.slices.checked_add(1)?,
                    end.events.checked_add(1)?,
                    end.stopped,
                )
            };
        (number > slice && event >= first).then_some((number, event, time))
    }
}
