//! A held command, from its start to its end, through the real helper process: this executable starts itself, as
//! `capture` does, so it has a `main` of its own instead of the test harness.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test, which clippy cannot know without the harness"
)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use stillframe_capture::command::{HeldCommand, find, held_exec};
use stillframe_capture::output::OutputPlan;
use stillframe_format::header::CommandOutcome;

fn main() -> ExitCode {
    if let Some(code) = held_exec(std::env::args_os()) {
        return ExitCode::from(code);
    }
    it_becomes_the_command_with_its_arguments_name_and_place();
    it_has_default_signals();
    what_cannot_be_executed_ends_as_in_a_shell();
    println!("held: 3 passed");
    ExitCode::SUCCESS
}

fn hold(argv: &[&str], output: &OutputPlan) -> HeldCommand {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    HeldCommand::start(&find(&argv[0]).unwrap(), &argv, output).unwrap()
}

fn end(command: &mut HeldCommand) -> CommandOutcome {
    let since = Instant::now();
    loop {
        if let Some(outcome) = command.try_wait().unwrap() {
            return outcome;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn proc_file(pid: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap()
}

fn it_becomes_the_command_with_its_arguments_name_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("said");
    // With the bundle on standard output the command's own output has to go elsewhere.
    let script = format!(
        "out=$(readlink /proc/$$/fd/1); err=$(readlink /proc/$$/fd/2); \
         printf '%s\\n' \"$out\" \"$err\" \"$0 $1\" > {}; exit 5",
        file.display()
    );
    let mut command = hold(&["sh", "-c", &script, "zero", "one two"], &OutputPlan::Pipe);
    let pid = command.pid();
    assert_eq!(proc_file(pid, "comm"), "capture\n");
    assert!(
        proc_file(pid, "stat").contains(") T "),
        "{}",
        proc_file(pid, "stat")
    );
    std::thread::sleep(Duration::from_millis(50));
    assert!(!file.exists(), "it ran before it was released");
    command.release().unwrap();
    let outcome = end(&mut command);
    assert_eq!((outcome.status, outcome.signal), (Some(5), None));
    assert_eq!(outcome.argv.last().unwrap(), "one two");
    let said = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[0], lines[1],
        "standard output is not where standard error is"
    );
    assert_eq!(lines[2], "zero one two");
}

fn it_has_default_signals() {
    // SIGPIPE is ignored in this process, as in every Rust program; a command that inherits that misbehaves.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status");
    // The command becomes grep: a shell that waits for one blocks every signal on the way into its wait.
    let script = format!(
        "exec grep -E 'SigIgn|SigBlk' /proc/self/status > {}",
        file.display()
    );
    let mut command = hold(
        &["sh", "-c", &script],
        &OutputPlan::File {
            path: "x".into(),
            force: false,
        },
    );
    command.release().unwrap();
    assert_eq!(end(&mut command).status, Some(0));
    let sigpipe = |status: &str, name: &str| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
            .unwrap();
        u64::from_str_radix(mask, 16).unwrap() & 1 << 12
    };
    let its = std::fs::read_to_string(&file).unwrap();
    assert_eq!(sigpipe(&its, "SigIgn"), 0);
    // What is blocked is handed on, as by any program that starts another.
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_eq!(sigpipe(&its, "SigBlk"), sigpipe(&own, "SigBlk"));
}

fn what_cannot_be_executed_ends_as_in_a_shell() {
    let held = |program: &Path| {
        let mut command = HeldCommand::start(program, &["x".into()], &OutputPlan::Pipe).unwrap();
        command.release().unwrap();
        end(&mut command).status
    };
    // Gone between the plan and the start.
    assert_eq!(held(Path::new("/no/such/program")), Some(127));
    assert_eq!(held(Path::new("/etc/passwd")), Some(126));
}
