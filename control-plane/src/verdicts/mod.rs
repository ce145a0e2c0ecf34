//! Verdicts: the allow list first, then discovery, then the allow list again.
//!
//! ```text
//!  request ─► allowed? ─no─► denied, and DNS never hears of the domain
//!                │yes
//!                ▼
//!             cache ──miss──► one discovery, however many wait for it ◄── refresher (listed domains)
//!                │
//!                ▼
//!             still allowed? ─► verdict, with what remains of the answer's life
//! ```

mod cache;
pub(crate) mod refresher;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_policy::{Domain, Failure, FailureLabel, Outcome, Verdict};

use crate::allow_list::AllowList;
use crate::discovery::Discover;
use cache::{Cache, Known};

/// How long a denial holds: short, because adding the domain ends it.
const DENIAL_TTL: Duration = Duration::from_secs(1);

/// Gives verdicts.
#[derive(Clone)]
pub(crate) struct Verdicts {
    list: AllowList,
    cache: Arc<Cache>,
}

// === impl Verdicts ===

impl Verdicts {
    /// Verdicts on `list`, by `discovery`.
    pub(crate) fn new(list: AllowList, discovery: Arc<dyn Discover>) -> Self {
        Self { list, cache: Arc::new(Cache::new(discovery)) }
    }

    /// The verdict on a domain, looked up where it is allowed and not known.
    pub(crate) async fn verdict(&self, domain: Domain) -> Verdict {
        self.when_allowed(&domain, None).await.unwrap_or_else(|| denial(domain))
    }

    /// The verdict on an allowed domain after a new lookup; none where the domain is not allowed.
    ///
    /// An answer that has not ended outlives a lookup that fails transiently.
    pub(crate) async fn refresh(&self, domain: &Domain) -> Option<Verdict> {
        self.when_allowed(domain, Some(Instant::now())).await
    }

    /// The verdict as far as it is known; nothing is looked up.
    pub(crate) async fn known(&self, domain: Domain) -> Option<Verdict> {
        if !self.list.allows(&domain) {
            return Some(denial(domain));
        }
        let known = self.cache.peek(&domain, self.list.lists(&domain)).await?;
        Some(verdict(domain, &known, Instant::now()))
    }

    async fn when_allowed(&self, domain: &Domain, since: Option<Instant>) -> Option<Verdict> {
        if !self.list.allows(domain) {
            return None;
        }
        let known = self.cache.fetch(domain, self.list.lists(domain), since).await;
        // It may have been removed while we waited.
        self.list.allows(domain).then(|| verdict(domain.clone(), &known, Instant::now()))
    }
}

fn verdict(domain: Domain, known: &Known, now: Instant) -> Verdict {
    let remaining = known.expires_at.saturating_duration_since(now);
    let ttl_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    Verdict { domain, outcome: known.outcome.clone(), ttl_ms }
}

fn denial(domain: Domain) -> Verdict {
    let message = format!("origin domain [{domain}] not in the federation allow list");
    let failure = Failure { label: FailureLabel::FederationDenied, message };
    let ttl_ms = u64::try_from(DENIAL_TTL.as_millis()).unwrap_or(u64::MAX);
    Verdict { domain, outcome: Outcome::Failure(failure), ttl_ms }
}

#[cfg(test)]
pub(crate) mod tests;
