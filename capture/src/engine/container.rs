//! The few fields of the engine's replies that capture itself needs.

use super::client::{Reply, printable};
use super::{ApiVersion, EngineError};
use serde::Deserialize;

/// A container, as its engine described it a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Full id: 64 hexadecimal digits.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Its first process, on the host; 0 when none runs.
    pub pid: u32,
    /// Whether it runs (a paused one does).
    pub running: bool,
    /// Id of its image: `sha256:…`.
    pub image_id: String,
    /// It has a terminal: its log is one raw stream.
    pub tty: bool,
    /// Its logging driver: `json-file`, `local`, `journald`, `none`, …
    pub log_driver: String,
}

/// A line of the list of containers.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect {
    id: String,
    name: String,
    #[serde(default)]
    image: String,
    state: State,
    config: Config,
    host_config: HostConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    tty: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    log_config: Option<LogConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListEntry {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    api_version: String,
}

/// Reads the reply of `GET /containers/ID/json`.
pub(super) fn parse(reply: &Reply) -> Result<Container, EngineError> {
    let inspect: Inspect = json(reply)?;
    Ok(Container {
        id: checked_id(reply, inspect.id)?,
        name: checked_name(&inspect.name),
        pid: if inspect.state.running {
            inspect.state.pid
        } else {
            0
        },
        running: inspect.state.running,
        image_id: inspect.image,
        tty: inspect.config.tty,
        log_driver: inspect
            .host_config
            .log_config
            .map(|config| printable(config.r#type.as_bytes()))
            .unwrap_or_default(),
    })
}

/// Reads the reply of `GET /containers/json`.
pub(super) fn parse_list(reply: &Reply) -> Result<Vec<Listed>, EngineError> {
    let entries: Vec<ListEntry> = json(reply)?;
    entries
        .into_iter()
        .map(|entry| {
            let names = entry.names.unwrap_or_default();
            // With links a container has further names, `/other/alias`; its own has one slash.
            let own = names
                .iter()
                .find(|name| name.matches('/').count() == 1)
                .or(names.first());
            Ok(Listed {
                name: own.map_or_else(
                    || entry.id.get(..12).unwrap_or_default().to_owned(),
                    |name| checked_name(name),
                ),
                id: checked_id(reply, entry.id)?,
            })
        })
        .collect()
}

/// Reads the reply of `GET /version`.
pub(super) fn api_version(reply: &Reply) -> Result<ApiVersion, EngineError> {
    let version: Version = json(reply)?;
    ApiVersion::parse(&version.api_version).ok_or_else(|| EngineError::Protocol {
        request: reply.request.clone(),
        cause: format!("{} is no version", printable(version.api_version.as_bytes())),
    })
}

fn json<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Result<T, EngineError> {
    serde_json::from_slice(&reply.body).map_err(|error| EngineError::Protocol {
        request: reply.request.clone(),
        cause: error.to_string(),
    })
}

/// Ids become names of folders and cgroups, so nothing but hexadecimal digits may pass.
fn checked_id(reply: &Reply, id: String) -> Result<String, EngineError> {
    if id.len() == 64
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return Ok(id);
    }
    Err(EngineError::Protocol {
        request: reply.request.clone(),
        cause: format!("{} is no container id", printable(id.as_bytes())),
    })
}

/// Whether a container can have that name or id (`RestrictedNameChars`, daemon/names/names.go of moby).
pub(super) fn may_be_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn checked_name(name: &str) -> String {
    printable(name.strip_prefix('/').unwrap_or(name).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "55b04d99bd40007d20e7ab1b1bb7c0de1d6d34e7d059973603448e896c31539b";

    fn reply(body: &str) -> Reply {
        Reply {
            request: "GET /x".to_owned(),
            status: 200,
            api_version: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_stopped_container_has_no_pid() {
        let body = format!(
            r#"{{"Id":"{ID}","Name":"/web","Image":"sha256:1","State":{{"Running":false,"Pid":7}},"Config":{{"Tty":true}},"HostConfig":{{"LogConfig":{{"Type":"none"}}}}}}"#
        );
        let container = parse(&reply(&body)).unwrap();
        assert_eq!((container.name.as_str(), container.pid), ("web", 0));
        assert!(container.tty);
        assert_eq!(container.log_driver, "none");
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        for id in ["../../etc", "", "ABC", &ID.to_uppercase(), &ID[..63]] {
            let body = format!(r#"[{{"Id":"{id}","Names":["/web"]}}]"#);
            assert!(
                matches!(parse_list(&reply(&body)), Err(EngineError::Protocol { .. })),
                "{id}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for name in ["web", "0", "a_b.c-d", ID] {
            assert!(may_be_name(name), "{name}");
        }
        for name in ["", ".", "..", "../info", "a/b", "a b", "a?b", "é", "-a", "a\n"] {
            assert!(!may_be_name(name), "{name:?}");
        }
    }

    #[test]
    fn links_do_not_rename_a_container() {
        let body = format!(r#"[{{"Id":"{ID}","Names":["/app/db","/db1"]}},{{"Id":"{ID}","Names":null}}]"#);
        let listed = parse_list(&reply(&body)).unwrap();
        assert_eq!(listed[0].name, "db1");
        assert_eq!(listed[1].name, &ID[..12]);
    }
}
