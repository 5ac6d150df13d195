//! What strace tells, capture tells: both watch the same processes at the same time.
//!
//! `capture -- strace -f PROGRAM` records strace's tracee too. Per thread, the names and results of the calls must be
//! the same; of the arguments, what differs must stand in `tests/victims/differences.md` with its reason.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use stillframe_tests::strace::{Comparison, Threads, compare, explained, parse};
use stillframe_tests::{Bundle, capture, compile, record_calls, run, run_for, tool, victims};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// Both logs of one run.
struct Run {
    bundle: Bundle,
    theirs: Threads,
    ours: Threads,
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

/// Runs a shell script under both, in a folder of its own (`$1`) and with more `words`, and compares. `programs` are those
/// that it must have started: how many calls they make differs between versions; that each ran does not.
fn watch_script(folder: TempDir, text: &str, words: &[&str], programs: &[&str]) -> Result<Comparison> {
    let place = folder.path().join("p");
    fs::create_dir(&place)?;
    // Some of them drop their privileges, and have to come by.
    run(tool("chmod", &["a+rx"]).arg(folder.path()).arg(&place))?;
    let script = folder.path().join("script");
    fs::write(&script, text)?;
    let mut command = vec!["sh", script.to_str().context("a path")?];
    command.push(place.to_str().context("a path")?);
    command.extend(words);
    let run = watch(folder, &command)?;
    let comparison = compare(&run.theirs, &run.ours, &explained(&differences()?)?);
    expect_equal(&programs.join(", "), &comparison)?;
    run.bundle.expect_nothing_lost()?;
    let ran: BTreeSet<&str> = run
        .theirs
        .calls
        .values()
        .flatten()
        .filter(|line| line.name == "execve" && line.value() == "0")
        .filter_map(|line| line.args.first()?.trim_matches('"').rsplit('/').next())
        .collect();
    for program in programs {
        ensure!(ran.contains(program), "{program} did not run: {ran:?}");
    }
    ensure!(comparison.calls > 5_000, "only {} calls", comparison.calls);
    Ok(comparison)
}

fn differences() -> Result<String> {
    fs::read_to_string(victims().join("differences.md")).context("tests/victims/differences.md")
}

fn expect_equal(what: &str, comparison: &Comparison) -> Result<()> {
    let share = 100 * comparison.same / comparison.calls.max(1);
    eprintln!(
        "{what}: {} calls, {} lines ({share} %) are strace's to the letter; {} signals",
        comparison.calls, comparison.same, comparison.signals
    );
    ensure!(
        comparison.other_signals.is_empty(),
        "{what}: {} threads have other signals\n{}",
        comparison.other_signals.len(),
        comparison.other_signals.join("\n")
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
    let programs = [
        "bash",
        "python3",
        "tar",
        "gzip",
        "perl",
        "redis-server",
        "redis-cli",
        "nginx",
    ];
    let comparison = watch_script(tempfile::tempdir()?, PROGRAMS, &[], &programs)?;
    ensure!(comparison.signals > 30, "only {} signals", comparison.signals);
    ensure!(
        comparison.same * 100 > comparison.calls * 70,
        "only {} of {} lines are strace's",
        comparison.same,
        comparison.calls
    );
    Ok(())
}

/// A database that drops its privileges, and two runtimes with threads of their own. `$2` is the user, `$3` the cluster.
const RUNTIMES: &str = r#"
cd "$1"
PATH=/usr/lib/postgresql/15/bin:$PATH
setpriv --reuid="$2" --regid="$2" --clear-groups postgres -D "$3" -c listen_addresses= -c unix_socket_directories="$3" > postgres.log 2>&1 & postgres=$!
for i in 1 2 3 4 5 6 7 8 9; do test -S "$3/.s.PGSQL.5432" && break; sleep 0.5; done
PGHOST="$3" psql -U "$2" -d postgres -X -q -c 'create table t (n int)' -c 'insert into t select generate_series(1, 1000)' -c 'checkpoint' -c 'select sum(n) from t' > sum
kill -TERM $postgres; wait $postgres
node -e 'const fs = require("fs"); fs.writeFileSync("node", "text"); fs.readFile("node", () => setTimeout(() => process.exit(0), 20))'
java -Xmx64m -version > java.log 2>&1
exit 0
"#;

#[test]
#[ignore = "root"]
fn every_victim_reads_as_strace_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("victims");
    compile(".", &program)?;
    let place = folder.path().join("v");
    fs::create_dir(&place)?;
    let names = [
        program.to_str().context("a path")?,
        "all",
        place.to_str().context("a path")?,
    ];
    let listed = run(&mut tool(names[0], &["list"]))?;
    ensure!(listed.lines().count() >= 150, "fewer victims than there were");
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
    ensure!(comparison.signals > 150, "only {} signals", comparison.signals);
    for (row, used) in known.iter().zip(&comparison.used) {
        ensure!(*used > 0, "no longer a difference: {row:?}");
    }
    Ok(())
}

/// Programs with threads and processes of their own: a database, two runtimes.
#[test]
#[ignore = "root"]
fn a_database_and_runtimes_read_as_strace_reads_them() -> Result<()> {
    const USER: &str = "postgres";
    let folder = tempfile::tempdir()?;
    let cluster = folder.path().join("c");
    fs::create_dir(&cluster)?;
    run(tool("chown", &[USER]).arg(&cluster))?;
    let as_user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    run(tool("setpriv", &as_user)
        .args([
            "/usr/lib/postgresql/15/bin/initdb",
            "--no-sync",
            "-A",
            "trust",
            "-D",
        ])
        .arg(&cluster))?;
    let cluster = cluster.to_str().context("a path")?.to_owned();
    watch_script(folder, RUNTIMES, &[USER, &cluster], &["postgres", "node", "java"]).map(drop)
}

#[test]
#[ignore = "root"]
fn nobody_escapes_a_storm_of_processes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("victims");
    compile(".", &program)?;
    let program = program.to_str().context("a path")?;
    let (bundle, _) = record_calls(&[], &[program, "storm", "20000"])?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    assert_eq!(bundle.count("evt.type=procexit and proc.name=victims")?, 20_001);
    assert_eq!(bundle.count("evt.type=exit_group and proc.name=victims")?, 20_001);
    Ok(())
}

/// Everything in a bundle, unpacked, as text.
fn unpacked(bundle: &Bundle) -> Result<String> {
    let out = run_for(&mut tool("tar", &["--zstd", "-xOf", bundle.name()?]), LIMIT)?.expect_code(0)?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
#[ignore = "root"]
fn secrets_in_arguments_never_reach_the_bundle() -> Result<()> {
    // The shell reads its command from its arguments, so no buffer of a read holds it.
    let script = "env true --password tops3cret; env API_TOKEN=tops3cret true; env true http://me:tops3cret@host/; sleep 1";
    let command = ["sh", "-c", script];
    let (masked, _) = record_calls(&[], &command)?;
    masked.expect_sealed()?;
    let text = unpacked(&masked)?;
    ensure!(!text.contains("tops3cret"), "the secret is in the bundle");
    let calls = masked.shows("events", &["-f", "evt.type=execve"])?;
    let tags: Vec<&str> = calls
        .split("<secret:9:")
        .skip(1)
        .filter_map(|rest| rest.get(..16))
        .collect();
    ensure!(tags.len() >= 6, "{} tags in:\n{calls}", tags.len());
    ensure!(
        tags.windows(2).all(|pair| pair[0] == pair[1]),
        "other tags for the same secret: {tags:?}"
    );
    let end = String::from_utf8(masked.member("end.json")?)?;
    for place in [
        "process events: argv",
        "system calls: argv",
        "argv of the command",
    ] {
        ensure!(end.contains(place), "{place} is not in {end}");
    }
    let (again, _) = record_calls(&[], &command)?;
    let other = again.shows("events", &["-f", "evt.type=execve"])?;
    ensure!(!other.contains(tags[0]), "two captures have the same key");
    let (kept, _) = record_calls(&["--secrets", "keep"], &command)?;
    ensure!(
        unpacked(&kept)?.contains("tops3cret"),
        "--secrets keep did not keep it"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn without_durations_every_return_is_there_all_the_same() -> Result<()> {
    let script = "cat /etc/hostname > /dev/null; exit 3";
    let (bundle, _) = record_calls(&["--no-durations"], &["sh", "-c", script])?;
    bundle.expect_sealed()?;
    bundle.expect_nothing_lost()?;
    assert_eq!(
        bundle.count("evt.type=openat and proc.name=cat and fs.path.name=/etc/hostname")?,
        1
    );
    assert_eq!(bundle.count("evt.type=procexit and proc.exit.status=3")?, 1);
    assert_eq!(bundle.count("evt.stream=syscall and evt.latency>=0")?, 0);
    assert_eq!(bundle.count("evt.type=exit_group")?, 0, "it never returns");
    ensure!(
        String::from_utf8(bundle.member("end.json")?)?.contains("only returns of calls were watched"),
        "the bundle does not say it"
    );
    Ok(())
}
