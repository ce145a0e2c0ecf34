//! The access log's line of a refusal: all that it takes to see the cause, in legible text.

use fedgate_tests::pki::{Leaf, San};
use fedgate_tests::{World, process::eventually};
use serde_json::Value;

use crate::claim::origin;
use crate::egress::caller;
use crate::shared;

const CERTIFICATE: [&str; 3] =
    ["peer_certificate_subject", "peer_certificate_issuer", "peer_certificate_names"];

/// The line of a request that shows this certificate.
fn line(world: &World, leaf: &Leaf, rpc: &str, domain: &[u8]) -> (Value, String) {
    let caller = world.caller(&world.authority.issue(leaf));
    let answer = world.run(caller.call(rpc, &[("wire-origin-domain", domain)])).unwrap();
    (world.envoy.access_log(rpc), answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_refusals_line_has_its_message_and_both_sides() {
    let world = shared();
    let leaf = Leaf {
        common_name: "their federator".into(),
        ..Leaf::of(["fed.evil.example", "*.evil.example"])
    };
    let (line, message) = line(&world, &leaf, "line-mismatch", b"a.com");
    assert_eq!(line["refusal"], "authentication-failure");
    assert_eq!(line["message"], message.as_str());
    assert!(message.contains("infra.a.com") && message.contains("fed.evil.example"), "{message}");
    assert_eq!(line["origin_domain"], "a.com");
    assert_eq!(line["targets"], "infra.a.com");
    assert_eq!(line["peer_certificate_subject"], "CN=their federator");
    assert_eq!(line["peer_certificate_issuer"], "CN=the authority that all backends trust");
    assert_eq!(line["peer_certificate_names"], "DNS:fed.evil.example, DNS:*.evil.example");
}

#[test]
fn a_line_tells_the_certificate_whatever_the_refusal_is() {
    let world = shared();
    for (rpc, domain, label) in [
        ("line-denied", &b"unlisted.com"[..], "federation-denied"),
        ("line-domain", b"a.com,b.com", "domain-parse-error"),
        ("line-empty", b"", "no-origin-domain"),
    ] {
        let (line, message) = line(&world, &Leaf::of(["infra.a.com"]), rpc, domain);
        assert_eq!((&line["refusal"], &line["message"]), (&label.into(), &message.into()));
        assert_eq!(line["peer_certificate_names"], "DNS:infra.a.com");
        assert!(line["targets"].is_null());
    }
}

#[test]
fn only_a_refusals_line_tells_so_much() {
    let world = shared();
    let (line, _) = line(&world, &Leaf::of(["infra.a.com"]), "line-permit", b"a.com");
    for field in ["refusal", "message", "targets"].iter().chain(&CERTIFICATE) {
        assert!(line[field].is_null(), "{field}: {line}");
    }
}

#[test]
fn a_stranger_has_no_certificate_to_tell_of() {
    let world = shared();
    let answer = world.run(world.anonymous().call("line-anonymous", &[origin("a.com")]));
    assert_eq!(answer.unwrap().status, 403);
    let line = world.envoy.access_log("line-anonymous");
    assert_eq!(line["refusal"], "no-client-certificate");
    for field in CERTIFICATE {
        assert!(line[field].is_null(), "{field}: {line}");
    }
}

#[test]
fn nothing_that_a_stranger_writes_becomes_a_line_of_its_own_or_turns_one_around() {
    let world = shared();
    let leaf = Leaf {
        common_name: "\u{202e}moc.a\"}\n{\"refusal\":\"forged\"".into(),
        names: vec![
            San::dns("a\r\n{\"log\":\"request\",\"refusal\":\"forged\"}"),
            San::dns("\u{202e}x\u{1b}[2J"),
            San::dns(b"\xff\xfe"),
            San::dns("y".repeat(9000)),
        ],
        ..Leaf::default()
    };
    let (line, _) = line(&world, &leaf, "line-hostile", b"\xff\xe2\x80\xaea.com");
    assert_eq!(line["refusal"], "domain-parse-error");
    let text = world.envoy.log();
    let raw = text.lines().find(|line| line.contains("line-hostile")).unwrap();
    assert!(raw.len() < 3000, "{raw}");
    assert!(!text.lines().any(|line| line.starts_with("{\"log\":\"request\",\"refusal\":\"forged\"")));
    for field in CERTIFICATE.iter().chain(&["message", "origin_domain"]) {
        let value = line[field].as_str().unwrap();
        let deceives = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!value.contains(deceives) || *field == "origin_domain", "{field}: {value:?}");
    }
}

#[test]
fn a_certificate_of_three_thousand_names_makes_a_line_of_bounded_length() {
    let world = shared();
    let leaf = Leaf::of((0..3000).map(|n| format!("h{n}.evil.example")));
    let (line, _) = line(&world, &leaf, "line-many", b"a.com");
    let names = line["peer_certificate_names"].as_str().unwrap();
    assert!(names.ends_with(" and 2984 more") && names.len() < 2000, "{names}");
}

#[test]
fn a_failed_calls_line_has_its_message() {
    let world = caller().start();
    let answer = world.local().call("unlisted.com", "line-call").unwrap();
    let line = eventually("the call is logged", || {
        let log = world.envoy.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["log"] == "call" && !line["refusal"].is_null())
    });
    assert_eq!(line["refusal"], "federation-denied");
    assert_eq!(line["message"], answer.json()["message"]);
}
