//! Verdicts that were looked up, each until its life ends, and never more than a fixed number.

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::time::Duration;

use fedgate_policy::{Domain, Verdict};
use lru::LruCache;

use crate::host::Now;

/// The most verdicts held: some 2 MiB of a worker. The one unused for longest makes room.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Verdicts by backend domain.
///
/// Keys may be of an attacker's choosing, so they are hashed with random keys.
pub(crate) struct VerdictCache {
    held: LruCache<Domain, Held, RandomState>,
    max_life: Duration,
}

/// A verdict, and until when it is valid.
pub(crate) struct Held {
    verdict: Verdict,
    until: Now,
}

// === impl VerdictCache ===

impl VerdictCache {
    /// An empty cache, in which no verdict lives longer than `max_life`, whatever its own life.
    pub(crate) fn new(max_life: Duration) -> Self {
        Self { held: LruCache::with_hasher(CAPACITY, RandomState::new()), max_life }
    }

    /// The verdict on `domain`, if one is held that is valid at `now`.
    pub(crate) fn valid_at(&mut self, domain: &Domain, now: Now) -> Option<&Verdict> {
        self.held.get(domain).and_then(|held| held.valid_at(now))
    }

    /// Holds a verdict received at `now`, in place of an earlier one.
    pub(crate) fn insert(&mut self, verdict: Verdict, now: Now) {
        let held = Held::new(verdict, now, self.max_life);
        self.held.put(held.domain().clone(), held);
    }

    /// Forgets a domain.
    pub(crate) fn remove(&mut self, domain: &Domain) {
        self.held.pop(domain);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

// === impl Held ===

impl Held {
    /// A verdict received at `now`, valid for its own life or for `max_life`, if that is shorter.
    pub(crate) fn new(verdict: Verdict, now: Now, max_life: Duration) -> Self {
        let life = Duration::from_millis(verdict.ttl_ms).min(max_life);
        Self { until: now.after(life), verdict }
    }

    /// The verdict, if it is valid at `now`.
    pub(crate) fn valid_at(&self, now: Now) -> Option<&Verdict> {
        (now < self.until).then_some(&self.verdict)
    }

    /// What it is about.
    pub(crate) fn domain(&self) -> &Domain {
        &self.verdict.domain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(domain: &str, ttl_ms: u64) -> Verdict {
        serde_json::from_value(
            serde_json::json!({"domain": domain, "hosts": ["fed.a.com"], "ttl_ms": ttl_ms}),
        )
        .unwrap()
    }

    fn at(ms: u64) -> Now {
        Now::from_epoch(Duration::from_millis(1_000_000 + ms))
    }

    fn cache() -> VerdictCache {
        VerdictCache::new(Duration::from_secs(900))
    }

    #[test]
    fn a_verdict_serves_until_its_life_ends_and_not_a_millisecond_longer() {
        let (mut cache, domain) = (cache(), "a.com".parse().unwrap());
        cache.insert(verdict("a.com", 5_000), at(0));
        assert!(cache.valid_at(&domain, at(0)).is_some());
        assert!(cache.valid_at(&domain, at(4_999)).is_some());
        assert!(cache.valid_at(&domain, at(5_000)).is_none());
    }

    #[test]
    fn the_cache_bounds_a_life_that_the_verdict_does_not() {
        let (mut cache, domain) = (cache(), "a.com".parse().unwrap());
        cache.insert(verdict("a.com", u64::MAX), at(0));
        assert!(cache.valid_at(&domain, at(899_999)).is_some());
        assert!(cache.valid_at(&domain, at(900_000)).is_none());
    }

    #[test]
    fn a_life_of_nothing_is_never_held() {
        let (mut cache, domain) = (cache(), "a.com".parse().unwrap());
        cache.insert(verdict("a.com", 0), at(0));
        assert!(cache.valid_at(&domain, at(0)).is_none());
    }

    #[test]
    fn a_later_verdict_takes_the_place_of_an_earlier_one() {
        let (mut cache, domain) = (cache(), "a.com".parse().unwrap());
        cache.insert(verdict("a.com", 60_000), at(0));
        cache.insert(verdict("a.com", 1_000), at(0));
        assert!(cache.valid_at(&domain, at(1_000)).is_none());
    }

    #[test]
    fn a_flood_of_domains_pushes_out_what_was_unused_for_longest() {
        let (mut cache, used) = (cache(), "used.example".parse().unwrap());
        cache.insert(verdict("used.example", 5_000), at(0));
        cache.insert(verdict("unused.example", 5_000), at(0));
        for n in 0..CAPACITY.get() - 1 {
            assert!(cache.valid_at(&used, at(0)).is_some());
            cache.insert(verdict(&format!("d{n}.example"), 5_000), at(0));
        }
        assert_eq!(cache.held.len(), CAPACITY.get());
        assert!(cache.valid_at(&used, at(0)).is_some());
        assert!(cache.valid_at(&"unused.example".parse().unwrap(), at(0)).is_none());
    }
}
