//! The HTML page without a browser: what is in the file. tests/tests/html.rs opens it in one.

use crate::fixture;
use crate::run::{self, Folder, replay};
use base64::Engine as _;
use serde_json::Value;
use stillframe_format::digest::Sha256;

/// What stands between two texts, each of which stands there once.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    assert_eq!(text.matches(before).count(), 1, "{before}");
    let rest = text.split_once(before).unwrap().1;
    rest.split_once(after).unwrap().0
}

fn data(page: &str) -> Value {
    let text = between(
        page,
        "<script type=\"application/json\" id=\"data\">",
        "</script>",
    );
    serde_json::from_str(text).unwrap()
}

fn page(bundle: &[u8], arguments: &[&str]) -> (String, Value) {
    let folder = Folder::new();
    let bundle = folder.bundle("x", bundle);
    let arguments = [&["export", &bundle, "html", "-o", "-"], arguments].concat();
    let page = replay(&arguments).code(0).stdout;
    let data = data(&page);
    (page, data)
}

/// Numbers of the events in the page.
fn numbers(data: &Value) -> Vec<u64> {
    let mut num = 0;
    let rows = data["events"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            num += row[0].as_u64().unwrap();
            num
        })
        .collect()
}

#[test]
fn every_event_stands_in_the_page_with_its_time() {
    let (_, data) = page(&fixture::small(), &[]);
    let folder = Folder::new();
    let bundle = folder.bundle("x", &fixture::small());
    let events = replay(&["events", &bundle, "--json"]).lines();
    let lines = replay(&["events", &bundle]).stdout;
    let rows = data["events"].as_array().unwrap();
    assert_eq!(rows.len(), events.len());
    assert!(data["left_out"]["count"] == 0);
    let start: i64 = data["recording"]["boottime"].as_str().unwrap().parse().unwrap();
    let mut at = 0;
    for ((row, event), line) in rows.iter().zip(&events).zip(lines.lines()) {
        at += row[1].as_i64().unwrap();
        assert_eq!(event["evt.boottime"].as_i64().unwrap(), start + at);
        let kind = &data["types"][row[3].as_u64().unwrap() as usize];
        assert_eq!(kind[1], event["evt.type"]);
        let stream = data["streams"][kind[0].as_u64().unwrap() as usize].clone();
        assert_eq!(stream, event["evt.stream"]);
        assert_eq!(
            row[2],
            event
                .get("evt.latency")
                .or(event
                    .get("blk.latency")
                    .filter(|_| event["evt.type"] == "blkcomplete"))
                .cloned()
                .unwrap_or((-1).into())
        );
        assert!(line.ends_with(row[8].as_str().unwrap()), "{line}\n{row}");
    }
    assert_eq!(numbers(&data), (1..=rows.len() as u64).collect::<Vec<_>>());
}

#[test]
fn the_policy_names_the_pages_own_script_and_style_and_nothing_else() {
    let (page, _) = page(&fixture::hostile(), &[]);
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let script = between(&page, "<script>(", "</script>");
    let style = between(&page, "<style>", "</style>");
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::of(text.as_bytes()).0);
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
            hash(&format!("({script}")),
            hash(style)
        )
    );
    // One policy, before anything that it is about; nothing refers to another place.
    assert!(page.find("Content-Security-Policy") < page.find("<style>"));
    for word in ["https:", "src=\"", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    let http = page.matches("http:").count();
    assert_eq!(http, 1, "the name space of SVG, which nobody fetches");
}

#[test]
fn text_of_a_bundle_cannot_leave_its_data_block() {
    let (page, data) = page(&fixture::hostile(), &[]);
    assert!(
        data["head"]
            .to_string()
            .contains(&fixture::MARKUP.replace('"', "\\\""))
    );
    assert!(
        !page.contains("<img") && !page.contains("<!--"),
        "{}",
        fixture::MARKUP
    );
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains(['\u{2028}', '\u{202e}', '\u{0}']));
}

#[test]
fn what_is_left_out_is_counted_and_told_apart() {
    let (page, data) = page(&fixture::many(10_000), &["--max-events", "100"]);
    assert_eq!(numbers(&data), (1..=100).collect::<Vec<_>>());
    let left = &data["left_out"];
    assert_eq!(left["count"], 9_900);
    assert_eq!(left["classes"][0][0], "calls that succeeded");
    assert_eq!(left["classes"][0][2], 101);
    let counted: u64 = left["counts"]["3"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted, 9_900);
    assert!(page.len() < 200_000, "{}", page.len());
    // The few that tell something stay, whatever the number of the others.
    let (_, data) = self::page(&fixture::small(), &["--max-events", "34"]);
    let rows = data["events"].as_array().unwrap();
    assert_eq!(rows.len(), 34);
    assert!(
        data["left_out"]["classes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|class| class[1].as_u64() < Some(3))
    );
}

#[test]
fn a_range_and_a_filter_choose_the_events_and_are_said() {
    let (_, data) = page(&fixture::small(), &["-f", "evt.stream=syscall", "--from", "#19"]);
    let folder = Folder::new();
    let bundle = folder.bundle("x", &fixture::small());
    let events = replay(&[
        "events",
        &bundle,
        "--json",
        "-f",
        "evt.stream=syscall",
        "--from",
        "#19",
    ])
    .lines();
    let expected: Vec<u64> = events
        .iter()
        .map(|event| event["evt.num"].as_u64().unwrap())
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(numbers(&data), expected);
    assert_eq!(
        data["recording"]["asked"],
        serde_json::json!([["--from", "#19"], ["-f", "evt.stream=syscall"]])
    );
}

#[test]
fn a_cut_bundle_makes_a_page_that_says_so_and_bad_numbers_are_usage() {
    let folder = Folder::new();
    let bytes = fixture::small();
    let bundle = folder.bundle("cut", &bytes[..run::offset_of(&bytes, 1)]);
    let page = replay(&["export", &bundle, "html", "-o", "-"]).code(4).stdout;
    let data = data(&page);
    assert_eq!(data["recording"]["complete"], false);
    assert!(
        data["recording"]["shortfall"]
            .as_str()
            .unwrap()
            .contains("cut at byte")
    );
    for number in ["0", "500001", "x"] {
        replay(&["export", &bundle, "html", "-o", "-", "--max-events", number]).code(2);
    }
    replay(&["export", &bundle, "strace", "-o", "-", "--from", "+1s"]).code(2);
}
