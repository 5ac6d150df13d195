//! Small structures, as they lay in memory: little endian on every ABI that is recorded.

use super::quote;
use stillframe_format::abi::{Layout, sets, signal, values};
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

    fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(u16::from_le_bytes(*bytes))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    /// The part of a second, which strace shows without a sign, however wide it is.
    fn fraction(&mut self) -> Option<u64> {
        self.signed().map(i64::cast_unsigned)
    }

    /// A text in a field of its own, ended by NUL.
    fn text(&mut self, length: usize) -> Option<String> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let mut out = String::new();
        quote::string(&mut out, bytes.get(..end)?, usize::MAX, false);
        Some(out)
    }

    fn timespec(&mut self) -> Option<String> {
        Some(format!(
            "{{tv_sec={}, tv_nsec={}}}",
            self.signed()?,
            self.fraction()?
        ))
    }

    fn timeval(&mut self) -> Option<String> {
        Some(format!(
            "{{tv_sec={}, tv_usec={}}}",
            self.signed()?,
            self.fraction()?
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
        Layout::TimespecPair => format!("[{}, {}]", file_time(&mut fields)?, file_time(&mut fields)?),
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
        Layout::OpenHow => {
            let (flags, mode, resolve) = (fields.u64()?, fields.u64()?, fields.u64()?);
            let mode = if mode == 0 {
                String::new()
            } else {
                format!("mode={}, ", quote::octal(mode))
            };
            format!(
                "{{flags={}, {mode}resolve={}}}",
                sets::OPEN.on(abi).text(flags),
                sets::RESOLVE.text(resolve)
            )
        }
        Layout::CloneArgs => clone_args(&mut fields)?,
        Layout::EpollEvent => {
            let events = sets::EPOLL.text(u64::from(fields.u32()?));
            if abi == Abi::Aarch64 {
                fields.u32()?;
            }
            let data = fields.u64()?;
            format!(
                "{{events={events}, data={{u32={}, u64={data}}}}}",
                data & 0xffff_ffff
            )
        }
        Layout::Sigset => fields.sigset()?,
        Layout::Sigaction => sigaction(&mut fields)?,
        Layout::Stat | Layout::Stat64 => stat(&mut fields, layout)?,
        Layout::Statx => statx(&mut fields)?,
        Layout::Statfs => statfs(&mut fields)?,
        Layout::Utsname => format!(
            "{{sysname={}, nodename={}, ...}}",
            fields.text(65)?,
            fields.text(65)?
        ),
        Layout::Rusage => format!(
            "{{ru_utime={}, ru_stime={}, ...}}",
            fields.timeval()?,
            fields.timeval()?
        ),
        Layout::SigStack => {
            let (sp, flags) = (fields.word()?, fields.u32()?);
            if abi != Abi::I386 {
                fields.skip(4)?;
            }
            let size = fields.word()?;
            format!(
                "{{ss_sp={}, ss_flags={}, ss_size={size}}}",
                quote::pointer(sp),
                sets::SIG_STACK.text(u64::from(flags))
            )
        }
        Layout::WaitInfo => wait_info(&mut fields)?,
        Layout::Sysinfo => sysinfo(&mut fields)?,
        Layout::CapHeader => {
            let (version, pid) = (fields.u32()?, fields.i32()?);
            format!(
                "{{version={}, pid={pid}}}",
                values::CAP_VERSION.text(u64::from(version))
            )
        }
        Layout::CapData => cap_data(&mut fields)?,
        Layout::Pollfd => {
            let (fd, events) = (fields.i32()?, fields.u16()?);
            fields.u16()?;
            if fd < 0 {
                format!("{{fd={fd}}}")
            } else {
                format!("{{fd={fd}, events={}}}", sets::POLL.text(u64::from(events)))
            }
        }
        Layout::Iovec => {
            let (base, length) = (fields.word()?, fields.word()?);
            format!("{{iov_base={}, iov_len={length}}}", quote::pointer(base))
        }
        Layout::Utimbuf => format!("{{actime={}, modtime={}}}", fields.signed()?, fields.signed()?),
        Layout::FilterProgram => {
            let length = fields.u16()?;
            fields.skip(if abi == Abi::I386 { 2 } else { 6 })?;
            format!("{{len={length}, filter={}}}", quote::pointer(fields.word()?))
        }
        Layout::Flock => flock(&mut fields)?,
        Layout::UringParams => {
            let (sq, cq, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let (cpu, idle) = (fields.u32()?, fields.u32()?);
            format!(
                "{{flags={}, sq_thread_cpu={cpu}, sq_thread_idle={idle}, sq_entries={sq}, cq_entries={cq}, ...}}",
                quote::hex(u64::from(flags))
            )
        }
    })
}

/// One of the times of `utimensat` (include/linux/stat.h: what stands for now, and for as it was).
fn file_time(fields: &mut Fields<'_>) -> Option<String> {
    let start = fields.rest;
    fields.signed()?;
    match fields.signed()? {
        0x3fff_ffff => return Some("UTIME_NOW".to_owned()),
        0x3fff_fffe => return Some("UTIME_OMIT".to_owned()),
        _ => {}
    }
    Fields {
        rest: start,
        abi: fields.abi,
    }
    .timespec()
}

fn device(major: u64, minor: u64) -> String {
    format!("makedev({}, {})", quote::hex(major), quote::hex(minor))
}

/// A device's number as `stat` and `mknod` have it (include/linux/kdev_t.h, `new_encode_dev`).
pub(super) fn make_device(number: u64) -> String {
    device(
        number >> 8 & 0xfff | number >> 32 & 0xffff_f000,
        number & 0xff | number >> 12 & 0xff_ff00,
    )
}

/// `S_IFREG|0644`.
pub(super) fn file_mode(mode: u64) -> String {
    /// include/uapi/linux/stat.h
    const TYPES: [(u64, &str); 7] = [
        (0o140_000, "S_IFSOCK"),
        (0o120_000, "S_IFLNK"),
        (0o100_000, "S_IFREG"),
        (0o060_000, "S_IFBLK"),
        (0o040_000, "S_IFDIR"),
        (0o020_000, "S_IFCHR"),
        (0o010_000, "S_IFIFO"),
    ];
    const BITS: [(u64, &str); 3] = [(0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX")];
    let mut out = String::new();
    let mut rest = mode;
    if let Some((bits, name)) = TYPES.iter().find(|(bits, _)| mode & 0o170_000 == *bits) {
        out.push_str(name);
        out.push('|');
        rest &= !bits;
    }
    for (bit, name) in BITS {
        if rest & bit != 0 {
            out.push_str(name);
            out.push('|');
            rest &= !bit;
        }
    }
    out.push_str(&format!("{:#04o}", rest).replace("0o", "0"));
    out
}

fn size_or_device(mode: u64, size: u64, device: impl FnOnce() -> String) -> String {
    match mode & 0o170_000 {
        0o060_000 | 0o020_000 => format!("st_rdev={}", device()),
        _ => format!("st_size={size}"),
    }
}

/// Mode, and size or device (arch/x86/include/uapi/asm/stat.h, include/uapi/asm-generic/stat.h).
fn stat(fields: &mut Fields<'_>, layout: Layout) -> Option<String> {
    let bytes = fields.rest;
    let at = |offset: usize, width: usize| -> Option<u64> {
        let raw = bytes.get(offset..offset + width)?;
        Some(
            raw.iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    };
    let (mode, device, size) = match (layout, fields.abi) {
        (Layout::Stat64, _) => (at(16, 4)?, at(32, 8)?, at(44, 8)?),
        (_, Abi::I386) => (at(8, 2)?, at(16, 4)?, at(20, 4)?),
        (_, Abi::Aarch64) => (at(16, 4)?, at(32, 8)?, at(48, 8)?),
        _ => (at(24, 4)?, at(40, 8)?, at(48, 8)?),
    };
    // All of it has to be there.
    bytes.get(usize::try_from(layout.size(fields.abi)).ok()? - 1)?;
    let rest = size_or_device(mode, size, || make_device(device));
    Some(format!("{{st_mode={}, {rest}, ...}}", file_mode(mode)))
}

/// include/uapi/linux/stat.h
fn statx(fields: &mut Fields<'_>) -> Option<String> {
    let mask = fields.u32()?;
    fields.u32()?;
    let attributes = fields.u64()?;
    fields.skip(12)?;
    let mode = u64::from(fields.u16()?);
    fields.skip(10)?;
    let size = fields.u64()?;
    fields.skip(80)?;
    let (major, minor) = (fields.u32()?, fields.u32()?);
    fields.skip(8)?;
    let rest = size_or_device(mode, size, || device(u64::from(major), u64::from(minor)));
    Some(format!(
        "{{stx_mask={}, stx_attributes={}, stx_mode={}, {}, ...}}",
        sets::STATX.text(u64::from(mask)),
        sets::STATX_ATTRIBUTES.text(attributes),
        file_mode(mode),
        rest.replace("st_rdev", "stx_rdev").replace("st_size", "stx_size")
    ))
}

fn statfs(fields: &mut Fields<'_>) -> Option<String> {
    let kind = values::FS_MAGIC.text(fields.word()?);
    let mut out = format!("{{f_type={kind}");
    for name in ["f_bsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree"] {
        out.push_str(&format!(", {name}={}", fields.word()?));
    }
    let (one, two) = (fields.u32()?, fields.u32()?);
    let (length, fragment, flags) = (fields.word()?, fields.word()?, fields.word()?);
    out.push_str(&format!(
        ", f_fsid={{val=[{}, {}]}}, f_namelen={length}, f_frsize={fragment}, f_flags={}}}",
        quote::hex(u64::from(one)),
        quote::hex(u64::from(two)),
        sets::STATFS_FLAGS.text(flags)
    ));
    Some(out)
}

fn wait_info(fields: &mut Fields<'_>) -> Option<String> {
    let number = fields.u32()?;
    fields.u32()?;
    let code = fields.u32()?;
    if fields.abi != Abi::I386 {
        fields.skip(4)?;
    }
    if number == 0 {
        return Some("{}".to_owned());
    }
    let (pid, uid, status) = (fields.i32()?, fields.u32()?, fields.u32()?);
    // Killed, dumped, trapped, stopped, continued: the status is a signal.
    let status = match code {
        2..=6 => signal::name(status).map_or_else(|| status.to_string(), |name| name.into_owned()),
        _ => status.to_string(),
    };
    Some(format!(
        "{{si_signo={}, si_code={}, si_pid={pid}, si_uid={uid}, si_status={status}, ...}}",
        signal::name(number).unwrap_or_else(|| number.to_string().into()),
        values::CLD.text(u64::from(code))
    ))
}

fn sysinfo(fields: &mut Fields<'_>) -> Option<String> {
    let mut out = format!("{{uptime={}, loads=[", fields.word()?);
    out.push_str(&format!(
        "{}, {}, {}]",
        fields.word()?,
        fields.word()?,
        fields.word()?
    ));
    for name in [
        "totalram",
        "freeram",
        "sharedram",
        "bufferram",
        "totalswap",
        "freeswap",
    ] {
        out.push_str(&format!(", {name}={}", fields.word()?));
    }
    let processes = fields.u16()?;
    fields.skip(if fields.abi == Abi::I386 { 2 } else { 6 })?;
    let (total, free, unit) = (fields.word()?, fields.word()?, fields.u32()?);
    out.push_str(&format!(
        ", procs={processes}, totalhigh={total}, freehigh={free}, mem_unit={unit}}}"
    ));
    Some(out)
}

/// Two structures hold the halves of three sets (version 3 of include/uapi/linux/capability.h).
fn cap_data(fields: &mut Fields<'_>) -> Option<String> {
    let mut sets = [0_u64; 3];
    for shift in [0, 32] {
        for set in &mut sets {
            *set |= u64::from(fields.u32()?) << shift;
        }
    }
    let [effective, permitted, inheritable] = sets.map(capabilities);
    Some(format!(
        "{{effective={effective}, permitted={permitted}, inheritable={inheritable}}}"
    ))
}

fn capabilities(set: u64) -> String {
    let mut names = Vec::new();
    for (bit, name) in values::CAP.values {
        if set >> bit & 1 == 1 {
            names.push(format!("1<<{name}"));
        }
    }
    let known = values::CAP
        .values
        .iter()
        .fold(0, |known, (bit, _)| known | 1_u64 << bit);
    if set & !known != 0 {
        names.push(format!("{:#x}", set & !known));
    }
    if names.is_empty() {
        "0".to_owned()
    } else {
        names.join("|")
    }
}

fn flock(fields: &mut Fields<'_>) -> Option<String> {
    let (kind, whence) = (fields.u16()?, fields.u16()?);
    if fields.abi != Abi::I386 {
        fields.skip(4)?;
    }
    let (start, length) = (fields.signed()?, fields.signed()?);
    let pid = fields.i32()?;
    Some(format!(
        "{{l_type={}, l_whence={}, l_start={start}, l_len={length}, l_pid={pid}}}",
        values::LOCK.text(u64::from(kind)),
        values::SEEK.text(u64::from(whence))
    ))
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
    // CLONE_PIDFD; CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID; CLONE_PARENT_SETTID
    for (name, value, asked) in [
        ("pidfd", pidfd, 0x1000),
        ("child_tid", child, 0x0120_0000),
        ("parent_tid", parent, 0x0010_0000),
    ] {
        if flags & asked != 0 {
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
            "{flags=O_RDONLY|0x8000000, resolve=0}"
        );
        let event = [vec![1, 0, 0, 0x80], words(&[7])].concat();
        assert_eq!(
            on(&event, Layout::EpollEvent),
            "{events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}"
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
