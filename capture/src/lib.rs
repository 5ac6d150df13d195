//! Freezing what a container was doing into one bundle.
//!
//! The data flows one way: `plan` (what was typed, resolved) -> `preflight` (what the host can do) -> `source`s
//! (each on its own thread) -> `recorder` (one order, slices) -> `stillframe_format::writer` -> file or pipe.

pub mod attach;
pub mod cli;
pub mod clock;
pub mod command;
pub mod deadline;
pub mod engine;
pub mod exit;
pub mod follow;
#[doc(hidden)]
pub mod fuzzing;
pub mod inventory;
pub mod output;
pub mod plan;
pub mod preflight;
pub mod progress;
pub mod recorder;
pub mod run;
mod secrets;
pub mod session;
pub mod signals;
pub mod snaplen;
pub mod snapshot;
pub mod source;
pub mod sys;
pub mod target;
