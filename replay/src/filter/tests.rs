use super::*;
use crate::field::{self, Selector, Shape};
use crate::fixture;
use crate::value::Kind;
use proptest::prelude::*;

/// Numbers of the fixture's events that a filter lets pass.
fn hits(text: &str) -> Vec<u64> {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let context = fixture::context();
    fixture::events()
        .iter()
        .filter(|event| filter.matches(event, &context))
        .map(|event| event.num)
        .collect()
}

fn failure(text: &str) -> String {
    Filter::parse(text).expect_err(text).to_string()
}

#[test]
fn falcos_and_wiresharks_spellings_mean_the_same() {
    for (falco, wireshark, expected) in [
        (
            "evt.stream=packet and tcp.dstport=80",
            "evt.stream == \"packet\" && tcp.dstport eq 80",
            vec![6],
        ),
        (
            "not evt.stream=packet and pkt.len>0",
            "!(evt.stream==packet)&&pkt.len gt 0",
            vec![],
        ),
        ("tcp.port in (80, 443)", "tcp.port in {80,443}", vec![6]),
        ("fd.name regex ^/data", "fd.name ~ ^/data", vec![5]),
        (
            "evt.num<=1 or evt.num>=15",
            "evt.num le 1||evt.num ge 15",
            vec![1, 15],
        ),
    ] {
        assert_eq!(hits(falco), expected, "{falco}");
        assert_eq!(hits(wireshark), expected, "{wireshark}");
    }
}

#[test]
fn and_binds_tighter_than_or() {
    assert_eq!(hits("evt.num=1 or evt.num=2 and evt.num=3"), [1]);
    assert_eq!(hits("(evt.num=1 or evt.num=2) and evt.num=2"), [2]);
    assert_eq!(hits("not evt.num=1 and evt.num<=2"), [2]);
}

#[test]
fn each_kind_of_field_is_compared_in_its_own_way() {
    assert_eq!(hits("evt.failed=true"), [4, 8]);
    assert_eq!(hits("evt.failed"), [4, 8]);
    assert_eq!(hits("evt.failed = false"), [3, 5]);
    assert_eq!(hits("evt.latency > 0.1ms"), [5]);
    assert_eq!(hits("evt.latency=12us"), [3, 4]);
    assert_eq!(hits("blk.bytes >= 64KiB"), [8]);
    assert_eq!(hits("ip.addr = 172.17.0.0/16"), [6]);
    assert_eq!(hits("ip.src != 172.17.0.0/16"), Vec::<u64>::new());
    assert_eq!(hits("evt.time >= 2026-11-24T14:03:07.013Z"), [14, 15]);
    assert_eq!(hits("evt.time < @1795528987.001"), [1]);
    assert_eq!(hits("evt.rawarg[0] = 0xffffff9c"), [3, 4]);
    assert_eq!(hits("fd.name startswith /data and fd.name contains wal"), [5]);
    assert_eq!(hits("kernel.text icontains \"OUT OF\""), [10]);
    assert_eq!(hits("proc.exepath glob /bin/*"), [2]);
    assert_eq!(hits("proc.exepath glob bin*"), Vec::<u64>::new());
    assert_eq!(hits("metrics.cpu.usage_ns > 1"), [13]);
    assert_eq!(hits("engine.attr[exitCode] = 137"), [11]);
    assert_eq!(hits("journal.field[_PID] = 99 and journal.pid = 99"), [9]);
    assert_eq!(
        hits("container.name=web and evt.stream in (log, engine)"),
        [11, 12]
    );
    assert_eq!(hits("evt.late"), [12]);
    assert_eq!(hits("proc.exit.signal=9"), [15]);
    assert_eq!(hits("loss.count > 1000"), [7]);
    assert_eq!(hits("clock.delta < 0"), [14]);
}

#[test]
fn what_is_absent_passes_no_test_but_its_negation() {
    assert_eq!(hits("fd.name != x"), [5]);
    assert_eq!(hits("fd.name exists"), [5]);
    assert_eq!(hits("fd.name"), [5]);
    assert_eq!(hits("not fd.name = x").len(), 15);
}

#[test]
fn several_values_pass_when_one_does() {
    assert_eq!(hits("tcp.port = 80 and tcp.port = 43210"), [6]);
    assert_eq!(hits("not tcp.port = 80 and pkt.len > 0"), Vec::<u64>::new());
}

#[test]
fn the_empty_filter_means_everything() {
    assert_eq!(hits("").len(), 15);
    assert!(Filter::parse("  ").unwrap().is_all());
}

#[test]
fn errors_point_at_the_place() {
    assert_eq!(
        failure("container.name=web and evt.tpye=open"),
        "filter: column 24: unknown field `evt.tpye` (did you mean `evt.type`?)"
    );
}

#[test]
fn every_kind_of_mistake_has_its_own_words() {
    for (text, expected) in [
        ("evt.type=", "filter: column 10: expected a value"),
        ("evt.type open", "filter: column 10: expected an operator"),
        (
            "(evt.num=1",
            "filter: column 11: expected `)`, to close the parenthesis in column 1",
        ),
        (
            "evt.num=1)",
            "filter: column 10: this parenthesis was never opened",
        ),
        (
            "evt.num=1 evt.num=2",
            "filter: column 11: expected `and`, `or` or the end",
        ),
        ("evt.num=one", "filter: column 9: `one` is not a number"),
        ("evt.num in (1, two)", "filter: column 16: `two` is not a number"),
        (
            "evt.latency>5parsecs",
            "filter: column 13: `5parsecs` is not a duration such as 10ms",
        ),
        (
            "evt.type<open",
            "filter: column 9: `<` does not suit a field of type text",
        ),
        (
            "evt.num contains 1",
            "filter: column 9: `contains` does not suit a field of type number",
        ),
        (
            "fd.name ~ \"(\"",
            "filter: column 11: not a regular expression: unclosed group",
        ),
        ("fd.name = \"x", "filter: column 11: this quote is never closed"),
        (
            "evt.arg[9]=1",
            "filter: column 1: field `evt.arg` takes a number from 0 to 5 in brackets",
        ),
        (
            "ip.src=300.0.0.1",
            "filter: column 8: `300.0.0.1` is not an address or network",
        ),
        (
            "evt.failed=maybe",
            "filter: column 12: `maybe` is not true or false",
        ),
        ("and", "filter: column 1: unknown field `and`"),
        ("ü", "filter: column 1: expected a field, `not` or `(`"),
        (
            "fd.name=ü ü",
            "filter: column 11: expected `and`, `or` or the end",
        ),
    ] {
        let found = failure(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn hostile_lengths_and_depths_are_refused() {
    assert!(failure(&"(".repeat(60_000)).contains("nested deeper than 64"));
    assert!(failure(&"! ".repeat(30_000)).contains("nested deeper than 64"));
    assert!(failure(&"x".repeat(MAX_LENGTH + 1)).contains("longer than"));
    assert!(failure("fd.name ~ \"(?:(?:x{1000}){1000}){1000}\"").contains("too large"));
    let long = vec!["evt.num=1"; 5_000].join(" or ");
    assert_eq!(hits(&long), [1]);
}

#[test]
fn the_pointer_stands_under_the_place() {
    let text = "fd.name=ü and nope";
    let error = Filter::parse(text).unwrap_err();
    assert_eq!(error.pointer(text), format!("  {text}\n  {}^", " ".repeat(14)));
}

fn value_for(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Text => "\\PC{0,12}".boxed(),
        Kind::Number | Kind::Hex => any::<u32>().prop_map(|number| number.to_string()).boxed(),
        Kind::Flag => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Time => Just("2026-11-24T14:03:07.2Z".to_owned()).boxed(),
        Kind::Duration => any::<u16>().prop_map(|number| format!("{number}ms")).boxed(),
        Kind::Size => any::<u16>().prop_map(|number| format!("{number}KiB")).boxed(),
        Kind::Address => Just("10.0.0.0/8".to_owned()).boxed(),
    }
}

fn any_test() -> impl Strategy<Value = Expression> {
    let fields: Vec<_> = field::all().collect();
    (prop::sample::select(fields), 0..6u8, "[a-z_]{1,8}").prop_flat_map(|(field, index, key)| {
        let selector = match field.shape {
            Shape::Plain => Selector::None,
            Shape::Index => Selector::Index(index),
            Shape::Key | Shape::Rest => Selector::Key(key),
        };
        let field = FieldRef { field, selector };
        let operators = match field.field.kind {
            Kind::Text => vec![
                Operator::Equal,
                Operator::NotEqual,
                Operator::Contains,
                Operator::IContains,
                Operator::StartsWith,
                Operator::EndsWith,
                Operator::Glob,
                Operator::In,
                Operator::Exists,
            ],
            Kind::Flag => vec![Operator::Equal, Operator::NotEqual, Operator::Exists],
            Kind::Address => vec![Operator::Equal, Operator::NotEqual, Operator::In],
            _ => vec![
                Operator::Less,
                Operator::GreaterOrEqual,
                Operator::Equal,
                Operator::In,
            ],
        };
        let kind = field.field.kind;
        (
            prop::sample::select(operators),
            prop::collection::vec(value_for(kind), 1..4),
        )
            .prop_filter_map("a glob may be too strange", move |(operator, mut values)| {
                match operator {
                    Operator::Exists => values.clear(),
                    Operator::In => {}
                    _ => values.truncate(1),
                }
                Test::new(field.clone(), operator, values)
                    .ok()
                    .map(Expression::Test)
            })
    })
}

/// Expressions as the parser makes them: no lists in a list of their own kind, no list of one.
fn any_expression() -> impl Strategy<Value = Expression> {
    any_test().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Expression::Not(Box::new(part))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            prop::collection::vec(inner, 2..4).prop_map(Expression::Or),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(expression in any_expression()) {
        let text = expression.to_string();
        let filter = Filter::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(filter, Filter(Some(expression)));
    }

    #[test]
    fn garbage_never_panics(text in "\\PC*") {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn nearly_filters_never_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "evt.num", "fd.name", "=", "!=", "in", "(", ")", "{", "}", ",", "\"", "'", "\\", "and", "or", "not", "!",
        "~", "glob", "[", "]", "*", "évt", "evt.arg[", "1", "&&", "||", " ", "exists", "metrics.",
    ]), 0..24)) {
        let text = parts.concat();
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(&Filter::parse(&filter.to_string()).unwrap(), &filter);
            for event in fixture::events() {
                let _ = filter.matches(&event, &fixture::context());
            }
        }
    }
}

#[test]
fn either_of_two_filters_is_enough() {
    let filter = |text| Filter::parse(text).unwrap();
    let both = filter("evt.type=read").or(filter("evt.stream=loss and loss.count>5"));
    assert_eq!(
        both.to_string(),
        "evt.type = read or (evt.stream = loss and loss.count > 5)"
    );
    assert!(filter("").or(filter("evt.type=read")).is_all());
    assert!(filter("evt.type=read").or(filter("")).is_all());
}
