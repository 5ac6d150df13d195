//! Writing a bundle: append only, one frame after another, so that a file and a pipe get the same bytes.

use crate::digest::Sha256;
use crate::entry::{self, END_OF_ARCHIVE, Member};
use crate::error::{ReadError, WriteError};
use crate::frame::Compressor;
use crate::header::{End, Header, Manifest, MemberRecord};
use crate::layout::{self, FRAME_MAX, slice_member};
use crate::ledger::{Index, Ledger, SliceInfo};
use crate::origin::Origin;
use crate::seek_table::{self, FramePlace};
use crate::slice::SealedSlice;
use crate::time::Anchors;
use crate::{BootTime, cbor};
use std::collections::BTreeMap;
use std::io::Write;

/// What `readme.txt` says.
const README: &str = "\
This is a Stillframe bundle: what a container host was doing for a bounded time, in one file.

Open it with `replay info FILE` and `replay events FILE`, or unpack it with `tar --zstd -xf FILE`:
header.json says what was captured and how, start/ and end/ hold what was found before and after,
slice/ holds the events, end.json says how it ended. If end.json is missing, the bundle was cut off.
The format is described in docs/format.md of the program that header.json names.
";

/// Frames of about this content are made of small members that come together.
const GROUP: usize = 1 << 20;

/// A bundle that is being written to `W`.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    compressor: Compressor,
    offset: u64,
    frames: Vec<FramePlace>,
    manifest: Vec<MemberRecord>,
    index: Index,
    chain: Sha256,
    next_event: u64,
    next_slice: u32,
    /// Members outside slices that wait for their frame, how long they are, and all that no ledger covers yet.
    group: Vec<Member>,
    group_size: usize,
    uncovered: Vec<MemberRecord>,
    /// Where the slice begins that is being copied.
    copying: Option<u64>,
    counts: BTreeMap<String, u64>,
    lost: BTreeMap<String, u64>,
}

impl<W: Write> Writer<W> {
    /// Begins a bundle: writes the header's frame and flushes it. `level` is zstd's.
    ///
    /// # Errors
    /// [`WriteError`] when the output fails.
    pub fn begin(out: W, header: &Header, level: i32) -> Result<Self, WriteError> {
        Self::begin_from(out, header, None, level)
    }

    /// Begins a bundle that is made out of another. Its slices are copied: see [`Writer::copy_frame`].
    ///
    /// # Errors
    /// As [`Writer::begin`].
    pub fn begin_from(
        out: W,
        header: &Header,
        origin: Option<&Origin>,
        level: i32,
    ) -> Result<Self, WriteError> {
        let mut writer = Self {
            out,
            compressor: Compressor::new(level),
            offset: 0,
            frames: Vec::new(),
            manifest: Vec::new(),
            index: Index {
                slices: Vec::new(),
                anchors: header.anchors.clone(),
            },
            chain: Sha256::default(),
            next_event: 1,
            next_slice: 1,
            group: Vec::new(),
            group_size: 0,
            uncovered: Vec::new(),
            copying: None,
            counts: BTreeMap::new(),
            lost: BTreeMap::new(),
        };
        let header = json(layout::HEADER, header)?;
        let mut members = vec![
            Member::new(layout::HEADER, header)?,
            Member::new(layout::README, README.as_bytes().to_vec())?,
        ];
        if let Some(origin) = origin {
            members.push(Member::new(layout::ORIGIN, json(layout::ORIGIN, origin)?)?);
        }
        writer.frame(&members, false)?;
        writer.uncovered.clone_from(&writer.manifest);
        writer.out.flush()?;
        Ok(writer)
    }

    /// Writes the members of the start (`start/…`) and the ledger that covers them and the header.
    ///
    /// # Errors
    /// [`WriteError`] when a name stands twice, something is too large, or the output fails.
    pub fn start(&mut self, members: Vec<Member>, at: BootTime) -> Result<(), WriteError> {
        for member in members {
            self.add(member)?;
        }
        self.close_start(at)
    }

    /// Adds a member outside slices, for the start or the end. [`Writer::start`] does that for many at once.
    ///
    /// # Errors
    /// [`WriteError`] when it is too large, or the output fails.
    pub fn add(&mut self, member: Member) -> Result<(), WriteError> {
        let record = MemberRecord::of(member.name.as_str(), &member.content);
        self.uncovered.push(record);
        self.push(member)
    }

    /// Writes the ledger that covers the header and the members of the start.
    ///
    /// # Errors
    /// As [`Writer::start`].
    pub fn close_start(&mut self, at: BootTime) -> Result<(), WriteError> {
        self.close(layout::START_LEDGER, 0, at, 1)
    }

    /// Writes a frame of a slice of another bundle as it is. `content` is what `frame` holds. The slice's last frame
    /// is known by its ledger, and flushed.
    ///
    /// The caller has checked the slice, and that it follows the one before it, gaps counted.
    ///
    /// # Errors
    /// [`WriteError`] when the content is not of members, or the output fails.
    pub fn copy_frame(&mut self, frame: &[u8], content: &[u8]) -> Result<(), WriteError> {
        let refused = |error: ReadError| WriteError::Encode {
            what: "copied frame".to_owned(),
            problem: error.to_string(),
        };
        let offset = *self.copying.get_or_insert(self.offset);
        let members = entry::members(content).map_err(refused)?;
        let records = members
            .iter()
            .map(|member| MemberRecord::of(member.name, member.content));
        self.manifest.extend(records);
        self.frame_as_is(frame, content.len())?;
        let Some(last) = members
            .last()
            .filter(|member| member.name.ends_with("/ledger.cbor"))
        else {
            return Ok(());
        };
        let ledger: Ledger = cbor::decode_as(last.name, last.content).map_err(refused)?;
        self.copying = None;
        self.out.flush()?;
        self.note_slice(&ledger, Sha256::of(last.content), offset);
        Ok(())
    }

    /// Writes a sealed slice and flushes it. Gives the number of its first event.
    ///
    /// # Errors
    /// [`WriteError`] when the output fails. The slice is forgotten then: a caller who cuts the output at
    /// [`Writer::written`] bytes may go on, or end the bundle.
    pub fn slice(&mut self, sealed: SealedSlice) -> Result<u64, WriteError> {
        let SealedSlice {
            alone,
            mut together,
            mut ledger,
        } = sealed;
        let first = self.next_event;
        ledger.first = first;
        ledger.previous = self.chain;
        let bytes = cbor::encode(layout::LEDGER, &ledger)?;
        let member = Member::new(slice_member(ledger.slice, layout::LEDGER), bytes)?;
        let record = MemberRecord::of(member.name.as_str(), &member.content);
        let chain = record.sha256;
        together.push(member);

        let offset = self.offset;
        let (frames, members) = (self.frames.len(), self.manifest.len());
        // The ledger has them in the order in which they are written: nothing is hashed twice.
        self.manifest.extend(ledger.members.iter().cloned());
        self.manifest.push(record);
        let written = self.slice_frames(alone, &together);
        if let Err(error) = written {
            // What got out of it is no part of the bundle: whoever can, cuts the output at `written()` and ends it.
            self.offset = offset;
            self.frames.truncate(frames);
            self.manifest.truncate(members);
            return Err(error);
        }
        self.note_slice(&ledger, chain, offset);
        Ok(first)
    }

    /// Notes what the index and the end record say of a slice that begins at `offset` and ends here.
    fn note_slice(&mut self, ledger: &Ledger, chain: Sha256, offset: u64) {
        self.chain = chain;
        self.next_event = ledger.first.saturating_add(ledger.events);
        self.next_slice = ledger.slice.saturating_add(1);
        for (sums, parts) in [(&mut self.counts, &ledger.counts), (&mut self.lost, &ledger.lost)] {
            for (stream, count) in parts {
                let sum = sums.entry(stream.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        self.index.anchors.extend_from_slice(&ledger.anchors);
        self.index
            .slices
            .push(SliceInfo::new(ledger, offset, self.offset - offset));
    }

    fn slice_frames(&mut self, alone: Vec<Member>, together: &[Member]) -> Result<(), WriteError> {
        for member in alone {
            self.compressed(&[member], false)?;
        }
        self.compressed(together, false)?;
        self.out.flush()?;
        Ok(())
    }

    /// The number that the next slice must have.
    #[must_use]
    pub fn next_slice(&self) -> u32 {
        self.next_slice
    }

    /// The number that the next event will have.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.next_event
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.offset
    }

    /// The output, to sync it.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// The output, of a bundle that is not ended.
    pub fn into_output(self) -> W {
        self.out
    }

    /// Ends the bundle: the members of the end (`end/…`), the end record (its totals are filled in here), index,
    /// manifest and seek table. Gives the output back.
    ///
    /// # Errors
    /// [`WriteError`] when the output fails.
    pub fn finish(mut self, members: Vec<Member>, mut end: End) -> Result<W, WriteError> {
        let slices = &self.index.slices;
        end.slices = u32::try_from(slices.len()).unwrap_or(u32::MAX);
        end.events = slices
            .iter()
            .fold(0, |sum, slice| sum.saturating_add(slice.events));
        end.counts = self.counts.clone();
        end.lost = self.lost.clone();
        end.cost.bundle_bytes = self.offset;
        for member in members {
            self.add(member)?;
        }
        self.add(Member::new(layout::END, json(layout::END, &end)?)?)?;
        self.close(layout::END_LEDGER, self.next_slice, end.stopped, self.next_event)?;

        self.index.anchors = Anchors::new(std::mem::take(&mut self.index.anchors))
            .as_slice()
            .to_vec();
        let index = Member::new(layout::INDEX, cbor::encode(layout::INDEX, &self.index)?)?;
        self.frame(&[index], false)?;
        let manifest = Manifest {
            members: std::mem::take(&mut self.manifest),
        };
        let manifest = Member::new(layout::MANIFEST, json(layout::MANIFEST, &manifest)?)?;
        self.frame(&[manifest], true)?;
        let table = seek_table::encode(&self.frames)?;
        self.out.write_all(&table)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Members outside slices: groups of small ones share frames.
    fn push(&mut self, member: Member) -> Result<(), WriteError> {
        let size = member.stored_len();
        if self.group_size + size > GROUP {
            self.flush_group()?;
        }
        self.group_size += size;
        self.group.push(member);
        Ok(())
    }

    fn flush_group(&mut self) -> Result<(), WriteError> {
        self.group_size = 0;
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        self.frame(&group, false)
    }

    /// Writes the ledger that covers the members since the one before.
    fn close(&mut self, name: &str, slice: u32, at: BootTime, first: u64) -> Result<(), WriteError> {
        let ledger = Ledger {
            slice,
            first,
            from: at,
            to: at,
            members: std::mem::take(&mut self.uncovered),
            previous: self.chain,
            ..Ledger::default()
        };
        let bytes = cbor::encode(name, &ledger)?;
        self.chain = Sha256::of(&bytes);
        self.push(Member::new(name, bytes)?)?;
        self.flush_group()?;
        self.out.flush()?;
        Ok(())
    }

    /// A frame whose members the manifest is to list.
    fn frame(&mut self, members: &[Member], last: bool) -> Result<(), WriteError> {
        let records = members
            .iter()
            .map(|member| MemberRecord::of(member.name.as_str(), &member.content));
        self.manifest.extend(records);
        self.compressed(members, last)
    }

    fn compressed(&mut self, members: &[Member], last: bool) -> Result<(), WriteError> {
        let size = members.iter().map(Member::stored_len).sum::<usize>();
        if size > FRAME_MAX {
            return Err(WriteError::Limit {
                what: "frame".to_owned(),
                size,
                limit: FRAME_MAX,
            });
        }
        let mut content = Vec::with_capacity(size + END_OF_ARCHIVE.len());
        for member in members {
            member.append_to(&mut content)?;
        }
        if last {
            content.extend_from_slice(&END_OF_ARCHIVE);
        }
        let frame = self.compressor.frame(&content)?;
        self.frame_as_is(&frame, content.len())
    }

    fn frame_as_is(&mut self, frame: &[u8], content: usize) -> Result<(), WriteError> {
        self.out.write_all(frame)?;
        let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let content = u64::try_from(content).unwrap_or(u64::MAX);
        self.frames.push(FramePlace {
            offset: self.offset,
            len,
            content,
        });
        self.offset += len;
        Ok(())
    }
}

fn json<T: serde::Serialize>(what: &str, value: &T) -> Result<Vec<u8>, WriteError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| WriteError::Encode {
        what: what.to_owned(),
        problem: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
