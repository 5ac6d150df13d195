//! What capture reads: see `stillframe_capture::fuzzing::logs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillframe_capture::fuzzing::logs(bytes));
