//! Client certificates, good and bad, from a peer that claims to speak for `a.com`.
//!
//! `a.com` is served by `infra.a.com`, and `deep.com` by `x.y.infra.deep.com`.

use std::time::{Duration, Instant};

use fedgate_tests::caller::Caller;
use fedgate_tests::pki::{Authority, Identity, Key, Leaf, San};
use fedgate_tests::world::accept_untrusted;
use fedgate_tests::{World, artifacts};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::version::{TLS12, TLS13};

use crate::claim::Expect::{Fail, Permit, Refuse};
use crate::claim::{Expect, assert_expected, check, origin};
use crate::shared;

const MISMATCH: Expect = Refuse(403, "authentication-failure");
const GOOD: Expect = Permit("a.com");

fn check_identity(world: &World, name: &str, identity: &Identity, expect: Expect) {
    check(world, &world.caller(identity), name, &[origin("a.com")], expect);
}

/// One test for each certificate of the trusted authority.
macro_rules! certificates {
    ($($name:ident: $leaf:expr => $expect:expr;)*) => {$(
        #[test]
        fn $name() {
            let world = shared();
            check_identity(&world, stringify!($name), &world.authority.issue(&$leaf), $expect);
        }
    )*};
}

certificates! {
    the_infrastructure_domain_passes: Leaf::of(["infra.a.com"]) => GOOD;
    another_host_of_the_domain_does_not: Leaf::of(["other.a.com"]) => MISMATCH;
    the_backend_domain_itself_does_not: Leaf::of(["a.com"]) => MISMATCH;
    expired_before_the_handshake: Leaf { not_after: -60, ..Leaf::of(["infra.a.com"]) } => Fail;
    not_yet_valid: Leaf { not_before: 3600, ..Leaf::of(["infra.a.com"]) } => Fail;
    only_the_server_purpose: Leaf { purposes: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Leaf::of(["infra.a.com"]) } => Fail;
    only_the_client_purpose: Leaf { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Leaf::of(["infra.a.com"]) } => GOOD;
    no_purposes_means_any: Leaf { purposes: vec![], ..Leaf::of(["infra.a.com"]) } => GOOD;
    no_names_but_a_common_name: Leaf { common_name: "infra.a.com".into(), ..Leaf::default() } => MISMATCH;
    the_second_of_two_names: Leaf::of(["fed.example", "infra.a.com"]) => GOOD;
    the_fiftieth_name: Leaf::of((0..49).map(|n| format!("h{n}.example")).chain(["infra.a.com".into()])) => GOOD;
    a_name_in_upper_case: Leaf::of(["INFRA.A.COM"]) => GOOD;
    a_wildcard_for_one_label: Leaf::of(["*.a.com"]) => GOOD;
    a_wildcard_stands_for_no_fewer_labels: Leaf::of(["*.infra.a.com"]) => MISMATCH;
    a_bare_wildcard: Leaf::of(["*"]) => MISMATCH;
    a_wildcard_for_a_top_level_domain: Leaf::of(["*.com"]) => MISMATCH;
    a_wildcard_inside_a_label: Leaf::of(["i*.a.com"]) => MISMATCH;
    two_wildcards: Leaf::of(["*.*.com"]) => MISMATCH;
    a_wildcard_in_the_middle: Leaf::of(["infra.*.com"]) => MISMATCH;
    a_name_with_a_nul: Leaf::of([&b"infra.a.com\0.evil.example"[..]]) => MISMATCH;
    a_name_that_forges_the_proxys_text: Leaf::of(["evil.example;DNS=infra.a.com"]) => MISMATCH;
    a_name_with_a_comma: Leaf::of(["evil.example,infra.a.com"]) => MISMATCH;
    a_name_with_a_space: Leaf::of(["infra.a.com "]) => MISMATCH;
    a_name_with_a_newline: Leaf::of(["infra.a.com\n"]) => MISMATCH;
    a_name_with_a_trailing_dot: Leaf::of(["infra.a.com."]) => MISMATCH;
    a_u_label_in_a_name: Leaf::of(["\u{ff49}nfra.a.com"]) => MISMATCH;
    a_name_that_is_no_utf_8: Leaf::of([&b"infra.a.com\xff"[..]]) => MISMATCH;
    a_label_of_64_octets: Leaf::of([format!("{}.a.com", "a".repeat(64))]) => MISMATCH;
    a_name_beside_unclean_ones: Leaf::of(["infra.a.com.", "x y", "*", "infra.a.com"]) => GOOD;
    the_name_as_an_address: Leaf { names: vec![San::Ip(b"infra.a.com12345".to_vec())], ..Leaf::default() } => MISMATCH;
    the_name_as_a_uri: Leaf { names: vec![San::Uri(b"https://infra.a.com".to_vec()), San::Uri(b"infra.a.com".to_vec())], ..Leaf::default() } => MISMATCH;
    the_name_as_an_e_mail_address: Leaf { names: vec![San::Email(b"infra.a.com".to_vec()), San::Email(b"x@infra.a.com".to_vec())], ..Leaf::default() } => MISMATCH;
    a_leaf_that_claims_to_be_an_authority: Leaf { is_ca: true, ..Leaf::of(["infra.a.com"]) } => GOOD;
    an_extension_that_stands_twice: Leaf { extensions: vec![(vec![1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]), (vec![1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0])], ..Leaf::of(["infra.a.com"]) } => Refuse(403, "certificate-parse-error");
    an_rsa_key: Leaf { key: Key::Rsa, ..Leaf::of(["infra.a.com"]) } => GOOD;
    a_p256_key: Leaf { key: Key::P256, ..Leaf::of(["infra.a.com"]) } => GOOD;
    a_p384_key: Leaf { key: Key::P384, ..Leaf::of(["infra.a.com"]) } => GOOD;
    an_ed25519_key_is_none_that_envoy_asks_for: Leaf { key: Key::Ed25519, ..Leaf::of(["infra.a.com"]) } => Refuse(403, "no-client-certificate");
    a_thousand_names_with_the_right_one_last: Leaf::of((0..1000).map(|n| format!("h{n}.example")).chain(["infra.a.com".into()])) => GOOD;
    three_thousand_names_and_none_fits: Leaf::of((0..3000).map(|n| format!("h{n}.example"))) => MISMATCH;
}

#[test]
fn no_certificate_is_answered_with_an_authentication_failure() {
    let world = shared();
    let expect = Refuse(403, "no-client-certificate");
    check(&world, &world.anonymous(), "no_certificate", &[origin("a.com")], expect);
    let answer = world.run(async { world.anonymous().call("anonymous", &[]).await }).unwrap();
    assert_eq!(answer.json()["error"], "AuthenticationFailure");
}

#[test]
fn a_certificate_of_another_authority_fails_the_handshake() {
    let world = shared();
    let other = Authority::root("nobody trusts this");
    check_identity(&world, "other_authority", &other.issue(&Leaf::of(["infra.a.com"])), Fail);
}

#[test]
fn an_authority_that_only_bears_the_trusted_name_fails_the_handshake() {
    let world = shared();
    let same_name = Authority::root("the authority that b.com trusts");
    check_identity(&world, "same_name", &same_name.issue(&Leaf::of(["infra.a.com"])), Fail);
}

#[test]
fn a_self_signed_certificate_fails_the_handshake() {
    let world = shared();
    check_identity(&world, "self_signed", &Leaf::of(["infra.a.com"]).self_signed(), Fail);
}

#[test]
fn a_chain_with_its_intermediate_passes_and_without_it_fails() {
    let world = shared();
    let intermediate = world.authority.intermediate("an intermediate");
    let mut identity = intermediate.issue(&Leaf::of(["infra.a.com"]));
    check_identity(&world, "with_intermediate", &identity, GOOD);
    let end = "-----END CERTIFICATE-----";
    identity.chain.truncate(identity.chain.find(end).unwrap() + end.len());
    check_identity(&world, "without_intermediate", &identity, Fail);
}

#[test]
fn a_leaf_cannot_issue_certificates() {
    let world = shared();
    // An authority's certificate under one that is no authority: the chain does not validate.
    let leaf_as_issuer = Authority::root("pretender");
    check_identity(&world, "leaf_as_issuer", &leaf_as_issuer.issue(&Leaf::of(["infra.a.com"])), Fail);
}

#[test]
fn name_constraints_of_an_authority_are_kept() {
    let world = shared();
    let within = world.authority.constrained("only a.com", "a.com");
    check_identity(&world, "within_constraints", &within.issue(&Leaf::of(["infra.a.com"])), GOOD);
    let outside = world.authority.constrained("only evil.example", "evil.example");
    check_identity(&world, "outside_constraints", &outside.issue(&Leaf::of(["infra.a.com"])), Fail);
}

#[test]
fn a_wildcard_never_stands_for_two_labels() {
    let world = shared();
    for (name, san, expect) in [
        ("wildcard_two_labels", "*.infra.deep.com", MISMATCH),
        ("wildcard_one_label", "*.y.infra.deep.com", Permit("deep.com")),
    ] {
        check(&world, &world.caller(&world.identity(&[san])), name, &[origin("deep.com")], expect);
    }
}

#[test]
fn both_versions_of_tls_lead_to_the_same_decisions() {
    let world = shared();
    for (version, name) in [(&TLS12, "tls12"), (&TLS13, "tls13")] {
        for (host, expect) in [("infra.a.com", GOOD), ("evil.example", MISMATCH)] {
            let caller = Caller::speaking(
                &[version],
                world.envoy.address(),
                "infra.b.com",
                world.authority.pem(),
                Some(&world.identity(&[host])),
            );
            let caller = caller.explained_by(world.witness());
            check(
                &world,
                &caller,
                &format!("{name}-{}", host.replace('.', "-")),
                &[origin("a.com")],
                expect,
            );
        }
    }
}

#[test]
fn what_a_client_says_of_its_certificate_does_not_count_and_does_not_pass() {
    // Without the listener's own rule for such headers: the filter alone is to see to it.
    let world = World::builder()
        .records(crate::discovery::records())
        .allow(&["a.com"])
        .edit("regex: \"z-.*|x-ssl-.*\"", "regex: \"z-.*\"")
        .start();
    let good = world.identity(&["infra.a.com"]).chain.replace('\n', "%0A");
    let forged = format!("Hash=00;Cert=\"{good}\";DNS=infra.a.com");
    let headers = [
        origin("a.com"),
        ("x-forwarded-client-cert", forged.as_bytes()),
        ("x-ssl-certificate", good.as_bytes()),
    ];
    let expect = Refuse(403, "no-client-certificate");
    check(&world, &world.anonymous(), "forged_without_certificate", &headers, expect);
    let evil = world.caller(&world.identity(&["evil.example"]));
    check(&world, &evil, "forged_with_certificate", &headers, MISMATCH);

    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let answer = world.run(async { caller.call("client-headers", &headers).await }).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(crate::claim::received(&answer, "x-forwarded-client-cert"), [""; 0]);
    assert_eq!(crate::claim::received(&answer, "x-ssl-certificate"), [""; 0]);
}

#[test]
fn a_certificate_that_expires_on_an_open_connection_is_refused_from_then_on() {
    let world = shared();
    let identity = world.authority.issue(&Leaf { not_after: 4, ..Leaf::of(["infra.a.com"]) });
    world.run(async {
        let connection = world.caller(&identity).http2().await.unwrap();
        let answer = connection.call("before-expiry", &[origin("a.com")]).await;
        assert_expected(&world, "before-expiry", answer, GOOD);
        let started = Instant::now();
        let refusal = loop {
            let answer = connection.call("around-expiry", &[origin("a.com")]).await.unwrap();
            if answer.status != 200 {
                break answer;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "the certificate never expired");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((refusal.status, refusal.label().as_str()), (403, "certificate-expired"));
        assert_eq!(refusal.json()["error"], "AuthenticationFailure");
        let answer = connection.call("after-expiry", &[origin("a.com")]).await;
        assert_expected(&world, "after-expiry", answer, Refuse(403, "certificate-expired"));
    });
}

#[test]
fn a_session_is_not_resumed() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"])).resuming();
    world.run(async {
        for rpc in ["first-session", "second-session"] {
            let mut connection = caller.http1().await.unwrap();
            let answer = connection.call(rpc, &[origin("a.com")]).await;
            assert_expected(&world, rpc, answer, GOOD);
            assert!(!connection.resumed(), "{rpc}");
        }
    });
}

#[test]
fn where_sessions_are_resumed_a_certificate_counts_only_with_a_full_handshake() {
    let world = World::builder()
        .records(crate::discovery::records())
        .allow(&["a.com"])
        .edit(
            "disable_stateless_session_resumption: true",
            "disable_stateless_session_resumption: false",
        )
        .edit("disable_stateful_session_resumption: true", "disable_stateful_session_resumption: false")
        .start();
    let caller = world.caller(&world.identity(&["infra.a.com"])).resuming();
    world.run(async {
        for (rpc, resumes, expect) in [
            ("full-handshake", false, GOOD),
            // Envoy validates nothing when it resumes a session, so nothing is known to be valid:
            // neither that the certificate's time has not passed, nor that its root is trusted still.
            ("resumed-session", true, unvalidated(GOOD)),
        ] {
            let tells = resumes && artifacts::envoy_minor() >= 39;
            let caller = if tells { caller.clone().untrusted() } else { caller.clone() };
            let mut connection = caller.http1().await.unwrap();
            let answer = connection.call(rpc, &[origin("a.com")]).await;
            assert_eq!(connection.resumed(), resumes, "{rpc}");
            assert_expected(&world, rpc, answer, expect);
        }
    });
}

#[test]
fn a_chain_that_envoy_was_told_to_accept_unvalidated_is_refused_by_the_filter() {
    let world =
        accept_untrusted(World::builder().records(crate::discovery::records()).allow(&["a.com"]))
            .start();
    let other = Authority::root("nobody trusts this");
    let expect = unvalidated(GOOD);
    let untrusted = |identity: &Identity| {
        let caller = world.caller(identity);
        if artifacts::envoy_minor() < 39 { caller } else { caller.untrusted() }
    };
    let stranger = untrusted(&other.issue(&Leaf::of(["infra.a.com"])));
    check(&world, &stranger, "accept_untrusted", &[origin("a.com")], expect);
    check_identity(&world, "accept_trusted", &world.identity(&["infra.a.com"]), GOOD);
    let expired = world.authority.issue(&Leaf { not_after: -60, ..Leaf::of(["infra.a.com"]) });
    let expect = unvalidated(Refuse(403, "certificate-expired"));
    check(&world, &untrusted(&expired), "accept_expired", &[origin("a.com")], expect);
}

/// What becomes of a certificate that Envoy did not validate. Envoys before 1.39 do not tell; on them
/// the listener vouches for what it lets in (`chain_validation`), and then this holds.
fn unvalidated(where_the_listener_vouches: Expect) -> Expect {
    if artifacts::envoy_minor() < 39 {
        where_the_listener_vouches
    } else {
        Refuse(403, "untrusted-certificate")
    }
}
