//! Containers that start while they are captured: a restarted one has a new first process and new namespaces, and
//! with `--all` a new one is captured from its birth, or nearly: the engine reports a container once it runs, so what
//! it did in its first moments is a hole, and is recorded as one.

use crate::attach::Handles;
use crate::clock;
use crate::engine::Engine;
use crate::inventory::Subject;
use crate::source::engine_events::Lifecycle;
use crate::source::{Outbox, Stop};
use crate::target::resolve;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillframe_format::event::Loss;
use stillframe_format::{Body, BootTime, Draft};

/// `USER_HZ`: what `/proc` counts in, in nanoseconds. It is 100 a second on every architecture that capture runs on.
const TICK: u64 = 10_000_000;

/// The targets as they are now.
#[derive(Clone, Debug)]
pub struct Subjects(Arc<Mutex<Vec<Subject>>>);

impl Subjects {
    /// The targets of the plan.
    #[must_use]
    pub fn new(subjects: Vec<Subject>) -> Self {
        Self(Arc::new(Mutex::new(subjects)))
    }

    /// A copy of them.
    #[must_use]
    pub fn list(&self) -> Vec<Subject> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn knows(&self, id: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|subject| subject.target.id == id)
    }

    fn put(&self, subject: Subject) {
        let mut subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match subjects
            .iter_mut()
            .find(|known| known.target.id == subject.target.id)
        {
            Some(known) => *known = subject,
            None => subjects.push(subject),
        }
    }
}

/// Follows containers on a thread of its own until `stop`, or until nobody reports any more.
pub struct Follower {
    /// Who is captured.
    pub subjects: Subjects,
    /// The engine that is asked for a container's first process.
    pub engine: Engine,
    /// Every container is a target.
    pub all: bool,
    /// The sources that a container is added to.
    pub handles: Handles,
    /// Where holes go.
    pub outbox: Outbox,
    /// When to end.
    pub stop: Stop,
}

impl Follower {
    /// Reads what becomes of containers. What could not be done is told to `tell`, a line each.
    pub fn run(self, lifecycle: &Receiver<Lifecycle>, tell: &mut dyn FnMut(String)) {
        while !self.stop.is_set() {
            match lifecycle.recv_timeout(Duration::from_millis(100)) {
                Ok(Lifecycle::Started { id, .. }) if self.all || self.subjects.knows(&id) => {
                    self.started(&id, tell);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn started(&self, id: &str, tell: &mut dyn FnMut(String)) {
        let container = match self.engine.find(id) {
            Ok(container) if container.pid != 0 => container,
            // It has ended again.
            Ok(_) => return,
            Err(error) => return tell(error.to_string()),
        };
        let target = match resolve::container(&container.name, &container.id, container.pid, &[]) {
            Ok(target) => target,
            Err(error) => return tell(error.to_string()),
        };
        let known = self
            .subjects
            .list()
            .iter()
            .any(|subject| subject.target.id == target.id && subject.target.pid == target.pid);
        let subject = Subject {
            target,
            container: Some(container),
        };
        if !known {
            self.handles.add(&subject, tell);
            // The recorder may have ended; then there is nothing to tell any more.
            let _ = self.outbox.events(self.holes(&subject));
        }
        self.subjects.put(subject);
    }

    /// What was missed of a container between its start and now.
    fn holes(&self, subject: &Subject) -> Vec<Draft> {
        let to = clock::boottime();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", subject.target.pid));
        let from = stat.ok().and_then(|stat| start_time(&stat)).unwrap_or(to).min(to);
        let hole = |stream| Draft {
            time: to,
            cpu: 0,
            body: Body::Loss(Loss {
                stream,
                cause: "not-followed-yet".to_owned(),
                count: 0,
                from,
                to,
                scope: subject.target.name.clone(),
            }),
        };
        self.handles.streams().into_iter().map(hole).collect()
    }
}

/// When a process started, by its `/proc/PID/stat`: field 22, in ticks of boottime, the end of a tick.
fn start_time(stat: &str) -> Option<BootTime> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    Some(BootTime(ticks.checked_mul(TICK)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_started_when_its_stat_says() {
        let before = clock::boottime();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let after = clock::boottime();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let started = start_time(&stat).unwrap();
        assert!(started.0 + TICK >= before.0 && started <= after, "{started:?}");
        assert_eq!(start_time("1 (a) b) S 1 2"), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
