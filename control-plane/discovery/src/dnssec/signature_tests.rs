//! Tables of signatures: right ones, and each way to be wrong.

use hickory_proto::dnssec::Algorithm;

use super::super::testing::{Key, NOW, name, srv};
use super::*;

/// What a signature of `x.y.a.` in the zone `a.` is worth at a time, with its fields altered before it is made.
fn examined(now: u32, alter: impl Fn(&mut SigInput)) -> Result<Signed, String> {
    let key = Key::new();
    let mut records = vec![srv("x.y.a.", "b."), srv("x.y.a.", "c.")];
    let mut input = key.input("a.", &records);
    alter(&mut input);
    records.push(key.sign(input, &records));
    let zone = Zone::new(&name("a."), [&key.public], u32::MAX);
    Examiner::new(now).verify(&zone, &RecordSet::of(&records, &name("x.y.a."), RecordType::SRV))
}

fn time(seconds: u32) -> SerialNumber {
    SerialNumber::new(seconds)
}

#[test]
fn a_signature_holds_for_its_time() {
    let at = |now: u32, from: u32, until: u32| {
        examined(now, |input| {
            (input.sig_inception, input.sig_expiration) = (time(from), time(until));
        })
    };
    let half = 1 << 31;
    for (now, from, until, left) in [
        (NOW, NOW - 1, NOW + 1, Some(1)),
        (NOW, NOW, NOW, Some(0)),
        (NOW, NOW + 1, NOW + 9, None),
        (NOW, NOW - 9, NOW - 1, None),
        (NOW, NOW + 9, NOW - 9, None),
        (NOW, NOW - 9, NOW + half - 10, Some(half - 10)),
        (NOW, NOW - 9, NOW.wrapping_add(half), None),
        // Where 2^32 is passed.
        (5, u32::MAX - 4, 9, Some(4)),
        (u32::MAX - 4, u32::MAX - 9, 9, Some(14)),
        (9, u32::MAX - 9, 5, None),
        (u32::MAX - 9, 5, 9, None),
    ] {
        let found = at(now, from, until);
        assert_eq!(
            found.clone().ok().map(|signed| signed.until),
            left,
            "{now} {from} {until} {found:?}"
        );
    }
    assert!(at(NOW, NOW - 9, NOW - 3).unwrap_err().ends_with("its signature ended 3 seconds ago"));
}

#[test]
fn a_signature_is_of_the_zone_and_the_name() {
    type Alter = fn(&mut SigInput);
    let table: [(Alter, Result<Option<usize>, &str>); 10] = [
        (|_| {}, Ok(None)),
        (|input| input.num_labels = 2, Ok(Some(2))),
        (|input| input.num_labels = 1, Ok(Some(1))),
        (|input| input.num_labels = 0, Ok(Some(0))),
        (|input| input.num_labels = 4, Err("its signature is for another name")),
        (|input| input.signer_name = Name::root(), Err("it is signed by .")),
        (|input| input.signer_name = name("y.a."), Err("it is signed by y.a.")),
        (|input| input.key_tag ^= 1, Err("which the zone does not have")),
        (|input| input.algorithm = Algorithm::ECDSAP256SHA256, Err("which the zone does not have")),
        (|input| input.algorithm = Algorithm::Unknown(200), Err("signed with the algorithm 200")),
    ];
    for (index, (alter, expected)) in table.into_iter().enumerate() {
        match (examined(NOW, alter), expected) {
            (Ok(signed), Ok(wildcard)) => assert_eq!(signed.wildcard, wildcard, "{index}"),
            (Err(cause), Err(part)) => assert!(cause.contains(part), "{index}: {cause}"),
            (found, _) => panic!("{index}: {found:?}"),
        }
    }
    assert!(
        examined(NOW, |input| input.type_covered = RecordType::TXT)
            .unwrap_err()
            .contains("no signature")
    );
}

#[test]
fn a_signature_is_of_all_records_as_they_are() {
    let key = Key::new();
    let zone = Zone::new(&name("a."), [&key.public], u32::MAX);
    let right = key.signed("a.", vec![srv("x.a.", "b."), srv("x.a.", "c.")]);
    let valid = |alter: &dyn Fn(&mut Vec<Record>)| {
        let mut records = right.clone();
        alter(&mut records);
        Examiner::new(NOW).verify(&zone, &RecordSet::of(&records, &name("x.a."), RecordType::SRV))
    };
    let ttl = |alter: &dyn Fn(&mut Vec<Record>)| valid(alter).ok().map(|signed| signed.ttl);
    assert_eq!(ttl(&|_| {}), Some(100), "no longer than the signature");
    assert_eq!(ttl(&|records| records.reverse()), Some(100), "in any order");
    assert_eq!(ttl(&|records| records.push(records[0].clone())), Some(100), "said twice");
    assert_eq!(ttl(&|records| records[0] = srv("X.a.", "B.")), Some(100), "in another case");
    assert_eq!(ttl(&|records| records[1].ttl = 7), Some(7), "for a shorter time");
    assert_eq!(ttl(&|records| records[2].ttl = 8), Some(8), "its signature, too");
    assert_eq!(ttl(&|records| records[0] = srv("x.a.", "d.")), None);
    assert_eq!(ttl(&|records| drop(records.remove(0))), None);
    assert_eq!(ttl(&|records| records.push(srv("x.a.", "d."))), None);
    assert_eq!(ttl(&|records| drop(records.pop())), None);
}

#[test]
fn keys_that_are_no_zones_or_revoked_sign_nothing() {
    for (flags, usable) in [(0x100, true), (0x101, true), (0, false), (1, false), (0x180, false)] {
        let key = Key::with_flags(flags);
        assert_eq!(!Zone::new(&name("a."), [&key.public], 0).is_keyless(), usable, "{flags}");
    }
}

#[test]
fn work_is_bounded() {
    let key = Key::new();
    let records = vec![srv("x.a.", "b.")];
    let (right, wrong) = (key.signed("a.", records.clone()), key.signed("a.", vec![srv("x.a.", "c.")]));
    let with = |wrongs: usize, keys: usize, examiner: &Examiner| {
        let zone = Zone::new(&name("a."), std::iter::repeat_n(&key.public, keys), u32::MAX);
        let mut records = records.clone();
        records.extend(std::iter::repeat_n(wrong[1].clone(), wrongs));
        records.push(right[1].clone());
        examiner.verify(&zone, &RecordSet::of(&records, &name("x.a."), RecordType::SRV))
    };
    // Wrong signatures, keys with the same tag, and whether the right signature behind them is reached.
    for (wrongs, keys, reached) in
        [(0, 1, true), (7, 1, true), (8, 1, false), (1, 7, true), (1, 8, false)]
    {
        let found = with(wrongs, keys, &Examiner::new(NOW));
        assert_eq!(found.is_ok(), reached, "{wrongs} {keys} {found:?}");
    }
    let examiner = Examiner::new(NOW);
    let verified = (0..1000).take_while(|_| with(0, 1, &examiner).is_ok()).count();
    assert_eq!(verified, MAX_ALL_TRIES);
}
