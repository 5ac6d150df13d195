//! Which memory is copied for which call.
//!
//! It follows from the table of calls (`stillframe_format::abi`): each kind of argument has its way of being copied. A
//! call without such arguments is recorded with its registers alone.

use super::wire;
use crate::snaplen::DataLimits;
use stillframe_format::abi::{self, Call, Kind, Layout};
use stillframe_format::event::{Abi, ArgKind, When};

/// How the memory behind an argument is found: `struct sf_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// An operation, with [`IF_OK`] or-ed to it.
    pub(crate) how: u8,
    /// The argument that points there.
    pub(crate) arg: u8,
    /// A length, or which argument has it.
    pub(crate) len: u8,
    /// What the bytes mean.
    pub(crate) kind: ArgKind,
}

pub(crate) const STRING: u8 = 1;
pub(crate) const SOCKADDR: u8 = 2;
pub(crate) const SOCKADDR_OUT: u8 = 3;
pub(crate) const BUFFER: u8 = 4;
pub(crate) const BUFFER_RET: u8 = 5;
pub(crate) const IOVEC: u8 = 6;
pub(crate) const IOVEC_RET: u8 = 7;
pub(crate) const MSG_NAME: u8 = 8;
pub(crate) const MSG_DATA: u8 = 9;
pub(crate) const MSG_DATA_RET: u8 = 10;
pub(crate) const FIXED: u8 = 11;
pub(crate) const EXEC_NAME: u8 = 12;
pub(crate) const EXEC_ARGV: u8 = 13;
pub(crate) const EXEC_ENVP: u8 = 14;
pub(crate) const ARRAY: u8 = 15;
pub(crate) const BITS: u8 = 16;
pub(crate) const MSG: u8 = 17;
pub(crate) const BUFFER_PTR: u8 = 18;
pub(crate) const FUTEX: u8 = 19;
pub(crate) const FCNTL: u8 = 20;
pub(crate) const IOCTL: u8 = 21;
pub(crate) const IF_OK: u8 = 0x80;

const fn op(how: u8, arg: u8, len: u8, kind: ArgKind) -> Op {
    Op { how, arg, len, kind }
}

impl Op {
    const fn if_ok(mut self) -> Self {
        self.how |= IF_OK;
        self
    }

    /// It copies data that was read, written, sent or received; control messages are.
    fn is_data(self) -> bool {
        self.kind == ArgKind::Buffer || self.how & !IF_OK == MSG
    }
}

/// What to copy for a call. The kernel has read what an argument points to by the time the call returns, so its pages
/// are there; what a call changes in place is therefore seen as it left it.
fn ops(abi: Abi, call: &Call) -> Vec<Op> {
    let mut ops = Vec::new();
    for (at, arg) in (0_u8..).zip(call.args) {
        // Names of programs are read at entry: after it their memory is gone.
        let is_exec = matches!(call.name, "execve" | "execveat");
        let simple = |how, len, kind| op(how, at, len, kind);
        let fixed = |layout: Layout| {
            let size = u8::try_from(layout.size(abi)).unwrap_or(u8::MAX);
            op(FIXED, at, size, ArgKind::Struct)
        };
        let array = |layout: Layout, count: u8| {
            let quarters = u8::try_from(layout.size(abi) / 4).unwrap_or(0);
            op(ARRAY, at, count | quarters << 3, ArgKind::Struct)
        };
        match arg.kind {
            Kind::Path if is_exec => ops.push(simple(EXEC_NAME, 0, ArgKind::Path)),
            Kind::Path | Kind::Text => ops.push(simple(STRING, 0, ArgKind::Path)),
            Kind::TextOut => ops.push(simple(STRING, 0, ArgKind::Path).if_ok()),
            Kind::Sockaddr { len_arg } => ops.push(simple(SOCKADDR, len_arg, ArgKind::Sockaddr)),
            Kind::SockaddrOut { len_ptr_arg } => {
                ops.push(simple(SOCKADDR_OUT, len_ptr_arg, ArgKind::Sockaddr).if_ok());
            }
            Kind::BufferIn { len_arg } => ops.push(simple(BUFFER, len_arg, ArgKind::Buffer)),
            Kind::BufferOut => ops.push(simple(BUFFER_RET, 0, ArgKind::Buffer)),
            Kind::BufferPtr { len_ptr_arg } => {
                ops.push(simple(BUFFER_PTR, len_ptr_arg, ArgKind::Buffer).if_ok());
            }
            Kind::IovecIn { count_arg } => {
                ops.push(array(Layout::Iovec, count_arg));
                ops.push(simple(IOVEC, count_arg, ArgKind::Buffer));
            }
            Kind::IovecOut { count_arg } => {
                ops.push(array(Layout::Iovec, count_arg));
                ops.push(simple(IOVEC_RET, count_arg, ArgKind::Buffer));
            }
            Kind::MsghdrIn => {
                ops.push(simple(MSG, 0, ArgKind::Struct));
                ops.push(simple(MSG_NAME, 0, ArgKind::Sockaddr));
                ops.push(simple(MSG_DATA, 0, ArgKind::Buffer));
            }
            Kind::MsghdrOut => {
                ops.push(simple(MSG, 0, ArgKind::Struct).if_ok());
                ops.push(simple(MSG_NAME, 0, ArgKind::Sockaddr).if_ok());
                ops.push(simple(MSG_DATA_RET, 0, ArgKind::Buffer));
            }
            Kind::DescriptorPair => ops.push(simple(FIXED, 8, ArgKind::DescriptorPair).if_ok()),
            Kind::Argv => ops.push(simple(EXEC_ARGV, 0, ArgKind::Strings)),
            Kind::Envp => ops.push(simple(EXEC_ENVP, 0, ArgKind::Struct)),
            Kind::Array { layout, count_arg } => ops.push(array(layout, count_arg)),
            Kind::FdSet { count_arg } => ops.push(simple(BITS, count_arg, ArgKind::Struct).if_ok()),
            Kind::Struct(layout, When::Entry) => ops.push(fixed(layout)),
            Kind::Struct(layout, When::Exit) => ops.push(fixed(layout).if_ok()),
            Kind::Fcntl { .. } => ops.push(Op {
                how: FCNTL,
                ..fixed(Layout::Flock)
            }),
            Kind::FutexTimeout { layout, .. } => ops.push(Op {
                how: FUTEX,
                ..fixed(layout)
            }),
            Kind::Ioctl { .. } => ops.push(simple(IOCTL, 0, ArgKind::Struct)),
            _ => {}
        }
    }
    match call.name {
        // The first message of several.
        "sendmmsg" => ops.extend([
            op(MSG_NAME, 1, 0, ArgKind::Sockaddr),
            op(MSG_DATA, 1, 0, ArgKind::Buffer),
        ]),
        "recvmmsg" | "recvmmsg_time64" => ops.extend([
            op(MSG_NAME, 1, 0, ArgKind::Sockaddr).if_ok(),
            op(MSG_DATA, 1, 0, ArgKind::Buffer).if_ok(),
        ]),
        // Names of entries in the kernel's own form.
        "getdents" | "getdents64" => ops.push(op(BUFFER_RET, 1, 0, ArgKind::Buffer)),
        // The arguments of the call that is meant.
        "socketcall" => ops.push(op(FIXED, 1, 24, ArgKind::Struct)),
        _ => {}
    }
    ops
}

/// What is done for a call: `struct sf_rule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What to copy.
    pub(crate) ops: Vec<Op>,
    /// How much of data, in bytes.
    pub(crate) limit: u32,
}

/// The rules as the `rules` map holds them: index and value. Where nothing is kept of a call's data, nothing copies it.
pub(crate) fn map_entries(data: &DataLimits) -> Vec<(u32, [u8; wire::RULE])> {
    entries(data)
        .map(|(index, rule)| (index, encode(&rule)))
        .collect()
}

/// The same rules for whoever looks them up here.
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    /// The rules, as [`map_entries`] has them.
    pub(crate) fn new(data: &DataLimits) -> Self {
        let mut table = vec![Rule::default(); 2 * wire::RULES as usize];
        for (index, rule) in entries(data) {
            if let Some(row) = table.get_mut(index as usize) {
                *row = rule;
            }
        }
        Self(table)
    }

    /// What to do for a call; nothing for one that has no rule.
    pub(crate) fn of(&self, abi: Abi, number: u32) -> &Rule {
        const NONE: &Rule = &Rule {
            ops: Vec::new(),
            limit: 0,
        };
        if number >= wire::RULES {
            return NONE;
        }
        self.0.get(index(abi, number) as usize).unwrap_or(NONE)
    }
}

fn entries(data: &DataLimits) -> impl Iterator<Item = (u32, Rule)> {
    [Abi::X86_64, Abi::I386]
        .into_iter()
        .flat_map(|abi| abi::all(abi).map(move |(number, call)| (abi, number, call)))
        .filter(|(_, number, _)| *number < wire::RULES)
        .filter_map(move |(abi, number, call)| {
            let limit = data.of(call.name);
            let kept: Vec<Op> = ops(abi, call)
                .into_iter()
                .filter(|op| limit > 0 || !op.is_data())
                .collect();
            (!kept.is_empty()).then(|| (index(abi, number), Rule { ops: kept, limit }))
        })
}

fn index(abi: Abi, number: u32) -> u32 {
    if abi == Abi::I386 {
        wire::RULES + number
    } else {
        number
    }
}

fn encode(rule: &Rule) -> [u8; wire::RULE] {
    let mut bytes = [0; wire::RULE];
    let (slots, rest) = bytes.split_at_mut(wire::OPS * 4);
    let (count, limit) = rest.split_at_mut(2);
    let mut used = 0_u16;
    for (slot, op) in slots.chunks_exact_mut(4).zip(&rule.ops) {
        slot.copy_from_slice(&[op.how, op.arg, op.len, op.kind as u8]);
        used += 1;
    }
    count.copy_from_slice(&used.to_ne_bytes());
    limit.copy_from_slice(&u16::try_from(rule.limit).unwrap_or(u16::MAX).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snaplen::DataClass;
    use crate::source::tracing::record::header;
    use std::collections::{BTreeSet, HashSet};

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
            ("SF_OP_EXEC_ARGV", EXEC_ARGV),
            ("SF_OP_EXEC_ENVP", EXEC_ENVP),
            ("SF_OP_ARRAY", ARRAY),
            ("SF_OP_BITS", BITS),
            ("SF_OP_MSG", MSG),
            ("SF_OP_BUFFER_PTR", BUFFER_PTR),
            ("SF_OP_FUTEX", FUTEX),
            ("SF_OP_FCNTL", FCNTL),
            ("SF_OP_IOCTL", IOCTL),
            ("SF_OP_IF_OK", IF_OK),
        ] {
            assert_eq!(constants.get(name), Some(&u64::from(value)), "{name}");
        }
    }

    #[test]
    fn every_rule_fits_and_stays_inside_the_call() {
        let mut seen = HashSet::new();
        for abi in [Abi::X86_64, Abi::I386] {
            for (number, call) in abi::all(abi) {
                let ops = ops(abi, call);
                assert!(ops.len() <= wire::OPS, "{}: {} captures", call.name, ops.len());
                assert!(
                    ops.iter().all(|op| usize::from(op.arg) < call.args.len()),
                    "{}",
                    call.name
                );
                assert!(
                    ops.is_empty() || number < wire::RULES,
                    "{}: {number} has no rule",
                    call.name
                );
                for op in &ops {
                    seen.insert(op.how & !IF_OK);
                    assert_eq!(op.arg & 7, op.arg);
                }
            }
        }
        assert_eq!(seen.len(), usize::from(IOCTL), "an operation that no call has");
    }

    #[test]
    fn what_the_table_says_is_copied() {
        let of = |name| ops(Abi::X86_64, abi::call_on(Abi::X86_64, name).unwrap());
        assert_eq!(of("openat"), [op(STRING, 1, 0, ArgKind::Path)]);
        assert_eq!(of("read"), [op(BUFFER_RET, 1, 0, ArgKind::Buffer)]);
        assert_eq!(
            of("wait4"),
            [
                op(FIXED, 1, 4, ArgKind::Struct).if_ok(),
                op(FIXED, 3, 32, ArgKind::Struct).if_ok()
            ]
        );
        assert_eq!(of("epoll_wait"), [op(ARRAY, 1, 6 | 3 << 3, ArgKind::Struct)]);
        assert_eq!(of("getpid"), []);
        assert_eq!(of("mount").len(), 4);
        let i386 = ops(Abi::I386, abi::call_on(Abi::I386, "nanosleep").unwrap());
        assert_eq!(i386.first(), Some(&op(FIXED, 0, 8, ArgKind::Struct)));
    }

    #[test]
    fn both_engines_have_the_same_rules() {
        let data = DataLimits {
            read: 4_096,
            write: 0,
            ..DataLimits::all(64)
        };
        let rules = Rules::new(&data);
        for (number, rule) in map_entries(&data) {
            let (abi, number) = if number < wire::RULES {
                (Abi::X86_64, number)
            } else {
                (Abi::I386, number - wire::RULES)
            };
            assert_eq!(encode(rules.of(abi, number)), rule, "{abi:?} {number}");
        }
        assert_eq!(rules.of(Abi::X86_64, 39).ops, [], "getpid");
        assert_eq!(
            rules.of(Abi::X86_64, wire::RULES).ops,
            [],
            "the first of the other table"
        );
        assert_eq!(rules.of(Abi::X86_64, 0).limit, 4_096, "read");
        assert_eq!(rules.of(Abi::X86_64, 1).ops, [], "write");
        assert_eq!(rules.of(Abi::X86_64, 45).limit, 64, "recvfrom");
    }

    #[test]
    fn what_moves_data_through_a_descriptor_has_a_class_of_its_own() {
        let with_data = [Abi::X86_64, Abi::I386].into_iter().flat_map(|abi| {
            abi::all(abi)
                .filter(move |(_, call)| ops(abi, call).iter().any(|op| op.is_data()))
                .map(|(_, call)| call.name)
        });
        let others: BTreeSet<&str> = with_data
            .filter(|name| DataClass::of(name) == DataClass::Other)
            .collect();
        let expected = "fgetxattr flistxattr fsetxattr getdents getdents64 getrandom getsockopt getxattr lgetxattr listxattr \
            listxattrat llistxattr lookup_dcookie lsetxattr mq_timedreceive mq_timedreceive_time64 mq_timedsend \
            mq_timedsend_time64 readlink readlinkat setdomainname sethostname setsockopt setxattr vmsplice";
        assert_eq!(others.into_iter().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn without_data_paths_stay() {
        let readlink = |bytes| {
            map_entries(&DataLimits::all(bytes))
                .into_iter()
                .find(|(index, _)| *index == 89)
                .map(|(_, rule)| rule[wire::OPS * 4])
        };
        assert_eq!(readlink(64), Some(2));
        assert_eq!(readlink(0), Some(1));
    }
}
