//! The parsers of what the kernel and the engine hand over, for the targets in `fuzz/` (bytes go in, nothing may
//! panic) and for the measure in `examples/recording_path.rs`.
//!
//! Not a part of the library's interface.

use crate::source::{block, journal, kernel, logs, packets, syscalls};
use std::sync::Arc;
use stillframe_format::BootTime;
use stillframe_format::batch::SyscallBatch;
use stillframe_format::time::Anchor;

/// Pieces of the input, each behind a 16-bit length, little endian.
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let (piece, after) = after.split_at(len);
        rest = after;
        Some(piece)
    })
}

/// Records of the syscall ring.
pub fn syscalls(bytes: &[u8]) {
    let mut decoder = syscalls::decode::Decoder::default();
    decoder.set_targets(vec!["one".to_owned(), "two".to_owned()]);
    for record in pieces(bytes) {
        let _ = decoder.push(record);
    }
    decoder.take();
}

/// The calls of records of the syscall ring; what is no record of a call is left out.
pub fn batch<'a>(records: impl Iterator<Item = &'a [u8]>) -> SyscallBatch {
    let mut decoder = syscalls::decode::Decoder::default();
    decoder.set_targets(vec!["one".to_owned()]);
    for record in records {
        let _ = decoder.push(record);
    }
    decoder.take().0
}

/// Records of the block ring.
pub fn block(bytes: &[u8]) {
    let mut decoder = block::decode::Decoder::default();
    decoder.set_targets(vec!["one".to_owned()]);
    for record in pieces(bytes) {
        let _ = decoder.decode(record);
    }
}

/// A block of a packet ring.
pub fn packets(bytes: &[u8]) {
    let interface: Arc<str> = "eth0".into();
    for frame in packets::decode::Frames::new(bytes).flatten() {
        let packet = frame.packet(1, Arc::clone(&interface), 256);
        assert!(packet.data.len() <= 256, "more than the snap length");
    }
}

/// A record of `/dev/kmsg`.
pub fn kernel(bytes: &[u8]) {
    kernel::parse(bytes);
}

/// The engine's log reply, with and without a terminal, in pieces.
pub fn logs(bytes: &[u8]) {
    for tty in [false, true] {
        for size in [1, 5, usize::MAX] {
            let mut decoder = logs::decode::Decoder::new(tty);
            for piece in bytes.chunks(size) {
                if decoder.push(piece, |_| ()).is_err() {
                    break;
                }
            }
            decoder.finish(|_| ());
        }
    }
}

/// journalctl's output.
pub fn journal(bytes: &[u8]) {
    let anchor = Anchor {
        boottime: BootTime(1_000_000_000_000),
        realtime: 1_795_528_987_000_000_000,
        monotonic: 900_000_000_000,
        error: 50,
    };
    let mut entries =
        journal::entries::Entries::new("0123456789abcdef0123456789abcdef", Some("s=0".to_owned()));
    for piece in bytes.chunks(64) {
        entries.read(piece, &anchor);
    }
}
