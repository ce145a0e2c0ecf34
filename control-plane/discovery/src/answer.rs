//! What a DNS response says to a question, whatever kind of record was asked for: a pure function.
//!
//! | the response | what it says |
//! |---|---|
//! | NOERROR, with records of the kind asked for, of the name or of the end of its CNAME chain | those records |
//! | NXDOMAIN, whatever records it has; NODATA | there are none, for as long as it says |
//! | a chain that leads out of the response | ask again for its end |
//! | anything else: an error code, records of other names, a loop | nothing |
//!
//! That it is the answer to the question, and no referral, has been seen to by [`asking`](super::asking).

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::asking::mnemonic;
use super::honest;

/// The most aliases between the name asked for and its records. A zone needs one, perhaps two.
const MAX_ALIASES: usize = 8;

/// A question that has led, over zero or more aliases, to the name `at`.
#[derive(Clone, Debug)]
pub(super) struct Question {
    kind: RecordType,
    at: Name,
    aliases: usize,
    least_ttl: u32,
}

/// What DNS says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These records, one at least, and the least TTL among them and the aliases to them, in seconds.
    Records(Vec<RData>, u32),
    /// There is no such name, or no such record; for so many seconds, where DNS says for how long.
    Absent(Option<u32>),
    /// Nothing that we can use, and why.
    Trouble(String),
}

/// What to do after a response.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing: this is the answer.
    Done(Answer),
    /// Ask for the end of the chain of aliases, which the response did not include.
    Follow(Question),
}

/// Says what `response` means for `question`.
pub(super) fn read(mut question: Question, message: &Message) -> Step {
    let code = message.response_code;
    if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        return Step::Done(Answer::Trouble(mnemonic(code)));
    }
    let aliases = question.aliases;
    if let Err(cause) = question.walk(&message.answers) {
        return Step::Done(trouble(cause));
    }
    let soa = negative_ttl(message, &question.at);
    if code == ResponseCode::NXDomain {
        return Step::Done(question.absent(soa));
    }
    let records = message
        .answers
        .iter()
        .filter(|record| is_of(record, &question.at) && record.record_type() == question.kind);
    let data: Vec<RData> = records.clone().map(|record| record.data.clone()).collect();
    if !data.is_empty() {
        let least = records.map(|record| record.ttl).fold(question.least_ttl, shorter);
        return Step::Done(Answer::Records(data, least));
    }
    let followed = question.aliases > aliases;
    if !followed && !message.answers.is_empty() {
        Step::Done(trouble("the answer is about another name"))
    } else if followed && soa.is_none() {
        Step::Follow(question)
    } else {
        Step::Done(question.absent(soa))
    }
}

// === impl Question ===

impl Question {
    /// The question for the records of that kind of a name.
    pub(super) fn new(name: Name, kind: RecordType) -> Self {
        Self { kind, at: name, aliases: 0, least_ttl: i32::MAX.unsigned_abs() }
    }

    /// The name to ask for next.
    pub(super) fn name(&self) -> &Name {
        &self.at
    }

    /// The kind of record to ask for.
    pub(super) fn kind(&self) -> RecordType {
        self.kind
    }

    /// Both, as DNS is asked for them.
    pub(super) fn query(&self) -> Query {
        Query::query(self.at.clone(), self.kind)
    }

    /// Follows the aliases in `answers` from here, in whatever order they stand.
    fn walk(&mut self, answers: &[Record]) -> Result<(), &'static str> {
        let alias_of = |name: &Name| {
            answers.iter().filter(|record| is_of(record, name)).find_map(|record| {
                if let RData::CNAME(target) = &record.data { Some((record, target)) } else { None }
            })
        };
        while let Some((alias, target)) = alias_of(&self.at) {
            self.aliases = self.aliases.saturating_add(1);
            if self.aliases > MAX_ALIASES {
                return Err("a loop of aliases, or more than 8 of them");
            }
            self.least_ttl = shorter(self.least_ttl, alias.ttl);
            self.at = target.0.clone();
            self.at.set_fqdn(true);
        }
        Ok(())
    }

    /// There is none; as long as its SOA and the aliases to it live.
    fn absent(&self, soa: Option<u32>) -> Answer {
        Answer::Absent(soa.map(|ttl| shorter(ttl, self.least_ttl)))
    }
}

/// Whether a record is one of that name.
fn is_of(record: &Record, name: &Name) -> bool {
    record.name == *name && record.dns_class == DNSClass::IN
}

fn trouble(cause: &str) -> Answer {
    Answer::Trouble(cause.to_owned())
}

/// For how long the zone of `name` lets its absence live: the lesser of its SOA's TTL and MINIMUM (RFC 2308 §5).
fn negative_ttl(message: &Message, name: &Name) -> Option<u32> {
    let encloses = |record: &&Record| record.name.zone_of(name) && record.dns_class == DNSClass::IN;
    message.authorities.iter().filter(encloses).find_map(|record| {
        if let RData::SOA(soa) = &record.data { Some(shorter(record.ttl, soa.minimum)) } else { None }
    })
}

/// The shorter of two TTLs.
fn shorter(one: u32, other: u32) -> u32 {
    honest(one).min(honest(other))
}
