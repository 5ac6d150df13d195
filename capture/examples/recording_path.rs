//! The path of a call through user space, without a kernel: records as the ring holds them, decoded, put in order, folded
//! into the state, sealed and written to nowhere. For counting its instructions, which a busy machine does not change:
//!
//!     valgrind --tool=callgrind target/release/examples/recording_path dd record 200000
//!
//! The stages build on each other: `make` only makes the records, `decode` makes rows of them too, `record` all.
//! `cargo xtask bench --only instructions` makes a table of the differences.

use std::collections::BTreeMap;
use stillframe_capture::fuzzing;
use stillframe_capture::recorder::Recorder;
use stillframe_capture::source::Message;
use stillframe_format::BootTime;
use stillframe_format::header::{Format, Header, Tool};
use stillframe_format::state::State;
use stillframe_format::time::Anchor;
use stillframe_format::writer::Writer;

/// Calls that are decoded and handed over together, as the source does.
const BATCH: u64 = 16_384;
/// From a call to the next, in nanoseconds.
const GAP: u64 = 900;

/// A call: number, arguments, result, and what is copied of its buffer, which is argument 1.
struct Call {
    number: u32,
    args: [u64; 6],
    ret: i64,
    buffer: &'static [u8],
}

const READ: u32 = 0;
const WRITE: u32 = 1;
const EPOLL_WAIT: u32 = 232;

/// `dd bs=1`, or a server that answers small requests.
fn call(work: &str, index: u64) -> Call {
    let buffer = 0x7ffd_1000;
    if work == "dd" {
        return Call {
            number: if index.is_multiple_of(2) { READ } else { WRITE },
            args: [index % 2, buffer, 1, 0, 0, 0],
            ret: 1,
            buffer: &[0],
        };
    }
    let descriptor = 8 + index / 3 % 50;
    match index % 3 {
        0 => Call {
            number: EPOLL_WAIT,
            args: [5, buffer, 10_128, 100, 0, 0],
            ret: 1,
            buffer: b"",
        },
        1 => Call {
            number: READ,
            args: [descriptor, buffer, 16_384, 0, 0, 0],
            ret: 45,
            buffer: b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n",
        },
        _ => Call {
            number: WRITE,
            args: [descriptor, buffer, 5, 0, 0, 0],
            ret: 5,
            buffer: b"+OK\r\n",
        },
    }
}

/// The record of a call, as `struct sf_record` and `struct sf_capture` lie in capture/bpf/record.h, on a little-endian host.
fn record(call: &Call, index: u64) -> Vec<u8> {
    let padded = call.buffer.len().next_multiple_of(8);
    let data = if call.buffer.is_empty() { 0 } else { 16 + padded };
    let mut bytes = Vec::with_capacity(120 + data);
    // As irregular as clocks are: the low bits of a product that a finalizer has mixed (SplitMix64).
    let mut noise = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    noise = (noise ^ (noise >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let time = 1_000_000_000 + index * GAP + (noise >> 40) % (GAP / 4);
    bytes.extend([1, 0, 0, u8::from(data > 0), 0, 0, 0, 0]);
    bytes.extend(time.to_le_bytes());
    bytes.extend((time - 300 - (noise >> 20) % 100).to_le_bytes());
    for argument in call.args {
        bytes.extend(argument.to_le_bytes());
    }
    bytes.extend(call.ret.to_le_bytes());
    for word in [call.number, 1, 4000, 4000 + (index / 64 % 4) as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"worker\0\0\0\0\0\0\0\0\0\0");
    bytes.extend((data as u32).to_le_bytes());
    bytes.extend([0; 4]);
    if data > 0 {
        bytes.extend([1, 2, 1, 0]);
        bytes.extend((call.buffer.len() as u32).to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(call.buffer);
        bytes.resize(120 + data, 0);
    }
    bytes
}

fn recorder() -> anyhow::Result<Recorder<std::io::Sink>> {
    let anchor = Anchor {
        boottime: BootTime(0),
        realtime: 1_795_528_987_000_000_000,
        monotonic: 0,
        error: 50,
    };
    let header = Header {
        format: Format::default(),
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
        tool: Tool::default(),
        case: BTreeMap::new(),
        started: BootTime(0),
        anchors: vec![anchor],
        targets: Vec::new(),
        plan: serde_json::Value::Null,
        preflight: serde_json::Value::Null,
        host: serde_json::Value::Null,
    };
    let writer = Writer::begin(std::io::sink(), &header, 1)?;
    let mut recorder = Recorder::new(writer, BootTime(0), anchor, u64::MAX);
    recorder.begin(Vec::new(), State::default())?;
    Ok(recorder)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, stage, calls] = arguments.as_slice() else {
        anyhow::bail!("usage: recording_path dd|server make|decode|record CALLS");
    };
    let calls: u64 = calls.parse()?;
    let mut recorder = recorder()?;
    let mut sum = 0_usize;
    for first in (0..calls).step_by(usize::try_from(BATCH)?) {
        let records: Vec<Vec<u8>> = (first..calls.min(first + BATCH))
            .map(|index| record(&call(work, index), index))
            .collect();
        sum += records.iter().map(Vec::len).sum::<usize>();
        if stage == "make" {
            continue;
        }
        let batch = fuzzing::batch(records.iter().map(Vec::as_slice));
        anyhow::ensure!(batch.rows.len() == records.len(), "a record was refused");
        sum += batch.arena.len();
        if stage == "decode" {
            continue;
        }
        let now = batch.rows.last().map_or(0, |row| row.time);
        recorder.take(Message::Syscalls(batch));
        recorder.seal_due(BootTime(now), &mut Vec::new)?;
    }
    if stage == "record" {
        recorder.seal_rest(&[])?;
    }
    println!(
        "{calls} calls, {sum} bytes of records and arenas, {} bytes written",
        recorder.written()
    );
    Ok(())
}
