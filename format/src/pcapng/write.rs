//! Events to blocks.

use super::{
    BLOCK_OVERHEAD, BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
    Interface, MAX_BLOCK, MAX_TEXT, NANOSECONDS, NETNS_PREFIX, PACKET_FIXED, PcapngError, SECTION_HEADER,
    SectionHeader, option,
};
use crate::event::{Direction, Packet};

/// Counters of an interface, for [`interface_statistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When counting began: nanoseconds of `CLOCK_REALTIME` since 1970.
    pub from: i64,
    /// When the counters were read, the same way.
    pub to: i64,
    /// `isb_ifrecv`: packets that the kernel saw, the dropped ones included. `None` when not known.
    pub received: Option<u64>,
    /// `isb_ifdrop`: packets that were lost. `None` when not known.
    pub dropped: Option<u64>,
}

/// Appends a Section Header Block of unknown section length and returns its length in bytes.
///
/// # Errors
/// [`PcapngError::TextLength`]; then nothing was appended.
pub fn section_header(out: &mut Vec<u8>, header: &SectionHeader<'_>) -> Result<usize, PcapngError> {
    let texts = [
        (option::SHB_HARDWARE, header.hardware),
        (option::SHB_OS, header.os),
        (option::SHB_USERAPPL, header.application),
    ];
    let mut body = Vec::with_capacity(128);
    body.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
    body.extend_from_slice(&1u16.to_le_bytes());
    body.extend_from_slice(&0u16.to_le_bytes());
    // The length is not known when the header is written; and with "unknown" a section stays right when packets
    // are appended or cut off.
    body.extend_from_slice(&(-1i64).to_le_bytes());
    for (code, text) in texts {
        if !text.is_empty() {
            push_text(&mut body, code, text)?;
        }
    }
    push_end(&mut body);
    push_block(out, SECTION_HEADER, &body)
}

/// Appends an Interface Description Block and returns its length in bytes.
///
/// # Errors
/// [`PcapngError::TextLength`]; then nothing was appended.
pub fn interface(out: &mut Vec<u8>, interface: &Interface) -> Result<usize, PcapngError> {
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&interface.linktype.to_le_bytes());
    body.extend_from_slice(&0u16.to_le_bytes());
    body.extend_from_slice(&interface.snaplen.to_le_bytes());
    push_text(&mut body, option::IF_NAME, &interface.name)?;
    push_text(
        &mut body,
        option::IF_DESCRIPTION,
        &format!("{NETNS_PREFIX}{}", interface.netns),
    )?;
    push_option(&mut body, option::IF_TSRESOL, &[NANOSECONDS]);
    push_end(&mut body);
    push_block(out, INTERFACE_DESCRIPTION, &body)
}

/// Appends an Enhanced Packet Block and returns its length in bytes.
///
/// `interface` is the packet's place among the section's interfaces, which has to carry the packet's namespace,
/// name and link type. A stamp before 1970 (Linux refuses to set its clock so) is written as 1970.
///
/// # Errors
/// [`PcapngError::PacketLength`]; then nothing was appended.
pub fn enhanced_packet(out: &mut Vec<u8>, interface: u32, packet: &Packet) -> Result<usize, PcapngError> {
    const FLAGS_AND_END: usize = 12;
    let padded = packet.data.len().next_multiple_of(4);
    let total = padded.saturating_add(BLOCK_OVERHEAD + PACKET_FIXED + FLAGS_AND_END);
    let (Ok(captured), Ok(length), true) = (
        u32::try_from(packet.data.len()),
        u32::try_from(total),
        total <= MAX_BLOCK,
    ) else {
        return Err(PcapngError::PacketLength(packet.data.len()));
    };
    let flags: u32 = match packet.direction {
        Direction::In => 1,
        Direction::Out => 2,
    };
    out.reserve(total);
    out.extend_from_slice(&ENHANCED_PACKET.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&interface.to_le_bytes());
    push_stamp(out, packet.realtime);
    out.extend_from_slice(&captured.to_le_bytes());
    out.extend_from_slice(&packet.original_len.to_le_bytes());
    out.extend_from_slice(&packet.data);
    out.resize(out.len() + padded - packet.data.len(), 0);
    push_option(out, option::EPB_FLAGS, &flags.to_le_bytes());
    push_end(out);
    out.extend_from_slice(&length.to_le_bytes());
    Ok(total)
}

/// Appends an Interface Statistics Block and returns its length in bytes.
///
/// # Errors
/// None that this block can have; the type is that of its neighbours.
pub fn interface_statistics(
    out: &mut Vec<u8>,
    interface: u32,
    statistics: &Statistics,
) -> Result<usize, PcapngError> {
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&interface.to_le_bytes());
    push_stamp(&mut body, statistics.to);
    for (code, stamp) in [
        (option::ISB_STARTTIME, statistics.from),
        (option::ISB_ENDTIME, statistics.to),
    ] {
        let mut value = Vec::with_capacity(8);
        push_stamp(&mut value, stamp);
        push_option(&mut body, code, &value);
    }
    for (code, count) in [
        (option::ISB_IFRECV, statistics.received),
        (option::ISB_IFDROP, statistics.dropped),
    ] {
        if let Some(count) = count {
            push_option(&mut body, code, &count.to_le_bytes());
        }
    }
    push_end(&mut body);
    push_block(out, INTERFACE_STATISTICS, &body)
}

fn push_block(out: &mut Vec<u8>, kind: u32, body: &[u8]) -> Result<usize, PcapngError> {
    let total = body.len() + BLOCK_OVERHEAD;
    let length = u32::try_from(total).map_err(|_| PcapngError::PacketLength(body.len()))?;
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&length.to_le_bytes());
    Ok(total)
}

/// A stamp is two 32-bit numbers, the high one first, in either byte order.
fn push_stamp(out: &mut Vec<u8>, realtime: i64) {
    let stamp = u64::try_from(realtime).unwrap_or(0);
    let high = u32::try_from(stamp >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(stamp & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
}

fn push_text(body: &mut Vec<u8>, code: u16, text: &str) -> Result<(), PcapngError> {
    if text.len() > MAX_TEXT {
        return Err(PcapngError::TextLength {
            code,
            length: text.len(),
        });
    }
    push_option(body, code, text.as_bytes());
    Ok(())
}

/// `value` has at most [`MAX_TEXT`] bytes.
fn push_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len() + value.len().next_multiple_of(4) - value.len(), 0);
}

fn push_end(body: &mut Vec<u8>) {
    push_option(body, option::END, &[]);
}
