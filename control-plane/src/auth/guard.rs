//! Lets in whoever shows a right token, and keeps account of those who do not.

use std::sync::Arc;
use std::time::SystemTime;

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
        let admitted = self.tokens.authorize(headers, roles, SystemTime::now());
        match (&admitted, peer) {
            (Ok(_), Some(peer)) => peer.becomes_known(),
            (Err(refused), Some(peer)) => self.failures.slow(peer, refused).await,
            // Without a listener, in tests.
            (_, None) => {}
        }
        admitted
    }

    /// Whether the token of a caller who was let in counts still, and has one of `roles`; who is told no waits for it.
    pub(crate) async fn admit_again(
        &self,
        caller: &Caller,
        roles: &[Role],
        peer: Option<&Peer>,
    ) -> Result<(), Refused> {
        let admitted = self.tokens.authorize_again(caller, roles, SystemTime::now());
        match (&admitted, peer) {
            (Ok(()), Some(peer)) => peer.becomes_known(),
            (Err(refused), Some(peer)) => self.failures.slow(peer, refused).await,
            (_, None) => {}
        }
        admitted
    }

    /// Waits until the token of a caller who was let in is refused, and says why.
    pub(crate) async fn revoked(&self, caller: &Caller) -> Refused {
        self.tokens.revoked(caller).await
    }

    /// Why that token is refused by now, if it is.
    pub(crate) fn refuses(&self, caller: &Caller) -> Option<Refused> {
        self.tokens.refuses(caller, SystemTime::now())
    }

    /// Whose calls are let in.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What is refused, for those who watch over us.
    pub(crate) fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }
}
