use super::*;
use crate::batch::{Capture, CaptureStatus, SyscallRow};
use crate::event::{
    Abi, ArgKind, Draft, EngineEvent, Metrics, Process as ProcessEvent, Task, Uring, UringStep, When,
};
use crate::slice::{SliceContent, runs};
use crate::snapshot::{DescriptorInfo, ProcessInfo, SocketInfo};
use proptest::prelude::*;

const WEB: &str = "web";

fn task(pid: u32, tid: u32, comm: &str) -> Task {
    Task {
        pid,
        tid,
        comm: comm.as_bytes().to_vec(),
        container: WEB.to_owned(),
    }
}

/// Calls in order, a nanosecond apart.
#[derive(Default)]
struct Script {
    content: SliceContent,
    time: u64,
}

impl Script {
    fn call(
        &mut self,
        task: &Task,
        name: &str,
        args: &[u64],
        ret: i64,
        data: &[(u8, ArgKind, &[u8])],
    ) -> &mut Self {
        self.time += 1;
        let batch = &mut self.content.syscalls;
        let number = batch
            .tasks
            .iter()
            .position(|known| known == task)
            .unwrap_or_else(|| {
                batch.tasks.push(task.clone());
                batch.tasks.len() - 1
            });
        let mut values = [0; 6];
        values[..args.len()].copy_from_slice(args);
        let first = batch.captures.len() as u32;
        for (arg, kind, bytes) in data {
            batch.captures.push(Capture {
                arg: *arg,
                kind: *kind,
                when: When::Entry,
                status: CaptureStatus::Whole,
                original: 0,
                start: batch.arena.len() as u32,
                len: bytes.len() as u32,
            });
            batch.arena.extend_from_slice(bytes);
        }
        batch.rows.push(SyscallRow {
            time: self.time,
            duration: 1,
            args: values,
            ret,
            number: crate::abi::number(Abi::X86_64, name).unwrap(),
            task: number as u32,
            captures: first,
            capture_count: data.len() as u8,
            abi: Abi::X86_64,
            flags: 0,
            cpu: 0,
        });
        self
    }

    fn open(&mut self, task: &Task, path: &str, flags: u64, ret: i64) -> &mut Self {
        let at = -100i64 as u64;
        self.call(
            task,
            "openat",
            &[at, 1, flags],
            ret,
            &[(1, ArgKind::Path, path.as_bytes())],
        )
    }

    fn request(&mut self, task: &Task, opcode: u8, step: UringStep) -> &mut Self {
        self.draft(Body::Uring(Uring {
            task: Arc::new(task.clone()),
            step,
            ring: 1,
            user_data: 0,
            opcode: Some(opcode),
            descriptor: None,
            cpu: 0,
        }))
    }

    fn draft(&mut self, body: Body) -> &mut Self {
        self.time += 1;
        self.content.drafts.push(Draft {
            time: BootTime(self.time),
            cpu: 0,
            body,
        });
        self
    }

    fn change(&mut self, task: &Task, change: ProcessChange) -> &mut Self {
        self.draft(Body::Process(ProcessEvent {
            task: Arc::new(task.clone()),
            change,
        }))
    }

    /// The state after it, and the name of each call's descriptor.
    fn run(&mut self, state: &mut State) -> Vec<Option<String>> {
        self.content.sort();
        let order = runs(&self.content);
        let names = state.fold(&mut self.content, &order, 1);
        assert_eq!(names.index.len(), self.content.syscalls.rows.len());
        let name = |index: &u32| {
            let name = names.names.get((*index as usize).checked_sub(1)?)?;
            Some(String::from_utf8_lossy(&name.name).into_owned())
        };
        names.index.iter().map(name).collect()
    }
}

fn fds(state: &State, pid: u32) -> Vec<(i32, String)> {
    state
        .descriptors(pid)
        .map(|open| {
            (
                open.fd,
                String::from_utf8_lossy(&open.file.name.name).into_owned(),
            )
        })
        .collect()
}

#[test]
fn a_close_has_the_name_of_what_it_closes_and_an_open_of_what_it_opened() {
    let sh = task(7, 7, "sh");
    let mut state = State::default();
    let names = Script::default()
        .open(&sh, "/data/wal", 0, 3)
        .call(&sh, "write", &[3, 0, 1], 1, &[])
        .call(&sh, "dup2", &[3, 1], 1, &[])
        .call(&sh, "close", &[3], 0, &[])
        .call(&sh, "write", &[3, 0, 1], -9, &[])
        .call(&sh, "write", &[1, 0, 1], 1, &[])
        .run(&mut state);
    let wal = Some("/data/wal".to_owned());
    assert_eq!(
        names,
        [wal.clone(), wal.clone(), wal.clone(), wal.clone(), None, wal]
    );
    assert_eq!(fds(&state, 7), [(1, "/data/wal".to_owned())]);
}

#[test]
fn a_relative_path_starts_from_the_folder_or_is_kept_as_it_is() {
    let sh = task(7, 7, "sh");
    let mut state = State::default();
    Script::default()
        .open(&sh, "unknown/x", 0, 3)
        .call(&sh, "chdir", &[1], 0, &[(0, ArgKind::Path, b"/srv")])
        .open(&sh, "./a", 0, 4)
        .open(&sh, "/folder", 0o200_000, 5)
        .call(&sh, "openat", &[5, 1, 0], 6, &[(1, ArgKind::Path, b"in")])
        .call(&sh, "chdir", &[1], -2, &[(0, ArgKind::Path, b"/not")])
        .open(&sh, "..", 0, 7)
        .run(&mut state);
    let named: Vec<String> = fds(&state, 7).into_iter().map(|(_, name)| name).collect();
    assert_eq!(named, ["unknown/x", "/srv/a", "/folder", "/folder/in", "/srv/.."]);
    let kinds: Vec<&str> = state
        .descriptors(7)
        .map(|open| open.file.name.kind.as_str())
        .collect();
    assert_eq!(kinds, ["file", "file", "directory", "file", "file"]);
}

#[test]
fn a_child_has_its_parents_descriptors_until_exec_and_exit() {
    let (sh, child) = (task(7, 7, "sh"), task(8, 8, "sh"));
    let mut state = State::default();
    let mut script = Script::default();
    script
        .open(&sh, "/kept", 0, 3)
        .open(&sh, "/closed", 0o2_000_000, 4)
        .change(&sh, ProcessChange::Fork { pid: 8, tid: 8 })
        .call(&sh, "close", &[3], 0, &[]);
    script.run(&mut state);
    assert_eq!(fds(&state, 8).len(), 2);
    let ls = task(8, 8, "ls");
    let mut script = Script {
        time: script.time,
        ..Script::default()
    };
    script.change(
        &ls,
        ProcessChange::Exec {
            filename: Captured::Whole(b"/bin/ls".to_vec()),
            argv: Captured::Whole(b"ls\0-l\0".to_vec()),
            old_tid: 8,
        },
    );
    script.run(&mut state);
    assert_eq!(fds(&state, 8), [(3, "/kept".to_owned())]);
    let process = state.process_of(8).unwrap();
    assert_eq!(process.ppid, Some(7));
    assert_eq!(process.argv, ["ls", "-l"]);
    assert_eq!(process.comm, b"ls");
    let mut script = Script {
        time: script.time,
        ..Script::default()
    };
    script.change(
        &child,
        ProcessChange::Exit {
            status: 0,
            signal: 0,
            core: false,
            last: true,
        },
    );
    script.run(&mut state);
    assert!(state.process_of(8).is_none());
    assert_eq!(state.files.len(), 1, "only what the parent still has: /closed");
    State::decode("t", &state.encode("t").unwrap()).unwrap();
}

#[test]
fn sockets_get_their_ends_from_calls() {
    let web = task(7, 7, "web");
    let address = |port: u8, last: u8| [2, 0, 0, port, 10, 0, 0, last];
    let any = [2, 0, 0, 80, 0, 0, 0, 0];
    let mut state = State::default();
    let names = Script::default()
        .call(&web, "socket", &[2, 0o2_000_001, 0], 3, &[])
        .call(&web, "bind", &[3, 1, 16], 0, &[(1, ArgKind::Sockaddr, &any)])
        .call(&web, "listen", &[3, 5], 0, &[])
        .call(
            &web,
            "accept4",
            &[3, 1, 1, 0],
            4,
            &[(1, ArgKind::Sockaddr, &address(99, 9))],
        )
        .call(&web, "write", &[4, 1, 1], 1, &[])
        .call(&web, "socket", &[2, 1, 0], 5, &[])
        .call(
            &web,
            "connect",
            &[5, 1, 16],
            -115,
            &[(1, ArgKind::Sockaddr, &address(53, 8))],
        )
        .call(&web, "socket", &[2, 1, 0], 6, &[])
        .call(
            &web,
            "connect",
            &[6, 1, 16],
            -111,
            &[(1, ArgKind::Sockaddr, &address(53, 8))],
        )
        .run(&mut state);
    assert_eq!(names[4].as_deref(), Some("TCP:[*:80->10.0.0.9:99]"));
    let shown: Vec<_> = state
        .sockets()
        .iter()
        .map(|held| (held.users.clone(), held.socket.state.clone(), held.socket.name()))
        .collect();
    let state_of = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown,
        [
            (vec![(7, 3)], state_of("LISTEN"), "TCP:[0.0.0.0:80]".to_owned()),
            (
                vec![(7, 4)],
                state_of("ESTAB"),
                "TCP:[*:80->10.0.0.9:99]".to_owned()
            ),
            (vec![(7, 5)], None, "TCP:[*->10.0.0.8:53]".to_owned()),
            (vec![(7, 6)], state_of("UNCONN"), "TCP:[]".to_owned()),
        ]
    );
}

#[test]
fn a_snapshot_joins_descriptors_to_their_sockets() {
    let process = ProcessInfo {
        pid: 7,
        comm: "web".to_owned(),
        ..ProcessInfo::default()
    };
    let fd = |fd: u32, target: &str, inode: u64| DescriptorInfo {
        pid: 7,
        fd,
        target: target.to_owned(),
        name: target.to_owned(),
        inode,
        ..DescriptorInfo::default()
    };
    let socket = |inode: u64, state: &str| SocketInfo {
        protocol: "tcp".to_owned(),
        family: "ipv4".to_owned(),
        state: state.to_owned(),
        local: "0.0.0.0:80".to_owned(),
        remote: "0.0.0.0:0".to_owned(),
        inode,
        ..SocketInfo::default()
    };
    let mut state = State::default();
    state.add(&Start {
        container: WEB,
        processes: &[process],
        descriptors: &[
            fd(0, "/dev/null", 5),
            fd(3, "socket:[44]", 44),
            fd(4, "socket:[44]", 44),
        ],
        sockets: &[socket(44, "LISTEN"), socket(0, "TIME-WAIT")],
        mounts: &[],
    });
    let sockets = state.sockets();
    assert_eq!(sockets.len(), 2);
    assert_eq!(sockets[0].users, [(7, 3), (7, 4)]);
    assert_eq!(sockets[1].socket.state.as_deref(), Some("TIME-WAIT"));
    assert!(state.process_of(7).unwrap().whole);
    let back = State::decode("t", &state.encode("t").unwrap()).unwrap();
    assert_eq!(back, state);
}

/// A process of which everything is known, with a Unix socket at 3 and a TCP socket at 4.
fn known(sh: &Task) -> State {
    let mut state = State::default();
    let process = ProcessInfo {
        pid: sh.pid,
        comm: "sh".to_owned(),
        ..ProcessInfo::default()
    };
    state.add(&Start {
        container: WEB,
        processes: &[process],
        descriptors: &[],
        sockets: &[],
        mounts: &[],
    });
    Script::default()
        .call(sh, "socket", &[1, 1, 0], 3, &[])
        .call(sh, "socket", &[2, 1, 0], 4, &[])
        .run(&mut state);
    assert!(state.process_of(sh.pid).unwrap().whole);
    state
}

#[test]
fn the_flags_of_openat2_are_in_its_structure() {
    let sh = task(7, 7, "sh");
    let at = -100i64 as u64;
    let how = |flags: u64| [flags, 0, 0].map(u64::to_le_bytes).concat();
    let path: (u8, ArgKind, &[u8]) = (1, ArgKind::Path, b"/x");
    for (flags, close_on_exec) in [(0, false), (0o2_000_000, true)] {
        let mut state = known(&sh);
        Script::default()
            .call(
                &sh,
                "openat2",
                &[at, 1, 1, 24],
                5,
                &[path, (2, ArgKind::Struct, &how(flags))],
            )
            .run(&mut state);
        let open = state.descriptors(7).find(|open| open.fd == 5).unwrap();
        assert_eq!(open.close_on_exec, close_on_exec);
        assert_eq!(open.file.name.name, b"/x");
    }
    let mut state = known(&sh);
    Script::default()
        .call(&sh, "openat2", &[at, 1, 1, 24], 5, &[path])
        .run(&mut state);
    let process = state.process_of(7).unwrap();
    assert!(!process.has(5) && !process.whole);
}

#[test]
fn a_descriptor_that_came_from_elsewhere_is_unknown_not_absent() {
    let sh = task(7, 7, "sh");
    let message = |control: &[u8]| {
        let mut out = Vec::new();
        for word in [0, 0, 1, 0, 1, control.len() as u64, 0] {
            out.extend(word.to_le_bytes());
        }
        out.extend(control);
        out
    };
    let mut rights = 20u64.to_le_bytes().to_vec();
    for word in [1u32, 1, 9] {
        rights.extend(word.to_le_bytes());
    }
    let (passed, empty) = (message(&rights), message(&[]));
    // The call, its first argument, what it returned and copied; whether everything is still known then.
    type Case<'a> = (&'a str, u64, i64, &'a [(u8, ArgKind, &'a [u8])], bool);
    let cases: &[Case<'_>] = &[
        ("recvmsg", 3, 1, &[(1, ArgKind::Struct, &passed)], false),
        ("recvmsg", 3, 1, &[(1, ArgKind::Struct, &empty)], true),
        ("recvmsg", 3, 1, &[(1, ArgKind::Struct, &passed[..60])], false),
        ("recvmsg", 3, 1, &[], false),
        ("recvmsg", 3, -11, &[], true),
        // Nothing of that kind comes over TCP, and what does not make a descriptor changes nothing.
        ("recvmsg", 4, 1, &[], true),
        ("read", 3, 1, &[], true),
        ("pidfd_getfd", 5, 9, &[], false),
        ("pidfd_getfd", 5, -1, &[], true),
        ("openat", 0, 9, &[], false),
    ];
    for (name, first, ret, data, whole) in cases {
        let mut state = known(&sh);
        Script::default()
            .call(&sh, name, &[*first], *ret, data)
            .run(&mut state);
        let process = state.process_of(7).unwrap();
        assert_eq!(process.whole, *whole, "{name} {ret} {}", data.len());
        assert!(process.has(3) && process.has(4) && !process.has(9), "{name}");
    }
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused() {
    let sh = task(7, 7, "sh");
    let mut state = State::default();
    Script::default().open(&sh, "/x", 0, 3).run(&mut state);
    let mut bent = state.clone();
    bent.files.values_mut().for_each(|file| file.references = 2);
    assert!(State::decode("t", &bent.encode("t").unwrap()).is_err());
    let mut bent = state.clone();
    bent.files.clear();
    assert!(State::decode("t", &bent.encode("t").unwrap()).is_err());
    let mut bent = state;
    bent.next_file = 0;
    assert!(State::decode("t", &bent.encode("t").unwrap()).is_err());
    assert!(State::decode("t", b"\xa0").is_err());
}

#[test]
fn a_hole_makes_the_state_uncertain() {
    let mut state = State::default();
    let mut loss = Loss {
        stream: Stream::Packet,
        cause: "ring-full".to_owned(),
        count: 1,
        from: BootTime(5),
        to: BootTime(6),
        scope: String::new(),
    };
    state.apply(1, BootTime(6), &Body::Loss(loss.clone()));
    assert_eq!(state.uncertain(), None);
    loss.stream = Stream::Syscall;
    state.apply(1, BootTime(6), &Body::Loss(loss));
    assert_eq!(state.uncertain(), Some(BootTime(5)));
}

/// A random step of a script.
fn step() -> impl Strategy<Value = (u32, u32, u8, i64, u64, u8)> {
    (1u32..4, 0u32..3, 0u8..19, -10i64..6, 0u64..6, any::<u8>())
}

proptest! {
    /// The fold over a slice, and going over its events as they are read back, give the same state and names.
    #[test]
    fn folding_a_slice_is_applying_its_events(steps in proptest::collection::vec(step(), 0..80)) {
        let mut script = Script::default();
        for (pid, thread, what, ret, arg, bits) in steps {
            let tid = if thread == 0 { pid } else { pid * 10 + thread };
            let who = task(pid, tid, if bits & 1 == 0 { "a" } else { "b" });
            let path = format!("{}p{arg}", if bits & 2 == 0 { "/" } else { "" });
            let address = [2, 0, 0, bits, 10, 0, 0, 1];
            match what {
                0 | 1 => script.open(&who, &path, u64::from(bits & 4) << 17, ret),
                2 => script.call(&who, "close", &[arg], ret.min(0), &[]),
                3 => script.call(&who, "dup2", &[arg, ret.unsigned_abs()], ret, &[]),
                4 => script.call(&who, "socket", &[2, 1, 0], ret, &[]),
                5 => script.call(&who, "connect", &[arg, 1, 16], ret.min(0), &[(1, ArgKind::Sockaddr, &address)]),
                6 => script.call(&who, "accept", &[arg, 0, 0], ret, &[]),
                7 => script.call(&who, "chdir", &[1], ret.min(0), &[(0, ArgKind::Path, path.as_bytes())]),
                8 => script.call(&who, "pipe", &[1], 0, &[(0, ArgKind::DescriptorPair, &[bits & 7, 0, 0, 0, 9, 0, 0, 0])]),
                9 => script.change(&who, ProcessChange::Fork { pid: 1 + u32::from(bits % 5), tid: 1 + u32::from(bits % 5) }),
                10 => script.change(&who, ProcessChange::Exit { status: 0, signal: 0, core: false, last: bits & 8 == 0 }),
                11 => script.change(&who, ProcessChange::Exec {
                    filename: Captured::Failed(14),
                    argv: Captured::Whole(b"x\0".to_vec()),
                    old_tid: tid,
                }),
                16 => script.request(&who, 22, UringStep::Submit { fd: Some(arg as i32), flags: bits & 1 }),
                17 => script.request(&who, [18, 19, 22][usize::from(bits % 3)], UringStep::Complete {
                    result: ret as i32,
                    flags: 0,
                    latency: None,
                }),
                13 => {
                    let action = ["start", "die", "pause", "unpause", "stop", "destroy", "oom", "kill"][usize::from(bits % 8)];
                    let json = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"c{arg}"}}}}"#);
                    script.draft(Body::Engine(EngineEvent { json: json.into_bytes() }))
                }
                14 => script.draft(Body::Metrics(Metrics {
                    container: format!("c{arg}"),
                    values: vec![("cpu.usage_ns".to_owned(), u64::from(bits)), (format!("x{}", bits % 3), 7)],
                })),
                15 => script.draft(Body::Loss(Loss {
                    stream: Stream::Engine,
                    cause: "engine-gone".to_owned(),
                    count: 0,
                    from: BootTime(arg),
                    to: BootTime(arg),
                    scope: String::new(),
                })),
                12 => script.call(&who, "close_range", &[arg, 4, u64::from(bits & 4)], 0, &[]),
                _ => script.call(&who, "read", &[arg, 0, 1], 1, &[]),
            };
        }
        let mut folded = State::default();
        script.content.to = BootTime(1_000);
        let names = script.run(&mut folded);

        let order = runs(&script.content);
        let given = State::default().fold(&mut script.content, &order, 1);
        let sealed = crate::slice::seal(1, &script.content, &order, &given, None).unwrap();
        let mut members: Vec<_> = sealed.alone.iter().chain(&sealed.together).cloned().collect();
        let ledger = crate::ledger::Ledger { first: 1, ..sealed.ledger };
        let info = crate::ledger::SliceInfo::new(&ledger, 0, 1);
        members.push(crate::entry::Member::new("slice/000001/ledger.cbor", cbor::encode("l", &ledger).unwrap()).unwrap());
        let entries: Vec<_> = members
            .iter()
            .map(|member| crate::entry::Entry { name: member.name.as_str(), content: &member.content })
            .collect();
        let slice = crate::reader::Slice::decode(&info, &entries).unwrap();
        let mut applied = State::default();
        let mut read = Vec::new();
        for event in &slice.events {
            if let Body::Uring(request) = &event.body {
                prop_assert_eq!(request.descriptor.as_ref(), applied.about_request(request));
            }
            applied.apply(event.num, event.time, &event.body);
            if let Body::Syscall(call) = &event.body {
                read.push(call.descriptor.as_ref().map(|name| String::from_utf8_lossy(&name.name).into_owned()));
            }
        }
        prop_assert_eq!(&applied, &folded);
        prop_assert_eq!(read, names);
        let back = State::decode("t", &folded.encode("t").unwrap()).unwrap();
        prop_assert_eq!(back, folded);
    }
}
