//! Keeps the verdicts on listed domains fresh, so that requests do not wait for DNS.

use std::sync::Arc;
use std::time::Instant;

use fedgate_allow_list::{AllowList, Change, State};
use fedgate_discovery::Proof;
use fedgate_policy::{Asker, Domain, Strategy};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::known::Known;
use super::schedule::{Due, Schedule};
use super::{Verdicts, proof};

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
    // Unbounded: each change has cost its maker a write to the disk, and costs us next to nothing.
    let (tell, mut changes) = mpsc::unbounded_channel();
    let mut schedule = Schedule::default();
    let started = Instant::now();
    let follower = move |change: &Change| tell.send(change.clone()).is_ok();
    verdicts.list.follow(|state| reconcile(&mut schedule, state), follower);
    let mut shared = verdicts.cache.shared();
    // What others have found before we started is not due now.
    while let Ok((domain, known)) = shared.try_recv() {
        put_off(&mut schedule, &verdicts, &domain, &known, jitter());
    }
    let mut lookups: JoinSet<(Domain, Arc<Known>)> = JoinSet::new();
    loop {
        while lookups.len() < CONCURRENT
            && let Some(due) = schedule.take_due(Instant::now())
        {
            lookups.spawn(look_up(verdicts.clone(), due, started));
        }
        let next = if lookups.len() < CONCURRENT { schedule.next_due() } else { None };
        tokio::select! {
            change = changes.recv() => {
                let Some(change) = change else { return Ok(()) };
                if let Some(gone) = follow(&mut schedule, change, &verdicts.list) {
                    verdicts.cache.forget_listed(&gone).await;
                }
            }
            Some(done) = lookups.join_next() => {
                let (domain, known) = done?;
                match schedule.finished(domain.clone(), &known, Instant::now(), jitter()) {
                    Some(due) => verdicts.watch.due(&domain, due),
                    None => verdicts.watch.forget(&domain),
                }
            }
            Some((domain, known)) = shared.recv() => {
                put_off(&mut schedule, &verdicts, &domain, &known, jitter());
            }
            () = verdicts.watch.doubt() => {
                if !schedule.hasten(Instant::now()) {
                    verdicts.watch.no_witness();
                }
            }
            () = until(next) => {}
        }
    }
}

/// Another control plane has looked a domain up.
fn put_off(schedule: &mut Schedule, verdicts: &Verdicts, domain: &Domain, known: &Known, jitter: f64) {
    if let Some(due) = schedule.put_off(domain, known, Instant::now(), jitter) {
        verdicts.watch.due(domain, due);
    }
}

/// Brings the schedule in line with a change of the list; returns the domain that is gone. A strategy
/// under which nobody asks ends nothing that DNS has said.
///
/// The list may be ahead of this change. Then what lies between comes after it, and changes nothing.
fn follow(schedule: &mut Schedule, change: Change, list: &AllowList) -> Option<Domain> {
    match change {
        Change::Put(domain, entry) if entry.allows() => match list.strategy().0 {
            Strategy::AllowNone => {}
            Strategy::AllowDynamic | Strategy::AllowAll => {
                schedule.add(&domain, Instant::now());
                if proof(&entry.terms) == Proof::Required {
                    schedule.hurry(&domain, Instant::now());
                }
            }
        },
        Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) => {
            schedule.remove(&domain);
            return Some(domain);
        }
        Change::Strategy(..) => drop(list.look(|state| reconcile(schedule, state))),
        Change::Token(_) | Change::Revoke(..) | Change::Seal(..) => {}
    }
    None
}

fn reconcile(schedule: &mut Schedule, state: &State) -> Vec<Domain> {
    let now = Instant::now();
    match state.strategy {
        Strategy::AllowNone => schedule.reconcile(std::iter::empty(), now),
        Strategy::AllowDynamic | Strategy::AllowAll => {
            let allowed = state.domains.iter().filter(|(_, entry)| entry.allows());
            schedule.reconcile(allowed.map(|(domain, _)| domain), now)
        }
    }
}

/// What was found before we started, and is remembered, is known and will not do.
async fn look_up(verdicts: Verdicts, due: Due, started: Instant) -> (Domain, Arc<Known>) {
    let since = due.since.unwrap_or(started);
    let proof = verdicts.list.terms(&due.domain).map_or(Proof::AsSet, |terms| proof(&terms));
    let known = verdicts.cache.fetch(&due.domain, true, Asker::Ours, proof, Some(since)).await;
    (due.domain, known)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
