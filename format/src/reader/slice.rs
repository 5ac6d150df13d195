//! A slice that was read: its events in their stored order.

use super::check_listed;
use crate::cbor;
use crate::entry::Entry;
use crate::error::ReadError;
use crate::event::{Event, OpenCall, Stream};
use crate::layout::{self, slice_member};
use crate::ledger::{Ledger, SliceInfo};
use crate::order;
use crate::stream;

/// A slice, decoded.
#[derive(Debug)]
pub struct Slice {
    /// Its account.
    pub ledger: Ledger,
    /// Its events, in order.
    pub events: Vec<Event>,
    /// Calls that had not returned when it was sealed.
    pub open: Vec<OpenCall>,
    /// The state before its first event, encoded, where it holds a checkpoint.
    pub checkpoint: Option<Vec<u8>>,
}

impl Slice {
    /// Decodes the members of a slice and checks them against what is known of it.
    ///
    /// # Errors
    /// [`ReadError`] when they contradict the ledger, the index or the format.
    pub fn decode(info: &SliceInfo, members: &[Entry<'_>]) -> Result<Self, ReadError> {
        let name = |file: &str| slice_member(info.number, file);
        let what = format!("slice {}", info.number);
        let Some((last, covered)) = members.split_last() else {
            return Err(ReadError::damaged(what, "it is empty"));
        };
        if last.name != name(layout::LEDGER) {
            return Err(ReadError::damaged(what, "its last member is not its ledger"));
        }
        let ledger: Ledger = cbor::decode_as(last.name, last.content)?;
        if SliceInfo::new(&ledger, info.offset, info.len) != *info {
            return Err(ReadError::damaged(
                what,
                "its ledger and the index contradict each other",
            ));
        }
        check_listed(&what, &ledger.members, covered)?;
        let find = |file: &str| {
            covered
                .iter()
                .find(|member| member.name == name(file))
                .map(|member| member.content)
        };
        let missing = |file: &str| ReadError::damaged(what.clone(), format!("no {file}"));
        let open = find(layout::OPEN).ok_or_else(|| missing(layout::OPEN))?;
        let open: Vec<OpenCall> = cbor::decode_as(&name(layout::OPEN), open)?;
        let order = find(layout::ORDER).ok_or_else(|| missing(layout::ORDER))?;
        let events = Self::events(info, &ledger, order, covered)?;
        Ok(Self {
            ledger,
            events,
            open,
            checkpoint: find(layout::STATE).map(<[u8]>::to_vec),
        })
    }

    fn events(
        info: &SliceInfo,
        ledger: &Ledger,
        order: &[u8],
        members: &[Entry<'_>],
    ) -> Result<Vec<Event>, ReadError> {
        let folder = slice_member(info.number, "");
        let what = slice_member(info.number, layout::ORDER);
        let runs = order::decode(&what, order)?;
        let mut streams = Vec::with_capacity(Stream::ALL.len());
        let mut total = 0u64;
        for stream in Stream::ALL {
            let stored = stream::decode(stream, &folder, members)?;
            let count = stored.len() as u64;
            if ledger.counts.get(stream.name()).copied().unwrap_or(0) != count {
                let problem = format!("it holds {count} events, its ledger counts others");
                return Err(ReadError::damaged(
                    format!("{folder}{}", stream::segment_name(stream)),
                    problem,
                ));
            }
            total += count;
            streams.push(stored.into_iter());
        }
        if total != info.events {
            return Err(ReadError::damaged(
                what,
                "its ledger's counts do not add up to its events",
            ));
        }
        let mut events = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        let mut num = info.first;
        for run in runs {
            for _ in 0..run.count {
                let Some(stored) = next(&mut streams, run.stream) else {
                    return Err(ReadError::damaged(
                        what,
                        format!("more {} events than there are", run.stream.name()),
                    ));
                };
                events.push(Event {
                    num,
                    time: stored.time,
                    late: stored.late,
                    body: stored.body,
                });
                num = num.saturating_add(1);
            }
        }
        if events.len() as u64 != total {
            return Err(ReadError::damaged(what, "fewer events than there are"));
        }
        Ok(events)
    }
}

fn next(streams: &mut [std::vec::IntoIter<stream::Stored>], of: Stream) -> Option<stream::Stored> {
    streams.get_mut(usize::from(of as u8))?.next()
}
