//! What strace tells, capture tells: both watch the same processes at the same time.
//!
//! `capture -- strace -f PROGRAM` records strace's tracee too. Per thread, the names and results of the calls must be
//! the same; of the arguments, what differs must stand in `tests/victims/differences.md` with its reason.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_tests::strace::{Comparison, Threads, compare, explained, parse};
use stillframe_tests::{Bundle, capture, run, run_for, tool};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// Both logs of one run.
struct Run {
    bundle: Bundle,
    theirs: Threads,
    ours: Threads,
}

fn victims_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("victims")
}

fn compile(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("victims");
    let mut cc = tool("cc", &["-O1", "-static", "-w", "-o"]);
    cc.arg(&program);
    let mut sources: Vec<PathBuf> = fs::read_dir(victims_folder())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    run(cc.args(sources).arg("-lpthread"))?;
    Ok(program)
}

/// Runs a command under strace and capture.
fn watch(folder: TempDir, command: &[&str]) -> Result<Run> {
    let path = folder.path().join("x.capture.tar.zst");
    let log = folder.path().join("strace.log");
    let mut capture = capture(&[
        "--data",
        "1024",
        "--no-packets",
        "--no-block",
        "--no-journal",
        "--no-kernel",
    ])?;
    capture
        .args(["--secrets", "keep", "-o"])
        .arg(&path)
        .args(["--", "strace", "-f", "-ttt", "-T", "-yy", "-s", "1024", "-o"])
        .arg(&log)
        .args(command);
    run_for(&mut capture, LIMIT)?.expect_code(0)?;
    let bundle = Bundle::new(path, Some(folder));
    let mut replay = stillframe_tests::replay(&["export", bundle.name()?, "strace", "--output", "-"])?;
    let ours = run_for(&mut replay, LIMIT)?.expect_code(0)?.text();
    if let Some(keep) = std::env::var_os("STILLFRAME_KEEP") {
        let keep = PathBuf::from(keep);
        fs::copy(&log, keep.join("theirs"))?;
        fs::write(keep.join("ours"), &ours)?;
        fs::copy(bundle.path(), keep.join("x.capture.tar.zst"))?;
    }
    let theirs = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(Run {
        bundle,
        theirs: parse(&theirs)?,
        ours: parse(&ours)?,
    })
}

fn differences() -> Result<String> {
    fs::read_to_string(victims_folder().join("differences.md")).context("tests/victims/differences.md")
}

fn expect_equal(what: &str, comparison: &Comparison) -> Result<()> {
    let share = 100 * comparison.same / comparison.calls.max(1);
    eprintln!(
        "{what}: {} calls, {} lines ({share} %) are strace's to the letter",
        comparison.calls, comparison.same
    );
    ensure!(
        comparison.sequences.is_empty(),
        "{what}: {} threads have other calls\n{}",
        comparison.sequences.len(),
        comparison.sequences.join("\n")
    );
    ensure!(
        comparison.unexplained.is_empty(),
        "{what}: {} lines differ and nothing explains it\n{}",
        comparison.unexplained.len(),
        comparison.unexplained.join("\n")
    );
    Ok(())
}

/// Real programs, each doing something of its own that ends.
const PROGRAMS: &str = r#"
cd "$1"
bash -c 'for i in 1 2 3; do echo $i | cat > file$i; done; read x < file1; test -f file2 && echo "$x" > sum; ls | wc -l > count; (exit 3) || true'
/usr/bin/python3 -c 'import os, subprocess, threading, socket, tempfile
a, b = socket.socketpair()
thread = threading.Thread(target=lambda: a.send(b.recv(9)))
thread.start()
a.send(b"x")
thread.join()
subprocess.run(["/bin/true"])
with tempfile.TemporaryDirectory() as folder:
    open(folder + "/f", "w").write("text")
    os.listdir(folder)'
if command -v git > /dev/null; then
    export HOME="$1" GIT_CONFIG_NOSYSTEM=1
    git init -q repository && cd repository && echo text > file && git add file
    git -c user.name=a -c user.email=b@c commit -q -m message && git log > ../log; cd ..
fi
mkdir tree && for i in 1 2 3 4 5 6 7 8 9; do echo $i > tree/$i; done
tar czf tree.tar.gz tree && mkdir out && tar xzf tree.tar.gz -C out
perl -e 'open my $f, ">", "perl"; print $f "x" x 100; close $f; my $x = `echo hi`; exit 0'
redis-server --port 0 --unixsocket "$1/redis" --save "" --daemonize no > redis.log & redis=$!
for i in 1 2 3 4 5 6 7 8 9; do test -S redis && break; sleep 0.2; done
redis-cli -s "$1/redis" set key value > /dev/null; redis-cli -s "$1/redis" get key > /dev/null
redis-cli -s "$1/redis" shutdown nosave > /dev/null; wait $redis
mkdir nginx
printf 'daemon off; error_log error; pid pid; worker_processes 1; events {} http { access_log off; server { listen unix:%s/web; root %s/tree; } }' "$1" "$1" > nginx/conf
nginx -p "$1/nginx" -c "$1/nginx/conf" > /dev/null 2>&1 & nginx=$!
for i in 1 2 3 4 5 6 7 8 9; do test -S web && break; sleep 0.2; done
if command -v curl > /dev/null; then curl -s --unix-socket "$1/web" http://x/1 > page; fi
kill -QUIT $nginx; wait $nginx
exit 0
"#;

#[test]
#[ignore = "root"]
fn real_programs_read_as_strace_reads_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("p");
    fs::create_dir(&place)?;
    // The web server's worker drops its privileges, and has to come by.
    tool("chmod", &["-R", "a+rx"]).arg(folder.path()).status()?;
    let script = folder.path().join("script");
    fs::write(&script, PROGRAMS)?;
    let words = [
        "sh",
        script.to_str().context("a path")?,
        place.to_str().context("a path")?,
    ];
    let run = watch(folder, &words)?;
    let comparison = compare(&run.theirs, &run.ours, &explained(&differences()?)?);
    expect_equal("real programs", &comparison)?;
    run.bundle.expect_nothing_lost()?;
    ensure!(comparison.calls > 10_000, "only {} calls", comparison.calls);
    ensure!(
        comparison.same * 100 > comparison.calls * 70,
        "only {} of {} lines are strace's",
        comparison.same,
        comparison.calls
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn every_victim_reads_as_strace_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = compile(folder.path())?;
    let place = folder.path().join("v");
    fs::create_dir(&place)?;
    let names = [
        program.to_str().context("a path")?,
        "all",
        place.to_str().context("a path")?,
    ];
    let run = watch(folder, &names)?;
    let list = differences()?;
    let (needed, _) = list
        .split_once("\n## ")
        .context("differences.md has two tables")?;
    let known = explained(needed)?;
    let comparison = compare(&run.theirs, &run.ours, &known);
    expect_equal("victims", &comparison)?;
    run.bundle.expect_nothing_lost()?;
    ensure!(comparison.calls > 1_800, "only {} calls", comparison.calls);
    for (row, used) in known.iter().zip(&comparison.used) {
        ensure!(*used > 0, "no longer a difference: {row:?}");
    }
    Ok(())
}
