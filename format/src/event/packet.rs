//! Packets of a network namespace.

use std::sync::Arc;

/// Which way a packet went, as `AF_PACKET` tells it (`sll_pkttype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// To this host (or broadcast, multicast, or another host's that was seen).
    In = 0,
    /// Sent from here.
    Out = 1,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The inode number of the network namespace it was seen in.
    pub netns: u64,
    /// The interface's name.
    pub interface: Arc<str>,
    /// The link type of `data`: a `LINKTYPE_` number of pcap (1: Ethernet, 101: raw IP).
    pub linktype: u16,
    /// Which way it went.
    pub direction: Direction,
    /// The kernel's own stamp: nanoseconds of `CLOCK_REALTIME` since 1970. The event's time is made from it.
    pub realtime: i64,
    /// The packet's length on the wire, in bytes.
    pub original_len: u32,
    /// The first bytes of it, at most the snap length.
    pub data: Vec<u8>,
}
