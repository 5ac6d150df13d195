//! Records of io_uring's requests to events.

use super::wire;
use crate::source::tracing::record::{take, take_u32, take_u64};
use std::sync::Arc;
use stillframe_format::abi::uring as abi;
use stillframe_format::event::{Task, Uring, UringStep};

/// Whether a record is of a request.
pub(super) fn is(kind: u8) -> bool {
    matches!(
        kind,
        wire::TYPE_URING_SUBMIT | wire::TYPE_URING_COMPLETE | wire::TYPE_URING_OVERFLOW
    )
}

/// Decodes a request of `task`.
pub(super) fn request(kind: u8, header: &[u8; wire::RECORD], task: Arc<Task>) -> Result<Uring, &'static str> {
    let argument = |index: usize| take_u64(header, wire::ARGS + 8 * index);
    let word = |index: usize| take_u32(header, wire::ARGS + 8 * index);
    let opcode = match take_u32(header, wire::NR).checked_sub(1) {
        Some(opcode) => Some(u8::try_from(opcode).map_err(|_| "its operation is out of range")?),
        None => None,
    };
    let result = i32::try_from(i64::from_ne_bytes(take(header, wire::RET)));
    let result = result.map_err(|_| "its result is out of range");
    let flags = word(2);
    let step = match kind {
        wire::TYPE_URING_SUBMIT => UringStep::Submit {
            fd: opcode
                .is_some_and(abi::has_descriptor)
                .then(|| word(3).cast_signed()),
            flags: u8::try_from(flags).map_err(|_| "its flags are out of range")?,
        },
        wire::TYPE_URING_COMPLETE => {
            let submitted = take_u64(header, wire::ENTER);
            UringStep::Complete {
                result: result?,
                flags,
                latency: (submitted != 0).then(|| take_u64(header, wire::TIME).saturating_sub(submitted)),
            }
        }
        wire::TYPE_URING_OVERFLOW => UringStep::Overflow {
            result: result?,
            flags,
        },
        _ => return Err("its type is unknown"),
    };
    Ok(Uring {
        task,
        step,
        ring: argument(0),
        user_data: argument(1),
        opcode,
        // The recorder knows what it refers to.
        descriptor: None,
        cpu: u16::from_ne_bytes(take(header, wire::CPU)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Record;
    use super::super::{Decoded, Decoder};
    use super::*;
    use stillframe_format::Body;

    fn record(kind: u8, operation: u32, args: [u64; 4]) -> Record {
        let mut record = Record::new(kind);
        record.put(wire::NR, &operation.to_ne_bytes());
        for (index, value) in args.into_iter().enumerate() {
            record.put(wire::ARGS + 8 * index, &value.to_ne_bytes());
        }
        record
    }

    fn decoded(record: &Record) -> Uring {
        let mut decoder = Decoder::default();
        decoder.set_targets(vec!["c0ffee".to_owned()]);
        assert_eq!(decoder.push(&record.0), Ok(Decoded::Request));
        let (_, mut events) = decoder.take();
        match events.pop().map(|draft| (draft.time.0, draft.cpu, draft.body)) {
            Some((2_000, 3, Body::Uring(request))) if events.is_empty() => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_submission_has_a_descriptor_where_its_operation_has_one() {
        let read = decoded(&record(wire::TYPE_URING_SUBMIT, 23, [7, 8, 16, 0xffff_fff7]));
        assert_eq!((read.ring, read.user_data, read.cpu), (7, 8, 3));
        assert_eq!(read.opcode, Some(22));
        assert_eq!(
            read.step,
            UringStep::Submit {
                fd: Some(-9),
                flags: 16
            }
        );
        assert_eq!((read.task.pid, read.task.tid), (70, 71));
        assert_eq!(read.task.container, "c0ffee");
        let open = decoded(&record(wire::TYPE_URING_SUBMIT, 19, [7, 8, 0, 3]));
        assert_eq!(open.step, UringStep::Submit { fd: None, flags: 0 });
    }

    #[test]
    fn a_completion_has_its_time_where_the_submission_was_seen() {
        let mut done = record(wire::TYPE_URING_COMPLETE, 23, [7, 8, 0xffff_ffff, 0]);
        done.put(wire::RET, &(-2_i64).to_ne_bytes());
        let step = |latency| UringStep::Complete {
            result: -2,
            flags: u32::MAX,
            latency,
        };
        assert_eq!(decoded(&done).step, step(Some(500)));
        done.put(wire::ENTER, &[0; 8]).put(wire::NR, &[0; 4]);
        let unknown = decoded(&done);
        assert_eq!((unknown.step, unknown.opcode), (step(None), None));
        done.put(wire::TYPE, &[wire::TYPE_URING_OVERFLOW]);
        assert_eq!(
            decoded(&done).step,
            UringStep::Overflow {
                result: -2,
                flags: u32::MAX
            }
        );
    }

    #[test]
    fn what_the_kernel_cannot_mean_is_refused() {
        let mut wide = record(wire::TYPE_URING_COMPLETE, 0, [0; 4]);
        wide.put(wire::RET, &(1_i64 << 40).to_ne_bytes());
        for bad in [
            record(wire::TYPE_URING_SUBMIT, 257, [0; 4]),
            record(wire::TYPE_URING_SUBMIT, 1, [0, 0, 256, 0]),
            wide,
        ] {
            assert!(Decoder::default().push(&bad.0).is_err());
        }
    }
}
