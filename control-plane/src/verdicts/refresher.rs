//! Keeps the verdicts on listed domains fresh, so that requests do not wait for DNS.

use std::sync::Arc;
use std::time::Instant;

use fedgate_policy::Domain;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Verdicts;
use super::cache::Known;
use super::schedule::{Due, Schedule};
use crate::allow_list::{State, Strategy};

/// Lookups under way at one time: a long list costs the DNS server a steady trickle, not a burst.
const CONCURRENT: usize = 32;

/// Looks up the listed domains: at the start, when one is added, and ahead of an answer's end. Not
/// under `allowNone`, when nobody may ask for them.
///
/// `jitter` gives numbers from 0 to 1. It goes on until it is aborted; its end is a defect of ours.
pub(crate) async fn keep_fresh(
    verdicts: Verdicts,
    jitter: impl Fn() -> f64 + Send,
) -> Result<(), JoinError> {
    let mut changes = verdicts.list.watch();
    changes.mark_changed();
    let mut schedule = Schedule::default();
    let mut lookups: JoinSet<(Domain, Arc<Known>)> = JoinSet::new();
    loop {
        while lookups.len() < CONCURRENT
            && let Some(due) = schedule.take_due(Instant::now())
        {
            lookups.spawn(look_up(verdicts.clone(), due));
        }
        let next = if lookups.len() < CONCURRENT { schedule.next_due() } else { None };
        tokio::select! {
            news = changes.changed() => {
                if news.is_err() {
                    return Ok(());
                }
                for gone in reconcile(&mut schedule, &mut changes) {
                    verdicts.cache.forget_listed(&gone).await;
                }
            }
            Some(done) = lookups.join_next() => {
                let (domain, known) = done?;
                schedule.finished(domain, &known, Instant::now(), jitter());
            }
            () = until(next) => {}
        }
    }
}

fn reconcile(schedule: &mut Schedule, changes: &mut watch::Receiver<State>) -> Vec<Domain> {
    let state = changes.borrow_and_update();
    let now = Instant::now();
    match state.strategy {
        Strategy::AllowNone => schedule.reconcile(std::iter::empty(), now),
        Strategy::AllowDynamic | Strategy::AllowAll => schedule.reconcile(state.domains.keys(), now),
    }
}

async fn look_up(verdicts: Verdicts, due: Due) -> (Domain, Arc<Known>) {
    let known = verdicts.cache.fetch(&due.domain, true, due.since).await;
    (due.domain, known)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
