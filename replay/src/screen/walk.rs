//! Walks over events in both directions: rows for lists, and the next event that is meant.

use super::answer::{Desk, TELL, row};
use super::ask::{Lane, Row, RowKind, Told};
use super::kin::Kin;
use crate::filter::Filter;
use crate::moment::Place;
use crate::render;
use crate::timeline::{Damage, Range, Search};
use crate::view::Context;
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;
use stillframe_format::event::Event;
use stillframe_format::ledger::SliceInfo;

/// The most slices that are searched in one go.
const BATCH_MAX: usize = 64;

/// What a walk over events gave.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) rows: Vec<Row>,
    pub(super) edge: bool,
    pub(super) stopped: bool,
    pub(super) holes: u64,
    /// What can't be read is counted as a hole, and is no row.
    only_events: bool,
}

impl<R: Read + Seek> Desk<R> {
    /// Rows of events that a filter means, nearest first.
    pub(super) fn walk(
        &mut self,
        lane: Lane,
        filter: &Filter,
        (from, forward): (u64, bool),
        want: usize,
        wanted: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(Told),
    ) -> Walked {
        let mut walked = Walked {
            only_events: lane == Lane::Find,
            ..Walked::default()
        };
        let count = self.timeline.bundle().slices().len();
        let slices = self.timeline.bundle().slices();
        // The slice that the events from `from` on, or up to it, begin in.
        let after = slices.partition_point(|slice| slice.first <= from);
        let mut next = if forward { after.saturating_sub(1) } else { after };
        let total = if forward { count.saturating_sub(next) } else { next };
        let (mut done, mut batch, mut told) = (0usize, 1usize, Instant::now());
        while walked.rows.len() < want {
            let batch_of = if forward {
                next..next.saturating_add(batch).min(count)
            } else {
                next.saturating_sub(batch)..next
            };
            if batch_of.is_empty() {
                walked.edge = true;
                break;
            }
            if !wanted() {
                walked.stopped = true;
                break;
            }
            let before = done;
            (done, next) = (
                done + batch_of.len(),
                if forward { batch_of.end } else { batch_of.start },
            );
            let left = want - walked.rows.len();
            let mut at = before;
            let mut progress = || {
                at += 1;
                if told.elapsed() > TELL {
                    told = Instant::now();
                    tell(Told::Progress {
                        lane,
                        done: at,
                        total,
                    });
                }
            };
            self.searched(
                batch_of,
                (from, forward),
                (filter, left),
                &mut walked,
                wanted,
                &mut progress,
            );
            // Where few are meant, more and more slices are looked at by all processors.
            if !filter.is_all() {
                batch = (batch * 2).min(BATCH_MAX);
            }
        }
        walked
    }

    fn searched(
        &mut self,
        batch: std::ops::Range<usize>,
        (from, forward): (u64, bool),
        (filter, left): (&Filter, usize),
        walked: &mut Walked,
        wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(),
    ) {
        let slices = self
            .timeline
            .bundle()
            .slices()
            .get(batch.clone())
            .unwrap_or_default();
        let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
            return;
        };
        let (low, high) = (
            first.first,
            last.first.saturating_add(last.events).saturating_sub(1),
        );
        let missing: Vec<Damage> = slices.iter().filter(|info| info.missing > 0).map(gone).collect();
        let (mut low, mut high) = if forward {
            (low.max(from), high)
        } else {
            (low, high.min(from))
        };
        if low > high {
            return;
        }
        // Of all events the numbers are known beforehand.
        if filter.is_all() && forward {
            high = high.min(low.saturating_add(left as u64 - 1));
        } else if filter.is_all() {
            low = low.max(high.saturating_sub(left as u64 - 1));
        }
        let range = Range {
            from: Some(Place::Event(low)),
            to: Some(Place::Event(high)),
        };
        let context = Arc::clone(&self.context);
        // A few that are near are found soonest without reading ahead.
        let limit = (forward && batch.len() == 1).then_some(left as u64);
        let search = Search {
            range,
            filter,
            context: &context,
            count: false,
            limit,
        };
        // Kept as they are: only those that are wanted in the end are made rows of.
        let mut found: Vec<Found> = Vec::new();
        let searched: Result<(), Infallible> = self.timeline.search(&search, |slice| {
            match slice {
                Ok(slice) => {
                    walked.holes += slice.hidden.values().map(|(holes, _)| holes).sum::<u64>();
                    found.extend(slice.events.into_iter().map(Found::Event));
                }
                Err(_) if walked.only_events => walked.holes += 1,
                Err(damage) => found.push(Found::Damage(damage)),
            }
            if !forward {
                found.drain(..found.len().saturating_sub(left));
            }
            progress();
            walked.stopped |= !wanted();
            let enough = forward && found.len() >= left;
            Ok(if walked.stopped || enough {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        });
        match searched {
            Ok(()) => {}
        }
        if walked.stopped {
            // What was not looked at may hold nearer ones.
            return;
        }
        if walked.only_events {
            walked.holes += missing.len() as u64;
        } else if !missing.is_empty() {
            found.extend(missing.into_iter().map(Found::Damage));
            found.sort_by_key(Found::num);
        }
        if !forward {
            found.reverse();
        }
        for found in found.into_iter().take(left) {
            match found {
                Found::Event(event) => walked.rows.push(row(event, &context)),
                Found::Damage(damage) => walked.damage(&damage, &context),
            }
        }
    }
}

/// What a search came upon.
enum Found {
    Event(Event),
    Damage(Damage),
}

impl Found {
    fn num(&self) -> u64 {
        match self {
            Self::Event(event) => event.num,
            Self::Damage(damage) => damage.first,
        }
    }
}

impl Walked {
    fn damage(&mut self, damage: &Damage, context: &Context) {
        self.holes += 1;
        if damage.events > 0 && !self.only_events {
            self.rows.push(Row {
                num: damage.first,
                last: damage.first.saturating_add(damage.events - 1),
                time: damage.from,
                kind: RowKind::Damage,
                line: format!("{:>8} {}", damage.first, render::damage(damage, context)),
                kin: Kin::default(),
                event: None,
            });
        }
    }
}

/// Slices that a salvaged bundle lacks.
fn gone(info: &SliceInfo) -> Damage {
    Damage {
        slice: info.number,
        first: info.first,
        events: info.events,
        from: info.from,
        to: info.to,
        problem: "it is not in this bundle".to_owned(),
    }
}
