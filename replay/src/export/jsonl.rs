//! Every event as a JSON object on a line of its own.

use super::Exported;
use crate::render;
use crate::timeline::{Item, Range, Timeline};
use crate::view::{Context, View};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;

/// Writes all events.
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
            Item::Event(event) => {
                writeln!(out, "{}", render::json_line(&View::new(event, context)))?;
                exported.items += 1;
            }
            Item::Damage(damage) => {
                writeln!(out, "{}", render::damage_json(damage))?;
                exported.damages.push(damage.clone());
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    Ok(exported)
}
