//! The listed domains.

use fedgate_allow_list::{Owner, Terms};
use fedgate_policy::{Domain, Verdict};
use serde::{Deserialize, Serialize};

use super::lookups::{Lookups, StateOfLookups};
use super::text::DomainText;
use super::verdict::VerdictSchema;

/// A listed domain.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ListedDomain {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    #[serde(flatten)]
    pub(crate) terms: Terms,
    /// Whether `expires_at` has come: the entry counts as absent.
    pub(crate) expired: bool,
    /// RFC 3339.
    #[schema(example = "2030-01-31T12:00:00.000Z")]
    pub(crate) created_at: String,
    /// The name of a token, or `brig`, `file` or `system`; empty where that was not written down.
    pub(crate) created_by: String,
    /// RFC 3339.
    #[schema(example = "2030-01-31T12:00:00.000Z")]
    pub(crate) updated_at: String,
    /// As `created_by`.
    pub(crate) updated_by: String,
    /// `file`: the list's file owns it, and alone changes it.
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) owner: Owner,
}

/// A listed domain in the list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DomainInList {
    #[serde(flatten)]
    pub(crate) listed: ListedDomain,
    #[serde(flatten)]
    pub(crate) lookups: StateOfLookups,
}

/// A listed domain, and what is known of it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ShownDomain {
    #[serde(flatten)]
    pub(crate) listed: ListedDomain,
    #[serde(flatten)]
    pub(crate) lookups: Lookups,
    /// The verdict as far as it is known; null where the domain has not been looked up.
    #[schema(value_type = Option<VerdictSchema>)]
    pub(crate) verdict: Option<Verdict>,
}

/// A page of the list, in alphabetical order.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DomainPage {
    pub(crate) domains: Vec<DomainInList>,
    /// What to send as `after` to get the next page; null where there is none.
    #[schema(value_type = Option<DomainText>)]
    pub(crate) next: Option<Domain>,
}
