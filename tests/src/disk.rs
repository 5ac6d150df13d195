//! A disk of our own: a file system on a loop device.

use crate::command::{run, tool};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A mounted disk; unmounted and taken away when this value goes.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    device: String,
}

impl Disk {
    /// Makes a disk of `mebibytes` with ext4 and mounts it.
    ///
    /// # Errors
    /// Loop devices or mounts are not allowed here.
    pub fn mounted(mebibytes: u64) -> Result<Self> {
        let mkfs = &[
            "mkfs.ext4",
            "-q",
            "-F",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
        ];
        Self::made_by(mkfs, mebibytes)
    }

    /// The same with Btrfs, the one file system whose quotas root is not above.
    ///
    /// # Errors
    /// See [`Disk::mounted`].
    pub fn btrfs(mebibytes: u64) -> Result<Self> {
        Self::made_by(&["mkfs.btrfs", "-q"], mebibytes)
    }

    fn made_by(mkfs: &[&str], mebibytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let image = folder.path().join("image");
        File::create(&image)?.set_len(mebibytes << 20)?;
        let image = image.to_str().context("a path that is not UTF-8")?.to_owned();
        let (program, options) = mkfs.split_first().context("no mkfs")?;
        run(tool(program, options).arg(&image))?;
        let device = run(&mut tool("losetup", &["--find", "--show", &image]))?
            .trim()
            .to_owned();
        // From here on the device goes with the value, whatever fails.
        let disk = Self { folder, device };
        std::fs::create_dir(disk.path())?;
        run(tool("mount", &[&disk.device]).arg(disk.path()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Its device number as `MAJOR:MINOR`.
    ///
    /// # Errors
    /// The device is gone.
    pub fn number(&self) -> Result<String> {
        let name = Path::new(&self.device)
            .file_name()
            .context("a device without a name")?;
        let file = Path::new("/sys/class/block").join(name).join("dev");
        Ok(std::fs::read_to_string(file)?.trim().to_owned())
    }

    /// Its kernel name, such as `loop0`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mount = self.path();
        for command in [
            tool("umount", &["--lazy"]).arg(mount),
            &mut tool("losetup", &["--detach", &self.device]),
        ] {
            if let Err(error) = run(command) {
                eprintln!("{error:#}");
            }
        }
    }
}
