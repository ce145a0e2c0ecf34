//! When to look up which listed domain: a value, with the present moment as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fedgate_discovery::TRANSIENT_TTL;
use fedgate_policy::Domain;

use super::known::Known;

/// The longest pause between two tries where DNS does not answer.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The listed domains, each with the moment of its next lookup.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    tasks: BTreeMap<Domain, Task>,
    queue: BTreeSet<(Instant, Domain)>,
}

#[derive(Debug)]
struct Task {
    /// None while the lookup is under way.
    due: Option<Instant>,
    /// Whether it has been looked up before.
    first: bool,
    /// How many lookups in a row came to nothing.
    troubles: u32,
}

/// A lookup that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) domain: Domain,
    /// What was found before this moment will not do; none at the first time, when anything will.
    pub(super) since: Option<Instant>,
}

// === impl Schedule ===

impl Schedule {
    /// Takes up the domains that are new among `listed`, due now, and returns those that are gone.
    pub(super) fn reconcile<'a>(
        &mut self,
        listed: impl Iterator<Item = &'a Domain>,
        now: Instant,
    ) -> Vec<Domain> {
        let mut before = std::mem::take(&mut self.tasks);
        for domain in listed {
            match before.remove(domain) {
                Some(task) => drop(self.tasks.insert(domain.clone(), task)),
                None => self.add(domain, now),
            }
        }
        for (domain, task) in &before {
            if let Some(due) = task.due {
                self.queue.remove(&(due, domain.clone()));
            }
        }
        before.into_keys().collect()
    }

    /// Takes up a domain, due now, where it is new.
    pub(super) fn add(&mut self, domain: &Domain, now: Instant) {
        self.tasks.entry(domain.clone()).or_insert_with(|| {
            self.queue.insert((now, domain.clone()));
            Task { due: Some(now), first: true, troubles: 0 }
        });
    }

    /// Another control plane has looked a domain up: it is due as if we had. Returns when; none where we do it now, or it
    /// has gone.
    pub(super) fn put_off(
        &mut self,
        domain: &Domain,
        known: &Known,
        now: Instant,
        jitter: f64,
    ) -> Option<Instant> {
        let task = self.tasks.get_mut(domain)?;
        let before = task.due?;
        let due = now.checked_add(pause(known, 0, now, jitter))?;
        self.queue.remove(&(before, domain.clone()));
        (task.due, task.first, task.troubles) = (Some(due), false, 0);
        self.queue.insert((due, domain.clone()));
        Some(due)
    }

    /// Has a domain looked up now, unless that is under way.
    pub(super) fn hurry(&mut self, domain: &Domain, now: Instant) {
        if let Some(Task { due: Some(due), .. }) = self.tasks.get_mut(domain) {
            self.queue.remove(&(*due, domain.clone()));
            *due = now;
            self.queue.insert((now, domain.clone()));
        }
    }

    /// Forgets a domain.
    pub(super) fn remove(&mut self, domain: &Domain) {
        if let Some(Task { due: Some(due), .. }) = self.tasks.remove(domain) {
            self.queue.remove(&(due, domain.clone()));
        }
    }

    /// Hands out a domain that is due; it comes back by [`Schedule::finished`].
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if self.next_due()? > now {
            return None;
        }
        let (due, domain) = self.queue.pop_first()?;
        let task = self.tasks.get_mut(&domain)?;
        task.due = None;
        let since = (!task.first).then_some(due);
        task.first = false;
        Some(Due { domain, since })
    }

    /// The earliest moment at which a domain is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Puts a domain back, to be due by what is known of it now; returns when, or none where it has gone.
    /// `jitter`, from 0 to 1, keeps those that were listed together from being looked up together for ever.
    pub(super) fn finished(
        &mut self,
        domain: Domain,
        known: &Known,
        now: Instant,
        jitter: f64,
    ) -> Option<Instant> {
        let task = self.tasks.get_mut(&domain)?;
        // It may have gone and come back meanwhile, and be queued anew.
        if task.due.is_some() {
            return task.due;
        }
        task.troubles = match known.trouble {
            None => 0,
            Some(_) => task.troubles.saturating_add(1),
        };
        let due = now.checked_add(pause(known, task.troubles, now, jitter)).unwrap_or(now);
        task.due = Some(due);
        self.queue.insert((due, domain));
        Some(due)
    }

    /// Makes that domain due now which is next among those without trouble, unless one of them is under
    /// way. Whether there is any.
    pub(super) fn hasten(&mut self, now: Instant) -> bool {
        let is_well = |task: &Task| task.troubles == 0;
        if self.tasks.values().any(|task| task.due.is_none() && is_well(task)) {
            return true;
        }
        let next = self.queue.iter().find(|(_, domain)| self.tasks.get(domain).is_some_and(is_well));
        let Some((due, domain)) = next.cloned() else { return false };
        self.queue.remove(&(due, domain.clone()));
        let sooner = due.min(now);
        if let Some(task) = self.tasks.get_mut(&domain) {
            task.due = Some(sooner);
        }
        self.queue.insert((sooner, domain));
        true
    }
}

/// Ahead of the answer's end by a tenth of its life and some jitter; after a failure, when that has
/// ended, and each time that it comes again, twice as late.
pub(crate) fn pause(known: &Known, troubles: u32, now: Instant, jitter: f64) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    match known.trouble {
        None => known.expires_at.saturating_duration_since(now).mul_f64(0.9 - 0.05 * jitter),
        Some(_) => backoff(troubles).mul_f64(1.0 + 0.25 * jitter),
    }
}

/// How long to wait after so many failures in a row.
pub(crate) fn backoff(troubles: u32) -> Duration {
    let doublings = troubles.saturating_sub(1).min(16);
    TRANSIENT_TTL.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}

#[cfg(test)]
#[path = "schedule_time_tests.rs"]
mod time_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use fedgate_discovery::Certainty;
    use fedgate_policy::{Failure, FailureLabel, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn domain(name: &str) -> Domain {
        name.parse().unwrap()
    }

    fn known(last: Certainty, now: Instant, life: Duration) -> Known {
        let outcome = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
        let failure =
            || Failure { label: FailureLabel::DiscoveryFailure, message: "SERVFAIL".to_owned() };
        let trouble = (last == Certainty::Transient).then(failure);
        Known { certainty: last, trouble, ..Known::answered(outcome, now, life) }
    }

    fn scheduled(names: &[&str], now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.reconcile(names.iter().map(|name| domain(name)).collect::<Vec<_>>().iter(), now);
        schedule
    }

    #[test]
    fn a_new_domain_is_due_at_once_and_takes_what_is_known() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com"], now);
        assert_eq!(schedule.take_due(now), Some(Due { domain: domain("a.com"), since: None }));
        assert_eq!(schedule.take_due(now), None, "it is under way");
    }

    #[test]
    fn an_answer_is_renewed_ahead_of_its_end() {
        let now = Instant::now();
        for (jitter, expected) in [(0.0, 90.0), (1.0, 85.0)] {
            let mut schedule = scheduled(&["a.com"], now);
            schedule.take_due(now);
            schedule.finished(
                domain("a.com"),
                &known(Certainty::Answered, now, 100 * SECOND),
                now,
                jitter,
            );
            let due = schedule.next_due().unwrap();
            assert!(((due - now).as_secs_f64() - expected).abs() < 0.001, "{jitter}");
            assert_eq!(schedule.take_due(now + 84 * SECOND), None);
            assert_eq!(schedule.take_due(due).unwrap().since, Some(due), "what is known will not do");
        }
    }

    #[test]
    fn failures_are_retried_at_their_end_then_ever_later_to_a_minute() {
        let mut now = Instant::now();
        let mut schedule = scheduled(&["a.com"], now);
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            schedule.take_due(now).unwrap();
            schedule.finished(domain("a.com"), &known(Certainty::Transient, now, 2 * SECOND), now, 0.0);
            assert_eq!(schedule.next_due().unwrap() - now, expected * SECOND);
            now = schedule.next_due().unwrap();
        }
        schedule.take_due(now).unwrap();
        schedule.finished(domain("a.com"), &known(Certainty::Answered, now, 10 * SECOND), now, 0.0);
        now = schedule.next_due().unwrap();
        schedule.take_due(now).unwrap();
        schedule.finished(domain("a.com"), &known(Certainty::Transient, now, 2 * SECOND), now, 0.0);
        assert_eq!(schedule.next_due().unwrap() - now, 2 * SECOND, "an answer forgives");
    }

    #[test]
    fn the_next_domain_without_trouble_is_hastened() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com", "b.com", "c.com"], now);
        for (name, last, life) in [
            ("a.com", Certainty::Transient, 2),
            ("b.com", Certainty::Answered, 600),
            ("c.com", Certainty::Answered, 60),
        ] {
            assert_eq!(schedule.take_due(now).unwrap().domain, domain(name));
            let due = schedule.finished(domain(name), &known(last, now, life * SECOND), now, 0.0);
            assert!(due > Some(now));
        }
        assert!(schedule.hasten(now));
        assert_eq!(schedule.take_due(now), Some(Due { domain: domain("c.com"), since: Some(now) }));
        assert!(schedule.hasten(now), "c.com is under way");
        assert_eq!(schedule.take_due(now), None);
        schedule.remove(&domain("c.com"));
        schedule.remove(&domain("b.com"));
        assert!(!schedule.hasten(now), "only a.com is left, which is in trouble itself");
    }

    #[test]
    fn a_removed_domain_is_forgotten() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com", "b.com"], now);
        assert_eq!(schedule.reconcile([domain("b.com")].iter(), now), [domain("a.com")]);
        schedule.add(&domain("c.com"), now);
        schedule.remove(&domain("b.com"));
        schedule.remove(&domain("d.com"));
        assert_eq!(schedule.take_due(now).unwrap().domain, domain("c.com"));
        assert_eq!(schedule.take_due(now), None);
    }

    #[test]
    fn a_lookup_that_ends_after_its_domain_has_gone_is_passed_over() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com"], now);
        schedule.take_due(now);
        schedule.reconcile([].iter(), now);
        schedule.finished(domain("a.com"), &known(Certainty::Answered, now, SECOND), now, 0.0);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_domain_that_goes_and_returns_during_its_lookup_is_queued_once() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com"], now);
        schedule.take_due(now);
        schedule.remove(&domain("a.com"));
        schedule.add(&domain("a.com"), now);
        schedule.finished(domain("a.com"), &known(Certainty::Answered, now, SECOND), now, 0.0);
        assert!(schedule.take_due(now).is_some());
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_domain_that_stays_keeps_its_place() {
        let now = Instant::now();
        let mut schedule = scheduled(&["a.com"], now);
        schedule.take_due(now);
        schedule.finished(domain("a.com"), &known(Certainty::Answered, now, 100 * SECOND), now, 0.0);
        let due = schedule.next_due();
        assert!(schedule.reconcile([domain("a.com"), domain("b.com")].iter(), now).is_empty());
        schedule.add(&domain("a.com"), now);
        assert_eq!(schedule.take_due(now).unwrap().domain, domain("b.com"));
        assert_eq!(schedule.next_due(), due);
    }
}
