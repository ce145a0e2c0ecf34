//! What an entry's terms make of what is known of its domain. Pure; the present moment is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::Terms;
use fedgate_allow_list::terms::{Action, Mode, Proof};
use fedgate_discovery::Certainty;
use fedgate_policy::{Domain, Failure, FailureLabel, HostName, Outcome, Verdict};

use super::known::{Known, millis};

/// How long a block holds in a filter that hears nothing more: what ten digits of milliseconds can say.
const BLOCK: Duration = Duration::from_millis(9_999_999_999);

/// How many hosts a message names at most.
const NAMED: usize = 8;

/// Terms that bind, of an entry that is not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    terms: Arc<Terms>,
    /// When the entry comes to its end. By our own clock, so that it is so also if the wall clock is set.
    end: Option<Instant>,
}

// === impl Binding ===

impl Binding {
    /// Terms at a moment of both clocks; none where they make no difference.
    pub(crate) fn of(terms: &Arc<Terms>, now: Instant, wall: SystemTime) -> Option<Self> {
        let Terms {
            action,
            note: _,
            expires_at,
            pinned_hosts,
            dnssec,
            mode,
            search_policy: _,
            restriction: _,
        } = &**terms;
        let is_plain = *action == Action::Allow
            && expires_at.is_none()
            && pinned_hosts.is_empty()
            && *dnssec == Proof::Inherit
            && *mode == Mode::Enforce;
        let left = expires_at.map(|end| end.0.duration_since(wall).unwrap_or_default());
        let end = left.and_then(|left| now.checked_add(left));
        (!is_plain).then(|| Self { terms: terms.clone(), end })
    }

    /// Whether refusals are only told.
    fn is_shadow(&self) -> bool {
        self.terms.mode == Mode::Shadow
    }

    /// What is known of the domain, as it counts.
    pub(crate) fn applied(&self, known: &Known) -> Known {
        let mut known = known.clone();
        if let Some(end) = self.end {
            known.expires_at = known.expires_at.min(end);
        }
        if self.lacks_proof(&known) {
            known.certainty = Certainty::Transient;
            let message = "DNS error: it has to be proven by DNSSEC, and has not been yet".to_owned();
            known.outcome = failure(message);
            known.targets.clear();
            return known;
        }
        match &mut known.outcome {
            Outcome::Hosts(hosts) if !hosts.iter().any(|host| self.terms.admits(host)) => {
                let (found, pinned) = (named(&*hosts), named(&self.terms.pinned_hosts));
                let message =
                    format!("DNS names [{found}], and our entry pins the domain to [{pinned}]");
                known.outcome = failure(message);
            }
            Outcome::Hosts(hosts) => hosts.retain(|host| self.terms.admits(host)),
            Outcome::Failure(_) => {}
        }
        known.targets.retain(|target| self.terms.admits(&target.host));
        known
    }

    /// What is known of the domain, for calls to it.
    pub(crate) fn for_calls(&self, known: &Known) -> Known {
        let mut applied = self.applied(known);
        // What only pins refuse passes.
        if self.is_shadow() && !self.lacks_proof(known) {
            applied.outcome = known.outcome.clone();
            applied.targets.clone_from(&known.targets);
        }
        applied
    }

    /// The verdict on the domain, of which this is known.
    pub(crate) fn verdict(&self, domain: Domain, known: &Known, now: Instant) -> Verdict {
        self.verdict_of(&self.applied(known), domain, now)
    }

    /// The verdict on the domain for those who hold it until they hear of another; none where there is none
    /// that holds.
    pub(crate) fn standing_verdict(
        &self,
        domain: &Domain,
        known: Option<&Known>,
        now: Instant,
    ) -> Option<Verdict> {
        if self.terms.action == Action::Block {
            let left = self.end.map_or(BLOCK, |end| end.saturating_duration_since(now).min(BLOCK));
            return Some(Verdict::blocked(domain.clone(), millis(left)));
        }
        let applied = self.applied(known?);
        applied.stands(now).then(|| self.verdict_of(&applied, domain.clone(), now))
    }

    fn verdict_of(&self, applied: &Known, domain: Domain, now: Instant) -> Verdict {
        Verdict { shadow: self.is_shadow(), ..applied.verdict(domain, now) }
    }

    fn lacks_proof(&self, known: &Known) -> bool {
        self.terms.dnssec == Proof::Require && !known.is_proven && known.certainty == Certainty::Answered
    }
}

/// A few of them, for a message.
fn named<'a>(hosts: impl IntoIterator<Item = &'a HostName>) -> String {
    hosts.into_iter().take(NAMED).map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

fn failure(message: String) -> Outcome {
    Outcome::Failure(Failure { label: FailureLabel::DiscoveryFailure, message })
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
