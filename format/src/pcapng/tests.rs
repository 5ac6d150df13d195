use super::*;
use crate::event::{Direction, Packet};
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};

fn eth0() -> Interface {
    Interface {
        name: "eth0".into(),
        netns: 4_026_532_281,
        linktype: LINKTYPE_ETHERNET,
        snaplen: 65_535,
    }
}

fn head(interfaces: &[Interface]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = SectionHeader {
        hardware: "x86_64",
        os: "Linux 6.1.0",
        application: "capture 0.1.0",
    };
    section_header(&mut out, &header).unwrap();
    for one in interfaces {
        interface(&mut out, one).unwrap();
    }
    out
}

fn packet(interface: &Interface, data: &[u8]) -> Packet {
    Packet {
        netns: interface.netns,
        interface: Arc::clone(&interface.name),
        linktype: interface.linktype,
        direction: Direction::Out,
        realtime: 1_764_000_000_123_456_789,
        original_len: data.len() as u32,
        data: data.to_vec(),
    }
}

fn block(packet: &Packet, interface: u32) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(enhanced_packet(&mut out, interface, packet), Ok(out.len()));
    out
}

fn section() -> Section {
    Section {
        interfaces: vec![eth0()],
    }
}

/// An Ethernet frame with a UDP datagram from 10.0.0.1:1000 to 10.0.0.2:2000.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let total = (28 + payload.len()) as u16;
    frame.extend([0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(1000u16.to_be_bytes());
    frame.extend(2000u16.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        name in "\\PC{1,15}",
        netns: u64,
        linktype: u16,
        snaplen: u32,
        data in proptest::collection::vec(any::<u8>(), 0..200),
        more: u16,
        realtime in 0..i64::MAX,
        out: bool,
        other in 0usize..3,
    ) {
        let interface = Interface { name: name.into(), netns, linktype, snaplen };
        let mut interfaces = vec![eth0(); other];
        interfaces.push(interface.clone());
        let section = read_head(&head(&interfaces)).unwrap();
        prop_assert_eq!(&section.interfaces, &interfaces);
        let packet = Packet {
            direction: if out { Direction::Out } else { Direction::In },
            realtime,
            original_len: data.len() as u32 + u32::from(more),
            ..packet(&interface, &data)
        };
        prop_assert_eq!(read_packet(&section, &block(&packet, other as u32)), Ok(packet));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_head(&bytes);
        let _ = read_packet(&section(), &bytes);
        let _ = Blocks::new(&bytes).count();
    }

    #[test]
    fn a_changed_word_is_refused_or_read_but_never_believed_beyond_the_block(at in 0usize..40, word: u32) {
        let mut bytes = block(&packet(&eth0(), &[7; 50]), 0);
        let at = at * 4 % bytes.len();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        if let Ok(packet) = read_packet(&section(), &bytes) {
            prop_assert!(packet.data.len() <= bytes.len());
        }
        let mut bytes = head(&[eth0(), eth0()]);
        let at = at % bytes.len();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        let _ = read_head(&bytes);
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = block(&packet(&eth0(), b"abcde"), 0);
    for cut in 0..bytes.len() {
        assert_eq!(
            read_packet(&section(), &bytes[..cut]),
            Err(PcapngError::Cut { offset: 0 }),
            "cut at {cut}"
        );
    }
    let header = head(&[]).len();
    let bytes = head(&[eth0()]);
    for cut in 0..bytes.len() {
        // A head cut between blocks is a shorter head: that its length is right is for the bundle to know.
        assert_eq!(read_head(&bytes[..cut]).is_ok(), cut == header, "cut at {cut}");
    }
}

#[test]
fn lengths_that_lie_are_typed_errors() {
    let good = block(&packet(&eth0(), b"abcde"), 0);
    let with = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        read_packet(&section(), &bytes).unwrap_err()
    };
    for length in [0, 1, 4, 8, 11, 50, 0x0100_0004, 0xFFFF_FFFC, u32::MAX] {
        assert_eq!(with(4, length), PcapngError::BlockLength { offset: 0, length });
    }
    assert_eq!(with(4, good.len() as u32 + 4), PcapngError::Cut { offset: 0 });
    let trailing = good.len() - 4;
    assert!(matches!(
        with(trailing, 12),
        PcapngError::LengthMismatch { trailing: 12, .. }
    ));
    assert!(matches!(
        with(8, 1),
        PcapngError::UnknownInterface {
            interface: 1,
            count: 1
        }
    ));
    assert!(matches!(with(8, u32::MAX), PcapngError::UnknownInterface { .. }));
    assert!(matches!(with(12, u32::MAX), PcapngError::Stamp(_)));
    for captured in [6, 1000, u32::MAX - 2, u32::MAX] {
        assert!(
            matches!(with(20, captured), PcapngError::CapturedLength { .. }),
            "more than the packet has"
        );
    }
    let mut bytes = good.clone();
    bytes[20..28].copy_from_slice(&[0xFF; 8]);
    assert!(
        matches!(
            read_packet(&section(), &bytes),
            Err(PcapngError::CapturedLength { held: 20, .. })
        ),
        "more than the block has"
    );
    assert_eq!(with(0, 3), PcapngError::UnexpectedBlock { offset: 0, kind: 3 });
    assert_eq!(with(36, 0xFFFF_0002), PcapngError::OptionLength(2));
    assert!(matches!(
        with(36, 0x0003_0002),
        PcapngError::OptionValue { code: 2, length: 3 }
    ));
    assert_eq!(with(40, 0), PcapngError::Direction(0));
    assert_eq!(with(40, 3), PcapngError::Direction(3));
    assert_eq!(with(36, 0), PcapngError::Direction(0), "no flags at all");

    let mut two = good.clone();
    two.extend(&good);
    assert_eq!(
        read_packet(&section(), &two),
        Err(PcapngError::Trailing(good.len()))
    );
}

#[test]
fn a_head_that_is_not_ours_is_a_typed_error() {
    let good = head(&[eth0()]);
    let header = head(&[]).len();
    let with = |at: usize, bytes: &[u8]| {
        let mut head = good.clone();
        head[at..at + bytes.len()].copy_from_slice(bytes);
        read_head(&head)
    };
    assert_eq!(
        with(8, &0x1A2B_3C4Du32.to_be_bytes()),
        Err(PcapngError::BigEndian)
    );
    assert_eq!(with(8, &[0; 4]), Err(PcapngError::ByteOrder(0)));
    assert_eq!(
        with(12, &[2, 0]),
        Err(PcapngError::Version { major: 2, minor: 0 })
    );
    assert_eq!(read_head(&[]), Err(PcapngError::NoSectionHeader));
    assert_eq!(read_head(&good[header..]), Err(PcapngError::NoSectionHeader));
    assert_eq!(
        with(header, &[6]),
        Err(PcapngError::UnexpectedBlock {
            offset: header,
            kind: 6
        })
    );
    let two = [good.clone(), good.clone()].concat();
    assert!(matches!(
        read_head(&two),
        Err(PcapngError::UnexpectedBlock {
            kind: 0x0A0D_0D0A,
            ..
        })
    ));

    let resolution = good
        .windows(5)
        .position(|bytes| bytes == [9, 0, 1, 0, 9])
        .unwrap()
        + 4;
    for wrong in [0x7F, 0xFF, 0x80, 6, 0] {
        assert_eq!(
            with(resolution, &[wrong]),
            Err(PcapngError::Resolution {
                interface: 0,
                resolution: wrong
            })
        );
    }
    assert_eq!(
        with(resolution - 4, &[8]),
        Err(PcapngError::Resolution {
            interface: 0,
            resolution: 6
        }),
        "no resolution"
    );
    let description = good.windows(6).position(|bytes| bytes == b"netns ").unwrap();
    for wrong in [
        b"netns +026532281",
        b"netns 0026532281",
        b"netns 402653228 ",
        b"netms 4026532281",
    ] {
        assert_eq!(with(description, wrong), Err(PcapngError::NoNetns(0)));
    }
    assert_eq!(with(header + 16, &[5]), Err(PcapngError::NoName(0)));
    assert_eq!(with(header + 20, &[0xFF]), Err(PcapngError::Text(2)));
    assert_eq!(
        with(header + 18, &[0xFF, 0xFF]),
        Err(PcapngError::OptionLength(2))
    );
}

#[test]
fn what_is_too_large_is_not_written() {
    let mut out = Vec::new();
    let packet = packet(&eth0(), &vec![0; MAX_BLOCK]);
    assert_eq!(
        enhanced_packet(&mut out, 0, &packet),
        Err(PcapngError::PacketLength(MAX_BLOCK))
    );
    let name = "x".repeat(70_000);
    let long = Interface {
        name: name.into(),
        ..eth0()
    };
    assert_eq!(
        interface(&mut out, &long),
        Err(PcapngError::TextLength {
            code: 2,
            length: 70_000
        })
    );
    assert!(out.is_empty());
}

fn wireshark(program: &str, arguments: &[&str], bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(file.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is part of the test bed (Debian package tshark): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn wireshark_reads_two_sections_in_one_file() {
    let lo = Interface {
        name: "lo".into(),
        netns: 4_026_531_840,
        ..eth0()
    };
    let mut bytes = Vec::new();
    for part in 0..2u8 {
        bytes.extend(head(&[eth0(), lo.clone()]));
        for (number, interface) in [eth0(), lo.clone()].iter().enumerate() {
            let mut one = packet(interface, &frame(&[b'a' + part; 10]));
            one.realtime += i64::from(part) * 1_000_000_000 + number as i64;
            one.original_len += 100 * number as u32;
            one.direction = if number == 0 {
                Direction::In
            } else {
                Direction::Out
            };
            bytes.extend(block(&one, number as u32));
        }
        let counted = Statistics {
            from: 1,
            to: 1_764_000_000_500_000_000,
            received: Some(12),
            dropped: Some(5),
        };
        interface_statistics(&mut bytes, 0, &counted).unwrap();
    }
    let fields = [
        "-T",
        "fields",
        "-e",
        "frame.time_epoch",
        "-e",
        "frame.interface_name",
        "-e",
        "frame.interface_description",
        "-e",
        "frame.len",
        "-e",
        "frame.cap_len",
        "-e",
        "frame.packet_flags_direction",
        "-e",
        "udp.dstport",
        "-e",
        "data.data",
        "-r",
    ];
    let text = wireshark("tshark", &fields, &bytes);
    let expected = "\
1764000000.123456789\teth0\tnetns 4026532281\t52\t52\t0x00000001\t2000\t61616161616161616161
1764000000.123456790\tlo\tnetns 4026531840\t152\t52\t0x00000002\t2000\t61616161616161616161
1764000001.123456789\teth0\tnetns 4026532281\t52\t52\t0x00000001\t2000\t62626262626262626262
1764000001.123456790\tlo\tnetns 4026531840\t152\t52\t0x00000002\t2000\t62626262626262626262
";
    assert_eq!(text, expected);
    let info = wireshark("capinfos", &[], &bytes[..bytes.len() / 2]);
    for line in [
        "Capture hardware:    x86_64",
        "Capture oper-sys:    Linux 6.1.0",
        "Capture application: capture 0.1.0",
    ] {
        assert!(info.contains(line), "{line:?} is not in:\n{info}");
    }
    assert!(info.contains("Time precision = nanoseconds (9)"), "{info}");
    assert!(info.contains("Number of stat entries = 1"), "{info}");

    let walked: Vec<_> = Blocks::new(&bytes).map(|block| block.unwrap().kind).collect();
    assert_eq!(walked, [0x0A0D_0D0A, 1, 1, 6, 6, 5].repeat(2));
}
