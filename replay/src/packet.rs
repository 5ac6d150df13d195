//! The headers of a packet, read as far as its captured bytes go.

use crate::dns;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use stillframe_format::event::{Direction, Packet};

/// `LINKTYPE_ETHERNET` of pcap.
const LINKTYPE_ETHERNET: u16 = 1;
/// `LINKTYPE_RAW` of pcap: an IP packet without a link header.
const LINKTYPE_RAW: u16 = 101;
/// `LINKTYPE_LINUX_SLL` of pcap: a 16-byte pseudo header that ends with the EtherType.
const LINKTYPE_LINUX_SLL: u16 = 113;
/// `LINKTYPE_LINUX_SLL2` of pcap: a 20-byte pseudo header that begins with the EtherType.
const LINKTYPE_LINUX_SLL2: u16 = 276;

/// What the transport header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Sequence number, as on the wire.
        sequence: u32,
        /// Acknowledgement number, as on the wire.
        acknowledgement: u32,
        /// Flags, the wire's low nine bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
        flags: u16,
        /// Window as on the wire, not scaled.
        window: u16,
    },
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP of version 4 or 6.
    Icmp {
        /// It is ICMPv6.
        six: bool,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Something else, or nothing that was captured.
    Other,
}

/// Headers of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Ethernet source and destination.
    pub ethernet: Option<([u8; 6], [u8; 6])>,
    /// EtherType of what the link layer carries.
    pub ether_type: Option<u16>,
    /// IP source and destination.
    pub ip: Option<(IpAddr, IpAddr)>,
    /// Protocol number of what IP carries.
    pub ip_protocol: Option<u8>,
    /// Time to live, or hop limit.
    pub ttl: Option<u8>,
    /// It is an ARP packet.
    pub arp: bool,
    /// It is a fragment that is not the whole of its datagram.
    pub fragment: bool,
    /// Transport header.
    pub transport: Transport,
    /// Bytes behind the transport header, on the wire.
    pub payload_len: u64,
}

/// What stands behind a pseudo header that told the EtherType.
fn cooked<'a>(ether_type: &[u8], rest: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let ether_type = u16::from_be_bytes(ether_type.try_into().ok()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(ether_type), rest))
}

fn sliced(packet: &Packet) -> Option<LaxSlicedPacket<'_>> {
    let data = packet.data.as_slice();
    match packet.linktype {
        LINKTYPE_ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        LINKTYPE_RAW => LaxSlicedPacket::from_ip(data).ok(),
        LINKTYPE_LINUX_SLL => cooked(data.get(14..16)?, data.get(16..)?),
        LINKTYPE_LINUX_SLL2 => cooked(data.get(..2)?, data.get(20..)?),
        _ => None,
    }
}

/// The DNS message in a datagram whose headers are these; `None` where there is none.
#[must_use]
pub fn dns(packet: &Packet, headers: &Headers) -> Option<dns::Message> {
    let Transport::Udp { source, destination } = headers.transport else {
        return None;
    };
    let (from, to) = headers.ip?;
    if headers.fragment || !dns::is_between((from, source), (to, destination)) {
        return None;
    }
    match sliced(packet)?.transport? {
        TransportSlice::Udp(udp) => dns::message(udp.payload()),
        _ => None,
    }
}

/// Reads the headers of a packet; `None` when its link type is not known here or its first header is cut.
#[must_use]
pub fn headers(packet: &Packet) -> Option<Headers> {
    let sliced = sliced(packet)?;
    let mut out = Headers {
        ethernet: None,
        ether_type: None,
        ip: None,
        ip_protocol: None,
        ttl: None,
        arp: false,
        fragment: false,
        transport: Transport::Other,
        payload_len: 0,
    };
    if let Some(LinkSlice::Ethernet2(ethernet)) = &sliced.link {
        out.ethernet = Some((ethernet.source(), ethernet.destination()));
        out.ether_type = Some(ethernet.ether_type().0);
    }
    // What the snap length cut off belongs to the innermost payload.
    let cut = u64::from(packet.original_len).saturating_sub(packet.data.len() as u64);
    match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            out.ip = Some((
                IpAddr::V4(Ipv4Addr::from(header.source())),
                IpAddr::V4(Ipv4Addr::from(header.destination())),
            ));
            out.ttl = Some(header.ttl());
            out.ip_protocol = Some(ip.payload_ip_number().0);
            out.fragment = ip.is_payload_fragmented();
            out.payload_len = ip.payload().payload.len() as u64;
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            out.ip = Some((
                IpAddr::V6(Ipv6Addr::from(header.source())),
                IpAddr::V6(Ipv6Addr::from(header.destination())),
            ));
            out.ttl = Some(header.hop_limit());
            out.ip_protocol = Some(ip.payload().ip_number.0);
            out.fragment = ip.is_payload_fragmented();
            out.payload_len = ip.payload().payload.len() as u64;
        }
        Some(LaxNetSlice::Arp(_)) => out.arp = true,
        None => {}
    }
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let flags = [
                tcp.fin(),
                tcp.syn(),
                tcp.rst(),
                tcp.psh(),
                tcp.ack(),
                tcp.urg(),
                tcp.ece(),
                tcp.cwr(),
                tcp.ns(),
            ];
            out.transport = Transport::Tcp {
                source: tcp.source_port(),
                destination: tcp.destination_port(),
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
                flags: flags
                    .iter()
                    .rev()
                    .fold(0, |bits, set| bits << 1 | u16::from(*set)),
                window: tcp.window_size(),
            };
            out.payload_len = tcp.payload().len() as u64;
        }
        Some(TransportSlice::Udp(udp)) => {
            out.transport = Transport::Udp {
                source: udp.source_port(),
                destination: udp.destination_port(),
            };
            out.payload_len = udp.payload().len() as u64;
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            out.transport = Transport::Icmp {
                six: false,
                kind: icmp.type_u8(),
                code: icmp.code_u8(),
            };
            out.payload_len = icmp.payload().len() as u64;
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            out.transport = Transport::Icmp {
                six: true,
                kind: icmp.type_u8(),
                code: icmp.code_u8(),
            };
            out.payload_len = icmp.payload().len() as u64;
        }
        Some(TransportSlice::Igmp(_)) | None => {}
    }
    out.payload_len += cut;
    Some(out)
}

impl Headers {
    /// The protocol of the innermost header that is known: `tcp`, `udp`, `icmp`, `icmpv6`, `arp`, `ipv4`, `ipv6`.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        Some(match (self.transport, self.ip) {
            (Transport::Tcp { .. }, _) => "tcp",
            (Transport::Udp { .. }, _) => "udp",
            (Transport::Icmp { six: false, .. }, _) => "icmp",
            (Transport::Icmp { six: true, .. }, _) => "icmpv6",
            (Transport::Other, Some((IpAddr::V4(_), _))) => "ipv4",
            (Transport::Other, Some((IpAddr::V6(_), _))) => "ipv6",
            (Transport::Other, None) if self.arp => "arp",
            (Transport::Other, None) => return None,
        })
    }
}

/// Names of TCP flags, lowest bit first.
const FLAG_NAMES: [&str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"];

/// TCP flags as `SYN,ACK`.
#[must_use]
pub fn flag_names(flags: u16) -> String {
    FLAG_NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| flags & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect::<Vec<_>>()
        .join(",")
}

/// An Ethernet address as `02:42:ac:11:00:02`.
#[must_use]
pub fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Which way a packet went, in one word.
#[must_use]
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}

/// A packet on one line: `eth0 out 10.0.0.2:80 > 10.0.0.9:5012 TCP SYN,ACK seq 1 ack 2 win 3 len 0`.
#[must_use]
pub fn summary(packet: &Packet, headers: Option<&Headers>) -> String {
    let mut out = format!("{} {}", packet.interface, direction(packet.direction));
    match headers {
        Some(headers) => {
            headers_text(&mut out, headers);
            if let Some(message) = dns(packet, headers) {
                let _ = write!(out, " {}", message.text());
            }
        }
        None => {
            let _ = write!(out, " linktype {}", packet.linktype);
        }
    }
    let _ = write!(out, " ({} bytes", packet.original_len);
    if (packet.data.len() as u64) < u64::from(packet.original_len) {
        let _ = write!(out, ", {} captured", packet.data.len());
    }
    out.push(')');
    out
}

fn headers_text(out: &mut String, headers: &Headers) {
    let ports = match headers.transport {
        Transport::Tcp {
            source, destination, ..
        }
        | Transport::Udp {
            source, destination, ..
        } => Some((source, destination)),
        _ => None,
    };
    if let Some((source, destination)) = headers.ip {
        let _ = write!(
            out,
            " {} > {}",
            endpoint(source, ports.map(|ports| ports.0)),
            endpoint(destination, ports.map(|ports| ports.1))
        );
    } else if let Some((source, destination)) = headers.ethernet {
        let _ = write!(out, " {} > {}", mac(source), mac(destination));
    }
    let len = headers.payload_len;
    let _ = match (headers.transport, headers.ip_protocol) {
        (
            Transport::Tcp {
                flags,
                sequence,
                acknowledgement,
                window,
                ..
            },
            _,
        ) => write!(
            out,
            " TCP {} seq {sequence} ack {acknowledgement} win {window} len {len}",
            flag_names(flags)
        ),
        (Transport::Udp { .. }, _) => write!(out, " UDP len {len}"),
        (Transport::Icmp { six, kind, code }, _) => {
            write!(
                out,
                " ICMP{} type {kind} code {code}",
                if six { "v6" } else { "" }
            )
        }
        (Transport::Other, Some(protocol)) => write!(
            out,
            " protocol {protocol}{}",
            if headers.fragment { " fragment" } else { "" }
        ),
        (Transport::Other, None) if headers.arp => write!(out, " ARP"),
        (Transport::Other, None) => match headers.ether_type {
            Some(number) => write!(out, " ethertype {number:#06x}"),
            None => Ok(()),
        },
    };
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    /// A TCP SYN from 172.17.0.2:43210 to 10.0.0.9:80 with a payload.
    pub(crate) fn tcp_packet(payload: &[u8]) -> Packet {
        let builder = PacketBuilder::ethernet2([2, 0x42, 0xac, 0x11, 0, 2], [2, 0x42, 0, 0, 0, 1])
            .ipv4([172, 17, 0, 2], [10, 0, 0, 9], 64)
            .tcp(43_210, 80, 7, 1024)
            .syn();
        let mut data = Vec::new();
        builder.write(&mut data, payload).unwrap();
        Packet {
            netns: 4_026_532_000,
            interface: "eth0".into(),
            linktype: 1,
            direction: Direction::Out,
            realtime: 0,
            original_len: u32::try_from(data.len()).unwrap(),
            data,
        }
    }

    /// A DNS answer: `api.internal` is at this address. From 172.17.0.1 and this port to 172.17.0.2:40000.
    pub(crate) fn dns_packet(port: u16, address: [u8; 4]) -> Packet {
        let builder = PacketBuilder::ethernet2([2, 0x42, 0xac, 0x11, 0, 2], [2, 0x42, 0, 0, 0, 1])
            .ipv4([172, 17, 0, 1], [172, 17, 0, 2], 64)
            .udp(port, 40_000);
        let mut data = Vec::new();
        builder.write(&mut data, &dns::tests::response(address)).unwrap();
        Packet {
            original_len: u32::try_from(data.len()).unwrap(),
            data,
            ..tcp_packet(b"")
        }
    }

    #[test]
    fn tcp_over_ethernet() {
        let packet = tcp_packet(b"hello");
        let headers = headers(&packet).unwrap();
        assert_eq!(headers.protocol(), Some("tcp"));
        assert_eq!(headers.payload_len, 5);
        assert_eq!(
            summary(&packet, Some(&headers)),
            "eth0 out 172.17.0.2:43210 > 10.0.0.9:80 TCP SYN seq 7 ack 0 win 1024 len 5 (59 bytes)"
        );
    }

    #[test]
    fn a_dns_answer_is_told_in_words() {
        let packet = dns_packet(53, [10, 0, 0, 7]);
        assert_eq!(
            summary(&packet, headers(&packet).as_ref()),
            "eth0 out 172.17.0.1:53 > 172.17.0.2:40000 UDP len 64 DNS answer A api.internal: web.internal, 10.0.0.7 \
             (106 bytes)"
        );
        let other = dns_packet(54, [10, 0, 0, 7]);
        assert_eq!(dns(&other, &headers(&other).unwrap()), None);
    }

    #[test]
    fn a_packet_cut_to_snaplen_keeps_its_length_on_the_wire() {
        let mut packet = tcp_packet(&[0; 1000]);
        packet.data.truncate(60);
        let headers = headers(&packet).unwrap();
        assert_eq!(headers.payload_len, 1000);
        assert!(summary(&packet, Some(&headers)).ends_with("len 1000 (1054 bytes, 60 captured)"));
    }

    #[test]
    fn the_link_header_of_any_decides_what_follows() {
        let mut packet = tcp_packet(b"");
        let ip = packet.data.split_off(14);
        packet.data = ip.clone();
        packet.linktype = LINKTYPE_RAW;
        assert_eq!(headers(&packet).unwrap().protocol(), Some("tcp"));
        packet.data = [vec![0; 14], vec![8, 0], ip.clone()].concat();
        packet.linktype = LINKTYPE_LINUX_SLL;
        assert_eq!(headers(&packet).unwrap().protocol(), Some("tcp"));
        packet.data = [vec![8, 0], vec![0; 18], ip].concat();
        packet.linktype = LINKTYPE_LINUX_SLL2;
        assert_eq!(headers(&packet).unwrap().protocol(), Some("tcp"));
        packet.linktype = 9999;
        assert_eq!(headers(&packet), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            data in prop::collection::vec(any::<u8>(), 0..120),
            linktype in prop_oneof![Just(1u16), Just(101), Just(113), Just(276), any::<u16>()],
            original_len: u32,
        ) {
            let packet = Packet { data, linktype, original_len, ..tcp_packet(b"") };
            let headers = headers(&packet);
            let _ = summary(&packet, headers.as_ref());
        }
    }
}
