//! A line that is typed: a filter, a condition, a moment.

use super::key::Key;
use crate::field::{self, Shape};

/// The longest line, in characters.
const LINE_MAX: usize = 4096;
/// Lines that are remembered of each kind.
const REMEMBERED: usize = 50;

/// What is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A filter to search for.
    Search,
    /// The filter of the list.
    Filter,
    /// The condition to continue to, forward or back; `None`: only set it.
    Condition(Option<bool>),
    /// A moment.
    Goto,
}

impl Kind {
    /// What stands before the line.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Search => "search: ",
            Self::Filter => "filter: ",
            Self::Condition(_) => "continue to: ",
            Self::Goto => "go to: ",
        }
    }

    /// Kinds that share what was typed before.
    fn family(self) -> usize {
        usize::from(self == Self::Goto)
    }
}

/// Lines that were typed before: filters, moments.
#[derive(Clone, Debug, Default)]
pub struct Memory([Vec<String>; 2]);

impl Memory {
    fn of(&self, kind: Kind) -> &[String] {
        self.0.get(kind.family()).map_or(&[], Vec::as_slice)
    }

    /// Remembers a line.
    pub fn add(&mut self, kind: Kind, text: &str) {
        let Some(lines) = self.0.get_mut(kind.family()) else {
            return;
        };
        if text.is_empty() {
            return;
        }
        lines.retain(|line| line != text);
        lines.push(text.to_owned());
        if lines.len() > REMEMBERED {
            lines.remove(0);
        }
    }
}

/// What came of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The line goes on.
    Open,
    /// It was left.
    Left,
    /// It is done.
    Done,
}

/// A line that is being typed.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// What it is for.
    pub kind: Kind,
    /// Its characters.
    pub text: Vec<char>,
    /// Where the next one goes.
    pub at: usize,
    /// What is wrong with it, or what could come next.
    pub remark: Option<String>,
    /// How far back in the memory it is from.
    back: usize,
}

impl Prompt {
    /// A line that begins with some text.
    #[must_use]
    pub fn new(kind: Kind, text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self {
            kind,
            at: text.len(),
            text,
            remark: None,
            back: 0,
        }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        self.text.iter().collect()
    }

    /// Types a character. What a terminal would obey is no text.
    pub fn insert(&mut self, character: char) {
        if self.text.len() < LINE_MAX && !crate::escape::is_dangerous(character) {
            let at = self.at.min(self.text.len());
            self.text.insert(at, character);
            self.at = at + 1;
        }
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, memory: &Memory) -> Outcome {
        self.remark = None;
        match key {
            Key::Enter => return Outcome::Done,
            Key::Escape | Key::Ctrl('c') => return Outcome::Left,
            Key::Backspace if self.text.is_empty() => return Outcome::Left,
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.at);
            }
            Key::Delete | Key::Ctrl('d') if self.at < self.text.len() => {
                self.text.remove(self.at);
            }
            Key::Left | Key::Ctrl('b') => self.at = self.at.saturating_sub(1),
            Key::Right | Key::Ctrl('f') => self.at = (self.at + 1).min(self.text.len()),
            Key::Home | Key::Ctrl('a') => self.at = 0,
            Key::End | Key::Ctrl('e') => self.at = self.text.len(),
            Key::Ctrl('u') => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            Key::Ctrl('k') => self.text.truncate(self.at),
            Key::Ctrl('w') => {
                let start = self.word();
                self.text.drain(start..self.at);
                self.at = start;
            }
            Key::Up => self.recall(memory, self.back + 1),
            Key::Down => self.recall(memory, self.back.saturating_sub(1)),
            Key::Tab => self.complete(),
            Key::Char(character) => self.insert(character),
            _ => {}
        }
        Outcome::Open
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let before = self.text.get(..self.at).unwrap_or_default();
        let spaces = before.iter().rev().take_while(|c| **c == ' ').count();
        let rest = before.get(..before.len() - spaces).unwrap_or_default();
        rest.iter()
            .rposition(|c| *c == ' ' || *c == '(')
            .map_or(0, |at| at + 1)
    }

    fn recall(&mut self, memory: &Memory, back: usize) {
        let lines = memory.of(self.kind);
        if back > lines.len() {
            return;
        }
        let line = lines.len().checked_sub(back).and_then(|at| lines.get(at));
        let remark = self.remark.take();
        *self = Self {
            remark,
            back,
            ..Self::new(self.kind, line.map_or("", String::as_str))
        };
    }

    /// Completes the name of a field.
    fn complete(&mut self) {
        if self.kind == Kind::Goto {
            return;
        }
        let start = self.word();
        let word: String = self.text.get(start..self.at).unwrap_or_default().iter().collect();
        let names: Vec<&str> = field::all()
            .filter(|field| field.shape != Shape::Rest && field.name.starts_with(&word))
            .map(|field| field.name)
            .collect();
        let Some(first) = names.first() else {
            self.remark = Some(format!("no field begins with `{word}`"));
            return;
        };
        let common = names.iter().fold(first.len(), |len, name| {
            let same = name.bytes().zip(first.bytes()).take_while(|(a, b)| a == b);
            same.count().min(len)
        });
        for character in first.get(word.len()..common).unwrap_or_default().chars() {
            self.insert(character);
        }
        self.remark = match names.as_slice() {
            [_] => field::find(first).ok().map(|found| found.field.help.to_owned()),
            names => Some(names.join(" ")),
        };
    }
}
