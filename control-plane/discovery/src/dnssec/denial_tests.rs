//! Tables of denials: of NSEC and NSEC3 records that are taken to be proven.

use super::Absence::{NoName, NoRecord, Open};
use super::*;
use hickory_proto::dnssec::Nsec3HashAlgorithm::SHA1;
use hickory_proto::dnssec::rdata::NSEC3;
use hickory_proto::rr::RecordType as Kind;

const ALIAS: &[Kind] = &[Kind::CNAME];
const APEX: &[Kind] = &[Kind::NS, Kind::SOA, Kind::DNSKEY];
const END: &[Kind] = &[Kind::NS];
const SIGNED_END: &[Kind] = &[Kind::NS, Kind::DS];
const TEXT: &[Kind] = &[Kind::TXT];
const SRV: &[Kind] = &[Kind::SRV];
const DNAME: &[Kind] = &[Kind::DNAME];

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// How SRV records of a name are denied, and what is between the zone `a.` and the name.
type Found = (Result<Absence, ()>, Result<Gap, ()>);

fn found(denials: &Denials<'_>, of: &str) -> Found {
    let of = name(of);
    (denials.absence(&of, Kind::SRV).map_err(drop), denials.gap(&of).map_err(drop))
}

fn check(denials: impl Fn(&dyn Fn(&Denials<'_>)), table: &[(&str, Found)]) {
    denials(&|denials| {
        for (of, expected) in table {
            assert_eq!(found(denials, of), *expected, "{of} {denials:?}");
        }
    });
}

fn with_nsec(records: &[(&str, &str, &[Kind])], then: &dyn Fn(&Denials<'_>)) {
    let zone = name("a.");
    let records: Vec<_> = records
        .iter()
        .map(|(owner, next, kinds)| (name(owner), NSEC::new(name(next), kinds.iter().copied())))
        .collect();
    let plain = records.iter().map(|(owner, nsec)| (owner, nsec)).collect();
    let hashed = Hashed::new(&zone);
    then(&Denials { zone: &zone, plain, hashed, fault: None, ttl: 0, until: 0 });
}

#[test]
fn nsec_records_say_where_a_name_stands() {
    let none: Found = (Err(()), Err(()));
    check(
        |then| {
            with_nsec(
                &[
                    ("a.", "*.a.", APEX),
                    ("*.a.", "b.a.", TEXT),
                    ("b.a.", "d.c.a.", TEXT),
                    ("d.c.a.", "e.a.", SRV),
                    ("e.a.", "f.a.", END),
                    ("f.a.", "g.a.", SIGNED_END),
                    ("g.a.", "h.a.", ALIAS),
                    ("h.a.", "i.a.", DNAME),
                    ("i.a.", "a.", APEX),
                ],
                then,
            );
        },
        &[
            ("b.a.", (Ok(NoRecord), Ok(Gap::None))),
            // An empty name, and names that are not there but for the wildcard.
            ("c.a.", (Ok(NoRecord), Ok(Gap::None))),
            ("bb.a.", (Ok(NoRecord), Ok(Gap::NoName))),
            ("x.b.a.", (Ok(NoName), Ok(Gap::NoName))),
            ("d.c.a.", (Err(()), Ok(Gap::None))),
            // Ends of the zone, and what is below them.
            ("e.a.", (Err(()), Ok(Gap::Unsigned))),
            ("x.e.a.", none),
            ("f.a.", none),
            ("x.f.a.", none),
            ("g.a.", (Err(()), Ok(Gap::None))),
            ("h.a.", (Ok(NoRecord), Ok(Gap::None))),
            ("x.h.a.", none),
            // The apex of the zone below does not speak for the one above.
            ("i.a.", (Ok(NoRecord), Err(()))),
        ],
    );
}

#[test]
fn without_the_wildcards_denial_a_name_is_not_denied() {
    for (records, expected) in [
        (vec![("b.a.", "d.a.", TEXT)], Err(())),
        (vec![("b.a.", "d.a.", TEXT), ("a.", "b.a.", APEX)], Ok(NoName)),
        (vec![("b.a.", "d.a.", TEXT), ("*.a.", "b.a.", SRV)], Err(())),
        (vec![("b.a.", "d.a.", TEXT), ("*.a.", "b.a.", ALIAS)], Err(())),
        (vec![("b.a.", "d.a.", TEXT), ("*.a.", "b.a.", TEXT)], Ok(NoRecord)),
        // The last record's next name is the apex, and no other's is.
        (vec![("b.a.", "a.", TEXT), ("a.", "b.a.", APEX)], Ok(NoName)),
        (vec![("b.a.", "b.", TEXT), ("a.", "b.a.", APEX)], Ok(NoName)),
        (vec![("d.a.", "b.a.", TEXT), ("a.", "b.a.", APEX)], Err(())),
    ] {
        with_nsec(&records, &|denials| {
            assert_eq!(denials.absence(&name("c.a."), Kind::SRV).map_err(drop), expected, "{records:?}");
        });
    }
}

fn hash_of(text: &str, rounds: u16) -> Vec<u8> {
    SHA1.hash(&[], &name(text), rounds).unwrap().as_ref().to_vec()
}

/// A chain of NSEC3 records of the zone `a.`, for names of it and their kinds.
fn with_nsec3(names: &[(&str, &[Kind])], opt_out: bool, rounds: u16, then: &dyn Fn(&Denials<'_>)) {
    let zone = name("a.");
    let mut owners: Vec<_> = names.iter().map(|(name, kinds)| (hash_of(name, rounds), *kinds)).collect();
    owners.sort();
    let next = owners.iter().cycle().skip(1).map(|(hash, _)| hash.clone());
    let records: Vec<_> = owners
        .iter()
        .zip(next)
        .map(|((hash, kinds), next)| {
            let kinds = kinds.iter().copied();
            let record = NSEC3::new(SHA1, opt_out, rounds, Vec::new(), next, kinds.clone());
            let owner = NSEC3::new(SHA1, false, 0, Vec::new(), hash.clone(), kinds);
            let label = owner.next_hashed_owner_name_base32().unwrap().to_string();
            (name(&format!("{label}.a.")), record)
        })
        .collect();
    let mut hashed = Hashed::new(&zone);
    for (owner, record) in &records {
        hashed.add(owner, record);
    }
    then(&Denials { zone: &zone, plain: Vec::new(), hashed, fault: None, ttl: 0, until: 0 });
}

const NAMES: &[(&str, &[Kind])] = &[
    ("a.", APEX),
    ("b.a.", TEXT),
    ("c.a.", &[]),
    ("d.c.a.", SRV),
    ("e.a.", END),
    ("f.a.", SIGNED_END),
    ("g.a.", ALIAS),
    ("h.a.", DNAME),
    ("i.a.", APEX),
];

#[test]
fn nsec3_records_say_where_a_name_stands() {
    let none: Found = (Err(()), Err(()));
    for (opt_out, absent) in
        [(false, (Ok(NoName), Ok(Gap::NoName))), (true, (Ok(Open), Ok(Gap::Unsigned)))]
    {
        let deep = if opt_out { (Ok(Open), Err(())) } else { absent };
        check(
            |then| with_nsec3(NAMES, opt_out, 3, then),
            &[
                ("b.a.", (Ok(NoRecord), Ok(Gap::None))),
                ("c.a.", (Ok(NoRecord), Ok(Gap::None))),
                ("bb.a.", absent),
                ("x.b.a.", absent),
                // With opt-out, only the name right below one that is there may be a zone.
                ("x.x.b.a.", deep),
                ("d.c.a.", (Err(()), Ok(Gap::None))),
                ("e.a.", (Err(()), Ok(Gap::Unsigned))),
                ("x.e.a.", none),
                ("f.a.", none),
                ("x.f.a.", none),
                ("g.a.", (Err(()), Ok(Gap::None))),
                ("x.h.a.", none),
                ("i.a.", (Ok(NoRecord), Err(()))),
            ],
        );
    }
}

#[test]
fn a_wildcard_counts_where_nothing_closer_is_there() {
    let name = name("x.y.b.a.");
    for (labels, expected) in [(2, Ok(false)), (1, Err(())), (3, Ok(false))] {
        with_nsec3(NAMES, false, 0, &|denials| {
            assert_eq!(denials.nothing_closer(&name, labels).map_err(drop), expected, "{labels}");
        });
    }
    with_nsec3(NAMES, true, 0, &|denials| assert_eq!(denials.nothing_closer(&name, 2), Ok(true)));
    for (labels, expected) in [(2, Ok(false)), (1, Err(())), (3, Err(()))] {
        with_nsec(&[("b.a.", "c.a.", TEXT)], &|denials| {
            assert_eq!(denials.nothing_closer(&name, labels).map_err(drop), expected, "{labels}");
        });
    }
}

#[test]
fn too_many_rounds_prove_nothing() {
    for (rounds, expected) in [(0, Ok(NoRecord)), (500, Ok(NoRecord)), (501, Err(()))] {
        with_nsec3(NAMES, false, rounds, &|denials| {
            assert_eq!(denials.absence(&name("b.a."), Kind::SRV).map_err(drop), expected, "{rounds}");
        });
    }
}
