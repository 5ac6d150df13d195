//! Names of flags and values that arguments take.
//!
//! Values are those of Linux 6.1's uapi headers, completed to 6.18; they hold for x86-64, i386 and arm64 unless a set
//! says otherwise. A set lists what `strace` names most, not every name that ever was: what is not named here is
//! rendered as a number.

use crate::event::Abi;
use std::fmt::Write as _;

/// Bits that are combined with `|`, and at most one field among them that holds a plain value.
#[derive(Debug, PartialEq, Eq)]
pub struct FlagSet {
    /// Bits of the argument that count: 32 for an `int`, 64 for an `unsigned long`.
    pub width: u32,
    /// The bits that hold the field; 0 when there is none.
    pub field: u64,
    /// The field's values. Without a field: the name of zero, if it has one.
    pub values: &'static [(u64, &'static str)],
    /// Single flags. One that includes another stands before it.
    pub bits: &'static [(u64, &'static str)],
}

impl FlagSet {
    /// The set as it holds for an ABI.
    #[must_use]
    pub fn on(&'static self, abi: Abi) -> &'static Self {
        if abi == Abi::Aarch64 && std::ptr::eq(self, &sets::OPEN) {
            &sets::OPEN_ARM64
        } else {
            self
        }
    }

    /// `O_RDONLY|O_CLOEXEC`; what has no name stands last, in hex; `0` for none.
    #[must_use]
    pub fn text(&self, raw: u64) -> String {
        let mut rest = if self.width == 32 { raw & 0xffff_ffff } else { raw };
        let mut out = String::new();
        let field = rest & self.field;
        if (self.field != 0 || rest == 0)
            && let Some((_, name)) = self.values.iter().find(|(value, _)| *value == field)
        {
            rest &= !self.field;
            out.push_str(name);
        }
        for (bit, name) in self.bits {
            if *bit != 0 && rest & bit == *bit {
                rest &= !bit;
                separate(&mut out);
                out.push_str(name);
            }
        }
        if rest != 0 {
            let nothing_named = out.is_empty();
            separate(&mut out);
            let _ = write!(out, "{rest:#x}");
            if nothing_named {
                // FASYNC is among the bits of O_…: the values tell better what the set is called.
                let names = if self.values.is_empty() {
                    self.bits
                } else {
                    self.values
                };
                unknown(&mut out, names.iter());
            }
        }
        if out.is_empty() {
            out.push('0');
        }
        out
    }
}

/// ` /* AF_??? */`: what the names of a set begin with, where they begin alike.
fn unknown<'a>(out: &mut String, mut names: impl Iterator<Item = &'a (u64, &'static str)>) {
    let Some((_, first)) = names.next() else {
        return;
    };
    let mut common = first.len();
    for (_, name) in names {
        let same = first
            .bytes()
            .zip(name.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        common = common.min(same);
    }
    let start = first.get(..common).and_then(|start| start.rfind('_'));
    if let Some(prefix) = start.and_then(|end| first.get(..=end)) {
        let _ = write!(out, " /* {prefix}??? */");
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('|');
    }
}

/// Named values of a 32-bit argument, of which exactly one holds.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueSet {
    /// The values. Where two names share one, the first is used.
    pub values: &'static [(u64, &'static str)],
    /// How a value without a name is rendered.
    pub unnamed: Unnamed,
}

/// What a value is that has no name in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// A signed number.
    Number,
    /// One that is not known here: in hex, with a remark.
    Unknown,
    /// The program's own: in hex.
    Own,
}

impl ValueSet {
    /// The name, or the number.
    #[must_use]
    pub fn text(&self, raw: u64) -> String {
        let value = raw & 0xffff_ffff;
        if let Some((_, name)) = self.values.iter().find(|(known, _)| *known == value) {
            return (*name).to_owned();
        }
        match self.unnamed {
            Unnamed::Number => super::low_i32(raw).to_string(),
            Unnamed::Own => format!("{value:#x}"),
            Unnamed::Unknown => {
                let mut out = format!("{value:#x}");
                unknown(&mut out, self.values.iter());
                out
            }
        }
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $set:ident $width:literal $field:literal
        [$($value_name:ident = $value:literal),*] { $($name:ident = $bit:literal),* })*) => {
        $($(#[$doc])* pub static $set: FlagSet = FlagSet {
            width: $width,
            field: $field,
            values: &[$(($value, stringify!($value_name))),*],
            bits: &[$(($bit, stringify!($name))),*],
        };)*
    };
}

macro_rules! values {
    ($($(#[$doc:meta])* $set:ident $unknown:ident { $($name:ident = $value:literal),* })*) => {
        $($(#[$doc])* pub static $set: ValueSet = ValueSet {
            values: &[$(($value, stringify!($name))),*],
            unnamed: values!(@ $unknown),
        };)*
    };
    (@ hex) => { Unnamed::Unknown };
    (@ own) => { Unnamed::Own };
    (@ dec) => { Unnamed::Number };
}

pub mod sets;
pub mod values;

#[cfg(test)]
mod tests {
    use super::sets::*;
    use super::values::*;
    use super::*;

    #[test]
    fn flags_are_named_as_strace_names_them() {
        assert_eq!(OPEN.text(0x80000), "O_RDONLY|O_CLOEXEC");
        assert_eq!(OPEN.text(0o1102), "O_RDWR|O_CREAT|O_TRUNC");
        assert_eq!(OPEN.text(0o4010000), "O_RDONLY|O_SYNC");
        assert_eq!(OPEN.text(0o20200001), "O_WRONLY|O_TMPFILE");
        assert_eq!(OPEN.on(Abi::Aarch64).text(0o40000), "O_RDONLY|O_DIRECTORY");
        assert_eq!(PROT.text(0), "PROT_NONE");
        assert_eq!(PROT.text(3), "PROT_READ|PROT_WRITE");
        assert_eq!(ACCESS.text(0), "F_OK");
        assert_eq!(MAP.text(0x22), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(SOCK.text(0o2000001), "SOCK_STREAM|SOCK_CLOEXEC");
        assert_eq!(MSG.text(0x4000), "MSG_NOSIGNAL");
        assert_eq!(FUTEX.text(129), "FUTEX_WAKE|FUTEX_PRIVATE_FLAG");
        assert_eq!(AT.text(0), "0");
    }

    #[test]
    fn what_has_no_name_is_a_number() {
        assert_eq!(OPEN.text(0x8000_0000), "O_RDONLY|0x80000000");
        assert_eq!(OPEN.text(3), "0x3 /* O_??? */");
        assert_eq!(
            OPEN.text(0xdead_beef_0000_0000),
            "O_RDONLY",
            "an int ignores the upper half"
        );
        assert_eq!(SEEK.text(0xffff_ffff), "0xffffffff /* SEEK_??? */");
        assert_eq!(AF.text(99), "0x63 /* AF_??? */");
        assert_eq!(SOCK.text(0x4d), "0x4d /* SOCK_??? */");
        assert_eq!(IOCTL.text(0x1234_5678), "0x12345678");
        assert_eq!(
            (IPC_KEY.text(0), IPC_KEY.text(0x98_c157)),
            ("IPC_PRIVATE".to_owned(), "0x98c157".to_owned())
        );
    }
}
