//! Finding the threads of a target in `/proc`, and seizing them.

use super::book::{Book, Identity};
use crate::source::SourceError;
use crate::target::{Target, TargetKind, resolve};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;
use std::fs;

/// Rounds of looking for threads that were born while others were being seized.
const ROUNDS: usize = 64;

/// What is followed. Nothing that is traced dies with capture, so not `EXITKILL`.
const OPTIONS: [Options; 6] = [
    Options::PTRACE_O_TRACESYSGOOD,
    Options::PTRACE_O_TRACEFORK,
    Options::PTRACE_O_TRACEVFORK,
    Options::PTRACE_O_TRACECLONE,
    Options::PTRACE_O_TRACEEXEC,
    Options::PTRACE_O_TRACEEXIT,
];

/// What seizing a target came to.
#[derive(Debug, Default)]
pub(super) struct Seizing {
    /// Threads that ran already and are traced now.
    pub(super) threads: u64,
    /// What is not traced, and why.
    pub(super) notes: Vec<String>,
}

/// Seizes every thread of a target that runs.
pub(super) fn seize(target: &Target, book: &mut Book) -> Result<Seizing, SourceError> {
    let mut seizing = Seizing::default();
    let mut refused: Option<(u32, Errno)> = None;
    for _ in 0..ROUNDS {
        let (new, denied) = round(target, book);
        seizing.threads += new;
        refused = denied;
        if new == 0 {
            break;
        }
    }
    if let Some((pid, errno)) = refused {
        let message = format!("pid {pid} cannot be traced: {}", why(pid, errno));
        if pid == target.pid || seizing.threads == 0 {
            return Err(SourceError {
                source_name: "syscalls",
                message,
                missing: vec!["CAP_SYS_PTRACE".to_owned()],
            });
        }
        seizing.notes.push(format!("{message}, nor are others like it"));
    }
    Ok(seizing)
}

/// Seizes the threads of processes that have joined a target.
pub(super) fn join(target: &Target, book: &mut Book) -> u64 {
    round(target, book).0
}

/// Looks once: how many threads were new, and the first that could not be had.
fn round(target: &Target, book: &mut Book) -> (u64, Option<(u32, Errno)>) {
    let own = std::process::id();
    let number = book.target(&target.id);
    let mut new = 0;
    let mut refused = None;
    for pid in resolve::pids(target) {
        // A process that is known tells of its threads itself, unless it is being seized just now.
        if pid == own || (target.kind == TargetKind::Container && book.has_process(pid) && new == 0) {
            continue;
        }
        for tid in threads(pid) {
            if book.knows(tid) {
                continue;
            }
            match take(tid, target.kind != TargetKind::Command) {
                Ok(()) => {
                    new += 1;
                    book.seized(
                        tid,
                        Identity {
                            tgid: pid,
                            target: number,
                            comm: comm(tid).unwrap_or_default(),
                        },
                    );
                }
                // It has ended, or its birth will be told by whoever is traced already.
                Err(Errno::ESRCH) => {}
                Err(_) if tracer(tid) == Some(own) || is_dead(tid) => {}
                Err(errno) => refused = refused.or(Some((pid, errno))),
            }
        }
    }
    (new, refused)
}

/// Seizes a thread, and has it stand still soon, unless it does already: only what has stood still stops at calls.
fn take(tid: u32, interrupt: bool) -> Result<(), Errno> {
    let pid = Pid::from_raw(i32::try_from(tid).map_err(|_| Errno::ESRCH)?);
    ptrace::seize(pid, OPTIONS.into_iter().collect())?;
    if interrupt {
        // One that was killed meanwhile tells its end.
        let _ = ptrace::interrupt(pid);
    }
    Ok(())
}

fn why(pid: u32, errno: Errno) -> String {
    if let Some(other) = tracer(pid).filter(|other| *other != 0) {
        return format!("pid {other} traces it already, and there can be only one (end that first)");
    }
    match (errno, yama()) {
        (Errno::EPERM, 1..) => format!(
            "{} (run as root or add CAP_SYS_PTRACE; kernel.yama.ptrace_scope is {})",
            errno.desc(),
            yama()
        ),
        (Errno::EPERM, _) => format!("{} (run as root or add CAP_SYS_PTRACE)", errno.desc()),
        _ => errno.desc().to_owned(),
    }
}

/// `kernel.yama.ptrace_scope`; 0 where there is no Yama.
pub(crate) fn yama() -> u32 {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

fn threads(pid: u32) -> Vec<u32> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The name of a thread, as the kernel keeps it.
pub(super) fn comm(tid: u32) -> Option<[u8; 16]> {
    let text = fs::read(format!("/proc/{tid}/comm")).ok()?;
    let mut comm = [0; 16];
    let name = text.strip_suffix(b"\n").unwrap_or(&text);
    for (place, byte) in comm.iter_mut().take(15).zip(name) {
        *place = *byte;
    }
    Some(comm)
}

/// What `/proc` tells of a thread. Its name need not be UTF-8.
pub(super) fn whole_status(tid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{tid}/status")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn status(tid: u32, field: &str) -> Option<u32> {
    let text = whole_status(tid)?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().parse().ok()
}

/// The process of a thread.
pub(super) fn tgid(tid: u32) -> Option<u32> {
    status(tid, "Tgid:")
}

/// The parent of a process.
pub(super) fn parent(tid: u32) -> Option<u32> {
    status(tid, "PPid:")
}

/// Who traces a thread, as its process's number; 0 for nobody. The tracer is a thread of ours, so its number is asked
/// for its process.
fn tracer(tid: u32) -> Option<u32> {
    let tracer = status(tid, "TracerPid:")?;
    Some(tgid(tracer).unwrap_or(tracer))
}

fn is_dead(tid: u32) -> bool {
    let stat = fs::read(format!("/proc/{tid}/stat")).unwrap_or_default();
    let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    matches!(stat.get(end + 2), None | Some(b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_found_in_proc() {
        let own = std::process::id();
        let tid = nix::unistd::gettid().as_raw().unsigned_abs();
        assert!(threads(own).contains(&tid));
        assert_eq!(tgid(tid), Some(own));
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id()));
        assert_eq!(tracer(own), Some(0));
        assert!(!is_dead(own) && is_dead(u32::MAX));
        let name = fs::read_to_string(format!("/proc/{tid}/comm")).unwrap();
        assert!(comm(tid).unwrap().starts_with(name.trim_end().as_bytes()));
    }
}
