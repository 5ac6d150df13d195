//! Where things are: the workspace's root and its target folder.

use crate::command::{self, Terminal};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
pub(crate) fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no folder above it")
}

/// The one target folder that every step uses.
pub(crate) fn target() -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root()?.join(target),
        None => root()?.join("target"),
    };
    std::fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    Ok(target)
}

/// Builds both binaries as users get them, and returns the folder they are in.
pub(crate) fn release_binaries() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "-p",
            "stillframe-capture",
            "-p",
            "stillframe-replay",
        ])
        .current_dir(root()?);
    command::run(&mut cargo, Terminal::Detached)?;
    Ok(target()?.join("release"))
}
