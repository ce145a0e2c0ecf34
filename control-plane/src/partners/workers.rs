//! The workers of filters, by their reports: which version they run, and how far behind their tables are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_policy::report::FeedState;

use super::reading::Side;

/// The most workers that are known at one time.
const MOST: usize = 10_000;
/// A worker says something each 30 seconds; after so long without a word it is amiss.
const SILENT: Duration = Duration::from_secs(90);
/// After so long it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// How old what a table knows may be: a poll of the feed is answered within a minute, whatever happens.
const LAGGING: Duration = Duration::from_secs(90);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Workers(HashMap<(Home, String), Worker>);

/// Where a worker is: one filter of one Envoy, as far as we can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Home {
    /// The name of its token.
    pub(crate) by: Arc<str>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) side: Side,
}

/// One worker.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) version: String,
    /// When it had heard the control plane last, by its last word; none where it never had.
    pub(crate) heard: Option<Instant>,
    /// Whether it holds all that is listed.
    is_whole: bool,
    first: Instant,
    /// When it last said something.
    pub(crate) last: Instant,
}

// === impl Workers ===

impl Workers {
    /// A worker says how it is.
    pub(super) fn take(
        &mut self,
        home: Home,
        worker: String,
        version: String,
        feed: &FeedState,
        now: Instant,
    ) {
        let key = (home, worker);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.tidy(now);
            let oldest = self.0.iter().min_by_key(|(_, it)| it.last).map(|(key, _)| key.clone());
            oldest.filter(|_| self.0.len() >= MOST).and_then(|key| self.0.remove(&key));
        }
        let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap_or(now);
        let (heard, is_whole) = (feed.heard_ms.map(ago), feed.whole);
        let first = self.0.get(&key).map_or(now, |known| known.first);
        self.0.insert(key, Worker { version, heard, is_whole, first, last: now });
    }

    /// All of them that are there, or amiss.
    pub(super) fn all(&mut self, now: Instant) -> Vec<(Home, Worker)> {
        self.tidy(now);
        self.0.iter().map(|((home, _), worker)| (home.clone(), worker.clone())).collect()
    }

    /// Forgets those that were silent for long, and those in whose place others have come: an Envoy that was started
    /// anew.
    fn tidy(&mut self, now: Instant) {
        let mut newest: HashMap<Home, Instant> = HashMap::new();
        for ((home, _), worker) in &self.0 {
            let first = newest.entry(home.clone()).or_insert(worker.first);
            *first = worker.first.max(*first);
        }
        self.0.retain(|(home, _), worker| {
            let quiet = now.saturating_duration_since(worker.last);
            let is_replaced = newest.get(home).is_some_and(|first| *first > worker.last);
            quiet < FORGOTTEN && !is_replaced
        });
    }
}

// === impl Worker ===

impl Worker {
    /// Whether it says nothing any more.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= SILENT
    }

    /// How old what it knows was, when it last said something; none where it knows nothing.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.heard.map(|heard| self.last.saturating_duration_since(heard))
    }

    /// Whether it does not hear us, although we hear it, or does not hold all that is listed. One that has just begun
    /// has not heard us yet.
    pub(crate) fn is_behind(&self, now: Instant) -> bool {
        let has_begun = now.saturating_duration_since(self.first) >= LAGGING;
        match self.age() {
            Some(age) => age >= LAGGING || (has_begun && !self.is_whole),
            None => has_begun,
        }
    }
}

#[cfg(test)]
impl Worker {
    /// One that heard us then, by what it said last.
    pub(crate) fn of(heard: Option<Instant>, last: Instant) -> Self {
        Self { version: "1".to_owned(), heard, is_whole: true, first: last, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(address: u8) -> Home {
        let address = Some(IpAddr::from([192, 0, 2, address]));
        Home { by: "envoy-1".into(), address, side: Side::Ingress }
    }

    fn fed(heard_ms: Option<u64>) -> FeedState {
        FeedState { heard_ms, whole: true, entries: 1 }
    }

    #[test]
    fn a_worker_is_amiss_until_another_comes_in_its_place() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut workers = Workers::default();
        let take = |workers: &mut Workers, worker: &str, seconds| {
            workers.take(home(1), worker.to_owned(), "1".to_owned(), &fed(Some(5)), at(seconds));
        };
        take(&mut workers, "a", 0);
        take(&mut workers, "b", 1);
        take(&mut workers, "a", 30);
        take(&mut workers, "b", 30);
        let silent = |workers: &mut Workers, seconds| {
            let all = workers.all(at(seconds));
            (all.len(), all.iter().filter(|(_, worker)| worker.is_silent(at(seconds))).count())
        };
        assert_eq!(silent(&mut workers, 119), (2, 0));
        assert_eq!(silent(&mut workers, 120), (2, 2));
        take(&mut workers, "c", 121);
        assert_eq!(silent(&mut workers, 121), (1, 0));
        assert_eq!(silent(&mut workers, 121 + FORGOTTEN.as_secs()), (0, 0));
    }

    #[test]
    fn a_table_is_behind_that_has_not_heard_us_for_long_or_never() {
        let now = Instant::now();
        for (heard_ms, whole, at_first, later) in [
            (Some(0), true, false, false),
            (Some(89_999), true, false, false),
            (Some(90_000), true, true, true),
            (Some(0), false, false, true),
            (None, true, false, true),
        ] {
            let mut workers = Workers::default();
            let begun = now + Duration::from_secs(1000);
            let feed = FeedState { whole, ..fed(heard_ms) };
            workers.take(home(1), "a".to_owned(), "1".to_owned(), &feed, begun);
            let worker = workers.all(begun).remove(0).1;
            let behind = [begun, begun + LAGGING].map(|now| worker.is_behind(now));
            assert_eq!(behind, [at_first, later], "{feed:?}");
        }
    }

    #[test]
    fn workers_are_bounded_and_the_ones_heard_last_stay() {
        let start = Instant::now();
        let mut workers = Workers::default();
        for n in 0..MOST + 10 {
            let now = start + Duration::from_millis(n as u64);
            workers.take(home(1), format!("w{n}"), "1".to_owned(), &fed(None), start);
            workers.take(home(2), format!("w{n}"), "1".to_owned(), &fed(None), now);
            assert!(workers.0.len() <= MOST);
        }
        assert!(workers.0.contains_key(&(home(2), format!("w{}", MOST + 9))));
    }
}
