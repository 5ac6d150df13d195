//! `docs/format.md` and the code name the same numbers, and the sections that the code cites are there.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use stillframe_format::event::Stream;
use stillframe_format::layout;

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("../docs/format.md")).unwrap()
}

#[test]
fn limits_are_those_of_the_code() {
    let page = page();
    let rows = [
        ("content of a frame", format!("{} MiB", layout::FRAME_MAX >> 20)),
        (
            "a member",
            format!(
                "{} MiB − {} bytes",
                layout::FRAME_MAX >> 20,
                layout::FRAME_MAX - layout::MEMBER_MAX
            ),
        ),
        (
            "window of a frame",
            format!(
                "{} MiB (2^{})",
                (1 << layout::WINDOW_LOG_MAX) >> 20,
                layout::WINDOW_LOG_MAX
            ),
        ),
        (
            "data frames in a bundle",
            format!("134,217,728 ({:#x})", layout::FRAMES_MAX),
        ),
        (
            "a slice, decompressed",
            format!("{} MiB", layout::SLICE_CONTENT_MAX >> 20),
        ),
        (
            "events of a slice",
            format!("1,048,576 (2^{})", layout::SLICE_EVENTS_MAX.ilog2()),
        ),
        (
            "`header.json`, `origin.json`, `end.json`",
            format!("{} MiB each", layout::RECORD_MAX >> 20),
        ),
        (
            "items in a CBOR member, nested ones counted",
            format!("8,388,608 (2^{})", layout::CBOR_ITEMS_MAX.ilog2()),
        ),
        (
            "texts of a segment's rows, those that rows share counted for each",
            format!("{} MiB", layout::TEXTS_MAX >> 20),
        ),
        ("members in a frame", layout::FRAME_MEMBERS_MAX.to_string()),
        ("frames in a slice", layout::SLICE_FRAMES_MAX.to_string()),
        (
            "a slice, compressed",
            format!("{} MiB", layout::SLICE_BYTES_MAX >> 20),
        ),
        (
            "rows of a table",
            format!("1,048,576 (2^{})", layout::ROWS_MAX.ilog2()),
        ),
        (
            "events of one stream in one slice",
            format!("262,144 (2^{})", layout::STREAM_EVENTS_MAX.ilog2()),
        ),
        (
            "columns of a table, tables of a segment",
            format!("{} each", layout::COLUMNS_MAX),
        ),
        ("nesting of a CBOR item", layout::CBOR_DEPTH_MAX.to_string()),
        ("a member's name", format!("{} bytes", layout::NAME_MAX)),
        ("containers, and usages, of a checkpoint", "1,024 each".to_owned()),
        ("values of a usage", layout::READINGS_MAX.to_string()),
        (
            "id, name or word of a container in a checkpoint",
            format!("{} bytes", layout::CONTAINER_TEXT_MAX),
        ),
    ];
    for (what, limit) in rows {
        let row = format!("| {what} | {limit}");
        assert!(page.contains(&row), "docs/format.md lacks: {row}");
    }
    assert_eq!(
        (
            layout::ROWS_MAX,
            layout::STREAM_EVENTS_MAX,
            layout::CONTAINERS_MAX
        ),
        (1_048_576, 262_144, 1_024)
    );
    let version = format!("Version {}.{},", layout::FORMAT_MAJOR, layout::FORMAT_MINOR);
    assert!(page.contains(&version), "docs/format.md is not of {version}");
    assert!(page.contains(layout::FORMAT_NAME));
}

#[test]
fn every_stream_and_member_is_described() {
    let page = page();
    for stream in Stream::ALL {
        let row = format!("| {} | `{}` |", stream as u8, stream.name());
        assert!(page.contains(&row), "docs/format.md lacks: {row}");
    }
    for member in [
        layout::HEADER,
        layout::README,
        layout::START_LEDGER,
        layout::END_LEDGER,
        layout::END,
        layout::INDEX,
        layout::MANIFEST,
        layout::ORDER,
        layout::LEDGER,
        layout::OPEN,
        layout::STATE,
        layout::START_STATE,
        layout::ORIGIN,
    ] {
        assert!(page.contains(member), "docs/format.md does not name {member}");
    }
}

#[test]
fn the_sections_that_the_code_cites_are_there() {
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                // `docs/format.md`, "Header" and "End"
                let text = std::fs::read_to_string(&path).unwrap();
                for citation in text.split("`docs/format.md`, ").skip(1) {
                    let line = citation.lines().next().unwrap_or_default();
                    let quoted = line.split('"').skip(1).step_by(2);
                    found.extend(quoted.take_while(|name| name.len() < 40).map(str::to_owned));
                }
            }
        }
    }
    let mut cited = Vec::new();
    for folder in ["format/src", "capture/src", "replay/src"] {
        visit(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder),
            &mut cited,
        );
    }
    assert!(cited.len() > 10, "{cited:?}");
    let page = page();
    for name in cited {
        assert!(
            page.contains(&format!("\n## {name}\n")),
            "docs/format.md has no section {name:?}"
        );
    }
}
