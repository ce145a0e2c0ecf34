//! The feed: one log of changes, which all filters read, and the waking of those who wait.
//!
//! ```text
//!  allow list ─┐                    ┌─► at once: a filter may hold what is no longer so
//!  lookups ────┴─► log ─ published ─┤
//!                   ▲               └─► within 200 ms, together: all else
//!                   └── a page, made anew for each filter that asks
//! ```

mod cursor;
mod log;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::{AllowList, Change, Entry, State};
use fedgate_policy::{Domain, FeedPage, Speaker};
use tokio::sync::watch;

use super::binding::Binding;
use super::known::Known;
use log::{Log, Urgency};

use crate::telemetry;

/// How long changes are gathered that take nothing away from what a filter holds.
const GATHERING: Duration = Duration::from_millis(200);

/// The log, and those who wait for it to grow.
pub(super) struct Feed {
    log: RwLock<Log>,
    /// What the verdicts rest on.
    basis: String,
    /// Who tells.
    speaker: Speaker,
    published: watch::Sender<Published>,
    /// Whether a task is under way that publishes all that is there by then.
    gathering: AtomicBool,
    /// How many pages were told, and how many of them began a table.
    pages: AtomicU64,
    resets: AtomicU64,
}

/// What those who wait are woken by.
#[derive(Clone, Copy, Debug)]
struct Published {
    /// Those who have seen less have something to fetch.
    sequence: u64,
    /// Nobody is to wait any more.
    ended: bool,
}

// === impl Feed ===

impl Feed {
    /// The feed of a list's domains, kept in step with it: a change is published before the write
    /// returns.
    pub(super) fn of(list: &AllowList, epoch: u64, basis: &str, store: &str) -> Arc<Self> {
        let speaker =
            Speaker { store: Some(store.to_owned()), control_plane: Some(format!("{epoch:016x}")) };
        let feed = Arc::new(Self::new(Log::new(epoch), basis.to_owned(), speaker));
        let follower = {
            let feed = feed.clone();
            move |change: &Change| {
                feed.follow(change);
                true
            }
        };
        let fill = |state: &State| {
            let mut log = feed.log_for_writing();
            let in_force = state.domains.iter().filter(|(_, entry)| !entry.lapsed);
            log.fill(state.strategy, in_force.map(|(domain, entry)| (domain, binding(entry))));
            log.sequence()
        };
        let sequence = list.follow(fill, follower);
        feed.publish(sequence);
        feed
    }

    fn new(log: Log, basis: String, speaker: Speaker) -> Self {
        let published = watch::Sender::new(Published { sequence: log.sequence(), ended: false });
        Self {
            log: RwLock::new(log),
            basis,
            speaker,
            published,
            gathering: AtomicBool::new(false),
            pages: AtomicU64::new(0),
            resets: AtomicU64::new(0),
        }
    }

    /// The page behind a cursor. Where nothing has been published since then, it waits that long.
    pub(super) async fn page(&self, cursor: &str, wait: Duration) -> FeedPage {
        let mut published = self.published.subscribe();
        let seen = self.log.read().unwrap_or_else(PoisonError::into_inner).awaits(cursor);
        if let Some(seen) = seen {
            let news = published.wait_for(|published| published.ended || published.sequence > seen);
            // Whether there are news or the time is over, the log knows.
            let _ = tokio::time::timeout(wait, news).await;
        }
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let Speaker { store, control_plane } = self.speaker.clone();
        let basis = Some(self.basis.clone());
        let page = FeedPage { basis, store, control_plane, ..log.page(cursor, Instant::now()) };
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.resets.fetch_add(u64::from(page.reset), Ordering::Relaxed);
        page
    }

    /// Who waits, and what was told.
    pub(super) fn facts(&self) -> telemetry::Feed {
        telemetry::Feed {
            watchers: self.published.receiver_count(),
            pages: self.pages.load(Ordering::Relaxed),
            resets: self.resets.load(Ordering::Relaxed),
        }
    }

    /// Who tells.
    pub(super) fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// Takes in what is known of a domain, if it is listed and this is news.
    pub(super) fn learn(self: &Arc<Self>, domain: &Domain, known: &Arc<Known>) {
        let mut log = self.log_for_writing();
        let urgency = log.learn(domain, known, Instant::now());
        let sequence = log.sequence();
        drop(log);
        match urgency {
            Urgency::None => {}
            Urgency::Now => self.publish(sequence),
            Urgency::Soon => self.gather(),
        }
    }

    /// Answers all who wait, now and from now on.
    pub(super) fn end(&self) {
        self.published.send_modify(|published| published.ended = true);
    }

    fn follow(self: &Arc<Self>, change: &Change) {
        let mut log = self.log_for_writing();
        let changed = match change {
            Change::Put(domain, entry) if !entry.lapsed => log.put(domain, binding(entry)),
            Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) => {
                log.remove(domain)
            }
            Change::Strategy(strategy, _) => log.set_strategy(*strategy),
            Change::Token(_) | Change::Revoke(..) => false,
        };
        let sequence = log.sequence();
        drop(log);
        if changed {
            // In a task, because whoever made the change waits too, and would stand in line behind all
            // who are woken. From here on whoever asks is told of it.
            let feed = self.clone();
            tokio::spawn(async move { feed.publish(sequence) });
        }
    }

    fn publish(&self, sequence: u64) {
        self.published.send_if_modified(|published| {
            let news = sequence > published.sequence;
            published.sequence = published.sequence.max(sequence);
            news
        });
    }

    fn gather(self: &Arc<Self>) {
        if self.gathering.swap(true, Ordering::SeqCst) {
            return;
        }
        let feed = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHERING).await;
            // First this, then the log: what comes in between is published twice, and never not.
            feed.gathering.store(false, Ordering::SeqCst);
            let sequence = feed.log_for_writing().sequence();
            feed.publish(sequence);
        });
    }

    fn log_for_writing(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The terms of an entry, as they bind from now on.
fn binding(entry: &Entry) -> Option<Binding> {
    Binding::of(&entry.terms, Instant::now(), SystemTime::now())
}

#[cfg(test)]
mod tests;
