//! Who did what, when: one record for each change, written in the same transaction.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use fedgate_policy::Domain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::state::{Change, State};
use crate::{Entry, Moment, Token};

/// Who changes something, and when.
#[derive(Clone, Debug)]
pub struct Author {
    /// A token's name; or `brig`, `file`, `system`.
    pub by: Arc<str>,
    /// By the wall clock.
    pub at: SystemTime,
    /// The number of the request.
    pub request_id: Option<Arc<str>>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The list's revision since then; none where the list stayed as it was.
    pub revision: Option<i64>,
    /// When, by the wall clock.
    pub at: SystemTime,
    /// By whom: see [`Author::by`].
    pub by: Arc<str>,
    /// What.
    pub deed: Deed,
    /// The domain that it is about.
    pub domain: Option<Domain>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there since.
    pub after: Option<Value>,
    /// The number of the request.
    pub request_id: Option<Arc<str>>,
}

/// Kinds of deeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// A domain was listed.
    DomainAdded,
    /// A domain's terms were changed.
    DomainChanged,
    /// A domain was taken off the list.
    DomainRemoved,
    /// A domain's entry came to its end.
    DomainExpired,
    /// The strategy was set.
    StrategySet,
    /// A token was made.
    TokenMade,
    /// A token was revoked.
    TokenRevoked,
    /// Calls were refused for want of the right token.
    CallsRefused,
    /// The whole store was copied, digests of tokens and all.
    StoreCopied,
}

/// Which records are asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// About this domain.
    pub domain: Option<Domain>,
    /// By this author.
    pub by: Option<String>,
    /// Of one of these kinds; where there are none, of any.
    pub deeds: Vec<Deed>,
    /// From then on.
    pub since: Option<SystemTime>,
    /// Before then.
    pub until: Option<SystemTime>,
    /// With a number above this one.
    pub after: Option<i64>,
    /// With a number below this one.
    pub before: Option<i64>,
    /// In this order.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
}

/// The order of records, which is that of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older ones are deleted.
    pub age: std::time::Duration,
    /// Of more than these, the oldest are deleted.
    pub count: u32,
}

// === impl Deed ===

impl Deed {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DomainAdded,
        Self::DomainChanged,
        Self::DomainRemoved,
        Self::DomainExpired,
        Self::StrategySet,
        Self::TokenMade,
        Self::TokenRevoked,
        Self::CallsRefused,
        Self::StoreCopied,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::DomainAdded => "domain-added",
            Self::DomainChanged => "domain-changed",
            Self::DomainRemoved => "domain-removed",
            Self::DomainExpired => "domain-expired",
            Self::StrategySet => "strategy-set",
            Self::TokenMade => "token-made",
            Self::TokenRevoked => "token-revoked",
            Self::CallsRefused => "calls-refused",
            Self::StoreCopied => "store-copied",
        }
    }
}

/// A text that names no deed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no kind of record")]
pub struct UnknownDeed;

impl FromStr for Deed {
    type Err = UnknownDeed;

    fn from_str(text: &str) -> Result<Self, UnknownDeed> {
        Self::ALL.into_iter().find(|deed| deed.name() == text).ok_or(UnknownDeed)
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// === impl Author ===

impl Author {
    /// Ourselves.
    pub fn system(at: SystemTime) -> Self {
        Self { by: "system".into(), at, request_id: None }
    }

    /// What this author did, which is no change of the list.
    pub fn did(&self, deed: Deed, after: Value) -> Record {
        Record { after: Some(after), ..self.record(deed, None) }
    }

    fn record(&self, deed: Deed, revision: Option<i64>) -> Record {
        let (by, request_id) = (self.by.clone(), self.request_id.clone());
        Record { revision, at: self.at, by, deed, domain: None, before: None, after: None, request_id }
    }
}

/// A change of `state`, as a record of it, where it is one.
pub(crate) fn record(state: &State, change: &Change, author: &Author) -> Option<Record> {
    let of_domain = |deed, revision, domain: &Domain, after: Option<&Entry>| Record {
        domain: Some(domain.clone()),
        before: state.domains.get(domain).map(terms),
        after: after.map(terms),
        ..author.record(deed, revision)
    };
    Some(match change {
        Change::Seal(..) => return None,
        Change::Put(domain, entry) => {
            let is_new = !state.domains.contains_key(domain);
            let deed = if is_new { Deed::DomainAdded } else { Deed::DomainChanged };
            of_domain(deed, Some(entry.revision), domain, Some(entry))
        }
        Change::Remove(domain, revision) => {
            of_domain(Deed::DomainRemoved, Some(*revision), domain, None)
        }
        Change::Lapse(domain) => of_domain(Deed::DomainExpired, None, domain, None),
        Change::Strategy(strategy, revision) => Record {
            before: Some(json!(state.strategy)),
            after: Some(json!(strategy)),
            ..author.record(Deed::StrategySet, Some(*revision))
        },
        Change::Token(token) => Record {
            before: state.tokens.get(&token.name).map(shown),
            after: Some(shown(token)),
            ..author.record(Deed::TokenMade, Some(token.revision))
        },
        Change::Revoke(name, revision) => Record {
            before: state.tokens.get(name).map(shown),
            ..author.record(Deed::TokenRevoked, Some(*revision))
        },
    })
}

fn terms(entry: &Entry) -> Value {
    json!(*entry.terms)
}

fn shown(token: &Token) -> Value {
    json!({"name": &*token.name, "role": token.role, "expires_at": token.expires_at.map(Moment::of)})
}
