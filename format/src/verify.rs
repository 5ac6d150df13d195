//! Checking all of a bundle: every frame, member, hash, count and order; hints against what they hint at.
//!
//! Without a key this shows damage. It can't prove that nobody rewrote the whole chain.

use crate::digest::Sha256;
use crate::entry::{self, Entry};
use crate::error::ReadError;
use crate::event::Stream;
use crate::header::{End, Manifest, MemberRecord};
use crate::ledger::{Index, Ledger, SliceInfo};
use crate::origin::{Gap, Next, met};
use crate::reader::{Bundle, Slice, check_next, read_end};
use crate::seek_table::{self, FramePlace};
use crate::time::{Anchor, Anchors};
use crate::{BootTime, cbor, layout};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

/// What kind of trouble a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The file ends early, or bytes in it are not what the format says.
    Damaged,
    /// The bytes are well formed, and contradict each other.
    Inconsistent,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of trouble.
    pub trouble: Trouble,
    /// First byte of the file that it concerns.
    pub offset: u64,
    /// How many bytes it concerns; to the end of the file where that is not known.
    pub len: u64,
    /// What is wrong.
    pub problem: String,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in the order of the file; empty for a bundle that is complete and sound.
    pub findings: Vec<Finding>,
    /// Slices that were read.
    pub slices: u32,
    /// Events in the slices that are sound.
    pub events: u64,
    /// Everything up to this slice and moment is sound.
    pub valid: Option<(u32, BootTime)>,
    /// The end record is there.
    pub ended: bool,
}

/// Checks a bundle.
///
/// `check_slice` is called for each sound slice, in order, so that the caller can fold states and compare
/// checkpoints; what it returns becomes a finding.
///
/// # Errors
/// [`ReadError`] when the source is no bundle at all, or its storage fails.
pub fn verify<R: Read + Seek>(
    source: R,
    mut check_slice: impl FnMut(&Slice) -> Option<String>,
) -> Result<Report, ReadError> {
    let mut bundle = Bundle::open_by_walk(source)?;
    let mut check = Check {
        anchors: bundle.header().anchors.clone(),
        gaps: bundle.gaps().to_vec(),
        recorded: bundle.origin().map(|origin| origin.chain),
        ..Check::default()
    };
    let mut places = bundle.frames().to_vec();
    let condition = bundle.condition().clone();
    for place in &mut places {
        match bundle.frame_content(*place) {
            Ok(content) => {
                place.content = content.len() as u64;
                check.frame(*place, &content, &mut check_slice);
            }
            Err(ReadError::Io(error)) => return Err(ReadError::Io(error)),
            Err(error) => check.find(Trouble::Damaged, *place, error.to_string()),
        }
    }
    let file_len = bundle.file_len();
    match condition {
        crate::reader::Condition::Complete => check.ends(&mut bundle, &places)?,
        crate::reader::Condition::Cut { offset, .. } => {
            let problem = "the file ends before its end record".to_owned();
            let len = file_len.saturating_sub(offset);
            check.report.findings.push(Finding {
                trouble: Trouble::Damaged,
                offset,
                len,
                problem,
            });
        }
        crate::reader::Condition::Damaged { offset, problem } => {
            let len = file_len.saturating_sub(offset);
            check.report.findings.push(Finding {
                trouble: Trouble::Damaged,
                offset,
                len,
                problem,
            });
        }
    }
    check.report.findings.sort_by_key(|finding| finding.offset);
    Ok(check.report)
}

/// What has been seen so far.
#[derive(Default)]
struct Check {
    report: Report,
    names: BTreeSet<String>,
    members: Vec<MemberRecord>,
    chain: Sha256,
    /// Members that no ledger has covered yet.
    open: Vec<MemberRecord>,
    /// The contents of those that belong to a slice.
    contents: Vec<Vec<u8>>,
    /// Length of them.
    size: usize,
    /// The first frame of them.
    open_from: Option<FramePlace>,
    slices: Vec<SliceInfo>,
    /// The ledger of the recording's start, in a bundle that has another one.
    recorded: Option<Sha256>,
    gaps: Vec<Gap>,
    anchors: Vec<Anchor>,
    end: Option<End>,
    index: Option<Index>,
    manifest: Option<Manifest>,
    counts: BTreeMap<String, u64>,
    lost: BTreeMap<String, u64>,
}

impl Check {
    fn find(&mut self, trouble: Trouble, place: FramePlace, problem: impl Into<String>) {
        let finding = Finding {
            trouble,
            offset: place.offset,
            len: place.len,
            problem: problem.into(),
        };
        self.report.findings.push(finding);
    }

    fn frame(
        &mut self,
        place: FramePlace,
        content: &[u8],
        check_slice: &mut dyn FnMut(&Slice) -> Option<String>,
    ) {
        let members = match entry::members(content) {
            Ok(members) => members,
            Err(error) => return self.find(Trouble::Damaged, place, error.to_string()),
        };
        for member in members {
            if !self.names.insert(member.name.to_owned()) {
                self.find(
                    Trouble::Inconsistent,
                    place,
                    format!("{}: stands twice", member.name),
                );
            }
            let record = MemberRecord::of(member.name, member.content);
            if let Err(error) = self.record(member, &record) {
                self.find(Trouble::Inconsistent, place, error.to_string());
            }
            if !matches!(member.name, layout::INDEX | layout::MANIFEST) {
                self.open_from.get_or_insert(place);
                self.open.push(record);
                // A slice that is larger than it may be is not kept, and so not decoded.
                self.size = self.size.saturating_add(member.content.len());
                let keeps = member.name.starts_with("slice/") && self.size <= layout::SLICE_CONTENT_MAX;
                self.contents.push(if keeps {
                    member.content.to_vec()
                } else {
                    Vec::new()
                });
            }
            if member.name.ends_with("/ledger.cbor") {
                let from = self.open_from.take().unwrap_or(place);
                let len = place.offset.saturating_add(place.len).saturating_sub(from.offset);
                let range = FramePlace {
                    offset: from.offset,
                    len,
                    content: 0,
                };
                let members = std::mem::take(&mut self.open);
                let contents = std::mem::take(&mut self.contents);
                let size = std::mem::take(&mut self.size);
                let is_slice = member.name.starts_with("slice/");
                let outcome = match ReadError::check("content of a slice", size, layout::SLICE_CONTENT_MAX) {
                    Err(error) if is_slice => Err(error),
                    _ => self.ledger(member, &members, &contents, range, check_slice),
                };
                match outcome {
                    Ok(Some(problem)) => self.find(Trouble::Inconsistent, range, problem),
                    Ok(None) => {}
                    Err(error) => self.find(Trouble::Inconsistent, range, error.to_string()),
                }
            }
        }
    }

    /// Notes a member, and reads it where it is one of the records at the end.
    fn record(&mut self, member: Entry<'_>, record: &MemberRecord) -> Result<(), ReadError> {
        let json = |error: serde_json::Error| ReadError::damaged(member.name, error.to_string());
        match member.name {
            layout::END => self.end = Some(read_end(member.content)?),
            layout::INDEX => self.index = Some(cbor::decode_as(member.name, member.content)?),
            layout::MANIFEST => {
                self.manifest = Some(serde_json::from_slice(member.content).map_err(json)?);
                return Ok(());
            }
            _ => {}
        }
        self.members.push(record.clone());
        Ok(())
    }

    /// Checks what a ledger covers. Gives what the caller found wrong with the slice.
    fn ledger(
        &mut self,
        member: Entry<'_>,
        members: &[MemberRecord],
        contents: &[Vec<u8>],
        range: FramePlace,
        check_slice: &mut dyn FnMut(&Slice) -> Option<String>,
    ) -> Result<Option<String>, ReadError> {
        let ledger: Ledger = cbor::decode_as(member.name, member.content)?;
        let bad = |problem: &str| ReadError::damaged(member.name, problem);
        let previous = std::mem::replace(&mut self.chain, Sha256::of(member.content));
        let covered = members
            .split_last()
            .map(|(_, covered)| covered)
            .unwrap_or_default();
        let same = |(listed, found): (&MemberRecord, &MemberRecord)| {
            listed.name == found.name && listed.size == found.size
        };
        if ledger.members.len() != covered.len() || !ledger.members.iter().zip(covered).all(same) {
            return Err(bad("the members before it are not those that it lists"));
        }
        for (listed, found) in ledger.members.iter().zip(covered) {
            if listed.sha256 != found.sha256 {
                let problem = "its hash is not the one in its ledger";
                return Err(ReadError::damaged(found.name.as_str(), problem));
            }
        }
        let is_slice = member.name.starts_with("slice/");
        let gaps = std::mem::take(&mut self.gaps);
        let next = Next::after(self.slices.last(), &gaps);
        // Behind a gap the chain goes on from a ledger that is not here.
        let previous = match next.gap.filter(|_| is_slice) {
            Some(gap) => gap.chain,
            None if is_slice && self.slices.is_empty() => self.recorded.unwrap_or(previous),
            None => previous,
        };
        let from = next.from;
        self.gaps = gaps;
        if ledger.previous != previous {
            return Err(bad("the chain is broken: it follows another ledger"));
        }
        self.anchors.extend_from_slice(&ledger.anchors);
        if !is_slice {
            return Ok(None);
        }
        let info = SliceInfo::new(&ledger, range.offset, range.len);
        check_next(self.slices.last(), &info, &self.gaps)?;
        let entries: Vec<Entry<'_>> = members
            .iter()
            .zip(contents)
            .map(|(record, content)| Entry {
                name: &record.name,
                content,
            })
            .collect();
        let slice = Slice::decode(&info, &entries)?;
        order(&slice)?;
        if from.is_some_and(|from| from != ledger.from) {
            let what = format!("slice {}", ledger.slice);
            return Err(ReadError::damaged(
                what,
                "its time does not follow what is before it",
            ));
        }
        for (sums, parts) in [(&mut self.counts, &ledger.counts), (&mut self.lost, &ledger.lost)] {
            for (stream, count) in parts {
                let sum = sums.entry(stream.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        if self.report.findings.is_empty() {
            self.report.valid = Some((info.number, info.to));
        }
        self.report.slices = self.report.slices.saturating_add(1);
        self.report.events = self.report.events.saturating_add(info.events);
        self.slices.push(info);
        Ok(check_slice(&slice))
    }

    /// Checks the records at the end and the hints against what was found.
    fn ends<R: Read + Seek>(
        &mut self,
        bundle: &mut Bundle<R>,
        places: &[FramePlace],
    ) -> Result<(), ReadError> {
        let len = bundle.file_len();
        let tail = places
            .last()
            .map_or(0, |place| place.offset.saturating_add(place.len));
        let place = FramePlace {
            offset: tail,
            len: len.saturating_sub(tail),
            content: 0,
        };
        self.report.ended = self.end.is_some();
        if !self.names.contains(layout::START_LEDGER) {
            self.find(Trouble::Damaged, place, "start/ledger.cbor: missing");
        }
        if !self.open.is_empty() || !self.names.contains(layout::END_LEDGER) {
            self.find(Trouble::Damaged, place, "end/ledger.cbor: missing");
        }
        if met(&self.slices, &self.gaps) != self.gaps.len() {
            self.find(Trouble::Inconsistent, place, "origin.json: a gap that is none");
        }
        if let Some(end) = self.end.clone() {
            let events = self
                .slices
                .iter()
                .fold(0u64, |sum, slice| sum.saturating_add(slice.events));
            let same = end.events == events
                && usize::try_from(end.slices).ok() == Some(self.slices.len())
                && end.counts == self.counts
                && end.lost == self.lost;
            if !same {
                self.find(
                    Trouble::Inconsistent,
                    place,
                    "end.json: it counts other events than there are",
                );
            }
        }
        let anchors = Anchors::new(self.anchors.clone());
        let index = Index {
            slices: self.slices.clone(),
            anchors: anchors.as_slice().to_vec(),
        };
        match &self.index {
            Some(found) if *found == index => {}
            Some(_) => self.find(
                Trouble::Inconsistent,
                place,
                "index.cbor: it does not fit the slices",
            ),
            None => self.find(Trouble::Damaged, place, "index.cbor: missing"),
        }
        match &self.manifest {
            Some(found) if found.members == self.members => {}
            Some(_) => self.find(
                Trouble::Inconsistent,
                place,
                "manifest.json: it does not fit the members",
            ),
            None => self.find(Trouble::Damaged, place, "manifest.json: missing"),
        }
        let expected = seek_table::encode(places).unwrap_or_default();
        if bundle.bytes(tail, expected.len().saturating_add(1))? != expected {
            self.find(
                Trouble::Damaged,
                place,
                "seek table: it is not the one that the frames give",
            );
        }
        Ok(())
    }
}

/// Whether the events of a slice stand in the order that the format wants, between its times, with the right late marks.
pub(crate) fn order(slice: &Slice) -> Result<(), ReadError> {
    let bad = |num: u64, problem: &str| ReadError::damaged(format!("event {num}"), problem);
    let ledger = &slice.ledger;
    let first = slice.events.first().map(|event| event.time);
    if ledger.earliest.is_some() && ledger.earliest != first {
        let what = format!("slice {}", ledger.slice);
        return Err(ReadError::damaged(
            what,
            "its first event is not as early as its ledger says",
        ));
    }
    let mut before: Option<(BootTime, Stream)> = None;
    for event in &slice.events {
        let at = (event.time, event.body.stream());
        if before.is_some_and(|before| at < before) {
            return Err(bad(event.num, "it stands after one that comes later"));
        }
        if event.time >= ledger.to {
            return Err(bad(event.num, "its time is after what its slice was sealed for"));
        }
        if event.late != (event.time < ledger.from) {
            return Err(bad(event.num, "its late mark does not fit its slice"));
        }
        before = Some(at);
    }
    if ledger.from > ledger.to {
        let what = format!("slice {}", ledger.slice);
        return Err(ReadError::damaged(what, "it ends before it begins"));
    }
    Ok(())
}
