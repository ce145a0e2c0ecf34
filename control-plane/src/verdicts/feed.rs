//! The feed: one log of changes, which all filters read, and the waking of those who wait.
//!
//! ```text
//!  allow list ─┐                    ┌─► at once: a filter may hold what is no longer so
//!  lookups ────┴─► log ─ published ─┤
//!                   ▲               └─► within 200 ms, together: all else
//!                   └── a page, made anew for each filter that asks
//! ```

mod cursor;
mod history;
mod log;
mod told;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::{AllowList, Change, Entry, State};
use fedgate_policy::{Domain, FeedPage, Speaker};
use tokio::sync::watch;

use super::binding::Binding;
use super::known::Known;
use log::{Log, Urgency};
pub(crate) use told::{Said, Told, are_alike};

use crate::telemetry;

/// How long changes are gathered that take nothing away from what a filter holds.
const GATHERING: Duration = Duration::from_millis(200);

/// How long whoever knows more of a shared list than we do waits until we do as well.
const CATCH_UP: Duration = Duration::from_millis(500);
/// A list older than that is of a store that does not answer.
const CUT_OFF: Duration = Duration::from_secs(2);

/// The log, and those who wait for it to grow.
pub(super) struct Feed {
    log: RwLock<Log>,
    /// Whose age is told, where others write to it.
    list: AllowList,
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
        // Where several say the same, which of them says it is no matter.
        let control_plane = list.age().is_none().then(|| format!("{epoch:016x}"));
        let speaker = Speaker { store: Some(store.to_owned()), control_plane };
        let mut log = Log::new(epoch, Instant::now());
        log.rests_on(basis);
        let feed = Arc::new(Self::new(list.clone(), log, basis.to_owned(), speaker));
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
            let listed = in_force.map(|(domain, entry)| (domain, binding(entry)));
            log.fill(state.strategy, listed, Instant::now());
            log.at(state.revision);
            // Of what was discovered, all is still to come.
            log.mark(0, Instant::now());
            log.recall(&state.past, Instant::now());
            log.seal(&state.seal, Instant::now());
            log.sequence()
        };
        let sequence = list.follow(fill, follower);
        feed.publish(sequence);
        feed
    }

    fn new(list: AllowList, log: Log, basis: String, speaker: Speaker) -> Self {
        let published = watch::Sender::new(Published { sequence: log.sequence(), ended: false });
        Self {
            log: RwLock::new(log),
            list,
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
        if self.log().is_behind(cursor)
            && let Some(page) = self.catch_up(cursor, wait, &mut published).await
        {
            return self.told_by_us(page);
        }
        let seen = self.log().awaits(cursor);
        if let Some(seen) = seen {
            let news = published.wait_for(|published| published.ended || published.sequence > seen);
            // Whether there are news or the time is over, the log knows.
            let _ = tokio::time::timeout(wait, news).await;
        }
        let page = self.log().page(cursor, Instant::now());
        self.told_by_us(page)
    }

    /// The holder of this cursor has heard of writes that we have not. Where we are cut off from the store he is told
    /// nothing, so that nothing is taken back; none where we have caught up, or there are no such writes any more.
    async fn catch_up(
        &self,
        cursor: &str,
        wait: Duration,
        published: &mut watch::Receiver<Published>,
    ) -> Option<FeedPage> {
        let is_cut_off = || self.list.age().is_some_and(|age| age > CUT_OFF);
        let wait = if is_cut_off() { wait.max(CATCH_UP) } else { CATCH_UP };
        let caught_up = published.wait_for(|published| published.ended || !self.log().is_behind(cursor));
        let _ = tokio::time::timeout(wait, caught_up).await;
        let log = self.log();
        (log.is_behind(cursor) && is_cut_off()).then(|| log.nothing_new(cursor))
    }

    fn told_by_us(&self, page: FeedPage) -> FeedPage {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.resets.fetch_add(u64::from(page.reset), Ordering::Relaxed);
        let Speaker { store, control_plane } = self.speaker.clone();
        let age_ms = self.list.age().map(super::known::millis);
        FeedPage { basis: Some(self.basis.clone()), store, control_plane, age_ms, ..page }
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

    /// What filters are told of a domain.
    pub(super) fn told(&self, domain: &Domain) -> Told {
        let (said, since) = self.log().told(domain, Instant::now());
        Told { said, since, waiting: self.published.receiver_count() }
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
        if let Some(revision) = change.revision() {
            log.at(revision);
        }
        let changed = match change {
            Change::Seal(name, _) => {
                log.seal(name, Instant::now());
                false
            }
            Change::Put(domain, entry) if !entry.lapsed => {
                log.put(domain, binding(entry), Instant::now())
            }
            Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) => {
                log.remove(domain, Instant::now())
            }
            Change::Strategy(strategy, _) => log.set_strategy(*strategy, Instant::now()),
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

    /// What others found has come, up to that revision of the store.
    pub(super) fn mark(&self, heard: i64, at: Instant) {
        self.log_for_writing().mark(heard, at);
    }

    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
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
