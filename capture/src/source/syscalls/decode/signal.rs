//! Records of signals and of the OOM killer's victims to changes of a process.

use super::{Task, capture, wire};
use crate::source::tracing::record::{comm, container, take, take_u32, take_u64};
use std::sync::Arc;
use stillframe_format::event::{OomKill, OomPages, ProcessChange, Signal, SignalStep};

/// The signals that there are: `_NSIG`.
const SIGNALS: std::ops::RangeInclusive<u32> = 1..=64;

/// The small structures behind a record.
#[derive(Default)]
struct Behind<'a> {
    name: &'a [u8],
    siginfo: &'a [u8],
}

fn behind<'a>(header: &[u8; wire::RECORD], data: &'a [u8]) -> Result<Behind<'a>, &'static str> {
    let mut found = Behind::default();
    let mut left = data;
    let [count] = take(header, wire::CAPTURE_COUNT);
    for _ in 0..count {
        let (what, bytes, after) = capture(left)?;
        match what.arg {
            0 if bytes.len() <= wire::SIGINFO => found.siginfo = bytes,
            1 if bytes.len() <= 16 => found.name = bytes,
            _ => return Err("a capture that is not of a signal"),
        }
        left = after;
    }
    Ok(found)
}

fn argument(header: &[u8; wire::RECORD], index: usize) -> u64 {
    take_u64(header, wire::ARGS + 8 * index)
}

/// Another thread than the record's, of which argument `index` and the next tell.
fn other(header: &[u8; wire::RECORD], index: usize, name: &[u8], targets: &[String]) -> Option<Arc<Task>> {
    let [tid, tgid]: [u32; 2] = {
        let both = argument(header, index);
        [low(both), low(both >> 32)]
    };
    (tid != 0).then(|| {
        Arc::new(Task {
            pid: tgid,
            tid,
            comm: comm(&take(name, 0)),
            container: container(targets, low(argument(header, index + 1))),
        })
    })
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Decodes a signal.
pub(super) fn signal(
    kind: u8,
    header: &[u8; wire::RECORD],
    data: &[u8],
    targets: &[String],
) -> Result<ProcessChange, &'static str> {
    let behind = behind(header, data)?;
    let number = take_u32(header, wire::NR);
    if !SIGNALS.contains(&number) {
        return Err("its signal is none");
    }
    let is_delivery = kind == wire::TYPE_SIGNAL_DELIVERED;
    let step = match (is_delivery, argument(header, 3)) {
        // TRACE_SIGNAL_…, include/trace/events/signal.h.
        (false, 0) => SignalStep::Sent,
        (false, 1) => SignalStep::SentIgnored,
        (false, 2) => SignalStep::SentAlready,
        (false, 3) => SignalStep::SentOverflow,
        (false, 4) => SignalStep::SentWithoutInfo,
        (true, action) if action == u64::from(wire::ACTION_UNKNOWN) => SignalStep::Delivered,
        (true, action) if action == u64::from(wire::ACTION_HANDLER) => SignalStep::DeliveredHandler,
        (true, action) if action == u64::from(wire::ACTION_DEFAULT) => SignalStep::DeliveredDefault,
        (true, action) if action == u64::from(wire::ACTION_IGNORED) => SignalStep::DeliveredIgnored,
        _ => return Err("what became of its signal is unknown"),
    };
    let flags = argument(header, 4);
    Ok(ProcessChange::Signal(Box::new(Signal {
        number,
        step,
        code: low(argument(header, 0)).cast_signed(),
        sender: other(header, 1, behind.name, targets),
        fatal: flags & wire::SIGNAL_FATAL != 0,
        process_wide: flags & wire::SIGNAL_PROCESS != 0,
        info: behind.siginfo.to_vec(),
    })))
}

/// Decodes an OOM kill.
pub(super) fn oom_kill(
    header: &[u8; wire::RECORD],
    data: &[u8],
    targets: &[String],
) -> Result<ProcessChange, &'static str> {
    let behind = behind(header, data)?;
    // A counter's common part may be below zero, which is none (percpu_counter_read_positive).
    let pages = |index| u64::try_from(argument(header, index).cast_signed()).unwrap_or(0);
    let is_known = take_u64(header, wire::ENTER) != 0;
    Ok(ProcessChange::OomKill(Box::new(OomKill {
        trigger: other(header, 0, behind.name, targets),
        score_adj: low(take_u64(header, wire::RET)).cast_signed(),
        pages: is_known.then(|| OomPages {
            total_vm: pages(2),
            anon: pages(3),
            file: pages(4),
            shmem: pages(5),
        }),
    })))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Record;
    use super::super::{Decoded, Decoder};
    use super::*;
    use stillframe_format::Body;

    fn siginfo(pid: u8) -> Vec<u8> {
        let mut bytes = vec![0; wire::SIGINFO];
        bytes[0] = 15;
        bytes[16] = pid;
        bytes
    }

    /// As `bpf/signals.h` writes it.
    fn record(kind: u8, args: [u64; 5], info: Option<&[u8]>) -> Record {
        let mut record = Record::new(kind);
        record.put(wire::NR, &15_u32.to_ne_bytes());
        for (index, arg) in args.iter().enumerate() {
            record.put(wire::ARGS + 8 * index, &arg.to_ne_bytes());
        }
        record.capture(5, 0, 0, b"kill\0junk\0\0\0\0\0\0\0");
        if let Some(info) = info {
            record.capture(5, 0, 0, info);
            let at = wire::RECORD + 32;
            record.put(at, &[0]);
        }
        record
    }

    fn decoded(record: &Record) -> (Arc<Task>, ProcessChange) {
        let mut decoder = Decoder::default();
        decoder.set_targets(vec!["one".to_owned(), "two".to_owned()]);
        assert_eq!(decoder.push(&record.0), Ok(Decoded::Event));
        match decoder.take().1.remove(0).body {
            Body::Process(process) => (process.task, process.change),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_signal_that_is_sent_names_its_sender() {
        let args = [
            0,
            0x0000_0007_0000_0008,
            2,
            0,
            wire::SIGNAL_FATAL | wire::SIGNAL_PROCESS,
        ];
        let (task, change) = decoded(&record(wire::TYPE_SIGNAL_GENERATED, args, Some(&siginfo(7))));
        assert_eq!((task.tid, task.container.as_str()), (71, "one"));
        let ProcessChange::Signal(signal) = change else {
            panic!("{change:?}")
        };
        let sender = Task {
            pid: 7,
            tid: 8,
            comm: b"kill".to_vec(),
            container: "two".to_owned(),
        };
        assert_eq!(
            *signal,
            Signal {
                number: 15,
                step: SignalStep::Sent,
                code: 0,
                sender: Some(Arc::new(sender)),
                fatal: true,
                process_wide: true,
                info: siginfo(7),
            }
        );
    }

    #[test]
    fn what_the_kernel_sends_has_no_sender_and_may_have_no_siginfo() {
        let args = [128, 0, 0, 1, 0];
        let (_, change) = decoded(&record(wire::TYPE_SIGNAL_GENERATED, args, None));
        let ProcessChange::Signal(signal) = change else {
            panic!("{change:?}")
        };
        assert_eq!((signal.code, signal.step), (128, SignalStep::SentIgnored));
        assert!(signal.sender.is_none() && signal.info.is_empty() && !signal.fatal);
    }

    #[test]
    fn a_delivery_says_what_is_done_about_it() {
        let steps = [
            SignalStep::Delivered,
            SignalStep::DeliveredHandler,
            SignalStep::DeliveredDefault,
            SignalStep::DeliveredIgnored,
        ];
        for (action, expected) in (0..).zip(steps) {
            let args = [(-6_i64).cast_unsigned(), 0, 0, action, 0];
            let (_, change) = decoded(&record(wire::TYPE_SIGNAL_DELIVERED, args, Some(&siginfo(7))));
            let ProcessChange::Signal(signal) = change else {
                panic!("{change:?}")
            };
            assert_eq!((signal.step, signal.code), (expected, -6));
        }
        let mut decoder = Decoder::default();
        let unknown = record(wire::TYPE_SIGNAL_DELIVERED, [0, 0, 0, 4, 0], None);
        assert!(decoder.push(&unknown.0).is_err());
        let mut none = record(wire::TYPE_SIGNAL_DELIVERED, [0; 5], None);
        none.put(wire::NR, &65_u32.to_ne_bytes());
        assert!(decoder.push(&none.0).is_err());
    }

    #[test]
    fn an_oom_kill_tells_who_ran_into_the_limit() {
        let mut record = record(
            wire::TYPE_OOM_KILL,
            [0x0000_0007_0000_0008, 1, 20_000, 8_000, (-3_i64).cast_unsigned()],
            None,
        );
        record
            .put(wire::ENTER, &1_u64.to_ne_bytes())
            .put(wire::RET, &(-5_i64).to_ne_bytes());
        let (task, change) = decoded(&record);
        assert_eq!(task.pid, 70);
        let ProcessChange::OomKill(kill) = change else {
            panic!("{change:?}")
        };
        let trigger = kill.trigger.unwrap();
        assert_eq!(
            (trigger.pid, trigger.tid, trigger.container.as_str()),
            (7, 8, "one")
        );
        assert_eq!(kill.score_adj, -5);
        let pages = kill.pages.unwrap();
        assert_eq!(
            (pages.total_vm, pages.anon, pages.file, pages.shmem),
            (20_000, 8_000, 0, 0)
        );
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let whole = record(wire::TYPE_SIGNAL_DELIVERED, [0, 0, 0, 1, 0], Some(&siginfo(1)));
        let mut decoder = Decoder::default();
        for len in 0..whole.0.len() {
            assert!(decoder.push(&whole.0[..len]).is_err(), "{len}");
        }
        let long = record(wire::TYPE_SIGNAL_DELIVERED, [0, 0, 0, 1, 0], Some(&[0; 56]));
        assert!(decoder.push(&long.0).is_err());
        assert!(decoder.take().1.is_empty());
    }
}
