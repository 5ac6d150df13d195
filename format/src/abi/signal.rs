//! Signals: numbers and names, the same on x86 and arm64 (`asm/signal.h`, `asm-generic/signal.h`).

/// Names of the signals 1 to 31, in order.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal as the kernel counts (libc keeps 32 and 33 for itself).
const REAL_TIME: u32 = 32;
/// The last one (`_NSIG`).
const LAST: u32 = 64;

/// The name of a signal as strace writes it: `SIGTERM`, `SIGRT_2`. `None` for 0 and for what is no signal.
#[must_use]
pub fn name(signal: u32) -> Option<std::borrow::Cow<'static, str>> {
    if (REAL_TIME..=LAST).contains(&signal) {
        return Some(match signal - REAL_TIME {
            0 => "SIGRTMIN".into(),
            more => format!("SIGRT_{more}").into(),
        });
    }
    let at = usize::try_from(signal.checked_sub(1)?).ok()?;
    NAMES.get(at).map(|name| (*name).into())
}

/// The number of a signal's name: 15 for `SIGTERM` or `TERM`.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    (1..=LAST).find(|signal| {
        self::name(*signal).is_some_and(|full| full == name || full.strip_prefix("SIG") == Some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_strace() {
        assert_eq!(name(9).as_deref(), Some("SIGKILL"));
        assert_eq!(name(17).as_deref(), Some("SIGCHLD"));
        assert_eq!(name(31).as_deref(), Some("SIGSYS"));
        assert_eq!(name(32).as_deref(), Some("SIGRTMIN"));
        assert_eq!(name(34).as_deref(), Some("SIGRT_2"));
        assert_eq!((name(0), name(65)), (None, None));
        for signal in 1..=64 {
            assert_eq!(number(&name(signal).unwrap()), Some(signal));
        }
        assert_eq!(number("TERM"), Some(15));
    }
}
