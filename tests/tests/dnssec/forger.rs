//! The forger in the path: the ways to change what BIND answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use hickory_proto::dnssec::Nsec3HashAlgorithm;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NULL, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use crate::resolvers::{ask, query};

/// Where a question stands: the zone two labels deep that it is about, and the question.
pub(crate) struct Scene<'a> {
    server: SocketAddr,
    zone: Name,
    name: &'a Name,
    kind: RecordType,
    told: &'a Told,
}

/// What zones say of names that are not there, so many that it is all that they can say.
pub(crate) type Told = Mutex<BTreeMap<Name, Vec<Record>>>;

/// Zones that aliases lead into, which are left alone.
const HELPS: [&str; 4] = ["nsec.org.", "unsigned.org.", "nsec3.net.", "evil.org."];

/// A way to forge: what becomes of the genuine response to a question about a zone two labels deep.
pub(crate) struct Forgery {
    pub(crate) name: &'static str,
    pub(crate) forge: fn(&Scene<'_>, &mut Message),
}

macro_rules! forgeries {
    ($($(#[$doc:meta])* $group:ident { $($name:ident: $forge:expr;)* })*) => {
        $($(#[$doc])* pub(crate) const $group: &[Forgery] =
            &[$(Forgery { name: stringify!($name), forge: $forge }),*];)*
    };
}

forgeries! {
/// What is lost.
LOST {
    no_signatures: |_, it| retain(it, |record| !is(record, RecordType::RRSIG));
    no_signatures_of_srv: |_, it| retain(it, |record| covered(record) != Some(RecordType::SRV));
    no_denial: |_, it| it.authorities.retain(|record| !is_denial(record));
    no_authority: |_, it| it.authorities.clear();
    no_keys: |scene, it| if scene.kind == RecordType::DNSKEY { it.answers.clear() };
    no_signature_of_keys: |_, it| retain(it, |record| covered(record) != Some(RecordType::DNSKEY));
    no_digests: |scene, it| if scene.kind == RecordType::DS { it.answers.clear() };
}
/// What is changed.
CHANGED {
    another_target: |scene, it| scene.retarget(it, true);
    another_target_unsigned: |scene, it| scene.retarget(it, false);
    longer_lives: |_, it| all(it).for_each(|record| record.ttl = 1_000_000);
    nxdomain_beside_records: |scene, it| if scene.is_srv() { it.metadata.response_code = ResponseCode::NXDomain };
    noerror_for_nxdomain: |_, it| it.metadata.response_code = ResponseCode::NoError;
    other_kinds_in_denials: |_, it| all(it).for_each(without_kinds);
    an_alias_beside_records: |scene, it| if scene.is_srv() { it.answers.push(scene.alias("evil.org.")) };
    an_alias_instead: |scene, it| if scene.is_srv() { it.answers = vec![scene.alias("evil.org.")] };
    another_alias: |scene, it| for record in &mut it.answers {
        if is(record, RecordType::CNAME) { record.data = scene.alias("evil.org.").data.clone() }
    };
    a_dname_above: |scene, it| if scene.is_srv() {
        let evil = Name::from_ascii("evil.org.").unwrap().to_bytes().unwrap();
        let data = RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(evil) };
        it.answers = vec![Record::from_rdata(scene.zone.clone(), 60, data), scene.alias("evil.org.")];
    };
}
/// What is denied, without proof or with a proof of something else.
DENIED {
    nxdomain: |scene, it| scene.deny(it, ResponseCode::NXDomain, vec![]);
    nodata: |scene, it| scene.deny(it, ResponseCode::NoError, vec![]);
    nodata_with_the_zones_soa: |scene, it| {
        let soa = scene.ask(&scene.zone, RecordType::SOA).answers;
        scene.deny(it, ResponseCode::NoError, soa);
    };
    nxdomain_by_a_zone_made_up: |scene, it| {
        let name = scene.name.clone();
        let soa = RData::SOA(SOA::new(name.clone(), name.clone(), 1, 60, 60, 600, 60));
        scene.deny(it, ResponseCode::NXDomain, vec![Record::from_rdata(name, 60, soa)]);
    };
    nxdomain_as_another_name: |scene, it| {
        let other = scene.ask(&scene.below("other-name"), RecordType::SRV).authorities;
        scene.deny(it, ResponseCode::NXDomain, other);
    };
    nodata_as_the_apex: |scene, it| {
        let apex = scene.ask(&scene.zone, RecordType::TXT).authorities;
        scene.deny(it, ResponseCode::NoError, apex);
    };
    nodata_as_a_name_of_another_kind: |scene, it| {
        let own = scene.ask(scene.name, RecordType::TXT).authorities;
        scene.deny(it, ResponseCode::NoError, own);
    };
    nxdomain_by_the_zone_above: |scene, it| {
        let above = scene.by_the_zone_above(scene.name);
        scene.deny(it, ResponseCode::NXDomain, above);
    };
    nxdomain_by_another_zone: |scene, it| {
        let other = Name::from_ascii("other-name.nsec.org.").unwrap();
        let other = scene.ask(&other, RecordType::SRV).authorities;
        scene.deny(it, ResponseCode::NXDomain, other);
    };
}
/// That there is no signed zone, or that it ends above the name.
ENDS {
    no_digests_as_an_unsigned_zone: |scene, it| if scene.is_digest_of_zone() {
        let unsigned = scene.zone.base_name().prepend_label("unsigned").unwrap();
        no_digests(it, &scene.ask(&unsigned, RecordType::DS).authorities);
    } else { scene.retarget(it, false) };
    no_digests_as_a_name_not_there: |scene, it| if scene.is_digest_of_zone() {
        let absent = scene.zone.base_name().prepend_label("other-name").unwrap();
        no_digests(it, &scene.ask(&absent, RecordType::DS).authorities);
    } else { scene.retarget(it, false) };
    no_digests_by_the_zone_itself: |scene, it| if scene.is_digest_of_zone() {
        no_digests(it, &scene.ask(&scene.zone, RecordType::TXT).authorities);
    } else { scene.retarget(it, false) };
    an_end_of_the_zone_denied_above: |scene, it| if scene.is_below() && scene.kind == RecordType::DS {
        no_digests(it, &scene.by_the_zone_above(scene.name));
    } else if scene.is_below() && scene.kind == RecordType::NS {
        it.answers = vec![Record::from_rdata(scene.name.clone(), 60, scene.alias("ns.evil.org.").data)];
    } else { scene.retarget(it, false) };
    an_end_of_the_zone_denied_at_all: |scene, it| if scene.kind == RecordType::DS {
        no_digests(it, &scene.by_the_zone_above(scene.name));
    } else { scene.retarget(it, false) };
    an_end_of_the_zone_as_an_unsigned_one: |scene, it| if scene.is_below() && scene.kind == RecordType::DS {
        no_digests(it, &scene.ask(&scene.below("open"), RecordType::DS).authorities);
    } else { scene.retarget(it, false) };
    an_end_of_the_zone_without_proof: |scene, it| if scene.is_below() && scene.kind == RecordType::DS {
        no_digests(it, &[]);
    } else { scene.retarget(it, false) };
}
/// What wildcards stand for.
WILDCARDS {
    a_wildcard_for_a_name_that_is_there: |scene, it| if scene.is_srv() {
        *it = scene.as_wildcard(it);
    };
    a_wildcard_denied_by_the_zone_above: |scene, it| if scene.is_srv() {
        it.authorities = scene.by_the_zone_above(scene.name);
    };
    a_wildcard_denied_by_another_zone: |scene, it| if scene.is_srv() {
        let other = Name::from_ascii("other-name.nsec.org.").unwrap();
        it.authorities = scene.ask(&other, RecordType::SRV).authorities;
    };
}
}

// === impl Scene ===

impl<'a> Scene<'a> {
    /// That of a question, if it is one to forge the answer of.
    pub(crate) fn of(server: SocketAddr, query: &'a Query, told: &'a Told) -> Option<Self> {
        let zone = query.name().trim_to(2);
        let forged = zone.iter().count() == 2 && !HELPS.contains(&zone.to_ascii().as_str());
        forged.then(|| Self { server, zone, name: query.name(), kind: query.query_type(), told })
    }

    fn ask(&self, name: &Name, kind: RecordType) -> Message {
        ask(self.server, &query(name, kind)).unwrap()
    }

    fn is_srv(&self) -> bool {
        self.kind == RecordType::SRV
    }

    fn is_below(&self) -> bool {
        *self.name != self.zone
    }

    fn is_digest_of_zone(&self) -> bool {
        self.kind == RecordType::DS && !self.is_below()
    }

    fn below(&self, label: &str) -> Name {
        self.zone.prepend_label(label).unwrap()
    }

    fn alias(&self, target: &str) -> Record {
        let data = RData::CNAME(CNAME(Name::from_ascii(target).unwrap()));
        Record::from_rdata(self.name.clone(), 60, data)
    }

    /// Another target for SRV records, and for a name that has none.
    fn retarget(&self, it: &mut Message, signed: bool) {
        if !self.is_srv() {
            return;
        }
        let data = RData::SRV(SRV::new(10, 5, 443, Name::from_ascii("evil.org.").unwrap()));
        let record = Record::from_rdata(self.name.clone(), 60, data);
        it.answers.retain(|record| signed && covered(record) == Some(RecordType::SRV));
        it.answers.insert(0, record);
        it.authorities.clear();
        it.metadata.response_code = ResponseCode::NoError;
    }

    fn deny(&self, it: &mut Message, code: ResponseCode, proof: Vec<Record>) {
        if self.is_srv() {
            it.answers.clear();
            it.authorities = proof;
            it.metadata.response_code = code;
        }
    }

    /// What the zone above has to say that comes nearest to a denial of a name: its SOA record; the NSEC
    /// record of this zone's end; the NSEC3 records that cover the hashes of the name and its ancestors.
    fn by_the_zone_above(&self, name: &Name) -> Vec<Record> {
        let above = self.zone.base_name();
        let label = String::from_utf8(self.zone.iter().next().unwrap().to_vec()).unwrap();
        let beside = self.ask(&above.prepend_label(format!("{label}-0")).unwrap(), RecordType::DS);
        if beside.authorities.iter().any(|record| is(record, RecordType::NSEC)) {
            return beside.authorities;
        }
        let mut told = self.told.lock().unwrap();
        let records = told.entry(above.clone()).or_insert_with(|| {
            let probes = (0..150).map(|n| above.prepend_label(format!("probe-{n}")).unwrap());
            let mut seen: Vec<Record> = Vec::new();
            for record in probes.flat_map(|probe| self.ask(&probe, RecordType::DS).authorities) {
                let same = |other: &Record| (&other.name, &other.data) == (&record.name, &record.data);
                if !seen.iter().any(same) {
                    seen.push(record);
                }
            }
            seen
        });
        let names: Vec<_> =
            (above.iter().count()..=name.iter().count()).map(|n| name.trim_to(n)).collect();
        let owners: Vec<_> =
            records.iter().filter(|record| concerns(record, &names)).map(|r| r.name.clone()).collect();
        let mut seen: Vec<Record> = Vec::new();
        for record in records.iter() {
            let wanted = owners.contains(&record.name) || record.name == above;
            if wanted
                && !seen.iter().any(|other| (&other.name, &other.data) == (&record.name, &record.data))
            {
                seen.push(record.clone());
            }
        }
        seen
    }

    /// The records of the wildcard beside the name, passed off for the name's.
    fn as_wildcard(&self, it: &Message) -> Message {
        let mut labels: Vec<_> = self.name.iter().map(<[u8]>::to_vec).collect();
        let Some(there) = labels.iter().position(|label| label == b"there") else { return it.clone() };
        labels[there] = b"x".to_vec();
        let other = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        let mut message = self.ask(&other, RecordType::SRV);
        message.answers.iter_mut().for_each(|record| record.name = self.name.clone());
        let Message { answers, authorities, .. } = message;
        let mut it = it.clone();
        (it.answers, it.authorities) = (answers, authorities);
        it
    }
}

/// Has it said that there are no such records, with this proof.
fn no_digests(it: &mut Message, proof: &[Record]) {
    it.answers.clear();
    it.authorities = proof.to_vec();
    it.metadata.response_code = ResponseCode::NoError;
}

/// Whether an NSEC3 record covers or matches the hash of one of these names.
fn concerns(record: &Record, names: &[Name]) -> bool {
    let RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) = &record.data else { return false };
    let digits = String::from_utf8(record.name.iter().next().unwrap().to_vec()).unwrap();
    names.iter().any(|name| {
        let hash = Nsec3HashAlgorithm::SHA1.hash(nsec3.salt(), name, nsec3.iterations()).unwrap();
        let hash = base32hex(hash.as_ref());
        let (owner, next) = (digits.to_ascii_lowercase(), base32hex(nsec3.next_hashed_owner_name()));
        if owner < next { owner <= hash && hash < next } else { owner <= hash || hash < next }
    })
}

fn base32hex(bytes: &[u8]) -> String {
    let bits =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect::<Vec<_>>();
    let digit = |group: &[u8]| group.iter().fold(0, |sum, bit| sum << 1 | u32::from(*bit));
    bits.chunks(5).map(|group| char::from_digit(digit(group), 32).unwrap()).collect()
}

fn is(record: &Record, kind: RecordType) -> bool {
    record.record_type() == kind
}

fn is_denial(record: &Record) -> bool {
    let denials = [RecordType::NSEC, RecordType::NSEC3];
    denials.contains(&record.record_type())
        || covered(record).is_some_and(|kind| denials.contains(&kind))
}

/// The kind of records that a signature is for.
fn covered(record: &Record) -> Option<RecordType> {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
    Some(signature.input().type_covered)
}

fn all(it: &mut Message) -> impl Iterator<Item = &mut Record> {
    it.answers.iter_mut().chain(&mut it.authorities)
}

fn retain(it: &mut Message, keep: impl Fn(&Record) -> bool) {
    it.answers.retain(&keep);
    it.authorities.retain(&keep);
}

/// Has a denial say that a name has name servers only.
fn without_kinds(record: &mut Record) {
    if let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data {
        let next = nsec.next_domain_name().clone();
        let nsec = hickory_proto::dnssec::rdata::NSEC::new(next, [RecordType::NS]);
        record.data = RData::DNSSEC(DNSSECRData::NSEC(nsec));
    }
}
