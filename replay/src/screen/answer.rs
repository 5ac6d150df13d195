//! Answers: everything that reads the bundle. It knows nothing of keys and drawing, and asks often whether the answer
//! is still wanted.

use super::ask::{Answer, Ask, Lane, Name, Row, RowKind, Told, What};
use super::kin::Kin;
use super::overview::{self, Overview};
use super::part;
use crate::moment::Place;
use crate::timeline::Timeline;
use crate::view::{Context, View};
use crate::{log, open, render};
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillframe_format::event::{Body, Event, ProcessChange};

/// The most entries of the look-back that are shown.
const LOOKBACK_MAX: usize = 2000;
/// How often progress is told.
pub(super) const TELL: Duration = Duration::from_millis(200);

/// A bundle and what is known of it so far.
#[derive(Debug)]
pub struct Desk<R> {
    pub(super) timeline: Timeline<R>,
    pub(super) context: Arc<Context>,
    /// Counts so far, and the number of the slice that comes next.
    overview: Option<(Overview, u32)>,
}

impl<R: Read + Seek> Desk<R> {
    /// A desk for a bundle.
    #[must_use]
    pub fn new(timeline: Timeline<R>, context: Arc<Context>) -> Self {
        Self {
            timeline,
            context,
            overview: None,
        }
    }

    /// The same recording, of which there is more by now. What was counted stays.
    pub fn replace(&mut self, timeline: Timeline<R>, context: Arc<Context>) {
        self.timeline = timeline;
        self.context = context;
    }

    /// Answers; `wanted` says whether it is still wanted.
    pub fn answer(&mut self, ask: &Ask, wanted: &dyn Fn() -> bool, tell: &mut dyn FnMut(Answer)) {
        let era = ask.era;
        let mut tell = |what| tell(Answer { era, what });
        match &ask.what {
            What::Rows {
                list,
                filter,
                from,
                forward,
                want,
            } => {
                let lane = Lane::List(*list);
                let mut walked = self.walk(lane, filter, (*from, *forward), *want, wanted, &mut tell);
                if *list == Name::Logs && !forward && walked.edge {
                    walked.rows.extend(self.lookback());
                }
                tell(Told::Rows {
                    list: *list,
                    forward: *forward,
                    rows: walked.rows,
                    edge: walked.edge,
                    stopped: walked.stopped,
                });
            }
            What::Find {
                filter,
                from,
                forward,
            } => {
                let walked = self.walk(Lane::Find, filter, (*from, *forward), 1, wanted, &mut tell);
                tell(Told::Found {
                    num: walked.rows.first().map(|row| row.num),
                    forward: *forward,
                    holes: walked.holes,
                    stopped: walked.stopped,
                });
            }
            What::Place(place) => tell(Told::At(self.number(*place))),
            What::State { num, pid } => {
                let shown = part::shown(&mut self.timeline, &self.context, *num, *pid);
                tell(Told::State(Box::new(shown)));
            }
            What::Overview { exact } => self.count(*exact, wanted, &mut tell),
            What::Stop(_) => {}
        }
    }

    /// The number of the event at a place, or of the nearest one.
    fn number(&mut self, place: Place) -> u64 {
        let (first, last) = (self.timeline.first(), self.timeline.total());
        let num = match place {
            Place::Event(num) => num,
            Place::Time(time) => self.timeline.first_from(time).unwrap_or(last),
        };
        num.min(last).max(first)
    }

    /// What was logged before the first event, newest first.
    fn lookback(&mut self) -> Vec<Row> {
        let stored = open::lookback(self.timeline.bundle_mut()).unwrap_or_default();
        let context = &self.context;
        stored
            .into_iter()
            .rev()
            .take(LOOKBACK_MAX)
            .map(|stored| {
                let event = log::before_the_first(stored);
                let line = log::line(&View::new(&event, context));
                Row {
                    line: format!("{:>8} {line}", "before"),
                    ..row(event, context)
                }
            })
            .collect()
    }

    fn count(&mut self, is_exact: bool, wanted: &dyn Fn() -> bool, tell: &mut dyn FnMut(Told)) {
        let context = Arc::clone(&self.context);
        let slices = self.timeline.bundle().slices().to_vec();
        let (mut exact, next) = self
            .overview
            .take()
            .unwrap_or_else(|| (Overview::new(context.start, context.end), 1));
        let total = slices.len();
        let shown = |exact: &Overview, next: u32| {
            // What was not counted yet is drawn as the index has it.
            let mut overview = exact.clone();
            for slice in slices
                .iter()
                .filter(|slice| slice.number >= next || slice.missing > 0)
            {
                overview.spread(slice);
            }
            Box::new(overview)
        };
        let mut after = next;
        let mut told = Instant::now();
        let done = |after: u32| slices.iter().filter(|slice| slice.number < after).count();
        tell(Told::Overview {
            overview: shown(&exact, after),
            done: done(after),
            total,
        });
        if !is_exact {
            self.overview = Some((exact, next));
            return;
        }
        overview::count(self.timeline.bundle_mut(), &context, next, |info, counted| {
            exact.add(info, counted);
            after = info.number.saturating_add(1);
            if told.elapsed() > TELL {
                told = Instant::now();
                tell(Told::Overview {
                    overview: shown(&exact, after),
                    done: done(after),
                    total,
                });
            }
            if wanted() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        tell(Told::Overview {
            overview: shown(&exact, after),
            done: if wanted() { total } else { done(after) },
            total,
        });
        self.overview = Some((exact, after));
    }
}

pub(super) fn row(event: Event, context: &Context) -> Row {
    let view = View::new(&event, context);
    let kind = match &event.body {
        Body::Loss(_) | Body::Clock(_) => RowKind::Hole,
        Body::Syscall(call) if call.ret.errno().is_some() => RowKind::Failed,
        Body::Block(block) if block.error != 0 => RowKind::Failed,
        Body::Uring(request) if request.errno().is_some() => RowKind::Failed,
        Body::Process(process) => match &process.change {
            ProcessChange::Signal(sent) if sent.fatal => RowKind::Failed,
            ProcessChange::OomKill(_) => RowKind::Failed,
            _ => RowKind::Event,
        },
        _ => RowKind::Event,
    };
    Row {
        num: event.num,
        last: event.num,
        time: event.time,
        kind,
        line: render::line(&view),
        kin: Kin::of(&view),
        event: Some(Arc::new(event)),
    }
}
