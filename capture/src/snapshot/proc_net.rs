//! Files of `/proc/PID/net/` (proc_pid_net(5)): what is left where netlink is refused.

use super::socket::{endpoint, state, unix_protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use stillframe_format::snapshot::{InterfaceInfo, RouteInfo, SocketInfo};

/// The sockets of a file: `tcp`, `tcp6`, `udp`, `udp6`, `raw`, `raw6`, `icmp`, `icmp6`, `unix`, `packet`, `netlink`.
/// Lines that are none are passed over.
pub(super) fn sockets(file: &str, text: &str) -> Vec<SocketInfo> {
    let lines = text.lines().skip(1);
    match file {
        "unix" => lines.filter_map(unix).collect(),
        "packet" => lines.filter_map(packet).collect(),
        "netlink" => lines.filter_map(netlink).collect(),
        _ => {
            let protocol = file.trim_end_matches('6');
            lines.filter_map(|line| inet(line, protocol)).collect()
        }
    }
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

/// `0100007F` or four of these: words in the host's byte order that hold network order.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(hex(text.get(at..at + 8)?)?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

fn pair(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    Some((address(ip)?, u16::try_from(hex(port)?).ok()?))
}

fn inet(line: &str, protocol: &str) -> Option<SocketInfo> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, local_port) = pair(fields.get(1)?)?;
    let (remote, remote_port) = pair(fields.get(2)?)?;
    let (send, receive) = fields.get(4)?.split_once(':')?;
    Some(SocketInfo {
        protocol: protocol.to_owned(),
        family: if local.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
        state: state(u8::try_from(hex(fields.get(3)?)?).ok()?).to_owned(),
        local: endpoint(local, local_port),
        remote: endpoint(remote, remote_port),
        recv_queue: hex(receive)?,
        send_queue: hex(send)?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
        ..SocketInfo::default()
    })
}

fn unix(line: &str) -> Option<SocketInfo> {
    /// `__SO_ACCEPTCON`, include/linux/net.h.
    const LISTENING: u32 = 1 << 16;
    let mut rest = line;
    let mut field = || {
        let trimmed = rest.trim_start_matches(' ');
        let (field, tail) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        rest = tail;
        Some(field).filter(|field| !field.is_empty())
    };
    let (_number, _references, _protocol) = (field()?, field()?, field()?);
    let flags = hex(field()?)?;
    let kind = u8::try_from(hex(field()?)?).ok()?;
    // SS_CONNECTED, include/uapi/linux/net.h.
    let connected = hex(field()?)? == 3;
    let inode = field()?.parse().ok()?;
    Some(SocketInfo {
        protocol: unix_protocol(kind).to_owned(),
        family: "unix".to_owned(),
        state: match (flags & LISTENING != 0, connected) {
            (true, _) => "LISTEN",
            (_, true) => "ESTAB",
            _ => "UNCONN",
        }
        .to_owned(),
        local: rest.to_owned(),
        inode,
        ..SocketInfo::default()
    })
}

/// `sk RefCnt Type Proto Iface R Rmem User Inode` (packet_seq_show, net/packet/af_packet.c).
fn packet(line: &str) -> Option<SocketInfo> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let interface: u32 = fields.get(4)?.parse().ok()?;
    Some(SocketInfo {
        protocol: "packet".to_owned(),
        family: "packet".to_owned(),
        state: "UNCONN".to_owned(),
        local: format!("0x{}:if{interface}", fields.get(3)?),
        recv_queue: fields.get(6)?.parse().ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(8)?.parse().ok()?,
        ..SocketInfo::default()
    })
}

/// `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode` (netlink_native_seq_show, net/netlink/af_netlink.c).
fn netlink(line: &str) -> Option<SocketInfo> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(SocketInfo {
        protocol: "netlink".to_owned(),
        family: "netlink".to_owned(),
        state: "UNCONN".to_owned(),
        local: format!("{}:{}", fields.get(1)?, fields.get(2)?),
        recv_queue: fields.get(4)?.parse().ok()?,
        send_queue: fields.get(5)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
        ..SocketInfo::default()
    })
}

/// Interfaces by `dev` (names only) and `if_inet6` (IPv6 addresses with index). IPv4 addresses are in neither.
pub(super) fn interfaces(dev: &str, if_inet6: &str) -> Vec<InterfaceInfo> {
    let mut found: Vec<InterfaceInfo> = dev
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| InterfaceInfo {
            name: name.trim().to_owned(),
            state: "unknown".to_owned(),
            ..InterfaceInfo::default()
        })
        .collect();
    for line in if_inet6.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [bytes, index, prefix, _scope, _flags, name] = fields.as_slice() else {
            continue;
        };
        let (Ok(bytes), Some(index), Some(prefix)) =
            (u128::from_str_radix(bytes, 16), hex(index), hex(prefix))
        else {
            continue;
        };
        if let Some(interface) = found.iter_mut().find(|interface| interface.name == *name) {
            interface.index = index;
            interface
                .addresses
                .push(format!("{}/{prefix}", Ipv6Addr::from(bytes)));
        }
    }
    found
}

/// Routes of the main table by `route` (IPv4) and of all tables by `ipv6_route`.
pub(super) fn routes(route: &str, ipv6_route: &str) -> Vec<RouteInfo> {
    let v4 = route.lines().skip(1).filter_map(route_v4);
    let v6 = ipv6_route.lines().filter_map(route_v6);
    v4.chain(v6).collect()
}

/// `10.0.0.0/8`, `default` for everything, the bare address for one host: as `ip route` writes it.
pub(super) fn destination(address: IpAddr, prefix: u8) -> String {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    match prefix {
        0 => "default".to_owned(),
        prefix if prefix == whole => address.to_string(),
        prefix => format!("{address}/{prefix}"),
    }
}

fn gateway(address: IpAddr) -> String {
    if address.is_unspecified() {
        String::new()
    } else {
        address.to_string()
    }
}

fn route_v4(line: &str) -> Option<RouteInfo> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let mask = hex(fields.get(7)?)?;
    Some(RouteInfo {
        interface: (*fields.first()?).to_owned(),
        destination: destination(address(fields.get(1)?)?, u8::try_from(mask.count_ones()).ok()?),
        gateway: gateway(address(fields.get(2)?)?),
        metric: fields.get(6)?.parse().ok()?,
        table: 254,
        ..RouteInfo::default()
    })
}

fn route_v6(line: &str) -> Option<RouteInfo> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let ip = |at: usize| {
        let bits = u128::from_str_radix(fields.get(at)?, 16).ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bits)))
    };
    Some(RouteInfo {
        destination: destination(ip(0)?, u8::try_from(hex(fields.get(1)?)?).ok()?),
        gateway: gateway(ip(4)?),
        metric: hex(fields.get(5)?)?,
        interface: (*fields.get(9)?).to_owned(),
        ..RouteInfo::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn inet_lines_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9EE3 0200007F:0050 01 00000003:00000004 00:00000000 00000000  1000        0 71152 1 0 100 0 0 10 0
   1: 0100007F:9EE3 torn";
        let found = sockets("tcp", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].local, "127.0.0.1:40675");
        assert_eq!(found[0].remote, "127.0.0.2:80");
        assert_eq!((found[0].send_queue, found[0].recv_queue), (3, 4));
        assert_eq!(
            (found[0].uid, found[0].inode, found[0].state.as_str()),
            (1000, 71152, "ESTAB")
        );
        let six = "head\n 0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0";
        let found = sockets("tcp6", six);
        assert_eq!(
            (found[0].local.as_str(), found[0].family.as_str()),
            ("[::1]:8080", "ipv6")
        );
        assert_eq!(found[0].protocol, "tcp");
    }

    #[test]
    fn unix_lines_keep_blanks_in_paths() {
        let text = "Num       RefCount Protocol Flags    Type St Inode Path
00000000a5770f00: 00000002 00000000 00010000 0001 01 17016 /run/a b
0000000077db6b5e: 00000003 00000000 00000000 0002 03    99
000000007b: 00000003 00000000 00000000 0005 03 7 @x";
        let found = sockets("unix", text);
        assert_eq!(found[0].local, "/run/a b");
        assert_eq!(
            (found[0].protocol.as_str(), found[0].state.as_str()),
            ("unix-stream", "LISTEN")
        );
        assert_eq!(
            (found[1].inode, found[1].local.as_str(), found[1].state.as_str()),
            (99, "", "ESTAB")
        );
        assert_eq!(found[2].local, "@x");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t5\t0000FFFF\t0\t0\t0";
        let v6 = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0";
        let found = routes(v4, v6);
        assert_eq!(
            (found[0].destination.as_str(), found[0].gateway.as_str()),
            ("default", "172.17.0.1")
        );
        assert_eq!(
            (found[1].destination.as_str(), found[1].metric),
            ("172.17.0.0/16", 5)
        );
        assert_eq!(
            (found[2].destination.as_str(), found[2].metric),
            ("fe80::/64", 256)
        );
    }

    #[test]
    fn interfaces_are_read() {
        let dev = "Inter-| Receive\n face |bytes\n    lo:  1 2 3\n  eth0: 4 5 6\n";
        let six = "00000000000000000000000000000001 01 80 10 80       lo\nbad line\n";
        let found = interfaces(dev, six);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].addresses, ["::1/128"]);
        assert_eq!((found[0].index, found[1].name.as_str()), (1, "eth0"));
    }
}
