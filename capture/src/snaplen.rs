//! How many bytes of what passes by are kept, class by class: `--snaplen`, `--data`, `--no-data`.
//!
//! The class of a call is that of its name, not of what its descriptor is: `read` on a socket reads. What a descriptor
//! refers to is known only where the events are read; the kernel would have to look it up at every call.

use serde::Serialize;

/// The most that is kept of a packet, in bytes: tcpdump's own bound (`MAXIMUM_SNAPLEN`).
pub const LARGEST_PACKET: u32 = 262_144;

/// What is kept of a packet unless it is said: all that IP has in one.
pub const WHOLE_PACKET: u32 = 65_535;

/// The most that is kept of a call's data, in bytes: `SF_DATA_MAX` in `bpf/record.h`.
pub const LARGEST_DATA: u32 = 4_096;

/// What the data of a call is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataClass {
    /// `read` and its kin.
    Read,
    /// `write` and its kin.
    Write,
    /// `recvfrom` and its kin.
    Recv,
    /// `sendto` and its kin.
    Send,
    /// Any other call's: links, names of entries, extended attributes, keys.
    Other,
}

impl DataClass {
    /// The class of a call, by its name.
    #[must_use]
    pub fn of(call: &str) -> Self {
        match call {
            "read" | "readv" | "pread64" | "preadv" | "preadv2" => Self::Read,
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => Self::Write,
            "recv" | "recvfrom" | "recvmsg" | "recvmmsg" | "recvmmsg_time64" => Self::Recv,
            "send" | "sendto" | "sendmsg" | "sendmmsg" => Self::Send,
            _ => Self::Other,
        }
    }
}

/// Bytes kept of a call's data, class by class; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataLimits {
    /// Of what `read` and its kin read.
    pub read: u32,
    /// Of what `write` and its kin write.
    pub write: u32,
    /// Of what `recvfrom` and its kin receive.
    pub recv: u32,
    /// Of what `sendto` and its kin send.
    pub send: u32,
    /// Of any other call's data.
    pub other: u32,
}

impl DataLimits {
    /// The same for every class.
    #[must_use]
    pub const fn all(bytes: u32) -> Self {
        Self {
            read: bytes,
            write: bytes,
            recv: bytes,
            send: bytes,
            other: bytes,
        }
    }

    /// What is kept of a call of that name, at most [`LARGEST_DATA`].
    #[must_use]
    pub fn of(&self, call: &str) -> u32 {
        let bytes = match DataClass::of(call) {
            DataClass::Read => self.read,
            DataClass::Write => self.write,
            DataClass::Recv => self.recv,
            DataClass::Send => self.send,
            DataClass::Other => self.other,
        };
        bytes.min(LARGEST_DATA)
    }
}

/// `--snaplen` as it was typed: what it does not name is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snaplen {
    /// Of a packet.
    pub packet: Option<u32>,
    read: Option<u32>,
    write: Option<u32>,
    recv: Option<u32>,
    send: Option<u32>,
    other: Option<u32>,
}

impl Snaplen {
    /// Reads `96`, which is of packets, or `packet=96,recv=512,write=0`.
    ///
    /// # Errors
    /// Says which word is wrong, and what is possible there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for word in text.split(',') {
            let (class, number) = word.split_once('=').unwrap_or(("packet", word));
            let (place, least, most) = match class {
                "packet" => (&mut found.packet, 1, LARGEST_PACKET),
                "read" => (&mut found.read, 0, LARGEST_DATA),
                "write" => (&mut found.write, 0, LARGEST_DATA),
                "recv" => (&mut found.recv, 0, LARGEST_DATA),
                "send" => (&mut found.send, 0, LARGEST_DATA),
                "other" => (&mut found.other, 0, LARGEST_DATA),
                _ => {
                    return Err(format!(
                        "{class:?} is no class: give packet, read, write, recv, send or other, as in packet=96,write=0"
                    ));
                }
            };
            let bytes = number
                .parse()
                .ok()
                .filter(|bytes| (least..=most).contains(bytes))
                .ok_or_else(|| format!("{class}: {number:?} is not a number from {least} to {most}"))?;
            if place.replace(bytes).is_some() {
                return Err(format!("{class} is given twice"));
            }
        }
        Ok(found)
    }

    /// What is kept of calls' data, where `data` is kept of what this does not name.
    #[must_use]
    pub fn data(&self, data: u32) -> DataLimits {
        DataLimits {
            read: self.read.unwrap_or(data),
            write: self.write.unwrap_or(data),
            recv: self.recv.unwrap_or(data),
            send: self.send.unwrap_or(data),
            other: self.other.unwrap_or(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_packets_and_classes_are_named() {
        let only = Snaplen::parse("96").unwrap();
        assert_eq!((only.packet, only.data(64)), (Some(96), DataLimits::all(64)));
        let several = Snaplen::parse("recv=512,write=0").unwrap();
        let data = DataLimits {
            recv: 512,
            write: 0,
            ..DataLimits::all(64)
        };
        assert_eq!((several.packet, several.data(64)), (None, data));
        assert_eq!(Snaplen::parse("read=8,96").unwrap().packet, Some(96));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, piece) in [
            ("", "packet: \"\" is not a number from 1 to 262144"),
            ("0", "from 1 to"),
            ("262145", "to 262144"),
            ("read=4097", "from 0 to 4096"),
            ("read=-1", "read: \"-1\" is not"),
            ("read=1,", "packet: \"\""),
            ("connect=1", "\"connect\" is no class: give packet, read"),
            ("send=1,send=1", "send is given twice"),
            ("9,packet=9", "packet is given twice"),
        ] {
            let error = Snaplen::parse(text).unwrap_err();
            assert!(error.contains(piece), "{text}: {error}");
        }
    }
}
