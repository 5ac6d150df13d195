//! The packets as one pcapng section with nanosecond stamps, for Wireshark, tshark and others.
//!
//! An interface is described where its first packet comes, so that the export needs one pass; what capture lost is
//! counted in statistics blocks at the end.

use super::Exported;
use crate::timeline::{Item, Range, Timeline};
use crate::view::Context;
use std::collections::HashMap;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use stillframe_format::event::{Body, Loss, Packet, Stream};
use stillframe_format::pcapng::{self, Interface, PcapngError, SectionHeader, Statistics};

/// The interfaces so far, by namespace, name and link type.
type Interfaces = HashMap<(u64, Arc<str>, u16), u32>;

/// Writes all packets.
///
/// # Errors
/// When the output fails, or a packet can't be written as pcapng.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    let mut interfaces = Interfaces::new();
    let mut dropped: HashMap<u32, u64> = HashMap::new();
    let mut buffer = Vec::new();
    let header = timeline.bundle().header();
    let application = format!(
        "replay, of what {} {} captured",
        header.tool.name, header.tool.version
    );
    pcapng::section_header(
        &mut buffer,
        &SectionHeader {
            hardware: "",
            os: "",
            application: application.get(..pcapng::MAX_TEXT).unwrap_or(&application),
        },
    )
    .map_err(invalid)?;
    timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) => match &event.body {
                Body::Packet(packet) => {
                    push(&mut buffer, &mut interfaces, packet).map_err(invalid)?;
                    exported.items += 1;
                }
                Body::Loss(loss) if loss.stream == Stream::Packet => count(loss, &interfaces, &mut dropped),
                _ => {}
            },
            Item::Damage(damage) => exported.damages.push(damage.clone()),
        }
        if buffer.len() >= 1 << 16 {
            out.write_all(&buffer)?;
            buffer.clear();
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    let mut dropped: Vec<(u32, u64)> = dropped.into_iter().collect();
    dropped.sort_unstable();
    for (interface, count) in dropped {
        let statistics = Statistics {
            from: context.realtime(context.start).unwrap_or(0),
            to: context.realtime(context.end).unwrap_or(0),
            received: None,
            dropped: Some(count),
        };
        pcapng::interface_statistics(&mut buffer, interface, &statistics).map_err(invalid)?;
    }
    out.write_all(&buffer)?;
    Ok(exported)
}

fn push(buffer: &mut Vec<u8>, interfaces: &mut Interfaces, packet: &Packet) -> Result<(), PcapngError> {
    let next = u32::try_from(interfaces.len()).unwrap_or(u32::MAX);
    let key = (packet.netns, Arc::clone(&packet.interface), packet.linktype);
    let number = match interfaces.get(&key) {
        Some(number) => *number,
        None => {
            let interface = Interface {
                name: Arc::clone(&packet.interface),
                netns: packet.netns,
                linktype: packet.linktype,
                snaplen: 0,
            };
            pcapng::interface(buffer, &interface)?;
            interfaces.insert(key, next);
            next
        }
    };
    pcapng::enhanced_packet(buffer, number, packet)?;
    Ok(())
}

/// Notes a loss at the first interface of the namespace that its scope names (`netns NUMBER …`: a ring serves all
/// interfaces of one), else at the first one: pcapng has no place for drops that belong to none.
fn count(loss: &Loss, interfaces: &Interfaces, dropped: &mut HashMap<u32, u64>) {
    let concerned = interfaces
        .iter()
        .filter(|((netns, _, _), _)| {
            let rest = loss.scope.strip_prefix(&format!("netns {netns}"));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
        .map(|(_, number)| *number)
        .min()
        .or((!interfaces.is_empty()).then_some(0));
    if let Some(number) = concerned {
        let sum = dropped.entry(number).or_default();
        *sum = sum.saturating_add(loss.count);
    }
}

fn invalid(error: PcapngError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
