//! A Docker Engine of the bed's own: nothing of it is shared with an engine that runs here already.
//!
//! It has its own socket, state folders, bridge and subnet, changes no firewall rule and no sysctl, and is started
//! inside the cgroup `system.slice/docker.service` through `systemd-cat`, so that the journal names its unit just
//! as on a host where systemd started it.

use super::State;
use super::process::Process;
use crate::command;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Joins the cgroup named first, then becomes the rest.
const JOIN_AND_EXEC: &str = r#"echo $$ > "$1/cgroup.procs" && shift && exec systemd-cat -t dockerd "$@""#;

/// Starts the engine and waits until it answers.
pub(crate) fn up(state: &mut State) -> Result<()> {
    add_bridge(state)?;
    let cgroup = cgroup_root()?.join("system.slice/docker.service");
    state.create_folder(&cgroup)?;
    // Places outside of the bed's folder that dockerd and runc make by themselves.
    for folder in [
        "/etc/docker",
        "/run/containerd/s",
        "/run/docker/plugins",
        "/run/docker/containerd",
    ] {
        state.expect_folder(Path::new(folder))?;
    }
    for hierarchy in cgroup_hierarchies()? {
        state.expect_folder(&hierarchy.join("docker"))?;
    }

    let dir = state.dir.clone();
    let configuration = dir.join("daemon.json");
    let key = dir.join("key.json");
    fs::write(
        &configuration,
        serde_json::json!({ "deprecated-key-path": key }).to_string(),
    )?;
    let mut command = Command::new("sh");
    command
        .args(["-c", JOIN_AND_EXEC, "sh"])
        .arg(&cgroup)
        .arg("dockerd");
    command
        .arg(format!("--config-file={}", configuration.display()))
        .arg(format!("--host={}", state.docker_host()))
        .arg(format!("--data-root={}", dir.join("data").display()))
        .arg(format!("--exec-root={}", dir.join("exec").display()))
        .arg(format!("--pidfile={}", dir.join("dockerd.pid").display()))
        .arg(format!("--bridge={}", state.bridge))
        .args(["--iptables=false", "--ip-masq=false", "--ip-forward=false"])
        .envs(state.marker());
    let log = dir.join("dockerd.log");
    let dockerd = Process::spawn("dockerd", &mut command, &log)?;
    state.add(dockerd.clone())?;
    let since = Instant::now();
    while !command::succeeds(docker(state).arg("version")) {
        crate::interrupt::check()?;
        if !dockerd.is_alive() || since.elapsed() > Duration::from_secs(60) {
            bail!(
                "dockerd does not answer on {}: {}",
                state.docker_host(),
                last_words(&log)
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The client, pointed at the bed's engine.
pub(crate) fn docker(state: &State) -> Command {
    let mut command = Command::new("docker");
    command.envs(state.environment());
    command
}

/// Ends every container of the bed's engine.
pub(crate) fn remove_containers(state: &State) -> Result<()> {
    let ids = command::output(docker(state).args(["ps", "--all", "--quiet", "--no-trunc"]))?;
    let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
    if !ids.is_empty() {
        command::output(docker(state).args(["rm", "--force", "--volumes"]).args(ids))?;
    }
    Ok(())
}

/// Takes the bed's bridge away, if it is there.
pub(crate) fn remove_bridge(state: &State) -> Result<()> {
    if Path::new("/sys/class/net").join(&state.bridge).exists() {
        command::output(Command::new("ip").args(["link", "delete", &state.bridge]))?;
    }
    Ok(())
}

fn last_words(log: &Path) -> String {
    let said = fs::read_to_string(log).unwrap_or_default();
    let journal =
        command::output(Command::new("journalctl").args(["-t", "dockerd", "-n", "20", "-o", "cat"]));
    format!("{said}{}", journal.unwrap_or_default())
}

/// Makes the bridge `state.bridge` with the first private subnet that nothing here uses.
fn add_bridge(state: &mut State) -> Result<()> {
    let routes = command::output(Command::new("ip").args(["-4", "route", "show", "table", "all"]))?;
    let taken = |subnet: &str| {
        routes
            .split_ascii_whitespace()
            .any(|word| word.starts_with(subnet))
    };
    for number in 0..100_u8 {
        let bridge = format!("sfbed{number}");
        let subnet = format!("10.213.{number}.");
        if taken(&subnet)
            || !command::succeeds(Command::new("ip").args(["link", "add", &bridge, "type", "bridge"]))
        {
            continue;
        }
        state.bridge.clone_from(&bridge);
        state.save()?;
        let address = format!("{subnet}1/24");
        command::output(Command::new("ip").args(["address", "add", &address, "dev", &bridge]))?;
        command::output(Command::new("ip").args(["link", "set", &bridge, "up"]))?;
        return Ok(());
    }
    bail!("cannot make a bridge: sfbed0 to sfbed99 are taken, or `ip link add` is not allowed here");
}

/// The cgroup2 mount.
fn cgroup_root() -> Result<PathBuf> {
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .iter()
        .map(PathBuf::from)
        .find(|root| root.join("cgroup.procs").exists())
        .context("no cgroup2 hierarchy is mounted under /sys/fs/cgroup")
}

/// The roots of all cgroup hierarchies.
fn cgroup_hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    Ok(mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            kind.starts_with("cgroup").then(|| PathBuf::from(place))
        })
        .collect())
}
