//! What Envoy's workers see, told to the control plane: reports as the filter sends them, and the door for them.

use std::net::SocketAddr;

use fedgate_tests::World;
use fedgate_tests::caller::Answer;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use serde_json::{Value, json};

use super::claim::origin;
use super::egress::{announce, caller, list};

/// What is known of a partner; null where there is nothing.
fn shown(control_plane: &ControlPlane, domain: &str) -> Value {
    let text = control_plane.cli(&["partner", "show", domain, "--json"]).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// What is told of a domain's requests or calls, once something is that came to this end.
fn seen(control_plane: &ControlPlane, domain: &str, role: &str, label: &str) -> Value {
    eventually(&format!("{label} of {domain} is told"), || {
        let shown = shown(control_plane, domain);
        let mut ends = shown["seen"].as_array()?.iter();
        ends.find(|end| end["role"] == role && end["label"] == label).cloned()
    })
}

fn ask(world: &World, names: &[&str], domain: &str) -> Answer {
    let caller = world.caller(&world.identity(names));
    world.run(caller.call("reports", &[origin(domain)])).unwrap()
}

#[track_caller]
fn assert_status(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.json());
}

#[test]
fn what_the_ingress_sees_is_told_and_kept_while_the_control_plane_is_away() {
    let mut world =
        World::builder().records([srv("a.com", 3600, "infra.a.com.")]).allow(&["a.com"]).start();
    assert_status(&ask(&world, &["infra.a.com"], "a.com"), 200);
    assert_status(&ask(&world, &["other.a.com"], "a.com"), 403);
    assert_status(&ask(&world, &["infra.z.com"], "z.com"), 400);
    let control_plane = world.control_plane();
    for (domain, label, names) in [
        ("a.com", "permitted", "DNS:infra.a.com"),
        ("a.com", "authentication-failure", "DNS:other.a.com"),
        ("z.com", "federation-denied", "DNS:infra.z.com"),
    ] {
        let end = seen(control_plane, domain, "ingress", label);
        assert_eq!(end["count"], 1, "{end}");
        assert!(end["presented"].as_str().unwrap().contains(names), "{end}");
    }
    let certificate = &shown(control_plane, "a.com")["certificate"];
    assert!(certificate["not_after"].as_str().unwrap().starts_with("20"), "{certificate}");

    control_plane.kill();
    assert_status(&ask(&world, &["infra.z.com"], "z.com"), 400);
    world.control_plane().restart();
    seen(world.control_plane(), "z.com", "ingress", "federation-denied");
}

#[test]
fn a_filter_that_is_not_to_report_decides_all_the_same_and_tells_nothing() {
    let key = "\"max_staleness_s\": 900,";
    let world = World::builder()
        .egress()
        .records([srv("a.com", 3600, "infra.a.com.")])
        .allow(&["a.com"])
        // That of the ingress alone: the egress tells of its calls.
        .edit(key, &format!("{key} \"reports\": false,"))
        .start();
    assert_status(&ask(&world, &["infra.a.com"], "a.com"), 200);
    assert_status(&ask(&world, &["other.a.com"], "a.com"), 403);
    assert_status(&ask(&world, &["infra.z.com"], "z.com"), 400);
    let control_plane = world.control_plane.as_ref().unwrap();
    // Four reports in turn: the ingress has had the time for two, at least.
    for count in 1..=4 {
        assert_status(&world.local().call("y.com", "search-users").unwrap(), 400);
        eventually("the egress tells of one more", || {
            (seen(control_plane, "y.com", "egress", "federation-denied")["count"] == count).then_some(())
        });
    }
    for domain in ["a.com", "z.com"] {
        let shown = shown(control_plane, domain);
        assert!(shown["seen"].as_array().is_none_or(Vec::is_empty), "{shown}");
        assert!(shown["certificate"].is_null(), "{shown}");
    }
    let status: Value =
        serde_json::from_str(&control_plane.cli(&["status", "--json"]).unwrap()).unwrap();
    let filters = status["envoys"]["filters"].as_array().unwrap();
    assert_eq!(filters.iter().map(|it| &it["role"]).collect::<Vec<_>>(), ["egress"], "{status}");
}

#[test]
fn a_call_that_fails_is_told_with_the_address_that_it_went_to() {
    let world = caller().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let nobody = SocketAddr::from((world.ip(), 7001));
    announce(&world, "infra.b.com", 10, 10, nobody);
    list(&world);
    assert_eq!(world.local().call("b.com", "search-users").unwrap().status, 521);
    let end = seen(control_plane, "b.com", "egress", "federation-connection-refused");
    assert_eq!(end["upstream"], nobody.to_string(), "{end}");
}

#[test]
fn the_door_takes_what_a_filter_says_and_nothing_else() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    let line = json!({"domain": "a.com", "label": "permitted", "count": 1, "first_ms": 0, "last_ms": 0});
    let report = |change: &dyn Fn(&mut Value)| {
        let mut report = json!({"worker": "w", "role": "ingress", "version": "1",
            "feed": {"whole": true, "entries": 1}, "lines": [line]});
        change(&mut report);
        report.to_string()
    };
    let send = |token: &str, body: &str| {
        let request = http()
            .post(format!("{}/v1/reports", control_plane.verdicts_url()))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        request.send(body).unwrap().status().as_u16()
    };
    assert_eq!(send(FILTER_TOKEN, &report(&|_| {})), 200);
    assert_eq!(send("nobody", &report(&|_| {})), 401);
    assert_eq!(send(ADMIN_TOKEN, &report(&|_| {})), 403);
    assert_eq!(send(FILTER_TOKEN, "{"), 400);
    assert_eq!(send(FILTER_TOKEN, &" ".repeat(2 << 20)), 413);
    for (place, value) in [
        ("/role", json!("lobby")),
        ("/worker", json!("\u{1b}[2J")),
        ("/lines/0/label", json!("made-up")),
        ("/lines/0/domain", json!("a..com")),
        ("/lines", Value::from(vec![line.clone(); 1_001])),
    ] {
        let body = report(&|report| *report.pointer_mut(place).unwrap() = value.clone());
        let status = send(FILTER_TOKEN, &body);
        assert!((400..=422).contains(&status), "{place}: {status}");
    }
}
