//! What a write comes to, whether it is done or only asked about: what it changes, and who may federate since then
//! and may not any more, and the other way round.

use std::collections::BTreeSet;
use std::sync::Arc;

use fedgate_policy::{Domain, Strategy};

use crate::WriteError;
use crate::audit::Author;
use crate::state::{Change, Condition, State, allowed};
use crate::terms::{self, Terms};

/// The most domains that are named of those whose access changes.
pub const MAX_NAMED: usize = 1000;

/// A write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Lists a domain, or changes the terms on which it is listed.
    Put(Domain, terms::Change),
    /// The same of many, and with `prune` takes all others off the list; and sets the strategy, where one is given.
    PutAll {
        /// Each domain once.
        wanted: Vec<(Domain, terms::Change)>,
        /// Whether what is not named goes.
        prune: bool,
        /// The strategy, if it is to be this.
        strategy: Option<Strategy>,
    },
    /// Takes a domain off the list.
    Remove(Domain),
    /// Sets the strategy.
    SetStrategy(Strategy),
}

/// What a write comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The list's revision on which it was decided.
    pub base: i64,
    /// The list's revision since then.
    pub revision: i64,
    /// Domains that were not listed, in alphabetical order, as the following.
    pub added: Vec<(Domain, Arc<Terms>)>,
    /// Domains that are listed on other terms: those before, and those since.
    pub changed: Vec<(Domain, Arc<Terms>, Arc<Terms>)>,
    /// Domains that are not listed any more, and the terms on which they were.
    pub removed: Vec<(Domain, Arc<Terms>)>,
    /// How many domains were named, and are as they were.
    pub unchanged: usize,
    /// The strategy before, and since, where it changes.
    pub strategy: Option<(Strategy, Strategy)>,
    /// Who may federate since then, and might not before.
    pub gained: Access,
    /// Who might federate before, and may not any more.
    pub lost: Access,
}

/// Domains whose access changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The first of those that are or were listed, [`MAX_NAMED`] at most.
    pub domains: Vec<Domain>,
    /// How many these are.
    pub count: usize,
    /// Whether all domains that are not listed are among them.
    pub unlisted: bool,
}

// === impl State ===

impl State {
    /// The changes that a write makes of this state.
    pub(crate) fn decide(
        &self,
        write: Write,
        condition: &Condition,
        author: &Author,
    ) -> Result<(Outcome, Vec<Change>), WriteError> {
        let one = |change: Option<Change>| change.into_iter().collect();
        let (named, changes) = match write {
            Write::Put(domain, change) => (1, one(self.put(domain, change, condition, author)?.1)),
            Write::PutAll { wanted, prune, strategy } => {
                let named = wanted.len();
                let (_, mut changes) = self.put_all(wanted, prune, condition, author)?;
                if let Some(strategy) = strategy.filter(|strategy| *strategy != self.strategy) {
                    let before = i64::try_from(changes.len()).unwrap_or(i64::MAX);
                    let revision = self.revision.saturating_add(before).saturating_add(1);
                    changes.push(Change::Strategy(strategy, revision));
                }
                (named, changes)
            }
            Write::Remove(domain) => (0, one(self.remove(domain, condition)?.1)),
            Write::SetStrategy(strategy) => (0, one(self.set_strategy(strategy, condition)?.1)),
        };
        Ok((self.outcome(named, &changes), changes))
    }

    /// What changes of this state come to.
    pub(crate) fn outcome(&self, named: usize, changes: &[Change]) -> Outcome {
        let mut outcome = Outcome { base: self.revision, revision: self.revision, ..Outcome::default() };
        let new_strategy = changes.iter().find_map(|change| match change {
            Change::Strategy(strategy, _) => Some(*strategy),
            Change::Put(..)
            | Change::Remove(..)
            | Change::Lapse(_)
            | Change::Seal(..)
            | Change::Token(_)
            | Change::Revoke(..) => None,
        });
        let strategy_since = new_strategy.unwrap_or(self.strategy);
        let mut touched = BTreeSet::new();
        for change in changes {
            match change {
                Change::Put(domain, entry) => {
                    outcome.revision = entry.revision;
                    let since = entry.terms.clone();
                    match self.domains.get(domain) {
                        Some(before) => {
                            outcome.changed.push((domain.clone(), before.terms.clone(), since));
                        }
                        None => outcome.added.push((domain.clone(), since)),
                    }
                    outcome.note(domain, self.allows(domain), allowed(strategy_since, Some(entry)));
                    touched.insert(domain);
                }
                Change::Remove(domain, revision) => {
                    outcome.revision = *revision;
                    let terms = self.domains.get(domain).map(|entry| entry.terms.clone());
                    outcome.removed.extend(terms.map(|terms| (domain.clone(), terms)));
                    outcome.note(domain, self.allows(domain), allowed(strategy_since, None));
                    touched.insert(domain);
                }
                Change::Strategy(strategy, revision) => {
                    outcome.revision = *revision;
                    outcome.strategy = Some((self.strategy, *strategy));
                    let others = self.domains.iter().filter(|(domain, _)| !touched.contains(domain));
                    for (domain, entry) in others {
                        let [before, since] =
                            [self.strategy, *strategy].map(|it| allowed(it, Some(entry)));
                        outcome.note(domain, before, since);
                    }
                    let [before, since] = [self.strategy, *strategy].map(|it| allowed(it, None));
                    outcome.gained.unlisted = since && !before;
                    outcome.lost.unlisted = before && !since;
                }
                Change::Lapse(_) | Change::Seal(..) | Change::Token(_) | Change::Revoke(..) => {}
            }
        }
        outcome.gained.domains.sort_unstable();
        outcome.lost.domains.sort_unstable();
        outcome.unchanged =
            named.saturating_sub(outcome.added.len()).saturating_sub(outcome.changed.len());
        outcome
    }
}

// === impl Outcome ===

impl Outcome {
    /// Notes whether a domain's access changes.
    fn note(&mut self, domain: &Domain, before: bool, since: bool) {
        let access = match (before, since) {
            (false, true) => &mut self.gained,
            (true, false) => &mut self.lost,
            (true, true) | (false, false) => return,
        };
        if access.count < MAX_NAMED {
            access.domains.push(domain.clone());
        }
        access.count = access.count.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
