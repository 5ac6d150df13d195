//! The seek table at the end of a file.
#![no_main]

use stillframe_format::seek_table;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((len, bytes)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let file_len = u64::from_le_bytes(*len);
    if let Some(footer) = bytes.last_chunk::<{ seek_table::FOOTER_LEN }>() {
        let _ = seek_table::frame_len(footer, file_len);
    }
    for len in [file_len, bytes.len() as u64] {
        if let Ok(places) = seek_table::decode(bytes, len) {
            assert_eq!(seek_table::encode(&places).unwrap(), bytes);
        }
    }
});
