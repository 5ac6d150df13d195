//! What became of containers, as far as the engine told: its inspection at the start, its events since
//! (`docs/format.md`, "Checkpoint").

use super::State;
use crate::BootTime;
use crate::abi::signal;
use crate::event::EngineEvent;
use crate::layout::{CONTAINER_TEXT_MAX, CONTAINERS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What a container does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was made, and has not been started.
    Created,
    /// It runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process ended, and the engine is about to start it again.
    Restarting,
    /// Its first process ended.
    Exited,
    /// It is no longer there.
    Removed,
    /// Nobody told.
    #[default]
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
        })
    }
}

/// Whether the engine starts a container again by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Restarts {
    Never,
    /// After a failure.
    Failed,
    Always,
    /// Not known, or only so many times.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, without the slash; `None` when nobody told.
    pub name: Option<String>,
    /// What it does.
    pub status: Status,
    /// When that began, where an event told.
    pub since: Option<BootTime>,
    /// When that began, where only the inspection at the start told: the engine's own stamp.
    pub stamp: Option<String>,
    /// The number of the event that told; `None` for the inspection at the start.
    pub event: Option<u64>,
    /// How its first process ended: the exit code, 128 and the signal for one that was killed.
    pub exit_code: Option<i64>,
    /// Its memory ran out since it was started.
    pub oom: Option<bool>,
    /// What its health check says, in the engine's word; `None` where it has none, or nobody told.
    pub health: Option<String>,
    /// Events of the engine are missing since this moment: what is here may have changed meanwhile.
    pub uncertain: Option<BootTime>,
    restarts: Restarts,
    /// The signal that ends it for good.
    stop_signal: u32,
    /// It was asked to end since it was started: the engine does not start it again.
    stopped: bool,
}

/// An event of the engine, as far as it is read here (`events.Message` of the Engine API; Podman's differ in words).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    name: Value,
    #[serde(rename = "exitCode")]
    exit_code: Value,
    #[serde(rename = "containerExitCode")]
    container_exit_code: Value,
    signal: Value,
    health_status: Value,
}

impl State {
    /// Adds a container of the start. `inspection` is the engine's reply about it; empty where there is none.
    pub fn add_container(&mut self, id: &str, name: &str, inspection: &[u8]) {
        let mut container = Container::inspected(inspection);
        if !name.is_empty() {
            container.name = short(name);
        }
        if let Some(known) = self.container(id) {
            *known = container;
        }
    }

    /// Goes over an event of the engine.
    pub(super) fn engine(&mut self, num: u64, time: BootTime, event: &EngineEvent) {
        // What is no event of a container tells nothing of one.
        let Ok(message) = serde_json::from_slice::<Message>(&event.json) else {
            return;
        };
        let (action, detail) = match message.action.split_once(':') {
            Some((action, detail)) => (action, detail.trim()),
            None => (message.action.as_str(), ""),
        };
        let is_known = matches!(
            action,
            "create"
                | "start"
                | "die"
                | "died"
                | "kill"
                | "oom"
                | "pause"
                | "unpause"
                | "stop"
                | "destroy"
                | "remove"
                | "rename"
                | "update"
                | "health_status"
        );
        if message.kind != "container" || message.actor.id.is_empty() || !is_known {
            return;
        }
        let attributes = &message.actor.attributes;
        let Some(container) = self.container(&message.actor.id) else {
            return;
        };
        if let Some(name) = attributes.name.as_str().and_then(short) {
            container.name = Some(name);
        }
        container.take(num, time, action, detail, attributes);
    }

    /// Events of the engine were lost.
    pub(super) fn engine_lost(&mut self, since: BootTime) {
        for container in self.containers.values_mut() {
            container.uncertain.get_or_insert(since);
            // That its memory did not run out is no longer known.
            container.oom = container.oom.filter(|oom| *oom);
        }
    }

    /// The container of an id, or a new one; `None` where no more are kept.
    fn container(&mut self, id: &str) -> Option<&mut Container> {
        if id.len() > CONTAINER_TEXT_MAX {
            self.containers_left_out = true;
            return None;
        }
        if !self.containers.contains_key(id) && self.containers.len() >= CONTAINERS_MAX {
            self.containers_left_out = true;
            let removed = self.containers.iter();
            let oldest = removed
                .filter(|(_, container)| container.status == Status::Removed)
                .min_by_key(|(_, container)| container.event)
                .map(|(id, _)| id.clone())?;
            self.containers.remove(&oldest);
        }
        Some(self.containers.entry(id.to_owned()).or_default())
    }
}

impl Container {
    /// As the engine's inspection has it. What is not in it is not known.
    fn inspected(inspection: &[u8]) -> Self {
        let reply: Value = serde_json::from_slice(inspection).unwrap_or_default();
        let text = |place: &str| reply.pointer(place).and_then(Value::as_str);
        let number = |place: &str| reply.pointer(place).and_then(Value::as_i64);
        let status = match text("/State/Status") {
            Some("created" | "configured" | "initialized") => Status::Created,
            Some("running") => Status::Running,
            Some("paused") => Status::Paused,
            Some("restarting") => Status::Restarting,
            Some("exited" | "dead" | "stopped") => Status::Exited,
            _ => Status::Unknown,
        };
        let has_ended = matches!(status, Status::Exited | Status::Restarting);
        let stamp = match status {
            Status::Created => text("/Created"),
            Status::Running => text("/State/StartedAt"),
            Status::Restarting | Status::Exited => text("/State/FinishedAt"),
            // Nobody told when it was paused.
            _ => None,
        };
        Self {
            name: text("/Name").and_then(short),
            status,
            stamp: stamp.and_then(short),
            exit_code: number("/State/ExitCode").filter(|_| has_ended),
            oom: reply.pointer("/State/OOMKilled").and_then(Value::as_bool),
            health: text("/State/Health/Status").and_then(short),
            restarts: match (
                text("/HostConfig/RestartPolicy/Name"),
                number("/HostConfig/RestartPolicy/MaximumRetryCount"),
            ) {
                (Some("" | "no"), _) => Restarts::Never,
                (Some("always" | "unless-stopped"), _) => Restarts::Always,
                (Some("on-failure"), Some(0)) => Restarts::Failed,
                _ => Restarts::Unknown,
            },
            stop_signal: text("/Config/StopSignal").map_or(0, signal_number),
            ..Self::default()
        }
    }

    fn take(&mut self, num: u64, time: BootTime, action: &str, detail: &str, attributes: &Attributes) {
        match action {
            "create" => self.becomes(Status::Created, num, time),
            "start" => {
                self.becomes(Status::Running, num, time);
                self.exit_code = None;
                self.oom = Some(false);
                self.health = None;
                self.stopped = false;
            }
            "die" | "died" => {
                let code = number(&attributes.exit_code).or_else(|| number(&attributes.container_exit_code));
                let again = match self.restarts {
                    Restarts::Always => true,
                    Restarts::Failed => code.is_some_and(|code| code != 0),
                    Restarts::Never | Restarts::Unknown => false,
                };
                let status = if again && !self.stopped {
                    Status::Restarting
                } else {
                    Status::Exited
                };
                self.becomes(status, num, time);
                self.exit_code = code;
                self.health = None;
            }
            // It may be reported behind the death that it caused.
            "oom" => self.oom = Some(true),
            "kill" => {
                let signal = match &attributes.signal {
                    Value::String(text) => signal_number(text),
                    other => number(other)
                        .and_then(|signal| u32::try_from(signal).ok())
                        .unwrap_or(0),
                };
                let ends = signal == SIGKILL || signal == self.stop_signal;
                self.stopped |= ends || signal == SIGTERM && self.stop_signal == 0;
            }
            "pause" => self.becomes(Status::Paused, num, time),
            "unpause" => self.becomes(Status::Running, num, time),
            "stop" => {
                self.stopped = true;
                // Behind a death it tells nothing new, unless one that had to be followed by a start.
                if self.uncertain.is_some() || !matches!(self.status, Status::Exited | Status::Removed) {
                    if self.status != Status::Restarting || self.uncertain.is_some() {
                        self.exit_code = None;
                    }
                    self.becomes(Status::Exited, num, time);
                }
            }
            "destroy" | "remove" => self.becomes(Status::Removed, num, time),
            "health_status" => {
                let word = Some(detail).filter(|word| !word.is_empty());
                self.health = word.or(attributes.health_status.as_str()).and_then(short);
            }
            "update" => self.restarts = Restarts::Unknown,
            _ => {}
        }
    }

    fn becomes(&mut self, status: Status, num: u64, time: BootTime) {
        self.status = status;
        self.since = Some(time);
        self.stamp = None;
        self.event = Some(num);
        self.uncertain = None;
    }

    /// Whether it keeps to the limits.
    pub(super) fn is_bounded(&self) -> bool {
        [&self.name, &self.stamp, &self.health]
            .into_iter()
            .flatten()
            .all(|text| text.len() <= CONTAINER_TEXT_MAX)
    }
}

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;

/// The number of a signal that an engine writes as `15`, `TERM` or `SIGTERM`; 0 for what is none.
fn signal_number(text: &str) -> u32 {
    if let Ok(number) = text.parse() {
        return number;
    }
    // Of real-time signals engines and the kernel have other numbers.
    signal::number(text).filter(|number| *number < 32).unwrap_or(0)
}

/// A number that an engine writes as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Text without the slash before it, if it is there and no longer than is kept.
fn short(text: &str) -> Option<String> {
    let text = text.strip_prefix('/').unwrap_or(text);
    (!text.is_empty() && text.len() <= CONTAINER_TEXT_MAX).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
