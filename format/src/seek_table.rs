//! The seek table: zstd's seekable format 0.1.0, in a skippable frame at the end of the file.
//!
//! It is a hint. A table that does not add up to the file is as good as none.

use crate::error::{ReadError, WriteError};
use crate::frame::SEEK_TABLE_MAGIC;
use crate::layout::FRAMES_MAX;

/// The magic number at the very end of the file.
const FOOTER_MAGIC: [u8; 4] = [0xb1, 0xea, 0x92, 0x8f];
/// Number of frames, descriptor, magic.
pub const FOOTER_LEN: usize = 9;
/// Magic and length of the skippable frame.
const HEAD_LEN: usize = 8;
const ENTRY_LEN: usize = 8;

/// A frame's place: where it starts and how long it is, in bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Offset of the first byte.
    pub offset: u64,
    /// Compressed length.
    pub len: u64,
    /// Length of the content.
    pub content: u64,
}

/// Encodes the table of frames that follow each other from the file's start.
///
/// # Errors
/// [`WriteError::Limit`] when there are more frames, or longer ones, than the table can tell.
pub fn encode(frames: &[FramePlace]) -> Result<Vec<u8>, WriteError> {
    let limit = || WriteError::Limit {
        what: "seek table".to_owned(),
        size: frames.len(),
        limit: FRAMES_MAX,
    };
    if frames.len() > FRAMES_MAX {
        return Err(limit());
    }
    let body = frames.len() * ENTRY_LEN + FOOTER_LEN;
    let mut out = Vec::with_capacity(HEAD_LEN + body);
    out.extend_from_slice(&SEEK_TABLE_MAGIC);
    out.extend_from_slice(&u32::try_from(body).map_err(|_| limit())?.to_le_bytes());
    for frame in frames {
        out.extend_from_slice(&u32::try_from(frame.len).map_err(|_| limit())?.to_le_bytes());
        out.extend_from_slice(&u32::try_from(frame.content).map_err(|_| limit())?.to_le_bytes());
    }
    out.extend_from_slice(&u32::try_from(frames.len()).map_err(|_| limit())?.to_le_bytes());
    out.push(0);
    out.extend_from_slice(&FOOTER_MAGIC);
    Ok(out)
}

/// How long the whole skippable frame is, told from the last [`FOOTER_LEN`] bytes of the file.
///
/// # Errors
/// [`ReadError::Damaged`] when the file does not end with a seek table that we write.
pub fn frame_len(footer: &[u8], file_len: u64) -> Result<usize, ReadError> {
    let bad = |problem: &str| ReadError::damaged("seek table", problem);
    let (count, rest) = footer.split_first_chunk::<4>().ok_or_else(|| bad("missing"))?;
    if rest != [&[0u8], &FOOTER_MAGIC[..]].concat() {
        return Err(bad("missing"));
    }
    let count = u32::from_le_bytes(*count) as usize;
    let len = HEAD_LEN + count.saturating_mul(ENTRY_LEN) + FOOTER_LEN;
    if count > FRAMES_MAX || len as u64 > file_len {
        return Err(bad("longer than the file"));
    }
    Ok(len)
}

/// Decodes the whole skippable frame, which ends the file of `file_len` bytes.
///
/// # Errors
/// [`ReadError::Damaged`] when its frames don't fill the file exactly.
pub fn decode(frame: &[u8], file_len: u64) -> Result<Vec<FramePlace>, ReadError> {
    let bad = |problem: &str| ReadError::damaged("seek table", problem);
    let footer = frame
        .len()
        .checked_sub(FOOTER_LEN)
        .and_then(|at| frame.get(at..))
        .ok_or_else(|| bad("cut"))?;
    let len = frame_len(footer, file_len)?;
    let head = frame.get(..HEAD_LEN).ok_or_else(|| bad("cut"))?;
    let body = u32::try_from(len.saturating_sub(HEAD_LEN)).map_err(|_| bad("too long"))?;
    if len != frame.len() || head != [SEEK_TABLE_MAGIC, body.to_le_bytes()].concat() {
        return Err(bad("its frame header does not fit its count"));
    }
    let entries = frame.get(HEAD_LEN..len - FOOTER_LEN).unwrap_or_default();
    let mut frames = Vec::with_capacity(entries.len() / ENTRY_LEN);
    let mut offset = 0u64;
    for entry in entries.chunks_exact(ENTRY_LEN) {
        let word = |bytes: Option<&[u8]>| {
            bytes
                .and_then(|bytes| bytes.first_chunk::<4>())
                .map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
        };
        let place = FramePlace {
            offset,
            len: word(entry.get(..4)),
            content: word(entry.get(4..)),
        };
        offset += place.len;
        frames.push(place);
    }
    if offset.checked_add(len as u64) != Some(file_len) {
        return Err(bad("its frames do not add up to the file"));
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back_only_for_the_file_it_describes() {
        let frames = [
            FramePlace {
                offset: 0,
                len: 100,
                content: 1000,
            },
            FramePlace {
                offset: 100,
                len: 50,
                content: 20,
            },
        ];
        let table = encode(&frames).unwrap();
        let file = 150 + table.len() as u64;
        assert_eq!(decode(&table, file).unwrap(), frames);
        assert!(decode(&table, file + 1).is_err());
        assert!(decode(&table[1..], file).is_err());
        for at in 0..table.len() {
            let mut bent = table.clone();
            bent[at] ^= 0x40;
            // Content lengths are only checked when their frame is read.
            let content = (8..24).contains(&at) && (at - 8) % 8 >= 4;
            assert_eq!(decode(&bent, file).is_ok(), content, "byte {at}");
        }
    }
}
