//! The namespaces of a process and who else uses them (namespaces(7)).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The kinds, as `/proc/PID/ns/` names them.
pub const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// `net:[4026531840]` as its inode number.
#[must_use]
pub fn parse_link(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(":[")?;
    rest.strip_suffix(']')?.parse().ok()
}

/// The namespaces of a process (`pid` may be `self`): kind and inode number. Kinds that this kernel lacks are absent.
///
/// # Errors
/// When none can be read: the process is gone, or the reader may not trace it (ptrace(2),
/// `PTRACE_MODE_READ_FSCREDS`: same user, or CAP_SYS_PTRACE).
pub fn read(pid: &str) -> io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let mut failure = None;
    for kind in KINDS {
        match fs::read_link(format!("/proc/{pid}/ns/{kind}")) {
            Ok(link) => {
                if let Some(inode) = parse_link(&link.to_string_lossy()) {
                    found.insert(kind.to_owned(), inode);
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Everybody against whom a target's namespaces are compared.
#[derive(Clone, Debug, Default)]
pub struct Others(Vec<(String, BTreeMap<String, u64>)>);

impl Others {
    /// The host (process 1 and this process) and the containers given by name and first process. Who cannot be
    /// read is left out.
    #[must_use]
    pub fn read(containers: &[(String, u32)]) -> Self {
        let host = ["1", "self"]
            .into_iter()
            .map(|pid| ("host".to_owned(), pid.to_owned()));
        let containers = containers
            .iter()
            .filter(|(_, pid)| *pid != 0 && Path::new(&format!("/proc/{pid}")).exists())
            .map(|(name, pid)| (name.clone(), pid.to_string()));
        Self::new(
            host.chain(containers)
                .filter_map(|(name, pid)| Some((name, read(&pid).ok()?))),
        )
    }

    /// From names and namespaces.
    pub fn new(others: impl IntoIterator<Item = (String, BTreeMap<String, u64>)>) -> Self {
        Self(others.into_iter().collect())
    }

    /// Who, other than `except`, uses the namespace.
    #[must_use]
    pub fn sharing(&self, kind: &str, inode: u64, except: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, namespaces) in &self.0 {
            if name != except && namespaces.get(kind) == Some(&inode) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        assert_eq!(parse_link("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(parse_link("net:[x]"), None);
        assert_eq!(parse_link("socket"), None);
    }

    #[test]
    fn own_namespaces_are_shared_with_the_host() {
        let own = read("self").unwrap();
        let net = *own.get("net").unwrap();
        let others = Others::read(&[("gone".to_owned(), 0)]);
        assert_eq!(others.sharing("net", net, "me"), ["host"]);
        assert!(others.sharing("net", net + 1, "me").is_empty());
    }

    #[test]
    fn a_container_does_not_share_with_itself() {
        let of = |inode| BTreeMap::from([("net".to_owned(), inode)]);
        let others = Others::new([
            ("host".to_owned(), of(1)),
            ("web".to_owned(), of(2)),
            ("sidecar".to_owned(), of(2)),
        ]);
        assert_eq!(others.sharing("net", 2, "web"), ["sidecar"]);
        assert_eq!(others.sharing("net", 1, "web"), ["host"]);
        assert!(others.sharing("mnt", 2, "web").is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert_eq!(read("4294967295").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
