//! Records as the BPF programs write them (`bpf/record.h`), so that one decoder serves both engines.

use crate::source::syscalls::wire;
use stillframe_format::event::{ArgKind, When};

/// What became of a capture: `SF_WHOLE`, `SF_TRUNCATED`, `SF_FAILED` and what `original` says with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Whole,
    /// How long it was; 0 when that is not known.
    Truncated(u64),
    /// The errno.
    Failed(i32),
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) abi: u8,
    pub(super) flags: u8,
    pub(super) time: u64,
    pub(super) enter: u64,
    pub(super) args: [u64; 6],
    pub(super) ret: i64,
    pub(super) number: u32,
    pub(super) target: u32,
    pub(super) tgid: u32,
    pub(super) tid: u32,
    pub(super) comm: [u8; 16],
}

/// Records, one after the other, and how many there are of each class.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) calls: u64,
    pub(super) changes: u64,
}

/// A record that is being written.
pub(super) struct Writing<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    captures: u8,
}

impl Chunk {
    /// Begins a record; [`Writing::end`] ends it.
    pub(super) fn begin(&mut self, head: &Head) -> Writing<'_> {
        if head.kind == wire::TYPE_SYSCALL {
            self.calls += 1;
        } else {
            self.changes += 1;
        }
        let mut bytes = [0; wire::RECORD];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        put(wire::TYPE, &[head.kind]);
        put(wire::ABI, &[head.abi]);
        put(wire::FLAGS, &[head.flags]);
        put(wire::TIME, &head.time.to_ne_bytes());
        put(wire::ENTER, &head.enter.to_ne_bytes());
        for (index, arg) in head.args.iter().enumerate() {
            put(wire::ARGS + 8 * index, &arg.to_ne_bytes());
        }
        put(wire::RET, &head.ret.to_ne_bytes());
        put(wire::NR, &head.number.to_ne_bytes());
        put(wire::TARGET, &head.target.to_ne_bytes());
        put(wire::TGID, &head.tgid.to_ne_bytes());
        put(wire::TID, &head.tid.to_ne_bytes());
        put(wire::COMM, &head.comm);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&bytes);
        Writing {
            bytes: &mut self.bytes,
            start,
            captures: 0,
        }
    }
}

impl Writing<'_> {
    /// Adds a capture.
    pub(super) fn capture(&mut self, arg: u8, kind: ArgKind, when: When, fate: Fate, bytes: &[u8]) {
        let (status, original) = match fate {
            Fate::Whole => (0, 0),
            Fate::Truncated(original) => (1, original),
            Fate::Failed(errno) => (2, u64::from(errno.unsigned_abs())),
        };
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        self.bytes.extend([arg, kind as u8, when as u8, status]);
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(original.to_ne_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.captures = self.captures.saturating_add(1);
    }

    /// Fills in what is known at the end.
    pub(super) fn end(self) {
        let len = self.bytes.len().saturating_sub(self.start + wire::RECORD);
        let len = u32::try_from(len).unwrap_or(0).to_ne_bytes();
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = self.bytes.get_mut(self.start + at..self.start + at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        put(wire::DATA_LEN, &len);
        put(wire::CAPTURE_COUNT, &[self.captures]);
    }
}

/// The records of a chunk.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<{ wire::RECORD }>()?;
        let data = crate::source::tracing::record::take_u32(head, wire::DATA_LEN);
        let len = wire::RECORD.checked_add(usize::try_from(data).ok()?)?;
        let (record, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        Some(record)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::syscalls::decode::{Decoded, Decoder};
    use stillframe_format::batch::CaptureStatus;

    #[test]
    fn the_decoder_reads_what_is_written() {
        let mut chunk = Chunk::default();
        let head = Head {
            kind: wire::TYPE_SYSCALL,
            time: 2_000,
            enter: 1_500,
            args: [1, 2, 3, 4, 5, 6],
            ret: -2,
            number: 257,
            target: 1,
            tgid: 70,
            tid: 71,
            comm: *b"dd\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ..Head::default()
        };
        let mut record = chunk.begin(&head);
        record.capture(1, ArgKind::Path, When::Exit, Fate::Whole, b"/etc/passwd");
        record.capture(2, ArgKind::Buffer, When::Exit, Fate::Truncated(100), b"abc");
        record.capture(3, ArgKind::Struct, When::Entry, Fate::Failed(14), b"");
        record.end();
        chunk.begin(&head).end();
        chunk
            .begin(&Head {
                kind: wire::TYPE_EXIT,
                ..head
            })
            .end();
        assert_eq!((chunk.calls, chunk.changes), (2, 1));
        let mut decoder = Decoder::default();
        decoder.set_targets(vec!["c0ffee".to_owned()]);
        let decoded: Vec<Decoded> = records(&chunk.bytes)
            .map(|record| decoder.push(record).unwrap())
            .collect();
        assert_eq!(decoded, [Decoded::Call, Decoded::Call, Decoded::Event]);
        let (batch, _) = decoder.take();
        let row = batch.rows[0];
        assert_eq!(
            (row.time, row.duration, row.ret, row.number),
            (2_000, 500, -2, 257)
        );
        assert_eq!(row.args, [1, 2, 3, 4, 5, 6]);
        assert_eq!(batch.tasks[0].container, "c0ffee");
        let captures: Vec<_> = batch
            .captures
            .iter()
            .map(|one| (one.arg, one.status, one.when, one.original, one.len))
            .collect();
        assert_eq!(
            captures,
            [
                (1, CaptureStatus::Whole, When::Exit, 0, 11),
                (2, CaptureStatus::Truncated, When::Exit, 100, 3),
                (3, CaptureStatus::Failed, When::Entry, 14, 0),
            ]
        );
        assert_eq!(&batch.arena[..11], b"/etc/passwd");
    }

    #[test]
    fn a_cut_chunk_gives_whole_records_only() {
        let mut chunk = Chunk::default();
        for _ in 0..2 {
            chunk.begin(&Head::default()).end();
        }
        assert_eq!(records(&chunk.bytes[..wire::RECORD + 50]).count(), 1);
    }
}
