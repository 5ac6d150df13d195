//! `cargo xtask synth`: large made-up bundles, realistic and always the same for a seed, for tests and measurements.
//!
//! They go through the format's own writer, in the way that capture's recorder goes: a slice is sorted, folded into the
//! state, which names descriptors, sealed and written; checkpoints stand where capture's would.

mod host;
mod random;
mod streams;
mod work;

use crate::command::{self, Terminal};
use crate::{interrupt, workspace};
use anyhow::{Context as _, Result, bail};
use random::Random;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use stillframe_format::batch::SyscallBatch;
use stillframe_format::header::{Cost, End, SourceOutcome};
use stillframe_format::slice::{self, SliceContent};
use stillframe_format::writer::Writer;
use stillframe_format::{BootTime, layout};
use streams::Streams;
use work::{Effect, Thread};

/// Length of a slice.
const SLICE: u64 = 1_000_000_000;
/// zstd's, as capture has it.
const LEVEL: i32 = 1;
/// As capture has it.
const CHECKPOINT_EVERY: u32 = 10;
const CHECKPOINT_EVENTS: u64 = 50_000;
/// A call takes about so many bytes of members.
const BYTES_A_CALL: u64 = 130;

/// How many bytes a size is: `2GiB`, `500MiB`, `4096`.
pub(crate) fn size(text: &str) -> Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" | "k" => 10,
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        _ => bail!("`{unit}` is not KiB, MiB or GiB"),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}` is not a size such as 2GiB"))?;
    number
        .checked_mul(1 << shift)
        .with_context(|| format!("`{text}` is too large"))
}

/// Makes a bundle of about `size` bytes of members, uncompressed.
pub(crate) fn run(size: u64, rate: Option<u64>, seed: u64, output: &Path) -> Result<()> {
    if cfg!(debug_assertions) {
        return optimised(size, rate, seed, output);
    }
    let file = File::create(output).with_context(|| format!("cannot create {}", output.display()))?;
    let mut file = bundle(BufWriter::with_capacity(1 << 20, file), size, rate, seed)?;
    file.flush()
        .with_context(|| format!("cannot write {}", output.display()))
}

/// The same by a build that is optimised: ours would take ten times as long.
fn optimised(size: u64, rate: Option<u64>, seed: u64, output: &Path) -> Result<()> {
    let output = std::path::absolute(output).context("cannot find the folder we are in")?;
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "run",
            "--quiet",
            "--release",
            "--locked",
            "-p",
            "xtask",
            "--",
            "synth",
        ])
        .args(["--size", &size.to_string(), "--seed", &seed.to_string()])
        .arg("--output")
        .arg(output)
        .current_dir(workspace::root()?);
    if let Some(rate) = rate {
        cargo.args(["--rate", &rate.to_string()]);
    }
    command::run(&mut cargo, Terminal::Detached)
}

/// Writes the bundle to `out`. `rate` is calls a second; it decides how large a slice is.
pub(crate) fn bundle<W: Write>(out: W, size: u64, rate: Option<u64>, seed: u64) -> Result<W> {
    let rate = rate
        .unwrap_or_else(|| (size / BYTES_A_CALL / 24).clamp(300, 50_000))
        .max(1);
    let containers = host::containers();
    let mut writer = Writer::begin(out, &host::header(seed, &containers), LEVEL)?;
    let (members, mut state) = host::start(&containers)?;
    writer.start(members, BootTime(host::BOOT))?;

    let mut random = Random::new(seed);
    let mut streams = Streams::new(&containers);
    let mut threads: Vec<Thread> = containers
        .iter()
        .enumerate()
        .flat_map(|(index, container)| work::threads(index, container, host::BOOT))
        .collect();
    let mut from = host::BOOT;
    let (mut written, mut events) = (0u64, 0u64);
    let (mut since_checkpoint, mut events_since) = (CHECKPOINT_EVERY, 0u64);
    while written < size {
        interrupt::check()?;
        let number = writer.next_slice();
        let to = from + SLICE + random.below(20_000_000);
        let mut content = SliceContent {
            from: BootTime(from),
            to: BootTime(to),
            ..SliceContent::default()
        };
        let mut carried = std::mem::take(&mut streams.drafts);
        if number % 200 == 50 {
            streams.clock_step(from + 1, 2_000_000);
        }
        let pace = SLICE.saturating_mul(threads.len() as u64) / rate;
        work(
            &mut threads,
            &mut streams,
            to,
            pace.max(2),
            &mut random,
            &mut content.syscalls,
        );
        streams.slice(number, from, to, &mut random);
        carried.append(&mut streams.drafts);
        content.drafts = carried;
        content.sort();
        let later;
        (_, later) = content.split_off(content.to);
        streams.drafts = later;
        content.open = threads.iter().filter_map(|thread| thread.open(to)).collect();
        content.open.sort_by_key(|call| (call.task.pid, call.task.tid));
        content.anchors = vec![host::anchor(from + 1, streams.stepped)];

        let checkpoint = if since_checkpoint >= CHECKPOINT_EVERY || events_since >= CHECKPOINT_EVENTS {
            (since_checkpoint, events_since) = (0, 0);
            Some(state.encode(layout::STATE)?)
        } else {
            None
        };
        since_checkpoint += 1;
        events_since += content.events() as u64;
        let runs = slice::runs(&content);
        let names = state.fold(&mut content, &runs, writer.next_event());
        let sealed = slice::seal(number, &content, &runs, &names, checkpoint)?;
        written += sealed
            .alone
            .iter()
            .chain(&sealed.together)
            .map(|member| member.content.len() as u64)
            .sum::<u64>();
        events += content.events() as u64;
        writer.slice(sealed)?;
        from = to;
    }
    eprintln!(
        "{events} events in {} slices, {written} bytes of members",
        writer.next_slice() - 1
    );
    Ok(writer.finish(Vec::new(), end(from))?)
}

/// Lets all threads go on until `to`; programs that are started in the meantime begin at once.
fn work(
    threads: &mut Vec<Thread>,
    streams: &mut Streams<'_>,
    to: u64,
    pace: u64,
    random: &mut Random,
    calls: &mut SyscallBatch,
) {
    let mut at = 0;
    while let Some(thread) = threads.get_mut(at) {
        let mut effects = Vec::new();
        let goes_on = thread.work(to, pace, random, calls, |time, task, effect| {
            effects.push((time, task.clone(), effect));
        });
        let container = thread.container;
        let mut born = Vec::new();
        for (time, task, effect) in &effects {
            streams.effect(container, *time, task, effect, random);
            if let Effect::Fork(pid) = effect {
                born.push(thread.child(*pid, *time + 1));
            }
        }
        if goes_on {
            at += 1;
        } else {
            threads.remove(at);
        }
        threads.extend(born);
    }
}

fn end(stopped: u64) -> End {
    let names = [
        "syscalls", "packets", "block", "journal", "kernel", "engine", "logs", "metrics",
    ];
    End {
        reason: "duration".to_owned(),
        stopped: BootTime(stopped),
        sources: names
            .map(|name| SourceOutcome {
                name: name.to_owned(),
                state: "captured".to_owned(),
                ..SourceOutcome::default()
            })
            .to_vec(),
        cost: Cost {
            user_ns: 1_000_000,
            system_ns: 1_000_000,
            max_rss_bytes: 64 << 20,
            kernel_buffer_bytes: 128 << 20,
            bundle_bytes: 0,
        },
        ..End::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use stillframe_format::event::Stream;
    use stillframe_format::verify::verify;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("2GiB").unwrap(), 2 << 30);
        assert_eq!(size("4096").unwrap(), 4096);
        assert!(size("2 GiB").is_err() && size("99999999999GiB").is_err() && size("x").is_err());
    }

    #[test]
    fn one_seed_gives_one_bundle_which_is_sound_and_has_everything() {
        let make = |seed| bundle(Vec::new(), 3 << 20, None, seed).unwrap();
        let bytes = make(7);
        assert!(bytes == make(7), "the same seed gives other bytes");
        assert!(bytes != make(8), "another seed gives the same bytes");
        let mut streams = std::collections::BTreeSet::new();
        let (mut late, mut named, mut checkpoints, mut open) = (0, 0, 0, 0);
        let mut state: Option<stillframe_format::state::State> = None;
        let report = verify(Cursor::new(&bytes), |slice| {
            if let Some(stored) = &slice.checkpoint {
                let stored = stillframe_format::state::State::decode("t", stored).unwrap();
                if let Some(folded) = &state {
                    assert!(*folded == stored, "checkpoint of slice {}", slice.ledger.slice);
                }
                checkpoints += 1;
                state = Some(stored);
            }
            for event in &slice.events {
                streams.insert(event.body.stream());
                late += u32::from(event.late);
                if let stillframe_format::Body::Syscall(call) = &event.body {
                    named += u32::from(call.descriptor.is_some());
                }
                if let Some(state) = &mut state {
                    state.apply(event.num, event.time, &event.body);
                }
            }
            open += slice.open.len();
            None
        })
        .unwrap();
        assert_eq!(report.findings, []);
        assert!(report.ended && report.slices >= 20, "{report:?}");
        assert!(late > 0 && named > 1000 && checkpoints >= 2 && open > 20);
        for stream in Stream::ALL.into_iter().filter(|stream| *stream != Stream::Clock) {
            assert!(streams.contains(&stream), "{stream:?} is missing");
        }
    }
}
