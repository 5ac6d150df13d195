//! Limits and use of a target's cgroups: every readable file of its folders
//! (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, Linux 6.12).

use super::proc_file::text;
use super::{CollectError, Collected, Outcome};
use crate::target::Cgroups;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use stillframe_format::snapshot::CgroupInfo;

/// Lists of processes: `processes.json` has them.
const LISTS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];

pub(super) fn collect(cgroups: &Cgroups) -> Outcome<CgroupInfo> {
    let mut info = CgroupInfo::default();
    let mut notes = Vec::new();
    if let Some(folder) = &cgroups.unified {
        info.paths
            .push(("unified".to_owned(), folder.to_string_lossy().into_owned()));
        info.files.extend(files(folder, "", &mut notes));
    }
    for (controller, folder) in &cgroups.v1 {
        info.paths
            .push((controller.clone(), folder.to_string_lossy().into_owned()));
        // Controllers that are mounted together share a folder; each takes its own files.
        let own = format!("{controller}.");
        let of_controller = files(folder, &own, &mut notes)
            .into_iter()
            .map(|(name, text)| (format!("{controller}/{name}"), text));
        info.files.extend(of_controller);
    }
    if info.paths.is_empty() {
        return Err(CollectError::NoCgroup);
    }
    Ok(Collected { found: info, notes })
}

/// The readable files of `folder` whose names begin with `prefix`, in order of name.
fn files(folder: &Path, prefix: &str, notes: &mut Vec<String>) -> Vec<(String, String)> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            notes.push(format!("{}: {error}", folder.display()));
            return Vec::new();
        }
    };
    let mut found: Vec<(String, String)> = entries
        .flatten()
        .filter(|entry| {
            // Files without a read bit are commands (cgroup.kill, memory.reclaim).
            entry
                .metadata()
                .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o444 != 0)
        })
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            if !name.starts_with(prefix) || LISTS.contains(&name.as_str()) {
                return None;
            }
            // Some files cannot be read in some states (memory.pressure_level): they have no value then.
            let text = text(entry.path().to_str()?).ok()?;
            Some((name, text.trim().to_owned()))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn files_are_named_by_controller_and_commands_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = root.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("cpu.shares", "1024\n", 0o644);
        write("cpuacct.usage", "5\n", 0o444);
        write("cpu.kill", "never read", 0o200);
        write("tasks", "1\n2\n", 0o644);
        let folder = root.path().to_owned();
        let cgroups = Cgroups {
            unified: None,
            v1: BTreeMap::from([("cpu".to_owned(), folder.clone()), ("cpuacct".to_owned(), folder)]),
        };
        let files = collect(&cgroups).unwrap().found.files;
        let expected = [("cpu/cpu.shares", "1024"), ("cpuacct/cpuacct.usage", "5")];
        assert_eq!(
            files,
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn no_cgroup_is_a_reason_and_a_vanished_one_a_note() {
        assert!(matches!(
            collect(&Cgroups::default()),
            Err(CollectError::NoCgroup)
        ));
        let cgroups = Cgroups {
            unified: Some("/nonexistent".into()),
            ..Cgroups::default()
        };
        assert_eq!(collect(&cgroups).unwrap().notes.len(), 1);
    }
}
