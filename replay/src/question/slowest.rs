//! What took longest: calls, block requests, requests of io_uring, and calls that had not returned at the end.
//!
//! Calls that wait by design (`epoll_wait`, `futex`, `wait4`, `nanosleep`) are the longest of every recording, so they
//! have a list of their own: neither hides the other. So have block requests: whether a slow `write` waited for its
//! device, or for something above it, is seen by looking at both.

use super::columns::{Columns, Side};
use super::coverage::answer;
use super::{Coverage, Scope, kept, short, since_start, who};
use crate::view::{Context, View};
use crate::{call, render, value};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Seek};
use stillframe_format::event::{BlockAction, Body, Event, OpenCall, Return, Syscall, Uring};
use stillframe_format::{BootTime, abi};

use crate::timeline::Timeline;

/// Calls whose purpose is to wait for somebody else or for time to pass.
const WAITS: [&str; 30] = [
    "accept",
    "accept4",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "futex",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "io_getevents",
    "io_pgetevents",
    "io_uring_enter",
    "mq_timedreceive",
    "msgrcv",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pselect6",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "select",
    "_newselect",
    "semop",
    "semtimedop",
    "wait4",
    "waitid",
    "waitpid",
];

/// What kind of time it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A call that was to do something.
    Work,
    /// A block request, from its issue to the device to its completion.
    Block,
    /// A request of io_uring that was to do something, from its submission to its completion.
    Uring,
    /// A call that waits by design, or reads a pipe; a request of io_uring that waits.
    Wait,
    /// A call that had not returned when the recording ended: its age.
    Open,
}

impl Class {
    /// All, in the order of the answer.
    pub(super) const ALL: [Self; 5] = [Self::Work, Self::Block, Self::Uring, Self::Wait, Self::Open];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Block => "block",
            Self::Uring => "uring",
            Self::Wait => "wait",
            Self::Open => "open",
        }
    }
}

/// Whether a call waits by design.
pub(super) fn waits(call: &Syscall) -> bool {
    let name = call::name(call.abi, call.number);
    WAITS.contains(&name.as_ref())
        || (matches!(name.as_ref(), "read" | "readv")
            && call.descriptor.as_ref().is_some_and(|descriptor| {
                matches!(
                    descriptor.kind.as_str(),
                    "pipe" | "event" | "eventfd" | "timerfd" | "signalfd" | "inotify" | "tty"
                )
            }))
}

/// The same of a request of io_uring. What it is asked to receive it waits for: programs ask long before there is any.
pub(super) fn request_waits(request: &Uring) -> bool {
    matches!(
        request.opcode.and_then(abi::uring::name),
        Some(
            "ACCEPT"
                | "EPOLL_WAIT"
                | "FUTEX_WAIT"
                | "FUTEX_WAITV"
                | "LINK_TIMEOUT"
                | "POLL_ADD"
                | "READ_MULTISHOT"
                | "RECV"
                | "RECVMSG"
                | "RECV_ZC"
                | "TIMEOUT"
                | "WAITID"
        )
    )
}

/// One of the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Nanoseconds from entry to return, from issue or submission to completion, or the age.
    pub time: u64,
    /// Its event; 0 for a call that had not returned.
    pub num: u64,
    /// When it began; `None` when that was before the recording.
    pub began: Option<BootTime>,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
}

/// The longest of each class, as many as were asked for.
#[derive(Debug)]
pub struct Slowest {
    number: usize,
    work: Longest,
    block: Longest,
    uring: Longest,
    wait: Longest,
    open: Longest,
    /// Calls that had not returned, all of them.
    pub open_calls: u64,
}

/// Keeps the longest few. Of equal ones the earlier stays.
#[derive(Debug, Default)]
struct Longest(BinaryHeap<Reverse<(u64, Reverse<u64>, Place)>>);

/// Compares equal, so that only time and number order the heap.
#[derive(Debug)]
struct Place(Spent);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Longest {
    /// Text is made only of what gets in.
    fn offer(&mut self, number: usize, time: u64, num: u64, make: impl FnOnce() -> Spent) {
        if self.0.len() >= number {
            let gets_in = self
                .0
                .peek()
                .is_some_and(|Reverse((least, at, _))| (time, Reverse(num)) > (*least, *at));
            if !gets_in {
                return;
            }
            self.0.pop();
        }
        self.0.push(Reverse((time, Reverse(num), Place(make()))));
    }

    /// Whether there may be room for one that took so long.
    fn takes(&self, number: usize, time: u64) -> bool {
        self.0.len() < number || self.0.peek().is_some_and(|Reverse((least, ..))| time >= *least)
    }

    fn sorted(&self) -> Vec<&Spent> {
        let mut all: Vec<&Spent> = self.0.iter().map(|Reverse((_, _, place))| &place.0).collect();
        all.sort_by_key(|spent| (Reverse(spent.time), spent.num));
        all
    }
}

impl Slowest {
    /// Keeps the `number` longest of each class.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            number,
            work: Longest::default(),
            block: Longest::default(),
            uring: Longest::default(),
            wait: Longest::default(),
            open: Longest::default(),
            open_calls: 0,
        }
    }

    /// Takes an event.
    pub fn take(&mut self, view: &View<'_>) {
        let num = view.event.num;
        let (time, list) = match &view.event.body {
            Body::Syscall(call) => match call.duration {
                // Names are looked at only where a list may take it.
                Some(spent)
                    if !self.work.takes(self.number, spent) && !self.wait.takes(self.number, spent) =>
                {
                    return;
                }
                Some(spent) if waits(call) => (spent, &mut self.wait),
                Some(spent) => (spent, &mut self.work),
                None => return,
            },
            Body::Block(block) if block.action == BlockAction::Complete => match block.latency {
                Some(spent) => (spent, &mut self.block),
                None => return,
            },
            Body::Uring(request) => match request.step.latency() {
                Some(spent) if request_waits(request) => (spent, &mut self.wait),
                Some(spent) => (spent, &mut self.uring),
                None => return,
            },
            _ => return,
        };
        list.offer(self.number, time, num, || Spent {
            time,
            num,
            began: Some(BootTime(view.event.time.0.saturating_sub(time))),
            who: match &view.event.body {
                // Whoever was on the CPU when a device was done has nothing to do with it.
                Body::Block(_) => view.container_name().map_or_else(|| "-".to_owned(), kept),
                body => body.task().map(|task| who(task)).unwrap_or_default(),
            },
            what: what(view),
        });
    }

    /// Takes the calls that had not returned when the last slice was sealed, as far as the scope means them.
    pub fn take_open<R: Read + Seek>(
        &mut self,
        timeline: &mut Timeline<R>,
        context: &Context,
        scope: &Scope,
    ) {
        if !scope.is_open_ended() {
            return;
        }
        let Some(last) = timeline.bundle().slices().last() else {
            return;
        };
        let end = last.to.min(context.end);
        for open in &timeline.open_at_end() {
            let age = end.since(open.enter.unwrap_or(context.start));
            // What is known of it is asked as if it returned never.
            let event = Event {
                num: u64::MAX,
                time: end,
                late: false,
                body: Body::Syscall(Box::new(seen(open, age))),
            };
            if !scope.filter.matches(&event, context) {
                continue;
            }
            self.open_calls = self.open_calls.saturating_add(1);
            self.open
                .offer(self.number, age, u64::from(open.task.tid), || Spent {
                    time: age,
                    num: 0,
                    began: open.enter,
                    who: who(&open.task),
                    what: kept(&format!("{} <unfinished ...>", call::open_text(open))),
                });
        }
    }

    /// The longest of a class, longest first.
    #[must_use]
    pub fn of(&self, class: Class) -> Vec<&Spent> {
        match class {
            Class::Work => self.work.sorted(),
            Class::Block => self.block.sorted(),
            Class::Uring => self.uring.sorted(),
            Class::Wait => self.wait.sorted(),
            Class::Open => self.open.sorted(),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.work, &self.block, &self.uring, &self.wait, &self.open]
            .iter()
            .all(|list| list.0.is_empty())
    }

    /// One list in columns, lines ended.
    #[must_use]
    pub fn list(&self, class: Class, context: &Context) -> String {
        let mut columns = Columns::new(&[
            (if class == Class::Open { "AGE" } else { "TOOK" }, Side::Right),
            ("EVENT", Side::Right),
            ("BEGAN", Side::Right),
            ("WHO", Side::Left),
            ("WHAT", Side::Left),
        ]);
        for spent in self.of(class) {
            let unknown = spent.began.is_none();
            columns.push(vec![
                format!("{}{}", if unknown { ">" } else { "" }, short(spent.time)),
                if spent.num == 0 {
                    "-".to_owned()
                } else {
                    format!("#{}", spent.num)
                },
                spent
                    .began
                    .map_or_else(|| "before".to_owned(), |began| since_start(began, context)),
                spent.who.clone(),
                spent.what.clone(),
            ]);
        }
        columns.text()
    }

    /// All lists, lines ended.
    #[must_use]
    pub fn text(&self, context: &Context) -> String {
        let mut out = String::new();
        for (class, title) in [
            (Class::Work, "Slowest calls".to_owned()),
            (
                Class::Block,
                "Slowest block requests, from issue to completion".to_owned(),
            ),
            (
                Class::Uring,
                "Slowest requests of io_uring, from submission to completion".to_owned(),
            ),
            (
                Class::Wait,
                "Longest waits (calls that wait by design)".to_owned(),
            ),
            (
                Class::Open,
                format!("Not returned at the end: {}", calls(self.open_calls)),
            ),
        ] {
            if self.of(class).is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&title);
            out.push('\n');
            out.push_str(&self.list(class, context));
        }
        out
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(&self, scope: &Scope, coverage: &Coverage, context: &Context) -> Value {
        let rows = self.rows(context);
        answer(
            "slowest",
            scope,
            vec![("open_calls", self.open_calls.into()), ("rows", rows.into())],
            coverage,
            context,
        )
    }

    /// Lists for programs.
    pub(super) fn rows(&self, context: &Context) -> Vec<Value> {
        let mut rows = Vec::new();
        for class in Class::ALL {
            for spent in self.of(class) {
                let mut row = Map::new();
                row.insert("class".to_owned(), class.name().into());
                row.insert("time_ns".to_owned(), spent.time.into());
                if spent.num != 0 {
                    row.insert("event".to_owned(), spent.num.into());
                }
                match spent.began {
                    Some(began) => context.put_time(&mut row, "began", began),
                    None => {
                        row.insert("began_before".to_owned(), true.into());
                    }
                }
                row.insert("who".to_owned(), spent.who.clone().into());
                row.insert("what".to_owned(), spent.what.clone().into());
                rows.push(Value::Object(row));
            }
        }
        rows
    }

    /// The longest one of a class in words, for a headline.
    pub(super) fn headline(&self, class: Class) -> Option<String> {
        let longest = *self.of(class).first()?;
        let what = longest.what.chars().take(120).collect::<String>();
        Some(format!(
            "{}: {what} (#{})",
            value::duration(i128::from(longest.time)),
            longest.num
        ))
    }
}

/// A number of calls in words.
pub(super) fn calls(number: u64) -> String {
    match number {
        1 => "1 call".to_owned(),
        more => format!("{more} calls"),
    }
}

/// The event in words, without its length, which has a column.
fn what(view: &View<'_>) -> String {
    let text = render::summary(view);
    let text = match text.rfind(" <") {
        Some(at) if text.ends_with('>') => text.get(..at).unwrap_or(&text),
        _ => &text,
    };
    kept(text)
}

fn seen(open: &OpenCall, age: u64) -> Syscall {
    Syscall {
        task: std::sync::Arc::new(open.task.clone()),
        abi: open.abi,
        number: open.number,
        args: open.args,
        ret: Return::Never,
        duration: Some(age),
        cpu: 0,
        descriptor: None,
        data: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_format::event::UringStep;

    fn spent(time: u64, num: u64) -> Spent {
        Spent {
            time,
            num,
            began: None,
            who: String::new(),
            what: String::new(),
        }
    }

    #[test]
    fn the_longest_stay_and_of_equal_ones_the_first() {
        let mut longest = Longest::default();
        for (num, time) in [5, 1, 9, 9, 2, 9, 7].into_iter().enumerate() {
            let num = num as u64;
            longest.offer(3, time, num, || spent(time, num));
        }
        let found: Vec<_> = longest
            .sorted()
            .iter()
            .map(|spent| (spent.time, spent.num))
            .collect();
        assert_eq!(found, [(9, 2), (9, 3), (9, 5)]);
    }

    #[test]
    fn none_is_kept_when_none_is_wanted() {
        let mut longest = Longest::default();
        longest.offer(0, 5, 1, || spent(5, 1));
        assert!(longest.sorted().is_empty());
    }

    #[test]
    fn waits_are_told_from_work() {
        let read = crate::fixture::openat(3);
        assert!(!waits(&read));
        let futex = Syscall { number: 202, ..read };
        assert!(waits(&futex));
        let mut request = crate::fixture::request(UringStep::Complete {
            result: 0,
            flags: 0,
            latency: Some(1),
        });
        assert!(!request_waits(&request));
        request.opcode = Some(6);
        assert_eq!(abi::uring::name(6), Some("POLL_ADD"));
        assert!(request_waits(&request));
    }
}
