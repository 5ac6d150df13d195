//! The Stillframe bundle: its bytes, its events, and the fold from events to state.
//!
//! This crate knows nothing of an operating system. It is what `capture` writes through and what `replay`
//! reads through; both depend on it and it depends on neither. Everything it reads is taken for hostile
//! input: lengths are checked before they are believed, and nothing here panics on bytes.
//!
//! The normative description of the format is `docs/format.md`.
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
