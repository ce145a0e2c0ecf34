//! Tokens, of which nothing is told by which one could call.

use fedgate_allow_list::schema::MomentText;
use fedgate_allow_list::{Moment, Role};
use serde::{Deserialize, Serialize};

/// A token that is accepted, or was until it expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    /// Whose it is, as the log and the audit say it.
    #[schema(example = "alice")]
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) source: TokenSource,
    /// RFC 3339; null for one of the configuration.
    #[schema(value_type = Option<MomentText>)]
    pub(crate) created_at: Option<Moment>,
    /// The name of a token, or `system`; null for one of the configuration.
    pub(crate) created_by: Option<String>,
    /// From then on it is refused; null: never.
    #[schema(value_type = Option<MomentText>)]
    pub(crate) expires_at: Option<Moment>,
    /// Whether that has come.
    pub(crate) expired: bool,
    /// When it was last accepted; null: never, or for one of the configuration, not since the start.
    #[schema(value_type = Option<MomentText>)]
    pub(crate) last_used_at: Option<Moment>,
}

/// Where a token is from, which is where it can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenSource {
    /// What `fedgate serve` is told at start, and when it is read anew.
    Configuration,
    /// The store: it was made by the API.
    Store,
}

/// A page of the tokens, in alphabetical order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct TokenPage {
    pub(crate) tokens: Vec<TokenBody>,
    /// What to send as `after` to get the next page; null where there is none.
    pub(crate) next: Option<String>,
}

/// A token that is to be made.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeToken {
    /// Whose it is to be: letters, digits, `-`, `_`, `.`; no other token has the same.
    #[schema(example = "alice", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub(crate) name: String,
    pub(crate) role: Role,
    /// From then on it is refused; without it, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MomentText>)]
    pub(crate) expires_at: Option<Moment>,
}

/// A token that was made, this once with its secret.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct MadeToken {
    #[serde(flatten)]
    pub(crate) made: TokenBody,
    /// What its bearer sends: `Authorization: Bearer …`. We keep its digest only.
    #[schema(example = "d6f0c5b8…")]
    pub(crate) token: String,
}
