//! What the screen asks of the threads that read the bundle, and what they answer.

use super::kin::Kin;
use super::overview::Overview;
use crate::filter::Filter;
use crate::moment::Place;
use crate::open;
use crate::view::Context;
use std::io::{Read, Seek};
use std::sync::Arc;
use stillframe_format::reader::{Bundle, Condition};
use stillframe_format::{BootTime, Event};

/// A thread that reads. Each has work of one kind, so that long work keeps nothing else waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Rows of a list.
    List(Name),
    /// Searches and jumps to a moment.
    Find,
    /// The state at an event.
    State,
    /// Counts over time.
    Overview,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::List(Name::Events),
        Self::List(Name::Follow),
        Self::List(Name::Logs),
        Self::Find,
        Self::State,
        Self::Overview,
    ];

    /// Its place in [`Lane::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::List(Name::Events) => 0,
            Self::List(Name::Follow) => 1,
            Self::List(Name::Logs) => 2,
            Self::Find => 3,
            Self::State => 4,
            Self::Overview => 5,
        }
    }
}

/// A list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// All that the filter means.
    Events,
    /// Those of one thread, descriptor, connection or request.
    Follow,
    /// Logs.
    Logs,
}

/// A piece of work. Of work that a lane gets, only the newest era counts: older work is broken off.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When it was asked for.
    pub era: u64,
    /// What.
    pub what: What,
}

/// See [`Ask`].
#[derive(Clone, Debug)]
pub enum What {
    /// Rows of a list from an event on, that one included.
    Rows {
        /// The list.
        list: Name,
        /// Which events.
        filter: Arc<Filter>,
        /// From where.
        from: u64,
        /// Forward, or back.
        forward: bool,
        /// How many.
        want: usize,
    },
    /// The next event that a filter means, from an event on, that one included.
    Find {
        /// Which events.
        filter: Arc<Filter>,
        /// From where.
        from: u64,
        /// Forward, or back.
        forward: bool,
    },
    /// The event at a moment.
    Place(Place),
    /// The state after an event.
    State {
        /// The event.
        num: u64,
        /// The process whose descriptors are meant; `None` for those of all.
        pid: Option<u32>,
    },
    /// Counts over time: of what was not counted yet, or only what the index tells.
    Overview {
        /// Everything is to be counted.
        exact: bool,
    },
    /// Nothing any more.
    Stop(Lane),
}

impl What {
    /// The lane that does it.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Rows { list, .. } => Lane::List(*list),
            Self::Find { .. } | Self::Place(_) => Lane::Find,
            Self::State { .. } => Lane::State,
            Self::Overview { .. } => Lane::Overview,
            Self::Stop(lane) => *lane,
        }
    }
}

/// What a lane found out.
#[derive(Debug)]
pub struct Answer {
    /// The era of the question.
    pub era: u64,
    /// What.
    pub what: Told,
}

/// See [`Answer`].
#[derive(Debug)]
pub enum Told {
    /// Rows, nearest first.
    Rows {
        /// The list.
        list: Name,
        /// Which way they lie.
        forward: bool,
        /// The rows.
        rows: Vec<Row>,
        /// Whether there is nothing behind them.
        edge: bool,
        /// It was broken off.
        stopped: bool,
    },
    /// How far a search is.
    Progress {
        /// Whose.
        lane: Lane,
        /// Slices that were looked through.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// The end of a search.
    Found {
        /// The event.
        num: Option<u64>,
        /// Which way.
        forward: bool,
        /// Holes that were passed: what is meant may have been in them.
        holes: u64,
        /// It was broken off.
        stopped: bool,
    },
    /// The event at a moment.
    At(u64),
    /// A state.
    State(Box<Shown>),
    /// Counts over time so far.
    Overview {
        /// The counts.
        overview: Box<Overview>,
        /// Slices that are counted.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// The bundle has grown, or was finished.
    Facts(Box<Facts>),
}

/// What the screen knows of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What events are read with.
    pub context: Arc<Context>,
    /// The number of the first event.
    pub first: u64,
    /// The number of the last one; one less than the first where there is none.
    pub last: u64,
    /// How far the bundle is good, where it is not complete.
    pub shortfall: Option<String>,
    /// It is still being written.
    pub growing: bool,
    /// Some slices that were read can't be.
    pub damaged: bool,
}

impl Facts {
    /// What a bundle tells; one that ends early may be `followed` while it is written.
    #[must_use]
    pub fn of<R: Read + Seek>(bundle: &Bundle<R>, context: Arc<Context>, followed: bool) -> Self {
        let condition = bundle.condition();
        Self {
            shortfall: open::shortfall(condition, &context),
            context,
            first: bundle.first_event(),
            last: bundle.last_event().max(bundle.first_event()),
            growing: followed && matches!(condition, Condition::Cut { .. }),
            damaged: false,
        }
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// An event.
    Event,
    /// An event that says that something failed.
    Failed,
    /// Lost events, a step of the clock.
    Hole,
    /// Events that can't be read.
    Damage,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The number of the event; of events that can't be read that of the first; 0 for what was logged before the first.
    pub num: u64,
    /// The number of the last event that it stands for.
    pub last: u64,
    /// When.
    pub time: BootTime,
    /// What it is.
    pub kind: RowKind,
    /// As it is printed elsewhere, escaped.
    pub line: String,
    /// What it belongs to.
    pub kin: Kin,
    /// The event itself, where it is one.
    pub event: Option<Arc<Event>>,
}

/// A state as lines, escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// After this event.
    pub num: u64,
    /// The process whose descriptors are shown.
    pub pid: Option<u32>,
    /// Why it is not certain.
    pub doubt: Option<String>,
    /// Processes as a tree.
    pub processes: Table,
    /// Descriptors.
    pub descriptors: Table,
    /// Sockets.
    pub sockets: Table,
    /// Mounts.
    pub mounts: Table,
    /// Containers and what they use.
    pub usage: Table,
}

/// A part of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of columns.
    pub head: String,
    /// Lines, and for each the filter that means what it is about.
    pub lines: Vec<(String, Option<String>)>,
    /// Lines that were left out because there were too many.
    pub more: usize,
    /// The processes of the lines; only those of the tree have one.
    pub pids: Vec<u32>,
}
