//! Small structures, as they lay in memory: little endian on every ABI that is recorded.

use super::quote;
use stillframe_format::abi::{Layout, sets, signal};
use stillframe_format::event::Abi;

/// Reads numbers one after another.
struct Fields<'a> {
    rest: &'a [u8],
    abi: Abi,
}

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn i32(&mut self) -> Option<i32> {
        self.u32().map(u32::cast_signed)
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    /// A register's width, unsigned.
    fn word(&mut self) -> Option<u64> {
        if self.abi == Abi::I386 {
            self.u32().map(u64::from)
        } else {
            self.u64()
        }
    }

    /// A register's width, signed.
    fn signed(&mut self) -> Option<i64> {
        if self.abi == Abi::I386 {
            self.i32().map(i64::from)
        } else {
            self.u64().map(u64::cast_signed)
        }
    }

    fn timespec(&mut self) -> Option<String> {
        Some(format!(
            "{{tv_sec={}, tv_nsec={}}}",
            self.signed()?,
            self.signed()?
        ))
    }

    fn timeval(&mut self) -> Option<String> {
        Some(format!(
            "{{tv_sec={}, tv_usec={}}}",
            self.signed()?,
            self.signed()?
        ))
    }

    /// A descriptor's limit: `RLIM_INFINITY`, `8192*1024`, `1024`.
    fn limit(&mut self, wide: bool) -> Option<String> {
        let value = if wide { self.u64()? } else { self.word()? };
        let all = if wide || self.abi != Abi::I386 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        Some(match value {
            value if value == all && wide => "RLIM64_INFINITY".to_owned(),
            value if value == all => "RLIM_INFINITY".to_owned(),
            value if value > 1024 && value % 1024 == 0 => format!("{}*1024", value / 1024),
            value => value.to_string(),
        })
    }

    /// Names of the signals of a set, without `SIG`; the missing ones where most are there.
    fn sigset(&mut self) -> Option<String> {
        let set = self.u64()?;
        let inverted = set.count_ones() > 32;
        let shown = if inverted { !set } else { set };
        let names: Vec<String> = (1..=64u32)
            .filter(|number| shown >> (number - 1) & 1 == 1)
            .filter_map(signal::name)
            .map(|name| name.strip_prefix("SIG").unwrap_or(&name).to_owned())
            .collect();
        Some(format!(
            "{}[{}]",
            if inverted { "~" } else { "" },
            names.join(" ")
        ))
    }
}

/// The structure's content; `None` when the bytes are fewer than it takes.
pub(super) fn text(bytes: &[u8], layout: Layout, abi: Abi) -> Option<String> {
    let mut fields = Fields { rest: bytes, abi };
    Some(match layout {
        Layout::I32 => format!("[{}]", fields.i32()?),
        Layout::U32 => format!("[{}]", fields.u32()?),
        Layout::Offset => format!("[{}]", fields.u64()?.cast_signed()),
        Layout::WaitStatus => format!("[{}]", wait_status(fields.u32()?)),
        Layout::Timespec => fields.timespec()?,
        Layout::Timespec64 => {
            fields.abi = Abi::X86_64;
            fields.timespec()?
        }
        Layout::TimespecPair => format!("[{}, {}]", fields.timespec()?, fields.timespec()?),
        Layout::Timeval => fields.timeval()?,
        Layout::TimevalPair => format!("[{}, {}]", fields.timeval()?, fields.timeval()?),
        Layout::Itimerval => format!(
            "{{it_interval={}, it_value={}}}",
            fields.timeval()?,
            fields.timeval()?
        ),
        Layout::Itimerspec => {
            format!(
                "{{it_interval={}, it_value={}}}",
                fields.timespec()?,
                fields.timespec()?
            )
        }
        Layout::Rlimit => format!(
            "{{rlim_cur={}, rlim_max={}}}",
            fields.limit(false)?,
            fields.limit(false)?
        ),
        Layout::Rlimit64 => format!(
            "{{rlim_cur={}, rlim_max={}}}",
            fields.limit(true)?,
            fields.limit(true)?
        ),
        Layout::OpenHow => format!(
            "{{flags={}, mode={}, resolve={}}}",
            sets::OPEN.on(abi).text(fields.u64()?),
            quote::octal(fields.u64()?),
            quote::hex(fields.u64()?)
        ),
        Layout::CloneArgs => clone_args(&mut fields)?,
        Layout::EpollEvent => {
            let events = sets::EPOLL.text(u64::from(fields.u32()?));
            if abi == Abi::Aarch64 {
                fields.u32()?;
            }
            format!("{{events={events}, data={}}}", quote::hex(fields.u64()?))
        }
        Layout::Sigset => fields.sigset()?,
        Layout::Sigaction => sigaction(&mut fields)?,
    })
}

/// Status of `wait4` (include/uapi/linux/wait.h and the macros of glibc's waitstatus.h).
fn wait_status(status: u32) -> String {
    let signal_name = |number| signal::name(number).unwrap_or_else(|| number.to_string().into());
    let (low, high) = (status & 0x7f, status >> 8 & 0xff);
    if status & 0xffff == 0xffff {
        return "{WIFCONTINUED(s)}".to_owned();
    }
    if status & 0xff == 0x7f {
        return format!("{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}", signal_name(high));
    }
    if low == 0 {
        return format!("{{WIFEXITED(s) && WEXITSTATUS(s) == {high}}}");
    }
    let core = if status & 0x80 != 0 {
        " && WCOREDUMP(s)"
    } else {
        ""
    };
    format!("{{WIFSIGNALED(s) && WTERMSIG(s) == {}{core}}}", signal_name(low))
}

/// `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, …
fn clone_args(fields: &mut Fields<'_>) -> Option<String> {
    let flags = fields.u64()?;
    let (pidfd, child, parent) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let exit = fields.u64()?;
    let (stack, size, tls) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let mut parts = vec![format!("flags={}", sets::CLONE.text(flags))];
    for (name, value) in [("pidfd", pidfd), ("child_tid", child), ("parent_tid", parent)] {
        if value != 0 {
            parts.push(format!("{name}={}", quote::pointer(value)));
        }
    }
    let signal = u32::try_from(exit).ok().and_then(signal::name);
    parts.push(format!(
        "exit_signal={}",
        signal.unwrap_or_else(|| exit.to_string().into())
    ));
    parts.push(format!(
        "stack={}, stack_size={}",
        quote::pointer(stack),
        quote::hex(size)
    ));
    if tls != 0 {
        parts.push(format!("tls={tls:#x}"));
    }
    Some(format!("{{{}}}", parts.join(", ")))
}

/// The kernel's `struct sigaction`: handler, flags, on x86 restorer, mask.
fn sigaction(fields: &mut Fields<'_>) -> Option<String> {
    let handler = match fields.word()? {
        0 => "SIG_DFL".to_owned(),
        1 => "SIG_IGN".to_owned(),
        address => format!("{address:#x}"),
    };
    let flags = fields.word()?;
    let restorer = if fields.abi == Abi::Aarch64 {
        None
    } else {
        Some(fields.word()?)
    };
    let mask = fields.sigset()?;
    let mut out = format!(
        "{{sa_handler={handler}, sa_mask={mask}, sa_flags={}",
        sets::SIGACTION.text(flags)
    );
    if let Some(restorer) = restorer.filter(|restorer| *restorer != 0) {
        out.push_str(&format!(", sa_restorer={restorer:#x}"));
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[u64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn each_layout_reads_like_strace() {
        let on = |bytes: &[u8], layout| text(bytes, layout, Abi::X86_64).unwrap();
        assert_eq!(on(&words(&[1, 5]), Layout::Timespec), "{tv_sec=1, tv_nsec=5}");
        assert_eq!(
            text(&[1, 0, 0, 0, 2, 0, 0, 0], Layout::Timespec, Abi::I386).unwrap(),
            "{tv_sec=1, tv_nsec=2}"
        );
        assert_eq!(
            on(&words(&[8 << 20, u64::MAX]), Layout::Rlimit64),
            "{rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}"
        );
        assert_eq!(
            on(&[0, 3, 0, 0], Layout::WaitStatus),
            "[{WIFEXITED(s) && WEXITSTATUS(s) == 3}]"
        );
        assert_eq!(
            on(&[0x8b, 0, 0, 0], Layout::WaitStatus),
            "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}]"
        );
        assert_eq!(on(&words(&[1 << 16 | 1 << 1]), Layout::Sigset), "[INT CHLD]");
        assert_eq!(on(&words(&[!(1 << 8)]), Layout::Sigset), "~[KILL]");
        assert_eq!(
            on(&words(&[0x0800_0000, 0, 0]), Layout::OpenHow),
            "{flags=O_RDONLY|0x8000000, mode=000, resolve=0}"
        );
        let event = [vec![1, 0, 0, 0x80], words(&[7])].concat();
        assert_eq!(
            on(&event, Layout::EpollEvent),
            "{events=EPOLLIN|EPOLLET, data=0x7}"
        );
        assert_eq!(
            on(&words(&[1, 0x0400_0000, 0x5000, 0]), Layout::Sigaction),
            "{sa_handler=SIG_IGN, sa_mask=[], sa_flags=SA_RESTORER, sa_restorer=0x5000}"
        );
    }

    #[test]
    fn what_is_too_short_is_none() {
        for layout in [
            Layout::I32,
            Layout::Timespec,
            Layout::CloneArgs,
            Layout::Sigaction,
            Layout::Rlimit,
        ] {
            for abi in [Abi::X86_64, Abi::I386, Abi::Aarch64] {
                let size = usize::try_from(layout.size(abi)).unwrap();
                let whole = vec![0; size];
                assert!(
                    text(&whole[..size - 1], layout, abi).is_none() || layout == Layout::CloneArgs,
                    "{layout:?}"
                );
                assert!(text(&whole, layout, abi).is_some(), "{layout:?}");
            }
        }
    }
}
