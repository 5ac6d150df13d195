//! Every command that only reads, on every bundle of the format's corpus: what it prints, what it says, how it ends.
//!
//! `format/testdata/good` must be read, `format/testdata/bad` must be refused or read as far as it goes: each failure
//! stands in the golden file of its bundle. Long answers are held by their first lines and a hash of all.

use crate::run::{Finished, replay, replay_with};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use stillframe_format::digest::Sha256;

/// Answers for people: shown.
const SHOWN: &[&[&str]] = &[
    &["info"],
    &["verify"],
    &["digest"],
    &["events"],
    &["events", "-f", "evt.failed=true"],
    &["events", "--from", "25%", "--to", "75%", "--count"],
    &["logs"],
    &["summary"],
    &["top"],
    &["top", "--by", "file"],
    &["top", "--by", "connection"],
    &["top", "--by", "syscall"],
    &["top", "--by", "container"],
    &["top", "--by", "error"],
    &["slowest"],
    &["errors", "--all"],
    &["tree"],
    &["timeline"],
    &["timeline", "--by", "errors"],
    &["timeline", "--by", "latency"],
    &["timeline", "--by", "metrics"],
    &["state", "ps", "--at", "50%"],
    &["state", "fds", "--at", "50%"],
    &["state", "net", "--at", "50%"],
    &["state", "mounts", "--at", "50%"],
    &["state", "calls", "--at", "50%"],
    &["state", "containers", "--at", "50%"],
    &["state", "usage", "--at", "50%"],
];

/// Answers for programs: only their hash.
const HASHED: &[&[&str]] = &[
    &["info", "--json"],
    &["events", "--json"],
    &["logs", "--json"],
    &["summary", "--json"],
    &["errors", "--json"],
    &["tree", "--json"],
    &["verify", "--json"],
    &["digest", "--json"],
    &["export", "strace"],
    &["export", "pcapng"],
    &["export", "journal"],
    &["export", "jsonl"],
    &["export", "csv"],
    &["export", "perfetto"],
    &["export", "html"],
];

/// Lines of an answer that are shown.
const LINES: usize = 30;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/testdata")
}

fn bundles(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(testdata().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".capture.tar.zst"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no bundle in {folder}");
    found
}

/// The command with the bundle where it belongs, which is behind the command's name, and no file to write.
fn ask(arguments: &[&str], bundle: &str) -> Finished {
    let mut all = vec![arguments[0], bundle];
    all.extend(&arguments[1..]);
    if arguments[0] == "export" {
        all.extend(["--output", "-"]);
    }
    replay(&all)
}

fn tell(page: &mut String, arguments: &[&str], finished: &Finished, shown: bool, bundle: &str) {
    let name = "BUNDLE";
    writeln!(
        page,
        "$ replay {} {name} {}",
        arguments[0],
        arguments[1..].join(" ")
    )
    .unwrap();
    let text = finished.stdout.replace(bundle, name);
    let lines = text.lines().count();
    if shown {
        for line in text.lines().take(LINES) {
            writeln!(page, "{}", line.trim_end()).unwrap();
        }
    }
    if lines > LINES || (!shown && !text.is_empty()) {
        let hash = Sha256::of(text.as_bytes()).to_string();
        writeln!(page, "[{} bytes, SHA-256 {}]", text.len(), &hash[..16]).unwrap();
    }
    for line in finished.stderr.replace(bundle, name).lines() {
        writeln!(page, "stderr: {line}").unwrap();
    }
    writeln!(page, "exit {}\n", finished.code).unwrap();
}

fn page(path: &Path) -> (String, BTreeSet<i32>) {
    let bundle = path.to_str().unwrap();
    let mut page = String::new();
    let mut codes = BTreeSet::new();
    for (list, shown) in [(SHOWN, true), (HASHED, false)] {
        for arguments in list {
            let finished = ask(arguments, bundle);
            codes.insert(finished.code);
            tell(&mut page, arguments, &finished, shown, bundle);
        }
    }
    let finished = replay_with(&["step", bundle], b"\n\nb\ng 50%\nq\n");
    codes.insert(finished.code);
    tell(&mut page, &["step"], &finished, true, bundle);
    (page, codes)
}

fn hold(path: &Path, page: &str) {
    let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let kind = if folder == "bad" { "bad" } else { "good" };
    let name = path.file_name().unwrap().to_str().unwrap();
    let name = format!("{kind}-{}", name.trim_end_matches(".capture.tar.zst"));
    insta::with_settings!({snapshot_path => "corpus", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, page);
    });
}

#[test]
fn good_bundles_answer_every_command_as_they_did() {
    for path in bundles("good/1.0") {
        let (page, codes) = page(&path);
        // 1: nothing matched; 4: of the one that is cut off, and of those that begin or end in the middle.
        assert!(
            codes.is_subset(&BTreeSet::from([0, 1, 4])),
            "{}: {codes:?}",
            path.display()
        );
        hold(&path, &page);
    }
}

#[test]
fn bad_bundles_fail_every_command_as_they_did() {
    for path in bundles("bad") {
        let (page, codes) = page(&path);
        // 3: not readable; 4: read as far as it goes; 5: verify. Nothing else, and never a crash.
        assert!(
            codes.is_subset(&BTreeSet::from([0, 1, 3, 4, 5])),
            "{}: {codes:?}",
            path.display()
        );
        assert!(
            codes.iter().any(|code| [3, 4, 5].contains(code)),
            "{}: nothing fails",
            path.display()
        );
        hold(&path, &page);
    }
}
