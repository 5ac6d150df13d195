//! The private test bed: a journal, a Docker Engine and a few images, brought up beside whatever runs here, and
//! taken down again until nothing of it is left.
//!
//! Everything that the bed makes is written to its state file before it is made, so that a bed whose owner was
//! killed can still be taken down (`cargo xtask bed down`). Every process that the bed starts, and every one that a
//! command in the bed starts, carries `STILLFRAME_BED_DIR` in its environment: that is how leftovers are found.

mod engine;
mod images;
mod journald;
mod packages;
mod process;

use crate::command::{self, Terminal};
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use process::Process;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The name of the variable that marks the bed's processes.
const MARKER: &str = "STILLFRAME_BED_DIR";

/// What a bed has made so far, in the order it was made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The bed's folder.
    dir: PathBuf,
    /// The bridge; empty before there is one.
    bridge: String,
    /// The daemons, in the order they were started.
    daemons: Vec<Process>,
    /// Folders and files outside of `dir`.
    outside: Vec<Outside>,
}

/// Something outside of the bed's folder that was not there before.
#[derive(Debug, Serialize, Deserialize)]
struct Outside {
    path: PathBuf,
    removal: Removal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Removal {
    /// It is the bed's, whatever it holds.
    Whole,
    /// Others may have come to use it: it goes when it is empty.
    WhenEmpty,
}

impl State {
    fn file() -> Result<PathBuf> {
        Ok(workspace::target()?.join("bed.json"))
    }

    /// The bed that is up, or was left behind. `None` when there is none.
    fn load() -> Result<Option<Self>> {
        let file = Self::file()?;
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{}", file.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn save(&self) -> Result<()> {
        let file = Self::file()?;
        let text = serde_json::to_vec_pretty(self)?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn add(&mut self, daemon: Process) -> Result<()> {
        self.daemons.push(daemon);
        self.save()
    }

    fn will_create(&mut self, path: &Path) -> Result<()> {
        self.note(path, Removal::Whole)
    }

    fn note(&mut self, path: &Path, removal: Removal) -> Result<()> {
        self.outside.push(Outside {
            path: path.to_owned(),
            removal,
        });
        self.save()
    }

    /// Creates a folder and those above it; each that was not there goes when the bed goes.
    fn create_folder(&mut self, path: &Path) -> Result<()> {
        self.note_missing(
            path,
            if path.starts_with("/sys") {
                Removal::WhenEmpty
            } else {
                Removal::Whole
            },
        )?;
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
    }

    /// A daemon will create this folder: where it was not there before, it goes with the bed, if it is empty.
    fn expect_folder(&mut self, path: &Path) -> Result<()> {
        self.note_missing(path, Removal::WhenEmpty)
    }

    fn note_missing(&mut self, path: &Path, removal: Removal) -> Result<()> {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.exists())
            .map(Path::to_owned)
            .collect();
        for folder in missing.iter().rev() {
            if !self.outside.iter().any(|known| known.path == *folder) {
                self.note(folder, removal)?;
            }
        }
        Ok(())
    }

    fn is_up(&self) -> bool {
        self.daemons
            .iter()
            .any(|daemon| daemon.name == "dockerd" && daemon.is_alive())
    }

    fn docker_host(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    fn marker(&self) -> [(&'static str, PathBuf); 1] {
        [(MARKER, self.dir.clone())]
    }

    /// What a command in the bed sees besides its ordinary environment.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DOCKER_HOST", self.docker_host()),
            ("DOCKER_CONFIG", self.dir.join("client").display().to_string()),
            ("STILLFRAME_BED", "1".to_owned()),
            // What a test leaves in a temporary folder is found, and goes, with the bed.
            ("TMPDIR", self.dir.join("tmp").display().to_string()),
            (MARKER, self.dir.display().to_string()),
        ]
    }
}

/// A bed that is taken down when this value goes, however that comes about.
#[derive(Debug)]
pub(crate) struct Bed {
    state: State,
    is_down: bool,
}

impl Bed {
    /// Installs what is missing and brings a bed up. One that was left behind is taken down first.
    pub(crate) fn up() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("the test bed needs root: it starts daemons, a bridge and containers");
        }
        if let Some(old) = State::load()? {
            eprintln!("bed: taking down the one in {}", old.dir.display());
            take_down(&old)?;
        }
        packages::install()?;
        let dir = std::env::temp_dir().join(format!("stillframe-bed-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut bed = Self {
            state: State {
                dir,
                ..State::default()
            },
            is_down: false,
        };
        bed.state.save()?;
        let temporary = bed.state.dir.join("tmp");
        fs::create_dir(&temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))?;
        journald::up(&mut bed.state)?;
        engine::up(&mut bed.state)?;
        images::up(&bed.state)?;
        Ok(bed)
    }

    /// Adds what a command in the bed needs to its environment.
    pub(crate) fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.state.environment())
    }

    /// The bed's folder; it goes with the bed.
    pub(crate) fn folder(&self) -> &Path {
        &self.state.dir
    }

    /// Takes the bed down.
    pub(crate) fn down(mut self) -> Result<()> {
        self.is_down = true;
        take_down(&self.state)
    }

    /// Leaves the bed up; `cargo xtask bed down` ends it.
    fn leave(mut self) {
        self.is_down = true;
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        if let Err(error) = take_down(&self.state) {
            eprintln!("bed: {error:#}");
        }
    }
}

/// Installs what the tests need from Debian.
pub(crate) fn install_packages() -> Result<()> {
    packages::install()
}

/// Installs what the virtual machines of `cargo xtask vm` need.
pub(crate) fn install_packages_for_machines() -> Result<()> {
    packages::install_for_machines()
}

/// `cargo xtask bed up`
pub(crate) fn up() -> Result<()> {
    let bed = Bed::up()?;
    for (name, value) in bed.state.environment() {
        println!("export {name}={value}");
    }
    bed.leave();
    Ok(())
}

/// `cargo xtask bed down`
pub(crate) fn down() -> Result<()> {
    match State::load()? {
        Some(state) => take_down(&state),
        None => {
            eprintln!("bed: none is up");
            Ok(())
        }
    }
}

/// `cargo xtask bed run -- CMD`: in the bed that is up, else in one for this command alone.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().context("bed run: no command is given")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("STILLFRAME_BIN", workspace::target()?.join("release"));
    if let Some(state) = State::load()?.filter(State::is_up) {
        command.envs(state.environment());
        return command::run(&mut command, Terminal::Shared);
    }
    let bed = Bed::up()?;
    let ran = command::run(bed.enter(&mut command), Terminal::Shared);
    let downed = bed.down();
    ran.and(downed)
}

/// Ends and removes everything that `state` names, then looks for leftovers. Goes on after a failure, and returns
/// the first one; the state file goes last, when nothing failed.
fn take_down(state: &State) -> Result<()> {
    let mut first: Result<()> = Ok(());
    let mut keep = |result: Result<()>| {
        if first.is_ok() {
            first = result;
        } else if let Err(error) = result {
            eprintln!("bed: {error:#}");
        }
    };
    keep(end_strangers(state));
    if state.is_up() {
        keep(engine::remove_containers(state));
    }
    for daemon in state.daemons.iter().rev() {
        keep(daemon.end(Duration::from_secs(30)));
    }
    keep(end_marked(state, "left behind by a daemon"));
    keep(unmount(&state.dir));
    if !state.bridge.is_empty() {
        keep(engine::remove_bridge(state));
    }
    keep(remove_outside(state));
    if state.dir.exists() {
        let removed = fs::remove_dir_all(&state.dir);
        keep(removed.with_context(|| format!("cannot remove {}", state.dir.display())));
    }
    keep(check_nothing_is_left(state));
    first?;
    let file = State::file()?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// Ends what commands in the bed left running: what is marked and stands in no daemon's session.
fn end_strangers(state: &State) -> Result<()> {
    let marker = format!("{MARKER}={}", state.dir.display());
    for process in process::marked(&marker)? {
        let is_of_a_daemon = [
            "dockerd",
            "containerd",
            "containerd-shim",
            "systemd-journal",
            "docker-proxy",
            "runc",
        ]
        .iter()
        .any(|name| process.name.starts_with(name));
        if !is_of_a_daemon {
            eprintln!(
                "bed: ending {} (pid {}), left running by a command",
                process.name, process.pid
            );
            process.end(Duration::from_secs(5))?;
        }
    }
    Ok(())
}

fn end_marked(state: &State, why: &str) -> Result<()> {
    let marker = format!("{MARKER}={}", state.dir.display());
    let since = Instant::now();
    // Shims end by themselves a moment after their container.
    while since.elapsed() < Duration::from_secs(3) && !process::marked(&marker)?.is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
    for process in process::marked(&marker)? {
        eprintln!("bed: ending {} (pid {}), {why}", process.name, process.pid);
        process.end(Duration::from_secs(5))?;
    }
    Ok(())
}

/// The mount points under `dir`, innermost first.
fn mounts_under(dir: &Path) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|place| place.starts_with(dir))
        .collect();
    found.reverse();
    Ok(found)
}

fn unmount(dir: &Path) -> Result<()> {
    for place in mounts_under(dir)? {
        nix::mount::umount2(&place, nix::mount::MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", place.display()))?;
    }
    Ok(())
}

fn remove_outside(state: &State) -> Result<()> {
    for outside in state.outside.iter().rev() {
        let path = &outside.path;
        let removed = match outside.removal {
            _ if !path.exists() => continue,
            Removal::Whole if path.is_dir() => fs::remove_dir_all(path),
            Removal::Whole => fs::remove_file(path),
            Removal::WhenEmpty => {
                // A cgroup can be removed a moment after its last process has gone.
                let since = Instant::now();
                loop {
                    let removed = fs::remove_dir(path);
                    if removed.is_ok() || since.elapsed() > Duration::from_secs(2) {
                        break removed;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        match removed {
            Err(error) if outside.removal == Removal::Whole => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            // Somebody else uses it by now.
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

/// Whatever is still there is an error that lists it.
fn check_nothing_is_left(state: &State) -> Result<()> {
    let mut left = Vec::new();
    let marker = format!("{MARKER}={}", state.dir.display());
    for process in process::marked(&marker)? {
        left.push(format!("process {} ({})", process.pid, process.name));
    }
    for daemon in state.daemons.iter().filter(|daemon| daemon.is_alive()) {
        left.push(format!("process {} ({})", daemon.pid, daemon.name));
    }
    for place in mounts_under(&state.dir)? {
        left.push(format!("mount {}", place.display()));
    }
    if state.dir.exists() {
        left.push(format!("folder {}", state.dir.display()));
    }
    if !state.bridge.is_empty() && Path::new("/sys/class/net").join(&state.bridge).exists() {
        left.push(format!("bridge {}", state.bridge));
    }
    let loops = command::output(Command::new("losetup").args([
        "--list",
        "--noheadings",
        "--output",
        "NAME,BACK-FILE",
    ]))?;
    let dir = state.dir.display().to_string();
    left.extend(
        loops
            .lines()
            .filter(|line| line.contains(&dir))
            .map(|line| format!("loop device {line}")),
    );
    if !left.is_empty() {
        bail!("the bed left something behind: {}", left.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_file_format() {
        let state = State {
            dir: PathBuf::from("/tmp/bed"),
            bridge: "sfbed0".to_owned(),
            daemons: vec![Process {
                name: "dockerd".to_owned(),
                pid: 7,
                start: 9,
            }],
            outside: vec![Outside {
                path: PathBuf::from("/etc/docker"),
                removal: Removal::WhenEmpty,
            }],
        };
        let text = serde_json::to_string(&state).unwrap();
        let back: State = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn mounts_of_a_folder_are_found_innermost_first() {
        let found = mounts_under(Path::new("/sys/fs")).unwrap();
        assert!(found.iter().all(|place| place.starts_with("/sys/fs")));
        for (index, place) in found.iter().enumerate() {
            let inside = found
                .iter()
                .skip(index + 1)
                .find(|other| other.starts_with(place) && *other != place);
            assert!(inside.is_none(), "{} comes before {inside:?}", place.display());
        }
    }
}
