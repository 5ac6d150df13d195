//! What the kernel says of a thread that stands still at a system call: from raw bytes and registers to numbers.

use crate::source::tracing::record::{take, take_u32, take_u64};
use stillframe_format::event::Abi;

/// Where a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a call.
    Entry(Entered),
    /// After one.
    Return(i64),
}

/// A call as its registers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) abi: Abi,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

/// The registers of an x86-64 thread, as far as calls have to do with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    /// `orig_rax`: the call's number; negative outside of calls.
    pub(super) number: i64,
    /// `rax`.
    pub(super) ret: i64,
    /// The arguments of a 64-bit call.
    pub(super) wide: [u64; 6],
    /// Those of a 32-bit one.
    pub(super) narrow: [u64; 6],
    /// The code segment tells 32-bit programs from others.
    pub(super) segment: u64,
}

/// `__USER32_CS` (arch/x86/include/asm/segment.h).
const SEGMENT_32: u64 = 0x23;

impl Registers {
    /// The call that the thread is in, or has just left; `None` outside of one. A 64-bit program's `int 0x80` is not told
    /// apart from its own calls.
    pub(super) fn call(&self) -> Option<Entered> {
        let number = u32::try_from(self.number).ok()?;
        let (abi, args) = if self.segment == SEGMENT_32 {
            (Abi::I386, self.narrow.map(|arg| arg & 0xffff_ffff))
        } else {
            (Abi::X86_64, self.wide)
        };
        Some(Entered { abi, number, args })
    }

    /// What a call returned whose return was never seen; `None` when it did not return. At its entry the kernel sets
    /// `rax` to ENOSYS (arch/x86/entry/entry_64.S).
    pub(super) fn returned(&self) -> Option<i64> {
        (self.number >= 0 && self.ret != -i64::from(nix::libc::ENOSYS)).then_some(self.ret)
    }
}

/// `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h): where the thread stands, unless it is at no call.
pub(super) fn of_info(info: &[u8]) -> Option<Moment> {
    let [op] = take(info, 0);
    match op {
        // PTRACE_SYSCALL_INFO_ENTRY
        1 => {
            let abi = abi(take_u32(info, 4))?;
            let mask = if abi == Abi::I386 { 0xffff_ffff } else { u64::MAX };
            Some(Moment::Entry(Entered {
                abi,
                number: take_u64(info, 24) as u32,
                args: std::array::from_fn(|arg| take_u64(info, 32 + 8 * arg) & mask),
            }))
        }
        // PTRACE_SYSCALL_INFO_EXIT
        2 => Some(Moment::Return(take_u64(info, 24).cast_signed())),
        _ => None,
    }
}

/// `AUDIT_ARCH_…` (include/uapi/linux/audit.h).
fn abi(arch: u32) -> Option<Abi> {
    match arch {
        0xc000_003e => Some(Abi::X86_64),
        0x4000_0003 => Some(Abi::I386),
        0xc000_00b7 => Some(Abi::Aarch64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(op: u8, arch: u32, words: &[u64]) -> Vec<u8> {
        let mut bytes = vec![op, 0, 0, 0];
        bytes.extend(arch.to_ne_bytes());
        bytes.extend([0; 16]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn entries_and_returns_are_read() {
        let words = [257, 1, 2, 3, 4, 5, u64::MAX];
        assert_eq!(
            of_info(&info(1, 0xc000_003e, &words)),
            Some(Moment::Entry(Entered {
                abi: Abi::X86_64,
                number: 257,
                args: [1, 2, 3, 4, 5, u64::MAX]
            }))
        );
        assert_eq!(
            of_info(&info(1, 0x4000_0003, &words)),
            Some(Moment::Entry(Entered {
                abi: Abi::I386,
                number: 257,
                args: [1, 2, 3, 4, 5, 0xffff_ffff]
            }))
        );
        assert_eq!(
            of_info(&info(2, 0xc000_003e, &[(-2_i64) as u64, 1])),
            Some(Moment::Return(-2))
        );
        assert_eq!(of_info(&info(0, 0xc000_003e, &[])), None);
        assert_eq!(of_info(&info(1, 0xdead, &words)), None, "an unknown machine");
        assert_eq!(of_info(&[]), None);
    }

    #[test]
    fn registers_tell_the_call_and_whether_it_returned() {
        let registers = Registers {
            number: 0,
            ret: -512,
            wide: [1; 6],
            narrow: [u64::MAX; 6],
            segment: 0x33,
        };
        assert_eq!(registers.call().map(|call| call.args), Some([1; 6]));
        assert_eq!(registers.returned(), Some(-512));
        let narrow = Registers {
            segment: 0x23,
            ..registers
        };
        assert_eq!(
            narrow.call(),
            Some(Entered {
                abi: Abi::I386,
                number: 0,
                args: [0xffff_ffff; 6]
            })
        );
        let inside = Registers {
            ret: -38,
            ..registers
        };
        assert_eq!(inside.returned(), None);
        let outside = Registers {
            number: -1,
            ..registers
        };
        assert_eq!((outside.call(), outside.returned()), (None, None));
    }
}
