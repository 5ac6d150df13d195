//! Text of `strace -f -ttt -T -yy`, its own and ours, taken apart and compared.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// A call, as a line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its arguments, in the writer's words.
    pub args: Vec<String>,
    /// Its result, without the time it took.
    pub result: String,
}

impl Line {
    /// The value or errno, without what is said about it: `3`, `-1 ENOENT`, `?`.
    #[must_use]
    pub fn value(&self) -> String {
        let mut words = self.result.split([' ', '<']);
        let value = words.next().unwrap_or_default();
        match (value, words.next()) {
            ("-1" | "?", Some(errno)) if errno.starts_with('E') => format!("{value} {errno}"),
            _ => value.to_owned(),
        }
    }

    /// The line without its lead.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}({}) = {}", self.name, self.args.join(", "), self.result)
    }
}

/// Calls of each thread in their order; the threads in the order in which they appear.
#[derive(Debug, Default)]
pub struct Threads {
    /// Thread ids as they appear.
    pub order: Vec<u32>,
    /// Calls by thread id.
    pub calls: BTreeMap<u32, Vec<Line>>,
    /// Signals by thread id, as their lines show them, and after how many of the thread's calls each came.
    pub signals: BTreeMap<u32, Vec<(usize, String)>>,
}

/// Takes a log apart. What is neither a call nor a signal (ends, stops) is left out; a call that was written in two pieces is one.
///
/// # Errors
/// A line is none that strace writes.
pub fn parse(log: &str) -> Result<Threads> {
    let mut threads = Threads::default();
    let mut begun: HashMap<u32, String> = HashMap::new();
    for line in log.lines() {
        let mut pieces = line.splitn(3, ' ');
        let tid = pieces.next().unwrap_or_default();
        let rest = line.get(tid.len()..).unwrap_or_default().trim_start();
        let Ok(tid) = tid.parse::<u32>() else {
            bail!("no thread at the start of {line:?}");
        };
        let (_, text) = rest
            .split_once(' ')
            .with_context(|| format!("no time in {line:?}"))?;
        // A thread that executes takes over the id of the leader, whose own call ends there.
        if let Some(thread) = text
            .strip_prefix("+++ superseded by execve in pid ")
            .and_then(|rest| rest.trim_end_matches(" +++").parse::<u32>().ok())
        {
            if let Some(start) = begun.remove(&tid) {
                threads
                    .calls
                    .entry(tid)
                    .or_default()
                    .push(call(&format!("{start}) = ?"))?);
            }
            if let Some(start) = begun.remove(&thread) {
                begun.insert(tid, start);
            }
            continue;
        }
        if let Some(signal) = text
            .strip_prefix("--- ")
            .and_then(|rest| rest.strip_suffix(" ---"))
            && signal.starts_with("SIG")
        {
            let calls = threads.calls.get(&tid).map_or(0, Vec::len);
            let signals = threads.signals.entry(tid).or_default();
            signals.push((calls, signal.to_owned()));
        }
        if text.starts_with("---") || text.starts_with("+++") || text.starts_with("[ Process") {
            continue;
        }
        if !threads.calls.contains_key(&tid) {
            threads.order.push(tid);
            threads.calls.insert(tid, Vec::new());
        }
        let calls = threads.calls.entry(tid).or_default();
        let whole = if let Some(resumed) = text.strip_prefix("<... ") {
            let (name, end) = resumed
                .split_once(" resumed>")
                .with_context(|| format!("what is resumed? {line:?}"))?;
            let start = begun.remove(&tid).unwrap_or_else(|| format!("{name}("));
            format!("{start}{end}")
        } else {
            text.to_owned()
        };
        if let Some(start) = whole.strip_suffix(" <unfinished ...>") {
            begun.insert(tid, start.to_owned());
        } else if let Some(start) = whole.strip_suffix(" <unfinished ...>) = ?") {
            calls.push(call(&format!("{start}) = ?"))?);
        } else {
            calls.push(call(&whole)?);
        }
    }
    for (tid, start) in begun {
        threads
            .calls
            .entry(tid)
            .or_default()
            .push(call(&format!("{start}) = ?"))?);
    }
    Ok(threads)
}

fn call(text: &str) -> Result<Line> {
    let (name, rest) = text
        .split_once('(')
        .with_context(|| format!("no call: {text:?}"))?;
    let text = without_duration(rest);
    // strace pads what stands before the equals sign to a column.
    let equals = text
        .rfind(" = ")
        .with_context(|| format!("no result: {text:?}"))?;
    // A result may itself hold an equals sign in what stands in parentheses behind it.
    let equals = (0..=equals)
        .rev()
        .find(|at| {
            text.get(*at..).is_some_and(|tail| tail.starts_with(" = "))
                && text.get(..*at).is_some_and(|head| head.trim_end().ends_with(')'))
                && balanced(text.get(..*at).unwrap_or_default().trim_end())
        })
        .unwrap_or(equals);
    let head = text.get(..equals).unwrap_or_default().trim_end();
    let head = head.strip_suffix(')').unwrap_or(head);
    Ok(Line {
        name: name.to_owned(),
        args: arguments(head),
        result: text.get(equals + 3..).unwrap_or_default().to_owned(),
    })
}

fn without_duration(text: &str) -> &str {
    match text.rsplit_once(" <") {
        Some((start, end))
            if end.ends_with('>')
                && end
                    .trim_end_matches('>')
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.') =>
        {
            start
        }
        _ => text,
    }
}

/// Whether `text` closes one parenthesis more than it opens, outside of quotes.
fn balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    walk(text, |byte, _| match byte {
        b'(' => depth += 1,
        b')' => depth -= 1,
        _ => {}
    });
    depth == -1
}

/// Calls `on` for each byte outside of quotes.
fn walk(text: &str, mut on: impl FnMut(u8, usize)) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if !quoted => on(byte, at),
            _ => {}
        }
    }
}

/// The text without what stands in angle brackets behind descriptors.
fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut depth = 0_u32;
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
        match byte {
            b'<' if !quoted
                && (depth > 0 || before.is_some_and(|byte| byte.is_ascii_digit() || byte == b'D')) =>
            {
                depth += 1;
            }
            b'>' if depth > 0 && before != Some(b'-') => depth -= 1,
            b'"' if depth == 0 && before != Some(b'\\') => {
                quoted = !quoted;
                out.push(*byte);
            }
            _ if depth == 0 => out.push(*byte),
            _ => {}
        }
    }
    String::from_utf8_lossy(&out).replace("(deleted)", "")
}

/// Splits at the commas of the outermost level.
fn arguments(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut cuts = Vec::new();
    let mut depth = 0_i32;
    walk(text, |byte, at| match byte {
        b'(' | b'[' | b'{' => depth += 1,
        b')' | b']' | b'}' => depth -= 1,
        b',' if depth == 0 => cuts.push(at),
        _ => {}
    });
    let mut out = Vec::new();
    let mut start = 0;
    for cut in cuts {
        out.push(text.get(start..cut).unwrap_or_default().trim().to_owned());
        start = cut + 1;
    }
    out.push(text.get(start..).unwrap_or_default().trim().to_owned());
    out
}

/// Where in a line a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Any argument, or the result.
    Any,
    /// One of its arguments, from 1.
    Argument(usize),
    /// Its result.
    Result,
    /// What stands in angle brackets behind descriptors, wherever in the line; all the rest is the same.
    Name,
}

/// A difference that is known and explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The call; `*` for any.
    pub call: String,
    /// Where in its line.
    pub place: Place,
    /// A piece that strace's text there holds; empty for any.
    pub theirs: String,
    /// A piece that ours holds; empty for any.
    pub ours: String,
}

/// Reads the table of `differences.md`: `| call | place | strace has | we have | why |`.
///
/// # Errors
/// A row has another shape.
pub fn explained(table: &str) -> Result<Vec<Explained>> {
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let [call, place, theirs, ours, why] = cells.as_slice() else {
            bail!("not five cells: {line}");
        };
        if why.is_empty() {
            bail!("not explained: {line}");
        }
        rows.push(Explained {
            call: (*call).to_owned(),
            place: match *place {
                "any" => Place::Any,
                "result" => Place::Result,
                "name" => Place::Name,
                number => Place::Argument(number.parse().with_context(|| format!("no place: {line}"))?),
            },
            theirs: theirs.replace("\\|", "|"),
            ours: ours.replace("\\|", "|"),
        });
    }
    Ok(rows)
}

/// How two logs of the same run compare.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Calls that were compared.
    pub calls: usize,
    /// Those whose lines are the same.
    pub same: usize,
    /// Threads whose names and results are not the same, in words.
    pub sequences: Vec<String>,
    /// Differences of arguments or results that nothing explains: call, theirs, ours.
    pub unexplained: Vec<String>,
    /// Signals that both have.
    pub signals: usize,
    /// Threads whose signals are not the same, in words.
    pub other_signals: Vec<String>,
    /// How often each explanation was needed.
    pub used: Vec<usize>,
}

/// Compares the calls of each thread of `theirs` with ours. Ours may begin earlier: before the first `execve`, strace
/// had not looked.
#[must_use]
pub fn compare(theirs: &Threads, ours: &Threads, known: &[Explained]) -> Comparison {
    let mut out = Comparison {
        used: vec![0; known.len()],
        ..Comparison::default()
    };
    let empty = Vec::new();
    for (place, tid) in theirs.order.iter().enumerate() {
        let wanted = theirs.calls.get(tid).unwrap_or(&empty);
        let mut found = ours.calls.get(tid).unwrap_or(&empty).as_slice();
        let mut start = 0;
        if place == 0 {
            start = found.iter().position(|line| line.name == "execve").unwrap_or(0);
            found = found.get(start..).unwrap_or_default();
        }
        compare_signals(&mut out, *tid, theirs, ours, start);
        for (index, line) in wanted.iter().enumerate() {
            out.calls += 1;
            let Some(other) = found.get(index) else {
                out.sequences
                    .push(format!("{tid}: ours ends before {}", line.text()));
                break;
            };
            let mut is_known =
                |place, one: &str, two: &str| is_known(known, &mut out.used, &line.name, place, one, two);
            // The group ended between the return of the call and strace's look at it: the tracepoint comes first
            // (kernel/entry/common.c, syscall_exit_work, 6.1).
            let ended = line.result == "?" && index + 1 == wanted.len() && line.name == other.name;
            if (line.name.as_str(), line.value()) != (other.name.as_str(), other.value())
                && !ended
                && !is_known(Place::Result, &line.result, &other.result)
            {
                out.sequences.push(format!(
                    "{tid}, call {index}:\n    strace {}\n    ours   {}",
                    line.text(),
                    other.text()
                ));
                break;
            }
            // A signal killed the thread before strace came to what the call filled in.
            if line.result == "?" && other.result != "?" {
                continue;
            }
            if line.text() == other.text() {
                out.same += 1;
                continue;
            }
            let mut what = String::new();
            if line.result != other.result && !is_known(Place::Result, &line.result, &other.result) {
                let _ = write!(what, " result");
            }
            for at in 0..line.args.len().max(other.args.len()) {
                let one = line.args.get(at).map_or("", String::as_str);
                let two = other.args.get(at).map_or("", String::as_str);
                if one != two && !is_known(Place::Argument(at + 1), one, two) {
                    let _ = write!(what, " {}", at + 1);
                }
            }
            if !what.is_empty() {
                out.unexplained.push(format!(
                    "{}{what}\n    strace {}\n    ours   {}",
                    line.name,
                    line.text(),
                    other.text()
                ));
            }
        }
        // A thread that is killed while its tracer holds it at an entry does not make the call, and the kernel returns what
        // it had put there (kernel/entry/common.c, syscall_trace_enter, 6.1): the tracer may never have seen it.
        if let Some(more) = found.get(wanted.len())
            && !(found.len() == wanted.len() + 1 && more.value() == "-1 ENOSYS")
        {
            out.sequences
                .push(format!("{tid}: strace ends before {}", more.text()));
        }
    }
    out
}

/// Signals of a thread: in the same order, with the same `siginfo`. Before `start` calls of ours, strace had not looked.
fn compare_signals(out: &mut Comparison, tid: u32, theirs: &Threads, ours: &Threads, start: usize) {
    let lines = |threads: &Threads, start: usize| -> Vec<String> {
        let signals = threads.signals.get(&tid).map_or(&[][..], Vec::as_slice);
        let seen = signals.iter().filter(|(calls, _)| start == 0 || *calls > start);
        seen.map(|(_, text)| text.clone()).collect()
    };
    let (wanted, found) = (lines(theirs, 0), lines(ours, start));
    if wanted == found {
        out.signals += wanted.len();
    } else {
        out.other_signals
            .push(format!("{tid}:\n    strace {wanted:?}\n    ours   {found:?}"));
    }
}

fn is_known(
    known: &[Explained],
    used: &mut [usize],
    call: &str,
    place: Place,
    theirs: &str,
    ours: &str,
) -> bool {
    // Names of descriptors stand in many places; all the rest has to be the same there.
    let place = if bare(theirs) == bare(ours) {
        Place::Name
    } else {
        place
    };
    for (row, used) in known.iter().zip(used) {
        if (row.call == "*" || row.call == call)
            && (row.place == place || (row.place == Place::Any && place != Place::Name))
            && theirs.contains(&row.theirs)
            && ours.contains(&row.ours)
        {
            *used += 1;
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let log = "12   1.5 openat(AT_FDCWD</>, \"a, (b\\\" = \", O_RDONLY) = 3</a, (b> <0.000012>\n\
            12   1.6 poll([{fd=3, events=POLLIN}], 1, 0)      = 1 ([{fd=3, revents=POLLIN}]) <0.000001>\n\
            13   1.6 read(3,  <unfinished ...>\n\
            12   1.7 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
            13   1.7 <... read resumed>\"x\", 1) = 1 <0.1>\n\
            13   1.8 exit_group(0)                     = ?\n\
            14   1.8 pause( <unfinished ...>\n\
            14   1.9 +++ killed by SIGKILL +++\n";
        let threads = parse(log).unwrap();
        assert_eq!(threads.order, [12, 13, 14]);
        let line = &threads.calls[&12][0];
        assert_eq!(line.args, ["AT_FDCWD</>", "\"a, (b\\\" = \"", "O_RDONLY"]);
        assert_eq!(line.value(), "3");
        assert_eq!(threads.calls[&12][1].result, "1 ([{fd=3, revents=POLLIN}])");
        assert_eq!(threads.calls[&13][0].text(), "read(3, \"x\", 1) = 1");
        assert_eq!(threads.calls[&13][1].value(), "?");
        assert_eq!(threads.calls[&14][0].text(), "pause() = ?");
    }

    #[test]
    fn signals_are_compared_thread_by_thread() {
        let theirs = "1 1.0 execve(\"a\") = 0\n1 1.1 --- SIGHUP {a} ---\n1 1.1 --- stopped by SIGSTOP ---\n";
        let early = "1 0.1 --- SIGSTOP {b} ---\n1 0.2 kill(1) = 0\n1 0.3 --- SIGSTOP {b} ---\n";
        let ours = format!("{early}{theirs}");
        let out = compare(&parse(theirs).unwrap(), &parse(&ours).unwrap(), &[]);
        assert_eq!(
            (out.signals, out.other_signals.len()),
            (1, 0),
            "{:?}",
            out.other_signals
        );
        let other = ours.replace("SIGHUP {a}", "SIGHUP {c}");
        let out = compare(&parse(theirs).unwrap(), &parse(&other).unwrap(), &[]);
        assert_eq!((out.signals, out.other_signals.len()), (0, 1));
    }

    #[test]
    fn the_last_call_of_a_thread_may_have_returned_before_strace_looked() {
        let theirs =
            "1 1.0 futex(0x1) = ?\n1 1.1 +++ exited with 0 +++\n2 1.0 futex(0x1) = ?\n2 1.1 close(1) = 0\n";
        let ours = "1 1.0 futex(0x1) = 0\n2 1.0 futex(0x1) = 0\n2 1.1 close(1) = 0\n";
        let comparison = compare(&parse(theirs).unwrap(), &parse(ours).unwrap(), &[]);
        let [only] = comparison.sequences.as_slice() else {
            panic!("{:?}", comparison.sequences);
        };
        assert!(only.starts_with("2, call 0"), "{only}");
    }

    #[test]
    fn a_tracer_may_not_have_seen_a_thread_killed_at_the_entry_of_its_last_call() {
        let theirs = parse("1 1.0 close(1) = 0\n1 1.1 +++ exited with 0 +++\n").unwrap();
        let ours = |more: &str| parse(&format!("1 1.0 close(1) = 0\n{more}")).unwrap();
        let unlike = |more: &str| compare(&theirs, &ours(more), &[]).sequences.len();
        assert_eq!(
            unlike("1 1.1 futex(0x1) = -1 ENOSYS (Function not implemented)\n"),
            0
        );
        assert_eq!(unlike("1 1.1 futex(0x1) = 0\n"), 1);
        assert_eq!(unlike("1 1.1 futex(0x1) = ? ENOSYS\n"), 1);
        assert_eq!(
            unlike("1 1.1 futex(0x1) = -1 ENOSYS (x)\n1 1.2 futex(0x1) = -1 ENOSYS (x)\n"),
            1
        );
    }

    #[test]
    fn names_of_descriptors_are_told_apart() {
        assert_eq!(bare("3</a<char 1:3>>"), "3");
        assert_eq!(
            bare("[{fd=3<TCP:[1.2.3.4:5->6.7.8.9:1]>, events=POLLIN}]"),
            "[{fd=3, events=POLLIN}]"
        );
        assert_eq!(bare("AT_FDCWD</x>"), "AT_FDCWD");
        assert_eq!(bare("3</x>(deleted)"), "3");
        assert_eq!(bare("\"3<a>\""), "\"3<a>\"");
    }

    #[test]
    fn what_differs_is_told() {
        let one = parse("1 1.0 a(1, 2) = 0\n1 1.0 b(1) = 5\n1 1.0 c() = 0\n").unwrap();
        let two = parse("1 1.0 a(1, 3) = 0\n1 1.0 b(1) = 6\n1 1.0 c() = 0\n").unwrap();
        let out = compare(&one, &two, &[]);
        assert_eq!((out.unexplained.len(), out.sequences.len()), (1, 1));
        let known =
            explained("| `a` | 2 | `2` | `3` | because |\n| `b` | result | `5` | `6` | why not |\n").unwrap();
        let out = compare(&one, &two, &known);
        assert_eq!((out.unexplained.len(), out.sequences.len(), out.same), (0, 0, 1));
        assert_eq!(out.used, [1, 2]);
        assert!(explained("| `a` | 2 | `2` | `3` |  |").is_err());
    }
}
