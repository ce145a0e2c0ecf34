//! How it stands with brig, for people and programs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use fedgate_policy::Domain;
use reqwest::Url;

use super::plan::{Difference, Kind, MAX_ROWS};
use super::{Brig, Mode};

/// How it stands with brig.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) mode: Mode,
    pub(crate) url: Url,
    pub(crate) overwrite: bool,
    /// When both lists were last compared without an error.
    pub(crate) last_success: Option<SystemTime>,
    /// Since when that fails, and why.
    pub(crate) failing: Option<(SystemTime, String)>,
    /// Rows of brig's.
    pub(crate) rows: usize,
    /// What differs now, by brig's last answer.
    pub(crate) drift: Vec<Difference>,
    /// Rows of brig's that are of no domain.
    pub(crate) strange: Vec<String>,
    /// Rows of domains that are off our list, closed, since brig knows no removal.
    pub(crate) still_listed: BTreeSet<Domain>,
    /// Our strategy, and brig's.
    pub(crate) strategies: (&'static str, Option<String>),
    /// Whether brig takes no more rows.
    pub(crate) is_full: bool,
    /// In mode follow: how many of so many rows are gone, where that is not believed.
    pub(crate) doubt: Option<(usize, usize)>,
}

// === impl Report ===

impl Report {
    /// Whether both lists say the same, as far as anybody knows.
    pub(crate) fn is_in_step(&self) -> bool {
        let (ours, brigs) = &self.strategies;
        self.failing.is_none()
            && self.drift.is_empty()
            && self.strange.is_empty()
            && self.doubt.is_none()
            && brigs.as_deref() == Some(*ours)
    }
}

impl Brig {
    /// How it stands.
    pub(crate) fn report(&self) -> Report {
        let plan = self.compare();
        let strategy = self.0.list.strategy().0.name();
        let (settings, known) = (&self.0.settings, self.known());
        let seen = known.seen.as_deref();
        Report {
            mode: settings.mode,
            url: settings.address.url.clone(),
            overwrite: settings.overwrite,
            last_success: known.trouble.last_success,
            failing: known.trouble.failing.clone(),
            rows: seen.map_or(0, super::Seen::count),
            drift: plan.drift,
            strange: seen.map(|seen| seen.strange.clone()).unwrap_or_default(),
            still_listed: plan.still_listed,
            strategies: (strategy, seen.map(|seen| seen.strategy.clone())),
            is_full: seen.is_some_and(|seen| seen.count() >= MAX_ROWS),
            doubt: known.doubt,
        }
    }
}

// === impl Difference ===

impl Difference {
    /// Whether nothing of ours is about to mend it.
    pub(super) fn stands(&self) -> bool {
        self.cause.is_some()
            || match self.kind {
                Kind::Missing | Kind::Differing | Kind::Open => false,
                Kind::NotOurs | Kind::OfTheFile | Kind::Unreadable => true,
            }
    }
}
