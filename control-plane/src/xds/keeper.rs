//! Keeps one entry of the book up to date: allowed? → SRV targets → their addresses → resources.
//!
//! It sleeps until something is due, or until it is told that something has changed. Listed domains
//! are looked up by the refresher, which it hears of; others it looks up itself, those without a
//! federator ever more seldom. It does not leave that to Envoy: since 1.38 that asks for a name once,
//! and relies on hearing when there is something to say.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use fedgate_policy::{HostName, Outcome};
use tokio::task::JoinSet;

use super::SHORTEST;
use super::book::{Book, Entry, Standing};
use super::cluster::cluster;
use super::endpoints::endpoints;
use super::hosts::{self, Host};
use super::resource::Resource;
use crate::discovery::Certainty;
use crate::verdicts::{Known, schedule};

/// Keeps `entry` up to date, until it is aborted.
pub(super) async fn keep(book: Arc<Book>, entry: Arc<Entry>) {
    let mut keeper = Keeper { book, entry, hosts: HashMap::new(), due: None, last: None, failures: 0 };
    loop {
        let next = keeper.look().await;
        tokio::select! {
            () = keeper.entry.wake.notified() => {}
            () = until(next) => {}
        }
    }
}

struct Keeper {
    book: Arc<Book>,
    entry: Arc<Entry>,
    /// The hosts of the targets, kept so that others find what is known of them.
    hosts: HashMap<HostName, Arc<Host>>,
    /// When what is known of the domain will no longer do, unless others see to that.
    due: Option<Instant>,
    /// The end of the last lookup that was seen.
    last: Option<Instant>,
    /// How many lookups in a row came to nothing.
    failures: u32,
}

impl Keeper {
    /// Brings the entry up to date; returns when to look again, if time alone may change anything.
    async fn look(&mut self) -> Option<Instant> {
        let Some(known) = self.while_allowed(self.domain_known()).await.flatten() else {
            self.due = None;
            return self.absent();
        };
        self.due = self.next_lookup(&known, Instant::now());
        let Outcome::Hosts(_) = &known.outcome else { return self.absent() };

        let cluster = Arc::new(Resource::pack(cluster(&self.entry.domain, &self.book.egress), false));
        let before = match self.entry.standing() {
            Standing::Present(_, endpoints) => endpoints,
            Standing::Pending | Standing::Absent => None,
        };
        self.book.publish(&self.entry, Standing::Present(cluster.clone(), before));

        let names = known.targets.iter().filter(|target| target.port != 0).map(|target| &target.host);
        self.hosts = names.map(|name| (name.clone(), self.book.hosts.host(name))).collect();
        let Some(addresses) = self.while_allowed(all_known(&self.hosts)).await else {
            return self.absent();
        };
        let of = |name: &HostName| addresses.get(name).map_or(&[][..], |known| &known.addresses);
        let assignment = endpoints(&self.entry.domain, &known.targets, of);
        let uncertain = addresses.values().any(|known| !known.certain);
        let stopgap = assignment.endpoints.is_empty() && uncertain;
        let endpoints = Arc::new(Resource::pack(assignment, stopgap));
        self.book.publish(&self.entry, Standing::Present(cluster, Some(endpoints)));
        addresses.values().map(|known| known.due).chain(self.due).min()
    }

    /// There is no cluster; returns when to look again.
    fn absent(&mut self) -> Option<Instant> {
        self.book.publish(&self.entry, Standing::Absent);
        self.hosts.clear();
        self.due
    }

    async fn domain_known(&self) -> Option<Arc<Known>> {
        let _slot = self.book.slots.acquire().await;
        let since = self.due.filter(|due| *due <= Instant::now());
        self.book.verdicts.known_when_allowed(&self.entry.domain, since).await
    }

    /// When to look the domain up. The refresher does that ahead of time for listed domains, and as
    /// often as need be where it comes to nothing: there, only the answer's end is ours to see.
    fn next_lookup(&mut self, known: &Known, now: Instant) -> Option<Instant> {
        let discovered = matches!(known.outcome, Outcome::Hosts(_));
        if self.last.replace(known.tried_at) != Some(known.tried_at) {
            let failed = !discovered || known.last == Certainty::Transient;
            self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        }
        let after = |pause| now.checked_add(pause).unwrap_or(now);
        let due = match (self.book.verdicts.lists(&self.entry.domain), discovered) {
            (true, true) => known.expires_at,
            (true, false) => return None,
            (false, true) => {
                after(schedule::pause(known, self.failures, now, 0.0)).min(known.expires_at)
            }
            (false, false) => after(schedule::backoff(self.failures)).max(known.expires_at),
        };
        Some(due.max(after(SHORTEST)))
    }

    /// Does some work, and gives it up when the domain is no longer allowed.
    async fn while_allowed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut woken = false;
        while self.book.verdicts.allows(&self.entry.domain) {
            tokio::select! {
                done = &mut work => {
                    if woken {
                        self.entry.wake.notify_one();
                    }
                    return Some(done);
                }
                () = self.entry.wake.notified() => woken = true,
            }
        }
        None
    }
}

/// What is known of each host, looked up where that is due.
async fn all_known(hosts: &HashMap<HostName, Arc<Host>>) -> HashMap<HostName, Arc<hosts::Known>> {
    let mut lookups = JoinSet::new();
    for (name, host) in hosts {
        let (name, host) = (name.clone(), host.clone());
        lookups.spawn(async move { (name, host.known().await) });
    }
    let mut known = HashMap::new();
    while let Some(done) = lookups.join_next().await {
        match done {
            Ok((name, host)) => drop(known.insert(name, host)),
            Err(error) => tracing::error!(%error, "a lookup of addresses broke off"),
        }
    }
    known
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
