//! Slices that cannot be read: drawn like the holes that they are.

use super::mapped_time;
use crate::escape;
use crate::timeline::Damage;
use crate::view::Context;
use serde_json::json;

/// A hole in words: `--- hole: events 101 to 200 (slice 3) cannot be read: …`.
#[must_use]
pub fn damage(damage: &Damage, context: &Context) -> String {
    let text = format!(
        "--- hole: {} ({}) cannot be read: {}, between {} and {}",
        events(damage),
        slice(damage),
        damage.problem,
        mapped_time(damage.from, context),
        mapped_time(damage.to, context),
    );
    escape::line(&text).into_owned()
}

/// The same as a JSON object on one line. It has no `evt.num`: that is how it is told from events.
#[must_use]
pub fn damage_json(damage: &Damage) -> String {
    let object = json!({
        "evt.type": "damage",
        "damage.slice": damage.slice,
        "damage.first": damage.first,
        "damage.events": damage.events,
        "damage.problem": damage.problem,
    });
    escape::json(object.to_string())
}

fn events(damage: &Damage) -> String {
    match damage.events {
        0 => "no event".to_owned(),
        1 => format!("event {}", damage.first),
        more => format!(
            "events {} to {}",
            damage.first,
            damage.first.saturating_add(more - 1)
        ),
    }
}

fn slice(damage: &Damage) -> String {
    format!("slice {}", damage.slice)
}
