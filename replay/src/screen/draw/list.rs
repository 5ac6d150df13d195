//! Lists of events, line for line as `replay events` prints them.

use super::{chosen, put, put_long, title};
use crate::screen::ask::RowKind;
use crate::screen::list::List;
use crate::screen::model::{Model, Tab};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

/// The list of all events.
pub(super) fn draw_events(model: &Model, buffer: &mut Buffer, area: Rect) {
    let text = if model.filter_text().is_empty() {
        "events".to_owned()
    } else {
        format!("events: {} (and holes)", model.filter_text())
    };
    title(model, buffer, area, &text, !model.is_below);
    draw(model, &model.events, (buffer, area), !model.is_below);
}

/// The rows of a list below its title.
pub(super) fn draw(model: &Model, list: &List, (buffer, area): (&mut Buffer, Rect), has_keys: bool) {
    let look = model.look;
    let body = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    for (place, (at, row)) in (0u16..).zip(list.visible()) {
        let mut style = match row.kind {
            RowKind::Event => Style::new(),
            RowKind::Failed => look.colour(ratatui_core::style::Color::Red),
            RowKind::Hole => look.doubt(),
            RowKind::Damage => look.alarm(),
        };
        if at == list.at {
            let line = Rect {
                y: body.y + place.min(body.height.saturating_sub(1)),
                height: 1,
                ..body
            };
            style = style.patch(chosen(has_keys));
            buffer.set_style(line, style);
        }
        let name = model.marks.iter().find(|(_, (num, _))| *num == row.num);
        let marked = name.map(|(name, _)| with_mark(&row.line, *name));
        let line = marked.as_deref().unwrap_or(&row.line);
        put_long(buffer, body, place, (line, model.sideways), (style, look));
    }
    if list.rows.is_empty() {
        let text = if list.is_pending() {
            ""
        } else if list.before.stopped || list.after.stopped {
            "stopped"
        } else if list.name == crate::screen::ask::Name::Follow && model.followed().is_empty() {
            "F follows the descriptor, connection or request under the cursor, P its thread"
        } else {
            "no events"
        };
        put(buffer, body, 0, text, Style::new().add_modifier(Modifier::DIM));
    }
}

/// A line with a mark's letter in the first column, which numbers seldom reach.
fn with_mark(line: &str, name: char) -> String {
    match line.strip_prefix(' ') {
        Some(rest) => format!("{name}{rest}"),
        None => format!("{name} {line}"),
    }
}

/// The title of a list in a tab.
pub(super) fn about(model: &Model, tab: Tab) -> String {
    match tab {
        Tab::Follow if !model.followed().is_empty() => format!("follow: {}", model.followed()),
        tab => tab.title().to_owned(),
    }
}
