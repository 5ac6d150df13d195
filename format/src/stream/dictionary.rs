//! Dictionaries: values that many rows share, stored once.

use crate::column::Layout;
use crate::error::ReadError;
use crate::event::{DescriptorName, Task};
use crate::table::{Table, TableBuilder};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values in the order of their first use.
#[derive(Debug)]
pub(super) struct Dictionary<T> {
    rows: Vec<T>,
    index: HashMap<T, u64>,
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            index: HashMap::new(),
        }
    }

    pub(super) fn index(&mut self, value: &T) -> u64 {
        if let Some(&index) = self.index.get(value) {
            return index;
        }
        let index = super::wide(self.rows.len());
        self.rows.push(value.clone());
        self.index.insert(value.clone(), index);
        index
    }

    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }
}

/// A table of byte strings under the column name `value`.
pub(super) fn strings<T: AsRef<[u8]>>(rows: &[T]) -> TableBuilder {
    TableBuilder::new(rows.len()).bytes("value", rows.iter().map(AsRef::as_ref))
}

/// The tasks that rows refer to.
pub(super) fn tasks(rows: &[Task]) -> TableBuilder {
    let pid: Vec<u64> = rows.iter().map(|task| u64::from(task.pid)).collect();
    let tid: Vec<u64> = rows.iter().map(|task| u64::from(task.tid)).collect();
    TableBuilder::new(rows.len())
        .integers("pid", &pid, Layout::Fixed)
        .integers("tid", &tid, Layout::Fixed)
        .bytes("comm", rows.iter().map(|task| task.comm.as_slice()))
        .bytes("container", rows.iter().map(|task| task.container.as_bytes()))
}

pub(super) fn decode_tasks(table: &Table) -> Result<Vec<Arc<Task>>, ReadError> {
    let pid = table.words("pid")?;
    let tid = table.words("tid")?;
    let comm = table.bytes("comm")?;
    let container = table.texts("container")?;
    let rows = pid.into_iter().zip(tid).zip(container).enumerate();
    Ok(rows
        .map(|(row, ((pid, tid), container))| {
            Arc::new(Task {
                pid,
                tid,
                comm: comm.row(row).to_vec(),
                container,
            })
        })
        .collect())
}

/// What descriptors referred to.
pub(super) fn descriptors(names: &[Arc<DescriptorName>]) -> TableBuilder {
    TableBuilder::new(names.len())
        .bytes("kind", names.iter().map(|name| name.kind.as_bytes()))
        .bytes("name", names.iter().map(|name| name.name.as_slice()))
}

pub(super) fn decode_descriptors(table: &Table) -> Result<Vec<Arc<DescriptorName>>, ReadError> {
    let names = table.view_bytes("name")?;
    Ok(table
        .texts("kind")?
        .into_iter()
        .enumerate()
        .map(|(row, kind)| {
            Arc::new(DescriptorName {
                kind,
                name: names.row(row).to_vec(),
            })
        })
        .collect())
}
