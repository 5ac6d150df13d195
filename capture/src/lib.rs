//! Freezing what a container was doing into one bundle.
//!
//! The data flows one way: `plan` (what was typed, resolved) -> `preflight` (what the host can do) -> `source`s
//! (each on its own thread) -> `recorder` (one order, slices) -> `stillframe_format::writer` -> file or pipe.

pub mod clock;
pub mod deadline;
pub mod engine;
pub mod preflight;
pub mod recorder;
pub mod snapshot;
pub mod source;
pub mod sys;
pub mod target;
