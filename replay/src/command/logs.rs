//! `replay logs`: the logs, from before the start on.

use super::{Failure, Reading, say};
use crate::cli;
use serde_json::Value;
use std::io::Write as _;
use std::ops::ControlFlow;
use stillframe_format::event::Event;
use stillframe_replay::log::{self, Which};
use stillframe_replay::output::Output;
use stillframe_replay::timeline::{Item, Range};
use stillframe_replay::view::{Context, View};
use stillframe_replay::{escape, open, render};

pub(super) fn run(options: &cli::Logs) -> Result<u8, Failure> {
    let which = match (options.engine, options.container) {
        (true, _) => Which::Engine,
        (_, true) => Which::Container,
        _ => Which::All,
    };
    let mut reading = Reading::open(&options.bundle, options.json)?;
    let lookback = match open::lookback(reading.timeline.bundle_mut()) {
        Ok(lookback) => lookback,
        Err(error) => {
            say(&format!(
                "{}: the look-back cannot be read: {error}",
                reading.path
            ));
            reading.damaged = true;
            Vec::new()
        }
    };
    let mut out = options.bundle.paging.output();
    let mut printed = false;
    let mut damages = Vec::new();
    let context = &reading.context;
    for stored in lookback {
        if which.includes(&stored.body) {
            print(&mut out, &log::before_the_first(stored), context, options.json)?;
            printed = true;
        }
    }
    reading.timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) if which.includes(&event.body) => {
                print(&mut out, event, context, options.json)?;
                printed = true;
            }
            Item::Event(_) => {}
            Item::Damage(damage) => {
                if options.json {
                    writeln!(out, "{}", render::damage_json(damage))?;
                } else {
                    writeln!(out, "{}", render::damage(damage, context))?;
                }
                damages.push(damage.clone());
            }
        }
        Ok::<_, Failure>(ControlFlow::Continue(()))
    })?;
    out.finish()?;
    reading.note(&damages);
    Ok(reading.answer(printed))
}

fn print(out: &mut Output, event: &Event, context: &Context, json: bool) -> Result<(), Failure> {
    let view = View::new(event, context);
    if json {
        writeln!(
            out,
            "{}",
            escape::json(Value::Object(log::object(&view)).to_string())
        )?;
    } else {
        writeln!(out, "{}", log::line(&view))?;
    }
    Ok(())
}
