use super::*;
use crate::source::Message;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use stillframe_format::Body;

/// A folder with a program that stands for journalctl, and with a journal file that may be opened.
struct Fake(tempfile::TempDir);

impl Fake {
    /// `script` sees journalctl's arguments; `--version` is answered already.
    fn new(script: &str) -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .mode(0o755)
            .truncate(true)
            .open(fake.program())
            .unwrap();
        writeln!(
            file,
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'systemd 252 (x)' && exit\ncd {}\n\
             entry() {{ printf '__CURSOR=%s\\n__REALTIME_TIMESTAMP=%s000\\nMESSAGE=%s\\n\\n' $1 $2 $3; }}\n{script}",
            fake.0.path().display()
        )
        .unwrap();
        std::fs::write(fake.0.path().join("system.journal"), "").unwrap();
        fake
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("journalctl")
    }

    fn open(&self) -> Journal {
        let config = JournalConfig {
            directory: Some(self.0.path().to_owned()),
            ..JournalConfig::default()
        };
        // Another thread's fork may still hold the script open for writing (ETXTBSY).
        loop {
            match Journal::with_program(config.clone(), self.program().into()) {
                Err(error) if error.message.contains("busy") => std::thread::sleep(RETRY / 50),
                outcome => return outcome.unwrap(),
            }
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }
}

fn messages(drafts: &[Draft]) -> Vec<String> {
    drafts
        .iter()
        .map(|draft| match &draft.body {
            Body::Journal(entry) => {
                let message = stillframe_format::journal::field(&entry.export, "MESSAGE").unwrap();
                String::from_utf8_lossy(message).into_owned()
            }
            Body::Loss(loss) => format!("{} {}", loss.cause, loss.count),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn run(journal: &mut Journal, enough: usize) -> (Vec<Draft>, Result<Report, SourceError>) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(64);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| journal.run(&Outbox::new(sender), &stop));
        let mut drafts = Vec::new();
        let begin = Instant::now();
        while drafts.len() < enough && begin.elapsed() < Duration::from_secs(10) && !thread.is_finished() {
            if let Ok(Message::Events(events)) = receiver.recv_timeout(Duration::from_millis(20)) {
                drafts.extend(events);
            }
        }
        stop.set();
        while let Ok(Message::Events(events)) = receiver.recv() {
            drafts.extend(events);
        }
        (drafts, thread.join().unwrap())
    })
}

#[test]
fn the_lookback_is_the_newest_that_fits_and_the_source_goes_on_right_behind_it() {
    let fake = Fake::new(
        "echo \"$@\" >>asked\ncase \"$*\" in\n*--reverse*) entry c 3 three; entry b 2 two; entry a 1 one;;\n\
         *--cursor=c) entry c 3 three; entry d 4 four; exec sleep 60;; esac",
    );
    let mut journal = fake.open();
    let lookback = journal.lookback(1_500_000_000_123_456_789, 120).unwrap();
    assert_eq!(messages(&lookback.drafts), ["lookback-limit 0", "two", "three"]);
    assert_eq!((lookback.entries, lookback.limited), (2, true));
    let (drafts, report) = run(&mut journal, 1);
    assert_eq!(messages(&drafts), ["four"]);
    let report = report.unwrap();
    assert_eq!((report.events, report.lost), (1, 0));
    let folder = fake.0.path().display();
    let units = "--unit=docker.service --unit=containerd.service";
    assert_eq!(
        fake.read("asked"),
        format!(
            "--quiet --no-pager --output=export {units} --directory={folder} --reverse --since=@1500000000.123456\n\
             --quiet --no-pager --output=export {units} --directory={folder} --follow --no-tail --cursor=c\n"
        )
    );
}

#[test]
fn without_entries_the_source_begins_where_the_lookback_did() {
    let fake = Fake::new("echo \"$@\" >>asked\ncase \"$*\" in *--follow*) exec sleep 60;; esac");
    let mut journal = fake.open();
    let lookback = journal.lookback(1_500_000_000_000_000_000, 100).unwrap();
    assert_eq!(lookback, JournalLookback::default());
    let (drafts, report) = run(&mut journal, 0);
    assert!(drafts.is_empty());
    report.unwrap();
    let asked = fake.read("asked");
    let last = asked.lines().last().unwrap();
    assert!(last.ends_with("--no-tail --since=@1500000000.000000"), "{last}");
}

#[test]
fn a_journalctl_that_dies_is_started_again_from_the_last_whole_entry() {
    let fake = Fake::new(
        "case \"$*\" in\n*--cursor=b) entry b 2 two; entry c 3 three; exec sleep 60;;\n\
         *) entry a 1 one; entry b 2 two; printf '__CURSOR=c\\nMESS'; echo 'it broke' >&2; kill -9 $$;; esac",
    );
    let (drafts, report) = run(&mut fake.open(), 3);
    assert_eq!(messages(&drafts), ["one", "two", "three"]);
    let report = report.unwrap();
    assert_eq!(report.counters, [("journalctl_restarts".to_owned(), 1)]);
    assert!(
        report.notes.contains(&"journalctl: it broke".to_owned()),
        "{:?}",
        report.notes
    );
}

#[test]
fn one_that_dies_again_and_again_ends_the_source_with_its_words() {
    let fake = Fake::new(
        "echo x >>runs; echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1",
    );
    let mut journal = fake.open();
    let error = journal.lookback(0, 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "journal: journalctl failed: No journal files were opened due to insufficient permissions. \
         (run as root or add CAP_DAC_READ_SEARCH)"
    );
    assert_eq!(error.missing, ["CAP_DAC_READ_SEARCH"]);
    let (drafts, outcome) = run(&mut journal, 1);
    assert!(drafts.is_empty());
    assert!(outcome.unwrap_err().message.starts_with("journalctl failed: "));
    assert_eq!(fake.read("runs").lines().count() as u32, 2 + RETRIES);
}

#[test]
fn a_flood_is_left_in_time_and_the_rest_is_a_hole() {
    let fake = Fake::new("n=0; while :; do n=$((n+1)); entry c$n 1 flood || exit; done");
    let begin = Instant::now();
    let (drafts, report) = run(&mut fake.open(), 10);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(messages(&drafts).last().unwrap(), "stopped 0");
    assert_eq!(report.unwrap().events as usize, drafts.len() - 1);
}

#[test]
fn what_can_never_bring_an_entry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = "/nonexistent/journalctl";
    let error = Journal::with_program(JournalConfig::default(), missing.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "journal: cannot run /nonexistent/journalctl: not found (install systemd, or leave the journal out)"
    );
    let folders = [folder.path().to_owned()];
    let error = check_access(&folders, false).unwrap_err();
    assert!(error.message.starts_with("no journal: no files in /"), "{error}");
    assert_eq!(check_access(&folders, true).unwrap().len(), 1, "one may come");
    std::fs::create_dir(folder.path().join("0123")).unwrap();
    std::fs::write(folder.path().join("0123/system.journal"), "").unwrap();
    assert_eq!(check_access(&folders, false).unwrap(), Vec::<String>::new());
    let config = JournalConfig {
        units: Vec::new(),
        directory: None,
    };
    assert!(Journal::open(config).is_err());
}
