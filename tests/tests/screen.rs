//! The full-screen view in a real terminal: tmux is the terminal, types the keys, and tells what is to be seen.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_tests::{program, replay, run, run_for, tool, wait_until};

/// How long something may take to be seen, on a machine with other work too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a shell in it, without the user's settings. It goes away with this value.
struct Terminal {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Terminal {
    fn open(width: u16, height: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let terminal = Self {
            socket: folder.path().join("tmux"),
            _folder: folder,
        };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = "exec env -u NO_COLOR PS1='ready> ' LC_ALL=C.UTF-8 TERM=screen-256color sh";
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, shell])?;
        terminal.sees("ready>")?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tool("tmux", &["-u", "-f", "/dev/null", "-S"]);
        command.arg(&self.socket).args(arguments);
        run(&mut command)
    }

    /// Types text as it is.
    fn types(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", "--", text]).map(drop)
    }

    /// Presses keys by tmux's names.
    fn presses(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// Types a line at the shell.
    fn runs(&self, line: &str) -> Result<()> {
        self.types(line)?;
        self.presses(&["Enter"])
    }

    fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    fn asks(&self, what: &str) -> Result<String> {
        Ok(self.tmux(&["display-message", "-p", what])?.trim().to_owned())
    }

    /// Waits until some text is on the screen. Gives the screen.
    fn sees(&self, text: &str) -> Result<String> {
        let mut screen = String::new();
        let seen = wait_until(text, PATIENCE, || {
            screen = self.screen()?;
            Ok(screen.contains(text))
        });
        seen.with_context(|| screen.clone())?;
        Ok(screen)
    }

    /// Waits until the shell runs nothing any more.
    fn is_at_the_shell(&self) -> Result<()> {
        wait_until("the shell prompts", PATIENCE, || {
            Ok(self.asks("#{pane_current_command}")? == "sh")
        })
        .with_context(|| self.screen().unwrap_or_default())
    }

    /// The shell prompts again, in a terminal that is as it was.
    fn is_given_back(&self, code: &str) -> Result<()> {
        self.is_at_the_shell()?;
        self.runs("echo \"code $? end\"; stty -a | tr ' ;' '\\n\\n' | grep -xE -e '-?(icanon|echo|isig|ixon|opost)' | xargs echo tty")?;
        let screen = self.sees(&format!("code {code} end"))?;
        let screen = if screen.contains("tty ") {
            screen
        } else {
            self.sees("tty ")?
        };
        let tty = screen
            .lines()
            .find(|line| line.starts_with("tty "))
            .unwrap_or_default();
        ensure!(!tty.contains(" -"), "raw mode is left: {tty}");
        ensure!(self.asks("#{alternate_on}")? == "0", "the other screen is left");
        ensure!(self.asks("#{cursor_flag}")? == "1", "the cursor is hidden");
        self.runs("clear")
    }

    /// The program that the shell runs.
    fn child(&self) -> Result<Pid> {
        let shell = self.asks("#{pane_pid}")?;
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let child = children
            .split_whitespace()
            .next()
            .context("the shell runs nothing")?;
        Ok(Pid::from_raw(child.parse()?))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn bundle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../format/testdata/good/1.0")
        .join(format!("{name}.capture.tar.zst"))
}

fn binary() -> Result<String> {
    Ok(program("replay")?.get_program().to_string_lossy().into_owned())
}

/// The lines that `replay events` prints.
fn lines(bundle: &Path, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = replay(&["events"])?;
    command.arg(bundle).args(arguments);
    let finished = run_for(&mut command, PATIENCE)?;
    Ok(finished.text().lines().map(str::to_owned).collect())
}

/// Every line comes to stand on the screen, as far as there is room for it: the list is drawn when it was read.
fn shows(terminal: &Terminal, lines: &[String], width: usize) -> Result<()> {
    ensure!(!lines.is_empty());
    let wanted: Vec<String> = lines
        .iter()
        .map(|line| line.chars().take(width - 1).collect::<String>())
        .map(|line| line.trim_end().to_owned())
        .collect();
    let missing = |screen: &str| {
        wanted
            .iter()
            .find(|line| !screen.lines().any(|row| row.contains(line.as_str())))
            .cloned()
    };
    let waited = wait_until("the lines are on the screen", PATIENCE, || {
        Ok(missing(&terminal.screen()?).is_none())
    });
    let screen = terminal.screen()?;
    waited.with_context(|| format!("not on the screen: {:?}\n{screen}", missing(&screen)))
}

#[test]
#[ignore = "root"]
fn keys_lead_where_events_prints() -> Result<()> {
    let bundle = bundle("streams");
    let (binary, path) = (binary()?, bundle.display().to_string());
    let all = lines(&bundle, &[])?;
    let last = all.len();
    let terminal = Terminal::open(100, 40)?;
    terminal.runs(&format!("{binary} {path}"))?;
    terminal.sees(&format!("#1/{last}"))?;
    shows(&terminal, all.get(..10).unwrap_or_default(), 100)?;

    terminal.presses(&["Down", "Down", "."])?;
    terminal.sees(&format!("#4/{last}"))?;
    terminal.types("g#12")?;
    terminal.presses(&["Enter"])?;
    terminal.sees(&format!("#12/{last}"))?;
    shows(&terminal, all.get(11..12).unwrap_or_default(), 100)?;

    // A filter shows what events prints with it, and the holes.
    let filter = "evt.stream=packet";
    terminal.types(&format!("f{filter}"))?;
    terminal.presses(&["Enter", "Home"])?;
    terminal.sees(&format!("events: {filter}"))?;
    let meant = lines(
        &bundle,
        &["-f", &format!("({filter}) or evt.stream in (loss, clock)")],
    )?;
    shows(
        &terminal,
        meant.get(..meant.len().min(8)).unwrap_or_default(),
        100,
    )?;

    // What is copied goes to the terminal's clipboard, and runs.
    terminal.types("y")?;
    terminal.sees("replay events")?;
    terminal.presses(&["BSpace"])?;

    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"])?;
    wait_until("the screen is drawn in its new size", PATIENCE, || {
        let screen = terminal.screen()?;
        let rows: Vec<&str> = screen.lines().collect();
        Ok(rows.len() == 24 && rows.last().is_some_and(|row| row.starts_with("? help")))
    })?;
    terminal.tmux(&["resize-window", "-x", "30", "-y", "8"])?;
    terminal.sees("too small")?;
    terminal.tmux(&["resize-window", "-x", "200", "-y", "50"])?;
    terminal.sees("2 processes")?;

    terminal.types("?")?;
    terminal.sees("reverse-continue")?;
    terminal.types("q")?;
    terminal.sees("[events:")?;
    terminal.types("q")?;
    terminal.is_given_back("0")
}

#[test]
#[ignore = "root"]
fn signals_give_the_terminal_back() -> Result<()> {
    let (binary, path) = (binary()?, bundle("streams").display().to_string());
    let terminal = Terminal::open(80, 24)?;
    for (signal, code) in [
        (Signal::SIGTERM, "143"),
        (Signal::SIGHUP, "129"),
        (Signal::SIGINT, "130"),
    ] {
        terminal.runs(&format!("{binary} view {path}"))?;
        terminal.sees("[events]")?;
        kill(terminal.child()?, signal)?;
        terminal.is_given_back(code).with_context(|| signal.to_string())?;
    }
    // Ctrl-Z, and back.
    terminal.runs(&format!("{binary} view {path}"))?;
    terminal.sees("[events]")?;
    terminal.presses(&["Down", "C-z"])?;
    terminal.is_at_the_shell()?;
    ensure!(terminal.asks("#{alternate_on}")? == "0");
    terminal.runs("fg")?;
    terminal.sees("#2/")?;
    terminal.types("q")?;
    terminal.is_given_back("0")
}

#[test]
#[ignore = "root"]
fn a_bundle_that_is_being_written_is_followed() -> Result<()> {
    let whole = bundle("late-and-clock-steps");
    let bytes = std::fs::read(&whole)?;
    let last = lines(&whole, &[])?.len();
    let folder = tempfile::tempdir()?;
    let whole_path = folder.path().join("growing.capture.tar.zst");
    let path = folder.path().join("growing.capture.tar.zst.partial");
    // The beginning has a slice at least, and not all of them.
    let begun = (1..20)
        .map(|part| bytes.len() * part / 20)
        .find(|length| {
            let written = std::fs::write(&path, bytes.get(..*length).unwrap_or_default());
            written.is_ok() && lines(&path, &[]).is_ok_and(|lines| !lines.is_empty() && lines.len() < last)
        })
        .context("no beginning of the bundle has events")?;
    let binary = binary()?;
    let terminal = Terminal::open(100, 30)?;
    terminal.runs(&format!("{binary} view --follow {}", whole_path.display()))?;
    terminal.sees("still being written")?;
    let mut file = OpenOptions::new().append(true).open(&path)?;
    file.write_all(bytes.get(begun..).unwrap_or_default())?;
    // Capture renames it when it is whole.
    std::fs::rename(&path, &whole_path)?;
    let screen = terminal.sees(&format!("#{last}/{last}"))?;
    ensure!(!screen.contains("still being written"), "{screen}");
    terminal.types("q")?;
    terminal.is_given_back("0")
}

#[test]
#[ignore = "root"]
fn a_pipe_is_shown_with_keys_from_the_terminal() -> Result<()> {
    let (binary, path) = (binary()?, bundle("streams").display().to_string());
    let terminal = Terminal::open(80, 24)?;
    terminal.runs(&format!("cat {path} | {binary} view -"))?;
    terminal.sees("[events]")?;
    terminal.presses(&["Down"])?;
    terminal.sees("#2/")?;
    terminal.types("q")?;
    terminal.is_given_back("0")
}

#[test]
#[ignore = "root"]
fn colours_are_left_out_and_terminals_that_cannot_are_refused() -> Result<()> {
    let (binary, path) = (binary()?, bundle("streams").display().to_string());
    let terminal = Terminal::open(80, 24)?;
    let has_colour = |terminal: &Terminal| -> Result<bool> {
        let text = terminal.tmux(&["capture-pane", "-p", "-e"])?;
        // 39 and 49 are no colours: they are what the terminal has.
        let is_colour = |code: &str| matches!(code.parse(), Ok(30..=38 | 40..=48 | 90..=107));
        Ok(text
            .split("\x1b[")
            .skip(1)
            .filter_map(|rest| rest.split_once('m'))
            .any(|(codes, _)| codes.split(';').any(is_colour)))
    };
    terminal.runs(&format!("{binary} {path}"))?;
    terminal.sees("[events]")?;
    ensure!(has_colour(&terminal)?, "there is no colour at all");
    terminal.types("q")?;
    terminal.is_at_the_shell()?;
    terminal.runs("clear")?;
    terminal.runs(&format!("NO_COLOR=1 {binary} {path}"))?;
    terminal.sees("[events]")?;
    ensure!(
        !has_colour(&terminal)?,
        "{}",
        terminal.tmux(&["capture-pane", "-p", "-e"])?
    );
    terminal.types("q")?;
    terminal.is_at_the_shell()?;
    terminal.runs("clear")?;
    terminal.runs(&format!("LC_ALL=C {binary} {path}"))?;
    let screen = terminal.sees("[events]")?;
    ensure!(screen.is_ascii(), "{screen}");
    terminal.types("q")?;
    terminal.is_at_the_shell()?;
    terminal.runs("clear")?;
    terminal.runs(&format!("TERM=dumb {binary} {path}"))?;
    terminal.sees("replay step")?;
    terminal.is_given_back("2")
}
