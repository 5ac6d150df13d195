//! Records of the ring to rows and events: a pure function of bytes.

mod signal;
mod uring;

use super::wire;
use crate::secrets::{self, Place};
use crate::source::tracing::record::{comm, container, take, take_u32, take_u64};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use stillframe_format::batch::{Capture, CaptureStatus, SyscallBatch, SyscallRow};
use stillframe_format::event::{Abi, ArgKind, Process, ProcessChange, Task, When};
use stillframe_format::{Body, BootTime, Captured, Draft};

/// A record that is not what `record.h` says. The kernel makes none; a bug would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syscalls: a record of {len} bytes does not parse: {what}")]
pub(crate) struct Malformed {
    len: usize,
    what: &'static str,
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A row was added to the batch.
    Call,
    /// An event of a process was added.
    Event,
    /// An event of io_uring was added.
    Request,
    /// The walk over tasks must be made again.
    Rescan,
    /// It is of a time after the end.
    TooLate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct TaskKey {
    tid: u32,
    tgid: u32,
    target: u32,
    comm: [u8; 16],
}

impl std::hash::Hash for TaskKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equal threads with other names are few: the name need not spread them.
        state.write_u64(u64::from(self.tid) << 32 | u64::from(self.target));
    }
}

/// Multiplies and mixes; keys are thread ids that the kernel gave out, so nobody aims at collisions.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// `io_uring_setup` and `io_uring_enter`, which have these numbers on every ABI.
const IO_URING: std::ops::RangeInclusive<u32> = 425..=426;

/// Rows and events that wait to be handed over.
#[derive(Default)]
pub(crate) struct Decoder {
    batch: SyscallBatch,
    events: Vec<Draft>,
    tasks: HashMap<TaskKey, u32, BuildHasherDefault<Mix>>,
    last: Option<(TaskKey, u32)>,
    /// Threads of requests of io_uring, which come in numbers as calls do.
    requesters: HashMap<TaskKey, Arc<Task>, BuildHasherDefault<Mix>>,
    /// Full ids of the targets; a record names one by index + 1.
    targets: Vec<String>,
    /// A call of io_uring was seen: requests in its rings are no calls.
    pub(crate) io_uring: bool,
    /// Records of a later boottime are left out.
    pub(crate) until: Option<u64>,
}

impl Decoder {
    /// Names the targets; indexes that are in use must keep their meaning.
    pub(crate) fn set_targets(&mut self, targets: Vec<String>) {
        self.targets = targets;
    }

    /// How many calls and events wait.
    pub(crate) fn rows(&self) -> usize {
        self.batch.rows.len() + self.events.len()
    }

    /// Bytes that wait, about.
    pub(crate) fn weight(&self) -> usize {
        self.batch.weight() + self.events.len() * size_of::<Draft>()
    }

    /// Takes what waits; the next batch starts with tasks of its own.
    pub(crate) fn take(&mut self) -> (SyscallBatch, Vec<Draft>) {
        self.tasks.clear();
        self.last = None;
        self.requesters.clear();
        let next = SyscallBatch {
            rows: Vec::with_capacity(self.batch.rows.len()),
            captures: Vec::with_capacity(self.batch.captures.len()),
            arena: Vec::with_capacity(self.batch.arena.len()),
            tasks: Vec::new(),
        };
        (
            std::mem::replace(&mut self.batch, next),
            std::mem::take(&mut self.events),
        )
    }

    /// Decodes one record.
    pub(crate) fn push(&mut self, record: &[u8]) -> Result<Decoded, Malformed> {
        let malformed = |what| Malformed {
            len: record.len(),
            what,
        };
        let (header, rest) = record
            .split_first_chunk::<{ wire::RECORD }>()
            .ok_or_else(|| malformed("shorter than its header"))?;
        let time = take_u64(header, wire::TIME);
        if self.until.is_some_and(|until| time > until) {
            return Ok(Decoded::TooLate);
        }
        let data = usize::try_from(take_u32(header, wire::DATA_LEN))
            .ok()
            .and_then(|len| rest.get(..len))
            .ok_or_else(|| malformed("its captures are cut"))?;
        let [kind] = take(header, wire::TYPE);
        match kind {
            wire::TYPE_SYSCALL => self.call(header, data, time).map_err(malformed),
            wire::TYPE_RESCAN => Ok(Decoded::Rescan),
            _ => {
                let (decoded, body) = if uring::is(kind) {
                    let key = task_key(header);
                    let task = match self.requesters.get(&key) {
                        Some(task) => Arc::clone(task),
                        None => {
                            let task = Arc::new(self.task(&key));
                            self.requesters.insert(key, Arc::clone(&task));
                            task
                        }
                    };
                    let request = uring::request(kind, header, task).map_err(malformed)?;
                    (Decoded::Request, Body::Uring(request))
                } else {
                    let process = self.process(kind, header, data).map_err(malformed)?;
                    (Decoded::Event, Body::Process(process))
                };
                self.events.push(Draft {
                    time: BootTime(time),
                    cpu: u16::from_ne_bytes(take(header, wire::CPU)),
                    body,
                });
                Ok(decoded)
            }
        }
    }

    #[inline]
    fn call(&mut self, header: &[u8; wire::RECORD], data: &[u8], time: u64) -> Result<Decoded, &'static str> {
        let abi = Abi::from_number(take::<1>(header, wire::ABI)[0]).ok_or("its table is unknown")?;
        let [count] = take(header, wire::CAPTURE_COUNT);
        let captures_start = self.batch.captures.len();
        let arena_start = self.batch.arena.len();
        let mut left = data;
        for _ in 0..count {
            match capture(left) {
                Ok((mut capture, bytes, after)) => {
                    capture.start = u32::try_from(self.batch.arena.len()).unwrap_or(u32::MAX);
                    let masked = if capture.kind == ArgKind::Strings {
                        masked(bytes, Place::Call)
                    } else {
                        None
                    };
                    if let Some(masked) = &masked {
                        capture.len = u32::try_from(masked.len()).unwrap_or(u32::MAX);
                    }
                    self.batch
                        .arena
                        .extend_from_slice(masked.as_deref().unwrap_or(bytes));
                    self.batch.captures.push(capture);
                    left = after;
                }
                Err(what) => {
                    self.batch.captures.truncate(captures_start);
                    self.batch.arena.truncate(arena_start);
                    return Err(what);
                }
            }
        }
        let key = task_key(header);
        let task = match self.last {
            Some((last, index)) if last == key => index,
            _ => self.task_index(key),
        };
        let [flags] = take(header, wire::FLAGS);
        let enter = take_u64(header, wire::ENTER);
        let number = take_u32(header, wire::NR);
        self.io_uring |= IO_URING.contains(&number);
        self.batch.rows.push(SyscallRow {
            time,
            duration: if enter == 0 { 0 } else { time.saturating_sub(enter) },
            args: std::array::from_fn(|arg| take_u64(header, wire::ARGS + 8 * arg)),
            ret: i64::from_ne_bytes(take(header, wire::RET)),
            number,
            task,
            captures: u32::try_from(captures_start).unwrap_or(u32::MAX),
            capture_count: count,
            abi,
            flags,
            cpu: u16::from_ne_bytes(take(header, wire::CPU)),
        });
        Ok(Decoded::Call)
    }

    #[cold]
    fn task_index(&mut self, key: TaskKey) -> u32 {
        let index = self.tasks.get(&key).copied().unwrap_or_else(|| {
            let index = u32::try_from(self.batch.tasks.len()).unwrap_or(u32::MAX);
            let task = self.task(&key);
            self.batch.tasks.push(task);
            self.tasks.insert(key, index);
            index
        });
        self.last = Some((key, index));
        index
    }

    fn task(&self, key: &TaskKey) -> Task {
        Task {
            pid: key.tgid,
            tid: key.tid,
            comm: comm(&key.comm),
            container: container(&self.targets, key.target),
        }
    }

    #[cold]
    fn process(&self, kind: u8, header: &[u8; wire::RECORD], data: &[u8]) -> Result<Process, &'static str> {
        let mut key = task_key(header);
        let arg = |index: usize| take_u32(header, wire::ARGS + 8 * index);
        let change = match kind {
            wire::TYPE_FORK => {
                // The parent of a process that was cloned into a target's cgroup is nobody's, but the event is the
                // target's.
                if key.target == 0 {
                    key.target = arg(2);
                }
                ProcessChange::Fork {
                    pid: arg(0),
                    tid: arg(1),
                }
            }
            wire::TYPE_EXEC => {
                let (first, bytes, after) = capture(data)?;
                let filename = captured(first, bytes);
                let argv = match capture(after) {
                    Ok((second, bytes, _)) => {
                        let masked = masked(bytes, Place::Exec);
                        captured(second, masked.as_deref().unwrap_or(bytes))
                    }
                    Err(_) => Captured::Failed(libc::EFAULT),
                };
                ProcessChange::Exec {
                    filename,
                    argv,
                    old_tid: arg(0),
                }
            }
            wire::TYPE_EXIT => {
                let [status, code, ..] = arg(0).to_le_bytes();
                ProcessChange::Exit {
                    status: code,
                    signal: status & 0x7f,
                    core: status & 0x80 != 0,
                    last: arg(1) != 0,
                }
            }
            wire::TYPE_SIGNAL_GENERATED | wire::TYPE_SIGNAL_DELIVERED => {
                signal::signal(kind, header, data, &self.targets)?
            }
            wire::TYPE_OOM_KILL => signal::oom_kill(header, data, &self.targets)?,
            _ => return Err("its type is unknown"),
        };
        Ok(Process {
            task: Arc::new(self.task(&key)),
            change,
        })
    }
}

#[inline(always)]
fn task_key(header: &[u8; wire::RECORD]) -> TaskKey {
    TaskKey {
        tid: take_u32(header, wire::TID),
        tgid: take_u32(header, wire::TGID),
        target: take_u32(header, wire::TARGET),
        comm: take(header, wire::COMM),
    }
}

/// The first capture of `data`, its bytes, and what follows it.
#[inline]
fn capture(data: &[u8]) -> Result<(Capture, &[u8], &[u8]), &'static str> {
    let (header, rest) = data
        .split_first_chunk::<{ wire::CAPTURE }>()
        .ok_or("a capture is cut")?;
    let len = take_u32(header, wire::CAPTURE_LEN);
    let length = usize::try_from(len).map_err(|_| "a capture is too long")?;
    let bytes = rest.get(..length).ok_or("a capture is cut")?;
    let padded = length
        .checked_next_multiple_of(8)
        .ok_or("a capture is too long")?;
    let [kind] = take(header, wire::CAPTURE_KIND);
    let [status] = take(header, wire::CAPTURE_STATUS);
    let [when] = take(header, wire::CAPTURE_WHEN);
    let [arg] = take(header, wire::CAPTURE_ARG);
    let capture = Capture {
        arg,
        kind: ArgKind::from_number(kind).ok_or("a capture's kind is unknown")?,
        when: if when == When::Entry as u8 {
            When::Entry
        } else {
            When::Exit
        },
        status: match status {
            0 => CaptureStatus::Whole,
            1 => CaptureStatus::Truncated,
            2 => CaptureStatus::Failed,
            _ => return Err("a capture's status is unknown"),
        },
        original: take_u64(header, wire::CAPTURE_ORIGINAL),
        start: 0,
        len,
    };
    Ok((capture, bytes, rest.get(padded..).unwrap_or(&[])))
}

/// Arguments without their secrets; `None` when they stay as they are.
#[cold]
fn masked(bytes: &[u8], place: Place) -> Option<Vec<u8>> {
    secrets::policy()?.strings(bytes, place)
}

fn captured(capture: Capture, bytes: &[u8]) -> Captured<Vec<u8>> {
    match capture.status {
        CaptureStatus::Whole => Captured::Whole(bytes.to_vec()),
        CaptureStatus::Truncated => Captured::Truncated(bytes.to_vec(), capture.original),
        CaptureStatus::Failed => Captured::Failed(i32::try_from(capture.original).unwrap_or(libc::EFAULT)),
        CaptureStatus::Redacted => Captured::Redacted(capture.original),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_format::batch::{ROW_ENTRY_UNSEEN, ROW_NEVER_RETURNED};

    /// A record as the kernel would write it.
    pub(super) struct Record(pub(super) Vec<u8>);

    impl Record {
        pub(super) fn new(kind: u8) -> Self {
            let mut bytes = vec![0; wire::RECORD];
            bytes[wire::TYPE] = kind;
            let mut record = Self(bytes);
            record
                .put(wire::TIME, &2_000_u64.to_ne_bytes())
                .put(wire::ENTER, &1_500_u64.to_ne_bytes())
                .put(wire::TARGET, &1_u32.to_ne_bytes())
                .put(wire::TGID, &70_u32.to_ne_bytes())
                .put(wire::TID, &71_u32.to_ne_bytes())
                .put(wire::COMM, b"dd\0garbage\0\0\0\0\0\0")
                .put(wire::CPU, &3_u16.to_ne_bytes());
            record
        }

        pub(super) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
            self
        }

        pub(super) fn capture(&mut self, kind: u8, status: u8, original: u64, data: &[u8]) -> &mut Self {
            self.0[wire::CAPTURE_COUNT] += 1;
            self.0.extend([1, kind, 1, status]);
            self.0.extend(u32::try_from(data.len()).unwrap().to_ne_bytes());
            self.0.extend(original.to_ne_bytes());
            self.0.extend(data);
            self.0.resize(self.0.len().next_multiple_of(8), 0xaa);
            let len = u32::try_from(self.0.len() - wire::RECORD).unwrap();
            self.put(wire::DATA_LEN, &len.to_ne_bytes())
        }
    }

    fn decoder() -> Decoder {
        let mut decoder = Decoder::default();
        decoder.set_targets(vec!["c0ffee".to_owned()]);
        decoder
    }

    #[test]
    fn a_call_becomes_a_row_with_its_captures() {
        let mut decoder = decoder();
        let mut record = Record::new(wire::TYPE_SYSCALL);
        record
            .put(wire::ARGS, &5_u64.to_ne_bytes())
            .put(wire::ARGS + 40, &6_u64.to_ne_bytes())
            .put(wire::RET, &(-2_i64).to_ne_bytes())
            .put(wire::NR, &257_u32.to_ne_bytes())
            .capture(0, 0, 0, b"/etc/passwd")
            .capture(2, 1, 100, b"abc");
        assert_eq!(decoder.push(&record.0), Ok(Decoded::Call));
        assert_eq!(decoder.push(&record.0), Ok(Decoded::Call));
        let (batch, events) = decoder.take();
        assert!(events.is_empty());
        assert_eq!(batch.tasks.len(), 1, "a thread stands once in a batch");
        assert_eq!(
            batch.tasks[0],
            Task {
                pid: 70,
                tid: 71,
                comm: b"dd".to_vec(),
                container: "c0ffee".to_owned()
            }
        );
        let row = batch.rows[1];
        assert_eq!(
            (row.time, row.duration, row.ret, row.number),
            (2_000, 500, -2, 257)
        );
        assert_eq!((row.args, row.cpu), ([5, 0, 0, 0, 0, 6], 3));
        assert_eq!((row.captures, row.capture_count, row.flags), (2, 2, 0));
        let bytes = |capture: &Capture| {
            let start = capture.start as usize;
            batch.arena[start..start + capture.len as usize].to_vec()
        };
        assert_eq!(bytes(&batch.captures[2]), b"/etc/passwd");
        assert_eq!(bytes(&batch.captures[3]), b"abc");
        assert_eq!(batch.captures[3].status, CaptureStatus::Truncated);
        assert_eq!(batch.captures[3].original, 100);
    }

    #[test]
    fn a_call_that_was_not_seen_whole_says_so() {
        let mut decoder = decoder();
        let mut unseen = Record::new(wire::TYPE_SYSCALL);
        unseen
            .put(wire::FLAGS, &[ROW_ENTRY_UNSEEN])
            .put(wire::ENTER, &[0; 8]);
        let mut never = Record::new(wire::TYPE_SYSCALL);
        never.put(wire::FLAGS, &[ROW_NEVER_RETURNED]);
        decoder.push(&unseen.0).unwrap();
        decoder.push(&never.0).unwrap();
        let (batch, _) = decoder.take();
        assert_eq!(
            (batch.rows[0].flags, batch.rows[0].duration),
            (ROW_ENTRY_UNSEEN, 0)
        );
        assert_eq!(
            (batch.rows[1].flags, batch.rows[1].duration),
            (ROW_NEVER_RETURNED, 500)
        );
    }

    #[test]
    fn a_thread_that_changes_its_name_is_another_task() {
        let mut decoder = decoder();
        let mut record = Record::new(wire::TYPE_SYSCALL);
        decoder.push(&record.0).unwrap();
        record.put(wire::COMM, b"sh\0");
        decoder.push(&record.0).unwrap();
        record.put(wire::COMM, b"dd\0");
        decoder.push(&record.0).unwrap();
        let (batch, _) = decoder.take();
        let order: Vec<u32> = batch.rows.iter().map(|row| row.task).collect();
        assert_eq!(order, [0, 1, 0]);
    }

    #[test]
    fn process_changes_become_events() {
        let mut decoder = decoder();
        let mut fork = Record::new(wire::TYPE_FORK);
        fork.put(wire::ARGS, &80_u64.to_ne_bytes())
            .put(wire::ARGS + 8, &81_u64.to_ne_bytes())
            .put(wire::ARGS + 16, &1_u64.to_ne_bytes())
            .put(wire::TARGET, &[0; 4]);
        let mut exec = Record::new(wire::TYPE_EXEC);
        exec.put(wire::ARGS, &71_u64.to_ne_bytes())
            .capture(0, 0, 0, b"/bin/ls")
            .capture(4, 2, 14, b"");
        let mut exit = Record::new(wire::TYPE_EXIT);
        exit.put(wire::ARGS, &0x8b_u64.to_ne_bytes())
            .put(wire::ARGS + 8, &1_u64.to_ne_bytes());
        for record in [fork, exec, exit] {
            assert_eq!(decoder.push(&record.0), Ok(Decoded::Event));
        }
        let (_, events) = decoder.take();
        let changes: Vec<_> = events
            .iter()
            .map(|draft| match &draft.body {
                Body::Process(process) => {
                    assert_eq!(process.task.container, "c0ffee");
                    process.change.clone()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            changes,
            [
                ProcessChange::Fork { pid: 80, tid: 81 },
                ProcessChange::Exec {
                    filename: Captured::Whole(b"/bin/ls".to_vec()),
                    argv: Captured::Failed(14),
                    old_tid: 71
                },
                ProcessChange::Exit {
                    status: 0,
                    signal: 11,
                    core: true,
                    last: true
                },
            ]
        );
    }

    #[test]
    fn what_is_later_than_the_end_is_left_out() {
        let mut decoder = decoder();
        decoder.until = Some(1_999);
        let record = Record::new(wire::TYPE_SYSCALL);
        assert_eq!(decoder.push(&record.0), Ok(Decoded::TooLate));
        decoder.until = Some(2_000);
        assert_eq!(decoder.push(&record.0), Ok(Decoded::Call));
    }

    #[test]
    fn a_cut_record_is_refused_and_leaves_nothing_behind() {
        let mut record = Record::new(wire::TYPE_SYSCALL);
        record.capture(0, 0, 0, b"/etc/passwd").capture(2, 0, 0, b"abc");
        let mut decoder = decoder();
        for len in 0..record.0.len() {
            assert!(decoder.push(&record.0[..len]).is_err(), "{len}");
        }
        let (batch, events) = decoder.take();
        assert!(batch.rows.is_empty() && batch.captures.is_empty() && batch.arena.is_empty());
        assert!(events.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_point_outside_its_arena(
            kind in 0_u8..13,
            abi in 0_u8..4,
            count in 0_u8..5,
            len in 0_u32..200,
            tail in proptest::collection::vec(0_u8..4, 0..160),
        ) {
            let mut decoder = decoder();
            let mut record = Record::new(kind);
            record.0[wire::ABI] = abi;
            record.0[wire::CAPTURE_COUNT] = count;
            record.put(wire::DATA_LEN, &len.to_ne_bytes());
            record.0.extend(&tail);
            let decoded = decoder.push(&record.0);
            let (batch, events) = decoder.take();
            proptest::prop_assert_eq!(batch.rows.len(), usize::from(decoded == Ok(Decoded::Call)));
            let is_event = matches!(decoded, Ok(Decoded::Event | Decoded::Request));
            proptest::prop_assert_eq!(events.len(), usize::from(is_event));
            for capture in &batch.captures {
                let end = capture.start as usize + capture.len as usize;
                proptest::prop_assert!(end <= batch.arena.len());
            }
        }
    }
}
