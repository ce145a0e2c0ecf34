//! Keeps one entry of the book up to date: allowed? → SRV targets → their addresses → resources.
//!
//! It sleeps until something is due, or until it is told that something has changed. Listed domains
//! are looked up ahead of time by the refresher, which it hears of; others it looks up itself, as long
//! as there is a cluster for them. A domain without one is looked into again when it is asked for:
//! whoever may ask for any domain is not to have us look up what he has made up for ever.

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
    let mut keeper = Keeper { book, entry, hosts: HashMap::new(), due: None, troubles: 0 };
    loop {
        let next = keeper.look().await;
        if next.is_none() {
            keeper.forget();
        }
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
    /// When what is known of the domain will no longer do; none where there is no cluster.
    due: Option<Instant>,
    /// How many lookups in a row came to nothing.
    troubles: u32,
}

impl Keeper {
    /// Brings the entry up to date; returns when to look again. None where there is no cluster.
    async fn look(&mut self) -> Option<Instant> {
        let known = self.while_allowed(self.domain_known()).await.flatten()?;
        let Outcome::Hosts(_) = &known.outcome else { return None };
        let due = self.next_lookup(&known, Instant::now());
        self.due = Some(due);

        let cluster = Arc::new(Resource::pack(cluster(&self.entry.domain, &self.book.egress), false));
        let before = match self.entry.standing() {
            Standing::Present(_, endpoints) => endpoints,
            Standing::Pending | Standing::Absent => None,
        };
        self.book.publish(&self.entry, Standing::Present(cluster.clone(), before));

        let names = known.targets.iter().filter(|target| target.port != 0).map(|target| &target.host);
        self.hosts = names.map(|name| (name.clone(), self.book.hosts.host(name))).collect();
        let addresses = self.while_allowed(all_known(&self.hosts)).await?;
        let of = |name: &HostName| addresses.get(name).map_or(&[][..], |known| &known.addresses);
        let assignment = endpoints(&self.entry.domain, &known.targets, of);
        let uncertain = addresses.values().any(|known| !known.certain);
        let stopgap = assignment.endpoints.is_empty() && uncertain;
        let endpoints = Arc::new(Resource::pack(assignment, stopgap));
        self.book.publish(&self.entry, Standing::Present(cluster, Some(endpoints)));
        addresses.values().map(|known| known.due).chain([due]).min()
    }

    /// There is no cluster, so there is nothing to keep but the answer.
    fn forget(&mut self) {
        self.book.publish(&self.entry, Standing::Absent);
        self.hosts.clear();
        self.due = None;
    }

    async fn domain_known(&self) -> Option<Arc<Known>> {
        let _slot = self.book.slots.acquire().await;
        let since = self.due.filter(|due| *due <= Instant::now());
        self.book.verdicts.known_when_allowed(&self.entry.domain, since).await
    }

    /// When to look the domain up: at the answer's end, if the refresher has not done so; ahead of it,
    /// where that does not.
    fn next_lookup(&mut self, known: &Known, now: Instant) -> Instant {
        self.troubles = match known.last {
            Certainty::Answered => 0,
            // The same lookup may be seen several times, which does no more than prolong the pause.
            Certainty::Transient => self.troubles.saturating_add(1),
        };
        let ahead = if self.book.verdicts.lists(&self.entry.domain) {
            known.expires_at
        } else {
            now.checked_add(schedule::pause(known, self.troubles, now, 0.0)).unwrap_or(now)
        };
        ahead.min(known.expires_at).max(now.checked_add(SHORTEST).unwrap_or(now))
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
