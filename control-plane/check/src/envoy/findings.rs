//! What one check found.

use super::shape::shown;
use crate::code::Code;
use crate::ledger::{Finding, Ledger};

/// What one check found, fit for a report.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

// === impl Findings ===

impl Findings {
    /// One more.
    pub(super) fn add(&mut self, code: &'static Code, seen: impl AsRef<str>) {
        self.0.push(Finding { code, seen: shown(seen.as_ref()) });
    }

    /// One more, where something holds.
    pub(super) fn add_if(&mut self, holds: bool, code: &'static Code, seen: impl AsRef<str>) {
        if holds {
            self.add(code, seen);
        }
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What another check found, too.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Tells of it: passed where there is none.
    pub(super) fn tell(self, ledger: &mut Ledger<'_>, claim: &str, seen: impl AsRef<str>) {
        ledger.judged(claim, self.0, shown(seen.as_ref()));
    }
}
