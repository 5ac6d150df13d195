//! The end of a recording: sources drain, the rest is sealed, the snapshot is taken again, the bundle is closed.

use super::Session;
use crate::attach::{self, Running};
use crate::clock;
use crate::output;
use crate::secrets;
use crate::source::Message;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use stillframe_format::BootTime;
use stillframe_format::entry::Member;
use stillframe_format::error::WriteError;
use stillframe_format::header::{CommandOutcome, Cost, End, NotCaptured, SourceOutcome};

/// How long the sources may take to drain. After that, for as long again, what they hand over is only counted.
const DRAIN: Duration = Duration::from_secs(6);

/// How a recording ended.
#[derive(Debug)]
pub struct Finished {
    /// The bundle; `None` for a pipe.
    pub path: Option<PathBuf>,
    /// Why the recording ended, as in `end.json`.
    pub reason: &'static str,
    /// How long it recorded.
    pub length: Duration,
    /// Events in the bundle, as far as they were taken.
    pub events: u64,
    /// Lost events by stream; 0 where it is not known how many.
    pub lost: Vec<(String, u64)>,
    /// Sources that were asked for and are not there, or not to the end: name and reason.
    pub failed: Vec<(String, String)>,
    /// Bytes of the bundle.
    pub bytes: u64,
    /// How the command ended, where there was one and it did.
    pub command: Option<CommandOutcome>,
    /// The output failed: what happened, and where what was recorded is.
    pub broken: Option<Broken>,
}

/// An output that failed.
#[derive(Debug)]
pub struct Broken {
    /// What happened.
    pub problem: String,
    /// Nobody reads the pipe any more.
    pub is_closed_pipe: bool,
    /// The bundle was ended all the same: it is whole but for the losses it counts.
    pub is_sealed: bool,
    /// What is left where it is not.
    pub partial: Option<PathBuf>,
}

impl Session<'_> {
    /// Ends the recording for `reason`.
    #[must_use]
    pub fn finish(mut self, reason: &'static str) -> Finished {
        let length = self.began.elapsed();
        let stopped = if reason == "size" {
            self.recorder.end_at_seal()
        } else {
            clock::boottime()
        };
        self.progress.clear();
        self.expect_end(Some(Instant::now()));
        self.stop.set();
        self.drain();
        self.read_steps();
        if let Some(follower) = self.follower.take() {
            // It looks at `stop` ten times a second, or waits for a reply that has its own limit.
            if follower.is_finished() || self.broken.is_none() {
                let _ = follower.join();
            }
        }
        let troubles: Vec<String> = self.troubles.1.try_iter().collect();
        for trouble in troubles {
            self.miss("a container that was started again", trouble);
        }
        let command = self
            .command
            .as_mut()
            .and_then(|command| command.try_wait().ok().flatten());
        match self.broken.take() {
            None => self.seal(reason, stopped, length, command),
            Some(error) => self.save(error, stopped, length, command),
        }
    }

    /// Takes what sources hand over until all have ended, or their time is up: a slow output must not keep the end
    /// for longer than it takes to count what is left.
    fn drain(&mut self) {
        let since = Instant::now();
        let mut late: Option<Instant> = None;
        while late.is_none_or(|late| late.elapsed() < DRAIN) {
            if since.elapsed() >= DRAIN {
                late.get_or_insert_with(Instant::now);
            }
            let message = match self.messages.recv_timeout(super::PATIENCE) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                // All have handed over their last; their threads end in a moment.
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(Duration::from_millis(2));
                    None
                }
            };
            if let Some(message) = message {
                self.last(message, late.is_some());
            }
            if self.running.iter().all(|running| running.thread.is_finished()) {
                for message in self.messages.try_iter().collect::<Vec<_>>() {
                    self.last(message, late.is_some());
                }
                break;
            }
        }
        if self.broken.is_none() {
            self.recorder.report_unwritten("writer-slow");
        }
        for running in std::mem::take(&mut self.running) {
            let (outcome, missed) = ended(running);
            self.outcomes.push(outcome);
            self.not_captured.extend(missed);
        }
    }

    /// Takes one of the last messages.
    fn last(&mut self, message: Message, is_late: bool) {
        if self.broken.is_some() {
            self.forget(message);
        } else if is_late {
            self.recorder.leave_out(message);
        } else {
            self.recorder.take(message);
            if self.recorder.is_full()
                && let Err(error) = self.recorder.seal_due(clock::boottime(), &mut Vec::new)
            {
                self.broken = Some(error);
            }
        }
    }

    /// Of what comes after the output has failed only the losses count.
    fn forget(&mut self, message: Message) {
        self.recorder.leave_out(message);
    }

    fn seal(
        mut self,
        reason: &'static str,
        stopped: BootTime,
        length: Duration,
        command: Option<CommandOutcome>,
    ) -> Finished {
        let open = self.handles.open_calls();
        if let Err(error) = self.recorder.seal_rest(&open) {
            return self.save(error, stopped, length, command);
        }
        let mut inventory = self.request("end").take();
        self.not_captured.append(&mut inventory.missed);
        self.redacted.append(&mut inventory.redacted);
        self.close(reason, inventory.members, stopped, length, command, None)
    }

    /// The output has failed: what was written is cut back to whole frames, and ended if that can still be.
    fn save(
        mut self,
        error: WriteError,
        stopped: BootTime,
        length: Duration,
        command: Option<CommandOutcome>,
    ) -> Finished {
        let good = self.recorder.written();
        let cause = if is(&error, output::is_full) {
            "output-full"
        } else {
            "output-failed"
        };
        self.recorder.give_up(cause);
        let can_go_on = self.recorder.output().cut_back(good).is_ok();
        let mut broken = Broken {
            problem: error.to_string(),
            is_closed_pipe: is(&error, output::is_closed_pipe),
            is_sealed: false,
            partial: None,
        };
        if can_go_on && self.recorder.seal_rest(&[]).is_ok() {
            let not_taken = NotCaptured {
                what: "end".to_owned(),
                reason: format!("the snapshot was not taken again: the output failed ({error})"),
            };
            self.not_captured.push(not_taken);
            return self.close(
                "output-failed",
                Vec::new(),
                stopped,
                length,
                command,
                Some(broken),
            );
        }
        let good = self.recorder.written();
        // If it can't be cut, it ends in a frame that is not whole, which readers know.
        let _ = self.recorder.output().cut_back(good);
        let mut finished = self.finished("output-failed", length, command);
        broken.partial = self.recorder.into_output().abandon();
        finished.broken = Some(broken);
        finished
    }

    fn close(
        self,
        reason: &'static str,
        members: Vec<Member>,
        stopped: BootTime,
        length: Duration,
        command: Option<CommandOutcome>,
        broken: Option<Broken>,
    ) -> Finished {
        let mut finished = self.finished(reason, length, command.clone());
        let mut not_captured = self.not_captured;
        for outcome in &self.outcomes {
            if outcome.state != "captured" {
                not_captured.push(NotCaptured {
                    what: outcome.name.clone(),
                    reason: outcome.reason.clone(),
                });
            }
        }
        let end = End {
            reason: reason.to_owned(),
            stopped,
            cost: cost(&self.outcomes),
            sources: self.outcomes,
            not_captured,
            redacted: self.redacted.into_iter().chain(secrets::redactions()).collect(),
            command,
            ..End::default()
        };
        let problem = match self.recorder.finish(members, end) {
            Ok(output) => {
                finished.bytes = output.written();
                match output.seal() {
                    Ok(path) => {
                        finished.path = path;
                        finished.broken = broken.map(|broken| Broken {
                            is_sealed: true,
                            ..broken
                        });
                        return finished;
                    }
                    Err(error) => (error.to_string(), false),
                }
            }
            Err(error) => (error.to_string(), is(&error, output::is_closed_pipe)),
        };
        // The writer has dropped its output, which leaves the partial file where it is.
        finished.broken = Some(Broken {
            problem: problem.0,
            is_closed_pipe: problem.1,
            is_sealed: false,
            partial: self.plan.output.partial().filter(|partial| partial.exists()),
        });
        finished
    }

    fn finished(&self, reason: &'static str, length: Duration, command: Option<CommandOutcome>) -> Finished {
        let failed = self
            .outcomes
            .iter()
            .filter(|outcome| match outcome.state.as_str() {
                "failed" => true,
                // What was said to be left out before the start has not failed.
                "missing" => !self.plan.can_leave_out(&outcome.name),
                _ => false,
            })
            .map(|outcome| (outcome.name.clone(), outcome.reason.clone()))
            .collect();
        let losses = self.recorder.losses();
        Finished {
            path: None,
            reason,
            length,
            events: self.recorder.events(),
            lost: losses
                .iter()
                .map(|(stream, count)| ((*stream).to_owned(), *count))
                .collect(),
            failed,
            bytes: self.recorder.written(),
            command,
            broken: None,
        }
    }
}

/// What became of a source; one that does not end is left to itself.
fn ended(running: Running) -> (SourceOutcome, Vec<NotCaptured>) {
    let name = running.name;
    let failed = |reason: String| (attach::failed(name, reason), Vec::new());
    if !running.thread.is_finished() {
        return failed(format!("{name}: it did not end within {} s", DRAIN.as_secs()));
    }
    match running.thread.join() {
        Ok(ended) => attach::outcome(name, ended),
        Err(_) => failed(format!("{name}: its thread panicked")),
    }
}

fn is(error: &WriteError, kind: impl Fn(&std::io::Error) -> bool) -> bool {
    matches!(error, WriteError::Io(cause) if kind(cause))
}

/// CPU time of this process and of the children that it has waited for (journalctl), and its peak memory.
fn cost(outcomes: &[SourceOutcome]) -> Cost {
    let mut cost = Cost::default();
    let nanoseconds = |time: TimeVal| u64::try_from(time.num_nanoseconds()).unwrap_or(0);
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        if let Ok(usage) = getrusage(who) {
            cost.user_ns += nanoseconds(usage.user_time());
            cost.system_ns += nanoseconds(usage.system_time());
            // In KiB (getrusage(2)).
            let rss = u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1024);
            if who == UsageWho::RUSAGE_SELF {
                cost.max_rss_bytes = rss;
            }
        }
    }
    cost.kernel_buffer_bytes = outcomes
        .iter()
        .filter_map(|outcome| outcome.counters.get("ring_bytes"))
        .sum();
    cost
}
