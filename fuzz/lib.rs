//! What targets and their seeds share: the forms in which bytes become members, frames and bundles.
//!
//! A fuzzer does not find its way through checksums, so frames and tar headers are made around what it gives: only what
//! is behind them is its own.

use stillframe_format::entry::{Entry, Member};
use stillframe_format::event::Stream;
use stillframe_format::frame::Compressor;
use stillframe_format::seek_table::{self, FramePlace};
use stillframe_format::stream::{self, segment_name};

/// A piece of the input: a 32-bit length, little endian, and so many bytes or all there are.
pub fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?.min(after.len());
    let (piece, after) = after.split_at(len);
    *rest = after;
    Some(piece)
}

/// Appends a piece.
pub fn push_piece(out: &mut Vec<u8>, piece: &[u8]) {
    out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(piece);
}

/// A stream of a slice: the stream's rank, its segment, then names and contents of raw members.
pub fn stream(input: &[u8]) -> Option<(Stream, Vec<(String, Vec<u8>)>)> {
    let (rank, mut rest) = input.split_first()?;
    let stream = Stream::from_rank(*rank)?;
    let mut members = vec![(
        format!("slice/000001/{}", segment_name(stream)),
        piece(&mut rest)?.to_vec(),
    )];
    while let (Some(name), Some(content)) = (piece(&mut rest), piece(&mut rest)) {
        members.push((
            format!("slice/000001/{}", String::from_utf8_lossy(name)),
            content.to_vec(),
        ));
    }
    Some((stream, members))
}

/// Decodes what [`stream`] gave.
pub fn decode(of: Stream, members: &[(String, Vec<u8>)]) -> Option<Vec<stream::Stored>> {
    let entries: Vec<Entry<'_>> = members
        .iter()
        .map(|(name, content)| Entry { name, content })
        .collect();
    stream::decode(of, "slice/000001/", &entries).ok()
}

/// A bundle out of names and contents of members; an empty name ends a frame. `None` when a name is not allowed.
pub fn bundle(mut input: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut content) = (Vec::new(), Vec::new());
    let mut places: Vec<FramePlace> = Vec::new();
    let mut frame = |content: &mut Vec<u8>| {
        let bytes = Compressor::new(1).frame(content).ok()?;
        places.push(FramePlace {
            offset: out.len() as u64,
            len: bytes.len() as u64,
            content: content.len() as u64,
        });
        out.extend_from_slice(&bytes);
        content.clear();
        Some(())
    };
    while let Some(name) = piece(&mut input) {
        if name.is_empty() {
            frame(&mut content)?;
            continue;
        }
        let bytes = piece(&mut input).unwrap_or_default().to_vec();
        let member = Member::new(String::from_utf8_lossy(name), bytes).ok()?;
        member.append_to(&mut content).ok()?;
    }
    if !content.is_empty() {
        content.extend_from_slice(&stillframe_format::entry::END_OF_ARCHIVE);
        frame(&mut content)?;
    }
    let table = seek_table::encode(&places).ok()?;
    out.extend_from_slice(&table);
    Some(out)
}
