//! What filters have told, merged: of each partner, of others, and by label. A value, with the present moment in
//! what it is told.
//!
//! The operator bounds the number of partners. Others anybody can make up who has a trusted certificate; they are
//! kept apart and bounded, so that a flood of them pushes out only its own kind, and first whoever came seldom.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fedgate_policy::Domain;

use super::hours::Hours;
use super::label::{Label, Sense};
use super::reading::{Certificate, Event, Side};

/// The most domains that are kept apart which are not listed.
pub(super) const STRANGERS: usize = 1000;
/// How many more there may be before they are thinned out, so that this is not to be done for each.
const SLACK: usize = 200;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Shared with whoever looks, so that looking at many costs no copies.
    partners: HashMap<Domain, Arc<Seen>>,
    strangers: HashMap<Domain, Arc<Seen>>,
    /// Requests and calls that found no place.
    pub(super) others: u64,
    /// Of all domains.
    pub(super) totals: BTreeMap<(Side, Label), u64>,
}

/// What was seen of one domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// To what ends its requests, and calls to it, came.
    pub(crate) ends: BTreeMap<(Side, Label), End>,
    /// What it presented last with a request that passed, and when. Whoever is refused has not proven that name.
    pub(crate) certificate: Option<(Arc<Certificate>, Instant)>,
    /// How often it went wrong, hour by hour.
    pub(crate) hours: Hours,
    /// When an operator had it tried anew.
    pub(super) tried: Option<Tried>,
}

/// When a partner was tried anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) at: Instant,
    /// When one of its addresses opened then, the last time that one did.
    pub(super) opened: Option<Instant>,
}

/// One such end.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) count: u64,
    /// When it was first seen since the last time that all was well.
    pub(crate) since: Instant,
    pub(crate) last: Instant,
    /// What was presented then.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Where that call went.
    pub(crate) upstream: Option<SocketAddr>,
}

// === impl Ledger ===

impl Ledger {
    /// Takes in what was seen of a domain, which is listed or not.
    pub(super) fn take(&mut self, event: Event, side: Side, is_listed: bool) {
        let total = self.totals.entry((side, event.label)).or_default();
        *total = total.saturating_add(event.count.into());
        let of = if is_listed { &mut self.partners } else { &mut self.strangers };
        match of.get_mut(&event.domain) {
            Some(seen) => Arc::make_mut(seen).take(event, side),
            None => Arc::make_mut(of.entry(event.domain.clone()).or_default()).take(event, side),
        }
        if self.strangers.len() >= STRANGERS.saturating_add(SLACK) {
            self.thin_out();
        }
    }

    /// A domain is listed from now on, or is not any more.
    pub(super) fn moved(&mut self, domain: &Domain, is_listed: bool) {
        let (strangers, partners) = (&mut self.strangers, &mut self.partners);
        let (from, to) = if is_listed { (strangers, partners) } else { (partners, strangers) };
        if let Some(seen) = from.remove(domain) {
            to.insert(domain.clone(), seen);
        }
    }

    /// A partner was tried anew, and opened or did not: what was seen before is history.
    pub(super) fn tried(&mut self, domain: &Domain, opened: bool, now: Instant) {
        if let Some(seen) = self.partners.get_mut(domain).map(Arc::make_mut) {
            let before = seen.tried.and_then(|tried| tried.opened);
            let opened = Some(now).filter(|_| opened).or(before);
            seen.tried = Some(Tried { at: now, opened });
        }
    }

    /// What was seen of a domain.
    pub(super) fn of(&self, domain: &Domain) -> Option<&Arc<Seen>> {
        self.partners.get(domain).or_else(|| self.strangers.get(domain))
    }

    /// All that were seen.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Domain, &Arc<Seen>)> {
        self.partners.iter().chain(&self.strangers)
    }

    /// Those that are not listed.
    pub(super) fn strangers(&self) -> impl Iterator<Item = (&Domain, &Arc<Seen>)> {
        self.strangers.iter()
    }

    /// Keeps those that came often, and of equals those that came last.
    fn thin_out(&mut self) {
        let mut all: Vec<_> = std::mem::take(&mut self.strangers).into_iter().collect();
        all.sort_by_cached_key(|(_, seen)| std::cmp::Reverse((seen.count(), seen.last())));
        let gone = all.split_off(all.len().min(STRANGERS));
        let gone = gone.iter().fold(0_u64, |sum, (_, seen)| sum.saturating_add(seen.count()));
        self.others = self.others.saturating_add(gone);
        self.strangers = all.into_iter().collect();
    }
}

// === impl Seen ===

impl Seen {
    fn take(&mut self, event: Event, side: Side) {
        let Event { label, count, first, last, certificate, upstream, .. } = event;
        if label.sense() == Sense::Passed
            && let Some(certificate) = &certificate
            && self.certificate.as_ref().is_none_or(|(_, at)| *at <= last)
        {
            self.certificate = Some((certificate.clone(), last));
        }
        self.hours.take(label.sense(), count.into(), last);
        let good = self.good(side);
        let end = self.ends.entry((side, label)).or_insert_with(|| End {
            count: 0,
            since: first,
            last,
            certificate: None,
            upstream: None,
        });
        end.count = end.count.saturating_add(count.into());
        if good.is_some_and(|good| good > end.last) {
            end.since = first;
        }
        if end.last <= last {
            end.last = last;
            end.certificate = certificate.or_else(|| end.certificate.take());
            end.upstream = upstream.or(end.upstream);
        }
    }

    /// When all was well last, on this side.
    pub(crate) fn good(&self, side: Side) -> Option<Instant> {
        self.last_of(side, |sense| sense == Sense::Passed)
    }

    /// When an end of this sense was seen last.
    pub(crate) fn last_of(&self, side: Side, is_it: impl Fn(Sense) -> bool) -> Option<Instant> {
        let ends = self.ends.iter().filter(|((of, label), _)| *of == side && is_it(label.sense()));
        ends.map(|(_, end)| end.last).max()
    }

    /// When anything was.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.ends.values().map(|end| end.last).max()
    }

    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.ends.values().fold(0, |sum, end| sum.saturating_add(end.count))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in super::super) fn event(domain: &str, label: &str, count: u32, last: Instant) -> Event {
        Event {
            domain: domain.parse().unwrap(),
            label: Label::read(label).unwrap(),
            count,
            first: last,
            last,
            certificate: None,
            upstream: None,
        }
    }

    pub(in super::super) fn certificate(names: &str) -> Arc<Certificate> {
        let (names, issuer, serial) = (names.to_owned(), String::new(), String::new());
        Arc::new(Certificate { names, issuer, serial, not_after: fedgate_policy::UnixTime(0) })
    }

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn reports_of_all_workers_add_up_whatever_their_order() {
        let start = Instant::now();
        let label = "authentication-failure";
        let early = Event {
            certificate: Some(certificate("early")),
            ..event("a.com", label, 2, start + second(1))
        };
        let late = Event {
            certificate: Some(certificate("late")),
            ..event("a.com", label, 3, start + second(2))
        };
        let mut ledger = Ledger::default();
        ledger.take(late, Side::Ingress, true);
        ledger.take(early, Side::Ingress, true);
        let seen = ledger.of(&"a.com".parse().unwrap()).unwrap();
        let end = &seen.ends[&(Side::Ingress, Label::read(label).unwrap())];
        assert_eq!((end.count, end.last), (5, start + second(2)));
        assert_eq!(end.certificate.as_ref().unwrap().names, "late");
    }

    #[test]
    fn a_certificate_is_theirs_only_where_a_request_with_it_passed() {
        let (start, mut ledger) = (Instant::now(), Ledger::default());
        for (after, label, names) in [
            (1, "permitted", "own"),
            (2, "authentication-failure", "another's"),
            (3, "certificate-expired", "another's"),
            (4, "federation-denied", "another's"),
        ] {
            let certificate = Some(certificate(names));
            let event = Event { certificate, ..event("a.com", label, 1, start + second(after)) };
            ledger.take(event, Side::Ingress, true);
        }
        let (own, at) = ledger.of(&"a.com".parse().unwrap()).unwrap().certificate.clone().unwrap();
        assert_eq!((&*own.names, at), ("own", start + second(1)));
    }

    #[test]
    fn a_flood_of_strangers_pushes_out_its_own_kind_alone() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        ledger.take(event("partner.com", "permitted", 1, start), Side::Ingress, true);
        ledger.take(event("often.com", "federation-denied", 9, start), Side::Ingress, false);
        for n in 0..100_000 {
            let last = start + Duration::from_millis(n);
            ledger.take(event(&format!("d{n}.com"), "federation-denied", 1, last), Side::Ingress, false);
            assert!(ledger.strangers.len() <= STRANGERS + SLACK);
        }
        for domain in ["partner.com", "often.com", "d99999.com"] {
            assert!(ledger.of(&domain.parse().unwrap()).is_some(), "{domain}");
        }
        let kept = ledger.strangers().fold(0, |sum, (_, seen)| sum + seen.count());
        assert_eq!(kept + ledger.others, 100_009, "all are accounted for");
    }

    #[test]
    fn what_was_seen_of_a_stranger_is_kept_when_it_is_listed() {
        let mut ledger = Ledger::default();
        let domain: Domain = "a.com".parse().unwrap();
        ledger.take(event("a.com", "federation-denied", 1, Instant::now()), Side::Ingress, false);
        ledger.moved(&domain, true);
        assert_eq!((ledger.strangers.len(), ledger.partners.len()), (0, 1));
        ledger.moved(&domain, false);
        assert_eq!((ledger.strangers.len(), ledger.partners.len()), (1, 0));
    }
}
