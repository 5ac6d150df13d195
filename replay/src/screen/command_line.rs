//! What is on the screen as a command line that prints it, quoted for a POSIX shell.

use super::list::List;
use super::model::{Model, Tab};

/// The command that prints what has the keys.
#[must_use]
pub(super) fn shown(model: &Model) -> String {
    let at = quoted(&format!("#{}", model.events.num()));
    if !model.is_below {
        let filter = match model.filter_text() {
            "" => String::new(),
            filter => format!("({filter}) or {}", super::HOLES),
        };
        return events(model, &model.events, &filter);
    }
    match model.tab {
        Tab::Details => {
            let filter = quoted(&format!("evt.num={}", model.events.num()));
            command(model, "events", &format!(" -f {filter} --json"))
        }
        Tab::Processes => command(model, "state", &format!(" ps --at {at}")),
        Tab::Descriptors => {
            let pid = model
                .shown
                .pid
                .map_or_else(String::new, |pid| format!(" --pid {pid}"));
            command(model, "state", &format!(" fds --at {at}{pid}"))
        }
        Tab::Sockets => command(model, "state", &format!(" net --at {at}")),
        Tab::Mounts => command(model, "state", &format!(" mounts --at {at}")),
        Tab::Follow => events(model, &model.follow, model.followed()),
        Tab::Logs => command(model, "logs", ""),
        Tab::Links => view(model),
        Tab::Usage => command(model, "state", &format!(" usage --at {at}")),
    }
}

/// The command that opens this view.
#[must_use]
pub(super) fn view(model: &Model) -> String {
    let mut rest = format!(" --at {}", quoted(&format!("#{}", model.events.num())));
    if !model.filter_text().is_empty() {
        rest.push_str(&format!(" -f {}", quoted(model.filter_text())));
    }
    command(model, "view", &rest)
}

/// The rows of a list that are on the screen.
fn events(model: &Model, list: &List, filter: &str) -> String {
    let mut rest = String::new();
    if !filter.is_empty() {
        rest.push_str(&format!(" -f {}", quoted(filter)));
    }
    if let Some((_, first)) = list.visible().next() {
        rest.push_str(&format!(" --from {}", quoted(&format!("#{}", first.num))));
    }
    rest.push_str(&format!(" -n {}", list.visible().count()));
    command(model, "events", &rest)
}

fn command(model: &Model, name: &str, rest: &str) -> String {
    let path = model.path.to_string_lossy();
    // A name that looks like an option is none.
    let path = if path.starts_with('-') && path != "-" {
        format!("./{path}")
    } else {
        path.into_owned()
    };
    let zone = &model.facts.context.zone;
    let zone = if zone.is_utc() {
        String::new()
    } else {
        format!(" --tz {}", quoted(zone.name()))
    };
    format!("replay {name} {}{rest}{zone}", quoted(&path))
}

/// A word for a shell. What a terminal would obey is left out: it can't be typed.
fn quoted(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !crate::escape::is_dangerous(*c))
        .collect();
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '=' | ':' | '+' | ',' | '@' | '%')
    };
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("a/b.capture"), "a/b.capture");
        assert_eq!(quoted("#12"), "'#12'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("a\u{1b}]b"), "'a]b'");
        assert_eq!(quoted(""), "''");
    }
}
