//! What the control plane says of one backend domain, and its JSON.
//!
//! ```json
//! {"domain":"a.com","hosts":["federator.infra.a.com"],"ttl_ms":599000}
//! {"domain":"c.com","failure":{"label":"invalid-domain","message":"srv record not found: …"},"ttl_ms":30000}
//! {"domain":"d.com","hosts":["federator.infra.d.com"],"ttl_ms":599000,"shadow":true}
//! ```

use serde::{Deserialize, Serialize};

use crate::feed::Speaker;
use crate::name::{Domain, HostName};

/// The most reference identifiers that one verdict carries.
pub const MAX_HOSTS: usize = 64;

/// The control plane's word on one backend domain, good for `ttl_ms` from its receipt.
///
/// The life is relative, so that the two clocks may differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Verdict {
    /// The backend domain that this is about.
    pub domain: Domain,
    /// What was found.
    pub outcome: Outcome,
    /// For how long, in milliseconds.
    pub ttl_ms: u64,
    /// Whether what discovery and names would refuse is only told, and passes.
    pub shadow: bool,
}

/// A verdict that was asked for, and who gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Told beside it, as two more members.
    pub speaker: Speaker,
    /// See [`FeedPage::age_ms`](crate::feed::FeedPage::age_ms).
    pub age_ms: Option<u64>,
}

/// What the control plane found of a backend domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed and discovered: any of these infrastructure domains may speak for it. 1 to 64.
    Hosts(Vec<HostName>),
    /// Not allowed, or not discovered.
    Failure(Failure),
}

/// Why nobody may speak for a backend domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub label: FailureLabel,
    /// One sentence for whoever has to mend it.
    pub message: String,
}

/// The kinds of failure, with Wire's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureLabel {
    /// Strategy and allow list do not allow the domain.
    FederationDenied,
    /// The domain has no federator: NXDOMAIN, NODATA, or the SRV target `.`.
    InvalidDomain,
    /// DNS did not give a usable answer.
    DiscoveryFailure,
}

/// Why some JSON is not a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// Neither hosts nor a failure, or both.
    #[error("a verdict carries either hosts or a failure")]
    NotOneOutcome,
    /// No host, or too many.
    #[error("a verdict carries 1 to {MAX_HOSTS} hosts, not {0}")]
    HostCount(usize),
}

/// The verdict as it travels. Unknown members are passed over: the two sides may differ in version.
#[derive(Serialize, Deserialize)]
struct Wire {
    domain: Domain,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<HostName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    ttl_ms: u64,
    /// Absent from plain verdicts: there may be very many of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shadow: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control_plane: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

// === impl FailureLabel ===

impl FailureLabel {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::FederationDenied => "federation-denied",
            Self::InvalidDomain => "invalid-domain",
            Self::DiscoveryFailure => "discovery-failure",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// The verdict on a domain that strategy and list do not allow.
    pub fn denied(domain: Domain, ttl_ms: u64) -> Self {
        let message = format!("origin domain [{domain}] not in the federation allow list");
        Self::failed(domain, FailureLabel::FederationDenied, message, ttl_ms)
    }

    /// The verdict on a domain that the list forbids.
    pub fn blocked(domain: Domain, ttl_ms: u64) -> Self {
        let message = format!("origin domain [{domain}] is blocked by the federation allow list");
        Self::failed(domain, FailureLabel::FederationDenied, message, ttl_ms)
    }

    /// Whether strategy or list forbid the domain.
    pub fn is_denial(&self) -> bool {
        matches!(&self.outcome, Outcome::Failure(failure) if failure.label == FailureLabel::FederationDenied)
    }

    /// The verdict on a domain for which nobody may speak.
    pub fn failed(domain: Domain, label: FailureLabel, message: String, ttl_ms: u64) -> Self {
        let outcome = Outcome::Failure(Failure { label, message });
        Self { domain, outcome, ttl_ms, shadow: false }
    }
}

impl TryFrom<Wire> for Verdict {
    type Error = VerdictError;

    fn try_from(wire: Wire) -> Result<Self, VerdictError> {
        let outcome = match (wire.hosts, wire.failure) {
            (Some(hosts), None) if (1..=MAX_HOSTS).contains(&hosts.len()) => Outcome::Hosts(hosts),
            (Some(hosts), None) => return Err(VerdictError::HostCount(hosts.len())),
            (None, Some(failure)) => Outcome::Failure(failure),
            (None, None) | (Some(_), Some(_)) => return Err(VerdictError::NotOneOutcome),
        };
        Ok(Self { domain: wire.domain, outcome, ttl_ms: wire.ttl_ms, shadow: wire.shadow })
    }
}

impl From<Verdict> for Wire {
    fn from(verdict: Verdict) -> Self {
        let (hosts, failure) = match verdict.outcome {
            Outcome::Hosts(hosts) => (Some(hosts), None),
            Outcome::Failure(failure) => (None, Some(failure)),
        };
        let Speaker { store, control_plane } = Speaker::default();
        let Verdict { domain, ttl_ms, shadow, .. } = verdict;
        Self { domain, hosts, failure, ttl_ms, shadow, store, control_plane, age_ms: None }
    }
}

// === impl Answer ===

impl TryFrom<Wire> for Answer {
    type Error = VerdictError;

    fn try_from(mut wire: Wire) -> Result<Self, VerdictError> {
        let speaker = Speaker { store: wire.store.take(), control_plane: wire.control_plane.take() };
        let age_ms = wire.age_ms;
        Ok(Self { verdict: wire.try_into()?, speaker, age_ms })
    }
}

impl From<Answer> for Wire {
    fn from(Answer { verdict, speaker, age_ms }: Answer) -> Self {
        let Speaker { store, control_plane } = speaker;
        Self { store, control_plane, age_ms, ..verdict.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Verdict, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_verdict_is_written_and_read_as_documented() {
        for json in [
            r#"{"domain":"a.com","hosts":["federator.infra.a.com"],"ttl_ms":599000}"#,
            r#"{"domain":"c.com","failure":{"label":"invalid-domain","message":"srv record not found"},"ttl_ms":30000}"#,
            r#"{"domain":"c.com","failure":{"label":"federation-denied","message":"no"},"ttl_ms":1000}"#,
            r#"{"domain":"c.com","failure":{"label":"discovery-failure","message":"no"},"ttl_ms":0}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1,"shadow":true}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn an_answer_is_a_verdict_and_tells_who_gives_it() {
        let json = r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1,"store":"s","control_plane":"p","age_ms":7}"#;
        let answer: Answer = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&answer.verdict, serde_json::to_string(&answer).unwrap().as_str()),
            (&read(json).unwrap(), json)
        );
        let nameless = r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1}"#;
        let answer: Answer = serde_json::from_str(nameless).unwrap();
        assert_eq!(answer.speaker, Speaker::default());
    }

    #[test]
    fn a_member_of_a_later_version_is_passed_over() {
        let verdict = read(r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1,"colour":"red"}"#);
        assert!(matches!(verdict.unwrap().outcome, Outcome::Hosts(hosts) if hosts.len() == 1));
    }

    #[test]
    fn what_is_not_exactly_one_verdict_is_an_error() {
        let many = format!(
            r#"{{"domain":"a.com","hosts":[{}"h.a.com"],"ttl_ms":1}}"#,
            r#""h.a.com","#.repeat(MAX_HOSTS)
        );
        for json in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"domain":"a.com","ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":[],"ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"]}"#,
            r#"{"hosts":["h.a.com"],"ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":-1}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1.5}"#,
            r#"{"domain":"a.com","hosts":["*.a.com"],"ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":["192.0.2.1"],"ttl_ms":1}"#,
            r#"{"domain":"a","hosts":["h.a.com"],"ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"failure":{"label":"invalid-domain","message":""},"ttl_ms":1}"#,
            r#"{"domain":"a.com","failure":{"label":"permitted","message":""},"ttl_ms":1}"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1"#,
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1}{}"#,
            &many,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
