//! Containers that start while they are captured: a restarted one has a new first process and new namespaces, and
//! with `--all` a new one is captured from its birth.

use crate::attach::Handles;
use crate::engine::Engine;
use crate::inventory::Subject;
use crate::source::Stop;
use crate::source::engine_events::Lifecycle;
use crate::target::resolve;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
        }
        self.subjects.put(subject);
    }
}
