//! Without root or capabilities: what is missing is said for each source, and the rest works when asked for.

use anyhow::{Result, ensure};
use std::time::Duration;
use stillframe_tests::{Bundle, program, run, run_for, tool};

const LIMIT: Duration = Duration::from_secs(60);

/// A command of capture's own.
const COMMAND: &str = r#"binary=$1 out=$2; shift 2; exec "$binary" -t 1s -o "$out" "$@" -- sleep 2"#;
/// A process that capture did not start, of the same user.
const ATTACHED: &str = r#"binary=$1 out=$2; shift 2; sleep 5 & exec "$binary" -t 1s -o "$out" "$@" -p $!"#;

/// `capture -t 1s -o FILE OPTIONS` and what `script` says, as nobody, without a capability.
fn as_nobody(folder: &std::path::Path, script: &str, options: &[&str]) -> Result<stillframe_tests::Finished> {
    // Nobody can't reach the target folder everywhere: the binary is copied to where it can be run.
    let binary = folder.join("capture");
    std::fs::copy(program("capture")?.get_program(), &binary)?;
    run(tool("chmod", &["0777"]).arg(folder))?;
    let mut command = tool(
        "setpriv",
        &[
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "sh",
            "-c",
            script,
            "sh",
        ],
    );
    command
        .arg(&binary)
        .arg(folder.join("x.capture.tar.zst"))
        .args(options);
    run_for(&mut command, LIMIT)
}

fn expect_refused(script: &str, options: &[&str], words: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = as_nobody(folder.path(), script, options)?.expect_code(1)?;
    for word in words {
        ensure!(
            finished.stderr.contains(word),
            "stderr does not name {word}\n{}",
            finished.said()
        );
    }
    ensure!(!finished.stderr.contains("panicked"), "{}", finished.said());
    ensure!(
        !folder.path().join("x.capture.tar.zst").exists(),
        "a bundle was left"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn without_capabilities_one_message_names_the_capability_of_each_source() -> Result<()> {
    let words = [
        "CAP_",
        "syscalls",
        "packets",
        "block",
        "--skip-missing",
        "--allow-slow",
    ];
    expect_refused(ATTACHED, &[], &words)
}

#[test]
#[ignore = "root"]
fn what_is_asked_for_by_name_is_not_left_out_even_for_a_command() -> Result<()> {
    expect_refused(COMMAND, &["--syscalls", "bpf"], &["syscalls", "CAP_BPF"])?;
    expect_refused(COMMAND, &["--neighbours"], &["block", "CAP_BPF"])
}

#[test]
#[ignore = "root"]
fn a_command_is_recorded_without_any_capability() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = as_nobody(folder.path(), COMMAND, &[])?.expect_code(0)?;
    for word in [
        "left out: packets",
        "left out: block",
        "CAP_NET_RAW",
        "ptrace",
        "slower",
    ] {
        ensure!(
            finished.stderr.contains(word),
            "stderr does not say {word}\n{}",
            finished.said()
        );
    }
    let dry = as_nobody(folder.path(), COMMAND, &["--dry-run"])?.expect_code(0)?;
    ensure!(dry.text().contains("left out   packets, block"), "{}", dry.text());
    let bundle = Bundle::new(folder.path().join("x.capture.tar.zst"), Some(folder));
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    let info = bundle.info()?.to_string();
    for word in ["packets", "CAP_NET_RAW", "traced with ptrace"] {
        ensure!(info.contains(word), "info does not say {word}: {info}");
    }
    // It sleeps for longer than is recorded: the call is in flight at the end.
    ensure!(bundle.count("proc.name=sleep")? > 20, "its calls are missing");
    ensure!(
        bundle.count("evt.type=execve and proc.name=sleep")? >= 1,
        "its program is missing"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn skip_missing_records_what_is_possible_and_writes_down_the_rest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let finished = as_nobody(folder.path(), ATTACHED, &["--skip-missing"])?.expect_code(4)?;
    let said = finished.said();
    let bundle = Bundle::new(folder.path().join("x.capture.tar.zst"), Some(folder));
    bundle.expect_sealed()?;
    let info = bundle.info()?.to_string();
    for word in ["syscalls", "packets", "CAP_"] {
        ensure!(
            info.contains(word),
            "info does not say that {word} is missing: {info}\n{said}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "root"]
fn root_without_bpf_loses_syscalls_alone() -> Result<()> {
    let container = stillframe_tests::Container::idle()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.capture.tar.zst");
    let capture = program("capture")?;
    let mut command = tool(
        "capsh",
        &[
            "--drop=cap_bpf,cap_perfmon,cap_sys_admin",
            "--",
            "-c",
            r#"exec "$@""#,
            "sh",
        ],
    );
    command
        .arg(capture.get_program())
        .args([&container.name, "-t", "1s", "--skip-missing", "-o"])
        .arg(&path);
    let finished = run_for(&mut command, LIMIT)?;
    ensure!(matches!(finished.code(), 0 | 4), "{}", finished.said());
    let bundle = Bundle::new(path, Some(folder));
    bundle.expect_sealed()?;
    let info = bundle.info()?.to_string();
    ensure!(
        info.contains("CAP_BPF") || info.contains("CAP_SYS_ADMIN"),
        "{info}"
    );
    ensure!(
        bundle
            .members()?
            .iter()
            .any(|name| name.ends_with("inspect.json")),
        "the engine's replies are missing"
    );
    Ok(())
}
