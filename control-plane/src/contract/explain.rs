//! The account of a decision: what is asked, and what is answered.

use fedgate_policy::{Domain, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::domains::ListedDomain;
use super::lookups::TargetBody;
use super::strategy::strategy_schema;
use super::text::DomainText;
use super::verdict::VerdictSchema;

/// What is to be explained.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    /// The backend domain.
    #[schema(example = "a.com")]
    pub(crate) domain: String,
    /// Who calls: another backend (`incoming`), or a service of ours (`outgoing`).
    #[serde(default)]
    pub(crate) direction: Direction,
    /// The client certificate: PEM, of which the first section counts; or DER in base64. Without it, what it decides stays
    /// open. A text with a private key in it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 400_000)]
    pub(crate) certificate: Option<String>,
    /// Whether the caller shows no certificate at all.
    #[serde(default)]
    pub(crate) anonymous: bool,
    /// Whether Envoy validated the certificate's chain, where that is known; taken for granted where it is not, if key and
    /// purposes are such as Envoy takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trusted: Option<bool>,
    /// The value of `Wire-Origin-Domain`; empty where there is none. The domain, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// Another backend calls us.
    #[default]
    Incoming,
    /// A service of ours calls another backend.
    Outgoing,
}

/// A decision, step by step, by what is known at this moment.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Explained {
    /// The domain that the decision is about: the claimed one.
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    pub(crate) direction: Direction,
    pub(crate) decision: DecisionBody,
    /// In the order of the decision.
    pub(crate) steps: Vec<StepBody>,
    #[schema(schema_with = strategy_schema)]
    pub(crate) strategy: fedgate_policy::Strategy,
    /// The domain's entry; null where it is not listed.
    pub(crate) entry: Option<ListedDomain>,
    /// What DNS said; null where it was not asked.
    pub(crate) discovery: Option<DiscoveryBody>,
    /// What the certificate says; null where there is none that can be read.
    pub(crate) certificate: Option<CertificateBody>,
    /// What filters are told of the domain.
    pub(crate) filters: FiltersBody,
}

/// What comes of the request.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DecisionBody {
    /// `permit`; `refusal`; `open`: the certificate decides, which was not given; `no-request`: Envoy ends the handshake.
    pub(crate) outcome: Outcome,
    /// The status of the answer, where it is refused; or where it would be, but for shadow, which `spared` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 403)]
    pub(crate) status: Option<u16>,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "authentication-failure")]
    pub(crate) label: Option<String>,
    /// Its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) message: Option<String>,
    /// Its JSON, but for `request_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Object)]
    pub(crate) body: Option<Value>,
    /// Whether the refusal is only told, and the request passes, because the entry is in shadow.
    pub(crate) spared: bool,
    /// Whether a call of ours may be made, and no target of theirs has an address.
    pub(crate) unreachable: bool,
    /// Who mends it, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) cure: Option<String>,
    /// Where the documents say more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "docs/errors.md#authentication-failure")]
    pub(crate) see: Option<String>,
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = JudgedOutcome)]
pub(crate) enum Outcome {
    Permit,
    Refusal,
    #[default]
    Open,
    NoRequest,
}

/// One step of the decision.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct StepBody {
    /// Its number in the table of the decision.
    #[schema(example = 10)]
    pub(crate) row: u8,
    /// What is looked at, in a word.
    #[schema(example = "names")]
    pub(crate) name: String,
    pub(crate) state: StepState,
    /// What was seen, or why nothing was.
    pub(crate) text: String,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
}

/// `ok`; `no`: it refuses; `shadow`: it would refuse, and is let pass; `not-looked-at`: the text says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StepState {
    Ok,
    No,
    Shadow,
    NotLookedAt,
}

/// What DNS said of a domain.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DiscoveryBody {
    /// Of which SRV records it was asked.
    #[schema(example = "_wire-server-federator._tcp.a.com")]
    pub(crate) question: String,
    /// Who is asked.
    #[schema(example = "192.0.2.53:53")]
    pub(crate) servers: String,
    /// When that was found which is known. RFC 3339, as the following.
    pub(crate) asked_at: String,
    /// When the last lookup ended, whether or not it came to something.
    pub(crate) tried_at: String,
    /// Until when that holds which is known.
    pub(crate) stands_until: String,
    /// For how many seconds that still is.
    pub(crate) ttl_s: u64,
    /// How far that is proven by DNSSEC: `off`: nobody looks; `opportunistic`; `require`, also by the entry.
    #[schema(example = "off")]
    pub(crate) dnssec: String,
    /// Whether DNSSEC proves it; `false` also where nobody has looked.
    pub(crate) proven: bool,
    /// The infrastructure domains that DNS names, before pins.
    pub(crate) hosts: Vec<String>,
    /// What the last lookup came to, if to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) trouble: Option<String>,
    /// Where the domain is to be reached, in the order in which Envoy is told.
    pub(crate) targets: Vec<TargetBody>,
    /// SRV records beside the targets that are none, and why: at most 8.
    pub(crate) passed_over: Vec<String>,
}

/// What a certificate says.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct CertificateBody {
    #[schema(example = "CN=infra.a.com")]
    pub(crate) subject: String,
    pub(crate) issuer: String,
    #[schema(example = "2030-01-31T12:00:00Z")]
    pub(crate) not_before: String,
    #[schema(example = "2030-03-31T12:00:00Z")]
    pub(crate) not_after: String,
    /// Whether it may be used by a client of TLS. Where it may not, Envoy fails the handshake.
    pub(crate) client_auth: bool,
    /// Whether it may be used by a server of TLS.
    pub(crate) server_auth: bool,
    /// Its names, 64 at most: those that stand for an infrastructure domain first, else in their order.
    pub(crate) names: Vec<NameBody>,
    /// How many names it has.
    pub(crate) names_in_all: usize,
}

/// A name in a certificate.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct NameBody {
    #[schema(example = "DNS:fed.a.com")]
    pub(crate) name: String,
    /// The infrastructure domains for which it stands.
    pub(crate) stands_for: Vec<String>,
    /// Why it stands for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "is another name")]
    pub(crate) why_not: Option<String>,
}

/// What filters hold of a domain, as far as we have told them, and they have told us.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct FiltersBody {
    /// What the feed tells; null where it has them ask, or the domain is not on the list.
    #[schema(value_type = Option<VerdictSchema>)]
    pub(crate) verdict: Option<Verdict>,
    /// Since when it tells that, but for how long it holds. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:00:00Z")]
    pub(crate) told_at: Option<String>,
    /// How many workers wait for the next change: each of them has heard of all before.
    pub(crate) waiting: usize,
    /// How many workers report what they do.
    pub(crate) reporting: usize,
    /// Whether there are filters that may decide otherwise than the steps say.
    pub(crate) differs: bool,
    /// What they are told, in words.
    pub(crate) text: String,
    /// Who is not known to have heard it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
}
