//! Answers: what each does to the model, and what the screen wants to know next.

use super::ask::{Answer, Ask, Facts, Lane, Name, Row, RowKind, Told, What};
use super::list::List;
use super::model::{Model, Tab};
use crate::filter::Filter;
use std::sync::Arc;

impl Model {
    /// Takes an answer.
    pub fn answer(&mut self, answer: Answer) -> Vec<Ask> {
        let era = answer.era;
        match answer.what {
            Told::Rows {
                list,
                forward,
                rows,
                edge,
                stopped,
            } => {
                self.facts.damaged |= rows.iter().any(|row| row.kind == RowKind::Damage);
                let asks = self.list_mut(list).take(era, forward, rows, edge, stopped);
                if !self.list_mut(list).is_pending() {
                    self.progress.remove(&Lane::List(list).index());
                }
                let mut asks = asks;
                // Only when the first rows are there: what one waits for comes first.
                if !self.is_counting {
                    self.is_counting = true;
                    asks.push(self.ask(What::Overview { exact: true }));
                }
                asks.extend(self.look());
                asks
            }
            Told::Progress { lane, done, total } => {
                let is_current = match lane {
                    Lane::Find => self.finding.as_ref().is_some_and(|finding| finding.era == era),
                    _ => true,
                };
                if is_current {
                    self.progress.insert(lane.index(), (done, total));
                }
                Vec::new()
            }
            Told::Found {
                num,
                forward,
                holes,
                stopped,
            } => self.found(era, num, forward, holes, stopped),
            Told::At(num) => self.arrived(era, num),
            Told::State(shown) => {
                if self.asked == Some(shown.num) {
                    self.shown = *shown;
                    self.select_process();
                }
                Vec::new()
            }
            Told::Overview {
                overview,
                done,
                total,
            } => {
                self.overview = (*overview, done, total);
                Vec::new()
            }
            Told::Facts(facts) => self.grown(*facts),
        }
    }

    pub(super) fn list_mut(&mut self, name: Name) -> &mut List {
        match name {
            Name::Events => &mut self.events,
            Name::Follow => &mut self.follow,
            Name::Logs => &mut self.logs,
        }
    }

    fn grown(&mut self, facts: Facts) -> Vec<Ask> {
        let damaged = self.facts.damaged;
        let is_over = self.facts.growing && !facts.growing;
        let has_more = facts.last > self.facts.last;
        self.facts = facts;
        self.facts.damaged |= damaged;
        let mut asks = Vec::new();
        if has_more || is_over {
            asks.extend(self.events.grown());
            asks.extend(self.follow.grown());
            asks.extend(self.logs.grown());
            asks.push(self.ask(What::Overview { exact: true }));
        }
        if is_over {
            self.message = Some("the recording is finished".to_owned());
        }
        if has_more && self.is_tail {
            asks.extend(self.jump(self.facts.last));
        }
        asks
    }

    /// Asks for what belongs to the event under the cursor and is on the screen.
    pub(super) fn look(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        let Some(Row { num, kin, .. }) = self.events.here() else {
            return asks;
        };
        let num = *num;
        self.pid = kin.pid.or(self.pid);
        let has_left = self.areas().is_some_and(|areas| areas.left.is_some());
        if (has_left || self.tab.is_state()) && self.asked != Some(num) {
            self.asked = Some(num);
            let pid = self.pid;
            asks.push(self.ask(What::State { num, pid }));
        }
        let sees = |tab: Tab, model: &Self| {
            let shown = if has_left { model.beside.0 } else { model.tab };
            shown == tab && !(model.is_below && model.tab == tab)
        };
        if sees(Tab::Logs, self) && !self.logs.near(num) && !self.logs.is_pending() {
            let logs = Filter::parse(super::LOGS).unwrap_or_default();
            let era = self.next_era();
            asks.extend(self.logs.reset(Arc::new(logs), num, era));
        }
        if sees(Tab::Follow, self)
            && !self.followed.is_empty()
            && !self.follow.near(num)
            && !self.follow.is_pending()
        {
            let filter = Arc::clone(&self.follow.filter);
            let era = self.next_era();
            asks.extend(self.follow.reset(filter, num, era));
        }
        asks
    }

    /// The tree's cursor goes to the process of the event, unless it is moved by hand.
    fn select_process(&mut self) {
        if self.is_below && self.tab == Tab::Processes {
            return;
        }
        let pids = &self.shown.processes.pids;
        let at = self
            .pid
            .and_then(|pid| pids.iter().position(|known| *known == pid));
        if let (Some(at), Some(line)) = (at, self.lines.get_mut(Tab::Processes as usize)) {
            *line = at;
        }
        for tab in [Tab::Descriptors, Tab::Sockets, Tab::Mounts, Tab::Usage] {
            let last = self
                .table(tab)
                .map_or(0, |table| table.lines.len())
                .saturating_sub(1);
            if let Some(line) = self.lines.get_mut(tab as usize) {
                *line = (*line).min(last);
            }
        }
    }
}
