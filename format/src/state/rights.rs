//! Descriptors in the control bytes of a received message.

use crate::event::Abi;

/// `SOL_SOCKET` and `SCM_RIGHTS` (include/linux/socket.h, 6.1).
const RIGHTS: (u32, u32) = (1, 1);

/// The descriptors that came with a message, of a `msghdr` as it is stored: the structure, its iovecs (at most 8), its
/// control bytes. `None` when it has control bytes that were not copied, or can't be read.
pub(super) fn received(abi: Abi, bytes: &[u8]) -> Option<Vec<i32>> {
    let width = if abi == Abi::I386 { 4 } else { 8 };
    let word = |bytes: &[u8], at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(width)?)?;
        let mut word = [0; 8];
        word.get_mut(..width)?.copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(word)).ok()
    };
    // `struct user_msghdr` and `struct compat_msghdr` (include/linux/socket.h, include/net/compat.h, 6.1): seven words.
    let iovecs = word(bytes, 3 * width)?.min(8);
    let (control, length) = (word(bytes, 4 * width)?, word(bytes, 5 * width)?);
    if control == 0 || length == 0 {
        return Some(Vec::new());
    }
    let start = 7 * width + iovecs * 2 * width;
    let mut rest = bytes.get(start..start.checked_add(length)?)?;
    let mut found = Vec::new();
    // `struct cmsghdr`: its length, the head included, level, type; each starts at a multiple of a word.
    while rest.len() >= width + 8 {
        let length = word(rest, 0)?;
        let int = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(
                rest.get(at..at.checked_add(4)?)?.try_into().ok()?,
            ))
        };
        let data = rest.get(width + 8..length)?;
        if (int(width)?, int(width + 4)?) == RIGHTS {
            let (fds, _) = data.as_chunks::<4>();
            found.extend(fds.iter().map(|fd| i32::from_le_bytes(*fd)));
        }
        rest = rest
            .get(length.checked_next_multiple_of(width)?..)
            .unwrap_or_default();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A message with one iovec and these control bytes.
    fn message(width: usize, control: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [0, 0, 0x1000, 1, 0x2000, control.len(), 0] {
            out.extend(&word.to_le_bytes()[..width]);
        }
        out.extend(vec![7; 2 * width]);
        out.extend(control);
        out
    }

    fn control(width: usize, kind: u32, data: &[i32]) -> Vec<u8> {
        let mut out = (width + 8 + 4 * data.len()).to_le_bytes()[..width].to_vec();
        out.extend(1u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(data.iter().flat_map(|fd| fd.to_le_bytes()));
        out.resize(out.len().next_multiple_of(width), 0);
        out
    }

    #[test]
    fn descriptors_are_found_among_other_control_messages() {
        for (abi, width) in [(Abi::X86_64, 8), (Abi::I386, 4)] {
            let both = [control(width, 2, &[1, 2, 3]), control(width, 1, &[9, 11])].concat();
            assert_eq!(received(abi, &message(width, &both)), Some(vec![9, 11]));
            assert_eq!(received(abi, &message(width, &[])), Some(vec![]));
        }
    }

    #[test]
    fn control_bytes_that_were_not_copied_are_unknown() {
        let mut cut = message(8, &control(8, 1, &[9]));
        cut.truncate(cut.len() - 1);
        assert_eq!(received(Abi::X86_64, &cut), None);
        assert_eq!(received(Abi::X86_64, &[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for abi in [Abi::X86_64, Abi::I386] {
                let _ = received(abi, &bytes);
            }
        }
    }
}
