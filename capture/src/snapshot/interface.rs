//! Network interfaces and their addresses (rtnetlink(7): RTM_GETLINK, RTM_GETADDR).

use super::proc_file::{text, text_named};
use super::{CollectError, Collected, Outcome, netlink, proc_net};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::BTreeMap;
use std::io;
use stillframe_format::snapshot::InterfaceInfo;

/// `ip address`'s names of the flags, in its order.
const FLAGS: [(LinkFlags, &str); 19] = [
    (LinkFlags::Loopback, "LOOPBACK"),
    (LinkFlags::Broadcast, "BROADCAST"),
    (LinkFlags::Pointopoint, "POINTOPOINT"),
    (LinkFlags::Multicast, "MULTICAST"),
    (LinkFlags::Noarp, "NOARP"),
    (LinkFlags::Allmulti, "ALLMULTI"),
    (LinkFlags::Promisc, "PROMISC"),
    (LinkFlags::Controller, "MASTER"),
    (LinkFlags::Port, "SLAVE"),
    (LinkFlags::Debug, "DEBUG"),
    (LinkFlags::Dynamic, "DYNAMIC"),
    (LinkFlags::Automedia, "AUTOMEDIA"),
    (LinkFlags::Portsel, "PORTSEL"),
    (LinkFlags::Notrailers, "NOTRAILERS"),
    (LinkFlags::Up, "UP"),
    (LinkFlags::Running, "RUNNING"),
    (LinkFlags::LowerUp, "LOWER_UP"),
    (LinkFlags::Dormant, "DORMANT"),
    (LinkFlags::Echo, "ECHO"),
];

pub(super) fn collect(pid: u32, netns: u64) -> Outcome<Vec<InterfaceInfo>> {
    let asked = match netlink::enter(pid) {
        Ok(()) => ask().map_err(|cause| CollectError::Kernel {
            what: "interfaces: netlink",
            cause,
        }),
        Err(CollectError::NoProcess) => return Err(CollectError::NoProcess),
        Err(error) => Err(error),
    };
    let (mut found, notes) = match asked {
        Ok(found) => found,
        Err(error) => {
            let dev = text_named(&format!("/proc/{pid}/net/dev"))?;
            let six = text(&format!("/proc/{pid}/net/if_inet6")).unwrap_or_default();
            let note =
                format!("{error}; names and IPv6 addresses are from /proc/{pid}/net, the rest is unknown");
            (proc_net::interfaces(&dev, &six), vec![note])
        }
    };
    for interface in &mut found {
        interface.netns = netns;
    }
    Ok(Collected { found, notes })
}

/// A request for a whole list.
pub(super) fn request(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// The message in a frame, header included.
pub(super) fn parse(bytes: &[u8]) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
        .ok()?
        .payload
    {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    }
}

/// Names of the interfaces by index.
pub(super) fn names() -> io::Result<BTreeMap<u32, String>> {
    let (links, _) = links()?;
    Ok(links.into_iter().map(|link| (link.index, link.name)).collect())
}

fn links() -> io::Result<(Vec<InterfaceInfo>, netlink::Dump)> {
    let request = request(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    netlink::dump(NETLINK_ROUTE, &request, Vec::new, |found, bytes| {
        match parse(bytes) {
            Some(RouteNetlinkMessage::NewLink(link)) => {
                found.push(interface(&link));
                true
            }
            _ => false,
        }
    })
}

fn ask() -> io::Result<(Vec<InterfaceInfo>, Vec<String>)> {
    let (mut found, dump) = links()?;
    let mut notes = dump.notes("interfaces");
    let request = request(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let (addresses, dump) = netlink::dump(NETLINK_ROUTE, &request, Vec::new, |found, bytes| {
        match parse(bytes) {
            Some(RouteNetlinkMessage::NewAddress(message)) => {
                found.extend(address(&message));
                true
            }
            _ => false,
        }
    })?;
    notes.extend(dump.notes("addresses"));
    for (index, address) in addresses {
        if let Some(interface) = found.iter_mut().find(|interface| interface.index == index) {
            interface.addresses.push(address);
        }
    }
    Ok((found, notes))
}

/// Interface index and `172.17.0.2/16`.
fn address(message: &AddressMessage) -> Option<(u32, String)> {
    // On a point-to-point interface IFA_ADDRESS is the other end's.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        })
    })?;
    Some((
        message.header.index,
        format!("{address}/{}", message.header.prefix_len),
    ))
}

fn interface(link: &LinkMessage) -> InterfaceInfo {
    let mut info = InterfaceInfo {
        index: link.header.index,
        state: "unknown".to_owned(),
        flags: FLAGS
            .iter()
            .filter(|(flag, _)| link.header.flags.contains(*flag))
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        ..InterfaceInfo::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => info.name.clone_from(name),
            LinkAttribute::Address(bytes) => info.mac = mac(bytes),
            LinkAttribute::Mtu(mtu) => info.mtu = *mtu,
            LinkAttribute::Link(index) => info.link = *index,
            LinkAttribute::OperState(state) => info.state = operational(*state).to_owned(),
            _ => {}
        }
    }
    info
}

fn mac(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// Names of RFC 2863 states, as in `/sys/class/net/*/operstate`.
fn operational(state: State) -> &'static str {
    match state {
        State::NotPresent => "notpresent",
        State::Down => "down",
        State::LowerLayerDown => "lowerlayerdown",
        State::Testing => "testing",
        State::Dormant => "dormant",
        State::Up => "up",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_of_a_point_to_point_link_is_taken() {
        let mut message = AddressMessage::default();
        message.header.index = 4;
        message.header.prefix_len = 32;
        message
            .attributes
            .push(AddressAttribute::Address("10.0.0.2".parse().unwrap()));
        message
            .attributes
            .push(AddressAttribute::Local("10.0.0.1".parse().unwrap()));
        assert_eq!(address(&message), Some((4, "10.0.0.1/32".to_owned())));
    }

    #[test]
    fn loopback_is_as_the_kernel_says() {
        let found = collect(std::process::id(), 9).unwrap().found;
        let lo = found.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!((lo.index, lo.netns, lo.mac.as_str()), (1, 9, "00:00:00:00:00:00"));
        assert!(lo.flags.contains(&"LOOPBACK".to_owned()));
        assert!(lo.mtu > 0);
    }
}
