//! Which link type a kernel interface's packets have.

/// Ethernet frames, without their checksum.
pub const LINKTYPE_ETHERNET: u16 = 1;
/// IPv4 or IPv6 packets without anything before them.
pub const LINKTYPE_RAW: u16 = 101;
/// "Cooked": a header of 20 bytes made by the capturing program (protocol, interface, hardware type, direction,
/// address), then the packet from its network header on. It fits every interface.
pub const LINKTYPE_LINUX_SLL2: u16 = 276;

/// The link type of what a packet socket gives for an interface, by the interface's hardware type
/// (`ARPHRD_` of include/uapi/linux/if_arp.h, in `sll_hatype`). `None` when the hardware type is not known here or
/// its frames start with different things from kernel to kernel: then write [`LINKTYPE_LINUX_SLL2`].
///
/// For [`LINKTYPE_RAW`] only the part from the network header on may be written: a GRE interface with a
/// multicast peer has its outer header before that, in one direction or both.
#[must_use]
pub fn of_hardware(arphrd: u16) -> Option<u16> {
    const ETHER: u16 = 1;
    const PPP: u16 = 512;
    const RAWIP: u16 = 519;
    const TUNNEL: u16 = 768;
    const TUNNEL6: u16 = 769;
    const LOOPBACK: u16 = 772;
    const SIT: u16 = 776;
    const IPGRE: u16 = 778;
    const IP6GRE: u16 = 823;
    const NONE: u16 = 0xFFFE;
    match arphrd {
        // The loopback interface has an Ethernet header with empty addresses (drivers/net/loopback.c, eth_header_ops).
        ETHER | LOOPBACK => Some(LINKTYPE_ETHERNET),
        PPP | RAWIP | TUNNEL | TUNNEL6 | SIT | IPGRE | IP6GRE | NONE => Some(LINKTYPE_RAW),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interfaces_of_containers_have_link_types() {
        assert_eq!(
            of_hardware(1),
            Some(LINKTYPE_ETHERNET),
            "veth, bridge, macvlan, dummy"
        );
        assert_eq!(of_hardware(772), Some(LINKTYPE_ETHERNET), "lo");
        assert_eq!(of_hardware(65534), Some(LINKTYPE_RAW), "tun, wireguard");
        assert_eq!(of_hardware(778), Some(LINKTYPE_RAW), "gre");
        assert_eq!(of_hardware(32), None, "InfiniBand");
        assert_eq!(of_hardware(824), None, "netlink");
    }
}
