//! NSEC3 records: where a name stands in a zone that tells of its names by their hashes (RFC 5155).

use hickory_proto::dnssec::rdata::NSEC3;
use hickory_proto::rr::Name;

use super::denial::Place;

/// The most rounds of hashing; more prove nothing. unbound and BIND take an answer for insecure from 151
/// on, so that whoever is on the way could have one believed; to go on costs us little, as long as it is
/// bounded (RFC 9276 §3.2 lets validators choose; §3.1 recommends that zones have none).
const MAX_ITERATIONS: u16 = 500;

/// NSEC3 records of a zone, with the hashes that own them.
#[derive(Debug)]
pub(super) struct Hashed<'a> {
    zone: &'a Name,
    records: Vec<(Vec<u8>, &'a NSEC3)>,
}

// === impl Hashed ===

impl<'a> Hashed<'a> {
    pub(super) fn new(zone: &'a Name) -> Self {
        Self { zone, records: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record; one that is not right below the zone's apex is none of its.
    pub(super) fn add(&mut self, owner: &Name, record: &'a NSEC3) {
        let hash = owner.iter().next().and_then(base32hex);
        if let Some(hash) = hash.filter(|_| owner.base_name() == *self.zone) {
            self.records.push((hash, record));
        }
    }

    /// Where a name stands, if the records say so; or why they are of no use (RFC 5155 §8.3).
    pub(super) fn locate(&self, name: &Name) -> Result<Option<Place<'a>>, String> {
        let Some(first) = self.first()? else { return Ok(None) };
        let mut below: Option<Vec<u8>> = None;
        for labels in (self.zone.iter().count()..=name.iter().count()).rev() {
            let Some(hash) = hash(first, &name.trim_to(labels)) else { return Ok(None) };
            let Some((_, found)) = self.records.iter().find(|(owner, _)| *owner == hash) else {
                below = Some(hash);
                continue;
            };
            let Some(below) = below else { return Ok(Some(Place::There(found.type_set()))) };
            if found.is_ancestor_delegation() {
                return Ok(None);
            }
            let place = |opt_out| Place::NotThere { encloser: labels, opt_out };
            return Ok(self.covering(&below).map(|record| place(record.opt_out())));
        }
        Ok(None)
    }

    /// Whether a name whose parent is there is not there itself; if so, whether a zone that is not signed
    /// may begin there (opt-out).
    pub(super) fn is_not_there(&self, name: &Name) -> Result<Option<bool>, String> {
        let Some(first) = self.first()? else { return Ok(None) };
        let covering = hash(first, name).and_then(|hash| self.covering(&hash));
        Ok(covering.map(NSEC3::opt_out))
    }

    /// Any of the records, which are all hashed in the same way, and not too often (RFC 5155 §8.2).
    fn first(&self) -> Result<Option<&'a NSEC3>, String> {
        let way = |record: &'a NSEC3| (record.iterations(), record.salt());
        let first = self.records.first().map(|(_, record)| *record);
        if self.records.iter().any(|(_, record)| Some(way(record)) != first.map(way)) {
            return Err(format!("the NSEC3 records of {} differ in how they are hashed", self.zone));
        }
        match first.filter(|record| record.iterations() > MAX_ITERATIONS) {
            None => Ok(first),
            Some(record) => Err(format!(
                "the NSEC3 records of {} are hashed {} times, and more than {MAX_ITERATIONS} are not looked at",
                self.zone,
                record.iterations()
            )),
        }
    }

    /// The record that says that there is no name with this hash.
    fn covering(&self, hash: &[u8]) -> Option<&'a NSEC3> {
        let covers = |(owner, record): &&(Vec<u8>, &'a NSEC3)| {
            let (owner, next) = (owner.as_slice(), record.next_hashed_owner_name());
            if owner < next { owner < hash && hash < next } else { owner < hash || hash < next }
        };
        self.records.iter().find(covers).map(|(_, record)| *record)
    }
}

/// The hash of a name, with the salt and iterations of a record.
fn hash(like: &NSEC3, name: &Name) -> Option<Vec<u8>> {
    let digest = like.hash_algorithm().hash(like.salt(), name, like.iterations()).ok()?;
    Some(digest.as_ref().to_vec())
}

/// Reads a hash as it stands in a name: 32 digits of base 32 with the extended hex alphabet (RFC 4648 §7).
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    if label.len() != 32 {
        return None;
    }
    let digits = label.iter().map(|&byte| char::from(byte).to_digit(32));
    let digits = digits.map(|digit| Some(u64::from(digit?))).collect::<Option<Vec<_>>>()?;
    let groups = digits.chunks(8).map(|group| group.iter().fold(0, |sum, digit| sum << 5 | digit));
    Some(groups.flat_map(|group: u64| group.to_be_bytes().into_iter().skip(3)).collect())
}
