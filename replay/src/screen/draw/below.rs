//! What stands below the list and beside it: tabs, the process tree, a part of the state.

use super::{chosen, list, put, put_at, put_long, title};
use crate::screen::ask::Table;
use crate::screen::model::{Look, Model, Tab};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

/// The tabs, and what the chosen one shows. On wide screens the state stands beside.
pub(super) fn draw_tabs(model: &Model, tab: Tab, is_wide: bool, buffer: &mut Buffer, area: Rect) {
    title(model, buffer, area, "", false);
    let mut column = 1;
    for (digit, one) in (1..).zip(Tab::ALL) {
        if is_wide && one.is_state() {
            continue;
        }
        let has_keys = model.is_below && model.tab == one;
        let name = if one == tab {
            list::about(model, one)
        } else {
            one.title().to_owned()
        };
        let text = match (has_keys, one == tab) {
            (true, _) => format!("[{digit} {name}]"),
            (false, true) => format!(" {digit} {name} "),
            (false, false) => format!(" {digit} {} ", one.title()),
        };
        let style = if one == tab {
            model.look.title().add_modifier(Modifier::UNDERLINED)
        } else {
            Style::new()
        };
        // A long name must not push the other tabs away.
        let most = usize::from(area.width / 3);
        let text: String = text.chars().take(most).collect();
        column += put_at(buffer, area, (column, 0), &text, style);
    }
    let has_keys = model.is_below && model.tab == tab;
    let body = below(area);
    match tab {
        Tab::Details => {
            let lines = model.details();
            let (line, count) = (model.lines[0], lines.len());
            let lines = lines.iter().map(String::as_str);
            rows(
                (buffer, body),
                lines,
                (line, count),
                (has_keys, false),
                (0, model.look),
            );
        }
        Tab::Follow | Tab::Logs => {
            if let Some(found) = model.list(tab) {
                list::draw(model, found, (buffer, area), has_keys);
            }
        }
        Tab::Links => {
            put(
                buffer,
                body,
                0,
                "What caused what (calls, packets, block requests) is not worked out yet.",
                Style::new().add_modifier(Modifier::DIM),
            );
        }
        tab => {
            if let Some(found) = model.table(tab) {
                table(model, tab, found, (buffer, body), has_keys);
            }
        }
    }
}

/// The process tree, beside the list.
pub(super) fn draw_tree(model: &Model, buffer: &mut Buffer, area: Rect) {
    let has_keys = model.is_below && model.tab == Tab::Processes;
    title(model, buffer, area, "2 processes", has_keys);
    table(
        model,
        Tab::Processes,
        &model.shown.processes,
        (buffer, below(area)),
        has_keys,
    );
}

/// Another part of the state, below the tree.
pub(super) fn draw_part(model: &Model, buffer: &mut Buffer, area: Rect) {
    let tab = model.beside.1;
    let has_keys = model.is_below && model.tab == tab;
    let mut column = 1;
    title(model, buffer, area, "", false);
    for (digit, one) in (1..).zip(Tab::ALL) {
        // Processes stand above.
        if !one.is_state() || one == Tab::Processes {
            continue;
        }
        let text = if one == tab && has_keys {
            format!("[{digit} {}]", one.title())
        } else {
            format!(" {digit} {} ", one.title())
        };
        let style = if one == tab {
            model.look.title().add_modifier(Modifier::UNDERLINED)
        } else {
            Style::new()
        };
        column += put_at(buffer, area, (column, 0), &text, style);
    }
    if let Some(found) = model.table(tab) {
        table(model, tab, found, (buffer, below(area)), has_keys);
    }
}

fn below(area: Rect) -> Rect {
    Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    }
}

fn table(model: &Model, tab: Tab, table: &Table, (buffer, area): (&mut Buffer, Rect), has_keys: bool) {
    let mut area = area;
    let mut down = |rows: u16| {
        let rows = rows.min(area.height);
        area = Rect {
            y: area.y + rows,
            height: area.height - rows,
            ..area
        };
        area
    };
    let mut rest = down(0);
    let is_behind = model.events.num() != model.shown.num && model.shown.num != 0;
    // Of containers each line tells.
    if let Some(doubt) = model.shown.doubt.as_ref().filter(|_| tab != Tab::Usage) {
        put(buffer, rest, 0, doubt, model.look.doubt());
        rest = down(1);
    }
    let head = if is_behind {
        format!("{} (still at #{})", table.head, model.shown.num)
    } else {
        table.head.clone()
    };
    put_long(
        buffer,
        rest,
        0,
        (&head, model.sideways),
        (Style::new().add_modifier(Modifier::DIM), model.look),
    );
    rest = down(1);
    let lines = table.lines.iter().map(|(line, _)| line.as_str());
    let line = model.lines.get(tab as usize).copied().unwrap_or(0);
    rows(
        (buffer, rest),
        lines,
        (line, table.lines.len()),
        (has_keys, tab == Tab::Processes),
        (model.sideways, model.look),
    );
    if table.more > 0 {
        let text = format!(
            "(and {} more: `y` copies the command that prints all)",
            table.more
        );
        put(
            buffer,
            rest,
            rest.height.saturating_sub(1),
            &text,
            model.look.doubt(),
        );
    }
}

/// Lines with one of them chosen, which is kept in sight.
fn rows<'a>(
    (buffer, area): (&mut Buffer, Rect),
    lines: impl Iterator<Item = &'a str>,
    (chosen_line, count): (usize, usize),
    (has_keys, always): (bool, bool),
    (sideways, look): (usize, Look),
) {
    let height = usize::from(area.height);
    let top = chosen_line
        .saturating_sub(height / 2)
        .min(count.saturating_sub(height));
    for (row, (at, line)) in (0u16..).zip(lines.enumerate().skip(top).take(height)) {
        let mut style = Style::new();
        if at == chosen_line && (has_keys || always) {
            style = chosen(has_keys);
            let whole = Rect {
                y: area.y + row,
                height: 1,
                ..area
            };
            buffer.set_style(whole, style);
        }
        put_long(buffer, area, row, (line, sideways), (style, look));
    }
}
