//! Logs: what the engine, the container and the kernel wrote, the look-back before the capture included.

use crate::render;
use crate::value::rfc3339;
use crate::view::{Context, View};
use crate::{escape, open};
use serde_json::{Map, Value};
use stillframe_format::event::{Body, Event, Stream};
use stillframe_format::stream::Stored;

/// Which logs are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All: both others, engine events and kernel messages.
    #[default]
    All,
    /// The journal of the engine's units.
    Engine,
    /// What the containers wrote to stdout and stderr.
    Container,
}

impl Which {
    /// Whether an event is one of them, or a hole in one of them.
    #[must_use]
    pub fn includes(self, body: &Body) -> bool {
        let stream = match body {
            Body::Loss(loss) => loss.stream,
            body => body.stream(),
        };
        match stream {
            Stream::Journal => matches!(self, Self::All | Self::Engine),
            Stream::Log => matches!(self, Self::All | Self::Container),
            Stream::Kernel | Stream::Engine => self == Self::All,
            _ => false,
        }
    }
}

/// An entry of the look-back as an event; its number is 0, which no event has.
#[must_use]
pub fn before_the_first(stored: Stored) -> Event {
    Event {
        num: 0,
        time: stored.time,
        late: stored.late,
        body: stored.body,
    }
}

/// One line, without a line end: time, container where several were captured, text.
#[must_use]
pub fn line(view: &View<'_>) -> String {
    let own = if view.event.num == 0 {
        open::own_time(&view.event.body)
    } else {
        None
    };
    let time = match own.or_else(|| view.realtime()) {
        Some(realtime) => view.context.zone.stamp(realtime),
        None => render::mapped_time(view.event.time, view.context),
    };
    let container = match view.container_name().or_else(|| view.container()) {
        Some(name) if several(view.context) => format!("{name} "),
        _ => String::new(),
    };
    let text = format!("{time} {container}{}", render::summary(view));
    escape::line(&text).into_owned()
}

fn several(context: &Context) -> bool {
    context.containers.len() > 1
}

/// The JSON object of an entry: the keys of events. One of the look-back has no number, and no time but its own.
#[must_use]
pub fn object(view: &View<'_>) -> Map<String, Value> {
    let mut object = render::object(view);
    if view.event.num == 0 {
        for key in ["evt.num", "evt.boottime", "evt.late"] {
            object.shift_remove(key);
        }
        if let Some(realtime) = open::own_time(&view.event.body) {
            object.insert("evt.time".to_owned(), rfc3339(realtime).into());
        }
    }
    object
}
