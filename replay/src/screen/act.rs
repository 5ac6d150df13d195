//! Keys: what each does to the model.

use super::ask::{Ask, Lane, Name, What};
use super::command_line;
use super::key::{self, Action, Key};
use super::model::{Letter, Meant, Model, Tab, Why};
use super::prompt::{Kind, Outcome, Prompt};
use crate::filter::Filter;
use std::sync::Arc;

impl Model {
    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Vec<Ask> {
        self.message = None;
        if let Some(letter) = self.letter.take() {
            return self.lettered(letter, key);
        }
        if let Some(mut prompt) = self.prompt.take() {
            return match prompt.key(key, &self.memory) {
                Outcome::Left => Vec::new(),
                Outcome::Open => {
                    self.prompt = Some(prompt);
                    Vec::new()
                }
                Outcome::Done => self.entered(prompt),
            };
        }
        let Some(action) = key::action(key) else {
            self.message = Some("no such key (? shows the keys)".to_owned());
            return Vec::new();
        };
        if self.help.is_some() {
            self.turn(action);
            return Vec::new();
        }
        self.act(action)
    }

    /// Takes text that was pasted: into a prompt, or nowhere.
    pub fn paste(&mut self, text: &str) {
        if let Some(prompt) = &mut self.prompt {
            for character in text.trim_end_matches(['\n', '\r']).chars() {
                prompt.insert(if character == '\n' { ' ' } else { character });
            }
        }
    }

    /// A key while the help is shown.
    fn turn(&mut self, action: Action) {
        let Some(top) = self.help else { return };
        let page = usize::from(self.size.1).saturating_sub(3);
        let last = key::BINDINGS.len().saturating_sub(1);
        self.help = match action {
            Action::Step(step) | Action::Page(step) => {
                let step = if matches!(action, Action::Page(_)) {
                    step.saturating_mul(page as i64)
                } else {
                    step
                };
                let aim = (top as i64).saturating_add(step).max(0);
                Some(usize::try_from(aim).unwrap_or(0).min(last))
            }
            Action::First => Some(0),
            Action::Quit | Action::Interrupt => {
                self.is_over = action == Action::Interrupt;
                None
            }
            _ => None,
        };
    }

    fn act(&mut self, action: Action) -> Vec<Ask> {
        match action {
            Action::Step(steps) => self.walk(steps),
            Action::Page(pages) => {
                let height = if self.is_below {
                    self.areas().map_or(1, |areas| areas.tab_height())
                } else {
                    self.events.height
                };
                let page = i64::try_from(height.saturating_sub(1)).unwrap_or(1).max(1);
                self.walk(pages.saturating_mul(page))
            }
            Action::First => self.end_of(false),
            Action::Last => self.end_of(true),
            Action::Kin { thread, forward } => self.kin(thread, forward),
            Action::Match(forward) => {
                if self.search.text.is_empty() {
                    return self.prompt(Kind::Search, "");
                }
                self.find(&self.search.text.clone(), forward, Why::Search)
            }
            Action::Failed(forward) => self.find("evt.failed=true or blk.failed=true", forward, Why::Walk),
            Action::Hole(forward) => self.look_for(super::HOLES, forward, Why::Walk, false),
            Action::Continue(forward) => {
                if self.condition.text.is_empty() {
                    return self.prompt(Kind::Condition(Some(forward)), "");
                }
                self.find(&self.condition.text.clone(), forward, Why::Search)
            }
            Action::Column(forward) => self.column(forward),
            Action::Search => self.prompt(Kind::Search, ""),
            Action::Filter => self.prompt(Kind::Filter, &self.filter.text.clone()),
            Action::Condition => self.prompt(Kind::Condition(None), &self.condition.text.clone()),
            Action::Goto => self.prompt(Kind::Goto, ""),
            Action::Mark => self.wait_for(Letter::Mark, "mark: a letter for this event"),
            Action::Jump => {
                let marks: String = self.marks.keys().collect();
                self.wait_for(Letter::Jump, &format!("go to mark: one of `{marks}`"))
            }
            Action::Drill => self.drill(),
            Action::Back => self.back(),
            Action::Follow { thread } => self.follow(thread),
            Action::Tab(tab) => self.choose(tab),
            Action::NextTab => self.choose((self.tab as usize + 1) % Tab::ALL.len()),
            Action::Focus => {
                self.is_below = !self.is_below;
                self.look()
            }
            Action::Sideways(right) => {
                let step = usize::from(self.size.0 / 4);
                self.sideways = if right {
                    (self.sideways + step).min(1 << 16)
                } else {
                    self.sideways.saturating_sub(step)
                };
                Vec::new()
            }
            Action::Copy => self.copy(&command_line::shown(self)),
            Action::CopyView => self.copy(&command_line::view(self)),
            Action::Help => {
                self.help = Some(0);
                Vec::new()
            }
            Action::Stop => {
                let stopped = self.stop();
                if stopped.is_empty() {
                    self.is_below = false;
                }
                stopped
            }
            Action::Redraw => {
                self.is_stale = true;
                Vec::new()
            }
            Action::Suspend => {
                self.is_suspended = true;
                Vec::new()
            }
            Action::Interrupt => {
                let stopped = self.stop();
                self.is_over = stopped.is_empty();
                stopped
            }
            Action::Quit => {
                self.is_over = true;
                Vec::new()
            }
        }
    }

    fn wait_for(&mut self, letter: Letter, text: &str) -> Vec<Ask> {
        self.letter = Some(letter);
        self.message = Some(text.to_owned());
        Vec::new()
    }

    fn prompt(&mut self, kind: Kind, text: &str) -> Vec<Ask> {
        self.prompt = Some(Prompt::new(kind, text));
        Vec::new()
    }

    fn copy(&mut self, line: &str) -> Vec<Ask> {
        self.message = Some(crate::escape::line(line).into_owned());
        self.clipboard = Some(line.to_owned());
        Vec::new()
    }

    /// Breaks off what takes long.
    fn stop(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.finding.take().is_some() {
            self.progress.remove(&Lane::Find.index());
            asks.push(self.ask(What::Stop(Lane::Find)));
            self.message = Some("stopped".to_owned());
            return asks;
        }
        for name in [Name::Events, Name::Follow, Name::Logs] {
            let lane = Lane::List(name);
            if self.list_mut(name).is_pending() && self.progress.remove(&lane.index()).is_some() {
                let stop = self.ask(What::Stop(lane));
                self.list_mut(name).stop(stop.era);
                asks.push(stop);
                self.message = Some("stopped; stepping on goes on looking".to_owned());
            }
        }
        asks
    }

    /// Steps in the list, or in the tab that has the keys.
    pub(super) fn walk(&mut self, steps: i64) -> Vec<Ask> {
        if !self.is_below {
            self.is_tail = false;
            let mut asks = self.events.go(steps);
            asks.extend(self.look());
            return asks;
        }
        match self.tab {
            Tab::Follow => self.follow.go(steps),
            Tab::Logs => self.logs.go(steps),
            tab => {
                let count = match self.table(tab) {
                    Some(table) => table.lines.len(),
                    None => self.details().len(),
                };
                if let Some(line) = self.lines.get_mut(tab as usize) {
                    let aim = i64::try_from(*line).unwrap_or(0).saturating_add(steps).max(0);
                    *line = usize::try_from(aim).unwrap_or(0).min(count.saturating_sub(1));
                }
                Vec::new()
            }
        }
    }

    fn end_of(&mut self, last: bool) -> Vec<Ask> {
        if self.is_below {
            return self.walk(if last { 1 << 20 } else { -(1 << 20) });
        }
        self.leave_trace(Why::Goto);
        self.is_tail = last && self.facts.growing;
        self.jump(if last { self.facts.last } else { self.facts.first })
    }

    fn lettered(&mut self, letter: Letter, key: Key) -> Vec<Ask> {
        let Key::Char(name) = key else { return Vec::new() };
        if !name.is_ascii_alphanumeric() {
            self.message = Some("a mark is a letter or a digit".to_owned());
            return Vec::new();
        }
        if letter == Letter::Mark {
            let Some((num, time)) = self.events.here().map(|row| (row.num, row.time)) else {
                return Vec::new();
            };
            self.marks.insert(name, (num, time));
            self.message = Some(format!("mark {name} is at #{num}"));
            return Vec::new();
        }
        let Some((num, _)) = self.marks.get(&name).copied() else {
            self.message = Some(format!("there is no mark {name}"));
            return Vec::new();
        };
        self.leave_trace(Why::Goto);
        self.is_tail = false;
        self.jump(num)
    }

    /// A prompt's line is done.
    fn entered(&mut self, mut prompt: Prompt) -> Vec<Ask> {
        let text = prompt.line();
        let text = text.trim();
        let done = match prompt.kind {
            Kind::Goto => self.go(text),
            Kind::Filter => self.set_filter(text),
            Kind::Search => self.meant(text).map(|meant| {
                self.search = meant;
                if text.is_empty() {
                    return Vec::new();
                }
                self.find(text, true, Why::Search)
            }),
            Kind::Condition(then) => self.meant(text).map(|meant| {
                self.condition = meant;
                match then {
                    Some(forward) if !text.is_empty() => self.find(text, forward, Why::Search),
                    _ => {
                        self.message = Some("c continues to it, C back".to_owned());
                        Vec::new()
                    }
                }
            }),
        };
        match done {
            Ok(asks) => {
                self.memory.add(prompt.kind, text);
                asks
            }
            Err(problem) => {
                // The cursor goes to where it went wrong.
                if let Some(error) = Filter::parse(text).err().filter(|_| prompt.kind != Kind::Goto) {
                    prompt.at = error.column.saturating_sub(1).min(prompt.text.len());
                }
                prompt.remark = Some(problem);
                self.prompt = Some(prompt);
                Vec::new()
            }
        }
    }

    fn set_filter(&mut self, text: &str) -> Result<Vec<Ask>, String> {
        let meant: Meant = self.meant(text)?;
        self.leave_trace(Why::Drill);
        self.filter = meant;
        Ok(self.restart(self.events.num()))
    }

    /// Narrows the list to what is under the cursor; from another list goes to the event.
    fn drill(&mut self) -> Vec<Ask> {
        let below = self.is_below.then_some(self.tab);
        if let Some(list) = below.and_then(|tab| self.list(tab)) {
            let Some(num) = list.here().map(|row| row.num).filter(|num| *num > 0) else {
                self.message = Some("this was before the first event".to_owned());
                return Vec::new();
            };
            self.leave_trace(Why::Goto);
            self.is_below = false;
            return self.jump(num);
        }
        let text = match below {
            Some(tab) => {
                let line = self.lines.get(tab as usize).copied().unwrap_or(0);
                self.table(tab)
                    .and_then(|table| table.lines.get(line))
                    .and_then(|(_, filter)| filter.clone())
            }
            None => {
                let kin = self.events.here().map(|row| row.kin.clone()).unwrap_or_default();
                kin.thread.or(kin.thing)
            }
        };
        let Some(text) = text else {
            self.message = Some("there is nothing to drill down to here".to_owned());
            return Vec::new();
        };
        let text = if self.filter.text.is_empty() {
            text
        } else if self.filter.text.contains(&text) {
            self.message = Some("the list is narrowed to that already".to_owned());
            return Vec::new();
        } else {
            format!("({}) and {text}", self.filter.text)
        };
        match self.set_filter(&text) {
            Ok(asks) => {
                self.is_below = false;
                asks
            }
            Err(problem) => {
                self.message = Some(problem);
                Vec::new()
            }
        }
    }

    fn follow(&mut self, thread: bool) -> Vec<Ask> {
        let kin = self.events.here().map(|row| row.kin.clone()).unwrap_or_default();
        let text = if thread {
            kin.thread
        } else {
            kin.thing.or(kin.thread)
        };
        let Some((meant, text)) = text.and_then(|text| Some((self.meant(&text).ok()?, text))) else {
            self.message = Some("there is nothing to follow here".to_owned());
            return Vec::new();
        };
        self.followed = text;
        let num = self.events.num();
        let era = self.next_era();
        let mut asks = self.follow.reset(Arc::clone(&meant.filter), num, era);
        asks.extend(self.choose(Tab::Follow as usize));
        asks
    }

    fn choose(&mut self, tab: usize) -> Vec<Ask> {
        let Some(tab) = Tab::ALL.get(tab).copied() else {
            return Vec::new();
        };
        self.tab = tab;
        match tab {
            Tab::Processes => {}
            tab if tab.is_state() => self.beside.1 = tab,
            tab => self.beside.0 = tab,
        }
        if tab == Tab::Follow && self.followed.is_empty() {
            self.message = Some("F follows what is under the cursor, P its thread".to_owned());
        }
        self.look()
    }
}
