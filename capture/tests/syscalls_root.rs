//! The syscall source against the running kernel. Needs root; the container tests need a Docker Engine with an image
//! that holds busybox (the test bed has `sf-busybox`).
//!
//! `cargo test -p stillframe-capture --test syscalls_root -- --ignored --test-threads 1`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use stillframe_capture::source::syscalls::{OpenCalls, SyscallConfig, SyscallSource, TargetSet};
use stillframe_capture::source::{Message, Outbox, Report, Source, Stop};
use stillframe_capture::target::{Cgroups, Target, TargetKind};
use stillframe_format::batch::{Capture, CaptureStatus, ROW_NEVER_RETURNED, SyscallBatch, SyscallRow};
use stillframe_format::event::{Abi, ArgKind, ProcessChange, Task, When};
use stillframe_format::{Body, Draft};

/// A call with everything that belongs to it.
struct Call {
    row: SyscallRow,
    task: Task,
    data: Vec<(Capture, Vec<u8>)>,
}

#[derive(Default)]
struct Recording {
    calls: Vec<Call>,
    drafts: Vec<Draft>,
    report: Report,
    /// How long the thread of the source ran on a CPU.
    cpu: Duration,
}

impl Recording {
    fn add(&mut self, batch: SyscallBatch) {
        for row in &batch.rows {
            let from = row.captures as usize;
            let captures = &batch.captures[from..from + usize::from(row.capture_count)];
            let data = captures
                .iter()
                .map(|capture| {
                    let start = capture.start as usize;
                    (
                        *capture,
                        batch.arena[start..start + capture.len as usize].to_vec(),
                    )
                })
                .collect();
            self.calls.push(Call {
                row: *row,
                task: batch.tasks[row.task as usize].clone(),
                data,
            });
        }
    }

    fn count(&self, number: i64, comm: &str) -> usize {
        let number = u32::try_from(number).unwrap();
        self.calls
            .iter()
            .filter(|call| {
                call.row.abi == Abi::X86_64 && call.row.number == number && call.task.comm == comm.as_bytes()
            })
            .count()
    }

    fn lost(&self) -> u64 {
        self.drafts
            .iter()
            .map(|draft| match &draft.body {
                Body::Loss(loss) => loss.count,
                _ => 0,
            })
            .sum()
    }

    fn changes(&self) -> impl Iterator<Item = (&Task, &ProcessChange)> {
        self.drafts.iter().filter_map(|draft| match &draft.body {
            Body::Process(process) => Some((&*process.task, &process.change)),
            _ => None,
        })
    }
}

/// A source on its thread.
struct Running {
    stop: Stop,
    collector: thread::JoinHandle<Recording>,
    source: thread::JoinHandle<(Report, Duration)>,
    open: OpenCalls,
    targets: TargetSet,
}

fn start(config: &SyscallConfig) -> Running {
    let mut source = SyscallSource::new(config).unwrap();
    let (open, targets) = (source.open_calls(), source.targets());
    let stop = Stop::default();
    let (sender, receiver) = mpsc::sync_channel(64);
    let (stopped, outbox) = (stop.clone(), Outbox::new(sender));
    let source = thread::spawn(move || {
        let report = source.run(&outbox, &stopped).unwrap();
        (report, thread_cpu())
    });
    let collector = thread::spawn(move || {
        let mut recording = Recording::default();
        for message in receiver {
            match message {
                Message::Syscalls(batch) => recording.add(batch),
                Message::Events(drafts) => recording.drafts.extend(drafts),
            }
        }
        recording
    });
    Running {
        stop,
        collector,
        source,
        open,
        targets,
    }
}

fn thread_cpu() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::from(time)
}

impl Running {
    fn end(self) -> Recording {
        self.stop.set();
        let (report, cpu) = self.source.join().unwrap();
        let mut recording = self.collector.join().unwrap();
        recording.report = report;
        recording.cpu = cpu;
        recording
    }
}

/// A shell that waits for a line before it runs `script`.
fn waiting(script: &str) -> Child {
    Command::new("sh")
        .env_remove("LD_LIBRARY_PATH")
        .args(["-c", &format!("read line; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn go(child: &mut Child) {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap();
}

fn tree(child: &Child) -> Target {
    Target {
        name: "command".to_owned(),
        id: "command".to_owned(),
        kind: TargetKind::Command,
        pid: child.id(),
        ..Target::default()
    }
}

fn of(target: Target) -> SyscallConfig {
    SyscallConfig {
        targets: vec![target],
        ..SyscallConfig::default()
    }
}

fn assert_dd(recording: &Recording, count: usize, container: &str) {
    let (reads, writes) = (
        recording
            .calls
            .iter()
            .filter(|call| {
                call.task.comm == b"dd"
                    && call.row.number == 0
                    && call.row.args[0] == 0
                    && call.row.args[2] == 1
            })
            .count(),
        recording
            .calls
            .iter()
            .filter(|call| {
                call.task.comm == b"dd"
                    && call.row.number == 1
                    && call.row.args[0] == 1
                    && call.row.args[2] == 1
            })
            .count(),
    );
    eprintln!(
        "{reads} reads, {writes} writes, {} lost, {} calls, {:.3} us of CPU a call in the source's thread",
        recording.lost(),
        recording.calls.len(),
        recording.cpu.as_secs_f64() * 1e6 / recording.calls.len() as f64
    );
    assert_eq!(recording.lost(), recording.report.lost);
    if recording.lost() == 0 {
        assert_eq!((reads, writes), (count, count));
    } else {
        assert!(reads + writes + usize::try_from(recording.lost()).unwrap() >= 2 * count);
    }
    for call in recording.calls.iter().filter(|call| call.task.comm == b"dd") {
        assert_eq!(call.task.container, container);
    }
    let read = recording
        .calls
        .iter()
        .find(|call| call.task.comm == b"dd" && call.row.number == 0 && call.row.args[2] == 1)
        .unwrap();
    assert_eq!(read.data.len(), 1);
    assert_eq!(read.data[0].1, [0], "dd read one zero byte");
}

#[test]
#[ignore = "root"]
fn every_read_and_write_of_dd_in_a_tree_is_there() {
    let mut child = waiting("dd if=/dev/zero of=/dev/null bs=1 count=200000");
    let running = start(&of(tree(&child)));
    go(&mut child);
    let recording = running.end();
    assert_dd(&recording, 200_000, "command");
    let exits = recording
        .calls
        .iter()
        .filter(|call| {
            call.row.flags & ROW_NEVER_RETURNED != 0 && i64::from(call.row.number) == libc::SYS_exit_group
        })
        .count();
    assert_eq!(exits, 2, "the shell and dd left with exit_group");
    let dd = recording
        .calls
        .iter()
        .find(|call| i64::from(call.row.number) == libc::SYS_execve && call.row.ret == 0)
        .unwrap();
    assert!(dd.data[0].1.ends_with(b"/dd"), "{:?}", dd.data);
    assert_eq!(dd.data[0].0.when, When::Entry);
    let changes: Vec<_> = recording.changes().collect();
    assert!(
        changes
            .iter()
            .any(|(_, change)| matches!(change, ProcessChange::Fork { pid, tid } if pid == tid))
    );
    assert!(changes.iter().any(|(_, change)| matches!(
        change,
        ProcessChange::Exec { argv: stillframe_format::Captured::Whole(argv), .. }
            if argv.starts_with(b"dd\0if=/dev/zero\0")
    )));
    assert!(changes.iter().any(|(task, change)| task.comm == b"dd"
        && matches!(
            change,
            ProcessChange::Exit {
                status: 0,
                signal: 0,
                last: true,
                ..
            }
        )));
    assert!(
        recording
            .calls
            .iter()
            .all(|call| call.task.pid != std::process::id()),
        "capture records itself"
    );
}

#[test]
#[ignore = "root"]
fn a_ring_that_is_too_small_accounts_for_every_call_it_lost() {
    let mut child = waiting("dd if=/dev/zero of=/dev/null bs=1 count=200000");
    let running = start(&SyscallConfig {
        targets: vec![tree(&child)],
        ring_bytes: 64 << 10,
        ..SyscallConfig::default()
    });
    go(&mut child);
    let recording = running.end();
    assert!(
        recording.lost() > 0,
        "64 KiB were enough: this test shows nothing"
    );
    for draft in &recording.drafts {
        if let Body::Loss(loss) = &draft.body {
            assert_eq!(loss.scope, format!("cpu {}", draft.cpu), "{loss:?}");
        }
    }
    let seen = recording.count(libc::SYS_read, "dd") + recording.count(libc::SYS_write, "dd");
    let total = seen as u64 + recording.lost();
    eprintln!("{seen} seen, {} lost", recording.lost());
    assert!(
        (400_000..401_000).contains(&total),
        "{seen} seen and {} lost are not 400,000 and a few of the start",
        recording.lost()
    );
}

/// A container that is removed at the end.
struct Container {
    name: String,
    target: Target,
}

impl Container {
    fn start(suffix: &str, arguments: &[&str], script: &str) -> Self {
        let name = format!("sysroot-{}-{suffix}", std::process::id());
        docker(
            &[
                &["run", "-d", "--pull=never", "--name", &name][..],
                arguments,
                &["sf-busybox", "sh", "-c", script],
            ]
            .concat(),
        );
        let mut container = Self {
            name,
            target: Target::default(),
        };
        container.target = container.resolve();
        container
    }

    fn resolve(&self) -> Target {
        let answer = docker(&["inspect", "-f", "{{.Id}} {{.State.Pid}}", &self.name]);
        let (id, pid) = answer.trim().split_once(' ').unwrap();
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        let mount = if std::path::Path::new("/sys/fs/cgroup/unified").exists() {
            "/sys/fs/cgroup/unified"
        } else {
            "/sys/fs/cgroup"
        };
        Target {
            name: self.name.clone(),
            id: id.to_owned(),
            kind: TargetKind::Container,
            pid: pid.parse().unwrap(),
            cgroups: Cgroups {
                unified: Some(format!("{mount}{path}").into()),
                ..Cgroups::default()
            },
            ..Target::default()
        }
    }

    fn exec(&self, script: &str) {
        docker(&["exec", &self.name, "sh", "-c", script]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.name]);
    }
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "root"]
fn a_container_is_recorded_with_what_is_executed_in_it_later() {
    let container = Container::start("dd", &[], "while :; do sleep 1; done");
    let other = Container::start("other", &[], "while :; do sleep 0.1; done");
    let running = start(&of(container.target.clone()));
    container.exec("dd if=/dev/zero of=/dev/null bs=1 count=200000");
    thread::sleep(Duration::from_millis(1200));
    let recording = running.end();
    assert_dd(&recording, 200_000, &container.target.id);
    assert!(
        recording
            .calls
            .iter()
            .any(|call| call.task.pid == container.target.pid),
        "the process that ran before is missing"
    );
    assert!(
        recording
            .calls
            .iter()
            .all(|call| call.task.container == container.target.id && call.task.pid != other.target.pid)
    );
}

#[test]
#[ignore = "root"]
fn a_container_that_starts_again_is_recorded_again() {
    let mut container = Container::start("again", &[], "while :; do sleep 0.1; done");
    let running = start(&of(container.target.clone()));
    docker(&["restart", "-t", "0", &container.name]);
    let old = container.target.pid;
    container.target = container.resolve();
    running.targets.add(&container.target).unwrap();
    thread::sleep(Duration::from_millis(500));
    let recording = running.end();
    assert!(
        recording
            .changes()
            .any(|(task, change)| task.pid == old && matches!(change, ProcessChange::Exit { signal: 9, .. }))
    );
    let new: Vec<_> = recording
        .calls
        .iter()
        .filter(|call| call.task.pid == container.target.pid)
        .collect();
    assert!(!new.is_empty());
    assert!(new.iter().all(|call| call.task.container == container.target.id));
}

/// `name result` of the calls of a program, by strace.
fn strace(program: &[&str]) -> Vec<(String, i64)> {
    let output = tempfile::NamedTempFile::new().unwrap();
    Command::new("strace")
        .env_remove("LD_LIBRARY_PATH")
        .arg("-o")
        .arg(output.path())
        .args(["-e", "signal=none"])
        .args(program)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    std::fs::read_to_string(output.path())
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("+++"))
        .map(|line| {
            let name = line.split('(').next().unwrap().to_owned();
            let result = line.rsplit(" = ").next().unwrap().split(' ').next().unwrap();
            let errno = |name: &str| match name {
                "ENOENT" => -2,
                "ENOTTY" => -25,
                "EINVAL" => -22,
                other => panic!("{other}"),
            };
            let value = match result {
                "?" => i64::MAX,
                "-1" => errno(line.rsplit(" = -1 ").next().unwrap().split(' ').next().unwrap()),
                hex if hex.starts_with("0x") => i64::MIN,
                number => number.parse().unwrap(),
            };
            (name, value)
        })
        .collect()
}

#[test]
#[ignore = "root"]
fn calls_and_results_are_those_that_strace_shows() {
    let program = ["cat", "/etc/hostname", "/nonexistent-stillframe"];
    let names: HashMap<i64, &str> = [
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_close, "close"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_mprotect, "mprotect"),
        (libc::SYS_brk, "brk"),
        (libc::SYS_newfstatat, "newfstatat"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_access, "access"),
        (libc::SYS_execve, "execve"),
        (libc::SYS_arch_prctl, "arch_prctl"),
        (libc::SYS_set_tid_address, "set_tid_address"),
        (libc::SYS_set_robust_list, "set_robust_list"),
        (libc::SYS_rseq, "rseq"),
        (libc::SYS_prlimit64, "prlimit64"),
        (libc::SYS_getrandom, "getrandom"),
        (libc::SYS_fadvise64, "fadvise64"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_exit_group, "exit_group"),
    ]
    .into();
    let expected = strace(&program);
    let start_at = expected.iter().rposition(|(name, _)| name == "execve").unwrap();
    let mut child = waiting(&format!("exec {} 2>/dev/null", program.join(" ")));
    let running = start(&of(tree(&child)));
    go(&mut child);
    let recording = running.end();
    let calls: Vec<&Call> = recording.calls.iter().collect();
    let exec = calls
        .iter()
        .position(|call| i64::from(call.row.number) == libc::SYS_execve && call.row.ret == 0)
        .unwrap();
    let ours: Vec<(String, i64)> = calls[exec..]
        .iter()
        .map(|call| {
            let name = names.get(&i64::from(call.row.number)).copied();
            let result = if call.row.flags & ROW_NEVER_RETURNED != 0 {
                i64::MAX
            } else {
                call.row.ret
            };
            (
                name.map_or_else(|| call.row.number.to_string(), str::to_owned),
                result,
            )
        })
        .collect();
    // Addresses and thread ids differ from run to run.
    let plain = |(name, result): &(String, i64)| {
        let fixed = !matches!(name.as_str(), "mmap" | "brk" | "set_tid_address");
        (name.clone(), if fixed { *result } else { 0 })
    };
    let ours: Vec<_> = ours.iter().map(plain).collect();
    let theirs: Vec<_> = expected[start_at..].iter().map(plain).collect();
    assert!(theirs.len() > 20, "{theirs:?}");
    assert_eq!(ours, theirs);
    let missing = calls
        .iter()
        .find(|call| {
            i64::from(call.row.number) == libc::SYS_openat
                && call.data.iter().any(|data| data.1 == b"/nonexistent-stillframe")
        })
        .unwrap();
    assert_eq!(missing.row.ret, -2);
    assert_eq!(missing.data[0].0.status, CaptureStatus::Whole);
}

#[test]
#[ignore = "root"]
fn a_blocked_call_is_among_the_open_ones() {
    let mut child = waiting("read second; sleep 100");
    // Until it has blocked, before capture looks.
    thread::sleep(Duration::from_millis(200));
    let running = start(&of(tree(&child)));
    let old = running.open.list();
    assert_eq!(old.len(), 1, "{old:?}");
    assert_eq!((old[0].number, old[0].enter, old[0].args[0]), (0, None, 0));
    assert_eq!(old[0].task.pid, child.id());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    let now = running.open.list();
    eprintln!("listing took {:?}", began.elapsed());
    assert_eq!(now.len(), 1, "{now:?}");
    assert_eq!((now[0].number, now[0].args[0]), (0, 0));
    assert!(now[0].enter.is_some());
    stdin.write_all(b"go\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    let mut numbers: Vec<i64> = running
        .open
        .list()
        .iter()
        .map(|call| i64::from(call.number))
        .collect();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        [libc::SYS_wait4, libc::SYS_clock_nanosleep]
            .iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    let sleeper = running
        .open
        .list()
        .into_iter()
        .find(|call| i64::from(call.number) == libc::SYS_clock_nanosleep)
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(sleeper.task.pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    drop(stdin);
    child.wait().unwrap();
    let recording = running.end();
    let killed = recording
        .calls
        .iter()
        .find(|call| i64::from(call.row.number) == libc::SYS_clock_nanosleep)
        .unwrap();
    assert!(
        killed.row.flags & ROW_NEVER_RETURNED != 0 || killed.row.ret < 0,
        "the sleeper was killed inside its call"
    );
}

#[test]
#[ignore = "root"]
fn memory_that_cannot_be_read_is_a_failure_and_not_an_empty_string() {
    let script = r#"python3 - <<'END'
import ctypes, socket, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(257, -100, ctypes.c_void_p(4096), 0, 0)
libc.syscall(257, -100, b"/" + b"x" * 5000, 0, 0)
libc.writev
r, w = os.pipe()
os.writev(w, [b"abc", b"def"])
os.read(r, 100)
os.write(w, b"y" * 1000)
s = socket.socket()
try: s.connect(("127.0.0.1", 9))
except OSError: pass
END"#;
    let mut child = waiting(script);
    let running = start(&of(tree(&child)));
    go(&mut child);
    let recording = running.end();
    let of = |number: i64| {
        recording
            .calls
            .iter()
            .filter(move |call| i64::from(call.row.number) == number && call.task.comm == b"python3")
    };
    let failed = of(libc::SYS_openat)
        .find(|call| call.row.args[1] == 4096)
        .unwrap();
    assert_eq!(failed.data[0].0.status, CaptureStatus::Failed);
    assert_eq!(failed.data[0].0.original, 14);
    let long = of(libc::SYS_openat).find(|call| call.row.ret == -36).unwrap();
    assert_eq!(long.data[0].0.status, CaptureStatus::Truncated);
    assert_eq!((long.data[0].0.original, long.data[0].1.len()), (0, 4096));
    // The segments themselves are captured beside what they hold.
    let writev = of(libc::SYS_writev).next().unwrap();
    let (held, bytes) = writev
        .data
        .iter()
        .find(|(capture, _)| capture.kind == ArgKind::Buffer)
        .unwrap();
    assert_eq!(
        (bytes.as_slice(), held.status),
        (&b"abcdef"[..], CaptureStatus::Whole)
    );
    let read = of(libc::SYS_read)
        .find(|call| call.row.ret == 6 && call.row.args[2] == 100)
        .unwrap();
    assert_eq!(read.data[0].1, b"abcdef");
    let write = of(libc::SYS_write).find(|call| call.row.ret == 1000).unwrap();
    assert_eq!(
        (write.data[0].0.status, write.data[0].0.original),
        (CaptureStatus::Truncated, 1000)
    );
    assert_eq!(write.data[0].1, [b'y'; 64]);
    let connect = of(libc::SYS_connect).next().unwrap();
    assert_eq!(connect.data[0].1[..8], [2, 0, 0, 9, 127, 0, 0, 1]);
    let pipe = of(libc::SYS_pipe2).next().unwrap();
    assert_eq!(pipe.data[0].1.len(), 8);
}
