//! The block devices under a target, from `/sys/dev/block` (Documentation/ABI/stable/sysfs-block, Linux 6.12).

use super::proc_file::trimmed;
use super::{CollectError, Collected, Outcome};
use crate::target::device::{Sysfs, of_mount};
use crate::target::mountinfo;
use std::collections::BTreeMap;
use stillframe_format::event::Device;
use stillframe_format::snapshot::BlockDeviceInfo;

/// Files that say what a device is and how it is driven. `loop/backing_file` is where a loop device ends here.
const ATTRIBUTES: [&str; 15] = [
    "queue/scheduler",
    "queue/rotational",
    "queue/logical_block_size",
    "queue/physical_block_size",
    "queue/nr_requests",
    "queue/max_sectors_kb",
    "queue/write_cache",
    "queue/wbt_lat_usec",
    "device/model",
    "device/vendor",
    "loop/backing_file",
    "dm/name",
    "md/level",
    "ro",
    "stat",
];
/// `size` in sysfs is in sectors of 512 bytes, whatever the device's own sectors are.
const SECTOR: u64 = 512;

pub(super) fn collect(pid: u32, devices: &[Device]) -> Outcome<Vec<BlockDeviceInfo>> {
    if pid == 0 && devices.is_empty() {
        return Err(CollectError::NoProcess);
    }
    let sysfs = Sysfs::default();
    let mut notes = Vec::new();
    let mut mounts: BTreeMap<Device, Vec<String>> = BTreeMap::new();
    match mountinfo::read(&pid.to_string()) {
        Ok((inside, _)) => {
            let (host, _) = mountinfo::read("self").unwrap_or_default();
            for mount in &inside {
                for device in sysfs.with_parents(of_mount(mount, &host, &sysfs)) {
                    let targets = mounts.entry(device).or_default();
                    if !targets.contains(&mount.target) {
                        targets.push(mount.target.clone());
                    }
                }
            }
        }
        Err(error) => notes.push(format!("mounts: /proc/{pid}/mountinfo: {error}")),
    }
    for device in devices {
        mounts.entry(*device).or_default();
    }
    let found = mounts
        .into_iter()
        .map(|(device, mounts)| describe(&sysfs, device, mounts))
        .collect();
    Ok(Collected { found, notes })
}

fn describe(sysfs: &Sysfs, device: Device, mounts: Vec<String>) -> BlockDeviceInfo {
    let mut info = BlockDeviceInfo {
        device: Some(device),
        parents: sysfs.parents(device),
        mounts,
        ..BlockDeviceInfo::default()
    };
    if let Some(folder) = sysfs.folder(device) {
        info.name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        info.size = trimmed(&folder, "size")
            .and_then(|sectors| sectors.parse::<u64>().ok())
            .unwrap_or_default()
            .saturating_mul(SECTOR);
        info.attributes = ATTRIBUTES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), trimmed(&folder, name)?)))
            .map(|(name, text)| {
                if name == "queue/scheduler" {
                    (name, chosen(&text))
                } else {
                    (name, text)
                }
            })
            .collect();
    }
    info
}

/// `none [mq-deadline] kyber` as `mq-deadline`.
fn chosen(text: &str) -> String {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(text, |(name, _)| name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_device_is_described_from_sysfs() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("devices/vda");
        fs::create_dir_all(folder.join("queue")).unwrap();
        fs::create_dir_all(root.path().join("dev/block")).unwrap();
        fs::write(folder.join("size"), "2048\n").unwrap();
        fs::write(folder.join("queue/scheduler"), "none [mq-deadline] kyber\n").unwrap();
        symlink(&folder, root.path().join("dev/block/254:0")).unwrap();
        let sysfs = Sysfs::at(root.path().to_owned());
        let info = describe(&sysfs, Device { major: 254, minor: 0 }, vec!["/".to_owned()]);
        assert_eq!((info.name.as_str(), info.size), ("vda", 1 << 20));
        assert_eq!(
            info.attributes,
            [("queue/scheduler".to_owned(), "mq-deadline".to_owned())]
        );
        assert_eq!(chosen("none"), "none");
    }
}
