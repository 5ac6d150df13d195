//! Waiting for something that may never answer: a statfs on a dead NFS server, a read of a stuck `/proc` file.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It did not come in time; the thread is left behind and ends when the kernel lets it go.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The thread ended without one, or could not be started.
    #[error("the thread that asked has ended: {0}")]
    Ended(String),
}

/// Runs `work` on a thread of its own and waits at most `limit` for its result.
///
/// A thread that hangs in the kernel cannot be ended, so it is left behind: it holds what `work` owns, and
/// nothing else waits for it.
///
/// # Errors
/// [`NoAnswer`] when the result did not come.
pub fn within<T, F>(limit: Duration, name: &str, work: F) -> Result<T, NoAnswer>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Pending::start(name, work).wait(limit)
}

/// Work that runs on a thread of its own.
#[derive(Debug)]
pub struct Pending<T>(Result<mpsc::Receiver<T>, String>);

impl<T: Send + 'static> Pending<T> {
    /// Starts `work` on a thread called `name`.
    pub fn start<F: FnOnce() -> T + Send + 'static>(name: &str, work: F) -> Self {
        let (send, receive) = mpsc::sync_channel(1);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody listens any more when the limit has passed.
            let _ = send.send(work());
        });
        Self(started.map(|_| receive).map_err(|error| error.to_string()))
    }

    /// Waits at most `limit` for the result.
    ///
    /// # Errors
    /// [`NoAnswer`] when the result did not come.
    pub fn wait(self, limit: Duration) -> Result<T, NoAnswer> {
        let receive = self.0.map_err(NoAnswer::Ended)?;
        receive.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => NoAnswer::Late(limit),
            mpsc::RecvTimeoutError::Disconnected => NoAnswer::Ended("it panicked".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn an_answer_in_time_is_given() {
        assert_eq!(within(Duration::from_secs(5), "t", || 7), Ok(7));
    }

    #[test]
    fn a_hung_thread_costs_only_its_limit() {
        let start = Instant::now();
        let limit = Duration::from_millis(50);
        let answer = within(limit, "t", || thread::sleep(Duration::from_secs(30)));
        assert_eq!(answer, Err(NoAnswer::Late(limit)));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_panic_is_an_error() {
        let answer: Result<(), _> = within(Duration::from_secs(5), "t", || panic!("made for this test"));
        assert!(matches!(answer, Err(NoAnswer::Ended(_))));
    }
}
