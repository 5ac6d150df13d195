//! Makes the seeds out of a bundle: `cargo run --bin seeds -- BUNDLE` in `fuzz/`.
//!
//! A small one serves best: `cargo xtask synth --size 60KiB --rate 300 -o BUNDLE`.

use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use stillframe_format::event::{Body, Stream};
use stillframe_format::reader::{Bundle, Streams};
use stillframe_format::stream::segment_name;
use stillframe_format::{entry, layout};
use stillframe_fuzz::push_piece;

fn put(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}

fn pieces16<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&u16::try_from(piece.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give a bundle")?;
    let bytes = fs::read(path)?;
    let mut bundle = Bundle::open(Cursor::new(&bytes))?;
    put("bundle", "bytes", &[&[0], &bytes[..]].concat())?;
    let places = bundle.frames().to_vec();
    let end = places.last().map_or(0, |place| place.offset + place.len);
    let table = &bytes[usize::try_from(end)?..];
    put(
        "seek_table",
        "table",
        &[&(bytes.len() as u64).to_le_bytes(), table].concat(),
    )?;

    let mut made = vec![1];
    for (at, place) in places.iter().enumerate() {
        let start = usize::try_from(place.offset)?;
        let frame = &bytes[start..start + usize::try_from(place.len)?];
        let content = bundle.frame_content(*place)?;
        if frame.len() < 4000 && at % 3 == 0 {
            put("frame", &format!("{at:02}"), frame)?;
            put("members", &format!("{at:02}"), &content)?;
        }
        for member in entry::members(&content)? {
            push_piece(&mut made, member.name.as_bytes());
            push_piece(&mut made, member.content);
            let kind = match member.name.rsplit('/').next() {
                Some(layout::HEADER) => 0,
                Some(layout::END) => 1,
                Some(layout::MANIFEST) => 2,
                Some(layout::LEDGER) => 3,
                Some(layout::INDEX) => 4,
                Some(layout::ORDER) => 5,
                Some(layout::OPEN) => 6,
                Some(layout::STATE) => 7,
                _ => continue,
            };
            put("records", &format!("{kind}"), &[&[kind], member.content].concat())?;
        }
        if at + 1 < places.len() {
            push_piece(&mut made, b"");
        }
    }
    put("bundle", "members", &made)?;

    for index in 0..bundle.slices().len() {
        let part = bundle.slice_bytes(index)?.open(Streams::ALL)?;
        for stream in Stream::ALL {
            let Some(segment) = part.member(&segment_name(stream))? else {
                continue;
            };
            let mut seed = vec![stream as u8];
            push_piece(&mut seed, segment);
            for raw in [
                "journal.export",
                "kernel.txt",
                "engine.jsonl",
                "packets.0.pcapng",
                "packets.1.pcapng",
                "packets.2.pcapng",
            ] {
                let belongs = match stream {
                    Stream::Journal => raw.starts_with("journal"),
                    Stream::Kernel => raw.starts_with("kernel"),
                    Stream::Engine => raw.starts_with("engine"),
                    Stream::Packet => raw.starts_with("packets"),
                    _ => false,
                };
                if belongs && let Some(content) = part.member(raw)? {
                    push_piece(&mut seed, raw.as_bytes());
                    push_piece(&mut seed, content);
                    if raw == "journal.export" {
                        put("journal", "export", content)?;
                        put("wire_journal", "export", content)?;
                    }
                    if raw == "kernel.txt" {
                        put("wire_kernel", "record", content)?;
                    }
                    if let Some(packet) = content.get(..2000).filter(|_| raw.ends_with("pcapng")) {
                        put("pcapng", "section", &[&200u16.to_le_bytes(), packet].concat())?;
                    }
                }
            }
            put("segment", stream.name(), &seed)?;
        }
        for event in bundle.slice(index)?.events {
            if let Body::Log(line) = event.body {
                let len = u32::try_from(line.bytes.len())?.to_be_bytes();
                let stamp = b"2026-11-24T14:03:07.000000001Z ";
                put(
                    "wire_logs",
                    "frame",
                    &[&[1, 0, 0, 0], &len[..], stamp, &line.bytes].concat(),
                )?;
            }
        }
    }
    // Records of the rings are no part of a bundle: lengths and kinds are right, everything else is zero.
    let call: Vec<Vec<u8>> = (1..=5u8)
        .map(|kind| {
            let mut record = vec![0; 120 + 16 + 8];
            record[0] = kind;
            record[3] = 1;
            record[112] = 8;
            record[120 + 4] = 8;
            record
        })
        .collect();
    put(
        "wire_syscalls",
        "records",
        &pieces16(call.iter().map(Vec::as_slice)),
    )?;
    for len in [96, 104, 112, 120, 128] {
        put(
            "wire_block",
            &format!("{len}"),
            &pieces16([&vec![1; len][..], &vec![0; len]].into_iter()),
        )?;
    }
    let mut ring = vec![0u8; 48 + 2 * 160];
    ring[12] = 2;
    ring[16] = 48;
    for at in [48, 208] {
        ring[at] = 160;
        ring[at + 12] = 60;
        ring[at + 16] = 60;
        ring[at + 24] = 96;
        ring[at + 26] = 96;
    }
    put("wire_packets", "block", &ring)?;
    for (at, text) in [
        "evt.type=openat and evt.failed=true",
        "fd.name contains \"/data\" || !(proc.name in (nginx, \"redis server\"))",
        "tcp.port == 80 && ip.addr=10.0.0.0/8 or metrics.cpu.usage_ns>=1.5e3",
        "evt.arg[1] glob '/etc/*.c[!a-c]nf' and evt.latency>10ms and pkt.len<4KiB",
        "2026-11-24T14:03:07.25Z",
        "-200ms",
        "40%",
        "#17",
        "@1795528987.5",
    ]
    .iter()
    .enumerate()
    {
        put("filter", &format!("{at}"), text.as_bytes())?;
    }
    Ok(())
}
