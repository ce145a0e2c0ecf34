//! The decision's table, row by row, on real certificates.

use fedgate_policy::{Domain, Peer, Permit, Refusal, UnixTime, Verdict, identify};
use fedgate_tests::pki::{Authority, Leaf};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: UnixTime = UnixTime(0);

/// A peer with a certificate for these names, valid for an hour to either side of [`now`].
fn peer(names: &[&str]) -> Peer {
    let leaf = Leaf { not_before: -3600, not_after: 3600, ..Leaf::of(names) };
    Peer::new(Some(Authority::root("an authority").issue(&leaf).chain.as_bytes()), true)
}

fn now() -> UnixTime {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    UnixTime(i64::try_from(since.as_secs()).unwrap())
}

fn verdict(json: Value) -> Verdict {
    serde_json::from_value(json).unwrap()
}

fn hosts(domain: &str, hosts: &[&str]) -> Verdict {
    verdict(json!({"domain": domain, "hosts": hosts, "ttl_ms": 1}))
}

fn failure(label: &str) -> Verdict {
    verdict(json!({"domain": "a.com", "failure": {"label": label, "message": "because"}, "ttl_ms": 1}))
}

fn decide(
    peer: &Peer,
    origin: Option<&[u8]>,
    now: UnixTime,
    verdict: Option<&Verdict>,
) -> Result<Permit, Refusal> {
    identify(peer, origin, now)?.judge(verdict)
}

#[test]
#[allow(clippy::too_many_lines, reason = "the table is as long as the decision's")]
fn each_row_of_the_table_is_refused_as_it_says() {
    let good = peer(&["infra.a.com"]);
    let Peer::Known(certificate) = &good else { panic!("{good:?}") };
    let (_, not_after) = certificate.validity();
    let unreadable = Peer::new(Some(b"\x30\x00"), true);
    let untrusted = Peer::new(Some(b"\x30\x00"), false);
    let ok = hosts("a.com", &["infra.a.com"]);
    let origin = Some(&b"a.com"[..]);
    let expired = UnixTime(not_after.0 + 1);
    let table = [
        (
            &Peer::Anonymous,
            origin,
            now(),
            Some(ok.clone()),
            403,
            "no-client-certificate",
            "AuthenticationFailure",
        ),
        (
            &untrusted,
            origin,
            now(),
            Some(ok.clone()),
            403,
            "untrusted-certificate",
            "AuthenticationFailure",
        ),
        (
            &unreadable,
            origin,
            now(),
            Some(ok.clone()),
            403,
            "certificate-parse-error",
            "AuthenticationFailure",
        ),
        (&good, origin, expired, Some(ok.clone()), 403, "certificate-expired", "AuthenticationFailure"),
        (&good, origin, NOW, Some(ok.clone()), 403, "certificate-expired", "AuthenticationFailure"),
        (&good, None, now(), Some(ok.clone()), 403, "no-origin-domain", "ValidationError"),
        (&good, Some(b""), now(), Some(ok.clone()), 403, "no-origin-domain", "ValidationError"),
        (
            &good,
            Some(b"a.com,a.com"),
            now(),
            Some(ok.clone()),
            403,
            "domain-parse-error",
            "ValidationError",
        ),
        (
            &good,
            origin,
            now(),
            Some(failure("federation-denied")),
            400,
            "federation-denied",
            "ValidationError",
        ),
        (
            &good,
            origin,
            now(),
            Some(failure("invalid-domain")),
            422,
            "invalid-domain",
            "DiscoveryFailure",
        ),
        (
            &good,
            origin,
            now(),
            Some(failure("discovery-failure")),
            400,
            "discovery-failure",
            "DiscoveryFailure",
        ),
        (
            &good,
            origin,
            now(),
            Some(hosts("a.com", &["infra.b.com"])),
            403,
            "authentication-failure",
            "ValidationError",
        ),
        (&good, origin, now(), None, 503, "verdict-unavailable", "DiscoveryFailure"),
        // A verdict on another domain is none on this.
        (
            &good,
            origin,
            now(),
            Some(hosts("b.com", &["infra.a.com"])),
            503,
            "verdict-unavailable",
            "DiscoveryFailure",
        ),
    ];
    for (peer, origin, now, verdict, status, label, error) in table {
        let refusal = decide(peer, origin, now, verdict.as_ref()).unwrap_err();
        let body: Value = serde_json::from_str(&refusal.to_json(None)).unwrap();
        assert_eq!((refusal.status(), refusal.label()), (status, label));
        assert_eq!(
            (&body["code"], &body["label"], &body["error"]),
            (&json!(status), &json!(label), &json!(error))
        );
        assert_eq!(body["message"], refusal.to_string());
        assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    }
}

#[test]
fn the_first_condition_that_holds_decides() {
    let good = peer(&["infra.a.com"]);
    let denied = failure("federation-denied");
    let label = |peer: &Peer, origin: Option<&[u8]>, now| {
        decide(peer, origin, now, Some(&denied)).unwrap_err().label()
    };
    assert_eq!(label(&Peer::Anonymous, None, NOW), "no-client-certificate");
    assert_eq!(label(&Peer::new(Some(b"x"), false), None, NOW), "untrusted-certificate");
    assert_eq!(label(&Peer::new(Some(b"x"), true), None, NOW), "certificate-parse-error");
    assert_eq!(label(&good, None, NOW), "certificate-expired");
    assert_eq!(label(&good, None, now()), "no-origin-domain");
    assert_eq!(label(&good, Some(b"?"), now()), "domain-parse-error");
    assert_eq!(label(&good, Some(b"a.com"), now()), "federation-denied");
}

#[test]
fn a_permit_names_the_domain_in_its_one_spelling() {
    let verdict = hosts("a.com", &["other.example", "INFRA.a.com."]);
    let permit = decide(&peer(&["infra.A.com"]), Some(b"A.Com"), now(), Some(&verdict)).unwrap();
    assert_eq!(permit.origin, "a.com".parse::<Domain>().unwrap());
}

#[test]
fn a_refusal_says_what_was_expected_and_what_was_presented() {
    let verdict = hosts("a.com", &["one.a.com", "two.a.com"]);
    let many: Vec<String> = (0..20).map(|n| format!("h{n:02}.example")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let message = decide(&peer(&names), Some(b"a.com"), now(), Some(&verdict)).unwrap_err().to_string();
    assert!(message.contains("[one.a.com, two.a.com]"), "{message}");
    assert!(
        message.contains("h00.example") && message.ends_with("h07.example and 12 more]"),
        "{message}"
    );
}

#[test]
fn a_hostile_header_is_repeated_short_and_printable() {
    let header = [b"\"}\r\n\xff\0<script>".as_slice(), &[b'x'; 5000]].concat();
    let refusal = decide(&peer(&["infra.a.com"]), Some(&header), now(), None).unwrap_err();
    let json = refusal.to_json(None);
    assert!(json.len() < 600 && json.is_ascii() || json.contains('…'), "{json}");
    assert!(!json.contains('\n') && !json.contains('\0'), "{json}");
    let body: Value = serde_json::from_str(&json).unwrap();
    assert!(body["message"].as_str().unwrap().contains(r#"\"}\r\n\xff\x00"#), "{body}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_names_or_hosts(
        mut names in Just(vec!["infra.a.com", "*.b.com", "c.example", "x y", "infra.a.com"]).prop_shuffle(),
        mut targets in Just(vec!["infra.a.com", "z.example", "x.b.com"]).prop_shuffle(),
        kept_names in 1_usize..5,
        kept_targets in 1_usize..3,
    ) {
        names.truncate(kept_names);
        targets.truncate(kept_targets);
        let answer = |names: &[&str], targets: &[&str]| {
            decide(&peer(names), Some(b"a.com"), now(), Some(&hosts("a.com", targets)))
        };
        let one = answer(&names, &targets);
        names.reverse();
        targets.reverse();
        prop_assert_eq!(one, answer(&names, &targets));
    }

    #[test]
    fn no_header_makes_the_decision_panic_or_pass(header in proptest::collection::vec(any::<u8>(), 0..80)) {
        thread_local!(static PEER: Peer = peer(&["infra.a.com"]));
        PEER.with(|peer| {
            let verdict = hosts("a.com", &["infra.a.com"]);
            let permitted = decide(peer, Some(&header), now(), Some(&verdict)).is_ok();
            prop_assert_eq!(permitted, header.eq_ignore_ascii_case(b"a.com"));
            Ok(())
        })?;
    }
}
