//! A signal that is about to be delivered, as a tracer sees it: the kernel has stopped the thread, and tells the signal's
//! `siginfo`; what the thread does about it stands in `/proc`.

use super::tracees;
use crate::source::syscalls::wire;
use crate::source::tracing::record::take;
use crate::sys::trace;

const SIGKILL: u32 = 9;
/// SIGCONT, SIGCHLD, SIGWINCH, SIGURG: nothing happens by default (include/linux/signal.h).
const IGNORED: u64 = bit(18) | bit(17) | bit(28) | bit(23);
/// SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: the process stops by default.
const STOPS: u64 = bit(19) | bit(20) | bit(21) | bit(22);

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// What a thread does about signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Actions {
    handled: u64,
    ignored: u64,
    /// It is the first process of its namespace, which dies of nothing that it has no handler for.
    is_init: bool,
}

impl Actions {
    fn of(status: &str) -> Option<Self> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let mask = |name| u64::from_str_radix(field(name)?.trim(), 16).ok();
        Some(Self {
            handled: mask("SigCgt:")?,
            ignored: mask("SigIgn:")?,
            is_init: field("NSpid:").and_then(|ids| ids.split_whitespace().next_back()) == Some("1"),
        })
    }

    /// The action, as the records have it, and whether the process dies of it.
    fn about(self, signal: u32) -> (u8, bool) {
        let bit = match signal {
            1..=64 => bit(signal),
            _ => 0,
        };
        if self.handled & bit != 0 {
            (wire::ACTION_HANDLER, false)
        } else if self.ignored & bit != 0 {
            (wire::ACTION_IGNORED, false)
        } else {
            let is_fatal = bit & (IGNORED | STOPS) == 0 && (signal == SIGKILL || !self.is_init);
            (wire::ACTION_DEFAULT, is_fatal)
        }
    }
}

/// A signal that is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) number: u32,
    pub(super) code: i32,
    pub(super) action: u8,
    pub(super) is_fatal: bool,
    pub(super) siginfo: Vec<u8>,
}

impl Delivery {
    fn new(number: u32, siginfo: &[u8], actions: Option<Actions>) -> Self {
        let (action, is_fatal) =
            actions.map_or((wire::ACTION_UNKNOWN, false), |actions| actions.about(number));
        Self {
            number,
            code: i32::from_ne_bytes(take(siginfo, 8)),
            action,
            is_fatal,
            siginfo: siginfo.get(..wire::SIGINFO).unwrap_or_default().to_vec(),
        }
    }
}

/// The signal that a thread stands still before. `None` when the kernel tells of none any more.
pub(super) fn delivery(tid: u32, signal: i32) -> Option<Delivery> {
    let siginfo = trace::siginfo(tid).ok()?;
    let number = u32::try_from(signal).ok()?;
    let actions = tracees::whole_status(tid).as_deref().and_then(Actions::of);
    Some(Delivery::new(number, &siginfo, actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str =
        "Name:\tx\nNSpid:\t77\t1\nSigQ:\t0/1\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000200\n";

    #[test]
    fn what_is_done_about_a_signal_follows_from_the_masks() {
        let init = Actions::of(STATUS).unwrap();
        assert!(init.is_init);
        assert_eq!(init.about(10), (wire::ACTION_HANDLER, false));
        assert_eq!(init.about(13), (wire::ACTION_IGNORED, false));
        assert_eq!(init.about(15), (wire::ACTION_DEFAULT, false));
        let other = Actions::of(&STATUS.replace("\t1\n", "\t2\n")).unwrap();
        assert_eq!(other.about(15), (wire::ACTION_DEFAULT, true));
        assert_eq!(other.about(64), (wire::ACTION_DEFAULT, true));
        assert_eq!(other.about(17), (wire::ACTION_DEFAULT, false));
        assert_eq!(other.about(20), (wire::ACTION_DEFAULT, false));
        assert_eq!(Actions::of("Name:\tx\n"), None);
    }

    #[test]
    fn a_siginfo_is_kept_as_far_as_the_kernel_fills_it() {
        let mut siginfo = [0_u8; 128];
        siginfo[8..12].copy_from_slice(&(-6_i32).to_ne_bytes());
        let delivery = Delivery::new(10, &siginfo, Actions::of(STATUS));
        assert_eq!((delivery.code, delivery.siginfo.len()), (-6, wire::SIGINFO));
        let unknown = Delivery::new(10, &[], None);
        assert_eq!((unknown.action, unknown.siginfo.len()), (wire::ACTION_UNKNOWN, 0));
    }
}
