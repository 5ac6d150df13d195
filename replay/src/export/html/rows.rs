//! One row of numbers and a text for each event; what repeats stands in dictionaries.
//!
//! `[number, time, duration, type, thread, container, flags, error, text]`: number and time as differences to the row
//! before, -1 where there is none.

use super::dictionary::Dictionary;
use crate::field::event_type;
use crate::render;
use crate::view::{Context, View};
use crate::{call, escape};
use serde_json::{Value, json};
use stillframe_format::event::{BlockAction, Body, ProcessChange, Stream};

/// The longest text of an event, in characters; the page says how to get the whole.
const TEXT_MAX: usize = 600;

const FAILED: u8 = 1;
const LATE: u8 = 2;
const CUT: u8 = 4;

/// What rows refer to.
#[derive(Debug, Default)]
pub(super) struct Rows {
    count: u64,
    num: u64,
    time: i64,
    types: Dictionary<(Stream, String)>,
    threads: Dictionary<(u32, u32, String)>,
    containers: Dictionary<String>,
    errors: Dictionary<i32>,
}

impl Rows {
    /// Rows so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The row of an event.
    pub(super) fn row(&mut self, view: &View<'_>) -> Value {
        let event = view.event;
        let body = &event.body;
        let kind = self.types.number((body.stream(), event_type(body).into_owned()));
        let thread = body.task().filter(|task| task.tid != 0 || !task.comm.is_empty());
        let thread = thread.map(|task| {
            let comm = escape::bytes(&task.comm).into_owned();
            self.threads.number((task.pid, task.tid, comm))
        });
        let container = view.container().map(|id| self.containers.number(id.to_owned()));
        let (duration, errno) = match body {
            Body::Syscall(call) => (call.duration, call.ret.errno()),
            Body::Block(block) => (
                block.latency.filter(|_| block.action == BlockAction::Complete),
                (block.error != 0).then_some(block.error),
            ),
            Body::Uring(request) => (request.step.latency(), request.errno()),
            _ => (None, None),
        };
        let ended_badly = matches!(
            body,
            Body::Process(process) if match &process.change {
                ProcessChange::Exit { status, signal, last: true, .. } => *status != 0 || *signal != 0,
                ProcessChange::Signal(sent) => sent.fatal,
                ProcessChange::OomKill(_) => true,
                _ => false,
            }
        );
        let mut flags = 0;
        if errno.is_some() || ended_badly {
            flags |= FAILED;
        }
        if event.late {
            flags |= LATE;
        }
        let mut text = render::summary(view);
        if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
            text.truncate(end);
            text.push('…');
            flags |= CUT;
        }
        let time = super::relative(event.time, view.context);
        let row = json!([
            event.num.saturating_sub(self.num),
            time.saturating_sub(self.time),
            number(duration),
            kind,
            number(thread),
            number(container),
            flags,
            number(errno.map(|errno| self.errors.number(errno))),
            text,
        ]);
        (self.num, self.time) = (event.num, time);
        self.count += 1;
        row
    }

    /// What the rows' numbers stand for.
    pub(super) fn dictionaries(&self, context: &Context) -> [(&'static str, Value); 4] {
        let types: Vec<Value> = self
            .types
            .values()
            .iter()
            .map(|(stream, name)| json!([*stream as u8, name]))
            .collect();
        let threads: Vec<Value> = self
            .threads
            .values()
            .iter()
            .map(|(pid, tid, comm)| json!([pid, tid, comm]))
            .collect();
        let containers: Vec<&str> = self
            .containers
            .values()
            .iter()
            .map(|id| {
                let name = context.containers.get(id).map(String::as_str);
                name.or_else(|| id.get(..12)).unwrap_or(id)
            })
            .collect();
        let errors: Vec<String> = self
            .errors
            .values()
            .iter()
            .map(|errno| call::errno_name(*errno))
            .collect();
        [
            ("types", types.into()),
            ("threads", threads.into()),
            ("containers", json!(containers)),
            ("errors", json!(errors)),
        ]
    }
}

/// A number, or -1 for none.
fn number<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or(Value::from(-1), Into::into)
}
