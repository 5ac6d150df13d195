//! Events as flat JSON objects: the keys are the field names of the filter language.

use crate::field;
use crate::view::View;
use serde_json::{Map, Value};

/// Everything that is known of an event. What is unknown is absent.
#[must_use]
pub fn object(view: &View<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    for field in field::all().filter(|field| field.json) {
        field.values(view, |name, value| value.put_json(&name, &mut object));
    }
    object
}

/// The event as one line of JSON without a line end, safe on a terminal.
#[must_use]
pub fn json_line(view: &View<'_>) -> String {
    crate::escape::json(Value::Object(object(view)).to_string())
}
