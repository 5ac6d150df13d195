//! Records of the block ring to events: a pure function of bytes.

use super::wire;
use crate::source::tracing::record::{comm, container, take, take_u32, take_u64};
use std::collections::HashMap;
use std::sync::Arc;
use stillframe_format::event::{Block, BlockAction, BlockOwner, Device, Task};
use stillframe_format::{Body, BootTime, Draft};

/// Threads that are remembered, so that their events share one [`Task`].
const TASKS: usize = 4096;

/// A record that is not what `record.h` says. The kernel makes none; a bug would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block: a record of {len} bytes does not parse: {what}")]
pub(crate) struct Malformed {
    len: usize,
    what: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TaskKey {
    tgid: u32,
    tid: u32,
    target: u32,
    comm: [u8; 16],
}

/// Turns records into events.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Full ids of the targets; a record names one by index + 1.
    targets: Vec<String>,
    tasks: HashMap<TaskKey, Arc<Task>>,
    /// Records of a later boottime are left out.
    pub(crate) until: Option<u64>,
}

impl Decoder {
    /// Names the targets; indexes that are in use must keep their meaning.
    pub(crate) fn set_targets(&mut self, targets: Vec<String>) {
        if targets != self.targets {
            self.targets = targets;
            self.tasks.clear();
        }
    }

    /// Decodes one record; `None` when it is of a time after the end.
    pub(crate) fn decode(&mut self, record: &[u8]) -> Result<Option<Draft>, Malformed> {
        let malformed = |what| Malformed {
            len: record.len(),
            what,
        };
        let record: &[u8; wire::RECORD] = record
            .try_into()
            .map_err(|_| malformed("its length is another"))?;
        let time = take_u64(record, wire::TIME);
        if self.until.is_some_and(|until| time > until) {
            return Ok(None);
        }
        let [action] = take(record, wire::ACTION);
        let [owner] = take(record, wire::OWNER);
        let cpu = u16::from_ne_bytes(take(record, wire::CPU));
        let latency = take_u64(record, wire::LATENCY);
        let block = Block {
            action: match action {
                0 => BlockAction::Queue,
                1 => BlockAction::Issue,
                2 => BlockAction::Complete,
                _ => return Err(malformed("its action is unknown")),
            },
            device: Device {
                major: take_u32(record, wire::MAJOR),
                minor: take_u32(record, wire::MINOR),
            },
            sector: take_u64(record, wire::SECTOR),
            bytes: take_u32(record, wire::BYTES),
            cmd_flags: take_u64(record, wire::CMD_FLAGS),
            task: self.task(record),
            container: container(&self.targets, take_u32(record, wire::TARGET)),
            owner: match owner {
                0 => BlockOwner::Page,
                1 => BlockOwner::Bio,
                2 => BlockOwner::Task,
                3 => BlockOwner::Unknown,
                _ => return Err(malformed("the class of its owner is unknown")),
            },
            inode: take_u64(record, wire::INODE),
            request: take_u64(record, wire::REQUEST),
            latency: (latency != wire::NO_LATENCY).then_some(latency),
            error: errno(i32::from_ne_bytes(take(record, wire::ERROR))),
            cpu,
        };
        Ok(Some(Draft {
            time: BootTime(time),
            cpu,
            body: Body::Block(block),
        }))
    }

    fn task(&mut self, record: &[u8; wire::RECORD]) -> Arc<Task> {
        let key = TaskKey {
            tgid: take_u32(record, wire::TGID),
            tid: take_u32(record, wire::TID),
            target: take_u32(record, wire::TASK_TARGET),
            comm: take(record, wire::COMM),
        };
        if let Some(task) = self.tasks.get(&key) {
            return Arc::clone(task);
        }
        if self.tasks.len() >= TASKS {
            self.tasks.clear();
        }
        let task = Arc::new(Task {
            pid: key.tgid,
            tid: key.tid,
            comm: comm(&key.comm),
            container: container(&self.targets, key.target),
        });
        self.tasks.insert(key, Arc::clone(&task));
        task
    }
}

/// The errno of what `block_rq_complete` was called with: minus an errno until 5.15, a `blk_status_t` since
/// (`blk_errors`, block/blk-core.c).
fn errno(raw: i32) -> i32 {
    match raw {
        ..=0 => raw.checked_neg().unwrap_or(libc::EIO),
        1 => libc::EOPNOTSUPP,
        2 => libc::ETIMEDOUT,
        3 => libc::ENOSPC,
        4 => libc::ENOLINK,
        5 => libc::EREMOTEIO,
        6 => libc::EBADE,
        7 => libc::ENODATA,
        8 => libc::EILSEQ,
        9 => libc::ENOMEM,
        11 => libc::EREMCHG,
        12 => libc::EAGAIN,
        13 => libc::EBUSY,
        19 => libc::EINVAL,
        // 10 is BLK_STS_IOERR. Numbers from 14 on (zones, offline, duration limit) moved by one in 6.11, so that
        // they can't be told apart; EIO is also what the kernel makes of a status that it does not know.
        _ => libc::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Record(Vec<u8>);

    impl Record {
        fn new(action: u8, owner: u8) -> Self {
            let mut record = Self(vec![0; wire::RECORD]);
            record
                .put(wire::ACTION, &[action, owner])
                .put(wire::CPU, &3_u16.to_ne_bytes())
                .put(wire::MAJOR, &7_u32.to_ne_bytes())
                .put(wire::MINOR, &1_u32.to_ne_bytes())
                .put(wire::TIME, &2_000_u64.to_ne_bytes())
                .put(wire::SECTOR, &4096_u64.to_ne_bytes())
                .put(wire::REQUEST, &0xffff_8880_0000_1000_u64.to_ne_bytes())
                .put(wire::INODE, &13_u64.to_ne_bytes())
                .put(wire::LATENCY, &500_u64.to_ne_bytes())
                .put(wire::CMD_FLAGS, &0x8801_u64.to_ne_bytes())
                .put(wire::BYTES, &65536_u32.to_ne_bytes())
                .put(wire::TARGET, &2_u32.to_ne_bytes())
                .put(wire::TASK_TARGET, &0_u32.to_ne_bytes())
                .put(wire::TGID, &70_u32.to_ne_bytes())
                .put(wire::TID, &71_u32.to_ne_bytes())
                .put(wire::COMM, b"kworker/u4:1\0xyz");
            record
        }

        fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
            self
        }
    }

    fn decoder() -> Decoder {
        let mut decoder = Decoder::default();
        decoder.set_targets(vec!["c0ffee".to_owned(), "decade".to_owned()]);
        decoder
    }

    fn block(decoder: &mut Decoder, record: &Record) -> Block {
        match decoder.decode(&record.0).unwrap().unwrap().body {
            Body::Block(block) => block,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_stands_where_the_kernel_put_it() {
        let draft = decoder().decode(&Record::new(1, 0).0).unwrap().unwrap();
        assert_eq!((draft.time, draft.cpu), (BootTime(2_000), 3));
        let Body::Block(block) = draft.body else {
            panic!("{draft:?}")
        };
        let expected = Block {
            action: BlockAction::Issue,
            device: Device { major: 7, minor: 1 },
            sector: 4096,
            bytes: 65536,
            cmd_flags: 0x8801,
            task: Arc::new(Task {
                pid: 70,
                tid: 71,
                comm: b"kworker/u4:1".to_vec(),
                container: String::new(),
            }),
            container: "decade".to_owned(),
            owner: BlockOwner::Page,
            inode: 13,
            request: 0xffff_8880_0000_1000,
            latency: Some(500),
            error: 0,
            cpu: 3,
        };
        assert_eq!(block, expected);
    }

    #[test]
    fn a_latency_that_is_not_known_is_none_and_not_a_number() {
        let mut record = Record::new(0, 2);
        record.put(wire::LATENCY, &wire::NO_LATENCY.to_ne_bytes());
        assert_eq!(block(&mut decoder(), &record).latency, None);
    }

    #[test]
    fn events_of_one_thread_share_a_task_until_it_changes_its_name() {
        let mut decoder = decoder();
        let mut record = Record::new(0, 0);
        let first = block(&mut decoder, &record).task;
        assert!(Arc::ptr_eq(&first, &block(&mut decoder, &record).task));
        record.put(wire::COMM, b"dd\0");
        assert_eq!(block(&mut decoder, &record).task.comm, b"dd");
        // A target that is added later must not leave tasks behind that were named without it.
        record.put(wire::TASK_TARGET, &3_u32.to_ne_bytes());
        assert_eq!(block(&mut decoder, &record).task.container, "");
        decoder.set_targets(vec![
            "c0ffee".to_owned(),
            "decade".to_owned(),
            "facade".to_owned(),
        ]);
        assert_eq!(block(&mut decoder, &record).task.container, "facade");
    }

    #[test]
    fn tasks_that_are_remembered_are_bounded() {
        let mut decoder = decoder();
        let mut record = Record::new(0, 0);
        for tid in 0..10_000_u32 {
            record.put(wire::TID, &tid.to_ne_bytes());
            assert_eq!(block(&mut decoder, &record).task.tid, tid);
            assert!(decoder.tasks.len() <= TASKS);
        }
    }

    #[test]
    fn both_kinds_of_error_become_an_errno() {
        let mut record = Record::new(2, 0);
        let cases = [
            (0, 0),
            (-libc::EIO, libc::EIO),
            (-libc::ENOSPC, libc::ENOSPC),
            (i32::MIN, libc::EIO),
            (3, libc::ENOSPC),
            (7, libc::ENODATA),
            (10, libc::EIO),
            (17, libc::EIO),
            (255, libc::EIO),
        ];
        for (raw, expected) in cases {
            record.put(wire::ERROR, &i32::to_ne_bytes(raw));
            assert_eq!(block(&mut decoder(), &record).error, expected, "{raw}");
        }
    }

    #[test]
    fn what_is_later_than_the_end_is_left_out() {
        let mut decoder = decoder();
        decoder.until = Some(1_999);
        assert_eq!(decoder.decode(&Record::new(0, 0).0), Ok(None));
        decoder.until = Some(2_000);
        assert!(decoder.decode(&Record::new(0, 0).0).unwrap().is_some());
    }

    #[test]
    fn a_record_of_another_length_is_refused() {
        let record = Record::new(0, 0);
        for len in 0..wire::RECORD {
            assert!(decoder().decode(&record.0[..len]).is_err(), "{len}");
        }
        assert!(decoder().decode(&[record.0, vec![0; 8]].concat()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_name_a_target_that_is_not(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, wire::RECORD),
            action in 0_u8..5,
            owner in 0_u8..6,
        ) {
            let mut record = Record(bytes);
            record.put(wire::ACTION, &[action, owner]);
            let decoded = decoder().decode(&record.0);
            proptest::prop_assert_eq!(decoded.is_ok(), action <= 2 && owner <= 3);
            if let Ok(Some(draft)) = decoded {
                let Body::Block(block) = draft.body else { panic!() };
                proptest::prop_assert!(["", "c0ffee", "decade"].contains(&block.container.as_str()));
                proptest::prop_assert!(block.error >= 0);
                proptest::prop_assert!(block.task.comm.len() <= 16);
            }
        }
    }
}
