//! zstd frames: their walk, and decompression in both ways.
#![no_main]

use stillframe_format::frame::{FRAME_HEADER_MAX, FrameWalk, decompress, peek};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let content = decompress(bytes);
    if let (Ok(content), Ok(start)) = (&content, peek(bytes, 512)) {
        assert!(content.starts_with(&start));
    }
    let Ok(mut walk) = FrameWalk::begin(&bytes[..bytes.len().min(FRAME_HEADER_MAX)]) else {
        assert!(content.is_err(), "a frame is decompressed that the walk refuses");
        return;
    };
    loop {
        let Some(header) = usize::try_from(walk.wanted())
            .ok()
            .and_then(|at| bytes.get(at..at + 3))
        else {
            break;
        };
        match walk.block([header[0], header[1], header[2]]) {
            Ok(None) => {}
            Ok(Some(len)) => {
                assert!(content.is_err() || len == bytes.len() as u64);
                break;
            }
            Err(_) => {
                assert!(content.is_err(), "a frame is decompressed that the walk refuses");
                break;
            }
        }
    }
});
