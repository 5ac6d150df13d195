//! A journalctl that runs as a child: what it writes, what it says, and that it is always reaped.
//!
//! It is in a process group of its own, so that the Ctrl-C that ends a capture does not take journalctl away before
//! its last entries are read.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Of what it says on stderr, so much is kept.
const WORDS_LIMIT: usize = 8 << 10;
/// Lines of stderr that become notes, and their length.
const LINES: usize = 8;
const LINE_LIMIT: usize = 200;
/// One read of a pipe; its size in the kernel unless it is changed (pipe(7)).
const READ: usize = 64 << 10;
/// How long it may take to exit after it closed its output.
const EXIT_TIME: Duration = Duration::from_millis(200);

/// What came of waiting.
pub(super) enum Next {
    Bytes(Vec<u8>),
    Nothing,
    /// Its output is closed: it ends.
    End,
}

/// The process.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    words: Vec<u8>,
    pub(super) begin: Instant,
}

impl Child {
    pub(super) fn spawn(
        program: &OsStr,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> std::io::Result<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = process.stderr.take();
        match process.stdout.take() {
            Some(stdout) => Ok(Self {
                process,
                stdout,
                stderr,
                words: Vec::new(),
                begin: Instant::now(),
            }),
            None => Err(std::io::Error::other("no pipe to it")),
        }
    }

    /// Waits for its output, at most so long.
    pub(super) fn read(&mut self, patience: Duration) -> Next {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut wait = vec![PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        if let Some(stderr) = &self.stderr {
            wait.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        if poll(&mut wait, timeout).is_err() {
            // EINTR: to be asked again.
            return Next::Nothing;
        }
        let is_ready = |at: usize| wait.get(at).and_then(PollFd::any).unwrap_or(false);
        let (output, words) = (is_ready(0), is_ready(1));
        if words {
            self.listen();
        }
        if !output {
            return Next::Nothing;
        }
        // The pipe is ready and nobody else reads it, so this does not wait.
        let mut buffer = vec![0; READ];
        match self.stdout.read(&mut buffer) {
            Ok(0) => Next::End,
            Ok(length) => {
                buffer.truncate(length);
                Next::Bytes(buffer)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => Next::Nothing,
            Err(_) => Next::End,
        }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        match self.stderr.as_mut().map(|stderr| stderr.read(&mut buffer)) {
            Some(Ok(length)) if length > 0 => {
                let room = WORDS_LIMIT.saturating_sub(self.words.len());
                self.words
                    .extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
            }
            _ => self.stderr = None,
        }
    }

    /// After [`Next::End`]: how it ended, and what it said.
    pub(super) fn ended(mut self) -> (Option<ExitStatus>, Vec<String>) {
        let begin = Instant::now();
        let mut status = None;
        while status.is_none() && begin.elapsed() < EXIT_TIME {
            status = self.process.try_wait().ok().flatten();
            if status.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        while let Some(stderr) = &self.stderr {
            let mut wait = [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut wait, PollTimeout::ZERO), Ok(ready) if ready > 0) {
                break;
            }
            self.listen();
        }
        (status, lines(&self.words))
    }

    /// What it has said so far.
    pub(super) fn words(&self) -> Vec<String> {
        lines(&self.words)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both do nothing to a process that has been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Printable lines, the first few.
fn lines(words: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(words)
        .lines()
        .map(|line| {
            line.trim()
                .chars()
                .take(LINE_LIMIT)
                .map(|char| if char.is_control() { '?' } else { char })
                .collect::<String>()
        })
        .filter(|line| !line.is_empty())
        .take(LINES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::spawn(OsStr::new("sh"), ["-c", script]).unwrap()
    }

    #[test]
    fn output_words_and_status_are_told_apart() {
        let mut child = shell("echo out; echo 'a\x1bb' >&2; echo >&2; echo c >&2; exit 3");
        let mut output = Vec::new();
        loop {
            match child.read(Duration::from_secs(5)) {
                Next::Bytes(bytes) => output.extend(bytes),
                Next::Nothing => {}
                Next::End => break,
            }
        }
        assert_eq!(output, b"out\n");
        let (status, words) = child.ended();
        assert_eq!(status.and_then(|status| status.code()), Some(3));
        assert_eq!(words, ["a?b", "c"]);
    }

    #[test]
    fn words_without_end_neither_block_it_nor_are_kept() {
        let mut child = shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo done");
        let begin = Instant::now();
        loop {
            match child.read(Duration::from_secs(1)) {
                Next::Bytes(bytes) => assert_eq!(bytes, b"done\n"),
                Next::Nothing => assert!(begin.elapsed() < Duration::from_secs(20)),
                Next::End => break,
            }
        }
        assert_eq!(child.words.len(), WORDS_LIMIT);
    }

    #[test]
    fn it_is_ended_and_reaped_when_it_is_dropped_and_has_a_group_of_its_own() {
        let child = shell("exec sleep 600");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.process.id()).unwrap());
        assert_eq!(nix::unistd::getpgid(Some(pid)), Ok(pid));
        drop(child);
        assert_eq!(
            nix::sys::signal::kill(pid, None),
            Err(nix::errno::Errno::ESRCH),
            "not even a zombie"
        );
    }
}
