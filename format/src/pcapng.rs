//! Packets as pcapng: what `slice/N/packets.*.pcapng` holds.
//!
//! A member is one section that starts itself: a *head* (one Section Header Block and an Interface Description
//! Block for each interface), then one Enhanced Packet Block for each packet. The bundle knows the length of the
//! head and of every packet block, so a packet is decoded alone, given the [`Section`] that its head made; and
//! members concatenated with `cat` are a pcapng file that Wireshark opens.
//!
//! Only what [`write`](mod@self::write) writes is read back: little endian, nanosecond stamps, a network namespace and a
//! direction for every packet. Anything else is a [`PcapngError`], since in a bundle it means damage. Blocks that
//! others may add (names, statistics) can be walked with [`Blocks`].
//!
//! Block and option numbers are those of draft-ietf-opsawg-pcapng; link types those of the tcpdump.org registry.

mod linktype;
mod read;
mod write;

pub use linktype::{LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW, of_hardware};
pub use read::{Block, Blocks, read_head, read_packet};
pub use write::{Statistics, enhanced_packet, interface, interface_statistics, section_header};

use std::sync::Arc;

/// The largest block that is written or believed, in bytes. Wireshark's own limit is eight times that.
pub const MAX_BLOCK: usize = 16 << 20;
/// The largest number of interfaces in a section.
pub const MAX_INTERFACES: usize = 1 << 16;
/// The longest text of an option, in bytes. Linux interface names have at most 15.
pub const MAX_TEXT: usize = 1024;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// `if_tsresol`: units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Type, length, length again.
const BLOCK_OVERHEAD: usize = 12;
/// Interface, stamp high, stamp low, captured length, original length.
const PACKET_FIXED: usize = 20;
/// What stands before the number in `if_description`.
const NETNS_PREFIX: &str = "netns ";

mod option {
    pub(super) const END: u16 = 0;
    pub(super) const SHB_HARDWARE: u16 = 2;
    pub(super) const SHB_OS: u16 = 3;
    pub(super) const SHB_USERAPPL: u16 = 4;
    pub(super) const IF_NAME: u16 = 2;
    pub(super) const IF_DESCRIPTION: u16 = 3;
    pub(super) const IF_TSRESOL: u16 = 9;
    pub(super) const EPB_FLAGS: u16 = 2;
    pub(super) const ISB_STARTTIME: u16 = 2;
    pub(super) const ISB_ENDTIME: u16 = 3;
    pub(super) const ISB_IFRECV: u16 = 4;
    pub(super) const ISB_IFDROP: u16 = 5;
}

/// What made a section: the texts of its header. Empty ones are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectionHeader<'a> {
    /// `shb_hardware`: the machine, such as `x86_64`.
    pub hardware: &'a str,
    /// `shb_os`: the kernel, such as `Linux 6.1.0`.
    pub os: &'a str,
    /// `shb_userappl`: the program that captured.
    pub application: &'a str,
}

/// An interface of a section. Packets name it by its place in the section, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The interface's name.
    pub name: Arc<str>,
    /// The inode number of the network namespace that it was seen in; stored as the interface's description,
    /// `netns 4026532281`.
    pub netns: u64,
    /// The link type of its packets: a `LINKTYPE_` number.
    pub linktype: u16,
    /// The snap length, in bytes; 0 for none.
    pub snaplen: u32,
}

/// The interfaces of a section, which its packets refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// In the order of their numbers.
    pub interfaces: Vec<Interface>,
}

/// Why bytes are no pcapng of ours, or can't become it. Offsets are in bytes from the start of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcapngError {
    /// The bytes end inside a block.
    #[error("pcapng: the bytes end inside the block at offset {offset}")]
    Cut {
        /// Where the block starts.
        offset: usize,
    },
    /// A length that no block can have.
    #[error("pcapng: the block at offset {offset} says that it is {length} bytes long")]
    BlockLength {
        /// Where the block starts.
        offset: usize,
        /// What it says.
        length: u32,
    },
    /// The length at a block's end is not the one at its start.
    #[error(
        "pcapng: the block at offset {offset} is {leading} bytes long by its start and {trailing} by its end"
    )]
    LengthMismatch {
        /// Where the block starts.
        offset: usize,
        /// The length at its start.
        leading: u32,
        /// The length at its end.
        trailing: u32,
    },
    /// The section is big endian, which nothing here writes.
    #[error("pcapng: the section is big endian, but a bundle's sections are little endian")]
    BigEndian,
    /// The section header's byte-order magic is none.
    #[error("pcapng: the section header has the byte-order magic {0:#010x}, which is none")]
    ByteOrder(u32),
    /// The section is of another version.
    #[error("pcapng: the section is of version {major}.{minor}, only 1.0 is known")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The bytes don't start with a section header.
    #[error("pcapng: the head of a section has to start with a section header block")]
    NoSectionHeader,
    /// A block stands where another is due.
    #[error("pcapng: a block of type {kind:#010x} stands at offset {offset}, where it doesn't belong")]
    UnexpectedBlock {
        /// Where it starts.
        offset: usize,
        /// Its type.
        kind: u32,
    },
    /// Bytes follow the packet's block.
    #[error("pcapng: {0} bytes follow the packet's block")]
    Trailing(usize),
    /// A block is too short for its fixed fields.
    #[error("pcapng: a block of type {0:#010x} is too short for its fields")]
    Short(u32),
    /// An option is longer than what is left of its block.
    #[error("pcapng: option {0} is longer than its block")]
    OptionLength(u16),
    /// An option's value is not of the length that its kind has.
    #[error("pcapng: option {code} has {length} bytes")]
    OptionValue {
        /// The option's number.
        code: u16,
        /// The length of its value.
        length: usize,
    },
    /// A text is not UTF-8.
    #[error("pcapng: option {0} is not UTF-8")]
    Text(u16),
    /// A text is too long to be written or believed.
    #[error("pcapng: option {code} has {length} bytes, the limit is {MAX_TEXT}")]
    TextLength {
        /// The option's number.
        code: u16,
        /// The length of the text.
        length: usize,
    },
    /// Too many interfaces.
    #[error("pcapng: the section has more than {MAX_INTERFACES} interfaces")]
    Interfaces,
    /// An interface has no name.
    #[error("pcapng: interface {0} has no name")]
    NoName(usize),
    /// An interface's description doesn't name a network namespace.
    #[error("pcapng: the description of interface {0} is not of the form `{NETNS_PREFIX}NUMBER`")]
    NoNetns(usize),
    /// An interface's stamps are not nanoseconds.
    #[error(
        "pcapng: interface {interface} has the timestamp resolution {resolution:#04x}, only 0x09 (nanoseconds) is known"
    )]
    Resolution {
        /// The interface's number.
        interface: usize,
        /// `if_tsresol`; 6 when it is missing.
        resolution: u8,
    },
    /// A packet names an interface that the section doesn't have.
    #[error("pcapng: a packet is of interface {interface}, but the section has {count}")]
    UnknownInterface {
        /// What the packet says.
        interface: u32,
        /// How many there are.
        count: usize,
    },
    /// More bytes were captured than the block or the packet holds.
    #[error(
        "pcapng: a packet of {original} bytes says that {captured} were captured, in a block that holds {held}"
    )]
    CapturedLength {
        /// Captured length.
        captured: u32,
        /// Original length.
        original: u32,
        /// Bytes between the fixed fields and the end of the block.
        held: usize,
    },
    /// A stamp after the year 2262.
    #[error("pcapng: the stamp {0} doesn't fit into 63 bits of nanoseconds")]
    Stamp(u64),
    /// A packet without a direction.
    #[error("pcapng: a packet has the flags {0:#x}, which give it no direction")]
    Direction(u32),
    /// A packet is too large to be written.
    #[error("pcapng: a packet of {0} captured bytes is too large to be written")]
    PacketLength(usize),
}

#[cfg(test)]
mod tests;
