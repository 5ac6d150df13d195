//! The threads that are traced, and what becomes of them: from stops to records. Nothing here asks the kernel; what it
//! said is handed in, and memory is read through [`Memory`].

use super::copy::{self, Call};
use super::memory::{Memory, Program};
use super::moment::Entered;
use super::record::{Chunk, Fate, Head};
use super::signal::Delivery;
use crate::snaplen::DataLimits;
use crate::source::syscalls::rules::Rules;
use crate::source::syscalls::wire;
use std::collections::{HashMap, HashSet};
use stillframe_format::BootTime;
use stillframe_format::abi;
use stillframe_format::batch::{ROW_ENTRY_UNSEEN, ROW_NEVER_RETURNED};
use stillframe_format::event::{ArgKind, OpenCall, Task, When};

/// `PR_SET_NAME` (include/uapi/linux/prctl.h).
const PR_SET_NAME: u64 = 15;

/// Who a thread is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) tgid: u32,
    /// Index + 1 into the targets.
    pub(super) target: u32,
    pub(super) comm: [u8; 16],
}

/// A call that was entered.
#[derive(Clone, Copy, Debug)]
struct InCall {
    entered: Entered,
    at: u64,
}

/// A thread.
#[derive(Clone, Debug, Default)]
struct Thread {
    identity: Identity,
    call: Option<InCall>,
    /// What the execve that it is in was given.
    program: Option<Box<Program>>,
    /// It was born, and has not begun to run.
    is_newborn: bool,
    /// It ran before it was traced, and has not stood still since.
    is_fresh: bool,
    /// Its end was recorded.
    has_ended: bool,
}

/// Everything that is known of the traced threads.
pub(super) struct Book {
    threads: HashMap<u32, Thread>,
    /// Threads of each process that have not ended.
    alive: HashMap<u32, u32>,
    /// Processes that have opened a file by which a thread is renamed.
    renaming: HashSet<u32>,
    rules: Rules,
    /// Full ids of the targets.
    ids: Vec<String>,
    /// Records that wait to be handed over.
    pub(super) chunk: Chunk,
}

impl Book {
    /// An empty one, which copies so much of data.
    pub(super) fn new(data: &DataLimits) -> Self {
        Self {
            threads: HashMap::new(),
            alive: HashMap::new(),
            renaming: HashSet::new(),
            rules: Rules::new(data),
            ids: Vec::new(),
            chunk: Chunk::default(),
        }
    }

    /// The number (index + 1) of a target; the same id keeps its number.
    pub(super) fn target(&mut self, id: &str) -> u32 {
        let index = self.ids.iter().position(|other| other == id).unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        u32::try_from(index + 1).unwrap_or(0)
    }

    /// Full ids of the targets, in the order of their numbers.
    pub(super) fn ids(&self) -> Vec<String> {
        self.ids.clone()
    }

    pub(super) fn knows(&self, tid: u32) -> bool {
        self.threads.contains_key(&tid)
    }

    /// Whether there is one thread at most.
    pub(super) fn is_lonely(&self) -> bool {
        self.threads.len() <= 1
    }

    /// Whether any thread of the process is traced and alive.
    pub(super) fn has_process(&self, tgid: u32) -> bool {
        self.alive.contains_key(&tgid)
    }

    pub(super) fn identity(&self, tid: u32) -> Option<Identity> {
        self.threads.get(&tid).map(|thread| thread.identity)
    }

    /// The thread is before its first instruction.
    pub(super) fn is_newborn(&self, tid: u32) -> bool {
        self.threads.get(&tid).is_some_and(|thread| thread.is_newborn)
    }

    /// Whether the thread stands still for the first time since it was seized; from now on it has.
    pub(super) fn no_longer_fresh(&mut self, tid: u32) -> bool {
        self.threads
            .get_mut(&tid)
            .is_some_and(|thread| std::mem::take(&mut thread.is_fresh))
    }

    /// A thread that ran already is traced from now on.
    pub(super) fn seized(&mut self, tid: u32, identity: Identity) {
        self.insert(
            tid,
            Thread {
                identity,
                is_fresh: true,
                ..Thread::default()
            },
        );
    }

    fn insert(&mut self, tid: u32, thread: Thread) {
        *self.alive.entry(thread.identity.tgid).or_default() += 1;
        self.threads.insert(tid, thread);
    }

    fn head(kind: u8, time: u64, tid: u32, identity: &Identity) -> Head {
        Head {
            kind,
            time,
            tid,
            tgid: identity.tgid,
            target: identity.target,
            comm: identity.comm,
            ..Head::default()
        }
    }

    fn change(&mut self, kind: u8, time: u64, tid: u32, identity: &Identity, args: [u64; 3]) {
        let [a, b, c] = args;
        let head = Head {
            args: [a, b, c, 0, 0, 0],
            ..Self::head(kind, time, tid, identity)
        };
        self.chunk.begin(&head).end();
    }

    /// A thread enters a call.
    pub(super) fn entry(&mut self, tid: u32, time: u64, entered: Entered, memory: &impl Memory) {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        thread.is_fresh = false;
        thread.call = Some(InCall { entered, at: time });
        let Entered { abi, args, .. } = entered;
        let program = match (name(&entered), args) {
            (Some("execve"), [name, argv, envp, ..]) | (Some("execveat"), [_, name, argv, envp, ..]) => {
                Some(Program::read(memory, abi, name, argv, envp))
            }
            _ => None,
        };
        thread.program = program.map(Box::new);
    }

    /// The call that the thread is in.
    pub(super) fn in_call(&self, tid: u32) -> Option<Entered> {
        self.threads.get(&tid)?.call.map(|call| call.entered)
    }

    /// Which threads may have another name after the return of the call that `tid` is in.
    pub(super) fn renamed(&self, tid: u32, ret: i64) -> Vec<u32> {
        let Some(thread) = self.threads.get(&tid) else {
            return Vec::new();
        };
        let Some(call) = thread.call.filter(|_| ret >= 0) else {
            return Vec::new();
        };
        match name(&call.entered) {
            Some("prctl") if call.entered.args.first() == Some(&PR_SET_NAME) => vec![tid],
            Some("write" | "writev" | "pwrite64") if self.renaming.contains(&thread.identity.tgid) => self
                .threads
                .iter()
                .filter(|(_, other)| other.identity.tgid == thread.identity.tgid)
                .map(|(tid, _)| *tid)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A thread has this name.
    pub(super) fn rename(&mut self, tid: u32, comm: [u8; 16]) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.identity.comm = comm;
        }
    }

    /// A call returned; with `unseen`, one whose entry was not seen.
    pub(super) fn returned(
        &mut self,
        tid: u32,
        time: u64,
        ret: i64,
        unseen: Option<Entered>,
        memory: &impl Memory,
    ) {
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        let program = thread.program.take();
        let (entered, enter, flags) = match (thread.call.take(), unseen) {
            (Some(call), _) => (call.entered, call.at, 0),
            (None, Some(entered)) => (entered, 0, ROW_ENTRY_UNSEEN),
            (None, None) => return,
        };
        let Entered { abi, number, args } = entered;
        let head = Head {
            abi: abi.into(),
            flags,
            enter,
            args,
            ret,
            number,
            ..Self::head(wire::TYPE_SYSCALL, time, tid, &thread.identity)
        };
        let tgid = thread.identity.tgid;
        let start = self.chunk.bytes.len();
        let mut record = self.chunk.begin(&head);
        let call = Call { abi, args, ret };
        copy::copy(
            memory,
            self.rules.of(abi, number),
            &call,
            program.as_deref(),
            &mut record,
        );
        record.end();
        if ret >= 0 && matches!(name(&entered), Some("open" | "openat" | "openat2" | "creat")) {
            let written = self.chunk.bytes.get(start..).unwrap_or_default();
            // A path is the last that is copied, and its padding are zeros.
            let end = written.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            if written.get(..end).is_some_and(|path| path.ends_with(b"/comm")) {
                self.renaming.insert(tgid);
            }
        }
    }

    /// `parent` has made the thread `child`. The call returns twice, and the child did not enter it.
    pub(super) fn forked(&mut self, parent: u32, child: u32, tgid: u32, time: u64) {
        let Some(from) = self.threads.get(&parent) else {
            return;
        };
        let identity = from.identity;
        let thread = Thread {
            identity: Identity { tgid, ..identity },
            call: from.call,
            is_newborn: true,
            ..Thread::default()
        };
        self.insert(child, thread);
        let args = [u64::from(tgid), u64::from(child), u64::from(identity.target)];
        self.change(wire::TYPE_FORK, time, parent, &identity, args);
    }

    /// A child that was born begins to run.
    pub(super) fn begins(&mut self, tid: u32, time: u64, memory: &impl Memory) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.is_newborn = false;
            self.returned(tid, time, 0, None, memory);
        }
    }

    /// A process runs a new program. `former` is the thread that called; it is the leader now.
    pub(super) fn executed(&mut self, tid: u32, former: u32, time: u64, comm: [u8; 16], argv: (&[u8], Fate)) {
        if former != tid
            && let Some(thread) = self.threads.remove(&former)
        {
            // The leader has ended, which is seen as such before this.
            self.gone(tid, 0, time);
            self.threads.insert(tid, thread);
        }
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        thread.identity.comm = comm;
        self.renaming.remove(&thread.identity.tgid);
        let folder = thread
            .call
            .filter(|call| name(&call.entered) == Some("execveat"))
            .and_then(|call| call.entered.args.first().copied())
            .map(|folder| folder as i32);
        let (file, fate) = thread.program.as_ref().map_or_else(
            || (Vec::new(), Fate::Failed(nix::libc::EFAULT)),
            |program| program.file(folder),
        );
        let head = Head {
            args: [u64::from(former), 0, 0, 0, 0, 0],
            ..Self::head(wire::TYPE_EXEC, time, tid, &thread.identity)
        };
        let mut record = self.chunk.begin(&head);
        record.capture(0, ArgKind::Path, When::Entry, fate, &file);
        record.capture(1, ArgKind::Strings, When::Exit, argv.1, argv.0);
        record.end();
    }

    /// A signal is delivered to a thread.
    pub(super) fn signalled(&mut self, tid: u32, delivery: &Delivery, time: u64) {
        let Some(thread) = self.threads.get(&tid) else {
            return;
        };
        let fatal = if delivery.is_fatal { wire::SIGNAL_FATAL } else { 0 };
        let head = Head {
            args: [
                i64::from(delivery.code).cast_unsigned(),
                0,
                0,
                u64::from(delivery.action),
                fatal,
                0,
            ],
            number: delivery.number,
            ..Self::head(wire::TYPE_SIGNAL_DELIVERED, time, tid, &thread.identity)
        };
        let mut record = self.chunk.begin(&head);
        if !delivery.siginfo.is_empty() {
            record.capture(0, ArgKind::Struct, When::Entry, Fate::Whole, &delivery.siginfo);
        }
        record.end();
    }

    /// A thread ends, with a code as wait(2) shows it. `ret` is what the call returned that it is in, if it did.
    pub(super) fn ended(&mut self, tid: u32, code: i32, ret: Option<i64>, time: u64, memory: &impl Memory) {
        if let Some(ret) = ret {
            self.returned(tid, time, ret, None, memory);
        }
        let Some(thread) = self.threads.get_mut(&tid) else {
            return;
        };
        if std::mem::replace(&mut thread.has_ended, true) {
            return;
        }
        let identity = thread.identity;
        if let Some(InCall { entered, at }) = thread.call.take() {
            let head = Head {
                abi: entered.abi.into(),
                flags: ROW_NEVER_RETURNED,
                enter: at,
                args: entered.args,
                number: entered.number,
                ..Self::head(wire::TYPE_SYSCALL, time, tid, &identity)
            };
            self.chunk.begin(&head).end();
        }
        let is_last = match self.alive.get_mut(&identity.tgid) {
            Some(alive) if *alive > 1 => {
                *alive -= 1;
                false
            }
            _ => {
                self.alive.remove(&identity.tgid);
                self.renaming.remove(&identity.tgid);
                true
            }
        };
        let args = [u64::from(code.cast_unsigned()), u64::from(is_last), 0];
        // After its last call: of two streams with one time, this one would come first.
        self.change(wire::TYPE_EXIT, time + 1, tid, &identity, args);
    }

    /// A thread has been reaped: its number may be used again. One whose end was not seen has it now.
    pub(super) fn gone(&mut self, tid: u32, code: i32, time: u64) {
        self.ended(tid, code, None, time, &NoMemory);
        self.threads.remove(&tid);
    }

    /// The calls that threads are in.
    pub(super) fn open_calls(&self) -> Vec<OpenCall> {
        self.threads
            .iter()
            .filter_map(|(tid, thread)| {
                let call = thread.call?;
                let Identity { tgid, target, comm } = thread.identity;
                Some(OpenCall {
                    task: Task {
                        pid: tgid,
                        tid: *tid,
                        comm: crate::source::tracing::record::comm(&comm),
                        container: crate::source::tracing::record::container(&self.ids, target),
                    },
                    abi: call.entered.abi,
                    number: call.entered.number,
                    args: call.entered.args,
                    enter: Some(BootTime(call.at)),
                })
            })
            .collect()
    }
}

/// Memory of a thread that is gone.
struct NoMemory;

impl Memory for NoMemory {
    fn read(&self, _: u64, _: &mut [u8]) -> usize {
        0
    }
}

fn name(entered: &Entered) -> Option<&'static str> {
    abi::lookup(entered.abi, entered.number).map(|call| call.name)
}

#[cfg(test)]
mod tests;
