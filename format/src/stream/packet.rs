//! Segment `packet.cbor` (tables `events`, `sections`) and raw members `packets.<n>.pcapng`, one for each network
//! namespace that was seen in the slice, each a pcapng section that starts by itself.

use super::dictionary::{Dictionary, strings};
use super::{Part, draft_events, lookup, pieces, wide};
use crate::BootTime;
use crate::column::Layout;
use crate::error::{ReadError, WriteError};
use crate::event::{Body, Draft, Packet, Stream};
use crate::pcapng::{self, Interface, PcapngError, SectionHeader};
use crate::table::{Segment, SegmentBuilder, Table};

/// The most network namespaces of a slice.
const SECTIONS_MAX: usize = 4096;

fn file(section: usize) -> String {
    format!("packets.{section}.pcapng")
}

/// The section of one namespace while it is made: heads and packets apart, as interfaces turn up.
struct SectionBuilder {
    interfaces: Dictionary<Interface>,
    packets: Vec<u8>,
}

pub(super) fn encode(drafts: &[&Draft], floor: BootTime) -> Result<Vec<Part>, WriteError> {
    let name = super::segment_name(Stream::Packet);
    let refused = |error: PcapngError| WriteError::Encode {
        what: "packets".to_owned(),
        problem: error.to_string(),
    };
    let mut namespaces: Dictionary<u64> = Dictionary::new();
    let mut sections: Vec<SectionBuilder> = Vec::new();
    let (mut section, mut lengths) = (Vec::new(), Vec::new());
    for draft in drafts {
        let Body::Packet(packet) = &draft.body else {
            continue;
        };
        let number = namespaces.index(&packet.netns);
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if at == sections.len() {
            sections.push(SectionBuilder {
                interfaces: Dictionary::new(),
                packets: Vec::new(),
            });
        }
        let Some(builder) = sections.get_mut(at) else {
            continue;
        };
        let interface = builder.interfaces.index(&interface_of(packet));
        let interface = u32::try_from(interface).unwrap_or(u32::MAX);
        let len = pcapng::enhanced_packet(&mut builder.packets, interface, packet).map_err(refused)?;
        section.push(number);
        lengths.push(wide(len));
    }
    let mut parts = Vec::with_capacity(sections.len() + 1);
    let mut heads = Vec::with_capacity(sections.len());
    for (number, builder) in sections.iter().enumerate() {
        let mut raw = Vec::with_capacity(builder.packets.len() + 256);
        let header = SectionHeader {
            hardware: "",
            os: "Linux",
            application: "stillframe capture",
        };
        pcapng::section_header(&mut raw, &header).map_err(refused)?;
        for interface in builder.interfaces.rows() {
            pcapng::interface(&mut raw, interface).map_err(refused)?;
        }
        heads.push(wide(raw.len()));
        raw.extend_from_slice(&builder.packets);
        parts.push((file(number), raw));
    }
    let events = draft_events(drafts, floor)
        .integers("section", &section, Layout::Fixed)
        .integers("len", &lengths, Layout::Varint);
    let names: Vec<String> = (0..sections.len()).map(file).collect();
    let sections = strings(&names).integers("head", &heads, Layout::Varint);
    let segment = SegmentBuilder::default()
        .table("events", events)
        .table("sections", sections);
    parts.insert(0, (name.clone(), segment.encode(&name)?));
    Ok(parts)
}

fn interface_of(packet: &Packet) -> Interface {
    Interface {
        name: packet.interface.clone(),
        netns: packet.netns,
        linktype: packet.linktype,
        snaplen: 0,
    }
}

pub(super) fn decode<'a>(
    what: &str,
    segment: &Segment,
    events: &Table,
    raw: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Vec<Body>, ReadError> {
    let table = segment.table("sections")?;
    ReadError::check(what, table.rows(), SECTIONS_MAX)?;
    let heads = table.integers("head")?;
    let section = events.integers("section")?;
    let lengths = events.integers("len")?;
    let refused = |error: PcapngError| ReadError::damaged(what, error.to_string());
    let mut own: Vec<Vec<u64>> = vec![Vec::new(); table.rows()];
    for (&number, &len) in section.iter().zip(&lengths) {
        let lengths = usize::try_from(number).ok().and_then(|at| own.get_mut(at));
        lengths
            .ok_or_else(|| ReadError::damaged(what, format!("section {number} is missing")))?
            .push(len);
    }
    let mut sections = Vec::with_capacity(table.rows());
    for (number, (head, own)) in heads.into_iter().zip(&own).enumerate() {
        let name = file(number);
        let content =
            raw(&name).ok_or_else(|| ReadError::damaged(what, format!("its member {name} is missing")))?;
        let head = usize::try_from(head).unwrap_or(usize::MAX);
        let packets = pieces(what, content, head, own)?;
        let head = content.get(..head).unwrap_or_default();
        sections.push((
            pcapng::read_head(head).map_err(refused)?,
            std::cell::RefCell::new(packets.into_iter()),
        ));
    }
    section
        .iter()
        .map(|&number| {
            let (section, packets) = lookup(what, &sections, number)?;
            let block = packets.borrow_mut().next().unwrap_or_default();
            Ok(Body::Packet(
                pcapng::read_packet(section, block).map_err(refused)?,
            ))
        })
        .collect()
}
