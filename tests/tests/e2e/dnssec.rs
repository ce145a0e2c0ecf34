//! DNSSEC: what counts of zones that are signed rightly, wrongly or not at all, in each mode.

use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::dns::{service, srv};
use fedgate_tests::peer::Peer;
use fedgate_tests::process::eventually;
use fedgate_tests::signing::{Anchor, Signing};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};
use crate::control_plane::verdict;

/// The life of the records of `brief.nsec`.
const BRIEF: Duration = Duration::from_secs(15);

/// What the control plane says of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Host(&'static str),
    Absent,
    Insecure,
    Bogus,
}
use Said::{Absent, Bogus, Host, Insecure};

/// Domains of [`world`], and what is said of each with `off`, with `opportunistic` and with `require`.
#[rustfmt::skip]
const DOMAINS: &[(&str, [Said; 3])] = &[
    ("a.nsec",          [Host("infra.a.nsec"), Host("infra.a.nsec"), Host("infra.a.nsec")]),
    ("a.nsec3",         [Host("infra.a.nsec3"), Host("infra.a.nsec3"), Host("infra.a.nsec3")]),
    ("a.unsigned",      [Host("infra.a.unsigned"), Host("infra.a.unsigned"), Insecure]),
    ("a.otherkey",      [Host("infra.a.otherkey"), Bogus, Bogus]),
    ("a.expired",       [Host("infra.a.expired"), Bogus, Bogus]),
    ("a.altered",       [Host("other.a.altered"), Bogus, Bogus]),
    ("a.island",        [Host("infra.a.island"), Host("infra.a.island"), Host("infra.a.island")]),
    // There is no such name, or it has no such record.
    ("absent.nsec",     [Absent, Absent, Absent]),
    ("absent.nsec3",    [Absent, Absent, Absent]),
    ("absent.unsigned", [Absent, Absent, Insecure]),
    ("absent.otherkey", [Absent, Bogus, Bogus]),
    ("absent.expired",  [Absent, Bogus, Bogus]),
    ("absent.island",   [Absent, Absent, Absent]),
    ("empty.nsec",      [Absent, Absent, Absent]),
    ("empty.nsec3",     [Absent, Absent, Absent]),
    ("empty.unsigned",  [Absent, Absent, Insecure]),
    ("no.such",         [Absent, Absent, Absent]),
    ("dot.nsec",        [Absent, Absent, Absent]),
    // Aliases, from one kind of zone to another.
    ("secure.nsec",     [Host("infra.a.nsec3"), Host("infra.a.nsec3"), Host("infra.a.nsec3")]),
    ("leaves.nsec",     [Host("infra.a.unsigned"), Host("infra.a.unsigned"), Insecure]),
    ("enters.unsigned", [Host("infra.a.nsec"), Host("infra.a.nsec"), Insecure]),
    ("spoilt.nsec",     [Host("other.a.altered"), Bogus, Bogus]),
    ("nowhere.nsec",    [Absent, Absent, Absent]),
    ("nowhere.nsec3",   [Absent, Absent, Insecure]),
    // Records of a wildcard, and more than UDP carries.
    ("x.wild.nsec",     [Host("infra.wild.nsec"), Host("infra.wild.nsec"), Host("infra.wild.nsec")]),
    ("x.wild.nsec3",    [Host("infra.wild.nsec3"), Host("infra.wild.nsec3"), Host("infra.wild.nsec3")]),
    ("many.nsec",       [Host("t10.many.nsec"), Host("t10.many.nsec"), Host("t10.many.nsec")]),
];

fn world(mode: &str, anchor: Anchor) -> World {
    let zones = [
        ("nsec", Signing::Nsec),
        ("nsec3", Signing::Nsec3),
        ("unsigned", Signing::Unsigned),
        ("island", Signing::Island),
        ("otherkey", Signing::OtherKey),
        ("expired", Signing::Expired),
        ("altered", Signing::Altered),
    ];
    let own = |(zone, _): &(&str, _)| srv(&format!("a.{zone}"), 60, &format!("infra.a.{zone}."));
    let mut records: Vec<_> = zones.iter().map(own).collect();
    for zone in ["nsec", "nsec3", "unsigned"] {
        records.push(format!("{} 60 IN TXT \"none\"", service(&format!("empty.{zone}"))));
        records.push(format!("*.wild.{zone}. 60 IN SRV 10 5 443 infra.wild.{zone}."));
    }
    for (alias, end) in [
        ("secure.nsec", "a.nsec3"),
        ("leaves.nsec", "a.unsigned"),
        ("enters.unsigned", "a.nsec"),
        ("spoilt.nsec", "a.altered"),
        ("nowhere.nsec", "absent.nsec3"),
        ("nowhere.nsec3", "absent.unsigned"),
    ] {
        records.push(format!("{} 60 IN CNAME {}", service(alias), service(end)));
    }
    records.push(srv("dot.nsec", 60, "."));
    records.push(srv("brief.nsec", BRIEF.as_secs().try_into().unwrap(), "infra.a.nsec."));
    records.extend((10..50).map(|n| srv("many.nsec", 60, &format!("t{n}.many.nsec."))));
    World::builder()
        .records(records)
        .signed(&zones, anchor)
        .discovery(&format!("dnssec = \"{mode}\""))
        .strategy("allowAll")
        .start()
}

fn said(world: &World, domain: &str) -> Result<Said, String> {
    let verdict = verdict(world, domain);
    let host = verdict["hosts"][0].as_str();
    let known = DOMAINS.iter().flat_map(|(_, said)| said);
    if let Some(said) = known.copied().find(|said| matches!(said, Host(name) if Some(*name) == host)) {
        return Ok(said);
    }
    let message = verdict["failure"]["message"].as_str().unwrap_or_default();
    let short = verdict["ttl_ms"].as_u64().is_some_and(|life| life <= 2000);
    match verdict["failure"]["label"].as_str() {
        Some("invalid-domain") => Ok(Absent),
        Some("discovery-failure") if short && message.contains("DNSSEC: the answer is insecure") => {
            Ok(Insecure)
        }
        Some("discovery-failure") if short && message.contains("DNSSEC: the answer is bogus") => {
            Ok(Bogus)
        }
        _ => Err(verdict.to_string()),
    }
}

/// Compares all of [`DOMAINS`] with what is said in this mode, that of this column.
fn check_domains(world: &World, column: usize) {
    for (domain, expected) in DOMAINS {
        assert_eq!(said(world, domain), Ok(expected[column]), "{domain}");
    }
}

#[test]
fn off_believes_everything() {
    check_domains(&world("off", Anchor::Dnskey), 0);
}

#[test]
fn opportunistic_believes_what_is_not_bogus() {
    check_domains(&world("opportunistic", Anchor::Ds), 1);
}

#[test]
fn require_believes_what_is_proven() {
    let world = world("require", Anchor::Dnskey);
    check_domains(&world, 2);
    // What the peers see.
    let refused = Refuse(400, "discovery-failure");
    for (domain, host, expected) in [
        ("a.nsec", "infra.a.nsec", Permit("a.nsec")),
        ("a.unsigned", "infra.a.unsigned", refused),
        ("a.altered", "other.a.altered", refused),
        ("absent.nsec", "infra.absent.nsec", Refuse(422, "invalid-domain")),
    ] {
        let caller = world.caller(&world.identity(&[host]));
        check_http2(&world, &caller, &domain.replace('.', "-"), &[origin(domain)], expected);
    }
}

#[test]
fn a_proven_answer_outlives_bogus_ones_but_not_its_own_time() {
    let mut world = world("require", Anchor::Dnskey);
    let began = Instant::now();
    world.control_plane().add(&["brief.nsec"]);
    assert_eq!(said(&world, "brief.nsec"), Ok(Host("infra.a.nsec")));
    world.dns.spoil("nsec", " 443 infra.", " 443 other.");
    let asked = world.dns.queries("brief.nsec");
    let refreshed = world.control_plane().cli(&["domain", "refresh", "brief.nsec"]).unwrap_err();
    assert!(refreshed.contains("bogus") && refreshed.contains("stands until 20"), "{refreshed}");
    eventually("it is asked again", || (world.dns.queries("brief.nsec") > asked).then_some(()));
    assert_eq!(said(&world, "brief.nsec"), Ok(Host("infra.a.nsec")));
    eventually("it ends", || (said(&world, "brief.nsec") == Ok(Bogus)).then_some(()));
    let life = began.elapsed();
    assert!(life < BRIEF + Duration::from_secs(3), "{life:?}");
}

#[test]
fn a_name_whose_proof_takes_too_many_questions_is_a_failure() {
    let deep = |labels: usize| "a.".repeat(labels) + "nsec";
    let records = [10, 100].map(|labels| srv(&deep(labels), 60, "infra.a.nsec."));
    let world = World::builder()
        .records(records)
        .signed(&[("nsec", Signing::Nsec)], Anchor::Dnskey)
        .discovery("dnssec = \"opportunistic\"")
        .strategy("allowAll")
        .start();
    assert_eq!(said(&world, &deep(10)), Ok(Host("infra.a.nsec")));
    let asked = world.dns.all_queries();
    assert_eq!(said(&world, &deep(100)), Ok(Bogus));
    let asked = world.dns.all_queries() - asked;
    assert!(asked <= 100, "{asked} questions");
}

#[test]
fn a_name_that_is_not_there_needs_no_question_for_its_ancestors() {
    let world = world("require", Anchor::Dnskey);
    let deep = "a.".repeat(100);
    assert_eq!(said(&world, &format!("{deep}absent.nsec")), Ok(Absent));
    assert_eq!(said(&world, &format!("{deep}absent.nsec3")), Ok(Absent));
    let asked = world.dns.all_queries();
    assert!(asked < 20, "{asked} questions for both");
}

#[test]
fn an_address_that_is_not_proven_is_not_called() {
    for (mode, unsigned) in [("opportunistic", 200), ("require", 521)] {
        let elsewhere = Address::claim();
        let targets =
            [("a.nsec", "infra.nsec"), ("b.nsec", "infra.unsigned"), ("c.nsec", "infra.expired")];
        let mut records: Vec<_> = targets
            .iter()
            .map(|(domain, target)| format!("{} 60 IN SRV 10 5 7001 {target}.", service(domain)))
            .collect();
        records
            .extend(targets.iter().map(|(_, target)| format!("{target}. 60 IN A {}", elsewhere.ip())));
        let world = World::builder()
            .records(records)
            .signed(
                &[
                    ("nsec", Signing::Nsec),
                    ("unsigned", Signing::Unsigned),
                    ("expired", Signing::Expired),
                ],
                Anchor::Dnskey,
            )
            .discovery(&format!("dnssec = \"{mode}\"\nallow_private_addresses = true"))
            .backend("a.com")
            .egress()
            .allow(&["a.nsec", "b.nsec", "c.nsec"])
            .start();
        let identity = world.identity(&["infra.nsec", "infra.unsigned", "infra.expired"]);
        let at = (elsewhere.ip(), 7001).into();
        let _peer = Peer::echo(at, "peer", &identity, world.authority.pem());
        for (domain, expected) in [("a.nsec", 200), ("b.nsec", unsigned), ("c.nsec", 521)] {
            let answer = world.local().call(domain, "search-users").unwrap();
            assert_eq!(answer.status, expected, "{mode} {domain}: {}", answer.json());
        }
    }
}
