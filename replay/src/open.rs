//! From what was typed to a bundle that can be read: a file, a named pipe, or `-` for standard input.
//!
//! A bundle is read from both of its ends, so what cannot seek is spooled to a temporary file that has no name:
//! nothing of it stays behind, however replay ends.

use crate::view::Context;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Body, Stream};
use stillframe_format::frame::{self, FrameKind};
use stillframe_format::reader::{Bundle, Condition, LOOKBACK};
use stillframe_format::snapshot::BlockDeviceInfo;
use stillframe_format::stream::{self, Stored};
use stillframe_format::{entry, layout};

/// The most that is spooled from a pipe, in bytes.
pub const SPOOL_LIMIT: u64 = 64 << 30;
/// The most that is kept of the look-back's members, in bytes. Capture takes 16 MiB of journal by default.
const LOOKBACK_LIMIT: usize = 256 << 20;
/// The most device names that are kept.
const DEVICES_LIMIT: usize = 1 << 16;

/// Why there is no bundle to read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be opened or read.
    #[error("{path}: {problem}")]
    File {
        /// The path as it was typed.
        path: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The pipe could not be spooled.
    #[error("{path}: cannot spool the pipe to a temporary file in {folder}: {cause}")]
    Spool {
        /// The path as it was typed.
        path: String,
        /// The folder for temporary files.
        folder: String,
        /// Why not.
        cause: io::Error,
    },
    /// The pipe holds more than is spooled.
    #[error("{path}: more than {} GiB come through the pipe, which is the limit (save it to a file first)", .limit >> 30)]
    TooLong {
        /// The path as it was typed.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are no bundle that this reader reads.
    #[error("{path}: {error}")]
    Read {
        /// The path as it was typed.
        path: String,
        /// What is wrong.
        error: ReadError,
    },
}

/// Opens what `path` names; `-` is standard input. What comes back can seek.
///
/// # Errors
/// [`OpenError`] when it cannot be opened or spooled.
pub fn source(path: &Path) -> Result<File, OpenError> {
    source_of(path, false)
}

/// As [`source`], also of what does not begin like a bundle: it may be one that is damaged at its beginning.
///
/// # Errors
/// As [`source`].
pub fn damaged_source(path: &Path) -> Result<File, OpenError> {
    source_of(path, true)
}

fn source_of(path: &Path, any: bool) -> Result<File, OpenError> {
    let shown = crate::escape::line(&path.display().to_string()).into_owned();
    if path.as_os_str() == "-" {
        return spool(&mut io::stdin().lock(), "standard input", SPOOL_LIMIT, any);
    }
    let failed = |error: &io::Error| OpenError::File {
        path: shown.clone(),
        problem: match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied (bundles are readable by their owner only)".to_owned()
            }
            _ => format!("cannot read: {error}"),
        },
    };
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(OpenError::File {
            path: shown,
            problem: "is a directory (give the file NAME.capture.tar.zst)".to_owned(),
        });
    }
    if metadata.is_file() || file.seek(SeekFrom::End(0)).is_ok() {
        return Ok(file);
    }
    spool(&mut file, &shown, SPOOL_LIMIT, any)
}

/// Copies a pipe to a temporary file without a name. What does not begin like a bundle is not read to its end, unless
/// `any` is wanted.
fn spool(from: &mut dyn Read, path: &str, limit: u64, any: bool) -> Result<File, OpenError> {
    let failed = |cause| OpenError::Spool {
        path: path.to_owned(),
        folder: std::env::temp_dir().display().to_string(),
        cause,
    };
    let mut start = Vec::new();
    from.take(4).read_to_end(&mut start).map_err(failed)?;
    let mut file = tempfile::tempfile().map_err(failed)?;
    file.write_all(&start).map_err(failed)?;
    if any || frame::kind(&start) == Some(FrameKind::Data) {
        let rest = limit.saturating_sub(start.len() as u64);
        let copied = io::copy(&mut from.take(rest.saturating_add(1)), &mut file).map_err(failed)?;
        if copied > rest {
            return Err(OpenError::TooLong {
                path: path.to_owned(),
                limit,
            });
        }
    }
    Ok(file)
}

/// Opens a bundle.
///
/// # Errors
/// [`OpenError`], one line: what, why, what to do.
pub fn bundle(path: &Path) -> Result<Bundle<File>, OpenError> {
    let file = source(path)?;
    Bundle::open(file).map_err(|error| not_read(path, error))
}

/// The error of a file that is no bundle that can be read.
#[must_use]
pub fn not_read(path: &Path, error: ReadError) -> OpenError {
    let path = crate::escape::line(&path.display().to_string()).into_owned();
    match error {
        ReadError::Io(error) => OpenError::File {
            path,
            problem: format!("cannot read: {error}"),
        },
        error => OpenError::Read { path, error },
    }
}

/// The facts of a bundle that its ends tell: everything but the names of devices.
#[must_use]
pub fn outline<R: Read + Seek>(bundle: &Bundle<R>) -> Context {
    let header = bundle.header();
    let start = header.started;
    let end = bundle
        .end()
        .map(|end| end.stopped)
        .or_else(|| bundle.slices().last().map(|slice| slice.to))
        .unwrap_or(start);
    let containers = header
        .targets
        .iter()
        .filter(|target| !target.id.is_empty())
        .map(|target| (target.id.clone(), target.name.clone()))
        .collect();
    Context {
        anchors: bundle.anchors().clone(),
        start,
        end: end.max(start),
        containers,
        devices: std::collections::BTreeMap::new(),
        zone: crate::zone::Zone::default(),
    }
}

/// The facts of a bundle that its events are read with.
pub fn context<R: Read + Seek>(bundle: &mut Bundle<R>) -> Context {
    let mut context = outline(bundle);
    for_each_start_member(bundle, |name, content| {
        if !name.ends_with("/block-devices.json") {
            return;
        }
        // Names are a courtesy: where they cannot be read, numbers are shown.
        let devices: Vec<BlockDeviceInfo> = serde_json::from_slice(content).unwrap_or_default();
        for info in devices {
            if let Some(device) = info.device
                && context.devices.len() < DEVICES_LIMIT
            {
                context.devices.insert(device, info.name);
            }
        }
    });
    context
}

/// What was read before the start: journal, kernel messages, container logs and holes in them, in the order of their
/// own times.
///
/// # Errors
/// [`ReadError`] when the members are not what the format says.
pub fn lookback<R: Read + Seek>(bundle: &mut Bundle<R>) -> Result<Vec<Stored>, ReadError> {
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let mut size = 0usize;
    for_each_start_member(bundle, |name, content| {
        if name.starts_with(LOOKBACK) {
            size = size.saturating_add(content.len());
            if size <= LOOKBACK_LIMIT {
                members.push((name.to_owned(), content.to_vec()));
            }
        }
    });
    ReadError::check("look-back", size, LOOKBACK_LIMIT)?;
    let entries: Vec<entry::Entry<'_>> = members
        .iter()
        .map(|(name, content)| entry::Entry { name, content })
        .collect();
    let mut found = Vec::new();
    for stream in [Stream::Loss, Stream::Journal, Stream::Kernel, Stream::Log] {
        found.extend(stream::decode(stream, LOOKBACK, &entries)?);
    }
    let anchors = bundle.anchors();
    found.sort_by_cached_key(|stored| {
        own_time(&stored.body).unwrap_or_else(|| anchors.realtime(stored.time).unwrap_or(0))
    });
    Ok(found)
}

/// The wall-clock stamp that a log entry carries itself, in nanoseconds since 1970.
#[must_use]
pub fn own_time(body: &Body) -> Option<i64> {
    match body {
        Body::Log(line) => Some(line.realtime),
        Body::Journal(entry) => {
            let stamp = crate::journal::field(&entry.export, "__REALTIME_TIMESTAMP")?;
            let microseconds: i64 = std::str::from_utf8(stamp).ok()?.parse().ok()?;
            microseconds.checked_mul(1000)
        }
        _ => None,
    }
}

/// Visits the members before the first slice, one frame in memory at a time. What is damaged is passed over: it is
/// `verify` that tells.
pub(crate) fn for_each_start_member<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    mut visit: impl FnMut(&str, &[u8]),
) {
    let first_slice = bundle.slices().first().map(|slice| slice.offset);
    let places: Vec<_> = bundle
        .frames()
        .iter()
        .copied()
        .take_while(|place| first_slice.is_none_or(|first| place.offset < first))
        .collect();
    for place in places {
        let Ok(content) = bundle.frame_content(place) else {
            continue;
        };
        for member in entry::members(&content).unwrap_or_default() {
            visit(member.name, member.content);
            if member.name == layout::START_LEDGER {
                return;
            }
        }
    }
}

/// Visits the members behind the last slice, one frame in memory at a time. What is damaged is passed over.
pub(crate) fn for_each_end_member<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    mut visit: impl FnMut(&str, &[u8]),
) {
    let behind = bundle
        .slices()
        .last()
        .map_or(0, |slice| slice.offset.saturating_add(slice.len));
    let places: Vec<_> = bundle
        .frames()
        .iter()
        .copied()
        .filter(|place| place.offset >= behind)
        .collect();
    for place in places {
        let Ok(content) = bundle.frame_content(place) else {
            continue;
        };
        for member in entry::members(&content).unwrap_or_default() {
            visit(member.name, member.content);
        }
    }
}

/// How far a bundle is good, in words; `None` when it is complete.
#[must_use]
pub fn shortfall(condition: &Condition, context: &Context) -> Option<String> {
    let moment = |time| crate::render::mapped_time(time, context);
    match condition {
        Condition::Complete => None,
        Condition::Cut { offset, slice, until } => Some(match (slice, until) {
            (Some(slice), Some(until)) => {
                format!(
                    "cut at byte {offset}: valid up to slice {slice}, {}",
                    moment(*until)
                )
            }
            _ => format!("cut at byte {offset}: valid up to there, without a slice"),
        }),
        Condition::Damaged { offset, problem } => Some(format!(
            "damaged at byte {offset}: {}; what is before it is shown",
            crate::escape::line(problem)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_spooled_up_to_a_limit_that_the_error_names() {
        let mut bytes = b"\x28\xb5\x2f\xfd".to_vec();
        bytes.extend_from_slice(&[7; 100]);
        let mut file = spool(&mut bytes.as_slice(), "-", 104, false).unwrap();
        let mut back = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
        let error = spool(&mut bytes.as_slice(), "-", 103, false).unwrap_err();
        assert!(matches!(error, OpenError::TooLong { limit: 103, .. }), "{error}");
        let error = OpenError::TooLong {
            path: "-".to_owned(),
            limit: SPOOL_LIMIT,
        };
        assert!(error.to_string().contains("64 GiB"), "{error}");
    }

    #[test]
    fn what_does_not_begin_like_a_bundle_is_not_read_to_its_end() {
        let mut endless = io::repeat(b'x');
        let file = spool(&mut endless, "-", u64::MAX, false).unwrap();
        assert!(matches!(Bundle::open(file), Err(ReadError::NotABundle(_))));
    }

    #[test]
    fn what_is_not_there_and_folders_are_said_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for (path, word) in [(missing.as_path(), "no such file"), (folder.path(), "directory")] {
            let error = source(path).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains(&path.display().to_string()),
                "{error}"
            );
            assert!(!error.contains('\n'));
        }
    }
}
