//! HTTP over the engine's unix socket, with bounds: whole replies, and streams that are read as they come.

use super::{Engine, EngineError};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a request may take, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest reply that is kept, in bytes. `inspect` of a container with thousands of mounts is far below.
const REPLY_LIMIT: usize = 16 << 20;
/// Chunks that wait to be taken from [`Streams`]; then the engine has to wait.
const QUEUE: usize = 64;
/// Length to which an engine's message is cut, in characters.
const MESSAGE_LIMIT: usize = 300;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
    pub(super) timeout: Duration,
}

/// A whole reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// Method and path, for errors.
    pub(super) request: String,
    pub(super) status: u16,
    /// The `Api-Version` header.
    pub(super) api_version: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The reply, unless its status says that the engine refused.
    pub(super) fn accept(self) -> Result<Self, EngineError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(EngineError::Status {
            message: message_of(&self.body),
            request: self.request,
            status: self.status,
        })
    }
}

/// The socket's path in a `DOCKER_HOST`.
pub(super) fn socket_of(host: &str) -> Result<PathBuf, EngineError> {
    host.strip_prefix("unix://")
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from)
        .ok_or_else(|| EngineError::UnsupportedHost {
            host: host.to_owned(),
        })
}

/// Bytes made fit for a line of an error: control characters become `?`, and it is cut.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim()
        .chars()
        .take(MESSAGE_LIMIT)
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}

/// The engine's words in `{"message": "…"}`, else the body itself.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => printable(refusal.message.as_bytes()),
        Err(_) => printable(body),
    }
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            timeout: TIMEOUT,
        }
    }

    /// Asks for `path` and waits for all of the reply.
    pub(super) fn get(&self, path: &str) -> Result<Reply, EngineError> {
        let request = format!("GET {path}");
        runtime()?.block_on(async {
            match timeout(self.timeout, self.whole(path, &request)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(EngineError::Hung {
                    request: request.clone(),
                    after: self.timeout,
                }),
            }
        })
    }

    async fn whole(&self, path: &str, request: &str) -> Result<Reply, EngineError> {
        let response = self.send(path, request).await?;
        let status = response.status().as_u16();
        let api_version = response
            .headers()
            .get("api-version")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok(Reply {
            status,
            api_version,
            body: collect(response.into_body(), request).await?,
            request: request.to_owned(),
        })
    }

    async fn send(&self, path: &str, request: &str) -> Result<hyper::Response<Incoming>, EngineError> {
        let broken = |error: hyper::Error| protocol(request, &error);
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|cause| unreachable(&self.socket, cause))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the reply's body, or when the runtime is dropped. Its error shows in the reply as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let message = hyper::Request::get(path)
            .header(hyper::header::HOST, "docker")
            .header(hyper::header::USER_AGENT, "stillframe")
            .body(Empty::<Bytes>::new())
            .map_err(|error| EngineError::Protocol {
                request: request.to_owned(),
                cause: error.to_string(),
            })?;
        sender.send_request(message).await.map_err(broken)
    }
}

/// A runtime for the calling thread alone.
fn runtime() -> Result<Runtime, EngineError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(EngineError::Runtime)
}

async fn collect(mut body: Incoming, request: &str) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| protocol(request, &error))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len().saturating_add(data.len()) > REPLY_LIMIT {
                return Err(EngineError::TooLarge {
                    request: request.to_owned(),
                    limit: REPLY_LIMIT,
                });
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn unreachable(socket: &Path, cause: std::io::Error) -> EngineError {
    let socket = socket.to_owned();
    if cause.kind() == std::io::ErrorKind::PermissionDenied {
        EngineError::Denied { socket }
    } else {
        EngineError::Unreachable { socket, cause }
    }
}

fn protocol(request: &str, error: &hyper::Error) -> EngineError {
    use std::error::Error as _;
    let cause = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    EngineError::Protocol {
        request: request.to_owned(),
        cause,
    }
}

/// What a stream yields.
#[derive(Debug)]
pub enum Item {
    /// The engine accepted the request; the body follows.
    Opened,
    /// The next bytes of the body. Where one chunk ends says nothing.
    Chunk(Bytes),
    /// The engine ended the body in order.
    End,
    /// The request or the connection failed; nothing follows.
    Failed(EngineError),
}

/// Replies that do not end by themselves (`follow=1`, events), read together by one thread.
///
/// They advance only inside [`Streams::next`]. What is not taken stays with the engine.
#[derive(Debug)]
pub struct Streams {
    // First, so that the tasks end before the channel does.
    runtime: Runtime,
    engine: Engine,
    sender: mpsc::Sender<(u64, Item)>,
    receiver: mpsc::Receiver<(u64, Item)>,
}

impl Streams {
    /// No streams yet.
    ///
    /// # Errors
    /// [`EngineError::Runtime`].
    pub fn new(engine: Engine) -> Result<Self, EngineError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Ok(Self {
            runtime: runtime()?,
            engine,
            sender,
            receiver,
        })
    }

    /// Asks for `path` (without the version). What comes of it bears `key`; whether the engine accepts shows as
    /// [`Item::Opened`] or [`Item::Failed`], within the engine's timeout.
    pub fn open(&self, key: u64, path: &str) {
        let client = self.engine.client.clone();
        let path = self.engine.versioned(path);
        let out = self.sender.clone();
        self.runtime.spawn(async move {
            let last = match follow(&client, &path, key, &out).await {
                Ok(()) => Item::End,
                Err(error) => Item::Failed(error),
            };
            // It fails only when nobody listens any more.
            let _ = out.send((key, last)).await;
        });
    }

    /// The next item of any stream; `None` when nothing came in time.
    pub fn next(&mut self, patience: Duration) -> Option<(u64, Item)> {
        let receiver = &mut self.receiver;
        self.runtime
            .block_on(async { timeout(patience, receiver.recv()).await.ok().flatten() })
    }
}

async fn follow(
    client: &Client,
    path: &str,
    key: u64,
    out: &mpsc::Sender<(u64, Item)>,
) -> Result<(), EngineError> {
    let request = format!("GET {path}");
    let hung = |_| EngineError::Hung {
        request: request.clone(),
        after: client.timeout,
    };
    let response = timeout(client.timeout, client.send(path, &request))
        .await
        .map_err(hung)??;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    if status != 200 {
        let body = timeout(client.timeout, collect(body, &request))
            .await
            .map_err(hung)??;
        return Err(EngineError::Status {
            message: message_of(&body),
            request,
            status,
        });
    }
    if out.send((key, Item::Opened)).await.is_err() {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| protocol(&request, &error))?;
        if let Ok(data) = frame.into_data()
            && out.send((key, Item::Chunk(data))).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    /// A socket whose every connection is answered with `reply`, and then held open.
    fn answering(reply: &'static [u8]) -> (tempfile::TempDir, Client) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(reply);
                held.push(stream);
            }
        });
        let mut client = Client::new(socket);
        client.timeout = Duration::from_millis(300);
        (folder, client)
    }

    #[test]
    fn the_body_is_kept_byte_for_byte() {
        let (_folder, client) = answering(
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{ \"a\"\r\n4\r\n:1}\n\r\n0\r\n\r\n",
        );
        let reply = client.get("/x").unwrap().accept().unwrap();
        assert_eq!(reply.body, b"{ \"a\":1}\n");
        assert_eq!(reply.api_version.as_deref(), Some("1.41"));
    }

    #[test]
    fn an_engine_that_hangs_costs_the_timeout_and_no_more() {
        for half in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        ] {
            let (_folder, client) = answering(half);
            let begin = std::time::Instant::now();
            let error = client.get("/info").unwrap_err();
            assert!(matches!(error, EngineError::Hung { .. }), "{error}");
            assert!(begin.elapsed() < Duration::from_secs(2));
        }
    }

    #[test]
    fn a_reply_that_is_cut_or_no_http_is_an_error() {
        let (_folder, client) = answering(b"SSH-2.0-x\r\n\r\n");
        assert!(matches!(client.get("/"), Err(EngineError::Protocol { .. })));
    }

    #[test]
    fn a_reply_without_end_is_refused_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // An answer to nothing yet is no HTTP.
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        });
        let mut client = Client::new(socket);
        client.timeout = Duration::from_secs(20);
        let error = client.get("/info").unwrap_err();
        assert!(matches!(error, EngineError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_refusal_speaks_the_engines_words_on_one_printable_line() {
        let (_folder, client) = answering(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 32\r\n\r\n{\"message\":\"No \\u001b[31m such\"} ",
        );
        let error = client.get("/containers/x/json").unwrap().accept().unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine: GET /containers/x/json failed with status 404: No ?[31m such"
        );
    }

    #[test]
    fn only_absolute_unix_paths_are_hosts() {
        assert_eq!(socket_of("unix:///run/x.sock").unwrap(), Path::new("/run/x.sock"));
        for bad in [
            "unix://",
            "unix://run/x",
            "tcp://1.2.3.4",
            "ssh://h",
            "/run/x.sock",
            "npipe://x",
        ] {
            assert!(socket_of(bad).is_err(), "{bad}");
        }
    }
}
