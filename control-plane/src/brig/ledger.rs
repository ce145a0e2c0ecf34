//! Which of brig's rows we wrote: for longer than a process lives, because brig does not say whose a row is.
//!
//! What is to be written is noted before, and not yet as ours: were we killed in between, and had somebody else
//! written that row meanwhile, we would take it for ours. It is once brig has been seen to have it so.

use std::collections::BTreeMap;

use fedgate_policy::Domain;
use fedgate_store::StoreError;

use crate::contract::Policy;

/// A row that we wrote, or were about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// What we wrote last.
    pub(crate) policy: Policy,
    /// Whether the row was seen to be ours. It is then, whatever it says later.
    pub(crate) confirmed: bool,
}

/// Where that is kept. Its methods block.
pub(crate) trait Keep: Send {
    /// All of it.
    fn recall(&mut self) -> Result<BTreeMap<Domain, Written>, StoreError>;
    /// Puts rows in the place of earlier ones, or takes them away, where there is none: all of it, or nothing.
    fn write(&mut self, changes: &[(Domain, Option<Written>)]) -> Result<(), StoreError>;
}

// === impl Written ===

impl Written {
    /// Whether a row of brig's that says this is the one that we wrote.
    pub(super) fn is(&self, row: &Policy) -> bool {
        self.confirmed || self.policy == *row
    }
}
