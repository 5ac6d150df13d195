//! Bounded reads of a seekable source, and frames found in it.

use crate::error::ReadError;
use crate::frame::{self, FRAME_HEADER_MAX, FrameWalk};
use crate::layout::FRAME_MAX;
use crate::seek_table::FramePlace;
use std::io::{Read, Seek, SeekFrom};

/// Enough of a frame to decompress its first bytes: zstd's largest block with room for headers.
const PEEK: usize = 160 << 10;

#[derive(Debug)]
pub(crate) struct Storage<R> {
    source: R,
    len: u64,
}

impl<R: Read + Seek> Storage<R> {
    pub(crate) fn new(mut source: R) -> Result<Self, ReadError> {
        let len = source.seek(SeekFrom::End(0))?;
        Ok(Self { source, len })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Exactly `len` bytes at `offset`.
    pub(crate) fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let bytes = self.read_up_to(offset, len)?;
        if bytes.len() == len {
            Ok(bytes)
        } else {
            Err(ReadError::Cut {
                what: "file".to_owned(),
            })
        }
    }

    /// At most `len` bytes at `offset`: fewer only at the end of the file.
    pub(crate) fn read_up_to(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        // A frame of the largest content that zstd could not compress is a little longer than its content.
        ReadError::check("read", len, FRAME_MAX + FRAME_MAX / 64)?;
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len.min(there));
        self.source.seek(SeekFrom::Start(offset))?;
        Read::by_ref(&mut self.source)
            .take(len as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The place of the data frame at `offset`, its content's length not known yet (0).
    pub(crate) fn measure(&mut self, offset: u64) -> Result<FramePlace, ReadError> {
        let start = self.read_up_to(offset, FRAME_HEADER_MAX)?;
        let mut walk = FrameWalk::begin(&start)?;
        loop {
            let bytes = self.read(offset.saturating_add(walk.wanted()), 3)?;
            let header = bytes.try_into().unwrap_or_default();
            if let Some(len) = walk.block(header)? {
                if offset.saturating_add(len) > self.len {
                    return Err(ReadError::Cut {
                        what: "frame".to_owned(),
                    });
                }
                return Ok(FramePlace {
                    offset,
                    len,
                    content: 0,
                });
            }
        }
    }

    /// A frame's content.
    pub(crate) fn content(&mut self, place: FramePlace) -> Result<Vec<u8>, ReadError> {
        let len = usize::try_from(place.len).unwrap_or(usize::MAX);
        let frame = self.read(place.offset, len)?;
        frame::decompress(&frame)
    }

    /// The first bytes of a frame's content.
    pub(crate) fn peek(&mut self, place: FramePlace, wanted: usize) -> Result<Vec<u8>, ReadError> {
        let len = usize::try_from(place.len).unwrap_or(usize::MAX).min(PEEK);
        let frame = self.read(place.offset, len)?;
        frame::peek(&frame, wanted)
    }
}
