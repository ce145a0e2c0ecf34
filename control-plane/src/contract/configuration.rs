//! The configuration: what counts, and what reading it anew came to.

use serde::{Deserialize, Serialize};

/// What counts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ConfigurationBody {
    /// The control plane's version.
    #[schema(example = "0.1.0")]
    pub(crate) version: String,
    /// Every key, in the order of the documentation.
    pub(crate) keys: Vec<KeyBody>,
}

/// A key of the configuration.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct KeyBody {
    /// As it stands in the file.
    #[schema(example = "discovery.timeout")]
    pub(crate) key: String,
    /// What counts, as text; absent where it has no value. Of tokens, names and roles alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "3s")]
    pub(crate) value: Option<String>,
}

/// What reading the configuration anew came to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Reloaded {
    /// What has changed, and counts.
    #[schema(example = json!(["token"]))]
    pub(crate) applied: Vec<String>,
    /// What has changed since the start, and counts after a restart.
    #[schema(example = json!(["discovery.servers"]))]
    pub(crate) needs_restart: Vec<String>,
}
