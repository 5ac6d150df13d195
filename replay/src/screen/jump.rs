//! Jumps: searches, moments, and the way back from them.

use super::ask::{Ask, Lane, What};
use super::model::{Finding, Model, Trace, Why};
use crate::moment::{Moment, Place};
use stillframe_format::BootTime;

/// Places that one can go back to.
const TRACES_MAX: usize = 200;

impl Model {
    /// The cursor goes to an event: in the rows that are there, or to new ones around it.
    pub(super) fn jump(&mut self, num: u64) -> Vec<Ask> {
        if self.events.go_to(num) {
            let mut asks = self.events.refill();
            asks.extend(self.look());
            return asks;
        }
        self.restart(num)
    }

    /// Remembers where the cursor is, once for each row of jumps of the same kind.
    pub(super) fn leave_trace(&mut self, by: Why) {
        let same = |trace: &Trace| matches!(by, Why::Search | Why::Walk) && trace.by == by;
        if self.traces.last().is_some_and(same) {
            return;
        }
        self.traces.push(Trace {
            num: self.events.num(),
            filter: self.filter.text.clone(),
            by,
        });
        if self.traces.len() > TRACES_MAX {
            self.traces.remove(0);
        }
    }

    pub(super) fn back(&mut self) -> Vec<Ask> {
        let Some(trace) = self.traces.pop() else {
            self.message = Some("there is nothing to go back to".to_owned());
            return Vec::new();
        };
        self.is_tail = false;
        if trace.filter == self.filter.text {
            return self.jump(trace.num);
        }
        if let Ok(meant) = self.meant(&trace.filter) {
            self.filter = meant;
        }
        self.restart(trace.num)
    }

    /// Looks for an event that is in the list and that another filter means too.
    pub(super) fn find(&mut self, text: &str, forward: bool, why: Why) -> Vec<Ask> {
        self.look_for(text, forward, why, true)
    }

    pub(super) fn look_for(&mut self, text: &str, forward: bool, why: Why, within: bool) -> Vec<Ask> {
        let both = if within && !self.filter.text.is_empty() {
            format!("({}) and ({text})", self.filter.text)
        } else {
            text.to_owned()
        };
        let meant = match self.meant(&both) {
            Ok(meant) => meant,
            Err(problem) => {
                self.message = Some(problem);
                return Vec::new();
            }
        };
        let from = match (self.events.here(), forward) {
            (Some(row), true) => row.last.saturating_add(1),
            (Some(row), false) => row.num.saturating_sub(1),
            (None, _) => self.events.num(),
        };
        let ask = self.ask(What::Find {
            filter: meant.filter,
            from,
            forward,
        });
        self.progress.remove(&Lane::Find.index());
        self.finding = Some(Finding {
            what: crate::escape::line(text).into_owned(),
            era: ask.era,
            why,
            back_from: None,
        });
        vec![ask]
    }

    pub(super) fn found(
        &mut self,
        era: u64,
        num: Option<u64>,
        forward: bool,
        holes: u64,
        stopped: bool,
    ) -> Vec<Ask> {
        let Some(finding) = self.finding.take_if(|finding| finding.era == era) else {
            return Vec::new();
        };
        self.progress.remove(&Lane::Find.index());
        let holes = match holes {
            0 => String::new(),
            1 => " (1 hole was passed)".to_owned(),
            holes => format!(" ({holes} holes were passed)"),
        };
        let Some(num) = num else {
            let side = if forward { "after" } else { "before" };
            self.message = Some(if stopped {
                "stopped".to_owned()
            } else {
                format!("no event {side} this one: {}{holes}", finding.what)
            });
            return Vec::new();
        };
        if !holes.is_empty() {
            self.message = Some(format!("found{holes}"));
        }
        self.leave_trace(finding.why);
        self.is_tail = false;
        self.jump(num)
    }

    /// A moment was found.
    pub(super) fn arrived(&mut self, era: u64, num: u64) -> Vec<Ask> {
        let Some(finding) = self.finding.take_if(|finding| finding.era == era) else {
            return Vec::new();
        };
        self.is_tail = false;
        match finding.back_from {
            // Nothing happened in the column before: the event before this one is the nearest.
            Some(from) if num >= from => return self.walk(-1),
            Some(_) => {}
            None => self.leave_trace(finding.why),
        }
        self.jump(num)
    }

    pub(super) fn seek(&mut self, place: Place, why: Why, back_from: Option<u64>) -> Vec<Ask> {
        let ask = self.ask(What::Place(place));
        self.finding = Some(Finding {
            what: "the moment".to_owned(),
            era: ask.era,
            why,
            back_from,
        });
        vec![ask]
    }

    pub(super) fn kin(&mut self, thread: bool, forward: bool) -> Vec<Ask> {
        let kin = self.events.here().map(|row| row.kin.clone()).unwrap_or_default();
        let (found, none) = if thread {
            (kin.thread, "no thread did this")
        } else {
            (kin.thing, "this is about no descriptor, connection or request")
        };
        match found {
            Some(text) => self.find(&text, forward, Why::Walk),
            None => {
                self.message = Some(none.to_owned());
                Vec::new()
            }
        }
    }

    pub(super) fn column(&mut self, forward: bool) -> Vec<Ask> {
        let Some((num, time)) = self.events.here().map(|row| (row.num, row.time)) else {
            return Vec::new();
        };
        let context = &self.facts.context;
        let width = u64::from(self.size.0).saturating_sub(super::draw::LABEL).max(1);
        let step = (context.end.since(context.start) / width).max(1);
        let aim = if forward {
            time.0.saturating_add(step)
        } else {
            time.0.saturating_sub(step)
        };
        self.seek(Place::Time(BootTime(aim)), Why::Walk, (!forward).then_some(num))
    }

    pub(super) fn go(&mut self, text: &str) -> Result<Vec<Ask>, String> {
        if let Ok(num) = text.parse() {
            return Ok(self.seek(Place::Event(num), Why::Goto, None));
        }
        let zone = &self.facts.context.zone;
        let place = Moment::parse_in(text, Some(zone).filter(|zone| !zone.is_utc()))
            .and_then(|moment| moment.resolve(&self.facts.context))
            .map_err(|error| error.to_string())?;
        Ok(self.seek(place, Why::Goto, None))
    }
}
