//! What threads do: system calls in the order and mix of real programs, one after another on each thread.

use super::host::{CLIENT_COUNT, CLIENTS, Container, EPOLL, LISTENER, Role, TABLE, WAL};
use super::random::Random;
use stillframe_format::BootTime;
use stillframe_format::batch::{Capture, CaptureStatus, ROW_NEVER_RETURNED, SyscallBatch, SyscallRow};
use stillframe_format::event::{Abi, ArgKind, OpenCall, Task, When};

/// What capture keeps of a buffer.
const SNAP: usize = 64;
/// `AT_FDCWD` as a register shows it.
const AT_FDCWD: u64 = 0xffff_ff9c;
/// The x86-64 numbers of the calls that are made here (`arch/x86/entry/syscalls/syscall_64.tbl`).
mod nr {
    pub(super) const READ: u32 = 0;
    pub(super) const WRITE: u32 = 1;
    pub(super) const CLOSE: u32 = 3;
    pub(super) const FSTAT: u32 = 5;
    pub(super) const MMAP: u32 = 9;
    pub(super) const BRK: u32 = 12;
    pub(super) const PREAD64: u32 = 17;
    pub(super) const PWRITE64: u32 = 18;
    pub(super) const SENDFILE: u32 = 40;
    pub(super) const ACCEPT4: u32 = 288;
    pub(super) const SENDTO: u32 = 44;
    pub(super) const RECVFROM: u32 = 45;
    pub(super) const CLONE: u32 = 56;
    pub(super) const EXECVE: u32 = 59;
    pub(super) const WAIT4: u32 = 61;
    pub(super) const FDATASYNC: u32 = 75;
    pub(super) const FUTEX: u32 = 202;
    pub(super) const EXIT_GROUP: u32 = 231;
    pub(super) const EPOLL_WAIT: u32 = 232;
    pub(super) const OPENAT: u32 = 257;
}

/// Memory behind an argument.
#[derive(Clone, Debug)]
struct Memory {
    arg: u8,
    kind: ArgKind,
    when: When,
    bytes: Vec<u8>,
    /// How long it was.
    original: u64,
}

/// A call that a thread is going to make.
#[derive(Clone, Debug)]
struct Planned {
    number: u32,
    args: [u64; 6],
    ret: i64,
    /// Nanoseconds in the kernel.
    duration: u64,
    /// It waits for something to happen: it takes what is left of the thread's time.
    waits: bool,
    memory: Option<Memory>,
}

/// What a call leads to beside its own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The thread started a process of this id.
    Fork(u32),
    /// It runs a program.
    Exec,
    /// It ended.
    Exit,
    /// It answered a request, on a descriptor, with so many bytes.
    Answer { status: u16, bytes: u32 },
    /// It synced so many bytes.
    Sync(u32),
}

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) task: Task,
    /// Which of the containers it belongs to.
    pub(super) container: usize,
    role: Role,
    /// A program of [`Role::Cron`]: it ends when it has made its calls.
    is_child: bool,
    script: Vec<Planned>,
    at: usize,
    /// When its last call returned.
    now: u64,
    /// When the call at `at` will return.
    due: u64,
    next_child: u32,
    offset: u64,
}

/// All threads of a container.
pub(super) fn threads(index: usize, container: &Container, from: u64) -> Vec<Thread> {
    let mut found = Vec::new();
    for &(pid, threads, role, comm, _) in &container.processes {
        for thread in 0..threads {
            found.push(Thread::new(
                container.task(pid, pid + thread, comm),
                index,
                role,
                from + u64::from(pid + thread) * 37,
            ));
        }
    }
    found
}

impl Thread {
    fn new(task: Task, container: usize, role: Role, now: u64) -> Self {
        let next_child = task.pid * 1000;
        Self {
            task,
            container,
            role,
            is_child: false,
            script: Vec::new(),
            at: 0,
            now,
            due: now,
            next_child,
            offset: 0,
        }
    }

    /// The program that a thread of [`Role::Cron`] starts.
    pub(super) fn child(&self, pid: u32, now: u64) -> Self {
        let task = Task {
            pid,
            tid: pid,
            ..self.task.clone()
        };
        let mut child = Self::new(task, self.container, self.role, now);
        child.is_child = true;
        child
    }

    /// What it is inside of at `to`, if anything.
    pub(super) fn open(&self, to: u64) -> Option<OpenCall> {
        let call = self.script.get(self.at)?;
        let enter = self.due.saturating_sub(self.duration(call));
        (self.due >= to && enter < to).then(|| OpenCall {
            task: self.task.clone(),
            abi: Abi::X86_64,
            number: call.number,
            args: call.args,
            enter: Some(BootTime(enter)),
        })
    }

    fn duration(&self, call: &Planned) -> u64 {
        let since = self.due.saturating_sub(self.now);
        if call.waits {
            since - since / 8
        } else {
            call.duration.min(since)
        }
    }

    /// Makes its calls before `to`, one in about `pace` nanoseconds. `effect` is told what they lead to, and when.
    /// Says whether it goes on.
    pub(super) fn work(
        &mut self,
        to: u64,
        pace: u64,
        random: &mut Random,
        batch: &mut SyscallBatch,
        mut effect: impl FnMut(u64, &Task, Effect),
    ) -> bool {
        let mut task = None;
        loop {
            if self.script.get(self.at).is_none() {
                if self.is_child && !self.script.is_empty() {
                    effect(self.now, &self.task, Effect::Exit);
                    return false;
                }
                self.at = 0;
                self.script.clear();
                self.plan(random);
                self.due = self.now + pace / 2 + random.below(pace) + 1;
            }
            if self.due >= to {
                return true;
            }
            let Some(call) = self.script.get(self.at) else {
                return true;
            };
            let duration = self.duration(call);
            match call.number {
                nr::CLONE => effect(
                    self.due - 1,
                    &self.task,
                    Effect::Fork(u32::try_from(call.ret).unwrap_or(0)),
                ),
                nr::EXECVE => {
                    self.task.comm = b"backup".to_vec();
                    task = None;
                    effect(self.due - 1, &self.task, Effect::Exec);
                }
                nr::SENDTO => effect(
                    self.due,
                    &self.task,
                    Effect::Answer {
                        status: if self.script.len() > 8 { 200 } else { 404 },
                        bytes: u32::try_from(call.ret).unwrap_or(0),
                    },
                ),
                nr::FDATASYNC => effect(self.due, &self.task, Effect::Sync(8192)),
                _ => {}
            }
            let number = *task.get_or_insert_with(|| {
                batch.tasks.push(self.task.clone());
                wide32(batch.tasks.len() - 1)
            });
            push(
                batch,
                call,
                self.due,
                duration,
                number,
                (self.task.tid & 3) as u16,
            );
            self.now = self.due;
            self.at += 1;
            self.due = self.now + pace / 2 + random.below(pace) + 1;
        }
    }

    fn plan(&mut self, random: &mut Random) {
        match self.role {
            Role::Web => self.request(random),
            Role::Cache => self.command(random),
            Role::Database => self.query(random),
            Role::Cron if self.is_child => self.program(random),
            Role::Cron => {
                self.next_child = self.next_child.checked_add(1).unwrap_or(10_000);
                let child = i64::from(self.next_child);
                self.add(nr::CLONE, [0x0120_0011, 0, 0, 0, 0, 0], child, 90_000);
                self.wait(nr::WAIT4, [u64::MAX, 0x7ffd_1000, 0, 0, 0, 0], child);
                for _ in 0..20 {
                    self.wait(nr::FUTEX, [0x7f00_2000, 0x189, 0, 0x7ffd_3000, 0, 0], -110);
                }
            }
        }
    }

    fn add(&mut self, number: u32, args: [u64; 6], ret: i64, duration: u64) -> Added<'_> {
        self.script.push(Planned {
            number,
            args,
            ret,
            duration,
            waits: false,
            memory: None,
        });
        Added(self.script.last_mut())
    }

    fn wait(&mut self, number: u32, args: [u64; 6], ret: i64) {
        if let Added(Some(call)) = self.add(number, args, ret, 0) {
            call.waits = true;
        }
    }

    /// A request over HTTP: accept, read, open, send, close.
    fn request(&mut self, random: &mut Random) {
        const PAGES: [&str; 6] = [
            "index.html",
            "app.js",
            "style.css",
            "logo.svg",
            "api/items",
            "api/users",
        ];
        let page = random.one(&PAGES).copied().unwrap_or("index.html");
        let item = random.below(5000);
        self.wait(nr::EPOLL_WAIT, [EPOLL, 0x7ffd_4000, 512, u64::MAX, 0, 0], 1);
        if random.once_in(12) {
            self.add(
                nr::ACCEPT4,
                [LISTENER, 0x7ffd_5000, 0x7ffd_6000, 0o4000, 0, 0],
                -11,
                700,
            );
            return;
        }
        let port = 32_768 + random.below(28_000);
        let mut address = vec![2, 0];
        address.extend_from_slice(&u16::try_from(port).unwrap_or(0).to_be_bytes());
        address.extend_from_slice(&[
            10,
            0,
            0,
            u8::try_from(2 + random.below(200)).unwrap_or(2),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let duration = random.time(2_500);
        self.add(
            nr::ACCEPT4,
            [LISTENER, 0x7ffd_5000, 0x7ffd_6000, 0o4000, 0, 0],
            11,
            duration,
        )
        .exit(1, ArgKind::Sockaddr, address);
        let request = format!(
            "GET /{page}?id={item} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5\r\nAccept: */*\r\n\r\n"
        );
        let read = request.len();
        let duration = random.time(1_800);
        self.add(
            nr::RECVFROM,
            [11, 0x5581_0000, 1024, 0, 0, 0],
            wide(read),
            duration,
        )
        .exit(1, ArgKind::Buffer, request.into_bytes());
        let path = format!("/srv/www/{page}");
        let missing = random.once_in(40);
        let ret = if missing { -2 } else { 12 };
        let duration = random.time(3_200);
        self.add(
            nr::OPENAT,
            [AT_FDCWD, 0x5581_2000, 0o2_000_000, 0, 0, 0],
            ret,
            duration,
        )
        .entry(1, ArgKind::Path, path.into_bytes());
        let length = 400 + random.below(30_000);
        if !missing {
            let duration = random.time(500);
            self.add(nr::FSTAT, [12, 0x7ffd_7000, 0, 0, 0, 0], 0, duration);
            let duration = random.time(9_000);
            self.add(
                nr::SENDFILE,
                [11, 12, 0x7ffd_7100, length, 0, 0],
                wide(0) + length.cast_signed(),
                duration,
            );
            let duration = random.time(600);
            self.add(nr::CLOSE, [12, 0, 0, 0, 0, 0], 0, duration);
        }
        let status = if missing { "404 Not Found" } else { "200 OK" };
        let answer = format!(
            "HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let sent = answer.len();
        let duration = random.time(6_000);
        self.add(
            nr::SENDTO,
            [11, 0x5581_3000, wide(sent).cast_unsigned(), 0x4000, 0, 0],
            wide(sent),
            duration,
        )
        .entry(1, ArgKind::Buffer, answer.into_bytes());
        let duration = random.time(400);
        self.add(nr::WRITE, [2, 0x5581_4000, 88, 0, 0, 0], 88, duration)
            .entry(
                1,
                ArgKind::Buffer,
                format!("10.0.0.9 - - \"GET /{page}?id={item} HTTP/1.1\" {status} {length}\n").into_bytes(),
            );
        let duration = random.time(4_000);
        self.add(nr::CLOSE, [11, 0, 0, 0, 0, 0], 0, duration);
    }

    /// Commands of a few clients that are connected all the time.
    fn command(&mut self, random: &mut Random) {
        if self.task.tid != self.task.pid {
            // Background threads of the server sleep nearly always.
            self.wait(nr::FUTEX, [0x7f00_8000, 0x189, 0, 0, 0, 0], 0);
            for _ in 0..4 {
                self.wait(nr::FUTEX, [0x7f00_8000, 0x189, 0, 0x7ffd_3000, 0, 0], -110);
            }
            return;
        }
        let ready = 1 + random.below(4);
        self.wait(
            nr::EPOLL_WAIT,
            [EPOLL, 0x7f11_0000, 10_128, 100, 0, 0],
            ready.cast_signed(),
        );
        for _ in 0..ready {
            let client = CLIENTS + random.below(CLIENT_COUNT);
            let key = random.below(100_000);
            let request = format!(
                "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n$8\r\n{:08}\r\n",
                key * 7 % 99_999_999
            );
            let read = request.len();
            let duration = random.time(1_100);
            self.add(
                nr::READ,
                [client, 0x7f11_2000, 16_384, 0, 0, 0],
                wide(read),
                duration,
            )
            .exit(1, ArgKind::Buffer, request.into_bytes());
            let duration = random.time(5_500);
            self.add(nr::WRITE, [client, 0x7f11_6000, 5, 0, 0, 0], 5, duration)
                .entry(1, ArgKind::Buffer, b"+OK\r\n".to_vec());
        }
    }

    /// A query: pages are read, sometimes a record is written and synced.
    fn query(&mut self, random: &mut Random) {
        let client = CLIENTS + random.below(CLIENT_COUNT);
        let row = random.below(1_000_000);
        let query = format!("Q\0\0\0\x46UPDATE items SET stock = stock - 1 WHERE id = {row}\0");
        self.wait(nr::EPOLL_WAIT, [EPOLL, 0x7f22_0000, 64, u64::MAX, 0, 0], 1);
        let duration = random.time(1_500);
        self.add(
            nr::RECVFROM,
            [client, 0x7f22_1000, 8192, 0, 0, 0],
            wide(query.len()),
            duration,
        )
        .exit(1, ArgKind::Buffer, query.into_bytes());
        for _ in 0..1 + random.below(4) {
            let page = random.below(1 << 20) << 13;
            let mut bytes = page.to_le_bytes().to_vec();
            bytes.resize(SNAP, 0x20);
            let duration = random.time(2_800);
            self.add(
                nr::PREAD64,
                [TABLE, 0x7f22_4000, 8192, page, 0, 0],
                8192,
                duration,
            )
            .exit(1, ArgKind::Buffer, bytes)
            .of(8192);
        }
        if random.once_in(3) {
            self.offset = self.offset.wrapping_add(8192);
            let offset = self.offset;
            let mut bytes = offset.to_le_bytes().to_vec();
            bytes.resize(SNAP, 0xd0);
            let duration = random.time(7_000);
            self.add(
                nr::PWRITE64,
                [WAL, 0x7f22_8000, 8192, offset, 0, 0],
                8192,
                duration,
            )
            .entry(1, ArgKind::Buffer, bytes)
            .of(8192);
            let duration = random.time(450_000);
            self.add(nr::FDATASYNC, [WAL, 0, 0, 0, 0, 0], 0, duration);
        }
        if random.once_in(5) {
            self.wait(
                nr::FUTEX,
                [0x7f22_f000, 0x80, 2, 0, 0, 0],
                if row.is_multiple_of(3) { -11 } else { 0 },
            );
        }
        let duration = random.time(5_000);
        self.add(nr::SENDTO, [client, 0x7f22_a000, 19, 0, 0, 0], 19, duration)
            .entry(1, ArgKind::Buffer, b"C\0\0\0\rUPDATE 1\0Z\0\0\0\x05I".to_vec());
    }

    /// A short program from its start to its end.
    fn program(&mut self, random: &mut Random) {
        const LIBRARIES: [&str; 4] = [
            "/etc/ld.so.cache",
            "/lib/libc.so.6",
            "/lib/libz.so.1",
            "/etc/backup.conf",
        ];
        self.add(
            nr::EXECVE,
            [0x5590_0000, 0x5590_1000, 0x5590_2000, 0, 0, 0],
            0,
            310_000,
        )
        .entry(0, ArgKind::Path, b"/usr/bin/backup".to_vec());
        self.add(nr::BRK, [0, 0, 0, 0, 0, 0], 0x5591_0000, 300);
        for library in LIBRARIES {
            let duration = random.time(4_000);
            self.add(
                nr::OPENAT,
                [AT_FDCWD, 0x7f33_0000, 0o2_000_000, 0, 0, 0],
                3,
                duration,
            )
            .entry(1, ArgKind::Path, library.as_bytes().to_vec());
            self.add(nr::READ, [3, 0x7ffd_9000, 832, 0, 0, 0], 832, 900).exit(
                1,
                ArgKind::Buffer,
                b"\x7fELF\x02\x01\x01\x03\0\0\0\0".to_vec(),
            );
            let address = 0x7f40_0000_0000 + (random.below(1 << 20) << 12);
            self.add(nr::MMAP, [0, 0x2000, 1, 2, 3, 0], address.cast_signed(), 2_100);
            self.add(nr::CLOSE, [3, 0, 0, 0, 0, 0], 0, 350);
        }
        self.add(nr::OPENAT, [AT_FDCWD, 0x7f33_1000, 0, 0, 0, 0], -13, 2_000)
            .entry(1, ArgKind::Path, b"/var/backup/latest".to_vec());
        self.add(nr::WRITE, [2, 0x5590_8000, 46, 0, 0, 0], 46, 1_200)
            .entry(
                1,
                ArgKind::Buffer,
                b"backup: /var/backup/latest: Permission denied\n".to_vec(),
            );
        self.add(nr::EXIT_GROUP, [1, 0, 0, 0, 0, 0], 0, 0);
    }
}

/// A call that was planned just now, to say what memory goes with it.
struct Added<'a>(Option<&'a mut Planned>);

impl Added<'_> {
    fn entry(self, arg: u8, kind: ArgKind, bytes: Vec<u8>) -> Self {
        self.remember(arg, kind, When::Entry, bytes)
    }

    fn exit(self, arg: u8, kind: ArgKind, bytes: Vec<u8>) -> Self {
        self.remember(arg, kind, When::Exit, bytes)
    }

    fn remember(mut self, arg: u8, kind: ArgKind, when: When, mut bytes: Vec<u8>) -> Self {
        let original = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if kind == ArgKind::Buffer {
            bytes.truncate(SNAP);
        }
        if let Some(call) = &mut self.0 {
            call.memory = Some(Memory {
                arg,
                kind,
                when,
                bytes,
                original,
            });
        }
        self
    }

    /// The memory was longer than what is kept of it.
    fn of(mut self, original: u64) {
        if let Some(memory) = self.0.as_mut().and_then(|call| call.memory.as_mut()) {
            memory.original = original;
        }
    }
}

fn push(batch: &mut SyscallBatch, call: &Planned, time: u64, duration: u64, task: u32, cpu: u16) {
    let captures = wide32(batch.captures.len());
    if let Some(memory) = &call.memory {
        let is_whole = memory.original == u64::try_from(memory.bytes.len()).unwrap_or(u64::MAX);
        batch.captures.push(Capture {
            arg: memory.arg,
            kind: memory.kind,
            when: memory.when,
            status: if is_whole {
                CaptureStatus::Whole
            } else {
                CaptureStatus::Truncated
            },
            original: if is_whole { 0 } else { memory.original },
            start: wide32(batch.arena.len()),
            len: wide32(memory.bytes.len()),
        });
        batch.arena.extend_from_slice(&memory.bytes);
    }
    let never = call.number == nr::EXIT_GROUP;
    batch.rows.push(SyscallRow {
        time,
        duration: if never { 0 } else { duration },
        args: call.args,
        ret: call.ret,
        number: call.number,
        task,
        captures,
        capture_count: u8::from(call.memory.is_some()),
        abi: Abi::X86_64,
        flags: if never { ROW_NEVER_RETURNED } else { 0 },
        cpu,
    });
}

fn wide32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn wide(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
