//! Socket addresses as text, the way `ss` writes them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `AF_UNIX` (include/linux/socket.h, 6.1), and those below.
pub(super) const UNIX: u16 = 1;
pub(super) const INET: u16 = 2;
pub(super) const INET6: u16 = 10;

/// Falco's word for an address family.
pub(super) fn family(number: u16) -> &'static str {
    match number {
        UNIX => "unix",
        INET => "ipv4",
        INET6 => "ipv6",
        16 => "netlink",
        17 => "packet",
        40 => "vsock",
        _ => "socket",
    }
}

/// The text of a `struct sockaddr`; `None` when it is cut, or of a family that has no text here.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    match u16::from_le_bytes(*family) {
        INET => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address: [u8; 4] = *rest.first_chunk()?;
            Some(format!(
                "{}:{}",
                Ipv4Addr::from(address),
                u16::from_be_bytes(*port)
            ))
        }
        INET6 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address: [u8; 16] = *rest.get(4..)?.first_chunk()?;
            Some(format!(
                "[{}]:{}",
                Ipv6Addr::from(address),
                u16::from_be_bytes(*port)
            ))
        }
        UNIX => Some(match rest.split_first() {
            // The autobound or unnamed address.
            None => String::new(),
            // An abstract name: everything behind the NUL belongs to it.
            Some((0, [])) => String::new(),
            Some((0, name)) => format!("@{}", String::from_utf8_lossy(name).trim_end_matches('\0')),
            Some(_) => {
                let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned()
            }
        }),
        _ => None,
    }
}

/// The port of an address that [`text`] wrote, with `:`.
pub(super) fn port(text: &str) -> &str {
    text.rfind(':').and_then(|at| text.get(at..)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_ss_writes_them() {
        assert_eq!(
            text(&[2, 0, 0, 80, 127, 0, 0, 1, 0, 0]).as_deref(),
            Some("127.0.0.1:80")
        );
        let mut six = vec![10, 0, 0x1f, 0x90, 0, 0, 0, 0];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(text(&six).as_deref(), Some("[::1]:8080"));
        assert_eq!(text(b"\x01\0/run/x.sock\0\0").as_deref(), Some("/run/x.sock"));
        assert_eq!(text(b"\x01\0\0name").as_deref(), Some("@name"));
        assert_eq!(text(b"\x01\0").as_deref(), Some(""));
        for cut in [
            &b""[..],
            b"\x02",
            b"\x02\0\0",
            b"\x0a\0\0\x50\0\0\0\0\0",
            b"\x63\0abc",
        ] {
            assert_eq!(text(cut), None);
        }
        assert_eq!(port("[::1]:8080"), ":8080");
    }
}
