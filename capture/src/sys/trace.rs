//! What a tracer asks of the kernel beyond what nix wraps: waiting with every signal number, ptrace(2) requests that
//! take a signal by number, reading another process's memory, and a timer that ends a wait.
//!
//! nix has most of it, but names signals by an enumeration that real-time signals are not in: its `waitpid` takes a
//! stop by one of them from the kernel and then answers `EINVAL`, so that the tracee would stand still for ever.
#![expect(
    unsafe_code,
    reason = "ptrace, waitpid, process_vm_readv and sigaction where nix can't serve"
)]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::gettid;
use std::time::Duration;

/// `PTRACE_SYSCALL`, `PTRACE_LISTEN`, `PTRACE_GET_SYSCALL_INFO`, `PTRACE_GETSIGINFO` (include/uapi/linux/ptrace.h): libc has them, with other
/// types for each C library.
const SYSCALL: i32 = 24;
const LISTEN: i32 = 0x4208;
const GET_SYSCALL_INFO: i32 = 0x420e;

const GET_SIGINFO: i32 = 0x4202;

/// The size of a `siginfo_t`.
const SIGINFO: usize = 128;
/// `struct ptrace_syscall_info` with room for what newer kernels add.
const INFO: usize = 128;

/// What waiting brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A thread stands still.
    Stopped {
        /// Which.
        tid: u32,
        /// The signal, with bit 7 at a system call.
        signal: i32,
        /// `PTRACE_EVENT_…`, 0 for none.
        event: i32,
    },
    /// A thread is gone, and has been reaped.
    Ended {
        /// Which.
        tid: u32,
        /// Its exit code as wait(2) shows it.
        code: i32,
    },
    /// Nothing (now, or a signal came).
    Nothing,
    /// There is nobody to wait for.
    Nobody,
}

/// Waits for the threads that this thread traces, and for no others. With `block` false only looks.
///
/// # Errors
/// What the kernel answers else.
pub fn wait(block: bool) -> Result<Waited, Errno> {
    let mut status = 0;
    let options = libc::__WALL | libc::__WNOTHREAD | if block { 0 } else { libc::WNOHANG };
    // SAFETY: `status` is a valid place for an int, and the kernel keeps no pointer to it.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, options) };
    match (tid, Errno::last()) {
        (0, _) | (-1, Errno::EINTR) => Ok(Waited::Nothing),
        (-1, Errno::ECHILD) => Ok(Waited::Nobody),
        (-1, errno) => Err(errno),
        (tid, _) => Ok(parse(tid.unsigned_abs(), status)),
    }
}

/// The bits of a status (include/uapi/linux/wait.h has none; glibc's waitstatus.h does).
fn parse(tid: u32, status: i32) -> Waited {
    match status & 0xff {
        0x7f => Waited::Stopped {
            tid,
            signal: status >> 8 & 0xff,
            event: status >> 16 & 0xffff,
        },
        // WIFCONTINUED, which is not asked for.
        0xff => Waited::Nothing,
        _ => Waited::Ended {
            tid,
            code: status & 0xffff,
        },
    }
}

/// Lets a thread that stands still run to its next system call, entry or return, with a signal delivered (0: none).
///
/// # Errors
/// `ESRCH` when it is no longer there, or does not stand still.
pub fn resume(tid: u32, signal: i32) -> Result<(), Errno> {
    request(SYSCALL, tid, signal)
}

/// Leaves a thread in its group's stop, until `SIGCONT`.
///
/// # Errors
/// As [`resume`].
pub fn listen(tid: u32) -> Result<(), Errno> {
    request(LISTEN, tid, 0)
}

fn request(what: i32, tid: u32, data: i32) -> Result<(), Errno> {
    let tid = i32::try_from(tid).map_err(|_| Errno::ESRCH)?;
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take numbers only; ptrace changes no memory of ours.
    let done = unsafe { libc::ptrace(what as _, tid, null, i64::from(data)) };
    Errno::result(done).map(drop)
}

/// The system call that a thread stands still at, or whose return: what the kernel wrote, raw.
///
/// # Errors
/// `EIO` on kernels before 5.3; `ESRCH` as [`resume`].
pub fn syscall_info(tid: u32) -> Result<[u8; INFO], Errno> {
    let tid = i32::try_from(tid).map_err(|_| Errno::ESRCH)?;
    let mut info = [0_u8; INFO];
    // SAFETY: the kernel writes at most `INFO` bytes, the third argument, to `info`, which has as many.
    let done = unsafe { libc::ptrace(GET_SYSCALL_INFO as _, tid, INFO, info.as_mut_ptr()) };
    Errno::result(done).map(|_| info)
}

/// The `siginfo_t` of the signal that a thread stands still before: what the kernel wrote, raw.
///
/// # Errors
/// `EINVAL` when it stands still for something else; `ESRCH` as [`resume`].
pub fn siginfo(tid: u32) -> Result<[u8; SIGINFO], Errno> {
    let tid = i32::try_from(tid).map_err(|_| Errno::ESRCH)?;
    let mut info = [0_u8; SIGINFO];
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel writes a `siginfo_t`, which is 128 bytes on every architecture, to `info`, which has as many.
    let done = unsafe { libc::ptrace(GET_SIGINFO as _, tid, null, info.as_mut_ptr()) };
    Errno::result(done).map(|_| info)
}

/// Reads memory of a process: as many bytes as there are in a row, up to the length of `into`.
///
/// # Errors
/// `EFAULT` when there are none at all.
pub fn read_memory(tid: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let tid = i32::try_from(tid).map_err(|_| Errno::ESRCH)?;
    let address = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: into.len(),
    };
    // SAFETY: `local` spans exactly `into`, which is borrowed for the call; `remote` is an address of the other
    // process, which only the kernel looks at.
    let done = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    Errno::result(done).map(|read| usize::try_from(read).unwrap_or(0))
}

extern "C" fn nothing(_: libc::c_int) {}

/// A timer that interrupts this thread's [`wait`] again and again, until it is dropped.
#[derive(Debug)]
pub struct Tick(#[expect(dead_code, reason = "it ends when it is dropped")] Timer);

impl Tick {
    /// Takes over `SIGALRM` for this process, for good, and starts the timer for the thread that calls.
    ///
    /// # Errors
    /// The kernel has no timers left.
    pub fn every(period: Duration) -> Result<Self, Errno> {
        // Without SA_RESTART, or waitpid would just go on.
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing at all, so it is safe wherever it interrupts; it replaces no handler of
        // ours, since nothing else here uses SIGALRM.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        let mut set = SigSet::empty();
        set.add(Signal::SIGALRM);
        // Whoever started us may have blocked it.
        set.thread_unblock()?;
        let mut timer = Timer::new(
            ClockId::CLOCK_MONOTONIC,
            SigEvent::new(SigevNotify::SigevThreadId {
                signal: Signal::SIGALRM,
                thread_id: gettid().as_raw(),
                si_value: 0,
            }),
        )?;
        timer.set(Expiration::Interval(period.into()), TimerSetTimeFlags::empty())?;
        Ok(Self(timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn statuses_are_taken_apart() {
        assert_eq!(parse(7, 0x0300), Waited::Ended { tid: 7, code: 0x300 });
        assert_eq!(parse(7, 0x8b), Waited::Ended { tid: 7, code: 0x8b });
        let stopped = |signal, event| Waited::Stopped {
            tid: 7,
            signal,
            event,
        };
        assert_eq!(parse(7, 0x857f), stopped(0x85, 0));
        assert_eq!(parse(7, 0x80_137f), stopped(19, 128));
        assert_eq!(
            parse(7, 0x2a7f),
            stopped(42, 0),
            "a real-time signal is one like any other"
        );
        assert_eq!(parse(7, 0xffff), Waited::Nothing);
    }

    #[test]
    fn memory_is_read_as_far_as_it_goes() {
        let here = *b"some bytes";
        let address = here.as_ptr() as u64;
        let mut found = [0; 10];
        let own = std::process::id();
        assert_eq!(read_memory(own, address, &mut found), Ok(10));
        assert_eq!(found, here);
        assert_eq!(read_memory(own, 0x10, &mut found), Err(Errno::EFAULT));
        assert_eq!(read_memory(own, u64::MAX, &mut found), Err(Errno::EFAULT));
    }

    #[test]
    fn a_tick_ends_a_wait_that_nothing_else_would() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let tick = Tick::every(Duration::from_millis(10)).unwrap();
        let since = Instant::now();
        // The thread's own child is waited for too.
        assert_eq!(wait(true), Ok(Waited::Nothing));
        assert!(since.elapsed() < Duration::from_secs(5));
        drop(tick);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(wait(false), Ok(Waited::Nobody));
    }
}
