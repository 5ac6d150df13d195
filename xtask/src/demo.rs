//! `cargo xtask demo`: what Stillframe does, shown on a small workload that capture starts itself.

use crate::command::{self, Terminal};
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::Command;

/// Files, processes, a refused connection and a little waiting: something for every view.
const WORKLOAD: &str = "\
mkdir -p \"$0\"/data
for n in 1 2 3; do echo \"line $n\" >> \"$0\"/data/log; done
cat \"$0\"/data/log /not/there
(exec 3<>/dev/tcp/127.0.0.1/9) 2>/dev/null
sleep 0.5
dd if=/dev/zero of=\"$0\"/data/zeros bs=64k count=16 conv=fsync status=none
exit 3";

/// Records the workload into `target/demo.capture.tar.zst`, then shows it.
pub(crate) fn run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo records system calls, which needs root; `replay` then needs none");
    }
    let binaries = workspace::release_binaries()?;
    let bundle = workspace::target()?.join("demo.capture.tar.zst");
    let bundle = bundle
        .to_str()
        .context("the path of the target folder is not UTF-8")?;
    let folder = std::env::temp_dir().join(format!("stillframe-demo-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let shown = record_and_show(&binaries, bundle, &folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    shown?;
    println!(
        "\nThe bundle stays in {bundle}. Step through it with:\n  {} step {bundle}",
        binaries.join("replay").display()
    );
    Ok(())
}

fn record_and_show(binaries: &Path, bundle: &str, folder: &Path) -> Result<()> {
    let folder = folder
        .to_str()
        .context("the path of the temporary folder is not UTF-8")?;
    show(
        binaries,
        "capture",
        &["-o", bundle, "--force", "--", "bash", "-c", WORKLOAD, folder],
    )?;
    show(binaries, "replay", &["info", bundle])?;
    show(
        binaries,
        "replay",
        &["events", bundle, "-f", "evt.stream!=metrics", "-n", "15"],
    )?;
    show(
        binaries,
        "replay",
        &[
            "events",
            bundle,
            "-f",
            "evt.failed=true and evt.type in (openat, connect)",
        ],
    )?;
    show(
        binaries,
        "replay",
        &["events", bundle, "-f", "evt.stream=process"],
    )?;
    show(
        binaries,
        "replay",
        &["events", bundle, "--count", "-f", "evt.type=write"],
    )?;
    show(binaries, "replay", &["state", bundle, "ps", "--at", "-300ms"])?;
    show(binaries, "replay", &["verify", bundle])?;
    let strace = Path::new(folder).join("demo.strace");
    let strace = strace
        .to_str()
        .context("the path of the temporary folder is not UTF-8")?;
    show(binaries, "replay", &["export", bundle, "strace", "-o", strace])?;
    let text = std::fs::read_to_string(strace).context("the exported text cannot be read")?;
    for line in text
        .lines()
        .filter(|line| line.contains("not/there") || line.contains("connect("))
    {
        println!("{line}");
    }
    command::run(
        Command::new("tar")
            .args(["--zstd", "-tf", bundle])
            .stdout(std::process::Stdio::null()),
        Terminal::Shared,
    )
}

/// Prints a command as a user would type it, runs it, and wants it to succeed.
fn show(binaries: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    println!("\n$ {program} {}", words.join(" "));
    // cargo's own search path for libraries would fill the recording with what was not found in it.
    command::run(
        Command::new(binaries.join(program))
            .args(arguments)
            .env_remove("LD_LIBRARY_PATH")
            .env("LC_ALL", "C"),
        Terminal::Shared,
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quoted("--at"), "--at");
        assert_eq!(quoted("evt.type=write"), "evt.type=write");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
