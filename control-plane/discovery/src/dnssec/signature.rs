//! Signatures: whether a record set is as its zone signed it (RFC 4035 §5.3).
//!
//! A record set counts as a zone's if one of that zone's own keys has signed it, for a time that it is
//! now. Whoever writes an answer decides how many signatures it has and how many keys they may be
//! from, so both are bounded: for a record set, and for an answer as a whole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::ProtoError;
use hickory_proto::dnssec::PublicKey as _;
use hickory_proto::dnssec::Verifier as _;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use hickory_proto::serialize::binary::{
    BinDecodable as _, BinDecoder, BinEncodable, BinEncoder, NameEncoding,
};

/// The most keys that are tried on one record set. While keys change, a set has two or four signatures.
const MAX_TRIES: usize = 8;

/// The most keys that are tried for one answer; a chain of four zones needs about fifteen.
const MAX_ALL_TRIES: usize = 256;

/// A zone, and the keys that are proven to be its own.
#[derive(Debug)]
pub(super) struct Zone {
    /// The name that it begins at.
    pub(super) apex: Name,
    /// For how many seconds all that leads to its keys is signed.
    pub(super) until: u32,
    keys: Vec<(u16, DNSKEY)>,
}

/// Records of one name and kind, and what claims to be their signatures.
#[derive(Debug)]
pub(super) struct RecordSet<'a> {
    name: &'a Name,
    kind: RecordType,
    pub(super) records: Vec<&'a Record>,
    pub(super) signatures: Vec<(u32, &'a RRSIG)>,
}

/// What the signature of a record set says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// How many labels the name has below which a wildcard stands that these are the records of.
    pub(super) wildcard: Option<usize>,
    /// For how many seconds the records may be kept (RFC 4035 §5.3.3).
    pub(super) ttl: u32,
    /// For how many seconds the signature holds.
    pub(super) until: u32,
}

/// Looks at signatures for one answer: at a certain time, and only so many of them.
#[derive(Debug)]
pub(super) struct Examiner {
    now: u32,
    left: AtomicUsize,
}

// === impl Zone ===

impl Zone {
    /// The zone with these keys, as far as a zone's records can be signed with them.
    pub(super) fn new<'k>(apex: &Name, keys: impl IntoIterator<Item = &'k DNSKEY>, until: u32) -> Self {
        let usable = |key: &&DNSKEY| key.zone_key() && !key.revoke();
        let keys = keys.into_iter().filter(usable);
        let keys = keys.filter_map(|key| Some((key.calculate_key_tag().ok()?, key.clone())));
        Self { apex: apex.clone(), until, keys: keys.collect() }
    }

    /// Whether none of its keys is of use.
    pub(super) fn is_keyless(&self) -> bool {
        self.keys.is_empty()
    }
}

// === impl RecordSet ===

impl<'a> RecordSet<'a> {
    /// The records of this name and kind in a section of a response.
    pub(super) fn of(section: &'a [Record], name: &'a Name, kind: RecordType) -> Self {
        let mut set = Self { name, kind, records: Vec::new(), signatures: Vec::new() };
        let own = |record: &&Record| record.name == *name && record.dns_class == DNSClass::IN;
        for record in section.iter().filter(own) {
            if record.record_type() == kind {
                set.records.push(record);
            } else if let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data
                && signature.input().type_covered == kind
            {
                set.signatures.push((record.ttl, signature));
            }
        }
        set
    }

    /// Whether there is no such record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What is signed: the fields of the signature, and the records in their canonical form and order
    /// (RFC 4034 §3.1.8.1, §6).
    fn signed_data(&self, input: &SigInput) -> Result<Vec<u8>, ProtoError> {
        let labels = usize::from(input.num_labels);
        let owner = if input.num_labels < self.name.num_labels() {
            self.name.trim_to(labels).prepend_label("*")?
        } else {
            self.name.clone()
        };
        let mut head = canonical(&owner.to_lowercase())?;
        head.extend(u16::from(self.kind).to_be_bytes());
        head.extend(u16::from(DNSClass::IN).to_be_bytes());
        head.extend(input.original_ttl.to_be_bytes());
        let mut data = canonical(input)?;
        let records = self.records.iter().map(|record| match dname(record) {
            Some(target) => canonical(&CNAME(target)),
            None => canonical(&record.data),
        });
        for record in records.collect::<Result<BTreeSet<_>, _>>()? {
            let length = u16::try_from(record.len()).map_err(|_| "a record is too long")?;
            data.extend([&head[..], &length.to_be_bytes(), &record].concat());
        }
        Ok(data)
    }
}

// === impl Signed ===

impl Signed {
    /// The signature, if it is one of these very records, and not of a wildcard's.
    ///
    /// Only what answers a question is ever made from a wildcard, so a DS, DNSKEY, NSEC or DNAME record
    /// that was is passed off for what it is not.
    pub(super) fn literal(self) -> Result<Self, String> {
        if self.wildcard.is_some() { Err("it is a wildcard's".to_owned()) } else { Ok(self) }
    }
}

// === impl Examiner ===

impl Examiner {
    /// One at this time, in seconds since 1970 modulo 2^32.
    pub(super) fn new(now: u32) -> Self {
        Self { now, left: AtomicUsize::new(MAX_ALL_TRIES) }
    }

    /// Sees whether a record set is the zone's own, or says why not.
    pub(super) fn verify(&self, zone: &Zone, set: &RecordSet<'_>) -> Result<Signed, String> {
        self.try_verify(zone, set).map_err(|cause| {
            format!(
                "the {} record of {} is not proven to be of the zone {}: {cause}",
                set.kind, set.name, zone.apex
            )
        })
    }

    fn try_verify(&self, zone: &Zone, set: &RecordSet<'_>) -> Result<Signed, String> {
        if set.is_empty() {
            return Err("there is none".to_owned());
        }
        let (mut cause, mut tries) = ("it has no signature".to_owned(), 0_usize);
        for (ttl, signature) in &set.signatures {
            if let Err(fault) = self.fault(zone, set, signature.input()) {
                cause = fault;
                continue;
            }
            let input = signature.input();
            cause = format!("it is signed with the key {}, which the zone does not have", input.key_tag);
            let data = set.signed_data(input).map_err(|error| error.to_string())?;
            for (tag, key) in &zone.keys {
                if (*tag, key.public_key().algorithm()) != (input.key_tag, input.algorithm) {
                    continue;
                }
                tries = tries.saturating_add(1);
                if tries > MAX_TRIES || !self.may_try() {
                    return Err("it has too many signatures".to_owned());
                }
                if key.verify(&data, signature.sig()).is_ok() {
                    return Ok(self.signed(*ttl, set, input));
                }
                "its signature is of other records".clone_into(&mut cause);
            }
        }
        Err(cause)
    }

    /// What is wrong with a signature, apart from not being one.
    fn fault(&self, zone: &Zone, set: &RecordSet<'_>, input: &SigInput) -> Result<(), String> {
        let now = SerialNumber::new(self.now);
        let in_order = |one: SerialNumber, other: SerialNumber| one <= other;
        if input.signer_name != zone.apex {
            Err(format!("it is signed by {}", input.signer_name))
        } else if !zone.apex.zone_of(set.name) || input.num_labels > set.name.num_labels() {
            Err("its signature is for another name".to_owned())
        } else if !input.algorithm.is_supported() {
            Err(format!("it is signed with the algorithm {}", u8::from(input.algorithm)))
        } else if !in_order(input.sig_inception, now)
            || !in_order(input.sig_inception, input.sig_expiration)
        {
            Err(format!(
                "its signature is not valid yet, or our clock is {}",
                behind(now, input.sig_inception)
            ))
        } else if !in_order(now, input.sig_expiration) {
            Err(format!("its signature ended {}", behind(input.sig_expiration, now)))
        } else {
            Ok(())
        }
    }

    fn signed(&self, ttl: u32, set: &RecordSet<'_>, input: &SigInput) -> Signed {
        let labels = input.num_labels;
        let until = input.sig_expiration.get().wrapping_sub(self.now);
        let ttls = set.records.iter().map(|record| record.ttl);
        let ttl = ttls.chain([ttl, input.original_ttl, until]).min().unwrap_or_default();
        let wildcard = (labels < set.name.num_labels()).then(|| labels.into());
        Signed { wildcard, ttl, until }
    }

    fn may_try(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

/// The target of a DNAME record, which hickory does not know.
pub(super) fn dname(record: &Record) -> Option<Name> {
    let RData::Unknown { code: RecordType::DNAME, rdata } = &record.data else { return None };
    let mut decoder = BinDecoder::new(&rdata.anything);
    let mut target = Name::read(&mut decoder).ok()?;
    target.set_fqdn(true);
    decoder.is_empty().then_some(target)
}

/// The canonical form of a record's data or of a name (RFC 4034 §6.2, RFC 6840 §5.1).
fn canonical(data: &impl BinEncodable) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder)?;
    Ok(bytes)
}

/// By how much one time is behind a later one, in words.
fn behind(earlier: SerialNumber, later: SerialNumber) -> String {
    let seconds = later.get().wrapping_sub(earlier.get());
    match seconds {
        0..7_200 => format!("{seconds} seconds ago"),
        7_200..172_800 => format!("{} hours ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
