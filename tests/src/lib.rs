//! End-to-end tests: both binaries, from outside.
//!
//! The tests in `tests/` are marked `#[ignore = "root"]`: they run in the test bed (`cargo xtask test`, or
//! `cargo xtask bed run -- cargo test -p stillframe-tests -- --ignored --test-threads=1`). They use what a user has:
//! the two binaries, `docker`, and the stock tools. Every container and every temporary folder goes away with the
//! value that stands for it, also when the test fails.

mod browser;
mod bundle;
mod command;
mod container;
mod disk;
mod recording;
mod resolver;
pub mod strace;
mod victim;
pub mod walkthrough;

pub use browser::Browser;
pub use bundle::Bundle;
pub use command::{Finished, Running, capture, program, replay, run, run_for, tool};
pub use container::Container;
pub use disk::Disk;
pub use recording::{CALLS_ALONE, Recording, record_calls};
pub use resolver::Resolver;
pub use victim::{compile, victims};

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Asks every 20 ms until `condition` holds.
///
/// # Errors
/// It does not hold within `patience`, or asking fails.
pub fn wait_until(what: &str, patience: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !condition()? {
        if since.elapsed() > patience {
            bail!("after {} s still not so: {what}", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
