//! What was looked at, in the order in which it was.

use serde::Serialize;

use crate::code::{Code, Severity};
use crate::report::Report;

/// Something that is not as it should be, or good to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub code: &'static Code,
    /// What was found instead of what the kind expects: one line, printable.
    pub seen: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part of the whole that it belongs to: `DNS`, `192.0.2.7:443`.
    pub section: String,
    /// What was looked at, as a claim that holds where it passed: `the SRV record exists`.
    pub claim: String,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The claim holds.
    Passed {
        /// What was seen.
        seen: String,
    },
    /// One or more things are to be told.
    Found {
        /// At least one.
        findings: Vec<Finding>,
    },
    /// Nobody has looked.
    NotLookedAt {
        /// Why not, as the rest of a sentence that begins with "because".
        because: String,
    },
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// This is being looked at: section, claim.
    Begins(&'a str, &'a str),
    /// This came out.
    Ended(&'a Check),
}

/// Collects the checks of a run, and tells of each.
pub struct Ledger<'a> {
    checks: Vec<Check>,
    section: String,
    claim: String,
    tell: &'a mut (dyn FnMut(Progress<'_>) + Send),
}

// === impl Ledger ===

impl<'a> Ledger<'a> {
    /// An empty one.
    pub fn new(tell: &'a mut (dyn FnMut(Progress<'_>) + Send)) -> Self {
        Self { checks: Vec::new(), section: String::new(), claim: String::new(), tell }
    }

    /// What follows is about this.
    pub fn section(&mut self, name: impl Into<String>) {
        self.section = name.into();
    }

    /// Says what is being looked at, where that takes a while.
    pub fn begins(&mut self, claim: impl Into<String>) {
        self.claim = claim.into();
        (self.tell)(Progress::Begins(&self.section, &self.claim));
    }

    /// The claim holds.
    pub fn passed(&mut self, claim: impl Into<String>, seen: impl Into<String>) {
        self.end(claim, Outcome::Passed { seen: seen.into() });
    }

    /// The claim does not hold, or not without a remark: one finding.
    pub fn found(&mut self, claim: impl Into<String>, code: &'static Code, seen: impl Into<String>) {
        self.judged(claim, vec![Finding { code, seen: seen.into() }], "");
    }

    /// Passed where there are no findings; then `seen` is what was seen.
    pub fn judged(&mut self, claim: impl Into<String>, findings: Vec<Finding>, seen: impl Into<String>) {
        self.end(
            claim,
            if findings.is_empty() {
                Outcome::Passed { seen: seen.into() }
            } else {
                Outcome::Found { findings }
            },
        );
    }

    /// Nobody can look at this, because of that.
    pub fn not_looked_at(&mut self, claim: impl Into<String>, because: impl Into<String>) {
        self.end(claim, Outcome::NotLookedAt { because: because.into() });
    }

    /// All of it, as a report on `subject`.
    pub fn close(self, subject: impl Into<String>) -> Report {
        Report { subject: subject.into(), checks: self.checks }
    }

    fn end(&mut self, claim: impl Into<String>, outcome: Outcome) {
        let check = Check { section: self.section.clone(), claim: claim.into(), outcome };
        (self.tell)(Progress::Ended(&check));
        self.checks.push(check);
    }
}

// === impl Check ===

impl Check {
    /// What is to be told.
    pub fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Outcome::Found { findings } => findings,
            Outcome::Passed { .. } | Outcome::NotLookedAt { .. } => &[],
        }
    }

    /// The worst of its findings.
    pub fn severity(&self) -> Option<Severity> {
        self.findings().iter().map(|finding| finding.code.severity).max()
    }
}
