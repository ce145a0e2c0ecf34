//! Denials: what a zone's NSEC and NSEC3 records prove that there is not. Pure functions of records
//! that are proven to be the zone's own.
//!
//! Records of both kinds say where a name stands in the zone ([`Place`]); what follows from that is the
//! same for both:
//!
//! | the name | it has no record of a kind | a zone below begins there |
//! |---|---|---|
//! | is there | if that kind is not among its own, and it is no alias | if it has NS records |
//! | is there only for names below | yes | no |
//! | is not there | if the wildcard beside it is not there, or has none | no, nor below |
//! | may be there, unsigned (opt-out) | not proven | nothing below is proven |
//!
//! (RFC 4035 §5.4; RFC 5155 §8.3 to 8.9; RFC 6840 §4.)

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType, RecordTypeSet};

use super::nsec3::Hashed;
use super::signature::{Examiner, RecordSet, Signed, Zone};

/// The most NSEC and NSEC3 records that are looked at. A denial needs three.
const MAX_RECORDS: usize = 16;

/// What a zone denies, in a response.
#[derive(Debug)]
pub(super) struct Denials<'a> {
    zone: &'a Name,
    plain: Vec<(&'a Name, &'a NSEC)>,
    hashed: Hashed<'a>,
    /// Why the last of the records that do not count does not.
    fault: Option<String>,
    /// For how many seconds they may be kept.
    pub(super) ttl: u32,
    /// For how many seconds their signatures hold.
    pub(super) until: u32,
}

/// Where a name stands in a zone.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// It is there, with records of these kinds.
    There(&'a RecordTypeSet),
    /// It has no records, and there are names below.
    Empty,
    /// It is not there; of its ancestors, the one with so many labels is. With `opt_out`, a zone that is
    /// not signed may begin one label below that.
    NotThere { encloser: usize, opt_out: bool },
}

/// How a name's having no records of a kind, nor an alias, is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It, or a wildcard in its place, is there: the response's code is NOERROR.
    NoRecord,
    /// Neither is there: NXDOMAIN.
    NoName,
    /// Neither is in the zone, and a zone that is not signed may be there (opt-out): nothing is proven.
    Open,
}

/// What is between a zone and a name below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing: the name is in the zone.
    None,
    /// Nothing: the name is not there, nor any below.
    NoName,
    /// A zone that is not signed begins there, or may.
    Unsigned,
}

// === impl Denials ===

impl<'a> Denials<'a> {
    /// What is proven to be of `zone` in a response.
    pub(super) fn of(zone: &'a Zone, message: &'a Message, examiner: &Examiner) -> Self {
        let (zone_name, hashed) = (&zone.apex, Hashed::new(&zone.apex));
        let mut denials = Self {
            zone: zone_name,
            plain: Vec::new(),
            hashed,
            fault: None,
            ttl: u32::MAX,
            until: u32::MAX,
        };
        let kinds = [RecordType::NSEC, RecordType::NSEC3];
        let records = message.authorities.iter().filter(|record| kinds.contains(&record.record_type()));
        for record in records.take(MAX_RECORDS) {
            let set = RecordSet::of(&message.authorities, &record.name, record.record_type());
            let signed = match examiner.verify(zone, &set).and_then(Signed::literal) {
                Ok(signed) => signed,
                Err(fault) => {
                    denials.fault = Some(fault);
                    continue;
                }
            };
            denials.ttl = denials.ttl.min(signed.ttl);
            denials.until = denials.until.min(signed.until);
            if let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data {
                denials.plain.push((&record.name, nsec));
            } else if let RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) = &record.data {
                denials.hashed.add(&record.name, nsec3);
            }
        }
        denials
    }

    /// Sees whether a name has no records of a kind, nor an alias.
    pub(super) fn absence(&self, name: &Name, kind: RecordType) -> Result<Absence, String> {
        let (encloser, opt_out) = match self.locate(name)? {
            Place::There(types) => return self.lacks(name, types, kind).map(|()| Absence::NoRecord),
            Place::Empty => return Ok(Absence::NoRecord),
            Place::NotThere { encloser, opt_out } => (encloser, opt_out),
        };
        let wildcard = name.trim_to(encloser).prepend_label("*").map_err(|error| error.to_string())?;
        let absence = match self.locate(&wildcard)? {
            Place::There(types) => self.lacks(&wildcard, types, kind).map(|()| Absence::NoRecord)?,
            Place::Empty => Absence::NoRecord,
            Place::NotThere { .. } => Absence::NoName,
        };
        Ok(if opt_out { Absence::Open } else { absence })
    }

    /// Sees whether a wildcard below the name's last `labels` labels may stand for it: nothing between
    /// them is there (RFC 4035 §5.3.4, RFC 5155 §8.8). Gives whether a zone that is not signed may be.
    pub(super) fn nothing_closer(&self, name: &Name, labels: usize) -> Result<bool, String> {
        let next = name.trim_to(labels.saturating_add(1));
        let opt_out = if self.plain.is_empty() {
            self.hashed.is_not_there(&next)?
        } else {
            let place = self.locate(name)?;
            matches!(place, Place::NotThere { encloser, .. } if encloser == labels).then_some(false)
        };
        let closer = || format!("{} does not prove that a wildcard stands for {next}", self.zone);
        opt_out.ok_or_else(|| self.silence(closer()))
    }

    /// What is proven about the gap between the zone and `child`, which has no DS records.
    pub(super) fn gap(&self, child: &Name) -> Result<Gap, String> {
        let has = |types: &RecordTypeSet, kind| types.contains(kind);
        match self.locate(child)? {
            Place::There(types) if has(types, RecordType::DS) => {
                Err(format!("{} has a DS record of {child}, which is missing", self.zone))
            }
            Place::There(types) if has(types, RecordType::SOA) => {
                Err(format!("what should deny that {child} has a DS record is of {child} itself"))
            }
            Place::There(types) if has(types, RecordType::NS) => Ok(Gap::Unsigned),
            Place::There(_) | Place::Empty => Ok(Gap::None),
            Place::NotThere { opt_out: false, .. } => Ok(Gap::NoName),
            Place::NotThere { encloser, .. } if encloser.saturating_add(1) == child.iter().count() => {
                Ok(Gap::Unsigned)
            }
            Place::NotThere { .. } => Err(format!("{} leaves open what is above {child}", self.zone)),
        }
    }

    fn locate(&self, name: &Name) -> Result<Place<'a>, String> {
        let place = match self.locate_plainly(name) {
            Some(place) => Some(place),
            None => self.hashed.locate(name)?,
        };
        place.ok_or_else(|| self.silence(format!("{} does not tell whether {name} exists", self.zone)))
    }

    /// Where NSEC records say that a name is (RFC 4034 §4, RFC 4035 §5.4).
    fn locate_plainly(&self, name: &Name) -> Option<Place<'a>> {
        if let Some((_, nsec)) = self.plain.iter().find(|(owner, _)| *owner == name) {
            return Some(Place::There(nsec.type_set()));
        }
        let covers = |(owner, nsec): &&(&'a Name, &'a NSEC)| {
            let next = nsec.next_domain_name();
            // Of a name where a zone ends, the record says nothing of what is below (RFC 6840 §4.1).
            let ends_above = owner.zone_of(name) && nsec.is_ancestor_delegation();
            *owner < name && (name < next || next == self.zone) && !ends_above
        };
        let (owner, nsec) = self.plain.iter().find(covers)?;
        let next = nsec.next_domain_name();
        if name.zone_of(next) {
            return Some(Place::Empty);
        }
        let encloser = common_labels(name, owner).max(common_labels(name, next));
        Some(Place::NotThere { encloser, opt_out: false })
    }

    /// Sees whether a name that is there has no records of a kind.
    fn lacks(&self, name: &Name, types: &RecordTypeSet, kind: RecordType) -> Result<(), String> {
        if types.contains(RecordType::NS) && !types.contains(RecordType::SOA) {
            Err(format!("{} says that {name} is in a zone below", self.zone))
        } else if let Some(kind) =
            [kind, RecordType::CNAME].into_iter().find(|kind| types.contains(*kind))
        {
            Err(format!("{} says that {name} has {kind} records, which are missing", self.zone))
        } else {
            Ok(())
        }
    }

    /// What is wrong with a denial that leaves room for a zone that is not signed.
    pub(super) fn open(&self, name: &Name) -> String {
        format!("{} leaves open whether there is {name}", self.zone)
    }

    /// What there is to say where no record is to the point.
    fn silence(&self, otherwise: String) -> String {
        if !self.plain.is_empty() || !self.hashed.is_empty() {
            return otherwise;
        }
        match &self.fault {
            Some(fault) => fault.clone(),
            None => format!("{otherwise}: there is no NSEC or NSEC3 record"),
        }
    }
}

/// How many labels two names have in common, from the root down.
fn common_labels(one: &Name, other: &Name) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev());
    pairs.take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count()
}

#[cfg(test)]
#[path = "denial_tests.rs"]
mod tests;
