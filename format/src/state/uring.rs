//! Descriptors and io_uring: what a request is about, and what becomes of descriptors that a ring opened or closed.

use super::State;
use crate::abi::uring as abi;
use crate::event::{DescriptorName, Uring};
use std::sync::Arc;

impl State {
    /// What a submission's descriptor refers to.
    pub(super) fn about_request(&self, request: &Uring) -> Option<&Arc<DescriptorName>> {
        let file = self.file_of(request.task.pid, request.process_fd()?)?;
        self.files.get(&file).map(|file| &file.name)
    }

    /// Goes over a request, and says whether anything changed.
    ///
    /// A completion tells the number of a new descriptor and not what it refers to: its number is no longer known by what
    /// it was before. Which descriptor a ring closes, nothing tells.
    pub(super) fn request(&mut self, request: &Uring) -> bool {
        let (Some(result), Some(opcode)) = (request.step.result(), request.opcode) else {
            return false;
        };
        let opens = abi::opens_descriptor(opcode);
        if result < 0 || !(opens || abi::changes_descriptors(opcode)) {
            return false;
        }
        let pid = request.task.pid;
        // The result of a request for a registered descriptor is 0, or an index: then too much is forgotten, and nothing
        // is called what it is not.
        if opens && result > 0 {
            self.lose_track(pid, result);
        } else if let Some(process) = self.processes.get_mut(&pid) {
            process.whole = false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BootTime;
    use crate::event::{Body, ProcessChange, Task, UringStep};

    fn request(opcode: u8, step: UringStep) -> Uring {
        Uring {
            task: Arc::new(Task {
                pid: 7,
                tid: 9,
                ..Task::default()
            }),
            step,
            ring: 1,
            user_data: 2,
            opcode: Some(opcode),
            descriptor: None,
            cpu: 0,
        }
    }

    fn named() -> State {
        let mut state = State::default();
        let born = crate::event::Process {
            task: Arc::new(Task {
                pid: 1,
                ..Task::default()
            }),
            change: ProcessChange::Fork { pid: 7, tid: 7 },
        };
        state.apply(1, BootTime(1), &Body::Process(born));
        let file = state.add_file("file", b"/data/wal".to_vec(), None);
        state.bind_fd(7, 5, file, false);
        state
    }

    #[test]
    fn a_submission_is_about_the_descriptor_of_its_process_unless_it_is_registered() {
        let state = named();
        let name = |fd, flags| {
            state
                .about_request(&request(22, UringStep::Submit { fd, flags }))
                .map(|name| name.name.clone())
        };
        assert_eq!(name(Some(5), 0), Some(b"/data/wal".to_vec()));
        for (fd, flags) in [
            (Some(5), UringStep::FIXED_FILE),
            (Some(6), 0),
            (Some(-1), 0),
            (None, 0),
        ] {
            assert_eq!(name(fd, flags), None, "{fd:?} {flags}");
        }
    }

    #[test]
    fn a_descriptor_that_a_ring_opened_has_no_name_of_before() {
        let complete = |opcode, result| {
            request(
                opcode,
                UringStep::Complete {
                    result,
                    flags: 0,
                    latency: None,
                },
            )
        };
        for (opcode, result, is_known) in [(18, 5, false), (18, -2, true), (18, 6, true), (22, 5, true)] {
            let mut state = named();
            state.apply(2, BootTime(2), &Body::Uring(complete(opcode, result)));
            assert_eq!(
                state.descriptor_name(7, 5).is_some(),
                is_known,
                "{opcode} {result}"
            );
        }
        let mut state = named();
        let closed = complete(19, 0);
        assert!(state.request(&closed) && !state.request(&complete(19, -9)));
        assert!(!state.process_of(7).unwrap().whole);
    }
}
