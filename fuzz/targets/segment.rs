//! Segments of each stream: decoded, shown, folded, and for calls the same from columns.
#![no_main]

use stillframe_format::event::{Body, Event, Stream};
use stillframe_format::state::State;
use stillframe_format::stream::SyscallColumns;
use stillframe_format::table::Segment;
use stillframe_fuzz::{decode, stream};
use stillframe_replay::view::{Context, View};
use stillframe_replay::{escape, render};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((stream, members)) = stream(bytes) else {
        return;
    };
    let stored = decode(stream, &members);
    if stream == Stream::Syscall
        && let Ok(segment) = Segment::decode("t", &members[0].1)
    {
        let calls = SyscallColumns::new("t", &segment).ok();
        assert_eq!(calls.is_some(), stored.is_some());
        if let (Some(calls), Some(stored)) = (&calls, &stored) {
            // From the last to the first: no row may need the one before.
            for (row, stored) in stored.iter().enumerate().rev() {
                assert_eq!(calls.body(row).as_ref(), Some(&stored.body));
            }
        }
    }
    let context = Context::default();
    let mut state = State::default();
    for (num, stored) in (1..).zip(stored.unwrap_or_default().into_iter().take(2000)) {
        state.apply(num, stored.time, &stored.body);
        let event = Event {
            num,
            time: stored.time,
            late: stored.late,
            body: stored.body,
        };
        let view = View::new(&event, &context);
        let shown = render::line(&view) + &render::details(&view);
        let shown = escape::line(&shown);
        assert!(
            !shown.contains('\u{1b}'),
            "an escape sequence reaches the terminal"
        );
        let json = render::json_line(&view);
        assert!(
            serde_json::from_str::<serde_json::Value>(&json).is_ok_and(|value| value.is_object()),
            "{json}"
        );
        if let Body::Syscall(call) = &event.body {
            let _ = stillframe_replay::call::full_text(call);
        }
    }
    let bytes = state.encode("t").unwrap();
    assert!(State::decode("t", &bytes).is_ok_and(|again| again == state));
});
