//! Their certificate, and ours.

use std::collections::BTreeSet;

use fedgate_tests::pki::{Authority, Identity, Key, Leaf};
use rcgen::ExtendedKeyUsagePurpose as Purpose;

use super::site::{Ingress, Site};

const DAYS: i64 = 86_400;

fn good() -> Leaf {
    Leaf::of(["infra.a.com"])
}

/// What is found where they show this.
#[track_caller]
fn shown(site: &Site, identity: Identity, expected: &[&str]) {
    site.told_of(&Ingress { identity, ..site.good() }).is(expected);
}

#[test]
fn a_wrong_name_is_found() {
    let site = Site::new();
    shown(&site, site.authority.issue(&Leaf::of(["fed.a.com"])), &["name-missing"]);
}

#[test]
fn a_wildcard_for_two_labels_is_found() {
    let site = Site::with(|address| {
        vec![
            super::site::srv(super::site::PORT, "x.infra.a.com."),
            format!("x.infra.a.com. 600 IN A {address}"),
        ]
    });
    shown(&site, site.authority.issue(&Leaf::of(["*.a.com"])), &["name-missing"]);
}

#[test]
fn a_name_that_is_the_common_name_alone_is_found() {
    let site = Site::new();
    let leaf = Leaf { common_name: "infra.a.com".into(), names: vec![], ..good() };
    shown(&site, site.authority.issue(&leaf), &["name-in-cn-only"]);
}

#[test]
fn a_missing_purpose_is_found() {
    let site = Site::new();
    let of = |purpose| site.authority.issue(&Leaf { purposes: vec![purpose], ..good() });
    shown(&site, of(Purpose::ClientAuth), &["server-purpose-missing"]);
    // Who has another certificate to call with is all right.
    site.told_of(&Ingress { identity: of(Purpose::ServerAuth), ..site.good() }).is_info("server-only");
}

#[test]
fn a_key_of_a_kind_that_is_not_accepted_is_found() {
    let site = Site::new();
    for key in [Key::P521, Key::Ed25519] {
        shown(&site, site.authority.issue(&Leaf { key, ..good() }), &["key-not-accepted"]);
    }
}

#[test]
fn a_signature_over_sha_1_is_found() {
    let site = Site::new();
    let leaf = Leaf { is_weak: true, ..good() };
    shown(&site, site.authority.issue(&leaf), &["signature-weak"]);
}

#[test]
fn a_key_that_may_not_sign_is_found() {
    let site = Site::new();
    let leaf = Leaf { key_usages: vec![rcgen::KeyUsagePurpose::KeyAgreement], ..good() };
    let found = site.told_of(&Ingress { identity: site.authority.issue(&leaf), ..site.good() });
    assert!(found.of(&["error"]).contains("digital-signature-missing"), "{:#}", found.report);
}

#[test]
fn an_end_is_found() {
    let site = Site::new();
    for (not_before, not_after, expected) in [
        (-90 * DAYS, -60, "certificate-expired"),
        (3600, 90 * DAYS, "certificate-not-yet-valid"),
        (-85 * DAYS, 5 * DAYS, "certificate-ends-soon"),
    ] {
        let leaf = Leaf { not_before, not_after, ..good() };
        shown(&site, site.authority.issue(&leaf), &[expected]);
    }
}

/// The certificates of a chain, in this order.
fn picked(identity: Identity, order: &[usize]) -> Identity {
    let parts: Vec<_> = identity.chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let chain = order.iter().map(|&index| parts[index]).collect();
    Identity { chain, ..identity }
}

#[test]
fn a_missing_intermediate_is_found() {
    let site = Site::new();
    let below = site.authority.intermediate("below");
    shown(&site, picked(below.issue(&good()), &[0]), &["issuer-unknown"]);
    // As public authorities say it: where their own certificate is to be had (RFC 5280 §4.2.2.1).
    let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
    let value = [&[0x30, 17, 0x30, 15][..], &oid, &[0x86, 3], b"a:b"].concat();
    let leaf = Leaf { extensions: vec![(vec![1, 3, 6, 1, 5, 5, 7, 1, 1], value)], ..good() };
    shown(&site, picked(below.issue(&leaf), &[0]), &["intermediate-missing"]);
}

#[test]
fn a_chain_in_the_wrong_order_is_found() {
    let site = Site::new();
    let deep = site.authority.intermediate("below").intermediate("deep");
    shown(&site, deep.issue(&good()), &[]);
    shown(&site, picked(deep.issue(&good()), &[0, 2, 1]), &["chain-disordered"]);
}

#[test]
fn a_root_that_is_sent_is_told() {
    let site = Site::new();
    let mut identity = site.authority.issue(&good());
    identity.chain += site.authority.pem();
    site.told_of(&Ingress { identity, ..site.good() }).is_info("root-sent");
}

#[test]
fn a_cross_signed_intermediate_that_has_expired_is_good_to_know_at_most() {
    let site = Site::new();
    let below = site.authority.intermediate("below");
    let old = Authority::root("an authority of before");
    let mut identity = below.issue(&good());
    identity.chain += &below.cross_signed("below", &old, -DAYS);
    let told = site.told_of(&Ingress { identity, ..site.good() });
    told.is_info("certificate-unused");
}

#[test]
fn a_wrong_authority_is_found() {
    let site = Site::new();
    let other = Authority::root("another authority");
    let mut identity = other.issue(&good());
    shown(&site, identity.clone(), &["issuer-unknown"]);
    identity.chain += other.pem();
    shown(&site, identity, &["authority-unknown"]);
    shown(&site, good().self_signed(), &["authority-unknown"]);
}

#[test]
fn a_revoked_certificate_is_found_where_there_is_a_list() {
    let site = Site::new();
    let [revoked, other] = [(); 2].map(|()| site.authority.issue(&good()));
    let list = |due| site.file("crl.pem", &site.authority.revocation_list(&[&revoked], due));
    for (identity, due, expected) in [
        (&revoked, DAYS, &["certificate-revoked"][..]),
        (&other, DAYS, &[]),
        (&other, -60, &["crl-unusable"]),
    ] {
        let _listening = site.serve(&Ingress { identity: identity.clone(), ..site.good() });
        site.check(&["--crl", &list(due)]).is(expected);
    }
}

#[test]
fn our_certificate_is_looked_at_as_they_will_see_it() {
    let site = Site::new();
    let _listening = site.serve(&site.good());
    let ours = || Leaf::of(["infra.b.com"]);
    for (leaf, expected) in [
        (Leaf::of(["fed.b.com"]), &["name-missing"][..]),
        (
            Leaf { purposes: vec![Purpose::ServerAuth], ..ours() },
            &["client-purpose-missing", "certificate-refused"],
        ),
        (
            Leaf { not_before: -90 * DAYS, not_after: -60, ..ours() },
            &["certificate-expired", "certificate-refused"],
        ),
        (Leaf { not_before: -85 * DAYS, not_after: 5 * DAYS, ..ours() }, &["certificate-ends-soon"]),
    ] {
        let told = site.check_as(&site.authority.issue(&leaf), &[]);
        told.is(expected);
    }
    let other = Authority::root("another authority").issue(&ours());
    let told = site.check_as(&other, &[]);
    told.is(&["issuer-unknown", "certificate-refused", "issuer-not-asked-for"]);
}

#[test]
fn the_key_of_another_certificate_is_wrong_use() {
    let site = Site::new();
    let [one, other] = [(); 2].map(|()| site.authority.issue(&Leaf::of(["infra.b.com"])));
    let [certificate, key] = [site.file("one.pem", &one.chain), site.file("other.key", &other.key)];
    let output =
        crate::slips::fedgate(&["check", "a.com", "--certificate", &certificate, "--key", &key])
            .output()
            .unwrap();
    assert!(!output.status.success());
    let told = crate::slips::complaint(&output);
    assert!(told.contains("do not go together"), "{told}");
}

#[test]
fn what_was_not_named_is_not_looked_at() {
    let site = Site::new();
    let _listening = site.serve(&site.good());
    let told = site.check_alone(&[]);
    told.is(&[]);
    let because: BTreeSet<_> = ["it leads to a trusted authority", "it answers a call of ours"]
        .iter()
        .map(|claim| told.outcome(claim)["because"].as_str().unwrap().to_owned())
        .collect();
    assert!(because.iter().any(|it| it.contains("--trust")), "{because:?}");
    assert!(because.iter().any(|it| it.contains("--certificate")), "{because:?}");
}
