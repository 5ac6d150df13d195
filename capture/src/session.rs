//! One recording, from the first attached source to the last byte of the bundle.

mod beginning;
mod ending;

pub use ending::Finished;

use crate::attach::{self, Attached, Handles, Running};
use crate::clock::{self, ClockWatch};
use crate::command::HeldCommand;
use crate::follow::{Follower, Subjects};
use crate::inventory::{Request, Subject};
use crate::output::{Due, Output};
use crate::plan::{Asked, Plan};
use crate::preflight::Preflight;
use crate::preflight::rules::CallsBy;
use crate::progress::{Numbers, Progress};
use crate::recorder::Recorder;
use crate::signals::Ends;
use crate::source::syscalls::SLOW_NOTE;
use crate::source::{Message, Outbox, Stop};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};
use stillframe_format::error::WriteError;
use stillframe_format::header::{NotCaptured, Redaction, SourceOutcome};
use stillframe_format::time::Anchor;
use stillframe_format::writer::Writer;

/// Messages between sources and recorder: with the largest (8 MiB of calls each) as much as a ring.
const QUEUE: usize = 8;
/// How long is waited for a message before clocks, signals and the end are looked at.
const PATIENCE: Duration = Duration::from_millis(50);
/// Messages taken before they are looked at, under load.
const BURST: usize = 16;
/// zstd's level: 1 takes a third of level 3's time, and columns leave it little to find.
const LEVEL: i32 = 1;

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A source that was asked for could not be set up, and `--skip-missing` was not given.
    #[error(
        "cannot record all that was asked for:\n{0}\n(--skip-missing records the rest; --no-SOURCE leaves one out)"
    )]
    Sources(String),
    /// No source could be set up.
    #[error("nothing that was asked for can be recorded:\n{0}")]
    Nothing(String),
    /// The bundle could not be begun.
    #[error("output: {0}")]
    Output(#[from] WriteError),
    /// This process could not be set up.
    #[error("clocks: cannot watch for steps: {0}")]
    Clock(std::io::Error),
}

/// A recording that runs.
pub struct Session<'a> {
    plan: &'a Plan,
    ends: &'a Ends,
    progress: &'a Progress,
    command: Option<HeldCommand>,
    recorder: Recorder<Output>,
    messages: Receiver<Message>,
    stop: Stop,
    running: Vec<Running>,
    handles: Handles,
    subjects: Subjects,
    follower: Option<std::thread::JoinHandle<()>>,
    /// What the follower could not do.
    troubles: (Sender<String>, Receiver<String>),
    /// Readings of the clocks after each step of the wall clock.
    steps: Receiver<Anchor>,
    began: Instant,
    outcomes: Vec<SourceOutcome>,
    not_captured: Vec<NotCaptured>,
    redacted: Vec<Redaction>,
    /// The output failed, and how.
    broken: Option<WriteError>,
}

impl<'a> Session<'a> {
    /// Attaches the sources, writes the header and the start, lets the command go.
    ///
    /// # Errors
    /// [`SessionError`]; nothing was recorded then, and no output is left.
    pub fn begin(
        plan: &'a Plan,
        preflight: &Preflight,
        output: Output,
        command: Option<HeldCommand>,
        ends: &'a Ends,
        progress: &'a Progress,
    ) -> Result<Self, SessionError> {
        let subjects = subjects(plan);
        let stop = Stop::default();
        let steps = ClockWatch::new()
            .map_err(std::io::Error::from)
            .and_then(|watch| watch.follow(stop.clone()))
            .map_err(SessionError::Clock)?;
        let anchor = clock::anchor();
        let mut attached = attach::attach(plan, preflight, &subjects, &anchor);
        refuse(plan, preflight, &attached)?;
        for outcome in attached
            .outcomes
            .iter()
            .filter(|outcome| outcome.state == "missing" && plan.can_leave_out(&outcome.name))
        {
            progress.say(&format!("left out: {}: {}", outcome.name, outcome.reason));
        }
        if attached.handles.is_traced() && preflight.calls_by == CallsBy::Bpf {
            // Else it was said before.
            progress.say(&format!("warning: syscalls: {SLOW_NOTE}"));
        }
        let mut command = command;
        if let (Some(command), Some(end)) = (&mut command, attached.handles.command_end()) {
            command.traced_by(end);
        }
        let header = beginning::header(plan, preflight, &subjects, &attached.handles.streams(), anchor);
        let mut output = output;
        output.expect_end(Due {
            ends: ends.clone(),
            at: None,
        });
        let writer = Writer::begin(output, &header, LEVEL)?;
        let recorder = Recorder::new(writer, anchor.boottime, anchor, plan.limits.max_size);
        let (sender, messages) = sync_channel(QUEUE);
        let outbox = Outbox::new(sender);
        let running = attached.start(&outbox, &stop);
        let Attached {
            outcomes,
            handles,
            lifecycle,
            ..
        } = attached;
        let mut session = Self {
            plan,
            ends,
            progress,
            command,
            recorder,
            messages,
            stop,
            running,
            handles,
            subjects: Subjects::new(subjects),
            follower: None,
            troubles: channel(),
            steps,
            began: Instant::now(),
            outcomes,
            not_captured: Vec::new(),
            redacted: Vec::new(),
            broken: None,
        };
        if let Err(error) = session.gather_start() {
            // A header alone is no evidence of anything.
            session.stop.set();
            session.recorder.into_output().discard();
            return Err(error.into());
        }
        session.follow(lifecycle, outbox);
        session.let_go();
        session.began = Instant::now();
        let ends_at = plan.duration.and_then(|limit| session.began.checked_add(limit));
        session.expect_end(ends_at);
        Ok(session)
    }

    /// Tells the output when the end is due.
    fn expect_end(&mut self, at: Option<Instant>) {
        let ends = self.ends.clone();
        self.recorder.output().expect_end(Due { ends, at });
    }

    /// Tells the sources about containers that start, as long as anybody reports them.
    fn follow(
        &mut self,
        lifecycle: Option<Receiver<crate::source::engine_events::Lifecycle>>,
        outbox: Outbox,
    ) {
        let (Some(lifecycle), Some(engine)) = (lifecycle, self.plan.engine.clone()) else {
            return;
        };
        let follower = Follower {
            subjects: self.subjects.clone(),
            engine,
            all: self.plan.asked == Asked::All,
            handles: self.handles.clone(),
            outbox,
            stop: self.stop.clone(),
        };
        let troubles = self.troubles.0.clone();
        let started = std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || {
                follower.run(&lifecycle, &mut |trouble| {
                    // The session may have ended.
                    let _ = troubles.send(trouble);
                });
            });
        match started {
            Ok(thread) => self.follower = Some(thread),
            Err(error) => self.miss("containers that are started again", error.to_string()),
        }
    }

    fn let_go(&mut self) {
        let released = self.command.as_mut().map(HeldCommand::release);
        if let Some(Err(error)) = released {
            self.miss("command", format!("it cannot be let go: {error}"));
        }
    }

    fn miss(&mut self, what: &str, reason: String) {
        self.not_captured.push(NotCaptured {
            what: what.to_owned(),
            reason,
        });
    }

    /// Takes what has arrived, or waits a moment for it. Under load several messages are taken at once.
    fn take(&mut self) {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => self.recorder.take(message),
            Err(RecvTimeoutError::Timeout) => return,
            // Every source has ended: nothing comes any more.
            Err(RecvTimeoutError::Disconnected) => return std::thread::sleep(PATIENCE),
        }
        for _ in 1..BURST {
            if self.recorder.is_full() {
                return;
            }
            match self.messages.try_recv() {
                Ok(message) => self.recorder.take(message),
                Err(_) => return,
            }
        }
    }

    /// Records until something ends it, and tells what (a word for `end.json`).
    pub fn run(&mut self) -> &'static str {
        let mut shown = Instant::now();
        loop {
            self.take();
            self.read_steps();
            let handles = self.handles.clone();
            if let Err(error) = self
                .recorder
                .seal_due(clock::boottime(), &mut || handles.open_calls())
            {
                self.broken = Some(error);
                return "output-failed";
            }
            if let Some(reason) = self.over() {
                return reason;
            }
            if shown.elapsed() >= Duration::from_millis(250) {
                shown = Instant::now();
                self.show();
            }
        }
    }

    fn read_steps(&mut self) {
        for anchor in self.steps.try_iter() {
            self.recorder.read_clocks(anchor);
        }
    }

    fn over(&mut self) -> Option<&'static str> {
        if let Some(reason) = self.ends.reason() {
            return Some(reason);
        }
        if self
            .plan
            .duration
            .is_some_and(|limit| self.began.elapsed() >= limit)
        {
            return Some("duration");
        }
        if self.recorder.is_large_enough() {
            return Some("size");
        }
        match self.command.as_mut().map(HeldCommand::try_wait) {
            Some(Ok(Some(_))) => Some("command-ended"),
            Some(Err(error)) => {
                self.miss("command", format!("it cannot be waited for: {error}"));
                self.command = None;
                Some("command-ended")
            }
            _ => None,
        }
    }

    fn show(&self) {
        self.progress.show(Numbers {
            elapsed: self.began.elapsed(),
            of: self.plan.duration,
            events: self.recorder.events(),
            lost: self.recorder.losses().values().sum(),
            bytes: self.recorder.written(),
        });
    }

    fn request(&self, moment: &'static str) -> Request {
        Request {
            moment,
            subjects: self.subjects.list(),
            running: self.plan.running.clone(),
            engine: self.plan.engine.clone(),
            secrets: self.plan.secrets,
        }
    }
}

fn subjects(plan: &Plan) -> Vec<Subject> {
    let subject = |target: &crate::target::Target| Subject {
        container: plan
            .containers
            .iter()
            .find(|container| container.id == target.id)
            .cloned(),
        target: target.clone(),
    };
    plan.targets.iter().map(subject).collect()
}

/// What preflight found ready and the kernel then refused is as missing as anything else.
fn refuse(plan: &Plan, preflight: &Preflight, attached: &Attached) -> Result<(), SessionError> {
    let missing: Vec<String> = attached
        .outcomes
        .iter()
        .filter(|outcome| outcome.state == "missing")
        .filter(|outcome| !attached.is_any_ready() || preflight.is_ready(&outcome.name))
        .filter(|outcome| !attached.is_any_ready() || !plan.can_leave_out(&outcome.name))
        .map(|outcome| format!("  {}", outcome.reason))
        .collect();
    if !attached.is_any_ready() && !missing.is_empty() {
        return Err(SessionError::Nothing(missing.join("\n")));
    }
    if !plan.skip_missing && !missing.is_empty() {
        return Err(SessionError::Sources(missing.join("\n")));
    }
    Ok(())
}
