//! Socket addresses.

use super::quote;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use stillframe_format::abi::values;

/// `struct sockaddr` as it lay in memory, little endian but for what the network wants otherwise. `None` when it is too
/// short to have a family.
pub(super) fn text(bytes: &[u8], cut: bool) -> Option<String> {
    let family = u16::from_le_bytes(*bytes.first_chunk::<2>()?);
    let rest = bytes.get(2..)?;
    let known = match family {
        1 => Some(unix(rest, cut)),
        2 => inet(rest),
        10 => inet6(rest),
        16 => netlink(rest),
        17 => packet(rest),
        _ => None,
    };
    let mut out = format!("{{sa_family={}", values::AF.text(u64::from(family)));
    match known {
        Some(text) => out.push_str(&text),
        None => {
            out.push_str(", sa_data=");
            quote::string(&mut out, rest, usize::MAX, cut);
        }
    }
    out.push('}');
    Some(out)
}

fn unix(rest: &[u8], cut: bool) -> String {
    let mut out = String::new();
    match rest {
        // The address of a socket that was not bound.
        [] if !cut => {}
        [0, name @ ..] if !name.is_empty() => {
            out.push_str(", sun_path=@");
            quote::string(&mut out, name, usize::MAX, cut);
        }
        _ => {
            let end = rest.iter().position(|byte| *byte == 0);
            out.push_str(", sun_path=");
            let path = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            quote::string(&mut out, path, usize::MAX, cut && end.is_none());
        }
    }
    out
}

fn inet(rest: &[u8]) -> Option<String> {
    let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    let address = Ipv4Addr::from(*rest.get(2..)?.first_chunk::<4>()?);
    Some(format!(
        ", sin_port=htons({port}), sin_addr=inet_addr(\"{address}\")"
    ))
}

fn inet6(rest: &[u8]) -> Option<String> {
    let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    let flow = u32::from_be_bytes(*rest.get(2..)?.first_chunk::<4>()?);
    let address = Ipv6Addr::from(*rest.get(6..)?.first_chunk::<16>()?);
    let mut out = format!(
        ", sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, \"{address}\", &sin6_addr)"
    );
    if let Some(scope) = rest.get(22..).and_then(|rest| rest.first_chunk::<4>()) {
        let _ = write!(out, ", sin6_scope_id={}", u32::from_le_bytes(*scope));
    }
    Some(out)
}

fn netlink(rest: &[u8]) -> Option<String> {
    let pid = u32::from_le_bytes(*rest.get(2..)?.first_chunk::<4>()?);
    let groups = u32::from_le_bytes(*rest.get(6..)?.first_chunk::<4>()?);
    Some(format!(", nl_pid={pid}, nl_groups={groups:08x}"))
}

fn packet(rest: &[u8]) -> Option<String> {
    let protocol = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    let interface = u32::from_le_bytes(*rest.get(2..)?.first_chunk::<4>()?);
    Some(format!(
        ", sll_protocol=htons({}), sll_ifindex={interface}",
        quote::hex(u64::from(protocol))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_that_are_known() {
        let text = |bytes: &[u8]| text(bytes, false);
        assert_eq!(
            text(&[2, 0, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]).as_deref(),
            Some("{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}")
        );
        let mut six = vec![10, 0, 1, 187, 0, 0, 0, 0];
        six.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        six.extend_from_slice(&[2, 0, 0, 0]);
        assert_eq!(
            text(&six).as_deref(),
            Some(
                "{sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"::1\", &sin6_addr), sin6_scope_id=2}"
            )
        );
        assert_eq!(text(b"\x01\0").as_deref(), Some("{sa_family=AF_UNIX}"));
        assert_eq!(
            text(b"\x01\0/run/x\0junk").as_deref(),
            Some("{sa_family=AF_UNIX, sun_path=\"/run/x\"}")
        );
        assert_eq!(
            text(b"\x01\0\0abc").as_deref(),
            Some("{sa_family=AF_UNIX, sun_path=@\"abc\"}")
        );
        assert_eq!(
            text(&[16, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]).as_deref(),
            Some("{sa_family=AF_NETLINK, nl_pid=7, nl_groups=00000001}")
        );
    }

    #[test]
    fn what_is_short_or_unknown_is_shown_as_bytes() {
        assert_eq!(text(&[2], false), None);
        assert_eq!(
            text(&[2, 0, 1], true).as_deref(),
            Some("{sa_family=AF_INET, sa_data=\"\\1\"...}")
        );
        assert_eq!(
            text(&[200, 0], false).as_deref(),
            Some("{sa_family=0xc8 /* AF_??? */, sa_data=\"\"}")
        );
    }
}
