//! Source `kernel`: messages of the kernel from `/dev/kmsg`, record by record, as they were read
//! (Documentation/ABI/testing/dev-kmsg).
//!
//! A record's stamp is `local_clock()` in microseconds (kernel/printk/printk.c): the scheduler's clock, which starts
//! with `CLOCK_MONOTONIC` but is not slewed by NTP, so that the two drift apart over days. The stamp is converted as
//! if it were monotonic, and then held between the last moment at which no record was to be had and the moment of
//! reading, which are known exactly; so a live message is right to the time it took to wake up. Messages of the
//! look-back have only the drifting stamp.

use crate::clock;
use crate::source::{Outbox, Report, Source, SourceError, Stop};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Whence, lseek};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};
use stillframe_format::event::{KernelMessage, Loss};
use stillframe_format::{Body, BootTime, Draft, Stream};

const NAME: &str = "kernel";
const DEVICE: &str = "/dev/kmsg";
/// A read of a record that does not fit fails; the kernel's own limit is 8 KiB (`CONSOLE_EXT_LOG_MAX`, 2 KiB since
/// Linux 6.3, kernel/printk/internal.h).
const RECORD_LIMIT: usize = 16 << 10;
/// How long the look-back reads at most: somebody may write faster than we read.
const LOOKBACK_TIME: Duration = Duration::from_secs(2);
/// Events handed over at once.
const BATCH: usize = 256;

/// Messages from before the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelLookback {
    /// Oldest first, with their time as well as the record's stamp can be converted.
    pub messages: Vec<(BootTime, KernelMessage)>,
    /// Older ones that did not fit.
    pub dropped: u64,
}

/// The source. See the module.
#[derive(Debug)]
pub struct Kernel {
    device: File,
    /// When there was nothing left to read.
    empty: BootTime,
    /// The sequence number that comes next, once it is known.
    next: Option<u64>,
    /// Records were overwritten before they were read, and how many is not known yet.
    overwritten: bool,
}

impl Kernel {
    /// Opens the kernel's log at its end.
    ///
    /// # Errors
    /// When it may not be opened, or does not exist.
    pub fn open() -> Result<Self, SourceError> {
        let device = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(DEVICE)
            .map_err(|cause| cannot("open", &cause))?;
        lseek(&device, 0, Whence::SeekEnd).map_err(|errno| cannot("seek in", &errno.into()))?;
        Ok(Self {
            device,
            empty: clock::boottime(),
            next: None,
            overwritten: false,
        })
    }

    /// Reads what the kernel still has from `since` on, the newest `max_bytes` of it. The source goes on behind it,
    /// so nothing between the two is lost or comes twice.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn lookback(&mut self, since: BootTime, max_bytes: usize) -> Result<KernelLookback, SourceError> {
        lseek(&self.device, 0, Whence::SeekSet).map_err(|errno| cannot("seek in", &errno.into()))?;
        let anchor = clock::anchor();
        let begin = Instant::now();
        let mut kept = VecDeque::new();
        let mut bytes = 0;
        let mut dropped = 0;
        while begin.elapsed() < LOOKBACK_TIME {
            let record = match self.read()? {
                Next::Record(record) => record,
                Next::Overwritten => continue,
                Next::Empty => break,
            };
            let header = Header::parse(&record);
            self.next = header.map(|header| header.sequence.wrapping_add(1)).or(self.next);
            let time = header.map_or(anchor.boottime, |header| {
                anchor.boottime_at_monotonic(header.nanoseconds())
            });
            if time < since {
                continue;
            }
            bytes += record.len();
            kept.push_back((time, KernelMessage { record }));
            while bytes > max_bytes
                && let Some((_, oldest)) = kept.pop_front()
            {
                bytes -= oldest.record.len();
                dropped += 1;
            }
        }
        Ok(KernelLookback {
            messages: kept.into(),
            dropped,
        })
    }

    fn read(&mut self) -> Result<Next, SourceError> {
        let mut buffer = [0; RECORD_LIMIT];
        loop {
            return match self.device.read(&mut buffer) {
                Ok(0) => Ok(Next::Empty),
                Ok(length) => Ok(Next::Record(buffer.get(..length).unwrap_or_default().to_vec())),
                Err(cause) => match cause.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EINTR) => continue,
                    Some(Errno::EAGAIN) => {
                        self.empty = clock::boottime();
                        Ok(Next::Empty)
                    }
                    Some(Errno::EPIPE) => Ok(Next::Overwritten),
                    _ => Err(cannot("read", &cause)),
                },
            };
        }
    }

    /// Turns what is there into drafts, at most a batch; whether more may follow at once.
    fn batch(&mut self, out: &mut Vec<Draft>, report: &mut Report) -> Result<bool, SourceError> {
        let empty = self.empty;
        while out.len() < BATCH {
            let record = match self.read()? {
                Next::Record(record) => record,
                Next::Overwritten => {
                    self.overwritten = true;
                    continue;
                }
                Next::Empty => return Ok(false),
            };
            let anchor = clock::anchor();
            let now = anchor.boottime;
            let header = Header::parse(&record);
            let time = header.map_or(now, |header| anchor.boottime_at_monotonic(header.nanoseconds()));
            if let Some(loss) = self.gap(header, empty, now) {
                report.lost = report.lost.saturating_add(loss.count);
                out.push(Draft {
                    time: now,
                    cpu: 0,
                    body: Body::Loss(loss),
                });
            }
            report.events += 1;
            out.push(Draft {
                time: time.clamp(empty.min(now), now),
                cpu: 0,
                body: Body::Kernel(KernelMessage { record }),
            });
        }
        Ok(true)
    }

    /// The hole before a record, by its sequence number.
    fn gap(&mut self, header: Option<Header>, from: BootTime, to: BootTime) -> Option<Loss> {
        let sequence = header?.sequence;
        let missing = self.next.map(|next| sequence.saturating_sub(next));
        self.next = Some(sequence.wrapping_add(1));
        let overwritten = std::mem::take(&mut self.overwritten);
        // Without a number to start from, that records were overwritten is all that is known.
        let count = match missing {
            Some(0) => return None,
            Some(count) => count,
            None if overwritten => 0,
            None => return None,
        };
        Some(Loss {
            stream: Stream::Kernel,
            cause: "overwritten".to_owned(),
            count,
            from,
            to,
            scope: String::new(),
        })
    }
}

impl Source for Kernel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, outbox: &Outbox, stop: &Stop) -> Result<Report, SourceError> {
        let mut report = Report::default();
        let mut drain: Option<Instant> = None;
        loop {
            // Seen before the reading, so that what was logged before `stop` is read.
            if stop.is_set() {
                drain.get_or_insert_with(Instant::now);
            }
            let mut drafts = Vec::new();
            let more = self.batch(&mut drafts, &mut report)?;
            if outbox.events(drafts).is_err() {
                return Ok(report);
            }
            match drain {
                Some(begin) if !more || begin.elapsed() > Duration::from_secs(1) => return Ok(report),
                _ if more => {}
                _ => {
                    let mut wait = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
                    // A failure (EINTR) only means to look again.
                    let _ = poll(&mut wait, PollTimeout::from(50_u8));
                }
            }
        }
    }
}

enum Next {
    Record(Vec<u8>),
    Overwritten,
    Empty,
}

fn cannot(verb: &str, cause: &std::io::Error) -> SourceError {
    let denied = matches!(
        cause.raw_os_error().map(Errno::from_raw),
        Some(Errno::EPERM | Errno::EACCES)
    );
    let mut error = SourceError::new(
        NAME,
        if denied {
            format!("cannot {verb} {DEVICE}: permission denied (run as root or add CAP_SYSLOG)")
        } else {
            format!("cannot {verb} {DEVICE}: {cause}")
        },
    );
    if denied {
        error.missing.push("CAP_SYSLOG".to_owned());
    }
    error
}

/// Reads a record's numbers; for `fuzzing`.
pub(crate) fn parse(record: &[u8]) -> Option<u64> {
    Header::parse(record).map(Header::nanoseconds)
}

/// The numbers before a record's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    sequence: u64,
    microseconds: u64,
}

impl Header {
    /// Reads `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];`.
    fn parse(record: &[u8]) -> Option<Self> {
        let end = record.iter().position(|byte| *byte == b';')?;
        let mut fields = std::str::from_utf8(record.get(..end)?).ok()?.split(',');
        fields.next()?;
        Some(Self {
            sequence: fields.next()?.parse().ok()?,
            microseconds: fields.next()?.parse().ok()?,
        })
    }

    fn nanoseconds(self) -> u64 {
        self.microseconds.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u64) -> Option<Header> {
        Some(Header {
            sequence,
            microseconds: 0,
        })
    }

    #[test]
    fn headers_are_read_with_and_without_more_fields() {
        assert_eq!(
            Header::parse(b"6,339,5140900,-,caller=T1;NET: Registered;x,9\n SUBSYSTEM=net\n"),
            Some(Header {
                sequence: 339,
                microseconds: 5_140_900
            })
        );
        for bad in [
            &b"6,339,5140900,-"[..],
            b";",
            b"6,x,1,-;",
            b"6,1;",
            b"\xff,1,1,-;",
            b"",
        ] {
            assert_eq!(Header::parse(bad), None);
        }
    }

    #[test]
    fn a_hole_in_the_sequence_is_counted() {
        let mut kernel = Kernel {
            device: File::open("/dev/null").unwrap(),
            empty: BootTime(0),
            next: None,
            overwritten: false,
        };
        let mut gap = |sequence| {
            kernel
                .gap(header(sequence), BootTime(1), BootTime(2))
                .map(|loss| loss.count)
        };
        assert_eq!(gap(10), None, "where it begins is no hole");
        assert_eq!(gap(11), None);
        assert_eq!(gap(15), Some(3));
        assert_eq!(gap(16), None);
        assert_eq!(gap(3), None, "going back is no hole");
        kernel.next = None;
        kernel.overwritten = true;
        let loss = kernel.gap(header(7), BootTime(1), BootTime(2)).unwrap();
        assert_eq!((loss.count, loss.cause.as_str()), (0, "overwritten"));
    }
}
