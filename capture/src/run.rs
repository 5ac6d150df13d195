//! A whole run of `capture`: what was typed becomes an exit code.

use crate::cli::{Arguments, show_size, show_time};
use crate::command::HeldCommand;
use crate::exit;
use crate::output::{Output, OutputPlan};
use crate::plan::{self, Plan};
use crate::preflight::{self, Preflight};
use crate::progress::Progress;
use crate::secrets;
use crate::session::{Finished, Session};
use crate::signals::Ends;
use std::io::{self, Write as _};
use std::time::Duration;

/// Why it ended before anything was recorded: what to say, and the exit code.
struct Refusal {
    message: String,
    code: u8,
}

impl Refusal {
    fn new(error: impl ToString, code: u8) -> Self {
        Self {
            message: error.to_string(),
            code,
        }
    }
}

/// Captures what `arguments` ask for. Returns the exit code.
#[must_use]
pub fn run(arguments: &Arguments) -> u8 {
    match capture(arguments) {
        Ok(code) => code,
        Err(refusal) => {
            complain(&refusal.message);
            refusal.code
        }
    }
}

fn capture(arguments: &Arguments) -> Result<u8, Refusal> {
    let mut plan = plan::resolve(arguments).map_err(|error| Refusal::new(&error, error.exit_code()))?;
    if !arguments.dry_run {
        // Before the host is asked: what is in the way is the likeliest thing to be mended at once.
        plan.output
            .check()
            .map_err(|error| Refusal::new(&error, error.exit_code()))?;
    }
    let preflight = Preflight::of(&plan);
    if arguments.dry_run {
        return dry_run(arguments, &plan, &preflight);
    }
    preflight::verdict(&plan, &preflight).map_err(|error| Refusal::new(&error, error.exit_code()))?;
    let output = Output::create(&plan.output).map_err(|error| Refusal::new(&error, error.exit_code()))?;
    let progress = Progress::new(plan.quiet);
    for warning in plan.warnings.iter().chain(&preflight.warnings) {
        progress.say(&format!("warning: {warning}"));
    }
    let left = match plan.output {
        OutputPlan::Pipe => "the bundle is good up to the cut",
        OutputPlan::File { .. } => "what was sealed is in the partial file",
    };
    let ends = Ends::install(exit::LOSSES, left).map_err(|error| {
        let message = format!("signals: cannot be taken over: {error}");
        Refusal::new(message, exit::NOTHING)
    })?;
    secrets::choose(plan.secrets);
    let command = match &plan.command {
        Some(command) => {
            let held = HeldCommand::start(&command.program, &command.argv, &plan.output)
                .map_err(|error| Refusal::new(&error, exit::NOTHING))?;
            let pid = held.pid();
            plan.command_started(pid)
                .map_err(|error| Refusal::new(&error, error.exit_code()))?;
            Some(held)
        }
        None => None,
    };
    let mut session = Session::begin(&plan, &preflight, output, command, &ends, &progress)
        .map_err(|error| Refusal::new(&error, exit::NOTHING))?;
    let reason = session.run();
    let finished = session.finish(reason);
    Ok(tell(&plan, &progress, &finished))
}

fn dry_run(arguments: &Arguments, plan: &Plan, preflight: &Preflight) -> Result<u8, Refusal> {
    let text = if arguments.json {
        let both = serde_json::json!({ "plan": plan, "preflight": preflight });
        serde_json::to_string_pretty(&both).map_err(|error| Refusal::new(error, exit::NOTHING))?
    } else {
        let mut text = format!("{plan}\n{preflight}");
        let missing = preflight.missing();
        let names: Vec<&str> = missing.iter().map(|one| one.name).collect();
        if !names.is_empty() && preflight::verdict(plan, preflight).is_ok() {
            text.push_str(&format!("{:<10} {}\n", "left out", names.join(", ")));
        }
        text
    };
    // A closed pipe is no error of ours.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(exit::WHOLE)
}

/// Says how it ended, and gives the exit code.
fn tell(plan: &Plan, progress: &Progress, finished: &Finished) -> u8 {
    for (name, reason) in &finished.failed {
        let text = if reason.starts_with(name.as_str()) {
            reason.clone()
        } else {
            format!("{name}: {reason}")
        };
        progress.say(&format!("not captured: {text}"));
    }
    for (stream, count) in &finished.lost {
        let count = match count {
            0 => "an unknown number of".to_owned(),
            count => count.to_string(),
        };
        progress.say(&format!("lost: {count} {stream} events (replay shows where)"));
    }
    let has_losses = !finished.lost.is_empty() || !finished.failed.is_empty();
    let code = match &finished.broken {
        Some(broken) => {
            if broken.is_closed_pipe {
                complain(&format!(
                    "output: {}: nobody reads it any more, so the recording ended",
                    broken.problem
                ));
            } else {
                let left = match &broken.partial {
                    Some(partial) => format!(
                        " (what was recorded is in {}: replay reads it)",
                        partial.display()
                    ),
                    None if broken.is_sealed => {
                        " (the bundle was sealed with what had been written)".to_owned()
                    }
                    None => " (what was written until then is a bundle that was cut)".to_owned(),
                };
                complain(&format!("output: {}{left}", broken.problem));
            }
            exit::LOSSES
        }
        None if has_losses => exit::LOSSES,
        None => exit::WHOLE,
    };
    if finished.broken.is_none() || finished.path.is_some() {
        progress.say(&summary(finished));
    }
    match &finished.command {
        Some(command) if plan.propagate => exit::of_command(command.status, command.signal),
        _ => code,
    }
}

fn summary(finished: &Finished) -> String {
    let name = finished
        .path
        .as_ref()
        .map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    format!(
        "{name}: {} ({}), {} events, {}",
        show_time(Duration::from_millis(
            u64::try_from(finished.length.as_millis()).unwrap_or(u64::MAX)
        )),
        finished.reason,
        finished.events,
        show_size(finished.bytes)
    )
}

/// An error, in spite of `--quiet`. The terminal may be gone.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "capture: {message}");
}
