//! Signals and OOM kills in words, and a `siginfo` as strace writes it.

use crate::escape;
use std::borrow::Cow;
use std::fmt::Write as _;
use stillframe_format::abi;
use stillframe_format::event::{OomKill, Signal, SignalStep, Task};

/// What `si_code` says of any signal (include/uapi/asm-generic/siginfo.h).
const CODES: [(i32, &str); 10] = [
    (0, "SI_USER"),
    (128, "SI_KERNEL"),
    (-1, "SI_QUEUE"),
    (-2, "SI_TIMER"),
    (-3, "SI_MESGQ"),
    (-4, "SI_ASYNCIO"),
    (-5, "SI_SIGIO"),
    (-6, "SI_TKILL"),
    (-7, "SI_DETHREAD"),
    (-60, "SI_ASYNCNL"),
];

const ILL: u32 = 4;
const TRAP: u32 = 5;
const BUS: u32 = 7;
const FPE: u32 = 8;
const KILL: u32 = 9;
const SEGV: u32 = 11;
const CHLD: u32 = 17;
const IO: u32 = 29;
const SYS: u32 = 31;

/// What the codes from 1 on say of the signals that have some of their own.
fn own_codes(signal: u32) -> &'static [&'static str] {
    match signal {
        ILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
        ],
        TRAP => &[
            "TRAP_BRKPT",
            "TRAP_TRACE",
            "TRAP_BRANCH",
            "TRAP_HWBKPT",
            "TRAP_UNK",
            "TRAP_PERF",
        ],
        BUS => &[
            "BUS_ADRALN",
            "BUS_ADRERR",
            "BUS_OBJERR",
            "BUS_MCEERR_AR",
            "BUS_MCEERR_AO",
        ],
        FPE => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
        ],
        SEGV => &["SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"],
        CHLD => &[
            "CLD_EXITED",
            "CLD_KILLED",
            "CLD_DUMPED",
            "CLD_TRAPPED",
            "CLD_STOPPED",
            "CLD_CONTINUED",
        ],
        IO => &[
            "POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP",
        ],
        SYS => &["SYS_SECCOMP", "SYS_USER_DISPATCH"],
        _ => &[],
    }
}

/// A signal's name: `SIGTERM`, `SIGRT_2`; `signal 70` where there is none.
#[must_use]
pub fn name(signal: u32) -> Cow<'static, str> {
    abi::signal::name(signal).unwrap_or_else(|| format!("signal {signal}").into())
}

/// The name of a `si_code`.
#[must_use]
pub fn code(signal: u32, code: i32) -> Cow<'static, str> {
    let own = usize::try_from(code)
        .ok()
        .and_then(|code| own_codes(signal).get(code.checked_sub(1)?));
    if let Some(name) = own {
        return (*name).into();
    }
    match CODES.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => (*name).into(),
        None => code.to_string().into(),
    }
}

/// What became of it, in a word or a few.
#[must_use]
pub fn action(step: SignalStep) -> &'static str {
    match step {
        SignalStep::Sent => "pending",
        SignalStep::SentIgnored => "ignored",
        SignalStep::SentAlready => "already pending",
        SignalStep::SentOverflow => "queue full",
        SignalStep::SentWithoutInfo => "pending without siginfo",
        SignalStep::Delivered => "unknown",
        SignalStep::DeliveredHandler => "handler",
        SignalStep::DeliveredDefault => "default",
        SignalStep::DeliveredIgnored => "ignored",
    }
}

/// Numbers of a `siginfo_t` of 64-bit Linux, zeros where it ends.
struct Info<'a>(&'a [u8]);

impl Info<'_> {
    fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    fn i32(&self, at: usize) -> i32 {
        self.u32(at).cast_signed()
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }
}

fn pointer(value: u64) -> String {
    if value == 0 {
        "NULL".to_owned()
    } else {
        format!("{value:#x}")
    }
}

/// A `siginfo` as strace 6.1 writes it (`src/printsiginfo.c`): `{si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0}`.
#[must_use]
pub fn siginfo(signal: &Signal) -> String {
    let number = signal.number;
    let mut out = format!(
        "{{si_signo={}, si_code={}",
        name(number),
        code(number, signal.code)
    );
    if !signal.info.is_empty() {
        details(&mut out, number, signal.code, &Info(&signal.info));
    }
    out.push('}');
    out
}

// What follows `si_code`: the union `_sifields` begins at byte 16.
fn details(out: &mut String, number: u32, code: i32, info: &Info<'_>) {
    let who = |out: &mut String| {
        let _ = write!(out, ", si_pid={}, si_uid={}", info.i32(16), info.u32(20));
    };
    let value = |out: &mut String| {
        if info.u64(24) != 0 {
            let _ = write!(out, ", si_int={}, si_ptr={:#x}", info.i32(24), info.u64(24));
        }
    };
    if info.i32(4) != 0 {
        let _ = write!(out, ", si_errno={}", info.i32(4));
    }
    match (code, number) {
        (0 | -6, _) => who(out),
        (-2, _) => {
            let timer = info.u32(16);
            let timer = if timer == 0 {
                "0".to_owned()
            } else {
                format!("{timer:#x}")
            };
            let _ = write!(out, ", si_timerid={timer}, si_overrun={}", info.i32(20));
            value(out);
        }
        (..0, _) => {
            who(out);
            value(out);
        }
        (_, CHLD) => {
            who(out);
            let status = info.i32(24);
            let _ = match u32::try_from(status) {
                Ok(status) if code != 1 => write!(out, ", si_status={}", name(status)),
                _ => write!(out, ", si_status={status}"),
            };
            for (field, at) in [("si_utime", 32), ("si_stime", 40)] {
                let ticks = info.u64(at);
                let _ = write!(out, ", {field}={ticks}");
                if ticks != 0 {
                    // USER_HZ is 100 on every architecture.
                    let _ = write!(out, " /* {}.{:02} s */", ticks / 100, ticks % 100);
                }
            }
        }
        (_, ILL | TRAP | BUS | FPE | SEGV) => {
            let _ = write!(out, ", si_addr={}", pointer(info.u64(16)));
            if number == SEGV && code == 4 {
                let _ = write!(out, ", si_pkey={}", info.u32(32));
            }
        }
        (1..=3, IO) => {
            let _ = write!(out, ", si_band={}", info.u64(16).cast_signed());
        }
        (_, IO) => {}
        (_, SYS) => {
            let _ = write!(
                out,
                ", si_call_addr={}, si_syscall={}, si_arch={:#x}",
                pointer(info.u64(16)),
                info.i32(24),
                info.u32(28)
            );
        }
        _ => {
            if info.u64(16) != 0 {
                who(out);
            }
            value(out);
        }
    }
}

/// `bash[12]`, `bash[12/13]`.
pub(crate) fn who(task: &Task) -> String {
    let comm = escape::bytes(&task.comm);
    if task.pid == task.tid {
        format!("{comm}[{}]", task.pid)
    } else {
        format!("{comm}[{}/{}]", task.pid, task.tid)
    }
}

/// A signal in words.
#[must_use]
pub fn text(signal: &Signal) -> String {
    let mut out = name(signal.number).into_owned();
    if signal.step.is_delivery() {
        out.push_str(match signal.step {
            SignalStep::DeliveredHandler => " delivered to its handler",
            SignalStep::DeliveredIgnored => " delivered, ignored",
            SignalStep::DeliveredDefault if !signal.fatal => " delivered, default action",
            _ => " delivered",
        });
    } else {
        out.push_str(if signal.process_wide {
            " sent"
        } else {
            " sent to the thread"
        });
        if let Some(sender) = &signal.sender {
            let _ = write!(out, " by {}", who(sender));
        }
        if !matches!(signal.step, SignalStep::Sent) {
            let _ = write!(out, ", {}", action(signal.step));
        }
    }
    if signal.fatal {
        out.push_str(", the process dies of it");
    }
    let _ = write!(out, " {}", siginfo(signal));
    out
}

/// Whether it kills at once, without being delivered: strace, which keeps the kernel from doing so, shows it as delivered.
pub(crate) fn kills_unseen(signal: &Signal) -> bool {
    signal.fatal && !signal.step.is_delivery() && signal.number != KILL
}

/// An OOM kill in words.
#[must_use]
pub fn oom_text(kill: &OomKill) -> String {
    let mut out = "chosen by the OOM killer".to_owned();
    if let Some(trigger) = &kill.trigger {
        let _ = write!(out, ", since {} asked for memory", who(trigger));
    }
    if let Some(pages) = &kill.pages {
        let _ = write!(
            out,
            ": {} pages anonymous, {} of files, {} shared, {} of address space",
            pages.anon, pages.file, pages.shmem, pages.total_vm
        );
    }
    if kill.score_adj != 0 {
        let _ = write!(out, ", oom_score_adj {}", kill.score_adj);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn signal(number: u32, code: i32, fields: &[u8]) -> Signal {
        let mut info = vec![0; 16];
        info.extend(fields);
        info.resize(48, 0);
        Signal {
            number,
            step: SignalStep::DeliveredHandler,
            code,
            sender: None,
            fatal: false,
            process_wide: false,
            info,
        }
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// What strace 6.1 printed of a program that got these.
    #[test]
    fn a_siginfo_reads_as_strace_writes_it() {
        let cases = [
            (
                10,
                0,
                words(&[15175, 0]),
                "{si_signo=SIGUSR1, si_code=SI_USER, si_pid=15175, si_uid=0}",
            ),
            (
                12,
                -6,
                words(&[15175, 0]),
                "{si_signo=SIGUSR2, si_code=SI_TKILL, si_pid=15175, si_uid=0}",
            ),
            (
                35,
                -1,
                words(&[15175, 0, 0x3456_7890, 0x12]),
                "{si_signo=SIGRT_3, si_code=SI_QUEUE, si_pid=15175, si_uid=0, si_int=878082192, si_ptr=0x1234567890}",
            ),
            (
                34,
                -1,
                words(&[15175, 0]),
                "{si_signo=SIGRT_2, si_code=SI_QUEUE, si_pid=15175, si_uid=0}",
            ),
            (14, 128, words(&[]), "{si_signo=SIGALRM, si_code=SI_KERNEL}"),
            (
                14,
                -2,
                words(&[0, 0, 7, 0]),
                "{si_signo=SIGALRM, si_code=SI_TIMER, si_timerid=0, si_overrun=0, si_int=7, si_ptr=0x7}",
            ),
            (
                17,
                1,
                words(&[15204, 0, 3]),
                "{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=15204, si_uid=0, si_status=3, si_utime=0, si_stime=0}",
            ),
            (
                17,
                2,
                words(&[15205, 0, 9, 0, 12, 0, 0, 0]),
                "{si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=15205, si_uid=0, si_status=SIGKILL, si_utime=12 /* 0.12 s */, si_stime=0}",
            ),
            (
                11,
                1,
                words(&[16]),
                "{si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10}",
            ),
            (
                11,
                128,
                words(&[]),
                "{si_signo=SIGSEGV, si_code=SI_KERNEL, si_addr=NULL}",
            ),
            (
                5,
                128,
                words(&[]),
                "{si_signo=SIGTRAP, si_code=SI_KERNEL, si_addr=NULL}",
            ),
        ];
        for (number, code, fields, expected) in cases {
            assert_eq!(siginfo(&signal(number, code, &fields)), expected);
        }
        let mut bare = signal(15, 0, &[]);
        bare.info.clear();
        assert_eq!(siginfo(&bare), "{si_signo=SIGTERM, si_code=SI_USER}");
        assert_eq!(code(10, 77), "77");
    }

    #[test]
    fn a_signal_in_words_tells_who_sent_it_and_what_came_of_it() {
        let mut sent = signal(15, 0, &words(&[0, 0]));
        sent.step = SignalStep::Sent;
        sent.process_wide = true;
        sent.fatal = true;
        sent.sender = Some(Arc::new(Task {
            pid: 12,
            tid: 13,
            comm: b"ki\x1bll".to_vec(),
            container: String::new(),
        }));
        let told = text(&sent);
        assert!(told.starts_with("SIGTERM sent by ki"), "{told}");
        assert!(
            !told.contains('\x1b') && told.contains("[12/13], the process dies of it {"),
            "{told}"
        );
        assert!(kills_unseen(&sent));
        sent.number = KILL;
        assert!(!kills_unseen(&sent));
        sent.step = SignalStep::SentAlready;
        sent.fatal = false;
        assert!(text(&sent).contains("], already pending {si_signo=SIGKILL"));
    }

    #[test]
    fn hostile_bytes_do_not_matter() {
        for number in 0..70 {
            for code in [i32::MIN, -7, -2, 0, 1, 2, 4, 128, i32::MAX] {
                for len in 0..50 {
                    let mut odd = signal(number, code, &[]);
                    odd.info = vec![0xff; len];
                    assert!(siginfo(&odd).ends_with('}'));
                }
            }
        }
    }
}
