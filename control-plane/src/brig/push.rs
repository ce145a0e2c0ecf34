//! One round where we are the master: GET, compare, note what is to be written, write it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::client::CallError;
use super::ledger::Written;
use super::plan::{self, Write};
use super::seen::Seen;
use super::{Brig, Known, Tried};
use crate::contract::Policy;

/// Rows that are written before brig's list is looked at anew, and for how long: its API knows no conditions, so
/// what we know of it is to be young; and what changes meanwhile is to come soon.
const BATCH: (usize, Duration) = (500, Duration::from_secs(2));
/// Rows that are written at one time.
const AT_ONCE: usize = 8;
/// For how long a row is left alone that brig did not take: at first, which doubles with each try, and at most.
const HOLD: (Duration, Duration) = (Duration::from_secs(9), Duration::from_secs(5 * 60));

/// After so long it is forgotten that a row was tried.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// Does it; whether there may be more to do at once. Otherwise why not.
pub(super) async fn round(brig: &Brig) -> Result<bool, String> {
    let seen = Arc::new(brig.0.client.list().await.map_err(|error| error.to_string())?);
    let before = {
        let mut known = brig.known();
        // What came to be needs no patience, should it change once more.
        known.tried.retain(|domain, tried| {
            tried.at.elapsed() < FORGOTTEN && seen.rows.get(domain) != Some(&tried.policy)
        });
        let before = known.seen.replace(seen.clone());
        leave_alone(brig, &mut known, before.as_deref(), &seen);
        known.ledger.clone()
    };
    let mut plan = brig.compare();
    brig.tell_drift(&plan);
    plan.writes.truncate(BATCH.0);
    let (settled, intended) = (plan.settled, plan.writes.clone());
    brig.note(move |ledger| {
        // Not where somebody has taken the row over meanwhile.
        let settled = settled.into_iter().filter(|(domain, _)| ledger.get(domain) == before.get(domain));
        let mut changes: Vec<_> = settled.collect();
        for Write { domain, policy, .. } in intended {
            let settled = changes.iter().rev().find(|(settled, _)| *settled == domain);
            let known = settled.map_or_else(|| ledger.get(&domain), |(_, written)| written.as_ref());
            let confirmed = known.is_some_and(|written| written.confirmed);
            changes.push((domain, Some(Written { policy, confirmed })));
        }
        changes
    })
    .await
    .map_err(|error| format!("what is to be written to brig cannot be noted: {error}"))?;

    let mut ahead = plan.writes.iter();
    let mut under_way: FuturesUnordered<_> =
        ahead.by_ref().take(AT_ONCE).map(|it| write(brig, it)).collect();
    let (started, mut rows) = (Instant::now(), 0_usize);
    while let Some(written) = under_way.next().await {
        rows = rows.saturating_add(usize::from(written.map_err(|error| error.to_string())?));
        if started.elapsed() < BATCH.1 {
            under_way.extend(ahead.next().map(|it| write(brig, it)));
        }
    }
    if rows > 0 {
        tracing::info!(rows, "brig's list follows ours");
    }
    Ok(!plan.writes.is_empty())
}

/// Rows of others that are gone since the answer before are not written at once: should that be brig's mistake, they
/// would be written over.
fn leave_alone(brig: &Brig, known: &mut Known, before: Option<&Seen>, seen: &Seen) {
    let others = before.into_iter().flat_map(|before| before.rows.keys());
    let gone = others.filter(|domain| !seen.rows.contains_key(*domain));
    for domain in gone.filter(|domain| !known.ledger.contains_key(*domain)).cloned().collect::<Vec<_>>()
    {
        let policy = brig.0.list.look(|state| plan::wish(state, &domain));
        let cause =
            "a row that we did not write is gone from brig's list; the next answer decides".to_owned();
        known.tried.insert(domain, tried(&policy, 0, HOLD.0, cause));
    }
}

/// Writes one row, if our list still says so; whether brig took it. Fails where brig cannot be asked.
async fn write(brig: &Brig, write: &Write) -> Result<bool, CallError> {
    let Write { domain, policy, .. } = write;
    if brig.0.list.look(|state| plan::wish(state, domain)) != *policy {
        return Ok(false);
    }
    let times = {
        let mut known = brig.known();
        let earlier = known.tried.get(domain).filter(|tried| tried.policy == *policy);
        let times = earlier.map_or(0, |tried| tried.times);
        known.tried.insert(domain.clone(), tried(policy, times, Duration::ZERO, String::new()));
        times
    };
    let (taken, cause) = match brig.0.client.write(write).await {
        Ok(()) => (true, "brig answers that it is written, and shows another row".to_owned()),
        Err(CallError::Refused(said)) => {
            tracing::debug!(%domain, said, "brig refuses a row");
            (false, said)
        }
        Err(error @ (CallError::Away(_) | CallError::Strange(_))) => return Err(error),
    };
    let hold = HOLD.0.saturating_mul(2_u32.saturating_pow(times)).min(HOLD.1);
    let tried = tried(policy, times.saturating_add(1), hold, cause);
    brig.known().tried.insert(domain.clone(), tried);
    Ok(taken)
}

fn tried(policy: &Policy, times: u32, hold: Duration, cause: String) -> Tried {
    let at = Instant::now();
    Tried { policy: policy.clone(), times, at, until: at.checked_add(hold).unwrap_or(at), cause }
}
