//! What failed, as an answer: lists for a reader, rows for programs.

use super::{Failures, Group, Kind};
use crate::question::columns::{Columns, Side};
use crate::question::coverage::answer;
use crate::question::{Coverage, Scope};
use crate::view::Context;
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Failures {
    /// The groups of a kind, most frequent first, what only says that something is not there last; what is taken for normal only on demand.
    #[must_use]
    pub fn of(&self, kind: Kind, with_noise: bool) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self
            .groups
            .values()
            .filter(|group| group.kind == kind && (with_noise || group.noise.is_none()))
            .collect();
        groups.sort_by_key(|group| {
            (
                group.is_missing(),
                group.lateness(),
                Reverse(group.count),
                group.first,
            )
        });
        groups
    }

    /// How many failures were taken for normal, by reason.
    #[must_use]
    pub fn noise(&self) -> BTreeMap<&'static str, u64> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for group in self.groups.values() {
            if let Some(reason) = group.noise {
                let sum = sums.entry(reason).or_default();
                *sum = sum.saturating_add(group.count);
            }
        }
        sums
    }

    /// Whether nothing failed, but for what is normal unless that is asked for too.
    #[must_use]
    pub fn is_empty(&self, with_noise: bool) -> bool {
        !self
            .groups
            .values()
            .any(|group| with_noise || group.noise.is_none())
    }

    /// Groups of a kind in columns, at most `number`, lines ended.
    #[must_use]
    pub fn list(&self, kind: Kind, with_noise: bool, number: usize) -> String {
        let groups = self.of(kind, with_noise);
        let mut columns = Columns::new(&[
            ("COUNT", Side::Right),
            ("FIRST", Side::Right),
            ("LAST", Side::Right),
            ("WHO", Side::Left),
            ("WHAT", Side::Left),
        ]);
        for group in groups.iter().take(number) {
            columns.push(vec![
                group.count.to_string(),
                format!("#{}", group.first),
                format!("#{}", group.last),
                group.who_text(),
                group.what_text(),
            ]);
        }
        let mut out = columns.text();
        if let Some(more) = groups.len().checked_sub(number).filter(|more| *more > 0) {
            let _ = writeln!(out, "({more} more)");
        }
        out
    }

    /// The line about what was folded; `None` when nothing was.
    #[must_use]
    pub fn noise_line(&self) -> Option<String> {
        let noise = self.noise();
        let sum = noise.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        (sum > 0).then(|| {
            let parts: Vec<String> = noise
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            format!(
                "{sum} failures that are normal are not shown: {} (--all shows them)",
                parts.join(", ")
            )
        })
    }

    /// All kinds, lines ended.
    #[must_use]
    pub fn text(&self, with_noise: bool, number: usize) -> String {
        let mut out = String::new();
        for kind in Kind::ALL {
            if self.of(kind, with_noise).is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(kind.title());
            out.push('\n');
            out.push_str(&self.list(kind, with_noise, number));
        }
        if !with_noise && let Some(line) = self.noise_line() {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// Kinds that have groups, with their titles.
    pub(in crate::question) fn kinds(&self, with_noise: bool) -> impl Iterator<Item = (Kind, &'static str)> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| !self.of(*kind, with_noise).is_empty())
            .map(|kind| (kind, kind.title()))
    }

    /// The whole answer for programs.
    #[must_use]
    pub fn json(
        &self,
        with_noise: bool,
        number: usize,
        scope: &Scope,
        coverage: &Coverage,
        context: &Context,
    ) -> Value {
        answer(
            "errors",
            scope,
            vec![
                ("rows", self.rows(with_noise, number).into()),
                ("normal", serde_json::json!(self.noise())),
            ],
            coverage,
            context,
        )
    }

    /// The groups of each kind, at most `number` of each, for programs.
    #[must_use]
    pub fn rows(&self, with_noise: bool, number: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        for kind in Kind::ALL {
            for group in self.of(kind, with_noise).into_iter().take(number) {
                let mut row = Map::new();
                row.insert("kind".to_owned(), kind.name().into());
                row.insert("who".to_owned(), group.who.clone().into());
                row.insert("what".to_owned(), group.what.clone().into());
                if !group.error.is_empty() {
                    row.insert("error".to_owned(), group.error.clone().into());
                }
                if !group.target.is_empty() {
                    row.insert("target".to_owned(), group.target.clone().into());
                }
                row.insert("count".to_owned(), group.count.into());
                row.insert("first_event".to_owned(), group.first.into());
                row.insert("last_event".to_owned(), group.last.into());
                if !group.pids.is_empty() {
                    row.insert("pids".to_owned(), serde_json::json!(group.pids));
                }
                if let Some(reason) = group.noise {
                    row.insert("normal".to_owned(), reason.into());
                }
                rows.push(Value::Object(row));
            }
        }
        rows
    }
}
