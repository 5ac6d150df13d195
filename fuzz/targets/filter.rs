//! Filters and moments: what is parsed and printed is parsed to the same.
#![no_main]

use stillframe_format::event::Stream;
use stillframe_replay::filter::Filter;
use stillframe_replay::moment::Moment;
use stillframe_replay::view::Context;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            assert_eq!(Filter::parse(&printed).expect("a printed filter is none"), filter);
            assert_eq!(Filter::parse(&printed).unwrap().to_string(), printed);
            for stream in Stream::ALL {
                let _ = filter.may_match(stream);
            }
        }
        Err(error) => drop(error.pointer(text)),
    }
    if let Ok(moment) = text.parse::<Moment>() {
        let _ = moment.resolve(&Context::default());
    }
});
