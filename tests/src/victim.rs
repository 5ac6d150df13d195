//! Programs that are recorded: the C sources in `tests/victims/`.

use crate::{run, tool};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the sources.
#[must_use]
pub fn victims() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("victims")
}

/// Compiles a C file of [`victims`], or all C files of a folder in it (`.` for itself), to a static program, which runs in
/// any image.
///
/// # Errors
/// There is no such source, or the compiler does not take it.
pub fn compile(source: &str, program: &Path) -> Result<()> {
    let source = victims().join(source);
    let sources = if source.is_dir() {
        let mut found: Vec<PathBuf> = fs::read_dir(&source)
            .with_context(|| format!("{}", source.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
            .collect();
        found.sort();
        found
    } else {
        vec![source]
    };
    let mut cc = tool("cc", &["-O1", "-static", "-w", "-o"]);
    run(cc.arg(program).args(sources).arg("-lpthread"))?;
    Ok(())
}
