//! Containers of the test bed.

use crate::command::{run, run_for, tool};
use crate::wait_until;
use anyhow::{Context as _, Result, bail};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A running container, with its volumes removed when this value goes.
#[derive(Debug)]
pub struct Container {
    /// Its name, used by nobody else.
    pub name: String,
    /// Its full id.
    pub id: String,
}

impl Container {
    /// Starts `image` in the background with these options of `docker run` and this command (none: the image's own).
    ///
    /// # Errors
    /// We are not in the test bed, or the engine refuses.
    pub fn run(image: &str, options: &[&str], command: &[&str]) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::called(
            &format!("sf-test-{}-{number}", std::process::id()),
            image,
            options,
            command,
        )
    }

    /// The same under a name that a document uses.
    ///
    /// # Errors
    /// See [`Container::run`]; also where the name is taken.
    pub fn called(name: &str, image: &str, options: &[&str], command: &[&str]) -> Result<Self> {
        if std::env::var_os("STILLFRAME_BED").is_none() {
            bail!("this test needs the test bed: `cargo xtask bed run -- cargo test … -- --ignored`");
        }
        let mut words = vec!["run", "--detach", "--name", name];
        words.extend(options);
        words.push(image);
        words.extend(command);
        // The value exists before the container does, so that a failed start leaves none either.
        let mut container = Self {
            name: name.to_owned(),
            id: String::new(),
        };
        container.id = run(&mut tool("docker", &words))?.trim().to_owned();
        Ok(container)
    }

    /// A busybox container that waits for work.
    ///
    /// # Errors
    /// See [`Container::run`].
    pub fn idle() -> Result<Self> {
        Self::run("sf-busybox", &[], &["sleep", "3600"])
    }

    /// `docker exec` with this command.
    #[must_use]
    pub fn command(&self, command: &[&str]) -> Command {
        let mut words = vec!["exec", &self.name];
        words.extend(command);
        tool("docker", &words)
    }

    /// Runs a command inside to its end, and returns what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        run(&mut self.command(command))
    }

    /// What `docker inspect --format` shows of it.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn inspect(&self, format: &str) -> Result<String> {
        Ok(
            run(&mut tool("docker", &["inspect", "--format", format, &self.name]))?
                .trim()
                .to_owned(),
        )
    }

    /// The process id of its first process on the host.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        let pid = self
            .inspect("{{.State.Pid}}")?
            .parse()
            .context("a process id is a number")?;
        if pid == 0 {
            bail!("{} does not run", self.name);
        }
        Ok(pid)
    }

    /// Its address on the bed's bridge.
    ///
    /// # Errors
    /// It does not run.
    pub fn address(&self) -> Result<String> {
        self.inspect("{{.NetworkSettings.IPAddress}}")
    }

    /// Waits until it has written `text` to its log.
    ///
    /// # Errors
    /// It has not after ten seconds.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait_until(
            &format!("{} logs {text:?}", self.name),
            Duration::from_secs(10),
            || {
                let logs = run_for(
                    &mut tool("docker", &["logs", &self.name]),
                    Duration::from_secs(10),
                )?;
                Ok(logs.text().contains(text) || logs.stderr.contains(text))
            },
        )
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let removed = run(&mut tool("docker", &["rm", "--force", "--volumes", &self.name]));
        if let Err(error) = removed
            && !error.to_string().contains("No such container")
        {
            eprintln!("{error:#}");
        }
    }
}
