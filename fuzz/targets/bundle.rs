//! Whole bundles, from bytes and from members: opened in both ways, read, verified.
#![no_main]

use std::io::Cursor;
use stillframe_format::reader::{Bundle, Streams};
use stillframe_format::state::{State, Until};
use stillframe_format::verify::verify;
use stillframe_fuzz::bundle;
use stillframe_replay::{info, open, state};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let made = if how % 2 == 0 {
        Some(rest.to_vec())
    } else {
        bundle(rest)
    };
    let Some(bytes) = made else { return };
    let _ = Bundle::open_by_walk(Cursor::new(&bytes));
    let mut proof = state::Proof::default();
    let _ = verify(Cursor::new(&bytes), |slice| proof.slice(slice));
    let Ok(mut bundle) = Bundle::open(Cursor::new(&bytes)) else {
        return;
    };
    let _ = info::text(&mut bundle, "t", &stillframe_replay::zone::Zone::default());
    let _ = info::json(&mut bundle);
    open::context(&mut bundle);
    let _ = open::lookback(&mut bundle);
    state::start(&mut bundle);
    for index in 0..bundle.slices().len() {
        let whole = bundle.slice(index);
        let part = bundle
            .slice_bytes(index)
            .and_then(|bytes| bytes.open(Streams::ALL));
        if let Ok(whole) = &whole {
            let part = part.as_ref().expect("a part is refused of a slice that is not");
            let mut one = State::default();
            whole
                .events
                .iter()
                .for_each(|event| one.apply(event.num, event.time, &event.body));
            let mut other = State::default();
            let last = other
                .apply_part(part, Until::End)
                .expect("columns are refused of what was decoded");
            assert_eq!(
                last.max(1),
                whole.events.last().map_or(1, |event| event.num).max(last.min(1))
            );
            assert!(one == other);
        }
    }
});
