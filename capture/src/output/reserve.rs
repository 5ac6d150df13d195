//! Room on the disk that nobody else can take: enough for the end of the bundle, behind what has been written.
//!
//! A recording that fills its disk (or whose disk others fill) has to be able to say so in the bundle: losses,
//! end record, index, manifest. So every write asks first for its own room and for that of the end, as blocks
//! behind the end of the file (`FALLOC_FL_KEEP_SIZE`; ext4, XFS, Btrfs and tmpfs have it); it fails while the end
//! still fits. Blocks that are left over go when the file gets its length at the end. A killed capture leaves them
//! with its partial file, and they go when that is removed or truncated.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::resource::{Resource, getrlimit};
use std::fs::File;
use std::io;

/// What the end of a bundle takes without its manifest.
const END: u64 = 256 << 10;
/// What the manifest and the index take of a frame, with all members in it.
const PER_FRAME: u64 = 1 << 10;
/// Room is asked for in steps of this, while there is enough of it.
const STEP: u64 = 4 << 20;

/// The room of one file.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    /// The file has blocks up to here.
    until: u64,
    frames: u64,
    /// Nothing is asked for: the end is being written, or the file system can't.
    is_off: bool,
}

impl Reserve {
    /// Makes room for `len` bytes at `at` and for the end behind them.
    ///
    /// # Errors
    /// The disk, the quota or the largest file size is used up.
    pub(super) fn before(&mut self, file: &File, at: u64, len: u64) -> io::Result<()> {
        if self.is_off {
            return Ok(());
        }
        self.frames += 1;
        let end = at
            .saturating_add(len)
            .saturating_add(END)
            .saturating_add(self.frames.saturating_mul(PER_FRAME));
        // Blocks may lie beyond the largest size (fs/ext4/extents.c, Linux 6.18): the kernel looks at it on write.
        if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| end > soft) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if end <= self.until {
            return Ok(());
        }
        let ahead = end.saturating_add(STEP);
        match allocate(file, at, ahead)
            .map(|()| ahead)
            .or_else(|errno| match errno {
                Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG => allocate(file, at, end).map(|()| end),
                other => Err(other),
            }) {
            Ok(until) => self.until = until,
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => return Err(errno.into()),
            // This file system keeps no room (network ones, FUSE): the write itself tells whether there is any.
            Err(_) => self.is_off = true,
        }
        Ok(())
    }

    /// The end comes: it may have the room.
    pub(super) fn give_up(&mut self) {
        self.is_off = true;
    }
}

fn allocate(file: &File, from: u64, until: u64) -> nix::Result<()> {
    let offset = i64::try_from(from).map_err(|_| Errno::EFBIG)?;
    let len = i64::try_from(until.saturating_sub(from)).map_err(|_| Errno::EFBIG)?;
    loop {
        match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, len) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}
