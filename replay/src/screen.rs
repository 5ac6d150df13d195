//! The full-screen view: `replay B` on a terminal.
//!
//! A [`model::Model`] takes keys and answers and says what it wants to know; [`draw`] puts it on a buffer; both are
//! pure. Threads (`lanes`) read the bundle and answer, so that nothing that takes long stands between a key and the
//! screen. This file is the loop between them and the terminal.

mod act;
pub mod answer;
pub mod ask;
mod command_line;
pub mod draw;
mod jump;
pub mod key;
pub mod kin;
mod lanes;
pub mod layout;
pub mod list;
pub mod model;
pub mod overview;
mod part;
pub mod prompt;
pub mod source;
mod take;
mod terminal;
mod walk;

use crate::open::{self, OpenError};
use crate::view::Context;
use crate::zone::Zone;
use ask::Facts;
use lanes::Lanes;
use model::{Look, Model};
use ratatui_core::layout::Rect;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use ratatui_crossterm::crossterm::event::{self, Event};
use source::Source;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use stillframe_format::reader::Bundle;
use terminal::{Input, Taken, signal};

/// What is shown whatever the filter says.
const HOLES: &str = "evt.stream in (loss, clock)";
/// What the tab of logs shows.
const LOGS: &str =
    "evt.stream in (log, journal, kernel, engine) or loss.stream in (log, journal, kernel, engine)";
/// Answers that come this soon after a key are drawn together with what the key did.
const TOGETHER: Duration = Duration::from_millis(30);
/// How often signals are looked for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why there is no screen, or no more.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// There is no bundle.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The terminal does not do what is needed.
    #[error("terminal: {0}")]
    Terminal(#[from] io::Error),
    /// A thread panicked.
    #[error("screen: a thread that reads the bundle failed (please report what it said)")]
    Panicked,
}

/// A bundle that is open for the screen.
#[derive(Debug)]
pub struct Screen {
    source: Source,
    bundle: Bundle<Source>,
    context: Arc<Context>,
    model: Model,
}

impl Screen {
    /// Opens a bundle, to be shown in a time zone.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, follow: bool, zone: Zone, look: Look) -> Result<Self, OpenError> {
        let partial = partial(path).filter(|_| follow);
        let source = Source::new(open::source(partial.as_deref().unwrap_or(path))?);
        let mut bundle = Bundle::open(source.clone()).map_err(|error| open::not_read(path, error))?;
        let context = Arc::new(open::context(&mut bundle).in_zone(zone));
        let facts = Facts::of(&bundle, Arc::clone(&context), follow);
        Ok(Self {
            source,
            bundle,
            model: Model::new(path.to_owned(), facts, look),
            context,
        })
    }

    /// The facts that moments are resolved with.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Shows it until somebody quits. Gives whether all that was shown could be read.
    ///
    /// # Errors
    /// [`ScreenError`]; the terminal is given back first.
    pub fn run(mut self, at: Option<crate::moment::Place>, filter: &str) -> Result<bool, ScreenError> {
        let (tell, inputs) = mpsc::channel::<Input>();
        let follow = self.model.facts.growing;
        let lanes = Lanes::start(&self.source, &self.bundle, &self.context, follow, &tell)
            .map_err(|error| open::not_read(&self.model.path, error))?;
        let signals = signal::Signals::catch()?;
        let taken = Taken::take()?;
        let is_over = Arc::new(AtomicBool::new(false));
        // Nobody waits for it at the end: what is typed then is the shell's.
        let reading = Arc::clone(&is_over);
        std::thread::spawn(move || read_keys(&tell, &reading));
        let shown = self.show(at, filter, &lanes, &inputs, &signals);
        is_over.store(true, Ordering::Relaxed);
        drop(lanes);
        drop(taken);
        if let Some(signal) = signals.came() {
            signal::obey(signal)?;
        }
        shown?;
        let facts = &self.model.facts;
        Ok(facts.shortfall.is_none() && !facts.damaged)
    }

    fn show(
        &mut self,
        at: Option<crate::moment::Place>,
        filter: &str,
        lanes: &Lanes,
        inputs: &mpsc::Receiver<Input>,
        signals: &signal::Signals,
    ) -> Result<(), ScreenError> {
        let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let model = &mut self.model;
        let size = terminal.size()?;
        let mut asks = model.resize(size.width, size.height);
        asks.extend(model.begin(at, filter));
        asks.into_iter().for_each(|ask| lanes.ask(ask));
        // When what has changed is drawn: the first screen at once, an answer as soon as one was not drawn just now, a key
        // when its answer had the time to come.
        let mut due = Some(Instant::now());
        let mut painted = Instant::now();
        loop {
            let patience = due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
            let mut is_answer = false;
            let asks = match inputs.recv_timeout(patience) {
                Ok(Input::Answer(answer)) => {
                    is_answer = true;
                    model.answer(*answer)
                }
                Ok(Input::Terminal(Event::Key(event))) => match terminal::key(event) {
                    Some(key) => model.key(key),
                    None => continue,
                },
                Ok(Input::Terminal(Event::Paste(text))) => {
                    model.paste(&text);
                    Vec::new()
                }
                Ok(Input::Terminal(Event::Resize(width, height))) => model.resize(width, height),
                Ok(Input::Terminal(_)) => continue,
                Ok(Input::Gone(error)) => return Err(error.into()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if terminal::is_lost() {
                        return Err(ScreenError::Panicked);
                    }
                    if due.take().is_some() {
                        let asks = paint(&mut terminal, model)?;
                        painted = Instant::now();
                        asks.into_iter().for_each(|ask| lanes.ask(ask));
                    }
                    if signals.came().is_some() {
                        return Ok(());
                    }
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ScreenError::Panicked),
            };
            asks.into_iter().for_each(|ask| lanes.ask(ask));
            if model.is_over || signals.came().is_some() {
                return Ok(());
            }
            if let Some(text) = model.clipboard.take() {
                terminal::copy(&text)?;
            }
            if std::mem::take(&mut model.is_stale) {
                wipe(&mut terminal)?;
            }
            if std::mem::take(&mut model.is_suspended) {
                suspend(&mut terminal)?;
            }
            let next = if is_answer { painted } else { Instant::now() } + TOGETHER;
            due = Some(due.map_or(next, |due| due.min(next)));
        }
    }
}

/// Draws what has changed. Gives what is to be asked where the terminal has another size by now.
fn paint(
    terminal: &mut Terminal<CrosstermBackend<io::Stdout>>,
    model: &mut Model,
) -> io::Result<Vec<ask::Ask>> {
    let mut asks = Vec::new();
    terminal.draw(|frame| {
        let area = frame.area();
        if (area.width, area.height) != model.size {
            asks = model.resize(area.width, area.height);
        }
        if let Some(position) = draw::draw(model, frame.buffer_mut()) {
            frame.set_cursor_position(position);
        }
    })?;
    Ok(asks)
}

/// Everything is drawn anew. (`Terminal::clear` would ask the terminal where its cursor is, and wait for the answer.)
fn wipe(terminal: &mut Terminal<CrosstermBackend<io::Stdout>>) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(Rect::new(0, 0, size.width, size.height))
}

/// Gives the terminal to the shell until it continues the program.
fn suspend(terminal: &mut Terminal<CrosstermBackend<io::Stdout>>) -> Result<(), ScreenError> {
    terminal::give_back();
    signal::suspend()?;
    terminal::take_over()?;
    wipe(terminal)?;
    Ok(())
}

/// Reads the terminal until it is over.
fn read_keys(tell: &mpsc::Sender<Input>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let read = event::poll(PATIENCE).and_then(|is_there| is_there.then(event::read).transpose());
        let input = match read {
            Ok(None) => continue,
            Ok(Some(event)) => Input::Terminal(event),
            Err(error) => Input::Gone(error),
        };
        let is_last = matches!(input, Input::Gone(_));
        if tell.send(input).is_err() || is_last {
            return;
        }
    }
}

/// What capture calls a bundle that it still writes, where only that is there.
fn partial(path: &Path) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    (path.as_os_str() != "-" && !path.exists() && partial.exists()).then_some(partial)
}

/// What the environment says of the terminal.
///
/// # Errors
/// In one line why there can be no screen, and what to do instead.
pub fn look(environment: &dyn Fn(&str) -> Option<String>) -> Result<Look, String> {
    let value = |name: &str| environment(name).filter(|value| !value.is_empty());
    let name = value("TERM");
    if cfg!(unix) && (name.is_none() || name.as_deref() == Some("dumb")) {
        return Err(format!(
            "terminal: TERM is {} and can't be drawn on (replay summary and replay events print, replay step asks line by line)",
            name.map_or_else(
                || "not set".to_owned(),
                |name| format!("`{}`", crate::escape::line(&name))
            )
        ));
    }
    let locale = value("LC_ALL")
        .or_else(|| value("LC_CTYPE"))
        .or_else(|| value("LANG"));
    let is_utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Ok(Look {
        colour: value("NO_COLOR").is_none(),
        ascii: cfg!(unix) && !is_utf8,
    })
}
