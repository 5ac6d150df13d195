//! Everything that is known of one event, a field a line.

use crate::field;
use crate::value::Value;
use crate::view::View;
use std::fmt::Write as _;

/// The longest value that is shown whole, in characters.
const WIDTH: usize = 2000;

/// Name and value of every field that the event has, lines ended.
#[must_use]
pub fn details(view: &View<'_>) -> String {
    let mut out = String::new();
    for field in field::all().filter(|field| field.json) {
        field.values(view, |name, value| {
            let name = crate::escape::line(name).into_owned();
            let text = match value {
                Value::Time(realtime) => view.context.zone.stamp(*realtime),
                other => other.to_text(),
            };
            let _ = match text.char_indices().nth(WIDTH) {
                Some((end, _)) => {
                    let shown = text.get(..end).unwrap_or_default();
                    writeln!(
                        out,
                        "  {name:<20} {shown}… ({} characters in all)",
                        text.chars().count()
                    )
                }
                None => writeln!(out, "  {name:<20} {text}"),
            };
        });
    }
    out
}
