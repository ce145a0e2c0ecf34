//! The log as a value: the listed domains in the order of their last change, and what has gone of
//! late. No I/O, and the present moment is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use fedgate_allow_list::Past;
use fedgate_discovery::Certainty;
use fedgate_policy::{Domain, FailureLabel, FeedPage, Outcome, Strategy, Verdict};

use super::super::binding::Binding;
use super::super::known::Known;
use super::cursor::Cursor;
use super::history::{History, Place};
use super::told::{Rule, Said};

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
    rule: Rule,
    entries: HashMap<Domain, Entry>,
    /// Every entry, by the number of its last change.
    order: BTreeMap<u64, Domain>,
    /// The numbers of the removals.
    removals: BTreeSet<u64>,
    /// The list's revision.
    revision: i64,
    /// What is shared with other control planes.
    history: History,
}

struct Entry {
    sequence: u64,
    /// Since when filters are told what they are, but for how long it holds.
    since: Instant,
    cause: Cause,
    /// Its number when the list changed it last.
    listed: u64,
    standing: Standing,
}

/// What an entry's last change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    List,
    Finding,
}

enum Standing {
    Listed(Listed),
    Removed,
}

#[derive(Clone, Default)]
struct Listed {
    /// What is known of the domain; the log holds no copy of its own.
    known: Option<Arc<Known>>,
    /// On what terms, where they are not plain: few are not.
    binding: Option<Box<Binding>>,
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

// === impl Entry ===

impl Entry {
    /// Whether somebody has it who has what came to the list, and what was found, up to these numbers.
    fn is_had(&self, (listed, found): (u64, u64)) -> bool {
        match (self.cause, &self.standing) {
            (Cause::Finding, _) => self.sequence <= found && self.listed <= listed,
            // Behind it may be what was found before.
            (Cause::List, Standing::Listed(Listed { known: Some(known), .. })) if is_word(known) => {
                false
            }
            (Cause::List, Standing::Listed(_) | Standing::Removed) => self.sequence <= listed,
        }
    }
}

// === impl Standing ===

impl Standing {
    /// What filters are told by it.
    fn said(&self, domain: &Domain, now: Instant) -> Said {
        match self {
            Self::Listed(listed) => {
                standing_verdict(domain, listed, now).map_or(Said::Ask, Said::Verdict)
            }
            Self::Removed => Said::Unlisted,
        }
    }

    /// When that came to its end which was known.
    fn ended(&self, now: Instant) -> Option<Instant> {
        let Self::Listed(Listed { known: Some(known), binding }) = self else { return None };
        let end = binding.as_ref().map_or(known.expires_at, |binding| binding.applied(known).expires_at);
        Some(end).filter(|end| is_word(known) && *end <= now)
    }
}

// === impl Log ===

impl Log {
    /// A log of nothing. `epoch` tells it from those of other processes.
    pub(super) fn new(epoch: u64, now: Instant) -> Self {
        Self {
            epoch,
            sequence: 0,
            floor: 0,
            rule: Rule::new(now),
            entries: HashMap::new(),
            order: BTreeMap::new(),
            removals: BTreeSet::new(),
            revision: 0,
            history: History::default(),
        }
    }

    /// Takes in a whole list.
    pub(super) fn fill<'a>(
        &mut self,
        strategy: Strategy,
        listed: impl Iterator<Item = (&'a Domain, Option<Binding>)>,
        now: Instant,
    ) {
        self.set_strategy(strategy, now);
        for (domain, binding) in listed {
            self.put(domain, binding, now);
        }
    }

    /// Verdicts rest on this.
    pub(super) fn rests_on(&mut self, basis: &str) {
        self.history.rests_on(basis);
    }

    /// The list is at this revision.
    pub(super) fn at(&mut self, revision: i64) {
        self.revision = revision;
    }

    /// What has come is a whole write, of this name.
    pub(super) fn seal(&mut self, name: &str, now: Instant) {
        self.history.seal(self.revision, name, self.sequence);
        // Nothing of what others found has come since; and the write alone is to be told again.
        if let Some(heard) = self.history.heard() {
            self.history.mark(heard, self.sequence, now);
        }
    }

    /// What others found has come, up to that revision of the store.
    pub(super) fn mark(&mut self, heard: i64, at: Instant) {
        self.history.mark(heard, self.sequence, at);
    }

    /// The revision of a list that we do not have yet, and the holder of this cursor has.
    pub(super) fn is_behind(&self, cursor: &str) -> bool {
        let Ok(Cursor { epoch, shared: Some(shared), .. }) = cursor.parse() else { return false };
        epoch != self.epoch && self.history.place(&shared) == Place::Ahead
    }

    /// A page that says nothing new to the holder of this cursor.
    pub(super) fn nothing_new(&self, cursor: &str) -> FeedPage {
        self.envelope(cursor.to_owned())
    }

    fn envelope(&self, cursor: String) -> FeedPage {
        FeedPage {
            cursor,
            basis: None,
            store: None,
            control_plane: None,
            age_ms: None,
            reset: false,
            more: false,
            strategy: self.rule.strategy,
            verdicts: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The number of the last change.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Lists a domain, of which nothing is known so far, or changes its terms. Whether that is a change.
    pub(super) fn put(&mut self, domain: &Domain, binding: Option<Binding>, now: Instant) -> bool {
        let known = match self.entries.get(domain).map(|entry| &entry.standing) {
            Some(Standing::Listed(listed)) if listed.binding.as_deref() == binding.as_ref() => {
                return false;
            }
            Some(Standing::Listed(listed)) => listed.known.clone(),
            Some(Standing::Removed) | None => None,
        };
        let listed = Listed { known, binding: binding.map(Box::new) };
        self.stamp(domain, Cause::List, Standing::Listed(listed), now);
        true
    }

    /// Takes a domain off the list. Whether that is a change.
    pub(super) fn remove(&mut self, domain: &Domain, now: Instant) -> bool {
        match self.entries.get(domain).map(|entry| &entry.standing) {
            Some(Standing::Listed(_)) => self.stamp_removal(domain, now),
            Some(Standing::Removed) | None => return false,
        }
        true
    }

    fn stamp_removal(&mut self, domain: &Domain, now: Instant) {
        self.stamp(domain, Cause::List, Standing::Removed, now);
        self.removals.insert(self.sequence);
        if self.removals.len() > REMOVALS
            && let Some(forgotten) = self.removals.pop_first()
        {
            self.floor = forgotten;
            if let Some(domain) = self.order.remove(&forgotten) {
                self.entries.remove(&domain);
            }
        }
    }

    /// Takes in what the list has come from, once it is [filled](Self::fill): what those writes were about has changed last,
    /// so that whoever has missed some of them goes on.
    pub(super) fn recall(&mut self, past: &[Past], now: Instant) {
        let Some((oldest, later)) = past.split_first() else { return };
        self.history.seal(oldest.revision, &oldest.seal, self.sequence);
        for write in later {
            for domain in &write.domains {
                match self.entries.get(domain).map(|entry| &entry.standing) {
                    Some(Standing::Listed(listed)) => {
                        let listed = listed.clone();
                        self.stamp(domain, Cause::List, Standing::Listed(listed), now);
                    }
                    Some(Standing::Removed) | None => self.stamp_removal(domain, now),
                }
            }
            self.history.seal(write.revision, &write.seal, self.sequence);
        }
    }

    /// Sets the strategy, which every page carries. Whether that is a change.
    pub(super) fn set_strategy(&mut self, strategy: Strategy, now: Instant) -> bool {
        let changed = self.rule.strategy != strategy;
        if changed {
            self.rule.set(strategy, now);
            self.sequence = self.sequence.saturating_add(1);
        }
        changed
    }

    /// Takes in what is known of a domain, where it is listed, and nothing later is known.
    pub(super) fn learn(&mut self, domain: &Domain, known: &Arc<Known>, now: Instant) -> Urgency {
        let Some(entry) = self.entries.get_mut(domain) else { return Urgency::None };
        let Standing::Listed(listed) = &mut entry.standing else { return Urgency::None };
        let urgency = match (&listed.known, &listed.binding) {
            (Some(before), _) if before.tried_at >= known.tried_at => return Urgency::None,
            (Some(before), Some(binding)) => {
                urgency(&binding.applied(before), &binding.applied(known), now)
            }
            (Some(before), None) => urgency(before, known, now),
            (None, _) if !is_word(known) => Urgency::None,
            (None, _) => Urgency::Soon,
        };
        let news = Listed { known: Some(known.clone()), binding: listed.binding.clone() };
        if urgency == Urgency::None {
            *listed = news;
        } else {
            self.stamp(domain, Cause::Finding, Standing::Listed(news), now);
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
        let mut position = place.as_ref().map_or(0, |place| place.position);
        let began = place.as_ref().map_or(self.sequence, |place| place.began.unwrap_or(0));
        // What another control plane has told him.
        let theirs = place.as_ref().filter(|place| place.epoch != self.epoch);
        let had = theirs.and_then(|place| self.history.place(place.shared.as_ref()?).behind());
        let (mut verdicts, mut removed) = (Vec::new(), Vec::new());
        let (mut size, mut more) = (ENVELOPE, false);
        let rest = self.order.range((Bound::Excluded(position), Bound::Unbounded));
        for (&sequence, domain) in rest {
            let Some(entry) = self.entries.get(domain) else { continue };
            if had.is_some_and(|had| entry.is_had(had)) {
                continue;
            }
            let verdict = match &entry.standing {
                Standing::Listed(listed) => Some(told(domain, listed, now)),
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
        let (epoch, shared) = (self.epoch, self.history.now());
        let cursor = if more {
            Cursor { epoch, position, began: Some(began), shared: None }
        } else {
            Cursor { epoch, position: self.sequence, began: None, shared }
        };
        FeedPage { reset: place.is_none(), more, verdicts, removed, ..self.envelope(cursor.to_string()) }
    }

    /// What is told of a domain, and since when.
    pub(super) fn told(&self, domain: &Domain, now: Instant) -> (Said, Instant) {
        let Some(entry) = self.entries.get(domain) else {
            return (Said::Unlisted, self.rule.since(false));
        };
        let (said, since) = (entry.standing.said(domain, now), entry.since);
        // It came to its end by itself.
        let ended = entry.standing.ended(now).filter(|_| said == Said::Ask);
        let is_listed = said != Said::Unlisted;
        (said, ended.map_or(since, |ended| ended.max(since)).max(self.rule.since(is_listed)))
    }

    /// Reads a cursor; none where this log cannot go on from it.
    fn place(&self, cursor: &str) -> Option<Cursor> {
        let mut cursor: Cursor = cursor.parse().ok()?;
        if cursor.epoch != self.epoch {
            // A whole table of another control plane's, from which we go on.
            let shared = cursor.shared.as_ref().filter(|_| cursor.began.is_none())?;
            let (listed, found) = self.history.place(shared).behind()?;
            (cursor.position, cursor.began) = (listed.min(found), Some(listed));
        }
        let told = cursor.position.max(cursor.began.unwrap_or(0));
        (self.floor..=self.sequence).contains(&told).then_some(cursor)
    }

    /// Gives a domain the next number, at the end of the order.
    fn stamp(&mut self, domain: &Domain, cause: Cause, standing: Standing, now: Instant) {
        self.sequence = self.sequence.saturating_add(1);
        let before = self.entries.remove(domain);
        let is_same =
            |before: &&Entry| before.standing.said(domain, now).is_alike(&standing.said(domain, now));
        let since = before.as_ref().filter(is_same).map_or(now, |before| before.since);
        let listed = match (cause, &before) {
            (Cause::Finding, Some(before)) => before.listed,
            (Cause::Finding | Cause::List, _) => self.sequence,
        };
        if let Some(before) = before {
            self.order.remove(&before.sequence);
            self.removals.remove(&before.sequence);
        }
        let entry = Entry { sequence: self.sequence, since, cause, listed, standing };
        self.entries.insert(domain.clone(), entry);
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
///
/// That takes nothing away from what a filter holds, except where terms bind: then that may be more than they
/// allow.
fn told(domain: &Domain, listed: &Listed, now: Instant) -> Verdict {
    standing_verdict(domain, listed, now).unwrap_or_else(|| {
        let message = "nothing is known of it at the moment".to_owned();
        let ttl_ms = u64::from(listed.binding.is_some());
        Verdict::failed(domain.clone(), FailureLabel::DiscoveryFailure, message, ttl_ms)
    })
}

/// The verdict on a listed domain, where there is one that holds.
fn standing_verdict(
    domain: &Domain,
    Listed { known, binding }: &Listed,
    now: Instant,
) -> Option<Verdict> {
    let verdict = match (binding, known) {
        (Some(binding), known) => binding.standing_verdict(domain, known.as_deref(), now),
        (None, Some(known)) if is_word(known) => Some(known.verdict(domain.clone(), now)),
        (None, Some(_) | None) => None,
    };
    verdict.filter(|verdict| verdict.ttl_ms > 0)
}

/// The bytes that a verdict takes in a page, or a few more.
fn weigh(verdict: &Verdict) -> usize {
    // Members' names, the longest label, punctuation, ten digits of life (115 days; none lives so long).
    const WITH_HOSTS: usize = 44;
    const WITH_FAILURE: usize = 84;
    const SHADOW: usize = 14;
    let outcome = match &verdict.outcome {
        Outcome::Hosts(hosts) => {
            hosts.iter().fold(WITH_HOSTS, |sum, host| sum.saturating_add(quoted(host.as_str())))
        }
        Outcome::Failure(failure) => quoted(&failure.message).saturating_add(WITH_FAILURE),
    };
    let shadow = if verdict.shadow { SHADOW } else { 0 };
    outcome.saturating_add(quoted(verdict.domain.as_str())).saturating_add(shadow)
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
