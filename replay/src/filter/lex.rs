//! Words and signs of a filter's text.

/// A place in a filter's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Whether a character may stand in the name of a field or a keyword.
fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

/// Whether a character may stand in a value without quotes.
fn is_bare(character: char) -> bool {
    !(character.is_whitespace()
        || crate::escape::is_dangerous(character)
        || matches!(character, '(' | ')' | '{' | '}' | '"' | '\'' | ',' | '=' | '\\'))
}

/// Whether a value can stand without quotes.
pub(super) fn is_word(value: &str) -> bool {
    !value.is_empty() && bare_length(value) == value.len()
}

/// How many bytes of `text` a value without quotes takes: it also ends before `&&` and `||`.
fn bare_length(text: &str) -> usize {
    text.char_indices()
        .find(|(at, character)| {
            let rest = text.get(*at..).unwrap_or_default();
            !is_bare(*character) || rest.starts_with("&&") || rest.starts_with("||")
        })
        .map_or(text.len(), |(at, _)| at)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The place as a column, counted in characters from 1.
    pub(super) fn column(&self) -> usize {
        self.text
            .get(..self.at)
            .map_or(0, |before| before.chars().count())
            + 1
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn is_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// Takes a sign if it comes next.
    pub(super) fn sign(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// The name or keyword that comes next; empty when none does.
    pub(super) fn peek_name(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Takes a keyword if it comes next, in upper or lower case.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let name = self.peek_name();
        let found = name.eq_ignore_ascii_case(keyword);
        if found {
            self.at += name.len();
        }
        found
    }

    /// Takes the name of a field, with what stands in brackets behind it.
    pub(super) fn field(&mut self) -> &'a str {
        let start = self.at;
        self.at += self.peek_name().len();
        if self.at > start && self.rest().starts_with('[') {
            self.at += self.rest().find(']').map_or(1, |end| end + 1);
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Takes a value: quoted text, or a word.
    pub(super) fn value(&mut self) -> Result<String, &'static str> {
        let rest = self.rest();
        match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let length = bare_length(rest);
                if length == 0 {
                    return Err("expected a value");
                }
                self.at += length;
                Ok(rest.get(..length).unwrap_or_default().to_owned())
            }
        }
    }

    /// `\"`, `\'` and `\\` stand for the second character; before others a backslash is itself, so that
    /// regular expressions need no doubling.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.peek() {
                    Some((_, next @ ('"' | '\'' | '\\'))) => {
                        value.push(*next);
                        characters.next();
                    }
                    _ => value.push('\\'),
                },
                character if character == quote => {
                    self.at += at + quote.len_utf8();
                    return Ok(value);
                }
                character => value.push(character),
            }
        }
        Err("this quote is never closed")
    }
}
