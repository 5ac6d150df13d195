//! What signals and OOM kills add to segment `process.cbor`: tables `signals` and `oom_kills`, a row for each such event.

use super::dictionary::Dictionary;
use super::lookup;
use crate::column::ByteColumn;
use crate::column::{Layout, unzigzag, zigzag};
use crate::error::ReadError;
use crate::event::{OomKill, OomPages, ProcessChange, Signal, SignalStep, Task};
use crate::table::{Segment, Table, TableBuilder};
use std::sync::Arc;
use std::vec::IntoIter;

const SIGNALS: &str = "signals";
const OOM_KILLS: &str = "oom_kills";
const FATAL: u64 = 1;
const PROCESS_WIDE: u64 = 2;

/// The tables of those among `changes` that need one; none where there are none. Tasks that they name go into `threads`.
pub(super) fn tables(
    changes: &[&ProcessChange],
    threads: &mut Dictionary<Task>,
) -> Vec<(&'static str, TableBuilder)> {
    let mut named = |task: Option<&Arc<Task>>| task.map_or(0, |task| threads.index(task.as_ref()) + 1);
    let mut signals: Vec<(&Signal, u64)> = Vec::new();
    let mut kills: Vec<(&OomKill, u64)> = Vec::new();
    for change in changes {
        match change {
            ProcessChange::Signal(signal) => signals.push((signal, named(signal.sender.as_ref()))),
            ProcessChange::OomKill(kill) => kills.push((kill, named(kill.trigger.as_ref()))),
            ProcessChange::Fork { .. } | ProcessChange::Exec { .. } | ProcessChange::Exit { .. } => {}
        }
    }
    let mut tables = Vec::new();
    if !signals.is_empty() {
        let gather = |value: &dyn Fn(&Signal) -> u64| -> Vec<u64> {
            signals.iter().map(|(signal, _)| value(signal)).collect()
        };
        let senders: Vec<u64> = signals.iter().map(|(_, sender)| *sender).collect();
        let flags = |signal: &Signal| {
            (u64::from(signal.fatal) * FATAL) | (u64::from(signal.process_wide) * PROCESS_WIDE)
        };
        let table = TableBuilder::new(signals.len())
            .integers("step", &gather(&|signal| signal.step as u64), Layout::Fixed)
            .integers(
                "code",
                &gather(&|signal| zigzag(i64::from(signal.code))),
                Layout::Varint,
            )
            .integers("sender", &senders, Layout::Fixed)
            .integers("flags", &gather(&flags), Layout::Fixed)
            .bytes(
                "siginfo",
                signals.iter().map(|(signal, _)| signal.info.as_slice()),
            );
        tables.push((SIGNALS, table));
    }
    if !kills.is_empty() {
        let gather = |value: &dyn Fn(&OomKill) -> u64| -> Vec<u64> {
            kills.iter().map(|(kill, _)| value(kill)).collect()
        };
        let page = |value: fn(&OomPages) -> u64| gather(&|kill| kill.pages.as_ref().map_or(0, value));
        let triggers: Vec<u64> = kills.iter().map(|(_, trigger)| *trigger).collect();
        let table = TableBuilder::new(kills.len())
            .integers("trigger", &triggers, Layout::Fixed)
            .integers(
                "score_adj",
                &gather(&|kill| zigzag(i64::from(kill.score_adj))),
                Layout::Varint,
            )
            .integers(
                "known",
                &gather(&|kill| u64::from(kill.pages.is_some())),
                Layout::Fixed,
            )
            .integers("total_vm", &page(|pages| pages.total_vm), Layout::Varint)
            .integers("anon", &page(|pages| pages.anon), Layout::Varint)
            .integers("file", &page(|pages| pages.file), Layout::Varint)
            .integers("shmem", &page(|pages| pages.shmem), Layout::Varint);
        tables.push((OOM_KILLS, table));
    }
    tables
}

/// The rows of both tables, to be taken event by event.
pub(super) struct Rows<'a> {
    what: &'a str,
    tasks: &'a [Arc<Task>],
    signals: IntoIter<SignalRow>,
    kills: IntoIter<OomKill>,
}

struct SignalRow {
    step: SignalStep,
    code: i32,
    sender: Option<Arc<Task>>,
    flags: u64,
    info: Vec<u8>,
}

fn signed(what: &str, value: u64) -> Result<i32, ReadError> {
    i32::try_from(unzigzag(value)).map_err(|_| ReadError::damaged(what, "a number of more than 32 bits"))
}

impl<'a> Rows<'a> {
    /// Reads the tables that events of `changes` refer to; one that none refers to need not be there.
    pub(super) fn decode(
        what: &'a str,
        segment: &Segment,
        tasks: &'a [Arc<Task>],
        changes: &[u64],
        signal: u64,
        oom_kill: u64,
    ) -> Result<Self, ReadError> {
        let mut rows = Self {
            what,
            tasks,
            signals: Vec::new().into_iter(),
            kills: Vec::new().into_iter(),
        };
        if changes.contains(&signal) {
            rows.signals = rows.decode_signals(segment.table(SIGNALS)?)?.into_iter();
        }
        if changes.contains(&oom_kill) {
            rows.kills = rows.decode_kills(segment.table(OOM_KILLS)?)?.into_iter();
        }
        Ok(rows)
    }

    fn named(&self, number: u64) -> Result<Option<Arc<Task>>, ReadError> {
        number
            .checked_sub(1)
            .map(|index| lookup(self.what, self.tasks, index).map(Arc::clone))
            .transpose()
    }

    fn decode_signals(&self, table: &Table) -> Result<Vec<SignalRow>, ReadError> {
        let info: ByteColumn = table.bytes("siginfo")?;
        let columns = table
            .integers("step")?
            .into_iter()
            .zip(table.integers("code")?)
            .zip(table.integers("sender")?)
            .zip(table.integers("flags")?);
        columns
            .enumerate()
            .map(|(row, (((step, code), sender), flags))| {
                Ok(SignalRow {
                    step: SignalStep::from_number(step).ok_or_else(|| {
                        ReadError::damaged(self.what, format!("step {step} of a signal is unknown"))
                    })?,
                    code: signed(self.what, code)?,
                    sender: self.named(sender)?,
                    flags,
                    info: info.row(row).to_vec(),
                })
            })
            .collect()
    }

    fn decode_kills(&self, table: &Table) -> Result<Vec<OomKill>, ReadError> {
        let pages = table
            .integers("total_vm")?
            .into_iter()
            .zip(table.integers("anon")?)
            .zip(table.integers("file")?)
            .zip(table.integers("shmem")?);
        let columns = table
            .integers("trigger")?
            .into_iter()
            .zip(table.integers("score_adj")?)
            .zip(table.bounded("known", 1)?);
        columns
            .zip(pages)
            .map(
                |(((trigger, score_adj), known), (((total_vm, anon), file), shmem))| {
                    let pages = OomPages {
                        total_vm,
                        anon,
                        file,
                        shmem,
                    };
                    Ok(OomKill {
                        trigger: self.named(trigger)?,
                        score_adj: signed(self.what, score_adj)?,
                        pages: (known == 1).then_some(pages),
                    })
                },
            )
            .collect()
    }

    /// The next signal, whose number its event has.
    pub(super) fn signal(&mut self, number: u32) -> Result<ProcessChange, ReadError> {
        let row = self
            .signals
            .next()
            .ok_or_else(|| ReadError::damaged(self.what, "fewer rows of signals than signals"))?;
        Ok(ProcessChange::Signal(Box::new(Signal {
            number,
            step: row.step,
            code: row.code,
            sender: row.sender,
            fatal: row.flags & FATAL != 0,
            process_wide: row.flags & PROCESS_WIDE != 0,
            info: row.info,
        })))
    }

    /// The next OOM kill.
    pub(super) fn oom_kill(&mut self) -> Result<ProcessChange, ReadError> {
        let kill = self
            .kills
            .next()
            .ok_or_else(|| ReadError::damaged(self.what, "fewer rows of OOM kills than OOM kills"))?;
        Ok(ProcessChange::OomKill(Box::new(kill)))
    }

    /// Refuses rows that no event took.
    pub(super) fn end(mut self) -> Result<(), ReadError> {
        if self.signals.next().is_some() || self.kills.next().is_some() {
            return Err(ReadError::damaged(self.what, "rows that belong to no event"));
        }
        Ok(())
    }
}
