//! The full-screen view without a terminal: keys go into the model, a desk answers in the same thread, and what is
//! drawn is read from a buffer.

use crate::fixture;
use crate::run::{self, Folder, replay};
use proptest::prelude::*;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use std::collections::VecDeque;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use stillframe_format::reader::Bundle;
use stillframe_replay::open;
use stillframe_replay::screen::answer::Desk;
use stillframe_replay::screen::ask::{Ask, Facts, Told, What};
use stillframe_replay::screen::draw;
use stillframe_replay::screen::key::{BINDINGS, Key};
use stillframe_replay::screen::model::{Look, Model, Tab};
use stillframe_replay::timeline::Timeline;

/// A screen whose desk answers at once.
struct Bench {
    desk: Desk<Cursor<Vec<u8>>>,
    model: Model,
}

impl Bench {
    fn new(bytes: Vec<u8>, (width, height): (u16, u16)) -> Self {
        Self::of(bytes, (width, height), false)
    }

    fn of(bytes: Vec<u8>, (width, height): (u16, u16), follow: bool) -> Self {
        let mut bundle = Bundle::open(Cursor::new(bytes)).unwrap();
        let context = Arc::new(open::context(&mut bundle));
        let facts = Facts::of(&bundle, Arc::clone(&context), follow);
        let look = Look {
            colour: false,
            ascii: true,
        };
        let mut bench = Self {
            desk: Desk::new(Timeline::new(bundle), context),
            model: Model::new(PathBuf::from("/x/web.capture.tar.zst"), facts, look),
        };
        let mut asks = bench.model.resize(width, height);
        asks.extend(bench.model.begin(None, ""));
        bench.work(asks);
        bench
    }

    /// Answers until nothing is asked any more.
    fn work(&mut self, asks: Vec<Ask>) {
        let mut asks: VecDeque<Ask> = asks.into();
        let mut rounds = 0;
        while let Some(ask) = asks.pop_front() {
            rounds += 1;
            assert!(rounds < 1000, "it asks without end: {ask:?}");
            let mut answers = Vec::new();
            self.desk
                .answer(&ask, &|| true, &mut |answer| answers.push(answer));
            for answer in answers {
                asks.extend(self.model.answer(answer));
            }
        }
    }

    fn key(&mut self, key: Key) -> &mut Self {
        let asks = self.model.key(key);
        self.work(asks);
        self
    }

    /// Types letters.
    fn keys(&mut self, text: &str) -> &mut Self {
        for letter in text.chars() {
            self.key(Key::Char(letter));
        }
        self
    }

    /// Types a line.
    fn line(&mut self, text: &str) -> &mut Self {
        self.keys(text).key(Key::Enter)
    }

    fn at(&self) -> u64 {
        self.model.events.num()
    }

    fn message(&self) -> &str {
        self.model.message.as_deref().unwrap_or_default()
    }

    fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, self.model.size.0, self.model.size.1));
        draw::draw(&self.model, &mut buffer);
        buffer
    }

    fn screen(&self) -> String {
        let buffer = self.buffer();
        let mut text = String::new();
        for row in 0..buffer.area.height {
            let line: String = (0..buffer.area.width)
                .map(|column| buffer[(column, row)].symbol())
                .collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

const SMALL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (160, 48);

#[test]
fn the_screen_of_a_small_terminal() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.key(Key::Down).key(Key::Down);
    insta::assert_snapshot!(bench.screen());
}

#[test]
fn the_screen_of_a_large_terminal() {
    let mut bench = Bench::new(fixture::small(), WIDE);
    bench.keys("g").line("21").keys("ma").keys("7");
    insta::assert_snapshot!(bench.screen());
}

#[test]
fn every_tab_of_a_small_terminal() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("g").line("#22").keys("F");
    let mut text = String::new();
    for digit in 1..=9 {
        bench.keys(&digit.to_string());
        for line in bench.screen().lines().skip(14).take(8) {
            text.push_str(line);
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_help_has_every_key() {
    let mut bench = Bench::new(fixture::small(), (100, 60));
    bench.keys("?");
    let text = bench.screen();
    for binding in BINDINGS {
        assert!(text.contains(binding.label), "{}", binding.label);
    }
    insta::assert_snapshot!(text);
    bench.keys("q");
    assert!(bench.model.help.is_none() && !bench.model.is_over);
    bench.keys("q");
    assert!(bench.model.is_over);
}

#[test]
fn rows_are_the_lines_that_events_prints() {
    let folder = Folder::new();
    let bundle = folder.bundle("b", &fixture::small());
    for filter in ["", "proc.name=httpd"] {
        let mut bench = Bench::new(fixture::small(), (250, 60));
        let with_holes = match filter {
            "" => String::new(),
            filter => {
                bench.keys("f").line(filter);
                format!("({filter}) or evt.stream in (loss, clock)")
            }
        };
        bench.key(Key::Home);
        let text = replay(&["events", &bundle, "-f", &with_holes]).code(0).stdout;
        let rows: Vec<&str> = bench
            .model
            .events
            .rows
            .iter()
            .map(|row| row.line.as_str())
            .collect();
        assert_eq!(rows, text.lines().collect::<Vec<_>>());
        let screen = bench.screen();
        for line in text.lines().take(20) {
            let shown: String = line.chars().take(150).collect();
            assert!(screen.contains(shown.trim_end()), "{line}\n{screen}");
        }
    }
}

#[test]
fn the_command_line_that_is_copied_prints_the_same_rows() {
    let folder = Folder::new();
    let bundle = folder.bundle("b", &fixture::many(1000));
    let mut bench = Bench::new(fixture::many(1000), SMALL);
    bench.model.path = PathBuf::from(&bundle);
    bench
        .keys("f")
        .line("proc.name=cat")
        .keys("g")
        .line("50%")
        .keys("y");
    let command = bench.model.clipboard.take().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", &command.replacen("replay", env!("CARGO_BIN_EXE_replay"), 1)])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<String> = bench
        .model
        .events
        .visible()
        .map(|(_, row)| row.line.clone())
        .collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), shown, "{command}");
    assert!(shown.len() == bench.model.events.height);
    bench.keys("Y");
    let view = bench.model.clipboard.take().unwrap();
    assert_eq!(
        view,
        format!("replay view {bundle} --at '#{}' -f proc.name=cat", bench.at())
    );
}

#[test]
fn steps_pages_and_ends_lead_where_they_say() {
    let mut bench = Bench::new(fixture::many(5000), SMALL);
    assert_eq!(bench.at(), 1);
    bench.key(Key::Down).keys("..,");
    assert_eq!(bench.at(), 3);
    bench.key(Key::Up).keys("kk");
    assert_eq!(bench.at(), 1, "it stops at the first one");
    let page = u64::try_from(bench.model.events.height - 1).unwrap();
    for pages in 1..=40 {
        bench.key(Key::PageDown);
        assert_eq!(bench.at(), 1 + pages * page);
    }
    for pages in (0..40).rev() {
        bench.key(Key::PageUp);
        assert_eq!(bench.at(), 1 + pages * page);
    }
    bench.key(Key::End);
    assert_eq!(bench.at(), 5000);
    bench.key(Key::Down);
    assert_eq!(bench.at(), 5000);
    bench.key(Key::PageUp);
    assert_eq!(bench.at(), 5000 - page);
    bench.key(Key::Home);
    assert_eq!(bench.at(), 1);
    assert!(bench.model.events.rows.len() < 2000, "rows are not kept for ever");
}

#[test]
fn steps_that_were_made_before_the_rows_came_are_not_lost() {
    let mut bench = Bench::new(fixture::many(5000), SMALL);
    let mut asks = Vec::new();
    for _ in 0..30 {
        asks.extend(bench.model.key(Key::PageDown));
    }
    bench.work(asks);
    let page = u64::try_from(bench.model.events.height - 1).unwrap();
    assert!(bench.at() > 1 + 5 * page, "{}", bench.at());
    // What a page more than what was there led to is gone to.
    let before = bench.at();
    bench.key(Key::PageDown);
    assert_eq!(bench.at(), before + page);
}

#[test]
fn moments_are_gone_to_and_what_is_none_is_said() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    for (text, num) in [
        ("#7", 7),
        ("12", 12),
        ("14:03:07.012", 13),
        // Before it stands one that came late.
        ("+1.0s", 20),
        ("0%", 1),
        ("100%", 38),
        ("999", 38),
    ] {
        bench.keys("g").line(text);
        assert_eq!(bench.at(), num, "{text}");
    }
    bench.keys("g").line("yesterday");
    let prompt = bench.model.prompt.clone().expect("the line stays to be mended");
    assert!(prompt.remark.unwrap().contains("not a moment"));
    assert!(bench.screen().contains("is not a moment"), "{}", bench.screen());
    bench.key(Key::Escape);
    assert!(bench.model.prompt.is_none());
    // Every jump can be undone.
    for _ in 0..20 {
        bench.key(Key::Backspace);
    }
    assert_eq!(bench.at(), 1);
}

#[test]
fn a_filter_narrows_the_list_and_hides_no_hole() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("f").line("evt.type=openat");
    let kinds: Vec<&str> = bench
        .model
        .events
        .rows
        .iter()
        .map(|row| {
            if row.line.contains("openat(") {
                "openat"
            } else {
                "hole"
            }
        })
        .collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "openat").count(), 4);
    assert!(
        bench
            .model
            .events
            .rows
            .iter()
            .any(|row| row.line.contains("--- hole"))
    );
    assert!(bench.screen().contains("events: evt.type=openat (and holes)"));
    bench.keys("f").line(" and and");
    assert_eq!(
        bench.model.prompt.as_ref().unwrap().at,
        "evt.type=openat and ".len()
    );
    assert!(
        bench
            .model
            .prompt
            .as_ref()
            .unwrap()
            .remark
            .as_ref()
            .unwrap()
            .contains("column")
    );
    bench.key(Key::Escape).key(Key::Backspace);
    assert_eq!(bench.model.filter_text(), "");
    assert_eq!(bench.at(), 1);
    // With nothing that it means, the list says so.
    bench.keys("f").line("evt.type=reboot and proc.pid=1");
    assert!(bench.model.events.rows.iter().all(|row| row.line.contains("---")));
}

#[test]
fn searches_go_on_and_back_and_say_when_there_is_no_more() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("/").line("evt.type=openat");
    let mut hits = vec![bench.at()];
    for _ in 0..3 {
        bench.keys("n");
        hits.push(bench.at());
    }
    let mut sorted = hits.clone();
    sorted.dedup();
    assert_eq!(sorted.len(), 4, "{hits:?}");
    bench.keys("n");
    assert_eq!(bench.at(), hits[3]);
    assert!(bench.message().contains("no event after"), "{}", bench.message());
    for hit in hits.iter().rev().skip(1) {
        bench.keys("{");
        assert_eq!(bench.at(), *hit);
    }
    bench.keys("N");
    assert!(bench.message().contains("no event before"), "{}", bench.message());
    // A row of searches is one step back.
    bench.key(Key::Backspace);
    assert_eq!(bench.at(), 1);
}

#[test]
fn a_condition_is_continued_to_both_ways_and_passed_holes_are_told() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("c").line("evt.stream=metrics");
    let first = bench.at();
    assert!(first > 9);
    assert!(bench.message().contains("1 hole"), "{}", bench.message());
    bench.keys("c");
    let second = bench.at();
    assert!(second > first);
    bench.keys("C");
    assert_eq!(bench.at(), first);
    bench.keys("b").key(Key::Ctrl('u')).line("proc.pid=4");
    assert_eq!(bench.at(), first, "b only sets it");
}

#[test]
fn the_same_thread_the_same_thing_failures_and_holes_are_stepped_to() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("e");
    assert_eq!(bench.at(), 4);
    bench.keys("]");
    assert_eq!(bench.at(), 5);
    bench.keys("[[");
    assert_eq!(bench.at(), 3);
    bench.keys("o");
    assert_eq!(bench.at(), 9);
    bench.keys("O");
    assert_eq!(bench.at(), 9);
    assert!(bench.message().contains("no event before"));
    bench.keys("]");
    assert!(bench.message().contains("no thread"), "{}", bench.message());
    // The packet's connection.
    bench.keys("g").line("7").keys(")");
    assert_eq!(bench.at(), 8);
    bench.keys("(");
    assert_eq!(bench.at(), 7);
    // The block request.
    bench.keys("g").line("10").keys("))");
    assert_eq!(bench.at(), 12);
}

#[test]
fn marks_are_set_gone_to_and_drawn() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("g").line("9").keys("ma").key(Key::End).keys("'b");
    assert!(bench.message().contains("no mark b"));
    bench.keys("'a");
    assert_eq!(bench.at(), 9);
    let screen = bench.screen();
    assert!(
        screen.lines().any(|line| line.starts_with("a      9 ")),
        "{screen}"
    );
    bench.key(Key::Backspace);
    assert_eq!(bench.at(), bench.model.facts.last);
}

#[test]
fn drilling_down_narrows_and_backspace_widens() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("g").line("3").key(Key::Enter);
    assert_eq!(bench.model.filter_text(), "thread.tid=1234");
    assert_eq!(bench.at(), 3);
    // A descriptor of the state.
    bench.key(Key::Backspace).key(Key::End).keys("3").key(Key::Tab);
    bench.key(Key::End).key(Key::Enter);
    assert!(
        bench.model.filter_text().contains("fd.num="),
        "{}: {}",
        bench.model.filter_text(),
        bench.screen()
    );
    bench.key(Key::Backspace);
    assert_eq!(bench.model.filter_text(), "");
    // A log.
    bench.keys("7").key(Key::Tab).key(Key::End).key(Key::Enter);
    assert!(
        bench.model.events.here().unwrap().line.contains("stderr"),
        "{}",
        bench.screen()
    );
}

#[test]
fn logs_begin_before_the_first_event_and_follow_the_cursor() {
    let mut bench = Bench::new(fixture::small(), WIDE);
    bench.keys("7");
    let logs = &bench.model.logs;
    assert!(logs.rows[0].line.contains("before"), "{:?}", logs.rows[0]);
    assert!(logs.rows.iter().filter(|row| row.num == 0).count() >= 3);
    bench.key(Key::End);
    assert_eq!(bench.model.logs.at, bench.model.logs.rows.len() - 1);
    bench.keys("g").line("14");
    assert_eq!(bench.model.logs.num(), 14);
}

#[test]
fn work_is_stopped_by_escape() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("/");
    for letter in "proc.pid=4".chars() {
        bench.model.key(Key::Char(letter));
    }
    let asks = bench.model.key(Key::Enter);
    let [find] = asks.as_slice() else {
        panic!("{asks:?}")
    };
    assert!(bench.screen().contains("looking"), "{}", bench.screen());
    let stop = bench.model.key(Key::Escape);
    assert!(
        matches!(
            stop[..],
            [Ask {
                what: What::Stop(_),
                ..
            }]
        ),
        "{stop:?}"
    );
    assert!(stop[0].era > find.era);
    // What the lane still says is not heard any more.
    let mut answers = Vec::new();
    bench
        .desk
        .answer(find, &|| false, &mut |answer| answers.push(answer));
    assert!(matches!(
        answers[..],
        [stillframe_replay::screen::ask::Answer {
            what: Told::Found { stopped: true, .. },
            ..
        }]
    ));
    for answer in answers {
        assert!(bench.model.answer(answer).is_empty());
    }
    assert_eq!(bench.at(), 1);
    assert!(!bench.screen().contains("looking"));
    // Ctrl-C stops first, and quits when there is nothing to stop.
    bench.model.key(Key::Char('e'));
    bench.model.key(Key::Ctrl('c'));
    assert!(!bench.model.is_over);
    bench.model.key(Key::Ctrl('c'));
    assert!(bench.model.is_over);
}

#[test]
fn a_list_that_was_stopped_goes_on_when_somebody_steps_on() {
    let mut bench = Bench::new(fixture::many(250_000), SMALL);
    for letter in "fproc.name=none".chars() {
        bench.model.key(Key::Char(letter));
    }
    let asks = bench.model.key(Key::Enter);
    assert!(asks.iter().any(|ask| matches!(ask.what, What::Rows { .. })));
    bench.model.answer(stillframe_replay::screen::ask::Answer {
        era: asks[0].era,
        what: Told::Progress {
            lane: asks[0].what.lane(),
            done: 1,
            total: 3,
        },
    });
    assert!(
        bench.screen().contains("looking 1/3 slices"),
        "{}",
        bench.screen()
    );
    let stop = bench.model.key(Key::Escape);
    assert!(bench.screen().contains("stopped"), "{}", bench.screen());
    // What comes of it all the same is not taken.
    let before = bench.model.events.rows.len();
    bench.work(asks);
    assert_eq!(bench.model.events.rows.len(), before);
    let more = bench.model.key(Key::Down);
    assert!(more.iter().any(|ask| ask.era >= stop[0].era), "{more:?}");
    bench.work(more);
    assert!(bench.model.events.after.edge);
}

#[test]
fn a_resize_keeps_the_cursor_in_sight() {
    let mut bench = Bench::new(fixture::many(3000), WIDE);
    bench.keys("g").line("1500");
    for size in [(80, 24), (40, 12), (200, 70), (39, 12), (80, 11), (300, 90)] {
        let asks = bench.model.resize(size.0, size.1);
        bench.work(asks);
        assert_eq!(bench.at(), 1500);
        let screen = bench.screen();
        if size.0 < 40 || size.1 < 12 {
            assert!(screen.contains("too small"), "{screen}");
        } else {
            assert!(screen.contains("    1500 "), "{size:?}\n{screen}");
            let rows = bench.model.events.visible().count();
            assert_eq!(rows, bench.model.events.height, "{size:?}");
        }
    }
}

#[test]
fn a_bundle_that_grows_is_read_on_and_the_cursor_stays() {
    let bytes = fixture::many(250_000);
    let first = run::offset_of(&bytes, 1);
    let second = run::offset_of(&bytes, 2);
    let mut bench = Bench::of(bytes[..first].to_vec(), SMALL, true);
    assert!(bench.screen().contains("still being written"));
    assert_eq!(bench.at(), 100_000, "it begins at the end");
    let grow = |bench: &mut Bench, bytes: &[u8]| {
        let mut bundle = Bundle::open(Cursor::new(bytes.to_vec())).unwrap();
        let context = Arc::new(open::context(&mut bundle));
        let facts = Facts::of(&bundle, Arc::clone(&context), true);
        bench.desk.replace(Timeline::new(bundle), context);
        let asks = bench.model.answer(stillframe_replay::screen::ask::Answer {
            era: 0,
            what: Told::Facts(Box::new(facts)),
        });
        bench.work(asks);
    };
    bench.keys("k");
    grow(&mut bench, &bytes[..second]);
    assert_eq!(bench.at(), 99_999, "it stays where it was moved to");
    bench.key(Key::Down).key(Key::Down);
    assert_eq!(bench.at(), 100_001, "what is new is there");
    bench.key(Key::End);
    assert_eq!(bench.at(), 200_000);
    grow(&mut bench, &bytes);
    assert_eq!(bench.at(), 250_000, "at the end it stays at the end");
    assert!(!bench.screen().contains("still being written"));
    assert!(bench.message().contains("finished"));
}

#[test]
fn damage_is_a_row_that_is_stepped_over_at_once() {
    let mut bytes = fixture::many(250_000);
    let (start, end) = (run::offset_of(&bytes, 1), run::offset_of(&bytes, 2));
    bytes[(start + end) / 2] ^= 0x55;
    let mut bench = Bench::new(bytes, SMALL);
    bench.keys("g").line("100000").key(Key::Down);
    assert_eq!(bench.at(), 100_001);
    assert!(
        bench.screen().contains("--- hole: events 100001 to 200000"),
        "{}",
        bench.screen()
    );
    assert!(bench.screen().contains("DAMAGED"));
    bench.key(Key::Down);
    assert_eq!(bench.at(), 200_001);
    bench.key(Key::Up).key(Key::Up);
    assert_eq!(bench.at(), 100_000);
    // A search passes it, and says so.
    bench.keys("/").line("evt.num>100050");
    assert_eq!(bench.at(), 200_001);
    assert!(bench.message().contains("1 hole"), "{}", bench.message());
    bench.keys("/").line("evt.num<100001 and proc.name=cat").keys("N");
    assert_eq!(bench.at(), 100_000);
    // A filter does not hide it.
    bench.keys("f").line("proc.name=dd");
    bench.keys("g").line("100000").key(Key::Down);
    assert!(
        bench.screen().contains("--- hole: events 100001 to 200000"),
        "{}",
        bench.screen()
    );
}

#[test]
fn nothing_that_a_terminal_obeys_is_drawn() {
    let mut bench = Bench::new(fixture::small(), WIDE);
    let total = bench.model.facts.last;
    for _ in 0..total {
        for tab in 1..=8 {
            bench.keys(&tab.to_string());
            for cell in bench.buffer().content {
                assert!(!cell.symbol().chars().any(stillframe_replay::escape::is_dangerous));
            }
        }
        bench.key(Key::Down);
    }
}

#[test]
fn an_empty_bundle_and_a_cut_one_are_shown() {
    let bench = Bench::new(fixture::slices(&[]), SMALL);
    assert!(bench.screen().contains("no events"), "{}", bench.screen());
    let bytes = fixture::small();
    let cut = bytes[..run::offset_of(&bytes, 1)].to_vec();
    let bench = Bench::new(cut, SMALL);
    let screen = bench.screen();
    assert!(
        screen.contains("CUT") && screen.contains("valid up to slice 1"),
        "{screen}"
    );
}

#[test]
fn nothing_is_said_by_colour_alone() {
    let mut bench = Bench::new(fixture::small(), WIDE);
    let plain = bench.screen();
    bench.model.look.colour = true;
    assert_eq!(bench.screen(), plain);
    let colours = |bench: &Bench| {
        let buffer = bench.buffer();
        let coloured = buffer
            .content
            .iter()
            .filter(|cell| cell.fg != ratatui_core::style::Color::Reset);
        coloured.count()
    };
    assert!(colours(&bench) > 0);
    bench.model.look.colour = false;
    assert_eq!(colours(&bench), 0);
}

#[test]
fn names_of_fields_are_completed_and_lines_remembered() {
    let mut bench = Bench::new(fixture::small(), SMALL);
    bench.keys("f").keys("evt.ty").key(Key::Tab);
    assert_eq!(bench.model.prompt.as_ref().unwrap().line(), "evt.type");
    bench.keys("=openat and evt.f").key(Key::Tab).key(Key::Enter);
    assert_eq!(bench.model.filter_text(), "evt.type=openat and evt.failed");
    bench.keys("/").key(Key::Up);
    assert_eq!(
        bench.model.prompt.as_ref().unwrap().line(),
        "evt.type=openat and evt.failed"
    );
    bench.key(Key::Escape);
    assert_eq!(bench.model.tab, Tab::Details);
}

#[test]
fn every_golden_bundle_is_shown_however_bad_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/testdata");
    let mut shown = 0;
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            if Bundle::open(Cursor::new(bytes.as_slice())).is_err() {
                continue;
            }
            shown += 1;
            let mut bench = Bench::new(bytes, WIDE);
            let last = bench.model.facts.last;
            for digit in "12345678".chars() {
                bench.key(Key::Char(digit)).key(Key::End).keys("F").key(Key::Home);
                bench.screen();
            }
            for _ in 0..last.min(200) {
                bench.key(Key::Down);
                bench.screen();
            }
            bench
                .keys("eoEO/")
                .line("evt.num>0")
                .keys("f")
                .line("evt.type=openat")
                .key(Key::End);
            bench.screen();
        }
    }
    assert!(shown > 8, "{shown}");
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        8 => prop::sample::select(BINDINGS.iter().flat_map(|binding| binding.keys).map(|(key, _)| *key).collect::<Vec<_>>()),
        1 => prop::char::range(' ', '~').prop_map(Key::Char),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever is typed, on whatever screen: nothing panics, the cursor stays on an event, and that is to be seen.
    #[test]
    fn no_keys_lead_astray(
        keys in prop::collection::vec((any_key(), 0u8..12), 1..80),
        sizes in prop::collection::vec((20u16..200, 5u16..60), 1..4),
        many: bool,
    ) {
        let bytes = if many { fixture::many(3000) } else { fixture::small() };
        let mut bench = Bench::new(bytes, sizes[0]);
        for (at, (key, resize)) in keys.into_iter().enumerate() {
            if resize == 0 {
                let (width, height) = sizes[at % sizes.len()];
                let asks = bench.model.resize(width, height);
                bench.work(asks);
            }
            bench.key(key);
            bench.model.is_over = false;
            let model = &bench.model;
            let list = &model.events;
            prop_assert!(list.rows.is_empty() || list.at < list.rows.len());
            prop_assert!(list.rows.is_empty() || (model.facts.first..=model.facts.last).contains(&list.num()));
            prop_assert!(list.rows.iter().zip(list.rows.iter().skip(1)).all(|(one, next)| one.last < next.num));
            if model.areas().is_some() {
                prop_assert!(list.rows.is_empty() || list.visible().any(|(at, _)| at == list.at));
            }
            prop_assert!(!bench.screen().is_empty());
        }
    }
}

#[test]
fn a_command_that_is_mistyped_is_no_bundle() {
    let folder = Folder::new();
    let bundle = folder.bundle("b", &fixture::small());
    let finished = replay(&["evnts", &bundle]).code(2);
    assert!(
        finished.stderr.contains("`evnts` is no command"),
        "{}",
        finished.stderr
    );
    // Wrong options of right commands are explained as before.
    let finished = replay(&["events", &bundle, "--fliter", "x"]).code(2);
    assert!(finished.stderr.contains("--filter"), "{}", finished.stderr);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let folder = Folder::new();
    let bundle = folder.bundle("b", &fixture::small());
    for arguments in [&["view", &bundle][..], &[&bundle]] {
        let finished = replay(arguments).code(2);
        assert!(finished.stdout.is_empty());
        for word in ["no terminal", "replay summary", "replay events"] {
            assert!(finished.stderr.contains(word), "{}", finished.stderr);
        }
    }
}
