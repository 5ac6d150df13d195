use super::*;
use decode::tests::frame;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use stillframe_format::event::LogStream;

use crate::source::Message;

fn container(name: &str) -> Container {
    Container {
        id: name.repeat(64).chars().take(64).collect(),
        name: name.to_owned(),
        pid: 1,
        running: true,
        image_id: String::new(),
        tty: false,
        log_driver: "json-file".to_owned(),
    }
}

/// What an engine says to a request; it then ends the reply, or holds it open.
type Answer = Box<dyn Fn(&str) -> (Vec<u8>, bool) + Send>;

/// A socket that speaks as an engine does, and the requests that it got.
fn engine(answer: Answer) -> (tempfile::TempDir, Engine, Receiver<String>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream: UnixStream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while !lines.next().unwrap().unwrap().is_empty() {}
            let path = first.split(' ').nth(1).unwrap().to_owned();
            if path == "/_ping" {
                let reply = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
                stream.write_all(reply).unwrap();
                continue;
            }
            let (reply, hold) = answer(&path);
            let _ = sender.send(path);
            let _ = stream.write_all(&reply);
            if hold {
                held.push(stream);
            }
        }
    });
    let host = format!("unix://{}", socket.display());
    let engine = Engine::connect(Some(&host)).unwrap();
    (folder, engine, requests)
}

fn reply(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body].concat()
}

fn stamp(nanoseconds: i64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap();
    format!("{stamp:.9}")
}

fn line(output: u8, stamped: i64, text: &str) -> Vec<u8> {
    frame(output, format!("{} {text}", stamp(stamped)).as_bytes())
}

fn texts(drafts: &[Draft]) -> Vec<String> {
    drafts
        .iter()
        .map(|draft| match &draft.body {
            Body::Log(line) => String::from_utf8_lossy(&line.bytes).trim_end().to_owned(),
            Body::Loss(loss) => format!("{} {}", loss.cause, loss.count),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Runs the source until `enough` drafts came, then stops it.
fn run(logs: &mut Logs, enough: usize) -> (Vec<Draft>, Report) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(64);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| logs.run(&Outbox::new(sender), &stop).unwrap());
        let mut drafts = Vec::new();
        let begin = Instant::now();
        while drafts.len() < enough && begin.elapsed() < Duration::from_secs(10) {
            if let Ok(Message::Events(events)) = receiver.recv_timeout(Duration::from_millis(20)) {
                drafts.extend(events);
            }
        }
        stop.set();
        while let Ok(Message::Events(events)) = receiver.recv() {
            drafts.extend(events);
        }
        (drafts, thread.join().unwrap())
    })
}

#[test]
fn the_lookback_and_what_follows_it_are_one_reply() {
    let now = clock::realtime();
    let (_folder, engine, requests) = engine(Box::new(move |_| {
        let mut body = line(1, now - 5_000, "old");
        body.extend(line(2, now + 3_600_000_000_000, "late"));
        body.extend(line(1, now + 3_600_000_000_001, "later"));
        (reply(&body), true)
    }));
    let containers = vec![container("a")];
    let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
    let lookback = logs.lookback(now - 10_000, 1 << 20);
    assert_eq!(texts(&lookback.drafts), ["old", "late", "later"]);
    let Body::Log(first) = &lookback.drafts[1].body else {
        panic!("a line");
    };
    assert_eq!(
        (first.stream, first.realtime, first.container.len()),
        (LogStream::Stderr, now + 3_600_000_000_000, 64)
    );
    assert!(lookback.drafts[1].time <= clock::boottime(), "not in the future");
    let (drafts, report) = run(&mut logs, 0);
    assert_eq!(texts(&drafts), Vec::<String>::new());
    assert_eq!((report.events, report.lost), (3, 0));
    let asked: Vec<String> = requests.try_iter().collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let since = now - 10_000;
    let expected = format!("since={}.{:09}&", since / 1_000_000_000, since % 1_000_000_000);
    assert!(asked[0].contains(&expected), "{asked:?}");
}

#[test]
fn a_reply_that_ends_is_asked_for_once_more_and_repeats_are_passed_over() {
    let now = clock::realtime();
    let (_folder, engine, requests) = engine(Box::new(move |path| {
        let mut body = [line(1, now, "x"), line(1, now, "x")].concat();
        if path.contains(&format!("tail={TAIL_AGAIN}")) {
            body.extend(line(1, now, "x"));
            body.extend(line(2, now + 1, "y"));
        }
        (reply(&body), false)
    }));
    let containers = vec![container("a")];
    let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
    let handle = logs.handle();
    let (drafts, report) = run(&mut logs, 4);
    assert_eq!(texts(&drafts), ["x", "x", "x", "y"]);
    assert_eq!(report.notes, Vec::<String>::new());
    // The third request brings nothing new, so it is the last, until the container is started again.
    let (drafts, _) = run(&mut logs, 0);
    assert!(drafts.is_empty());
    std::thread::sleep(2 * RETRY);
    let (drafts, _) = run(&mut logs, 0);
    assert!(drafts.is_empty());
    let before = requests.try_iter().count();
    assert!((2..=3).contains(&before), "{before}");
    handle.add(&container("a"));
    run(&mut logs, 0);
    assert!(requests.try_iter().count() > 0);
}

#[test]
fn a_log_that_can_not_be_read_costs_itself_alone() {
    let now = clock::realtime();
    let bad = container("b").id;
    let garbled = container("c").id;
    let (_folder, engine, _requests) = engine(Box::new(move |path| {
        if path.contains(&bad) {
            let message = br#"{"message":"configured logging driver does not support reading"}"#;
            let head = format!(
                "HTTP/1.1 501 Not Implemented\r\nContent-Length: {}\r\n\r\n",
                message.len()
            );
            ([head.as_bytes(), message].concat(), false)
        } else if path.contains(&garbled) {
            (reply(b"this is no multiplexed stream"), true)
        } else {
            (reply(&line(1, now, "fine")), true)
        }
    }));
    let containers = ["a", "b", "c"].map(container).into();
    let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
    let (drafts, mut report) = run(&mut logs, 3);
    let mut texts = texts(&drafts);
    texts.sort();
    assert_eq!(texts, ["fine", "unreadable 0", "unreadable 0"]);
    report.notes.sort();
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    assert!(
        report.notes[0].starts_with("b: log driver json-file gives no log: engine: GET"),
        "{}",
        report.notes[0]
    );
    assert_eq!(report.notes[1], "c: its reply is no multiplexed stream");
}

#[test]
fn the_lookback_keeps_the_newest_of_all_and_counts_the_others() {
    let now = clock::realtime();
    let first = container("a").id;
    let (_folder, engine, _requests) = engine(Box::new(move |path| {
        let base = now - 1_000_000_000 + i64::from(!path.contains(&first));
        let body: Vec<u8> = (0..10)
            .flat_map(|number| line(1, base + 10 * number, &format!("{number:09}\n")))
            .collect();
        (reply(&body), true)
    }));
    let containers = ["a", "b"].map(container).into();
    let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
    let begin = Instant::now();
    let lookback = logs.lookback(now - 2_000_000_000, 50);
    assert!(begin.elapsed() < LOOKBACK_TIME);
    assert_eq!(lookback.dropped, 15);
    assert_eq!(
        texts(&lookback.drafts),
        [
            "lookback-limit 8",
            "lookback-limit 7",
            "000000007",
            "000000008",
            "000000008",
            "000000009",
            "000000009"
        ]
    );
}

#[test]
fn a_log_longer_than_what_the_engine_is_asked_for_begins_with_a_hole() {
    for (lines, expected) in [(TAIL - 1, None), (TAIL, Some("lookback-limit 0"))] {
        let now = clock::realtime();
        let begin = now - 1_000_000_000;
        let (_folder, engine, requests) = engine(Box::new(move |_| {
            let body: Vec<u8> = (0..lines)
                .flat_map(|number| line(1, begin + i64::from(number), "x\n"))
                .collect();
            (reply(&body), true)
        }));
        let containers = vec![container("a")];
        let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
        let lookback = logs.lookback(begin - 5_000_000_000, 1 << 20);
        assert_eq!(lookback.dropped, 0);
        assert!(
            requests
                .try_iter()
                .all(|path| path.ends_with(&format!("&tail={TAIL}")))
        );
        // On a slow machine the look-back ends before all has come.
        let enough = lines as usize + usize::from(expected.is_some());
        let (live, _) = run(&mut logs, enough.saturating_sub(lookback.drafts.len()));
        let all = [lookback.drafts, live].concat();
        let holes: Vec<&Loss> = all
            .iter()
            .filter_map(|draft| match &draft.body {
                Body::Loss(loss) => Some(loss),
                _ => None,
            })
            .collect();
        assert_eq!(all.len() - holes.len(), lines as usize);
        let told = holes.first().map(|loss| format!("{} {}", loss.cause, loss.count));
        assert_eq!(told.as_deref(), expected);
        for loss in holes {
            let span = loss.to.0 - loss.from.0;
            assert!((4_900_000_000..5_100_000_000).contains(&span), "{span}");
            assert_eq!(loss.scope, container("a").id);
        }
    }
}

#[test]
fn a_log_that_does_not_stop_is_left_in_time_and_the_rest_is_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = std::io::Read::read(&mut stream, &mut request);
                let head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n";
                if request.starts_with(b"GET /_ping") {
                    let _ = stream.write_all(&[&head[..], b"Content-Length: 0\r\n\r\n"].concat());
                    return;
                }
                let _ = stream.write_all(&[&head[..], b"\r\n"].concat());
                // Stamps from before the stop, for ever.
                let mut stamped = clock::realtime();
                loop {
                    stamped += 1;
                    if stream.write_all(&line(1, stamped, "flood\n")).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    let engine = Engine::connect(Some(&format!("unix://{}", socket.display()))).unwrap();
    let containers = vec![container("a")];
    let mut logs = Logs::open(LogsConfig { engine, containers }).unwrap();
    let begin = Instant::now();
    let (drafts, report) = run(&mut logs, 10);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    let Body::Loss(loss) = &drafts.last().unwrap().body else {
        panic!("the hole comes last");
    };
    assert_eq!((loss.cause.as_str(), loss.count), ("stopped", 0));
    assert_eq!(loss.scope, container("a").id);
    assert!(loss.from <= loss.to);
    assert_eq!(report.events as usize, drafts.len() - 1);
}
