//! Where a packet's headers end: what is behind is what somebody said, and `--no-data` keeps none of it.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use stillframe_format::event::Packet;
use stillframe_format::pcapng::{LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW};

/// Length of `LINKTYPE_LINUX_SLL2`'s header.
const COOKED: usize = 20;
/// Length of an Ethernet header, without tags.
const ETHERNET: usize = 14;

/// Cuts a packet behind its last header. What can't be told apart from payload goes.
pub(super) fn cut(packet: &mut Packet) {
    let keep = headers_len(packet.linktype, &packet.data);
    packet.data.truncate(keep);
}

fn headers_len(linktype: u16, data: &[u8]) -> usize {
    let (sliced, link) = match linktype {
        LINKTYPE_ETHERNET => (LaxSlicedPacket::from_ethernet(data).ok(), ETHERNET),
        LINKTYPE_RAW => (LaxSlicedPacket::from_ip(data).ok(), 0),
        LINKTYPE_LINUX_SLL2 => {
            let ether_type = data.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
            let sliced = ether_type
                .zip(data.get(COOKED..))
                .map(|(ether_type, rest)| LaxSlicedPacket::from_ether_type(EtherType(ether_type), rest));
            (sliced, COOKED)
        }
        _ => (None, 0),
    };
    // Not counted from the end: Ethernet's padding stands there.
    let start = sliced.as_ref().and_then(|sliced| start_of_payload(sliced, data));
    start.unwrap_or(link).min(data.len())
}

/// The offset of the payload in `data`, by where the last header stands.
fn start_of_payload(sliced: &LaxSlicedPacket<'_>, data: &[u8]) -> Option<usize> {
    let (at, len) = match (&sliced.transport, &sliced.net) {
        (Some(TransportSlice::Tcp(tcp)), _) => (tcp.header_slice().as_ptr(), tcp.header_slice().len()),
        (Some(TransportSlice::Udp(udp)), _) => (udp.slice().as_ptr(), 8),
        (Some(TransportSlice::Icmpv4(icmp)), _) => (icmp.slice().as_ptr(), icmp.header_len()),
        (Some(TransportSlice::Icmpv6(icmp)), _) => (icmp.slice().as_ptr(), icmp.header_len()),
        // IGMP names groups and carries nothing.
        (Some(TransportSlice::Igmp(igmp)), _) => (igmp.slice().as_ptr(), igmp.slice().len()),
        (None, Some(LaxNetSlice::Ipv4(ip))) => (ip.payload().payload.as_ptr(), 0),
        (None, Some(LaxNetSlice::Ipv6(ip))) => (ip.payload().payload.as_ptr(), 0),
        (None, Some(LaxNetSlice::Arp(arp))) => (arp.slice().as_ptr(), arp.slice().len()),
        (None, None) => return None,
    };
    at.addr().checked_sub(data.as_ptr().addr())?.checked_add(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn ethernet() -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
        PacketBuilder::ethernet2([2; 6], [4; 6])
    }

    fn kept(linktype: u16, bytes: &[u8]) -> Vec<u8> {
        bytes[..headers_len(linktype, bytes)].to_vec()
    }

    #[test]
    fn nothing_behind_the_last_header_is_kept() {
        let secret = b"hunter2";
        let mut tcp = Vec::new();
        ethernet()
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(1, 2, 3, 4)
            .write(&mut tcp, secret)
            .unwrap();
        // What Ethernet pads a short frame with.
        tcp.extend([0; 9]);
        assert_eq!(kept(LINKTYPE_ETHERNET, &tcp).len(), 14 + 20 + 20);
        assert_eq!(kept(LINKTYPE_RAW, &tcp[14..]).len(), 20 + 20);
        let mut udp = Vec::new();
        ethernet()
            .ipv6([1; 16], [2; 16], 64)
            .udp(53, 53)
            .write(&mut udp, secret)
            .unwrap();
        assert_eq!(kept(LINKTYPE_ETHERNET, &udp).len(), 14 + 40 + 8);
        let mut ping = Vec::new();
        ethernet()
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut ping, secret)
            .unwrap();
        assert_eq!(kept(LINKTYPE_ETHERNET, &ping).len(), 14 + 20 + 8);
        let mut cooked = vec![0x08, 0x00];
        cooked.extend([0; 18]);
        cooked.extend(&tcp[14..]);
        assert_eq!(kept(LINKTYPE_LINUX_SLL2, &cooked).len(), 20 + 20 + 20);
        for (linktype, bytes) in [
            (LINKTYPE_ETHERNET, &tcp),
            (LINKTYPE_ETHERNET, &udp),
            (LINKTYPE_ETHERNET, &ping),
        ] {
            let kept = kept(linktype, bytes);
            assert!(!kept.windows(secret.len()).any(|window| window == secret));
        }
    }

    #[test]
    fn what_is_not_understood_keeps_its_link_header_alone() {
        let mut strange = vec![0; 12];
        strange.extend([0x88, 0xb5]);
        strange.extend(b"experimental");
        assert_eq!(kept(LINKTYPE_ETHERNET, &strange).len(), 14);
        assert_eq!(kept(999, b"whatever"), b"");
        for cut in 0..14 {
            assert!(kept(LINKTYPE_ETHERNET, &strange[..cut]).len() <= cut);
        }
    }
}
