//! Lets in whoever shows a right token, and keeps account of those who do not.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::failures::Failures;
use super::{Caller, Refused, Role, Tokens};
use crate::listener::Peer;

/// The one way past every listener.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    tokens: Tokens,
    failures: Arc<Failures>,
}

// === impl Guard ===

impl Guard {
    /// Lets in the bearers of `tokens`.
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self { tokens, failures: Arc::default() }
    }

    /// Whose call this is, if its token has one of `roles`; who is told no waits for it.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        roles: &[Role],
        peer: Option<&Peer>,
    ) -> Result<Caller, Refused> {
        let admitted = self.tokens.authorize(headers, roles);
        match (&admitted, peer) {
            (Ok(_), Some(peer)) => peer.becomes_known(),
            (Err(refused), Some(peer)) => self.failures.slow(peer, refused).await,
            // Without a listener, in tests.
            (_, None) => {}
        }
        admitted
    }

    /// Waits until the token that is shown here is none of ours any more, or another one.
    pub(crate) async fn revoked(&self, headers: &HeaderMap) {
        self.tokens.revoked(headers).await;
    }

    /// What is refused, for those who watch over us.
    pub(crate) fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }
}
