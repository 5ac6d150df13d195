//! Readings of counters over time, for the page's plots.

use crate::view::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stillframe_format::BootTime;
use stillframe_format::event::Metrics;

/// The most counters.
const COUNTERS_MAX: usize = 512;
/// The most readings of each; of more, every second goes.
const READINGS_MAX: usize = 1024;

#[derive(Debug)]
struct Series {
    /// Every how many readings one is kept.
    stride: u64,
    seen: u64,
    readings: Vec<(i64, u64)>,
}

/// Counters by container and name.
#[derive(Debug, Default)]
pub(super) struct Counters {
    series: BTreeMap<(String, String), Series>,
    left_out: u64,
}

impl Counters {
    /// Takes a reading of all counters of a container.
    pub(super) fn take(&mut self, metrics: &Metrics, time: BootTime, context: &Context) {
        let at = super::relative(time, context);
        for (name, value) in &metrics.values {
            let key = (metrics.container.clone(), name.clone());
            if self.series.len() >= COUNTERS_MAX && !self.series.contains_key(&key) {
                self.left_out += 1;
                continue;
            }
            let series = self.series.entry(key).or_insert(Series {
                stride: 1,
                seen: 0,
                readings: Vec::new(),
            });
            series.seen += 1;
            if !(series.seen - 1).is_multiple_of(series.stride) {
                continue;
            }
            series.readings.push((at, *value));
            if series.readings.len() >= READINGS_MAX {
                series.stride *= 2;
                let mut index = 0usize;
                series.readings.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
            }
        }
    }

    pub(super) fn json(&self, context: &Context) -> Value {
        let rows: Vec<Value> = self
            .series
            .iter()
            .map(|((container, name), series)| {
                let shown = context.containers.get(container).map(String::as_str);
                json!({
                    "container": shown.or_else(|| container.get(..12)).unwrap_or(container),
                    "name": name,
                    "every": series.stride,
                    "readings": series.readings,
                })
            })
            .collect();
        json!({"series": rows, "left_out": self.left_out})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recording_is_thinned_evenly() {
        let context = Context::default();
        let mut counters = Counters::default();
        for second in 0..5_000u64 {
            let metrics = Metrics {
                container: String::new(),
                values: vec![("x".to_owned(), second)],
            };
            counters.take(&metrics, BootTime(second), &context);
        }
        let series = counters.series.values().next().unwrap();
        assert_eq!(series.stride, 8);
        let expected: Vec<(i64, u64)> = (0..625).map(|index| (index * 8, index as u64 * 8)).collect();
        assert_eq!(series.readings, expected);
    }
}
