//! A list of events of which only the rows around the cursor are in memory. Pure: what is missing is asked for.

use super::ask::{Ask, Name, Row, What};
use crate::filter::Filter;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows that are kept on each side of the cursor, in pages.
const KEPT: usize = 8;
/// Rows that are asked for at once, in pages.
const ASKED: usize = 3;

/// One side of what is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// There is nothing behind it.
    pub edge: bool,
    /// More was asked for.
    pub pending: bool,
    /// The search for more was stopped.
    pub stopped: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct List {
    /// Which list.
    pub name: Name,
    /// What it shows.
    pub filter: Arc<Filter>,
    /// Rows in their order.
    pub rows: VecDeque<Row>,
    /// The row that the cursor is on.
    pub at: usize,
    /// The row at the top.
    pub top: usize,
    /// Before the rows.
    pub before: Side,
    /// Behind them.
    pub after: Side,
    /// Rows that fit on the screen.
    pub height: usize,
    /// The event that the list was made around.
    anchor: u64,
    /// Steps that wait for rows.
    owed: i64,
    /// Nothing came from before the anchor yet.
    fresh: bool,
    /// There may be more than what the rows are looked for in.
    has_grown: bool,
    era: u64,
}

impl List {
    /// An empty list, which asks for nothing.
    #[must_use]
    pub fn new(name: Name) -> Self {
        let edge = Side {
            edge: true,
            ..Side::default()
        };
        Self {
            name,
            filter: Arc::default(),
            rows: VecDeque::new(),
            at: 0,
            top: 0,
            before: edge,
            after: edge,
            height: 10,
            anchor: 0,
            owed: 0,
            fresh: true,
            has_grown: false,
            era: 0,
        }
    }

    /// Begins anew around an event.
    pub fn reset(&mut self, filter: Arc<Filter>, anchor: u64, era: u64) -> Vec<Ask> {
        *self = Self {
            filter,
            anchor,
            era,
            before: Side::default(),
            after: Side::default(),
            height: self.height,
            ..Self::new(self.name)
        };
        let mut asks = Vec::new();
        self.ask(true, &mut asks);
        self.ask(false, &mut asks);
        asks
    }

    /// The row under the cursor.
    #[must_use]
    pub fn here(&self) -> Option<&Row> {
        self.rows.get(self.at)
    }

    /// The event under the cursor, or the one that the list was made around.
    #[must_use]
    pub fn num(&self) -> u64 {
        self.here().map_or(self.anchor, |row| row.num)
    }

    /// Whether something is being looked for.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.before.pending || self.after.pending
    }

    /// Moves the cursor. What is not in memory yet is gone to when it comes.
    pub fn go(&mut self, steps: i64) -> Vec<Ask> {
        self.owed = 0;
        let aim = i64::try_from(self.at).unwrap_or(0).saturating_add(steps);
        let last = i64::try_from(self.rows.len())
            .unwrap_or(0)
            .saturating_sub(1)
            .max(0);
        let clamped = aim.clamp(0, last);
        self.at = usize::try_from(clamped).unwrap_or(0);
        let rest = aim - clamped;
        let side = if rest > 0 { self.after } else { self.before };
        if rest != 0 && !side.edge {
            self.owed = rest;
        }
        // Whoever goes on after a stop wants more.
        if rest > 0 {
            self.after.stopped = false;
        } else if rest < 0 {
            self.before.stopped = false;
        }
        self.scroll();
        self.refill()
    }

    /// Moves the cursor to an event that is in memory. Tells whether it is.
    pub fn go_to(&mut self, num: u64) -> bool {
        let found = self.rows.iter().position(|row| row.num <= num && num <= row.last);
        if let Some(at) = found {
            self.at = at;
            self.owed = 0;
            self.scroll();
        }
        found.is_some()
    }

    /// The cursor stays on the screen, and the screen is filled where it can be.
    pub fn scroll(&mut self) {
        let height = self.height.max(1);
        if self.at < self.top {
            self.top = self.at;
        }
        if self.at >= self.top + height {
            self.top = self.at + 1 - height;
        }
        self.top = self.top.min(self.rows.len().saturating_sub(height));
    }

    /// Asks for more where the cursor comes near the end of what is there.
    pub fn refill(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        let near = self.height.max(1) * 2;
        if self.rows.len().saturating_sub(self.at) < near {
            self.ask(true, &mut asks);
        }
        if self.at < near {
            self.ask(false, &mut asks);
        }
        asks
    }

    fn ask(&mut self, forward: bool, asks: &mut Vec<Ask>) {
        let from = if forward {
            self.rows
                .back()
                .map(|row| row.last.saturating_add(1))
                .unwrap_or(self.anchor)
        } else {
            self.rows
                .front()
                .map_or(self.anchor, |row| row.num)
                .saturating_sub(1)
        };
        // What was logged before the first event comes with the edge.
        let side = if forward {
            &mut self.after
        } else {
            &mut self.before
        };
        if side.edge || side.pending || side.stopped {
            return;
        }
        side.pending = true;
        asks.push(Ask {
            era: self.era,
            what: What::Rows {
                list: self.name,
                filter: Arc::clone(&self.filter),
                from,
                forward,
                want: self.height.max(10) * ASKED,
            },
        });
    }

    /// Takes rows that were asked for: first those from the anchor on, then those before it.
    pub fn take(&mut self, era: u64, forward: bool, rows: Vec<Row>, edge: bool, stopped: bool) -> Vec<Ask> {
        if era != self.era {
            return Vec::new();
        }
        let side = if forward {
            &mut self.after
        } else {
            &mut self.before
        };
        // It was looked for in what there was then.
        let edge = edge && !(forward && std::mem::take(&mut self.has_grown));
        (side.pending, side.edge, side.stopped) = (false, edge, stopped);
        let has_lookback = self.rows.front().is_some_and(|row| row.num == 0);
        for row in rows {
            if forward {
                if self.rows.back().is_none_or(|last| row.num > last.last) {
                    self.rows.push_back(row);
                }
            } else if self.rows.front().is_none_or(|first| row.num < first.num)
                || (row.num == 0 && !has_lookback)
            {
                if !self.rows.is_empty() {
                    self.at += 1;
                    self.top += 1;
                }
                self.rows.push_front(row);
            }
        }
        if !forward && std::mem::take(&mut self.fresh) {
            self.top = self.at.saturating_sub(self.height / 3);
        }
        self.scroll();
        let owed = std::mem::take(&mut self.owed);
        let asks = if owed == 0 || stopped {
            self.refill()
        } else {
            self.go(owed)
        };
        self.forget();
        asks
    }

    /// What is being looked for is not waited for any more; an answer that comes all the same is not taken.
    pub fn stop(&mut self, era: u64) {
        self.era = era;
        self.owed = 0;
        for side in [&mut self.before, &mut self.after] {
            side.stopped |= side.pending;
            side.pending = false;
        }
    }

    /// Moves to the last row that is not behind an event. Tells whether it is in memory.
    pub fn near(&mut self, num: u64) -> bool {
        let after = self.rows.partition_point(|row| row.num <= num);
        let known = after < self.rows.len() || self.after.edge;
        if let Some(at) = after.checked_sub(1).filter(|_| known) {
            self.at = at;
            self.owed = 0;
            self.scroll();
            return true;
        }
        // Before the first one; or it was not to be looked for.
        self.era != 0 && (known && self.before.edge || self.before.stopped || self.after.stopped)
    }

    /// Drops rows that are far from the cursor.
    fn forget(&mut self) {
        let most = self.height.max(10) * KEPT;
        while self.rows.len().saturating_sub(self.at) > most && self.rows.len() > 1 {
            self.rows.pop_back();
            self.after.edge = false;
        }
        while self.at > most && self.rows.front().is_some_and(|row| row.num != 0) {
            self.rows.pop_front();
            self.at -= 1;
            self.top = self.top.saturating_sub(1);
            self.before.edge = false;
        }
    }

    /// The recording has grown: there may be more behind the last row.
    pub fn grown(&mut self) -> Vec<Ask> {
        if self.era == 0 {
            return Vec::new();
        }
        self.after.edge = false;
        self.has_grown = self.after.pending;
        self.refill()
    }

    /// The rows on the screen.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.rows.iter().enumerate().skip(self.top).take(self.height)
    }
}
