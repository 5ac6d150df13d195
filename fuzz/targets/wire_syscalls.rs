//! What capture reads: see `stillframe_capture::fuzzing::syscalls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillframe_capture::fuzzing::syscalls(bytes));
