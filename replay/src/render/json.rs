//! Events as flat JSON objects: the keys are the field names of the filter language.

use crate::field;
use crate::view::View;
use serde_json::{Map, Value};

/// Everything that is known of an event. What is unknown is absent.
#[must_use]
pub fn object(view: &View<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    for field in field::all().filter(|field| field.json) {
        field.values(view, |name, value| value.put_json(name, &mut object));
    }
    object
}

/// The event as one line of JSON without a line end, safe on a terminal: the text of [`object`].
#[must_use]
pub fn json_line(view: &View<'_>) -> String {
    let mut out = String::with_capacity(1024);
    out.push('{');
    for field in field::all().filter(|field| field.json) {
        field.values(view, |name, value| {
            if out.len() > 1 {
                out.push(',');
            }
            value.push_json(name, &mut out);
        });
    }
    out.push('}');
    crate::escape::json(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_line_is_the_objects_text() {
        let context = fixture::context();
        for event in fixture::events() {
            let view = View::new(&event, &context);
            let text = crate::escape::json(Value::Object(object(&view)).to_string());
            assert_eq!(json_line(&view), text);
        }
    }
}
