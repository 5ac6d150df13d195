//! Whole calls, as they read.

use super::*;
use crate::fixture;
use proptest::prelude::*;
use std::sync::Arc;
use stillframe_format::event::{DescriptorName, When};

fn call(name: &str, args: &[u64], ret: i64) -> Syscall {
    let mut registers = [0; 6];
    registers[..args.len()].copy_from_slice(args);
    Syscall {
        number: abi::number(Abi::X86_64, name).unwrap(),
        args: registers,
        ret: Return::Value(ret),
        descriptor: None,
        data: Vec::new(),
        ..fixture::openat(0)
    }
}

/// Puts a call together.
trait Compose: Sized {
    fn named(self, name: &str) -> Self;
    fn with(self, arg: u8, kind: ArgKind, bytes: Captured<Vec<u8>>) -> Self;
}

impl Compose for Syscall {
    fn named(mut self, name: &str) -> Self {
        self.descriptor = Some(Arc::new(DescriptorName {
            kind: "file".to_owned(),
            name: name.as_bytes().to_vec(),
        }));
        self
    }

    fn with(mut self, arg: u8, kind: ArgKind, bytes: Captured<Vec<u8>>) -> Self {
        self.data.push(ArgData {
            arg,
            kind,
            when: When::Entry,
            bytes,
        });
        self
    }
}

fn whole(bytes: &[u8]) -> Captured<Vec<u8>> {
    Captured::Whole(bytes.to_vec())
}

fn shown(call: &Syscall) -> String {
    format!("{} = {}", text(call), result(call))
}

const CWD: u64 = 0xffff_ff9c;

#[test]
fn calls_read_like_strace() {
    let long = [b'x'; 40];
    let calls = [
        call("openat", &[CWD, 0x1000, 0x8_0000, 0o777], 3)
            .named("/etc/passwd")
            .with(1, ArgKind::Path, whole(b"/etc/passwd")),
        call("openat", &[CWD, 0x1000, 0o101, 0o644], -2).with(1, ArgKind::Path, whole(b"/no/where")),
        call("read", &[3, 0x5000, 4096], 40)
            .named("/a b")
            .with(1, ArgKind::Buffer, whole(&long)),
        call("read", &[3, 0x5000, 4096], 0).with(1, ArgKind::Buffer, whole(b"")),
        call("read", &[3, 0x5000, 4096], -11),
        call("write", &[1, 0x5000, 4096], 4096).with(
            1,
            ArgKind::Buffer,
            Captured::Truncated(b"he".to_vec(), 4096),
        ),
        call("write", &[1, 0x5000, 4096], -14).with(1, ArgKind::Buffer, Captured::Failed(14)),
        call("write", &[1, 0x5000, 12], 12).with(1, ArgKind::Buffer, Captured::Redacted(12)),
        call("writev", &[1, 0x5000, 2], 4).with(1, ArgKind::Buffer, whole(b"abcd")),
        call("connect", &[4, 0x6000, 16], -115)
            .named("TCP:[10.0.0.2:5->1.2.3.4:80]")
            .with(
                1,
                ArgKind::Sockaddr,
                whole(&[2, 0, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
        call("socket", &[2, 0o2_000_001, 6], 4).named("TCP:[7]"),
        call("setsockopt", &[4, 1, 2, 0x7000, 4], 0).with(3, ArgKind::Buffer, whole(&[1, 0, 0, 0])),
        call("pipe2", &[0x7000, 0o2_000_000], 0).with(
            0,
            ArgKind::DescriptorPair,
            whole(&[3, 0, 0, 0, 4, 0, 0, 0]),
        ),
        call("execve", &[0x1000, 0x2000, 0x3000], 0)
            .with(0, ArgKind::Path, whole(b"/bin/sh"))
            .with(1, ArgKind::Strings, whole(b"sh\0-c\0\0")),
        call("execve", &[0x1000, 0x2000, 0x3000], 0).with(
            1,
            ArgKind::Strings,
            Captured::Truncated(b"sh\0-".to_vec(), 0),
        ),
        call("mmap", &[0, 4096, 3, 0x22, u64::MAX, 0], 0x7f00_0000_0000),
        call("fcntl", &[3, 3, 0x99], 0x8002),
        call("fcntl", &[3, 2, 1], 0),
        call("kill", &[77, 15], 0),
        call("kill", &[77, 0], -3),
        call("umask", &[0o22], 0o22),
        call("lseek", &[3, (-5i64).cast_unsigned(), 1], 10),
        call("clock_nanosleep", &[0, 0, 0x1000, 0], -516),
        call("wait4", &[u64::MAX, 0x1000, 0, 0], 99).with(1, ArgKind::Struct, whole(&[0, 7, 0, 0])),
        call("mknod", &[0x1000, 0o010_644, 0], 0).with(0, ArgKind::Path, whole(b"/tmp/fifo")),
        call("ioctl", &[1, 0x5401, 0x1000], -25),
        Syscall {
            number: 4000,
            ..call("getpid", &[], 5)
        },
        Syscall {
            ret: Return::Never,
            ..call("exit_group", &[3], 0)
        },
    ];
    let lines: Vec<String> = calls.iter().map(shown).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_call_that_has_not_returned_shows_its_registers() {
    let open = OpenCall {
        task: stillframe_format::event::Task::default(),
        abi: Abi::X86_64,
        number: 0,
        args: [3, 0x5000, 4096, 0, 0, 0],
        enter: None,
    };
    assert_eq!(open_text(&open), "read(3, 0x5000, 4096");
}

#[test]
fn fields_have_all_data_and_lines_the_first_bytes() {
    let call = call("read", &[3, 0x5000, 4096], 40).with(1, ArgKind::Buffer, whole(&[b'x'; 40]));
    assert!(text(&call).contains(&format!("\"{}\"...", "x".repeat(32))));
    assert!(full_text(&call).contains(&format!("\"{}\"", "x".repeat(40))));
    assert_eq!(argument(&call, 2).as_deref(), Some("4096"));
    assert_eq!(argument(&call, 3), None);
}

fn captured() -> impl Strategy<Value = Captured<Vec<u8>>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        bytes().prop_map(Captured::Whole),
        (bytes(), any::<u64>()).prop_map(|(bytes, original)| Captured::Truncated(bytes, original)),
        any::<i32>().prop_map(Captured::Failed),
        any::<u64>().prop_map(Captured::Redacted),
    ]
}

proptest! {
    #[test]
    fn any_call_reads_without_panic_on_plain_ascii(
        number in 0u32..600,
        abi in prop_oneof![Just(Abi::X86_64), Just(Abi::I386), Just(Abi::Aarch64)],
        args: [u64; 6],
        ret: i64,
        data in prop::collection::vec((0u8..6, 0u8..6, captured()), 0..4),
    ) {
        let call = Syscall {
            number,
            abi,
            args,
            ret: Return::Value(ret),
            data: data
                .into_iter()
                .map(|(arg, kind, bytes)| ArgData {
                    arg,
                    kind: ArgKind::from_number(kind).unwrap(),
                    when: When::Exit,
                    bytes,
                })
                .collect(),
            ..fixture::write()
        };
        let text = format!("{} {}", full_text(&call), result(&call));
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
    }
}
