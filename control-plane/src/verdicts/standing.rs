//! How it stands with the lookups of a domain, for people: a pure function of what is known of it.

use std::sync::Arc;
use std::time::Instant;

use fedgate_discovery::{Certainty, TRANSIENT_TTL, Target};
use fedgate_policy::{Failure, FailureLabel, Outcome, Verdict};

use super::history::History;
use super::known::{Known, millis};

/// What is known of a listed domain, and how that came.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(super) known: Option<Arc<Known>>,
    pub(super) history: Option<History>,
}

/// How it stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its federators are known, and the last lookup was answered.
    Ok,
    /// DNS says that it has none.
    NoFederator,
    /// It has SRV records, and none of them names a host.
    NoTarget,
    /// The last lookup came to nothing; what an earlier one found still stands.
    Stale,
    /// The last lookup came to nothing, and nothing stands.
    Failing,
    /// Nothing is known.
    NotLookedUp,
}

/// What a lookup came to that somebody asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// What would be said by this lookup alone.
    pub(crate) verdict: Verdict,
    /// Whether DNS answered.
    pub(crate) answered: bool,
    /// Where it did not: what an earlier lookup found, and still stands.
    pub(crate) stands: Option<Verdict>,
}

// === impl Standing ===

impl Standing {
    /// In a word.
    pub(crate) fn state(&self, now: Instant) -> State {
        match (self.stands(now), self.failing_since()) {
            (Some(_), Some(_)) => State::Stale,
            (None, Some(_)) => State::Failing,
            (None, None) => State::NotLookedUp,
            (Some(known), None) => match &known.outcome {
                Outcome::Hosts(_) => State::Ok,
                Outcome::Failure(failure) => match failure.label {
                    FailureLabel::InvalidDomain => State::NoFederator,
                    FailureLabel::DiscoveryFailure | FailureLabel::FederationDenied => State::NoTarget,
                },
            },
        }
    }

    /// What was found and has not ended.
    pub(crate) fn stands(&self, now: Instant) -> Option<&Known> {
        self.known.as_deref().filter(|known| known.stands(now))
    }

    /// The targets that were found and stand, and the records beside them that are none.
    pub(crate) fn targets(&self, now: Instant) -> (&[Target], &[String]) {
        self.stands(now).map_or((&[], &[]), |known| (&known.targets, &known.passed_over))
    }

    /// Since when lookups come to nothing, if the last one did.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        match self.history.as_ref() {
            Some(history) => history.failing.as_ref().map(|failing| failing.since),
            None => self.known.as_ref().filter(|known| known.trouble.is_some()).map(|it| it.tried_at),
        }
    }

    /// What the last lookup came to, if to nothing.
    pub(crate) fn cause(&self) -> Option<&str> {
        let history = self.history.as_ref()?;
        history.failing.as_ref().map(|failing| failing.cause.as_str())
    }

    /// The last answer, the last lookup, and the next one, as far as they are known.
    pub(crate) fn moments(&self) -> [Option<Instant>; 3] {
        self.history.as_ref().map_or([None; 3], |it| [it.answered, it.tried, it.next])
    }
}

// === impl Attempt ===

impl Attempt {
    /// What is known of a domain, and the verdict that comes of it, as the account of its last lookup.
    pub(super) fn new(known: &Known, now_known: Verdict) -> Self {
        match &known.trouble {
            None => Self { verdict: now_known, answered: true, stands: None },
            Some(failure) => {
                let Failure { label, message } = failure.clone();
                let ttl_ms = millis(TRANSIENT_TTL);
                let verdict = Verdict::failed(now_known.domain.clone(), label, message, ttl_ms);
                let stands = (known.certainty == Certainty::Answered).then_some(now_known);
                Self { verdict, answered: false, stands }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::history::Histories;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(label: FailureLabel) -> Failure {
        Failure { label, message: "why".to_owned() }
    }

    fn hosts() -> Outcome {
        Outcome::Hosts(vec!["fed.a.com".parse().unwrap()])
    }

    /// A finding of this moment that lives for ten seconds.
    fn known(
        outcome: Outcome,
        certainty: Certainty,
        trouble: Option<Failure>,
        now: Instant,
    ) -> Arc<Known> {
        let answered = Known::answered(outcome, now, 10 * SECOND);
        Arc::new(Known { certainty, trouble, ..answered })
    }

    #[test]
    fn each_domain_is_in_one_state() {
        use Certainty::{Answered, Transient};
        use FailureLabel::{DiscoveryFailure, InvalidDomain};
        let now = Instant::now();
        let trouble = failure(DiscoveryFailure);
        let failed = |label| Outcome::Failure(failure(label));
        let good = known(hosts(), Answered, None, now);
        let absent = known(failed(InvalidDomain), Answered, None, now);
        let malformed = known(failed(DiscoveryFailure), Answered, None, now);
        let stale = known(hosts(), Answered, Some(trouble.clone()), now);
        let failing = known(failed(DiscoveryFailure), Transient, Some(trouble), now);
        for (known, answered, at, expected) in [
            (None, None, 0, State::NotLookedUp),
            (Some(&good), Some(true), 9, State::Ok),
            // From before a restart, say.
            (Some(&good), None, 9, State::Ok),
            (Some(&good), Some(true), 10, State::NotLookedUp),
            (Some(&absent), Some(true), 0, State::NoFederator),
            (Some(&malformed), Some(true), 0, State::NoTarget),
            (Some(&stale), Some(false), 9, State::Stale),
            (Some(&stale), Some(false), 10, State::Failing),
            (Some(&failing), Some(false), 0, State::Failing),
            (Some(&failing), None, 0, State::Failing),
            (None, Some(false), 60, State::Failing),
        ] {
            let domain = "a.com".parse().unwrap();
            let mut histories = Histories::default();
            if let Some(answered) = answered {
                histories.learn(&domain, (!answered).then_some("why"), None, now);
            }
            let standing = Standing { known: known.cloned(), history: histories.of(&domain) };
            assert_eq!(standing.state(now + at * SECOND), expected, "{standing:?} at {at}");
        }
    }

    #[test]
    fn an_attempt_that_failed_is_told_beside_what_stands() {
        let now = Instant::now();
        let trouble = failure(FailureLabel::DiscoveryFailure);
        let attempt = |known: &Known| Attempt::new(known, known.verdict("a.com".parse().unwrap(), now));

        let good = attempt(&known(hosts(), Certainty::Answered, None, now));
        assert_eq!((good.verdict.outcome, good.answered, good.stands), (hosts(), true, None));

        let stale = attempt(&known(hosts(), Certainty::Answered, Some(trouble.clone()), now));
        assert_eq!((stale.verdict.outcome, stale.answered), (Outcome::Failure(trouble.clone()), false));
        let stands = stale.stands.unwrap();
        assert_eq!((stands.outcome, stands.ttl_ms), (hosts(), 10_000));

        let outcome = Outcome::Failure(trouble.clone());
        let failing = attempt(&known(outcome.clone(), Certainty::Transient, Some(trouble), now));
        assert_eq!((failing.verdict.outcome, failing.answered, failing.stands), (outcome, false, None));
    }
}
