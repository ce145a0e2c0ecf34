//! Keeps one entry of the book up to date: allowed? → SRV targets → their addresses → resources.
//!
//! It sleeps until something is due, or until it is told that something has changed. Listed domains
//! are looked up by the refresher, which it hears of; others it looks up itself, those without a
//! federator ever more seldom. It does not leave that to Envoy: since 1.38 that asks for a name once,
//! and relies on hearing when there is something to say.
//!
//! Addresses are published as they come, of which nobody waits for the slowest ([`Gathering`]).

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_discovery::Target;
use fedgate_policy::{Domain, HostName, Outcome};
use futures_util::future::select_all;
use tokio::sync::watch;

use super::SHORTEST;
use super::cluster::cluster;
use super::endpoints::endpoints;
use super::entry::{Entry, Means, Standing};
use super::hosts::{self, Host};
use super::knock::Want;
use super::reach::Reach;
use super::resource::Resource;
use crate::verdicts::{Known, PATIENCE, schedule};

/// How long the first address that is known waits for those that may come with it: of the other family,
/// and of other targets (RFC 8305 §3, the resolution delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Keeps `entry` up to date, until it is aborted.
pub(super) async fn keep(means: Arc<Means>, entry: Arc<Entry>) {
    let gathering = Gathering { begun: Instant::now(), first: None };
    let hosts = HashMap::new();
    let (lacking, defects) = (false, BTreeSet::new());
    let (due, last, failures) = (None, None, 0);
    let mut keeper = Keeper { means, entry, hosts, gathering, lacking, defects, due, last, failures };
    loop {
        let next = keeper.look().await;
        tokio::select! {
            () = keeper.entry.wake.notified() => {}
            () = until(next) => {}
            () = any_changed(&mut keeper.hosts) => {}
        }
    }
}

struct Keeper {
    means: Arc<Means>,
    entry: Arc<Entry>,
    /// The hosts of the targets, with their ports.
    hosts: HashMap<(HostName, u16), Watched>,
    gathering: Gathering,
    /// Whether no target has an address.
    lacking: bool,
    /// What is wrong with targets, as has been said.
    defects: BTreeSet<String>,
    /// When what is known of the domain will no longer do, unless others see to that.
    due: Option<Instant>,
    /// The end of the last lookup that was seen.
    last: Option<Instant>,
    /// How many lookups in a row came to nothing.
    failures: u32,
}

/// A host, kept so that others find what is known of it, and so that we hear of that.
struct Watched {
    _host: Arc<Host>,
    _port: Arc<Want>,
    known: watch::Receiver<hosts::Known>,
}

/// How far the addresses of a set of hosts have come.
struct Gathering {
    /// When somebody began to wait for them.
    begun: Instant,
    /// When the first was known.
    first: Option<Instant>,
}

// === impl Keeper ===

impl Keeper {
    /// Brings the entry up to date; returns when to look again, if time alone may change anything.
    async fn look(&mut self) -> Option<Instant> {
        let begun = Instant::now();
        let Some(known) = self.while_allowed(self.domain_known()).await.flatten() else {
            self.due = None;
            return self.absent();
        };
        let now = Instant::now();
        self.due = self.next_lookup(&known, now);
        let Outcome::Hosts(_) = &known.outcome else { return self.absent() };

        let cluster = Arc::new(Resource::pack(cluster(&self.entry.domain, &self.means.egress), false));
        let (before, begun) = match self.entry.standing() {
            Standing::Present(_, endpoints) => (endpoints, begun),
            Standing::Pending => (None, begun),
            Standing::Absent => (None, now),
        };
        self.means.publish(&self.entry, Standing::Present(cluster.clone(), before));

        self.watch(&known.targets, begun);
        let addresses = self.hosts.iter_mut();
        let addresses: HashMap<&HostName, hosts::Known> =
            addresses.map(|((name, _), host)| (name, host.known.borrow_and_update().clone())).collect();
        let unknown = hosts::Known::default();
        let host = |target: &Target| addresses.get(&target.host).unwrap_or(&unknown);
        let reaches: Vec<_> =
            known.targets.iter().map(|target| Reach::of(target, host(target))).collect();
        let defects = reaches.iter().flat_map(Reach::defects);
        let defects = defects.chain(known.passed_over.iter().cloned()).collect();
        say_defects(&self.entry.domain, &mut self.defects, defects);
        let wait = self.gathering.wait(addresses.values(), now);
        if wait.is_none() {
            let assignment = endpoints(&self.entry.domain, &known.targets, |name| addresses.get(name));
            let uncertain = addresses.values().any(|known| !known.is_certain());
            let is_empty = assignment.endpoints.is_empty();
            // Said already where it lies with each target, or with DNS as a whole.
            let is_said = reaches.iter().all(|reach| reach.defects().next().is_some())
                || self.means.verdicts.dns().is_some();
            if is_empty && !self.lacking && !is_said {
                let lack = addresses.iter().map(|(name, known)| format!("{name} ({})", known.lack()));
                let targets = lack.collect::<Vec<_>>().join(", ");
                tracing::warn!(domain = %self.entry.domain, targets, "no target has an address to connect to");
            }
            self.lacking = is_empty;
            let stopgap = is_empty && uncertain;
            let endpoints = Arc::new(Resource::pack(assignment, stopgap));
            self.means.publish(&self.entry, Standing::Present(cluster, Some(endpoints)));
        }
        wait.into_iter().chain(self.due).min()
    }

    /// There is no cluster; returns when to look again.
    fn absent(&mut self) -> Option<Instant> {
        self.means.publish(&self.entry, Standing::Absent);
        self.hosts.clear();
        self.due
    }

    async fn domain_known(&self) -> Option<Arc<Known>> {
        // Those that are not listed have a room of their own, where nobody who is waits behind them.
        let is_listed = self.means.verdicts.lists(&self.entry.domain);
        let _slot = if is_listed { self.means.slots.acquire().await.ok() } else { None };
        let since = self.due.filter(|due| *due <= Instant::now());
        self.means.verdicts.known_when_allowed(&self.entry.domain, since).await
    }

    /// Watches the hosts of these targets. If they are others than before, their addresses are to be
    /// gathered, for somebody who has waited since `begun`.
    fn watch(&mut self, targets: &[Target], begun: Instant) {
        let mut before = std::mem::take(&mut self.hosts);
        let mut others = false;
        for target in targets.iter().filter(|target| target.port != 0) {
            let place = (target.host.clone(), target.port);
            if !self.hosts.contains_key(&place) {
                let watched = before.remove(&place).unwrap_or_else(|| {
                    others = true;
                    let host = self.means.hosts.host(&target.host);
                    Watched { known: host.watch(), _port: host.want(target.port), _host: host }
                });
                self.hosts.insert(place, watched);
            }
        }
        if others {
            self.gathering = Gathering { begun, first: None };
        }
    }

    /// When to look the domain up. The refresher does that ahead of time for listed domains, and as
    /// often as need be where it comes to nothing: there, only the answer's end is ours to see.
    fn next_lookup(&mut self, known: &Known, now: Instant) -> Option<Instant> {
        let discovered = matches!(known.outcome, Outcome::Hosts(_));
        if self.last.replace(known.tried_at) != Some(known.tried_at) {
            let failed = !discovered || known.trouble.is_some();
            self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        }
        let after = |pause| now.checked_add(pause).unwrap_or(now);
        let due = match (self.means.verdicts.lists(&self.entry.domain), discovered) {
            (true, true) => known.expires_at,
            (true, false) => return None,
            (false, true) => {
                after(schedule::pause(known, self.failures, now, 0.0)).min(known.expires_at)
            }
            (false, false) => after(schedule::backoff(self.failures)).max(known.expires_at),
        };
        Some(due.max(after(SHORTEST)))
    }

    /// Does some work, and gives it up when the domain is no longer allowed. Whoever waits for the
    /// entry while the work takes longer than [`PATIENCE`] is told that there is no cluster yet.
    async fn while_allowed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut late) = (pin!(work), pin!(tokio::time::sleep(PATIENCE)));
        let (mut woken, mut is_late) = (false, false);
        while self.means.verdicts.allows(&self.entry.domain) {
            if is_late && self.entry.standing() == Standing::Pending {
                self.means.publish(&self.entry, Standing::Absent);
            }
            tokio::select! {
                done = &mut work => {
                    if woken {
                        self.entry.wake.notify_one();
                    }
                    return Some(done);
                }
                () = self.entry.wake.notified() => woken = true,
                () = &mut late, if !is_late => is_late = true,
            }
        }
        None
    }
}

/// Says once what is wrong with targets, whatever the network does, and once that it no longer is.
fn say_defects(domain: &Domain, said: &mut BTreeSet<String>, defects: BTreeSet<String>) {
    for problem in defects.difference(said) {
        tracing::warn!(%domain, problem, "something is wrong with a target");
    }
    for problem in said.difference(&defects) {
        tracing::info!(%domain, problem, "this is no longer wrong with a target");
    }
    *said = defects;
}

// === impl Gathering ===

impl Gathering {
    /// Until when to wait for more than is known of the hosts; none where that is to be published. It
    /// is, again, whenever more becomes known later.
    fn wait<'a>(
        &mut self,
        mut hosts: impl Iterator<Item = &'a hosts::Known> + Clone,
        now: Instant,
    ) -> Option<Instant> {
        if self.first.is_none() && hosts.clone().any(|host| host.usable().next().is_some()) {
            self.first = Some(now);
        }
        let (since, patience) = match self.first {
            Some(first) => (first, RESOLUTION_DELAY),
            None => (self.begun, PATIENCE),
        };
        let until = since.checked_add(patience).filter(|until| *until > now);
        until.filter(|_| !hosts.all(hosts::Known::is_asked))
    }
}

/// Waits for news of any of the hosts.
async fn any_changed(hosts: &mut HashMap<(HostName, u16), Watched>) {
    if hosts.is_empty() {
        std::future::pending::<()>().await;
    }
    // An error means that the host is gone, but we have it.
    let _ = select_all(hosts.values_mut().map(|host| Box::pin(host.known.changed()))).await;
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_waits_for_the_rest_but_not_for_long() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let all = hosts::Known::of_texts(&["1.1.1.1", "2606::1"]);
        let nothing = hosts::Known::default();
        let half = hosts::Known { v6: nothing.v6.clone(), ..all.clone() };
        for timeline in [
            &[
                (10, [&nothing, &nothing], Some(4000)),
                (20, [&half, &nothing], Some(70)),
                (40, [&half, &all], Some(70)),
                (70, [&half, &all], None),
                (900, [&all, &all], None),
            ][..],
            &[(20, [&half, &half], Some(70)), (40, [&all, &all], None)],
            &[(4000, [&nothing, &nothing], None), (5000, [&nothing, &half], Some(5050))],
        ] {
            let mut gathering = Gathering { begun: start, first: None };
            for (now, hosts, until) in timeline {
                let wait = gathering.wait(hosts.iter().copied(), at(*now));
                assert_eq!(wait, until.map(at), "at {now} ms of {timeline:?}");
            }
        }
    }
}
