//! Literals by type, and what a test does with a value.

use super::Operator;
use crate::value::{Kind, Value};
use std::net::IpAddr;

/// A test's right side, read once.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// The field is there.
    Exists,
    /// Order of numbers.
    Number(Operator, Vec<i128>),
    /// A flag is, or is not, this.
    Flag(bool),
    /// An address lies in one of the networks; `true`: in none.
    Address(Vec<Network>, bool),
    /// Bytes against bytes.
    Bytes(Operator, Vec<Vec<u8>>),
    /// A regular expression, also of a glob.
    Regex(regex::bytes::Regex),
}

/// A range of addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `::1`; `None` when it is neither an address nor a network.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Whether an address lies in it. Addresses of the other version never do.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, bits) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let shift = bits - u32::from(self.prefix);
        own.checked_shr(shift) == other.checked_shr(shift)
    }
}

/// A decimal number with an optional fraction, times `scale`; `None` when it is none or too large.
fn decimal(text: &str, scale: i128) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || digits.len() > 40 {
        return None;
    }
    let mut value = whole.parse::<i128>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let parts = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        value = value.checked_add(fraction.parse::<i128>().ok()?.checked_mul(scale)? / parts)?;
    }
    Some(if negative { -value } else { value })
}

/// Decimal seconds in nanoseconds: `1795528987.25`.
#[must_use]
pub fn seconds(text: &str) -> Option<i128> {
    decimal(text, 1_000_000_000)
}

/// A number with a unit out of a list; the empty unit must be in it.
fn with_unit(text: &str, units: &[(&str, i128)]) -> Option<i128> {
    let end = text
        .find(|character: char| !(character.is_ascii_digit() || matches!(character, '-' | '.')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    decimal(number, scale)
}

/// A length of time in nanoseconds: `10ms`, `1.5s`; without a unit nanoseconds.
#[must_use]
pub fn duration(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 8] = [
        ("", 1),
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    with_unit(text, &UNITS)
}

/// A number of bytes: `4096`, `4k`, `1.5MiB`.
#[must_use]
pub fn size(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 15] = [
        ("", 1),
        ("B", 1),
        ("k", 1 << 10),
        ("K", 1 << 10),
        ("KiB", 1 << 10),
        ("M", 1 << 20),
        ("MiB", 1 << 20),
        ("G", 1 << 30),
        ("GiB", 1 << 30),
        ("T", 1 << 40),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    with_unit(text, &UNITS)
}

fn number(text: &str) -> Option<i128> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(i128::from);
    }
    text.parse().ok()
}

fn time(text: &str) -> Option<i128> {
    if let Some(epoch) = text.strip_prefix('@') {
        return seconds(epoch);
    }
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_nanosecond)
}

fn ordered(kind: Kind, text: &str) -> Result<i128, String> {
    let (value, example) = match kind {
        Kind::Duration => (duration(text), "a duration such as 10ms"),
        Kind::Size => (size(text).or_else(|| number(text)), "a size such as 4096 or 4KiB"),
        Kind::Time => (
            time(text),
            "a time such as 2026-11-24T14:03:07.2Z or @1764000187.2",
        ),
        _ => (number(text), "a number"),
    };
    value.ok_or_else(|| format!("`{text}` is not {example}"))
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// A shell pattern as a regular expression over the whole text.
fn glob(pattern: &str) -> String {
    let mut out = String::from("(?s)^");
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                let after = rest.as_str();
                // A `]` directly behind the opening (or its negation) is a member of the set.
                let negated = after.starts_with('!') || after.starts_with('^');
                let first = usize::from(negated);
                let end = after
                    .get(first + 1..)
                    .and_then(|tail| tail.find(']'))
                    .map(|end| end + first + 1);
                match end.and_then(|end| Some((after.get(first..end)?, after.get(end + 1..)?))) {
                    Some((set, tail)) => {
                        out.push_str(if negated { "[^" } else { "[" });
                        for member in set.chars() {
                            if matches!(member, '\\' | '[' | ']' | '^' | '&' | '~') {
                                out.push('\\');
                            }
                            out.push(member);
                        }
                        out.push(']');
                        rest = tail.chars();
                    }
                    None => out.push_str("\\["),
                }
            }
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    out
}

fn compile(pattern: &str, ignore_case: bool) -> Result<regex::bytes::Regex, String> {
    regex::bytes::RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(4 << 20)
        .nest_limit(64)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("not a regular expression: {}", last.trim_start_matches("error: "))
            }
        })
}

impl Matcher {
    pub(super) fn new(
        kind: Kind,
        operator: Operator,
        values: &[String],
    ) -> Result<Self, (Option<usize>, String)> {
        use Operator as O;
        let at = |index: usize| move |message: String| (Some(index), message);
        let unsuited = || {
            let message = format!(
                "`{}` does not suit a field of type {}",
                operator.name(),
                kind.name()
            );
            Err((None, message))
        };
        if operator == O::Exists {
            return Ok(Self::Exists);
        }
        let Some(first) = values.first() else {
            return Err((None, "expected a value".to_owned()));
        };
        let is_order = matches!(
            operator,
            O::Less | O::LessOrEqual | O::Greater | O::GreaterOrEqual
        );
        let is_equality = matches!(operator, O::Equal | O::NotEqual | O::In);
        match kind {
            _ if kind.is_ordered() && (is_order || is_equality) => {
                let numbers: Result<Vec<_>, _> = values
                    .iter()
                    .enumerate()
                    .map(|(index, text)| ordered(kind, text).map_err(at(index)))
                    .collect();
                Ok(Self::Number(operator, numbers?))
            }
            Kind::Flag if matches!(operator, O::Equal | O::NotEqual) => match flag(first) {
                Some(flag) => Ok(Self::Flag(flag == (operator == O::Equal))),
                None => Err((Some(0), format!("`{first}` is not true or false"))),
            },
            Kind::Address if is_equality => {
                let mut networks = Vec::with_capacity(values.len());
                for (index, text) in values.iter().enumerate() {
                    let network = Network::parse(text)
                        .ok_or_else(|| (Some(index), format!("`{text}` is not an address or network")))?;
                    networks.push(network);
                }
                Ok(Self::Address(networks, operator == O::NotEqual))
            }
            Kind::Text => match operator {
                O::Glob | O::IGlob => compile(&glob(first), operator == O::IGlob)
                    .map(Self::Regex)
                    .map_err(at(0)),
                O::Matches => compile(first, false).map(Self::Regex).map_err(at(0)),
                O::IContains => Ok(Self::Bytes(
                    operator,
                    vec![first.to_ascii_lowercase().into_bytes()],
                )),
                _ if is_order => unsuited(),
                _ => {
                    let values = values.iter().map(|value| value.clone().into_bytes());
                    Ok(Self::Bytes(operator, values.collect()))
                }
            },
            _ => unsuited(),
        }
    }

    /// Whether a field's value passes. Where there is none, nothing does.
    #[must_use]
    pub fn matches(&self, value: Option<&Value<'_>>) -> bool {
        match value {
            None => false,
            Some(Value::Any(values)) => values.iter().any(|value| self.matches_one(value)),
            Some(value) => self.matches_one(value),
        }
    }

    fn matches_one(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (Self::Flag(wanted), Value::Flag(flag)) => wanted == flag,
            (Self::Address(networks, outside), Value::Address(address)) => {
                networks.iter().any(|network| network.contains(*address)) != *outside
            }
            (Self::Regex(regex), Value::Text(bytes)) => regex.is_match(bytes),
            (Self::Bytes(operator, wanted), Value::Text(bytes)) => compare_bytes(*operator, bytes, wanted),
            (Self::Number(operator, wanted), value) => value
                .as_number()
                .is_some_and(|number| compare_numbers(*operator, number, wanted)),
            _ => false,
        }
    }
}

fn compare_numbers(operator: Operator, number: i128, wanted: &[i128]) -> bool {
    let Some(first) = wanted.first() else { return false };
    match operator {
        Operator::In => wanted.contains(&number),
        Operator::Equal => number == *first,
        Operator::NotEqual => number != *first,
        Operator::Less => number < *first,
        Operator::LessOrEqual => number <= *first,
        Operator::Greater => number > *first,
        Operator::GreaterOrEqual => number >= *first,
        _ => false,
    }
}

fn compare_bytes(operator: Operator, bytes: &[u8], wanted: &[Vec<u8>]) -> bool {
    let Some(first) = wanted.first().map(Vec::as_slice) else {
        return false;
    };
    match operator {
        Operator::In => wanted.iter().any(|wanted| wanted == bytes),
        Operator::Equal => bytes == first,
        Operator::NotEqual => bytes != first,
        Operator::Contains => contains(bytes, first),
        Operator::IContains => contains(&bytes.to_ascii_lowercase(), first),
        Operator::StartsWith => bytes.starts_with(first),
        Operator::EndsWith => bytes.ends_with(first),
        _ => false,
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact() {
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("10ms"), Some(10_000_000));
        assert_eq!(duration("-5"), Some(-5));
        assert_eq!(duration("5 s"), None);
        assert_eq!(duration("s"), None);
        assert_eq!(size("4k"), Some(4096));
        assert_eq!(size("1.5KiB"), Some(1536));
        assert_eq!(size("1MB"), Some(1_000_000));
        assert_eq!(decimal(&"9".repeat(50), 1), None);
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network = Network::parse("10.0.0.0/8").unwrap();
        assert!(network.contains("10.255.1.2".parse().unwrap()));
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
        assert!(
            Network::parse("0.0.0.0/0")
                .unwrap()
                .contains("8.8.8.8".parse().unwrap())
        );
        assert!(
            Network::parse("::/0")
                .unwrap()
                .contains("fe80::1".parse().unwrap())
        );
        assert!(
            !Network::parse("::/0")
                .unwrap()
                .contains("1.2.3.4".parse().unwrap())
        );
        assert!(Network::parse("10.0.0.0/33").is_none());
    }

    #[test]
    fn globs_match_whole_texts() {
        let matches =
            |pattern: &str, text: &str| compile(&glob(pattern), false).unwrap().is_match(text.as_bytes());
        assert!(matches("/etc/*.conf", "/etc/a/b.conf"));
        assert!(!matches("/etc/*.conf", "/etc/a.conf.bak"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(matches("[!a-c]x", "dx") && !matches("[!a-c]x", "bx"));
        assert!(matches("[]x]", "]") && matches("[", "["));
        assert!(matches("a.b", "a.b") && !matches("a.b", "axb"));
    }
}
