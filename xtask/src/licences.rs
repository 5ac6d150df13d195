//! What the workspace depends on, held to the lists in `deny.toml`: licences and sources of every package.

use crate::{command, workspace};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::process::Command;

/// What the binaries are built for.
const TARGETS: &[&str] = &[
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-gnu",
];

/// Checks every package of the ordinary build, on every platform, and what optional features link in on those that are
/// built for. Also runs cargo-deny, where it is installed.
pub(crate) fn check() -> Result<()> {
    let configuration =
        std::fs::read_to_string(workspace::root()?.join("deny.toml")).context("cannot read deny.toml")?;
    let licences = list(&configuration, "licenses", "allow")?;
    let registries = list(&configuration, "sources", "allow-registry")?;
    let metadata = command::output(
        Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(workspace::root()?),
    )?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata has no packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let name = format!(
            "{} {}",
            text("name").unwrap_or("?"),
            text("version").unwrap_or("?")
        );
        match text("license").map(|expression| allowed(expression, &licences)) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => wrong.push(format!(
                "{name}: {} is not allowed",
                text("license").unwrap_or("?")
            )),
            Some(Err(error)) => wrong.push(format!("{name}: {error:#}")),
            None => wrong.push(format!("{name}: names no licence")),
        }
        if let Some(source) = text("source") {
            let registry = source.strip_prefix("registry+");
            if !registry.is_some_and(|registry| registries.iter().any(|known| known == registry)) {
                wrong.push(format!("{name}: comes from {source}"));
            }
        }
    }
    // `cargo metadata` would name what only other platforms need of a feature; the tree does not.
    for target in TARGETS {
        let tree = command::output(
            Command::new("cargo")
                .args([
                    "tree",
                    "--workspace",
                    "--locked",
                    "--all-features",
                    "--target",
                    target,
                ])
                .args(["--edges", "normal,build", "--prefix", "none", "--no-dedupe"])
                .args(["--format", "{p}|{l}"])
                .current_dir(workspace::root()?),
        )?;
        for (name, licence) in tree.lines().filter_map(|line| line.split_once('|')) {
            if !allowed(licence, &licences).is_ok_and(|allowed| allowed) {
                wrong.push(format!("{name}, with all features: {licence} is not allowed"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    if !wrong.is_empty() {
        bail!("not allowed by deny.toml:\n  {}", wrong.join("\n  "));
    }
    if command::succeeds(Command::new("cargo").args(["deny", "--version"])) {
        let mut deny = Command::new("cargo");
        deny.args(["deny", "--offline", "check", "bans", "licenses", "sources"])
            .current_dir(workspace::root()?);
        command::run(&mut deny, command::Terminal::Detached)?;
    }
    Ok(())
}

/// The strings of `key = [ ... ]` in `[section]`.
fn list(configuration: &str, section: &str, key: &str) -> Result<Vec<String>> {
    let header = format!("[{section}]");
    let mut lines = configuration
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1);
    let start = format!("{key} = [");
    let mut text = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix(&start))
        .with_context(|| format!("deny.toml: no {key} in {header}"))?
        .to_owned();
    while !text.contains(']') {
        let line = lines
            .next()
            .with_context(|| format!("deny.toml: {key} has no end"))?;
        text.push_str(line.split('#').next().unwrap_or_default());
    }
    let inside = text.split(']').next().unwrap_or_default();
    Ok(inside.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression (with the old `/` for `OR`) can be met with the allowed licences alone.
fn allowed(expression: &str, licences: &[String]) -> Result<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
    let mut words = words.as_slice();
    let result = any_of(&mut words, licences)?;
    if !words.is_empty() {
        bail!("cannot read the licence expression {expression:?}");
    }
    Ok(result)
}

fn any_of(words: &mut &[&str], licences: &[String]) -> Result<bool> {
    let mut result = all_of(words, licences)?;
    while words.first() == Some(&"OR") {
        *words = words.get(1..).unwrap_or_default();
        // Both sides are read, whatever the first one says.
        result = all_of(words, licences)? || result;
    }
    Ok(result)
}

fn all_of(words: &mut &[&str], licences: &[String]) -> Result<bool> {
    let mut result = one(words, licences)?;
    while words.first() == Some(&"AND") {
        *words = words.get(1..).unwrap_or_default();
        result = one(words, licences)? && result;
    }
    Ok(result)
}

fn one(words: &mut &[&str], licences: &[String]) -> Result<bool> {
    match **words {
        ["(", ref rest @ ..] => {
            *words = rest;
            let result = any_of(words, licences)?;
            let Some((&")", rest)) = words.split_first() else {
                bail!("a parenthesis is not closed");
            };
            *words = rest;
            Ok(result)
        }
        [name, "WITH", exception, ref rest @ ..] => {
            *words = rest;
            Ok(licences.contains(&format!("{name} WITH {exception}")))
        }
        [name, ref rest @ ..] => {
            *words = rest;
            Ok(licences.iter().any(|known| known == name))
        }
        [] => bail!("the licence expression ends too early"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> bool {
        let licences = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(str::to_owned);
        allowed(expression, &licences).unwrap()
    }

    #[test]
    fn one_allowed_alternative_is_enough_and_every_conjunct_is_needed() {
        assert!(check("MIT"));
        assert!(check("GPL-2.0 OR MIT"));
        assert!(check("GPL-2.0/MIT"));
        assert!(check("(GPL-2.0 OR MIT) AND Unicode-3.0"));
        assert!(check("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
        assert!(!check("GPL-2.0"));
        assert!(!check("MIT AND GPL-2.0"));
        assert!(!check("Apache-2.0"));
        assert!(!check("(MIT OR GPL-2.0) AND GPL-3.0"));
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_an_error() {
        for expression in ["", "MIT MIT", "(MIT", "MIT OR"] {
            assert!(
                allowed(expression, &["MIT".to_owned()]).is_err(),
                "{expression:?}"
            );
        }
    }

    #[test]
    fn a_list_is_read_from_its_own_section() {
        let text =
            "[a]\nallow = [\"x\"]\n[licenses]\n# comment\nallow = [\n  \"MIT\", # why\n  \"ISC\",\n]\n";
        assert_eq!(list(text, "licenses", "allow").unwrap(), ["MIT", "ISC"]);
        assert_eq!(list(text, "a", "allow").unwrap(), ["x"]);
        assert!(list(text, "b", "allow").is_err());
        assert!(list("[a]\n[b]\nallow = []\n", "a", "allow").is_err());
    }
}
