//! How our list stands to brig's.

use fedgate_policy::Domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DomainText, Policy};

/// How our list stands to brig's.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BrigStatus {
    /// `off`, `push` (we are the master) or `follow` (brig is).
    #[schema(example = "push")]
    pub(crate) mode: String,
    /// Where brig is.
    #[schema(example = "http://brig:8080/")]
    pub(crate) url: Option<String>,
    /// Whether rows of listed domains are written over that others wrote.
    pub(crate) overwrite: bool,
    /// Whether both say the same, by brig's last answer, and that is not too old.
    pub(crate) in_step: bool,
    /// When brig last answered, and all went well.
    #[schema(example = "2030-01-31T12:00:00.000Z")]
    pub(crate) last_success: Option<String>,
    /// Since when it does not.
    #[schema(example = "2030-01-31T12:00:00.000Z")]
    pub(crate) failing_since: Option<String>,
    /// Why not.
    pub(crate) cause: Option<String>,
    /// How many rows brig has.
    pub(crate) rows: usize,
    /// Whether brig takes no more: it has 10,000.
    pub(crate) full: bool,
    /// Our strategy; brig's is set in its own file, and is only compared.
    #[schema(example = "allowDynamic")]
    pub(crate) strategy: String,
    /// Brig's.
    #[schema(example = "allowDynamic")]
    pub(crate) strategy_of_brig: Option<String>,
    /// In mode `follow`: how many rows are gone from brig's list that are not believed to be removed.
    pub(crate) doubted: usize,
    /// How many domains differ, by kind.
    pub(crate) counts: DriftCounts,
    /// The domains that differ, in alphabetical order; 1,000 at most.
    pub(crate) drift: Vec<Drift>,
    /// Rows of brig's that are of no backend domain, as far as they can be shown.
    pub(crate) strange: Vec<String>,
    /// How many rows of domains that are off our list are closed, and still there: brig knows no removal.
    pub(crate) still_listed_count: usize,
    /// These domains; 1,000 at most.
    #[schema(value_type = Vec<DomainText>)]
    pub(crate) still_listed: Vec<Domain>,
}

/// How many domains differ, by kind.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriftCounts {
    /// On our list, and not in brig.
    pub(crate) missing: usize,
    /// In both, on other terms.
    pub(crate) differing: usize,
    /// In brig, and not, or no longer, on our list.
    pub(crate) open: usize,
    /// Otherwise in brig, in a row that we did not write, and do not touch.
    pub(crate) not_ours: usize,
    /// Otherwise in brig, which does not let the row be changed: rows of its own file are such.
    pub(crate) of_the_file: usize,
    /// In brig, in a row that we do not understand.
    pub(crate) unreadable: usize,
}

/// A domain that stands otherwise in brig's list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Drift {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    /// `missing`, `differing`, `open`, `not-ours`, `of-the-file` or `unreadable`.
    #[schema(example = "missing")]
    pub(crate) kind: String,
    /// What our list says; null where it does not allow the domain.
    pub(crate) ours: Option<Policy>,
    /// What brig's says; null where it has no row.
    pub(crate) brig: Option<Policy>,
    /// Why it is not mended, where that is known.
    pub(crate) cause: Option<String>,
}

/// What an import did, or would do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Imported {
    /// Whether nothing was done.
    pub(crate) dry_run: bool,
    /// Domains that are listed now.
    pub(crate) created: usize,
    /// Domains that were, on other terms.
    pub(crate) changed: usize,
    /// Domains that were, on the same.
    pub(crate) same: usize,
    /// The domains that are listed now, or on other terms.
    pub(crate) domains: Vec<ImportedDomain>,
}

/// What an import did to a domain.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImportedDomain {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    /// `created` or `changed`.
    #[schema(example = "created")]
    pub(crate) effect: String,
}
