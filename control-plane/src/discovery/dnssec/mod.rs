//! DNSSEC (RFC 4033 to 4035): which answers count, by how well they are proven.
//!
//! | the answer is | `opportunistic` | `require` |
//! |---|---|---|
//! | secure: a chain of signatures leads to it from a trust anchor | counts | counts |
//! | insecure: such a chain proves that its zone is not signed | counts | trouble |
//! | bogus: neither, though there should be one | trouble | trouble |
//! | indeterminate: nobody has looked | trouble | trouble |
//!
//! That there is no such record must be proven as well as any record. An answer is as good as the
//! least proven alias on the way to it.
//!
//! What does not count is *trouble*, as SERVFAIL is, which is also what a validating resolver makes of
//! a bogus answer. So whoever can spoil answers can neither have one believed, nor have us forget one
//! that was proven before its time is over, nor keep it alive beyond that; and two seconds after the
//! zone is mended we know.
//!
//! [`validator`] has hickory validate, [`anchors`] is where trust begins; here it is judged.

pub(crate) mod anchors;
mod validator;

use std::str::FromStr;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::answer::{Answer, Question, Step, read};
use anchors::Anchors;
pub(super) use validator::Validator;

/// Whether answers are to be proven.
#[derive(Clone, Debug)]
pub(crate) enum Dnssec {
    /// No: whatever DNS says counts.
    Off,
    /// So far, from these trust anchors.
    On(Demand, Anchors),
}

/// How far answers are to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Where their zone is signed.
    Opportunistic,
    /// All of them.
    Require,
}

/// The values of `discovery.dnssec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) Option<Demand>);

/// Says what a validated response means for `question`, as [`read`] does for one that is not. It is
/// to be about the question's name only: of several aliases in a row, the first.
fn read_proven(demand: Demand, question: Question, response: Result<&Message, &NetError>) -> Step {
    let (message, proof) = match response {
        Ok(message) => (message, proof(&question, message)),
        // So says hickory of a denial that does not prove what it denies.
        Err(NetError::Dns(DnsError::Nsec { response, proof: denial, .. })) => {
            (&***response, proof(&question, response).min(*denial))
        }
        Err(error) => return Step::Done(Answer::Trouble(error.to_string())),
    };
    match demand.objection(proof) {
        None => read(question, message),
        Some(objection) => Step::Done(Answer::Trouble(objection.to_owned())),
    }
}

/// How well it is proven what a validated response says to `question`.
fn proof(question: &Question, message: &Message) -> Proof {
    let about_it = |record: &&Record| record.name == *question.name();
    let counts = |record: &&Record| [question.kind(), RecordType::CNAME].contains(&record.record_type());
    let answers = message.answers.iter().filter(about_it).filter(counts);
    match answers.map(|record| record.proof).min() {
        // Else a wildcard's records could be passed off as those of a name that has its own.
        Some(Proof::Secure) if is_from_wildcard(message) && !has_denial(message) => Proof::Bogus,
        Some(proof) => proof,
        None => proof_of_absence(question, message),
    }
}

/// How well it is proven that there is no such record.
///
/// hickory has seen to it that a secure NSEC or NSEC3 record proves that, and that without any the
/// name's zone is not signed: with one exception. Where all that the message holds is insecure, it
/// does not ask of what zone, so that any unsigned zone's SOA record would do to deny any name.
fn proof_of_absence(question: &Question, message: &Message) -> Proof {
    let encloses = |record: &Record| {
        record.record_type() == RecordType::SOA && record.name.zone_of(question.name())
    };
    if has_denial(message) {
        Proof::Secure
    } else if message.authorities.is_empty()
        || message.authorities.iter().any(|record| encloses(record) && record.proof.is_insecure())
    {
        Proof::Insecure
    } else {
        Proof::Bogus
    }
}

/// Whether a signature that proves an answer was made for a wildcard (RFC 4035 §5.3.4).
fn is_from_wildcard(message: &Message) -> bool {
    let signatures = message.answers.iter().filter(|record| record.proof.is_secure());
    signatures.into_iter().any(|record| {
        let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return false };
        signature.input().num_labels < record.name.num_labels()
    })
}

/// Whether there is a secure denial, which hickory then has found to be to the point.
fn has_denial(message: &Message) -> bool {
    message.authorities.iter().any(|record| {
        record.proof.is_secure() && [RecordType::NSEC, RecordType::NSEC3].contains(&record.record_type())
    })
}

// === impl Demand ===

impl Demand {
    /// Why an answer that is so well proven does not count, and what to do about it.
    fn objection(self, proof: Proof) -> Option<&'static str> {
        match (self, proof) {
            (_, Proof::Secure) | (Self::Opportunistic, Proof::Insecure) => None,
            (Self::Require, Proof::Insecure) => Some(
                "DNSSEC: the answer is insecure, and discovery.dnssec is \"require\": sign the zone, or an alias leads out of a signed one",
            ),
            (_, Proof::Bogus) => Some(
                "DNSSEC: the answer is bogus: mend the zone's signatures and its DS record, or a resolver that loses them; see `delv`",
            ),
            (_, Proof::Indeterminate) => Some("DNSSEC: the answer could not be validated; see `delv`"),
        }
    }
}

// === impl Mode ===

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            "opportunistic" => Ok(Self(Some(Demand::Opportunistic))),
            "require" => Ok(Self(Some(Demand::Require))),
            _ => Err("is neither `off`, `opportunistic` nor `require`"),
        }
    }
}

#[cfg(test)]
mod tests;
