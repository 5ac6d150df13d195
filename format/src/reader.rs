//! Reading a bundle: from its ends when it is whole, frame by frame when it is not.
//!
//! The seek table and the index are hints. They are used when they fit the file and each other, and each slice is
//! checked against its own ledger when it is read; otherwise the file is walked from its start.

mod part;
mod slice;
pub(crate) mod storage;

pub use part::{SliceBytes, SlicePart, Streams};
pub use slice::Slice;

use crate::entry;
use crate::error::ReadError;
use crate::event::Stream;
use crate::frame::{self, FrameKind};
use crate::header::{End, Header, MemberRecord};
use crate::layout;
use crate::ledger::{Index, Ledger, SliceInfo};
use crate::origin::{Gap, Next, Origin, with_holes};
use crate::seek_table::{self, FramePlace};
use crate::stream::{self, Stored};
use crate::time::Anchors;
use crate::{BootTime, cbor};
use std::io::{Read, Seek};
use std::sync::Arc;
use storage::Storage;

/// The folder of what was read before the start: logs and journal of the look-back, and what it lacks.
pub const LOOKBACK: &str = "start/lookback/";

/// Whether all of a bundle is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The end record is there, and everything it counts.
    Complete,
    /// The file ends early, at `offset`; what was sealed before is good.
    Cut {
        /// Where the good part ends, in bytes of the file.
        offset: u64,
        /// The last sealed slice, if there is one.
        slice: Option<u32>,
        /// What it was sealed for: events before this moment.
        until: Option<BootTime>,
    },
    /// Something in the file is not what the format says; what is before it is good.
    Damaged {
        /// Where, in bytes of the file.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
}

impl Condition {
    /// Whether the bundle is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        *self == Self::Complete
    }
}

/// A bundle that was opened.
#[derive(Debug)]
pub struct Bundle<R> {
    storage: Storage<R>,
    header: Header,
    origin: Option<Origin>,
    end: Option<End>,
    condition: Condition,
    frames: Arc<Vec<FramePlace>>,
    slices: Arc<Vec<SliceInfo>>,
    anchors: Anchors,
}

impl<R: Read + Seek> Bundle<R> {
    /// Opens a bundle. A whole one costs a few reads at its ends, whatever its size.
    ///
    /// # Errors
    /// [`ReadError::NotABundle`], [`ReadError::NewerVersion`], or a failing storage. A bundle that is cut or damaged
    /// after its header opens: see [`Bundle::condition`].
    pub fn open(source: R) -> Result<Self, ReadError> {
        let mut bundle = Self::begin(source)?;
        if bundle.open_by_index().is_err() {
            bundle.walk()?;
        }
        Ok(bundle)
    }

    /// Opens a bundle by walking it from its start, without believing seek table and index.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn open_by_walk(source: R) -> Result<Self, ReadError> {
        let mut bundle = Self::begin(source)?;
        bundle.walk()?;
        Ok(bundle)
    }

    fn begin(source: R) -> Result<Self, ReadError> {
        let mut storage = Storage::new(source)?;
        let (header, origin, first) = read_header(&mut storage)?;
        let anchors = Anchors::new(header.anchors.clone());
        Ok(Self {
            storage,
            header,
            origin,
            end: None,
            condition: Condition::Complete,
            frames: Arc::new(vec![first]),
            slices: Arc::default(),
            anchors,
        })
    }

    /// The same bundle through another handle of the same bytes, for a second thread: what is known of it is not read
    /// again.
    ///
    /// # Errors
    /// [`ReadError::Io`] when the handle can't seek.
    pub fn through<S: Read + Seek>(&self, source: S) -> Result<Bundle<S>, ReadError> {
        Ok(Bundle {
            storage: Storage::new(source)?,
            header: self.header.clone(),
            origin: self.origin.clone(),
            end: self.end.clone(),
            condition: self.condition.clone(),
            frames: Arc::clone(&self.frames),
            slices: Arc::clone(&self.slices),
            anchors: self.anchors.clone(),
        })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it was made out of; `None` for a recording as it was made.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What of the recording is not in this bundle.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        self.origin.as_ref().map_or(&[], |origin| &origin.gaps)
    }

    /// The end record, unless the bundle is cut before it.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether all of it is there.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The slices that can be read, in order, and among them the holes of a salvaged bundle
    /// ([`SliceInfo::missing`]), which [`Bundle::slice`] refuses.
    #[must_use]
    pub fn slices(&self) -> &[SliceInfo] {
        &self.slices
    }

    /// The clock anchors.
    #[must_use]
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The frames of members, in the order of the file.
    #[must_use]
    pub fn frames(&self) -> &[FramePlace] {
        &self.frames
    }

    /// Length of the file in bytes.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.storage.len()
    }

    /// Number of events in the slices that can be read.
    #[must_use]
    pub fn total_events(&self) -> u64 {
        sum(&self.slices)
    }

    /// The number of the first event that it can hold: 1, unless it was cut out of another bundle.
    #[must_use]
    pub fn first_event(&self) -> u64 {
        match self.gaps().first() {
            Some(gap) if gap.slice == 1 && !gap.is_hole() => gap.first.saturating_add(gap.events),
            _ => 1,
        }
    }

    /// The number of the last event, holes counted; one less than [`Bundle::first_event`] where there is none.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        let after = self.slices.last().map_or(self.first_event(), |slice| {
            slice.first.saturating_add(slice.events)
        });
        after.saturating_sub(1)
    }

    /// Reads a slice, by its place in [`Bundle::slices`].
    ///
    /// # Errors
    /// [`ReadError`] when the slice is not what its ledger, the index and the format say.
    pub fn slice(&mut self, index: usize) -> Result<Slice, ReadError> {
        let info = self
            .slices
            .get(index)
            .cloned()
            .ok_or_else(|| ReadError::damaged("slice", format!("there is no slice {index}")))?;
        if info.missing > 0 {
            let what = match info.missing {
                1 => format!("slice {}", info.number),
                more => format!(
                    "slices {} to {}",
                    info.number,
                    info.number.saturating_add(more - 1)
                ),
            };
            return Err(ReadError::damaged(
                what,
                "it was lost before this bundle was salvaged",
            ));
        }
        let contents = self.contents(&info)?;
        let members = contents
            .iter()
            .map(|content| entry::members(content))
            .collect::<Result<Vec<_>, _>>()?;
        let slice = Slice::decode(&info, &members.concat())?;
        let known = self.anchors.as_slice();
        if slice.ledger.anchors.iter().any(|anchor| !known.contains(anchor)) {
            return Err(ReadError::damaged(
                layout::INDEX,
                "it lacks a clock anchor of a ledger",
            ));
        }
        Ok(slice)
    }

    /// The member of a name, from anywhere in the bundle.
    ///
    /// # Errors
    /// [`ReadError`] when the frames that could hold it can't be read.
    pub fn member(&mut self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let frames: Vec<FramePlace> = match name.strip_prefix("slice/").and_then(|rest| rest.split_once('/'))
        {
            Some((number, _)) => {
                let found = self
                    .slices
                    .iter()
                    .find(|slice| format!("{:06}", slice.number) == number);
                found
                    .map(|info| self.frames_of(info).collect())
                    .unwrap_or_default()
            }
            None => self.outer_frames(),
        };
        for place in frames {
            let content = self.storage.content(place)?;
            if let Some(found) = entry::members(&content)?
                .into_iter()
                .find(|member| member.name == name)
            {
                return Ok(Some(found.content.to_vec()));
            }
        }
        Ok(None)
    }

    /// Visits the members outside slices (header, snapshots, end record, index, manifest), one frame in memory at a
    /// time.
    ///
    /// # Errors
    /// [`ReadError`] when a frame can't be read.
    pub fn each_outer_member(&mut self, mut visit: impl FnMut(&str, &[u8])) -> Result<(), ReadError> {
        for place in self.outer_frames() {
            let content = self.storage.content(place)?;
            for member in entry::members(&content)? {
                visit(member.name, member.content);
            }
        }
        Ok(())
    }

    /// What was read before the start: events that have no number, in the order of their streams.
    ///
    /// # Errors
    /// [`ReadError`] when the members are not what the format says.
    pub fn lookback(&mut self) -> Result<Vec<Stored>, ReadError> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        let mut size = 0usize;
        self.each_outer_member(|name, content| {
            if name.starts_with(LOOKBACK) {
                size = size.saturating_add(content.len());
                if size <= layout::SLICE_CONTENT_MAX {
                    members.push((name.to_owned(), content.to_vec()));
                }
            }
        })?;
        ReadError::check("look-back", size, layout::SLICE_CONTENT_MAX)?;
        let entries: Vec<entry::Entry<'_>> = members
            .iter()
            .map(|(name, content)| entry::Entry { name, content })
            .collect();
        let mut found = Vec::new();
        for stream in [Stream::Loss, Stream::Journal, Stream::Kernel, Stream::Log] {
            found.extend(stream::decode(stream, LOOKBACK, &entries)?);
        }
        Ok(found)
    }

    /// The contents of a frame, decompressed.
    ///
    /// # Errors
    /// [`ReadError`] when the frame is damaged.
    pub fn frame_content(&mut self, place: FramePlace) -> Result<Vec<u8>, ReadError> {
        self.storage.content(place)
    }

    /// Bytes of the file as they are; fewer than `len` only at its end.
    ///
    /// # Errors
    /// [`ReadError`] when `len` is over the limit of a frame or the storage fails.
    pub fn bytes(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        self.storage.read_up_to(offset, len)
    }

    /// The frames of a slice.
    pub(crate) fn frames_of(&self, info: &SliceInfo) -> impl Iterator<Item = FramePlace> + use<R> {
        let first = self.frames.partition_point(|place| place.offset < info.offset);
        let end = info.offset.saturating_add(info.len);
        let after = self.frames.partition_point(|place| place.offset < end);
        self.frames
            .get(first..after)
            .unwrap_or_default()
            .to_vec()
            .into_iter()
    }

    /// What a slice decompresses to, in bytes, as far as the seek table tells; where it does not, its length in the file.
    #[must_use]
    pub fn content_of(&self, info: &SliceInfo) -> u64 {
        self.frames_of(info)
            .map(|place| place.content.max(place.len))
            .fold(0, u64::saturating_add)
    }

    pub(crate) fn outer_frames(&self) -> Vec<FramePlace> {
        let inside = |place: &FramePlace| {
            let after = self.slices.partition_point(|slice| slice.offset <= place.offset);
            after
                .checked_sub(1)
                .and_then(|at| self.slices.get(at))
                .is_some_and(|slice| place.offset < slice.offset.saturating_add(slice.len))
        };
        self.frames
            .iter()
            .filter(|place| !inside(place))
            .copied()
            .collect()
    }

    fn contents(&mut self, info: &SliceInfo) -> Result<Vec<Vec<u8>>, ReadError> {
        let frames: Vec<FramePlace> = self.frames_of(info).collect();
        ReadError::check("frames of a slice", frames.len(), layout::SLICE_FRAMES_MAX)?;
        let mut size = 0usize;
        let mut contents = Vec::with_capacity(frames.len());
        for place in frames {
            let content = self.storage.content(place)?;
            size = size.saturating_add(content.len());
            ReadError::check("content of a slice", size, layout::SLICE_CONTENT_MAX)?;
            contents.push(content);
        }
        Ok(contents)
    }

    /// Opens by seek table and index. Any error means: don't believe them.
    fn open_by_index(&mut self) -> Result<(), ReadError> {
        let bad = |problem: &str| ReadError::damaged(layout::INDEX, problem);
        let len = self.storage.len();
        let footer_at = len.saturating_sub(seek_table::FOOTER_LEN as u64);
        let footer = self.storage.read(footer_at, seek_table::FOOTER_LEN)?;
        let table_len = seek_table::frame_len(&footer, len)?;
        let table = self
            .storage
            .read(len.saturating_sub(table_len as u64), table_len)?;
        let frames = seek_table::decode(&table, len)?;
        let [first, .., index_frame, _manifest] = frames.as_slice() else {
            return Err(bad("too few frames"));
        };
        if self.frames.first().map(|place| place.len) != Some(first.len) {
            return Err(bad("the seek table does not fit the first frame"));
        }
        let content = self.storage.content(*index_frame)?;
        let members = entry::members(&content)?;
        let [member] = members.as_slice() else {
            return Err(bad("not alone in its frame"));
        };
        if member.name != layout::INDEX {
            return Err(bad("not where it should be"));
        }
        let index: Index = cbor::decode_as(layout::INDEX, member.content)?;
        let gaps = self.origin.as_ref().map_or(&[][..], |origin| &origin.gaps);
        check_index(&index, &frames, gaps)?;
        let (slices, anchors) = (index.slices, Anchors::new(index.anchors));
        let tail = slices
            .last()
            .map_or(first.len, |slice| slice.offset.saturating_add(slice.len));
        let mut end = None;
        for place in frames
            .iter()
            .filter(|place| place.offset >= tail && place.offset < index_frame.offset)
        {
            let content = self.storage.content(*place)?;
            for member in entry::members(&content)? {
                if member.name == layout::END {
                    end = Some(read_end(member.content)?);
                }
            }
        }
        let end = end.ok_or_else(|| bad("no end record before it"))?;
        if end.events != sum(&slices) || usize::try_from(end.slices).ok() != Some(slices.len()) {
            return Err(bad("it does not hold what the end record counts"));
        }
        if !self
            .header
            .anchors
            .iter()
            .all(|anchor| anchors.as_slice().contains(anchor))
        {
            return Err(bad("it lacks the header's clock anchor"));
        }
        self.end = Some(end);
        self.slices = Arc::new(with_holes(slices, gaps, true));
        self.frames = Arc::new(frames);
        self.anchors = anchors;
        Ok(())
    }

    /// Finds out from the start of the file what there is, as far as it is good.
    fn walk(&mut self) -> Result<(), ReadError> {
        Arc::make_mut(&mut self.frames).truncate(1);
        Arc::make_mut(&mut self.slices).clear();
        let mut offset = self.frames.first().map_or(0, |place| place.len);
        let mut slice_start: Option<u64> = None;
        let mut good = offset;
        let problem = loop {
            if offset == self.storage.len() {
                break None;
            }
            let start = self.storage.read_up_to(offset, 4)?;
            if frame::kind(&start) == Some(FrameKind::SeekTable) {
                break None;
            }
            match self.walk_frame(offset, &mut slice_start) {
                Ok((place, sealed)) => {
                    offset += place.len;
                    Arc::make_mut(&mut self.frames).push(place);
                    if sealed {
                        good = offset;
                        slice_start = None;
                    }
                }
                Err(ReadError::Io(error)) => return Err(ReadError::Io(error)),
                // Behind the end record only hints stand: without them the recording is still complete.
                Err(_) if self.end.is_some() => break None,
                Err(error) => break Some(error),
            }
        };
        let last = self.slices.last();
        let (slice, until) = (last.map(|slice| slice.number), last.map(|slice| slice.to));
        self.condition = match problem {
            None if self.end.is_some() => Condition::Complete,
            None => Condition::Cut {
                offset: good,
                slice,
                until,
            },
            Some(ReadError::Cut { .. }) => Condition::Cut {
                offset: good,
                slice,
                until,
            },
            Some(error) => Condition::Damaged {
                offset,
                problem: error.to_string(),
            },
        };
        // Frames of a slice that was never sealed belong to nothing.
        if let Some(start) = slice_start {
            Arc::make_mut(&mut self.frames).retain(|place| place.offset < start);
        }
        let found = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        let same = |end: &End| end.slices == found && end.events == sum(&self.slices);
        if self.condition.is_complete() && !self.end.as_ref().is_some_and(same) {
            let problem = "the end record counts other slices than there are".to_owned();
            self.condition = Condition::Damaged { offset, problem };
        }
        let slices = std::mem::take(Arc::make_mut(&mut self.slices));
        self.slices = Arc::new(with_holes(slices, self.gaps(), self.condition.is_complete()));
        Ok(())
    }

    /// Looks at one frame. Tells its place and whether everything up to its end is sealed.
    fn walk_frame(
        &mut self,
        offset: u64,
        slice_start: &mut Option<u64>,
    ) -> Result<(FramePlace, bool), ReadError> {
        let mut place = self.storage.measure(offset)?;
        let first = self.storage.peek(place, layout::TAR_BLOCK)?;
        let (name, _) = entry::parse_header(&first)?;
        if let Some(rest) = name.strip_prefix("slice/") {
            if self.end.is_some() {
                return Err(ReadError::damaged(name, "it stands behind the end record"));
            }
            let start = *slice_start.get_or_insert(offset);
            if !rest.ends_with("/order.cbor") {
                return Ok((place, false));
            }
            let content = self.storage.content(place)?;
            place.content = content.len() as u64;
            let ledger = ledger_of(&content)?;
            let info = SliceInfo::new(&ledger, start, offset + place.len - start);
            check_next(self.slices.last(), &info, self.gaps())?;
            for anchor in &ledger.anchors {
                self.anchors.push(*anchor);
            }
            Arc::make_mut(&mut self.slices).push(info);
            return Ok((place, true));
        }
        if slice_start.is_some() {
            return Err(ReadError::damaged(name, "it stands inside a slice"));
        }
        let content = self.storage.content(place)?;
        place.content = content.len() as u64;
        for member in entry::members(&content)? {
            if member.name == layout::END {
                self.end = Some(read_end(member.content)?);
            }
        }
        Ok((place, true))
    }
}

/// Events of the slices that are there.
fn sum(slices: &[SliceInfo]) -> u64 {
    let there = slices.iter().filter(|slice| slice.missing == 0);
    there.fold(0, |sum, slice| sum.saturating_add(slice.events))
}

fn read_header<R: Read + Seek>(
    storage: &mut Storage<R>,
) -> Result<(Header, Option<Origin>, FramePlace), ReadError> {
    let not = |problem: &str| ReadError::NotABundle(problem.to_owned());
    if storage.len() == 0 {
        return Err(not("the file is empty"));
    }
    let start = storage.read_up_to(0, 4)?;
    if frame::kind(&start) != Some(FrameKind::Data) {
        return Err(not("it does not begin with a zstd frame"));
    }
    let early = |error: ReadError| match error {
        ReadError::Io(error) => ReadError::Io(error),
        other => ReadError::NotABundle(format!("its first frame: {other}")),
    };
    let mut place = storage.measure(0).map_err(early)?;
    let content = storage.content(place).map_err(early)?;
    place.content = content.len() as u64;
    let members = entry::members(&content).map_err(early)?;
    let header = match members.first() {
        Some(member) if member.name == layout::HEADER => Header::decode(member.content)?,
        _ => return Err(not("its first member is not header.json")),
    };
    let origin = members.iter().find(|member| member.name == layout::ORIGIN);
    let origin = origin.map(|member| Origin::decode(member.content)).transpose();
    let origin = origin.map_err(|error| ReadError::NotABundle(error.to_string()))?;
    let has_gaps = origin.as_ref().is_some_and(|origin| !origin.gaps.is_empty());
    if has_gaps
        != header
            .format
            .requires
            .iter()
            .any(|feature| feature == layout::GAPS)
    {
        return Err(not(
            "header.json and origin.json contradict each other about gaps",
        ));
    }
    Ok((header, origin, place))
}

pub(crate) fn read_end(bytes: &[u8]) -> Result<End, ReadError> {
    ReadError::check(layout::END, bytes.len(), layout::RECORD_MAX)?;
    serde_json::from_slice(bytes).map_err(|error| ReadError::damaged(layout::END, error.to_string()))
}

/// The ledger at the end of a slice's last frame.
pub(crate) fn ledger_of(content: &[u8]) -> Result<Ledger, ReadError> {
    let members = entry::members(content)?;
    match members.last() {
        Some(member) if member.name.ends_with("/ledger.cbor") => cbor::decode_as(member.name, member.content),
        _ => Err(ReadError::damaged("slice", "its last member is not its ledger")),
    }
}

/// Whether a slice may follow another.
pub(crate) fn check_next(
    before: Option<&SliceInfo>,
    next: &SliceInfo,
    gaps: &[Gap],
) -> Result<(), ReadError> {
    let Next { number, first, .. } = Next::after(before, gaps);
    if next.events > layout::SLICE_EVENTS_MAX {
        return Err(ReadError::Limit {
            what: format!("events of slice {number}"),
            size: next.events,
            limit: layout::SLICE_EVENTS_MAX,
        });
    }
    if next.number != number {
        return Err(ReadError::damaged(
            "slice",
            format!("number {} stands where {number} should", next.number),
        ));
    }
    if next.first != first || next.first.checked_add(next.events).is_none() {
        let problem = format!("it begins with event {}, not {first}", next.first);
        return Err(ReadError::damaged(format!("slice {number}"), problem));
    }
    ReadError::check(
        "slice",
        usize::try_from(next.len).unwrap_or(usize::MAX),
        layout::SLICE_BYTES_MAX as usize,
    )
}

fn check_index(index: &Index, frames: &[FramePlace], gaps: &[Gap]) -> Result<(), ReadError> {
    let bad = |problem: &str| ReadError::damaged(layout::INDEX, problem);
    let starts = |offset: u64| frames.binary_search_by_key(&offset, |place| place.offset).is_ok();
    let mut before: Option<&SliceInfo> = None;
    for slice in &index.slices {
        check_next(before, slice, gaps)?;
        let end = slice
            .offset
            .checked_add(slice.len)
            .ok_or_else(|| bad("a slice of impossible length"))?;
        if slice.len == 0 || !starts(slice.offset) || !starts(end) {
            return Err(bad("a slice that is not made of whole frames"));
        }
        if before.is_some_and(|before| before.offset + before.len != slice.offset) {
            return Err(bad("slices that do not follow each other"));
        }
        before = Some(slice);
    }
    Ok(())
}

/// Whether the members in hand are those that a ledger lists, in its order, by name and size.
pub(crate) fn check_listed(
    what: &str,
    listed: &[MemberRecord],
    found: &[impl Named],
) -> Result<(), ReadError> {
    let same = listed.len() == found.len()
        && listed
            .iter()
            .zip(found)
            .all(|(record, member)| record.name == member.name() && record.size == member.size() as u64);
    if same {
        Ok(())
    } else {
        Err(ReadError::damaged(
            what,
            "its members are not those that its ledger lists",
        ))
    }
}

/// A member, as far as a ledger lists it.
pub(crate) trait Named {
    fn name(&self) -> &str;
    fn size(&self) -> usize;
}

impl Named for entry::Entry<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn size(&self) -> usize {
        self.content.len()
    }
}

impl Named for (String, usize) {
    fn name(&self) -> &str {
        &self.0
    }

    fn size(&self) -> usize {
        self.1
    }
}
