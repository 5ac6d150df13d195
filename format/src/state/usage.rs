//! What a container used: the latest reading of its counters, and the one before, so that a rate can be told
//! (`docs/format.md`, "Checkpoint").

use super::State;
use crate::BootTime;
use crate::event::Metrics;
use crate::layout::{CONTAINER_TEXT_MAX, CONTAINERS_MAX, READINGS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of what is the host's, not the container's.
const HOST: &str = "host.";

/// The latest reading of a container's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// When it was read.
    pub time: BootTime,
    /// The number of its event.
    pub event: u64,
    /// When the reading before was; `None` where there was none.
    pub before: Option<BootTime>,
    /// By name: the value, and that of the reading before where it has one.
    values: BTreeMap<String, (u64, Option<u64>)>,
    /// It has more values than are kept.
    pub left_out: bool,
}

/// By how much a counter grew, and in how many nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Increase {
    /// By how much.
    pub by: u64,
    /// In how many nanoseconds; never 0.
    pub within: u64,
}

impl Increase {
    /// How much that is in a second.
    #[must_use]
    pub fn a_second(self) -> u64 {
        let rate = u128::from(self.by) * 1_000_000_000 / u128::from(self.within.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Usage {
    /// The value of a name (`docs/metrics.md`); `None`: it was not offered.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).map(|(value, _)| *value)
    }

    /// By how much a value grew since the reading before; `None` where that lacks it, or it is a counter that began anew.
    #[must_use]
    pub fn increase(&self, name: &str) -> Option<Increase> {
        let (value, before) = self.values.get(name)?;
        let within = self.time.since(self.before?);
        Some(Increase {
            by: value.checked_sub((*before)?)?,
            within: Some(within).filter(|within| *within > 0)?,
        })
    }

    /// All values, by name.
    pub fn values(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values
            .iter()
            .map(|(name, (value, _))| (name.as_str(), *value))
    }

    /// Whether it keeps to the limits.
    pub(super) fn is_bounded(&self) -> bool {
        self.values.len() <= READINGS_MAX && self.values.keys().all(|name| name.len() <= CONTAINER_TEXT_MAX)
    }
}

impl State {
    /// Goes over a reading.
    pub(super) fn metrics(&mut self, num: u64, time: BootTime, metrics: &Metrics) {
        let is_there = self.usage.contains_key(&metrics.container);
        let is_full = self.usage.len() >= CONTAINERS_MAX;
        if metrics.container.len() > CONTAINER_TEXT_MAX || is_full && !is_there {
            self.containers_left_out = true;
            return;
        }
        let known = self.usage.entry(metrics.container.clone()).or_default();
        // One that came late is older than what is known.
        if is_there && time <= known.time {
            return;
        }
        let mut next = Usage {
            time,
            event: num,
            before: is_there.then_some(known.time),
            ..Usage::default()
        };
        for (name, value) in &metrics.values {
            if name.starts_with(HOST) {
                continue;
            }
            let has_room = next.values.len() < READINGS_MAX || next.values.contains_key(name);
            if name.len() > CONTAINER_TEXT_MAX || !has_room {
                next.left_out = true;
                continue;
            }
            let before = known.value(name);
            next.values.insert(name.clone(), (*value, before));
        }
        *known = next;
    }
}
