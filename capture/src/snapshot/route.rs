//! Routes of every table, IPv4 and IPv6 (rtnetlink(7): RTM_GETROUTE).

use super::interface::{names, parse, request};
use super::proc_file::text;
use super::{CollectError, Collected, Outcome, netlink, proc_net};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use stillframe_format::snapshot::RouteInfo;

/// More routes than this are not listed: a router may hold the internet's million.
const MAX_ROUTES: usize = 100_000;

pub(super) fn collect(pid: u32, netns: u64) -> Outcome<Vec<RouteInfo>> {
    let asked = match netlink::enter(pid) {
        Ok(()) => ask().map_err(|cause| CollectError::Kernel {
            what: "routes: netlink",
            cause,
        }),
        Err(CollectError::NoProcess) => return Err(CollectError::NoProcess),
        Err(error) => Err(error),
    };
    let (mut found, mut notes) = match asked {
        Ok(found) => found,
        Err(error) => {
            let path = format!("/proc/{pid}/net/route");
            let v4 = text(&path).map_err(|cause| CollectError::File { path, cause })?;
            let v6 = text(&format!("/proc/{pid}/net/ipv6_route")).unwrap_or_default();
            let note = format!("{error}; read from /proc/{pid}/net, which has only the main table of IPv4");
            (proc_net::routes(&v4, &v6), vec![note])
        }
    };
    if found.len() > MAX_ROUTES {
        notes.push(format!(
            "routes after the first {MAX_ROUTES} of {} are not listed",
            found.len()
        ));
        found.truncate(MAX_ROUTES);
    }
    for route in &mut found {
        route.netns = netns;
    }
    Ok(Collected { found, notes })
}

fn ask() -> io::Result<(Vec<RouteInfo>, Vec<String>)> {
    let names = names()?;
    let mut found = Vec::new();
    let mut notes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let request = request(RouteNetlinkMessage::GetRoute(message));
        let each = |found: &mut Vec<RouteInfo>, bytes: &[u8]| match parse(bytes) {
            Some(RouteNetlinkMessage::NewRoute(message)) => {
                if found.len() <= MAX_ROUTES {
                    found.extend(routes(&message, &names));
                }
                true
            }
            _ => false,
        };
        match netlink::dump(NETLINK_ROUTE, &request, Vec::new, each) {
            Ok((routes, dump)) => {
                found.extend(routes);
                notes.extend(dump.notes("routes"));
            }
            // A host without IPv6 has no such table.
            Err(error) if family == AddressFamily::Inet6 => notes.push(format!("IPv6 routes: {error}")),
            Err(error) => return Err(error),
        }
    }
    Ok((found, notes))
}

/// A route, once for each of its next hops.
fn routes(message: &RouteMessage, names: &BTreeMap<u32, String>) -> Vec<RouteInfo> {
    let header = &message.header;
    let mut route = RouteInfo {
        destination: destination(message),
        table: u32::from(header.table),
        protocol: protocol(header.protocol),
        ..RouteInfo::default()
    };
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(address) => route.source = text_of(address),
            RouteAttribute::MultiPath(next) => hops.extend(next),
            _ => {}
        }
    }
    if hops.is_empty() {
        let interface = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        return vec![RouteInfo {
            gateway: gateway(&message.attributes),
            interface: interface.map(|index| name(index, names)).unwrap_or_default(),
            ..route
        }];
    }
    hops.into_iter()
        .map(|hop| RouteInfo {
            gateway: gateway(&hop.attributes),
            interface: name(hop.interface_index, names),
            ..route.clone()
        })
        .collect()
}

fn name(index: u32, names: &BTreeMap<u32, String>) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}

fn gateway(attributes: &[RouteAttribute]) -> String {
    attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => Some(text_of(address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => Some(address.to_string()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => Some(address.to_string()),
            _ => None,
        })
        .unwrap_or_default()
}

fn text_of(address: &RouteAddress) -> String {
    match address {
        RouteAddress::Inet(address) => address.to_string(),
        RouteAddress::Inet6(address) => address.to_string(),
        _ => String::new(),
    }
}

/// `default`, `172.17.0.0/16`; with the type before it, as `ip route` does, where packets go nowhere.
fn destination(message: &RouteMessage) -> String {
    let header = &message.header;
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    });
    let any = match header.address_family {
        AddressFamily::Inet6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::from(Ipv4Addr::UNSPECIFIED),
    };
    let text = proc_net::destination(address.unwrap_or(any), header.destination_prefix_length);
    match header.kind {
        RouteType::BlackHole => format!("blackhole {text}"),
        RouteType::Unreachable => format!("unreachable {text}"),
        RouteType::Prohibit => format!("prohibit {text}"),
        RouteType::Throw => format!("throw {text}"),
        _ => text,
    }
}

/// `ip route`'s names (RTPROT_, include/uapi/linux/rtnetlink.h); a number for what has none.
fn protocol(protocol: RouteProtocol) -> String {
    match u8::from(protocol) {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        other => return other.to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteNextHop;

    fn message(prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = prefix;
        message.header.table = 254;
        message.header.protocol = RouteProtocol::Static;
        message.attributes = attributes;
        message
    }

    #[test]
    fn every_next_hop_is_a_route() {
        let hop = |index, gateway: [u8; 4]| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop.attributes
                .push(RouteAttribute::Gateway(RouteAddress::Inet(gateway.into())));
            hop
        };
        let hops = vec![hop(2, [10, 0, 0, 1]), hop(3, [10, 0, 1, 1])];
        let message = message(
            0,
            vec![RouteAttribute::MultiPath(hops), RouteAttribute::Table(1000)],
        );
        let found = routes(&message, &BTreeMap::from([(2, "eth0".to_owned())]));
        let seen: Vec<_> = found
            .iter()
            .map(|route| (route.gateway.as_str(), route.interface.as_str()))
            .collect();
        assert_eq!(seen, [("10.0.0.1", "eth0"), ("10.0.1.1", "if3")]);
        assert_eq!((found[0].destination.as_str(), found[0].table), ("default", 1000));
        assert_eq!(found[0].protocol, "static");
    }

    #[test]
    fn a_blackhole_is_told_from_a_route() {
        let mut message = message(
            8,
            vec![RouteAttribute::Destination(RouteAddress::Inet(
                [10, 0, 0, 0].into(),
            ))],
        );
        message.header.kind = RouteType::BlackHole;
        assert_eq!(
            routes(&message, &BTreeMap::new())[0].destination,
            "blackhole 10.0.0.0/8"
        );
    }
}
