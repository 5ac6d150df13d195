//! Operations of io_uring (`enum io_uring_op`, include/uapi/linux/io_uring.h, 6.18), and which of them are about a
//! descriptor that the kernel looks up at submission (`needs_file`, io_uring/opdef.c).

const OPERATIONS: [(&str, bool); 63] = [
    ("NOP", false),
    ("READV", true),
    ("WRITEV", true),
    ("FSYNC", true),
    ("READ_FIXED", true),
    ("WRITE_FIXED", true),
    ("POLL_ADD", true),
    ("POLL_REMOVE", false),
    ("SYNC_FILE_RANGE", true),
    ("SENDMSG", true),
    ("RECVMSG", true),
    ("TIMEOUT", false),
    ("TIMEOUT_REMOVE", false),
    ("ACCEPT", true),
    ("ASYNC_CANCEL", false),
    ("LINK_TIMEOUT", false),
    ("CONNECT", true),
    ("FALLOCATE", true),
    ("OPENAT", false),
    ("CLOSE", false),
    ("FILES_UPDATE", false),
    ("STATX", false),
    ("READ", true),
    ("WRITE", true),
    ("FADVISE", true),
    ("MADVISE", false),
    ("SEND", true),
    ("RECV", true),
    ("OPENAT2", false),
    ("EPOLL_CTL", false),
    ("SPLICE", true),
    ("PROVIDE_BUFFERS", false),
    ("REMOVE_BUFFERS", false),
    ("TEE", true),
    ("SHUTDOWN", true),
    ("RENAMEAT", false),
    ("UNLINKAT", false),
    ("MKDIRAT", false),
    ("SYMLINKAT", false),
    ("LINKAT", false),
    ("MSG_RING", true),
    ("FSETXATTR", true),
    ("SETXATTR", false),
    ("FGETXATTR", true),
    ("GETXATTR", false),
    ("SOCKET", false),
    ("URING_CMD", true),
    ("SEND_ZC", true),
    ("SENDMSG_ZC", true),
    ("READ_MULTISHOT", true),
    ("WAITID", false),
    ("FUTEX_WAIT", false),
    ("FUTEX_WAKE", false),
    ("FUTEX_WAITV", false),
    ("FIXED_FD_INSTALL", true),
    ("FTRUNCATE", true),
    ("BIND", true),
    ("LISTEN", true),
    ("RECV_ZC", true),
    ("EPOLL_WAIT", true),
    ("READV_FIXED", true),
    ("WRITEV_FIXED", true),
    ("PIPE", false),
];

fn operation(opcode: u8) -> Option<(&'static str, bool)> {
    OPERATIONS.get(usize::from(opcode)).copied()
}

/// The name of an operation without its `IORING_OP_`: `READV`.
#[must_use]
pub fn name(opcode: u8) -> Option<&'static str> {
    operation(opcode).map(|(name, _)| name)
}

/// Whether a request has a descriptor. Of an operation that is not known it is not known either, so: no.
#[must_use]
pub fn has_descriptor(opcode: u8) -> bool {
    operation(opcode).is_some_and(|(_, has)| has)
}

/// Whether the result of a request is a new descriptor (unless it is one of the ring's own).
#[must_use]
pub fn opens_descriptor(opcode: u8) -> bool {
    matches!(
        name(opcode),
        Some("ACCEPT" | "OPENAT" | "OPENAT2" | "SOCKET" | "FIXED_FD_INSTALL")
    )
}

/// Whether a request changes which descriptors there are in a way that its result does not tell.
#[must_use]
pub fn changes_descriptors(opcode: u8) -> bool {
    matches!(name(opcode), Some("CLOSE" | "PIPE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_kernels_numbers() {
        for (number, expected) in [(0, "NOP"), (22, "READ"), (40, "MSG_RING"), (62, "PIPE")] {
            assert_eq!(name(number), Some(expected));
        }
        assert_eq!(name(63), None);
        assert!(has_descriptor(22) && !has_descriptor(18) && !has_descriptor(200));
    }
}
