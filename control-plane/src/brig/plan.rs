//! What differs between our list and brig's, and what is to be written because of it. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use fedgate_allow_list::State;
use fedgate_policy::Domain;

use super::ledger::Written;
use super::seen::Seen;
use crate::contract::Policy;

/// As many rows as brig takes.
pub(crate) const MAX_ROWS: usize = 10_000;

/// What our list says of its entries' domains: a policy, or, where it is blocked or over, none.
pub(super) type Wishes = BTreeMap<Domain, Option<Policy>>;

/// Which of brig's rows are ours to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Those that we wrote.
    Written,
    /// These, and those of domains of which our list has an entry.
    Listed,
    /// All of them. That is for comparing only.
    All,
}

/// All that a plan rests on.
pub(super) struct Facts<'a> {
    pub(super) wishes: &'a Wishes,
    pub(super) seen: &'a Seen,
    pub(super) ledger: &'a BTreeMap<Domain, Written>,
    /// Why what was wished of a domain did not come to be, and is not to be tried again for now.
    pub(super) held: &'a dyn Fn(&Domain, &Policy) -> Option<String>,
    /// Whether a write of this row that nobody knows the end of may still come to brig.
    pub(super) pending: &'a dyn Fn(&Domain) -> bool,
    pub(super) claim: Claim,
}

/// What differs, and what to do about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What to write: what closes rows first, then changes, then new rows.
    pub(super) writes: Vec<Write>,
    /// What differs, in alphabetical order.
    pub(super) drift: Vec<Difference>,
    /// Rows that we closed: brig knows no removal.
    pub(super) still_listed: BTreeSet<Domain>,
    /// What is known now of rows that we wrote: that they are ours, or are not.
    pub(super) settled: Vec<(Domain, Option<Written>)>,
}

/// One row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) domain: Domain,
    pub(super) policy: Policy,
    /// Whether brig has a row of that domain.
    pub(super) exists: bool,
}

/// How a domain stands in one list, and in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) domain: Domain,
    pub(crate) kind: Kind,
    pub(crate) ours: Option<Policy>,
    pub(crate) brig: Option<Policy>,
    /// Why it is not mended, where that is known.
    pub(crate) cause: Option<String>,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Our list allows it, and brig has no row.
    Missing,
    /// Both allow it, on other terms.
    Differing,
    /// Brig allows it, and our list does not, or no longer.
    Open,
    /// It differs, and the row is not one that we wrote.
    NotOurs,
    /// It differs, and brig does not let the row be changed, as it is with those of its own file.
    OfTheFile,
    /// Nobody knows what brig's row says.
    Unreadable,
}

/// What our list says.
pub(super) fn wishes(state: &State) -> Wishes {
    let entries = state.domains.iter();
    entries
        .map(|(domain, entry)| (domain.clone(), entry.allows().then(|| Policy::of(&entry.terms))))
        .collect()
}

/// What our list says of one domain.
pub(super) fn wish(state: &State, domain: &Domain) -> Policy {
    let entry = state.domains.get(domain).filter(|entry| entry.allows());
    entry.map_or_else(Policy::closed, |entry| Policy::of(&entry.terms))
}

/// Compares, and plans.
pub(super) fn plan(facts: &Facts<'_>) -> Plan {
    let Facts { wishes, seen, ledger, .. } = facts;
    let domains = wishes.keys().chain(seen.rows.keys()).chain(ledger.keys()).chain(&seen.unreadable);
    let domains: BTreeSet<_> = domains.collect();
    let mut plan = Plan::default();
    let (mut changed, mut new) = (Vec::new(), Vec::new());
    let mut room = MAX_ROWS.saturating_sub(seen.count());
    for domain in domains {
        let entry = wishes.get(domain);
        let wish = entry.and_then(Option::as_ref);
        let written = ledger.get(domain);
        let mut differs = |kind, brig: Option<&Policy>, cause| {
            let (domain, ours, brig) = (domain.clone(), wish.cloned(), brig.cloned());
            plan.drift.push(Difference { domain, kind, ours, brig, cause });
        };
        let write =
            |policy: &Policy, exists| Write { domain: domain.clone(), policy: policy.clone(), exists };
        if seen.unreadable.contains(domain) {
            differs(Kind::Unreadable, None, None);
            continue;
        }
        let Some(row) = seen.rows.get(domain) else {
            match wish {
                Some(policy) => {
                    let full = || "brig has 10,000 rows, and takes no more".to_owned();
                    let cause = (facts.held)(domain, policy).or_else(|| (room == 0).then(full));
                    if cause.is_none() {
                        room = room.saturating_sub(1);
                        new.push(write(policy, false));
                    }
                    differs(Kind::Missing, None, cause);
                }
                None if written.is_some_and(|it| it.confirmed || !(facts.pending)(domain)) => {
                    plan.settled.push((domain.clone(), None));
                }
                None => {}
            }
            continue;
        };
        let was_written = written.is_some_and(|written| written.is(row));
        if let Some(written) = written {
            match (was_written, written.confirmed) {
                (true, false) => {
                    let written = Written { confirmed: true, ..written.clone() };
                    plan.settled.push((domain.clone(), Some(written)));
                }
                // Somebody else was there first.
                (false, _) if !(facts.pending)(domain) => plan.settled.push((domain.clone(), None)),
                (true, true) | (false, _) => {}
            }
        }
        let is_ours = match facts.claim {
            Claim::Written => was_written,
            Claim::Listed => was_written || entry.is_some(),
            Claim::All => true,
        };
        let closed = Policy::closed();
        let wanted = wish.unwrap_or(&closed);
        if row == wanted {
            if is_ours && !was_written {
                plan.settled
                    .push((domain.clone(), Some(Written { policy: row.clone(), confirmed: true })));
            }
            if wish.is_none() && is_ours {
                plan.still_listed.insert(domain.clone());
            }
            continue;
        }
        if !is_ours {
            // What brig itself says is removed is nothing that we would have to tell of.
            if wish.is_some() || !row.is_closed() {
                differs(Kind::NotOurs, Some(row), None);
            }
            continue;
        }
        match ((facts.held)(domain, wanted), wish) {
            (Some(cause), _) => differs(Kind::OfTheFile, Some(row), Some(cause)),
            (None, Some(policy)) => {
                changed.push(write(policy, true));
                differs(Kind::Differing, Some(row), None);
            }
            (None, None) => {
                plan.writes.push(write(wanted, true));
                differs(Kind::Open, Some(row), None);
            }
        }
    }
    plan.writes.append(&mut changed);
    plan.writes.append(&mut new);
    plan
}

// === impl Kind ===

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Missing, Self::Differing, Self::Open, Self::NotOurs, Self::OfTheFile, Self::Unreadable];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Differing => "differing",
            Self::Open => "open",
            Self::NotOurs => "not-ours",
            Self::OfTheFile => "of-the-file",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
