//! The list as a value: what it allows, and what a write makes of it. No I/O, no clock.

use std::collections::BTreeMap;
use std::time::SystemTime;

use fedgate_policy::{Domain, Strategy};

use super::WriteError;

/// A listed domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the operator noted about it; may be empty.
    pub note: String,
    /// The list's revision at its last change; no two changes have the same.
    pub revision: i64,
    /// When it was listed.
    pub created_at: SystemTime,
    /// When it changed last.
    pub updated_at: SystemTime,
}

/// All of the list, as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Counts the changes.
    pub revision: i64,
    /// The strategy.
    pub strategy: Strategy,
    /// The list's revision when the strategy changed last.
    pub strategy_revision: i64,
    /// The listed domains.
    pub domains: BTreeMap<Domain, Entry>,
}

/// One change of the list. It makes `revision` the list's revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A domain is listed, or its entry changes; the revision is the entry's.
    Put(Domain, Entry),
    /// A domain is no longer listed.
    Remove(Domain, i64),
    /// The strategy changes.
    Strategy(Strategy, i64),
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It was not there before.
    Created,
    /// It was there, and is different now.
    Changed,
    /// It was so already; nothing was written.
    Same,
}

/// What a caller demands of the present state before a write (RFC 9110 §13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`
    Exists,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: "1", "2"`: it exists, at one of these revisions.
    Revision(Vec<i64>),
}

// === impl State ===

impl State {
    /// Whether strategy and list allow this domain.
    pub fn allows(&self, domain: &Domain) -> bool {
        self.strategy.allows(self.domains.contains_key(domain))
    }

    /// The change that lists a domain with this note, or the present one; none where it is so.
    pub(super) fn put(
        &self,
        domain: Domain,
        note: Option<String>,
        condition: &Condition,
        now: SystemTime,
    ) -> Result<((Entry, Effect), Option<Change>), WriteError> {
        let present = self.domains.get(&domain);
        condition.check(present.map(|entry| entry.revision))?;
        let (entry, effect) = match (present, note) {
            (None, note) => {
                let (note, revision) = (note.unwrap_or_default(), self.next_revision());
                (Entry { note, revision, created_at: now, updated_at: now }, Effect::Created)
            }
            (Some(entry), Some(note)) if note != entry.note => {
                let (created_at, revision) = (entry.created_at, self.next_revision());
                (Entry { note, revision, created_at, updated_at: now }, Effect::Changed)
            }
            (Some(entry), _) => return Ok(((entry.clone(), Effect::Same), None)),
        };
        Ok(((entry.clone(), effect), Some(Change::Put(domain, entry))))
    }

    /// The change that takes a domain off the list.
    pub(super) fn remove(
        &self,
        domain: Domain,
        condition: &Condition,
    ) -> Result<((), Option<Change>), WriteError> {
        let present = self.domains.get(&domain).map(|entry| entry.revision);
        if present.is_none() && *condition == Condition::None {
            return Err(WriteError::NotListed(domain));
        }
        condition.check(present)?;
        Ok(((), Some(Change::Remove(domain, self.next_revision()))))
    }

    /// The change that sets the strategy; none where it is so.
    pub(super) fn set_strategy(
        &self,
        strategy: Strategy,
        condition: &Condition,
    ) -> Result<((i64, Effect), Option<Change>), WriteError> {
        condition.check(Some(self.strategy_revision))?;
        if self.strategy == strategy {
            return Ok(((self.strategy_revision, Effect::Same), None));
        }
        let revision = self.next_revision();
        Ok(((revision, Effect::Changed), Some(Change::Strategy(strategy, revision))))
    }

    /// The state after a change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(domain, entry) => {
                self.revision = entry.revision;
                self.domains.insert(domain, entry);
            }
            Change::Remove(domain, revision) => {
                self.revision = revision;
                self.domains.remove(&domain);
            }
            Change::Strategy(strategy, revision) => {
                self.revision = revision;
                self.strategy = strategy;
                self.strategy_revision = revision;
            }
        }
    }

    fn next_revision(&self) -> i64 {
        self.revision.saturating_add(1)
    }
}

// === impl Condition ===

impl Condition {
    fn check(&self, present: Option<i64>) -> Result<(), WriteError> {
        let holds = match self {
            Self::None => true,
            Self::Exists => present.is_some(),
            Self::Absent => present.is_none(),
            Self::Revision(wanted) => present.is_some_and(|revision| wanted.contains(&revision)),
        };
        if holds { Ok(()) } else { Err(WriteError::Precondition) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        name.parse().unwrap()
    }

    fn listed(names: &[&str]) -> State {
        let mut state = State::default();
        for name in names {
            let (_, change) =
                state.put(domain(name), None, &Condition::None, SystemTime::UNIX_EPOCH).unwrap();
            state.apply(change.unwrap());
        }
        state
    }

    #[test]
    fn an_empty_list_allows_nobody() {
        assert!(!State::default().allows(&domain("a.com")));
    }

    #[test]
    fn the_strategy_decides_what_the_list_means() {
        for (strategy, listed_allowed, other_allowed) in [
            (Strategy::AllowNone, false, false),
            (Strategy::AllowDynamic, true, false),
            (Strategy::AllowAll, true, true),
        ] {
            let state = State { strategy, ..listed(&["a.com"]) };
            assert_eq!(state.allows(&domain("a.com")), listed_allowed, "{strategy:?}");
            assert_eq!(state.allows(&domain("b.com")), other_allowed, "{strategy:?}");
        }
    }

    #[test]
    fn a_listed_domain_does_not_list_those_below_or_above_it() {
        let state = listed(&["a.com"]);
        assert!(!state.allows(&domain("x.a.com")));
        assert!(!listed(&["x.a.com"]).allows(&domain("a.com")));
    }

    #[test]
    fn the_same_put_twice_changes_nothing() {
        let state = listed(&["a.com"]);
        let ((entry, effect), change) = state
            .put(domain("a.com"), Some(String::new()), &Condition::None, SystemTime::now())
            .unwrap();
        assert_eq!((entry.revision, effect, change), (1, Effect::Same, None));
    }

    #[test]
    fn a_put_without_a_note_keeps_the_note() {
        let mut state = listed(&["a.com"]);
        let now = SystemTime::now();
        let (_, change) =
            state.put(domain("a.com"), Some("hello".into()), &Condition::None, now).unwrap();
        state.apply(change.unwrap());
        let ((entry, effect), _) = state.put(domain("a.com"), None, &Condition::None, now).unwrap();
        assert_eq!((entry.note.as_str(), entry.revision, effect), ("hello", 2, Effect::Same));
        assert_eq!(entry.created_at, SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_revision_never_comes_twice_even_when_a_domain_goes_and_returns() {
        let mut state = listed(&["a.com"]);
        let ((), change) = state.remove(domain("a.com"), &Condition::None).unwrap();
        state.apply(change.unwrap());
        let ((entry, effect), _) =
            state.put(domain("a.com"), None, &Condition::None, SystemTime::now()).unwrap();
        assert_eq!((entry.revision, effect), (3, Effect::Created));
    }

    #[test]
    fn a_condition_that_does_not_hold_stops_the_write() {
        use Condition::{Absent, Exists, None, Revision};
        let state = listed(&["a.com", "b.com"]);
        for (name, condition, holds) in [
            ("a.com", None, true),
            ("a.com", Exists, true),
            ("a.com", Absent, false),
            ("a.com", Revision(vec![1]), true),
            ("a.com", Revision(vec![7, 1]), true),
            ("a.com", Revision(vec![2]), false),
            ("a.com", Revision(vec![]), false),
            ("c.com", None, true),
            ("c.com", Exists, false),
            ("c.com", Absent, true),
            ("c.com", Revision(vec![1]), false),
        ] {
            let put = state.put(domain(name), Option::None, &condition, SystemTime::now());
            assert_eq!(put.is_ok(), holds, "{name} {condition:?}");
        }
        assert!(matches!(state.remove(domain("c.com"), &None), Err(WriteError::NotListed(_))));
        assert!(matches!(state.remove(domain("c.com"), &Exists), Err(WriteError::Precondition)));
        assert!(state.set_strategy(Strategy::AllowAll, &Revision(vec![1])).is_err());
        assert!(state.set_strategy(Strategy::AllowAll, &Revision(vec![0])).is_ok());
    }
}
