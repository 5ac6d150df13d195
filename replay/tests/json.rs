//! `docs/schema/replay.json` is the truth: what every `--json` prints is what the schema says, no key more.

use crate::fixture;
use crate::run::{self, Folder, replay};
use crate::schema::Schema;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Arguments without the bundle, and the definition that each object, or each line, is of.
const ANSWERS: [(&[&str], &str); 21] = [
    (&["verify"], "verify"),
    (&["info"], "info"),
    (&["summary"], "summary"),
    (&["top"], "top"),
    (&["top", "--by", "file"], "top"),
    (&["top", "--by", "connection"], "top"),
    (&["top", "--by", "syscall", "--sort", "count"], "top"),
    (&["top", "--by", "container"], "top"),
    (&["top", "--by", "error"], "top"),
    (&["slowest"], "slowest"),
    (&["slowest", "-f", "evt.type!=read"], "slowest"),
    (&["errors"], "errors"),
    (&["errors", "--all"], "errors"),
    (&["tree"], "tree"),
    (&["timeline"], "timeline"),
    (&["timeline", "--by", "process"], "timeline"),
    (&["timeline", "--by", "errors"], "timeline"),
    (&["timeline", "--by", "latency"], "timeline"),
    (&["timeline", "--by", "metrics"], "timeline"),
    (
        &["timeline", "--by", "syscall", "-f", "evt.failed=true"],
        "timeline",
    ),
    (&["top", "--from", "+1ms", "--to", "90%"], "top"),
];

const LINES: [(&[&str], &str); 14] = [
    (&["events"], "line"),
    (&["events", "-f", "evt.failed=true"], "line"),
    (&["logs"], "line"),
    (&["state", "ps", "--at", "50%"], "state.ps"),
    (&["state", "ps", "--at", "100%"], "state.ps"),
    (&["state", "fds", "--at", "50%"], "state.fds"),
    (&["state", "fds", "--at", "100%"], "state.fds"),
    (&["state", "net", "--at", "50%"], "state.net"),
    (&["state", "net", "--at", "100%"], "state.net"),
    (&["state", "mounts", "--at", "50%"], "state.mounts"),
    (&["state", "calls", "--at", "50%"], "state.calls"),
    (&["state", "calls", "--at", "100%"], "state.calls"),
    (&["state", "containers", "--at", "100%"], "state.containers"),
    (&["state", "usage", "--at", "100%"], "state.usage"),
];

fn with<'a>(command: &[&'a str], bundle: &'a str) -> Vec<&'a str> {
    let mut all = command.to_vec();
    all.insert(1, bundle);
    all.push("--json");
    all
}

/// Whole, cut, damaged, full of what a terminal obeys, large, a part of another, salvaged.
fn bundles(folder: &Folder) -> Vec<String> {
    let bytes = fixture::small();
    let mut bad = bytes.clone();
    bad[run::offset_of(&bytes, 0) + 200] ^= 0x55;
    let mut bundles = vec![
        folder.bundle("whole", &bytes),
        folder.bundle("cut", &bytes[..run::offset_of(&bytes, 1)]),
        folder.bundle("damaged", &bad),
        folder.bundle("hostile", &fixture::hostile()),
        folder.bundle("many", &fixture::many(3000)),
    ];
    let part = folder.path("part.capture.tar.zst");
    replay(&["cut", &bundles[0], "--from", "#3", "-o", &part]);
    let saved = folder.path("saved.capture.tar.zst");
    replay(&["salvage", &bundles[2], "-o", &saved]);
    bundles.extend([part, saved]);
    bundles
}

#[test]
fn what_every_command_prints_is_what_the_schema_says() {
    let folder = Folder::new();
    let schema = Schema::read();
    let mut used = BTreeSet::new();
    for bundle in bundles(&folder) {
        for (command, definition) in ANSWERS {
            let finished = replay(&with(command, &bundle));
            let answer = finished.json();
            schema.check(definition, &answer, &format!("{command:?} {bundle}"));
            used.insert(definition);
        }
        let saved = folder.path("again.capture.tar.zst");
        let salvage = ["salvage", &bundle, "-o", &saved, "--force", "--json"];
        schema.check("salvage", &replay(&salvage).json(), &format!("salvage {bundle}"));
        used.insert("salvage");
        let digest = replay(&["digest", &bundle, "--json"]);
        // Of events that can't be read there is none.
        if !digest.stdout.is_empty() {
            schema.check("digest", &digest.json(), &format!("digest {bundle}"));
            assert_eq!(
                digest.json()["sha256"].as_str().unwrap(),
                replay(&["digest", &bundle]).stdout.trim()
            );
        }
        for (command, definition) in LINES {
            let lines = replay(&with(command, &bundle)).lines();
            for line in &lines {
                schema.check(definition, line, &format!("{command:?} {bundle}"));
            }
            if !lines.is_empty() {
                used.insert(definition);
            }
        }
        let exported = folder.path("export.jsonl");
        replay(&["export", &bundle, "jsonl", "--force", "-o", &exported]);
        for line in std::fs::read_to_string(&exported).unwrap().lines() {
            schema.check("line", &serde_json::from_str(line).unwrap(), "export jsonl");
        }
    }
    for line in replay(&["fields", "--json"]).code(0).lines() {
        schema.check("field", &line, "fields");
    }
    // A definition that no answer was of proves nothing.
    for (_, definition) in ANSWERS.iter().chain(&LINES) {
        assert!(used.contains(definition), "no bundle has {definition}");
    }
}

#[test]
fn the_schema_of_events_is_the_table_of_fields() {
    let schema = Schema::read();
    let event = schema.definition("event");
    let mut keys: BTreeSet<String> = event["properties"].as_object().unwrap().keys().cloned().collect();
    for field in replay(&["fields", "--json"]).code(0).lines() {
        if field["json"] == false {
            continue;
        }
        let name = field["name"].as_str().unwrap();
        if field["suffix"] != "" {
            let pattern = format!("^{}", name.replace('.', "\\."));
            let patterns = event["patternProperties"].as_object().unwrap();
            assert!(patterns.keys().any(|key| key.starts_with(&pattern)), "{name}");
            continue;
        }
        let kind = match field["type"].as_str().unwrap() {
            "number" | "duration" | "size" => "integer",
            "flag" => "boolean",
            _ => "string",
        };
        assert_eq!(event["properties"][name]["type"], kind, "{name}");
        keys.remove(name);
        keys.remove(&format!("{name}.b64"));
    }
    assert_eq!(keys, BTreeSet::new(), "these are no fields");
}

#[test]
fn a_key_that_the_schema_does_not_name_and_a_wrong_type_are_found() {
    let schema = Schema::read();
    let row = json!({"proc.pid": 1, "thread.tid": 2, "evt.type": "read", "call.text": "read(3"});
    assert_eq!(schema.problem("state.calls", &row), None);
    let with = |key: &str, value: Value| {
        let mut row = row.clone();
        row[key] = value;
        schema.problem("state.calls", &row)
    };
    assert!(with("call.new", json!(1)).unwrap().contains("call.new"));
    assert!(with("proc.pid", json!("1")).unwrap().contains("proc.pid"));
    assert!(with("proc.pid", json!(null)).is_some());
    assert!(schema.problem("state.calls", &json!({"proc.pid": 1})).is_some());
    assert!(schema.problem("top", &json!({"question": "top"})).is_some());
    let damage = json!({"evt.type": "damage", "damage.slice": 1, "damage.first": 1, "damage.events": 1, "damage.problem": ""});
    assert_eq!(schema.problem("line", &damage), None);
    assert!(schema.problem("line", &json!({"evt.type": "damage"})).is_some());
}
