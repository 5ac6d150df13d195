use super::*;
use std::collections::HashSet;

const ALL: [Abi; 3] = [Abi::X86_64, Abi::I386, Abi::Aarch64];

#[test]
fn known_numbers() {
    assert_eq!(name(Abi::X86_64, 0), Some("read"));
    assert_eq!(name(Abi::X86_64, 257), Some("openat"));
    assert_eq!(name(Abi::I386, 3), Some("read"));
    assert_eq!(name(Abi::I386, 295), Some("openat"));
    assert_eq!(name(Abi::Aarch64, 56), Some("openat"));
    assert_eq!(name(Abi::Aarch64, 63), Some("read"));
    assert_eq!(name(Abi::Aarch64, 222), Some("mmap"));
    assert_eq!(name(Abi::X86_64, 500), None);
    assert_eq!(name(Abi::X86_64, u32::MAX), None);
    assert_eq!(number(Abi::Aarch64, "open"), None, "arm64 never had it");
    for abi in ALL {
        assert_eq!(number(abi, "file_setattr"), Some(469));
        assert_eq!(lookup(abi, 435).unwrap().name, "clone3");
    }
}

#[test]
fn tables_are_sorted_and_numbers_lead_back() {
    for (abi, numbers) in [
        (Abi::X86_64, x86_64::NUMBERS),
        (Abi::I386, i386::NUMBERS),
        (Abi::Aarch64, aarch64::NUMBERS),
    ] {
        assert!(numbers.is_sorted_by(|a, b| a.0 < b.0));
        for (value, text) in numbers {
            assert_eq!(name(abi, *value), Some(*text));
            assert_eq!(number(abi, text), Some(*value), "{text}: a name twice?");
        }
    }
}

#[test]
fn every_call_has_one_row() {
    let mut common = HashSet::new();
    for call in calls::common() {
        assert!(common.insert(call.name), "{}: two rows", call.name);
    }
    let mut only = HashSet::new();
    for call in calls::i386() {
        assert!(only.insert(call.name), "{}: two rows", call.name);
        assert!(
            number(Abi::I386, call.name).is_some(),
            "{}: not on i386",
            call.name
        );
    }
    for abi in ALL {
        for (value, name) in table_of(abi)
            .rows
            .iter()
            .enumerate()
            .filter_map(|(at, row)| row.map(|row| (at, row.0)))
        {
            assert!(
                lookup(abi, u32::try_from(value).unwrap()).is_some(),
                "{name} ({value}, {abi:?}) has no row"
            );
        }
    }
    for name in common {
        assert!(
            ALL.into_iter().any(|abi| number(abi, name).is_some()),
            "{name}: no ABI has it"
        );
    }
}

#[test]
fn positions_stay_inside_the_call() {
    for call in calls::common().chain(calls::i386()) {
        assert!(call.args.len() <= 6, "{}", call.name);
        for (at, arg) in call.args.iter().enumerate() {
            let (other, expected): (u8, fn(Kind) -> bool) = match arg.kind {
                Kind::Sockaddr { len_arg } | Kind::BufferIn { len_arg } => {
                    (len_arg, |kind| matches!(kind, Kind::Size | Kind::Uint))
                }
                Kind::SockaddrOut { len_ptr_arg } => (len_ptr_arg, |kind| {
                    matches!(kind, Kind::Struct(Layout::U32, When::Exit))
                }),
                Kind::IovecIn { count_arg } | Kind::IovecOut { count_arg } => {
                    (count_arg, |kind| kind == Kind::Size)
                }
                Kind::Fcntl { cmd_arg: other }
                | Kind::Protocol { domain_arg: other }
                | Kind::SocketOption { level_arg: other } => (other, |kind| matches!(kind, Kind::Value(_))),
                _ => continue,
            };
            let other = call.args.get(usize::from(other)).map(|arg| arg.kind);
            assert!(
                other.is_some_and(expected),
                "{}: argument {at} points to {other:?}",
                call.name
            );
        }
    }
}

#[test]
fn the_descriptor_of_a_call() {
    let of = |name: &str| descriptor_arg(call(name).unwrap());
    assert_eq!(of("read"), Some(0));
    assert_eq!(of("mmap"), Some(4));
    assert_eq!(of("unlinkat"), Some(0));
    assert_eq!(of("openat"), None);
    assert_eq!(of("getpid"), None);
    assert!(descriptor_is_result(call("openat").unwrap()));
    assert!(descriptor_is_result(call("socket").unwrap()));
    assert!(!descriptor_is_result(call("accept").unwrap()));
    assert!(!descriptor_is_result(call("read").unwrap()));
}

#[test]
fn arguments_that_differ_between_abis() {
    let names = |abi, name| -> Vec<_> {
        let call = lookup(abi, number(abi, name).unwrap()).unwrap();
        call.args.iter().map(|arg| arg.name).collect()
    };
    assert_eq!(names(Abi::X86_64, "clone")[3], "child_tid");
    assert_eq!(names(Abi::I386, "clone")[3], "tls");
    assert_eq!(names(Abi::Aarch64, "clone")[3], "tls");
    assert_eq!(names(Abi::I386, "mmap"), ["args"]);
    assert_eq!(names(Abi::Aarch64, "mmap").len(), 6);
    assert_eq!(names(Abi::I386, "statfs64"), ["path", "sz", "buf"]);
}

#[test]
fn structures_have_the_kernels_size() {
    assert_eq!(Layout::Timespec.size(Abi::X86_64), 16);
    assert_eq!(Layout::Timespec.size(Abi::I386), 8);
    assert_eq!(Layout::EpollEvent.size(Abi::X86_64), 12);
    assert_eq!(Layout::EpollEvent.size(Abi::Aarch64), 16);
    assert_eq!(Layout::Sigaction.size(Abi::X86_64), 32);
    assert_eq!(Layout::Sigaction.size(Abi::I386), 20);
}

/// `#define __NR_name number` of a header, where this host has it.
fn header(path: &str) -> Option<Vec<(String, u32)>> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("#define") {
            continue;
        }
        let (Some(define), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        let name = define
            .strip_prefix("__NR_")
            .or_else(|| define.strip_prefix("__NR3264_"));
        // The generic header counts its calls under such a name too.
        if let (Some(name), Ok(value)) = (name.filter(|name| *name != "syscalls"), value.parse()) {
            rows.push((name.to_owned(), value));
        }
    }
    Some(rows)
}

#[test]
fn numbers_are_those_of_the_headers() {
    for (abi, path, enough) in [
        (Abi::X86_64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 350),
        (Abi::I386, "/usr/include/x86_64-linux-gnu/asm/unistd_32.h", 430),
        (Abi::Aarch64, "/usr/include/asm-generic/unistd.h", 290),
    ] {
        let Some(rows) = header(path) else { continue };
        let mut checked = 0;
        for (header_name, value) in rows {
            let Some(ours) = name(abi, value) else {
                // What no call of ours has: the generic header's markers, and ranges that belong to other machines.
                assert!(abi == Abi::Aarch64, "{header_name} ({value}) is missing");
                continue;
            };
            // The generic header names some calls once for each word size, or for machines that need another one.
            let other = matches!(
                (value, header_name.as_str()),
                (79, "fstatat") | (84, "sync_file_range2") | (222, "mmap2") | (223, "fadvise64_64")
            );
            let same = ours == header_name || (abi == Abi::Aarch64 && other);
            assert!(same, "{path}: {value} is {header_name}, the table says {ours}");
            checked += 1;
        }
        assert!(checked >= enough, "{path}: only {checked} rows checked");
    }
}
