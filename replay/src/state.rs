//! The state at a moment: the nearest checkpoint before it, and the events since folded over it.

mod calls;
mod containers;
mod table;

pub(crate) use table::age;
pub use table::{Part, Row, rows, text};

use crate::moment::Place;
use crate::open;
use crate::scan;
use crate::timeline::{Damage, Timeline};
use calls::Calls;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Body, Loss, OpenCall, Stream};
use stillframe_format::header::TargetInfo;
use stillframe_format::layout::{START_STATE, STATE, slice_member};
use stillframe_format::reader::{Bundle, Slice, SlicePart, Streams};
use stillframe_format::snapshot::{DescriptorInfo, MountInfo, ProcessInfo, SocketInfo};
use stillframe_format::state::{Start, State, Until};
use stillframe_format::table::Segment;

/// A state, and where it holds.
#[derive(Debug)]
pub struct Found {
    /// The state.
    pub state: State,
    /// The last event that it is folded from; 0 for none.
    pub after: u64,
    /// The calls that were in flight then, one for each thread at most, by process and thread.
    pub calls: Vec<OpenCall>,
    /// The moment; `None` when it is before everything.
    pub time: Option<BootTime>,
    /// The engine's events were recorded: without them nobody knows what became of containers after the start.
    pub watched: bool,
    /// Slices that could not be read on the way: what they held is missing, and the state is uncertain since.
    pub damages: Vec<Damage>,
}

/// The state at a place: after the events up to it, that of its number included.
///
/// Of a moment, events are meant that stand before the first one after it: one that came late counts where it stands.
pub fn at<R: Read + Seek>(timeline: &mut Timeline<R>, place: Place) -> Found {
    let watched = is_engine_watched(timeline.bundle());
    Found {
        watched,
        ..folded(timeline, place)
    }
}

/// Whether the events of the engine were recorded, as far as header and end record tell.
fn is_engine_watched<R: Read + Seek>(bundle: &Bundle<R>) -> bool {
    const SOURCE: &str = "events";
    let planned = bundle.header().preflight.pointer("/sources/events/state");
    let ready = planned.is_none_or(|state| state.as_str() == Some("ready"));
    let sources = bundle.end().map_or(&[][..], |end| &end.sources);
    let outcome = sources.iter().find(|source| source.name == SOURCE);
    ready && outcome.is_none_or(|source| source.state == "captured")
}

fn folded<R: Read + Seek>(timeline: &mut Timeline<R>, place: Place) -> Found {
    let slices = timeline.bundle().slices();
    let last = match place {
        Place::Event(num) => slices.partition_point(|slice| slice.first <= num),
        Place::Time(time) => slices.partition_point(|slice| slice.to <= time).saturating_add(1),
    }
    .min(slices.len());
    let Some(index) = last.checked_sub(1) else {
        return Found::new(base(timeline, last).1);
    };
    let mut found = timeline.open_beside(index, |timeline| before_slice(timeline, index));
    let read = match timeline.loaded(index) {
        Some(Ok(opened)) => found
            .moment(&opened.part, opened.segment.as_ref(), place)
            .map_err(|error| Damage::new(opened.part.info(), &error)),
        Some(Err(damage)) => Err(damage.clone()),
        None => return found,
    };
    match read {
        Ok(calls) => {
            let before = match calls.unseen.as_slice() {
                [] => BTreeSet::new(),
                unseen => calls::entered_unseen(timeline, index, unseen),
            };
            found.calls = calls.all(&before);
        }
        Err(damage) => found.damage(damage),
    }
    found
}

/// The state when a slice begins.
fn before_slice<R: Read + Seek>(timeline: &mut Timeline<R>, index: usize) -> Found {
    let (first, state) = base(timeline, index + 1);
    let mut found = Found::new(state);
    let number = |count| slices_before(timeline, count);
    let numbers = number(first + 1)..number(index + 1);
    let folded = scan::slices(
        timeline.bundle_mut(),
        |info| numbers.contains(&info.number),
        |bytes| bytes.open(State::streams()),
        |info, part| {
            match part.and_then(|part| found.state.apply_part(&part, Until::End)) {
                Ok(after) => found.after = after,
                Err(error) => found.damage(Damage::new(info, &error)),
            }
            Ok::<_, Infallible>(ControlFlow::Continue(()))
        },
    );
    match folded {
        Ok(()) => found,
        Err(never) => match never {},
    }
}

impl Found {
    fn new(state: State) -> Self {
        Self {
            state,
            after: 0,
            calls: Vec::new(),
            time: None,
            watched: true,
            damages: Vec::new(),
        }
    }

    /// Goes over the slice of the moment up to it, and gives the calls in flight then.
    fn moment(
        &mut self,
        part: &SlicePart,
        segment: Option<&Segment>,
        place: Place,
    ) -> Result<Calls, ReadError> {
        let calls = segment.map(|segment| part.calls(segment)).transpose()?;
        let calls = calls.as_ref();
        let until = match place {
            Place::Event(num) => Until::Event(num),
            Place::Time(time) => Until::Time(time),
        };
        self.after = self.state.apply_columns(part, calls, until)?;
        let time = match place {
            Place::Time(time) => time,
            Place::Event(_) => calls::time_of(part, calls, self.after)?,
        };
        self.time = Some(time);
        calls::in_flight(part, calls, self.after, time)
    }

    /// What a slice held that cannot be read is missing.
    fn damage(&mut self, damage: Damage) {
        miss(&mut self.state, &damage);
        self.damages.push(damage);
    }
}

/// The number of the last of the first `count` slices; 0 where there is none.
fn slices_before<R: Read + Seek>(timeline: &Timeline<R>, count: usize) -> u32 {
    let slices = timeline.bundle().slices();
    let last = count.min(slices.len()).checked_sub(1);
    last.and_then(|last| slices.get(last))
        .map_or(0, |slice| slice.number)
}

/// Goes over a slice that cannot be read: calls, and events of processes and of the engine, may be missing.
pub(crate) fn miss(state: &mut State, damage: &Damage) {
    for stream in [Stream::Syscall, Stream::Engine] {
        let hole = Body::Loss(Loss {
            stream,
            cause: "damaged".to_owned(),
            count: 0,
            from: damage.from,
            to: damage.to,
            scope: String::new(),
        });
        state.apply(damage.first, damage.to, &hole);
    }
}

/// The newest checkpoint among the first `last` slices, and the place of its slice; else the start.
fn base<R: Read + Seek>(timeline: &mut Timeline<R>, last: usize) -> (usize, State) {
    for index in (0..last).rev() {
        let has = timeline
            .bundle()
            .slices()
            .get(index)
            .is_some_and(|info| info.checkpoint);
        if !has {
            continue;
        }
        // An unreadable checkpoint is no hole in the events: an older one serves as well.
        let state = timeline
            .bundle_mut()
            .slice_bytes(index)
            .and_then(|bytes| bytes.open(Streams::default()))
            .and_then(|part| {
                let what = slice_member(part.info().number, STATE);
                part.member(STATE)?
                    .map(|bytes| State::decode(&what, bytes))
                    .transpose()
            });
        if let Ok(Some(state)) = state {
            return (index, state);
        }
    }
    let bundle = timeline.bundle_mut();
    let cut = cut_state(bundle);
    (0, cut.unwrap_or_else(|| start(bundle)))
}

/// The checkpoint of a slice: the state before its first event.
#[must_use]
pub fn checkpoint(slice: &Slice) -> Option<Result<State, String>> {
    let bytes = slice.checkpoint.as_deref()?;
    let what = slice_member(slice.ledger.slice, STATE);
    Some(State::decode(&what, bytes).map_err(|error| error.to_string()))
}

/// The state before the first event of a bundle that was cut out of another.
pub fn cut_state<R: Read + Seek>(bundle: &mut Bundle<R>) -> Option<State> {
    let mut found = None;
    open::for_each_start_member(bundle, |name, content| {
        if name == START_STATE {
            found = State::decode(name, content).ok();
        }
    });
    found
}

/// The state that the snapshot at the start tells. What cannot be read of it is not there.
pub fn start<R: Read + Seek>(bundle: &mut Bundle<R>) -> State {
    let targets: Vec<TargetInfo> = bundle.header().targets.clone();
    let mut snapshots: Vec<Snapshot> = targets.iter().map(|_| Snapshot::default()).collect();
    open::for_each_start_member(bundle, |name, content| {
        let Some((folder, file)) = name
            .strip_prefix("start/containers/")
            .and_then(|rest| rest.rsplit_once('/'))
        else {
            return;
        };
        for (target, snapshot) in targets.iter().zip(&mut snapshots) {
            if target.folder == folder {
                snapshot.take(file, content);
            }
        }
    });
    let mut state = State::default();
    for (target, snapshot) in targets.iter().zip(&snapshots) {
        state.add(&Start {
            container: &target.id,
            processes: &snapshot.processes,
            descriptors: &snapshot.descriptors,
            sockets: &snapshot.sockets,
            mounts: &snapshot.mounts,
        });
        if target.kind == CONTAINER {
            state.add_container(&target.id, &target.name, &snapshot.inspection);
        }
    }
    state
}

/// What kind of target a container is.
const CONTAINER: &str = "container";

/// What the snapshot holds of one target.
#[derive(Default)]
struct Snapshot {
    processes: Vec<ProcessInfo>,
    descriptors: Vec<DescriptorInfo>,
    sockets: Vec<SocketInfo>,
    mounts: Vec<MountInfo>,
    /// The engine's reply.
    inspection: Vec<u8>,
}

impl Snapshot {
    fn take(&mut self, file: &str, content: &[u8]) {
        fn list<T: DeserializeOwned>(content: &[u8]) -> Vec<T> {
            serde_json::from_slice(content).unwrap_or_default()
        }
        match file {
            "processes.json" => self.processes = list(content),
            "fds.json" => self.descriptors = list(content),
            "sockets.json" => self.sockets = list(content),
            "mounts.json" => self.mounts = list(content),
            "inspect.json" => self.inspection = content.to_vec(),
            _ => {}
        }
    }
}

/// Folds the slices that `verify` hands over, and compares checkpoints with what the events since the one before give.
#[derive(Debug, Default)]
pub struct Proof {
    /// The state behind the last slice, and that slice's number.
    behind: Option<(u32, State)>,
}

impl Proof {
    /// Begins with the state that a bundle gives before the first event of a slice: a cut one in its start.
    #[must_use]
    pub fn before(slice: u32, state: State) -> Self {
        Self {
            behind: slice.checked_sub(1).map(|before| (before, state)),
        }
    }

    /// Goes over a sound slice. Gives what is wrong with its checkpoint.
    pub fn slice(&mut self, slice: &Slice) -> Option<String> {
        let number = slice.ledger.slice;
        // Behind a slice that could not be read nothing is known.
        let folded = self
            .behind
            .take()
            .filter(|(before, _)| before.checked_add(1) == Some(number))
            .map(|(_, state)| state);
        let (mut state, problem) = match (checkpoint(slice), folded) {
            (None, None) => return None,
            (None, Some(folded)) => (folded, None),
            (Some(Ok(stored)), None) => (stored, None),
            (Some(Ok(stored)), Some(folded)) => {
                let same = stored == folded;
                let problem = format!("slice {number}: its checkpoint is not what the events before it give");
                (stored, (!same).then_some(problem))
            }
            (Some(Err(problem)), Some(folded)) => (folded, Some(problem)),
            (Some(Err(problem)), None) => return Some(problem),
        };
        for event in &slice.events {
            state.apply(event.num, event.time, &event.body);
        }
        self.behind = Some((number, state));
        problem
    }
}
