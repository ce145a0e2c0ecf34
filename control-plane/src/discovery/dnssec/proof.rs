//! What a zone's own records prove: an answer to a question, or what is between the zone and a name.
//! Pure functions of the response.

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::delegation::Trust;
use super::denial::{Denials, Denied, Gap};
use super::signature::{Examiner, RecordSet, Signed, Zone, dname};

/// What is between a zone and a name below it, as a response for its DS records proves.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// Nothing: the name is in the zone.
    None,
    /// Nothing: the name is not there, nor any below.
    NoName,
    /// A zone begins there, whose keys are known by this, which is signed for so many seconds.
    Signed(Trust, u32),
    /// From there on nothing is signed as far as can be known; why, and for how many seconds.
    Unsigned(String, u32),
}

/// What a response proves.
#[derive(Debug)]
pub(super) struct Proven {
    /// What of it does, with TTLs that its signatures allow.
    pub(super) message: Message,
    /// Why it proves less, as if its zone were not signed.
    pub(super) weakness: Option<String>,
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
        return Ok(
            match Trust::from_digests(&digests).map_err(|cause| format!("of {child}: {cause}"))? {
                Some(trust) => Cut::Signed(trust, until),
                None => Cut::Unsigned(
                    format!("{} knows no keys of {child} that anybody can use", zone.apex),
                    until,
                ),
            },
        );
    }
    let denials = Denials::of(zone, response, examiner);
    let until = denials.until.min(zone.until);
    if let Some(alias) = alias(zone, child, response, examiner)? {
        return match (alias.from_above, alias.signed.wildcard) {
            (true, _) => Ok(Cut::NoName),
            (false, None) => Ok(Cut::None),
            (false, Some(labels)) => match denials.nothing_closer(child, labels)? {
                Denied::Proven => Ok(Cut::NoName),
                Denied::TooCostly => Ok(Cut::Unsigned(too_costly(zone), until)),
            },
        };
    }
    Ok(match denials.gap(child)? {
        Gap::None => Cut::None,
        Gap::NoName => Cut::NoName,
        Gap::Unsigned => {
            Cut::Unsigned(format!("{} proves that {child} may be unsigned", zone.apex), until)
        }
        Gap::TooCostly => Cut::Unsigned(too_costly(zone), until),
    })
}

/// Sees what a response for records of a kind proves. `name` is in `zone`.
pub(super) fn answer(
    zone: &Zone,
    name: &Name,
    kind: RecordType,
    response: &Message,
    examiner: &Examiner,
) -> Result<Proven, String> {
    let set = RecordSet::of(&response.answers, name, kind);
    let denials = Denials::of(zone, response, examiner);
    let mut message = Message::response(0, OpCode::Query);
    let (denied, ttl) = if !set.is_empty() {
        if response.response_code != ResponseCode::NoError {
            return Err(format!("there are {kind} records of {name} beside {}", response.response_code));
        }
        let signed = examiner.verify(zone, &set)?;
        message.answers = set.records.iter().map(|record| Record::clone(record)).collect();
        (from_wildcard(&denials, name, signed)?, signed.ttl)
    } else if let Some(Alias { record, signed, .. }) = alias(zone, name, response, examiner)? {
        message.answers = vec![record];
        (from_wildcard(&denials, name, signed)?, signed.ttl)
    } else {
        let denied = denials.absence(name, kind)?;
        let soa = RecordSet::of(&response.authorities, &zone.apex, RecordType::SOA);
        let signed = examiner.verify(zone, &soa).and_then(Signed::literal)?;
        message.authorities = soa.records.iter().map(|record| Record::clone(record)).collect();
        message.metadata.response_code = response.response_code;
        (denied, signed.ttl.min(denials.ttl))
    };
    cap(&mut message, ttl.min(zone.until));
    let weakness = (denied == Denied::TooCostly).then(|| too_costly(zone));
    Ok(Proven { message, weakness })
}

/// Has nothing in a message live longer than so many seconds.
pub(super) fn cap(message: &mut Message, seconds: u32) {
    for record in message.answers.iter_mut().chain(&mut message.authorities) {
        record.ttl = record.ttl.min(seconds);
    }
}

/// A wildcard's records come with the proof that the name has none of its own (RFC 4035 §5.3.4).
fn from_wildcard(denials: &Denials<'_>, name: &Name, signed: Signed) -> Result<Denied, String> {
    match signed.wildcard {
        None => Ok(Denied::Proven),
        Some(labels) => denials.nothing_closer(name, labels),
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
    let moved = response.answers.iter().find(|record| {
        record.record_type() == RecordType::DNAME && record.name.zone_of(name) && record.name != *name
    });
    let Some(moved) = moved.filter(|_| set.signatures.is_empty()) else {
        let Some(record) = set.records.first() else { return Ok(None) };
        let signed = examiner.verify(zone, &set)?;
        if set.records.iter().any(|other| other.data != record.data) {
            return Err(format!("{name} is an alias of several names"));
        }
        return Ok(Some(Alias { record: Record::clone(record), signed, from_above: false }));
    };
    let above = RecordSet::of(&response.answers, &moved.name, RecordType::DNAME);
    let signed = examiner.verify(zone, &above).and_then(Signed::literal)?;
    let target = dname(moved).filter(|_| above.records.len() == 1);
    let target = target.ok_or_else(|| format!("the DNAME record of {} is malformed", moved.name))?;
    let kept = name.iter().count().saturating_sub(moved.name.iter().count());
    let target = Name::from_labels(name.iter().take(kept).chain(target.iter()))
        .map_err(|_| format!("the DNAME record of {} makes {name} too long", moved.name))?;
    let data = RData::CNAME(CNAME(target));
    if set.records.iter().any(|record| record.data != data) {
        return Err(format!("the alias of {name} is not what the DNAME record of {} says", moved.name));
    }
    let record = Record::from_rdata(name.clone(), signed.ttl, data);
    Ok(Some(Alias { record, signed, from_above: true }))
}

fn too_costly(zone: &Zone) -> String {
    format!("{} denies with NSEC3 records of more than 150 iterations", zone.apex)
}
