//! The listed domains, each with its verdict.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use fedgate_policy::Domain;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::partners::Partner;
use crate::verdict_cache::Held;

/// Into how many maps domains are spread: 100,000 make 400 in each.
const SHARDS: usize = 256;

/// Listed domains.
///
/// A map that is full moves all that it holds, and for a long list that takes a worker tens of
/// milliseconds, in which no request is served. So there are many small maps, which grow one by one.
///
/// Domains are hashed with random keys: some may be of an attacker's choosing.
pub(crate) struct Listing {
    shards: [HashTable<Listed>; SHARDS],
    hasher: RandomState,
    len: usize,
}

/// A listed domain.
pub(crate) struct Listed {
    /// What is known of it.
    pub(crate) held: Held,
    /// The whole table that last told of it.
    pub(crate) generation: u32,
    /// The first of those that did, without one between them that did not.
    pub(crate) since: u32,
    /// The last that told that it is denied, though listed.
    pub(crate) denied: u32,
    /// Its place among the counts, once it has one.
    pub(crate) partner: Cell<Partner>,
}

// === impl Listing ===

impl Listing {
    /// A listing of no domain.
    pub(crate) fn new() -> Self {
        Self { shards: [const { HashTable::new() }; SHARDS], hasher: RandomState::new(), len: 0 }
    }

    /// What is listed of `domain`.
    pub(crate) fn get(&self, domain: &Domain) -> Option<&Listed> {
        let hash = self.hasher.hash_one(domain);
        self.shards.get(shard(hash))?.find(hash, |listed| listed.held.domain() == domain)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, domain: &Domain) -> Option<&mut Listed> {
        let hash = self.hasher.hash_one(domain);
        self.shards.get_mut(shard(hash))?.find_mut(hash, |listed| listed.held.domain() == domain)
    }

    /// Lists a domain. Returns what was listed of it before.
    pub(crate) fn insert(&mut self, listed: Listed) -> Option<Listed> {
        let hash = self.hasher.hash_one(listed.held.domain());
        let entry = self.shards.get_mut(shard(hash))?.entry(
            hash,
            |other| other.held.domain() == listed.held.domain(),
            |other| self.hasher.hash_one(other.held.domain()),
        );
        match entry {
            Entry::Occupied(mut occupied) => {
                listed.partner.swap(&occupied.get().partner);
                Some(std::mem::replace(occupied.get_mut(), listed))
            }
            Entry::Vacant(vacant) => {
                vacant.insert(listed);
                self.len = self.len.saturating_add(1);
                None
            }
        }
    }

    /// Takes a domain off. Returns what was listed of it.
    pub(crate) fn remove(&mut self, domain: &Domain) -> Option<Listed> {
        let hash = self.hasher.hash_one(domain);
        let shard = self.shards.get_mut(shard(hash))?;
        let found = shard.find_entry(hash, |listed| listed.held.domain() == domain).ok()?;
        self.len = self.len.saturating_sub(1);
        Some(found.remove().0)
    }

    /// Takes off all but those of `generation`.
    pub(crate) fn retain(&mut self, generation: u32) {
        for shard in &mut self.shards {
            shard.retain(|listed| listed.generation == generation);
        }
        self.len = self.shards.iter().map(HashTable::len).sum();
    }

    /// How many domains are listed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The shard of a hash, by bits that the maps themselves do not look at.
fn shard(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() % SHARDS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fedgate_policy::{Outcome, Verdict};

    use super::*;
    use crate::host::Now;

    fn domain(number: usize) -> Domain {
        format!("d{number}.example").parse().unwrap()
    }

    fn listed(number: usize, generation: u32) -> Listed {
        let outcome = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
        let verdict = Verdict { domain: domain(number), outcome, ttl_ms: 1, shadow: false };
        let held = Held::new(verdict, Now::from_epoch(Duration::ZERO), Duration::MAX);
        Listed { held, generation, since: generation, denied: 0, partner: Cell::default() }
    }

    #[test]
    fn what_is_listed_is_found_until_it_is_taken_off() {
        let mut listing = Listing::new();
        for number in 0..5_000 {
            assert!(listing.insert(listed(number, 1)).is_none());
        }
        for number in 0..2_000 {
            assert_eq!(listing.insert(listed(number, 2)).unwrap().generation, 1);
        }
        assert_eq!(listing.len(), 5_000);
        for number in 1_000..2_000 {
            assert_eq!(listing.remove(&domain(number)).unwrap().held.domain(), &domain(number));
            assert!(listing.remove(&domain(number)).is_none());
        }
        assert_eq!(listing.len(), 4_000);
        listing.retain(2);
        assert_eq!(listing.len(), 1_000);
        for number in 0..5_000 {
            assert_eq!(listing.get(&domain(number)).is_some(), number < 1_000);
        }
    }

    #[test]
    fn no_map_holds_many_more_than_others() {
        let mut listing = Listing::new();
        for number in 0..100_000 {
            listing.insert(listed(number, 1));
        }
        let most = listing.shards.iter().map(HashTable::len).max();
        assert!(most < Some(2 * 100_000 / SHARDS), "{most:?}");
    }
}
