//! Block I/O as the files that blktrace(8) leaves: `PREFIX.DEV.blktrace.CPU`, for blkparse, btt, fio and others.
//!
//! Layout and numbers are those of include/uapi/linux/blktrace_api.h (v6.18): little endian, a `struct blk_io_trace` of
//! 48 bytes, then `pdu_len` bytes. blkparse opens CPU 0, 1, … until one is missing, so CPUs without events get an empty
//! file.

use super::Exported;
use crate::output::{OutputError, Partial};
use crate::scan;
use crate::timeline::{Damage, Timeline};
use crate::view::Context;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use stillframe_format::BootTime;
use stillframe_format::event::{Block, BlockAction, Body, Device, Stream};
use stillframe_format::reader::Streams;

/// `BLK_IO_TRACE_MAGIC | BLK_IO_TRACE_VERSION`.
const MAGIC: u32 = 0x6561_7400 | 7;
/// The largest number of a CPU (`NR_CPUS` of a kernel with `CONFIG_MAXSMP`, less one).
const CPU_MAX: u16 = 8191;
/// The most files that are written: more devices and CPUs than that are no host's.
const FILES_MAX: usize = 1 << 15;
/// How much of a file is held before it is written.
const HELD: usize = 64 << 10;

/// `enum blktrace_cat`.
mod category {
    pub(super) const READ: u32 = 1;
    pub(super) const WRITE: u32 = 1 << 1;
    pub(super) const FLUSH: u32 = 1 << 2;
    pub(super) const SYNC: u32 = 1 << 3;
    pub(super) const QUEUE: u32 = 1 << 4;
    pub(super) const ISSUE: u32 = 1 << 6;
    pub(super) const COMPLETE: u32 = 1 << 7;
    pub(super) const FS: u32 = 1 << 8;
    pub(super) const PC: u32 = 1 << 9;
    pub(super) const NOTIFY: u32 = 1 << 10;
    pub(super) const AHEAD: u32 = 1 << 11;
    pub(super) const META: u32 = 1 << 12;
    pub(super) const DISCARD: u32 = 1 << 13;
    pub(super) const FUA: u32 = 1 << 15;
}

/// Flags of a request (`enum req_flag_bits`, include/linux/blk_types.h, the same from v4.10 to v6.18) and the category
/// bit that each sets.
const FLAGS: [(u64, u32); 5] = [
    (1 << 11, category::SYNC),
    (1 << 12, category::META),
    (1 << 17, category::FUA),
    (1 << 18, category::FLUSH),
    (1 << 19, category::AHEAD),
];

/// `__BLK_TA_QUEUE`, `__BLK_TA_ISSUE`, `__BLK_TA_COMPLETE`.
fn action(block: &Block) -> (u32, u32) {
    match block.action {
        BlockAction::Queue => (1, category::QUEUE),
        BlockAction::Issue => (7, category::ISSUE),
        BlockAction::Complete => (8, category::COMPLETE),
    }
}

/// `action` of a record: what happened below, categories in the upper half.
fn code(block: &Block) -> u32 {
    let (what, mut bits) = action(block);
    bits |= match block.cmd_flags & 0xff {
        // REQ_OP_READ, then REQ_OP_FLUSH, then discards, then what drivers send.
        0 => category::READ | category::FS,
        2 => category::WRITE | category::FLUSH | category::FS,
        3 | 5 => category::WRITE | category::DISCARD | category::FS,
        34 => category::READ | category::PC,
        35 => category::WRITE | category::PC,
        operation if operation & 1 == 1 => category::WRITE | category::FS,
        _ => category::READ | category::FS,
    };
    for (flag, bit) in FLAGS {
        if block.cmd_flags & flag != 0 {
            bits |= bit;
        }
    }
    what | bits << 16
}

/// A record.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    sequence: u32,
    time: u64,
    sector: u64,
    bytes: u32,
    action: u32,
    pid: u32,
    device: u32,
    cpu: u32,
    error: u16,
}

impl Record {
    fn push(&self, out: &mut Vec<u8>, pdu: &[u8]) {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.sector.to_le_bytes());
        for word in [self.bytes, self.action, self.pid, self.device, self.cpu] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.error.to_le_bytes());
        out.extend_from_slice(&u16::try_from(pdu.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(pdu);
    }
}

/// A file that is being written.
struct Trace {
    partial: Partial,
    held: Vec<u8>,
    sequence: u32,
}

impl Trace {
    fn flush(&mut self) -> io::Result<()> {
        // Opened each time: devices times CPUs may be more than a process may hold open.
        self.partial.append()?.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

/// The files of an export.
struct Traces<'a> {
    prefix: &'a Path,
    force: bool,
    context: &'a Context,
    files: BTreeMap<(Device, u16), Trace>,
    /// The name that blkparse was told for a pid, by device.
    names: HashMap<(Device, u32), Vec<u8>>,
}

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub enum BlktraceError {
    /// A file can't be made.
    #[error(transparent)]
    Create(#[from] OutputError),
    /// A file can't be written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// Numbers that no host has.
    #[error("block I/O of {0}: more than blktrace's files can hold")]
    Limit(String),
}

/// Writes all block I/O, a file for each device and CPU, and names the files.
///
/// # Errors
/// [`BlktraceError`].
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    prefix: &Path,
    force: bool,
) -> Result<(Exported, Vec<PathBuf>), BlktraceError> {
    let mut exported = Exported::default();
    let mut traces = Traces {
        prefix,
        force,
        context,
        files: BTreeMap::new(),
        names: HashMap::new(),
    };
    // blkparse wants a file's records in the order of time. Late events come with the next slice, so that a slice's
    // worth of them is held back and sorted.
    let mut waiting: BTreeMap<(BootTime, u64), Block> = BTreeMap::new();
    let mut settled = BootTime(0);
    let streams: Streams = [Stream::Block].into_iter().collect();
    scan::slices(
        timeline.bundle_mut(),
        |info| streams.are_in(info),
        |bytes| bytes.open(streams)?.stored(Stream::Block),
        |info, stored| {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    exported.damages.push(Damage::new(info, &error));
                    return Ok(ControlFlow::Continue(()));
                }
            };
            for stored in stored {
                if let Body::Block(block) = stored.body {
                    exported.items += 1;
                    waiting.insert((stored.time, exported.items), block);
                }
            }
            let later = waiting.split_off(&(settled, 0));
            for ((time, _), block) in std::mem::replace(&mut waiting, later) {
                traces.put(time, &block)?;
            }
            settled = info.from;
            Ok::<_, BlktraceError>(ControlFlow::Continue(()))
        },
    )?;
    for ((time, _), block) in waiting {
        traces.put(time, &block)?;
    }
    let written = traces.finish()?;
    Ok((exported, written))
}

impl Traces<'_> {
    /// The name of a device in file names: the kernel's, or its numbers.
    fn name(&self, device: Device) -> String {
        let known = self.context.devices.get(&device).filter(|name| {
            !name.is_empty()
                && name.len() <= 32
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        });
        known
            .cloned()
            .unwrap_or_else(|| format!("{}-{}", device.major, device.minor))
    }

    fn path(&self, device: Device, cpu: u16) -> PathBuf {
        let mut path = self.prefix.as_os_str().to_owned();
        path.push(format!(".{}.blktrace.{cpu}", self.name(device)));
        PathBuf::from(path)
    }

    fn open(&mut self, device: Device, cpu: u16) -> Result<&mut Trace, BlktraceError> {
        let path = self.path(device, cpu);
        if !self.files.contains_key(&(device, cpu)) {
            if self.files.len() >= FILES_MAX || cpu > CPU_MAX {
                return Err(BlktraceError::Limit(format!("{device}, cpu {cpu}")));
            }
            let (partial, _) = Partial::create(&path, self.force)?;
            let trace = Trace {
                partial,
                held: Vec::new(),
                sequence: 0,
            };
            self.files.insert((device, cpu), trace);
        }
        self.files
            .get_mut(&(device, cpu))
            .ok_or_else(|| BlktraceError::Limit(device.to_string()))
    }

    fn put(&mut self, time: BootTime, block: &Block) -> Result<(), BlktraceError> {
        let context = self.context;
        // A thread's id, as the kernel's own blktrace has it.
        let pid = block.task.tid;
        let known = self.names.get(&(block.device, pid)) == Some(&block.task.comm);
        if !known {
            if self.names.len() >= 1 << 20 {
                self.names.clear();
            }
            self.names.insert((block.device, pid), block.task.comm.clone());
        }
        let trace = self.open(block.device, block.cpu)?;
        let mut record = Record {
            time: time.since(context.start),
            pid,
            // MKDEV of the kernel: 12 bits of major, 20 of minor (include/linux/kdev_t.h).
            device: block.device.major << 20 | block.device.minor & 0xf_ffff,
            cpu: u32::from(block.cpu),
            ..Record::default()
        };
        if trace.sequence == 0 {
            // __BLK_TN_TIMESTAMP: the wall clock at this record's time.
            let start = context.realtime(time).unwrap_or(0).max(0).unsigned_abs();
            let mut pdu = Vec::with_capacity(8);
            for word in [start / 1_000_000_000, start % 1_000_000_000] {
                pdu.extend_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
            }
            let notify = Record {
                pid: 0,
                device: 0,
                action: 1 | category::NOTIFY << 16,
                ..record
            };
            notify.push(&mut trace.held, &pdu);
        }
        if !known && !block.task.comm.is_empty() {
            // __BLK_TN_PROCESS: the name of a pid, 16 bytes with its NUL.
            let mut pdu = block.task.comm.clone();
            pdu.truncate(15);
            pdu.resize(16, 0);
            let notify = Record {
                device: 0,
                action: category::NOTIFY << 16,
                ..record
            };
            notify.push(&mut trace.held, &pdu);
        }
        trace.sequence = trace.sequence.wrapping_add(1);
        record.sequence = trace.sequence;
        record.sector = block.sector;
        record.bytes = block.bytes;
        record.action = code(block);
        record.error = u16::try_from(block.error.unsigned_abs()).unwrap_or(u16::MAX);
        record.push(&mut trace.held, &[]);
        if trace.held.len() >= HELD {
            trace.flush()?;
        }
        Ok(())
    }

    /// Fills the gaps among CPUs, writes what is held, and gives every file its name.
    fn finish(mut self) -> Result<Vec<PathBuf>, BlktraceError> {
        let mut last: BTreeMap<Device, u16> = BTreeMap::new();
        for (device, cpu) in self.files.keys() {
            last.insert(*device, *cpu);
        }
        for (device, last) in last {
            for cpu in 0..last {
                self.open(device, cpu)?;
            }
        }
        let mut written = Vec::with_capacity(self.files.len());
        for ((device, cpu), mut trace) in std::mem::take(&mut self.files) {
            trace.flush()?;
            trace.partial.finish()?;
            written.push(self.path(device, cpu));
        }
        Ok(written)
    }
}
