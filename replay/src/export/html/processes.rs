//! The process tree of the page.

use crate::question::{Birth, Tree};
use crate::view::Context;
use serde_json::{Value, json};

/// The most processes.
const PROCESSES_MAX: usize = 20_000;

/// A row for each process in the order of the tree, and how many were left out.
///
/// `[depth, pid, name, command, birth, born, ended, ending, failed, calls, failed calls, time, first, last, container]`:
/// `birth` is 0 for before the recording, 1 for born, 2 for not seen; times are relative, `null` where there is none.
pub(super) fn rows(tree: &Tree, context: &Context) -> (Vec<Value>, usize) {
    let ordered = tree.ordered();
    let left_out = ordered.len().saturating_sub(PROCESSES_MAX);
    let rows = ordered
        .into_iter()
        .take(PROCESSES_MAX)
        .map(|(depth, node)| {
            let (birth, born) = match node.birth {
                Birth::Before => (0, None),
                Birth::Born(time, _) => (1, Some(time)),
                Birth::Unknown(time, _) => (2, Some(time)),
            };
            let container = context.containers.get(&node.container).map(String::as_str);
            json!([
                depth,
                node.pid,
                node.comm,
                node.command,
                birth,
                born.map(|time| super::relative(time, context)),
                node.ending.map(|ending| super::relative(ending.time, context)),
                node.ending.map(|ending| ending.text()),
                node.ending.is_some_and(|ending| !ending.is_success()),
                node.calls,
                node.failed,
                node.time,
                node.first,
                node.last,
                container.or_else(|| node.container.get(..12)).unwrap_or(""),
            ])
        })
        .collect();
    (rows, left_out)
}
