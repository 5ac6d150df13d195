//! The signals that end a capture: the first one asks for a sealed end, the second one ends at once.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Watches for signals while it lives, and to the end of the process.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<AtomicI32>);

impl Ends {
    /// Takes over `SIGINT`, `SIGTERM` and `SIGHUP`. A second one of them ends the process with `code`, and says `left`:
    /// what becomes of that which was sealed until then.
    ///
    /// `SIGXFSZ`, which kills a process that meets its largest file size, is taken so that the write fails instead.
    ///
    /// # Errors
    /// When the kernel refuses a handler or a thread.
    pub fn install(code: u8, left: &'static str) -> io::Result<Self> {
        // A handler, not SIG_IGN: that a command would inherit.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let first = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&first);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if seen
                        .compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire)
                        .is_err()
                    {
                        say(&format!("capture: ended at once by a second signal: {left}"));
                        std::process::exit(i32::from(code));
                    }
                }
            })?;
        Ok(Self(first))
    }

    /// The word for `end.json`, once a signal came.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            SIGINT => Some("interrupt"),
            SIGHUP => Some("hangup"),
            _ => Some("terminate"),
        }
    }
}

/// Says it to whoever reads standard error, if anybody does: the terminal may be gone, a pipe may be stuck, and this
/// must not wait for either.
fn say(line: &str) {
    let stderr = io::stderr();
    let mut waited = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut waited, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        let _ = writeln!(&stderr, "{line}");
    }
}
