//! Fields of packets, named as Wireshark names them.

use super::{Field, again, plain};
use crate::dns;
use crate::packet::{Headers, Transport, direction, flag_names, mac};
use crate::value::{Kind, Value};
use crate::view::View;
use std::borrow::Cow;
use std::net::IpAddr;
use stillframe_format::event::{Body, Packet};

fn packet<'v>(view: &'v View<'_>) -> Option<&'v Packet> {
    match &view.event.body {
        Body::Packet(packet) => Some(packet),
        _ => None,
    }
}

fn tcp_ports(headers: &Headers) -> Option<(u16, u16)> {
    match headers.transport {
        Transport::Tcp {
            source, destination, ..
        } => Some((source, destination)),
        _ => None,
    }
}

fn udp_ports(headers: &Headers) -> Option<(u16, u16)> {
    match headers.transport {
        Transport::Udp { source, destination } => Some((source, destination)),
        _ => None,
    }
}

fn tcp_flag(view: &View<'_>, bit: u16) -> Option<Value<'static>> {
    match view.headers()?.transport {
        Transport::Tcp { flags, .. } => Some(Value::Flag(flags & bit != 0)),
        _ => None,
    }
}

fn both(ports: (u16, u16)) -> Value<'static> {
    Value::Any(vec![Value::number(ports.0), Value::number(ports.1)])
}

/// One value as it is, several together, none as none.
fn several<'v>(values: impl Iterator<Item = Value<'v>>) -> Option<Value<'v>> {
    let mut values: Vec<_> = values.collect();
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Value::Any(values)),
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "pkt.interface",
        Kind::Text,
        "interface it was seen on",
        |view, _| Some(Value::text(&packet(view)?.interface)),
    ),
    plain(
        "pkt.netns",
        Kind::Number,
        "inode number of the network namespace",
        |view, _| Some(Value::number(packet(view)?.netns)),
    ),
    plain("pkt.direction", Kind::Text, "in or out", |view, _| {
        Some(Value::text(direction(packet(view)?.direction)))
    }),
    plain("pkt.len", Kind::Size, "length on the wire", |view, _| {
        Some(Value::Size(u64::from(packet(view)?.original_len)))
    }),
    plain(
        "pkt.caplen",
        Kind::Size,
        "bytes of it that were captured",
        |view, _| Some(Value::Size(packet(view)?.data.len() as u64)),
    ),
    plain(
        "pkt.linktype",
        Kind::Number,
        "LINKTYPE_ number of pcap",
        |view, _| Some(Value::number(packet(view)?.linktype)),
    ),
    plain("pkt.time", Kind::Time, "the kernel's own stamp", |view, _| {
        Some(Value::Time(packet(view)?.realtime))
    }),
    plain(
        "pkt.proto",
        Kind::Text,
        "innermost protocol known: tcp, udp, icmp, icmpv6, arp, ipv4, ipv6",
        |view, _| view.headers()?.protocol().map(Value::text),
    ),
    plain("eth.src", Kind::Text, "Ethernet source", |view, _| {
        Some(Value::owned(mac(view.headers()?.ethernet?.0)))
    }),
    plain("eth.dst", Kind::Text, "Ethernet destination", |view, _| {
        Some(Value::owned(mac(view.headers()?.ethernet?.1)))
    }),
    plain("eth.type", Kind::Hex, "EtherType", |view, _| {
        Some(Value::Hex(u64::from(view.headers()?.ether_type?)))
    }),
    plain(
        "ip.src",
        Kind::Address,
        "source address, IPv4 or IPv6",
        |view, _| Some(Value::Address(view.headers()?.ip?.0)),
    ),
    plain(
        "ip.dst",
        Kind::Address,
        "destination address, IPv4 or IPv6",
        |view, _| Some(Value::Address(view.headers()?.ip?.1)),
    ),
    again(
        "ip.addr",
        Kind::Address,
        "source or destination address",
        |view, _| {
            let (source, destination) = view.headers()?.ip?;
            Some(Value::Any(vec![
                Value::Address(source),
                Value::Address(destination),
            ]))
        },
    ),
    plain(
        "ip.proto",
        Kind::Number,
        "protocol number of what IP carries",
        |view, _| view.headers()?.ip_protocol.map(Value::number),
    ),
    plain("ip.ttl", Kind::Number, "time to live, or hop limit", |view, _| {
        view.headers()?.ttl.map(Value::number)
    }),
    plain("tcp.srcport", Kind::Number, "TCP source port", |view, _| {
        tcp_ports(view.headers()?).map(|ports| Value::number(ports.0))
    }),
    plain("tcp.dstport", Kind::Number, "TCP destination port", |view, _| {
        tcp_ports(view.headers()?).map(|ports| Value::number(ports.1))
    }),
    again(
        "tcp.port",
        Kind::Number,
        "TCP source or destination port",
        |view, _| tcp_ports(view.headers()?).map(both),
    ),
    plain(
        "tcp.seq",
        Kind::Number,
        "TCP sequence number, as on the wire",
        |view, _| match view.headers()?.transport {
            Transport::Tcp { sequence, .. } => Some(Value::number(sequence)),
            _ => None,
        },
    ),
    plain(
        "tcp.ack",
        Kind::Number,
        "TCP acknowledgement number, as on the wire",
        |view, _| match view.headers()?.transport {
            Transport::Tcp { acknowledgement, .. } => Some(Value::number(acknowledgement)),
            _ => None,
        },
    ),
    plain(
        "tcp.flags",
        Kind::Text,
        "TCP flags that are set: SYN,ACK",
        |view, _| match view.headers()?.transport {
            Transport::Tcp { flags, .. } => Some(Value::owned(flag_names(flags))),
            _ => None,
        },
    ),
    again("tcp.flags.fin", Kind::Flag, "TCP FIN", |view, _| {
        tcp_flag(view, 1)
    }),
    again("tcp.flags.syn", Kind::Flag, "TCP SYN", |view, _| {
        tcp_flag(view, 2)
    }),
    again("tcp.flags.reset", Kind::Flag, "TCP RST", |view, _| {
        tcp_flag(view, 4)
    }),
    again("tcp.flags.push", Kind::Flag, "TCP PSH", |view, _| {
        tcp_flag(view, 8)
    }),
    again("tcp.flags.ack", Kind::Flag, "TCP ACK", |view, _| {
        tcp_flag(view, 16)
    }),
    plain(
        "tcp.window",
        Kind::Number,
        "TCP window as on the wire, not scaled",
        |view, _| match view.headers()?.transport {
            Transport::Tcp { window, .. } => Some(Value::number(window)),
            _ => None,
        },
    ),
    plain("udp.srcport", Kind::Number, "UDP source port", |view, _| {
        udp_ports(view.headers()?).map(|ports| Value::number(ports.0))
    }),
    plain("udp.dstport", Kind::Number, "UDP destination port", |view, _| {
        udp_ports(view.headers()?).map(|ports| Value::number(ports.1))
    }),
    again(
        "udp.port",
        Kind::Number,
        "UDP source or destination port",
        |view, _| udp_ports(view.headers()?).map(both),
    ),
    plain(
        "icmp.type",
        Kind::Number,
        "type of ICMP or ICMPv6",
        |view, _| match view.headers()?.transport {
            Transport::Icmp { kind, .. } => Some(Value::number(kind)),
            _ => None,
        },
    ),
    plain(
        "icmp.code",
        Kind::Number,
        "code of ICMP or ICMPv6",
        |view, _| match view.headers()?.transport {
            Transport::Icmp { code, .. } => Some(Value::number(code)),
            _ => None,
        },
    ),
    plain("dns.id", Kind::Hex, "DNS transaction", |view, _| {
        Some(Value::Hex(u64::from(view.dns()?.id)))
    }),
    plain(
        "dns.flags.response",
        Kind::Flag,
        "true for a DNS answer, false for a query",
        |view, _| Some(Value::Flag(view.dns()?.response)),
    ),
    plain(
        "dns.flags.rcode",
        Kind::Number,
        "code of a DNS answer: 0 no error, 2 server failed, 3 no such name",
        |view, _| {
            let message = view.dns()?;
            message.response.then_some(Value::number(message.rcode))
        },
    ),
    plain(
        "dns.qry.name",
        Kind::Text,
        "name that is asked for, without the last dot",
        |view, _| {
            let (name, _) = view.dns()?.question.as_ref()?;
            Some(Value::text(name))
        },
    ),
    plain(
        "dns.qry.type",
        Kind::Text,
        "type that is asked for: A, AAAA, CNAME, SRV, …",
        |view, _| {
            let (_, kind) = view.dns()?.question.as_ref()?;
            Some(match dns::type_name(*kind) {
                Cow::Borrowed(name) => Value::text(name),
                Cow::Owned(name) => Value::owned(name),
            })
        },
    ),
    plain(
        "dns.a",
        Kind::Address,
        "IPv4 addresses in a DNS answer",
        |view, _| {
            several(
                view.dns()?
                    .addresses()
                    .filter(IpAddr::is_ipv4)
                    .map(Value::Address),
            )
        },
    ),
    plain(
        "dns.aaaa",
        Kind::Address,
        "IPv6 addresses in a DNS answer",
        |view, _| {
            several(
                view.dns()?
                    .addresses()
                    .filter(IpAddr::is_ipv6)
                    .map(Value::Address),
            )
        },
    ),
    plain(
        "dns.cname",
        Kind::Text,
        "other names in a DNS answer (CNAME, PTR)",
        |view, _| several(view.dns()?.names().map(Value::text)),
    ),
    plain(
        "pkt.payload",
        Kind::Size,
        "bytes behind the transport header, on the wire",
        |view, _| Some(Value::Size(view.headers()?.payload_len)),
    ),
    again("pkt.data", Kind::Text, "the captured bytes", |view, _| {
        Some(Value::bytes(&packet(view)?.data))
    }),
];
