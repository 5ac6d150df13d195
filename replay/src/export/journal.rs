//! The engine's journal in Journal Export Format: the look-back's entries, then the capture's, byte for byte.
//!
//! `systemd-journal-remote -o x.journal x.export` makes a journal file of it.

use super::Exported;
use crate::open;
use crate::timeline::{Item, Range, Timeline};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use stillframe_format::error::ReadError;
use stillframe_format::event::{Body, JournalEntry};

/// Why the journal was not written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The look-back can't be read.
    #[error("look-back: {0}")]
    Lookback(#[from] ReadError),
    /// The output failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Writes all entries.
///
/// # Errors
/// When the look-back cannot be read, or the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    out: &mut dyn Write,
) -> Result<Exported, JournalError> {
    let mut exported = Exported::default();
    for stored in open::lookback(timeline.bundle_mut())? {
        if let Body::Journal(entry) = &stored.body {
            write_entry(entry, out)?;
            exported.items += 1;
        }
    }
    timeline.each(&Range::default(), |item| {
        match item {
            Item::Event(event) => {
                if let Body::Journal(entry) = &event.body {
                    write_entry(entry, out)?;
                    exported.items += 1;
                }
            }
            Item::Damage(damage) => exported.damages.push(damage.clone()),
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    Ok(exported)
}

/// An entry, and the empty line that ends it: without it, two entries would become one.
fn write_entry(entry: &JournalEntry, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&entry.export)?;
    if !entry.export.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    if !entry.export.ends_with(b"\n\n") {
        out.write_all(b"\n")?;
    }
    Ok(())
}
