//! Reading small files whose length the kernel, or a process, decides.

use super::CollectError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read: command lines may be megabytes.
const LIMIT: u64 = 1 << 20;

/// The first MiB of a file.
pub(super) fn bytes(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text; bytes that are not UTF-8 are replaced.
pub(super) fn text(path: &str) -> io::Result<String> {
    bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The same, with an error that names the file.
pub(super) fn text_named(path: &str) -> Result<String, CollectError> {
    text(path).map_err(|cause| CollectError::File {
        path: path.to_owned(),
        cause,
    })
}

/// The text of a file under `folder`, trimmed; `None` when it cannot be read.
pub(super) fn trimmed(folder: &Path, name: &str) -> Option<String> {
    let path = folder.join(name);
    text(path.to_str()?).ok().map(|text| text.trim().to_owned())
}

/// Where a link leads, as text; empty when it cannot be read.
pub(super) fn link(path: &str) -> String {
    std::fs::read_link(path)
        .map(|target| target.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether an error says that the process is gone.
pub(super) fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}
