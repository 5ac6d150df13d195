//! The Parquet export, read back with the crate's own reader: `cargo test -p stillframe-replay --features parquet`.

use crate::fixture;
use crate::run::{Folder, replay};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;

/// The rows by name of column; what is null is left out.
fn rows(path: &str) -> Vec<BTreeMap<String, Value>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| {
        row.unwrap()
            .get_column_iter()
            .filter_map(|(name, field)| {
                let value = match field {
                    Field::Null => return None,
                    Field::Long(number) => (*number).into(),
                    Field::ULong(number) => (*number).into(),
                    Field::Str(text) => text.clone().into(),
                    Field::Bool(flag) => (*flag).into(),
                    other => panic!("{name}: {other:?}"),
                };
                Some((name.clone(), value))
            })
            .collect()
    })
    .collect()
}

#[test]
fn every_value_is_the_one_of_the_json() {
    let folder = Folder::new();
    let bundle = folder.bundle("x", &fixture::small());
    let path = folder.path("x.parquet");
    replay(&["export", &bundle, "parquet", "-o", &path]).code(0);
    let rows = rows(&path);
    let events = replay(&["events", &bundle, "--json"]).lines();
    assert_eq!(rows.len(), events.len());
    let mut compared = 0;
    for (row, event) in rows.iter().zip(&events) {
        for (name, value) in row {
            let key = event
                .as_object()
                .unwrap()
                .keys()
                .find(|key| key.replace('.', "_") == *name);
            match name.as_str() {
                // Said once more for people, and so not in JSON, or in another form there.
                "evt_time" => {
                    let time: jiff::Timestamp = event["evt.time"].as_str().unwrap().parse().unwrap();
                    assert_eq!(value.as_i64().map(i128::from), Some(time.as_nanosecond()));
                }
                "evt_args" => {}
                name => {
                    let key = key.unwrap_or_else(|| panic!("{name} is not in {event}"));
                    assert_eq!(value, &event[key], "{name} of {event}");
                }
            }
            compared += 1;
        }
        // And nothing that JSON has is null here.
        for key in [
            "evt.num",
            "evt.type",
            "proc.name",
            "evt.latency",
            "fd.name",
            "evt.failed",
            "loss.count",
        ] {
            assert_eq!(
                row.contains_key(&key.replace('.', "_")),
                event.get(key).is_some(),
                "{key} of {event}"
            );
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn fields_ranges_and_filters_are_those_of_the_other_exports() {
    let folder = Folder::new();
    let bundle = folder.bundle("x", &fixture::many(150_000));
    let path = folder.path("x.parquet");
    let fields = [
        "--fields",
        "evt.num,evt.rawarg[1],proc.name",
        "-f",
        "proc.name=dd",
        "--from",
        "#1001",
    ];
    replay(&[&["export", &bundle, "parquet", "-o", &path], &fields[..]].concat()).code(0);
    let rows = rows(&path);
    assert_eq!(rows.len(), 74_500);
    assert_eq!(rows[0]["evt_num"], 1001);
    assert_eq!(rows[74_499]["evt_num"], 149_999);
    assert!(
        rows.iter()
            .all(|row| row["proc_name"] == "dd" && row["evt_rawarg_1"] == 0x5000)
    );
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.num_row_groups(), 2);
    let small = folder.bundle("small", &fixture::small());
    let error = replay(&[
        "export",
        &small,
        "parquet",
        "-o",
        &folder.path("y"),
        "--fields",
        "tcp.port",
    ]);
    assert!(error.stderr.contains("several values"), "{}", error.stderr);
    assert!(!std::path::Path::new(&folder.path("y")).exists());
}
