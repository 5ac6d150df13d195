//! Writing a bundle: append only, one frame after another, so that a file and a pipe get the same bytes.

use crate::digest::Sha256;
use crate::entry::{END_OF_ARCHIVE, Member};
use crate::error::WriteError;
use crate::frame::Compressor;
use crate::header::{End, Header, Manifest, MemberRecord};
use crate::layout::{self, FRAME_MAX, slice_member};
use crate::ledger::{Index, Ledger, SliceInfo};
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
    counts: BTreeMap<String, u64>,
    lost: BTreeMap<String, u64>,
}

impl<W: Write> Writer<W> {
    /// Begins a bundle: writes the header's frame and flushes it. `level` is zstd's.
    ///
    /// # Errors
    /// [`WriteError`] when the output fails.
    pub fn begin(out: W, header: &Header, level: i32) -> Result<Self, WriteError> {
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
            counts: BTreeMap::new(),
            lost: BTreeMap::new(),
        };
        let header = json(layout::HEADER, header)?;
        let members = [
            Member::new(layout::HEADER, header)?,
            Member::new(layout::README, README.as_bytes().to_vec())?,
        ];
        writer.frame(&members, false)?;
        writer.out.flush()?;
        Ok(writer)
    }

    /// Writes the members of the start (`start/…`) and the ledger that covers them and the header.
    ///
    /// # Errors
    /// [`WriteError`] when a name stands twice, something is too large, or the output fails.
    pub fn start(&mut self, members: Vec<Member>, at: BootTime) -> Result<(), WriteError> {
        self.unchained(members, layout::START_LEDGER, 0, at, 0)
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
        let chain = Sha256::of(&bytes);
        together.push(Member::new(slice_member(ledger.slice, layout::LEDGER), bytes)?);

        let offset = self.offset;
        let (frames, members) = (self.frames.len(), self.manifest.len());
        let written = self.slice_frames(alone, &together);
        if let Err(error) = written {
            // What got out of it is no part of the bundle: whoever can, cuts the output at `written()` and ends it.
            self.offset = offset;
            self.frames.truncate(frames);
            self.manifest.truncate(members);
            return Err(error);
        }
        self.chain = chain;
        self.next_event = first.saturating_add(ledger.events);
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
            .push(SliceInfo::new(&ledger, offset, self.offset - offset));
        Ok(first)
    }

    fn slice_frames(&mut self, alone: Vec<Member>, together: &[Member]) -> Result<(), WriteError> {
        for member in alone {
            self.frame(&[member], false)?;
        }
        self.frame(together, false)?;
        self.out.flush()?;
        Ok(())
    }

    /// The number that the next slice must have.
    #[must_use]
    pub fn next_slice(&self) -> u32 {
        self.next_slice
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
    pub fn finish(mut self, mut members: Vec<Member>, mut end: End) -> Result<W, WriteError> {
        end.slices = self.next_slice - 1;
        end.events = self.next_event - 1;
        end.counts = self.counts.clone();
        end.lost = self.lost.clone();
        end.cost.bundle_bytes = self.offset;
        members.push(Member::new(layout::END, json(layout::END, &end)?)?);
        let slice = self.next_slice;
        self.unchained(members, layout::END_LEDGER, slice, end.stopped, self.next_event)?;

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

    /// Members outside slices: groups of small ones share frames, and a ledger that covers all closes them.
    fn unchained(
        &mut self,
        members: Vec<Member>,
        name: &str,
        slice: u32,
        at: BootTime,
        first: u64,
    ) -> Result<(), WriteError> {
        let covered = if slice == 0 {
            self.manifest.clone()
        } else {
            Vec::new()
        };
        let records = members
            .iter()
            .map(|member| MemberRecord::of(member.name.as_str(), &member.content));
        let ledger = Ledger {
            slice,
            first: if slice == 0 { 1 } else { first },
            from: at,
            to: at,
            members: covered.into_iter().chain(records).collect(),
            previous: self.chain,
            ..Ledger::default()
        };
        let bytes = cbor::encode(name, &ledger)?;
        self.chain = Sha256::of(&bytes);
        let mut group: Vec<Member> = Vec::new();
        let mut size = 0;
        for member in members.into_iter().chain([Member::new(name, bytes)?]) {
            size += member.stored_len();
            if size > GROUP && !group.is_empty() {
                self.frame(&group, false)?;
                group.clear();
                size = member.stored_len();
            }
            group.push(member);
        }
        self.frame(&group, false)?;
        self.out.flush()?;
        Ok(())
    }

    fn frame(&mut self, members: &[Member], last: bool) -> Result<(), WriteError> {
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
            self.manifest
                .push(MemberRecord::of(member.name.as_str(), &member.content));
        }
        if last {
            content.extend_from_slice(&END_OF_ARCHIVE);
        }
        let frame = self.compressor.frame(&content)?;
        self.out.write_all(&frame)?;
        let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let content = u64::try_from(content.len()).unwrap_or(u64::MAX);
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
