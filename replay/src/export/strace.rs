//! System calls as `strace -f -ttt -T -yy -o FILE` writes them, for everything that reads that.
//!
//! A call stands where it returned, with the time it was entered, on one line. What strace has no line for (holes,
//! slices that can't be read, OOM kills) is written like its signal lines, `--- … ---`, which every reader of its text passes over.

use super::Exported;
use crate::call::Names;
use crate::timeline::{Damage, Item, Range, Timeline};
use crate::view::Context;
use crate::{call, escape, render, signal, state};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use stillframe_format::event::{Body, Event, OpenCall, Process, ProcessChange, Return, Stream, Syscall};
use stillframe_format::state::State;
use stillframe_format::{BootTime, abi};

/// Writes all calls, signals, the ends of processes, holes, and the calls that had not returned at the end.
///
/// # Errors
/// When the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    let mut state = state::start(timeline.bundle_mut());
    timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) => {
                let replaced = replaced(event, &state);
                state.apply(event.num, event.time, &event.body);
                exported.items += u64::from(write_event(event, context, &state, replaced, out)?);
            }
            Item::Damage(damage) => {
                state::miss(&mut state, damage);
                write_damage(damage, context, out)?;
                exported.damages.push(damage.clone());
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    for open in &timeline.open_at_end() {
        write_open(open, context, out)?;
    }
    Ok(exported)
}

/// What stands at the beginning of a line: thread and time.
fn lead(out: &mut dyn Write, tid: u32, time: BootTime, context: &Context) -> io::Result<()> {
    // Without an anchor the epoch is the host's boot.
    let stamp = context
        .realtime(time)
        .unwrap_or_else(|| i64::try_from(time.0).unwrap_or(i64::MAX));
    let (seconds, rest) = (stamp.div_euclid(1_000_000_000), stamp.rem_euclid(1_000_000_000));
    write!(out, "{tid:<5} {seconds}.{:06} ", rest / 1000)
}

/// Names of what a process has open, folded up to its call.
struct Open<'a> {
    state: &'a State,
    pid: u32,
    replaced: Option<Replaced>,
}

/// A descriptor that a call lets refer to something else, and what it referred to before.
type Replaced = (i32, Option<Vec<u8>>);

/// Asked before the event is applied. What other calls close or make is not among their arguments, or has its name in
/// the event.
fn replaced(event: &Event, state: &State) -> Option<Replaced> {
    let Body::Syscall(call) = &event.body else {
        return None;
    };
    if !matches!(abi::name(call.abi, call.number), Some("dup2" | "dup3")) {
        return None;
    }
    let fd = abi::low_i32(call.args[1]);
    let name = state.descriptor_name(call.task.pid, fd);
    Some((fd, name.map(|name| name.name.clone())))
}

impl Names for Open<'_> {
    fn descriptor(&self, fd: i32) -> Option<&[u8]> {
        match &self.replaced {
            Some((replaced, name)) if *replaced == fd => name.as_deref(),
            _ => self.made(fd),
        }
    }

    fn made(&self, fd: i32) -> Option<&[u8]> {
        self.state
            .descriptor_name(self.pid, fd)
            .map(|name| name.name.as_slice())
    }

    fn folder(&self) -> Option<&[u8]> {
        let process = self.state.process_of(self.pid)?;
        process.cwd.as_deref().map(str::as_bytes)
    }
}

/// Whether it is the child's side of a call that returns twice: strace begins to look after it.
fn is_birth(call: &Syscall) -> bool {
    call.ret == Return::Value(0)
        && matches!(
            abi::name(call.abi, call.number),
            Some("fork" | "vfork" | "clone" | "clone3")
        )
}

fn write_event(
    event: &Event,
    context: &Context,
    state: &State,
    replaced: Option<Replaced>,
    out: &mut dyn Write,
) -> io::Result<bool> {
    match &event.body {
        Body::Syscall(call) if is_birth(call) => Ok(false),
        Body::Syscall(call) => {
            let names = Open {
                state,
                pid: call.task.pid,
                replaced,
            };
            write_call(event.time, call, context, &names, out)?;
            Ok(true)
        }
        Body::Process(process) => {
            write_change(event.time, process, context, out)?;
            Ok(false)
        }
        Body::Loss(loss) if matches!(loss.stream, Stream::Syscall | Stream::Process) => {
            lead(out, 0, event.time, context)?;
            writeln!(out, "{} ---", render::hole(loss, context))?;
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn write_call(
    time: BootTime,
    call: &Syscall,
    context: &Context,
    names: &Open<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let entered = BootTime(time.0.saturating_sub(call.duration.unwrap_or(0)));
    lead(out, call.task.tid, entered, context)?;
    let text = call::line(call, names);
    write!(out, "{}", escape::line(&text))?;
    if let Some(spent) = call.duration {
        write!(
            out,
            " <{}.{:06}>",
            spent / 1_000_000_000,
            spent % 1_000_000_000 / 1000
        )?;
    }
    writeln!(out)
}

/// strace has a line for the ends of threads and for signals that are delivered. One that kills without being delivered
/// it would have shown too: the kernel delivers every signal but SIGKILL to what is traced.
fn write_change(time: BootTime, process: &Process, context: &Context, out: &mut dyn Write) -> io::Result<()> {
    let (status, signal, core) = match &process.change {
        ProcessChange::Exit {
            status, signal, core, ..
        } => (*status, *signal, *core),
        ProcessChange::Signal(sent) if sent.step.is_delivery() || signal::kills_unseen(sent) => {
            lead(out, process.task.tid, time, context)?;
            let name = signal::name(sent.number);
            return writeln!(out, "--- {name} {} ---", signal::siginfo(sent));
        }
        ProcessChange::OomKill(kill) => {
            lead(out, process.task.tid, time, context)?;
            return writeln!(out, "--- {} ---", escape::line(&signal::oom_text(kill)));
        }
        _ => return Ok(()),
    };
    lead(out, process.task.tid, time, context)?;
    if signal == 0 {
        return writeln!(out, "+++ exited with {status} +++");
    }
    let name = abi::signal::name(u32::from(signal)).unwrap_or_else(|| format!("SIG_{signal}").into());
    let core = if core { " (core dumped)" } else { "" };
    writeln!(out, "+++ killed by {name}{core} +++")
}

fn write_open(open: &OpenCall, context: &Context, out: &mut dyn Write) -> io::Result<()> {
    lead(out, open.task.tid, open.enter.unwrap_or(context.start), context)?;
    writeln!(out, "{} <unfinished ...>", escape::line(&call::open_text(open)))
}

fn write_damage(damage: &Damage, context: &Context, out: &mut dyn Write) -> io::Result<()> {
    lead(out, 0, damage.from, context)?;
    writeln!(out, "{} ---", render::damage(damage, context))
}
