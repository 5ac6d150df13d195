//! How many bytes a call moved.

use crate::call;
use stillframe_format::event::{Return, Syscall};

/// Which way bytes went, as the caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Read or received.
    In,
    /// Written or sent.
    Out,
    /// From one descriptor to another.
    Between,
}

/// Bytes that the call moved; `None` when it is no call that moves bytes, or it failed. `recvmmsg` and `sendmmsg` return
/// numbers of messages, so how many bytes they moved is not known.
#[must_use]
pub fn transfer(call: &Syscall) -> Option<(Way, u64)> {
    let Return::Value(value) = call.ret else {
        return None;
    };
    let bytes = u64::try_from(value).ok()?;
    Some((way(&call::name(call.abi, call.number))?, bytes))
}

/// Which way a call of this name moves the bytes that it returns; `None` when it returns none.
pub(super) fn way(name: &str) -> Option<Way> {
    Some(match name {
        "read" | "pread64" | "readv" | "preadv" | "preadv2" | "recvfrom" | "recv" | "recvmsg" => Way::In,
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "send" | "sendmsg" => Way::Out,
        "sendfile" | "sendfile64" | "splice" | "copy_file_range" | "tee" => Way::Between,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn only_calls_that_move_bytes_and_succeed_count() {
        assert_eq!(transfer(&fixture::write()), Some((Way::Out, 4096)));
        let failed = Syscall {
            ret: Return::Value(-11),
            ..fixture::write()
        };
        assert_eq!(transfer(&failed), None);
        assert_eq!(transfer(&fixture::openat(3)), None);
    }
}
