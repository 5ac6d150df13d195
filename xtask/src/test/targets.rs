//! Replay built for machines that are not this one.
//!
//! The pinned toolchain may carry the standard library of this machine alone. Debian's `rustc-web`, `cargo-web` and
//! `rust-web-src` build it for any target.

use crate::command::{self, Terminal};
use crate::workspace;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Target, its linker, the package of the linker.
const LINKERS: &[(&str, &str, &str)] = &[
    (
        "x86_64-pc-windows-gnu",
        "x86_64-w64-mingw32-gcc",
        "gcc-mingw-w64-x86-64",
    ),
    (
        "aarch64-unknown-linux-gnu",
        "aarch64-linux-gnu-gcc",
        "gcc-aarch64-linux-gnu",
    ),
];

/// Builds the replay binary for `target`.
///
/// # Errors
/// It does not compile, or the compiler, the sources of the standard library or the linker are not installed.
pub(crate) fn build(target: &str) -> Result<()> {
    let Some((_, linker, package)) = LINKERS.iter().find(|(known, _, _)| *known == target) else {
        bail!("no linker is known for {target}");
    };
    let is_there = |program: &str| Path::new("/usr/bin").join(program).exists();
    if !is_there("cargo") || !is_there("rustc") || !is_there(linker) {
        bail!(
            "{target} needs /usr/bin/cargo, /usr/bin/rustc and {linker}: apt-get install rustc-web cargo-web rust-web-src {package}"
        );
    }
    let variable = target.to_uppercase().replace('-', "_");
    let mut command = Command::new("/usr/bin/cargo");
    command
        .args([
            "build",
            "-Zbuild-std=std,panic_abort",
            "--locked",
            "-p",
            "stillframe-replay",
            "--target",
            target,
        ])
        .arg("--target-dir")
        .arg(workspace::target()?.join("other-targets"))
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .current_dir(workspace::root()?);
    command::run(&mut command, Terminal::Detached)
}
