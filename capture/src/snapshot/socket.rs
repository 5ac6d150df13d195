//! Sockets of a network namespace: what `ss -a` would show inside it.
//!
//! TCP, UDP and Unix sockets come from NETLINK_SOCK_DIAG (sock_diag(7)); the other kinds, and any that the kernel
//! refuses there, from `/proc/PID/net/`.

use super::proc_file::text;
use super::{CollectError, Collected, Outcome, netlink, proc_net};
use netlink_packet_core_diag::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::unix::nlas::{Nla, UnixDiagName};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags as UnixStates, UnixRequest, UnixResponse};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use stillframe_format::snapshot::SocketInfo;

/// More sockets than this are not listed.
const MAX_SOCKETS: usize = 262_144;
/// `UDIAG_SHOW_UID` and `UNIX_DIAG_UID` (include/uapi/linux/unix_diag.h, since Linux 5.3).
const SHOW_UID: u32 = 0x40;
const UNIX_DIAG_UID: u16 = 7;

/// A list that sock_diag gives.
#[derive(Clone, Copy, Debug)]
enum List {
    Inet {
        family: u8,
        protocol: u8,
        name: &'static str,
        file: &'static str,
    },
    Unix,
}

const LISTS: [List; 5] = [
    List::Inet {
        family: AF_INET,
        protocol: IPPROTO_TCP,
        name: "tcp",
        file: "tcp",
    },
    List::Inet {
        family: AF_INET6,
        protocol: IPPROTO_TCP,
        name: "tcp",
        file: "tcp6",
    },
    List::Inet {
        family: AF_INET,
        protocol: IPPROTO_UDP,
        name: "udp",
        file: "udp",
    },
    List::Inet {
        family: AF_INET6,
        protocol: IPPROTO_UDP,
        name: "udp",
        file: "udp6",
    },
    List::Unix,
];
/// Kinds that are read from `/proc` only.
const OTHERS: [&str; 6] = ["raw", "raw6", "icmp", "icmp6", "packet", "netlink"];

pub(super) fn collect(pid: u32, netns: u64) -> Outcome<Vec<SocketInfo>> {
    let mut notes = Vec::new();
    let entered = netlink::enter(pid);
    if matches!(entered, Err(CollectError::NoProcess)) {
        return Err(CollectError::NoProcess);
    }
    let net = format!("/proc/{pid}/net");
    let mut found = Vec::new();
    for list in LISTS {
        let asked = match &entered {
            Ok(()) => ask(list).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok((sockets, more)) => {
                found.extend(sockets);
                notes.extend(more);
            }
            Err(error) => {
                let file = list.file();
                let path = format!("{net}/{file}");
                let text = text(&path).map_err(|cause| CollectError::File {
                    path: path.clone(),
                    cause,
                })?;
                notes.push(format!("{file}: sock_diag: {error}; read from {path} instead"));
                found.extend(proc_net::sockets(file, &text));
            }
        }
    }
    for file in OTHERS {
        // Not every kernel has every kind.
        if let Ok(text) = text(&format!("{net}/{file}")) {
            found.extend(proc_net::sockets(file, &text));
        }
    }
    if found.len() > MAX_SOCKETS {
        notes.push(format!(
            "sockets after the first {MAX_SOCKETS} of {} are not listed",
            found.len()
        ));
        found.truncate(MAX_SOCKETS);
    }
    for socket in &mut found {
        socket.netns = netns;
    }
    Ok(Collected { found, notes })
}

impl List {
    fn file(self) -> &'static str {
        match self {
            Self::Inet { file, .. } => file,
            Self::Unix => "unix",
        }
    }

    fn request(self) -> Vec<u8> {
        let message = match self {
            Self::Inet { family, protocol, .. } => SockDiagMessage::InetRequest(InetRequest {
                family,
                protocol,
                extensions: ExtensionFlags::empty(),
                states: StateFlags::all(),
                socket_id: if family == AF_INET {
                    SocketId::new_v4()
                } else {
                    SocketId::new_v6()
                },
            }),
            Self::Unix => SockDiagMessage::UnixRequest(UnixRequest {
                state_flags: UnixStates::from_bits_retain(u32::MAX),
                inode: 0,
                show_flags: ShowFlags::NAME
                    | ShowFlags::PEER
                    | ShowFlags::RQLEN
                    | ShowFlags::from_bits_retain(SHOW_UID),
                cookie: [0xff; 8],
            }),
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        bytes
    }
}

fn ask(list: List) -> std::io::Result<(Vec<SocketInfo>, Vec<String>)> {
    let protocol = NETLINK_SOCK_DIAG;
    let ((mut sockets, peers), dump) = netlink::dump(
        protocol,
        &list.request(),
        || (Vec::new(), BTreeMap::new()),
        |(sockets, peers): &mut (Vec<SocketInfo>, BTreeMap<u64, u64>), bytes| {
            let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(bytes) else {
                return false;
            };
            match (message.payload, list) {
                (
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)),
                    List::Inet { name, .. },
                ) => {
                    sockets.push(inet(&response, name));
                }
                (NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(response)), List::Unix) => {
                    if let Some(peer) = response.peer() {
                        peers.insert(u64::from(response.header.inode), u64::from(peer));
                    }
                    sockets.push(unix(&response));
                }
                _ => return false,
            }
            true
        },
    )?;
    name_peers(&mut sockets, &peers);
    Ok((sockets, dump.notes(list.file())))
}

/// As `ss` writes it: `*` for no port, brackets around IPv6.
pub(super) fn endpoint(address: IpAddr, port: u16) -> String {
    let text = SocketAddr::new(address, port).to_string();
    match (port, text.strip_suffix('0')) {
        (0, Some(address)) => format!("{address}*"),
        _ => text,
    }
}

/// `ss`'s name of a socket's state (TCP_ESTABLISHED …, include/net/tcp_states.h).
pub(super) fn state(number: u8) -> &'static str {
    match number {
        1 => "ESTAB",
        2 => "SYN-SENT",
        3 | 12 => "SYN-RECV",
        4 => "FIN-WAIT-1",
        5 => "FIN-WAIT-2",
        6 => "TIME-WAIT",
        7 => "UNCONN",
        8 => "CLOSE-WAIT",
        9 => "LAST-ACK",
        10 => "LISTEN",
        11 => "CLOSING",
        13 => "BOUND",
        _ => "UNKNOWN",
    }
}

fn inet(response: &InetResponse, protocol: &str) -> SocketInfo {
    let header = &response.header;
    let id = &header.socket_id;
    SocketInfo {
        protocol: protocol.to_owned(),
        family: if header.family == AF_INET { "ipv4" } else { "ipv6" }.to_owned(),
        state: state(header.state).to_owned(),
        local: endpoint(id.source_address, id.source_port),
        remote: endpoint(id.destination_address, id.destination_port),
        recv_queue: header.recv_queue,
        send_queue: header.send_queue,
        inode: u64::from(header.inode),
        uid: header.uid,
        ..SocketInfo::default()
    }
}

/// `unix-stream` and the like, from the socket type (include/linux/net.h).
pub(super) fn unix_protocol(kind: u8) -> &'static str {
    match kind {
        1 => "unix-stream",
        2 => "unix-dgram",
        5 => "unix-seqpacket",
        _ => "unix",
    }
}

fn unix(response: &UnixResponse) -> SocketInfo {
    let (recv_queue, send_queue) = response
        .nlas
        .iter()
        .find_map(|nla| match nla {
            Nla::ReceiveQueueLength(receive, send) => Some((*receive, *send)),
            _ => None,
        })
        .unwrap_or_default();
    let uid = response.nlas.iter().find_map(|nla| match nla {
        Nla::Other(other) => attribute_uid(other),
        _ => None,
    });
    SocketInfo {
        protocol: unix_protocol(response.header.kind).to_owned(),
        family: "unix".to_owned(),
        state: state(response.header.state).to_owned(),
        local: match response.name() {
            Some(UnixDiagName::Pathname(path)) => path.to_string_lossy().into_owned(),
            Some(UnixDiagName::Abstract(name)) => abstract_name(name),
            None => String::new(),
        },
        recv_queue,
        send_queue,
        inode: u64::from(response.header.inode),
        uid: uid.unwrap_or_default(),
        ..SocketInfo::default()
    }
}

fn attribute_uid(attribute: &netlink_packet_core_diag::DefaultNla) -> Option<u32> {
    use netlink_packet_core_diag::Nla as _;
    if attribute.kind() != UNIX_DIAG_UID || attribute.value_len() != 4 {
        return None;
    }
    let mut bytes = [0; 4];
    attribute.emit_value(&mut bytes);
    Some(u32::from_ne_bytes(bytes))
}

/// An abstract name as `ss` writes it: `@` for every NUL, the leading one included.
fn abstract_name(name: &[u8]) -> String {
    let name: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == 0 { b'@' } else { *byte })
        .collect();
    format!("@{}", String::from_utf8_lossy(&name))
}

/// Gives each connected Unix socket its peer's name, or `[inode]` where the peer has none.
fn name_peers(sockets: &mut [SocketInfo], peers: &BTreeMap<u64, u64>) {
    if peers.is_empty() {
        return;
    }
    let names: BTreeMap<u64, String> = sockets
        .iter()
        .filter(|socket| !socket.local.is_empty())
        .map(|socket| (socket.inode, socket.local.clone()))
        .collect();
    for socket in sockets {
        if let Some(peer) = peers.get(&socket.inode) {
            socket.remote = names.get(peer).cloned().unwrap_or_else(|| format!("[{peer}]"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    #[test]
    fn endpoints_are_written_as_ss_writes_them() {
        assert_eq!(endpoint("0.0.0.0".parse().unwrap(), 0), "0.0.0.0:*");
        assert_eq!(endpoint("::".parse().unwrap(), 80), "[::]:80");
        assert_eq!(endpoint("::1".parse().unwrap(), 0), "[::1]:*");
        assert_eq!(endpoint("10.0.0.1".parse().unwrap(), 8000), "10.0.0.1:8000");
    }

    #[test]
    fn a_nul_inside_an_abstract_name_is_seen() {
        assert_eq!(abstract_name(b"a\0b"), "@a@b");
    }

    #[test]
    fn own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let udp = UdpSocket::bind("[::1]:0")
            .or_else(|_| UdpSocket::bind("127.0.0.1:0"))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let unix = UnixListener::bind(&path).unwrap();
        let collected = collect(std::process::id(), 5).unwrap();
        let find = |protocol: &str, local: &str| {
            collected
                .found
                .iter()
                .find(|socket| socket.protocol == protocol && socket.local == local)
                .unwrap_or_else(|| panic!("{protocol} {local} is not in {:?}", collected.found))
        };
        let listening = find("tcp", &at.to_string());
        assert_eq!(
            (listening.state.as_str(), listening.remote.as_str()),
            ("LISTEN", "0.0.0.0:*")
        );
        assert_eq!(listening.recv_queue, 1, "one connection waits to be accepted");
        let connected = find("tcp", &client.local_addr().unwrap().to_string());
        assert_eq!(
            (connected.state.as_str(), connected.remote.as_str()),
            ("ESTAB", at.to_string().as_str())
        );
        assert_eq!(connected.netns, 5);
        assert_eq!(
            find("udp", &udp.local_addr().unwrap().to_string()).state,
            "UNCONN"
        );
        let listening = find("unix-stream", &path.to_string_lossy());
        assert_eq!(listening.state, "LISTEN");
        assert_eq!(
            listening.name(),
            format!("UNIX-STREAM:[{},\"{}\"]", listening.inode, path.display())
        );
        drop(unix);
    }
}
