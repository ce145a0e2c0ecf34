//! The audit: who did what, when.

use fedgate_allow_list::schema::MomentText;
use fedgate_allow_list::{Deed, Moment};
use fedgate_policy::Domain;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::DomainText;

/// A record of the audit.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Record)]
pub(crate) struct RecordBody {
    /// Its number; a later record has a higher one, and no number comes twice.
    #[schema(example = 42)]
    pub(crate) id: i64,
    /// The list's revision since then; null where the list stayed as it was.
    pub(crate) revision: Option<i64>,
    /// RFC 3339.
    #[schema(value_type = MomentText)]
    pub(crate) at: Moment,
    /// The name of a token, or `brig`, or `system`.
    #[schema(example = "alice")]
    pub(crate) by: String,
    pub(crate) action: Deed,
    /// The domain that it is about.
    #[schema(value_type = Option<DomainText>)]
    pub(crate) domain: Option<Domain>,
    /// What was there before; null where there was nothing.
    #[schema(value_type = Option<Value>)]
    pub(crate) before: Option<Value>,
    /// What is there since; null where there is nothing.
    #[schema(value_type = Option<Value>)]
    pub(crate) after: Option<Value>,
    /// The number of the request.
    pub(crate) request_id: Option<String>,
}

/// A page of the audit.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AuditPage {
    pub(crate) records: Vec<RecordBody>,
    /// What to send as `before`, or as `after` where the order is `oldest`, to get the next page; null where
    /// there is none.
    pub(crate) next: Option<i64>,
}
