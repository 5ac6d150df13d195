//! From a filter's text to its expression, by recursive descent with a bounded depth.

use super::lex::Lexer;
use super::{Expression, FilterError, Operator, Test};
use crate::field;
use crate::value::Kind;

/// Longest text of a filter, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// Deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 64;

/// Operators that are signs; longer ones first.
const SIGNS: [(&str, Operator); 9] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Matches),
    ("≠", Operator::NotEqual),
];

/// Operators that are words.
const WORDS: [(&str, Operator); 16] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("contains", Operator::Contains),
    ("icontains", Operator::IContains),
    ("startswith", Operator::StartsWith),
    ("endswith", Operator::EndsWith),
    ("glob", Operator::Glob),
    ("iglob", Operator::IGlob),
    ("matches", Operator::Matches),
    ("regex", Operator::Matches),
    ("in", Operator::In),
    ("exists", Operator::Exists),
];

fn error<T>(column: usize, message: impl Into<String>) -> Result<T, FilterError> {
    Err(FilterError {
        column,
        message: message.into(),
    })
}

pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > MAX_LENGTH {
        return error(1, format!("longer than {MAX_LENGTH} bytes"));
    }
    let mut lexer = Lexer::new(text);
    let expression = any(&mut lexer, 0)?;
    lexer.skip_space();
    if !lexer.is_end() {
        let hint = if lexer.rest().starts_with(')') {
            "this parenthesis was never opened"
        } else {
            "expected `and`, `or` or the end"
        };
        return error(lexer.column(), hint);
    }
    Ok(expression)
}

/// One part, or a list of them.
fn list(mut parts: Vec<Expression>, wrap: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            wrap(parts)
        }
        None => wrap(parts),
    }
}

fn any(lexer: &mut Lexer<'_>, depth: usize) -> Result<Expression, FilterError> {
    let mut parts = vec![all(lexer, depth)?];
    loop {
        lexer.skip_space();
        if !(lexer.sign("||") || lexer.keyword("or")) {
            return Ok(list(parts, Expression::Or));
        }
        parts.push(all(lexer, depth)?);
    }
}

fn all(lexer: &mut Lexer<'_>, depth: usize) -> Result<Expression, FilterError> {
    let mut parts = vec![factor(lexer, depth)?];
    loop {
        lexer.skip_space();
        if !(lexer.sign("&&") || lexer.keyword("and")) {
            return Ok(list(parts, Expression::And));
        }
        parts.push(factor(lexer, depth)?);
    }
}

fn factor(lexer: &mut Lexer<'_>, depth: usize) -> Result<Expression, FilterError> {
    lexer.skip_space();
    if depth > MAX_DEPTH {
        return error(lexer.column(), format!("nested deeper than {MAX_DEPTH}"));
    }
    if lexer.sign("!") || lexer.keyword("not") {
        return Ok(Expression::Not(Box::new(factor(lexer, depth + 1)?)));
    }
    let open = lexer.column();
    if lexer.sign("(") {
        let inner = any(lexer, depth + 1)?;
        lexer.skip_space();
        if !lexer.sign(")") {
            let message = if lexer.is_end() {
                format!("expected `)`, to close the parenthesis in column {open}")
            } else {
                "expected `and`, `or` or `)`".to_owned()
            };
            return error(lexer.column(), message);
        }
        return Ok(inner);
    }
    test(lexer).map(Expression::Test)
}

fn test(lexer: &mut Lexer<'_>) -> Result<Test, FilterError> {
    let start = lexer.column();
    let name = lexer.field();
    if name.is_empty() {
        return error(start, "expected a field, `not` or `(`");
    }
    let field = match field::find(name) {
        Ok(field) => field,
        Err(unknown) => return error(start, unknown.to_string()),
    };
    lexer.skip_space();
    let operator_column = lexer.column();
    let sign = SIGNS.into_iter().find(|(sign, _)| lexer.sign(sign));
    let found = sign.or_else(|| WORDS.into_iter().find(|(word, _)| lexer.keyword(word)));
    let (operator, mut columns, values) = match found {
        // A flag alone asks whether it is set; another field alone whether it is there.
        None => match bare(lexer, operator_column)? {
            () if field.field.kind == Kind::Flag => (Operator::Equal, vec![], vec!["true".to_owned()]),
            () => (Operator::Exists, vec![], vec![]),
        },
        Some((_, Operator::Exists)) => (Operator::Exists, vec![], vec![]),
        Some((_, Operator::In)) => {
            let (columns, values) = set(lexer)?;
            (Operator::In, columns, values)
        }
        Some((_, operator)) => {
            lexer.skip_space();
            let column = lexer.column();
            let value = lexer.value().or_else(|message| error(column, message))?;
            (operator, vec![column], vec![value])
        }
    };
    columns.push(operator_column);
    Test::new(field, operator, values).or_else(|(index, message)| {
        let at = index.and_then(|index| columns.get(index).copied());
        error(at.unwrap_or(operator_column), message)
    })
}

/// What may follow a field that stands alone.
fn bare(lexer: &Lexer<'_>, column: usize) -> Result<(), FilterError> {
    let rest = lexer.rest();
    let name = lexer.peek_name();
    let ends = rest.is_empty()
        || rest.starts_with(')')
        || rest.starts_with("&&")
        || rest.starts_with("||")
        || name.eq_ignore_ascii_case("and")
        || name.eq_ignore_ascii_case("or");
    if ends {
        return Ok(());
    }
    error(
        column,
        "expected an operator (=, !=, <, <=, >, >=, contains, startswith, endswith, glob, matches, in, exists)",
    )
}

fn set(lexer: &mut Lexer<'_>) -> Result<(Vec<usize>, Vec<String>), FilterError> {
    lexer.skip_space();
    let close = if lexer.sign("(") {
        ")"
    } else if lexer.sign("{") {
        "}"
    } else {
        return error(lexer.column(), "expected `(` and a list of values");
    };
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    loop {
        lexer.skip_space();
        let column = lexer.column();
        values.push(lexer.value().or_else(|message| error(column, message))?);
        columns.push(column);
        lexer.skip_space();
        if lexer.sign(close) {
            return Ok((columns, values));
        }
        if !lexer.sign(",") {
            return error(lexer.column(), format!("expected `,` or `{close}`"));
        }
    }
}
