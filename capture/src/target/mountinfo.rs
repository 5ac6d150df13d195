//! Lines of `/proc/PID/mountinfo` (proc_pid_mountinfo(5), show_mountinfo in fs/proc_namespace.c, Linux 6.12).

use std::io;
use std::path::{Path, PathBuf};
use stillframe_format::event::Device;

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount id, unique on the host while the mount lives.
    pub id: u32,
    /// Parent's mount id.
    pub parent: u32,
    /// `st_dev` of files on it; major 0 where no block device stands behind the number.
    pub device: Device,
    /// Root of the mount inside its file system.
    pub root: String,
    /// Where it is mounted, relative to the root of the process whose file was read.
    pub target: String,
    /// File system type.
    pub fs_type: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount.
    pub mount_options: String,
    /// Options of the file system, still escaped: a comma inside a value is `\054` (seq_show_option).
    pub super_options: String,
}

impl Mount {
    /// The values of a file system option, unescaped: `option("upperdir")`.
    pub fn options<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.super_options.split(',').filter_map(move |option| {
            let (key, value) = option.split_once('=')?;
            (key == name).then(|| unescape(value))
        })
    }

    /// Whether the file system has this option, without a value.
    #[must_use]
    pub fn has_option(&self, name: &str) -> bool {
        self.super_options.split(',').any(|option| option == name)
    }
}

/// Undoes the kernel's `\040` escapes (mangle_path in fs/seq_file.c). A sequence that is none stays as it is.
#[must_use]
pub fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0_u32, |value, digit| {
                (b'0'..=b'7')
                    .contains(digit)
                    .then(|| value * 8 + u32::from(digit - b'0'))
            })
        });
        match octal.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `254:1` as a device.
#[must_use]
pub fn parse_device(text: &str) -> Option<Device> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(Device {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

/// A line; `None` when it is not one.
#[must_use]
pub fn parse_line(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let device = parse_device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let target = unescape(fields.next()?);
    let mount_options = fields.next()?.to_owned();
    fields.by_ref().find(|field| *field == "-")?;
    Some(Mount {
        id,
        parent,
        device,
        root,
        target,
        mount_options,
        fs_type: unescape(fields.next()?),
        source: unescape(fields.next()?),
        super_options: fields.next().unwrap_or_default().to_owned(),
    })
}

/// The mounts of a file's text, and the number of lines that could not be read.
#[must_use]
pub fn parse(text: &str) -> (Vec<Mount>, usize) {
    let mut unread = 0;
    let mounts = text
        .lines()
        .filter_map(|line| {
            let mount = parse_line(line);
            unread += usize::from(mount.is_none());
            mount
        })
        .collect();
    (mounts, unread)
}

/// The mounts that process `pid` sees, and the number of lines that could not be read.
///
/// # Errors
/// When `/proc/PID/mountinfo` cannot be read.
pub fn read(pid: &str) -> io::Result<(Vec<Mount>, usize)> {
    let bytes = std::fs::read(format!("/proc/{pid}/mountinfo"))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// The mount that `path` (absolute, without links) lies on: the last one with the longest target.
#[must_use]
pub fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.target))
        .max_by_key(|mount| Path::new(&mount.target).components().count())
}

/// The layers of an overlay: upper, work and lower folders, as paths of the mount namespace it was mounted in.
#[must_use]
pub fn overlay_layers(mount: &Mount) -> Vec<PathBuf> {
    let mut layers: Vec<PathBuf> = Vec::new();
    for name in ["upperdir", "workdir", "lowerdir+", "datadir+"] {
        layers.extend(mount.options(name).map(|value| PathBuf::from(plain(&value))));
    }
    for value in mount.options("lowerdir") {
        layers.extend(split_layers(&value).into_iter().map(PathBuf::from));
    }
    layers
}

fn plain(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

/// Splits `lowerdir` at colons (`\:` is a colon of a path; `::` precedes data-only layers).
fn split_layers(value: &str) -> Vec<String> {
    let mut layers = Vec::new();
    let mut layer = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => layer.extend(letters.next()),
            ':' => layers.push(std::mem::take(&mut layer)),
            other => layer.push(other),
        }
    }
    layers.push(layer);
    layers.retain(|layer| !layer.is_empty());
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAY: &str = "72 48 0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/d/l/A:/d/l/B,upperdir=/d/x/diff,workdir=/d/x/work";

    #[test]
    fn a_line_with_optional_fields_is_read() {
        let mount = parse_line(OVERLAY).unwrap();
        assert_eq!((mount.id, mount.parent), (72, 48));
        assert_eq!(mount.device, Device { major: 0, minor: 39 });
        assert_eq!(mount.fs_type, "overlay");
        assert_eq!(
            overlay_layers(&mount),
            ["/d/x/diff", "/d/x/work", "/d/l/A", "/d/l/B"].map(PathBuf::from)
        );
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        let mount = parse_line(r"1 2 8:1 /a\040b /m\134n\011 rw - ext4 /dev/disk\040one rw").unwrap();
        assert_eq!(mount.root, "/a b");
        assert_eq!(mount.target, "/m\\n\t");
        assert_eq!(mount.source, "/dev/disk one");
        assert_eq!(unescape(r"\9\40\777"), r"\9\40\777");
        assert_eq!(unescape(r"tail\"), r"tail\");
    }

    #[test]
    fn a_colon_or_comma_in_a_layer_does_not_split_it() {
        let line = r"1 2 0:9 / / rw - overlay overlay rw,lowerdir=/a\134:b:/c::/data,upperdir=/u\054v";
        let layers = overlay_layers(&parse_line(line).unwrap());
        assert_eq!(layers, ["/u,v", "/a:b", "/c", "/data"].map(PathBuf::from));
    }

    #[test]
    fn a_torn_line_is_counted_not_believed() {
        let (mounts, unread) = parse("1 2 8:1 / / rw\nnonsense\n1 2 8:1 / / rw - ext4 /dev/sda1 rw\n");
        assert_eq!((mounts.len(), unread), (1, 2));
    }

    #[test]
    fn the_longest_and_latest_mount_owns_a_path() {
        let text = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /var rw - ext4 b rw\n3 1 8:3 / /var rw - ext4 c rw\n4 1 8:4 / /va rw - ext4 d rw";
        let (mounts, _) = parse(text);
        let id = |path: &str| mount_of(&mounts, Path::new(path)).map(|mount| mount.id);
        assert_eq!(id("/var/lib"), Some(3));
        assert_eq!(id("/variable"), Some(1));
    }
}
