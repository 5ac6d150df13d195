//! The members of the start and of the end: what the engine says, and what is found from outside of each target.
//!
//! Everything is bounded: whatever does not answer within the time is named as not captured, and costs nobody else's
//! members.

use crate::deadline::Pending;
use crate::engine::{Container, Engine, Member as Reply, Secrets};
use crate::snapshot::{self, Snapshot};
use crate::target::{Target, TargetKind, resolve};
use std::path::Path;
use std::time::{Duration, Instant};
use stillframe_format::entry::Member;
use stillframe_format::header::{NotCaptured, Redaction};
use stillframe_format::state::{Start, State};

/// How long the inventory of all targets may take.
const LIMIT: Duration = Duration::from_secs(6);
/// How long the engine may take for one reply.
const REPLY_LIMIT: Duration = Duration::from_secs(3);
/// The engine's reply about a container.
const INSPECTION: &str = "inspect.json";
/// Targets that are looked at side by side.
const SIDE_BY_SIDE: usize = 4;

/// A target, and the container that it is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the kernel knows of it.
    pub target: Target,
    /// What the engine knows of it; `None` for process trees and commands.
    pub container: Option<Container>,
}

impl Subject {
    /// The name of its folder in `start/containers/` and `end/containers/`.
    #[must_use]
    pub fn folder(&self) -> String {
        self.target.id.replace(':', "-")
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Members, by full name.
    pub members: Vec<Member>,
    /// What they tell, as the fold knows it.
    pub state: State,
    /// What is not among the members, and why.
    pub missed: Vec<NotCaptured>,
    /// What was masked in them.
    pub redacted: Vec<Redaction>,
}

/// What to look at, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// `start` or `end`.
    pub moment: &'static str,
    /// The targets.
    pub subjects: Vec<Subject>,
    /// Containers that run, targets and others: name and first process.
    pub running: Vec<(String, u32)>,
    /// The engine, where there are containers.
    pub engine: Option<Engine>,
    /// What happens to values of environment variables.
    pub secrets: Secrets,
}

impl Request {
    /// Looks at everything.
    #[must_use]
    pub fn take(&self) -> Inventory {
        let end = Instant::now() + LIMIT;
        let left = || end.saturating_duration_since(Instant::now());
        let engine = self.engine.clone().map(|engine| {
            let (engine, subjects, secrets) = (
                engine.with_timeout(REPLY_LIMIT),
                self.subjects.clone(),
                self.secrets,
            );
            Pending::start("engine-replies", move || {
                replies(&engine, &subjects, secrets, end)
            })
        });
        let mut inventory = Inventory::default();
        let host = snapshot::host();
        self.add(&mut inventory, "host", host);
        for group in self.subjects.chunks(SIDE_BY_SIDE) {
            let (there, gone): (Vec<_>, Vec<_>) = group.iter().partition(|subject| runs(&subject.target));
            for subject in gone {
                inventory.miss(
                    format!("{}/containers/{}", self.moment, subject.folder()),
                    "no process of it runs, so nothing of it can be looked at from outside".to_owned(),
                );
            }
            let taken: Vec<_> = there
                .iter()
                .map(|subject| {
                    let (target, others) = (subject.target.clone(), self.others(subject));
                    let limit = left().min(snapshot::DEFAULT_DEADLINE);
                    Pending::start("snapshot", move || {
                        let pids = resolve::pids(&target);
                        snapshot::take_among(&target, &pids, &others, limit)
                    })
                })
                .collect();
            for (subject, taken) in there.iter().zip(taken) {
                match taken.wait(left() + Duration::from_millis(500)) {
                    Ok(snapshot) => {
                        inventory.state.add(&Start {
                            container: &subject.target.id,
                            processes: &snapshot.processes,
                            descriptors: &snapshot.descriptors,
                            sockets: &snapshot.sockets,
                            mounts: &snapshot.mounts,
                        });
                        self.add(
                            &mut inventory,
                            &format!("containers/{}", subject.folder()),
                            snapshot,
                        );
                    }
                    Err(error) => inventory.miss(
                        format!("{}/containers/{}", self.moment, subject.folder()),
                        error.to_string(),
                    ),
                }
            }
        }
        if let Some(engine) = engine {
            match engine.wait(left() + REPLY_LIMIT) {
                Ok((replies, left_out)) => {
                    for (folder, reply) in replies {
                        self.reply(&mut inventory, &folder, reply);
                    }
                    for folder in left_out {
                        inventory.miss(
                            format!("{}/{folder}", self.moment),
                            format!("the engine's replies took longer than {} s", LIMIT.as_secs()),
                        );
                    }
                }
                Err(error) => inventory.miss(format!("{}/engine", self.moment), error.to_string()),
            }
        }
        self.inspections(&mut inventory);
        inventory
    }

    /// Tells the state what the engine's inspections say, in the bytes in which they are kept.
    fn inspections(&self, inventory: &mut Inventory) {
        for subject in &self.subjects {
            let target = &subject.target;
            if target.kind != TargetKind::Container {
                continue;
            }
            let name = format!("{}/containers/{}/{INSPECTION}", self.moment, subject.folder());
            let member = inventory
                .members
                .iter()
                .find(|member| member.name.as_str() == name);
            let bytes = member.map_or(&[][..], |member| &member.content);
            inventory.state.add_container(&target.id, &target.name, bytes);
        }
    }

    fn others(&self, subject: &Subject) -> Vec<(String, u32)> {
        self.running
            .iter()
            .filter(|(name, _)| *name != subject.target.name)
            .cloned()
            .collect()
    }

    fn add(&self, inventory: &mut Inventory, folder: &str, snapshot: Snapshot) {
        for missed in snapshot.missed {
            inventory.miss(
                format!("{}/{folder}/{}", self.moment, missed.member),
                missed.reason,
            );
        }
        for (name, content) in snapshot.members {
            inventory.keep(format!("{}/{folder}/{name}", self.moment), content);
        }
    }

    fn reply(&self, inventory: &mut Inventory, folder: &str, reply: Reply) {
        let name = format!("{}/{folder}/{}", self.moment, reply.name);
        match reply.bytes {
            Ok(bytes) => {
                if !reply.masked.is_empty() {
                    inventory.redacted.push(Redaction {
                        member: name.clone(),
                        count: reply.masked.len() as u64,
                        places: reply.masked,
                    });
                }
                inventory.keep(name, bytes);
            }
            Err(error) => inventory.miss(name, error.to_string()),
        }
    }
}

impl Inventory {
    fn miss(&mut self, what: String, reason: String) {
        self.missed.push(NotCaptured { what, reason });
    }

    fn keep(&mut self, name: String, content: Vec<u8>) {
        match Member::new(name.clone(), content) {
            Ok(member) => self.members.push(member),
            Err(error) => self.miss(name, error.to_string()),
        }
    }
}

/// Whether any process of the target is there.
fn runs(target: &Target) -> bool {
    let first = target.pid != 0 && Path::new(&format!("/proc/{}", target.pid)).exists();
    first || !resolve::pids(target).is_empty()
}

/// The engine's replies with the folders that they belong in, and the folders for which there was no time.
fn replies(
    engine: &Engine,
    subjects: &[Subject],
    secrets: Secrets,
    end: Instant,
) -> (Vec<(String, Reply)>, Vec<String>) {
    let host = engine.host_snapshot().into_iter();
    let mut found: Vec<(String, Reply)> = host.map(|reply| ("engine".to_owned(), reply)).collect();
    let mut left_out = Vec::new();
    for subject in subjects {
        let Some(container) = &subject.container else {
            continue;
        };
        let folder = format!("containers/{}", subject.folder());
        if Instant::now() >= end {
            left_out.push(folder);
            continue;
        }
        let replies = engine.snapshot(container, secrets);
        found.extend(replies.into_iter().map(|reply| (folder.clone(), reply)));
    }
    (found, left_out)
}
