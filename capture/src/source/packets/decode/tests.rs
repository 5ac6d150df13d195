use super::*;

/// What the kernel would put before a frame.
#[derive(Clone, Copy)]
struct Spec {
    hardware: u16,
    protocol: u16,
    kind: u8,
    status: u32,
    tci: u32,
    tpid: u16,
    network: u16,
    original_len: u32,
}

const ETHERNET: Spec = Spec {
    hardware: 1,
    protocol: 0x0800,
    kind: 0,
    status: 1,
    tci: 0,
    tpid: 0,
    network: 14,
    original_len: 60,
};

/// Frames start 48 bytes into the block and 128 + length bytes after each other; bytes 82 bytes into the frame.
fn block(frames: &[(Spec, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; 48];
    block[8..12].copy_from_slice(&1u32.to_ne_bytes());
    block[12..16].copy_from_slice(&(frames.len() as u32).to_ne_bytes());
    block[16..20].copy_from_slice(&48u32.to_ne_bytes());
    for (number, (spec, bytes)) in frames.iter().enumerate() {
        let total = (128 + bytes.len()).next_multiple_of(16);
        let next = if number + 1 == frames.len() {
            0
        } else {
            total as u32
        };
        let mut frame = Vec::new();
        for word in [
            next,
            1_700_000_000,
            42 + number as u32,
            bytes.len() as u32,
            spec.original_len,
            spec.status,
        ] {
            frame.extend(word.to_ne_bytes());
        }
        frame.extend(82u16.to_ne_bytes());
        frame.extend((82 + spec.network).to_ne_bytes());
        frame.extend(0u32.to_ne_bytes());
        frame.extend(spec.tci.to_ne_bytes());
        frame.extend(spec.tpid.to_ne_bytes());
        frame.resize(48, 0);
        frame.extend(17u16.to_ne_bytes());
        frame.extend(spec.protocol.to_be_bytes());
        frame.extend(7i32.to_ne_bytes());
        frame.extend(spec.hardware.to_ne_bytes());
        frame.extend([spec.kind, 6, 1, 2, 3, 4, 5, 6, 0, 0]);
        frame.resize(82, 0);
        frame.extend(*bytes);
        frame.resize(total, 0);
        block.extend(frame);
    }
    block
}

fn packet(spec: Spec, bytes: &[u8], snaplen: usize) -> Packet {
    let block = block(&[(spec, bytes)]);
    let frame = Frames::new(&block).next().unwrap().unwrap();
    frame.packet(9, "eth0".into(), snaplen)
}

#[test]
fn frames_come_out_as_they_went_in() {
    let out = Spec {
        kind: 4,
        original_len: 1500,
        ..ETHERNET
    };
    let block = block(&[(ETHERNET, &[1; 60]), (out, &[2; 33]), (ETHERNET, &[])]);
    let frames: Vec<_> = Frames::new(&block).map(Result::unwrap).collect();
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[0].realtime, 1_700_000_000_000_000_042);
    assert_eq!(
        (frames[0].interface, frames[0].hardware, frames[0].protocol),
        (7, 1, 0x0800)
    );
    assert_eq!(
        (frames[0].address, frames[0].address_len),
        ([1, 2, 3, 4, 5, 6, 0, 0], 6)
    );
    assert_eq!(frames[1].bytes, [2; 33]);
    let packet = frames[1].packet(9, "eth0".into(), 20);
    assert_eq!(
        (packet.direction, packet.original_len, packet.data),
        (Direction::Out, 1500, vec![2; 20])
    );
    assert_eq!(frames[2].bytes, [0_u8; 0]);
}

#[test]
fn a_vlan_tag_goes_back_between_addresses_and_type() {
    let bytes: Vec<u8> = (0..60).collect();
    let tagged = Spec {
        status: 1 | VLAN_VALID | VLAN_TPID_VALID,
        tci: 0x2064,
        tpid: 0x88A8,
        ..ETHERNET
    };
    let whole = packet(tagged, &bytes, 65_535);
    assert_eq!(whole.original_len, 64);
    assert_eq!(
        whole.data,
        [&bytes[..12], &[0x88, 0xA8, 0x20, 0x64], &bytes[12..]].concat()
    );
    assert_eq!(
        packet(tagged, &bytes, 14).data,
        whole.data[..14],
        "the snap length holds"
    );
    assert_eq!(
        packet(tagged, &bytes[..5], 5).data,
        bytes[..5],
        "too short to hold a tag"
    );
    let old = Spec {
        status: 1 | VLAN_VALID,
        ..tagged
    };
    assert_eq!(packet(old, &bytes, 65_535).data[12..14], [0x81, 0x00]);
}

#[test]
fn an_interface_without_ethernet_gives_raw_ip_or_a_cooked_header() {
    let bytes: Vec<u8> = (0..60).collect();
    let tun = Spec {
        hardware: 65_534,
        network: 0,
        ..ETHERNET
    };
    let raw = packet(tun, &bytes, 65_535);
    assert_eq!(
        (raw.linktype, raw.original_len, &raw.data[..]),
        (101, 60, &bytes[..])
    );
    // A GRE interface whose outer header stands before the packet.
    let gre = packet(
        Spec {
            hardware: 778,
            network: 24,
            ..ETHERNET
        },
        &bytes,
        65_535,
    );
    assert_eq!(
        (gre.linktype, gre.original_len, &gre.data[..]),
        (101, 36, &bytes[24..])
    );
    let other = Spec {
        hardware: 778,
        protocol: 0x88B5,
        network: 24,
        kind: 4,
        ..ETHERNET
    };
    let cooked = packet(other, &bytes, 65_535);
    assert_eq!((cooked.linktype, cooked.original_len), (276, 56));
    assert_eq!(
        cooked.data[..20],
        [0x88, 0xB5, 0, 0, 0, 0, 0, 7, 3, 10, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0]
    );
    assert_eq!(cooked.data[20..], bytes[24..]);
    assert_eq!(packet(other, &bytes, 8).data.len(), 8);
    let unknown = packet(
        Spec {
            hardware: 32,
            network: 200,
            ..ETHERNET
        },
        &bytes,
        65_535,
    );
    assert_eq!(
        (unknown.linktype, unknown.original_len, unknown.data.len()),
        (276, 20, 20),
        "cut before its header"
    );
}

#[test]
fn offsets_that_lie_end_the_block() {
    let good = block(&[(ETHERNET, &[1; 60]), (ETHERNET, &[2; 60])]);
    let with = |at: usize, bytes: &[u8]| {
        let mut block = good.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        let results: Vec<bool> = Frames::new(&block).map(|frame| frame.is_ok()).collect();
        results
    };
    assert_eq!(with(0, &[]), [true, true]);
    for first in [good.len() as u32 - 3, good.len() as u32, u32::MAX] {
        assert_eq!(with(16, &first.to_ne_bytes()), [false], "first frame");
    }
    assert_eq!(
        with(12, &u32::MAX.to_ne_bytes()),
        [true, false],
        "more frames announced than there are"
    );
    for next in [0, 1, 47] {
        assert_eq!(
            with(48, &u32::to_ne_bytes(next)),
            [false],
            "a step that leads nowhere"
        );
    }
    for next in [0x7FFF_FFFF, u32::MAX] {
        assert_eq!(
            with(48, &u32::to_ne_bytes(next)),
            [true, false],
            "a step out of the block"
        );
    }
    assert_eq!(with(48 + 12, &u32::MAX.to_ne_bytes()), [false], "kept length");
    assert_eq!(with(48 + 24, &u16::MAX.to_ne_bytes()), [false], "link offset");
    assert_eq!(
        with(48 + 26, &0u16.to_ne_bytes()),
        [true, true],
        "network before link"
    );
    assert_eq!(Frames::new(&[]).count(), 0);
    assert_eq!(Frames::new(&good[..14]).count(), 0);
}

#[test]
fn no_changed_byte_makes_it_panic_or_run_away() {
    let good = block(&[(ETHERNET, &[1; 60]), (ETHERNET, &[2; 60])]);
    for at in 0..good.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut block = good.clone();
            block[at] = value;
            let mut count = 0;
            for frame in Frames::new(&block).flatten() {
                let packet = frame.packet(0, "eth0".into(), 100);
                assert!(packet.data.len() <= 100);
                count += 1;
            }
            assert!(count <= 1 + good.len() / FRAME_HEADER);
        }
    }
    for end in 0..good.len() {
        let _ = Frames::new(&good[..end]).count();
    }
}
