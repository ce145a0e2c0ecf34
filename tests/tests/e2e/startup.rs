//! The control plane's and the filter's start and planned end: what is checked before, and what the logs say.

use std::fs;

use fedgate_tests::World;
use fedgate_tests::control_plane::{ANY_PORTS, FILTER_TOKEN};
use fedgate_tests::process::eventually;
use serde_json::{Value, json};

use crate::egress::caller;
use crate::slips::{complaint, fedgate};

#[test]
fn a_configuration_is_checked_without_leaving_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let check = |words: &[&str]| {
        let words = [&["serve", "--check-config", "--discovery-servers", "192.0.2.53"], words].concat();
        let output = fedgate(&words).current_dir(dir.path()).output().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
        output
    };
    let output = check(&ANY_PORTS);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("servers     192.0.2.53:53\n"), "{shown}");
    assert!(complaint(&output).contains("warning: no token of role admin is configured"));
    let output = check(&[&ANY_PORTS[..], &["--json"]].concat());
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["dnssec"], &shown["log"]), (&json!("off"), &json!("info")));

    // An address of documentation, which no machine has.
    let wrong = ["--listen-admin", "192.0.2.1:8600", "--store-url", "sqlite:///nowhere/to/fedgate.db"];
    let output = check(&wrong);
    let told = complaint(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("no interface of this machine has 192.0.2.1"), "{told}");
    assert!(told.contains("the directory /nowhere is not there; `install -d -o "), "{told}");
    let output = check(&["--dnssec"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_check_beside_a_running_control_plane_holds() {
    let world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let mut check = fedgate(&["serve", "--config", "fedgate.toml", "--check-config"]);
    let output = check.current_dir(control_plane.dir()).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    assert!(complaint(&output).contains("is in use now"));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("tokens      admin (admin), viewer (viewer), filter (filter)"), "{shown}");
    control_plane.add(&["b.com"]);
}

#[test]
fn a_store_that_is_none_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    fs::write(&text, "x".repeat(200)).unwrap();
    let foreign = dir.path().join("foreign.db");
    let database = rusqlite::Connection::open(&foreign).unwrap();
    database.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)").unwrap();
    drop(database);
    for (file, expected) in [
        (dir.path(), "it is a directory"),
        (&text, "it is no SQLite database"),
        (&foreign, "it is a database of something else"),
    ] {
        let url = format!("sqlite://{}", file.display());
        let before = fs::read(file).ok();
        for check in [&[][..], &["--check-config"]] {
            let at = ["--listen-admin", "127.0.0.1:0", "--listen-verdicts", "127.0.0.1:0"];
            let words = [&["serve", "--listen-xds", "127.0.0.1:0", "--store-url", &url], &at[..], check];
            let output = fedgate(&words.concat()).current_dir(dir.path()).output().unwrap();
            let told = complaint(&output);
            assert!(!output.status.success() && told.contains(expected), "{told}");
            assert!(told.contains(file.to_str().unwrap()), "{told}");
        }
        assert_eq!(fs::read(file).ok(), before);
    }
}

#[test]
fn one_line_says_what_runs_here_and_on_what() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let log = control_plane.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" ready ")).collect();
    let [line] = lines[..] else { panic!("{log}") };
    let ip = world.ip();
    for part in [
        format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        format!("store={}", control_plane.dir().join("fedgate.db").display()),
        format!("servers=\"{}\"", world.dns.address()),
        "dnssec=off".to_owned(),
        format!("admin={ip}:8600"),
        format!("verdicts={ip}:8601"),
        format!("xds={ip}:8602"),
    ] {
        assert!(line.contains(&part), "{part}: {line}");
    }
}

#[test]
fn each_filter_says_once_how_it_is_configured() {
    let world = caller().start();
    let log = world.envoy.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(", configured as {")).collect();
    let [lobby, one, other] = lines[..] else { panic!("{lines:?}") };
    let version = format!("fedgate {}, ", env!("CARGO_PKG_VERSION"));
    assert!(lobby.contains(&version) && lobby.contains("lobby"), "{lobby}");
    for line in [one, other] {
        assert!(line.contains(&version) && line.contains("token_env"), "{line}");
        assert!(!line.contains(FILTER_TOKEN), "{line}");
    }
    assert!(one.contains("ingress") != other.contains("ingress"), "{lines:?}");
}

#[test]
fn a_planned_stop_and_start_log_nothing_that_is_wrong() {
    let mut world = caller().draining().start();
    world.control_plane().add(&["b.com"]);
    eventually("both doors are in touch with the control plane", || {
        let log = world.control_plane.as_ref().unwrap().log();
        log.contains("xDS stream opened").then_some(())
    });
    world.control_plane().terminate();
    world.control_plane().restart();
    eventually("Envoy is in touch again", || {
        let log = world.control_plane.as_ref().unwrap().log();
        (log.matches("xDS stream opened").count() == 2).then_some(())
    });
    world.envoy.terminate();
    assert!(world.envoy.wait().success());
    eventually("the control plane has noticed", || {
        let log = world.control_plane.as_ref().unwrap().log();
        (log.matches("xDS stream closed").count() == 2).then_some(())
    });
    world.control_plane().terminate();
    let log = world.control_plane.as_ref().unwrap().log();
    let wrong: Vec<_> = log.lines().filter(|it| it.contains("WARN") || it.contains("ERROR")).collect();
    let envoy = world.envoy.log();
    let odd = envoy.lines().filter(|it| it.contains("[error]") || it.contains("[warning]"));
    // That is how Envoy says that it was told to stop.
    let odd: Vec<_> = odd.filter(|it| !it.contains("caught ENVOY_SIGTERM")).collect();
    assert!(wrong.is_empty() && odd.is_empty(), "{wrong:#?}\n{odd:#?}");
}
