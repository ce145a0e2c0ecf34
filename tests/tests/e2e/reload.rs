//! The configuration, read anew while the control plane serves; and signals, none of which ends it by accident.

use fedgate_tests::World;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::process::{eventually, http};
use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::egress::caller;

const ANOTHER_TOKEN: &str = "another-token-of-a-test-world";

fn sha256(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// The status with which the admin API answers who shows this token.
fn status(control_plane: &ControlPlane, token: &str) -> u16 {
    let request = http().get(format!("{}/v1/strategy", control_plane.url()));
    request.header("authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
}

#[test]
fn on_a_hangup_tokens_are_read_anew_and_nobody_else_notices() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    let process = control_plane.id();
    control_plane.configure(&sha256(VIEWER_TOKEN), &sha256(ANOTHER_TOKEN));
    assert_eq!((status(control_plane, VIEWER_TOKEN), status(control_plane, ANOTHER_TOKEN)), (200, 401));
    control_plane.process().signal(Signal::HUP);
    eventually("the new token counts", || (status(control_plane, ANOTHER_TOKEN) == 200).then_some(()));
    assert_eq!((status(control_plane, VIEWER_TOKEN), status(control_plane, ADMIN_TOKEN)), (401, 200));
    assert_eq!(control_plane.id(), process);
    let log = control_plane.log();
    assert!(log.contains("configuration read anew by=\"SIGHUP\" applied=\"token\""), "{log}");
}

#[test]
fn what_is_wrong_is_told_and_all_of_the_old_stays() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    control_plane.configure(&sha256(VIEWER_TOKEN), &sha256(ANOTHER_TOKEN));
    control_plane.configure("[discovery]\n", "[discovery]\nmin_ttl = \"soon\"\ncolour = \"red\"\n");
    let refused = control_plane.cli(&["reload", "--json"]).unwrap_err();
    assert!(refused.contains("exit status: 1"), "{refused}");
    let problem: Value = serde_json::from_str(refused.lines().last().unwrap()).unwrap();
    assert_eq!(problem["status"], 422);
    let errors = problem["errors"].to_string();
    assert!(
        errors.contains("discovery.min_ttl: 'soon'") && errors.contains("discovery.colour"),
        "{errors}"
    );
    let refused = control_plane.cli(&["reload"]).unwrap_err();
    assert!(refused.contains("\n  - discovery.min_ttl: 'soon'"), "{refused}");

    control_plane.process().signal(Signal::HUP);
    eventually("the log has each error", || {
        let log = control_plane.log();
        let told = |by: &str, what: &str| {
            log.lines().any(|line| line.contains(&format!("by=\"{by}\"")) && line.contains(what))
        };
        (told("SIGHUP", "'soon'") && told("SIGHUP", "colour") && told("admin", "colour")).then_some(())
    });
    assert_eq!((status(control_plane, VIEWER_TOKEN), status(control_plane, ANOTHER_TOKEN)), (200, 401));

    // Not even a file that is gone, or unreadable nonsense, ends it.
    for next in ["[[", "\0\u{fffd}"] {
        let file = control_plane.dir().join("fedgate.toml");
        std::fs::write(&file, next).unwrap();
        assert!(control_plane.cli(&["reload"]).unwrap_err().contains("config: is not TOML"));
        std::fs::remove_file(&file).unwrap();
        assert!(control_plane.cli(&["reload"]).unwrap_err().contains("config: cannot read"));
    }
    assert_eq!(status(control_plane, VIEWER_TOKEN), 200);
}

#[test]
fn a_reload_says_what_counts_now_and_what_after_a_restart() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    let reload = |control_plane: &ControlPlane| control_plane.cli(&["reload"]).unwrap();
    assert_eq!(reload(control_plane), "applied     nothing has changed that can be\n");
    control_plane.configure("[egress]\n", "[egress]\nconnect_timeout = \"5s\"\n");
    control_plane
        .configure("[discovery]\n", "[log]\nfilter = \"error\"\n[discovery]\nmin_ttl = \"7s\"\n");
    let told = reload(control_plane);
    let expected = "applied     log.filter\nrestart for discovery.min_ttl, egress.connect_timeout\n";
    assert_eq!(told, expected);
    control_plane.add(&["a.com"]);
    control_plane.configure("filter = \"error\"", "filter = \"info\"");
    let told: Value = serde_json::from_str(&control_plane.cli(&["reload", "--json"]).unwrap()).unwrap();
    assert_eq!(told["applied"], serde_json::json!(["log.filter"]));
    assert_eq!(told["needs_restart"].as_array().unwrap().len(), 2, "until then it is said each time");
    control_plane.add(&["b.com"]);
    let log = control_plane.log();
    assert!(!log.contains("domain=a.com") && log.contains("domain=b.com"), "{log}");
    control_plane.restart();
    assert_eq!(reload(control_plane), "applied     nothing has changed that can be\n");
}

#[test]
fn only_an_administrator_has_it_read_anew() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    for (token, expected) in [("", 401), (VIEWER_TOKEN, 403), (FILTER_TOKEN, 403), (ADMIN_TOKEN, 200)] {
        let request = http().post(format!("{}/v1/reload", control_plane.url()));
        let answer = request.header("authorization", format!("Bearer {token}")).send_empty().unwrap();
        assert_eq!(answer.status(), expected, "{token}");
    }
}

#[test]
fn a_digest_under_two_names_is_refused_at_a_reload_and_at_start() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    control_plane.configure(&sha256(VIEWER_TOKEN), &sha256(ADMIN_TOKEN).to_uppercase());
    let refused = control_plane.cli(&["reload"]).unwrap_err();
    assert!(refused.contains("'admin' and 'viewer' have the same sha256"), "{refused}");
    assert_eq!(status(control_plane, VIEWER_TOKEN), 200);
    let dir = control_plane.dir().to_owned();
    control_plane.terminate();
    let mut serve = std::process::Command::new(fedgate_tests::artifacts::fedgate());
    serve.current_dir(dir).args(["serve", "--config", "fedgate.toml"]);
    let refused = fedgate_tests::process::run(&mut serve).unwrap_err();
    assert!(refused.contains("exit status: 2"), "{refused}");
    assert!(refused.contains("'admin' and 'viewer' have the same sha256"), "{refused}");
}

#[test]
fn a_stream_ends_with_the_token_that_it_was_opened_with() {
    let mut world = caller().start();
    let control_plane = world.control_plane();
    eventually("Envoy has its stream", || {
        control_plane.log().contains("xDS stream opened by=filter").then_some(())
    });
    control_plane.configure(&sha256(VIEWER_TOKEN), &sha256(ANOTHER_TOKEN));
    control_plane.cli(&["reload"]).unwrap();
    assert!(!control_plane.log().contains("xDS stream closed"), "it is another's token");
    control_plane.configure(&sha256(FILTER_TOKEN), &sha256("a token that nobody has"));
    control_plane.cli(&["reload"]).unwrap();
    eventually("the stream ends", || {
        control_plane.log().contains("xDS stream closed by=filter").then_some(())
    });
    // Envoy writes a status's message as it came, percent-encoded.
    eventually("Envoy is told why", || {
        world.envoy.log().contains("closed: 16, we%20do%20not%20know%20this%20token").then_some(())
    });
}

#[test]
fn no_signal_ends_it_but_those_that_ask_it_to_stop() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    let others = [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::IO, Signal::POWER, Signal::XFSZ];
    for signal in others {
        control_plane.process().signal(signal);
    }
    control_plane.process().signal(Signal::PIPE);
    for name in ["USR1", "USR2", "ALRM", "IO", "PWR", "XFSZ"] {
        eventually("the signal is told", || {
            let told = format!("a signal that means nothing to us signal=\"SIG{name}\"");
            control_plane.log().contains(&told).then_some(())
        });
    }
    assert_eq!(status(control_plane, ADMIN_TOKEN), 200);
    control_plane.process().signal(Signal::QUIT);
    let ended = control_plane.process().wait();
    assert!(ended.success(), "{ended}");
}

#[test]
fn no_signal_leaves_an_envoy_without_its_keeper() {
    let mut world = World::builder().draining().start();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
        world.envoy.signal(signal);
    }
    for word in ["SIGHUP means nothing", "SIGUSR2 means nothing", "SIGUSR1"] {
        eventually("the signals are told", || world.envoy.log().contains(word).then_some(()));
    }
    world.envoy.assert_vm_alive();
    world.envoy.signal(Signal::QUIT);
    let ended = world.envoy.wait();
    assert!(ended.success(), "{ended}: {}", world.envoy.log());
}
