//! The exported HTML page in a real browser, opened from disk: it is clicked, zoomed, typed into and read, and what it
//! shows is what `replay events --json` says. It asks nobody for anything, whatever the bundle's text would like.
#![allow(
    dead_code,
    reason = "the made-up bundles of replay's own tests have more than this one uses"
)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the made-up bundles of replay's own tests"
)]

#[path = "../../replay/tests/fixture/bundle.rs"]
mod fixture;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use stillframe_tests::{Browser, Bundle, wait_until};
use tempfile::TempDir;

/// A bundle, its page, and a browser that shows it.
struct Opened {
    browser: Browser,
    bundle: Bundle,
    events: Vec<Value>,
    _folder: TempDir,
}

impl Opened {
    fn new(bytes: &[u8], arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("x.capture.tar.zst");
        std::fs::write(&path, bytes)?;
        let bundle = Bundle::new(path, None);
        let page: PathBuf = folder.path().join("page.html");
        let page_name = page.to_str().context("the folder's name is no text")?;
        bundle
            .replay("export", &[&["html", "-o", page_name], arguments].concat())?
            .expect_code(0)?;
        let events = bundle
            .shows("events", &["--json"])?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let browser = Browser::start()?;
        browser.open(&page)?;
        Ok(Self {
            browser,
            bundle,
            events,
            _folder: folder,
        })
    }

    /// How many events the list holds, by its own words.
    fn listed(&self) -> Result<u64> {
        let text = self.browser.text("#count")?;
        if text.starts_with("No event") {
            return Ok(0);
        }
        let number = text.split(' ').next().unwrap_or_default().replace(',', "");
        number.parse().with_context(|| format!("no number in {text:?}"))
    }

    fn lists(&self, count: u64) -> Result<()> {
        wait_until(
            &format!("{count} events are listed"),
            Duration::from_secs(5),
            || Ok(self.listed()? == count),
        )
        .with_context(|| self.browser.text("#count").unwrap_or_default())
    }

    /// The window of the timeline in nanoseconds since the start.
    fn window(&self) -> Result<(f64, f64)> {
        let found = self.browser.run(
            "const w = document.getElementById('window').dataset; return [Number(w.from), Number(w.to)]",
        )?;
        let end = |index: usize| found.get(index).and_then(Value::as_f64).context("no window");
        Ok((end(0)?, end(1)?))
    }

    /// Nobody complained and nothing was fetched but the page itself.
    fn stayed_quiet(&self) -> Result<()> {
        let console = self.browser.console()?;
        ensure!(console.is_empty(), "the console said {console:#?}");
        let requests = self.browser.requests()?;
        let foreign = |address: &&String| !address.starts_with("file:///") && !address.starts_with("data:");
        ensure!(
            !requests.is_empty(),
            "requests are not logged: this proves nothing"
        );
        ensure!(
            requests.iter().find(foreign).is_none(),
            "the page asked for {requests:#?}"
        );
        Ok(())
    }
}

#[test]
#[ignore = "root"]
fn an_event_that_is_clicked_reads_as_replay_reads_it() -> Result<()> {
    let opened = Opened::new(&fixture::small(), &[])?;
    let browser = &opened.browser;
    opened.lists(opened.events.len() as u64)?;
    let event = opened
        .events
        .iter()
        .find(|event| event["evt.type"] == "openat" && event["evt.failed"] == true)
        .context("the bundle has no failed openat")?;
    browser.click(&format!("[id='event-{}'] .what", event["evt.num"]))?;
    assert_eq!(
        browser.text("#details-title")?,
        format!("Event {}", event["evt.num"])
    );
    for field in [
        "evt.time",
        "evt.boottime",
        "evt.type",
        "evt.stream",
        "container.name",
        "proc.name",
        "proc.pid",
    ] {
        let expected = match &event[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(
            browser.text(&format!("#fields [data-field='{field}']"))?,
            expected,
            "{field}"
        );
    }
    assert_eq!(event["evt.latency"], 12_345);
    assert_eq!(browser.text("[data-field='evt.latency']")?, "12.35us (12,345 ns)");
    assert_eq!(event["evt.res"], "ENOENT");
    assert_eq!(browser.text("[data-field='evt.res']")?, "▲ ENOENT");
    let line = opened.bundle.shows(
        "events",
        &["--from", &format!("#{}", event["evt.num"]), "-n", "1"],
    )?;
    let what = browser.text("#what")?;
    ensure!(
        line.trim_end().ends_with(&what),
        "{what} is not the end of {line}"
    );
    opened.stayed_quiet()
}

#[test]
#[ignore = "root"]
fn the_timeline_is_zoomed_by_dragging_and_by_keys_and_the_list_follows() -> Result<()> {
    let opened = Opened::new(&fixture::small(), &[])?;
    let browser = &opened.browser;
    let whole = opened.window()?;
    let start = opened.events.iter().map(|event| event["evt.boottime"].as_i64());
    let start = start.flatten().min().context("no events")? as f64;
    let inside = |(from, to): (f64, f64)| {
        let at = |event: &&Value| event["evt.boottime"].as_f64().unwrap_or(0.0) - start;
        let within = |event: &&Value| at(event) >= from && at(event) <= to;
        opened.events.iter().filter(within).count() as u64
    };
    assert_eq!(inside(whole), opened.events.len() as u64);
    // The first event of the bundle is also its start.
    browser.drag("#canvas", (-200, 0), (250, 0))?;
    let dragged = opened.window()?;
    ensure!(
        dragged.0 > whole.0 && dragged.1 < whole.1,
        "{whole:?} {dragged:?}"
    );
    let count = inside(dragged);
    ensure!(count > 0 && count < opened.events.len() as u64, "{count}");
    opened.lists(count)?;
    browser.click("#in")?;
    let closer = opened.window()?;
    ensure!(
        (closer.1 - closer.0) * 2.0 <= (dragged.1 - dragged.0) * 1.01,
        "{dragged:?} {closer:?}"
    );
    opened.lists(inside(closer))?;
    browser.type_into("#timeline", "\u{e012}")?; // the left arrow
    let earlier = opened.window()?;
    ensure!(earlier.0 < closer.0, "{closer:?} {earlier:?}");
    opened.lists(inside(earlier))?;
    browser.type_into("#timeline", "0")?;
    assert_eq!(opened.window()?, whole);
    opened.lists(opened.events.len() as u64)?;
    // A click on a row of the timeline chooses an event of that stream.
    browser.drag("#canvas", (-200, -60), (-200, -60))?;
    let title = browser.text("#details-title")?;
    ensure!(title.starts_with("Event "), "{title}");
    opened.stayed_quiet()
}

#[test]
#[ignore = "root"]
fn words_process_stream_and_failures_filter_the_list() -> Result<()> {
    let opened = Opened::new(&fixture::small(), &[])?;
    let browser = &opened.browser;
    let lines = opened.bundle.shows("events", &[])?;
    let count = |test: &dyn Fn(&str) -> bool| lines.lines().filter(|line| test(line)).count() as u64;
    browser.type_into("#text", "PASSWD")?;
    opened.lists(count(&|line| line.contains("passwd")))?;
    browser.type_into("#text", " read")?;
    opened.lists(count(&|line| line.contains("passwd") && line.contains("read")))?;
    browser.click("#clear")?;
    opened.lists(opened.events.len() as u64)?;
    browser.type_into("#process", "httpd")?;
    opened.lists(count(&|line| line.contains(" httpd[1234]")))?;
    browser.click("#clear")?;
    browser.click("#failed")?;
    let failed = opened.events.iter().filter(|event| {
        event["evt.failed"] == true
            || event["evt.type"] == "procexit" && event["proc.exit.signal"] != Value::Null
    });
    opened.lists(failed.count() as u64)?;
    browser.click("#clear")?;
    browser.click("#streams input[value='3']")?;
    opened.lists(
        opened
            .events
            .iter()
            .filter(|event| event["evt.stream"] != "syscall")
            .count() as u64,
    )?;
    // A link of another view goes to its event, though the filter hid it.
    browser.click("#tab-processes")?;
    let processes = browser.text("#panel-processes")?;
    ensure!(
        processes.contains("httpd") && processes.contains("▲ SIGKILL"),
        "{processes}"
    );
    browser.click("#tab-failures")?;
    let failures = browser.text("#panel-failures")?;
    ensure!(
        failures.contains("▲ ENOENT") && failures.contains("/not/there"),
        "{failures}"
    );
    browser.click("#panel-failures tbody tr:last-child button")?;
    ensure!(browser.text("#details-title")?.starts_with("Event "));
    opened.lists(opened.events.len() as u64)?;
    opened.stayed_quiet()
}

#[test]
#[ignore = "root"]
fn text_that_would_be_markup_does_nothing_and_nothing_leaves_the_page() -> Result<()> {
    let opened = Opened::new(&fixture::hostile(), &[])?;
    let browser = &opened.browser;
    opened.lists(opened.events.len() as u64)?;
    for event in &opened.events {
        browser.run(&format!(
            "document.getElementById('event-{}').click()",
            event["evt.num"]
        ))?;
    }
    ensure!(browser.text("#title")?.starts_with(fixture::MARKUP));
    for tab in ["processes", "failures", "counters", "summary", "help", "events"] {
        browser.click(&format!("#tab-{tab}"))?;
        if tab != "help" {
            let text = browser.text(&format!("#panel-{tab}"))?;
            ensure!(
                text.contains("<img src=x") || text.contains(fixture::MARKUP),
                "{tab}: {text}"
            );
        }
    }
    let found = browser.run(
        "return [window.owned === undefined, document.images.length, document.scripts.length,
                 document.querySelectorAll('textarea, iframe, object, embed, link[rel=stylesheet]').length]",
    )?;
    assert_eq!(found, serde_json::json!([true, 0, 2, 0]));
    opened.stayed_quiet()?;
    // That the quiet means something: what would be markup is stopped by the policy, and heard.
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x\" onerror=\"owned=1\">');
         fetch('http://127.0.0.1:9/y').catch(() => {});
         const script = document.createElement('script'); script.textContent = 'owned = 1'; document.body.append(script);",
    )?;
    let mut console = Vec::new();
    wait_until("the policy is heard", Duration::from_secs(10), || {
        console.extend(browser.console()?);
        Ok(["img-src", "connect-src", "script-src"].iter().all(|word| {
            console
                .iter()
                .any(|line| line.contains(word) || line.contains("default-src"))
        }) && console.len() >= 3)
    })?;
    assert_eq!(browser.run("return window.owned === undefined")?, true);
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_page_with_a_part_of_the_events_says_so_and_how_to_get_the_rest() -> Result<()> {
    let opened = Opened::new(&fixture::many(5_000), &["--max-events", "1000"])?;
    let browser = &opened.browser;
    opened.lists(1_000)?;
    let notes = browser.text("#notes")?;
    for words in [
        "4,000 of 5,000 are left out",
        "4,000 calls that succeeded, from #1001 on",
        "html --from '#1001' -o rest.html",
        "html --max-events 5000 -o all.html",
    ] {
        ensure!(notes.contains(words), "{words} is not in {notes}");
    }
    browser.type_into("#goto", "3000\u{e007}")?; // Enter
    let said = browser.text("#goto-said")?;
    ensure!(
        said.contains("not in this page") && said.contains("--from '#3000'"),
        "{said}"
    );
    // The list holds only what is in sight, and its end is reached by a key.
    let rows = browser.run("return document.querySelectorAll('#grid .row').length")?;
    ensure!(rows.as_u64().is_some_and(|rows| rows < 100), "{rows}");
    browser.type_into("#grid", "\u{e010}")?; // End
    assert_eq!(browser.text("#details-title")?, "Event 1000");
    ensure!(browser.text("[id='event-1000']")?.contains("read("));
    opened.stayed_quiet()
}
