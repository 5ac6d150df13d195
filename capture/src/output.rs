//! Where the bundle goes: `NAME.partial`, which gets its own name when it is sealed, or standard output.
//!
//! Nothing stands under the final name that is not whole, and what a killed capture leaves keeps its `.partial`
//! name, which `replay` reads up to the cut. Writes are not buffered here: the bundle writer hands over whole
//! frames, and what it has handed over must reach the kernel before a crash does.
//!
//! A disk that fills up is met by the caller: [`is_full`] tells that case, [`Output::cut_back`] forgets the frame
//! that did not fit, and there is room for the end (`reserve`). Where there is none (a network file system that
//! can't reserve any), [`Output::abandon`] leaves the partial file.

mod pipe;
mod reserve;

pub use pipe::Due;

use crate::exit;
use pipe::{Pipe, STALL};
use reserve::Reserve;
use serde::{Serialize, Serializer};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where the bundle is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OutputPlan {
    /// Standard output.
    Pipe,
    /// A file.
    File {
        /// Its final name.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// Replace what is there.
        force: bool,
    },
}

fn lossy<S: Serializer>(path: &Path, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&path.to_string_lossy())
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The final name is taken.
    #[error("output: {} exists (give --force to replace it, or another name with -o)", .0.display())]
    Exists(PathBuf),
    /// The partial name is taken.
    #[error(
        "output: {} exists: a capture that was cut short left it, or one that still runs writes it \
         (`replay` reads it; give --force to replace it)",
        .0.display()
    )]
    PartialExists(PathBuf),
    /// The final name is a folder.
    #[error("output: {} is a folder (give the name of a file in it)", .0.display())]
    Folder(PathBuf),
    /// The final name is a device, a pipe, a socket: renaming over it would destroy it.
    #[error(
        "output: {} is no regular file and is never replaced (give `-o -` and redirect standard output)",
        .0.display()
    )]
    Special(PathBuf),
    /// Standard output is a terminal.
    #[error("output: standard output is a terminal (redirect it to a file or a pipe, or give -o FILE)")]
    Terminal,
    /// It cannot be made.
    #[error("output: cannot create {}: {cause}{}", path.display(), advice(cause))]
    Create {
        /// The final name.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// It could not be brought to the disk or get its final name. What was recorded is in the partial file.
    #[error("output: cannot finish {}: {cause} (what was recorded is in {})", path.display(), partial.display())]
    Seal {
        /// The final name.
        path: PathBuf,
        /// Where the bundle is.
        partial: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// Standard output could not be written to its end.
    #[error("output: cannot write to standard output: {0}")]
    Pipe(#[source] io::Error),
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => " (does its folder exist?)",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (choose a folder that can be written with -o)"
        }
        _ => "",
    }
}

impl OutputError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists(_)
            | Self::PartialExists(_)
            | Self::Folder(_)
            | Self::Special(_)
            | Self::Terminal => exit::USAGE,
            Self::Create { .. } | Self::Seal { .. } | Self::Pipe(_) => exit::NOTHING,
        }
    }
}

/// Whether a write failed because the disk, the quota or the largest file size is used up.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether a write failed because nobody reads the pipe (or socket) any more.
#[must_use]
pub fn is_closed_pipe(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl OutputPlan {
    /// Whether what stands under the name already is in the way. [`Output::create`] asks again: this is for a plan
    /// that is shown.
    ///
    /// # Errors
    /// The same as [`Output::create`], but for what only creating shows.
    pub fn check(&self) -> Result<(), OutputError> {
        match self {
            Self::Pipe if io::stdout().is_terminal() => Err(OutputError::Terminal),
            Self::Pipe => Ok(()),
            Self::File { path, force } => {
                // Not followed: a link is replaced like a file, wherever it leads.
                if let Ok(found) = fs::symlink_metadata(path) {
                    let kind = found.file_type();
                    if kind.is_dir() {
                        return Err(OutputError::Folder(path.clone()));
                    } else if !kind.is_file() && !kind.is_symlink() {
                        return Err(OutputError::Special(path.clone()));
                    } else if !force {
                        return Err(OutputError::Exists(path.clone()));
                    }
                }
                let partial = partial(path);
                if !force && fs::symlink_metadata(&partial).is_ok() {
                    return Err(OutputError::PartialExists(partial));
                }
                Ok(())
            }
        }
    }

    /// The name that the file has until it is sealed; `None` for a pipe.
    #[must_use]
    pub fn partial(&self) -> Option<PathBuf> {
        match self {
            Self::Pipe => None,
            Self::File { path, .. } => Some(partial(path)),
        }
    }

    /// The folder that the file is made in.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Pipe => None,
            Self::File { path, .. } => Some(folder_of(path)),
        }
    }
}

impl std::fmt::Display for OutputPlan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pipe => out.write_str("standard output"),
            Self::File { path, force: false } => write!(out, "{}", path.display()),
            Self::File { path, force: true } => write!(out, "{} (replaced if it exists)", path.display()),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

/// An open output. Dropped before anything was written, it leaves nothing; later it leaves the partial file.
#[derive(Debug)]
pub struct Output {
    sink: Option<Sink>,
    written: u64,
}

#[derive(Debug)]
enum Sink {
    File {
        file: File,
        path: PathBuf,
        partial: PathBuf,
        force: bool,
        reserve: Reserve,
    },
    Pipe(Pipe),
}

impl Output {
    /// Makes the partial file (mode 0600, never through a link), or takes standard output.
    ///
    /// # Errors
    /// [`OutputError`]; nothing is left then, and nothing that was there is changed.
    pub fn create(plan: &OutputPlan) -> Result<Self, OutputError> {
        plan.check()?;
        let sink = match plan {
            OutputPlan::Pipe => {
                // Not `Stdout`: its line buffer would cut frames at newlines.
                let stdout = io::stdout()
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(OutputError::Pipe)?;
                Sink::Pipe(Pipe::new(stdout.into(), STALL))
            }
            OutputPlan::File { path, force } => {
                let partial = partial(path);
                let failed = |cause: io::Error| OutputError::Create {
                    path: path.clone(),
                    cause,
                };
                if *force {
                    match fs::remove_file(&partial) {
                        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
                        _ => {}
                    }
                }
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&partial)
                    .map_err(|cause| {
                        // Another capture was faster since the check.
                        if cause.kind() == io::ErrorKind::AlreadyExists {
                            OutputError::PartialExists(partial.clone())
                        } else {
                            failed(cause)
                        }
                    })?;
                Sink::File {
                    file,
                    path: path.clone(),
                    partial,
                    force: *force,
                    reserve: Reserve::default(),
                }
            }
        };
        Ok(Self {
            sink: Some(sink),
            written: 0,
        })
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Brings what was written to the disk; nothing for a pipe.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sync(&self) -> io::Result<()> {
        match &self.sink {
            Some(Sink::File { file, .. }) => file.sync_data(),
            _ => Ok(()),
        }
    }

    /// Tells when the end is due: from then on a reader that takes nothing is not waited for much longer.
    pub fn expect_end(&mut self, due: Due) {
        if let Some(Sink::Pipe(pipe)) = &mut self.sink {
            pipe.due = Some(due);
        }
    }

    /// Forgets what stands behind the first `len` bytes, frames that were written in part, and gives the room that
    /// was kept for the end to what is written next: the end. A pipe can't.
    ///
    /// What is forgotten is written over, and goes for good when the file gets its length: a shorter file would give
    /// its blocks back to a disk on which others wait for them.
    ///
    /// # Errors
    /// What the kernel said; for a pipe [`io::ErrorKind::Unsupported`].
    pub fn cut_back(&mut self, len: u64) -> io::Result<()> {
        match &mut self.sink {
            Some(Sink::File { file, reserve, .. }) => {
                file.seek(SeekFrom::Start(len))?;
                reserve.give_up();
                self.written = len;
                Ok(())
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The end of a whole bundle: everything to the disk, then the final name, then the folder to the disk.
    /// Returns the final name, `None` for a pipe.
    ///
    /// # Errors
    /// [`OutputError::Seal`]; the partial file stays.
    pub fn seal(mut self) -> Result<Option<PathBuf>, OutputError> {
        let Some(Sink::File {
            file,
            path,
            partial,
            force,
            ..
        }) = self.sink.take()
        else {
            return Ok(None);
        };
        // Also gives back the room that was kept and not needed.
        let sealed = file
            .set_len(self.written)
            .and_then(|()| file.sync_all())
            .and_then(|()| rename(&partial, &path, force))
            .and_then(|()| sync_folder(folder_of(&path)));
        match sealed {
            Ok(()) => Ok(Some(path)),
            Err(cause) => Err(OutputError::Seal { path, partial, cause }),
        }
    }

    /// The end of a bundle that is not whole: the partial file stays, as far as the disk takes it. Returns its
    /// name; `None` when there is none, because it is a pipe or because nothing was written.
    #[must_use]
    pub fn abandon(mut self) -> Option<PathBuf> {
        self.leave()
    }

    /// The end of a bundle in which nothing was recorded: no file is left.
    pub fn discard(mut self) {
        self.written = 0;
        self.leave();
    }

    fn leave(&mut self) -> Option<PathBuf> {
        match self.sink.take() {
            Some(Sink::File { partial, .. }) if self.written == 0 => {
                // An empty file tells nobody anything. If it can't be removed, then it stays.
                let _ = fs::remove_file(partial);
                None
            }
            Some(Sink::File { file, partial, .. }) => {
                // The output has failed already; whether this works is no news.
                let _ = file.set_len(self.written).and_then(|()| file.sync_all());
                Some(partial)
            }
            _ => None,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.sink {
            Some(Sink::File { file, reserve, .. }) => {
                reserve.before(file, self.written, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
                file.write(bytes)?
            }
            Some(Sink::Pipe(pipe)) => pipe.write(bytes)?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.written = self
            .written
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the partial file its final name. Without `force` a file that appeared there meanwhile is not replaced: a
/// hard link fails where a rename would not.
fn rename(partial: &Path, path: &Path, force: bool) -> io::Result<()> {
    if force {
        return fs::rename(partial, path);
    }
    match fs::hard_link(partial, path) {
        Ok(()) => fs::remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No hard links on this file system (FAT, some network ones): the next best.
        Err(_) if fs::symlink_metadata(path).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(partial, path),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not read, or a file system that can't sync one: the file itself is safe.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn plan(folder: &Path, force: bool) -> OutputPlan {
        OutputPlan::File {
            path: folder.join("x.capture.tar.zst"),
            force,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_sealed_file_has_its_name_and_mode_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&plan(folder.path(), false)).unwrap();
        output.write_all(b"bundle").unwrap();
        assert_eq!(names(folder.path()), ["x.capture.tar.zst.partial"]);
        output.sync().unwrap();
        assert_eq!(output.written(), 6);
        let path = output.seal().unwrap().unwrap();
        assert_eq!(names(folder.path()), ["x.capture.tar.zst"]);
        assert_eq!(fs::read(&path).unwrap(), b"bundle");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn an_existing_file_is_refused_and_replaced_only_by_a_sealed_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.capture.tar.zst");
        fs::write(&path, "precious").unwrap();
        let error = Output::create(&plan(folder.path(), false)).unwrap_err();
        assert_eq!(error.exit_code(), exit::USAGE);
        let said = error.to_string();
        assert!(
            said.contains("--force") && said.contains("x.capture.tar.zst"),
            "{said}"
        );
        let mut output = Output::create(&plan(folder.path(), true)).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"precious", "replaced before the end");
        output.seal().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_appears_during_the_capture_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&plan(folder.path(), false)).unwrap();
        output.write_all(b"ours").unwrap();
        fs::write(folder.path().join("x.capture.tar.zst"), "theirs").unwrap();
        let error = output.seal().unwrap_err();
        assert!(error.to_string().contains("x.capture.tar.zst.partial"), "{error}");
        assert_eq!(
            fs::read(folder.path().join("x.capture.tar.zst")).unwrap(),
            b"theirs"
        );
        assert_eq!(
            fs::read(folder.path().join("x.capture.tar.zst.partial")).unwrap(),
            b"ours"
        );
    }

    #[test]
    fn the_partial_of_a_crashed_run_is_kept_until_force() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.capture.tar.zst.partial"), "evidence").unwrap();
        let error = Output::create(&plan(folder.path(), false)).unwrap_err();
        assert_eq!(error.exit_code(), exit::USAGE);
        assert!(error.to_string().contains("replay"), "{error}");
        let output = Output::create(&plan(folder.path(), true)).unwrap();
        drop(output);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn the_partial_name_is_not_followed_where_it_is_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("x.capture.tar.zst.partial")).unwrap();
        Output::create(&plan(folder.path(), false)).unwrap_err();
        let mut output = Output::create(&plan(folder.path(), true)).unwrap();
        output.write_all(b"bundle").unwrap();
        output.seal().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }

    #[test]
    fn nothing_written_leaves_nothing_and_something_stays_as_partial() {
        let folder = tempfile::tempdir().unwrap();
        drop(Output::create(&plan(folder.path(), false)).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
        let mut output = Output::create(&plan(folder.path(), false)).unwrap();
        output.write_all(b"some").unwrap();
        let left = output.abandon().unwrap();
        assert_eq!(fs::read(left).unwrap(), b"some");
        assert_eq!(names(folder.path()), ["x.capture.tar.zst.partial"]);
    }

    #[test]
    fn the_room_for_the_end_is_there_and_is_given_back() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let blocks = |path: &Path| path.metadata().unwrap().blocks() * 512;
        let partial = folder.path().join("x.capture.tar.zst.partial");
        let mut output = Output::create(&plan(folder.path(), false)).unwrap();
        output.write_all(b"a frame and half of one").unwrap();
        assert_eq!(partial.metadata().unwrap().len(), 23);
        // A file system that can't reserve has nothing to show.
        let kept = blocks(&partial);
        assert!(kept < 8 << 20, "{kept}");
        output.cut_back(7).unwrap();
        output.write_all(b" + end").unwrap();
        assert_eq!(output.written(), 13);
        let path = output.seal().unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a frame + end");
        assert!(blocks(&path) <= 64 << 10, "{}", blocks(&path));
    }

    #[test]
    fn what_cannot_be_written_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = Output::create(&plan(&folder.path().join("not/there"), false)).unwrap_err();
        assert_eq!(error.exit_code(), exit::NOTHING);
        assert!(
            error.to_string().contains("not/there/x.capture.tar.zst"),
            "{error}"
        );
        let error = Output::create(&plan(Path::new("/proc"), false)).unwrap_err();
        assert_eq!(error.exit_code(), exit::NOTHING);
        assert!(error.to_string().contains("/proc/x.capture.tar.zst"), "{error}");
    }

    #[test]
    fn devices_and_folders_are_never_replaced() {
        let file = |path: &str| OutputPlan::File {
            path: path.into(),
            force: true,
        };
        let error = Output::create(&file("/dev/null")).unwrap_err();
        assert!(matches!(error, OutputError::Special(_)), "{error}");
        let error = Output::create(&file("/tmp")).unwrap_err();
        assert!(matches!(error, OutputError::Folder(_)), "{error}");
    }

    #[test]
    fn a_full_disk_and_a_closed_pipe_are_told_apart() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write(b"x").unwrap_err();
        assert!(is_full(&error) && !is_closed_pipe(&error), "{error}");
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let error = writer.write(b"x").unwrap_err();
        assert!(is_closed_pipe(&error) && !is_full(&error), "{error}");
    }
}
