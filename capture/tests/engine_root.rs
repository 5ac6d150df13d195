//! The engine client and the sources of text, against a real engine, journal and kernel.
//!
//! They need root, a Docker Engine with an image `sf-busybox` (the test bed has it), and journald; so they are ignored
//! unless asked for: `cargo test -p stillframe-capture --test engine_root -- --ignored`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on says where"
)]

use std::process::Command;
use stillframe_capture::engine::{Engine, EngineError, Secrets};

const IMAGE: &str = "sf-busybox";

/// A container that is removed when the test ends, passed or not.
struct Disposable(String);

impl Disposable {
    /// `docker run -d --name sf-NAME-PID OPTIONS sf-busybox COMMAND`
    fn run(name: &str, options: &[&str], command: &[&str]) -> Self {
        let name = format!("sf-{name}-{}", std::process::id());
        let mut args = vec!["run", "-d", "--pull=never", "--name", &name];
        args.extend(options);
        args.push(IMAGE);
        args.extend(command);
        docker(&args);
        Self(name)
    }

    fn id(&self) -> String {
        text(docker(&["inspect", "-f", "{{.Id}}", &self.0]))
    }
}

impl Drop for Disposable {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.0]).output();
    }
}

fn docker(args: &[&str]) -> Vec<u8> {
    let output = Command::new("docker").args(args).output().expect("docker runs");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

/// The engine's reply as another client gets it.
fn curl(path: &str) -> Vec<u8> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let output = Command::new("curl")
        .args(["-s", "--unix-socket", host.trim_start_matches("unix://")])
        .arg(format!("http://docker{path}"))
        .output()
        .expect("curl runs");
    assert!(output.status.success());
    output.stdout
}

#[test]
#[ignore = "root"]
fn inspect_is_the_engines_reply_but_for_the_masked_values() {
    let box_ = Disposable::run(
        "inspect",
        &["-e", "TOKEN=s3cr3t<&>é\"\\", "-e", "EMPTY="],
        &["sleep", "60"],
    );
    let engine = Engine::connect(None).unwrap();
    let container = engine.find(&box_.0).unwrap();
    assert_eq!(container.id, box_.id());
    assert_eq!(container.name, box_.0);
    assert!(container.running);
    assert!(std::path::Path::new(&format!("/proc/{}/root", container.pid)).exists());
    assert_eq!(container.log_driver, "json-file");

    let kept = engine.snapshot(&container, Secrets::Keep);
    let path = format!("/v{}/containers/{}/json", engine.version(), container.id);
    assert_eq!(kept[0].name, "inspect.json");
    assert_eq!(kept[0].bytes.as_ref().unwrap(), &curl(&path), "byte for byte");
    assert!(kept[0].masked.is_empty());

    let masked = engine.snapshot(&container, Secrets::Mask);
    let bytes = masked[0].bytes.as_ref().unwrap();
    let shown = String::from_utf8(bytes.clone()).unwrap();
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let original: serde_json::Value = serde_json::from_slice(kept[0].bytes.as_ref().unwrap()).unwrap();
    for pointer in &masked[0].masked {
        let entry = value.pointer_mut(pointer).unwrap();
        // NAME=<secret:LENGTH:TAG>
        let was = original.pointer(pointer).unwrap();
        let (name, tag) = entry.as_str().unwrap().split_once("=<secret:").unwrap();
        let (length, tag) = tag.strip_suffix('>').unwrap().split_once(':').unwrap();
        let (was_name, value) = was.as_str().unwrap().split_once('=').unwrap();
        assert_eq!((name, length), (was_name, value.len().to_string().as_str()));
        assert!(
            tag.len() >= 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{tag}"
        );
        *entry = was.clone();
    }
    assert_eq!(value, original, "nothing else changed");
    assert_eq!(
        masked[0].masked.len(),
        original["Config"]["Env"].as_array().unwrap().len()
    );

    let names: Vec<&str> = masked.iter().map(|member| member.name).collect();
    assert_eq!(names, ["inspect.json", "image.json", "top.json"]);
    let top = String::from_utf8(masked[2].bytes.as_ref().unwrap().clone()).unwrap();
    assert!(top.contains("sleep 60"), "{top}");
    let image = String::from_utf8(masked[1].bytes.as_ref().unwrap().clone()).unwrap();
    assert!(image.contains(&container.image_id), "{image}");
    for member in engine.host_snapshot() {
        assert!(member.bytes.unwrap().starts_with(b"{"), "{}", member.name);
    }
}

#[test]
#[ignore = "root"]
fn containers_are_found_by_name_id_and_unique_beginning() {
    let engine = Engine::connect(None).unwrap();
    // Two of them share their first digit at the latest when there are 17.
    let many: Vec<Disposable> = (0..17)
        .map(|number| {
            let name = format!("sf-find{number}-{}", std::process::id());
            docker(&["create", "--name", &name, IMAGE, "true"]);
            Disposable(name)
        })
        .collect();
    let id = many[0].id();
    assert_eq!(engine.find(&id).unwrap().name, many[0].0);
    assert_eq!(engine.find(&id[..20]).unwrap().name, many[0].0);
    assert_eq!(engine.find(&many[0].0).unwrap().pid, 0, "it was never started");

    let mut firsts: Vec<char> = many.iter().map(|one| one.id().chars().next().unwrap()).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0];
    let error = engine.find(&twice.to_string()).unwrap_err();
    assert!(matches!(error, EngineError::Ambiguous { .. }), "{error}");

    for name in ["no-such-one", "", "../info", "%2e"] {
        let error = engine.find(name).unwrap_err();
        assert!(
            matches!(error, EngineError::NoSuchContainer { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("known: "), "{error}");
    }
}

#[test]
#[ignore = "root"]
fn all_lists_what_runs() {
    let box_ = Disposable::run("all", &[], &["sleep", "60"]);
    let (containers, errors) = Engine::connect(None).unwrap().all().unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(
        containers
            .iter()
            .any(|one| one.name == box_.0 && one.running && one.pid > 0)
    );
}
