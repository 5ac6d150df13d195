//! Tests of the plan that need no engine.

use super::*;
use clap::Parser as _;
use stillframe_format::event::Device;

const ID: &str = "55b04d99bd40007d20e7ab1b1bb7c0de1d6d34e7d059973603448e896c31539b";

pub(crate) fn arguments(line: &str) -> Arguments {
    Arguments::try_parse_from(std::iter::once("capture").chain(line.split_whitespace())).unwrap()
}

fn now() -> Timestamp {
    "2026-11-24T14:03:07Z".parse().unwrap()
}

pub(crate) fn container(name: &str, pid: u32) -> Container {
    Container {
        id: format!("{name:0<12}{}", &ID[12..]),
        name: name.to_owned(),
        pid,
        running: pid != 0,
        image_id: "sha256:1".to_owned(),
        tty: false,
        log_driver: "json-file".to_owned(),
    }
}

/// The plan of a command line, had the engine these containers.
pub(crate) fn plan_of(line: &str, containers: &[Container]) -> Plan {
    let targets = containers
        .iter()
        .map(|one| Target {
            name: one.name.clone(),
            id: one.id.clone(),
            pid: one.pid,
            namespaces: (one.pid != 0)
                .then(|| ("net".to_owned(), 4_026_532_000 + u64::from(one.pid)))
                .into_iter()
                .collect(),
            devices: vec![Device { major: 254, minor: 0 }],
            ..Target::default()
        })
        .collect();
    let found = Found {
        targets,
        containers: containers.to_vec(),
        ..Found::default()
    };
    assemble(&arguments(line), found, now())
}

#[test]
fn a_plan_of_containers_is_shown() {
    let plan = plan_of(
        "web db -t 90 --no-packets --reference CASE-7 --snaplen 96",
        &[container("web", 1234), container("db", 0)],
    );
    insta::assert_snapshot!(plan, @r"
    target     web container web000000000, pid 1234, netns 4026533234, devices 254:0
    target     db container db0000000000, does not run, devices 254:0
    time       1m30s
    output     web-and-1-more-20261124T140307Z.capture.tar.zst
    at most    1 GiB
    memory     128 MiB of kernel buffers: syscalls 64 MiB, block 8 MiB, packets 2 x 16 MiB
    sources    syscalls, block, journal, logs, events, kernel, metrics (not packets)
    payload    64 bytes of a call's buffers, 96 bytes of a packet
    look-back  10m, at most 16 MiB of journal
    secrets    replaced by tags
    reference  CASE-7
    warning    container: db exists but does not run: it is recorded when it starts
    ");
}

#[test]
fn a_plan_of_a_command_is_shown_and_its_terminal_escapes_are_not_obeyed() {
    let mut arguments = arguments("--no-data --secrets keep --neighbours --no-durations -o - -- sh -c x");
    arguments.command.push("\u{1b}[2J".into());
    let found = Found {
        command: Some(CommandPlan {
            program: "/bin/sh".into(),
            argv: arguments.command.clone(),
        }),
        ..Found::default()
    };
    let plan = assemble(&arguments, found, now());
    insta::assert_snapshot!(plan, @r#"
    command    "sh" "-c" "x" "\u{1b}[2J"
    time       until the command ends
    output     standard output
    at most    1 GiB
    memory     128 MiB of kernel buffers: syscalls 64 MiB, block 8 MiB, packets 1 x 16 MiB
    sources    syscalls, packets, block, journal, logs, events, kernel, metrics; neighbours' block requests too; no durations of calls
    payload    none: no buffers of calls, and only the headers of packets
    look-back  10m, at most 16 MiB of journal
    secrets    kept
    "#);
}

#[test]
fn a_command_is_recorded_to_its_end_and_anything_else_for_30_seconds() {
    let command = resolve(&arguments("-- sh -c true")).unwrap();
    assert_eq!((command.asked, command.duration), (Asked::Command, None));
    assert_eq!(command.command.as_ref().unwrap().name(), "sh");
    let limited = resolve(&arguments("-t 5 -- sh")).unwrap();
    assert_eq!(limited.duration, Some(Duration::from_secs(5)));
    let containers = plan_of("web", &[container("web", 1)]);
    assert_eq!(containers.duration, Some(DEFAULT_TIME));
}

#[test]
fn the_default_name_speaks_of_the_target() {
    let path = |plan: &Plan| match &plan.output {
        OutputPlan::File { path, force: false } => path.to_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    let stamped = |name: &str| format!("{name}-20261124T140307Z.capture.tar.zst");
    let (web, db) = (container("web", 1), container("db", 2));
    let pair = [web.clone(), db];
    assert_eq!(path(&plan_of("web", &[web])), stamped("web"));
    assert_eq!(path(&plan_of("web db", &pair)), stamped("web-and-1-more"));
    assert_eq!(path(&plan_of("--all", &pair)), stamped("all"));
    let own = std::process::id();
    let tree = resolve(&arguments(&format!("-p {own}"))).unwrap();
    assert!(
        path(&tree).starts_with(&format!("pid-{own}-2")),
        "{}",
        path(&tree)
    );
    let command = resolve(&arguments("-- /bin/sh")).unwrap();
    assert!(path(&command).starts_with("sh-2"), "{}", path(&command));
}

#[test]
fn processes_and_commands_ask_no_engine_and_are_each_there_once() {
    let own = std::process::id();
    let plan = resolve(&arguments(&format!("-p {own} -p {own}"))).unwrap();
    assert_eq!(plan.targets.len(), 1);
    assert!(plan.engine.is_none() && !plan.has_containers());
    assert_eq!(plan.asked, Asked::Processes);
}

#[test]
fn a_container_named_twice_is_one() {
    let web = container("web", 1);
    let twice = vec![web.clone(), container("db", 2), web];
    let names: Vec<String> = distinct(twice).into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["web", "db"]);
}

#[test]
fn what_is_not_there_is_said() {
    let error = resolve(&arguments("-p 4194304")).unwrap_err();
    assert_eq!(error.exit_code(), exit::NOTHING);
    assert!(
        error.to_string().starts_with("pid 4194304: no such process"),
        "{error}"
    );
    let error = resolve(&arguments("-- no-such-program")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "command: cannot run no-such-program: not found in PATH"
    );
}

#[test]
fn shared_namespaces_share_a_ring_and_unknown_ones_count() {
    let mut plan = plan_of(
        "a b c",
        &[container("aa", 7), container("bb", 7), container("cc", 0)],
    );
    assert_eq!(plan.memory.network_namespaces, 2);
    plan.targets.clear();
    assert_eq!(
        network_namespaces(&plan.targets),
        1,
        "a command has a namespace, too"
    );
}

#[test]
fn a_started_command_is_a_target() {
    let mut plan = resolve(&arguments("-- /bin/sh")).unwrap();
    plan.command_started(std::process::id()).unwrap();
    let target = plan.targets.last().unwrap();
    assert_eq!((target.name.as_str(), target.kind), ("sh", TargetKind::Command));
    assert_eq!(target.pid, std::process::id());
}

#[test]
fn the_plan_in_the_header_holds_every_option() {
    let plan = plan_of("web -t 1m --operator me", &[container("web", 1)]);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["duration_ms"], 60_000);
    assert_eq!(json["secrets"], "mask");
    assert_eq!(json["case"]["operator"], "me");
    assert_eq!(json["limits"]["snaplen"], 65_535);
    assert_eq!(json["lookback"]["time_ms"], 600_000);
    assert_eq!(json["output"]["kind"], "file");
    assert_eq!(json["targets"][0]["name"], "web");
    assert!(json["sources"].as_object().unwrap().keys().eq(SOURCES.iter()));
}
