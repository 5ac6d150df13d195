//! Commands and their output in a document, held against what the commands really print.
//!
//! A section of the document has indented blocks. A line that begins with `$ ` is a command, the lines below it are what it
//! printed; `…` stands for what is left out. Numbers, times and sizes are those of another recording, so they are compared
//! by their kind.

use crate::command::{program, run_for, tool};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::Path;
use std::time::Duration;

/// A command of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// As it is typed.
    pub command: String,
    /// What the document says it prints.
    pub shown: Vec<String>,
}

/// The commands of the section under `heading`, in order.
///
/// # Errors
/// The document has no such section, or it has no command.
pub fn steps(document: &str, heading: &str) -> Result<Vec<Step>> {
    let title = format!("\n## {heading}\n");
    let (_, rest) = document
        .split_once(&title)
        .with_context(|| format!("no section {heading:?}"))?;
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let mut steps: Vec<Step> = Vec::new();
    for line in section.lines() {
        let Some(line) = line.strip_prefix("    ") else {
            continue;
        };
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.shown.push(line.to_owned());
        }
    }
    ensure!(!steps.is_empty(), "section {heading:?} has no command");
    Ok(steps)
}

impl Step {
    /// Runs the command in `folder`, where the bundle is, and gives what it printed.
    ///
    /// # Errors
    /// It fails, or does not print every line that the document shows, in that order.
    pub fn hold(&self, folder: &Path) -> Result<String> {
        let binaries = program("replay")?;
        let binaries = Path::new(binaries.get_program())
            .parent()
            .context("replay is in no folder")?
            .to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path)))?;
        let mut shell = tool("sh", &["-c", &self.command]);
        shell.current_dir(folder).env("PATH", path);
        let text = run_for(&mut shell, Duration::from_secs(120))?
            .expect_code(0)?
            .text();
        let mut printed = text.lines().map(kinds);
        for line in &self.shown {
            let wanted = kinds(line);
            let (wanted, is_cut) = match wanted.strip_suffix('…') {
                Some(start) => (start.trim_end(), true),
                None => (wanted.as_str(), false),
            };
            if wanted.is_empty() {
                continue;
            }
            let is_there = printed.any(|printed| {
                if is_cut {
                    printed.starts_with(wanted)
                } else {
                    printed == wanted
                }
            });
            if !is_there {
                bail!(
                    "{}: the document shows, here or further down than it is\n{line}\nas\n{wanted}\nbut it printed\n{text}",
                    self.command
                );
            }
        }
        Ok(text)
    }
}

/// A line with every number, moment, length of time, size and bar replaced by what it is.
fn kinds(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    // A plot: what is in it is not words.
    let line = match (line.find('|'), line.rfind('|')) {
        (Some(start), Some(end)) if start < end => {
            format!("{} PLOT", line.get(..start).unwrap_or_default())
        }
        _ => line.to_owned(),
    };
    for word in line.split_whitespace() {
        let word = if word.starts_with("kworker/") {
            "kworker".to_owned()
        } else {
            numbers(word)
        };
        let is_unit = matches!(word.as_str(), "B" | "KiB" | "MiB" | "GiB");
        words.push(if is_unit { "SIZE".to_owned() } else { word });
    }
    words.join(" ")
}

/// A word with `0` for every number and `0T` for every length of time.
fn numbers(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_digit() {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        rest = match rest.strip_prefix("0x") {
            Some(hex) => hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
            None => rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ':'),
        };
        out.push('0');
        for unit in ["ns", "us", "ms", "s"] {
            if let Some(behind) = rest.strip_prefix(unit)
                && !behind.starts_with(char::is_alphanumeric)
            {
                out.push('T');
                rest = behind;
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_commands_of_their_section() {
        let document =
            "# A\n\n## One\n\ntext\n\n    $ a b\n    out\n\n    more\n    $ c\n\n## Two\n\n    $ d\n";
        let one = steps(document, "One").unwrap();
        assert_eq!(one.len(), 2);
        assert_eq!(one[0].command, "a b");
        assert_eq!(one[0].shown, ["out", "more"]);
        assert!(steps(document, "Three").is_err());
    }

    #[test]
    fn lines_that_differ_in_numbers_only_are_of_one_kind() {
        assert_eq!(
            kinds("519.9ms  #2375  dd[11477]   64.0 KiB"),
            kinds("1.2s #9 dd[7] 1 B")
        );
        assert_eq!(
            kinds("munmap(0x7f36, 9) kworker/1:2[9]"),
            kinds("munmap(0xab, 10) kworker/u8:5[3]")
        );
        assert_eq!(kinds("10.0.0.7:80 at 14:03:07.2"), "0 at 0");
        assert_eq!(kinds("write   67  8.1ms  |▁▂ █|"), "write 0 0T PLOT");
        assert_ne!(kinds("exit 1"), kinds("killed by SIGKILL"));
        assert_ne!(kinds("a 5 b"), kinds("a 5 c"));
    }
}
