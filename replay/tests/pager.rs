//! Long output on a terminal goes through a pager, and nothing else does. The terminal is that of script(1).

use crate::fixture;
use crate::run::{Folder, replay};
use std::process::{Command, Stdio};

/// What a command line writes to a terminal of ten rows, and its exit code. `$REPLAY` and `$B` are the program and a
/// bundle; the working folder is the test's own.
fn on_a_terminal(folder: &Folder, pager: &str, line: &str) -> (String, i32) {
    let output = Command::new("script")
        .args(["-q", "-e", "-c"])
        .arg(format!("stty rows 10 cols 200; {line}"))
        .arg("/dev/null")
        .current_dir(folder.path(""))
        .env("REPLAY", env!("CARGO_BIN_EXE_replay"))
        .env("B", folder.bundle("bundle", &fixture::small()))
        .env("PAGER", pager)
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .output()
        .expect("script(1) of util-linux is needed");
    let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    (text, output.status.code().unwrap())
}

#[test]
fn what_is_longer_than_the_screen_goes_through_the_pager() {
    let folder = Folder::new();
    let (shown, code) = on_a_terminal(&folder, "tee paged | sed -n 1,3p", "$REPLAY events $B");
    assert_eq!(code, 0, "{shown}");
    let paged = std::fs::read_to_string(folder.path("paged")).unwrap();
    let plain = replay(&["events", &folder.path("bundle")]).stdout;
    assert_eq!(paged, plain);
    let first: Vec<&str> = plain.lines().take(3).collect();
    assert_eq!(shown, format!("{}\n", first.join("\n")));
}

#[test]
fn what_fits_or_is_not_wanted_or_is_no_terminal_does_not() {
    let folder = Folder::new();
    let pager = "touch paged; cat";
    for (line, rows) in [
        ("$REPLAY events $B -n 8", 8),
        ("$REPLAY events $B --count", 1),
        ("$REPLAY events $B --no-pager", 38),
        ("$REPLAY events $B | cat", 38),
        ("$REPLAY export $B jsonl -o -", 38),
        ("TERM=dumb $REPLAY events $B", 38),
    ] {
        let (shown, code) = on_a_terminal(&folder, pager, line);
        assert_eq!(code, 0, "{line}: {shown}");
        assert_eq!(shown.lines().count(), rows, "{line}: {shown}");
        assert!(!std::path::Path::new(&folder.path("paged")).exists(), "{line}");
    }
    let (shown, _) = on_a_terminal(&folder, pager, "$REPLAY events $B -n 12");
    assert_eq!(shown.lines().count(), 12, "{shown}");
    assert!(
        std::path::Path::new(&folder.path("paged")).exists(),
        "the test proves nothing"
    );
}

#[test]
fn a_pager_that_is_quit_ends_quietly_and_one_that_is_not_there_is_done_without() {
    let folder = Folder::new();
    let (shown, code) = on_a_terminal(&folder, "head -n 1; exec <&-; sleep 0.1", "$REPLAY fields");
    assert_eq!((shown.lines().count(), code), (1, 0), "{shown}");
    let (shown, code) = on_a_terminal(&folder, "true", "$REPLAY events $B --json");
    assert_eq!((shown.as_str(), code), ("", 0));
    let (shown, code) = on_a_terminal(&folder, "no-such-pager -x", "$REPLAY events $B");
    assert_eq!((shown.lines().count(), code), (38, 0), "{shown}");
}
