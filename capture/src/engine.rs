//! A client of the Docker Engine API over its unix socket.
//!
//! Replies are evidence: what the engine said is kept byte for byte, and only the few fields that capture itself
//! needs are parsed (`docs/decisions/0002-engine-client.md`). The interface blocks; the async runtime that hyper
//! needs stays behind this module. Podman's compatible socket works too, through `DOCKER_HOST`.
//!
//! Every request ends within a timeout and every reply is bounded, so that an engine that hangs costs its own
//! members of the bundle and nothing else.

mod client;
mod container;
mod secrets;

pub use client::{Item, Streams};
pub use container::Container;
pub(crate) use secrets::mask_json;
pub use secrets::{MaskError, Masked, mask_env};

use client::{Client, Reply};
use std::path::PathBuf;
use std::time::Duration;

/// Where the engine listens when nothing else is said.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The newest version of the API whose replies this client was written for. The engine is asked for this one or
/// its own, whichever is older; so a newer engine does not change the shape of a reply.
pub const NEWEST_API: ApiVersion = ApiVersion { major: 1, minor: 51 };

/// The oldest version that has all we ask for (`until` of logs, API 1.35: Docker 17.12).
pub const OLDEST_API: ApiVersion = ApiVersion { major: 1, minor: 35 };

/// How many containers an error names at most.
const KNOWN_NAMES: usize = 20;

/// Why the engine did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens on the socket, or there is none.
    #[error("engine: cannot reach {}: {cause} (is the engine running? set DOCKER_HOST)", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
    /// The socket may not be opened.
    #[error("engine: cannot open {}: permission denied (run as root, or as a member of the socket's group)", socket.display())]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// A host that is not a unix socket.
    #[error(
        "engine: cannot use {host}: only unix sockets of this host are supported (set DOCKER_HOST=unix:///PATH)"
    )]
    UnsupportedHost {
        /// `DOCKER_HOST` as it was given.
        host: String,
    },
    /// No whole reply in time.
    #[error("engine: no reply to {request} within {} s: it hangs or is overloaded (look at its log)", after.as_secs_f32())]
    Hung {
        /// Method and path.
        request: String,
        /// How long was waited.
        after: Duration,
    },
    /// The reply is larger than what is accepted.
    #[error("engine: the reply to {request} is larger than {limit} bytes: not kept")]
    TooLarge {
        /// Method and path.
        request: String,
        /// The limit.
        limit: usize,
    },
    /// The engine refused.
    #[error("engine: {request} failed with status {status}: {message}")]
    Status {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The engine's own words, printable and cut to a line.
        message: String,
    },
    /// What came is not what the API promises.
    #[error("engine: the reply to {request} cannot be used: {cause}")]
    Protocol {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The engine is older than what we speak, or refuses all that we speak.
    #[error(
        "engine: it speaks API {engine}, and at least {OLDEST_API} is needed (use Docker 17.12 or newer)"
    )]
    TooOld {
        /// The engine's newest version.
        engine: ApiVersion,
    },
    /// There is no such container.
    #[error("container: no such container: {name} (known: {known})")]
    NoSuchContainer {
        /// What was asked for.
        name: String,
        /// Names of the containers that exist, or `none`.
        known: String,
    },
    /// The beginning of an id fits several containers.
    #[error("container: {prefix} is the beginning of several ids (give more of it: {matches})")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// Names and short ids that fit.
        matches: String,
    },
    /// This process could not set the client up.
    #[error("engine: cannot start the client: {0}")]
    Runtime(#[source] std::io::Error),
}

/// A version of the engine's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Major number, 1 so far.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// What happens to values of environment variables in replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They become `***`.
    #[default]
    Mask,
    /// They stay.
    Keep,
}

/// A reply that goes into the bundle.
#[derive(Debug)]
pub struct Member {
    /// File name of the member: `inspect.json`, …
    pub name: &'static str,
    /// The reply, byte for byte but for what `masked` names; or why there is none.
    pub bytes: Result<Vec<u8>, EngineError>,
    /// JSON pointers (RFC 6901) to the values that were masked, such as `/Config/Env/3`.
    pub masked: Vec<String>,
}

/// The engine of this host. Cheap to clone; every request opens a connection of its own.
#[derive(Clone, Debug)]
pub struct Engine {
    client: Client,
    version: ApiVersion,
}

impl Engine {
    /// Reaches the engine at `host`, else at `DOCKER_HOST`, else at [`DEFAULT_HOST`], and agrees on a version.
    ///
    /// # Errors
    /// Any but the two about containers.
    pub fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        let from_environment = std::env::var("DOCKER_HOST").ok().filter(|text| !text.is_empty());
        let host = host.or(from_environment.as_deref()).unwrap_or(DEFAULT_HOST);
        let client = Client::new(client::socket_of(host)?);
        let reply = client.get("/_ping")?.accept()?;
        // Engines before 1.30 and some proxies leave the header out.
        let offered = match reply.api_version.as_deref().and_then(ApiVersion::parse) {
            Some(version) => version,
            None => container::api_version(&client.get("/version")?.accept()?)?,
        };
        if offered < OLDEST_API {
            return Err(EngineError::TooOld { engine: offered });
        }
        Ok(Self {
            client,
            version: offered.min(NEWEST_API),
        })
    }

    /// The same engine with another timeout for each request (the default is 5 s).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = timeout;
        self
    }

    /// The version of the API that requests name.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// A container by name, full id, or unique beginning of its id, running or not.
    ///
    /// # Errors
    /// [`EngineError::NoSuchContainer`], [`EngineError::Ambiguous`], or why the engine did not answer.
    pub fn find(&self, name: &str) -> Result<Container, EngineError> {
        // Anything else would ask the engine another question.
        let reply = if container::may_be_name(name) {
            Some(self.get(&format!("/containers/{name}/json"))?)
        } else {
            None
        };
        let refusal = match reply.map(Reply::accept) {
            Some(Ok(reply)) => return container::parse(&reply),
            Some(Err(EngineError::Status {
                status,
                request,
                message,
            })) => Some((status, request, message)),
            Some(Err(other)) => return Err(other),
            None => None,
        };
        let listed = self.list(true)?;
        // How engines answer to an ambiguous id differs (404, 400, 500), so it is found out here.
        let fitting: Vec<String> = listed
            .iter()
            .filter(|entry| !name.is_empty() && entry.id.starts_with(name))
            .map(|entry| format!("{} {}", entry.name, entry.id.get(..12).unwrap_or(&entry.id)))
            .collect();
        if fitting.len() > 1 {
            return Err(EngineError::Ambiguous {
                prefix: name.to_owned(),
                matches: fitting.join(", "),
            });
        }
        match refusal {
            Some((status, request, message)) if status != 404 => Err(EngineError::Status {
                request,
                status,
                message,
            }),
            _ => Err(EngineError::NoSuchContainer {
                name: client::printable(name.as_bytes()),
                known: known(&listed),
            }),
        }
    }

    /// All containers that run, and the errors of those that were listed but could not be inspected.
    ///
    /// # Errors
    /// When the list itself could not be had.
    pub fn all(&self) -> Result<(Vec<Container>, Vec<EngineError>), EngineError> {
        let mut containers = Vec::new();
        let mut errors = Vec::new();
        for entry in self.list(false)? {
            match self
                .get(&format!("/containers/{}/json", entry.id))
                .and_then(Reply::accept)
            {
                Ok(reply) => match container::parse(&reply) {
                    Ok(container) => containers.push(container),
                    Err(error) => errors.push(error),
                },
                // It ended and was removed since the list was made.
                Err(EngineError::Status { status: 404, .. }) => {}
                Err(error) => errors.push(error),
            }
        }
        Ok((containers, errors))
    }

    /// What the engine knows of a container: `inspect.json`, `image.json` and `top.json` (which an engine refuses
    /// for a container that does not run).
    #[must_use]
    pub fn snapshot(&self, container: &Container, secrets: Secrets) -> Vec<Member> {
        let id = encode(&container.id);
        let image = encode(&container.image_id);
        [
            ("inspect.json", format!("/containers/{id}/json")),
            ("image.json", format!("/images/{image}/json")),
            ("top.json", format!("/containers/{id}/top")),
        ]
        .into_iter()
        .map(|(name, path)| self.member(name, &path, secrets))
        .collect()
    }

    /// What the engine says of itself and its host: `info.json` and `version.json`.
    #[must_use]
    pub fn host_snapshot(&self) -> Vec<Member> {
        [("info.json", "/info"), ("version.json", "/version")]
            .into_iter()
            .map(|(name, path)| self.member(name, path, Secrets::Mask))
            .collect()
    }

    fn member(&self, name: &'static str, path: &str, secrets: Secrets) -> Member {
        let outcome = self.get(path).and_then(Reply::accept);
        let (bytes, masked) = match (outcome, secrets) {
            (Ok(reply), Secrets::Keep) => (Ok(reply.body), Vec::new()),
            (Ok(reply), Secrets::Mask) => match mask_env(&reply.body) {
                Ok(masked) => (Ok(masked.bytes), masked.pointers),
                // What can't be masked is not kept: a secret let through can't be taken back.
                Err(error) => (
                    Err(EngineError::Protocol {
                        request: reply.request,
                        cause: error.to_string(),
                    }),
                    Vec::new(),
                ),
            },
            (Err(error), _) => (Err(error), Vec::new()),
        };
        Member { name, bytes, masked }
    }

    fn list(&self, all: bool) -> Result<Vec<container::Listed>, EngineError> {
        let path = if all {
            "/containers/json?all=1"
        } else {
            "/containers/json"
        };
        container::parse_list(&self.get(path)?.accept()?)
    }

    fn get(&self, path: &str) -> Result<Reply, EngineError> {
        self.client.get(&self.versioned(path))
    }

    fn versioned(&self, path: &str) -> String {
        format!("/v{}{path}", self.version)
    }
}

/// The names of an error's `known: …`.
fn known(listed: &[container::Listed]) -> String {
    if listed.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    let more = names.len() > KNOWN_NAMES;
    names.truncate(KNOWN_NAMES);
    let mut text = names.join(", ");
    if more {
        text.push_str(", …");
    }
    text
}

/// Percent-encodes one segment of a path (RFC 3986: all but unreserved characters), so that a name can't become
/// another request.
fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A dot is unreserved, but a segment `..` would be folded away.
            b'.' if segment.bytes().any(|other| other != b'.') => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let old = ApiVersion::parse("1.9").unwrap();
        assert!(old < OLDEST_API, "1.9 is older than 1.35");
        assert_eq!(ApiVersion::parse("1.41").unwrap().to_string(), "1.41");
        for bad in ["", "1", "1.", "x.1", "1.41-rc1"] {
            assert_eq!(ApiVersion::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        assert_eq!(encode("web-1_a.b"), "web-1_a.b");
        assert_eq!(encode("../info?x=1#"), "..%2Finfo%3Fx%3D1%23");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("a b\r\nHost: x"), "a%20b%0D%0AHost%3A%20x");
        assert_eq!(encode("é"), "%C3%A9");
    }

    #[test]
    fn errors_name_the_thing_the_cause_and_the_way_out() {
        let error = Engine::connect(Some("tcp://10.0.0.1:2375")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine: cannot use tcp://10.0.0.1:2375: only unix sockets of this host are supported (set DOCKER_HOST=unix:///PATH)"
        );
        let error = Engine::connect(Some("unix:///nonexistent/docker.sock")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine: cannot reach /nonexistent/docker.sock: No such file or directory (os error 2) (is the engine running? set DOCKER_HOST)"
        );
    }
}
