//! What is whole in a damaged bundle, as a bundle that is sound (`docs/format.md`, "Origin").
//!
//! Two passes over the file. The first looks for frames wherever their magic number stands, and puts those of a slice
//! together; nothing that the file says about itself is needed for that. The second writes what was found whole.
//! Both hold one slice or one frame in memory, and a few hundred bytes for each slice.

mod scan;

use crate::BootTime;
use crate::cut::{beginning, id};
use crate::entry::{self, Member};
use crate::error::{CopyError, ReadError};
use crate::frame;
use crate::header::{End, Format, Header, Tool};
use crate::layout;
use crate::ledger::SliceInfo;
use crate::origin::{Gap, LostRange, Origin, SALVAGED, Step};
use crate::reader::storage::Storage;
use crate::seek_table::FramePlace;
use crate::time::{Anchor, Anchors};
use crate::writer::Writer;
use scan::{Found, Kept, scan};
use std::collections::BTreeSet;
use std::io::{Read, Seek, Write};

/// Zstd's level for the few frames that are made anew.
const LEVEL: i32 = 3;
/// The most members outside slices that are kept: their ledger has to hold them all.
const MEMBERS_MAX: usize = 1 << 16;

/// What became of a bundle that was salvaged.
#[derive(Clone, Debug, Default)]
pub struct Salvaged {
    /// Slices that were kept.
    pub slices: u32,
    /// Events in them.
    pub events: u64,
    /// What was done, as it stands in the new bundle.
    pub step: Step,
    /// Gaps that were not there before.
    pub gaps: Vec<Gap>,
    /// Clock anchors of the header, to tell times by.
    pub anchors: Anchors,
}

impl Salvaged {
    /// Whether everything was there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let step = &self.step;
        self.gaps.is_empty()
            && step.lost.is_empty()
            && step.lost_members.is_empty()
            && !step.header_lost
            && !step.end_lost
    }
}

/// Writes a bundle of everything that is whole in `source`. Gives the output back, and what is lost.
///
/// # Errors
/// [`CopyError`] when there is neither a header nor a slice, the bundle is of a newer version, or the output fails.
pub fn salvage<R: Read + Seek, W: Write>(source: R, tool: &Tool, out: W) -> Result<(W, Salvaged), CopyError> {
    let mut storage = Storage::new(source)?;
    let mut found = scan(&mut storage)?;
    if found.header.is_none() && found.slices.is_empty() {
        let problem = "neither a header nor a whole slice is in it".to_owned();
        return Err(ReadError::NotABundle(problem).into());
    }
    let header_lost = found.header.is_none();
    let header = found.header.take().unwrap_or_else(|| header_of(&found));
    let before = found.origin.take().unwrap_or_default();
    let (gaps, new) = gaps(&found, &before.gaps, header.started);
    let outer = outer(&mut storage, &mut found)?;
    let step = Step {
        kind: SALVAGED.to_owned(),
        parent: if header_lost {
            String::new()
        } else {
            header.id.clone()
        },
        bytes: storage.len(),
        tool: tool.clone(),
        header_lost,
        end_lost: found.end.is_none(),
        lost: std::mem::take(&mut found.lost),
        lost_members: lost_members(&found, &outer),
    };
    let mut origin = Origin {
        steps: before.steps,
        chain: match found.slices.first() {
            Some(kept) if kept.info.number == 1 => kept.previous,
            _ => Default::default(),
        },
        gaps,
    };
    origin.steps.push(step.clone());
    let header = marked(header, &origin, storage.len());

    let mut writer = Writer::begin_from(out, &header, Some(&origin), LEVEL)?;
    copy_outer(&mut storage, &mut writer, &outer.start)?;
    writer.close_start(header.started)?;
    for kept in &found.slices {
        for place in &kept.frames {
            let bytes = storage.read(place.offset, usize::try_from(place.len).unwrap_or(usize::MAX))?;
            writer.copy_frame(&bytes, &frame::decompress(&bytes)?)?;
        }
    }
    copy_outer(&mut storage, &mut writer, &outer.end)?;
    let last = found.slices.last();
    let end = found.end.take().unwrap_or_else(|| End {
        reason: SALVAGED.to_owned(),
        stopped: last.map_or(header.started, |kept| kept.info.to),
        ..End::default()
    });
    let out = writer.finish(Vec::new(), end)?;
    let salvaged = Salvaged {
        slices: u32::try_from(found.slices.len()).unwrap_or(u32::MAX),
        events: found
            .slices
            .iter()
            .fold(0, |sum, kept| sum.saturating_add(kept.info.events)),
        step,
        gaps: new,
        anchors: Anchors::new(header.anchors.clone()),
    };
    Ok((out, salvaged))
}

/// A header that says no more than the slices tell.
fn header_of(found: &Found) -> Header {
    let infos: Vec<SliceInfo> = found
        .slices
        .iter()
        .take(1)
        .map(|kept| kept.info.clone())
        .collect();
    let started = beginning(&infos);
    // Without any reading of the clocks, times are shown as if the host had booted in 1970.
    let anchor = found.anchor.unwrap_or(Anchor {
        boottime: BootTime(0),
        realtime: 0,
        monotonic: 0,
        error: u64::MAX,
    });
    Header {
        format: Format::default(),
        id: String::new(),
        tool: Tool::default(),
        case: Default::default(),
        started,
        anchors: vec![anchor],
        targets: Vec::new(),
        plan: serde_json::Value::Null,
        preflight: serde_json::Value::Null,
        host: serde_json::Value::Null,
    }
}

/// The header of the salvaged bundle: the same, under an id of its own.
fn marked(mut header: Header, origin: &Origin, len: u64) -> Header {
    header.format.requires.retain(|feature| feature != layout::GAPS);
    if !origin.gaps.is_empty() {
        header.format.requires.push(layout::GAPS.to_owned());
    }
    let lost: Vec<String> = origin
        .steps
        .iter()
        .flat_map(|step| &step.lost)
        .map(|range| format!("{}+{}", range.offset, range.len))
        .collect();
    header.id = id(format!("{} {SALVAGED} {len} {}", header.id, lost.join(" ")).as_bytes());
    header
}

/// The gaps of the new bundle, and those of them that are new.
fn gaps(found: &Found, before: &[Gap], started: BootTime) -> (Vec<Gap>, Vec<Gap>) {
    let (mut all, mut new) = (Vec::new(), Vec::new());
    let (mut slice, mut first, mut from) = (1u32, 1u64, started);
    let mut add = |gap: Gap| {
        // What an earlier cut or salvage left out is told as it was; a stretch that grew is a new one.
        match before
            .iter()
            .find(|old| old.slice == gap.slice && old.slices == gap.slices)
        {
            Some(old) => all.push(old.clone()),
            None => {
                // A beginning that was cut off on purpose is no loss: only what comes after it is.
                let cut = before
                    .first()
                    .filter(|old| old.slice == gap.slice && !old.is_hole() && old.slices < gap.slices);
                let mut gap = gap;
                if let Some(cut) = cut {
                    all.push(cut.clone());
                    gap.slice += cut.slices;
                    gap.slices -= cut.slices;
                    gap.first = gap.first.saturating_add(cut.events);
                    gap.events = gap.events.saturating_sub(cut.events);
                    gap.from = cut.to;
                }
                new.push(gap.clone());
                all.push(gap);
            }
        }
    };
    for Kept { info, previous, .. } in &found.slices {
        if info.number > slice {
            add(Gap {
                slice,
                slices: info.number - slice,
                first,
                events: info.first.saturating_sub(first),
                from: from.min(info.from),
                to: info.from,
                cause: SALVAGED.to_owned(),
                counts: found.counts(slice, info.number, info.first.saturating_sub(first)),
                chain: *previous,
            });
        }
        slice = info.number.saturating_add(1);
        first = info.first.saturating_add(info.events);
        from = info.to;
    }
    // What is missing at the end, a gap that was there before included.
    let mut behind = found
        .behind(slice, first, !before.is_empty())
        .unwrap_or((slice, first, from));
    for gap in before {
        if (gap.slice, gap.first) == (behind.0, behind.1) {
            let (next, after) = (
                gap.slice.saturating_add(gap.slices),
                gap.first.saturating_add(gap.events),
            );
            behind = (next, after, gap.to);
        }
    }
    let (next, after, to) = behind;
    if next > slice {
        add(Gap {
            slice,
            slices: next - slice,
            first,
            events: after.saturating_sub(first),
            from,
            to: to.max(from),
            cause: SALVAGED.to_owned(),
            counts: found.counts(slice, next, after.saturating_sub(first)),
            ..Gap::default()
        });
    }
    (all, new)
}

/// Frames outside slices, with the members of each that are wanted.
#[derive(Default)]
struct Outer {
    start: Vec<(FramePlace, Vec<String>)>,
    end: Vec<(FramePlace, Vec<String>)>,
    names: BTreeSet<String>,
}

/// Chooses the members outside slices that are copied. Each name counts once.
fn outer<R: Read + Seek>(storage: &mut Storage<R>, found: &mut Found) -> Result<Outer, ReadError> {
    let mut outer = Outer::default();
    for place in std::mem::take(&mut found.outer) {
        let content = storage.content(place)?;
        let (mut start, mut end) = (Vec::new(), Vec::new());
        for member in entry::members(&content)? {
            let name = member.name;
            let is_made = matches!(
                name,
                layout::HEADER
                    | layout::README
                    | layout::ORIGIN
                    | layout::START_LEDGER
                    | layout::END_LEDGER
                    | layout::END
                    | layout::INDEX
                    | layout::MANIFEST
            );
            if is_made {
                continue;
            }
            if outer.names.len() >= MEMBERS_MAX || !outer.names.insert(name.to_owned()) {
                found.lose(
                    place.offset,
                    place.len,
                    &format!("{name}: it stands twice, or too many stand there"),
                );
                continue;
            }
            let is_end = name.starts_with("end/");
            if is_end { &mut end } else { &mut start }.push(name.to_owned());
        }
        for (list, names) in [(&mut outer.start, start), (&mut outer.end, end)] {
            if !names.is_empty() {
                list.push((place, names));
            }
        }
    }
    Ok(outer)
}

fn copy_outer<R: Read + Seek, W: Write>(
    storage: &mut Storage<R>,
    writer: &mut Writer<W>,
    frames: &[(FramePlace, Vec<String>)],
) -> Result<(), CopyError> {
    for (place, names) in frames {
        let content = storage.content(*place)?;
        let mut names = names.iter().peekable();
        for member in entry::members(&content)? {
            if names.next_if(|name| *name == member.name).is_some() {
                writer.add(Member::new(member.name, member.content.to_vec())?)?;
            }
        }
    }
    Ok(())
}

/// Members outside slices that a ledger or the manifest lists and that are not there.
fn lost_members(found: &Found, outer: &Outer) -> Vec<String> {
    let listed = found.listed.iter().filter(|name| {
        (name.starts_with("start/") || name.starts_with("end/"))
            && !name.ends_with("/ledger.cbor")
            && !outer.names.contains(*name)
    });
    listed.cloned().collect()
}

/// Adds a range, or lengthens the last one when it goes on for the same reason.
fn note(lost: &mut Vec<LostRange>, offset: u64, len: u64, problem: &str) {
    if let Some(last) = lost.last_mut()
        && last.offset.saturating_add(last.len) == offset
        && last.problem == problem
    {
        last.len = last.len.saturating_add(len);
        return;
    }
    lost.push(LostRange {
        offset,
        len,
        problem: problem.to_owned(),
    });
}
