//! Brig's list, as far as it can be understood.

use std::collections::{BTreeMap, BTreeSet};

use fedgate_policy::Domain;
use serde::Deserialize;
use serde_json::Value;

use crate::contract::{Policy, Remote, Remotes};

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
