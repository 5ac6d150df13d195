//! The journal: the host's if one listens, else one of ours.

use super::State;
use super::process::Process;
use anyhow::{Context as _, Result, bail};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PROGRAM: &str = "/lib/systemd/systemd-journald";
const SOCKET: &str = "/run/systemd/journal/socket";

/// Starts journald unless one listens already.
pub(crate) fn up(state: &mut State) -> Result<()> {
    if listens() {
        return Ok(());
    }
    if !Path::new("/etc/machine-id").exists() {
        // journald refuses to run without one; Debian's systemd package makes it, an image may lack it.
        state.will_create(Path::new("/etc/machine-id"))?;
        crate::command::output(&mut Command::new("systemd-machine-id-setup"))?;
    }
    for folder in ["/run/systemd/journal", "/run/log/journal"] {
        state.create_folder(Path::new(folder))?;
    }
    let log = state.dir.join("journald.log");
    let mut command = Command::new(PROGRAM);
    command.envs(state.marker());
    let journald = Process::spawn("systemd-journald", &mut command, &log)?;
    state.add(journald.clone())?;
    let since = Instant::now();
    while !listens() {
        if !journald.is_alive() || since.elapsed() > Duration::from_secs(10) {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("systemd-journald does not listen on {SOCKET}: {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn listens() -> bool {
    UnixDatagram::unbound()
        .and_then(|socket| socket.connect(SOCKET))
        .context("no journal")
        .is_ok()
}
