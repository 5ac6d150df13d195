//! Questions and their exports: each command's page, its JSON, what it says of a cut or damaged bundle.

use crate::fixture;
use crate::run::{self, Folder, replay};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const QUESTIONS: [&[&str]; 13] = [
    &["summary"],
    &["top"],
    &["top", "--by", "file"],
    &["top", "--by", "connection"],
    &["top", "--by", "syscall", "--sort", "count"],
    &["top", "--by", "container"],
    &["top", "--by", "error"],
    &["slowest"],
    &["errors"],
    &["errors", "--all"],
    &["tree"],
    &["timeline", "--plot", "--width", "40"],
    &["timeline", "--by", "errors", "--ascii", "--width", "40"],
];

fn with<'a>(question: &[&'a str], bundle: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = question.to_vec();
    all.insert(1, bundle);
    all.extend(more);
    all
}

#[test]
fn every_question_has_a_page() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let mut pages = String::new();
    for question in QUESTIONS {
        let finished = replay(&with(question, &bundle, &[])).code(0);
        assert!(
            !finished.stdout.chars().any(|c| c != '\n' && c.is_control()),
            "{question:?}"
        );
        assert!(!finished.stdout.contains('\u{202e}'), "{question:?}");
        pages.push_str(&format!("$ replay {}\n{}\n", question.join(" "), finished.stdout));
    }
    // How large the file is depends on the compressor.
    let pages = pages
        .lines()
        .filter(|line| !line.starts_with("- Bundle: "))
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(pages);
}

#[test]
fn every_answer_says_what_was_lost() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    for question in QUESTIONS {
        let page = replay(&with(question, &bundle, &[])).code(0).stdout;
        assert!(
            page.contains("counts are lower bounds: 14 syscall events were lost between 14:03:07.007"),
            "{question:?}: {page}"
        );
        let json = replay(&with(question, &bundle, &["--json"])).code(0).json();
        let coverage = &json["coverage"];
        assert_eq!(coverage["whole"], false, "{question:?}");
        assert_eq!(coverage["lost"][0]["stream"], "syscall");
        assert_eq!(coverage["lost"][0]["count"], 14);
        assert_eq!(coverage["clock_steps"], 1);
        assert_eq!(json["question"], question[0]);
    }
    // Only the hole of the range counts, and one that is told behind it counts too.
    let asked = |to: &str| {
        replay(&["top", &bundle, "--json", "--to", to]).json()["coverage"]["lost"][0]["count"].clone()
    };
    assert_eq!(asked("+500ms"), 7);
    assert_eq!(asked("+7500us"), 7);
    assert_eq!(asked("+6ms"), Value::Null);
}

#[test]
fn a_cut_or_damaged_bundle_is_answered_as_far_as_it_goes() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let cut = folder.bundle("cut", &bytes[..run::offset_of(&bytes, 1)]);
    let mut bad = bytes.clone();
    let at = run::offset_of(&bytes, 0) + 200;
    bad[at] ^= 0x55;
    let damaged = folder.bundle("damaged", &bad);
    for question in QUESTIONS {
        let finished = replay(&with(question, &cut, &[])).code(4);
        assert!(
            finished.stdout.contains("the bundle is cut at byte"),
            "{question:?}: {}",
            finished.stdout
        );
        let json = replay(&with(question, &cut, &["--json"])).code(4).json();
        assert!(
            json["coverage"]["shortfall"]
                .as_str()
                .unwrap()
                .contains("valid up to slice 1"),
            "{question:?}"
        );
        let finished = replay(&with(question, &damaged, &[])).code(4);
        assert!(
            finished.stdout.contains("cannot be read"),
            "{question:?}: {}",
            finished.stdout
        );
        let json = replay(&with(question, &damaged, &["--json"])).code(4).json();
        assert_eq!(json["coverage"]["unreadable"][0]["slice"], 1, "{question:?}");
        for part in 0..20 {
            let cut = folder.bundle("part", &bytes[..bytes.len() * part / 20]);
            let finished = replay(&with(question, &cut, &[]));
            let code = finished.code;
            // Behind the end record only hints stand: nothing of the recording is missing.
            let is_whole = code == 0 && !finished.stdout.contains("the bundle is cut");
            assert!(
                matches!(code, 3 | 4) || is_whole && part > 10,
                "{question:?} cut at {part}/20: {code}"
            );
        }
    }
}

#[test]
fn sums_are_those_of_the_events() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let row = |arguments: &[&str], key: &str| -> Value {
        let json = replay(&with(&["top"], &bundle, &[&["--json"], arguments].concat()))
            .code(0)
            .json();
        let rows = json["rows"].as_array().unwrap().clone();
        rows.into_iter()
            .find(|row| row["key"].as_str().unwrap().contains(key))
            .unwrap_or_else(|| panic!("{key} is not in {json}"))
    };
    let process = row(&[], "httpd[1234]");
    assert_eq!(process["count"], 8);
    assert_eq!(process["errors"], 4);
    assert_eq!(process["time_ns"], 8 * 12_345);
    assert_eq!(process["bytes"], 18);
    assert_eq!(
        (process["first_event"].clone(), process["last_event"].clone()),
        (3.into(), 25.into())
    );
    assert_eq!(row(&["--by", "file"], "/etc/passwd")["bytes_read"], 18);
    assert_eq!(row(&["--by", "file"], "/not/there")["errors"], 2);
    // Calls and packets of one connection are one row, though they write it differently.
    let connection = row(&["--by", "connection"], "10.0.0.9:80");
    assert_eq!(connection["told_by"], "calls+packets");
    assert_eq!(connection["packets"], 4);
    assert_eq!(connection["errors"], 2);
    assert_eq!(row(&["--by", "container"], "web")["count"], 8);
    assert_eq!(row(&["--by", "error"], "ENOENT")["count"], 2);
    assert_eq!(
        row(&["--by", "syscall", "-f", "evt.failed=true"], "openat")["count"],
        2
    );
    assert_eq!(row(&["--by", "syscall", "--from", "+500ms"], "read")["count"], 1);
    replay(&["top", &bundle, "-f", "proc.name=nobody"]).code(1);
    replay(&["top", &bundle, "-f", "proc.nam=nobody"]).code(2);
}

#[test]
fn failures_are_grouped_and_what_is_normal_is_folded() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let json = replay(&["errors", &bundle, "--json"]).code(0).json();
    let kinds: Vec<(&str, u64)> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(kinds, [("oom", 2), ("engine", 2), ("exit", 2), ("call", 2)]);
    assert_eq!(json["normal"]["EINPROGRESS of connect"], 2);
    let all = replay(&["errors", &bundle, "--json", "--all"]).code(0).json();
    assert_eq!(all["rows"].as_array().unwrap().len(), 5);
    let exit = &json["rows"][2];
    assert_eq!(exit["what"], "killed by SIGKILL");
    assert_eq!(
        (exit["first_event"].clone(), exit["last_event"].clone()),
        (18.into(), 37.into())
    );
}

#[test]
fn calls_that_did_not_return_are_the_slowest() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let open = |arguments: &[&str]| -> u64 {
        let json = replay(&[&["slowest", bundle.as_str(), "--json"], arguments].concat()).json();
        json["open_calls"].as_u64().unwrap()
    };
    assert_eq!(open(&[]), 1);
    assert_eq!(open(&["-f", "proc.name=cat"]), 1);
    assert_eq!(open(&["-f", "proc.name=httpd"]), 0);
    assert_eq!(
        open(&["--to", "+1s"]),
        0,
        "at that moment others may have been open"
    );
    let json = replay(&["slowest", &bundle, "--json"]).json();
    let row = json["rows"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (row["class"].as_str(), row["time_ns"].as_u64()),
        (Some("open"), Some(500_000_000))
    );
}

#[test]
fn the_tree_has_who_ran_before_and_who_was_born() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let json = replay(&["tree", &bundle, "--json"]).code(0).json();
    let found: Vec<(u64, u64, &str)> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["pid"].as_u64().unwrap(),
                row["depth"].as_u64().unwrap(),
                row["birth"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (1200, 0, "before"),
            (1300, 1, "before"),
            (1, 0, "unknown"),
            (1234, 1, "born"),
            (1234, 1, "born"),
        ]
    );
    assert_eq!(json["rows"][3]["signal"], 9);
}

#[test]
fn plots_have_the_width_that_was_asked_for() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    for width in [1, 7, 100, 1000] {
        let text = width.to_string();
        let json = replay(&["timeline", &bundle, "--json", "--width", &text])
            .code(0)
            .json();
        assert_eq!(json["columns"].as_array().unwrap().len(), width);
        let events: u64 = json["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["total"].as_u64().unwrap())
            .sum();
        assert_eq!(events, 38);
        let plot = replay(&["timeline", &bundle, "--ascii", "--width", &text])
            .code(0)
            .stdout;
        assert!(plot.is_ascii(), "{plot}");
    }
    replay(&["timeline", &bundle, "--width", "0"]).code(2);
}

/// The trace's events.
fn trace(text: &str) -> Vec<Value> {
    let trace: Value = serde_json::from_str(text).unwrap();
    trace["traceEvents"].as_array().unwrap().clone()
}

#[test]
fn perfetto_gets_tracks_calls_requests_and_counters() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let path = folder.path("trace.json");
    replay(&["export", &bundle, "perfetto", "-o", &path]).code(0);
    let text = std::fs::read_to_string(&path).unwrap();
    let events = trace(&text);
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for event in &events {
        let phase = event["ph"].as_str().unwrap();
        *phases.entry(phase).or_default() += 1;
        let track = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        if phase == "M" {
            if event["name"] == "thread_name" {
                named.insert(track);
            }
            continue;
        }
        assert!(event["ts"].as_f64().unwrap() >= 0.0, "{event}");
        assert!(
            track.1 == 0 || named.contains(&track),
            "a track without a name: {event}"
        );
        match phase {
            "X" => assert!(event["dur"].as_f64().unwrap() >= 0.0, "{event}"),
            "b" | "e" => assert!(
                event["id2"]["local"].is_string() && event["cat"].is_string(),
                "{event}"
            ),
            "i" => assert!(matches!(event["s"].as_str(), Some("t" | "p" | "g")), "{event}"),
            "C" => assert!(event["args"]["value"].is_number(), "{event}"),
            other => panic!("unknown phase {other}"),
        }
    }
    // Each container, process, thread, device and connection has what it is known by, and what happened to it.
    let name_of = |kind: &str, pid: &Value, tid: Option<&Value>| {
        let found = events.iter().find(|event| {
            event["ph"] == "M"
                && event["name"] == kind
                && event["pid"] == *pid
                && tid.is_none_or(|tid| event["tid"] == *tid)
        });
        found.map_or_else(String::new, |event| {
            event["args"]["name"].as_str().unwrap().to_owned()
        })
    };
    let places: BTreeSet<(String, String, String)> = events
        .iter()
        .filter(|event| event["ph"] != "M")
        .map(|event| {
            (
                event["cat"].as_str().unwrap_or_default().to_owned(),
                name_of("process_name", &event["pid"], None),
                name_of("thread_name", &event["pid"], Some(&event["tid"])),
            )
        })
        .collect();
    for (category, group, track) in [
        ("syscall", "web: httpd", "httpd"),
        ("process", "web: httpd", "httpd"),
        ("log", "container web", "stderr"),
        ("engine", "container web", "engine"),
        ("metrics", "container web", ""),
        ("block", "block device vda", "requests"),
        ("packet", "connections", "TCP 10.0.0.9:80 - 172.17.0.2:43210"),
    ] {
        let place = (category.to_owned(), group.to_owned(), track.to_owned());
        assert!(places.contains(&place), "{place:?} is not among {places:#?}");
    }
    // Eight calls that returned and one that did not; two requests and two holes; two readings.
    assert_eq!(phases["X"], 9);
    assert_eq!((phases["b"], phases["e"]), (4, 4));
    assert_eq!(phases["C"], 2);
    let call = events.iter().find(|event| event["args"]["event"] == 3).unwrap();
    assert_eq!(call["ts"].as_f64().unwrap(), 2000.0 - 12.345);
    assert_eq!(call["dur"].as_f64().unwrap(), 12.345);
    assert!(
        !text
            .chars()
            .any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'))
    );
    let some = replay(&["export", &bundle, "perfetto", "-o", "-", "-f", "evt.type=read"])
        .code(0)
        .stdout;
    assert_eq!(trace(&some).iter().filter(|event| event["ph"] == "X").count(), 2);
    if run::has("jq") {
        let count = run::tool("jq", &[".traceEvents | length", &path], &folder);
        assert_eq!(count.trim(), events.len().to_string());
    } else {
        eprintln!("left out: jq is not installed");
    }
}

#[test]
fn a_trace_of_a_damaged_bundle_is_whole_json() {
    let folder = Folder::new();
    let mut bytes = fixture::small();
    let at = run::offset_of(&bytes, 0) + 200;
    bytes[at] ^= 0x55;
    let bundle = folder.bundle("damaged", &bytes);
    let text = replay(&["export", &bundle, "perfetto", "-o", "-"]).code(4).stdout;
    assert!(
        trace(&text)
            .iter()
            .any(|event| event["name"] == "unreadable lost")
    );
    let cut = folder.bundle("cut", &fixture::small()[..run::offset_of(&fixture::small(), 1)]);
    let text = replay(&["export", &cut, "perfetto", "-o", "-"]).code(4).stdout;
    let trace: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(trace["otherData"]["complete"], false);
}

#[test]
fn csv_has_the_columns_that_were_asked_for() {
    let folder = Folder::new();
    let bundle = folder.bundle("whole", &fixture::small());
    let csv =
        |arguments: &[&str]| replay(&[&["export", bundle.as_str(), "csv", "-o", "-"], arguments].concat());
    let text = csv(&[
        "--fields",
        "evt.num,evt.type,evt.args,evt.latency",
        "-f",
        "evt.type in (openat, read)",
    ])
    .code(0)
    .stdout;
    assert_eq!(
        text.split("\r\n").take(3).collect::<Vec<_>>(),
        [
            "evt.num,evt.type,evt.args,evt.latency",
            "3,openat,\"AT_FDCWD, \"\"/etc/passwd\"\", O_RDONLY|O_CLOEXEC\",12345",
            "4,openat,\"AT_FDCWD, \"\"/not/there\"\", O_RDONLY|O_CLOEXEC\",12345",
        ]
    );
    let all = csv(&[]).code(0).stdout;
    assert_eq!(
        all.matches("\r\n").count(),
        39,
        "a head and a line for each event"
    );
    let part = csv(&["--fields", "evt.num", "--from", "#7", "--to", "#9"])
        .code(0)
        .stdout;
    assert_eq!(part, "evt.num\r\n7\r\n8\r\n9\r\n");
    let trace = replay(&[
        "export", &bundle, "perfetto", "-o", "-", "--from", "#7", "--to", "#9",
    ]);
    let trace = trace.code(0).json();
    let rows = trace["traceEvents"].as_array().unwrap().iter();
    let numbers: std::collections::BTreeSet<_> =
        rows.filter_map(|row| row["args"]["event"].as_u64()).collect();
    assert_eq!(numbers, [7, 8, 9].into());
    csv(&["--fields", "evt.nmu"]).code(2);
    replay(&["export", &bundle, "strace", "-o", "-", "-f", "evt.type=read"]).code(2);
    replay(&["export", &bundle, "perfetto", "-o", "-", "--fields", "evt.num"]).code(2);
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let text = replay(&["completions", shell]).code(0).stdout;
        assert!(text.contains("slowest") && text.contains("summary"), "{shell}");
    }
    let page = replay(&["man"]).code(0).stdout;
    assert!(page.starts_with(".ie") && page.contains(".TH replay 1"), "{page}");
    let page = replay(&["man", "top"]).code(0).stdout;
    assert!(page.contains(".TH replay-top 1"), "{page}");
    replay(&["man", "nothing"]).code(2);
}

#[test]
fn garbage_is_refused_in_one_line() {
    let folder = Folder::new();
    let text = folder.bundle("text", "hello\n".repeat(1000).as_bytes());
    for question in QUESTIONS {
        let finished = replay(&with(question, &text, &[])).code(3);
        assert_eq!(
            finished.stderr.lines().count(),
            1,
            "{question:?}: {}",
            finished.stderr
        );
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn nobody_reading_is_no_error() {
    let folder = Folder::new();
    let bundle = folder.bundle("many", &fixture::many(1000));
    for arguments in [
        &["export", bundle.as_str(), "csv", "-o", "-"][..],
        &["export", &bundle, "perfetto", "-o", "-"],
        &["tree", &bundle],
        &["summary", &bundle],
    ] {
        let finished = run::replay_to_nobody(arguments);
        assert_eq!(finished.stderr, "", "{arguments:?}");
    }
}
