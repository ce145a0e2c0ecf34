//! Keys, signatures and records for tests. What is signed is put together by hickory, so that our way to do
//! that is compared with another.

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, SigningKey as _, TBS};
use hickory_proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

/// The time in all tests, in seconds since 1970.
pub(super) const NOW: u32 = 1_700_000_000;

/// A zone's key.
pub(super) struct Key {
    secret: Ed25519SigningKey,
    pub(super) public: DNSKEY,
}

impl Key {
    pub(super) fn new() -> Self {
        Self::with_flags(0x101)
    }

    pub(super) fn with_flags(flags: u16) -> Self {
        let secret =
            Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let public = DNSKEY::with_flags(flags, secret.to_public_key().unwrap());
        Self { secret, public }
    }

    pub(super) fn tag(&self) -> u16 {
        self.public.calculate_key_tag().unwrap()
    }

    pub(super) fn digest(&self, zone: &str, kind: DigestType) -> DS {
        let digest = self.public.to_digest(&name(zone), kind).unwrap();
        DS::new(self.tag(), Algorithm::ED25519, kind, digest.as_ref().to_vec())
    }

    /// The fields of a right signature of records, for 100 seconds before and after now.
    pub(super) fn input(&self, zone: &str, records: &[Record]) -> SigInput {
        SigInput {
            type_covered: records[0].record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: records[0].name.num_labels(),
            original_ttl: records[0].ttl,
            sig_expiration: SerialNumber::new(NOW + 100),
            sig_inception: SerialNumber::new(NOW - 100),
            key_tag: self.tag(),
            signer_name: name(zone),
        }
    }

    /// The signature of records with these fields; a wrong one, if nothing can be signed with them.
    pub(super) fn sign(&self, input: SigInput, records: &[Record]) -> Record {
        let owner = &records[0].name;
        let data = TBS::from_input(owner, DNSClass::IN, &input, records.iter());
        let signature = data.map(|data| self.secret.sign(&data).unwrap()).unwrap_or_default();
        let signature = DNSSECRData::RRSIG(RRSIG::from_sig(input, signature));
        Record::from_rdata(owner.clone(), records[0].ttl, RData::DNSSEC(signature))
    }

    /// Records, and their signature.
    pub(super) fn signed(&self, zone: &str, mut records: Vec<Record>) -> Vec<Record> {
        records.push(self.sign(self.input(zone, &records), &records));
        records
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(super) fn srv(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 3600, RData::SRV(SRV::new(1, 2, 443, name(target))))
}

pub(super) fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
}

pub(super) fn soa(owner: &str) -> Record {
    let soa = SOA::new(name(owner), name(owner), 1, 60, 60, 60, 60);
    Record::from_rdata(name(owner), 60, RData::SOA(soa))
}

pub(super) fn dnskey(owner: &str, key: &Key) -> Record {
    Record::from_rdata(name(owner), 3600, RData::DNSSEC(DNSSECRData::DNSKEY(key.public.clone())))
}

pub(super) fn ds(owner: &str, digest: DS) -> Record {
    Record::from_rdata(name(owner), 3600, RData::DNSSEC(DNSSECRData::DS(digest)))
}

pub(super) fn nsec(owner: &str, next: &str, kinds: &[RecordType]) -> Record {
    let nsec = NSEC::new(name(next), kinds.iter().copied());
    Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
}
