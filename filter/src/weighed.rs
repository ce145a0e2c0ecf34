//! A cache that is bounded by what it holds, in octets, and not only by how many: what others make us
//! remember may be small or large.

use std::hash::{Hash, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;

/// What was unused for longest makes room for what is new.
///
/// Keys may be of an attacker's choosing, so they are hashed with random keys.
pub(crate) struct Weighed<K: Hash + Eq, V> {
    held: LruCache<K, (V, usize), RandomState>,
    weight: usize,
    most: usize,
}

// === impl Weighed ===

impl<K: Hash + Eq, V> Weighed<K, V> {
    /// For so many entries, which weigh `most` octets together.
    pub(crate) fn new(entries: NonZeroUsize, most: usize) -> Self {
        Self { held: LruCache::with_hasher(entries, RandomState::new()), weight: 0, most }
    }

    /// What is held of it; it is used by that.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        self.held.get(key).map(|(value, _)| value)
    }

    /// Holds a value that weighs so much with its key, in place of an earlier one; or nothing, where it is
    /// too heavy by itself.
    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        let gone = if weight > self.most {
            self.held.pop_entry(&key)
        } else {
            self.weight = self.weight.saturating_add(weight);
            self.held.push(key, (value, weight))
        };
        self.lighten(gone);
        while self.weight > self.most {
            let Some(gone) = self.held.pop_lru() else { break };
            self.lighten(Some(gone));
        }
    }

    /// Forgets this.
    pub(crate) fn remove(&mut self, key: &K) {
        let gone = self.held.pop_entry(key);
        self.lighten(gone);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.weight = 0;
    }

    fn lighten(&mut self, gone: Option<(K, (V, usize))>) {
        self.weight = self.weight.saturating_sub(gone.map_or(0, |(_, (_, weight))| weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held afterwards, and what that weighs.
    fn after(puts: &[(u32, usize)]) -> (Vec<u32>, usize) {
        let mut cache = Weighed::new(NonZeroUsize::new(4).unwrap(), 100);
        for (key, weight) in puts {
            cache.put(*key, (), *weight);
        }
        let sum: usize = cache.held.iter().map(|(_, ((), weight))| weight).sum();
        assert_eq!(cache.weight, sum);
        let mut held: Vec<_> = cache.held.iter().map(|(key, _)| *key).collect();
        held.sort_unstable();
        (held, sum)
    }

    #[test]
    fn it_is_bounded_by_weight_and_by_number() {
        assert_eq!(after(&[(1, 40), (2, 40), (3, 20)]), (vec![1, 2, 3], 100));
        assert_eq!(after(&[(1, 40), (2, 40), (3, 21)]), (vec![2, 3], 61));
        assert_eq!(after(&[(1, 40), (2, 40), (3, 100)]), (vec![3], 100));
        assert_eq!(after(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]), (vec![2, 3, 4, 5], 4));
        assert_eq!(after(&[(1, 40), (2, 40), (1, 60)]), (vec![1, 2], 100));
        assert_eq!(after(&[(1, 40), (2, 40), (1, 61)]), (vec![1], 61));
    }

    #[test]
    fn what_is_too_heavy_by_itself_pushes_out_nothing_but_what_it_replaces() {
        assert_eq!(after(&[(1, 40), (2, 40), (3, 101)]), (vec![1, 2], 80));
        assert_eq!(after(&[(1, 40), (2, 40), (1, usize::MAX)]), (vec![2], 40));
    }

    #[test]
    fn what_is_forgotten_weighs_nothing() {
        let mut cache = Weighed::new(NonZeroUsize::new(4).unwrap(), 100);
        for key in 0..3 {
            cache.put(key, (), 30);
        }
        cache.remove(&0);
        cache.remove(&0);
        assert_eq!(cache.weight, 60);
        assert_eq!(cache.get(&0), None);
        assert_eq!(cache.get(&1), Some(&()));
        cache.clear();
        assert_eq!((cache.weight, cache.get(&1)), (0, None));
    }
}
