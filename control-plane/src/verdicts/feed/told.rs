//! What filters are told of one domain, and since when: for people who ask. Pure.

use std::time::Instant;

use fedgate_policy::{Strategy, Verdict};

/// What filters are told of a domain.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) said: Said,
    /// Since when they are told that. How long it holds may have changed since.
    pub(crate) since: Instant,
    /// How many wait for the next change, and so have heard of all before.
    pub(crate) waiting: usize,
}

/// The same, without the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// This verdict.
    Verdict(Verdict),
    /// To ask when a request comes.
    Ask,
    /// That it is none of the listed domains, by being told of those alone.
    Unlisted,
}

/// The strategy, and since when it says of domains what it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) strategy: Strategy,
    listed: Instant,
    unlisted: Instant,
}

// === impl Said ===

impl Said {
    /// Whether a filter does the same by both, for as long as they hold.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Verdict(one), Self::Verdict(other)) => are_alike(one, other),
            (Self::Ask, Self::Ask) | (Self::Unlisted, Self::Unlisted) => true,
            (Self::Verdict(_) | Self::Ask | Self::Unlisted, _) => false,
        }
    }
}

/// Whether a filter does the same by both verdicts, for as long as they hold.
pub(crate) fn are_alike(one: &Verdict, other: &Verdict) -> bool {
    one.outcome == other.outcome && one.shadow == other.shadow
}

// === impl Rule ===

impl Rule {
    pub(super) fn new(now: Instant) -> Self {
        Self { strategy: Strategy::default(), listed: now, unlisted: now }
    }

    pub(super) fn set(&mut self, strategy: Strategy, now: Instant) {
        for (is_listed, since) in [(true, &mut self.listed), (false, &mut self.unlisted)] {
            if self.strategy.allows(is_listed) != strategy.allows(is_listed) {
                *since = now;
            }
        }
        self.strategy = strategy;
    }

    /// Since when a domain that is listed, or is not, may federate, or may not.
    pub(super) fn since(&self, is_listed: bool) -> Instant {
        if is_listed { self.listed } else { self.unlisted }
    }
}
