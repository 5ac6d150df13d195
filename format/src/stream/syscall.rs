//! Segment `syscall.cbor`: tables `events`, `tasks`, `captures`, `descriptors`.

mod encode;

pub use encode::{Names, encode};

use super::dictionary::{decode_descriptors, decode_tasks};
use super::{lookup, wide};
use crate::Captured;
use crate::batch::{CaptureStatus, ROW_ENTRY_UNSEEN, ROW_NEVER_RETURNED};
use crate::column::unzigzag;
use crate::column::view::{Bytes, Integers};
use crate::error::ReadError;
use crate::event::{Abi, ArgData, ArgKind, Body, DescriptorName, Return, Syscall, Task, When};
use crate::layout::STREAM_EVENTS_MAX;
use crate::table::Segment;
use std::cell::OnceCell;
use std::sync::Arc;

/// Names of the six argument columns.
const ARGS: [&str; 6] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];

/// The latest return of each thread, while rows are gone over in their order.
#[derive(Default)]
struct Returns {
    of_task: Vec<Option<u64>>,
    last: u64,
}

impl Returns {
    /// Of a thread; of the row before, where the thread has not returned yet; 0 before the first row.
    #[inline]
    fn before(&self, task: u64) -> u64 {
        let of_task = usize::try_from(task)
            .ok()
            .and_then(|task| *self.of_task.get(task)?);
        of_task.unwrap_or(self.last)
    }

    #[inline]
    fn returned(&mut self, task: u64, time: u64) {
        self.last = time;
        // Indices are checked against the table of tasks, whose rows are limited.
        let Ok(task) = usize::try_from(task) else { return };
        if self.of_task.len() <= task {
            self.of_task.resize(task + 1, None);
        }
        if let Some(before) = self.of_task.get_mut(task) {
            *before = Some(time);
        }
    }
}

/// The calls and the times of their returns.
pub(super) fn decode(what: &str, segment: &Segment) -> Result<(Vec<Body>, Vec<u64>), ReadError> {
    let calls = SyscallColumns::new(what, segment)?;
    let bodies: Result<Vec<Body>, ReadError> = (0..calls.rows())
        .map(|row| {
            calls
                .body(row)
                .ok_or_else(|| ReadError::damaged(what, "a row that is not there"))
        })
        .collect();
    Ok((bodies?, calls.times().to_vec()))
}

/// The calls of a slice as columns, every one checked. A call is put together when it is asked for.
#[derive(Debug)]
pub struct SyscallColumns<'a> {
    gap: Integers<'a>,
    /// Made when the first is asked for.
    times: OnceCell<Vec<u64>>,
    /// Whether it arrived late: 0 or 1.
    pub late: Integers<'a>,
    duration: Integers<'a>,
    /// Numbers of the calls.
    pub number: Integers<'a>,
    /// The tables of the numbers.
    pub abi: Integers<'a>,
    /// Index of the thread among [`SyscallColumns::tasks`].
    pub task: Integers<'a>,
    /// 0, or one more than the index among [`SyscallColumns::names`].
    pub descriptor: Integers<'a>,
    /// The threads.
    pub tasks: Vec<Arc<Task>>,
    /// What descriptors referred to.
    pub names: Vec<Arc<DescriptorName>>,
    ret: Integers<'a>,
    cpu: Integers<'a>,
    flags: Integers<'a>,
    args: [Integers<'a>; 6],
    captures: Integers<'a>,
    data: Captures<'a>,
    /// The place of each row's first capture: made when the first row is asked for.
    first_capture: OnceCell<Vec<u32>>,
}

/// Table `captures`.
#[derive(Debug)]
struct Captures<'a> {
    arg: Integers<'a>,
    kind: Integers<'a>,
    when: Integers<'a>,
    status: Integers<'a>,
    original: Integers<'a>,
    bytes: Bytes<'a>,
}

/// The fixed part of a call: what its row holds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallFacts {
    /// See [`Syscall::abi`].
    pub abi: Abi,
    /// See [`Syscall::number`].
    pub number: u32,
    /// See [`Syscall::args`].
    pub args: [u64; 6],
    /// See [`Syscall::ret`].
    pub ret: Return,
    /// See [`Syscall::duration`].
    pub duration: Option<u64>,
    /// See [`Syscall::cpu`].
    pub cpu: u16,
}

impl<'a> SyscallColumns<'a> {
    /// Looks at a segment. `what` names it in errors.
    ///
    /// # Errors
    /// [`ReadError`] when anything in it is not what the format says.
    pub fn new(what: &str, segment: &'a Segment) -> Result<Self, ReadError> {
        let bad = |problem: &str| ReadError::damaged(what, problem);
        let events = segment.table("events")?;
        ReadError::check(what, events.rows(), STREAM_EVENTS_MAX)?;
        let tasks = decode_tasks(super::tasks_of(segment)?)?;
        let names = decode_descriptors(segment.table("descriptors")?)?;
        let table = segment.table("captures")?;
        let data = Captures {
            arg: table.view("arg", 5)?,
            kind: table.view("kind", u64::from(u8::MAX))?,
            when: table.view("when", 1)?,
            status: table.view("status", 3)?,
            original: table.view("original", u64::MAX)?,
            bytes: table.view_bytes("bytes")?,
        };
        if u8::try_from(data.kind.max())
            .ok()
            .and_then(ArgKind::from_number)
            .is_none()
        {
            return Err(bad("an unknown kind"));
        }
        let failed = CaptureStatus::Failed as u64;
        if data.status.max() >= failed {
            let is_errno = |row: usize| i32::try_from(data.original.get(row)).is_ok();
            if (0..table.rows()).any(|row| data.status.get(row) == failed && !is_errno(row)) {
                return Err(bad("an errno out of range"));
            }
        }
        let [arg0, arg1, arg2, arg3, arg4, arg5] = ARGS.map(|name| events.view(name, u64::MAX));
        let found = Self {
            gap: events.view("gap", u64::MAX)?,
            times: OnceCell::new(),
            late: events.view("late", 1)?,
            duration: events.view("duration", u64::MAX)?,
            number: events.view("number", u64::from(u32::MAX))?,
            abi: events.view("abi", u64::from(u8::MAX))?,
            task: events.view("task", u64::MAX)?,
            descriptor: events.view("descriptor", u64::MAX)?,
            ret: events.view("ret", u64::MAX)?,
            cpu: events.view("cpu", u64::from(u16::MAX))?,
            flags: events.view("flags", u64::from(u8::MAX))?,
            args: [arg0?, arg1?, arg2?, arg3?, arg4?, arg5?],
            captures: events.view("captures", u64::from(u8::MAX))?,
            tasks,
            names,
            data,
            first_capture: OnceCell::new(),
        };
        if events.rows() > 0 {
            lookup(what, &found.tasks, found.task.max())?;
            if let Some(index) = found.descriptor.max().checked_sub(1) {
                lookup(what, &found.names, index)?;
            }
            // Numbers of tables are dense, so the largest tells.
            if u8::try_from(found.abi.max())
                .ok()
                .and_then(Abi::from_number)
                .is_none()
            {
                return Err(bad("an unknown abi"));
            }
        }
        match found.captures.sum().cmp(&wide(table.rows())) {
            std::cmp::Ordering::Less => Err(bad("more captures than its rows count")),
            std::cmp::Ordering::Greater => Err(bad("fewer captures than its rows count")),
            std::cmp::Ordering::Equal => Ok(found),
        }
    }

    /// Number of calls.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.gap.len()
    }

    /// Times of the returns, in nanoseconds of boottime.
    #[must_use]
    pub fn times(&self) -> &[u64] {
        self.times.get_or_init(|| {
            let mut clock = Returns::default();
            let time = |row| {
                let task = self.task.get(row);
                let gap = unzigzag(self.gap.get(row)).cast_unsigned();
                let entry = clock.before(task).wrapping_add(gap);
                let time = entry.wrapping_add(self.duration.get(row));
                clock.returned(task, time);
                time
            };
            (0..self.rows()).map(time).collect()
        })
    }

    /// The time of a call's return; 0 of a row that is not there.
    #[must_use]
    pub fn time(&self, row: usize) -> u64 {
        self.times().get(row).copied().unwrap_or(0)
    }

    /// What the row of a call holds itself; of a row that is not there zeros.
    #[must_use]
    pub fn facts(&self, row: usize) -> SyscallFacts {
        SyscallFacts {
            duration: self.duration(row),
            ..self.facts_but_duration(row)
        }
    }

    /// See [`Syscall::duration`].
    #[must_use]
    pub fn duration(&self, row: usize) -> Option<u64> {
        let unseen = self.flags.get(row) & u64::from(ROW_ENTRY_UNSEEN) != 0;
        (!unseen).then(|| self.duration.get(row))
    }

    /// See [`Syscall::ret`].
    #[must_use]
    pub fn ret(&self, row: usize) -> Return {
        if self.flags.get(row) & u64::from(ROW_NEVER_RETURNED) != 0 {
            Return::Never
        } else {
            Return::Value(unzigzag(self.ret.get(row)))
        }
    }

    /// The same without the duration, which is the one that has to be decoded for it.
    #[must_use]
    pub fn facts_but_duration(&self, row: usize) -> SyscallFacts {
        SyscallFacts {
            abi: self.abi(row),
            number: u32::try_from(self.number.get(row)).unwrap_or(u32::MAX),
            args: std::array::from_fn(|arg| self.args.get(arg).map_or(0, |column| column.get(row))),
            ret: self.ret(row),
            duration: None,
            cpu: u16::try_from(self.cpu.get(row)).unwrap_or(u16::MAX),
        }
    }

    /// The table of a call's number.
    #[must_use]
    pub fn abi(&self, row: usize) -> Abi {
        let number = u8::try_from(self.abi.get(row)).ok();
        number.and_then(Abi::from_number).unwrap_or(Abi::X86_64)
    }

    /// The thread that made a call.
    #[must_use]
    pub fn task(&self, row: usize) -> Option<&Arc<Task>> {
        self.tasks.get(usize::try_from(self.task.get(row)).ok()?)
    }

    /// A call, put together; `None` when there is no such row.
    #[must_use]
    pub fn body(&self, row: usize) -> Option<Body> {
        if row >= self.rows() {
            return None;
        }
        let facts = self.facts(row);
        let descriptor = self.descriptor.get(row).checked_sub(1);
        Some(Body::Syscall(Box::new(Syscall {
            task: Arc::clone(self.task(row)?),
            abi: facts.abi,
            number: facts.number,
            args: facts.args,
            ret: facts.ret,
            duration: facts.duration,
            cpu: facts.cpu,
            descriptor: descriptor
                .and_then(|index| self.names.get(usize::try_from(index).ok()?))
                .map(Arc::clone),
            data: self.data(row),
        })))
    }

    /// Memory behind the arguments of a call.
    fn data(&self, row: usize) -> Vec<ArgData> {
        let count = usize::try_from(self.captures.get(row)).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        let first = self.first_capture.get_or_init(|| {
            let mut first = Vec::with_capacity(self.rows());
            let mut sum = 0u32;
            self.captures.each(|count| {
                first.push(sum);
                sum = sum.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            });
            first
        });
        let start = first.get(row).map_or(0, |start| *start as usize);
        (start..start + count).map(|at| self.data.get(at)).collect()
    }
}

impl Captures<'_> {
    fn get(&self, row: usize) -> ArgData {
        let content = || self.bytes.row(row).to_vec();
        let original = self.original.get(row);
        ArgData {
            arg: u8::try_from(self.arg.get(row)).unwrap_or(0),
            kind: u8::try_from(self.kind.get(row))
                .ok()
                .and_then(ArgKind::from_number)
                .unwrap_or(ArgKind::Struct),
            when: if self.when.get(row) == 0 {
                When::Entry
            } else {
                When::Exit
            },
            bytes: match self.status.get(row) {
                status if status == CaptureStatus::Whole as u64 => Captured::Whole(content()),
                status if status == CaptureStatus::Truncated as u64 => {
                    Captured::Truncated(content(), original)
                }
                status if status == CaptureStatus::Failed as u64 => {
                    Captured::Failed(i32::try_from(original).unwrap_or(0))
                }
                _ => Captured::Redacted(original),
            },
        }
    }
}
