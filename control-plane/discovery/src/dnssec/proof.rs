//! What a zone's own records prove: an answer to a question, or what is between the zone and a name.
//! Pure functions of the response.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::delegation::Trust;
use super::denial::{Absence, Denials, Gap};
use super::signature::{Examiner, RecordSet, Signed, Zone, dname};

/// The most records of a denial that are looked at where nothing need be signed.
const MAX_DENIALS: usize = 16;

/// What is between a zone and a name below it, as a response for its DS records proves.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// Nothing: the name is in the zone.
    None,
    /// Nothing: the name is not there, nor any below.
    NoName,
    /// A zone begins there, whose keys are known by this, which is signed for so many seconds.
    Signed(Trust, u32),
    /// From there on nothing is signed as far as can be known.
    Unsigned(Unsigned),
}

/// That what is below a zone need not be signed.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    /// The name from which on that is so.
    from: Name,
    /// Why that is so.
    pub(super) why: String,
    /// For how many seconds that is signed.
    pub(super) until: u32,
    /// Whether the response says that there is no such name, which the zone leaves open.
    no_name: bool,
}

/// An alias, and how it is proven.
struct Alias {
    record: Record,
    signed: Signed,
    /// Whether it comes from a DNAME record above the name.
    from_above: bool,
}

/// Sees what a response for `child`'s DS records proves. `child` is below `zone`.
pub(super) fn cut(
    zone: &Zone,
    child: &Name,
    response: &Message,
    examiner: &Examiner,
) -> Result<Cut, String> {
    let digests = RecordSet::of(&response.answers, child, RecordType::DS);
    if !digests.is_empty() {
        let signed = examiner.verify(zone, &digests).and_then(Signed::literal)?;
        let until = signed.until.min(zone.until);
        let trust = Trust::from_digests(&digests).map_err(|cause| format!("of {child}: {cause}"))?;
        let why = format!("{} knows no keys of {child} that anybody can use", zone.apex);
        let from = child.clone();
        let unsigned = || Cut::Unsigned(Unsigned { from, why, until, no_name: false });
        return Ok(trust.map_or_else(unsigned, |trust| Cut::Signed(trust, until)));
    }
    let denials = Denials::of(zone, response, examiner);
    let unsigned = || {
        Cut::Unsigned(Unsigned {
            from: child.clone(),
            why: format!("{} proves that {child} need not be signed", zone.apex),
            until: denials.until.min(zone.until),
            no_name: response.response_code == ResponseCode::NXDomain,
        })
    };
    if let Some(alias) = alias(zone, child, response, examiner)? {
        return Ok(match (alias.from_above, alias.signed.wildcard) {
            (false, None) => Cut::None,
            (false, Some(labels)) if denials.nothing_closer(child, labels)? => unsigned(),
            (_, _) => Cut::NoName,
        });
    }
    Ok(match denials.gap(child)? {
        Gap::None => Cut::None,
        Gap::NoName => Cut::NoName,
        Gap::Unsigned => unsigned(),
    })
}

/// Sees what a response for records of a kind proves, and gives that alone, with TTLs that its signatures
/// allow. `name` is in `zone`.
pub(super) fn answer(
    zone: &Zone,
    name: &Name,
    kind: RecordType,
    response: &Message,
    examiner: &Examiner,
) -> Result<Message, String> {
    let set = RecordSet::of(&response.answers, name, kind);
    let denials = Denials::of(zone, response, examiner);
    let mut message = Message::response(0, OpCode::Query);
    let ttl = if !set.is_empty() {
        if response.response_code != ResponseCode::NoError {
            return Err(format!("there are {kind} records of {name} beside {}", response.response_code));
        }
        one_or_other(name, &set, &RecordSet::of(&response.answers, name, RecordType::CNAME))?;
        let signed = examiner.verify(zone, &set)?;
        message.answers = set.records.iter().map(|&record| record.clone()).collect();
        from_wildcard(&denials, name, signed)?;
        signed.ttl
    } else if let Some(Alias { record, signed, .. }) = alias(zone, name, response, examiner)? {
        message.answers = vec![record];
        from_wildcard(&denials, name, signed)?;
        signed.ttl
    } else {
        let code = match denials.absence(name, kind)? {
            Absence::NoRecord => ResponseCode::NoError,
            Absence::NoName => ResponseCode::NXDomain,
            Absence::Open => return Err(denials.open(name)),
        };
        if response.response_code != code {
            return Err(format!(
                "{} denies {name} as with {code}, not {}",
                zone.apex, response.response_code
            ));
        }
        let soa = RecordSet::of(&response.authorities, &zone.apex, RecordType::SOA);
        let signed = examiner.verify(zone, &soa).and_then(Signed::literal)?;
        message.authorities = soa.records.iter().map(|&record| record.clone()).collect();
        message.metadata.response_code = response.response_code;
        signed.ttl.min(denials.ttl)
    };
    cap(&mut message, ttl.min(zone.until));
    Ok(message)
}

/// Sees to it that an answer from below `zone`, where nothing need be signed, does not contradict what
/// is: what claims to be of the zone, or signed by it or one above, is so; and there is no name that it says
/// there is not. Whoever is on the way could claim less, so this proves nothing; it finds mistakes.
pub(super) fn consistent(
    zone: &Zone,
    unsigned: &Unsigned,
    name: &Name,
    kind: RecordType,
    response: &Message,
    examiner: &Examiner,
) -> Result<(), String> {
    let kinds = [kind, RecordType::CNAME];
    let [records, aliases] = kinds.map(|kind| RecordSet::of(&response.answers, name, kind));
    if response.response_code != ResponseCode::NoError && !records.is_empty() {
        return Err(format!("there are {kind} records of {name} beside {}", response.response_code));
    }
    one_or_other(name, &records, &aliases)?;
    one_alias(name, &aliases)?;
    let signed_by_zone = |set: &RecordSet<'_>| {
        let mut signers = set.signatures.iter().map(|(_, signature)| &signature.input().signer_name);
        !set.is_empty() && signers.any(|signer| signer.zone_of(&zone.apex))
    };
    let authorities = response.authorities.iter().take(MAX_DENIALS);
    let sets = authorities
        .map(|record| RecordSet::of(&response.authorities, &record.name, record.record_type()));
    for set in sets.filter(signed_by_zone) {
        examiner.verify(zone, &set)?;
    }
    if let Some(moved) = dname_above(name, response) {
        if !unsigned.from.zone_of(&moved.name) {
            let set = RecordSet::of(&response.answers, &moved.name, RecordType::DNAME);
            examiner.verify(zone, &set).and_then(Signed::literal)?;
        }
        moves_to(moved, name, &aliases)?;
    }
    if records.is_empty() && aliases.is_empty() {
        return consistently_absent(zone, unsigned, name, kind, response, examiner);
    }
    for set in [records, aliases].iter().filter(|set| !set.is_empty()) {
        if signed_by_zone(set) {
            if let Some(labels) = examiner.verify(zone, set)?.wildcard {
                Denials::of(zone, response, examiner).nothing_closer(name, labels)?;
            }
        } else if unsigned.no_name {
            return Err(format!(
                "there are records of {name}, where {} has said that there is no name",
                zone.apex
            ));
        }
    }
    Ok(())
}

/// The same for an answer that has no records: it comes from below, or the zone leaves the name open.
fn consistently_absent(
    zone: &Zone,
    unsigned: &Unsigned,
    name: &Name,
    kind: RecordType,
    response: &Message,
    examiner: &Examiner,
) -> Result<(), String> {
    let of_soa = |record: &&Record| record.record_type() == RecordType::SOA;
    let from_below = |soa: &Record| unsigned.from.zone_of(&soa.name) && soa.name.zone_of(name);
    match response.authorities.iter().find(of_soa) {
        Some(soa) if soa.name == zone.apex => {
            let soa = RecordSet::of(&response.authorities, &zone.apex, RecordType::SOA);
            examiner.verify(zone, &soa).and_then(Signed::literal)?;
            Denials::of(zone, response, examiner).absence(name, kind).map(drop)
        }
        Some(soa) if !from_below(soa) => Err(format!("{name} is denied by another zone")),
        _ if unsigned.no_name => {
            Err(format!("that there is no {name} is not told by {}, which has no zone there", zone.apex))
        }
        _ => Ok(()),
    }
}

/// A name that is an alias has no other records (RFC 1034 §3.6.2).
fn one_or_other(name: &Name, records: &RecordSet<'_>, aliases: &RecordSet<'_>) -> Result<(), String> {
    if records.is_empty() || aliases.is_empty() {
        return Ok(());
    }
    Err(format!("{name} has an alias beside other records"))
}

/// Nor is it an alias of several (RFC 2181 §10.1).
fn one_alias(name: &Name, aliases: &RecordSet<'_>) -> Result<(), String> {
    let mut pairs = aliases.records.windows(2);
    if pairs.any(|pair| matches!(pair, [one, other] if one.data != other.data)) {
        return Err(format!("{name} is an alias of several names"));
    }
    Ok(())
}

/// Has nothing in a message live longer than so many seconds.
pub(super) fn cap(message: &mut Message, seconds: u32) {
    for record in message.answers.iter_mut().chain(&mut message.authorities) {
        record.ttl = record.ttl.min(seconds);
    }
}

/// A wildcard's records come with the proof that the name has none of its own (RFC 4035 §5.3.4).
fn from_wildcard(denials: &Denials<'_>, name: &Name, signed: Signed) -> Result<(), String> {
    match signed.wildcard {
        Some(labels) if denials.nothing_closer(name, labels)? => Err(denials.open(name)),
        _ => Ok(()),
    }
}

/// The alias that a response has of a name, if it has one: signed itself, or made from a DNAME record
/// that is (RFC 6672 §5.3.1).
fn alias(
    zone: &Zone,
    name: &Name,
    response: &Message,
    examiner: &Examiner,
) -> Result<Option<Alias>, String> {
    let set = RecordSet::of(&response.answers, name, RecordType::CNAME);
    let moved = dname_above(name, response).filter(|_| set.signatures.is_empty());
    let Some(moved) = moved else {
        let Some(record) = set.records.first() else { return Ok(None) };
        let signed = examiner.verify(zone, &set)?;
        one_alias(name, &set)?;
        return Ok(Some(Alias { record: Record::clone(record), signed, from_above: false }));
    };
    let above = RecordSet::of(&response.answers, &moved.name, RecordType::DNAME);
    let signed = examiner.verify(zone, &above).and_then(Signed::literal)?;
    if above.records.len() > 1 {
        return Err(format!("{} has several DNAME records", moved.name));
    }
    let record = Record::from_rdata(name.clone(), signed.ttl, moves_to(moved, name, &set)?);
    Ok(Some(Alias { record, signed, from_above: true }))
}

/// The DNAME record of an ancestor of a name.
fn dname_above<'a>(name: &Name, response: &'a Message) -> Option<&'a Record> {
    response.answers.iter().find(|record| {
        record.record_type() == RecordType::DNAME && record.name.zone_of(name) && record.name != *name
    })
}

/// What a DNAME record above a name makes it an alias of; the aliases beside it have to say the same.
fn moves_to(moved: &Record, name: &Name, aliases: &RecordSet<'_>) -> Result<RData, String> {
    let target =
        dname(moved).ok_or_else(|| format!("the DNAME record of {} is malformed", moved.name))?;
    let kept = name.iter().count().saturating_sub(moved.name.iter().count());
    let target = Name::from_labels(name.iter().take(kept).chain(target.iter()))
        .map_err(|_| format!("the DNAME record of {} makes {name} too long", moved.name))?;
    let data = RData::CNAME(CNAME(target));
    if aliases.records.iter().any(|record| record.data != data) {
        return Err(format!("the alias of {name} is not what the DNAME record of {} says", moved.name));
    }
    Ok(data)
}
