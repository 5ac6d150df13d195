//! Some streams of a slice: what a question does not ask for is not decompressed.
//!
//! [`super::Slice`] is all of a slice; this is for scans. Reading bytes needs the bundle, everything after that does
//! not, so several threads can open slices at once. What is read is checked as it is in a whole slice: the ledger
//! against the index, members against the ledger by name and size, counts, the order.

use super::{Bundle, check_listed, ledger_of};
use crate::error::ReadError;
use crate::event::{OpenCall, Stream};
use crate::layout::{self, slice_member};
use crate::ledger::{Ledger, SliceInfo};
use crate::order::{self, Run};
use crate::stream::{self, Stored, SyscallColumns};
use crate::table::Segment;
use crate::time::Anchors;
use crate::{cbor, entry, frame};
use std::io::{Read, Seek};

/// Frames of less content than this are decompressed whole before one looks at their names.
const SMALL: u64 = 128 << 10;

/// The bit of the packets themselves.
const RAW: u16 = 1 << 15;
/// A bit for each stream.
const EVERY: u16 = (1 << Stream::ALL.len()) - 1;

/// A set of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams(u16);

impl Streams {
    /// All of them.
    pub const ALL: Self = Self(EVERY | RAW);
    /// All of them, without the packets themselves: enough for [`SlicePart::times`].
    pub const TIMES: Self = Self(EVERY);

    /// The set with one more.
    #[must_use]
    pub fn with(self, stream: Stream) -> Self {
        let raw = if stream == Stream::Packet { RAW } else { 0 };
        Self(self.0 | 1 << stream as u8 | raw)
    }

    /// Whether it holds a stream.
    #[must_use]
    pub fn has(self, stream: Stream) -> bool {
        self.0 & 1 << stream as u8 != 0
    }

    /// Whether a slice may hold an event of one of them, by its counts.
    #[must_use]
    pub fn are_in(self, info: &SliceInfo) -> bool {
        info.counts
            .iter()
            .any(|(name, count)| *count > 0 && Stream::from_name(name).is_none_or(|stream| self.has(stream)))
    }
}

impl FromIterator<Stream> for Streams {
    fn from_iter<T: IntoIterator<Item = Stream>>(streams: T) -> Self {
        streams.into_iter().fold(Self::default(), Self::with)
    }
}

/// A slice as it lies in the file.
#[derive(Debug)]
pub struct SliceBytes {
    info: SliceInfo,
    /// Frames, compressed, with the length of their contents, where it is known.
    frames: Vec<(Vec<u8>, u64)>,
    anchors: Anchors,
}

/// Some streams of a slice.
#[derive(Debug)]
pub struct SlicePart {
    /// Its account.
    pub ledger: Ledger,
    info: SliceInfo,
    wanted: Streams,
    runs: Vec<Run>,
    contents: Vec<Vec<u8>>,
}

impl<R: Read + Seek> Bundle<R> {
    /// The bytes of a slice, by its place in [`Bundle::slices`].
    ///
    /// # Errors
    /// [`ReadError`] when they can't be read.
    pub fn slice_bytes(&mut self, index: usize) -> Result<SliceBytes, ReadError> {
        let info = self
            .slices
            .get(index)
            .cloned()
            .ok_or_else(|| ReadError::damaged("slice", format!("there is no slice {index}")))?;
        let places: Vec<_> = self.frames_of(&info).collect();
        ReadError::check("frames of a slice", places.len(), layout::SLICE_FRAMES_MAX)?;
        let mut frames = Vec::with_capacity(places.len());
        for place in places {
            let len = usize::try_from(place.len).unwrap_or(usize::MAX);
            frames.push((self.storage.read(place.offset, len)?, place.content));
        }
        Ok(SliceBytes {
            info,
            frames,
            anchors: self.anchors.clone(),
        })
    }
}

impl SliceBytes {
    /// What the index says of it.
    #[must_use]
    pub fn info(&self) -> &SliceInfo {
        &self.info
    }

    /// Decompresses the wanted streams, and checks what was read.
    ///
    /// # Errors
    /// [`ReadError`] when the slice is not what its ledger, the index and the format say.
    pub fn open(&self, wanted: Streams) -> Result<SlicePart, ReadError> {
        let what = format!("slice {}", self.info.number);
        let bad = |problem: &str| ReadError::damaged(what.clone(), problem);
        let Some(((last, _), alone)) = self.frames.split_last() else {
            return Err(bad("it is empty"));
        };
        let last = frame::decompress(last)?;
        let ledger = ledger_of(&last)?;
        if SliceInfo::new(&ledger, self.info.offset, self.info.len) != self.info {
            return Err(bad("its ledger and the index contradict each other"));
        }
        let known = self.anchors.as_slice();
        if ledger.anchors.iter().any(|anchor| !known.contains(anchor)) {
            return Err(ReadError::damaged(
                layout::INDEX,
                "it lacks a clock anchor of a ledger",
            ));
        }
        let mut contents = Vec::with_capacity(self.frames.len());
        let mut members: Vec<(String, usize)> = Vec::new();
        for (bytes, content) in alone {
            if *content == 0 || *content > SMALL {
                let start = frame::peek(bytes, layout::TAR_BLOCK)?;
                let (name, size) = entry::parse_header(&start)?;
                // A frame that holds one member has room for nothing else.
                let is_alone = *content == (layout::TAR_BLOCK + entry::padded(size)) as u64;
                if is_alone && !self.is_wanted(name, wanted) {
                    members.push((name.to_owned(), size));
                    continue;
                }
            }
            let content = frame::decompress(bytes)?;
            for member in entry::members(&content)? {
                members.push((member.name.to_owned(), member.content.len()));
            }
            contents.push(content);
        }
        for member in entry::members(&last)? {
            members.push((member.name.to_owned(), member.content.len()));
        }
        members.pop();
        check_listed(&what, &ledger.members, &members)?;
        contents.push(last);
        let mut part = SlicePart {
            ledger,
            info: self.info.clone(),
            wanted,
            runs: Vec::new(),
            contents,
        };
        part.runs = part.order()?;
        Ok(part)
    }

    /// Whether a member belongs to a wanted stream, or to none.
    fn is_wanted(&self, name: &str, wanted: Streams) -> bool {
        let folder = slice_member(self.info.number, "");
        let Some(file) = name.strip_prefix(&folder) else {
            return true;
        };
        let stream = match file.split_once('.') {
            Some(("packets", _)) => return wanted.0 & RAW != 0,
            Some((name, _)) => Stream::from_name(name),
            None => None,
        };
        stream.is_none_or(|stream| wanted.has(stream))
    }
}

impl SlicePart {
    /// What the index says of it.
    #[must_use]
    pub fn info(&self) -> &SliceInfo {
        &self.info
    }

    /// The order of its events.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The content of a member, by its name in the slice's folder; `None` where there is none or it was not wanted.
    ///
    /// # Errors
    /// None that [`SliceBytes::open`] has not had before.
    pub fn member(&self, file: &str) -> Result<Option<&[u8]>, ReadError> {
        let name = slice_member(self.info.number, file);
        for content in &self.contents {
            let found = entry::members(content)?
                .into_iter()
                .find(|member| member.name == name);
            if let Some(member) = found {
                return Ok(Some(member.content));
            }
        }
        Ok(None)
    }

    /// Calls that had not returned when it was sealed.
    ///
    /// # Errors
    /// [`ReadError`] when the member is not there or is none.
    pub fn open_calls(&self) -> Result<Vec<OpenCall>, ReadError> {
        let name = slice_member(self.info.number, layout::OPEN);
        let bytes = self
            .member(layout::OPEN)?
            .ok_or_else(|| ReadError::damaged(&name, "missing"))?;
        cbor::decode_as(&name, bytes)
    }

    /// Gives the memory of the members back, once everything that is wanted has been decoded: no member is there any more.
    pub fn let_go(&mut self) {
        self.contents = Vec::new();
    }

    /// The events of a wanted stream, in their order.
    ///
    /// # Errors
    /// [`ReadError`] when they are not what the format and the ledger say.
    pub fn stored(&self, stream: Stream) -> Result<Vec<Stored>, ReadError> {
        let mut members = Vec::new();
        for content in &self.contents {
            members.extend(entry::members(content)?);
        }
        let stored = stream::decode(stream, &slice_member(self.info.number, ""), &members)?;
        self.check_count(stream, stored.len())?;
        Ok(stored)
    }

    /// The times of the events of a wanted stream, in their order.
    ///
    /// # Errors
    /// [`ReadError`] when they are not what the format and the ledger say.
    pub fn times(&self, stream: Stream) -> Result<Vec<u64>, ReadError> {
        let Some(segment) = self.segment(stream)? else {
            return Ok(Vec::new());
        };
        if stream == Stream::Syscall {
            return Ok(self.calls(&segment)?.times().to_vec());
        }
        let times = segment.table("events")?.integers("time")?;
        self.check_count(stream, times.len())?;
        Ok(times)
    }

    /// Whether a stream was asked for.
    #[must_use]
    pub fn has(&self, stream: Stream) -> bool {
        self.wanted.has(stream)
    }

    /// The segment of a wanted stream, for [`SlicePart::calls`].
    ///
    /// # Errors
    /// [`ReadError`] when it is none.
    pub fn segment(&self, stream: Stream) -> Result<Option<Segment>, ReadError> {
        let file = stream::segment_name(stream);
        let name = slice_member(self.info.number, &file);
        match self.member(&file)? {
            Some(bytes) => Segment::decode(&name, bytes).map(Some),
            None => self.check_count(stream, 0).map(|()| None),
        }
    }

    /// The calls of a segment as columns.
    ///
    /// # Errors
    /// [`ReadError`] when they are not what the format and the ledger say.
    pub fn calls<'s>(&self, segment: &'s Segment) -> Result<SyscallColumns<'s>, ReadError> {
        let name = slice_member(self.info.number, &stream::segment_name(Stream::Syscall));
        let calls = SyscallColumns::new(&name, segment)?;
        self.check_count(Stream::Syscall, calls.rows())?;
        Ok(calls)
    }

    fn count(&self, stream: Stream) -> u64 {
        self.ledger.counts.get(stream.name()).copied().unwrap_or(0)
    }

    fn check_count(&self, stream: Stream, count: usize) -> Result<(), ReadError> {
        if self.wanted.has(stream) && self.count(stream) != count as u64 {
            let problem = format!("it holds {count} events, its ledger counts others");
            let name = slice_member(self.info.number, &stream::segment_name(stream));
            return Err(ReadError::damaged(name, problem));
        }
        Ok(())
    }

    /// Reads the order, and checks that it takes as many events of each stream as the ledger counts.
    fn order(&self) -> Result<Vec<Run>, ReadError> {
        let name = slice_member(self.info.number, layout::ORDER);
        let bytes = self
            .member(layout::ORDER)?
            .ok_or_else(|| ReadError::damaged(&name, "missing"))?;
        let runs = order::decode(&name, bytes)?;
        let mut sums = [0u64; Stream::ALL.len()];
        for run in &runs {
            if let Some(sum) = sums.get_mut(usize::from(run.stream as u8)) {
                *sum = sum.saturating_add(run.count);
            }
        }
        let mut total = 0u64;
        for (stream, sum) in Stream::ALL.into_iter().zip(sums) {
            total = total.saturating_add(sum);
            if sum != self.count(stream) {
                let problem = format!(
                    "it takes {sum} {} events, its ledger counts others",
                    stream.name()
                );
                return Err(ReadError::damaged(name, problem));
            }
        }
        if total != self.info.events {
            return Err(ReadError::damaged(
                name,
                "its ledger's counts do not add up to its events",
            ));
        }
        Ok(runs)
    }
}
