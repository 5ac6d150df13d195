//! Where an export goes: standard output, or a file that has its name only when it is whole.

mod pager;

use pager::Paged;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file is there already.
    #[error("{0}: exists already (give --force to replace it)")]
    Exists(String),
    /// A device, a pipe, a socket, a folder: a file that is renamed over it would destroy it.
    #[error("{0}: is no regular file and is never replaced (give `-o -` and redirect standard output)")]
    Special(String),
    /// The file can't be made.
    #[error("{path}: cannot write: {cause}")]
    Create {
        /// The file.
        path: String,
        /// Why not.
        cause: io::Error,
    },
}

/// An open output. Without [`Output::finish`] a file leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stdout(BufWriter<io::Stdout>),
    Paged(Paged),
    File { file: BufWriter<File>, partial: Partial },
}

/// A file that is being written under another name.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    partial: PathBuf,
    force: bool,
    whole: bool,
}

impl Partial {
    /// Begins `path` as `path.partial`, readable by its owner only. An existing file is refused without `force`, what is
    /// no file always.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn create(path: &Path, force: bool) -> Result<(Self, File), OutputError> {
        let shown = || crate::escape::line(&path.display().to_string()).into_owned();
        // Not followed: a link is replaced like a file, wherever it leads.
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() && !found.is_symlink() => {
                return Err(OutputError::Special(shown()));
            }
            Ok(_) if !force => return Err(OutputError::Exists(shown())),
            _ => {}
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // What an interrupted run left goes first; a link that somebody laid there is not followed.
        if partial.symlink_metadata().is_ok_and(|file| !file.is_dir()) {
            let _ = fs::remove_file(&partial);
        }
        let file = options
            .open(&partial)
            .map_err(|cause| OutputError::Create { path: shown(), cause })?;
        let partial = Self {
            path: path.to_owned(),
            partial,
            force,
            whole: false,
        };
        Ok((partial, file))
    }

    /// Opens the file again, to append.
    ///
    /// # Errors
    /// When that fails.
    pub fn append(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.partial)
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When it is taken by now, or the file can't be renamed.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.force && self.path.symlink_metadata().is_ok() {
            let text = format!("{}: exists by now", self.path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        fs::rename(&self.partial, &self.path)?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.whole {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Output {
    /// Opens an output: `-` is standard output, anything else a file.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn create(path: &Path, force: bool) -> Result<Self, OutputError> {
        if path.as_os_str() == "-" {
            return Ok(Self::stdout());
        }
        let (partial, file) = Partial::create(path, force)?;
        Ok(Self {
            target: Target::File {
                file: BufWriter::with_capacity(1 << 16, file),
                partial,
            },
        })
    }

    /// Standard output, in large pieces.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            target: Target::Stdout(BufWriter::with_capacity(1 << 16, io::stdout())),
        }
    }

    /// Standard output for people: through a pager, where it is a terminal, longer than that, and a pager is `wanted`.
    #[must_use]
    pub fn paged(wanted: bool) -> Self {
        match wanted.then(Paged::open).flatten() {
            Some(paged) => Self {
                target: Target::Paged(paged),
            },
            None => Self::stdout(),
        }
    }

    /// Writes what is held, gives a file its name, and waits for a pager.
    ///
    /// # Errors
    /// When that fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self.target {
            Target::Stdout(_) => Ok(()),
            Target::Paged(mut paged) => paged.finish(),
            Target::File { partial, .. } => partial.finish(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Stdout(out) => out.write(bytes),
            Target::Paged(out) => out.write(bytes),
            Target::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Stdout(out) => out.flush(),
            Target::Paged(out) => out.flush(),
            Target::File { file, .. } => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut output = Output::create(&path, false).unwrap();
        output.write_all(b"part").unwrap();
        assert!(!path.exists());
        drop(output);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "something was left");
        let mut output = Output::create(&path, false).unwrap();
        output.write_all(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for force in [false, true] {
            assert!(matches!(
                Output::create(&path, force),
                Err(OutputError::Special(_))
            ));
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "something was left");
    }

    #[test]
    fn a_file_that_exists_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(
            Output::create(&path, false),
            Err(OutputError::Exists(_))
        ));
        Output::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert!(matches!(
            Output::create(folder.path(), true),
            Err(OutputError::Special(_))
        ));
        assert!(matches!(
            Output::create(&folder.path().join("no/x"), false),
            Err(OutputError::Create { .. })
        ));
    }
}
