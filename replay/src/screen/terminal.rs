//! The terminal: taken over, given back however the program ends, and asked for keys.

use super::key::Key;
use ratatui_crossterm::crossterm::cursor::{Hide, Show};
use ratatui_crossterm::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui_crossterm::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui_crossterm::crossterm::{execute, style};
use std::io::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is taken over: it is given back once, by whoever comes first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over. Dropping gives it back.
#[derive(Debug)]
pub(super) struct Taken(());

impl Taken {
    /// Takes it over. A panic of any thread gives it back before it says what happened.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let taken = Self(());
        take_over()?;
        Ok(taken)
    }
}

/// Takes the terminal over, again.
pub(super) fn take_over() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide)
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives it back, if it is taken.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing can be done where one of them fails, and the others still help.
        let _ = execute!(
            io::stdout(),
            style::ResetColor,
            DisableBracketedPaste,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
    }
}

/// Whether a panic has given the terminal back.
pub(super) fn is_lost() -> bool {
    !TAKEN.load(Ordering::SeqCst)
}

/// Puts text into the clipboard of the terminal, wherever that runs (OSC 52). Terminals that don't know it ignore it.
pub(super) fn copy(text: &str) -> io::Result<()> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = io::stdout();
    write!(out, "\x1b]52;c;{text}\x07")?;
    out.flush()
}

/// The key of an event of the terminal.
pub(super) fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char(letter) if event.modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(letter.to_ascii_lowercase())
        }
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::F(number) => Key::Function(number),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        _ => return None,
    })
}

/// What the loop gets.
#[derive(Debug)]
pub(super) enum Input {
    /// Something from the terminal.
    Terminal(Event),
    /// The terminal can't be read any more.
    Gone(io::Error),
    /// An answer.
    Answer(Box<super::ask::Answer>),
}

impl From<super::ask::Answer> for Input {
    fn from(answer: super::ask::Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

/// Signals that end the program, or nothing where there are none.
#[cfg(unix)]
pub(super) mod signal {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The last signal that came.
    #[derive(Debug)]
    pub(in crate::screen) struct Signals(Arc<AtomicUsize>);

    impl Signals {
        pub(in crate::screen) fn catch() -> io::Result<Self> {
            let last = Arc::new(AtomicUsize::new(0));
            for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
                let number = usize::try_from(signal).unwrap_or(0);
                signal_hook::flag::register_usize(signal, Arc::clone(&last), number)?;
            }
            Ok(Self(last))
        }

        /// The signal that came, if one did.
        pub(in crate::screen) fn came(&self) -> Option<i32> {
            i32::try_from(self.0.load(Ordering::Relaxed))
                .ok()
                .filter(|signal| *signal != 0)
        }
    }

    /// Ends as the signal ends a program that does not catch it.
    pub(in crate::screen) fn obey(signal: i32) -> io::Result<()> {
        signal_hook::low_level::emulate_default_handler(signal)
    }

    /// Stops until the shell continues the program.
    pub(in crate::screen) fn suspend() -> io::Result<()> {
        signal_hook::low_level::emulate_default_handler(SIGTSTP)
    }
}

/// As on Unix, without signals.
#[cfg(not(unix))]
pub(super) mod signal {
    use std::io;

    #[derive(Debug)]
    pub(in crate::screen) struct Signals;

    impl Signals {
        pub(in crate::screen) fn catch() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::screen) fn came(&self) -> Option<i32> {
            None
        }
    }

    pub(in crate::screen) fn obey(_: i32) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::screen) fn suspend() -> io::Result<()> {
        Ok(())
    }
}
