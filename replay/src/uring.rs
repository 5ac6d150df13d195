//! Requests of io_uring in words.

use crate::value::duration;
use crate::{call, escape};
use std::borrow::Cow;
use std::fmt::Write as _;
use stillframe_format::abi;
use stillframe_format::event::{Uring, UringStep};

/// The operation without its `IORING_OP_`: `READ`; `OP_70` where there is no name.
#[must_use]
pub fn operation(opcode: u8) -> Cow<'static, str> {
    abi::uring::name(opcode).map_or_else(|| format!("OP_{opcode}").into(), Cow::Borrowed)
}

/// Its flags by name; `None` when it has none.
#[must_use]
pub fn flags(request: &Uring) -> Option<String> {
    let flags = u64::from(request.step.flags());
    let set = match request.step {
        UringStep::Submit { .. } => &abi::sets::IOSQE,
        // The upper half of a completion's flags is the number of a buffer.
        _ if flags >> 16 != 0 => {
            let names = abi::sets::IORING_CQE.text(flags & 0xffff);
            return Some(format!("{names}|buffer {}", flags >> 16));
        }
        _ => &abi::sets::IORING_CQE,
    };
    (flags != 0).then(|| set.text(flags))
}

/// The result: `4096`, or `-ENOENT`.
#[must_use]
pub fn result(request: &Uring) -> Option<String> {
    let result = request.step.result()?;
    Some(match request.errno() {
        Some(errno) => format!("-{}", call::errno_name(errno)),
        None => result.to_string(),
    })
}

/// A request in a line: `io_uring READ fd=3</data/x> user_data=0x1`, `io_uring READ user_data=0x1 → 4096 <12us>`.
#[must_use]
pub fn text(request: &Uring) -> String {
    let mut out = "io_uring ".to_owned();
    match request.opcode {
        Some(opcode) => out.push_str(&operation(opcode)),
        None => out.push_str("completion"),
    }
    if let UringStep::Submit { fd: Some(fd), .. } = request.step {
        let _ = write!(out, " fd={fd}");
        match &request.descriptor {
            Some(descriptor) => {
                let _ = write!(out, "<{}>", escape::bytes(&descriptor.name));
            }
            None if request.process_fd().is_none() && fd >= 0 => out.push_str(" (registered)"),
            None => {}
        }
    }
    let _ = write!(out, " user_data={:#x}", request.user_data);
    if let Some(flags) = flags(request) {
        let _ = write!(out, " {flags}");
    }
    if let Some(result) = result(request) {
        let _ = write!(out, " \u{2192} {result}");
    }
    if let UringStep::Overflow { .. } = request.step {
        out.push_str(", no room in the ring");
    }
    if let Some(latency) = request.step.latency() {
        let _ = write!(out, " <{}>", duration(i128::from(latency)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn requests_are_told_with_what_is_known_of_them() {
        let told = |change: &dyn Fn(&mut Uring)| {
            let mut request = fixture::request(UringStep::Submit {
                fd: Some(3),
                flags: 0,
            });
            change(&mut request);
            text(&request)
        };
        assert_eq!(told(&|_| {}), "io_uring READ fd=3</data/wal> user_data=0x1");
        let registered = |request: &mut Uring| {
            request.descriptor = None;
            request.step = UringStep::Submit {
                fd: Some(2),
                flags: 0x11,
            };
        };
        assert_eq!(
            told(&registered),
            "io_uring READ fd=2 (registered) user_data=0x1 IOSQE_FIXED_FILE|IOSQE_ASYNC"
        );
        let failed = |request: &mut Uring| {
            request.opcode = None;
            request.step = UringStep::Complete {
                result: -2,
                flags: 0,
                latency: None,
            };
        };
        assert_eq!(told(&failed), "io_uring completion user_data=0x1 → -ENOENT");
        let unknown = |request: &mut Uring| {
            request.opcode = Some(200);
            request.step = UringStep::Overflow {
                result: 7,
                flags: 0x5_0003,
            };
        };
        assert_eq!(
            told(&unknown),
            "io_uring OP_200 user_data=0x1 IORING_CQE_F_BUFFER|IORING_CQE_F_MORE|buffer 5 → 7, no room in the ring"
        );
    }
}
