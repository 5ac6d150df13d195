//! Zstd frames: made one at a time, found one after another, decompressed within bounds (`docs/format.md`, "Frames").

use crate::error::{ReadError, WriteError};
use crate::layout::{FRAME_MAX, WINDOW_LOG_MAX};
use std::io::Read;
use zstd::zstd_safe;

/// The magic number of a data frame, as it stands in the file (RFC 8878, 3.1.1).
pub const DATA_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The magic number of the skippable frame that holds the seek table (zstd's seekable format 0.1.0).
pub const SEEK_TABLE_MAGIC: [u8; 4] = [0x5e, 0x2a, 0x4d, 0x18];

/// Compresses `content` into one frame with its size in the header and a checksum at its end.
#[derive(Debug)]
pub struct Compressor {
    level: i32,
}

impl Compressor {
    /// A compressor of a zstd level.
    #[must_use]
    pub fn new(level: i32) -> Self {
        Self { level }
    }

    /// One frame.
    ///
    /// # Errors
    /// [`WriteError`] when the content is too large or zstd fails.
    pub fn frame(&self, content: &[u8]) -> Result<Vec<u8>, WriteError> {
        if content.len() > FRAME_MAX {
            return Err(WriteError::Limit {
                what: "frame".to_owned(),
                size: content.len(),
                limit: FRAME_MAX,
            });
        }
        let mut compressor = zstd::bulk::Compressor::new(self.level)?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        compressor.window_log(WINDOW_LOG_MAX.min(21))?;
        Ok(compressor.compress(content)?)
    }
}

/// What stands at a place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Members.
    Data,
    /// The seek table.
    SeekTable,
}

/// Tells which kind of frame begins with these bytes.
#[must_use]
pub fn kind(start: &[u8]) -> Option<FrameKind> {
    let magic = start.get(..4)?;
    if magic == DATA_MAGIC {
        Some(FrameKind::Data)
    } else if magic == SEEK_TABLE_MAGIC {
        Some(FrameKind::SeekTable)
    } else {
        None
    }
}

/// How far a data frame reaches, found out from its headers alone: feed it the bytes it asks for.
///
/// The walk needs the frame header and the three bytes before each block (RFC 8878, 3.1.1.1 and 3.1.1.2), so that a
/// reader can hop over a frame of megabytes with a few small reads.
#[derive(Debug)]
pub struct FrameWalk {
    /// Offset inside the frame of the next block header.
    next: u64,
    checksum: bool,
}

/// The most bytes that a frame header takes.
pub const FRAME_HEADER_MAX: usize = 18;

impl FrameWalk {
    /// Begins with the first bytes of the frame ([`FRAME_HEADER_MAX`] of them, or all there are).
    ///
    /// # Errors
    /// [`ReadError`] when they are no data frame that the format allows, or are cut.
    pub fn begin(start: &[u8]) -> Result<Self, ReadError> {
        let cut = || ReadError::Cut {
            what: "zstd frame header".to_owned(),
        };
        let bad = |problem: &str| ReadError::damaged("zstd frame header", problem);
        if start.len() < 4 && DATA_MAGIC.starts_with(start) {
            return Err(cut());
        }
        if kind(start) != Some(FrameKind::Data) {
            return Err(bad("not a data frame"));
        }
        let descriptor = *start.get(4).ok_or_else(cut)?;
        if descriptor & 0b1000 != 0 {
            return Err(bad("a reserved bit is set"));
        }
        if descriptor & 0b11 != 0 {
            return Err(bad("it names a dictionary"));
        }
        let single = descriptor & 0b10_0000 != 0;
        let checksum = descriptor & 0b100 != 0;
        let mut header = 5usize;
        if !single {
            let window = *start.get(header).ok_or_else(cut)?;
            // RFC 8878, 3.1.1.1.2: an exponent, and eighths on top of it.
            let base = 1u64 << (10 + (window >> 3));
            check_window(base + base / 8 * u64::from(window & 0b111))?;
            header += 1;
        }
        let width = match (descriptor >> 6, single) {
            (0, false) => 0,
            (0, true) => 1,
            (1, _) => 2,
            (2, _) => 4,
            _ => 8,
        };
        let field = start.get(header..header + width).ok_or_else(cut)?;
        let mut size = field
            .iter()
            .rev()
            .fold(0u64, |all, &byte| all << 8 | u64::from(byte));
        if width == 2 {
            size = size.saturating_add(256);
        }
        if size > FRAME_MAX as u64 {
            return Err(ReadError::Limit {
                what: "frame".to_owned(),
                size,
                limit: FRAME_MAX as u64,
            });
        }
        if single {
            check_window(size)?;
        }
        Ok(Self {
            next: (header + width) as u64,
            checksum,
        })
    }

    /// Where in the frame the next three bytes are wanted from.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.next
    }

    /// Takes a block header. Gives the frame's whole length once the last block is known.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the block is of no known type or the frame is over its limit.
    pub fn block(&mut self, header: [u8; 3]) -> Result<Option<u64>, ReadError> {
        let [low, middle, high] = header;
        let word = u64::from(low) | u64::from(middle) << 8 | u64::from(high) << 16;
        let size = match word >> 1 & 0b11 {
            0 | 2 => word >> 3,
            1 => 1,
            _ => return Err(ReadError::damaged("zstd block", "of a reserved type")),
        };
        self.next += 3 + size;
        // Incompressible content grows by a header for each block of 128 KiB, no more.
        let limit = (FRAME_MAX + FRAME_MAX / 1024 + 1024) as u64;
        if self.next > limit {
            return Err(ReadError::Limit {
                what: "compressed frame".to_owned(),
                size: self.next,
                limit,
            });
        }
        if word & 1 == 0 {
            return Ok(None);
        }
        Ok(Some(self.next + if self.checksum { 4 } else { 0 }))
    }
}

fn check_window(size: u64) -> Result<(), ReadError> {
    let limit = 1 << WINDOW_LOG_MAX;
    if size <= limit {
        return Ok(());
    }
    Err(ReadError::Limit {
        what: "window of a frame".to_owned(),
        size,
        limit,
    })
}

/// Decompresses exactly one frame, all of `frame`, into at most [`FRAME_MAX`] bytes.
///
/// # Errors
/// [`ReadError`] when the frame is damaged, larger than allowed, or followed by anything.
pub fn decompress(frame: &[u8]) -> Result<Vec<u8>, ReadError> {
    if let Some(content) = decompress_at_once(frame) {
        return Ok(content);
    }
    decompress_up_to(frame, FRAME_MAX, true)
}

/// The way without a window in between, for frames that say how long their content is, as all of ours do. `None`: go
/// the other way, which also tells what is wrong.
fn decompress_at_once(frame: &[u8]) -> Option<Vec<u8>> {
    let claimed = zstd_safe::get_frame_content_size(frame).ok().flatten()?;
    let claimed = usize::try_from(claimed)
        .ok()
        .filter(|claimed| *claimed <= FRAME_MAX)?;
    // With the single-segment flag the window is the content.
    if frame.get(4)? & 0b10_0000 != 0 && claimed > 1 << WINDOW_LOG_MAX {
        return None;
    }
    // What would not be an honest frame of ours is given no memory before its content is seen.
    if claimed > frame.len().saturating_mul(256).max(1 << 20) {
        return None;
    }
    // The header's own limits, and that nothing follows the frame.
    FrameWalk::begin(frame.get(..FRAME_HEADER_MAX.min(frame.len()))?).ok()?;
    if zstd_safe::find_frame_compressed_size(frame).ok()? != frame.len() {
        return None;
    }
    let mut out = Vec::with_capacity(claimed);
    let found = zstd_safe::DCtx::try_create()?.decompress(&mut out, frame).ok()?;
    (found == claimed && out.len() == claimed).then_some(out)
}

/// Decompresses the first `wanted` bytes of a frame's content (or all of it).
///
/// # Errors
/// As [`decompress`].
pub fn peek(frame: &[u8], wanted: usize) -> Result<Vec<u8>, ReadError> {
    decompress_up_to(frame, wanted.min(FRAME_MAX), false)
}

fn decompress_up_to(frame: &[u8], limit: usize, whole: bool) -> Result<Vec<u8>, ReadError> {
    // zstd takes headers that the walk refuses: one way to open a bundle must not read what the other does not.
    FrameWalk::begin(frame.get(..FRAME_HEADER_MAX).unwrap_or(frame))?;
    let damaged = |error: std::io::Error| ReadError::damaged("zstd frame", error.to_string());
    let mut decoder = zstd::Decoder::with_buffer(frame).map_err(damaged)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    // The size that the frame claims sizes the first allocation, but never beyond what its bytes could make sensible.
    let claimed = zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten()
        .unwrap_or(0);
    let claimed = usize::try_from(claimed).unwrap_or(usize::MAX).min(limit);
    let mut out = Vec::with_capacity(claimed.min(frame.len().saturating_mul(16)));
    let allowed = u64::try_from(limit)
        .unwrap_or(u64::MAX)
        .saturating_add(u64::from(whole));
    Read::by_ref(&mut decoder)
        .take(allowed)
        .read_to_end(&mut out)
        .map_err(damaged)?;
    if whole {
        ReadError::check("frame content", out.len(), limit)?;
        let rest = decoder.finish();
        if !rest.is_empty() {
            return Err(ReadError::damaged(
                "zstd frame",
                format!("{} bytes follow it", rest.len()),
            ));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<u64, ReadError> {
        let mut walk = FrameWalk::begin(&bytes[..bytes.len().min(FRAME_HEADER_MAX)])?;
        loop {
            let at = walk.wanted() as usize;
            let header = bytes.get(at..at + 3).ok_or(ReadError::Cut { what: "t".into() })?;
            if let Some(end) = walk.block([header[0], header[1], header[2]])? {
                return Ok(end);
            }
        }
    }

    #[test]
    fn the_walk_finds_the_length_that_zstd_made() {
        let noise: Vec<u8> = (0..400_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for content in [&b""[..], b"x", &[0; 300], &[0; 5_000_000], &noise] {
            for level in [1, 3, 19] {
                let frame = Compressor::new(level).frame(content).unwrap();
                assert_eq!(walk(&frame).unwrap(), frame.len() as u64);
                assert_eq!(decompress(&frame).unwrap(), content);
                assert_eq!(peek(&frame, 10).unwrap(), &content[..content.len().min(10)]);
                let mut longer = frame.clone();
                longer.push(0);
                assert!(decompress(&longer).is_err());
                assert!(decompress(&frame[..frame.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_gives_other_content() {
        let content: Vec<u8> = (0..2_000u32).map(|n| (n / 7) as u8).collect();
        let frame = Compressor::new(3).frame(&content).unwrap();
        for at in 0..frame.len() {
            let mut bent = frame.clone();
            bent[at] ^= 0x10;
            if let Ok(back) = decompress(&bent) {
                assert_eq!(back, content, "byte {at}");
            }
        }
    }

    /// Found by the fuzz target `frame`.
    #[test]
    fn a_dictionary_of_the_number_zero_is_one_too() {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x11, 0, 0, 0xcb, 0x11, 0, 0];
        assert!(walk(&frame).is_err() && decompress(&frame).is_err() && peek(&frame, 10).is_err());
    }

    #[test]
    fn both_ways_to_decompress_agree() {
        let noise: Vec<u8> = (0..300_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for content in [&b""[..], b"x", &[0; 9_000_000], &noise] {
            let frame = Compressor::new(1).frame(content).unwrap();
            let mut bent = vec![
                frame.clone(),
                frame[..frame.len() - 1].to_vec(),
                [&frame[..], &frame[..]].concat(),
            ];
            for at in (0..frame.len().min(40)).chain(frame.len().saturating_sub(12)..frame.len()) {
                let mut flipped = frame.clone();
                flipped[at] ^= 0x21;
                bent.push(flipped);
            }
            for frame in bent {
                if let Some(at_once) = decompress_at_once(&frame) {
                    assert!(at_once == decompress_up_to(&frame, FRAME_MAX, true).unwrap());
                }
            }
            assert!(decompress_at_once(&frame).is_some() || content.len() > 1 << 20);
        }
        // A window as large as the content, of one segment.
        let mut large = zstd::bulk::Compressor::new(1).unwrap();
        let large = large.compress(&vec![7; (1 << 23) + 1]).unwrap();
        assert_eq!(decompress_at_once(&large), None);
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut bomb = zstd::bulk::Compressor::new(1).unwrap();
        let bomb = bomb.compress(&vec![0; FRAME_MAX + 1]).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(matches!(decompress(&bomb), Err(ReadError::Limit { .. })));
        assert!(walk(&bomb).is_err());
    }
}
