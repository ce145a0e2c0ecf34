//! What the admin API says of the lookups of a domain: how they stand, and what one came to.

use std::time::{Duration, Instant};

use fedgate_policy::Verdict;
use serde::Serialize;

use super::verdicts::VerdictSchema;
use crate::moment;
use crate::verdicts::{Attempt, Standing};
use crate::xds::{Reach, Targets};

/// How it stands with the lookups of a domain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct StateOfLookups {
    /// `ok`; `no-federator`: DNS says that there is none; `no-target`: no SRV record names a host;
    /// `stale`: the last lookup failed, and what was found before stands; `failing`: it failed, and
    /// nothing stands; `not-looked-up`.
    #[schema(example = "stale")]
    state: &'static str,
    /// Since when lookups fail, where the last one did. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2030-01-31T12:00:00Z")]
    failing_since: Option<String>,
    /// Until when that stands which was found last, if anything stands. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_until: Option<String>,
}

/// The same, and what led to it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Lookups {
    #[serde(flatten)]
    state: StateOfLookups,
    /// Why the last lookup failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "DNS error: _wire-server-federator._tcp.a.com: SERVFAIL")]
    cause: Option<String>,
    /// When DNS answered last. RFC 3339, as the following.
    last_success: Option<String>,
    /// When the last lookup ended.
    last_try: Option<String>,
    /// When the next one is due.
    next_try: Option<String>,
    /// Where the domain is to be reached, by what stands.
    targets: Vec<TargetBody>,
    /// SRV records beside the targets that are none, and why: at most 8.
    #[schema(example = json!(["the SRV target '192.0.2.1' is an IP address"]))]
    passed_over: Vec<String>,
}

/// One SRV record.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Target)]
struct TargetBody {
    #[schema(example = "federator.infra.a.com")]
    host: String,
    #[schema(example = 443)]
    port: u16,
    /// Lower is tried first.
    priority: u16,
    /// Its share among those of its priority.
    weight: u16,
    /// The addresses that we connect to, of both families.
    #[schema(example = json!(["192.0.2.1", "2001:db8::1"]))]
    addresses: Vec<String>,
    /// What is wrong with it.
    #[schema(example = json!(["AAAA records: SERVFAIL"]))]
    problems: Vec<String>,
}

/// What a lookup came to: as a verdict, if it were for this lookup alone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Refreshed {
    #[serde(flatten)]
    #[schema(value_type = VerdictSchema)]
    attempt: Verdict,
    /// Whether DNS had an answer; that there is no such record is one.
    answered: bool,
    /// Where it had none: what an earlier lookup found, and still stands; null where nothing does.
    #[schema(value_type = Option<VerdictSchema>)]
    stands: Option<Verdict>,
    /// Until when. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_until: Option<String>,
}

// === impl StateOfLookups ===

impl StateOfLookups {
    pub(super) fn new(standing: &Standing, now: Instant) -> Self {
        Self {
            state: standing.state(now).name(),
            failing_since: standing.failing_since().map(|at| moment::of(at, now)),
            stands_until: standing.stands(now).map(|known| moment::of(known.expires_at, now)),
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
