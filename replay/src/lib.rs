//! Views of a bundle: its events in order, its state at a moment, filters, exports.
//!
//! The binary `replay` is a thin layer over this library. Nothing here needs Linux, root or an engine, and
//! everything read from a bundle is taken for hostile.
#![forbid(unsafe_code)]

pub mod call;
pub mod dns;
pub mod escape;
pub mod evidence;
pub mod exit;
pub mod export;
pub mod field;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod info;
pub mod journal;
pub mod log;
pub mod moment;
pub mod open;
pub mod output;
pub mod packet;
pub mod question;
pub mod render;
pub mod scan;
pub mod screen;
pub mod signal;
pub mod state;
pub mod timeline;
pub mod uring;
pub mod value;
pub mod view;
pub mod zone;
