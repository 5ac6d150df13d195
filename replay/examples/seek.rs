//! Seeks to random moments of a bundle with full state, and prints how long it took: median, 99th percentile, longest.
//!
//!     cargo run --release -p stillframe-replay --example seek -- BUNDLE [COUNT]
//!
//! Each seek makes the state after an event (processes, descriptors, sockets, mounts, and calls in flight) and stands the
//! cursor on it. The moments are the same in every run.

use std::time::{Duration, Instant};
use stillframe_replay::moment::Place;
use stillframe_replay::timeline::{Cursor, Step, Timeline};
use stillframe_replay::{open, state};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or_else(|| anyhow::anyhow!("usage: seek BUNDLE [COUNT]"))?;
    let count: u64 = arguments.next().map_or(Ok(300), |text| text.parse())?;
    let mut cursor = Cursor::new(Timeline::new(open::bundle(path.as_ref())?));
    let (first, last) = (cursor.timeline().first(), cursor.timeline().total());
    let mut random = 0x5eed_u64;
    let mut took = Vec::new();
    let mut parts = [Duration::ZERO; 2];
    for _ in 0..count {
        // A linear congruence (Knuth's MMIX) is random enough to be spread over a bundle.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let num = first + (random >> 16) % (last - first).max(1);
        let begun = Instant::now();
        let found = state::at(cursor.timeline_mut(), Place::Event(num));
        let folded = begun.elapsed();
        let Step::Event(event) = cursor.seek(Place::Event(num)) else {
            anyhow::bail!("event {num} cannot be read");
        };
        anyhow::ensure!(
            event.num == num && found.after == num,
            "event {num}: another came back"
        );
        took.push(begun.elapsed());
        for (part, spent) in parts.iter_mut().zip([folded, begun.elapsed() - folded]) {
            *part += spent;
        }
    }
    took.sort();
    let at = |percent: usize| {
        let index = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "{count} seeks in {last} events: median {:.1} ms, 99th percentile {:.1} ms, longest {:.1} ms (state {:.1} ms, then the event {:.1} ms on average)",
        at(50),
        at(99),
        at(100),
        parts[0].as_secs_f64() * 1e3 / count.max(1) as f64,
        parts[1].as_secs_f64() * 1e3 / count.max(1) as f64,
    );
    Ok(())
}
