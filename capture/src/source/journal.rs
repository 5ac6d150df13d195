//! Source `journal`: what the engine's units logged, as Journal Export Format, byte for byte.
//!
//! It comes from journalctl, which runs as a child and follows the journal; why not from a library or from the
//! files is in `docs/decisions/0004-journal-through-journalctl.md`. Where the units are named, journalctl's own
//! `--unit` decides what belongs to one: its processes' messages, and those of systemd about it.

mod child;
pub(crate) mod entries;

use crate::clock;
use crate::source::{Outbox, Report, Source, SourceError, Stop};
use child::{Child, Next};
use entries::{Entries, Steady, loss};
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stillframe_format::{BootTime, Draft};

const NAME: &str = "journal";
/// Where journald keeps its files: until a reboot, and for good (systemd-journald.service(8)).
const FOLDERS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];
/// What journald listens on.
const SOCKET: &str = "/run/systemd/journal/socket";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long the look-back reads at most.
const LOOKBACK_TIME: Duration = Duration::from_secs(5);
/// How often journalctl is started again when it ends without having brought anything, and after what time.
const RETRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(500);
/// At the end: how long nothing may come before everything has come, and how long at most is waited. journald tells
/// its readers of new entries at most every 250 ms (`POST_CHANGE_TIMER_INTERVAL_USEC`, src/journal/journald-server.c).
const QUIET: Duration = Duration::from_millis(500);
const DRAIN: Duration = Duration::from_millis(1_500);
/// By this age a journalctl that has written nothing has nothing to write: it takes that long to open the files.
const SETTLED: Duration = Duration::from_secs(2);
/// Different remarks of journalctl that are kept.
const NOTES: usize = 16;

/// Whose entries, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Names of units, as `journalctl --unit` takes them.
    pub units: Vec<String>,
    /// Another folder of journal files than the host's.
    pub directory: Option<PathBuf>,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            units: ["docker.service", "containerd.service"].map(str::to_owned).into(),
            directory: None,
        }
    }
}

/// Entries from before the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalLookback {
    /// Oldest first. What did not fit stands in front as a loss; how much it is was not counted, because that would
    /// mean to read all of it.
    pub drafts: Vec<Draft>,
    /// Of the drafts, how many are entries.
    pub entries: u64,
    /// Older entries than these exist and were left out.
    pub limited: bool,
}

/// The source. See the module.
#[derive(Debug)]
pub struct Journal {
    config: JournalConfig,
    program: OsString,
    boot: String,
    position: Position,
    clock: Steady,
    notes: Vec<String>,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Position {
    /// With the first entry from this moment of realtime on, in nanoseconds.
    Since(i64),
    /// Behind this entry.
    Behind(String),
}

impl Position {
    /// journalctl begins with the entry itself, and it is passed over here: until systemd v255 `--after-cursor`
    /// passed over one entry too many when the journal no longer had the one of the cursor, or when that belonged to
    /// another unit (systemd issue 30288).
    fn argument(&self) -> String {
        match self {
            Self::Since(realtime) => {
                let microseconds = realtime.max(&0) / 1_000;
                format!(
                    "--since=@{}.{:06}",
                    microseconds / 1_000_000,
                    microseconds % 1_000_000
                )
            }
            Self::Behind(cursor) => format!("--cursor={cursor}"),
        }
    }

    fn seen(&self) -> Option<String> {
        match self {
            Self::Since(_) => None,
            Self::Behind(cursor) => Some(cursor.clone()),
        }
    }
}

impl Journal {
    /// Finds journalctl and sees that there is a journal that may be read. Entries count from now on, unless
    /// [`Journal::lookback`] is asked for earlier ones.
    ///
    /// # Errors
    /// When no entry could ever come: no journalctl, no permission, no journal.
    pub fn open(config: JournalConfig) -> Result<Self, SourceError> {
        Self::with_program(config, "journalctl".into())
    }

    fn with_program(config: JournalConfig, program: OsString) -> Result<Self, SourceError> {
        if config.units.is_empty() {
            return Err(SourceError::new(
                NAME,
                "no units are named (name one, such as docker.service)",
            ));
        }
        let mut journal = Self {
            config,
            program,
            boot: std::fs::read_to_string(BOOT_ID)
                .unwrap_or_default()
                .trim()
                .replace('-', ""),
            position: Position::Since(clock::realtime()),
            clock: Steady::default(),
            notes: Vec::new(),
        };
        let mut version = journal.spawn(["--version".to_owned()])?;
        let mut first = Vec::new();
        let begin = Instant::now();
        while first.len() < 1_024 && begin.elapsed() < LOOKBACK_TIME {
            match version.read(Duration::from_millis(50)) {
                Next::Bytes(bytes) => first.extend(bytes),
                Next::Nothing => {}
                Next::End => break,
            }
        }
        let first = String::from_utf8_lossy(&first);
        let line = first.lines().next().unwrap_or_default();
        let line: String = line.chars().filter(|char| !char.is_control()).take(80).collect();
        journal.notes.push(format!("read through journalctl ({line})"));
        let notes = match &journal.config.directory {
            Some(folder) => check_access(std::slice::from_ref(folder), false)?,
            None => check_access(&FOLDERS.map(PathBuf::from), Path::new(SOCKET).exists())?,
        };
        journal.notes.extend(notes);
        Ok(journal)
    }

    /// The newest entries from `since` (nanoseconds of realtime) up to now, at most `max_bytes` of them. The source
    /// goes on right behind, so nothing between the two is lost or comes twice.
    ///
    /// # Errors
    /// When journalctl fails.
    pub fn lookback(&mut self, since: i64, max_bytes: usize) -> Result<JournalLookback, SourceError> {
        let from = Position::Since(since);
        // Newest first: what does not fit is then never read, however much it is.
        let mut child = self.spawn(self.arguments(&["--reverse".to_owned(), from.argument()]))?;
        let anchor = clock::anchor();
        let mut entries = Entries::new(&self.boot, None);
        let mut kept: Vec<Draft> = Vec::new();
        let mut found = JournalLookback::default();
        let mut position = from;
        let mut bytes = 0;
        let mut has_ended = false;
        while !found.limited && !has_ended {
            let read = match child.read(Duration::from_millis(50)) {
                Next::Bytes(bytes) => entries.read(&bytes, &self.clock.anchor(clock::anchor())),
                Next::Nothing => Vec::new(),
                Next::End => {
                    has_ended = true;
                    Vec::new()
                }
            };
            for entry in read {
                if kept.is_empty() && bytes == 0 {
                    position = entry
                        .cursor
                        .map_or(Position::Since(anchor.realtime), Position::Behind);
                }
                bytes += entry.length;
                if bytes > max_bytes {
                    found.limited = true;
                    break;
                }
                found.entries += u64::from(!entry.is_loss);
                kept.push(entry.draft);
            }
            found.limited |= !has_ended && child.begin.elapsed() > LOOKBACK_TIME;
        }
        let words = if has_ended {
            let (status, words) = child.ended();
            let has_failed = status.is_none_or(|status| !status.success());
            if has_failed && !words.is_empty() {
                return Err(failed(&words));
            }
            words
        } else {
            child.words()
        };
        self.note(words);
        if found.limited {
            let to = kept.last().map_or(anchor.boottime, |oldest| oldest.time);
            kept.push(Draft {
                time: to,
                cpu: 0,
                body: loss("lookback-limit", 0, anchor.boottime_at(since), to),
            });
        }
        kept.reverse();
        found.drafts = kept;
        self.position = position;
        Ok(found)
    }

    fn arguments(&self, more: &[String]) -> Vec<OsString> {
        // Quiet: else it writes `-- No entries --` and the like between the entries.
        let mut arguments: Vec<OsString> = ["--quiet", "--no-pager", "--output=export"]
            .map(OsString::from)
            .into();
        arguments.extend(
            self.config
                .units
                .iter()
                .map(|unit| format!("--unit={unit}").into()),
        );
        if let Some(directory) = &self.config.directory {
            let mut argument = OsString::from("--directory=");
            argument.push(directory);
            arguments.push(argument);
        }
        arguments.extend(more.iter().map(OsString::from));
        arguments
    }

    fn spawn(&self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Child, SourceError> {
        Child::spawn(&self.program, arguments.into_iter().map(Into::into)).map_err(|cause| {
            let program = self.program.to_string_lossy();
            SourceError::new(
                NAME,
                if cause.kind() == ErrorKind::NotFound {
                    format!("cannot run {program}: not found (install systemd, or leave the journal out)")
                } else {
                    format!("cannot run {program}: {cause}")
                },
            )
        })
    }

    /// journalctl, from where we are on; entries that are there come at once (`--no-tail`).
    fn follow(&self) -> Result<Follower, SourceError> {
        let more = [
            "--follow".to_owned(),
            "--no-tail".to_owned(),
            self.position.argument(),
        ];
        Ok(Follower {
            child: self.spawn(self.arguments(&more))?,
            entries: Entries::new(&self.boot, self.position.seen()),
            has_spoken: false,
        })
    }

    fn note(&mut self, words: Vec<String>) {
        for line in words {
            let line = format!("journalctl: {line}");
            if self.notes.len() < NOTES && !self.notes.contains(&line) {
                self.notes.push(line);
            }
        }
    }
}

/// A journalctl that follows.
struct Follower {
    child: Child,
    entries: Entries,
    has_spoken: bool,
}

impl Source for Journal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut report = Report::default();
        let mut follower = Some(self.follow()?);
        let mut failures = 0;
        let mut restarts = 0;
        let mut again = Instant::now();
        let mut newest = clock::boottime();
        let mut ending: Option<Ending> = None;
        let mut drafts = Vec::new();
        loop {
            if ending.is_none() && stop.is_set() {
                ending = Some(Ending::begin());
            }
            let next = match &mut follower {
                Some(follower) => follower.child.read(Duration::from_millis(50)),
                None if Instant::now() < again => {
                    std::thread::sleep(Duration::from_millis(20));
                    Next::Nothing
                }
                None => {
                    restarts += 1;
                    match self.follow() {
                        Ok(started) => follower = Some(started),
                        Err(error) if failures >= RETRIES => return Err(error),
                        Err(error) => {
                            failures += 1;
                            self.note(vec![error.message]);
                            again = Instant::now() + RETRY;
                        }
                    }
                    Next::Nothing
                }
            };
            match (next, &mut follower) {
                (Next::Bytes(bytes), Some(follower)) => {
                    follower.has_spoken = true;
                    let anchor = self.clock.anchor(clock::anchor());
                    for entry in follower.entries.read(&bytes, &anchor) {
                        failures = 0;
                        newest = newest.max(entry.draft.time);
                        if let Some(cursor) = entry.cursor {
                            self.position = Position::Behind(cursor);
                        }
                        report.events += u64::from(!entry.is_loss);
                        report.lost += u64::from(entry.is_loss);
                        drafts.push(entry.draft);
                    }
                    if let Some(ending) = &mut ending {
                        ending.last = Instant::now();
                    }
                }
                (Next::End, Some(_)) => {
                    let (status, mut words) = follower
                        .take()
                        .map(|follower| follower.child.ended())
                        .unwrap_or_default();
                    if words.is_empty() {
                        words.push(
                            status.map_or("it ended".to_owned(), |status| format!("it ended: {status}")),
                        );
                    }
                    failures += 1;
                    if failures > RETRIES {
                        return Err(failed(&words));
                    }
                    self.note(words);
                    again = Instant::now() + RETRY;
                }
                _ => {}
            }
            if outbox.events(std::mem::take(&mut drafts)).is_err() {
                break;
            }
            if let Some(ending) = &ending
                && let Some(cause) = ending.is_over(follower.as_ref(), newest)
            {
                if let Some(cause) = cause {
                    let now = clock::boottime();
                    drafts.push(Draft {
                        time: now,
                        cpu: 0,
                        body: loss(cause, 0, newest, now),
                    });
                }
                break;
            }
        }
        let _ = outbox.events(drafts);
        if let Some(follower) = follower {
            self.note(follower.child.words());
        }
        report.notes = std::mem::take(&mut self.notes);
        if restarts > 0 {
            report.counters.push(("journalctl_restarts".to_owned(), restarts));
        }
        Ok(report)
    }
}

/// The time after `stop`.
struct Ending {
    begin: Instant,
    time: BootTime,
    last: Instant,
}

impl Ending {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            time: clock::boottime(),
            last: now,
        }
    }

    /// Whether it is; and if entries from before `stop` may still be in the journal, why they are lost.
    fn is_over(&self, follower: Option<&Follower>, newest: BootTime) -> Option<Option<&'static str>> {
        // The journal is in the order of arrival, so what comes behind this is none of ours.
        let is_past = newest.since(self.time) >= u64::try_from(QUIET.as_nanos()).unwrap_or(u64::MAX);
        let is_settled =
            follower.is_some_and(|follower| follower.has_spoken || follower.child.begin.elapsed() >= SETTLED);
        if is_past || is_settled && self.last.elapsed() >= QUIET {
            return Some(None);
        }
        // One that has just been started again, or is about to be, still owes what was written meanwhile.
        let limit = if is_settled { DRAIN } else { 2 * DRAIN };
        if self.begin.elapsed() < limit {
            return None;
        }
        Some(if follower.is_none() {
            Some("journalctl-gone")
        } else if !is_settled || self.last > self.begin && self.last.elapsed() < QUIET && newest < self.time {
            Some("stopped")
        } else {
            None
        })
    }
}

fn failed(words: &[String]) -> SourceError {
    let words = words.join("; ");
    let mut error = SourceError::new(NAME, format!("journalctl failed: {words}"));
    if words.contains("ermission") {
        error
            .message
            .push_str(" (run as root or add CAP_DAC_READ_SEARCH)");
        error.missing.push("CAP_DAC_READ_SEARCH".to_owned());
    }
    error
}

/// Sees whether a journal under `folders` may be read; remarks on it. journalctl itself is no help: to somebody who
/// may not read the system's journal it shows an empty one.
fn check_access(folders: &[PathBuf], journald: bool) -> Result<Vec<String>, SourceError> {
    let mut denied = None;
    let mut cannot = |path: &Path, cause: &std::io::Error| {
        if cause.kind() == ErrorKind::PermissionDenied {
            denied.get_or_insert_with(|| path.to_owned());
        }
    };
    for folder in folders {
        let mut inside = vec![folder.clone()];
        // The files are in a folder that is named by the machine's id, or right here.
        match std::fs::read_dir(folder) {
            Ok(entries) => inside.extend(
                entries
                    .filter_map(Result::ok)
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            ),
            Err(cause) => cannot(folder, &cause),
        }
        for folder in inside {
            let path = folder.join("system.journal");
            match File::open(&path) {
                Ok(_) => return Ok(Vec::new()),
                Err(cause) => cannot(&path, &cause),
            }
        }
    }
    if let Some(path) = denied {
        let mut error = SourceError::new(
            NAME,
            format!(
                "cannot open {}: permission denied (run as root or add CAP_DAC_READ_SEARCH)",
                path.display()
            ),
        );
        error.missing.push("CAP_DAC_READ_SEARCH".to_owned());
        return Err(error);
    }
    let names: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    let names = names.join(" or ");
    if journald {
        return Ok(vec![format!(
            "no journal files were found in {names} at the start"
        )]);
    }
    Err(SourceError::new(
        NAME,
        format!("no journal: no files in {names}, and journald does not run (is this a systemd host?)"),
    ))
}

#[cfg(test)]
mod tests;
