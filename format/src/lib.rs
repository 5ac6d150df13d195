//! The Stillframe bundle: its bytes, its events, and the fold from events to state.
//!
//! This crate knows nothing of an operating system. It is what `capture` writes through and what `replay`
//! reads through; both depend on it and it depends on neither. Everything it reads is taken for hostile
//! input: lengths are checked before they are believed, and nothing here panics on bytes.
//!
//! The normative description of the format is `docs/format.md`.
//!
//! # Writing a bundle
//!
//! A [`writer::Writer`] only appends. Events are gathered in a [`slice::SliceContent`], which is sorted once and sealed.
//!
//! ```
//! use stillframe_format::event::{Body, Draft, KernelMessage};
//! use stillframe_format::header::{End, Format, Header, Tool};
//! use stillframe_format::slice::{SliceContent, runs, seal};
//! use stillframe_format::stream::Names;
//! use stillframe_format::time::Anchor;
//! use stillframe_format::writer::Writer;
//! use stillframe_format::BootTime;
//!
//! # fn write() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//! let started = BootTime(1_000);
//! let header = Header {
//!     format: Format::default(),
//!     id: "6e2c25a8-0000-4000-8000-000000000000".to_owned(),
//!     tool: Tool { name: "example".to_owned(), ..Tool::default() },
//!     case: Default::default(),
//!     started,
//!     anchors: vec![Anchor { boottime: started, realtime: 1_795_528_987_000_000_000, monotonic: 1_000, error: 20 }],
//!     targets: Vec::new(),
//!     plan: Default::default(),
//!     preflight: Default::default(),
//!     host: Default::default(),
//! };
//! let mut writer = Writer::begin(Vec::new(), &header, 3)?;
//! writer.start(Vec::new(), started)?;
//!
//! let message = |time, text: &str| Draft {
//!     time: BootTime(time),
//!     cpu: 0,
//!     body: Body::Kernel(KernelMessage { record: format!("6,1,{time},-;{text}\n").into_bytes() }),
//! };
//! let mut content = SliceContent {
//!     drafts: vec![message(1_500, "second"), message(1_200, "first")],
//!     from: started,
//!     to: BootTime(2_000),
//!     ..SliceContent::default()
//! };
//! content.sort();
//! let order = runs(&content);
//! writer.slice(seal(writer.next_slice(), &content, &order, &Names::default(), None)?)?;
//!
//! let end = End { reason: "duration".to_owned(), stopped: BootTime(2_000), ..End::default() };
//! let bytes = writer.finish(Vec::new(), end)?;
//! # Ok(bytes)
//! # }
//! # let mut bundle = stillframe_format::reader::Bundle::open(std::io::Cursor::new(write().unwrap())).unwrap();
//! # assert_eq!(bundle.slice(0).unwrap().events.len(), 2);
//! ```
//!
//! # Reading one
//!
//! [`reader::Bundle`] takes anything that can be read and sought. A cut or damaged bundle opens as well:
//! [`reader::Bundle::condition`] says how far it is good, and each slice is checked when it is read.
//!
//! ```
//! use std::io::Cursor;
//! use stillframe_format::event::Body;
//! use stillframe_format::reader::Bundle;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = Cursor::new(include_bytes!("../testdata/good/1.0/streams.capture.tar.zst"));
//! let mut bundle = Bundle::open(file)?;
//! assert!(bundle.condition().is_complete());
//!
//! let mut failed = 0;
//! for index in 0..bundle.slices().len() {
//!     for event in bundle.slice(index)?.events {
//!         if let Body::Syscall(call) = &event.body {
//!             failed += u32::from(call.ret.errno().is_some());
//!         }
//!     }
//! }
//! assert_eq!(failed, 2);
//!
//! // Times are nanoseconds since the host booted; the anchors tell what the wall clock showed.
//! assert!(bundle.anchors().realtime(bundle.header().started).is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Checking one
//!
//! [`verify::verify`] reads every byte. [`salvage::salvage`] makes a sound bundle of what is whole in a damaged one,
//! [`mod@cut`] a smaller one of a part, and [`digest::EventDigest`] one hash of all events.
//!
//! ```
//! use std::io::Cursor;
//! use stillframe_format::salvage::salvage;
//! use stillframe_format::header::Tool;
//! use stillframe_format::verify::verify;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let damaged = Cursor::new(include_bytes!("../testdata/bad/flipped-byte.capture.tar.zst"));
//! assert!(!verify(damaged.clone(), |_| None)?.findings.is_empty());
//!
//! let (saved, report) = salvage(damaged, &Tool::default(), Vec::new())?;
//! assert_eq!((report.slices, report.gaps.len()), (2, 1));
//! assert!(verify(Cursor::new(saved), |_| None)?.findings.is_empty());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod abi;
pub mod batch;
pub mod captured;
pub mod cbor;
pub mod column;
pub mod cut;
pub mod digest;
pub mod entry;
pub mod error;
pub mod event;
pub mod frame;
pub mod header;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod order;
pub mod origin;
pub mod pcapng;
pub mod reader;
pub mod salvage;
pub mod seek_table;
pub mod slice;
pub mod snapshot;
pub mod state;
pub mod stream;
pub mod table;
pub mod time;
pub mod verify;
pub mod writer;

pub use captured::Captured;
pub use event::{Body, Draft, Event, Stream};
pub use time::BootTime;
