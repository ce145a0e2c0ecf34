//! Verdicts that were looked up, each until its life ends, and never more than fixed bounds allow.

use std::num::NonZeroUsize;
use std::time::Duration;

use fedgate_policy::{Domain, Outcome, Verdict};

use crate::host::Now;
use crate::weighed::Weighed;

/// The most verdicts held, and what they may weigh: DNS may name 64 long hosts for a domain that somebody
/// made up. The one unused for longest makes room.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const MAX_WEIGHT: usize = 4 << 20;
/// What a verdict weighs besides its names and text, and a name besides its text.
const VERDICT: usize = 160;
const NAME: usize = 24;

/// Verdicts by backend domain.
pub(crate) struct VerdictCache {
    held: Weighed<Domain, Held>,
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
        Self { held: Weighed::new(CAPACITY, MAX_WEIGHT), max_life }
    }

    /// The verdict on `domain`, if one is held that is valid at `now`.
    pub(crate) fn valid_at(&mut self, domain: &Domain, now: Now) -> Option<&Verdict> {
        self.held.get(domain).and_then(|held| held.valid_at(now))
    }

    /// Holds a verdict received at `now`, in place of an earlier one; not one without a life, which says
    /// nothing for later.
    pub(crate) fn insert(&mut self, verdict: Verdict, now: Now) {
        if verdict.ttl_ms == 0 {
            return;
        }
        let weight = weight(&verdict);
        let held = Held::new(verdict, now, self.max_life);
        self.held.put(held.domain().clone(), held, weight);
    }

    /// Forgets a domain.
    pub(crate) fn remove(&mut self, domain: &Domain) {
        self.held.remove(domain);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

/// What a verdict takes in memory with its key, roughly, in octets.
fn weight(verdict: &Verdict) -> usize {
    let told = match &verdict.outcome {
        Outcome::Hosts(hosts) => hosts
            .iter()
            .fold(0, |sum: usize, host| sum.saturating_add(NAME).saturating_add(host.as_str().len())),
        Outcome::Failure(failure) => failure.message.len(),
    };
    let domain = verdict.domain.as_str().len().saturating_mul(2);
    VERDICT.saturating_add(domain).saturating_add(told)
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
        cache.insert(verdict("a.com", 1), at(0));
        cache.insert(verdict("a.com", 0), at(0));
        assert!(cache.valid_at(&domain, at(0)).is_some(), "and takes nothing away");
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
        assert!(cache.valid_at(&used, at(0)).is_some());
        assert!(cache.valid_at(&"unused.example".parse().unwrap(), at(0)).is_none());
    }

    #[test]
    fn heavy_verdicts_make_room_sooner() {
        let (mut cache, first) = (cache(), "d0.example".parse().unwrap());
        let heavy = |n: usize| {
            let hosts: Vec<_> =
                (0..64).map(|host| format!("h{host}.{}.example", "a".repeat(63))).collect();
            let json =
                serde_json::json!({"domain": format!("d{n}.example"), "hosts": hosts, "ttl_ms": 5_000});
            serde_json::from_value::<Verdict>(json).unwrap()
        };
        let fit = MAX_WEIGHT / weight(&heavy(0));
        assert!(fit < 1_000);
        for n in 0..fit {
            cache.insert(heavy(n), at(0));
        }
        assert!(cache.valid_at(&first, at(0)).is_some());
        for n in fit..2 * fit {
            cache.insert(heavy(n), at(0));
        }
        assert!(cache.valid_at(&first, at(0)).is_none());
    }
}
