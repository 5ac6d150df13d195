//! Tar entries: what is read is what would be written.
#![no_main]

use stillframe_format::entry::{END_OF_ARCHIVE, Member, members};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = members(bytes) {
        let mut again = Vec::new();
        for member in found {
            Member::new(member.name, member.content.to_vec())
                .unwrap()
                .append_to(&mut again)
                .unwrap();
        }
        assert!(bytes == again || bytes == [&again[..], &END_OF_ARCHIVE].concat());
    }
});
