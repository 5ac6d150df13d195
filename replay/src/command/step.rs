//! `replay step`: line by line through the events. Keys come from standard input, or from the terminal device where
//! standard input is the bundle.

use super::{Failure, Reading, filter, moment, place};
use crate::cli;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::ops::ControlFlow;
use stillframe_format::event::Body;
use stillframe_replay::filter::Filter;
use stillframe_replay::moment::{Moment, Place};
use stillframe_replay::state::{self, Part};
use stillframe_replay::timeline::{Cursor, Damage, Item, Range, Step};
use stillframe_replay::view::{Context, View};
use stillframe_replay::zone::Zone;
use stillframe_replay::{escape, exit, open, render};

const HELP: &str = "\
  Enter, n [N]   forward, N events
  b [N]          back
  g T            go to a moment: 14:03:07.2, +5s, -200ms, 40%, @EPOCH, #EVENT or its bare number
  f EXPR         show only what the filter matches; f alone shows all again
  c              count what the filter matches
  p              everything that is known of this event
  s PART         state here: ps, fds, net, mounts, calls, containers or usage
  h              this help
  q              quit
";

/// The longest line that is read as a command.
const LINE_MAX: u64 = 64 << 10;

pub(super) fn run(options: &cli::Step) -> Result<u8, Failure> {
    let filter = filter(&options.filter)?;
    let at = moment(options.at.as_deref(), options.bundle.times.tz.as_ref())?;
    let reading = Reading::open(&options.bundle, false)?;
    let at = place(at, &reading.context)?;
    let mut keys: Box<dyn BufRead> = if options.bundle.path.as_os_str() == "-" {
        Box::new(BufReader::new(terminal().map_err(Failure::Keys)?))
    } else {
        Box::new(io::stdin().lock())
    };
    let mut stepper = Stepper {
        cursor: Cursor::new(reading.timeline),
        context: reading.context,
        zone: options.bundle.times.tz.clone(),
        filter,
        text: options.filter.clone(),
        damaged: false,
        echo: options.bundle.path.as_os_str() != "-" && !io::stdin().is_terminal(),
        out: io::stdout(),
    };
    stepper.begin(at)?;
    while let Some(line) = stepper.ask(&mut keys)? {
        if !stepper.obey(&line)? {
            break;
        }
    }
    let condition = stepper.cursor.timeline().bundle().condition();
    Ok(exit::answered(true, condition.is_complete() && !stepper.damaged))
}

/// The terminal that the process belongs to.
fn terminal() -> io::Result<File> {
    File::open(if cfg!(windows) { "CONIN$" } else { "/dev/tty" })
}

/// What a step led to.
enum Found {
    Event,
    Damage(Damage),
    Edge,
}

struct Stepper {
    cursor: Cursor<File>,
    context: Context,
    /// That of moments without one, where it was named.
    zone: Option<Zone>,
    filter: Filter,
    /// The filter as it was typed.
    text: String,
    damaged: bool,
    /// Lines are not typed at a terminal.
    echo: bool,
    out: io::Stdout,
}

impl Stepper {
    fn print(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    fn begin(&mut self, at: Option<Place>) -> Result<(), Failure> {
        let bundle = self.cursor.timeline().bundle();
        let shortfall = open::shortfall(bundle.condition(), &self.context);
        let total = bundle.total_events();
        self.print(&format!("{total} events; h shows the commands"))?;
        if let Some(shortfall) = shortfall {
            self.print(&format!("--- {shortfall}"))?;
        }
        match at {
            Some(place) => self.go(place),
            None => Ok(()),
        }
    }

    /// Prompts for a line; `None` at the end of the input.
    fn ask(&mut self, keys: &mut dyn BufRead) -> Result<Option<String>, Failure> {
        let total = self.cursor.timeline().total();
        let position = self.cursor.position();
        let time = match self.cursor.here() {
            Step::Start => "start".to_owned(),
            Step::End => "end".to_owned(),
            Step::Event(event) => render::mapped_time(event.time, &self.context),
            Step::Damage(damage) => render::mapped_time(damage.from, &self.context),
        };
        let filter = if self.filter.is_all() {
            String::new()
        } else {
            format!(" [{}]", self.text)
        };
        let filter = escape::line(&filter).into_owned();
        write!(self.out, "#{}/{total} {time}{filter}> ", position.min(total))?;
        self.out.flush()?;
        let mut line = Vec::new();
        let read = io::Read::take(keys, LINE_MAX)
            .read_until(b'\n', &mut line)
            .map_err(Failure::Keys)?;
        if read == 0 {
            writeln!(self.out)?;
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if self.echo {
            // What a terminal would show by itself.
            writeln!(self.out, "{}", escape::line(&line))?;
        }
        Ok(Some(line))
    }

    /// Does what a line says. Gives whether there is more to come.
    fn obey(&mut self, line: &str) -> Result<bool, Failure> {
        let (key, rest) = match line.split_once(char::is_whitespace) {
            Some((key, rest)) => (key, rest.trim()),
            None => (line, ""),
        };
        match key {
            "" | "n" => self.walk(rest, true)?,
            "b" => self.walk(rest, false)?,
            "g" => self.go_to(rest)?,
            "f" => self.set_filter(rest)?,
            "c" => self.count()?,
            "p" => self.details()?,
            "s" => self.state(rest)?,
            "h" | "?" => {
                write!(self.out, "{HELP}")?;
            }
            "q" => return Ok(false),
            _ => {
                let key = escape::line(key).into_owned();
                self.print(&format!("unknown command `{key}` (h shows the commands)"))?;
            }
        }
        Ok(true)
    }

    fn walk(&mut self, count: &str, forward: bool) -> Result<(), Failure> {
        let count: u64 = match count {
            "" => 1,
            count => match count.parse() {
                Ok(count) => count,
                Err(_) => return self.print("give a number of events, such as n 10"),
            },
        };
        let from = self.cursor.position();
        for done in 0..count {
            match self.find(forward)? {
                Found::Event => self.show()?,
                Found::Damage(damage) => {
                    self.damaged = true;
                    self.print(&render::damage(&damage, &self.context))?;
                }
                Found::Edge => {
                    if done == 0 && !self.filter.is_all() {
                        // Nothing there: the cursor stays where it was.
                        self.cursor.seek(Place::Event(from));
                    }
                    return self.edge(forward);
                }
            }
        }
        Ok(())
    }

    fn edge(&mut self, forward: bool) -> Result<(), Failure> {
        let (side, end) = if forward {
            ("after", "end")
        } else {
            ("before", "start")
        };
        if self.filter.is_all() {
            self.print(&format!("--- the {end} of the bundle"))
        } else {
            self.print(&format!("--- no event {side} this one matches"))
        }
    }

    /// Steps to the next event that is meant. Holes that are passed are shown.
    fn find(&mut self, forward: bool) -> Result<Found, Failure> {
        loop {
            let Self {
                cursor,
                context,
                filter,
                out,
                ..
            } = self;
            match if forward {
                cursor.step()
            } else {
                cursor.step_back()
            } {
                Step::Event(event) if filter.matches(event, context) => return Ok(Found::Event),
                Step::Event(event) => {
                    if matches!(event.body, Body::Loss(_)) {
                        writeln!(out, "{}", render::line(&View::new(event, context)))?;
                    }
                }
                Step::Damage(damage) => return Ok(Found::Damage(damage.clone())),
                Step::Start | Step::End => return Ok(Found::Edge),
            }
        }
    }

    /// Shows what the cursor stands on.
    fn show(&mut self) -> Result<(), Failure> {
        let Self {
            cursor, context, out, ..
        } = self;
        match cursor.here() {
            Step::Event(event) => writeln!(out, "{}", render::line(&View::new(event, context)))?,
            Step::Damage(damage) => {
                writeln!(out, "{}", render::damage(damage, context))?;
                self.damaged = true;
            }
            Step::Start => writeln!(out, "--- the start of the bundle")?,
            Step::End => writeln!(out, "--- the end of the bundle")?,
        }
        Ok(())
    }

    fn go(&mut self, place: Place) -> Result<(), Failure> {
        self.cursor.seek(place);
        self.show()
    }

    fn go_to(&mut self, text: &str) -> Result<(), Failure> {
        if let Ok(number) = text.parse() {
            return self.go(Place::Event(number));
        }
        let found =
            Moment::parse_in(text, self.zone.as_ref()).and_then(|moment| moment.resolve(&self.context));
        match found {
            Ok(place) => self.go(place),
            Err(error) => self.print(&error.to_string()),
        }
    }

    fn set_filter(&mut self, text: &str) -> Result<(), Failure> {
        match filter(text) {
            Ok(filter) => {
                self.filter = filter;
                self.text = text.to_owned();
                Ok(())
            }
            Err(error) => self.print(&error.to_string()),
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        let mut count = 0u64;
        let mut damages = 0u64;
        let Self {
            cursor,
            context,
            filter,
            ..
        } = self;
        cursor.timeline_mut().each(&Range::default(), |item| {
            match item {
                Item::Event(event) => {
                    count += u64::from(filter.matches(event, context));
                }
                Item::Damage(_) => damages += 1,
            }
            Ok::<_, Failure>(ControlFlow::Continue(()))
        })?;
        self.damaged |= damages > 0;
        let but = if damages > 0 {
            ", without what cannot be read"
        } else {
            ""
        };
        self.print(&format!("{count} events match{but}"))
    }

    fn details(&mut self) -> Result<(), Failure> {
        let Self {
            cursor, context, out, ..
        } = self;
        match cursor.here() {
            Step::Event(event) => {
                write!(out, "{}", render::details(&View::new(event, context)))?;
                Ok(())
            }
            _ => self.print("no event here (n goes to the next one)"),
        }
    }

    fn state(&mut self, part: &str) -> Result<(), Failure> {
        let Some(part) = Part::from_name(part) else {
            return self.print("give ps, fds, net, mounts, calls, containers or usage, such as s fds");
        };
        let here = Place::Event(self.cursor.position());
        let found = state::at(self.cursor.timeline_mut(), here);
        let rows = state::rows(&found, part, None, &self.context);
        self.damaged |= !found.damages.is_empty();
        write!(self.out, "{}", state::text(&found, part, &rows, &self.context))?;
        Ok(())
    }
}
