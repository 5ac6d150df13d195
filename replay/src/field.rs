//! The one table of fields: it gives filters their names, JSON its keys, and `replay fields` its help.
//!
//! Names are Falco's where Falco has one, Wireshark's for packets. What an event does not have, or what is not
//! known, is absent: no getter makes up a value.

mod block;
mod event;
mod packet;
mod process;
mod signal;
mod syscall;
mod text;
mod uring;

pub(crate) use block::{action as block_action, operation as block_operation};
pub(crate) use event::event_type;
pub(crate) use process::command_line;
pub(crate) use text::{log_stream, without_line_end};

use crate::value::{Kind, Value};
use crate::view::View;
use serde::Serialize;

/// What a field's name may carry behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Nothing.
    Plain,
    /// A number in brackets: `evt.arg[1]`.
    Index,
    /// A name in brackets: `journal.field[_PID]`.
    Key,
    /// The rest of the name: `metrics.cpu.usage_ns`.
    Rest,
}

/// What stood there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Nothing.
    None,
    /// See [`Shape::Index`].
    Index(u8),
    /// See [`Shape::Key`] and [`Shape::Rest`].
    Key(String),
}

/// A row of the table.
#[derive(Debug)]
pub struct Field {
    /// The name; of a [`Shape::Rest`] field the part up to and including its last dot.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// What may follow the name.
    pub shape: Shape,
    /// Whether it stands in the JSON of an event. Those that only say again what others say do not.
    pub json: bool,
    /// What it means, in one line.
    pub help: &'static str,
    get: for<'v> fn(&'v View<'_>, &Selector) -> Option<Value<'v>>,
    /// For JSON: the selectors that this event has; of plain fields not asked.
    each: fn(&View<'_>) -> Vec<Selector>,
}

/// A getter of a plain field.
type Get = for<'v> fn(&'v View<'_>, &Selector) -> Option<Value<'v>>;

const fn plain(name: &'static str, kind: Kind, help: &'static str, get: Get) -> Field {
    Field {
        name,
        kind,
        shape: Shape::Plain,
        json: true,
        help,
        get,
        each: |_| Vec::new(),
    }
}

/// A plain field that is left out of JSON.
const fn again(name: &'static str, kind: Kind, help: &'static str, get: Get) -> Field {
    Field {
        json: false,
        ..plain(name, kind, help, get)
    }
}

const fn shaped(
    name: &'static str,
    kind: Kind,
    shape: Shape,
    help: &'static str,
    get: Get,
    each: fn(&View<'_>) -> Vec<Selector>,
) -> Field {
    Field {
        name,
        kind,
        shape,
        json: true,
        help,
        get,
        each,
    }
}

/// All fields, grouped; JSON objects have their keys in this order.
pub fn all() -> impl Iterator<Item = &'static Field> {
    [
        event::FIELDS,
        process::FIELDS,
        signal::FIELDS,
        syscall::FIELDS,
        uring::FIELDS,
        block::FIELDS,
        packet::FIELDS,
        text::FIELDS,
    ]
    .into_iter()
    .flatten()
}

/// A field as it was named: which row, and what followed its name.
#[derive(Clone, Debug)]
pub struct FieldRef {
    /// The row.
    pub field: &'static Field,
    /// What followed the name.
    pub selector: Selector,
}

impl PartialEq for FieldRef {
    fn eq(&self, other: &Self) -> bool {
        self.field.name == other.field.name && self.selector == other.selector
    }
}

impl Eq for FieldRef {}

impl std::fmt::Display for FieldRef {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.field.name;
        match (&self.selector, self.field.shape) {
            (Selector::None, _) => out.write_str(name),
            (Selector::Index(index), _) => write!(out, "{name}[{index}]"),
            (Selector::Key(key), Shape::Rest) => write!(out, "{name}{key}"),
            (Selector::Key(key), _) => write!(out, "{name}[{key}]"),
        }
    }
}

/// Why a name is no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No row has the name.
    #[error("unknown field `{name}`{}", match .near { Some(near) => format!(" (did you mean `{near}`?)"), None => " (`replay fields` lists them)".to_owned() })]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The name that is nearest to it, if one is near.
        near: Option<&'static str>,
    },
    /// The row needs something behind its name, or takes nothing, or something else.
    #[error("field `{name}` {need}")]
    Selector {
        /// The field.
        name: &'static str,
        /// What it needs.
        need: &'static str,
    },
}

/// Finds a field by its name as it is written in filters: `evt.type`, `evt.arg[1]`, `metrics.cpu.usage_ns`.
///
/// # Errors
/// When no row has the name or what follows it does not fit.
pub fn find(name: &str) -> Result<FieldRef, FieldError> {
    let (base, bracket) = match name.split_once('[') {
        Some((base, rest)) => (base, Some(rest.strip_suffix(']').unwrap_or(rest))),
        None => (name, None),
    };
    if let Some(field) = all().find(|field| field.shape != Shape::Rest && field.name == base) {
        let selector = match (field.shape, bracket) {
            (Shape::Plain | Shape::Rest, None) => Ok(Selector::None),
            (Shape::Plain | Shape::Rest, Some(_)) => Err("takes no brackets"),
            (Shape::Index, Some(index)) => match index.parse() {
                Ok(index @ 0..=5) => Ok(Selector::Index(index)),
                _ => Err("takes a number from 0 to 5 in brackets"),
            },
            (Shape::Index, None) => Err("needs a number in brackets, such as [0]"),
            (Shape::Key, Some(key)) if !key.is_empty() => Ok(Selector::Key(key.to_owned())),
            (Shape::Key, _) => Err("needs a name in brackets"),
        };
        return match selector {
            Ok(selector) => Ok(FieldRef { field, selector }),
            Err(need) => Err(FieldError::Selector {
                name: field.name,
                need,
            }),
        };
    }
    let rest = all()
        .filter(|field| field.shape == Shape::Rest)
        .find_map(|field| Some((field, name.strip_prefix(field.name)?)))
        .filter(|(_, rest)| !rest.is_empty());
    if let Some((field, rest)) = rest {
        return Ok(FieldRef {
            field,
            selector: Selector::Key(rest.to_owned()),
        });
    }
    Err(FieldError::Unknown {
        name: name.to_owned(),
        near: nearest(base),
    })
}

/// The field whose name is nearest to what was typed, if it is near enough to be meant.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let tail = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let letters = |name: &str| {
        let mut letters = name.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    all()
        .map(|field| {
            // A wrong or missing group (`pid`, `fd.pid`) is as near as one wrong letter.
            let same_tail = tail(field.name) == tail(name) && !tail(name).is_empty();
            let distance = if same_tail { 1 } else { distance(field.name, name) };
            // Two letters exchanged is the commonest slip.
            (distance, letters(field.name) != letters(name), field.name)
        })
        .min()
        .filter(|(distance, _, found)| *distance <= 1 + found.len() / 5)
        .map(|(_, _, found)| found)
}

/// Levenshtein's distance between two short names.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(*cell + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl FieldRef {
    /// The type of its literals in filters: the unit of a counter is the end of its name.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.selector {
            Selector::Key(key) if self.field.kind == Kind::Number && key.ends_with("_bytes") => Kind::Size,
            Selector::Key(key) if self.field.kind == Kind::Number && key.ends_with("_ns") => Kind::Duration,
            _ => self.field.kind,
        }
    }

    /// The field's value in an event; `None` when the event has none or it is not known.
    pub fn get<'v>(&self, view: &'v View<'_>) -> Option<Value<'v>> {
        (self.field.get)(view, &self.selector)
    }
}

impl Field {
    /// Every value that an event has of the field, with the field's full name.
    pub fn values(&'static self, view: &View<'_>, mut take: impl FnMut(&str, &Value<'_>)) {
        if self.shape == Shape::Plain {
            // By far the most: nothing is made for them.
            if let Some(value) = (self.get)(view, &Selector::None) {
                take(self.name, &value);
            }
            return;
        }
        for selector in (self.each)(view) {
            let field = FieldRef {
                field: self,
                selector,
            };
            if let Some(value) = field.get(view) {
                take(&field.to_string(), &value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_have_help() {
        let mut seen = std::collections::BTreeSet::new();
        for field in all() {
            assert!(seen.insert(field.name), "{} stands twice", field.name);
            assert!(
                !field.help.is_empty() && !field.help.ends_with('.'),
                "{}",
                field.name
            );
            assert_eq!(
                field.shape == Shape::Rest,
                field.name.ends_with('.'),
                "{}",
                field.name
            );
        }
    }

    #[test]
    fn names_are_found_with_what_follows_them() {
        for name in [
            "evt.num",
            "evt.arg[5]",
            "journal.field[_PID]",
            "metrics.net.eth0.rx_bytes",
        ] {
            assert_eq!(find(name).unwrap().to_string(), name);
        }
        for name in [
            "evt.arg",
            "evt.arg[6]",
            "evt.arg[x]",
            "evt.num[1]",
            "journal.field[]",
            "metrics.",
        ] {
            assert!(find(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_counters_unit_is_the_end_of_its_name() {
        for (name, kind) in [
            ("metrics.memory.usage_bytes", Kind::Size),
            ("metrics.cpu.usage_ns", Kind::Duration),
            ("metrics.pids.current", Kind::Number),
            ("journal.field[x_bytes]", Kind::Text),
        ] {
            assert_eq!(find(name).unwrap().kind(), kind, "{name}");
        }
    }

    #[test]
    fn a_wrong_name_gets_a_hint() {
        let hint = |name| find(name).unwrap_err().to_string();
        assert_eq!(
            hint("evt.tpye"),
            "unknown field `evt.tpye` (did you mean `evt.type`?)"
        );
        assert_eq!(hint("tid"), "unknown field `tid` (did you mean `child.tid`?)");
        assert_eq!(
            hint("quite.different"),
            "unknown field `quite.different` (`replay fields` lists them)"
        );
    }

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
