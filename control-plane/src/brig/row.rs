//! Brig's list as it stands on the wire: `GET /i/federation/remotes`, and one row of it. Our own answers on
//! these paths have the same shapes.

use std::collections::{BTreeMap, BTreeSet};

use fedgate_allow_list::Terms;
use fedgate_allow_list::terms::{Change, Restriction, SearchPolicy, TermsError};
use fedgate_policy::Domain;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

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
    #[schema(value_type = String, example = "a.com")]
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

/// Brig's list, as far as it can be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its rows.
    pub(crate) rows: BTreeMap<Domain, Policy>,
    /// Domains whose rows say what we do not know.
    pub(crate) unreadable: BTreeSet<Domain>,
    /// Rows that are of no backend domain, as text.
    pub(crate) strange: Vec<String>,
    /// Its strategy.
    pub(crate) strategy: String,
}

/// The longest text of a strange row that is kept, in characters.
const STRANGE: usize = 200;

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

// === impl Seen ===

impl Seen {
    /// Reads an answer of brig; none where it is no such list at all.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let Remotes { remotes, strategy, .. } = serde_json::from_slice::<Remotes<Value>>(body).ok()?;
        let mut seen = Self { strategy, ..Self::default() };
        for row in remotes {
            let domain =
                row.get("domain").and_then(Value::as_str).and_then(|it| it.parse::<Domain>().ok());
            match (Remote::deserialize(&row), domain) {
                (Ok(Remote { domain, policy }), _) if policy.check().is_ok() => {
                    seen.rows.insert(domain, policy);
                }
                (_, Some(domain)) => {
                    seen.unreadable.insert(domain);
                }
                (_, None) => seen.strange.push(row.to_string().chars().take(STRANGE).collect()),
            }
        }
        // Two rows of one domain, of which one cannot be read: nobody knows what counts.
        seen.rows.retain(|domain, _| !seen.unreadable.contains(domain));
        Some(seen)
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> usize {
        self.rows.len().saturating_add(self.unreadable.len()).saturating_add(self.strange.len())
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

    #[test]
    fn what_cannot_be_understood_is_kept_apart_and_hides_nothing_else() {
        let teams: Vec<_> = (0..1001_u32).map(|n| format!("00000000-0000-0000-0000-{n:012}")).collect();
        let body = serde_json::json!({
            "remotes": [
                {"domain": "a.com", "search_policy": "no_search"},
                {"domain": "b.com", "search_policy": "telepathy"},
                {"domain": "c.com", "search_policy": "no_search", "restriction": {"tag": "moon"}},
                {"domain": "d.com"},
                {"domain": "e.com", "search_policy": "no_search",
                 "restriction": {"tag": "restrict_by_team", "value": teams}},
                {"domain": "not a domain", "search_policy": "no_search"},
                {"domain": "f.com", "search_policy": "no_search"},
                {"domain": "f.com", "search_policy": "telepathy"},
                7,
            ],
            "strategy": "allowAll",
        });
        let seen = Seen::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(seen.rows.keys().map(Domain::as_str).collect::<Vec<_>>(), ["a.com"]);
        let unreadable: Vec<_> = seen.unreadable.iter().map(Domain::as_str).collect();
        assert_eq!(unreadable, ["b.com", "c.com", "d.com", "e.com", "f.com"]);
        assert_eq!((seen.strange.len(), seen.count(), &*seen.strategy), (2, 8, "allowAll"));
    }

    #[test]
    fn what_is_no_list_is_none() {
        for body in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"remotes":{},"strategy":"x"}"#,
            r#"{"remotes":[]}"#,
            "<html>",
            "\u{0}",
        ] {
            assert_eq!(Seen::parse(body.as_bytes()), None, "{body}");
        }
    }
}
