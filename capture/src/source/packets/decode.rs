//! A ring's block to frames, and a frame to a packet. Pure: what the kernel wrote is bytes here, and every offset
//! and length in them is compared with the block before it is used.
//!
//! Layout: `struct tpacket_block_desc`, `struct tpacket3_hdr` and `struct sockaddr_ll` of
//! include/uapi/linux/if_packet.h (the same since Linux 3.2), in the host's byte order unless said otherwise.

use std::sync::Arc;
use stillframe_format::event::{Direction, Packet};
use stillframe_format::pcapng::{LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW, of_hardware};

/// `struct tpacket3_hdr`, which `struct sockaddr_ll` follows, aligned to 16.
const FRAME_HEADER: usize = 48;
/// `TP_STATUS_VLAN_VALID`: the kernel took a VLAN tag out of the frame.
const VLAN_VALID: u32 = 1 << 4;
/// `TP_STATUS_VLAN_TPID_VALID`: and says which protocol it had.
const VLAN_TPID_VALID: u32 = 1 << 6;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86DD;
const PACKET_OUTGOING: u8 = 4;
/// Destination and source address of an Ethernet frame: what stands before the VLAN tag.
const MAC_ADDRESSES: usize = 12;

/// A VLAN tag that the kernel took out of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The tag's protocol: 0x8100, or 0x88a8 for the outer tag of two.
    pub protocol: u16,
    /// Priority and VLAN number.
    pub control: u16,
}

/// One packet as it lies in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The interface's number in the ring's namespace.
    pub interface: i32,
    /// The interface's hardware type, an `ARPHRD_` number.
    pub hardware: u16,
    /// The protocol of the packet, an `ETH_P_` number.
    pub protocol: u16,
    /// `sll_pkttype`: for us, broadcast, multicast, for others, outgoing.
    pub kind: u8,
    /// The link-layer address of the sender.
    pub address: [u8; 8],
    /// How many of its bytes count.
    pub address_len: u8,
    /// Nanoseconds of `CLOCK_REALTIME` since 1970.
    pub realtime: i64,
    /// The packet's length in bytes, from the link-layer header on, a VLAN tag that was taken out not counted.
    pub original_len: u32,
    /// The tag that was taken out.
    pub vlan: Option<Vlan>,
    /// The packet from its link-layer header on, as far as it was kept.
    pub bytes: &'a [u8],
    /// Where in `bytes` the network header starts; beyond their end if they were cut before it.
    pub network: usize,
}

/// The kernel's bytes make no sense: nothing more is read of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame at offset {offset} of a ring block of {length} bytes reaches out of it")]
pub struct BlockError {
    /// Where the frame starts.
    pub offset: usize,
    /// The block's length.
    pub length: usize,
}

/// The frames of a block. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    block: &'a [u8],
    offset: usize,
    left: u32,
}

impl<'a> Frames<'a> {
    /// The frames of a block that the kernel handed over, from its descriptor on.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        // struct tpacket_hdr_v1 after version and offset_to_priv: status, number of packets, offset of the first.
        let left = u32_at(block, 12).unwrap_or(0);
        let offset = u32_at(block, 16)
            .and_then(|offset| usize::try_from(offset).ok())
            .unwrap_or(usize::MAX);
        Self { block, offset, left }
    }

    /// How many frames are still to come, if all of them are readable.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    fn parse(&self) -> Option<(Frame<'a>, usize)> {
        let frame = self.block.get(self.offset..)?;
        let header = |at| u32_at(frame, at);
        let next = usize::try_from(header(0)?).ok()?;
        let (seconds, nanoseconds) = (header(4)?, header(8)?);
        let kept = usize::try_from(header(12)?).ok()?;
        let (original_len, status) = (header(16)?, header(20)?);
        let link = usize::from(u16_at(frame, 24)?);
        let network = usize::from(u16_at(frame, 26)?);
        let vlan = (status & VLAN_VALID != 0).then_some(Vlan {
            protocol: if status & VLAN_TPID_VALID != 0 {
                u16_at(frame, 36)?
            } else {
                ETH_P_8021Q
            },
            control: u16::try_from(header(32)? & 0xFFFF).ok()?,
        });
        let address = frame.get(FRAME_HEADER..FRAME_HEADER + 20)?;
        let parsed = Frame {
            interface: i32::from_ne_bytes(address.get(4..8)?.try_into().ok()?),
            hardware: u16_at(address, 8)?,
            // The one field in network byte order.
            protocol: u16::from_be_bytes(address.get(2..4)?.try_into().ok()?),
            kind: *address.get(10)?,
            address: address.get(12..20)?.try_into().ok()?,
            address_len: (*address.get(11)?).min(8),
            realtime: i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds),
            original_len,
            vlan,
            bytes: frame.get(link..link.checked_add(kept)?)?,
            network: network.saturating_sub(link),
        };
        Some((parsed, next))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let offset = self.offset;
        let error = BlockError {
            offset,
            length: self.block.len(),
        };
        let Some((frame, next)) = self.parse() else {
            self.left = 0;
            return Some(Err(error));
        };
        self.left -= 1;
        if self.left > 0 {
            // Every frame has a header, so steps forward of at least that much also end every loop.
            if next < FRAME_HEADER {
                self.left = 0;
                return Some(Err(error));
            }
            self.offset = offset.saturating_add(next);
        }
        Some(Ok(frame))
    }
}

impl Frame<'_> {
    /// The packet, at most `snaplen` bytes of it, with its VLAN tag back where it was on the wire.
    #[must_use]
    pub fn packet(&self, netns: u64, interface: Arc<str>, snaplen: usize) -> Packet {
        let is_ip = matches!(self.protocol, ETH_P_IP | ETH_P_IPV6);
        let (linktype, original_len, data) = match of_hardware(self.hardware) {
            Some(LINKTYPE_ETHERNET) => {
                let (original_len, data) = self.ethernet(snaplen);
                (LINKTYPE_ETHERNET, original_len, data)
            }
            Some(LINKTYPE_RAW) if is_ip => (
                LINKTYPE_RAW,
                self.network_len(),
                cut(&[], self.payload(), snaplen),
            ),
            _ => {
                let header = self.cooked_header();
                let original_len = self.network_len().saturating_add(20);
                (
                    LINKTYPE_LINUX_SLL2,
                    original_len,
                    cut(&header, self.payload(), snaplen),
                )
            }
        };
        Packet {
            netns,
            interface,
            linktype,
            direction: if self.kind == PACKET_OUTGOING {
                Direction::Out
            } else {
                Direction::In
            },
            realtime: self.realtime,
            original_len,
            data,
        }
    }

    fn ethernet(&self, snaplen: usize) -> (u32, Vec<u8>) {
        let Some(vlan) = self.vlan else {
            return (self.original_len, cut(&[], self.bytes, snaplen));
        };
        let original_len = self.original_len.saturating_add(4);
        let Some((addresses, rest)) = self.bytes.split_at_checked(MAC_ADDRESSES) else {
            return (original_len, cut(&[], self.bytes, snaplen));
        };
        let mut head = [0; MAC_ADDRESSES + 4];
        let tag = vlan
            .protocol
            .to_be_bytes()
            .into_iter()
            .chain(vlan.control.to_be_bytes());
        for (to, from) in head.iter_mut().zip(addresses.iter().copied().chain(tag)) {
            *to = from;
        }
        (original_len, cut(&head, rest, snaplen))
    }

    /// From the network header on.
    fn payload(&self) -> &[u8] {
        self.bytes.get(self.network..).unwrap_or_default()
    }

    fn network_len(&self) -> u32 {
        self.original_len
            .saturating_sub(u32::try_from(self.network).unwrap_or(u32::MAX))
    }

    /// `LINKTYPE_LINUX_SLL2`, all of it in network byte order.
    fn cooked_header(&self) -> [u8; 20] {
        let mut header = [0; 20];
        let fields = self
            .protocol
            .to_be_bytes()
            .into_iter()
            .chain([0; 2])
            .chain(self.interface.to_be_bytes())
            .chain(self.hardware.to_be_bytes())
            .chain([self.kind, self.address_len])
            .chain(self.address);
        for (to, from) in header.iter_mut().zip(fields) {
            *to = from;
        }
        header
    }
}

/// `head` and `rest` as one, cut to `snaplen` bytes. The one copy of a packet's bytes on their way.
fn cut(head: &[u8], rest: &[u8], snaplen: usize) -> Vec<u8> {
    let head = head.get(..snaplen).unwrap_or(head);
    let rest = rest.get(..snaplen - head.len()).unwrap_or(rest);
    let mut data = Vec::with_capacity(head.len() + rest.len());
    data.extend_from_slice(head);
    data.extend_from_slice(rest);
    data
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
