//! Which memory is copied for which call.
//!
//! Numbers are those of `arch/x86/entry/syscalls/syscall_64.tbl` and `syscall_32.tbl` (Linux 6.1). A call that does
//! not stand here is recorded with its registers alone.

use super::wire;
use stillframe_format::event::{Abi, ArgKind};

/// How the memory behind an argument is found: `struct sf_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    how: u8,
    arg: u8,
    len: u8,
    kind: ArgKind,
}

const STRING: u8 = 1;
const SOCKADDR: u8 = 2;
const SOCKADDR_OUT: u8 = 3;
const BUFFER: u8 = 4;
const BUFFER_RET: u8 = 5;
const IOVEC: u8 = 6;
const IOVEC_RET: u8 = 7;
const MSG_NAME: u8 = 8;
const MSG_DATA: u8 = 9;
const MSG_DATA_RET: u8 = 10;
const FIXED: u8 = 11;
const EXEC_NAME: u8 = 12;
const IF_OK: u8 = 0x80;

const fn op(how: u8, arg: u8, len: u8, kind: ArgKind) -> Op {
    Op { how, arg, len, kind }
}

impl Op {
    const fn if_ok(mut self) -> Self {
        self.how |= IF_OK;
        self
    }

    /// It copies data that was read, written, sent or received.
    fn is_data(self) -> bool {
        self.kind == ArgKind::Buffer
    }
}

const fn path(arg: u8) -> Op {
    op(STRING, arg, 0, ArgKind::Path)
}
const fn path_if_ok(arg: u8) -> Op {
    path(arg).if_ok()
}
const fn exec_name(arg: u8) -> Op {
    op(EXEC_NAME, arg, 0, ArgKind::Path)
}
const fn buffer(arg: u8, len: u8) -> Op {
    op(BUFFER, arg, len, ArgKind::Buffer)
}
const fn result(arg: u8) -> Op {
    op(BUFFER_RET, arg, 0, ArgKind::Buffer)
}
const fn segments(arg: u8, count: u8) -> Op {
    op(IOVEC, arg, count, ArgKind::Buffer)
}
const fn segments_result(arg: u8, count: u8) -> Op {
    op(IOVEC_RET, arg, count, ArgKind::Buffer)
}
const fn sockaddr(arg: u8, len: u8) -> Op {
    op(SOCKADDR, arg, len, ArgKind::Sockaddr)
}
const fn sockaddr_out(arg: u8, len: u8) -> Op {
    op(SOCKADDR_OUT, arg, len, ArgKind::Sockaddr).if_ok()
}
const fn message_name(arg: u8) -> Op {
    op(MSG_NAME, arg, 0, ArgKind::Sockaddr)
}
const fn message_name_if_ok(arg: u8) -> Op {
    message_name(arg).if_ok()
}
const fn message(arg: u8) -> Op {
    op(MSG_DATA, arg, 0, ArgKind::Buffer)
}
const fn message_result(arg: u8) -> Op {
    op(MSG_DATA_RET, arg, 0, ArgKind::Buffer)
}
const fn pair(arg: u8) -> Op {
    op(FIXED, arg, 8, ArgKind::DescriptorPair).if_ok()
}
const fn fixed(arg: u8, bytes: u8) -> Op {
    op(FIXED, arg, bytes, ArgKind::Struct)
}

/// The table has no such call.
const NONE: u32 = u32::MAX;
/// `struct timespec` of x86-64.
const TIMESPEC: u8 = 16;

/// Name, number on x86-64, number on i386, what to copy.
type Row = (&'static str, u32, u32, &'static [Op]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("open", 2, 5, &[path(0)]),
    ("creat", 85, 8, &[path(0)]),
    ("stat", 4, 106, &[path(0)]),
    ("lstat", 6, 107, &[path(0)]),
    ("access", 21, 33, &[path(0)]),
    ("chdir", 80, 12, &[path(0)]),
    ("mkdir", 83, 39, &[path(0)]),
    ("rmdir", 84, 40, &[path(0)]),
    ("unlink", 87, 10, &[path(0)]),
    ("chmod", 90, 15, &[path(0)]),
    ("chown", 92, 182, &[path(0)]),
    ("lchown", 94, 16, &[path(0)]),
    ("truncate", 76, 92, &[path(0)]),
    ("truncate64", NONE, 193, &[path(0)]),
    ("uselib", 134, 86, &[path(0)]),
    ("statfs", 137, 99, &[path(0)]),
    ("acct", 163, 51, &[path(0)]),
    ("mknod", 133, 14, &[path(0)]),
    ("utime", 132, 30, &[path(0)]),
    ("utimes", 235, 271, &[path(0)]),
    ("swapon", 167, 87, &[path(0)]),
    ("swapoff", 168, 115, &[path(0)]),
    ("chroot", 161, 61, &[path(0)]),
    ("umount2", 166, 52, &[path(0)]),
    ("umount", NONE, 22, &[path(0)]),
    ("oldstat", NONE, 18, &[path(0)]),
    ("oldlstat", NONE, 84, &[path(0)]),
    ("stat64", NONE, 195, &[path(0)]),
    ("lstat64", NONE, 196, &[path(0)]),
    ("chown32", NONE, 212, &[path(0)]),
    ("lchown32", NONE, 198, &[path(0)]),
    ("statfs64", NONE, 268, &[path(0)]),
    ("memfd_create", 319, 356, &[path(0)]),
    ("mq_open", 240, 277, &[path(0)]),
    ("mq_unlink", 241, 278, &[path(0)]),
    ("fsopen", 430, 430, &[path(0)]),
    ("openat", 257, 295, &[path(1)]),
    ("openat2", 437, 437, &[path(1)]),
    ("mkdirat", 258, 296, &[path(1)]),
    ("mknodat", 259, 297, &[path(1)]),
    ("fchownat", 260, 298, &[path(1)]),
    ("futimesat", 261, 299, &[path(1)]),
    ("newfstatat", 262, NONE, &[path(1)]),
    ("fstatat64", NONE, 300, &[path(1)]),
    ("unlinkat", 263, 301, &[path(1)]),
    ("fchmodat", 268, 306, &[path(1)]),
    ("faccessat", 269, 307, &[path(1)]),
    ("faccessat2", 439, 439, &[path(1)]),
    ("utimensat", 280, 320, &[path(1)]),
    ("utimensat_time64", NONE, 412, &[path(1)]),
    ("statx", 332, 383, &[path(1)]),
    ("name_to_handle_at", 303, 341, &[path(1)]),
    ("open_tree", 428, 428, &[path(1)]),
    ("fspick", 433, 433, &[path(1)]),
    ("mount_setattr", 442, 442, &[path(1)]),
    ("inotify_add_watch", 254, 292, &[path(1)]),
    ("rename", 82, 38, &[path(0), path(1)]),
    ("link", 86, 9, &[path(0), path(1)]),
    ("symlink", 88, 83, &[path(0), path(1)]),
    ("pivot_root", 155, 217, &[path(0), path(1)]),
    ("renameat", 264, 302, &[path(1), path(3)]),
    ("renameat2", 316, 353, &[path(1), path(3)]),
    ("linkat", 265, 303, &[path(1), path(3)]),
    ("move_mount", 429, 429, &[path(1), path(3)]),
    ("symlinkat", 266, 304, &[path(0), path(2)]),
    ("mount", 165, 21, &[path(0), path(1), path(2)]),
    ("fanotify_mark", 301, 339, &[path(4)]),
    ("quotactl", 179, 131, &[path(1)]),
    ("setxattr", 188, 226, &[path(0), path(1)]),
    ("getxattr", 191, 229, &[path(0), path(1)]),
    ("lsetxattr", 189, 227, &[path(0), path(1)]),
    ("lgetxattr", 192, 230, &[path(0), path(1)]),
    ("removexattr", 197, 235, &[path(0), path(1)]),
    ("lremovexattr", 198, 236, &[path(0), path(1)]),
    ("listxattr", 194, 232, &[path(0)]),
    ("llistxattr", 195, 233, &[path(0)]),
    ("fsetxattr", 190, 228, &[path(1)]),
    ("fgetxattr", 193, 231, &[path(1)]),
    ("fremovexattr", 199, 237, &[path(1)]),
    ("init_module", 175, 128, &[path(2)]),
    ("finit_module", 313, 350, &[path(1)]),
    ("delete_module", 176, 129, &[path(0)]),
    ("sethostname", 170, 74, &[buffer(0, 1)]),
    ("setdomainname", 171, 121, &[buffer(0, 1)]),
    ("readlink", 89, 85, &[path(0), result(1)]),
    ("readlinkat", 267, 305, &[path(1), result(2)]),
    ("getcwd", 79, 183, &[path_if_ok(0)]),
    ("execve", 59, 11, &[exec_name(0)]),
    ("execveat", 322, 358, &[exec_name(1)]),
    ("read", 0, 3, &[result(1)]),
    ("pread64", 17, 180, &[result(1)]),
    ("write", 1, 4, &[buffer(1, 2)]),
    ("pwrite64", 18, 181, &[buffer(1, 2)]),
    ("readv", 19, 145, &[segments_result(1, 2)]),
    ("preadv", 295, 333, &[segments_result(1, 2)]),
    ("preadv2", 327, 378, &[segments_result(1, 2)]),
    ("writev", 20, 146, &[segments(1, 2)]),
    ("pwritev", 296, 334, &[segments(1, 2)]),
    ("pwritev2", 328, 379, &[segments(1, 2)]),
    ("vmsplice", 278, 316, &[segments(1, 2)]),
    ("bind", 49, 361, &[sockaddr(1, 2)]),
    ("connect", 42, 362, &[sockaddr(1, 2)]),
    ("accept", 43, NONE, &[sockaddr_out(1, 2)]),
    ("accept4", 288, 364, &[sockaddr_out(1, 2)]),
    ("getsockname", 51, 367, &[sockaddr_out(1, 2)]),
    ("getpeername", 52, 368, &[sockaddr_out(1, 2)]),
    ("sendto", 44, 369, &[buffer(1, 2), sockaddr(4, 5)]),
    ("recvfrom", 45, 371, &[result(1), sockaddr_out(4, 5)]),
    ("sendmsg", 46, 370, &[message_name(1), message(1)]),
    ("recvmsg", 47, 372, &[message_name_if_ok(1), message_result(1)]),
    ("sendmmsg", 307, 345, &[message_name(1), message(1)]),
    ("recvmmsg", 299, 337, &[message_name_if_ok(1), message(1).if_ok()]),
    ("recvmmsg_time64", NONE, 417, &[message_name_if_ok(1), message(1).if_ok()]),
    ("pipe", 22, 42, &[pair(0)]),
    ("pipe2", 293, 331, &[pair(0)]),
    ("socketpair", 53, 360, &[pair(3)]),
    ("setsockopt", 54, 366, &[buffer(3, 4)]),
    ("getrandom", 318, 355, &[result(0)]),
    ("getdents", 78, 141, &[result(1)]),
    ("getdents64", 217, 220, &[result(1)]),
    ("nanosleep", 35, NONE, &[fixed(0, TIMESPEC)]),
    ("clock_nanosleep", 230, NONE, &[fixed(2, TIMESPEC)]),
    ("epoll_ctl", 233, 255, &[fixed(3, 12)]),
    ("poll", 7, 168, &[fixed(0, 8)]),
    ("ppoll", 271, 309, &[fixed(0, 8)]),
    ("socketcall", NONE, 102, &[fixed(1, 24)]),
];

/// The rules as the `rules` map holds them: index and value.
///
/// `data` false leaves out everything that copies the contents of reads and writes.
pub(crate) fn map_entries(data: bool) -> Vec<(u32, [u8; wire::RULE])> {
    let mut entries = Vec::with_capacity(2 * ROWS.len());
    for (_, x86_64, i386, ops) in ROWS {
        let kept: Vec<Op> = ops.iter().copied().filter(|op| data || !op.is_data()).collect();
        for (abi, number) in [(Abi::X86_64, *x86_64), (Abi::I386, *i386)] {
            if number < wire::RULES {
                entries.push((index(abi, number), encode(&kept)));
            }
        }
    }
    entries
}

fn index(abi: Abi, number: u32) -> u32 {
    if abi == Abi::I386 {
        wire::RULES + number
    } else {
        number
    }
}

fn encode(ops: &[Op]) -> [u8; wire::RULE] {
    let mut bytes = [0; wire::RULE];
    let (slots, count) = bytes.split_at_mut(wire::OPS * 4);
    let mut used = 0_u32;
    for (slot, op) in slots.chunks_exact_mut(4).zip(ops) {
        slot.copy_from_slice(&[op.how, op.arg, op.len, op.kind as u8]);
        used += 1;
    }
    count.copy_from_slice(&used.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tracing::record::header;
    use std::collections::HashSet;

    #[test]
    fn operations_are_the_headers() {
        let constants = header::constants();
        for (name, value) in [
            ("SF_OP_STRING", STRING),
            ("SF_OP_SOCKADDR", SOCKADDR),
            ("SF_OP_SOCKADDR_OUT", SOCKADDR_OUT),
            ("SF_OP_BUFFER", BUFFER),
            ("SF_OP_BUFFER_RET", BUFFER_RET),
            ("SF_OP_IOVEC", IOVEC),
            ("SF_OP_IOVEC_RET", IOVEC_RET),
            ("SF_OP_MSG_NAME", MSG_NAME),
            ("SF_OP_MSG_DATA", MSG_DATA),
            ("SF_OP_MSG_DATA_RET", MSG_DATA_RET),
            ("SF_OP_FIXED", FIXED),
            ("SF_OP_EXEC_NAME", EXEC_NAME),
            ("SF_OP_IF_OK", IF_OK),
        ] {
            assert_eq!(constants.get(name), Some(&u64::from(value)), "{name}");
        }
    }

    #[test]
    fn no_number_stands_twice_and_every_rule_fits() {
        let entries = map_entries(true);
        let indexes: HashSet<u32> = entries.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes.len(), entries.len());
        for (name, x86_64, i386, ops) in ROWS {
            assert!(ops.len() <= wire::OPS && !ops.is_empty(), "{name}");
            assert!(ops.iter().all(|op| op.arg < 6), "{name}");
            for number in [*x86_64, *i386] {
                assert!(number == NONE || number < wire::RULES, "{name}");
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_are_libcs() {
        let find = |name: &str| ROWS.iter().find(|row| row.0 == name).map(|row| i64::from(row.1));
        for (name, number) in [
            ("read", libc::SYS_read),
            ("write", libc::SYS_write),
            ("openat", libc::SYS_openat),
            ("execve", libc::SYS_execve),
            ("connect", libc::SYS_connect),
            ("accept4", libc::SYS_accept4),
            ("recvmsg", libc::SYS_recvmsg),
            ("preadv2", libc::SYS_preadv2),
            ("socketpair", libc::SYS_socketpair),
            ("statx", libc::SYS_statx),
            ("renameat2", libc::SYS_renameat2),
        ] {
            assert_eq!(find(name), Some(number), "{name}");
        }
    }

    #[test]
    fn without_data_paths_stay() {
        let readlink = |data| {
            map_entries(data)
                .into_iter()
                .find(|(index, _)| *index == 89)
                .map(|(_, rule)| rule[wire::OPS * 4])
        };
        assert_eq!(readlink(true), Some(2));
        assert_eq!(readlink(false), Some(1));
    }
}
