//! A trace that Perfetto (<https://ui.perfetto.dev>) and `chrome://tracing` open: Chrome's trace event JSON.
//!
//! Tracks: a process group for each process with a track for each thread; one for each container (logs, engine events,
//! counters) and for each block device; one for connections, one for the host's logs, one for holes. Calls are complete
//! events, block requests and holes are asynchronous ones (they overlap), packets, logs and engine events are instants,
//! metrics are counters. Times are microseconds since the recording began, as `+5s` means
//! them; what is from before that stands at zero.
//!
//! Written as it is read, one event a line: memory is bounded by tables of tracks that have a limit each.

use super::Exported;
use crate::field::{block_operation, without_line_end};
use crate::question::{Scope, ends};
use crate::timeline::{Damage, Item, Timeline};
use crate::view::{Context, View};
use crate::{call, escape, journal, open, packet, render, uring};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::event::{
    Block, BlockAction, Body, Loss, Metrics, OpenCall, Packet, Process, ProcessChange, Syscall, Task, Uring,
    UringStep,
};

/// The first number of process groups that are no processes: above every pid that Linux gives (2^22).
const GROUPS: u32 = 1 << 30;
const CONNECTIONS: u32 = GROUPS + 1;
const HOST: u32 = GROUPS + 2;
const HOLES: u32 = GROUPS + 3;
const CONTAINERS: u32 = GROUPS + 16;
const DEVICES: u32 = GROUPS + (1 << 16);
/// The most threads whose names are remembered. Those after them have tracks, but are named by number.
const THREADS_MAX: usize = 1 << 18;
/// The most tracks of one group. What comes after them shares the last one.
const TRACKS_MAX: usize = 1 << 12;
/// The track of what happened to a device's requests.
const REQUESTS: &str = "requests";
/// The longest text of an argument, in characters.
const TEXT_MAX: usize = 500;

/// Writes the trace of all events of the scope.
///
/// # Errors
/// When the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    scope: &Scope,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    let mut trace = Trace {
        out,
        first: true,
        context,
        threads: HashMap::new(),
        tracks: BTreeMap::new(),
        containers: BTreeMap::new(),
        devices: BTreeMap::new(),
    };
    trace
        .out
        .write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    for (group, name, order) in [
        (HOLES, "holes", 0),
        (CONNECTIONS, "connections", 2),
        (HOST, "host logs", 4),
    ] {
        trace.group(group, name, order)?;
    }
    timeline.each(&scope.range, |item| {
        match item {
            Item::Event(event) if scope.filter.is_all() || scope.filter.matches(event, context) => {
                trace.event(&View::new(event, context))?;
                exported.items += 1;
            }
            Item::Event(_) => {}
            Item::Damage(damage) => {
                trace.damage(damage)?;
                exported.damages.push(damage.clone());
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    if scope.filter.is_all()
        && scope.is_open_ended()
        && let Some(last) = timeline.bundle().slices().last().map(|slice| slice.to)
    {
        for open in &timeline.open_at_end() {
            trace.open(open, last)?;
        }
    }
    let bundle = timeline.bundle();
    let mut other = Map::new();
    other.insert("bundle".to_owned(), bundle.header().id.clone().into());
    other.insert("complete".to_owned(), bundle.condition().is_complete().into());
    if let Some(shortfall) = open::shortfall(bundle.condition(), context) {
        other.insert("shortfall".to_owned(), shortfall.into());
    }
    if let Some(realtime) = context.realtime(context.start) {
        other.insert("started".to_owned(), crate::value::rfc3339(realtime).into());
    }
    other.insert("started_boottime".to_owned(), context.start.0.into());
    let other = escape::json(Value::Object(other).to_string());
    writeln!(trace.out, "\n],\"otherData\":{other}}}")?;
    Ok(exported)
}

struct Trace<'a> {
    out: &'a mut dyn Write,
    first: bool,
    context: &'a Context,
    /// Names of threads as they were told last.
    threads: HashMap<(u32, u32), Vec<u8>>,
    /// Tracks of groups that are no processes: group, key, number.
    tracks: BTreeMap<(u32, String), u32>,
    /// Groups of containers by their ids.
    containers: BTreeMap<String, u32>,
    /// Groups of block devices by their names: Perfetto gives asynchronous events of one name and group one track.
    devices: BTreeMap<String, u32>,
}

/// Microseconds with three digits: what the format wants, and no nanosecond is lost. `f64` holds 104 days of them.
fn micros(nanoseconds: u64) -> Value {
    let text = format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000);
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Trace<'_> {
    /// A moment of the trace.
    fn at(&self, time: BootTime) -> Value {
        micros(time.since(self.context.start))
    }

    /// A stretch of the trace: begin and length. What is from before the recording is left out of it.
    fn stretch(&self, from: BootTime, to: BootTime) -> (Value, Value) {
        let from = from.max(self.context.start);
        (self.at(from), micros(to.since(from)))
    }

    fn put(&mut self, object: &Value) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.first, false) {
            "\n"
        } else {
            ",\n"
        };
        write!(self.out, "{comma}{}", escape::json(object.to_string()))
    }

    fn group(&mut self, pid: u32, name: &str, order: i64) -> io::Result<()> {
        self.put(
            &json!({"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": cut(name)}}),
        )?;
        self.put(&json!({"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": order}}))
    }

    /// Names a thread's track, and its process by its leader, when their names are new.
    fn thread(&mut self, task: &Task) -> io::Result<()> {
        let key = (task.pid, task.tid);
        if self.threads.get(&key).is_some_and(|comm| *comm == task.comm) {
            return Ok(());
        }
        if self.threads.len() >= THREADS_MAX && !self.threads.contains_key(&key) {
            return Ok(());
        }
        let is_new = self.threads.insert(key, task.comm.clone()).is_none();
        let comm = escape::bytes(&task.comm).into_owned();
        self.put(&json!({
            "ph": "M", "name": "thread_name", "pid": task.pid, "tid": task.tid, "args": {"name": comm},
        }))?;
        if task.pid != task.tid {
            return Ok(());
        }
        let container = self.container_name(&task.container);
        let name = match container {
            Some(container) => format!("{container}: {comm}"),
            None => comm,
        };
        if is_new {
            self.group(task.pid, &name, 10)
        } else {
            self.put(&json!({
                "ph": "M", "name": "process_name", "pid": task.pid, "tid": 0, "args": {"name": name},
            }))
        }
    }

    fn container_name(&self, id: &str) -> Option<String> {
        if id.is_empty() {
            return None;
        }
        let name = self.context.containers.get(id).map(String::as_str);
        Some(cut(&escape::line(name.or_else(|| id.get(..12)).unwrap_or(id))))
    }

    /// The group of a container, made when it is new.
    fn container(&mut self, id: &str) -> io::Result<u32> {
        if let Some(group) = self.containers.get(id) {
            return Ok(*group);
        }
        if self.containers.len() >= TRACKS_MAX {
            return Ok(HOST);
        }
        let group = CONTAINERS.saturating_add(u32::try_from(self.containers.len()).unwrap_or(0));
        self.containers.insert(id.to_owned(), group);
        let name = self
            .container_name(id)
            .unwrap_or_else(|| "no container".to_owned());
        self.group(group, &format!("container {name}"), 1)?;
        Ok(group)
    }

    /// The group of a block device, made when it is new.
    fn device(&mut self, block: &Block) -> io::Result<u32> {
        let name = match self.context.devices.get(&block.device) {
            Some(name) => cut(&escape::line(name)),
            None => block.device.to_string(),
        };
        if let Some(group) = self.devices.get(&name) {
            return Ok(*group);
        }
        let is_last = self.devices.len() + 1 >= TRACKS_MAX;
        let number = self.devices.len().min(TRACKS_MAX - 1);
        let group = DEVICES.saturating_add(u32::try_from(number).unwrap_or(0));
        if self.devices.len() >= TRACKS_MAX {
            return Ok(group);
        }
        let shown = if is_last { "others" } else { &name };
        self.group(group, &format!("block device {shown}"), 3)?;
        self.devices.insert(name, group);
        Ok(group)
    }

    /// A track of a group, made when it is new.
    fn track(&mut self, group: u32, name: &str) -> io::Result<u32> {
        let key = (group, cut(name));
        if let Some(track) = self.tracks.get(&key) {
            return Ok(*track);
        }
        let count = self
            .tracks
            .range((group, String::new())..(group + 1, String::new()))
            .count();
        let number = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        if count >= TRACKS_MAX {
            return Ok(number);
        }
        let text = if count + 1 == TRACKS_MAX {
            "others"
        } else {
            key.1.as_str()
        };
        let meta = json!({
            "ph": "M", "name": "thread_name", "pid": group, "tid": number, "args": {"name": escape::line(text)},
        });
        self.tracks.insert(key, number);
        self.put(&meta)?;
        Ok(number)
    }

    fn event(&mut self, view: &View<'_>) -> io::Result<()> {
        let (time, num) = (view.event.time, view.event.num);
        match &view.event.body {
            Body::Syscall(call) => self.call(time, num, call),
            Body::Process(process) => self.process(view, process),
            Body::Block(block) => self.block(view, block),
            Body::Uring(request) => self.request(view, request),
            Body::Packet(packet) => self.packet(view, packet),
            Body::Metrics(metrics) => self.metrics(time, metrics),
            Body::Loss(loss) => self.loss(num, loss),
            Body::Clock(_) => self.host(view, "clock", "wall clock stepped"),
            Body::Kernel(_) => self.host(view, "kernel", "kernel message"),
            Body::Journal(entry) => {
                let unit = journal::field(&entry.export, "_SYSTEMD_UNIT").unwrap_or(b"journal");
                let unit = escape::bytes(unit).into_owned();
                self.host(view, &unit, "journal")
            }
            Body::Engine(_) => {
                let name = view
                    .engine()
                    .and_then(|engine| engine.get("Action")?.as_str())
                    .unwrap_or("engine event")
                    .to_owned();
                let group = match view.container() {
                    Some(id) => self.container(id)?,
                    None => HOST,
                };
                self.instant(view, group, "engine", &name)
            }
            Body::Log(log) => {
                let group = self.container(&log.container)?;
                let track = crate::field::log_stream(log.stream);
                let text = escape::bytes(without_line_end(&log.bytes)).into_owned();
                self.instant(view, group, track, &text)
            }
        }
    }

    fn host(&mut self, view: &View<'_>, track: &str, name: &str) -> io::Result<()> {
        self.instant(view, HOST, track, name)
    }

    /// An instant on a track of a group.
    fn instant(&mut self, view: &View<'_>, group: u32, track: &str, name: &str) -> io::Result<()> {
        let track = self.track(group, track)?;
        self.put(&json!({
            "ph": "i", "s": "t", "cat": view.event.body.stream().name(), "name": cut(&escape::line(name)),
            "ts": self.at(view.event.time), "pid": group, "tid": track,
            "args": {"event": view.event.num, "text": cut(&render::summary(view))},
        }))
    }

    fn call(&mut self, time: BootTime, num: u64, call: &Syscall) -> io::Result<()> {
        self.thread(&call.task)?;
        let spent = call.duration.unwrap_or(0);
        let (ts, dur) = self.stretch(BootTime(time.0.saturating_sub(spent)), time);
        let mut args = Map::new();
        args.insert("event".to_owned(), num.into());
        args.insert("call".to_owned(), cut(&escape::line(&call::text(call))).into());
        args.insert("result".to_owned(), escape::line(&call::result(call)).into());
        if let Some(descriptor) = &call.descriptor {
            args.insert(
                "descriptor".to_owned(),
                cut(&escape::bytes(&descriptor.name)).into(),
            );
        }
        if let Some(errno) = call.ret.errno() {
            args.insert("error".to_owned(), call::errno_name(errno).into());
        }
        if call.duration.is_none() {
            args.insert("entry".to_owned(), "not seen".into());
        }
        let category = if call.ret.errno().is_some() {
            "syscall,failed"
        } else {
            "syscall"
        };
        self.put(&json!({
            "ph": "X", "cat": category, "name": call::name(call.abi, call.number),
            "ts": ts, "dur": dur,
            "pid": call.task.pid, "tid": call.task.tid, "args": args,
        }))
    }

    /// A call that had not returned: as long as it was seen.
    fn open(&mut self, open: &OpenCall, end: BootTime) -> io::Result<()> {
        self.thread(&open.task)?;
        let (ts, dur) = self.stretch(open.enter.unwrap_or(self.context.start).min(end), end);
        self.put(&json!({
            "ph": "X", "cat": "syscall,unfinished", "name": call::name(open.abi, open.number),
            "ts": ts, "dur": dur,
            "pid": open.task.pid, "tid": open.task.tid,
            "args": {"call": cut(&escape::line(&call::open_text(open))), "unfinished": true},
        }))
    }

    fn process(&mut self, view: &View<'_>, process: &Process) -> io::Result<()> {
        self.thread(&process.task)?;
        let name = match &process.change {
            ProcessChange::Fork { .. } => "fork",
            ProcessChange::Exec { .. } => "exec",
            ProcessChange::Exit { .. } => "exit",
            ProcessChange::Signal(sent) if sent.step.is_delivery() => "signal delivered",
            ProcessChange::Signal(_) => "signal sent",
            ProcessChange::OomKill(_) => "OOM kill",
        };
        self.put(&json!({
            "ph": "i", "s": if process.task.pid == process.task.tid { "p" } else { "t" },
            "cat": "process", "name": name, "ts": self.at(view.event.time),
            "pid": process.task.pid, "tid": process.task.tid,
            "args": {"event": view.event.num, "text": cut(&render::summary(view))},
        }))
    }

    fn block(&mut self, view: &View<'_>, block: &Block) -> io::Result<()> {
        let name = block_operation(block).unwrap_or("request");
        let Some(latency) = block.latency.filter(|_| block.action == BlockAction::Complete) else {
            return match block.action {
                BlockAction::Queue => Ok(()),
                BlockAction::Issue => {
                    let group = self.device(block)?;
                    self.instant(view, group, REQUESTS, &format!("issue {name}"))
                }
                BlockAction::Complete => {
                    let group = self.device(block)?;
                    self.instant(view, group, REQUESTS, &format!("complete {name}"))
                }
            };
        };
        let group = self.device(block)?;
        let track = self.track(group, REQUESTS)?;
        let id = format!("{:#x}", view.event.num);
        let mut args = Map::new();
        args.insert("event".to_owned(), view.event.num.into());
        args.insert("sector".to_owned(), block.sector.into());
        args.insert("bytes".to_owned(), block.bytes.into());
        if let Some(container) = self.container_name(&block.container) {
            args.insert("container".to_owned(), container.into());
        }
        if block.error != 0 {
            args.insert("error".to_owned(), call::errno_name(block.error).into());
        }
        let end = view.event.time;
        self.put(&json!({
            "ph": "b", "cat": "block", "name": name, "id2": {"local": id},
            "ts": self.at(BootTime(end.0.saturating_sub(latency))), "pid": group, "tid": track, "args": args,
        }))?;
        self.put(&json!({
            "ph": "e", "cat": "block", "name": name, "id2": {"local": id},
            "ts": self.at(end), "pid": group, "tid": track,
        }))
    }

    /// A request that took a known time lies beside the calls of whoever it completed for; others are instants.
    fn request(&mut self, view: &View<'_>, request: &Uring) -> io::Result<()> {
        self.thread(&request.task)?;
        let (pid, tid) = (request.task.pid, request.task.tid);
        let operation = request.opcode.map_or_else(|| "request".into(), uring::operation);
        let end = view.event.time;
        let mut args = Map::new();
        args.insert("event".to_owned(), view.event.num.into());
        args.insert("text".to_owned(), cut(&render::summary(view)).into());
        if let Some(errno) = request.errno() {
            args.insert("error".to_owned(), call::errno_name(errno).into());
        }
        let Some(latency) = request.step.latency() else {
            let name = match request.step {
                UringStep::Submit { .. } => format!("submit {operation}"),
                UringStep::Complete { .. } => format!("complete {operation}"),
                UringStep::Overflow { .. } => format!("overflow {operation}"),
            };
            return self.put(&json!({
                "ph": "i", "s": "t", "cat": "uring", "name": name, "ts": self.at(end), "pid": pid, "tid": tid,
                "args": args,
            }));
        };
        let id = format!("{:#x}", view.event.num);
        self.put(&json!({
            "ph": "b", "cat": "uring", "name": operation, "id2": {"local": id},
            "ts": self.at(BootTime(end.0.saturating_sub(latency))), "pid": pid, "tid": tid, "args": args,
        }))?;
        self.put(&json!({
            "ph": "e", "cat": "uring", "name": operation, "id2": {"local": id}, "ts": self.at(end), "pid": pid,
            "tid": tid,
        }))
    }

    fn packet(&mut self, view: &View<'_>, packet: &Packet) -> io::Result<()> {
        let headers = view.headers();
        let (track, name) = match headers.and_then(|headers| Some((headers, ends(headers)?))) {
            Some((headers, (source, destination, protocol))) => {
                let (one, other) = if source <= destination {
                    (source, destination)
                } else {
                    (destination, source)
                };
                let name = match headers.transport {
                    packet::Transport::Tcp { flags, .. } => {
                        format!("{} {}", packet::flag_names(flags), headers.payload_len)
                    }
                    _ => headers.payload_len.to_string(),
                };
                (format!("{protocol} {one} - {other}"), name)
            }
            None => {
                let protocol = headers.and_then(packet::Headers::protocol).unwrap_or("packet");
                (format!("{protocol} on {}", packet.interface), protocol.to_owned())
            }
        };
        self.instant(view, CONNECTIONS, &track, &name)
    }

    fn metrics(&mut self, time: BootTime, metrics: &Metrics) -> io::Result<()> {
        let group = self.container(&metrics.container)?;
        for (name, value) in &metrics.values {
            self.put(&json!({
                "ph": "C", "cat": "metrics", "name": cut(&escape::line(name)), "ts": self.at(time),
                "pid": group, "tid": 0, "args": {"value": value},
            }))?;
        }
        Ok(())
    }

    fn loss(&mut self, num: u64, loss: &Loss) -> io::Result<()> {
        let text = render::hole(loss, self.context);
        let id = format!("{num:#x}");
        self.hole(loss.stream.name(), &id, (loss.from, loss.to), &text, num)
    }

    fn damage(&mut self, damage: &Damage) -> io::Result<()> {
        let text = render::damage(damage, self.context);
        let id = format!("slice {}", damage.slice);
        self.hole("unreadable", &id, (damage.from, damage.to), &text, damage.first)
    }

    fn hole(
        &mut self,
        track: &str,
        id: &str,
        at: (BootTime, BootTime),
        text: &str,
        num: u64,
    ) -> io::Result<()> {
        let number = self.track(HOLES, track)?;
        let category = format!("hole {track}");
        self.put(&json!({
            "ph": "b", "cat": category, "name": format!("{track} lost"), "id2": {"local": id},
            "ts": self.at(at.0), "pid": HOLES, "tid": number, "args": {"event": num, "text": cut(text)},
        }))?;
        self.put(&json!({
            "ph": "e", "cat": category, "name": format!("{track} lost"), "id2": {"local": id},
            "ts": self.at(at.1.max(at.0)), "pid": HOLES, "tid": number,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(micros(1_000_000_012_345).to_string(), "1000000012.345");
        assert_eq!(micros(5).to_string(), "0.005");
    }
}
