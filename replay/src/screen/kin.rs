//! What an event belongs to, as filters: its thread, its process, and the thing that it is about.

use crate::field;
use crate::view::View;
use stillframe_format::event::Body;

/// Filters that mean the events that belong together with one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kin {
    /// The process.
    pub pid: Option<u32>,
    /// Events of the same thread.
    pub thread: Option<String>,
    /// Events of the same descriptor, connection, request or log.
    pub thing: Option<String>,
}

impl Kin {
    /// That of an event.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        let task = view.event.body.task().filter(|task| task.pid != 0);
        let pid = task.map(|task| task.pid);
        Self {
            pid,
            thread: task.map(|task| format!("thread.tid={}", task.tid)),
            thing: thing(view),
        }
    }
}

fn thing(view: &View<'_>) -> Option<String> {
    let get = |name: &str| {
        let found = field::find(name).ok()?;
        found.get(view).map(|value| value.to_text())
    };
    match &view.event.body {
        Body::Syscall(call) => {
            let fd = get("fd.num")?;
            Some(format!("proc.pid={} and fd.num={fd}", call.task.pid))
        }
        Body::Process(process) => Some(format!("proc.pid={}", process.task.pid)),
        Body::Packet(_) => connection(&get),
        Body::Block(_) => Some(format!(
            "blk.dev={} and blk.sector={}",
            get("blk.dev")?,
            get("blk.sector")?
        )),
        Body::Uring(_) => Some(format!(
            "uring.ring={} and uring.user_data={}",
            get("uring.ring")?,
            get("uring.user_data")?
        )),
        Body::Log(_) => Some(format!(
            "evt.stream=log and container.id={}",
            quoted(&get("container.id")?)
        )),
        Body::Metrics(_) => Some(format!(
            "evt.stream=metrics and container.id={}",
            quoted(&get("container.id")?)
        )),
        other => Some(format!("evt.stream={}", other.stream().name())),
    }
}

/// Text of a bundle as a value in a filter.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Packets both ways.
fn connection(get: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut text = format!("ip.addr={} and ip.addr={}", get("ip.src")?, get("ip.dst")?);
    for protocol in ["tcp", "udp"] {
        let port = |side: &str| get(&format!("{protocol}.{side}port"));
        if let (Some(source), Some(destination)) = (port("src"), port("dst")) {
            text.push_str(&format!(
                " and {protocol}.port={source} and {protocol}.port={destination}"
            ));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::fixture;

    #[test]
    fn an_event_is_among_its_own_kin() {
        let context = fixture::context();
        let mut things = 0;
        for event in fixture::events() {
            let view = View::new(&event, &context);
            let kin = Kin::of(&view);
            for text in [&kin.thread, &kin.thing].into_iter().flatten() {
                let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(filter.matches(&event, &context), "{text}: {event:?}");
                things += 1;
            }
        }
        assert!(things > 12, "{things}");
    }
}
