//! The help: every key of the table.

use super::{put, put_at, title};
use crate::screen::key::BINDINGS;
use crate::screen::model::Model;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

/// Columns for the keys.
const KEYS: u16 = 19;

pub(super) fn draw(model: &Model, top: usize, buffer: &mut Buffer, area: Rect) {
    title(model, buffer, area, "keys", true);
    let width = usize::from(area.width.saturating_sub(KEYS + 1)).max(10);
    let mut row = 1;
    let room = area.height.saturating_sub(1);
    for binding in BINDINGS.iter().skip(top) {
        let lines = wrapped(binding.help, width);
        if row + u16::try_from(lines.len()).unwrap_or(1) > room {
            break;
        }
        put_at(buffer, area, (1, row), binding.label, model.look.title());
        for line in lines {
            put_at(buffer, area, (KEYS, row), &line, Style::new());
            row += 1;
        }
    }
    let text = "Down and Up scroll, any other key leaves. Filters: `replay fields` lists what they know; Tab completes.";
    put(buffer, area, room, text, Style::new().add_modifier(Modifier::DIM));
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let fits = lines
            .last()
            .is_some_and(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        if !fits {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
