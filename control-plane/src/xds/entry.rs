//! What is said of one domain, and what that is found out with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedgate_discovery::Resolve;
use fedgate_policy::Domain;
use tokio::sync::{Notify, Semaphore, broadcast};

use super::cluster::Egress;
use super::hosts::Hosts;
use super::resource::Resource;
use crate::verdicts::Verdicts;

/// Changes that a stream may leave unread; one that has missed some looks at all its names.
const BACKLOG: usize = 1024;
/// Lookups of SRV records under way at one time.
const LOOKUPS: usize = 256;

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

/// What all entries are kept up to date with.
pub(super) struct Means {
    pub(super) verdicts: Verdicts,
    pub(super) hosts: Hosts,
    pub(super) egress: Egress,
    /// One for each lookup of an SRV record.
    pub(super) slots: Semaphore,
    /// The domains of which something else is said than before.
    pub(super) changes: broadcast::Sender<Domain>,
}

// === impl Entry ===

impl Entry {
    /// One of which nothing is said yet.
    pub(super) fn new(domain: Domain) -> Self {
        Self { domain, wake: Notify::new(), standing: Mutex::new(Standing::Pending) }
    }

    /// What is said of the domain.
    pub(super) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Whether there was no cluster; from now on nothing is said of it yet.
    pub(super) fn reopen(&self) -> bool {
        let mut standing = self.lock();
        let was_absent = *standing == Standing::Absent;
        if was_absent {
            *standing = Standing::Pending;
        }
        was_absent
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Means ===

impl Means {
    pub(super) fn new(verdicts: Verdicts, resolve: Arc<dyn Resolve>, egress: Egress) -> Self {
        let (slots, changes) = (Semaphore::new(LOOKUPS), broadcast::Sender::new(BACKLOG));
        Self { verdicts, hosts: Hosts::new(resolve), egress, slots, changes }
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
}
