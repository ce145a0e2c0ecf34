//! What the admin API says of the lookups of a domain.

use std::time::{Duration, Instant};

use fedgate_policy::Verdict;

use crate::contract::{Lookups, Refreshed, State, StateOfLookups, TargetBody};
use crate::moment;
use crate::verdicts::{self, Attempt, Standing};
use crate::xds::{Reach, Targets};

// === impl StateOfLookups ===

impl StateOfLookups {
    pub(super) fn new(standing: &Standing, now: Instant) -> Self {
        Self {
            state: standing.state(now).into(),
            failing_since: standing.failing_since().map(|at| moment::of(at, now)),
            stands_until: standing.stands(now).map(|known| moment::of(known.expires_at, now)),
        }
    }
}

impl From<verdicts::State> for State {
    fn from(state: verdicts::State) -> Self {
        match state {
            verdicts::State::Ok => Self::Ok,
            verdicts::State::NoFederator => Self::NoFederator,
            verdicts::State::NoTarget => Self::NoTarget,
            verdicts::State::Stale => Self::Stale,
            verdicts::State::Failing => Self::Failing,
            verdicts::State::NotLookedUp => Self::NotLookedUp,
        }
    }
}

// === impl Lookups ===

impl Lookups {
    pub(super) async fn new(standing: &Standing, targets: &Targets, now: Instant) -> Self {
        let (found, passed_over) = standing.targets(now);
        let reaches = targets.reach(found).await;
        let [last_success, last_try, next_try] =
            standing.moments().map(|at| at.map(|at| moment::of(at, now)));
        Self {
            state: StateOfLookups::new(standing, now),
            cause: standing.cause().map(str::to_owned),
            last_success,
            last_try,
            next_try,
            targets: reaches.into_iter().map(TargetBody::from).collect(),
            passed_over: passed_over.to_owned(),
        }
    }
}

impl From<Reach> for TargetBody {
    fn from(Reach { target, addresses, problems }: Reach) -> Self {
        Self {
            host: target.host.to_string(),
            port: target.port,
            priority: target.priority,
            weight: target.weight,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            problems: problems.iter().map(ToString::to_string).collect(),
        }
    }
}

// === impl Refreshed ===

impl Refreshed {
    pub(super) fn new(attempt: Attempt, now: Instant) -> Self {
        let end = |verdict: &Verdict| now.checked_add(Duration::from_millis(verdict.ttl_ms));
        let stands_until = attempt.stands.as_ref().and_then(end).map(|end| moment::of(end, now));
        Self {
            attempt: attempt.verdict,
            answered: attempt.answered,
            stands: attempt.stands,
            stands_until,
        }
    }
}
