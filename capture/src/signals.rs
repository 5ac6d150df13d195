//! The signals that end a capture: the first one asks for a sealed end, the second one ends at once.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Watches for signals while it lives, and to the end of the process.
#[derive(Clone, Debug)]
pub struct Ends(Arc<AtomicI32>);

impl Ends {
    /// Takes over `SIGINT`, `SIGTERM` and `SIGHUP`. A second one of them ends the process with `code`: what was sealed
    /// until then is on the disk, under the partial name.
    ///
    /// # Errors
    /// When the kernel refuses a handler or a thread.
    pub fn install(code: u8) -> io::Result<Self> {
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
                        // The terminal may be gone: nobody has to read it.
                        let _ = writeln!(
                            io::stderr(),
                            "capture: ended at once by a second signal: what was sealed is in the partial file"
                        );
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
