//! What is found from outside equals what the stock tools show inside, also for an image that has none of them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use stillframe_tests::{Bundle, Container, Recording, run, tool};

fn recorded(container: &Container, options: &[&str]) -> Result<Bundle> {
    Recording::start(&[&[container.name.as_str(), "-t", "2s"], options].concat())?.sealed()
}

/// A line of `ss`: protocol, state, both queues, local, remote, and who holds it.
type Line = (String, String, String, String, String);

fn list<'v>(value: &'v Value, what: &str) -> Result<&'v Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("{what} is not a list: {value}"))
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[test]
#[ignore = "root"]
fn the_sockets_of_an_image_without_a_shell_equal_ss() -> Result<()> {
    let container = Container::run("sf-noshell", &[], &[])?;
    container.wait_for_log("ready")?;
    let bundle = recorded(&container, &[])?;
    let pid = container.pid()?.to_string();
    let ss = run(&mut tool("nsenter", &["-t", &pid, "-n", "ss", "-tulpnaH"]))?;
    let expected: BTreeSet<Line> = ss
        .lines()
        .map(|line| {
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            let mut next = || words.next().unwrap_or_default();
            let (protocol, state, _receive, send, local, remote) =
                (next(), next(), next(), next(), next(), next());
            (protocol, state, send, local, remote)
        })
        .collect();
    ensure!(
        expected.len() >= 5,
        "the image opens fewer sockets than it should: {ss}"
    );
    for moment in ["start/containers/", "end/containers/"] {
        let sockets = bundle.json(moment, "sockets.json")?;
        // ss writes `*` where a port or an address is open to all.
        let star = |address: String| match address.strip_suffix(":0") {
            Some(host) => format!("{host}:*"),
            None => address,
        };
        let found: BTreeSet<Line> = list(&sockets, "sockets.json")?
            .iter()
            .filter(|socket| matches!(text(socket, "protocol").as_str(), "tcp" | "udp"))
            .map(|socket| {
                (
                    text(socket, "protocol"),
                    text(socket, "state"),
                    text(socket, "send_queue"),
                    text(socket, "local"),
                    star(text(socket, "remote")),
                )
            })
            .collect();
        assert_eq!(found, expected, "{moment}");
        for socket in list(&sockets, "sockets.json")? {
            if matches!(text(socket, "protocol").as_str(), "tcp" | "udp") {
                let holder = text(&socket["users"][0], "comm");
                assert_eq!(holder, "noshell", "{socket}");
            }
        }
    }
    let shown = bundle.shows("state", &["net", "--at", "50%"])?;
    ensure!(
        shown.contains("7000") && shown.contains("7001") && shown.contains("7002"),
        "{shown}"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn processes_descriptors_mounts_addresses_and_routes_are_those_of_the_container() -> Result<()> {
    let volume = tempfile::tempdir()?;
    let mount = format!("{}:/mnt/given", volume.path().display());
    let container = Container::run(
        "sf-busybox",
        &["--volume", &mount, "--memory", "64m"],
        &["sh", "-c", "exec 5</etc/passwd; sleep 3600; true"],
    )?;
    let bundle = recorded(&container, &[])?;
    let at = "start/containers/";
    let pid = u64::from(container.pid()?);

    let processes = bundle.json(at, "processes.json")?;
    let first = list(&processes, "processes")?
        .iter()
        .find(|process| process["pid"] == pid)
        .context("no first process")?;
    assert_eq!(first["ns_pid"], 1);
    assert_eq!(first["comm"], "sh");
    ensure!(
        list(&processes, "processes")?
            .iter()
            .any(|process| process["comm"] == "sleep"),
        "{processes}"
    );

    let descriptors = bundle.json(at, "fds.json")?;
    let fifth = list(&descriptors, "fds")?
        .iter()
        .find(|fd| fd["pid"] == pid && fd["fd"] == 5)
        .context("no fd 5")?;
    assert_eq!(fifth["target"], "/etc/passwd");

    let mounts = bundle.json(at, "mounts.json")?;
    let targets: Vec<String> = list(&mounts, "mounts")?
        .iter()
        .map(|mount| text(mount, "target"))
        .collect();
    ensure!(
        targets.iter().any(|target| target == "/mnt/given") && targets.iter().any(|target| target == "/"),
        "{targets:?}"
    );
    let root = list(&mounts, "mounts")?
        .iter()
        .find(|mount| mount["target"] == "/")
        .context("no root")?;
    ensure!(
        root["usage"]["size"].as_u64().is_some_and(|size| size > 0),
        "no disk use of the root: {root}"
    );

    let interfaces = bundle.json(at, "interfaces.json")?.to_string();
    ensure!(
        interfaces.contains(&format!("\"{}/24\"", container.address()?)),
        "{interfaces}"
    );
    let routes = bundle.json(at, "routes.json")?;
    let ip = run(&mut tool(
        "nsenter",
        &[
            "-t",
            &pid.to_string(),
            "-n",
            "ip",
            "-4",
            "route",
            "show",
            "default",
        ],
    ))?;
    let gateway = ip
        .split_ascii_whitespace()
        .nth(2)
        .context("no default route")?
        .to_owned();
    ensure!(
        list(&routes, "routes")?
            .iter()
            .any(|route| route["destination"] == "default" && route["gateway"] == gateway.as_str()),
        "no default route by {gateway}: {routes}"
    );

    let namespaces = bundle.json(at, "namespaces.json")?;
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net"))?
        .display()
        .to_string();
    let net = list(&namespaces, "namespaces")?
        .iter()
        .find(|namespace| namespace["kind"] == "net")
        .context("no net")?;
    assert_eq!(format!("net:[{}]", net["inode"]), link);
    let cgroup = bundle.json(at, "cgroup.json")?.to_string();
    ensure!(
        cgroup.contains("67108864"),
        "the memory limit is missing: {cgroup}"
    );
    ensure!(
        !list(&bundle.json(at, "block-devices.json")?, "devices")?.is_empty(),
        "no block device under the root"
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn a_namespace_shared_with_the_host_or_another_container_is_said_to_be_so() -> Result<()> {
    let on_host = Container::run("sf-busybox", &["--network", "host"], &["sleep", "3600"])?;
    let bundle = recorded(&on_host, &["--no-packets"])?;
    let net = |bundle: &Bundle| -> Result<Value> {
        let namespaces = bundle.json("start/containers/", "namespaces.json")?;
        list(&namespaces, "namespaces")?
            .iter()
            .find(|namespace| namespace["kind"] == "net")
            .cloned()
            .context("no net")
    };
    assert_eq!(net(&bundle)?["shared_with"], serde_json::json!(["host"]));

    let first = Container::idle()?;
    let shared = format!("container:{}", first.name);
    let second = Container::run("sf-busybox", &["--network", &shared], &["sleep", "3600"])?;
    let bundle = recorded(&second, &[])?;
    assert_eq!(net(&bundle)?["shared_with"], serde_json::json!([first.name]));
    Ok(())
}

#[test]
#[ignore = "root"]
fn the_engines_replies_are_kept_byte_for_byte_and_values_of_env_are_masked() -> Result<()> {
    let secret = "hunter2-and-more";
    let variable = format!("PASSWORD={secret}");
    let container = Container::run("sf-busybox", &["--env", &variable], &["sleep", "3600"])?;
    let members = |bundle: &Bundle| -> Result<Vec<u8>> {
        let mut tar = tool("tar", &["--zstd", "-xOf", bundle.name()?]);
        Ok(
            stillframe_tests::run_for(&mut tar, std::time::Duration::from_secs(60))?
                .expect_code(0)?
                .stdout,
        )
    };
    let holds = |bytes: &[u8]| {
        bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };

    let masked = recorded(&container, &[])?;
    let inspect = masked.json("start/", "inspect.json")?;
    assert_eq!(inspect["Id"], container.id.as_str());
    let variables = inspect["Config"]["Env"].to_string();
    ensure!(
        variables.contains("PASSWORD="),
        "the variable's name is gone too: {variables}"
    );
    ensure!(!holds(&members(&masked)?), "the secret is in a member");
    let touched = masked.member("header.json")?;
    let end = masked.member("end.json")?;
    let noted = String::from_utf8_lossy(&touched).contains("Config.Env")
        || String::from_utf8_lossy(&end).contains("Config.Env")
        || masked.info()?.to_string().contains("Env");
    ensure!(noted, "nothing says that Config.Env was touched");

    let kept = recorded(&container, &["--secrets", "keep"])?;
    let inspect = kept.json("start/", "inspect.json")?;
    ensure!(
        inspect["Config"]["Env"].to_string().contains(&variable),
        "--secrets keep did not keep it"
    );
    // Byte for byte what the engine says (the clocks in it aside: the container does not change meanwhile).
    let socket = std::env::var("DOCKER_HOST")?;
    let socket = socket.trim_start_matches("unix://");
    let url = format!("http://docker/v1.41/containers/{}/json", container.id);
    let members_of_kept = kept.members()?;
    let name = members_of_kept
        .iter()
        .find(|name| name.starts_with("start/") && name.ends_with("/inspect.json"))
        .context("no inspect")?;
    let mut curl = tool("curl", &["--silent", "--unix-socket", socket, &url]);
    let reply = stillframe_tests::run_for(&mut curl, std::time::Duration::from_secs(10))?
        .expect_code(0)?
        .stdout;
    assert_eq!(
        String::from_utf8_lossy(&kept.member(name)?).trim_end(),
        String::from_utf8_lossy(&reply).trim_end()
    );
    Ok(())
}

#[test]
#[ignore = "root"]
fn engine_replies_image_version_and_top_are_there_twice() -> Result<()> {
    let container = Container::idle()?;
    let bundle = recorded(&container, &[])?;
    let members = bundle.members()?;
    for moment in ["start/", "end/"] {
        for reply in [
            "inspect.json",
            "top.json",
            "sockets.json",
            "processes.json",
            "fds.json",
            "mounts.json",
        ] {
            ensure!(
                members.iter().any(|name| name.starts_with(moment)
                    && name.contains(&container.id)
                    && name.ends_with(reply)),
                "no {reply} of the container under {moment}: {members:?}"
            );
        }
        for reply in ["info.json", "version.json"] {
            ensure!(
                members
                    .iter()
                    .any(|name| name.starts_with(moment) && name.ends_with(reply)),
                "no {reply} under {moment}: {members:?}"
            );
        }
    }
    Ok(())
}
