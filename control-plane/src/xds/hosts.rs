//! The addresses of SRV targets: each host is looked up once for all domains that it speaks for, when
//! it is due, and forgotten when no domain needs it.
//!
//! Each family is looked up by a task of its own, so that neither waits for the other, and whoever
//! [watches](Host::watch) a host hears of each as it comes.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use fedgate_discovery::{Addresses, Family, Resolve};
use fedgate_policy::HostName;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;

use super::SHORTEST;
use super::knock::{Ports, Want, knock};
use super::order::ordered;
use crate::verdicts::schedule::backoff;

/// Lookups of addresses under way at one time, of each family: one that is silent takes no other's place.
const LOOKUPS: usize = 256;
/// Hosts at which we knock at one time; each has 32 addresses at the most.
const KNOCKS: usize = 16;

/// The hosts in use.
pub(super) struct Hosts {
    resolve: Arc<dyn Resolve>,
    slots: [(Family, Arc<Semaphore>); 2],
    knocks: Arc<Semaphore>,
    by_name: Mutex<HashMap<HostName, Weak<Host>>>,
}

/// A host in use: it is looked up for as long as somebody has it.
pub(super) struct Host {
    known: watch::Sender<Known>,
    ports: Ports,
    /// Wakes its tasks before they are due.
    again: Arc<Notify>,
    tasks: [AbortHandle; 3],
}

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) v4: Findings,
    pub(super) v6: Findings,
    /// Where nobody opened when we last knocked, although somebody did at another address of the host.
    pub(super) silent: BTreeSet<SocketAddr>,
}

/// What is known of a host's addresses of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Those that we may connect to, in the order in which DNS first named them.
    pub(super) usable: Vec<IpAddr>,
    /// Those that we may not, because they are not public.
    pub(super) private: Vec<IpAddr>,
    /// Whether a lookup has ended.
    pub(super) asked: bool,
    /// Whether DNS has said what the addresses are, at any time.
    pub(super) certain: bool,
    /// Why the last lookup came to nothing; none where it did not.
    pub(super) trouble: Option<String>,
    /// How many lookups in a row came to nothing.
    pub(super) troubles: u32,
}

// === impl Hosts ===

impl Hosts {
    /// No host.
    pub(super) fn new(resolve: Arc<dyn Resolve>) -> Self {
        let slots = [Family::V4, Family::V6].map(|family| (family, Arc::new(Semaphore::new(LOOKUPS))));
        let knocks = Arc::new(Semaphore::new(KNOCKS));
        Self { resolve, slots, knocks, by_name: Mutex::default() }
    }

    /// The host of that name, if somebody has it.
    pub(super) fn in_use(&self, name: &HostName) -> Option<Arc<Host>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(name).and_then(Weak::upgrade)
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
        let known = watch::Sender::new(Known::remembered(&*self.resolve, name));
        let again = Arc::new(Notify::new());
        let [v4, v6] = self.slots.each_ref().map(|(family, slots)| {
            let (resolve, slots, again) = (self.resolve.clone(), slots.clone(), again.clone());
            let lookup = look_up(name.clone(), *family, resolve, slots, known.clone(), again);
            tokio::spawn(lookup).abort_handle()
        });
        let ports = Ports::default();
        let knock = knock(known.clone(), ports.clone(), self.knocks.clone(), again.clone());
        let knock = tokio::spawn(knock).abort_handle();
        let host = Arc::new(Host { known, ports, again, tasks: [v4, v6, knock] });
        hosts.insert(name.clone(), Arc::downgrade(&host));
        host
    }
}

/// Looks up a host's addresses of one family whenever that is due.
async fn look_up(
    name: HostName,
    family: Family,
    resolve: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    known: watch::Sender<Known>,
    again: Arc<Notify>,
) {
    loop {
        let slot = slots.acquire().await;
        let found = resolve.resolve(&name, family).await;
        drop(slot);
        let mut pause = SHORTEST;
        known.send_if_modified(|known| {
            let known = known.of(family);
            let after;
            (after, pause) = known.after(found);
            if let Some(cause) = after.trouble.as_ref().filter(|_| known.trouble != after.trouble) {
                tracing::debug!(host = %name, ?family, cause, "no addresses");
            }
            let news = *known != after;
            *known = after;
            news
        });
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = again.notified() => {} }
    }
}

// === impl Host ===

impl Host {
    /// What is known of it, and becomes known.
    pub(super) fn watch(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Has it looked up and knocked at anew, and returns where nobody opened, which counts no more.
    pub(super) fn again(&self) -> BTreeSet<SocketAddr> {
        let mut silent = BTreeSet::new();
        self.known.send_if_modified(|known| {
            silent = std::mem::take(&mut known.silent);
            !silent.is_empty()
        });
        self.again.notify_waiters();
        silent
    }

    /// Has it known where it opens at this port.
    pub(super) fn want(&self, port: u16) -> Arc<Want> {
        self.ports.want(port)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

// === impl Known ===

impl Known {
    /// What is remembered from an earlier time: it will do for now.
    fn remembered(resolve: &dyn Resolve, name: &HostName) -> Self {
        let of = |family| match resolve.remembered(name, family) {
            Some(usable) => Findings { usable, certain: true, ..Findings::default() },
            None => Findings::default(),
        };
        Self { v4: of(Family::V4), v6: of(Family::V6), ..Self::default() }
    }

    /// Whether lookups of both families have ended.
    pub(super) fn is_asked(&self) -> bool {
        self.v4.asked && self.v6.asked
    }

    /// Whether DNS has said of both families what the addresses are, at any time.
    pub(super) fn is_certain(&self) -> bool {
        self.v4.certain && self.v6.certain
    }

    /// Where to connect to, at this port, in the order in which that is to be tried.
    pub(super) fn sockets(&self, port: u16) -> Vec<SocketAddr> {
        let addresses: Vec<_> = self.usable().copied().collect();
        let is_silent = |ip| self.silent.contains(&SocketAddr::new(ip, port));
        ordered(&addresses, is_silent).into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// The addresses to connect to.
    pub(super) fn usable(&self) -> impl Iterator<Item = &IpAddr> {
        self.v4.usable.iter().chain(&self.v6.usable)
    }

    /// Why there is no address to connect to, family by family.
    pub(super) fn lack(&self) -> String {
        let of = |kind: &str, family: &Findings| match &family.trouble {
            Some(cause) => format!("{kind}: {cause}"),
            None if !family.private.is_empty() => format!("{kind}: not public"),
            None if family.asked => format!("{kind}: none"),
            None => format!("{kind}: no answer yet"),
        };
        format!("{}, {}", of("A", &self.v4), of("AAAA", &self.v6))
    }

    /// A host that has these addresses.
    #[cfg(test)]
    pub(super) fn of_texts(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap());
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv4);
        let of = |usable| Findings { usable, asked: true, certain: true, ..Findings::default() };
        Self { v4: of(v4), v6: of(v6), silent: BTreeSet::new() }
    }

    fn of(&mut self, family: Family) -> &mut Findings {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

// === impl Findings ===

impl Findings {
    /// What is known after a lookup that found this, where we know `self` from before; and after which
    /// time to look again. Trouble leaves the addresses there: TLS proves the host's name, whatever its
    /// address.
    fn after(&self, found: Addresses) -> (Self, Duration) {
        let before = self.clone();
        let (after, pause) = if found.trouble.is_some() {
            let troubles = self.troubles.saturating_add(1);
            (Self { asked: true, trouble: found.trouble, troubles, ..before }, backoff(troubles))
        } else {
            let Addresses { usable, private, ttl, trouble } = found;
            // Those that stay keep their places, so that an order that is only DNS's luck changes nothing.
            let (mut kept, new): (Vec<_>, Vec<_>) =
                usable.into_iter().partition(|address| self.usable.contains(address));
            kept.sort_by_key(|address| self.usable.iter().position(|before| before == address));
            let usable = [kept, new].concat();
            let (asked, certain, troubles) = (true, true, 0);
            (Self { usable, private, asked, certain, trouble, troubles }, ttl.mul_f64(0.9))
        };
        (after, pause.max(SHORTEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedgate_discovery::TRANSIENT_TTL;

    fn answered(addresses: &[&str], seconds: u64) -> Addresses {
        let usable = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let ttl = Duration::from_secs(seconds);
        Addresses { usable, private: Vec::new(), ttl, trouble: None }
    }

    fn trouble() -> Addresses {
        Addresses { ttl: TRANSIENT_TTL, trouble: Some("SERVFAIL".to_owned()), ..answered(&[], 0) }
    }

    fn texts(known: &Findings) -> Vec<String> {
        known.usable.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn trouble_leaves_the_addresses_and_says_what_it_was() {
        let (known, pause) = Findings::default().after(answered(&["1.1.1.1"], 100));
        assert_eq!((texts(&known), known.certain), (vec!["1.1.1.1".to_owned()], true));
        assert_eq!((pause, &known.trouble), (Duration::from_secs(90), &None));

        let (known, pause) = known.after(trouble());
        assert_eq!((texts(&known), known.certain), (vec!["1.1.1.1".to_owned()], true));
        assert_eq!((pause, known.trouble.as_deref()), (Duration::from_secs(2), Some("SERVFAIL")));

        let (known, _) = known.after(answered(&[], 300));
        assert!(known.usable.is_empty() && known.trouble.is_none());
    }

    #[test]
    fn an_order_that_is_only_dns_luck_changes_nothing() {
        let (known, _) = Findings::default().after(answered(&["9.9.9.9", "1.1.1.1", "8.8.8.8"], 60));
        let (known, _) = known.after(answered(&["4.4.4.4", "8.8.8.8", "9.9.9.9"], 60));
        assert_eq!(texts(&known), ["9.9.9.9", "8.8.8.8", "4.4.4.4"]);
    }

    #[test]
    fn trouble_is_asked_about_ever_later_and_leaves_doubt_until_the_first_answer() {
        let (mut known, mut pause) = Findings::default().after(trouble());
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!((pause, known.certain), (Duration::from_secs(expected), false));
            assert!(known.asked);
            (known, pause) = known.after(trouble());
        }
        (known, pause) = known.after(answered(&[], 0));
        assert_eq!((pause, known.certain), (SHORTEST, true), "no TTL makes us spin");
    }
}
