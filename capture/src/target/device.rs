//! Which block devices lie under mounts: through overlays, btrfs, partitions, device mapper and md.

use super::mountinfo::{self, Mount};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use stillframe_format::event::Device;

/// Overlays on overlays on …: the kernel stacks two (FILESYSTEM_MAX_STACK_DEPTH, include/linux/fs.h).
const MAX_OVERLAY_DEPTH: usize = 4;
/// No host stacks more devices than this under one file system.
const MAX_DEVICES: usize = 1024;

/// The block devices of this host, as sysfs shows them.
#[derive(Clone, Debug)]
pub struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self(PathBuf::from("/sys"))
    }
}

impl Sysfs {
    /// A tree in another place than `/sys`.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self(root)
    }

    /// The device's folder, with links resolved; `None` when there is no such block device.
    #[must_use]
    pub fn folder(&self, device: Device) -> Option<PathBuf> {
        fs::canonicalize(self.0.join("dev/block").join(device.to_string())).ok()
    }

    /// What the device's requests end up on next: the whole disk of a partition, the slaves of a device-mapper or
    /// md device. A loop device has none: its backing file is the business of whoever made it.
    #[must_use]
    pub fn parents(&self, device: Device) -> Vec<Device> {
        let Some(folder) = self.folder(device) else {
            return Vec::new();
        };
        if folder.join("partition").exists() {
            return folder.parent().and_then(number_of).into_iter().collect();
        }
        let mut parents: Vec<Device> = fs::read_dir(folder.join("slaves"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|slave| number_of(&slave.path()))
            .collect();
        parents.sort_unstable();
        parents
    }

    /// `devices` and everything below them, each once, the given ones first.
    #[must_use]
    pub fn with_parents(&self, devices: impl IntoIterator<Item = Device>) -> Vec<Device> {
        let mut all: Vec<Device> = Vec::new();
        for device in devices {
            if !all.contains(&device) {
                all.push(device);
            }
        }
        let mut next = 0;
        while let Some(device) = all.get(next).copied() {
            next += 1;
            for parent in self.parents(device) {
                if !all.contains(&parent) && all.len() < MAX_DEVICES {
                    all.push(parent);
                }
            }
        }
        all
    }

    /// The devices of the btrfs that `member` is one of: its own `st_dev` is anonymous, and it may span several.
    fn btrfs(&self, member: Device) -> Vec<Device> {
        let Some(name) = self
            .folder(member)
            .and_then(|folder| Some(folder.file_name()?.to_owned()))
        else {
            return vec![member];
        };
        let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        list(self.0.join("fs/btrfs"))
            .map(|found| found.path().join("devices"))
            .find(|devices| devices.join(&name).exists())
            .map(|devices| {
                list(devices)
                    .filter_map(|device| number_of(&device.path()))
                    .collect()
            })
            .filter(|devices: &Vec<Device>| !devices.is_empty())
            .unwrap_or_else(|| vec![member])
    }
}

fn number_of(folder: &Path) -> Option<Device> {
    mountinfo::parse_device(&fs::read_to_string(folder.join("dev")).ok()?)
}

/// The device number of a device file.
fn number_of_file(path: &str) -> Option<Device> {
    let metadata = fs::metadata(path).ok()?;
    let number = metadata.file_type().is_block_device().then(|| metadata.rdev())?;
    Some(Device {
        major: u32::try_from(nix::sys::stat::major(number)).ok()?,
        minor: u32::try_from(nix::sys::stat::minor(number)).ok()?,
    })
}

/// The devices that files of `mount` lie on, without what lies below those.
///
/// An overlay leads to the file systems of its layers, looked up in `host`: the mounts of the namespace that the
/// engine made it in, which is the capturing process's own for Docker, containerd and rootful Podman.
#[must_use]
pub fn of_mount(mount: &Mount, host: &[Mount], sysfs: &Sysfs) -> Vec<Device> {
    let mut devices = Vec::new();
    collect(mount, host, sysfs, 0, &mut devices);
    devices
}

fn collect(mount: &Mount, host: &[Mount], sysfs: &Sysfs, depth: usize, devices: &mut Vec<Device>) {
    let mut add = |device: Device| {
        if !devices.contains(&device) {
            devices.push(device);
        }
    };
    if mount.device.major != 0 {
        add(mount.device);
        return;
    }
    if mount.fs_type != "overlay" {
        // Other file systems without a number of their own (btrfs, bcachefs) name their device as the source.
        if let Some(device) = mount
            .source
            .starts_with('/')
            .then(|| number_of_file(&mount.source))
            .flatten()
        {
            sysfs.btrfs(device).into_iter().for_each(add);
        }
        return;
    }
    if depth >= MAX_OVERLAY_DEPTH {
        return;
    }
    for layer in mountinfo::overlay_layers(mount) {
        // Docker names lower layers by short links (overlay2/l/…).
        let path = fs::canonicalize(&layer).unwrap_or(layer);
        if let Some(below) = mountinfo::mount_of(host, &path).filter(|below| below.id != mount.id) {
            collect(below, host, sysfs, depth + 1, devices);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn device(major: u32, minor: u32) -> Device {
        Device { major, minor }
    }

    /// A disk sda with a partition sda1, and dm-0 over it.
    fn sysfs() -> (tempfile::TempDir, Sysfs) {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for (folder, number) in [
            ("devices/pci/block/sda", "8:0"),
            ("devices/pci/block/sda/sda1", "8:1"),
            ("devices/virtual/block/dm-0", "252:0"),
        ] {
            fs::create_dir_all(at(folder)).unwrap();
            fs::write(at(folder).join("dev"), format!("{number}\n")).unwrap();
            fs::create_dir_all(at("dev/block")).unwrap();
            symlink(at(folder), at("dev/block").join(number)).unwrap();
        }
        fs::write(at("devices/pci/block/sda/sda1/partition"), "1\n").unwrap();
        fs::create_dir_all(at("devices/virtual/block/dm-0/slaves")).unwrap();
        symlink(
            at("devices/pci/block/sda/sda1"),
            at("devices/virtual/block/dm-0/slaves/sda1"),
        )
        .unwrap();
        let sysfs = Sysfs::at(root.path().to_owned());
        (root, sysfs)
    }

    #[test]
    fn a_logical_volume_leads_to_its_disk() {
        let (_root, sysfs) = sysfs();
        assert_eq!(
            sysfs.with_parents([device(252, 0)]),
            [device(252, 0), device(8, 1), device(8, 0)]
        );
        assert_eq!(
            sysfs.with_parents([device(9, 9)]),
            [device(9, 9)],
            "an unknown one stays"
        );
    }

    #[test]
    fn a_loop_of_slaves_ends() {
        let (root, sysfs) = sysfs();
        let slaves = root.path().join("devices/pci/block/sda/slaves");
        fs::create_dir_all(&slaves).unwrap();
        symlink(
            root.path().join("devices/virtual/block/dm-0"),
            slaves.join("dm-0"),
        )
        .unwrap();
        assert_eq!(sysfs.with_parents([device(252, 0)]).len(), 3);
    }

    #[test]
    fn an_overlay_leads_to_the_file_systems_of_its_layers() {
        let (_root, sysfs) = sysfs();
        let host = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 252:0 / /fast rw - xfs /dev/dm-0 rw\n3 1 0:40 / /sys rw - sysfs sysfs rw";
        let (host, _) = mountinfo::parse(host);
        let line =
            "9 0 0:39 / / rw - overlay overlay rw,lowerdir=/no/such/lower,upperdir=/fast/u,workdir=/fast/w";
        let overlay = mountinfo::parse_line(line).unwrap();
        assert_eq!(of_mount(&overlay, &host, &sysfs), [device(252, 0), device(8, 1)]);
        let plain = host.get(2).unwrap();
        assert!(
            of_mount(plain, &host, &sysfs).is_empty(),
            "a pseudo file system has no device"
        );
    }

    #[test]
    fn an_overlay_over_itself_ends() {
        let (_root, sysfs) = sysfs();
        let line = "9 0 0:39 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b\n10 0 0:40 / / rw - overlay overlay rw,lowerdir=/a";
        let (host, _) = mountinfo::parse(line);
        assert!(of_mount(host.first().unwrap(), &host, &sysfs).is_empty());
    }
}
