//! A packet socket's memory-mapped receive ring (`TPACKET_V3`), opened inside a network namespace.
//!
//! The ring is a row of blocks that the kernel fills with frames and hands over whole; what is in a block is for
//! `source::packets::decode` to read. Layout and protocol: Documentation/networking/packet_mmap.rst and
//! net/packet/af_packet.c.
#![expect(
    unsafe_code,
    reason = "socket options with kernel structures, mmap, and an ioctl that nix doesn't wrap"
)]

use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// How the ring is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingOptions {
    /// Bytes kept of a packet, at least 1.
    pub snaplen: u32,
    /// Bytes of kernel memory for the ring; rounded to whole blocks, at least two.
    pub ring_bytes: usize,
    /// After how many milliseconds the kernel hands over a block that is not full.
    pub retire_ms: u32,
}

/// What the kernel counted since the counters were read before (reading resets them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStatistics {
    /// Packets that passed the filter, the dropped ones included.
    pub packets: u64,
    /// Packets that found no room in the ring.
    pub drops: u64,
}

/// An interface of the namespace, as it was when the ring was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName {
    /// Its number.
    pub index: i32,
    /// Its name.
    pub name: String,
}

/// Why a ring could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The namespace could not be entered.
    #[error("cannot enter the network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// The packet socket was refused.
    #[error("cannot open a packet socket: {0}")]
    Socket(#[source] io::Error),
    /// The kernel refused a setting.
    #[error("cannot set {setting} of a packet socket: {cause}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There is no memory for the ring.
    #[error("cannot map a packet ring of {bytes} bytes: {cause}")]
    Map {
        /// Its size.
        bytes: usize,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The largest and the smallest block. A block holds at least one packet of 64 KiB. Many middle-sized blocks rather
/// than a few large ones: each block that is handed over half empty is gone until it was read, so sixteen blocks
/// at 20 ms would be full after a third of a second of waiting, whatever their size.
const BLOCK_SIZES: (usize, usize) = (128 << 10, 1 << 20);
const BLOCKS_WANTED: usize = 64;
/// Only used by the kernel to check the geometry.
const FRAME_SIZE: usize = 2048;

/// An open ring. Closing it (drop) frees the kernel's memory; until then it also keeps the namespace alive.
#[derive(Debug)]
pub struct PacketRing {
    map: Mapping,
    socket: OwnedFd,
    block_size: usize,
    block_count: usize,
    next: usize,
}

impl PacketRing {
    /// Opens a ring on every interface of the network namespace behind `namespace`, those that appear later
    /// included, and tells the interfaces that are there now. Packets are taken from this moment on.
    ///
    /// The caller's thread stays where it is: another one enters the namespace (`setns`, which needs
    /// `CAP_SYS_ADMIN`, and is left out when it would lead nowhere else).
    ///
    /// # Errors
    /// A [`RingError`]; `EPERM` in [`RingError::Namespace`] means that `CAP_SYS_ADMIN` is missing, in
    /// [`RingError::Socket`] that `CAP_NET_RAW` is.
    pub fn open(
        namespace: BorrowedFd<'_>,
        options: &RingOptions,
    ) -> Result<(Self, Vec<InterfaceName>), RingError> {
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || {
                    enter(namespace).map_err(RingError::Namespace)?;
                    let ring = Self::open_here(options)?;
                    Ok((ring, interfaces()))
                })
                .map_err(RingError::Namespace)?;
            inside.join().unwrap_or_else(|_| {
                Err(RingError::Namespace(io::Error::other(
                    "the thread that entered it ended",
                )))
            })
        })
    }

    fn open_here(options: &RingOptions) -> Result<Self, RingError> {
        // Protocol 0: nothing arrives before the filter and the ring are there.
        // SAFETY: no pointers; the result is checked before it is used.
        let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if raw < 0 {
            return Err(RingError::Socket(io::Error::last_os_error()));
        }
        // SAFETY: the kernel just made this descriptor and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set(
            &socket,
            "PACKET_VERSION",
            libc::SOL_PACKET,
            libc::PACKET_VERSION,
            &version,
        )?;
        attach_filter(&socket, options.snaplen.max(1))?;
        // Without it every tap reads the clock for itself when it gets the packet; with it the stack stamps a
        // packet once, as early as it can, and all taps (a tcpdump beside us too) show the same.
        set(
            &socket,
            "SO_TIMESTAMPNS",
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            &1i32,
        )?;

        let block_size = (options.ring_bytes / BLOCKS_WANTED)
            .checked_next_power_of_two()
            .unwrap_or(usize::MAX)
            .clamp(BLOCK_SIZES.0, BLOCK_SIZES.1);
        let block_count = (options.ring_bytes / block_size).max(2);
        let bytes = block_size.saturating_mul(block_count);
        let number = |value: usize| libc::c_uint::try_from(value).unwrap_or(libc::c_uint::MAX);
        let request = libc::tpacket_req3 {
            tp_block_size: number(block_size),
            tp_block_nr: number(block_count),
            tp_frame_size: number(FRAME_SIZE),
            tp_frame_nr: number(bytes / FRAME_SIZE),
            tp_retire_blk_tov: options.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(
            &socket,
            "PACKET_RX_RING",
            libc::SOL_PACKET,
            libc::PACKET_RX_RING,
            &request,
        )
        .map_err(|error| match error {
            RingError::Setting { cause, .. } if cause.raw_os_error() == Some(libc::ENOMEM) => {
                RingError::Map { bytes, cause }
            }
            other => other,
        })?;
        let map = Mapping::new(&socket, bytes).map_err(|cause| RingError::Map { bytes, cause })?;
        bind_all(&socket)?;
        Ok(Self {
            map,
            socket,
            block_size,
            block_count,
            next: 0,
        })
    }

    /// The next block that the kernel has handed over, if there is one. It goes back when the guard is dropped.
    pub fn next_block(&mut self) -> Option<RingBlock<'_>> {
        let start = self.next * self.block_size;
        let status = self.map.status(start)?;
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.next = (self.next + 1) % self.block_count;
        Some(RingBlock {
            bytes: self.map.bytes(start, self.block_size)?,
            status,
            socket: self.socket.as_fd(),
        })
    }

    /// What the kernel counted since the last call.
    ///
    /// # Errors
    /// What `getsockopt` says; on an open ring nothing is known that would make it fail.
    pub fn statistics(&self) -> io::Result<RingStatistics> {
        let mut stats = libc::tpacket_stats_v3 {
            tp_packets: 0,
            tp_drops: 0,
            tp_freeze_q_cnt: 0,
        };
        let mut length = socklen::<libc::tpacket_stats_v3>();
        // SAFETY: `stats` and `length` live through the call and `length` is the size of `stats`.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut length,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(RingStatistics {
            packets: stats.tp_packets.into(),
            drops: stats.tp_drops.into(),
        })
    }

    /// The present name of an interface of the ring's namespace, whichever namespace the caller is in. Bytes that
    /// are not UTF-8 are replaced.
    ///
    /// # Errors
    /// `ENODEV` when the interface is gone.
    pub fn interface_name(&self, index: i32) -> io::Result<String> {
        interface_name(self.socket.as_fd(), index)
    }

    /// Takes the error that the socket holds, such as `ENETDOWN`, so that `poll` can wait again.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        let mut error: libc::c_int = 0;
        let mut length = socklen::<libc::c_int>();
        // SAFETY: `error` and `length` live through the call and `length` is the size of `error`.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut error).cast(),
                &raw mut length,
            )
        };
        match (result, error) {
            (0, 0) => None,
            (0, error) => Some(io::Error::from_raw_os_error(error)),
            _ => Some(io::Error::last_os_error()),
        }
    }

    /// Bytes of kernel memory that the ring takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.block_size * self.block_count
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A block in the hands of the reader.
#[derive(Debug)]
pub struct RingBlock<'a> {
    bytes: &'a [u8],
    status: &'a AtomicU32,
    socket: BorrowedFd<'a>,
}

impl RingBlock<'_> {
    /// The block, from its `struct tpacket_block_desc` on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// As [`PacketRing::interface_name`], while the block is held.
    ///
    /// # Errors
    /// `ENODEV` when the interface is gone.
    pub fn interface_name(&self, index: i32) -> io::Result<String> {
        interface_name(self.socket, index)
    }
}

impl Drop for RingBlock<'_> {
    fn drop(&mut self) {
        self.status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

/// The shared memory of a ring.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(socket: &OwnedFd, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses; the result is checked.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// The word by which a block changes hands: `block_status`, after version and private offset.
    fn status(&self, block: usize) -> Option<&AtomicU32> {
        let at = block.checked_add(8)?;
        if at.checked_add(4)? > self.length {
            return None;
        }
        // SAFETY: inside the mapping, which lives as long as `self`; blocks start on pages, so the word is
        // aligned; both sides touch it atomically only.
        Some(unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) })
    }

    /// The bytes of a block, after its status was seen to be the reader's.
    fn bytes(&self, start: usize, length: usize) -> Option<&[u8]> {
        if start.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: inside the mapping, which lives as long as `self`. The kernel doesn't write to a block that is
        // the reader's (prb_dispatch_next_block waits for TP_STATUS_KERNEL), and the status word goes back only
        // when the guard that holds this slice is dropped.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(start), length) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Moves this thread into a network namespace, unless it is there.
fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    let there = File::from(namespace.try_clone_to_owned()?).metadata()?;
    let here = std::fs::metadata("/proc/thread-self/ns/net")?;
    if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
        return Ok(());
    }
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

fn interface_name(socket: BorrowedFd<'_>, index: i32) -> io::Result<String> {
    // SAFETY: `ifreq` is plain numbers, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index;
    // The ioctl looks in the namespace of the socket (net/core/dev_ioctl.c, dev_ifname).
    // SAFETY: SIOCGIFNAME reads and writes one `ifreq`, which lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFNAME as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = request.ifr_name.map(libc::c_char::cast_unsigned);
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// The interfaces of this thread's namespace; none when they can't be listed, since they are asked for later too.
fn interfaces() -> Vec<InterfaceName> {
    let Ok(list) = nix::net::if_::if_nameindex() else {
        return Vec::new();
    };
    let named = list.iter().filter_map(|interface| {
        let index = i32::try_from(interface.index()).ok()?;
        Some(InterfaceName {
            index,
            name: interface.name().to_string_lossy().into_owned(),
        })
    });
    named.collect()
}

/// Keeps `snaplen` bytes of each packet, and of the two sightings of a packet on a loopback interface only the
/// arrival. In the kernel, so that the other one takes no room and is not counted as lost.
fn attach_filter(socket: &OwnedFd, snaplen: u32) -> Result<(), RingError> {
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let extra = |which: libc::c_int| (libc::SKF_AD_OFF + which).cast_unsigned();
    let mut program = [
        instruction(LOAD_HALF, 0, 0, extra(libc::SKF_AD_HATYPE)),
        instruction(JUMP_EQUAL, 0, 3, u32::from(libc::ARPHRD_LOOPBACK)),
        instruction(LOAD_HALF, 0, 0, extra(libc::SKF_AD_PKTTYPE)),
        instruction(JUMP_EQUAL, 0, 1, u32::from(libc::PACKET_OUTGOING)),
        instruction(RETURN, 0, 0, 0),
        instruction(RETURN, 0, 0, snaplen),
    ];
    let filter = libc::sock_fprog {
        len: 6,
        filter: program.as_mut_ptr(),
    };
    set(
        socket,
        "SO_ATTACH_FILTER",
        libc::SOL_SOCKET,
        libc::SO_ATTACH_FILTER,
        &filter,
    )
}

/// Starts reception of every protocol on every interface.
fn bind_all(socket: &OwnedFd) -> Result<(), RingError> {
    // SAFETY: `sockaddr_ll` is plain numbers, for which all zeros is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: `address` lives through the call and the length is its size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    };
    if result < 0 {
        return Err(RingError::Setting {
            setting: "the address",
            cause: io::Error::last_os_error(),
        });
    }
    Ok(())
}

/// Sets an option to a kernel structure. `T` has to be the one that the option takes.
fn set<T>(
    socket: &OwnedFd,
    setting: &'static str,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> Result<(), RingError> {
    // SAFETY: `value` lives through the call and the length is its size; the kernel copies it and checks it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            socklen::<T>(),
        )
    };
    if result < 0 {
        return Err(RingError::Setting {
            setting,
            cause: io::Error::last_os_error(),
        });
    }
    Ok(())
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}
