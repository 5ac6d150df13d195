//! A command that capture starts itself: held before its first instruction until everything is attached.
//!
//! Capture starts its own executable again with [`HELD_EXEC`] as first argument. That child stops itself
//! (`SIGSTOP`), so that its process id can be given to every source, and becomes the command when it is told to go
//! on. Code between `fork` and `exec` could do the same, but would be `unsafe`; this way costs one more `execve`.
//!
//! What the recording shows of it before the command's own `execve`: the tail of that stop, a `prctl`, and what the
//! standard library does to give the command the default signals.
//!
//! The command is nobody's prisoner: capture's end leaves it running, except that a terminal sends Ctrl-C to both.
//! A command that is still held when capture ends is killed, since it has not begun.

use crate::exit;
use crate::output::OutputPlan;
use crate::secrets;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stillframe_format::header::CommandOutcome;

/// The first argument that makes this executable the held child: `--held-exec PATH ARGV0 [ARG]…`.
pub const HELD_EXEC: &str = "--held-exec";

/// How long the child may take until it stands still. It takes a millisecond.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const STOP_POLL: Duration = Duration::from_millis(1);

/// Why there is no command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be run.
    #[error("command: cannot run {name}: {reason}")]
    CannotRun {
        /// As it was typed.
        name: String,
        /// Why.
        reason: String,
    },
    /// The child that becomes the command could not be started or held.
    #[error("command: cannot hold {name} before its start: {cause}")]
    Hold {
        /// As it was typed.
        name: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It ended, or was killed, before it was released.
    #[error("command: {name} was ended before it could start ({how})")]
    Ended {
        /// As it was typed.
        name: String,
        /// What became of it.
        how: String,
    },
}

/// Finds what would be run, as a shell does: a name with a slash is a path, any other is looked for in `PATH`.
///
/// # Errors
/// [`CommandError::CannotRun`].
pub fn find(name: &OsStr) -> Result<PathBuf, CommandError> {
    find_in(name, std::env::var_os("PATH").as_deref())
}

fn find_in(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    let refused = |reason: &str| CommandError::CannotRun {
        name: name.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    };
    if name.is_empty() {
        return Err(refused("it has no name"));
    }
    if name.as_bytes().contains(&b'/') {
        let file = PathBuf::from(name);
        return match runnable(&file) {
            Ok(()) => Ok(file),
            Err(reason) => Err(refused(&reason)),
        };
    }
    let mut denied = None;
    for folder in std::env::split_paths(path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"))) {
        // An empty entry is the current folder; without a slash the name would be looked for in PATH again.
        let file = if folder.as_os_str().is_empty() {
            Path::new(".").join(name)
        } else {
            folder.join(name)
        };
        match runnable(&file) {
            Ok(()) => return Ok(file),
            Err(reason) if file.is_file() => {
                denied = denied.or(Some(format!("{}: {reason}", file.display())));
            }
            Err(_) => {}
        }
    }
    Err(refused(denied.as_deref().unwrap_or("not found in PATH")))
}

fn runnable(file: &Path) -> Result<(), String> {
    let found = std::fs::metadata(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    access(file, AccessFlags::X_OK).map_err(|errno| match errno {
        Errno::EACCES => "permission denied (is it executable?)".to_owned(),
        other => other.desc().to_owned(),
    })
}

/// How a command ends that is traced with ptrace: while it is, whoever waits for it takes the tracer's stops away, so the
/// tracer waits, and tells.
#[derive(Clone, Debug, Default)]
pub struct TracedEnd(Arc<Mutex<Traced>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Traced {
    /// It is traced, and runs.
    #[default]
    Running,
    /// It has ended, with this code of wait(2).
    Ended(i32),
    /// It is no longer traced.
    Released,
}

impl TracedEnd {
    fn state(&self) -> MutexGuard<'_, Traced> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has ended, with a code as wait(2) shows it.
    pub fn ended(&self, code: i32) {
        *self.state() = Traced::Ended(code);
    }

    /// It is no longer traced: anybody may wait for it.
    pub fn release(&self) {
        let mut state = self.state();
        if *state == Traced::Running {
            *state = Traced::Released;
        }
    }
}

/// A command that stands still before its first instruction, and then runs.
#[derive(Debug)]
pub struct HeldCommand {
    pid: Pid,
    argv: Vec<OsString>,
    is_held: bool,
    /// How it ended, once that is known: a process can be waited for only once.
    ended: Option<CommandOutcome>,
    traced: Option<TracedEnd>,
}

impl HeldCommand {
    /// Starts the command `argv`, whose file is `program` (see [`find`]), and waits until it stands still.
    ///
    /// It gets capture's standard streams. When the bundle goes to standard output, the command's own standard
    /// output goes to standard error: it would stand in the middle of the bundle.
    ///
    /// To be called on capture's main thread: the child is killed by the kernel when the thread that started it
    /// ends while it is held (`PR_SET_PDEATHSIG`), so that a killed capture leaves no stopped process behind.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn start(program: &Path, argv: &[OsString], output: &OutputPlan) -> Result<Self, CommandError> {
        let name = argv.first().map_or(program.as_os_str(), OsString::as_os_str);
        let cannot = |cause: io::Error| CommandError::Hold {
            name: name.to_string_lossy().into_owned(),
            cause,
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("capture")
            .arg(HELD_EXEC)
            .arg(program)
            .arg(name)
            .args(argv.iter().skip(1));
        if matches!(output, OutputPlan::Pipe) {
            let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(cannot)?;
            command.stdout(Stdio::from(stderr));
        }
        Self::hold(command, argv, name)
    }

    fn hold(mut command: Command, argv: &[OsString], name: &OsStr) -> Result<Self, CommandError> {
        let name = || name.to_string_lossy().into_owned();
        let cannot = |cause: io::Error| CommandError::Hold { name: name(), cause };
        // Waited for through its id alone, never through this value: the standard library does not tell of stops.
        let child = command.spawn().map_err(cannot)?;
        let pid = i32::try_from(child.id()).map_err(|_| cannot(Errno::ERANGE.into()))?;
        let mut held = Self {
            pid: Pid::from_raw(pid),
            argv: argv.to_vec(),
            is_held: true,
            ended: None,
            traced: None,
        };
        let since = Instant::now();
        loop {
            match waitpid(held.pid, Some(WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => return Ok(held),
                Ok(status) => {
                    held.note(status);
                    if let Some(ended) = &held.ended {
                        return Err(CommandError::Ended {
                            name: name(),
                            how: describe(ended),
                        });
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    // Nothing of ours is left to be killed.
                    held.is_held = errno != Errno::ECHILD;
                    return Err(cannot(errno.into()));
                }
            }
            if since.elapsed() > STOP_LIMIT {
                return Err(cannot(io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(STOP_POLL);
        }
    }

    /// Its process id, which it keeps when it becomes the command.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// From now on a tracer waits for it.
    pub fn traced_by(&mut self, end: TracedEnd) {
        self.traced = Some(end);
    }

    /// Lets it run. Only the first call does anything.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn release(&mut self) -> io::Result<()> {
        if self.is_held {
            // A child that was killed meanwhile is still there to be waited for, so this id is nobody else's.
            kill(self.pid, Signal::SIGCONT)?;
            self.is_held = false;
        }
        Ok(())
    }

    /// How it ended, once it has; `None` while it runs.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn try_wait(&mut self) -> io::Result<Option<CommandOutcome>> {
        let traced = self.traced.as_ref().map(|traced| *traced.state());
        if self.ended.is_none() {
            match traced {
                Some(Traced::Running) => return Ok(None),
                Some(Traced::Ended(code)) if code & 0x7f == 0 => self.end(Some(code >> 8 & 0xff), None),
                Some(Traced::Ended(code)) => self.end(None, Some(code & 0x7f)),
                Some(Traced::Released) | None => {}
            }
        }
        if self.ended.is_none() {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(status) => self.note(status),
                Err(Errno::EINTR) => {}
                // It has ended and nobody can say how: SIGCHLD was ignored by whoever started us, or it was
                // killed by a real-time signal, which nix has no name for.
                Err(Errno::ECHILD | Errno::EINVAL) => self.end(None, None),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(self.ended.clone())
    }

    fn note(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(_, status) => self.end(Some(status), None),
            WaitStatus::Signaled(_, signal, _) => self.end(None, Some(signal as i32)),
            _ => {}
        }
    }

    fn end(&mut self, status: Option<i32>, signal: Option<i32>) {
        self.is_held = false;
        self.ended = Some(CommandOutcome {
            argv: secrets::command(&self.argv),
            status,
            signal,
        });
    }
}

impl Drop for HeldCommand {
    fn drop(&mut self) {
        if self.is_held && kill(self.pid, Signal::SIGKILL).is_ok() {
            while waitpid(self.pid, None) == Err(Errno::EINTR) {}
        }
    }
}

fn describe(outcome: &CommandOutcome) -> String {
    match (outcome.status, outcome.signal) {
        (Some(status), _) => format!("status {status}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// The held child itself. To be called first in `main`, before any thread exists and before the command line is
/// read: returns `None` when `arguments` (the program's name included) are those of an ordinary capture, else the
/// exit code of a command that could not be run.
#[must_use]
pub fn held_exec(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != HELD_EXEC {
        return None;
    }
    let (Some(program), Some(name)) = (arguments.next(), arguments.next()) else {
        return Some(exit::USAGE);
    };
    // The kernel calls it `exe` after the link that it was started through. Only a name: no matter if it fails.
    let _ = std::fs::write("/proc/self/comm", "capture");
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL).and_then(|()| raise(Signal::SIGSTOP)) {
        say(&name, errno.desc());
        return Some(exit::CANNOT_RUN);
    }
    // From here on it runs on its own, whatever becomes of capture.
    let _ = prctl::set_pdeathsig(None);
    let error = Command::new(program).arg0(&name).args(arguments).exec();
    say(&name, &error.to_string());
    Some(if error.kind() == io::ErrorKind::NotFound {
        exit::NOT_FOUND
    } else {
        exit::CANNOT_RUN
    })
}

fn say(name: &OsStr, reason: &str) {
    eprintln!("command: cannot run {}: {reason}", name.to_string_lossy());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that stops itself, as the held child does: the tests' own executable is no capture.
    fn held(script: &str) -> HeldCommand {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("kill -STOP $$; {script}")]);
        HeldCommand::hold(command, &["sh".into(), "-c".into()], OsStr::new("sh")).unwrap()
    }

    fn state(pid: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn outcome(command: &mut HeldCommand) -> CommandOutcome {
        let since = Instant::now();
        loop {
            if let Some(outcome) = command.try_wait().unwrap() {
                return outcome;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(STOP_POLL);
        }
    }

    #[test]
    fn it_stands_still_until_it_is_released_and_then_ends_with_its_status() {
        let mut command = held("exit 5");
        assert_eq!(state(command.pid()), Some('T'));
        assert_eq!(command.try_wait().unwrap(), None);
        command.release().unwrap();
        let ended = outcome(&mut command);
        assert_eq!((ended.status, ended.signal), (Some(5), None));
        assert_eq!(ended.argv, ["sh", "-c"]);
        assert_eq!(
            command.try_wait().unwrap(),
            Some(ended),
            "the second answer is another"
        );
    }

    #[test]
    fn a_traced_command_is_waited_for_by_its_tracer_alone() {
        let mut command = held("exit 5");
        let end = TracedEnd::default();
        command.traced_by(end.clone());
        command.release().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(command.try_wait().unwrap(), None, "it has not been told");
        assert_eq!(state(command.pid()), Some('Z'), "it was waited for");
        end.release();
        assert_eq!(outcome(&mut command).status, Some(5));

        for (code, status, signal) in [(0x0300, Some(3), None), (0x8b, None, Some(11))] {
            let mut command = held("sleep 30");
            let end = TracedEnd::default();
            command.traced_by(end.clone());
            end.ended(code);
            end.release();
            let outcome = outcome(&mut command);
            assert_eq!((outcome.status, outcome.signal), (status, signal));
            kill(command.pid, Signal::SIGKILL).unwrap();
            waitpid(command.pid, None).unwrap();
        }
    }

    #[test]
    fn a_signal_is_told() {
        let mut command = held("kill -KILL $$");
        command.release().unwrap();
        assert_eq!(outcome(&mut command).signal, Some(9));
    }

    #[test]
    fn a_held_command_dies_with_us_and_a_released_one_does_not() {
        let command = held("exit 0");
        let pid = command.pid();
        drop(command);
        assert_eq!(state(pid), None);

        let mut command = held("sleep 30");
        let pid = command.pid();
        command.release().unwrap();
        drop(command);
        std::thread::sleep(Duration::from_millis(20));
        assert!(matches!(state(pid), Some('S' | 'R' | 'D')), "{:?}", state(pid));
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        kill(pid, Signal::SIGKILL).unwrap();
        waitpid(pid, None).unwrap();
    }

    #[test]
    fn one_that_ends_instead_of_standing_still_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let error = HeldCommand::hold(command, &[], OsStr::new("x")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "command: x was ended before it could start (status 3)"
        );
    }

    #[test]
    fn what_cannot_be_run_is_found_out_before() {
        let path = Some(OsStr::new("/nonexistent:/bin"));
        assert_eq!(find_in(OsStr::new("sh"), path).unwrap(), Path::new("/bin/sh"));
        assert_eq!(
            find_in(OsStr::new("/bin/sh"), None).unwrap(),
            Path::new("/bin/sh")
        );
        let said = |name: &str| find_in(OsStr::new(name), path).unwrap_err().to_string();
        assert_eq!(
            said("no-such-program"),
            "command: cannot run no-such-program: not found in PATH"
        );
        assert_eq!(
            said("./no/such"),
            "command: cannot run ./no/such: there is no such file"
        );
        assert_eq!(said("/etc"), "command: cannot run /etc: it is no file");
        assert!(
            said("/etc/passwd").contains("executable"),
            "{}",
            said("/etc/passwd")
        );
        assert_eq!(said(""), "command: cannot run : it has no name");
    }

    #[test]
    fn an_ordinary_command_line_is_no_held_child() {
        let line = |words: &[&str]| held_exec(words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(line(&["capture"]), None);
        assert_eq!(line(&["capture", "web", HELD_EXEC, "x", "y"]), None);
        assert_eq!(line(&["capture", HELD_EXEC]), Some(exit::USAGE));
    }
}
