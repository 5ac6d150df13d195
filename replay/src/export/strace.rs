//! System calls as `strace -f -ttt -T -yy -o FILE` writes them, for everything that reads that.
//!
//! A call stands where it returned, with the time it was entered, on one line. What strace has no line for (holes,
//! slices that can't be read) is written like its signal lines, `--- … ---`, which every reader of its text passes over.

use super::Exported;
use crate::timeline::{Damage, Item, Range, Timeline};
use crate::view::Context;
use crate::{call, escape, render};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use stillframe_format::event::{Body, Event, OpenCall, Process, ProcessChange, Stream, Syscall};
use stillframe_format::{BootTime, abi};

/// Writes all calls, the ends of processes, holes, and the calls that had not returned at the end.
///
/// # Errors
/// When the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) => exported.items += u64::from(write_event(event, context, out)?),
            Item::Damage(damage) => {
                write_damage(damage, context, out)?;
                exported.damages.push(damage.clone());
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    let last = timeline.bundle().slices().len().checked_sub(1);
    if let Some(Ok(slice)) = last.and_then(|index| timeline.slice(index)) {
        for open in &slice.open {
            write_open(open, context, out)?;
        }
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

fn write_event(event: &Event, context: &Context, out: &mut dyn Write) -> io::Result<bool> {
    match &event.body {
        Body::Syscall(call) => {
            write_call(event.time, call, context, out)?;
            Ok(true)
        }
        Body::Process(process) => {
            write_exit(event.time, process, context, out)?;
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

fn write_call(time: BootTime, call: &Syscall, context: &Context, out: &mut dyn Write) -> io::Result<()> {
    let entered = BootTime(time.0.saturating_sub(call.duration.unwrap_or(0)));
    lead(out, call.task.tid, entered, context)?;
    let text = format!("{} = {}", call::full_text(call), call::result(call));
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

fn write_exit(time: BootTime, process: &Process, context: &Context, out: &mut dyn Write) -> io::Result<()> {
    let ProcessChange::Exit {
        status, signal, core, ..
    } = process.change
    else {
        return Ok(());
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
