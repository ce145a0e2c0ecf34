//! How we stand with each partner.

use fedgate_policy::{Domain, Verdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::domains::ListedDomain;
use super::lookups::{Lookups, Refreshed};
use super::text::DomainText;
use super::verdict::VerdictSchema;

/// The states of a partner, worst first.
pub(crate) const PARTNER_STATES: [&str; 7] = [
    "discovery-failing",
    "refusing-us",
    "refused",
    "unreachable",
    "would-be-refused",
    "never-seen",
    "ok",
];
/// Stands where a domain is no partner: nothing allows it.
pub(crate) const NOT_LISTED: &str = "not-listed";

/// How we stand with a domain.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PartnerInList {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    #[schema(schema_with = state_schema)]
    pub(crate) state: String,
    /// `trouble`, or `warning`: perhaps it is none; where anything is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "trouble")]
    pub(crate) severity: Option<String>,
    /// The label of what is wrong, ours or theirs, where filters have seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "authentication-failure")]
    pub(crate) label: Option<String>,
    /// What is wrong, in a sentence, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        example = "infra.a.com is expected, and the certificate is for DNS:x.a.com (its own, or somebody else's)"
    )]
    pub(crate) cause: Option<String>,
    /// Since when it is so, where anything is wrong. RFC 3339, as all moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:00:00Z")]
    pub(crate) since: Option<String>,
    /// When that was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:05:00Z")]
    pub(crate) last: Option<String>,
    /// How often, since the control plane's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) count: Option<u64>,
    /// When one of its requests passed last, since the control plane's start.
    pub(crate) last_request: Option<String>,
    /// When a call to it was answered last, since the control plane's start.
    pub(crate) last_call: Option<String>,
    /// The client certificate with which a request of it passed last.
    pub(crate) certificate: Option<SeenCertificate>,
}

/// What a certificate says of itself, as a filter saw it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeenCertificate {
    /// Its subject alternative names.
    #[schema(example = "DNS:infra.a.com")]
    pub(crate) names: String,
    #[schema(example = "CN=R13, O=Example, C=US")]
    pub(crate) issuer: String,
    /// In hexadecimal digits.
    #[schema(example = "0a1b")]
    pub(crate) serial: String,
    /// The last second of its validity.
    #[schema(example = "2030-04-30T12:00:00Z")]
    pub(crate) not_after: String,
    /// Whether that is over.
    pub(crate) ended: bool,
    /// When it was seen last.
    #[schema(example = "2030-01-31T12:00:00Z")]
    pub(crate) seen_at: String,
}

/// A page of partners, in alphabetical order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PartnerPage {
    pub(crate) partners: Vec<PartnerInList>,
    /// What to send as `after` to get the next page; null where there is none.
    #[schema(value_type = Option<DomainText>)]
    pub(crate) next: Option<Domain>,
}

/// All that is known of how we stand with a domain.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ShownPartner {
    #[serde(flatten)]
    pub(crate) partner: PartnerInList,
    /// Its entry on the list; null where it has none.
    pub(crate) entry: Option<ListedDomain>,
    /// How its lookups stand; null where it is not allowed by an entry.
    pub(crate) lookups: Option<Lookups>,
    /// The verdict as far as it is known.
    #[schema(value_type = Option<VerdictSchema>)]
    pub(crate) verdict: Option<Verdict>,
    /// To what ends its requests, and calls to it, came since the control plane's start.
    pub(crate) seen: Vec<SeenEnd>,
}

/// To what end requests or calls came.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeenEnd {
    /// `ingress`: they called us; `egress`: we called them.
    #[schema(example = "ingress")]
    pub(crate) role: String,
    /// `permitted`, or a label; what they say of our call stands behind a slash.
    #[schema(example = "federation-remote-error/federation-denied")]
    pub(crate) label: String,
    pub(crate) count: u64,
    /// When it was seen first since all was well.
    #[schema(example = "2030-01-31T12:00:00Z")]
    pub(crate) since: String,
    #[schema(example = "2030-01-31T12:05:00Z")]
    pub(crate) last: String,
    /// What was presented then.
    #[schema(example = "DNS:x.a.com")]
    pub(crate) presented: Option<String>,
    /// Where that call went.
    #[schema(example = "192.0.2.7:443")]
    pub(crate) upstream: Option<String>,
}

/// What was done so that the next call to a partner, and its next request, try anew.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Retried {
    /// What a new lookup came to.
    pub(crate) lookup: Refreshed,
    /// Addresses that were tried last, since nobody had opened there, and are not any more.
    #[schema(example = json!(["192.0.2.7:443"]))]
    pub(crate) forgotten: Vec<String>,
    /// The address that opened first when we knocked, of those that an Envoy uses; null where none did.
    #[serde(default)]
    #[schema(example = "192.0.2.7:443")]
    pub(crate) opened: Option<String>,
}

fn state_schema() -> Object {
    let description = "`ok`; `discovery-failing`: its last lookup came to nothing, or names no host; `refusing-us`: it \
        refused our last call; `refused`: we refused its last request; `unreachable`: our last call did not reach it; each within 24 hours; \
        `would-be-refused`: its last request passed in shadow alone; `never-seen`: nothing was seen of it since the control plane's start; `not-listed`: it is no partner.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(PARTNER_STATES.into_iter().chain([NOT_LISTED])))
        .build()
}
