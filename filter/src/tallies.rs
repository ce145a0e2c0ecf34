//! What requests and calls came to, by domain and end, until the control plane has been told: bounded, and what
//! finds no place is a count.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::RandomState;
use std::rc::Rc;
use std::time::Duration;

use fedgate_policy::Domain;
use fedgate_policy::report::{Line, MAX_LINES, Shown};

use crate::host::Now;

/// The most lines that wait to be told.
const MOST: usize = 2 * MAX_LINES;
/// The most of them for domains that are not listed, which anybody can make up who has a trusted certificate.
const MOST_STRANGERS: usize = MAX_LINES / 2;
/// What the lines of one report may take, roughly, in octets.
const MAX_OCTETS: usize = 200_000;
/// What a line takes besides its texts.
const LINE: usize = 300;
/// The longest ago of which anybody is to hear.
const TOO_OLD: Duration = Duration::from_secs(600);

/// To what a request or a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct End {
    /// Of a permit, a refusal, or a failed call.
    pub(crate) label: &'static str,
    /// What the other backend says of a call that it refused; most often nothing.
    pub(crate) inner: Option<&'static str>,
    /// Whether it passed all the same, in shadow.
    pub(crate) spared: bool,
}

/// How often, and when, and what was seen with the last one.
pub(crate) struct Tally {
    pub(crate) count: u32,
    pub(crate) first: Now,
    pub(crate) last: Now,
    pub(crate) is_listed: bool,
    pub(crate) certificate: Option<Rc<Shown>>,
    pub(crate) upstream: Option<String>,
}

/// All that is to be told.
#[derive(Default)]
pub(crate) struct Tallies {
    lines: HashMap<(Domain, End), Tally, RandomState>,
    strangers: usize,
    others: u32,
}

/// A part of that, to be told now.
#[derive(Default)]
pub(crate) struct Batch {
    lines: Vec<((Domain, End), Tally)>,
    others: u32,
}

// === impl End ===

impl End {
    /// Of a label alone.
    pub(crate) fn new(label: &'static str) -> Self {
        Self { label, inner: None, spared: false }
    }
}

// === impl Tally ===

impl Tally {
    /// Of so many, at this moment.
    pub(crate) fn new(count: u32, now: Now, is_listed: bool) -> Self {
        Self { count, first: now, last: now, is_listed, certificate: None, upstream: None }
    }

    fn merge(&mut self, mut other: Self) {
        let (count, first) = (self.count.saturating_add(other.count), self.first.min(other.first));
        if other.last >= self.last {
            std::mem::swap(self, &mut other);
        }
        (self.count, self.first) = (count, first);
        self.certificate = self.certificate.take().or(other.certificate);
        self.upstream = self.upstream.take().or(other.upstream);
    }

    fn weight(&self) -> usize {
        let texts = self.certificate.as_ref().map_or(0, |certificate| certificate.weight());
        // A quotation mark or a backslash takes two octets in JSON.
        LINE.saturating_add(texts.saturating_mul(2))
    }
}

// === impl Tallies ===

impl Tallies {
    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.others == 0
    }

    /// Notes what came to an end.
    pub(crate) fn add(&mut self, domain: Domain, end: End, tally: Tally) {
        let no_room = self.lines.len() >= MOST || (!tally.is_listed && self.strangers >= MOST_STRANGERS);
        match self.lines.entry((domain, end)) {
            Entry::Occupied(mut known) => known.get_mut().merge(tally),
            Entry::Vacant(_) if no_room => self.add_others(tally.count),
            Entry::Vacant(vacant) => {
                self.strangers = self.strangers.saturating_add(usize::from(!tally.is_listed));
                vacant.insert(tally);
            }
        }
    }

    /// Notes some of no domain, or for which there is no place.
    pub(crate) fn add_others(&mut self, count: u32) {
        self.others = self.others.saturating_add(count);
    }

    /// What is to be told now; what does not fit waits, and what is too old is forgotten.
    pub(crate) fn take(&mut self, now: Now) -> Batch {
        let mut batch = Batch { lines: Vec::new(), others: std::mem::take(&mut self.others) };
        let mut octets: usize = 0;
        self.strangers = 0;
        for (key, tally) in std::mem::take(&mut self.lines) {
            if now.since(tally.last) > TOO_OLD {
                continue;
            }
            octets = octets.saturating_add(tally.weight());
            if batch.lines.len() < MAX_LINES && octets <= MAX_OCTETS {
                batch.lines.push((key, tally));
            } else {
                self.add(key.0, key.1, tally);
            }
        }
        batch
    }

    /// Takes back what could not be told.
    pub(crate) fn take_back(&mut self, batch: Batch) {
        self.add_others(batch.others);
        for ((domain, end), tally) in batch.lines {
            self.add(domain, end, tally);
        }
    }
}

// === impl Batch ===

impl Batch {
    /// As it is told at this moment: the lines, and how many requests and calls have none.
    pub(crate) fn told(&self, now: Now) -> (Vec<Line>, u32) {
        let line = |((domain, end), tally): &((Domain, End), Tally)| Line {
            domain: domain.clone(),
            label: end.inner.map_or(end.label.to_owned(), |inner| [end.label, inner].join("/")),
            count: tally.count,
            first_ms: millis(now.since(tally.first)),
            last_ms: millis(now.since(tally.last)),
            certificate: tally.certificate.as_deref().cloned(),
            upstream: tally.upstream.clone(),
            spared: end.spared,
        };
        (self.lines.iter().map(line).collect(), self.others)
    }
}

/// In whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: End = End { label: "federation-denied", inner: None, spared: false };
    const PERMITTED: End = End { label: "permitted", inner: None, spared: false };

    fn at(seconds: u64) -> Now {
        Now::from_epoch(Duration::from_secs(seconds))
    }

    fn domain(number: usize) -> Domain {
        format!("d{number}.com").parse().unwrap()
    }

    fn shown(names: &str) -> Rc<Shown> {
        let (names, issuer, serial) = (names.to_owned(), String::new(), String::new());
        Rc::new(Shown { names, issuer, serial, not_after: 0 })
    }

    fn told(tallies: &mut Tallies, now: u64) -> (Vec<Line>, u32) {
        tallies.take(at(now)).told(at(now))
    }

    #[test]
    fn what_came_to_the_same_end_is_one_line_with_the_last_certificate() {
        let mut tallies = Tallies::default();
        for (second, names) in [(3, "DNS:old"), (5, "DNS:new"), (4, "DNS:between")] {
            let tally = Tally { certificate: Some(shown(names)), ..Tally::new(2, at(second), true) };
            tallies.add(domain(1), PERMITTED, tally);
        }
        let inner = Some("federation-denied");
        tallies.add(domain(1), End { inner, ..DENIED }, Tally::new(1, at(6), true));
        let (mut lines, others) = told(&mut tallies, 7);
        lines.sort_by_key(|line| line.count);
        let [denied, permitted] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(denied.label, "federation-denied/federation-denied");
        assert_eq!((permitted.count, permitted.first_ms, permitted.last_ms), (6, 4_000, 2_000));
        assert_eq!(permitted.certificate, Some(Shown::clone(&shown("DNS:new"))));
        assert!(others == 0 && tallies.is_empty());
    }

    #[test]
    fn made_up_domains_are_bounded_and_take_no_place_of_listed_ones() {
        let mut tallies = Tallies::default();
        for number in 0..MOST {
            tallies.add(domain(number), DENIED, Tally::new(1, at(0), false));
        }
        for number in 0..MAX_LINES {
            tallies.add(domain(number), PERMITTED, Tally::new(1, at(0), true));
        }
        assert_eq!(tallies.lines.len(), MOST_STRANGERS + MAX_LINES);
        let (mut listed, mut count) = (0, 0);
        while !tallies.is_empty() {
            let (lines, others) = told(&mut tallies, 1);
            assert!(!lines.is_empty() && lines.len() <= MAX_LINES);
            listed += lines.iter().filter(|line| line.label == "permitted").count();
            count += lines.len() + usize::try_from(others).unwrap();
        }
        assert_eq!((listed, count), (MAX_LINES, MOST + MAX_LINES));
    }

    #[test]
    fn a_report_of_the_longest_texts_is_small_enough_to_be_read() {
        let mut tallies = Tallies::default();
        for number in 0..MAX_LINES {
            let certificate = Some(shown(&"\"".repeat(1_500)));
            let tally = Tally { certificate, ..Tally::new(1, at(0), true) };
            tallies.add(domain(number), PERMITTED, tally);
        }
        let (lines, _) = told(&mut tallies, 0);
        assert!(serde_json::to_string(&lines).unwrap().len() <= MAX_OCTETS);
        assert!(!tallies.is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_told_with_what_came_since_until_it_is_old() {
        let mut tallies = Tallies::default();
        tallies.add(domain(1), DENIED, Tally::new(3, at(1), false));
        tallies.add(domain(2), DENIED, Tally::new(1, at(1), false));
        tallies.add_others(5);
        let batch = tallies.take(at(2));
        tallies.add(domain(1), DENIED, Tally::new(1, at(500), false));
        tallies.take_back(batch);
        let (lines, others) = told(&mut tallies, 602);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.domain.as_str(), line.count, others), ("d1.com", 4, 5));
        assert_eq!((line.first_ms, line.last_ms), (601_000, 102_000));
    }
}
