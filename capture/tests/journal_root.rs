//! The source of the engine's journal, against a real journal with a real engine's entries in it.
//!
//! They need root, journald and a Docker Engine that runs in the cgroup of `docker.service`; so they are ignored
//! unless asked for: `cargo test -p stillframe-capture --test journal_root -- --ignored`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says where"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stillframe_capture::clock;
use stillframe_capture::source::journal::{Journal, JournalConfig};
use stillframe_capture::source::{Message, Outbox, Report, Source as _, Stop};
use stillframe_format::{Body, Draft, journal};

/// All tests of this file write into one journal, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

const LOOKBACK: i64 = 600_000_000_000;
const LIMIT: usize = 16 << 20;

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What journalctl itself shows of the units, from the moment on.
fn journalctl(since: i64) -> Vec<u8> {
    let output = Command::new("journalctl")
        .args([
            "-q",
            "-u",
            "docker.service",
            "-u",
            "containerd.service",
            "-o",
            "export",
        ])
        .arg(format!(
            "--since=@{}.{:06}",
            since / 1_000_000_000,
            since % 1_000_000_000 / 1_000
        ))
        .output()
        .expect("journalctl runs");
    assert!(output.status.success());
    output.stdout
}

/// The cgroup that makes a process one of docker.service.
fn cgroup() -> PathBuf {
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .map(|root| PathBuf::from(root).join("system.slice/docker.service"))
        .into_iter()
        .find(|folder| folder.join("cgroup.procs").exists())
        .expect("the engine runs in the cgroup of docker.service")
}

/// Runs a script as a process of docker.service whose output goes to the journal, until the journal has its `last` line.
/// journald reads a message's unit out of /proc: a process that has ended by then has none.
fn log(script: &str, last: &str) {
    let script = format!("{script}; read -r line");
    let mut child = Command::new("sh")
        .args([
            "-c",
            "echo $$ >$1/cgroup.procs && exec systemd-cat -t sf-test sh -c \"$2\"",
            "sh",
        ])
        .arg(cgroup())
        .arg(script)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let newest = || {
        Command::new("journalctl")
            .args(["-q", "-t", "sf-test", "-n", "1", "-o", "cat"])
            .output()
            .unwrap()
            .stdout
    };
    while newest().trim_ascii_end() != last.as_bytes() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{last:?} is not in the journal"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // Its standard input ends.
    drop(child.stdin.take());
    // `read` fails at the end of its input: that is how it was to end.
    child.wait().unwrap();
}

/// A script that writes numbers, a line each, by itself: a `seq` would have ended before journald looks at it.
fn count(from: u32, to: u32) -> String {
    format!("i={from}; while [ $i -le {to} ]; do echo $i; i=$((i+1)); done")
}

fn exports(drafts: &[Draft]) -> Vec<u8> {
    drafts
        .iter()
        .flat_map(|draft| match &draft.body {
            Body::Journal(entry) => entry.export.clone(),
            other => panic!("no entry: {other:?}"),
        })
        .collect()
}

fn messages(drafts: &[Draft]) -> Vec<Vec<u8>> {
    drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Journal(entry) => journal::field(&entry.export, "MESSAGE").map(<[u8]>::to_vec),
            _ => None,
        })
        .collect()
}

/// Stops the source even when a test fails meanwhile: the threads are waited for.
struct StopAtTheEnd<'a>(&'a Stop);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs the source while `work` is done.
fn run(source: &mut Journal, work: impl FnOnce()) -> (Vec<Draft>, Report) {
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

fn children() -> Vec<i32> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let own = std::process::id().to_string();
        let rest = stat.split_once(") ").map_or("", |(_, rest)| rest);
        stat.contains("(journalctl)") && rest.split(' ').nth(1) == Some(own.as_str())
    })
    .collect()
}

#[test]
#[ignore = "root"]
fn the_journal_is_kept_byte_for_byte_from_before_the_start_to_the_end() {
    let _turn = turn();
    log("echo before", "before");
    let since = clock::realtime() - LOOKBACK;
    let mut source = Journal::open(JournalConfig::default()).unwrap();
    let begin = clock::boottime();
    let lookback = source.lookback(since, LIMIT).unwrap();
    assert!(!lookback.limited);
    assert!(messages(&lookback.drafts).contains(&b"before".to_vec()));
    assert!(lookback.drafts.iter().all(|draft| draft.time < begin));
    // Between the two parts.
    log("echo between", "between");
    let (live, report) = run(&mut source, || {
        log(&format!(r"printf 'not \377 text\n'; {}", count(1, 2000)), "2000");
        // The engine's own: it says that a container that it has to kill did not end by itself.
        let name = format!("sf-journal-{}", std::process::id());
        let docker = |args: &[&str]| Command::new("docker").args(args).output().unwrap();
        let started = docker(&[
            "run",
            "-d",
            "--pull=never",
            "--name",
            &name,
            "sf-busybox",
            "sleep",
            "60",
        ]);
        assert!(started.status.success(), "{started:?}");
        docker(&["rm", "-f", &name]);
        log("echo last", "last");
    });
    let said = messages(&live);
    assert_eq!(said[0], b"between");
    assert_eq!(said[1], b"not \xff text");
    let numbers: Vec<Vec<u8>> = (1..=2000).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(said[2..2002], numbers[..]);
    assert!(said.contains(&b"last".to_vec()), "what came just before the stop");
    let is_engines = |draft: &&Draft| match &draft.body {
        Body::Journal(entry) => journal::field(&entry.export, "SYSLOG_IDENTIFIER") == Some(b"dockerd"),
        _ => false,
    };
    assert!(live.iter().filter(is_engines).count() > 0);
    assert_eq!(
        (report.events, report.lost),
        (live.len() as u64, 0),
        "{:?}",
        report.notes
    );

    let whole = [exports(&lookback.drafts), exports(&live)].concat();
    let expected = journalctl(since);
    assert!(
        expected.starts_with(&whole),
        "{} bytes of {}",
        whole.len(),
        expected.len()
    );
    assert!(live.iter().all(|draft| draft.time <= clock::boottime()));
    let between = live[0].time.since(begin);
    assert!(between < 5_000_000_000, "{between} ns after the start");
    assert!(live.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert_eq!(children(), Vec::<i32>::new(), "it is reaped");
}

#[test]
#[ignore = "root"]
fn the_newest_of_the_lookback_are_kept() {
    let _turn = turn();
    log(&count(5000, 5200), "5200");
    let since = clock::realtime() - LOOKBACK;
    let mut source = Journal::open(JournalConfig::default()).unwrap();
    let lookback = source.lookback(since, 10_000).unwrap();
    assert!(lookback.limited);
    let Body::Loss(loss) = &lookback.drafts[0].body else {
        panic!("what was left out comes first");
    };
    assert_eq!(loss.cause, "lookback-limit");
    let kept = exports(&lookback.drafts[1..]);
    assert!(kept.len() <= 10_000 && kept.len() > 8_000, "{}", kept.len());
    let (more, _) = run(&mut source, || log("echo more", "more"));
    assert_eq!(messages(&more)[0], b"more");
    assert!(journalctl(since).ends_with(&[kept, exports(&more)].concat()));
}

#[test]
#[ignore = "root"]
fn a_journalctl_that_is_killed_costs_nothing() {
    let _turn = turn();
    let since = clock::realtime();
    let mut source = Journal::open(JournalConfig::default()).unwrap();
    source.lookback(since, LIMIT).unwrap();
    let (live, report) = run(&mut source, || {
        log("echo one", "one");
        let pids = children();
        assert!(!pids.is_empty());
        for pid in pids {
            Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap();
        }
        log(&count(1, 300), "300");
    });
    assert_eq!(messages(&live).len(), 301, "{report:?} {:?}", live.last());
    assert!(journalctl(since).starts_with(&exports(&live)));
    assert_eq!(report.counters, [("journalctl_restarts".to_owned(), 1)]);
}

/// It runs itself once more, as nobody.
#[test]
#[ignore = "root"]
fn somebody_who_may_not_read_the_journal_is_told_so() {
    const AS_NOBODY: &str = "STILLFRAME_TEST_AS_NOBODY";
    if std::env::var_os(AS_NOBODY).is_some() {
        let error = Journal::open(JournalConfig::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("journal: cannot open /"), "{text}");
        assert!(
            text.ends_with(": permission denied (run as root or add CAP_DAC_READ_SEARCH)"),
            "{text}"
        );
        assert_eq!(error.missing, ["CAP_DAC_READ_SEARCH"]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    Command::new("chmod")
        .args(["755".as_ref(), folder.path().as_os_str(), program.as_os_str()])
        .status()
        .unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args([
            "--ignored",
            "--exact",
            "somebody_who_may_not_read_the_journal_is_told_so",
        ])
        .env(AS_NOBODY, "1")
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
