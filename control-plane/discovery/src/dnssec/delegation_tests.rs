//! Tables of DS and DNSKEY records.

use super::super::testing::{Key, NOW, dnskey, ds, name};
use super::*;

/// A digest that fits no key.
fn made(algorithm: u8, kind: DigestType) -> DS {
    DS::new(1, Algorithm::from_u8(algorithm), kind, vec![0; 32])
}

#[test]
fn the_digests_that_count_are_those_that_somebody_could_use() {
    use DigestType::{SHA1, SHA256, SHA384, Unknown};
    let key = Key::new();
    let right = |kind| key.digest("a.", kind);
    for (digests, counting) in [
        (vec![right(SHA256)], Ok(Some(1))),
        (vec![right(SHA256), right(SHA384)], Ok(Some(2))),
        (vec![right(SHA1)], Ok(Some(1))),
        (vec![right(SHA1), right(SHA256), right(SHA384)], Ok(Some(2))),
        // Of a kind that is not known, or for an algorithm that is not: as good as unsigned, alone.
        (vec![made(15, Unknown(99))], Ok(None)),
        (vec![made(200, SHA256)], Ok(None)),
        (vec![made(1, SHA256), made(3, SHA256), made(6, SHA256), made(12, SHA256)], Ok(None)),
        (vec![made(200, SHA256), right(SHA256)], Ok(Some(1))),
        (vec![made(15, Unknown(99)), right(SHA256)], Ok(Some(1))),
        (vec![right(SHA1), made(15, Unknown(99))], Ok(Some(1))),
        // Others can verify Ed448.
        (vec![made(16, SHA256)], Err(())),
        (vec![made(16, SHA256), made(200, SHA256)], Err(())),
        (vec![made(16, SHA256), right(SHA256)], Ok(Some(1))),
        (vec![made(16, Unknown(99))], Ok(None)),
    ] {
        let records: Vec<_> = digests.iter().map(|digest| ds("a.", digest.clone())).collect();
        let trust = Trust::from_digests(&RecordSet::of(&records, &name("a."), RecordType::DS));
        let found = trust.map(|trust| trust.map(|trust| trust.digests.len())).map_err(drop);
        assert_eq!(found, counting, "{digests:?}");
    }
}

#[test]
fn a_zones_keys_are_signed_by_one_that_is_known() {
    let (known, other) = (Key::new(), Key::new());
    let (revoked, of_no_zone) = (Key::with_flags(0x181), Key::with_flags(1));
    let crowd: Vec<_> = (0..33).map(|_| Key::new()).collect();
    let crowd: Vec<_> = crowd.iter().chain([&known]).collect();
    for (keys, signer, digest, expected) in [
        (vec![&known], &known, known.digest("a.", DigestType::SHA256), Ok(())),
        (vec![&known, &other], &known, known.digest("a.", DigestType::SHA256), Ok(())),
        (vec![&known, &other], &other, known.digest("a.", DigestType::SHA256), Err("does not have")),
        (
            vec![&other],
            &other,
            known.digest("a.", DigestType::SHA256),
            Err("none of the 1 DNSKEY records"),
        ),
        (
            vec![&known],
            &known,
            known.digest("b.", DigestType::SHA256),
            Err("none of the 1 DNSKEY records"),
        ),
        (vec![&revoked], &revoked, revoked.digest("a.", DigestType::SHA256), Err("is one that")),
        (
            vec![&of_no_zone],
            &of_no_zone,
            of_no_zone.digest("a.", DigestType::SHA256),
            Err("is one that"),
        ),
        (crowd, &known, known.digest("a.", DigestType::SHA256), Err("more than 32 DNSKEY records")),
    ] {
        let records = keys.iter().map(|key| dnskey("a.", key)).collect();
        let mut response = Message::query();
        response.answers = signer.signed("a.", records);
        let trust = Trust { keys: Vec::new(), digests: vec![digest] };
        match (trust.zone(&name("a."), &response, 50, &Examiner::new(NOW)), expected) {
            (Ok(zone), Ok(())) => assert_eq!(zone.until, 50, "no longer than what leads to it"),
            (Err(cause), Err(part)) => assert!(cause.contains(part), "{cause}"),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }
}
