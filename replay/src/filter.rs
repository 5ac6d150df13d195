//! Filters: expressions over fields that say which events are meant.
//!
//! The grammar is Falco's and sysdig's, and Wireshark's spellings of the operators are accepted:
//!
//! ```text
//! expression = term { ("or" | "||") term }
//! term       = factor { ("and" | "&&") factor }
//! factor     = ("not" | "!") factor | "(" expression ")" | test
//! test       = field | field "exists" | field operator value | field "in" "(" value { "," value } ")"
//! operator   = "=" "==" "eq" | "!=" "ne" | "<" "lt" | "<=" "le" | ">" "gt" | ">=" "ge"
//!            | "contains" | "icontains" | "startswith" | "endswith" | "glob" | "iglob" | "matches" "regex" "~"
//! ```
//!
//! A value is a word, or text in single or double quotes. A test of a field that the event does not have is
//! false, `!=` included; `not` in front of it makes it true. A field alone asks whether the event has it; a flag
//! alone whether it is true. Of several values at once (`tcp.port`) one is enough.

pub mod columns;
mod eval;
mod lex;
mod parse;

pub use eval::{Matcher, Network, duration, seconds, size};
pub use parse::{MAX_DEPTH, MAX_LENGTH};

use crate::field::FieldRef;
use crate::view::{Context, View};
use std::fmt;
use stillframe_format::Event;

/// Why text is no filter, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter: column {column}: {message}")]
pub struct FilterError {
    /// The first character that is wrong, counted from 1.
    pub column: usize,
    /// What is wrong with it.
    pub message: String,
}

impl FilterError {
    /// The filter's text with a caret under the place; empty when the text is too long or too strange to point.
    #[must_use]
    pub fn pointer(&self, text: &str) -> String {
        if text.len() > 500 || text.chars().any(crate::escape::is_dangerous) {
            return String::new();
        }
        format!("  {text}\n  {}^", " ".repeat(self.column.saturating_sub(1)))
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// The text holds the value.
    Contains,
    /// The same, upper and lower ASCII letters being equal.
    IContains,
    /// The text begins with the value.
    StartsWith,
    /// The text ends with the value.
    EndsWith,
    /// The whole text matches a pattern of `*`, `?` and `[…]`, as a shell's does.
    Glob,
    /// The same, upper and lower letters being equal.
    IGlob,
    /// A regular expression (of the `regex` crate) is found in the text.
    Matches,
    /// It is one of the values.
    In,
    /// The event has the field.
    Exists,
}

impl Operator {
    /// The operator as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "contains",
            Self::IContains => "icontains",
            Self::StartsWith => "startswith",
            Self::EndsWith => "endswith",
            Self::Glob => "glob",
            Self::IGlob => "iglob",
            Self::Matches => "matches",
            Self::In => "in",
            Self::Exists => "exists",
        }
    }
}

/// A test of one field.
#[derive(Clone, Debug)]
pub struct Test {
    /// The field.
    pub field: FieldRef,
    /// The comparison.
    pub operator: Operator,
    /// What it is compared with: none for `exists`, any number for `in`, else one.
    pub values: Vec<String>,
    matcher: Matcher,
}

impl Test {
    /// A test, its values read as the field's type wants them.
    ///
    /// # Errors
    /// When the operator does not suit the field, or a value is none of its type: says which value (by its
    /// index; `None` when it is the operator) and what is wrong.
    pub fn new(
        field: FieldRef,
        operator: Operator,
        values: Vec<String>,
    ) -> Result<Self, (Option<usize>, String)> {
        let matcher = Matcher::new(field.kind(), operator, &values)?;
        Ok(Self {
            field,
            operator,
            values,
            matcher,
        })
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        (&self.field, self.operator, &self.values) == (&other.field, other.operator, &other.values)
    }
}

/// A parsed filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of them.
    And(Vec<Expression>),
    /// One of them.
    Or(Vec<Expression>),
    /// The opposite.
    Not(Box<Expression>),
    /// A test.
    Test(Test),
}

impl Expression {
    fn matches(&self, view: &View<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(view)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(view)),
            Self::Not(part) => !part.matches(view),
            Self::Test(test) => test.matcher.matches(test.field.get(view).as_ref()),
        }
    }
}

/// Writes a value so that it is read back the same: as a word where it can be one, else in quotes.
fn write_value(out: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    if lex::is_word(value) {
        return out.write_str(value);
    }
    out.write_str("\"")?;
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.write_str("\\")?;
        }
        write!(out, "{character}")?;
    }
    out.write_str("\"")
}

impl fmt::Display for Test {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.field, self.operator.name())?;
        match (self.operator, self.values.as_slice()) {
            (Operator::In, values) => {
                for (index, value) in values.iter().enumerate() {
                    out.write_str(if index == 0 { " (" } else { ", " })?;
                    write_value(out, value)?;
                }
                out.write_str(")")
            }
            (_, [value, ..]) => {
                out.write_str(" ")?;
                write_value(out, value)
            }
            (_, []) => Ok(()),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |out: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(out, " {word} ")?;
                }
                match part {
                    Self::And(_) | Self::Or(_) => write!(out, "({part})")?,
                    _ => write!(out, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(parts) => list(out, parts, "and"),
            Self::Or(parts) => list(out, parts, "or"),
            Self::Not(part) => match part.as_ref() {
                Self::And(_) | Self::Or(_) => write!(out, "not ({part})"),
                _ => write!(out, "not {part}"),
            },
            Self::Test(test) => test.fmt(out),
        }
    }
}

/// Says which events are meant. The default means all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Option<Expression>);

impl Filter {
    /// A filter from its text; empty text means every event.
    ///
    /// # Errors
    /// With the column and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        parse::parse(text).map(|expression| Self(Some(expression)))
    }

    /// What this filter means and what the other one means.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(other)) => Self(Some(Expression::Or(vec![one, other]))),
            _ => Self(None),
        }
    }

    /// What both filters mean.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(other)) => Self(Some(Expression::And(vec![one, other]))),
            (one, other) => Self(one.or(other)),
        }
    }

    /// Whether it lets every event pass.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the event is meant.
    #[must_use]
    pub fn matches(&self, event: &Event, context: &Context) -> bool {
        self.0
            .as_ref()
            .is_none_or(|expression| expression.matches(&View::new(event, context)))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |expression| expression.fmt(out))
    }
}

#[cfg(test)]
mod tests;
