//! What is said of every domain that some stream has subscribed to: one entry for each, kept up to date
//! by one task, however many streams wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedgate_discovery::Resolve;
use fedgate_policy::Domain;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::cluster::Egress;
use super::entry::{Entry, Means, Standing};
use super::hosts::Hosts;
use super::keeper;
use crate::verdicts::Verdicts;

/// The domains that somebody has subscribed to.
pub(super) struct Book {
    means: Arc<Means>,
    slips: Mutex<HashMap<Domain, Slip>>,
    /// What Envoys would not have.
    rejected: AtomicU64,
}

struct Slip {
    entry: Arc<Entry>,
    interests: usize,
    keeper: AbortHandle,
}

/// Keeps an entry in the book; the last one that is dropped takes it out.
pub(super) struct Interest {
    book: Arc<Book>,
    entry: Arc<Entry>,
}

// === impl Book ===

impl Book {
    /// An empty one, which hears of all that `verdicts` learns.
    pub(super) fn new(verdicts: &Verdicts, resolve: Arc<dyn Resolve>, egress: Egress) -> Arc<Self> {
        let book = Arc::new(Self {
            means: Arc::new(Means::new(verdicts.clone(), resolve, egress)),
            slips: Mutex::default(),
            rejected: AtomicU64::new(0),
        });
        let told = Arc::downgrade(&book);
        verdicts.follow(move |domain| {
            if let Some(book) = told.upgrade() {
                book.wake(domain);
            }
        });
        book
    }

    /// What is known of hosts, whichever domain they speak for.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.means.hosts
    }

    /// The domains of which something else is said, from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Domain> {
        self.means.changes.subscribe()
    }

    /// Takes an interest in a domain. Where nothing good is known of it, that is looked into now.
    pub(super) fn interest(self: &Arc<Self>, domain: Domain) -> Interest {
        let mut slips = self.slips();
        let slip = slips.entry(domain).or_insert_with_key(|domain| {
            let entry = Arc::new(Entry::new(domain.clone()));
            let keeper = keeper::keep(self.means.clone(), entry.clone());
            let keeper = tokio::spawn(keeper).abort_handle();
            Slip { entry, interests: 0, keeper }
        });
        slip.interests = slip.interests.saturating_add(1);
        let entry = slip.entry.clone();
        drop(slips);
        let interest = Interest { book: self.clone(), entry };
        interest.again();
        interest
    }

    /// Has a domain looked into, or all of them; if anybody has an interest in it.
    fn wake(&self, domain: Option<&Domain>) {
        let slips = self.slips();
        match domain {
            Some(domain) => {
                if let Some(slip) = slips.get(domain) {
                    slip.entry.wake.notify_one();
                }
            }
            None => slips.values().for_each(|slip| slip.entry.wake.notify_one()),
        }
    }

    fn slips(&self) -> MutexGuard<'_, HashMap<Domain, Slip>> {
        self.slips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An Envoy would not have what it was told.
    pub(super) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many domains are in the book.
    pub(super) fn len(&self) -> usize {
        self.slips().len()
    }

    /// Whether all that there is to say has been found out.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        let mut standings = self.slips().values().map(|slip| slip.entry.standing()).collect::<Vec<_>>();
        standings.retain(|it| matches!(it, Standing::Pending | Standing::Present(_, None)));
        standings.is_empty()
    }
}

// === impl Interest ===

impl Interest {
    /// What is said of the domain.
    pub(super) fn standing(&self) -> Standing {
        self.entry.standing()
    }

    /// Has the domain looked into again, if there is no cluster for it: what is said then is news to
    /// whoever waits, even if it is the same.
    pub(super) fn again(&self) {
        if self.entry.reopen() {
            self.entry.wake.notify_one();
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut slips = self.book.slips();
        let Some(slip) = slips.get_mut(&self.entry.domain) else { return };
        slip.interests = slip.interests.saturating_sub(1);
        if slip.interests == 0 {
            slip.keeper.abort();
            slips.remove(&self.entry.domain);
        }
    }
}
