//! Blocks to events. Every length is compared with what is there before it is used.

use super::{
    BLOCK_OVERHEAD, BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, Interface, MAX_BLOCK,
    MAX_INTERFACES, MAX_TEXT, NANOSECONDS, NETNS_PREFIX, PACKET_FIXED, PcapngError, SECTION_HEADER, Section,
    option,
};
use crate::event::{Direction, Packet};
use std::sync::Arc;

/// One block, as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Where it starts, in bytes from the start of what is walked.
    pub offset: usize,
    /// Its type.
    pub kind: u32,
    /// What stands between its two lengths.
    pub body: &'a [u8],
}

/// Walks the blocks of little-endian sections, of whatever type. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Blocks<'a> {
    /// The blocks of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn parse(&self) -> Result<Block<'a>, PcapngError> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let cut = PcapngError::Cut { offset };
        let kind = u32_at(rest, 0).ok_or(cut)?;
        let length = u32_at(rest, 4).ok_or(cut)?;
        if kind == SECTION_HEADER {
            // The magic tells how the length is to be read, so it comes first.
            match u32_at(rest, 8).ok_or(cut)? {
                BYTE_ORDER_MAGIC => {}
                magic if magic == BYTE_ORDER_MAGIC.swap_bytes() => return Err(PcapngError::BigEndian),
                magic => return Err(PcapngError::ByteOrder(magic)),
            }
        }
        let bad_length = PcapngError::BlockLength { offset, length };
        let total = usize::try_from(length).map_err(|_| bad_length)?;
        if !total.is_multiple_of(4) || total > MAX_BLOCK {
            return Err(bad_length);
        }
        let body_end = total.checked_sub(4).ok_or(bad_length)?;
        if total < BLOCK_OVERHEAD {
            return Err(bad_length);
        }
        let body = rest.get(8..body_end).ok_or(cut)?;
        let trailing = u32_at(rest, body_end).ok_or(cut)?;
        if trailing != length {
            return Err(PcapngError::LengthMismatch {
                offset,
                leading: length,
                trailing,
            });
        }
        Ok(Block { offset, kind, body })
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, PcapngError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let block = self.parse();
        self.offset = match &block {
            Ok(block) => block.offset + block.body.len() + BLOCK_OVERHEAD,
            Err(_) => self.bytes.len(),
        };
        Some(block)
    }
}

/// Reads the head of a section: a section header and interface descriptions, nothing else, up to the end of
/// `bytes`.
///
/// # Errors
/// A [`PcapngError`] for anything that this module would not have written.
pub fn read_head(bytes: &[u8]) -> Result<Section, PcapngError> {
    let mut blocks = Blocks::new(bytes);
    let header = blocks.next().ok_or(PcapngError::NoSectionHeader)??;
    if header.kind != SECTION_HEADER {
        return Err(PcapngError::NoSectionHeader);
    }
    let short = PcapngError::Short(SECTION_HEADER);
    let major = u16_at(header.body, 4).ok_or(short)?;
    let minor = u16_at(header.body, 6).ok_or(short)?;
    if (major, minor) != (1, 0) {
        return Err(PcapngError::Version { major, minor });
    }
    for option in Options::new(header.body.get(16..).ok_or(short)?) {
        option?;
    }
    let mut section = Section::default();
    for block in blocks {
        let block = block?;
        if block.kind != INTERFACE_DESCRIPTION {
            return Err(PcapngError::UnexpectedBlock {
                offset: block.offset,
                kind: block.kind,
            });
        }
        if section.interfaces.len() == MAX_INTERFACES {
            return Err(PcapngError::Interfaces);
        }
        let interface = read_interface(block.body, section.interfaces.len())?;
        section.interfaces.push(interface);
    }
    Ok(section)
}

fn read_interface(body: &[u8], number: usize) -> Result<Interface, PcapngError> {
    let short = PcapngError::Short(INTERFACE_DESCRIPTION);
    let linktype = u16_at(body, 0).ok_or(short)?;
    let snaplen = u32_at(body, 4).ok_or(short)?;
    let (mut name, mut netns) = (None, None);
    // The default of the format: microseconds.
    let mut resolution = 6;
    for option in Options::new(body.get(8..).ok_or(short)?) {
        let (code, value) = option?;
        match code {
            option::IF_NAME => name = Some(Arc::from(text(code, value)?)),
            option::IF_DESCRIPTION => netns = read_netns(text(code, value)?),
            option::IF_TSRESOL => match value {
                [value] => resolution = *value,
                _ => {
                    return Err(PcapngError::OptionValue {
                        code,
                        length: value.len(),
                    });
                }
            },
            _ => {}
        }
    }
    if resolution != NANOSECONDS {
        return Err(PcapngError::Resolution {
            interface: number,
            resolution,
        });
    }
    Ok(Interface {
        name: name.ok_or(PcapngError::NoName(number))?,
        netns: netns.ok_or(PcapngError::NoNetns(number))?,
        linktype,
        snaplen,
    })
}

/// Exactly what the writer makes of the number: no sign, no leading zero, no space.
fn read_netns(description: &str) -> Option<u64> {
    let digits = description.strip_prefix(NETNS_PREFIX)?;
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten()
}

/// Reads one packet from its Enhanced Packet Block, which has to fill `block` exactly.
///
/// # Errors
/// A [`PcapngError`] for anything that this module would not have written.
pub fn read_packet(section: &Section, block: &[u8]) -> Result<Packet, PcapngError> {
    let mut blocks = Blocks::new(block);
    let packet = blocks.next().ok_or(PcapngError::Cut { offset: 0 })??;
    if packet.kind != ENHANCED_PACKET {
        return Err(PcapngError::UnexpectedBlock {
            offset: 0,
            kind: packet.kind,
        });
    }
    match block.len() - blocks.offset {
        0 => {}
        trailing => return Err(PcapngError::Trailing(trailing)),
    }
    let body = packet.body;
    let field = |at| u32_at(body, at).ok_or(PcapngError::Short(ENHANCED_PACKET));
    let (number, captured, original) = (field(0)?, field(12)?, field(16)?);
    let stamp = u64::from(field(4)?) << 32 | u64::from(field(8)?);

    let interface = usize::try_from(number)
        .ok()
        .and_then(|index| section.interfaces.get(index))
        .ok_or(PcapngError::UnknownInterface {
            interface: number,
            count: section.interfaces.len(),
        })?;
    let held = body.get(PACKET_FIXED..).unwrap_or_default();
    let too_long = PcapngError::CapturedLength {
        captured,
        original,
        held: held.len(),
    };
    if captured > original {
        return Err(too_long);
    }
    let length = usize::try_from(captured).map_err(|_| too_long)?;
    let data = held.get(..length).ok_or(too_long)?;
    let options = held.get(length.next_multiple_of(4)..).ok_or(too_long)?;

    let mut flags = 0;
    for option in Options::new(options) {
        let (code, value) = option?;
        if code == option::EPB_FLAGS {
            let value = <[u8; 4]>::try_from(value).map_err(|_| PcapngError::OptionValue {
                code,
                length: value.len(),
            })?;
            flags = u32::from_le_bytes(value);
        }
    }
    let direction = match flags & 3 {
        1 => Direction::In,
        2 => Direction::Out,
        _ => return Err(PcapngError::Direction(flags)),
    };
    Ok(Packet {
        netns: interface.netns,
        interface: Arc::clone(&interface.name),
        linktype: interface.linktype,
        direction,
        realtime: i64::try_from(stamp).map_err(|_| PcapngError::Stamp(stamp))?,
        original_len: original,
        data: data.to_vec(),
    })
}

/// The options of a block, up to the end-of-options mark or the end of the bytes.
struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), PcapngError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Bodies are multiples of four bytes, so what is shorter than an option's head is nothing.
        let code = u16_at(self.0, 0)?;
        let length = usize::from(u16_at(self.0, 2)?);
        if code == option::END {
            self.0 = &[];
            return None;
        }
        let value = self.0.get(4..4 + length);
        let rest = self.0.get(4 + length.next_multiple_of(4)..);
        let (Some(value), Some(rest)) = (value, rest) else {
            self.0 = &[];
            return Some(Err(PcapngError::OptionLength(code)));
        };
        self.0 = rest;
        Some(Ok((code, value)))
    }
}

fn text(code: u16, value: &[u8]) -> Result<&str, PcapngError> {
    if value.len() > MAX_TEXT {
        return Err(PcapngError::TextLength {
            code,
            length: value.len(),
        });
    }
    std::str::from_utf8(value).map_err(|_| PcapngError::Text(code))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
