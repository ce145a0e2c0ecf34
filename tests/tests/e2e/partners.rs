//! How we stand with partners: what filters report, as operators see it. Reports are sent as a filter sends them.

use std::net::SocketAddr;

use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN};
use fedgate_tests::dns::{service, srv};
use fedgate_tests::peer::Peer;
use fedgate_tests::process::{eventually, http};
use serde_json::{Value, json};

use super::egress::{announce, caller, list};

/// The lines of a terminal.
const SCREEN: usize = 24;

/// Sends a report of one worker; the status of the answer.
fn report(control_plane: &ControlPlane, role: &str, lines: &[Value]) -> u16 {
    let report = json!({
        "worker": "of-a-test", "role": role, "version": "9.9.9",
        "feed": {"heard_ms": 10, "whole": true, "entries": 1}, "lines": lines,
    });
    let request = http()
        .post(format!("{}/v1/reports", control_plane.verdicts_url()))
        .header("authorization", format!("Bearer {FILTER_TOKEN}"));
    request.send_json(report).unwrap().status().as_u16()
}

/// A line about a domain, of this moment.
fn line(domain: &str, label: &str) -> Value {
    json!({"domain": domain, "label": label, "count": 1, "first_ms": 0, "last_ms": 0})
}

fn presenting(mut line: Value, names: &str, not_after: i64) -> Value {
    line["certificate"] =
        json!({"names": names, "issuer": "CN=Root", "serial": "0a1b", "not_after": not_after});
    line
}

/// The first screen of `fedgate status`, and whether anything is in trouble.
fn screen(control_plane: &ControlPlane) -> (String, bool) {
    let (text, is_trouble) = match control_plane.cli(&["status"]) {
        Ok(text) => (text, false),
        Err(text) => {
            assert!(text.starts_with("exit status: 1\n"), "{text}");
            (text.split_once('\n').unwrap().1.to_owned(), true)
        }
    };
    (text.lines().take(SCREEN).collect::<Vec<_>>().join("\n"), is_trouble)
}

/// Whether one line of the first screen has all these words.
#[track_caller]
fn assert_named(control_plane: &ControlPlane, words: &[&str]) {
    let (screen, _) = screen(control_plane);
    let is_named = screen.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_named, "no line has {words:?}:\n{screen}");
}

#[test]
fn what_filters_report_is_named_on_one_screen_until_it_is_over() {
    let records = ["a.com", "b.com", "d.com"].map(|domain| srv(domain, 3600, "infra.x.com."));
    let world = World::builder().records(records).allow(&["a.com", "b.com", "c.com", "d.com"]).egress();
    let mut world = world.start();
    let control_plane = world.control_plane.take().unwrap();
    control_plane.cli(&["domain", "remove", "c.com"]).unwrap();
    eventually("all is well", || {
        let (screen, is_trouble) = screen(&control_plane);
        (!is_trouble && screen.ends_with("all is well")).then_some(())
    });

    let mismatch = presenting(line("a.com", "authentication-failure"), "DNS:other.a.com", 1_900_000_000);
    let ended = presenting(line("d.com", "permitted"), "DNS:infra.x.com", 1_500_000_000);
    let knock = presenting(line("z.com", "federation-denied"), "DNS:infra.z.com", 1_900_000_000);
    assert_eq!(report(&control_plane, "ingress", &[mismatch, ended, knock]), 200);
    let mut down = line("b.com", "federation-connection-refused");
    down["upstream"] = json!("192.0.2.7:443");
    assert_eq!(report(&control_plane, "egress", &[down]), 200);

    for words in [
        &["a.com refused", "authentication-failure", "DNS:other.a.com", "infra.x.com", "explain a.com"]
            [..],
        &["b.com unreachable", "federation-connection-refused", "192.0.2.7:443", "fedgate check b.com"],
        &["certificate", "d.com", "ended 2017-07-14"],
        &["z.com", "not on our list", "DNS:infra.z.com", "fedgate domain add z.com"],
    ] {
        assert_named(&control_plane, words);
    }
    assert!(screen(&control_plane).1);
    let refused = control_plane.cli(&["partner", "list", "--state", "refused"]).unwrap();
    assert!(refused.starts_with("a.com  refused") && refused.lines().count() == 1, "{refused}");
    let shown = control_plane.cli(&["partner", "show", "z.com"]).unwrap();
    assert!(shown.contains("not-listed") && shown.contains("DNS:infra.z.com"), "{shown}");

    // Trouble is over once all is well again.
    control_plane.cli(&["domain", "add", "z.com"]).unwrap();
    report(&control_plane, "egress", &[line("b.com", "permitted")]);
    let renewed = presenting(line("d.com", "permitted"), "DNS:infra.x.com", 4_000_000_000);
    report(&control_plane, "ingress", &[line("a.com", "permitted"), renewed]);
    control_plane.cli(&["domain", "remove", "z.com"]).unwrap();
    let (screen, _) = screen(&control_plane);
    for domain in ["a.com", "b.com", "d.com"] {
        assert!(!screen.contains(domain), "{screen}");
    }
}

#[test]
fn who_only_uses_a_partners_name_changes_nothing_that_is_known_of_it() {
    let mut world =
        World::builder().records([srv("a.com", 3600, "infra.x.com.")]).allow(&["a.com"]).start();
    let control_plane = world.control_plane.take().unwrap();
    let own = presenting(line("a.com", "permitted"), "DNS:infra.x.com", 4_000_000_000);
    report(&control_plane, "ingress", &[own]);
    let other = presenting(line("a.com", "authentication-failure"), "DNS:z.com", 1_500_000_000);
    report(&control_plane, "ingress", &[other]);
    assert_named(&control_plane, &["- ", "a.com refused", "DNS:z.com", "or somebody else's"]);
    let shown = control_plane.cli(&["status", "--json"]).unwrap_or_else(|text| text);
    assert!(!shown.contains("partner-certificate-ended"), "{shown}");
    assert!(!shown.contains("\"severity\": \"trouble\",\n      \"domain\": \"a.com\""), "{shown}");
    let shown = control_plane.cli(&["partner", "show", "a.com"]).unwrap();
    assert!(shown.contains("\ncertificate DNS:infra.x.com\n"), "{shown}");
}

#[test]
fn a_partner_that_is_tried_anew_is_no_trouble_until_it_is_seen_again() {
    const PORT: u16 = 7001;
    let world = caller().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let at = SocketAddr::from((world.ip(), PORT));
    announce(&world, "infra.b.com", 10, 10, at);
    list(&world);
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.label(), "federation-connection-refused");
    let is_named = || screen(control_plane).0.contains("b.com unreachable");
    eventually("it is named", || is_named().then_some(()));
    control_plane.cli(&["partner", "retry", "b.com"]).unwrap();
    assert!(is_named(), "nobody opens");
    let identity = world.identity(&["infra.b.com"]);
    let open = Peer::echo(at, "infra.b.com", &identity, world.authority.pem());
    let told = control_plane.cli(&["partner", "retry", "b.com"]).unwrap();
    assert!(told.contains(&format!("opens       {at}")), "{told}");
    assert!(!is_named(), "it opens");
    let shown = control_plane.cli(&["partner", "show", "b.com"]).unwrap();
    assert!(shown.contains("federation-connection-refused"), "{shown}");
    drop(open);
    world.local().call("b.com", "search-users").unwrap();
    eventually("it is seen again", || is_named().then_some(()));
}

#[test]
fn a_flood_of_unlisted_domains_takes_nothing_from_partners() {
    let mut world =
        World::builder().records([srv("a.com", 3600, "infra.x.com.")]).allow(&["a.com"]).start();
    let control_plane = world.control_plane.take().unwrap();
    let mismatch = presenting(line("a.com", "authentication-failure"), "DNS:other.a.com", 1_900_000_000);
    report(&control_plane, "ingress", &[mismatch]);
    let often: Vec<_> = (0..20).map(|_| line("often.com", "federation-denied")).collect();
    report(&control_plane, "ingress", &often);
    for part in 0..100 {
        let lines: Vec<_> = (0..1000)
            .map(|n| {
                let names = format!("DNS:{}", "x".repeat(300));
                presenting(line(&format!("d{part}-{n}.com"), "federation-denied"), &names, 0)
            })
            .collect();
        assert_eq!(report(&control_plane, "ingress", &lines), 200);
    }
    assert_named(&control_plane, &["a.com refused", "authentication-failure"]);
    let shown = control_plane.cli(&["partner", "show", "often.com"]).unwrap();
    assert!(shown.contains("20 times"), "{shown}");
    let (screen, _) = screen(&control_plane);
    assert!(screen.lines().count() <= SCREEN && screen.contains("more like this"), "{screen}");
    let metrics = http()
        .get(format!("{}/metrics", control_plane.url()))
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .call()
        .and_then(|mut answer| answer.body_mut().read_to_string())
        .unwrap();
    let state = "fedgate_partner_state{domain=\"a.com\",state=\"refused\"} 1";
    assert!(metrics.contains(state) && !metrics.contains("d0-0.com"), "{metrics}");
    let refusals = "fedgate_reported_refusals_total{label=\"federation-denied\"} 100020";
    assert!(metrics.contains(refusals), "{metrics}");
}

#[test]
fn an_envoy_that_is_gone_is_missed() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane.take().unwrap();
    let none = "no Envoy is connected";
    eventually("it is there", || (!screen(&control_plane).0.contains(none)).then_some(()));
    world.envoy.terminate();
    world.envoy.wait();
    eventually("it is missed", || screen(&control_plane).0.contains(none).then_some(()));
}

#[test]
fn a_partner_that_is_tried_anew_is_tried_where_nobody_had_opened() {
    const PORT: u16 = 7001;
    let (world, other) = (caller().start(), Address::claim());
    let control_plane = world.control_plane.as_ref().unwrap();
    let serve = |ip| {
        let identity = world.identity(&["infra.b.com"]);
        Peer::echo(SocketAddr::from((ip, PORT)), "infra.b.com", &identity, world.authority.pem())
    };
    let _open = serve(world.ip());
    world.dns.update(&[
        &format!("update add {} 60 SRV 10 5 {PORT} infra.b.com.", service("b.com")),
        &format!("update add infra.b.com. 60 A {}", world.ip()),
        &format!("update add infra.b.com. 60 A {}", other.ip()),
    ]);
    list(&world);
    assert_eq!(world.local().call("b.com", "search-users").unwrap().status, 200);
    // With its first question it has said who it is.
    let status = control_plane.cli(&["status", "--json"]).unwrap_or_else(|text| text);
    assert!(status.contains(", envoy 1."), "{status}");
    let silent = format!("tried last, because nobody opened there: {}", other.ip());
    let is_silent = || control_plane.cli(&["domain", "show", "b.com"]).unwrap().contains(&silent);
    eventually("nobody opens at the other address", || is_silent().then_some(()));
    let _opened = serve(other.ip());
    let told = control_plane.cli(&["partner", "retry", "b.com"]).unwrap();
    assert!(told.contains("infra.b.com"), "{told}");
    assert!(told.contains(&format!("tried again {}:{PORT}", other.ip())), "{told}");
    assert!(!is_silent());
    let unlisted = control_plane.cli(&["partner", "retry", "nobody.com"]).unwrap_err();
    assert!(unlisted.contains("not allowed"), "{unlisted}");
}
