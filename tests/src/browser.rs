//! A headless Chromium that a test drives as a user would, through ChromeDriver's WebDriver protocol.
//!
//! The protocol is JSON over HTTP on loopback, a request a connection: that needs no crate. The flags keep Chromium from
//! looking for its maker's hosts by itself, so that every request that is logged is the page's.

use crate::wait_until;
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long the browser may take for one thing.
const PATIENCE: Duration = Duration::from_secs(60);
/// The key that WebDriver gives the ids of elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It is closed when this value goes.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// ChromeDriver writes to it until it ends.
    _stdout: BufReader<ChildStdout>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with a profile of its own.
    ///
    /// # Errors
    /// Debian's packages chromium and chromium-driver are missing, or do not start.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver (Debian's package chromium-driver)")?;
        let mut stdout = BufReader::new(driver.stdout.take().context("chromedriver has no output")?);
        let port = port(&mut stdout);
        let mut browser = Self {
            driver,
            port: 0,
            session: String::new(),
            _stdout: stdout,
            _profile: profile,
        };
        browser.port = port?;
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,1100",
            &profile,
        ];
        let created = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {"args": arguments, "binary": "/usr/bin/chromium"},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }}}),
        )?;
        let id = created
            .get("sessionId")
            .and_then(Value::as_str)
            .context("no session")?;
        browser.session = format!("/session/{id}");
        Ok(browser)
    }

    /// Opens a file from disk, and waits until its script is through.
    ///
    /// # Errors
    /// It does not get there.
    pub fn open(&self, page: &Path) -> Result<()> {
        self.post("/url", &json!({"url": format!("file://{}", page.display())}))?;
        wait_until("the page is ready", PATIENCE, || {
            Ok(self.run("return document.documentElement.dataset.ready === 'true'")? == true)
        })
    }

    /// Runs a script in the page and gives what it returns.
    ///
    /// # Errors
    /// It throws.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text of the element that a CSS selector names, as it is seen.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self, selector: &str) -> Result<String> {
        let element = self.find(selector)?;
        let text = self.ask(
            "GET",
            &format!("{}/element/{element}/text", self.session),
            &Value::Null,
        )?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks on the middle of an element.
    ///
    /// # Errors
    /// It is not there, or something lies over it.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/click"), &json!({}))?;
        Ok(())
    }

    /// Types into an element.
    ///
    /// # Errors
    /// It is not there or takes no keys.
    pub fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/value"), &json!({"text": text}))?;
        Ok(())
    }

    /// Drags the pointer over an element, between two places that are given in pixels from its middle.
    ///
    /// # Errors
    /// It is not there.
    pub fn drag(&self, selector: &str, from: (i32, i32), to: (i32, i32)) -> Result<()> {
        let element = self.find(selector)?;
        let step = |(x, y): (i32, i32)| json!({"type": "pointerMove", "duration": 50, "x": x, "y": y, "origin": {ELEMENT: element}});
        self.post(
            "/actions",
            &json!({"actions": [{"type": "pointer", "id": "mouse", "actions": [
                step(from),
                {"type": "pointerDown", "button": 0},
                step(to),
                {"type": "pointerUp", "button": 0},
            ]}]}),
        )?;
        Ok(())
    }

    /// What the browser's console said since it was asked last: errors of scripts, and what the page's policy forbade.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({"type": "browser"}))?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        Ok(entries.iter().map(|entry| entry["message"].to_string()).collect())
    }

    /// The addresses of all requests since this was asked last.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn requests(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({"type": "performance"}))?;
        let mut found = Vec::new();
        for entry in entries.as_array().into_iter().flatten() {
            let text = entry["message"].as_str().unwrap_or_default();
            let message: Value = serde_json::from_str(text).context("the browser's log is no JSON")?;
            let text = |pointer: &str| {
                message
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            if text("/message/method") == "Network.requestWillBeSent" {
                let address = text("/message/params/request/url");
                // Parts of the browser itself, of the tab that it begins with.
                if !address.starts_with("chrome://") {
                    found.push(address.to_owned());
                }
            }
        }
        Ok(found)
    }

    /// A picture of the window as PNG, in base64.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn screenshot(&self) -> Result<String> {
        let picture = self.ask("GET", &format!("{}/screenshot", self.session), &Value::Null)?;
        Ok(picture.as_str().unwrap_or_default().to_owned())
    }

    fn find(&self, selector: &str) -> Result<String> {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}))?;
        let id = found.get(ELEMENT).and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| anyhow!("no {selector}"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("POST", &format!("{}{path}", self.session), body)
    }

    /// One request, and the value in its answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context("chromedriver is gone")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut reader = BufReader::new(stream);
        let (mut length, mut line) = (0usize, String::new());
        while reader.read_line(&mut line)? > 0 && line != "\r\n" {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("chromedriver's length")?;
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let answer: Value = serde_json::from_slice(&answer).context("chromedriver's answer is no JSON")?;
        let value = answer.get("value").cloned().unwrap_or_default();
        if let Some(error) = value.get("error") {
            let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
            let message = message.lines().next().unwrap_or_default();
            bail!("{method} {path} {body}: {error}: {message}");
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // ChromeDriver closes the browser with its session; killed without that, it would leave it running.
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that ChromeDriver took.
fn port(stdout: &mut impl std::io::BufRead) -> Result<u16> {
    for line in stdout.lines() {
        let line = line?;
        if let Some(port) = line
            .strip_prefix("ChromeDriver was started successfully on port ")
            .and_then(|rest| rest.trim_end_matches('.').parse().ok())
        {
            return Ok(port);
        }
    }
    bail!("chromedriver ended without a port")
}
