//! A part of a bundle as a bundle of its own: slices copied as they are, and what is needed to read them.

use crate::BootTime;
use crate::digest::Sha256;
use crate::entry::{self, Member};
use crate::error::CopyError;
use crate::frame;
use crate::header::{End, Header, NotCaptured, Tool};
use crate::layout;
use crate::ledger::{Ledger, SliceInfo};
use crate::origin::{CUT, Gap, Origin, Step};
use crate::reader::{Bundle, LOOKBACK, ledger_of};
use crate::verify::order;
use crate::writer::Writer;
use std::io::{Read, Seek, Write};
use std::ops::RangeInclusive;

/// Zstd's level for the few frames that are made anew.
const LEVEL: i32 = 3;

/// What is cut out.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Places in [`Bundle::slices`].
    pub slices: RangeInclusive<usize>,
    /// The state before the first event of the first of them, encoded; needed when that slice has no checkpoint.
    pub state: Option<Vec<u8>>,
    /// What does the cutting.
    pub tool: Tool,
}

/// Writes a part of a bundle as a bundle. Gives the output back.
///
/// # Errors
/// [`CopyError`] when a slice can't be read (salvage the bundle first), there is no such slice, or the output fails.
pub fn cut<R: Read + Seek, W: Write>(bundle: &mut Bundle<R>, cut: &Cut, out: W) -> Result<W, CopyError> {
    let kept: Vec<SliceInfo> = bundle
        .slices()
        .get(cut.slices.clone())
        .unwrap_or_default()
        .to_vec();
    let (Some(first), Some(last)) = (kept.first().cloned(), kept.last().cloned()) else {
        return Err(CopyError::Refused("no slice lies in that range".to_owned()));
    };
    if let Some(hole) = [&first, &last].into_iter().find(|slice| slice.missing > 0) {
        let problem = format!(
            "slice {} is not in the bundle, and nothing can begin or end with it",
            hole.number
        );
        return Err(CopyError::Refused(problem));
    }
    let is_last = bundle.slices().len().checked_sub(1) == Some(*cut.slices.end());
    let header = header(bundle, &first, &last)?;
    let origin = origin(bundle, &first, &last, &cut.tool)?;
    let mut header = header;
    if !origin.gaps.is_empty()
        && !header
            .format
            .requires
            .iter()
            .any(|feature| feature == layout::GAPS)
    {
        header.format.requires.push(layout::GAPS.to_owned());
    }
    let is_first = first.number == 1;
    let mut writer = Writer::begin_from(out, &header, Some(&origin), LEVEL)?;
    copy_outer(bundle, &mut writer, |name| {
        name.starts_with("start/")
            && !matches!(name, layout::START_LEDGER | layout::START_STATE)
            && (is_first || !name.starts_with(LOOKBACK))
    })?;
    if let Some(state) = cut.state.clone().filter(|_| !first.checkpoint) {
        writer.add(Member::new(layout::START_STATE, state)?)?;
    }
    writer.close_start(header.started)?;
    for info in kept.iter().filter(|info| info.missing == 0) {
        copy_slice(bundle, info, &mut writer)?;
    }
    let mut end = bundle.end().cloned().unwrap_or_default();
    end.not_captured.extend(left_out(is_first, is_last));
    end.redacted
        .retain(|redaction| is_last || !redaction.member.starts_with("end/"));
    if !is_last || bundle.end().is_none() {
        end = End {
            reason: CUT.to_owned(),
            stopped: last.to,
            ..end
        };
    }
    if is_last {
        copy_outer(bundle, &mut writer, |name| {
            name.starts_with("end/") && name != layout::END_LEDGER
        })?;
    }
    Ok(writer.finish(Vec::new(), end)?)
}

fn left_out(is_first: bool, is_last: bool) -> Vec<NotCaptured> {
    let left = |what: &str| NotCaptured {
        what: what.to_owned(),
        reason: "left out when this bundle was cut out of another".to_owned(),
    };
    let start = (!is_first).then(|| left(LOOKBACK));
    let end = (!is_last).then(|| left("end/"));
    start.into_iter().chain(end).collect()
}

/// The header of the recording under an id of its own, with every clock anchor that moments of the part may need.
fn header<R: Read + Seek>(
    bundle: &Bundle<R>,
    first: &SliceInfo,
    last: &SliceInfo,
) -> Result<Header, CopyError> {
    let mut header = bundle.header().clone();
    let mut name = format!("{} {CUT} {} {}", header.id, first.number, last.number).into_bytes();
    name.extend_from_slice(&bundle.file_len().to_le_bytes());
    header.id = id(&name);
    let known = header.anchors.clone();
    let earlier = bundle
        .anchors()
        .as_slice()
        .iter()
        .filter(|anchor| anchor.boottime < first.from && !known.contains(anchor));
    header.anchors.extend(earlier);
    Ok(header)
}

/// A UUID that is told by what the bundle is made of (version 8 of RFC 9562): the same part has the same one.
pub(crate) fn id(name: &[u8]) -> String {
    let Sha256(hash) = Sha256::of(name);
    let mut text = String::with_capacity(36);
    for (at, byte) in hash.into_iter().take(16).enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn origin<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    first: &SliceInfo,
    last: &SliceInfo,
    tool: &Tool,
) -> Result<Origin, CopyError> {
    let mut origin = bundle.origin().cloned().unwrap_or_default();
    origin.steps.push(Step {
        kind: CUT.to_owned(),
        parent: bundle.header().id.clone(),
        bytes: bundle.file_len(),
        tool: tool.clone(),
        ..Step::default()
    });
    origin
        .gaps
        .retain(|gap| gap.slice > first.number && gap.slice < last.number);
    let chain = ledger(bundle, first)?.previous;
    if first.number == 1 {
        origin.chain = chain;
    } else {
        origin.chain = Sha256::default();
        let before = Gap {
            slice: 1,
            slices: first.number - 1,
            first: 1,
            events: first.first.saturating_sub(1),
            from: bundle.header().started.min(first.from),
            to: first.from,
            cause: CUT.to_owned(),
            counts: Default::default(),
            chain,
        };
        origin.gaps.insert(0, before);
    }
    Ok(origin)
}

fn ledger<R: Read + Seek>(bundle: &mut Bundle<R>, info: &SliceInfo) -> Result<Ledger, CopyError> {
    let place = bundle.frames_of(info).last();
    let place = place.ok_or_else(|| CopyError::Refused(format!("slice {} has no frame", info.number)))?;
    Ok(ledger_of(&bundle.frame_content(place)?)?)
}

/// Copies members outside slices, one frame in memory at a time.
fn copy_outer<R: Read + Seek, W: Write>(
    bundle: &mut Bundle<R>,
    writer: &mut Writer<W>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), CopyError> {
    for place in bundle.outer_frames() {
        let content = bundle.frame_content(place)?;
        for member in entry::members(&content)? {
            if is_wanted(member.name) {
                writer.add(Member::new(member.name, member.content.to_vec())?)?;
            }
        }
    }
    Ok(())
}

/// Copies a slice frame by frame, after it was read and found sound.
fn copy_slice<R: Read + Seek, W: Write>(
    bundle: &mut Bundle<R>,
    info: &SliceInfo,
    writer: &mut Writer<W>,
) -> Result<(), CopyError> {
    let frames: Vec<_> = bundle.frames_of(info).collect();
    let mut bytes = Vec::with_capacity(frames.len());
    let mut contents = Vec::with_capacity(frames.len());
    let mut size = 0usize;
    for place in &frames {
        let len = usize::try_from(place.len).unwrap_or(usize::MAX);
        let frame = bundle.bytes(place.offset, len)?;
        let content = frame::decompress(&frame)?;
        size = size.saturating_add(content.len());
        crate::error::ReadError::check("content of a slice", size, layout::SLICE_CONTENT_MAX)?;
        bytes.push(frame);
        contents.push(content);
    }
    let members: Result<Vec<_>, _> = contents.iter().map(|content| entry::members(content)).collect();
    sound(info, &members?.concat())?;
    for (frame, content) in bytes.iter().zip(&contents) {
        writer.copy_frame(frame, content)?;
    }
    Ok(())
}

/// Whether a slice is what its ledger says, hashes included. Gives the ledger.
pub(crate) fn sound(
    info: &SliceInfo,
    members: &[entry::Entry<'_>],
) -> Result<Ledger, crate::error::ReadError> {
    let slice = crate::reader::Slice::decode(info, members)?;
    for (record, member) in slice.ledger.members.iter().zip(members) {
        if record.sha256 != Sha256::of(member.content) {
            let problem = "its hash is not the one in its ledger";
            return Err(crate::error::ReadError::damaged(member.name, problem));
        }
    }
    order(&slice)?;
    Ok(slice.ledger)
}

/// The moment that a bundle begins with when its header is lost.
pub(crate) fn beginning(slices: &[SliceInfo]) -> BootTime {
    slices.first().map_or(BootTime(0), |slice| slice.from)
}
