//! Where things are: the workspace's root and its target folder.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

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
