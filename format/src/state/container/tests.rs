use super::*;
use crate::event::{Body, Loss, Metrics, Stream};

const WEB: &str = "c1";

/// A container that runs by its inspection, under a policy.
fn running(policy: &str) -> State {
    let inspection = format!(
        r#"{{"Name": "/web",
        "State": {{"Status": "running", "OOMKilled": false, "ExitCode": 0, "StartedAt": "2026-11-24T14:03:07.5Z",
                   "FinishedAt": "0001-01-01T00:00:00Z", "Health": {{"Status": "healthy"}}}},
        "HostConfig": {{"RestartPolicy": {{"Name": "{policy}", "MaximumRetryCount": 0}}}},
        "Config": {{"StopSignal": "SIGQUIT"}}}}"#
    );
    let mut state = State::default();
    state.add_container(WEB, "web", inspection.as_bytes());
    state
}

fn tell(state: &mut State, num: u64, action: &str, attributes: &str) {
    let json = format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{WEB}","Attributes":{{{attributes}}}}},"timeNano":1}}"#
    );
    let event = EngineEvent {
        json: json.into_bytes(),
    };
    state.apply(num, BootTime(num * 10), &Body::Engine(event));
}

fn lose(state: &mut State, stream: Stream, from: u64) {
    let loss = Loss {
        stream,
        cause: "engine-gone".to_owned(),
        count: 0,
        from: BootTime(from),
        to: BootTime(from + 1),
        scope: String::new(),
    };
    state.apply(1, BootTime(from + 1), &Body::Loss(loss));
}

fn web(state: &State) -> &Container {
    state.containers().get(WEB).unwrap()
}

#[test]
fn the_start_is_what_the_engine_said() {
    let state = running("no");
    let web = web(&state);
    assert_eq!((web.status, web.event), (Status::Running, None));
    assert_eq!(web.stamp.as_deref(), Some("2026-11-24T14:03:07.5Z"));
    assert_eq!(web.name.as_deref(), Some("web"));
    assert_eq!(web.health.as_deref(), Some("healthy"));
    assert_eq!((web.exit_code, web.oom), (None, Some(false)));
    let of = |text: &str| {
        let inspection = format!(
            r#"{{"Created": "c", "State": {{"Status": "{text}", "ExitCode": 3, "StartedAt": "s", "FinishedAt": "f"}}}}"#
        );
        let container = Container::inspected(inspection.as_bytes());
        (container.status, container.stamp, container.exit_code)
    };
    let stamp = |text: &str| Some(text.to_owned());
    assert_eq!(of("exited"), (Status::Exited, stamp("f"), Some(3)));
    assert_eq!(of("restarting"), (Status::Restarting, stamp("f"), Some(3)));
    assert_eq!(of("created"), (Status::Created, stamp("c"), None));
    assert_eq!(
        of("paused"),
        (Status::Paused, None, None),
        "nobody told when it was paused"
    );
    assert_eq!(of("removing"), (Status::Unknown, None, None));
    for nothing in ["", "[]", "{\"State\": 5}", "not json"] {
        let mut state = State::default();
        state.add_container(WEB, "web", nothing.as_bytes());
        let web = self::web(&state);
        assert_eq!(
            (web.status, web.oom, web.event),
            (Status::Unknown, None, None),
            "{nothing}"
        );
    }
}

#[test]
fn events_tell_what_became_of_it() {
    let mut state = running("no");
    let mut after = |num: u64, action: &str, attributes: &str| {
        tell(&mut state, num, action, attributes);
        let web = web(&state).clone();
        (web.status, web.event, web.exit_code, web.oom)
    };
    assert_eq!(
        after(1, "pause", ""),
        (Status::Paused, Some(1), None, Some(false))
    );
    assert_eq!(
        after(2, "exec_create: sh", ""),
        (Status::Paused, Some(1), None, Some(false))
    );
    assert_eq!(
        after(3, "unpause", ""),
        (Status::Running, Some(3), None, Some(false))
    );
    assert_eq!(after(4, "oom", ""), (Status::Running, Some(3), None, Some(true)));
    assert_eq!(
        after(5, "die", r#""exitCode":"137""#),
        (Status::Exited, Some(5), Some(137), Some(true))
    );
    assert_eq!(
        after(6, "stop", ""),
        (Status::Exited, Some(5), Some(137), Some(true))
    );
    assert_eq!(
        after(7, "start", ""),
        (Status::Running, Some(7), None, Some(false))
    );
    // Podman's words.
    assert_eq!(
        after(8, "died", r#""containerExitCode":"1""#),
        (Status::Exited, Some(8), Some(1), Some(false))
    );
    assert_eq!(
        after(9, "remove", ""),
        (Status::Removed, Some(9), Some(1), Some(false))
    );
    assert_eq!(web(&state).since, Some(BootTime(90)));
    assert_eq!(web(&state).stamp, None);
}

#[test]
fn an_oom_kill_may_be_told_behind_the_death() {
    let mut state = running("no");
    tell(&mut state, 1, "die", r#""exitCode":"137""#);
    tell(&mut state, 2, "oom", "");
    assert_eq!(
        (web(&state).status, web(&state).oom),
        (Status::Exited, Some(true))
    );
}

#[test]
fn a_policy_tells_whether_a_dead_one_comes_back() {
    let code = |code: &str| format!(r#""exitCode":"{code}""#);
    for (policy, signal, exit, status) in [
        ("no", None, "1", Status::Exited),
        ("always", None, "0", Status::Restarting),
        ("unless-stopped", None, "1", Status::Restarting),
        ("on-failure", None, "0", Status::Exited),
        ("on-failure", None, "1", Status::Restarting),
        ("something-new", None, "1", Status::Exited),
        // The signal that ends it for good is its own.
        ("always", Some("9"), "137", Status::Exited),
        ("always", Some("SIGQUIT"), "131", Status::Exited),
        ("always", Some("15"), "143", Status::Restarting),
        ("always", Some("HUP"), "129", Status::Restarting),
    ] {
        let mut state = running(policy);
        if let Some(signal) = signal {
            tell(&mut state, 1, "kill", &format!(r#""signal":"{signal}""#));
        }
        tell(&mut state, 2, "die", &code(exit));
        assert_eq!(web(&state).status, status, "{policy} {signal:?} {exit}");
    }
    // One that waits to be started again and is stopped does not come back, and its code is what it was.
    let mut state = running("always");
    tell(&mut state, 1, "die", &code("3"));
    tell(&mut state, 2, "stop", "");
    assert_eq!(
        (web(&state).status, web(&state).exit_code),
        (Status::Exited, Some(3))
    );
    // The policy may have been changed to anything.
    let mut state = running("always");
    tell(&mut state, 1, "update", "");
    tell(&mut state, 2, "die", &code("3"));
    assert_eq!(web(&state).status, Status::Exited);
}

#[test]
fn health_is_the_engines_word() {
    let mut state = running("no");
    tell(&mut state, 1, "health_status: unhealthy", "");
    assert_eq!(web(&state).health.as_deref(), Some("unhealthy"));
    tell(&mut state, 2, "health_status", r#""health_status":"healthy""#);
    assert_eq!(web(&state).health.as_deref(), Some("healthy"));
    tell(&mut state, 3, "die", "");
    assert_eq!(web(&state).health, None);
    assert_eq!((web(&state).exit_code, web(&state).event), (None, Some(3)));
    tell(&mut state, 4, "rename", r#""name":"/other","oldName":"web""#);
    assert_eq!(web(&state).name.as_deref(), Some("other"));
}

#[test]
fn a_loss_of_the_engines_events_leaves_doubt_until_the_next_word() {
    let mut state = running("no");
    lose(&mut state, Stream::Syscall, 5);
    assert_eq!(web(&state).uncertain, None);
    lose(&mut state, Stream::Engine, 7);
    lose(&mut state, Stream::Engine, 9);
    assert_eq!(web(&state).uncertain, Some(BootTime(7)));
    assert_eq!(
        web(&state).oom,
        None,
        "that it did not run out of memory is no longer known"
    );
    // It is stopped: what it ended with was lost.
    tell(&mut state, 3, "stop", "");
    let stopped = web(&state);
    assert_eq!(
        (stopped.status, stopped.exit_code, stopped.uncertain),
        (Status::Exited, None, None)
    );
}

#[test]
fn what_is_no_event_of_a_container_changes_nothing() {
    let state = running("no");
    for json in [
        "",
        "{}",
        "[1]",
        r#"{"Type":"network","Action":"destroy","Actor":{"ID":"c1"}}"#,
        r#"{"Type":"container","Action":"die","Actor":{"ID":""}}"#,
        r#"{"Type":"container","Action":"die"}"#,
        r#"{"Type":"container","Action":7,"Actor":{"ID":"c1"}}"#,
        r#"{"Type":"container","Action":"attach","Actor":{"ID":"c2"}}"#,
    ] {
        let mut other = state.clone();
        let event = EngineEvent {
            json: json.as_bytes().to_vec(),
        };
        other.apply(1, BootTime(1), &Body::Engine(event));
        assert!(other == state, "{json}");
    }
}

#[test]
fn containers_are_bounded_and_removed_ones_go_first() {
    let mut state = State::default();
    let tell = |state: &mut State, num: u64, id: &str, action: &str| {
        let json = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}"}}}}"#);
        let event = EngineEvent {
            json: json.into_bytes(),
        };
        state.apply(num, BootTime(num), &Body::Engine(event));
    };
    for num in 0..CONTAINERS_MAX as u64 {
        tell(&mut state, num, &format!("c{num}"), "start");
    }
    assert!(!state.containers_left_out());
    tell(&mut state, 5_000, "c7", "destroy");
    tell(&mut state, 5_001, "c3", "destroy");
    tell(&mut state, 5_002, "new", "start");
    assert!(state.containers_left_out());
    assert_eq!(state.containers().len(), CONTAINERS_MAX);
    assert!(state.containers().contains_key("new") && state.containers().contains_key("c3"));
    assert!(
        !state.containers().contains_key("c7"),
        "the first that was removed"
    );
    tell(&mut state, 5_003, "newer", "start");
    tell(&mut state, 5_004, "newest", "start");
    assert!(
        !state.containers().contains_key("newest"),
        "none that is there makes room"
    );
    tell(&mut state, 5_005, &"x".repeat(CONTAINER_TEXT_MAX + 1), "start");
    assert_eq!(state.containers().len(), CONTAINERS_MAX);
    let back = State::decode("t", &state.encode("t").unwrap()).unwrap();
    assert!(back == state);
    state
        .containers
        .insert("one more".to_owned(), Container::default());
    assert!(State::decode("t", &state.encode("t").unwrap()).is_err());
}

#[test]
fn a_word_that_is_not_known_is_unknown() {
    let mut state = running("no");
    tell(&mut state, 1, "pause", "");
    let bytes = state.encode("t").unwrap();
    let at = bytes.windows(6).position(|word| word == b"paused").unwrap();
    let mut newer = bytes;
    newer[at..at + 6].copy_from_slice(b"frozen");
    assert_eq!(web(&State::decode("t", &newer).unwrap()).status, Status::Unknown);
}

fn read(state: &mut State, num: u64, time: u64, values: &[(&str, u64)]) {
    let values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    let metrics = Metrics {
        container: WEB.to_owned(),
        values,
    };
    state.apply(num, BootTime(time), &Body::Metrics(metrics));
}

#[test]
fn the_latest_reading_has_values_and_rates() {
    let mut state = State::default();
    assert!(state.usage().is_empty());
    read(
        &mut state,
        4,
        1_000_000_000,
        &[
            ("cpu.usage_ns", 500),
            ("pids.current", 3),
            ("host.net.eth0.rx_bytes", 1),
        ],
    );
    let usage = &state.usage()[WEB];
    assert_eq!(
        (usage.time, usage.event, usage.before),
        (BootTime(1_000_000_000), 4, None)
    );
    assert_eq!(
        (usage.value("cpu.usage_ns"), usage.increase("cpu.usage_ns")),
        (Some(500), None)
    );
    assert_eq!(usage.value("host.net.eth0.rx_bytes"), None, "the host's");
    read(
        &mut state,
        9,
        1_500_000_000,
        &[
            ("cpu.usage_ns", 250_000_500),
            ("memory.usage_bytes", 7),
            ("pids.current", 2),
        ],
    );
    let usage = &state.usage()[WEB];
    let increase = usage.increase("cpu.usage_ns").unwrap();
    assert_eq!(
        (increase.by, increase.within, increase.a_second()),
        (250_000_000, 500_000_000, 500_000_000)
    );
    assert_eq!(
        usage.increase("memory.usage_bytes"),
        None,
        "it was not in the reading before"
    );
    assert_eq!(
        (usage.value("pids.current"), usage.increase("pids.current")),
        (Some(2), None)
    );
    // What a reading lacks is not known at its time.
    read(&mut state, 10, 2_000_000_000, &[("pids.current", 2)]);
    assert_eq!(state.usage()[WEB].value("cpu.usage_ns"), None);
    let same = state.clone();
    read(&mut state, 11, 1_700_000_000, &[("pids.current", 99)]);
    assert!(state == same, "one that came late");
    let back = State::decode("t", &state.encode("t").unwrap()).unwrap();
    assert!(back == state);
}

#[test]
fn readings_are_bounded() {
    let mut state = State::default();
    let names: Vec<String> = (0..1_000)
        .map(|number| format!("blk.8:{number}.read_bytes"))
        .collect();
    let values: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    read(&mut state, 1, 1, &values);
    let usage = &state.usage()[WEB];
    assert_eq!(
        (usage.values().count(), usage.left_out),
        (crate::layout::READINGS_MAX, true)
    );
    read(&mut state, 2, 2, &[("x", 1), (&"n".repeat(300), 1)]);
    let usage = &state.usage()[WEB];
    assert_eq!((usage.values().count(), usage.left_out), (1, true));
    for number in 0..2 * CONTAINERS_MAX {
        let metrics = Metrics {
            container: number.to_string(),
            values: Vec::new(),
        };
        state.apply(3, BootTime(3), &Body::Metrics(metrics));
    }
    assert!(state.usage().len() == CONTAINERS_MAX && state.containers_left_out());
    assert!(State::decode("t", &state.encode("t").unwrap()).is_ok());
}
