//! The list as a value: what it allows, and what a write makes of it. No I/O, no clock.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use fedgate_policy::{Domain, Strategy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::Author;
use crate::file::FILE;
use crate::terms::{self, Action, Moment, Terms};
use crate::{Token, WriteError};

/// A listed domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the operator says of it.
    pub terms: Arc<Terms>,
    /// The list's revision at its last change; no two changes have the same.
    pub revision: i64,
    /// When it was listed, and by whom.
    pub created: Stamp,
    /// When it changed last, and by whom.
    pub updated: Stamp,
    /// Whether it has come to its end, and counts as absent. Not kept: the clock tells.
    pub lapsed: bool,
}

/// Whose an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Everybody's who may write.
    #[default]
    Operators,
    /// Kept in step with a file, and changed there.
    File,
}

/// When something was done, and by whom; by nobody where that was not written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// By the wall clock.
    pub at: SystemTime,
    /// See [`Author::by`].
    pub by: Arc<str>,
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
    /// The tokens that are kept beside them, by their names.
    pub tokens: BTreeMap<Arc<str>, Token>,
    /// The name of the last write, at random, by which all who share a store know that they have the same; empty where
    /// nobody else writes.
    pub seal: Arc<str>,
    /// The last writes, as they were when the list was loaded, the oldest first; none where nobody else writes.
    pub past: Vec<Past>,
    /// Whether what the file owns is changed by it alone. Not kept: the configuration tells.
    pub file_is_kept: bool,
}

/// A write that is part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The list's revision since then.
    pub revision: i64,
    /// Its name; see [`State::seal`].
    pub seal: Arc<str>,
    /// The domains that it was about; of the oldest write, perhaps not all.
    pub domains: Vec<Domain>,
}

/// One change of the list. It makes its revision the list's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A domain is listed, or its entry changes; the revision is the entry's.
    Put(Domain, Entry),
    /// A domain is no longer listed.
    Remove(Domain, i64),
    /// An entry has come to its end. Time does that, and no write: the revision stays.
    Lapse(Domain),
    /// The strategy changes.
    Strategy(Strategy, i64),
    /// A token is made; the revision is the token's.
    Token(Token),
    /// A token is revoked, by its name.
    Revoke(Arc<str>, i64),
    /// What came before is a whole write, of this name, and makes the list's revision that; see [`State::seal`].
    Seal(Arc<str>, i64),
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
    /// It is there no more.
    Removed,
}

/// What a write of many domains did to each, in alphabetical order.
pub type Effects = Vec<(Domain, Effect)>;

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

// === impl Change ===

impl Change {
    /// The list's revision since; none where time has made it.
    pub fn revision(&self) -> Option<i64> {
        match self {
            Self::Put(_, entry) => Some(entry.revision),
            Self::Token(token) => Some(token.revision),
            Self::Remove(_, revision) | Self::Strategy(_, revision) | Self::Revoke(_, revision) => {
                Some(*revision)
            }
            Self::Seal(_, revision) => Some(*revision),
            Self::Lapse(_) => None,
        }
    }
}

// === impl Entry ===

impl Entry {
    /// What a write makes of a domain whose entry was `present` so far. What has come to its end stays so, whatever the
    /// clock says.
    pub(crate) fn written(present: Option<&Self>, terms: Terms, revision: i64, author: &Author) -> Self {
        let updated = Stamp { at: Moment::of(author.at).0, by: author.by.clone() };
        let has_ended = terms.expires_at.is_some_and(|end| end.0 <= author.at);
        let ended_before = |entry: &Self| entry.lapsed && entry.terms.expires_at == terms.expires_at;
        Self {
            revision,
            created: present.map_or_else(|| updated.clone(), |entry| entry.created.clone()),
            updated,
            lapsed: has_ended || present.is_some_and(ended_before),
            terms: shared(terms),
        }
    }

    /// Whether it says that the domain may federate.
    pub fn allows(&self) -> bool {
        match self.terms.action {
            Action::Allow => !self.lapsed,
            Action::Block => false,
        }
    }

    /// Whose it is: the file's, for as long as that wrote it last.
    pub fn owner(&self) -> Owner {
        if &*self.updated.by == FILE { Owner::File } else { Owner::Operators }
    }
}

// === impl State ===

impl State {
    /// The entry of a domain, unless it has come to its end.
    pub fn in_force(&self, domain: &Domain) -> Option<&Entry> {
        self.domains.get(domain).filter(|entry| !entry.lapsed)
    }

    /// Whether strategy and list allow this domain.
    pub fn allows(&self, domain: &Domain) -> bool {
        allowed(self.strategy, self.domains.get(domain))
    }

    /// Whether the domain is listed as one that may federate, whatever the strategy.
    pub fn lists(&self, domain: &Domain) -> bool {
        self.domains.get(domain).is_some_and(Entry::allows)
    }

    /// The change that gives a domain these terms, listing it if need be; none where it has them.
    pub fn put(
        &self,
        domain: Domain,
        change: terms::Change,
        condition: &Condition,
        author: &Author,
    ) -> Result<((Entry, Effect), Option<Change>), WriteError> {
        let present = self.domains.get(&domain);
        condition.check(present.map(|entry| entry.revision))?;
        let before = present.map(|entry| (*entry.terms).clone()).unwrap_or_default();
        let terms = before.with(change);
        terms.check().map_err(|error| WriteError::Terms(domain.clone(), error))?;
        if let Some(entry) = present.filter(|entry| *entry.terms == terms) {
            return Ok(((entry.clone(), Effect::Same), None));
        }
        self.check_owner(&domain)?;
        let entry = Entry::written(present, terms, self.next_revision(), author);
        let effect = if present.is_some() { Effect::Changed } else { Effect::Created };
        Ok(((entry.clone(), effect), Some(Change::Put(domain, entry))))
    }

    /// The change that takes a domain off the list.
    pub fn remove(
        &self,
        domain: Domain,
        condition: &Condition,
    ) -> Result<((), Option<Change>), WriteError> {
        let present = self.domains.get(&domain).map(|entry| entry.revision);
        condition.check(present)?;
        if present.is_none() {
            return Err(WriteError::NotListed(domain));
        }
        self.check_owner(&domain)?;
        Ok(((), Some(Change::Remove(domain, self.next_revision()))))
    }

    /// The changes that give all these domains these terms; with `prune`, and take all others off the
    /// list but for those of the file. The condition is about the list's revision.
    pub fn put_all(
        &self,
        wanted: Vec<(Domain, terms::Change)>,
        prune: bool,
        condition: &Condition,
        author: &Author,
    ) -> Result<(Effects, Vec<Change>), WriteError> {
        condition.check(Some(self.revision))?;
        let mut seen = BTreeMap::new();
        for (domain, change) in wanted {
            if seen.insert(domain.clone(), change).is_some() {
                return Err(WriteError::Twice(domain));
            }
        }
        let mut revision = self.revision;
        let (mut effects, mut changes) = (Vec::new(), Vec::new());
        let is_others = |domain: &Domain| self.check_owner(domain).is_ok();
        let unnamed = self.domains.keys().filter(|domain| prune && !seen.contains_key(*domain));
        for domain in unnamed.filter(|domain| is_others(domain)) {
            revision = revision.saturating_add(1);
            effects.push((domain.clone(), Effect::Removed));
            changes.push(Change::Remove(domain.clone(), revision));
        }
        for (domain, change) in seen {
            let ((entry, effect), change) =
                self.put(domain.clone(), change, &Condition::None, author)?;
            effects.push((domain.clone(), effect));
            if change.is_some() {
                revision = revision.saturating_add(1);
                changes.push(Change::Put(domain, Entry { revision, ..entry }));
            }
        }
        effects.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok((effects, changes))
    }

    /// The change that sets the strategy; none where it is so.
    pub fn set_strategy(
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

    /// The change that takes a token in.
    pub fn make_token(&self, token: Token) -> Result<((), Option<Change>), WriteError> {
        if self.tokens.contains_key(&token.name) {
            return Err(WriteError::TokenExists(token.name));
        }
        if let Some(other) = self.tokens.values().find(|other| other.sha256 == token.sha256) {
            return Err(WriteError::SameToken(other.name.clone()));
        }
        Ok(((), Some(Change::Token(Token { revision: self.next_revision(), ..token }))))
    }

    /// The change that revokes a token.
    pub fn revoke_token(&self, name: &str) -> Result<((), Option<Change>), WriteError> {
        let Some((name, _)) = self.tokens.get_key_value(name) else {
            return Err(WriteError::NoToken(name.into()));
        };
        Ok(((), Some(Change::Revoke(name.clone(), self.next_revision()))))
    }

    /// The state after a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(domain, entry) => {
                self.revision = entry.revision;
                self.domains.insert(domain, entry);
            }
            Change::Remove(domain, revision) => {
                self.revision = revision;
                self.domains.remove(&domain);
            }
            Change::Lapse(domain) => {
                if let Some(entry) = self.domains.get_mut(&domain) {
                    entry.lapsed = true;
                }
            }
            Change::Strategy(strategy, revision) => {
                self.revision = revision;
                self.strategy = strategy;
                self.strategy_revision = revision;
            }
            Change::Token(token) => {
                self.revision = token.revision;
                self.tokens.insert(token.name.clone(), token);
            }
            Change::Revoke(name, revision) => {
                self.revision = revision;
                self.tokens.remove(&name);
            }
            Change::Seal(name, revision) => (self.seal, self.revision) = (name, revision),
        }
    }

    /// What makes this state another one, whatever lies between: what takes away comes first.
    pub fn until(&self, other: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let revision = other.revision;
        let gone = self.domains.keys().filter(|domain| !other.domains.contains_key(*domain));
        changes.extend(gone.map(|domain| Change::Remove(domain.clone(), revision)));
        let differ = |one: &State, other: &State| {
            // But for when they were last used.
            let is_same = |one: &Token, other: &Token| {
                *one == Token { last_used_at: one.last_used_at, ..other.clone() }
            };
            let tokens = one.tokens.values();
            let differ = tokens
                .filter(|token| !other.tokens.get(&token.name).is_some_and(|it| is_same(token, it)));
            differ.cloned().collect::<Vec<_>>()
        };
        let revoked = differ(self, other).into_iter();
        changes.extend(revoked.map(|token| Change::Revoke(token.name, revision)));
        if self.strategy_revision != other.strategy_revision || self.strategy != other.strategy {
            changes.push(Change::Strategy(other.strategy, other.strategy_revision));
        }
        let put =
            other.domains.iter().filter(|(domain, entry)| self.domains.get(*domain) != Some(entry));
        changes.extend(put.map(|(domain, entry)| Change::Put(domain.clone(), entry.clone())));
        changes.extend(differ(other, self).into_iter().map(Change::Token));
        changes.push(Change::Seal(other.seal.clone(), revision));
        changes
    }

    /// What the file owns is not for others to change.
    fn check_owner(&self, domain: &Domain) -> Result<(), WriteError> {
        let is_files = |entry: &Entry| entry.owner() == Owner::File;
        if self.file_is_kept && self.domains.get(domain).is_some_and(is_files) {
            return Err(WriteError::OfFile(domain.clone()));
        }
        Ok(())
    }

    fn next_revision(&self) -> i64 {
        self.revision.saturating_add(1)
    }
}

/// Whether a strategy allows a domain that has this entry, or none.
pub(crate) fn allowed(strategy: Strategy, entry: Option<&Entry>) -> bool {
    match entry.filter(|entry| !entry.lapsed) {
        Some(entry) => entry.allows() && strategy.allows(true),
        None => strategy.allows(false),
    }
}

/// Plain terms are all the same, and most are plain.
pub(crate) fn shared(terms: Terms) -> Arc<Terms> {
    static PLAIN: LazyLock<Arc<Terms>> = LazyLock::new(Arc::default);
    if terms == **PLAIN { PLAIN.clone() } else { Arc::new(terms) }
}

/// Authors, of whom there are few, each kept once.
#[derive(Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(crate) fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        name
    }

    /// Has an entry share its authors with others.
    pub(crate) fn share(&mut self, entry: &mut Entry) {
        entry.created.by = self.of(&entry.created.by);
        entry.updated.by = self.of(&entry.updated.by);
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
#[path = "state_tests.rs"]
mod tests;
