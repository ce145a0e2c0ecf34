use fedgate_tests::pki::{Authority, Identity, Key, Leaf, San};
use rcgen::{ExtendedKeyUsagePurpose as Purpose, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::{Outcome, Report};

const DAYS: i64 = DAY;

fn now() -> UnixTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime(i64::try_from(now.as_secs()).unwrap())
}

fn report(pem: &str, trust: &str, role: Role, lists: &RevocationLists) -> Report {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let trust = Trust::read(trust.as_bytes()).unwrap();
    let hosts = ["infra.a.com".parse().unwrap()];
    let mut ignore = |_: crate::Progress<'_>| ();
    let mut ledger = Ledger::new(&mut ignore);
    look(&mut ledger, &chain, &Expected { role, hosts: &hosts, trust: Ok(&trust), lists, now: now() });
    ledger.close("a chain")
}

/// The codes of what is found, in order.
fn codes(pem: &str, trust: &str, role: Role) -> Vec<&'static str> {
    let report = report(pem, trust, role, &RevocationLists::default());
    report.findings().map(|finding| finding.code.name).collect()
}

fn good() -> Leaf {
    Leaf::of(["infra.a.com"])
}

#[test]
fn a_good_certificate_has_nothing_to_be_told() {
    let root = Authority::root("root");
    let below = root.intermediate("below");
    for key in [Key::P256, Key::P384, Key::Rsa] {
        for authority in [&root, &below] {
            let Identity { chain, .. } = authority.issue(&Leaf { key, ..good() });
            for role in [Role::Server, Role::Client] {
                assert_eq!(codes(&chain, root.pem(), role), [""; 0], "{key:?} {role:?}");
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_leaf_has_its_code() {
    use {Role::Client, Role::Server};
    let root = Authority::root("root");
    for (role, expected, leaf) in [
        (Server, "name-missing", Leaf::of(["fed.a.com"])),
        (Server, "name-missing", Leaf::of(["*.infra.a.com"])),
        (Server, "name-missing", Leaf { common_name: "infra.a.com".into(), ..Leaf::of(["b.com"]) }),
        (Server, "name-missing", Leaf { names: vec![San::Ip(vec![192, 0, 2, 1])], ..good() }),
        (Server, "name-missing", Leaf { names: vec![], ..good() }),
        (Server, "name-in-cn-only", Leaf { common_name: "Infra.a.com".into(), names: vec![], ..good() }),
        (Client, "name-missing", Leaf::of(["fed.a.com"])),
        (Server, "certificate-expired", Leaf { not_before: -90 * DAYS, not_after: -60, ..good() }),
        (Server, "certificate-not-yet-valid", Leaf { not_before: 3600, ..good() }),
        (
            Server,
            "certificate-ends-soon",
            Leaf { not_before: -85 * DAYS, not_after: 5 * DAYS, ..good() },
        ),
        (Server, "certificate-ends-soon", Leaf { not_before: -5 * DAYS, not_after: DAYS, ..good() }),
        (Server, "server-purpose-missing", Leaf { purposes: vec![Purpose::ClientAuth], ..good() }),
        (Server, "server-only", Leaf { purposes: vec![Purpose::ServerAuth], ..good() }),
        (Client, "client-purpose-missing", Leaf { purposes: vec![Purpose::ServerAuth], ..good() }),
        (
            Server,
            "digital-signature-missing",
            Leaf { key_usages: vec![KeyUsagePurpose::KeyEncipherment], ..good() },
        ),
        (Server, "key-not-accepted", Leaf { key: Key::P521, ..good() }),
        (Server, "key-not-accepted", Leaf { key: Key::Ed25519, ..good() }),
        (Server, "leaf-is-authority", Leaf { is_ca: true, ..good() }),
    ] {
        assert_eq!(codes(&root.issue(&leaf).chain, root.pem(), role), [expected], "{leaf:?}");
    }
}

#[test]
fn a_certificate_is_renewed_in_time_if_a_third_of_its_life_is_left() {
    let root = Authority::root("root");
    for leaf in [
        Leaf { not_before: -75 * DAYS, not_after: 15 * DAYS, ..good() },
        Leaf { not_before: -3 * DAYS, not_after: 3 * DAYS, ..good() },
    ] {
        assert_eq!(codes(&root.issue(&leaf).chain, root.pem(), Role::Server), [""; 0], "{leaf:?}");
    }
}

/// RFC 5280 §4.2.2.1: one `caIssuers` with a URI.
fn points_to_issuer() -> (Vec<u64>, Vec<u8>) {
    let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
    let description = [&oid[..], &[0x86, 3], b"a:b"].concat();
    let value = [vec![0x30, 17, 0x30, 15], description].concat();
    (vec![1, 3, 6, 1, 5, 5, 7, 1, 1], value)
}

#[test]
fn what_is_wrong_with_a_chain_has_its_code() {
    let root = Authority::root("root");
    let below = root.intermediate("below");
    let other = Authority::root("other");
    let namesake = Authority::root("root");
    let elsewhere = root.constrained("elsewhere", "b.com");
    let public = Leaf { extensions: vec![points_to_issuer()], ..good() };
    let alone = |chain: String| {
        chain.split_inclusive("-----END CERTIFICATE-----\n").next().map(str::to_owned).unwrap()
    };
    let reversed = |chain: String| {
        let mut parts: Vec<_> = chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
        parts[1..].reverse();
        parts.concat()
    };
    let deep = below.intermediate("deep");
    for (expected, chain) in [
        (vec!["intermediate-missing"], alone(below.issue(&public).chain)),
        (vec!["issuer-unknown"], alone(below.issue(&good()).chain)),
        (vec!["issuer-unknown"], other.issue(&good()).chain),
        (vec!["root-sent", "authority-unknown"], other.issue(&good()).chain + other.pem()),
        (vec!["authority-unknown"], good().self_signed().chain),
        (vec!["authority-unknown"], namesake.issue(&good()).chain),
        (vec!["root-sent"], root.issue(&good()).chain + root.pem()),
        (vec!["chain-disordered"], reversed(deep.issue(&good()).chain)),
        (vec!["chain-invalid"], elsewhere.issue(&good()).chain),
        (
            vec!["certificate-unreadable"],
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        ),
    ] {
        assert_eq!(codes(&chain, root.pem(), Role::Server), expected);
    }
}

#[test]
fn what_a_chain_has_beside_its_way_to_the_authority_is_good_to_know_at_most() {
    let (root, old) = (Authority::root("root"), Authority::root("old"));
    let below = root.intermediate("below");
    let Identity { chain, .. } = below.issue(&good());
    let cut = chain.find("-----END CERTIFICATE-----\n").unwrap() + "-----END CERTIFICATE-----\n".len();
    let (leaf, own) = chain.split_at(cut);
    for end in [20 * DAYS, -60] {
        let cross = below.cross_signed("below", &old, end);
        for chain in [format!("{leaf}{own}{cross}"), format!("{leaf}{cross}{own}")] {
            assert_eq!(codes(&chain, root.pem(), Role::Server), ["certificate-unused"], "{end}");
        }
        // Whoever trusts the old root alone needs it, and then its end counts.
        let found = codes(&format!("{leaf}{own}{cross}"), old.pem(), Role::Server);
        let expected = if end < 0 { vec!["certificate-expired"] } else { vec![] };
        assert_eq!(found, [expected, vec!["certificate-unused"]].concat(), "{end}");
    }
}

#[test]
fn an_end_does_not_hide_that_nobody_knows_the_authority() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let leaf = Leaf { not_before: -90 * DAYS, not_after: -60, ..good() };
    let found = codes(&other.issue(&leaf).chain, root.pem(), Role::Server);
    assert_eq!(found, ["certificate-expired", "issuer-unknown"]);
}

#[test]
fn what_nobody_named_is_not_looked_at() {
    let root = Authority::root("root");
    let Identity { chain, .. } = root.issue(&good());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let lists = RevocationLists::default();
    let mut ignore = |_: crate::Progress<'_>| ();
    let mut ledger = Ledger::new(&mut ignore);
    let expected =
        Expected { role: Role::Server, hosts: &[], trust: Err(NO_BUNDLE), lists: &lists, now: now() };
    look(&mut ledger, &chain, &expected);
    let checks = ledger.close("a chain").checks;
    let skipped = checks.iter().filter(|it| matches!(it.outcome, Outcome::NotLookedAt { .. }));
    assert_eq!(skipped.count(), 3, "name, authority, revocation");
}
