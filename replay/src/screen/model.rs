//! What the screen shows and what it waits for. Keys and answers change it, and it says what is to be asked; it reads
//! and draws nothing.

use super::ask::{Ask, Facts, Lane, Name, Shown, Table, What};
use super::draw;
use super::layout::{self, Areas};
use super::list::List;
use super::overview::Overview;
use super::prompt::{Memory, Prompt};
use crate::filter::Filter;
use crate::moment::Place;
use crate::view::View;
use crate::{escape, render};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use stillframe_format::BootTime;

/// What a tab shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// All fields of the event.
    Details,
    /// Processes as a tree.
    Processes,
    /// Open descriptors.
    Descriptors,
    /// Sockets.
    Sockets,
    /// Mounts.
    Mounts,
    /// Events of the same thread, descriptor, connection or request.
    Follow,
    /// Logs around the event.
    Logs,
    /// What caused what: nothing yet.
    Links,
    /// What containers do, and what they use.
    Usage,
}

impl Tab {
    /// All of them, in the order of their digits.
    pub const ALL: [Self; 9] = [
        Self::Details,
        Self::Processes,
        Self::Descriptors,
        Self::Sockets,
        Self::Mounts,
        Self::Follow,
        Self::Logs,
        Self::Links,
        Self::Usage,
    ];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Processes => "procs",
            Self::Descriptors => "fds",
            Self::Sockets => "net",
            Self::Mounts => "mounts",
            Self::Follow => "follow",
            Self::Logs => "logs",
            Self::Links => "links",
            Self::Usage => "usage",
        }
    }

    /// Whether it shows a part of the state.
    #[must_use]
    pub fn is_state(self) -> bool {
        matches!(
            self,
            Self::Processes | Self::Descriptors | Self::Sockets | Self::Mounts | Self::Usage
        )
    }
}

/// How it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// With colours; they never say anything alone.
    pub colour: bool,
    /// ASCII only.
    pub ascii: bool,
}

/// A place that one can go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) num: u64,
    pub(super) filter: String,
    pub(super) by: Why,
}

/// Why the cursor jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Search,
    Walk,
    Goto,
    Drill,
}

/// What is waited for in [`Lane::Find`].
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// In words.
    pub(super) what: String,
    pub(super) era: u64,
    pub(super) why: Why,
    /// A jump to a moment back from here must not end here.
    pub(super) back_from: Option<u64>,
}

/// A letter that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    Mark,
    Jump,
}

/// A filter and its text.
#[derive(Clone, Debug, Default)]
pub(super) struct Meant {
    pub(super) text: String,
    pub(super) filter: Arc<Filter>,
}

/// Everything that is on the screen.
#[derive(Debug)]
pub struct Model {
    /// The bundle as it was named.
    pub path: PathBuf,
    /// What is known of it.
    pub facts: Facts,
    /// Columns and rows.
    pub size: (u16, u16),
    /// How it is drawn.
    pub look: Look,
    /// All events.
    pub events: List,
    /// Those that are followed.
    pub follow: List,
    /// Logs.
    pub logs: List,
    /// The tab that was chosen last.
    pub tab: Tab,
    /// The last one that shows no state, and the last one that shows a state other than processes: wide screens have
    /// room for both.
    pub beside: (Tab, Tab),
    /// Keys go to the tab.
    pub is_below: bool,
    /// The line of a tab that the cursor is on, by the tab's place.
    pub lines: [usize; Tab::ALL.len()],
    /// The state.
    pub shown: Shown,
    /// Counts over time; slices that are counted, and all.
    pub overview: (Overview, usize, usize),
    /// Marks: their events, and when those were.
    pub marks: BTreeMap<char, (u64, BootTime)>,
    /// The line that is typed.
    pub prompt: Option<Prompt>,
    /// The first line of the help that is shown.
    pub help: Option<usize>,
    /// What was done, or why it was not.
    pub message: Option<String>,
    /// Columns that long lines are scrolled by.
    pub sideways: usize,
    /// The end.
    pub is_over: bool,
    /// What is to go to the terminal's clipboard.
    pub clipboard: Option<String>,
    /// Everything is to be drawn anew.
    pub is_stale: bool,
    /// The program is to be stopped, as by Ctrl-Z.
    pub is_suspended: bool,
    pub(super) filter: Meant,
    pub(super) search: Meant,
    pub(super) condition: Meant,
    pub(super) followed: String,
    pub(super) finding: Option<Finding>,
    pub(super) progress: BTreeMap<usize, (usize, usize)>,
    pub(super) letter: Option<Letter>,
    pub(super) traces: Vec<Trace>,
    pub(super) memory: Memory,
    /// The cursor stays at the end of what grows.
    pub(super) is_tail: bool,
    /// The overview was asked to be exact.
    pub(super) is_counting: bool,
    /// The event whose state was asked for.
    pub(super) asked: Option<u64>,
    pub(super) pid: Option<u32>,
    pub(super) era: u64,
}

impl Model {
    /// A screen that shows nothing yet.
    #[must_use]
    pub fn new(path: PathBuf, facts: Facts, look: Look) -> Self {
        Self {
            path,
            facts,
            size: (80, 24),
            look,
            events: List::new(Name::Events),
            follow: List::new(Name::Follow),
            logs: List::new(Name::Logs),
            tab: Tab::Details,
            beside: (Tab::Details, Tab::Descriptors),
            is_below: false,
            lines: [0; Tab::ALL.len()],
            shown: Shown::default(),
            overview: (Overview::default(), 0, 0),
            marks: BTreeMap::new(),
            prompt: None,
            help: None,
            message: None,
            sideways: 0,
            is_over: false,
            clipboard: None,
            is_stale: false,
            is_suspended: false,
            filter: Meant::default(),
            search: Meant::default(),
            condition: Meant::default(),
            followed: String::new(),
            finding: None,
            progress: BTreeMap::new(),
            letter: None,
            traces: Vec::new(),
            memory: Memory::default(),
            is_tail: false,
            is_counting: false,
            asked: None,
            pid: None,
            era: 0,
        }
    }

    /// Begins at an event, with a filter; `None` begins at the end of what grows, else at the start.
    pub fn begin(&mut self, at: Option<Place>, filter: &str) -> Vec<Ask> {
        self.is_tail = self.facts.growing && at.is_none();
        let first = if self.is_tail {
            self.facts.last
        } else {
            self.facts.first
        };
        let mut asks = vec![self.ask(What::Overview { exact: false })];
        self.message = self.facts.shortfall.clone().filter(|_| !self.facts.growing);
        match self.meant(filter) {
            Ok(meant) => self.filter = meant,
            Err(problem) => self.message = Some(problem),
        }
        match at {
            Some(Place::Event(num)) => {
                asks.extend(self.restart(num.clamp(self.facts.first, self.facts.last)));
            }
            Some(place @ Place::Time(_)) => {
                asks.extend(self.restart(first));
                asks.extend(self.seek(place, Why::Goto, None));
            }
            None => asks.extend(self.restart(first)),
        }
        asks
    }

    /// The filter of the list; empty means all.
    #[must_use]
    pub fn filter_text(&self) -> &str {
        &self.filter.text
    }

    /// What is followed; empty for nothing.
    #[must_use]
    pub fn followed(&self) -> &str {
        &self.followed
    }

    /// What is being searched for, in words, and slices that are done of all.
    #[must_use]
    pub fn busy(&self) -> Option<(String, Option<(usize, usize)>)> {
        let progress = |lane: Lane| self.progress.get(&lane.index()).copied();
        if let Some(finding) = &self.finding {
            return Some((finding.what.clone(), progress(Lane::Find)));
        }
        [&self.events, &self.follow, &self.logs]
            .into_iter()
            .find(|list| list.is_pending() && progress(Lane::List(list.name)).is_some())
            .map(|list| {
                let what = match list.name {
                    Name::Events => "events that the filter means",
                    Name::Follow => "events that belong together",
                    Name::Logs => "logs",
                };
                (what.to_owned(), progress(Lane::List(list.name)))
            })
    }

    /// The screen's parts.
    #[must_use]
    pub fn areas(&self) -> Option<Areas> {
        layout::areas(self.size.0, self.size.1)
    }

    /// All about the event under the cursor, in lines that the tab has room for. The whole line comes first: the list
    /// has seldom room for it.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        let width = self.areas().map_or(80, |areas| usize::from(areas.tabs.width));
        let Some(row) = self.events.here() else {
            return Vec::new();
        };
        let Some(event) = &row.event else {
            return draw::folded(&row.line, width);
        };
        let view = View::new(event, &self.facts.context);
        let mut lines = draw::folded(&render::summary(&view), width);
        for line in render::details(&view).lines() {
            lines.extend(draw::folded(&escape::line(line), width));
        }
        lines
    }

    /// The part of the state that a tab shows.
    #[must_use]
    pub fn table(&self, tab: Tab) -> Option<&Table> {
        match tab {
            Tab::Processes => Some(&self.shown.processes),
            Tab::Descriptors => Some(&self.shown.descriptors),
            Tab::Sockets => Some(&self.shown.sockets),
            Tab::Mounts => Some(&self.shown.mounts),
            Tab::Usage => Some(&self.shown.usage),
            _ => None,
        }
    }

    /// The list that a tab shows.
    #[must_use]
    pub fn list(&self, tab: Tab) -> Option<&List> {
        match tab {
            Tab::Follow => Some(&self.follow),
            Tab::Logs => Some(&self.logs),
            _ => None,
        }
    }

    pub(super) fn ask(&mut self, what: What) -> Ask {
        self.era += 1;
        Ask { era: self.era, what }
    }

    pub(super) fn next_era(&mut self) -> u64 {
        self.era += 1;
        self.era
    }

    /// Reads a filter.
    pub(super) fn meant(&self, text: &str) -> Result<Meant, String> {
        let filter = Filter::parse(text).map_err(|error| error.to_string())?;
        Ok(Meant {
            text: text.trim().to_owned(),
            filter: Arc::new(filter),
        })
    }

    /// Makes the list anew around an event. Holes are in it whatever the filter says.
    pub(super) fn restart(&mut self, num: u64) -> Vec<Ask> {
        let filter = if self.filter.filter.is_all() {
            Arc::default()
        } else {
            let holes = Filter::parse(super::HOLES).unwrap_or_default();
            Arc::new(Filter::clone(&self.filter.filter).or(holes))
        };
        let era = self.next_era();
        self.progress.remove(&Lane::List(Name::Events).index());
        self.resized();
        let mut asks = self.events.reset(filter, num, era);
        asks.extend(self.look());
        asks
    }

    /// Another size of the screen.
    pub fn resize(&mut self, width: u16, height: u16) -> Vec<Ask> {
        self.size = (width, height);
        self.resized();
        let mut asks = self.events.refill();
        asks.extend(self.look());
        asks
    }

    fn resized(&mut self) {
        if let Some(areas) = self.areas() {
            self.events.height = areas.list_height();
            self.follow.height = areas.tab_height();
            self.logs.height = areas.tab_height();
            for list in [&mut self.events, &mut self.follow, &mut self.logs] {
                list.scroll();
            }
        }
    }
}
