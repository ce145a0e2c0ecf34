//! The log as a value: the listed domains in the order of their last change, and what has gone of
//! late. No I/O, and the present moment is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use fedgate_discovery::Certainty;
use fedgate_policy::{Domain, Failure, FailureLabel, FeedPage, Outcome, Strategy, Verdict};

use super::super::known::Known;
use super::cursor::Cursor;

/// Bytes of JSON that a page holds, unless a single verdict is longer. A filter applies a page while
/// its worker does nothing else, so this stays far below what a page may be at most.
pub(super) const PAGE: usize = 16 << 10;
/// How many removals are remembered. Who has missed more begins anew.
pub(super) const REMOVALS: usize = 10_000;
/// Bytes of a page besides its domains.
const ENVELOPE: usize = 256;

/// Everything that filters are told.
pub(super) struct Log {
    epoch: u64,
    /// The number of the last change.
    sequence: u64,
    /// The number of the last removal that has been forgotten.
    floor: u64,
    strategy: Strategy,
    entries: HashMap<Domain, Entry>,
    /// Every entry, by the number of its last change.
    order: BTreeMap<u64, Domain>,
    /// The numbers of the removals.
    removals: BTreeSet<u64>,
}

struct Entry {
    sequence: u64,
    standing: Standing,
}

enum Standing {
    /// With what is known of it; the log holds no copy of its own.
    Listed(Option<Arc<Known>>),
    Removed,
}

/// When those who wait have to hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// There is none.
    None,
    /// Filters do no wrong without it.
    Soon,
    /// What a filter may hold is no longer so.
    Now,
}

// === impl Log ===

impl Log {
    /// A log of nothing. `epoch` tells it from those of other processes.
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            sequence: 0,
            floor: 0,
            strategy: Strategy::default(),
            entries: HashMap::new(),
            order: BTreeMap::new(),
            removals: BTreeSet::new(),
        }
    }

    /// Takes in a whole list.
    pub(super) fn fill<'a>(&mut self, strategy: Strategy, listed: impl Iterator<Item = &'a Domain>) {
        self.set_strategy(strategy);
        for domain in listed {
            self.add(domain);
        }
    }

    /// The number of the last change.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Lists a domain, of which nothing is known so far. Whether that is a change.
    pub(super) fn add(&mut self, domain: &Domain) -> bool {
        match self.entries.get(domain).map(|entry| &entry.standing) {
            Some(Standing::Listed(_)) => return false,
            Some(Standing::Removed) | None => self.stamp(domain, Standing::Listed(None)),
        }
        true
    }

    /// Takes a domain off the list. Whether that is a change.
    pub(super) fn remove(&mut self, domain: &Domain) -> bool {
        match self.entries.get(domain).map(|entry| &entry.standing) {
            Some(Standing::Listed(_)) => self.stamp(domain, Standing::Removed),
            Some(Standing::Removed) | None => return false,
        }
        self.removals.insert(self.sequence);
        if self.removals.len() > REMOVALS
            && let Some(forgotten) = self.removals.pop_first()
        {
            self.floor = forgotten;
            if let Some(domain) = self.order.remove(&forgotten) {
                self.entries.remove(&domain);
            }
        }
        true
    }

    /// Sets the strategy, which every page carries. Whether that is a change.
    pub(super) fn set_strategy(&mut self, strategy: Strategy) -> bool {
        let changed = self.strategy != strategy;
        if changed {
            self.strategy = strategy;
            self.sequence = self.sequence.saturating_add(1);
        }
        changed
    }

    /// Takes in what is known of a domain, where it is listed, and nothing later is known.
    pub(super) fn learn(&mut self, domain: &Domain, known: &Arc<Known>, now: Instant) -> Urgency {
        let Some(entry) = self.entries.get_mut(domain) else { return Urgency::None };
        let Standing::Listed(before) = &mut entry.standing else { return Urgency::None };
        let urgency = match before {
            Some(before) if before.tried_at >= known.tried_at => return Urgency::None,
            Some(before) => urgency(before, known, now),
            None if !is_word(known) => Urgency::None,
            None => Urgency::Soon,
        };
        match urgency {
            Urgency::None => *before = Some(known.clone()),
            Urgency::Soon | Urgency::Now => self.stamp(domain, Standing::Listed(Some(known.clone()))),
        }
        urgency
    }

    /// The number behind which the holder of this cursor waits for changes; none where a page is due
    /// to him now.
    pub(super) fn awaits(&self, cursor: &str) -> Option<u64> {
        self.place(cursor).filter(|cursor| cursor.began.is_none()).map(|cursor| cursor.position)
    }

    /// The page behind a cursor; the first one of all where that is not, or no longer, in this log.
    pub(super) fn page(&self, cursor: &str, now: Instant) -> FeedPage {
        let place = self.place(cursor);
        let mut position = place.map_or(0, |place| place.position);
        let began = place.map_or(self.sequence, |place| place.began.unwrap_or(0));
        let (mut verdicts, mut removed) = (Vec::new(), Vec::new());
        let (mut size, mut more) = (ENVELOPE, false);
        let rest = self.order.range((Bound::Excluded(position), Bound::Unbounded));
        for (&sequence, domain) in rest {
            let Some(entry) = self.entries.get(domain) else { continue };
            let verdict = match &entry.standing {
                Standing::Listed(known) => Some(told(domain, known.as_deref(), now)),
                Standing::Removed if sequence <= began => continue,
                Standing::Removed => None,
            };
            let weight = verdict.as_ref().map_or_else(|| quoted(domain.as_str()), weigh);
            size = size.saturating_add(weight);
            if size > PAGE && !(verdicts.is_empty() && removed.is_empty()) {
                more = true;
                break;
            }
            match verdict {
                Some(verdict) => verdicts.push(verdict),
                None => removed.push(domain.clone()),
            }
            position = sequence;
        }
        let cursor = if more {
            Cursor { epoch: self.epoch, position, began: Some(began) }
        } else {
            Cursor { epoch: self.epoch, position: self.sequence, began: None }
        };
        FeedPage {
            cursor: cursor.to_string(),
            basis: None,
            store: None,
            control_plane: None,
            reset: place.is_none(),
            more,
            strategy: self.strategy,
            verdicts,
            removed,
        }
    }

    /// Reads a cursor; none where this log cannot go on from it.
    fn place(&self, cursor: &str) -> Option<Cursor> {
        let cursor: Cursor = cursor.parse().ok()?;
        let told = cursor.position.max(cursor.began.unwrap_or(0));
        let here = cursor.epoch == self.epoch && (self.floor..=self.sequence).contains(&told);
        here.then_some(cursor)
    }

    /// Gives a domain the next number, at the end of the order.
    fn stamp(&mut self, domain: &Domain, standing: Standing) {
        self.sequence = self.sequence.saturating_add(1);
        let entry = Entry { sequence: self.sequence, standing };
        if let Some(before) = self.entries.insert(domain.clone(), entry) {
            self.order.remove(&before.sequence);
            self.removals.remove(&before.sequence);
        }
        self.order.insert(self.sequence, domain.clone());
    }
}

/// How soon filters that may have been told `before` have to hear of what is known now.
fn urgency(before: &Known, known: &Known, now: Instant) -> Urgency {
    if !is_word(before) && !is_word(known) {
        return Urgency::None;
    }
    let same = before.outcome == known.outcome;
    if same && before.expires_at == known.expires_at {
        return Urgency::None;
    }
    let held = is_word(before) && before.expires_at > now;
    if held && !(same && before.expires_at < known.expires_at) { Urgency::Now } else { Urgency::Soon }
}

/// Whether DNS said so. That a lookup failed takes nothing away from what a filter holds.
fn is_word(known: &Known) -> bool {
    known.certainty == Certainty::Answered
}

/// The verdict on a listed domain. Where there is none, it says what to do: look it up.
fn told(domain: &Domain, known: Option<&Known>, now: Instant) -> Verdict {
    let known = known.filter(|known| is_word(known));
    let verdict = known.map(|known| known.verdict(domain.clone(), now));
    verdict.filter(|verdict| verdict.ttl_ms > 0).unwrap_or_else(|| {
        let message = "nothing is known of it at the moment".to_owned();
        let failure = Failure { label: FailureLabel::DiscoveryFailure, message };
        Verdict { domain: domain.clone(), outcome: Outcome::Failure(failure), ttl_ms: 0 }
    })
}

/// The bytes that a verdict takes in a page, or a few more.
fn weigh(verdict: &Verdict) -> usize {
    // Members' names, the longest label, punctuation, ten digits of life (115 days; none lives so long).
    const WITH_HOSTS: usize = 44;
    const WITH_FAILURE: usize = 84;
    let outcome = match &verdict.outcome {
        Outcome::Hosts(hosts) => {
            hosts.iter().fold(WITH_HOSTS, |sum, host| sum.saturating_add(quoted(host.as_str())))
        }
        Outcome::Failure(failure) => quoted(&failure.message).saturating_add(WITH_FAILURE),
    };
    outcome.saturating_add(quoted(verdict.domain.as_str()))
}

/// The bytes that a text takes as JSON, with a comma.
fn quoted(text: &str) -> usize {
    text.bytes().fold(3, |bytes: usize, byte| {
        bytes.saturating_add(match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        })
    })
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
