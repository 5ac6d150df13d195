//! Standard output, whose reader may be slow, stand still or be gone.
//!
//! While it records, capture waits for a slow reader as long as that takes: kernel buffers fill meanwhile, and what
//! does not fit is counted. But a capture has to end, so once its end is due it waits only as long as the reader
//! takes something now and then.

use crate::signals::Ends;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::time::{Duration, Instant};

/// How long a reader may take nothing once the end is due.
pub(super) const STALL: Duration = Duration::from_secs(30);
/// A writable pipe takes so many bytes at once without blocking (`PIPE_BUF`: one free page, fs/pipe.c).
const PAGE: usize = 4096;
/// How often the end is looked for.
const LOOK_MS: u8 = 250;

/// When a capture is to end, as far as its output has to know.
#[derive(Clone, Debug)]
pub struct Due {
    /// The signals that end it.
    pub ends: Ends,
    /// When its time is up.
    pub at: Option<Instant>,
}

impl Due {
    fn is_now(&self) -> bool {
        self.ends.reason().is_some() || self.at.is_some_and(|at| at <= Instant::now())
    }
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
    /// A pipe, a socket or a device, on which a write may block.
    is_waited_for: bool,
    pub(super) due: Option<Due>,
    stall: Duration,
}

impl Pipe {
    pub(super) fn new(file: File, stall: Duration) -> Self {
        let is_waited_for = file.metadata().is_ok_and(|file| {
            let kind = file.file_type();
            kind.is_fifo() || kind.is_socket() || kind.is_char_device()
        });
        Self {
            file,
            is_waited_for,
            due: None,
            stall,
        }
    }

    /// Writes what can be written without blocking, and waits for the reader until something can.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_waited_for {
            return self.file.write(bytes);
        }
        let page = bytes.get(..PAGE).unwrap_or(bytes);
        let mut stalled: Option<Instant> = None;
        loop {
            let mut waited = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut waited, LOOK_MS) {
                Ok(0) => {}
                Ok(_) => match self.file.write(page) {
                    // Somebody who shares our standard output was faster, and has made it non-blocking.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                },
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if self.due.as_ref().is_some_and(Due::is_now)
                && stalled.get_or_insert_with(Instant::now).elapsed() >= self.stall
            {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("its reader has taken nothing for {} s", self.stall.as_secs()),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;

    fn pipe(stall: Duration) -> (io::PipeReader, Pipe) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Pipe::new(OwnedFd::from(writer).into(), stall))
    }

    fn due(at: Option<Instant>) -> Option<Due> {
        Some(Due {
            ends: Ends::default(),
            at,
        })
    }

    #[test]
    fn a_reader_that_stands_still_is_waited_for_until_the_end_is_due_and_a_while_longer() {
        let (reader, mut pipe) = pipe(Duration::from_millis(400));
        let since = Instant::now();
        pipe.due = due(Some(since + Duration::from_millis(600)));
        let error = loop {
            if let Err(error) = pipe.write(&[7; 10_000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        drop(reader);
    }

    #[test]
    fn a_slow_reader_gets_everything_after_the_end_was_due() {
        let (mut reader, mut pipe) = pipe(Duration::from_millis(800));
        pipe.due = due(Some(Instant::now()));
        let slow = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut some = vec![0; 50_000];
            loop {
                std::thread::sleep(Duration::from_millis(100));
                match reader.read(&mut some).unwrap() {
                    0 => return all,
                    count => all.extend_from_slice(&some[..count]),
                }
            }
        });
        let bytes: Vec<u8> = (0..600_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let count = pipe.write(left).unwrap();
            left = &left[count..];
        }
        drop(pipe);
        assert_eq!(slow.join().unwrap(), bytes);
    }

    #[test]
    fn a_reader_that_is_gone_is_told_at_once() {
        let (reader, mut pipe) = pipe(STALL);
        drop(reader);
        assert_eq!(pipe.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
