//! Against the real thing: Envoy with the filter, and the control plane.

use fedgate_tests::World;
use fedgate_tests::dns::srv;

use super::site::{Told, check};
use crate::slips::fedgate;

fn world(allowed: &[&str]) -> World {
    world_with(&[&srv("a.com", 600, "infra.a.com.")], allowed)
}

fn world_with(records: &[&str], allowed: &[&str]) -> World {
    let world = World::builder().records(records.iter().copied()).allow(allowed).start();
    world.announce(&world.dns);
    world
}

/// What a.com is told of b.com.
fn told(world: &World) -> Told {
    let words = ours(world);
    check("b.com", world.dns.address(), &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What a.com says of itself.
fn ours(world: &World) -> Vec<String> {
    let ours = world.identity(&["infra.a.com"]);
    let file = |name: &str, text: &str| {
        let path = world.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let [certificate, key, trust] = [
        file("ours.pem", &ours.chain),
        file("ours.key", &ours.key),
        file("trust.pem", world.authority.pem()),
    ];
    let words =
        ["--own-domain", "a.com", "--certificate", &certificate, "--key", &key, "--trust", &trust];
    words.map(str::to_owned).into()
}

#[test]
fn nothing_above_info_is_found_on_a_correct_pair() {
    let world = world(&["a.com"]);
    let told = told(&world);
    told.is(&[]);
    assert!(told.output.status.success());
    for claim in [
        "it answers a call of ours",
        "it refuses who has none",
        "it refuses one that no authority has signed",
        "it leads to a trusted authority",
        "its clock goes as ours does",
    ] {
        assert_eq!(told.outcome(claim)["outcome"], "passed", "{claim}: {:#}", told.report);
    }
}

#[test]
fn people_are_told_of_each_thing_as_it_is_looked_at_and_of_all_at_the_end() {
    let world = world(&["a.com"]);
    let dns = world.dns.address().to_string();
    let mut command = fedgate(&["check", "b.com", "--dns-server", &dns, "--allow-private-addresses"]);
    let output = command.args(ours(&world)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let address = world.envoy.address();
    for beginning in [
        "ok       our certificate: it names the host: infra.a.com is among DNS:infra.a.com",
        "ok       DNS: an SRV record says who speaks for the domain: 10 5 8443 infra.b.com",
        "info     DNS: the records are of use: port-unusual",
        &format!("ok       {address}: it shakes hands: TLS 1.3, X25519MLKEM768, in "),
        &format!("ok       {address}: it answers a call of ours: 200 in "),
        "b.com: 0 errors, 0 warnings, ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(beginning)), "{beginning}\n{text}");
    }
}

#[test]
fn that_we_are_not_on_their_list_is_found() {
    let told = told(&world(&["c.com"]));
    told.is(&["not-on-their-list"]);
    assert_eq!(told.output.status.code(), Some(1));
}

#[test]
fn that_they_do_not_see_our_srv_record_is_found() {
    told(&world_with(&[], &["a.com"])).is(&["own-srv-missing", "our-srv-unseen"]);
}
