//! How we stand with each partner: what filters report, merged with what the list and discovery know.
//!
//! ```text
//!  filters ── reports ─► reading ─► ledger (partners, others) ─┐
//!                            └────► workers                    ├─► state, in a word ─► API
//!  verdicts ── how lookups stand ──────────────────────────────┘
//!  feed, xDS ─► attendance: who is there
//! ```
//!
//! All of it is in memory, since the start of this control plane: what a report tells is a count, never a decision,
//! and filters tell again what still goes on.

mod attendance;
mod hours;
mod label;
mod ledger;
mod reading;
mod state;
mod words;
mod workers;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fedgate_allow_list::{AllowList, Change};
use fedgate_policy::Domain;
use fedgate_policy::report::Report;

pub(crate) use attendance::{Attendance, Visit};
pub(crate) use label::{Label, Sense};
use ledger::Ledger;
pub(crate) use ledger::{End, Seen};
use reading::Told;
pub(crate) use reading::{Certificate, Side, Unreadable};
pub(crate) use state::{Judged, Severity, State, judge};
pub(crate) use words::cause;
use workers::Workers;
pub(crate) use workers::{Home, Worker};

/// What filters have told of partners, and of themselves.
#[derive(Clone)]
pub(crate) struct Partners {
    list: AllowList,
    told: Arc<Mutex<All>>,
    /// The Envoys that have a stream of xDS.
    pub(crate) streams: Attendance,
    /// The filters that wait for changes of the feed.
    pub(crate) polls: Attendance,
}

#[derive(Debug, Default)]
struct All {
    ledger: Ledger,
    workers: Workers,
    reports: u64,
    /// Those of them that told of a request or a call.
    events: u64,
}

/// How often which was told, since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) reports: u64,
    /// By label; of all domains.
    pub(crate) ends: BTreeMap<(Side, Label), u64>,
}

// === impl Partners ===

impl Partners {
    /// Nothing is told yet.
    pub(crate) fn new(list: AllowList) -> Self {
        let told: Arc<Mutex<All>> = Arc::default();
        let moving = told.clone();
        let follower = move |change: &Change| {
            match change {
                Change::Put(domain, entry) => lock(&moving).ledger.moved(domain, entry.allows()),
                Change::Remove(domain, _) | Change::Lapse(domain) => {
                    lock(&moving).ledger.moved(domain, false);
                }
                Change::Strategy(..) | Change::Token(_) | Change::Revoke(..) | Change::Seal(..) => {}
            }
            true
        };
        list.follow(|_| (), follower);
        Self { list, told, streams: Attendance::default(), polls: Attendance::default() }
    }

    /// Takes in what a worker reports that shows the token named `from`: all of it, or nothing.
    pub(crate) fn take(
        &self,
        report: Report,
        from: &Arc<str>,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Unreadable> {
        let Told { worker, side, version, feed, events, others } = Told::read(report, now)?;
        let home = Home { by: from.clone(), address, side };
        // The list first, as those who change it tell us: so nobody is on the wrong side for long.
        self.list.look(|list| {
            let mut all = lock(&self.told);
            all.reports = all.reports.saturating_add(1);
            all.events = all.events.saturating_add(u64::from(!events.is_empty()));
            all.workers.take(home, worker, version, &feed, now);
            all.ledger.others = all.ledger.others.saturating_add(others.into());
            for event in events {
                let is_listed = list.lists(&event.domain);
                all.ledger.take(event, side, is_listed);
            }
        });
        Ok(())
    }

    /// A partner was tried anew, and opened or did not.
    pub(crate) fn tried(&self, domain: &Domain, opened: bool, now: Instant) {
        lock(&self.told).ledger.tried(domain, opened, now);
    }

    /// What was seen of a domain, listed or not.
    pub(crate) fn seen(&self, domain: &Domain) -> Option<Arc<Seen>> {
        lock(&self.told).ledger.of(domain).cloned()
    }

    /// What was seen of domains that are not listed, those that came last first.
    pub(crate) fn strangers(&self) -> Vec<(Domain, Arc<Seen>)> {
        let all = lock(&self.told);
        let mut strangers: Vec<_> =
            all.ledger.strangers().map(|(domain, seen)| (domain.clone(), seen.clone())).collect();
        drop(all);
        strangers.sort_by_cached_key(|(domain, seen)| (std::cmp::Reverse(seen.last()), domain.clone()));
        strangers
    }

    /// How many reports had anything to tell.
    pub(crate) fn events(&self) -> u64 {
        lock(&self.told).events
    }

    /// What was refused, on either side, of any domain; what came last first.
    pub(crate) fn refusals(&self) -> Vec<(Domain, Side, Label, End)> {
        let all = lock(&self.told);
        let is_refusal = |label: &Label| [Sense::Refused, Sense::RefusesUs].contains(&label.sense());
        let of = |(domain, seen): (&Domain, &Arc<Seen>)| {
            let ends = seen.ends.iter().filter(|((_, label), _)| is_refusal(label));
            let domain = domain.clone();
            let ends: Vec<_> =
                ends.map(|((side, label), end)| (domain.clone(), *side, *label, end.clone())).collect();
            ends
        };
        let mut refusals: Vec<_> = all.ledger.all().flat_map(of).collect();
        drop(all);
        refusals.sort_by_key(|(_, _, _, end)| std::cmp::Reverse(end.last));
        refusals
    }

    /// The workers that are there, or amiss.
    pub(crate) fn workers(&self, now: Instant) -> Vec<(Home, Worker)> {
        lock(&self.told).workers.all(now)
    }

    /// How often which was told.
    pub(crate) fn totals(&self) -> Totals {
        let All { ledger, reports, .. } = &*lock(&self.told);
        Totals { reports: *reports, ends: ledger.totals.clone() }
    }
}

/// What is behind the lock is whole between any two of its changes, whoever panics.
fn lock(told: &Mutex<All>) -> MutexGuard<'_, All> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use fedgate_allow_list::Condition;
    use fedgate_allow_list::testing::{listing, put, us};

    use super::*;

    fn report(lines: &serde_json::Value) -> Report {
        let report = serde_json::json!({
            "worker": "1", "role": "ingress", "version": "1", "feed": {"whole": true, "entries": 1},
            "lines": lines, "others": 2,
        });
        serde_json::from_value(report).unwrap()
    }

    #[tokio::test]
    async fn a_domain_is_a_stranger_for_as_long_as_it_is_not_listed() {
        let list = listing(&["a.com"]).await;
        let partners = Partners::new(list.clone());
        let line = |domain: &str| {
            serde_json::json!({"domain": domain, "label": "federation-denied", "count": 1,
                "first_ms": 0, "last_ms": 0})
        };
        let lines = serde_json::json!([line("a.com"), line("b.com")]);
        let now = Instant::now();
        partners.take(report(&lines), &"envoy-1".into(), None, now).unwrap();
        let strangers = || -> Vec<_> {
            partners.strangers().into_iter().map(|(domain, _)| domain.to_string()).collect()
        };
        assert_eq!(strangers(), ["b.com"]);
        put(&list, "b.com", "{}").await;
        assert!(strangers().is_empty());
        put(&list, "a.com", r#"{"action":"block"}"#).await;
        list.remove("b.com".parse().unwrap(), Condition::None, us()).await.unwrap();
        assert_eq!(strangers(), ["a.com", "b.com"]);
        let totals = partners.totals();
        assert_eq!(totals.reports, 1);
        assert_eq!(totals.ends.values().sum::<u64>(), 2);
        assert_eq!(partners.workers(now).len(), 1);
    }

    #[tokio::test]
    async fn of_a_report_that_cannot_be_read_nothing_counts() {
        let partners = Partners::new(listing(&[]).await);
        let line = |label: &str| serde_json::json!({"domain": "a.com", "label": label, "count": 1, "first_ms": 0, "last_ms": 0});
        let lines = serde_json::json!([line("federation-denied"), line("made-up")]);
        let now = Instant::now();
        assert!(partners.take(report(&lines), &"x".into(), None, now).is_err());
        assert!(partners.strangers().is_empty() && partners.workers(now).is_empty());
        assert_eq!(partners.totals().reports, 0);
    }
}
