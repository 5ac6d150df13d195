//! Journal Export Format: fields of an entry, and a stream cut anywhere.
#![no_main]

use stillframe_format::journal::{Split, Splitter, field, fields};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = fields(bytes);
    let _ = field(bytes, "MESSAGE");
    stillframe_replay::journal::fields(bytes).count();
    let split = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut splitter = Splitter::new(256);
        let mut found = Vec::new();
        for piece in pieces {
            splitter.push(piece, |split| {
                found.push(match split {
                    Split::Entry(entry) => (entry, 0),
                    Split::TooLong(entry, len) => (entry, len),
                });
            });
        }
        found
    };
    let whole = split(&mut [bytes].into_iter());
    assert_eq!(split(&mut bytes.chunks(1)), whole);
    assert_eq!(split(&mut bytes.chunks(7)), whole);
});
