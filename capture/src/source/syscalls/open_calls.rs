//! The calls that threads of the targets are inside of, at this moment.

use super::filter::Shared;
use super::wire;
use crate::source::tracing::record::{comm, container, take, take_u32, take_u64};
use std::sync::Arc;
use stillframe_format::BootTime;
use stillframe_format::event::{Abi, OpenCall, Task};

/// Lists the calls in flight, while a [`super::SyscallSource`] runs or after it.
#[derive(Clone)]
pub struct OpenCalls(pub(crate) Arc<Shared>);

impl OpenCalls {
    /// One walk over the tasks of the host by a BPF iterator: the calls that threads of the targets have entered
    /// and not returned from. A call that was entered before capture looked has no enter time, and stands here only
    /// while its thread sleeps. Empty when the walk fails.
    #[must_use]
    pub fn list(&self) -> Vec<OpenCall> {
        let written = self
            .0
            .programs()
            .run_iterator("syscalls", "open_calls")
            .unwrap_or_default();
        decode(&written, &self.0.ids())
    }
}

/// What the iterator wrote, as calls. A cut last one is left out.
fn decode(written: &[u8], targets: &[String]) -> Vec<OpenCall> {
    written
        .as_chunks::<{ wire::OPEN }>()
        .0
        .iter()
        .filter_map(|bytes| {
            let enter = take_u64(bytes, wire::OPEN_ENTER);
            let [abi] = take(bytes, wire::OPEN_ABI);
            Some(OpenCall {
                task: Task {
                    pid: take_u32(bytes, wire::OPEN_TGID),
                    tid: take_u32(bytes, wire::OPEN_TID),
                    comm: comm(&take(bytes, wire::OPEN_COMM)),
                    container: container(targets, take_u32(bytes, wire::OPEN_TARGET)),
                },
                abi: Abi::from_number(abi)?,
                number: take_u32(bytes, wire::OPEN_NR),
                args: std::array::from_fn(|arg| take_u64(bytes, wire::OPEN_ARGS + 8 * arg)),
                enter: (enter != 0).then_some(BootTime(enter)),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut bytes = vec![0; wire::OPEN];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(wire::OPEN_ENTER, &9_u64.to_ne_bytes());
        put(wire::OPEN_ARGS + 8, &7_u64.to_ne_bytes());
        put(wire::OPEN_NR, &232_u32.to_ne_bytes());
        put(wire::OPEN_TARGET, &2_u32.to_ne_bytes());
        put(wire::OPEN_TGID, &5_u32.to_ne_bytes());
        put(wire::OPEN_TID, &6_u32.to_ne_bytes());
        put(wire::OPEN_COMM, b"worker\0");
        bytes
    }

    #[test]
    fn whole_records_are_read_and_a_cut_one_is_left_out() {
        let targets = ["a".to_owned(), "b".to_owned()];
        let mut written = record();
        let mut old = record();
        old[..8].fill(0);
        written.extend(&old);
        written.extend(&record()[..50]);
        let calls = decode(&written, &targets);
        assert_eq!(calls.len(), 2);
        assert_eq!(
            calls[0],
            OpenCall {
                task: Task {
                    pid: 5,
                    tid: 6,
                    comm: b"worker".to_vec(),
                    container: "b".to_owned()
                },
                abi: Abi::X86_64,
                number: 232,
                args: [0, 7, 0, 0, 0, 0],
                enter: Some(BootTime(9)),
            }
        );
        assert_eq!(calls[1].enter, None);
    }
}
