//! Drawing: the model on a buffer, and nothing else. Colours never say anything alone.

mod below;
mod help;
mod list;
mod overview;

use super::layout::LEAST;
use super::model::{Look, Model};
use crate::{escape, render};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::{Line, Span};

/// Columns before the overview's first one.
pub const LABEL: u64 = 9;

/// Signs that lines and plots are drawn with.
struct Signs {
    rule: char,
    levels: &'static [char],
    cursor: char,
    more: char,
}

impl Look {
    fn signs(self) -> Signs {
        if self.ascii {
            Signs {
                rule: '-',
                levels: &['.', ':', '-', '=', '+', '*', '#', '@'],
                cursor: '^',
                more: '>',
            }
        } else {
            Signs {
                rule: '─',
                levels: &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
                cursor: '▲',
                more: '…',
            }
        }
    }

    fn colour(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// What needs attention.
    fn alarm(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is missing.
    fn doubt(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Titles.
    fn title(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }
}

/// The line that the cursor is on.
fn chosen(has_keys: bool) -> Style {
    if has_keys {
        Style::new().add_modifier(Modifier::REVERSED)
    } else {
        Style::new().add_modifier(Modifier::UNDERLINED)
    }
}

/// Draws everything. Gives the place of the terminal's cursor, where something is typed.
pub fn draw(model: &Model, buffer: &mut Buffer) -> Option<Position> {
    let area = buffer.area;
    let Some(areas) = model.areas() else {
        let text = format!("too small: {} by {} are needed", LEAST.0, LEAST.1);
        put(buffer, area, 0, &text, Style::new());
        return None;
    };
    if let Some(top) = model.help {
        help::draw(model, top, buffer, area);
        return None;
    }
    header(model, buffer, areas.header);
    overview::draw(model, buffer, areas.overview);
    list::draw_events(model, buffer, areas.list);
    let (tab, beside) = match areas.left {
        Some((tree, part)) => {
            below::draw_tree(model, buffer, tree);
            below::draw_part(model, buffer, part);
            (model.beside.0, true)
        }
        None => (model.tab, false),
    };
    below::draw_tabs(model, tab, beside, buffer, areas.tabs);
    let cursor = status(model, buffer, areas.status);
    let hints = "? help  q quit  . , step  ] [ thread  ) ( fd  / search  f filter  g go  Enter drill";
    put(
        buffer,
        areas.hints,
        0,
        hints,
        Style::new().add_modifier(Modifier::DIM),
    );
    cursor
}

/// Writes a line of an area, cut to its width. Gives how many columns were written.
fn put(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) -> u16 {
    put_at(buffer, area, (0, row), text, style)
}

fn put_at(buffer: &mut Buffer, area: Rect, (column, row): (u16, u16), text: &str, style: Style) -> u16 {
    if row >= area.height || column >= area.width {
        return 0;
    }
    // Nothing gets here that was not escaped; this holds even if something does.
    let text = escape::line(text);
    let left = usize::from(area.width - column);
    let (x, y) = (area.x + column, area.y + row);
    let (end, _) = buffer.set_stringn(x, y, text.as_ref(), left, style);
    end - x
}

/// A line that may be longer than there is room: scrolled by some columns, with a sign where it goes on.
fn put_long(
    buffer: &mut Buffer,
    area: Rect,
    row: u16,
    (text, sideways): (&str, usize),
    (style, look): (Style, Look),
) {
    let shown = match text.char_indices().nth(sideways) {
        Some((at, _)) => text.get(at..).unwrap_or_default(),
        None => "",
    };
    let width = usize::from(area.width);
    put(buffer, area, row, shown, style);
    if row < area.height && width > 0 && unicode_width(shown, width) > width {
        let more = look.signs().more.to_string();
        put_at(buffer, area, (area.width - 1, row), &more, style);
    }
}

/// Columns that a text takes, as far as it matters: more than `most` is `most` and one.
fn unicode_width(text: &str, most: usize) -> usize {
    // Every character that is printed takes a column at least, some two, combining ones none.
    let start: String = text.chars().take(most * 2 + 1).collect();
    Line::raw(start).width().min(most + 1)
}

/// A title, with a rule behind it.
fn title(model: &Model, buffer: &mut Buffer, area: Rect, text: &str, has_keys: bool) {
    let signs = model.look.signs();
    let rule: String = std::iter::repeat_n(signs.rule, usize::from(area.width)).collect();
    put(buffer, area, 0, &rule, Style::new().add_modifier(Modifier::DIM));
    let text = if has_keys {
        format!("[{text}]")
    } else {
        format!(" {text} ")
    };
    put_at(buffer, area, (1, 0), &text, model.look.title());
}

fn header(model: &Model, buffer: &mut Buffer, area: Rect) {
    let facts = &model.facts;
    let name = model.path.file_name().unwrap_or(model.path.as_os_str());
    let mut left = escape::line(&name.to_string_lossy()).into_owned();
    // What one must know comes before what one would like to.
    if facts.growing {
        left.push_str(" | still being written");
    } else if facts.shortfall.is_some() {
        left.push_str(" | CUT");
    }
    if facts.damaged {
        left.push_str(" | DAMAGED");
    }
    for container in facts.context.containers.values() {
        left.push_str(&format!(" | {}", escape::line(container)));
    }
    let right = match model.events.here() {
        Some(row) => format!(
            "{} #{}/{}",
            render::mapped_time(row.time, &facts.context),
            row.num,
            facts.last
        ),
        None => format!("#{}/{}", model.events.num(), facts.last),
    };
    let style = Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD);
    buffer.set_style(area, style);
    let width = u16::try_from(right.chars().count()).unwrap_or(0);
    let room = area.width.saturating_sub(width + 2);
    put(buffer, Rect { width: room, ..area }, 0, &left, style);
    put_at(buffer, area, (area.width.saturating_sub(width), 0), &right, style);
}

/// The status line: a prompt, a search that runs, or a message.
fn status(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<Position> {
    if let Some(prompt) = &model.prompt {
        let label = prompt.kind.label();
        let start = put(buffer, area, 0, label, model.look.title());
        let room = usize::from(area.width.saturating_sub(start))
            .saturating_sub(1)
            .max(1);
        let skipped = prompt.at.saturating_sub(room.saturating_sub(1));
        let text: String = prompt.text.iter().skip(skipped).take(room).collect();
        let end = put_at(buffer, area, (start, 0), &text, Style::new());
        if let Some(remark) = &prompt.remark {
            // Beside the line where there is room, else above it.
            let room = usize::from(area.width.saturating_sub(start + end + 2));
            if remark.chars().count() <= room {
                put_at(buffer, area, (start + end + 2, 0), remark, model.look.doubt());
            } else {
                let above = Rect {
                    y: area.y.saturating_sub(1),
                    ..area
                };
                say(buffer, above, remark, model.look.doubt());
            }
        }
        let before: String = prompt
            .text
            .iter()
            .skip(skipped)
            .take(prompt.at.saturating_sub(skipped))
            .collect();
        let width = u16::try_from(unicode_width(&before, usize::from(area.width))).unwrap_or(0);
        return Some(Position::new(
            (area.x + start + width).min(area.right().saturating_sub(1)),
            area.y,
        ));
    }
    if let Some((what, progress)) = model.busy() {
        let far = progress.map_or_else(String::new, |(done, total)| format!(" {done}/{total} slices"));
        put(
            buffer,
            area,
            0,
            &format!("looking{far} (Esc stops): {what}"),
            model.look.title(),
        );
    } else if let Some(message) = &model.message {
        say(buffer, area, message, Style::new());
    }
    None
}

/// A remark that ends on the status line; a long one begins above it.
fn say(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    const LINES_MAX: usize = 6;
    let lines = folded(text, usize::from(area.width));
    let shown = u16::try_from(lines.len().min(LINES_MAX)).unwrap_or(1);
    for (row, line) in (0u16..).zip(lines.iter().take(LINES_MAX)) {
        let place = Rect {
            y: area.y.saturating_sub(shown - 1).saturating_add(row),
            ..area
        };
        put(
            buffer,
            place,
            0,
            &" ".repeat(usize::from(area.width)),
            Style::new(),
        );
        put(buffer, place, 0, line, style);
    }
}

/// A line in pieces of so many columns.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = 0;
    for character in text.chars() {
        let columns = if character.is_ascii() {
            1
        } else {
            Span::raw(character.to_string()).width()
        };
        if column + columns > width.max(2) {
            lines.push(String::new());
            column = 0;
        }
        column += columns;
        if let Some(line) = lines.last_mut() {
            line.push(character);
        }
    }
    lines
}
