//! An event for a reader: one line, a JSON object, or everything that is known of it.
//!
//! What comes out of here is text for people; whoever prints it passes it through [`crate::escape`] once more.

mod damage;
mod details;
mod json;
mod line;

pub use damage::{damage, damage_json};
pub use details::details;
pub use json::{json_line, object};
pub use line::{hole, line, mapped_time, summary};
