//! DNS messages in packets, read as far as their captured bytes go (RFC 1035, section 4).
//!
//! Our own reader, because a packet may be cut to the snap length: a message whose end is missing still tells what was
//! asked and the first answers. It holds names, addresses and codes, the part of DNS that an incident is about; exported
//! packets (`replay export pcapng`) give Wireshark all of it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports of DNS and of multicast DNS.
const PORTS: [u16; 2] = [53, 5353];
/// Where Docker's own resolver listens in a container's namespace, at a port of its choice to which packet filter rules
/// lead port 53 (moby v28, libnetwork/resolver.go).
const DOCKER_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// The longest name on the wire (RFC 1035, section 3.1).
const NAME_MAX: usize = 255;
/// The most answers that are read. A message of 64 KiB could hold five thousand.
const ANSWERS_MAX: usize = 64;

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// A query or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The transaction's number.
    pub id: u16,
    /// It is a response.
    pub response: bool,
    /// The response's code: 0 no error, 3 no such name.
    pub rcode: u8,
    /// The first question: name and type.
    pub question: Option<(String, u16)>,
    /// Answers, in the order of the message, 64 at most.
    pub answers: Vec<Answer>,
    /// There are answers that were not captured or not read.
    pub cut: bool,
}

/// A resource record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose it is.
    pub name: String,
    /// Its type.
    pub kind: u16,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An address (A, AAAA).
    Address(IpAddr),
    /// Another name (CNAME, PTR).
    Name(String),
    /// Something else.
    Other,
}

/// Whether a datagram between these ends is DNS, as far as ends tell.
#[must_use]
pub fn is_between(source: (IpAddr, u16), destination: (IpAddr, u16)) -> bool {
    [source, destination]
        .iter()
        .any(|(address, port)| PORTS.contains(port) || *address == DOCKER_RESOLVER)
}

/// Reads a message; `None` where it is none, or its header is cut.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<Message> {
    let [id, flags, questions, answers] = words(bytes.get(..8)?)?;
    bytes.get(..12)?;
    // Only queries (opcode 0); the bit Z is always 0 (RFC 1035, section 4.1.1).
    if flags & 0x7840 != 0 {
        return None;
    }
    let mut out = Message {
        id,
        response: flags & 0x8000 != 0,
        rcode: u8::try_from(flags & 0xf).unwrap_or(0),
        question: None,
        answers: Vec::new(),
        cut: false,
    };
    // Nobody asks two things at once; mDNS does, of which the first is told.
    let mut at = 12;
    for index in 0..questions {
        let Some((name, next)) = name(bytes, at) else {
            out.cut = true;
            break;
        };
        let Some([kind, _class]) = bytes.get(next..next.saturating_add(4)).and_then(words) else {
            out.cut = true;
            break;
        };
        if index == 0 {
            out.question = Some((name, kind));
        }
        at = next.saturating_add(4);
    }
    // Bytes that are no DNS rarely get as far as a whole question.
    if out.question.is_none() && (questions != 0 || answers == 0) {
        return None;
    }
    for _ in 0..answers {
        if out.cut || out.answers.len() >= ANSWERS_MAX {
            out.cut = true;
            break;
        }
        match answer(bytes, at) {
            Some((answer, next)) => {
                out.answers.push(answer);
                at = next;
            }
            None => out.cut = true,
        }
    }
    Some(out)
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u16; N]> {
    let mut out = [0; N];
    for (word, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = u16::from_be_bytes(pair.try_into().ok()?);
    }
    (bytes.len() >= 2 * N).then_some(out)
}

fn answer(bytes: &[u8], at: usize) -> Option<(Answer, usize)> {
    let (owner, at) = name(bytes, at)?;
    let [kind, _class, high, low, length] = words(bytes.get(at..)?.get(..10)?)?;
    let at = at.checked_add(10)?;
    let next = at.checked_add(usize::from(length))?;
    let data = bytes.get(at..next)?;
    let data = match (kind, data.len()) {
        (A, 4) => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        (AAAA, 16) => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        (CNAME | PTR, _) => Data::Name(name(bytes, at)?.0),
        _ => Data::Other,
    };
    let answer = Answer {
        name: owner,
        kind,
        ttl: u32::from(high) << 16 | u32::from(low),
        data,
    };
    Some((answer, next))
}

/// A name and the place behind it. What is no plain text in it is written as in zone files (RFC 1035, section 5.1).
fn name(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut out, mut at, mut behind) = (String::new(), at, None);
    let mut length = 0usize;
    loop {
        let first = *bytes.get(at)?;
        match first {
            0 => break,
            1..=63 => {
                let label = bytes.get(at + 1..)?.get(..usize::from(first))?;
                length += label.len() + 1;
                if length > NAME_MAX {
                    return None;
                }
                if !out.is_empty() {
                    out.push('.');
                }
                for byte in label {
                    let _ = match byte {
                        b'.' | b'\\' => write!(out, "\\{}", char::from(*byte)),
                        b'!'..=b'~' => write!(out, "{}", char::from(*byte)),
                        other => write!(out, "\\{other:03}"),
                    };
                }
                at += 1 + label.len();
            }
            // A pointer to an earlier place. It has to go back, so that no message can send us round in circles.
            0xc0.. => {
                let [pointer] = words(bytes.get(at..)?.get(..2)?)?;
                let target = usize::from(pointer & 0x3fff);
                if target >= at {
                    return None;
                }
                behind.get_or_insert(at + 2);
                at = target;
                // Pointers to pointers count too: a chain ends after as many as a name has labels.
                length += 1;
                if length > NAME_MAX {
                    return None;
                }
            }
            _ => return None,
        }
    }
    if out.is_empty() {
        out.push('.');
    }
    Some((out, behind.unwrap_or(at + 1)))
}

/// The name of a type, as zone files have it: `A`, `AAAA`, `CNAME`; `TYPE65280` where it has none here.
#[must_use]
pub fn type_name(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        A => "A",
        2 => "NS",
        CNAME => "CNAME",
        6 => "SOA",
        PTR => "PTR",
        15 => "MX",
        16 => "TXT",
        AAAA => "AAAA",
        33 => "SRV",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return Cow::Owned(format!("TYPE{other}")),
    })
}

/// The name of a response's code.
#[must_use]
pub fn rcode_name(rcode: u8) -> Cow<'static, str> {
    Cow::Borrowed(match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return Cow::Owned(format!("RCODE{other}")),
    })
}

impl Message {
    /// Addresses among the answers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answers.iter().filter_map(|answer| match answer.data {
            Data::Address(address) => Some(address),
            _ => None,
        })
    }

    /// Names among the answers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.answers.iter().filter_map(|answer| match &answer.data {
            Data::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The message in words: `DNS query A api.internal`, `DNS answer A api.internal: 10.0.0.7`.
    #[must_use]
    pub fn text(&self) -> String {
        const SHOWN: usize = 8;
        let mut out = String::from(if self.response { "DNS answer" } else { "DNS query" });
        if let Some((name, kind)) = &self.question {
            let _ = write!(out, " {} {name}", type_name(*kind));
        }
        if !self.response {
            return out;
        }
        out.push_str(": ");
        if self.rcode != 0 {
            out.push_str(&rcode_name(self.rcode));
            return out;
        }
        let mut said: Vec<Cow<'_, str>> = self
            .answers
            .iter()
            .take(SHOWN)
            .map(|answer| match &answer.data {
                Data::Address(address) => Cow::Owned(address.to_string()),
                Data::Name(name) => Cow::Borrowed(name.as_str()),
                Data::Other => type_name(answer.kind),
            })
            .collect();
        if self.cut || self.answers.len() > SHOWN {
            said.push(Cow::Borrowed("…"));
        }
        out.push_str(&if said.is_empty() {
            "no such record".to_owned()
        } else {
            said.join(", ")
        });
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A response to a question of type A for `api.internal`: first another name, then the address.
    pub(crate) fn response(address: [u8; 4]) -> Vec<u8> {
        let mut out = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        out.extend(b"\x03api\x08internal\x00\x00\x01\x00\x01");
        // CNAME web.internal, its end a pointer into the question.
        out.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x06\x03web\xc0\x10");
        // `web` stands behind the first answer's head, at 30 + 12.
        out.extend(b"\xc0\x2a\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04");
        out.extend(address);
        out
    }

    #[test]
    fn an_answer_with_pointers_is_read() {
        let message = message(&response([10, 0, 0, 7])).unwrap();
        assert_eq!(message.question, Some(("api.internal".to_owned(), 1)));
        assert_eq!(
            message.addresses().collect::<Vec<_>>(),
            [IpAddr::from([10, 0, 0, 7])]
        );
        assert_eq!(message.names().collect::<Vec<_>>(), ["web.internal"]);
        assert_eq!(message.answers[1].name, "web.internal");
        assert_eq!(message.answers[1].ttl, 5);
        assert!(!message.cut);
        assert_eq!(
            message.text(),
            "DNS answer A api.internal: web.internal, 10.0.0.7"
        );
    }

    #[test]
    fn what_is_cut_off_is_said_to_be_missing() {
        let whole = response([10, 0, 0, 7]);
        for length in 0..whole.len() {
            match message(&whole[..length]) {
                // Without the whole question it is no message.
                None => assert!(length < 30, "{length}"),
                Some(message) => {
                    assert!(length >= 30 && message.cut, "{length}");
                    assert!(message.text().ends_with('…'), "{}", message.text());
                }
            }
        }
    }

    #[test]
    fn a_query_and_failures_in_words() {
        let mut query = response([0; 4])[..30].to_vec();
        query[2] = 1;
        query[7] = 0;
        assert_eq!(message(&query).unwrap().text(), "DNS query A api.internal");
        query[2..4].copy_from_slice(&[0x81, 0x83]);
        assert_eq!(
            message(&query).unwrap().text(),
            "DNS answer A api.internal: NXDOMAIN"
        );
        query[2..4].copy_from_slice(&[0x81, 0x80]);
        assert_eq!(
            message(&query).unwrap().text(),
            "DNS answer A api.internal: no such record"
        );
    }

    #[test]
    fn pointers_in_circles_and_forward_are_refused() {
        for pointer in [[0xc0, 12], [0xc0, 14], [0xff, 0xff]] {
            let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            bytes.extend(pointer);
            bytes.extend([0, 1, 0, 1]);
            assert_eq!(message(&bytes), None);
        }
    }

    #[test]
    fn bytes_of_a_name_that_are_no_text_are_escaped() {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(b"\x05a.\x1b\\\xff\x00\x00\x01\x00\x01");
        assert_eq!(message(&bytes).unwrap().question.unwrap().0, r"a\.\027\\\255");
    }

    #[test]
    fn dns_is_known_by_its_port_and_dockers_resolver_by_its_address() {
        let end = |address: [u8; 4], port| (IpAddr::from(address), port);
        let client = end([172, 17, 0, 2], 40_000);
        assert!(is_between(client, end([10, 0, 0, 1], 53)));
        assert!(is_between(end([127, 0, 0, 11], 41_234), client));
        assert!(!is_between(client, end([10, 0, 0, 1], 123)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            head in prop::collection::vec(any::<u8>(), 12),
            body in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4, Just(0xc0u8)], 0..200),
        ) {
            for flags in [[head[2], head[3]], [0x81, 0x80]] {
                let mut bytes = head.clone();
                bytes[2..4].copy_from_slice(&flags);
                bytes.extend(&body);
                if let Some(message) = message(&bytes) {
                    prop_assert!(message.answers.len() <= ANSWERS_MAX);
                    prop_assert!(message.text().len() < 20_000);
                }
            }
        }
    }
}
