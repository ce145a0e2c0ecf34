//! Calls without a right token: logged, counted, slowed, written down.
//!
//! A token cannot be guessed, so this is for those who watch, and against those who try all the same. Whoever
//! has a right token never waits, wherever he calls from: it is the refusal that comes late.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::{AllowList, Author, StoreError};
use tokio::sync::Semaphore;

use super::Refused;
use super::ledger::{self, Ledger};
use crate::listener::{Listener, Peer, network};
use crate::seldom::Seldom;

/// How late the first refusal comes, and how late the twentieth. Filters wait for half a second at least,
/// and have to hear why they are refused.
const DELAYS: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));
/// Refusals that wait at one time; beyond these they come at once.
const WAITING: usize = 256;
/// Sources that are told apart.
const SOURCES: usize = 1024;
/// A source that was quiet for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(10 * 60);
/// From one summary to the next.
const SUMMARY: Duration = Duration::from_secs(60);
/// Lines of the log until the next summary; and lines of a summary.
const LINES: usize = 20;
/// How long a call may be on its way into the audit.
const WRITING: Duration = Duration::from_secs(1);

/// All of them since the start.
#[derive(Debug)]
pub(crate) struct Failures {
    all: AtomicU64,
    table: Mutex<Table>,
    ledger: Mutex<Ledger>,
    waiting: Semaphore,
}

/// Somebody whose calls were refused lately.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) network: IpAddr,
    pub(crate) listener: Listener,
    pub(crate) reason: String,
    pub(crate) times: u32,
    pub(crate) last: Instant,
}

/// Where calls come from, and why they are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) network: IpAddr,
    pub(super) listener: Listener,
    pub(super) refused: Refused,
}

/// Those that were seen lately.
#[derive(Debug, Default)]
struct Table {
    sources: HashMap<Source, Seen>,
    lines: usize,
    /// Calls of sources that were forgotten before they were told of.
    others: u64,
}

#[derive(Debug)]
struct Seen {
    times: u32,
    last: Instant,
    untold: u64,
}

/// What is to be said of the calls since the last summary.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    /// By source, those with most of them first.
    sources: Vec<(Source, u64)>,
    /// Of all others.
    others: u64,
}

// === impl Failures ===

impl Default for Failures {
    fn default() -> Self {
        let (table, ledger) = Default::default();
        Self { all: AtomicU64::new(0), table, ledger, waiting: Semaphore::new(WAITING) }
    }
}

impl Failures {
    /// How many since the start.
    pub(crate) fn count(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Whose calls were refused within the last ten minutes, and how often since he was heard of first; the last one
    /// first.
    pub(crate) fn recent(&self, now: Instant) -> Vec<Recent> {
        let table = lock(&self.table);
        let is_recent = |seen: &Seen| now.saturating_duration_since(seen.last) < FORGOTTEN;
        let recent = table.sources.iter().filter(|(_, seen)| is_recent(seen));
        let mut recent: Vec<_> = recent
            .map(|(Source { network, listener, refused }, seen)| Recent {
                network: *network,
                listener: *listener,
                reason: refused.to_string(),
                times: seen.times,
                last: seen.last,
            })
            .collect();
        drop(table);
        recent.sort_by_key(|it| Reverse(it.last));
        recent
    }

    /// Takes account of a refusal, and waits for as long as it is to come late.
    pub(super) async fn slow(&self, peer: &Peer, refused: &Refused) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let source = Source {
            network: network(peer.address().ip()),
            listener: peer.listener(),
            refused: refused.clone(),
        };
        lock(&self.ledger).count(Some(&source), 1);
        let (tell, delay) = lock(&self.table).count(source, Instant::now());
        if tell {
            tracing::warn!(
                peer = %peer.address(), listener = peer.listener().name(), token = refused.name().map(|name| &**name),
                reason = %refused, "a call is refused"
            );
        }
        if let Ok(_waits) = self.waiting.try_acquire() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Tells once in a minute of what was not told at once.
    pub(crate) async fn tell(&self) {
        loop {
            tokio::time::sleep(SUMMARY).await;
            let summary = lock(&self.table).sum_up(Instant::now());
            for (source, times) in summary.sources {
                let Source { network, listener, refused } = source;
                tracing::warn!(
                    %network, listener = listener.name(), token = refused.name().map(|name| &**name), reason = %refused, times,
                    "calls were refused again within the last minute"
                );
            }
            if summary.others > 0 {
                tracing::warn!(times = summary.others, "and others were");
            }
        }
    }

    /// Writes refused calls into the audit of `list`, for ever. Where that fails, they are tried again.
    pub(crate) async fn write_down(&self, list: &AllowList) {
        let mut failed = Seldom::default();
        loop {
            tokio::time::sleep(WRITING).await;
            let due = lock(&self.ledger).due(Instant::now());
            if let Err(error) = self.write(list, due).await
                && let Some(times) = failed.tell(Instant::now())
            {
                tracing::warn!(%error, times, "refused calls cannot be written into the audit");
            }
        }
    }

    /// Writes all of them that are left.
    pub(crate) async fn write_rest(&self, list: &AllowList) -> Result<(), StoreError> {
        let rest = lock(&self.ledger).rest(Instant::now());
        self.write(list, rest).await
    }

    async fn write(&self, list: &AllowList, entries: Vec<ledger::Entry>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let system = Author::system(SystemTime::now());
        let records = entries.iter().map(|entry| ledger::record(entry, &system)).collect();
        let written = list.record(records).await;
        if written.is_err() {
            let mut ledger = lock(&self.ledger);
            for (source, calls) in &entries {
                ledger.count(source.as_ref(), *calls);
            }
        }
        written
    }
}

/// What is behind the lock is whole between any two of its changes, whoever panics.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Table ===

impl Table {
    /// One more call of a source: whether it is told now, and how late it is answered.
    fn count(&mut self, source: Source, now: Instant) -> (bool, Duration) {
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, seen)| seen.last);
            let oldest = oldest.map(|(source, _)| source.clone());
            let gone = oldest.and_then(|source| self.sources.remove(&source));
            self.others = self.others.saturating_add(gone.map_or(0, |seen| seen.untold));
        }
        let seen = self.sources.entry(source).or_insert(Seen { times: 0, last: now, untold: 0 });
        let tell = seen.times == 0 && self.lines < LINES;
        let delay = DELAYS.0.saturating_mul(2_u32.saturating_pow(seen.times / 4)).min(DELAYS.1);
        seen.times = seen.times.saturating_add(1);
        seen.last = now;
        if tell {
            self.lines = self.lines.saturating_add(1);
        } else {
            seen.untold = seen.untold.saturating_add(1);
        }
        (tell, delay)
    }

    /// What was not told yet, after which all of it counts as told.
    fn sum_up(&mut self, now: Instant) -> Summary {
        let untold = self.sources.iter_mut().filter(|(_, seen)| seen.untold > 0);
        let mut sources: Vec<_> =
            untold.map(|(source, seen)| (source.clone(), std::mem::take(&mut seen.untold))).collect();
        sources.sort_by_key(|(_, times)| Reverse(*times));
        let rest = sources.split_off(sources.len().min(LINES));
        let rest = rest.iter().fold(0_u64, |sum, (_, times)| sum.saturating_add(*times));
        let others = std::mem::take(&mut self.others).saturating_add(rest);
        self.sources.retain(|_, seen| now.saturating_duration_since(seen.last) < FORGOTTEN);
        self.lines = 0;
        Summary { sources, others }
    }
}

#[cfg(test)]
mod tests {
    use fedgate_allow_list::testing::Nowhere;

    use super::*;

    fn source(number: u32, refused: Refused) -> Source {
        let network = IpAddr::V4(number.into());
        Source { network, listener: Listener::Admin, refused }
    }

    #[test]
    fn the_first_of_a_source_is_told_and_the_rest_is_summed_up() {
        let now = Instant::now();
        let mut table = Table::default();
        let (mine, theirs) = (source(1, Refused::Unknown), source(2, Refused::NoToken));
        for (source, tell) in
            [(&mine, true), (&mine, false), (&theirs, true), (&mine, false), (&theirs, false)]
        {
            assert_eq!(table.count(source.clone(), now).0, tell);
        }
        let sources = vec![(mine.clone(), 2), (theirs, 1)];
        assert_eq!(table.sum_up(now), Summary { sources, others: 0 });
        assert_eq!(table.sum_up(now), Summary { sources: Vec::new(), others: 0 });
        assert!(!table.count(mine.clone(), now).0, "it is known already");
        table.sum_up(now + FORGOTTEN);
        assert!(table.count(mine, now + FORGOTTEN).0);
    }

    #[test]
    fn refusals_come_ever_later_up_to_a_bound() {
        let mut table = Table::default();
        let start = Instant::now();
        let delays: Vec<_> = (0..40_u64)
            .map(|second| {
                table.count(source(1, Refused::Unknown), start + Duration::from_secs(second)).1
            })
            .map(|delay| delay.as_millis())
            .collect();
        assert_eq!((delays[0], delays[4], delays[8], delays[39]), (25, 50, 100, 400));
        assert!(delays.is_sorted());
        assert_eq!(table.count(source(2, Refused::Unknown), start).1, DELAYS.0, "others are not slowed");
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_is_written_later() {
        let list = AllowList::open(Box::new(Nowhere { full: true }), SystemTime::now()).unwrap();
        let (failures, source) = (Failures::default(), source(1, Refused::Unknown));
        lock(&failures.ledger).count(Some(&source), 3);
        let due = lock(&failures.ledger).due(Instant::now());
        assert!(failures.write(&list, due).await.is_err());
        assert_eq!(lock(&failures.ledger).rest(Instant::now()), [(Some(source), 3)]);
    }

    #[test]
    fn neither_the_log_nor_memory_can_be_filled() {
        let now = Instant::now();
        let mut table = Table::default();
        let mut told = 0_usize;
        for number in 0..10_000_u32 {
            for _ in 0..2 {
                let (tell, _) = table.count(source(number, Refused::Unknown), now);
                told += usize::from(tell);
            }
            assert!(table.sources.len() <= SOURCES);
        }
        assert_eq!(told, LINES);
        let summary = table.sum_up(now);
        assert_eq!(summary.sources.len(), LINES);
        let named: u64 = summary.sources.iter().map(|(_, times)| times).sum();
        assert_eq!(
            named + summary.others + u64::try_from(LINES).unwrap(),
            20_000,
            "all are accounted for"
        );
    }
}
