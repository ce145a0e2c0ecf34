//! The addresses of SRV targets: each host is looked up once for all domains that it speaks for, when
//! it is due, and forgotten when no domain needs it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use fedgate_policy::HostName;
use tokio::sync::Semaphore;

use super::SHORTEST;
use crate::discovery::{Addresses, Certainty, Resolve, Resolved};
use crate::verdicts::schedule::backoff;

/// Lookups of addresses under way at one time.
const LOOKUPS: usize = 256;

/// The hosts in use.
pub(super) struct Hosts {
    resolve: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    by_name: Mutex<HashMap<HostName, Weak<Host>>>,
}

/// A host in use.
pub(super) struct Host {
    name: HostName,
    resolve: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    /// Locked during a lookup, for which others then wait.
    known: tokio::sync::Mutex<Option<Arc<Known>>>,
}

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    /// v4, then v6.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether DNS has said what the addresses are, at any time.
    pub(super) certain: bool,
    /// When to look again.
    pub(super) due: Instant,
    private: Vec<IpAddr>,
    /// How many lookups in a row came to nothing.
    troubles: u32,
}

// === impl Hosts ===

impl Hosts {
    /// No host.
    pub(super) fn new(resolve: Arc<dyn Resolve>) -> Self {
        Self { resolve, slots: Arc::new(Semaphore::new(LOOKUPS)), by_name: Mutex::default() }
    }

    /// The host of that name, for as long as somebody has it.
    pub(super) fn host(&self, name: &HostName) -> Arc<Host> {
        let mut hosts = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name).and_then(Weak::upgrade) {
            return host;
        }
        // The map grows only here; what is gone goes before it would have to take more room.
        if hosts.len() == hosts.capacity() {
            hosts.retain(|_, host| host.strong_count() > 0);
        }
        let (resolve, slots) = (self.resolve.clone(), self.slots.clone());
        let remembered = self.resolve.remembered(name);
        let known = remembered.map(|addresses| Arc::new(Known::remembered(addresses, Instant::now())));
        let known = tokio::sync::Mutex::new(known);
        let host = Arc::new(Host { name: name.clone(), resolve, slots, known });
        hosts.insert(name.clone(), Arc::downgrade(&host));
        host
    }
}

// === impl Host ===

impl Host {
    /// What is known of it, looked up if that is due.
    pub(super) async fn known(&self) -> Arc<Known> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.due > Instant::now()) {
            return known.clone();
        }
        let slot = self.slots.acquire().await;
        let found = self.resolve.resolve(&self.name).await;
        drop(slot);
        let after = Arc::new(Known::after(known.as_deref(), found, Instant::now()));
        if known.as_ref().is_none_or(|before| before.private != after.private)
            && !after.private.is_empty()
        {
            tracing::warn!(
                host = %self.name, addresses = ?after.private,
                "these addresses are not public, so we do not connect to them; if you mean to, set discovery.allow_private_addresses"
            );
        }
        *known = Some(after.clone());
        after
    }
}

// === impl Known ===

impl Known {
    /// What is remembered from an earlier time: it will do for now, and is looked up anew soon.
    fn remembered(addresses: Vec<IpAddr>, now: Instant) -> Self {
        let (v4, v6) = addresses.iter().partition(|address| address.is_ipv4());
        let due = now.checked_add(SHORTEST).unwrap_or(now);
        Self { v4, v6, addresses, certain: true, due, private: Vec::new(), troubles: 0 }
    }

    /// What is known after a lookup that found this, where that was known before it. Trouble leaves
    /// the addresses there: TLS proves the host's name, whatever its address.
    fn after(before: Option<&Self>, found: Resolved, now: Instant) -> Self {
        let trouble = |family: &Addresses| family.certainty == Certainty::Transient;
        let troubles = if trouble(&found.v4) || trouble(&found.v6) {
            before.map_or(0, |before| before.troubles).saturating_add(1)
        } else {
            0
        };
        let pause = |family: &Addresses| match family.certainty {
            Certainty::Answered => family.ttl.mul_f64(0.9),
            Certainty::Transient => backoff(troubles),
        };
        let pause = pause(&found.v4).min(pause(&found.v6)).max(SHORTEST);
        let certain = before.is_some_and(|before| before.certain) || troubles == 0;
        let kept = |family: Addresses, before: Option<&Vec<IpAddr>>| match family.certainty {
            Certainty::Answered => family.usable,
            Certainty::Transient => before.cloned().unwrap_or_default(),
        };
        let private = [found.v4.private.clone(), found.v6.private.clone()].concat();
        let v4 = kept(found.v4, before.map(|before| &before.v4));
        let v6 = kept(found.v6, before.map(|before| &before.v6));
        let addresses = [v4.clone(), v6.clone()].concat();
        let due = now.checked_add(pause).unwrap_or(now);
        Self { v4, v6, addresses, certain, due, private, troubles }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discovery::TRANSIENT_TTL;

    fn answered(addresses: &[&str], seconds: u64) -> Addresses {
        let usable = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (ttl, certainty) = (Duration::from_secs(seconds), Certainty::Answered);
        Addresses { usable, private: Vec::new(), ttl, certainty }
    }

    fn trouble() -> Addresses {
        Addresses { ttl: TRANSIENT_TTL, certainty: Certainty::Transient, ..answered(&[], 0) }
    }

    fn texts(known: &Known) -> Vec<String> {
        known.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_familys_trouble_leaves_its_own_addresses() {
        let start = Instant::now();
        let found = Resolved { v4: answered(&["1.1.1.1"], 100), v6: answered(&["2606::1"], 200) };
        let known = Known::after(None, found, start);
        assert_eq!(texts(&known), ["1.1.1.1", "2606::1"]);
        assert_eq!((known.due - start, known.certain), (Duration::from_secs(90), true));

        let found = Resolved { v4: trouble(), v6: answered(&[], 300) };
        let known = Known::after(Some(&known), found, start);
        assert_eq!((texts(&known), known.certain), (vec!["1.1.1.1".to_owned()], true));
        assert_eq!(known.due - start, Duration::from_secs(2));

        let found = Resolved { v4: answered(&[], 300), v6: answered(&[], 300) };
        assert!(Known::after(Some(&known), found, start).addresses.is_empty());
    }

    #[test]
    fn trouble_is_asked_about_ever_later_and_leaves_doubt_until_the_first_answer() {
        let start = Instant::now();
        let mut known = Known::after(None, Resolved { v4: trouble(), v6: trouble() }, start);
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!((known.due - start, known.certain), (Duration::from_secs(expected), false));
            known = Known::after(Some(&known), Resolved { v4: trouble(), v6: trouble() }, start);
        }
        let found = Resolved { v4: answered(&[], 0), v6: answered(&[], 60) };
        known = Known::after(Some(&known), found, start);
        assert_eq!((known.due - start, known.certain), (SHORTEST, true), "no TTL makes us spin");
    }
}
