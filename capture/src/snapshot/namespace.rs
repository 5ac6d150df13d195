//! The namespaces of the first process, and who shares them.

use super::{CollectError, Collected, Outcome};
use crate::target::namespace::{Others, read};
use stillframe_format::snapshot::NamespaceInfo;

pub(super) fn collect(
    pid: u32,
    name: &str,
    others: &[(String, u32)],
    net_shared_with: &[String],
) -> Outcome<Vec<NamespaceInfo>> {
    if pid == 0 {
        return Err(CollectError::NoProcess);
    }
    let namespaces = read(&pid.to_string()).map_err(|cause| CollectError::File {
        path: format!("/proc/{pid}/ns"),
        cause,
    })?;
    let others = Others::read(others);
    let found = namespaces
        .into_iter()
        .map(|(kind, inode)| {
            let mut shared_with = others.sharing(&kind, inode, name);
            if kind == "net" {
                // Known since the target was resolved, when the other containers were at hand.
                for other in net_shared_with {
                    if !shared_with.contains(other) {
                        shared_with.push(other.clone());
                    }
                }
            }
            NamespaceInfo {
                kind,
                inode,
                shared_with,
            }
        })
        .collect();
    Ok(Collected {
        found,
        notes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_namespaces_are_the_hosts() {
        let found = collect(std::process::id(), "me", &[], &["web".to_owned()])
            .unwrap()
            .found;
        let net = found.iter().find(|namespace| namespace.kind == "net").unwrap();
        assert_eq!(net.shared_with, ["host", "web"]);
        let mnt = found.iter().find(|namespace| namespace.kind == "mnt").unwrap();
        assert_eq!(mnt.shared_with, ["host"]);
        assert!(mnt.inode > 0);
    }
}
