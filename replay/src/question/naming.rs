//! Names whose DNS answer changed during the recording: what a refused connection after a deployment comes from.

use super::columns::{Columns, Side};
use super::kept;
use crate::dns::{self, Data, Message};
use crate::view::View;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most names that are followed.
const NAMES_MAX: usize = 4096;
/// The longest answer that is shown, in addresses.
const SHOWN: usize = 8;

/// What a name's answer was first, and how often it changed.
#[derive(Debug)]
struct Name {
    answer: String,
    change: Option<NameChange>,
}

/// The changes of one name's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The name.
    pub name: String,
    /// The type that was asked for: A, AAAA.
    pub kind: String,
    /// What was answered before the first change.
    pub from: String,
    /// What was answered then.
    pub to: String,
    /// How often the answer changed. A name of many addresses may be answered with others each time.
    pub count: u64,
    /// The first answer that was another.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl NameChange {
    /// In one line, for a headline.
    pub(super) fn headline(&self) -> String {
        let times = match self.count {
            1 => format!("#{}", self.first),
            count => format!("{count} changes, #{} to #{}", self.first, self.last),
        };
        format!(
            "the DNS answer for {} ({}) changed from {} to {} ({times})",
            self.name, self.kind, self.from, self.to
        )
    }
}

/// Answers to questions for addresses.
#[derive(Debug, Default)]
pub struct Naming {
    names: BTreeMap<(String, u16), Name>,
}

impl Naming {
    /// Takes an event.
    pub fn take(&mut self, view: &View<'_>) {
        let Some(message) = view.dns() else { return };
        let Some((name, kind)) = &message.question else {
            return;
        };
        let kind_name = dns::type_name(*kind);
        // An answer whose end is missing is not known to be another.
        if !message.response || message.cut || !matches!(kind_name.as_ref(), "A" | "AAAA") {
            return;
        }
        // Names are compared without case (RFC 4343).
        let key = (name.to_ascii_lowercase(), *kind);
        let answer = answer(message);
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&key) {
            return;
        }
        let known = self.names.entry(key).or_insert_with(|| Name {
            answer: answer.clone(),
            change: None,
        });
        if known.answer == answer {
            return;
        }
        let num = view.event.num;
        let before = std::mem::replace(&mut known.answer, answer);
        let change = known.change.get_or_insert_with(|| NameChange {
            name: kept(name),
            kind: kind_name.into_owned(),
            from: before,
            to: known.answer.clone(),
            count: 0,
            first: num,
            last: num,
        });
        change.count = change.count.saturating_add(1);
        change.last = num;
    }

    /// Names whose answer changed, the first change first.
    #[must_use]
    pub fn changes(&self) -> Vec<&NameChange> {
        let mut changes: Vec<&NameChange> = self
            .names
            .values()
            .filter_map(|name| name.change.as_ref())
            .collect();
        changes.sort_by_key(|change| change.first);
        changes
    }

    /// The first few in columns, lines ended.
    pub(super) fn list(&self, number: usize) -> String {
        let mut columns = Columns::new(&[
            ("CHANGES", Side::Right),
            ("FIRST", Side::Right),
            ("LAST", Side::Right),
            ("NAME", Side::Left),
            ("TYPE", Side::Left),
            ("FROM", Side::Left),
            ("TO", Side::Left),
        ]);
        let changes = self.changes();
        for change in changes.iter().take(number) {
            columns.push(vec![
                change.count.to_string(),
                format!("#{}", change.first),
                format!("#{}", change.last),
                change.name.clone(),
                change.kind.clone(),
                change.from.clone(),
                change.to.clone(),
            ]);
        }
        let mut out = columns.text();
        if let Some(more) = changes.len().checked_sub(number).filter(|more| *more > 0) {
            out.push_str(&format!("({more} more: --json has them)\n"));
        }
        out
    }

    /// For programs.
    pub(super) fn rows(&self) -> Vec<Value> {
        self.changes()
            .into_iter()
            .map(|change| {
                json!({
                    "name": change.name,
                    "type": change.kind,
                    "from": change.from,
                    "to": change.to,
                    "count": change.count,
                    "first_event": change.first,
                    "last_event": change.last,
                })
            })
            .collect()
    }
}

/// The addresses of an answer, in order of size: servers turn them round for each client.
fn answer(message: &Message) -> String {
    if message.rcode != 0 {
        return dns::rcode_name(message.rcode).into_owned();
    }
    let mut addresses: Vec<_> = message
        .answers
        .iter()
        .filter_map(|answer| match answer.data {
            Data::Address(address) => Some(address),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let more = addresses.len().saturating_sub(SHOWN);
    let mut words: Vec<String> = addresses.iter().take(SHOWN).map(ToString::to_string).collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    if words.is_empty() {
        "no address".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::packet::tests::dns_packet;
    use stillframe_format::BootTime;
    use stillframe_format::event::{Body, Event};

    fn after(answers: &[[u8; 4]]) -> Naming {
        let context = fixture::context();
        let mut naming = Naming::default();
        for (num, address) in (1..).zip(answers) {
            let event = Event {
                num,
                time: BootTime(fixture::BOOT),
                late: false,
                body: Body::Packet(dns_packet(53, *address)),
            };
            naming.take(&View::new(&event, &context));
        }
        naming
    }

    #[test]
    fn an_answer_that_changes_is_told_with_both_and_the_event() {
        let naming = after(&[[10, 0, 0, 7], [10, 0, 0, 7], [10, 0, 0, 9], [10, 0, 0, 9]]);
        let changes = naming.changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(
            changes[0].headline(),
            "the DNS answer for api.internal (A) changed from 10.0.0.7 to 10.0.0.9 (#3)"
        );
        assert!(naming.list(5).contains("#3"));
    }

    #[test]
    fn a_name_that_goes_back_and_forth_is_one_row() {
        let naming = after(&[[10, 0, 0, 7], [10, 0, 0, 9], [10, 0, 0, 7], [10, 0, 0, 9]]);
        assert_eq!(naming.rows().len(), 1);
        assert!(naming.changes()[0].headline().ends_with("(3 changes, #2 to #4)"));
        assert!(after(&[[10, 0, 0, 7]; 5]).changes().is_empty());
    }
}
