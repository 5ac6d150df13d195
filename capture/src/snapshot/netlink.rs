//! Asking the kernel for lists over netlink (netlink(7)), inside a network namespace.

use super::CollectError;
use super::proc_file::link;
use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The kernel fills at most this much for one read of a dump (netlink_dump, net/netlink/af_netlink.c, Linux 6.12: 32 KiB).
const BUFFER: usize = 64 * 1024;
/// How often a list that changed while it was read is read again.
const ATTEMPTS: u32 = 3;
/// Seconds to wait for a part of a list.
const PATIENCE: i64 = 3;

const HEADER: usize = 16;
const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
const DUMP_INTERRUPTED: u16 = 0x10;

/// Moves the calling thread into the network namespace of process `pid`, unless it is there already. The thread
/// must end afterwards: nothing moves it back.
pub(super) fn enter(pid: u32) -> Result<(), CollectError> {
    if pid == 0 {
        return Err(CollectError::NoProcess);
    }
    let path = format!("/proc/{pid}/ns/net");
    let theirs = link(&path);
    if !theirs.is_empty() && theirs == link("/proc/thread-self/ns/net") {
        return Ok(());
    }
    let namespace = File::open(&path).map_err(|cause| CollectError::File { path, cause })?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| CollectError::Kernel {
        what: "entering the network namespace",
        cause: denied(errno),
    })
}

/// An errno as an error; EPERM, which setns and netlink give, counts as a missing permission.
fn denied(errno: nix::Error) -> io::Error {
    io::Error::from(errno)
}

/// A message of a netlink datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame<'a> {
    kind: u16,
    flags: u16,
    /// Header and payload.
    bytes: &'a [u8],
}

/// Splits a datagram into its messages (struct nlmsghdr, include/uapi/linux/netlink.h). What does not parse ends it.
fn frames(datagram: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER)?;
        let half = |at: usize| Some(u16::from_ne_bytes(header.get(at..at + 2)?.try_into().ok()?));
        let length = u32::from_ne_bytes(header.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER)?;
        let bytes = rest.get(..length)?;
        let frame = Frame {
            kind: half(4)?,
            flags: half(6)?,
            bytes,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// The errno (0 for none) that begins the payload of an error or of the end of a dump.
fn status(frame: &Frame) -> i32 {
    frame
        .bytes
        .get(HEADER..HEADER + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i32::from_ne_bytes)
}

/// What became of a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dump {
    /// The list changed while it was read, every time: it may lack entries or have some twice.
    pub(super) interrupted: bool,
    /// Messages that `each` did not understand.
    pub(super) unread: u64,
}

/// Sends a request for a list and hands each message (header included) to `each`, which says whether it
/// understood. A list that changed while it was read is asked for again; `start` is called before each attempt.
pub(super) fn dump<T>(
    protocol: isize,
    request: &[u8],
    mut start: impl FnMut() -> T,
    mut each: impl FnMut(&mut T, &[u8]) -> bool,
) -> io::Result<(T, Dump)> {
    let mut attempt = 1;
    loop {
        let mut found = start();
        let result = ask(protocol, request, |bytes| each(&mut found, bytes))?;
        if !result.interrupted || attempt >= ATTEMPTS {
            return Ok((found, result));
        }
        attempt += 1;
    }
}

fn ask(protocol: isize, request: &[u8], mut each: impl FnMut(&[u8]) -> bool) -> io::Result<Dump> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
    socket.send(request, 0)?;
    let mut buffer = vec![0; BUFFER];
    let mut dump = Dump::default();
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC)?;
        let Some(datagram) = buffer.get(..length) else {
            return Err(io::Error::other(format!(
                "netlink: a message of {length} bytes was cut"
            )));
        };
        let mut any = false;
        for frame in frames(datagram) {
            any = true;
            dump.interrupted |= frame.flags & DUMP_INTERRUPTED != 0;
            match frame.kind {
                NOOP => {}
                ERROR | DONE => {
                    return match status(&frame) {
                        0 => Ok(dump),
                        errno => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
                    };
                }
                OVERRUN => return Err(io::Error::other("netlink: the kernel lost part of the list")),
                _ => dump.unread += u64::from(!each(frame.bytes)),
            }
        }
        if !any {
            return Err(io::Error::other("netlink: an answer that is no message"));
        }
    }
}

impl Dump {
    /// Remarks on a list called `what`.
    pub(super) fn notes(self, what: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.interrupted {
            notes.push(format!(
                "{what}: the list changed while it was read, {ATTEMPTS} times"
            ));
        }
        if self.unread > 0 {
            notes.push(format!(
                "{what}: {} messages of the kernel are not in a known form",
                self.unread
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_are_split_at_their_padded_lengths() {
        let datagram = [frame(20, 2, b"abcde"), frame(DONE, 0, &(-13_i32).to_ne_bytes())].concat();
        let found: Vec<_> = frames(&datagram).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].flags), (20, 2));
        assert_eq!(found[0].bytes.get(HEADER..), Some(&b"abcde"[..]));
        assert_eq!(status(&found[1]), -13);
    }

    #[test]
    fn lengths_that_lie_end_the_datagram() {
        let mut short = frame(20, 0, b"");
        short.splice(0..4, 4_u32.to_ne_bytes());
        assert_eq!(frames(&short).count(), 0);
        let mut long = frame(20, 0, b"");
        long.splice(0..4, u32::MAX.to_ne_bytes());
        assert_eq!(frames(&long).count(), 0);
        assert_eq!(frames(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn a_thread_that_is_there_already_needs_no_right_to_enter() {
        assert!(enter(std::process::id()).is_ok());
        assert!(matches!(enter(0), Err(CollectError::NoProcess)));
    }
}
