//! The tokens that are kept beside the list: made and revoked while we run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Who holds it, as logs and the audit say it; no two have the same.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// The SHA-256 of its text.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: SystemTime,
    /// By whom.
    pub created_by: Arc<str>,
    /// From then on it is refused.
    pub expires_at: Option<SystemTime>,
    /// When it was last accepted, as far as that has been written down.
    pub last_used_at: Option<SystemTime>,
    /// The list's revision when it was made.
    pub revision: i64,
}

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read and write the admin API.
    Admin,
    /// Read the admin API.
    Viewer,
    /// Ask for verdicts, and for clusters; nothing else.
    Filter,
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of admin, viewer, filter")]
pub struct UnknownRole;

/// Without the digest.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

// === impl Role ===

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Viewer, Self::Filter];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Filter => "filter",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}
