//! Copying from a made-up memory.

use super::super::memory::{PAGE, strings};
use super::*;
use crate::snaplen::DataLimits;
use crate::source::syscalls::decode::{Decoded, Decoder};
use crate::source::syscalls::ptrace::record::{Chunk, Head};
use crate::source::syscalls::rules::Rules;
use stillframe_format::abi::call_on;
use stillframe_format::batch::CaptureStatus;

/// Two pages from 0x10000 on; nothing else.
struct Pages(Vec<u8>);

const BASE: u64 = 0x10000;

impl Pages {
    fn new() -> Self {
        Self(vec![0; 2 * PAGE as usize])
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> u64 {
        let start = (at - BASE) as usize;
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
        at
    }

    fn words(&mut self, at: u64, words: &[u64]) -> u64 {
        for (index, word) in words.iter().enumerate() {
            self.put(at + 8 * index as u64, &word.to_ne_bytes());
        }
        at
    }
}

impl Memory for Pages {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Some(from) = address.checked_sub(BASE).map(|from| from as usize) else {
            return 0;
        };
        let there = self.0.get(from..).unwrap_or_default();
        let n = there.len().min(into.len());
        into[..n].copy_from_slice(&there[..n]);
        n
    }
}

type Found = (u8, ArgKind, CaptureStatus, u64, Vec<u8>);

/// What the decoder makes of a call's copies.
fn copied(memory: &Pages, abi: Abi, name: &str, args: [u64; 6], ret: i64, limit: u32) -> Vec<Found> {
    let (number, _) = stillframe_format::abi::all(abi)
        .find(|(_, call)| call.name == name)
        .unwrap();
    assert!(call_on(abi, name).is_some());
    let rules = Rules::new(&DataLimits::all(limit));
    let call = Call { abi, args, ret };
    let program = (name == "execve").then(|| Program::read(memory, abi, args[0], args[1], args[2]));
    let mut chunk = Chunk::default();
    let mut record = chunk.begin(&Head {
        kind: wire::TYPE_SYSCALL,
        abi: abi.into(),
        number,
        args,
        ret,
        ..Head::default()
    });
    copy(
        memory,
        rules.of(abi, number),
        &call,
        program.as_ref(),
        &mut record,
    );
    record.end();
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push(&chunk.bytes), Ok(Decoded::Call));
    let (batch, _) = decoder.take();
    batch
        .captures
        .iter()
        .map(|one| {
            let start = one.start as usize;
            let bytes = batch.arena[start..start + one.len as usize].to_vec();
            (one.arg, one.kind, one.status, one.original, bytes)
        })
        .collect()
}

use CaptureStatus::{Failed, Truncated, Whole};

#[test]
fn a_string_is_whole_cut_or_faulted() {
    let mut memory = Pages::new();
    let path = |memory: &Pages, at| copied(memory, Abi::X86_64, "open", [at, 0, 0, 0, 0, 0], 3, 64).remove(0);
    // Across the pages' border.
    let at = memory.put(BASE + PAGE - 4, b"/etc/passwd\0");
    assert_eq!(
        path(&memory, at),
        (0, ArgKind::Path, Whole, 0, b"/etc/passwd".to_vec())
    );
    memory.put(BASE, &[b'x'; 2 * PAGE as usize]);
    let (_, _, status, original, bytes) = path(&memory, BASE + 1);
    assert_eq!((status, original, bytes.len()), (Truncated, 0, 4096));
    // It has no end before memory ends.
    let (_, _, status, original, bytes) = path(&memory, BASE + 2 * PAGE - 9);
    assert_eq!((status, original, bytes.len()), (Failed, 14, 0));
    assert_eq!(path(&memory, 0x10).2, Failed);
    assert_eq!(
        copied(&memory, Abi::X86_64, "open", [0; 6], -14, 64),
        [],
        "nothing is behind a null pointer"
    );
}

#[test]
fn a_buffer_is_as_long_as_the_result_says_and_never_longer_than_the_limit() {
    let mut memory = Pages::new();
    memory.put(BASE, b"0123456789");
    let read = |ret, limit, at| copied(&memory, Abi::X86_64, "read", [3, at, 4096, 0, 0, 0], ret, limit);
    assert_eq!(
        read(4, 64, BASE),
        [(1, ArgKind::Buffer, Whole, 0, b"0123".to_vec())]
    );
    assert_eq!(
        read(10, 3, BASE),
        [(1, ArgKind::Buffer, Truncated, 10, b"012".to_vec())]
    );
    assert_eq!(read(-11, 64, BASE), []);
    assert_eq!(read(4, 0, BASE), [], "--no-data");
    assert_eq!(
        read(9, 64, BASE + 2 * PAGE - 8),
        [(1, ArgKind::Buffer, Failed, 14, vec![])],
        "not half of it"
    );
    assert_eq!(read(0, 64, BASE), [(1, ArgKind::Buffer, Whole, 0, vec![])]);
}

#[test]
fn segments_are_one_buffer() {
    let mut memory = Pages::new();
    memory.put(BASE, b"headbody");
    let list = memory.words(BASE + 64, &[BASE, 4, BASE + 4, 4, 0x10, 4]);
    let writev = |count, limit| {
        copied(
            &memory,
            Abi::X86_64,
            "writev",
            [1, list, count, 0, 0, 0],
            8,
            limit,
        )
        .into_iter()
        .find(|one| one.1 == ArgKind::Buffer)
        .unwrap()
    };
    assert_eq!(
        writev(2, 64),
        (1, ArgKind::Buffer, Whole, 0, b"headbody".to_vec())
    );
    assert_eq!(
        writev(2, 6),
        (1, ArgKind::Buffer, Truncated, 8, b"headbo".to_vec())
    );
    assert_eq!(
        writev(3, 64),
        (1, ArgKind::Buffer, Truncated, 12, b"headbody".to_vec()),
        "the third is not there"
    );
    let readv = copied(&memory, Abi::X86_64, "readv", [0, list, 2, 0, 0, 0], 5, 64);
    assert_eq!(
        readv.last(),
        Some(&(1, ArgKind::Buffer, Whole, 0, b"headb".to_vec()))
    );
}

#[test]
fn a_message_has_its_name_data_and_control() {
    let mut memory = Pages::new();
    memory.put(BASE, b"payload");
    let name = memory.put(BASE + 16, &[2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let control = memory.put(BASE + 32, b"control!");
    let list = memory.words(BASE + 64, &[BASE, 7]);
    let message = memory.words(BASE + 128, &[name, 16, list, 1, control, 8, 0]);
    let found = copied(&memory, Abi::X86_64, "sendmsg", [3, message, 0, 0, 0, 0], 7, 64);
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].1, found[0].4.len()), (ArgKind::Struct, 56 + 16 + 8));
    assert!(found[0].4.ends_with(b"control!"));
    assert_eq!((found[1].1, found[1].4.len()), (ArgKind::Sockaddr, 16));
    assert_eq!(found[2].4, b"payload");
}

#[test]
fn a_program_is_read_at_its_call() {
    let mut memory = Pages::new();
    let name = memory.put(BASE, b"/bin/echo\0");
    let one = memory.put(BASE + 32, b"echo\0");
    let two = memory.put(BASE + 48, b"hello\0");
    let argv = memory.words(BASE + PAGE - 8, &[one, two, 0]);
    let envp = memory.words(BASE + 128, &[one, two, one, 0]);
    let found = copied(&memory, Abi::X86_64, "execve", [name, argv, envp, 0, 0, 0], 0, 64);
    assert_eq!(
        found,
        [
            (0, ArgKind::Path, Whole, 0, b"/bin/echo".to_vec()),
            (1, ArgKind::Strings, Whole, 0, b"echo\0hello\0".to_vec()),
            (2, ArgKind::Struct, Whole, 0, 3_u32.to_ne_bytes().to_vec()),
        ]
    );
    let odd = memory.words(BASE + 256, &[one, 0x10, 0]);
    let program = Program::read(&memory, Abi::X86_64, name, odd, 0);
    assert_eq!(program.argv, (b"echo\0".to_vec(), Fate::Truncated(0)));
    assert_eq!(program.file(None), (b"/bin/echo".to_vec(), Fate::Whole));
    let program = Program::read(&memory, Abi::X86_64, BASE + 9, argv, envp);
    assert_eq!(program.file(Some(5)).0, b"/dev/fd/5", "a name of no length");
    assert_eq!(
        Program::read(&memory, Abi::X86_64, BASE + 1, argv, envp)
            .file(Some(5))
            .0,
        b"/dev/fd/5/bin/echo"
    );
}

#[test]
fn many_and_long_arguments_are_cut() {
    let mut memory = Pages::new();
    let long = memory.put(BASE, &[b'x'; 2000]);
    memory.put(BASE + 2000, &[0]);
    let argv = memory.words(BASE + PAGE, &[long, long, 0]);
    let (bytes, fate) = strings(&memory, Abi::X86_64, argv);
    assert_eq!((bytes.len(), fate), (wire::ARGV_MAX - 1, Fate::Truncated(0)));
    let short = memory.put(BASE + 2048, b"y\0");
    let argv = memory.words(BASE + PAGE, &[short; 200]);
    let (bytes, fate) = strings(&memory, Abi::X86_64, argv);
    assert_eq!((bytes.len(), fate), (2 * wire::ARGV_STRINGS, Fate::Truncated(0)));
}

#[test]
fn a_32_bit_call_has_32_bit_structures() {
    let mut memory = Pages::new();
    memory.put(BASE, b"data");
    let word = |value: u64| (value as u32).to_ne_bytes();
    let list = memory.put(BASE + 64, &[word(BASE), word(4)].concat());
    let found = copied(&memory, Abi::I386, "writev", [1, list, 1, 0, 0, 0], 4, 64);
    assert_eq!(found.last().unwrap().4, b"data");
    let message = memory.put(
        BASE + 128,
        &[word(0), word(0), word(list), word(1), word(0), word(0), word(0)].concat(),
    );
    let found = copied(&memory, Abi::I386, "sendmsg", [1, message, 0, 0, 0, 0], 4, 64);
    assert_eq!(found[0].4.len(), 28 + 8);
    assert_eq!(found.last().unwrap().4, b"data");
}

proptest::proptest! {
    #[test]
    fn no_arguments_make_it_panic_or_write_what_the_decoder_refuses(
        number in 0_u32..512,
        wide in proptest::bool::ANY,
        args in proptest::array::uniform6(proptest::prop_oneof![
            0_u64..20,
            BASE - 8..BASE + 2 * PAGE + 8,
            proptest::num::u64::ANY,
        ]),
        ret in proptest::prop_oneof![-40_i64..40, proptest::num::i64::ANY],
        fill in proptest::collection::vec(proptest::num::u8::ANY, 64),
    ) {
        let abi = if wide { Abi::X86_64 } else { Abi::I386 };
        let rules = Rules::new(&DataLimits::all(4_096));
        let mut memory = Pages::new();
        for at in 0..memory.0.len() {
            memory.0[at] = fill[at % 61];
        }
        let program = Program::read(&memory, abi, args[0], args[1], args[2]);
        let mut chunk = Chunk::default();
        let mut record = chunk.begin(&Head { kind: wire::TYPE_SYSCALL, abi: abi.into(), ..Head::default() });
        copy(&memory, rules.of(abi, number), &Call { abi, args, ret }, Some(&program), &mut record);
        record.end();
        proptest::prop_assert_eq!(Decoder::default().push(&chunk.bytes), Ok(Decoded::Call));
        proptest::prop_assert!(chunk.bytes.len() < 64 << 10);
    }
}
