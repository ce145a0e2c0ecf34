//! What is known of a domain: what discovery found, and how long ago.

use std::time::{Duration, Instant};

use fedgate_discovery::{Certainty, Discovered, Proof, Target};
use fedgate_policy::{Domain, Failure, Outcome, Verdict};

/// What is known of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) outcome: Outcome,
    /// Where the domain is to be reached. The feed does not tell: no filter has use for it.
    pub(crate) targets: Vec<Target>,
    pub(crate) expires_at: Instant,
    /// Whether DNS said so.
    pub(crate) certainty: Certainty,
    /// When the lookup ended that this came from.
    pub(crate) found_at: Instant,
    /// When the last lookup ended, whether or not this came from it.
    pub(crate) tried_at: Instant,
    /// Why the last lookup came to nothing, if it did.
    pub(crate) trouble: Option<Failure>,
    /// Whether it was proven, where that had to be.
    pub(crate) is_proven: bool,
    /// SRV records beside the targets that are none, and why.
    pub(crate) passed_over: Vec<String>,
}

// === impl Known ===

impl Known {
    /// Whether DNS said so, for a time that has not ended.
    pub(super) fn stands(&self, now: Instant) -> bool {
        self.certainty == Certainty::Answered && self.expires_at > now
    }

    /// Whether it is as well proven as it has to be.
    pub(super) fn is_enough(&self, proof: Proof) -> bool {
        match proof {
            Proof::AsSet => true,
            Proof::Required => self.is_proven || self.certainty == Certainty::Transient,
        }
    }

    /// What is known after a lookup that found this, where that was known before it. What was not proven does
    /// not outlive a lookup that had to be.
    pub(super) fn after(before: Option<&Self>, found: Discovered, proof: Proof, now: Instant) -> Self {
        let trouble = found.trouble().cloned();
        let before = before.filter(|before| before.stands(now) && before.is_enough(proof));
        match (found.certainty, before) {
            (Certainty::Transient, Some(before)) => Self { tried_at: now, trouble, ..before.clone() },
            (Certainty::Transient, None) | (Certainty::Answered, _) => Self {
                outcome: found.outcome,
                targets: found.targets,
                expires_at: now.checked_add(found.ttl).unwrap_or(now),
                certainty: found.certainty,
                found_at: now,
                tried_at: now,
                trouble,
                is_proven: found.is_proven,
                passed_over: found.passed_over,
            },
        }
    }

    /// What is known, at `now`, from a lookup that ended `age` before then.
    pub(super) fn recalled(found: Discovered, age: Duration, now: Instant) -> Self {
        let then = now.checked_sub(age).unwrap_or(now);
        Self { found_at: then, tried_at: then, ..Self::after(None, found, Proof::AsSet, now) }
    }

    /// The verdict on `domain`, of which this is known.
    pub(super) fn verdict(&self, domain: Domain, now: Instant) -> Verdict {
        let ttl_ms = millis(self.expires_at.saturating_duration_since(now));
        Verdict { domain, outcome: self.outcome.clone(), ttl_ms, shadow: false }
    }
}

#[cfg(test)]
impl Known {
    /// What DNS answered at `now`, for so long, and nothing besides.
    pub(super) fn answered(outcome: Outcome, now: Instant, life: Duration) -> Self {
        Self {
            outcome,
            targets: Vec::new(),
            expires_at: now + life,
            certainty: Certainty::Answered,
            found_at: now,
            tried_at: now,
            trouble: None,
            is_proven: false,
            passed_over: Vec::new(),
        }
    }
}

/// In whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
