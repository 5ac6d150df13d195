//! What the tests need from Debian, installed when it is missing and never started.

use crate::command::{self, Terminal};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Package, and what the tests use it for.
const PACKAGES: &[(&str, &str)] = &[
    ("blktrace", "blkparse reads the exported block traces"),
    ("btrfs-progs", "a file system with quotas that root is not above"),
    ("busybox-static", "the images are made of it"),
    ("chromium", "opens the exported HTML page"),
    ("chromium-driver", "drives it"),
    ("clang-16", "rebuilds the BPF object"),
    ("curl", "asks the engine as another client"),
    ("docker.io", "the container engine"),
    ("e2fsprogs", "file systems on loop devices"),
    ("fio", "block load; reads exported block traces"),
    ("iproute2", "ss and ip, which the snapshot is compared with"),
    ("iptables", "docker.io wants it"),
    ("jq", "reads what replay prints as JSON"),
    ("libbpf-dev", "headers of the BPF object"),
    ("libcap2-bin", "capsh: runs capture without capabilities"),
    ("libc6-dev", "static C programs for the images"),
    ("llvm-16", "strips the BPF object"),
    ("nginx-light", "a workload"),
    ("nodejs", "a runtime with threads, watched by strace and capture"),
    ("openjdk-17-jre-headless", "another"),
    (
        "postgresql-15",
        "a database with processes of its own, watched likewise",
    ),
    ("python3-cbor2", "a second CBOR decoder, not ours"),
    ("redis-server", "a workload"),
    ("redis-tools", "redis-benchmark"),
    ("strace", "what captures are compared with"),
    ("systemd", "journald and journalctl"),
    ("systemd-journal-remote", "reads the exported journal"),
    ("tcpdump", "what packets are compared with"),
    ("tmux", "a terminal for replay's screen, typed into and read back"),
    ("tshark", "reads the exported packets"),
    ("tzdata", "names of time zones"),
    ("util-linux", "losetup, nsenter, setpriv"),
    ("wrk", "load for nginx"),
    ("zstd", "reads bundles as any zstd would"),
];

/// What `cargo xtask vm` needs besides.
const PACKAGES_OF_MACHINES: &[(&str, &str)] = &[
    ("cpio", "packs the first file system of a virtual machine"),
    ("dpkg", "unpacks a kernel without installing it"),
    ("qemu-system-x86", "runs it"),
    ("xz-utils", "unpacks its modules"),
];

/// Asked by every maintainer script before it starts a service; 101 means "no".
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what the test bed lacks. No service is started, and none that ran is stopped.
pub(crate) fn install() -> Result<()> {
    install_all(PACKAGES)
}

/// Likewise for virtual machines.
pub(crate) fn install_for_machines() -> Result<()> {
    install_all(PACKAGES)?;
    install_all(PACKAGES_OF_MACHINES)
}

fn install_all(packages: &[(&'static str, &str)]) -> Result<()> {
    if !Path::new("/usr/bin/dpkg-query").exists() {
        bail!("the test bed needs Debian: there is no dpkg-query here");
    }
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("bed: installing {}", missing.join(" "));
    let _policy = Policy::lay_down()?;
    apt_get(&["update"], &[])?;
    apt_get(&["install", "--yes", "--no-install-recommends"], &missing)?;
    let still = self::missing(packages)?;
    if !still.is_empty() {
        bail!(
            "packages still missing after apt-get install: {}",
            still.join(" ")
        );
    }
    Ok(())
}

fn missing(packages: &[(&'static str, &str)]) -> Result<Vec<&'static str>> {
    let known = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .output()
        .context("cannot run dpkg-query")?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    Ok(packages
        .iter()
        .map(|(package, _)| *package)
        .filter(|package| !known.lines().any(|line| line == format!("{package} installed")))
        .collect())
}

fn apt_get(words: &[&str], packages: &[&str]) -> Result<()> {
    command::run(
        Command::new("apt-get")
            .args(["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=300"])
            .args(words)
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::io::stderr()),
        Terminal::Detached,
    )
}

/// A policy that lets no service start, while it lives. One that is there already is left as it is.
struct Policy {
    is_ours: bool,
}

impl Policy {
    fn lay_down() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        let policy = Self { is_ours: true };
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_ours && fs::remove_file(POLICY).is_err() {
            eprintln!("bed: cannot remove {POLICY}; services will not start until it is gone");
        }
    }
}
