//! What becomes of the requests and calls of each listed domain, counted for Envoy's statistics.
//!
//! Only what the operator has put on the list becomes part of a name. What Envoy has been told of once stays
//! in its statistics until it ends; so a domain that is taken off keeps its place here, for when it comes
//! back, and places are bounded.

use std::rc::Rc;

use fedgate_policy::Domain;

use crate::connection::Connection;
use crate::host::Metric;

/// The most series of one worker: counts of one kind, for one domain. What is beyond counts for `other`.
const MOST: usize = 4000;
/// Stands for all domains that have no place of their own; no domain has this name.
const OTHER: &str = "other";

/// The place of a listed domain. Finding it again costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partner(u16);

/// The counts of all.
pub(crate) struct Partners {
    /// The first are those of [`OTHER`].
    all: Vec<Counts>,
    series: usize,
}

struct Counts {
    domain: Option<Domain>,
    series: Vec<Series>,
    /// How many were good to the end, and what the last one's peer was, for the next report.
    passed: u32,
    peer: Option<Rc<Connection>>,
}

/// How often requests of a domain came to one end.
struct Series {
    end: u8,
    count: u32,
    metric: Option<Metric>,
}

// === impl Partner ===

impl Partner {
    /// Not a listed domain, or none at all.
    pub(crate) const NONE: Self = Self(0);
    const OTHER: Self = Self(1);
}

// === impl Partners ===

impl Partners {
    /// No counts.
    pub(crate) fn new() -> Self {
        Self { all: vec![Counts::new(None)], series: 0 }
    }

    /// The place of a domain that is listed.
    pub(crate) fn place(&mut self, domain: &Domain) -> Partner {
        let known = self.all.iter().position(|counts| counts.domain.as_ref() == Some(domain));
        let index = known.unwrap_or(self.all.len());
        if index > MOST {
            return Partner::OTHER;
        }
        if known.is_none() {
            self.all.push(Counts::new(Some(domain.clone())));
        }
        u16::try_from(index.saturating_add(1)).map_or(Partner::OTHER, Partner)
    }

    /// Counts one that came to this end.
    pub(crate) fn count(&mut self, Partner(place): Partner, end: u8) {
        let Some(index) = usize::from(place).checked_sub(1) else { return };
        let is_full = self.series >= MOST;
        let Some(counts) = self.all.get_mut(index) else { return };
        if let Some(series) = counts.series.iter_mut().find(|series| series.end == end) {
            series.count = series.count.saturating_add(1);
        } else if is_full && Partner(place) != Partner::OTHER {
            self.count(Partner::OTHER, end);
        } else {
            counts.series.push(Series { end, count: 1, metric: None });
            self.series = self.series.saturating_add(1);
        }
    }

    /// Notes that one passed, and the peer that it came from.
    pub(crate) fn pass(&mut self, Partner(place): Partner, peer: Option<&Rc<Connection>>) {
        let Some(index) = usize::from(place).checked_sub(1) else { return };
        let Some(counts) = self.all.get_mut(index) else { return };
        counts.passed = counts.passed.saturating_add(1);
        if let Some(peer) = peer
            && !counts.peer.as_ref().is_some_and(|known| Rc::ptr_eq(known, peer))
        {
            counts.peer = Some(Rc::clone(peer));
        }
    }

    /// Hands over what passed: a domain, none for [`OTHER`], how often, and the last peer.
    pub(crate) fn take_passed(
        &mut self,
        mut hand_over: impl FnMut(Option<&Domain>, u32, Option<&Connection>),
    ) {
        for counts in self.all.iter_mut().filter(|counts| counts.passed > 0) {
            let passed = std::mem::take(&mut counts.passed);
            hand_over(counts.domain.as_ref(), passed, counts.peer.as_deref());
        }
    }

    /// Hands over what was counted: a domain's name, an end, its metric, once there is one, and how often.
    pub(crate) fn take(&mut self, mut hand_over: impl FnMut(&str, u8, &mut Option<Metric>, u32)) {
        for Counts { domain, series, .. } in &mut self.all {
            for series in series.iter_mut().filter(|series| series.count > 0) {
                let name = domain.as_ref().map_or(OTHER, Domain::as_str);
                hand_over(name, series.end, &mut series.metric, std::mem::take(&mut series.count));
            }
        }
    }
}

// === impl Counts ===

impl Counts {
    fn new(domain: Option<Domain>) -> Self {
        Self { domain, series: Vec::new(), passed: 0, peer: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(number: usize) -> Domain {
        format!("d{number}.com").parse().unwrap()
    }

    fn taken(partners: &mut Partners) -> Vec<(String, u8, u32)> {
        let mut taken = vec![];
        partners.take(|name, end, _, count| taken.push((name.to_owned(), end, count)));
        taken
    }

    #[test]
    fn each_domain_is_counted_by_itself_and_each_count_told_once() {
        let mut partners = Partners::new();
        let [a, b] = [1, 2].map(|number| partners.place(&domain(number)));
        for (partner, end) in [(a, 0), (b, 0), (a, 0), (a, 7), (Partner::NONE, 0)] {
            partners.count(partner, end);
        }
        let d = |number| domain(number).as_str().to_owned();
        assert_eq!(taken(&mut partners), [(d(1), 0, 2), (d(1), 7, 1), (d(2), 0, 1)]);
        assert_eq!(taken(&mut partners), []);
        assert_eq!(partners.place(&domain(1)), a, "a place is kept");
        partners.count(a, 7);
        assert_eq!(taken(&mut partners), [(d(1), 7, 1)]);
    }

    #[test]
    fn series_are_bounded_and_the_rest_is_one() {
        let mut partners = Partners::new();
        for number in 0..MOST + 100 {
            let partner = partners.place(&domain(number));
            partners.count(partner, 0);
            partners.count(partner, 1);
        }
        let (counts, most) = (taken(&mut partners), u32::try_from(MOST).unwrap());
        let others = |end| counts.iter().find(|(name, e, _)| name == OTHER && *e == end).unwrap().2;
        assert_eq!(counts.len(), MOST + 2);
        assert_eq!(counts.iter().map(|(_, _, count)| count).sum::<u32>(), 2 * (most + 100));
        assert_eq!(others(0) + others(1), most + 200);
        assert!(partners.all.len() <= MOST + 1);
    }

    #[test]
    fn other_is_no_domain() {
        assert!(OTHER.parse::<Domain>().is_err());
    }
}
