//! A slice whose streams are decompressed and checked; its events are put together when they are asked for.
//!
//! Calls stay in their columns: put together, those of one slice take ten times as much memory.

use stillframe_format::BootTime;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Event, Stream};
use stillframe_format::reader::{SliceBytes, SlicePart, Streams};
use stillframe_format::stream::Stored;
use stillframe_format::table::Segment;

/// See the module.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) part: SlicePart,
    /// Calls, where they were asked for and there are any.
    pub(crate) segment: Option<Segment>,
    /// The events of the other streams that were asked for, by the streams' ranks.
    pub(crate) others: Vec<Vec<Stored>>,
}

impl Opened {
    /// Decompresses the wanted streams of a slice.
    pub(crate) fn new(bytes: &SliceBytes, streams: Streams) -> Result<Self, ReadError> {
        let mut opened = Self::whole(bytes, streams)?;
        opened.part.let_go();
        Ok(opened)
    }

    /// The same; the part keeps its members.
    pub(crate) fn whole(bytes: &SliceBytes, streams: Streams) -> Result<Self, ReadError> {
        let part = bytes.open(streams)?;
        let segment = if streams.has(Stream::Syscall) {
            part.segment(Stream::Syscall)?
        } else {
            None
        };
        let mut others = Vec::with_capacity(Stream::ALL.len());
        for stream in Stream::ALL {
            others.push(if stream != Stream::Syscall && streams.has(stream) {
                part.stored(stream)?
            } else {
                Vec::new()
            });
        }
        Ok(Self {
            part,
            segment,
            others,
        })
    }

    /// The events from number `from` on, at most `most`. All streams must have been asked for.
    pub(crate) fn events(&self, from: u64, most: usize) -> Result<Vec<Event>, ReadError> {
        let segment = self.segment.as_ref();
        let calls = segment.map(|segment| self.part.calls(segment)).transpose()?;
        let mut taken = [0usize; Stream::ALL.len()];
        let mut events = Vec::with_capacity(most);
        let mut num = self.part.info().first;
        for run in self.part.runs() {
            let rank = usize::from(run.stream as u8);
            let Some(taken) = taken.get_mut(rank) else {
                continue;
            };
            let after = num.saturating_add(run.count);
            let passed = from.clamp(num, after);
            let wanted = after - passed;
            let begin = taken.saturating_add(usize::try_from(passed - num).unwrap_or(usize::MAX));
            *taken = taken.saturating_add(usize::try_from(run.count).unwrap_or(usize::MAX));
            let room = most - events.len();
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(room);
            for (num, at) in (passed..).zip(begin..begin.saturating_add(wanted)) {
                let event = match &calls {
                    Some(calls) if run.stream == Stream::Syscall => calls.body(at).map(|body| Event {
                        num,
                        time: BootTime(calls.time(at)),
                        late: calls.late.get(at) == 1,
                        body,
                    }),
                    _ => self
                        .others
                        .get(rank)
                        .and_then(|stored| stored.get(at))
                        .map(|stored| Event {
                            num,
                            time: stored.time,
                            late: stored.late,
                            body: stored.body.clone(),
                        }),
                };
                events.extend(event);
            }
            if events.len() >= most {
                break;
            }
            num = after;
        }
        Ok(events)
    }
}
