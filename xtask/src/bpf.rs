//! The compiled BPF objects: rebuilding them, and proving that the committed ones are what the sources give.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler whose bytes are committed: Debian's package `clang-16`.
const CLANG: &str = "clang-16";
/// From Debian's package `llvm-16`.
const STRIP: &str = "llvm-strip-16";
/// Sources in `capture/bpf/`, without `.bpf.c`.
const OBJECTS: [&str; 2] = ["syscalls", "block"];

/// Compiles the sources in `capture/bpf/` and puts the objects beside them; with `check`, compares with what is
/// there instead, and changes nothing.
///
/// # Errors
/// When clang-16 or llvm-strip-16 is missing or fails, and with `check` when an object differs.
pub(crate) fn rebuild(check: bool) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/bpf");
    let folder = folder
        .canonicalize()
        .with_context(|| format!("{}: no such folder", folder.display()))?;
    let mut different = Vec::new();
    for name in OBJECTS {
        let built = compile(&folder, name)?;
        let object = folder.join(format!("{name}.bpf.o"));
        let committed = fs::read(&object).unwrap_or_default();
        if built == committed {
            println!("{name}.bpf.o: up to date");
        } else if check {
            different.push(format!("{name}.bpf.o"));
        } else {
            fs::write(&object, &built).with_context(|| object.display().to_string())?;
            println!("{name}.bpf.o: rebuilt, {} bytes", built.len());
        }
    }
    if !different.is_empty() {
        bail!(
            "{}: not what the source gives (run `cargo xtask bpf` and commit the result)",
            different.join(", ")
        );
    }
    Ok(())
}

fn compile(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let output = Output::new(name);
    // The compiler writes the folder into the object unless it is mapped away.
    let map = format!("-ffile-prefix-map={}=.", folder.display());
    run(Command::new(CLANG)
        .current_dir(folder)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3"])
        .arg(map)
        .arg("-c")
        .arg(format!("{name}.bpf.c"))
        .arg("-o")
        .arg(&output.0))?;
    // DWARF goes, BTF stays: the loader needs it for CO-RE, and the verifier's log quotes source lines from it.
    run(Command::new(STRIP).arg("-g").arg(&output.0))?;
    fs::read(&output.0).with_context(|| output.0.display().to_string())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{program}: can't be run (apt-get install clang-16 llvm-16)"))?;
    if !status.success() {
        bail!("{program}: {status}");
    }
    Ok(())
}

/// A file that is removed when it goes out of scope.
struct Output(PathBuf);

impl Output {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("stillframe-{}-{name}.bpf.o", std::process::id())))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
