//! One event with what is needed to read it: the bundle's facts, and what was parsed out of the event so far.

use crate::dns;
use crate::packet::{self, Headers};
use crate::value::rfc3339;
use crate::zone::Zone;
use serde_json::{Map, Value};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use stillframe_format::BootTime;
use stillframe_format::event::{Body, Device, Event};
use stillframe_format::time::Anchors;

/// Facts of the bundle that every event is read with.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The anchors that turn boottime into wall-clock time.
    pub anchors: Anchors,
    /// The moment that the recording began; relative times count from it.
    pub start: BootTime,
    /// The end of the recording, as far as it is in the bundle.
    pub end: BootTime,
    /// Names of containers by their full ids.
    pub containers: BTreeMap<String, String>,
    /// Kernel names of block devices.
    pub devices: BTreeMap<Device, String>,
    /// In which zone times are shown to people.
    pub zone: Zone,
}

impl Context {
    /// The same, with times shown to people in a zone.
    #[must_use]
    pub fn in_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// Puts a moment under `key` (RFC 3339, where it is known) and `key` with `_boottime` appended.
    pub(crate) fn put_time(&self, map: &mut Map<String, Value>, key: &str, time: BootTime) {
        if let Some(realtime) = self.realtime(time) {
            map.insert(key.to_owned(), rfc3339(realtime).into());
        }
        map.insert(format!("{key}_boottime"), time.0.into());
    }

    /// Wall-clock time of a moment in nanoseconds since 1970; `None` when the bundle has no anchor.
    #[must_use]
    pub fn realtime(&self, time: BootTime) -> Option<i64> {
        self.anchors.realtime(time)
    }

    /// Wall-clock time of a moment for people: RFC 3339 in their zone; `None` when the bundle has no anchor.
    #[must_use]
    pub fn stamp(&self, time: BootTime) -> Option<String> {
        self.realtime(time).map(|realtime| self.zone.stamp(realtime))
    }

    /// Whether the recording lies within one day of the zone that times are shown in, so that a time of day names one
    /// moment.
    #[must_use]
    pub fn is_one_day(&self) -> bool {
        self.is_one_day_in(&self.zone)
    }

    /// The same of another zone. A day on which the clocks are changed in between is not one.
    #[must_use]
    pub fn is_one_day_in(&self, zone: &Zone) -> bool {
        let day = |time| self.realtime(time).and_then(|stamp| zone.day(stamp));
        day(self.start).is_some() && day(self.start) == day(self.end)
    }
}

/// An event and what is known with it. Made for one event, used, thrown away.
#[derive(Debug)]
pub struct View<'a> {
    /// The event.
    pub event: &'a Event,
    /// The bundle's facts.
    pub context: &'a Context,
    packet: OnceCell<Option<Headers>>,
    dns: OnceCell<Option<dns::Message>>,
    engine: OnceCell<Option<serde_json::Value>>,
}

impl<'a> View<'a> {
    /// The event in its bundle.
    #[must_use]
    pub fn new(event: &'a Event, context: &'a Context) -> Self {
        Self {
            event,
            context,
            packet: OnceCell::new(),
            dns: OnceCell::new(),
            engine: OnceCell::new(),
        }
    }

    /// The packet's headers, where the event is a packet that can be read.
    pub fn headers(&self) -> Option<&Headers> {
        let Body::Packet(packet) = &self.event.body else {
            return None;
        };
        self.packet.get_or_init(|| packet::headers(packet)).as_ref()
    }

    /// The DNS message in it, where the event is a packet that has one.
    pub fn dns(&self) -> Option<&dns::Message> {
        let Body::Packet(packet) = &self.event.body else {
            return None;
        };
        self.dns
            .get_or_init(|| packet::dns(packet, self.headers()?))
            .as_ref()
    }

    /// The engine's object, where the event is an engine event that can be read.
    pub fn engine(&self) -> Option<&serde_json::Value> {
        let Body::Engine(engine) = &self.event.body else {
            return None;
        };
        self.engine
            .get_or_init(|| serde_json::from_slice(&engine.json).ok())
            .as_ref()
    }

    /// The full id of the container that the event belongs to.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        let id = match &self.event.body {
            // A request belongs to whom the pages belong, not to the kworker that sends them.
            Body::Block(block) => block.container.as_str(),
            Body::Log(log) => log.container.as_str(),
            Body::Metrics(metrics) => metrics.container.as_str(),
            Body::Engine(_) => {
                let engine = self.engine()?;
                if engine.get("Type")?.as_str()? != "container" {
                    return None;
                }
                engine.get("Actor")?.get("ID")?.as_str()?
            }
            other => other.task()?.container.as_str(),
        };
        (!id.is_empty()).then_some(id)
    }

    /// The name of that container.
    #[must_use]
    pub fn container_name(&self) -> Option<&str> {
        let id = self.container()?;
        if let Some(name) = self.context.containers.get(id) {
            return Some(name);
        }
        self.engine()?
            .get("Actor")?
            .get("Attributes")?
            .get("name")?
            .as_str()
    }

    /// Wall-clock time of the event in nanoseconds since 1970.
    #[must_use]
    pub fn realtime(&self) -> Option<i64> {
        self.context.realtime(self.event.time)
    }
}
