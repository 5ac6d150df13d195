//! The records that are JSON: the header, the end record, the manifest (`docs/format.md`, "Header" and "End").

use crate::BootTime;
use crate::digest::Sha256;
use crate::error::ReadError;
use crate::layout::{FEATURES, FORMAT_MAJOR, FORMAT_MINOR, FORMAT_NAME, RECORD_MAX};
use crate::time::Anchor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `header.json`: what is known before the first event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Which format this is.
    pub format: Format,
    /// A random UUID: the bundle's identity.
    pub id: String,
    /// What wrote it.
    pub tool: Tool,
    /// Fields that the operator gave: `reference`, `operator`, `note`.
    #[serde(default)]
    pub case: BTreeMap<String, String>,
    /// When recording began.
    pub started: BootTime,
    /// The clocks at that moment; at least one.
    pub anchors: Vec<Anchor>,
    /// What was captured.
    pub targets: Vec<TargetInfo>,
    /// The plan as capture resolved it: every option with its value.
    #[serde(default)]
    pub plan: serde_json::Value,
    /// What preflight decided for each source.
    #[serde(default)]
    pub preflight: serde_json::Value,
    /// Facts of the host.
    #[serde(default)]
    pub host: serde_json::Value,
}

/// The format's name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Always [`FORMAT_NAME`].
    pub name: String,
    /// Readers refuse a major version that they don't know.
    pub major: u32,
    /// Readers ignore what a newer minor version adds.
    pub minor: u32,
    /// Features that a reader must know or refuse the bundle: [`crate::layout::FEATURES`].
    #[serde(default)]
    pub requires: Vec<String>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            name: FORMAT_NAME.to_owned(),
            major: FORMAT_MAJOR,
            minor: FORMAT_MINOR,
            requires: Vec::new(),
        }
    }
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its executable file, hex; empty when it could not be read.
    #[serde(default)]
    pub sha256: String,
}

/// A target, as far as a reader needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetInfo {
    /// The container's name, `pid 1234`, or a command's name.
    pub name: String,
    /// The container's full id; what `container` of a task holds.
    pub id: String,
    /// `container`, `tree` or `command`.
    pub kind: String,
    /// First process on the host; 0 when none ran.
    #[serde(default)]
    pub pid: u32,
    /// The folder of its snapshot members: `start/containers/<folder>/…`.
    pub folder: String,
    /// Namespaces of the first process: kind and inode number.
    #[serde(default)]
    pub namespaces: BTreeMap<String, u64>,
    /// Who else uses its network namespace: `host`, or names of containers.
    #[serde(default)]
    pub netns_shared_with: Vec<String>,
    /// Its block devices, `major:minor`.
    #[serde(default)]
    pub devices: Vec<String>,
}

impl Header {
    /// Reads `header.json` and checks that this reader can go on.
    ///
    /// # Errors
    /// [`ReadError::NotABundle`] or [`ReadError::NewerVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let not = |problem: String| ReadError::NotABundle(format!("header.json: {problem}"));
        /// What every version keeps.
        #[derive(Deserialize)]
        struct Outline {
            format: Format,
            #[serde(default)]
            tool: Tool,
        }
        if bytes.len() > RECORD_MAX {
            return Err(not(format!("longer than {RECORD_MAX} bytes")));
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(|error| not(error.to_string()))?;
        if outline.format.name != FORMAT_NAME {
            return Err(not(format!("format {:?}", outline.format.name)));
        }
        let newer = |found: String| ReadError::NewerVersion {
            found,
            tool: format!("{} {}", outline.tool.name, outline.tool.version),
            known: format!("{FORMAT_MAJOR}.{FORMAT_MINOR}"),
        };
        if outline.format.major != FORMAT_MAJOR {
            return Err(newer(format!(
                "{}.{}",
                outline.format.major, outline.format.minor
            )));
        }
        let unknown = |feature: &&String| !FEATURES.contains(&feature.as_str());
        if let Some(feature) = outline.format.requires.iter().find(unknown) {
            let version = format!("{}.{}", outline.format.major, outline.format.minor);
            return Err(newer(format!("{version} with the feature {feature:?}")));
        }
        let header: Self = serde_json::from_slice(bytes).map_err(|error| not(error.to_string()))?;
        if header.anchors.is_empty() {
            return Err(not("no clock anchor".to_owned()));
        }
        Ok(header)
    }
}

/// `end.json`: why and how it ended. Only this record says that a bundle is complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Why: `duration`, `interrupt`, `terminate`, `hangup`, `size`, `command-ended`, `targets-gone`, `output-failed`.
    pub reason: String,
    /// When recording stopped.
    pub stopped: BootTime,
    /// Number of slices.
    pub slices: u32,
    /// Events in all.
    pub events: u64,
    /// Events of each stream.
    pub counts: BTreeMap<String, u64>,
    /// Events that were lost, of each stream, as far as they were counted; a stream that lost an uncounted number
    /// is there with what was counted, possibly 0.
    pub lost: BTreeMap<String, u64>,
    /// What became of each source.
    pub sources: Vec<SourceOutcome>,
    /// What was not captured, and why.
    pub not_captured: Vec<NotCaptured>,
    /// Members whose content was masked, and where.
    #[serde(default)]
    pub redacted: Vec<Redaction>,
    /// What the capture itself cost.
    pub cost: Cost,
    /// How the command ended that capture started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandOutcome>,
}

/// What became of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOutcome {
    /// Its name.
    pub name: String,
    /// `captured`, `failed` (it began and ended early), `missing` (it could not begin), `off` (not asked for).
    pub state: String,
    /// Why, when not `captured`.
    #[serde(default)]
    pub reason: String,
    /// Events it handed over.
    pub events: u64,
    /// Events it lost, as far as counted.
    pub lost: u64,
    /// Remarks.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Named counters.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// A thing that is not in the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCaptured {
    /// What: a source's name, or a member's.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Where values were replaced: a member, or a kind of place in many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// The member.
    pub member: String,
    /// JSON pointers (RFC 6901) of the values that were replaced, where it is a member of JSON.
    pub places: Vec<String>,
    /// How many values were replaced.
    #[serde(default)]
    pub count: u64,
}

/// What a capture cost its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time in user mode, nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Peak resident memory, bytes.
    pub max_rss_bytes: u64,
    /// Kernel buffers that were set up, bytes.
    pub kernel_buffer_bytes: u64,
    /// Bytes of the bundle up to the end record.
    pub bundle_bytes: u64,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Its exit status, when it exited.
    pub status: Option<i32>,
    /// The signal that killed it, when one did.
    pub signal: Option<i32>,
}

/// `manifest.json`: every member before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The members in the order of the file.
    pub members: Vec<MemberRecord>,
}

/// A member's size and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub sha256: Sha256,
}

impl MemberRecord {
    /// The record of a content.
    #[must_use]
    pub fn of(name: &str, content: &[u8]) -> Self {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Self {
            name: name.to_owned(),
            size,
            sha256: Sha256::of(content),
        }
    }
}
