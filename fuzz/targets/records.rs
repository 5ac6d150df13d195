//! Each record: header, end, manifest, ledger, index, order, open calls, state.
#![no_main]

use stillframe_format::event::OpenCall;
use stillframe_format::header::{End, Header, Manifest};
use stillframe_format::ledger::{Index, Ledger};
use stillframe_format::state::State;
use stillframe_format::time::Anchors;
use stillframe_format::{BootTime, cbor, order};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 8 {
        0 => {
            if let Ok(header) = Header::decode(bytes) {
                let anchors = Anchors::new(header.anchors);
                let realtime = anchors.realtime(header.started).unwrap_or(0);
                let _ = anchors.realtime(BootTime(u64::MAX));
                let _ = anchors.boottime(realtime);
            }
        }
        1 => drop(serde_json::from_slice::<End>(bytes)),
        2 => drop(serde_json::from_slice::<Manifest>(bytes)),
        3 => drop(cbor::decode_as::<Ledger>("t", bytes)),
        4 => drop(cbor::decode_as::<Index>("t", bytes)),
        5 => {
            if let Ok(runs) = order::decode("t", bytes) {
                assert_eq!(order::decode("t", &order::encode(&runs).unwrap()).unwrap(), runs);
            }
        }
        6 => drop(cbor::decode_as::<Vec<OpenCall>>("t", bytes)),
        _ => {
            if let Ok(state) = State::decode("t", bytes) {
                assert!(State::decode("t", &state.encode("t").unwrap()).unwrap() == state);
                for process in state.processes() {
                    state.descriptors(process.pid).count();
                }
                let _ = state.sockets();
            }
        }
    }
});
