//! The binary: every command on a whole bundle, a cut one, a damaged one and on garbage.

use crate::fixture;
use crate::run::{self, Folder, replay, replay_with};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn info_of_a_whole_bundle() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let text = replay(&["info", &bundle]).code(0).stdout_in(&folder);
    insta::assert_snapshot!(text);
    let json = replay(&["info", &bundle, "--json"]).code(0).json();
    assert_eq!(json["complete"], true);
    assert_eq!(json["condition"]["state"], "complete");
    assert_eq!(json["lost"]["syscall"], 14);
    assert_eq!(json["lost"]["packet"], 0);
    assert_eq!(json["clock_steps"], 1);
    assert_eq!(json["started"], "2026-11-24T14:03:07.000000000Z");
    assert_eq!(json["sources"][1]["state"], "off");
    assert_eq!(json["not_captured"][0]["what"], "packets");
    assert_eq!(json["counts"]["syscall"], 8);
}

#[test]
fn info_of_a_cut_bundle_sums_what_there_is() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let bundle = folder.bundle("cut", &bytes[..run::offset_of(&bytes, 1)]);
    let finished = replay(&["info", &bundle]).code(4);
    assert!(
        finished.stderr.contains("valid up to slice 1"),
        "{}",
        finished.stderr
    );
    insta::assert_snapshot!(finished.stdout_in(&folder));
    let json = replay(&["info", &bundle, "--json"]).code(4).json();
    assert_eq!(json["complete"], false);
    assert_eq!(json["condition"]["state"], "cut");
    assert_eq!(json["condition"]["slice"], 1);
    assert_eq!(json["lost"]["syscall"], 7);
    assert_eq!(json["counts"]["syscall"], 4);
}

#[test]
fn info_says_of_what_an_absence_is_evidence() {
    let folder = Folder::new();
    let bundle = folder.bundle("lossy", &fixture::lossy(20));
    let text = replay(&["info", &bundle]).code(0).stdout;
    let row = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}:\n{text}")).trim_start()
    };
    assert_eq!(row("complete: "), "complete: process, block, uring");
    let calls = row("syscall: ");
    let first = "syscall: complete except 14:03:07.010000000 to 14:03:07.013000000 (10 lost: ring-full, cpu 0, cpu 1); ";
    assert!(calls.starts_with(first), "{calls}");
    assert!(calls.ends_with("; and 8 more (--json shows all)"), "{calls}");
    for expected in [
        "no evidence of packet (off: --no-packets)",
        "no evidence of kernel (failed: cannot read /dev/kmsg: EPERM)",
        "no evidence of journal, engine, log, metrics (the recording names no source)",
    ] {
        assert_eq!(row(expected), expected);
    }
    assert!(
        row("what the notes of their sources say").ends_with(": block"),
        "{text}"
    );

    let json = replay(&["info", &bundle, "--json"]).code(0).json();
    let calls = &json["evidence"]["streams"]["syscall"];
    assert_eq!(calls["state"], "complete except");
    let holes = calls["holes"].as_array().unwrap();
    // Fifteen that were read; the sixteenth is one with what the other four ledgers sum up, from a slice earlier on.
    assert_eq!(holes.len(), 16);
    let sum: u64 = holes.iter().map(|hole| hole["count"].as_u64().unwrap()).sum();
    assert_eq!(sum, 200);
    let at = |slice: u64, ms: u64| fixture::BOOT + slice * fixture::SLICE + ms * fixture::MS;
    assert_eq!(holes[14]["to_boottime"], at(14, 13));
    assert_eq!(holes[15]["from_boottime"], at(15, 0));
    assert_eq!(holes[15]["to_boottime"], at(20, 0));
}

#[test]
fn of_what_is_cut_off_there_is_no_evidence() {
    let folder = Folder::new();
    let bytes = fixture::slices(&[vec![1], vec![1], vec![1]]);
    let bundle = folder.bundle("cut", &bytes[..run::offset_of(&bytes, 2)]);
    let json = replay(&["info", &bundle, "--json"]).code(4).json();
    let evidence = &json["evidence"];
    assert_eq!(evidence["to_boottime"], fixture::BOOT + 2 * fixture::SLICE);
    assert_eq!(evidence["streams"]["log"]["state"], "complete");
    assert_eq!(evidence["streams"]["syscall"]["state"], "no evidence");

    let whole = folder.bundle("whole", &bytes);
    let part = folder.path("part");
    replay(&["cut", &whole, "--from", "+1.5s", "-o", &part]).code(0);
    let json = replay(&["info", &part, "--json"]).code(0).json();
    assert_eq!(json["evidence"]["from_boottime"], fixture::BOOT + fixture::SLICE);
}

#[test]
fn events_as_lines_and_as_json() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let text = replay(&["events", &bundle]).code(0).stdout;
    insta::assert_snapshot!(text);
    let json = replay(&["events", &bundle, "--json"]).code(0).stdout;
    let numbers: Vec<u64> = json
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["evt.num"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let count = replay(&["events", &bundle, "--count"]).code(0).stdout;
    assert_eq!(count, format!("{}\n", numbers.len()));
    assert_eq!(replay(&["events", &bundle, "--json"]).stdout, json);
}

#[test]
fn events_are_chosen_by_filter_moment_and_number() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let numbers = |arguments: &[&str]| -> Vec<u64> {
        let all = [&["events", &bundle, "--json"], arguments].concat();
        let text = replay(&all).stdout;
        text.lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["evt.num"]
                    .as_u64()
                    .unwrap()
            })
            .collect()
    };
    assert_eq!(numbers(&["--from", "#5", "-n", "3"]), [5, 6, 7]);
    assert_eq!(numbers(&["--to", "#2"]), [1, 2]);
    assert_eq!(numbers(&["-n", "1", "-f", "evt.type=connect"]), [6]);
    let late = numbers(&["-f", "evt.late=true"]);
    assert_eq!(
        numbers(&["--from", "+990ms", "--to", "+999ms"]),
        late,
        "a late event is of its own time"
    );
    assert_eq!(numbers(&["--from", "-1s", "--to", "14:03:08"]).len(), 1);
    assert_eq!(
        replay(&["events", &bundle, "--count", "-f", "proc.exit.signal=9"])
            .code(0)
            .stdout,
        "2\n"
    );
    let nothing = replay(&["events", &bundle, "--count", "-f", "evt.type=fork"]).code(1);
    assert_eq!(nothing.stdout, "0\n");
    assert!(
        nothing.stderr.contains("14 syscall events were lost"),
        "{}",
        nothing.stderr
    );
    assert_eq!(
        replay(&["events", &bundle, "-f", "evt.type=fork"]).code(1).stdout,
        ""
    );
}

#[test]
fn what_cannot_be_meant_is_usage() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let finished = replay(&["events", &bundle, "-f", "evt.typ=openat"]).code(2);
    insta::assert_snapshot!(finished.stderr);
    for arguments in [
        &["events", bundle.as_str(), "--from", "yesterday"][..],
        &["events", &bundle, "--from", "2026-11-24T14:03:07"],
        &["export", &bundle, "blktrace", "-o", "-"],
        &["export", &bundle, "elf", "-o", "-"],
        &["events"],
        &["nonsense"],
    ] {
        let finished = replay(arguments).code(2);
        assert_eq!(finished.stdout, "", "{arguments:?}");
        assert!(!finished.stderr.is_empty());
    }
}

#[test]
fn garbage_is_refused_in_one_line_by_every_command() {
    let folder = Folder::new();
    let text = folder.bundle("text", "hello\n".repeat(1000).as_bytes());
    let empty = folder.bundle("empty", b"");
    let missing = folder.path("missing");
    for path in [text, empty, missing, folder.path("")] {
        for arguments in [
            &["info"][..],
            &["events"],
            &["step"],
            &["logs"],
            &["verify"],
            &["state", "ps", "--at", "+1s"],
            &["export", "strace", "-o", "-"],
            &["digest"],
            &["cut", "-o", "-"],
            &["salvage", "-o", "-"],
        ] {
            let mut all = arguments.to_vec();
            all.insert(1, &path);
            let finished = replay(&all).code(3);
            assert_eq!(finished.stderr.lines().count(), 1, "{all:?}: {}", finished.stderr);
            assert!(finished.stderr.contains(&path), "{}", finished.stderr);
            assert_eq!(finished.stdout, "");
        }
    }
}

#[test]
fn a_bundle_cut_anywhere_shows_a_beginning_of_the_whole() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let whole = replay(&["events", &folder.bundle("whole", &bytes), "--json"]).stdout;
    let mut codes = BTreeSet::new();
    for part in 0..40 {
        let cut = folder.bundle("cut", &bytes[..bytes.len() * part / 40]);
        let finished = replay(&["events", &cut, "--json"]);
        assert!(whole.starts_with(&finished.stdout), "cut at {part}/40");
        if finished.code == 0 {
            // Behind the end record only hints stand: nothing of the recording is missing.
            assert_eq!(finished.stdout, whole, "cut at {part}/40");
        }
        codes.insert(finished.code);
        assert!(matches!(replay(&["verify", &cut]).code, 3..=5));
    }
    assert_eq!(codes, BTreeSet::from([0, 3, 4]));
}

#[test]
fn a_damaged_slice_is_a_hole_and_the_rest_is_shown() {
    let folder = Folder::new();
    let mut bytes = fixture::small();
    let at = run::offset_of(&bytes, 0) + 200;
    bytes[at] ^= 0x55;
    let bundle = folder.bundle("damaged", &bytes);
    let finished = replay(&["events", &bundle]).code(4);
    let first = finished.stdout.lines().next().unwrap();
    assert!(first.starts_with("--- hole: events 1 to "), "{first}");
    assert!(
        finished.stdout.lines().count() > 10,
        "the second slice is missing"
    );
    let json = replay(&["events", &bundle, "--json"]).code(4).stdout;
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    let report = replay(&["verify", &bundle]);
    assert!(matches!(report.code, 4 | 5), "{}", report.code);
    assert!(report.stdout.starts_with("bytes "), "{}", report.stdout);
    for format in ["strace", "pcapng", "journal", "jsonl"] {
        replay(&["export", &bundle, format, "-o", "-"]).code(4);
    }
}

#[test]
fn verify_says_ok_or_what_is_wrong_and_where() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let whole = folder.bundle("whole", &bytes);
    insta::assert_snapshot!(replay(&["verify", &whole]).code(0).stdout);
    let cut = folder.bundle("cut", &bytes[..run::offset_of(&bytes, 1) + 10]);
    let finished = replay(&["verify", &cut]).code(4);
    assert!(
        finished
            .stdout
            .ends_with("valid up to slice 1, 2026-11-24T14:03:08.000000000Z\n"),
        "{}",
        finished.stdout
    );
}

#[test]
fn logs_begin_before_the_start() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    insta::assert_snapshot!(replay(&["logs", &bundle]).code(0).stdout);
    let engine = replay(&["logs", &bundle, "--engine", "--json"]).code(0).stdout;
    let engine: Vec<Value> = engine
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(engine[0]["loss.cause"], "lookback-limit");
    let engine = &engine[1..];
    assert_eq!(engine.len(), 4);
    assert!(
        engine
            .iter()
            .all(|entry| entry["journal.unit"] == "docker.service")
    );
    let numbered: Vec<bool> = engine
        .iter()
        .map(|entry| entry.get("evt.num").is_some())
        .collect();
    assert_eq!(numbered, [false, false, true, true]);
    assert_eq!(engine[0]["evt.time"], "2026-11-24T14:02:07.000000000Z");
    let container = replay(&["logs", &bundle, "--container"]).code(0).stdout;
    assert_eq!(container.lines().count(), 4, "{container}");
    assert!(
        container.starts_with("2026-11-24T14:02:07.000001000Z stderr: hello\n"),
        "{container}"
    );
}

#[test]
fn fields_are_listed() {
    let text = replay(&["fields"]).code(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("evt.type ")), "{text}");
    let json = replay(&["fields", "--json"]).code(0).stdout;
    assert_eq!(json.lines().count(), text.lines().count());
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn a_pipe_is_read_like_a_file() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let file = replay(&["events", &folder.bundle("whole", &bytes), "--json"]).stdout;
    let piped = run::replay_with(&["events", "-", "--json"], &bytes)
        .code(0)
        .stdout;
    assert_eq!(piped, file);
    let garbage = run::replay_with(&["info", "-"], b"garbage").code(3);
    assert_eq!(garbage.stderr.lines().count(), 1, "{}", garbage.stderr);
}

#[test]
fn step_goes_forward_back_and_anywhere() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let keys = "\nn 2\nb\ng 6\np\ng +1s\nb\nf evt.type=openat\nn\nn\nn\nc\nf evt.typ\nf\ng nowhere\ng #1\nb\nb\ng 100%\nx\nn x\nq\n";
    let finished = run::replay_with(&["step", &bundle], keys.as_bytes()).code(0);
    insta::assert_snapshot!(finished.stdout);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new();
    let bundle = folder.bundle("many", &fixture::many(20_000));
    for arguments in [&["events", &bundle][..], &["export", &bundle, "jsonl", "-o", "-"]] {
        let finished = run::replay_to_nobody(arguments);
        assert_eq!(
            (finished.code, finished.stderr.as_str()),
            (0, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn nothing_that_a_terminal_obeys_comes_out() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    for arguments in [
        &["info", &bundle][..],
        &["info", &bundle, "--json"],
        &["events", &bundle],
        &["events", &bundle, "--json"],
        &["logs", &bundle],
        &["export", &bundle, "strace", "-o", "-"],
        &["export", &bundle, "jsonl", "-o", "-"],
    ] {
        let text = replay(arguments).code(0).stdout;
        let bad = text
            .chars()
            .find(|character| *character != '\n' && stillframe_replay::escape::is_dangerous(*character));
        assert_eq!(bad, None, "{arguments:?}");
    }
}

#[test]
fn state_at_a_moment() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let mut text = String::new();
    for part in ["ps", "fds", "net", "mounts", "containers", "usage"] {
        for at in ["+0s", "#6", "100%"] {
            text.push_str(&format!("== {part} --at {at}\n"));
            // Nothing had been read of the counters at first.
            let code = i32::from(part == "usage" && at != "100%");
            text.push_str(&replay(&["state", &bundle, part, "--at", at]).code(code).stdout);
        }
    }
    insta::assert_snapshot!(text);
    let json = replay(&["state", &bundle, "fds", "--at", "#6", "--json"])
        .code(0)
        .stdout;
    let rows: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        rows.iter()
            .any(|row| row["proc.pid"] == 1300 && row["fd.num"] == 0)
    );
    assert!(rows.iter().any(|row| row["fd.name"] == "/etc/passwd"), "{json}");
    let one = replay(&["state", &bundle, "fds", "--at", "#6", "--pid", "1300"])
        .code(0)
        .stdout;
    assert_eq!(one.lines().count(), 3, "{one}");
    replay(&["state", &bundle, "fds", "--at", "#6", "--pid", "4711"]).code(1);
    let dead = replay(&["state", &bundle, "containers", "--at", "100%", "--json"])
        .code(0)
        .json();
    assert_eq!(dead["container.status"], "exited");
    assert_eq!(dead["container.exit_code"], 137);
    let used = replay(&["state", &bundle, "usage", "--at", "100%", "--json"])
        .code(0)
        .json();
    assert_eq!(used["metrics.cpu.usage_ns"], 5_000_000);
    assert_eq!(used["rates.cpu.usage_ns"], 0);
    let uncertain = replay(&["state", &bundle, "ps", "--at", "+500ms", "--json"])
        .code(0)
        .stdout;
    let first: Value = serde_json::from_str(uncertain.lines().next().unwrap()).unwrap();
    assert_eq!(first["state.uncertain_since"], "2026-11-24T14:03:07.007000000Z");
}

#[test]
fn calls_in_flight_at_a_moment_are_those_that_had_not_returned() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let at = |moment: &str, more: &[&str]| {
        let all = [&["state", &bundle, "calls", "--at", moment], more].concat();
        replay(&all)
    };
    let text = at("+600ms", &["--pid", "1300"]).code(0).stdout;
    assert!(
        text.lines()
            .any(|line| line.starts_with("1300") && line.contains("100ms") && line.contains("read(5,")),
        "{text}"
    );
    let json = at("+600ms", &["--pid", "1300", "--json"]).code(0).lines();
    assert_eq!(json.len(), 1, "{json:?}");
    assert_eq!(json[0]["evt.type"], "read");
    assert_eq!(json[0]["call.age_ns"], 100_000_000);
    assert_eq!(json[0]["call.entered"], "2026-11-24T14:03:07.500000000Z");
    let before = at("+400ms", &["--pid", "1300"]).code(1).stdout;
    assert!(!before.contains("read(5,"), "{before}");
}

#[test]
fn a_state_behind_a_damaged_slice_comes_from_the_next_checkpoint_or_is_uncertain() {
    let folder = Folder::new();
    let mut bytes = fixture::small();
    let at = run::offset_of(&bytes, 1) + 200;
    bytes[at] ^= 0x55;
    let bundle = folder.bundle("second", &bytes);
    let finished = replay(&["state", &bundle, "ps", "--at", "100%"]).code(4);
    assert!(
        finished.stdout.starts_with("--- uncertain"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("/bin/cat -x"), "{}", finished.stdout);
    let mut bytes = fixture::small();
    let at = run::offset_of(&bytes, 0) + 200;
    bytes[at] ^= 0x55;
    let bundle = folder.bundle("first", &bytes);
    let finished = replay(&["state", &bundle, "ps", "--at", "100%"]).code(0);
    assert!(finished.stdout.contains("/bin/cat -x"), "{}", finished.stdout);
}

#[test]
fn exports_leave_a_file_that_is_whole_or_none() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let output = folder.path("x.strace");
    replay(&["export", &bundle, "strace", "-o", &output]).code(0);
    let text = std::fs::read_to_string(&output).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(
        replay(&["export", &bundle, "strace", "-o", "-"]).code(0).stdout,
        text
    );
    std::fs::write(&output, "precious").unwrap();
    let finished = replay(&["export", &bundle, "strace", "-o", &output]).code(2);
    assert!(finished.stderr.contains("--force"), "{}", finished.stderr);
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    replay(&["export", &bundle, "strace", "-o", &output, "--force"]).code(0);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), text);
    replay(&["export", &bundle, "strace", "-o", &folder.path("no/where")]).code(2);
    assert_eq!(
        std::fs::read_dir(folder.path("")).unwrap().count(),
        2,
        "something was left behind"
    );
}

#[test]
fn the_exported_journal_is_every_entry_byte_for_byte() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let raw = replay(&["export", &bundle, "journal", "-o", "-"]).code(0).raw;
    let mut entries = Vec::new();
    stillframe_format::journal::Splitter::default().push(&raw, |split| entries.push(split));
    assert_eq!(entries.len(), 4);
    assert!(raw.ends_with(b"MESSAGE=slow disk\n\n"));
}

#[test]
fn stock_tools_count_what_the_bundle_holds() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let count = |filter: &str| -> usize {
        let text = replay(&["events", &bundle, "--count", "-f", filter]).stdout;
        text.trim().parse().unwrap()
    };
    if run::has("tshark") {
        let path = folder.path("x.pcapng");
        replay(&["export", &bundle, "pcapng", "-o", &path]).code(0);
        let text = run::tool(
            "tshark",
            &[
                "-n",
                "-r",
                &path,
                "-T",
                "fields",
                "-e",
                "frame.time_epoch",
                "-e",
                "frame.interface_name",
            ],
            &folder,
        );
        assert_eq!(text.lines().count(), count("evt.type=packet"), "{text}");
        assert!(text.starts_with("1795528987.006000123\teth0\n"), "{text}");
    } else {
        eprintln!("left out: tshark is not installed");
    }
    if run::has("blkparse") {
        replay(&["export", &bundle, "blktrace", "-o", &folder.path("t")]).code(0);
        let text = run::tool(
            "blkparse",
            &["-q", "-i", "t.vda", "-f", "%a %c %S %N %p %C %T.%t %d\n"],
            &folder,
        );
        for (letter, action) in [("Q", "queue"), ("D", "issue"), ("C", "complete")] {
            let found = text.lines().filter(|line| line.starts_with(letter)).count();
            assert_eq!(found, count(&format!("evt.type=blk{action}")), "{text}");
        }
        assert!(
            text.contains("Q 0 2048 65536 77 kworker/0:1 0.000000000 WS\n"),
            "{text}"
        );
    } else {
        eprintln!("left out: blkparse is not installed");
    }
}

#[test]
fn the_digest_is_of_the_events_and_of_nothing_else() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let bundle = folder.bundle("whole", &bytes);
    let digest = replay(&["digest", &bundle]).code(0).stdout;
    assert_eq!(digest.trim_end().len(), 64);
    let piped = replay_with(&["digest", "-"], &bytes).code(0);
    assert_eq!(piped.stdout, digest, "from a pipe");
    let len = run::offset_of(&bytes, 1);
    let cut = replay_with(&["digest", "-"], &bytes[..len]).code(4);
    assert_ne!(cut.stdout, digest);
    let mut bent = bytes.clone();
    bent[run::offset_of(&bytes, 1) + 20] ^= 1;
    let damaged = replay_with(&["digest", "-"], &bent).code(4);
    assert_eq!(
        damaged.stdout, "",
        "a part has no digest that could be taken for the whole"
    );
    assert!(damaged.stderr.contains("no digest"), "{}", damaged.stderr);
}

#[test]
fn what_is_cut_out_reads_as_it_did_in_the_whole() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let bundle = folder.bundle("whole", &bytes);
    let part = folder.path("part.capture.tar.zst");
    let all: Vec<Value> = replay(&["events", &bundle, "--json"]).code(0).lines();
    let first = fixture_first(&bytes, 1);
    replay(&["cut", &bundle, "--from", &format!("#{first}"), "-o", &part]).code(0);
    assert_eq!(
        replay(&["events", &part, "--json"]).code(0).lines(),
        all[first as usize - 1..],
        "numbers, times and values are those of the whole"
    );
    replay(&["verify", &part]).code(0);
    // The same moment means the same place, and the state is the same.
    let at = format!("#{first}");
    for what in ["ps", "fds", "net", "mounts", "containers", "usage"] {
        let of = |path: &str| replay(&["state", path, what, "--at", &at, "--json"]).stdout;
        assert_eq!(of(&part), of(&bundle), "{what}");
    }
    let info = replay(&["info", &part, "--json"]).code(0).json();
    let whole = replay(&["info", &bundle, "--json"]).code(0).json();
    assert_eq!(info["origin"]["steps"][0]["parent"], whole["id"]);
    assert_eq!(info["complete"], true);
    let text = replay(&["info", &part]).code(0).stdout;
    assert!(
        text.contains("cut out of 00000000-0000-4000-8000-000000000000"),
        "{text}"
    );

    // It is stepped through from its own beginning to its own end.
    let steps = replay_with(&["step", &part], b"n\n").code(0).stdout;
    assert!(
        steps.contains(&format!("#{first} ")) || steps.contains(&first.to_string()),
        "{steps}"
    );

    // Through a pipe it is the same file; an existing one is kept.
    let piped = replay(&["cut", &bundle, "--from", &at, "-o", "-"]).code(0);
    assert_eq!(piped.raw, std::fs::read(&part).unwrap());
    replay(&["cut", &bundle, "--from", &at, "-o", &part]).code(2);
    replay(&["cut", &bundle, "--from", &at, "-o", &part, "--force"]).code(0);
    let late = folder.path("late.capture.tar.zst");
    replay(&["cut", &bundle, "--from", "#999999", "-o", &late]).code(1);
    assert!(!std::path::Path::new(&late).exists());
}

#[test]
fn what_is_salvaged_is_sound_and_shows_its_hole() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let whole = folder.bundle("whole", &bytes);
    let first = fixture_first(&bytes, 1);
    let mut bent = bytes.clone();
    bent[run::offset_of(&bytes, 0) + 60] ^= 0xff;
    let bundle = folder.bundle("damaged", &bent);
    let saved = folder.path("saved.capture.tar.zst");
    let said = replay(&["salvage", &bundle, "-o", &saved]).code(4).stdout;
    assert!(said.contains("lost: slice 1, 2026-11-24T14:03:07"), "{said}");
    assert!(said.contains("lost: bytes "), "{said}");
    replay(&["verify", &saved]).code(0);

    let shown = replay(&["events", &saved]).code(4).stdout;
    assert!(shown.starts_with("--- hole: event"), "{shown}");
    let kept: Vec<Value> = replay(&["events", &saved, "--json"]).code(4).lines();
    let all: Vec<Value> = replay(&["events", &whole, "--json"]).code(0).lines();
    assert_eq!(kept[0]["evt.type"], "damage");
    assert_eq!(kept[1..], all[first as usize - 1..]);

    let info = replay(&["info", &saved, "--json"]).code(0).json();
    assert_eq!(info["origin"]["gaps"][0]["events"], first - 1);
    assert_eq!(
        info["lost"]["packet"],
        info["origin"]["gaps"][0]["counts"]["packet"]
    );
    let text = replay(&["info", &saved]).code(0).stdout;
    assert!(text.contains("HOLE: slices 1 to 1"), "{text}");

    // From a pipe whose first bytes are gone, with the list as JSON beside the bundle.
    let headless = replay_with(&["salvage", "-", "-o", "-", "--json"], &bytes[50..]).code(4);
    let list: Value = serde_json::from_str(&headless.stderr).unwrap();
    assert_eq!(list["header_lost"], true);
    assert_eq!(list["slices"], 2);
    let again = folder.bundle("headless", &headless.raw);
    replay(&["verify", &again]).code(0);
    let digest = |path: &str| replay(&["digest", path]).code(0).stdout;
    assert_eq!(digest(&again), digest(&whole), "every event was there");

    // What is whole is whole.
    let copy = folder.path("copy.capture.tar.zst");
    let said = replay(&["salvage", &whole, "-o", &copy]).code(0).stdout;
    assert!(said.starts_with("saved: 2 slices"), "{said}");
    replay_with(&["salvage", "-", "-o", "-"], b"nothing").code(3);
}

/// The number of the first event of a slice.
fn fixture_first(bytes: &[u8], slice: usize) -> u64 {
    let bundle = stillframe_format::reader::Bundle::open(std::io::Cursor::new(bytes)).unwrap();
    bundle.slices()[slice].first
}

#[test]
fn times_for_people_are_in_the_zone_that_is_asked_for_and_those_for_programs_in_utc() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let berlin = ["--tz", "Europe/Berlin"];
    let run = |arguments: &[&str]| replay(&[arguments, &berlin].concat()).code(0).stdout;
    let plain = |arguments: &[&str]| replay(arguments).code(0).stdout;
    let info = run(&["info", &bundle]);
    assert!(
        info.contains("2026-11-24T15:03:07.000000000+01:00 to 2026-11-24T15:03:09.000000000+01:00"),
        "{info}"
    );
    let events = run(&["events", &bundle]);
    assert!(events.contains(" 15:03:07.002000000 "), "{events}");
    assert_eq!(
        events,
        plain(&["events", &bundle]).replace(" 14:03:0", " 15:03:0")
    );
    assert!(run(&["logs", &bundle]).contains("2026-11-24T15:02:07.000000000+01:00 "));
    assert!(run(&["summary", &bundle]).contains("2026-11-24T15:03:07.000000000+01:00"));
    assert!(run(&["timeline", &bundle]).contains("15:03:07.000000000 to 15:03:09.000000000"));
    for command in [
        "info", "events", "logs", "summary", "top", "tree", "timeline", "errors", "slowest",
    ] {
        let json = run(&[command, &bundle, "--json"]);
        assert_eq!(json, plain(&[command, &bundle, "--json"]), "{command}");
        assert!(!json.contains("+01:00"), "{command}");
    }
    let ps = run(&["state", &bundle, "ps", "--at", "100%"]);
    assert!(ps.contains("2026-11-24T15:03:0"), "{ps}");
    // Moments without a zone are of that zone, those with one are what they say.
    for from in ["15:03:08", "2026-11-24T15:03:08", "2026-11-24T14:03:08Z"] {
        let some = run(&["events", &bundle, "--from", from]);
        assert!(
            !some.contains(" 15:03:07.9") && some.contains(" 15:03:08."),
            "{from}: {some}"
        );
    }
    let step = replay_with(&["step", &bundle, "--tz", "+01:00"], b"g 15:03:08\nq\n")
        .code(0)
        .stdout;
    assert!(step.contains("15:03:08."), "{step}");
    let page = replay(&["export", &bundle, "html", "-o", "-", "--tz", "-05:30"])
        .code(0)
        .stdout;
    assert!(page.contains("\"zone\":\"-05:30\"") && page.contains(",-19800]]"));
}

#[test]
fn a_zone_that_is_none_is_usage_and_says_what_to_do() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    for zone in ["Europe/Berlni", "+25:00", ""] {
        let error = replay(&["events", &bundle, "--tz", zone]).code(2).stderr;
        assert!(error.contains("+02:00"), "{error}");
    }
    let twice = [
        "events",
        &bundle,
        "--tz",
        "Europe/Berlin",
        "--from",
        "2026-10-25T02:30:00",
    ];
    let error = replay(&twice).code(2).stderr;
    assert!(
        error.contains("comes twice") && error.contains("+02:00 or +01:00"),
        "{error}"
    );
}
