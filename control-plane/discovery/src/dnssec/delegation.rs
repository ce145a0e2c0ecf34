//! From a zone to the one below: which keys are the lower one's own (RFC 4035 §5.2).

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};

use super::signature::{Examiner, RecordSet, Signed, Zone};

/// The most keys of a zone, and digests of its keys, that are looked at.
const MAX_KEYS: usize = 32;

/// An algorithm that other validators verify and we do not, Ed448: what is signed with it alone is
/// not as good as unsigned, else we would believe what they refuse.
const ED448: Algorithm = Algorithm::Unknown(16);

/// What a zone's keys are known by, before they are seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    pub(super) keys: Vec<PublicKeyBuf>,
    pub(super) digests: Vec<DS>,
}

// === impl Trust ===

impl Trust {
    /// What DS records that are proven say; nothing where nobody could know how to use them, so that the
    /// zone is as good as unsigned (RFC 4035 §5.2, RFC 6840 §5.2).
    pub(super) fn from_digests(set: &RecordSet<'_>) -> Result<Option<Self>, String> {
        let digests = set.records.iter().filter_map(|record| {
            if let RData::DNSSEC(DNSSECRData::DS(digest)) = &record.data { Some(digest) } else { None }
        });
        let digests: Vec<_> = digests.filter(|digest| digest.digest_type().is_supported()).collect();
        let known = digests.iter().filter(|digest| digest.algorithm().is_supported());
        let known: Vec<_> = known.map(|digest| DS::clone(digest)).collect();
        if let Some(best) = known.iter().map(DS::digest_type).max() {
            // A SHA-1 digest counts only where there is no better one, else it could be made to fit (RFC 4509 §3).
            let counts =
                |digest: &DS| best == DigestType::SHA1 || digest.digest_type() != DigestType::SHA1;
            let digests = known.into_iter().filter(counts).take(MAX_KEYS).collect();
            Ok(Some(Self { keys: Vec::new(), digests }))
        } else if digests.iter().any(|digest| digest.algorithm() == ED448) {
            Err("it is signed with Ed448, which Fedgate cannot verify".to_owned())
        } else {
            Ok(None)
        }
    }

    /// The zone, from the response with its keys: one that is known signs them all (RFC 4035 §5.3.1).
    pub(super) fn zone(
        &self,
        apex: &Name,
        response: &Message,
        until: u32,
        examiner: &Examiner,
    ) -> Result<Zone, String> {
        let set = RecordSet::of(&response.answers, apex, RecordType::DNSKEY);
        let keys = set.records.iter().filter_map(|record| {
            if let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data { Some(key) } else { None }
        });
        let keys: Vec<_> = keys.collect();
        if keys.len() > MAX_KEYS {
            return Err(format!("{apex} has more than {MAX_KEYS} DNSKEY records"));
        }
        let known = keys.iter().copied().filter(|key| self.knows(apex, key));
        let known = Zone::new(apex, known, until);
        if known.is_keyless() {
            return Err(format!(
                "none of the {} DNSKEY records of {apex} is one that a DS record, or a trust anchor, names",
                keys.len()
            ));
        }
        let signed = examiner.verify(&known, &set).and_then(Signed::literal)?;
        Ok(Zone::new(apex, keys, until.min(signed.until)))
    }

    fn knows(&self, apex: &Name, key: &DNSKEY) -> bool {
        let named = |digest: &&DS| {
            (Ok(digest.key_tag()), digest.algorithm())
                == (key.calculate_key_tag().map_err(drop), public_algorithm(key))
        };
        self.keys.contains(key.public_key())
            || self.digests.iter().filter(named).any(|digest| digest.covers(apex, key).unwrap_or(false))
    }
}

fn public_algorithm(key: &DNSKEY) -> Algorithm {
    use hickory_proto::dnssec::PublicKey as _;
    key.public_key().algorithm()
}

#[cfg(test)]
#[path = "delegation_tests.rs"]
mod tests;
