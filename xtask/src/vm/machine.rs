//! One kernel, its first file system and its disks, and qemu that runs them.

use crate::command::{self, Terminal};
use crate::interrupt;
use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Without hardware's help a kernel takes half a minute to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Of each disk: the one that is written to, and the one that the bundle comes out on.
const DISK: u64 = 64 << 20;
/// Modules that the kernel may have apart: the disks'.
const MODULES: &[&str] = &[
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_blk",
];

/// A kernel that can be booted.
pub(super) struct Machine {
    folder: PathBuf,
    kernel: PathBuf,
    release: String,
}

/// What came out of a machine.
pub(super) struct Recorded {
    /// How capture ended.
    pub(super) code: Option<i32>,
    /// The file, if there is one.
    pub(super) bundle: Option<PathBuf>,
}

impl Machine {
    /// Downloads the kernel that `package` names, and lays down a file system with the binaries and the workload.
    pub(super) fn prepare(package: &str, binaries: &Path) -> Result<Self> {
        let folder = workspace::target()?.join("vm").join(package);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let image = newest(package)?;
        let unpacked = folder.join(&image);
        if !unpacked.join("boot").exists() {
            command::run(
                Command::new("apt-get")
                    .args(["--quiet", "-o", "APT::Sandbox::User=root", "download", &image])
                    .current_dir(&folder)
                    .stdout(std::io::stderr()),
                Terminal::Detached,
            )?;
            let archive = entry(&folder, |name| name.starts_with(&image) && name.ends_with(".deb"))?;
            command::run(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .arg(&archive)
                    .arg(&unpacked),
                Terminal::Detached,
            )?;
            fs::remove_file(&archive)?;
        }
        let kernel = entry(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
        let release = kernel
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("vmlinuz-"))
            .context("a kernel without a release")?
            .to_owned();
        let machine = Self {
            folder,
            kernel,
            release,
        };
        machine.lay_down(binaries, &unpacked)?;
        Ok(machine)
    }

    /// The kernel's release, as `uname -r` says it.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// Where the console's text is.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn lay_down(&self, binaries: &Path, unpacked: &Path) -> Result<()> {
        let root = self.folder.join("root");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        for folder in ["bin", "proc", "sys", "dev", "tmp", "data", "modules"] {
            fs::create_dir_all(root.join(folder))?;
        }
        copy("/bin/busybox".as_ref(), &root.join("bin/busybox"))?;
        symlink("busybox", root.join("bin/sh"))?;
        let capture = binaries.join("capture");
        copy(&capture, &root.join("bin/capture"))?;
        for library in libraries(&capture)? {
            let within = root.join(library.strip_prefix("/")?);
            fs::create_dir_all(within.parent().context("a library at the root")?)?;
            copy(&library, &within)?;
        }
        let rings = workspace::root()?.join("tests/victims/uring/rings.c");
        command::run(
            Command::new("cc")
                .args(["-O1", "-static", "-w", "-o"])
                .arg(root.join("bin/rings"))
                .arg(rings)
                .arg("-lpthread"),
            Terminal::Detached,
        )?;
        let source = workspace::root()?.join("xtask/src/vm");
        for (name, to) in [("init.sh", "init"), ("work.sh", "work.sh")] {
            copy(&source.join(name), &root.join(to))?;
            fs::set_permissions(root.join(to), fs::Permissions::from_mode(0o755))?;
        }
        let modules = unpacked
            .join("lib/modules")
            .join(&self.release)
            .join("kernel/drivers");
        for module in MODULES {
            for kind in ["virtio", "block"] {
                let plain = modules.join(kind).join(format!("{module}.ko"));
                let within = root.join("modules").join(format!("{module}.ko"));
                if plain.exists() {
                    copy(&plain, &within)?;
                }
                let packed = modules.join(kind).join(format!("{module}.ko.xz"));
                if packed.exists() {
                    command::run(
                        Command::new("xz")
                            .args(["--decompress", "--stdout"])
                            .arg(&packed)
                            .stdout(File::create(&within)?),
                        Terminal::Detached,
                    )?;
                }
            }
        }
        command::run(
            Command::new("sh")
                .args([
                    "-c",
                    "find . | cpio --create --format=newc --quiet | gzip -1 > ../initrd",
                ])
                .current_dir(&root),
            Terminal::Detached,
        )
    }

    /// Boots it, waits for its end, and takes the bundle out.
    pub(super) fn record(&self) -> Result<Recorded> {
        let data = self.folder.join("data.img");
        let out = self.folder.join("out.img");
        for disk in [&data, &out] {
            File::create(disk)?.set_len(DISK)?;
        }
        command::run(Command::new("mkfs.ext4").arg("-q").arg(&data), Terminal::Detached)?;
        self.boot(&data, &out)?;
        let said = String::from_utf8_lossy(&fs::read(self.log())?).into_owned();
        let told = |word: &str| -> Option<u64> {
            let (_, rest) = said.rsplit_once(&format!("stillframe: {word} "))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let code = told("capture").and_then(|code| i32::try_from(code).ok());
        let Some(size) = told("bundle").filter(|size| (1..=DISK).contains(size)) else {
            return Ok(Recorded { code, bundle: None });
        };
        let bundle = self.folder.join("x.capture.tar.zst");
        std::io::copy(&mut File::open(&out)?.take(size), &mut File::create(&bundle)?)?;
        Ok(Recorded {
            code,
            bundle: Some(bundle),
        })
    }

    fn boot(&self, data: &Path, out: &Path) -> Result<()> {
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-machine", "pc", "-cpu", "max", "-accel", "tcg,thread=multi"])
            .args([
                "-smp", "2", "-m", "1024", "-display", "none", "-serial", "stdio", "-monitor", "none",
            ])
            .args(["-no-reboot", "-nic", "none"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(self.folder.join("initrd"))
            .args(["-append", "console=ttyS0 quiet panic=-1"]);
        for disk in [data, out] {
            let path = disk.to_str().context("the target folder's path is not UTF-8")?;
            ensure!(!path.contains(','), "{path}: qemu takes no comma in a path");
            command
                .arg("-drive")
                .arg(format!("file={path},format=raw,if=virtio,cache=unsafe"));
        }
        let mut machine = command
            .stdin(Stdio::null())
            .stdout(File::create(self.log())?)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let since = Instant::now();
        loop {
            if let Some(status) = machine.try_wait()? {
                ensure!(status.success(), "qemu: {status}");
                return Ok(());
            }
            let is_late = since.elapsed() > PATIENCE;
            if is_late || interrupt::came() {
                machine.kill()?;
                machine.wait()?;
                interrupt::check()?;
                bail!(
                    "{}: has not ended after {} s; its console is in {}",
                    self.release,
                    PATIENCE.as_secs(),
                    self.log().display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The package of the newest kernel of a series, which the series' own package depends on.
fn newest(package: &str) -> Result<String> {
    let depends = command::output(Command::new("apt-cache").args(["depends", package]))?;
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .with_context(|| format!("{package}: Debian's lists name no kernel (apt-get update)"))
}

/// What the dynamic loader would load, itself among it.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let text = command::output(Command::new("ldd").arg(binary))?;
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// The one entry of `folder` whose name `is_it`.
fn entry(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is_it) {
            return Ok(entry.path());
        }
    }
    bail!("{}: what was expected there is not", folder.display())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
