//! The shapes of Wire's list API, `/i/federation/remotes`: brig's, and ours on these paths.

use std::collections::BTreeSet;

use fedgate_allow_list::Terms;
use fedgate_allow_list::terms::{Change, Restriction, SearchPolicy, TermsError};
use fedgate_policy::Domain;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::DomainText;

/// What brig says of a domain: whom its users find of ours, and with which of its teams ours may talk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Policy {
    /// Who of ours is found by their users.
    pub(crate) search_policy: SearchPolicy,
    /// With which of their teams ours may talk.
    #[serde(default, serialize_with = "with_value")]
    pub(crate) restriction: Restriction,
}

/// A row of brig's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Remote {
    /// A backend domain.
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    /// What is said of it.
    #[serde(flatten)]
    pub(crate) policy: Policy,
}

/// All of brig's list.
#[allow(clippy::struct_field_names, reason = "brig's names")]
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Remotes<R = Remote> {
    /// Its rows.
    pub(crate) remotes: Vec<R>,
    /// `allowNone`, `allowDynamic` or `allowAll`.
    pub(crate) strategy: String,
    /// Seconds after which Wire's services ask again.
    #[serde(default)]
    pub(crate) update_interval: u32,
}

/// Brig writes the value of `allow_all` too: null.
fn with_value<S: Serializer>(restriction: &Restriction, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(tag = "tag", content = "value", rename_all = "snake_case")]
    enum Written<'a> {
        AllowAll(()),
        RestrictByTeam(&'a BTreeSet<Uuid>),
    }
    match restriction {
        Restriction::AllowAll => Written::AllowAll(()).serialize(to),
        Restriction::RestrictByTeam(teams) => Written::RestrictByTeam(teams).serialize(to),
    }
}

// === impl Policy ===

impl Policy {
    /// What an entry of our list says.
    pub(crate) fn of(terms: &Terms) -> Self {
        Self { search_policy: terms.search_policy, restriction: terms.restriction.clone() }
    }

    /// What stands for "removed" in a list that knows no removal: nobody is found, no team may talk.
    pub(crate) fn closed() -> Self {
        Self {
            search_policy: SearchPolicy::NoSearch,
            restriction: Restriction::RestrictByTeam(BTreeSet::new()),
        }
    }

    /// Whether it stands for "removed".
    pub(crate) fn is_closed(&self) -> bool {
        *self == Self::closed()
    }

    /// What makes an entry of our list say the same.
    pub(crate) fn change(&self) -> Change {
        Change {
            search_policy: Some(self.search_policy),
            restriction: Some(self.restriction.clone()),
            ..Change::default()
        }
    }

    /// Whether an entry of our list can say the same.
    pub(crate) fn check(&self) -> Result<(), TermsError> {
        Terms::default().with(self.change()).check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_and_read_as_brig_does() {
        for json in [
            r#"{"domain":"a.com","search_policy":"full_search","restriction":{"tag":"allow_all","value":null}}"#,
            r#"{"domain":"a.com","search_policy":"no_search","restriction":{"tag":"restrict_by_team","value":["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]}}"#,
        ] {
            let row: Remote = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&row).unwrap(), json);
        }
        let older = r#"{"domain":"A.com","search_policy":"no_search"}"#;
        let row: Remote = serde_json::from_str(older).unwrap();
        assert_eq!((row.domain.as_str(), row.policy.restriction), ("a.com", Restriction::AllowAll));
    }
}
