//! What DNS's answer means for discovery: a pure function of the domain and the answer.
//!
//! | the answer | what it means |
//! |---|---|
//! | SRV records | their targets |
//! | none, or only the target `.` (RFC 2782) | `invalid-domain`, for as long as it says |
//! | SRV records without one target that is a host name | `discovery-failure`, as long as they live |
//! | trouble | `discovery-failure`, for two seconds |

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use fedgate_policy::{Domain, Failure, FailureLabel, HostName, MAX_HOSTS, Outcome};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, RecordType};

use super::answer::{Answer, Question};
use super::{Certainty, Discovered, MAX_NEGATIVE_TTL, MAX_PASSED_OVER, MAX_TARGETS, Target, TtlBounds};

/// The question for the SRV records of a backend domain, fully qualified, so that no search list
/// applies; or the finding, where the domain is so long that there can be no such name.
pub(super) fn question(domain: &Domain) -> Result<Question, Discovered> {
    Name::from_ascii(format!("{}.", service(domain)))
        .map(|name| Question::new(name, RecordType::SRV))
        .map_err(|_| no_federator(domain, MAX_NEGATIVE_TTL))
}

/// Says what `answer` to the [`question`] means.
pub(super) fn interpret(domain: &Domain, answer: Answer, bounds: TtlBounds) -> Discovered {
    match answer {
        Answer::Records(records, ttl) => targets(domain, &records, bounds.positive(ttl)),
        Answer::Absent(ttl) => no_federator(domain, bounds.negative(ttl)),
        Answer::Trouble(cause) => Discovered::transient(failure(domain, &cause).message),
    }
}

/// Whether `answer` says that "the service is decidedly not available at this domain" (RFC 2782).
pub(super) fn is_declined(answer: &Answer) -> bool {
    if let Answer::Records(records, _) = answer {
        records.iter().all(|data| matches!(data, RData::SRV(srv) if srv.target.is_root()))
    } else {
        false
    }
}

/// The targets of SRV records: each host name among them is a reference identifier.
fn targets(domain: &Domain, records: &[RData], ttl: Duration) -> Discovered {
    let records =
        records.iter().filter_map(|data| if let RData::SRV(srv) = data { Some(srv) } else { None });
    let mut targets = BTreeSet::new();
    let mut passed_over = BTreeSet::new();
    for srv in records.filter(|srv| !srv.target.is_root()) {
        match target(srv) {
            Ok(target) => drop(targets.insert(target)),
            Err(cause) => {
                tracing::debug!(%domain, cause, "SRV record ignored");
                passed_over.insert(cause);
            }
        }
    }
    let outcome = match (targets.is_empty(), passed_over.first()) {
        (false, _) => Outcome::Hosts(first_hosts(domain, &targets)),
        (true, Some(cause)) => Outcome::Failure(failure(domain, cause)),
        // Only `.`: "the service is decidedly not available at this domain" (RFC 2782).
        (true, None) => return no_federator(domain, ttl),
    };
    let targets = targets.into_iter().take(MAX_TARGETS).collect();
    let passed_over = passed_over.into_iter().take(MAX_PASSED_OVER).collect();
    Discovered { outcome, targets, passed_over, ttl, certainty: Certainty::Answered, is_proven: false }
}

fn target(srv: &SRV) -> Result<Target, String> {
    let text = srv.target.to_ascii();
    if text.trim_end_matches('.').parse::<IpAddr>().is_ok() {
        return Err(format!("the SRV target '{text}' is an IP address, and has to be a host name"));
    }
    let host = HostName::parse(text.as_bytes())
        .map_err(|reason| format!("the SRV target '{text}' {reason}"))?;
    Ok(Target { priority: srv.priority, host, port: srv.port, weight: srv.weight })
}

/// The first [`MAX_HOSTS`] in alphabetical order, so that the same records give the same hosts.
fn first_hosts(domain: &Domain, targets: &BTreeSet<Target>) -> Vec<HostName> {
    let hosts: BTreeSet<&HostName> = targets.iter().map(|target| &target.host).collect();
    if hosts.len() > MAX_HOSTS {
        tracing::warn!(%domain, found = hosts.len(), kept = MAX_HOSTS, "too many SRV targets");
    }
    hosts.into_iter().take(MAX_HOSTS).cloned().collect()
}

fn no_federator(domain: &Domain, ttl: Duration) -> Discovered {
    let message = format!("srv record not found: {}", service(domain));
    let failure = Failure { label: FailureLabel::InvalidDomain, message };
    let outcome = Outcome::Failure(failure);
    let (targets, passed_over) = (Vec::new(), Vec::new());
    Discovered { outcome, targets, passed_over, ttl, certainty: Certainty::Answered, is_proven: false }
}

fn failure(domain: &Domain, cause: &str) -> Failure {
    let message = format!("DNS error: {}: {cause}", service(domain));
    Failure { label: FailureLabel::DiscoveryFailure, message }
}

/// The name of a backend domain's SRV records, as people write it.
fn service(domain: &Domain) -> String {
    format!("_wire-server-federator._tcp.{domain}")
}

#[cfg(test)]
#[path = "interpret_tests.rs"]
mod tests;
