//! What is written before the first slice: the header, the snapshot, the look-back.

use super::Session;
use crate::attach::{LOOKBACK_LIMIT, Lookback};
use crate::inventory::{Inventory, Subject};
use crate::plan::Plan;
use crate::preflight::Preflight;
use crate::snapshot;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Instant;
use stillframe_format::digest::Sha256;
use stillframe_format::entry::Member;
use stillframe_format::error::WriteError;
use stillframe_format::header::{Format, Header, NotCaptured, TargetInfo, Tool};
use stillframe_format::reader::LOOKBACK;
use stillframe_format::time::Anchor;
use stillframe_format::{BootTime, Draft, Stream, layout, stream};

/// Events of the look-back of one stream: the format's limit for a segment.
const LOOKBACK_EVENTS: usize = stillframe_format::layout::STREAM_EVENTS_MAX;

/// The header of a recording that may have events of `streams`.
pub(super) fn header(
    plan: &Plan,
    preflight: &Preflight,
    subjects: &[Subject],
    streams: &[Stream],
    anchor: Anchor,
) -> Header {
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or(serde_json::Value::Null);
    Header {
        format: Format {
            requires: features(streams),
            ..Format::default()
        },
        id: uuid::Uuid::new_v4().to_string(),
        tool: Tool {
            name: "capture".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: own_hash().unwrap_or_default(),
        },
        case: plan.case.clone(),
        started: anchor.boottime,
        anchors: vec![anchor],
        targets: subjects.iter().map(target_info).collect(),
        plan: json(serde_json::to_value(plan)),
        preflight: json(serde_json::to_value(preflight)),
        host: json(serde_json::to_value(snapshot::host().host)),
    }
}

/// What a reader has to know of what may come: the header is written before it comes.
fn features(streams: &[Stream]) -> Vec<String> {
    [(Stream::Process, layout::SIGNALS), (Stream::Uring, layout::URING)]
        .into_iter()
        .filter(|(stream, _)| streams.contains(stream))
        .map(|(_, feature)| feature.to_owned())
        .collect()
}

/// The SHA-256 of this executable, in hex.
fn own_hash() -> std::io::Result<String> {
    let mut file = std::fs::File::open("/proc/self/exe")?;
    let mut hash = sha2::Sha256::new();
    std::io::copy(&mut file, &mut hash)?;
    Ok(Sha256(hash.finalize().into()).to_string())
}

fn target_info(subject: &Subject) -> TargetInfo {
    let target = &subject.target;
    let kind = match serde_json::to_value(target.kind) {
        Ok(serde_json::Value::String(kind)) => kind,
        _ => String::new(),
    };
    TargetInfo {
        name: target.name.clone(),
        id: target.id.clone(),
        kind,
        pid: target.pid,
        folder: subject.folder(),
        namespaces: target.namespaces.clone(),
        netns_shared_with: target.netns_shared_with.clone(),
        devices: target.devices.iter().map(ToString::to_string).collect(),
    }
}

impl Session<'_> {
    /// Takes the snapshot and the look-back while events are already being taken, and writes both.
    pub(super) fn gather_start(&mut self) -> Result<(), WriteError> {
        let request = self.request("start");
        let (give, inventory) = sync_channel(1);
        // Bounded inside; a thread that can't be started is an inventory that says so.
        let started = std::thread::Builder::new()
            .name("start".to_owned())
            .spawn(move || {
                // Nobody waits for it any more once the session has ended.
                let _ = give.send(request.take());
            });
        let mut waiting: Vec<(&'static str, Receiver<Lookback>)> = self
            .running
            .iter_mut()
            .filter_map(|running| Some((running.name, running.lookback.take()?)))
            .collect();
        let mut found: Option<Inventory> = started.is_err().then(|| Inventory {
            missed: vec![NotCaptured {
                what: "start".to_owned(),
                reason: "no thread for the snapshot could be started".to_owned(),
            }],
            ..Inventory::default()
        });
        let mut drafts: BTreeMap<Stream, Vec<Draft>> = BTreeMap::new();
        let since = Instant::now();
        while found.is_none() || (!waiting.is_empty() && since.elapsed() < LOOKBACK_LIMIT) {
            if self.recorder.is_full() {
                std::thread::sleep(super::PATIENCE / 5);
            } else {
                self.take();
            }
            if found.is_none() {
                found = match inventory.try_recv() {
                    Ok(inventory) => Some(inventory),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => Some(Inventory::default()),
                };
            }
            let mut late = Vec::new();
            for (name, receiver) in waiting {
                match receiver.try_recv() {
                    Ok(lookback) => self.look_back(name, lookback, &mut drafts),
                    Err(TryRecvError::Empty) => late.push((name, receiver)),
                    // The source has ended; its own outcome says why.
                    Err(TryRecvError::Disconnected) => {}
                }
            }
            waiting = late;
        }
        for (name, _) in waiting {
            let reason = format!("it took longer than {} s", LOOKBACK_LIMIT.as_secs());
            self.miss(&format!("look-back of {name}"), reason);
        }
        let mut inventory = found.unwrap_or_default();
        for (stream, mut drafts) in drafts {
            // The newest are kept.
            let over = drafts.len().saturating_sub(LOOKBACK_EVENTS);
            drafts.drain(..over);
            let name = format!("look-back of {}", stream.name());
            if over > 0 {
                self.miss(&name, format!("{over} older entries did not fit the limit"));
            }
            match members(stream, &drafts) {
                Ok(members) => inventory.members.extend(members),
                Err(error) => self.miss(&name, error.to_string()),
            }
        }
        self.not_captured.append(&mut inventory.missed);
        self.redacted.append(&mut inventory.redacted);
        self.recorder.begin(inventory.members, inventory.state)
    }

    fn look_back(&mut self, name: &str, lookback: Lookback, drafts: &mut BTreeMap<Stream, Vec<Draft>>) {
        for missed in lookback.missed {
            self.miss(&format!("look-back of {name}"), missed);
        }
        for draft in lookback.drafts {
            drafts.entry(draft.body.stream()).or_default().push(draft);
        }
    }
}

fn members(stream: Stream, drafts: &[Draft]) -> Result<Vec<Member>, WriteError> {
    let drafts: Vec<&Draft> = drafts.iter().collect();
    stream::encode(stream, &drafts, BootTime(0))?
        .into_iter()
        .map(|(name, content)| Member::new(format!("{LOOKBACK}{name}"), content))
        .collect()
}
