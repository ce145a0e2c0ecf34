//! What reading the configuration anew came to.

use serde::{Deserialize, Serialize};

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
