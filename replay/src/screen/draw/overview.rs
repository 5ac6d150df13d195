//! The overview: how much happened when, where something failed, was lost or is marked, and where the cursor is.

use super::{LABEL, put, put_at};
use crate::screen::model::Model;
use crate::screen::overview::{Bucket, Series};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let context = &model.facts.context;
    let label = u16::try_from(LABEL).unwrap_or(0);
    let width = usize::from(area.width.saturating_sub(label));
    let (overview, done, total) = &model.overview;
    let columns = overview.columns(context.end, width);
    let mut row = 0;
    let mut line = |name: &str, counts: &dyn Fn(&Bucket) -> u64, style: Style, buffer: &mut Buffer| {
        put(buffer, area, row, name, model.look.title());
        let text = bars(model, &columns, counts);
        put_at(buffer, area, (label, row), &text, style);
        row += 1;
    };
    if area.height > 3 {
        for series in Series::ALL.into_iter().filter(|series| *series != Series::Failed) {
            line(
                series.name(),
                &|bucket| bucket.count(series),
                Style::new(),
                buffer,
            );
        }
    } else {
        line("events", &Bucket::all, Style::new(), buffer);
    }
    if area.height > 2 {
        line(
            Series::Failed.name(),
            &|bucket| bucket.count(Series::Failed),
            model.look.alarm(),
            buffer,
        );
        let unknown: String = columns
            .iter()
            .map(|bucket| {
                let is_unknown = bucket.guessed && bucket.count(Series::Failed) == 0;
                if is_unknown { '~' } else { ' ' }
            })
            .collect();
        // Only over what would look like silence.
        for (at, sign) in (label..).zip(unknown.chars()).filter(|(_, sign)| *sign != ' ') {
            put_at(buffer, area, (at, row - 1), &sign.to_string(), Style::new());
        }
    }
    let last = area.height.saturating_sub(1);
    let name = if done < total {
        format!("{:>3}%", done * 100 / total.max(&1))
    } else {
        "marks".to_owned()
    };
    put(buffer, area, last, &name, model.look.title());
    let marks: String = columns
        .iter()
        .map(|bucket| match bucket {
            Bucket { unreadable: true, .. } => '?',
            Bucket { lost: true, .. } => 'x',
            Bucket { stepped: true, .. } => 'c',
            _ => ' ',
        })
        .collect();
    put_at(buffer, area, (label, last), &marks, model.look.doubt());
    for (name, (_, time)) in &model.marks {
        let at = overview.column(*time, context.end, width);
        put_at(
            buffer,
            area,
            (offset(label, at), last),
            &name.to_string(),
            Style::new(),
        );
    }
    if let Some(row) = model.events.here() {
        let at = offset(label, overview.column(row.time, context.end, width));
        let place = Rect {
            x: area.x + at.min(area.width.saturating_sub(1)),
            y: area.y + last,
            width: 1,
            height: 1,
        };
        // What is marked there stays to be seen.
        if buffer
            .cell(place.as_position())
            .is_none_or(|cell| cell.symbol() == " ")
        {
            let cursor = model.look.signs().cursor.to_string();
            put(buffer, place, 0, &cursor, model.look.title());
        } else {
            buffer.set_style(place, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn offset(label: u16, at: usize) -> u16 {
    label.saturating_add(u16::try_from(at).unwrap_or(u16::MAX))
}

/// Heights relative to the peak. Nothing is drawn as something, and where events were lost, no silence is drawn.
fn bars(model: &Model, columns: &[Bucket], count: &dyn Fn(&Bucket) -> u64) -> String {
    let levels = model.look.signs().levels;
    let peak = columns.iter().map(count).max().unwrap_or(0).max(1);
    let bar = |bucket: &Bucket| match (count(bucket), bucket.lost || bucket.unreadable) {
        (0, true) => '?',
        (0, false) => ' ',
        (count, _) => {
            let level = u128::from(count) * levels.len() as u128;
            let level = usize::try_from(level.div_ceil(u128::from(peak))).unwrap_or(levels.len());
            let level = levels.get(level.saturating_sub(1)).or(levels.last());
            level.copied().unwrap_or('#')
        }
    };
    columns.iter().map(bar).collect()
}
