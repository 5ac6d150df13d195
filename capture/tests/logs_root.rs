//! The source of containers' logs, against a real engine.
//!
//! They need root and a Docker Engine with an image `sf-busybox` that has busybox; so they are ignored unless asked
//! for: `cargo test -p stillframe-capture --test logs_root -- --ignored`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on says where"
)]

use std::process::{Command, Output};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use stillframe_capture::clock;
use stillframe_capture::engine::{Container, Engine};
use stillframe_capture::source::logs::{Logs, LogsConfig};
use stillframe_capture::source::{Message, Outbox, Report, Source as _, Stop};
use stillframe_format::event::{LogLine, LogStream, Loss};
use stillframe_format::{Body, Draft};

const IMAGE: &str = "sf-busybox";

/// A container that is removed when the test ends, passed or not.
struct Disposable(String);

impl Disposable {
    fn run(name: &str, options: &[&str], script: &str) -> Self {
        let name = format!("sf-{name}-{}", std::process::id());
        let mut args = vec!["run", "-d", "--pull=never", "--name", &name];
        args.extend(options);
        args.extend([IMAGE, "sh", "-c", script]);
        docker(&args);
        Self(name)
    }

    fn find(&self) -> Container {
        Engine::connect(None).unwrap().find(&self.0).unwrap()
    }

    /// What another client gets of its log: stdout and stderr.
    fn logs(&self) -> (Vec<u8>, Vec<u8>) {
        let output = docker(&["logs", &self.0]);
        (output.stdout, output.stderr)
    }
}

impl Drop for Disposable {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.0]).output();
    }
}

fn docker(args: &[&str]) -> Output {
    let output = Command::new("docker").args(args).output().expect("docker runs");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn open(containers: &[&Disposable]) -> Logs {
    Logs::open(LogsConfig {
        engine: Engine::connect(None).unwrap(),
        containers: containers.iter().map(|one| one.find()).collect(),
    })
    .unwrap()
}

/// Stops the source even when a test fails meanwhile: the threads are waited for.
struct StopAtTheEnd<'a>(&'a Stop);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs the source while `work` is done.
fn run(source: &mut Logs, work: impl FnOnce()) -> (Vec<Draft>, Report) {
    let (sender, receiver) = sync_channel(4);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let source = scope.spawn(|| source.run(&Outbox::new(sender), &stop).unwrap());
        let recorder = scope.spawn(move || {
            let mut drafts = Vec::new();
            while let Ok(Message::Events(events)) = receiver.recv() {
                drafts.extend(events);
            }
            drafts
        });
        let guard = StopAtTheEnd(&stop);
        work();
        drop(guard);
        let begin = Instant::now();
        let report = source.join().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        (recorder.join().unwrap(), report)
    })
}

fn lines(drafts: &[Draft]) -> Vec<&LogLine> {
    drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Log(line) => Some(line),
            _ => None,
        })
        .collect()
}

fn output(drafts: &[Draft], container: &Container, stream: LogStream) -> Vec<u8> {
    lines(drafts)
        .into_iter()
        .filter(|line| line.container == container.id && line.stream == stream)
        .flat_map(|line| line.bytes.clone())
        .collect()
}

fn wait(seconds: f32) {
    std::thread::sleep(Duration::from_secs_f32(seconds));
}

#[test]
#[ignore = "root"]
fn both_outputs_are_what_the_engine_kept_from_before_the_start_to_the_end() {
    let script = r"printf 'a\377\n'; echo b >&2; sleep 2;
        i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done;
        head -c 100000 /dev/zero | tr '\0' x; echo; echo last >&2; sleep 60";
    for driver in ["json-file", "local"] {
        let box_ = Disposable::run(&format!("logs-{driver}"), &["--log-driver", driver], script);
        wait(0.5);
        let begin = clock::boottime();
        let mut source = open(&[&box_]);
        let lookback = source.lookback(clock::realtime() - 60_000_000_000, 4 << 20);
        assert_eq!((lookback.drafts.len(), lookback.dropped), (2, 0));
        assert!(lookback.drafts.iter().all(|draft| draft.time < begin));
        let (live, report) = run(&mut source, || wait(3.0));
        let all = [lookback.drafts, live.clone()].concat();
        let container = box_.find();
        let (stdout, stderr) = box_.logs();
        assert_eq!(
            stderr.len(),
            "b\nlast\n".len() + (0..500).map(|i| format!("err {i}\n").len()).sum::<usize>()
        );
        assert!(output(&all, &container, LogStream::Stdout) == stdout, "{driver}");
        assert!(output(&all, &container, LogStream::Stderr) == stderr, "{driver}");
        assert_eq!((report.events, report.lost), (all.len() as u64, 0));
        assert_eq!(report.notes, Vec::<String>::new());
        assert!(
            live.iter()
                .all(|draft| draft.time > begin && draft.time <= clock::boottime())
        );
        assert!(
            lines(&live).iter().any(|line| line.bytes.len() == 16 << 10),
            "pieces stay pieces"
        );
    }
}

#[test]
#[ignore = "root"]
fn a_terminals_log_is_read_too() {
    let script = r"echo a; head -c 40000 /dev/zero | tr '\0' y; echo; echo c >&2; sleep 60";
    let box_ = Disposable::run("logs-tty", &["-t"], script);
    wait(0.5);
    let mut source = open(&[&box_]);
    let lookback = source.lookback(clock::realtime() - 60_000_000_000, 4 << 20);
    let (stdout, _) = box_.logs();
    assert!(stdout.starts_with(b"a\r\n") && stdout.ends_with(b"c\r\n"));
    assert!(output(&lookback.drafts, &box_.find(), LogStream::Stdout) == stdout);
    assert_eq!(lookback.drafts.len(), 5, "the long line is three pieces");
}

#[test]
#[ignore = "root"]
fn a_container_that_dies_and_comes_back_is_read_on_without_repetition() {
    let script = "echo begin; sleep 1; echo end; sleep 60";
    let box_ = Disposable::run("logs-again", &[], script);
    let new = std::cell::OnceCell::new();
    let mut source = open(&[&box_]);
    let handle = source.handle();
    let lookback = source.lookback(clock::realtime() - 60_000_000_000, 4 << 20);
    let ends = |times: usize| {
        let begin = Instant::now();
        while box_
            .logs()
            .0
            .split(|byte| *byte == b'\n')
            .filter(|line| *line == b"end")
            .count()
            < times
        {
            assert!(begin.elapsed() < Duration::from_secs(30), "no end {times}");
            wait(0.1);
        }
    };
    let (live, report) = run(&mut source, || {
        ends(1);
        wait(0.5);
        docker(&["restart", "-t", "0", &box_.0]);
        handle.add(&box_.find());
        let other = new.get_or_init(|| Disposable::run("logs-new", &[], "echo hello; sleep 60"));
        handle.add(&other.find());
        ends(2);
        wait(0.5);
        docker(&["restart", "-t", "0", &box_.0]);
        // Nobody says so: a short life is seen even then.
        ends(3);
        wait(1.0);
    });
    let all = [lookback.drafts, live].concat();
    let text = String::from_utf8(output(&all, &box_.find(), LogStream::Stdout)).unwrap();
    assert_eq!(text, "begin\nend\n".repeat(3));
    let other = new.get().unwrap().find();
    assert_eq!(output(&all, &other, LogStream::Stdout), b"hello\n");
    assert_eq!(report.lost, 0);
    assert!(all.len() == lines(&all).len(), "no holes: {all:?}");
}

#[test]
#[ignore = "root"]
fn a_driver_that_keeps_nothing_costs_its_own_log_only() {
    let silent = Disposable::run("logs-none", &["--log-driver", "none"], "echo x; sleep 60");
    let other = Disposable::run("logs-other", &[], "echo y; sleep 60");
    wait(0.5);
    let mut source = open(&[&silent, &other]);
    let lookback = source.lookback(clock::realtime() - 60_000_000_000, 4 << 20);
    let (live, report) = run(&mut source, || wait(1.0));
    let all = [lookback.drafts, live].concat();
    assert_eq!(output(&all, &other.find(), LogStream::Stdout), b"y\n");
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    let name = format!("{}: ", silent.0);
    assert!(
        report.notes[0].starts_with(&name) && report.notes[0].contains("none"),
        "{:?}",
        report.notes
    );
}

#[test]
#[ignore = "root"]
fn a_flood_has_no_hole_but_the_one_at_its_end() {
    // So many before the start that they don't fit, and the flood only while it is watched.
    let script = "seq 20000; sleep 2; i=20000; while :; do i=$((i+1)); echo $i; done";
    let box_ = Disposable::run("logs-flood", &[], script);
    wait(1.0);
    let mut source = open(&[&box_]);
    let lookback = source.lookback(clock::realtime() - 60_000_000_000, 10_000);
    assert!(lookback.dropped > 0);
    let (live, report) = run(&mut source, || wait(3.0));
    let all = [lookback.drafts, live].concat();
    let numbers: Vec<u64> = lines(&all)
        .iter()
        .map(|line| String::from_utf8_lossy(&line.bytes).trim().parse().unwrap())
        .collect();
    assert!(numbers.last() > Some(&21_000), "{:?}", numbers.last());
    assert_eq!(numbers[0], lookback.dropped + 1, "those before were counted");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!((report.events, report.lost), (numbers.len() as u64, 0));
    assert_eq!(
        report.counters,
        [("lookback_dropped".to_owned(), lookback.dropped)]
    );
}

#[test]
#[ignore = "root"]
fn a_log_longer_than_what_is_asked_of_the_engine_begins_with_a_hole() {
    let box_ = Disposable::run("logs-long", &[], "seq 70000; sleep 60");
    let begin = Instant::now();
    while !box_.logs().0.ends_with(b"\n70000\n") {
        assert!(begin.elapsed() < Duration::from_secs(60), "seq does not end");
        wait(0.5);
    }
    let mut source = open(&[&box_]);
    let lookback = source.lookback(clock::realtime() - 60_000_000_000, 4 << 20);
    // On a slow machine the look-back ends before it has read all.
    let (live, report) = run(&mut source, || wait(1.0));
    let all = [lookback.drafts, live].concat();
    let holes: Vec<&Loss> = all
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Loss(loss) => Some(loss),
            _ => None,
        })
        .collect();
    let [hole] = holes.as_slice() else {
        panic!("{holes:?}");
    };
    assert_eq!(
        (hole.cause.as_str(), hole.count, report.lost),
        ("lookback-limit", 0, 0)
    );
    let first = lines(&all)[0].bytes.clone();
    assert_eq!(
        String::from_utf8(first).unwrap(),
        "4465\n",
        "65,536 lines were asked for"
    );
}
