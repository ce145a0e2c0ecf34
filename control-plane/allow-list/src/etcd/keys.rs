//! Which key says what.
//!
//! ```text
//!  list/head              see Head
//!  list/domain/b.com      an entry
//!  list/token/alice       a token
//!  used/alice             when it was last used, in milliseconds since 1970
//!  lapsed/b.com           the revision of the entry whose end was written down
//!  audit/00…0042          a record, by its number
//!  part/TAG/000001        a part of a write that is too large for one transaction
//! ```

use fedgate_policy::Domain;

pub(super) const HEAD: &str = "list/head";
/// All that is watched.
pub(super) const LIST: &str = "list/";
pub(super) const DOMAIN: &str = "list/domain/";
pub(super) const TOKEN: &str = "list/token/";
pub(super) const USED: &str = "used/";
pub(super) const PART: &str = "part/";
const AUDIT: &str = "audit/";

pub(super) fn domain(domain: &Domain) -> String {
    format!("{DOMAIN}{domain}")
}

pub(super) fn token(name: &str) -> String {
    format!("{TOKEN}{name}")
}

pub(super) fn used(name: &str) -> String {
    format!("{USED}{name}")
}

pub(super) fn lapsed(domain: &Domain) -> String {
    format!("lapsed/{domain}")
}

pub(super) fn audit(number: i64) -> String {
    format!("{AUDIT}{number:020}")
}

/// The number of a record, by its key.
pub(super) fn audit_number(key: &str) -> Option<i64> {
    key.strip_prefix(AUDIT)?.parse().ok()
}

pub(super) fn parts(tag: &str) -> String {
    format!("{PART}{tag}/")
}

pub(super) fn part(tag: &str, number: usize) -> String {
    format!("{PART}{tag}/{number:06}")
}

/// What comes behind all keys that begin with this, which ends with a slash.
pub(super) fn end(beginning: &str) -> String {
    format!("{}0", beginning.trim_end_matches('/'))
}
