//! The kernel interfaces that need `unsafe`: the only such place. Everything above it is safe code.

pub mod heap;
pub mod packet_ring;
pub mod trace;
