//! What a DNS answer means for discovery: a pure function of the question and the answer.
//!
//! | the answer | what it means |
//! |---|---|
//! | SRV records of the name asked for, or of the end of its CNAME chain | their targets |
//! | NXDOMAIN, NODATA, only the target `.` (RFC 2782) | `invalid-domain`, for as long as it says |
//! | SRV records without one target that is a host name | `discovery-failure`, as long as they live |
//! | a chain that leads out of the answer | ask again for its end |
//! | anything else: an error code, a referral, records of other names, a loop | `discovery-failure`, for two seconds |

use std::collections::BTreeSet;
use std::time::Duration;

use fedgate_policy::{Domain, Failure, FailureLabel, HostName, MAX_HOSTS, Outcome};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};

use super::{Certainty, Discovered, MAX_NEGATIVE_TTL, TtlBounds, honest};

/// The most aliases between the name asked for and its SRV records. A zone needs one, perhaps two.
const MAX_ALIASES: usize = 8;

/// A question that has led, over zero or more aliases, to the name `at`.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    query: Name,
    at: Name,
    aliases: usize,
    least_ttl: u32,
}

/// What to do after an answer.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: this is the finding.
    Found(Discovered),
    /// Ask for the end of the chain of aliases, which the answer did not include.
    Follow(Question),
}

/// Says what `answer` means for `question`.
pub(crate) fn interpret(
    mut question: Question,
    answer: Result<&Message, &NetError>,
    bounds: TtlBounds,
) -> Step {
    let message = match answer {
        Ok(message) => message,
        Err(error) => return Step::Found(no_answer(&question, error, bounds)),
    };
    let aliases = question.aliases;
    if let Err(cause) = question.walk(&message.answers) {
        return Step::Found(question.trouble(cause));
    }
    let records: Vec<(&Record, &SRV)> = message
        .answers
        .iter()
        .filter(|record| record.name == question.at)
        .filter_map(|record| if let RData::SRV(srv) = &record.data { Some((record, srv)) } else { None })
        .collect();
    if !records.is_empty() {
        return Step::Found(targets(&question, &records, bounds));
    }
    let (code, soa) = (message.response_code, negative_ttl(message));
    let negative = question.negative(soa, bounds);
    let followed = question.aliases > aliases;
    if code == ResponseCode::NXDomain {
        Step::Found(negative)
    } else if code != ResponseCode::NoError {
        Step::Found(question.trouble(&mnemonic(code)))
    } else if !followed && !message.answers.is_empty() {
        Step::Found(question.trouble("the answer is about another name"))
    } else if followed && soa.is_none() {
        Step::Follow(question)
    } else {
        Step::Found(negative)
    }
}

/// The targets of SRV records: each host name among them is a reference identifier.
fn targets(question: &Question, records: &[(&Record, &SRV)], bounds: TtlBounds) -> Discovered {
    let mut hosts = BTreeSet::new();
    let mut malformed = None;
    for (_, srv) in records.iter().filter(|(_, srv)| !srv.target.is_root()) {
        let target = srv.target.to_ascii();
        match HostName::parse(target.as_bytes()) {
            Ok(host) => {
                hosts.insert(host);
            }
            Err(reason) => {
                tracing::debug!(query = %question.query, target, %reason, "SRV target ignored");
                malformed.get_or_insert_with(|| format!("the SRV target '{target}' {reason}"));
            }
        }
    }
    let least = records.iter().map(|(record, _)| record.ttl).fold(question.least_ttl, shorter);
    let ttl = bounds.positive(least);
    let outcome = match (hosts.is_empty(), malformed) {
        (false, _) => Outcome::Hosts(first_hosts(question, hosts)),
        (true, Some(cause)) => Outcome::Failure(question.failure(&cause)),
        // Only `.`: "the service is decidedly not available at this domain" (RFC 2782).
        (true, None) => return question.no_federator(ttl),
    };
    Discovered { outcome, ttl, certainty: Certainty::Answered }
}

/// The first [`MAX_HOSTS`] in alphabetical order, so that the same records give the same hosts.
fn first_hosts(question: &Question, hosts: BTreeSet<HostName>) -> Vec<HostName> {
    if hosts.len() > MAX_HOSTS {
        tracing::warn!(query = %question.query, found = hosts.len(), kept = MAX_HOSTS, "too many SRV targets");
    }
    hosts.into_iter().take(MAX_HOSTS).collect()
}

fn no_answer(question: &Question, error: &NetError, bounds: TtlBounds) -> Discovered {
    let NetError::Dns(DnsError::NoRecordsFound(absent)) = error else {
        return question.trouble(&cause(error));
    };
    let code = absent.response_code;
    if code == ResponseCode::NoError && absent.soa.is_none() && absent.ns.is_some() {
        // Name servers without a SOA are a referral (RFC 2308 §2.2): whoever answered is not
        // responsible for the name, and did not ask on.
        question.trouble("a lame server answered with a referral")
    } else if [ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        let soa = absent.soa.as_ref().map(|soa| shorter(soa.ttl, soa.data.minimum));
        question.negative(soa, bounds)
    } else {
        question.trouble(&mnemonic(code))
    }
}

/// The short cause of a failure to get an answer.
#[allow(clippy::wildcard_enum_match_arm, reason = "text for people; the rest has good text itself")]
fn cause(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => mnemonic(*code),
        NetError::Timeout => "no answer in time".to_owned(),
        NetError::Truncated => "the answer was truncated over TCP also".to_owned(),
        other => other.to_string(),
    }
}

/// A response code as `dig` prints it, so that it can be searched for.
#[allow(clippy::wildcard_enum_match_arm, reason = "text for people; the rest has good text itself")]
fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => other.to_string(),
    }
}

fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| {
        if let RData::SOA(soa) = &record.data { Some(shorter(record.ttl, soa.minimum)) } else { None }
    })
}

/// The shorter of two TTLs.
fn shorter(one: u32, other: u32) -> u32 {
    honest(one).min(honest(other))
}

// === impl Question ===

impl Question {
    /// The question for the SRV records of a backend domain, fully qualified, so that no search list
    /// applies; or the finding, where the domain is so long that there can be no such name.
    pub(crate) fn about(domain: &Domain) -> Result<Self, Discovered> {
        let name = format!("_wire-server-federator._tcp.{domain}");
        let Ok(query) = Name::from_ascii(format!("{name}.")) else {
            return Err(no_federator(&name, MAX_NEGATIVE_TTL));
        };
        Ok(Self { at: query.clone(), query, aliases: 0, least_ttl: i32::MAX.unsigned_abs() })
    }

    /// The name to ask for next.
    pub(crate) fn name(&self) -> &Name {
        &self.at
    }

    /// Follows the aliases in `answers` from here, in whatever order they stand.
    fn walk(&mut self, answers: &[Record]) -> Result<(), &'static str> {
        let alias_of = |name: &Name| {
            answers.iter().filter(|record| record.name == *name).find_map(|record| {
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

    /// There is no such name, or no such record; as long as its SOA and the aliases to it live.
    fn negative(&self, soa: Option<u32>, bounds: TtlBounds) -> Discovered {
        self.no_federator(bounds.negative(soa.map(|ttl| shorter(ttl, self.least_ttl))))
    }

    /// The domain has no federator, says DNS.
    fn no_federator(&self, ttl: Duration) -> Discovered {
        no_federator(&bare(&self.query), ttl)
    }

    /// DNS says nothing that we can use.
    pub(crate) fn trouble(&self, cause: &str) -> Discovered {
        Discovered::transient(self.failure(cause).message)
    }

    fn failure(&self, cause: &str) -> Failure {
        let message = format!("DNS error: {}: {cause}", bare(&self.query));
        Failure { label: FailureLabel::DiscoveryFailure, message }
    }
}

fn no_federator(query: &str, ttl: Duration) -> Discovered {
    let message = format!("srv record not found: {query}");
    let failure = Failure { label: FailureLabel::InvalidDomain, message };
    Discovered { outcome: Outcome::Failure(failure), ttl, certainty: Certainty::Answered }
}

/// A name as people write it, without the root's dot.
fn bare(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.len() > 1 && text.ends_with('.') {
        text.pop();
    }
    text
}

#[cfg(test)]
#[path = "interpret_tests.rs"]
mod tests;
