//! What is said of every domain that some stream has subscribed to: one entry for each, kept up to date
//! by one task, however many streams wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedgate_policy::Domain;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::task::AbortHandle;

use super::cluster::Egress;
use super::hosts::Hosts;
use super::keeper;
use super::resource::Resource;
use crate::discovery::Resolve;
use crate::verdicts::Verdicts;

/// Changes that a stream may leave unread; one that has missed some looks at all its names.
const BACKLOG: usize = 1024;
/// Lookups of SRV records under way at one time.
const LOOKUPS: usize = 256;

/// The domains that somebody has subscribed to.
pub(super) struct Book {
    pub(super) verdicts: Verdicts,
    pub(super) hosts: Hosts,
    pub(super) egress: Egress,
    pub(super) slots: Semaphore,
    slips: Mutex<HashMap<Domain, Slip>>,
    changes: broadcast::Sender<Domain>,
}

struct Slip {
    entry: Arc<Entry>,
    interests: usize,
    keeper: AbortHandle,
}

/// A domain in the book.
pub(super) struct Entry {
    pub(super) domain: Domain,
    /// Wakes its keeper.
    pub(super) wake: Notify,
    standing: Mutex<Standing>,
}

/// What is said of a domain.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// Nothing yet.
    Pending,
    /// There is no such cluster: it is not allowed, or not discovered.
    Absent,
    /// There is; its endpoints come later than itself.
    Present(Arc<Resource>, Option<Arc<Resource>>),
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
            verdicts: verdicts.clone(),
            hosts: Hosts::new(resolve),
            egress,
            slots: Semaphore::new(LOOKUPS),
            slips: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
        });
        let told = Arc::downgrade(&book);
        verdicts.follow(move |domain| {
            if let Some(book) = told.upgrade() {
                book.wake(domain);
            }
        });
        book
    }

    /// The domains of which something else is said, from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Domain> {
        self.changes.subscribe()
    }

    /// Takes an interest in a domain. Where nothing good is known of it, that is looked into now.
    pub(super) fn interest(self: &Arc<Self>, domain: Domain) -> Interest {
        let mut slips = self.slips();
        let slip = slips.entry(domain).or_insert_with_key(|domain| {
            let (wake, standing) = (Notify::new(), Mutex::new(Standing::Pending));
            let entry = Arc::new(Entry { domain: domain.clone(), wake, standing });
            let keeper = tokio::spawn(keeper::keep(self.clone(), entry.clone())).abort_handle();
            Slip { entry, interests: 0, keeper }
        });
        slip.interests = slip.interests.saturating_add(1);
        let entry = slip.entry.clone();
        drop(slips);
        let interest = Interest { book: self.clone(), entry };
        interest.again();
        interest
    }

    /// Says something of a domain, and tells all streams if it is something else than before.
    pub(super) fn publish(&self, entry: &Entry, standing: Standing) {
        let mut said = entry.lock();
        let news = *said != standing;
        *said = standing;
        drop(said);
        if news {
            // An error means that nobody listens.
            let _ = self.changes.send(entry.domain.clone());
        }
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

    /// How many domains are in the book.
    #[cfg(test)]
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

// === impl Entry ===

impl Entry {
    /// What is said of the domain.
    pub(super) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut standing = self.entry.lock();
        if *standing == Standing::Absent {
            *standing = Standing::Pending;
            drop(standing);
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
