//! Every name, number and limit of the format, in one place (`docs/format.md`, "Layout" and "Limits").

/// The format's major version: a reader refuses any other.
pub const FORMAT_MAJOR: u32 = 1;
/// The format's minor version: a reader ignores what a newer minor adds.
pub const FORMAT_MINOR: u32 = 0;

/// The name that [`crate::header::Header::format`] must carry.
pub const FORMAT_NAME: &str = "stillframe-bundle";

/// First member of every bundle.
pub const HEADER: &str = "header.json";
/// What the bundle was made out of, in the first frame of one that is no recording as it was made.
pub const ORIGIN: &str = "origin.json";
/// A few lines for whoever unpacks a bundle without knowing what it is.
pub const README: &str = "readme.txt";
/// Ledger of the header and the snapshot at the start.
pub const START_LEDGER: &str = "start/ledger.cbor";
/// Ledger of the snapshot at the end and the end record.
pub const END_LEDGER: &str = "end/ledger.cbor";
/// The end record.
pub const END: &str = "end.json";
/// The index of slices.
pub const INDEX: &str = "index.cbor";
/// Every member with its size and SHA-256.
pub const MANIFEST: &str = "manifest.json";

/// The state before the first event, in a bundle that was cut out of another.
pub const START_STATE: &str = "start/state.cbor";

/// The feature of a bundle whose slices and events do not begin at 1, or jump: see [`crate::origin::Gap`].
pub const GAPS: &str = "gaps";
/// The feature of a bundle that may hold signals and OOM kills: changes 3 and 4 of stream `process`.
pub const SIGNALS: &str = "signals";
/// The feature of a bundle that may hold stream `uring`.
pub const URING: &str = "uring";
/// The features that this reader knows.
pub const FEATURES: [&str; 3] = [GAPS, SIGNALS, URING];

/// The first member of a slice's last frame.
pub const ORDER: &str = "order.cbor";
/// The last member of a slice.
pub const LEDGER: &str = "ledger.cbor";
/// Calls that had not returned.
pub const OPEN: &str = "open.cbor";
/// A checkpoint of the state before the slice's first event.
pub const STATE: &str = "state.cbor";

/// The name of a member of slice `number`.
#[must_use]
pub fn slice_member(number: u32, name: &str) -> String {
    format!("slice/{number:06}/{name}")
}

/// The largest content of a zstd frame, in bytes.
pub const FRAME_MAX: usize = 64 << 20;
/// The largest member, in bytes (its header and padding must fit the frame as well).
pub const MEMBER_MAX: usize = FRAME_MAX - 2 * TAR_BLOCK;
/// The largest zstd window a reader accepts, as a power of two.
pub const WINDOW_LOG_MAX: u32 = 23;
/// The most frames in a bundle: what the seek table can hold.
pub const FRAMES_MAX: usize = 0x0800_0000;
/// The most members in one frame.
pub const FRAME_MEMBERS_MAX: usize = 4096;
/// The most frames in one slice.
pub const SLICE_FRAMES_MAX: usize = 512;
/// The most bytes of one slice, compressed.
pub const SLICE_BYTES_MAX: u64 = 256 << 20;
/// The most bytes of one slice, decompressed.
pub const SLICE_CONTENT_MAX: usize = 512 << 20;
/// The most events of one slice.
pub const SLICE_EVENTS_MAX: u64 = 1 << 20;
/// The most bytes of `header.json` and of `end.json`.
pub const RECORD_MAX: usize = 8 << 20;
/// The most items in a CBOR member, those inside of others counted.
pub const CBOR_ITEMS_MAX: usize = 1 << 23;
/// The most bytes that the texts of a segment take, when each row has its own.
pub const TEXTS_MAX: usize = 64 << 20;
/// The most gaps of a bundle.
pub const GAPS_MAX: usize = 1 << 16;
/// The most rows of a table.
pub const ROWS_MAX: usize = 1 << 20;
/// The most events of one stream in one slice.
pub const STREAM_EVENTS_MAX: usize = 1 << 18;
/// The most columns of a table.
pub const COLUMNS_MAX: usize = 256;
/// The deepest nesting of a CBOR item.
pub const CBOR_DEPTH_MAX: usize = 32;
/// The most containers that a checkpoint holds, of which something is told and of which readings are.
pub const CONTAINERS_MAX: usize = 1024;
/// The most values of a reading that a checkpoint holds.
pub const READINGS_MAX: usize = 512;
/// The longest id, name or word of a container in a checkpoint, in bytes.
pub const CONTAINER_TEXT_MAX: usize = 256;
/// The longest member name, in bytes: the `name` field of a ustar header.
pub const NAME_MAX: usize = 100;
/// The unit of tar.
pub const TAR_BLOCK: usize = 512;
