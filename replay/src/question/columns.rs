//! Rows of text in columns that line up.

use std::fmt::Write as _;

/// The widest that a column may be, but for the last one, in characters.
const WIDTH_MAX: usize = 40;

/// Which side a column's text keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A table that is being put together.
#[derive(Debug)]
pub(super) struct Columns {
    sides: Vec<Side>,
    lines: Vec<Vec<String>>,
}

impl Columns {
    pub(super) fn new(head: &[(&str, Side)]) -> Self {
        Self {
            sides: head.iter().map(|(_, side)| *side).collect(),
            lines: vec![head.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    pub(super) fn push(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// Lines ended, safe for a terminal.
    pub(super) fn text(&self) -> String {
        let last = self.sides.len().saturating_sub(1);
        let widths: Vec<usize> = (0..self.sides.len())
            .map(|column| {
                let cells = self.lines.iter().filter_map(|line| line.get(column));
                let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                width.min(WIDTH_MAX)
            })
            .collect();
        let mut out = String::new();
        for line in &self.lines {
            let mut text = String::new();
            for (column, ((cell, width), side)) in line.iter().zip(&widths).zip(&self.sides).enumerate() {
                let _ = match side {
                    _ if column == last => write!(text, "{cell}"),
                    Side::Left => write!(text, "{cell:<width$}  "),
                    Side::Right => write!(text, "{cell:>width$}  "),
                };
            }
            out.push_str(&crate::escape::line(text.trim_end()));
            out.push('\n');
        }
        out
    }
}
