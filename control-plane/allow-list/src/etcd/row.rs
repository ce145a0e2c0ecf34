//! What stands under a key, as JSON.

use std::time::SystemTime;

use fedgate_policy::{Domain, Strategy};
use fedgate_store::StoreError;
use fedgate_store::sqlite::{millis, time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::shared;
use crate::{Change, Deed, Entry, Record, Role, Stamp, Terms, Token};

/// The version of all that we keep; whoever knows a lower one only does not touch it.
pub(super) const SCHEMA: u32 = 1;

/// What every write compares and changes: so writes follow one another, whoever makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// See [`SCHEMA`].
    pub(super) schema: u32,
    /// The name by which the store is known again.
    pub(super) identity: String,
    /// The list's revision.
    pub(super) revision: i64,
    pub(super) strategy: Strategy,
    pub(super) strategy_revision: i64,
    /// The number of the next record.
    pub(super) records: i64,
    /// Names the last write that changed the list, at random: no other has the same, also after a backup was restored.
    pub(super) tag: String,
    /// In how many parts what was written stands, until it stands where it belongs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) parts: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A part of a write that is too large for one transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// When it was made, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) changes: Vec<ChangeRow>,
    /// Each with its number.
    pub(super) records: Vec<(i64, RecordRow)>,
}

/// A change, as a part holds it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChangeRow {
    Put(Domain, EntryRow),
    Remove(Domain, i64),
    Strategy(Strategy, i64),
    Token(TokenRow),
    Revoke(String, i64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryRow {
    terms: Terms,
    revision: i64,
    created: (i64, String),
    updated: (i64, String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TokenRow {
    pub(super) name: String,
    role: Role,
    sha256: [u8; 32],
    created: (i64, String),
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revision: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordRow {
    /// The write that it belongs to.
    pub(super) tag: String,
    pub(super) revision: Option<i64>,
    at: i64,
    by: String,
    deed: Deed,
    pub(super) domain: Option<Domain>,
    before: Option<Value>,
    after: Option<Value>,
    request_id: Option<String>,
}

/// Reads what stands under a key, which says what it is.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| {
        let value = String::from_utf8_lossy(value).chars().take(200).collect();
        StoreError::Row { what, value, reason: error.to_string() }
    })
}

pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Failed(error.to_string()))
}

/// When a token was last used, in milliseconds since 1970.
pub(super) fn used(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

// === impl Head ===

impl Head {
    /// Reads it, if we know its version.
    pub(super) fn read(value: &[u8]) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = read("head", value)?;
        if schema > SCHEMA {
            return Err(StoreError::Row {
                what: "schema",
                value: schema.to_string(),
                reason: format!("is of a later Fedgate: this one knows {SCHEMA}; upgrade it"),
            });
        }
        read("head", value)
    }
}

// === rows ===

fn stamp(stamp: &Stamp) -> (i64, String) {
    (millis(stamp.at), stamp.by.to_string())
}

fn stamped((at, by): (i64, String)) -> Stamp {
    Stamp { at: time(at), by: by.into() }
}

impl From<&Entry> for EntryRow {
    fn from(entry: &Entry) -> Self {
        let (created, updated) = (stamp(&entry.created), stamp(&entry.updated));
        Self { terms: (*entry.terms).clone(), revision: entry.revision, created, updated }
    }
}

impl EntryRow {
    /// The entry, as it counts at that moment.
    pub(super) fn entry(self, now: SystemTime) -> Entry {
        let Self { terms, revision, created, updated } = self;
        let lapsed = terms.expires_at.is_some_and(|end| end.0 <= now);
        let (created, updated) = (stamped(created), stamped(updated));
        Entry { terms: shared(terms), revision, created, updated, lapsed }
    }
}

impl From<&Token> for TokenRow {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.to_string(),
            role: token.role,
            sha256: token.sha256,
            created: (millis(token.created_at), token.created_by.to_string()),
            expires_at: token.expires_at.map(millis),
            last_used_at: token.last_used_at.map(millis),
            revision: token.revision,
        }
    }
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        Self {
            name: row.name.into(),
            role: row.role,
            sha256: row.sha256,
            created_at: time(row.created.0),
            created_by: row.created.1.into(),
            expires_at: row.expires_at.map(time),
            last_used_at: row.last_used_at.map(time),
            revision: row.revision,
        }
    }
}

impl RecordRow {
    pub(super) fn of(record: &Record, tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            revision: record.revision,
            at: millis(record.at),
            by: record.by.to_string(),
            deed: record.deed,
            domain: record.domain.clone(),
            before: record.before.clone(),
            after: record.after.clone(),
            request_id: record.request_id.as_deref().map(str::to_owned),
        }
    }
}

impl From<RecordRow> for Record {
    fn from(row: RecordRow) -> Self {
        Self {
            revision: row.revision,
            at: time(row.at),
            by: row.by.into(),
            deed: row.deed,
            domain: row.domain,
            before: row.before,
            after: row.after,
            request_id: row.request_id.map(Into::into),
        }
    }
}

impl ChangeRow {
    /// A change as it is kept; none where it is not kept, but made by time.
    pub(super) fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::Put(domain, entry) => Self::Put(domain.clone(), entry.into()),
            Change::Remove(domain, revision) => Self::Remove(domain.clone(), *revision),
            Change::Lapse(_) | Change::Seal(..) => return None,
            Change::Strategy(strategy, revision) => Self::Strategy(*strategy, *revision),
            Change::Token(token) => Self::Token(token.into()),
            Change::Revoke(name, revision) => Self::Revoke(name.to_string(), *revision),
        })
    }

    pub(super) fn change(self, now: SystemTime) -> Change {
        match self {
            Self::Put(domain, entry) => Change::Put(domain, entry.entry(now)),
            Self::Remove(domain, revision) => Change::Remove(domain, revision),
            Self::Strategy(strategy, revision) => Change::Strategy(strategy, revision),
            Self::Token(token) => Change::Token(token.into()),
            Self::Revoke(name, revision) => Change::Revoke(name.into(), revision),
        }
    }
}
