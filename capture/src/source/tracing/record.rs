//! Reading the records that BPF programs write (`bpf/record.h`): numbers at offsets, threads' names, targets.

/// `N` bytes at `AT`, zeros where `bytes` ends. The length is known where it is called, so nothing is checked then.
#[inline(always)]
pub(crate) fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or([0; N])
}

#[inline(always)]
pub(crate) fn take_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(take(bytes, at))
}

#[inline(always)]
pub(crate) fn take_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(take(bytes, at))
}

/// The id of the target that a record names by `number`.
pub(crate) fn container(targets: &[String], number: u32) -> String {
    number
        .checked_sub(1)
        .and_then(|index| targets.get(usize::try_from(index).ok()?))
        .cloned()
        .unwrap_or_default()
}

/// A thread's name up to its NUL.
pub(crate) fn comm(raw: &[u8; 16]) -> Vec<u8> {
    raw.split(|byte| *byte == 0).next().unwrap_or(raw).to_vec()
}

#[cfg(test)]
pub(crate) mod header {
    //! `record.h`, read as text.
    use std::collections::BTreeMap;

    const TEXT: &str = include_str!("../../../bpf/record.h");

    fn arguments<'a>(line: &'a str, macro_name: &str) -> Option<Vec<&'a str>> {
        let inside = line
            .strip_prefix(macro_name)?
            .strip_prefix('(')?
            .split(')')
            .next()?;
        Some(inside.split(',').map(str::trim).collect())
    }

    /// `struct.field` -> offset and `struct` -> size, as the compiler has asserted them.
    pub(crate) fn layout() -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for line in TEXT.lines() {
            if let Some(parts) = arguments(line, "SF_OFFSET") {
                found.insert(format!("{}.{}", parts[0], parts[1]), parts[2].parse().unwrap());
            } else if let Some(parts) = arguments(line, "SF_SIZE") {
                found.insert(parts[0].to_owned(), parts[1].parse().unwrap());
            }
        }
        found
    }

    /// The plain numbers that are `#define`d.
    pub(crate) fn constants() -> BTreeMap<String, u64> {
        TEXT.lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("#define ")?.split_whitespace();
                let name = words.next()?;
                let value = words.next()?;
                let value = value
                    .strip_prefix("0x")
                    .map_or_else(|| value.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())?;
                Some((name.to_owned(), value))
            })
            .collect()
    }
}
