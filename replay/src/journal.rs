//! Fields of a journal entry, found in its export form.

/// The value of a field of an entry in Journal Export Format: the first of that name.
///
/// A field is either `NAME=value` on a line, or `NAME` on a line, the value's length as 64 bits little endian,
/// the value and a line end (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>).
#[must_use]
pub fn field<'a>(export: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(export)
        .find(|(key, _)| *key == name.as_bytes())
        .map(|(_, value)| value)
}

/// All fields of an entry, in their order. Ends at the first thing that is no field.
pub fn fields(export: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = export;
    std::iter::from_fn(move || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = rest.split_at(end);
        let after = after.get(1..)?;
        if line.is_empty() {
            return None;
        }
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            rest = after;
            return Some((line.get(..equals)?, line.get(equals + 1..)?));
        }
        let (length, after) = after.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let value = after.get(..length)?;
        rest = after.get(length..)?.strip_prefix(b"\n")?;
        Some((line, value))
    })
}

/// The parts of a record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRecord<'a> {
    /// Severity, 0 to 7.
    pub priority: u8,
    /// Facility; 0 is the kernel itself.
    pub facility: u32,
    /// Sequence number.
    pub sequence: u64,
    /// The message.
    pub text: &'a [u8],
}

/// Takes a `/dev/kmsg` record apart; `None` when it is none.
#[must_use]
pub fn kernel_record(record: &[u8]) -> Option<KernelRecord<'_>> {
    let semicolon = record.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(record.get(..semicolon)?).ok()?;
    let text = record.get(semicolon + 1..)?;
    let text = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
    let mut parts = head.split(',');
    let syslog: u32 = parts.next()?.parse().ok()?;
    let sequence = parts.next()?.parse().ok()?;
    Some(KernelRecord {
        priority: u8::try_from(syslog & 7).ok()?,
        facility: syslog >> 3,
        sequence,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_and_binary_fields_are_found() {
        let mut export = b"__REALTIME_TIMESTAMP=5\nMESSAGE\n".to_vec();
        export.extend(3u64.to_le_bytes());
        export.extend(b"a\nb\nPRIORITY=6\n_SYSTEMD_UNIT=docker.service\n\n");
        assert_eq!(field(&export, "MESSAGE"), Some(&b"a\nb"[..]));
        assert_eq!(field(&export, "PRIORITY"), Some(&b"6"[..]));
        assert_eq!(field(&export, "_SYSTEMD_UNIT"), Some(&b"docker.service"[..]));
        assert_eq!(field(&export, "UNIT"), None);
        assert_eq!(fields(&export).count(), 4);
    }

    #[test]
    fn a_length_that_lies_ends_the_entry() {
        let mut export = b"A=1\nMESSAGE\n".to_vec();
        export.extend(u64::MAX.to_le_bytes());
        export.extend(b"x\n\n");
        assert_eq!(fields(&export).count(), 1);
    }

    #[test]
    fn kmsg_records_come_apart() {
        let record = kernel_record(b"30,1234,5678,-;oom-kill: killed 7\n SUBSYSTEM=x\n").unwrap();
        assert_eq!((record.priority, record.facility, record.sequence), (6, 3, 1234));
        assert_eq!(record.text, b"oom-kill: killed 7");
        assert_eq!(kernel_record(b"no record"), None);
    }

    proptest! {
        #[test]
        fn garbage_is_no_entry(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&data).count();
            let _ = kernel_record(&data);
        }
    }
}
