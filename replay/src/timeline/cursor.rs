//! A place in the order that moves: forward, back, anywhere.

use super::{Damage, Timeline};
use crate::moment::Place;
use std::io::{Read, Seek};
use stillframe_format::event::Event;

/// Stands on an event, before the first one, or behind the last one.
#[derive(Debug)]
pub struct Cursor<R> {
    timeline: Timeline<R>,
    /// The number of the event it stands on; one less than the first before it, one more than the last behind it.
    at: u64,
}

/// What a cursor stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// Before the first event.
    Start,
    /// An event.
    Event(&'a Event),
    /// Events that cannot be read; the cursor crosses them in one step.
    Damage(&'a Damage),
    /// Behind the last event.
    End,
}

impl<R: Read + Seek> Cursor<R> {
    /// A cursor before the first event.
    #[must_use]
    pub fn new(timeline: Timeline<R>) -> Self {
        let at = timeline.first().saturating_sub(1);
        Self { timeline, at }
    }

    /// The timeline it moves on.
    #[must_use]
    pub fn timeline(&self) -> &Timeline<R> {
        &self.timeline
    }

    /// The timeline, to read other parts of the bundle; the cursor stays where it is.
    pub fn timeline_mut(&mut self) -> &mut Timeline<R> {
        &mut self.timeline
    }

    /// The number of the event it stands on; one less than the first before it, one more than the last behind it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// What it stands on.
    pub fn here(&mut self) -> Step<'_> {
        if self.at < self.timeline.first() {
            return Step::Start;
        }
        match self.timeline.event(self.at) {
            Some(Ok(event)) => Step::Event(event),
            Some(Err(damage)) => Step::Damage(damage),
            None => Step::End,
        }
    }

    /// Moves to the next event.
    pub fn step(&mut self) -> Step<'_> {
        self.at = match self.span() {
            Some((_, last)) => last.saturating_add(1),
            None => self.at.saturating_add(1),
        };
        self.at = self.at.min(self.timeline.total().saturating_add(1));
        self.here()
    }

    /// Moves to the event before.
    pub fn step_back(&mut self) -> Step<'_> {
        self.at = match self.span() {
            Some((first, _)) => first.saturating_sub(1),
            None => self.at.saturating_sub(1),
        };
        self.at = self.at.max(self.timeline.first().saturating_sub(1));
        self.here()
    }

    /// Moves to an event, or to the first one that is not before a moment. `Place::Event(n)` is where `n` steps from
    /// the start lead.
    pub fn seek(&mut self, place: Place) -> Step<'_> {
        self.at = match place {
            Place::Event(num) => num
                .max(self.timeline.first().saturating_sub(1))
                .min(self.timeline.total().saturating_add(1)),
            Place::Time(time) => {
                let behind = self.timeline.total().saturating_add(1);
                self.timeline.first_from(time).unwrap_or(behind)
            }
        };
        self.here()
    }

    /// The events of an unreadable slice that it stands on: first and last.
    fn span(&mut self) -> Option<(u64, u64)> {
        match self.here() {
            Step::Damage(damage) => Some((
                damage.first,
                damage.first.saturating_add(damage.events).saturating_sub(1),
            )),
            _ => None,
        }
    }
}
