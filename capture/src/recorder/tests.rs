use super::*;
use proptest::prelude::*;
use std::io::Cursor;
use stillframe_format::batch::SyscallRow;
use stillframe_format::event::{Abi, KernelMessage, Loss, Stream, Task};
use stillframe_format::header::{Format, Header, Tool};
use stillframe_format::reader::Bundle;

fn header() -> Header {
    Header {
        format: Format::default(),
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
        tool: Tool::default(),
        case: BTreeMap::new(),
        started: BootTime(0),
        anchors: vec![anchor()],
        targets: Vec::new(),
        plan: serde_json::Value::Null,
        preflight: serde_json::Value::Null,
        host: serde_json::Value::Null,
    }
}

fn anchor() -> Anchor {
    Anchor {
        boottime: BootTime(0),
        realtime: 0,
        monotonic: 0,
        error: 0,
    }
}

fn recorder() -> Recorder<Vec<u8>> {
    let mut recorder = still(Vec::new(), 1 << 40);
    recorder.begin(Vec::new(), State::default()).unwrap();
    recorder
}

/// A recorder under clocks that stand still unless a test reads others to it.
fn still<W: Write>(out: W, limit: u64) -> Recorder<W> {
    let writer = Writer::begin(out, &header(), 1).unwrap();
    let mut recorder = Recorder::new(writer, BootTime(0), anchor(), limit);
    recorder.clocks = anchor;
    recorder
}

fn row(time: u64, duration: u64) -> SyscallRow {
    SyscallRow {
        time,
        duration,
        args: [7, 0, 0, 0, 0, 0],
        ret: 1,
        number: 0,
        task: 0,
        captures: 0,
        capture_count: 0,
        abi: Abi::X86_64,
        flags: 0,
        cpu: 0,
    }
}

fn calls(rows: Vec<SyscallRow>) -> Message {
    Message::Syscalls(SyscallBatch {
        rows,
        tasks: vec![Task {
            pid: 1,
            tid: 1,
            comm: b"x".to_vec(),
            container: "c".to_owned(),
        }],
        ..SyscallBatch::default()
    })
}

fn message(time: u64) -> Draft {
    Draft {
        time: BootTime(time),
        cpu: 0,
        body: Body::Kernel(KernelMessage {
            record: b"6,1,1,-;x\n".to_vec(),
        }),
    }
}

fn finish(mut recorder: Recorder<Vec<u8>>) -> Bundle<Cursor<Vec<u8>>> {
    recorder.seal_rest(&[]).unwrap();
    let bytes = recorder.finish(Vec::new(), End::default()).unwrap();
    let report = stillframe_format::verify::verify(Cursor::new(&bytes), |_| None).unwrap();
    assert_eq!(report.findings, []);
    Bundle::open(Cursor::new(bytes)).unwrap()
}

fn times(bundle: &mut Bundle<Cursor<Vec<u8>>>) -> Vec<(u64, bool)> {
    (0..bundle.slices().len())
        .flat_map(|at| bundle.slice(at).unwrap().events)
        .map(|event| (event.time.0, event.late))
        .collect()
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_slice_waits_for_the_slowest_source_and_then_holds_everything_in_order() {
    let mut recorder = recorder();
    recorder.take(calls(vec![row(SECOND, 1), row(2 * SECOND, 1)]));
    recorder.seal_due(BootTime(SECOND), &mut Vec::new).unwrap();
    assert_eq!(recorder.writer.next_slice(), 1, "too young");
    // What the kernel saw earlier arrives later, as from a packet ring.
    recorder.take(Message::Events(vec![message(SECOND / 2)]));
    recorder
        .seal_due(BootTime(SECOND * 3 / 2), &mut Vec::new)
        .unwrap();
    assert_eq!(recorder.writer.next_slice(), 2);
    recorder.take(Message::Events(vec![message(SECOND / 3)]));
    let mut bundle = finish(recorder);
    assert_eq!(
        times(&mut bundle),
        [
            (SECOND / 2, false),
            (SECOND, false),
            (SECOND / 3, true),
            (2 * SECOND, false)
        ]
    );
}

#[test]
fn calls_that_return_after_the_seal_were_open_in_it() {
    let mut recorder = recorder();
    let mut listed = || {
        let call = |tid: u32, enter: Option<u64>| OpenCall {
            task: Task {
                pid: 5,
                tid,
                ..Task::default()
            },
            abi: Abi::X86_64,
            number: 202,
            args: [0; 6],
            enter: enter.map(BootTime),
        };
        vec![call(6, Some(10)), call(7, Some(5 * SECOND)), call(8, None)]
    };
    recorder.take(calls(vec![
        row(SECOND, 1),
        row(3 * SECOND, 2 * SECOND + 1),
        row(3 * SECOND + 1, 1),
    ]));
    recorder.seal_due(BootTime(SECOND * 3 / 2), &mut listed).unwrap();
    let mut bundle = finish(recorder);
    let open: Vec<(u32, u32, Option<u64>)> = bundle
        .slice(0)
        .unwrap()
        .open
        .iter()
        .map(|call| (call.task.pid, call.task.tid, call.enter.map(|enter| enter.0)))
        .collect();
    assert_eq!(open, [(1, 1, Some(SECOND - 1)), (5, 6, Some(10)), (5, 8, None)]);
}

#[test]
fn a_flood_is_sealed_in_slices_that_the_format_takes() {
    let mut recorder = recorder();
    let mut time = 0;
    for _ in 0..40 {
        let rows = (0..16_384)
            .map(|_| {
                time += 1;
                row(time, 0)
            })
            .collect();
        recorder.take(calls(rows));
        // All of it within a millisecond: nothing is old.
        recorder.seal_due(BootTime(time), &mut Vec::new).unwrap();
        assert!(!recorder.pending.is_full());
    }
    let mut bundle = finish(recorder);
    assert_eq!(bundle.total_events(), 40 * 16_384);
    assert!(bundle.slices().len() >= 3);
    assert!(
        times(&mut bundle).iter().all(|(_, late)| !late),
        "calls alone are never late"
    );
    assert!(bundle.slices()[0].checkpoint);
}

/// What the wall clock shows at `boottime`, `ahead` of where it would be had nobody set it.
fn reading(boottime: u64, ahead: i64) -> Anchor {
    Anchor {
        boottime: BootTime(boottime),
        realtime: 1_700_000_000_000_000_000 + ahead + i64::try_from(boottime).unwrap(),
        monotonic: boottime,
        error: 100,
    }
}

#[test]
fn steps_of_the_wall_clock_are_events_at_their_moment_and_order_stays() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut recorder = still(Vec::new(), 1 << 40);
    recorder.anchor = reading(0, 0);
    recorder.begin(Vec::new(), State::default()).unwrap();
    recorder.take(calls(vec![
        row(SECOND / 2, 0),
        row(SECOND, 0),
        row(SECOND * 3 / 2, 0),
    ]));
    // Read again without a step, as at a seal; an hour forwards and, while the slice is still open, back.
    recorder.read_clocks(reading(SECOND / 4, 50));
    recorder.read_clocks(reading(SECOND * 3 / 4, HOUR));
    recorder.read_clocks(reading(SECOND * 5 / 4, -7));
    // What was read before another reading was taken up tells nothing.
    recorder.read_clocks(reading(SECOND * 4 / 5, HOUR));
    let mut bundle = finish(recorder);
    let slice = bundle.slice(0).unwrap();
    let seen: Vec<(u64, Option<i64>)> = slice
        .events
        .iter()
        .map(|event| {
            let delta = match &event.body {
                Body::Clock(step) => Some(step.delta),
                _ => None,
            };
            (event.time.0, delta)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (SECOND / 2, None),
            (SECOND * 3 / 4, Some(HOUR - 50)),
            (SECOND, None),
            (SECOND * 5 / 4, Some(-HOUR - 7)),
            (SECOND * 3 / 2, None),
        ]
    );
    let anchors = bundle.anchors();
    let shown = |time| anchors.realtime(BootTime(time)).unwrap();
    assert_eq!(shown(SECOND / 2), reading(SECOND / 2, 50).realtime);
    assert_eq!(shown(SECOND), reading(SECOND, HOUR).realtime);
    assert_eq!(shown(SECOND * 3 / 2), reading(SECOND * 3 / 2, -7).realtime);
}

#[test]
fn what_there_is_no_time_to_write_is_counted_and_its_holes_are_kept() {
    let mut recorder = recorder();
    recorder.take(calls(vec![row(SECOND, 1)]));
    let hole = Draft {
        time: BootTime(2),
        cpu: 0,
        body: Body::Loss(Loss {
            stream: Stream::Packet,
            cause: "ring-full".to_owned(),
            count: 5,
            from: BootTime(0),
            to: BootTime(1),
            scope: String::new(),
        }),
    };
    recorder.leave_out(calls(vec![row(SECOND, 1), row(2 * SECOND, 1)]));
    recorder.leave_out(Message::Events(vec![message(SECOND), hole]));
    recorder.report_unwritten("writer-slow");
    let lost = finish(recorder).end().unwrap().lost.clone();
    assert_eq!(lost["syscall"], 2);
    assert_eq!(lost["kernel"], 1);
    assert_eq!(lost["packet"], 5);
}

#[test]
fn losses_are_summed_for_the_exit_code() {
    let mut recorder = recorder();
    for count in [3, 0, 4] {
        recorder.take(Message::Events(vec![Draft {
            time: BootTime(1),
            cpu: 0,
            body: Body::Loss(Loss {
                stream: Stream::Packet,
                cause: "ring-full".to_owned(),
                count,
                from: BootTime(0),
                to: BootTime(1),
                scope: String::new(),
            }),
        }]));
    }
    assert_eq!(recorder.losses().get("packet"), Some(&7));
    assert_eq!(finish(recorder).end().unwrap().lost["packet"], 7);
}

#[test]
fn a_bundle_at_its_size_ends_at_the_last_seal() {
    let mut recorder = still(Vec::new(), 1 << 14);
    recorder.begin(Vec::new(), State::default()).unwrap();
    let mut time = 0;
    while !recorder.is_large_enough() {
        time += SECOND;
        // Noise does not compress.
        let rows =
            (0..500).map(|at: u64| row(time + at.wrapping_mul(2_654_435_761) % SECOND, at * at % 7919));
        recorder.take(calls(rows.collect()));
        recorder
            .seal_due(BootTime(time + SECOND / 2), &mut Vec::new)
            .unwrap();
    }
    recorder.take(calls(vec![row(time + 20 * SECOND, 1)]));
    let stopped = recorder.end_at_seal();
    recorder.take(calls(vec![row(time + 21 * SECOND, 1), row(stopped.0 - 1, 1)]));
    let mut bundle = finish(recorder);
    let times = times(&mut bundle);
    assert_eq!(
        times.last(),
        Some(&(stopped.0 - 1, true)),
        "a late one is kept, later ones are not"
    );
    assert!(bundle.end().unwrap().lost.is_empty());
    assert!(bundle.file_len() < 2 << 14, "{}", bundle.file_len());
}

/// An output that takes so many bytes.
struct Disk(Vec<u8>, usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.1.saturating_sub(self.0.len()).min(bytes.len());
        if room == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_that_is_cut_back_ends_with_its_losses_counted() {
    let mut recorder = still(Disk(Vec::new(), 20_000), 1 << 40);
    recorder.begin(Vec::new(), State::default()).unwrap();
    let mut time = 0;
    let failed = loop {
        time += 2 * SECOND;
        let rows =
            (0..2_000).map(|at: u64| row(time + at.wrapping_mul(2_654_435_761) % SECOND, at * at % 7919));
        recorder.take(calls(rows.collect()));
        recorder.take(Message::Events(vec![message(time)]));
        if let Err(error) = recorder.seal_due(BootTime(time + 2 * SECOND), &mut Vec::new) {
            break error;
        }
    };
    assert!(failed.to_string().contains("cannot write"), "{failed}");
    let good = usize::try_from(recorder.written()).unwrap();
    recorder.output().0.truncate(good);
    recorder.output().1 = 40_000;
    recorder.give_up("output-full");
    // However due one is, the state knows too much for a checkpoint by now.
    recorder.since_checkpoint = CHECKPOINT_EVERY;
    recorder.seal_rest(&[]).unwrap();
    let disk = recorder.finish(Vec::new(), End::default()).unwrap();
    let report = stillframe_format::verify::verify(Cursor::new(&disk.0), |_| None).unwrap();
    assert_eq!(report.findings, []);
    let bundle = Bundle::open(Cursor::new(disk.0)).unwrap();
    assert!(!bundle.slices().last().unwrap().checkpoint);
    let end = bundle.end().unwrap();
    assert_eq!(end.lost["kernel"], 1);
    assert_eq!(end.lost["syscall"] % 2_000, 0);
    let taken = time / (2 * SECOND) * 2_000;
    assert_eq!(end.counts["syscall"] + end.lost["syscall"], taken);
}

proptest! {
    /// However events arrive, each is in the bundle once, sorted within its slice, and late only when it came after
    /// its time was sealed.
    #[test]
    fn nothing_is_lost_and_nothing_is_twice(
        steps in proptest::collection::vec((0u64..4 * SECOND, 0u64..SECOND, any::<bool>()), 1..60)
    ) {
        let mut recorder = recorder();
        let mut now = 0;
        let mut given = Vec::new();
        for (time, passes, is_call) in steps {
            now += passes;
            let time = time.min(now);
            given.push(time);
            recorder.take(if is_call { calls(vec![row(time, 0)]) } else { Message::Events(vec![message(time)]) });
            recorder.seal_due(BootTime(now), &mut Vec::new).unwrap();
        }
        let mut bundle = finish(recorder);
        let mut found: Vec<u64> = times(&mut bundle).iter().map(|(time, _)| *time).collect();
        for at in 0..bundle.slices().len() {
            let slice = bundle.slice(at).unwrap();
            prop_assert!(slice.events.is_sorted_by_key(|event| event.time));
            for event in &slice.events {
                prop_assert_eq!(event.late, event.time < slice.ledger.from);
                prop_assert!(event.time < slice.ledger.to);
            }
        }
        found.sort_unstable();
        given.sort_unstable();
        prop_assert_eq!(found, given);
    }
}
