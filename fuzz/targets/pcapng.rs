//! pcapng sections: heads, and packets behind them.
#![no_main]

use stillframe_format::pcapng::{read_head, read_packet};
use stillframe_replay::packet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let (head, rest) = bytes.split_at(usize::from(u16::from_le_bytes(*cut)).min(bytes.len()));
    if let Ok(section) = read_head(head)
        && let Ok(packet) = read_packet(&section, rest)
    {
        let headers = packet::headers(&packet);
        let _ = packet::summary(&packet, headers.as_ref());
    }
});
